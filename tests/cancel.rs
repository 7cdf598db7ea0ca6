//! A request that is dropped, at any point of its way.
#![allow(clippy::unwrap_used, reason = "a test that fails here has its line")]

mod support;

use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures::{poll, stream};
use hyper_session::{Body, Response, Session};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::yield_now;
use tokio::time::timeout;

use support::accounts::{Accounts, AliveTasks};
use support::books::{assert_books, reach};
use support::connectors::{Counting, Fate, Fated, Memory, read_head, write};
use support::gate::Gate;
use support::outcome::assert_waits;
use support::raw::RawPeer;
use support::tally::PATIENCE;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.expect("no hang")
}

async fn get(session: &Session, url: &str) -> String {
    let answer = soon(async { session.get(url).send().await?.text().await }).await;
    answer.expect("an answer")
}

/// Answers `/ok` at once, begins an answer to `/begin` and leaves everything else unanswered.
fn network() -> Memory {
    Memory::scripted(|mut end, _| async move {
        loop {
            let head = read_head(&mut end).await;
            if head.contains(" /ok ") {
                write(&mut end, OK).await;
                continue;
            }
            if head.contains(" /begin ") {
                write(
                    &mut end,
                    "HTTP/1.1 200 OK\r\ncontent-length: 200000\r\n\r\npart",
                )
                .await;
            }
            if head.contains(" /deaf ") {
                // Reads a little of the body, then nothing more.
                let _ = end.read_exact(&mut [0; 100]).await;
                return std::future::pending().await;
            }
            let _ = end.read_to_end(&mut Vec::new()).await;
            return;
        }
    })
}

async fn open(network: impl hyper_session::Connector, limit: usize) -> Session {
    let builder = Session::builder()
        .connector(network)
        .pool_max_connections(limit);
    builder.open().await.expect("valid settings")
}

/// After the drop nothing is left, and the session goes on, at a limit of one.
async fn assert_fine<C>(session: &Session, network: &Counting<C>) {
    let before = session.stats();
    assert_eq!(
        (before.exchanges, before.waiting, before.connecting),
        (0, 0, 0),
        "{before:?}"
    );
    assert_eq!((before.open, before.in_use), (before.idle, 0), "{before:?}");
    assert_eq!(
        (network.numbers().live, network.numbers().connecting),
        (before.open, 0)
    );
    assert_eq!(get(session, "http://a/ok").await, "ok");
    let after = session.stats();
    assert_eq!(
        (after.open, after.idle, after.exchanges),
        (1, 1, 0),
        "{after:?}"
    );
}

#[tokio::test]
async fn before_its_first_poll_has_done_nothing() {
    let network = Counting::new(network());
    let session = open(network.clone(), 1).await;
    drop(session.get("http://a/silent").send());
    assert_books(&session, Accounts::NONE, 0, 0);
    assert_eq!(network.numbers().asked, 0);
    assert_fine(&session, &network).await;
}

#[tokio::test]
async fn in_the_queue_leaves_its_place() {
    let network = Counting::new(network());
    let session = open(network.clone(), 1).await;
    let mut holder = soon(session.get("http://a/begin").send()).await.unwrap();
    assert_eq!(soon(holder.chunk()).await.unwrap().unwrap(), "part");
    for queued in 1..=3 {
        let mut waiting: Vec<_> = (0..queued)
            .map(|_| Box::pin(session.get("http://a/ok").send()))
            .collect();
        for waiting in &mut waiting {
            assert_waits(waiting.as_mut()).await;
        }
        assert_books(&session, Accounts::busy(1).and_queued(queued), 1, 0);
        drop(waiting.swap_remove(0));
        assert_books(&session, Accounts::busy(1).and_queued(queued - 1), 1, 0);
        drop(waiting);
        assert_books(&session, Accounts::busy(1), 1, 0);
    }
    drop(holder);
    assert_fine(&session, &network).await;
    assert_eq!(network.numbers().asked, 2);
}

#[tokio::test]
async fn while_it_connects_gives_the_attempt_up() {
    let gate = Gate::new();
    for late in [false, true] {
        let behind = gate.clone();
        let fates = Fated::new(network(), move |number| match number {
            0 => Fate::Behind(behind.clone()),
            _ => Fate::Made,
        });
        let network = Counting::new(fates);
        let session = open(network.clone(), 1).await;
        let tasks = AliveTasks::now();
        let mut sending = Box::pin(session.post("http://a/silent").body("data").send());
        assert_waits(sending.as_mut()).await;
        assert_books(&session, Accounts::NONE.and_connecting(1), 0, 0);
        if late {
            // Made by now, and never looked at.
            gate.open_for_good();
            yield_now().await;
        }
        drop(sending);
        assert_books(&session, Accounts::NONE, 0, 0);
        tasks.assert_back().await;
        assert_fine(&session, &network).await;
    }
}

#[tokio::test]
async fn while_its_body_is_sent_closes_the_connection() {
    let part = Bytes::from(vec![b'x'; 100_000]);
    let network = Counting::new(network());
    let session = open(network.clone(), 1).await;
    let bodies = [
        Body::from(vec![b'x'; 1_000_000]),
        Body::wrap_stream(stream::repeat_with(move || {
            Ok::<_, io::Error>(part.clone())
        })),
        Body::wrap_stream(stream::pending::<Result<Bytes, io::Error>>()),
    ];
    for (body, opened) in bodies.into_iter().zip([1, 2, 3]) {
        let mut sending = Box::pin(session.post("http://a/deaf").body(body).send());
        assert_waits(sending.as_mut()).await;
        assert_eq!(session.stats().opened, opened);
        assert_eq!((session.stats().in_use, session.stats().exchanges), (1, 1));
        drop(sending);
        assert_eq!((session.stats().open, network.numbers().live), (0, 0));
        assert_fine(&session, &network).await;
    }
}

#[tokio::test]
async fn while_it_waits_for_the_head_closes_the_connection() {
    let network = Counting::new(network());
    let session = open(network.clone(), 1).await;
    for opened in 1..=4 {
        let mut sending = Box::pin(session.get("http://a/silent").send());
        assert_waits(sending.as_mut()).await;
        assert_eq!(session.stats().opened, opened);
        assert_eq!((session.stats().in_use, session.stats().exchanges), (1, 1));
        drop(sending);
        assert_eq!((session.stats().open, network.numbers().live), (0, 0));
        if opened % 2 == 0 {
            // Otherwise the next one connects itself.
            assert_fine(&session, &network).await;
            let mut held = Box::pin(session.get("http://a/silent").send());
            assert_waits(held.as_mut()).await;
            assert_eq!(session.stats().opened, opened + 1);
            drop(held);
            return;
        }
    }
}

#[tokio::test]
async fn in_the_middle_of_the_body_closes_the_connection() {
    let network = Counting::new(network());
    let session = open(network.clone(), 1).await;
    for read in [false, true] {
        let mut response = soon(session.get("http://a/begin").send()).await.unwrap();
        if read {
            assert_eq!(soon(response.chunk()).await.unwrap().unwrap(), "part");
            let mut more = Box::pin(response.chunk());
            assert_waits(more.as_mut()).await;
            drop(more);
        }
        assert_eq!((session.stats().in_use, session.stats().exchanges), (1, 1));
        drop(response);
        assert_eq!((session.stats().open, network.numbers().live), (0, 0));
        assert_fine(&session, &network).await;
        session
            .get("http://a/close")
            .timeout(Duration::from_millis(1))
            .send()
            .await
            .unwrap_err();
    }
}

#[tokio::test]
async fn reading_loses_nothing_when_only_a_part_is_given_up() {
    let network = Counting::new(Memory::scripted(|mut end, _| async move {
        read_head(&mut end).await;
        write(&mut end, "HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n").await;
        for _ in 0..10 {
            for _ in 0..3 {
                yield_now().await;
            }
            let _ = end.write_all(b"ab").await;
        }
        read_head(&mut end).await;
    }));
    let session = open(network.clone(), 1).await;
    let mut response: Response = soon(session.get("http://a/").send()).await.unwrap();
    let mut read = Vec::new();
    while read.len() < 20 {
        // Polled once, and given up unless there is something.
        if let std::task::Poll::Ready(part) = poll!(Box::pin(response.chunk())) {
            read.extend(part.unwrap().unwrap());
        }
        yield_now().await;
    }
    assert_eq!(read, b"ab".repeat(10));
    assert_books(&session, Accounts::idle(1), 1, 0);
}

/// Over the real network, after every number of polls that a request can take.
#[tokio::test]
async fn after_any_number_of_polls_leaves_the_books_right() {
    let peer = RawPeer::start(async |conn, _| {
        loop {
            if conn.read_request().await.is_empty() {
                return;
            }
            conn.write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
                .await;
            yield_now().await;
            conn.write("2\r\nok\r\n").await;
            yield_now().await;
            conn.write("0\r\n\r\n").await;
        }
    });
    let session = Session::builder()
        .pool_max_connections(2)
        .open()
        .await
        .unwrap();
    let tasks = AliveTasks::now();
    for polls in (0..40).cycle().take(400) {
        let body = Body::wrap_stream(stream::iter(["a", "b"].map(Ok::<_, io::Error>)));
        let request = session.post(peer.url("/")).body(body);
        let mut exchange = Box::pin(async { request.send().await?.text().await });
        let mut done = None;
        for _ in 0..polls {
            if let std::task::Poll::Ready(answer) = poll!(exchange.as_mut()) {
                done = Some(answer);
                break;
            }
            yield_now().await;
        }
        drop(exchange);
        if let Some(answer) = done {
            assert_eq!(answer.unwrap(), "ok");
        }
        soon(async {
            // A drain or a connect may be left to itself.
            while session.stats().in_use + session.stats().connecting > 0 {
                yield_now().await;
            }
        })
        .await;
        let stats = session.stats();
        assert_eq!(
            (stats.exchanges, stats.waiting, stats.idle),
            (0, 0, stats.open),
            "{stats:?}"
        );
        assert!(stats.open <= 2, "{stats:?}");
    }
    assert_eq!(
        soon(session.get(peer.url("/")).send())
            .await
            .unwrap()
            .text()
            .await
            .unwrap(),
        "ok"
    );
    session.close().await;
    reach(&session, Accounts::NONE).await;
    peer.wait_live(0).await;
    tasks.assert_back().await;
}
