//! The clients that are measured side by side.

mod bare;
mod chunks;
mod legacy;
mod per_worker;
mod reqwest;
mod session;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::LazyLock;
use std::time::Duration;

use bytes::Bytes;
use http::header::ACCEPT;
use http::{HeaderMap, HeaderName, HeaderValue};

pub use bare::Bare;
pub use legacy::Legacy;
pub use per_worker::PerWorker;
pub use reqwest::Reqwest;
pub use session::Ours;

/// What the full setup allows a request.
const TIMEOUT: Duration = Duration::from_secs(30);
/// What the full setup sends with each request.
static HEADERS: LazyLock<[(HeaderName, HeaderValue); 2]> = LazyLock::new(|| {
    let key = HeaderName::from_static("x-api-key");
    [(ACCEPT, "text/plain"), (key, "benches")]
        .map(|(name, value)| (name, HeaderValue::from_static(value)))
});
/// How many connections the full setup allows to an origin.
const PER_ORIGIN: usize = 64;

fn default_headers() -> HeaderMap {
    HEADERS.iter().cloned().collect()
}

/// A resource as each client wants it.
#[derive(Debug, Clone)]
pub struct Target {
    url: String,
    authority: String,
    path: String,
}

impl Target {
    /// That path of that server.
    pub fn new(server: SocketAddr, path: &str) -> Self {
        Self {
            url: format!("http://{server}{path}"),
            authority: server.to_string(),
            path: path.to_owned(),
        }
    }

    /// The whole URL.
    pub fn url(&self) -> &str {
        &self.url
    }
}

/// How a client is set up. `TCP_NODELAY` is on, all else as it comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setup {
    /// HTTP/1.
    Plain,
    /// HTTP/1 with a total timeout, two default headers and a limit of connections to an origin: by
    /// the client where it has them, else by hand; no limit where it has none.
    Full,
    /// HTTP/2 by prior knowledge.
    Http2,
}

/// A way to make requests. Fails by panic.
pub trait Client: Sized + Send + 'static {
    /// What it is called in tables.
    const NAME: &'static str;

    /// Makes one that can reach that target.
    fn open(setup: Setup, target: &Target) -> impl Future<Output = Self> + Send;

    /// One for another task: a handle on what is shared; a connection of its own where nothing is.
    fn for_task(&self, target: &Target) -> impl Future<Output = Self> + Send;

    /// Gets a body.
    fn get(&mut self, target: &Target) -> impl Future<Output = Bytes> + Send;

    /// Gets text under what [`Setup::Full`] promises.
    fn text(&mut self, target: &Target) -> impl Future<Output = String> + Send;

    /// Reads a body part by part and returns its length.
    fn download(&mut self, target: &Target) -> impl Future<Output = u64> + Send;

    /// Posts a body of so many bytes, in parts that are made while it is sent.
    fn upload(&mut self, target: &Target, bytes: u64) -> impl Future<Output = ()> + Send;
}
