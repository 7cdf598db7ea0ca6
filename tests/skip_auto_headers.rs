//! Headers that a request gets by itself, and need not.
#![allow(clippy::unwrap_used, reason = "a test that fails here has its line")]

mod support;

use http::Request;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, COOKIE, HeaderMap, HeaderName, HeaderValue, LOCATION,
    REFERER, USER_AGENT,
};
use hyper_session::{
    Body, Credentials, ErrorKind, Next, RequestBuilder, Response, Result, Session, SessionBuilder,
    SessionHolder,
};
use support::outcome::expect_kind;
use support::server::{Server, echo, status};

/// Answers as `echo`, but `/moved`, which redirects, and all set a cookie.
fn server() -> Server {
    Server::start(async |request| {
        let mut answer = if request.uri().path() == "/moved" {
            let mut moved = status(302);
            let location = HeaderValue::from_static("/");
            moved.headers_mut().insert(LOCATION, location);
            moved
        } else {
            echo(request)
        };
        let cookie = HeaderValue::from_static("id=1");
        answer.headers_mut().insert("set-cookie", cookie);
        answer
    })
}

/// With credentials in the base URL, and default headers.
fn builder(server: &Server) -> SessionBuilder {
    let mut defaults = HeaderMap::new();
    defaults.insert(ACCEPT, HeaderValue::from_static("*/*"));
    defaults.append("x-many", HeaderValue::from_static("1"));
    defaults.append("x-many", HeaderValue::from_static("2"));
    let builder = Session::builder()
        .base_url(server.url("/").replace("//", "//user:pass@"))
        .user_agent("tests")
        .default_headers(defaults);
    #[cfg(feature = "cookies")]
    let builder = builder.cookies(true);
    builder
}

/// Whether the request had these headers.
fn had(response: &Response, names: &[HeaderName]) -> Vec<bool> {
    let headers = response.headers();
    let had = |name: &HeaderName| headers.contains_key(format!("x-request-{name}"));
    names.iter().map(had).collect()
}

const DEFAULTS: [HeaderName; 3] = [ACCEPT, USER_AGENT, HeaderName::from_static("x-many")];

fn form(session: &Session, path: &str) -> RequestBuilder {
    session.post(path).form(&[("a", "b")])
}

#[tokio::test]
async fn a_request_goes_without_the_sessions_default_headers_that_it_names() -> Result<()> {
    let server = server();
    let session = builder(&server).open().await?;
    let one = session.get("/").skip_auto_headers([ACCEPT]).send().await?;
    assert_eq!(had(&one, &DEFAULTS), [false, true, true]);
    let all = session.get("/").skip_auto_headers(["User-Agent", "accept"]);
    let all = all.skip_auto_headers(["x-many", "x-absent"]);
    let again = all.try_clone().unwrap();
    for request in [all, again] {
        assert_eq!(had(&request.send().await?, &DEFAULTS), [false; 3]);
    }
    let own = session.get("/").skip_auto_headers(DEFAULTS);
    let own = own.header(ACCEPT, "a/a").send().await?;
    assert_eq!(had(&own, &DEFAULTS), [true, false, false]);
    assert_eq!(own.headers()["x-request-accept"], "a/a");
    let plain = session.get("/").send().await?;
    assert_eq!(had(&plain, &DEFAULTS), [true; 3], "of that request alone");
    Ok(())
}

#[tokio::test]
async fn they_do_not_come_back_on_the_way() -> Result<()> {
    let server = server();
    let session = builder(&server).open().await?;
    let moved = |request: RequestBuilder| async {
        let response = request.send().await?;
        assert_eq!(response.history().len(), 1);
        Ok::<_, hyper_session::Error>(response)
    };
    let plain = moved(session.get("/moved")).await?;
    assert_eq!(had(&plain, &DEFAULTS), [true; 3]);
    assert_eq!(had(&plain, &[REFERER, AUTHORIZATION]), [true; 2]);
    let without = session.get("/moved").skip_auto_headers(DEFAULTS);
    let without = moved(without.skip_auto_headers([REFERER, AUTHORIZATION])).await?;
    assert_eq!(had(&without, &DEFAULTS), [false; 3]);
    assert_eq!(had(&without, &[REFERER, AUTHORIZATION]), [false; 2]);
    Ok(())
}

#[tokio::test]
async fn what_is_sent_by_itself_is_left_out_for_a_session_or_a_request() -> Result<()> {
    let server = server();
    let automatic = [
        http::header::CONTENT_TYPE,
        ACCEPT_ENCODING,
        AUTHORIZATION,
        COOKIE,
    ];
    let codings = cfg!(any(
        feature = "gzip",
        feature = "deflate",
        feature = "brotli",
        feature = "zstd"
    ));
    let there = [true, codings, true, cfg!(feature = "cookies")];

    let session = builder(&server).open().await?;
    // The cookies are those of the first answer.
    drop(session.get("/").send().await?);
    assert_eq!(had(&form(&session, "/").send().await?, &automatic), there);
    for skipped in 0..automatic.len() {
        let request = form(&session, "/").skip_auto_headers([&automatic[skipped]]);
        let mut left = there;
        left[skipped] = false;
        assert_eq!(had(&request.send().await?, &automatic), left);
    }
    let built = form(&session, "/").skip_auto_headers(&automatic).build()?;
    assert_eq!(had(&session.execute(built).await?, &automatic), [false; 4]);

    let bare = builder(&server).skip_auto_headers(&automatic[..2]);
    let bare = bare.skip_auto_headers(&automatic[2..]).open().await?;
    drop(bare.get("/").send().await?);
    let sent = form(&bare, "/").send().await?;
    assert_eq!(had(&sent, &automatic), [false; 4]);
    assert_eq!(had(&sent, &DEFAULTS), [true; 3], "those were asked for");
    assert_eq!(sent.text().await?, "a=b");
    let own = form(&bare, "/")
        .header("content-type", "own")
        .bearer_auth("t");
    assert_eq!(
        had(&own.send().await?, &automatic),
        [true, false, true, false]
    );
    let ready = Request::get("/").body(Body::empty()).unwrap();
    assert_eq!(had(&bare.execute(ready).await?, &automatic), [false; 4]);
    Ok(())
}

#[tokio::test]
async fn a_holder_builds_without_them_open_or_not() -> Result<()> {
    let server = server();
    let skipping = builder(&server).skip_auto_headers(["content-type", "authorization"]);
    let holder: SessionHolder = skipping.build()?;
    for _ in 0..2 {
        let built = holder.post("/").form(&[("a", "b")]).build()?;
        assert!(built.headers().is_empty(), "{:?}", built.headers());
        holder.start_session().await?;
    }
    Ok(())
}

#[cfg(feature = "gzip")]
#[tokio::test]
async fn what_was_not_asked_for_is_decoded_all_the_same() -> Result<()> {
    let server = Server::start(async |request| {
        assert!(!request.headers().contains_key(ACCEPT_ENCODING));
        let coded = support::coding::gzip(b"text");
        let mut answer = support::server::text(coded);
        let gzip = HeaderValue::from_static("gzip");
        answer.headers_mut().insert("content-encoding", gzip);
        answer
    });
    let session = Session::builder().open().await?;
    let request = session
        .get(server.url("/"))
        .skip_auto_headers([ACCEPT_ENCODING]);
    assert_eq!(request.send().await?.text().await?, "text");
    Ok(())
}

#[tokio::test]
async fn what_makes_a_message_and_what_is_no_name_are_refused() -> Result<()> {
    let server = Server::text("never");
    for (name, names) in [
        ("host", "`host`"),
        ("Content-Length", "`content-length`"),
        ("transfer-encoding", "`transfer-encoding`"),
        ("a b", "invalid header name"),
        ("", "invalid header name"),
    ] {
        let opened = Session::builder().skip_auto_headers([name]).open().await;
        let session = builder(&server).open().await?;
        let sent = session.get("/").skip_auto_headers([name]).send().await;
        for refused in [opened.map(drop), sent.map(drop)] {
            let refused = expect_kind(refused, ErrorKind::Builder).to_string();
            assert!(refused.contains("skip_auto_headers: "), "{refused}");
            assert!(refused.contains(names), "{refused}");
        }
        assert_eq!(session.close().await.stats.opened, 0);
    }
    Ok(())
}

#[tokio::test]
async fn credentials_that_are_left_out_are_not_asked_for() -> Result<()> {
    let server = Server::echo();
    let refusing = |_| async { Err::<Credentials, _>(std::io::Error::other("not asked")) };
    let builder = || Session::builder().base_url(server.url("/"));
    let session = builder().credentials(refusing).open().await?;
    expect_kind(session.get("/").send().await, ErrorKind::Credentials);
    let without = session.get("/").skip_auto_headers([AUTHORIZATION]);
    assert_eq!(had(&without.send().await?, &[AUTHORIZATION]), [false]);

    let providing = |_| async { Credentials::bearer("t") };
    let session = builder().credentials(providing).open().await?;
    let without = session.get("/").skip_auto_headers([AUTHORIZATION]);
    assert_eq!(had(&without.send().await?, &[AUTHORIZATION]), [false]);
    assert_eq!(
        had(&session.get("/").send().await?, &[AUTHORIZATION]),
        [true]
    );
    Ok(())
}

#[tokio::test]
async fn a_provider_of_credentials_has_all_headers_of_the_session() -> Result<()> {
    let server = Server::echo();
    let asking = |session: Session| async move {
        let asked = session.get("/").send().await?;
        assert_eq!(had(&asked, &DEFAULTS), [true; 3]);
        Credentials::bearer("t")
    };
    let builder = builder(&server).base_url(server.url("/"));
    let session = builder.credentials(asking).open().await?;
    let sent = session.get("/").skip_auto_headers(DEFAULTS).send().await?;
    assert_eq!(had(&sent, &DEFAULTS), [false; 3]);
    assert_eq!(had(&sent, &[AUTHORIZATION]), [true]);
    Ok(())
}

#[tokio::test]
async fn what_is_left_out_stays_out_behind_middleware() -> Result<()> {
    let server = server();
    let passing = |request: Request<Body>, next: Next| async move {
        assert!(request.headers().is_empty(), "{:?}", request.headers());
        next.run(request).await
    };
    let session = builder(&server).middleware(passing).open().await?;
    let names = [
        http::header::CONTENT_TYPE,
        AUTHORIZATION,
        ACCEPT_ENCODING,
        ACCEPT,
    ];
    let request = form(&session, "/").skip_auto_headers(&names);
    assert_eq!(had(&request.send().await?, &names), [false; 4]);
    Ok(())
}
