//! Runtimes and where they run.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use tokio::runtime::{Builder, Runtime};

thread_local! {
    static WORKER: Cell<usize> = const { Cell::new(0) };
}

/// A runtime on the calling thread.
pub fn current_thread() -> Runtime {
    let built = Builder::new_current_thread().enable_all().build();
    built.expect("a runtime")
}

/// A runtime with that many threads, each of which knows its number.
pub fn workers(count: usize) -> Runtime {
    let started = AtomicUsize::new(0);
    let built = Builder::new_multi_thread()
        .worker_threads(count)
        .on_thread_start(move || WORKER.set(started.fetch_add(1, Ordering::Relaxed)))
        .enable_all()
        .build();
    built.expect("a runtime")
}

/// The number of the worker that this runs on, from 0.
pub fn worker() -> usize {
    WORKER.get()
}

/// Keeps the calling thread on the last core that it may run on: the same for all who call this.
pub fn pin_to_one_core() {
    let allowed = sched_getaffinity(None).expect("the thread's own cores");
    let last = (0..CpuSet::MAX_CPU)
        .rev()
        .find(|&core| allowed.is_set(core));
    let mut one = CpuSet::new();
    one.set(last.expect("it runs somewhere"));
    sched_setaffinity(None, &one).expect("one of the allowed cores");
}
