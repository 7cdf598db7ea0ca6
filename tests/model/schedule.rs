//! One schedule: a runtime of its own with paused time, from the seed to the last task.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use hyper_session::{Session, SessionHolder, Stats};
use tokio::runtime::{Builder, Handle};
use tokio::task::yield_now;
use tokio::time::{sleep, timeout};

use super::client::{Client, Door, fill_all_places};
use super::dice::{Dice, ms};
use super::event::{Deed, Event};
use super::keeper::{Workshop, expect_nothing_left, keep_holder, keep_session};
use super::network::Network;
use super::settings::{Limits, Settings};
use super::world::World;

/// Longer, on the runtime's clock, than all time limits together.
const FOR_EVER: Duration = Duration::from_secs(600);

/// What a schedule did, with the milliseconds at which it did it.
#[derive(Debug, PartialEq, Eq)]
pub struct Trace {
    pub events: Vec<(u64, Event)>,
    pub violations: usize,
}

thread_local! {
    static PANICS: Cell<usize> = const { Cell::new(0) };
}

/// Has the panics of tasks counted, which tokio would keep to itself.
pub fn count_panics() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        PANICS.set(PANICS.get() + 1);
        before(panic);
    }));
}

pub fn run(seed: u64) -> Trace {
    let panics = PANICS.get();
    let mut dice = Dice::new(seed);
    let settings = Settings::draw(&mut dice);
    let world = World::new(settings);
    let quiet = world.clone();
    let runtime = Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .on_thread_park(move || quiet.audit())
        .build()
        .expect("a runtime can be built");
    let running = world.clone();
    let ran = catch_unwind(AssertUnwindSafe(|| {
        runtime.block_on(async {
            running.begin();
            let all = Schedule {
                world: running.clone(),
                dice,
                settings,
            };
            if timeout(FOR_EVER, all.run()).await.is_err() {
                running.violation("it hangs");
            }
        });
    }));
    world.watch(None);
    if ran.is_err() || PANICS.get() > panics {
        world.violation("something panicked");
    }
    let (events, violations) = world.take_events();
    Trace { events, violations }
}

struct Schedule {
    world: World,
    dice: Dice,
    settings: Settings,
}

impl Schedule {
    async fn run(mut self) {
        if self.dice.chance(60) {
            self.run_session().await;
        } else {
            self.run_holder().await;
        }
    }

    async fn run_session(&mut self) {
        let limits = Limits::draw(&mut self.dice);
        let builder = self.workshop().of_one(&mut self.dice, limits);
        let session = builder.open().await.expect("valid settings");
        self.world.watch(Some(session.clone()));
        let closes = self.dice.chance(25);
        let mut tasks = self.clients(&Door::Session(session.clone()));
        let keeper = keep_session(
            self.world.clone(),
            self.dice.fork(),
            session.clone(),
            closes,
        );
        tasks.push(self.spawn(keeper));
        for task in tasks {
            task.await
                .expect("a task of the simulation's own is not cut");
        }
        self.settle(|| session.stats()).await;
        // One that was given up before its first poll has not begun.
        let closes = session.is_closing();
        if !closes && self.dice.chance(30) {
            let origin = self.dice.number(0..=self.settings.origins - 1);
            let places = limits.of_one_origin();
            fill_all_places(&self.world, &session, origin, places).await;
            self.settle(|| session.stats()).await;
        }
        self.world.check_idle(&limits);
        let stats = session.stats();
        if !closes {
            let (opened, reused) = (self.world.sockets().opened, self.world.reused());
            self.world
                .expect((stats.opened, stats.reused) == (opened, reused), || {
                    format!("{opened} opened, {reused} reused: {stats:?}")
                });
        }
        self.end_session(session, closes).await;
        self.expect_tasks_gone().await;
    }

    async fn end_session(&mut self, session: Session, is_closed: bool) {
        self.world.watch(None);
        self.world.closes();
        if is_closed {
            expect_nothing_left(&self.world);
        }
        match self.dice.number(0..=2) {
            0 => {
                let report = session.close().await;
                self.world.expect(
                    (report.stats.open, report.stats.connecting) == (0, 0)
                        && (is_closed || report.severed == 0),
                    || format!("{report:?}"),
                );
            }
            1 => {
                session.close_within(ms(self.dice.millis(0..=20))).await;
            }
            _ => {
                self.world.note(Event::Does(Deed::DropLast));
                drop(session);
            }
        }
        expect_nothing_left(&self.world);
    }

    async fn run_holder(&mut self) {
        self.world.closes();
        let shop = self.workshop();
        let holder = shop.holder(&mut self.dice);
        let mut tasks = self.clients(&Door::Holder(holder.clone()));
        for _ in 0..self.dice.number(1..=2) {
            let keeper = keep_holder(shop.clone(), self.dice.fork(), holder.clone());
            tasks.push(self.spawn(keeper));
        }
        for task in tasks {
            task.await
                .expect("a task of the simulation's own is not cut");
        }
        self.settle(|| holder.stats()).await;
        self.end_holder(holder).await;
        self.expect_tasks_gone().await;
    }

    async fn end_holder(&mut self, holder: SessionHolder<Network>) {
        if self.dice.chance(70) {
            holder.close_session().await;
            self.world
                .expect(!holder.is_open(), || "closed, and open".to_owned());
        } else {
            self.world.note(Event::Does(Deed::DropLast));
            drop(holder);
        }
        expect_nothing_left(&self.world);
    }

    fn workshop(&self) -> Workshop {
        Workshop {
            world: self.world.clone(),
            settings: self.settings,
        }
    }

    fn clients(&mut self, door: &Door) -> Vec<tokio::task::JoinHandle<()>> {
        let crowd = self.dice.number(1..=5);
        (0..crowd)
            .map(|_| {
                let client =
                    Client::new(&self.world, self.dice.fork(), self.settings, door.clone());
                let visits = self.dice.number(1..=3);
                self.spawn(client.run(visits))
            })
            .collect()
    }

    fn spawn(
        &self,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> tokio::task::JoinHandle<()> {
        let own = self.world.count_task();
        tokio::spawn(async move {
            task.await;
            drop(own);
        })
    }

    /// Lets what the pool still has to do be done, and checks its books.
    async fn settle(&self, stats: impl Fn() -> Stats) {
        let is_settled = || {
            let (stats, sockets) = (stats(), self.world.sockets());
            (stats.in_use, stats.connecting, sockets.connecting) == (0, 0, 0)
                && sockets.live == stats.open
        };
        for pause in (0..80).map(|tries| 1 << (tries / 4)) {
            if is_settled() {
                break;
            }
            // What is left: drains, uploads and connects that nobody waits for.
            sleep(ms(pause.min(1000))).await;
        }
        let (now, sockets) = (stats(), self.world.sockets());
        self.world.expect(
            is_settled()
                && (now.waiting, now.exchanges, now.idle) == (0, 0, now.open)
                && now.opened - now.closed == now.open as u64,
            || format!("at the end {sockets:?}: {now:?}"),
        );
    }

    /// The session is gone, and so are its tasks: those that are left are the servers'.
    async fn expect_tasks_gone(&self) {
        let alive = || Handle::current().metrics().num_alive_tasks();
        for _ in 0..20 {
            yield_now().await;
        }
        let (all, own) = (alive(), self.world.own_tasks());
        self.world
            .expect(all == own, || format!("{all} tasks, {own} of them known"));
        // They have seen their ends, or will when they next look.
        for _ in 0..20 {
            if alive() == 0 {
                return;
            }
            sleep(ms(20)).await;
        }
        let all = alive();
        self.world
            .expect(all == 0, || format!("{all} tasks are left"));
    }
}
