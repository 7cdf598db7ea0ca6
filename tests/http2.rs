//! HTTP/2: one connection for many requests, and what becomes of them when it ends.
#![cfg(feature = "http2")]

mod support;

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::future::{join_all, pending};
use futures::{StreamExt, stream};
use hyper::service::service_fn;
use hyper_session::{Body, ErrorKind, Method, Session, SessionBuilder, TimeoutPhase, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use support::accounts::{Accounts, AliveTasks, assert_accounts};
use support::books::{assert_books, reach};
use support::connectors::{Negotiated, Pipe};
use support::frames::{GO_AWAY, HEADERS, OK, PREFACE, read_frame};
use support::gate::Gate;
use support::http2::{Call, Http2Server, Manner, Then};
use support::server::{Server, text};
use support::stages::{Fate, Point, Stage, http2_network};
use support::tls::ca_pem;
use tokio::sync::Semaphore;

fn builder() -> SessionBuilder {
    Session::builder().http2_prior_knowledge()
}

async fn session() -> Session {
    builder().open().await.expect("a session opens")
}

/// Answers with the path, once it may.
fn gated(gate: &Arc<Semaphore>) -> impl AsyncFn(Call) -> Then + Send + use<> {
    let gate = Arc::clone(gate);
    async move |call: Call| {
        let permit = gate.acquire().await;
        permit.expect("the gate is never closed").forget();
        let path = call.request.uri().path().to_owned();
        call.text(path)
    }
}

async fn echo(mut call: Call) -> Then {
    let body = call.body().await;
    call.text(body)
}

async fn get(session: &Session, url: String) -> hyper_session::Result<String> {
    session.get(url).send().await?.text().await
}

const IDLE: Accounts = Accounts {
    open: 1,
    idle: 1,
    in_use: 0,
    connecting: 0,
    waiting: 0,
    exchanges: 0,
};

/// So many requests on one connection.
fn sharing(requests: usize) -> Accounts {
    Accounts {
        open: 1,
        in_use: 1,
        exchanges: requests,
        ..Accounts::NONE
    }
}

#[tokio::test]
async fn requests_by_prior_knowledge_share_one_connection_which_close_ends() {
    let tasks = AliveTasks::now();
    let server = Http2Server::start(Manner::default(), echo);
    let session = session().await;
    for n in 0..3_u64 {
        let answer = session.post(server.url("/")).body("hello").send().await;
        let answer = answer.unwrap();
        assert_eq!(answer.version(), Version::HTTP_2);
        assert_eq!(answer.remote_addr(), Some(server.addr()));
        assert_eq!(answer.text().await.unwrap(), "hello");
        assert_books(&session, IDLE, 1, n);
    }
    let report = session.close().await;
    assert_accounts(&report.stats, Accounts::NONE);
    assert_eq!(report.severed, 0);
    server.wait_live(0).await;
    tasks.assert_back().await;
}

#[tokio::test]
async fn a_hundred_cold_requests_over_tls_make_one_handshake() {
    let server = Http2Server::start_tls(Manner::default(), async |call| {
        let path = call.request.uri().path().to_owned();
        call.text(path)
    });
    let session = Session::builder().tls_root_pem(ca_pem());
    let session = session.open().await.unwrap();
    let answers = (0..100).map(|n| get(&session, server.url(&format!("/{n}"))));
    for (n, answer) in join_all(answers).await.into_iter().enumerate() {
        assert_eq!(answer.unwrap(), format!("/{n}"));
    }
    assert_eq!((server.accepted(), server.handshakes()), (1, 1));
    assert_books(&session, IDLE, 1, 99);
    session.close().await;
    server.wait_live(0).await;
}

#[tokio::test]
async fn an_origin_without_http2_is_asked_once_and_then_given_its_connections() {
    let arrived = Arc::new(Semaphore::new(0));
    let gate = Arc::clone(&arrived);
    let server = Server::start_tls(async move |_| {
        gate.acquire().await.unwrap().forget();
        text("one")
    });
    let session = Session::builder().tls_root_pem(ca_pem());
    let session = session.pool_max_connections(4).open().await.unwrap();
    let answers = join_all((0..12).map(|_| get(&session, server.url("/"))));
    let answering = async {
        server.wait_requests(4).await;
        arrived.add_permits(12);
    };
    let (answers, ()) = futures::join!(answers, answering);
    assert!(answers.into_iter().all(|answer| answer.unwrap() == "one"));
    assert_eq!(server.accepted(), 4);
    assert_accounts(&session.stats(), Accounts::idle(4));
}

#[tokio::test]
async fn http1_only_offers_nothing_else() {
    let server = Http2Server::start_tls(Manner::default(), echo);
    let session = Session::builder().tls_root_pem(ca_pem()).http1_only();
    let session = session.open().await.unwrap();
    // The peer knows nothing but HTTP/2.
    let error = session.get(server.url("/")).send().await.unwrap_err();
    assert_ne!(error.kind(), ErrorKind::Status, "{error:?}");
    assert_eq!(server.requests(), 0);

    let server = Server::start_tls(async |_| text("one"));
    let answer = session.get(server.url("/")).send().await.unwrap();
    assert_eq!(answer.version(), Version::HTTP_11);
}

#[tokio::test]
async fn the_peers_limit_of_streams_is_kept_by_queueing() {
    let gate = Arc::new(Semaphore::new(0));
    let manner = Manner {
        max_streams: Some(3),
    };
    let server = Http2Server::start(manner, gated(&gate));
    let session = session().await;
    let answers = join_all((0..20).map(|n| get(&session, server.url(&format!("/{n}")))));
    let opening = async {
        server.wait_requests(3).await;
        let busy = Accounts {
            waiting: 17,
            ..sharing(20)
        };
        reach(&session, busy).await;
        gate.add_permits(20);
    };
    let (answers, ()) = futures::join!(answers, opening);
    for (n, answer) in answers.into_iter().enumerate() {
        assert_eq!(answer.unwrap(), format!("/{n}"));
    }
    assert_eq!((server.accepted(), server.peak()), (1, 3));
    assert_books(&session, IDLE, 1, 19);
}

#[tokio::test]
async fn more_connections_are_made_when_streams_run_out_if_that_is_allowed() {
    for is_known in [true, false] {
        let gate = Arc::new(Semaphore::new(0));
        let manner = Manner {
            max_streams: Some(3),
        };
        let (server, session) = if is_known {
            (Http2Server::start(manner, gated(&gate)), builder())
        } else {
            let session = Session::builder().tls_root_pem(ca_pem());
            (Http2Server::start_tls(manner, gated(&gate)), session)
        };
        let session = session.http2_max_connections_per_origin(2);
        let session = session.open().await.unwrap();
        let answers = join_all((0..20).map(|n| get(&session, server.url(&format!("/{n}")))));
        let opening = async {
            server.wait_requests(6).await;
            gate.add_permits(20);
        };
        let (answers, ()) = futures::join!(answers, opening);
        assert!(answers.iter().all(Result::is_ok), "{answers:?}");
        assert_eq!((server.accepted(), server.peak()), (2, 3));
        assert_accounts(&session.stats(), Accounts::idle(2));
    }
}

#[tokio::test]
async fn a_peer_that_says_goodbye_again_and_again_loses_no_request_and_sees_none_twice() {
    let seen = Arc::new(Mutex::new(HashMap::<String, usize>::new()));
    let book = Arc::clone(&seen);
    let server = Http2Server::start(Manner::default(), async move |mut call| {
        let number = call.number;
        let body = call.body().await;
        let name = String::from_utf8(body.to_vec()).unwrap();
        *book.lock().unwrap().entry(name).or_default() += 1;
        call.text(body);
        if number == 9 {
            Then::GoAway
        } else {
            Then::GoOn
        }
    });
    let session = session().await;
    let sending = |n: usize| {
        let request = session.post(server.url("/")).body(format!("number {n}"));
        async move { request.send().await?.text().await }
    };
    let answers = stream::iter(0..300)
        .map(sending)
        .buffered(16)
        .collect::<Vec<_>>();
    for (n, answer) in answers.await.into_iter().enumerate() {
        assert_eq!(answer.unwrap(), format!("number {n}"));
    }
    let seen = std::mem::take(&mut *seen.lock().unwrap());
    assert_eq!(seen.len(), 300);
    assert!(seen.values().all(|times| *times == 1), "{seen:?}");
    assert!(server.accepted() > 10, "{}", server.accepted());
    session.close().await;
    server.wait_live(0).await;
}

#[tokio::test]
async fn a_refused_post_is_sent_again_and_a_refused_stream_is_the_callers_to_send_again() {
    let server = Http2Server::start(Manner::default(), async |mut call| {
        if call.number % 2 == 0 {
            return call.refuse();
        }
        let body = call.body().await;
        call.text(body)
    });
    let session = session().await;
    let answer = session.post(server.url("/")).body("once").send().await;
    assert_eq!(answer.unwrap().text().await.unwrap(), "once");
    assert_eq!(server.requests(), 2);

    let parts = stream::iter([Ok::<_, io::Error>(Bytes::from("part"))]);
    let body = Body::wrap_stream(parts);
    let error = session.post(server.url("/")).body(body).send().await;
    let error = error.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Protocol, "{error:?}");
    assert!(error.is_retryable(), "{error:?}");
    assert_books(&session, IDLE, 1, 0);
}

#[tokio::test]
async fn a_peer_that_refuses_for_ever_is_given_up() {
    let server = Http2Server::start(Manner::default(), async |call| call.refuse());
    let session = session().await;
    let error = session.get(server.url("/")).send().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Protocol, "{error:?}");
    assert_eq!(server.requests(), 6);
}

#[tokio::test]
async fn a_connection_that_breaks_under_requests_fails_those_that_may_not_be_repeated() {
    let broken = Arc::new(Mutex::new(false));
    let server = Http2Server::start(Manner::default(), async move |call| {
        let first = !std::mem::replace(&mut *broken.lock().unwrap(), call.number == 1);
        if call.number == 1 && first {
            return Then::Break;
        }
        call.text("fine")
    });
    let session = session().await;
    assert_eq!(get(&session, server.url("/")).await.unwrap(), "fine");
    // A GET of the same sort is sent once more.
    assert_eq!(get(&session, server.url("/")).await.unwrap(), "fine");
    assert_eq!(server.accepted(), 2);
    assert_accounts(&session.stats(), IDLE);

    let server = Http2Server::start(Manner::default(), async |call| {
        if call.number == 1 {
            return Then::Break;
        }
        call.text("fine")
    });
    assert_eq!(get(&session, server.url("/")).await.unwrap(), "fine");
    let error = session.post(server.url("/")).body("x").send().await;
    let error = error.unwrap_err();
    assert!(error.was_sent(), "{error:?}");
    assert_eq!((server.accepted(), server.requests()), (1, 2));
    assert_eq!(get(&session, server.url("/")).await.unwrap(), "fine");
}

#[tokio::test]
async fn a_request_that_a_break_made_be_repeated_is_sent_again_when_it_is_refused() {
    let server = Http2Server::start(Manner::default(), async |call| {
        match (call.connection, call.number) {
            (0, 1) => Then::Break,
            (1, 0..5) => call.refuse(),
            _ => call.text("fine"),
        }
    });
    let session = session().await;
    for opened in [1, 2] {
        assert_eq!(get(&session, server.url("/")).await.unwrap(), "fine");
        assert_eq!(server.accepted(), opened);
        assert_accounts(&session.stats(), IDLE);
    }
    // A second break is the caller's to know, and a refusal of what was sent does not hide that.
    let server = Http2Server::start(Manner::default(), async |call| {
        match (call.connection, call.number) {
            (0, 0) => call.text("fine"),
            (1, 0) | (2, _) => call.refuse(),
            _ => Then::Break,
        }
    });
    assert_eq!(get(&session, server.url("/")).await.unwrap(), "fine");
    let error = get(&session, server.url("/")).await.unwrap_err();
    assert!(error.was_sent(), "{error:?}");
    assert_eq!((server.accepted(), server.requests()), (2, 4));
    let error = get(&session, server.url("/")).await.unwrap_err();
    assert!(!error.was_sent(), "{error:?}");
    assert_eq!((server.accepted(), server.requests()), (3, 10));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_no_preface_is_given_up_at_the_limit_of_connecting() {
    let point = Point::new(Fate::Never);
    let session = builder().connector(http2_network(Stage::WriteHead, &point));
    let session = session.connect_timeout(Duration::from_secs(5)).open().await;
    let session = session.unwrap();
    point.gate.open();
    let sending = session.get("http://localhost/").send();
    let error = tokio::time::timeout(Duration::from_secs(6), sending).await;
    let error = error.expect("no hang").unwrap_err();
    let kind = ErrorKind::Timeout(TimeoutPhase::Connect);
    assert_eq!((error.kind(), error.was_sent()), (kind, false), "{error:?}");
    assert_accounts(&session.stats(), Accounts::NONE);
    // The next one is taken.
    assert_eq!(
        get(&session, "http://localhost/".to_owned()).await.unwrap(),
        "ok"
    );
    assert_accounts(&session.stats(), IDLE);
}

#[tokio::test]
async fn a_dropped_request_resets_its_stream_and_no_other() {
    let gate = Arc::new(Semaphore::new(0));
    let ended = Arc::new(Semaphore::new(0));
    let (held, reset) = (Arc::clone(&gate), Arc::clone(&ended));
    let server = Http2Server::start(Manner::default(), async move |mut call| {
        if call.request.uri().path() == "/dropped" {
            std::future::poll_fn(|cx| call.answer.poll_reset(cx))
                .await
                .unwrap();
            reset.add_permits(1);
            return Then::GoOn;
        }
        held.acquire().await.unwrap().forget();
        call.text("kept")
    });
    let session = session().await;
    let other = tokio::spawn({
        let (session, url) = (session.clone(), server.url("/kept"));
        async move { get(&session, url).await }
    });
    server.wait_requests(1).await;
    let mut dropped = Box::pin(session.get(server.url("/dropped")).send());
    assert!(futures::poll!(&mut dropped).is_pending());
    let waiting = async {
        server.wait_requests(2).await;
    };
    futures::future::select(&mut dropped, Box::pin(waiting)).await;
    assert_accounts(&session.stats(), sharing(2));
    drop(dropped);
    assert_accounts(&session.stats(), sharing(1));
    ended.acquire().await.unwrap().forget();
    gate.add_permits(1);
    assert_eq!(other.await.unwrap().unwrap(), "kept");
    assert_books(&session, IDLE, 1, 0);
    assert_eq!(server.accepted(), 1);
}

#[tokio::test]
async fn a_dropped_body_resets_its_stream_and_the_connection_goes_on() {
    let ended = Arc::new(Semaphore::new(0));
    let reset = Arc::clone(&ended);
    let server = Http2Server::start(Manner::default(), async move |mut call| {
        if call.number > 0 {
            return call.text("next");
        }
        let mut body = call
            .answer
            .send_response(http::Response::new(()), false)
            .unwrap();
        body.send_data(Bytes::from("part"), false).unwrap();
        std::future::poll_fn(|cx| body.poll_reset(cx))
            .await
            .unwrap();
        reset.add_permits(1);
        Then::GoOn
    });
    let session = session().await;
    let mut answer = session.get(server.url("/")).send().await.unwrap();
    assert_eq!(answer.chunk().await.unwrap().unwrap(), "part");
    assert_accounts(&session.stats(), sharing(1));
    drop(answer);
    assert_accounts(&session.stats(), IDLE);
    ended.acquire().await.unwrap().forget();
    assert_eq!(get(&session, server.url("/")).await.unwrap(), "next");
    assert_eq!(server.accepted(), 1);
}

#[tokio::test]
async fn a_body_that_the_peer_resets_is_truncated_and_the_connection_goes_on() {
    let server = Http2Server::start(Manner::default(), async move |mut call| {
        if call.number > 0 {
            return call.text("next");
        }
        let answer = http::Response::new(());
        let mut body = call.answer.send_response(answer, false).unwrap();
        body.send_data(Bytes::from("part"), false).unwrap();
        body.send_reset(h2::Reason::INTERNAL_ERROR);
        Then::GoOn
    });
    let session = session().await;
    let answer = session.get(server.url("/")).send().await;
    let error = match answer {
        Ok(answer) => answer.bytes().await.unwrap_err(),
        Err(error) => error,
    };
    assert!(error.was_sent(), "{error:?}");
    assert_eq!(get(&session, server.url("/")).await.unwrap(), "next");
    assert_books(&session, IDLE, 1, session.stats().reused);
    assert_eq!(server.accepted(), 1);
}

#[tokio::test]
async fn uploads_of_bytes_and_of_streams_arrive_whole() {
    let server = Http2Server::start(Manner::default(), echo);
    let session = session().await;
    let large = Bytes::from(vec![7; 3 * 1024 * 1024]);
    let answer = session
        .put(server.url("/"))
        .body(large.clone())
        .send()
        .await;
    let echoed = answer.unwrap().bytes().await.unwrap();
    assert!(echoed == large);
    let parts = stream::repeat(Bytes::from(vec![1; 10_000])).take(100);
    let body = Body::wrap_stream(parts.map(Ok::<_, io::Error>));
    let answer = session.put(server.url("/")).body(body).send().await;
    let echoed = answer.unwrap().bytes().await.unwrap();
    assert_eq!(echoed.len(), 1_000_000);
    assert_books(&session, IDLE, 1, 1);
}

#[tokio::test]
async fn time_limits_end_a_stream_and_not_the_connection() {
    let server = Http2Server::start(Manner::default(), async |mut call| {
        match call.request.uri().path() {
            "/head" => pending().await,
            "/body" => {
                let answer = http::Response::new(());
                let _body = call.answer.send_response(answer, false).unwrap();
                pending().await
            }
            _ => call.text("fine"),
        }
    });
    let session = session().await;
    let short = Duration::from_millis(50);
    let late = session.get(server.url("/head")).timeout(short).send().await;
    assert!(late.unwrap_err().is_timeout());
    let late = session.get(server.url("/body")).timeout(short);
    let late = async { late.send().await?.bytes().await }.await;
    assert!(late.unwrap_err().is_timeout());
    assert_accounts(&session.stats(), IDLE);
    assert_eq!(get(&session, server.url("/")).await.unwrap(), "fine");
    assert_eq!(server.accepted(), 1);
}

#[tokio::test]
async fn the_name_of_the_host_goes_where_http2_has_it() {
    let server = Http2Server::start(Manner::default(), async |call| {
        assert!(call.request.headers().get("host").is_none());
        assert!(call.request.headers().get("transfer-encoding").is_none());
        let authority = call.request.uri().authority().unwrap().to_string();
        call.text(authority)
    });
    let session = session().await;
    let own = server.url("/").replace("http://", "").replace('/', "");
    assert_eq!(get(&session, server.url("/")).await.unwrap(), own);
    let named = session.get(server.url("/")).header("host", "other.example");
    let named = named.send().await.unwrap().text().await.unwrap();
    assert_eq!(named, "other.example");
}

#[tokio::test]
async fn close_waits_for_streams_and_its_deadline_cuts_them() {
    let gate = Arc::new(Semaphore::new(0));
    let server = Http2Server::start(Manner::default(), gated(&gate));
    let session = session().await;
    let running: Vec<_> = (0..5)
        .map(|n| {
            let (session, url) = (session.clone(), server.url(&format!("/{n}")));
            tokio::spawn(async move { get(&session, url).await })
        })
        .collect();
    server.wait_requests(5).await;
    let closing = session.close();
    let mut closing = Box::pin(closing);
    assert!(futures::poll!(&mut closing).is_pending());
    gate.add_permits(5);
    let report = closing.await;
    assert_eq!((report.severed, report.stats.open), (0, 0));
    for (n, answer) in join_all(running).await.into_iter().enumerate() {
        assert_eq!(answer.unwrap().unwrap(), format!("/{n}"));
    }
    server.wait_live(0).await;

    let session = self::session().await;
    let answers = (0..5).map(|_| get(&session, server.url("/")));
    let cutting = async {
        server.wait_requests(10).await;
        let report = session.close_within(Duration::ZERO).await;
        assert_eq!((report.severed, report.stats.open), (1, 0));
        assert_eq!(session.stats().open, 0);
    };
    let (answers, ()) = futures::join!(join_all(answers), cutting);
    for answer in answers {
        let error = answer.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Closed, "{error:?}");
    }
    server.wait_live(0).await;
}

#[tokio::test]
async fn the_last_handle_closes_the_connection_when_its_body_has_been_read() {
    let tasks = AliveTasks::now();
    let server = Http2Server::start(Manner::default(), echo);
    let session = session().await;
    let large = Bytes::from(vec![7; 300 * 1024]);
    let answer = session
        .put(server.url("/"))
        .body(large.clone())
        .send()
        .await;
    let answer = answer.unwrap();
    drop(session);
    assert!(answer.bytes().await.unwrap() == large);
    server.wait_live(0).await;
    tasks.assert_back().await;

    let session = self::session().await;
    get(&session, server.url("/")).await.unwrap();
    drop(session);
    server.wait_live(0).await;
    tasks.assert_back().await;
}

#[tokio::test]
async fn ages_and_close_idle_end_a_connection() {
    let server = Http2Server::start(Manner::default(), echo);
    let session = builder().pool_max_requests(2).open().await.unwrap();
    for _ in 0..4 {
        get(&session, server.url("/")).await.unwrap();
    }
    assert_eq!(server.accepted(), 2);
    assert_accounts(&session.stats(), Accounts::NONE);

    let session = builder().pool_idle_timeout(Duration::from_millis(200));
    let session = session.open().await.unwrap();
    get(&session, server.url("/")).await.unwrap();
    assert_accounts(&session.stats(), IDLE);
    server.wait_live(0).await;
    reach(&session, Accounts::NONE).await;
    get(&session, server.url("/")).await.unwrap();
    session.close_idle();
    assert_accounts(&session.stats(), Accounts::NONE);
    server.wait_live(0).await;
    assert_eq!(server.clean_closes(), 4);
}

#[tokio::test]
async fn an_idle_connection_makes_way_for_another_origin() {
    let one = Http2Server::start(Manner::default(), echo);
    let other = Http2Server::start(Manner::default(), echo);
    let session = builder().pool_max_connections(1).open().await.unwrap();
    for _ in 0..3 {
        get(&session, one.url("/")).await.unwrap();
        get(&session, other.url("/")).await.unwrap();
        assert_accounts(&session.stats(), IDLE);
    }
    assert_eq!((one.accepted(), other.accepted()), (3, 3));
    // With a goodbye each.
    drop(session);
    one.wait_live(0).await;
    other.wait_live(0).await;
    assert_eq!((one.clean_closes(), other.clean_closes()), (3, 3));
}

#[tokio::test]
async fn a_connection_whose_streams_overlap_without_end_makes_way_for_another_origin() {
    let arrived = Arc::new(tokio::sync::Notify::new());
    // Each is answered when the next is there, or does not come.
    let one = Http2Server::start(Manner::default(), async move |call| {
        arrived.notify_one();
        tokio::task::yield_now().await;
        let next = arrived.notified();
        let _ = tokio::time::timeout(Duration::from_millis(50), next).await;
        call.text("one")
    });
    let other = Http2Server::start(Manner::default(), echo);
    let session = builder().pool_max_connections(1).open().await.unwrap();
    let overlapping = |_| {
        let (session, url) = (session.clone(), one.url("/"));
        tokio::spawn(async move {
            loop {
                assert_eq!(get(&session, url.clone()).await.unwrap(), "one");
            }
        })
    };
    let running: Vec<_> = (0..3).map(overlapping).collect();
    for round in 1..=3 {
        one.wait_requests(round * 10).await;
        soon(get(&session, other.url("/"))).await.unwrap();
        assert_eq!(other.accepted(), round);
    }
    assert!(running.iter().all(|task| !task.is_finished()));
    running.iter().for_each(tokio::task::JoinHandle::abort);
    let stats = session.stats();
    assert!(stats.closed_by.evicted >= 5, "{stats:?}");
}

#[tokio::test]
async fn nobody_waits_for_a_connection_that_could_not_be_made() {
    let gone = Http2Server::start(Manner::default(), echo);
    let url = gone.url("/");
    gone.refuse_new().await;
    let session = Session::builder().tls_root_pem(ca_pem());
    let session = session.open().await.unwrap();
    let url = url.replace("http:", "https:");
    let answers = join_all((0..20).map(|_| get(&session, url.clone()))).await;
    for answer in answers {
        assert_eq!(answer.unwrap_err().kind(), ErrorKind::Connect);
    }
    assert_accounts(&session.stats(), Accounts::NONE);
}

#[tokio::test]
async fn the_next_in_the_queue_asks_when_the_first_is_dropped() {
    let server = Http2Server::start_tls(Manner::default(), echo);
    let session = Session::builder().tls_root_pem(ca_pem());
    let session = session.open().await.unwrap();
    let mut first = Box::pin(session.get(server.url("/")).send());
    assert!(futures::poll!(&mut first).is_pending());
    let mut others = Box::pin(join_all((0..10).map(|_| get(&session, server.url("/")))));
    assert!(futures::poll!(&mut others).is_pending());
    assert_eq!(
        (session.stats().connecting, session.stats().waiting),
        (1, 11)
    );
    drop(first);
    assert_eq!(
        (session.stats().connecting, session.stats().waiting),
        (1, 10)
    );
    assert!(others.await.iter().all(Result::is_ok));
    assert_accounts(&session.stats(), IDLE);
}

#[test]
fn each_runtime_has_its_own_connection_and_outlives_the_others() {
    let server = Http2Server::start(Manner::default(), echo);
    let runtime = || tokio::runtime::Runtime::new().unwrap();
    let first = runtime();
    let session = first.block_on(session());
    first.block_on(get(&session, server.url("/"))).unwrap();
    let second = runtime();
    second.block_on(get(&session, server.url("/"))).unwrap();
    assert_eq!(server.accepted(), 2);
    drop(first);
    second.block_on(server.wait_live(1));
    second.block_on(get(&session, server.url("/"))).unwrap();
    assert_eq!(session.stats().open, 1);
    drop(second);
    let third = runtime();
    third.block_on(get(&session, server.url("/"))).unwrap();
    let report = third.block_on(session.close());
    assert_eq!((report.stats.opened, report.stats.open), (3, 0));
}

#[test]
fn a_close_elsewhere_cuts_the_streams_of_a_runtime_that_is_not_run() {
    let server = Http2Server::start(Manner::default(), async |_| pending().await);
    let parked = tokio::runtime::Builder::new_current_thread();
    let parked = { parked }.enable_all().build().unwrap();
    let session = parked.block_on(session());
    let mut waiting = Box::pin(get(&session, server.url("/")));
    parked.block_on(async {
        let seen = Box::pin(server.wait_requests(1));
        futures::future::select(&mut waiting, seen).await;
    });
    let other = tokio::runtime::Runtime::new().unwrap();
    let report = other.block_on(session.close_within(Duration::from_millis(10)));
    assert_eq!((report.severed, report.stats.open), (1, 0));
    other.block_on(server.wait_live(0));
    let error = parked.block_on(waiting).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed, "{error:?}");
}

#[tokio::test]
async fn a_peer_that_does_not_answer_pings_is_left() {
    let peer = support::raw::RawPeer::start(async |connection, _| {
        // Settings, and then silence.
        connection.write(b"\0\0\0\x04\0\0\0\0\0").await;
        connection.wait_eof().await;
    });
    let session = builder()
        .http2_keep_alive_interval(Duration::from_millis(50))
        .http2_keep_alive_timeout(Duration::from_millis(50));
    let session = session.open().await.unwrap();
    let error = session.request(Method::GET, peer.url("/")).send().await;
    let error = error.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Protocol, "{error:?}");
    assert_accounts(&session.stats(), Accounts::NONE);
}

#[tokio::test]
async fn settings_that_the_protocol_forbids_are_refused() {
    for builder in [
        builder().http2_max_connections_per_origin(0),
        builder().http2_initial_stream_window_size(0),
        builder().http2_initial_stream_window_size(1 << 31),
        builder().http2_initial_connection_window_size(1000),
        builder().http2_max_frame_size(1000),
        builder().http2_max_frame_size(1 << 24),
    ] {
        let error = builder.open().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Builder);
        assert!(error.to_string().contains("http2_"), "{error}");
    }
}

/// Fails the test in place of hanging with it.
async fn soon<T>(what: impl Future<Output = T>) -> T {
    let limit = Duration::from_secs(5);
    let done = tokio::time::timeout(limit, what).await;
    done.expect("it does not hang")
}

#[test]
fn a_body_that_holds_the_last_handle_is_dropped_by_its_connection() {
    let (done, is_done) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.enable_all().build().unwrap();
        runtime.block_on(async {
            let server = Http2Server::start(Manner::default(), echo);
            let session = session().await;
            get(&session, server.url("/")).await.unwrap();
            let own = session.clone();
            let parts = stream::once(async move {
                pending::<()>().await;
                drop(own);
                Ok::<_, io::Error>(Bytes::new())
            });
            let body = Body::wrap_stream(parts);
            let mut sending = Box::pin(session.post(server.url("/")).body(body).send());
            assert!(futures::poll!(&mut sending).is_pending());
            drop((sending, session));
            server.wait_live(0).await;
        });
        done.send(()).unwrap();
    });
    let ended = is_done.recv_timeout(Duration::from_secs(5));
    ended.expect("the connection does not wait for itself");
}

#[tokio::test]
async fn a_connection_that_has_had_its_requests_is_replaced_while_they_run() {
    let gate = Arc::new(Semaphore::new(0));
    let server = Http2Server::start(Manner::default(), gated(&gate));
    let session = builder().pool_max_requests(1).open().await.unwrap();
    let answers = join_all((0..3).map(|_| get(&session, server.url("/"))));
    let opening = async {
        server.wait_requests(3).await;
        gate.add_permits(3);
    };
    let (answers, ()) = soon(async { futures::join!(answers, opening) }).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    assert_eq!(server.accepted(), 3);
}

#[tokio::test]
async fn idle_connections_make_way_for_those_who_waited_for_an_answer_to_alpn() {
    let other = Server::text("idle");
    let gate = Arc::new(Semaphore::new(0));
    let held = Arc::clone(&gate);
    let server = Server::start_tls(async move |_| {
        held.acquire().await.unwrap().forget();
        text("one")
    });
    let session = Session::builder().tls_root_pem(ca_pem());
    let session = session.pool_max_connections(2).open().await.unwrap();
    get(&session, other.url("/")).await.unwrap();
    let answers = join_all((0..2).map(|_| get(&session, server.url("/"))));
    let opening = async {
        server.wait_requests(2).await;
        gate.add_permits(2);
    };
    let (answers, ()) = soon(async { futures::join!(answers, opening) }).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
}

#[test]
fn a_connection_that_ends_before_it_is_entered_is_an_error_and_nothing_worse() {
    let connector = tower::service_fn(|_: hyper_session::Uri| async {
        let io = tokio::io::join(tokio::io::empty(), tokio::io::sink());
        Ok::<_, io::Error>(hyper_session::BoxConnection::from_io(io))
    });
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let handle = runtime.handle().clone();
    let session = builder().connect_timeout(None).pool_timeout(None);
    let session = runtime
        .block_on(session.connector(connector).open())
        .unwrap();
    drop(runtime);
    // Its tasks end as they are spawned.
    let _inside = handle.enter();
    for _ in 0..3 {
        let sending = session.get("http://host/").send();
        futures::executor::block_on(sending).unwrap_err();
    }
    assert_accounts(&session.stats(), Accounts::NONE);
}

const TWO_STREAMS: &[u8] = b"\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0\x02";

#[tokio::test]
async fn a_goodbye_is_heard_by_those_who_wait_for_a_stream() {
    let peer = support::raw::RawPeer::start(async |connection, number| {
        connection.write(TWO_STREAMS).await;
        connection.read(PREFACE).await;
        read_frame(connection, HEADERS).await;
        if number == 0 {
            read_frame(connection, HEADERS).await;
            // Both streams go on, and the third request waits for one of them.
            tokio::time::sleep(Duration::from_millis(100)).await;
            let goodbye = b"\0\0\x08\x07\0\0\0\0\0\0\0\0\x03\0\0\0\0";
            connection.write(goodbye).await;
        } else {
            connection.write(OK).await;
        }
        connection.wait_eof().await;
    });
    let session = session().await;
    let mut running = Box::pin(join_all((0..2).map(|_| get(&session, peer.url("/")))));
    let third = async {
        peer.wait_accepted(1).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_accounts(&session.stats(), sharing(2));
        get(&session, peer.url("/")).await
    };
    match soon(futures::future::select(&mut running, Box::pin(third))).await {
        futures::future::Either::Left(_) => unreachable!("they are not answered"),
        futures::future::Either::Right((answer, _)) => assert_eq!(answer.unwrap(), ""),
    }
}

#[tokio::test]
async fn a_request_that_a_new_connection_does_not_take_goes_to_the_next() {
    let peer = support::raw::RawPeer::start(async |connection, number| {
        connection.write(b"\0\0\0\x04\0\0\0\0\0").await;
        if number == 0 {
            let goodbye = b"\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\0";
            connection.write(goodbye).await;
            connection.wait_eof().await;
        } else {
            connection.read(PREFACE).await;
            read_frame(connection, HEADERS).await;
            connection.write(OK).await;
            connection.wait_eof().await;
        }
    });
    let addr = peer.addr();
    let connector = tower::service_fn(move |_: hyper_session::Uri| async move {
        let tcp = tokio::net::TcpStream::connect(addr).await?;
        // What the peer says is there when the handshake begins.
        tokio::time::sleep(Duration::from_millis(50)).await;
        Ok::<_, io::Error>(hyper_session::BoxConnection::from_io(tcp))
    });
    let session = builder().connector(connector).open().await.unwrap();
    let answer = session.post(peer.url("/")).body("once").send().await;
    assert_eq!(answer.unwrap().status(), 200);
}

#[tokio::test]
async fn those_who_wait_for_a_connection_that_fails_fail_no_later_than_over_http1() {
    let connector = tower::service_fn(|_: hyper_session::Uri| async {
        pending::<io::Result<hyper_session::BoxConnection>>().await
    });
    let session = builder().connect_timeout(Duration::from_millis(400));
    let session = session.connector(connector).open().await.unwrap();
    let answers = join_all((0..20).map(|_| get(&session, "http://host/".to_owned())));
    for answer in soon(answers).await {
        assert!(answer.unwrap_err().is_timeout());
    }
}

#[tokio::test]
async fn a_connection_says_goodbye_after_its_last_request() {
    let peer = support::raw::RawPeer::start(async |connection, _| {
        connection.write(TWO_STREAMS).await;
        connection.read(PREFACE).await;
        for stream in [1, 3] {
            read_frame(connection, HEADERS).await;
            let answer = [0, 0, 1, 1, 4, 0, 0, 0, stream, 0x88];
            connection.write(answer).await;
            connection
                .write([0, 0, 2, 0, 1, 0, 0, 0, stream, b'o', b'k'])
                .await;
        }
        assert!(read_frame(connection, GO_AWAY).await, "no goodbye");
        connection.wait_eof().await;
    });
    let session = builder().pool_max_requests(2).open().await.unwrap();
    for _ in 0..2 {
        assert_eq!(get(&session, peer.url("/")).await.unwrap(), "ok");
    }
    peer.wait_live(0).await;
}

#[tokio::test]
async fn others_do_not_wait_for_a_request_that_is_not_polled() {
    let server = Http2Server::start_tls(Manner::default(), echo);
    let session = Session::builder().tls_root_pem(ca_pem());
    let session = session.open().await.unwrap();
    let mut first = Box::pin(session.get(server.url("/")).send());
    assert!(futures::poll!(&mut first).is_pending());
    soon(get(&session, server.url("/"))).await.unwrap();
    soon(first).await.unwrap();
    assert_eq!(server.accepted(), 1);
}

/// Refuses the first connection that it is asked for.
fn refusing_once() -> impl hyper_session::Connector {
    let asked = Arc::new(AtomicUsize::new(0));
    tower::service_fn(move |uri: hyper_session::Uri| {
        let is_first = asked.fetch_add(1, Ordering::SeqCst) == 0;
        async move {
            if is_first {
                return Err(io::Error::from(io::ErrorKind::ConnectionRefused));
            }
            let address = uri.authority().expect("it is connected to").as_str();
            let tcp = tokio::net::TcpStream::connect(address).await?;
            Ok(hyper_session::BoxConnection::from_io(tcp))
        }
    })
}

#[tokio::test]
async fn after_a_failed_connect_there_are_no_more_connections_than_allowed() {
    let server = Http2Server::start(Manner::default(), echo);
    let session = builder().connector(refusing_once()).open().await.unwrap();
    let answers = join_all((0..10).map(|_| get(&session, server.url("/")))).await;
    let failed = answers.iter().filter(|answer| answer.is_err()).count();
    assert_eq!(failed, 1);
    assert_books(&session, IDLE, 1, 8);
    server.wait_live(1).await;
}

#[tokio::test]
async fn an_origin_of_both_protocols_is_not_connected_to_again_and_again() {
    let (asked, answers) = (Arc::new(AtomicUsize::new(0)), Gate::new());
    let (count, held) = (Arc::clone(&asked), answers.clone());
    let connector = tower::service_fn(move |_: hyper_session::Uri| {
        let number = count.fetch_add(1, Ordering::SeqCst);
        let held = held.clone();
        async move {
            let service = service_fn(move |_| {
                let held = held.clone();
                async move {
                    held.pass().await;
                    Ok::<_, Infallible>(text("ok"))
                }
            });
            match number {
                0 => Err(io::Error::from(io::ErrorKind::ConnectionRefused)),
                2 => {
                    let (client, server) = Pipe::new(Negotiated::Nothing);
                    let http1 = hyper::server::conn::http1::Builder::new();
                    tokio::spawn(http1.serve_connection(TokioIo::new(server), service));
                    Ok(client)
                }
                _ => {
                    let (client, server) = Pipe::new(Negotiated::Http2);
                    let http2 = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                        .max_concurrent_streams(1)
                        .serve_connection(TokioIo::new(server), service);
                    tokio::spawn(http2);
                    Ok(client)
                }
            }
        }
    });
    let session = Session::builder().connector(connector).open().await;
    let session = session.unwrap();
    let asking = join_all((0..4).map(|_| get(&session, "https://host/".to_owned())));
    let answering = async {
        answers.wait_reached(2).await;
        for _ in 0..1000 {
            tokio::task::yield_now().await;
        }
        assert_eq!(asked.load(Ordering::SeqCst), 4, "{:?}", session.stats());
        answers.open_for_good();
    };
    let (answered, ()) = futures::join!(soon(asking), answering);
    assert_eq!(answered.iter().filter(|answer| answer.is_ok()).count(), 3);
    assert_accounts(&session.stats(), Accounts::idle(2));
}

/// Connects to nothing that answers, after a while or never.
fn unanswered(after: Option<Duration>) -> impl hyper_session::Connector {
    tower::service_fn(move |_: hyper_session::Uri| async move {
        match after {
            Some(after) => tokio::time::sleep(after).await,
            None => pending().await,
        }
        let io = tokio::io::join(tokio::io::empty(), tokio::io::sink());
        Ok::<_, io::Error>(hyper_session::BoxConnection::from_io(io))
    })
}

#[tokio::test]
async fn a_connection_that_is_dead_when_it_is_made_is_an_error_to_its_request() {
    let connector = unanswered(Some(Duration::ZERO));
    let session = Session::builder()
        .connector(connector)
        .open()
        .await
        .unwrap();
    soon(get(&session, "https://host/".to_owned()))
        .await
        .unwrap_err();
    assert_accounts(&session.stats(), Accounts::NONE);
}

#[tokio::test]
async fn a_connection_that_may_not_idle_still_carries_the_request_that_it_was_made_for() {
    let server = Http2Server::start_tls(Manner::default(), echo);
    let old = Server::start_tls(async |_| text("one"));
    let session = Session::builder().tls_root_pem(ca_pem());
    let session = session.pool_idle_timeout(Duration::ZERO);
    let session = session.open().await.unwrap();
    soon(get(&session, old.url("/"))).await.unwrap();
    soon(get(&session, server.url("/"))).await.unwrap();
}

#[tokio::test]
async fn a_connection_that_was_just_made_does_not_make_way_for_another_origin() {
    use support::connectors::{Fate, Fated, Memory};
    let answers = Arc::new(Semaphore::new(0));
    let gated = Arc::clone(&answers);
    let memory = Memory::serving(move |request| {
        let gate = Arc::clone(&gated);
        async move {
            if request.headers()["host"] == "one" {
                gate.acquire().await.unwrap().forget();
            }
            text("ok")
        }
    });
    let late = Gate::new();
    let behind = late.clone();
    let connector = Fated::new(memory, move |number| match number {
        1 => Fate::Behind(behind.clone()),
        _ => Fate::Made,
    });
    let session = Session::builder().connector(connector);
    let session = session.pool_max_connections(2).open().await.unwrap();
    let one = || get(&session, "https://one/".to_owned());
    // The first asks for both; the third has the other place.
    let mut ones = Box::pin(async { futures::join!(one(), one()) });
    assert!(futures::poll!(&mut ones).is_pending());
    let mut other = Box::pin(get(&session, "https://other/".to_owned()));
    assert!(futures::poll!(&mut other).is_pending());
    late.wait_reached(1).await;
    for _ in 0..20 {
        tokio::task::yield_now().await;
        assert!(futures::poll!(&mut ones).is_pending());
    }
    // By now it is known that the second needs a connection of its own, and has no place for it.
    late.open();
    soon(other).await.unwrap();
    answers.add_permits(2);
    let (first, second) = soon(ones).await;
    first.and(second).unwrap();
}

#[tokio::test]
async fn a_close_cuts_an_attempt_that_the_last_of_those_who_waited_for_it_has_left() {
    let session = Session::builder().connector(unanswered(None));
    let session = session.open().await.unwrap();
    let mut first = Box::pin(get(&session, "https://host/".to_owned()));
    let mut second = Box::pin(get(&session, "https://host/".to_owned()));
    assert!(futures::poll!(&mut first).is_pending());
    assert!(futures::poll!(&mut second).is_pending());
    drop(first);
    drop(second);
    let report = soon(session.close()).await;
    assert_accounts(&report.stats, Accounts::NONE);
}

#[tokio::test]
async fn a_body_that_is_expected_is_not_held_back_where_nobody_hears_the_continue() {
    let server = Http2Server::start(Manner::default(), echo);
    let session = session().await;
    let began = std::time::Instant::now();
    let asking = session
        .post(server.url("/"))
        .header("expect", "100-continue");
    let answer = asking.body("hello").send().await.unwrap();
    assert_eq!(answer.text().await.unwrap(), "hello");
    assert!(
        began.elapsed() < Duration::from_millis(700),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_of_a_thousand_tasks_shares_one_connection() {
    let server = Http2Server::start(Manner::default(), async |call| {
        let path = call.request.uri().path().to_owned();
        call.text(path)
    });
    let session = session().await;
    let tasks: Vec<_> = (0..1000)
        .map(|task| {
            let (session, url) = (session.clone(), server.url(""));
            tokio::spawn(async move {
                for round in 0..10 {
                    let path = format!("/{task}/{round}");
                    let answer = get(&session, format!("{url}{path}")).await;
                    assert_eq!(answer.unwrap(), path);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!((server.accepted(), server.requests()), (1, 10_000));
    assert_books(&session, IDLE, 1, 9_999);
}

/// A session over https whose connections are made when the gate lets them, and what they answer when
/// the other does.
async fn gated_connects(limit: usize, made: &Gate, answers: &Gate) -> Session {
    use support::connectors::{Fate, Fated, Memory};
    let (made, answers) = (made.clone(), answers.clone());
    let memory = Memory::serving(move |_| {
        let gate = answers.clone();
        async move {
            gate.pass().await;
            text("ok")
        }
    });
    let connector = Fated::new(memory, move |_| Fate::Behind(made.clone()));
    let session = Session::builder().connector(connector);
    let session = session.pool_max_connections(limit);
    let session = session.pool_timeout(Duration::from_millis(100));
    session.open().await.expect("valid settings")
}

#[tokio::test(start_paused = true)]
async fn a_connect_that_is_awaited_in_common_is_no_time_in_the_queue() {
    let (made, answers) = Default::default();
    let session = gated_connects(5, &made, &answers).await;
    answers.open_for_good();
    let sending = join_all((0..5).map(|_| get(&session, "https://host/".to_owned())));
    let connecting = async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        made.open_for_good();
    };
    let (answered, ()) = futures::join!(sending, connecting);
    assert!(answered.iter().all(Result::is_ok), "{answered:?}");
}

#[tokio::test(start_paused = true)]
async fn those_for_whom_a_common_connect_was_not_enough_queue_from_its_end() {
    let (made, answers) = Default::default();
    let session = gated_connects(1, &made, &answers).await;
    let mut sending = Box::pin(join_all(
        (0..3).map(|_| get(&session, "https://host/".to_owned())),
    ));
    let second = |seconds| tokio::time::sleep(Duration::from_secs(seconds));
    let connecting = async {
        second(5).await;
        made.open_for_good();
        answers.wait_reached(1).await;
        // Less than they may queue.
        tokio::time::sleep(Duration::from_millis(90)).await;
        assert_eq!(session.stats().waiting, 2);
        second(1).await;
        assert_eq!(session.stats().waiting, 0);
        answers.open_for_good();
    };
    let (answered, ()) = futures::join!(&mut sending, connecting);
    let failed = answered.iter().filter_map(|answer| answer.as_ref().err());
    let kinds: Vec<_> = failed.map(hyper_session::Error::kind).collect();
    assert_eq!(kinds, [ErrorKind::Timeout(TimeoutPhase::Pool); 2]);
}
