//! What a request asks of its connection.

use http::Uri;
use tokio::runtime::Handle;

use super::key::Key;
use super::limit::Limit;
use crate::config::Timeouts;
use crate::error::{Error, Result, TimeoutPhase};

/// What a request asks of its connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wants<'a> {
    pub(super) uri: &'a Uri,
    pub(super) key: Key<'a>,
    pub(super) runtime: &'a Handle,
    /// The request cannot be sent twice: the socket is looked at first.
    pub(super) careful: bool,
    pub(super) timeouts: &'a Timeouts,
    /// When the whole request must be over, on the pool's clock.
    pub(super) deadline: Option<u64>,
}

impl<'a> Wants<'a> {
    /// How long a wait of a request that has its connection may take.
    pub(super) fn limit(&self, phase: TimeoutPhase) -> Limit {
        let pause = match phase {
            TimeoutPhase::Total | TimeoutPhase::Try => None,
            TimeoutPhase::Pool => self.timeouts.pool,
            TimeoutPhase::Connect => self.timeouts.connect,
            TimeoutPhase::Write => self.timeouts.write,
            TimeoutPhase::Head => self.timeouts.head,
            TimeoutPhase::Read => self.timeouts.read,
        };
        Limit::new(phase, pause, self.deadline)
    }

    pub(super) fn key_of(uri: &'a Uri) -> Result<Key<'a>> {
        let authority = uri
            .authority()
            .ok_or_else(|| Error::url_invalid("the URL has no host"))?;
        Ok(Key {
            https: uri.scheme_str() == Some("https"),
            authority: authority.as_str(),
        })
    }
}
