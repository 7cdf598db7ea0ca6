//! What is asked for is what arrives.

mod support;

use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, stream};
use http::header::{
    ACCEPT, AUTHORIZATION, CONTENT_LENGTH, HOST, HeaderMap, HeaderValue, TRANSFER_ENCODING,
    USER_AGENT,
};
use http::{Method, Request, StatusCode, Version};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper_session::{
    Body, ErrorKind, RequestBuilder, Response, Result, Session, SessionHolder, TimeoutPhase,
};
use serde::Serialize;
use support::gate::Gate;
use support::outcome::chain;
use support::raw::RawPeer;
use support::server::{Server, channel_body, respond, text};
use tower::{Service, ServiceExt};

async fn open(server: &Server) -> Result<Session> {
    Session::builder().base_url(server.url("/")).open().await
}

/// A header of the request, as the echoing server has seen it; several are joined by `|`.
fn seen(response: &Response, name: &str) -> Option<String> {
    let values = response.headers().get_all(format!("x-request-{name}"));
    let values: Vec<_> = values
        .iter()
        .map(|value| value.to_str().expect("ASCII"))
        .collect();
    (!values.is_empty()).then(|| values.join("|"))
}

fn uri(response: &Response) -> &str {
    response.headers()["x-uri"].to_str().expect("ASCII")
}

fn one_header(name: impl Into<http::HeaderName>, value: &'static str) -> HeaderMap {
    HeaderMap::from_iter([(name.into(), HeaderValue::from_static(value))])
}

async fn assert_closed(session: Session, server: &Server, opened: u64, reused: u64) {
    let stats = session.close().await.stats;
    assert_eq!(
        (stats.opened, stats.reused, stats.closed),
        (opened, reused, opened),
        "{stats:?}"
    );
    server.wait_live(0).await;
}

/// The first connection's request head, as it was on the wire.
fn head_lines(peer: &RawPeer) -> Vec<String> {
    let received = String::from_utf8(peer.received(0)).expect("ASCII");
    let (head, _) = received.split_once("\r\n\r\n").expect("a whole head");
    head.split("\r\n").map(str::to_ascii_lowercase).collect()
}

fn answering_peer() -> RawPeer {
    RawPeer::answering(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
}

#[tokio::test]
async fn every_verb_arrives_with_its_path_query_headers_and_body() -> Result<()> {
    type Verb = fn(&Session, &str) -> RequestBuilder;
    type HolderVerb = fn(&SessionHolder, &str) -> RequestBuilder;
    let server = Server::echo();
    let session = open(&server).await?;
    let verbs: [(&str, Verb); 8] = [
        ("GET", |s, url| s.get(url)),
        ("POST", |s, url| s.post(url)),
        ("PUT", |s, url| s.put(url)),
        ("PATCH", |s, url| s.patch(url)),
        ("DELETE", |s, url| s.delete(url)),
        ("HEAD", |s, url| s.head(url)),
        ("OPTIONS", |s, url| s.options(url)),
        ("PROPFIND", |s, url| {
            s.request(Method::from_bytes(b"PROPFIND").expect("a token"), url)
        }),
    ];
    for (verb, start) in verbs {
        let request = start(&session, "/a/b?x=1")
            .query(&[("y", "2")])
            .header("x-tag", verb);
        let answer = request.body("content").send().await?;
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()["x-method"], verb);
        assert_eq!(uri(&answer), "/a/b?x=1&y=2");
        assert_eq!(seen(&answer, "x-tag").as_deref(), Some(verb));
        assert_eq!(
            seen(&answer, "content-length").as_deref(),
            Some("7"),
            "{verb}"
        );
        let body = if verb == "HEAD" { "" } else { "content" };
        assert_eq!(answer.text().await?, body, "{verb}");
    }
    assert_eq!(server.accepted(), 1);
    assert_closed(session, &server, 1, 7).await;

    let holder = SessionHolder::builder().base_url(server.url("/")).build()?;
    holder.start_session().await?;
    let verbs: [(&str, HolderVerb); 8] = [
        ("GET", |s, url| s.get(url)),
        ("POST", |s, url| s.post(url)),
        ("PUT", |s, url| s.put(url)),
        ("PATCH", |s, url| s.patch(url)),
        ("DELETE", |s, url| s.delete(url)),
        ("HEAD", |s, url| s.head(url)),
        ("OPTIONS", |s, url| s.options(url)),
        ("TRACE", |s, url| s.request(Method::TRACE, url)),
    ];
    for (verb, start) in verbs {
        let answer = start(&holder, "/").send().await?;
        assert_eq!(answer.headers()["x-method"], verb);
        assert_eq!(answer.bytes().await?, "");
    }
    assert_eq!(server.accepted(), 2);
    assert_eq!(holder.close_session().await.stats.reused, 7);
    server.wait_live(0).await;
    Ok(())
}

#[tokio::test]
async fn a_body_of_no_bytes_is_announced_where_the_method_means_one_to_be_there() -> Result<()> {
    // RFC 9110 §8.6: there are servers that answer 411 to a POST without Content-Length.
    let server = Server::echo();
    let session = open(&server).await?;
    for (method, announced) in [
        (Method::POST, Some("0")),
        (Method::PUT, Some("0")),
        (Method::PATCH, Some("0")),
        (Method::GET, None),
        (Method::HEAD, None),
        (Method::DELETE, None),
        (Method::OPTIONS, None),
    ] {
        let answer = session.request(method.clone(), "/").send().await?;
        assert_eq!(
            seen(&answer, "content-length").as_deref(),
            announced,
            "{method}"
        );
        assert_eq!(seen(&answer, "transfer-encoding"), None, "{method}");
    }
    assert_closed(session, &server, 1, 6).await;
    Ok(())
}

#[tokio::test]
async fn a_relative_url_is_appended_to_the_base_and_an_absolute_one_is_not() -> Result<()> {
    let server = Server::echo();
    for base in ["/v1", "/v1/"] {
        let session = Session::builder().base_url(server.url(base)).open().await?;
        let end = base.strip_prefix("/v1").expect("as above");
        for (url, arrives) in [
            ("users", "/v1/users".to_owned()),
            ("/users", "/v1/users".to_owned()),
            ("users/", "/v1/users/".to_owned()),
            ("", format!("/v1{end}")),
            ("?a=b", format!("/v1{end}?a=b")),
            ("a/../b/./c", "/v1/b/c".to_owned()),
            ("./a:b", "/v1/a:b".to_owned()),
            ("/a:b", "/v1/a:b".to_owned()),
            ("über uns", "/v1/%C3%BCber%20uns".to_owned()),
            ("a%2Fb", "/v1/a%2Fb".to_owned()),
            ("page#part", "/v1/page".to_owned()),
            (&server.url("/other"), "/other".to_owned()),
            (&server.url(""), "/".to_owned()),
        ] {
            let answer = session.get(url).send().await?;
            assert_eq!(uri(&answer), arrives, "{url:?} below {base:?}");
        }
        session.close().await;
    }
    server.wait_live(0).await;
    assert_eq!(server.accepted(), 2);
    Ok(())
}

#[tokio::test]
async fn without_a_base_an_absolute_url_arrives_and_a_relative_one_is_refused() -> Result<()> {
    let server = Server::echo();
    let session = Session::builder().open().await?;
    assert_eq!(uri(&session.get(server.url("/x")).send().await?), "/x");
    let refused = session.get("/x").send().await.expect_err("no base");
    assert_eq!(refused.kind(), ErrorKind::Url);
    assert!(
        refused.to_string().contains("\"/x\" is relative"),
        "{refused}"
    );
    assert_closed(session, &server, 1, 0).await;
    Ok(())
}

#[tokio::test]
async fn a_default_header_goes_with_each_request_that_has_none_of_that_name() -> Result<()> {
    let server = Server::echo();
    let mut defaults = one_header(ACCEPT, "text/plain");
    defaults.append("x-many", HeaderValue::from_static("1"));
    defaults.append("x-many", HeaderValue::from_static("2"));
    let session = Session::builder()
        .base_url(server.url("/"))
        .default_headers(one_header(ACCEPT, "replaced/later"))
        .default_headers(defaults)
        .user_agent("tests/1.0")
        .open()
        .await?;

    let plain = session.get("/").send().await?;
    assert_eq!(seen(&plain, "accept").as_deref(), Some("text/plain"));
    assert_eq!(seen(&plain, "x-many").as_deref(), Some("1|2"));
    assert_eq!(seen(&plain, "user-agent").as_deref(), Some("tests/1.0"));
    let own = session
        .get("/")
        .header("accept", "a/a")
        .header(ACCEPT, "b/b");
    let own = own
        .header("x-many", "3")
        .header(USER_AGENT, "other")
        .send()
        .await?;
    assert_eq!(seen(&own, "accept").as_deref(), Some("a/a|b/b"));
    assert_eq!(seen(&own, "x-many").as_deref(), Some("3"));
    assert_eq!(seen(&own, "user-agent").as_deref(), Some("other"));
    let own = session
        .get("/")
        .header("x-a", "1")
        .headers(one_header(ACCEPT, "c/c"));
    let own = own
        .headers(one_header(http::HeaderName::from_static("x-a"), "2"))
        .send()
        .await?;
    assert_eq!(seen(&own, "accept").as_deref(), Some("c/c"));
    assert_eq!(seen(&own, "x-a").as_deref(), Some("2"));
    assert_closed(session, &server, 1, 2).await;
    Ok(())
}

#[tokio::test]
async fn nothing_is_sent_that_nobody_asked_for() -> Result<()> {
    let peer = answering_peer();
    let session = Session::builder().decompress(false).open().await?;
    assert_eq!(
        session.get(peer.url("/?q")).send().await?.text().await?,
        "ok"
    );
    let host = format!("host: {}", peer.addr());
    assert_eq!(head_lines(&peer), ["get /?q http/1.1", &host]);
    session.close().await;
    peer.wait_live(0).await;
    Ok(())
}

#[tokio::test]
async fn a_derived_session_has_headers_of_its_own_and_shares_the_pool() -> Result<()> {
    let server = Server::echo();
    let session = Session::builder()
        .base_url(server.url("/v1"))
        .default_headers(one_header(ACCEPT, "text/plain"))
        .user_agent("tests")
        .open()
        .await?;
    let mut headers = one_header(ACCEPT, "text/html");
    headers.insert(AUTHORIZATION, HeaderValue::from_static("Bearer t"));
    let derived = session.with_default_headers(headers);
    let answer = derived.get("/x").send().await?;
    assert_eq!(uri(&answer), "/v1/x");
    assert_eq!(seen(&answer, "accept").as_deref(), Some("text/html"));
    assert_eq!(seen(&answer, "authorization").as_deref(), Some("Bearer t"));
    assert_eq!(seen(&answer, "user-agent").as_deref(), Some("tests"));
    drop(answer);
    let answer = session.get("/x").send().await?;
    assert_eq!(seen(&answer, "accept").as_deref(), Some("text/plain"));
    assert_eq!(seen(&answer, "authorization"), None);
    drop(answer);
    assert_eq!(derived.stats(), session.stats());
    assert_closed(derived, &server, 1, 1).await;
    let closed = session
        .get("/")
        .send()
        .await
        .expect_err("one session, one end");
    assert!(closed.is_closed());
    Ok(())
}

async fn sent_host(peer: &RawPeer, request: RequestBuilder) -> Result<Vec<String>> {
    assert_eq!(request.send().await?.text().await?, "ok");
    let lines = head_lines(peer);
    let hosts = lines.iter().filter(|line| line.starts_with("host:"));
    assert_eq!(hosts.count(), 1, "{lines:?}");
    Ok(lines)
}

#[tokio::test]
async fn host_is_that_of_the_url_and_comes_first() -> Result<()> {
    let peer = answering_peer();
    let session = Session::builder().user_agent("tests").open().await?;
    let request = session.get(peer.url("/")).header("x-first", "1");
    let lines = sent_host(&peer, request).await?;
    assert_eq!(lines[1], format!("host: {}", peer.addr()));
    assert_eq!(session.close().await.stats.opened, 1);
    peer.wait_live(0).await;
    Ok(())
}

#[tokio::test]
async fn a_host_of_the_requests_or_the_sessions_own_comes_first_too() -> Result<()> {
    let hosts = [
        "example.test",
        "a_b:0",
        "a,b",
        "a.test:",
        "xn--kse-qla.test:65535",
        "127.0.0.1",
        "[::1]:80",
    ];
    for (host, by_default) in hosts.iter().flat_map(|host| [(host, false), (host, true)]) {
        let peer = answering_peer();
        let session = Session::builder().user_agent("tests").open().await?;
        let request = if by_default {
            let session = session.with_default_headers(one_header(HOST, host));
            session.get(peer.url("/")).header("x-first", "1")
        } else {
            let request = session.get(peer.url("/"));
            request.header("x-first", "1").header(HOST, *host)
        };
        let lines = sent_host(&peer, request).await?;
        assert_eq!(lines[1], format!("host: {host}"), "{lines:?}");
        session.close().await;
        peer.wait_live(0).await;
    }
    Ok(())
}

#[tokio::test]
async fn credentials_arrive_by_basic_bearer_and_url_and_the_last_one_named_counts() -> Result<()> {
    let server = Server::echo();
    let session = open(&server).await?;
    let with_user_info = |user_info: &str| {
        let url = server
            .url("/x")
            .replace("127.0.0.1", &format!("{user_info}@127.0.0.1"));
        session.get(url)
    };
    let password = Some("öpen:sesame");
    for (request, arrives) in [
        (
            session.get("/").basic_auth("Ada", Some("l")),
            "Basic QWRhOmw=",
        ),
        (
            session.get("/").basic_auth("Ada", None::<&str>),
            "Basic QWRhOg==",
        ),
        (
            session.get("/").basic_auth("Ada", password),
            "Basic QWRhOsO2cGVuOnNlc2FtZQ==",
        ),
        (session.get("/").bearer_auth("a.b.c"), "Bearer a.b.c"),
        (session.get("/").bearer_auth(12), "Bearer 12"),
        (
            session.get("/").basic_auth("a", Some("b")).bearer_auth("t"),
            "Bearer t",
        ),
        (
            session
                .get("/")
                .bearer_auth("t")
                .basic_auth("Ada", Some("l")),
            "Basic QWRhOmw=",
        ),
        (session.get("/").header("authorization", "Own x"), "Own x"),
        (with_user_info("Ada:l"), "Basic QWRhOmw="),
        (with_user_info("Ada"), "Basic QWRhOg=="),
        (
            with_user_info("Ada:%C3%B6pen%3Asesame"),
            "Basic QWRhOsO2cGVuOnNlc2FtZQ==",
        ),
        (with_user_info("Ada:l").bearer_auth("t"), "Bearer t"),
    ] {
        let answer = request.send().await?;
        assert_eq!(seen(&answer, "authorization").as_deref(), Some(arrives));
        assert_eq!(seen(&answer, "host"), Some(server.addr().to_string()));
        assert!(!answer.url().as_str().contains('@'), "{}", answer.url());
    }
    assert_closed(session, &server, 1, 11).await;

    Ok(())
}

/// `Ada:l`, by the echoing server.
const OF_BASE: Option<&str> = Some("Basic QWRhOmw=");

#[tokio::test]
async fn user_info_of_a_base_goes_to_its_origin_however_that_is_named() -> Result<()> {
    let (server, other) = (Server::echo(), Server::echo());
    let session = Session::builder()
        .base_url(server.url("/v1").replace("//", "//Ada:l@"))
        .default_headers(one_header(AUTHORIZATION, "Default x"))
        .open()
        .await?;
    let by_default = Some("Default x");
    let same = server.url("/x");
    let own = same.replace("//", "//b:c@");
    for (request, arrives) in [
        (session.get("/x"), OF_BASE),
        (session.get(""), OF_BASE),
        (session.get("a b"), OF_BASE),
        (session.get(&same), OF_BASE),
        (session.get(same.replace("http", "HTTP")), OF_BASE),
        (session.get(&same).bearer_auth("t"), Some("Bearer t")),
        (session.get(&own), Some("Basic Yjpj")),
        (session.get(&same).skip_auto_headers([AUTHORIZATION]), None),
        // The same server by another name, and another one.
        (session.get(server.url_by("localhost", "/x")), by_default),
        (session.get(other.url("/x")), by_default),
    ] {
        let again = request.try_clone().expect("it has no body").build()?;
        for answer in [request.send().await?, session.execute(again).await?] {
            let url = answer.url();
            assert_eq!(seen(&answer, "authorization").as_deref(), arrives, "{url}");
        }
    }
    let ready = Request::get(&same).body(Body::empty()).expect("a URI");
    let answer = session.execute(ready).await?;
    assert_eq!(seen(&answer, "authorization").as_deref(), OF_BASE);
    drop(answer);
    assert!(!format!("{session:?}").contains("Ada"));
    let holder = SessionHolder::builder()
        .base_url(server.url("/v1").replace("//", "//Ada:l@"))
        .build()?;
    for url in ["/x", &same] {
        assert!(
            holder
                .get(url)
                .build()?
                .headers()
                .contains_key(AUTHORIZATION)
        );
    }
    Ok(())
}

#[derive(Serialize)]
struct Search<'a> {
    q: &'a str,
    page: Option<u32>,
    exact: bool,
}

#[tokio::test]
async fn a_query_may_come_in_parts_of_any_flat_shape() -> Result<()> {
    let server = Server::echo();
    let session = open(&server).await?;
    let search = |page| Search {
        q: "a b&c=d/ü",
        page,
        exact: true,
    };
    let none: [(&str, &str); 0] = [];
    for (request, arrives) in [
        (
            session.get("/").query(&search(None)),
            "/?q=a+b%26c%3Dd%2F%C3%BC&exact=true",
        ),
        (
            session.get("/").query(&search(Some(2))),
            "/?q=a+b%26c%3Dd%2F%C3%BC&page=2&exact=true",
        ),
        (
            session.get("/").query(&[("k", "1"), ("k", "2")]),
            "/?k=1&k=2",
        ),
        (
            session.get("/").query(&[("k", Some(1)), ("l", None)]),
            "/?k=1",
        ),
        (
            session.get("/").query(&[("a", 1)]).query(&[("b", 2)]),
            "/?a=1&b=2",
        ),
        (session.get("/").query(&none).query(&[("b", 2)]), "/?b=2"),
        (session.get("/").query(&none), "/"),
        (session.get("/").query(&()), "/"),
        (session.get("/?a=1").query(&[("b", 2)]), "/?a=1&b=2"),
        (session.get("/?").query(&[("b", 2)]), "/?b=2"),
        (session.get("/x?a=1#f").query(&[("b", 2)]), "/x?a=1&b=2"),
        (session.get("?a=1").query(&[("b", "'")]), "/?a=1&b=%27"),
    ] {
        assert_eq!(uri(&request.send().await?), arrives);
    }
    assert_closed(session, &server, 1, 11).await;
    Ok(())
}

#[cfg(feature = "json")]
#[tokio::test]
async fn json_arrives_with_its_type_unless_the_request_names_one_before_or_after() -> Result<()> {
    let server = Server::echo();
    let session = open(&server).await?;
    let value = serde_json::json!({"a": [1, null, "ü"]});
    let patch = "application/merge-patch+json";
    for (request, kind) in [
        (session.post("/").json(&value), "application/json"),
        (
            session.post("/").header("content-type", patch).json(&value),
            patch,
        ),
        (
            session.post("/").json(&value).header("content-type", patch),
            patch,
        ),
        (
            session
                .post("/")
                .json(&value)
                .headers(one_header(http::header::CONTENT_TYPE, patch)),
            patch,
        ),
        (
            session.post("/").form(&[("a", 1)]).json(&value),
            "application/json",
        ),
    ] {
        let answer = request.send().await?;
        assert_eq!(seen(&answer, "content-type").as_deref(), Some(kind));
        assert_eq!(seen(&answer, "content-length").as_deref(), Some("19"));
        assert_eq!(answer.json::<serde_json::Value>().await?, value);
    }
    // The body that comes last counts, type and all.
    let answer = session.post("/").json(&value).body("text").send().await?;
    assert_eq!(seen(&answer, "content-type"), None);
    assert_eq!(answer.text().await?, "text");
    assert_closed(session, &server, 1, 5).await;
    Ok(())
}

#[tokio::test]
async fn a_form_arrives_as_a_browser_would_send_it() -> Result<()> {
    let server = Server::echo();
    let session = open(&server).await?;
    let form = Search {
        q: "a b&c=d/ü",
        page: None,
        exact: false,
    };
    let answer = session.post("/?not=touched").form(&form).send().await?;
    let kind = seen(&answer, "content-type");
    assert_eq!(kind.as_deref(), Some("application/x-www-form-urlencoded"));
    assert_eq!(uri(&answer), "/?not=touched");
    assert_eq!(answer.text().await?, "q=a+b%26c%3Dd%2F%C3%BC&exact=false");
    assert_closed(session, &server, 1, 0).await;
    Ok(())
}

fn parts() -> impl futures::Stream<Item = std::io::Result<&'static str>> + Send + 'static {
    stream::iter([Ok("one,"), Ok(""), Ok("two,"), Ok("three")])
}

#[tokio::test]
async fn a_streamed_body_arrives_in_chunks_whatever_the_method() -> Result<()> {
    let server = Server::echo();
    let session = open(&server).await?;
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::GET] {
        let body = Body::wrap_stream(parts());
        let answer = session
            .request(method.clone(), "/")
            .body(body)
            .send()
            .await?;
        assert_eq!(
            seen(&answer, "transfer-encoding").as_deref(),
            Some("chunked"),
            "{method}"
        );
        assert_eq!(seen(&answer, "content-length"), None);
        assert_eq!(answer.text().await?, "one,two,three", "{method}");
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", HeaderValue::from_static("13"));
    let frames = [
        Ok::<_, std::io::Error>(http_body::Frame::data(Bytes::from("one,"))),
        Ok(http_body::Frame::trailers(trailers)),
    ];
    let body = Body::wrap(StreamBody::new(stream::iter(frames)));
    assert_eq!(
        session.post("/").body(body).send().await?.text().await?,
        "one,"
    );
    assert_eq!(server.accepted(), 1);
    assert_closed(session, &server, 1, 4).await;
    Ok(())
}

#[tokio::test]
async fn a_body_that_knows_its_length_or_is_told_arrives_with_it() -> Result<()> {
    let server = Server::echo();
    let session = open(&server).await?;
    let full = Body::wrap(Full::new(Bytes::from("thirteen long")));
    for request in [
        session.post("/").body(full),
        session
            .post("/")
            .body(Body::wrap_stream(parts()))
            .header(CONTENT_LENGTH, 13),
        session
            .post("/")
            .header(CONTENT_LENGTH, 13)
            .body(Body::wrap_stream(parts())),
        session
            .get("/")
            .header(CONTENT_LENGTH, 13)
            .body(Body::wrap_stream(parts())),
        session
            .post("/")
            .header(CONTENT_LENGTH, "13")
            .body("thirteen long"),
    ] {
        let answer = request.send().await?;
        assert_eq!(seen(&answer, "content-length").as_deref(), Some("13"));
        assert_eq!(seen(&answer, "transfer-encoding"), None);
        assert_eq!(answer.bytes().await?.len(), 13);
    }
    // Bytes in chunks, for whoever asks.
    for coding in ["chunked", "Chunked"] {
        let request = session.post("/").header(TRANSFER_ENCODING, coding);
        let chunked = request.body("text").send().await?;
        assert_eq!(seen(&chunked, "transfer-encoding").as_deref(), Some(coding));
        assert_eq!(seen(&chunked, "content-length"), None);
        assert_eq!(chunked.text().await?, "text");
    }
    assert_closed(session, &server, 1, 6).await;
    Ok(())
}

#[tokio::test]
async fn a_stream_that_gives_less_more_or_an_error_ends_the_request_and_the_connection()
-> Result<()> {
    let server = Server::echo();
    let session = open(&server).await?;
    let broken = stream::iter([Ok("one"), Err(std::io::Error::other("the disk is gone"))]);
    for (request, says) in [
        (
            session
                .post("/")
                .header(CONTENT_LENGTH, 14)
                .body(Body::wrap_stream(parts())),
            "ended before its announced 14 bytes",
        ),
        (
            session
                .post("/")
                .header(CONTENT_LENGTH, 12)
                .body(Body::wrap_stream(parts())),
            "gave more than its announced 12 bytes",
        ),
        (
            session.post("/").body(Body::wrap_stream(broken)),
            "the disk is gone",
        ),
    ] {
        let failed = match request.send().await {
            Ok(answer) => answer.bytes().await.map(drop),
            Err(error) => Err(error),
        };
        let error = failed.expect_err(says);
        assert_eq!(error.kind(), ErrorKind::Body, "{error:?}");
        assert!(chain(&error).contains(says), "{}", chain(&error));
        server.wait_live(0).await;
        assert_eq!(session.stats().open, 0);
    }
    assert_eq!(session.get("/").send().await?.status(), StatusCode::OK);
    assert_closed(session, &server, 4, 0).await;
    Ok(())
}

#[tokio::test]
async fn version_1_0_is_spoken_where_it_is_asked_for() -> Result<()> {
    let peer = RawPeer::start(async |conn, _| {
        conn.read_request().await;
        conn.write("HTTP/1.0 200 OK\r\n\r\nup to the end").await;
    });
    let session = Session::builder().open().await?;
    let answer = session
        .post(peer.url("/"))
        .version(Version::HTTP_10)
        .body("four")
        .send()
        .await?;
    assert_eq!(answer.version(), Version::HTTP_10);
    assert_eq!(answer.content_length(), None);
    assert_eq!(answer.text().await?, "up to the end");
    let lines = head_lines(&peer);
    assert_eq!(lines[0], "post / http/1.0");
    assert!(lines.contains(&"content-length: 4".to_owned()), "{lines:?}");
    assert!(peer.received(0).ends_with(b"\r\n\r\nfour"));
    peer.wait_live(0).await;
    assert_eq!(session.close().await.stats.closed, 1);
    Ok(())
}

#[tokio::test]
async fn the_requests_timeout_wins_over_the_sessions_and_covers_head_and_body() -> Result<()> {
    let gate = Gate::new();
    let held = gate.clone();
    let server = Server::start(async move |request| {
        if request.uri() == "/head" {
            held.pass().await;
        }
        let (sender, body) = channel_body();
        sender.send("first").await.expect("the connection takes it");
        // Kept open: the body never ends.
        std::mem::forget(sender);
        respond(StatusCode::OK, body)
    });
    let short = Duration::from_millis(30);
    let session = Session::builder()
        .base_url(server.url("/"))
        .timeout(Duration::from_secs(3600))
        .open()
        .await?;

    let late = session
        .get("/head")
        .timeout(short)
        .send()
        .await
        .expect_err("no head in time");
    assert_eq!(late.kind(), ErrorKind::Timeout(TimeoutPhase::Total));
    assert!(late.is_timeout() && late.was_sent() && !late.is_retryable());
    gate.open_for_good();
    server.wait_live(0).await;

    let mut answer = session
        .get("/body")
        .timeout(Duration::from_millis(300))
        .send()
        .await?;
    assert_eq!(answer.chunk().await?.as_deref(), Some(&b"first"[..]));
    let late = answer.chunk().await.expect_err("no more in time");
    assert_eq!(late.kind(), ErrorKind::Timeout(TimeoutPhase::Total));
    assert_eq!(late.url(), Some(&*server.url("/body")));
    server.wait_live(0).await;
    assert_closed(session, &server, 2, 0).await;
    Ok(())
}

#[tokio::test]
async fn a_clone_is_the_same_request_and_a_stream_or_an_error_cannot_be_cloned() -> Result<()> {
    let server = Server::echo();
    let holder = SessionHolder::builder()
        .base_url(server.url("/v1"))
        .build()?;
    holder.start_session().await?;
    let first = holder
        .post("/x?a=1")
        .query(&[("b", 2)])
        .header("x-a", "1")
        .bearer_auth("t");
    let first = first
        .body("content")
        .version(Version::HTTP_11)
        .raise_for_status(true);
    let second = first.try_clone().expect("bytes");
    for request in [first.header("x-only", "first"), second] {
        let answer = request.send().await?;
        assert_eq!(uri(&answer), "/v1/x?a=1&b=2");
        assert_eq!(seen(&answer, "x-a").as_deref(), Some("1"));
        assert_eq!(seen(&answer, "authorization").as_deref(), Some("Bearer t"));
        let is_first = seen(&answer, "x-only").is_some();
        assert_eq!(is_first, server.requests() == 1);
        assert_eq!(answer.text().await?, "content");
    }
    assert!(
        holder
            .post("/")
            .body(Body::wrap_stream(parts()))
            .try_clone()
            .is_none()
    );
    assert!(holder.get("ftp://x").try_clone().is_none());
    let report = holder.close_session().await;
    assert_eq!((report.stats.opened, report.stats.reused), (1, 1));
    Ok(())
}

#[tokio::test]
async fn a_built_request_is_sent_later_with_its_options_by_execute_and_as_a_service() -> Result<()>
{
    let server = Server::start(async |request| match request.uri().path() {
        "/v1/no" => support::server::status(404),
        "/v1/never" => std::future::pending().await,
        _ => support::server::echo(request),
    });
    let defaults = one_header(ACCEPT, "text/plain");
    let base = server.url("/v1");
    let builder = || Session::builder().base_url(base.clone());
    let mut session = builder().default_headers(defaults).open().await?;

    let build = || {
        session
            .post("/x")
            .query(&[("a", 1)])
            .bearer_auth("t")
            .body("content")
            .build()
    };
    let request = build()?;
    assert_eq!(request.uri(), &*server.url("/v1/x?a=1"));
    assert_eq!(request.headers()[AUTHORIZATION], "Bearer t");
    assert!(!format!("{:?}", request.headers()).contains("Bearer"));
    let executed = session.execute(request).await?;
    assert_eq!(seen(&executed, "accept").as_deref(), Some("text/plain"));
    assert_eq!(uri(&executed), "/v1/x?a=1");
    assert_eq!(executed.text().await?, "content");
    let answer = session.clone().oneshot(build()?).await?;
    assert_eq!(answer.headers()["x-request-accept"], "text/plain");
    assert_eq!(answer.into_body().collect().await?.to_bytes(), "content");

    let raising = session.get("/no").raise_for_status(true).build()?;
    let raised = session.execute(raising).await.expect_err("404");
    assert_eq!(
        (raised.kind(), raised.status()),
        (ErrorKind::Status, Some(StatusCode::NOT_FOUND))
    );
    let short = session
        .get("/never")
        .timeout(Duration::from_millis(30))
        .build()?;
    let late = session
        .ready()
        .await?
        .call(short)
        .await
        .expect_err("no answer in time");
    assert_eq!(late.kind(), ErrorKind::Timeout(TimeoutPhase::Total));

    // A holder builds as well, open or not; what it built is any session's to send.
    let holder = SessionHolder::builder().base_url(base.clone()).build()?;
    let before = holder.get("/x").build()?;
    holder.start_session().await?;
    let after = holder.get("/x").build()?;
    assert_eq!(before.uri(), after.uri());
    assert_eq!(uri(&session.execute(before).await?), "/v1/x");
    assert_eq!(uri(&holder.session()?.execute(after).await?), "/v1/x");
    holder.close_session().await;
    assert_closed(session, &server, 2, 2).await;
    Ok(())
}

#[tokio::test]
async fn a_ready_made_request_with_a_relative_uri_is_resolved_against_the_base() -> Result<()> {
    let server = Server::echo();
    let session = Session::builder()
        .base_url(server.url("/v1"))
        .open()
        .await?;
    for (given, arrives) in [
        ("/users?x=1", "/v1/users?x=1"),
        ("users", "/v1/users"),
        ("/", "/v1/"),
        (&server.url("/other"), "/other"),
    ] {
        let request = Request::get(given)
            .body(Body::empty())
            .expect("a valid URI");
        assert_eq!(uri(&session.execute(request).await?), arrives);
    }
    let escaping = Request::get("/../x")
        .body(Body::empty())
        .expect("a valid URI");
    let refused = session
        .execute(escaping)
        .await
        .expect_err("it leaves the base");
    assert_eq!(refused.kind(), ErrorKind::Url);
    let bare = Session::builder().open().await?;
    let relative = Request::get("/users?token=s3cret")
        .body(Body::empty())
        .expect("a valid URI");
    let refused = bare.execute(relative).await.expect_err("no base");
    assert_eq!(refused.kind(), ErrorKind::Url);
    assert!(!format!("{refused} {refused:?}").contains("s3cret"));
    assert_closed(session, &server, 1, 3).await;
    Ok(())
}

#[tokio::test]
async fn large_bodies_arrive_whole_in_both_directions() -> Result<()> {
    let server = Server::echo();
    let session = open(&server).await?;
    let large = (0..3_000_000_u32)
        .map(|n| n.to_le_bytes()[usize::from(n % 2 == 0)])
        .collect::<Bytes>();
    let back = session
        .post("/")
        .body(large.clone())
        .send()
        .await?
        .bytes()
        .await?;
    assert!(back == large);
    let parts: Vec<_> = large.chunks(10_000).map(Bytes::copy_from_slice).collect();
    let parts = stream::iter(parts).map(Ok::<_, std::io::Error>);
    let back = session
        .put("/")
        .body(Body::wrap_stream(parts))
        .send()
        .await?
        .bytes()
        .await?;
    assert!(back == large);
    assert_closed(session, &server, 1, 1).await;
    Ok(())
}

#[tokio::test]
async fn a_servers_text_is_all_that_a_request_without_options_needs() -> Result<()> {
    let server = Server::start(async |_| text("hello"));
    let hello = SessionHolder::builder()
        .build()?
        .get(server.url("/"))
        .send()
        .await?;
    assert_eq!(hello.text().await?, "hello");
    server.wait_live(0).await;
    Ok(())
}

#[tokio::test]
async fn a_time_limit_beyond_all_time_is_none() -> Result<()> {
    let server = Server::text("hello");
    let session = Session::builder()
        .base_url(server.url("/"))
        .timeout(Duration::MAX)
        .connect_timeout(Duration::MAX)
        .head_timeout(Duration::MAX)
        .read_timeout(Duration::MAX)
        .pool_timeout(Duration::MAX)
        .pool_idle_timeout(Duration::MAX)
        .open()
        .await?;
    for _ in 0..2 {
        let answer = session.get("/").timeout(Duration::MAX).send().await?;
        assert_eq!(answer.text().await?, "hello");
    }
    let stats = session.close_within(Duration::MAX).await.stats;
    assert_eq!((stats.opened, stats.reused), (1, 1));
    server.wait_live(0).await;
    Ok(())
}

#[tokio::test]
async fn a_built_request_may_be_given_another_body() -> Result<()> {
    let server = Server::echo();
    let session = Session::builder().open().await?;
    let mut request = session.post(server.url("/")).build()?;
    assert_eq!(request.headers().get("content-length"), None);
    *request.body_mut() = Body::from("late");
    let answer = session.execute(request).await?;
    assert_eq!(answer.text().await?, "late");
    Ok(())
}

#[tokio::test]
async fn headers_keep_their_order_when_others_are_replaced_or_left_out() -> Result<()> {
    let peer = RawPeer::answering(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    let map_of = |names: &[&'static str]| -> HeaderMap {
        let pairs = names.iter().map(|name| {
            let value = HeaderValue::from_static("1");
            (http::HeaderName::from_static(name), value)
        });
        pairs.collect()
    };
    let defaults = map_of(&["x-a", "x-b", "x-c", "x-d"]);
    let session = Session::builder().default_headers(defaults).open().await?;
    let session = session.with_default_headers(map_of(&["x-b"]));
    let request = session.get(peer.url("/")).skip_auto_headers(["x-a"]);
    let request = request.headers(map_of(&["x-k", "x-l", "x-m"]));
    request.headers(map_of(&["x-k"])).send().await?;
    let sent = String::from_utf8(peer.received(0)).unwrap();
    let names = sent.lines().filter_map(|line| line.split_once(": 1"));
    let names = names.map(|(name, _)| name);
    let names: Vec<_> = names.filter(|name| name.starts_with("x-")).collect();
    assert_eq!(names, ["x-c", "x-d", "x-b", "x-l", "x-m", "x-k"]);
    Ok(())
}

#[tokio::test]
async fn cookies_go_in_one_header() -> Result<()> {
    let server = Server::echo();
    let session = open(&server).await?;
    let request = session.get("").header("cookie", "a=1");
    let response = request.header("cookie", "b=2; c=3").send().await?;
    assert_eq!(seen(&response, "cookie").as_deref(), Some("a=1; b=2; c=3"));
    let mut headers = HeaderMap::new();
    headers.append("cookie", HeaderValue::from_static("d=4"));
    headers.append("cookie", HeaderValue::from_static("e=5"));
    let response = session.get("").headers(headers).send().await?;
    assert_eq!(seen(&response, "cookie").as_deref(), Some("d=4; e=5"));
    Ok(())
}
