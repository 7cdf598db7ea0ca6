//! A session at rest: frozen and thawed it is as before, and what idles costs next to nothing.

mod support;

use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::{ready, try_join_all};
use hyper_session::{
    BoxConnection, Connector, DefaultConnector, Result, Session, SessionContainer, SessionHolder,
    Uri, WhenClosed,
};
use support::accounts::{Accounts, AliveTasks, assert_accounts};
use support::connectors::{Counting, read_head, write};
use support::outcome::assert_waits;
use support::server::{Server, text};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex};
use tokio::runtime;
use tokio::task::yield_now;
use tokio::time::sleep;

struct Api<C> {
    session: SessionHolder<C>,
}

impl<C: Connector> SessionContainer<C> for Api<C> {
    fn session_holder(&self) -> &SessionHolder<C> {
        &self.session
    }
}

#[tokio::test]
async fn after_close_idle_there_is_no_socket_and_no_task_and_the_session_still_works() -> Result<()>
{
    let tasks = AliveTasks::now();
    let server = Server::start(async |_| text("ok"));
    let network = Counting::new(DefaultConnector::new()?);
    let builder = SessionHolder::builder().connector(network.clone());
    let api = Api {
        session: builder.when_closed(WhenClosed::Open).build()?,
    };
    // Nothing to close, and nothing opened by it.
    api.close_idle();
    assert!(!api.is_open());

    for frozen in 1..=3 {
        let asked = try_join_all((0..20).map(|_| api.get(server.url("/")).send())).await?;
        try_join_all(asked.into_iter().map(hyper_session::Response::bytes)).await?;
        let idle = network.numbers().live;
        assert_accounts(&api.stats(), Accounts::idle(idle));

        match frozen {
            1 => api.close_idle(),
            2 => api.session_holder().close_idle(),
            _ => api.session()?.close_idle(),
        }
        let numbers = network.numbers();
        assert_eq!((numbers.live, numbers.connecting), (0, 0), "{numbers:?}");
        assert_accounts(&api.stats(), Accounts::NONE);
        tasks.assert_back().await;
        server.wait_live(0).await;
        assert!(api.is_open());
    }
    assert_eq!(server.requests(), 60);
    assert_eq!(server.clean_closes(), server.accepted());
    assert_accounts(&api.close_session().await.stats, Accounts::NONE);
    Ok(())
}

#[tokio::test]
async fn close_idle_leaves_what_is_under_way_and_the_lenders_session_open() -> Result<()> {
    let server = support::api::Api::start();
    let session = Session::builder().open().await?;
    let borrower: SessionHolder = SessionHolder::from_session(session.clone());
    let held = session.get(server.url("/held/a")).send();
    let mut held = pin!(held);
    support::outcome::drive_until(held.as_mut(), server.gate.wait_reached(1)).await;
    let other = session.get(server.url("/say/b")).send().await?;
    assert_eq!(other.text().await?, "b");
    assert_accounts(&session.stats(), Accounts::busy(1).and_idle(1));

    borrower.close_idle();
    assert_accounts(&session.stats(), Accounts::busy(1));
    assert_waits(held.as_mut()).await;
    server.gate.open();
    assert_eq!(held.await?.text().await?, "a");
    assert_accounts(&session.stats(), Accounts::idle(1));

    // Detached, it has nothing to close.
    borrower.close_session().await;
    borrower.close_idle();
    assert_accounts(&session.stats(), Accounts::idle(1));
    Ok(())
}

/// A client's end of a pipe that counts how often anybody asks anything of it.
struct Polled {
    io: DuplexStream,
    polls: Arc<AtomicUsize>,
}

impl Polled {
    fn count(&mut self) -> Pin<&mut DuplexStream> {
        self.polls.fetch_add(1, Ordering::Relaxed);
        Pin::new(&mut self.io)
    }
}

impl AsyncRead for Polled {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.count().poll_read(cx, buf)
    }
}

impl AsyncWrite for Polled {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.count().poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.count().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.count().poll_shutdown(cx)
    }
}

/// The servers' ends of all connections, in the hands of the test: no task is theirs.
type Ends = Arc<Mutex<Vec<DuplexStream>>>;

async fn with_idle(connections: usize, ends: &Ends, polls: &Arc<AtomicUsize>) -> Session {
    let (kept, counted) = (Arc::clone(ends), Arc::clone(polls));
    let connector = tower::service_fn(move |_: Uri| {
        let (io, end) = duplex(4096);
        kept.lock().expect("no panic").push(end);
        let polls = Arc::clone(&counted);
        ready(Ok::<_, io::Error>(BoxConnection::from_io(Polled {
            io,
            polls,
        })))
    });
    let builder = Session::builder().connector(connector);
    let builder = builder.pool_max_connections(connections);
    let session = builder.pool_idle_timeout(None).open().await;
    let session = session.expect("valid settings");
    let sending = (0..connections).map(|_| session.get("http://nowhere/").send());
    let answering = async {
        // Not before, as it would be used again.
        while ends.lock().expect("no panic").len() < connections {
            yield_now().await;
        }
        let mut open = std::mem::take(&mut *ends.lock().expect("no panic"));
        for end in &mut open {
            read_head(end).await;
            write(end, "HTTP/1.1 204 No Content\r\n\r\n").await;
        }
        ends.lock().expect("no panic").extend(open);
    };
    let (sent, ()) = futures::join!(try_join_all(sending), answering);
    drop(sent.expect("all are answered"));
    assert_accounts(&session.stats(), Accounts::idle(connections));
    session
}

/// How often the runtime went to sleep meanwhile.
async fn parks_of(parked: &AtomicUsize, meanwhile: impl Future<Output = ()>) -> usize {
    let before = parked.load(Ordering::Relaxed);
    meanwhile.await;
    parked.load(Ordering::Relaxed) - before
}

#[test]
fn ten_thousand_idle_connections_wake_nobody_but_the_timer() {
    const CONNECTIONS: usize = 10_000;
    let parked = Arc::new(AtomicUsize::new(0));
    let parks = Arc::clone(&parked);
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .on_thread_park(move || _ = parks.fetch_add(1, Ordering::Relaxed))
        .build()
        .expect("a runtime can be built");
    runtime.block_on(async {
        let (ends, polls) = (Ends::default(), Arc::default());
        let tasks = AliveTasks::now();
        let session = with_idle(CONNECTIONS, &ends, &polls).await;
        assert_eq!(AliveTasks::now().since(tasks), 1, "the timer's");
        // Each is looked at once, so that it lets go of the task that used it last.
        sleep(Duration::from_secs(2)).await;
        let polled = polls.load(Ordering::Relaxed);
        let woken = parks_of(&parked, sleep(Duration::from_secs(60))).await;
        assert_eq!(
            polls.load(Ordering::Relaxed),
            polled,
            "no connection was asked anything"
        );

        // They were not forgotten: the one whose peer closes is noticed, and no other.
        drop(ends.lock().expect("no panic").pop());
        sleep(Duration::from_secs(2)).await;
        assert_accounts(&session.stats(), Accounts::idle(CONNECTIONS - 1));
        assert!(polls.load(Ordering::Relaxed) - polled < 10);

        session.close_idle();
        assert_accounts(&session.stats(), Accounts::NONE);
        tasks.assert_back().await;
        let frozen = parks_of(&parked, sleep(Duration::from_secs(60))).await;
        // What a timer costs that looks around each second and does nothing else.
        let ticking = tokio::spawn(async {
            loop {
                sleep(Duration::from_secs(1)).await;
            }
        });
        let ticks = parks_of(&parked, sleep(Duration::from_secs(60))).await;
        ticking.abort();
        assert!(
            (60..=2 * ticks).contains(&woken),
            "{woken} wake-ups, {ticks} of a timer"
        );
        assert!(frozen < 20, "{frozen} wake-ups");
    });
}
