//! What a span knows of TLS, as `/api/traces` shows it.

use serde::Serialize;
use throughline::span::{Kind, Span};

/// Of the caller's connection where a request was answered, of the upstream's where it was asked.
#[derive(Serialize)]
pub(super) struct View {
    version: &'static str,
    resumed: bool,
    /// How long the handshake before this request took.
    #[serde(skip_serializing_if = "Option::is_none")]
    handshake_ns: Option<u64>,
    /// The subject of the client's verified certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_subject: Option<String>,
    /// Its alternative name.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_name: Option<String>,
}

impl View {
    /// `None` for what was spoken in clear.
    pub(super) fn of(span: &Span) -> Option<Self> {
        let session = span.tls.as_deref();
        let handshake = match span.kind {
            Kind::Server => session?.handshake,
            Kind::Client => span.connection?.tls?,
        };
        let client = session.and_then(|session| session.client.as_ref());
        let first = session.filter(|_| span.tls_is_new);
        Some(Self {
            version: handshake.version.name(),
            resumed: handshake.resumed,
            handshake_ns: first.and_then(|session| session.took.as_nanos().try_into().ok()),
            client_subject: client.map(|client| client.subject.to_string()),
            client_name: client.and_then(|client| client.name().map(str::to_owned)),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::Arc,
        time::{Duration, SystemTime},
    };

    use serde_json::json;
    use throughline::{
        ambient,
        context::{TraceContext, TraceFlags},
        tls::{Client, Handshake, Name, Session, Version},
    };

    use super::*;

    #[test]
    fn a_server_says_who_asked_and_a_request_in_clear_says_nothing() {
        let context =
            TraceContext::new(ambient::trace_id(), ambient::span_id(), TraceFlags::SAMPLED);
        let mut span = Span::new(Kind::Server, &context, SystemTime::UNIX_EPOCH);
        assert!(View::of(&span).is_none());
        span.tls = Some(Arc::new(Session {
            handshake: Handshake {
                version: Version::Tls12,
                resumed: true,
            },
            took: Duration::from_nanos(7),
            client: Some(Client {
                subject: "CN=orders".into(),
                issuer: "CN=ca".into(),
                names: [Name::Dns("orders.shop".into())].into(),
            }),
        }));
        span.tls_is_new = true;
        assert_eq!(
            serde_json::to_value(View::of(&span)).unwrap(),
            json!({
                "version": "1.2",
                "resumed": true,
                "handshake_ns": 7,
                "client_subject": "CN=orders",
                "client_name": "orders.shop",
            })
        );
    }
}
