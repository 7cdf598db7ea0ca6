//! How long the steps of making a connection take.

use std::cell::Cell;
use std::future::Future;
use std::time::{Duration, Instant};

tokio::task_local! {
    /// What the connection that the current task is making has taken so far.
    static PHASES: Cell<Phases>;
}

/// What making a connection has taken, as far as its connector tells.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Phases {
    pub(crate) dns: Option<Duration>,
    pub(crate) tcp: Option<Duration>,
    pub(crate) tls: Option<Duration>,
}

/// Watches a connection being made.
pub(crate) async fn watched<F: Future>(connecting: F) -> (F::Output, Phases) {
    let watching = async {
        let made = connecting.await;
        (made, PHASES.with(Cell::get))
    };
    PHASES.scope(Cell::default(), watching).await
}

/// Times a step, less the steps within it, and has it noted if it ends well.
pub(super) async fn timed<T, E>(
    step: impl Future<Output = Result<T, E>>,
    within: impl Fn(Phases) -> Duration,
    note: impl Fn(&mut Phases, Duration),
) -> Result<T, E> {
    let began = Instant::now();
    let done = step.await?;
    let took = began.elapsed();
    // Not watched: a connector that is used elsewhere.
    let _ = PHASES.try_with(|cell| {
        let mut phases = cell.get();
        let inner = within(phases);
        note(&mut phases, took.saturating_sub(inner));
        cell.set(phases);
    });
    Ok(done)
}
