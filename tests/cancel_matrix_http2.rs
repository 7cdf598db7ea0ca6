//! Every phase of a request over HTTP/2, by everything that can become of it there, by every way to end
//! it: what comes of it, and that the books and the network agree that nothing is left.
//!
//! As in `cancel_matrix`, all connections are in memory and time is paused. There is one connection with
//! one stream: a place of either that does not come back hangs the next request.
#![cfg(feature = "http2")]

mod support;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use bytes::Bytes;
use futures::future::{BoxFuture, join};
use futures::{FutureExt, StreamExt, stream};
use hyper_session::{
    Body, BoxConnector, CloseReport, ErrorKind, Result, Session, SessionHolder, TimeoutPhase,
    WhenClosed,
};
use support::accounts::{Accounts, AliveTasks, assert_accounts};
use support::connectors::Counting;
use support::outcome::{assert_waits, drive_until, expect_closed};
use support::stages::{Fate, Point, Stage, http2_network};
use tokio::runtime::Builder;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

/// Every limit of a request.
const LIMIT: Duration = Duration::from_secs(30);
/// After that, all is over that is going to be: an upload that is never taken is given up after 31 s.
const SETTLED: Duration = Duration::from_secs(45);
/// A close that waits for everything but what never ends.
const PATIENT: Duration = Duration::from_secs(5);
/// A close that waits for nothing that takes its time.
const HASTY: Duration = Duration::from_millis(100);

/// What is under way when the end comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The request waits for the only stream, whose exchange fares as told.
    Queue,
    /// The request waits for the connection that another one has made for both, which fares as told.
    Behind,
    Resolve,
    Connect,
    #[cfg_attr(
        not(feature = "native-tls"),
        expect(dead_code, reason = "there is no TLS")
    )]
    Tls,
    /// Not a byte of the protocol's preface is taken.
    Preface,
    /// The source of the request's body gives no more.
    UploadSource,
    /// The peer takes no more of the connection.
    UploadPeer,
    Head,
    Body,
}

/// The way to end it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// Somebody waits for the end, or the limit.
    Driven,
    /// It is dropped in the phase.
    Dropped,
    /// The session is closed with a deadline that passes.
    Cut,
    /// The session is closed with a deadline that only passes for what never ends.
    Closed,
    /// The same, beside a close without one.
    ClosedTwice,
}

const FATES: [Fate; 4] = [Fate::Ok, Fate::Error, Fate::Slow, Fate::Never];
const ENDINGS: [Ending; 5] = [
    Ending::Driven,
    Ending::Dropped,
    Ending::Cut,
    Ending::Closed,
    Ending::ClosedTwice,
];

/// What comes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Answered,
    Failed { kind: ErrorKind, sent: bool },
}

use Outcome::Answered;

fn failed(kind: ErrorKind, sent: bool) -> Outcome {
    Outcome::Failed { kind, sent }
}

fn timed_out(phase: TimeoutPhase, sent: bool) -> Outcome {
    failed(ErrorKind::Timeout(phase), sent)
}

impl Phase {
    fn stage(self) -> Stage {
        match self {
            Self::Queue | Self::Body => Stage::LargeBody,
            Self::Behind | Self::Connect => Stage::Connect,
            Self::Resolve => Stage::Resolve,
            Self::Tls => Stage::Tls,
            Self::Preface => Stage::WriteHead,
            Self::UploadSource => Stage::Elsewhere,
            Self::UploadPeer => Stage::WriteBody,
            Self::Head => Stage::Head,
        }
    }

    /// What the books say in the phase.
    fn during(self) -> Accounts {
        let connecting = Accounts::NONE.and_connecting(1);
        match self {
            Self::Queue => Accounts::busy(1).and_queued(1),
            Self::Behind => connecting.and_queued(1),
            Self::Resolve | Self::Connect | Self::Tls | Self::Preface => connecting,
            Self::UploadSource | Self::UploadPeer | Self::Head | Self::Body => Accounts::busy(1),
        }
    }

    /// Whether it may have gone out.
    fn is_sent(self) -> bool {
        self.during() == Accounts::busy(1)
    }

    /// What comes of it if nobody interferes: when it fails, and when it never ends.
    fn outcomes(self) -> [Outcome; 2] {
        let unsent = |kind| [failed(kind, false), timed_out(TimeoutPhase::Connect, false)];
        match self {
            // The place of a connection that breaks is the next one's.
            Self::Queue => [Answered, timed_out(TimeoutPhase::Pool, false)],
            Self::Behind => [Answered, Answered],
            Self::Resolve | Self::Connect | Self::Preface => unsent(ErrorKind::Connect),
            Self::Tls => unsent(ErrorKind::Tls),
            Self::UploadSource => [
                failed(ErrorKind::Body, true),
                timed_out(TimeoutPhase::Write, true),
            ],
            Self::UploadPeer => [
                failed(ErrorKind::Protocol, true),
                timed_out(TimeoutPhase::Write, true),
            ],
            Self::Head => [
                failed(ErrorKind::Protocol, true),
                timed_out(TimeoutPhase::Head, true),
            ],
            Self::Body => [
                failed(ErrorKind::BodyTruncated, true),
                timed_out(TimeoutPhase::Read, true),
            ],
        }
    }
}

/// One cell of the matrix.
#[derive(Clone, Copy)]
struct Case {
    phase: Phase,
    fate: Fate,
    ending: Ending,
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} x {:?} x {:?}", self.phase, self.fate, self.ending)
    }
}

impl Case {
    fn is_closed(self) -> bool {
        !matches!(self.ending, Ending::Driven | Ending::Dropped)
    }

    /// Whether the close cuts it.
    fn is_cut(self) -> bool {
        self.ending == Ending::Cut || (self.is_closed() && self.fate == Fate::Never)
    }

    fn outcome(self) -> Outcome {
        let [badly, never] = self.phase.outcomes();
        match self.fate {
            _ if self.is_cut() => failed(ErrorKind::Closed, self.phase.is_sent()),
            Fate::Ok | Fate::Slow => Answered,
            Fate::Error => badly,
            Fate::Never => never,
        }
    }

    /// How many connections are left, idle.
    fn left(self) -> usize {
        let is_driven = self.ending == Ending::Driven;
        let is_left = match self.phase {
            _ if self.is_closed() => false,
            // They end with their request, if it does not get them.
            Phase::Resolve | Phase::Connect | Phase::Tls | Phase::Preface => {
                is_driven && self.outcome() == Answered
            }
            Phase::Queue | Phase::Behind if is_driven => true,
            Phase::Behind => matches!(self.fate, Fate::Ok | Fate::Slow),
            // Its holder is dropped in the end.
            Phase::Queue => self.fate != Fate::Error,
            // Only the stream ends.
            Phase::UploadSource => true,
            Phase::Head | Phase::Body => !is_driven || self.fate != Fate::Error,
            // What cannot be written breaks the connection.
            Phase::UploadPeer => matches!(self.fate, Fate::Ok | Fate::Slow),
        };
        usize::from(is_left)
    }

    fn run(self) {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build();
        let runtime = runtime.expect("a runtime can be built");
        // Paused time only passes when nothing can go on.
        let hour = Duration::from_secs(3600);
        let ended = runtime.block_on(async { timeout(hour, check(self)).await });
        ended.expect("no hang");
    }
}

/// The session under test, and what goes on in it.
struct World {
    phase: Phase,
    network: Counting<BoxConnector>,
    point: Point,
    holder: SessionHolder<Counting<BoxConnector>>,
    session: Session,
    /// The exchange that has, or makes, the only connection.
    holding: Option<JoinHandle<Result<String>>>,
}

impl World {
    async fn open(case: Case) -> Self {
        let stage = case.phase.stage();
        let point = Point::new(case.fate);
        let network = Counting::new(http2_network(stage, &point));
        let mut builder = SessionHolder::builder()
            .connector(network.clone())
            .pool_max_connections(1)
            .pool_timeout(LIMIT)
            .connect_timeout(LIMIT)
            .write_timeout(LIMIT)
            .head_timeout(LIMIT)
            .read_timeout(LIMIT)
            .pool_idle_timeout(SETTLED * 4)
            .when_closed(WhenClosed::Refuse);
        if case.phase == Phase::Queue {
            // The limit of the exchange which has the stream does not end the queue.
            builder = builder.read_timeout(LIMIT * 10);
        }
        if stage != Stage::Tls {
            builder = builder.http2_prior_knowledge();
        }
        let holder = builder.build().expect("valid settings");
        holder.start_session().await.expect("nothing is opened yet");
        let session = holder.session().expect("it was started");
        Self {
            phase: case.phase,
            network,
            point,
            holder,
            session,
            holding: None,
        }
    }

    fn url(&self, path: &str) -> String {
        let scheme = match self.phase {
            Phase::Tls => "https",
            _ => "http",
        };
        format!("{scheme}://localhost{path}")
    }

    async fn get(&self, path: &str) -> Result<String> {
        self.session.get(self.url(path)).send().await?.text().await
    }

    /// What is going to be in the phase.
    async fn subject(&mut self) -> BoxFuture<'static, Outcome> {
        let mut path = "/held";
        match self.phase {
            Phase::Queue => {
                let response = self.session.get(self.url("/held")).send().await;
                let response = response.expect("a head");
                self.holding = Some(tokio::spawn(response.text()));
                path = "/queued";
            }
            Phase::Behind => {
                let first = self.session.get(self.url("/first")).send();
                self.holding = Some(tokio::spawn(async { first.await?.text().await }));
                self.point.gate.wait_reached(1).await;
            }
            _ => {}
        }
        let mut request = self.holder.post(self.url(path));
        match self.phase {
            Phase::UploadSource => {
                let point = self.point.clone();
                let parts = stream::iter([Ok(Bytes::from("part"))]);
                let rest = stream::once(async move { point.meet().await.map(|()| "rest".into()) });
                request = request.body(Body::wrap_stream(parts.chain(rest)));
            }
            Phase::UploadPeer => request = request.body(vec![b'x'; 1_000_000]),
            _ => {}
        }
        async move {
            let answer = async { request.send().await?.text().await }.await;
            answer.map_or_else(|error| failed(error.kind(), error.was_sent()), |_| Answered)
        }
        .boxed()
    }

    /// Checks the books, and that the network says the same.
    #[track_caller]
    fn assert_accounts(&self, expected: Accounts) {
        let (stats, numbers) = (self.session.stats(), self.network.numbers());
        assert_accounts(&stats, expected);
        // The preface is the pool's, and not its connector's.
        assert_eq!(
            numbers.live + numbers.connecting,
            stats.open + stats.connecting,
            "{stats:?}"
        );
        assert!(numbers.peak <= 1, "{numbers:?}");
    }

    async fn close(&self, case: Case) {
        if case.ending != Ending::Cut {
            self.point.gate.open();
        }
        let within = |limit| self.holder.close_session_within(limit);
        let report = match case.ending {
            Ending::Cut => within(HASTY).await,
            Ending::ClosedTwice => {
                let (strict, patient) = join(within(PATIENT), self.holder.close_session()).await;
                assert_shut(&patient);
                strict
            }
            _ => within(PATIENT).await,
        };
        assert_shut(&report);
        let is_cut = report.severed + report.leases_left > 0;
        assert_eq!(is_cut, case.is_cut(), "{report:?}");
        let numbers = self.network.numbers();
        assert_eq!((numbers.live, numbers.connecting), (0, 0), "{numbers:?}");
    }
}

#[track_caller]
fn assert_shut(report: &CloseReport) {
    let left = (report.stats.open, report.stats.connecting);
    assert_eq!(left, (0, 0), "{report:?}");
}

async fn check(case: Case) {
    let tasks = AliveTasks::now();
    let mut world = World::open(case).await;
    let mut subject = world.subject().await;
    drive_until(subject.as_mut(), world.point.gate.wait_reached(1)).await;
    assert_waits(subject.as_mut()).await;
    world.assert_accounts(case.phase.during());
    match case.ending {
        Ending::Driven => {
            world.point.gate.open();
            assert_eq!(subject.await, case.outcome());
        }
        Ending::Dropped => {
            drop(subject);
            // The peer hears of it before anything else happens.
            sleep(HASTY).await;
            world.point.gate.open();
        }
        Ending::Cut => {
            world.close(case).await;
            // What comes now is too late.
            world.point.gate.open();
            // It must not take a time limit to find out.
            let began = Instant::now();
            assert_eq!(subject.await, case.outcome());
            assert!(began.elapsed() < HASTY, "{:?}", began.elapsed());
        }
        Ending::Closed | Ending::ClosedTwice => {
            // By itself, so that whatever ends it has to wake it.
            let subject = tokio::spawn(subject);
            world.close(case).await;
            assert_eq!(subject.await.expect("no panic"), case.outcome());
        }
    }
    sleep(SETTLED).await;
    if let Some(holding) = world.holding.take() {
        holding.abort();
        // Cancelled, or its answer.
        let _ = holding.await;
        sleep(SETTLED).await;
    }
    world.assert_accounts(Accounts::idle(case.left()));
    if case.is_closed() {
        tasks.assert_back().await;
        expect_closed(world.get("/next").await);
        world.holder.start_session().await.expect("it opens again");
        world.session = world.holder.session().expect("it was started");
    }
    for _ in 0..2 {
        assert_eq!(world.get("/next").await.expect("an answer"), "ok");
        world.assert_accounts(Accounts::idle(1));
    }
    world.holder.close_session().await;
    assert_eq!(world.network.numbers().live, 0);
    drop(world);
    tasks.assert_back().await;
}

/// Checks a line of the matrix, and names the cells that failed.
#[track_caller]
fn check_phase(phase: Phase) {
    let cases = FATES.into_iter().flat_map(|fate| {
        ENDINGS.map(|ending| Case {
            phase,
            fate,
            ending,
        })
    });
    let failed: Vec<_> = cases
        .filter(|case| {
            eprintln!("{case:?}");
            catch_unwind(AssertUnwindSafe(|| case.run())).is_err()
        })
        .collect();
    assert!(failed.is_empty(), "these failed: {failed:#?}");
}

#[test]
fn a_request_that_queues_for_a_stream_gives_its_place_back() {
    check_phase(Phase::Queue);
}

#[test]
fn a_request_that_waits_for_anothers_connection_gives_its_place_back() {
    check_phase(Phase::Behind);
}

#[test]
fn a_request_whose_host_is_being_resolved_gives_its_permit_back() {
    check_phase(Phase::Resolve);
}

#[test]
fn a_request_whose_connection_is_being_made_gives_connection_and_permit_back() {
    check_phase(Phase::Connect);
}

#[cfg(feature = "native-tls")]
#[test]
fn a_request_in_the_handshake_gives_connection_and_permit_back() {
    check_phase(Phase::Tls);
}

#[test]
fn a_request_whose_preface_is_not_taken_gives_connection_and_permit_back() {
    check_phase(Phase::Preface);
}

#[test]
fn a_request_whose_body_comes_no_further_frees_its_stream() {
    check_phase(Phase::UploadSource);
}

#[test]
fn a_request_whose_body_is_taken_no_further_frees_its_connection() {
    check_phase(Phase::UploadPeer);
}

#[test]
fn a_request_that_waits_for_the_head_frees_its_stream() {
    check_phase(Phase::Head);
}

#[test]
fn a_response_in_the_middle_of_its_body_frees_its_stream() {
    check_phase(Phase::Body);
}
