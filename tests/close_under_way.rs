//! What a close meets: handshakes, uploads and drains on real sockets, and starts and swaps of the
//! same holder. (`cancel_matrix` has all phases, in memory.)

mod support;

use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::future::join_all;
use futures::{StreamExt, stream};
use hyper_session::{
    Body, CloseReport, Error, ErrorKind, Response, Result, Session, SessionHolder, WhenClosed,
};
use support::accounts::{Accounts, AliveTasks, assert_accounts};
use support::api::Api;
use support::connectors::{Counting, Memory};
use support::gate::Gate;
use support::outcome::{assert_waits, drive_until, expect_kind};
use support::raw::RawPeer;
use support::server::text;
use support::tally::PATIENCE;
use support::wire::Wire;
use tokio::sync::mpsc;
use tokio::task::yield_now;
use tokio::time::timeout;

/// A deadline that passes: nothing can happen before it that would end the close.
const SOON: Duration = Duration::from_millis(20);

async fn started() -> Result<SessionHolder> {
    let builder = SessionHolder::builder().when_closed(WhenClosed::Refuse);
    let holder = builder.build()?;
    holder.start_session().await?;
    Ok(holder)
}

/// A body whose parts the test sends.
fn fed_body() -> (mpsc::UnboundedSender<&'static str>, Body) {
    let (parts, fed) = mpsc::unbounded_channel();
    let fed = stream::unfold(fed, |mut fed| async { Some((fed.recv().await?, fed)) });
    let body = Body::wrap_stream(fed.map(|part: &str| Ok::<Bytes, io::Error>(part.into())));
    (parts, body)
}

#[cfg(feature = "native-tls")]
#[tokio::test]
async fn a_stalled_handshake_is_cut_at_the_deadline() -> Result<()> {
    let tasks = AliveTasks::now();
    let peer = RawPeer::start(async |conn, _| {
        // The first record's head, and never an answer.
        conn.read(5).await;
        conn.wait_eof().await;
    });
    let holder = started().await?;
    let session = holder.session()?;
    let url = peer.url("/").replace("http:", "https:");
    let mut sending = pin!(holder.get(url).send());
    drive_until(sending.as_mut(), async {
        peer.wait_accepted(1).await;
        while peer.received(0).is_empty() {
            yield_now().await;
        }
    })
    .await;
    assert_accounts(&session.stats(), Accounts::NONE.and_connecting(1));

    let report = holder.close_session_within(SOON).await;
    assert_eq!((report.severed, report.leases_left), (1, 1), "{report:?}");
    assert_eq!((report.stats.open, report.stats.connecting), (0, 0));
    peer.wait_live(0).await;
    assert!(!expect_kind(sending.await, ErrorKind::Closed).was_sent());
    assert_accounts(&session.stats(), Accounts::NONE);
    tasks.assert_back().await;
    Ok(())
}

#[tokio::test]
async fn a_close_waits_for_an_upload_that_goes_on() -> Result<()> {
    let peer = RawPeer::start(async |conn, _| {
        conn.read_request().await;
        conn.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
            .await;
        conn.wait_eof().await;
    });
    let holder = started().await?;
    let (parts, body) = fed_body();
    let sending = holder.post(peer.url("/")).body(body).send();
    let sending = tokio::spawn(async { sending.await?.text().await });
    parts.send("first").expect("it is being sent");
    while !peer.received(0).ends_with(b"5\r\nfirst\r\n") {
        yield_now().await;
    }
    let mut close = pin!(holder.close_session());
    assert_waits(close.as_mut()).await;
    parts.send("last").expect("it is being sent");
    assert_waits(close.as_mut()).await;
    drop(parts);
    let report = close.await;
    assert_eq!((report.severed, report.leases_left), (0, 0), "{report:?}");
    assert_accounts(&report.stats, Accounts::NONE);
    assert_eq!(sending.await.expect("no panic")?, "ok");
    assert!(peer.received(0).ends_with(b"4\r\nlast\r\n0\r\n\r\n"));
    peer.wait_live(0).await;
    Ok(())
}

#[tokio::test]
async fn an_upload_is_cut_at_the_deadline_before_and_after_its_answer_has_begun() -> Result<()> {
    let tasks = AliveTasks::now();
    for answer in ["", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\npart"] {
        let peer = RawPeer::start(async move |conn, _| {
            conn.read_head().await;
            conn.write(answer).await;
            conn.wait_eof().await;
        });
        let holder = started().await?;
        let session = holder.session()?;
        let (parts, body) = fed_body();
        parts.send("first").expect("it is there");
        let has_head = AtomicBool::new(false);
        let mut exchange = Box::pin(async {
            let response = holder.post(peer.url("/")).body(body).send().await?;
            has_head.store(true, Ordering::SeqCst);
            response.text().await
        });
        drive_until(exchange.as_mut(), async {
            while peer.received(0).is_empty()
                || has_head.load(Ordering::SeqCst) == answer.is_empty()
            {
                yield_now().await;
            }
        })
        .await;
        assert_accounts(&session.stats(), Accounts::busy(1));

        let report = holder.close_session_within(SOON).await;
        // Once the head is there, a request's lease is back.
        let leases = usize::from(answer.is_empty());
        assert_eq!(
            (report.severed, report.leases_left),
            (1, leases),
            "{report:?}"
        );
        assert_eq!((report.stats.open, report.stats.connecting), (0, 0));
        peer.wait_live(0).await;
        assert!(expect_kind(exchange.await, ErrorKind::Closed).was_sent());
        assert_accounts(&session.stats(), Accounts::NONE);
        assert!(parts.is_closed(), "the body is dropped");
        tasks.assert_back().await;
    }
    Ok(())
}

/// On one connection: an upload, a request without an answer, a body that comes, and one that queues;
/// and beside it a handshake.
#[cfg(all(feature = "http2", feature = "native-tls"))]
#[tokio::test]
async fn two_closes_cut_streams_in_every_phase_at_the_deadline_of_one() -> Result<()> {
    let tasks = AliveTasks::now();
    let api = Api::start_over(Wire::Http2Tls);
    let stalled = RawPeer::start(async |conn, _| {
        conn.read(5).await;
        conn.wait_eof().await;
    });
    let network = Counting::new(Wire::Http2Tls.connector());
    let builder = SessionHolder::builder().connector(network.clone());
    let holder = builder.when_closed(WhenClosed::Refuse).build()?;
    holder.start_session().await?;
    let session = holder.session()?;

    let (parts, body) = fed_body();
    parts.send("first").expect("it is there");
    let held = holder.get(api.url("/held/1")).send();
    let mut calls = vec![tokio::spawn(async { held.await?.text().await })];
    api.gate.wait_reached(1).await;
    let download = holder.get(api.url("/feed")).send().await?;
    let feed = api.next_feed().await;
    let mut upload = holder.post(api.url("/echo")).body(body).send().await?;
    assert_eq!(upload.chunk().await?.expect("a part"), "first");
    calls.push(tokio::spawn(async move { upload.text().await }));
    calls.push(tokio::spawn(download.text()));
    let shaking = stalled.url("/").replace("http:", "https:");
    for url in [api.url("/say/queued"), shaking] {
        let sending = holder.get(url).send();
        calls.push(tokio::spawn(async { sending.await?.text().await }));
    }
    stalled.wait_accepted(1).await;
    while session.stats().waiting < 2 {
        yield_now().await;
    }
    let streams = Accounts {
        exchanges: 3,
        ..Accounts::busy(1)
    };
    assert_accounts(&session.stats(), streams.and_queued(1).and_connecting(1));

    let strict = holder.close_session_within(SOON);
    let closes = futures::future::join(holder.close_session(), strict);
    for report in <[_; 2]>::from(closes.await) {
        assert_shut(&report);
        assert_eq!((report.severed, report.leases_left), (2, 3), "{report:?}");
    }
    let numbers = network.numbers();
    assert_eq!((numbers.live, numbers.connecting), (0, 0), "{numbers:?}");
    for call in calls {
        expect_kind(call.await.expect("no panic"), ErrorKind::Closed);
    }
    assert_accounts(&session.stats(), Accounts::NONE);
    assert!(parts.is_closed(), "the body is dropped");
    feed.dropped().await;
    api.wait_live(0).await;
    stalled.wait_live(0).await;
    tasks.assert_back().await;
    Ok(())
}

#[tokio::test]
async fn a_close_does_not_wait_for_the_rest_of_a_dropped_response() -> Result<()> {
    let tasks = AliveTasks::now();
    let api = Api::start();
    let holder = started().await?;
    let response = holder.get(api.url("/feed")).send().await?;
    let feed = api.next_feed().await;
    drop(response);
    assert_accounts(&holder.stats(), Accounts::busy(1));
    let report = holder.close_session().await;
    assert_accounts(&report.stats, Accounts::NONE);
    assert_eq!((report.severed, report.leases_left), (0, 0), "{report:?}");
    feed.dropped().await;
    api.wait_live(0).await;
    tasks.assert_back().await;
    Ok(())
}

#[tokio::test]
async fn a_swap_under_way_fails_when_close_is_called_and_the_old_session_closes_too() -> Result<()>
{
    let (old, new) = (Api::start(), Api::start());
    let holder = started().await?;
    holder.get(old.url("/say/1")).send().await?.text().await?;
    let hook = Gate::new();
    let swap = {
        let (hook, url) = (hook.clone(), new.url("/say/login"));
        SessionHolder::builder().on_open(move |session| {
            let (hook, url) = (hook.clone(), url.clone());
            async move {
                session.get(url).send().await?.text().await?;
                hook.pass().await;
                Ok::<_, Error>(session)
            }
        })
    };
    let mut swapping = pin!(holder.start_session_with(swap));
    drive_until(swapping.as_mut(), hook.wait_reached(1)).await;
    let mut starting = pin!(holder.start_session());
    assert!(
        futures::poll!(starting.as_mut()).is_ready(),
        "the old session is still open"
    );
    assert_eq!((old.live(), new.live()), (1, 1));

    let report = holder.close_session().await;
    assert_accounts(&report.stats, Accounts::NONE);
    assert_eq!(report.stats.opened, 2, "of both");
    old.wait_live(0).await;
    new.wait_live(0).await;
    expect_kind(swapping.await, ErrorKind::Closed);
    assert!(!holder.is_open());
    hook.open_for_good();
    holder.start_session().await?;
    assert_accounts(&holder.stats(), Accounts::NONE);
    Ok(())
}

/// What a call may come to while others close the session: an answer, or that it is closed.
#[track_caller]
fn assert_ok_or_closed<T>(result: Result<T>) {
    if let Err(error) = result {
        assert!(error.is_closed(), "{error:?}");
    }
}

#[track_caller]
fn assert_shut(report: &CloseReport) {
    let left = (report.stats.open, report.stats.connecting);
    assert_eq!(left, (0, 0), "{report:?}");
}

async fn get(session: Session) -> Result<String> {
    session.get("http://a/").send().await?.text().await
}

/// A network in memory, whose servers all answer `ok`.
fn network(wire: Wire) -> Counting<Memory> {
    let answer = |_| async { text("ok") };
    Counting::new(match wire {
        Wire::Http1 => Memory::serving(answer),
        #[cfg(feature = "http2")]
        _ => Memory::serving_http2(answer),
    })
}

/// Closes sessions while requests are sent.
async fn hand_over_and_close(wire: Wire) {
    let network = network(wire);
    let rounds = (0..8).map(|_| {
        let network = network.clone();
        tokio::spawn(async move {
            for _ in 0..25 {
                let builder = Session::builder().connector(network.clone());
                let session = wire.set(builder).open().await.expect("valid settings");
                let (answers, mut answered) = mpsc::unbounded_channel();
                let calls = (0..8).map(|_| {
                    let (session, answers) = (session.clone(), answers.clone());
                    tokio::spawn(async move {
                        while get(session.clone()).await.is_ok() {
                            // The last ones are for nobody.
                            let _ = answers.send(());
                        }
                    })
                });
                let calls = calls.collect::<Vec<_>>();
                for _ in 0..16 {
                    answered.recv().await.expect("they go on");
                }
                assert_shut(&session.close_within(Duration::ZERO).await);
                for call in calls {
                    call.await.expect("no panic");
                }
            }
        })
    });
    let ended = timeout(PATIENCE * 2, join_all(rounds.collect::<Vec<_>>())).await;
    for task in ended.expect("no hang") {
        task.expect("no panic");
    }
    assert_eq!(network.numbers().live, 0);
}

/// The moment is short: more threads than processors make it likely that one is stopped in it.
#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn a_request_that_is_handed_over_in_the_moment_of_a_close_ends() {
    hand_over_and_close(Wire::Http1).await;
}

#[cfg(feature = "http2")]
#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn a_stream_that_is_handed_over_in_the_moment_of_a_close_ends() {
    hand_over_and_close(Wire::Http2).await;
}

/// Has tasks do all that there is to do with one holder, at once.
async fn do_all_at_once(wire: Wire) {
    const ROUNDS: usize = 100;
    let tasks = AliveTasks::now();
    let network = network(wire);
    let builder = || {
        let builder = SessionHolder::builder().connector(network.clone());
        wire.set(builder)
            .pool_max_connections(2)
            .when_closed(WhenClosed::Refuse)
    };
    let holder = builder().build().expect("valid settings");
    let everybody = (0..24).map(|task| {
        let (holder, swap) = (holder.clone(), builder());
        let mut swap = Some(swap);
        let network = network.clone();
        tokio::spawn(async move {
            for round in 0..ROUNDS {
                match (task + round) % 8 {
                    0 => assert_ok_or_closed(holder.start_session().await),
                    1 => {
                        let next = SessionHolder::builder().connector(network.clone());
                        let next = wire.set(next);
                        let next = swap.take().unwrap_or(next);
                        assert_ok_or_closed(holder.start_session_with(next).await);
                    }
                    // Few close, or hardly anything would ever be open.
                    2 if task % 6 == 0 => assert_shut(&holder.close_session().await),
                    3 if task % 6 == 0 => {
                        assert_shut(&holder.close_session_within(Duration::ZERO).await);
                    }
                    4 => assert_ok_or_closed(holder.in_session(|h| h.with_session(get)).await),
                    5 => {
                        let response = holder.get("http://a/").send().await;
                        assert_ok_or_closed(response.map(Response::into_http));
                    }
                    6 => {
                        // Given up somewhere on its way.
                        let mut call = pin!(holder.with_session(get));
                        for _ in 0..round % 4 {
                            if let std::task::Poll::Ready(ended) = futures::poll!(call.as_mut()) {
                                assert_ok_or_closed(ended);
                                break;
                            }
                        }
                    }
                    _ => assert_ok_or_closed(holder.with_session(get).await),
                }
            }
        })
    });
    let ended = timeout(PATIENCE * 3, join_all(everybody.collect::<Vec<_>>())).await;
    for task in ended.expect("no hang") {
        task.expect("no panic");
    }
    holder.close_session().await;
    assert!(!holder.is_open());
    let numbers = network.numbers();
    assert_eq!((numbers.live, numbers.connecting), (0, 0), "{numbers:?}");
    assert!(numbers.made > 0, "{numbers:?}");
    drop(holder);
    tasks.assert_back().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn starts_swaps_calls_and_closes_at_once_leave_nothing_open() {
    do_all_at_once(Wire::Http1).await;
}

#[cfg(feature = "http2")]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn starts_swaps_calls_and_closes_at_once_leave_nothing_open_over_http2() {
    do_all_at_once(Wire::Http2).await;
}
