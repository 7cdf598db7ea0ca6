//! Every time limit, in paused time: when it passes, which it says it was, and what it leaves.
#![allow(clippy::unwrap_used, reason = "a test that fails here has its line")]

mod support;

use std::io;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use futures::stream;
use hyper_session::{Body, Error, ErrorKind, Response, Session, SessionBuilder, TimeoutPhase};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep};

use support::accounts::{Accounts, AliveTasks};
use support::books::assert_books;
use support::connectors::{Counting, Fate, Fated, Memory, read_head, write};
use support::outcome::{assert_waits, expect_kind};

type Network = Counting<Fated<Memory>>;

/// What each path answers:
///
/// - `/ok` at once;
/// - `/after/MS` so many milliseconds later;
/// - `/silent` never;
/// - `/stuck` with a head and a part of the body;
/// - `/drip/MS` with ten bytes, one every so many milliseconds;
/// - `/flood` with a body that always comes and never ends;
/// - `/deaf` reads nothing after the request's head, and answers never.
fn network() -> Network {
    let memory = Memory::scripted(|mut end, _| async move {
        loop {
            let head = read_head(&mut end).await;
            let Some(path) = head.split(' ').nth(1) else {
                return;
            };
            let (path, ms) = path.rsplit_once('/').expect("paths have a slash");
            let millis = Duration::from_millis(ms.parse().unwrap_or_default());
            match (path, ms) {
                ("", "ok") => {
                    write(&mut end, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
                }
                ("/after", _) => {
                    sleep(millis).await;
                    write(&mut end, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
                }
                ("", "stuck") => {
                    write(
                        &mut end,
                        "HTTP/1.1 200 OK\r\ncontent-length: 200000\r\n\r\npart",
                    )
                    .await;
                    read_head(&mut end).await;
                    return;
                }
                ("/drip", _) => {
                    write(&mut end, "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n").await;
                    for _ in 0..10 {
                        sleep(millis).await;
                        write(&mut end, "x").await;
                    }
                }
                ("", "flood") => {
                    write(&mut end, "HTTP/1.1 200 OK\r\n\r\n").await;
                    while end.write_all(&[b'x'; 4096]).await.is_ok() {}
                    return;
                }
                ("", "deaf") => {
                    std::future::pending::<()>().await;
                }
                _ => {
                    read_head(&mut end).await;
                    return;
                }
            }
        }
    });
    Counting::new(Fated::new(memory, |_| Fate::Made))
}

async fn open(
    network: &Network,
    set: impl FnOnce(SessionBuilder<Network>) -> SessionBuilder<Network>,
) -> Session {
    let builder = set(Session::builder().connector(network.clone()));
    builder.open().await.expect("valid settings")
}

async fn get(session: &Session, path: &str) -> hyper_session::Result<String> {
    session
        .get(format!("http://a{path}"))
        .send()
        .await?
        .text()
        .await
}

async fn head(session: &Session, path: &str) -> hyper_session::Result<Response> {
    session.get(format!("http://a{path}")).send().await
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Checks that the limit passed when it should, and not a millisecond or two off.
#[track_caller]
fn assert_after(began: Instant, limit: Duration) {
    let took = began.elapsed();
    assert!(
        took >= limit && took <= limit + ms(3),
        "{took:?} for {limit:?}"
    );
}

#[track_caller]
fn assert_phase<T: std::fmt::Debug>(
    result: hyper_session::Result<T>,
    phase: TimeoutPhase,
) -> Error {
    let error = expect_kind(result, ErrorKind::Timeout(phase));
    assert!(error.is_timeout());
    error
}

/// Nothing is left of what failed, and the session goes on.
async fn assert_fine(session: &Session, network: &Network) {
    let stats = session.stats();
    assert_books(session, Accounts::NONE, stats.opened, stats.reused);
    assert_eq!(
        (network.numbers().live, network.numbers().connecting),
        (0, 0)
    );
    for reused in 0..2 {
        assert_eq!(get(session, "/ok").await.unwrap(), "ok");
        assert_books(
            session,
            Accounts::idle(1),
            stats.opened + 1,
            stats.reused + reused,
        );
    }
}

/// Limits below and above a second, and one that is not a whole number of milliseconds.
const LIMITS: [Duration; 4] = [
    Duration::from_millis(30),
    Duration::from_micros(150_500),
    Duration::from_millis(999),
    Duration::from_secs(7),
];

#[tokio::test(start_paused = true)]
async fn the_whole_request_is_limited_while_it_waits_for_the_head() {
    for limit in LIMITS {
        let network = network();
        let session = open(&network, |builder| builder.timeout(limit)).await;
        let began = Instant::now();
        let error = assert_phase(get(&session, "/silent").await, TimeoutPhase::Total);
        assert_after(began, limit);
        assert!(error.was_sent());
        assert_fine(&session, &network).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_whole_request_is_limited_while_its_body_comes() {
    for limit in LIMITS {
        let network = network();
        let session = open(&network, |builder| builder.timeout(limit)).await;
        for path in [
            "/stuck".to_owned(),
            format!("/drip/{}", limit.as_millis() / 4),
        ] {
            let began = Instant::now();
            let response = head(&session, &path).await.unwrap();
            let error = assert_phase(response.bytes().await, TimeoutPhase::Total);
            assert_after(began, limit);
            assert!(error.was_sent());
            assert_fine(&session, &network).await;
            sleep(seconds(60)).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_whole_request_is_limited_although_its_body_never_pauses() {
    let network = network();
    let session = open(&network, |builder| builder.timeout(seconds(5))).await;
    let mut response = head(&session, "/flood").await.unwrap();
    let began = Instant::now();
    let error = loop {
        match response.chunk().await {
            // A reader that takes its time, so that there is always something to be read.
            Ok(part) => assert!(part.is_some() && began.elapsed() <= seconds(6)),
            Err(error) => break error,
        }
        sleep(ms(100)).await;
    };
    assert_eq!(error.kind(), ErrorKind::Timeout(TimeoutPhase::Total));
    assert_fine(&session, &network).await;
}

#[tokio::test(start_paused = true)]
async fn the_whole_request_is_limited_while_it_is_sent() {
    let network = network();
    let session = open(&network, |builder| builder.timeout(seconds(5))).await;
    for body in [
        Body::from(vec![b'x'; 1_000_000]),
        Body::wrap_stream(stream::pending::<Result<Bytes, io::Error>>()),
    ] {
        let began = Instant::now();
        let sent = session.post("http://a/deaf").body(body).send().await;
        assert!(assert_phase(sent, TimeoutPhase::Total).was_sent());
        assert_after(began, seconds(5));
    }
    assert_fine(&session, &network).await;
}

#[tokio::test(start_paused = true)]
async fn the_whole_request_is_limited_in_the_queue_and_while_it_connects() {
    let memory = network();
    let network = Fated::new(memory.clone(), |number| match number {
        1 => Fate::Never,
        _ => Fate::Made,
    });
    let builder = Session::builder()
        .connector(network)
        .pool_max_connections(2);
    let session = builder.timeout(seconds(5)).open().await.unwrap();
    let mut stuck = head(&session, "/stuck").await.unwrap();
    assert_eq!(stuck.chunk().await.unwrap().unwrap(), "part");
    let began = Instant::now();
    // The second leaves the queue a little earlier, or it would get the first's place.
    let queued = session.get("http://a/ok").timeout(ms(4900)).send();
    let both = futures::join!(head(&session, "/ok"), queued);
    for result in [both.0, both.1] {
        let error = assert_phase(result, TimeoutPhase::Total);
        assert!(!error.was_sent());
    }
    assert_after(began, seconds(5));
    assert_books(&session, Accounts::busy(1), 1, 0);
    drop(stuck);
    assert_fine(&session, &memory).await;
}

#[tokio::test(start_paused = true)]
async fn a_requests_own_limit_takes_the_place_of_the_sessions() {
    let network = network();
    let session = open(&network, |builder| builder.timeout(seconds(5))).await;
    for limit in [ms(300), seconds(60)] {
        let began = Instant::now();
        let sent = session.get("http://a/silent").timeout(limit).send().await;
        assert_phase(sent, TimeoutPhase::Total);
        assert_after(began, limit);
        assert_fine(&session, &network).await;
        session
            .get("http://a/silent")
            .timeout(ms(1))
            .send()
            .await
            .unwrap_err();
    }
}

#[tokio::test(start_paused = true)]
async fn connecting_is_limited() {
    for limit in LIMITS {
        let memory = network();
        let network = Fated::new(memory.clone(), |number| match number {
            0 => Fate::Never,
            _ => Fate::Made,
        });
        let builder = Session::builder().connector(network).connect_timeout(limit);
        let session = builder.open().await.unwrap();
        let began = Instant::now();
        let error = assert_phase(get(&session, "/ok").await, TimeoutPhase::Connect);
        assert_after(began, limit);
        assert!(!error.was_sent() && error.is_connect() && error.is_retryable());
        assert_fine(&session, &memory).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_wait_for_the_head_is_limited() {
    for limit in LIMITS {
        let network = network();
        let session = open(&network, |builder| builder.head_timeout(limit)).await;
        for reused in [false, true] {
            if reused {
                assert_eq!(session.stats().idle, 1);
            }
            let began = Instant::now();
            let error = assert_phase(get(&session, "/silent").await, TimeoutPhase::Head);
            assert_after(began, limit);
            assert!(error.was_sent() && !error.is_retryable());
            assert_fine(&session, &network).await;
        }
        // The body may take longer than that.
        let path = format!("/drip/{}", limit.as_millis());
        assert_eq!(get(&session, &path).await.unwrap().len(), 10);
    }
}

#[tokio::test(start_paused = true)]
async fn an_upload_may_go_on_after_the_head_for_longer_than_the_wait_for_it() {
    const SIZE: usize = 1_000_000;
    let memory = Memory::scripted(|mut end, _| async move {
        read_head(&mut end).await;
        sleep(ms(500)).await;
        write(&mut end, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
        for _ in 0..100 {
            sleep(ms(100)).await;
            let mut part = [0; SIZE / 100];
            end.read_exact(&mut part).await.expect("the whole upload");
        }
        read_head(&mut end).await;
        write(&mut end, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
        read_head(&mut end).await;
    });
    let builder = Session::builder()
        .connector(memory)
        .head_timeout(seconds(2));
    let session = builder.read_timeout(seconds(2)).open().await.unwrap();
    for read in [false, true] {
        let upload = session.post("http://a/").body(vec![b'x'; SIZE]).send();
        let response = upload.await.unwrap();
        assert_eq!((session.stats().in_use, session.stats().exchanges), (1, 1));
        if read {
            assert_eq!(response.text().await.unwrap(), "ok");
            sleep(seconds(11)).await;
        } else {
            sleep(seconds(11)).await;
            assert_eq!(response.text().await.unwrap(), "ok");
        }
        let stats = session.stats();
        assert_eq!(
            (stats.open, stats.idle, stats.exchanges),
            (1, 1, 0),
            "{stats:?}"
        );
        assert_eq!(get(&session, "/").await.unwrap(), "ok");
        // The script ends there; the next round is on a new connection.
        session
            .get("http://a/")
            .timeout(ms(1))
            .send()
            .await
            .unwrap_err();
        sleep(seconds(1)).await;
        assert_books(
            &session,
            Accounts::NONE,
            session.stats().opened,
            session.stats().reused,
        );
    }
}

#[tokio::test(start_paused = true)]
async fn the_wait_between_two_reads_is_limited() {
    for limit in LIMITS {
        let network = network();
        let session = open(&network, |builder| builder.read_timeout(limit)).await;
        let slow = format!("/drip/{}", limit.as_millis() - 5);
        assert_eq!(get(&session, &slow).await.unwrap().len(), 10);
        assert_books(&session, Accounts::idle(1), 1, 0);
        let mut response = head(&session, "/stuck").await.unwrap();
        assert_eq!(response.chunk().await.unwrap().unwrap(), "part");
        assert_books(&session, Accounts::busy(1), 1, 1);
        // Only waiting counts, not what the reader does in between.
        sleep(limit * 3).await;
        let began = Instant::now();
        let error = assert_phase(response.chunk().await, TimeoutPhase::Read);
        assert_after(began, limit);
        assert!(error.was_sent());
        assert_fine(&session, &network).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_wait_in_the_queue_is_limited() {
    for limit in LIMITS {
        let network = network();
        let session = open(&network, |builder| {
            builder.pool_max_connections(1).pool_timeout(limit)
        })
        .await;
        let mut stuck = head(&session, "/stuck").await.unwrap();
        assert_eq!(stuck.chunk().await.unwrap().unwrap(), "part");
        let began = Instant::now();
        let error = assert_phase(get(&session, "/ok").await, TimeoutPhase::Pool);
        assert_after(began, limit);
        assert!(!error.was_sent() && error.is_retryable());
        assert_books(&session, Accounts::busy(1), 1, 0);
        drop(stuck);
        assert_fine(&session, &network).await;
    }
}

#[tokio::test(start_paused = true)]
async fn no_limit_is_no_limit_and_the_longest_is_no_overflow() {
    for set in [
        |builder: SessionBuilder<Network>| {
            builder
                .connect_timeout(None)
                .head_timeout(None)
                .read_timeout(None)
                .pool_timeout(None)
                .pool_idle_timeout(None)
        },
        |builder: SessionBuilder<Network>| {
            builder
                .timeout(Duration::MAX)
                .connect_timeout(Duration::MAX)
                .head_timeout(Duration::MAX)
                .read_timeout(Duration::MAX)
                .pool_timeout(Duration::MAX)
                .pool_idle_timeout(Duration::MAX)
        },
    ] {
        let network = network();
        let session = open(&network, |builder| set(builder).pool_max_connections(1)).await;
        let hour = seconds(3_600);
        assert_eq!(get(&session, "/after/3600000").await.unwrap(), "ok");
        assert_eq!(get(&session, "/drip/3600000").await.unwrap().len(), 10);
        sleep(hour).await;
        assert_books(&session, Accounts::idle(1), 1, 1);
        let held = head(&session, "/drip/3600000").await.unwrap();
        let mut queued = pin!(get(&session, "/ok"));
        assert_waits(queued.as_mut()).await;
        let (held, queued) = futures::join!(held.text(), queued);
        assert_eq!(
            (held.unwrap().len(), queued.unwrap()),
            (10, "ok".to_owned())
        );
        assert_books(&session, Accounts::idle(1), 1, 3);
        session.close().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_did_not_pass_leaves_nothing_that_hurts_the_next_request() {
    let network = network();
    let session = open(&network, |builder| {
        builder
            .timeout(seconds(3))
            .head_timeout(ms(500))
            .read_timeout(ms(700))
    })
    .await;
    let paths = ["/ok", "/after/400", "/drip/200", "/ok", "/after/499"];
    for (round, path) in paths.iter().cycle().take(20).enumerate() {
        let limit = if round % 2 == 0 { seconds(3) } else { ms(2100) };
        let answer = session
            .get(format!("http://a{path}"))
            .timeout(limit)
            .send()
            .await;
        assert!(!answer.unwrap().text().await.unwrap().is_empty());
        assert_books(&session, Accounts::idle(1), 1, round as u64);
    }
    // What was set for these has long passed; this one has no limit but its own.
    let session = session.clone();
    let began = Instant::now();
    let answer = session
        .get("http://a/drip/600")
        .timeout(seconds(60))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.text().await.unwrap().len(), 10);
    assert_after(began, seconds(6));
    assert_books(&session, Accounts::idle(1), 1, 20);
}

#[tokio::test(start_paused = true)]
async fn idle_connections_are_closed_in_time_and_then_the_timer_is_gone() {
    for limit in [ms(300), ms(999), seconds(2), seconds(50)] {
        let network = network();
        let tasks = AliveTasks::now();
        let session = open(&network, |builder| builder.pool_idle_timeout(limit)).await;
        let both = futures::join!(get(&session, "/after/10"), get(&session, "/after/10"));
        assert_eq!(
            (both.0.unwrap(), both.1.unwrap()),
            ("ok".into(), "ok".into())
        );
        assert_books(&session, Accounts::idle(2), 2, 0);
        sleep(limit / 2).await;
        assert_eq!(get(&session, "/ok").await.unwrap(), "ok");
        assert_books(&session, Accounts::idle(2), 2, 1);
        sleep(limit / 2 + ms(3)).await;
        assert_books(&session, Accounts::idle(1), 2, 1);
        assert_eq!(network.numbers().live, 1);
        sleep(limit / 2).await;
        assert_books(&session, Accounts::NONE, 2, 1);
        assert_eq!(network.numbers().live, 0);
        tasks.assert_back().await;
        // It starts anew.
        assert_eq!(get(&session, "/ok").await.unwrap(), "ok");
        assert_books(&session, Accounts::idle(1), 3, 1);
        sleep(limit + ms(3)).await;
        assert_books(&session, Accounts::NONE, 3, 1);
        tasks.assert_back().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_has_idled_too_long_is_not_used_even_if_nobody_has_closed_it() {
    let network = network();
    let session = open(&network, |builder| {
        builder.pool_idle_timeout(Duration::ZERO)
    })
    .await;
    for round in 1..=3 {
        assert_eq!(get(&session, "/ok").await.unwrap(), "ok");
        assert_eq!(session.stats().opened, round);
        tokio::time::advance(ms(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_timer_is_gone_with_the_session() {
    for awaited in [true, false] {
        let network = network();
        let tasks = AliveTasks::now();
        let session = open(&network, |builder| builder.timeout(seconds(5))).await;
        assert_eq!(get(&session, "/ok").await.unwrap(), "ok");
        assert_books(&session, Accounts::idle(1), 1, 0);
        if awaited {
            session.close().await;
        } else {
            drop(session);
        }
        assert_eq!(network.numbers().live, 0);
        tasks.assert_back().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_nothing_is_told_from_one_that_answers_nothing() {
    let network = network();
    let session = open(&network, |builder| {
        builder.write_timeout(seconds(7)).head_timeout(seconds(20))
    })
    .await;
    let large = vec![b'x'; 1024 * 1024];
    let parts = large.chunks(300_000).map(<[u8]>::to_vec);
    let parts = parts.map(Ok::<_, io::Error>).collect::<Vec<_>>();
    for body in [large.into(), Body::wrap_stream(stream::iter(parts))] {
        let began = Instant::now();
        let post = session.post("http://a/deaf").body(body);
        assert_phase(post.send().await, TimeoutPhase::Write);
        assert_after(began, seconds(7));
    }
    let began = Instant::now();
    assert_phase(get(&session, "/silent").await, TimeoutPhase::Head);
    assert_after(began, seconds(20));
    assert_fine(&session, &network).await;
}

#[tokio::test(start_paused = true)]
async fn each_limit_of_a_request_takes_the_place_of_the_sessions_and_of_no_other() {
    let network = network();
    let never_first = Fated::new(network.clone(), |number| match number {
        0..3 => Fate::Never,
        _ => Fate::Made,
    });
    let builder = Session::builder().connector(never_first);
    let builder = builder
        .timeout(seconds(100))
        .connect_timeout(seconds(50))
        .write_timeout(seconds(40))
        .head_timeout(seconds(30))
        .read_timeout(seconds(20))
        .pool_timeout(seconds(60))
        .pool_max_connections(1);
    let session = builder.open().await.unwrap();
    let large = vec![b'x'; 1024 * 1024];
    let get = |path: &str| session.get(format!("http://a/{path}"));
    let post = || session.post("http://a/deaf").body(large.clone());
    let never = || session.get("http://a/never");
    let one = seconds(1);
    let cases = [
        (never().connect_timeout(one), TimeoutPhase::Connect, 1),
        (never().head_timeout(one), TimeoutPhase::Connect, 50),
        (never().connect_timeout(None), TimeoutPhase::Total, 100),
        (post().write_timeout(one), TimeoutPhase::Write, 1),
        (post().read_timeout(one), TimeoutPhase::Write, 40),
        (post().write_timeout(None), TimeoutPhase::Total, 100),
        (get("silent").head_timeout(one), TimeoutPhase::Head, 1),
        (get("silent").write_timeout(one), TimeoutPhase::Head, 30),
        (get("silent").head_timeout(None), TimeoutPhase::Total, 100),
        (get("stuck").read_timeout(one), TimeoutPhase::Read, 1),
        (get("stuck").pool_timeout(one), TimeoutPhase::Read, 20),
        (get("stuck").read_timeout(None), TimeoutPhase::Total, 100),
        (
            get("silent").timeout(None).head_timeout(None).timeout(one),
            TimeoutPhase::Total,
            1,
        ),
    ];
    for (request, phase, limit) in cases {
        let shown = format!("{request:?} {phase:?}");
        let began = Instant::now();
        let answered = match request.send().await {
            Ok(response) => response.text().await,
            Err(error) => Err(error),
        };
        assert_phase(answered, phase);
        assert!(began.elapsed() >= seconds(limit), "{shown}");
        assert!(began.elapsed() < seconds(limit) + seconds(2), "{shown}");
    }

    // The only connection is taken.
    let taken = head(&session, "/stuck").await.unwrap();
    for (limit, phase, passes) in [
        (Some(one), TimeoutPhase::Pool, 1),
        (None, TimeoutPhase::Total, 100),
    ] {
        let began = Instant::now();
        assert_phase(get("ok").pool_timeout(limit).send().await, phase);
        assert!(began.elapsed() >= seconds(passes), "{phase:?}");
        assert!(began.elapsed() < seconds(passes) + seconds(2), "{phase:?}");
    }
    drop(taken);
    assert_fine(&session, &network).await;
}
