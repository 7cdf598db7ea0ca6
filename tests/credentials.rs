//! Credentials by a provider: who asks it, when, and which requests have them.
#![allow(clippy::unwrap_used, reason = "a test that fails here has its line")]

mod support;

use std::io;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::future::{BoxFuture, join_all};
use futures::stream;
use http::header::{AUTHORIZATION, LOCATION};
use http::{HeaderMap, HeaderValue, StatusCode};
use http_body_util::BodyExt;
use hyper_session::{
    Body, BoxError, Credentials, CredentialsProvider, Error, ErrorKind, Response, Result, Session,
    SessionBuilder, SessionHolder, TimeoutPhase, WhenClosed,
};
use tokio::time::{Instant, sleep, timeout};

use support::accounts::{Accounts, assert_accounts};
use support::books::reach;
use support::connectors::Memory;
use support::gate::Gate;
use support::outcome::{assert_waits, chain, drive_until, expect_kind};
use support::server::{full, respond};

/// A service that knows one token at a time, and gives out a new one at `/token`. It answers what has no
/// good one with 401, and else with what it was sent. `/away` redirects to another host, which takes none.
#[derive(Clone)]
struct Service {
    state: Arc<State>,
    network: Memory,
}

#[derive(Default)]
struct State {
    issued: AtomicUsize,
    refuses_all: AtomicBool,
    /// Host, path, and the credentials of each request but those for tokens.
    seen: Mutex<Vec<(String, String, Option<String>)>>,
    gate: Option<Gate>,
}

impl Service {
    fn start() -> Self {
        Self::with(State::default())
    }

    /// Gives out each token when the gate lets it pass.
    fn behind(gate: &Gate) -> Self {
        Self::with(State {
            gate: Some(gate.clone()),
            ..State::default()
        })
    }

    fn with(state: State) -> Self {
        let state = Arc::new(state);
        let shared = Arc::clone(&state);
        let network = Memory::serving(move |request| {
            let state = Arc::clone(&shared);
            async move {
                let (head, body) = request.into_parts();
                let path = head.uri.path().to_owned();
                let credentials = head.headers.get(AUTHORIZATION);
                let credentials = credentials.map(|value| value.to_str().unwrap().to_owned());
                if path == "/token" {
                    assert!(!credentials.is_some_and(|credentials| credentials.contains(" t")));
                    if let Some(gate) = &state.gate {
                        gate.pass().await;
                    }
                    let number = state.issued.fetch_add(1, SeqCst) + 1;
                    return respond(StatusCode::OK, full(format!("t{number}")));
                }
                let host = head.headers["host"].to_str().unwrap().to_owned();
                let is_other = host != "service.test";
                let good = format!("Bearer t{}", state.issued.load(SeqCst));
                let is_good = credentials.as_deref() == Some(&*good);
                let seen = (host, path.clone(), credentials);
                state.seen.lock().unwrap().push(seen);
                if is_other {
                    return respond(StatusCode::UNAUTHORIZED, full("who are you"));
                }
                if !is_good || state.refuses_all.load(SeqCst) {
                    return respond(StatusCode::UNAUTHORIZED, full("no"));
                }
                if path == "/away" {
                    let mut answer = respond(StatusCode::FOUND, full(""));
                    let there = HeaderValue::from_static("http://other.test/");
                    answer.headers_mut().insert(LOCATION, there);
                    return answer;
                }
                let sent = body.collect().await.unwrap().to_bytes();
                respond(StatusCode::OK, full(sent))
            }
        });
        Self { state, network }
    }

    fn issued(&self) -> usize {
        self.state.issued.load(SeqCst)
    }

    /// From now on another token is good.
    fn revoke(&self) {
        self.state.issued.fetch_add(1, SeqCst);
    }

    fn seen(&self) -> Vec<(String, String, Option<String>)> {
        std::mem::take(&mut self.state.seen.lock().unwrap())
    }

    fn builder(&self) -> SessionBuilder<Memory> {
        let builder = Session::builder().base_url("http://service.test");
        builder
            .connector(self.network.clone())
            .credentials(|session: Session| async move { fetch(session).await })
    }
}

async fn fetch(session: Session) -> Result<Credentials> {
    let answer = session.post("/token").raise_for_status(true).send().await?;
    Credentials::bearer(answer.text().await?)
}

fn assert_status(sent: Result<Response>, status: u16) -> Response {
    let response = sent.unwrap();
    assert_eq!(response.status(), status);
    response
}

#[tokio::test]
async fn all_requests_share_what_one_of_them_asks_for() -> Result<()> {
    let gate = Gate::new();
    let service = Service::behind(&gate);
    let session = service.builder().open().await?;
    let requests = join_all((0..50).map(|_| session.get("/").send()));
    let opening = async {
        gate.wait_reached(1).await;
        gate.open();
    };
    let (answers, ()) = tokio::join!(requests, opening);
    for answer in answers {
        assert_status(answer, 200).bytes().await?;
    }
    assert_eq!(service.issued(), 1);
    assert_status(session.get("/").send().await, 200);
    assert_eq!(service.issued(), 1);
    assert_eq!(session.stats().waiting, 0);
    Ok(())
}

#[tokio::test]
async fn a_refusal_is_answered_by_new_ones_once_for_all() -> Result<()> {
    let service = Service::start();
    let session = service.builder().open().await?;
    for round in 1..4 {
        // Two in a row are refused with the same ones, and each but the first finds the new ones there.
        let requests = (0..50).map(|number| session.post("/").body(format!("{number}")).send());
        for (number, answer) in join_all(requests).await.into_iter().enumerate() {
            let answer = assert_status(answer, 200);
            assert_eq!(answer.text().await?, format!("{number}"));
        }
        assert_eq!(service.issued(), 2 * round - 1);
        service.revoke();
    }
    assert_eq!(session.stats().exchanges, 0);
    Ok(())
}

#[tokio::test]
async fn who_is_refused_with_new_ones_too_has_the_answer() -> Result<()> {
    let service = Service::start();
    let session = service.builder().open().await?;
    service.state.refuses_all.store(true, SeqCst);
    let answer = assert_status(session.get("/").send().await, 401);
    assert_eq!(answer.text().await?, "no");
    assert_eq!(service.issued(), 2);
    assert_eq!(service.seen().len(), 2);
    assert_accounts(&session.stats(), Accounts::idle(1));

    // They may be good for other requests, and those are not kept waiting.
    service.state.refuses_all.store(false, SeqCst);
    assert_status(session.get("/").send().await, 200);
    assert_eq!(service.issued(), 2);
    Ok(())
}

#[tokio::test]
async fn a_request_keeps_its_own() -> Result<()> {
    let service = Service::start();
    let session = service.builder().open().await?;
    let own = [
        session.get("/").bearer_auth("mine"),
        session.get("http://me:mine@service.test/"),
    ];
    for request in own {
        assert_status(request.send().await, 401);
    }
    assert_eq!(service.issued(), 0);

    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, HeaderValue::from_static("Bearer default"));
    let builder = service.builder().default_headers(headers);
    assert_status(builder.open().await?.get("/").send().await, 200);
    Ok(())
}

#[tokio::test]
async fn a_stream_is_not_sent_twice_but_the_next_request_has_new_ones() -> Result<()> {
    let service = Service::start();
    let session = service.builder().open().await?;
    assert_status(session.get("/").send().await, 200);
    service.revoke();
    let parts = stream::iter([Ok::<_, io::Error>(Bytes::from("part"))]);
    let request = session.post("/").body(Body::wrap_stream(parts));
    assert_status(request.send().await, 401);
    assert_eq!(service.issued(), 2);
    service.seen();
    assert_status(session.get("/").send().await, 200);
    assert_eq!(service.issued(), 3);
    assert_eq!(service.seen().len(), 1);
    Ok(())
}

#[tokio::test]
async fn no_other_origin_sees_them_or_has_them_renewed() -> Result<()> {
    let service = Service::start();
    let session = service.builder().open().await?;
    assert_status(session.get("/away").send().await, 401);
    assert_eq!(service.issued(), 1);
    let seen = service.seen();
    let here = (
        "service.test".into(),
        "/away".into(),
        Some("Bearer t1".into()),
    );
    assert_eq!(seen, [here, ("other.test".into(), "/".into(), None)]);
    Ok(())
}

#[tokio::test]
async fn they_go_to_the_base_and_to_trusted_origins() -> Result<()> {
    let service = Service::start();
    let session = service.builder().open().await?;
    assert_status(session.get("http://other.test/").send().await, 401);
    assert_eq!(service.issued(), 0);
    let builder = service.builder().trusted_origins(["http://other.test"]);
    let session = builder.open().await?;
    assert_status(session.get("http://other.test/").send().await, 401);
    let credentials = service
        .seen()
        .into_iter()
        .map(|(_, _, credentials)| credentials);
    let token = |number| Some(format!("Bearer t{number}"));
    assert!(credentials.eq([None, token(1), token(2)]));
    Ok(())
}

#[tokio::test]
async fn those_that_are_the_same_for_ever_are_not_sent_again_when_they_are_refused() -> Result<()> {
    let service = Service::start();
    service.revoke();
    let session = service.builder().bearer_auth("t1").open().await?;
    assert_status(session.get("/").send().await, 200);
    assert_status(session.get("/").bearer_auth("t0").send().await, 401);
    assert_status(session.get("http://other.test/").send().await, 401);
    service.revoke();
    assert_status(session.get("/").send().await, 401);
    let basic = service.builder().basic_auth("me", Some("pass"));
    assert_status(basic.open().await?.get("/").send().await, 401);
    let seen: Vec<_> = service.seen().into_iter().map(|seen| seen.2).collect();
    let sent = |credentials: &str| Some(credentials.to_owned());
    let basic = sent("Basic bWU6cGFzcw==");
    let (good, own) = (sent("Bearer t1"), sent("Bearer t0"));
    assert_eq!(seen, [good.clone(), own, None, good, basic]);
    Ok(())
}

#[tokio::test]
async fn credentials_that_no_header_can_have_are_refused() {
    let builders = [
        Session::builder().bearer_auth("s3cret\r\nx-evil: 1"),
        Session::builder().basic_auth("s3cret:", None),
    ];
    for builder in builders {
        let refused = expect_kind(builder.open().await, ErrorKind::Builder);
        assert!(!format!("{refused} {refused:?}").contains("s3cret"));
    }
}

#[tokio::test]
async fn a_failure_is_shared_and_the_next_request_asks_anew() -> Result<()> {
    let asked = Arc::new(AtomicUsize::new(0));
    let gate = Gate::new();
    let (count, turn) = (Arc::clone(&asked), gate.clone());
    let provider = move |_: Session| {
        count.fetch_add(1, SeqCst);
        let turn = turn.clone();
        async move {
            turn.pass().await;
            Err::<Credentials, _>(io::Error::other("out of tokens"))
        }
    };
    let service = Service::start();
    let session = service.builder().credentials(provider).open().await?;
    let requests = join_all((0..10).map(|_| session.get("/").send()));
    let opening = async {
        gate.wait_reached(1).await;
        gate.open();
    };
    let (answers, ()) = tokio::join!(requests, opening);
    for answer in answers {
        let error = expect_kind(answer, ErrorKind::Credentials);
        assert!(!error.was_sent());
        assert_eq!(error.url(), Some("http://service.test/"));
        let source = std::error::Error::source(&error).unwrap();
        let source = source.downcast_ref::<io::Error>().unwrap();
        assert_eq!(source.to_string(), "out of tokens");
    }
    assert_eq!(asked.load(SeqCst), 1);
    gate.open();
    expect_kind(session.get("/").send().await, ErrorKind::Credentials);
    assert_eq!(asked.load(SeqCst), 2);
    assert!(service.seen().is_empty());
    assert_accounts(&session.stats(), Accounts::default());
    Ok(())
}

#[tokio::test]
async fn a_dropped_request_does_not_end_the_asking() -> Result<()> {
    let gate = Gate::new();
    let service = Service::behind(&gate);
    let session = service.builder().open().await?;
    {
        let mut first = pin!(session.get("/").send());
        drive_until(first.as_mut(), gate.wait_reached(1)).await;
        let mut second = pin!(session.get("/").send());
        assert_waits(second.as_mut()).await;
    }
    gate.open();
    reach(&session, Accounts::idle(1)).await;
    assert_status(session.get("/").send().await, 200);
    assert_eq!((service.issued(), gate.reached()), (1, 1));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn requests_that_cannot_wait_so_long_profit_from_it_later() -> Result<()> {
    let service = Service::start();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let provider = move |session: Session| {
        count.fetch_add(1, SeqCst);
        async move {
            sleep(Duration::from_secs(10)).await;
            fetch(session).await
        }
    };
    let session = service.builder().credentials(provider).open().await?;
    for late in 0..12 {
        let request = session.get("/").timeout(Duration::from_secs(1));
        let sent = request.send().await;
        if late < 10 {
            expect_kind(sent, ErrorKind::Timeout(TimeoutPhase::Total));
        } else {
            assert_status(sent, 200);
        }
    }
    assert_eq!(asked.load(SeqCst), 1);
    Ok(())
}

#[tokio::test]
async fn a_close_waits_for_what_is_asked_and_a_hurried_one_ends_it() -> Result<()> {
    let gate = Gate::new();
    let service = Service::behind(&gate);
    for is_hurried in [false, true] {
        let session = service.builder().open().await?;
        let asked = gate.reached() + 1;
        {
            let mut first = pin!(session.get("/").send());
            drive_until(first.as_mut(), gate.wait_reached(asked)).await;
        }
        assert_accounts(&session.stats(), Accounts::busy(1));
        let issued = service.issued();
        let report = if is_hurried {
            session.close_within(Duration::ZERO).await
        } else {
            let mut close = pin!(session.close());
            assert_waits(close.as_mut()).await;
            gate.open();
            close.await
        };
        assert_eq!(service.issued(), issued + usize::from(!is_hurried));
        assert_eq!(report.severed, usize::from(is_hurried));
        assert_accounts(&session.stats(), Accounts::NONE);
    }
    Ok(())
}

#[tokio::test]
async fn a_panic_of_the_provider_is_its_failure() -> Result<()> {
    let service = Service::start();
    let is_first = AtomicBool::new(true);
    let provider = move |session: Session| {
        assert!(!is_first.swap(false, SeqCst), "planned");
        fetch(session)
    };
    let session = service.builder().credentials(provider).open().await?;
    let error = expect_kind(session.get("/").send().await, ErrorKind::Credentials);
    assert!(chain(&error).contains("panicked"), "{error:?}");
    assert_status(session.get("/").send().await, 200);
    Ok(())
}

#[tokio::test]
async fn a_provider_that_needs_itself_is_told_so() -> Result<()> {
    let service = Service::start();
    let holder = Arc::new(Mutex::new(None::<SessionHolder<Memory>>));
    let own = Arc::clone(&holder);
    let provider = move |_: Session| {
        let holder = own.lock().unwrap().clone().unwrap();
        async move {
            let answer = holder.get("/token").send().await?;
            Credentials::bearer(answer.text().await?)
        }
    };
    let built = service.builder().credentials(provider).build()?;
    *holder.lock().unwrap() = Some(built.clone());
    built.start_session().await?;
    let sent = timeout(Duration::from_secs(10), built.get("/").send()).await;
    let error = expect_kind(sent.unwrap(), ErrorKind::Credentials);
    let inner = std::error::Error::source(&error).unwrap().to_string();
    assert!(inner.contains("the session that it is given"), "{inner}");
    holder.lock().unwrap().take();
    Ok(())
}

#[tokio::test]
async fn a_holder_keeps_them_from_session_to_session() -> Result<()> {
    let service = Service::start();
    let holder = service.builder().when_closed(WhenClosed::OneShot).build()?;
    for _ in 0..2 {
        assert_status(holder.get("/").send().await, 200);
        holder.start_session().await?;
        assert_status(holder.get("/").send().await, 200);
        holder.close_session().await;
    }
    assert_eq!(service.issued(), 1);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn they_are_renewed_before_their_end() -> Result<()> {
    let gate = Gate::new();
    gate.open();
    let service = Service::behind(&gate);
    let hour = Duration::from_secs(3600);
    let provider = move |session: Session| async move {
        Ok::<_, Error>(fetch(session).await?.expires_in(hour))
    };
    let session = service.builder().credentials(provider).open().await?;
    assert_status(session.get("/").send().await, 200);
    sleep(Duration::from_secs(3600 - 61)).await;
    assert_status(session.get("/").send().await, 200);
    assert_eq!(service.issued(), 1);
    sleep(Duration::from_secs(2)).await;

    // Nobody waits for the new ones.
    assert_status(session.get("/").send().await, 200);
    gate.wait_reached(2).await;
    assert_status(session.get("/").send().await, 200);
    gate.open();
    reach(&session, Accounts::idle(2)).await;
    assert_status(session.get("/").send().await, 200);
    assert_eq!((service.issued(), gate.reached()), (2, 2));

    // Past their end all wait.
    sleep(hour).await;
    let requests = join_all((0..5).map(|_| session.get("/").send()));
    let opening = async {
        gate.wait_reached(3).await;
        gate.open();
    };
    let (answers, ()) = tokio::join!(requests, opening);
    for answer in answers {
        assert_status(answer, 200);
    }
    assert_eq!(service.issued(), 3);
    assert!(
        service
            .seen()
            .iter()
            .all(|(_, _, credentials)| credentials.is_some())
    );
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn what_is_good_is_used_though_its_renewal_fails() -> Result<()> {
    let service = Service::start();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let provider = move |session: Session| {
        let number = count.fetch_add(1, SeqCst);
        async move {
            if number > 0 {
                return Err(BoxError::from("not now"));
            }
            let credentials = fetch(session).await?;
            Ok(credentials.expires_in(Duration::from_secs(100)))
        }
    };
    let session = service.builder().credentials(provider).open().await?;
    assert_status(session.get("/").send().await, 200);
    sleep(Duration::from_secs(95)).await;
    for attempts in [2, 2, 3] {
        for _ in 0..5 {
            assert_status(session.get("/").send().await, 200);
        }
        assert_eq!(asked.load(SeqCst), attempts, "not at once again");
        sleep(Duration::from_millis(500)).await;
    }
    sleep(Duration::from_secs(4)).await;
    expect_kind(session.get("/").send().await, ErrorKind::Credentials);
    assert_eq!(asked.load(SeqCst), 4);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn what_has_ended_already_is_not_used() -> Result<()> {
    let service = Service::start();
    let provider = |session: Session| async move {
        Ok::<_, Error>(fetch(session).await?.expires_in(Duration::ZERO))
    };
    let session = service.builder().credentials(provider).open().await?;
    let error = expect_kind(session.get("/").send().await, ErrorKind::Credentials);
    assert!(error.to_string().contains("of the past"), "{error}");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn the_time_of_the_request_counts() -> Result<()> {
    /// Never has any.
    struct Slow;
    impl CredentialsProvider for Slow {
        fn provide(&self, _: Session) -> BoxFuture<'_, Result<Credentials, BoxError>> {
            Box::pin(std::future::pending())
        }
    }
    let service = Service::start();
    let session = service.builder().credentials(Slow).open().await?;
    let begin = Instant::now();
    let request = session.get("/").timeout(Duration::from_secs(7));
    let phase = ErrorKind::Timeout(TimeoutPhase::Total);
    let error = expect_kind(request.send().await, phase);
    assert!(!error.was_sent());
    assert_eq!(begin.elapsed(), Duration::from_secs(7));
    assert_accounts(&session.stats(), Accounts::default());
    Ok(())
}

#[test]
fn they_are_not_shown() {
    let value = HeaderValue::from_static("Basic s3cret");
    for credentials in [Credentials::bearer("s3cret").unwrap(), value.into()] {
        assert!(!format!("{credentials:?}").contains("s3cret"));
    }
    let error = Credentials::bearer("s3cret\r\nx-evil: 1").unwrap_err();
    assert!(error.is_builder());
    assert!(!format!("{error} {error:?}").contains("s3cret"));
}
