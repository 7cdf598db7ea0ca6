//! The parts of the pool without a lock, in every order in which their steps can happen.
//!
//! The sources themselves are included, with the model checker's atomics in place of the real ones.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "the included files are parts of the crate"
)]

/// What `src/pool/sync.rs` names.
mod sync {
    use std::task::Waker;

    use loom::sync::Mutex;
    use loom::sync::atomic::{self, fence};

    pub use loom::sync::atomic::Ordering;

    // The checker would find orders that do not exist: it takes a sequentially consistent access for
    // one that acquires and releases, and lets a store come between the two halves of a swap. Its
    // fences and its swaps it takes for what they are; so what a processor does that has a fence
    // after such a store, and none at a load, is what is checked.

    fn write<T>(ordering: Ordering, write: impl FnOnce() -> T) -> T {
        let result = write();
        if ordering == Ordering::SeqCst {
            fence(Ordering::SeqCst);
        }
        result
    }

    #[derive(Debug)]
    pub struct AtomicBool(atomic::AtomicBool);

    impl AtomicBool {
        pub fn new(value: bool) -> Self {
            Self(atomic::AtomicBool::new(value))
        }

        pub fn load(&self, ordering: Ordering) -> bool {
            self.0.load(ordering)
        }

        pub fn store(&self, value: bool, ordering: Ordering) {
            write(ordering, || self.0.swap(value, ordering));
        }

        pub fn swap(&self, value: bool, ordering: Ordering) -> bool {
            write(ordering, || self.0.swap(value, ordering))
        }
    }

    #[derive(Debug)]
    pub struct AtomicU8(atomic::AtomicU8);

    impl AtomicU8 {
        pub fn new(value: u8) -> Self {
            Self(atomic::AtomicU8::new(value))
        }

        pub fn store(&self, value: u8, ordering: Ordering) {
            write(ordering, || self.0.swap(value, ordering));
        }

        pub fn swap(&self, value: u8, ordering: Ordering) -> u8 {
            write(ordering, || self.0.swap(value, ordering))
        }

        pub fn fetch_or(&self, value: u8, ordering: Ordering) -> u8 {
            write(ordering, || self.0.fetch_or(value, ordering))
        }
    }

    #[derive(Debug)]
    pub struct AtomicU64(atomic::AtomicU64);

    impl AtomicU64 {
        pub fn new(value: u64) -> Self {
            Self(atomic::AtomicU64::new(value))
        }

        pub fn load(&self, ordering: Ordering) -> u64 {
            self.0.load(ordering)
        }

        pub fn store(&self, value: u64, ordering: Ordering) {
            write(ordering, || self.0.swap(value, ordering));
        }

        pub fn compare_exchange(
            &self,
            current: u64,
            new: u64,
            success: Ordering,
            failure: Ordering,
        ) -> Result<u64, u64> {
            write(success, || {
                self.0.compare_exchange(current, new, success, failure)
            })
        }
    }

    /// A cell that holds a waker: what it promises, by a lock. (The checker's own writes to stderr
    /// at each step.)
    #[derive(Debug)]
    pub struct AtomicWaker(Mutex<Option<Waker>>);

    impl AtomicWaker {
        pub fn new() -> Self {
            Self(Mutex::new(None))
        }

        pub fn register(&self, waker: &Waker) {
            let old = self.lock().replace(waker.clone());
            drop(old);
        }

        pub fn take(&self) -> Option<Waker> {
            self.lock().take()
        }

        pub fn wake(&self) {
            if let Some(waker) = self.take() {
                waker.wake();
            }
        }

        fn lock(&self) -> loom::sync::MutexGuard<'_, Option<Waker>> {
            self.0.lock().expect("nobody panics under it")
        }
    }
}

/// Checks in every order; with a third thread, in every one with at most two interruptions, unless
/// `LOOM_MAX_PREEMPTIONS` says otherwise.
fn check_three(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound.get_or_insert(2);
    builder.check(model);
}

#[path = "../src/pool/rota.rs"]
mod rota;
#[path = "../src/pool/signal.rs"]
mod signal;

mod signals {
    use std::future::poll_fn;
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;
    use std::task::{Poll, Wake, Waker};

    use loom::future::block_on;
    use loom::sync::atomic::{AtomicBool, Ordering};
    use loom::thread;

    use super::check_three;
    use super::signal::Signal;

    /// A task that polls until `is_ready`. If a wake-up is lost, it sleeps for ever, which the checker
    /// finds.
    fn drive(signal: &Signal, is_ready: impl Fn() -> bool) {
        block_on(poll_fn(|cx| {
            signal.begin(cx.waker());
            if is_ready() {
                return Poll::Ready(());
            }
            if signal.end() {
                cx.waker().wake_by_ref();
            }
            Poll::Pending
        }));
    }

    /// Another thread that brings something and then wakes.
    fn bring(signal: &Arc<Signal>) -> (Arc<AtomicBool>, thread::JoinHandle<()>) {
        let there = Arc::new(AtomicBool::new(false));
        let bringing = {
            let (signal, there) = (Arc::clone(signal), Arc::clone(&there));
            thread::spawn(move || {
                there.store(true, Ordering::Release);
                signal.wake_by_ref();
            })
        };
        (there, bringing)
    }

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    impl Count {
        fn get(&self) -> usize {
            self.0.load(Ordering::SeqCst)
        }
    }

    #[test]
    fn a_wake_at_any_moment_of_a_poll_reaches_the_task() {
        loom::model(|| {
            let signal = Arc::new(Signal::new());
            let (there, bringing) = bring(&signal);
            drive(&signal, || there.load(Ordering::Acquire));
            bringing.join().expect("no panic");
        });
    }

    #[test]
    fn of_two_wakes_at_once_neither_is_lost() {
        check_three(|| {
            let signal = Arc::new(Signal::new());
            let (one, bringing_one) = bring(&signal);
            let (other, bringing_other) = bring(&signal);
            drive(&signal, || {
                one.load(Ordering::Acquire) && other.load(Ordering::Acquire)
            });
            bringing_one.join().expect("no panic");
            bringing_other.join().expect("no panic");
        });
    }

    #[test]
    fn a_wake_reaches_the_task_that_has_taken_over() {
        loom::model(|| {
            let signal = Arc::new(Signal::new());
            let (there, bringing) = bring(&signal);
            let first = Waker::noop();
            signal.begin(first);
            // Left in the middle of its poll, or at its end.
            if !there.load(Ordering::Acquire) {
                signal.end();
            }
            drive(&signal, || there.load(Ordering::Acquire));
            bringing.join().expect("no panic");
        });
    }

    #[test]
    fn a_resting_connection_wakes_no_task_and_remembers_once_that_something_happened() {
        loom::model(|| {
            let count = Arc::new(Count::default());
            let signal = Arc::new(Signal::new());
            let task = Waker::from(Arc::clone(&count));
            signal.begin(&task);
            signal.rest();
            drop(task);
            assert_eq!(Arc::strong_count(&count), 1, "it holds no task");
            assert!(!signal.take_notice());
            let (_, bringing) = bring(&signal);
            let early = signal.take_notice();
            bringing.join().expect("no panic");
            assert!(early != signal.take_notice());
            assert_eq!(count.get(), 0);
        });
    }

    #[test]
    fn a_wake_during_the_poll_is_told_at_its_end_and_one_after_it_at_once() {
        loom::model(|| {
            let count = Arc::new(Count::default());
            let signal = Arc::new(Signal::new());
            signal.begin(&Waker::from(Arc::clone(&count)));
            let (_, bringing) = bring(&signal);
            let told = signal.end();
            bringing.join().expect("no panic");
            assert_eq!(usize::from(told) + count.get(), 1);
        });
    }

    #[test]
    fn a_limit_that_passes_ends_the_wait_for_it() {
        loom::model(|| {
            let signal = Arc::new(Signal::new());
            signal.arm(10);
            let timer = {
                let signal = Arc::clone(&signal);
                thread::spawn(move || {
                    let at = signal.armed().expect("it was armed before");
                    assert!(signal.pass(at));
                    signal.wake_by_ref();
                })
            };
            drive(&signal, || signal.has_passed());
            timer.join().expect("no panic");
            assert_eq!(signal.armed(), None);
        });
    }

    #[test]
    fn a_limit_that_was_changed_does_not_pass() {
        loom::model(|| {
            let signal = Arc::new(Signal::new());
            signal.arm(10);
            let timer = {
                let signal = Arc::clone(&signal);
                thread::spawn(move || {
                    let due = signal.armed().filter(|&at| at <= 10);
                    due.is_some_and(|at| signal.pass(at))
                })
            };
            signal.disarm();
            signal.arm(20);
            timer.join().expect("no panic");
            assert!(!signal.pass(10));
            assert!(signal.pass(20), "it had not passed");
            assert!(signal.has_passed() && signal.armed().is_none());
        });
    }
}

mod timers {
    use std::sync::Arc;

    use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use loom::thread;

    use super::check_three;
    use super::rota::Rota;
    use super::signal::Signal;

    /// A timer as in `timer.rs`, with the exchanges that it watches.
    struct Timer {
        rota: Rota,
        /// One nudge that was not taken, as in `Notify`.
        nudged: AtomicBool,
        exchanges: [Signal; 2],
        /// How many tasks there are.
        tasks: AtomicUsize,
    }

    /// How a task of the timer has come to rest.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Rest {
        Asleep { until: u64 },
        Ended,
    }

    impl Timer {
        fn new() -> Arc<Self> {
            Arc::new(Self {
                rota: Rota::new(),
                nudged: AtomicBool::new(false),
                exchanges: [Signal::new(), Signal::new()],
                tasks: AtomicUsize::new(0),
            })
        }

        /// As `Pool::arm`, `Timer::want` and `Timer::kick`. The rest of the task, if this starts one.
        fn arm(&self, exchange: usize, at: u64) -> Option<Rest> {
            self.exchanges[exchange].arm(at);
            (self.rota.is_later_than(at) && self.kick()).then(|| self.run())
        }

        fn kick(&self) -> bool {
            let idle = self.rota.call();
            if !idle {
                self.nudged.swap(true, Ordering::AcqRel);
            }
            idle
        }

        fn look_around(&self) -> Option<u64> {
            self.rota.looking();
            self.exchanges.iter().filter_map(Signal::armed).min()
        }

        /// As `run` in `expiry.rs`, up to a sleep that no nudge ends.
        fn run(&self) -> Rest {
            let others = self.tasks.fetch_add(1, Ordering::SeqCst);
            assert_eq!(others, 0, "one task sleeps or looks");
            loop {
                if let Some(until) = self.look_around() {
                    self.rota.sleeping(until);
                    if self.nudged.swap(false, Ordering::AcqRel) {
                        continue;
                    }
                    self.tasks.fetch_sub(1, Ordering::SeqCst);
                    return Rest::Asleep { until };
                }
                self.tasks.fetch_sub(1, Ordering::SeqCst);
                self.rota.stopped();
                if self.look_around().is_none() || !self.kick() {
                    return Rest::Ended;
                }
                self.tasks.fetch_add(1, Ordering::SeqCst);
            }
        }

        /// Goes on with those that a nudge wakes, and says until when the one that is left sleeps.
        fn settle(&self, mut rests: Vec<Rest>) -> Option<u64> {
            rests.retain(|rest| *rest != Rest::Ended);
            assert!(rests.len() <= 1, "one task: {rests:?}");
            let rest = rests.pop()?;
            let nudged = self.nudged.swap(false, Ordering::AcqRel);
            match if nudged { self.run() } else { rest } {
                Rest::Asleep { until } => Some(until),
                Rest::Ended => None,
            }
        }
    }

    fn with_task(timer: &Arc<Timer>) -> thread::JoinHandle<Option<Rest>> {
        assert!(timer.rota.call(), "the first");
        let timer = Arc::clone(timer);
        thread::spawn(move || Some(timer.run()))
    }

    /// Checks that somebody looks in time, now and if an earlier deadline is set next.
    fn assert_watched(timer: &Timer, rests: Vec<Rest>, deadline: u64) {
        let until = timer.settle(rests).expect("somebody watches");
        assert!(until <= deadline, "asleep until {until}, not {deadline}");
        assert!(timer.rota.is_later_than(until - 1));
    }

    fn check_two_deadlines(deadlines: [u64; 2], has_task: bool) {
        check_three(move || {
            let timer = Timer::new();
            let task = has_task.then(|| with_task(&timer));
            let other = {
                let timer = Arc::clone(&timer);
                thread::spawn(move || timer.arm(1, deadlines[1]))
            };
            let mut rests: Vec<_> = timer.arm(0, deadlines[0]).into_iter().collect();
            for thread in task.into_iter().chain([other]) {
                rests.extend(thread.join().expect("no panic"));
            }
            assert_watched(&timer, rests, deadlines[0].min(deadlines[1]));
        });
    }

    #[test]
    fn a_deadline_that_is_set_during_the_tasks_last_look_is_not_missed() {
        loom::model(|| {
            let timer = Timer::new();
            let task = with_task(&timer);
            let mut rests: Vec<_> = timer.arm(0, 10).into_iter().collect();
            rests.extend(task.join().expect("no panic"));
            assert_watched(&timer, rests, 10);
        });
    }

    #[test]
    fn a_deadline_that_is_set_when_the_task_has_just_woken_is_not_missed() {
        loom::model(|| {
            let timer = Timer::new();
            timer.exchanges[1].arm(30);
            // What the last sleep has left.
            timer.rota.sleeping(10);
            let task = with_task(&timer);
            let mut rests: Vec<_> = timer.arm(0, 20).into_iter().collect();
            rests.extend(task.join().expect("no panic"));
            assert_watched(&timer, rests, 20);
        });
    }

    #[test]
    fn an_earlier_deadline_that_is_set_before_the_task_sleeps_is_not_missed() {
        loom::model(|| {
            let timer = Timer::new();
            timer.exchanges[1].arm(20);
            let task = with_task(&timer);
            let mut rests: Vec<_> = timer.arm(0, 10).into_iter().collect();
            rests.extend(task.join().expect("no panic"));
            assert_watched(&timer, rests, 10);
        });
    }

    #[test]
    fn of_two_deadlines_during_the_tasks_last_look_neither_is_missed() {
        check_two_deadlines([10, 20], true);
        check_two_deadlines([20, 10], true);
    }

    #[test]
    fn two_deadlines_at_once_start_one_task() {
        check_two_deadlines([10, 20], false);
    }
}
