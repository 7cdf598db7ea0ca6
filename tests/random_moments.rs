//! Closes at random moments of a busy session: when they return, nothing of it is open.

mod support;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::join;
use futures::stream;
use hyper_session::{
    Body, BoxConnector, CloseReport, Error, ErrorKind, Result, Session, SessionBuilder,
    SessionHolder, WhenClosed,
};
use support::accounts::{Accounts, assert_accounts};
use support::connectors::{Counting, Fate, Fated};
use support::dice::Dice;
use support::gate::Gate;
use support::server::{Server, channel_body, echo, full, respond};
use support::tally::PATIENCE;
use support::wire::Wire;
use tokio::task::{JoinHandle, spawn_local, yield_now};
use tokio::time::timeout;

const SEED: u64 = 0x5eed_0004;
const CLOSES: usize = 1000;
const LIMIT: usize = 4;
/// More than is read off a body that nobody wants.
const LARGE: usize = 300_000;
/// How many kinds of deeds there are; the last one goes on until it is cut.
const DEEDS: usize = 6;

type Network = Counting<Fated<BoxConnector>>;
type Holder = SessionHolder<Network>;

/// A session's network: some of its connects wait behind the gate.
fn network(wire: Wire, gate: &Gate, mut dice: Dice) -> Network {
    let slow: Vec<_> = (0..8).map(|_| dice.one_in(4)).collect();
    let gate = gate.clone();
    Counting::new(Fated::new(wire.connector(), move |number| {
        if slow[number % slow.len()] {
            Fate::Behind(gate.clone())
        } else {
            Fate::Made
        }
    }))
}

fn builder(wire: Wire, network: &Network) -> SessionBuilder<Network> {
    let builder = SessionHolder::builder().connector(network.clone());
    wire.set(builder)
        .pool_max_connections(LIMIT)
        .when_closed(WhenClosed::Refuse)
}

/// How a session is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// With a deadline.
    Within,
    /// Without one.
    Patient,
    /// Both at once.
    Both,
    /// With a deadline, while it is started.
    AgainstAStart,
}

/// One thing that a caller does with a session.
async fn deed(session: Session, url: Arc<str>, deeds: usize, mut dice: Dice) -> Result<()> {
    match dice.below(deeds) {
        0 | 1 => {
            let answer = session.get(format!("{url}/small")).send().await?;
            answer.bytes().await?;
        }
        2 => {
            let parts = (0..dice.below(20)).map(|_| Ok::<_, Error>(Bytes::from(vec![b'x'; 5000])));
            let body = Body::wrap_stream(stream::iter(parts));
            let answer = session.post(format!("{url}/echo")).body(body).send();
            answer.await?.bytes().await?;
        }
        3 => {
            let mut answer = session.get(format!("{url}/large")).send().await?;
            answer.chunk().await?;
            for _ in 0..dice.below(20) {
                yield_now().await;
            }
            if dice.one_in(2) {
                answer.bytes().await?;
            }
        }
        4 => {
            // Given up, in whichever phase it is.
            let answer = session.get(format!("{url}/large")).send();
            let patience = Duration::from_millis(1);
            let _ = timeout(patience, async { answer.await?.bytes().await }).await;
        }
        _ => {
            let mut answer = session.get(format!("{url}/endless")).send().await?;
            while answer.chunk().await?.is_some() {}
        }
    }
    Ok(())
}

/// Deed after deed, as calls of the holder or on a bare handle, until the session is closed.
async fn caller(holder: Holder, url: Arc<str>, deeds: usize, number: usize, seed: u64) {
    for round in 0.. {
        let dice = Dice::of(seed, number * 1000 + round);
        let done = if number.is_multiple_of(2) {
            let url = Arc::clone(&url);
            holder
                .with_session(|session| deed(session, url, deeds, dice))
                .await
        } else {
            match holder.session() {
                Ok(session) => deed(session, Arc::clone(&url), deeds, dice).await,
                Err(error) => Err(error),
            }
        };
        match done {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::Closed => return,
            Err(error) => panic!("seed {seed:#x}: {error:?}"),
        }
    }
}

/// Answers with a body that comes and comes, until the client is gone.
fn endless(part: Bytes) -> http::Response<support::body::Body> {
    let (sender, body) = channel_body();
    spawn_local(async move { while sender.send(part.clone()).await.is_ok() {} });
    respond(http::StatusCode::OK, body)
}

/// One close and what led to it.
struct Scene {
    wire: Wire,
    /// How long requests are waited for.
    turns: usize,
    server: Arc<Server>,
    seed: u64,
    dice: Dice,
    way: Way,
    gate: Gate,
    networks: Vec<Network>,
    holder: Holder,
    callers: Vec<JoinHandle<()>>,
}

impl Scene {
    async fn set(wire: Wire, server: &Arc<Server>, number: usize) -> Self {
        let mut dice = Dice::of(SEED, number);
        let seed = SEED ^ ((number as u64) << 32);
        let way = [Way::Within, Way::Patient, Way::Both, Way::AgainstAStart][dice.below(4)];
        // Where nothing is cut, nothing may go on for ever.
        let deeds = if way == Way::Patient {
            DEEDS - 1
        } else {
            DEEDS
        };
        let gate = Gate::new();
        let network = network(wire, &gate, dice.clone());
        let holder = builder(wire, &network).build().expect("valid settings");
        holder.start_session().await.expect("it opens");
        let url: Arc<str> = server.url("").into();
        let callers = (0..2 + dice.below(8)).map(|number| {
            let (holder, url) = (holder.clone(), Arc::clone(&url));
            tokio::spawn(caller(holder, url, deeds, number, seed))
        });
        Self {
            wire,
            turns: match wire {
                #[cfg(all(feature = "http2", feature = "native-tls"))]
                Wire::Http2Tls => 10_000,
                _ => 2_000,
            },
            server: Arc::clone(server),
            seed,
            callers: callers.collect(),
            dice,
            way,
            gate,
            networks: vec![network],
            holder,
        }
    }

    /// Lets the callers run until so many more requests have come as chance will have it (or no more
    /// come, as downloads without an end have all connections), and then a little.
    async fn wait_a_random_while(&mut self) {
        let enough = self.server.requests() + self.dice.below(40);
        for turn in 1..self.turns {
            if self.server.requests() >= enough {
                break;
            }
            if turn % 500 == 0 {
                self.gate.open();
            }
            yield_now().await;
        }
        for _ in 0..self.dice.below(200) {
            if self.dice.one_in(100) {
                self.gate.open();
            }
            yield_now().await;
        }
    }

    /// Puts another session in the open one's place.
    async fn swap(&mut self) {
        let network = network(self.wire, &self.gate, self.dice.clone());
        self.networks.push(network.clone());
        let swapped = self
            .holder
            .start_session_with(builder(self.wire, &network))
            .await;
        swapped.expect("nobody closes meanwhile");
    }

    /// Closes it in one of all the ways.
    async fn close(&mut self) -> CloseReport {
        let limit = Duration::from_millis(self.dice.below(3) as u64);
        let holder = self.holder.clone();
        match self.way {
            Way::Within => holder.close_session_within(limit).await,
            Way::Patient => {
                // Waits for as long as it takes; no connect may then wait for this test.
                self.gate.open_for_good();
                holder.close_session().await
            }
            Way::Both => {
                let closes = join(holder.close_session(), holder.close_session_within(limit));
                let (patient, strict) = closes.await;
                self.check(&strict);
                patient
            }
            Way::AgainstAStart => self.close_against_a_start(limit).await,
        }
    }

    /// Another session may come of it, which is closed as well.
    async fn close_against_a_start(&mut self, limit: Duration) -> CloseReport {
        let other = self.holder.clone();
        let starting = tokio::spawn(async move { other.start_session().await });
        let report = self.holder.close_session_within(limit).await;
        self.check(&report);
        // An error says that the close came in between.
        let _ = starting.await.expect("no panic");
        self.holder.close_session_within(limit).await
    }

    fn check(&self, report: &CloseReport) {
        let seed = self.seed;
        let stats = report.stats;
        assert_eq!(
            (stats.open, stats.connecting),
            (0, 0),
            "seed {seed:#x}: {report:?}"
        );
    }

    /// Says whether it was busy, connecting and queued, and whether it was severed or waited for.
    async fn run(mut self) -> [bool; 5] {
        self.wait_a_random_while().await;
        if self.dice.one_in(3) {
            self.swap().await;
            self.wait_a_random_while().await;
        }
        let seed = self.seed;
        let before = self.holder.stats();
        let report = timeout(PATIENCE, self.close()).await;
        let report = report.unwrap_or_else(|_| panic!("seed {seed:#x}: the close hangs"));
        // At this very moment.
        for network in &self.networks {
            let numbers = network.numbers();
            assert_eq!(
                (numbers.live, numbers.connecting),
                (0, 0),
                "seed {seed:#x}: {report:?}"
            );
        }
        self.check(&report);
        assert!(!self.holder.is_open());
        assert_accounts(&self.holder.stats(), Accounts::NONE);
        for caller in self.callers {
            let ended = timeout(PATIENCE, caller).await;
            let ended = ended.unwrap_or_else(|_| panic!("seed {seed:#x}: a caller hangs"));
            ended.expect("no caller panics");
        }
        for network in &self.networks {
            let numbers = network.numbers();
            assert_eq!(
                (numbers.live, numbers.connecting),
                (0, 0),
                "seed {seed:#x}: afterwards"
            );
        }
        self.server.wait_live(0).await;
        [
            before.in_use > 0,
            before.connecting > 0,
            before.waiting > before.connecting,
            report.severed > 0,
            report.severed == 0 && before.exchanges > 0,
        ]
    }
}

/// Closes busy sessions, so many times.
async fn close_at_random_moments(wire: Wire, times: usize) {
    let large = Bytes::from(vec![b'x'; LARGE]);
    let server = Arc::new(wire.serve(async move |request| match request.uri().path() {
        "/large" => respond(http::StatusCode::OK, full(large.clone())),
        "/endless" => endless(large.clone()),
        _ => echo(request),
    }));
    let mut closed = [0; 5];
    for number in 0..times {
        let was = Scene::set(wire, &server, number).await.run().await;
        closed
            .iter_mut()
            .zip(was)
            .for_each(|(count, was)| *count += usize::from(was));
    }
    println!("busy, connecting, queued, severed, waited for: {closed:?}");
    // A session makes few connections over HTTP/2.
    assert!(
        closed.iter().all(|&count| count > times / 200),
        "{closed:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn when_a_close_returns_nothing_is_open_whatever_the_moment() {
    close_at_random_moments(Wire::Http1, CLOSES).await;
}

#[cfg(feature = "http2")]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn when_a_close_returns_nothing_is_open_over_http2() {
    close_at_random_moments(Wire::Http2, CLOSES).await;
}

#[cfg(all(feature = "http2", feature = "native-tls"))]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn when_a_close_returns_nothing_is_open_over_http2_and_tls() {
    close_at_random_moments(Wire::Http2Tls, CLOSES / 5).await;
}
