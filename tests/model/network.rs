//! The connector of a schedule: in memory, as rough as its dice say, and counted by the model.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::{BoxFuture, pending};
use hyper_session::{BoxConnection, Uri};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex};
use tokio::task::yield_now;
use tokio::time::sleep;
use tower_service::Service;

use super::dice::{Dice, ms};
use super::event::{Event, SocketId};
use super::plan::Fate;
use super::server::Server;
use super::settings::{Limits, Settings};
use super::world::World;

/// The hosts that there are.
pub const HOSTS: [&str; 3] = ["a", "b", "c"];

/// A cheap clone of one shared thing.
#[derive(Clone, Debug)]
pub struct Network {
    world: World,
    dice: Arc<Mutex<Dice>>,
    number: usize,
    settings: Settings,
}

impl Network {
    /// `limits`: those of the one session that it will serve.
    pub fn new(world: &World, dice: Dice, settings: Settings, limits: Option<Limits>) -> Self {
        Self {
            world: world.clone(),
            dice: Arc::new(Mutex::new(dice)),
            number: world.add_network(limits),
            settings,
        }
    }
}

impl Service<Uri> for Network {
    type Response = BoxConnection;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<BoxConnection>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let host = uri.host();
        let origin = HOSTS.iter().position(|known| Some(*known) == host);
        let origin = origin.expect("only these hosts are asked for");
        let mut dice = self.dice.lock().unwrap_or_else(PoisonError::into_inner);
        let fate = match self.world.polled() {
            Some(ask) if ask.together.is_some() => Fate::AtOnce,
            _ => Fate::draw(&mut dice, self.settings.trouble),
        };
        let capacity = dice.pick(&[128, 1000, 8192, 65_536]);
        let dice = dice.fork();
        let id = self.world.dials(self.number, origin, fate);
        let slot = Slot {
            world: self.world.clone(),
            id,
        };
        let (world, settings) = (self.world.clone(), self.settings);
        Box::pin(async move {
            let slot = slot;
            await_fate(fate).await?;
            let (client, server) = duplex(capacity);
            world.opens(id);
            if fate == Fate::Slammed {
                world.note(Event::PeerCloses(id));
            } else {
                let server = Server::new(server, &world, dice, settings, id, origin, capacity);
                let own = world.count_task();
                tokio::spawn(async move {
                    server.serve().await;
                    drop(own);
                });
            }
            Ok(BoxConnection::from_io(Socket { io: client, slot }))
        })
    }
}

async fn await_fate(fate: Fate) -> io::Result<()> {
    match fate {
        Fate::AtOnce | Fate::Slammed => {}
        Fate::AfterYields(yields) => {
            for _ in 0..yields {
                yield_now().await;
            }
        }
        Fate::After(millis) => sleep(ms(millis)).await,
        Fate::FailsAfter(millis) => {
            if Duration::ZERO < ms(millis) {
                sleep(ms(millis)).await;
            }
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        Fate::Never => pending().await,
    }
    Ok(())
}

/// What the model counts: from when the connector is called until the last of it is dropped.
#[derive(Debug)]
struct Slot {
    world: World,
    id: SocketId,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.world.closed(self.id);
    }
}

/// The client's end of a connection.
struct Socket {
    // Closed before it is counted as closed.
    io: DuplexStream,
    slot: Slot,
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Slot { world, id } = &self.slot;
        if world.may_write(*id)
            && let Some(request) = request_in(buf)
        {
            world.writes(request, *id);
        }
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// The request whose head begins in these bytes, if one does: behind what is left of the one before,
/// if that was answered early. No body of ours has a slash.
fn request_in(bytes: &[u8]) -> Option<usize> {
    let (before, path) = bytes.split_at(bytes.iter().position(|byte| *byte == b'/')?);
    let methods: [&[u8]; 3] = [b"GET ", b"POST ", b"HEAD "];
    methods.iter().find(|method| before.ends_with(method))?;
    let path = &path[1..];
    let digits = path.iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(&path[..digits]).ok()?.parse().ok()
}
