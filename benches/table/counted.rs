//! What is counted: instructions, allocations, bytes, connections.

use std::array;

use benches::client::{Bare, Client, Legacy, Ours, Reqwest, Target};
use benches::counts::{TEXT, Work, allocations, instructions, instructions_once};
use benches::memory::{Held, held};
use benches::report::Bound::AtMost;
use benches::report::Compared::{Itself, Over, Times};
use benches::report::Figure;
use benches::rounds::Measured;
use benches::runtime::workers;
use benches::server::Server;
use benches::work::burst;

const CLIENTS: [&str; 4] = [Ours::NAME, Bare::NAME, Legacy::NAME, Reqwest::NAME];

/// What a request costs in instructions and allocations.
pub(crate) fn requests() -> Vec<Figure> {
    let server = Server::start();
    let plain = "GET by &str";
    let full = "GET: timeout, 2 headers, limit, text()";
    let instructions_of = |name, work| {
        let of = |client| Measured {
            name: client,
            values: instructions(&server, work, client),
        };
        Figure::new(name, "instructions", &CLIENTS.map(of))
    };
    let allocations_of = |name, work| {
        let of = |client| Measured::once(client, allocations(&server, work, client));
        Figure::new(name, "allocations", &CLIENTS.map(of))
    };
    let times_bare = Times(Bare::NAME);
    let over_bare = Over(Bare::NAME);
    let mut figures = vec![
        instructions_of(plain, Work::Plain).to_reach(times_bare, AtMost(1.20), AtMost(1.05)),
        instructions_of(full, Work::Full).to_reach(times_bare, AtMost(1.35), AtMost(1.20)),
        allocations_of(plain, Work::Plain).to_reach(over_bare, AtMost(3.0), AtMost(1.0)),
        allocations_of(full, Work::Full).to_reach(over_bare, AtMost(6.0), AtMost(4.0)),
    ];
    figures.extend(with_session(&server));
    figures.extend(text(&server));
    figures
}

/// What `with_session` costs over the same call on a session.
fn with_session(server: &Server) -> [Figure; 2] {
    let name = "with_session over a session's own call";
    let works = [Work::Session, Work::WithSession];
    let [without, with] = works.map(|work| instructions(server, work, Ours::NAME));
    let more = Measured {
        name: Ours::NAME,
        values: with.iter().zip(without).map(|(a, b)| a - b).collect(),
    };
    let [without, with] = works.map(|work| allocations(server, work, Ours::NAME));
    let allocations = Measured::once(Ours::NAME, with - without);
    [
        Figure::new(name, "instructions", &[more]).to_reach(Itself, AtMost(100.0), AtMost(60.0)),
        Figure::new(name, "allocations", &[allocations]).to_reach(Itself, AtMost(0.0), AtMost(0.0)),
    ]
}

/// What `text()` costs over `bytes()`.
fn text(server: &Server) -> [Figure; 2] {
    let [bytes, ascii, utf8] = [Work::Bytes, Work::Ascii, Work::Utf8]
        .map(|work| CLIENTS.map(|client| instructions_once(server, work, client)));
    let a_byte = |name, text: [f64; 4]| {
        let more: [_; 4] = array::from_fn(|client| {
            Measured::once(
                CLIENTS[client],
                (text[client] - bytes[client]) / TEXT as f64,
            )
        });
        Figure::new(name, "instructions a byte", &more)
    };
    [
        a_byte("text() over bytes(), ASCII", ascii).to_reach(Itself, AtMost(1.0), AtMost(0.5)),
        a_byte("text() over bytes(), 1 in 100 not ASCII", utf8).to_reach(
            Itself,
            AtMost(1.0),
            AtMost(0.5),
        ),
    ]
}

/// What a connection holds.
pub(crate) fn memory() -> Vec<Figure> {
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
        figure("a connection just given back", |held| held.given_back),
        figure("a connection that idles", |held| held.idle).to_reach(
            Itself,
            AtMost(26_000.0),
            AtMost(20_000.0),
        ),
        figure("a connection just given back after a download", |held| {
            held.given_back_after_download
        }),
        figure("a connection that idles after a download", |held| {
            held.idle_after_download
        })
        .to_reach(Itself, AtMost(110_000.0), AtMost(26_000.0)),
    ]
}

/// The most connections that any of some cold bursts opens.
pub(crate) fn bursts() -> Vec<Figure> {
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

/// What a request costs beside thousands of origins and of idle connections.
pub(crate) fn origins() -> Vec<Figure> {
    const ONE: &str = "one origin";

    let server = Server::start();
    let count = |work| instructions_once(&server, work, Ours::NAME);
    let one = count(Work::Origins(1));
    let beside = [
        ("GETs, 100 origins", Work::Origins(100)),
        ("GETs, 10,000 origins", Work::Origins(10_000)),
        ("GETs, 10,000 idle connections", Work::Idle(10_000)),
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
