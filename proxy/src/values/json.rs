//! The scalars of a JSON text that may be cut off anywhere.
//!
//! The parser is serde_json's, driven by a visitor: it hands over each scalar as it comes to it, so
//! that a text that ends too early, or is no JSON from somewhere on, is an error only after everything
//! before has been seen. No tree is made, and a parser of our own would have to be as careful with
//! escapes, surrogates and depth.
//!
//! One thing a parser cannot know: a number at the end of a text that is cut off may be the beginning
//! of a longer one. So such an end is taken off before.

use std::fmt::{self, Write};

use arrayvec::ArrayString;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{fingerprint::Slot, read::Extent};

/// What is nested deeper than this is passed over.
const MAX_DEPTH: u8 = 8;

/// The most scalars that are looked at, so that thousands without meaning do not cost for long.
const MAX_SCALARS: usize = 256;

/// The place of what a key leads to.
type Name<'a> = dyn Fn(Slot, &str) -> Slot + 'a;

/// Calls `see` with every scalar and its place until it says that it has enough. Items of an array
/// have the place of the array.
pub(super) fn scalars(
    text: &[u8],
    extent: Extent,
    root: Slot,
    name: &Name<'_>,
    see: &mut dyn FnMut(Slot, &[u8]) -> bool,
) {
    let text = match extent {
        Extent::Whole => text,
        Extent::Beginning => {
            let is_number = |byte: &u8| byte.is_ascii_digit() || b"+-.eE".contains(byte);
            let whole = text.iter().rposition(|byte| !is_number(byte));
            &text[..whole.map_or(0, |last| last + 1)]
        }
    };
    let mut scan = Scan {
        name,
        see,
        left: MAX_SCALARS,
    };
    let root = At {
        scan: &mut scan,
        slot: root,
        depth: 0,
    };
    // What is wrong with it, the app will find out.
    _ = root.deserialize(&mut serde_json::Deserializer::from_slice(text));
}

struct Scan<'a> {
    name: &'a Name<'a>,
    see: &'a mut dyn FnMut(Slot, &[u8]) -> bool,
    left: usize,
}

/// A place in the text, to be visited.
struct At<'s, 'a> {
    scan: &'s mut Scan<'a>,
    slot: Slot,
    depth: u8,
}

impl At<'_, '_> {
    fn see<E: Error>(self, value: &[u8]) -> Result<(), E> {
        let Some(left) = self.scan.left.checked_sub(1) else {
            return Err(E::custom("enough"));
        };
        self.scan.left = left;
        if (self.scan.see)(self.slot, value) {
            Ok(())
        } else {
            Err(E::custom("enough"))
        }
    }

    /// A number as it is usually written, be it in JSON or in a path.
    fn number<E: Error>(self, number: impl fmt::Display) -> Result<(), E> {
        let mut text = ArrayString::<32>::new();
        match write!(text, "{number}") {
            Ok(()) => self.see(text.as_bytes()),
            Err(fmt::Error) => Ok(()),
        }
    }
}

impl<'de> DeserializeSeed<'de> for At<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        if self.depth > MAX_DEPTH {
            return deserializer.deserialize_ignored_any(IgnoredAny).map(drop);
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for At<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("anything")
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<(), E> {
        self.number(number)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<(), E> {
        self.number(number)
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<(), E> {
        self.number(number)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.see(text.as_bytes())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let Self { scan, slot, depth } = self;
        let depth = depth + 1;
        loop {
            let scan = &mut *scan;
            let item = At { scan, slot, depth };
            if items.next_element_seed(item)?.is_none() {
                return Ok(());
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let Self { scan, slot, depth } = self;
        let name = scan.name;
        let within = slot;
        while let Some(slot) = entries.next_key_seed(Key { name, within })? {
            entries.next_value_seed(At {
                scan: &mut *scan,
                slot,
                depth: depth + 1,
            })?;
        }
        Ok(())
    }
}

/// A key, which becomes the place of its value.
struct Key<'a> {
    name: &'a Name<'a>,
    within: Slot,
}

impl<'de> DeserializeSeed<'de> for Key<'_> {
    type Value = Slot;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Slot, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key<'_> {
    type Value = Slot;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Slot, E> {
        Ok((self.name)(self.within, key))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    /// What is seen of a text, as `path=value`.
    fn seen(text: &[u8], extent: Extent) -> Vec<String> {
        let places = RefCell::new(vec![String::new()]);
        let name = |within: Slot, key: &str| {
            let mut places = places.borrow_mut();
            let place = format!("{}.{key}", places[within.0 as usize]);
            places.push(place);
            Slot(u32::try_from(places.len()).unwrap() - 1)
        };
        let mut seen = Vec::new();
        scalars(text, extent, Slot(0), &name, &mut |slot, value| {
            let value = String::from_utf8_lossy(value);
            seen.push(format!("{}={value}", places.borrow()[slot.0 as usize]));
            true
        });
        seen
    }

    #[test]
    fn scalars_are_seen_with_their_place() {
        for (text, expected) in [
            (
                r#"{"id": 17, "user": {"name": "Ada"}}"#,
                &[".id=17", ".user.name=Ada"][..],
            ),
            (
                r#"{"items": [{"sku": "a1"}, {"sku": "a2"}]}"#,
                &[".items.sku=a1", ".items.sku=a2"],
            ),
            (
                r#"[1, -2, 19.99, true, null, "x"]"#,
                &["=1", "=-2", "=19.99", "=x"],
            ),
            (r#""a\u0020b\/c""#, &["=a b/c"]),
            (r#"{"a": "b"} and more"#, &[".a=b"]),
            (
                r#"{"a": 18446744073709551615}"#,
                &[".a=18446744073709551615"],
            ),
            ("", &[]),
            ("<html>", &[]),
        ] {
            assert_eq!(seen(text.as_bytes(), Extent::Whole), expected, "{text}");
        }
    }

    #[test]
    fn what_is_cut_off_is_not_seen_and_what_is_before_is() {
        for (text, expected) in [
            (r#"{"a": "x", "b": "lon"#, &[".a=x"][..]),
            (r#"{"a": "x", "b": 12"#, &[".a=x"]),
            (r#"{"a": "x", "b": -1.5e"#, &[".a=x"]),
            (r#"{"a": "x", "b": 12,"#, &[".a=x", ".b=12"]),
            (r#"{"a": "x", "lon"#, &[".a=x"]),
            ("12", &[]),
        ] {
            assert_eq!(seen(text.as_bytes(), Extent::Beginning), expected, "{text}");
        }
        assert_eq!(seen(b"12", Extent::Whole), ["=12"]);
    }

    #[test]
    fn depth_and_number_are_bounded() {
        let deep = format!("{}1{}", "[".repeat(100), "]".repeat(100));
        assert_eq!(seen(deep.as_bytes(), Extent::Whole), [""; 0]);
        let beside = format!("[{deep}, 2]");
        assert_eq!(seen(beside.as_bytes(), Extent::Whole), ["=2"]);
        let long = format!("[{}1]", "1,".repeat(5000));
        assert_eq!(seen(long.as_bytes(), Extent::Whole).len(), MAX_SCALARS);
    }

    /// Every scalar of a tree, in its order.
    fn walk(value: &Value, place: &str, out: &mut Vec<String>) {
        match value {
            Value::Null | Value::Bool(_) => {}
            Value::Number(number) => out.push(format!("{place}={number}")),
            Value::String(text) => out.push(format!("{place}={text}")),
            Value::Array(items) => items.iter().for_each(|item| walk(item, place, out)),
            Value::Object(entries) => entries
                .iter()
                .for_each(|(key, value)| walk(value, &format!("{place}.{key}"), out)),
        }
    }

    fn tree() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".*".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                proptest::collection::btree_map(".*", inner, 0..6)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_text_is_read_as_serde_json_reads_it_and_its_beginning_as_a_beginning(
            tree in tree(),
            cut in any::<prop::sample::Index>(),
        ) {
            let text = serde_json::to_vec(&tree).unwrap();
            let mut all = Vec::new();
            walk(&tree, "", &mut all);
            prop_assert_eq!(&seen(&text, Extent::Whole), &all);
            let beginning = seen(&text[..cut.index(text.len() + 1)], Extent::Beginning);
            prop_assert_eq!(&beginning, &all[..beginning.len()]);
        }

        #[test]
        fn any_bytes_are_read_without_harm(text in any::<Vec<u8>>()) {
            seen(&text, Extent::Whole);
            seen(&text, Extent::Beginning);
        }
    }
}
