//! Peers that send more than anybody can want: each is cut off at a limit, in little memory, and its
//! connection is not used again.
#![allow(clippy::unwrap_used, reason = "a test that fails here has its line")]

mod support;

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use futures::stream;
use hyper_session::{Body, ErrorKind, Result, Session, SessionBuilder, TimeoutPhase};
use tokio::runtime;
use tokio::time::{sleep, timeout};

use support::accounts::Accounts;
use support::books::{assert_books, reach};
use support::outcome::{chain, expect_kind};
use support::raw::RawPeer;
use support::tally::PATIENCE;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

const CHUNKED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";

/// What a session may need for such a peer, in bytes: hyper's buffer and the one that it outgrew, and
/// itself.
const MEMORY: u64 = 1024 * 1024;

/// A peer that answers `/ok` well, and everything else with `start` and then `more` without an end.
fn flooding(start: impl Into<String>, more: fn(usize) -> String) -> RawPeer {
    let start = start.into();
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
            conn.write(&start).await;
            let mut number = 0;
            loop {
                let mut batch = String::new();
                while batch.len() < 16 * 1024 {
                    batch.push_str(&more(number));
                    number += 1;
                }
                if !conn.write(batch).await {
                    break;
                }
            }
            conn.wait_eof().await;
        }
    })
}

/// What `run` gives, and how much memory it had at the most.
fn most_memory<T>(run: impl Future<Output = T>) -> (T, u64) {
    let runtime = runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().unwrap();
    let mut done = None;
    let counted = allocation_counter::measure(|| done = Some(runtime.block_on(run)));
    (done.unwrap(), counted.bytes_max)
}

async fn post(session: &Session, url: &str) -> Result<String> {
    let sent = async { session.post(url).body("data").send().await?.text().await };
    timeout(PATIENCE, sent).await.expect("no hang")
}

/// The error of such a peer, on a new connection and on one from the pool.
fn assert_cut(builder: fn() -> SessionBuilder, peer: &RawPeer, names: &[&str]) {
    let check = async {
        let session = builder().open().await.unwrap();
        for round in 1..=2 {
            let error = expect_kind(post(&session, &peer.url("/x")).await, ErrorKind::Protocol);
            for name in names {
                assert!(chain(&error).contains(name), "{name}: {}", chain(&error));
            }
            assert!(error.was_sent() && !error.is_retryable(), "{error:?}");
            let reused = session.stats().reused;
            assert_books(&session, Accounts::NONE, round, reused);
            assert_eq!(post(&session, &peer.url("/ok")).await.unwrap(), "ok");
            assert_books(&session, Accounts::idle(1), round + 1, reused);
        }
        session.close().await;
    };
    let ((), memory) = most_memory(check);
    assert!(memory < MEMORY, "{names:?}: {memory} bytes");
}

fn small() -> SessionBuilder {
    Session::builder().http1_max_header_size(8 * 1024)
}

#[test]
fn a_head_beyond_the_limits_is_an_error_that_names_them() {
    let limits = [
        "http1_max_header_size, which is 65536",
        "http1_max_headers, which is 100",
    ];
    let field = |_| "x".repeat(1024);
    for start in [
        "HTTP/1.1 200 ",
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 200 OK\r\nx-value: ",
    ] {
        assert_cut(Session::builder, &flooding(start, field), &limits);
    }
    let head = "HTTP/1.1 200 OK\r\n";
    let empty_lines = flooding("", |_| "\r\n".into());
    assert_cut(Session::builder, &empty_lines, &limits);
    let headers = flooding(head, |number| format!("x-{number}: 1\r\n"));
    assert_cut(Session::builder, &headers, &limits);
    let cookies = flooding(head, |number| format!("set-cookie: a{number}=1\r\n"));
    assert_cut(Session::builder, &cookies, &limits);
    let few = || Session::builder().http1_max_headers(7);
    let limits = ["http1_max_headers, which is 7"];
    assert_cut(few, &headers, &limits);
    assert_cut(small, &flooding(head, field), &["which is 8192"]);
}

#[test]
fn interim_answers_without_an_end_are_an_error() {
    let more = |number| {
        let answer = ["100 Continue", "102 Processing", "103 Early Hints"][number % 3];
        let link = "x".repeat(2 * 1024);
        format!("HTTP/1.1 {answer}\r\nlink: {link}\r\n\r\n")
    };
    let interim = ["more than 1 MiB of interim answers"];
    assert_cut(small, &flooding("", more), &interim);
}

#[tokio::test]
async fn interim_answers_that_come_slowly_do_not_put_off_the_limit_of_the_head() {
    let peer = RawPeer::start(async |conn, _| {
        conn.read_request().await;
        while conn.write("HTTP/1.1 103 Early Hints\r\n\r\n").await {
            sleep(Duration::from_millis(1)).await;
        }
        conn.wait_eof().await;
    });
    let session = Session::builder().open().await.unwrap();
    let request = session
        .get(peer.url("/"))
        .head_timeout(Duration::from_millis(50));
    let late = timeout(PATIENCE, request.send()).await.expect("no hang");
    expect_kind(late, ErrorKind::Timeout(TimeoutPhase::Head));
    assert_books(&session, Accounts::NONE, 1, 0);
    peer.wait_live(0).await;
}

#[tokio::test]
async fn interim_answers_do_not_put_off_the_limit_of_an_upload_that_nobody_reads() {
    let peer = RawPeer::start(async |conn, _| {
        // No more than that: the rest is never taken.
        conn.read_head().await;
        while conn.write("HTTP/1.1 103 Early Hints\r\n\r\n").await {
            sleep(Duration::from_millis(1)).await;
        }
        conn.wait_eof().await;
    });
    let session = Session::builder().open().await.unwrap();
    let part = Bytes::from(vec![0; 64 * 1024]);
    let endless = Body::wrap_stream(stream::repeat_with(move || {
        Ok::<_, Infallible>(part.clone())
    }));
    let request = session.post(peer.url("/")).body(endless);
    let request = request.write_timeout(Duration::from_millis(50));
    let late = timeout(PATIENCE, request.send()).await.expect("no hang");
    let error = expect_kind(late, ErrorKind::Timeout(TimeoutPhase::Write));
    assert!(error.was_sent());
    assert_books(&session, Accounts::NONE, 1, 0);
    peer.wait_live(0).await;
}

#[tokio::test]
async fn as_many_interim_answers_as_there_may_be_come_before_the_answer() {
    let peer = RawPeer::start(async |conn, _| {
        while !conn.read_request().await.is_empty() {
            let interim = "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n".repeat(10_000);
            conn.write(interim).await;
            conn.write(OK).await;
        }
    });
    let session = Session::builder().open().await.unwrap();
    for round in 0..2 {
        assert_eq!(post(&session, &peer.url("/")).await.unwrap(), "ok");
        assert_books(&session, Accounts::idle(1), 1, round);
    }
}

#[test]
fn trailers_without_an_end_are_an_error() {
    let last = format!("{CHUNKED}2\r\nok\r\n0\r\n");
    for (start, more) in [
        (
            last.clone(),
            (|number| format!("x-{number}: 1\r\n")) as fn(usize) -> String,
        ),
        (format!("{last}x-long: "), |_| "x".repeat(1024)),
        (last, |_| "x".repeat(1024)),
    ] {
        assert_cut(Session::builder, &flooding(start, more), &["trailer"]);
    }
}

#[test]
fn chunk_extensions_without_an_end_are_an_error() {
    let limit = ["chunk extensions over limit"];
    let one = flooding(format!("{CHUNKED}2;a="), |_| "x".repeat(1024));
    assert_cut(Session::builder, &one, &limit);
    let each = flooding(CHUNKED, |_| "1;a=bcdefgh\r\nx\r\n".into());
    assert_cut(Session::builder, &each, &limit);
}

#[test]
fn a_chunk_size_without_an_end_is_an_error() {
    let surplus = ["in the midst of its body"];
    let zeros = flooding(CHUNKED, |_| "0".repeat(1024));
    assert_cut(small, &zeros, &surplus);
}

#[tokio::test]
async fn a_dropped_body_that_has_no_end_ends_its_connection() {
    let trailer = format!("{CHUNKED}2\r\nok\r\n0\r\n");
    for (start, more) in [
        (
            CHUNKED.into(),
            (|_| "1\r\nx\r\n".into()) as fn(usize) -> String,
        ),
        (format!("{CHUNKED}2;a="), |_| "x".repeat(1024)),
        (trailer, |number| format!("x-{number}: 1\r\n")),
    ] {
        let peer = flooding(start, more);
        let session = Session::builder().open().await.unwrap();
        let answer = session.get(peer.url("/x")).send().await.unwrap();
        drop(answer);
        timeout(PATIENCE, reach(&session, Accounts::NONE))
            .await
            .unwrap();
        assert_eq!(post(&session, &peer.url("/ok")).await.unwrap(), "ok");
        assert_books(&session, Accounts::idle(1), 2, 0);
    }
}

/// Answers with so many headers.
fn with_headers(header: fn(usize) -> String, count: usize) -> RawPeer {
    let headers: String = (0..count).map(header).collect();
    RawPeer::start(async move |conn, _| {
        while !conn.read_request().await.is_empty() {
            conn.write("HTTP/1.1 200 OK\r\n").await;
            conn.write(&headers).await;
            conn.write("content-length: 2\r\n\r\nok").await;
        }
    })
}

#[tokio::test]
async fn as_many_headers_as_are_allowed_are_read() {
    let header = |number| format!("x-{number}: 1\r\n");
    for (limit, fits, exceeds) in [
        (None, 99, 100),
        (Some(5), 4, 5),
        (Some(1000), 999, 1000),
        (Some(16_384), 16_383, 16_384),
    ] {
        let builder = Session::builder().http1_max_header_size(1024 * 1024);
        let session = match limit {
            Some(limit) => builder.http1_max_headers(limit),
            None => builder,
        };
        let session = session.open().await.unwrap();
        let peer = with_headers(header, fits);
        for round in 0..2 {
            let answer = session.get(peer.url("/")).send().await.unwrap();
            assert_eq!(answer.headers().len(), fits + 1);
            assert_eq!(answer.text().await.unwrap(), "ok");
            assert_books(&session, Accounts::idle(1), 1, round);
        }
        session.close_idle();
        let peer = with_headers(header, exceeds);
        let error = post(&session, &peer.url("/")).await;
        let error = expect_kind(error, ErrorKind::Protocol);
        assert!(chain(&error).contains("http1_max_headers"), "{error}");
        assert_books(&session, Accounts::NONE, 2, 1);
    }
}

#[tokio::test]
async fn a_number_of_headers_that_cannot_be_is_refused() {
    for headers in [0, 16_385, usize::MAX] {
        let opened = Session::builder().http1_max_headers(headers).open().await;
        let refused = expect_kind(opened, ErrorKind::Builder);
        assert!(
            refused.to_string().contains("http1_max_headers"),
            "{refused}"
        );
    }
}

#[cfg(feature = "cookies")]
#[tokio::test]
async fn a_storm_of_cookies_in_one_answer_ends_at_the_jars_limit() {
    use hyper_session::CookieJar;

    let jar = CookieJar::new();
    let builder = Session::builder().cookie_store(jar.clone());
    let builder = builder.http1_max_header_size(1024 * 1024);
    let session = builder.http1_max_headers(10_000).open().await.unwrap();
    let peer = with_headers(|number| format!("set-cookie: a{number}=1\r\n"), 9_999);
    for round in 0..2 {
        let answer = session.get(peer.url("/")).send().await.unwrap();
        assert_eq!(answer.cookies().count(), 9_999);
        assert_eq!(answer.text().await.unwrap(), "ok");
        assert_eq!(jar.cookies().len(), 50);
        assert_books(&session, Accounts::idle(1), 1, round);
    }
    let sent = String::from_utf8(peer.received(0)).unwrap();
    assert_eq!(sent.matches("=1; ").count(), 49, "in the second request");
}

#[cfg(feature = "http2")]
mod over_http2 {
    use http::Response;

    use super::*;
    use crate::support::http2::{Call, Http2Server, Manner, Then};

    /// Answers `/ok` well, `/large` with a large head, and `/interim` never.
    async fn answer(mut call: Call) -> Then {
        match call.request.uri().path() {
            "/large" => {
                let head = Response::builder().header("x-large", "x".repeat(20_000));
                let head = head.body(()).unwrap();
                call.answer.send_response(head, true).unwrap();
            }
            "/interim" => loop {
                let interim = Response::builder().status(103).body(()).unwrap();
                if call.answer.send_informational(interim).is_err() {
                    break;
                }
                sleep(Duration::from_millis(1)).await;
            },
            _ => return call.text("ok"),
        }
        Then::GoOn
    }

    #[tokio::test]
    async fn a_head_beyond_the_limit_ends_its_stream_and_names_it() {
        let server = Http2Server::start(Manner::default(), answer);
        let builder = Session::builder().http2_prior_knowledge();
        let session = builder.open().await.unwrap();
        for _ in 0..2 {
            let error = post(&session, &server.url("/large")).await;
            let error = expect_kind(error, ErrorKind::Protocol);
            let named = "http2_max_header_list_size, which is 16384 bytes";
            assert!(error.to_string().contains(named), "{error}");
            assert!(error.was_sent() && !error.is_retryable(), "{error:?}");
            assert_eq!(post(&session, &server.url("/ok")).await.unwrap(), "ok");
            reach(&session, Accounts::idle(1)).await;
        }
        assert_eq!((server.accepted(), server.requests()), (1, 4));
    }

    #[tokio::test]
    async fn interim_answers_do_not_put_off_the_limit_of_the_head() {
        let server = Http2Server::start(Manner::default(), answer);
        let builder = Session::builder().http2_prior_knowledge();
        let builder = builder.head_timeout(Duration::from_millis(50));
        let session = builder.open().await.unwrap();
        let late = post(&session, &server.url("/interim")).await;
        expect_kind(late, ErrorKind::Timeout(TimeoutPhase::Head));
        assert_eq!(post(&session, &server.url("/ok")).await.unwrap(), "ok");
        reach(&session, Accounts::idle(1)).await;
        assert_eq!(server.accepted(), 1);
    }
}
