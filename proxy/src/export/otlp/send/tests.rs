//! Over real sockets, to a receiver that is made of the official structs and service.

use std::time::SystemTime;

use throughline::{
    ambient,
    context::{TraceContext, TraceFlags},
    span::Kind,
};
use tokio::net::TcpListener;

use super::*;
use crate::export::{
    Accepted, Failure, Reason,
    otlp::receiver::{self, Receiver, Say},
};

const BOTH: [Protocol; 2] = [Protocol::Grpc, Protocol::HttpProtobuf];

async fn export(config: &Config, spans: usize, patience: Duration) -> Result<Accepted, Failure> {
    let exporter = Otlp::new(config, &Resource::new("orders", Vec::new())).unwrap();
    let mut batch = Vec::new();
    for _ in 0..spans {
        let context =
            TraceContext::new(ambient::trace_id(), ambient::span_id(), TraceFlags::SAMPLED);
        let span = Span::new(Kind::Server, &context, SystemTime::UNIX_EPOCH);
        exporter.encode(&span, &mut batch);
    }
    exporter.send(batch, ambient::now() + patience).await
}

const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_batch_arrives_over_both_protocols_plain_and_compressed() {
    for protocol in BOTH {
        for compression in [Compression::None, Compression::Gzip] {
            let receiver = Receiver::start(protocol, []).await;
            let config = Config {
                compression,
                ..receiver.config()
            };
            let result = export(&config, 40, PATIENCE).await;
            assert_eq!(result, Ok(Accepted::default()), "{config:?}");
            assert_eq!(receiver.spans().len(), 40, "{config:?}");
            let (headers, request) = receiver.requests().remove(0);
            assert_eq!(headers["api-key"], "k1");
            assert!(request.resource_spans[0].resource.is_some());
        }
    }
}

#[tokio::test]
async fn a_collector_is_trusted_over_tls_only_with_its_certificate() {
    for protocol in BOTH {
        let (receiver, pem) = Receiver::start_tls(protocol).await;
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), pem).unwrap();
        let config = receiver.config();
        let config = Config {
            endpoint: config
                .endpoint
                .replace("http://127.0.0.1", "https://localhost"),
            certificate: Some(file.path().to_owned()),
            ..config
        };
        let result = export(&config, 3, PATIENCE).await;
        assert_eq!(result, Ok(Accepted::default()), "{protocol:?}");
        assert_eq!(receiver.spans().len(), 3);

        let (other, _) = Receiver::start_tls(protocol).await;
        let endpoint = config.endpoint.replace(
            &receiver.address.port().to_string(),
            &other.address.port().to_string(),
        );
        let untrusted = Config { endpoint, ..config };
        let patience = Duration::from_secs(1);
        let failure = export(&untrusted, 3, patience).await.unwrap_err();
        assert!(failure.message.contains("certificate"), "{failure:?}");
        assert!(other.spans().is_empty());
    }
}

#[tokio::test]
async fn what_may_work_later_is_tried_again() {
    for (protocol, no) in [
        (Protocol::HttpProtobuf, Say::No(503, &[])),
        (
            Protocol::HttpProtobuf,
            Say::No(429, &[("retry-after", "0")]),
        ),
        (Protocol::Grpc, Say::No(14, &[])),
    ] {
        let receiver = Receiver::start(protocol, [no]).await;
        let result = export(&receiver.config(), 3, PATIENCE).await;
        assert_eq!(result, Ok(Accepted::default()));
        assert_eq!((receiver.attempts(), receiver.spans().len()), (2, 3));
    }
}

#[tokio::test]
async fn the_delay_that_the_collector_asks_for_is_kept() {
    let script = [Say::No(503, &[("retry-after", "1")])];
    let receiver = Receiver::start(Protocol::HttpProtobuf, script).await;
    let begun = ambient::now();
    export(&receiver.config(), 1, PATIENCE).await.unwrap();
    assert!(begun.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn what_is_refused_for_good_is_not_tried_again() {
    for (protocol, code) in [(Protocol::HttpProtobuf, 400), (Protocol::Grpc, 3)] {
        let receiver = Receiver::start(protocol, [Say::No(code, &[])]).await;
        let failure = export(&receiver.config(), 1, PATIENCE).await.unwrap_err();
        assert_eq!(failure.reason, Reason::Rejected);
        assert_eq!(receiver.attempts(), 1);
    }
}

#[tokio::test]
async fn spans_that_a_collector_refuses_alone_are_counted() {
    for protocol in BOTH {
        let receiver = Receiver::start(protocol, [Say::Partly(2)]).await;
        let accepted = export(&receiver.config(), 5, PATIENCE).await.unwrap();
        assert_eq!((accepted.rejected, &*accepted.message), (2, "some"));
    }
}

#[tokio::test]
async fn nobody_there_is_unavailable() {
    for protocol in BOTH {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let config = receiver::config(address, protocol);
        let patience = Duration::from_millis(700);
        let failure = export(&config, 1, patience).await.unwrap_err();
        assert_eq!(failure.reason, Reason::Unavailable);
        assert!(failure.message.contains("refused"), "{}", failure.message);
    }
}

#[tokio::test]
async fn a_black_hole_is_a_timeout() {
    for protocol in BOTH {
        // The system accepts for a listener that never does: connected, and then nothing.
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let config = Config {
            timeout: Duration::from_millis(100),
            ..receiver::config(listener.local_addr().unwrap(), protocol)
        };
        let patience = Duration::from_millis(600);
        let failure = export(&config, 1, patience).await.unwrap_err();
        assert_eq!(failure.reason, Reason::Timeout, "{}", failure.message);
    }
}

#[tokio::test]
async fn an_attempt_without_an_answer_is_followed_by_another() {
    for protocol in BOTH {
        let receiver = Receiver::start(protocol, [Say::Nothing]).await;
        let config = Config {
            timeout: Duration::from_millis(300),
            ..receiver.config()
        };
        assert_eq!(export(&config, 4, PATIENCE).await, Ok(Accepted::default()));
        assert_eq!(receiver.spans().len(), 4);
    }
}

#[test]
fn a_bad_endpoint_or_header_is_named_with_its_cure_and_without_secrets() {
    let good = receiver::config("127.0.0.1:4317".parse().unwrap(), Protocol::Grpc);
    let error = |config: Config| {
        Otlp::new(&config, &Resource::new("orders", Vec::new()))
            .unwrap_err()
            .to_string()
    };
    for endpoint in ["", "localhost:4317", "ftp://collector", "http://"] {
        let text = error(Config {
            endpoint: endpoint.to_owned(),
            ..good.clone()
        });
        assert!(text.contains("http://localhost:4317"), "{text}");
    }
    let text = error(Config {
        headers: vec![("api-key".to_owned(), "s3cret\n".to_owned())],
        ..good.clone()
    });
    assert!(
        text.contains("api-key") && !text.contains("s3cret"),
        "{text}"
    );
    let text = error(Config {
        endpoint: "https://collector:4317".to_owned(),
        certificate: Some("/nowhere/ca.pem".into()),
        ..good
    });
    assert!(text.contains("/nowhere/ca.pem"), "{text}");
}
