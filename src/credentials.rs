//! What a request says of who sends it, and until when that holds.

use std::fmt;
use std::time::Duration;

use http::HeaderValue;
use tokio::time::Instant;

use crate::error::{Error, Result};

/// What `Authorization` says (RFC 9110 §11.6.2), and until when that holds.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use hyper_session::Credentials;
///
/// let credentials = Credentials::bearer("opaque")?.expires_in(Duration::from_secs(3600));
/// assert_eq!(format!("{credentials:?}"), "Credentials(Sensitive)");
/// # Ok::<(), hyper_session::Error>(())
/// ```
#[derive(Clone)]
pub struct Credentials {
    pub(crate) value: HeaderValue,
    lifetime: Option<Lifetime>,
}

#[derive(Clone, Copy)]
struct Lifetime {
    end: Instant,
    /// How long before its end new credentials are fetched.
    margin: Duration,
}

/// The longest time before their end that credentials are renewed.
const MARGIN: Duration = Duration::from_secs(60);

impl Credentials {
    /// A `Bearer` token (RFC 6750).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Builder`](crate::ErrorKind::Builder): it has characters that no header can have.
    pub fn bearer(token: impl fmt::Display) -> Result<Self> {
        let value = bearer_credentials(token);
        let value = value.ok_or_else(|| {
            Error::builder("the bearer token has characters that no header can have")
        })?;
        Ok(Self::from(value))
    }

    /// Says how long they hold, from now. They are renewed a tenth of that before, but at most a minute.
    /// Default: until a server refuses them.
    pub fn expires_in(mut self, time: Duration) -> Self {
        self.lifetime = Instant::now().checked_add(time).map(|end| Lifetime {
            end,
            margin: (time / 10).min(MARGIN),
        });
        self
    }

    pub(crate) fn has_ended(&self) -> bool {
        let now = Instant::now();
        self.lifetime.is_some_and(|lifetime| lifetime.end <= now)
    }

    /// Whether it is time for new ones, be they still good.
    pub(crate) fn is_due(&self) -> bool {
        let now = Instant::now();
        self.lifetime
            .is_some_and(|lifetime| lifetime.end.saturating_duration_since(now) <= lifetime.margin)
    }
}

/// `Bearer` credentials (RFC 6750 §2.1), marked as sensitive. `None`: no header can have them.
pub(crate) fn bearer_credentials(token: impl fmt::Display) -> Option<HeaderValue> {
    let mut value = HeaderValue::try_from(format!("Bearer {token}")).ok()?;
    value.set_sensitive(true);
    Some(value)
}

impl From<HeaderValue> for Credentials {
    /// Takes the whole value of the header, scheme included, and marks it as sensitive.
    fn from(mut value: HeaderValue) -> Self {
        value.set_sensitive(true);
        Self {
            value,
            lifetime: None,
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Credentials").field(&self.value).finish()
    }
}
