//! One more attempt, where that is safe.
//!
//! Two things are tried again. A keep-alive connection may be closed by the other side in the very
//! moment that a request is written to it; no status tells that from a crash, so that it is sent once
//! more only if the pool hands it back, which it does for idempotent requests without a body that were
//! not answered. And what the operator asks for, as [`attempts`](crate::attempts) decides: for that
//! the request is kept, its head as a copy and its body as it passes.

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Waker},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{Request, Response, header::RETRY_AFTER, request};
use http_body::Body;
use throughline::ambient;

use crate::{
    attempts::{Budget, Failed, Policy, Reason, Trouble, Verdict, retry_after},
    pool::{Cause, Error, Kept, RequestBody},
};

/// The most attempts after the first for the sake of stale connections: all may be stale.
const MAX_RESENDS: u32 = 3;

/// The most bytes of an answer that is not passed on which are read to save its connection.
const MOST_READ: usize = 64 << 10;

/// What an operator wants tried again, and how much of that is left.
#[derive(Debug)]
pub struct Retries {
    policy: Policy,
    budget: Mutex<Budget>,
    counts: Arc<Counts>,
}

impl Retries {
    /// Retries by `policy`, counted in `counts`; `None` if there are to be none.
    pub fn new(policy: &Policy, counts: &Arc<Counts>) -> Option<Self> {
        (!policy.on.is_empty()).then(|| Self {
            budget: Mutex::new(Budget::new(policy.budget, ambient::now())),
            policy: policy.clone(),
            counts: counts.clone(),
        })
    }
}

/// How often requests were tried again, and why they were not.
#[derive(Debug, Default)]
pub struct Counts {
    sent: AtomicU64,
    not: [AtomicU64; Reason::ALL.len()],
}

impl Counts {
    /// How often one was.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// How often one was not, although that was asked for.
    #[must_use]
    pub fn not(&self, reason: Reason) -> u64 {
        self.not[reason as usize].load(Ordering::Relaxed)
    }
}

/// The attempts of one request, after the first.
#[derive(Debug)]
pub(crate) struct Resends<'r, B> {
    raced: u32,
    resent: u32,
    deadline: Option<Instant>,
    /// In a box: most requests have none.
    kept: Option<Box<Repeatable<'r, B>>>,
}

/// A request that may be tried again.
#[derive(Debug)]
struct Repeatable<'r, B> {
    retries: &'r Retries,
    is_repeatable: bool,
    head: request::Parts,
    body: Option<Kept<B>>,
}

/// One more attempt.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Again {
    /// Which it is, from 1.
    pub(crate) resent: u32,
    /// How long to wait before.
    pub(crate) pause: Option<Duration>,
}

impl<'r, B> Resends<'r, B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    /// Those of a request that are left to the pool alone.
    pub(crate) fn none() -> Self {
        Self {
            raced: 0,
            resent: 0,
            deadline: None,
            kept: None,
        }
    }

    /// Those of `request`, which ends by `deadline`.
    pub(crate) fn of(
        request: &mut Request<RequestBody<B>>,
        retries: Option<&'r Retries>,
        deadline: Option<Instant>,
    ) -> Self {
        let kept = retries.and_then(|retries| {
            let budget = || {
                retries
                    .budget
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
            };
            budget().deposit();
            let policy = &retries.policy;
            let is_repeatable = policy.is_repeatable(request.method(), request.headers());
            policy.concerns(is_repeatable).then(|| {
                Box::new(Repeatable {
                    retries,
                    is_repeatable,
                    head: head_of(request),
                    body: request.body_mut().keep(policy.body_bytes),
                })
            })
        });
        Self {
            deadline,
            kept,
            ..Self::none()
        }
    }

    /// Puts into `request` what is to be sent once more after `error`, and says which attempt that is;
    /// or gives the error back.
    ///
    /// The request stays where it is and no closure sends it: what moves from future to future is
    /// copied as often, and this is on the way of every request.
    pub(crate) fn after(
        &mut self,
        mut error: Error,
        request: &mut Request<RequestBody<B>>,
    ) -> Result<Again, Error> {
        if let Some(replay) = error.take_replay()
            && self.raced < MAX_RESENDS
        {
            *request = Request::from_parts(*replay, RequestBody::empty());
            self.raced += 1;
            self.resent += 1;
            return Ok(Again {
                resent: self.resent,
                pause: None,
            });
        }
        let trouble = trouble(error.cause());
        let again = trouble.and_then(|trouble| self.repeat(trouble, None, request));
        again.ok_or(error)
    }

    /// The same after an answer.
    pub(crate) fn after_answer<A>(
        &mut self,
        answer: &Response<A>,
        request: &mut Request<RequestBody<B>>,
    ) -> Option<Again> {
        self.kept.as_ref()?;
        let trouble = Trouble::Status(answer.status());
        let value = answer.headers().get(RETRY_AFTER);
        let after = value.and_then(|value| retry_after(value, ambient::wall()));
        self.repeat(trouble, after, request)
    }

    /// Whether answers may be tried again, so that it is worth knowing more of them.
    pub(crate) fn is_any(&self) -> bool {
        self.kept.is_some()
    }

    fn repeat(
        &mut self,
        trouble: Trouble,
        retry_after: Option<Duration>,
        request: &mut Request<RequestBody<B>>,
    ) -> Option<Again> {
        let kept = self.kept.as_ref()?;
        let failed = Failed {
            trouble,
            resent: self.resent,
            is_repeatable: kept.is_repeatable,
            is_kept: kept.body.as_ref().is_none_or(Kept::is_whole),
            retry_after,
            deadline: self.deadline,
        };
        let Retries {
            policy,
            budget,
            counts,
        } = kept.retries;
        let verdict = {
            let mut budget = budget.lock().unwrap_or_else(PoisonError::into_inner);
            policy.decide(&failed, &mut budget, ambient::now(), ambient::random())
        };
        match verdict {
            Verdict::Again(pause) => {
                counts.sent.fetch_add(1, Ordering::Relaxed);
                let mut again = Request::new(RequestBody::again(kept.body.as_ref()));
                copy_head(&kept.head, &mut again);
                *request = again;
                self.resent += 1;
                Some(Again {
                    resent: self.resent,
                    pause: Some(pause),
                })
            }
            Verdict::No(reason) => {
                counts.not[reason as usize].fetch_add(1, Ordering::Relaxed);
                None
            }
            Verdict::Unwanted => None,
        }
    }
}

/// What an attempt failed of that the operator may have a word about.
fn trouble(cause: Cause) -> Option<Trouble> {
    match cause {
        Cause::Dns
        | Cause::DnsTimeout
        | Cause::Connect
        | Cause::ConnectTimeout
        | Cause::Tls(_)
        | Cause::TlsTimeout => Some(Trouble::Connect),
        Cause::Refused => Some(Trouble::Refused),
        Cause::Closed => Some(Trouble::Reset),
        Cause::ResponseTimeout => Some(Trouble::Timeout),
        _ => None,
    }
}

fn head_of<B>(request: &Request<B>) -> request::Parts {
    let (mut head, ()) = Request::new(()).into_parts();
    head.method = request.method().clone();
    head.uri = request.uri().clone();
    head.version = request.version();
    head.headers = request.headers().clone();
    head.extensions = request.extensions().clone();
    head
}

fn copy_head<B>(head: &request::Parts, request: &mut Request<B>) {
    *request.method_mut() = head.method.clone();
    *request.uri_mut() = head.uri.clone();
    *request.version_mut() = head.version;
    *request.headers_mut() = head.headers.clone();
    *request.extensions_mut() = head.extensions.clone();
}

/// Reads what is there of an answer that is not passed on, so that its connection can be used again,
/// and says whether that was all of it. Nothing is waited for.
pub(crate) fn read_off<B: Body<Data = Bytes> + Unpin>(body: &mut B) -> bool {
    let mut left = MOST_READ;
    let mut cx = Context::from_waker(Waker::noop());
    while !body.is_end_stream() {
        match Pin::new(&mut *body).poll_frame(&mut cx) {
            std::task::Poll::Ready(Some(Ok(frame))) => {
                let length = frame.data_ref().map_or(0, Bytes::len);
                match left.checked_sub(length) {
                    Some(rest) => left = rest,
                    None => return false,
                }
            }
            std::task::Poll::Ready(None) => return true,
            _ => return false,
        }
    }
    true
}
