//! The connector of a schedule: in memory, and counted by the model.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use futures::future::{BoxFuture, pending};
use hyper_session::{BoxConnection, Uri};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex};
use tokio::time::sleep;
use tower_service::Service;

use super::dice::{Dice, ms};
use super::frames::{Frames, Wire};
use super::schedule::Settings;
use super::server::serve;
use super::world::World;

#[derive(Clone)]
pub struct Network {
    pub world: World,
    pub dice: Arc<Mutex<Dice>>,
    pub settings: Settings,
}

impl Service<Uri> for Network {
    type Response = BoxConnection;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<BoxConnection>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let mut dice = self.dice.lock().unwrap_or_else(PoisonError::into_inner);
        let is_troubled = dice.chance(self.settings.trouble / 2);
        let (fate, delay) = (dice.number(0..=2), dice.pick(&[0, 0, 1, 8]));
        let dice = dice.fork();
        let (world, settings) = (self.world.clone(), self.settings);
        let slot = Slot::new(&world);
        Box::pin(async move {
            let mut slot = slot;
            match fate {
                0 if is_troubled => pending().await,
                1 if is_troubled => return Err(io::ErrorKind::ConnectionRefused.into()),
                _ if delay > 0 => sleep(ms(delay)).await,
                _ => {}
            }
            let (client, server) = duplex(65_536);
            slot.opens(uri.host().expect("an absolute URI"));
            let own = world.count_task();
            tokio::spawn(async move {
                serve(server, &world, dice, settings).await;
                drop(own);
            });
            Ok(BoxConnection::from_io(Socket {
                io: client,
                sent: Frames::of_client(),
                received: Frames::of_server(),
                most: settings.streams as usize,
                slot,
            }))
        })
    }
}

/// What the model counts: from when the connector is called until the last of it is dropped.
struct Slot {
    world: World,
    number: usize,
    is_live: bool,
}

impl Slot {
    fn new(world: &World) -> Self {
        let (number, sockets, limit) = {
            let mut books = world.lock();
            books.dials += 1;
            books.sockets += 1;
            (books.dials, books.sockets, books.limit)
        };
        world.note(&format!("dials {number}"));
        world.expect(sockets <= limit, || format!("{sockets} sockets"));
        Self {
            world: world.clone(),
            number,
            is_live: false,
        }
    }

    fn opens(&mut self, host: &str) {
        self.is_live = true;
        let mut books = self.world.lock();
        books.live += 1;
        books.wires.insert(self.number, Wire::to(host));
        let what = format!("opens {}", self.number);
        books.note(&what);
    }

    /// Notes what bytes of one side do to its streams, and how many are open then.
    fn passes(&self, frames: &mut Frames, bytes: &[u8], side: usize) -> usize {
        let mut books = self.world.lock();
        let wire = books.wires.get_mut(&self.number);
        let wire = wire.expect("it is open");
        frames.pass(bytes, side, wire);
        wire.open()
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.world.audit_close();
        let mut books = self.world.lock();
        books.sockets -= 1;
        books.wires.remove(&self.number);
        books.live -= usize::from(self.is_live);
        let what = format!("closes {}", self.number);
        books.note(&what);
    }
}

/// The client's end of a connection.
struct Socket {
    // Closed before it is counted as closed.
    io: DuplexStream,
    sent: Frames,
    received: Frames,
    most: usize,
    slot: Slot,
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buf.filled().len();
        ready!(Pin::new(&mut this.io).poll_read(cx, buf))?;
        let bytes = &buf.filled()[before..];
        this.slot.passes(&mut this.received, bytes, 1);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let written = ready!(Pin::new(&mut this.io).poll_write(cx, bytes))?;
        let open = this.slot.passes(&mut this.sent, &bytes[..written], 0);
        let number = this.slot.number;
        this.slot
            .world
            .expect(open <= this.most, || format!("{open} streams on {number}"));
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
