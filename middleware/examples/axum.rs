//! An axum server that calls itself, and where the time of both hops went.
#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use axum::{Router, body::Body, extract::MatchedPath, http::Request, routing::get};
use http_body_util::BodyExt;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use throughline::{ClientLayer, ServerLayer, sink::Collect};
use tower::{Layer, ServiceExt};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let spans = Collect::default();
    let http = Client::builder(TokioExecutor::new()).build_http::<Body>();
    let http = ClientLayer::new(spans.clone()).layer(http);
    let traced = ServerLayer::new(spans.clone())
        .route(|request| Some(request.extensions.get::<MatchedPath>()?.as_str().into()));

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let shop = format!("http://{}", listener.local_addr()?);
    let buy = Request::get(format!("{shop}/buy")).body(Body::empty())?;
    let call = http.clone();
    let handle_buy = async move || {
        let stock = Request::get(format!("{shop}/stock/7")).body(Body::empty());
        let stock = stock.expect("a valid address");
        Body::new(call.oneshot(stock).await.expect("we listen"))
    };
    let app = Router::new()
        .route("/stock/{id}", get(async || "3"))
        .route("/buy", get(handle_buy));
    let app = app.layer(traced);
    tokio::spawn(async move { axum::serve(listener, app).await });

    let answer = http.oneshot(buy).await?.into_body().collect().await?;
    assert_eq!(answer.to_bytes(), "3");
    for span in spans.take() {
        println!("{:?} {}: {:?}", span.kind, span.name(), span.phases);
    }
    Ok(())
}
