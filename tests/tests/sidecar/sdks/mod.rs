//! Apps with real tracing SDKs, each as the caller of each: what OpenTelemetry says in four formats and
//! AWS' own SDKs say in theirs is one trace, with one configuration of the sidecars for all.

mod chain;
mod said;
mod sdk;
mod street;

use std::fmt::Write;

use throughline_tests::PATIENCE;
use tokio::time::{Instant, sleep};

use self::{
    chain::Records,
    street::{Street, Visit, Way},
};

#[tokio::test]
async fn every_sdk_and_every_other_are_on_one_trace_with_a_whole_chain_of_parents() {
    let street = Street::open(&sdk::ALL).await;
    let mut visits = Vec::new();
    for way in Way::ALL {
        for (caller, callee) in street.pairs() {
            visits.push(street.visit(caller, callee, way, true).await);
        }
    }
    assert_eq!(visits.len(), 72);
    all_whole(&street, &visits).await;
}

#[tokio::test]
async fn an_unsampled_call_keeps_its_id_and_nobody_records_it() {
    let street = Street::open(&sdk::ALL).await;
    let mut visits = Vec::new();
    for way in Way::ALL {
        for (caller, callee) in street.pairs() {
            visits.push(street.visit(caller, callee, way, false).await);
        }
    }
    assert_eq!(visits.len(), 72);
    let broken = table(&visits, chain::unsampled);
    assert!(broken.is_empty(), "\n{broken}");
    nothing_recorded(&street).await;
}

#[tokio::test]
async fn a_call_that_has_no_id_because_it_is_unsampled_is_recorded_by_nobody() {
    let street = Street::open(&sdk::WITH_ZEROS).await;
    let [caller, _] = &street.services[..] else {
        unreachable!("one service for each SDK");
    };
    let mut visits = Vec::new();
    for way in Way::ALL {
        for callee in &street.services {
            visits.push(street.visit(caller, callee, way, false).await);
        }
    }
    let broken = table(&visits, chain::unsampled_without_id);
    assert!(broken.is_empty(), "\n{broken}");
    nothing_recorded(&street).await;
}

/// Sees that neither a sidecar nor an SDK has recorded anything so far.
async fn nothing_recorded(street: &Street) {
    // When what is sampled has come everywhere, nothing of what went before it is on its way.
    let mut sampled = Vec::new();
    for service in &street.services {
        for way in Way::ALL {
            sampled.push(street.visit(service, service, way, true).await);
        }
    }
    let records = all_whole(street, &sampled).await;
    let beyond = records.beyond(&sampled);
    assert!(beyond.is_empty(), "\n{beyond}");
}

/// Waits until the chain of every visit is whole, and returns what was recorded until then.
async fn all_whole(street: &Street, visits: &[Visit<'_>]) -> Records {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let records = Records::of(street).await;
        let broken = table(visits, |visit| records.whole(visit));
        if broken.is_empty() {
            return records;
        }
        assert!(Instant::now() < deadline, "\n{broken}");
        sleep(std::time::Duration::from_millis(50)).await;
    }
}

/// One line for each visit that is not as it should be; empty if all are.
fn table(visits: &[Visit<'_>], judge: impl Fn(&Visit<'_>) -> Result<(), String>) -> String {
    let judged = visits.iter().map(|visit| (visit, judge(visit)));
    let broken: Vec<_> = judged
        .filter_map(|(visit, verdict)| Some((visit, verdict.err()?)))
        .collect();
    if broken.is_empty() {
        return String::new();
    }
    let good = visits.len() - broken.len();
    let mut table = format!("{good} of {} are as they should be\n", visits.len());
    for (visit, why) in broken {
        let (caller, callee) = (visit.caller.name(), visit.callee.name());
        let way = visit.way.name();
        writeln!(table, "{caller:12} {callee:12} {way:15} {why}").expect("a string takes text");
    }
    table
}
