//! What the model has written down.

use tokio::time::Instant;

use super::event::{Event, RequestId};
use super::request::Request;
use super::settings::{Limits, Settings};

#[derive(Debug)]
pub struct Books {
    pub began: Instant,
    pub settings: Settings,
    pub events: Vec<(u64, Event)>,
    pub violations: usize,
    pub networks: Vec<Network>,
    pub sockets: Vec<Socket>,
    pub sessions: Vec<Limits>,
    pub requests: Vec<Request>,
    /// Those that wait for a connection and have not been told of one, in the order in which they came.
    pub queue: Vec<Queued>,
    pub polled: Option<RequestId>,
    pub own_tasks: usize,
    /// Sessions may have been closed under their requests.
    pub closing: bool,
    pub hook_has_failed: bool,
    pub gathered: usize,
    pub reused: u64,
    pub opened: u64,
    /// When a client had something of its request last.
    pub last_progress: u64,
    pub over: bool,
}

/// All that one connector has made.
#[derive(Debug)]
pub struct Network {
    /// `None`: it serves several sessions.
    pub limits: Option<Limits>,
    pub connecting: usize,
    pub live: usize,
    pub of_origin: [usize; 3],
}

#[derive(Debug)]
pub struct Socket {
    pub network: usize,
    pub origin: usize,
    pub phase: Phase,
    /// The request that asked for it.
    pub dialed_by: Option<RequestId>,
    /// Whose requests it carries.
    pub session: Option<usize>,
    pub last_request: Option<RequestId>,
    pub dialed_at: u64,
    /// How many answers it has brought.
    pub answers: u64,
    /// How many requests more its server takes, if it has said so.
    pub granted: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Connecting,
    Live,
    Gone,
}

#[derive(Clone, Copy, Debug)]
pub struct Queued {
    pub request: RequestId,
    pub origin: usize,
}

impl Books {
    pub fn new(settings: Settings) -> Self {
        Self {
            began: Instant::now(),
            settings,
            events: vec![(0, Event::Settings(settings))],
            violations: 0,
            networks: Vec::new(),
            sockets: Vec::new(),
            sessions: Vec::new(),
            requests: Vec::new(),
            queue: Vec::new(),
            polled: None,
            own_tasks: 0,
            closing: false,
            hook_has_failed: false,
            gathered: 0,
            reused: 0,
            opened: 0,
            last_progress: 0,
            over: false,
        }
    }

    pub fn now(&self) -> u64 {
        let passed = Instant::now().saturating_duration_since(self.began);
        u64::try_from(passed.as_millis()).unwrap_or(u64::MAX)
    }

    pub fn note(&mut self, event: Event) {
        if !self.over {
            self.events.push((self.now(), event));
        }
    }

    pub fn violation(&mut self, what: String) {
        self.violations += 1;
        self.note(Event::Violation(what));
    }
}
