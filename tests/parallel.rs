//! Bursts on several threads, of one runtime or each with its own, to origins of either protocol, where some
//! connects are late or refused, some servers leave early and some requests are dropped: no request waits
//! for ever, nothing is left over, and there are never more connections than the limits allow.
//!
//! `PARALLEL_ROUNDS` is how many are run. After a failure, `PARALLEL_SEED` begins with the one that failed;
//! as threads have their own mind, it may take some rounds.
#![cfg(feature = "http2")]
#![allow(clippy::unwrap_used, reason = "a test that fails here has its line")]

mod support;

use std::convert::Infallible;
use std::env;
use std::future::pending;
use std::io;
use std::ops::Range;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use futures::future::{Either, select, try_join_all};
use http::StatusCode;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_session::{BoxConnector, Connector, Session, Uri};
use hyper_util::rt::{TokioExecutor, TokioIo};
use support::accounts::{Accounts, assert_accounts};
use support::body::{full, respond};
use support::connectors::{Counting, Negotiated, Pipe, read_head, write};
use support::dice::Dice;
use tokio::io::DuplexStream;
use tokio::runtime::Builder;
use tokio::sync::Semaphore;
use tokio::task::yield_now;
use tokio::time::timeout;

const REQUESTS: usize = 5;
const FOR_EVER: Duration = Duration::from_secs(30);

/// Those that begin with `two` speak HTTP/2, the one that begins with `any` speaks it at times.
const HOSTS: [&str; 5] = ["two-a", "one-b", "any-c", "two-d", "one-e"];

fn number(variable: &str) -> Option<u64> {
    let value = env::var(variable).ok()?;
    Some(value.parse().expect("a number"))
}

async fn turns(count: usize) {
    for _ in 0..count {
        yield_now().await;
    }
}

fn network(seed: u64) -> impl Connector {
    let asked = Arc::new(AtomicUsize::new(0));
    tower::service_fn(move |uri: Uri| {
        let mut dice = Dice::of(seed, asked.fetch_add(1, Ordering::Relaxed));
        async move {
            turns(dice.below(4)).await;
            if dice.one_in(6) {
                return Err(io::Error::from(io::ErrorKind::ConnectionRefused));
            }
            let is_http2 = match uri.host().and_then(|host| host.split('-').next()) {
                Some("two") => true,
                Some("any") => dice.one_in(2),
                _ => false,
            };
            let (client, server) = if is_http2 {
                Pipe::new(Negotiated::Http2)
            } else {
                Pipe::new(Negotiated::Nothing)
            };
            if is_http2 {
                tokio::spawn(serve_http2(server, dice));
            } else {
                tokio::spawn(serve_http1(server, dice));
            }
            Ok(client)
        }
    })
}

/// Leaves after some requests or never, without a word.
async fn serve_http1(mut end: DuplexStream, mut dice: Dice) {
    let most = if dice.one_in(2) {
        usize::MAX
    } else {
        dice.below(4)
    };
    for _ in 0..most {
        if read_head(&mut end).await.is_empty() {
            return;
        }
        turns(dice.below(3)).await;
        write(&mut end, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    }
}

/// Leaves after some requests or never, with a goodbye or without.
async fn serve_http2(end: DuplexStream, mut dice: Dice) {
    let streams = u32::try_from(1 + dice.below(4)).unwrap();
    let most = u32::try_from(dice.below(6)).unwrap();
    let (stays, says_goodbye, busy) = (dice.one_in(2), dice.one_in(2), dice.below(3));
    let requests = Semaphore::new(0);
    let service = service_fn(|_| {
        requests.add_permits(1);
        async move {
            turns(busy).await;
            Ok::<_, Infallible>(respond(StatusCode::OK, full("ok")))
        }
    });
    let leaving = async {
        if stays {
            pending::<()>().await;
        }
        drop(requests.acquire_many(most).await);
    };
    let serving = http2::Builder::new(TokioExecutor::new())
        .max_concurrent_streams(streams)
        .serve_connection(TokioIo::new(end), service);
    if let Either::Right(((), mut serving)) = select(pin!(serving), pin!(leaving)).await
        && says_goodbye
    {
        serving.as_mut().graceful_shutdown();
        // An error is one of the ways for a client to end it.
        let _ = serving.await;
    }
}

/// Makes requests, some of which it drops on their way.
async fn ask(session: Session, hosts: usize, limit: usize, mut dice: Dice) {
    for _ in 0..REQUESTS {
        let url = format!("https://{}/", HOSTS[dice.below(hosts)]);
        let request = if dice.one_in(3) {
            session.post(url).body("x")
        } else {
            session.get(url)
        };
        let dropped_after = Some(dice.below(12) * 3).filter(|&turns| turns < 12);
        let dropped = async {
            match dropped_after {
                Some(count) => turns(count).await,
                None => pending().await,
            }
        };
        let answered = async {
            // Refused, or left by the server: what counts is that it ends.
            if let Ok(answer) = request.send().await {
                drop(answer.bytes().await);
            }
        };
        select(pin!(answered), pin!(dropped)).await;
        let stats = session.stats();
        assert!(stats.open + stats.connecting <= limit, "{stats:?}");
    }
}

/// A session and its network, with limits that the seed says.
struct Scene {
    session: Session,
    network: Counting<BoxConnector>,
    limit: usize,
    shared: usize,
    hosts: usize,
    dice: Dice,
    seed: u64,
}

impl Scene {
    async fn set(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let (limit, shared) = (1 + dice.below(5), 1 + dice.below(2));
        let network = Counting::new(BoxConnector::new(network(seed)));
        let mut builder = Session::builder()
            .connector(network.clone())
            .pool_max_connections(limit)
            .http2_max_connections_per_origin(shared);
        if dice.one_in(3) {
            builder = builder.pool_max_per_origin(1 + dice.below(3));
        }
        Self {
            session: builder.open().await.unwrap(),
            network,
            limit,
            shared,
            hosts: 1 + dice.below(HOSTS.len()),
            dice,
            seed,
        }
    }

    /// So many tasks that make requests, all at once.
    async fn burst(&self, tasks: usize, number: usize) {
        let asking = (0..tasks).map(|task| {
            let dice = Dice::of(self.seed, number * 100 + task);
            tokio::spawn(ask(self.session.clone(), self.hosts, self.limit, dice))
        });
        try_join_all(asking).await.expect("no task panics");
    }

    /// Waits until connects that lost their race have been made, and what was dropped is over.
    async fn settle(&self) {
        let stats = loop {
            let stats = self.session.stats();
            if stats.connecting == 0 && stats.idle == stats.open && stats.exchanges == 0 {
                break stats;
            }
            yield_now().await;
        };
        assert_accounts(&stats, Accounts::idle(stats.open));
        for origin in self.session.origin_stats() {
            let most = if origin.origin.contains("two") {
                self.shared
            } else {
                self.limit
            };
            assert!(origin.open <= most, "{origin:?}");
        }
    }

    async fn end(&self) {
        let numbers = self.network.numbers();
        assert!(numbers.peak <= self.limit, "{numbers:?}");
        // Some are refused, some not waited for.
        let requests = usize::try_from(self.session.stats().requests).unwrap();
        assert!(numbers.asked <= 2 * requests + 50, "{numbers:?}");
        let report = self.soon(self.session.close()).await;
        assert_accounts(&report.stats, Accounts::NONE);
        assert_eq!(self.network.numbers().live, 0);
    }

    async fn soon<T>(&self, what: impl Future<Output = T>) -> T {
        let ended = timeout(FOR_EVER, what).await;
        ended.unwrap_or_else(|_| self.waits_for_ever())
    }

    fn waits_for_ever(&self) -> ! {
        panic!("it waits for ever: {:?}", self.session.stats())
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("PARALLEL_SEED={}", self.seed);
        }
    }
}

fn seeds(rounds: u64) -> Range<u64> {
    let first = number("PARALLEL_SEED").unwrap_or(0);
    first..first + number("PARALLEL_ROUNDS").unwrap_or(rounds)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn bursts_on_a_runtime_of_many_threads_end() {
    for seed in seeds(300) {
        let mut scene = Scene::set(seed).await;
        let tasks = 2 + scene.dice.below(12);
        scene.soon(scene.burst(tasks, 0)).await;
        scene.soon(scene.settle()).await;
        scene.end().await;
    }
}

/// Each of them rests for a moment after each burst, and ends.
#[test]
fn bursts_on_runtimes_side_by_side_end() {
    let runtime = || Builder::new_current_thread().enable_all().build().unwrap();
    for seed in seeds(100) {
        let mut scene = runtime().block_on(Scene::set(seed));
        let threads = 2 + scene.dice.below(4);
        let scene = Arc::new(scene);
        let (ended, has_ended) = channel();
        let running: Vec<_> = (0..threads)
            .map(|thread| {
                let (scene, ended) = (Arc::clone(&scene), ended.clone());
                thread::spawn(move || {
                    let runtime = runtime();
                    let mut dice = Dice::of(seed, thread);
                    for burst in 0..3 {
                        let tasks = 1 + dice.below(4);
                        runtime.block_on(scene.burst(tasks, thread * 3 + burst));
                    }
                    drop((runtime, scene));
                    ended.send(()).unwrap();
                })
            })
            .collect();
        for _ in 0..threads {
            let ended = has_ended.recv_timeout(FOR_EVER);
            ended.unwrap_or_else(|_| scene.waits_for_ever());
        }
        for thread in running {
            thread.join().unwrap();
        }
        runtime().block_on(scene.end());
    }
}
