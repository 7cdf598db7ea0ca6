//! What makes two connections interchangeable.

use std::fmt;
use std::hash::{Hash, Hasher};

use hashbrown::Equivalent;

/// A pool key, as a request has it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Key<'a> {
    pub(super) https: bool,
    /// Host and port, as the URL has them: lower-case, the scheme's default port left out.
    pub(super) authority: &'a str,
}

/// The same, kept.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct OwnedKey {
    https: bool,
    authority: Box<str>,
}

impl Key<'_> {
    pub(super) fn to_owned(self) -> OwnedKey {
        OwnedKey {
            https: self.https,
            authority: self.authority.into(),
        }
    }
}

impl Hash for Key<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // Each authority is of one scheme, but for a few.
        state.write(self.authority.as_bytes());
    }
}

impl Hash for OwnedKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Self { https, authority } = self;
        Key {
            https: *https,
            authority,
        }
        .hash(state);
    }
}

impl Equivalent<OwnedKey> for Key<'_> {
    fn equivalent(&self, other: &OwnedKey) -> bool {
        self.https == other.https && *self.authority == *other.authority
    }
}

impl fmt::Display for OwnedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.https { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.authority)
    }
}
