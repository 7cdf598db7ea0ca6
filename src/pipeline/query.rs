//! The parameters that each URL gets that a caller names.

use std::mem;

use url::form_urlencoded::{Serializer, parse};

use crate::error::Result;
use crate::url::Target;

impl Target {
    /// Appends those of the parameters whose names its query has not.
    pub(super) fn add_default_query(&mut self, defaults: &[(String, String)]) -> Result<()> {
        let own = self.uri.query().unwrap_or_default().as_bytes();
        let is_own = |name: &str| parse(own).any(|(own, _)| own == name);
        let missing = defaults.iter().filter(|(name, _)| !is_own(name));
        let missing = Serializer::new(String::new())
            .extend_pairs(missing)
            .finish();
        *self = mem::take(self).append_query(&missing)?;
        Ok(())
    }
}
