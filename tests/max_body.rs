//! No body is longer than it may be, however small it was on the way.
#![allow(clippy::unwrap_used, reason = "a test that fails here has its line")]

mod support;

use std::time::Duration;

use futures::TryStreamExt;
use http::StatusCode;
use http_body_util::BodyExt;
use hyper_session::{Error, ErrorKind, Result, Session};
use support::accounts::{Accounts, assert_accounts};
use support::raw::RawPeer;
use support::server::{Server, channel_body, respond, text};

/// Ten bytes with a length, or in chunks, and then more chunks without an end.
fn server() -> Server {
    Server::start(async |request| match request.uri().path() {
        "/length" => text("ten bytes!"),
        "/chunks" => {
            let (sender, body) = channel_body();
            tokio::spawn(async move {
                sender.send("ten ").await.unwrap();
                sender.send("bytes!").await.unwrap();
            });
            respond(StatusCode::OK, body)
        }
        _ => {
            let (sender, body) = channel_body();
            tokio::spawn(async move { while sender.send("ten bytes!").await.is_ok() {} });
            respond(StatusCode::OK, body)
        }
    })
}

#[track_caller]
fn assert_too_large(error: &Error, limit: u64) {
    assert_eq!(error.kind(), ErrorKind::BodyTooLarge, "{error:?}");
    let shown = error.to_string();
    assert!(shown.contains(&format!("the limit is {limit} ")), "{shown}");
    assert!(error.was_sent());
    assert!(error.url().is_some());
}

#[tokio::test]
async fn a_body_may_be_as_long_as_its_limit_and_not_longer() -> Result<()> {
    let server = server();
    let session = Session::builder().base_url(server.url("/"));
    let session = session.max_body(10).open().await?;
    for path in ["length", "chunks"] {
        assert_eq!(session.get(path).send().await?.text().await?, "ten bytes!");
        let streamed = session.get(path).send().await?.bytes_stream();
        let streamed: Vec<_> = streamed.try_collect().await?;
        assert_eq!(streamed.concat(), b"ten bytes!");

        let answer = session.get(path).max_body(9).send().await?;
        assert_too_large(&answer.text().await.unwrap_err(), 9);
        let answer = session.get(path).max_body(9).send().await?;
        let streamed = answer.bytes_stream().try_collect::<Vec<_>>().await;
        assert_too_large(&streamed.unwrap_err(), 9);
        let answer = session.get(path).max_body(9).send().await?;
        let collected = answer.into_http().collect().await;
        assert_too_large(&collected.unwrap_err(), 9);

        let lifted = session.get(path).max_body(None).send().await?;
        assert_eq!(lifted.text().await?, "ten bytes!");
    }
    Ok(())
}

#[tokio::test]
async fn the_connection_of_a_body_that_is_too_long_is_closed() -> Result<()> {
    let server = server();
    let session = Session::builder().base_url(server.url("/"));
    let session = session.max_body(100).open().await?;
    let answer = session.get("endless").send().await?;
    let error = answer.bytes().await.unwrap_err();
    assert_too_large(&error, 100);
    assert!(error.to_string().contains("110 bytes so far"), "{error}");
    assert_accounts(&session.stats(), Accounts::NONE);

    let mut read = session.get("endless").send().await?;
    let error = loop {
        match read.chunk().await {
            Ok(part) => assert!(part.is_some()),
            Err(error) => break error,
        }
    };
    assert_too_large(&error, 100);
    assert_accounts(&session.stats(), Accounts::NONE);
    assert_eq!(read.chunk().await?, None);
    server.wait_live(0).await;
    Ok(())
}

#[tokio::test]
async fn a_body_that_is_too_long_by_its_own_account_is_not_read() -> Result<()> {
    let peer = RawPeer::start(async |conn, _| {
        conn.read_request().await;
        conn.write("HTTP/1.1 200 OK\r\ncontent-length: 1073741825\r\n\r\n")
            .await;
        conn.wait_eof().await;
    });
    let session = Session::builder().read_timeout(Duration::from_secs(5));
    let session = session.open().await?;
    for limit in [None, Some(1000)] {
        let mut request = session.get(peer.url("/"));
        if let Some(limit) = limit {
            request = request.max_body(limit);
        }
        let error = request.send().await?.bytes().await.unwrap_err();
        assert_too_large(&error, limit.unwrap_or(1024 * 1024 * 1024));
        assert!(error.to_string().contains("1073741825"), "{error}");
        assert_accounts(&session.stats(), Accounts::NONE);
    }
    peer.wait_live(0).await;
    Ok(())
}

#[tokio::test]
async fn a_refused_answer_has_no_more_of_its_body_than_it_may() -> Result<()> {
    let server = Server::start(async |_| {
        let mut answer = text("ten bytes!");
        *answer.status_mut() = StatusCode::BAD_REQUEST;
        answer
    });
    let session = Session::builder().raise_for_status(true).max_body(3);
    let session = session.open().await?;
    let error = session.get(server.url("/")).send().await.unwrap_err();
    assert_eq!(error.status(), Some(StatusCode::BAD_REQUEST));
    assert_eq!(error.body(), Some(&b""[..]));
    Ok(())
}

#[cfg(all(
    feature = "gzip",
    feature = "deflate",
    feature = "brotli",
    feature = "zstd"
))]
mod bombs {
    use std::future::poll_fn;
    use std::pin::pin;

    use http::HeaderValue;
    use http::header::CONTENT_ENCODING;
    use hyper_session::Response;
    use tokio::runtime;

    use super::support::coding::{BOMB_WINDOW, CODINGS, bomb, gzip, zstd};
    use super::support::server::{Body, full};
    use super::*;

    const MIB: u64 = 1024 * 1024;
    const LIMIT: u64 = 4 * MIB;

    /// A server of one bomb. It stops when nobody reads on.
    fn bombing(coding: &'static str) -> Server {
        Server::start(async move |_| {
            let (sender, body) = channel_body();
            tokio::spawn(async move {
                for part in bomb(coding) {
                    if !part.is_empty() && sender.send(part).await.is_err() {
                        return;
                    }
                }
            });
            coded(coding, body)
        })
    }

    fn serving(coding: &'static str, body: Vec<u8>) -> Server {
        Server::start(async move |_| coded(coding, full(body.clone())))
    }

    fn coded(coding: &'static str, body: Body) -> http::Response<Body> {
        let mut answer = respond(StatusCode::OK, body);
        let value = HeaderValue::from_static(coding);
        answer.headers_mut().insert(CONTENT_ENCODING, value);
        answer
    }

    /// Runs it here, and says how many bytes were allocated here at the most.
    fn most_memory<T>(run: impl Future<Output = T>) -> (T, u64) {
        let runtime = runtime::Builder::new_current_thread();
        let runtime = { runtime }.enable_all().build().unwrap();
        let mut done = None;
        let counted = allocation_counter::measure(|| done = Some(runtime.block_on(run)));
        (done.unwrap(), counted.bytes_max)
    }

    #[test]
    fn a_bomb_is_defused_at_the_limit_when_it_is_collected() {
        for coding in CODINGS {
            let server = bombing(coding);
            let (session, memory) = most_memory(async {
                let session = Session::builder().max_body(LIMIT).open().await.unwrap();
                let answer = session.get(server.url("/")).send().await.unwrap();
                assert_too_large(&answer.bytes().await.unwrap_err(), LIMIT);
                assert_accounts(&session.stats(), Accounts::NONE);
                session
            });
            // zstd's window is not Rust's memory.
            let window = if coding == "br" { 1 << BOMB_WINDOW } else { 0 };
            // The counter takes a reallocation for two allocations; the system's moves pages.
            let moved = LIMIT / 2;
            assert!(memory <= LIMIT + MIB + window + moved, "{coding}: {memory}");
            drop(session);
        }
    }

    #[test]
    fn a_bomb_takes_next_to_no_memory_when_it_is_streamed() {
        for coding in CODINGS {
            let server = bombing(coding);
            let ((), memory) = most_memory(async {
                let session = Session::builder().open().await.unwrap();
                let mut answer = session.get(server.url("/")).send().await.unwrap();
                let mut read = 0;
                while read < LIMIT {
                    let part = answer.chunk().await.unwrap().unwrap();
                    assert!(part.len() <= 64 * 1024);
                    assert_eq!(part, vec![0; part.len()]);
                    read += part.len() as u64;
                }
                let endless = session.get(server.url("/")).max_body(LIMIT);
                let parts = endless.send().await.unwrap().bytes_stream();
                let error = parts.try_for_each(async |_| Ok(())).await.unwrap_err();
                assert_too_large(&error, LIMIT);
            });
            assert!(memory <= 2 * MIB, "{coding}: {memory}");
        }
    }

    #[tokio::test]
    async fn a_bomb_that_is_hidden_between_two_codings_is_counted() -> Result<()> {
        // Two mebibytes of gzip members that mean nothing: the outer coding makes it of next to nothing.
        let nothing = gzip(b"").repeat(120_000);
        assert!(nothing.len() as u64 > 2 * MIB);
        let server = serving("gzip, gzip", gzip(&nothing));
        let session = Session::builder().base_url(server.url("/")).open().await?;
        let allowed: Response = session.get("").max_body(2 * MIB).send().await?;
        assert_eq!(allowed.text().await?, "");
        let refused = session.get("").max_body(MIB).send().await?;
        assert_too_large(&refused.text().await.unwrap_err(), MIB);
        Ok(())
    }

    #[tokio::test]
    async fn what_is_coded_twice_is_counted_as_what_it_means() -> Result<()> {
        let server = serving("gzip, gzip", gzip(&gzip(b"0123456789")));
        let session = Session::builder().base_url(server.url("/")).open().await?;
        let allowed: Response = session.get("").max_body(10).send().await?;
        assert_eq!(allowed.text().await?, "0123456789");
        let refused = session.get("").max_body(9).send().await?;
        assert_too_large(&refused.text().await.unwrap_err(), 9);
        Ok(())
    }

    #[tokio::test]
    async fn others_have_their_turn_while_a_bomb_expands() -> Result<()> {
        let server = serving("zstd", zstd(&vec![0; 32 << 20]));
        let session = Session::builder().open().await?;
        let answer = session.get(server.url("/")).send().await?;
        // All of it has come: nothing is waited for any more.
        assert_accounts(&session.stats(), Accounts::idle(1));
        let mut turns = 0;
        let mut reading = pin!(answer.bytes());
        let read = poll_fn(|cx| {
            turns += 1;
            reading.as_mut().poll(cx)
        });
        assert_eq!(read.await?.len(), 32 << 20);
        assert!(turns > 1, "{turns}");
        Ok(())
    }
}
