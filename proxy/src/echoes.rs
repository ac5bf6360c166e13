//! The values of an app's open requests, shared by the stack in front of it and the one behind it.
//!
//! In front, the values of a request are noted when its exchange opens, those of its body as it
//! passes, and all are forgotten when it ends. Behind, the values of a call are taken from what has
//! come of it. What they say of each other is a matter of [`values`].

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::{Request, header::EXPECT, request::Parts};
use http_body::Body;

use crate::{
    glimpse::Glimpsed,
    values::{self, Config, Fingerprints, Reader, Secret, Values},
};

/// What is known of values that may come back.
#[derive(Debug)]
pub struct Echoes {
    reader: Reader,
    values: Mutex<Values>,
}

impl Echoes {
    /// What `config` wants to be looked at, for so many open requests; `None` where that is nothing.
    #[must_use]
    pub fn new(config: &Config, secret: Secret, most_open: usize) -> Option<Arc<Self>> {
        let reader = Reader::new(config, secret)?;
        Some(Arc::new(Self {
            reader,
            values: Mutex::new(Values::new(most_open)),
        }))
    }

    /// A request begins, and lasts as long as what is handed back.
    #[must_use]
    pub fn open<B>(self: &Arc<Self>, request: &Request<B>) -> OpenValues {
        let fingerprints = self.reader.head(request.uri(), request.headers());
        let request = self.values().begin(fingerprints);
        OpenValues {
            echoes: self.clone(),
            request,
        }
    }

    /// The values of a call, with those of its body as far as that has come.
    pub fn of_call<B>(&self, call: &Parts, body: &mut Glimpsed<B>) -> Fingerprints
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let mut found = self.reader.head(&call.uri, &call.headers);
        // To look at a body that waits to be asked for would be to ask for it.
        if let Some(length) = self.reader.body_length(&call.headers)
            && !call.headers.contains_key(EXPECT)
            && let Some(first) = body.peek()
        {
            self.reader
                .body(first, values::Extent::of(first, length), &mut found);
        }
        found
    }

    /// The values themselves, to weigh and to learn.
    pub fn values(&self) -> MutexGuard<'_, Values> {
        self.values.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The values of an open request, which are forgotten when this is dropped.
#[derive(Debug)]
pub struct OpenValues {
    echoes: Arc<Echoes>,
    request: Option<values::Request>,
}

impl OpenValues {
    /// What the request is called among the values; `None` if there were too many.
    #[must_use]
    pub fn request(&self) -> Option<values::Request> {
        self.request
    }

    /// Adds the values of the body when they have passed, if it is one that is looked at.
    pub fn watch<B>(&self, request: Request<B>) -> Request<Glimpsed<B>>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let length = self.echoes.reader.body_length(request.headers());
        let (Some(length), Some(open)) = (length, self.request) else {
            return request.map(Glimpsed::new);
        };
        let echoes = self.echoes.clone();
        let witness = Box::new(move |bytes: &[u8], extent| {
            let Echoes { reader, .. } = &*echoes;
            // It is read before the lock is taken: that is the longer part.
            let mut found = Fingerprints::default();
            reader.body(bytes, extent, &mut found);
            echoes.values().complete(open, &found);
        });
        request.map(|body| Glimpsed::watched(body, length, witness))
    }
}

impl Drop for OpenValues {
    fn drop(&mut self) {
        if let Some(request) = self.request {
            self.echoes.values().end(request);
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, Full};

    use super::*;
    use crate::values::{Source, Weights};

    fn echoes(from: &[Source]) -> Arc<Echoes> {
        let config = Config {
            from: from.to_vec(),
            ..Config::default()
        };
        Echoes::new(&config, Secret::new([1, 2]), 8).unwrap()
    }

    fn request(target: &str, body: &'static str) -> Request<Full<Bytes>> {
        Request::post(target)
            .header("content-type", "application/json")
            .header("content-length", body.len())
            .body(Full::from(body))
            .unwrap()
    }

    /// What a call with this target and body says of the request `open`.
    fn weight(echoes: &Echoes, open: &OpenValues, target: &str, body: &'static str) -> f32 {
        let (parts, body) = request(target, body).into_parts();
        let call = echoes.of_call(&parts, &mut Glimpsed::new(body));
        let mut weights = Weights::new();
        echoes.values().weigh(7, &call, &mut weights);
        weights.of(open.request().unwrap())
    }

    #[tokio::test]
    async fn a_request_is_known_by_its_head_and_then_by_its_body_until_it_ends() {
        let echoes = echoes(&[Source::Path, Source::Body]);
        let body = r#"{"order": "order-4711"}"#;
        let request = request("/users/ada-17", body);
        let open = echoes.open(&request);
        let request = open.watch(request);
        let call = r#"[{"item": "order-4711"}]"#;
        assert!(weight(&echoes, &open, "/x/ada-17", "") > 1.0);
        assert!(
            weight(&echoes, &open, "/x", call) < 1.0,
            "the body has not passed"
        );
        let passed = request.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(passed, body);
        assert!(weight(&echoes, &open, "/x", call) > 1.0);
        let name = open.request().unwrap();
        drop(open);
        assert!(echoes.values().of(name).is_none());
    }

    #[tokio::test]
    async fn a_body_is_left_alone_where_it_was_not_asked_for() {
        let echoes = echoes(&[Source::Path]);
        let body = r#"{"order": "order-4711"}"#;
        let request = request("/users/ada-17", body);
        let open = echoes.open(&request);
        _ = open.watch(request).into_body().collect().await.unwrap();
        let known = echoes.values().of(open.request().unwrap()).unwrap().len();
        assert_eq!(known, 2, "users and ada-17");
    }

    #[tokio::test]
    async fn the_body_of_a_call_is_whole_after_it_was_looked_at() {
        let echoes = echoes(&[Source::Body]);
        let (parts, body) = request("/", r#"{"order": "order-4711"}"#).into_parts();
        let mut body = Glimpsed::new(body);
        assert_eq!(echoes.of_call(&parts, &mut body).len(), 1);
        let sent = body.collect().await.unwrap().to_bytes();
        assert_eq!(sent, r#"{"order": "order-4711"}"#);
    }
}
