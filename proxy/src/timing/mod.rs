//! Learned call order and delays: which of the open requests made this call?
//!
//! A pure, online, joint filter. Each open request is a small mixture of hypotheses about what it has
//! called so far (`request`); how long a request stays in a state, and what ends that, is learnt as
//! hazards (`delays`, by `states`). When a call begins, every open request has odds of having made
//! it (`claims`), and the mixture splits into "I did" and "I did not" (`filter`), of which the likely
//! halves are `kept`. When requests have ended, those that contested the same calls are held against each
//! other (`joint`), and what they are found to have done is learnt from. `guards` say when not to trust
//! any of this.
//!
//! A call in a crowd concerns every open request, so that what is done for each of them is the cost of
//! it all: each is asked once, what requests of a route have in common is looked up once (`outlook`),
//! nobody is searched for, and nobody is split before that matters (`forks`).
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
mod forks;
mod guards;
mod hypothesis;
mod joint;
mod kept;
mod mixtures;
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
