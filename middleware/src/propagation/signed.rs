//! AWS signatures: which headers of a request must not be touched, and which requests are AWS' own.
//!
//! A signature covers the headers that it lists (`SignedHeaders` in `Authorization`, or
//! `X-Amz-SignedHeaders` in the query of a presigned address). Others may be added; a listed one that
//! is changed, removed or repeated makes AWS refuse the request. So a listed context header is
//! *frozen*: what is in it is the parent, and it goes on as it is. Signature versions 4 and 4A say
//! this in the same words.
//!
//! AWS' own services read no other context than `X-Amzn-Trace-Id`, which is all that they are sent.
//! Behind other names of theirs (load balancers, API Gateway) stand the services of customers, who
//! may read anything.

use http::{HeaderMap, HeaderName, Uri, header};

use super::Format;

/// What the signature of a request covers, as far as context headers go, and who it is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Signature {
    /// A bit for each format, by its index.
    covered: u8,
    is_for_aws: bool,
}

const _: () = assert!(Format::COUNT <= 8, "one bit each");

/// Services whose callers reach a service of a customer, as they are named in a signature.
const OF_CUSTOMERS: [&str; 6] = [
    "execute-api",
    "lambda",
    "appsync",
    "vpc-lattice-svcs",
    "es",
    "aoss",
];

impl Signature {
    /// What is signed of a request with this target and these headers.
    #[must_use]
    pub fn of(uri: &Uri, headers: &HeaderMap) -> Self {
        let Some(said) = said(uri, headers) else {
            let is_for_aws = host(uri, headers).is_some_and(is_aws_host);
            return Self {
                covered: 0,
                is_for_aws,
            };
        };
        let mut covered = 0;
        for format in Format::ALL {
            if said.names().any(|name| owns(format, name)) {
                covered |= 1 << format.index();
            }
        }
        Self {
            covered,
            is_for_aws: !OF_CUSTOMERS.contains(&said.service),
        }
    }

    /// Whether a header of `format` is covered: then all of the format is left as it is.
    #[must_use]
    pub fn covers(self, format: Format) -> bool {
        self.covered & (1 << format.index()) != 0
    }

    /// Whether it covers a context header at all.
    #[must_use]
    pub fn covers_context(self) -> bool {
        self.covered != 0
    }

    /// Whether the request is for a service of AWS' own.
    #[must_use]
    pub fn is_for_aws(self) -> bool {
        self.is_for_aws
    }

    /// The same signature, of a request that comes to an app: whoever that is, it is not AWS.
    #[must_use]
    pub fn to_app(self) -> Self {
        Self {
            is_for_aws: false,
            ..self
        }
    }
}

/// Whether a signature of the request with this target and these headers covers the header `name`.
#[must_use]
pub fn lists(uri: &Uri, headers: &HeaderMap, name: &HeaderName) -> bool {
    said(uri, headers).is_some_and(|said| said.names().any(|listed| listed == name.as_str()))
}

fn said<'r>(uri: &'r Uri, headers: &'r HeaderMap) -> Option<Said<'r>> {
    in_authorization(headers).or_else(|| uri.query().and_then(in_query))
}

fn owns(format: Format, name: &str) -> bool {
    let is_named = format
        .headers()
        .iter()
        .any(|header| header.as_str() == name);
    is_named || (format == Format::Jaeger && name.starts_with("uberctx-"))
}

/// What a signature says about itself.
struct Said<'r> {
    /// The names of what it covers, with separators between them.
    list: &'r str,
    service: &'r str,
}

impl<'r> Said<'r> {
    fn names(&self) -> impl Iterator<Item = &'r str> {
        // In a query the separator is percent-encoded, and names have no other character that is.
        self.list
            .split(';')
            .flat_map(|part| part.split("%3B"))
            .flat_map(|part| part.split("%3b"))
    }
}

/// `AWS4-HMAC-SHA256 Credential=KEY/20261124/eu-west-1/s3/aws4_request, SignedHeaders=a;b,
/// Signature=…`, and in version 4A a scope without the region.
fn in_authorization(headers: &HeaderMap) -> Option<Said<'_>> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (algorithm, rest) = value.split_once(' ')?;
    if !algorithm.starts_with("AWS4-") {
        return None;
    }
    let field = |name: &str| {
        let mut fields = rest.split(',').map(str::trim);
        fields.find_map(|field| field.strip_prefix(name)?.strip_prefix('='))
    };
    Some(Said {
        list: field("SignedHeaders")?,
        service: service(field("Credential").unwrap_or_default()),
    })
}

fn in_query(query: &str) -> Option<Said<'_>> {
    let parameter = |name: &str| {
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find_map(|(key, value)| key.eq_ignore_ascii_case(name).then_some(value))
    };
    parameter("X-Amz-Signature")?;
    Some(Said {
        list: parameter("X-Amz-SignedHeaders")?,
        service: service(parameter("X-Amz-Credential").unwrap_or_default()),
    })
}

/// The last part but one of `KEY/DATE/REGION/SERVICE/aws4_request`.
fn service(credential: &str) -> &str {
    let scope = credential
        .strip_suffix("aws4_request")
        .unwrap_or(credential);
    let scope = ["/", "%2F", "%2f"]
        .iter()
        .find_map(|slash| scope.strip_suffix(slash))
        .unwrap_or(scope);
    let last = scope.rsplit('/').next().unwrap_or_default();
    let last = last.rsplit("%2F").next().unwrap_or_default();
    last.rsplit("%2f").next().unwrap_or_default()
}

fn host<'r>(uri: &'r Uri, headers: &'r HeaderMap) -> Option<&'r str> {
    if let Some(host) = uri.host() {
        return Some(host);
    }
    let host = headers
        .get(HeaderName::from_static("host"))?
        .to_str()
        .ok()?;
    Some(host.split(':').next().unwrap_or_default())
}

/// Whether the service behind a host name is AWS' own.
fn is_aws_host(host: &str) -> bool {
    const OWN: [&str; 3] = [".amazonaws.com", ".amazonaws.com.cn", ".api.aws"];
    // Whose service is behind these is a customer's.
    const CUSTOMERS: [&str; 6] = [
        "elb",
        "execute-api",
        "compute",
        "compute-1",
        "appsync-api",
        "lambda-url",
    ];
    let ends = |suffix: &&str| {
        host.len() > suffix.len()
            && host
                .get(host.len() - suffix.len()..)
                .is_some_and(|end| end.eq_ignore_ascii_case(suffix))
    };
    OWN.iter().any(ends)
        && !host.split('.').any(|label| {
            CUSTOMERS
                .iter()
                .any(|other| label.eq_ignore_ascii_case(other))
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn signature(uri: &str, authorization: Option<&str>) -> Signature {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, "127.0.0.1:4566".parse().unwrap());
        if let Some(value) = authorization {
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
        }
        Signature::of(&uri.parse().unwrap(), &headers)
    }

    fn covered(signature: Signature) -> Vec<Format> {
        let all = Format::ALL.into_iter();
        all.filter(|format| signature.covers(*format)).collect()
    }

    #[test]
    fn listed_headers_are_covered_in_every_form() {
        let scope = "Credential=AKID/20261124/eu-west-1/s3/aws4_request";
        let v4 =
            |list: &str| format!("AWS4-HMAC-SHA256 {scope}, SignedHeaders={list}, Signature=ab");
        let v4a = "AWS4-ECDSA-P256-SHA256 Credential=AKID/20261124/s3/aws4_request,\
                   SignedHeaders=b3;host,Signature=ab";
        let presigned = "/b/k?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKID%2F20261124%2F\
                         eu-west-1%2Fs3%2Faws4_request&X-Amz-SignedHeaders=baggage%3Bhost%3buberctx-a\
                         &X-Amz-Signature=ab";
        for (uri, authorization, formats) in [
            ("/", Some(v4("host;x-amz-date")), &[][..]),
            (
                "/",
                Some(v4("host;traceparent;tracestate;x-amz-date")),
                &[Format::TraceContext],
            ),
            (
                "/",
                Some(v4("host;x-amzn-trace-id;x-b3-sampled")),
                &[Format::XRay, Format::B3Multi],
            ),
            ("/", Some(v4a.to_owned()), &[Format::B3]),
            (presigned, None, &[Format::Baggage, Format::Jaeger]),
        ] {
            let signature = signature(uri, authorization.as_deref());
            assert_eq!(covered(signature), formats, "{uri} {authorization:?}");
            let mut headers = HeaderMap::new();
            if let Some(value) = &authorization {
                headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            }
            let uri: Uri = uri.parse().unwrap();
            assert!(lists(&uri, &headers, &header::HOST), "{uri}");
            assert!(!lists(&uri, &headers, &header::COOKIE), "{uri}");
            assert!(signature.is_for_aws(), "{uri} {authorization:?}");
        }
    }

    #[test]
    fn what_is_no_signature_covers_nothing() {
        for (uri, authorization) in [
            ("/", None),
            ("/", Some("Bearer SignedHeaders=traceparent")),
            ("/", Some("AWS4-HMAC-SHA256")),
            ("/", Some("AWS4-HMAC-SHA256 Credential=a/b")),
            ("/?X-Amz-SignedHeaders=traceparent", None),
        ] {
            let signature = signature(uri, authorization);
            assert_eq!(signature, Signature::default(), "{uri} {authorization:?}");
        }
    }

    #[test]
    fn a_signed_call_to_the_service_of_a_customer_is_not_for_aws() {
        let of = |service: &str| {
            format!(
                "AWS4-HMAC-SHA256 Credential=K/20261124/eu-west-1/{service}/aws4_request, SignedHeaders=host, Signature=a"
            )
        };
        for (service, expected) in [("sqs", true), ("execute-api", false), ("lambda", false)] {
            assert_eq!(
                signature("/", Some(&of(service))).is_for_aws(),
                expected,
                "{service}"
            );
        }
    }

    #[test]
    fn hosts_of_aws() {
        for (host, expected) in [
            ("s3.eu-west-1.amazonaws.com", true),
            ("Bucket.S3.Amazonaws.Com", true),
            ("dynamodb.cn-north-1.amazonaws.com.cn", true),
            ("s3.dualstack.eu-west-1.api.aws", true),
            ("my-alb-1.eu-west-1.elb.amazonaws.com", false),
            ("abc.execute-api.eu-west-1.amazonaws.com", false),
            ("ec2-1-2-3-4.eu-west-1.compute.amazonaws.com", false),
            ("amazonaws.com.example.org", false),
            ("notamazonaws.com", false),
            (".amazonaws.com", false),
            ("ä.amazonaws.com", true),
            ("stock", false),
        ] {
            assert_eq!(is_aws_host(host), expected, "{host}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(value in "[ -~]{0,80}", query in "[!-~&&[^#]]{0,80}") {
            let mut headers = HeaderMap::new();
            if let Ok(value) = format!("AWS4-HMAC-SHA256 {value}").parse() {
                headers.insert(header::AUTHORIZATION, value);
            }
            if let Ok(uri) = format!("/?{query}").parse() {
                let _ = Signature::of(&uri, &headers);
                let _ = Signature::of(&uri, &HeaderMap::new());
            }
        }
    }
}
