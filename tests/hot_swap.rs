//! Another session in place of the open one, again and again under load.

mod support;

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use futures::future::try_join_all;
use hyper_session::{BoxConnector, Error, Session, SessionBuilder, SessionHolder, WhenClosed};
use support::accounts::{Accounts, AliveTasks, assert_accounts};
use support::books::reach;
use support::connectors::Counting;
use support::server::{ConnectionNumber, Server, text};
use support::wire::Wire;

const TASKS: usize = 64;
const SWAPS: usize = 25;
/// How many requests are answered between two swaps.
const BETWEEN: usize = 100;

type Network = Counting<BoxConnector>;

fn network(wire: Wire) -> Network {
    Counting::new(wire.connector())
}

fn builder(
    wire: Wire,
    network: &Network,
    server: &Server,
    number: usize,
) -> SessionBuilder<Network> {
    wire.set(SessionHolder::builder())
        .connector(network.clone())
        .base_url(server.url(&format!("/{number}")))
        // Some with a queue, some without.
        .pool_max_connections(if number.is_multiple_of(2) { 16 } else { 100 })
        .when_closed(WhenClosed::Refuse)
}

/// Answers with the path, and keeps the numbers of the connections that brought requests.
fn paths(wire: Wire, used: &Arc<Mutex<HashSet<usize>>>) -> Server {
    let used = Arc::clone(used);
    wire.serve(async move |request| {
        let number = request.extensions().get::<ConnectionNumber>();
        let ConnectionNumber(number) = *number.expect("every request has one");
        used.lock().expect("no panic").insert(number);
        text(request.uri().path().to_owned())
    })
}

/// Calls until told to stop; each call stays with the session that it began with.
async fn call(holder: SessionHolder<Network>, task: usize, stop: Arc<AtomicBool>) -> usize {
    let mut requests = 0;
    while !stop.load(Ordering::Relaxed) {
        let twice = holder.with_session(async |session| {
            let path = format!("/{task}/{requests}");
            let first = session.get(&path).send().await?.text().await?;
            let second = session.get(&path).send().await?.text().await?;
            Ok::<_, Error>((path, first, second))
        });
        let (path, first, second) = twice.await.expect("no call fails");
        assert_eq!(first, second, "both on one session");
        assert!(first.ends_with(&path), "{first} is not of {path}");
        requests += 2;
    }
    requests
}

/// Waits until a session that was replaced has drained by itself.
async fn drained(session: &Session, network: &Network) {
    reach(session, Accounts::NONE).await;
    let numbers = network.numbers();
    assert_eq!((numbers.live, numbers.connecting), (0, 0), "{numbers:?}");
    assert!(session.is_closing());
}

/// Swaps under load, so many times; says how many connections have been made.
async fn swap(wire: Wire, swaps: usize) -> usize {
    let tasks = AliveTasks::now();
    let used = Arc::default();
    let server = paths(wire, &used);
    let mut last = network(wire);
    let holder = builder(wire, &last, &server, 0)
        .build()
        .expect("it is valid");
    holder.start_session().await.expect("it opens");
    let stop = Arc::new(AtomicBool::new(false));
    let calls = (0..TASKS).map(|task| tokio::spawn(call(holder.clone(), task, Arc::clone(&stop))));
    let calls: Vec<_> = calls.collect();

    let mut sessions = Vec::new();
    for number in 1..=swaps {
        server.wait_requests(server.requests() + BETWEEN).await;
        let old = holder.session().expect("one is open");
        let new = network(wire);
        let swapped = holder.start_session_with(builder(wire, &new, &server, number));
        swapped.await.expect("it opens");
        drained(&old, &last).await;
        sessions.push(old);
        last = new;
    }
    server.wait_requests(server.requests() + BETWEEN).await;
    stop.store(true, Ordering::Relaxed);
    let requests = try_join_all(calls).await.expect("no task panics");
    let requests = requests.into_iter().sum::<usize>();

    sessions.push(holder.session().expect("one is open"));
    let report = holder.close_session().await;
    assert_eq!(last.numbers().live, 0);
    let all = sessions.iter().map(Session::stats).collect::<Vec<_>>();
    for stats in &all {
        assert_accounts(stats, Accounts::NONE);
    }
    let sum = |of: fn(&hyper_session::Stats) -> u64| all.iter().map(of).sum::<u64>();
    server.wait_live(0).await;
    assert_eq!(server.requests(), requests);
    assert_eq!(sum(|stats| stats.opened), server.accepted() as u64);
    assert_eq!(sum(|stats| stats.closed), server.accepted() as u64);
    assert_eq!(
        report.stats.opened,
        server.accepted() as u64,
        "of all that were not closed before"
    );
    // Each connection brought a first answer, unless it brought none; all others were reuses.
    let first = used.lock().expect("no panic").len();
    assert_eq!(sum(|stats| stats.reused), (requests - first) as u64);
    assert_eq!(sum(|stats| stats.one_shots), 0);
    drop(sessions);
    tasks.assert_back().await;
    server.accepted()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_request_fails_and_each_session_that_was_replaced_drains() {
    swap(Wire::Http1, SWAPS).await;
}

#[cfg(feature = "http2")]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_stream_fails_and_each_session_that_was_replaced_drains() {
    // One connection a session.
    assert_eq!(swap(Wire::Http2, SWAPS).await, SWAPS + 1);
}

#[cfg(all(feature = "http2", feature = "native-tls"))]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_stream_fails_over_tls_and_each_session_that_was_replaced_drains() {
    assert_eq!(swap(Wire::Http2Tls, 10).await, 11);
}
