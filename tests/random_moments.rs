//! Closes at random moments of a busy session: when they return, nothing of it is open.

mod support;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::join;
use futures::stream;
use hyper_session::{
    Body, CloseReport, DefaultConnector, Error, ErrorKind, Result, Session, SessionBuilder,
    SessionHolder, WhenClosed,
};
use support::accounts::{Accounts, assert_accounts};
use support::connectors::{Counting, Fate, Fated};
use support::dice::Dice;
use support::gate::Gate;
use support::server::{Server, echo, full, respond};
use support::tally::PATIENCE;
use tokio::task::{JoinHandle, yield_now};
use tokio::time::timeout;

const SEED: u64 = 0x5eed_0004;
const CLOSES: usize = 1000;
const LIMIT: usize = 4;
/// More than is read off a body that nobody wants.
const LARGE: usize = 300_000;

type Connector = Fated<DefaultConnector>;
type Network = Counting<Connector>;
type Holder = SessionHolder<Network>;

/// A session's network: some of its connects wait behind the gate.
fn network(gate: &Gate, mut dice: Dice) -> Network {
    let slow: Vec<_> = (0..8).map(|_| dice.one_in(4)).collect();
    let gate = gate.clone();
    let connector = DefaultConnector::new().expect("a connector");
    Counting::new(Fated::new(connector, move |number| {
        match slow[number % slow.len()] {
            true => Fate::Behind(gate.clone()),
            false => Fate::Made,
        }
    }))
}

fn builder(network: &Network) -> SessionBuilder<Network> {
    let builder = SessionHolder::builder().connector(network.clone());
    builder
        .pool_max_connections(LIMIT)
        .when_closed(WhenClosed::Refuse)
}

/// One thing that a caller does with a session.
async fn deed(session: Session, url: Arc<str>, mut dice: Dice) -> Result<()> {
    match dice.below(5) {
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
        _ => {
            // Given up, in whichever phase it is.
            let answer = session.get(format!("{url}/large")).send();
            let patience = Duration::from_millis(1);
            let _ = timeout(patience, async { answer.await?.bytes().await }).await;
        }
    }
    Ok(())
}

/// Deed after deed, as calls of the holder or on a bare handle, until the session is closed.
async fn caller(holder: Holder, url: Arc<str>, number: usize, seed: u64) {
    for round in 0.. {
        let dice = Dice::of(seed, number * 1000 + round);
        let done = if number % 2 == 0 {
            let url = Arc::clone(&url);
            holder
                .with_session(|session| deed(session, url, dice))
                .await
        } else {
            match holder.session() {
                Ok(session) => deed(session, Arc::clone(&url), dice).await,
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

/// One close and what led to it.
struct Scene {
    server: Arc<Server>,
    seed: u64,
    dice: Dice,
    gate: Gate,
    networks: Vec<Network>,
    holder: Holder,
    callers: Vec<JoinHandle<()>>,
}

impl Scene {
    async fn set(server: &Arc<Server>, number: usize) -> Self {
        let mut dice = Dice::of(SEED, number);
        let seed = SEED ^ ((number as u64) << 32);
        let gate = Gate::new();
        let network = network(&gate, dice.clone());
        let holder = builder(&network).build().expect("valid settings");
        holder.start_session().await.expect("it opens");
        let url: Arc<str> = server.url("").into();
        let callers = (0..2 + dice.below(8)).map(|number| {
            let (holder, url) = (holder.clone(), Arc::clone(&url));
            tokio::spawn(caller(holder, url, number, seed))
        });
        Self {
            server: Arc::clone(server),
            seed,
            callers: callers.collect(),
            dice,
            gate,
            networks: vec![network],
            holder,
        }
    }

    /// Lets the callers run until so many more requests have come as chance will have it, and then
    /// a little; or, when connects hold all of them up, for a while.
    async fn wait_a_random_while(&mut self) {
        let enough = self.server.requests() + self.dice.below(40);
        let mut patience = 3000;
        while self.server.requests() < enough && patience > 0 {
            patience -= 1;
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
        let network = network(&self.gate, self.dice.clone());
        self.networks.push(network.clone());
        let swapped = self.holder.start_session_with(builder(&network)).await;
        swapped.expect("nobody closes meanwhile");
    }

    /// Closes it in one of all the ways.
    async fn close(&mut self) -> CloseReport {
        let limit = Duration::from_millis(self.dice.below(3) as u64);
        let holder = self.holder.clone();
        match self.dice.below(4) {
            0 => holder.close_session_within(limit).await,
            1 => {
                // Waits for as long as it takes; no connect may then wait for this test.
                self.gate.open_for_good();
                holder.close_session().await
            }
            2 => {
                let closes = join(holder.close_session(), holder.close_session_within(limit));
                let (patient, strict) = closes.await;
                self.check(&strict);
                patient
            }
            _ => self.close_against_a_start(limit).await,
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

    /// Says what there was to close.
    async fn run(mut self) -> Closed {
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
        Closed {
            busy: before.in_use.min(1),
            connecting: before.connecting.min(1),
            queued: before.waiting.saturating_sub(before.connecting).min(1),
            severed: report.severed.min(1),
            patient: usize::from(report.severed == 0 && before.exchanges > 0),
        }
    }
}

/// How many closes there were of each kind.
#[derive(Debug, Default)]
struct Closed {
    busy: usize,
    connecting: usize,
    queued: usize,
    severed: usize,
    /// Those that waited for exchanges to end.
    patient: usize,
}

impl Closed {
    fn and(&mut self, other: &Self) {
        self.busy += other.busy;
        self.connecting += other.connecting;
        self.queued += other.queued;
        self.severed += other.severed;
        self.patient += other.patient;
    }

    fn all(&self) -> [usize; 5] {
        let Self {
            busy,
            connecting,
            queued,
            severed,
            patient,
        } = *self;
        [busy, connecting, queued, severed, patient]
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn when_a_close_returns_nothing_is_open_whatever_the_moment() {
    let large = Bytes::from(vec![b'x'; LARGE]);
    let server = Arc::new(Server::start(async move |request| {
        match request.uri().path() {
            "/large" => respond(http::StatusCode::OK, full(large.clone())),
            _ => echo(request),
        }
    }));
    let mut closed = Closed::default();
    for number in 0..CLOSES {
        closed.and(&Scene::set(&server, number).await.run().await);
    }
    println!("{closed:?}");
    assert!(
        closed.all().iter().all(|&times| times > CLOSES / 20),
        "{closed:?}"
    );
}
