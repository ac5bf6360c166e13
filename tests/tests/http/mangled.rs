//! Bytes in, bytes out: messages that chance has mangled, in both directions.
//!
//! `MANGLED` says how many, 2,000 of each by itself. The same number makes the same bytes again. What is
//! checked of each: behind the sidecar there is never a message with more than one reading, what was cut
//! short never looks whole, and others are served as before.

use std::sync::{Arc, Mutex};

use fastrand::Rng;
use throughline_tests::{Setup, Upstream};

use super::{
    recorder::Judge,
    scene::{Way, entry},
    wire::{Framing, Message, Wire},
};

/// How many messages are made.
#[expect(
    clippy::disallowed_methods,
    reason = "whoever runs the test says how many"
)]
fn cases() -> u64 {
    let said = std::env::var("MANGLED").ok();
    said.and_then(|said| said.parse().ok()).unwrap_or(2_000)
}

const REQUESTS: &[&str] = &[
    "GET /a HTTP/1.1\r\nHost: shop\r\n\r\n",
    "GET /a?b=c HTTP/1.1\r\nHost: shop\r\nAccept: */*\r\nCookie: a=b; c=d\r\n\r\nGET /b HTTP/1.1\r\nHost: shop\r\n\r\n",
    "POST /a HTTP/1.1\r\nHost: shop\r\nContent-Length: 5\r\n\r\nhelloGET /b HTTP/1.1\r\nHost: shop\r\n\r\n",
    "POST /a HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\nGET /b HTTP/1.1\r\nHost: shop\r\n\r\n",
    "PUT /a HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: chunked\r\nTrailer: x\r\n\r\n5;a=b\r\nhello\r\n0\r\nx: y\r\n\r\n",
    "HEAD /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nHost: shop\r\n\r\n",
];

const RESPONSES: &[&str] = &[
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nhel\r\n2\r\nlo\r\n0\r\nx: y\r\n\r\n",
    "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello",
    "HTTP/1.0 200 OK\r\n\r\nhello",
    "HTTP/1.1 204 No Content\r\n\r\n",
    "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\n\r\n",
];

/// What is put into messages: what two readers have read in two ways before.
const PIECES: &[&[u8]] = &[
    b"\n",
    b"\r",
    b"\r\n",
    b"\r\n\r\n",
    b"\0",
    b" ",
    b"\t",
    b"\x0b",
    b"\x7f",
    b"\xff",
    b":",
    b";",
    b"0\r\n\r\n",
    b"Content-Length: 5\r\n",
    b"Content-Length: 0\r\n",
    b"Content-Length: +5\r\n",
    b"content-length : 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: identity\r\n",
    b"Transfer-Encoding:\x0bchunked\r\n",
    b" Transfer-Encoding: chunked\r\n",
    b"Host: other\r\n",
    b"Connection: close\r\n",
    b"Connection: content-length\r\n",
    b"Upgrade: h2c\r\n",
    b"Expect: 100-continue\r\n",
    b"GET /b HTTP/1.1\r\nHost: shop\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    b"ffffffffffffffff\r\n",
    b"0x5\r\n",
    b"HTTP/1.0",
    b"HTTP/2.0",
];

/// One of `seeds`, changed in one to four places.
fn mangle(seeds: &[&str], rng: &mut Rng) -> Vec<u8> {
    let mut bytes = seeds[rng.usize(..seeds.len())].as_bytes().to_vec();
    for _ in 0..rng.usize(1..=4) {
        let at = rng.usize(..=bytes.len());
        match rng.u8(..6) {
            0 => {
                let piece = PIECES[rng.usize(..PIECES.len())];
                bytes.splice(at..at, piece.iter().copied());
            }
            // Pieces that are lines do most at the beginning of one.
            1 | 2 => {
                let lines = bytes
                    .windows(2)
                    .enumerate()
                    .filter(|(_, two)| two == b"\r\n");
                let starts: Vec<usize> = lines.map(|(at, _)| at + 2).collect();
                let at = starts.get(rng.usize(..starts.len().max(1))).copied();
                let at = at.unwrap_or(bytes.len());
                let piece = PIECES[rng.usize(..PIECES.len())];
                bytes.splice(at..at, piece.iter().copied());
            }
            3 => {
                let end = (at + rng.usize(..8)).min(bytes.len());
                bytes.drain(at..end);
            }
            4 => {
                let end = (at + rng.usize(..24)).min(bytes.len());
                let again = bytes[at..end].to_vec();
                bytes.splice(at..at, again);
            }
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << rng.u8(..8);
                }
            }
        }
    }
    bytes
}

#[tokio::test]
async fn a_mangled_request_has_one_reading_behind_us_or_none() {
    let judge = Judge::start().await;
    for case in 0..cases() {
        let request = mangle(REQUESTS, &mut Rng::with_seed(case));
        let (told, seen) = judge.run(Way::Inbound, &request).await;
        let shown = || format!("case {case}, {:?}", String::from_utf8_lossy(&request));
        let mut whole = 0;
        for seen in &seen {
            match seen {
                Ok(_) => whole += 1,
                // That is how it learns that a request was not whole.
                Err(why) => assert!(why.starts_with("the end"), "{}: {why}", shown()),
            }
        }
        // As many answers of the upstream as it had requests; HEAD and its like have the same line.
        let good = told.matches("HTTP/1.1 200 OK\r\n").count();
        let good = good + told.matches("HTTP/1.0 200 OK\r\n").count();
        assert_eq!(good, whole, "{}: {told:?}", shown());
    }
}

/// An upstream that says what it is told to, whatever it is asked, and closes.
async fn parrot() -> (Upstream, Arc<Mutex<Vec<u8>>>) {
    let said = Arc::new(Mutex::new(Vec::new()));
    let says = said.clone();
    let upstream = Upstream::raw(move |stream, _| {
        let says = says.clone();
        async move {
            let mut wire = Wire::new(stream);
            if let Ok(Some(_)) = wire.try_request().await {
                let bytes = says.lock().unwrap().clone();
                wire.send(bytes).await;
                wire.close().await;
            }
        }
    })
    .await;
    (upstream, said)
}

#[tokio::test]
async fn a_mangled_answer_is_whole_for_the_caller_only_if_it_was() {
    const ASK: &[u8] = b"GET /a HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n";
    let (app, says) = parrot().await;
    let sidecar = Setup::beside(app.address())
        .flag("app-protocol", "http1")
        .start()
        .await;
    for case in 0..cases() {
        let response = mangle(RESPONSES, &mut Rng::with_seed(case));
        *says.lock().unwrap() = response.clone();
        let mut direct = Wire::connect(app.address()).await;
        direct.send(ASK).await;
        let direct = final_response(&mut direct).await;
        let mut client = Wire::connect(entry(&sidecar, Way::Inbound)).await;
        client.send(ASK).await;
        let told = final_response(&mut client).await;
        let shown = || {
            let said = String::from_utf8_lossy(&response);
            format!("case {case}, {said:?}: {direct:?} became {told:?}")
        };
        match (&direct, &told) {
            // Ours, and there is always room for doubt about what is not in good form.
            (_, Ok(told)) if told.head.status() == 502 => {}
            (Ok(direct), Ok(told)) => {
                assert_eq!(told.body, direct.body, "{}", shown());
                assert_eq!(told.head.status(), direct.head.status(), "{}", shown());
            }
            (Err(why), Ok(_)) if why.starts_with("the end") => panic!("{}", shown()),
            // A reader that forgives has found one reading, and that is what the caller has.
            (Err(_), Ok(_)) => {}
            (_, Err(why)) => assert!(why.starts_with("the end"), "{}", shown()),
        }
    }
}

/// The answer after all interim ones; one that lasts until the close is no more than that.
async fn final_response(wire: &mut Wire) -> Result<Message, String> {
    loop {
        let message = wire.try_response().await?;
        if message.framing != Framing::None || message.head.status() >= 200 {
            return Ok(message);
        }
    }
}
