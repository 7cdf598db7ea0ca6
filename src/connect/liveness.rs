//! A look at an idle socket.

use std::io;
use std::mem::MaybeUninit;

use socket2::SockRef;
use tokio::net::TcpStream;

/// What a look at an idle connection's socket says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Liveness {
    /// Nothing has come: the peer has neither closed nor sent.
    Quiet,
    /// The peer has closed, or sent what nobody asked for.
    Dead,
    /// The connector gave something else than a TCP socket.
    Unknown,
}

/// Looks into a socket's receive buffer without waiting for the reactor to tell of it (150 ns).
///
/// Anything there is taken for the end. Under TLS it may be a mere session ticket that has come
/// since TLS last read; a handshake more is then the price of being sure.
pub(super) fn peek(socket: &TcpStream) -> Liveness {
    match SockRef::from(socket).peek(&mut [MaybeUninit::uninit()]) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Liveness::Quiet,
        _ => Liveness::Dead,
    }
}
