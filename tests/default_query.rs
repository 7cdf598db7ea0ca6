//! Parameters that a session adds to the URLs of its requests.
#![allow(clippy::unwrap_used, reason = "a test that fails here has its line")]

mod support;

use std::collections::BTreeMap;

use http::Request;
use http::header::{HeaderValue, LOCATION};
use hyper_session::{
    Body, ErrorKind, Next, Response, Result, Session, SessionBuilder, SessionHolder,
};
use support::outcome::expect_kind;
use support::server::{Server, echo, status};
use tower::ServiceExt;

fn builder(server: &Server) -> SessionBuilder {
    Session::builder().base_url(server.url("/v1"))
}

fn uri(response: &Response) -> &str {
    response.headers()["x-uri"].to_str().unwrap()
}

#[tokio::test]
async fn each_url_gets_the_parameters_that_it_has_not() -> Result<()> {
    let server = Server::echo();
    let session = builder(&server)
        .default_query(&[("key", "k&1"), ("lang", "nl"), ("lang", "fy")])
        .default_query(&BTreeMap::from([("v", Some(2)), ("none", None)]))
        .open()
        .await?;
    for (given, arrives) in [
        ("/x", "/v1/x?key=k%261&lang=nl&lang=fy&v=2"),
        ("/x?", "/v1/x?key=k%261&lang=nl&lang=fy&v=2"),
        ("/x?a=1", "/v1/x?a=1&key=k%261&lang=nl&lang=fy&v=2"),
        ("/x?lang=en", "/v1/x?lang=en&key=k%261&v=2"),
        ("/x?l%61ng=en", "/v1/x?l%61ng=en&key=k%261&v=2"),
        ("/x?lang", "/v1/x?lang&key=k%261&v=2"),
        ("/x?key=&v=&lang=", "/v1/x?key=&v=&lang="),
        ("/x?Lang=en", "/v1/x?Lang=en&key=k%261&lang=nl&lang=fy&v=2"),
        ("/x#lang=en", "/v1/x?key=k%261&lang=nl&lang=fy&v=2"),
        (&server.url("/y"), "/y?key=k%261&lang=nl&lang=fy&v=2"),
    ] {
        assert_eq!(uri(&session.get(given).send().await?), arrives, "{given}");
    }
    let own = session.get("/x?key=1").query(&[("v", 3), ("lang", 4)]);
    assert_eq!(uri(&own.send().await?), "/v1/x?key=1&v=3&lang=4");
    Ok(())
}

#[tokio::test]
async fn a_request_that_was_built_gets_them_once_when_it_is_sent() -> Result<()> {
    let server = Server::echo();
    let session = builder(&server).default_query(&[("k", 1)]).open().await?;
    let built = session.get("/x").build()?;
    assert_eq!(built.uri(), &*server.url("/v1/x"));
    assert_eq!(uri(&session.execute(built).await?), "/v1/x?k=1");
    let ready = Request::get("/x?k=2").body(Body::empty()).unwrap();
    let answer = session.oneshot(ready).await?;
    assert_eq!(answer.headers()["x-uri"], "/v1/x?k=2");
    Ok(())
}

#[tokio::test]
async fn one_shots_have_them_as_well() -> Result<()> {
    let server = Server::echo();
    let holder: SessionHolder = builder(&server).default_query(&[("k", 1)]).build()?;
    assert_eq!(uri(&holder.get("/x").send().await?), "/v1/x?k=1");
    Ok(())
}

#[tokio::test]
async fn where_a_redirect_leads_they_are_not_added() -> Result<()> {
    let server = Server::start(async |request| {
        if request.uri().path() != "/v1/old" {
            return echo(request);
        }
        let mut redirect = status(302);
        let location = HeaderValue::from_static("/v1/new?a=1");
        redirect.headers_mut().insert(LOCATION, location);
        redirect
    });
    let session = builder(&server)
        .default_query(&[("key", "s3cret")])
        .open()
        .await?;
    let response = session.get("/old").send().await?;
    assert_eq!(uri(&response), "/v1/new?a=1");
    let hop = response.history()[0].url();
    assert_eq!(hop.query(), Some("key=s3cret"));
    Ok(())
}

#[tokio::test]
async fn what_is_no_list_of_pairs_is_refused_by_name_and_never_shown() {
    let server = Server::text("never");
    let nested = BTreeMap::from([("key", BTreeMap::from([("is", "s3cret")]))]);
    let builder = || {
        let begun = builder(&server).default_query(&[("key", "s3cret")]);
        begun.default_query(&nested).default_query(&[("a", "b")])
    };
    assert!(!format!("{:?}", builder()).contains("s3cret"));
    let refused = expect_kind(builder().open().await, ErrorKind::Builder);
    assert!(refused.to_string().contains("default_query"), "{refused}");
    assert!(!format!("{refused:?}").contains("s3cret"), "{refused:?}");
    expect_kind(builder().build(), ErrorKind::Builder);
}

#[tokio::test]
async fn a_url_that_becomes_too_long_is_refused_before_anything_goes_out() -> Result<()> {
    let server = Server::text("never");
    let session = builder(&server)
        .default_query(&[("key", "x".repeat(60_000))])
        .open()
        .await?;
    let path = "a".repeat(10_000);
    let refused = expect_kind(session.get(path).send().await, ErrorKind::Url);
    assert!(!refused.was_sent());
    assert_eq!(session.close().await.stats.opened, 0);
    Ok(())
}

#[tokio::test]
async fn middleware_sees_them_and_they_are_not_added_twice() -> Result<()> {
    let server = Server::echo();
    let moving = |mut request: Request<Body>, next: Next| async move {
        assert_eq!(request.uri().query(), Some("k=1"));
        let without = request.uri().to_string().replace("?k=1", "?other");
        *request.uri_mut() = without.parse().unwrap();
        next.run(request).await
    };
    let session = builder(&server)
        .default_query(&[("k", 1)])
        .middleware(moving)
        .open()
        .await?;
    assert_eq!(uri(&session.get("/x").send().await?), "/v1/x?other");
    Ok(())
}
