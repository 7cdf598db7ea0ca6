//! What is spawned for a session, and how its close waits for that.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use futures_util::{Future, FutureExt};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// The tasks of one session.
#[derive(Debug, Clone, Default)]
pub(super) struct Tasks(Arc<Count>);

#[derive(Debug, Default)]
struct Count {
    running: AtomicUsize,
    /// Rung when none is running any more.
    ended: Notify,
}

/// One type for all of them, for users' sake: else all that tokio has for a task is compiled again for each
/// kind of it.
struct Spawned {
    // Fields drop in this order: a task counts until what it holds is gone.
    task: BoxFuture<'static, ()>,
    _counted: Option<Counted>,
}

struct Counted(Arc<Count>);

impl Tasks {
    pub(super) fn spawn(
        &self,
        runtime: &Handle,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> JoinHandle<()> {
        self.0.running.fetch_add(1, Ordering::SeqCst);
        runtime.spawn(Spawned {
            task: task.boxed(),
            _counted: Some(Counted(Arc::clone(&self.0))),
        })
    }

    /// Waits until all of them have ended.
    pub(super) async fn ended(&self) {
        let Count { running, ended } = &*self.0;
        loop {
            let mut told = pin!(ended.notified());
            told.as_mut().enable();
            if running.load(Ordering::SeqCst) == 0 {
                return;
            }
            told.await;
        }
    }
}

/// Spawns what no close waits for.
pub(super) fn spawn(runtime: &Handle, task: BoxFuture<'static, ()>) -> JoinHandle<()> {
    runtime.spawn(Spawned {
        task,
        _counted: None,
    })
}

impl Future for Spawned {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.task.as_mut().poll(cx)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        if self.0.running.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.ended.notify_waiters();
        }
    }
}
