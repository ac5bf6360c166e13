use std::{fs, os::unix::fs::symlink, path::Path};

use super::{
    testing::{Authority, Files},
    *,
};

fn inbound(pair: Pair) -> Config {
    Config {
        inbound: Some(Inbound {
            certificates: vec![pair],
            ..Inbound::default()
        }),
        upstream: Upstream {
            system_roots: false,
            ..Upstream::default()
        },
    }
}

#[test]
fn what_is_wrong_with_a_file_is_one_sentence_with_setting_file_and_cure() {
    let (files, ca) = (Files::new(), Authority::new("house"));
    let good = files.pair("good", &ca.issue(&["shop"]));
    let other = files.pair("other", &ca.issue(&["shop"]));
    let bad = |name: &str, text: &str| files.write(name, text);
    let half = fs::read_to_string(&good.certificate).unwrap();
    let half = &half[..half.len() / 2];
    let with = |certificate: &Path, key: &Path| {
        inbound(Pair {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
        })
    };
    let mut client_ca = with(&good.certificate, &good.key);
    let missing_ca = vec![files.path("none.crt")];
    client_ca.inbound.as_mut().unwrap().client_ca = missing_ca.clone();
    let mut upstream_ca = Config::default();
    upstream_ca.upstream.ca = missing_ca;
    let mut shown = Config::default();
    shown.upstream.certificate = Some(Pair {
        certificate: good.certificate.clone(),
        key: other.key.clone(),
    });
    let locked =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for (config, parts) in [
        (
            with(&files.path("none.crt"), &good.key),
            [
                "inbound_tls: ",
                "none.crt cannot be read (No such file",
                "give the path",
            ],
        ),
        (
            with(&good.certificate, &files.path("none.key")),
            ["inbound_tls: ", "none.key cannot be read", "give the path"],
        ),
        (
            with(&good.certificate, &other.key),
            [
                "inbound_tls: ",
                "other.key is not that of the certificate",
                "made together",
            ],
        ),
        (
            with(&bad("empty.crt", ""), &good.key),
            [
                "inbound_tls: ",
                "empty.crt holds no certificate",
                "BEGIN CERTIFICATE",
            ],
        ),
        (
            with(&good.certificate, &bad("empty.key", "")),
            [
                "inbound_tls: ",
                "empty.key holds no private key",
                "BEGIN PRIVATE KEY",
            ],
        ),
        (
            with(&good.key, &good.certificate),
            [
                "inbound_tls: ",
                "good.key holds no certificate",
                "BEGIN CERTIFICATE",
            ],
        ),
        (
            with(&good.certificate, &bad("locked.key", locked)),
            [
                "inbound_tls: ",
                "locked.key is locked with a passphrase",
                "openssl pkey",
            ],
        ),
        (
            with(&bad("half.crt", half), &good.key),
            ["inbound_tls: ", "half.crt is no PEM file", "write it again"],
        ),
        (
            with(&bad("garbage.crt", garbage), &good.key),
            ["inbound_tls: ", "garbage.crt cannot be understood", "X.509"],
        ),
        (
            with(good.certificate.parent().unwrap(), &good.key),
            ["inbound_tls: ", " is no file", "in PEM"],
        ),
        (
            client_ca,
            ["client_ca: ", "none.crt cannot be read", "give the path"],
        ),
        (
            upstream_ca,
            ["upstream_ca: ", "none.crt cannot be read", "give the path"],
        ),
        (
            shown,
            [
                "upstream_certificate: ",
                "other.key is not that of",
                "made together",
            ],
        ),
    ] {
        let error = Tls::load(config).unwrap_err().to_string();
        for part in parts {
            assert!(error.contains(part), "no {part:?} in {error}");
        }
        assert!(!error.contains('\n'), "{error}");
    }
}

#[test]
fn one_file_may_be_certificate_and_key() {
    let (files, ca) = (Files::new(), Authority::new("house"));
    let issued = ca.issue(&["shop"]);
    let both = files.write("both.pem", &(issued.key + &issued.certificate));
    let pair = Pair {
        certificate: both.clone(),
        key: both,
    };
    Tls::load(inbound(pair)).unwrap();
}

#[test]
fn what_is_bad_is_refused_and_counted_and_the_old_stays() {
    let (files, ca) = (Files::new(), Authority::new("house"));
    let pair = files.pair("shop", &ca.issue(&["shop"]));
    let tls = Tls::load(inbound(pair)).unwrap();
    let counted = |outcome| tls.counters().reloads(outcome);
    files.write("shop.key", "nonsense");
    let error = tls.reload().unwrap_err().to_string();
    assert!(error.contains("shop.key holds no private key"), "{error}");
    assert_eq!((counted(Reload::Taken), counted(Reload::Refused)), (0, 1));
    assert!(tls.server().terms().is_some(), "callers are met as before");
    files.pair("shop", &ca.issue(&["shop"]));
    tls.reload().unwrap();
    assert_eq!((counted(Reload::Taken), counted(Reload::Refused)), (1, 1));
}

#[test]
fn a_change_is_taken_up_when_it_has_stood_for_one_more_look() {
    let (files, ca) = (Files::new(), Authority::new("house"));
    let pair = files.pair("shop", &ca.issue(&["shop"]));
    let tls = Tls::load(inbound(pair)).unwrap();
    let taken = || tls.counters().reloads(Reload::Taken);
    assert_eq!(tls.look(None), None, "nothing has changed");
    let next = ca.issue(&["shop"]);
    files.write("shop.crt", &next.certificate);
    let seen = tls.look(None);
    assert!(seen.is_some());
    files.write("shop.key", &next.key);
    let seen = tls.look(seen.as_ref());
    assert!(seen.is_some(), "it is changing still");
    assert_eq!(tls.look(seen.as_ref()), None);
    assert_eq!(taken(), 1);
    assert_eq!(tls.look(None), None);
    assert_eq!(taken(), 1, "once for each change");

    // What is bad is tried once, and again when it has become something else.
    files.write("shop.key", "bad");
    assert_eq!(tls.look(tls.look(None).as_ref()), None);
    assert_eq!(tls.look(tls.look(None).as_ref()), None);
    assert_eq!(tls.counters().reloads(Reload::Refused), 1);
    files.write("shop.key", &next.key);
    assert_eq!(tls.look(tls.look(None).as_ref()), None);
    assert_eq!(taken(), 2);
}

#[test]
fn the_swap_of_a_link_is_a_change() {
    let (files, ca) = (Files::new(), Authority::new("house"));
    for version in ["1", "2"] {
        fs::create_dir(files.path(version)).unwrap();
        let issued = ca.issue(&["shop"]);
        fs::write(files.path(version).join("tls.crt"), issued.certificate).unwrap();
        fs::write(files.path(version).join("tls.key"), issued.key).unwrap();
    }
    // As the kubelet does it: the files lead through a link to a directory, which is swapped.
    symlink("1", files.path("..data")).unwrap();
    for name in ["tls.crt", "tls.key"] {
        symlink(Path::new("..data").join(name), files.path(name)).unwrap();
    }
    let tls = Tls::load(inbound(Pair {
        certificate: files.path("tls.crt"),
        key: files.path("tls.key"),
    }))
    .unwrap();
    symlink("2", files.path("..new")).unwrap();
    fs::rename(files.path("..new"), files.path("..data")).unwrap();
    assert_eq!(tls.look(tls.look(None).as_ref()), None);
    assert_eq!(tls.counters().reloads(Reload::Taken), 1);
}

#[test]
fn another_configuration_is_gone_by_or_refused_as_a_whole() {
    let (files, ca) = (Files::new(), Authority::new("house"));
    let pair = files.pair("shop", &ca.issue(&["shop"]));
    let tls = Tls::load(Config::default()).unwrap();
    assert!(tls.server().terms().is_none(), "in clear");
    let mut bad = inbound(pair.clone());
    bad.upstream.ca = vec![files.path("none.crt")];
    assert!(tls.reconfigure(bad).is_err());
    assert!(tls.server().terms().is_none());
    tls.reconfigure(inbound(pair)).unwrap();
    assert!(tls.server().terms().is_some());
}

#[test]
fn it_is_told_until_when_a_certificate_holds() {
    let (files, ca) = (Files::new(), Authority::new("house"));
    let pair = files.pair("shop", &ca.expired(&["shop"]));
    let tls = Tls::load(inbound(pair.clone())).unwrap();
    let ends = tls.counters().ends();
    assert_eq!(ends.len(), 1);
    assert_eq!(ends[0].certificate, pair.certificate.display().to_string());
    // `date -d 2002-01-01Z +%s`.
    assert_eq!(ends[0].seconds, 1_009_843_200);
    files.pair("shop", &ca.issue(&["shop"]));
    tls.reload().unwrap();
    assert!(tls.counters().ends()[0].seconds > 1_009_843_200);
}
