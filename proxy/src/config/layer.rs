//! One source's settings as they were written, and the stack of them in order of strength.

use std::collections::BTreeMap;

use super::{
    Error,
    origin::{Origin, Source},
    settings::{Setting, find},
    value::{Value, Written},
};

/// A place in a file, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct At {
    pub(crate) line: u64,
    pub(crate) column: u64,
}

/// A setting as one source has it.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) written: Written,
    pub(crate) source: Source,
    /// Where the value stands, and each of its items, if it stands in a file.
    pub(crate) at: Option<At>,
    pub(crate) items: Vec<At>,
}

impl Entry {
    /// A value of one line that stands in no file.
    pub(crate) fn new(text: impl Into<String>, source: Source) -> Self {
        Self {
            written: Written::One(text.into()),
            source,
            at: None,
            items: Vec::new(),
        }
    }
}

/// All settings of one source, by key.
pub(crate) type Layer = BTreeMap<&'static str, Entry>;

/// The sources in order of strength, and what was picked from them.
#[derive(Debug)]
pub(crate) struct Layers {
    layers: Vec<Layer>,
    pub(crate) origins: Vec<Origin>,
}

impl Layers {
    /// The stack of these sources, the strongest first.
    ///
    /// # Errors
    ///
    /// When any of them has a value that cannot be, even where a stronger one overrules it: a
    /// mistake that waits for a flag to be taken away is still a mistake.
    pub(crate) fn new(layers: Vec<Layer>) -> Result<Self, Error> {
        for (key, entry) in layers.iter().flatten() {
            let setting = find(key).expect("a layer holds settings of the table");
            (setting.check)(&entry.written).map_err(|bad| {
                let item = bad.item.and_then(|index| entry.items.get(index).copied());
                Error::Value {
                    place: place(setting, &entry.source, item.or(entry.at)),
                    value: quoted(setting, &entry.written),
                    why: bad.why,
                }
            })?;
        }
        Ok(Self {
            layers,
            origins: Vec::new(),
        })
    }

    /// The strongest value of a setting, noted with its origin.
    pub(crate) fn pick<T: Value>(&mut self, key: &'static str, default: &str) -> T {
        let default = Entry::new(default, Source::Default);
        let entry = self.layers.iter().find_map(|layer| layer.get(key));
        let entry = entry.unwrap_or(&default);
        let value = T::parse(&entry.written).expect("checked when the stack was built");
        self.origins.push(Origin {
            key,
            value: value.show(),
            source: entry.source.clone(),
        });
        value
    }

    /// Whether a source gives the setting, be it its default value.
    pub(crate) fn is_given(&self, key: &str) -> bool {
        self.layers.iter().any(|layer| layer.contains_key(key))
    }

    /// What was picked for a setting.
    pub(crate) fn origin(&mut self, key: &str) -> &mut Origin {
        let found = self.origins.iter_mut().find(|origin| origin.key == key);
        found.expect("every setting of the table has been picked")
    }
}

/// A value as a message shows it: in quotes, not endless, and not at all where it may be a secret.
fn quoted(setting: &Setting, written: &Written) -> String {
    if setting.is_secret() {
        return "hidden".to_owned();
    }
    let mut text = written.text();
    if let Some((end, _)) = text.char_indices().nth(100) {
        text.truncate(end);
        text.push_str("...");
    }
    format!("{text:?}")
}

/// A setting as its source spells it.
fn place(setting: &Setting, source: &Source, at: Option<At>) -> String {
    match (source, at) {
        (Source::Flag(name), _) => format!("--{name}"),
        (Source::Environment(name), _) => name.clone(),
        (Source::File { name, .. }, Some(At { line, column })) => {
            format!("{name}:{line}:{column}: {}", setting.key)
        }
        (Source::File { name, line }, None) => format!("{name}:{line}: {}", setting.key),
        (Source::Detected(_) | Source::Default, _) => setting.key.to_owned(),
    }
}
