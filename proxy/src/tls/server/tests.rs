//! Handshakes between the two sides of this room, over a pipe.

use std::path::PathBuf;

use throughline::tls::Version;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::{client::TlsStream as ClientStream, rustls::SignatureScheme};

use super::*;
use crate::tls::{
    Config, Connector, Inbound, Offer, Tls, Upstream,
    testing::{Authority, Files, Issued},
};

/// What either side made of a handshake.
struct Met {
    caller: Result<ClientStream<tokio::io::DuplexStream>, Failure>,
    server: Result<Session, Failure>,
}

impl Met {
    /// The common name of the certificate that the caller was shown.
    fn shown(&self) -> String {
        let (_, tls) = self.caller.as_ref().unwrap().get_ref();
        let certificate = &tls.peer_certificates().unwrap()[0];
        identity::of(certificate).unwrap().subject.into()
    }

    fn reasons(&self) -> (Option<Reason>, Option<Reason>) {
        let caller = self.caller.as_ref().err().map(|failure| failure.reason);
        (caller, self.server.as_ref().err().map(|f| f.reason))
    }
}

async fn meet(server: &Server, connector: &Connector, host: &str) -> Met {
    let (near, far) = tokio::io::duplex(16 * 1024);
    let terms = server.terms().expect("it speaks TLS");
    let accepting = async {
        let (mut stream, session) = terms.accept(far).await?;
        // A client of TLS 1.3 learns with the first read what was thought of its certificate.
        stream.write_all(b"x").await.unwrap();
        stream.flush().await.unwrap();
        Ok(session)
    };
    let connecting = async {
        let mut stream = connector.connect(host, 443, Offer::Either, near).await?;
        let mut byte = [0];
        stream
            .read_exact(&mut byte)
            .await
            .map_err(|error| Failure::of(&error))?;
        Ok(stream)
    };
    let (caller, server) = tokio::join!(connecting, accepting);
    Met { caller, server }
}

struct Scene {
    files: Files,
    ca: Authority,
    config: Config,
}

impl Scene {
    fn new(certificates: &[&[&str]]) -> Self {
        let (files, ca) = (Files::new(), Authority::new("house"));
        let pem = files.write("ca.crt", &ca.pem());
        let pairs = certificates.iter().enumerate().map(|(n, names)| {
            let issued = ca.issue(names);
            files.pair(&n.to_string(), &issued)
        });
        let config = Config {
            inbound: Some(Inbound {
                certificates: pairs.collect(),
                ..Inbound::default()
            }),
            upstream: Upstream {
                system_roots: false,
                ca: vec![pem],
                ..Upstream::default()
            },
        };
        Self { files, ca, config }
    }

    fn ca_file(&self) -> PathBuf {
        self.files.path("ca.crt")
    }

    fn inbound(&mut self) -> &mut Inbound {
        self.config.inbound.as_mut().unwrap()
    }

    fn show(&mut self, issued: &Issued) {
        self.config.upstream.certificate = Some(self.files.pair("client", issued));
    }

    async fn meet(&self, host: &str) -> Met {
        let tls = Tls::load(self.config.clone()).unwrap();
        meet(&tls.server(), &tls.connector(), host).await
    }
}

#[tokio::test]
async fn sni_chooses_the_certificate_and_the_first_is_for_any_other() {
    let scene = Scene::new(&[
        &["orders.shop", "127.0.0.1"],
        &["*.shop.svc"],
        &["stock.shop", "Cart.Example", "cart.shop.svc"],
    ]);
    for (host, expected) in [
        ("orders.shop", "CN=orders.shop"),
        ("stock.shop", "CN=stock.shop"),
        ("cart.example", "CN=stock.shop"),
        ("prices.shop.svc", "CN=*.shop.svc"),
        // A name goes before a pattern, wherever it stands.
        ("cart.shop.svc", "CN=stock.shop"),
        ("127.0.0.1", "CN=orders.shop"),
    ] {
        assert_eq!(scene.meet(host).await.shown(), expected, "{host}");
    }
    // One label and not two: this is nobody's name, so that the first is shown, and refused.
    let met = scene.meet("a.prices.shop.svc").await;
    assert_eq!(met.reasons().0, Some(Reason::WrongName));
    let said = met.caller.unwrap_err().to_string();
    assert!(
        said.contains("not for a.prices.shop.svc, but for orders.shop"),
        "{said}"
    );
}

#[tokio::test]
async fn a_failure_is_a_word_and_a_sentence() {
    let mut scene = Scene::new(&[&["shop"]]);
    let tls = Tls::load(scene.config.clone()).unwrap();
    let stranger = Authority::new("stranger");
    scene.config.upstream.ca = vec![scene.files.write("other.crt", &stranger.pem())];
    let met = scene.meet("shop").await;
    assert_eq!(
        met.reasons(),
        (Some(Reason::UnknownCa), Some(Reason::Refused))
    );

    let expired = scene.ca.expired(&["shop"]);
    let pair = scene.files.pair("old", &expired);
    scene.inbound().certificates = vec![pair];
    scene.config.upstream.ca = vec![scene.ca_file()];
    let met = scene.meet("shop").await;
    assert_eq!(met.reasons().0, Some(Reason::Expired));
    let said = met.caller.unwrap_err().to_string();
    assert_eq!(said, "its certificate has expired");

    let (near, far) = tokio::io::duplex(1024);
    drop(near);
    let failure = tls.server().terms().unwrap().accept(far).await.unwrap_err();
    assert_eq!(failure.reason, Reason::Closed);
    let (mut near, far) = tokio::io::duplex(1024);
    near.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let failure = tls.server().terms().unwrap().accept(far).await.unwrap_err();
    assert_eq!(failure.reason, Reason::NotTls);
    let counted = tls.counters();
    assert_eq!(counted.failures(Side::Inbound, Reason::NotTls), 1);
    assert_eq!(counted.failures(Side::Inbound, Reason::Closed), 1);
}

#[tokio::test]
async fn a_client_is_asked_who_it_is() {
    let mut scene = Scene::new(&[&["shop"]]);
    let ca = scene.ca_file();
    scene.inbound().client_ca = vec![ca];
    let met = scene.meet("shop").await;
    assert_eq!(
        met.reasons(),
        (Some(Reason::Refused), Some(Reason::NoCertificate))
    );
    let said = met.caller.unwrap_err().to_string();
    assert!(said.contains("upstream_certificate"), "{said}");

    let orders = scene.ca.issue(&["orders", "spiffe://prod/orders"]);
    scene.show(&orders);
    let client = scene.meet("shop").await.server.unwrap().client.unwrap();
    assert_eq!(&*client.subject, "CN=orders");
    assert_eq!(&*client.issuer, "CN=house");
    assert_eq!(client.name(), Some("spiffe://prod/orders"));

    let stranger = Authority::new("stranger").issue(&["orders"]);
    scene.show(&stranger);
    let met = scene.meet("shop").await;
    assert_eq!(met.server.unwrap_err().reason, Reason::UnknownCa);
    let expired = scene.ca.expired(&["orders"]);
    scene.show(&expired);
    let met = scene.meet("shop").await;
    assert_eq!(met.server.unwrap_err().reason, Reason::Expired);

    // One that is shown has to be good, also where none has to be.
    scene.inbound().client_auth = ClientAuth::Optional;
    let met = scene.meet("shop").await;
    assert_eq!(met.server.unwrap_err().reason, Reason::Expired);
    scene.config.upstream.certificate = None;
    assert_eq!(scene.meet("shop").await.server.unwrap().client, None);
}

#[tokio::test]
async fn a_client_has_to_have_one_of_the_names() {
    let mut scene = Scene::new(&[&["shop"]]);
    let ca = scene.ca_file();
    scene.inbound().client_ca = vec![ca];
    scene.inbound().client_names = ["*.shop", "spiffe://prod/*"]
        .map(|name| name.parse().unwrap())
        .into();
    for (names, is_served) in [
        (&["orders.shop"][..], true),
        (&["other.example", "spiffe://prod/orders"], true),
        (&["other.example"], false),
        (&["spiffe://test/orders"], false),
        (&[], false),
    ] {
        let issued = scene.ca.issue(names);
        scene.show(&issued);
        let met = scene.meet("shop").await;
        let reason = met.server.err().map(|failure| failure.reason);
        assert_eq!(
            reason,
            (!is_served).then_some(Reason::WrongName),
            "{names:?}"
        );
    }
}

#[tokio::test]
async fn an_upstream_may_be_expected_under_another_name() {
    let mut scene = Scene::new(&[&["orders.shop", "spiffe://prod/orders"]]);
    for (name, is_met) in [
        ("orders.shop", true),
        ("stock.shop", false),
        ("spiffe://prod/orders", true),
        ("spiffe://prod/*", true),
        ("spiffe://prod/stock", false),
    ] {
        scene.config.upstream.names = vec![("10.0.0.7:443".to_owned(), name.parse().unwrap())];
        let met = scene.meet("10.0.0.7").await;
        let reason = met.caller.err().map(|failure| failure.reason);
        assert_eq!(reason, (!is_met).then_some(Reason::WrongName), "{name}");
    }
    // By its URI or not, an authority has to have said so.
    let stranger = Authority::new("stranger");
    scene.config.upstream.ca = vec![scene.files.write("other.crt", &stranger.pem())];
    scene.config.upstream.names = vec![(
        "10.0.0.7".to_owned(),
        "spiffe://prod/orders".parse().unwrap(),
    )];
    let met = scene.meet("10.0.0.7").await;
    assert_eq!(met.caller.unwrap_err().reason, Reason::UnknownCa);
}

#[tokio::test]
async fn a_session_is_taken_up_until_the_terms_are_others() {
    let mut scene = Scene::new(&[&["shop"]]);
    let ca = scene.ca_file();
    scene.inbound().client_ca = vec![ca];
    let orders = scene.ca.issue(&["orders"]);
    scene.show(&orders);
    let tls = Tls::load(scene.config.clone()).unwrap();
    let session = async || {
        let met = meet(&tls.server(), &tls.connector(), "shop").await;
        met.server.unwrap()
    };
    let first = session().await;
    assert_eq!(first.handshake.version, Version::Tls13);
    assert!(!first.handshake.resumed);
    let second = session().await;
    assert!(second.handshake.resumed);
    assert_eq!(
        second.client, first.client,
        "who it is is known from before"
    );
    let caller = tls.connector();
    tls.reload().unwrap();
    let third = meet(&tls.server(), &caller, "shop").await;
    assert!(!third.server.unwrap().handshake.resumed);
}

#[test]
fn the_first_that_a_client_can_check_is_taken() {
    let ca = Authority::new("house");
    let files = Files::new();
    let mut certificates = Certificates::default();
    for n in ["0", "1"] {
        let pair = files.pair(n, &ca.issue(&["shop"]));
        certificates.add(pair.load("inbound_tls").unwrap().0);
    }
    let chosen = certificates.choose(Some("shop"), &[SignatureScheme::ECDSA_NISTP256_SHA256]);
    assert!(Arc::ptr_eq(&chosen.unwrap(), &certificates.all[0]));
    let none = certificates.choose(Some("shop"), &[SignatureScheme::RSA_PSS_SHA256]);
    assert!(
        none.is_none(),
        "no certificate is better than one that cannot be checked"
    );
}
