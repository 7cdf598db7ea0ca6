//! hyper-util's legacy client.

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper_util::client::legacy::Client as HyperClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::time::timeout;

use super::chunks::Chunks;
use super::{Client, HEADERS, Setup, TIMEOUT, Target};
use crate::server::BODY;

/// hyper-util's legacy client.
#[derive(Debug, Clone)]
pub struct Legacy {
    client: HyperClient<HttpConnector, Empty<Bytes>>,
    /// A client has one type of body.
    uploads: HyperClient<HttpConnector, Chunks>,
}

impl Client for Legacy {
    const NAME: &'static str = "hyper-util";

    async fn open(setup: Setup, _: &Target) -> Self {
        let mut http = HttpConnector::new();
        http.set_nodelay(true);
        let mut builder = HyperClient::builder(TokioExecutor::new());
        builder.http2_only(setup == Setup::Http2);
        Self {
            client: builder.build(http.clone()),
            uploads: builder.build(http),
        }
    }

    async fn for_task(&self, _: &Target) -> Self {
        self.clone()
    }

    async fn get(&mut self, target: &Target) -> Bytes {
        let request = Request::get(target.url()).body(Empty::new());
        let answer = self.client.request(request.expect("a request")).await;
        let body = answer.expect("an answer").into_body().collect().await;
        body.expect("a body").to_bytes()
    }

    async fn text(&mut self, target: &Target) -> String {
        let in_time = timeout(TIMEOUT, async {
            let mut request = Request::get(target.url());
            for (name, value) in HEADERS.iter() {
                request = request.header(name, value);
            }
            let request = request.body(Empty::new()).expect("a request");
            let answer = self.client.request(request).await.expect("an answer");
            let body = answer.into_body().collect().await;
            body.expect("a body").to_bytes()
        });
        let body = in_time.await.expect("in time");
        String::from_utf8(body.into()).expect("text")
    }

    async fn download(&mut self, target: &Target) -> u64 {
        let request = Request::get(target.url()).body(Empty::new());
        let answer = self.client.request(request.expect("a request")).await;
        let mut body = answer.expect("an answer").into_body();
        let mut length = 0;
        while let Some(frame) = body.frame().await {
            let data = frame.expect("a part").into_data();
            length += data.map_or(0, |data| data.len() as u64);
        }
        length
    }

    async fn upload(&mut self, target: &Target, bytes: u64) {
        let request = Request::post(target.url()).body(Chunks::new(bytes));
        let answer = self.uploads.request(request.expect("a request")).await;
        let body = answer.expect("an answer").into_body().collect().await;
        assert_eq!(body.expect("a body").to_bytes(), BODY);
    }
}
