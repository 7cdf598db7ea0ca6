//! Which answers are errors, and what the errors keep of them.
#![allow(clippy::unwrap_used, reason = "a test that fails here has its line")]

mod support;

use http::header::{HeaderMap, RETRY_AFTER, SET_COOKIE};
use http::{HeaderValue, StatusCode};
use hyper_session::{Body, Error, ErrorKind, Response, Result, Session};
use support::accounts::{Accounts, assert_accounts};
use support::server::{Server, full, respond};

/// A server that answers `/404` by 404, with two headers and a long body.
fn server() -> Server {
    Server::start(async |request| {
        let code: u16 = request.uri().path()[1..].parse().unwrap();
        let status = StatusCode::from_u16(code).unwrap();
        let mut answer = respond(status, full("why ".repeat(10_000)));
        let headers = answer.headers_mut();
        headers.insert(RETRY_AFTER, HeaderValue::from_static("7"));
        headers.insert(SET_COOKIE, HeaderValue::from_static("id=s3cret"));
        answer
    })
}

async fn open(server: &Server) -> Result<Session> {
    Session::builder().base_url(server.url("/")).open().await
}

#[track_caller]
fn assert_refused(error: &Error, status: u16) -> &HeaderMap {
    assert_eq!(error.kind(), ErrorKind::Status);
    assert!(error.is_status() && error.was_sent());
    assert_eq!(error.status().unwrap().as_u16(), status);
    let shown = format!("{error} {error:?}");
    assert!(
        !shown.contains("s3cret") && !shown.contains("why"),
        "{shown}"
    );
    let headers = error.headers().unwrap();
    assert_eq!(headers[RETRY_AFTER], "7");
    headers
}

#[tokio::test]
async fn the_error_has_status_headers_and_the_head_of_the_body() -> Result<()> {
    let server = server();
    let session = open(&server).await?;
    let raising = session.get("503").raise_for_status(true);
    let checked = session.get("503").send().await?.error_for_status();
    for error in [
        raising.send().await.unwrap_err(),
        checked.await.unwrap_err(),
    ] {
        let headers = assert_refused(&error, 503);
        assert_eq!(headers[SET_COOKIE], "id=s3cret");
        assert_eq!(error.body().unwrap(), "why ".repeat(2048).as_bytes());
        assert_eq!(error.url(), Some(&*server.url("/503")));
    }
    Ok(())
}

#[tokio::test]
async fn a_check_by_reference_leaves_the_response_to_be_read() -> Result<()> {
    let server = server();
    let session = open(&server).await?;
    let refused = session.get("404").send().await?;
    let error = refused.error_for_status_ref().unwrap_err();
    assert_refused(&error, 404);
    assert_eq!(error.body(), None);
    assert_eq!(refused.headers()[RETRY_AFTER], "7");
    assert_eq!(refused.text().await?, "why ".repeat(10_000));
    assert_accounts(&session.stats(), Accounts::idle(1));

    let fine = session.get("200").send().await?;
    assert_eq!(fine.error_for_status_ref()?.status(), 200);
    assert_eq!(fine.bytes().await?.len(), 40_000);
    Ok(())
}

#[tokio::test]
async fn a_condition_says_which_statuses_are_errors() -> Result<()> {
    let server = server();
    let session = Session::builder()
        .base_url(server.url("/"))
        .raise_for_status_if(|status| status != StatusCode::NOT_FOUND && status != 200)
        .open()
        .await?;
    for (status, is_refused) in [(200, false), (404, false), (201, true), (500, true)] {
        match session.get(status.to_string()).send().await {
            Ok(answer) => assert!(!is_refused && answer.status() == status),
            Err(error) => {
                assert!(is_refused);
                assert_refused(&error, status);
                assert!(!error.body().unwrap().is_empty());
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn the_requests_own_condition_is_the_one_that_counts() -> Result<()> {
    let server = server();
    let session = Session::builder().base_url(server.url("/"));
    let session = session.raise_for_status(true).open().await?;
    let tolerant = session
        .get("404")
        .raise_for_status_if(|status| status == 410);
    assert_eq!(tolerant.send().await?.status(), 404);
    let strict = session.get("204").raise_for_status_if(|_| true);
    let error = strict.send().await.unwrap_err();
    assert_refused(&error, 204);
    assert_eq!(error.body(), Some(&b""[..]));

    // The last word counts, and goes with a request that is built or copied first.
    let plain = session.get("404").raise_for_status_if(|_| true);
    assert!(plain.raise_for_status(false).send().await.is_ok());
    let tolerant = session.get("404").raise_for_status_if(|_| false);
    let copy = tolerant.try_clone().unwrap();
    assert!(session.execute(tolerant.build()?).await.is_ok());
    assert!(copy.send().await.is_ok());
    Ok(())
}

/// What `make` leaves behind for each of the errors that it gives, in bytes.
fn kept_for_each(make: impl AsyncFn() -> Error) -> u64 {
    const ERRORS: u64 = 20;
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().unwrap();
    // What is made once is there before.
    drop(runtime.block_on(make()));
    let mut errors = Vec::with_capacity(20);
    let counted = allocation_counter::measure(|| {
        runtime.block_on(async {
            for _ in 0..ERRORS {
                errors.push(make().await);
            }
        });
    });
    for error in &errors {
        assert_eq!(error.body().unwrap(), "why ".repeat(2048).as_bytes());
    }
    u64::try_from(counted.bytes_current).unwrap() / ERRORS
}

#[test]
fn an_error_keeps_no_more_than_it_shows() {
    let long = || "why ".repeat(1 << 20);
    let refused = async |body: Body| {
        let answer = http::Response::builder().status(404).body(body).unwrap();
        let answer = Response::from(answer);
        answer.error_for_status().await.unwrap_err()
    };
    let whole = async || refused(long().into()).await;
    let in_one_part = async || refused(Body::wrap(full(long()))).await;
    // 8 KiB of the body, and the head.
    for kept in [kept_for_each(whole), kept_for_each(in_one_part)] {
        assert!((8192..10_000).contains(&kept), "{kept}");
    }

    let server = server();
    let url = server.url("/404");
    let sent = async || {
        let session = Session::builder().raise_for_status(true).open().await;
        let sent = session.unwrap().get(&url).send();
        sent.await.unwrap_err()
    };
    let kept = kept_for_each(sent);
    assert!((8192..10_000).contains(&kept), "{kept}");
}
