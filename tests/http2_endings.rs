//! What requests are told whose HTTP/2 connection ends under them.
#![cfg(feature = "http2")]
#![allow(clippy::unwrap_used, reason = "a test that fails here has its line")]

mod support;

use std::error::Error as StdError;
use std::time::Duration;

use futures::future::join_all;
use hyper_session::{Error, ErrorKind, Session, SessionBuilder};
use support::frames::{DATA, GO_AWAY, PREFACE, SETTINGS, goodbye, head, read_frame};
use support::raw::{RawConn, RawPeer};

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
    let failed = tokio::time::timeout(Duration::from_secs(10), join_all(sending));
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
