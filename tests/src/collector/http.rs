//! OTLP over HTTP: one POST to `/v1/traces` for each batch.

use std::{convert::Infallible, io::Read, sync::Arc};

use bytes::Bytes;
use flate2::read::GzDecoder;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use prost::Message;
use tokio::net::TcpStream;

use super::{Delivery, Protocol, Shared};

/// Serves one connection.
pub(super) async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    let service = service_fn(move |request| {
        let shared = shared.clone();
        async move { Ok::<_, Infallible>(answer(request, &shared).await) }
    });
    // How a connection ends is for the other side to judge.
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn answer(request: Request<Incoming>, shared: &Shared) -> Response<Full<Bytes>> {
    let (parts, body) = request.into_parts();
    let Ok(body) = body.collect().await else {
        return say(StatusCode::BAD_REQUEST);
    };
    if shared.behave().await.is_err() {
        return say(StatusCode::SERVICE_UNAVAILABLE);
    }
    let text = |name: &str| {
        parts
            .headers
            .get(name)
            .and_then(|value| value.to_str().ok())
    };
    if parts.method != Method::POST || parts.uri.path() != "/v1/traces" {
        return say(StatusCode::NOT_FOUND);
    }
    if text("content-type") != Some("application/x-protobuf") {
        return say(StatusCode::UNSUPPORTED_MEDIA_TYPE);
    }
    let delivery = Delivery {
        protocol: Protocol::Http,
        is_gzip: text("content-encoding") == Some("gzip"),
        api_key: text("x-api-key").map(str::to_owned),
        spans: 0,
    };
    let Some(request) = decode(&body.to_bytes(), delivery.is_gzip) else {
        return say(StatusCode::BAD_REQUEST);
    };
    shared.take(request, delivery);
    say(StatusCode::OK)
}

fn decode(body: &[u8], is_gzip: bool) -> Option<ExportTraceServiceRequest> {
    if !is_gzip {
        return ExportTraceServiceRequest::decode(body).ok();
    }
    let mut plain = Vec::new();
    GzDecoder::new(body).read_to_end(&mut plain).ok()?;
    ExportTraceServiceRequest::decode(&plain[..]).ok()
}

fn say(status: StatusCode) -> Response<Full<Bytes>> {
    let body = ExportTraceServiceResponse::default().encode_to_vec();
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let protobuf = header::HeaderValue::from_static("application/x-protobuf");
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, protobuf);
    response
}
