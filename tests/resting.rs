//! A connection that has idled for a second keeps its socket and little else, and serves on as before.
#![allow(clippy::unwrap_used, reason = "a test that fails here has its line")]

mod support;

use std::future::pending;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use futures::future::try_join_all;
use hyper_session::{BoxConnection, Result, Session, Uri};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, DuplexStream, ReadBuf, duplex};
use tokio::runtime;
use tokio::sync::{Barrier, oneshot};
use tokio::time;

use support::accounts::Accounts;
use support::books::{assert_books, reach};
use support::connectors::{read_head, write};
use support::server::{Server, text};
use support::surprise::{STRAYS, Surprise};

/// Lets the timer look at what has idled for a second, without waiting for that.
async fn rest() {
    time::pause();
    time::sleep(Duration::from_millis(2100)).await;
    time::resume();
}

/// Requests that need a connection each.
async fn all_at_once(session: &Session, url: &str, count: usize) {
    let answers = (0..count).map(async |_| session.get(url).send().await?.text().await);
    assert_eq!(
        try_join_all(answers).await.unwrap(),
        vec!["ok".to_owned(); count]
    );
}

#[test]
fn it_keeps_no_buffers_until_its_next_request() {
    const COUNT: usize = 50;
    const EACH: i64 = 50;
    let together = Barrier::new(COUNT);
    let server = Server::start(async move |_| {
        together.wait().await;
        text("ok")
    });
    let runtime = runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().unwrap();
    let session = runtime.block_on(Session::builder().open()).unwrap();
    let bytes = |step: &mut dyn FnMut()| allocation_counter::measure(step).bytes_current;
    let mut ask = || runtime.block_on(all_at_once(&session, &server.url("/"), COUNT));

    let mut held = bytes(&mut ask) / EACH;
    assert!(held > 24_000, "hyper keeps two buffers: {held} bytes each");
    for round in 1..=2 {
        held += bytes(&mut || runtime.block_on(rest())) / EACH;
        assert!(held < 4_000, "{held} bytes each");
        assert_books(&session, Accounts::idle(COUNT), 50, 50 * (round - 1));
        held += bytes(&mut ask) / EACH;
        assert_books(&session, Accounts::idle(COUNT), 50, 50 * round);
    }
    assert_eq!(server.live(), COUNT);
}

#[tokio::test]
async fn it_serves_again_and_says_goodbye() -> Result<()> {
    let plain = Server::text("ok");
    let tls = Server::start_tls(async |_| text("ok"));
    for server in [&plain, &tls] {
        for (round, awaited) in [true, false].into_iter().enumerate() {
            let session = Session::builder().tls_root_pem(tls.ca_pem()).open().await?;
            for reused in 0..3 {
                assert_eq!(
                    session.post(server.url("/")).send().await?.text().await?,
                    "ok"
                );
                rest().await;
                assert_books(&session, Accounts::idle(1), 1, reused);
            }
            if awaited {
                assert_eq!(session.close().await.stats.open, 0);
            } else {
                drop(session);
            }
            server.wait_live(0).await;
            assert_eq!(
                (server.clean_closes(), server.abrupt_closes()),
                (round + 1, 0)
            );
        }
    }
    Ok(())
}

#[tokio::test]
async fn neither_a_get_nor_a_post_goes_out_on_one_whose_peer_has_left() -> Result<()> {
    for stray in STRAYS {
        for idempotent in [true, false] {
            let surprise = Surprise::new(stray);
            let (peer, session) = (&surprise.peer, Session::builder().open().await?);
            let url = peer.url("/");
            assert_eq!(session.get(&*url).send().await?.text().await?, "ok");
            rest().await;
            assert_books(&session, Accounts::idle(1), 1, 0);
            surprise.spring();
            let request = if idempotent {
                session.get(&*url)
            } else {
                session.post(&*url)
            };
            assert_eq!(request.send().await?.text().await?, "ok", "{stray:?}");
            assert_books(&session, Accounts::idle(1), 2, 0);
            assert_eq!((peer.accepted(), peer.requests()), (2, 2));
            session.close().await;
            peer.wait_live(0).await;
        }
    }
    Ok(())
}

#[tokio::test]
async fn its_end_is_noticed_while_nobody_asks_for_it() -> Result<()> {
    for stray in STRAYS {
        let surprise = Surprise::new(stray);
        let session = Session::builder().open().await?;
        let answer = session.get(surprise.peer.url("/")).send().await?;
        assert_eq!(answer.text().await?, "ok");
        rest().await;
        surprise.spring();
        reach(&session, Accounts::NONE).await;
        let stats = session.stats();
        assert_eq!((stats.closed_by.peer, stats.opened), (1, 1), "{stray:?}");
        surprise.peer.wait_live(0).await;
    }
    Ok(())
}

/// Takes all that is written and hands it on when it is flushed, as some implementations of TLS do.
struct Buffering {
    io: DuplexStream,
    kept: BytesMut,
}

impl AsyncRead for Buffering {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for Buffering {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.kept.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { io, kept } = &mut *self;
        while !kept.is_empty() {
            let written = ready!(Pin::new(&mut *io).poll_write(cx, kept))?;
            kept.advance(written);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.as_mut().poll_flush(cx))?;
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[tokio::test(start_paused = true)]
async fn it_does_not_begin_before_the_transport_has_sent_all_of_a_request() -> Result<()> {
    const LENGTH: usize = 2500;
    let (result, received) = oneshot::channel();
    let result = Arc::new(Mutex::new(Some(result)));
    let connector = tower::service_fn(move |_: Uri| {
        let (io, mut end) = duplex(1024);
        let result = result.lock().unwrap().take().expect("asked once");
        tokio::spawn(async move {
            read_head(&mut end).await;
            write(&mut end, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
            // Others would rest by now.
            time::sleep(Duration::from_millis(2500)).await;
            let mut body = vec![0; LENGTH];
            end.read_exact(&mut body).await.unwrap();
            result.send(body).unwrap();
            pending::<()>().await;
        });
        let kept = BytesMut::new();
        async { Ok::<_, io::Error>(BoxConnection::from_io(Buffering { io, kept })) }
    });
    let session = Session::builder().connector(connector).open().await?;
    let answer = session.post("http://host/").body(vec![b'x'; LENGTH]);
    assert_eq!(answer.send().await?.text().await?, "ok");
    assert_books(&session, Accounts::idle(1), 1, 0);
    let received = time::timeout(Duration::from_secs(10), received).await;
    let received = received.expect("it is not stuck").unwrap();
    assert!(received.iter().all(|byte| *byte == b'x'));
    Ok(())
}
