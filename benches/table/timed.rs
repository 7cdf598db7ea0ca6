//! What is timed, in rounds.

use std::thread;

use benches::client::{Bare, Client, Legacy, Ours, PerWorker, Reqwest, Setup, Target};
use benches::report::Bound::{AtLeast, AtMost};
use benches::report::Compared::Times;
use benches::report::Figure;
use benches::rounds::{Case, Time, Timed, interleave};
use benches::runtime::{current_thread, pin_to_one_core, workers};
use benches::server::{Server, start_http2};
use benches::work::{STREAMED, TASKS, contend, for_tasks, sequential};
use tokio::runtime::Runtime;

const ROUNDS: usize = 45;

/// One request after the other, client and server on one core.
pub(crate) fn round_trip() -> Vec<Figure> {
    const REQUESTS: usize = 3_000;

    fn case<'a, C: Client>(runtime: &'a Runtime, target: &'a Target) -> Case<'a> {
        let mut client = runtime.block_on(C::open(Setup::Plain, target));
        Case::new(C::NAME, move || {
            runtime.block_on(sequential(&mut client, target, REQUESTS));
        })
    }

    // A thread of its own is pinned: what else is measured may run where it likes.
    let measured = thread::spawn(|| {
        pin_to_one_core();
        let server = Server::start_on_one_core();
        let target = Target::new(server.address(), "/");
        let runtime = current_thread();
        let cases = [
            case::<Ours>(&runtime, &target),
            case::<Bare>(&runtime, &target),
            case::<Legacy>(&runtime, &target),
            case::<Reqwest>(&runtime, &target),
        ];
        interleave(ROUNDS, cases)
    });
    let timed = measured.join().expect("it does not panic");
    let a_request = |seconds: f64| seconds * 1e6 / REQUESTS as f64;
    let wall = timed
        .each_ref()
        .map(|of| of.measured(|time| a_request(time.wall.as_secs_f64())));
    let cpu = timed
        .each_ref()
        .map(|of| of.measured(|time| a_request(time.cpu.as_secs_f64())));
    vec![
        Figure::new("GETs in turn, one core: wall", "us", &wall).to_reach(
            Times("bare"),
            AtMost(1.05),
            AtMost(1.00),
        ),
        Figure::new("GETs in turn, one core: client CPU", "us", &cpu).to_reach(
            Times("bare"),
            AtMost(1.05),
            AtMost(1.00),
        ),
    ]
}

/// Tasks that make requests all at once, each so many.
fn tasks<'a, C: Client>(
    runtime: &'a Runtime,
    setup: Setup,
    target: &'a Target,
    each: usize,
) -> Case<'a> {
    let mut clients = runtime.block_on(async {
        let client = C::open(setup, target).await;
        for_tasks(&client, target, TASKS).await
    });
    Case::new(C::NAME, move || {
        clients = runtime.block_on(contend(std::mem::take(&mut clients), target, each));
    })
}

/// Requests a second of many tasks, on one worker and on two, and with a session a worker.
pub(crate) fn contention() -> Vec<Figure> {
    const EACH: usize = 300;

    let server = Server::start();
    let target = &Target::new(server.address(), "/");
    let a_second = |time: &Time| (TASKS * EACH) as f64 / time.wall.as_secs_f64();
    let throughput = [1, 2].map(|count| {
        let runtime = &workers(count);
        let cases = [
            tasks::<Ours>(runtime, Setup::Plain, target, EACH),
            tasks::<Bare>(runtime, Setup::Plain, target, EACH),
            tasks::<Legacy>(runtime, Setup::Plain, target, EACH),
            tasks::<Reqwest>(runtime, Setup::Plain, target, EACH),
        ];
        let measured = interleave(ROUNDS, cases).map(|timed| timed.measured(a_second));
        let name = format!("{TASKS} tasks, workers: {count}");
        Figure::new(name, "requests/s", &measured).to_reach(
            Times("bare"),
            AtLeast(0.93),
            AtLeast(1.00),
        )
    });
    let runtime = &workers(2);
    let cases = [
        tasks::<Ours>(runtime, Setup::Plain, target, EACH),
        tasks::<PerWorker>(runtime, Setup::Plain, target, EACH),
    ];
    let measured = interleave(ROUNDS, cases).map(|timed| timed.measured(a_second));
    let shared = Figure::new("one session for both workers", "requests/s", &measured).to_reach(
        Times(PerWorker::NAME),
        AtLeast(0.97),
        AtLeast(1.00),
    );
    throughput.into_iter().chain([shared]).collect()
}

/// Large bodies on one connection.
pub(crate) fn streaming() -> Vec<Figure> {
    fn down<'a, C: Client>(runtime: &'a Runtime, target: &'a Target) -> Case<'a> {
        let mut client = runtime.block_on(C::open(Setup::Plain, target));
        Case::new(C::NAME, move || {
            let length = runtime.block_on(client.download(target));
            assert_eq!(length, STREAMED);
        })
    }

    fn up<'a, C: Client>(runtime: &'a Runtime, target: &'a Target) -> Case<'a> {
        let mut client = runtime.block_on(C::open(Setup::Plain, target));
        Case::new(C::NAME, move || {
            runtime.block_on(client.upload(target, STREAMED));
        })
    }

    let server = Server::start();
    let runtime = &current_thread();
    let from = &Target::new(server.address(), &format!("/ascii/{STREAMED}"));
    let to = &Target::new(server.address(), "/upload");
    let downloads = [
        down::<Ours>(runtime, from),
        down::<Bare>(runtime, from),
        down::<Legacy>(runtime, from),
        down::<Reqwest>(runtime, from),
    ];
    let uploads = [
        up::<Ours>(runtime, to),
        up::<Bare>(runtime, to),
        up::<Legacy>(runtime, to),
        up::<Reqwest>(runtime, to),
    ];
    let a_second = |time: &Time| STREAMED as f64 / 1e6 / time.wall.as_secs_f64();
    let figure = |name, timed: [Timed; 4]| {
        let measured = timed.map(|timed| timed.measured(a_second));
        Figure::new(name, "MB/s", &measured).to_reach(Times("bare"), AtLeast(1.00), AtLeast(1.30))
    };
    vec![
        figure("256 MiB down", interleave(ROUNDS, downloads)),
        figure("256 MiB up", interleave(ROUNDS, uploads)),
    ]
}

/// Many tasks on one connection.
pub(crate) fn http2() -> Vec<Figure> {
    const EACH: usize = 100;

    let target = &Target::new(start_http2(), "/");
    let runtime = &current_thread();
    let cases = [
        tasks::<Ours>(runtime, Setup::Http2, target, EACH),
        tasks::<Legacy>(runtime, Setup::Http2, target, EACH),
        tasks::<Reqwest>(runtime, Setup::Http2, target, EACH),
    ];
    let a_second = |time: &Time| (TASKS * EACH) as f64 / time.wall.as_secs_f64();
    let measured = interleave(ROUNDS, cases).map(|timed| timed.measured(a_second));
    vec![
        Figure::new(format!("HTTP/2, {TASKS} tasks"), "requests/s", &measured)
            .to_reach(Times("hyper-util"), AtLeast(1.00), AtLeast(1.10))
            .to_reach(Times("reqwest"), AtLeast(1.30), AtLeast(1.30)),
    ]
}
