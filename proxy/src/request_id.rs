//! `X-Request-Id`: the one value of a request that logs of all services can be searched for.
//!
//! A request that comes without one gets one, in the shape of a random UUID. The one of a trusted
//! caller is kept and never altered; that of a stranger is replaced, because whoever can choose it can
//! make two requests look like one.

use http::{HeaderName, HeaderValue, Request};
use throughline::{propagation::signed, server::Arrival, trust::Trust};

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Gives ids to requests.
#[derive(Clone, Debug)]
pub struct RequestIds {
    trust: Trust,
}

impl RequestIds {
    /// Keeps the ids of these callers, and makes all others.
    #[must_use]
    pub fn new(trust: Trust) -> Self {
        Self { trust }
    }

    /// Sees to it that a request has an id that can be relied on. One that is signed is kept in any
    /// case: the app would refuse the request without it.
    pub fn ensure<B>(&self, request: &mut Request<B>, random: impl Fn() -> u64) {
        let (uri, headers) = (request.uri(), request.headers());
        let is_trusted = || match request.extensions().get::<Arrival>() {
            Some(arrival) => arrival.is_trusted(&self.trust),
            None => self.trust.includes(None),
        };
        let is_kept = headers.contains_key(X_REQUEST_ID)
            && (is_trusted() || signed::lists(uri, headers, &X_REQUEST_ID));
        if is_kept {
            return;
        }
        let id = uuid((u128::from(random()) << 64) | u128::from(random()));
        let value = HeaderValue::from_bytes(&id).expect("hexadecimal digits and dashes");
        request.headers_mut().insert(X_REQUEST_ID, value);
    }
}

/// A random UUID (RFC 9562, version 4) of these bits.
fn uuid(bits: u128) -> [u8; 36] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let bits = (bits & !(0xf << 76)) | (0x4 << 76);
    let bits = (bits & !(0x3 << 62)) | (0x2 << 62);
    let mut text = [b'-'; 36];
    let places = (0..36).filter(|place| ![8, 13, 18, 23].contains(place));
    for (digit, place) in places.enumerate() {
        let four = (bits >> (124 - 4 * digit)) & 0xf;
        text[place] = DIGITS[usize::try_from(four).expect("four bits")];
    }
    text
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use throughline::ambient;

    fn ensured(trust: &str, given: Option<&'static str>, signature: Option<&str>) -> String {
        let mut request = Request::new(());
        if let Some(given) = given {
            let given = HeaderValue::from_static(given);
            request.headers_mut().insert(X_REQUEST_ID, given);
        }
        if let Some(list) = signature {
            let said = format!("AWS4-HMAC-SHA256 Credential=K, SignedHeaders={list}, Signature=a");
            let said = said.parse().unwrap();
            request.headers_mut().insert("authorization", said);
        }
        request.extensions_mut().insert(Arrival {
            first_byte: None,
            headers: ambient::now(),
            peer: Some(SocketAddr::from(([10, 0, 0, 1], 1))),
            tls: None,
        });
        let ids = RequestIds::new(trust.parse().unwrap());
        ids.ensure(&mut request, || 0x0123_4567_89ab_cdef);
        let headers = request.headers();
        assert_eq!(headers.get_all(X_REQUEST_ID).iter().count(), 1);
        headers[X_REQUEST_ID].to_str().unwrap().to_owned()
    }

    #[test]
    fn an_id_that_is_signed_is_kept() {
        let list = "host;x-request-id";
        assert_eq!(ensured("none", Some("signed"), Some(list)), "signed");
        assert_ne!(ensured("none", Some("chosen"), Some("host")), "chosen");
    }

    #[test]
    fn an_id_is_made_where_there_is_none_that_can_be_relied_on() {
        let made = "01234567-89ab-4def-8123-456789abcdef";
        for (trust, given, expected) in [
            ("all", None, made),
            ("all", Some("Anything, as it came"), "Anything, as it came"),
            ("none", Some("chosen"), made),
            ("10.0.0.0/8", Some("kept"), "kept"),
            ("192.0.2.0/24", Some("chosen"), made),
        ] {
            assert_eq!(ensured(trust, given, None), expected, "{trust} {given:?}");
        }
    }
}
