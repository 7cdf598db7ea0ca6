//! What a session says of its connections: by reason, by origin, in requests and in bytes.
#![allow(clippy::unwrap_used, reason = "a test that fails here has its line")]

mod support;

use std::time::Duration;

use hyper_session::{ClosedBy, Session, SessionBuilder, SessionHolder, Stats};
use support::accounts::{Accounts, assert_accounts};
use support::books::reach;
use support::connectors::{Memory, read_head, write};
use support::server::{Server, text};
use tokio::time::{advance, sleep, timeout};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

fn memory() -> Memory {
    Memory::scripted(|mut end, _| async move {
        loop {
            let head = read_head(&mut end).await;
            match () {
                () if head.is_empty() => return,
                () if head.contains("/never") => sleep(Duration::from_secs(3600)).await,
                () if head.contains("/broken") => return write(&mut end, "nonsense\r\n\r\n").await,
                () if head.contains("/last") => {
                    return write(&mut end, "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nok").await;
                }
                () => write(&mut end, OK).await,
            }
        }
    })
}

async fn open(change: impl FnOnce(SessionBuilder) -> SessionBuilder) -> Session {
    let builder = change(Session::builder()).connector(memory());
    builder.open().await.unwrap()
}

async fn get(session: &Session, url: &str) {
    session
        .get(url)
        .send()
        .await
        .unwrap()
        .bytes()
        .await
        .unwrap();
}

/// All connections that were closed were closed for that reason.
#[track_caller]
fn assert_closed(stats: Stats, expected: ClosedBy) {
    assert_eq!(stats.closed_by, expected, "{stats:?}");
    assert_eq!(stats.opened, stats.closed + stats.open as u64);
}

fn by(reason: impl FnOnce(&mut ClosedBy)) -> ClosedBy {
    let mut closed = ClosedBy::default();
    reason(&mut closed);
    closed
}

#[tokio::test(start_paused = true)]
async fn each_connection_is_closed_for_one_reason() {
    let session = open(|builder| builder.pool_idle_timeout(Duration::from_secs(5))).await;
    get(&session, "http://a/").await;
    sleep(Duration::from_secs(6)).await;
    assert_closed(session.stats(), by(|closed| closed.idle = 1));

    let session = open(|builder| builder.pool_max_age(Duration::from_secs(5))).await;
    get(&session, "http://a/").await;
    advance(Duration::from_secs(6)).await;
    get(&session, "http://a/").await;
    assert_closed(session.stats(), by(|closed| closed.age = 1));

    let session = open(|builder| builder.pool_max_requests(2)).await;
    for _ in 0..4 {
        get(&session, "http://a/").await;
    }
    assert_closed(session.stats(), by(|closed| closed.requests = 2));

    let session = open(SessionBuilder::http1_only).await;
    get(&session, "http://a/last").await;
    assert_closed(session.stats(), by(|closed| closed.peer = 1));

    session.get("http://a/broken").send().await.unwrap_err();
    let late = session
        .get("http://a/never")
        .timeout(Duration::from_secs(2));
    late.send().await.unwrap_err();
    let dropped = session.get("http://a/never").send();
    timeout(Duration::from_secs(2), dropped).await.unwrap_err();
    let expected = by(|closed| {
        closed.peer = 1;
        closed.error = 2;
        closed.cancelled = 1;
    });
    assert_closed(session.stats(), expected);

    let session = open(|builder| builder.pool_max_connections(1)).await;
    get(&session, "http://a/").await;
    get(&session, "http://b/").await;
    assert_closed(session.stats(), by(|closed| closed.evicted = 1));
    session.close_idle();
    get(&session, "http://b/").await;
    let report = session.close().await;
    let expected = by(|closed| {
        closed.evicted = 1;
        closed.closed = 2;
    });
    assert_closed(report.stats, expected);
}

#[tokio::test]
async fn a_peer_that_closes_an_idle_connection_is_the_reason() {
    let server = Server::text("ok");
    let session = Session::builder().open().await.unwrap();
    for closed in 1..=2 {
        get(&session, &server.url("/")).await;
        server.close_all().await;
        reach(&session, Accounts::NONE).await;
        assert_closed(session.stats(), by(|by| by.peer = closed));
    }
}

#[tokio::test(start_paused = true)]
async fn force_close_gives_each_request_its_connection_and_says_so() {
    let network = Memory::scripted(|mut end, _| async move {
        let head = read_head(&mut end).await;
        assert!(head.contains("connection: close\r\n"), "{head}");
        write(&mut end, OK).await;
        assert!(read_head(&mut end).await.is_empty());
    });
    let builder = Session::builder().connector(network).force_close(true);
    let session = builder.open().await.unwrap();
    for opened in 1..=3 {
        get(&session, "http://a/").await;
        assert_accounts(&session.stats(), Accounts::NONE);
        assert_eq!(session.stats().opened, opened);
    }
    assert_closed(session.stats(), by(|closed| closed.requests = 3));
}

#[tokio::test]
async fn those_that_streamed_most_make_way_first() {
    let servers: Vec<_> = (0..5)
        .map(|n| {
            let length = if n == 1 { 200_000 } else { 10 };
            Server::start(async move |_| text("x".repeat(length)))
        })
        .collect();
    let url = |n: usize| servers[n].url("/");
    let builder = Session::builder().pool_max_connections(3);
    let session = builder.open().await.unwrap();
    for n in 0..4 {
        get(&session, &url(n)).await;
    }
    let live = || {
        servers
            .iter()
            .map(|server| server.live())
            .collect::<Vec<_>>()
    };
    servers[1].wait_live(0).await;
    assert_eq!(live(), [1, 0, 1, 1, 0]);
    // Of the others the one that has idled longest.
    get(&session, &url(4)).await;
    servers[0].wait_live(0).await;
    assert_eq!(live(), [0, 0, 1, 1, 1]);
}

#[tokio::test]
async fn requests_and_bytes_are_counted_by_origin_and_in_all() {
    let one = Server::start(async |_| text("a".repeat(1000)));
    let other = Server::text("ok");
    let holder: SessionHolder = SessionHolder::builder().build().unwrap();
    assert!(holder.origin_stats().is_empty());
    holder.start_session().await.unwrap();
    for _ in 0..3 {
        let answer = holder.post(one.url("/")).body("x".repeat(500)).send().await;
        answer.unwrap().bytes().await.unwrap();
    }
    let answer = holder.get(other.url("/")).send().await.unwrap();
    let mut origins = holder.origin_stats();
    origins.sort_by_key(|stats| stats.requests);
    let [second, first] = &origins[..] else {
        panic!("{origins:?}");
    };
    assert_eq!(first.origin, one.url(""));
    assert_eq!((first.opened, first.requests, first.reused), (1, 3, 2));
    assert_eq!((first.open, first.idle, first.in_use), (1, 1, 0));
    assert!((3000..4000).contains(&first.received), "{first:?}");
    assert!((1500..2500).contains(&first.sent), "{first:?}");
    assert_eq!((second.opened, second.requests, second.reused), (1, 1, 0));
    let stats = holder.stats();
    assert_eq!((stats.requests, stats.reused), (4, 2));
    assert_eq!(stats.received, first.received + second.received);
    assert_eq!(stats.sent, first.sent + second.sent);
    answer.bytes().await.unwrap();

    // What has been closed still counts, with all if not with an origin that is gone.
    let report = holder.close_session().await;
    assert!(holder.origin_stats().is_empty());
    assert_eq!((report.stats.requests, report.stats.reused), (4, 2));
    assert_eq!(report.stats.received, stats.received);
    assert_eq!(report.stats.closed_by.closed, 2);
}
