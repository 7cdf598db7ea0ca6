//! A thousand tasks at once, ten requests each, on a client that has no connection yet. Prints as well
//! how many connections that opened, of all bursts the most.

use benches::client::{Bare, Client, Legacy, Ours, Reqwest, Target};
use benches::runtime::workers;
use benches::server::Server;
use benches::work::burst;
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};

const BURST: usize = 1_000;
const EACH: usize = 10;

fn bursts(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group(format!("burst/{BURST}_tasks_by_{EACH}"));
    group
        .throughput(Throughput::Elements((BURST * EACH) as u64))
        .sample_size(10);
    bench::<Bare>(&mut group);
    bench::<Legacy>(&mut group);
    bench::<Reqwest>(&mut group);
    bench::<Ours>(&mut group);
}

fn bench<C: Client>(group: &mut BenchmarkGroup<'_, WallTime>) {
    let server = Server::start();
    let target = Target::new(server.address(), "/");
    let runtime = workers(2);
    let mut most = 0;
    group.bench_function(C::NAME, |bencher| {
        bencher.iter(|| {
            let before = server.accepted();
            runtime.block_on(burst::<C>(&target, BURST, EACH));
            most = most.max(server.accepted() - before);
        });
    });
    println!("{}: {most} connections", C::NAME);
}

criterion_group!(benches, bursts);
criterion_main!(benches);
