//! One more attempt, where that is safe.
//!
//! A keep-alive connection may be closed by the other side in the very moment that a request is
//! written to it. No status tells that from a crash, so the request is sent once more only if the
//! pool hands it back, which it does for idempotent requests without a body that were not answered.

use bytes::Bytes;
use http::Request;
use http_body::Body;

use crate::pool::{Error, RequestBody};

/// The most attempts after the first: each goes to another connection, and all may be stale.
const MAX_RESENDS: u32 = 3;

/// Calls `send` with the request and the number of resends before it, again while that is safe.
#[allow(
    clippy::manual_async_fn,
    reason = "the future of an `async fn` has room for each argument twice, and a request is large"
)]
pub(crate) fn attempts<B, T, F>(
    mut request: Request<RequestBody<B>>,
    mut send: impl FnMut(Request<RequestBody<B>>, u32) -> F,
) -> impl Future<Output = Result<T, Error>>
where
    B: Body<Data = Bytes>,
    F: Future<Output = Result<T, Error>>,
{
    async move {
        let mut resends = 0;
        loop {
            let mut error = match send(request, resends).await {
                Ok(response) => return Ok(response),
                Err(error) => error,
            };
            match error.take_replay() {
                Some(replay) if resends < MAX_RESENDS => {
                    request = Request::from_parts(*replay, RequestBody::empty());
                    resends += 1;
                }
                _ => return Err(error),
            }
        }
    }
}
