//! What a large body leaves behind on its connection: nothing, and the next request finds it as new.
#![allow(clippy::unwrap_used, reason = "a test that fails here has its line")]

mod support;

use bytes::Bytes;
use hyper_session::{Body, Session};
use tokio::runtime;
use tokio::time::timeout;

use support::accounts::Accounts;
use support::books::{assert_books, reach};
use support::connectors::{Memory, read_head, write};
use support::gate::Gate;
use support::raw::RawPeer;
use support::tally::PATIENCE;

const LARGE: usize = 4 * 1024 * 1024;

/// Answers `/large` with a large body, in chunks if `chunked`, and everything else with a small one.
fn peer(chunked: bool) -> RawPeer {
    RawPeer::start(async move |conn, _| {
        loop {
            let request = conn.read_request().await;
            if request.is_empty() {
                return;
            }
            if !String::from_utf8_lossy(&request).contains(" /large ") {
                conn.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
                    .await;
            } else if chunked {
                conn.write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
                    .await;
                let chunk = format!("1000\r\n{}\r\n", "x".repeat(0x1000));
                for _ in 0..LARGE / 0x10_0000 {
                    conn.write(chunk.repeat(0x100)).await;
                }
                conn.write("0\r\n\r\n").await;
            } else {
                conn.write(format!(
                    "HTTP/1.1 200 OK\r\ncontent-length: {LARGE}\r\n\r\n"
                ))
                .await;
                conn.write("x".repeat(LARGE)).await;
            }
        }
    })
}

async fn length(session: &Session, url: &str) -> usize {
    let mut answer = session.get(url).send().await.unwrap();
    let mut length = 0;
    while let Some(part) = answer.chunk().await.unwrap() {
        length += part.len();
    }
    length
}

/// What a session with an idle connection holds after these answers, in bytes.
fn held(peer: &RawPeer, paths: &[(&str, usize)]) -> i64 {
    let runtime = runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().unwrap();
    let mut kept = None;
    let counted = allocation_counter::measure(|| {
        kept = Some(runtime.block_on(async {
            let session = Session::builder().open().await.unwrap();
            for (path, expected) in paths {
                assert_eq!(length(&session, &peer.url(path)).await, *expected);
            }
            session
        }));
    });
    let session = kept.unwrap();
    assert_books(&session, Accounts::idle(1), 1, paths.len() as u64 - 1);
    counted.bytes_current
}

#[test]
fn its_buffers_are_let_go_when_it_has_been_read() {
    for chunked in [false, true] {
        let peer = peer(chunked);
        let small = held(&peer, &[("/", 2), ("/", 2)]);
        let large = held(&peer, &[("/", 2), ("/large", LARGE)]);
        let both = held(
            &peer,
            &[("/large", LARGE), ("/", 2), ("/large", LARGE), ("/", 2)],
        );
        for after in [large, both] {
            assert!(after < small + 8 * 1024, "{after} against {small} bytes");
        }
    }
}

#[tokio::test]
async fn what_comes_behind_it_is_nobodys_answer() {
    let stray = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nstray";
    let peer = RawPeer::start(async move |conn, number| {
        conn.read_request().await;
        if number == 0 {
            conn.write(format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {LARGE}\r\n\r\n{}{stray}",
                "x".repeat(LARGE)
            ))
            .await;
        } else {
            conn.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
                .await;
        }
        conn.wait_eof().await;
    });
    let session = Session::builder().open().await.unwrap();
    assert_eq!(length(&session, &peer.url("/")).await, LARGE);
    assert_eq!(length(&session, &peer.url("/")).await, 2);
    assert_books(&session, Accounts::idle(1), 2, 0);
}

#[tokio::test]
async fn one_that_answers_an_upload_leaves_its_connection_to_the_next() {
    const PART: usize = 64 * 1024;
    let peer = RawPeer::start(async move |conn, _| {
        while !conn.read_head().await.is_empty() {
            conn.write(format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {LARGE}\r\n\r\n"
            ))
            .await;
            conn.write("x".repeat(LARGE)).await;
            conn.read(LARGE).await;
        }
    });
    let session = Session::builder().open().await.unwrap();
    for round in 0..3 {
        let part = Bytes::from(vec![b'x'; PART]);
        let parts: Vec<_> = (0..LARGE / PART)
            .map(|_| Ok::<_, std::io::Error>(part.clone()))
            .collect();
        let body = Body::wrap_stream(futures::stream::iter(parts));
        let request = session.post(peer.url("/")).header("content-length", LARGE);
        let answer = request.body(body).send().await.unwrap();
        assert_eq!(answer.bytes().await.unwrap().len(), LARGE);
        reach(&session, Accounts::idle(1)).await;
        assert_books(&session, Accounts::idle(1), 1, round);
    }
}

#[tokio::test]
async fn one_that_comes_before_its_request_was_read_does_not_cut_the_request_short() {
    let gate = Gate::new();
    let was_read = gate.clone();
    let memory = Memory::scripted(move |mut end, number| {
        let was_read = was_read.clone();
        async move {
            if number == 0 {
                let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {LARGE}\r\n\r\n");
                write(&mut end, &answer).await;
                write(&mut end, &"x".repeat(LARGE)).await;
                was_read.pass().await;
                read_head(&mut end).await;
            }
            while !read_head(&mut end).await.is_empty() {
                write(&mut end, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
            }
        }
    });
    let session = Session::builder().connector(memory).open().await.unwrap();
    // More than the pipe holds.
    let request = session
        .get("http://a/")
        .header("x-x", "x".repeat(80 * 1024));
    let answer = request.send().await.unwrap();
    assert_eq!(answer.bytes().await.unwrap().len(), LARGE);
    gate.open();
    let next = timeout(PATIENCE, length(&session, "http://a/next"));
    assert_eq!(next.await.expect("no hang"), 2);
    assert_books(&session, Accounts::idle(1), 1, 1);
}
