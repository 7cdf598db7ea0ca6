//! All of a session's books at once: what goes on, and what there has been.

use std::time::Instant;

use hyper_session::Session;
use tokio::task::yield_now;

use super::accounts::{Accounts, assert_accounts};
use super::tally::PATIENCE;

/// Checks the books: what goes on now, connections opened so far, exchanges that reused one.
/// (Connections closed are those opened that are no longer open.)
#[track_caller]
pub fn assert_books(session: &Session, now: Accounts, opened: u64, reused: u64) {
    let stats = session.stats();
    assert_accounts(&stats, now);
    assert_eq!((stats.opened, stats.reused), (opened, reused), "{stats:?}");
}

/// Lets the session's own tasks run until its books say this.
///
/// # Panics
///
/// When that takes longer than [`PATIENCE`].
pub async fn reach(session: &Session, now: Accounts) {
    let began = Instant::now();
    while Accounts::from(&session.stats()) != now {
        assert!(
            began.elapsed() < PATIENCE,
            "the books never said {now:?}: {:?}",
            session.stats()
        );
        yield_now().await;
    }
}
