//! The response as its status.

use std::time::Duration;

use bytes::BytesMut;
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::answer::Response;
use crate::error::{Error, Result};

/// How much of a refused response's body its error keeps.
const ERROR_BODY: usize = 8 * 1024;

/// How long it waits for that.
const ERROR_BODY_TIME: Duration = Duration::from_secs(5);

impl Response {
    /// Turns 4xx and 5xx into an error, which carries the status and the head of the body.
    ///
    /// Reads at most 8 KiB of the body for it, for at most five seconds.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Status`](crate::ErrorKind::Status). That the body cannot be read does not hide the status.
    pub async fn error_for_status(mut self) -> Result<Self> {
        if !(self.answer.head.status.is_client_error() || self.answer.head.status.is_server_error())
        {
            return Ok(self);
        }
        let mut body = BytesMut::new();
        let head_of_body = async {
            while body.len() < ERROR_BODY {
                match self.chunk().await {
                    Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                    Ok(None) | Err(_) => break,
                }
            }
        };
        // What has come until then is what there is: the status matters more.
        if Handle::try_current().is_ok() {
            let _ = timeout(ERROR_BODY_TIME, head_of_body).await;
        } else {
            head_of_body.await;
        }
        body.truncate(ERROR_BODY);
        Err(Error::status_code(self.answer.head.status, body.freeze()).with_uri(&self.answer.uri))
    }
}
