//! A server, for one connection: reads requests, answers as its dice say, and tells the model.

use std::time::Duration;

use tokio::io::DuplexStream;
use tokio::select;
use tokio::task::yield_now;
use tokio::time::sleep;

use super::dice::{Dice, ms};
use super::event::{Event, RequestId, SocketId};
use super::network::HOSTS;
use super::plan::{Framing, Idling, Manner, Reply};
use super::settings::Settings;
use super::wire::{Head, Wire, letters};
use super::world::World;

/// What nobody asked for.
const STRAY: &str =
    "HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

pub struct Server {
    wire: Wire,
    world: World,
    dice: Dice,
    settings: Settings,
    socket: SocketId,
    origin: usize,
    capacity: usize,
}

/// The connection is over.
struct Over;

impl Server {
    pub fn new(
        io: DuplexStream,
        world: &World,
        dice: Dice,
        settings: Settings,
        socket: SocketId,
        origin: usize,
        capacity: usize,
    ) -> Self {
        Self {
            wire: Wire::new(io),
            world: world.clone(),
            dice,
            settings,
            socket,
            origin,
            capacity,
        }
    }

    pub async fn serve(mut self) {
        while let Ok(()) = self.exchange().await {}
        self.world.note(Event::PeerCloses(self.socket));
    }

    async fn exchange(&mut self) -> Result<(), Over> {
        self.idle().await?;
        let head = self.wire.head().await.ok_or(Over)?;
        self.check(&head);
        self.world.seen(head.request, self.socket, head.session);
        let reply = self.draw(&head);
        self.world.replies(head.request, reply);
        if !reply.early {
            self.take_body(&head).await?;
        }
        if let Some(all) = self.world.ask(head.request).and_then(|ask| ask.together) {
            self.gather(all).await?;
        }
        self.pause(reply.delay).await;
        self.answer(&head, &reply).await?;
        if reply.last || reply.extra {
            return Err(Over);
        }
        if reply.early {
            self.take_body(&head).await?;
        }
        Ok(())
    }

    /// Waits for a request, as long as it likes.
    async fn idle(&mut self) -> Result<(), Over> {
        if self.wire.has_more() {
            return Ok(());
        }
        let idling = Idling::draw(&mut self.dice, self.settings.trouble);
        let limit = match idling {
            Idling::Waits => None,
            Idling::ClosesAfter(millis) | Idling::TimesOutAfter(millis) => Some(ms(millis)),
        };
        let out_of_patience = async {
            match limit {
                Some(limit) => sleep(limit).await,
                None => std::future::pending().await,
            }
        };
        select! {
            // What has come by the time is a request that must be answered.
            biased;
            came = self.wire.fill() => return came.then_some(()).ok_or(Over),
            () = out_of_patience => {}
        }
        self.world.note(Event::PeerIdles(self.socket, idling));
        if matches!(idling, Idling::TimesOutAfter(_)) {
            self.write(STRAY.as_bytes()).await?;
        }
        Err(Over)
    }

    fn check(&self, head: &Head) {
        let asked = self.world.ask(head.request);
        let right = asked.is_some_and(|ask| {
            ask.method == head.method && HOSTS[ask.origin] == head.host && ask.origin == self.origin
        });
        self.world
            .expect(right, || format!("at {}: {head:?}", self.origin));
    }

    fn draw(&mut self, head: &Head) -> Reply {
        let asked = self.world.ask(head.request);
        if asked.is_some_and(|ask| ask.together.is_some()) {
            return Reply::held();
        }
        let mut reply = Reply::draw(&mut self.dice, self.settings.trouble, head.has_body());
        reply.extra &= self.capacity >= 1000;
        reply
    }

    async fn gather(&mut self, all: usize) -> Result<(), Over> {
        self.world.gather();
        for _ in 0..10 {
            if self.world.gathered() >= all {
                return Ok(());
            }
            sleep(ms(1)).await;
        }
        Err(Over)
    }

    async fn take_body(&mut self, head: &Head) -> Result<(), Over> {
        // Not so slowly that what the client has long let go of takes up the time for the head.
        let pause = self.dice.pick(&[0, 0, 0, 1]) * u64::from(self.capacity >= 8192);
        let taken = self.wire.body(head, ms(pause)).await.ok_or(Over)?;
        let asked = self.world.ask(head.request).map(|ask| ask.upload);
        let right = asked.is_some_and(|upload| upload.length() == taken && !upload.fails());
        self.world
            .expect(right, || format!("{taken} bytes of {head:?}"));
        Ok(())
    }

    async fn answer(&mut self, head: &Head, reply: &Reply) -> Result<(), Over> {
        match reply.manner {
            Manner::Silent => {
                self.wire.wait_for_end().await;
                return Err(Over);
            }
            Manner::BreaksOff => return Err(Over),
            Manner::Garbage => {
                self.write(b"\x01\x02 what?\r\n\r\n").await?;
                return Err(Over);
            }
            Manner::Well | Manner::Truncated | Manner::Stalls => {}
        }
        if reply.hints {
            self.write(b"HTTP/1.1 103 Early Hints\r\nlink: </>\r\n\r\n")
                .await?;
            self.pause(reply.pause).await;
        }
        let mut packet = head_of(head.request, reply);
        if head.method != "HEAD" && reply.framing != Framing::Nothing {
            self.send_body(head.request, reply, &mut packet).await?;
        }
        if reply.extra {
            packet.extend_from_slice(STRAY.as_bytes());
        }
        self.write(&packet).await
    }

    /// Sends the body but for its last packet, which is left to be sent.
    async fn send_body(
        &mut self,
        id: RequestId,
        reply: &Reply,
        packet: &mut Vec<u8>,
    ) -> Result<(), Over> {
        let mut left = reply.sent();
        for part in (1..=reply.parts).rev() {
            let length = left / part;
            left -= length;
            if reply.framing == Framing::Chunked && length > 0 {
                packet.extend_from_slice(format!("{length:x}\r\n").as_bytes());
            }
            packet.extend_from_slice(&letters(id, length));
            if reply.framing == Framing::Chunked && length > 0 {
                packet.extend_from_slice(b"\r\n");
            }
            if part > 1 {
                self.write(packet).await?;
                packet.clear();
                self.pause(reply.pause).await;
            }
        }
        match reply.manner {
            Manner::Truncated => {
                self.write(packet).await?;
                return Err(Over);
            }
            Manner::Stalls => {
                self.write(packet).await?;
                self.wire.wait_for_end().await;
                return Err(Over);
            }
            _ => {}
        }
        if reply.framing == Framing::Chunked {
            packet.extend_from_slice(b"0\r\n\r\n");
        }
        Ok(())
    }

    async fn pause(&self, millis: u64) {
        if millis == 0 {
            yield_now().await;
        } else {
            sleep(Duration::from_millis(millis)).await;
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), Over> {
        self.wire.write(bytes).await.ok_or(Over)
    }
}

fn head_of(id: RequestId, reply: &Reply) -> Vec<u8> {
    let (status, length) = match reply.framing {
        Framing::Nothing => ("204 No Content", 0),
        _ => ("200 OK", reply.length),
    };
    let framing = match reply.framing {
        Framing::Length => format!("content-length: {length}\r\n"),
        Framing::Chunked => "transfer-encoding: chunked\r\n".to_owned(),
        Framing::UntilClose | Framing::Nothing => String::new(),
    };
    let close = if reply.last {
        "connection: close\r\n"
    } else {
        ""
    };
    let hint = reply
        .keep_alive
        .map(|(timeout, max)| format!("keep-alive: timeout={timeout}, max={max}\r\n"));
    let hint = hint.unwrap_or_default();
    format!("HTTP/1.1 {status}\r\nx-id: {id}\r\nx-length: {length}\r\n{framing}{close}{hint}\r\n")
        .into_bytes()
}
