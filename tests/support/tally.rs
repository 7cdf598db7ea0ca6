//! What a host has seen of its connections, and how to wait for it.

use std::any::Any;
use std::collections::BTreeSet;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

/// How long a wait may take before the test fails.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// Counts of one moment.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// Connections accepted so far.
    pub accepted: usize,
    /// Connections whose end the host has not seen yet.
    pub live: usize,
    /// The most connections that were live at any one time.
    pub peak: usize,
    /// Requests that reached the handler, or that a script has read.
    pub requests: usize,
    /// TLS handshakes that were completed.
    pub handshakes: usize,
    /// TLS handshakes that failed.
    pub failed_handshakes: usize,
    /// Connections that the client ended in order: `close_notify` over TLS, FIN over plain TCP.
    pub clean_closes: usize,
    /// Connections that the client cut: FIN without `close_notify` over TLS, or a reset.
    pub abrupt_closes: usize,
    /// Connections that the host closed before it saw the client's end.
    pub server_closes: usize,
    /// Whether new connections are accepted.
    pub listening: bool,
    /// Numbers of the connections that neither side has begun to close.
    pub(super) open: BTreeSet<usize>,
    panic: Option<String>,
}

impl Counts {
    /// Connections whose end the host has seen.
    pub fn closed(&self) -> usize {
        self.accepted - self.live
    }
}

/// How a client ended its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// `close_notify` over TLS, FIN over plain TCP.
    Clean,
    /// FIN without `close_notify` over TLS, or a reset.
    Abrupt,
}

/// The shared counts of one host: a cheap clone.
#[derive(Clone, Debug)]
pub struct Tally {
    name: Arc<str>,
    counts: watch::Sender<Counts>,
}

impl Tally {
    pub(super) fn new(name: &str) -> Self {
        let counts = Counts {
            listening: true,
            ..Counts::default()
        };
        Self {
            name: name.into(),
            counts: watch::Sender::new(counts),
        }
    }

    /// Takes a snapshot.
    pub fn counts(&self) -> Counts {
        self.counts.borrow().clone()
    }

    pub(super) fn update(&self, change: impl FnOnce(&mut Counts)) {
        self.counts.send_modify(change);
    }

    /// Counts a connection, which is live until the ticket is dropped.
    pub(super) fn admit(&self) -> Ticket {
        let mut number = 0;
        self.update(|counts| {
            number = counts.accepted;
            counts.accepted += 1;
            counts.live += 1;
            counts.peak = counts.peak.max(counts.live);
            counts.open.insert(number);
        });
        Ticket {
            number,
            tally: self.clone(),
        }
    }

    pub(super) fn client_closed(&self, number: usize, end: End) {
        self.update(|counts| {
            counts.open.remove(&number);
            match end {
                End::Clean => counts.clean_closes += 1,
                End::Abrupt => counts.abrupt_closes += 1,
            }
        });
    }

    pub(super) fn handshake_failed(&self, number: usize, close: impl FnOnce()) {
        self.update(|counts| {
            counts.open.remove(&number);
            counts.failed_handshakes += 1;
            close();
        });
    }

    /// Closes a connection from the host's side, and counts that unless it has an end already.
    ///
    /// Both under one lock: who sees the FIN or RST sees the count, and the other way round.
    pub(super) fn server_closed(&self, number: usize, close: impl FnOnce()) {
        self.update(|counts| {
            counts.server_closes += usize::from(counts.open.remove(&number));
            close();
        });
    }

    /// Keeps the first panic, which then fails every wait and the drop of the host.
    pub(super) fn panicked(&self, payload: &(dyn Any + Send)) {
        let message = payload.downcast_ref::<&str>().map(ToString::to_string);
        let message = message.or_else(|| payload.downcast_ref::<String>().cloned());
        let message = message.unwrap_or_else(|| "no message".to_owned());
        self.update(|counts| {
            counts.panic.get_or_insert(message);
        });
    }

    /// Takes the panic of the host back, for a test that expects one.
    pub fn take_panic(&self) -> Option<String> {
        let mut taken = None;
        self.update(|counts| taken = counts.panic.take());
        taken
    }

    /// Panics if something on the host's thread has panicked.
    pub fn check(&self) {
        let panic = self.counts.borrow().panic.clone();
        if let Some(message) = panic {
            panic!("{} panicked: {message}", self.name);
        }
    }

    /// Waits until the counts are as wanted.
    ///
    /// # Panics
    ///
    /// When that takes longer than [`PATIENCE`], or when the host has panicked.
    #[track_caller]
    pub fn wait(
        &self,
        wanted: String,
        reached: impl Fn(&Counts) -> bool,
    ) -> impl Future<Output = ()> {
        let caller = Location::caller();
        async move {
            let mut counts = self.counts.subscribe();
            let done = counts.wait_for(|counts| counts.panic.is_some() || reached(counts));
            let in_time = timeout(PATIENCE, done).await.is_ok();
            self.check();
            assert!(
                in_time,
                "{}: no {wanted} at {caller}: {:?}",
                self.name,
                self.counts()
            );
        }
    }
}

/// One live connection; dropped when the host has seen its end.
#[derive(Debug)]
pub(super) struct Ticket {
    pub(super) number: usize,
    tally: Tally,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.tally.update(|counts| {
            counts.open.remove(&self.number);
            counts.live -= 1;
        });
    }
}
