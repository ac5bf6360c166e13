//! Where a body ends: said twice, or oddly, it is refused or made to have one reading.

use super::{
    recorder::{Expect, SMUGGLED, check, first},
    scene::WAYS,
};
use Expect::{OneReading, Passed, Refused};

#[tokio::test]
async fn a_length_beside_chunks_leaves_one_reading_and_no_second_request() {
    // RFC 9112 section 6.3: whoever takes it as chunks closes the connection after the answer.
    let both = "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n";
    let swapped = "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n";
    let after = format!("0\r\n\r\n{SMUGGLED}");
    let within = format!("{:x}\r\n{SMUGGLED}\r\n0\r\n\r\n", SMUGGLED.len());
    check(
        &WAYS,
        &[
            ("CL.TE", first("POST", both, &after), OneReading("")),
            (
                "TE.CL",
                first("POST", swapped, &within),
                OneReading(SMUGGLED),
            ),
            (
                "TE.CL, request after it",
                first("POST", swapped, &format!("3\r\nabc\r\n{after}")),
                OneReading("abc"),
            ),
            ("CL.TE in a GET", first("GET", both, &after), OneReading("")),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_length_that_is_said_twice_differently_is_refused() {
    let post = |fields: &str| first("POST", fields, &format!("abcde{SMUGGLED}"));
    check(
        &WAYS,
        &[
            (
                "two lengths",
                post("Content-Length: 5\r\nContent-Length: 6\r\n"),
                Refused,
            ),
            (
                "two lengths, the greater first",
                post("Content-Length: 39\r\nContent-Length: 5\r\n"),
                Refused,
            ),
            ("a list of two", post("Content-Length: 5, 6\r\n"), Refused),
            (
                "two lengths with another field between",
                post("Content-Length: 5\r\nX: y\r\ncontent-length: 0\r\n"),
                Refused,
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_length_that_is_said_twice_alike_is_passed_once_or_refused() {
    let post = |fields: &str| first("POST", fields, "abcde");
    check(
        &WAYS,
        &[
            (
                "two lengths",
                post("Content-Length: 5\r\nContent-Length: 5\r\n"),
                OneReading("abcde"),
            ),
            (
                "a list of two",
                post("Content-Length: 5, 5\r\n"),
                OneReading("abcde"),
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_length_that_is_no_number_is_refused() {
    let lengths = [
        "+5",
        "-5",
        "-1",
        "0x5",
        "5a",
        "a",
        "5 5",
        "5.0",
        "5,",
        ",5",
        "\"5\"",
        "",
        "1_0",
        "5;",
        "\u{0665}",
        "99999999999999999999",
        "18446744073709551616",
        "5\t5",
        "5\u{b}",
    ];
    let cases: Vec<_> = lengths
        .iter()
        .map(|length| {
            let field = format!("Content-Length: {length}\r\n");
            (*length, first("POST", &field, "abcde"), Refused)
        })
        .collect();
    check(&WAYS, &cases).await;
}

#[tokio::test]
async fn an_odd_transfer_coding_is_refused() {
    let rest = format!("0\r\n\r\n{SMUGGLED}");
    let codings = [
        "xchunked",
        "chunkedx",
        "identity",
        "chunked, identity",
        "chunked, gzip",
        "chunked;q=1",
        "\"chunked\"",
        "\u{b}chunked",
        "chunked\u{c}",
        "",
        "chunked,",
        "chunked\0",
    ];
    let field = |coding: &str| format!("Transfer-Encoding: {coding}\r\n");
    let cases: Vec<_> = codings
        .iter()
        .map(|coding| {
            (
                *coding,
                first("POST", &field(coding), &rest),
                OneReading(""),
            )
        })
        .collect();
    check(&WAYS, &cases).await;
}

#[tokio::test]
async fn an_odd_transfer_coding_beside_a_length_leaves_one_reading() {
    let rest = format!("0\r\n\r\n{SMUGGLED}");
    let length = rest.len();
    let fields = [
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: identity",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding\t: chunked",
        " Transfer-Encoding: chunked",
        "X: y\r\n Transfer-Encoding: chunked",
        "X: y\nTransfer-Encoding: chunked",
        "X: y\rTransfer-Encoding: chunked",
        "Transfer-Encoding:\r\n chunked",
        "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "Transfer-Encoding: CHUNKED",
        "Transfer_Encoding: chunked",
    ];
    let body: &'static str = rest.clone().leak();
    let cases: Vec<_> = fields
        .iter()
        .map(|field| {
            let is_chunked = field.ends_with("CHUNKED")
                || field.contains("\nTransfer-Encoding: chunked")
                || *field == "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity";
            let fields = format!("Content-Length: {length}\r\n{field}\r\n");
            let reading = if is_chunked { "" } else { body };
            (*field, first("POST", &fields, &rest), OneReading(reading))
        })
        .collect();
    check(&WAYS, &cases).await;
}

#[tokio::test]
async fn chunks_that_are_said_twice_leave_one_reading() {
    let rest = "3\r\nabc\r\n0\r\n\r\n";
    let twice = "Transfer-Encoding: chunked\r\n".repeat(2);
    check(
        &WAYS,
        &[
            ("two fields", first("POST", &twice, rest), OneReading("abc")),
            (
                "a list of two",
                first("POST", "Transfer-Encoding: chunked, chunked\r\n", rest),
                OneReading("abc"),
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn chunks_in_http_1_0_are_refused_or_leave_one_reading() {
    let request = format!(
        "POST /first HTTP/1.0\r\nHost: shop\r\nConnection: keep-alive\r\n\
         Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n{SMUGGLED}"
    );
    let with_length = request.replace("Transfer", "Content-Length: 5\r\nTransfer");
    check(
        &WAYS,
        &[
            ("chunks", request.into(), OneReading("")),
            ("chunks and a length", with_length.into(), OneReading("")),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_chunk_that_is_longer_than_its_size_is_refused() {
    let post = |rest: &str| first("POST", "Transfer-Encoding: chunked\r\n", rest);
    check(
        &WAYS,
        &[
            ("longer", post("3\r\nabcdef\r\n0\r\n\r\n"), Refused),
            ("shorter", post("5\r\nabc\r\n0\r\n\r\n"), Refused),
            ("no CRLF", post("3\r\nabc0\r\n\r\n"), Refused),
            ("a bare LF after it", post("3\r\nabc\n0\r\n\r\n"), Refused),
            ("a bare CR after it", post("3\r\nabc\r0\r\n\r\n"), Refused),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_chunk_size_that_is_no_number_is_refused() {
    let sizes = [
        "-1",
        "+3",
        "0x3",
        "3 3",
        "g",
        "",
        ";a=b",
        "3,",
        "1_0",
        "10000000000000003",
        "FFFFFFFFFFFFFFFFF",
        "3\0",
        "3\r",
    ];
    let cases: Vec<_> = sizes
        .iter()
        .map(|size| {
            let rest = format!("{size}\r\nabc\r\n0\r\n\r\n");
            let request = first("POST", "Transfer-Encoding: chunked\r\n", &rest);
            (*size, request, Refused)
        })
        .collect();
    check(&WAYS, &cases).await;
}

#[tokio::test]
async fn a_bare_line_feed_among_chunks_is_refused() {
    let post = |rest: &str| first("POST", "Transfer-Encoding: chunked\r\n", rest);
    check(
        &WAYS,
        &[
            ("after the size", post("3\nabc\r\n0\r\n\r\n"), Refused),
            ("in an extension", post("3;a\nabc\r\n0\r\n\r\n"), Refused),
            ("after the last size", post("3\r\nabc\r\n0\n\r\n"), Refused),
            ("at the end", post("3\r\nabc\r\n0\r\n\n"), Refused),
            (
                "a bare CR in an extension",
                post("3;a\rb\r\nabc\r\n0\r\n\r\n"),
                Refused,
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_field_that_frames_the_body_is_not_taken_away_by_connection() {
    check(
        &WAYS,
        &[
            (
                "a length",
                first(
                    "POST",
                    "Connection: content-length\r\nContent-Length: 5\r\n",
                    "abcde",
                ),
                OneReading("abcde"),
            ),
            (
                "a coding",
                first(
                    "POST",
                    "Connection: transfer-encoding\r\nTransfer-Encoding: chunked\r\n",
                    "3\r\nabc\r\n0\r\n\r\n",
                ),
                OneReading("abc"),
            ),
            (
                "the host",
                first("POST", "Connection: host\r\nContent-Length: 5\r\n", "abcde"),
                OneReading("abcde"),
            ),
        ],
    )
    .await;
}

const METHODS: [&str; 5] = ["GET", "DELETE", "OPTIONS", "PROPFIND", "HEAD"];

#[tokio::test]
async fn a_body_with_a_length_is_passed_whatever_the_method() {
    let with = |method| first(method, "Content-Length: 5\r\n", "abcde");
    let cases = METHODS.map(|method| (method, with(method), Passed("abcde")));
    check(&WAYS, &cases).await;
}

/// A body in chunks, by these methods.
async fn chunked(methods: &[&str]) {
    let with = |method| {
        let rest = "5\r\nabcde\r\n0\r\n\r\n";
        first(method, "Transfer-Encoding: chunked\r\n", rest)
    };
    let cases: Vec<_> = methods
        .iter()
        .map(|method| (*method, with(method), Passed("abcde")))
        .collect();
    check(&WAYS, &cases).await;
}

#[tokio::test]
async fn a_body_in_chunks_is_passed_whatever_the_method() {
    chunked(&["DELETE", "OPTIONS", "PROPFIND"]).await;
}

#[tokio::test]
async fn a_body_in_chunks_is_passed_in_get_and_head() {
    chunked(&["GET", "HEAD"]).await;
}
