//! What requests are told whose HTTP/2 connection ends under them.
#![cfg(feature = "http2")]
#![allow(clippy::unwrap_used, reason = "a test that fails here has its line")]

mod support;

use std::error::Error as StdError;
use std::future::pending;
use std::time::Duration;

use futures::future::{Either, join, join_all, select};
use futures::poll;
use hyper_session::{Body, BoxConnection, Error, ErrorKind, Response, Session, SessionBuilder};
use support::frames::{DATA, GO_AWAY, HEADERS, OK, PREFACE, SETTINGS, goodbye, head, read_frame};
use support::raw::{RawConn, RawPeer};
use support::tally::PATIENCE;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::yield_now;
use tokio::time::timeout;

const ENHANCE_YOUR_CALM: u8 = 0xb;

fn builder() -> SessionBuilder {
    Session::builder().http2_prior_knowledge()
}

/// Takes three requests and answers the head of the first, and then ends as `script` says.
fn ending(script: impl AsyncFn(&mut RawConn) + Send + 'static) -> RawPeer {
    RawPeer::start(async move |connection, _| {
        connection.write(SETTINGS).await;
        connection.read(PREFACE).await;
        // With their bodies, so that nothing is on its way at the end.
        for _ in 0..3 {
            read_frame(connection, DATA).await;
        }
        connection.write(head(1)).await;
        script(connection).await;
    })
}

/// The texts of an error and of all that it came of.
fn chain(error: &Error) -> Vec<String> {
    let first: Option<&dyn StdError> = Some(error);
    std::iter::successors(first, |&error| error.source())
        .map(ToString::to_string)
        .collect()
}

/// Begins three requests on one connection and gives what they fail of: one whose body is being read,
/// and two that wait for their heads.
async fn failures(session: &Session, peer: &RawPeer) -> Vec<Error> {
    let post = |path| session.post(peer.url(path)).body("x").send();
    let sending = (0..3).map(|_| async { post("/").await?.text().await });
    let failed = timeout(PATIENCE, join_all(sending));
    let failed = failed.await.expect("no hang").into_iter();
    let failed: Vec<_> = failed.map(Result::unwrap_err).collect();
    let kinds: Vec<_> = failed.iter().map(Error::kind).collect();
    let two = [ErrorKind::Protocol; 2];
    assert_eq!(kinds, [&[ErrorKind::BodyTruncated], &two[..]].concat());
    assert!(failed.iter().all(Error::was_sent));
    failed
}

/// All of them name the same cause, and it says so.
fn assert_shared(failed: &[Error], what: &str) {
    let chains: Vec<_> = failed.iter().map(chain).collect();
    for own in &chains {
        assert_eq!(own[1..], chains[0][1..], "{chains:#?}");
        assert!(own.iter().any(|text| text.contains(what)), "{chains:#?}");
    }
}

#[tokio::test]
async fn those_whom_a_goodbye_let_go_on_name_it_when_the_connection_ends() {
    let peer = ending(async |connection| {
        connection.write(goodbye(5, ENHANCE_YOUR_CALM)).await;
    });
    let session = builder().open().await.unwrap();
    let failed = failures(&session, &peer).await;
    assert_shared(&failed, "excessive load");
    assert_eq!(session.stats().open, 0);
}

#[tokio::test]
async fn a_reset_socket_is_named_by_all() {
    let peer = ending(async |connection| connection.reset());
    let session = builder().open().await.unwrap();
    let failed = failures(&session, &peer).await;
    assert_shared(&failed, "connection reset");
}

#[tokio::test]
async fn a_socket_that_the_peer_closed_is_named_by_all() {
    let peer = ending(async |connection| connection.close());
    let session = builder().open().await.unwrap();
    let failed = failures(&session, &peer).await;
    assert_shared(&failed, "connection closed");
}

#[tokio::test]
async fn a_ping_that_was_not_answered_is_named_by_all() {
    let peer = ending(async |connection| {
        connection.wait_eof().await;
    });
    let session = builder()
        .http2_keep_alive_interval(Duration::from_millis(50))
        .http2_keep_alive_timeout(Duration::from_millis(50));
    let session = session.open().await.unwrap();
    let failed = failures(&session, &peer).await;
    assert_shared(&failed, "keep-alive timed out");
}

#[tokio::test]
async fn a_peer_that_breaks_the_protocol_is_named_by_all() {
    let peer = ending(async |connection| {
        // A window update of nothing, for the connection.
        connection.write(b"\0\0\x04\x08\0\0\0\0\0\0\0\0\0").await;
        read_frame(connection, GO_AWAY).await;
        connection.wait_eof().await;
    });
    let session = builder().open().await.unwrap();
    let failed = failures(&session, &peer).await;
    assert_shared(&failed, "unspecific protocol error");
}

/// A connector of one in-memory connection after the other; its peers' ends come out at the side.
fn pipes() -> (
    impl hyper_session::Connector,
    UnboundedReceiver<DuplexStream>,
) {
    let (ends, accepted) = unbounded_channel();
    let connector = tower::service_fn(move |_: hyper_session::Uri| {
        let (own, end) = tokio::io::duplex(64 * 1024);
        ends.send(end).unwrap();
        async { Ok::<_, std::io::Error>(BoxConnection::from_io(own)) }
    });
    (connector, accepted)
}

/// Reads a frame and gives its type.
async fn next_frame(end: &mut DuplexStream) -> u8 {
    let mut head = [0; 9];
    end.read_exact(&mut head).await.unwrap();
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    let mut payload = vec![0; length as usize];
    end.read_exact(&mut payload).await.unwrap();
    head[3]
}

/// Takes the preface, and answers the first request.
async fn answer(end: &mut DuplexStream) {
    end.write_all(SETTINGS).await.unwrap();
    end.read_exact(&mut [0; PREFACE]).await.unwrap();
    while next_frame(end).await != HEADERS {}
    end.write_all(OK).await.unwrap();
}

/// Has the next connection answer.
async fn answered_by_next(
    sending: impl Future<Output = Result<Response, Error>> + Unpin,
    accepted: &mut UnboundedReceiver<DuplexStream>,
) -> Result<Response, Error> {
    let serving = async {
        let mut end = accepted.recv().await.unwrap();
        answer(&mut end).await;
        pending::<()>().await;
    };
    let answered = timeout(PATIENCE, select(sending, Box::pin(serving)));
    match answered.await.expect("no hang") {
        Either::Left((answered, _)) => answered,
        Either::Right(_) => unreachable!("it goes on for ever"),
    }
}

/// Ends an idle connection in the very moment in which a request is given to it.
async fn ended_under(body: Body) -> Result<Response, Error> {
    let (connector, mut accepted) = pipes();
    let session = builder().connector(connector).open().await.unwrap();
    let mut first = Box::pin(session.get("http://host/").send());
    assert!(poll!(&mut first).is_pending());
    let mut end = accepted.recv().await.unwrap();
    let (first, ()) = join(first, answer(&mut end)).await;
    assert_eq!(first.unwrap().status(), 200);
    for _ in 0..20 {
        yield_now().await;
    }
    assert_eq!(session.stats().idle, 1);

    let mut second = Box::pin(session.post("http://host/").body(body).send());
    assert!(poll!(&mut second).is_pending());
    assert_eq!(session.stats().requests, 2);
    end.shutdown().await.unwrap();
    answered_by_next(second, &mut accepted).await
}

#[tokio::test]
async fn a_request_that_was_given_to_a_connection_at_its_end_goes_to_the_next() {
    let answer = ended_under(Body::from("once")).await;
    assert_eq!(answer.unwrap().status(), 200);
}

#[tokio::test]
async fn a_stream_that_was_given_to_a_connection_at_its_end_was_not_sent() {
    let parts = futures::stream::iter([Ok::<_, std::io::Error>("part")]);
    let error = ended_under(Body::wrap_stream(parts)).await.unwrap_err();
    assert!(!error.was_sent() && error.is_retryable(), "{error:?}");
}
