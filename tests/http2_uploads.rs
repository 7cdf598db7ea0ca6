//! HTTP/2 requests that are still being sent when their answer is over: they keep their place.
#![cfg(feature = "http2")]
#![allow(clippy::unwrap_used, reason = "a test that fails here has its line")]

mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, poll, stream};
use hyper_session::{Body, ErrorKind, Session, SessionBuilder, TimeoutPhase};
use support::accounts::{Accounts, AliveTasks, assert_accounts};
use support::books::reach;
use support::gate::Gate;
use support::http2::{Call, Http2Server, Manner, Then};
use support::tally::PATIENCE;
use tokio::task::yield_now;
use tokio::time::timeout;

const PARTS: usize = 3;
const PART: usize = 1000;
/// More than the peer says before it answers.
const LONG: usize = 2000;

/// One exchange whose answer is over, on the only connection.
const UPLOADING: Accounts = Accounts {
    open: 1,
    in_use: 1,
    exchanges: 1,
    ..Accounts::NONE
};

fn builder() -> SessionBuilder {
    Session::builder().http2_prior_knowledge()
}

/// What became of the requests' bodies: their lengths, or the reason for which they were reset.
type Bodies = Arc<Mutex<Vec<Result<usize, Option<h2::Reason>>>>>;

async fn read(call: &mut Call) -> Result<usize, Option<h2::Reason>> {
    let mut length = 0;
    while let Some(part) = call.request.body_mut().data().await {
        let part = part.map_err(|error| error.reason())?;
        length += part.len();
        let flow = call.request.body_mut().flow_control();
        let _ = flow.release_capacity(part.len());
    }
    Ok(length)
}

/// Answers a POST before it has read it, and all else at once. On `/open` there is no end to the
/// answer, and nothing is read before the gate opens; on `/held` nothing is answered before, and then at length.
fn early(manner: Manner, gate: &Gate, bodies: &Bodies) -> Http2Server {
    let (gate, bodies) = (gate.clone(), Arc::clone(bodies));
    Http2Server::start(manner, async move |mut call| {
        let is_whole = call.request.uri().path() != "/open";
        let mut answer = http::Response::new(());
        if call.request.uri().path() == "/held" {
            gate.pass().await;
            let long = "~".repeat(LONG).parse().unwrap();
            answer.headers_mut().insert("long", long);
        }
        let _open = call.answer.send_response(answer, is_whole).unwrap();
        if call.request.method() == "POST" {
            if !is_whole {
                gate.pass().await;
            }
            let body = read(&mut call).await;
            bodies.lock().unwrap().push(body);
        }
        Then::GoOn
    })
}

/// So little that the peer says nothing while it reads: two parts, and one more when the gate opens.
fn body(gate: &Gate) -> Body {
    let gate = gate.clone();
    let last = stream::once(async move {
        gate.pass().await;
        Bytes::from(vec![1; PART])
    });
    let parts = stream::repeat(Bytes::from(vec![1; PART])).take(PARTS - 1);
    Body::wrap_stream(parts.chain(last).map(Ok::<_, std::io::Error>))
}

/// The only body, when it has been read.
async fn only(bodies: &Bodies) -> Result<usize, Option<h2::Reason>> {
    let read = async {
        loop {
            if let [body] = bodies.lock().unwrap()[..] {
                return body;
            }
            yield_now().await;
        }
    };
    soon(read).await
}

async fn assert_whole(bodies: &Bodies) {
    assert_eq!(only(bodies).await, Ok(PARTS * PART));
}

async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(PATIENCE, what).await.expect("no hang")
}

/// Sends a request and reads its answer; the rest of its body is still to be sent.
async fn upload(session: &Session, server: &Http2Server, gate: &Gate) {
    let post = session.post(server.url("/")).body(body(gate));
    let answer = soon(post.send()).await.unwrap();
    assert_eq!(soon(answer.text()).await.unwrap(), "");
}

#[tokio::test]
async fn the_last_request_of_a_connection_is_sent_to_its_end() {
    let (gate, bodies) = (Gate::new(), Bodies::default());
    let server = early(Manner::default(), &gate, &bodies);
    let session = builder().pool_max_requests(1).open().await.unwrap();
    upload(&session, &server, &gate).await;
    assert_accounts(&session.stats(), UPLOADING);
    gate.open();
    reach(&session, Accounts::NONE).await;
    assert_whole(&bodies).await;
}

#[tokio::test]
async fn a_connection_that_still_sends_is_neither_idle_nor_makes_way() {
    let (gate, bodies) = (Gate::new(), Bodies::default());
    let server = early(Manner::default(), &gate, &bodies);
    let other = early(Manner::default(), &gate, &bodies);
    let session = builder().pool_max_connections(1).open().await.unwrap();
    upload(&session, &server, &gate).await;
    session.close_idle();
    assert_accounts(&session.stats(), UPLOADING);
    let mut waiting = Box::pin(session.get(other.url("/")).send());
    assert!(poll!(&mut waiting).is_pending());
    gate.open();
    soon(waiting).await.unwrap();
    assert_whole(&bodies).await;
}

#[tokio::test]
async fn its_stream_counts_against_the_peers_limit() {
    let (gate, bodies) = (Gate::new(), Bodies::default());
    let manner = Manner {
        max_streams: Some(1),
    };
    let server = early(manner, &gate, &bodies);
    let session = builder().open().await.unwrap();
    upload(&session, &server, &gate).await;
    let mut next = Box::pin(session.get(server.url("/")).send());
    assert!(poll!(&mut next).is_pending());
    assert_eq!(session.stats().waiting, 1);
    gate.open();
    soon(next).await.unwrap();
    assert_eq!((server.accepted(), server.requests()), (1, 2));
    assert_whole(&bodies).await;
}

#[tokio::test]
async fn a_close_does_not_wait_for_it() {
    let tasks = AliveTasks::now();
    let (gate, bodies) = (Gate::new(), Bodies::default());
    let server = early(Manner::default(), &gate, &bodies);
    let session = builder().open().await.unwrap();
    upload(&session, &server, &gate).await;
    let report = soon(session.close()).await;
    assert_accounts(&report.stats, Accounts::NONE);
    server.wait_live(0).await;
    tasks.assert_back().await;
}

#[tokio::test]
async fn it_is_called_off_with_a_dropped_answer() {
    let (gate, bodies) = (Gate::new(), Bodies::default());
    let server = early(Manner::default(), &gate, &bodies);
    let session = builder().open().await.unwrap();
    // More than the peer takes without being asked.
    let parts = stream::repeat(Bytes::from(vec![1; 10_000])).take(30);
    let large = Body::wrap_stream(parts.map(Ok::<_, std::io::Error>));
    let post = session.post(server.url("/open")).body(large);
    let answer = soon(post.send()).await.unwrap();
    drop(answer);
    assert_accounts(&session.stats(), UPLOADING);
    gate.open_for_good();
    reach(&session, Accounts::idle(1)).await;
    soon(session.get(server.url("/")).send()).await.unwrap();
    assert_eq!(server.accepted(), 1);
    assert_eq!(only(&bodies).await, Err(Some(h2::Reason::CANCEL)));
}

#[tokio::test]
async fn a_stream_without_end_is_reset_with_a_dropped_answer() {
    let (gate, bodies) = (Gate::new(), Bodies::default());
    gate.open_for_good();
    let server = early(Manner::default(), &gate, &bodies);
    let session = builder().open().await.unwrap();
    let endless = Body::wrap_stream(stream::pending::<Result<Bytes, std::io::Error>>());
    let post = session.post(server.url("/open")).body(endless);
    drop(soon(post.send()).await.unwrap());
    reach(&session, Accounts::idle(1)).await;
    assert_eq!(only(&bodies).await, Err(Some(h2::Reason::CANCEL)));
}

#[tokio::test]
async fn a_stream_is_reset_with_an_answer_that_has_come_and_was_not_seen() {
    let (gate, bodies) = (Gate::new(), Bodies::default());
    let server = early(Manner::default(), &gate, &bodies);
    let session = builder().open().await.unwrap();
    let endless = Body::wrap_stream(stream::pending::<Result<Bytes, std::io::Error>>());
    let mut sending = Box::pin(session.post(server.url("/held")).body(endless).send());
    while gate.reached() == 0 {
        assert!(poll!(&mut sending).is_pending());
        yield_now().await;
    }
    gate.open();
    while session.stats().received < LONG as u64 {
        yield_now().await;
    }
    // Its tasks bring it to where the request's future would find it.
    for _ in 0..10 {
        yield_now().await;
    }
    drop(sending);
    reach(&session, Accounts::idle(1)).await;
    assert_eq!(only(&bodies).await, Err(Some(h2::Reason::CANCEL)));
    soon(session.get(server.url("/")).send()).await.unwrap();
    assert_eq!(server.accepted(), 1);
}

#[tokio::test]
async fn the_limit_of_the_head_begins_when_the_request_has_been_given() {
    let server = Http2Server::start(Manner::default(), async |mut call| {
        let _ = read(&mut call).await;
        std::future::pending().await
    });
    let session = builder()
        .write_timeout(None)
        .head_timeout(Duration::from_millis(100))
        .open()
        .await
        .unwrap();
    let gate = Gate::new();
    let post = session.post(server.url("/")).body(body(&gate));
    let mut sending = Box::pin(post.send());
    // Three times the limit, while the body is not at its end.
    let early = timeout(Duration::from_millis(300), &mut sending).await;
    assert!(early.is_err(), "{early:?}");
    gate.open();
    let error = soon(sending).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout(TimeoutPhase::Head));
    reach(&session, Accounts::idle(1)).await;
}
