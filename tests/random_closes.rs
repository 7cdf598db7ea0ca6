//! A server that closes its keep-alive connections at random moments: every GET is answered all the
//! same, and no POST is carried out twice.

mod random_closes {
    pub(crate) mod http1;
    #[cfg(feature = "http2")]
    pub(crate) mod http2;
    pub(crate) mod server;
}
mod support;

use std::collections::HashSet;
use std::net::SocketAddr;
use std::thread;

use futures::future::try_join_all;
use hyper_session::{Error, Session, SessionBuilder};
use random_closes::http1;
#[cfg(feature = "http2")]
use random_closes::http2;
use random_closes::server::{SharedLog, answer_to, one_thread, start};
use support::accounts::{Accounts, assert_accounts};
use support::dice::Dice;
use tokio::runtime;

const SEED: u64 = 0x5eed_0003;
/// One request in so many is a POST.
const POSTS: usize = 4;
/// The tasks of each runtime, one with two threads and two with one.
const TASKS: [usize; 3] = [30, 10, 10];

/// What came of one task's POSTs that got no answer.
#[derive(Debug, Default)]
struct Failed(Vec<String>);

async fn work(session: Session, addr: SocketAddr, task: usize, requests: usize) -> Failed {
    let mut dice = Dice::of(!SEED, task);
    let mut failed = Failed::default();
    for number in 0..requests {
        let path = format!("/{task}/{number}");
        let url = format!("http://{addr}{path}");
        let is_post = dice.one_in(POSTS);
        let request = if is_post {
            session.post(url).body(vec![b'x'; dice.below(3000)])
        } else {
            session.get(url)
        };
        let answer = async { request.send().await?.text().await };
        match answer.await {
            Ok(text) => assert_eq!(text, answer_to(&path), "seed {SEED:#x}"),
            Err(error) => {
                assert_is_excused(&error, is_post, &path);
                failed.0.push(path);
            }
        }
    }
    failed
}

#[track_caller]
fn assert_is_excused(error: &Error, is_post: bool, path: &str) {
    assert!(is_post, "seed {SEED:#x}: GET {path} failed: {error:?}");
    assert!(
        error.was_sent(),
        "seed {SEED:#x}: POST {path} failed and nothing of it was sent: {error:?}"
    );
}

/// Runs the tasks of all runtimes side by side.
fn run_all(session: &Session, addr: SocketAddr, requests: usize) -> HashSet<String> {
    let mut first = 0;
    let threads = TASKS.map(|tasks| {
        let (session, numbers) = (session.clone(), first..first + tasks);
        first += tasks;
        thread::spawn(move || {
            let runtime = if numbers.start == 0 {
                let mut builder = runtime::Builder::new_multi_thread();
                builder.worker_threads(2).enable_all().build()
            } else {
                Ok(one_thread())
            };
            let runtime = runtime.expect("a runtime can be built");
            let tasks =
                numbers.map(|task| runtime.spawn(work(session.clone(), addr, task, requests)));
            runtime
                .block_on(try_join_all(tasks))
                .expect("no task panics")
        })
    });
    let failed = threads.map(|thread| thread.join().expect("no panic"));
    let failed = failed.into_iter().flatten().flat_map(|failed| failed.0);
    failed.collect()
}

/// Sends so many requests a task to a server; none fails that may not. Says how many POSTs did.
fn run(builder: SessionBuilder, addr: SocketAddr, log: &SharedLog, requests: usize) -> usize {
    let opening = async { builder.open().await.expect("a session") };
    let session = one_thread().block_on(opening);
    let failed = run_all(&session, addr, requests);

    let report = one_thread().block_on(session.close());
    assert_accounts(&report.stats, Accounts::NONE);
    let log = log.lock();
    let total = TASKS.iter().sum::<usize>() * requests;
    assert!(
        log.posts_seen_twice.is_empty(),
        "seed {SEED:#x}: {:?}",
        log.posts_seen_twice
    );
    let unread = failed.difference(&log.posts).collect::<HashSet<_>>();
    let raced = unread
        .iter()
        .filter(|path| !log.met_a_close.contains(**path));
    println!(
        "{total} requests, {} closes; POSTs without an answer: {}, not read by the server: {}, sent \
         when it had just closed: {}; {report}",
        log.closed,
        failed.len(),
        unread.len(),
        raced.count(),
    );
    // GETs were sent again, and POSTs met closes: it was a test.
    let posts = log.posts.len() + unread.len();
    assert!(log.gets > total - posts, "{} GETs were read", log.gets);
    assert!(!failed.is_empty());
    failed.len()
}

#[test]
fn a_hundred_thousand_requests_survive_closes_at_random_moments() {
    let log = SharedLog::default();
    let addr = start(&log, http1::serve);
    let failed = run(Session::builder(), addr, &log, 2000);
    let log = log.lock();
    // Every kind of close has happened.
    assert_eq!(log.closes.len(), 8, "{:?}", log.closes);
    assert!(failed <= log.closed);
}

#[cfg(feature = "http2")]
#[test]
fn http2_requests_survive_goodbyes_refusals_and_breaks_at_random_moments() {
    let log = SharedLog::default();
    let addr = start(&log, http2::serve);
    let builder = Session::builder().http2_prior_knowledge();
    run(builder, addr, &log, 400);
    let log = log.lock();
    assert_eq!(log.closes.len(), 4, "{:?}", log.closes);
    assert!(log.refused > 0);
}
