//! Tasks that open, swap and close sessions while others use them.

use std::sync::Mutex;

use hyper_session::{ErrorKind, Session, SessionBuilder, SessionHolder, WhenClosed};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep};

use super::dice::{Dice, ms};
use super::event::{Deed, Event};
use super::network::Network;
use super::patience::Patience;
use super::settings::{Limits, Settings};
use super::world::World;

/// What a close may take beyond what it waits for, in milliseconds: goodbyes take no time here.
const GOODBYE: u64 = 2;

/// Makes builders of sessions whose requests tell the servers whose they are.
#[derive(Clone, Debug)]
pub struct Workshop {
    pub world: World,
    pub settings: Settings,
}

impl Workshop {
    /// A builder whose sessions share one connector.
    pub fn of_many(&self, dice: &mut Dice, limits: Limits) -> SessionBuilder<Network> {
        self.builder(dice, limits, None)
    }

    /// A builder of a single session.
    pub fn of_one(&self, dice: &mut Dice, limits: Limits) -> SessionBuilder<Network> {
        self.builder(dice, limits, Some(limits))
    }

    fn builder(
        &self,
        dice: &mut Dice,
        limits: Limits,
        of_network: Option<Limits>,
    ) -> SessionBuilder<Network> {
        let network = Network::new(&self.world, dice.fork(), self.settings, of_network);
        let world = self.world.clone();
        let yields = dice.pick(&[0, 0, 1, 4]);
        let own_dice = Mutex::new(dice.fork());
        let builder = self.settings.builder(&limits, network);
        builder.on_open(move |session| {
            let world = world.clone();
            let fails = of_network.is_none() && own_dice.lock().unwrap().chance(8);
            async move {
                for _ in 0..yields {
                    yield_now().await;
                }
                if fails {
                    world.hook_fails();
                    return Err("not today");
                }
                let number = world.add_session(limits).into();
                let headers = [("x-session".parse().expect("a name"), number)];
                Ok::<_, &str>(session.with_default_headers(headers.into_iter().collect()))
            }
        })
    }

    /// A holder with settings of its own.
    pub fn holder(&self, dice: &mut Dice) -> SessionHolder<Network> {
        let limits = Limits::draw(dice);
        let when_closed = dice.pick(&[WhenClosed::OneShot, WhenClosed::Open, WhenClosed::Refuse]);
        let builder = self.of_many(dice, limits).when_closed(when_closed);
        builder.build().expect("valid settings")
    }
}

/// Looks after a bare session.
pub async fn keep_session(world: World, mut dice: Dice, session: Session, closes: bool) {
    for _ in 0..dice.number(0..=2) {
        sleep(ms(dice.millis(0..=60))).await;
        world.note(Event::Does(Deed::CloseIdle));
        session.close_idle();
    }
    if !closes {
        return;
    }
    sleep(ms(dice.millis(0..=60))).await;
    world.closes();
    if dice.chance(40) {
        let patience = Patience::draw(&mut dice, 30);
        world.note(Event::Does(Deed::Close));
        let began = Instant::now();
        let report = patience.wait(session.close()).await;
        world.note(Event::Done(Deed::Close, None));
        if report.is_some() {
            expect_nothing_left(&world);
            // Not for what nobody waits for: drains, and uploads whose answers have been read.
            world.expect(
                began.elapsed().min(world.since_last_progress()) <= ms(GOODBYE),
                || "a close waited for more than the last exchange".to_owned(),
            );
        }
        return;
    }
    let limit = dice.millis(0..=40);
    let began = Instant::now();
    world.note(Event::Does(Deed::CloseWithin(limit)));
    session.close_within(ms(limit)).await;
    world.note(Event::Done(Deed::CloseWithin(limit), None));
    expect_in_time(&world, limit, began);
    expect_nothing_left(&world);
}

/// Opens, swaps and closes a holder's sessions.
pub async fn keep_holder(shop: Workshop, mut dice: Dice, holder: SessionHolder<Network>) {
    for _ in 0..dice.number(1..=4) {
        sleep(ms(dice.millis(0..=40))).await;
        let patience = Patience::draw(&mut dice, 25);
        let world = &shop.world;
        let limit = dice.millis(0..=30);
        let deed = dice.pick(&[
            Deed::Start,
            Deed::Start,
            Deed::Swap,
            Deed::Close,
            Deed::CloseWithin(limit),
            Deed::Enter,
            Deed::CloseIdle,
        ]);
        world.note(Event::Does(deed));
        let result = match deed {
            Deed::Start => patience.wait(holder.start_session()).await,
            Deed::Swap => {
                let limits = Limits::draw(&mut dice);
                let builder = shop.of_one(&mut dice, limits);
                patience.wait(holder.start_session_with(builder)).await
            }
            Deed::Close => patience.wait(holder.close_session()).await.map(|_| Ok(())),
            Deed::CloseWithin(limit) => {
                let began = Instant::now();
                let closed = patience.wait(holder.close_session_within(ms(limit))).await;
                expect_in_time(world, limit, began);
                closed.map(|_| Ok(()))
            }
            Deed::Enter => {
                let entered = patience.wait(holder.enter_session()).await;
                sleep(ms(dice.millis(0..=20))).await;
                entered.map(|entered| entered.map(drop))
            }
            _ => {
                if let Ok(session) = holder.session() {
                    session.close_idle();
                }
                None
            }
        };
        let failed = result.and_then(Result::err).map(|error| error.kind());
        world.note(Event::Done(deed, failed));
        let explained =
            failed.is_none_or(|kind| matches!(kind, ErrorKind::Closed | ErrorKind::Hook));
        world.expect(explained, || format!("{deed:?} failed: {failed:?}"));
    }
}

fn expect_in_time(world: &World, limit: u64, began: Instant) {
    let took = began.elapsed();
    world.expect(took <= ms(limit + GOODBYE), || {
        format!("a close within {limit} ms took {took:?}")
    });
}

pub fn expect_nothing_left(world: &World) {
    let sockets = world.sockets();
    world.expect((sockets.live, sockets.connecting) == (0, 0), || {
        format!("closed, and still {sockets:?}")
    });
}
