//! Gives events to the filter in the order in which they came, and notes what it says.
//!
//! A decision is noted at the moment of the call, before anything that comes later is looked at. What
//! becomes known later is noted apart.

use std::collections::HashMap;

use throughline_proxy::timing::{CallKey, Doubt, Filter, MAX_NAMED, Owner, RequestKey};

use super::events::{Event, What};

/// A parent is asserted from this confidence on.
pub const THRESHOLD: f32 = 0.9;

/// What is written for a parent that is likely enough, and that the sidecar does not assert.
const NOT_ASSERTED: f32 = 0.89;

/// At the end of a file all that can become known does: no call is settled later than this after it.
const LONG: u64 = 3_600_000_000_000;

/// Who made a call, it is thought.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Guess {
    /// The call.
    pub span: u64,
    /// The request that is likeliest to have made it.
    pub parent: u64,
    /// How likely; below [`THRESHOLD`] where there is a reason not to believe it.
    pub confidence: f32,
}

/// What was said of the calls of one service.
#[derive(Debug, Default)]
pub struct Said {
    /// When each began. Where nobody is named there is none.
    pub decisions: Vec<Guess>,
    /// After all that became known later. Where nothing did, it is the decision.
    pub settled: Vec<Guess>,
}

/// Which request made a call, of the calls of which something else than time tells it.
pub type Told = HashMap<u64, u64>;

/// Replays what one replica of a service saw, from a filter that knows nothing. Of calls that are `told`
/// nothing is guessed, and the filter learns from them.
#[must_use]
pub fn replay(events: &[Event], told: &Told) -> Said {
    let mut replay = Replay {
        told: told.clone(),
        ..Replay::default()
    };
    let mut filter = Filter::new(THRESHOLD);
    for event in events {
        replay.see(&mut filter, event);
        replay.settle(&mut filter, event.at);
    }
    let last = events.last().map_or(0, |event| event.at);
    replay.settle(&mut filter, last + LONG);
    Said {
        decisions: replay.decisions,
        settled: replay.settled,
    }
}

/// How far a replay is.
#[derive(Default)]
struct Replay {
    told: Told,
    /// Open requests; `None` is one that the filter did not take.
    requests: HashMap<u64, Option<RequestKey>>,
    /// Open calls of which something may still become known.
    calls: HashMap<u64, CallKey>,
    /// Where in `settled` such a call stands.
    places: HashMap<CallKey, usize>,
    decisions: Vec<Guess>,
    settled: Vec<Guess>,
}

impl Replay {
    fn see(&mut self, filter: &mut Filter<u64>, event: &Event) {
        let Event { at, span, name, .. } = *event;
        match event.what {
            What::Begins => {
                self.requests.insert(span, filter.begin(at, span, name));
            }
            What::Ends => match self.requests.remove(&span) {
                Some(Some(key)) => filter.end(at, key),
                Some(None) => filter.end_unknown(),
                // It began before the recording did.
                None => {}
            },
            What::Calls => {
                let told = self.told.get(&span);
                let owner = match told.map(|request| self.requests.get(request)) {
                    None => Owner::Unknown,
                    Some(Some(Some(key))) => Owner::Request(*key),
                    Some(_) => Owner::Elsewhere,
                };
                let is_told = told.is_some();
                let decision = filter.call(at, name, owner, |_| 1.0);
                if let Some(key) = decision.call {
                    self.calls.insert(span, key);
                }
                if is_told {
                    return;
                }
                if let Some(guess) = guess(span, &decision.likely, decision.doubt) {
                    if let Some(key) = decision.call {
                        self.places.insert(key, self.settled.len());
                    }
                    self.decisions.push(guess);
                    self.settled.push(guess);
                }
            }
            What::Answered => {
                if let Some(key) = self.calls.remove(&span) {
                    filter.answered(at, key);
                }
            }
        }
    }

    fn settle(&mut self, filter: &mut Filter<u64>, now: u64) {
        for settled in filter.settled(now) {
            let Some(place) = self.places.remove(&settled.call) else {
                continue;
            };
            let span = self.settled[place].span;
            if let Some(guess) = guess(span, &settled.likely, settled.doubt) {
                self.settled[place] = guess;
            }
        }
    }
}

/// What is written of a call: its likeliest maker, and whether the sidecar would assert it.
fn guess(
    span: u64,
    likely: &[Option<(u64, f32)>; MAX_NAMED],
    doubt: Option<Doubt>,
) -> Option<Guess> {
    let (parent, probability) = likely[0]?;
    let confidence = match doubt {
        Some(_) if probability >= THRESHOLD => NOT_ASSERTED,
        _ => probability,
    };
    Some(Guess {
        span,
        parent,
        confidence,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(at: u64, what: What, span: u64) -> Event {
        let name = match what {
            What::Begins | What::Ends => 1,
            What::Calls | What::Answered => 2,
        };
        Event {
            at: at * 1000,
            what,
            span,
            name,
        }
    }

    /// A request that makes one call after 1 ms, is answered after 2 and ends after 3; in microseconds.
    fn exchange(at: u64, request: u64) -> [Event; 4] {
        [
            event(at, What::Begins, request),
            event(at + 1000, What::Calls, request + 1_000_000),
            event(at + 2000, What::Answered, request + 1_000_000),
            event(at + 3000, What::Ends, request),
        ]
    }

    fn in_order(exchanges: impl Iterator<Item = (u64, u64)>) -> Vec<Event> {
        let mut events: Vec<Event> = exchanges.flat_map(|(at, n)| exchange(at, n)).collect();
        events.sort_by_key(|event| event.at);
        events
    }

    #[test]
    fn the_only_open_request_makes_the_call() {
        let said = replay(
            &in_order((0..100).map(|n| (n * 10_000, n + 1))),
            &Told::new(),
        );
        assert_eq!(said.decisions.len(), 100);
        for guess in &said.decisions {
            assert_eq!(guess.parent + 1_000_000, guess.span);
        }
        // Before anything was seen, a timer of the app's is likely enough.
        assert!(
            said.decisions[10..]
                .iter()
                .all(|g| g.confidence >= THRESHOLD)
        );
        assert_eq!(said.decisions.len(), said.settled.len());
    }

    #[test]
    fn a_decision_does_not_change_with_what_comes_later() {
        let events = in_order((0..60).map(|n| (n * 1100, n + 1)));
        let all = replay(&events, &Told::new()).decisions;
        for end in [1, 7, 50, 100, 200] {
            let some = replay(&events[..end], &Told::new()).decisions;
            assert_eq!(some, all[..some.len()], "after {end} events");
        }
    }

    #[test]
    fn what_becomes_known_later_is_noted_apart() {
        // Two requests begin at once, so that of the first call nobody can tell whose it is.
        // Then one of them ends before there was another call: it made the first.
        let mut events = in_order((0..100).map(|n| (n * 10_000, n + 1)));
        let at = 2_000_000;
        events.extend([
            event(at, What::Begins, 501),
            event(at, What::Begins, 502),
            event(at + 1000, What::Calls, 1_000_501),
            event(at + 2000, What::Answered, 1_000_501),
            event(at + 3000, What::Ends, 501),
            event(at + 3100, What::Calls, 1_000_502),
            event(at + 4100, What::Answered, 1_000_502),
            event(at + 5100, What::Ends, 502),
        ]);
        let said = replay(&events, &Told::new());
        let of = |guesses: &[Guess], span| *guesses.iter().find(|g| g.span == span).unwrap();
        let decided = of(&said.decisions, 1_000_501);
        assert!(decided.confidence < THRESHOLD, "{decided:?}");
        let settled = of(&said.settled, 1_000_501);
        assert_eq!(settled.parent, 501);
        assert!(settled.confidence > decided.confidence, "{settled:?}");
    }

    #[test]
    fn what_is_doubted_is_not_asserted() {
        let likely = [Some((7, 0.97)), None, None, None];
        let doubted = guess(1, &likely, Some(Doubt::Unproven)).unwrap();
        assert!(doubted.confidence < THRESHOLD);
        assert_eq!(guess(1, &likely, None).unwrap().confidence, 0.97);
        assert_eq!(guess(1, &[None; MAX_NAMED], Some(Doubt::Nobody)), None);
    }

    #[test]
    fn an_end_without_a_begin_is_passed_over() {
        let events = [event(0, What::Ends, 1), event(1, What::Answered, 2)];
        let said = replay(&events, &Told::new());
        assert!(said.decisions.is_empty() && said.settled.is_empty());
    }
}
