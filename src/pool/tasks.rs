//! What is spawned for a session, and how its close waits for that.

use futures_util::future::BoxFuture;
use futures_util::{Future, FutureExt};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

/// The tasks of one session.
#[derive(Debug, Clone, Default)]
pub(super) struct Tasks(TaskTracker);

impl Tasks {
    pub(super) fn spawn(
        &self,
        runtime: &Handle,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> JoinHandle<()> {
        spawn(runtime, self.0.track_future(task).boxed())
    }

    /// Waits until all of them have ended.
    pub(super) async fn ended(&self) {
        self.0.close();
        self.0.wait().await;
    }
}

/// Spawns what no close waits for. Boxed, for users' sake: else all that tokio has for a task is compiled
/// again for each kind of it.
pub(super) fn spawn(runtime: &Handle, task: BoxFuture<'static, ()>) -> JoinHandle<()> {
    runtime.spawn(task)
}
