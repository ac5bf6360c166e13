//! Settings that are right each for itself, but not together.

use std::net::{IpAddr, SocketAddr};

use super::{AppAddress, Config, Error, Origin, Source};

/// No two listeners at one address, and none at the app's.
pub(crate) fn check(config: &Config) -> Result<(), Error> {
    let listeners = listeners(config);
    for (index, (name, address)) in listeners.iter().enumerate() {
        let earlier = &listeners[..index];
        if let Some((other, _)) = earlier.iter().find(|(_, other)| overlap(*address, *other)) {
            return Err(Error::Together(format!(
                "{other} and {name} both listen at {address}; give one of them another port"
            )));
        }
        if let Some(app) = config.app.as_ref().filter(|app| is_at(app, *address)) {
            return Err(Error::Together(format!(
                "the app is said to listen at {app}, but that is where {name} ({address}) listens, \
                 so that requests would go round in a circle; give --app the app's own port"
            )));
        }
    }
    Ok(())
}

/// Something to stand beside.
pub(crate) fn runnable(config: &Config, origins: &[Origin], command: bool) -> Result<(), Error> {
    let no_inbound = origins
        .iter()
        .any(|origin| origin.key == "inbound" && !matches!(origin.source, Source::Detected(_)));
    if let (Some(path), true) = (&config.upgrade_socket, command) {
        return Err(Error::Together(format!(
            "upgrade_socket is {}, but the app is started by a command and would end with the process \
             that is taken over from; start the app by itself and give --app PORT, or leave the socket \
             away",
            path.display()
        )));
    }
    if config.app.is_none() && !command && !no_inbound {
        return Err(Error::Together(
            "there is no app to stand beside; give --app PORT, the port that the app listens on, or \
             a command that starts it after --, or --inbound off for an app that only makes calls"
                .to_owned(),
        ));
    }
    Ok(())
}

fn listeners(config: &Config) -> Vec<(String, SocketAddr)> {
    let named = [
        ("inbound", config.inbound),
        ("outbound", config.outbound),
        ("admin", config.admin),
    ];
    let named = named
        .into_iter()
        .filter_map(|(name, address)| Some((name.to_owned(), address?)));
    let routes = config
        .routes
        .iter()
        .map(|route| (format!("the route to {}", route.upstream), route.listen));
    named.chain(routes).collect()
}

/// Whether only one of two listeners could be had. Port 0 is a new one each time.
fn overlap(one: SocketAddr, other: SocketAddr) -> bool {
    one.port() == other.port()
        && one.port() != 0
        && (one.ip() == other.ip() || covers(one.ip(), other.ip()) || covers(other.ip(), one.ip()))
}

/// Whether a listener at `any` takes what is meant for `ip`. One at `[::]` takes IPv4 as well.
fn covers(any: IpAddr, ip: IpAddr) -> bool {
    any.is_unspecified() && (any.is_ipv6() || ip.is_ipv4())
}

/// Whether the app's address is the listener's own, as far as that can be told without asking DNS.
fn is_at(app: &AppAddress, listener: SocketAddr) -> bool {
    if app.port != listener.port() {
        return false;
    }
    if app.host.eq_ignore_ascii_case("localhost") {
        return listener.ip().is_loopback() || listener.ip().is_unspecified();
    }
    match app.host.parse::<IpAddr>() {
        Ok(ip) if ip.is_unspecified() => {
            listener.ip().is_loopback() || listener.ip().is_unspecified()
        }
        // An address that is not of this host may well have the port of our listener.
        Ok(ip) => ip == listener.ip() || (ip.is_loopback() && covers(listener.ip(), ip)),
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Sources, resolve};

    /// Asserts what the flags of a file are answered with when they are run.
    fn check(file: &str, command: bool, expected: Result<(), &str>) {
        let sources = Sources {
            file: Some(("t.yaml".to_owned(), file.to_owned())),
            ..Sources::default()
        };
        let result = resolve(&sources)
            .and_then(|resolved| resolved.config.runnable(&resolved.origins, command));
        match (result, expected) {
            (Ok(()), Ok(())) => {}
            (Err(error), Err(part)) => {
                let error = error.to_string();
                assert!(error.contains(part), "{file}: {error}");
            }
            (got, _) => panic!("{file}: {got:?}"),
        }
    }

    #[test]
    fn listeners_are_apart() {
        check(
            "{app: 1, inbound: 0.0.0.0:15001}",
            false,
            Err("inbound and outbound both listen"),
        );
        check(
            "{app: 1, admin: 127.0.0.1:15001}",
            false,
            Err("outbound and admin both listen"),
        );
        check("{app: 1, inbound: '[::]:15001'}", false, Err("both listen"));
        check(
            "{app: 1, routes: [{listen: 127.0.0.1:9, upstream: a}, {listen: 127.0.0.1:9, upstream: b}]}",
            false,
            Err("the route to http://a/ and the route to http://b/ both listen at 127.0.0.1:9"),
        );
        check("{app: 1, inbound: 10.0.0.1:15001}", false, Ok(()));
        check(
            "{app: 1, inbound: 0.0.0.0:0, outbound: 127.0.0.1:0}",
            false,
            Ok(()),
        );
    }

    #[test]
    fn the_app_is_not_ourselves() {
        for (app, inbound, circle) in [
            ("15006", "0.0.0.0:15006", true),
            ("localhost:80", "0.0.0.0:80", true),
            ("localhost:80", "127.0.0.1:80", true),
            ("'[::1]:80'", "'[::]:80'", true),
            ("0.0.0.0:80", "127.0.0.1:80", true),
            ("orders:80", "0.0.0.0:80", false),
            ("10.0.0.1:80", "0.0.0.0:80", false),
            ("127.0.0.1:80", "10.0.0.1:80", false),
            ("15001", "off", true),
        ] {
            let file = format!("{{app: {app}, inbound: {inbound}}}");
            check(
                &file,
                false,
                if circle { Err("in a circle") } else { Ok(()) },
            );
        }
    }

    #[test]
    fn there_is_something_to_stand_beside() {
        check("", false, Err("--app PORT"));
        check("app: 3000", false, Ok(()));
        check("", true, Ok(()));
        check("inbound: off", false, Ok(()));
    }
}
