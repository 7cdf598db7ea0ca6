//! A body that is sent when the server asks for it, and not before.
#![allow(clippy::unwrap_used, reason = "a test that fails here has its line")]

mod support;

use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, stream};
use hyper_session::{Body, ErrorKind, RequestBuilder, Session, TimeoutPhase};
use support::accounts::{Accounts, AliveTasks, assert_accounts};
use support::connectors::{Memory, read_head, write};
use support::outcome::expect_kind;
use tokio::io::{AsyncReadExt, DuplexStream};
use tokio::time::{Instant, timeout};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

async fn open(network: Memory) -> Session {
    Session::builder().connector(network).open().await.unwrap()
}

/// Reads so much, or what there was at the client's end.
async fn read(end: &mut DuplexStream, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    let mut seen = 0;
    while seen < length {
        match end.read(&mut bytes[seen..]).await {
            Ok(0) | Err(_) => break,
            Ok(more) => seen += more,
        }
    }
    bytes.truncate(seen);
    bytes
}

/// Sees no byte of the body for half a second, and then says `word`.
fn asking(word: &'static str) -> Memory {
    Memory::scripted(move |mut end, _| async move {
        loop {
            let head = read_head(&mut end).await;
            if head.is_empty() {
                return;
            }
            assert!(head.contains("expect: 100-continue\r\n"), "{head}");
            assert!(head.contains("content-length: 4\r\n"), "{head}");
            let early = timeout(Duration::from_millis(500), end.read_u8()).await;
            assert!(early.is_err(), "the body came unasked");
            write(&mut end, word).await;
            assert_eq!(read(&mut end, 4).await, b"body");
            write(&mut end, OK).await;
        }
    })
}

async fn answer(request: RequestBuilder) -> String {
    request.send().await.unwrap().text().await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_body_comes_when_the_server_asks_for_it_and_the_connection_stays() {
    let session = open(asking("HTTP/1.1 100 Continue\r\n\r\n")).await;
    let request = || session.post("http://a/").expect_continue();
    let began = Instant::now();
    assert_eq!(answer(request().body("body")).await, "ok");
    let parts = stream::iter(["bo", "dy"]).map(|part| Ok::<_, std::io::Error>(Bytes::from(part)));
    let streamed = request().header("content-length", 4);
    assert_eq!(answer(streamed.body(Body::wrap_stream(parts))).await, "ok");
    assert_eq!(began.elapsed().as_secs(), 1);
    assert_accounts(&session.stats(), Accounts::idle(1));
    assert_eq!((session.stats().opened, session.stats().reused), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn another_interim_answer_does_not_ask_for_it() {
    let early = "HTTP/1.1 103 Early Hints\r\n\r\n";
    let session = open(Memory::scripted(move |mut end, _| async move {
        read_head(&mut end).await;
        write(&mut end, early).await;
        let unasked = timeout(Duration::from_millis(500), end.read_u8()).await;
        assert!(unasked.is_err(), "the body came unasked");
        write(&mut end, "HTTP/1.1 100 Continue\r\n\r\n").await;
        read(&mut end, 4).await;
        write(&mut end, OK).await;
        end.read_u8().await.unwrap_err();
    }))
    .await;
    let request = session.post("http://a/").expect_continue().body("body");
    assert_eq!(answer(request).await, "ok");
}

#[tokio::test(start_paused = true)]
async fn of_a_server_that_says_nothing_it_is_not_withheld_for_more_than_a_second() {
    let session = open(asking("")).await;
    let request = session.post("http://a/").expect_continue().body("body");
    let began = Instant::now();
    assert_eq!(answer(request).await, "ok");
    assert_eq!(began.elapsed().as_secs(), 1);
    assert_accounts(&session.stats(), Accounts::idle(1));
}

#[tokio::test(start_paused = true)]
async fn the_limit_of_the_head_begins_when_the_body_has_gone_out() {
    let limited = |session: &Session| {
        let request = session.post("http://a/").expect_continue().body("body");
        request.head_timeout(Duration::from_millis(100))
    };
    let session = open(asking("")).await;
    assert_eq!(answer(limited(&session)).await, "ok");
    assert_accounts(&session.stats(), Accounts::idle(1));

    for word in ["", "HTTP/1.1 100 Continue\r\n\r\n"] {
        let session = open(Memory::scripted(move |mut end, _| async move {
            read_head(&mut end).await;
            write(&mut end, word).await;
            assert_eq!(read(&mut end, 5).await, b"body");
        }))
        .await;
        let began = Instant::now();
        let late = limited(&session).send().await;
        expect_kind(late, ErrorKind::Timeout(TimeoutPhase::Head));
        let asked_for = if word.is_empty() { 1000 } else { 0 };
        let waited = began.elapsed().as_millis() - asked_for;
        assert!((100..200).contains(&waited), "{waited} ms of paused time");
        assert_accounts(&session.stats(), Accounts::NONE);
    }
}

#[tokio::test(start_paused = true)]
async fn a_final_answer_spares_the_body_and_ends_the_connection() {
    let tasks = AliveTasks::now();
    for answered in [
        "HTTP/1.1 417 Expectation Failed\r\ncontent-length: 2\r\n\r\nno",
        "HTTP/1.1 401 Unauthorized\r\ntransfer-encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n",
        "HTTP/1.1 413 Content Too Large\r\nconnection: close\r\n\r\nno",
        "HTTP/1.1 204 No Content\r\n\r\n",
    ] {
        let session = open(Memory::scripted(move |mut end, _| async move {
            read_head(&mut end).await;
            write(&mut end, answered).await;
            if answered.contains("close") {
                return;
            }
            assert_eq!(read(&mut end, 1).await, b"", "the body came");
        }))
        .await;
        for body in [Body::from("body"), Body::from(vec![7; 1_000_000])] {
            let request = session.put("http://a/").expect_continue().body(body);
            let answer = request.send().await.unwrap();
            assert!(answered.contains(answer.status().as_str()));
            let text = answer.text().await.unwrap();
            assert_eq!(text, if answered.contains("204") { "" } else { "no" });
            assert_accounts(&session.stats(), Accounts::NONE);
        }
    }
    tasks.assert_back().await;
}

#[tokio::test(start_paused = true)]
async fn without_a_body_nothing_is_expected() {
    let session = open(Memory::scripted(|mut end, _| async move {
        let head = read_head(&mut end).await;
        assert!(!head.contains("expect"), "{head}");
        write(&mut end, OK).await;
    }))
    .await;
    assert_eq!(
        answer(session.get("http://a/").expect_continue()).await,
        "ok"
    );
}

#[tokio::test(start_paused = true)]
async fn dropped_while_the_body_waits_the_request_closes_its_connection() {
    let session = open(Memory::scripted(|mut end, _| async move {
        read_head(&mut end).await;
        assert_eq!(read(&mut end, 1).await, b"");
    }))
    .await;
    let request = session.post("http://a/").expect_continue().body("body");
    let late = timeout(Duration::from_millis(500), request.send()).await;
    assert!(late.is_err());
    assert_accounts(&session.stats(), Accounts::NONE);
    assert_eq!(session.stats().closed_by.cancelled, 1);
}
