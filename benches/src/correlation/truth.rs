//! Who made each call, in truth: read after a replay, and for nothing but its score.
//!
//! ```text
//! span,side,parent,trace
//! 1,E,1817,1284
//! 2,I,,1284
//! ```

use std::collections::HashMap;

use super::Malformed;

const HEADER: &str = "span,side,parent,trace";

/// Where a call belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Maker {
    /// The request that made it.
    pub parent: u64,
    /// The trace of that request; it has the same number in all services of a set.
    pub trace: u64,
}

/// Reads a table: the maker of each call.
///
/// # Errors
///
/// The first line that is not as it should be.
pub fn read(table: &str) -> Result<HashMap<u64, Maker>, Malformed> {
    let mut lines = (1..).zip(table.lines());
    let malformed = |line, reason| Malformed { line, reason };
    if lines.next().is_none_or(|(_, header)| header != HEADER) {
        return Err(malformed(
            1,
            format!("a table of makers begins with `{HEADER}`"),
        ));
    }
    let mut makers = HashMap::new();
    for (line, text) in lines {
        let columns: Vec<&str> = text.split(',').collect();
        let [span, side, parent, trace] = columns[..] else {
            let reason = format!("there are {} columns, not 4", columns.len());
            return Err(malformed(line, reason));
        };
        if side != "E" {
            continue;
        }
        let number = |text: &str| {
            let reason = |_| malformed(line, format!("`{text}` is not a number"));
            text.parse().map_err(reason)
        };
        let maker = Maker {
            parent: number(parent)?,
            trace: number(trace)?,
        };
        makers.insert(number(span)?, maker);
    }
    Ok(makers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_have_makers_and_requests_have_none() {
        let makers = read("span,side,parent,trace\n1,E,18,12\n18,I,,12").unwrap();
        let expected = Maker {
            parent: 18,
            trace: 12,
        };
        assert_eq!(makers, HashMap::from([(1, expected)]));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let of = |table: &str| read(table).unwrap_err().to_string();
        assert_eq!(
            of("1,E,18,12"),
            "line 1: a table of makers begins with `span,side,parent,trace`"
        );
        let header = "span,side,parent,trace";
        assert_eq!(
            of(&format!("{header}\n1,E,,2")),
            "line 2: `` is not a number"
        );
        assert_eq!(
            of(&format!("{header}\n1,E")),
            "line 2: there are 2 columns, not 4"
        );
    }
}
