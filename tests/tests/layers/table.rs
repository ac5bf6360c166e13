//! A table of layers, as ARCHITECTURE.md has it.
//!
//! ```text
//! <!-- layers: proxy -->
//! | layer  | module                    | responsibility |
//! |--------|---------------------------|----------------|
//! | 1 pure | `window`, `correlate`     | …              |
//! | 2 rim  | `export` (`otlp`, `json`) | …              |
//! <!-- /layers -->
//! ```
//!
//! What is in parentheses are the parts of the room before them.

/// The rooms of one crate, from the lowest layer to the highest.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) rooms: Vec<Room>,
}

/// A module that has a place in the order.
#[derive(Debug)]
pub(crate) struct Room {
    /// Its path below the crate, such as `cloud::wire`.
    pub(crate) name: String,
    /// The paths of its parts, where the table names them.
    pub(crate) parts: Vec<String>,
    /// Whether its layer is called "pure".
    pub(crate) is_pure: bool,
    layer: u32,
}

impl Table {
    /// The table of the crate in `directory`, or what is wrong with it.
    pub(crate) fn read(markdown: &str, directory: &str) -> Result<Self, String> {
        let open = format!("<!-- layers: {directory} -->");
        let close = "<!-- /layers -->";
        let (_, rest) = markdown.split_once(&open).unwrap_or_default();
        let Some((body, _)) = rest.split_once(close) else {
            return Err(format!("no table between {open} and {close}"));
        };
        let rows = body
            .lines()
            .filter_map(|line| line.trim().strip_prefix('|'));
        let mut table = Self { rooms: Vec::new() };
        for row in rows {
            let mut cells = row.split('|').map(str::trim);
            let (Some(layer), Some(modules)) = (cells.next(), cells.next()) else {
                return Err(format!("not a row: {row:?}"));
            };
            if layer != "layer" && !layer.starts_with(['-', ':']) {
                table.row(layer, modules)?;
            }
        }
        if table.rooms.is_empty() {
            return Err(format!("the table of {directory} has no rows"));
        }
        Ok(table)
    }

    /// The place of the room that `module` belongs to, from 0 at the bottom.
    pub(crate) fn place(&self, module: &[String]) -> Option<usize> {
        (1..=module.len())
            .rev()
            .map(|len| module[..len].join("::"))
            .find_map(|path| self.rooms.iter().position(|room| room.name == path))
    }

    fn row(&mut self, layer: &str, modules: &str) -> Result<(), String> {
        let (number, title) = layer.split_once(' ').unwrap_or((layer, ""));
        let Ok(number) = number.parse() else {
            let wish = "it should begin with its number";
            return Err(format!("{layer:?} is no layer: {wish}"));
        };
        let last = self.rooms.last();
        if let Some(last) = last.filter(|last| number < last.layer) {
            return Err(format!("layer {number} comes after layer {}", last.layer));
        }
        // Only the first row of a layer need say what it is called.
        let is_pure = title == "pure" || last.is_some_and(|l| l.layer == number && l.is_pure);
        let before = self.rooms.len();
        let mut in_parentheses = false;
        for (i, text) in modules.split('`').enumerate() {
            if i % 2 == 0 {
                // What stands between two names: all that matters is which way it leaves us.
                match text.rfind(['(', ')']) {
                    Some(at) => in_parentheses = text[at..].starts_with('('),
                    None => continue,
                }
            } else if in_parentheses && self.rooms.len() > before {
                let room = self.rooms.last_mut().expect("more than before");
                room.parts.push(format!("{}::{text}", room.name));
            } else if self.rooms.iter().any(|room| room.name == text) {
                return Err(format!("`{text}` is in the table twice"));
            } else {
                self.rooms.push(Room {
                    name: text.to_owned(),
                    parts: Vec::new(),
                    is_pure,
                    layer: number,
                });
            }
        }
        if self.rooms.len() == before {
            return Err(format!("no module in backticks in {modules:?}"));
        }
        Ok(())
    }
}
