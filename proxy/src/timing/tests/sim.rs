//! A small simulated app: what the filter sees of it in time order, and the truth that it does not see.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
};

use fastrand::Rng;

/// A microsecond and a millisecond, in nanoseconds.
pub(super) const US: u64 = 1_000;
pub(super) const MS: u64 = 1_000_000;
pub(super) const SECOND: u64 = 1_000_000_000;

/// What happens at the edge of the app.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum What {
    Begin {
        request: usize,
        route: u64,
    },
    /// `maker` is the truth.
    Call {
        call: usize,
        kind: u64,
        maker: Option<usize>,
    },
    Answer {
        call: usize,
    },
    End {
        request: usize,
    },
}

pub(super) type Event = (u64, What);

/// A random time: log-normal, by its median and how many times longer or shorter it often is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Time {
    pub(super) median: u64,
    pub(super) spread: f64,
}

pub(super) fn about(median: u64, spread: f64) -> Time {
    Time { median, spread }
}

impl Time {
    fn draw(self, rng: &mut Rng) -> u64 {
        let radius = (-2.0 * (1.0 - rng.f64()).ln()).sqrt();
        let normal = radius * (std::f64::consts::TAU * rng.f64()).cos();
        (self.median as f64 * self.spread.powf(normal)) as u64 + 1
    }
}

/// Calls that a request makes at once, after it has worked for a while; it goes on when all are answered.
#[derive(Clone, Debug)]
pub(super) struct Stage {
    pub(super) work: Time,
    pub(super) kinds: Vec<u64>,
    /// How often it is done at all.
    pub(super) chance: f64,
    /// How often each call is made once more, right after its answer.
    pub(super) retried: f64,
}

pub(super) fn stage(kinds: &[u64]) -> Stage {
    Stage {
        work: about(300 * US, 1.6),
        kinds: kinds.to_vec(),
        chance: 1.0,
        retried: 0.0,
    }
}

#[derive(Clone, Debug)]
pub(super) struct Route {
    pub(super) stages: Vec<Stage>,
    pub(super) rest: Time,
}

pub(super) fn route(stages: impl IntoIterator<Item = Stage>) -> Route {
    Route {
        stages: stages.into_iter().collect(),
        rest: about(200 * US, 1.6),
    }
}

/// How requests come.
#[derive(Clone, Copy, Debug)]
pub(super) enum Load {
    /// So many a second, whatever becomes of them.
    Open(f64),
    /// One more as soon as one has ended; and after so many requests, so many are in flight.
    Closed {
        first: usize,
        after: usize,
        then: usize,
    },
}

pub(super) fn closed(in_flight: usize) -> Load {
    Load::Closed {
        first: in_flight,
        after: usize::MAX,
        then: in_flight,
    }
}

#[derive(Clone, Debug)]
pub(super) struct App {
    pub(super) routes: Vec<Route>,
    pub(super) load: Load,
    pub(super) requests: usize,
    /// How many requests are worked on at a time; others wait in the order in which they came.
    pub(super) workers: usize,
    pub(super) upstream: Time,
    /// Calls that no request makes: their kind, how many a second, and whether with a period.
    pub(super) background: Vec<(u64, f64, bool)>,
    /// Calls that are not answered.
    pub(super) unanswered: f64,
}

pub(super) fn app(routes: Vec<Route>, load: Load, requests: usize) -> App {
    App {
        routes,
        load,
        requests,
        workers: usize::MAX,
        upstream: about(2 * MS, 1.5),
        background: Vec::new(),
        unanswered: 0.0,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Next {
    Arrive,
    Call {
        request: usize,
        kind: u64,
        again: bool,
    },
    Background {
        source: usize,
    },
    Answer {
        call: usize,
    },
    End {
        request: usize,
    },
}

struct Running {
    route: usize,
    stage: usize,
    outstanding: usize,
}

struct Run<'a> {
    app: &'a App,
    rng: Rng,
    now: u64,
    sequence: u64,
    queue: BinaryHeap<Reverse<(u64, u64, Next)>>,
    waiting: VecDeque<usize>,
    busy: usize,
    running: Vec<Running>,
    /// Who made each call, and whether it is made again when it is answered.
    calls: Vec<(Option<usize>, Option<u64>)>,
    ended: usize,
    events: Vec<Event>,
}

impl App {
    /// What happens, in time order.
    pub(super) fn run(&self, seed: u64) -> Vec<Event> {
        let mut run = Run {
            app: self,
            rng: Rng::with_seed(seed),
            now: SECOND + 123_457,
            sequence: 0,
            queue: BinaryHeap::new(),
            waiting: VecDeque::new(),
            busy: 0,
            running: Vec::new(),
            calls: Vec::new(),
            ended: 0,
            events: Vec::new(),
        };
        let first = match self.load {
            Load::Open(_) => 1,
            Load::Closed { first, .. } => first,
        };
        for _ in 0..first {
            let gap = run.rng.u64(0..100 * US);
            run.later(gap, Next::Arrive);
        }
        for source in 0..self.background.len() {
            run.background_later(source);
        }
        while let Some(Reverse((at, _, next))) = run.queue.pop() {
            run.now = at;
            run.step(next);
        }
        run.events
    }
}

impl Run<'_> {
    fn later(&mut self, delay: u64, next: Next) {
        self.sequence += 1;
        self.queue
            .push(Reverse((self.now + delay, self.sequence, next)));
    }

    fn sees(&mut self, what: What) {
        self.events.push((self.now, what));
    }

    fn background_later(&mut self, source: usize) {
        let (_, rate, is_timer) = self.app.background[source];
        let share = if is_timer {
            1.0
        } else {
            -(1.0 - self.rng.f64()).ln()
        };
        self.later((share / rate * 1e9) as u64, Next::Background { source });
    }

    fn step(&mut self, next: Next) {
        match next {
            Next::Arrive => self.arrive(),
            Next::Call {
                request,
                kind,
                again,
            } => {
                let stage = &self.app.routes[self.running[request].route].stages
                    [self.running[request].stage];
                let again = !again && self.rng.f64() < stage.retried;
                self.call(Some(request), kind, again.then_some(kind));
            }
            Next::Background { source } => {
                if self.ended < self.app.requests {
                    self.call(None, self.app.background[source].0, None);
                    self.background_later(source);
                }
            }
            Next::Answer { call } => self.answer(call),
            Next::End { request } => {
                self.sees(What::End { request });
                self.end();
            }
        }
    }

    fn arrive(&mut self) {
        let request = self.running.len();
        if request >= self.app.requests {
            return;
        }
        let route = self.rng.usize(0..self.app.routes.len());
        self.running.push(Running {
            route,
            stage: 0,
            outstanding: 0,
        });
        self.sees(What::Begin {
            request,
            route: route as u64 + 1,
        });
        match self.app.load {
            Load::Open(rate) => {
                let gap = -(1.0 - self.rng.f64()).ln() / rate;
                self.later((gap * 1e9) as u64, Next::Arrive);
            }
            Load::Closed { first, after, then } if request == after => {
                for _ in first..then {
                    let gap = self.rng.u64(0..100 * US);
                    self.later(gap, Next::Arrive);
                }
            }
            Load::Closed { .. } => {}
        }
        if self.busy < self.app.workers {
            self.busy += 1;
            self.go_on(request);
        } else {
            self.waiting.push_back(request);
        }
    }

    /// The next stage of a request begins, or its rest.
    fn go_on(&mut self, request: usize) {
        let app = self.app;
        let route = &app.routes[self.running[request].route];
        while let Some(stage) = route.stages.get(self.running[request].stage) {
            if self.rng.f64() < stage.chance {
                let mut at = stage.work.draw(&mut self.rng);
                self.running[request].outstanding = stage.kinds.len();
                for kind in &stage.kinds {
                    let next = Next::Call {
                        request,
                        kind: *kind,
                        again: false,
                    };
                    self.later(at, next);
                    at += about(20 * US, 1.5).draw(&mut self.rng);
                }
                return;
            }
            self.running[request].stage += 1;
        }
        let rest = route.rest.draw(&mut self.rng);
        self.later(rest, Next::End { request });
    }

    fn call(&mut self, maker: Option<usize>, kind: u64, again: Option<u64>) {
        let call = self.calls.len();
        self.calls.push((maker, again));
        self.sees(What::Call { call, kind, maker });
        let latency = self.app.upstream.draw(&mut self.rng);
        self.later(latency, Next::Answer { call });
    }

    fn answer(&mut self, call: usize) {
        if self.rng.f64() >= self.app.unanswered {
            self.sees(What::Answer { call });
        }
        let (Some(request), again) = self.calls[call] else {
            return;
        };
        if let Some(kind) = again {
            let pause = about(50 * US, 1.5).draw(&mut self.rng);
            self.later(
                pause,
                Next::Call {
                    request,
                    kind,
                    again: true,
                },
            );
            return;
        }
        let running = &mut self.running[request];
        running.outstanding -= 1;
        if running.outstanding == 0 {
            running.stage += 1;
            self.go_on(request);
        }
    }

    fn end(&mut self) {
        self.ended += 1;
        if let Load::Closed { .. } = self.app.load {
            let gap = about(30 * US, 2.0).draw(&mut self.rng);
            self.later(gap, Next::Arrive);
        }
        match self.waiting.pop_front() {
            Some(request) => self.go_on(request),
            None => self.busy -= 1,
        }
    }
}
