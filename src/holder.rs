//! `SessionHolder`.

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use http::Method;

use crate::builder::SessionBuilder;
use crate::connect::{Connector, DefaultConnector};
use crate::error::{Error, Result};
use crate::pool::{CloseReport, OriginStats, Stats};
use crate::request::RequestBuilder;
use crate::scope::SessionScope;
use crate::session::Session;
use crate::slot::{Held, Slot};

/// The field to embed: a place for one session, opened and closed when you say, used by all calls.
///
/// A cheap clone of one shared thing: all clones see the same session. `C` is what makes the
/// connections; users of the struct that embeds a holder never see it.
///
/// # Examples
///
/// ```
/// use hyper_session::{Result, SessionHolder};
///
/// struct Weather {
///     session: SessionHolder,
/// }
///
/// impl Weather {
///     fn new() -> Result<Self> {
///         let session = SessionHolder::builder().base_url("http://localhost:8080/v1").build()?;
///         Ok(Self { session })
///     }
///
///     async fn today(&self, city: &str) -> Result<String> {
///         self.session
///             .with_session(|s| async move {
///                 s.get("/today").query(&[("city", city)]).send().await?.text().await
///             })
///             .await
///     }
/// }
/// ```
pub struct SessionHolder<C = DefaultConnector> {
    slot: Arc<Slot>,
    connector: PhantomData<fn() -> C>,
}

impl SessionHolder {
    /// Returns a builder with all defaults.
    pub fn builder() -> SessionBuilder {
        SessionBuilder::new()
    }
}

impl<C: Connector> SessionBuilder<C> {
    /// Makes a holder. Needs no runtime and opens nothing.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Builder`](crate::ErrorKind::Builder) or [`ErrorKind::Url`](crate::ErrorKind::Url)
    /// for a setting, naming it.
    pub fn build(self) -> Result<SessionHolder<C>> {
        Ok(SessionHolder::of(Slot::new(self.into_recipe()?)))
    }
}

impl<C: Connector> SessionHolder<C> {
    fn of(slot: Arc<Slot>) -> Self {
        Self {
            slot,
            connector: PhantomData,
        }
    }

    /// Makes a holder that lends a session of somebody else's.
    ///
    /// Closing it only detaches it, and starting it attaches it again, while the owner's session is
    /// open. Its calls count as leases on the owner's session. While detached, calls fail with
    /// [`ErrorKind::Closed`](crate::ErrorKind::Closed).
    pub fn from_session(session: Session) -> Self {
        Self::of(Slot::lent(session))
    }

    /// Opens the session. A second start does nothing; concurrent starts open one session.
    ///
    /// A session that a scope has opened is adopted: it stays when the scope ends.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Hook`](crate::ErrorKind::Hook); [`ErrorKind::Closed`](crate::ErrorKind::Closed)
    /// if a close came while it was being opened.
    ///
    /// # Cancel safety
    ///
    /// Leaves the holder as it was.
    pub async fn start_session(&self) -> Result<()> {
        self.slot.start().await
    }

    /// Opens a session of other settings, in place of the one that is open, if any.
    ///
    /// New calls go to the new session; the old one drains: its calls and exchanges end, then it is
    /// closed. What the holder does when no session is open stays the holder's, and so do the
    /// settings that a later `start_session` uses.
    ///
    /// # Errors
    ///
    /// As [`start_session`](Self::start_session), and what the builder refuses. The old session
    /// stays then.
    ///
    /// # Cancel safety
    ///
    /// Leaves the holder as it was.
    pub async fn start_session_with<D: Connector>(&self, builder: SessionBuilder<D>) -> Result<()> {
        let recipe = builder.into_recipe()?;
        self.slot.replace(&recipe).await
    }

    /// Closes the session and waits for the end.
    ///
    /// Takes the session out, so that new calls find none; waits for the leases of running
    /// [`with_session`](Self::with_session) calls, their streams and scopes, whose handles work
    /// until then; then for the exchanges under way; then shuts idle connections down, all at once
    /// and for at most a second. When it returns, no socket of the session is open. A second close
    /// waits for the same end, and so does a close after a swap. With nothing open or draining it
    /// returns at once.
    ///
    /// Called from within a lease of the same session, it would wait for itself: use
    /// [`close_session_within`](Self::close_session_within) there.
    ///
    /// # Cancel safety
    ///
    /// As [`Session::close`].
    pub async fn close_session(&self) -> CloseReport {
        self.slot.close().await
    }

    /// Closes the session and cuts what has not ended within `limit`.
    ///
    /// A call that is cut fails with [`ErrorKind::Closed`](crate::ErrorKind::Closed); one that
    /// uses no connection at the moment goes on, and cannot send any more. Closes that wait elsewhere
    /// without a limit end with this one.
    ///
    /// # Cancel safety
    ///
    /// As [`Session::close_within`].
    pub async fn close_session_within(&self, limit: Duration) -> CloseReport {
        self.slot.close_within(limit).await
    }

    /// Closes the connections of the open session that are idle now, without waiting, and leaves the
    /// session open.
    ///
    /// With nothing under way, nothing of the session runs after it: call it before the process is
    /// frozen, as at the end of a Lambda invocation. Does nothing when no session is open.
    ///
    /// # Examples
    ///
    /// ```
    /// # async fn example(api: hyper_session::SessionHolder) -> hyper_session::Result<()> {
    /// api.start_session().await?;
    /// let answer = api.get("http://localhost:8080/").send().await?.text().await?;
    /// api.close_idle();
    /// assert!(api.is_open());
    /// # Ok(())
    /// # }
    /// ```
    pub fn close_idle(&self) {
        if let Some(session) = self.slot.session() {
            session.close_idle();
        }
    }

    /// Runs `f` with the session, which stays open until `f` is done.
    ///
    /// `f` gets an owned handle and may return any error that ours turns into. When no session is
    /// open, the holder does what its [`when_closed`](SessionBuilder::when_closed) says.
    ///
    /// # Errors
    ///
    /// Those of `f`; [`ErrorKind::Closed`](crate::ErrorKind::Closed) or
    /// [`ErrorKind::Hook`](crate::ErrorKind::Hook) if there is no session for it.
    ///
    /// # Cancel safety
    ///
    /// Drops `f`'s future, then gives the lease back.
    ///
    /// # What does not compile
    ///
    /// An error that ours does not turn into, such as `String`:
    ///
    /// ```compile_fail,E0277
    /// # use hyper_session::SessionHolder;
    /// # async fn example(api: &SessionHolder) -> Result<String, String> {
    /// api.with_session(async |s| {
    ///     let home = s.get("/").send().await.map_err(|error| error.to_string())?;
    ///     home.text().await.map_err(|error| error.to_string())
    /// })
    /// .await
    /// # }
    /// ```
    ///
    /// Turn it into one outside, or use a type of your own with `From<hyper_session::Error>`, or
    /// `Box<dyn Error + Send + Sync>`:
    ///
    /// ```
    /// # use hyper_session::SessionHolder;
    /// # async fn example(api: &SessionHolder) -> Result<String, String> {
    /// api.with_session(async |s| s.get("/").send().await?.text().await)
    ///     .await
    ///     .map_err(|error| error.to_string())
    /// # }
    /// ```
    ///
    /// A bare `Ok(…)` at the closure's end, if a `?` outside turns its error into yet another: name
    /// it, `Ok::<_, hyper_session::Error>(…)`.
    pub fn with_session<F, Fut, T, E>(&self, f: F) -> impl Future<Output = Result<T, E>>
    where
        F: FnOnce(Session) -> Fut,
        Fut: Future<Output = Result<T, E>>,
        E: From<Error>,
    {
        let slot = &*self.slot;
        // Not an `async fn`, which would move `f` once more.
        async move {
            let held = match slot.hold_now() {
                Some(held) => held,
                None => slot.hold().await?,
            };
            // The lease stays in `held`, which outlives the future of `f`.
            f(held.session).await
        }
    }

    /// Makes a stream of what `f` makes with the session, which stays open until the stream has
    /// ended or is dropped.
    ///
    /// `f` runs at the first poll. The stream borrows nothing: it may outlive the holder.
    ///
    /// # Errors
    ///
    /// As [`with_session`](Self::with_session), as the stream's first and only item; then the
    /// stream's own.
    ///
    /// # Cancel safety
    ///
    /// Dropping the stream drops what `f` made, then gives the lease back.
    ///
    /// # Examples
    ///
    /// ```
    /// use bytes::Bytes;
    /// use futures::Stream;
    /// use hyper_session::{Result, SessionHolder};
    ///
    /// fn log(api: &SessionHolder) -> impl Stream<Item = Result<Bytes>> + use<> {
    ///     api.stream_with_session(|s| async move {
    ///         Ok(s.get("http://localhost:8080/log").send().await?.bytes_stream())
    ///     })
    /// }
    /// ```
    pub fn stream_with_session<F, Fut, S, T, E>(
        &self,
        f: F,
    ) -> impl Stream<Item = Result<T, E>> + use<C, F, Fut, S, T, E>
    where
        F: FnOnce(Session) -> Fut,
        Fut: Future<Output = Result<S, E>>,
        S: Stream<Item = Result<T, E>>,
        E: From<Error>,
    {
        let slot = Arc::clone(&self.slot);
        stream::once(async move {
            let Held { session, lease } = slot.hold().await?;
            let items = f(session).await?;
            Ok::<_, E>(items.map(move |item| {
                let _held_until_the_stream_is_dropped = &lease;
                item
            }))
        })
        .try_flatten()
    }

    /// Runs `f` in a scope: opens the session before, unless it is open, and closes it after, unless
    /// others need it.
    ///
    /// Overlapping scopes share one session, and the last one out closes it: on success, error,
    /// cancellation and panic alike. One that `start_session` opened stays. The end of the scope
    /// does not wait for exchanges that outlive it; with [`enter_session`](Self::enter_session) and
    /// [`SessionScope::close`] it does.
    ///
    /// # Errors
    ///
    /// Those of `f`, and those of [`start_session`](Self::start_session).
    ///
    /// # Cancel safety
    ///
    /// Drops `f`'s future, then ends the scope.
    pub async fn in_session<'a, F, Fut, T, E>(&'a self, f: F) -> Result<T, E>
    where
        F: FnOnce(&'a Self) -> Fut,
        Fut: Future<Output = Result<T, E>>,
        E: From<Error>,
    {
        let scope = self.enter_session().await?;
        let result = f(self).await;
        drop(scope);
        result
    }

    /// Enters a scope that ends where the guard is dropped or closed.
    ///
    /// # Errors
    ///
    /// As [`start_session`](Self::start_session).
    ///
    /// # Cancel safety
    ///
    /// Leaves the holder as it was.
    pub async fn enter_session(&self) -> Result<SessionScope> {
        let held = self.slot.enter().await?;
        Ok(SessionScope::new(Arc::clone(&self.slot), held))
    }

    /// Returns a handle of the open session. It holds no lease: a close does not wait for it, but
    /// for the exchanges that it begins.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Closed`](crate::ErrorKind::Closed), if no session is open.
    pub fn session(&self) -> Result<Session> {
        let session = self.slot.session();
        session.ok_or_else(|| Error::closed("no session is open"))
    }

    /// Whether a session is open.
    pub fn is_open(&self) -> bool {
        self.slot.session().is_some()
    }

    /// Returns the open session's numbers at this moment, and how many one-shots there have been.
    pub fn stats(&self) -> Stats {
        self.slot.stats()
    }

    /// Returns the open session's numbers by origin.
    pub fn origin_stats(&self) -> Vec<OriginStats> {
        let session = self.slot.session();
        session.map_or_else(Vec::new, |session| session.origin_stats())
    }

    /// Starts a request, which finds its session when it is sent.
    ///
    /// See [`Session::request`] for the URL.
    pub fn request(&self, method: Method, url: impl AsRef<str>) -> RequestBuilder {
        RequestBuilder::for_holder(Arc::clone(&self.slot) as _, method, url.as_ref())
    }

    /// Starts a GET request.
    pub fn get(&self, url: impl AsRef<str>) -> RequestBuilder {
        self.request(Method::GET, url)
    }

    /// Starts a POST request.
    pub fn post(&self, url: impl AsRef<str>) -> RequestBuilder {
        self.request(Method::POST, url)
    }

    /// Starts a PUT request.
    pub fn put(&self, url: impl AsRef<str>) -> RequestBuilder {
        self.request(Method::PUT, url)
    }

    /// Starts a PATCH request.
    pub fn patch(&self, url: impl AsRef<str>) -> RequestBuilder {
        self.request(Method::PATCH, url)
    }

    /// Starts a DELETE request.
    pub fn delete(&self, url: impl AsRef<str>) -> RequestBuilder {
        self.request(Method::DELETE, url)
    }

    /// Starts a HEAD request.
    pub fn head(&self, url: impl AsRef<str>) -> RequestBuilder {
        self.request(Method::HEAD, url)
    }

    /// Starts an OPTIONS request.
    pub fn options(&self, url: impl AsRef<str>) -> RequestBuilder {
        self.request(Method::OPTIONS, url)
    }
}

impl<C> Clone for SessionHolder<C> {
    fn clone(&self) -> Self {
        Self {
            slot: Arc::clone(&self.slot),
            connector: PhantomData,
        }
    }
}

impl<C> fmt::Debug for SessionHolder<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionHolder")
            .field("session", &self.slot.session())
            .finish_non_exhaustive()
    }
}

const _: () = {
    const fn assert_traits<T: Send + Sync + Unpin + Clone>() {}
    assert_traits::<SessionHolder>();
};
