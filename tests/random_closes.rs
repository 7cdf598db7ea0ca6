//! A server that closes its keep-alive connections at random moments: every GET is answered all the
//! same, and no POST is carried out twice.

mod support;

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use futures::future::try_join_all;
use hyper_session::{Error, Session};
use socket2::SockRef;
use support::accounts::{Accounts, assert_accounts};
use support::dice::Dice;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{self, Runtime};

const SEED: u64 = 0x5eed_0003;
/// One request in so many is a POST.
const POSTS: usize = 4;
/// A connection is closed after one answer in so many.
const CLOSES: usize = 12;
const REQUESTS: usize = 2_000;
/// The tasks of each runtime, one with two threads and two with one.
const TASKS: [usize; 3] = [30, 10, 10];

/// When a server closes a connection that has brought an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Moment {
    /// At once.
    Answered,
    /// When the next request has come, unread.
    Unread,
    /// When a part of it has been read.
    PartRead,
    /// When all of it has been read.
    Read,
}

/// What the server has seen.
#[derive(Debug, Default)]
struct Log {
    gets: usize,
    posts: HashSet<String>,
    posts_seen_twice: Vec<String>,
    /// Paths of requests that had come when their connection was closed.
    met_a_close: HashSet<String>,
    closes: HashSet<(Moment, bool)>,
    closed: usize,
}

impl Log {
    fn note(&mut self, request: &Request) {
        if request.is_post && !self.posts.insert(request.path.clone()) {
            self.posts_seen_twice.push(request.path.clone());
        }
        self.gets += usize::from(!request.is_post);
    }
}

#[derive(Clone, Debug, Default)]
struct SharedLog(Arc<Mutex<Log>>);

impl SharedLog {
    fn lock(&self) -> MutexGuard<'_, Log> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
struct Request {
    is_post: bool,
    path: String,
}

/// One connection of the server, light enough for as many requests as these.
struct Connection {
    tcp: TcpStream,
    dice: Dice,
    log: SharedLog,
}

impl Connection {
    async fn serve(mut self) {
        while let Some(request) = self.read_request().await {
            self.log.lock().note(&request);
            let body = answer_to(&request.path);
            let length = body.len();
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}");
            if self.tcp.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
            if self.dice.one_in(CLOSES) {
                return self.close().await;
            }
        }
    }

    async fn close(mut self) {
        let moments = [
            Moment::Answered,
            Moment::Unread,
            Moment::PartRead,
            Moment::Read,
        ];
        let moment = moments[self.dice.below(moments.len())];
        let reset = self.dice.one_in(2);
        if moment != Moment::Answered && !self.next_has_come().await {
            return;
        }
        match moment {
            Moment::Answered | Moment::Unread => {}
            Moment::PartRead => {
                let mut part = vec![0; 1 + self.dice.below(30)];
                let _ = self.tcp.read(&mut part).await;
            }
            Moment::Read => {
                if let Some(request) = self.read_request().await {
                    self.log.lock().note(&request);
                }
            }
        }
        if reset {
            // An error only says that the client is gone.
            let _ = SockRef::from(&self.tcp).set_linger(Some(Duration::ZERO));
        }
        let mut log = self.log.lock();
        log.closes.insert((moment, reset));
        log.closed += 1;
    }

    /// Whether the client sends another request, rather than its end. Reads nothing of it.
    async fn next_has_come(&self) -> bool {
        let mut start = [0; 32];
        let Ok(length @ 1..) = self.tcp.peek(&mut start).await else {
            return false;
        };
        let start = String::from_utf8_lossy(&start[..length]);
        let path = start.split(' ').nth(1).map(str::to_owned);
        self.log.lock().met_a_close.extend(path);
        true
    }

    async fn read_request(&mut self) -> Option<Request> {
        let mut bytes = Vec::with_capacity(1024);
        let head = loop {
            if self.tcp.read_buf(&mut bytes).await.ok()? == 0 {
                return None;
            }
            let end = bytes.windows(4).position(|part| part == b"\r\n\r\n");
            if let Some(end) = end {
                break end + 4;
            }
        };
        let text = std::str::from_utf8(&bytes[..head]).expect("a head is ASCII");
        let mut words = text.split(' ');
        let (method, path) = (words.next()?, words.next()?);
        let request = Request {
            is_post: method == "POST",
            path: path.to_owned(),
        };
        let length = text.split_once("content-length: ").map_or(0, |(_, rest)| {
            let digits = rest.lines().next().expect("a line");
            digits.parse::<usize>().expect("a number")
        });
        while bytes.len() < head + length {
            if self.tcp.read_buf(&mut bytes).await.ok()? == 0 {
                return None;
            }
        }
        assert_eq!(bytes.len(), head + length, "nobody pipelines");
        Some(request)
    }
}

/// Of another length for each request, so that a mix-up of answers would show.
fn answer_to(path: &str) -> String {
    let filler = path.bytes().map(usize::from).sum::<usize>() % 97;
    format!("{path}{:filler$}", "")
}

/// Runs the server on a thread of its own, until the test's process ends.
fn start_server(log: &SharedLog) -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = listener.local_addr().expect("it is bound");
    listener.set_nonblocking(true).expect("a listener can be");
    let log = log.clone();
    thread::spawn(move || {
        one_thread().block_on(async {
            let listener = TcpListener::from_std(listener).expect("it is nonblocking");
            for number in 0.. {
                let (tcp, _) = listener.accept().await.expect("a connection");
                tcp.set_nodelay(true).expect("a socket can be");
                let (dice, log) = (Dice::of(SEED, number), log.clone());
                tokio::spawn(Connection { tcp, dice, log }.serve());
            }
        });
    });
    addr
}

fn one_thread() -> Runtime {
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime can be built")
}

/// What came of one task's POSTs that got no answer.
#[derive(Debug, Default)]
struct Failed(Vec<String>);

async fn work(session: Session, addr: SocketAddr, task: usize) -> Failed {
    let mut dice = Dice::of(!SEED, task);
    let mut failed = Failed::default();
    for number in 0..REQUESTS {
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
fn run_all(session: &Session, addr: SocketAddr) -> HashSet<String> {
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
            let tasks = numbers.map(|task| runtime.spawn(work(session.clone(), addr, task)));
            runtime
                .block_on(try_join_all(tasks))
                .expect("no task panics")
        })
    });
    let failed = threads.map(|thread| thread.join().expect("no panic"));
    let failed = failed.into_iter().flatten().flat_map(|failed| failed.0);
    failed.collect()
}

#[test]
fn a_hundred_thousand_requests_survive_closes_at_random_moments() {
    let log = SharedLog::default();
    let addr = start_server(&log);
    let opening = async { Session::builder().open().await.expect("a session") };
    let session = one_thread().block_on(opening);
    let failed = run_all(&session, addr);

    let report = one_thread().block_on(session.close());
    assert_accounts(&report.stats, Accounts::NONE);
    let log = log.lock();
    let total = TASKS.iter().sum::<usize>() * REQUESTS;
    assert_eq!(total, 100_000);
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
        "{} closes; POSTs without an answer: {}, not read by the server: {}, sent when it had just \
         closed: {}; {report}",
        log.closed,
        failed.len(),
        unread.len(),
        raced.count(),
    );
    // Every kind of close has happened, GETs were sent again, and POSTs met closes: it was a test.
    assert_eq!(log.closes.len(), 8, "{:?}", log.closes);
    let posts = log.posts.len() + unread.len();
    assert!(log.gets > total - posts, "{} GETs were read", log.gets);
    assert!(!failed.is_empty() && failed.len() <= log.closed);
}
