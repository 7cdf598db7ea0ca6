//! A task of a session: work of the session's own that goes on when no request waits for it.

use std::fmt;
use std::future::{Future, pending, poll_fn, ready};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, select};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use super::severable::Severable;
use super::tasks::{Tasks, spawn};

/// How long a runtime may leave a task waiting that others wait for. More than any that is only busy
/// needs: what is cut may be known to a server already.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long one that runs is not asked again.
const INTERVAL: Duration = Duration::from_secs(1);

/// Work that one runtime does, and anybody may wait for or cut.
pub(crate) struct Task {
    work: Arc<Work>,
    handle: AbortHandle,
    runtime: Handle,
    over: Shared<BoxFuture<'static, ()>>,
}

type Work = Severable<BoxFuture<'static, ()>>;

impl Task {
    pub(super) fn spawn(
        work: impl Future<Output = ()> + Send + 'static,
        runtime: &Handle,
        tasks: &Tasks,
    ) -> Arc<Self> {
        let (end, over) = oneshot::channel::<()>();
        let work = async move {
            work.await;
            drop(end);
        };
        let work = Arc::new(Severable::new(work.boxed()));
        let running = Running(Arc::clone(&work));
        let running = tasks.spawn(runtime, async move {
            poll_fn(|cx| running.0.poll(cx)).await;
        });
        Arc::new(Self {
            work,
            handle: running.abort_handle(),
            runtime: runtime.clone(),
            over: over.map(drop).boxed().shared(),
        })
    }

    /// Waits until it has ended, or was cut, as it is here if its runtime rests: one that nobody runs.
    pub(crate) async fn over(&self) {
        let over = self.over.clone();
        match Handle::try_current() {
            Ok(here) if here.id() != self.runtime.id() => {
                select(over, pin!(self.cut_at_rest())).await;
            }
            _ => over.await,
        }
    }

    async fn cut_at_rest(&self) {
        while timeout(PATIENCE, spawn(&self.runtime, ready(()).boxed()))
            .await
            .is_ok_and(|ran| ran.is_ok())
        {
            sleep(INTERVAL).await;
        }
        self.sever();
        pending::<()>().await;
    }

    /// Drops the work, or has the poll under way do it at its end.
    pub(super) fn sever(&self) {
        self.work.sever();
        self.handle.abort();
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.handle.is_finished()
    }
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task")
            .field("handle", &self.handle)
            .finish_non_exhaustive()
    }
}

/// The work ends with the task, and so with its runtime.
struct Running(Arc<Work>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.sever();
    }
}
