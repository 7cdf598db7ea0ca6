//! Which requests are tried again, when, and how often.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{HeaderMap, Method, StatusCode};
use tokio::time::Instant;
use url::Url;

use crate::error::{Error, ErrorKind, TimeoutPhase};

type Decide = dyn Fn(&RetryAttempt<'_>) -> bool + Send + Sync;

/// Which requests are tried again, when, and how often.
///
/// # What is tried again
///
/// What may be better in a moment ([`RetryAttempt::is_transient`]; [`retry_if`](Self::retry_if) says
/// otherwise), of requests that do no harm when they are carried out twice: idempotent ones (RFC 9110
/// §9.2.2), those that say so ([`RequestBuilder::idempotent`](crate::RequestBuilder::idempotent), an
/// `Idempotency-Key`), and any of which nothing was sent ([`Error::was_sent`]). Their body must be one that
/// can be sent again, see [`Body::try_clone`](crate::Body::try_clone).
///
/// Each hop of a redirected request is tried for itself; the number of tries is that of the whole. A
/// response counts as successful when its head is there: a body that breaks off later is not read again.
/// When no more tries are left, the last answer or error is the outcome, as it is.
///
/// # When
///
/// The first delay is about 100 ms, each further one twice as long, up to 10 s
/// ([`backoff`](Self::backoff)); of each between half and all is waited, drawn anew, so that those who
/// failed together do not come back together. A `Retry-After` of the answer (RFC 9110 §10.2.3), in seconds
/// or as a date, makes it longer. A request whose `timeout` would pass meanwhile is not tried again. A
/// dropped future is not either, nor is a request that waits when its session is closed: it ends with the
/// error of its last try, or with [`ErrorKind::Closed`] after an answer.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use hyper_session::{RetryPolicy, Session};
///
/// let builder = Session::builder()
///     .timeout(Duration::from_secs(30))
///     .retry(RetryPolicy::limited(3).try_timeout(Duration::from_secs(5)));
/// # drop(builder);
/// ```
#[derive(Clone)]
pub struct RetryPolicy {
    retries: u32,
    first_delay: Duration,
    longest_delay: Duration,
    max_retry_after: Duration,
    pub(crate) try_timeout: Option<Duration>,
    pub(crate) any_method: bool,
    retry_if: Option<Arc<Decide>>,
    budget: Option<RetryBudget>,
}

impl RetryPolicy {
    /// Tries a request up to so many times more.
    pub fn limited(retries: u32) -> Self {
        Self {
            retries,
            first_delay: Duration::from_millis(100),
            longest_delay: Duration::from_secs(10),
            max_retry_after: Duration::from_secs(60),
            try_timeout: None,
            any_method: false,
            retry_if: None,
            budget: Some(RetryBudget::default()),
        }
    }

    /// Tries each request once. The default of a session.
    pub fn none() -> Self {
        Self::limited(0)
    }

    /// Sets the first delay and the longest. Default: 100 ms and 10 s.
    pub fn backoff(mut self, first: Duration, longest: Duration) -> Self {
        self.first_delay = first;
        self.longest_delay = longest;
        self
    }

    /// Sets how long a `Retry-After` may make the wait, a tenth of jitter not counted. Where the server
    /// asks for more, its answer is the outcome. Default: 60 s.
    pub fn max_retry_after(mut self, longest: Duration) -> Self {
        self.max_retry_after = longest;
        self
    }

    /// Limits each try, from the queue for a connection to the head of the response, with the phase
    /// [`TimeoutPhase::Try`]. `None`: no limit but the request's own ones. Default: `None`.
    pub fn try_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.try_timeout = timeout.into();
        self
    }

    /// Asks `retry_if` what is worth another try, in place of [`RetryAttempt::is_transient`].
    ///
    /// It is not asked about an answer of 2xx, nor where another try might do harm, or cannot be. It is
    /// called while the request is under way, and should not block.
    ///
    /// # Examples
    ///
    /// ```
    /// use hyper_session::{RetryPolicy, StatusCode};
    ///
    /// let policy = RetryPolicy::limited(3).retry_if(|attempt| {
    ///     attempt.is_transient() || attempt.status() == Some(StatusCode::INTERNAL_SERVER_ERROR)
    /// });
    /// # drop(policy);
    /// ```
    pub fn retry_if<F>(mut self, retry_if: F) -> Self
    where
        F: Fn(&RetryAttempt<'_>) -> bool + Send + Sync + 'static,
    {
        self.retry_if = Some(Arc::new(retry_if));
        self
    }

    /// Sets whether requests of every method are tried again, be they carried out twice. Default: `false`.
    pub fn any_method(mut self, any: bool) -> Self {
        self.any_method = any;
        self
    }

    /// Sets what the policy may spend on further tries. `None`: any number. Default:
    /// [`RetryBudget::default`].
    ///
    /// Clones of a policy share their budget: one policy in a session is one budget for all its requests.
    pub fn budget(mut self, budget: impl Into<Option<RetryBudget>>) -> Self {
        self.budget = budget.into();
        self
    }

    /// Whether each request is tried once.
    pub(crate) fn is_none(&self) -> bool {
        self.retries == 0 && self.try_timeout.is_none()
    }

    /// Counts a request towards the budget.
    pub(crate) fn begin(&self) {
        if let Some(budget) = &self.budget {
            budget.earn();
        }
    }

    /// How long to wait for the next try, if there is to be one. `random`: from 0 to 1.
    pub(crate) fn delay(
        &self,
        attempt: &RetryAttempt<'_>,
        retry_after: Option<Duration>,
        random: f64,
    ) -> Option<Duration> {
        if attempt.failures > self.retries {
            return None;
        }
        let is_worth_it = match &self.retry_if {
            Some(retry_if) => retry_if(attempt),
            None => attempt.is_transient(),
        };
        if !is_worth_it || retry_after.is_some_and(|wait| wait > self.max_retry_after) {
            return None;
        }
        let doublings = 2u32.saturating_pow(attempt.failures - 1);
        let whole = self.first_delay.saturating_mul(doublings);
        let half = whole.min(self.longest_delay) / 2;
        let backoff = half + half.mul_f64(random);
        let asked = retry_after.unwrap_or_default();
        // Not all at the moment that the server named.
        let asked = asked.saturating_add((asked / 10).mul_f64(random));
        Some(asked.max(backoff))
    }

    /// Pays for one more try, if that can be.
    pub(crate) fn pay(&self) -> bool {
        self.budget.as_ref().is_none_or(RetryBudget::spend)
    }
}

impl fmt::Debug for RetryPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryPolicy")
            .field("retries", &self.retries)
            .field("try_timeout", &self.try_timeout)
            .field("any_method", &self.any_method)
            .field("budget", &self.budget)
            .finish_non_exhaustive()
    }
}

/// A try that has failed, about which [`RetryPolicy::retry_if`] is asked.
#[derive(Clone, Copy)]
pub struct RetryAttempt<'a> {
    pub(crate) failures: u32,
    pub(crate) method: &'a Method,
    pub(crate) url: &'a Url,
    pub(crate) outcome: Result<(StatusCode, &'a HeaderMap), &'a Error>,
}

impl<'a> RetryAttempt<'a> {
    /// Returns how many tries of the request have failed, this one included. At least 1.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// Returns the method of the request.
    pub fn method(&self) -> &'a Method {
        self.method
    }

    /// Returns where the request went, redirects followed, without user info.
    pub fn url(&self) -> &'a Url {
        self.url
    }

    /// Returns the status of the answer, if there was one.
    pub fn status(&self) -> Option<StatusCode> {
        self.outcome.ok().map(|(status, _)| status)
    }

    /// Returns the headers of the answer, if there was one.
    pub fn headers(&self) -> Option<&'a HeaderMap> {
        self.outcome.ok().map(|(_, headers)| headers)
    }

    /// Returns what went wrong, if there was no answer.
    pub fn error(&self) -> Option<&'a Error> {
        self.outcome.err()
    }

    /// Whether it may be better in a moment: one of the statuses 408, 425, 429, 502, 503 and 504; a
    /// name that was not resolved, a connection that was not made, or that broke or gave no HTTP before the
    /// head of the response was there, or one of the limits [`Connect`](TimeoutPhase::Connect),
    /// [`Head`](TimeoutPhase::Head) and [`Try`](TimeoutPhase::Try).
    pub fn is_transient(&self) -> bool {
        match self.outcome {
            Ok((status, _)) => matches!(status.as_u16(), 408 | 425 | 429 | 502 | 503 | 504),
            Err(error) => matches!(
                error.kind(),
                ErrorKind::Dns
                    | ErrorKind::Connect
                    | ErrorKind::Protocol
                    | ErrorKind::Timeout(
                        TimeoutPhase::Connect | TimeoutPhase::Head | TimeoutPhase::Try
                    )
            ),
        }
    }
}

impl fmt::Debug for RetryAttempt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL may have a query.
        f.debug_struct("RetryAttempt")
            .field("failures", &self.failures)
            .field("method", &self.method)
            .field("status", &self.status())
            .field("error", &self.error())
            .finish_non_exhaustive()
    }
}

/// How many further tries those who share it may make, so that a server in trouble is not given more of
/// it.
///
/// It holds up to its reserve of tries. Each request adds a part of one, and so does time. Where less than
/// one is left, requests are tried once. Clones share what it holds; what is added by a clone is its own.
#[derive(Clone)]
pub struct RetryBudget {
    reserve: f64,
    per_request: f64,
    per_second: f64,
    left: Arc<Mutex<Left>>,
}

struct Left {
    tries: f64,
    /// When time was last counted.
    at: Option<Instant>,
}

impl RetryBudget {
    /// A budget of up to `reserve` tries, which it has at the beginning. Each request adds 0.2, and each
    /// second 10, unless said otherwise.
    pub fn new(reserve: u32) -> Self {
        Self {
            reserve: reserve.into(),
            per_request: 0.2,
            per_second: 10.0,
            left: Arc::new(Mutex::new(Left {
                tries: reserve.into(),
                at: None,
            })),
        }
    }

    /// Sets what each request adds, in tries. Less than 0 counts as 0. Default: 0.2.
    pub fn per_request(mut self, tries: f64) -> Self {
        self.per_request = tries.max(0.0);
        self
    }

    /// Sets what each second adds, in tries. Less than 0 counts as 0. Default: 10.
    pub fn per_second(mut self, tries: f64) -> Self {
        self.per_second = tries.max(0.0);
        self
    }

    fn earn(&self) {
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        left.tries = (left.tries + self.per_request).min(self.reserve);
    }

    fn spend(&self) -> bool {
        let now = Instant::now();
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let before = left.at.replace(now);
        let passed = before.map_or(Duration::ZERO, |before| now.duration_since(before));
        let earned = self.per_second * passed.as_secs_f64();
        left.tries = (left.tries + earned).min(self.reserve);
        let pays = left.tries >= 1.0;
        if pays {
            left.tries -= 1.0;
        }
        pays
    }
}

impl Default for RetryBudget {
    /// 100 tries, 0.2 more with each request and 10 with each second.
    fn default() -> Self {
        Self::new(100)
    }
}

impl fmt::Debug for RetryBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryBudget")
            .field("reserve", &self.reserve)
            .field("per_request", &self.per_request)
            .field("per_second", &self.per_second)
            .finish_non_exhaustive()
    }
}
