//! Who keeps a pool open: handles by existing, leases by count.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::shared::Pool;

/// The bit of `Owner::leases` that says that the pool closes when the last lease is back.
const CLOSING: usize = 1 << (usize::BITS - 1);

/// What all handles of one session share. Dropped with the last of them, it closes the pool without
/// waiting.
#[derive(Debug)]
pub(crate) struct Owner {
    pool: Arc<Pool>,
    leases: AtomicUsize,
}

/// Holds a session open under a close that has begun. Given back by dropping it.
#[derive(Debug)]
pub(crate) struct Lease(Arc<Owner>);

impl Owner {
    pub(crate) fn new(pool: Arc<Pool>) -> Arc<Self> {
        Arc::new(Self {
            pool,
            leases: AtomicUsize::new(0),
        })
    }

    pub(crate) fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// Takes a lease. `None`: a close has begun, and waits for those that are out.
    pub(crate) fn lease(self: &Arc<Self>) -> Option<Lease> {
        self.leases
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |leases| {
                (leases & CLOSING == 0).then_some(leases + 1)
            })
            .ok()?;
        Some(Lease(Arc::clone(self)))
    }

    pub(crate) fn leases(&self) -> usize {
        self.leases.load(Ordering::Acquire) & !CLOSING
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.leases.load(Ordering::Acquire) & CLOSING != 0
    }

    /// Begins to close: when the last lease is back, no new exchange begins.
    pub(crate) fn begin_close(&self) {
        if self.leases.fetch_or(CLOSING, Ordering::AcqRel) == 0 {
            self.pool.leases_are_back();
        }
    }

    /// Waits until the last lease is back.
    pub(crate) async fn leases_back(&self) {
        self.pool.wait_until(|_| self.leases() == 0).await;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let before = self.0.leases.fetch_sub(1, Ordering::AcqRel);
        if before == CLOSING | 1 {
            self.0.pool.leases_are_back();
        }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.pool.abandon();
    }
}
