//! Every phase of a request, and of a close, by everything that can become of it there, by every way
//! to end it: what comes of it, what the books say at once and later, and that nothing is left.
//!
//! All connections are in memory and time is paused, so no case depends on how fast anything is. The
//! limit is one connection: a permit that does not come back hangs the next request.

mod support;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, stream};
use hyper_session::{
    Body, BoxConnector, ErrorKind, Result, Session, SessionHolder, TimeoutPhase, WhenClosed,
};
use tokio::runtime::Builder;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use support::accounts::{Accounts, AliveTasks, assert_accounts};
use support::connectors::Counting;
use support::outcome::{assert_waits, drive_until, expect_closed};
use support::stages::{Fate, Point, SLOW, Stage, network};

/// Every limit of a request.
const LIMIT: Duration = Duration::from_secs(30);

/// After that, all is over that is going to be, and what idles still does.
const SETTLED: Duration = Duration::from_secs(20);

/// A close that waits for everything but what never ends.
const PATIENT: Duration = Duration::from_secs(5);

/// A close that waits for nothing that takes its time.
const HASTY: Duration = Duration::from_millis(100);

/// That of the clock in paused time.
const PRECISION: Duration = Duration::from_millis(5);

/// How long a goodbye may take.
const GOODBYE: Duration = Duration::from_secs(1);

const _: () = assert!(HASTY.as_millis() < SLOW.as_millis() && SLOW.as_millis() < 1000);

/// What is under way when the end comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The request waits for the only connection, whose exchange fares as told.
    Queue,
    Resolve,
    Connect,
    #[cfg_attr(
        not(feature = "native-tls"),
        expect(dead_code, reason = "there is no TLS")
    )]
    Tls,
    WriteHead,
    /// The source of the request's body gives no more.
    UploadSource,
    /// The peer takes no more of the request's body.
    UploadPeer,
    Head,
    Body,
    /// The response has been dropped, and its small rest is awaited.
    Drain,
    /// A close waits for its hook, which waits for something of its own.
    ClosingHook,
    /// A close waits for its hook, which waits for an answer.
    ClosingRequest,
    /// A close says goodbye to an idle connection.
    Goodbye,
}

/// The way to end it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// Somebody waits for the end, or the limit.
    Driven,
    /// It is dropped in the phase.
    Dropped,
    /// It is dropped when all that can go on without it has gone on.
    DroppedLate,
    /// The session is closed with a deadline that passes, and nobody polls it until that is over.
    Cut,
    /// The session is closed with a deadline that only passes for what never ends.
    Closed,
}

const FATES: [Fate; 4] = [Fate::Ok, Fate::Error, Fate::Slow, Fate::Never];

const ENDINGS: [Ending; 5] = [
    Ending::Driven,
    Ending::Dropped,
    Ending::DroppedLate,
    Ending::Cut,
    Ending::Closed,
];

/// What comes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Answered,
    Failed {
        kind: ErrorKind,
        sent: bool,
    },
    /// Of a drain or a close.
    Over,
}

use Outcome::{Answered, Over};

/// One line of the table.
struct Row {
    phase: Phase,
    stage: Stage,
    /// What the books say in the phase.
    during: Accounts,
    /// What comes of it if nobody interferes: when it goes well (or late), fails, never ends.
    outcomes: [Outcome; 3],
}

impl Phase {
    fn row(self) -> Row {
        let connecting = Accounts::NONE.and_connecting(1);
        let busy = Accounts::busy(1);
        let after_close = Accounts {
            open: 1,
            in_use: 1,
            ..Accounts::NONE
        };
        let (stage, during, outcomes) = match self {
            // The place of a connection that breaks is the next one's.
            Self::Queue => (
                Stage::SmallBody,
                busy.and_queued(1),
                [Answered, Answered, timed_out(TimeoutPhase::Pool)],
            ),
            Self::Resolve => (Stage::Resolve, connecting, unsent(ErrorKind::Connect)),
            Self::Connect => (Stage::Connect, connecting, unsent(ErrorKind::Connect)),
            Self::Tls => (Stage::Tls, connecting, unsent(ErrorKind::Tls)),
            Self::WriteHead => (
                Stage::WriteHead,
                busy,
                sent(ErrorKind::Protocol, TimeoutPhase::Head),
            ),
            Self::UploadSource => (
                Stage::Elsewhere,
                busy,
                sent(ErrorKind::Body, TimeoutPhase::Write),
            ),
            Self::UploadPeer => (
                Stage::WriteBody,
                busy,
                sent(ErrorKind::Protocol, TimeoutPhase::Write),
            ),
            Self::Head => (
                Stage::Head,
                busy,
                sent(ErrorKind::Protocol, TimeoutPhase::Head),
            ),
            Self::Body => (
                Stage::LargeBody,
                busy,
                [
                    Answered,
                    failed(ErrorKind::BodyTruncated, true),
                    failed(ErrorKind::Timeout(TimeoutPhase::Read), true),
                ],
            ),
            Self::Drain => (Stage::SmallBody, busy, [Over; 3]),
            Self::ClosingHook => (Stage::Elsewhere, Accounts::idle(1), [Over; 3]),
            Self::ClosingRequest => (Stage::Head, busy, [Over; 3]),
            Self::Goodbye => (Stage::Shutdown, after_close, [Over; 3]),
        };
        Row {
            phase: self,
            stage,
            during,
            outcomes,
        }
    }

    fn is_close(self) -> bool {
        matches!(
            self,
            Self::ClosingHook | Self::ClosingRequest | Self::Goodbye
        )
    }

    /// Whether a byte of the request may have gone out.
    fn is_sending(self) -> bool {
        matches!(
            self,
            Self::WriteHead | Self::UploadSource | Self::UploadPeer | Self::Head | Self::Body
        )
    }
}

fn failed(kind: ErrorKind, sent: bool) -> Outcome {
    Outcome::Failed { kind, sent }
}

fn timed_out(phase: TimeoutPhase) -> Outcome {
    failed(ErrorKind::Timeout(phase), false)
}

fn unsent(error: ErrorKind) -> [Outcome; 3] {
    let late = timed_out(TimeoutPhase::Connect);
    [Answered, failed(error, false), late]
}

fn sent(error: ErrorKind, phase: TimeoutPhase) -> [Outcome; 3] {
    let late = failed(ErrorKind::Timeout(phase), true);
    [Answered, failed(error, true), late]
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
    /// What comes of it.
    fn outcome(self) -> Outcome {
        let [well, badly, never] = self.phase.row().outcomes;
        match (self.ending, self.fate) {
            _ if well == Over => Over,
            (Ending::Cut, _) | (Ending::Closed, Fate::Never) => {
                failed(ErrorKind::Closed, self.phase.is_sending())
            }
            (_, Fate::Ok | Fate::Slow) => well,
            (_, Fate::Error) => badly,
            (_, Fate::Never) => never,
        }
    }

    /// What the books say of a session that was not closed: at once, and when all is settled.
    fn accounts(self) -> (Accounts, Accounts) {
        let goes_well = matches!(self.fate, Fate::Ok | Fate::Slow);
        let rest = match self.fate {
            Fate::Ok | Fate::Slow => Accounts::idle(1),
            Fate::Error => Accounts::NONE,
            Fate::Never => Accounts::busy(1),
        };
        match (self.phase, self.ending) {
            _ if self.is_closed() => (Accounts::NONE, Accounts::NONE),
            // The exchange that has the connection goes its own way.
            (Phase::Queue, Ending::Dropped) => (Accounts::busy(1), rest),
            (Phase::Queue, Ending::DroppedLate) => (rest, rest),
            (Phase::Queue, _) if self.fate == Fate::Never => (rest, rest),
            (Phase::Drain, _) if goes_well => (rest, rest),
            (_, Ending::Driven) if self.outcome() == Answered => {
                (Accounts::idle(1), Accounts::idle(1))
            }
            _ => (Accounts::NONE, Accounts::NONE),
        }
    }

    /// What the deadline of a close finds: connections, leases.
    fn cut(self) -> (usize, usize) {
        let never = self.fate == Fate::Never;
        match (self.phase, self.ending) {
            // A drain is nobody's, and closed at once; a goodbye is given up before the deadline;
            // an idle connection is not cut.
            (Phase::Drain | Phase::ClosingHook, _) | (Phase::Goodbye, Ending::Closed) => (0, 0),
            (Phase::ClosingRequest, Ending::Closed) => (usize::from(never), 0),
            (Phase::ClosingRequest | Phase::Goodbye, _) => (1, 0),
            // The connection has broken, and its place was not taken up yet.
            (Phase::Queue, Ending::Cut) if self.fate == Fate::Error => (0, 1),
            (phase, ending) => {
                let cut = usize::from(never || ending == Ending::Cut);
                // Once its head is there, a request's lease is back.
                (cut, if phase == Phase::Body { 0 } else { cut })
            }
        }
    }

    /// How long a close takes.
    fn took(self) -> Duration {
        match (self.phase, self.ending, self.fate) {
            (Phase::Drain, ..) => Duration::ZERO,
            (_, Ending::Cut, _) => HASTY,
            (_, _, Fate::Ok | Fate::Error) => Duration::ZERO,
            (_, _, Fate::Slow) => SLOW,
            (Phase::Goodbye, _, Fate::Never) => GOODBYE,
            (_, _, Fate::Never) => PATIENT,
        }
    }

    /// What the deadline leaves of it until it is polled again: an exchange that has nothing any more.
    fn shell(self) -> Accounts {
        match self.phase {
            Phase::Drain | Phase::ClosingHook | Phase::Goodbye => Accounts::NONE,
            Phase::Queue | Phase::Resolve | Phase::Connect | Phase::Tls => {
                Accounts::NONE.and_queued(1)
            }
            _ => Accounts {
                exchanges: 1,
                ..Accounts::NONE
            },
        }
    }

    /// Whether the session is closed in the end.
    fn is_closed(self) -> bool {
        self.phase.is_close() || matches!(self.ending, Ending::Cut | Ending::Closed)
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
    row: Row,
    network: Counting<BoxConnector>,
    point: Point,
    holder: SessionHolder<Counting<BoxConnector>>,
    session: Session,
    /// The exchange that has the only connection.
    holding: Option<JoinHandle<Result<String>>>,
}

impl World {
    async fn open(case: Case) -> Self {
        let row = case.phase.row();
        let point = Point::new(case.fate);
        let network = Counting::new(network(row.stage, &point));
        let mut builder = SessionHolder::builder()
            .http1_only()
            .connector(network.clone())
            .pool_max_connections(1)
            .pool_timeout(LIMIT)
            .connect_timeout(LIMIT)
            .write_timeout(LIMIT)
            .head_timeout(LIMIT)
            // Longer: that of the exchange which has the connection does not end the queue.
            .read_timeout(LIMIT * 10)
            .when_closed(WhenClosed::Refuse);
        match case.phase {
            // How they fare is told by the books.
            Phase::ClosingHook => {
                let point = point.clone();
                builder = builder.on_close(move |_| {
                    let point = point.clone();
                    async move { drop(point.meet().await) }
                });
            }
            Phase::ClosingRequest => {
                builder = builder.on_close(|session| async move {
                    drop(session.get("http://localhost/held").send().await);
                });
            }
            _ => {}
        }
        let holder = builder.build().expect("valid settings");
        holder.start_session().await.expect("nothing is opened yet");
        let session = holder.session().expect("it was started");
        Self {
            row,
            network,
            point,
            holder,
            session,
            holding: None,
        }
    }

    fn url(&self, path: &str) -> String {
        let scheme = match self.row.stage {
            Stage::Tls => "https",
            _ => "http",
        };
        format!("{scheme}://localhost{path}")
    }

    async fn get(&self, path: &str) -> Result<String> {
        self.session.get(self.url(path)).send().await?.text().await
    }

    /// What is going to be in the phase.
    async fn subject(&mut self, case: Case) -> BoxFuture<'static, Outcome> {
        let holder = self.holder.clone();
        let path = match self.row.phase {
            Phase::Queue => "/queued",
            _ => "/held",
        };
        let mut request = holder.post(self.url(path));
        match self.row.phase {
            Phase::Queue => {
                let response = self.session.get(self.url("/held")).send().await;
                let response = response.expect("a head");
                self.holding = Some(tokio::spawn(response.text()));
            }
            Phase::UploadSource => {
                let point = self.point.clone();
                let parts = stream::iter([Ok(Bytes::from("part"))]);
                let rest = stream::once(async move { point.meet().await.map(|()| "rest".into()) });
                request = request.body(Body::wrap_stream(parts.chain(rest)));
            }
            Phase::UploadPeer => request = request.body(vec![b'x'; 1_000_000]),
            Phase::Drain => {
                drop(request.send().await.expect("a head"));
                let session = self.session.clone();
                return async move {
                    while session.stats().in_use > 0 {
                        sleep(Duration::from_millis(1)).await;
                    }
                    Over
                }
                .boxed();
            }
            Phase::ClosingHook | Phase::ClosingRequest | Phase::Goodbye => {
                self.get("/before").await.expect("an answer");
                let is_endless = (case.fate, case.ending) == (Fate::Never, Ending::Driven);
                return async move {
                    if is_endless {
                        holder.close_session_within(LIMIT).await;
                    } else {
                        holder.close_session().await;
                    }
                    Over
                }
                .boxed();
            }
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
        assert_eq!(
            (numbers.live, numbers.connecting, numbers.made as u64),
            (stats.open, stats.connecting, stats.opened),
            "{stats:?}"
        );
        assert!(numbers.peak <= 1, "{numbers:?}");
    }

    async fn close_within(&self, limit: Duration, case: Case) {
        self.point.gate.open();
        let began = Instant::now();
        let report = self.holder.close_session_within(limit).await;
        let late = began.elapsed().saturating_sub(case.took());
        assert!(
            began.elapsed() >= case.took() && late < PRECISION,
            "{:?}",
            began.elapsed()
        );
        let cut = (report.severed, report.leases_left);
        assert_eq!(cut, case.cut(), "severed, leases left: {report:?}");
        let left = (report.stats.open, report.stats.connecting);
        assert_eq!(left, (0, 0), "{report:?}");
        assert_eq!(self.network.numbers().live, 0);
    }

    /// The same session goes on.
    async fn assert_goes_on(&self) {
        let idle = self.session.stats().idle;
        let asked = self.network.numbers().asked;
        for _ in 0..2 {
            assert_eq!(self.get("/next").await.expect("an answer"), "ok");
            self.assert_accounts(Accounts::idle(1));
        }
        assert_eq!(self.network.numbers().asked, asked + 1 - idle);
    }

    /// The session is closed for good, and the holder opens another.
    async fn assert_opens_again(&mut self) {
        expect_closed(self.get("/next").await);
        self.assert_accounts(Accounts::NONE);
        self.holder.start_session().await.expect("it opens again");
        self.session = self.holder.session().expect("it was started");
        assert_eq!(self.get("/next").await.expect("an answer"), "ok");
        assert_accounts(&self.session.stats(), Accounts::idle(1));
        assert_eq!(self.network.numbers().live, 1);
    }
}

async fn check(case: Case) {
    let tasks = AliveTasks::now();
    let mut world = World::open(case).await;
    let mut subject = world.subject(case).await;
    drive_until(subject.as_mut(), world.point.gate.wait_reached(1)).await;
    assert_waits(subject.as_mut()).await;
    world.assert_accounts(world.row.during);
    match case.ending {
        Ending::Driven => {
            world.point.gate.open();
            assert_eq!(subject.await, case.outcome());
        }
        Ending::Dropped if case.phase == Phase::Drain => {
            drop(subject);
            return check_dropped_session(world, tasks).await;
        }
        Ending::Dropped => {
            drop(subject);
            world.point.gate.open();
        }
        Ending::DroppedLate => {
            world.point.gate.open();
            sleep(SETTLED).await;
            drop(subject);
        }
        Ending::Cut => {
            world.close_within(HASTY, case).await;
            world.assert_accounts(case.shell());
            assert_at_once(subject, case.outcome()).await;
        }
        Ending::Closed => {
            // By itself, so that whatever ends it has to wake it.
            let subject = tokio::spawn(subject);
            world.close_within(PATIENT, case).await;
            let outcome = subject.map(|ended| ended.expect("no panic"));
            assert_at_once(outcome, case.outcome()).await;
        }
    }
    let (at_once, settled) = case.accounts();
    world.assert_accounts(at_once);
    sleep(SETTLED).await;
    world.assert_accounts(settled);
    if settled == Accounts::NONE {
        tasks.assert_back().await;
    }
    if let Some(holding) = world.holding.take() {
        holding.abort();
        // Cancelled, or its answer.
        let _ = holding.await;
    }
    if case.is_closed() {
        world.assert_opens_again().await;
    } else {
        world.assert_goes_on().await;
    }
    world.holder.close_session().await;
    assert_eq!(world.network.numbers().live, 0);
    drop(world);
    tasks.assert_back().await;
}

/// It must not take a time limit to find out.
async fn assert_at_once(outcome: impl Future<Output = Outcome>, expected: Outcome) {
    let began = Instant::now();
    assert_eq!(outcome.await, expected);
    assert!(began.elapsed() < PRECISION, "{:?}", began.elapsed());
}

/// A drain is nobody's, and so can only be dropped with its session.
async fn check_dropped_session(world: World, tasks: AliveTasks) {
    let World {
        network,
        point,
        holder,
        session,
        ..
    } = world;
    drop((holder, session));
    assert_eq!(network.numbers().live, 0);
    point.gate.open();
    tasks.assert_back().await;
    assert_eq!((network.numbers().live, network.numbers().asked), (0, 1));
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
fn a_request_in_the_queue_gives_its_place_back() {
    check_phase(Phase::Queue);
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
fn a_request_of_which_nothing_is_taken_frees_its_connection() {
    check_phase(Phase::WriteHead);
}

#[test]
fn a_request_whose_body_comes_no_further_frees_its_connection() {
    check_phase(Phase::UploadSource);
}

#[test]
fn a_request_whose_body_is_taken_no_further_frees_its_connection() {
    check_phase(Phase::UploadPeer);
}

#[test]
fn a_request_that_waits_for_the_head_frees_its_connection() {
    check_phase(Phase::Head);
}

#[test]
fn a_response_in_the_middle_of_its_body_frees_its_connection() {
    check_phase(Phase::Body);
}

#[test]
fn the_rest_of_a_dropped_response_frees_its_connection() {
    check_phase(Phase::Drain);
}

#[test]
fn a_close_in_its_hook_leaves_nothing_open() {
    check_phase(Phase::ClosingHook);
}

#[test]
fn a_close_whose_hook_waits_for_an_answer_leaves_nothing_open() {
    check_phase(Phase::ClosingRequest);
}

#[test]
fn a_close_that_says_goodbye_leaves_nothing_open() {
    check_phase(Phase::Goodbye);
}
