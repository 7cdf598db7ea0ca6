//! reqwest, without its default features.

use bytes::Bytes;

use super::chunks::Chunks;
use super::{Client, Setup, TIMEOUT, Target, default_headers};
use crate::server::BODY;

/// reqwest's client.
#[derive(Debug, Clone)]
pub struct Reqwest(reqwest::Client);

impl Client for Reqwest {
    const NAME: &'static str = "reqwest";

    async fn open(setup: Setup, _: &Target) -> Self {
        let builder = reqwest::Client::builder();
        let builder = match setup {
            Setup::Plain => builder,
            Setup::Full => builder.timeout(TIMEOUT).default_headers(default_headers()),
            Setup::Http2 => builder.http2_prior_knowledge(),
        };
        Self(builder.build().expect("a client"))
    }

    async fn for_task(&self, _: &Target) -> Self {
        self.clone()
    }

    async fn get(&mut self, target: &Target) -> Bytes {
        let answer = self.0.get(target.url()).send().await.expect("an answer");
        answer.bytes().await.expect("a body")
    }

    async fn text(&mut self, target: &Target) -> String {
        let answer = self.0.get(target.url()).send().await.expect("an answer");
        answer.text().await.expect("text")
    }

    async fn download(&mut self, target: &Target) -> u64 {
        let mut answer = self.0.get(target.url()).send().await.expect("an answer");
        let mut length = 0;
        while let Some(part) = answer.chunk().await.expect("a part") {
            length += part.len() as u64;
        }
        length
    }

    async fn upload(&mut self, target: &Target, bytes: u64) {
        let body = reqwest::Body::wrap(Chunks::new(bytes));
        let answer = self.0.post(target.url()).body(body).send().await;
        let body = answer.expect("an answer").bytes().await.expect("a body");
        assert_eq!(body, BODY);
    }
}
