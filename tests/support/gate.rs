//! A gate in a handler or a script that the test opens.

use std::panic::Location;

use tokio::sync::watch;
use tokio::time::timeout;

use super::tally::PATIENCE;

/// Holds back whoever passes until the test opens it: the n-th arrival passes at the n-th opening.
///
/// A cheap clone: one for the handler or script, one for the test.
#[derive(Clone, Debug, Default)]
pub struct Gate {
    steps: watch::Sender<Steps>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Steps {
    reached: usize,
    opened: usize,
}

impl Gate {
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets one arrival pass, be it here already or not.
    pub fn open(&self) {
        self.steps
            .send_modify(|steps| steps.opened = steps.opened.saturating_add(1));
    }

    /// Lets every arrival pass from now on.
    pub fn open_for_good(&self) {
        self.steps.send_modify(|steps| steps.opened = usize::MAX);
    }

    /// Arrives, and waits for the test without a limit.
    pub async fn pass(&self) {
        let mut turn = 0;
        self.steps.send_modify(|steps| {
            steps.reached += 1;
            turn = steps.reached;
        });
        let mut steps = self.steps.subscribe();
        let opened = steps.wait_for(|steps| steps.opened >= turn).await;
        opened.expect("the gate itself holds a sender");
    }

    /// How many have arrived so far, passed or not.
    pub fn reached(&self) -> usize {
        self.steps.borrow().reached
    }

    /// Waits until at least `n` have arrived.
    ///
    /// # Panics
    ///
    /// When that takes longer than [`PATIENCE`].
    #[track_caller]
    pub fn wait_reached(&self, n: usize) -> impl Future<Output = ()> {
        let caller = Location::caller();
        async move {
            let mut steps = self.steps.subscribe();
            let in_time = timeout(PATIENCE, steps.wait_for(|steps| steps.reached >= n))
                .await
                .is_ok();
            assert!(
                in_time,
                "gate: no {n} arrivals at {caller}: {}",
                self.reached()
            );
        }
    }
}
