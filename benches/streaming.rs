//! 256 MiB down and up, part by part, on a connection that stays.

use benches::client::{Bare, Client, Legacy, Ours, Reqwest, Setup, Target};
use benches::runtime::current_thread;
use benches::server::Server;
use benches::work::STREAMED;
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};

fn streaming(criterion: &mut Criterion) {
    let server = Server::start();
    for direction in [Direction::Down, Direction::Up] {
        let path = match direction {
            Direction::Down => format!("/ascii/{STREAMED}"),
            Direction::Up => "/upload".to_owned(),
        };
        let target = Target::new(server.address(), &path);
        let mut group = criterion.benchmark_group(format!("streaming/{direction:?}"));
        group
            .throughput(Throughput::Bytes(STREAMED))
            .sample_size(20);
        bench::<Bare>(&mut group, &target, direction);
        bench::<Legacy>(&mut group, &target, direction);
        bench::<Reqwest>(&mut group, &target, direction);
        bench::<Ours>(&mut group, &target, direction);
    }
}

#[derive(Debug, Clone, Copy)]
enum Direction {
    Down,
    Up,
}

fn bench<C: Client>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    target: &Target,
    direction: Direction,
) {
    let runtime = current_thread();
    let mut client = runtime.block_on(C::open(Setup::Plain, target));
    group.bench_function(C::NAME, |bencher| {
        bencher.iter(|| {
            runtime.block_on(async {
                match direction {
                    Direction::Down => assert_eq!(client.download(target).await, STREAMED),
                    Direction::Up => client.upload(target, STREAMED).await,
                }
            });
        });
    });
}

criterion_group!(benches, streaming);
criterion_main!(benches);
