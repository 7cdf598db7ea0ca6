//! One GET after the other on a connection that stays: the client's thread beside the server's.

use std::time::Instant;

use benches::client::{Bare, Client, Legacy, Ours, Reqwest, Setup, Target};
use benches::runtime::current_thread;
use benches::server::Server;
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};

fn round_trip(criterion: &mut Criterion) {
    let target = Target::new(Server::start().address(), "/");
    let mut group = criterion.benchmark_group("round_trip");
    group.throughput(Throughput::Elements(1));
    bench::<Bare>(&mut group, &target);
    bench::<Legacy>(&mut group, &target);
    bench::<Reqwest>(&mut group, &target);
    bench::<Ours>(&mut group, &target);
}

fn bench<C: Client>(group: &mut BenchmarkGroup<'_, WallTime>, target: &Target) {
    let runtime = current_thread();
    let mut client = runtime.block_on(C::open(Setup::Plain, target));
    group.bench_function(C::NAME, |bencher| {
        bencher.iter_custom(|count| {
            runtime.block_on(async {
                let start = Instant::now();
                for _ in 0..count {
                    client.get(target).await;
                }
                start.elapsed()
            })
        });
    });
}

criterion_group!(benches, round_trip);
criterion_main!(benches);
