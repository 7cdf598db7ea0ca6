//! `SessionScope`.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use crate::pool::{CloseReport, Lease};
use crate::session::Session;
use crate::slot::{Held, Slot};

/// A counted stretch in which a holder's session is open.
///
/// Made by [`SessionHolder::enter_session`](crate::SessionHolder::enter_session); it derefs to the
/// session. Scopes of one holder overlap and share one session; the last one out closes it, unless
/// it was opened by `start_session`, before or meanwhile.
///
/// Dropping it, on success, error, cancellation and panic alike, does not wait: idle connections
/// are shut down, exchanges that outlive the scope end by themselves. [`close`](Self::close) waits.
#[must_use = "the scope ends where this is dropped"]
pub struct SessionScope {
    slot: Arc<Slot>,
    session: Session,
    /// `None`: the scope has been left.
    lease: Option<Lease>,
}

impl SessionScope {
    pub(crate) fn new(slot: Arc<Slot>, held: Held) -> Self {
        Self {
            slot,
            session: held.session,
            lease: Some(held.lease),
        }
    }

    /// Ends the scope and, if it was the last, waits until the session is closed.
    ///
    /// Returns `None` if the session stays open for others.
    ///
    /// # Cancel safety
    ///
    /// The scope has ended at the first poll; what is left of the close happens by itself.
    pub async fn close(mut self) -> Option<CloseReport> {
        let last = self.leave()?;
        Some(last.close().await)
    }

    fn leave(&mut self) -> Option<Session> {
        let lease = self.lease.take()?;
        let last = self.slot.leave(&self.session);
        drop(lease);
        last
    }
}

impl Drop for SessionScope {
    fn drop(&mut self) {
        if let Some(last) = self.leave() {
            last.begin_close();
        }
    }
}

impl Deref for SessionScope {
    type Target = Session;

    fn deref(&self) -> &Session {
        &self.session
    }
}

impl fmt::Debug for SessionScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionScope")
            .field("session", &self.session)
            .finish_non_exhaustive()
    }
}
