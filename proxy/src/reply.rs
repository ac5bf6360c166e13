//! The answers that we give ourselves: short, plain, and naming the phase that a request died in.

use bytes::Bytes;
use http::{
    HeaderValue, Response, StatusCode, Version,
    header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER},
};
use http_body_util::{Either, Full};
use throughline::{
    ambient,
    phase::{Phase, Recorder},
};

use crate::pool::Error;

/// The body of an answer: the upstream's, or a short one of ours.
pub(crate) type Body<B> = Either<B, Full<Bytes>>;

/// The answer to whoever asked for a tunnel in `version`, and does not get it: the last on its connection.
///
/// It may have gone on as if it had it, and what comes next is then no request. In HTTP/2 that is its
/// own stream.
pub(crate) fn to_tunnel<B>(version: Version, mut response: Response<B>) -> Response<B> {
    if version != Version::HTTP_2 {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
    }
    response
}

/// The answer to a request that failed.
pub(crate) fn to_error<B>(error: &Error, recorder: Option<&Recorder>) -> Response<Body<B>> {
    if let Some(recorder) = recorder {
        // What is left is to hand this answer to the caller.
        recorder.enter(Phase::Drain, ambient::now());
    }
    let status = error.status();
    let text = format!("{status}\nthroughline: {error}\n");
    let mut response = Response::new(Either::Right(Full::new(Bytes::from(text.clone()))));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    headers.insert(CONTENT_LENGTH, HeaderValue::from(text.len()));
    if status == StatusCode::REQUEST_TIMEOUT {
        // What may still come of the request is not to be taken for the next one.
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    if let Some(seconds) = error.cause().retry_after() {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}
