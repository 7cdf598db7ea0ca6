//! Where all that is left to chance comes from: one seed.

use std::ops::RangeInclusive;
use std::time::Duration;

/// Random choices that the seed fixes, in the order in which they are made.
///
/// Each actor rolls its own, so that its way does not depend on how often the others have rolled.
#[derive(Debug)]
pub struct Dice(fastrand::Rng);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(fastrand::Rng::with_seed(seed))
    }

    pub fn fork(&mut self) -> Self {
        Self(self.0.fork())
    }

    pub fn chance(&mut self, percent: u32) -> bool {
        self.0.u32(0..100) < percent
    }

    pub fn number(&mut self, range: RangeInclusive<usize>) -> usize {
        self.0.usize(range)
    }

    /// A number of milliseconds.
    pub fn millis(&mut self, range: RangeInclusive<u64>) -> u64 {
        self.0.u64(range)
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.0.usize(..from.len())]
    }
}

pub fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
