//! An exchange that outlives its response: a tunnel.
//!
//! Where a response agrees on another protocol (101), or on a tunnel (2xx to `CONNECT`), it has no body
//! that could end the exchange. Whoever carries the bytes from there on puts a [`Handover`] into the
//! response's extensions, and finds the exchange in it once the layer has let the response through.

use std::sync::{Arc, Mutex, PoisonError};

use crate::exchange::Exchange;

/// A place for an exchange, in the extensions of its response. A clone is the same place.
///
/// Whoever takes the exchange out ends it. Where it is never taken, because nothing was recorded or the
/// response was lost on its way, there is none in it, or it ends unreported with the last clone.
#[derive(Clone, Debug, Default)]
pub struct Handover(Arc<Mutex<Option<Exchange>>>);

impl Handover {
    /// The exchange, once the response has passed the layer; `None` where nothing is recorded.
    #[must_use]
    pub fn take(&self) -> Option<Exchange> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(crate) fn give(&self, exchange: Exchange) {
        let mut place = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *place = Some(exchange);
    }
}
