//! Exchanges that drive their own connection: what hyper, the kernel and the peer can do to that.
#![allow(clippy::unwrap_used, reason = "a test that fails here has its line")]

mod support;

use std::future::{pending, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::stream::{self, FuturesUnordered};
use futures::{FutureExt, StreamExt, poll};
use http::{Method, Response as HttpResponse, StatusCode, Uri};
use http_body_util::BodyExt;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_session::{Body, ErrorKind, Response, Session, TimeoutPhase};
use hyper_util::client::legacy::connect::{Connected, Connection};
use tokio::runtime::{self, Runtime};
use tokio::sync::Barrier;
use tokio::task::{coop, yield_now};
use tokio::time::timeout;
use tower_service::Service;

use support::accounts::{Accounts, AliveTasks};
use support::books::{assert_books, reach};
use support::connectors::{Counting, Memory, Pipe, read_head, write};
use support::gate::Gate;
use support::outcome::{chain, expect_kind};
use support::raw::RawPeer;
use support::server::{self, Server, channel_body, echo, respond, text};
use support::surprise::{OK, STRAYS, Surprise, serve};
use support::tally::PATIENCE;

async fn open() -> Session {
    Session::builder().open().await.expect("valid settings")
}

/// Whatever is awaited here would hang if the pool is wrong.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.expect("no hang")
}

async fn get(session: &Session, url: &str) -> hyper_session::Result<String> {
    soon(async { session.get(url).send().await?.text().await }).await
}

async fn post(session: &Session, url: &str) -> hyper_session::Result<String> {
    soon(async { session.post(url).body("data").send().await?.text().await }).await
}

async fn call(session: &Session, method: Method, url: &str) -> hyper_session::Result<String> {
    match method {
        Method::POST => post(session, url).await,
        _ => get(session, url).await,
    }
}

mod a_connection_that_died_idle {
    use super::*;

    #[tokio::test]
    async fn is_replaced_for_any_method_when_the_reactor_has_told_of_it() {
        let server = Server::text("hello");
        let session = open().await;
        let mut opened = 0;
        for round in 0..40 {
            let method = [Method::GET, Method::POST][round % 2].clone();
            assert_eq!(
                call(&session, method, &server.url("/")).await.unwrap(),
                "hello"
            );
            opened += 1;
            assert_books(&session, Accounts::idle(1), opened, 0);
            match round % 4 {
                0 | 1 => server.close_all().await,
                _ => server.reset_all().await,
            }
        }
        assert_eq!(server.requests(), 40);
        session.close().await;
        server.wait_live(0).await;
    }

    #[tokio::test]
    async fn neither_loses_a_post_nor_answers_it_with_what_nobody_asked_for() {
        for stray in STRAYS {
            let surprise = Surprise::new(stray);
            let (peer, session) = (&surprise.peer, open().await);
            let url = peer.url("/");
            assert_eq!(get(&session, &url).await.unwrap(), "ok");
            assert_books(&session, Accounts::idle(1), 1, 0);
            surprise.spring();
            assert_eq!(post(&session, &url).await.unwrap(), "ok", "{stray:?}");
            assert_books(&session, Accounts::idle(1), 2, 0);
            assert_eq!((peer.accepted(), peer.requests()), (2, 2));
            assert!(!String::from_utf8_lossy(&peer.received(0)).contains("POST"));
            session.close().await;
            peer.wait_live(0).await;
        }
    }

    #[tokio::test]
    async fn is_looked_at_after_a_second_of_idling() {
        for stray in STRAYS {
            let surprise = Surprise::new(stray);
            let (peer, session) = (&surprise.peer, open().await);
            assert_eq!(get(&session, &peer.url("/")).await.unwrap(), "ok");
            tokio::time::pause();
            tokio::time::advance(Duration::from_millis(1100)).await;
            tokio::time::resume();
            assert_books(&session, Accounts::idle(1), 1, 0);
            surprise.spring();
            assert_eq!(
                get(&session, &peer.url("/")).await.unwrap(),
                "ok",
                "{stray:?}"
            );
            assert_books(&session, Accounts::idle(1), 2, 0);
            assert_eq!((peer.accepted(), peer.requests()), (2, 2));
        }
    }

    #[tokio::test]
    async fn costs_a_get_right_after_nothing_but_a_second_try() {
        let surprise = Surprise::new(None);
        let (peer, session) = (&surprise.peer, open().await);
        assert_eq!(get(&session, &peer.url("/")).await.unwrap(), "ok");
        surprise.spring();
        assert_eq!(get(&session, &peer.url("/")).await.unwrap(), "ok");
        assert_books(&session, Accounts::idle(1), 2, 0);
        assert_eq!(peer.accepted(), 2);
    }

    /// A connection whose end is there to be read, without anybody being woken for it.
    struct Mute {
        pipe: Pipe,
        ended: Arc<AtomicBool>,
    }

    #[derive(Clone)]
    struct Muted {
        memory: Memory,
        ended: [Arc<AtomicBool>; 2],
        made: Arc<AtomicUsize>,
    }

    impl Service<Uri> for Muted {
        type Response = Mute;
        type Error = std::convert::Infallible;
        type Future = std::future::Ready<Result<Mute, Self::Error>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, uri: Uri) -> Self::Future {
            let number = self.made.fetch_add(1, Ordering::SeqCst);
            let ended = Arc::clone(&self.ended[number]);
            let pipe = self.memory.call(uri).into_inner();
            std::future::ready(pipe.map(|pipe| Mute { pipe, ended }))
        }
    }

    impl Connection for Mute {
        fn connected(&self) -> Connected {
            Connected::new()
        }
    }

    impl Read for Mute {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buf: ReadBufCursor<'_>,
        ) -> Poll<io::Result<()>> {
            if self.ended.load(Ordering::SeqCst) {
                return Poll::Ready(Ok(()));
            }
            Pin::new(&mut self.pipe).poll_read(cx, buf)
        }
    }

    impl Write for Mute {
        fn poll_write(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buf: &[u8],
        ) -> Poll<io::Result<usize>> {
            Pin::new(&mut self.pipe).poll_write(cx, buf)
        }

        fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.pipe).poll_flush(cx)
        }

        fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.pipe).poll_shutdown(cx)
        }
    }

    #[tokio::test]
    async fn gives_its_request_back_and_the_next_idle_one_takes_it() {
        let muted = Muted {
            memory: Memory::serving(async |_| text("ok")),
            ended: Default::default(),
            made: Arc::default(),
        };
        let session = Session::builder()
            .connector(muted.clone())
            .open()
            .await
            .unwrap();
        let both = futures::join!(get(&session, "http://a/"), get(&session, "http://a/"));
        assert_eq!(
            (both.0.unwrap(), both.1.unwrap()),
            ("ok".into(), "ok".into())
        );
        assert_books(&session, Accounts::idle(2), 2, 0);
        for (dead, left) in [(1, 1), (0, 0)] {
            let newest = muted.ended[dead].swap(true, Ordering::SeqCst);
            assert!(!newest);
            if left == 1 {
                assert_eq!(get(&session, "http://a/").await.unwrap(), "ok");
                assert_books(&session, Accounts::idle(1), 2, 1);
            }
        }
        assert_eq!(muted.made.load(Ordering::SeqCst), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn is_noticed_within_a_second_and_closed() {
        let gate = Gate::new();
        let closed = gate.clone();
        let memory = Counting::new(Memory::scripted(move |mut end, _| {
            let closed = closed.clone();
            async move {
                read_head(&mut end).await;
                write(&mut end, OK).await;
                closed.pass().await;
            }
        }));
        let session = Session::builder()
            .connector(memory.clone())
            .open()
            .await
            .unwrap();
        assert_eq!(get(&session, "http://a/").await.unwrap(), "ok");
        assert_books(&session, Accounts::idle(1), 1, 0);
        gate.open();
        tokio::time::sleep(Duration::from_millis(1001)).await;
        assert_books(&session, Accounts::NONE, 1, 0);
        assert_eq!(memory.numbers().live, 0);
    }

    /// Spends what the task may do before it must yield.
    fn spend_budget() {
        while coop::has_budget_remaining() {
            let _ = coop::consume_budget().now_or_never();
        }
    }

    #[tokio::test]
    async fn does_not_look_alive_to_a_task_that_has_spent_its_budget() {
        let gate = Gate::new();
        let (tell, told) = mpsc::channel();
        let closes = gate.clone();
        let peer = RawPeer::start(async move |conn, number| {
            if number > 0 {
                return serve(conn).await;
            }
            conn.read_request().await;
            conn.write(OK).await;
            closes.pass().await;
            conn.close();
            tell.send(()).expect("the test waits");
            conn.wait_eof().await;
        });
        let session = open().await;
        let url = peer.url("/");
        let answer = tokio::spawn(async move {
            assert_eq!(get(&session, &url).await.unwrap(), "ok");
            gate.open();
            told.recv().unwrap();
            yield_now().await;
            spend_budget();
            assert!(!coop::has_budget_remaining());
            let answer = post(&session, &url).await.unwrap();
            assert_books(&session, Accounts::idle(1), 2, 0);
            answer
        });
        assert_eq!(answer.await.unwrap(), "ok");

        // Without a socket to look at, it is the poll alone that tells.
        let gate = Gate::new();
        let closes = gate.clone();
        let memory = Memory::scripted(move |mut end, number| {
            let closes = closes.clone();
            async move {
                while read_head(&mut end).await.ends_with("\r\n\r\n") {
                    write(&mut end, OK).await;
                    if number == 0 {
                        return closes.pass().await;
                    }
                }
            }
        });
        let session = Session::builder().connector(memory).open().await.unwrap();
        let answer = tokio::spawn(async move {
            assert_eq!(get(&session, "http://a/").await.unwrap(), "ok");
            assert_books(&session, Accounts::idle(1), 1, 0);
            gate.open();
            for _ in 0..10 {
                yield_now().await;
            }
            spend_budget();
            let answer = session.post("http://a/").send().await?.text().await;
            assert_books(&session, Accounts::idle(1), 2, 0);
            answer
        });
        assert_eq!(answer.await.unwrap().unwrap(), "ok");
    }
}

mod the_check_in {
    use super::*;

    #[tokio::test]
    async fn comes_with_the_head_of_a_small_answer() {
        let server = Server::start(async |request| text(request.uri().path().to_owned()));
        let session = open().await;
        let first = soon(session.get(server.url("/1")).send()).await.unwrap();
        assert_books(&session, Accounts::idle(1), 1, 0);
        let second = soon(session.get(server.url("/2")).send()).await.unwrap();
        assert_books(&session, Accounts::idle(1), 1, 1);
        assert_eq!(second.text().await.unwrap(), "/2");
        assert_eq!(first.text().await.unwrap(), "/1");
        assert_books(&session, Accounts::idle(1), 1, 1);
        assert_eq!(server.accepted(), 1);
    }

    #[tokio::test]
    async fn comes_with_the_end_of_a_chunked_answer() {
        let peer = RawPeer::answering(
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        );
        let session = open().await;
        for round in 0..3 {
            let mut response = soon(session.get(peer.url("/")).send()).await.unwrap();
            assert_books(&session, Accounts::busy(1), 1, round);
            assert_eq!(soon(response.chunk()).await.unwrap().unwrap(), "ok");
            assert_eq!(soon(response.chunk()).await.unwrap(), None);
            assert_books(&session, Accounts::idle(1), 1, round);
            assert_eq!(soon(response.chunk()).await.unwrap(), None);
        }
    }

    #[tokio::test]
    async fn comes_with_the_last_part_of_a_large_answer() {
        let server = Server::start(async |_| text(vec![b'x'; 3_000_000]));
        let session = open().await;
        for round in 0..3 {
            let mut response = soon(session.get(server.url("/")).send()).await.unwrap();
            assert_books(&session, Accounts::busy(1), 1, round);
            let mut left = response.content_length().unwrap();
            while left > 0 {
                left -= soon(response.chunk()).await.unwrap().unwrap().len() as u64;
            }
            assert_books(&session, Accounts::idle(1), 1, round);
        }
    }

    #[tokio::test]
    async fn leaves_the_connection_without_the_last_tasks_memory() {
        struct Task(thread::Thread);
        impl Wake for Task {
            fn wake(self: Arc<Self>) {
                self.0.unpark();
            }
        }
        fn run<F: Future>(future: F, task: &Arc<Task>) -> F::Output {
            let waker = Waker::from(Arc::clone(task));
            let mut future = pin!(future);
            loop {
                match future.as_mut().poll(&mut Context::from_waker(&waker)) {
                    Poll::Ready(output) => return output,
                    Poll::Pending => thread::park_timeout(PATIENCE),
                }
            }
        }
        let server = Server::start(async |_| text(vec![b'x'; 300_000]));
        let url = server.url("/");
        let session = open().await;
        let runtime = runtime::Handle::current();
        let (session, task) = tokio::task::spawn_blocking(move || {
            // On a thread of its own: the runtime's is there for the reactor.
            let _context = runtime.enter();
            let task = Arc::new(Task(thread::current()));
            let read = run(get_raw(&session, &url), &task);
            assert_eq!(read, 300_000);
            (session, task)
        })
        .await
        .unwrap();
        assert_books(&session, Accounts::idle(1), 1, 0);
        assert_eq!(Arc::strong_count(&task), 1, "nobody keeps the task's waker");
    }

    async fn get_raw(session: &Session, url: &str) -> usize {
        let response = session.get(url).send().await.expect("an answer");
        response.bytes().await.expect("a body").len()
    }
}

mod errors {
    use super::*;

    #[tokio::test]
    async fn are_the_request_bodys_own() {
        let server = Server::start(async |request| echo(request));
        let session = open().await;
        let parts = [Ok(Bytes::from("a")), Err(io::Error::other("out of paper"))];
        let body = Body::wrap_stream(stream::iter(parts));
        let sent = soon(session.post(server.url("/")).body(body).send()).await;
        let error = match sent {
            // The answer's head may come before the failure.
            Ok(response) => soon(response.bytes()).await.unwrap_err(),
            Err(error) => {
                assert!(chain(&error).contains("out of paper"), "{}", chain(&error));
                assert_eq!(error.kind(), ErrorKind::Body);
                error
            }
        };
        assert!(error.was_sent());
        reach(&session, Accounts::NONE).await;
        assert_eq!(session.stats().opened, 1);
        server.wait_live(0).await;
    }

    #[tokio::test]
    async fn are_the_response_bodys_own() {
        let server = Server::start(async |_| {
            let (sender, body) = channel_body();
            tokio::task::spawn_local(async move {
                let _ = sender.send("a part").await;
                let _ = sender.fail("out of paper").await;
            });
            respond(StatusCode::OK, body)
        });
        let session = open().await;
        let error = get(&session, &server.url("/")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BodyTruncated, "{error:?}");
        assert!(error.was_sent());
        assert_books(&session, Accounts::NONE, 1, 0);
    }

    #[tokio::test]
    async fn of_severed_exchanges_name_the_close_and_not_hypers_channels() {
        let gate = Gate::new();
        let pass = gate.clone();
        let server = Server::start(async move |request| {
            if request.uri().path() == "/head" {
                pass.pass().await;
                pending::<()>().await;
            }
            let (sender, body) = channel_body();
            let pass = pass.clone();
            tokio::task::spawn_local(async move {
                let _ = sender.send("a part").await;
                pass.pass().await;
                sender.dropped().await;
            });
            respond(StatusCode::OK, body)
        });
        let session = open().await;
        let head = tokio::spawn(session.get(server.url("/head")).send());
        let mut body = soon(session.get(server.url("/body")).send()).await.unwrap();
        assert_eq!(soon(body.chunk()).await.unwrap().unwrap(), "a part");
        gate.wait_reached(2).await;
        assert_books(&session, Accounts::busy(2), 2, 0);
        let report = soon(session.close_within(Duration::ZERO)).await;
        assert_eq!((report.severed, report.stats.open), (2, 0), "{report:?}");
        for error in [
            expect_kind(soon(head).await.unwrap(), ErrorKind::Closed),
            expect_kind(soon(body.chunk()).await, ErrorKind::Closed),
        ] {
            assert!(error.was_sent(), "{error:?}");
            assert!(!chain(&error).contains("dispatch"), "{}", chain(&error));
        }
        assert_books(&session, Accounts::NONE, 2, 0);
        server.wait_live(0).await;
    }
}

mod a_length {
    use super::*;

    fn streamed(parts: &[&'static str]) -> Body {
        let parts = parts.to_vec();
        Body::wrap_stream(stream::iter(parts.into_iter().map(Ok::<_, io::Error>)))
    }

    #[tokio::test]
    async fn that_is_not_the_bodys_is_refused_before_anything_goes_out() {
        let server = Server::echo();
        let session = open().await;
        for length in ["10", "2", "-3", "+3", "3, 3", "", "3x"] {
            let request = session
                .post(server.url("/"))
                .header("content-length", length);
            let error = expect_kind(soon(request.body("abc").send()).await, ErrorKind::Builder);
            assert!(!error.was_sent());
        }
        assert_books(&session, Accounts::NONE, 0, 0);
        let request = session.post(server.url("/")).header("content-length", "3");
        assert_eq!(
            soon(request.body("abc").send())
                .await
                .unwrap()
                .text()
                .await
                .unwrap(),
            "abc"
        );
        assert_eq!(server.requests(), 1);
    }

    #[tokio::test]
    async fn that_a_stream_does_not_keep_is_an_error_and_no_hang() {
        let server = Server::start(async |request| {
            // Answers at the request's end, which does not come.
            let _ = request.into_body().collect().await;
            text("whole")
        });
        let session = open().await;
        let mut opened = 0;
        for parts in [
            &["abc"][..],
            &["ab", ""],
            &[],
            &["abcdefghijk"],
            &["abcdefghi", "jk"],
        ] {
            let request = session.post(server.url("/")).header("content-length", "10");
            let error = expect_kind(
                soon(request.body(streamed(parts)).send()).await,
                ErrorKind::Body,
            );
            assert!(chain(&error).contains("10 bytes"), "{}", chain(&error));
            opened += 1;
            assert_books(&session, Accounts::NONE, opened, 0);
        }
        for parts in [&["abcdefghij"][..], &["abc", "", "defghij"]] {
            let request = session.post(server.url("/")).header("content-length", "10");
            let answer = soon(request.body(streamed(parts)).send()).await.unwrap();
            assert_eq!(answer.text().await.unwrap(), "whole");
            assert_eq!(session.stats().open, 1);
        }
        assert_books(&session, Accounts::idle(1), opened + 1, 1);
    }
}

mod exchanges_that_move {
    use super::*;

    const SIZES: [usize; 4] = [0, 13, 5_000, 200_000];

    fn content(size: usize) -> Bytes {
        static LARGEST: LazyLock<Bytes> =
            LazyLock::new(|| (0..200_000_u32).map(|n| n.to_le_bytes()[0]).collect());
        LARGEST.slice(..size)
    }

    async fn rest(mut response: Response) -> Vec<u8> {
        let mut read = Vec::new();
        while let Some(part) = response.chunk().await.expect("a part") {
            read.extend_from_slice(&part);
        }
        read
    }

    async fn exchange(session: &Session, url: &str, way: usize, size: usize) -> Vec<u8> {
        let url = format!("{url}?{size}");
        let parts = content(size)
            .chunks(40_000)
            .map(|part| Ok::<_, io::Error>(Bytes::copy_from_slice(part)))
            .collect::<Vec<_>>();
        let body = if way.is_multiple_of(2) {
            Body::wrap_stream(stream::iter(parts))
        } else {
            content(size).into()
        };
        let request = session.post(&url).body(body);
        let mut sending = Box::pin(request.send());
        match way % 7 {
            0 => rest(sending.await.unwrap()).await,
            1 => {
                // Begun here, gone on with by another task, read by a third.
                let response = match poll!(&mut sending) {
                    Poll::Ready(response) => response,
                    Poll::Pending => tokio::spawn(sending).await.unwrap(),
                };
                tokio::spawn(rest(response.unwrap())).await.unwrap()
            }
            2 => {
                let response = loop {
                    tokio::select! {
                        response = &mut sending => break response.unwrap(),
                        () = yield_now() => {}
                    }
                };
                let mut reading = Box::pin(rest(response));
                loop {
                    tokio::select! {
                        biased;
                        () = yield_now() => {}
                        read = &mut reading => return read,
                    }
                }
            }
            3 => {
                let response = timeout(PATIENCE, sending).await.unwrap().unwrap();
                let mut reading = Box::pin(rest(response));
                loop {
                    if let Ok(read) = timeout(Duration::from_micros(50), &mut reading).await {
                        return read;
                    }
                }
            }
            4 => {
                let mut all = FuturesUnordered::new();
                for _ in 0..2 {
                    let request = session.post(&url);
                    all.push(async move {
                        rest(request.body(content(size)).send().await.unwrap()).await
                    }.boxed());
                }
                all.push(async move { rest(sending.await.unwrap()).await }.boxed());
                let mut read = Vec::new();
                while let Some(one) = all.next().await {
                    assert_eq!(one, content(size));
                    read = one;
                }
                read
            }
            5 => {
                // To a thread without a runtime, in the middle of the body.
                let mut response = sending.await.unwrap();
                let mut read = response.chunk().await.unwrap().unwrap_or_default().to_vec();
                let (tell, told) = tokio::sync::oneshot::channel();
                thread::spawn(move || {
                    let _ = tell.send(futures::executor::block_on(rest(response)));
                });
                read.extend(told.await.unwrap());
                read
            }
            _ => {
                // From task to task, part by part, with a poll that comes to nothing in between.
                let mut response = sending.await.unwrap();
                let mut read = Vec::new();
                loop {
                    let _ = poll!(pin!(response.chunk())).map(|part| {
                        read.extend_from_slice(&part.unwrap().unwrap_or_default());
                    });
                    let part;
                    (response, part) = tokio::spawn(async move {
                        let part = response.chunk().await.unwrap();
                        (response, part)
                    })
                    .await
                    .unwrap();
                    match part {
                        Some(part) => read.extend_from_slice(&part),
                        None => return read,
                    }
                }
            }
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn between_tasks_threads_select_timeout_and_sets_never_hang() {
        const TASKS: usize = 8;
        const ROUNDS: usize = 350;
        let server = Server::start(async |request| {
            // Half of them are told their length.
            let size = request.uri().query().map(str::len).unwrap_or_default();
            if size % 2 == 0 {
                return echo(request);
            }
            text(
                request
                    .into_body()
                    .collect()
                    .await
                    .expect("a request's body")
                    .to_bytes(),
            )
        });
        let session = Session::builder()
            .pool_max_connections(6)
            .open()
            .await
            .unwrap();
        let tasks = (0..TASKS).map(|task| {
            let (session, url) = (session.clone(), server.url("/"));
            tokio::spawn(async move {
                for round in 0..ROUNDS {
                    let mix = (task * 7919 + round * 104_729) ^ (round >> 2);
                    let size = SIZES[mix % SIZES.len()];
                    let read = timeout(PATIENCE * 3, exchange(&session, &url, round + task, size));
                    let read = read
                        .await
                        .unwrap_or_else(|_| panic!("way {} hangs", (round + task) % 7));
                    assert!(read == content(size), "way {}", (round + task) % 7);
                }
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await.unwrap();
        }
        let stats = session.stats();
        assert_eq!(
            (stats.exchanges, stats.waiting, stats.in_use),
            (0, 0, 0),
            "{stats:?}"
        );
        assert!(stats.open <= 6 && stats.opened <= 12, "{stats:?}");
        let report = session.close().await;
        assert_eq!(report.stats.open, 0);
        server.wait_live(0).await;
    }
}

mod an_upload_that_is_running_at_the_head {
    use super::*;

    const SIZE: usize = 6 * 1024 * 1024;

    /// Answers the first request before it reads its body, which it does when the gate lets it.
    fn early(answer: &'static str, gate: Gate) -> RawPeer {
        RawPeer::start(async move |conn, _| {
            let head = conn.read_head().await;
            conn.write(answer).await;
            gate.pass().await;
            if String::from_utf8_lossy(&head).contains("chunked") {
                conn.read_until(b"\r\n0\r\n\r\n").await;
            } else {
                conn.read(SIZE).await;
            }
            gate.pass().await;
            serve(conn).await;
        })
    }

    fn one_part() -> Body {
        Body::wrap_stream(stream::iter([Ok::<_, io::Error>(vec![b'x'; SIZE])]))
    }

    fn parts() -> Body {
        let part = Bytes::from(vec![b'x'; 64 * 1024]);
        let parts = (0..SIZE / part.len()).map(move |_| Ok::<_, io::Error>(part.clone()));
        Body::wrap_stream(stream::iter(parts))
    }

    fn uploads() -> [(&'static str, Body, bool); 5] {
        [
            ("bytes", Body::from(vec![b'x'; SIZE]), false),
            ("parts", parts(), false),
            ("one part", one_part(), false),
            ("parts of an announced length", parts(), true),
            ("one part of an announced length", one_part(), true),
        ]
    }

    async fn start(session: &Session, peer: &RawPeer, body: Body, announced: bool) -> Response {
        let mut request = session.post(peer.url("/")).body(body);
        if announced {
            request = request.header("content-length", SIZE);
        }
        soon(request.send()).await.unwrap()
    }

    #[tokio::test]
    async fn goes_on_to_its_end_while_nobody_reads_the_answer() {
        for (name, body, announced) in uploads() {
            let gate = Gate::new();
            let peer = early(
                "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nearly",
                gate.clone(),
            );
            let session = open().await;
            let response = start(&session, &peer, body, announced).await;
            assert_books(&session, Accounts::busy(1), 1, 0);
            gate.open();
            // The second arrival says that all of it was read.
            gate.wait_reached(2).await;
            gate.open();
            assert_eq!(soon(response.text()).await.unwrap(), "early", "{name}");
            reach(&session, Accounts::idle(1)).await;
            assert_eq!(get(&session, &peer.url("/")).await.unwrap(), "ok", "{name}");
            assert_books(&session, Accounts::idle(1), 1, 1);
        }
    }

    #[tokio::test]
    async fn goes_on_to_its_end_after_an_empty_answer() {
        for (name, body, announced) in uploads() {
            let gate = Gate::new();
            let peer = early("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", gate.clone());
            let session = open().await;
            let response = start(&session, &peer, body, announced).await;
            assert_eq!(session.stats().open, 1, "{name}");
            assert_eq!(soon(response.text()).await.unwrap(), "", "{name}");
            gate.open();
            gate.wait_reached(2).await;
            gate.open();
            reach(&session, Accounts::idle(1)).await;
            assert_eq!(get(&session, &peer.url("/")).await.unwrap(), "ok", "{name}");
            assert_books(&session, Accounts::idle(1), 1, 1);
        }
    }

    #[tokio::test]
    async fn ends_with_the_dropped_response() {
        for (name, body, announced) in uploads() {
            let gate = Gate::new();
            let peer = early(
                "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nearly",
                gate.clone(),
            );
            let session = open().await;
            let response = start(&session, &peer, body, announced).await;
            drop(response);
            gate.open_for_good();
            reach(&session, Accounts::NONE).await;
            assert_eq!(session.stats().closed, 1, "{name}");
            peer.wait_live(0).await;
        }
    }

    #[tokio::test]
    async fn does_not_keep_a_close_waiting_once_its_answer_is_read() {
        let peer = RawPeer::start(async |conn, _| {
            conn.read_head().await;
            conn.write("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nearly")
                .await;
            conn.wait_eof().await;
        });
        let session = open().await;
        let never = Body::wrap_stream(stream::pending::<Result<Bytes, io::Error>>());
        let response = soon(session.post(peer.url("/")).body(never).send())
            .await
            .unwrap();
        assert_eq!(soon(response.text()).await.unwrap(), "early");
        assert_eq!(session.stats().open, 1);
        let report = soon(session.close()).await;
        assert_eq!(report.stats.open, 0);
        peer.wait_live(0).await;
    }
}

mod an_early_refusal {
    use super::*;

    fn refusing() -> RawPeer {
        RawPeer::start(async |conn, _| {
            conn.read_head().await;
            conn.write("HTTP/1.1 413 Content Too Large\r\ncontent-length: 7\r\nconnection: close\r\n\r\ntoo big").await;
            conn.reset();
        })
    }

    #[tokio::test]
    async fn is_what_the_user_gets_and_not_the_broken_pipe() {
        let peer = refusing();
        let session = open().await;
        let body = Bytes::from(vec![b'x'; 8 * 1024 * 1024]);
        for round in 1..=50 {
            let response = soon(session.post(peer.url("/")).body(body.clone()).send()).await;
            let response =
                response.unwrap_or_else(|error| panic!("round {round}: {}", chain(&error)));
            assert_eq!(response.status(), 413);
            assert_eq!(soon(response.text()).await.unwrap(), "too big");
            reach(&session, Accounts::NONE).await;
            assert_books(&session, Accounts::NONE, round, 0);
        }
        peer.wait_live(0).await;
    }

    #[tokio::test]
    async fn ends_an_upload_that_has_no_end_of_its_own() {
        let peer = refusing();
        let session = open().await;
        let part = Bytes::from(vec![b'x'; 64 * 1024]);
        for round in 1..=20 {
            let part = part.clone();
            let endless = stream::repeat_with(move || Ok::<_, io::Error>(part.clone()));
            let upload = session
                .post(peer.url("/"))
                .body(Body::wrap_stream(endless))
                .send();
            let response = soon(upload).await;
            let response =
                response.unwrap_or_else(|error| panic!("round {round}: {}", chain(&error)));
            assert_eq!(response.status(), 413);
            assert_eq!(soon(response.text()).await.unwrap(), "too big");
            reach(&session, Accounts::NONE).await;
            assert_books(&session, Accounts::NONE, round, 0);
        }
    }
}

mod a_dropped_response {
    use super::*;

    /// Answers with a length and the first part of the body; the rest comes when the gate opens.
    fn slow(length: usize, first: usize, gate: Gate) -> RawPeer {
        RawPeer::start(async move |conn, _| {
            loop {
                if conn.read_request().await.is_empty() {
                    return;
                }
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
                conn.write(head).await;
                conn.write(vec![b'x'; first]).await;
                gate.pass().await;
                conn.write(vec![b'x'; length - first]).await;
            }
        })
    }

    #[tokio::test]
    async fn saves_its_connection_if_the_rest_is_small() {
        let gate = Gate::new();
        gate.open_for_good();
        let peer = slow(40_000, 10_000, gate);
        let session = open().await;
        for _ in 0..10 {
            drop(soon(session.get(peer.url("/")).send()).await.unwrap());
            reach(&session, Accounts::idle(1)).await;
        }
        assert_books(&session, Accounts::idle(1), 1, 9);
        assert_eq!(peer.accepted(), 1);
    }

    #[tokio::test]
    async fn closes_its_connection_if_the_rest_is_large() {
        let server = Server::start(async |_| text(vec![b'x'; 8_000_000]));
        let session = open().await;
        for round in 1..=5 {
            let mut response = soon(session.get(server.url("/")).send()).await.unwrap();
            soon(response.chunk()).await.unwrap();
            assert_books(&session, Accounts::busy(1), round, 0);
            drop(response);
            assert_books(&session, Accounts::NONE, round, 0);
        }
        server.wait_live(0).await;
    }

    #[tokio::test]
    async fn closes_its_connection_if_there_is_no_end_to_the_rest() {
        let server = Server::start(async |_| {
            let (sender, body) = channel_body();
            tokio::task::spawn_local(async move {
                while sender.send(vec![b'x'; 10_000]).await.is_ok() {}
            });
            respond(StatusCode::OK, body)
        });
        let session = open().await;
        drop(soon(session.get(server.url("/")).send()).await.unwrap());
        reach(&session, Accounts::NONE).await;
        assert_eq!(session.stats().closed, 1);
        server.wait_live(0).await;
    }

    #[tokio::test]
    async fn saves_its_connection_if_the_rest_comes_soon() {
        let gate = Gate::new();
        let peer = slow(20_000, 10_000, gate.clone());
        let session = open().await;
        let mut response = soon(session.get(peer.url("/")).send()).await.unwrap();
        soon(response.chunk()).await.unwrap();
        gate.wait_reached(1).await;
        drop(response);
        assert_books(&session, Accounts::busy(1), 1, 0);
        gate.open_for_good();
        reach(&session, Accounts::idle(1)).await;
        drop(soon(session.get(peer.url("/")).send()).await.unwrap());
        reach(&session, Accounts::idle(1)).await;
        assert_books(&session, Accounts::idle(1), 1, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn closes_its_connection_if_the_rest_does_not_come_within_a_second() {
        let memory = Counting::new(Memory::scripted(|mut end, _| async move {
            read_head(&mut end).await;
            write(&mut end, "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nabc").await;
            read_head(&mut end).await;
        }));
        let session = Session::builder()
            .connector(memory.clone())
            .open()
            .await
            .unwrap();
        let tasks = AliveTasks::now();
        let mut response = session.get("http://a/").send().await.unwrap();
        assert_eq!(response.chunk().await.unwrap().unwrap(), "abc");
        drop(response);
        assert_books(&session, Accounts::busy(1), 1, 0);
        tokio::time::sleep(Duration::from_millis(990)).await;
        assert_books(&session, Accounts::busy(1), 1, 0);
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_books(&session, Accounts::NONE, 1, 0);
        assert_eq!(memory.numbers().live, 0);
        session.close().await;
        tasks.assert_back().await;
    }

    #[test]
    fn may_be_dropped_without_a_runtime_and_after_its_own() {
        let gate = Gate::new();
        let peer = slow(20_000, 10_000, gate);
        let runtime = Runtime::new().unwrap();
        let (session, responses) = runtime.block_on(async {
            let session = open().await;
            let mut responses = Vec::new();
            for _ in 0..3 {
                let mut response = session.get(peer.url("/")).send().await.unwrap();
                response.chunk().await.unwrap();
                responses.push(response);
            }
            (session, responses)
        });
        assert_books(&session, Accounts::busy(3), 3, 0);
        let [here, there, after] = <[Response; 3]>::try_from(responses).unwrap();
        drop(here);
        thread::spawn(move || drop(there)).join().unwrap();
        drop(runtime);
        assert_books(&session, Accounts::busy(1), 3, 0);
        drop(after);
        assert_books(&session, Accounts::NONE, 3, 0);
    }
}

mod the_end_of_an_idle_connection {
    use super::*;

    #[tokio::test]
    async fn is_a_goodbye_that_waits_for_nobody() {
        // Answers two at a time, so that there are two connections.
        let (one, other) = (Barrier::new(2), Barrier::new(2));
        let plain = Server::start(async move |_| {
            one.wait().await;
            text("hello")
        });
        let tls = Server::start_tls(async move |_| {
            other.wait().await;
            text("hello")
        });
        for server in [&plain, &tls] {
            for (round, awaited) in [true, false, true, false].into_iter().enumerate() {
                let session = Session::builder()
                    .tls_root_pem(tls.ca_pem())
                    .open()
                    .await
                    .unwrap();
                let url = server.url("/");
                let both = futures::join!(get(&session, &url), get(&session, &url));
                assert_eq!(
                    (both.0.unwrap(), both.1.unwrap()),
                    ("hello".into(), "hello".into())
                );
                assert_books(&session, Accounts::idle(2), 2, 0);
                if awaited {
                    let report = soon(session.close()).await;
                    assert!(report.took < Duration::from_millis(900), "{report:?}");
                    assert_books(&session, Accounts::NONE, 2, 0);
                } else {
                    drop(session);
                }
                server.wait_live(0).await;
                assert_eq!(server.clean_closes(), 2 * (round + 1));
            }
            assert_eq!((server.abrupt_closes(), server.server_closes()), (0, 0));
        }
    }

    #[tokio::test]
    async fn does_not_wait_for_a_peer_that_neither_reads_nor_closes() {
        let gate = Gate::new();
        let held = gate.clone();
        let peer = RawPeer::start(async move |conn, _| {
            conn.read_request().await;
            conn.write(OK).await;
            held.pass().await;
        });
        let session = open().await;
        assert_eq!(get(&session, &peer.url("/")).await.unwrap(), "ok");
        let began = Instant::now();
        let report = soon(session.close()).await;
        assert!(began.elapsed() < Duration::from_millis(900), "{report:?}");
        gate.open_for_good();
        peer.wait_live(0).await;
        assert_eq!(peer.clean_closes(), 1);
    }
}

mod runtimes {
    use super::*;

    fn current_thread() -> Runtime {
        runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    }

    #[test]
    fn do_not_reuse_each_others_connections() {
        let server = Server::text("hello");
        let session = current_thread().block_on(open());
        let (first, second) = (current_thread(), Runtime::new().unwrap());
        for round in 0..3 {
            for runtime in [&first, &second] {
                assert_eq!(
                    runtime.block_on(get(&session, &server.url("/"))).unwrap(),
                    "hello"
                );
            }
            assert_books(&session, Accounts::idle(2), 2, 2 * round);
        }
        assert_eq!(server.accepted(), 2);
        second.block_on(session.close());
        assert_books(&session, Accounts::NONE, 2, 4);
        second.block_on(server.wait_live(0));
    }

    #[test]
    fn that_are_gone_leave_a_session_that_goes_on() {
        let server = Server::text("hello");
        let session = current_thread().block_on(open());
        for round in 1..=5 {
            let runtime = if round % 2 == 0 {
                current_thread()
            } else {
                Runtime::new().unwrap()
            };
            runtime.block_on(async {
                assert_eq!(get(&session, &server.url("/")).await.unwrap(), "hello");
                assert_eq!(post(&session, &server.url("/")).await.unwrap(), "hello");
            });
            assert_eq!(
                (session.stats().opened, session.stats().reused),
                (round, round)
            );
        }
        let last = current_thread();
        last.block_on(session.close());
        assert_eq!(session.stats().open, 0);
        last.block_on(server.wait_live(0));
    }

    #[test]
    fn that_are_gone_do_not_keep_their_connections_beyond_the_idle_timeout() {
        let server = Server::text("hello");
        let session = current_thread().block_on(async {
            Session::builder()
                .pool_idle_timeout(Duration::from_millis(200))
                .open()
                .await
                .unwrap()
        });
        for _ in 0..3 {
            current_thread()
                .block_on(get(&session, &server.url("/")))
                .unwrap();
        }
        let last = current_thread();
        last.block_on(async {
            let began = Instant::now();
            while session.stats().open > 1 || session.stats().opened < 4 {
                assert!(began.elapsed() < PATIENCE, "{:?}", session.stats());
                get(&session, &server.url("/")).await.unwrap();
            }
        });
    }

    #[test]
    fn that_stand_still_do_not_hang_those_that_run() {
        let server = Server::text("hello");
        let parked = current_thread();
        let session = parked.block_on(async {
            let session = open().await;
            get(&session, &server.url("/")).await.unwrap();
            session
        });
        let running = current_thread();
        running.block_on(async {
            for round in 0..3 {
                assert_eq!(post(&session, &server.url("/")).await.unwrap(), "hello");
                assert_books(&session, Accounts::idle(2), 2, round);
            }
            let report = soon(session.close()).await;
            assert_eq!(report.stats.open, 0);
            server.wait_live(0).await;
        });
        drop(parked);
    }

    #[test]
    fn use_one_session_side_by_side() {
        let server = Server::text("hello");
        let session = current_thread().block_on(open());
        let threads = (0..4).map(|number| {
            let (session, url) = (session.clone(), server.url("/"));
            thread::spawn(move || {
                let runtime = if number % 2 == 0 {
                    current_thread()
                } else {
                    Runtime::new().unwrap()
                };
                for _ in 0..50 {
                    let texts = runtime.block_on(async {
                        futures::join!(get(&session, &url), post(&session, &url))
                    });
                    assert_eq!(
                        (texts.0.unwrap(), texts.1.unwrap()),
                        ("hello".into(), "hello".into())
                    );
                }
            })
        });
        for thread in threads.collect::<Vec<_>>() {
            thread.join().unwrap();
        }
        let stats = session.stats();
        assert_eq!(
            (stats.exchanges, stats.in_use, stats.waiting),
            (0, 0, 0),
            "{stats:?}"
        );
        // Two at a time each, and one more for a connect that lost its race.
        assert!(stats.opened + stats.reused >= 400, "{stats:?}");
        assert!(stats.opened <= 12, "{stats:?}");
        let last = current_thread();
        last.block_on(session.close());
        last.block_on(server.wait_live(0));
    }

    #[test]
    fn give_their_place_up_first_at_the_limit() {
        let server = Server::text("hello");
        let session = current_thread().block_on(async {
            Session::builder()
                .pool_max_connections(2)
                .open()
                .await
                .unwrap()
        });
        let (mine, other) = (current_thread(), current_thread());
        let away = Server::text("away");
        // The own one has idled longest, and still is not the one that goes.
        mine.block_on(get(&session, &server.url("/"))).unwrap();
        thread::sleep(Duration::from_millis(5));
        other.block_on(get(&session, &server.url("/"))).unwrap();
        assert_books(&session, Accounts::idle(2), 2, 0);
        mine.block_on(async {
            assert_eq!(get(&session, &away.url("/")).await.unwrap(), "away");
            assert_books(&session, Accounts::idle(2), 3, 0);
            assert_eq!(get(&session, &server.url("/")).await.unwrap(), "hello");
            assert_books(&session, Accounts::idle(2), 3, 1);
        });
    }

    #[test]
    fn must_be_there_at_all() {
        let session = current_thread().block_on(open());
        let mut sending = pin!(session.get("http://127.0.0.1:1/").send());
        let polled = sending
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()));
        let Poll::Ready(result) = polled else {
            panic!("it says so at once")
        };
        let error = expect_kind(result, ErrorKind::NoRuntime);
        assert!(!error.was_sent());
        assert_books(&session, Accounts::NONE, 0, 0);
    }
}

mod answers {
    use super::*;

    async fn answered(
        answer: &'static [u8],
        request: impl Fn(&Session, String) -> hyper_session::RequestBuilder,
    ) -> (Session, RawPeer, [(u16, String); 2]) {
        let peer = RawPeer::answering(answer);
        let session = open().await;
        let mut answers = Vec::new();
        for _ in 0..2 {
            let response = soon(request(&session, peer.url("/")).send()).await.unwrap();
            answers.push((
                response.status().as_u16(),
                soon(response.text()).await.unwrap(),
            ));
        }
        (session, peer, answers.try_into().unwrap())
    }

    #[tokio::test]
    async fn without_a_body_end_with_their_head() {
        let cases: [(&[u8], Method, u16); 6] = [
            (
                b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
                Method::GET,
                200,
            ),
            (
                b"HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n",
                Method::HEAD,
                200,
            ),
            (
                b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
                Method::HEAD,
                200,
            ),
            (b"HTTP/1.1 204 No Content\r\n\r\n", Method::GET, 204),
            (
                b"HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n",
                Method::GET,
                304,
            ),
            (b"HTTP/1.1 304 Not Modified\r\n\r\n", Method::GET, 304),
        ];
        for (answer, method, status) in cases {
            let ask = |session: &Session, url: String| session.request(method.clone(), url);
            let (session, peer, answers) = answered(answer, ask).await;
            assert_eq!(answers, [(status, String::new()), (status, String::new())]);
            assert_books(&session, Accounts::idle(1), 1, 1);
            assert_eq!(peer.accepted(), 1);
            let unread = soon(session.request(method, peer.url("/")).send())
                .await
                .unwrap();
            assert_books(&session, Accounts::idle(1), 1, 2);
            drop(unread);
            assert_books(&session, Accounts::idle(1), 1, 2);
        }
    }

    #[tokio::test]
    async fn with_an_informational_one_before_them_keep_their_connection() {
        let (session, _, answers) = answered(
            b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
            Session::get,
        )
        .await;
        assert_eq!(answers, [(200, "ok".into()), (200, "ok".into())]);
        assert_books(&session, Accounts::idle(1), 1, 1);
    }

    #[tokio::test]
    async fn of_http_1_0_keep_their_connection_if_they_say_so() {
        let (session, _, answers) = answered(
            b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 2\r\n\r\nok",
            Session::get,
        )
        .await;
        assert_eq!(answers, [(200, "ok".into()), (200, "ok".into())]);
        assert_books(&session, Accounts::idle(1), 1, 1);
    }

    #[tokio::test]
    async fn that_close_are_read_to_their_end_and_not_pooled() {
        let cases = [
            "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok",
            "HTTP/1.1 200 OK\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nok",
            "HTTP/1.1 200 OK\r\n\r\nok",
            "HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
            "HTTP/1.0 200 OK\r\n\r\nok",
        ];
        for (answer, slow) in cases
            .into_iter()
            .flat_map(|answer| [(answer, false), (answer, true)])
        {
            let gate = Gate::new();
            let held = gate.clone();
            let peer = RawPeer::start(async move |conn, _| {
                conn.read_request().await;
                let (start, end) = answer.split_at(answer.len() - 1);
                if slow {
                    conn.write(start).await;
                    held.pass().await;
                    conn.write(end).await;
                } else {
                    conn.write(answer).await;
                }
            });
            let session = open().await;
            for round in 1..=2 {
                let response = soon(session.get(peer.url("/")).send()).await.unwrap();
                gate.open();
                assert_eq!(
                    soon(response.text()).await.unwrap(),
                    "ok",
                    "{answer} {slow}"
                );
                assert_books(&session, Accounts::NONE, round, 0);
            }
            peer.wait_live(0).await;
        }
    }

    #[tokio::test]
    async fn with_two_lengths_are_not_followed_by_another_request() {
        let (session, peer, answers) = answered(
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 2\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            Session::get,
        )
        .await;
        assert_eq!(answers, [(200, "ok".into()), (200, "ok".into())]);
        assert_books(&session, Accounts::NONE, 2, 0);
        assert_eq!(peer.accepted(), 2);
    }

    #[tokio::test]
    async fn with_more_behind_them_are_whole_and_the_last_on_their_connection() {
        let stray = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil";
        for method in [Method::GET, Method::POST] {
            let ask = |session: &Session, url: String| session.request(method.clone(), url);
            let (session, peer, answers) = answered(stray, ask).await;
            assert_eq!(answers, [(200, "ok".into()), (200, "ok".into())]);
            assert_eq!((session.stats().opened, peer.accepted()), (2, 2));
            assert_eq!(peer.requests(), 2);
        }
    }

    #[tokio::test]
    async fn whose_head_is_beyond_its_limit_are_a_typed_error() {
        for (limit, length, fits) in [
            (1024, 1023, true),
            (1024, 1024, false),
            (64, 63, true),
            (64, 64, false),
            (1, 0, true),
            (1, 1, false),
        ] {
            let answer = format!(
                "HTTP/1.1 200 OK\r\nx-long: {}\r\ncontent-length: 2\r\n\r\nok",
                "x".repeat(length * 1024)
            );
            let peer = RawPeer::start(async move |conn, _| {
                while !conn.read_request().await.is_empty() {
                    conn.write(&answer).await;
                }
            });
            let session = Session::builder()
                .http1_max_header_size(limit * 1024)
                .open()
                .await
                .unwrap();
            let answer = get(&session, &peer.url("/")).await;
            if fits {
                assert_eq!(answer.unwrap(), "ok");
                assert_books(&session, Accounts::idle(1), 1, 0);
            } else {
                let error = expect_kind(answer, ErrorKind::Protocol);
                assert!(error.was_sent());
                assert!(chain(&error).contains("too large"), "{}", chain(&error));
                assert_books(&session, Accounts::NONE, 1, 0);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn paused_time_stands_still_while_an_exchange_runs_in_memory() {
    let memory = Memory::serving(async |request| {
        tokio::time::sleep(Duration::from_secs(20)).await;
        HttpResponse::new(server::full(request.uri().path().to_owned()))
    });
    let session = Session::builder()
        .connector(memory)
        .timeout(Duration::from_secs(30))
        .open()
        .await
        .unwrap();
    let began = tokio::time::Instant::now();
    for path in ["/1", "/2"] {
        let response = session.get(format!("http://a{path}")).send().await.unwrap();
        assert_eq!(response.text().await.unwrap(), path);
    }
    assert_eq!(began.elapsed().as_secs(), 40);
    assert_books(&session, Accounts::idle(1), 1, 1);
    let error = session
        .get("http://a/")
        .timeout(Duration::from_secs(10))
        .send()
        .await;
    expect_kind(error, ErrorKind::Timeout(TimeoutPhase::Total));
    assert_books(&session, Accounts::NONE, 1, 1);
    poll_fn(|_| Poll::Ready(())).await;
}

/// Row 14: a 101 ends the HTTP/1 connection for hyper and leaves the socket open.
mod an_upgrade_that_nobody_asked_for {
    use super::*;

    #[tokio::test]
    async fn is_an_answer_without_a_body_and_its_connection_is_closed() {
        let peer = RawPeer::start(async |connection, number| {
            connection.read_request().await;
            if number > 0 {
                connection
                    .write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
                    .await;
                connection.wait_eof().await;
                return;
            }
            let switching = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\n\
                             upgrade: other\r\n\r\nnot HTTP any more";
            connection.write(switching).await;
            connection.wait_eof().await;
        });
        let session = open().await;
        let answer = soon(session.get(peer.url("/")).send()).await.unwrap();
        assert_eq!(answer.status(), StatusCode::SWITCHING_PROTOCOLS);
        assert_eq!(soon(answer.bytes()).await.unwrap(), "");
        assert_books(&session, Accounts::NONE, 1, 0);
        peer.wait_live(0).await;
        assert_eq!(get(&session, &peer.url("/")).await.unwrap(), "ok");
        assert_books(&session, Accounts::idle(1), 2, 0);
    }
}
