//! What a schedule is about: how its sessions are set and how rough its network is.

use hyper_session::{Connector, Session, SessionBuilder};

use super::dice::{Dice, ms};

/// Limits of one session's pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub total: usize,
    pub per_origin: Option<usize>,
    pub idle_per_origin: Option<usize>,
    pub requests: Option<u64>,
    pub age: Option<u64>,
    pub idle: Option<u64>,
}

/// What all sessions of a schedule have in common. Times are milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    pub pool: Option<u64>,
    pub connect: u64,
    pub head: u64,
    pub read: u64,
    pub retry_stale: bool,
    pub drain_bytes: u64,
    /// How many in a hundred dials, answers and idle connections fare badly.
    pub trouble: u32,
    pub origins: usize,
}

impl Limits {
    pub fn draw(dice: &mut Dice) -> Self {
        let total = dice.number(1..=8);
        Self {
            total: dice.pick(&[total, 1, 1, 2]),
            per_origin: dice.pick(&[None, None, Some(1), Some(2), Some(3)]),
            idle_per_origin: dice.pick(&[None, None, None, Some(0), Some(1), Some(2)]),
            requests: dice.pick(&[None, None, Some(1), Some(2), Some(3)]),
            // Below 20 ms nothing is taken off an age at random.
            age: dice.pick(&[None, None, None, Some(5), Some(19)]),
            idle: dice.pick(&[
                Some(50_000),
                Some(50_000),
                None,
                Some(1),
                Some(8),
                Some(1500),
            ]),
        }
    }

    /// How many connections to one origin there may be.
    pub fn of_one_origin(&self) -> usize {
        self.per_origin.unwrap_or(self.total).min(self.total)
    }
}

impl Settings {
    pub fn draw(dice: &mut Dice) -> Self {
        Self {
            pool: dice.pick(&[None, None, Some(3), Some(20), Some(100)]),
            connect: dice.millis(30..=60),
            head: dice.millis(80..=200),
            read: dice.millis(80..=200),
            retry_stale: dice.chance(80),
            drain_bytes: dice.pick(&[0, 100, 64 * 1024]),
            trouble: dice.pick(&[0, 5, 20, 40]),
            origins: dice.number(2..=3),
        }
    }

    pub fn builder<C: Connector>(&self, limits: &Limits, connector: C) -> SessionBuilder<C> {
        Session::builder()
            .connector(connector)
            .pool_max_connections(limits.total)
            .pool_max_per_origin(limits.per_origin)
            .pool_max_idle_per_origin(limits.idle_per_origin)
            .pool_max_requests(limits.requests)
            .pool_max_age(limits.age.map(ms))
            .pool_idle_timeout(limits.idle.map(ms))
            .pool_timeout(self.pool.map(ms))
            .connect_timeout(ms(self.connect))
            .write_timeout(ms(self.head))
            .head_timeout(ms(self.head))
            .read_timeout(ms(self.read))
            .retry_stale(self.retry_stale)
            .pool_drain_bytes(self.drain_bytes)
    }
}
