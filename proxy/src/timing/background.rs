//! Calls that no request makes: timers, queues, work left over after an answer.
//!
//! How often they come is seen while no request is open, for then there is nobody else to have made
//! them. While requests are open they come as often as that, and not more.

/// What is expected of a kind of call that was never seen alone, in calls.
const PRIOR: f64 = 0.02;

/// Over this time, in seconds.
const PRIOR_TIME: f64 = 10.0;

/// A kind that was seen alone is known to come alone: its rate is taken at its word, but for this.
const SEEN_TIME: f64 = 0.3;

/// How much time passed with and without open requests, in seconds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Clock {
    pub(super) idle: f64,
    pub(super) busy: f64,
}

/// What is known of one kind of call.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Background {
    /// Calls that came while no request was open.
    alone: f64,
    /// Calls that came while some were, and that none of them seems to have made.
    unexplained: f64,
}

impl Background {
    /// How many such calls come by themselves, per second.
    #[expect(clippy::cast_possible_truncation, reason = "a weight")]
    pub(super) fn rate(&self, clock: Clock) -> f32 {
        let time = if self.alone > 0.0 {
            SEEN_TIME
        } else {
            PRIOR_TIME
        };
        let rate = (self.alone + PRIOR) / (clock.idle + time);
        // If more and more goes unexplained while requests are open, and nothing comes while none is,
        // then requests make these calls, in a way that is yet to be learnt.
        let excess = self.unexplained - 3.0 * rate * clock.busy - 10.0;
        (rate * (-excess.clamp(0.0, 40.0)).exp()) as f32
    }

    /// One came while no request was open.
    pub(super) fn alone(&mut self) {
        self.alone += 1.0;
    }

    /// One came that no open request made, with this probability.
    pub(super) fn unexplained(&mut self, probability: f64) {
        self.unexplained += probability.max(0.0);
    }
}
