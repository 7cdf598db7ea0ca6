//! What the servers have in common: their log, their answers, and the thread that they run on.

use std::collections::HashSet;
use std::fmt::Debug;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{self, Runtime};

use crate::SEED;
use crate::support::dice::Dice;

/// What the server has seen.
#[derive(Debug, Default)]
pub(crate) struct Log {
    pub(crate) gets: usize,
    pub(crate) posts: HashSet<String>,
    pub(crate) posts_seen_twice: Vec<String>,
    /// Paths of requests that had come when their connection was closed.
    pub(crate) met_a_close: HashSet<String>,
    pub(crate) closes: HashSet<String>,
    pub(crate) closed: usize,
    /// Streams that were not begun.
    #[cfg(feature = "http2")]
    pub(crate) refused: usize,
}

impl Log {
    pub(crate) fn note(&mut self, is_post: bool, path: &str) {
        if is_post && !self.posts.insert(path.to_owned()) {
            self.posts_seen_twice.push(path.to_owned());
        }
        self.gets += usize::from(!is_post);
    }

    pub(crate) fn note_close(&mut self, kind: impl Debug) {
        self.closes.insert(format!("{kind:?}"));
        self.closed += 1;
    }
}

/// Of all connections of a server.
#[derive(Clone, Debug, Default)]
pub(crate) struct SharedLog(Arc<Mutex<Log>>);

impl SharedLog {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Log> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Serves connections on a thread of its own, until the test's process ends.
pub(crate) fn start<S, F>(log: &SharedLog, serve: S) -> SocketAddr
where
    S: Fn(TcpStream, Dice, SharedLog) -> F + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
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
                tokio::spawn(serve(tcp, Dice::of(SEED, number), log.clone()));
            }
        });
    });
    addr
}

/// Of another length for each request, so that a mix-up of answers would show.
pub(crate) fn answer_to(path: &str) -> String {
    let filler = path.bytes().map(usize::from).sum::<usize>() % 97;
    format!("{path}{:filler$}", "")
}

pub(crate) fn one_thread() -> Runtime {
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime can be built")
}
