//! A bare hyper connection, spawned: what everybody else is built on.

use bytes::Bytes;
use http::HeaderValue;
use http::header::HOST;
use http_body::Body;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::chunks::Chunks;
use super::{Client, HEADERS, Setup, TIMEOUT, Target};
use crate::server::BODY;

/// One connection, HTTP/1 only.
#[derive(Debug)]
pub struct Bare {
    sender: SendRequest<Empty<Bytes>>,
    host: HeaderValue,
    /// A connection has one type of body.
    uploads: Option<SendRequest<Chunks>>,
}

async fn connect<B>(target: &Target) -> SendRequest<B>
where
    B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
{
    let stream = TcpStream::connect(&target.authority).await;
    let stream = stream.expect("a connection");
    stream.set_nodelay(true).expect("a socket option");
    let (sender, connection) = handshake(TokioIo::new(stream)).await.expect("a handshake");
    tokio::spawn(connection);
    sender
}

impl Bare {
    async fn answer(&mut self, request: Request<Empty<Bytes>>) -> Response<Incoming> {
        self.sender.ready().await.expect("an open connection");
        let answer = self.sender.send_request(request).await;
        answer.expect("an answer")
    }
}

impl Client for Bare {
    const NAME: &'static str = "bare";

    async fn open(setup: Setup, target: &Target) -> Self {
        assert_ne!(setup, Setup::Http2, "it speaks HTTP/1 only");
        Self {
            sender: connect(target).await,
            host: target.authority.parse().expect("a header's value"),
            uploads: None,
        }
    }

    async fn for_task(&self, target: &Target) -> Self {
        Self::open(Setup::Plain, target).await
    }

    async fn get(&mut self, target: &Target) -> Bytes {
        let request = Request::get(&*target.path)
            .header(HOST, &self.host)
            .body(Empty::new());
        let answer = self.answer(request.expect("a request")).await;
        let body = answer.into_body().collect().await;
        body.expect("a body").to_bytes()
    }

    async fn text(&mut self, target: &Target) -> String {
        let in_time = timeout(TIMEOUT, async {
            let mut request = Request::get(&*target.path).header(HOST, &self.host);
            for (name, value) in HEADERS.iter() {
                request = request.header(name, value);
            }
            let answer = self.answer(request.body(Empty::new()).expect("a request"));
            let body = answer.await.into_body().collect().await;
            body.expect("a body").to_bytes()
        });
        let body = in_time.await.expect("in time");
        String::from_utf8(body.into()).expect("text")
    }

    async fn download(&mut self, target: &Target) -> u64 {
        let request = Request::get(&*target.path)
            .header(HOST, &self.host)
            .body(Empty::new());
        let mut body = self.answer(request.expect("a request")).await.into_body();
        let mut length = 0;
        while let Some(frame) = body.frame().await {
            let data = frame.expect("a part").into_data();
            length += data.map_or(0, |data| data.len() as u64);
        }
        length
    }

    async fn upload(&mut self, target: &Target, bytes: u64) {
        let mut sender = match self.uploads.take() {
            Some(sender) => sender,
            None => connect(target).await,
        };
        sender.ready().await.expect("an open connection");
        let request = Request::post(&*target.path)
            .header(HOST, &self.host)
            .body(Chunks::new(bytes));
        let answer = sender.send_request(request.expect("a request")).await;
        let body = answer.expect("an answer").into_body().collect().await;
        assert_eq!(body.expect("a body").to_bytes(), BODY);
        self.uploads = Some(sender);
    }
}
