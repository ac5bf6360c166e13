//! What one replica of a service saw: requests that begin and end, and the calls between.
//!
//! ```text
//! t_us,ev,span,route,kind
//! 0,IS,1540,ComposeReview,rpc
//! 231.5,ES,3529,user-service/UploadUserWithUsername,rpc
//! ```
//!
//! A table says nothing of who made a call. That is in another file, which a replay never opens.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::Malformed;

/// What the first line of a table says.
const HEADER: &str = "t_us,ev,span,route,kind";

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A request begins (`IS`).
    Begins,
    /// It ends (`IE`).
    Ends,
    /// A call begins (`ES`).
    Calls,
    /// It is answered (`EE`).
    Answered,
}

/// One thing that a sidecar sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// Nanoseconds since the first event.
    pub at: u64,
    /// What happened.
    pub what: What,
    /// The request, or the call.
    pub span: u64,
    /// The route of a request, or the kind of a call: as a number, the way the filter takes it.
    pub name: u64,
}

/// Reads a table, in its order. Calls to databases are left out: a sidecar does not see them.
///
/// # Errors
///
/// The first line that is not as it should be.
pub fn read(table: &str) -> Result<Vec<Event>, Malformed> {
    let mut lines = (1..).zip(table.lines());
    match lines.next() {
        Some((_, HEADER)) => {}
        _ => {
            return Err(Malformed {
                line: 1,
                reason: format!("a table of events begins with `{HEADER}`"),
            });
        }
    }
    let events = lines.filter_map(|(line, text)| {
        event(text)
            .map_err(|reason| Malformed { line, reason })
            .transpose()
    });
    events.collect()
}

fn event(line: &str) -> Result<Option<Event>, String> {
    let columns: Vec<&str> = line.split(',').collect();
    let [at, what, span, name, kind] = columns[..] else {
        return Err(format!("there are {} columns, not 5", columns.len()));
    };
    match kind {
        "rpc" => {}
        "db" => return Ok(None),
        _ => return Err(format!("`{kind}` is neither `rpc` nor `db`")),
    }
    Ok(Some(Event {
        at: nanoseconds(at)?,
        what: match what {
            "IS" => What::Begins,
            "IE" => What::Ends,
            "ES" => What::Calls,
            "EE" => What::Answered,
            _ => return Err(format!("`{what}` is none of `IS`, `IE`, `ES` and `EE`")),
        },
        span: span
            .parse()
            .map_err(|_| format!("`{span}` is not a number of a span"))?,
        name: number(name),
    }))
}

/// Microseconds, perhaps with a fraction, as nanoseconds.
fn nanoseconds(micros: &str) -> Result<u64, String> {
    let no_time = || format!("`{micros}` is not a time in microseconds");
    let nanos = micros.parse::<f64>().map_err(|_| no_time())? * 1000.0;
    // Up to here each nanosecond has a number of its own: it is a hundred days.
    if !(0.0..9e15).contains(&nanos) {
        return Err(no_time());
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it was looked at"
    )]
    Ok(nanos.round() as u64)
}

/// A name as a number: the same in each run.
fn number(name: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &str) -> Result<Vec<Event>, Malformed> {
        super::read(&format!("{HEADER}\n{lines}"))
    }

    #[test]
    fn a_table_is_read_in_its_order() {
        let events =
            read("0,IS,7,GET /,rpc\n1.5,ES,3,b/GET,rpc\n1.5,EE,3,b/GET,rpc\n2,IE,7,GET /,rpc");
        let events = events.unwrap();
        let seen: Vec<_> = events.iter().map(|e| (e.at, e.what, e.span)).collect();
        let expected = [
            (0, What::Begins, 7),
            (1500, What::Calls, 3),
            (1500, What::Answered, 3),
            (2000, What::Ends, 7),
        ];
        assert_eq!(seen, expected);
        assert_eq!(events[0].name, events[3].name);
        assert_ne!(events[0].name, events[1].name);
    }

    #[test]
    fn calls_to_databases_are_not_seen() {
        assert_eq!(read("0,ES,3,mongo/find,db"), Ok(Vec::new()));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let cases = [
            ("0,IS,7,GET /", "line 2: there are 4 columns, not 5"),
            ("0,IS,7,/,http", "line 2: `http` is neither `rpc` nor `db`"),
            (
                "0,XX,7,/,rpc",
                "line 2: `XX` is none of `IS`, `IE`, `ES` and `EE`",
            ),
            ("0,IS,x,/,rpc", "line 2: `x` is not a number of a span"),
            (
                "soon,IS,7,/,rpc",
                "line 2: `soon` is not a time in microseconds",
            ),
            (
                "-1,IS,7,/,rpc",
                "line 2: `-1` is not a time in microseconds",
            ),
            (
                "NaN,IS,7,/,rpc",
                "line 2: `NaN` is not a time in microseconds",
            ),
            ("0,IS,7,/,rpc\n0", "line 3: there are 1 columns, not 5"),
        ];
        for (lines, message) in cases {
            assert_eq!(read(lines).unwrap_err().to_string(), message);
        }
        let headless = super::read("0,IS,7,/,rpc").unwrap_err().to_string();
        assert_eq!(
            headless,
            format!("line 1: a table of events begins with `{HEADER}`")
        );
    }
}
