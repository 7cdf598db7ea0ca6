//! The server over hyper, with a handler closure: HTTP/1.1 unless told otherwise.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::ops::Deref;

use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio_native_tls::TlsAcceptor;

pub use super::body::{
    Body, BodyDropped, BodySender, channel_body, empty, full, respond, status, text,
};
use super::connection::serve;
pub use super::connection::{ConnectionNumber, Protocol};
use super::host::{Host, Order};

/// A server whose connections are kept alive: counts and waits are those of [`Host`].
///
/// A connection is live until the server has seen the *client's* end of it, also when the server
/// closed first. Dropping the server stops it, and fails the test if a handler has panicked.
#[derive(Debug)]
pub struct Server {
    host: Host,
    scheme: &'static str,
}

impl Server {
    /// Starts a server that answers every request by `handler`, such as `async |request| text("hello")`.
    pub fn start<H>(handler: H) -> Self
    where
        H: AsyncFn(Request<Incoming>) -> Response<Body> + Send + 'static,
    {
        Self::launch(Protocol::Http1, None, handler)
    }

    pub(super) fn launch<H>(protocol: Protocol, tls: Option<TlsAcceptor>, handler: H) -> Self
    where
        H: AsyncFn(Request<Incoming>) -> Response<Body> + Send + 'static,
    {
        let scheme = if tls.is_some() { "https" } else { "http" };
        let host = Host::start("server", async move |accepted| {
            serve(accepted, protocol, tls.as_ref(), &handler).await;
        });
        Self { host, scheme }
    }

    /// Starts a server that always answers 200 with this text.
    pub fn text(answer: &'static str) -> Self {
        Self::start(async move |_| text(answer))
    }

    /// Starts a server that answers with the request, see [`echo`].
    pub fn echo() -> Self {
        Self::start(async |request| echo(request))
    }

    /// Starts a server that gives these answers, one a request in their order, and panics after the last.
    pub fn in_turn(answers: impl IntoIterator<Item = Response<Body>>) -> Self {
        let answers = RefCell::new(answers.into_iter().collect::<VecDeque<_>>());
        Self::start(async move |request| {
            let next = answers.borrow_mut().pop_front();
            next.unwrap_or_else(|| {
                panic!("no answer left for {} {}", request.method(), request.uri())
            })
        })
    }

    /// Gives the URL of a path (with its slash) on this server, by its address.
    pub fn url(&self, path: &str) -> String {
        self.url_by("127.0.0.1", path)
    }

    /// Gives the URL of a path (with its slash) on this server, by a name of the host.
    pub fn url_by(&self, name: &str, path: &str) -> String {
        format!("{}://{name}:{}{path}", self.scheme, self.port())
    }

    /// Closes the idle connections, and the busy ones after their response; does not wait for either.
    ///
    /// `wait_server_closes` tells when the FIN is out.
    pub fn close_idle(&self) {
        self.order(Order::CloseIdle);
    }

    /// Closes the server's side (`close_notify`, FIN) of every connection, whatever it is busy with.
    ///
    /// Once this returns the FIN has been sent. The connections stay live until the client closes too.
    pub async fn close_all(&self) {
        self.order_closed(Order::CloseAll).await;
    }

    /// Resets (RST) every connection; once this returns they are gone.
    pub async fn reset_all(&self) {
        self.order_closed(Order::ResetAll).await;
    }
}

impl Deref for Server {
    type Target = Host;

    fn deref(&self) -> &Host {
        &self.host
    }
}

/// Answers with the request's own body, streamed, and what else there was to see in headers.
///
/// `x-method`, `x-uri` and `x-connection` (its number) are always there; the request's header `name`
/// comes back as `x-request-name`; the content type is the request's.
pub fn echo(request: Request<Incoming>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let mut response = respond(StatusCode::OK, body.map_err(Into::into).boxed_unsync());
    let headers = response.headers_mut();
    headers.insert("x-method", header(head.method.as_str()));
    headers.insert("x-uri", header(&head.uri.to_string()));
    if let Some(ConnectionNumber(number)) = head.extensions.get() {
        headers.insert("x-connection", (*number).into());
    }
    if let Some(kind) = head.headers.get(CONTENT_TYPE) {
        headers.insert(CONTENT_TYPE, kind.clone());
    }
    for (name, value) in &head.headers {
        let name = format!("x-request-{name}").parse::<HeaderName>();
        headers.append(name.expect("a prefixed header name is one"), value.clone());
    }
    response
}

fn header(value: &str) -> HeaderValue {
    HeaderValue::from_str(value).expect("a part of a request's head is a valid value")
}
