//! What is measured, for the benches and for the tests of what they claim.

pub mod correlation;
pub mod propagation;
