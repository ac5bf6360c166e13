//! ARCHITECTURE.md has a table of layers for each crate, and this holds the code to it.
//!
//! The order of the rows is the law: a module may use what stands above it and nothing else, and a
//! layer called "pure" reads no clock, no socket, no environment and no randomness. A table that
//! nobody checks is wrong within a month.

mod law;
mod paths;
mod table;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use law::{Law, Source};
use table::Table;

const MIDDLEWARE: Law = Law {
    package: "throughline",
    reserved: &[],
};

const PROXY: Law = Law {
    package: "throughline_proxy",
    reserved: &[
        (
            "hyper",
            &[
                "listen", "pool", "inbound", "outbound", "tunnel", "app", "demo", "export",
            ],
        ),
        ("pingora", &["listen", "app"]),
    ],
};

#[test]
fn the_middleware_keeps_to_its_layers() {
    hold("middleware", &MIDDLEWARE);
}

#[test]
fn the_proxy_keeps_to_its_layers() {
    hold("proxy", &PROXY);
}

/// Fails with every breach of the table `<!-- layers: {room} -->` in the crate of that directory.
fn hold(directory: &str, law: &Law) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("this crate is a member of the workspace");
    let map = fs::read_to_string(root.join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    let table = Table::read(&map, directory).expect("the table in ARCHITECTURE.md");
    let src = root.join(directory).join("src");
    let sources = sources(&src).expect("the sources of a member");
    let breaches = law.breaches(&table, &sources);
    assert!(breaches.is_empty(), "\n{}\n", breaches.join("\n"));
}

/// Every source below `src` except `lib.rs`, which only names the modules.
fn sources(src: &Path) -> io::Result<Vec<Source>> {
    let mut found = Vec::new();
    let mut directories = vec![src.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|ext| ext == "rs") && path != src.join("lib.rs")
            {
                let text = fs::read_to_string(&path)?;
                let module = module(path.strip_prefix(src).expect("found below it"));
                // Tests may need a clock to count from, and stand outside of the law wherever they are.
                if !module.iter().any(|part| part == "tests") {
                    found.push(Source { module, text });
                }
            }
        }
    }
    assert!(!found.is_empty(), "no sources in {}", src.display());
    Ok(found)
}

/// `a/b.rs` and `a/b/mod.rs` are both the module `a::b`.
fn module(file: &Path) -> Vec<String> {
    let mut path = PathBuf::from(file);
    path.set_extension("");
    if path.ends_with("mod") {
        path.pop();
    }
    path.iter()
        .map(|part| part.to_string_lossy().into_owned())
        .collect()
}

/// A fake crate: that the law itself can fail.
mod the_law {
    use super::*;

    const TABLE: &str = "
<!-- layers: fake -->
| layer | module | responsibility |
|---|---|---|
| 1 pure | `id`, `phase` | what is true |
| 1 | `cloud::wire` | what a cloud says |
| 2 rim | `cloud` (`sign`) | who asks |
| 3 | `pool` | connections |
<!-- /layers -->";

    /// Sources that keep the law, so that a test need only say what it breaks.
    const LAWFUL: [(&str, &str); 6] = [
        ("id", "pub struct Id;"),
        ("phase", "use crate::id::Id; pub(crate) struct Phase(Id);"),
        ("cloud", "use crate::{id, phase::Phase}; mod sign;"),
        ("cloud::wire", "use crate::id; use std::net::IpAddr;"),
        ("cloud::sign", "use super::wire; use hyper::Request;"),
        (
            "pool",
            "fn now() { std::time::Instant::now(); } use crate::cloud::sign;",
        ),
    ];

    const LAW: Law = Law {
        package: "fake",
        reserved: &[("hyper", &["cloud", "pool"])],
    };

    /// The breaches when these modules hold this text instead; no text means no module.
    fn breaches(table: &str, changes: &[(&str, Option<&str>)]) -> Vec<String> {
        let mut modules: Vec<(&str, &str)> = LAWFUL.into();
        for (module, text) in changes {
            modules.retain(|(name, _)| name != module);
            modules.extend(text.map(|text| (*module, text)));
        }
        let sources: Vec<Source> = modules
            .into_iter()
            .map(|(module, text)| Source {
                module: module.split("::").map(str::to_owned).collect(),
                text: text.to_owned(),
            })
            .collect();
        LAW.breaches(&Table::read(table, "fake").expect("a fake table"), &sources)
    }

    fn check(module: &str, text: &str, expected: &str) {
        let got = breaches(TABLE, &[(module, Some(text))]);
        assert_eq!(got, [expected], "{text}");
    }

    #[test]
    fn is_content_with_lawful_sources() {
        assert_eq!(breaches(TABLE, &[]), [""; 0]);
    }

    #[test]
    fn sees_an_upward_import_in_every_spelling() {
        let breach = "`phase` uses `crate::pool::Pool`, but `pool` stands below it";
        for text in [
            "use crate::pool::Pool;",
            "use crate::{id::Id, pool::Pool};",
            "use crate::{id::Id, pool::{Pool}};",
            "use super::pool::Pool;",
            "fn f() -> Option<crate::pool::Pool> { None }",
            "mod inner { use super::super::pool::Pool; }",
            "select! { x = crate::pool::Pool => {} }",
            "use fake::pool::Pool;",
        ] {
            check("phase", text, breach);
        }
    }

    #[test]
    fn lets_no_row_use_the_one_below_in_its_own_layer() {
        let breach = "`id` uses `crate::phase`, but `phase` stands below it";
        check("id", "use crate::phase;", breach);
    }

    #[test]
    fn knows_a_room_inside_another() {
        let breach = "`cloud::wire` uses `crate::cloud::sign`, but `cloud` stands below it";
        check("cloud::wire", "use super::sign;", breach);
    }

    #[test]
    fn leaves_tests_and_comments_alone() {
        let text = "
            //! See [`crate::pool`]; Instant::now is for others.
            // use crate::pool;
            const WHY: &str = \"use crate::pool;\";
            #[cfg(test)]
            #[allow(unused)]
            mod tests { use crate::pool::Pool; fn f() { std::time::Instant::now(); } }";
        assert_eq!(breaches(TABLE, &[("id", Some(text))]), [""; 0]);
    }

    #[test]
    fn does_not_take_other_code_for_a_test() {
        let breach = "`id` uses `crate::pool`, but `pool` stands below it";
        check("id", "#[cfg(unix)] mod tests { use crate::pool; }", breach);
        check("id", "#[cfg(test)] mod tests {} use crate::pool;", breach);
    }

    #[test]
    fn sees_what_a_pure_module_may_not_touch() {
        for (text, touched) in [
            ("fn f() { Instant::now(); }", "Instant::now"),
            (
                "fn f() { std::time::SystemTime::now(); }",
                "std::time::SystemTime::now",
            ),
            (
                "use std::{net::{IpAddr, TcpStream}};",
                "std::net::TcpStream",
            ),
            ("use std::net::UdpSocket;", "std::net::UdpSocket"),
            ("use std::{env, fmt};", "std::env"),
            ("use std::fs::File;", "std::fs::File"),
            ("use tokio::sync::Mutex;", "tokio::sync::Mutex"),
            ("use tokio_rustls::rustls;", "tokio_rustls::rustls"),
            ("use throughline::{ambient, id};", "throughline::ambient"),
            ("fn f() { getrandom::u64(); }", "getrandom::u64"),
        ] {
            let breach = format!("`id` is pure and uses `{touched}`");
            check("id", text, &breach);
        }
    }

    #[test]
    fn calls_every_row_of_a_pure_layer_pure() {
        let breach = "`cloud::wire` is pure and uses `std::env::var`";
        check("cloud::wire", "fn f() { std::env::var(); }", breach);
    }

    #[test]
    fn keeps_reserved_crates_to_their_rooms() {
        let breach = "`id` uses `hyper_util::rt`, which is for `cloud`, `pool` alone";
        let got = breaches(TABLE, &[("id", Some("use hyper_util::rt;"))]);
        assert_eq!(got, ["`id` is pure and uses `hyper_util::rt`", breach]);
    }

    #[test]
    fn sees_what_is_no_module() {
        let breach = "`pool` uses `crate::Id`, which names no room of the table";
        check("pool", "use crate::Id;", breach);
    }

    #[test]
    fn misses_a_module_that_has_no_row() {
        let breach = "`admin` is not in the table";
        check("admin", "", breach);
    }

    #[test]
    fn misses_the_module_of_a_row() {
        let got = breaches(TABLE, &[("id", None), ("cloud::sign", None)]);
        let lost = [
            "`id` is in the table and not in the sources",
            "`cloud::sign` is in the table and not in the sources",
        ];
        assert_eq!(got, lost);
    }

    #[test]
    fn wants_a_table_that_can_be_read() {
        for (why, table, expected) in [
            (
                "none",
                "",
                "no table between <!-- layers: fake --> and <!-- /layers -->",
            ),
            (
                "empty",
                "<!-- layers: fake -->\n<!-- /layers -->",
                "the table of fake has no rows",
            ),
            (
                "no number",
                &TABLE.replace("| 2 rim", "| rim"),
                "\"rim\" is no layer: it should begin with its number",
            ),
            (
                "order",
                &TABLE.replace("| 3 |", "| 1 |"),
                "layer 1 comes after layer 2",
            ),
            (
                "twice",
                &TABLE.replace("`pool`", "`id`"),
                "`id` is in the table twice",
            ),
            (
                "no name",
                &TABLE.replace("`pool`", "pool"),
                "no module in backticks in \"pool\"",
            ),
        ] {
            assert_eq!(Table::read(table, "fake").unwrap_err(), expected, "{why}");
        }
    }
}
