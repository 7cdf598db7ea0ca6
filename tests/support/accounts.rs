//! What a session's books should say, and which tasks should be left.

use std::time::{Duration, Instant};

use hyper_session::Stats;
use tokio::runtime::Handle;
use tokio::task::yield_now;

/// The numbers of a session that say what is going on now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accounts {
    pub open: usize,
    pub idle: usize,
    pub in_use: usize,
    pub connecting: usize,
    pub waiting: usize,
    pub exchanges: usize,
}

impl Accounts {
    /// Nothing is open and nothing goes on.
    pub const NONE: Self = Self {
        open: 0,
        idle: 0,
        in_use: 0,
        connecting: 0,
        waiting: 0,
        exchanges: 0,
    };

    /// So many idle connections and nothing else.
    pub fn idle(connections: usize) -> Self {
        Self::NONE.and_idle(connections)
    }

    /// So many exchanges, each on its connection, and nothing else.
    pub fn busy(exchanges: usize) -> Self {
        Self::NONE.and_busy(exchanges)
    }

    pub fn and_idle(self, connections: usize) -> Self {
        Self {
            open: self.open + connections,
            idle: self.idle + connections,
            ..self
        }
    }

    pub fn and_busy(self, exchanges: usize) -> Self {
        Self {
            open: self.open + exchanges,
            in_use: self.in_use + exchanges,
            exchanges: self.exchanges + exchanges,
            ..self
        }
    }

    /// So many exchanges that are making their connection.
    pub fn and_connecting(self, exchanges: usize) -> Self {
        Self {
            connecting: self.connecting + exchanges,
            ..self.and_queued(exchanges)
        }
    }

    /// So many exchanges that wait for a connection.
    pub fn and_queued(self, exchanges: usize) -> Self {
        Self {
            waiting: self.waiting + exchanges,
            exchanges: self.exchanges + exchanges,
            ..self
        }
    }
}

impl From<&Stats> for Accounts {
    fn from(stats: &Stats) -> Self {
        Self {
            open: stats.open,
            idle: stats.idle,
            in_use: stats.in_use,
            connecting: stats.connecting,
            waiting: stats.waiting,
            exchanges: stats.exchanges,
        }
    }
}

/// Checks the books.
#[track_caller]
pub fn assert_accounts(stats: &Stats, expected: Accounts) {
    assert_eq!(Accounts::from(stats), expected, "{stats:?}");
    assert_eq!(
        stats.opened - stats.closed,
        stats.open as u64,
        "opened - closed = open: {stats:?}"
    );
}

/// How many tasks of the runtime were alive at some moment.
#[derive(Clone, Copy, Debug)]
pub struct AliveTasks(usize);

impl AliveTasks {
    pub fn now() -> Self {
        Self(Handle::current().metrics().num_alive_tasks())
    }

    /// How many more there are than there were then.
    pub fn since(self, then: Self) -> usize {
        self.0 - then.0
    }

    /// Lets the tasks that have been told to end do so, and checks that no more are left than then.
    pub async fn assert_back(self) {
        let began = Instant::now();
        // Other threads may have them; paused time must not pass.
        while Self::now().0 > self.0 {
            assert!(
                began.elapsed() < Duration::from_secs(1),
                "{:?} tasks were alive, now {:?}",
                self.0,
                Self::now().0
            );
            yield_now().await;
        }
    }
}
