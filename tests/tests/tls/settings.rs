//! What is wrong with certificates is said in one sentence, before any port is bound.

use std::{fs, net::TcpListener};

use throughline_tests::{Authority, Setup};

/// What a sidecar says that cannot start. Its port is taken, so that it would speak of that if it tried.
async fn refusal(flags: &[(&str, &str)]) -> String {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let inbound = taken.local_addr().unwrap().to_string();
    let mut setup = Setup::beside("127.0.0.1:1".parse().unwrap()).flag("inbound", &inbound);
    for (name, value) in flags {
        setup = setup.flag(name, value);
    }
    let mut sidecar = setup.spawn();
    assert_ne!(sidecar.wait().await, 0);
    let log = sidecar.log();
    assert!(!log.contains("cannot listen"), "{log}");
    log
}

#[tokio::test]
async fn a_file_that_is_wrong_is_named_with_its_setting_and_the_cure() {
    let ca = Authority::new("house");
    let (shop, other) = (ca.issue("shop", &["shop"]), ca.issue("other", &["shop"]));
    let empty = ca.directory().join("empty.pem").display().to_string();
    fs::write(&empty, "").unwrap();
    let mixed = format!("{}={}", shop.certificate(), other.key());
    let missing = "/nowhere/tls.crt=/nowhere/tls.key";
    let good = shop.flag();
    for (flags, parts) in [
        (
            &[("inbound-tls", missing)][..],
            [
                "inbound_tls: /nowhere/tls.crt cannot be read",
                "give the path",
            ],
        ),
        (
            &[("inbound-tls", &*mixed)],
            ["other.key is not that of the certificate", "made together"],
        ),
        (
            &[("inbound-tls", &*empty)],
            ["empty.pem holds no certificate", "give a PEM file"],
        ),
        (
            &[("inbound-tls", &*good), ("client-ca", &*empty)],
            ["client_ca: ", "empty.pem holds no certificate"],
        ),
        (
            &[("upstream-ca", "/nowhere/ca.crt")],
            [
                "upstream_ca: /nowhere/ca.crt cannot be read",
                "give the path",
            ],
        ),
        (
            &[("upstream-certificate", "/nowhere/tls.crt")],
            [
                "upstream_certificate: /nowhere/tls.crt cannot be read",
                "give the path",
            ],
        ),
        (
            &[("client-ca", &*empty)],
            [
                "client_ca is given, but callers are spoken to in clear",
                "--inbound-tls",
            ],
        ),
        (
            &[("inbound-tls", &*good), ("client-names", "*.shop")],
            [
                "client_names is given, but clients are not asked",
                "--client-ca",
            ],
        ),
        (
            &[("upstream-key", &*empty)],
            [
                "upstream_key is given, but not the certificate",
                "--upstream-certificate",
            ],
        ),
    ] {
        let said = refusal(flags).await;
        for part in parts {
            assert!(said.contains(part), "{flags:?}: no {part:?} in {said}");
        }
        assert_eq!(said.trim_end().lines().count(), 1, "{said}");
    }
}
