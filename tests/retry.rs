//! Which requests are tried again, when and how often: in paused time, against a scripted server.
#![allow(clippy::unwrap_used, reason = "a test that fails here has its line")]

mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::stream;
use hyper_session::{
    Body, Error, ErrorKind, Method, Response, Result, RetryBudget, RetryPolicy, Session,
    SessionBuilder, StatusCode, TimeoutPhase,
};
use tokio::time::{Instant, sleep};

use support::accounts::{Accounts, assert_accounts};
use support::connectors::{Counting, Fate, Fated, Memory, read_head, write};
use support::outcome::expect_kind;

/// What the server does with a request.
#[derive(Clone, Copy)]
enum Answer {
    /// Closes the connection.
    Close,
    /// Answers never.
    Silence,
    /// Answers with this status and these headers, and `ok`.
    Status(u16, &'static str),
}

use Answer::{Close, Silence, Status};

const FINE: Answer = Status(200, "");
const BUSY: Answer = Status(503, "");

/// A server that does one thing after the other, and the last one ever after.
#[derive(Clone)]
struct Script {
    network: Counting<Fated<Memory>>,
    /// The heads of the requests, and when they came.
    heads: Arc<Mutex<Vec<(Instant, String)>>>,
}

impl Script {
    fn new(answers: impl Into<Vec<Answer>>) -> Self {
        Self::with_fate(answers, |_| Fate::Made)
    }

    fn with_fate(
        answers: impl Into<Vec<Answer>>,
        fate: impl Fn(usize) -> Fate + Send + Sync + 'static,
    ) -> Self {
        let answers: Arc<[Answer]> = answers.into().into();
        let heads = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&heads);
        let memory = Memory::scripted(move |mut end, _| {
            let (answers, log) = (Arc::clone(&answers), Arc::clone(&log));
            async move {
                loop {
                    let head = read_head(&mut end).await;
                    if head.is_empty() {
                        return;
                    }
                    let number = {
                        let mut heads = log.lock().unwrap();
                        heads.push((Instant::now(), head));
                        heads.len() - 1
                    };
                    match answers[number.min(answers.len() - 1)] {
                        Close => return,
                        Silence => std::future::pending().await,
                        Status(status, headers) => {
                            let head = format!("HTTP/1.1 {status} x\r\n{headers}");
                            write(&mut end, &format!("{head}content-length: 2\r\n\r\nok")).await;
                        }
                    }
                }
            }
        });
        let network = Counting::new(Fated::new(memory, fate));
        Self { network, heads }
    }

    fn builder(&self, policy: RetryPolicy) -> SessionBuilder<Counting<Fated<Memory>>> {
        let builder = Session::builder().retry(policy);
        let builder = builder.base_url("http://service.test");
        builder.connector(self.network.clone())
    }

    async fn open(&self, policy: RetryPolicy) -> Result<Session> {
        self.builder(policy).open().await
    }

    async fn open_with(&self, builder: SessionBuilder) -> Result<Session> {
        let builder = builder.base_url("http://service.test");
        builder.connector(self.network.clone()).open().await
    }

    fn tries(&self) -> usize {
        self.heads.lock().unwrap().len()
    }

    fn head(&self, number: usize) -> String {
        self.heads.lock().unwrap()[number].1.to_lowercase()
    }

    /// How long the client waited before each further try, in milliseconds.
    fn waits(&self) -> Vec<u128> {
        let heads = self.heads.lock().unwrap();
        let pairs = heads.windows(2);
        pairs
            .map(|pair| (pair[1].0 - pair[0].0).as_millis())
            .collect()
    }
}

fn assert_status(sent: Result<Response>, status: u16) -> Response {
    let response = sent.unwrap();
    assert_eq!(response.status(), status);
    response
}

#[tokio::test(start_paused = true)]
async fn without_a_policy_a_request_is_tried_once() -> Result<()> {
    for policy in [None, Some(RetryPolicy::none())] {
        let script = Script::new([BUSY]);
        let builder = Session::builder();
        let builder = match policy {
            Some(policy) => builder.retry(policy),
            None => builder,
        };
        let session = script.open_with(builder).await?;
        assert_status(session.get("/").send().await, 503);
        assert_eq!(script.tries(), 1);
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn what_may_be_better_in_a_moment_is_tried_again() -> Result<()> {
    for failure in [
        Status(408, ""),
        Status(425, ""),
        Status(429, ""),
        Status(502, ""),
        BUSY,
        Status(504, ""),
        Close,
        Silence,
    ] {
        let script = Script::new([failure, FINE]);
        let session = script.open(RetryPolicy::limited(1)).await?;
        let request = session.get("/").head_timeout(Duration::from_secs(20));
        let response = assert_status(request.send().await, 200);
        assert_eq!(response.text().await?, "ok");
        assert_eq!(script.tries(), 2);
        assert_accounts(&session.stats(), Accounts::idle(1));
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn what_will_not_be_better_is_an_answer_like_any_other() -> Result<()> {
    for status in [200, 204, 304, 400, 401, 404, 409, 500, 501] {
        let script = Script::new([Status(status, ""), FINE]);
        let session = script.open(RetryPolicy::limited(3)).await?;
        assert_status(session.get("/").send().await, status);
        assert_eq!(script.tries(), 1, "{status}");
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn the_last_outcome_is_the_outcome() -> Result<()> {
    let script = Script::new([Close, Status(502, ""), Status(503, "x-last: yes\r\n"), FINE]);
    let session = script.open(RetryPolicy::limited(2)).await?;
    let response = assert_status(session.get("/").send().await, 503);
    assert_eq!(response.headers()["x-last"], "yes");
    assert_eq!(response.text().await?, "ok");

    let script = Script::new([BUSY, Close]);
    let builder = Session::builder().retry_stale(false);
    let session = script
        .open_with(builder.retry(RetryPolicy::limited(1)))
        .await?;
    let error = expect_kind(session.get("/").send().await, ErrorKind::Protocol);
    assert!(error.was_sent());
    assert_eq!(script.tries(), 2);
    assert_accounts(&session.stats(), Accounts::default());
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn raise_for_status_sees_the_last_answer_only() -> Result<()> {
    let script = Script::new([BUSY, FINE, BUSY]);
    let session = script.open(RetryPolicy::limited(1)).await?;
    let request = session.get("/").raise_for_status(true);
    assert_status(request.send().await, 200);
    let request = session.get("/").raise_for_status(true);
    let error = expect_kind(request.send().await, ErrorKind::Status);
    assert_eq!(error.status(), Some(StatusCode::SERVICE_UNAVAILABLE));
    assert_eq!(script.tries(), 4);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn only_what_does_no_harm_twice_is_tried_again() -> Result<()> {
    type Change = fn(hyper_session::RequestBuilder) -> hyper_session::RequestBuilder;
    let as_it_is: Change = |request| request;
    let cases: [(Method, Change, usize); 8] = [
        (Method::GET, as_it_is, 2),
        (Method::HEAD, as_it_is, 2),
        (Method::PUT, |request| request.body("x"), 2),
        (Method::DELETE, as_it_is, 2),
        (Method::POST, as_it_is, 1),
        (Method::PATCH, as_it_is, 1),
        (Method::POST, |request| request.idempotent(), 2),
        (
            Method::POST,
            |request| request.header("idempotency-key", "7"),
            2,
        ),
    ];
    for failure in [BUSY, Close] {
        for (method, change, tries) in &cases {
            let script = Script::new([failure, FINE]);
            let session = script.open(RetryPolicy::limited(3)).await?;
            let request = change(session.request(method.clone(), "/"));
            let _ = request.send().await;
            assert_eq!(script.tries(), *tries, "{method}");
        }
        let script = Script::new([failure, FINE]);
        let policy = RetryPolicy::limited(3).any_method(true);
        let session = script.open(policy).await?;
        assert_status(session.post("/").send().await, 200);
        assert_eq!(script.tries(), 2);
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_not_sent_again() -> Result<()> {
    let script = Script::new([BUSY, FINE]);
    let session = script.open(RetryPolicy::limited(3)).await?;
    let parts = stream::iter([Ok::<_, Error>(Bytes::from("part"))]);
    let request = session.put("/").body(Body::wrap_stream(parts));
    assert_status(request.send().await, 503);

    let script = Script::new([BUSY, FINE]);
    let session = script.open(RetryPolicy::limited(3)).await?;
    let body = Body::replayable(|| {
        let parts = stream::iter([Ok::<_, Error>(Bytes::from("part"))]);
        Body::wrap_stream(parts)
    });
    let request = session.put("/").header("content-length", "4").body(body);
    assert_status(request.send().await, 200);
    assert_eq!(script.tries(), 2);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_post_of_which_nothing_was_sent_is_tried_again() -> Result<()> {
    let script = Script::with_fate([FINE], |attempt| match attempt {
        0..=1 => Fate::Refused,
        _ => Fate::Made,
    });
    let session = script.open(RetryPolicy::limited(2)).await?;
    assert_status(session.post("/").body("x").send().await, 200);
    assert_eq!(script.network.numbers().asked, 3);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn each_wait_is_twice_as_long_up_to_the_longest_and_between_half_and_all() -> Result<()> {
    let script = Script::new([BUSY]);
    let policy = RetryPolicy::limited(6)
        .backoff(Duration::from_millis(100), Duration::from_secs(1))
        .budget(None);
    let session = script.open(policy).await?;
    assert_status(session.get("/").send().await, 503);
    let longest = [100, 200, 400, 800, 1000, 1000];
    let waits = script.waits();
    assert_eq!(waits.len(), longest.len());
    for (wait, longest) in waits.iter().zip(longest) {
        // tokio's clock has steps of a millisecond.
        assert!((longest / 2..=longest + 1).contains(wait), "{waits:?}");
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn the_server_says_how_long_to_wait() -> Result<()> {
    let date =
        "date: Sun, 06 Nov 1994 08:49:37 GMT\r\nretry-after: Sun, 06 Nov 1994 08:49:57 GMT\r\n";
    for (headers, seconds) in [
        ("retry-after: 20\r\n", 20),
        (date, 20),
        ("retry-after: 0\r\n", 0),
        ("retry-after: soon\r\n", 0),
    ] {
        let script = Script::new([Status(429, headers), FINE]);
        let session = script.open(RetryPolicy::limited(1)).await?;
        assert_status(session.get("/").send().await, 200);
        let wait = script.waits()[0];
        let least = seconds * 1000;
        assert!((least..=least + least / 10 + 101).contains(&wait), "{wait}");
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn what_asks_for_too_long_a_wait_is_the_outcome() -> Result<()> {
    let script = Script::new([Status(503, "retry-after: 61\r\n"), FINE]);
    let session = script.open(RetryPolicy::limited(1)).await?;
    let begin = Instant::now();
    assert_status(session.get("/").send().await, 503);
    assert_eq!(begin.elapsed(), Duration::ZERO);

    let script = Script::new([Status(503, "retry-after: 61\r\n"), FINE]);
    let policy = RetryPolicy::limited(1).max_retry_after(Duration::MAX);
    let session = script.open(policy).await?;
    assert_status(session.get("/").send().await, 200);

    // The longest of all does not overflow.
    let script = Script::new([Status(503, "retry-after: 18446744073709551615\r\n"), FINE]);
    let policy = RetryPolicy::limited(1)
        .max_retry_after(Duration::MAX)
        .backoff(Duration::MAX, Duration::MAX);
    let session = script.open(policy).await?;
    let request = session.get("/").timeout(Duration::from_secs(1000));
    assert_status(request.send().await, 503);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_would_outlast_the_request_is_not_begun() -> Result<()> {
    let script = Script::new([Status(503, "retry-after: 30\r\n"), FINE]);
    let session = script.open(RetryPolicy::limited(1)).await?;
    let begin = Instant::now();
    let request = session.get("/").timeout(Duration::from_secs(30));
    assert_status(request.send().await, 503);
    assert_eq!(begin.elapsed(), Duration::ZERO);

    // One limit for all tries.
    let script = Script::new([Silence]);
    let policy = RetryPolicy::limited(9).try_timeout(Duration::from_secs(4));
    let session = script.open(policy).await?;
    let begin = Instant::now();
    let request = session.get("/").timeout(Duration::from_secs(10));
    let phase = ErrorKind::Timeout(TimeoutPhase::Total);
    expect_kind(request.send().await, phase);
    assert_eq!(begin.elapsed().as_secs(), 10);
    assert_eq!(script.tries(), 3);
    assert_accounts(&session.stats(), Accounts::default());
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn each_try_has_its_limit() -> Result<()> {
    let script = Script::new([Silence, Silence, FINE]);
    let policy = RetryPolicy::limited(2).try_timeout(Duration::from_secs(5));
    let session = script.open(policy.clone()).await?;
    let response = assert_status(session.get("/").send().await, 200);
    assert_eq!(response.text().await?, "ok");
    assert!(
        script
            .waits()
            .iter()
            .all(|wait| (5000..6000).contains(wait))
    );
    assert_accounts(&session.stats(), Accounts::idle(1));

    let script = Script::new([Silence]);
    let session = script.open(policy).await?;
    let error = session.get("/").send().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Timeout(TimeoutPhase::Try));
    assert!(error.was_sent() && error.is_timeout());
    assert_eq!(error.url(), Some("http://service.test/"));
    assert_eq!(script.tries(), 3);
    assert_accounts(&session.stats(), Accounts::default());

    // It may have been carried out.
    let script = Script::new([Silence, FINE]);
    let policy = RetryPolicy::limited(2).try_timeout(Duration::from_secs(5));
    let session = script.open(policy).await?;
    assert!(session.post("/").send().await.unwrap_err().is_timeout());
    assert_eq!(script.tries(), 1);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_try_of_which_nothing_was_sent_in_its_time_is_followed_by_another() -> Result<()> {
    let script = Script::with_fate([FINE], |attempt| match attempt {
        0 => Fate::Never,
        _ => Fate::Made,
    });
    let policy = RetryPolicy::limited(1).try_timeout(Duration::from_secs(5));
    let session = script.open(policy).await?;
    assert_status(session.post("/").body("x").send().await, 200);
    assert_eq!(script.tries(), 1);

    // The limit holds without further tries as well, and ends with the head.
    let script = Script::new([Silence]);
    let policy = RetryPolicy::none().try_timeout(Duration::from_secs(5));
    let session = script.open(policy).await?;
    let phase = ErrorKind::Timeout(TimeoutPhase::Try);
    expect_kind(session.get("/").send().await, phase);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn the_limit_of_a_try_is_not_one_of_the_body() -> Result<()> {
    let network = Memory::scripted(|mut end, _| async move {
        read_head(&mut end).await;
        write(&mut end, "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nla").await;
        sleep(Duration::from_secs(60)).await;
        write(&mut end, "te").await;
    });
    let policy = RetryPolicy::limited(1).try_timeout(Duration::from_secs(5));
    let builder = Session::builder().retry(policy).connector(network);
    let session = builder.open().await?;
    let late = session.get("http://service.test/").send().await?;
    assert_eq!(late.text().await?, "late");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_condition_says_what_is_worth_another_try() -> Result<()> {
    let script = Script::new([Status(500, "x-again: yes\r\n"), Status(404, ""), FINE]);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let policy = RetryPolicy::limited(5).retry_if(move |attempt| {
        log.lock().unwrap().push((
            attempt.failures(),
            attempt.method().clone(),
            attempt.url().to_string(),
            attempt.status(),
            attempt.is_transient(),
        ));
        assert!(attempt.error().is_none());
        attempt.headers().unwrap().contains_key("x-again")
    });
    let session = script.open(policy).await?;
    assert_status(session.get("/a?b=c").send().await, 404);
    let url = "http://service.test/a?b=c".to_owned();
    let internal = Some(StatusCode::INTERNAL_SERVER_ERROR);
    let missing = Some(StatusCode::NOT_FOUND);
    assert_eq!(
        *seen.lock().unwrap(),
        [
            (1, Method::GET, url.clone(), internal, false),
            (2, Method::GET, url, missing, false)
        ]
    );
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_budget_keeps_a_storm_off_the_server() -> Result<()> {
    let script = Script::new([BUSY]);
    let budget = RetryBudget::new(10).per_request(0.0).per_second(1.0);
    let policy = RetryPolicy::limited(3).budget(budget);
    let session = script.open(policy).await?;
    let storm = (0..100).map(|_| session.get("/").send());
    for sent in futures::future::join_all(storm).await {
        assert_status(sent, 503).text().await?;
    }
    // The reserve, and what a second or two of backoff have added.
    let tries = script.tries();
    assert!((110..=112).contains(&tries), "{tries}");

    tokio::time::advance(Duration::from_secs(60)).await;
    let before = script.tries();
    for _ in 0..10 {
        assert_status(
            session.get("/").retry(RetryPolicy::none()).send().await,
            503,
        );
    }
    assert_eq!(script.tries() - before, 10);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn requests_earn_tries() -> Result<()> {
    let script = Script::new([BUSY]);
    let budget = RetryBudget::new(1).per_request(0.5).per_second(0.0);
    let session = script.open(RetryPolicy::limited(9).budget(budget)).await?;
    let mut tries = Vec::new();
    for _ in 0..5 {
        let before = script.tries();
        assert_status(session.get("/").send().await, 503);
        tries.push(script.tries() - before);
    }
    assert_eq!(tries, [2, 1, 2, 1, 2]);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_hop_is_tried_again_and_the_post_before_it_is_not() -> Result<()> {
    let see_other = Status(303, "location: /b\r\n");
    let script = Script::new([see_other, BUSY, FINE]);
    let session = script.open(RetryPolicy::limited(1)).await?;
    let response = assert_status(session.post("/a").body("x").send().await, 200);
    assert_eq!(response.history().len(), 1);
    assert_eq!(response.url().path(), "/b");
    // What is left of the body stands before the second head.
    let lines = [0, 1, 2].map(|number| script.head(number));
    let lines = lines.each_ref().map(|head| head.lines().next().unwrap());
    assert_eq!(
        lines,
        ["post /a http/1.1", "xget /b http/1.1", "get /b http/1.1"]
    );
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_close_does_not_wait_for_another_try() -> Result<()> {
    const AFTER: Duration = Duration::from_secs(1);
    let policy = || RetryPolicy::limited(1).backoff(Duration::from_secs(50), Duration::MAX);
    for first in [Status(503, "retry-after: 50\r\n"), Close] {
        let script = Script::new([first, FINE]);
        let session = script.open(policy()).await?;
        let closing = async {
            sleep(AFTER).await;
            session.close().await
        };
        let (of_session, report) = tokio::join!(session.get("/").send(), closing);
        assert_eq!(report.stats.open, 0);

        let hidden = Script::new([first, FINE]);
        let holder = hidden.builder(policy()).build()?;
        holder.start_session().await?;
        let begin = Instant::now();
        let closing = async {
            sleep(AFTER).await;
            holder.close_session().await
        };
        let (of_holder, report) = tokio::join!(holder.get("/").send(), closing);
        assert_eq!((report.severed, report.leases_left), (0, 0));
        assert_eq!(begin.elapsed(), AFTER);

        for sent in [of_session, of_holder] {
            let error = match first {
                Close => expect_kind(sent, ErrorKind::Protocol),
                _ => expect_kind(sent, ErrorKind::Closed),
            };
            assert!(error.was_sent(), "the first try was");
            assert_eq!(error.url(), Some("http://service.test/"));
            assert!(error.to_string().contains("503") || matches!(first, Close));
        }
        assert_eq!((script.tries(), hidden.tries()), (1, 1));
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_another_try_has_it_though_the_session_is_replaced() -> Result<()> {
    let script = Script::new([Status(503, "retry-after: 50\r\n"), FINE]);
    let holder = script.builder(RetryPolicy::limited(1)).build()?;
    holder.start_session().await?;
    let replacing = async {
        sleep(Duration::from_secs(1)).await;
        let next = Script::new([BUSY]).builder(RetryPolicy::none());
        holder.start_session_with(next).await
    };
    let (sent, replaced) = tokio::join!(holder.get("/").send(), replacing);
    replaced?;
    assert_status(sent, 200);
    assert_eq!(script.tries(), 2);
    assert_status(holder.get("/").send().await, 503);
    holder.close_session().await;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_dropped_request_is_not_tried_again() -> Result<()> {
    let script = Script::new([Status(503, "retry-after: 50\r\n"), FINE]);
    let session = script.open(RetryPolicy::limited(1)).await?;
    let request = session.get("/").send();
    let dropped = tokio::time::timeout(Duration::from_secs(1), request).await;
    assert!(dropped.is_err());
    tokio::time::advance(Duration::from_secs(100)).await;
    assert_eq!(script.tries(), 1);
    assert_eq!(session.stats().exchanges, 0);
    Ok(())
}
