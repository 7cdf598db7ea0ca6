//! A peer whose first connection ends, or says something, when the test tells it to.

use std::sync::mpsc;

use super::gate::Gate;
use super::raw::{RawConn, RawPeer};

/// An answer with the body `ok`.
pub const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// What nobody has asked for, and at last the end.
pub const STRAYS: [Option<&str>; 3] = [
    Some("HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"),
    Some("\r\n"),
    None,
];

/// Answers each request of a connection with [`OK`].
pub async fn serve(conn: &mut RawConn) {
    while !conn.read_request().await.is_empty() {
        conn.write(OK).await;
    }
}

/// What the first connection of a peer does after its answer once the test tells it, while the test's own
/// reactor stands still.
pub struct Surprise {
    pub peer: RawPeer,
    now: Gate,
    done: mpsc::Receiver<()>,
}

impl Surprise {
    /// Sends this, or closes.
    pub fn new(stray: Option<&'static str>) -> Self {
        let now = Gate::new();
        let (tell, done) = mpsc::channel();
        let gate = now.clone();
        let peer = RawPeer::start(async move |conn, number| {
            if number > 0 {
                return serve(conn).await;
            }
            conn.read_request().await;
            conn.write(OK).await;
            gate.pass().await;
            match stray {
                Some(stray) => drop(conn.write(stray).await),
                None => conn.close(),
            }
            tell.send(()).expect("the test waits");
            conn.wait_eof().await;
        });
        Self { peer, now, done }
    }

    /// Blocks the thread, and with it the reactor, until it has happened.
    pub fn spring(&self) {
        self.now.open();
        self.done.recv().expect("the script runs");
    }
}
