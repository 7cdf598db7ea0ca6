//! What the model knows of a request, and which ends of it there is a reason for.

use hyper_session::{ErrorKind, TimeoutPhase};

use super::event::{End, SocketId};
use super::plan::{Ask, Fate, Manner, Reply};
use super::settings::Settings;

#[derive(Debug)]
pub struct Request {
    pub ask: Ask,
    /// In milliseconds, as all times.
    pub began: u64,
    pub polls: usize,
    pub is_woken: bool,
    /// Whether whoever waits for it looks elsewhere now.
    pub is_left_alone: bool,
    pub was_left_alone: bool,
    pub dials: Vec<Fate>,
    pub written_to: Option<SocketId>,
    /// How often servers have seen it.
    pub seen: usize,
    pub replies: Vec<Reply>,
    pub end: Option<End>,
}

impl Request {
    pub fn new(ask: Ask, began: u64) -> Self {
        Self {
            ask,
            began,
            polls: 0,
            is_woken: false,
            is_left_alone: false,
            was_left_alone: false,
            dials: Vec::new(),
            written_to: None,
            seen: 0,
            replies: Vec::new(),
            end: None,
        }
    }

    /// Whether it has a connection, or makes one.
    pub fn is_served(&self) -> bool {
        self.written_to.is_some() || !self.dials.is_empty()
    }

    /// Whether it waits for a connection, or has one that it has not looked at.
    pub fn waits(&self) -> bool {
        self.polls > 0 && self.end.is_none() && !self.is_served()
    }

    /// Whether it may hold something that it has not looked at.
    pub fn is_neglected(&self) -> bool {
        self.is_left_alone && self.is_woken && self.end.is_none()
    }

    /// Whether a limit of its wait in the queue has passed.
    pub fn is_out_of_time(&self, settings: &Settings, now: u64) -> bool {
        let limits = [settings.pool, self.ask.timeout];
        limits
            .into_iter()
            .flatten()
            .any(|limit| self.began + limit <= now)
    }

    /// Whether what its peers did, and how long it took, can have made it fail so.
    pub fn explains(&self, kind: ErrorKind, settings: &Settings, now: u64) -> bool {
        let took = now - self.began;
        let has = |manner| self.replies.iter().any(|reply| reply.manner == manner);
        // What is still being sent when the peer closes fails, whatever had been answered.
        let cut_short = || self.replies.iter().any(|reply| reply.early && reply.last);
        match kind {
            ErrorKind::Timeout(TimeoutPhase::Total) => {
                self.ask.timeout.is_some_and(|limit| took >= limit)
            }
            ErrorKind::Timeout(TimeoutPhase::Pool) => {
                settings.pool.is_some_and(|limit| took >= limit)
            }
            ErrorKind::Timeout(TimeoutPhase::Connect) => self
                .dials
                .iter()
                .any(|fate| fate.takes() >= settings.connect && took >= settings.connect),
            ErrorKind::Timeout(TimeoutPhase::Head | TimeoutPhase::Write) => {
                took >= settings.head && has(Manner::Silent)
            }
            ErrorKind::Timeout(TimeoutPhase::Read) => took >= settings.read && has(Manner::Stalls),
            ErrorKind::Connect => self
                .dials
                .iter()
                .any(|fate| matches!(fate, Fate::FailsAfter(_))),
            ErrorKind::Protocol => {
                has(Manner::BreaksOff)
                    || has(Manner::Garbage)
                    || self.dials.contains(&Fate::Slammed)
                    || cut_short()
            }
            ErrorKind::BodyTruncated => has(Manner::Truncated) || cut_short(),
            ErrorKind::Body => self.ask.upload.fails(),
            _ => false,
        }
    }
}

impl End {
    /// Whether it says that no server has seen the request.
    pub fn is_unsent(self) -> bool {
        matches!(self, Self::Failed { sent: false, .. })
    }
}
