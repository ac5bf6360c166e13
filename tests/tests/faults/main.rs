//! What goes wrong around a sidecar, one thing at a time: requests that have nothing to do with it are
//! unharmed, memory is flat, the account of spans has no gap, and when it is over all is as it was, without
//! a restart.
//!
//! Every fault lasts while others ask, over connections of their own (see [`load`]).

mod account;
mod app;
mod callers;
mod clock;
mod collector;
mod descriptors;
mod load;
mod soak;
mod upstreams;
