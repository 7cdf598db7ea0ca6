//! Who keeps a pool open: handles by existing, leases by count.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;

use futures_util::future::select;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use super::shared::Pool;

/// What all handles of one session share. Dropped with the last of them, it closes the pool without
/// waiting.
#[derive(Debug)]
pub(crate) struct Owner {
    pool: Arc<Pool>,
}

/// Holds a session open under a close that has begun. Given back by dropping it.
#[derive(Debug)]
pub(crate) struct Lease(Arc<Owner>);

impl Owner {
    pub(crate) fn new(pool: Arc<Pool>) -> Arc<Self> {
        Arc::new(Self { pool })
    }

    pub(crate) fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// Takes a lease. `None`: a close has begun, and waits for those that are out.
    #[inline]
    pub(crate) fn lease(self: &Arc<Self>) -> Option<Lease> {
        self.pool.lend().then(|| Lease(Arc::clone(self)))
    }

    /// Runs what no request waits for. A close waits for it, as it does for leases; what began after that
    /// ends when the session takes no more requests.
    pub(crate) fn tend(
        self: &Arc<Self>,
        runtime: &Handle,
        work: impl Future<Output: Send> + Send + 'static,
    ) -> AbortHandle {
        let lease = self.lease();
        let pool = Arc::clone(&self.pool);
        let tended = async move {
            let shut = pin!(pool.wait_until_shut());
            select(shut, pin!(work)).await;
            drop(lease);
        };
        let task = runtime.spawn(self.pool.tasks.track_future(tended));
        task.abort_handle()
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
        self.pool.abandon();
    }
}
