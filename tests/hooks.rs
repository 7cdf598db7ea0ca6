//! The opening hook: it may log in, fail, and not reach for what is not open yet.

mod support;

use std::error::Error as StdError;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use futures::StreamExt;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue, StatusCode};
use hyper_session::{Error, ErrorKind, Result, Session, SessionBuilder, SessionHolder, WhenClosed};
use support::accounts::{Accounts, AliveTasks, assert_accounts};
use support::outcome::{expect_closed, expect_kind};
use support::server::{Server, echo, text};

/// Gives out tokens at `/login`, one after the other; echoes everything else.
fn with_login() -> Server {
    let logins = AtomicUsize::new(0);
    Server::start(async move |request| {
        if request.uri().path() == "/login" {
            return text(format!("token-{}", logins.fetch_add(1, Ordering::SeqCst)));
        }
        echo(request)
    })
}

/// A session that logs in when it is opened.
fn logging_in(server: &Server) -> SessionBuilder {
    SessionHolder::builder()
        .base_url(server.url("/"))
        .on_open(|session| async move {
            let token = session.post("/login").send().await?.text().await?;
            let mut headers = HeaderMap::new();
            let token = HeaderValue::from_str(&format!("Bearer {token}"));
            headers.insert(AUTHORIZATION, token.expect("a valid header"));
            Ok::<_, Error>(session.with_default_headers(headers))
        })
}

/// The token that the server saw.
fn token(response: &hyper_session::Response) -> &str {
    let seen = response.headers().get("x-request-authorization");
    seen.map_or("none", |value| value.to_str().expect("ASCII"))
}

#[tokio::test]
async fn every_request_has_what_the_opening_hook_has_fetched() -> Result<()> {
    let tasks = AliveTasks::now();
    let server = with_login();
    let holder = logging_in(&server).build()?;
    holder.start_session().await?;
    assert_accounts(&holder.stats(), Accounts::idle(1));
    assert_eq!(token(&holder.get("/1").send().await?), "Bearer token-0");
    assert_eq!(
        token(&holder.session()?.get("/2").send().await?),
        "Bearer token-0"
    );
    holder
        .with_session(async |s| {
            assert_eq!(token(&s.get("/3").send().await?), "Bearer token-0");
            let own = s.get("/4").bearer_auth("own").send().await?;
            assert_eq!(token(&own), "Bearer own");
            Ok::<_, Error>(())
        })
        .await?;
    assert_eq!(
        (server.accepted(), server.requests()),
        (1, 5),
        "the hook's pool is the session's"
    );

    let report = holder.close_session().await;
    assert_eq!((report.stats.opened, report.stats.reused), (1, 4));
    server.wait_live(0).await;
    // Logged in anew by a scope.
    let seen = holder
        .in_session(async |h| h.get("/1").send().await)
        .await?;
    assert_eq!(token(&seen), "Bearer token-1");
    drop(seen);
    server.wait_live(0).await;
    tasks.assert_back().await;
    Ok(())
}

#[tokio::test]
async fn a_bare_session_runs_the_opening_hook_too() -> Result<()> {
    let server = with_login();
    let session = logging_in(&server).open().await?;
    assert_eq!(token(&session.get("/1").send().await?), "Bearer token-0");
    assert_accounts(&session.stats(), Accounts::idle(1));
    assert_accounts(&session.close().await.stats, Accounts::NONE);
    server.wait_live(0).await;
    Ok(())
}

#[tokio::test]
async fn each_one_shot_runs_the_opening_hook() -> Result<()> {
    let server = with_login();
    let holder = logging_in(&server).build()?;
    assert_eq!(token(&holder.get("/1").send().await?), "Bearer token-0");
    server.wait_live(0).await;
    let seen = holder
        .with_session(async |s| s.get("/2").send().await)
        .await?;
    assert_eq!(token(&seen), "Bearer token-1");
    drop(seen);
    let mut stream = Box::pin(holder.stream_with_session(async |s: Session| {
        let seen = s.get("/3").send().await?;
        Ok::<_, Error>(futures::stream::iter([Ok(token(&seen).to_owned())]))
    }));
    assert_eq!(stream.next().await.expect("an item")?, "Bearer token-2");
    drop(stream);
    assert_eq!(holder.stats().one_shots, 3);
    server.wait_live(0).await;
    assert_eq!((server.accepted(), server.requests()), (3, 6));
    Ok(())
}

#[derive(Debug)]
struct NoLogin;

impl fmt::Display for NoLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("wrong password")
    }
}

impl StdError for NoLogin {}

/// Checks that this is the hook's failure with its reason.
#[track_caller]
fn assert_no_login<T: fmt::Debug>(result: Result<T>) {
    let error = expect_kind(result, ErrorKind::Hook);
    let source = error.source().expect("a source");
    assert!(source.is::<NoLogin>(), "{source:?}");
}

#[tokio::test]
async fn an_opening_hook_that_fails_leaves_nothing_open() -> Result<()> {
    let tasks = AliveTasks::now();
    let server = with_login();
    let fails = Arc::new(Mutex::new(true));
    let failing = Arc::clone(&fails);
    let kept = Arc::new(Mutex::new(None));
    let keep = Arc::clone(&kept);
    let holder = SessionHolder::builder()
        .base_url(server.url("/"))
        .on_open(move |session| {
            let fails = *failing.lock().expect("no panic");
            *keep.lock().expect("no panic") = Some(session.clone());
            async move {
                let login = session.post("/login").send().await;
                login.expect("an answer").text().await.expect("a token");
                if fails { Err(NoLogin) } else { Ok(session) }
            }
        })
        .build()?;

    assert_no_login(holder.start_session().await);
    // As long as somebody keeps its handle, what failed to open is a session of its own.
    drop(kept.lock().expect("no panic").take());
    assert!(!holder.is_open());
    assert_accounts(&holder.stats(), Accounts::NONE);
    server.wait_live(0).await;
    let forget = || drop(kept.lock().expect("no panic").take());
    assert_no_login(holder.in_session(async |_| Ok::<_, Error>(())).await);
    forget();
    assert_no_login(holder.enter_session().await.map(drop));
    forget();
    assert_no_login(holder.get("/1").send().await);
    forget();
    assert_no_login(holder.with_session(async |_| Ok::<_, Error>(())).await);
    forget();
    assert!(!holder.is_open());
    server.wait_live(0).await;
    assert_eq!((server.accepted(), server.requests()), (5, 5));
    assert_eq!(holder.stats().one_shots, 0, "none has come to be");
    tasks.assert_back().await;

    *fails.lock().expect("no panic") = false;
    holder.start_session().await?;
    forget();
    assert!(holder.is_open());
    assert_accounts(&holder.stats(), Accounts::idle(1));
    Ok(())
}

#[tokio::test]
async fn a_call_through_the_holder_inside_its_hook_fails_instead_of_waiting_for_itself()
-> Result<()> {
    for when_closed in [WhenClosed::OneShot, WhenClosed::Open, WhenClosed::Refuse] {
        let server = with_login();
        let own = Arc::new(OnceLock::<SessionHolder>::new());
        let found = Arc::clone(&own);
        let runs = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&runs);
        let url = server.url("/");
        let holder = SessionHolder::builder()
            .when_closed(when_closed)
            .on_open(move |session| {
                let (own, runs, url) = (Arc::clone(&found), Arc::clone(&counted), url.clone());
                async move {
                    let own = own.get().expect("it was built").clone();
                    expect_closed(own.start_session().await);
                    expect_closed(own.start_session_with(SessionHolder::builder()).await);
                    expect_closed(own.in_session(async |_| Ok::<_, Error>(())).await);
                    expect_closed(own.enter_session().await);
                    expect_closed(own.with_session(async |_| Ok::<_, Error>(())).await);
                    expect_closed(own.get(&url).send().await);
                    let mut stream = Box::pin(own.stream_with_session(async |_| {
                        Ok::<_, Error>(futures::stream::iter([Ok(())]))
                    }));
                    expect_closed(stream.next().await.expect("an item"));
                    expect_closed(own.session());
                    assert!(!own.is_open());
                    // The session that it got is there for it.
                    assert_eq!(session.get(url).send().await?.status(), StatusCode::OK);
                    runs.fetch_add(1, Ordering::SeqCst);
                    Ok::<_, Error>(session)
                }
            })
            .build()?;
        own.set(holder.clone()).expect("set once");

        holder.start_session().await?;
        assert_accounts(&holder.stats(), Accounts::idle(1));
        holder.close_session().await;
        drop(holder.enter_session().await?);
        server.wait_live(0).await;
        // In the hook of a one-shot as well, and of the session that a call opens.
        if when_closed != WhenClosed::Refuse {
            drop(holder.get(server.url("/")).send().await?);
            assert_eq!(runs.load(Ordering::SeqCst), 3);
        }
        holder.close_session().await;
        server.wait_live(0).await;
    }
    Ok(())
}

#[tokio::test]
async fn the_hook_of_one_holder_may_use_another_one() -> Result<()> {
    let server = with_login();
    let accounts = SessionHolder::builder().base_url(server.url("/")).build()?;
    let tokens = accounts.clone();
    let api = SessionHolder::builder()
        .base_url(server.url("/"))
        .on_open(move |session| {
            let tokens = tokens.clone();
            async move {
                let login = async |h: &SessionHolder| h.post("/login").send().await?.text().await;
                let token = tokens.in_session(login).await?;
                let token = HeaderValue::from_str(&token).expect("a valid header");
                let headers = HeaderMap::from_iter([(AUTHORIZATION, token)]);
                Ok::<_, Error>(session.with_default_headers(headers))
            }
        })
        .build()?;
    api.start_session().await?;
    assert!(!accounts.is_open());
    server.wait_live(0).await;
    assert_eq!(token(&api.get("/1").send().await?), "token-0");
    assert_accounts(&api.stats(), Accounts::idle(1));
    Ok(())
}

#[tokio::test]
async fn the_hook_of_a_swap_still_finds_the_session_that_is_open() -> Result<()> {
    let server = with_login();
    let holder = SessionHolder::builder()
        .base_url(server.url("/old/"))
        .build()?;
    holder.start_session().await?;
    let old = holder.clone();
    let builder = SessionHolder::builder()
        .base_url(server.url("/new/"))
        .on_open(move |session| {
            let old = old.clone();
            async move {
                assert_eq!(old.get("1").send().await?.headers()["x-uri"], "/old/1");
                expect_closed(old.start_session_with(SessionHolder::builder()).await);
                Ok::<_, Error>(session)
            }
        });
    holder.start_session_with(builder).await?;
    assert_eq!(holder.get("1").send().await?.headers()["x-uri"], "/new/1");
    server.wait_live(1).await;
    assert_accounts(&holder.stats(), Accounts::idle(1));
    Ok(())
}

#[tokio::test]
async fn a_close_from_inside_the_hook_ends_the_opening() -> Result<()> {
    let server = with_login();
    let own = Arc::new(OnceLock::<SessionHolder>::new());
    let found = Arc::clone(&own);
    let holder = SessionHolder::builder()
        .base_url(server.url("/"))
        .on_open(move |session| {
            let own = found.get().expect("it was built").clone();
            async move {
                session.post("/login").send().await?.text().await?;
                own.close_session().await;
                Ok::<_, Error>(session)
            }
        })
        .build()?;
    own.set(holder.clone()).expect("set once");
    expect_closed(holder.start_session().await);
    assert!(!holder.is_open());
    server.wait_live(0).await;
    Ok(())
}
