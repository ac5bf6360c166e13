//! Values that come back: what a request carries that is found again in the call that it causes.
//!
//! A user's id in a path, a token, an idempotency key: apps copy them from the request that they work
//! on into the calls that they make for it. Nobody tells which they copy, so it is learnt, from calls
//! whose cause is known otherwise. A value that comes back multiplies a likelihood; only where it is
//! rare, is held by one open request alone and stands where the app is known to copy from its
//! requests, it is [evidence](Weights::evidence).
//!
//! Of a value nothing is kept but a [keyed hash](Secret).
//!
//! ```
//! use throughline_proxy::values::{Config, Reader, Secret, Values, Weights};
//!
//! let reader = Reader::new(&Config::default(), Secret::new([1, 2])).expect("it is on");
//! let read = |uri: &str| reader.head(&uri.parse().unwrap(), &http::HeaderMap::new());
//! let mut values = Values::new(4096);
//! let mut weights = Weights::new();
//!
//! // The app copies the id of an order from its requests into its calls of kind 7.
//! for id in 1000..1050 {
//!     let request = read(&format!("/orders/{id}"));
//!     let open = values.begin(request.clone()).expect("there is room");
//!     values.learn(7, &read(&format!("/stock?order={id}")), &request, 1.0);
//!     values.end(open);
//! }
//! let ada = values.begin(read("/orders/2001")).expect("there is room");
//! let bob = values.begin(read("/orders/2002")).expect("there is room");
//! values.weigh(7, &read("/stock?order=2002"), &mut weights);
//! assert!(weights.of(bob) > 10.0 && weights.of(ada) < 0.2);
//! ```

mod copying;
mod fingerprint;
mod index;
mod json;
mod rarity;
mod read;
mod value;
mod weigh;

use http::HeaderName;

use self::{copying::Copying, index::Index, rarity::Rarity};
pub use self::{
    fingerprint::{Fingerprint, Fingerprints, MOST, Secret, Slot},
    index::Request,
    read::{Extent, Reader},
    weigh::Weights,
};

/// What of a message is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where values are taken from; nowhere is off.
    pub from: Vec<Source>,
    /// The headers that are looked at, the most telling first.
    pub headers: Vec<HeaderName>,
    /// The longest body that is looked at, in bytes.
    pub max_body: usize,
}

impl Config {
    /// The headers that are looked at by default: who calls, on whose behalf, and for what.
    pub const HEADERS: [&'static str; 9] = [
        "x-request-id",
        "x-correlation-id",
        "idempotency-key",
        "authorization",
        "x-api-key",
        "x-session-id",
        "x-user-id",
        "x-tenant-id",
        "cookie",
    ];
}

impl Default for Config {
    fn default() -> Self {
        Self {
            from: vec![Source::Path, Source::Query, Source::Headers],
            headers: Self::HEADERS.map(HeaderName::from_static).into(),
            max_body: 4096,
        }
    }
}

/// A part of a message that values are taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The segments of the path.
    Path,
    /// The parameters of the query.
    Query,
    /// Some headers; of cookies each by itself.
    Headers,
    /// The scalars of a small JSON body.
    Body,
}

/// The values of the open requests, and what is learnt of values.
///
/// All of it is bounded: the open requests by [`Values::new`], the rest by fixed tables of 250 KiB.
#[derive(Debug)]
pub struct Values {
    index: Index,
    rarity: Rarity,
    copying: Copying,
}

impl Values {
    /// Knows nothing yet. The values of so many open requests are kept at most.
    #[must_use]
    pub fn new(most_open: usize) -> Self {
        Self {
            index: Index::new(most_open),
            rarity: Rarity::new(),
            copying: Copying::new(),
        }
    }

    /// A request begins. Whoever gets its name has to [end](Self::end) it; `None` means that there
    /// are too many, and that nothing is known of this one.
    #[must_use]
    pub fn begin(&mut self, fingerprints: Fingerprints) -> Option<Request> {
        self.rarity.request();
        for hash in fingerprints.hashes() {
            self.rarity.note(hash);
        }
        self.index.begin(fingerprints)
    }

    /// Adds to the fingerprints of a request those of its body, as far as there is room. Nothing
    /// happens if it has ended.
    pub fn complete(&mut self, request: Request, more: &Fingerprints) {
        let Self { index, rarity, .. } = self;
        index.add(request, more, |hash| rarity.note(hash));
    }

    /// The fingerprints of a request that has not ended.
    #[must_use]
    pub fn of(&self, request: Request) -> Option<&Fingerprints> {
        self.index.of(request)
    }

    /// A request can no longer cause calls. Its fingerprints are handed back, to learn from later.
    pub fn end(&mut self, request: Request) -> Option<Fingerprints> {
        self.index.end(request)
    }

    /// Says into `weights` what the values of a call of this kind say of the open requests.
    pub fn weigh(&self, kind: u64, call: &Fingerprints, weights: &mut Weights) {
        weights.fill(kind, call, &self.copying, &self.index, &self.rarity);
    }

    /// The same, of an owner that is still open.
    pub fn teach(&mut self, kind: u64, call: &Fingerprints, owner: Request, weight: f32) {
        if let Some(owner) = self.of(owner).cloned() {
            self.learn(kind, call, &owner, weight);
        }
    }

    /// Learns from a call whose cause is known: this request, with this certainty in 0..=1.
    ///
    /// The certainty should not come from the values themselves alone, or a coincidence would prove
    /// itself right.
    pub fn learn(&mut self, kind: u64, call: &Fingerprints, owner: &Fingerprints, weight: f32) {
        for value in call.iter() {
            let share = self.rarity.share(value.hash, value.bits);
            let matched = owner.holds(value.hash);
            self.copying.learn(kind, value.slot, share, matched, weight);
        }
    }
}

#[cfg(test)]
mod tests;
