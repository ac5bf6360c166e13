//! The admin room behind a listener.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use tower::Service;

use crate::{
    admin::Admin,
    listen::{Connection, Stack},
};

/// Answers operators, who send no bodies.
#[derive(Clone, Debug)]
pub(super) struct Operators(pub(super) Admin);

impl Stack for Operators {
    type Body = Full<Bytes>;
    type Service = Self;

    fn service(&self, _: &Arc<Connection>) -> Self {
        self.clone()
    }
}

impl Service<Request<Incoming>> for Operators {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let (parts, _) = request.into_parts();
        ready(Ok(self.0.answer(&parts).map(Full::new)))
    }
}
