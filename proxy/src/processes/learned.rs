//! What the calls so far have shown of an app: whether its processes serve one request at a time,
//! whether they hand work to each other, and whether it is worth while to ask at all.

use super::{Tally, Verdict};

/// One call of a process that has no open request, while there are some, speaks as loudly as this
/// many against the rule. Such calls are only seen while their process happens to be idle; those that
/// are made while it is busy look like calls of its request.
const HANDED_OVER: f32 = 4.0;

/// A process that is seen to serve several requests at once is not quite what the rule is about. But
/// while it serves one, that one is the cause as ever; and a worker that has just answered is seen to
/// have two until its answer is through.
const SEVERAL: f32 = 0.1;

/// A call of the process that serves the only open request says as much as this for the rule. It could
/// be nobody else's; but where work is handed over it is made by another process.
const ALONE: f32 = 0.25;

/// Being wrong once counts as much as being right so often: a wrong parent is worse than none.
const DISAGREED: f32 = 16.0;

/// The doubt before anything was seen: about nine calls that fit make 0.9.
const DOUBT: f32 = 1.0;

/// All counts are halved when they have come to this, so that an app may change.
const MEMORY: f32 = 4096.0;

/// What was learnt of one app, in a few numbers.
#[derive(Clone, Debug, Default)]
pub struct Learned {
    one: f32,
    several: f32,
    none: f32,
    agreed: f32,
    disagreed: f32,
    worth: Worth,
}

impl Learned {
    /// The verdict on a call, which is then learnt from.
    pub fn judge(&mut self, tally: Tally) -> Verdict {
        let verdict = self.verdict(tally);
        self.forget();
        verdict
    }

    fn verdict(&mut self, tally: Tally) -> Verdict {
        let open = tally.open();
        if open == 0 {
            return Verdict::Nothing;
        }
        // While one request is open, all that is seen is whether its process makes the call.
        if open > 1 {
            self.worth.note(&tally);
        }
        // What is learnt before is what the verdict rests on; this call is no witness for itself.
        let (served, within, elsewhere) = (self.served(), self.within(), self.elsewhere());
        match (tally.own.len(), tally.maybe.len()) {
            _ if tally.is_full => Verdict::Nothing,
            (0, 0) => {
                self.none += 1.0;
                Verdict::Elsewhere {
                    confidence: elsewhere,
                }
            }
            // The unknown ones may be somebody else's, all of them.
            (0, _) => Verdict::Nothing,
            (1, 0) => {
                self.one += if open > 1 { 1.0 } else { ALONE };
                Verdict::Served {
                    index: tally.own[0],
                    confidence: served,
                }
            }
            (own, maybe) => {
                if own > 1 {
                    self.several += 1.0;
                }
                let mut indices = tally.own;
                if maybe > 0 {
                    indices.extend(tally.maybe);
                    indices.sort_unstable();
                }
                Verdict::Among {
                    indices,
                    confidence: within,
                }
            }
        }
    }

    /// A cause that was asserted, or would have been, turned out to be right.
    pub fn agreed(&mut self) {
        self.agreed += 1.0;
        self.forget();
    }

    /// It turned out to be wrong.
    pub fn disagreed(&mut self) {
        self.disagreed += 1.0;
        self.forget();
    }

    /// A call was looked at whose process could not be told.
    pub fn missed(&mut self) {
        self.worth.change(-1);
    }

    /// Whether asking the kernel tells anything about this app.
    #[must_use]
    pub fn worth(&self) -> Worth {
        self.worth
    }

    /// Whether more has to be seen before a verdict is worth much.
    #[must_use]
    pub fn is_learning(&self) -> bool {
        self.served() < 0.95 && self.several < 8.0
    }

    /// How sure it is that the one request of a call's process is its cause.
    fn served(&self) -> f32 {
        let against = self.several * SEVERAL + self.against();
        share(self.one + self.agreed, against)
    }

    /// How sure it is that the cause is one of the requests of a call's process.
    fn within(&self) -> f32 {
        share(self.one + self.several + self.agreed, self.against())
    }

    /// How sure it is that work is not handed over, so that a call of an idle process has no cause
    /// among the requests of others. Only what turned out can tell; those calls themselves do not.
    fn elsewhere(&self) -> f32 {
        share(
            self.one + self.several + self.agreed,
            self.none + self.disagreed * DISAGREED,
        )
    }

    fn against(&self) -> f32 {
        self.none * HANDED_OVER + self.disagreed * DISAGREED
    }

    fn forget(&mut self) {
        let counts = [
            &mut self.one,
            &mut self.several,
            &mut self.none,
            &mut self.agreed,
            &mut self.disagreed,
        ];
        if counts.iter().map(|count| **count).sum::<f32>() >= MEMORY {
            counts.into_iter().for_each(|count| *count /= 2.0);
        }
    }
}

fn share(for_it: f32, against: f32) -> f32 {
    for_it / (for_it + against + DOUBT)
}

/// Whether processes tell requests apart, as a counter that one surprise turns round.
///
/// An app that is one process answers the question the same way every time: everything is its own.
/// After [`Worth::PATIENCE`] such answers only a sample is asked for. That another process serves a
/// request turns it at once; that a request waits to be accepted happens in every app now and then, and
/// so counts for less.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Worth(i16);

impl Worth {
    /// So many answers that tell nothing apart are enough.
    pub const PATIENCE: i16 = 64;

    /// Whether every call is worth a look, and not only a sample.
    #[must_use]
    pub fn is_worth_while(self) -> bool {
        self.0 > 0
    }

    fn note(&mut self, tally: &Tally) {
        self.change(match (tally.served_by_others, tally.not_accepted) {
            (0, 0) => -1,
            (0, _) => 4,
            _ => Self::PATIENCE,
        });
    }

    fn change(&mut self, by: i16) {
        self.0 = (self.0 + by).clamp(0, Self::PATIENCE);
    }
}

impl Default for Worth {
    fn default() -> Self {
        Self(Self::PATIENCE)
    }
}
