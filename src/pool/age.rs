//! How old a connection may grow, in time, in idleness and in requests.

use std::hash::{BuildHasher, RandomState};

use http::header::{HeaderMap, HeaderName, HeaderValue};

use super::meter::End;
use super::timer::millis;
use crate::config::PoolConfig;

static KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");

/// What is taken off the time that a server grants: its clock began before ours.
const MARGIN: u64 = 1000;

/// The age of one connection. Times are milliseconds, moments those of the pool's clock.
#[derive(Debug, Clone)]
pub(super) struct Age {
    /// When it may not begin another request.
    ends: u64,
    /// How many requests it may still carry.
    left: u64,
    /// How long it may idle, by our setting and the server's last word.
    idle: u64,
}

impl Age {
    pub(super) fn new(config: &PoolConfig, now: u64) -> Self {
        Self {
            ends: config
                .max_age
                .map_or(u64::MAX, |age| now.saturating_add(jittered(millis(age)))),
            left: config.max_requests.unwrap_or(u64::MAX),
            idle: config.idle_timeout.map_or(u64::MAX, millis),
        }
    }

    /// Counts a request that was answered, and heeds what the server says of the connection in
    /// `Keep-Alive: timeout=…, max=…` (RFC 2068 §19.7.1.1, which servers still send).
    pub(super) fn answered(&mut self, headers: &HeaderMap) {
        self.count();
        // A look at each of the few that there are costs less than the hash of this name.
        for (_, hint) in headers.iter().filter(|(name, _)| **name == KEEP_ALIVE) {
            self.heed(hint);
        }
    }

    /// Counts a request.
    pub(super) fn count(&mut self) {
        self.left = self.left.saturating_sub(1);
    }

    fn heed(&mut self, hint: &HeaderValue) {
        for parameter in hint.to_str().unwrap_or_default().split(',') {
            let Some((name, value)) = parameter.split_once('=') else {
                continue;
            };
            let Ok(value) = value.trim().trim_matches('"').parse::<u64>() else {
                continue;
            };
            let name = name.trim();
            if name.eq_ignore_ascii_case("timeout") {
                let granted = value.saturating_mul(1000);
                // Of a very short time, half.
                let safe = granted.saturating_sub(MARGIN).max(granted / 2);
                self.idle = self.idle.min(safe);
            } else if name.eq_ignore_ascii_case("max") {
                self.left = self.left.min(value);
            }
        }
    }

    /// Until when the connection may idle from `now` on. `None`: it has had its time.
    pub(super) fn idles_until(&self, now: u64) -> Option<u64> {
        let until = now.saturating_add(self.idle).min(self.ends);
        (self.left > 0 && until > now).then_some(until)
    }
}

impl Age {
    /// Whether it has carried as many requests as it may.
    pub(super) fn is_spent(&self) -> bool {
        self.left == 0
    }

    /// Why a connection that has had its time is closed.
    pub(super) fn why(&self, now: u64) -> End {
        if self.is_spent() {
            End::Requests
        } else if self.ends <= now {
            End::Age
        } else {
            End::Idle
        }
    }
}

/// Up to a tenth less, another amount each time, so that connections of one burst do not end in one.
fn jittered(age: u64) -> u64 {
    let random = RandomState::new().hash_one(age);
    age - random % (age / 10).max(1)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn age(config: &PoolConfig) -> Age {
        Age::new(config, 0)
    }

    fn told(hint: &str) -> Age {
        let mut age = age(&PoolConfig::default());
        let mut headers = HeaderMap::new();
        headers.insert("keep-alive", hint.parse().unwrap());
        age.answered(&headers);
        age
    }

    #[test]
    fn a_connection_ends_within_the_last_tenth_of_its_age_not_all_at_once() {
        let config = PoolConfig {
            max_age: Some(Duration::from_secs(100)),
            idle_timeout: None,
            ..PoolConfig::default()
        };
        let ends: Vec<_> = (0..50)
            .map(|_| age(&config).idles_until(0).unwrap())
            .collect();
        assert!(
            ends.iter().all(|end| (90_000..=100_000).contains(end)),
            "{ends:?}"
        );
        assert!(ends.iter().any(|end| *end != ends[0]), "{ends:?}");
    }

    #[test]
    fn a_connection_carries_as_many_requests_as_it_may() {
        let config = PoolConfig {
            max_requests: Some(2),
            ..PoolConfig::default()
        };
        let mut age = age(&config);
        age.answered(&HeaderMap::new());
        assert!(age.idles_until(0).is_some());
        age.answered(&HeaderMap::new());
        assert_eq!(age.idles_until(0), None);
    }

    #[test]
    fn the_servers_time_is_heeded_less_a_margin_and_never_lengthens_ours() {
        assert_eq!(told("timeout=5, max=100").idles_until(0), Some(4000));
        assert_eq!(told("timeout=1").idles_until(0), Some(500));
        assert_eq!(told("Timeout=\"20\"").idles_until(0), Some(19_000));
        assert_eq!(told("timeout=600").idles_until(0), Some(50_000));
        assert_eq!(told("timeout=0").idles_until(0), None);
        assert_eq!(told("max=0").idles_until(0), None);
        assert_eq!(
            told("nonsense, timeout=soon, =, max").idles_until(0),
            Some(50_000)
        );
    }
}
