//! What a request says of who sends it, and until when that holds.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
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
        Self::of("Bearer", &token)
    }

    /// `Basic` credentials (RFC 7617).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Builder`](crate::ErrorKind::Builder): the user name has a colon.
    pub fn basic(username: &str, password: Option<&str>) -> Result<Self> {
        if username.contains(':') {
            let what = "a user name with a colon cannot be in credentials (RFC 7617 §2)";
            return Err(Error::builder(what));
        }
        let pair = format!("{username}:{}", password.unwrap_or_default());
        Self::of("Basic", &BASE64_STANDARD.encode(pair))
    }

    fn of(scheme: &str, text: &dyn fmt::Display) -> Result<Self> {
        let value = HeaderValue::try_from(format!("{scheme} {text}")).map_err(|_| {
            Error::builder(format!(
                "{scheme} credentials have characters that no header can have"
            ))
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
