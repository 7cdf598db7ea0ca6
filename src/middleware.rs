//! The user's own code around each request.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::Request;
use tokio::time::Instant;

use crate::body::Body;
use crate::error::Result;
use crate::response::Response;

/// Code of yours around each request of a session: it may change the request, look at the response, send
/// the request several times, or answer it itself.
///
/// Any `Fn(Request<Body>, Next) -> Future<Output = Result<Response>>` is one.
///
/// # Where it stands
///
/// Around the whole of a request, redirects and retries included: [`Next::run`] gives what comes of them.
/// It sees the request as its caller made it, with its absolute URL, the default parameters and the headers
/// of its body and of its URL's user info; one of these that it removes is not sent. A body that it puts in
/// brings its own `Content-Type`, if it knows one and the request has none. What the session adds comes
/// after it: default headers, cookies, credentials, `Accept-Encoding`. `raise_for_status` comes before it: to a
/// middleware, every answer is a response. Several stand in the order in which they were
/// [added](crate::SessionBuilder::middleware), the first one outermost.
///
/// It may set another URI, which leaves the fragment of the first behind, and if it is of another origin
/// also the `Authorization` that was made of the first URL's user info. Headers that the caller set go along.
///
/// The options of a request (time limits, redirects, retries) are in its extensions: a request that is
/// made anew has the session's. Its `timeout` holds for all middleware together.
///
/// # Errors
///
/// [`Error::middleware`](crate::Error::middleware) makes an error of yours one of a request.
///
/// # Examples
///
/// ```
/// use std::time::Instant;
/// use hyper_session::{BoxFuture, Body, Middleware, Next, Response, Result, Session};
/// use hyper_session::http::Request;
///
/// struct Log;
///
/// impl Middleware for Log {
///     fn handle(&self, request: Request<Body>, next: Next) -> BoxFuture<'_, Result<Response>> {
///         Box::pin(async move {
///             let (begin, path) = (Instant::now(), request.uri().path().to_owned());
///             let answer = next.run(request).await;
///             let status = answer.as_ref().map(Response::status);
///             println!("{path}: {status:?} after {:?}", begin.elapsed());
///             answer
///         })
///     }
/// }
///
/// let builder = Session::builder()
///     .middleware(Log)
///     .middleware(|mut request: Request<Body>, next: Next| async move {
///         request.headers_mut().insert("x-request-id", "7".parse().unwrap());
///         next.run(request).await
///     });
/// # drop(builder);
/// ```
pub trait Middleware: Send + Sync + 'static {
    /// Answers a request, usually by [`next.run(request)`](Next::run).
    ///
    /// Dropped with the request that it is for.
    fn handle(&self, request: Request<Body>, next: Next) -> BoxFuture<'_, Result<Response>>;
}

impl<F, Fut> Middleware for F
where
    F: Fn(Request<Body>, Next) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Response>> + Send + 'static,
{
    fn handle(&self, request: Request<Body>, next: Next) -> BoxFuture<'_, Result<Response>> {
        self(request, next).boxed()
    }
}

/// What comes after the last middleware.
pub(crate) trait Innermost: Send + Sync {
    fn send(
        self: Arc<Self>,
        request: Request<Body>,
        deadline: Option<Instant>,
    ) -> BoxFuture<'static, Result<Response>>;
}

/// What comes after a middleware: the next one, and in the end the session.
///
/// A cheap clone: run one for each time that the request is to be sent. It keeps the session open as a
/// handle does, and may be given to a task of its own.
#[derive(Clone)]
pub struct Next {
    middleware: Arc<[Arc<dyn Middleware>]>,
    /// How many of them have been passed.
    passed: usize,
    innermost: Arc<dyn Innermost>,
    deadline: Option<Instant>,
    sent: Sent,
}

/// Whether a request may have reached the server, however often its middleware sends it.
#[derive(Clone, Default)]
pub(crate) struct Sent(Arc<AtomicUsize>);

impl Sent {
    pub(crate) fn may_be(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }

    /// Counts a request that is sent, and one that is dropped meanwhile.
    async fn count(&self, sending: impl Future<Output = Result<Response>>) -> Result<Response> {
        self.0.fetch_add(1, Ordering::Relaxed);
        let answer = sending.await;
        if answer.as_ref().is_err_and(|error| !error.was_sent()) {
            self.0.fetch_sub(1, Ordering::Relaxed);
        }
        answer
    }
}

impl Next {
    pub(crate) fn new(
        middleware: Arc<[Arc<dyn Middleware>]>,
        innermost: Arc<dyn Innermost>,
        deadline: Option<Instant>,
    ) -> Self {
        Self {
            middleware,
            passed: 0,
            innermost,
            deadline,
            sent: Sent::default(),
        }
    }

    pub(crate) fn sent(&self) -> Sent {
        self.sent.clone()
    }

    /// Sends the request and returns when the head of the response is there.
    ///
    /// # Errors
    ///
    /// As [`RequestBuilder::send`](crate::RequestBuilder::send), but for those of `raise_for_status`.
    pub async fn run(mut self, request: Request<Body>) -> Result<Response> {
        let Some(middleware) = self.middleware.get(self.passed).map(Arc::clone) else {
            let sending = self.innermost.send(request, self.deadline);
            return self.sent.count(sending).await;
        };
        self.passed += 1;
        middleware.handle(request, self).await
    }
}

impl fmt::Debug for Next {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Next")
            .field("left", &(self.middleware.len() - self.passed))
            .finish_non_exhaustive()
    }
}
