//! The context of the request that is being handled, while its code runs.
//!
//! A layer sets it each time that it polls the code it wraps, so that it is right across `.await`
//! and on whatever thread that code goes on.

use std::cell::RefCell;

use crate::context::TraceContext;

thread_local! {
    static CURRENT: RefCell<Option<TraceContext>> = const { RefCell::new(None) };
}

/// The context of the request that is being handled here and now.
///
/// ```
/// use throughline::current;
///
/// assert!(current::context().is_none(), "no request is being handled");
/// ```
#[must_use]
pub fn context() -> Option<TraceContext> {
    CURRENT.with_borrow(Clone::clone)
}

/// Makes `context` the current one until the scope is dropped.
#[must_use]
pub fn enter(context: TraceContext) -> Scope {
    Scope(CURRENT.replace(Some(context)))
}

/// Puts the context back that was current before.
#[derive(Debug)]
pub struct Scope(Option<TraceContext>);

impl Drop for Scope {
    fn drop(&mut self) {
        CURRENT.set(self.0.take());
    }
}
