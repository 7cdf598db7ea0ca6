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
        let limit = self.answer.body.begin_collecting();
        let limit = limit.map_err(|error| error.with_uri(&self.answer.info.uri))?;
        let Some(first) = self.chunk().await? else {
            return Ok(Bytes::new());
        };
        if self.answer.body.is_end_stream() {
            return Ok(first);
        }
        let Some(second) = self.chunk().await? else {
            return Ok(first);
        };
        // What the server says is left is believed only so far.
        let left = self.answer.body.size_hint().lower().min(1024 * 1024);
        let left = usize::try_from(left).unwrap_or_default();
        let mut all = Vec::with_capacity(first.len() + second.len() + left);
        all.extend_from_slice(&first);
        all.extend_from_slice(&second);
        while let Some(chunk) = self.chunk().await? {
            let seen = all.len() as u64 + chunk.len() as u64;
            if seen > limit {
                return Err(self
                    .answer
                    .body
                    .refuse(limit, seen)
                    .with_uri(&self.answer.info.uri));
            }
            make_room(&mut all, chunk.len(), limit);
            all.extend_from_slice(&chunk);
        }
        Ok(all.into())
    }
}

/// Makes room for so many bytes more: twice what there was, but not for more than there may be.
fn make_room(all: &mut Vec<u8>, more: usize, limit: u64) {
    if all.capacity() - all.len() < more {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let capacity = all.capacity().saturating_mul(2).min(limit);
        all.reserve_exact(more.max(capacity - all.len()));
    }
}
