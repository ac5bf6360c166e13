//! What the report is written on: lines of inked text that know how wide they are.
//!
//! The report is composed once, in Unicode and with inks that say what a text *is*. Only here it is
//! decided what becomes of that: colours or none, box-drawing characters or their ASCII stand-ins,
//! and nothing beyond the right edge. Every stand-in is one column wide like the original, so that a
//! picture keeps its shape.

use std::{collections::BTreeMap, fmt::Write as _};

use anstyle::{AnsiColor, Style};

/// The width where nobody says one.
const DEFAULT_WIDTH: usize = 80;

/// Wider lines are harder to read, not easier.
const MAX_WIDTH: usize = 160;

/// Sentences are set in narrower columns than pictures and tables.
const MAX_SENTENCE: usize = 100;

/// Narrower than this a picture is no picture; its lines are cut at the edge instead.
const MIN_WIDTH: usize = 20;

/// What the reader's terminal, file or pipe can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Look {
    /// The columns of a line.
    pub(super) width: usize,
    /// Whether escape codes become colours there.
    pub(super) colour: bool,
    /// Whether there is more than ASCII.
    pub(super) unicode: bool,
}

impl Look {
    /// What the environment says of a standard output that is a terminal of so many columns, or none.
    ///
    /// Colours need a terminal that is not `dumb`, and no `NO_COLOR` (<https://no-color.org>); beyond
    /// ASCII goes only what a locale of UTF-8 can show.
    pub(super) fn of(environment: &BTreeMap<String, String>, terminal: Option<usize>) -> Self {
        let set = |name: &str| environment.get(name).filter(|value| !value.is_empty());
        let columns = set("COLUMNS").and_then(|columns| columns.parse().ok());
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set);
        Self {
            width: terminal
                .or(columns)
                .filter(|width| *width > 0)
                .unwrap_or(DEFAULT_WIDTH)
                .clamp(MIN_WIDTH, MAX_WIDTH),
            colour: terminal.is_some()
                && set("NO_COLOR").is_none()
                && set("TERM").is_none_or(|term| term != "dumb"),
            unicode: locale.is_some_and(|locale| {
                let locale = locale.to_ascii_lowercase();
                locale.contains("utf-8") || locale.contains("utf8")
            }),
        }
    }
}

/// What a piece of text is, as far as that shows in its colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Ink {
    /// Text.
    #[default]
    Plain,
    /// What matters most on its line.
    Strong,
    /// What is there for those who look for it.
    Faint,
    /// What went well.
    Good,
    /// What is not certain.
    Unsure,
    /// What went wrong.
    Bad,
    /// The app's own work.
    Work,
    /// Waiting for one's turn.
    Queue,
    /// Making a connection.
    Connect,
    /// Bytes on their way.
    Bytes,
    /// The sidecar's own cost.
    Proxy,
}

impl Ink {
    /// The sixteen colours of the terminal's own theme, which its owner can read.
    fn style(self) -> Style {
        let colour = |colour: AnsiColor| Style::new().fg_color(Some(colour.into()));
        match self {
            Self::Plain => Style::new(),
            Self::Strong => Style::new().bold(),
            Self::Faint => Style::new().dimmed(),
            Self::Good => colour(AnsiColor::Green),
            Self::Unsure => colour(AnsiColor::Yellow),
            Self::Bad => colour(AnsiColor::Red).bold(),
            Self::Work => colour(AnsiColor::Cyan),
            Self::Queue => colour(AnsiColor::Yellow),
            Self::Connect => colour(AnsiColor::Magenta),
            Self::Bytes => colour(AnsiColor::Blue),
            Self::Proxy => colour(AnsiColor::BrightWhite),
        }
    }
}

/// One line.
#[derive(Clone, Debug, Default)]
pub(super) struct Line {
    pieces: Vec<(Ink, String)>,
    width: usize,
}

impl Line {
    /// The line goes on with `text`.
    pub(super) fn ink(mut self, ink: Ink, text: &str) -> Self {
        self.width += text.chars().count();
        match self.pieces.last_mut() {
            Some((last, before)) if *last == ink => before.push_str(text),
            _ => self.pieces.push((ink, text.to_owned())),
        }
        self
    }

    /// The line goes on with plain `text`.
    pub(super) fn text(self, text: &str) -> Self {
        self.ink(Ink::Plain, text)
    }

    /// The line goes on at this column, or where it is if that is further to the right.
    pub(super) fn to(self, column: usize) -> Self {
        let gap = column.saturating_sub(self.width);
        self.text(&" ".repeat(gap))
    }

    /// The line goes on with `text` that ends at this column.
    pub(super) fn until(self, column: usize, ink: Ink, text: &str) -> Self {
        let start = column.saturating_sub(text.chars().count());
        self.to(start).ink(ink, text)
    }

    /// The line goes on with `other`.
    pub(super) fn then(self, other: &Self) -> Self {
        let pieces = other.pieces.iter();
        pieces.fold(self, |line, (ink, text)| line.ink(*ink, text))
    }

    /// How many columns it takes so far.
    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// The line as it is written, without its end.
    pub(super) fn render(&self, look: Look) -> String {
        let mut out = String::new();
        let mut room = look.width;
        let pieces = self.pieces.iter().enumerate();
        for (index, (ink, text)) in pieces {
            let last = index + 1 == self.pieces.len();
            let text = if last { text.trim_end() } else { text };
            let text: String = text.chars().take(room).map(|c| look.spell(c)).collect();
            room -= text.chars().count();
            if look.colour && *ink != Ink::Plain && !text.trim().is_empty() {
                let style = ink.style();
                // A string takes everything.
                let _ = write!(out, "{style}{text}{style:#}");
            } else {
                out.push_str(&text);
            }
        }
        let end = out.trim_end().len();
        out.truncate(end);
        out
    }
}

/// Text in as many lines as its width needs, each indented by `indent` columns.
pub(super) fn paragraph(look: Look, indent: usize, ink: Ink, text: &str) -> Vec<Line> {
    paragraph_after(&Line::default(), look, indent, ink, text)
}

/// The same, with something in the indent of the first line.
pub(super) fn paragraph_after(
    lead: &Line,
    look: Look,
    indent: usize,
    ink: Ink,
    text: &str,
) -> Vec<Line> {
    let edge = look.width.min(MAX_SENTENCE);
    let mut lines = Vec::new();
    let mut line = lead.clone().to(indent);
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let begun = line.width() > indent;
        if begun && line.width() + 1 + word.chars().count() > edge {
            lines.push(std::mem::take(&mut line));
            line = line.to(indent).ink(ink, word);
        } else {
            let gap = if begun { " " } else { "" };
            line = line.ink(ink, gap).ink(ink, word);
        }
    }
    lines.push(line);
    lines
}

/// Lines as they are written.
pub(super) fn render(look: Look, lines: &[Line]) -> String {
    let lines = lines.iter().map(|line| line.render(look) + "\n");
    lines.collect()
}

impl Look {
    /// The character itself, or what stands for it where there is only ASCII.
    ///
    /// A no-break space has kept a number and its unit on one line, and has done its work.
    fn spell(self, c: char) -> char {
        let c = if c == '\u{a0}' { ' ' } else { c };
        if self.unicode || c.is_ascii() {
            return c;
        }
        match c {
            '─' => '-',
            '│' | '├' | '┊' => '|',
            '└' => '`',
            '┬' | '┼' => '+',
            '▶' | '→' | '▸' => '>',
            '◂' => '<',
            '█' => '#',
            '▓' => '=',
            '░' => ':',
            '◇' => 'c',
            '◦' => 'n',
            '◆' => 't',
            '▁' => '_',
            '▪' => 'o',
            '↻' => 'r',
            '╌' => '~',
            '…' => '~',
            '✓' => '+',
            '✗' => 'x',
            'µ' => 'u',
            '·' => '.',
            '–' => '-',
            '’' => '\'',
            _ => '?',
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(pairs: &[(&str, &str)], terminal: Option<usize>) -> Look {
        let pair = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Look::of(&pairs.iter().map(pair).collect(), terminal)
    }

    #[test]
    fn colours_need_a_terminal_that_has_them_and_a_reader_who_wants_them() {
        assert!(look(&[("TERM", "xterm")], Some(100)).colour);
        assert!(look(&[("NO_COLOR", "")], Some(100)).colour);
        assert!(!look(&[("TERM", "xterm")], None).colour);
        assert!(!look(&[("NO_COLOR", "1")], Some(100)).colour);
        assert!(!look(&[("TERM", "dumb")], Some(100)).colour);
    }

    #[test]
    fn the_width_is_the_terminals_or_else_what_columns_says() {
        assert_eq!(look(&[("COLUMNS", "90")], Some(120)).width, 120);
        assert_eq!(look(&[("COLUMNS", "90")], None).width, 90);
        assert_eq!(look(&[("COLUMNS", "wide")], None).width, DEFAULT_WIDTH);
        assert_eq!(look(&[], Some(0)).width, DEFAULT_WIDTH);
        assert_eq!(look(&[], Some(4000)).width, MAX_WIDTH);
    }

    #[test]
    fn the_stronger_variable_of_the_locale_decides() {
        assert!(look(&[("LANG", "de_DE.UTF-8")], None).unicode);
        assert!(look(&[("LANG", "C"), ("LC_ALL", "C.utf8")], None).unicode);
        assert!(!look(&[("LANG", "de_DE.UTF-8"), ("LC_ALL", "C")], None).unicode);
        assert!(!look(&[], None).unicode);
    }

    #[test]
    fn a_line_ends_at_the_edge_and_in_plain_text_has_no_escapes() {
        let line = Line::default()
            .ink(Ink::Bad, "├─ payments")
            .to(14)
            .text("503   ");
        let plain = Look {
            width: 16,
            colour: false,
            unicode: true,
        };
        assert_eq!(line.render(plain), "├─ payments   50");
        let ascii = Look {
            unicode: false,
            ..plain
        };
        assert_eq!(line.render(ascii), "|- payments   50");
        let coloured = Look {
            colour: true,
            ..plain
        };
        let expected = "\u{1b}[1m\u{1b}[31m├─ payments\u{1b}[0m   50";
        assert_eq!(line.render(coloured), expected);
    }

    #[test]
    fn a_paragraph_keeps_its_words_and_its_indent() {
        let look = Look {
            width: 20,
            colour: false,
            unicode: true,
        };
        let lines = paragraph(look, 2, Ink::Plain, "one two three four five six seven");
        let text = render(look, &lines);
        assert_eq!(text, "  one two three four\n  five six seven\n");
    }
}
