//! A small API whose answers the test holds back, feeds and counts.

use std::ops::Deref;

use http::{Request, Response};
use hyper::body::Incoming;
use tokio::sync::{Mutex, mpsc};
use tokio::time::timeout;

use super::gate::Gate;
use super::server::{Body, BodySender, Server, channel_body, echo, full, respond, text};
use super::tally::PATIENCE;
use super::wire::Wire;

/// More than what is read off a dropped body to save its connection, and than all buffers hold.
const LARGE: usize = 8 * 1024 * 1024;

/// A server with these paths; counts and waits are those of [`Server`].
///
/// - `/say/WORD` answers with the word;
/// - `/held/WORD` does so when its turn at the [`gate`](Self::gate) has come;
/// - `/feed` answers with a body that the test feeds through [`next_feed`](Self::next_feed);
/// - `/large` answers with more than anybody reads ahead;
/// - everything else answers as [`echo`].
#[derive(Debug)]
pub struct Api {
    server: Server,
    pub gate: Gate,
    feeds: Mutex<mpsc::UnboundedReceiver<BodySender>>,
}

impl Api {
    pub fn start() -> Self {
        Self::start_over(Wire::Http1)
    }

    pub fn start_over(wire: Wire) -> Self {
        let gate = Gate::new();
        let (fed, feeds) = mpsc::unbounded_channel();
        let server = {
            let gate = gate.clone();
            wire.serve(async move |request| answer(request, &gate, &fed).await)
        };
        Self {
            server,
            gate,
            feeds: Mutex::new(feeds),
        }
    }

    /// The sending side of the next body that was asked for at `/feed`.
    pub async fn next_feed(&self) -> BodySender {
        let mut feeds = self.feeds.lock().await;
        let feed = timeout(PATIENCE, feeds.recv()).await;
        feed.expect("somebody asks for /feed")
            .expect("the server runs")
    }
}

impl Deref for Api {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

async fn answer(
    request: Request<Incoming>,
    gate: &Gate,
    fed: &mpsc::UnboundedSender<BodySender>,
) -> Response<Body> {
    let path = request.uri().path().to_owned();
    if let Some(word) = path.strip_prefix("/say/") {
        return text(word.to_owned());
    }
    if let Some(word) = path.strip_prefix("/held/") {
        gate.pass().await;
        return text(word.to_owned());
    }
    match path.as_str() {
        "/feed" => {
            let (sender, body) = channel_body();
            // An error only says that the test is over.
            let _ = fed.send(sender);
            respond(http::StatusCode::OK, body)
        }
        "/large" => respond(http::StatusCode::OK, full(vec![b'x'; LARGE])),
        _ => echo(request),
    }
}
