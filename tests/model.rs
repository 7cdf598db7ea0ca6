//! The model check of the HTTP/1 pool: random schedules, each fixed by its seed, of requests, cancels,
//! closes and faults on both sides, after which permits, sockets, waiters and tasks are exactly what
//! a model of them says, and at no moment of which there are more sockets than the limit allows.
//!
//! `MODEL_SCHEDULES` is how many are run. After a failure, `MODEL_SEED` runs the one that failed.
#![allow(clippy::unwrap_used, reason = "a test that fails here has its line")]

#[allow(unreachable_pub, reason = "each file says what it has for the others")]
mod model {
    pub mod audit;
    pub mod books;
    pub mod census;
    pub mod client;
    pub mod dice;
    pub mod event;
    pub mod keeper;
    pub mod network;
    pub mod patience;
    pub mod plan;
    pub mod queue;
    pub mod request;
    pub mod schedule;
    pub mod server;
    pub mod settings;
    pub mod wire;
    pub mod world;
}

use std::collections::BTreeSet;
use std::env;
use std::fmt::Write;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Once, mpsc};
use std::thread;
use std::time::Duration;

use model::census::Census;
use model::event::Event;
use model::schedule::{Trace, count_panics, run};

/// How long, in real time, a schedule may take that takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// How many schedules do between them whatever schedules do.
const ENOUGH: u64 = 1000;

fn number(variable: &str) -> Option<u64> {
    let value = env::var(variable).ok()?;
    Some(value.parse().expect("a number"))
}

fn seeds() -> Range<u64> {
    static PANICS_ARE_COUNTED: Once = Once::new();
    PANICS_ARE_COUNTED.call_once(count_panics);
    match number("MODEL_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("MODEL_SCHEDULES").unwrap_or(10_000),
    }
}

fn failure(seed: u64, trace: &Trace) -> String {
    let mut text = format!("seed {seed}:\n");
    for (at, event) in &trace.events {
        let mark = if matches!(event, Event::Violation(_)) {
            ">>>"
        } else {
            "   "
        };
        writeln!(text, "{mark} {at:6} {event:?}").unwrap();
    }
    write!(
        text,
        "\nto run it alone: MODEL_SEED={seed} cargo test --all-features --test model\n"
    )
    .unwrap();
    text
}

/// Runs every seed, on two threads, and hands each trace over.
///
/// # Panics
///
/// When a schedule neither ends nor lets time pass.
fn run_all(seeds: Range<u64>, mut done: impl FnMut(u64, Trace)) {
    let next = Arc::new(AtomicU64::new(seeds.start));
    let (sender, traces) = mpsc::channel();
    let mut running: BTreeSet<_> = seeds.clone().collect();
    for _ in 0..2 {
        let (next, sender, seeds) = (Arc::clone(&next), sender.clone(), seeds.clone());
        // Not waited for: after a panic here they may be in a loop.
        thread::spawn(move || {
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if !seeds.contains(&seed) || sender.send((seed, run(seed))).is_err() {
                    return;
                }
            }
        });
    }
    while !running.is_empty() {
        let Ok((seed, trace)) = traces.recv_timeout(PATIENCE) else {
            let first: Vec<_> = running.iter().take(2).collect();
            panic!("MODEL_SEED of one that does not end: one of {first:?}");
        };
        running.remove(&seed);
        done(seed, trace);
    }
}

#[test]
fn every_schedule_ends_as_the_model_says() {
    let seeds = seeds();
    let (mut failed, mut census) = (Vec::new(), Census::default());
    run_all(seeds.clone(), |seed, trace| {
        census.add(&trace);
        if trace.violations > 0 {
            failed.push((seed, trace));
        }
    });
    failed.sort_by_key(|(seed, _)| *seed);
    let all = seeds.end - seeds.start;
    if let Some((seed, trace)) = failed.first() {
        let others: Vec<_> = failed.iter().map(|(seed, _)| seed).collect();
        panic!(
            "{} of {all} schedules failed: {others:?}\n{}",
            failed.len(),
            failure(*seed, trace)
        );
    }
    if all >= ENOUGH {
        let missing = census.missing();
        assert!(missing.is_empty(), "{missing:?} never happened: {census:?}");
    }
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    let seeds = seeds();
    let end = seeds.end.min(seeds.start + 200);
    run_all(seeds.start..end, |seed, trace| {
        assert_eq!(trace, run(seed), "seed {seed}");
    });
}
