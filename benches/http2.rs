//! Many tasks on one HTTP/2 connection, by prior knowledge.

use benches::client::{Client, Legacy, Ours, Reqwest, Setup, Target};
use benches::runtime::current_thread;
use benches::server::start_http2;
use benches::work::{TASKS, contend, for_tasks};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};

/// Requests that each task makes in one iteration.
const EACH: usize = 10;

fn http2(criterion: &mut Criterion) {
    let target = Target::new(start_http2(), "/");
    let mut group = criterion.benchmark_group(format!("http2/{TASKS}_tasks"));
    group.throughput(Throughput::Elements((TASKS * EACH) as u64));
    bench::<Legacy>(&mut group, &target);
    bench::<Reqwest>(&mut group, &target);
    bench::<Ours>(&mut group, &target);
}

fn bench<C: Client>(group: &mut BenchmarkGroup<'_, WallTime>, target: &Target) {
    let runtime = current_thread();
    let mut clients = runtime.block_on(async {
        let client = C::open(Setup::Http2, target).await;
        for_tasks(&client, target, TASKS).await
    });
    group.bench_function(C::NAME, |bencher| {
        bencher.iter(|| {
            clients = runtime.block_on(contend(std::mem::take(&mut clients), target, EACH));
        });
    });
}

criterion_group!(benches, http2);
criterion_main!(benches);
