//! Targets: every byte of them is the app's business.

use super::scene::{Scene, WAYS, Way};

/// Asks for `target`, and returns the request line that the upstream got.
async fn line_of(scene: &Scene, way: Way, request: &str) -> String {
    let mut client = scene.client(way).await;
    client.send(scene.spell(way, request)).await;
    let line = tokio::select! {
        upstream = async {
            let mut upstream = scene.accept(way).await;
            let line = upstream.request().await.head.line;
            upstream.send("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").await;
            (line, upstream)
        } => upstream,
        // It answered by itself.
        answer = client.response() => return format!("answered {}", answer.head.line),
    };
    let (line, upstream) = line;
    assert_eq!(
        client.response().await.head.status(),
        204,
        "{way:?}: {request:?}"
    );
    upstream.close().await;
    line
}

async fn untouched(targets: &[&str]) {
    let scene = Scene::start().await;
    let mut failures = Vec::new();
    for way in WAYS {
        for target in targets {
            let request = format!("GET {target} HTTP/1.1\r\nHost: shop\r\n\r\n");
            let line = line_of(&scene, way, &request).await;
            if line != format!("GET {target} HTTP/1.1") {
                failures.push(format!("{way:?}: {target:?} came as {line:?}"));
            }
        }
    }
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

#[tokio::test]
async fn a_target_is_passed_byte_for_byte() {
    untouched(&[
        "/",
        "//",
        "//a//b/",
        "///",
        "/a/../b",
        "/../..",
        "/./a/.",
        "/a/.../b",
        "/%2F%2f/%2e%2E/x",
        "/%",
        "/%zz",
        "/%00",
        "/a%20b+c",
        "/a;p=1;q/b;c?d;e",
        "/a?",
        "/?",
        "/a?b?c??",
        "/a?b=%26&&c=&=d",
        "/a?http://other/x",
        "/a:b@c!$&'()*+,;=~-._",
        "/http://other/x",
        "/A/b/A?X=y",
        "/a\\b",
    ])
    .await;
}

#[tokio::test]
async fn a_target_with_bytes_that_urls_may_not_have_is_passed_byte_for_byte() {
    untouched(&["/a|b", "/a\"b", "/a^b", "/{a}", "/[a]", "/x?{a}|[b]^`"]).await;
}

#[tokio::test]
#[ignore = "it is answered 400: `http::Uri` does not take them"]
async fn a_target_with_bytes_that_no_url_has_is_passed_byte_for_byte() {
    untouched(&["/a`b", "/<a>", "/x?\"<c>"]).await;
}

#[tokio::test]
async fn a_target_beyond_ascii_is_passed_byte_for_byte() {
    untouched(&["/caf\u{e9}", "/x?caf\u{e9}"]).await;
}

#[tokio::test]
async fn a_target_of_8_kib_is_passed() {
    let target = format!("/{}?{}", "a".repeat(4096), "b".repeat(4096));
    untouched(&[&target]).await;
}

#[tokio::test]
async fn an_absolute_address_at_the_apps_door_reaches_it_as_its_path() {
    let scene = Scene::start().await;
    for way in [Way::Inbound, Way::Route] {
        for (target, path) in [("http://shop/a//b?c", "/a//b?c"), ("http://shop:81", "/")] {
            let request = format!("GET {target} HTTP/1.1\r\nHost: other\r\n\r\n");
            let (_client, mut upstream) = scene.ask(way, request).await;
            let got = upstream.request().await.head;
            assert_eq!(got.line, format!("GET {path} HTTP/1.1"), "{way:?}");
            upstream.close().await;
        }
    }
}

/// Asks for another host than `Host` says.
async fn overridden(ways: &[Way]) {
    let scene = Scene::start().await;
    for &way in ways {
        let target = match way {
            Way::Proxy => scene.upstream(way).to_string(),
            _ => "shop:81".to_owned(),
        };
        let request = format!("GET http://{target}/ HTTP/1.1\r\nHost: other\r\n\r\n");
        let (_client, mut upstream) = scene.ask(way, request).await;
        assert_eq!(
            upstream.request().await.head.all("host"),
            [target],
            "{way:?}"
        );
    }
}

#[tokio::test]
async fn an_absolute_address_overrides_the_host_beside_it_in_a_proxy() {
    overridden(&[Way::Proxy]).await;
}

#[tokio::test]
async fn an_absolute_address_overrides_the_host_beside_it_in_any_server() {
    // RFC 9112 section 3.2.2.
    overridden(&[Way::Inbound, Way::Route]).await;
}

/// Asks what the whole server can do, and then a part of it.
async fn options(ways: &[Way]) {
    let scene = Scene::start().await;
    for &way in ways {
        for target in ["*", "/x"] {
            let request = format!("OPTIONS {target} HTTP/1.1\r\nHost: shop\r\n\r\n");
            let line = line_of(&scene, way, &request).await;
            assert_eq!(line, format!("OPTIONS {target} HTTP/1.1"), "{way:?}");
        }
    }
}

#[tokio::test]
async fn options_of_the_whole_server_are_asked_of_the_whole_server() {
    options(&[Way::Inbound, Way::Route]).await;
}

#[tokio::test]
#[ignore = "it is asked of `/`: `http::Uri` does not tell the two apart"]
async fn options_of_an_address_without_a_path_are_asked_of_the_whole_server() {
    options(&[Way::Proxy]).await;
}
