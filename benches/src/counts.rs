//! What a request costs its caller in instructions and allocations.
//!
//! Each count is that of a process of its own: this program once more, which makes a few requests to
//! warm up and then those that count, alone or under callgrind (`valgrind` must be installed). The
//! server stays in the first process.

use std::any::Any;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::process::{Command, Output};
use std::sync::Arc;

use futures::future::join_all;
use hyper_session::{Result, Session, SessionHolder, Uri};
use hyper_util::rt::TokioIo;
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;

use crate::client::{Bare, Client, Legacy, Ours, Reqwest, Setup, Target};
use crate::runtime::{current_thread, workers};
use crate::server::{BODY, LINE, Server};

/// Requests that are counted, and before them those that warm up.
const REQUESTS: usize = 1_000;
const WARM_UP: usize = 50;

/// By how many bytes the environment shifts the stack: what a copy costs depends on where it is.
const SHIFTS: [usize; 4] = [0, 16, 32, 48];

/// How many times as far the heap is shifted: what a comparison costs depends on whether it is near the end
/// of a page.
const HEAP: usize = 64;

/// The variable of the environment that does it.
const SHIFT: &str = "SHIFT";

/// How long the text is of which `bytes` and `text` are counted, in bytes.
pub const TEXT: usize = LINE * 600;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// A GET by `&str`, its body read.
    Plain,
    /// The same under [`Setup::Full`], the body taken as text.
    Full,
    /// A body of [`TEXT`] bytes.
    Bytes,
    /// The same as text, all of it ASCII.
    Ascii,
    /// The same as text, of which one character in a hundred is not ASCII.
    Utf8,
    /// [`Ours`] only: a call with a plain session.
    Session,
    /// [`Ours`] only: the same through `with_session`.
    WithSession,
    /// [`Ours`] only: beside connections to so many origins, GETs in turn from a hundred of them whose
    /// connections are warm: what one pays that has idled a second does not count.
    Origins(usize),
    /// [`Ours`] only: a GET beside so many idle connections.
    Idle(usize),
}

impl Work {
    fn to_argument(self) -> String {
        match self {
            Self::Plain => "plain".to_owned(),
            Self::Full => "full".to_owned(),
            Self::Bytes => "bytes".to_owned(),
            Self::Ascii => "ascii".to_owned(),
            Self::Utf8 => "utf8".to_owned(),
            Self::Session => "session".to_owned(),
            Self::WithSession => "with_session".to_owned(),
            Self::Origins(count) => format!("origins={count}"),
            Self::Idle(count) => format!("idle={count}"),
        }
    }

    fn from_argument(argument: &str) -> Self {
        let (name, count) = argument.split_once('=').unwrap_or((argument, "0"));
        let count = count.parse().expect("a count");
        match name {
            "plain" => Self::Plain,
            "full" => Self::Full,
            "bytes" => Self::Bytes,
            "ascii" => Self::Ascii,
            "utf8" => Self::Utf8,
            "session" => Self::Session,
            "with_session" => Self::WithSession,
            "origins" => Self::Origins(count),
            "idle" => Self::Idle(count),
            other => panic!("no work called {other}"),
        }
    }
}

/// Instructions a request, with the stack shifted by each of a few bytes.
pub fn instructions(server: &Server, work: Work, client: &str) -> Vec<f64> {
    let shifts = SHIFTS.iter();
    shifts
        .map(|&shift| instructions_shifted(server, work, client, shift))
        .collect()
}

/// Instructions a request, with the stack where it is.
pub fn instructions_once(server: &Server, work: Work, client: &str) -> f64 {
    instructions_shifted(server, work, client, 0)
}

fn instructions_shifted(server: &Server, work: Work, client: &str, shift: usize) -> f64 {
    let mut valgrind = Command::new("valgrind");
    valgrind
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg("--toggle-collect=*requests_that_count*")
        .arg(std::env::current_exe().expect("this program's path"))
        .env(SHIFT, "_".repeat(shift));
    let ran = run(valgrind, server, work, client);
    let report = String::from_utf8_lossy(&ran.stderr);
    let mut lines = report.lines();
    let collected = lines.find_map(|line| line.split_once("Collected : "));
    let (_, number) = collected.unwrap_or_else(|| panic!("callgrind's count in: {report}"));
    number.trim().parse::<f64>().expect("a number") / REQUESTS as f64
}

/// Allocations a request.
pub fn allocations(server: &Server, work: Work, client: &str) -> f64 {
    let this = Command::new(std::env::current_exe().expect("this program's path"));
    let ran = run(this, server, work, client);
    let printed = String::from_utf8_lossy(&ran.stdout);
    printed.trim().parse::<f64>().expect("a number") / REQUESTS as f64
}

fn run(mut program: Command, server: &Server, work: Work, client: &str) -> Output {
    program.args(["count", &work.to_argument(), client]);
    program.arg(server.address().to_string());
    let ran = program.output().expect("valgrind is installed");
    let errors = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{program:?} failed: {errors}");
    ran
}

/// Whether this process was started to be counted; it has done its work then. To be asked first.
pub fn is_child() -> bool {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [count, work, client, server] = &arguments[..] else {
        return false;
    };
    if count != "count" {
        return false;
    }
    let shift = std::env::var(SHIFT).map_or(0, |shift| shift.len());
    let _below_all_else = std::hint::black_box(Vec::<u8>::with_capacity(shift * HEAP));
    let server = server.parse().expect("an address");
    child(Work::from_argument(work), client, server);
    true
}

#[allow(
    clippy::async_yields_async,
    reason = "the requests are made later, when they are counted"
)]
fn child(work: Work, client: &str, server: SocketAddr) {
    let runtime = match work {
        // A timer that looks at thousands of connections once a second would have its look counted with a
        // second's requests, which are a thousand here, and some thirty thousand without valgrind: not on
        // another thread.
        Work::Origins(_) | Work::Idle(_) => workers(1),
        _ => current_thread(),
    };
    let prepared = runtime.block_on(async {
        match client {
            Bare::NAME => prepare::<Bare>(work, server).await,
            Legacy::NAME => prepare::<Legacy>(work, server).await,
            Reqwest::NAME => prepare::<Reqwest>(work, server).await,
            Ours::NAME => prepare_ours(work, server).await,
            other => panic!("no client called {other}"),
        }
    });
    let mut prepared = Some(prepared);
    let mut kept = None;
    let counted = allocation_counter::measure(|| {
        kept = prepared
            .take()
            .map(|work| requests_that_count(&runtime, work));
    });
    println!("{}", counted.count_total);
}

/// Callgrind counts from where this is entered to where it is left.
#[inline(never)]
fn requests_that_count(runtime: &Runtime, work: Requests) -> Box<dyn Any> {
    runtime.block_on(work)
}

/// Requests about to be made. Boxed: within one future they would be compiled into one function, and
/// share its registers. Returns what made them, whose end does not count.
type Requests = Pin<Box<dyn Future<Output = Box<dyn Any>>>>;

async fn prepare<C: Client>(work: Work, server: SocketAddr) -> Requests {
    let (setup, path) = match work {
        Work::Plain => (Setup::Plain, "/".to_owned()),
        Work::Full => (Setup::Full, "/".to_owned()),
        Work::Bytes | Work::Ascii => (Setup::Plain, format!("/ascii/{TEXT}")),
        Work::Utf8 => (Setup::Plain, format!("/utf8/{TEXT}")),
        other => panic!("{} has no {other:?}", C::NAME),
    };
    let target = Target::new(server, &path);
    let mut client = C::open(setup, &target).await;
    for _ in 0..WARM_UP {
        client.text(&target).await;
    }
    match work {
        Work::Plain => Box::pin(async move {
            for _ in 0..REQUESTS {
                assert_eq!(client.get(&target).await, BODY);
            }
            kept(client)
        }),
        Work::Bytes => Box::pin(async move {
            for _ in 0..REQUESTS {
                assert_eq!(client.get(&target).await.len(), TEXT);
            }
            kept(client)
        }),
        Work::Full => Box::pin(async move {
            for _ in 0..REQUESTS {
                assert_eq!(client.text(&target).await.as_bytes(), BODY);
            }
            kept(client)
        }),
        _ => Box::pin(async move {
            for _ in 0..REQUESTS {
                assert_eq!(client.text(&target).await.len(), TEXT);
            }
            kept(client)
        }),
    }
}

fn kept(what: impl Any) -> Box<dyn Any> {
    Box::new(what)
}

async fn prepare_ours(work: Work, server: SocketAddr) -> Requests {
    let url = format!("http://{server}/");
    match work {
        Work::Session => {
            let session = Session::builder().open().await.expect("a session");
            call(session.clone(), &url, Line).await.expect("an answer");
            Box::pin(async move {
                for _ in 0..REQUESTS {
                    let got = call(session.clone(), &url, Line);
                    got.await.expect("an answer");
                }
                kept(session)
            })
        }
        Work::WithSession => {
            let holder = SessionHolder::builder().build().expect("a holder");
            holder.start_session().await.expect("a session");
            let first = holder.with_session(|session| call(session, &url, Line));
            first.await.expect("an answer");
            Box::pin(async move {
                for _ in 0..REQUESTS {
                    let got = holder.with_session(|session| call(session, &url, Line));
                    got.await.expect("an answer");
                }
                kept(holder)
            })
        }
        Work::Origins(count) => {
            let session = unlimited(server).await;
            // All of the same length.
            let urls = (0..count).map(|origin| format!("http://origin-{origin:06}.test/"));
            let mut urls: Vec<_> = urls.collect();
            for url in &urls {
                get(&session, url).await;
            }
            let warm = urls.split_off(count.saturating_sub(100));
            for url in &warm {
                get(&session, url).await;
            }
            from_each(session, warm)
        }
        Work::Idle(count) => {
            let session = unlimited(server).await;
            let together = format!("http://origin-000000.test/together/{count}");
            join_all((0..count).map(|_| get(&session, &together))).await;
            assert_eq!(session.stats().idle, count);
            from_each(session, vec!["http://origin-000000.test/".to_owned()])
        }
        other => prepare::<Ours>(other, server).await,
    }
}

/// Begins a cache line. In a future, it has that begin one too, wherever it is embedded: the copies
/// within cost the same then, which else differ by 40 instructions with the address.
#[repr(align(64))]
struct Line;

async fn call(session: Session, url: &str, _: Line) -> Result<()> {
    let answer = session.get(url).send().await?;
    assert_eq!(answer.bytes().await?, BODY);
    Ok(())
}

async fn get(session: &Session, url: &str) {
    let answer = session.get(url).send().await.expect("an answer");
    assert_eq!(answer.bytes().await.expect("a body"), BODY);
}

fn from_each(session: Session, urls: Vec<String>) -> Requests {
    Box::pin(async move {
        for request in 0..REQUESTS {
            get(&session, &urls[request % urls.len()]).await;
        }
        kept(session)
    })
}

/// A session for thousands of connections, all of them to the one server, whatever the origin is.
async fn unlimited(server: SocketAddr) -> Session {
    let files = getrlimit(Resource::Nofile);
    let all = rustix::process::Rlimit {
        current: files.maximum,
        ..files
    };
    setrlimit(Resource::Nofile, all).expect("up to the maximum is always allowed");

    // No more at a time than the server's backlog takes.
    let connecting = Arc::new(Semaphore::new(500));
    let connector = tower::service_fn(move |_: Uri| {
        let connecting = Arc::clone(&connecting);
        async move {
            let _turn = connecting.acquire().await.expect("it is never closed");
            let stream = TcpStream::connect(server).await?;
            stream.set_nodelay(true)?;
            Ok::<_, io::Error>(TokioIo::new(stream))
        }
    });
    let builder = Session::builder().connector(connector);
    let builder = builder
        .pool_max_connections(usize::MAX)
        .pool_idle_timeout(None);
    let builder = builder.connect_timeout(None);
    builder.open().await.expect("a session")
}
