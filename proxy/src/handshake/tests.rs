//! Real handshakes, in memory, and bytes that are none.

#![allow(
    clippy::disallowed_methods,
    reason = "a test needs some moment to count from"
)]

use std::sync::Arc;

use proptest::prelude::*;
use rcgen::generate_simple_self_signed;
use tokio_rustls::rustls::{
    ClientConfig, ClientConnection, Connection, RootCertStore, ServerConfig, ServerConnection,
    SupportedProtocolVersion,
    pki_types::{PrivateKeyDer, ServerName},
    version::{TLS12, TLS13 as RUSTLS_TLS13},
};

use super::{
    Direction::{ToClient, ToServer},
    *,
};

/// What passes, in order; after the handshake the client says something and is answered.
fn transcript(version: &'static SupportedProtocolVersion) -> Vec<(Direction, Vec<u8>)> {
    let identity = generate_simple_self_signed(["bank.example".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(identity.signing_key.serialize_der()).unwrap();
    let certificate = identity.cert.der().clone();
    let mut server = ServerConfig::builder_with_protocol_versions(&[version])
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    server.alpn_protocols = vec![b"h2".to_vec()];
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let mut client = ClientConfig::builder_with_protocol_versions(&[version])
        .with_root_certificates(roots)
        .with_no_client_auth();
    client.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let name = ServerName::try_from("bank.example").unwrap();
    let mut client: Connection = ClientConnection::new(Arc::new(client), name)
        .unwrap()
        .into();
    let mut server: Connection = ServerConnection::new(Arc::new(server)).unwrap().into();
    let mut passed = Vec::new();
    while client.is_handshaking() || server.is_handshaking() {
        carry(ToServer, &mut client, &mut server, &mut passed);
        carry(ToClient, &mut server, &mut client, &mut passed);
    }
    passed
}

fn carry(
    direction: Direction,
    from: &mut Connection,
    to: &mut Connection,
    passed: &mut Vec<(Direction, Vec<u8>)>,
) {
    let mut bytes = Vec::new();
    while from.wants_write() {
        from.write_tls(&mut bytes).unwrap();
    }
    if bytes.is_empty() {
        return;
    }
    let mut reading = &*bytes;
    while !reading.is_empty() {
        to.read_tls(&mut reading).unwrap();
        to.process_new_packets().unwrap();
    }
    passed.push((direction, bytes));
}

/// Each piece one millisecond after the one before.
fn watch(passed: &[(Direction, Vec<u8>)], most: usize) -> (Handshake, Duration) {
    let (began, mut ticks) = (Instant::now(), 0);
    let at = |ticks| began + Duration::from_millis(ticks);
    let mut handshake = Handshake::new();
    for (direction, bytes) in passed {
        ticks += 1;
        for piece in bytes.chunks(most) {
            handshake.pass(*direction, piece, at(ticks));
        }
    }
    (handshake, Duration::from_millis(ticks))
}

#[test]
fn a_handshake_is_followed_to_its_end() {
    for (version, name, protocol) in [(&TLS12, "1.2", "h2"), (&RUSTLS_TLS13, "1.3", "")] {
        let passed = transcript(version);
        for most in [usize::MAX, 100, 1] {
            let (handshake, whole) = watch(&passed, most);
            let seen = handshake.seen();
            assert_eq!(seen.server_name.as_str(), "bank.example");
            assert_eq!(seen.version, Some(name));
            assert_eq!(seen.next_protocol.as_str(), protocol, "{name}");
            let (took, is_whole) = handshake.took(Instant::now()).unwrap();
            assert!(is_whole, "{name}");
            // From the first flight to the last of the handshake. In TLS 1.3 the server still sends
            // tickets, which are none of it.
            let flights: Vec<_> = passed.iter().map(|(direction, _)| *direction).collect();
            let expected = match name {
                "1.2" => whole - Duration::from_millis(1),
                _ => {
                    let last = flights.iter().rposition(|d| *d == ToServer).unwrap();
                    Duration::from_millis(last as u64)
                }
            };
            assert_eq!(took, expected, "{name} {flights:?}");
            assert!(!handshake.is_watched());
        }
    }
}

#[test]
fn a_handshake_that_stops_has_not_come_to_its_end() {
    let passed = transcript(&RUSTLS_TLS13);
    let (handshake, _) = watch(&passed[..2], usize::MAX);
    let (_, is_whole) = handshake.took(Instant::now()).unwrap();
    assert!(!is_whole);
    assert_eq!(handshake.seen().server_name.as_str(), "bank.example");
}

#[test]
fn what_is_no_handshake_is_not_looked_at_any_more() {
    for (direction, bytes) in [
        (ToServer, &b"GET / HTTP/1.1\r\n\r\n"[..]),
        (ToServer, b"\x16\x03\x01\x00\x04\x02\x00\x00\x00"),
        (ToServer, b"\x17\x03\x03\x00\x01x"),
        (ToClient, b"220 ready\r\n"),
        (ToClient, b"\x16\x03\x01\x00\x01\x02"),
    ] {
        let mut handshake = Handshake::new();
        handshake.pass(direction, bytes, Instant::now());
        assert!(!handshake.is_watched(), "{bytes:?}");
        assert_eq!(handshake.took(Instant::now()), None, "{bytes:?}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_borne_with(
        pieces in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..60)), 0..20)
    ) {
        let mut handshake = Handshake::new();
        let now = Instant::now();
        let hello = [22, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3];
        handshake.pass(ToServer, &hello, now);
        for (up, bytes) in pieces {
            handshake.pass(if up { ToServer } else { ToClient }, &bytes, now);
            prop_assert!(handshake.client.hello.capacity() <= 4 * MAX_HELLO);
            prop_assert!(handshake.server.hello.capacity() <= 4 * MAX_HELLO);
        }
        if !handshake.is_watched() {
            prop_assert!(handshake.client.hello.is_empty());
        }
    }
}
