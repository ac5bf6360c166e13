//! The newcomer's first minute: a shop without any tracing, its traffic, and what the sidecars saw.
//!
//! Everything is real but the business: seven services with a socket each, seven sidecars as
//! `throughline run` starts them, and every request over the loopback interface. What is printed is
//! worked out from the spans alone; and then it is held against what the shop knows about itself, so
//! that the demo fails where the picture is wrong.

mod bar;
mod closeup;
mod hops;
mod paper;
mod parents;
mod proof;
mod report;
mod screen;
mod shop;
mod street;
mod traffic;
mod units;
mod waterfall;
mod whereabouts;
mod wire;

use std::{collections::BTreeMap, pin::pin, process::ExitCode};

use anyhow::Context;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
};

use self::{
    proof::{Claim, Ledgers},
    screen::Screen,
    street::Street,
    traffic::Customers,
};
use crate::config;

/// What a shell makes of a process that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

/// How the demo is run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Whether it ends after a few seconds of traffic.
    pub once: bool,
}

/// Runs the demo, prints what the sidecars saw, and checks that it is true.
///
/// It is success if everything adds up. The first Ctrl-C lets everything finish; the second does not.
///
/// # Errors
///
/// When something cannot be bound or started, when standard output cannot be written to, and when the
/// sidecars saw something that is not so; the error then says what.
pub fn run(options: Options) -> anyhow::Result<ExitCode> {
    let environment = config::env::read();
    let screen = Screen::standard_output(&environment);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("throughline-shop")
        .enable_all()
        .build()
        .context("the shop of the demo gets no threads")?;
    let ended = runtime.block_on(interruptible(options, &environment, screen));
    // Nothing is left to wait for; and after a second Ctrl-C nobody wants to.
    runtime.shutdown_background();
    ended
}

async fn interruptible(
    options: Options,
    environment: &BTreeMap<String, String>,
    screen: Screen,
) -> anyhow::Result<ExitCode> {
    let mut interrupts = Interrupts::new().context("signals cannot be waited for")?;
    let (stop, stopping) = watch::channel(false);
    let mut demo = pin!(demo(options, environment, screen, stopping));
    tokio::select! {
        ended = &mut demo => return ended,
        () = interrupts.next() => {}
    }
    stop.send_replace(true);
    tokio::select! {
        ended = demo => ended,
        () = interrupts.next() => Ok(ExitCode::from(INTERRUPTED)),
    }
}

async fn demo(
    options: Options,
    environment: &BTreeMap<String, String>,
    screen: Screen,
    mut stop: watch::Receiver<bool>,
) -> anyhow::Result<ExitCode> {
    let look = screen.look();
    let street = Street::open(environment)?;
    screen.print(&report::introduction(look))?;
    let customers = Customers::default();
    {
        let mut rush = pin!(customers.rush(&street, &stop));
        tokio::select! {
            () = &mut rush => {}
            shown = screen.count_down(traffic::RUSH, "traffic") => {
                shown?;
                rush.await;
            }
        }
    }
    screen.clear_line()?;

    if *stop.borrow() {
        let closed = street.close().await?;
        screen.print(&report::farewell(look, &closed.ledgers))?;
        balanced(&closed.ledgers)?;
        return Ok(ExitCode::from(INTERRUPTED));
    }
    if options.once {
        let counted = customers.counted();
        let closed = street.close().await?;
        let claims = proof::claims(&closed.spans, &closed.ledgers, counted, closed.calls_made);
        screen.print(&report::report(
            look,
            &closed.spans,
            &closed.ledgers,
            &claims,
        ))?;
        screen.print(&report::onward())?;
        return verdict(&claims);
    }
    street.settle().await;
    let (spans, ledgers) = (street.spans(), street.ledgers());
    let claims = proof::claims(&spans, &ledgers, customers.counted(), street.calls_made());
    screen.print(&report::report(look, &spans, &ledgers, &claims))?;
    screen.print(&report::going_on(look, street.admins()))?;
    customers.stroll(&street, &mut stop).await;
    let closed = street.close().await?;
    screen.print(&report::farewell(look, &closed.ledgers))?;
    balanced(&closed.ledgers)?;
    verdict(&claims)
}

/// Success, if all claims hold.
fn verdict(claims: &[Claim]) -> anyhow::Result<ExitCode> {
    match claims.iter().find(|claim| !claim.holds) {
        None => Ok(ExitCode::SUCCESS),
        Some(claim) => anyhow::bail!("the demo does not add up: {}", claim.says),
    }
}

fn balanced(ledgers: &Ledgers) -> anyhow::Result<()> {
    verdict(&[proof::every_span_is_accounted_for(ledgers)]).map(drop)
}

/// Ctrl-C, and what a supervisor sends in its place.
struct Interrupts {
    interrupt: Signal,
    terminate: Signal,
}

impl Interrupts {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
