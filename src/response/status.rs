//! The response as its status.

use std::mem;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::answer::Response;
use crate::config::RaiseForStatus;
use crate::error::{Error, ErrorKind, Result};

/// How much of a refused response's body its error keeps.
const ERROR_BODY: usize = 8 * 1024;

/// How long it waits for that.
const ERROR_BODY_TIME: Duration = Duration::from_secs(5);

impl Response {
    /// Turns 4xx and 5xx into an error, which has the status, the headers and the head of the body.
    ///
    /// Reads at most 8 KiB of the body for it, for at most five seconds. The rest is treated as that of a
    /// dropped response.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Status`](crate::ErrorKind::Status). That the body cannot be read does not hide the
    /// status.
    pub async fn error_for_status(self) -> Result<Self> {
        if RaiseForStatus::Errors.refuses(self.status()) {
            return Err(self.into_error().await);
        }
        Ok(self)
    }

    /// Gives an error for 4xx and 5xx, which has the status and the headers, and leaves the body to be
    /// read.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Status`](crate::ErrorKind::Status).
    ///
    /// # Examples
    ///
    /// ```
    /// # use hyper_session::{Response, Result};
    /// async fn read(answer: Response) -> Result<String> {
    ///     if let Err(refused) = answer.error_for_status_ref() {
    ///         println!("{refused}: {}", answer.text_lossy().await?);
    ///         return Err(refused);
    ///     }
    ///     answer.text().await
    /// }
    /// ```
    pub fn error_for_status_ref(&self) -> Result<&Self> {
        if RaiseForStatus::Errors.refuses(self.status()) {
            return Err(self.refused(self.headers().clone(), None));
        }
        Ok(self)
    }

    /// Turns the response into the error that its status is.
    pub(crate) async fn into_error(mut self) -> Error {
        let mut body = Vec::new();
        let head_of_body = async {
            while body.len() < ERROR_BODY
                && let Ok(Some(chunk)) = self.chunk().await
            {
                let kept = chunk.len().min(ERROR_BODY - body.len());
                body.extend_from_slice(&chunk[..kept]);
            }
        };
        // What has come until then is what there is: the status matters more.
        if Handle::try_current().is_ok() {
            let _ = timeout(ERROR_BODY_TIME, head_of_body).await;
        } else {
            head_of_body.await;
        }
        let headers = mem::take(self.headers_mut());
        // Without spare room: errors may be kept for long.
        let body = Bytes::from(body.into_boxed_slice());
        self.refused(headers, Some(body))
    }

    fn refused(&self, mut headers: HeaderMap, body: Option<Bytes>) -> Error {
        headers.values_mut().for_each(copy);
        Error::new(ErrorKind::Status)
            .with_answer(self.status(), Some(headers), body)
            .with_uri(&self.answer.info.uri)
            .after_sending()
    }
}

/// Makes it one of its own: as it came, it is a part of all that was read with it.
fn copy(value: &mut HeaderValue) {
    let copied = HeaderValue::from_bytes(value.as_bytes());
    let mut copied = copied.expect("it is a header's value");
    copied.set_sensitive(value.is_sensitive());
    *value = copied;
}
