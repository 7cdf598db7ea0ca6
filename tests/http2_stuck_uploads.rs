//! HTTP/2 requests that the peer answers and never reads: hyper cannot reset what waits for the peer's
//! window, so in the end they cost their connection, and no more than that.
#![cfg(feature = "http2")]
#![allow(clippy::unwrap_used, reason = "a test that fails here has its line")]

mod support;

use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, poll, stream};
use hyper_session::{Body, Response, Session, SessionBuilder};
use support::accounts::{Accounts, AliveTasks, assert_accounts};
use support::books::reach;
use support::gate::Gate;
use support::http2::{Http2Server, Manner, Then};
use support::tally::PATIENCE;
use tokio::task::yield_now;
use tokio::time::{self, advance, timeout};

/// How long the rest of a request may take that nobody waits for.
const LEFTOVER: Duration = Duration::from_secs(30);
/// How long after it is called off its stream may take to be reset.
const RESET: Duration = Duration::from_secs(1);
/// How long a connection may say goodbye.
const GOODBYE: Duration = Duration::from_secs(1);

/// One connection in use, without an exchange of a user's own: their answers are over.
const STUCK: Accounts = Accounts {
    open: 1,
    in_use: 1,
    exchanges: 1,
    ..Accounts::NONE
};
/// The same when the exchange is over.
const LEAVING: Accounts = Accounts {
    exchanges: 0,
    ..STUCK
};

fn builder() -> SessionBuilder {
    Session::builder().http2_prior_knowledge()
}

/// Answers at once and reads nothing. The answer to `/open` ends when the gate opens.
fn deaf(manner: Manner, gate: &Gate) -> Http2Server {
    let gate = gate.clone();
    Http2Server::start(manner, async move |mut call| {
        let is_whole = call.request.uri().path() != "/open";
        let answer = http::Response::new(());
        let mut answer = call.answer.send_response(answer, is_whole).unwrap();
        if !is_whole {
            gate.pass().await;
            let _ = answer.send_data(Bytes::from("end"), true);
        }
        if call.request.method() == "POST" {
            // Not read, and not refused either.
            std::future::pending::<()>().await;
        }
        Then::GoOn
    })
}

/// More than the peer takes unread: parts that hyper keeps back for want of room.
fn parts() -> Body {
    let parts = stream::repeat(Bytes::from(vec![1; 10_000])).take(30);
    Body::wrap_stream(parts.map(Ok::<_, std::io::Error>))
}

/// The same in one part, which h2 has taken and cannot send.
fn one_part() -> Body {
    let part = stream::once(async { Bytes::from(vec![1; 300_000]) });
    Body::wrap_stream(part.map(Ok::<_, std::io::Error>))
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(PATIENCE, what).await.expect("no hang")
}

/// Sends a request and reads its answer: the rest of the request will never be read.
async fn get_stuck(session: &Session, server: &Http2Server, body: Body) {
    let answer = soon(session.post(server.url("/")).body(body).send()).await;
    assert_eq!(soon(answer.unwrap().text()).await.unwrap(), "");
}

async fn open_end(session: &Session, server: &Http2Server) -> Response {
    soon(session.get(server.url("/open")).send()).await.unwrap()
}

/// Lets that much time pass, and what was due then be done.
async fn pass(time: Duration) {
    time::pause();
    advance(time).await;
    for _ in 0..10 {
        yield_now().await;
    }
    time::resume();
}

/// Until the rest of a request is given up.
async fn give_up() {
    pass(LEFTOVER).await;
    pass(RESET).await;
}

#[tokio::test]
async fn its_connection_takes_no_more_requests_and_is_closed() {
    for body in [parts, one_part] {
        let tasks = AliveTasks::now();
        let server = deaf(Manner::default(), &Gate::new());
        let session = builder().open().await.unwrap();
        get_stuck(&session, &server, body()).await;
        assert_accounts(&session.stats(), STUCK);
        give_up().await;
        reach(&session, LEAVING).await;
        pass(GOODBYE).await;
        reach(&session, Accounts::NONE).await;
        server.wait_live(0).await;
        assert_eq!(session.stats().closed_by.error, 1);
        soon(session.get(server.url("/")).send()).await.unwrap();
        assert_eq!(server.accepted(), 2);
        drop(session);
        tasks.assert_back().await;
    }
}

#[tokio::test]
async fn the_next_request_makes_a_connection() {
    let server = deaf(Manner::default(), &Gate::new());
    let session = builder().open().await.unwrap();
    get_stuck(&session, &server, parts()).await;
    give_up().await;
    reach(&session, LEAVING).await;
    soon(session.get(server.url("/")).send()).await.unwrap();
    assert_eq!(server.accepted(), 2);
    assert_accounts(&session.stats(), LEAVING.and_idle(1));
    pass(GOODBYE).await;
    reach(&session, Accounts::idle(1)).await;
    server.wait_live(1).await;
}

#[tokio::test]
async fn who_waits_for_its_place_gets_it() {
    for requests in [None, Some(1)] {
        let (server, other) = (
            deaf(Manner::default(), &Gate::new()),
            deaf(Manner::default(), &Gate::new()),
        );
        let session = builder().pool_max_connections(1).pool_timeout(None);
        let session = session.pool_max_requests(requests).open().await.unwrap();
        get_stuck(&session, &server, parts()).await;
        let mut waiting = Box::pin(session.get(other.url("/")).send());
        assert!(poll!(&mut waiting).is_pending());
        assert_accounts(&session.stats(), STUCK.and_queued(1));
        give_up().await;
        reach(&session, LEAVING.and_queued(1)).await;
        pass(GOODBYE).await;
        soon(waiting).await.unwrap();
        server.wait_live(0).await;
        assert_eq!((server.accepted(), other.accepted()), (1, 1));
    }
}

#[tokio::test]
async fn who_waits_for_its_stream_gets_another_connection() {
    let manner = Manner {
        max_streams: Some(1),
    };
    let server = deaf(manner, &Gate::new());
    let session = builder().http2_max_connections_per_origin(1);
    let session = session.pool_timeout(None).open().await.unwrap();
    get_stuck(&session, &server, parts()).await;
    let mut waiting = Box::pin(session.get(server.url("/")).send());
    assert!(poll!(&mut waiting).is_pending());
    assert_accounts(&session.stats(), STUCK.and_queued(1));
    give_up().await;
    soon(waiting).await.unwrap();
    assert_eq!(server.accepted(), 2);
    pass(GOODBYE).await;
    reach(&session, Accounts::idle(1)).await;
    server.wait_live(1).await;
}

#[tokio::test]
async fn the_other_streams_of_its_connection_go_on() {
    let gate = Gate::new();
    let server = deaf(Manner::default(), &gate);
    let session = builder().read_timeout(None).open().await.unwrap();
    let other = open_end(&session, &server).await;
    get_stuck(&session, &server, parts()).await;
    give_up().await;
    reach(&session, Accounts::busy(1)).await;
    pass(10 * GOODBYE).await;
    assert_accounts(&session.stats(), Accounts::busy(1));
    gate.open();
    assert_eq!(soon(other.text()).await.unwrap(), "end");
    assert_accounts(&session.stats(), LEAVING);
    pass(GOODBYE).await;
    reach(&session, Accounts::NONE).await;
    server.wait_live(0).await;
    assert_eq!(server.accepted(), 1);
}

#[tokio::test]
async fn a_dropped_session_takes_it_along() {
    for requests in [None, Some(1)] {
        let tasks = AliveTasks::now();
        let server = deaf(Manner::default(), &Gate::new());
        let session = builder().pool_max_requests(requests).open().await.unwrap();
        get_stuck(&session, &server, parts()).await;
        drop(session);
        yield_now().await;
        pass(GOODBYE).await;
        server.wait_live(0).await;
        tasks.assert_back().await;
    }
}

#[tokio::test]
async fn a_small_request_that_waits_for_it_does_not_hold_the_connection_either() {
    let gate = Gate::new();
    let server = deaf(Manner::default(), &gate);
    let session = builder().pool_max_requests(3).read_timeout(None);
    let session = session.open().await.unwrap();
    let other = open_end(&session, &server).await;
    get_stuck(&session, &server, parts()).await;
    // The window is used up for it too; its place is given back with its answer.
    get_stuck(&session, &server, Body::from(vec![1; 1000])).await;
    give_up().await;
    reach(&session, Accounts::busy(1)).await;
    gate.open();
    assert_eq!(soon(other.text()).await.unwrap(), "end");
    pass(GOODBYE).await;
    reach(&session, Accounts::NONE).await;
    server.wait_live(0).await;
}

#[tokio::test]
async fn a_close_does_not_wait_for_it() {
    for requests in [None, Some(1)] {
        let tasks = AliveTasks::now();
        let server = deaf(Manner::default(), &Gate::new());
        let session = builder().pool_max_requests(requests).open().await.unwrap();
        get_stuck(&session, &server, parts()).await;
        let report = soon(session.close()).await;
        assert_accounts(&report.stats, Accounts::NONE);
        server.wait_live(0).await;
        tasks.assert_back().await;
    }
}

#[tokio::test]
async fn one_that_waits_for_its_own_body_is_reset_and_its_connection_stays() {
    let server = deaf(Manner::default(), &Gate::new());
    let session = builder().open().await.unwrap();
    let endless = stream::pending::<Result<Bytes, std::io::Error>>();
    get_stuck(&session, &server, Body::wrap_stream(endless)).await;
    assert_accounts(&session.stats(), STUCK);
    pass(LEFTOVER).await;
    reach(&session, Accounts::idle(1)).await;
    pass(RESET + GOODBYE).await;
    soon(session.get(server.url("/")).send()).await.unwrap();
    assert_eq!(server.accepted(), 1);
}
