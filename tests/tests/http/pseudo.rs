//! HTTP/2 requests that would become something else in HTTP/1.1.

use throughline_tests::{Setup, Sidecar};

use super::{
    frames::{DATA, END_HEADERS, END_STREAM, HEADERS, Outcome, Peer, block},
    recorder::{Recorder, Seen},
};

/// A sidecar before an app that speaks HTTP/1.1.
struct Stand {
    sidecar: Sidecar,
    recorder: Recorder,
}

type Field<'f> = (&'f [u8], &'f [u8]);

impl Stand {
    async fn start() -> Self {
        let recorder = Recorder::start().await;
        let setup = Setup::beside(recorder.address()).flag("app-protocol", "http1");
        Self {
            sidecar: setup.start().await,
            recorder,
        }
    }

    /// Asks with this head and body.
    async fn ask(&self, fields: &[Field<'_>], body: Option<&[u8]>) -> (Outcome, Vec<Seen>) {
        let mut client = Peer::connect(self.sidecar.inbound(), &[]).await;
        let end = if body.is_none() { END_STREAM } else { 0 };
        client
            .send(HEADERS, END_HEADERS | end, 1, &block(fields))
            .await;
        if let Some(body) = body {
            client.send(DATA, END_STREAM, 1, body).await;
        }
        let outcome = client.outcome(1).await;
        // Whatever was sent before this one has come by then.
        let mut marker = Peer::connect(self.sidecar.inbound(), &[]).await;
        marker.get(1, "/marker").await;
        assert_eq!(marker.outcome(1).await, Outcome::Answered);
        let mut seen = self.recorder.take();
        seen.retain(|seen| !matches!(seen, Ok(m) if m.head.line.contains("/marker")));
        (outcome, seen)
    }
}

const GOOD: [Field<'_>; 4] = [
    (b":method", b"GET"),
    (b":scheme", b"http"),
    (b":authority", b"shop"),
    (b":path", b"/first"),
];

/// A good head with another value in one place.
fn with<'f>(name: &[u8], value: &'f [u8]) -> Vec<Field<'f>> {
    let fields = GOOD.into_iter();
    fields
        .map(|(n, v)| (n, if n == name { value } else { v }))
        .collect()
}

/// A good head and one more field.
fn and<'f>(name: &'f [u8], value: &'f [u8]) -> Vec<Field<'f>> {
    let mut fields: Vec<Field<'f>> = GOOD.to_vec();
    fields.push((name, value));
    fields
}

/// What is odd about a head.
fn show(fields: &[Field<'_>]) -> String {
    let odd = fields.iter().filter(|field| !GOOD.contains(field));
    let odd =
        odd.map(|(name, value)| format!("{} = {}", name.escape_ascii(), value.escape_ascii()));
    format!("{} fields, {:?}", fields.len(), odd.collect::<Vec<_>>())
}

/// Nothing of these comes through.
async fn refused(heads: &[Vec<Field<'_>>]) {
    let stand = Stand::start().await;
    let mut failures = Vec::new();
    for head in heads {
        let (outcome, seen) = stand.ask(head, None).await;
        if outcome != Outcome::Refused || !seen.is_empty() {
            failures.push(format!("{}: {outcome:?}, {seen:?}", show(head)));
        }
    }
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

#[tokio::test]
async fn a_good_head_is_good() {
    let stand = Stand::start().await;
    let (outcome, seen) = stand.ask(&GOOD, None).await;
    assert_eq!((outcome, seen.len()), (Outcome::Answered, 1));
}

#[tokio::test]
async fn a_control_byte_in_a_pseudo_header_is_refused() {
    refused(&[
        with(b":path", b"/first\r\nX: y"),
        with(
            b":path",
            b"/first HTTP/1.1\r\nHost: shop\r\n\r\nGET /smuggled",
        ),
        with(b":path", b"/first\n"),
        with(b":path", b"/first\r"),
        with(b":path", b"/fi\0rst"),
        with(b":path", b"/fi rst"),
        with(b":path", b"/fi\trst"),
        with(b":path", b"/fi\x7frst"),
        with(b":method", b"GET /smuggled HTTP/1.1\r\nX: y\r\n\r\nGET"),
        with(b":method", b"G T"),
        with(b":method", b"GET\0"),
        with(b":method", b"GET\n"),
        with(b":authority", b"shop\r\nX: y"),
        with(b":authority", b"sh op"),
        with(b":authority", b"shop\0"),
        with(b":authority", b"shop\n"),
        with(b":scheme", b"http\r\nX: y"),
        with(b":scheme", b"ht tp"),
        with(b":scheme", b"http\0"),
    ])
    .await;
}

#[tokio::test]
async fn a_control_byte_in_a_field_is_refused() {
    refused(&[
        and(b"x", b"a\r\ny: b"),
        and(b"x", b"a\nb"),
        and(b"x", b"a\rb"),
        and(b"x", b"a\0b"),
        and(b"x\r\ny", b"a"),
        and(b"x y", b"a"),
        and(b"x:y", b"a"),
        and(b"x\0", b"a"),
        and(b"X", b"a"),
        and(b"", b"a"),
    ])
    .await;
}

#[tokio::test]
async fn a_pseudo_header_that_is_odd_is_refused() {
    let mut late = and(b"x", b"a");
    late.swap(0, 4);
    let twice = |field: Field<'static>| and(field.0, field.1);
    let without = |name: &[u8]| -> Vec<Field<'static>> {
        GOOD.into_iter().filter(|(n, _)| *n != name).collect()
    };
    refused(&[
        late,
        twice((b":path", b"/smuggled")),
        twice((b":method", b"GET")),
        twice((b":authority", b"evil")),
        and(b":status", b"200"),
        and(b":odd", b"1"),
        without(b":path"),
        without(b":method"),
        without(b":scheme"),
        with(b":path", b""),
        with(b":path", b"first"),
        with(b":method", b""),
    ])
    .await;
}

#[tokio::test]
async fn an_authority_that_is_none_is_refused() {
    refused(&[
        with(b":authority", b"shop/x"),
        with(b":authority", b"shop?x"),
        with(b":authority", b"shop#x"),
    ])
    .await;
}

#[tokio::test]
async fn an_authority_that_names_a_user_or_no_port_is_refused() {
    refused(&[
        with(b":authority", b"me@shop"),
        with(b":authority", b"shop:x"),
    ])
    .await;
}

#[tokio::test]
async fn a_scheme_that_is_empty_is_refused() {
    refused(&[with(b":scheme", b"")]).await;
}

#[tokio::test]
async fn a_field_of_the_connection_is_refused_in_http2() {
    // RFC 9113 section 8.2.2.
    refused(&[
        and(b"connection", b"close"),
        and(b"transfer-encoding", b"chunked"),
        and(b"keep-alive", b"1"),
        and(b"proxy-connection", b"close"),
        and(b"upgrade", b"websocket"),
        and(b"te", b"gzip"),
    ])
    .await;
}

#[tokio::test]
async fn a_length_that_is_not_the_bodys_is_never_a_whole_request() {
    let stand = Stand::start().await;
    let mut failures = Vec::new();
    for (length, body) in [
        (&b"3"[..], Some(&b"abcdef"[..])),
        (b"10", Some(b"abcdef")),
        (b"6", None),
        (b"6x", Some(b"abcdef")),
        (b"+6", Some(b"abcdef")),
        (b"-6", Some(b"abcdef")),
        (b"6, 7", Some(b"abcdef")),
        (b"99999999999999999999", Some(b"abcdef")),
    ] {
        let mut head = with(b":method", b"POST");
        head.push((b"content-length", length));
        let (outcome, seen) = stand.ask(&head, body).await;
        let whole = seen.iter().filter(|seen| seen.is_ok()).count();
        if outcome != Outcome::Refused || whole > 0 {
            failures.push(format!("{}: {outcome:?}, {seen:?}", length.escape_ascii()));
        }
    }
    for (first, second) in [(b"6", b"7"), (b"7", b"6")] {
        let mut head = with(b":method", b"POST");
        head.push((b"content-length", first));
        head.push((b"content-length", second));
        let (outcome, seen) = stand.ask(&head, Some(b"abcdef")).await;
        let whole = seen.iter().filter(|seen| seen.is_ok()).count();
        if outcome != Outcome::Refused || whole > 0 {
            failures.push(format!("two lengths: {outcome:?}, {seen:?}"));
        }
    }
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

#[tokio::test]
async fn a_host_that_says_what_the_authority_says_is_the_one_that_is_left() {
    host_beside(&[b"shop"]).await;
}

#[tokio::test]
async fn a_host_that_says_another_thing_than_the_authority_is_refused_or_gives_way() {
    host_beside(&[b"evil"]).await;
}

/// Asks `shop` with these beside it.
async fn host_beside(hosts: &[&[u8]]) {
    let stand = Stand::start().await;
    for host in hosts {
        let (outcome, seen) = stand.ask(&and(b"host", host), None).await;
        let whole: Vec<_> = seen.iter().filter_map(|seen| seen.as_ref().ok()).collect();
        match outcome {
            Outcome::Refused => assert!(whole.is_empty(), "{whole:?}"),
            Outcome::Answered => assert_eq!(whole[0].head.all("host"), ["shop"]),
        }
    }
}
