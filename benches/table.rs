//! All figures beside the peers' and beside what they are to reach.
//!
//! `cargo bench -p benches --bench table` prints the table and writes it to `table.json` in the target
//! directory. With names of groups after `--`, only these are measured, and nothing is written. Fails
//! if a figure is not met. Needs `valgrind`.

#![allow(clippy::cast_precision_loss, reason = "all counts are far below 2^52")]

use std::path::Path;
use std::process::Command;
use std::thread;

use benches::client::{Bare, Client, Legacy, Ours, PerWorker, Reqwest, Setup, Target};
use benches::counts::{TEXT, Work, allocations, instructions, instructions_once, is_child};
use benches::memory::{Held, held};
use benches::report::Bound::{AtLeast, AtMost};
use benches::report::Compared::{Itself, Over, Times};
use benches::report::{Figure, print_head, write_json};
use benches::rounds::{Case, Measured, Time, Timed, interleave};
use benches::runtime::{current_thread, pin_to_one_core, workers};
use benches::server::{Server, start_http2};
use benches::work::{STREAMED, TASKS, burst, contend, for_tasks, sequential};
use tokio::runtime::Runtime;

const COMMAND: &str = "cargo bench -p benches --bench table";

const ROUNDS: usize = 15;

const CLIENTS: [&str; 4] = [Ours::NAME, Bare::NAME, Legacy::NAME, Reqwest::NAME];

/// Figures that are measured together.
type Group = fn() -> Vec<Figure>;

/// What can be measured by itself.
const GROUPS: [(&str, Group); 9] = [
    ("instructions", counted),
    ("round_trip", round_trip),
    ("contention", contention),
    ("streaming", streaming),
    ("http2", http2),
    ("memory", memory),
    ("burst", bursts),
    ("origins", origins),
    ("compile", compile),
];

fn main() {
    if is_child() {
        return;
    }
    let arguments = std::env::args().skip(1);
    // Cargo adds the flag.
    let asked: Vec<String> = arguments.filter(|name| name != "--bench").collect();
    let known = |name: &String| GROUPS.iter().any(|(group, _)| group == name);
    if let Some(unknown) = asked.iter().find(|name| !known(name)) {
        let groups = GROUPS.map(|(group, _)| group).join(", ");
        eprintln!("no group called {unknown}; there are {groups}");
        std::process::exit(2);
    }
    print_head();
    let mut figures = Vec::new();
    for (name, group) in GROUPS {
        if asked.is_empty() || asked.iter().any(|asked| asked == name) {
            for figure in group() {
                println!("{figure}");
                figures.push(figure);
            }
        }
    }
    if asked.is_empty() {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("table.json");
        write_json(&path, COMMAND, &figures);
        println!("written to {}", path.display());
    }
    let not_met = figures.iter().flat_map(|figure| &figure.checks);
    let not_met = not_met.filter(|check| !check.is_met()).count();
    if not_met > 0 {
        println!("not met: {not_met}");
        std::process::exit(1);
    }
}

fn counted() -> Vec<Figure> {
    let server = Server::start();
    let instructions_of = |work| {
        CLIENTS.map(|name| Measured {
            name,
            values: instructions(&server, work, name),
        })
    };
    let allocations_of =
        |work| CLIENTS.map(|name| Measured::once(name, allocations(&server, work, name)));
    let [session, with_session] =
        [Work::Session, Work::WithSession].map(|work| instructions(&server, work, Ours::NAME));
    let more = Measured {
        name: Ours::NAME,
        values: with_session
            .iter()
            .zip(session)
            .map(|(with, without)| with - without)
            .collect(),
    };
    let [session, with_session] =
        [Work::Session, Work::WithSession].map(|work| allocations(&server, work, Ours::NAME));
    let more_allocations = Measured::once(Ours::NAME, with_session - session);
    let text_over_bytes = CLIENTS.map(|name| {
        let [bytes, text] =
            [Work::Bytes, Work::Text].map(|work| instructions_once(&server, work, name));
        Measured::once(name, (text - bytes) / TEXT as f64)
    });

    let full = "GET: timeout, 2 headers, limit, text()";
    let figure = |name, unit, measured: &[Measured]| Figure::new(name, unit, measured);
    vec![
        figure("GET by &str", "instructions", &instructions_of(Work::Plain)).to_reach(
            Times("bare"),
            AtMost(1.20),
            AtMost(1.05),
        ),
        figure(full, "instructions", &instructions_of(Work::Full)).to_reach(
            Times("bare"),
            AtMost(1.35),
            AtMost(1.20),
        ),
        figure("GET by &str", "allocations", &allocations_of(Work::Plain)).to_reach(
            Over("bare"),
            AtMost(3.0),
            AtMost(1.0),
        ),
        figure(full, "allocations", &allocations_of(Work::Full)).to_reach(
            Over("bare"),
            AtMost(6.0),
            AtMost(4.0),
        ),
        figure("with_session over a plain call", "instructions", &[more]).to_reach(
            Itself,
            AtMost(100.0),
            AtMost(60.0),
        ),
        figure(
            "with_session over a plain call",
            "allocations",
            &[more_allocations],
        )
        .to_reach(Itself, AtMost(0.0), AtMost(0.0)),
        figure(
            "text() over bytes()",
            "instructions a byte",
            &text_over_bytes,
        )
        .to_reach(Itself, AtMost(1.0), AtMost(0.5)),
    ]
}

/// One request after the other, client and server on one core.
fn round_trip() -> Vec<Figure> {
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

fn contention() -> Vec<Figure> {
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

fn streaming() -> Vec<Figure> {
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
    let from = &Target::new(server.address(), &format!("/bytes/{STREAMED}"));
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

fn http2() -> Vec<Figure> {
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

fn memory() -> Vec<Figure> {
    let of_all = [
        (Ours::NAME, held::<Ours>()),
        (Bare::NAME, held::<Bare>()),
        (Legacy::NAME, held::<Legacy>()),
        (Reqwest::NAME, held::<Reqwest>()),
    ];
    let figure = |name, of: fn(&Held) -> f64| {
        let measured = of_all
            .each_ref()
            .map(|(client, held)| Measured::once(client, of(held)));
        Figure::new(name, "bytes", &measured)
    };
    vec![
        figure("a connection in flight", |held| held.in_flight).to_reach(
            Times("bare"),
            AtMost(1.00),
            AtMost(0.95),
        ),
        figure("a connection that idles", |held| held.idle).to_reach(
            Itself,
            AtMost(26_000.0),
            AtMost(20_000.0),
        ),
        figure("a connection that idles after a download", |held| {
            held.idle_after_download
        })
        .to_reach(Itself, AtMost(110_000.0), AtMost(26_000.0)),
    ]
}

/// The most connections that any of some cold bursts opens.
fn bursts() -> Vec<Figure> {
    const BURST: usize = 1_000;
    const EACH: usize = 10;
    const LIMIT: usize = 100;

    fn most<C: Client>() -> Measured {
        let opened = (0..3).map(|_| {
            let server = Server::start();
            let target = Target::new(server.address(), "/");
            workers(2).block_on(burst::<C>(&target, BURST, EACH));
            server.accepted()
        });
        Measured::once(C::NAME, opened.max().unwrap_or_default() as f64)
    }

    let measured = [most::<Ours>(), most::<Legacy>(), most::<Reqwest>()];
    let limit = AtMost(LIMIT.min(BURST) as f64);
    vec![
        Figure::new(
            format!("cold burst, {BURST} x {EACH}"),
            "connections",
            &measured,
        )
        .to_reach(Itself, limit, limit),
    ]
}

fn origins() -> Vec<Figure> {
    const ONE: &str = "one origin";

    let server = Server::start();
    let count = |work| instructions_once(&server, work, Ours::NAME);
    let one = count(Work::Origins(1));
    let beside = [
        ("GETs from 100 origins in turn", Work::Origins(100)),
        ("GETs from 10,000 origins in turn", Work::Origins(10_000)),
        ("GET beside 10,000 idle connections", Work::Idle(10_000)),
    ];
    let figures = beside.map(|(name, work)| {
        let measured = [
            Measured::once(Ours::NAME, count(work)),
            Measured::once(ONE, one),
        ];
        Figure::new(name, "instructions", &measured).to_reach(
            Times(ONE),
            AtMost(1.10),
            AtMost(1.03),
        )
    });
    figures.into()
}

/// What a crate pays for its dependency, as `compile_cost.sh` prints it.
fn compile() -> Vec<Figure> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/compile_cost.sh");
    let ran = Command::new("bash").arg(script).output().expect("bash");
    let printed = String::from_utf8_lossy(&ran.stdout);
    let errors = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{script} failed: {errors}");

    let lines: Vec<Vec<&str>> = printed
        .lines()
        .map(|line| line.split('\t').collect())
        .collect();
    let of = |features: &str, client, column: usize| {
        let mut lines = lines.iter();
        let line = lines.find(|line| line[0] == features && line[1] == client);
        let line = line.unwrap_or_else(|| panic!("{features} {client} in: {printed}"));
        Measured::once(client, line[column].parse().expect("a number"))
    };
    let figure = |features: &str, column, unit| {
        let measured = [Ours::NAME, Reqwest::NAME].map(|client| of(features, client, column));
        Figure::new(format!("compiling, {features} features"), unit, &measured).to_reach(
            Times("reqwest"),
            AtMost(1.00),
            AtMost(0.50),
        )
    };
    vec![
        figure("default", 2, "s"),
        figure("default", 3, "crates"),
        figure("no", 2, "s"),
        figure("no", 3, "crates"),
    ]
}
