//! Connections that the kernel takes to the sidecar, and neither the app nor anybody else knows of.

mod town;

use std::{fs, os::unix::fs::PermissionsExt};

use serde_json::Value;
use throughline_tests::Authority;

use self::town::{APP, Rules, SHOP, Town, can_be_built};

#[tokio::test]
async fn a_request_and_its_call_are_seen_though_nobody_is_told() {
    if !can_be_built() {
        return;
    }
    let mut town = Town::build().await;
    town.sidecar(&[]).await;
    town.redirect();

    let said = town.ask(&[&format!("http://{APP}:3000/stock?of=7")]);
    let said: Value = serde_json::from_str(&said).expect("what the shop was asked");
    assert_eq!(said["path"], "/stock?of=7");
    assert_eq!(said["host"], "shop");

    let spans = town.spans(2).await;
    let of = |kind: &str| spans.iter().find(|span| span["kind"] == kind).expect(kind);
    let (server, client) = (of("server"), of("client"));
    assert_eq!(server["path"], "/stock");
    assert_eq!(client["parent_span_id"], server["span_id"]);
    assert_eq!(client["host"], "shop", "the app calls it that");
    assert_eq!(client["connection"]["peer"], format!("{SHOP}:80"));
    let parent = said["traceparent"].as_str().expect("the shop was told");
    assert!(parent.contains(client["span_id"].as_str().expect("an id")));
}

#[tokio::test]
async fn each_port_of_the_app_is_where_it_was() {
    if !can_be_built() {
        return;
    }
    let mut town = Town::build().await;
    town.sidecar(&[]).await;
    town.redirect();
    let other = format!("http://{APP}:3001/health");
    assert_eq!(town.ask(&[&other]), "fit", "it is redirected too");
    assert_eq!(town.spans(1).await[0]["path"], "/health");
}

#[tokio::test]
async fn a_call_that_is_not_http_is_a_tunnel_that_nobody_asked_for() {
    if !can_be_built() {
        return;
    }
    let mut town = Town::build().await;
    town.sidecar(&[]).await;
    town.redirect();
    let said = town.talk(true, SHOP, 2526, false);
    assert_eq!(said, "again hello\nend\n");
    let spans = town.spans(1).await;
    assert_eq!(
        (&spans[0]["kind"], &spans[0]["method"]),
        (&"client".into(), &"CONNECT".into())
    );
    assert_eq!(spans[0]["connection"]["peer"], format!("{SHOP}:2526"));
}

#[tokio::test]
async fn a_server_that_speaks_first_is_not_kept_waiting() {
    if !can_be_built() {
        return;
    }
    let mut town = Town::build().await;
    town.sidecar(&[]).await;
    town.redirect();
    assert_eq!(
        town.talk(true, SHOP, 2525, true),
        "220 shop\n250 hello\nend\n"
    );
    let spans = town.spans(1).await;
    assert_eq!(spans[0]["method"], "CONNECT");
}

#[tokio::test]
async fn what_the_app_serves_besides_http_is_passed_as_it_is() {
    if !can_be_built() {
        return;
    }
    let mut town = Town::build().await;
    town.sidecar(&[]).await;
    town.redirect();
    assert_eq!(
        town.talk(false, APP, 3002, true),
        "220 app\n250 hello\nend\n"
    );
}

/// The client must not read our words as those of whom it called.
#[tokio::test]
async fn a_call_to_where_nobody_listens_ends_without_a_word() {
    if !can_be_built() {
        return;
    }
    let mut town = Town::build().await;
    town.sidecar(&[]).await;
    town.redirect();
    let words = "import socket
s = socket.create_connection(('10.77.1.1', 9), timeout=20)
s.sendall(b'*1\\r\\n')
try: print(repr(s.recv(100)))
except ConnectionError: print('reset')
";
    let said = town.beside_app(&["python3", "-c", words]);
    assert!(["b''\n", "reset\n"].contains(&&*said), "{said:?}");
    let spans = town.spans(1).await;
    assert_eq!(spans[0]["interrupted"], "connect", "{spans:?}");
}

#[tokio::test]
async fn nobody_gets_around_the_certificates_by_being_redirected() {
    if !can_be_built() {
        return;
    }
    let ca = Authority::new("house");
    let shop = ca.issue("shop", &["app.example"]);
    // The sidecar runs as another user.
    let open = fs::Permissions::from_mode(0o755);
    fs::set_permissions(ca.directory(), open).expect("it is ours");
    let mut town = Town::build().await;
    town.sidecar(&[&format!("--inbound-tls={}", shop.flag())])
        .await;
    town.redirect();
    let said = town.ask(&["--no-fail", &format!("http://{APP}:3000/clear")]);
    assert!(said.contains("this port speaks TLS alone"), "{said:?}");
    let resolve = format!("app.example:3000:{APP}");
    let file = ca.file();
    let url = "https://app.example:3000/stock?of=7";
    let said = town.ask(&["--cacert", &file, "--resolve", &resolve, url]);
    let said: Value = serde_json::from_str(&said).expect("what the shop was asked");
    assert_eq!(said["path"], "/stock?of=7");
}

#[tokio::test]
async fn what_the_kernel_did_not_redirect_is_asked_of_the_proxy() {
    if !can_be_built() {
        return;
    }
    let mut town = Town::build().await;
    town.sidecar(&[]).await;
    let shop = format!("http://{SHOP}/by-proxy");
    let words = [
        "curl",
        "--silent",
        "--proxy",
        "http://127.0.0.1:15001",
        &shop,
    ];
    let said = town.beside_app(&words);
    assert!(said.contains("/by-proxy"), "{said:?}");
    let words = ["curl", "--silent", "http://127.0.0.1:15001/without-a-host"];
    let said = town.beside_app(&words);
    assert!(said.contains("forward proxy"), "{said:?}");
}

#[tokio::test]
async fn the_rules_can_be_made_twice_and_taken_away() {
    if !can_be_built() {
        return;
    }
    let mut town = Town::build().await;
    town.sidecar(&[]).await;
    town.redirect();
    let once = town.rule_lines();
    town.redirect();
    assert_eq!(town.rule_lines(), once);
    assert!(!once.is_empty());
    assert!(town.rules(&["down"]).status.success());
    assert!(
        town.rules(&["down"]).status.success(),
        "nothing is left to do"
    );
    assert_eq!(town.rule_lines(), Rules::new());
    let stock = format!("http://{APP}:3000/stock");
    assert!(!town.ask(&[&stock]).contains("traceparent"));
}

#[tokio::test]
async fn a_mistake_in_the_rules_is_one_sentence_and_changes_nothing() {
    if !can_be_built() {
        return;
    }
    let town = Town::build().await;
    town.redirect();
    let there = town.rule_lines();
    for (words, says) in [
        (&["up"][..], "--proxy-uid (none): say the number"),
        (
            &["up", "--proxy-uid", "me"],
            "--proxy-uid me: say the number",
        ),
        (&["up", "--proxy-uid"], "--proxy-uid has no value"),
        (&["up", "--app-port", "1"], "--app-port is no option"),
        (
            &["up", "--proxy-uid", "1", "--app-ports", "80,x"],
            "--app-ports 80,x: x is no port",
        ),
        (
            &["up", "--proxy-uid", "1", "--exclude-ports", "65536"],
            "65536 is no port",
        ),
        (&["up", "--family", "5"], "--family 5 is neither 4 nor 6"),
    ] {
        let output = town.rules(words);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{words:?}: {said}");
        assert!(said.contains(says), "{words:?}: {said}");
        assert_eq!(said.lines().count(), 1, "{words:?}: {said}");
        assert_eq!(town.rule_lines(), there, "{words:?}");
    }
}
