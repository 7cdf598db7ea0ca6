//! Timing in rounds: in each of them every case runs once, so that what else the machine does hits
//! all alike.

use std::fmt;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// What is compared, by name.
pub struct Case<'a> {
    name: &'static str,
    run: Box<dyn FnMut() + 'a>,
}

impl<'a> Case<'a> {
    /// A case that runs that.
    pub fn new(name: &'static str, run: impl FnMut() + 'a) -> Self {
        let run = Box::new(run);
        Self { name, run }
    }
}

impl fmt::Debug for Case<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Case")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// How long a case took in each round.
#[derive(Debug, Clone)]
pub struct Timed {
    name: &'static str,
    rounds: Vec<Time>,
}

/// How long something took.
#[derive(Debug, Clone, Copy)]
pub struct Time {
    /// On the clock.
    pub wall: Duration,
    /// On the processor, of the calling thread.
    pub cpu: Duration,
}

impl Timed {
    /// Turns the time of each round into a figure.
    pub fn measured(&self, figure: impl FnMut(&Time) -> f64) -> Measured {
        Measured {
            name: self.name,
            values: self.rounds.iter().map(figure).collect(),
        }
    }
}

/// What was measured of a case, round by round.
#[derive(Debug, Clone)]
pub struct Measured {
    /// Of which case.
    pub name: &'static str,
    /// Of each round.
    pub values: Vec<f64>,
}

impl Measured {
    /// What was measured once.
    pub fn once(name: &'static str, value: f64) -> Self {
        Self {
            name,
            values: vec![value],
        }
    }

    /// The middle one of the rounds.
    pub fn median(&self) -> f64 {
        median(self.values.clone())
    }
}

/// The middle one, or the mean of the two in the middle.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len().is_multiple_of(2) {
        values[middle - 1].midpoint(values[middle])
    } else {
        values[middle]
    }
}

/// Runs so many rounds, each beginning with another case, after one that does not count.
pub fn interleave<const N: usize>(rounds: usize, mut cases: [Case<'_>; N]) -> [Timed; N] {
    let mut timed = cases.each_ref().map(|case| Timed {
        name: case.name,
        rounds: Vec::with_capacity(rounds),
    });
    for round in 0..=rounds {
        for step in 0..N {
            let turn = (round + step) % N;
            let time = time(&mut cases[turn].run);
            if round > 0 {
                timed[turn].rounds.push(time);
            }
        }
    }
    timed
}

fn time(work: impl FnOnce()) -> Time {
    let (wall, cpu) = (Instant::now(), thread_cpu());
    work();
    Time {
        wall: wall.elapsed(),
        cpu: thread_cpu().saturating_sub(cpu),
    }
}

fn thread_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).expect("it runs forwards")
}
