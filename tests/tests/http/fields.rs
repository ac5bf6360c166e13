//! Fields that are not what a field is: refused, or made to have one reading.

use super::{
    recorder::{Expect, check, first},
    scene::{Scene, WAYS, Way},
};
use Expect::{OneReading, Passed, Refused};

fn get(fields: &str) -> Vec<u8> {
    first("GET", fields, "")
}

#[tokio::test]
async fn a_folded_field_is_refused_or_unfolded() {
    check(
        &WAYS,
        &[
            ("a space", get("X: a\r\n b\r\n"), OneReading("")),
            ("a tab", get("X: a\r\n\tb\r\n"), OneReading("")),
            ("the first field", get(" X: a\r\n"), OneReading("")),
            ("an empty fold", get("X: a\r\n \r\n"), OneReading("")),
            (
                "before the first field",
                b"GET /first HTTP/1.1\r\n X: y\r\nHost: shop\r\n\r\n".to_vec(),
                OneReading(""),
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_bare_line_feed_leaves_one_reading() {
    check(
        &WAYS,
        &[
            (
                "after the request line",
                b"GET /first HTTP/1.1\nHost: shop\r\n\r\n".to_vec(),
                OneReading(""),
            ),
            ("after a field", get("X: a\n"), OneReading("")),
            (
                "everywhere",
                b"GET /first HTTP/1.1\nHost: shop\n\n".to_vec(),
                OneReading(""),
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_bare_carriage_return_leaves_one_reading() {
    check(
        &WAYS,
        &[
            ("in a value", get("X: a\rb\r\n"), OneReading("")),
            ("before a field", get("X: a\rY: b\r\n"), OneReading("")),
            ("at the end of a value", get("X: a\r\r\n"), OneReading("")),
            ("in a name", get("X\r: a\r\n"), OneReading("")),
            (
                "in the request line",
                b"GET /first\r HTTP/1.1\r\nHost: shop\r\n\r\n".to_vec(),
                OneReading(""),
            ),
            (
                "everywhere",
                b"GET /first HTTP/1.1\rHost: shop\r\r".to_vec(),
                OneReading(""),
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_nul_is_refused() {
    check(
        &WAYS,
        &[
            ("in a value", get("X: a\0b\r\n"), Refused),
            ("in a name", get("X\0: a\r\n"), Refused),
            (
                "in Host",
                b"GET /first HTTP/1.1\r\nHost: sh\0op\r\n\r\n".to_vec(),
                Refused,
            ),
            (
                "in the target",
                b"GET /first\0 HTTP/1.1\r\nHost: shop\r\n\r\n".to_vec(),
                Refused,
            ),
            (
                "in the method",
                b"GE\0T /first HTTP/1.1\r\nHost: shop\r\n\r\n".to_vec(),
                Refused,
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_control_byte_is_refused() {
    let cases: Vec<_> = [1_u8, 8, 11, 12, 14, 27, 31, 127]
        .into_iter()
        .map(|byte| {
            let fields = format!("X: a{}b\r\n", char::from(byte));
            ("in a value", get(&fields), Refused)
        })
        .collect();
    check(&WAYS, &cases).await;
}

#[tokio::test]
async fn a_space_before_the_colon_is_refused() {
    check(
        &WAYS,
        &[
            ("a space", get("X : a\r\n"), Refused),
            ("a tab", get("X\t: a\r\n"), Refused),
            ("within", get("X Y: a\r\n"), Refused),
            (
                "of Host",
                b"GET /first HTTP/1.1\r\nHost : shop\r\n\r\n".to_vec(),
                Refused,
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_name_that_is_none_is_refused() {
    check(
        &WAYS,
        &[
            ("empty", get(": a\r\n"), Refused),
            ("no colon", get("X\r\n"), Refused),
            ("a separator", get("X(y): a\r\n"), Refused),
            ("a slash", get("X/y: a\r\n"), Refused),
            ("not ASCII", get("X\u{e9}: a\r\n"), Refused),
            ("quoted", get("\"X\": a\r\n"), Refused),
        ],
    )
    .await;
}

#[tokio::test]
async fn two_hosts_leave_one_or_are_refused() {
    let two = |first: &str, second: &str| {
        format!("GET /first HTTP/1.1\r\nHost: {first}\r\nHost: {second}\r\n\r\n").into_bytes()
    };
    check(
        &WAYS,
        &[
            ("different", two("shop", "evil"), OneReading("")),
            ("the same", two("shop", "shop"), OneReading("")),
            ("the first empty", two("", "shop"), OneReading("")),
        ],
    )
    .await;
}

#[tokio::test]
async fn two_hosts_beside_an_absolute_address_give_way_to_it() {
    let two = b"GET /first HTTP/1.1\r\nHost: shop\r\nHost: evil\r\n\r\n".to_vec();
    check(&[Way::Proxy], &[("different", two, OneReading(""))]).await;
}

#[tokio::test]
async fn a_request_without_a_host_gets_one_or_is_refused_on_its_way_out() {
    let none = b"GET /first HTTP/1.1\r\nX: y\r\n\r\n".to_vec();
    check(
        &[Way::Route, Way::Proxy],
        &[("no Host", none, OneReading(""))],
    )
    .await;
}

#[tokio::test]
async fn a_request_without_a_host_is_refused_at_the_apps_door_or_gets_one() {
    let none = b"GET /first HTTP/1.1\r\nX: y\r\n\r\n".to_vec();
    check(&[Way::Inbound], &[("no Host", none, OneReading(""))]).await;
}

#[tokio::test]
async fn a_host_that_is_none_is_refused() {
    let cases: Vec<_> = [
        "a b",
        "shop/x",
        "me@shop",
        "shop:x",
        "shop, evil",
        "sh\tp",
        "a?b",
        "a#b",
    ]
    .iter()
    .map(|host| {
        let request = format!("GET /first HTTP/1.1\r\nHost: {host}\r\n\r\n");
        (*host, request.into_bytes(), Refused)
    })
    .collect();
    // The address that the proxy is asked for overrides it, whatever it is.
    check(&[Way::Inbound, Way::Route], &cases).await;
}

#[tokio::test]
async fn an_empty_line_before_a_request_is_passed_over() {
    let request = b"\r\nGET /first HTTP/1.1\r\nHost: shop\r\n\r\n".to_vec();
    // `spell` finds no target behind the line, and so this is for the two that need none.
    let ways = [Way::Inbound, Way::Route];
    check(&ways, &[("one", request, Passed(""))]).await;
}

/// Fields that are said to the app and by it, apart and in their order.
const KEPT: &str = "X-One: 1\r\nX-Twice: first\r\nX-Two: 2\r\nX-Twice: second\r\nX-Empty:\r\n\
    X-Inner: a \t  b\r\nX-Twice: third, fourth\r\nX-Quoted: \"a, b\"\r\n";

fn check_kept(way: Way, head: &super::wire::Head) {
    assert_eq!(
        head.all("x-twice"),
        ["first", "second", "third, fourth"],
        "{way:?}"
    );
    assert_eq!(head.all("x-one"), ["1"], "{way:?}");
    assert_eq!(head.all("x-two"), ["2"], "{way:?}");
    assert_eq!(head.all("x-empty"), [""], "{way:?}");
    assert_eq!(head.all("x-inner"), ["a \t  b"], "{way:?}");
    assert_eq!(head.all("x-quoted"), ["\"a, b\""], "{way:?}");
}

#[tokio::test]
async fn fields_of_one_name_are_kept_apart_both_ways() {
    let scene = Scene::start().await;
    for way in WAYS {
        let request = first("GET", KEPT, "");
        let (mut client, mut upstream) = scene.ask(way, request).await;
        check_kept(way, &upstream.request().await.head);
        let cookies =
            "Set-Cookie: a=1; Expires=Wed, 21 Oct 2026 07:28:00 GMT\r\nSet-Cookie: b=2\r\n";
        let answer = format!("HTTP/1.1 200 OK\r\n{KEPT}{cookies}Content-Length: 0\r\n\r\n");
        upstream.send(answer).await;
        let answer = client.response().await;
        check_kept(way, &answer.head);
        let cookies = ["a=1; Expires=Wed, 21 Oct 2026 07:28:00 GMT", "b=2"];
        assert_eq!(answer.head.all("set-cookie"), cookies, "{way:?}");
    }
}

#[tokio::test]
async fn bytes_beyond_ascii_in_a_value_are_passed_both_ways() {
    let value = b"caf\xe9 \xc3\xa9 \x80\xff";
    let field = |prefix: &str| [prefix.as_bytes(), b"X-Name: ", value, b"\r\n"].concat();
    let scene = Scene::start().await;
    for way in WAYS {
        let request = field("GET / HTTP/1.1\r\nHost: shop\r\n");
        let request = [&*request, b"\r\n"].concat();
        let (mut client, mut upstream) = scene.ask(way, request).await;
        let got = upstream.request().await.head;
        assert!(
            got.fields.contains(&("x-name".into(), value.to_vec())),
            "{way:?}: {got:?}"
        );
        let answer = field("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n");
        upstream.send([&*answer, b"\r\n"].concat()).await;
        let got = client.response().await.head;
        assert!(
            got.fields.contains(&("x-name".into(), value.to_vec())),
            "{way:?}: {got:?}"
        );
    }
}

#[tokio::test]
async fn a_hundred_fields_are_passed_both_ways() {
    let hundred: String = (0..100).map(|n| format!("X-{n}: {n}\r\n")).collect();
    let scene = Scene::start().await;
    for way in WAYS {
        let (mut client, mut upstream) = scene.ask(way, first("GET", &hundred, "")).await;
        let got = upstream.request().await.head;
        for n in 0..100 {
            assert_eq!(got.all(&format!("x-{n}")), [n.to_string()], "{way:?}");
        }
        let answer = format!("HTTP/1.1 200 OK\r\n{hundred}Content-Length: 0\r\n\r\n");
        upstream.send(answer).await;
        let got = client.response().await.head;
        assert_eq!(got.status(), 200, "{way:?}");
        for n in 0..100 {
            assert_eq!(got.all(&format!("x-{n}")), [n.to_string()], "{way:?}");
        }
    }
}

#[tokio::test]
async fn cookies_of_16_kib_are_passed_both_ways() {
    let cookie = format!("a={}", "y".repeat(16 * 1024));
    let scene = Scene::start().await;
    for way in WAYS {
        let request = first("GET", &format!("Cookie: {cookie}\r\n"), "");
        let (mut client, mut upstream) = scene.ask(way, request).await;
        let got = upstream.request().await.head;
        assert_eq!(got.all("cookie"), [&*cookie], "{way:?}");
        let answer = format!("HTTP/1.1 204 No Content\r\nSet-Cookie: {cookie}\r\n\r\n");
        upstream.send(answer).await;
        let got = client.response().await.head;
        assert_eq!(got.all("set-cookie"), [&*cookie], "{way:?}");
    }
}
