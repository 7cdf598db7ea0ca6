//! What requests get from their session, and what not.

use http::HeaderName;
use serde::Serialize;
use url::form_urlencoded::parse;

use crate::builder::SessionBuilder;
use crate::connect::Connector;
use crate::error::Error;
use crate::pipeline::skip::skippable;

/// Requests.
impl<C: Connector> SessionBuilder<C> {
    /// Leaves out headers that a request would get by itself. Default: none.
    ///
    /// Those are `Accept-Encoding` (what was not asked for is decoded all the same, unless
    /// [`decompress`](Self::decompress) is off), the `Content-Type` of a body that knows its own, the
    /// `Cookie` of the cookie store, which is still told of new ones, the `Authorization` of a URL's user
    /// info or of a provider of credentials, and the `Referer` of a redirected request. No other is sent
    /// that was not asked for, but what makes a message: `Host`, `Content-Length` and
    /// `Transfer-Encoding`, which are refused here.
    ///
    /// May be called several times. What a request brings itself is sent, and so are
    /// [`default_headers`](Self::default_headers).
    ///
    /// # Examples
    ///
    /// ```
    /// use hyper_session::SessionHolder;
    ///
    /// let holder: SessionHolder = SessionHolder::builder()
    ///     .skip_auto_headers(["content-type", "referer"])
    ///     .build()?;
    /// # drop(holder);
    /// # Ok::<(), hyper_session::Error>(())
    /// ```
    pub fn skip_auto_headers<I>(mut self, names: I) -> Self
    where
        I: IntoIterator,
        HeaderName: TryFrom<I::Item>,
        <HeaderName as TryFrom<I::Item>>::Error: Into<http::Error>,
    {
        match skippable(names) {
            Ok(names) => self.defaults.skipped_headers.extend(names),
            Err(error) => self.refuse(error),
        }
        self
    }

    /// Adds to the query of each URL what serde makes of `query`: pairs, a map or a flat struct.
    /// Default: nothing.
    ///
    /// May be called several times. A parameter is left out where the request has one of its name, in its
    /// URL or by [`RequestBuilder::query`](crate::RequestBuilder::query); the others follow the request's
    /// own. Added to the URLs that a caller names, whatever their host, before any middleware; where a
    /// redirect leads is for the server to say in full. A request that was
    /// [built](crate::RequestBuilder::build) gets them when it is sent.
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
