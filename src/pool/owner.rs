//! Who keeps a pool open: handles by existing, leases by count.

use std::future::Future;
use std::sync::Arc;

use tokio::runtime::Handle;

use super::shared::Pool;
use super::task::Task;

/// What all handles of one session share. Dropped with the last of them, it closes the pool without
/// waiting.
#[derive(Debug)]
pub(crate) struct Owner {
    pool: Arc<Pool>,
    is_guest: bool,
}

/// Holds a session open under a close that has begun. Given back by dropping it.
#[derive(Debug)]
pub(crate) struct Lease(Arc<Owner>);

impl Owner {
    pub(crate) fn new(pool: Arc<Pool>) -> Arc<Self> {
        Arc::new(Self {
            pool,
            is_guest: false,
        })
    }

    /// For what uses a session while it is there, and does not keep it open.
    pub(crate) fn guest(&self) -> Arc<Self> {
        Arc::new(Self {
            pool: Arc::clone(&self.pool),
            is_guest: true,
        })
    }

    pub(crate) fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// Takes a lease. `None`: a close has begun, and waits for those that are out.
    #[inline]
    pub(crate) fn lease(self: &Arc<Self>) -> Option<Lease> {
        self.pool.lend().then(|| Lease(Arc::clone(self)))
    }

    /// Has a task do what no request may wait for. A close waits for it, as it does for leases; what began
    /// after that is cut when the session takes no more requests.
    pub(crate) fn tend(
        &self,
        runtime: &Handle,
        work: impl Future<Output = ()> + Send + 'static,
    ) -> Arc<Task> {
        let lease = self.guest().lease();
        let work = async move {
            work.await;
            drop(lease);
        };
        let task = Task::spawn(work, runtime, &self.pool.tasks);
        self.pool.tend(&task);
        task
    }
}

impl Drop for Lease {
    #[inline]
    fn drop(&mut self) {
        self.0.pool.take_back();
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        if !self.is_guest {
            self.pool.abandon();
        }
    }
}
