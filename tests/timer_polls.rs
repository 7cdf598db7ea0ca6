//! The timer polls idle connections, and nothing that a request gives to one of them.
#![allow(clippy::unwrap_used, reason = "a test that fails here has its line")]

mod support;

use std::collections::HashSet;
use std::pin::Pin;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::thread::{self, ThreadId};
use std::time::Duration;
use std::{io, mem};

use futures::{StreamExt, poll, stream};
use hyper_session::{Body, BoxConnection, Connector, Session, SessionBuilder, Uri};
use support::accounts::{Accounts, assert_accounts};
use support::books::reach;
use support::connectors::{read_head, write};
use support::gate::Gate;
use support::tally::PATIENCE;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex};
use tokio::task::yield_now;
use tokio::time::timeout;

/// Stops whoever reads, once it is set, until it is told to go on.
type Stop = Arc<Mutex<Option<(Sender<()>, Receiver<()>)>>>;

struct Stopping {
    io: DuplexStream,
    stop: Stop,
}

impl AsyncRead for Stopping {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let stop = self.stop.lock().unwrap().take();
        if let Some((stopped, go_on)) = stop {
            stopped.send(()).unwrap();
            go_on.recv().unwrap();
        }
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for Stopping {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// Answers each request when it has its head and, if it has one, the end of its body; to the first
/// `DELETE` of a connection that has answered before, it closes.
async fn serve(mut end: DuplexStream) {
    let mut refuses = false;
    loop {
        let head = read_head(&mut end).await;
        if head.is_empty() {
            return;
        }
        if head.starts_with("POST") {
            while !read_head(&mut end).await.ends_with("0\r\n\r\n") {}
        } else if head.starts_with("DELETE") && mem::take(&mut refuses) {
            return;
        }
        refuses = true;
        write(&mut end, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    }
}

fn builder(stop: &Stop) -> SessionBuilder<impl Connector> {
    let stop = Arc::clone(stop);
    let connector = tower::service_fn(move |_: Uri| {
        let (io, end) = duplex(64 * 1024);
        tokio::spawn(serve(end));
        let stop = Arc::clone(&stop);
        async { Ok::<_, io::Error>(BoxConnection::from_io(Stopping { io, stop })) }
    });
    Session::builder().connector(connector)
}

/// A body of one part, and of one more when the gate opens, that notes which threads poll it.
fn noting(threads: &Arc<Mutex<HashSet<ThreadId>>>, gate: &Gate) -> Body {
    let (threads, gate) = (Arc::clone(threads), gate.clone());
    let second = async move {
        gate.pass().await;
        Ok::<_, io::Error>("part")
    };
    let mut parts = stream::iter([Ok("part")]).chain(stream::once(Box::pin(second)));
    Body::wrap_stream(stream::poll_fn(move |cx| {
        threads.lock().unwrap().insert(thread::current().id());
        parts.poll_next_unpin(cx)
    }))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_connection_that_the_timer_is_about_to_poll_is_not_given_to_a_request() {
    let stop = Stop::default();
    let session = builder(&stop).open().await.unwrap();
    let get = || session.get("http://host/").send();
    let (first, second) = futures::join!(get(), get());
    assert!(first.is_ok() && second.is_ok());
    assert_accounts(&session.stats(), Accounts::idle(2));

    // The next to read is the timer, on the first of them, when they have idled for a second.
    let ((stopped, is_stopped), (go_on, goes_on)) = (channel(), channel());
    *stop.lock().unwrap() = Some((stopped, goes_on));
    is_stopped.recv_timeout(PATIENCE).unwrap();
    let (threads, gate) = (Arc::default(), Gate::new());
    let post = session.post("http://host/").body(noting(&threads, &gate));
    let mut post = Box::pin(post.send());
    while threads.lock().unwrap().is_empty() {
        assert!(poll!(&mut post).is_pending());
    }
    go_on.send(()).unwrap();
    // It goes on to the second of them, if that is what it does.
    thread::sleep(Duration::from_millis(100));
    gate.open();
    assert_eq!(post.await.unwrap().text().await.unwrap(), "ok");
    let own = HashSet::from([thread::current().id()]);
    assert_eq!(*threads.lock().unwrap(), own);
    reach(&session, Accounts::idle(2)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_connection_that_the_timer_polls_serves_the_one_who_came_meanwhile() {
    let stop = Stop::default();
    let session = builder(&stop).pool_max_connections(1).open().await.unwrap();
    let get = async || session.get("http://host/").send().await?.text().await;
    assert_eq!(get().await.unwrap(), "ok");

    let ((stopped, is_stopped), (go_on, goes_on)) = (channel(), channel());
    *stop.lock().unwrap() = Some((stopped, goes_on));
    is_stopped.recv_timeout(PATIENCE).unwrap();
    let mut second = Box::pin(get());
    assert!(poll!(&mut second).is_pending());
    assert_accounts(&session.stats(), Accounts::idle(1).and_queued(1));
    go_on.send(()).unwrap();
    assert_eq!(second.await.unwrap(), "ok");
    reach(&session, Accounts::idle(1)).await;
    assert_eq!((session.stats().opened, session.stats().reused), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_whom_that_connection_does_not_serve_makes_another() {
    let stop = Stop::default();
    let session = builder(&stop).open().await.unwrap();
    let get = || session.get("http://host/").send();
    let (first, second) = futures::join!(get(), get());
    assert!(first.is_ok() && second.is_ok());

    let ((stopped, is_stopped), (go_on, goes_on)) = (channel(), channel());
    *stop.lock().unwrap() = Some((stopped, goes_on));
    is_stopped.recv_timeout(PATIENCE).unwrap();
    // The other one is closed when it has the request, which is sent again on a new one.
    let mut delete = Box::pin(session.delete("http://host/").send());
    while session.stats().waiting == 0 {
        assert!(poll!(&mut delete).is_pending());
        yield_now().await;
    }
    assert_accounts(&session.stats(), Accounts::idle(1).and_queued(1));
    go_on.send(()).unwrap();
    let answer = timeout(PATIENCE, delete).await.expect("no hang");
    assert_eq!(answer.unwrap().text().await.unwrap(), "ok");
    reach(&session, Accounts::idle(2)).await;
    assert_eq!(session.stats().opened, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_whose_io_panics_then_is_closed_and_others_serve() {
    let stop = Stop::default();
    let session = builder(&stop).open().await.unwrap();
    let get = || session.get("http://host/").send();
    assert_eq!(get().await.unwrap().text().await.unwrap(), "ok");

    let ((stopped, is_stopped), (go_on, goes_on)) = (channel(), channel());
    *stop.lock().unwrap() = Some((stopped, goes_on));
    is_stopped.recv_timeout(PATIENCE).unwrap();
    // Nobody says so: it panics.
    drop(go_on);
    reach(&session, Accounts::NONE).await;
    let answer = timeout(PATIENCE, get()).await.expect("no hang");
    assert_eq!(answer.unwrap().text().await.unwrap(), "ok");
    assert_accounts(&session.stats(), Accounts::idle(1));
    assert_eq!(session.stats().opened, 2);
}
