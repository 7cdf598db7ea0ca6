//! What the clients are given to do.

use futures::future::join_all;

use crate::client::{Client, Setup, Target};
use crate::server::BODY;

/// So many tasks at once: as many as share a client in a busy service.
pub const TASKS: usize = 64;

/// What is streamed in one go: 256 MiB.
pub const STREAMED: u64 = 256 * 1024 * 1024;

/// Gets [`BODY`] so many times, once after the other.
pub async fn sequential<C: Client>(client: &mut C, target: &Target, count: usize) {
    for _ in 0..count {
        assert_eq!(client.get(target).await, BODY);
    }
}

/// Clients for so many tasks.
pub async fn for_tasks<C: Client>(client: &C, target: &Target, tasks: usize) -> Vec<C> {
    let mut clients = Vec::with_capacity(tasks);
    for _ in 0..tasks {
        clients.push(client.for_task(target).await);
    }
    clients
}

/// Each client gets [`BODY`] so many times, in a task of its own. Returns the clients.
pub async fn contend<C: Client>(clients: Vec<C>, target: &Target, each: usize) -> Vec<C> {
    let tasks = clients.into_iter().map(|mut client| {
        let target = target.clone();
        tokio::spawn(async move {
            sequential(&mut client, &target, each).await;
            client
        })
    });
    let done = join_all(tasks.collect::<Vec<_>>()).await;
    done.into_iter()
        .map(|client| client.expect("no task panics"))
        .collect()
}

/// So many tasks, each making so many requests, on a client that has no connection yet.
pub async fn burst<C: Client>(target: &Target, tasks: usize, each: usize) {
    let client = C::open(Setup::Plain, target).await;
    let clients = for_tasks(&client, target, tasks).await;
    drop(contend(clients, target, each).await);
}
