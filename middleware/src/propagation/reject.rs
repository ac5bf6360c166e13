//! Why a context header was not believed, by format.

use super::Format;

/// What is wrong with a context header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// It has bytes that no field of it may have.
    Characters,
    /// It came in several lines that differ: nobody can say which of two parents is the right one.
    Duplicate,
    /// It is not built as the format asks: the wrong length, or separators elsewhere.
    Syntax,
    /// Its version does not exist.
    Version,
    /// It names no trace, or none that can be.
    TraceId,
    /// It names no span, or none that can be.
    ParentId,
    /// Its flags or its sampling decision cannot be read.
    Flags,
    /// A `tracestate` that breaks its rules; the `traceparent` beside it holds.
    State,
    /// It is longer than what is carried.
    Length,
}

impl Reason {
    /// How many reasons there are.
    pub const COUNT: usize = 9;

    /// Every reason.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Characters,
        Self::Duplicate,
        Self::Syntax,
        Self::Version,
        Self::TraceId,
        Self::ParentId,
        Self::Flags,
        Self::State,
        Self::Length,
    ];

    /// The name in metrics and on spans.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Characters => "characters",
            Self::Duplicate => "duplicate",
            Self::Syntax => "syntax",
            Self::Version => "version",
            Self::TraceId => "trace_id",
            Self::ParentId => "parent_id",
            Self::Flags => "flags",
            Self::State => "state",
            Self::Length => "length",
        }
    }
}

/// The formats that were there and could not be read, each with the reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rejections([Option<Reason>; Format::COUNT]);

impl Rejections {
    /// Whether everything that was there could be read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Each rejected format with the reason.
    pub fn iter(&self) -> impl Iterator<Item = (Format, Reason)> {
        let reasons = Format::ALL.into_iter().zip(self.0);
        reasons.filter_map(|(format, reason)| Some((format, reason?)))
    }

    /// Notes one more; of several reasons for one format the first is kept.
    pub fn note(&mut self, format: Format, reason: Reason) {
        self.0[format.index()].get_or_insert(reason);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_reason_for_a_format_is_kept() {
        let mut rejected = Rejections::default();
        assert!(rejected.is_empty());
        rejected.note(Format::B3, Reason::TraceId);
        rejected.note(Format::B3, Reason::Flags);
        rejected.note(Format::TraceContext, Reason::Version);
        let all: Vec<_> = rejected.iter().collect();
        let expected = [
            (Format::TraceContext, Reason::Version),
            (Format::B3, Reason::TraceId),
        ];
        assert_eq!(all, expected);
    }
}
