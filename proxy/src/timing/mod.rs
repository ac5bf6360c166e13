//! Learned call order and delays: which of the open requests made this call?
//!
//! A pure, online, joint filter. Each open request is a small mixture of hypotheses about what it has
//! called so far (`request`); how long a request stays in a state, and what ends that, is learnt as
//! hazards (`delays`, by `states`). When a call begins, every open request has odds of having made
//! it, and the mixture splits into "I did" and "I did not" (`filter`). When requests have ended, those
//! that contested the same calls are held against each other (`joint`), and what they are found to
//! have done is learnt from. `guards` say when not to trust any of this.
//!
//! Nobody tells it a call graph, and nothing is fitted to one: all is learnt, from the first request
//! on, and in bounded memory.

mod background;
mod bins;
mod bounded;
mod calls;
mod claims;
mod decision;
mod delays;
mod filter;
mod guards;
mod joint;
mod kept;
mod order;
mod outlook;
mod path;
mod request;
mod requests;
mod states;

pub use calls::CallKey;
pub use decision::{Decision, Doubt, MAX_NAMED, Owner, Settled};
pub use filter::Filter;
pub use requests::RequestKey;

#[cfg(test)]
mod tests;
