//! Who gives a session its credentials.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::builder::SessionBuilder;
use crate::connect::Connector;
use crate::credentials::Credentials;
use crate::error::{BoxError, Result};
use crate::pipeline::client::Client;
use crate::pipeline::credentials::Provider;
use crate::session::Session;

/// Gives a session the credentials of its requests, say an OAuth token, and new ones when a server has
/// refused them.
///
/// Any `Fn(Session) -> Future<Output = Result<Credentials, E>>` is one.
pub trait CredentialsProvider: Send + Sync + 'static {
    /// Gives credentials, at best new ones.
    ///
    /// What it sends by `session`, which does not keep the session open, goes without them; by its own holder
    /// it must not send. It is never asked twice at a time for one holder. A panic of it is its failure.
    ///
    /// A task asks it: the request that needs it may be dropped, or run into its own limit, and it goes on
    /// for the next ones. So give it time limits of its own. A close waits for it. It is dropped when the
    /// limit of [`close_within`](Session::close_within) passes, with the session's last handle, and where
    /// its runtime does not run for five seconds while another one waits for it: that then asks anew.
    fn provide(&self, session: Session) -> BoxFuture<'_, Result<Credentials, BoxError>>;
}

impl<F, Fut, E> CredentialsProvider for F
where
    F: Fn(Session) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Credentials, E>> + Send + 'static,
    E: Into<BoxError>,
{
    fn provide(&self, session: Session) -> BoxFuture<'_, Result<Credentials, BoxError>> {
        let provided = self(session);
        provided
            .map(|provided| provided.map_err(Into::into))
            .boxed()
    }
}

/// Credentials.
impl<C: Connector> SessionBuilder<C> {
    /// Asks `provider` for the credentials of requests that have no `Authorization` of their own (nor by
    /// their URL's user info): before the first of them, when those that it gave come to their
    /// [end](Credentials::expires_in), and when a server has refused them with 401. That request is then
    /// sent once more, whatever its method, as the server has not carried it out, if its body can be;
    /// else 401 is its answer, and the next request has new ones. Default: none.
    ///
    /// The provider is asked once at a time, and all requests that need its answer share it. None waits while
    /// there are credentials that are good; after a failure these are used for another second before the
    /// provider is asked again. A holder keeps its credentials from one session to the next. They stand
    /// in place of an `Authorization` in the default headers. Where there is a
    /// [`base_url`](Self::base_url) they go to its origin alone, else to every URL that the caller names;
    /// with a redirect to no other origin; and in any case to [`trusted_origins`](Self::trusted_origins).
    ///
    /// A request fails with [`ErrorKind::Credentials`](crate::ErrorKind::Credentials) where there are none;
    /// its source is the provider's error, shared by all who waited.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::time::Duration;
    /// use hyper_session::{Credentials, Error, SessionHolder};
    ///
    /// #[derive(serde::Deserialize)]
    /// struct Token {
    ///     access_token: String,
    ///     expires_in: u64,
    /// }
    ///
    /// let holder: SessionHolder = SessionHolder::builder()
    ///     .base_url("http://localhost:8080/v1")
    ///     .credentials(|session: hyper_session::Session| async move {
    ///         let form = [("grant_type", "client_credentials"), ("client_id", "me")];
    ///         let request = session.post("/token").form(&form).raise_for_status(true);
    ///         let token: Token = request.send().await?.json().await?;
    ///         let lifetime = Duration::from_secs(token.expires_in);
    ///         Ok::<_, Error>(Credentials::bearer(token.access_token)?.expires_in(lifetime))
    ///     })
    ///     .build()?;
    /// # drop(holder);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn credentials(mut self, provider: impl CredentialsProvider) -> Self {
        let provider = Arc::new(provider);
        let provider = Provider::new(move |client: &Client| {
            let session = Session::from_client(Arc::new(client.for_provider()));
            let provider = Arc::clone(&provider);
            async move { provider.provide(session).await }.boxed()
        });
        self.hooks.credentials = Some(Arc::new(provider));
        self
    }

    /// Sends a `Bearer` token (RFC 6750) with each request that has no `Authorization` of its own, and to
    /// the URLs that those of a [provider](Self::credentials) go to: an API's token is not for a URL of
    /// somebody else. In place of any provider and other credentials. A token that ends is for
    /// [`credentials`](Self::credentials). Refused if it has characters that no header can have. Default: none.
    ///
    /// # Examples
    ///
    /// ```
    /// use hyper_session::SessionHolder;
    ///
    /// let holder: SessionHolder = SessionHolder::builder()
    ///     .base_url("http://localhost:8080/v1")
    ///     .bearer_auth("opaque")
    ///     .build()?;
    /// # drop(holder);
    /// # Ok::<(), hyper_session::Error>(())
    /// ```
    pub fn bearer_auth(mut self, token: impl fmt::Display) -> Self {
        self.set_credentials(Credentials::bearer(token));
        self
    }

    /// Sends `Basic` credentials (RFC 7617) with each request that has no `Authorization` of its own, as
    /// [`bearer_auth`](Self::bearer_auth) does a token. A user name with a colon is refused. Default: none.
    pub fn basic_auth(mut self, username: &str, password: Option<&str>) -> Self {
        self.set_credentials(Credentials::basic(username, password));
        self
    }

    fn set_credentials(&mut self, credentials: Result<Credentials>) {
        match credentials {
            Ok(credentials) => {
                self.hooks.credentials = Some(Arc::new(Provider::fixed(credentials)));
            }
            Err(error) => self.refuse(error),
        }
    }
}
