//! OTLP over gRPC, by tonic and the service that `opentelemetry-proto` generates.

use std::sync::Arc;

use hyper::server::conn::http2;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    service::TowerToHyperService,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
    trace_service_server::{TraceService, TraceServiceServer},
};
use tokio::net::TcpStream;
use tonic::{Request, Response, Status, codec::CompressionEncoding};

use super::{Delivery, Protocol, Shared};

/// Serves one connection.
pub(super) async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    let service =
        TraceServiceServer::new(Receiver(shared)).accept_compressed(CompressionEncoding::Gzip);
    // How a connection ends is for the other side to judge.
    let _ = http2::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service))
        .await;
}

struct Receiver(Arc<Shared>);

#[tonic::async_trait]
impl TraceService for Receiver {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        if self.0.behave().await.is_err() {
            return Err(Status::unavailable("not now"));
        }
        let text = |name: &str| {
            let value = request.metadata().get(name)?;
            value.to_str().ok().map(str::to_owned)
        };
        let delivery = Delivery {
            protocol: Protocol::Grpc,
            is_gzip: text("grpc-encoding").as_deref() == Some("gzip"),
            api_key: text("x-api-key"),
            spans: 0,
        };
        self.0.take(request.into_inner(), delivery);
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}
