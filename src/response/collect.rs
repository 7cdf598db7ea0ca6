//! The whole body at once.

use bytes::Bytes;
use http_body::Body as _;

use super::answer::Response;
use crate::error::Result;

impl Response {
    /// Reads the whole body.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::BodyTooLarge`](crate::ErrorKind::BodyTooLarge), if it is longer than
    /// [`max_body`](crate::SessionBuilder::max_body), which is 1 GiB unless set; else as
    /// [`chunk`](Self::chunk).
    ///
    /// # Cancel safety
    ///
    /// What was read is lost, and the rest treated as that of a dropped response.
    pub async fn bytes(mut self) -> Result<Bytes> {
        self.read().await
    }

    /// Reads the whole body, or what is left of it, and leaves the response: its head, and the
    /// [`trailers`](Self::trailers).
    ///
    /// # Errors
    ///
    /// As [`bytes`](Self::bytes).
    ///
    /// # Cancel safety
    ///
    /// What was read is lost, the rest can still be read.
    pub async fn read(&mut self) -> Result<Bytes> {
        let limit = self.begin_collecting()?;
        let Some(first) = self.chunk().await? else {
            return Ok(Bytes::new());
        };
        if self.answer.body.is_end_stream() {
            return Ok(first);
        }
        let Some(second) = self.chunk().await? else {
            return Ok(first);
        };
        let mut all = Vec::with_capacity(first.len() + second.len() + self.left());
        all.extend_from_slice(&first);
        all.extend_from_slice(&second);
        self.gather(&mut all, limit).await?;
        Ok(all.into())
    }

    /// Says that all of the body is read into memory, and returns its limit.
    pub(super) fn begin_collecting(&mut self) -> Result<u64> {
        let limit = self.answer.body.begin_collecting();
        limit.map_err(|error| error.with_uri(&self.answer.info.uri))
    }

    /// Reads what is left of the body.
    pub(super) async fn gather(&mut self, all: &mut impl Gather, limit: u64) -> Result<()> {
        while let Some(part) = self.chunk().await? {
            let seen = all.len() as u64 + part.len() as u64;
            if seen > limit {
                let refused = self.answer.body.refuse(limit, seen);
                return Err(refused.with_uri(&self.answer.info.uri));
            }
            make_room(all, part.len() + self.left(), limit);
            all.push(&part);
            if self.answer.body.is_end_stream() {
                break;
            }
        }
        Ok(())
    }

    /// How much is left, in bytes: what the server says of it is believed only so far.
    fn left(&self) -> usize {
        let left = self.answer.body.size_hint().lower().min(1024 * 1024);
        usize::try_from(left).unwrap_or_default()
    }
}

/// What the parts of a body become.
pub(super) trait Gather {
    /// How many bytes there are.
    fn len(&self) -> usize;
    /// How many there is room for.
    fn capacity(&self) -> usize;
    /// Makes room for so many more, and not for others.
    fn reserve(&mut self, more: usize);
    fn push(&mut self, part: &[u8]);
}

impl Gather for Vec<u8> {
    fn len(&self) -> usize {
        self.len()
    }

    fn capacity(&self) -> usize {
        self.capacity()
    }

    fn reserve(&mut self, more: usize) {
        self.reserve_exact(more);
    }

    fn push(&mut self, part: &[u8]) {
        self.extend_from_slice(part);
    }
}

/// Makes room for so many bytes more: twice what there was, but not for more than there may be.
fn make_room(all: &mut impl Gather, more: usize, limit: u64) {
    if all.capacity().saturating_sub(all.len()) < more {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let capacity = all.capacity().saturating_mul(2).min(limit);
        all.reserve(more.max(capacity.saturating_sub(all.len())));
    }
}
