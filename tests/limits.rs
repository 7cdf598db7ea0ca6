//! The limit on live connections, the queue before it, and whose turn it is.
#![allow(clippy::unwrap_used, reason = "a test that fails here has its line")]

mod support;

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, poll, stream};
use http::{Request, StatusCode, Uri};
use hyper::body::Incoming;
use hyper_session::{Body, BoxConnector, Error, ErrorKind, Response, Session, TimeoutPhase};
use tokio::task::yield_now;
use tokio::time::timeout;
use tower_service::Service;

use support::accounts::{Accounts, AliveTasks};
use support::body::BoxError;
use support::books::{assert_books, reach};
use support::connectors::{Counting, Fate, Fated, Memory, Pipe, read_head, write};
use support::gate::Gate;
use support::outcome::{assert_waits, expect_kind};
use support::server::{channel_body, respond, text};
use support::tally::PATIENCE;

async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.expect("no hang")
}

async fn limited(limit: usize, connector: impl hyper_session::Connector) -> Session {
    let builder = Session::builder()
        .pool_max_connections(limit)
        .connector(connector);
    builder.open().await.expect("valid settings")
}

async fn get(session: &Session, url: &str) -> hyper_session::Result<String> {
    soon(async { session.get(url).send().await?.text().await }).await
}

/// Answers `/held…` when the gate lets it, everything else at once; with the path.
fn held(gate: &Gate) -> Memory {
    let gate = gate.clone();
    Memory::serving(move |request: Request<Incoming>| {
        let gate = gate.clone();
        async move {
            let path = request.uri().path().to_owned();
            if path.starts_with("/held") {
                gate.pass().await;
            }
            text(path)
        }
    })
}

mod the_limit {
    use super::*;

    /// Answers small, chunked, failing in the middle, or for the last time.
    fn mixed() -> Memory {
        Memory::serving(async |request: Request<Incoming>| {
            let path = request.uri().path().to_owned();
            for _ in 0..path.len() % 4 {
                yield_now().await;
            }
            match path.as_bytes()[1] % 5 {
                0 | 1 => text(path),
                2 => {
                    let parts = stream::iter((0..5).map(|_| Ok::<_, BoxError>("part")));
                    let parts = parts
                        .map(|part| part.map(|part| hyper::body::Frame::data(Bytes::from(part))));
                    let body = http_body_util::StreamBody::new(parts);
                    respond(StatusCode::OK, http_body_util::BodyExt::boxed_unsync(body))
                }
                3 => {
                    let (sender, body) = channel_body();
                    tokio::spawn(async move {
                        let _ = sender.send("a part").await;
                        let _ = sender.fail("no more").await;
                    });
                    respond(StatusCode::OK, body)
                }
                _ => {
                    let mut last = text(path);
                    last.headers_mut()
                        .insert("connection", "close".parse().expect("valid"));
                    last
                }
            }
        })
    }

    async fn give_up_after<F: Future>(polls: usize, future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        for _ in 0..polls {
            if let Poll::Ready(output) = poll!(future.as_mut()) {
                return Some(output);
            }
            yield_now().await;
        }
        None
    }

    async fn work(session: Session, task: usize) {
        for round in 0..60 {
            let dice = (task * 31 + round * 17) ^ (round >> 1);
            let origin = ["http://a", "http://b", "http://c"][dice % 3];
            let url = format!("{origin}/{}{}", dice % 10, "x".repeat(dice % 7));
            match dice % 4 {
                0 => drop(give_up_after(dice % 9, session.get(&url).send()).await),
                1 => drop(soon(session.get(&url).send()).await),
                _ => {
                    // An error only says that the server broke off.
                    let _ = get(&session, &url).await;
                }
            }
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn holds_at_every_instant_whatever_becomes_of_the_exchanges() {
        for limit in [1, 2, 8] {
            let network = Counting::new(mixed());
            let session = limited(limit, network.clone()).await;
            let tasks: Vec<_> = (0..40)
                .map(|task| tokio::spawn(work(session.clone(), task)))
                .collect();
            for task in tasks {
                soon(task).await.unwrap();
            }
            let numbers = network.numbers();
            assert_eq!(numbers.peak, limit, "{numbers:?}");
            // Connects that lost their race and drains may still be at it.
            let settled = async {
                while session.stats().exchanges + session.stats().connecting > 0 {
                    yield_now().await;
                }
            };
            soon(settled).await;
            let stats = session.stats();
            assert_eq!(
                (stats.waiting, stats.exchanges, stats.idle),
                (0, 0, stats.open),
                "{stats:?}"
            );
            assert_eq!(
                (network.numbers().live, network.numbers().connecting),
                (stats.open, 0)
            );
            assert_eq!(get(&session, "http://z/2").await.unwrap(), "/2");
            soon(session.close()).await;
            assert_eq!(network.numbers().live, 0);
        }
    }

    #[tokio::test]
    async fn counts_a_connection_until_its_socket_is_closed() {
        let network = Counting::new(held(&Gate::new()));
        let session = limited(1, network.clone()).await;
        let (closed, seen) = (Arc::new(Mutex::new(Vec::new())), session.clone());
        let note = Arc::clone(&closed);
        network.on_close(move || {
            let stats = seen.stats();
            note.lock().unwrap().push(stats.open + stats.connecting);
        });
        for origin in ["http://a", "http://b"] {
            assert_eq!(get(&session, origin).await.unwrap(), "/");
            drop(
                soon(
                    session
                        .get(format!("{origin}/held"))
                        .timeout(Duration::from_millis(1))
                        .send(),
                )
                .await,
            );
        }
        // Evicted, given up, closed: whatever ended it, its place was still taken.
        assert_eq!(get(&session, "http://a").await.unwrap(), "/");
        soon(session.close()).await;
        assert_eq!(*closed.lock().unwrap(), [1, 1, 1]);
    }

    #[tokio::test]
    async fn makes_room_by_the_idle_connection_that_has_idled_longest() {
        let network = Counting::new(held(&Gate::new()));
        let session = limited(2, network.clone()).await;
        tokio::time::pause();
        for (opened, origin) in (1..).zip(["http://a", "http://b"]) {
            assert_eq!(get(&session, origin).await.unwrap(), "/");
            assert_books(&session, Accounts::idle(opened), opened as u64, 0);
            tokio::time::advance(Duration::from_millis(10)).await;
        }
        assert_eq!(get(&session, "http://c").await.unwrap(), "/");
        assert_books(&session, Accounts::idle(2), 3, 0);
        assert_eq!(get(&session, "http://b").await.unwrap(), "/");
        assert_books(&session, Accounts::idle(2), 3, 1);
        assert_eq!(get(&session, "http://a").await.unwrap(), "/");
        assert_books(&session, Accounts::idle(2), 4, 1);
        assert_eq!(network.numbers().peak, 2);
    }

    #[tokio::test]
    async fn makes_room_by_a_connection_that_comes_back_from_another_origin() {
        let gate = Gate::new();
        let network = Counting::new(held(&gate));
        let session = limited(1, network.clone()).await;
        let first = tokio::spawn(session.get("http://a/held").send());
        soon(gate.wait_reached(1)).await;
        let mut second = pin!(get(&session, "http://b/"));
        assert_waits(second.as_mut()).await;
        assert_books(&session, Accounts::busy(1).and_queued(1), 1, 0);
        gate.open();
        assert_eq!(second.await.unwrap(), "/");
        assert_eq!(soon(first).await.unwrap().unwrap().status(), 200);
        assert_books(&session, Accounts::idle(1), 2, 0);
        assert_eq!(network.numbers().peak, 1);
    }
}

mod the_queue {
    use super::*;

    #[tokio::test]
    async fn is_served_in_order() {
        let gate = Gate::new();
        let network = Counting::new(held(&gate));
        let session = limited(1, network.clone()).await;
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = Vec::new();
        for number in 0..6 {
            let (client, order) = (session.clone(), Arc::clone(&order));
            // By turns for the same origin and for another, which costs a connection each.
            let url = format!("http://{}/held{number}", ["a", "a", "b"][number % 3]);
            tasks.push(tokio::spawn(async move {
                let path = get(&client, &url).await.unwrap();
                order.lock().unwrap().push(path);
            }));
            let queued = Accounts::busy(usize::from(number > 0)).and_queued(number);
            if number == 0 {
                soon(gate.wait_reached(1)).await;
            } else {
                reach(&session, queued).await;
            }
        }
        gate.open_for_good();
        for task in tasks {
            soon(task).await.unwrap();
        }
        let expected: Vec<_> = (0..6).map(|number| format!("/held{number}")).collect();
        assert_eq!(*order.lock().unwrap(), expected);
        assert_books(&session, Accounts::idle(1), 4, 2);
        assert_eq!(network.numbers().peak, 1);
    }

    /// What the first in the queue is given: the connection itself, or the right to make one.
    const ORIGINS: [&str; 2] = ["http://a/", "http://b/"];

    #[tokio::test]
    async fn closes_up_when_one_leaves_it() {
        for origin in ORIGINS {
            let gate = Gate::new();
            let session = limited(1, held(&gate)).await;
            let first = tokio::spawn(session.get("http://a/held").send());
            soon(gate.wait_reached(1)).await;
            let mut leaver = Box::pin(get(&session, origin));
            let mut last = pin!(get(&session, origin));
            assert_waits(leaver.as_mut()).await;
            assert_waits(last.as_mut()).await;
            assert_books(&session, Accounts::busy(1).and_queued(2), 1, 0);
            drop(leaver);
            assert_books(&session, Accounts::busy(1).and_queued(1), 1, 0);
            gate.open();
            assert_eq!(last.await.unwrap(), "/");
            assert_eq!(soon(first).await.unwrap().unwrap().status(), 200);
            assert_eq!((session.stats().open, session.stats().idle), (1, 1));
            assert_eq!((session.stats().waiting, session.stats().exchanges), (0, 0));
        }
    }

    #[tokio::test]
    async fn gets_back_what_was_given_to_one_that_leaves_before_it_looks() {
        for (origin, opened) in ORIGINS.into_iter().zip([1, 2]) {
            let gate = Gate::new();
            let session = limited(1, held(&gate)).await;
            let first = tokio::spawn(session.get("http://a/held").send());
            soon(gate.wait_reached(1)).await;
            let mut leaver = Box::pin(get(&session, origin));
            let mut last = pin!(get(&session, origin));
            assert_waits(leaver.as_mut()).await;
            assert_waits(last.as_mut()).await;
            gate.open();
            assert_eq!(soon(first).await.unwrap().unwrap().status(), 200);
            // It has been given its turn, and is not polled again.
            assert_waits(last.as_mut()).await;
            assert_eq!((session.stats().waiting, session.stats().exchanges), (2, 2));
            drop(leaver);
            assert_eq!(last.await.unwrap(), "/");
            // The connection itself, or the right to make one.
            assert_books(&session, Accounts::idle(1), opened, 2 - opened);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn ends_in_an_error_that_names_the_limit_in_use_and_waiting() {
        let gate = Gate::new();
        let session = Session::builder()
            .pool_max_connections(2)
            .pool_timeout(Duration::from_secs(3))
            .connector(held(&gate))
            .open()
            .await
            .unwrap();
        let running: Vec<_> = (0..2)
            .map(|_| tokio::spawn(session.get("http://a/held").send()))
            .collect();
        soon(gate.wait_reached(2)).await;
        let mut other = pin!(session.get("http://a/").send());
        assert_waits(other.as_mut()).await;
        tokio::time::advance(Duration::from_secs(1)).await;
        let began = tokio::time::Instant::now();
        let error = other.await.unwrap_err();
        assert_eq!(began.elapsed(), Duration::from_secs(2));
        assert_eq!(error.kind(), ErrorKind::Timeout(TimeoutPhase::Pool));
        assert!(!error.was_sent() && error.is_retryable() && error.is_timeout());
        let shown = error.to_string();
        for part in ["limit 2", "2 in use", "1 waiting"] {
            assert!(shown.contains(part), "{shown}");
        }
        assert_books(&session, Accounts::busy(2), 2, 0);
        gate.open_for_good();
        for running in running {
            assert_eq!(running.await.unwrap().unwrap().status(), 200);
        }
        assert_books(&session, Accounts::idle(2), 2, 0);
    }
}

mod a_connect_that_lost_its_race {
    use super::*;

    /// Two connections at the limit: one in an exchange, one behind the gate, and one in the queue.
    async fn race(
        fate: Fate,
    ) -> (
        Session,
        Counting<Fated<Memory>>,
        Gate,
        [tokio::task::JoinHandle<Result<Response, Error>>; 3],
    ) {
        let answers = Gate::new();
        let network = Counting::new(Fated::new(held(&answers), move |number| match number {
            1 => fate.clone(),
            _ => Fate::Made,
        }));
        let session = limited(2, network.clone()).await;
        let first = tokio::spawn(session.get("http://a/held").send());
        soon(answers.wait_reached(1)).await;
        assert_books(&session, Accounts::busy(1), 1, 0);
        let second = tokio::spawn(session.get("http://a/held").send());
        reach(&session, Accounts::busy(1).and_connecting(1)).await;
        let third = tokio::spawn(session.get("http://a/").send());
        reach(&session, Accounts::busy(1).and_connecting(1).and_queued(1)).await;
        (session, network, answers, [first, second, third])
    }

    /// Far from the limit: an idle connection of another origin, one that is being made and whose
    /// request has got another, and a request that came after.
    async fn spare(
        fate: Fate,
    ) -> (
        Session,
        Counting<Fated<Memory>>,
        Gate,
        [tokio::task::JoinHandle<Result<Response, Error>>; 2],
    ) {
        let answers = Gate::new();
        let network = Counting::new(Fated::new(held(&answers), move |number| match number {
            2 => fate.clone(),
            _ => Fate::Made,
        }));
        let session = limited(10, network.clone()).await;
        assert_eq!(get(&session, "http://b/").await.unwrap(), "/");
        let first = tokio::spawn(session.get("http://a/held").send());
        soon(answers.wait_reached(1)).await;
        let second = tokio::spawn(session.get("http://a/held").send());
        let connecting = Accounts::busy(1).and_idle(1).and_connecting(1);
        reach(&session, connecting).await;
        answers.open();
        assert_eq!(soon(first).await.unwrap().unwrap().status(), 200);
        soon(answers.wait_reached(2)).await;
        let third = session.get("http://a/").pool_timeout(Duration::ZERO);
        let third = tokio::spawn(third.send());
        // The same numbers, but it is not the third that connects.
        reach(&session, connecting).await;
        assert_eq!(network.numbers().asked, 3);
        (session, network, answers, [second, third])
    }

    #[tokio::test]
    async fn is_counted_on_by_the_next_request_far_from_the_limit_as_well() {
        let connects = Gate::new();
        let (session, network, answers, [second, third]) =
            spare(Fate::Behind(connects.clone())).await;
        connects.open();
        assert_eq!(soon(third).await.unwrap().unwrap().status(), 200);
        assert_books(&session, Accounts::busy(1).and_idle(2), 3, 0);
        answers.open();
        assert_eq!(soon(second).await.unwrap().unwrap().status(), 200);
        assert_books(&session, Accounts::idle(3), 3, 1);
        assert_eq!(network.numbers().asked, 3);
    }

    #[tokio::test(start_paused = true)]
    async fn lets_the_next_request_connect_when_it_is_stuck() {
        let (session, network, answers, [second, third]) = spare(Fate::Never).await;
        // Long before the connect timeout.
        let third = timeout(Duration::from_secs(2), third).await;
        assert_eq!(third.unwrap().unwrap().unwrap().status(), 200);
        assert_books(&session, Accounts::busy(1).and_idle(2), 3, 0);
        answers.open();
        assert_eq!(second.await.unwrap().unwrap().status(), 200);
        assert_books(&session, Accounts::idle(3), 3, 1);
        assert_eq!(network.numbers().asked, 4);
    }

    #[tokio::test]
    async fn serves_the_next_in_the_queue() {
        let connects = Gate::new();
        let (session, network, answers, [first, second, third]) =
            race(Fate::Behind(connects.clone())).await;
        answers.open();
        assert_eq!(soon(first).await.unwrap().unwrap().status(), 200);
        // The second has taken the first's connection; its own is still being made.
        soon(answers.wait_reached(2)).await;
        let connecting = Accounts {
            connecting: 1,
            ..Accounts::busy(1).and_queued(1)
        };
        assert_books(&session, connecting, 1, 0);
        connects.open();
        assert_eq!(soon(third).await.unwrap().unwrap().status(), 200);
        assert_books(&session, Accounts::busy(1).and_idle(1), 2, 0);
        answers.open();
        assert_eq!(soon(second).await.unwrap().unwrap().status(), 200);
        assert_books(&session, Accounts::idle(2), 2, 1);
        assert_eq!((network.numbers().asked, network.numbers().peak), (2, 2));
    }

    #[tokio::test(start_paused = true)]
    async fn leaves_its_place_to_the_next_in_the_queue_when_it_is_stuck() {
        let (session, network, answers, [first, second, third]) = race(Fate::Never).await;
        answers.open();
        assert_eq!(soon(first).await.unwrap().unwrap().status(), 200);
        soon(answers.wait_reached(2)).await;
        let connecting = Accounts {
            connecting: 1,
            ..Accounts::busy(1).and_queued(1)
        };
        assert_books(&session, connecting, 1, 0);
        let third = timeout(Duration::from_secs(2), third).await;
        assert_eq!(third.unwrap().unwrap().unwrap().status(), 200);
        assert_books(&session, Accounts::busy(1).and_idle(1), 2, 0);
        answers.open();
        assert_eq!(second.await.unwrap().unwrap().status(), 200);
        assert_books(&session, Accounts::idle(2), 2, 1);
        assert_eq!((network.numbers().asked, network.numbers().peak), (3, 2));
    }

    #[tokio::test]
    async fn idles_if_nobody_waits_and_is_the_next_ones() {
        let (connects, answers) = (Gate::new(), Gate::new());
        let behind = connects.clone();
        let network = Counting::new(Fated::new(held(&answers), move |number| match number {
            1 => Fate::Behind(behind.clone()),
            _ => Fate::Made,
        }));
        let session = limited(5, network.clone()).await;
        let first = tokio::spawn(session.get("http://a/held").send());
        soon(answers.wait_reached(1)).await;
        let mut second = pin!(session.get("http://a/").send());
        assert_waits(second.as_mut()).await;
        answers.open();
        assert_eq!(soon(second).await.unwrap().status(), 200);
        assert_eq!(soon(first).await.unwrap().unwrap().status(), 200);
        assert_books(
            &session,
            Accounts {
                connecting: 1,
                ..Accounts::idle(1)
            },
            1,
            1,
        );
        connects.open();
        reach(&session, Accounts::idle(2)).await;
        let both = futures::join!(get(&session, "http://a/held1"), async {
            soon(answers.wait_reached(2)).await;
            assert_eq!(get(&session, "http://a/").await.unwrap(), "/");
            answers.open();
        });
        assert_eq!(both.0.unwrap(), "/held1");
        assert_eq!((session.stats().open, network.numbers().asked), (2, 2));
    }

    /// What happens in the very poll in which a connect ends.
    type Meanwhile = Arc<Mutex<Option<Box<dyn FnOnce() + Send>>>>;

    /// Connects at once but for the last time: that ends when there is something to happen meanwhile.
    async fn racing(
        memory: Memory,
        last: usize,
        end: fn(Pipe) -> io::Result<Pipe>,
    ) -> (Session, Meanwhile) {
        let (asked, meanwhile) = (Arc::new(AtomicUsize::new(0)), Meanwhile::default());
        let happening = Arc::clone(&meanwhile);
        let connector = tower::service_fn(move |uri: Uri| {
            let (number, connecting) = (asked.fetch_add(1, SeqCst), memory.clone().call(uri));
            let happening = Arc::clone(&happening);
            async move {
                let pipe = connecting.await.expect("it cannot fail");
                if number < last {
                    return Ok(pipe);
                }
                let due = poll_fn(|_| match happening.lock().unwrap().take() {
                    Some(happens) => Poll::Ready(happens),
                    None => Poll::Pending,
                });
                let happens = due.await;
                happens();
                end(pipe)
            }
        });
        (limited(5, connector).await, meanwhile)
    }

    /// A request that is under way when this returns.
    async fn asking(session: &Session, url: &'static str) -> BoxFuture<'static, StatusCode> {
        let session = session.clone();
        let mut asking = async move {
            let answer = soon(session.get(url).send()).await;
            answer.unwrap().status()
        }
        .boxed();
        assert_waits(asking.as_mut()).await;
        asking
    }

    async fn turns() {
        for _ in 0..10 {
            yield_now().await;
        }
    }

    #[tokio::test]
    async fn fails_no_request_that_has_got_another_in_the_same_moment() {
        let answers = Gate::new();
        let refused = |_| Err(io::Error::from(io::ErrorKind::ConnectionRefused));
        let (session, meanwhile) = racing(held(&answers), 1, refused).await;
        let first = asking(&session, "http://a/held").await;
        let second = asking(&session, "http://a/").await;
        assert_books(&session, Accounts::busy(1).and_connecting(1), 1, 0);
        answers.open();
        turns().await;
        let happens = || assert_eq!(first.now_or_never().unwrap(), 200);
        *meanwhile.lock().unwrap() = Some(Box::new(happens));
        assert_eq!(second.await, 200);
        assert_books(&session, Accounts::idle(1), 1, 1);
    }

    #[tokio::test]
    async fn serves_one_who_needs_a_new_one_when_its_own_request_has_got_another() {
        // Each answers when the gate lets it, but for the second, which answers once, and then ends.
        let gate = Gate::new();
        let answers = gate.clone();
        let memory = Memory::scripted(move |mut end, number| {
            let gate = gate.clone();
            async move {
                for count in 0.. {
                    let head = read_head(&mut end).await;
                    if number != 1 || count > 0 {
                        gate.pass().await;
                    }
                    if head.is_empty() || (number == 1 && count > 0) {
                        return;
                    }
                    write(&mut end, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
                }
            }
        });
        let (session, meanwhile) = racing(memory, 2, Ok).await;
        let first = asking(&session, "http://a/1").await;
        assert_eq!(get(&session, "http://a/2").await.unwrap(), "");
        let mut repeated = asking(&session, "http://a/3").await;
        let connects = asking(&session, "http://a/4").await;
        assert_books(&session, Accounts::busy(2).and_connecting(1), 2, 0);
        answers.open_for_good();
        turns().await;

        let asked = session.clone();
        let (result, going_on) = mpsc::channel();
        let happens = move || {
            assert_eq!(first.now_or_never().unwrap(), 200);
            let mut nobody = Context::from_waker(Waker::noop());
            assert!(repeated.poll_unpin(&mut nobody).is_pending());
            // One has been given back for the one that connects, and one is being made.
            let stats = asked.stats();
            assert_eq!((stats.open, stats.idle, stats.connecting), (1, 0, 1));
            result.send(repeated).unwrap();
        };
        *meanwhile.lock().unwrap() = Some(Box::new(happens));
        assert_eq!(connects.await, 200);
        assert_eq!(going_on.recv().unwrap().await, 200);
        assert_books(&session, Accounts::idle(2), 3, 1);
    }

    #[tokio::test]
    async fn does_not_outlive_its_session() {
        let answers = Gate::new();
        let network = Counting::new(Fated::new(held(&answers), |number| match number {
            1 => Fate::Never,
            _ => Fate::Made,
        }));
        let tasks = AliveTasks::now();
        let session = limited(5, network.clone()).await;
        let first = tokio::spawn(session.get("http://a/held").send());
        soon(answers.wait_reached(1)).await;
        let mut second = Box::pin(session.get("http://a/").send());
        assert_waits(second.as_mut()).await;
        answers.open();
        assert_eq!(soon(second).await.unwrap().status(), 200);
        assert_eq!(soon(first).await.unwrap().unwrap().status(), 200);
        assert_eq!(network.numbers().connecting, 1);
        soon(session.close()).await;
        assert_eq!(
            (network.numbers().connecting, network.numbers().live),
            (0, 0)
        );
        assert_books(&session, Accounts::NONE, 1, 1);
        tasks.assert_back().await;
    }
}

/// What each path answers, badly for the most part; nothing at all to `/close`, which ends there.
const ANSWERS: [(&str, &str); 6] = [
    ("/ok", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"),
    ("/garbage", "what?\r\n\r\n"),
    ("/cut", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok"),
    ("/refused", "HTTP/1.1 500 No\r\ncontent-length: 2\r\n\r\nno"),
    (
        "/chunks",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n",
    ),
    (
        "/slow",
        "HTTP/1.1 200 OK\r\ncontent-length: 200000\r\n\r\nok",
    ),
];

fn bad() -> Memory {
    Memory::scripted(|mut end, _| async move {
        loop {
            let head = read_head(&mut end).await;
            let path = head.split(' ').nth(1).unwrap_or_default();
            let answer = ANSWERS.iter().find(|(known, _)| *known == path);
            if let Some((_, answer)) = answer {
                write(&mut end, answer).await;
            }
            match path {
                "/never" => drop(read_head(&mut end).await),
                "/cut" | "/close" | "" => return,
                _ => {}
            }
        }
    })
}

/// One failure after another at a limit of one: each has given its permit back.
#[tokio::test(start_paused = true)]
async fn permits_come_back_after_errors_of_each_kind() {
    let fates = Arc::new(Mutex::new(Vec::new()));
    let next = Arc::clone(&fates);
    let network = Counting::new(Fated::new(bad(), move |_| {
        next.lock().unwrap().pop().unwrap_or(Fate::Made)
    }));
    let session = Session::builder()
        .pool_max_connections(1)
        .connect_timeout(Duration::from_secs(2))
        .head_timeout(Duration::from_secs(2))
        .read_timeout(Duration::from_secs(2))
        .connector(BoxConnector::new(network.clone()))
        .open()
        .await
        .unwrap();
    let ok = async || {
        assert_eq!(get(&session, "http://a/ok").await.unwrap(), "ok");
        let stats = session.stats();
        assert_eq!(
            (stats.open, stats.idle, stats.exchanges, stats.waiting),
            (1, 1, 0, 0),
            "{stats:?}"
        );
    };
    ok().await;
    for (path, kind) in [
        ("/garbage", ErrorKind::Protocol),
        ("/close", ErrorKind::Protocol),
        ("/cut", ErrorKind::BodyTruncated),
        ("/chunks", ErrorKind::Protocol),
        ("/never", ErrorKind::Timeout(TimeoutPhase::Head)),
        ("/slow", ErrorKind::Timeout(TimeoutPhase::Read)),
    ] {
        let error = expect_kind(get(&session, &format!("http://a{path}")).await, kind);
        assert!(error.was_sent(), "{error:?}");
        let stats = session.stats();
        assert_eq!(
            (stats.open, stats.exchanges, stats.connecting),
            (0, 0, 0),
            "{path} {stats:?}"
        );
        assert_eq!(network.numbers().live, 0);
        ok().await;
    }
    let status = session
        .get("http://a/refused")
        .raise_for_status(true)
        .send()
        .await;
    expect_kind(status, ErrorKind::Status);
    ok().await;
    for (fate, kind) in [
        (Fate::Refused, ErrorKind::Connect),
        (Fate::Never, ErrorKind::Timeout(TimeoutPhase::Connect)),
    ] {
        fates.lock().unwrap().push(fate);
        let error = expect_kind(get(&session, "http://b/ok").await, kind);
        assert!(!error.was_sent() && error.is_connect() && error.is_retryable());
        assert_eq!((session.stats().open, session.stats().connecting), (0, 0));
        ok().await;
    }
    let parts = [Ok("a"), Err(io::Error::other("out of paper"))];
    let body = Body::wrap_stream(stream::iter(parts));
    let error = session.post("http://a/never").body(body).send().await;
    expect_kind(error, ErrorKind::Body);
    ok().await;
    let error = session.get("http://a/").header("a", "\n").send().await;
    expect_kind(error, ErrorKind::Builder);
    let error = session.get("ftp://a/").send().await;
    expect_kind(error, ErrorKind::Url);
    ok().await;
    assert_eq!(network.numbers().peak, 1);
}
