//! `Cookie`.

use std::fmt;
use std::time::{Duration, SystemTime};

use cookie::Cookie as RawCookie;

use super::set_cookie;

/// A cookie, as an answer sets it or a jar keeps it.
#[derive(Clone, PartialEq)]
pub struct Cookie<'a> {
    raw: RawCookie<'a>,
    host_only: bool,
}

impl<'a> Cookie<'a> {
    /// Reads a `Set-Cookie` header. `None`: it has no name, or no value.
    pub(crate) fn parse(set_cookie: &'a str) -> Option<Self> {
        let raw = set_cookie::parse(set_cookie)?;
        let host_only = raw.domain().is_none();
        Some(Self { raw, host_only })
    }

    pub(super) fn kept(raw: RawCookie<'a>, host_only: bool) -> Self {
        Self { raw, host_only }
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        self.raw.name()
    }

    /// Returns the value, as it was sent: nothing is decoded, and quotes stay.
    pub fn value(&self) -> &str {
        self.raw.value()
    }

    /// Returns the domain that it is for. Of an answer: only if it says so.
    pub fn domain(&self) -> Option<&str> {
        self.raw.domain()
    }

    /// Whether it is for one host alone, and not for those below it.
    pub fn is_host_only(&self) -> bool {
        self.host_only
    }

    /// Returns the path that it is for, with those below it. Of an answer: only if it says so.
    pub fn path(&self) -> Option<&str> {
        self.raw.path()
    }

    /// Returns when it ends. `None`: with the session. Of an answer: what `Expires` says.
    pub fn expires(&self) -> Option<SystemTime> {
        self.raw.expires_datetime().map(SystemTime::from)
    }

    /// Returns how long an answer lets it be kept (`Max-Age`, which goes before `Expires`). Of one from
    /// a jar: `None`.
    pub fn max_age(&self) -> Option<Duration> {
        let max_age = self.raw.max_age()?;
        Some(max_age.try_into().unwrap_or_default())
    }

    /// Whether it goes over https alone.
    pub fn is_secure(&self) -> bool {
        self.raw.secure() == Some(true)
    }

    /// Whether browsers keep it from scripts.
    pub fn is_http_only(&self) -> bool {
        self.raw.http_only() == Some(true)
    }
}

impl fmt::Debug for Cookie<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The value is a secret.
        f.debug_struct("Cookie")
            .field("name", &self.name())
            .field("domain", &self.domain())
            .field("path", &self.path())
            .finish_non_exhaustive()
    }
}
