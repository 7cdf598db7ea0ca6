//! Peers that close, reset, lie about their length or do not speak HTTP.
#![allow(clippy::unwrap_used, reason = "a test that fails here has its line")]

mod support;

use std::error::Error as _;
use std::net::TcpListener;
use std::time::Duration;

use futures::future::join_all;
use hyper_session::{Error, ErrorKind, Session};
use tokio::time::timeout;

use support::accounts::Accounts;
use support::books::{assert_books, reach};
use support::outcome::{chain, expect_kind};
use support::raw::{RawConn, RawPeer};
use support::server::Server;
use support::tally::PATIENCE;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// How a connection fares once a request has been read.
#[derive(Clone, Copy, Debug)]
enum End {
    Close,
    Reset,
    /// It stays as it is: what was written is wrong enough.
    Stay,
}

async fn open() -> Session {
    Session::builder().open().await.expect("valid settings")
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.expect("no hang")
}

async fn get(session: &Session, url: &str) -> hyper_session::Result<String> {
    soon(async { session.get(url).send().await?.text().await }).await
}

async fn post(session: &Session, url: &str) -> hyper_session::Result<String> {
    soon(async { session.post(url).body("data").send().await?.text().await }).await
}

async fn finish(conn: &mut RawConn, end: End) {
    match end {
        End::Close => conn.close(),
        End::Reset => conn.reset(),
        End::Stay => {}
    }
    conn.wait_eof().await;
}

/// A peer that answers `/ok` well, and everything else with these bytes and this end.
fn peer(answer: &'static str, end: End) -> RawPeer {
    RawPeer::start(async move |conn, _| {
        loop {
            let request = conn.read_request().await;
            if request.is_empty() {
                return;
            }
            if String::from_utf8_lossy(&request).contains(" /ok ") {
                conn.write(OK).await;
                continue;
            }
            conn.write(answer).await;
            return finish(conn, end).await;
        }
    })
}

/// Every bad answer: on a new connection and on one from the pool, and a good request after each.
async fn assert_bad(answer: &'static str, end: End, kinds: &[ErrorKind]) -> Vec<Error> {
    let peer = peer(answer, end);
    let session = open().await;
    let mut errors = Vec::new();
    for (round, pooled) in [false, true, false, true].into_iter().enumerate() {
        if pooled {
            assert_eq!(get(&session, &peer.url("/ok")).await.unwrap(), "ok");
            assert_eq!(session.stats().idle, 1);
        }
        // A POST: no second try hides what happened.
        let error = post(&session, &peer.url("/bad")).await.unwrap_err();
        assert!(
            kinds.contains(&error.kind()),
            "{answer:?} {end:?}: {error:?}"
        );
        assert!(error.was_sent() && !error.is_retryable(), "{error:?}");
        assert_eq!(error.url(), Some(&*peer.url("/bad")));
        let opened = session.stats().opened;
        assert_books(&session, Accounts::NONE, opened, session.stats().reused);
        assert_eq!(opened, round as u64 + 1);
        errors.push(error);
    }
    assert_eq!(get(&session, &peer.url("/ok")).await.unwrap(), "ok");
    assert_eq!((session.stats().open, session.stats().idle), (1, 1));
    session.close().await;
    peer.wait_live(0).await;
    errors
}

#[tokio::test]
async fn one_that_breaks_off_before_its_answer_is_a_protocol_error() {
    for end in [End::Close, End::Reset] {
        for answer in ["", "HTTP/1.1 20", "HTTP/1.1 200 OK\r\ncontent-le"] {
            assert_bad(answer, end, &[ErrorKind::Protocol]).await;
        }
    }
}

#[tokio::test]
async fn one_that_does_not_speak_http_is_a_protocol_error() {
    for answer in [
        "\0\0\0\0\0\0\0\0\r\n\r\n",
        "SSH-2.0-OpenSSH_9.9\r\n",
        "HTTP/9.9 200 OK\r\n\r\n",
        "HTTP/1.1 abc OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nbad header\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nx",
        "<html>hello</html>\r\n\r\n",
    ] {
        for end in [End::Stay, End::Close] {
            for error in assert_bad(answer, end, &[ErrorKind::Protocol]).await {
                assert!(error.source().is_some(), "{}", chain(&error));
            }
        }
    }
}

/// hyper has one error for the first two and for a head that is too large.
#[tokio::test]
async fn one_whose_body_is_longer_than_any_is_not_said_to_have_a_large_head_alone() {
    for (answer, names) in [
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 18446744073709551615\r\n\r\nok",
            "a Content-Length that no body can have",
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 18446744073709551614\r\n\r\nok",
            "a Content-Length that no body can have",
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 18446744073709551616\r\n\r\nok",
            "content-length",
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 0x2\r\n\r\nok",
            "content-length",
        ),
    ] {
        for error in assert_bad(answer, End::Stay, &[ErrorKind::Protocol]).await {
            assert!(chain(&error).contains(names), "{}", chain(&error));
        }
    }
}

#[tokio::test]
async fn one_that_codes_its_body_as_nobody_asked_is_a_protocol_error() {
    for answer in [
        "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nok",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\ncontent-length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked, gzip\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: identity\r\n\r\nok",
        "HTTP/1.1 302 Found\r\nlocation: /ok\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    ] {
        for end in [End::Stay, End::Close] {
            for error in assert_bad(answer, end, &[ErrorKind::Protocol]).await {
                assert!(error.to_string().contains("Transfer-Encoding"), "{error}");
            }
        }
    }
    // There is no body to be coded.
    let peer = RawPeer::answering(b"HTTP/1.1 304 Not Modified\r\ntransfer-encoding: gzip\r\n\r\n");
    let session = open().await;
    for _ in 0..2 {
        assert_eq!(get(&session, &peer.url("/")).await.unwrap(), "");
    }
    assert_books(&session, Accounts::idle(1), 1, 1);
}

#[tokio::test]
async fn one_that_ends_in_the_middle_of_the_body_has_truncated_it() {
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nfive!",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfive!\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfive!\r\n0\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nff\r\nfive!",
    ] {
        assert_bad(answer, End::Close, &[ErrorKind::BodyTruncated]).await;
        // A reset may take the answer with it.
        let kinds = [ErrorKind::BodyTruncated, ErrorKind::Protocol];
        assert_bad(answer, End::Reset, &kinds).await;
    }
}

#[tokio::test]
async fn one_whose_chunks_are_none_is_a_protocol_error() {
    for chunks in [
        "xyz\r\nfive!\r\n",
        "5\r\nfive!no\r\n",
        "fffffffffffffffff\r\n",
        "-5\r\nfive!\r\n",
    ] {
        let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        let answer = Box::leak(format!("{head}{chunks}").into_boxed_str());
        for end in [End::Stay, End::Close] {
            assert_bad(answer, end, &[ErrorKind::Protocol]).await;
        }
    }
}

#[tokio::test]
async fn what_had_come_before_the_end_was_read() {
    let peer = peer(
        "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nfive!",
        End::Close,
    );
    let session = open().await;
    let mut response = soon(session.get(peer.url("/")).send()).await.unwrap();
    assert_eq!(response.content_length(), Some(10));
    assert_eq!(soon(response.chunk()).await.unwrap().unwrap(), "five!");
    expect_kind(soon(response.chunk()).await, ErrorKind::BodyTruncated);
    assert_books(&session, Accounts::NONE, 1, 0);
}

#[tokio::test]
async fn one_that_closes_at_once_is_an_error_that_knows_whether_anything_was_sent() {
    for end in [End::Close, End::Reset] {
        let peer = RawPeer::start(async move |conn, _| {
            match end {
                End::Reset => conn.reset(),
                _ => conn.close(),
            }
            conn.wait_eof().await;
        });
        let session = open().await;
        for round in 0..30 {
            let result = match round % 2 {
                0 => get(&session, &peer.url("/")).await,
                _ => post(&session, &peer.url("/")).await,
            };
            let error = result.unwrap_err();
            // A reset may come before the client knows that it is connected.
            assert!(
                matches!(error.kind(), ErrorKind::Protocol | ErrorKind::Connect),
                "{error:?}"
            );
            let opened = session.stats().opened;
            assert_books(&session, Accounts::NONE, opened, 0);
            assert_eq!(error.is_retryable(), !error.was_sent(), "{error:?}");
            if !error.was_sent() {
                peer.wait_live(0).await;
                assert!(peer.received(round).is_empty());
            }
        }
        peer.wait_live(0).await;
    }
}

#[tokio::test]
async fn one_that_breaks_off_a_pooled_connection_gets_a_get_once_more_and_a_post_never() {
    let peer = peer("", End::Close);
    let session = open().await;
    assert_eq!(get(&session, &peer.url("/ok")).await.unwrap(), "ok");
    let error = expect_kind(get(&session, &peer.url("/bad")).await, ErrorKind::Protocol);
    assert!(error.was_sent());
    assert_books(&session, Accounts::NONE, 2, 0);
    assert_eq!(peer.requests(), 3);
    assert_eq!(get(&session, &peer.url("/ok")).await.unwrap(), "ok");
    expect_kind(post(&session, &peer.url("/bad")).await, ErrorKind::Protocol);
    assert_books(&session, Accounts::NONE, 3, 0);
    assert_eq!(peer.requests(), 5);
}

/// The first try may have reached the server, whatever became of the second.
#[tokio::test]
async fn a_second_try_that_finds_nobody_does_not_make_the_first_one_unsent() {
    let peer = peer("", End::Close);
    let session = open().await;
    assert_eq!(get(&session, &peer.url("/ok")).await.unwrap(), "ok");
    peer.refuse_new().await;
    let error = expect_kind(get(&session, &peer.url("/bad")).await, ErrorKind::Connect);
    assert_eq!(peer.requests(), 2);
    assert!(error.was_sent() && !error.is_retryable());
    assert_books(&session, Accounts::NONE, 1, 0);
}

#[tokio::test]
async fn nobody_at_all_is_a_connect_error_and_nothing_was_sent() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", free.local_addr().unwrap());
    drop(free);
    let session = open().await;
    for _ in 0..3 {
        let error = expect_kind(post(&session, &url).await, ErrorKind::Connect);
        assert!(!error.was_sent() && error.is_retryable() && error.is_connect());
        assert_books(&session, Accounts::NONE, 0, 0);
    }
    let error = post(&session, "http://no-such-host.invalid/").await;
    let error = expect_kind(error, ErrorKind::Dns);
    assert!(!error.was_sent() && error.is_connect());
    assert_books(&session, Accounts::NONE, 0, 0);
}

#[tokio::test]
async fn one_that_speaks_no_tls_is_a_tls_error_and_nothing_was_sent() {
    let server = Server::text("hello");
    let session = open().await;
    let url = server.url("/").replace("http://", "https://");
    let error = expect_kind(post(&session, &url).await, ErrorKind::Tls);
    assert!(!error.was_sent() && error.is_connect());
    assert_books(&session, Accounts::NONE, 0, 0);
    server.wait_live(0).await;
    let resetting = RawPeer::start(async |conn, _| conn.reset());
    let url = resetting.url("/").replace("http://", "https://");
    for _ in 0..20 {
        let error = soon(session.post(&url).send()).await.unwrap_err();
        assert!(!error.was_sent() && error.is_connect(), "{error:?}");
        assert_books(&session, Accounts::NONE, 0, 0);
    }
}

#[tokio::test]
async fn many_at_a_time_leave_nothing_behind() {
    let peer = RawPeer::start(async |conn, number| {
        conn.read_request().await;
        match number % 5 {
            0 => {}
            1 => conn.reset(),
            2 => drop(
                conn.write("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nfive!")
                    .await,
            ),
            3 => drop(conn.write("garbage\r\n\r\n").await),
            _ => drop(conn.write(OK).await),
        }
    });
    let session = Session::builder()
        .pool_max_connections(7)
        .open()
        .await
        .unwrap();
    let calls = (0..200).map(|number| {
        let (session, url) = (&session, peer.url("/"));
        async move {
            match number % 2 {
                0 => get(session, &url).await,
                _ => post(session, &url).await,
            }
        }
    });
    let results = join_all(calls).await;
    assert!(results.iter().any(Result::is_ok) && results.iter().any(Result::is_err));
    soon(async {
        while session.stats().connecting + session.stats().in_use > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let stats = session.stats();
    assert_eq!((stats.waiting, stats.exchanges), (0, 0), "{stats:?}");
    let report = session.close_within(Duration::from_secs(1)).await;
    assert_eq!((report.stats.open, report.severed), (0, 0));
    peer.wait_live(0).await;
    reach(&session, Accounts::NONE).await;
}
