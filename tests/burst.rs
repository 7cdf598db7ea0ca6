//! Cold bursts: many tasks at once on a session without a connection.

mod support;

use std::sync::Arc;

use futures::future::try_join_all;
use hyper_session::{DefaultConnector, Session, Stats};
use support::accounts::{Accounts, assert_accounts};
use support::connectors::{Counting, Fate, Fated, Memory, read_head, write};
use support::raw::RawPeer;
use tokio::sync::Barrier;
use tokio::task::yield_now;

const TASKS: usize = 1000;
const REQUESTS: usize = 10;
const BURSTS: usize = 3;

const FEW: usize = 4;
const SMALL_BURSTS: usize = 500;

type Network = Counting<DefaultConnector>;

/// Answers every request with its path.
fn paths() -> RawPeer {
    RawPeer::start(async |conn, _| {
        loop {
            let head = conn.read_request().await;
            let head = String::from_utf8_lossy(&head);
            let Some(path) = head.split(' ').nth(1) else {
                return;
            };
            let length = path.len();
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{path}");
            conn.write(answer).await;
        }
    })
}

/// One of the burst: its answers are its own, and nowhere on its way are there too many connections.
async fn ask(session: Session, url: String, task: usize, limit: usize, start: Arc<Barrier>) {
    start.wait().await;
    for round in 0..REQUESTS {
        let path = format!("/{task}/{round}");
        let answer = async {
            let response = session.get(format!("{url}{path}")).send().await?;
            response.text().await
        };
        assert_eq!(answer.await.expect("an answer"), path);
        let stats = session.stats();
        assert!(stats.open + stats.connecting <= limit, "{stats:?}");
    }
}

/// Waits until connects that lost their race have been made.
async fn settle(session: &Session) -> Stats {
    loop {
        let stats = session.stats();
        if stats.connecting == 0 && stats.idle == stats.open {
            return stats;
        }
        yield_now().await;
    }
}

async fn burst(session: &Session, network: &Network, limit: usize) {
    let server = paths();
    let start = Arc::new(Barrier::new(TASKS));
    let tasks = (0..TASKS).map(|task| {
        let (session, url) = (session.clone(), server.url(""));
        tokio::spawn(ask(session, url, task, limit, Arc::clone(&start)))
    });
    try_join_all(tasks).await.expect("no task panics");

    let stats = settle(session).await;
    let opened = stats.open;
    assert!(opened <= TASKS.min(limit), "{stats:?}");
    assert_accounts(&stats, Accounts::idle(opened));
    assert_eq!((stats.opened, stats.closed), (opened as u64, 0));
    let first_answers = (TASKS * REQUESTS) as u64 - stats.reused;
    assert!(first_answers <= stats.opened, "{stats:?}");
    server.wait_accepted(opened).await;
    assert_eq!((server.accepted(), server.peak()), (opened, opened));
    assert_eq!(server.requests(), TASKS * REQUESTS);
    let numbers = network.numbers();
    assert_eq!((numbers.made, numbers.live), (opened, opened));
    assert!(numbers.peak <= limit, "{numbers:?}");

    let report = session.close().await;
    assert_accounts(&report.stats, Accounts::NONE);
    assert_eq!(network.numbers().live, 0);
    server.wait_live(0).await;
}

async fn bursts(limit: Option<usize>) {
    for _ in 0..BURSTS {
        let network = Counting::new(DefaultConnector::new().expect("a connector"));
        let mut builder = Session::builder().connector(network.clone());
        if let Some(limit) = limit {
            builder = builder.pool_max_connections(limit);
        }
        let session = builder.open().await.expect("valid settings");
        burst(&session, &network, limit.unwrap_or(100)).await;
    }
}

/// A few tasks on a new session; their connects end when others give their connections back.
async fn small_burst(round: usize) {
    let memory = Memory::scripted(async |mut end, _| {
        while !read_head(&mut end).await.is_empty() {
            write(&mut end, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        }
    });
    let network = Counting::new(Fated::new(memory, move |number| {
        Fate::Later((number + round) % 3)
    }));
    let builder = Session::builder().connector(network.clone());
    let session = builder.open().await.expect("valid settings");
    let start = Arc::new(Barrier::new(FEW));
    let tasks = (0..FEW).map(|_| {
        let (session, start) = (session.clone(), Arc::clone(&start));
        tokio::spawn(async move {
            start.wait().await;
            for _ in 0..REQUESTS {
                let answer = session.get("http://a.test/").send().await;
                answer.expect("an answer");
            }
        })
    });
    try_join_all(tasks).await.expect("no task panics");

    let stats = settle(&session).await;
    assert_accounts(&stats, Accounts::idle(stats.open));
    assert_eq!((stats.opened, stats.closed), (stats.open as u64, 0));
    assert!(network.numbers().peak <= FEW, "{stats:?}");
    session.close().await;
    assert_eq!(network.numbers().live, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn small_bursts_open_no_more_than_they_have_tasks() {
    for round in 0..SMALL_BURSTS {
        small_burst(round).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn at_the_default_limit_a_burst_opens_a_hundred_connections_at_the_most() {
    bursts(None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn at_a_small_limit_a_burst_opens_no_more_than_that() {
    bursts(Some(8)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn without_a_limit_in_the_way_a_burst_opens_no_more_than_it_has_tasks() {
    bursts(Some(2000)).await;
}
