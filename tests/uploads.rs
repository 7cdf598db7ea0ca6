//! Requests that are still being sent when their answer has begun: whose connection is it, and how
//! long may it take.
#![allow(clippy::unwrap_used, reason = "a test that fails here has its line")]

mod support;

use std::io;
use std::sync::mpsc;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use hyper_session::{Body, ErrorKind, Response, Session};
use support::accounts::{Accounts, assert_accounts};
use support::connectors::{Memory, read_head, write};
use tokio::io::AsyncReadExt;
use tokio::time::sleep;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
/// More than the pool takes for sent when the head is there.
const LARGE: usize = 100_000;

async fn ms(millis: u64) {
    sleep(Duration::from_millis(millis)).await;
}

/// Reads a large POST to its end and answers with the head first; answers a GET of `/slow` late,
/// and of `/stream` in two parts.
fn network() -> Memory {
    Memory::scripted(|mut end, _| async move {
        loop {
            let head = read_head(&mut end).await;
            if head.is_empty() {
                return;
            }
            if head.starts_with("POST") {
                let mut body = vec![0; LARGE];
                if end.read_exact(&mut body).await.is_err() {
                    return;
                }
                write(&mut end, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n").await;
                ms(10).await;
                write(&mut end, "ok").await;
            } else if head.contains("/stream") {
                write(&mut end, "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\npa").await;
                ms(500).await;
                write(&mut end, "rt").await;
            } else {
                ms(500).await;
                write(&mut end, OK).await;
            }
        }
    })
}

async fn open(network: Memory) -> Session {
    Session::builder().connector(network).open().await.unwrap()
}

async fn upload(session: &Session) -> Response {
    // In one part: nobody can say when it has been sent.
    let part = stream::iter([Ok::<_, io::Error>(vec![0; LARGE])]);
    let post = session.post("http://a/").header("content-length", LARGE);
    let post = post.body(Body::wrap_stream(part));
    post.send().await.unwrap()
}

async fn get(session: &Session, url: &'static str) -> tokio::task::JoinHandle<String> {
    let session = session.clone();
    let getting = tokio::spawn(async move {
        let response = session.get(url).send().await.unwrap();
        response.text().await.unwrap()
    });
    ms(50).await;
    getting
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_fails_when_its_answer_has_begun_is_named_as_what_ended_it() {
    let network = Memory::scripted(|mut end, _| async move {
        read_head(&mut end).await;
        write(&mut end, "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\npa").await;
        let _ = end.read_to_end(&mut Vec::new()).await;
    });
    let session = open(network).await;
    let parts = stream::iter([Ok("part"), Err(io::Error::other("the disk is gone"))]);
    let slowly = parts.then(|part| async {
        ms(10).await;
        part
    });
    let post = session.post("http://a/").body(Body::wrap_stream(slowly));
    let error = post.send().await.unwrap().bytes().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Body, "{error:?}");
    assert!(
        format!("{error:?}").contains("the disk is gone"),
        "{error:?}"
    );
    assert_accounts(&session.stats(), Accounts::NONE);
}

#[tokio::test(start_paused = true)]
async fn dropping_the_answer_of_an_upload_does_not_touch_who_has_its_connection_now() {
    let session = open(network()).await;
    let first = upload(&session).await;
    ms(50).await;
    assert_accounts(&session.stats(), Accounts::idle(1));
    let second = get(&session, "http://a/slow").await;
    assert_eq!(session.stats().opened, 1);
    drop(first);
    assert_eq!(second.await.unwrap(), "ok");
}

#[tokio::test(start_paused = true)]
async fn dropping_the_answer_of_an_upload_leaves_its_connection_idle() {
    let session = open(network()).await;
    let first = upload(&session).await;
    ms(50).await;
    drop(first);
    assert_accounts(&session.stats(), Accounts::idle(1));
}

#[tokio::test(start_paused = true)]
async fn a_close_waits_for_an_exchange_on_a_connection_that_carried_an_upload() {
    let session = open(network()).await;
    let first = upload(&session).await;
    assert_eq!(first.text().await.unwrap(), "ok");
    ms(50).await;
    assert_accounts(&session.stats(), Accounts::idle(1));
    let second = get(&session, "http://a/stream").await;
    let report = session.close().await;
    assert_eq!(second.await.unwrap(), "part");
    assert_eq!(report.severed, 0);
}

#[tokio::test(start_paused = true)]
async fn the_limit_of_an_answered_upload_does_not_end_another_exchange() {
    let session = open(network()).await;
    let post = session
        .post("http://a/")
        .timeout(Duration::from_millis(200));
    let mut first = post.body(vec![0; LARGE]).send().await.unwrap();
    ms(50).await;
    let second = get(&session, "http://a/slow").await;
    ms(300).await;
    let _ = first.chunk().await;
    drop(first);
    assert_eq!(second.await.unwrap(), "ok");
}

#[test]
fn a_request_that_is_fed_by_its_own_answer_may_run_out_of_time() {
    let (done, is_done) = mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.unwrap().block_on(async {
            let session = open(Memory::scripted(|mut end, _| async move {
                read_head(&mut end).await;
                let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
                write(&mut end, head).await;
                std::future::pending::<()>().await;
            }))
            .await;
            let (give, take) = tokio::sync::oneshot::channel::<Response>();
            let own_answer = stream::once(async move {
                let answer = take.await.unwrap().bytes_stream();
                Ok::<_, io::Error>(answer.map(|part| part.map_err(io::Error::other)))
            });
            let post = session
                .post("http://a/")
                .timeout(Duration::from_millis(200));
            let body = Body::wrap_stream(own_answer.try_flatten());
            give.send(post.body(body).send().await.unwrap()).unwrap();
            ms(500).await;
        });
        done.send(()).unwrap();
    });
    let ended = is_done.recv_timeout(Duration::from_secs(10));
    ended.expect("no deadlock");
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_goes_on_is_not_a_late_head() {
    let session = open(Memory::scripted(|mut end, _| async move {
        let mut read = vec![0; 4096];
        loop {
            let length = end.read(&mut read).await.unwrap_or(0);
            if length == 0 {
                return;
            }
            if read[..length].ends_with(b"0\r\n\r\n") {
                break;
            }
        }
        write(&mut end, OK).await;
        read_head(&mut end).await;
    }))
    .await;
    let parts = stream::unfold(0, |part| async move {
        if part == 40 {
            return None;
        }
        sleep(Duration::from_secs(10)).await;
        Some((Ok::<_, io::Error>(Bytes::from("part")), part + 1))
    });
    let post = session.post("http://a/").body(Body::wrap_stream(parts));
    assert_eq!(post.send().await.unwrap().text().await.unwrap(), "ok");
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_nobody_waits_for_ends_in_time() {
    let session = open(Memory::scripted(|mut end, _| async move {
        read_head(&mut end).await;
        write(&mut end, OK).await;
        std::future::pending::<()>().await;
    }))
    .await;
    let post = session.post("http://a/").body(vec![0; 1_000_000]);
    assert_eq!(post.send().await.unwrap().text().await.unwrap(), "ok");
    assert_eq!(session.stats().in_use, 1);
    sleep(Duration::from_secs(31)).await;
    assert_accounts(&session.stats(), Accounts::NONE);
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_gets_what_came_in_time() {
    let network = Memory::scripted(|mut end, _| async move {
        read_head(&mut end).await;
        write(&mut end, "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n").await;
        ms(100).await;
        write(&mut end, "pa").await;
        ms(3000).await;
        write(&mut end, "rt").await;
        std::future::pending::<()>().await;
    });
    let builder = Session::builder().read_timeout(Duration::from_secs(5));
    let session = builder.connector(network).open().await.unwrap();
    let endless = stream::unfold((), |()| async {
        ms(1000).await;
        Some((Ok::<_, io::Error>(Bytes::from("x")), ()))
    });
    let post = session.post("http://a/").body(Body::wrap_stream(endless));
    let mut answer = post.send().await.unwrap();
    assert!(futures::poll!(std::pin::pin!(answer.chunk())).is_pending());
    ms(10_000).await;
    assert_eq!(answer.chunk().await.unwrap().unwrap(), "pa");
    assert_eq!(answer.chunk().await.unwrap().unwrap(), "rt");
}
