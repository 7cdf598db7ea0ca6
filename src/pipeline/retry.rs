//! From one try of a request to the next.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::header::{DATE, RETRY_AFTER};
use http::{HeaderMap, HeaderName};
use httpdate::parse_http_date;
use tokio::time::Instant;

use crate::error::{ErrorKind, Result, TimeoutPhase};
use crate::pool::{Outgoing, Pool, Terms};
use crate::response::Response;
use crate::retry::{RetryAttempt, RetryPolicy};
use crate::url::Target;

/// The tries of one request: the rules, and how many have failed.
pub(super) struct Retries<'a> {
    policy: &'a RetryPolicy,
    failures: u32,
}

impl<'a> Retries<'a> {
    /// `None`: there is to be one try.
    pub(super) fn new(policy: &'a RetryPolicy) -> Option<Self> {
        if policy.is_none() {
            return None;
        }
        policy.begin();
        Some(Self {
            policy,
            failures: 0,
        })
    }

    /// Sends the request, within the limit of a try.
    pub(super) async fn send(
        &self,
        pool: &Arc<Pool>,
        outgoing: &mut Outgoing,
        mut terms: Terms<'_>,
    ) -> Result<Response> {
        let end = self
            .policy
            .try_timeout
            .and_then(|limit| Instant::now().checked_add(limit));
        terms.answer_by = end;
        let is_first = end.is_some_and(|end| terms.deadline.is_none_or(|total| end < total));
        let sent = Box::pin(pool.send(outgoing, &terms)).await;
        sent.map(Response::of).map_err(|error| match error.kind() {
            ErrorKind::Timeout(TimeoutPhase::Total) if is_first => {
                error.with_kind(ErrorKind::Timeout(TimeoutPhase::Try))
            }
            _ => error,
        })
    }

    /// How long to wait for another try of a request whose body can be sent again, if there is to be one.
    pub(super) fn next(
        &mut self,
        sent: &Result<Response>,
        outgoing: &Outgoing,
        target: &Target,
        deadline: Option<Instant>,
    ) -> Option<Duration> {
        let outcome = match sent {
            Ok(answer) if answer.status().is_success() => return None,
            Ok(answer) => Ok((answer.status(), answer.headers())),
            Err(error) => Err(error),
        };
        let is_unsent = outcome.is_err_and(|error| !error.was_sent());
        let is_harmless = is_unsent || self.policy.any_method || outgoing.is_harmless_twice();
        if !is_harmless {
            return None;
        }
        let attempt = RetryAttempt {
            failures: self.failures + 1,
            method: &outgoing.method,
            url: &target.to_url(),
            outcome,
        };
        let retry_after = attempt.headers().and_then(retry_after);
        let delay = self.policy.delay(&attempt, retry_after, random())?;
        let is_in_time = deadline.is_none_or(|deadline| delay < deadline - Instant::now());
        if !is_in_time || !self.policy.pay() {
            return None;
        }
        self.failures += 1;
        Some(delay)
    }
}

/// How long the server asks to wait (RFC 9110 §10.2.3). A date is compared with the server's own clock,
/// where it tells it.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: HeaderName| headers.get(name)?.to_str().ok();
    let value = text(RETRY_AFTER)?.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // There are no wrong ones, but some that are too many.
        let seconds = value.parse().unwrap_or(u64::MAX);
        return Some(Duration::from_secs(seconds));
    }
    let until = parse_http_date(value).ok()?;
    let now = text(DATE).and_then(|date| parse_http_date(date).ok());
    let now = now.unwrap_or_else(SystemTime::now);
    Some(until.duration_since(now).unwrap_or_default())
}

/// A number from 0 to 1, another one each time.
fn random() -> f64 {
    // `RandomState` is seeded anew for each.
    let bits = (RandomState::new().hash_one(()) >> 32) as u32;
    f64::from(bits) / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn wait(retry_after_value: &str, date: Option<&str>) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert(
            RETRY_AFTER,
            HeaderValue::from_str(retry_after_value).unwrap(),
        );
        if let Some(date) = date {
            headers.insert(DATE, HeaderValue::from_str(date).unwrap());
        }
        retry_after(&headers)
    }

    #[test]
    fn retry_after_is_a_number_of_seconds_or_a_date() {
        let date = Some("Sun, 06 Nov 1994 08:49:37 GMT");
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(wait("120", None), seconds(120));
        assert_eq!(wait(" 0 ", date), seconds(0));
        assert_eq!(wait("Sun, 06 Nov 1994 08:50:07 GMT", date), seconds(30));
        assert_eq!(wait("Sunday, 06-Nov-94 08:50:07 GMT", date), seconds(30));
        assert_eq!(wait("Sun Nov  6 08:50:07 1994", date), seconds(30));
        assert_eq!(wait("Sun, 06 Nov 1994 08:49:07 GMT", date), seconds(0));
        assert_eq!(wait("Sun, 06 Nov 1994 08:49:07 GMT", None), seconds(0));
        assert_eq!(wait("99999999999999999999", date), seconds(u64::MAX));
        for wrong in ["", "-1", "+1", "1.5", "soon"] {
            assert_eq!(wait(wrong, date), None, "{wrong:?}");
        }
    }

    #[test]
    fn random_numbers_are_from_0_to_1_and_differ() {
        let numbers: Vec<_> = (0..100).map(|_| random()).collect();
        assert!(numbers.iter().all(|number| (0.0..1.0).contains(number)));
        assert!(
            numbers
                .windows(2)
                .any(|pair| pair[0] < 0.5 && pair[1] >= 0.5)
        );
    }
}
