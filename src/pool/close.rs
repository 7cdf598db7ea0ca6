//! The end of a pool: one that is waited for, step by step, and one that is not.

use std::mem;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{join_all, select};
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout};

use super::connection::Connection;
use super::entry::{Entry, EntryKind, Grant};
use super::meter::End;
use super::shared::Pool;
use super::state::{Cut, Gate, State};
use super::stats::CloseReport;
use super::streams::GOODBYE;
use super::task::Task;

/// The bit of `Ending::leases` that says that the pool closes when the last lease is back.
const CLOSING: usize = 1 << (usize::BITS - 1);

impl Pool {
    /// Counts a lease, unless a close has begun.
    #[inline]
    pub(super) fn lend(&self) -> bool {
        let leases = &self.ending.leases;
        leases
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |leases| {
                (leases & CLOSING == 0).then_some(leases + 1)
            })
            .is_ok()
    }

    /// Counts a lease as back.
    #[inline]
    pub(super) fn take_back(&self) {
        if self.ending.leases.fetch_sub(1, Ordering::AcqRel) == CLOSING | 1 {
            self.leases_are_back();
        }
    }

    fn leases(&self) -> usize {
        self.ending.leases.load(Ordering::Acquire) & !CLOSING
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.ending.leases.load(Ordering::Acquire) & CLOSING != 0
    }

    /// Whether a close has come to its end.
    pub(crate) fn has_ended(&self) -> bool {
        self.ending.report.get().is_some()
    }

    /// Begins to close: when the last lease is back, no new exchange begins.
    pub(crate) fn begin_close(&self) {
        if self.ending.leases.fetch_or(CLOSING, Ordering::AcqRel) == 0 {
            self.leases_are_back();
        }
    }

    /// Closes the pool and waits for the end. Any number of callers may, at any time: each waits for
    /// the same end, and goes on when another gives up.
    ///
    /// `hook` runs when the last lease is back, for one of them.
    pub(crate) async fn close<F>(&self, hook: impl FnOnce() -> F) -> CloseReport
    where
        F: Future<Output = ()>,
    {
        let began = Instant::now();
        // Before the close begins: idle connections are kept for the hook, and for a full goodbye.
        let _closer = Closer::new(self);
        self.begin_close();
        self.wait_for_leases().await;
        self.run(hook).await;
        self.shut();
        self.wait_until(|state| state.exchanges == 0 || state.cut.is_some())
            .await;
        self.finish().await;
        self.report(began)
    }

    /// Closes the pool; what has not ended within `limit` is cut.
    pub(crate) async fn close_within<F>(
        &self,
        limit: Duration,
        hook: impl FnOnce() -> F,
    ) -> CloseReport
    where
        F: Future<Output = ()>,
    {
        let began = Instant::now();
        let _closer = Closer::new(self);
        if let Some(report) = within(limit, self.close(hook)).await {
            return report;
        }
        self.sever_all();
        self.finish().await;
        self.report(began)
    }

    /// Waits for the last lease. A task cannot give its own back while its runtime rests.
    async fn wait_for_leases(&self) {
        let back = self.wait_until(|state| self.leases() == 0 || state.cut.is_some());
        let tending = async {
            loop {
                self.wait_until(|state| !state.tended.is_empty()).await;
                let Some(task) = self.lock().tended.first().cloned() else {
                    continue;
                };
                task.over().await;
                let over = self.lock().forget(&task);
                drop(over);
            }
        };
        select(pin!(back), pin!(tending)).await;
    }

    /// Runs the closing hook, unless it has had its run or everything has been cut.
    async fn run<F>(&self, hook: impl FnOnce() -> F)
    where
        F: Future<Output = ()>,
    {
        let running = async {
            let mut has_run = self.ending.hook.lock().await;
            if !mem::replace(&mut *has_run, true) {
                hook().await;
            }
        };
        let cut = self.wait_until(|state| state.cut.is_some());
        select(pin!(cut), pin!(running)).await;
    }

    /// The report of the close that comes to its end first, for all.
    fn report(&self, began: Instant) -> CloseReport {
        let report = self.ending.report.get_or_init(|| {
            let stats = self.stats();
            let cut = self.lock().cut;
            CloseReport {
                stats,
                severed: cut.map_or(0, |cut| cut.severed),
                leases_left: cut.map_or(0, |cut| cut.leases),
                took: began.elapsed(),
            }
        });
        report.clone()
    }

    /// Refuses new exchanges, but for the hook's. Without a closer that will do the rest, idle
    /// connections are closed here.
    fn leases_are_back(&self) {
        let idle = {
            let mut state = self.lock();
            if state.gate == Gate::Open {
                state.gate = Gate::Hook;
            }
            state.take_unawaited_idle()
        };
        idle.into_iter().for_each(Connection::shut_down);
        self.changed.notify_waiters();
    }

    /// Refuses every new exchange from here on, and closes what is nobody's.
    fn shut(&self) {
        self.lock().gate = Gate::Shut;
        self.sever(|entry| entry.background);
        self.cut_tasks();
        self.changed.notify_waiters();
    }

    /// Closes idle connections now, without waiting, and lets the timers end that watched only them.
    pub(crate) fn close_idle(&self) {
        let idle = self.lock().take_all_idle();
        idle.into_iter().for_each(Connection::shut_down);
        self.dismiss_timers();
    }

    /// Says goodbye to all idle connections at once and closes whatever nobody waits for. When it
    /// returns, no socket of the pool is open, unless exchanges are still under way.
    async fn finish(&self) {
        let began = Instant::now();
        let left = || GOODBYE.saturating_sub(began.elapsed());
        let idle = self.lock().take_all_idle();
        let goodbyes = join_all(idle.into_iter().map(Connection::shut_down_fully));
        // A peer that does not take the goodbye does not keep us.
        within(left(), goodbyes).await;
        let said =
            self.wait_until(|state| !state.entries.iter().any(|(_, entry)| entry.is_leaving()));
        within(left(), said).await;
        // With no exchange left, nobody waits for what is being made.
        self.sever(|entry| {
            entry.background || entry.is_leaving() || matches!(entry.kind, EntryKind::Connecting(_))
        });
        // What was cut while another thread polled it is closed when that poll is over; and the goodbyes
        // of another closer, which may have begun just now, are cut when their time is.
        let gone = self.wait_until(|state| state.entries.is_empty());
        within(2 * GOODBYE, gone).await;
        self.dismiss_timers();
        // Those of a runtime that is not being run end with it; their sockets are closed already.
        within(left(), self.tasks.ended()).await;
    }

    /// Cuts everything that is still open or being opened.
    fn sever_all(&self) {
        // Before anybody is told.
        let leases = self.leases();
        let (wakers, permits): (Vec<_>, Vec<_>) = {
            let mut state = self.lock();
            state.gate = Gate::Shut;
            state.severed = true;
            // A connection that was granted is cut as all others are.
            let empty_handed = state
                .waiters
                .values_mut()
                .filter(|waiter| !matches!(waiter.grant, Some(Grant::Lane(_))));
            empty_handed
                .map(|waiter| (waiter.waker.take(), waiter.grant.replace(Grant::Severed)))
                .unzip()
        };
        drop(permits);
        wakers
            .into_iter()
            .flatten()
            .for_each(std::task::Waker::wake);
        self.close_idle();
        let severed = self.sever(|_| true);
        self.cut_tasks();
        self.lock()
            .cut
            .get_or_insert(Cut { severed: 0, leases })
            .severed += severed;
        self.changed.notify_waiters();
    }

    /// Closes everything that no user holds, without waiting.
    pub(super) fn abandon(&self) {
        self.shut();
        self.close_idle();
    }

    fn sever(&self, which: impl Fn(&Entry) -> bool) -> usize {
        let mut links = Vec::new();
        let mut attempts = Vec::new();
        for (_, entry) in self.lock().entries.iter().filter(|(_, entry)| which(entry)) {
            links.extend(entry.link());
            if let EntryKind::Connecting(attempt) = &entry.kind {
                attempts.push(Arc::clone(attempt));
            }
        }
        for link in &links {
            link.sever();
        }
        for attempt in &attempts {
            attempt.sever();
        }
        links.len() + attempts.len()
    }

    fn cut_tasks(&self) {
        let tended = mem::take(&mut self.lock().tended);
        for task in &tended {
            task.sever();
        }
    }

    fn dismiss_timers(&self) {
        let timers = self.lock().timers.clone();
        for timer in timers {
            timer.dismiss();
        }
    }

    /// Waits for so long between two exchanges of a request. `false`: it shall not wait, as somebody waits
    /// for the pool's end, or could not go on.
    pub(crate) async fn pause(&self, time: Duration, as_hook: bool) -> bool {
        let ending = self.wait_until(|state| match state.gate {
            Gate::Open => state.closers > 0,
            Gate::Hook => !as_hook,
            Gate::Shut => true,
        });
        timeout(time, ending).await.is_err()
    }

    /// Waits for something that whoever brings it about rings `changed` for, as there is a closer.
    async fn wait_until(&self, is_so: impl Fn(&State) -> bool) {
        loop {
            let changed = self.changed.notified();
            if is_so(&self.lock()) {
                return;
            }
            changed.await;
        }
    }
}

/// Waits for at most `limit`; not at all where no runtime can tell the time.
async fn within<F: Future>(limit: Duration, waiting: F) -> Option<F::Output> {
    match Handle::try_current() {
        Ok(_) => timeout(limit, waiting).await.ok(),
        Err(_) => waiting.now_or_never(),
    }
}

impl State {
    /// The idle connections of a pool that is closed without anybody who waits for it.
    fn take_unawaited_idle(&mut self) -> Vec<Connection> {
        if self.closers > 0 || self.gate == Gate::Open {
            return Vec::new();
        }
        self.take_all_idle()
    }

    fn forget(&mut self, task: &Arc<Task>) -> Option<Arc<Task>> {
        let mut tended = self.tended.iter();
        let place = tended.position(|tended| Arc::ptr_eq(tended, task))?;
        Some(self.tended.swap_remove(place))
    }

    fn take_all_idle(&mut self) -> Vec<Connection> {
        let shared: Vec<_> = self.entries.iter().map(|(id, _)| id).collect();
        let mut idle: Vec<_> = shared
            .into_iter()
            .filter_map(|id| {
                self.entries[id].idle_shared()?;
                self.withdraw(id, End::Closed)
            })
            .collect();
        self.idle = 0;
        let alone = self.origins.iter_mut();
        let alone = alone.flat_map(|(_, origin)| origin.idle.drain(..));
        idle.extend(alone.map(|idle| Connection::Http1(idle.connection.because(End::Closed))));
        idle
    }
}

/// Says in the books that somebody waits for the end, and will see to the idle connections.
struct Closer<'a>(&'a Pool);

impl<'a> Closer<'a> {
    fn new(pool: &'a Pool) -> Self {
        pool.lock().closers += 1;
        pool.changed.notify_waiters();
        Self(pool)
    }
}

impl Drop for Closer<'_> {
    fn drop(&mut self) {
        let idle = {
            let mut state = self.0.lock();
            state.closers -= 1;
            state.take_unawaited_idle()
        };
        idle.into_iter().for_each(Connection::shut_down);
    }
}
