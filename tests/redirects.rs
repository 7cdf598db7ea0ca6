//! Which redirects are followed, with which method, body and headers (RFC 9110 §15.4), and what never
//! goes to another origin.
#![cfg(feature = "native-tls")]

mod support;

use std::fmt::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::stream;
use http::header::{
    AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION, REFERER,
};
use http::{Method, Request, StatusCode};
use hyper::body::Incoming;
use hyper::ext::on_informational;
use hyper_session::{
    Body, Error, ErrorKind, RedirectAction, RedirectPolicy, RequestBuilder, Response, ResponseInfo,
    Result, Session, SessionBuilder, TimeoutPhase,
};
use support::dice::Dice;
use support::gate::Gate;
#[cfg(feature = "http2")]
use support::http2::{Call, Http2Server, Manner, Then};
use support::raw::RawPeer;
use support::server::{self, Server, echo, full, respond, text};
use tower::ServiceExt;
use url::{Url, form_urlencoded};

/// `/to?status=…&location=…` redirects there, with a small body; everything else answers as [`echo`].
async fn answer(request: Request<Incoming>) -> http::Response<server::Body> {
    if request.uri().path() != "/to" {
        return echo(request);
    }
    let query = request.uri().query().expect("/to has a query");
    let mut response = respond(StatusCode::OK, full("it is not here"));
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*name {
            "status" => *response.status_mut() = value.parse().expect("a status"),
            "location" => {
                let value = HeaderValue::from_bytes(value.as_bytes());
                let headers = response.headers_mut();
                headers.append(LOCATION, value.expect("a header value"));
            }
            other => panic!("what is {other}?"),
        }
    }
    response
}

/// The URL that redirects to `location`.
fn to(server: &Server, status: u16, location: &str) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("status", &status.to_string());
    query.append_pair("location", location);
    server.url(&format!("/to?{}", query.finish()))
}

fn seen<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
    let value = response.headers().get(format!("x-request-{name}"));
    value.map(|value| value.to_str().expect("ASCII"))
}

/// Where a hop leads.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Place {
    /// The origin of the first URL.
    Here,
    /// The same server by another name.
    Name,
    /// The same host, at another port.
    Port,
    /// The same host, by TLS, at another port.
    Secure,
}
use Place::{Here, Name, Port, Secure};

impl Place {
    fn called(name: &str) -> Self {
        match name {
            "here" => Here,
            "name" => Name,
            "port" => Port,
            "secure" => Secure,
            other => panic!("where is {other}?"),
        }
    }
}

struct World {
    here: Server,
    port: Server,
    secure: Server,
}

impl World {
    fn start() -> Self {
        Self {
            here: Server::start(answer),
            port: Server::start(answer),
            secure: Server::start_tls(answer),
        }
    }

    fn builder(&self) -> SessionBuilder {
        Session::builder().tls_root_pem(self.secure.ca_pem())
    }

    fn server(&self, place: Place) -> &Server {
        match place {
            Here | Name => &self.here,
            Port => &self.port,
            Secure => &self.secure,
        }
    }

    fn origin(&self, place: Place) -> String {
        let host = if place == Name {
            "localhost"
        } else {
            "127.0.0.1"
        };
        let url = self.server(place).url_by(host, "/");
        url.trim_end_matches('/').to_owned()
    }

    /// The URL at `from` that goes by these hops to `/end`.
    fn way(&self, from: Place, hops: &[(u16, Place)]) -> String {
        let mut places = vec![from];
        places.extend(hops.iter().map(|(_, place)| *place));
        let mut url = format!("{}/end", self.origin(*places.last().expect("at least one")));
        for (at, (status, _)) in hops.iter().enumerate().rev() {
            let path = to(&self.here, *status, &url);
            let (_, path) = path.split_once("/to?").expect("it has that path");
            url = format!("{}/to?{path}", self.origin(places[at]));
        }
        url
    }
}

/// What goes on everywhere.
const SHORT: [(&str, &str); 13] = [
    ("accept", "text/plain"),
    ("accept-encoding", "identity"),
    ("accept-language", "en"),
    ("user-agent", "tests"),
    ("range", "bytes=0-"),
    ("if-match", "\"m\""),
    ("if-none-match", "\"n\""),
    ("if-range", "\"r\""),
    ("if-modified-since", "Sat, 29 Oct 1994 19:43:31 GMT"),
    ("if-unmodified-since", "Sat, 29 Oct 1994 19:43:31 GMT"),
    ("cache-control", "no-cache"),
    ("traceparent", "00-a-b-01"),
    ("tracestate", "a=b"),
];

/// What policy within its origin, unless another is trusted.
const PRIVATE: [(&str, &str); 8] = [
    ("authorization", "Bearer secret"),
    ("proxy-authorization", "Basic secret"),
    ("www-authenticate", "Basic"),
    ("x-api-key", "secret"),
    ("api-key", "secret"),
    ("x-csrf-token", "secret"),
    ("origin", "http://a"),
    ("idempotency-key", "1"),
];

/// The same, of the session's defaults.
const DEFAULTS: [(&str, &str); 2] = [("x-session-key", "secret"), ("private-token", "secret")];

/// What goes with the body alone.
const PAYLOAD: [(&str, &str); 5] = [
    ("content-type", "text/x"),
    ("content-language", "nl"),
    ("content-encoding", "identity"),
    ("content-location", "/x"),
    ("digest", "d"),
];

#[derive(Debug, Clone, Copy, PartialEq)]
enum Carries {
    All,
    /// Of the private ones, all but cookies.
    Trusted,
    Short,
}
use Carries::{All, Short, Trusted};

/// A method and its way, hop by hop; then what arrives: the method, whether with the body, which
/// headers, and what the last `Referer` is made of.
const CASES: &str = "
    # Within an origin: POST becomes GET by 301 and 302, everything but HEAD by 303.
    GET      here 301 here                       -> GET      body all     url
    GET      here 302 here                       -> GET      body all     url
    GET      here 303 here                       -> GET      -    all     url
    GET      here 307 here                       -> GET      body all     url
    GET      here 308 here                       -> GET      body all     url
    HEAD     here 301 here                       -> HEAD     body all     url
    HEAD     here 302 here                       -> HEAD     body all     url
    HEAD     here 303 here                       -> HEAD     -    all     url
    HEAD     here 307 here                       -> HEAD     body all     url
    HEAD     here 308 here                       -> HEAD     body all     url
    POST     here 301 here                       -> GET      -    all     url
    POST     here 302 here                       -> GET      -    all     url
    POST     here 303 here                       -> GET      -    all     url
    POST     here 307 here                       -> POST     body all     url
    POST     here 308 here                       -> POST     body all     url
    PUT      here 301 here                       -> PUT      body all     url
    PUT      here 302 here                       -> PUT      body all     url
    PUT      here 303 here                       -> GET      -    all     url
    PUT      here 307 here                       -> PUT      body all     url
    PUT      here 308 here                       -> PUT      body all     url
    PATCH    here 301 here                       -> PATCH    body all     url
    PATCH    here 302 here                       -> PATCH    body all     url
    PATCH    here 303 here                       -> GET      -    all     url
    PATCH    here 307 here                       -> PATCH    body all     url
    PATCH    here 308 here                       -> PATCH    body all     url
    DELETE   here 301 here                       -> DELETE   body all     url
    DELETE   here 302 here                       -> DELETE   body all     url
    DELETE   here 303 here                       -> GET      -    all     url
    DELETE   here 307 here                       -> DELETE   body all     url
    DELETE   here 308 here                       -> DELETE   body all     url
    OPTIONS  here 301 here                       -> OPTIONS  body all     url
    OPTIONS  here 303 here                       -> GET      -    all     url
    PROPFIND here 302 here                       -> PROPFIND body all     url
    PROPFIND here 303 here                       -> GET      -    all     url
    PROPFIND here 308 here                       -> PROPFIND body all     url
    # To another origin: by host, by port, by scheme.
    GET      here 302 name                       -> GET      body short   origin
    GET      here 302 port                       -> GET      body short   origin
    GET      here 302 secure                     -> GET      body short   origin
    GET      secure 302 here                     -> GET      body short   -
    POST     secure 301 here                     -> GET      -    short   -
    POST     secure 307 here                     -> POST     body short   -
    HEAD     here 301 port                       -> HEAD     body short   origin
    POST     here 301 port                       -> GET      -    short   origin
    POST     here 302 name                       -> GET      -    short   origin
    POST     here 303 port                       -> GET      -    short   origin
    POST     here 307 port                       -> POST     body short   origin
    POST     here 307 name                       -> POST     body short   origin
    POST     here 308 secure                     -> POST     body short   origin
    PUT      here 303 name                       -> GET      -    short   origin
    PUT      here 308 port                       -> PUT      body short   origin
    DELETE   here 301 port                       -> DELETE   body short   origin
    # And back: what was left behind does not come back.
    GET      here 302 port 302 here              -> GET      body short   origin
    GET      here 302 name 302 here              -> GET      body short   origin
    GET      here 302 secure 302 here            -> GET      body short   -
    GET      secure 302 here 302 secure          -> GET      body short   origin
    POST     here 307 port 307 here              -> POST     body short   origin
    POST     here 307 port 303 here              -> GET      -    short   origin
    # Several hops.
    GET      here 301 here 307 here              -> GET      body all     url
    POST     here 307 here 308 here              -> POST     body all     url
    POST     here 307 here 302 here              -> GET      -    all     url
    POST     here 303 here 307 here              -> GET      -    all     url
    POST     here 302 here 308 port              -> GET      -    short   origin
    GET      here 302 here 302 port              -> GET      body short   origin
    GET      here 302 port 302 port              -> GET      body short   url
    GET      here 302 name 302 name 302 name     -> GET      body short   url
    HEAD     here 303 here 303 port              -> HEAD     -    short   origin
    PUT      secure 308 secure 308 secure        -> PUT      body all     url
    GET      secure 302 secure 302 here 302 here -> GET      body short   url
";

/// The same, where `port` and `secure` are trusted.
const TRUSTING: &str = "
    GET      here 302 port            -> GET      body trusted origin
    POST     here 307 secure          -> POST     body trusted origin
    POST     here 303 port            -> GET      -    trusted origin
    GET      here 302 port 302 secure -> GET      body trusted origin
    # The first one is trusted to begin with only if it is named.
    GET      here 302 port 302 here   -> GET      body short   origin
    # Left behind once is left behind for good.
    GET      here 302 name 302 port   -> GET      body short   origin
    GET      here 302 name            -> GET      body short   origin
";

struct Case<'a> {
    row: &'a str,
    method: &'a str,
    from: Place,
    hops: Vec<(u16, Place)>,
    arrives: &'a str,
    has_body: bool,
    carries: Carries,
    referer: &'a str,
}

fn cases(table: &str) -> impl Iterator<Item = Case<'_>> {
    let rows = table.lines().map(str::trim);
    let rows = rows.filter(|row| !row.is_empty() && !row.starts_with('#'));
    rows.map(|row| {
        let (sent, outcome) = row.split_once("->").expect("an arrow");
        let sent = sent.split_whitespace().collect::<Vec<_>>();
        let outcome = outcome.split_whitespace().collect::<Vec<_>>();
        let ([method, from, hops @ ..], [arrives, body, carries, referer]) = (&*sent, &*outcome)
        else {
            panic!("{row}");
        };
        let hops = hops.chunks(2).map(|hop| {
            let status = hop[0].parse().expect("a status");
            (status, Place::called(hop[1]))
        });
        Case {
            row,
            method,
            from: Place::called(from),
            hops: hops.collect(),
            arrives,
            has_body: *body == "body",
            carries: match *carries {
                "all" => All,
                "trusted" => Trusted,
                "short" => Short,
                other => panic!("what is {other}?"),
            },
            referer,
        }
    })
}

fn full_request(session: &Session, method: &str, url: &str) -> RequestBuilder {
    let method = Method::from_bytes(method.as_bytes()).expect("a method");
    let mut request = session.request(method, url).header("cookie", "own=1");
    for (name, value) in SHORT.iter().chain(&PRIVATE).chain(&PAYLOAD) {
        request = request.header(*name, *value);
    }
    request.body("content")
}

async fn check(world: &World, session: &Session, case: Case<'_>) -> Result<()> {
    let Case {
        row: shown,
        method,
        from,
        ref hops,
        arrives,
        has_body,
        carries,
        referer,
    } = case;
    let url = world.way(from, hops);
    let response = full_request(session, method, &url).send().await?;
    assert_eq!(response.status(), StatusCode::OK, "{shown}");
    assert_eq!(response.headers()["x-method"], arrives, "{shown}");

    let history = response.history();
    let statuses = history.iter().map(|hop| hop.status().as_u16());
    let expected = hops.iter().map(|(status, _)| *status);
    assert!(statuses.eq(expected), "{shown}: {history:?}");
    assert_eq!(history[0].url().as_str(), url, "{shown}");
    assert!(
        history
            .iter()
            .all(|hop| hop.headers().contains_key(LOCATION)),
        "{shown}"
    );
    let (_, place) = hops.last().expect("at least one hop");
    let end = format!("{}/end", world.origin(*place));
    assert_eq!(response.url().as_str(), end, "{shown}");

    for (name, value) in SHORT {
        assert_eq!(seen(&response, name), Some(value), "{shown}: {name}");
    }
    for (name, value) in PRIVATE.iter().chain(&DEFAULTS) {
        let expected = (carries != Short).then_some(*value);
        assert_eq!(seen(&response, name), expected, "{shown}: {name}");
    }
    let expected = (carries == All).then_some("own=1");
    assert_eq!(seen(&response, "cookie"), expected, "{shown}");
    for (name, value) in PAYLOAD {
        let goes_on = has_body && (carries != Short || name.starts_with("content-"));
        let expected = goes_on.then_some(value);
        assert_eq!(seen(&response, name), expected, "{shown}: {name}");
    }
    let length = if has_body { Some("7") } else { None };
    assert_eq!(seen(&response, "content-length"), length, "{shown}");
    assert_eq!(seen(&response, "transfer-encoding"), None, "{shown}");
    let host = world.origin(*place);
    let host = host.split_once("://").map(|(_, host)| host);
    assert_eq!(seen(&response, "host"), host, "{shown}");

    let last = response.history().last().expect("at least one hop").url();
    let referer = match referer {
        "url" => Some(last.to_string()),
        "origin" => Some(format!("{}/", last.origin().ascii_serialization())),
        _ => None,
    };
    assert_eq!(seen(&response, "referer"), referer.as_deref(), "{shown}");

    let body = if has_body && arrives != "HEAD" {
        "content"
    } else {
        ""
    };
    assert_eq!(response.text().await?, body, "{shown}");
    let stats = session.stats();
    assert_eq!((stats.in_use, stats.exchanges), (0, 0), "{shown}");
    Ok(())
}

fn defaults() -> HeaderMap {
    DEFAULTS
        .iter()
        .map(|(name, value)| {
            (
                name.parse().expect("a name"),
                HeaderValue::from_static(value),
            )
        })
        .collect()
}

#[tokio::test]
async fn methods_bodies_and_headers_go_on_as_they_should() -> Result<()> {
    let world = World::start();
    let session = world.builder().default_headers(defaults()).open().await?;
    for case in cases(CASES) {
        check(&world, &session, case).await?;
    }
    // Four origins, and no connection more: what redirects say is read off.
    assert_eq!(session.stats().opened, 4);
    let stats = session.close().await.stats;
    assert_eq!((stats.open, stats.closed), (0, 4));
    Ok(())
}

#[tokio::test]
async fn a_trusted_origin_gets_all_but_cookies_and_the_host() -> Result<()> {
    let world = World::start();
    let trusted = [world.origin(Port), format!("{}/", world.origin(Secure))];
    let builder = world.builder().default_headers(defaults());
    let session = builder.trusted_origins(trusted).open().await?;
    for case in cases(TRUSTING) {
        check(&world, &session, case).await?;
    }
    let request = session.get(world.way(Here, &[(302, Port)]));
    let response = request.header("host", "elsewhere.test").send().await?;
    let port = world.origin(Port);
    assert_eq!(seen(&response, "host"), port.strip_prefix("http://"));
    Ok(())
}

#[tokio::test]
async fn what_is_no_origin_is_refused_before_anything_opens() {
    for wrong in [
        "example.com",
        "ftp://example.com",
        "https://example.com/path",
        "https://example.com/?a=b",
        "https://example.com/#a",
        "https://user@example.com",
        "https://:secret@example.com",
        "",
    ] {
        let builder = Session::builder().trusted_origins(["https://fine.test", wrong]);
        let error = builder.open().await.expect_err(wrong);
        assert_eq!(error.kind(), ErrorKind::Builder, "{wrong}");
        let shown = error.to_string();
        assert!(
            shown.contains("trusted_origins") && !shown.contains("secret"),
            "{shown}"
        );
    }
}

#[tokio::test]
async fn a_location_is_read_as_a_browser_would_read_it() -> Result<()> {
    let world = World::start();
    let session = world.builder().open().await?;
    let here = world.origin(Here);
    let here = here.as_str();
    let port = world.origin(Port);
    let port_only = port.strip_prefix("http:").expect("it is http");
    let cases: &[(&str, String)] = &[
        ("/absolute", format!("{here}/absolute#first")),
        ("relative", format!("{here}/relative#first")),
        ("./a/../b", format!("{here}/b#first")),
        ("?only=query", format!("{here}/to?only=query#first")),
        ("/a?b=c", format!("{here}/a?b=c#first")),
        ("/a#second", format!("{here}/a#second")),
        ("/a#", format!("{here}/a#")),
        ("/with space", format!("{here}/with%20space#first")),
        (
            "/caf\u{e9}?\u{e9}",
            format!("{here}/caf%C3%A9?%C3%A9#first"),
        ),
        ("/a%20b%2f", format!("{here}/a%20b%2f#first")),
        ("/'\"<>", format!("{here}/'%22%3C%3E#first")),
        (&format!("{port}/x"), format!("{port}/x#first")),
        (&format!("{port_only}/x"), format!("{port}/x#first")),
        (&format!("HTTP{}", &port[4..]), format!("{port}/#first")),
        (" /padded ", format!("{here}/padded#first")),
        ("\\windows", format!("{here}/windows#first")),
        // No server chooses the credentials of a request.
        (
            &port.replace("//", "//user:password@"),
            format!("{port}/#first"),
        ),
        (
            &here.replace("//", "//user:password@"),
            format!("{here}/#first"),
        ),
    ];
    for (location, end) in cases {
        let url = format!("{}#first", to(&world.here, 302, location));
        let request = if *location == "?only=query" {
            // Answered by what redirects, if it were followed.
            let policy = RedirectPolicy::custom(|attempt| {
                RedirectAction::Error(attempt.url().as_str().into())
            });
            let error = session.get(&url).redirect(policy).send().await;
            let error = error.expect_err("it is refused");
            let said = std::error::Error::source(&error).expect("the policy's error");
            assert_eq!(said.to_string(), *end);
            continue;
        } else {
            session.get(&url).header("x-api-key", "1")
        };
        let response = request.send().await?;
        assert_eq!(response.url().as_str(), end, "{location}");
        assert_eq!(seen(&response, "authorization"), None, "{location}");
        let is_here = end.starts_with(here);
        assert_eq!(seen(&response, "x-api-key").is_some(), is_here);
        let referer = seen(&response, "referer").expect("it says where it is from");
        assert!(
            !referer.contains('#') && !referer.contains('@'),
            "{referer}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn what_is_no_http_url_is_refused_by_name_and_without_its_secrets() -> Result<()> {
    let world = World::start();
    let session = world.builder().open().await?;
    let cases = [
        ("ftp://example.com/x", "ftp://example.com/x"),
        ("file:///etc/passwd", "file:///etc/passwd"),
        ("javascript:alert(1)", "javascript:alert(1)"),
        ("data:text/plain,x", "data:text/plain,x"),
        (
            "ftp://u:secret@example.com/x?token=secret",
            "ftp://example.com/x",
        ),
        ("http://", "http://"),
        ("http://[::1/?token=secret", "http://[::1/"),
        ("http://u:secret@[::1/", "…"),
        ("http://host:99999/?token=secret", "http://host:99999/"),
        ("https://a b/", "https://a b/"),
    ];
    for (location, named) in cases {
        let url = to(&world.here, 302, location);
        let error = session.get(&url).send().await.expect_err(location);
        assert_eq!(error.kind(), ErrorKind::Redirect, "{location}");
        assert!(error.is_redirect() && error.was_sent() && !error.is_retryable());
        let shown = error.to_string();
        assert!(shown.contains(named), "{location}: {shown}");
        let origin = world.origin(Here);
        assert_eq!(error.url(), Some(&*format!("{origin}/to")));
        let mut all = format!("{error:?}{error}");
        let mut source = std::error::Error::source(&error);
        while let Some(error) = source {
            write!(all, "{error:?}{error}").expect("a string takes all");
            source = error.source();
        }
        assert!(!all.contains("secret"), "{all}");
    }
    let stats = session.stats();
    assert_eq!((stats.opened, stats.in_use, stats.idle), (1, 0, 1));

    let several = format!("{}&location=/b", to(&world.here, 302, "/a"));
    let error = session.get(&several).send().await.expect_err("two");
    assert_eq!(error.kind(), ErrorKind::Redirect);
    assert!(error.to_string().contains("several Locations"), "{error}");
    let twice = format!("{}&location=/a", to(&world.here, 302, "/a"));
    let response = session.get(&twice).send().await?;
    assert_eq!(response.url().path(), "/a", "the same, twice");
    Ok(())
}

#[tokio::test]
async fn bytes_that_are_not_utf_8_stay_what_they_are() -> Result<()> {
    let peer = RawPeer::start(async |conn, _| {
        conn.read_request().await;
        conn.write(
            b"HTTP/1.1 302 Found\r\nlocation: /caf\xe9?\xff%20\r\ncontent-length: 0\r\n\r\n",
        )
        .await;
        conn.read_request().await;
        conn.write("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            .await;
    });
    let session = Session::builder().open().await?;
    let response = session.get(peer.url("/")).send().await?;
    assert_eq!(response.url().as_str(), peer.url("/caf%E9?%FF%20"));
    Ok(())
}

#[tokio::test]
async fn what_is_no_redirect_is_an_answer() -> Result<()> {
    let world = World::start();
    let session = world.builder().open().await?;
    for status in [200, 201, 300, 304, 305, 306, 399] {
        let url = to(&world.here, status, "/elsewhere");
        let response = session.get(&url).send().await?;
        assert_eq!(response.status(), status);
        assert!(response.history().is_empty());
        assert_eq!(response.url().as_str(), url);
    }
    for status in [301, 302, 303, 307, 308] {
        let url = world.here.url(&format!("/to?status={status}"));
        let response = session.post(&url).body("x").send().await?;
        assert_eq!(response.status(), status, "without a Location");
        assert!(response.history().is_empty());
        assert_eq!(response.text().await?, "it is not here");
    }
    Ok(())
}

#[tokio::test]
async fn as_many_are_followed_as_the_policy_says() -> Result<()> {
    let world = World::start();
    let limited = |limit| world.builder().redirect(RedirectPolicy::limited(limit));
    let hops = |count| world.way(Here, &vec![(302, Here); count]);

    let session = world.builder().open().await?;
    let response = session.get(hops(10)).send().await?;
    assert_eq!(response.history().len(), 10, "the default");
    let error = session.get(hops(11)).send().await.expect_err("11");
    assert_eq!(error.kind(), ErrorKind::Redirect);
    let url = format!("{}/to", world.origin(Here));
    assert_eq!(
        error.to_string(),
        format!("more than 10 redirects: 302 Found ({url})")
    );
    assert_eq!(error.status(), Some(StatusCode::FOUND));
    assert_eq!(error.headers().unwrap()[LOCATION], hops(0).as_str());

    let session = limited(2).open().await?;
    session.get(hops(2)).send().await?;
    session.get(hops(3)).send().await.expect_err("3");
    let request = session.get(hops(3)).redirect(RedirectPolicy::limited(3));
    request.send().await?;
    let request = session.get(hops(1)).redirect(RedirectPolicy::none());
    let response = request.send().await?;
    assert_eq!(
        (response.status(), response.history().len()),
        (StatusCode::FOUND, 0)
    );
    assert!(response.headers().contains_key(LOCATION));

    let session = limited(0).open().await?;
    session.get(hops(0)).send().await?;
    let error = session.get(hops(1)).send().await.expect_err("1");
    assert!(error.to_string().contains("more than 0"), "{error}");

    // A request that was built keeps its policy.
    let request = session.get(hops(1)).redirect(RedirectPolicy::default());
    let response = session.execute(request.build()?).await?;
    assert_eq!(response.history().len(), 1);

    // An endless loop, and an empty Location, which is the same URL once more (RFC 9110 §10.2.2).
    let session = world.builder().open().await?;
    let around = Server::in_turn((0..11).map(|_| {
        let mut response = server::status(302);
        let headers = response.headers_mut();
        headers.insert(LOCATION, HeaderValue::from_static(""));
        response
    }));
    let error = session.get(around.url("/?secret")).send().await;
    let error = error.expect_err("there is no end").to_string();
    assert!(
        error.contains("10 redirects") && !error.contains("secret"),
        "{error}"
    );
    assert_eq!(around.requests(), 11);
    Ok(())
}

#[tokio::test]
async fn a_policy_of_ones_own_sees_the_way_and_decides() -> Result<()> {
    let world = World::start();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let policy = RedirectPolicy::custom(move |attempt| {
        let history = attempt.history().iter();
        let urls = history
            .map(|hop| hop.url().as_str().len())
            .collect::<Vec<_>>();
        assert_eq!(
            attempt.history().last().expect("itself").status(),
            attempt.status()
        );
        log.lock().unwrap().push((
            attempt.status().as_u16(),
            urls.len(),
            attempt.url().path().to_owned(),
        ));
        match attempt.url().scheme() {
            "myapp" => RedirectAction::Stop,
            "ftp" => RedirectAction::Error("no files".into()),
            _ => RedirectAction::Follow,
        }
    });
    let session = world.builder().redirect(policy.clone()).open().await?;
    let response = session
        .get(world.way(Here, &[(307, Here), (302, Here)]))
        .send()
        .await?;
    assert_eq!(response.history().len(), 2);
    let expected = [(307, 1, "/to".to_owned()), (302, 2, "/end".to_owned())];
    assert_eq!(*seen.lock().unwrap(), expected);

    let url = to(
        &world.here,
        303,
        &to(&world.here, 302, "myapp://callback?code=1"),
    );
    let response = session.post(&url).body("x").send().await?;
    assert_eq!(response.status(), StatusCode::FOUND);
    assert_eq!(response.headers()[LOCATION], "myapp://callback?code=1");
    assert_eq!(response.history().len(), 1);
    assert_eq!(response.text().await?, "it is not here");

    let error = session
        .get(to(&world.here, 302, "ftp://a/?secret"))
        .send()
        .await;
    let error = error.expect_err("the policy says so");
    assert_eq!(error.kind(), ErrorKind::Redirect);
    let source = std::error::Error::source(&error).expect("the policy's error");
    assert_eq!(source.to_string(), "no files");

    let endless = world.way(Here, &[(302, Here); 11]);
    session
        .get(&endless)
        .send()
        .await
        .expect_err("10, all the same");
    session
        .get(&endless)
        .redirect(policy.limit(11))
        .send()
        .await?;
    assert_eq!(session.stats().in_use, 0);
    Ok(())
}

#[tokio::test]
async fn a_stream_is_not_sent_twice_and_need_not_be_where_the_body_is_dropped() -> Result<()> {
    let world = World::start();
    let session = world.builder().open().await?;
    let streamed = || Body::wrap_stream(stream::iter([Ok::<_, Error>(Bytes::from("content"))]));
    for (method, status) in [("POST", 307), ("POST", 308), ("PUT", 301), ("PUT", 302)] {
        let before = world.here.requests();
        let method = method.parse::<Method>().expect("a method");
        let url = to(&world.here, status, "/end");
        let request = session.request(method, &url).body(streamed());
        let error = request.send().await.expect_err("the stream is used up");
        assert_eq!(error.kind(), ErrorKind::Redirect);
        assert!(error.was_sent());
        let shown = error.to_string();
        assert!(
            shown.contains(&status.to_string()) && shown.contains("stream"),
            "{shown}"
        );
        assert_eq!(world.here.requests(), before + 1, "nothing half-sent");
    }
    for (method, status) in [("POST", 301), ("POST", 302), ("POST", 303), ("PUT", 303)] {
        let method = method.parse::<Method>().expect("a method");
        let url = to(&world.here, status, "/end");
        let request = session.request(method, &url).header(CONTENT_TYPE, "text/x");
        let response = request.body(streamed()).send().await?;
        assert_eq!(response.headers()["x-method"], "GET");
        for name in ["transfer-encoding", "content-type", "content-length"] {
            assert_eq!(seen(&response, name), None, "{name}");
        }
        assert_eq!(response.text().await?, "");
    }
    // With a length of its own, and with `Expect`.
    let url = to(&world.here, 303, "/end");
    let request = session
        .post(&url)
        .header(CONTENT_LENGTH, "7")
        .body(streamed());
    let response = request.send().await?;
    assert_eq!(seen(&response, "content-length"), None);
    let response = session
        .post(&url)
        .expect_continue()
        .body("content")
        .send()
        .await?;
    assert_eq!(seen(&response, "expect"), None);
    // An empty body has its length said once more, where that matters.
    let response = session.post(to(&world.here, 307, "/end")).send().await?;
    assert_eq!(seen(&response, "content-length"), Some("0"));
    let response = session.post(to(&world.here, 303, "/end")).send().await?;
    assert_eq!(seen(&response, "content-length"), None);
    Ok(())
}

#[tokio::test]
async fn the_credentials_of_a_url_stay_within_its_origin() -> Result<()> {
    let world = World::start();
    let session = world.builder().open().await?;
    let with_user = |hops: &[(u16, Place)]| {
        let url = world.way(Here, hops);
        url.replacen("//", "//user:password@", 1)
    };
    let response = session.get(with_user(&[(302, Here)])).send().await?;
    assert!(seen(&response, "authorization").is_some());
    let referer = seen(&response, "referer").expect("it is set");
    assert!(!referer.contains("password"), "{referer}");
    assert_eq!(response.history()[0].url().username(), "");
    for hops in [&[(302, Port)][..], &[(302, Port), (302, Here)]] {
        let response = session.get(with_user(hops)).send().await?;
        assert_eq!(seen(&response, "authorization"), None, "{hops:?}");
    }
    // The same of the base.
    let base = world.origin(Here).replacen("//", "//user:password@", 1);
    let session = world.builder().base_url(base).open().await?;
    let path = to(&world.here, 302, &world.way(Port, &[]));
    let path = &path[world.origin(Here).len()..];
    let response = session.get(path).send().await?;
    assert_eq!(response.url().as_str(), world.way(Port, &[]));
    assert_eq!(seen(&response, "authorization"), None);
    let response = session.get("/end").send().await?;
    assert!(
        seen(&response, "authorization").is_some(),
        "the next request has them"
    );
    Ok(())
}

#[tokio::test]
async fn a_referer_is_the_callers_own_or_none_if_he_says_so() -> Result<()> {
    let world = World::start();
    let session = world.builder().open().await?;
    let own = |hops: &[(u16, Place)]| {
        let request = session.get(world.way(Here, hops));
        request.header(REFERER, "http://own.test/page")
    };
    let response = own(&[(302, Here), (302, Here)]).send().await?;
    assert_eq!(seen(&response, "referer"), Some("http://own.test/page"));
    let response = own(&[(302, Here), (302, Port)]).send().await?;
    let here = format!("{}/", world.origin(Here));
    assert_eq!(seen(&response, "referer"), Some(&*here));

    let silent = world.builder().referer(false).open().await?;
    let response = silent.get(world.way(Here, &[(302, Here)])).send().await?;
    assert_eq!(seen(&response, "referer"), None);

    let one = HeaderMap::from_iter([(REFERER, HeaderValue::from_static("http://own.test/"))]);
    let always = world.builder().default_headers(one).open().await?;
    let response = always.get(world.way(Here, &[(302, Here)])).send().await?;
    assert_eq!(seen(&response, "referer"), Some("http://own.test/"));
    assert_eq!(
        response
            .headers()
            .get_all("x-request-referer")
            .iter()
            .count(),
        1
    );

    // Too long to be told in full.
    let long = to(&world.here, 302, &format!("/end?{}", "x".repeat(4096)));
    let response = session.get(long).send().await?;
    assert_eq!(seen(&response, "referer"), Some(&*here));
    Ok(())
}

#[tokio::test]
async fn https_only_lets_nothing_out_by_http() -> Result<()> {
    let world = World::start();
    let session = world.builder().https_only(true).open().await?;
    let error = session.get(world.here.url("/?secret")).send().await;
    let error = error.expect_err("it is http");
    assert_eq!(error.kind(), ErrorKind::Url);
    assert!(!error.was_sent() && error.is_builder());
    assert!(error.to_string().contains("https_only"), "{error}");
    assert!(!error.to_string().contains("secret"), "{error}");

    let error = session
        .get(world.way(Secure, &[(302, Secure), (307, Here)]))
        .send()
        .await;
    let error = error.expect_err("it leads to http");
    assert_eq!(error.kind(), ErrorKind::Redirect);
    assert!(error.to_string().contains("https_only"), "{error}");
    assert_eq!(world.here.accepted(), 0);

    let response = session
        .get(world.way(Secure, &[(302, Secure)]))
        .send()
        .await?;
    assert_eq!(response.status(), StatusCode::OK);
    Ok(())
}

#[tokio::test]
async fn one_timeout_holds_for_all_hops() -> Result<()> {
    // Each hop is quick, and there are more of them than fit.
    let server = Server::start(async |_| {
        let mut response = server::status(302);
        let headers = response.headers_mut();
        headers.insert(LOCATION, HeaderValue::from_static("/on"));
        response
    });
    let policy = RedirectPolicy::limited(20_000);
    let session = Session::builder().redirect(policy).open().await?;
    let limit = Duration::from_millis(50);
    let request = session.get(server.url("/?secret")).timeout(limit);
    let error = request.send().await.expect_err("it must end");
    assert_eq!(error.kind(), ErrorKind::Timeout(TimeoutPhase::Total));
    assert!(error.was_sent() && !error.is_retryable());
    assert!(server.requests() > 1, "{}", server.requests());
    assert!(!error.to_string().contains("secret"), "{error}");
    let stats = session.stats();
    assert_eq!((stats.in_use, stats.waiting), (0, 0), "{stats:?}");
    Ok(())
}

#[tokio::test]
async fn a_hop_that_fails_says_that_the_request_was_sent() -> Result<()> {
    let world = World::start();
    let session = world.builder().open().await?;
    let gone = Server::text("never");
    let url = gone.url("/x?secret");
    gone.stop();
    let error = session.get(to(&world.here, 307, &url)).send().await;
    let error = error.expect_err("nobody listens");
    assert!(error.is_connect() && error.was_sent() && !error.is_retryable());
    let named = error.url().expect("it names the hop").to_owned();
    assert!(url.starts_with(&named) && named.ends_with("/x"), "{named}");
    Ok(())
}

#[tokio::test]
async fn the_body_of_a_redirect_costs_its_connection_only_if_it_is_large() -> Result<()> {
    let server = Server::start(async |request| match request.uri().path() {
        "/small" | "/large" => {
            let length = if request.uri().path() == "/small" {
                60_000
            } else {
                1_000_000
            };
            let mut response = respond(StatusCode::FOUND, full(vec![b'x'; length]));
            let headers = response.headers_mut();
            headers.insert(LOCATION, HeaderValue::from_static("/end"));
            response
        }
        _ => text("end"),
    });
    let session = Session::builder().pool_max_connections(1).open().await?;
    for _ in 0..3 {
        let response = session.get(server.url("/small")).send().await?;
        assert_eq!(response.text().await?, "end");
    }
    assert_eq!(session.stats().opened, 1);
    let response = session.get(server.url("/large")).send().await?;
    assert_eq!(response.text().await?, "end");
    let stats = session.stats();
    assert_eq!((stats.opened, stats.open, stats.in_use), (2, 1, 0));
    Ok(())
}

#[tokio::test]
async fn extensions_and_repeated_headers_go_on() -> Result<()> {
    let heard = Arc::new(Mutex::new(0));
    let peer = RawPeer::start(async |conn, _| {
        for head in [
            "HTTP/1.1 302 Found\r\nlocation: /a\r\n",
            "HTTP/1.1 200 OK\r\n",
        ] {
            conn.read_request().await;
            conn.write("HTTP/1.1 103 Early Hints\r\n\r\n").await;
            conn.write(head).await;
            conn.write("content-length: 0\r\n\r\n").await;
        }
    });
    let session = Session::builder().open().await?;
    let request = Request::get(peer.url("/"))
        .header("x-b", "1")
        .header("x-a", "2")
        .header("x-b", "3")
        .header("expect", "100-continue")
        .header("x-c", "4");
    let mut request = request.body(Body::empty()).expect("a request");
    let count = Arc::clone(&heard);
    on_informational(&mut request, move |_| *count.lock().unwrap() += 1);
    let response = session.execute(request).await?;
    assert_eq!(response.history().len(), 1);
    assert_eq!(*heard.lock().unwrap(), 2, "once at each hop");
    let received = String::from_utf8(peer.received(0)).expect("ASCII");
    let heads = received.split("\r\n\r\n").filter(|head| !head.is_empty());
    for head in heads {
        let own = head.lines().filter(|line| line.starts_with("x-"));
        let own = own.collect::<Vec<_>>();
        assert_eq!(own, ["x-b: 1", "x-b: 3", "x-a: 2", "x-c: 4"]);
    }
    Ok(())
}

#[tokio::test]
async fn a_response_of_the_http_crate_tells_of_the_way_in_its_extensions() -> Result<()> {
    let world = World::start();
    let session = world.builder().open().await?;
    let end = world.here.url("/end?secret#part");
    let url = to(&world.port, 307, &to(&world.here, 302, &end));
    let request = || Request::get(&url).body(Body::empty()).expect("a request");
    let response = session.execute(request()).await?;
    assert!(response.extensions().is_empty(), "it has methods for that");
    let timings = response.timings();
    assert!(response.remote_addr().is_some());
    let converted = response.into_http();
    let kept = converted.extensions().get::<ResponseInfo>();
    assert_eq!(kept.map(ResponseInfo::timings), Some(timings));
    for answer in [converted, session.clone().oneshot(request()).await?] {
        let info: &ResponseInfo = answer.extensions().get().expect("it is always there");
        assert_eq!(info.url().as_str(), end);
        let statuses = info.history().iter().map(|hop| hop.status().as_u16());
        assert_eq!(statuses.collect::<Vec<_>>(), [307, 302]);
        assert_eq!(info.history()[0].url().as_str(), url);
        assert!(!format!("{info:?}").contains("secret"));
        assert_eq!(info.clone().url(), info.url());
        let (timings, address) = (info.timings(), info.remote_addr());
        assert!(timings.connection > 0 && address.is_some());
        let back = Response::from(answer);
        assert_eq!((back.timings(), back.remote_addr()), (timings, address));
        assert_eq!((back.url().as_str(), back.history().len()), (&*end, 2));
        assert!(back.extensions().is_empty());
    }
    let straight = session.get(world.here.url("/x")).send().await?.into_http();
    let info: &ResponseInfo = straight.extensions().get().expect("without redirects too");
    assert_eq!(info.url().as_str(), world.here.url("/x"));
    assert!(info.history().is_empty());
    Ok(())
}

#[tokio::test]
async fn nothing_of_a_redirect_shows_queries_or_headers_in_debug() -> Result<()> {
    let world = World::start();
    let policy = RedirectPolicy::custom(|attempt| {
        assert!(!format!("{attempt:?}").contains("secret"));
        RedirectAction::Follow
    });
    let session = world.builder().redirect(policy).open().await?;
    let response = session
        .get(to(&world.here, 302, "/end?secret"))
        .send()
        .await?;
    let shown = format!("{:?}{response:?}", response.history());
    assert!(!shown.contains("secret"), "{shown}");
    assert_eq!(response.url().query(), Some("secret"));
    Ok(())
}

#[tokio::test]
async fn a_response_that_raises_does_so_after_the_last_hop() -> Result<()> {
    let server = Server::start(async |request| match request.uri().path() {
        "/gone" => respond(StatusCode::GONE, full("gone for good")),
        _ => answer(request).await,
    });
    let session = Session::builder().raise_for_status(true).open().await?;
    let error = session.get(to(&server, 301, "/gone")).send().await;
    let error = error.expect_err("it is gone");
    assert_eq!(error.status(), Some(StatusCode::GONE));
    let url = Url::parse(&server.url("/gone")).expect("a URL");
    assert_eq!(error.url(), Some(url.as_str()));
    let mut request = session.get(to(&server, 301, "/end"));
    request = request.header(AUTHORIZATION, "Bearer secret");
    assert!(request.send().await.is_ok());
    Ok(())
}

#[tokio::test]
async fn a_close_lets_the_hop_under_way_end_and_no_other_begin() -> Result<()> {
    let gate = Gate::new();
    let world = World::start();
    let held = {
        let gate = gate.clone();
        Server::start(async move |request| {
            gate.pass().await;
            answer(request).await
        })
    };
    let session = world.builder().open().await?;
    let url = to(&held, 302, &world.way(Here, &[]));
    let sending = session.get(&url).send();
    let closing = async {
        gate.wait_reached(1).await;
        let closing = session.close();
        let (report, ()) = tokio::join!(closing, async { gate.open() });
        report
    };
    let (sent, report) = tokio::join!(sending, closing);
    let error = sent.expect_err("the session is closed");
    assert!(error.is_closed() && error.was_sent(), "{error:?}");
    assert_eq!((report.stats.open, report.stats.requests), (0, 1));
    assert_eq!(world.here.accepted(), 0);
    Ok(())
}

/// What Locations are made of, and mangled with.
const PIECES: [&[u8]; 24] = [
    b"http:",
    b"https:",
    b"ftp:",
    b"data:",
    b"//",
    b"/",
    b"\\",
    b"?",
    b"#",
    b"@",
    b":",
    b"..",
    b".",
    b"%",
    b"%2e",
    b"%zz",
    b"[",
    b"]",
    b" ",
    b"\t",
    b"x",
    b"127.0.0.1",
    "\u{e9}".as_bytes(),
    b"\xff",
];

#[tokio::test]
async fn whatever_a_location_says_there_is_an_answer_or_an_error() -> Result<()> {
    let seed = 5;
    let peer = RawPeer::start(async move |conn, number| {
        let mut dice = Dice::of(seed, number);
        while !conn.read_request().await.is_empty() {
            let mut head = b"HTTP/1.1 302 Found\r\ncontent-length: 0\r\nlocation: ".to_vec();
            for _ in 0..dice.below(8) {
                head.extend(PIECES[dice.below(PIECES.len())]);
            }
            head.extend(b"\r\n\r\n");
            conn.write(head).await;
        }
    });
    // Wherever it leads, nothing but the peer answers.
    let here = format!("http://{}/", peer.addr());
    let policy = RedirectPolicy::custom(move |attempt| {
        if attempt.url().as_str().starts_with(&here) {
            RedirectAction::Follow
        } else {
            RedirectAction::Stop
        }
    });
    let session = Session::builder().redirect(policy).open().await?;
    for _ in 0..300 {
        match session.get(peer.url("/a/b?c#d")).send().await {
            Ok(response) => assert_eq!(response.status(), StatusCode::FOUND),
            Err(error) => assert!(error.is_redirect(), "{error:?}, seed {seed}"),
        }
    }
    let stats = session.stats();
    assert_eq!((stats.in_use, stats.exchanges), (0, 0), "seed {seed}");
    Ok(())
}

#[tokio::test]
async fn a_body_that_can_be_made_again_is_made_again_for_a_hop_that_asks_for_it() -> Result<()> {
    let world = World::start();
    let session = world.builder().open().await?;
    let made = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&made);
    let body = Body::replayable(move || {
        count.fetch_add(1, Ordering::SeqCst);
        Body::wrap_stream(stream::iter([Ok::<_, Error>(Bytes::from("content"))]))
    });
    let mut expected = 1;
    for (status, hops, text) in [(307, 0, "content"), (303, 1, ""), (308, 3, "content")] {
        let url = world.way(Here, &vec![(status, Here); hops]);
        let again = body.try_clone().expect("it can be made again");
        let response = session.post(url).body(again).send().await?;
        assert_eq!(response.text().await?, text, "{status}");
        expected += 1 + if status == 303 { 0 } else { hops };
        assert_eq!(made.load(Ordering::SeqCst), expected, "{status}");
    }
    Ok(())
}

/// Says what it has seen, after a redirect if the path says so.
#[cfg(feature = "http2")]
async fn tell(mut call: Call) -> Then {
    if let Some(place) = call.request.uri().query() {
        let mut response = http::Response::new(());
        *response.status_mut() = StatusCode::TEMPORARY_REDIRECT;
        let place = HeaderValue::from_str(place).expect("a header value");
        response.headers_mut().insert(LOCATION, place);
        // With a body that nobody reads.
        if let Ok(mut body) = call.answer.send_response(response, false) {
            let _ = body.send_data(Bytes::from("it is not here"), false);
        }
        return Then::GoOn;
    }
    let body = call.body().await;
    let body = String::from_utf8_lossy(&body).into_owned();
    let request = &call.request;
    let header = |name: &str| {
        let value = request.headers().get(name);
        value.map_or("-", |value| value.to_str().expect("ASCII"))
    };
    let told = [
        request.method().as_str(),
        &request.uri().to_string(),
        header("host"),
        header("x-api-key"),
        header("referer"),
        header("content-type"),
        &body,
    ];
    let told = told.join(" ");
    call.text(told)
}

#[cfg(feature = "http2")]
#[tokio::test]
async fn a_hop_speaks_what_its_origin_speaks() -> Result<()> {
    let world = World::start();
    let shared = Http2Server::start_tls(Manner::default(), tell);
    let session = world.builder().open().await?;
    let request = |url: &str| {
        let request = session.post(url).header("x-api-key", "secret");
        request.header(CONTENT_TYPE, "text/x").body("content")
    };
    // Within HTTP/2, from HTTP/1 to it, and back.
    let within = shared.url("/a?/b");
    let end = shared.url("/b");
    let response = request(&within).send().await?;
    assert_eq!(response.version(), http::Version::HTTP_2);
    let expected = format!("POST {end} - secret {within} text/x content");
    assert_eq!(response.text().await?, expected);

    let response = request(&to(&world.secure, 308, &end)).send().await?;
    let origin = world.origin(Secure);
    let expected = format!("POST {end} - - {origin}/ text/x content");
    assert_eq!(response.text().await?, expected);

    let back = world.way(Secure, &[]);
    let response = request(&shared.url(&format!("/a?{back}"))).send().await?;
    assert_eq!(response.version(), http::Version::HTTP_11);
    assert_eq!(seen(&response, "host"), back.split('/').nth(2));
    assert_eq!(seen(&response, "x-api-key"), None);
    assert_eq!(response.text().await?, "content");

    let stats = session.stats();
    assert_eq!((stats.opened, stats.in_use, stats.exchanges), (2, 0, 0));
    Ok(())
}
