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

/// The attempts of one request, after the first.
#[derive(Debug, Default)]
pub(crate) struct Resends(u32);

impl Resends {
    /// Puts into `request` what is to be sent once more after `error`, and says how often it was by
    /// then; or gives the error back.
    ///
    /// The request stays where it is and no closure sends it: what moves from future to future is
    /// copied as often, and this is on the way of every request.
    pub(crate) fn after<B: Body<Data = Bytes>>(
        &mut self,
        mut error: Error,
        request: &mut Request<RequestBody<B>>,
    ) -> Result<u32, Error> {
        match error.take_replay() {
            Some(replay) if self.0 < MAX_RESENDS => {
                *request = Request::from_parts(*replay, RequestBody::empty());
                self.0 += 1;
                Ok(self.0)
            }
            _ => Err(error),
        }
    }
}
