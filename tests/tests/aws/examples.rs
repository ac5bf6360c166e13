//! The examples in the documentation of AWS, whose signatures AWS itself has published: each goes through
//! a fixed way out as it stands there, and the verdict on it shows that the judge of the other tests is
//! one.

use throughline_tests::{Cloud, Collector, Protocol, Setup, raw};

use super::assert_traced;

const BUCKET: &str = "Host: examplebucket.s3.amazonaws.com";
const DATE: &str = "x-amz-date: 20130524T000000Z";
const NOTHING: &str =
    "x-amz-content-sha256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// A request as the documentation has it.
#[derive(Clone, Debug)]
struct Example {
    first: &'static str,
    headers: Vec<&'static str>,
    /// The signed headers and the signature; empty where the target has them.
    authorization: [&'static str; 2],
    body: String,
}

impl Example {
    fn bytes(&self) -> String {
        let mut lines = vec![self.first];
        lines.extend(&self.headers);
        let [signed, signature] = self.authorization;
        let authorization = format!(
            "Authorization: AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,\
             SignedHeaders={signed},Signature={signature}"
        );
        if !signed.is_empty() {
            lines.push(&authorization);
        }
        let length = format!("Content-Length: {}", self.body.len());
        if !self.body.is_empty() {
            lines.push(&length);
        }
        format!(
            "{}\r\nConnection: close\r\n\r\n{}",
            lines.join("\r\n"),
            self.body
        )
    }
}

/// 65 KiB of `a` in two chunks, and the empty one.
fn chunks(signatures: [&str; 3], end: &str) -> String {
    let chunk = |length: usize, signature: &str| {
        let content = "a".repeat(length);
        format!("{length:x};chunk-signature={signature}\r\n{content}")
    };
    let [first, second, last] = signatures;
    let (first, second) = (chunk(65_536, first), chunk(1024, second));
    format!(
        "{first}\r\n{second}\r\n{}\r\n{end}",
        chunk(0, last).trim_end()
    )
}

/// "Signature Calculations for the Authorization Header", with one chunk and with many, "Authenticating
/// Requests: Using Query Parameters", and "Including Trailing Headers", in the API reference of S3.
fn examples() -> [Example; 7] {
    let plain = |first, authorization| Example {
        first,
        headers: vec![BUCKET, DATE, NOTHING],
        authorization,
        body: String::new(),
    };
    let signed = "host;x-amz-content-sha256;x-amz-date";
    let mut range = plain(
        "GET /test.txt HTTP/1.1",
        [
            "host;range;x-amz-content-sha256;x-amz-date",
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        ],
    );
    range.headers.push("Range: bytes=0-9");
    let lifecycle = plain(
        "GET /?lifecycle HTTP/1.1",
        [
            signed,
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
        ],
    );
    let list = plain(
        "GET /?max-keys=2&prefix=J HTTP/1.1",
        [
            signed,
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        ],
    );
    let put = Example {
        first: "PUT /test%24file.text HTTP/1.1",
        headers: vec![
            BUCKET,
            "Date: Fri, 24 May 2013 00:00:00 GMT",
            DATE,
            "x-amz-storage-class: REDUCED_REDUNDANCY",
            "x-amz-content-sha256: 44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
        ],
        authorization: [
            "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
        ],
        body: "Welcome to Amazon S3.".to_owned(),
    };
    let presigned = Example {
        first: "GET /test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256\
                &X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request\
                &X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host\
                &X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404 HTTP/1.1",
        headers: vec![BUCKET],
        authorization: ["", ""],
        body: String::new(),
    };
    let chunked = Example {
        first: "PUT /examplebucket/chunkObject.txt HTTP/1.1",
        headers: vec![
            "Host: s3.amazonaws.com",
            DATE,
            "x-amz-storage-class: REDUCED_REDUNDANCY",
            "x-amz-content-sha256: STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
            "Content-Encoding: aws-chunked",
            "x-amz-decoded-content-length: 66560",
        ],
        authorization: [
            "content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;\
             x-amz-decoded-content-length;x-amz-storage-class",
            "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
        ],
        body: chunks(
            [
                "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
                "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
                "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
            ],
            "\r\n",
        ),
    };
    let mut trailing = chunked.clone();
    trailing.headers[3] = "x-amz-content-sha256: STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER";
    trailing
        .headers
        .push("x-amz-trailer: x-amz-checksum-crc32c");
    trailing.authorization = [
        "content-encoding;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;\
         x-amz-storage-class;x-amz-trailer",
        "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e",
    ];
    trailing.body = chunks(
        [
            "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
            "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
            "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992",
        ],
        "x-amz-checksum-crc32c:sOO8/Q==\r\n\
         x-amz-trailer-signature:d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n\r\n",
    );
    [range, lifecycle, list, put, presigned, chunked, trailing]
}

#[tokio::test]
async fn the_examples_of_aws_are_valid_behind_the_sidecar_and_nothing_of_them_changes() {
    let (cloud, collector) = tokio::join!(Cloud::start(), Collector::start());
    let sidecar = Setup::outbound_alone()
        .flag("route", &format!("127.0.0.1:0=http://{}", cloud.address()))
        .exporting(&collector, Protocol::Http)
        .start()
        .await;
    for example in examples() {
        raw(cloud.address(), example.bytes()).await;
    }
    let direct = cloud.begin_again().await;
    for example in examples() {
        raw(sidecar.routes()[0], example.bytes()).await;
    }
    let through = cloud.calls().await;
    super::assert_untouched(&direct, &through);
    assert_eq!(through.len(), examples().len());
    for (direct, through) in direct.iter().zip(&through) {
        assert_eq!(through.target, direct.target);
        assert_eq!(through.values("x-amz-date"), direct.values("x-amz-date"));
    }
    assert_traced(&through, &collector).await;
}

#[tokio::test]
async fn the_judge_sees_every_change_to_what_is_signed() {
    let cloud = Cloud::start().await;
    let chunked = examples()[5].bytes();
    for (n, example) in examples().iter().enumerate() {
        let good = example.bytes();
        let host = good.replacen("s3.amazonaws.com", "s3.amazonaws.com:80", 1);
        let twice = good.replacen("Host: ", "Host: examplebucket\r\nHost: ", 1);
        let method = good
            .replacen("GET ", "HEAD ", 1)
            .replacen("PUT ", "POST ", 1);
        let path = good
            .replacen("/test", "//test", 1)
            .replacen("/?", "/%3F?", 1)
            .replacen("chunkObject", "chunk%4Fbject", 1);
        let date = good.replacen("20130524T000000Z", "20130524T000001Z", 1);
        for bad in [host, twice, method, path, date] {
            assert_ne!(bad, good, "{n}");
            raw(cloud.address(), bad).await;
        }
    }
    let [range, _, list, put, presigned, _, trailing] = examples().map(|example| example.bytes());
    for (good, from, to) in [
        (&range, "bytes=0-9", "bytes=0-8"),
        (&range, "Range: bytes=0-9\r\n", ""),
        (&list, "prefix=J", "prefix=j"),
        (&put, "test%24file", "test$file"),
        (&put, "Welcome", "welcome"),
        (&put, "REDUCED_REDUNDANCY", "STANDARD"),
        (&presigned, "Expires=86400", "Expires=86401"),
        (&chunked, "aaaa\r\n400", "aaab\r\n400"),
        (&chunked, "aaaa\r\n0;", "aaab\r\n0;"),
        (&trailing, "aaaa\r\n400", "aaab\r\n400"),
        (&trailing, "sOO8/Q==", "sOO8/R=="),
        (
            &trailing,
            "x-amz-trailer: x-amz-checksum-crc32c",
            "x-amz-trailer: x-amz-checksum-crc32",
        ),
    ] {
        let bad = good.replacen(from, to, 1);
        assert_ne!(&bad, good, "{from}");
        raw(cloud.address(), bad).await;
    }
    let calls = cloud.calls().await;
    assert_eq!(calls.len(), 7 * 5 + 12);
    for call in &calls {
        assert!(call.verdict.starts_with("invalid: "), "{call:?}");
    }
    // And what is not signed may come and go.
    let more = range.replacen(
        "Range: ",
        "traceparent: 1\r\nx-amzn-trace-id: 2\r\nRange: ",
        1,
    );
    cloud.begin_again().await;
    raw(cloud.address(), more).await;
    super::assert_valid(&cloud.calls().await);
}
