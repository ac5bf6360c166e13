//! Certificates that are written anew while requests are carried.

use std::{fs, os::unix::fs::symlink, path::Path};

use throughline_tests::{Authority, Client, Setup, Sidecar, Upstream, until};
use tokio_rustls::rustls::pki_types::CertificateDer;

use super::{
    app,
    clients::{ask, client, connect},
    ok,
};

/// The certificate that a new connection is shown.
async fn shown(sidecar: &Sidecar, ca: &Authority) -> CertificateDer<'static> {
    let stream = connect(sidecar.inbound(), ca, &["http/1.1"]).await;
    let (_, tls) = stream.get_ref();
    tls.peer_certificates().unwrap()[0].clone()
}

async fn another_than(before: &CertificateDer<'_>, sidecar: &Sidecar, ca: &Authority) {
    until("another certificate", async || {
        (shown(sidecar, ca).await != *before).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_new_certificate_is_shown_to_new_connections_and_no_old_one_is_dropped() {
    let (app, ca) = (app().await, Authority::new("house"));
    let shop = ca.issue("shop", &["shop.example"]);
    let setup = Setup::beside(app.address()).flag("inbound-tls", &shop.flag());
    let sidecar = setup.start().await;
    let before = shown(&sidecar, &ca).await;
    let mut http1 = client(sidecar.inbound(), &ca).await;
    let mut http2 = Client::http2_over(connect(sidecar.inbound(), &ca, &["h2"]).await).await;
    assert_eq!(http1.get("/").await.text(), "ok");
    assert_eq!(http2.get("/").await.text(), "ok");
    ca.issue("shop", &["shop.example"]);
    another_than(&before, &sidecar, &ca).await;
    assert_eq!(http1.get("/").await.text(), "ok");
    assert_eq!(http2.get("/").await.text(), "ok");
    let metrics = sidecar.ask_admin("/metrics").await;
    let taken = "throughline_tls_reloads_total{outcome=\"taken\"} 1";
    assert!(metrics.contains(taken), "{metrics}");
}

#[tokio::test]
async fn a_secret_of_kubernetes_is_swapped_by_a_link() {
    let (app, ca) = (app().await, Authority::new("house"));
    let at = ca.directory();
    for version in ["1", "2"] {
        fs::create_dir(at.join(version)).unwrap();
        ca.issue(&format!("{version}/tls"), &["shop.example"]);
    }
    symlink("1", at.join("..data")).unwrap();
    for name in ["tls.crt", "tls.key"] {
        symlink(Path::new("..data").join(name), at.join(name)).unwrap();
    }
    let at = at.display();
    let flag = format!("{at}/tls.crt={at}/tls.key");
    let setup = Setup::beside(app.address()).flag("inbound-tls", &flag);
    let sidecar = setup.start().await;
    let before = shown(&sidecar, &ca).await;
    symlink("2", ca.directory().join("..next")).unwrap();
    fs::rename(ca.directory().join("..next"), ca.directory().join("..data")).unwrap();
    another_than(&before, &sidecar, &ca).await;
}

#[tokio::test]
async fn what_is_bad_is_refused_with_its_reason_and_the_old_stays() {
    let (app, ca) = (app().await, Authority::new("house"));
    let shop = ca.issue("shop", &["shop.example"]);
    let setup = Setup::beside(app.address()).flag("inbound-tls", &shop.flag());
    let sidecar = setup.start().await;
    let before = shown(&sidecar, &ca).await;
    fs::write(&shop.key, "-----BEGIN PRIVATE KEY-----\nsecret\n").unwrap();
    sidecar
        .metrics_until("a refusal", |metrics| {
            metrics.value("throughline_tls_reloads_total{outcome=\"refused\"}") > 0.0
        })
        .await;
    assert_eq!(shown(&sidecar, &ca).await, before);
    let log = sidecar.log();
    assert!(log.contains("shop.key is no PEM file"), "{log}");
    assert!(!log.contains("secret"), "{log}");
    ca.issue("shop", &["shop.example"]);
    another_than(&before, &sidecar, &ca).await;
}

#[tokio::test]
async fn a_new_authority_is_asked_of_new_connections_on_both_sides() {
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let shop = old.issue("shop", &["shop.example"]);
    let stock = new.issue("stock", &["127.0.0.1"]);
    let app = app().await;
    let upstream = Upstream::tls(new.server(&stock, &[], false), |_| async { ok() }).await;
    let route = format!("127.0.0.1:0=https://{}", upstream.address());
    let sidecar = Setup::beside(app.address())
        .flag("inbound-tls", &shop.flag())
        .flag("client-ca", &old.file())
        .flag("upstream-ca", &old.file())
        .flag("routes", &route)
        .start()
        .await;
    let caller = new.issue("caller", &["caller"]);
    let flags = ["--cert", caller.certificate(), "--key", caller.key()];
    assert_eq!(ask(sidecar.inbound(), "/", &old, &flags).await.status, 0);
    let mut route = Client::http1(sidecar.routes()[0]).await;
    assert_eq!(route.get("/").await.status, 502);
    fs::copy(new.file(), old.file()).unwrap();
    until("the upstream is believed", async || {
        (route.get("/").await.status == 200).then_some(())
    })
    .await;
    let url = format!("https://127.0.0.1:{}/", sidecar.inbound().port());
    let mut insecure = vec!["--insecure", "--noproxy", "*"];
    insecure.extend(flags);
    insecure.push(&url);
    let answer = throughline_tests::curl(&insecure).await;
    assert_eq!(answer.status, 200, "{}", answer.log);
}
