//! Bytes that keep coming and are nothing that anybody waits for.

use super::meter::Meter;

/// How much may come in one wait, in bytes, without an end of it.
const LIMIT: u64 = 1024 * 1024;

/// How many polls of one wait may have nothing to show before bytes are counted.
const POLLS: u32 = 2;

/// What has come since a wait began.
///
/// hyper passes over interim answers, however many, and over the zeros and blanks of a chunk's size: it
/// would go on for as long as they come. Only seen where the connector counts bytes.
#[derive(Debug, Default)]
pub(super) struct Flood {
    polls: u32,
    began_at: u64,
}

impl Flood {
    /// Whether it may be too much: another poll had nothing to show.
    #[inline]
    pub(super) fn may_be(&mut self) -> bool {
        self.polls = self.polls.saturating_add(1);
        self.polls >= POLLS
    }

    /// Whether it is too much. `own`: so much of it may be what is waited for.
    #[cold]
    pub(super) fn is_too_much(&mut self, meter: &Meter, own: usize) -> bool {
        let received = meter.received();
        if self.polls == POLLS {
            self.began_at = received;
        }
        received.saturating_sub(self.began_at) > LIMIT.saturating_add(own as u64)
    }
}
