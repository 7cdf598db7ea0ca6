//! The model check of the pool over HTTP/2: random schedules, each fixed by its seed, of requests that
//! are cut short and peers that say goodbye, refuse, reset and break off, after which nothing is left
//! over; at no moment of which there are more sockets than the limit allows, or more streams than the
//! peer does; and in which no POST is carried out twice.
//!
//! Whenever nothing can go on before time does, the streams that are open by the frames on the wire are
//! compared with the requests that are being sent by the pool's books, and whoever waits must have a
//! reason. Never more streams than requests, with two exceptions:
//!
//! - A small request whose answer is over has no place in the books, though the peer may not have taken
//!   all of it. The server knows of which this is so.
//! - An upload that the peer never takes is given up after 31 s, and cannot be taken off the wire while
//!   its connection has other streams, which may be such uploads too. So no stream is older than twice
//!   that.
//!
//! There may be fewer streams than requests: one that is being sent waits for its turn on the wire, and
//! an answer that has come is over when it has been read.
//!
//! `MODEL_SCHEDULES` is how many are run. After a failure, `MODEL_SEED` runs the one that failed.
#![cfg(feature = "http2")]
#![allow(clippy::unwrap_used, reason = "a test that fails here has its line")]

#[allow(unreachable_pub, reason = "each file says what it has for the others")]
mod model_http2 {
    #[path = "../model/dice.rs"]
    pub mod dice;
    pub mod frames;
    pub mod network;
    pub mod schedule;
    pub mod server;
    pub mod world;
}

use std::env;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use model_http2::schedule::run;

fn number(variable: &str) -> Option<u64> {
    let value = env::var(variable).ok()?;
    Some(value.parse().expect("a number"))
}

#[test]
fn every_schedule_ends_as_the_model_says() {
    let seeds = match number("MODEL_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("MODEL_SCHEDULES").unwrap_or(10_000),
    };
    let next = AtomicU64::new(seeds.start);
    let work = || {
        let mut failed = Vec::new();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if !seeds.contains(&seed) {
                return failed;
            }
            let trace = run(seed);
            if trace.violations > 0 {
                failed.push((seed, trace));
            }
        }
    };
    let mut failed = thread::scope(|scope| {
        let (one, other) = (scope.spawn(work), scope.spawn(work));
        let mut failed = one.join().unwrap();
        failed.extend(other.join().unwrap());
        failed
    });
    failed.sort_by_key(|(seed, _)| *seed);
    if let Some((seed, trace)) = failed.first() {
        let seeds: Vec<_> = failed.iter().map(|(seed, _)| seed).collect();
        panic!("{seeds:?} failed; MODEL_SEED={seed}:\n{}", trace.text);
    }
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    for seed in 0..100 {
        assert_eq!(run(seed), run(seed), "seed {seed}");
    }
}
