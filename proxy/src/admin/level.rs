//! How much is logged, shown to anyone who reaches the port and set from this host alone.

use bytes::Bytes;
use http::{HeaderValue, Method, Response, StatusCode, header, request};
use throughline::server::Arrival;

use super::text;
use crate::log::{LEVELS, Log};

/// `GET /log-level`, and `PUT /log-level?level=debug`: a body would have to be waited for.
pub(super) fn answer(log: &Log, request: &request::Parts) -> Response<Bytes> {
    match request.method {
        Method::GET | Method::HEAD => text(StatusCode::OK, format!("{}\n", log.level())),
        Method::PUT if !is_from_here(request) => text(
            StatusCode::FORBIDDEN,
            "the level is set from this host alone, over a loopback address\n",
        ),
        Method::PUT => {
            let mut pairs = request.uri.query().unwrap_or_default().split('&');
            let level = pairs.find_map(|pair| pair.strip_prefix("level="));
            let before = log.level();
            if !level.is_some_and(|level| log.set(level)) {
                let known = LEVELS.join(", ");
                let what = format!("the levels are {known}; try PUT /log-level?level=debug\n");
                return text(StatusCode::BAD_REQUEST, what);
            }
            tracing::info!("the log level is {}, and was {before}", log.level());
            text(StatusCode::OK, format!("{}\n", log.level()))
        }
        _ => {
            let mut refusal = text(StatusCode::METHOD_NOT_ALLOWED, "only GET, HEAD and PUT\n");
            let allow = HeaderValue::from_static("GET, HEAD, PUT");
            refusal.headers_mut().insert(header::ALLOW, allow);
            refusal
        }
    }
}

fn is_from_here(request: &request::Parts) -> bool {
    let arrival = request.extensions.get::<Arrival>();
    let peer = arrival.and_then(|arrival| arrival.peer);
    peer.is_some_and(|peer| peer.ip().to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use http::Request;
    use throughline::ambient;

    use super::*;

    fn ask(log: &Log, method: Method, query: &str, peer: &str) -> (u16, String) {
        let uri = format!("/log-level{query}");
        let mut request = Request::builder().method(method).uri(uri).body(()).unwrap();
        request.extensions_mut().insert(Arrival {
            first_byte: None,
            headers: ambient::now(),
            peer: peer.parse().ok(),
            tls: None,
        });
        let response = answer(log, &request.into_parts().0);
        let body = String::from_utf8(response.body().to_vec()).unwrap();
        (response.status().as_u16(), body)
    }

    #[test]
    fn it_is_set_from_this_host_alone_and_only_to_a_level() {
        let log = Log::start("warn");
        let here = "127.0.0.1:1";
        for (query, peer, status) in [
            ("", here, 400),
            ("?level=", here, 400),
            ("?level=loud", here, 400),
            ("?level=debug", "10.0.0.1:1", 403),
            ("?level=debug", "nobody", 403),
        ] {
            assert_eq!(
                ask(&log, Method::PUT, query, peer).0,
                status,
                "{query} {peer}"
            );
            assert_eq!(ask(&log, Method::GET, "", peer), (200, "warn\n".to_owned()));
        }
        assert_eq!(ask(&log, Method::POST, "?level=debug", here).0, 405);
    }
}
