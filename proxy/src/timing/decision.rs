//! What is said of a call: who may have made it, and why the likeliest may not be believed.

use super::{calls::CallKey, requests::RequestKey};

/// How many likely makers are named.
pub const MAX_NAMED: usize = 4;

/// What is known of a call's maker besides time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// Nothing.
    Unknown,
    /// It is this request.
    Request(RequestKey),
    /// It is none of the open ones.
    Elsewhere,
}

/// Why the likeliest maker of a call is not to be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Doubt {
    /// No request is open.
    Nobody,
    /// More than one could have made it, or such calls also come by themselves.
    Ambiguous,
    /// Several routes make such calls now and then: they may join.
    Join,
    /// Decisions have not been confirmed often enough, of late or while as many requests are open.
    Unproven,
    /// Too many requests are open.
    Crowd,
}

impl Doubt {
    /// Every reason.
    pub const ALL: [Self; 5] = [
        Self::Nobody,
        Self::Ambiguous,
        Self::Join,
        Self::Unproven,
        Self::Crowd,
    ];

    /// What it is called.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Nobody => "nobody",
            Self::Ambiguous => "ambiguous",
            Self::Join => "join",
            Self::Unproven => "unproven",
            Self::Crowd => "crowd",
        }
    }
}

/// What is thought of a call when it begins.
#[derive(Clone, Copy, Debug)]
pub struct Decision<T> {
    /// Its name, if something may still become known of it.
    pub call: Option<CallKey>,
    /// The likeliest makers, the likeliest first.
    pub likely: [Option<(T, f32)>; MAX_NAMED],
    /// How many requests were open.
    pub open: usize,
    /// Whether several may have made it, so that it will be among what is [settled](super::Filter::settled).
    pub is_contested: bool,
    /// Why the likeliest is not to be believed.
    pub doubt: Option<Doubt>,
}

/// What became known of a call.
#[derive(Clone, Copy, Debug)]
pub struct Settled<T> {
    /// The call.
    pub call: CallKey,
    /// Who made it, the likeliest first.
    pub likely: [Option<(T, f32)>; MAX_NAMED],
    /// Why the likeliest is not to be believed.
    pub doubt: Option<Doubt>,
}

impl<T: Copy> Decision<T> {
    /// Nothing is known of it.
    pub(super) fn nothing(open: usize) -> Self {
        Self {
            call: None,
            likely: [None; MAX_NAMED],
            open,
            is_contested: false,
            doubt: Some(Doubt::Nobody),
        }
    }
}
