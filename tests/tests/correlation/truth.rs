//! What really happened, as the two ends of each call wrote it down without the sidecar.
//!
//! The app notes which of its requests makes a call of which number, and the upstream which call of that
//! number arrived with which span. Neither alone says anything about parents; together they say which
//! SERVER span caused each CLIENT span.

use std::{collections::HashMap, fs, path::Path};

/// A call as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Arrival {
    /// The number that the app gave to it.
    pub(crate) number: String,
    /// The CLIENT span of the sidecar, from its `traceparent`.
    pub(crate) client: String,
}

/// What the app wrote: the SERVER span of the request that made each call, by the call's number.
pub(crate) type Told = HashMap<String, String>;

/// Reads the file of an app.
pub(crate) fn read(witness: &Path) -> Told {
    parse(&fs::read_to_string(witness).expect("the app has written what it did"))
}

fn parse(lines: &str) -> Told {
    let mut told = Told::new();
    for line in lines.lines() {
        let (server, number) = line.split_once(' ').expect("a span and a number");
        let before = told.insert(number.to_owned(), server.to_owned());
        assert_eq!(before, None, "two calls have the number {number}");
    }
    told
}

/// The truth as it would be if each request had made the calls of another one.
pub(crate) fn shifted(told: &Told) -> Told {
    let mut servers: Vec<&String> = told.values().collect();
    servers.sort();
    servers.dedup();
    let others = servers.iter().cycle().skip(1);
    let other: HashMap<_, _> = servers.iter().zip(others).collect();
    told.iter()
        .map(|(number, server)| (number.clone(), (*other[&server]).clone()))
        .collect()
}

#[test]
fn a_shifted_truth_agrees_with_the_truth_about_no_call() {
    let told = parse("a 1\nb 2\nb 3\nc 4\n");
    let shifted = shifted(&told);
    assert_eq!(shifted.len(), 4);
    assert!(
        told.iter()
            .all(|(number, server)| shifted[number] != *server)
    );
    assert_eq!(shifted["2"], shifted["3"], "one request is one still");
}

#[test]
#[should_panic(expected = "two calls have the number 1")]
fn a_number_that_is_given_twice_is_noticed() {
    parse("a 1\nb 1\n");
}
