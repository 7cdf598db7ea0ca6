//! Many exchanges on one thread take their steps in turn: all of them read before the first writes again.
#![allow(clippy::unwrap_used, reason = "a test that fails here has its line")]

mod support;

use std::io;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use futures::future::try_join_all;
use futures::poll;
use hyper_session::{BoxConnection, Result, Session, Uri};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex};
use tokio::sync::Barrier;

use support::accounts::Accounts;
use support::books::assert_books;
use support::connectors::{read_head, write};
use support::gate::Gate;
use support::server::{Server, text};
use support::surprise::Surprise;

/// What the connections of a session did, in order.
type Steps = Arc<Mutex<String>>;

struct Noting {
    io: DuplexStream,
    steps: Steps,
}

impl AsyncRead for Noting {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.io).poll_read(cx, buf);
        if read.is_ready() {
            self.steps.lock().unwrap().push('r');
        }
        read
    }
}

impl AsyncWrite for Noting {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.steps.lock().unwrap().push('w');
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// The steps of so many tasks with `rounds` requests each, whose server answers a round when it has it all.
async fn steps(tasks: usize, rounds: usize) -> Result<String> {
    let (steps, together) = (Steps::default(), Arc::new(Barrier::new(tasks)));
    let noted = Arc::clone(&steps);
    let connector = tower::service_fn(move |_: Uri| {
        let (io, mut end) = duplex(4096);
        let together = Arc::clone(&together);
        tokio::spawn(async move {
            while !read_head(&mut end).await.is_empty() {
                together.wait().await;
                write(&mut end, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
            }
        });
        let steps = Arc::clone(&noted);
        async { Ok::<_, io::Error>(BoxConnection::from_io(Noting { io, steps })) }
    });
    let session = Session::builder().connector(connector).open().await?;
    let callers = (0..tasks).map(|_| {
        let session = session.clone();
        tokio::spawn(async move {
            for _ in 0..rounds {
                let answer = session.get("http://host/").send().await?;
                assert_eq!(answer.text().await?, "ok");
            }
            Ok(())
        })
    });
    for called in try_join_all(callers).await.unwrap() {
        called?;
    }
    let (opened, reused) = (tasks as u64, (tasks * (rounds - 1)) as u64);
    assert_books(&session, Accounts::idle(tasks), opened, reused);
    let noted = steps.lock().unwrap().clone();
    Ok(noted)
}

#[tokio::test]
async fn many_read_before_the_first_of_them_writes_again() -> Result<()> {
    const MANY: usize = 32;
    let expected = ("w".repeat(MANY) + &"r".repeat(MANY)).repeat(3);
    assert_eq!(steps(MANY, 3).await?, expected);
    Ok(())
}

#[tokio::test]
async fn a_few_do_not_wait_for_each_other() -> Result<()> {
    assert_eq!(steps(3, 2).await?, "wwwrwrwrwrrr");
    Ok(())
}

#[tokio::test]
async fn a_request_that_may_not_be_sent_twice_sees_a_goodbye_that_came_while_others_had_their_turn()
-> Result<()> {
    const MANY: usize = 20;
    let gate = Gate::new();
    let held = gate.clone();
    let server = Server::start(async move |_| {
        held.pass().await;
        text("ok")
    });
    let surprise = Surprise::new(None);
    let session = Session::builder().open().await?;
    let url = surprise.peer.url("/");
    assert_eq!(session.get(&*url).send().await?.text().await?, "ok");
    let others = (0..MANY).map(|_| {
        let answer = session.get(server.url("/")).send();
        tokio::spawn(async { answer.await?.text().await })
    });
    let others = others.collect::<Vec<_>>();
    gate.wait_reached(MANY).await;

    let mut post = pin!(session.post(&*url).body("once").send());
    assert!(poll!(post.as_mut()).is_pending());
    let sent = session.stats().sent;
    surprise.spring();
    assert_eq!(post.await?.text().await?, "ok");
    assert_eq!(surprise.peer.accepted(), 2);
    assert!(session.stats().sent < sent + 200, "it was sent once");
    gate.open_for_good();
    for other in others {
        assert_eq!(other.await.unwrap()?, "ok");
    }
    Ok(())
}
