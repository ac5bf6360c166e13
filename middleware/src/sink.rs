//! Where finished spans go.

use std::sync::{Arc, Mutex, PoisonError};

use crate::{
    ambient, context::TraceContext, current, exchange::Exchange, propagation::Rejections,
    span::Span,
};

/// Takes finished spans, and never makes a request wait.
///
/// A sink is cloned into every service, so a clone should be a handle.
pub trait Sink: Clone + Send + Sync + 'static {
    /// Held while the code that handles a request runs, so that a tracing library can see which
    /// request that is.
    type Scope;

    /// Takes one finished span. Called on the request's own path: it must not block.
    fn offer(&self, span: Box<Span>);

    /// The code of the request at `context` runs until the scope is dropped.
    fn enter(&self, context: &TraceContext) -> Self::Scope;

    /// The context that a call made here and now is a child of.
    fn current(&self) -> Option<TraceContext> {
        current::context()
    }

    /// Context headers of a request could not be read, whether or not it is recorded.
    fn rejected(&self, _rejected: &Rejections) {}

    /// The last byte of a response was handed to the server, and is yet to be taken by the socket.
    ///
    /// A sink that can see the socket keeps the exchange until then; all others end it here.
    fn drain(&self, exchange: Exchange) {
        self.offer(exchange.finish(ambient::now()));
    }
}

/// Nowhere: trace context still travels, nothing is reported.
#[derive(Clone, Copy, Debug, Default)]
pub struct Discard;

impl Sink for Discard {
    type Scope = current::Scope;

    fn offer(&self, _: Box<Span>) {}

    fn enter(&self, context: &TraceContext) -> current::Scope {
        current::enter(context.clone())
    }
}

/// Into memory, for tests. It keeps every span: do not use it for a service that runs for long.
#[derive(Clone, Debug, Default)]
pub struct Collect(Arc<Mutex<Vec<Span>>>);

impl Collect {
    /// The spans so far, in the order in which they ended.
    #[must_use]
    pub fn take(&self) -> Vec<Span> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Sink for Collect {
    type Scope = current::Scope;

    fn offer(&self, span: Box<Span>) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(*span);
    }

    fn enter(&self, context: &TraceContext) -> current::Scope {
        current::enter(context.clone())
    }
}
