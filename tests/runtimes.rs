//! One session in a static, used from runtimes that come, overlap, stand still and go.

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, LazyLock};
use std::thread;
use std::time::Duration;

use futures::executor;
use futures::future::try_join_all;
use hyper_session::{BoxConnector, ErrorKind, Result, Session, SessionHolder, WhenClosed};
use support::accounts::{Accounts, assert_accounts};
use support::api::Api;
use support::connectors::Counting;
use support::outcome::expect_kind;
use support::tally::PATIENCE;
use support::wire::Wire;
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

/// Fewer places than the runtimes would like to have, so that they make room for each other.
const LIMIT: usize = 12;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    OneThread,
    TwoThreads,
}

const KINDS: [Kind; 2] = [Kind::OneThread, Kind::TwoThreads];

fn runtime(kind: Kind) -> Runtime {
    let mut builder = match kind {
        Kind::OneThread => Builder::new_current_thread(),
        Kind::TwoThreads => Builder::new_multi_thread(),
    };
    let builder = builder.worker_threads(2).enable_all();
    builder.build().expect("a runtime can be built")
}

type Network = Counting<BoxConnector>;

fn network(wire: Wire) -> Network {
    Counting::new(wire.connector())
}

/// Opens a session that belongs to no runtime.
fn open(wire: Wire, limit: usize, network: &Network) -> Session {
    let builder = Session::builder().connector(network.clone());
    let builder = wire.set(builder).pool_max_connections(limit);
    executor::block_on(builder.open()).expect("a session")
}

static WORDS: AtomicUsize = AtomicUsize::new(0);

async fn say(session: &Session, api: &Api) -> Result<()> {
    let word = WORDS.fetch_add(1, Ordering::Relaxed).to_string();
    let exchange = async {
        let response = session.get(api.url(&format!("/say/{word}"))).send().await?;
        response.text().await
    };
    let answer = timeout(PATIENCE, exchange).await.expect("no hang")?;
    assert_eq!(answer, word);
    Ok(())
}

/// So many requests, all at once.
async fn say_many(session: &Session, api: &Api, times: usize) {
    let said = try_join_all((0..times).map(|_| say(session, api))).await;
    said.expect("each is answered");
}

async fn until_none_is_under_way(session: &Session) {
    let over = async {
        while session.stats().exchanges > 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, over).await.expect("they end");
}

/// A runtime with idle connections which nobody runs.
fn parked(session: &Session, api: &Api, times: usize) -> Runtime {
    let parked = runtime(Kind::OneThread);
    parked.block_on(say_many(session, api, times));
    parked
}

/// A session for a static, and its network.
type Held = LazyLock<(Session, Network)>;

fn hold(wire: Wire) -> (Session, Network) {
    let network = network(wire);
    (open(wire, LIMIT, &network), network)
}

/// Sends 1,280 requests.
fn overlap(wire: Wire, held: &'static Held) {
    let (session, network) = &**held;
    let api = Arc::new(Api::start_over(wire));
    for kind in KINDS.repeat(8) {
        runtime(kind).block_on(say_many(session, &api, 10));
    }
    let standing = parked(session, &api, LIMIT);
    assert!(session.stats().idle > 0, "{:?}", session.stats());

    // Eight threads, which have three runtimes each, one beginning where the one before has ended.
    let together = Arc::new(Barrier::new(8));
    let threads = (0..8).map(|number| {
        let (api, together) = (Arc::clone(&api), Arc::clone(&together));
        thread::spawn(move || {
            together.wait();
            for turn in 0..3 {
                let runtime = runtime(KINDS[(number + turn) % 2]);
                let tasks = (0..5).map(|_| {
                    let api = Arc::clone(&api);
                    runtime.spawn(async move {
                        for _ in 0..8 {
                            say(session, &api).await.expect("an answer");
                        }
                    })
                });
                let tasks = try_join_all(tasks.collect::<Vec<_>>());
                runtime.block_on(tasks).expect("no task panics");
            }
        })
    });
    for thread in threads.collect::<Vec<_>>() {
        thread.join().expect("no panic");
    }
    let said = 160 + LIMIT + 960;
    standing.block_on(say_many(session, &api, 1280 - said));
    assert_eq!(api.requests(), 1280);
    let numbers = network.numbers();
    assert!(numbers.peak <= LIMIT, "{numbers:?}");
    let stats = session.stats();
    assert_accounts(&stats, Accounts::idle(stats.open));
    assert!(stats.open <= LIMIT, "{stats:?}");

    let report = runtime(Kind::OneThread).block_on(session.close());
    assert_accounts(&report.stats, Accounts::NONE);
    runtime(Kind::OneThread).block_on(api.wait_live(0));
}

#[test]
fn requests_over_overlapping_runtimes_are_all_answered() {
    static HELD: Held = LazyLock::new(|| hold(Wire::Http1));
    overlap(Wire::Http1, &HELD);
}

#[cfg(feature = "http2")]
#[test]
fn http2_requests_over_overlapping_runtimes_are_all_answered() {
    static HELD: Held = LazyLock::new(|| hold(Wire::Http2));
    overlap(Wire::Http2, &HELD);
}

#[cfg(all(feature = "http2", feature = "native-tls"))]
#[test]
fn http2_requests_over_tls_and_overlapping_runtimes_are_all_answered() {
    static HELD: Held = LazyLock::new(|| hold(Wire::Http2Tls));
    overlap(Wire::Http2Tls, &HELD);
}

#[test]
fn a_runtime_that_stands_still_hangs_nobody_even_if_it_has_all_the_places() {
    static SESSION: LazyLock<Session> =
        LazyLock::new(|| open(Wire::Http1, 4, &network(Wire::Http1)));
    let api = Api::start();
    for kind in KINDS {
        let standing = runtime(Kind::OneThread);
        // Four at once, so that each has a connection of its own.
        standing.block_on(async {
            let reached = api.gate.reached();
            let urls = (0..4).map(|_| SESSION.get(api.url("/held/1")).send());
            let opened = async {
                api.gate.wait_reached(reached + 4).await;
                (0..4).for_each(|_| api.gate.open());
                Ok(())
            };
            let answers = futures::future::try_join(try_join_all(urls), opened);
            drop(answers.await.expect("four answers"));
        });
        assert_accounts(&SESSION.stats(), Accounts::idle(4));
        runtime(kind).block_on(say_many(&SESSION, &api, 20));
        // What is left of its connections is used, when it runs again, or was closed.
        standing.block_on(say_many(&SESSION, &api, 20));
    }
}

#[cfg(feature = "http2")]
#[test]
fn a_runtime_that_stands_still_gives_the_only_place_of_its_streams_up() {
    static SESSION: LazyLock<Session> =
        LazyLock::new(|| open(Wire::Http2, 1, &network(Wire::Http2)));
    let api = Api::start_over(Wire::Http2);
    for kind in KINDS {
        let standing = parked(&SESSION, &api, 4);
        assert_accounts(&SESSION.stats(), Accounts::idle(1));
        runtime(kind).block_on(say_many(&SESSION, &api, 20));
        standing.block_on(say_many(&SESSION, &api, 20));
    }
}

/// Shuts runtimes down while requests are under way in them.
fn shut_down(wire: Wire, held: &'static Held) {
    let (session, network) = &**held;
    let api = Arc::new(Api::start_over(wire));
    let other = runtime(Kind::TwoThreads);
    for round in 0..20 {
        let goes = runtime(KINDS[round % 2]);
        let reached = api.gate.reached();
        // Held for ever, some in the queue behind them, and an upload.
        for number in 0..LIMIT + 4 {
            let url = api.url("/held/1");
            let body = vec![b'x'; if number == 0 { 4_000_000 } else { 0 }];
            goes.spawn(session.post(url).body(body).send());
        }
        goes.block_on(api.gate.wait_reached(reached + 1));
        let others = {
            let api = Arc::clone(&api);
            other.spawn(async move { say_many(session, &api, 10).await })
        };
        if round % 4 < 2 {
            drop(goes);
        } else {
            goes.shutdown_background();
        }
        other.block_on(others).expect("all are answered");
        other.block_on(until_none_is_under_way(session));
    }
    let (stats, numbers) = (session.stats(), network.numbers());
    assert_accounts(&stats, Accounts::idle(stats.open));
    assert!(
        numbers.peak <= LIMIT && numbers.live == stats.open,
        "{numbers:?}"
    );
    // The server finds out about those that are gone.
    api.gate.open_for_good();
    let report = other.block_on(session.close());
    assert_accounts(&report.stats, Accounts::NONE);
    other.block_on(api.wait_live(0));
}

#[test]
fn a_runtime_may_be_shut_down_under_its_requests_while_others_go_on() {
    static HELD: Held = LazyLock::new(|| hold(Wire::Http1));
    shut_down(Wire::Http1, &HELD);
}

#[cfg(feature = "http2")]
#[test]
fn a_runtime_may_be_shut_down_under_its_streams_while_others_go_on() {
    static HELD: Held = LazyLock::new(|| hold(Wire::Http2));
    shut_down(Wire::Http2, &HELD);
}

#[test]
fn idle_connections_grow_old_although_the_runtime_of_the_first_timer_is_gone() {
    static HOLDER: LazyLock<SessionHolder> = LazyLock::new(|| {
        let builder = SessionHolder::builder().when_closed(WhenClosed::Open);
        let builder = builder.pool_idle_timeout(Duration::from_millis(20));
        builder.build().expect("valid settings")
    });
    let api = Api::start();
    let say = async || {
        let answer = HOLDER.get(api.url("/say/a")).send().await;
        answer.expect("an answer").text().await.expect("a body")
    };
    for kind in KINDS.repeat(2) {
        let gone = runtime(kind);
        assert_eq!(gone.block_on(say()), "a");
        drop(gone);
    }
    let last = runtime(Kind::OneThread);
    assert_eq!(last.block_on(say()), "a");
    // Its own timer closes its own connection and those of the runtimes that are gone.
    last.block_on(api.wait_live(0));
    assert_accounts(&HOLDER.stats(), Accounts::NONE);
    assert_eq!(last.block_on(say()), "a");
    last.block_on(api.wait_live(0));
}

#[test]
fn outside_of_a_runtime_a_request_fails_and_says_so() {
    static SESSION: LazyLock<Session> =
        LazyLock::new(|| open(Wire::Http1, LIMIT, &network(Wire::Http1)));
    let api = Api::start();
    let send = || SESSION.get(api.url("/say/a")).send();
    let error = expect_kind(executor::block_on(send()), ErrorKind::NoRuntime);
    assert!(!error.was_sent());
    assert!(error.to_string().contains("tokio runtime"), "{error}");
    assert_accounts(&SESSION.stats(), Accounts::NONE);

    let runtime = runtime(Kind::OneThread);
    let answer = runtime.block_on(send()).expect("an answer");
    // A body that has come needs no runtime.
    let text = executor::block_on(answer.text());
    assert_eq!(text.expect("a body"), "a");
    assert_eq!(api.requests(), 1);
    // Nor is one of the session's idle connections touched outside of it.
    expect_kind(executor::block_on(send()), ErrorKind::NoRuntime);
    assert_accounts(&SESSION.stats(), Accounts::idle(1));
}
