//! What is counted: instructions, allocations, bytes, connections.

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
