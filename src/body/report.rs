//! A body that says how far it has come.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};

use super::outgoing::Body;
use super::streaming::Streaming;
use crate::error::{Error, Result};

type Report = Arc<dyn Fn(u64, Option<u64>) + Send + Sync>;

impl Body {
    /// Calls `report` with the bytes that have been taken so far, and those that there are in all where
    /// that is known: whenever the connection takes a part, of at most 64 KiB where the body is made of
    /// bytes or a file.
    ///
    /// A part that has been taken is in the connection's buffers or beyond; that the last one has
    /// arrived is told by the answer. `report` runs where the request is sent and must not block. A
    /// body that has to be sent once more begins at 0 again.
    ///
    /// # Examples
    ///
    /// ```
    /// use hyper_session::Body;
    ///
    /// let body = Body::from("hello").on_progress(|sent, total| match total {
    ///     Some(total) => println!("{sent} of {total} bytes"),
    ///     None => println!("{sent} bytes"),
    /// });
    /// # drop(body);
    /// ```
    pub fn on_progress(self, report: impl Fn(u64, Option<u64>) + Send + Sync + 'static) -> Self {
        let content_type = self.content_type().cloned();
        let report: Report = Arc::new(report);
        let reported = if self.is_replayable() {
            let make = move || {
                let body = self.try_clone()?;
                Some(Streaming::new(Reported::new(body, Arc::clone(&report))))
            };
            Self::made_by(Arc::new(make)).unwrap_or_default()
        } else {
            Self::wrap(Reported::new(self, report))
        };
        reported.with_content_type(content_type)
    }
}

struct Reported {
    body: Streaming,
    sent: u64,
    total: Option<u64>,
    report: Report,
}

impl Reported {
    fn new(body: Body, report: Report) -> Self {
        Self {
            total: body.length(),
            body: body.into_streaming(),
            sent: 0,
            report,
        }
    }
}

impl HttpBody for Reported {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            self.sent += data.len() as u64;
            (self.report)(self.sent, self.total);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
