//! The trace of a schedule.

use hyper_session::ErrorKind;

use super::plan::{Ask, Fate, Idling, Reply};
use super::settings::{Limits, Settings};

/// The number of a request, from 0; it is in its path.
pub type RequestId = usize;
/// The number of a dial and of the socket that it makes, from 0.
pub type SocketId = usize;

/// What happened, to be compared and, after a failure, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Settings(Settings),
    Session(usize, Limits),
    Dials {
        socket: SocketId,
        origin: usize,
        fate: Fate,
        by: Option<RequestId>,
    },
    Opens(SocketId),
    Closes(SocketId),
    Asks(RequestId, Ask),
    Queues(RequestId),
    IsWoken(RequestId),
    Writes(RequestId, SocketId),
    PeerSees(RequestId, SocketId),
    PeerReplies(RequestId, Reply),
    PeerIdles(SocketId, Idling),
    PeerCloses(SocketId),
    HeadCame(RequestId, u16),
    Ends(RequestId, End),
    Does(Deed),
    /// What came of it, if anything failed.
    Done(Deed, Option<ErrorKind>),
    Violation(String),
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Its answer was read, so many bytes.
    Read(usize),
    /// A part of its answer was read, and then it was dropped.
    Dropped(usize),
    GivenUp,
    Failed {
        kind: ErrorKind,
        sent: bool,
    },
}

/// What is done to the session as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    CloseIdle,
    Start,
    Swap,
    Close,
    CloseWithin(u64),
    Enter,
    Leave,
    WithSession,
    InSession,
    DropLast,
}
