//! `SessionContainer`.

use std::future::Future;
use std::time::Duration;

use futures_util::Stream;
use http::Method;

use crate::builder::SessionBuilder;
use crate::connect::{Connector, DefaultConnector};
use crate::error::{Error, Result};
use crate::holder::SessionHolder;
use crate::pool::{CloseReport, OriginStats, Stats};
use crate::request::RequestBuilder;
use crate::scope::SessionScope;
use crate::session::Session;

/// A struct that has a session: name the field, and the struct has the holder's operations.
///
/// Every method but the first only passes the call on to the [`SessionHolder`], whose docs hold. A
/// struct's own method of the same name wins. A struct with two APIs has two holder fields; one of
/// them may be the trait's.
///
/// The trait asks for no `Send`, so that closures may capture what is not; futures are `Send` when
/// what they capture is.
///
/// # Examples
///
/// ```
/// use futures::future::try_join_all;
/// use hyper_session::{Result, SessionContainer, SessionHolder};
///
/// struct MathRequests {
///     session: SessionHolder,
/// }
///
/// impl SessionContainer for MathRequests {
///     fn session_holder(&self) -> &SessionHolder {
///         &self.session
///     }
/// }
///
/// impl MathRequests {
///     async fn get_square(&self, value: &str) -> Result<String> {
///         let expr = format!("{value}^2");
///         self.with_session(|s| async move {
///             s.get("http://localhost:8085/v4").query(&[("expr", expr)]).send().await?.text().await
///         })
///         .await
///     }
/// }
///
/// # async fn example() -> Result<()> {
/// let maths = MathRequests { session: SessionHolder::builder().build()? };
/// let squares = maths
///     .in_session(|maths| async move {
///         try_join_all(["1", "2", "3"].map(|value| maths.get_square(value))).await
///     })
///     .await?;
/// assert_eq!(squares, ["1", "4", "9"]);
/// # Ok(())
/// # }
/// ```
///
/// # What does not compile
///
/// Spawning a call of the trait while the container's type is generic: the compiler then sees no
/// more of the future than the trait says, and that is not `Send`.
///
/// ```compile_fail,E0277
/// # use hyper_session::{Connector, SessionContainer};
/// fn ping<C: Connector>(api: &'static (impl SessionContainer<C> + Sync)) {
///     tokio::spawn(api.with_session(async |s| s.get("/ping").send().await));
/// }
/// ```
///
/// The same call on the holder does:
///
/// ```
/// # use hyper_session::{Connector, SessionContainer};
/// fn ping<C: Connector>(api: &'static (impl SessionContainer<C> + Sync)) {
///     tokio::spawn(api.session_holder().with_session(async |s| s.get("/ping").send().await));
/// }
/// ```
pub trait SessionContainer<C: Connector = DefaultConnector> {
    /// Returns the field that holds the session.
    fn session_holder(&self) -> &SessionHolder<C>;

    /// See [`SessionHolder::start_session`].
    fn start_session(&self) -> impl Future<Output = Result<()>> {
        self.session_holder().start_session()
    }

    /// See [`SessionHolder::start_session_with`].
    fn start_session_with<D: Connector>(
        &self,
        builder: SessionBuilder<D>,
    ) -> impl Future<Output = Result<()>> {
        self.session_holder().start_session_with(builder)
    }

    /// See [`SessionHolder::close_session`].
    fn close_session(&self) -> impl Future<Output = CloseReport> {
        self.session_holder().close_session()
    }

    /// See [`SessionHolder::close_session_within`].
    fn close_session_within(&self, limit: Duration) -> impl Future<Output = CloseReport> {
        self.session_holder().close_session_within(limit)
    }

    /// See [`SessionHolder::close_idle`].
    fn close_idle(&self) {
        self.session_holder().close_idle();
    }

    /// See [`SessionHolder::with_session`]: `async |s| …` or `|s| async move { … }`, with an owned
    /// [`Session`].
    fn with_session<F, Fut, T, E>(&self, f: F) -> impl Future<Output = Result<T, E>>
    where
        F: FnOnce(Session) -> Fut,
        Fut: Future<Output = Result<T, E>>,
        E: From<Error>,
    {
        self.session_holder().with_session(f)
    }

    /// See [`SessionHolder::stream_with_session`].
    fn stream_with_session<F, Fut, S, T, E>(
        &self,
        f: F,
    ) -> impl Stream<Item = Result<T, E>> + use<Self, C, F, Fut, S, T, E>
    where
        F: FnOnce(Session) -> Fut,
        Fut: Future<Output = Result<S, E>>,
        S: Stream<Item = Result<T, E>>,
        E: From<Error>,
    {
        self.session_holder().stream_with_session(f)
    }

    /// See [`SessionHolder::in_session`]. `f` gets the container.
    fn in_session<'a, F, Fut, T, E>(&'a self, f: F) -> impl Future<Output = Result<T, E>>
    where
        F: FnOnce(&'a Self) -> Fut,
        Fut: Future<Output = Result<T, E>>,
        E: From<Error>,
    {
        self.session_holder().in_session(move |_| f(self))
    }

    /// See [`SessionHolder::enter_session`].
    fn enter_session(&self) -> impl Future<Output = Result<SessionScope>> {
        self.session_holder().enter_session()
    }

    /// See [`SessionHolder::session`].
    fn session(&self) -> Result<Session> {
        self.session_holder().session()
    }

    /// See [`SessionHolder::is_open`].
    fn is_open(&self) -> bool {
        self.session_holder().is_open()
    }

    /// See [`SessionHolder::stats`].
    fn stats(&self) -> Stats {
        self.session_holder().stats()
    }

    /// See [`SessionHolder::origin_stats`].
    fn origin_stats(&self) -> Vec<OriginStats> {
        self.session_holder().origin_stats()
    }

    /// See [`SessionHolder::request`].
    fn request(&self, method: Method, url: impl AsRef<str>) -> RequestBuilder {
        self.session_holder().request(method, url)
    }

    /// See [`SessionHolder::get`].
    fn get(&self, url: impl AsRef<str>) -> RequestBuilder {
        self.session_holder().get(url)
    }

    /// See [`SessionHolder::post`].
    fn post(&self, url: impl AsRef<str>) -> RequestBuilder {
        self.session_holder().post(url)
    }

    /// See [`SessionHolder::put`].
    fn put(&self, url: impl AsRef<str>) -> RequestBuilder {
        self.session_holder().put(url)
    }

    /// See [`SessionHolder::patch`].
    fn patch(&self, url: impl AsRef<str>) -> RequestBuilder {
        self.session_holder().patch(url)
    }

    /// See [`SessionHolder::delete`].
    fn delete(&self, url: impl AsRef<str>) -> RequestBuilder {
        self.session_holder().delete(url)
    }

    /// See [`SessionHolder::head`].
    fn head(&self, url: impl AsRef<str>) -> RequestBuilder {
        self.session_holder().head(url)
    }

    /// See [`SessionHolder::options`].
    fn options(&self, url: impl AsRef<str>) -> RequestBuilder {
        self.session_holder().options(url)
    }
}

/// A holder is its own container, so that generic code can take either.
impl<C: Connector> SessionContainer<C> for SessionHolder<C> {
    fn session_holder(&self) -> &Self {
        self
    }
}
