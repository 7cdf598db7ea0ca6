//! The end of a pool, in steps that can be waited for, and in one that cannot.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use tokio::time::timeout;

use super::http1::Http1;
use super::shared::Pool;
use super::state::{Entry, EntryKind, Gate, Grant, State};

/// How long saying goodbye may take, for all idle connections together.
const GOODBYE: Duration = Duration::from_secs(1);

impl Pool {
    /// Refuses new exchanges, but for the hook's. Without a closer that will do the rest, idle
    /// connections are closed here.
    pub(super) fn leases_are_back(&self) {
        let idle = {
            let mut state = self.lock();
            if state.gate == Gate::Open {
                state.gate = Gate::Hook;
            }
            match state.closers {
                0 => state.take_all_idle(),
                _ => Vec::new(),
            }
        };
        idle.into_iter().for_each(Http1::shut_down);
        self.changed.notify_waiters();
    }

    /// Refuses every new exchange from here on.
    pub(crate) fn shut(&self) {
        self.lock().gate = Gate::Shut;
        self.changed.notify_waiters();
    }

    /// Closes idle connections now, without waiting.
    pub(crate) fn close_idle(&self) {
        let idle = self.lock().take_all_idle();
        idle.into_iter().for_each(Http1::shut_down);
    }

    /// Waits until no exchange is under way, or all have been severed.
    pub(crate) async fn exchanges_over(&self) {
        self.wait_until(|state| state.exchanges == 0 || state.severed)
            .await;
    }

    /// Says goodbye to all idle connections at once and closes whatever nobody waits for. When it
    /// returns, no socket of the pool is open, unless exchanges are still under way.
    pub(crate) async fn finish(&self) {
        let idle = self.lock().take_all_idle();
        let goodbyes = join_all(idle.into_iter().map(Http1::shut_down_fully));
        // A peer that does not take the goodbye does not keep us.
        let _ = timeout(GOODBYE, goodbyes).await;
        self.sever(|entry| entry.background);
        self.dismiss_timers();
        self.tasks.close();
        // Tasks of a runtime that is not being run end with it; their sockets are closed already.
        let _ = timeout(GOODBYE, self.tasks.wait()).await;
    }

    /// Cuts everything that is still open or being opened. Returns how many there were.
    pub(crate) fn sever_all(&self) -> usize {
        let wakers: Vec<_> = {
            let mut state = self.lock();
            state.gate = Gate::Shut;
            state.severed = true;
            let unserved = state.waiters.values_mut().filter(|w| w.grant.is_none());
            unserved
                .map(|waiter| {
                    waiter.grant = Some(Grant::Severed);
                    waiter.waker.take()
                })
                .collect()
        };
        wakers
            .into_iter()
            .flatten()
            .for_each(std::task::Waker::wake);
        self.close_idle();
        let severed = self.sever(|_| true);
        self.changed.notify_waiters();
        severed
    }

    /// Closes everything that no user holds, without waiting.
    pub(super) fn abandon(&self) {
        self.shut();
        self.close_idle();
        self.sever(|entry| entry.background);
        self.dismiss_timers();
    }

    fn sever(&self, which: impl Fn(&Entry) -> bool) -> usize {
        let mut links = Vec::new();
        let mut attempts = Vec::new();
        for (_, entry) in self.lock().entries.iter().filter(|(_, entry)| which(entry)) {
            match &entry.kind {
                EntryKind::Open(link) => links.push(Arc::clone(link)),
                EntryKind::Connecting(attempt) => attempts.push(Arc::clone(attempt)),
                EntryKind::Permitted => {}
            }
        }
        links.iter().for_each(|link| link.sever());
        attempts.iter().for_each(|attempt| attempt.sever());
        links.len() + attempts.len()
    }

    fn dismiss_timers(&self) {
        let timers = self.lock().timers.clone();
        timers.iter().for_each(|timer| timer.dismiss());
    }

    /// Waits for something that whoever brings it about rings `changed` for.
    pub(super) async fn wait_until(&self, is_so: impl Fn(&State) -> bool) {
        let _closer = Closer::new(self);
        loop {
            let changed = self.changed.notified();
            if is_so(&self.lock()) {
                return;
            }
            changed.await;
        }
    }
}

impl State {
    fn take_all_idle(&mut self) -> Vec<Http1> {
        self.idle = 0;
        let idle = self.origins.iter_mut();
        idle.flat_map(|(_, origin)| origin.idle.drain(..))
            .map(|entry| entry.connection)
            .collect()
    }
}

/// Says in the books that somebody waits for the end.
struct Closer<'a>(&'a Pool);

impl<'a> Closer<'a> {
    fn new(pool: &'a Pool) -> Self {
        pool.lock().closers += 1;
        Self(pool)
    }
}

impl Drop for Closer<'_> {
    fn drop(&mut self) {
        self.0.lock().closers -= 1;
    }
}
