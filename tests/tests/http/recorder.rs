//! An upstream that writes down what it was asked, read without any forgiveness, and the check that
//! whatever a client writes has at most one reading behind the sidecar.

use std::sync::{Arc, Mutex};

use throughline_tests::{Setup, Sidecar, Upstream};

use super::{
    scene::{Way, entry, spell},
    wire::{Message, Wire},
};

/// What came at an upstream: a whole request, or what was wrong with what came.
pub(crate) type Seen = Result<Message, String>;

/// An upstream that answers every request with its path, and closes at anything else.
pub(crate) struct Recorder {
    upstream: Upstream,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Recorder {
    pub(crate) async fn start() -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let notes = seen.clone();
        let upstream = Upstream::raw(move |stream, _| {
            let notes = notes.clone();
            async move {
                let mut wire = Wire::new(stream);
                loop {
                    let answer = match wire.try_request().await {
                        Ok(None) => return,
                        Ok(Some(request)) => {
                            let line = request.head.line.clone();
                            notes.lock().unwrap().push(Ok(request));
                            let length = line.len();
                            format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{line}")
                        }
                        Err(why) => {
                            notes.lock().unwrap().push(Err(why));
                            return;
                        }
                    };
                    wire.send(answer).await;
                }
            }
        })
        .await;
        Self { upstream, seen }
    }

    pub(crate) fn address(&self) -> std::net::SocketAddr {
        self.upstream.address()
    }

    /// What came since this was last asked.
    pub(crate) fn take(&self) -> Vec<Seen> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }
}

/// What is to become of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Expect {
    /// It is answered with an error, the connection is closed, and no whole request comes through.
    Refused,
    /// That; or one request comes through with this body, in a form that has one reading, and nothing
    /// that follows it on the connection does.
    OneReading(&'static str),
    /// One request comes through with this body.
    Passed(&'static str),
}

/// A client's bytes by name, and what is to become of them.
pub(crate) type Case<'c> = (&'c str, Vec<u8>, Expect);

/// A sidecar with a [`Recorder`] at the end of each way.
pub(crate) struct Judge {
    sidecar: Sidecar,
    recorders: Vec<Recorder>,
}

impl Judge {
    pub(crate) async fn start() -> Self {
        let recorders = vec![
            Recorder::start().await,
            Recorder::start().await,
            Recorder::start().await,
        ];
        let behind = format!("127.0.0.1:0={}", recorders[1].upstream.address());
        let sidecar = Setup::beside(recorders[0].upstream.address())
            .flag("routes", &behind)
            .flag("app-protocol", "http1")
            .start()
            .await;
        Self { sidecar, recorders }
    }

    fn recorder(&self, way: Way) -> &Recorder {
        &self.recorders[way as usize]
    }

    /// What the client was told, and what the upstream saw of it.
    pub(crate) async fn run(&self, way: Way, request: &[u8]) -> (String, Vec<Seen>) {
        let recorder = self.recorder(way);
        let upstream = recorder.upstream.address();
        recorder.take();
        let mut client = Wire::connect(entry(&self.sidecar, way)).await;
        client.send(spell(way, upstream, request)).await;
        client.finish().await;
        let told = client.rest_text().await;
        // Whatever was sent before this one has come by then.
        let mut marker = Wire::connect(entry(&self.sidecar, way)).await;
        let request = b"GET /marker HTTP/1.1\r\nhost: shop\r\nconnection: close\r\n\r\n";
        marker.send(spell(way, upstream, request)).await;
        let answer = marker.response().await;
        assert_eq!(answer.head.status(), 200, "{way:?}: others are not harmed");
        let mut seen = recorder.take();
        seen.retain(|seen| !matches!(seen, Ok(m) if m.head.line.contains("/marker")));
        (told, seen)
    }

    async fn judge(&self, way: Way, request: &[u8], expect: Expect) -> Result<(), String> {
        let (told, seen) = self.run(way, request).await;
        let whole: Vec<&Message> = seen.iter().filter_map(|seen| seen.as_ref().ok()).collect();
        let broken = seen.iter().filter_map(|seen| seen.as_ref().err());
        let broken: Vec<&String> = broken
            // The end in the middle is how an upstream learns that a request is not whole.
            .filter(|why| !why.starts_with("the end"))
            .collect();
        let status = told.get(9..12).and_then(|s| s.parse::<u16>().ok());
        let is_refused = whole.is_empty() && status.is_some_and(|s| (400..600).contains(&s));
        let is_one = |body: &str| {
            status == Some(200) && whole.len() == 1 && whole[0].body == body.as_bytes()
        };
        let holds = broken.is_empty()
            && match expect {
                Expect::Refused => is_refused,
                Expect::OneReading(body) => is_refused || is_one(body),
                Expect::Passed(body) => is_one(body),
            };
        if holds {
            return Ok(());
        }
        let lines: Vec<&str> = told.lines().filter(|l| l.starts_with("HTTP/")).collect();
        let whole: Vec<String> = whole
            .iter()
            .map(|m| format!("{} {:?} {:?}", m.head.line, m.text(), m.head.fields.len()))
            .collect();
        Err(format!(
            "told {lines:?}, whole {whole:?}, broken {broken:?}"
        ))
    }
}

/// Runs every case on every one of `ways`, and shows all that do not hold.
pub(crate) async fn check(ways: &[Way], cases: &[Case<'_>]) {
    let judge = Judge::start().await;
    let mut failures = Vec::new();
    for (name, request, expect) in cases {
        for way in ways {
            if let Err(why) = judge.judge(*way, request, *expect).await {
                failures.push(format!("{way:?}, {name}: wanted {expect:?}, {why}"));
            }
        }
    }
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

/// A request to `/first` with these fields, and what follows its head.
pub(crate) fn first(method: &str, fields: &str, rest: &str) -> Vec<u8> {
    format!("{method} /first HTTP/1.1\r\nHost: shop\r\n{fields}\r\n{rest}").into_bytes()
}

/// A request that must not be one.
pub(crate) const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: shop\r\n\r\n";
