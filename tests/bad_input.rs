//! What cannot be sent is refused, by name and in silence: no byte goes out, no secret is shown.

mod support;

use std::collections::BTreeMap;
use std::fmt::Debug;

use futures::executor::block_on;
use futures::stream;
use http::header::{
    AUTHORIZATION, CONTENT_LENGTH, HOST, HeaderMap, HeaderValue, TRANSFER_ENCODING,
};
use http::{Method, Request, Version};
use hyper_session::{
    Body, DefaultConnector, Error, ErrorKind, RequestBuilder, Result, Session, SessionBuilder,
    SessionHolder, WhenClosed,
};
use serde::{Serialize, Serializer};
use support::server::Server;

/// In the queries, tokens and passwords of all tests here.
const SECRET: &str = "s3cret";

fn assert_no_secret(shown: impl Debug) {
    let shown = format!("{shown:?} {shown:#?}");
    assert!(!shown.contains(SECRET), "{shown}");
}

/// Checks an error, which must name what is wrong at this level or the next ones.
fn assert_refused(error: &Error, kind: ErrorKind, names: &str) {
    let mut chain = error.to_string();
    let mut level = std::error::Error::source(error);
    while let Some(cause) = level {
        chain.push_str(" <- ");
        chain.push_str(&cause.to_string());
        level = cause.source();
    }
    assert_eq!(error.kind(), kind, "{chain}");
    assert!(chain.contains(names), "{names:?} is not named: {chain}");
    assert!(!chain.contains(SECRET), "{chain}");
    assert!(
        error.is_builder() && !error.was_sent() && !error.is_retryable(),
        "{chain}"
    );
    assert_no_secret(error);
}

type Start = Box<dyn Fn(&SessionHolder, Method) -> RequestBuilder>;

fn case(start: impl Fn(RequestBuilder) -> RequestBuilder + 'static) -> Start {
    Box::new(move |holder, method| start(holder.request(method, "/x?token=s3cret")))
}

fn url(url: impl Into<String>) -> Start {
    let url = url.into();
    Box::new(move |holder, method| holder.request(method, &url))
}

/// Sends and builds each request, on a session that is open and on one that is not.
async fn assert_each_is_refused(kind: ErrorKind, cases: Vec<(Start, &str)>) -> Result<()> {
    let server = Server::text("never");
    let base = server.url("/v1").replace("//", "//user:s3cret@");
    for is_open in [true, false] {
        let holder = SessionHolder::builder().base_url(&*base).build()?;
        if is_open {
            holder.start_session().await?;
        }
        for (start, names) in &cases {
            for method in [Method::GET, Method::POST] {
                let request = start(&holder, method.clone());
                assert_no_secret(&request);
                let error = request.send().await.expect_err(names);
                assert_refused(&error, kind, names);
                let error = start(&holder, method).build().expect_err(names);
                assert_refused(&error, kind, names);
            }
        }
        let stats = holder.stats();
        assert_eq!(
            (stats.opened, stats.exchanges, stats.connecting),
            (0, 0, 0),
            "{stats:?}"
        );
        assert_no_secret(&holder);
        holder.close_session().await;
    }
    assert_eq!(server.accepted(), 0);
    Ok(())
}

#[tokio::test]
async fn a_url_that_does_not_parse_or_is_neither_http_nor_https_is_refused() -> Result<()> {
    let cases = vec![
        (url("http://"), "no host"),
        (url("http://?s3cret"), "no host"),
        (url("http:x"), "does not have `//`"),
        (url("http:user:s3cret@evil.test/"), "does not have `//`"),
        (url("https:/evil.test/s3cret"), "does not have `//`"),
        (url("http:///evil.test/s3cret"), "does not have `//`"),
        (
            url("http://[::1/s3cret"),
            "invalid IPv6 address in \"[::1\"",
        ),
        (url("http://ho st/x?s3cret"), "\"ho st\""),
        (url("http://256.0.0.1/"), "\"256.0.0.1\""),
        (
            url("http://user:s3cret@host:99999/x"),
            "invalid port number in \"host:99999\"",
        ),
        (url("http://user:s3cret"), "invalid port number"),
        (url("http://host:80s3cret@/"), ""),
        (url("http://us%3Aer:s3cret@host/"), "colon"),
        (url("http://us%FFer:s3cret@host/"), "not UTF-8"),
        (
            url("ftp://user:s3cret@host/x?s3cret"),
            "\"ftp\" is neither http nor https",
        ),
        (url("file:///etc/s3cret"), "\"file\" is neither"),
        (url("ws://host/?s3cret"), "\"ws\" is neither"),
        (url("mailto:s3cret@host"), "neither http nor https"),
        (url("user:s3cret@host/x"), "neither http nor https"),
        (url("localhost:8080/x"), "`http://`"),
        (url("data:text/plain,s3cret"), "\"data\" is neither"),
        (
            url(format!("http://host/{}", "a".repeat(70_000))),
            "longer than",
        ),
        (url("a".repeat(70_000)), "longer than"),
    ];
    assert_each_is_refused(ErrorKind::Url, cases).await
}

#[tokio::test]
async fn a_relative_url_that_leaves_the_base_is_refused() -> Result<()> {
    let leaves = "leaves the path of base_url";
    let host = "names a host of its own";
    let cases = vec![
        (url("/../admin?s3cret"), leaves),
        (url(".."), leaves),
        (url("a/../../b"), leaves),
        (url("a/%2e%2E/../b"), leaves),
        (url("/.%2e/b"), leaves),
        (url("a\\..\\..\\b"), leaves),
        (url("//evil.test/x?s3cret"), host),
        (url("//user:s3cret@evil.test/"), host),
        (url("\\\\evil.test\\x"), host),
        (url("/\\evil.test/x"), host),
        (url(" //evil.test/x"), host),
    ];
    assert_each_is_refused(ErrorKind::Url, cases).await
}

#[tokio::test]
async fn a_url_with_a_control_character_is_refused() -> Result<()> {
    let cases = vec![
        (url("/a\r\nx-evil: s3cret"), "U+000D at byte 2"),
        (url("a\tb"), "U+0009 at byte 1"),
        (url("?s3cret\0"), "U+0000 at byte 7"),
        (url("#\x1b[2J"), "U+001B at byte 1"),
        (url("/\x7f"), "U+007F at byte 1"),
        (url("/\n/evil.test/"), "U+000A at byte 1"),
        (url("http://a\0b/x"), "U+0000 at byte 8"),
        (url("http://user:s3cret\n@a.test/"), "U+000A at byte 18"),
        (url("\nhttp://a.test/"), "U+000A at byte 0"),
        (url("http://a.test/x\n"), "U+000A at byte 15"),
    ];
    assert_each_is_refused(ErrorKind::Url, cases).await
}

#[tokio::test]
async fn a_header_with_a_control_character_is_refused() -> Result<()> {
    let mut cases = Vec::new();
    for name in [
        "", "a b", "a:b", "a\r\nb", "a\nb", "a\0b", "a\tb", "a\x7fb", "käse", "(a)",
    ] {
        cases.push((
            case(move |r| r.header(name, "s3cret")),
            "invalid header name",
        ));
    }
    cases.push((
        case(|r| r.header("x".repeat(100_000), "v")),
        "invalid header name",
    ));
    let of_x = "invalid value of the header `x-a`";
    for value in [
        "s3cret\r\nx-evil: 1",
        "s3cret\n",
        "\rs3cret",
        "s3cret\0",
        "s3cret\x7f",
        "\x1b[2Js3cret",
    ] {
        cases.push((case(move |r| r.header("X-A", value)), of_x));
        cases.push((case(move |r| r.bearer_auth(value)), "Bearer credentials"));
    }
    cases.push((case(|r| r.header("x-a", &b"s3cret\x01"[..])), of_x));
    cases.push((
        case(|r| r.basic_auth("us:er", Some("s3cret"))),
        "a user name with a colon",
    ));
    assert_each_is_refused(ErrorKind::Builder, cases).await
}

#[derive(Serialize)]
struct Nested {
    password: BTreeMap<&'static str, &'static str>,
}

fn nested() -> Nested {
    Nested {
        password: BTreeMap::from([("is", "s3cret")]),
    }
}

/// Fails as a user's own type may.
struct Unwritable;

impl Serialize for Unwritable {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("cannot be written"))
    }
}

#[tokio::test]
async fn what_serde_cannot_flatten_is_no_query_and_no_form() -> Result<()> {
    let (no_query, no_form) = (
        "the query cannot be flattened",
        "the form cannot be flattened",
    );
    let cases = vec![
        (case(|r| r.query(&nested())), no_query),
        (case(|r| r.query("s3cret")), no_query),
        (case(|r| r.query(&1)), no_query),
        (case(|r| r.query(&[("s3cret", vec![1, 2])])), no_query),
        (case(|r| r.query(&[("a", "b", "s3cret")])), no_query),
        (case(|r| r.query(&[("a", Unwritable)])), no_query),
        (case(|r| r.form(&nested())), no_form),
        (case(|r| r.form("s3cret")), no_form),
        (case(|r| r.form(&[("a", Unwritable)])), no_form),
    ];
    assert_each_is_refused(ErrorKind::Builder, cases).await
}

#[cfg(feature = "json")]
#[tokio::test]
async fn what_serde_cannot_write_is_no_json() -> Result<()> {
    let cases = vec![
        (
            case(|r| r.json(&BTreeMap::from([((1, 2), "s3cret")]))),
            "key must be a string",
        ),
        (
            case(|r| r.json(&("s3cret", Unwritable))),
            "cannot be written as JSON",
        ),
    ];
    assert_each_is_refused(ErrorKind::Builder, cases).await
}

fn streamed(request: RequestBuilder) -> RequestBuilder {
    let parts = stream::iter([Ok::<_, std::io::Error>("four")]);
    request.body(Body::wrap_stream(parts))
}

#[tokio::test]
async fn a_length_that_is_not_the_bodys_is_refused() -> Result<()> {
    let mut cases = vec![
        (
            case(|r| r.header(CONTENT_LENGTH, 5).body("four")),
            "Content-Length is 5, but the body has 4 bytes",
        ),
        (
            case(|r| r.body("four").header(CONTENT_LENGTH, 3)),
            "Content-Length is 3",
        ),
        (
            case(|r| r.header(CONTENT_LENGTH, 1)),
            "the body has 0 bytes",
        ),
        (
            case(|r| r.form(&[("a", "s3cret")]).header(CONTENT_LENGTH, 1)),
            "Content-Length is 1",
        ),
        (
            case(|r| {
                r.header(CONTENT_LENGTH, 4)
                    .header(TRANSFER_ENCODING, "chunked")
                    .body("four")
            }),
            "exclude each other",
        ),
        (
            case(|r| {
                streamed(r)
                    .header(TRANSFER_ENCODING, "gzip")
                    .header(CONTENT_LENGTH, 4)
            }),
            "exclude each other",
        ),
        (
            case(|r| {
                r.header(CONTENT_LENGTH, 4)
                    .header(CONTENT_LENGTH, 4)
                    .body("four")
            }),
            "Content-Length is not one whole number",
        ),
        (
            case(|r| {
                streamed(r)
                    .header(CONTENT_LENGTH, 4)
                    .header(CONTENT_LENGTH, 5)
            }),
            "not one",
        ),
    ];
    for length in [
        "four",
        "-4",
        "+4",
        "4.0",
        "0x4",
        "4, 4",
        " 4",
        "",
        "18446744073709551616",
        "٤",
    ] {
        cases.push((
            case(move |r| r.header(CONTENT_LENGTH, length).body("four")),
            "not one",
        ));
        cases.push((
            case(move |r| streamed(r).header(CONTENT_LENGTH, length)),
            "not one",
        ));
    }
    assert_each_is_refused(ErrorKind::Builder, cases).await
}

#[tokio::test]
async fn a_transfer_coding_but_chunked_is_refused() -> Result<()> {
    let mut cases = Vec::new();
    for codings in [
        &["gzip"][..],
        &["gzip, chunked"],
        &["chunked, gzip"],
        &["chunked, chunked"],
        &["chunked", "chunked"],
        &["chunked", "identity"],
        &["identity"],
        &["chunked;q=1"],
        &["chunked,"],
        &["xchunked"],
        &[""],
    ] {
        let coded = move |r: RequestBuilder| {
            let add = |r: RequestBuilder, coding| r.header(TRANSFER_ENCODING, coding);
            codings.iter().copied().fold(r, add)
        };
        let names = "Transfer-Encoding is not `chunked` alone";
        cases.push((case(move |r| coded(r).body("four")), names));
        cases.push((case(move |r| coded(streamed(r))), names));
        cases.push((case(coded), names));
    }
    assert_each_is_refused(ErrorKind::Builder, cases).await
}

#[tokio::test]
async fn a_host_that_is_none_is_refused() -> Result<()> {
    let mut cases = vec![(
        case(|r| r.header(HOST, "a.test").header(HOST, "a.test")),
        "one Host",
    )];
    for host in [
        "",
        " ",
        "a b",
        " a.test",
        "a b/../x",
        "a%20b",
        "a:1@a:1",
        "a.test:+1",
        "user:s3cret@a.test",
        "80:80@80",
        "@a.test",
        "a.test@",
        "a.test/x",
        "a.test?x",
        "a.test#x",
        "http://a.test",
        "x, y",
        "a\\b",
        "a\"b",
        "<a>",
        "a.test:x",
        "a.test:-1",
        "a.test:65536",
        "a.test:80:80",
        ":80",
        "[::1",
        "::1",
        "[]",
        "[::1]x",
        "[x]",
        "käse.test",
    ] {
        let is_none = "the Host header is not a host";
        cases.push((case(move |r| r.header(HOST, host)), is_none));
    }
    assert_each_is_refused(ErrorKind::Builder, cases).await
}

#[tokio::test]
async fn a_version_or_method_that_cannot_be_spoken_is_refused() -> Result<()> {
    let cases = vec![
        (
            case(|r| r.version(Version::HTTP_2)),
            "HTTP/2.0 cannot be asked for",
        ),
        (
            case(|r| r.version(Version::HTTP_3)),
            "HTTP/3.0 cannot be asked for",
        ),
        (
            case(|r| r.version(Version::HTTP_09)),
            "HTTP/0.9 cannot be asked for",
        ),
        (
            case(|r| streamed(r).version(Version::HTTP_10)),
            "needs a Content-Length in HTTP/1.0",
        ),
        (
            Box::new(|holder: &SessionHolder, _| holder.request(Method::CONNECT, "/s3cret"))
                as Start,
            "CONNECT",
        ),
        (
            Box::new(|holder: &SessionHolder, _| holder.request(Method::TRACE, "/").body("s3cret"))
                as Start,
            "a TRACE request has no body",
        ),
        (
            Box::new(|holder: &SessionHolder, _| streamed(holder.request(Method::TRACE, "/"))),
            "a TRACE request has no body",
        ),
    ];
    assert_each_is_refused(ErrorKind::Builder, cases).await
}

#[tokio::test]
async fn the_first_thing_that_is_wrong_is_the_one_that_is_told() -> Result<()> {
    let cases = vec![(
        case(|r| {
            r.header("x-a", "\n")
                .query(&nested())
                .header("\n", "")
                .body("x")
                .timeout(std::time::Duration::ZERO)
        }),
        "invalid value of the header `x-a`",
    )];
    assert_each_is_refused(ErrorKind::Builder, cases).await
}

#[tokio::test]
async fn a_ready_made_request_is_refused_for_the_same_reasons() -> Result<()> {
    let server = Server::text("never");
    let session = Session::builder()
        .base_url(server.url("/v1"))
        .open()
        .await?;
    let ready = |uri: &str, change: fn(&mut Request<Body>)| {
        let mut request = Request::post(uri)
            .body(Body::from("four"))
            .expect("a valid URI");
        change(&mut request);
        request
    };
    for (request, kind, names) in [
        (
            ready("ftp://user:s3cret@host/s3cret", |_| {}),
            ErrorKind::Url,
            "\"ftp\" is neither",
        ),
        (
            ready("http://us%3Aer:s3cret@host/", |_| {}),
            ErrorKind::Url,
            "colon",
        ),
        (
            ready("//evil.test/?s3cret", |_| {}),
            ErrorKind::Url,
            "names a host of its own",
        ),
        (
            ready("/../x?s3cret", |_| {}),
            ErrorKind::Url,
            "leaves the path",
        ),
        (
            ready("/", |r| *r.version_mut() = Version::HTTP_2),
            ErrorKind::Builder,
            "HTTP/2.0",
        ),
        (
            ready("/", |r| *r.method_mut() = Method::CONNECT),
            ErrorKind::Builder,
            "CONNECT",
        ),
        (
            ready("/", |r| {
                let host = HeaderValue::from_static("user:s3cret@a.test");
                r.headers_mut().insert(HOST, host);
            }),
            ErrorKind::Builder,
            "the Host header is not a host",
        ),
        (
            ready("/?s3cret", |r| {
                r.headers_mut().insert(CONTENT_LENGTH, 5.into());
            }),
            ErrorKind::Builder,
            "Content-Length is 5",
        ),
    ] {
        let error = session.execute(request).await.expect_err(names);
        assert_refused(&error, kind, names);
    }
    assert_eq!(session.close().await.stats.opened, 0);
    assert_eq!(server.accepted(), 0);
    Ok(())
}

fn headers(name: http::HeaderName, value: &'static str) -> HeaderMap {
    HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
}

type Set = fn(SessionBuilder) -> SessionBuilder;

/// By both ends of the builder, and where it is to replace a session.
async fn assert_each_setting_is_refused(settings: &[(Set, ErrorKind, &str)]) {
    let running: SessionHolder = Session::builder().build().expect("no settings");
    running.start_session().await.expect("no hooks");
    for &(set, kind, names) in settings {
        let builder = || set(Session::builder().default_headers(headers(AUTHORIZATION, SECRET)));
        assert_no_secret(builder());
        assert_refused(&builder().build().expect_err(names), kind, names);
        assert_refused(&builder().open().await.expect_err(names), kind, names);
        let replaced = running.start_session_with(builder()).await;
        assert_refused(&replaced.expect_err(names), kind, names);
        assert!(running.is_open(), "a refused builder replaces nothing");
    }
    running.close_session().await;
}

#[tokio::test]
async fn a_base_url_that_cannot_be_is_refused() {
    assert_each_setting_is_refused(&[
        (
            |b| b.base_url("http://host/v1\n"),
            ErrorKind::Url,
            "U+000A at byte 14",
        ),
        (
            |b| b.base_url("http://host/v1?token=s3cret"),
            ErrorKind::Url,
            "must not have a query",
        ),
        (
            |b| b.base_url("http://host/v1?"),
            ErrorKind::Url,
            "must not have a query",
        ),
        (
            |b| b.base_url("http://host/v1#s3cret"),
            ErrorKind::Url,
            "must not have a fragment",
        ),
        (
            |b| b.base_url("/v1?s3cret"),
            ErrorKind::Url,
            "base_url \"/v1\" is relative",
        ),
        (|b| b.base_url("//host/v1"), ErrorKind::Url, "is relative"),
        (|b| b.base_url("http:host"), ErrorKind::Url, "have `//`"),
        (|b| b.base_url(""), ErrorKind::Url, "is relative"),
        (
            |b| b.base_url("http://user:s3cret@host:x/"),
            ErrorKind::Url,
            "invalid port",
        ),
        (
            |b| b.base_url("ftp://host/s3cret"),
            ErrorKind::Url,
            "\"ftp\"",
        ),
    ])
    .await;
}

#[tokio::test]
async fn a_setting_that_cannot_be_is_refused() {
    assert_each_setting_is_refused(&[
        (
            |b| b.user_agent("s3cret\r\nx-evil: 1"),
            ErrorKind::Builder,
            "user_agent",
        ),
        (
            |b| b.user_agent(&b"s3cret\0"[..]),
            ErrorKind::Builder,
            "user_agent",
        ),
        (
            |b| b.pool_max_connections(0),
            ErrorKind::Builder,
            "pool_max_connections",
        ),
        (
            |b| b.http1_max_header_size(1023),
            ErrorKind::Builder,
            "http1_max_header_size",
        ),
        (
            |b| b.default_headers(headers(CONTENT_LENGTH, "1")),
            ErrorKind::Builder,
            "content-length",
        ),
        (
            |b| b.default_headers(headers(TRANSFER_ENCODING, "chunked")),
            ErrorKind::Builder,
            "transfer-encoding",
        ),
        (
            |b| b.default_headers(headers(HOST, "user:s3cret@a.test")),
            ErrorKind::Builder,
            "the Host header is not a host",
        ),
        (
            |b| {
                let mut hosts = headers(HOST, "a.test");
                hosts.append(HOST, HeaderValue::from_static("b.test"));
                b.default_headers(hosts)
            },
            ErrorKind::Builder,
            "default_headers: the Host cannot be sent",
        ),
        (
            |b| b.tls_root_pem("s3cret"),
            ErrorKind::Builder,
            "tls_root_pem",
        ),
        (|b| b.tls_root_pem(""), ErrorKind::Builder, "tls_root_pem"),
        (
            |b| b.tls_root_pem("-----BEGIN CERTIFICATE-----\ns3cret\n-----END CERTIFICATE-----\n"),
            ErrorKind::Builder,
            "tls_root_pem",
        ),
    ])
    .await;
}

#[tokio::test]
async fn tls_options_are_refused_beside_a_connector_of_ones_own() -> Result<()> {
    let connector = DefaultConnector::new()?;
    let before = Session::builder().tls_root_pem("").connector(connector);
    let error = before.build().expect_err("the option would be lost");
    assert_refused(
        &error,
        ErrorKind::Builder,
        "tls_root_pem is for the default connector",
    );
    Ok(())
}

#[tokio::test]
async fn a_default_length_or_false_host_of_a_derived_session_does_not_reach_the_wire() -> Result<()>
{
    let server = Server::echo();
    let session = Session::builder().base_url(server.url("/")).open().await?;
    let mut defaults = headers(CONTENT_LENGTH, "99");
    defaults.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    defaults.insert(HOST, HeaderValue::from_static("a b"));
    let answer = session
        .with_default_headers(defaults)
        .post("/")
        .body("four")
        .send()
        .await?;
    assert_eq!(answer.headers()["x-request-content-length"], "4");
    assert!(!answer.headers().contains_key("x-request-transfer-encoding"));
    assert_eq!(
        answer.headers()["x-request-host"],
        server.addr().to_string()
    );
    assert_eq!(answer.text().await?, "four");
    assert_eq!(session.close().await.stats.opened, 1);
    Ok(())
}

#[test]
fn without_a_runtime_a_request_is_refused_and_nothing_panics() -> Result<()> {
    let server = Server::text("never");
    let url = server.url("/x?token=s3cret");
    let assert_no_runtime = |error: Error| {
        assert_eq!(error.kind(), ErrorKind::NoRuntime, "{error:?}");
        assert!(
            error.to_string().contains("tokio runtime") && !error.was_sent(),
            "{error}"
        );
        assert_no_secret(&error);
    };
    for when_closed in [WhenClosed::OneShot, WhenClosed::Open] {
        let holder = SessionHolder::builder().when_closed(when_closed).build()?;
        assert_no_runtime(block_on(holder.get(&url).send()).expect_err("no runtime"));
        let in_closure = holder.with_session(async |s| s.get(&url).send().await);
        assert_no_runtime(block_on(in_closure).expect_err("no runtime"));
        let in_scope = holder.in_session(async |holder| holder.get(&url).send().await);
        assert_no_runtime(block_on(in_scope).expect_err("no runtime"));
        drop(holder);
    }
    let session = block_on(Session::builder().open())?;
    assert_no_runtime(block_on(session.get(&url).send()).expect_err("no runtime"));
    let ready = Request::get(&url).body(Body::empty()).expect("a valid URI");
    assert_no_runtime(block_on(session.execute(ready)).expect_err("no runtime"));
    assert_eq!(session.stats().exchanges, 0);
    assert_eq!(server.accepted(), 0);
    Ok(())
}

#[test]
fn without_a_runtime_a_session_can_be_closed() -> Result<()> {
    let session = block_on(Session::builder().open())?;
    assert_eq!(block_on(session.close()).stats.open, 0);
    let holder: SessionHolder = SessionHolder::builder().build()?;
    block_on(holder.start_session())?;
    assert_eq!(
        block_on(holder.close_session_within(std::time::Duration::from_secs(1))).severed,
        0
    );
    Ok(())
}
