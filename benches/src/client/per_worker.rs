//! What sharing one session costs: a session for each worker instead.

use bytes::Bytes;

use super::{Client, Ours, Setup, Target};
use crate::runtime::worker;

/// A session for each of two workers; a request goes through that of the worker that it begins on.
#[derive(Debug, Clone)]
pub struct PerWorker([Ours; 2]);

impl PerWorker {
    fn ours(&mut self) -> &mut Ours {
        let count = self.0.len();
        &mut self.0[worker() % count]
    }
}

impl Client for PerWorker {
    const NAME: &'static str = "a session a worker";

    async fn open(setup: Setup, target: &Target) -> Self {
        Self([
            Ours::open(setup, target).await,
            Ours::open(setup, target).await,
        ])
    }

    async fn for_task(&self, _: &Target) -> Self {
        self.clone()
    }

    async fn get(&mut self, target: &Target) -> Bytes {
        self.ours().get(target).await
    }

    async fn text(&mut self, target: &Target) -> String {
        self.ours().text(target).await
    }

    async fn download(&mut self, target: &Target) -> u64 {
        self.ours().download(target).await
    }

    async fn upload(&mut self, target: &Target, bytes: u64) {
        self.ours().upload(target, bytes).await;
    }
}
