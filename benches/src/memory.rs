//! What a connection holds of its process's memory, by a counting allocator.
//!
//! All runs on one thread, whose allocations less its releases are counted: buffers, the tasks, and
//! what hyper, tokio and the client keep for it. What a client holds without a connection is left out.

use std::time::Duration;

use allocation_counter::measure;
use tokio::runtime::Runtime;
use tokio::task::{JoinHandle, yield_now};
use tokio::time::sleep;

use crate::client::{Client, Setup, Target};
use crate::runtime::current_thread;
use crate::server::Server;
use crate::work::for_tasks;

/// As many as a session opens by default.
const CONNECTIONS: usize = 100;

/// How long a connection has idled when it counts as one that idles.
const IDLE: Duration = Duration::from_millis(2_500);

/// What a large download brings, in bytes.
const LARGE: usize = 16 * 1024 * 1024;

/// Bytes that one connection holds.
#[derive(Debug, Clone, Copy)]
pub struct Held {
    /// While its request waits for an answer; the task that made it is included.
    pub in_flight: f64,
    /// Right after a small answer.
    pub given_back: f64,
    /// Two seconds and a half later.
    pub idle: f64,
    /// Right after an answer of 16 MiB that was read part by part.
    pub given_back_after_download: f64,
    /// Two seconds and a half later.
    pub idle_after_download: f64,
}

/// Measures a client.
pub fn held<C: Client>() -> Held {
    let runtime = current_thread();
    let server = Server::start();
    let together = Target::new(server.address(), &format!("/together/{CONNECTIONS}"));
    let large = Target::new(server.address(), &format!("/ascii/{LARGE}"));

    let client = runtime.block_on(C::open(Setup::Plain, &together));
    let mut clients = Vec::with_capacity(CONNECTIONS);
    let mut tasks: Vec<JoinHandle<C>> = Vec::with_capacity(CONNECTIONS);

    let opening = net_bytes(&runtime, async {
        // All but one, who would let the others go.
        for mut client in for_tasks(&client, &together, CONNECTIONS - 1).await {
            let target = together.clone();
            tasks.push(tokio::spawn(async move {
                client.get(&target).await;
                client
            }));
        }
        while server.held() < CONNECTIONS - 1 {
            yield_now().await;
        }
    });
    let answering = net_bytes(&runtime, async {
        let mut last = client.for_task(&together).await;
        last.get(&together).await;
        clients.push(last);
        for task in tasks.drain(..) {
            clients.push(task.await.expect("it does not panic"));
        }
    });
    let resting = net_bytes(&runtime, async { sleep(IDLE).await });
    let downloading = net_bytes(&runtime, async {
        for mut client in clients.drain(..) {
            let target = large.clone();
            tasks.push(tokio::spawn(async move {
                assert_eq!(client.download(&target).await, LARGE as u64);
                client
            }));
        }
        for task in tasks.drain(..) {
            clients.push(task.await.expect("it does not panic"));
        }
    });
    let resting_again = net_bytes(&runtime, async { sleep(IDLE).await });
    drop(clients);

    let each = CONNECTIONS as f64;
    let given_back = opening + answering;
    let idle = given_back + resting;
    let after_download = idle + downloading;
    Held {
        in_flight: opening / (each - 1.0),
        given_back: given_back / each,
        idle: idle / each,
        given_back_after_download: after_download / each,
        idle_after_download: (after_download + resting_again) / each,
    }
}

/// By how much more the calling thread holds afterwards.
fn net_bytes(runtime: &Runtime, work: impl Future<Output = ()>) -> f64 {
    let mut work = Some(work);
    let counted = measure(|| runtime.block_on(work.take().expect("it is called once")));
    counted.bytes_current as f64
}
