//! An OTLP receiver for both protocols that decodes with `opentelemetry-proto`, and that can refuse,
//! hang or be gone.

mod grpc;
mod http;

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use tokio::{
    io::AsyncWriteExt,
    net::TcpListener,
    task::{JoinHandle, JoinSet},
    time::sleep,
};

use crate::{span::Span, wait::until};

/// How spans are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// `grpc`
    Grpc,
    /// `http/protobuf`
    Http,
}

impl Protocol {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Grpc, Self::Http];

    /// The value of `OTEL_EXPORTER_OTLP_PROTOCOL`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::Http => "http/protobuf",
        }
    }
}

/// What the receiver does with a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Behaviour {
    /// Takes its spans.
    #[default]
    Take,
    /// Says that it cannot, for now: 503 or UNAVAILABLE.
    Refuse,
    /// Never answers.
    Hang,
    /// Takes its spans after so long.
    Slow(Duration),
    /// Says this to whoever connects, whatever is asked, and closes.
    Garbage(&'static [u8]),
}

/// One request that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// How it came.
    pub protocol: Protocol,
    /// Whether it was compressed.
    pub is_gzip: bool,
    /// Its `x-api-key` header.
    pub api_key: Option<String>,
    /// How many spans it had.
    pub spans: usize,
}

/// A collector with one door for each protocol.
#[derive(Debug)]
pub struct Collector {
    shared: Arc<Shared>,
    grpc: Door,
    http: Door,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    hanging: AtomicUsize,
    refused: AtomicUsize,
    garbled: AtomicUsize,
    under_way: AtomicUsize,
    most_under_way: AtomicUsize,
}

#[derive(Debug, Default)]
struct State {
    behaviour: Behaviour,
    spans: Vec<Span>,
    deliveries: Vec<Delivery>,
}

impl Collector {
    /// A collector that takes what comes.
    pub async fn start() -> Self {
        let shared = Arc::new(Shared::default());
        let mut collector = Self {
            grpc: Door::new(Protocol::Grpc),
            http: Door::new(Protocol::Http),
            shared,
        };
        collector.open().await;
        collector
    }

    /// Where this protocol is taken.
    ///
    /// # Panics
    ///
    /// Never: a collector that was started has addresses.
    #[must_use]
    pub fn endpoint(&self, protocol: Protocol) -> String {
        let door = match protocol {
            Protocol::Grpc => &self.grpc,
            Protocol::Http => &self.http,
        };
        let address = door.address.expect("it was opened when it was started");
        format!("http://{address}")
    }

    /// From now on it does this with every request.
    pub fn behave(&self, behaviour: Behaviour) {
        self.shared.state().behaviour = behaviour;
    }

    /// Goes away, with its connections; [`Collector::open`] brings it back.
    pub fn close(&mut self) {
        for door in [&mut self.grpc, &mut self.http] {
            if let Some(accepting) = door.accepting.take() {
                accepting.abort();
            }
        }
    }

    /// Listens again, where it listened before.
    ///
    /// # Panics
    ///
    /// When somebody has taken its port.
    pub async fn open(&mut self) {
        for door in [&mut self.grpc, &mut self.http] {
            door.open(&self.shared).await;
        }
    }

    /// How many requests it has left without an answer.
    #[must_use]
    pub fn hanging(&self) -> usize {
        self.shared.hanging.load(Ordering::SeqCst)
    }

    /// How many requests it has refused.
    #[must_use]
    pub fn refused(&self) -> usize {
        self.shared.refused.load(Ordering::SeqCst)
    }

    /// How many connections it has told garbage.
    #[must_use]
    pub fn garbled(&self) -> usize {
        self.shared.garbled.load(Ordering::SeqCst)
    }

    /// The most requests that it ever had at a time.
    #[must_use]
    pub fn most_at_once(&self) -> usize {
        self.shared.most_under_way.load(Ordering::SeqCst)
    }

    /// The requests that it has taken.
    #[must_use]
    pub fn deliveries(&self) -> Vec<Delivery> {
        self.shared.state().deliveries.clone()
    }

    /// The spans that it has taken.
    #[must_use]
    pub fn spans(&self) -> Vec<Span> {
        self.shared.state().spans.clone()
    }

    /// Waits until there are `count` spans of which `is_wanted` is true, and checks each of them.
    ///
    /// # Panics
    ///
    /// When there are more, or too few within [`PATIENCE`](crate::PATIENCE); it shows what there is.
    pub async fn wanted(&self, count: usize, is_wanted: impl Fn(&Span) -> bool) -> Vec<Span> {
        let wanted = || -> Vec<Span> {
            let mut spans = self.spans();
            spans.retain(|span| is_wanted(span));
            spans
        };
        let report = scopeguard(|| {
            let spans = self.spans();
            let lines: Vec<_> = spans.iter().map(Span::summary).collect();
            format!("the collector has {}:\n{}", spans.len(), lines.join("\n"))
        });
        let what = format!("{count} spans at the collector");
        until(&what, async || (wanted().len() >= count).then_some(())).await;
        report.forget();
        let spans = wanted();
        let lines: Vec<_> = spans.iter().map(Span::summary).collect();
        assert_eq!(spans.len(), count, "\n{}", lines.join("\n"));
        spans.iter().for_each(Span::check);
        spans
    }

    /// Waits for the one span of this kind and path.
    ///
    /// # Panics
    ///
    /// As [`Collector::wanted`] does.
    pub async fn span(&self, kind: crate::Kind, path: &str) -> Span {
        let mut spans = self
            .wanted(1, |span| span.kind() == kind && span.path() == path)
            .await;
        spans.remove(0)
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.close();
    }
}

impl Shared {
    /// What to do with a request. One that hangs ends here.
    async fn behave(&self) -> Result<(), Refused> {
        let under_way = self.under_way.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_under_way.fetch_max(under_way, Ordering::SeqCst);
        let _leaving = Leaving(&self.under_way);
        let behaviour = self.state().behaviour;
        match behaviour {
            Behaviour::Take => Ok(()),
            Behaviour::Slow(time) => {
                sleep(time).await;
                Ok(())
            }
            // Of a connection that was there before it began.
            Behaviour::Refuse | Behaviour::Garbage(_) => {
                self.refused.fetch_add(1, Ordering::SeqCst);
                Err(Refused)
            }
            Behaviour::Hang => {
                self.hanging.fetch_add(1, Ordering::SeqCst);
                std::future::pending().await
            }
        }
    }

    fn take(&self, request: ExportTraceServiceRequest, delivery: Delivery) {
        let spans = Span::all(request);
        let mut state = self.state();
        state.deliveries.push(Delivery {
            spans: spans.len(),
            ..delivery
        });
        state.spans.extend(spans);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The request is not taken.
struct Refused;

/// Counts a request that is over, whether it was answered or left.
struct Leaving<'c>(&'c AtomicUsize);

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A port and whoever accepts there.
#[derive(Debug)]
struct Door {
    protocol: Protocol,
    address: Option<SocketAddr>,
    accepting: Option<JoinHandle<()>>,
}

impl Door {
    fn new(protocol: Protocol) -> Self {
        Self {
            protocol,
            address: None,
            accepting: None,
        }
    }

    async fn open(&mut self, shared: &Arc<Shared>) {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let address = self.address.unwrap_or(any);
        // Whoever listened there may be on his way out.
        let listener = until("the collector's port", async || {
            TcpListener::bind(address).await.ok()
        })
        .await;
        self.address = listener.local_addr().ok();
        let (protocol, shared) = (self.protocol, shared.clone());
        self.accepting = Some(tokio::spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                let behaviour = shared.state().behaviour;
                if let Behaviour::Garbage(garbage) = behaviour {
                    shared.garbled.fetch_add(1, Ordering::SeqCst);
                    // Whether it still listens is its own affair.
                    open.spawn(async move { drop(stream.write_all(garbage).await) });
                    continue;
                }
                match protocol {
                    Protocol::Grpc => open.spawn(grpc::serve(stream, shared.clone())),
                    Protocol::Http => open.spawn(http::serve(stream, shared.clone())),
                };
            }
        }));
    }
}

/// Says something when it is dropped by a panic, and nothing when it is forgotten before.
fn scopeguard<F: Fn() -> String>(say: F) -> Report<F> {
    Report(Some(say))
}

struct Report<F: Fn() -> String>(Option<F>);

impl<F: Fn() -> String> Report<F> {
    fn forget(mut self) {
        self.0 = None;
    }
}

impl<F: Fn() -> String> Drop for Report<F> {
    #[expect(clippy::print_stderr, reason = "it is what a failed test has to say")]
    fn drop(&mut self) {
        if let Some(say) = self.0.take().filter(|_| std::thread::panicking()) {
            eprintln!("{}", say());
        }
    }
}
