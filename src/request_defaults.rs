//! What a session adds to the URL of each request.

use serde::Serialize;
use url::form_urlencoded::parse;

use crate::builder::SessionBuilder;
use crate::connect::Connector;
use crate::error::Error;

/// Requests.
impl<C: Connector> SessionBuilder<C> {
    /// Adds to the query of each URL what serde makes of `query`: pairs, a map or a flat struct.
    /// Default: nothing.
    ///
    /// May be called several times. A parameter is left out where the request has one of its name, in its
    /// URL or by [`RequestBuilder::query`](crate::RequestBuilder::query); the others follow the request's
    /// own. Added to the URLs that a caller names, whatever their host; where a redirect leads is for the
    /// server to say in full. A request that was [built](crate::RequestBuilder::build) gets them when it is
    /// sent.
    ///
    /// # Examples
    ///
    /// ```
    /// use hyper_session::SessionHolder;
    ///
    /// let holder: SessionHolder = SessionHolder::builder()
    ///     .base_url("http://localhost:8080/v1")
    ///     .default_query(&[("api-version", "2024-10"), ("lang", "nl")])
    ///     .build()?;
    /// // http://localhost:8080/v1/words?lang=en&api-version=2024-10
    /// let request = holder.get("/words?lang=en");
    /// # drop(request);
    /// # Ok::<(), hyper_session::Error>(())
    /// ```
    pub fn default_query<T: Serialize + ?Sized>(mut self, query: &T) -> Self {
        match serde_urlencoded::to_string(query) {
            Ok(pairs) => {
                let pairs = parse(pairs.as_bytes()).into_owned();
                self.defaults.query.extend(pairs);
            }
            Err(error) => self.refuse(
                Error::builder("default_query: it cannot be flattened into pairs")
                    .with_source(error),
            ),
        }
        self
    }
}
