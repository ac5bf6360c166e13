//! The configuration file: YAML, so JSON too.
//!
//! It is read with the place of every value, so that a mistake is answered with line and column.
//! What a value means is not decided here: the file yields text, as flags and variables do, and a
//! scalar keeps the spelling that it has in the file (`1.10` stays `1.10`, `off` stays `off`).
//!
//! The text may come from anywhere, so its size, its depth and its aliases are bounded.

use std::{cell::Cell, fmt, fs::File, io::Read, path::Path};

use serde::{
    Deserialize,
    de::{self, Deserializer, IgnoredAny, MapAccess, SeqAccess, Unexpected, Visitor},
};
use serde_saphyr::{
    Location, MessageFormatter, Spanned, UserMessageFormatter, options::DuplicateKeyPolicy,
};

use super::{
    Error,
    error::nearest,
    layer::{At, Entry, Layer},
    origin::Source,
    settings::{Setting, find},
    value::{OWN, Shape, Written},
};

/// A configuration of more bytes than this is a mistake.
const MOST_BYTES: usize = 1 << 20;

/// Reads the file at `path`, to be given to [`super::Sources::file`].
///
/// # Errors
///
/// When there is no such file, it cannot be read, or it is larger than 1 MiB or not UTF-8.
pub fn load(path: &Path) -> Result<(String, String), Error> {
    let name = path.display().to_string();
    let read = || {
        let mut bytes = Vec::new();
        let limit = u64::try_from(MOST_BYTES).unwrap_or(u64::MAX) + 1;
        File::open(path)?.take(limit).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    match read() {
        Ok(bytes) if bytes.len() > MOST_BYTES => Err(too_large(&name)),
        Ok(bytes) => match String::from_utf8(bytes) {
            Ok(text) => Ok((name, text)),
            Err(_) => Err(Error::File {
                place: name,
                why: "it is not UTF-8; save it as UTF-8".to_owned(),
            }),
        },
        Err(cause) => Err(Error::Unreadable { name, cause }),
    }
}

fn too_large(name: &str) -> Error {
    Error::File {
        place: name.to_owned(),
        why: "it has more than 1 MiB, which no configuration needs; give another file".to_owned(),
    }
}

/// The settings that `text` holds.
pub(crate) fn parse(name: &str, text: &str) -> Result<Layer, Error> {
    if text.len() > MOST_BYTES {
        return Err(too_large(name));
    }
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: 16,
            max_nodes: 20_000,
            max_events: 50_000,
            max_documents: 16,
            max_aliases: 100,
            max_anchors: 100,
            max_total_scalar_bytes: MOST_BYTES,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 10_000,
            max_replay_stack_depth: 8,
        },
        duplicate_keys: DuplicateKeyPolicy::Error,
        with_snippet: false,
    };
    let reading = Cell::new(None);
    let found = serde_saphyr::with_deserializer_from_str_with_options(text, options, |document| {
        document.deserialize_any(Keys { reading: &reading })
    });
    let found = found.map_err(|error| Error::File {
        place: match error.location() {
            Some(at) if at != Location::UNKNOWN => format!("{name}:{}:{}", at.line(), at.column()),
            _ => name.to_owned(),
        },
        why: why(&error, reading.get()),
    })?;
    let mut layer = Layer::new();
    for Found { key, setting } in found {
        let Some((setting, value)) = setting else {
            let at = at(key.referenced);
            return Err(Error::Unknown {
                place: format!("{name}:{}:{}", at.line, at.column),
                nearest: nearest(&key.value).map(str::to_owned),
                name: one_line(&key.value),
            });
        };
        layer.insert(
            setting.key,
            Entry {
                written: value.value.written,
                at: Some(at(value.referenced)),
                items: value.value.items,
                source: Source::File {
                    name: name.to_owned(),
                    line: key.referenced.line(),
                },
            },
        );
    }
    Ok(layer)
}

fn at(location: Location) -> At {
    At {
        line: location.line(),
        column: location.column(),
    }
}

/// A message without line breaks and other control characters, and not endless.
fn one_line(text: &str) -> String {
    let words: Vec<_> = text
        .split(|c: char| c.is_control() || c == ' ')
        .filter(|word| !word.is_empty())
        .collect();
    let mut line = words.join(" ");
    if let Some((end, _)) = line.char_indices().nth(200) {
        line.truncate(end);
        line.push_str("...");
    }
    line
}

/// What is wrong, and how the setting that it went wrong at is written.
fn why(error: &serde_saphyr::Error, reading: Option<&Setting>) -> String {
    let wrong = one_line(&UserMessageFormatter.format_message(error));
    match reading {
        Some(Setting { key, example, .. }) => {
            format!("{key} cannot be read: {wrong}; it is written as in `{key}: {example}`")
        }
        None => format!("{wrong}; `throughline config --example` shows a whole file"),
    }
}

/// A key of the file and, if it is one of ours, its value.
struct Found {
    key: Spanned<String>,
    setting: Option<(&'static Setting, Spanned<Content>)>,
}

/// Reads everything in a file, in its order.
struct Keys<'r> {
    /// The setting whose value is being read, for when that fails.
    reading: &'r Cell<Option<&'static Setting>>,
}

impl<'de> Visitor<'de> for Keys<'_> {
    type Value = Vec<Found>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("settings, as in `app: 3000`")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Vec<Found>, E> {
        Ok(Vec::new())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vec<Found>, A::Error> {
        let mut found = Vec::new();
        while let Some(key) = map.next_key::<Spanned<String>>()? {
            let setting = find(&key.value);
            self.reading.set(setting);
            let setting = match setting {
                Some(setting) => Some((setting, next_content(&mut map, setting.shape)?)),
                None => {
                    map.next_value::<IgnoredAny>()?;
                    None
                }
            };
            self.reading.set(None);
            found.push(Found { key, setting });
        }
        Ok(found)
    }
}

/// A value and where its items stand.
struct Content {
    written: Written,
    items: Vec<At>,
}

/// Reads the next value as its setting wants it.
fn next_content<'de, A: MapAccess<'de>>(
    map: &mut A,
    shape: Shape,
) -> Result<Spanned<Content>, A::Error> {
    fn content<T>(value: Spanned<T>, into: fn(T) -> Content) -> Spanned<Content> {
        Spanned::new(into(value.value), value.referenced, value.defined)
    }
    // A wrapper that notes the place takes a type and no seed, so that each shape is a type.
    Ok(match shape {
        Shape::One => content(map.next_value::<Spanned<String>>()?, |text| Content {
            written: Written::One(text),
            items: Vec::new(),
        }),
        Shape::List => content(map.next_value::<Spanned<Many>>()?, |many| many.0),
        Shape::Pairs => content(map.next_value::<Spanned<Pairs>>()?, |pairs| pairs.0),
        Shape::Routes => content(map.next_value::<Spanned<Routes>>()?, |routes| routes.0),
        Shape::KeyPairs => content(map.next_value::<Spanned<KeyPairs>>()?, |pairs| pairs.0),
    })
}

struct Many(Content);
struct Pairs(Content);
struct Routes(Content);
struct KeyPairs(Content);

impl<'de> Deserialize<'de> for Many {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader(Shape::List)).map(Self)
    }
}

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader(Shape::Pairs)).map(Self)
    }
}

impl<'de> Deserialize<'de> for Routes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer
            .deserialize_any(Reader(Shape::Routes))
            .map(Self)
    }
}

impl<'de> Deserialize<'de> for KeyPairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer
            .deserialize_any(Reader(Shape::KeyPairs))
            .map(Self)
    }
}

/// A certificate in the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyPair {
    certificate: String,
    key: Option<String>,
}

/// A route in the file, as it is written elsewhere: `LISTEN=UPSTREAM;key=value`.
struct Route(String);

impl<'de> Deserialize<'de> for Route {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(RouteReader)
    }
}

struct RouteReader;

impl<'de> Visitor<'de> for RouteReader {
    type Value = Route;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a route, as in `{ listen: 127.0.0.1:9001, upstream: stock:80 }`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Route, A::Error> {
        let (mut listen, mut upstream, mut own) = (None, None, String::new());
        while let Some(key) = map.next_key::<String>()? {
            let slot = match key.as_str() {
                "listen" => &mut listen,
                "upstream" => &mut upstream,
                key if OWN.contains(&key) => {
                    let Item(value) = map.next_value()?;
                    own.push_str(&format!(";{key}={value}"));
                    continue;
                }
                // The reader knows the place of this error better than that of any other.
                key => return Err(de::Error::unknown_field(key, &OWN)),
            };
            let Item(value) = map.next_value()?;
            *slot = Some(value);
        }
        let listen = listen.ok_or_else(|| de::Error::missing_field("listen"))?;
        let upstream = upstream.ok_or_else(|| de::Error::missing_field("upstream"))?;
        Ok(Route(format!("{listen}={upstream}{own}")))
    }
}

/// A value inside of a route: a scalar, or a list of them. What would end it is refused where it is
/// understood.
struct Item(String);

impl<'de> Deserialize<'de> for Item {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Content { written, .. } = deserializer.deserialize_any(Reader(Shape::List))?;
        Ok(Self(match written {
            Written::Many(items) => items.join("+"),
            other => other.text(),
        }))
    }
}

/// Reads everything that is not simply a scalar.
struct Reader(Shape);

impl<'de> Visitor<'de> for Reader {
    type Value = Content;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Shape::One => "one value",
            Shape::List => "a list, as in `[a, b]`",
            Shape::Pairs => "a mapping, as in `{ key: value }`",
            Shape::Routes => {
                "a list of routes, as in `[{ listen: 127.0.0.1:9001, upstream: stock:80 }]`"
            }
            Shape::KeyPairs => {
                "a list of certificates, as in `[{ certificate: /tls/tls.crt, key: /tls/tls.key }]`"
            }
        })
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Content, E> {
        Ok(Content {
            written: Written::One(text.to_owned()),
            items: Vec::new(),
        })
    }

    // What YAML takes for a number or a switch is text that will be refused where it is understood,
    // and nothing, as when every item of a list is commented out, is empty text.
    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Content, E> {
        self.visit_str(&value.to_string())
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Content, E> {
        self.visit_str(&value.to_string())
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Content, E> {
        self.visit_str(&value.to_string())
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Content, E> {
        self.visit_str(&value.to_string())
    }

    fn visit_unit<E: de::Error>(self) -> Result<Content, E> {
        self.visit_str("")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Content, A::Error> {
        let mut texts = Vec::new();
        let mut items = Vec::new();
        if self.0 == Shape::Routes {
            while let Some(route) = seq.next_element::<Spanned<Route>>()? {
                texts.push(route.value.0);
                items.push(at(route.referenced));
            }
        } else if self.0 == Shape::KeyPairs {
            while let Some(pair) = seq.next_element::<Spanned<KeyPair>>()? {
                let KeyPair { certificate, key } = pair.value;
                texts.push(match key {
                    Some(key) => format!("{certificate}={key}"),
                    None => certificate,
                });
                items.push(at(pair.referenced));
            }
        } else {
            while let Some(text) = seq.next_element::<Spanned<String>>()? {
                texts.push(text.value);
                items.push(at(text.referenced));
            }
        }
        Ok(Content {
            written: Written::Many(texts),
            items,
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Content, A::Error> {
        if self.0 != Shape::Pairs {
            return Err(de::Error::invalid_type(Unexpected::Map, &self));
        }
        let mut pairs = Vec::new();
        let mut items = Vec::new();
        while let Some(key) = map.next_key::<Spanned<String>>()? {
            pairs.push((key.value, map.next_value()?));
            items.push(at(key.referenced));
        }
        Ok(Content {
            written: Written::Pairs(pairs),
            items,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn error(text: &str) -> String {
        parse("t.yaml", text).unwrap_err().to_string()
    }

    fn written(text: &str, key: &str) -> Written {
        parse("t.yaml", text).expect(text)[key].written.clone()
    }

    #[test]
    fn scalars_keep_their_spelling() {
        for (text, key, expected) in [
            ("name: 1.10", "name", "1.10"),
            ("admin: off", "admin", "off"),
            ("app: 3000", "app", "3000"),
            ("name: 'a b'", "name", "a b"),
            ("propagators: xray,baggage", "propagators", "xray,baggage"),
            ("{\"header_timeout\": \"10s\"}", "header_timeout", "10s"),
        ] {
            assert_eq!(
                written(text, key),
                Written::One(expected.to_owned()),
                "{text}"
            );
        }
    }

    #[test]
    fn lists_mappings_and_routes_are_read() {
        let many = |items: &[&str]| Written::Many(items.iter().map(|&i| i.to_owned()).collect());
        assert_eq!(
            written("propagators:\n- xray\n- baggage\n", "propagators"),
            many(&["xray", "baggage"])
        );
        assert_eq!(
            written(
                "routes: [{listen: 127.0.0.1:1, upstream: stock:80}]",
                "routes"
            ),
            many(&["127.0.0.1:1=stock:80"])
        );
        assert_eq!(
            written(
                "routes: [{listen: 127.0.0.1:1, upstream: [a:80, b:80], request_timeout: 2s}]",
                "routes"
            ),
            many(&["127.0.0.1:1=a:80+b:80;request_timeout=2s"])
        );
        assert_eq!(
            written(
                "inbound_tls: [{certificate: a.crt, key: a.key}, {certificate: both.pem}]",
                "inbound_tls"
            ),
            many(&["a.crt=a.key", "both.pem"])
        );
        assert_eq!(
            written("otlp_headers: {a: 1, b: x}", "otlp_headers"),
            Written::Pairs(vec![
                ("a".to_owned(), "1".to_owned()),
                ("b".to_owned(), "x".to_owned())
            ])
        );
    }

    #[test]
    fn every_value_knows_its_place() {
        let layer = parse(
            "t.yaml",
            "# first\napp: 3000\npropagators:\n  - xray\n  - b4\n",
        )
        .unwrap();
        assert_eq!(layer["app"].source.to_string(), "file t.yaml:2");
        assert_eq!(layer["app"].at, Some(At { line: 2, column: 6 }));
        assert_eq!(layer["propagators"].items[1], At { line: 5, column: 5 });
    }

    #[test]
    fn a_list_without_items_is_empty_text() {
        for text in ["routes:", "routes: null", "routes:\n#  - a\n"] {
            assert_eq!(
                written(text, "routes"),
                Written::One(String::new()),
                "{text}"
            );
        }
        assert_eq!(
            written("propagators: 5", "propagators"),
            Written::One("5".to_owned())
        );
    }

    #[test]
    fn nothing_is_a_configuration() {
        for text in ["", "\n", "# only a comment\n", "---\n", "{}", "null"] {
            assert!(parse("t.yaml", text).expect(text).is_empty(), "{text:?}");
        }
    }

    #[test]
    fn mistakes_are_answered_with_their_place() {
        for (text, parts) in [
            (
                "app: 3000\nheader_timout: 10s\n",
                ["t.yaml:2:1: ", "did you mean header_timeout?"],
            ),
            (
                "app: 3000\nzzz: {a: [1]}\n",
                ["t.yaml:2:1: ", "--reference"],
            ),
            ("- app\n", ["t.yaml: ", "settings, as in"]),
            ("just text", ["t.yaml: ", "settings, as in"]),
            (
                "app: [3000]\n",
                ["t.yaml:1:6: app cannot", "`app: 127.0.0.1:3000`"],
            ),
            ("name: a\napp:\n", ["t.yaml:2:4: app cannot", "null"]),
            ("app: 1\napp: 2\n", ["t.yaml:2:1: ", "duplicate"]),
            ("app: {\n", ["t.yaml:1:6: app cannot", "`app: "]),
            (
                "app: \"3000\n",
                ["t.yaml:1:6: app cannot", "unclosed quote"],
            ),
            ("propagators: {a: b}\n", ["t.yaml:1:", "a list, as in"]),
            (
                "routes: [{listen: a}]\n",
                ["t.yaml:1:11: routes", "`upstream`"],
            ),
            (
                "routes: [{listen: a, upstream: b, to: c}]\n",
                ["t.yaml:1:35: routes", "`to`"],
            ),
            (
                "routes: [a=b]\n",
                ["t.yaml:1:10: routes", "upstream: stock:80"],
            ),
            (
                "inbound_tls: [{key: a.key}]\n",
                ["t.yaml:1:", "`certificate`"],
            ),
            (
                "inbound_tls: [a.crt]\n",
                ["t.yaml:1:", "certificate: /tls/tls.crt"],
            ),
            ("app: 1\n---\napp: 2\n", ["t.yaml:", "multiple"]),
            ("app: *nobody\n", ["t.yaml:1:6: app", "unknown"]),
        ] {
            let error = error(text);
            assert!(
                parts.iter().all(|part| error.contains(part)),
                "{text:?}: {error}"
            );
            assert!(!error.contains('\n'), "{text:?}: {error}");
        }
    }

    #[test]
    fn a_file_that_grows_without_bound_is_refused() {
        let mut laughs = "a: &a [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n".to_owned();
        for (from, to) in ('a'..'k').zip('b'..='k') {
            let item = format!("*{from}, ").repeat(9);
            laughs.push_str(&format!("{to}: &{to} [{item}]\n"));
        }
        assert!(error(&laughs).starts_with("t.yaml:"), "{}", error(&laughs));
        assert!(error(&"[".repeat(100_000)).starts_with("t.yaml"));
        assert!(error(&"a: 1\n".repeat(300_000)).contains("1 MiB"));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused_in_one_line(text in any::<String>()) {
            if let Err(error) = parse("t.yaml", &text) {
                let error = error.to_string();
                prop_assert!(error.starts_with("t.yaml") && !error.contains('\n'), "{}", error);
            }
        }

        #[test]
        fn anything_like_a_configuration_is_read_or_refused(
            text in "((app|routes|otlp_headers|propagators|<<|x): ?([-a-z0-9:&*!{}\\[\\],\"'|>%~ ]{0,12}|&a|\\*a)\n? *){0,5}"
        ) {
            if let Err(error) = parse("t.yaml", &text) {
                prop_assert!(error.to_string().starts_with("t.yaml"), "{}", error);
            }
        }
    }
}
