//! What the filter promises, held against simulated apps that know the truth.
//!
//! [`sim`] makes up what happens, [`observe`] shows it to a filter and keeps the score.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "simulated times and shares"
)]

mod accuracy;
mod adversarial;
mod bounds;
mod clocks;
mod forks;
mod joint;
mod laws;
mod observe;
mod owners;
mod parts;
mod sim;
