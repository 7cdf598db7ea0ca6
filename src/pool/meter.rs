//! What connections have done, in numbers, and why they ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::stats::ClosedBy;
use crate::connect::Traffic;

/// Why a connection was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Idle,
    Age,
    Requests,
    Peer,
    Error,
    Cancelled,
    Evicted,
    Closed,
}

const ENDS: usize = 8;

/// Counts of one origin, or of all. They only grow.
#[derive(Debug, Default)]
pub(super) struct Tally {
    opened: AtomicU64,
    closed: AtomicU64,
    requests: AtomicU64,
    reused: AtomicU64,
    received: AtomicU64,
    sent: AtomicU64,
    ended: [AtomicU64; ENDS],
}

/// Counts of one moment.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts {
    pub(super) opened: u64,
    pub(super) closed: u64,
    pub(super) requests: u64,
    pub(super) reused: u64,
    pub(super) received: u64,
    pub(super) sent: u64,
}

/// Where a connection is counted: with its origin, and with all.
#[derive(Debug, Clone)]
pub(super) struct Tallies {
    pub(super) origin: Arc<Tally>,
    pub(super) all: Arc<Tally>,
}

/// What one connection has done. Its own, so that requests do not write where others do.
#[derive(Debug)]
pub(super) struct Meter {
    requests: AtomicU64,
    reused: AtomicU64,
    opened: AtomicBool,
    /// Whether it has brought an answer.
    served: AtomicBool,
    traffic: Option<Arc<Traffic>>,
    /// Whether it has been said why it ends.
    ended: AtomicBool,
    /// Whether its counts are in the tallies, where later ones follow.
    handed_in: AtomicBool,
    tallies: Tallies,
}

fn add(counter: &AtomicU64, more: u64) {
    counter.fetch_add(more, Ordering::Relaxed);
}

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

impl Tally {
    pub(super) fn counts(&self) -> Counts {
        Counts {
            opened: read(&self.opened),
            closed: read(&self.closed),
            requests: read(&self.requests),
            reused: read(&self.reused),
            received: read(&self.received),
            sent: read(&self.sent),
        }
    }

    pub(super) fn closed_by(&self) -> ClosedBy {
        let ended = |end: End| read(&self.ended[end as usize]);
        ClosedBy {
            idle: ended(End::Idle),
            age: ended(End::Age),
            requests: ended(End::Requests),
            peer: ended(End::Peer),
            error: ended(End::Error),
            cancelled: ended(End::Cancelled),
            evicted: ended(End::Evicted),
            closed: ended(End::Closed),
        }
    }
}

impl Tallies {
    fn each(&self, count: impl Fn(&Tally)) {
        count(&self.origin);
        count(&self.all);
    }
}

impl Meter {
    pub(super) fn new(tallies: Tallies, traffic: Option<Arc<Traffic>>) -> Self {
        Self {
            requests: AtomicU64::new(0),
            reused: AtomicU64::new(0),
            opened: AtomicBool::new(false),
            served: AtomicBool::new(false),
            traffic,
            ended: AtomicBool::new(false),
            handed_in: AtomicBool::new(false),
            tallies,
        }
    }

    /// Counts it as open.
    pub(super) fn opened(&self) {
        self.opened.store(true, Ordering::Relaxed);
        self.tallies.each(|tally| add(&tally.opened, 1));
    }

    /// Counts a request that has been given to it.
    pub(super) fn sent(&self) {
        add(&self.requests, 1);
    }

    /// Counts an answer. `true`: the connection had brought one before.
    pub(super) fn answered(&self) -> bool {
        let reused = self.served.swap(true, Ordering::Relaxed);
        if reused {
            add(&self.reused, 1);
        }
        if self.handed_in.load(Ordering::SeqCst) {
            self.hand_in_requests();
        }
        reused
    }

    pub(super) fn has_served(&self) -> bool {
        self.served.load(Ordering::Relaxed)
    }

    /// Bytes received, as far as the connector counts them.
    pub(super) fn received(&self) -> u64 {
        let traffic = self.traffic.as_ref();
        traffic.map_or(0, |traffic| traffic.received())
    }

    /// Bytes sent, if the connector counts them.
    pub(super) fn bytes_sent(&self) -> Option<u64> {
        self.traffic.as_ref().map(|traffic| traffic.sent())
    }

    /// What is not in the tallies yet.
    pub(super) fn counts(&self) -> Counts {
        Counts {
            requests: read(&self.requests),
            reused: read(&self.reused),
            received: self.received(),
            sent: self.traffic.as_ref().map_or(0, |traffic| traffic.sent()),
            ..Counts::default()
        }
    }

    /// Says why the connection is being closed. The first word counts.
    pub(super) fn end(&self, why: End) {
        if self.opened.load(Ordering::Relaxed) && !self.ended.swap(true, Ordering::Relaxed) {
            self.tallies
                .each(|tally| add(&tally.ended[why as usize], 1));
        }
    }

    /// Moves its counts to the tallies: its socket is closed.
    pub(super) fn hand_in(&self) {
        if self.handed_in.swap(true, Ordering::SeqCst) {
            return;
        }
        self.hand_in_requests();
        let Counts { received, sent, .. } = self.counts();
        self.tallies.each(|tally| {
            add(&tally.closed, 1);
            add(&tally.received, received);
            add(&tally.sent, sent);
        });
    }

    fn hand_in_requests(&self) {
        let requests = self.requests.swap(0, Ordering::SeqCst);
        let reused = self.reused.swap(0, Ordering::SeqCst);
        self.tallies.each(|tally| {
            add(&tally.requests, requests);
            add(&tally.reused, reused);
        });
    }
}

impl Counts {
    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            opened: self.opened + other.opened,
            closed: self.closed + other.closed,
            requests: self.requests + other.requests,
            reused: self.reused + other.reused,
            received: self.received + other.received,
            sent: self.sent + other.sent,
        }
    }
}
