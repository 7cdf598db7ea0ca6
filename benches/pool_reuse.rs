//! What an open session saves: each call a session of its own, against all calls on one.

use benches::client::Target;
use benches::runtime::{current_thread, workers};
use benches::server::Server;
use benches::work::TASKS;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use futures::future::join_all;
use hyper_session::{Result, SessionHolder};
use tokio::runtime::Runtime;

fn holder() -> SessionHolder {
    SessionHolder::builder()
        .build()
        .expect("the default settings are fine")
}

/// A call as an API's method would make it: on the open session, or on a one-shot.
async fn call(holder: &SessionHolder, url: &str) -> Result<usize> {
    let body = holder
        .with_session(|s| async move { s.get(url).send().await?.bytes().await })
        .await?;
    Ok(body.len())
}

fn sequential(criterion: &mut Criterion) {
    let runtime = current_thread();
    let target = Target::new(Server::start().address(), "/");
    let mut group = criterion.benchmark_group("pool_reuse/sequential");
    group.throughput(Throughput::Elements(1));
    for (name, holder) in holders(&runtime) {
        group.bench_function(name, |bencher| {
            bencher
                .to_async(&runtime)
                .iter(async || call(&holder, target.url()).await.expect("an answer"));
        });
    }
}

fn concurrent(criterion: &mut Criterion) {
    let runtime = workers(2);
    let target = Target::new(Server::start().address(), "/");
    let mut group = criterion.benchmark_group(format!("pool_reuse/{TASKS}_tasks"));
    group.throughput(Throughput::Elements(TASKS as u64));
    for (name, holder) in holders(&runtime) {
        group.bench_function(name, |bencher| {
            bencher.to_async(&runtime).iter(async || {
                let tasks = (0..TASKS).map(|_| {
                    let (holder, target) = (holder.clone(), target.clone());
                    tokio::spawn(async move { call(&holder, target.url()).await })
                });
                for done in join_all(tasks).await {
                    done.expect("no panic").expect("an answer");
                }
            });
        });
    }
}

/// A holder that is closed, so that each call makes a session for itself, and one that is open.
fn holders(runtime: &Runtime) -> [(&'static str, SessionHolder); 2] {
    let open = holder();
    runtime.block_on(open.start_session()).expect("a session");
    [("one_shot", holder()), ("session", open)]
}

criterion_group!(benches, sequential, concurrent);
criterion_main!(benches);
