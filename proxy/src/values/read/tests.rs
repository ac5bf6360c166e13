use proptest::prelude::*;

use super::*;
use crate::values::MOST;

fn reader(from: &[Source]) -> Reader {
    let config = Config {
        from: from.to_vec(),
        ..Config::default()
    };
    Reader::new(&config, Secret::new([1, 2])).unwrap()
}

const ALL: [Source; 4] = [Source::Path, Source::Query, Source::Headers, Source::Body];

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in pairs {
        map.append(*name, value.parse().unwrap());
    }
    map
}

/// Asserts which of these words are among the values that are read.
fn check(found: &Fingerprints, present: &[&str], absent: &[&str]) {
    let holds = |word: &str| found.holds(Secret::new([1, 2]).hash(word.as_bytes()));
    for word in present {
        assert!(holds(word), "{word} is missing");
    }
    for word in absent {
        assert!(!holds(word), "{word} is there");
    }
}

#[test]
fn values_of_each_part_are_found_and_only_where_asked_for() {
    let uri: Uri = "http://shop/v1/users/a%20b?order=1042&q=x+y&flag&b=%2F1"
        .parse()
        .unwrap();
    let said = headers(&[
        ("authorization", "Bearer secret.token"),
        ("cookie", "sid=s%3A77; theme=dark"),
        ("cookie", "lang=de"),
        ("idempotency-key", "k-1"),
        ("user-agent", "curl/8"),
    ]);
    let path = ["users", "a b"];
    let query = ["1042", "x y", "/1"];
    let rest = ["secret.token", "s:77", "dark", "de", "k-1"];
    let all = [&path[..], &query, &rest].concat();
    check(
        &reader(&ALL).head(&uri, &said),
        &all,
        &["v1", "flag", "curl/8", "a%20b", ""],
    );
    check(
        &reader(&[Source::Path]).head(&uri, &said),
        &path,
        &[&query[..], &rest].concat(),
    );
    check(
        &reader(&[Source::Query]).head(&uri, &said),
        &query,
        &[&path[..], &rest].concat(),
    );
    check(
        &reader(&[Source::Headers]).head(&uri, &said),
        &rest,
        &[&path[..], &query].concat(),
    );
    assert!(
        Reader::new(
            &Config {
                from: vec![],
                ..Config::default()
            },
            Secret::new([1, 2])
        )
        .is_none()
    );
}

#[test]
fn a_value_is_the_same_in_a_path_a_query_a_header_and_a_body() {
    let read = reader(&ALL);
    let nothing = HeaderMap::new();
    let mut body = Fingerprints::default();
    read.body(
        br#"{"user": {"name": "a\u0020b"}}"#,
        Extent::Whole,
        &mut body,
    );
    let hashes = [
        read.head(&"/x/a%20b".parse().unwrap(), &nothing),
        read.head(&"/x?name=a+b".parse().unwrap(), &nothing),
        read.head(&"/x".parse().unwrap(), &headers(&[("x-user-id", "a b")])),
        body,
    ];
    let hashes = hashes.map(|found| found.iter().last().unwrap().hash);
    assert_eq!(hashes, [hashes[0]; 4]);
}

#[test]
fn no_part_pushes_out_another() {
    let path = "/segment".repeat(40).replace("segment", "0123456789ab");
    let path: String = path
        .split('/')
        .enumerate()
        .map(|(n, s)| format!("/{s}{n}"))
        .collect();
    let query: Vec<_> = (0..40).map(|n| format!("p{n}=value{n}")).collect();
    let uri: Uri = format!("{path}?{}", query.join("&")).parse().unwrap();
    let cookies: Vec<_> = (0..40).map(|n| format!("c{n}=cookie{n}")).collect();
    let said = headers(&[("cookie", &cookies.join("; ")), ("x-user-id", "ada")]);
    let read = reader(&ALL);
    let mut found = read.head(&uri, &said);
    check(
        &found,
        &["value0", "cookie0", "ada"],
        &["value39", "cookie39"],
    );
    assert!(found.len() <= MOST_SEGMENTS + MOST_PARAMETERS + MOST_HEADERS);
    read.body(br#"["body0"]"#, Extent::Whole, &mut found);
    check(&found, &["body0"], &[]);
    read.body(format!("{query:?}").as_bytes(), Extent::Whole, &mut found);
    assert_eq!(found.len(), MOST);
}

#[test]
fn only_small_json_that_is_on_its_way_is_looked_at() {
    let json = ("content-type", "application/json");
    for (said, expected) in [
        (&[json, ("content-length", "20")][..], Some(20)),
        (&[json, ("content-length", "4096")], Some(4096)),
        (&[json, ("content-length", "4097")], None),
        (&[json, ("content-length", "0")], None),
        (&[json, ("content-length", "x")], None),
        (&[json], None),
        (
            &[
                ("content-type", "application/vnd.api+json; charset=utf-8"),
                ("content-length", "20"),
            ],
            Some(20),
        ),
        (
            &[("content-type", "text/html"), ("content-length", "20")],
            None,
        ),
        (&[("content-type", "json"), ("content-length", "20")], None),
        (
            &[json, ("content-length", "20"), ("content-encoding", "gzip")],
            None,
        ),
        (
            &[json, ("content-length", "20"), ("expect", "100-continue")],
            None,
        ),
    ] {
        assert_eq!(
            reader(&ALL).body_length(&headers(said)),
            expected,
            "{said:?}"
        );
        assert_eq!(
            reader(&ALL[..3]).body_length(&headers(said)),
            None,
            "it was not asked for"
        );
    }
}

proptest! {
    #[test]
    fn any_request_is_read_without_harm_and_within_bounds(
        target in "/[!-~]{0,200}",
        values in proptest::collection::vec(
            (0..Config::HEADERS.len(), proptest::collection::vec(any::<u8>(), 0..200)),
            0..20,
        ),
        body in any::<Vec<u8>>(),
    ) {
        let uri: Uri = match target.parse() {
            Ok(uri) => uri,
            Err(_) => return Ok(()),
        };
        let mut map = HeaderMap::new();
        for (name, value) in values {
            if let Ok(value) = http::HeaderValue::from_bytes(&value) {
                map.append(Config::HEADERS[name], value);
            }
        }
        let read = reader(&ALL);
        let head = read.head(&uri, &map);
        prop_assert!(head.len() <= MOST);
        prop_assert_eq!(&head, &read.head(&uri, &map), "the same again");
        for extent in [Extent::Whole, Extent::Beginning] {
            let mut all = head.clone();
            read.body(&body, extent, &mut all);
            prop_assert!(all.len() <= MOST);
            prop_assert!(head.iter().eq(all.iter().take(head.len())), "what was there stays");
        }
    }
}
