//! Many tasks on one client at once, on one worker and on two; and what it costs that two workers
//! share a session.

use benches::client::{Bare, Client, Legacy, Ours, PerWorker, Reqwest, Setup, Target};
use benches::runtime::workers;
use benches::server::Server;
use benches::work::{TASKS, contend, for_tasks};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};

/// Requests that each task makes in one iteration.
const EACH: usize = 20;

fn contention(criterion: &mut Criterion) {
    let target = Target::new(Server::start().address(), "/");
    for count in [1, 2] {
        let name = format!("contention/{TASKS}_tasks_{count}_workers");
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Elements((TASKS * EACH) as u64));
        bench::<Bare>(&mut group, &target, count);
        bench::<Legacy>(&mut group, &target, count);
        bench::<Reqwest>(&mut group, &target, count);
        bench::<Ours>(&mut group, &target, count);
        if count == 2 {
            bench::<PerWorker>(&mut group, &target, count);
        }
    }
}

fn bench<C: Client>(group: &mut BenchmarkGroup<'_, WallTime>, target: &Target, count: usize) {
    let runtime = workers(count);
    let mut clients = runtime.block_on(async {
        let client = C::open(Setup::Plain, target).await;
        for_tasks(&client, target, TASKS).await
    });
    group.bench_function(C::NAME, |bencher| {
        bencher.iter(|| {
            clients = runtime.block_on(contend(std::mem::take(&mut clients), target, EACH));
        });
    });
}

criterion_group!(benches, contention);
criterion_main!(benches);
