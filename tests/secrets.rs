//! No `Debug` of a public type and no error shows a credential, a cookie, a query or a header's value.
#![cfg(feature = "full")]
#![allow(clippy::unwrap_used, reason = "a test that fails here has its line")]

mod support;

use std::collections::BTreeSet;
use std::error::Error as StdError;
use std::fmt::Debug;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use std::{fs, io};

use bytes::Bytes;
use futures::executor::block_on;
use futures::stream;
use http::Request;
use http::header::{AUTHORIZATION, COOKIE, HeaderMap, HeaderName, HeaderValue};
use hyper_session::multipart::{Form, Part};
use hyper_session::{
    Body, BoxConnection, BoxConnector, CookieJar, Credentials, DefaultConnector, Error, ErrorKind,
    Next, RedirectAction, RedirectPolicy, RequestBuilder, ResponseInfo, Result, RetryBudget,
    RetryPolicy, Session, SessionBuilder, Url, WhenClosed,
};
use support::raw::RawPeer;
use support::server::Server;

/// What nobody may see. No encoding of a URL changes it.
const SECRET: &str = "s3cret";

#[track_caller]
fn assert_hidden(what: &str, shown: impl Debug) {
    let shown = format!("{shown:?} {shown:#?}");
    let found = shown.contains(SECRET) || shown.contains(BASE64_OF_SECRET);
    assert!(!found, "{what}: {shown}");
}

/// As it goes over the wire after `user:`.
const BASE64_OF_SECRET: &str = "dXNlcjpzM2NyZXQ=";

fn secret_headers() -> HeaderMap {
    let values = [
        (AUTHORIZATION, "Bearer s3cret"),
        (COOKIE, "id=s3cret"),
        (HeaderName::from_static("x-api-key"), "s3cret"),
    ];
    let values = values.map(|(name, value)| (name, HeaderValue::from_static(value)));
    HeaderMap::from_iter(values)
}

fn jar(url: &str) -> CookieJar {
    let jar = CookieJar::new();
    jar.add("id=s3cret; Max-Age=60", &Url::parse(url).unwrap())
        .unwrap();
    jar
}

/// Whatever a session may be told of secrets.
fn builder(url: &str) -> SessionBuilder {
    Session::builder()
        .base_url(url.replace("//", "//user:s3cret@"))
        .default_headers(secret_headers())
        .default_query(&[("key", SECRET)])
        .cookie_store(jar(url))
        .user_agent(SECRET)
}

/// And whatever a request may be.
fn secretive(request: RequestBuilder) -> RequestBuilder {
    request
        .query(&[("token", SECRET)])
        .header("x-token", SECRET)
        .cookie("own", SECRET)
        .bearer_auth(SECRET)
}

/// Answers with a head and a body that hold the secret; `/moved` redirects.
fn peer() -> RawPeer {
    RawPeer::start(async |conn, _| {
        loop {
            let request = conn.read_request().await;
            if request.is_empty() {
                return;
            }
            let head = if String::from_utf8_lossy(&request).contains("/moved") {
                "HTTP/1.1 302 Found\r\nlocation: /end?s3cret#s3cret\r\n"
            } else {
                "HTTP/1.1 404 s3cret\r\n"
            };
            conn.write(head).await;
            conn.write("set-cookie: id=s3cret\r\nx-key: s3cret\r\ncontent-type: text/plain\r\n")
                .await;
            conn.write("content-length: 6\r\n\r\ns3cret").await;
        }
    })
}

/// The public types whose `Debug` this test has looked at.
#[derive(Default)]
struct Seen(BTreeSet<&'static str>);

impl Seen {
    #[track_caller]
    fn see(&mut self, name: &'static str, shown: impl Debug) {
        assert_hidden(name, shown);
        self.0.insert(name);
    }
}

#[tokio::test]
async fn no_debug_of_a_public_type_shows_a_secret() -> Result<()> {
    let mut seen = Seen::default();
    let peer = peer();
    let url = peer.url("/");
    seen.see("SessionBuilder", builder(&url));
    let moves = Arc::new(Mutex::new(Seen::default()));
    let noted = Arc::clone(&moves);
    let looking = move |request: Request<Body>, next: Next| {
        noted.lock().unwrap().see("Next", &next);
        next.run(request)
    };
    let holder = builder(&url).middleware(looking).build()?;
    seen.see("SessionHolder", &holder);
    holder.start_session().await?;
    seen.see("SessionHolder", &holder);
    seen.see("SessionScope", holder.enter_session().await?);
    let session = holder.session()?;
    seen.see("Session", &session);

    let post = || secretive(session.post("/x?s3cret#s3cret"));
    seen.see("RequestBuilder", post().body(SECRET));
    seen.see(
        "RequestBuilder",
        post()
            .form(&[("a", SECRET)])
            .basic_auth("user", Some(SECRET)),
    );
    seen.see("RequestBuilder", post().header("s3cret\n", SECRET));
    let part = Part::new(SECRET).header("x-key", SECRET);
    seen.see("Part", &part);
    let form = Form::new().text("password", SECRET).part("p", part);
    seen.see("Form", &form);
    seen.see("RequestBuilder", post().multipart(form));
    let parts = || stream::iter([Ok::<_, io::Error>(SECRET)]);
    seen.see("Body", [Body::from(SECRET), Body::wrap_stream(parts())]);
    seen.see("Body", Body::replayable(move || Body::wrap_stream(parts())));
    seen.see("Body", post().body(SECRET).build()?.body());

    let noted = Arc::clone(&moves);
    let redirects = RedirectPolicy::custom(move |attempt| {
        noted.lock().unwrap().see("RedirectAttempt", attempt);
        RedirectAction::Follow
    });
    let noted = Arc::clone(&moves);
    let retries = RetryPolicy::limited(1).retry_if(move |attempt| {
        noted.lock().unwrap().see("RetryAttempt", attempt);
        false
    });
    seen.see("RedirectPolicy", &redirects);
    seen.see("RedirectAction", RedirectAction::Follow);
    seen.see("RetryPolicy", &retries);
    seen.see("RetryBudget", RetryBudget::default());
    let get = secretive(session.get("/moved")).redirect(redirects);
    let response = get.retry(retries).send().await?;
    seen.0.append(&mut moves.lock().unwrap().0);
    seen.see("Response", &response);
    seen.see("Hop", &response.history()[0]);
    for cookie in response.cookies() {
        seen.see("Cookie", cookie);
    }
    seen.see("Timings", response.timings());
    let response = response.into_http();
    seen.see("ResponseInfo", response.extensions().get::<ResponseInfo>());
    seen.see("Body", response.body());
    drop(response);

    let jar = jar(&url);
    seen.see("CookieJar", &jar);
    seen.see("Credentials", Credentials::bearer(SECRET)?);
    seen.see("Cookie", jar.cookies());
    seen.see("DefaultConnector", DefaultConnector::new()?);
    seen.see("BoxConnector", BoxConnector::new(DefaultConnector::new()?));
    seen.see("BoxConnection", BoxConnection::from_io(io_of(SECRET)));
    seen.see("OriginStats", session.origin_stats());
    seen.see("Stats", session.stats());
    seen.see("ClosedBy", session.stats().closed_by);
    seen.see("WhenClosed", WhenClosed::default());
    let report = holder.close_session().await;
    seen.see("CloseReport", (&report, report.to_string()));

    // Errors have a test of their own.
    seen.0.extend(["Error", "ErrorKind", "TimeoutPhase"]);
    let missing: Vec<_> = public_types()
        .into_iter()
        .filter(|name| !seen.0.contains(&**name))
        .collect();
    assert!(missing.is_empty(), "not looked at: {missing:?}");
    Ok(())
}

fn io_of(bytes: &str) -> io::Cursor<Vec<u8>> {
    io::Cursor::new(bytes.into())
}

/// The names in `pub struct Name` and `pub enum Name` of all sources.
fn public_types() -> Vec<String> {
    let mut names = Vec::new();
    for file in sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src")) {
        let source = fs::read_to_string(file).unwrap();
        for line in source.lines() {
            let declared = ["pub struct ", "pub enum "];
            let declared = declared.iter().find_map(|start| line.strip_prefix(start));
            let name = declared.and_then(|rest| rest.split(|c: char| !c.is_alphanumeric()).next());
            names.extend(name.map(str::to_owned));
        }
    }
    assert!(names.len() > 20, "{names:?}");
    names
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let files = paths.flat_map(|path| {
        if path.is_dir() {
            sources(&path)
        } else {
            vec![path]
        }
    });
    files.collect()
}

/// Checks an error at each level of its chain.
#[track_caller]
fn assert_error_hides(error: &Error) {
    let mut level: Option<&dyn StdError> = Some(error);
    while let Some(error) = level {
        assert_hidden("an error's Debug", error);
        assert_hidden("an error's Display", error.to_string());
        level = error.source();
    }
}

/// Sends with all secrets and gives what that fails of, be it in the body.
async fn fail(request: RequestBuilder) -> Error {
    match secretive(request).send().await {
        Ok(response) => response.text().await.unwrap_err(),
        Err(error) => error,
    }
}

/// A peer that gives this answer, and no more.
async fn answer(answer: &'static str) -> Error {
    let peer = RawPeer::start(async move |conn, _| {
        conn.read_request().await;
        conn.write(answer).await;
    });
    let session = builder(&peer.url("/")).open().await.unwrap();
    fail(session.get("/x?s3cret").max_body(10)).await
}

const ANSWERS: [&str; 12] = [
    "HTTP/1.1 s3cret\r\n\r\n",
    "s3cret\r\n\r\n",
    "HTTP/1.1 200 OK\r\nx-key s3cret\r\n\r\n",
    "HTTP/1.1 200 OK\r\nx-key: s3cret",
    "HTTP/1.1 200 OK\r\ncontent-length: s3cret\r\n\r\n",
    "HTTP/1.1 200 OK\r\nx-key: s3cret\r\ncontent-length: 9\r\n\r\ns3cret",
    "HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\ns3cret",
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\ns3cret\r\n",
    "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\ns3cret",
    "HTTP/1.1 200 OK\r\n\r\ns3cret\u{80}\u{ff}s3cret",
    "HTTP/1.1 302 Found\r\nlocation: ftp://user:s3cret@host/x?s3cret#s3cret\r\n\r\n",
    "HTTP/1.1 302 Found\r\nlocation: http://user:s3cret@host:x/?s3cret\r\n\r\n",
];

#[tokio::test]
async fn no_error_of_any_kind_shows_a_secret() -> Result<()> {
    let mut errors = Vec::new();
    for bad in ANSWERS {
        errors.push(answer(bad).await);
    }
    let peer = peer();
    let url = peer.url("/");
    let open = async || builder(&url).open().await.unwrap();
    let session = open().await;
    let get = || session.get("/x?s3cret");

    errors.push(fail(session.get("ftp://user:s3cret@host/?s3cret")).await);
    errors.push(fail(session.get("/../x?s3cret")).await);
    errors.push(fail(get().header("x-a", "s3cret\n")).await);
    errors.push(fail(get().bearer_auth("s3cret\n")).await);
    errors.push(fail(get().cookie("id", "s3cret;")).await);
    errors.push(fail(get().query(SECRET)).await);
    errors.push(
        fail(get().multipart(Form::new().part("a", Part::new("").header("x", "s3cret\n")))).await,
    );
    errors.push(fail(get().raise_for_status(true)).await);
    let response = secretive(get()).send().await?;
    errors.push(response.error_for_status_ref().map(drop).unwrap_err());
    errors.push(response.json::<Vec<u8>>().await.unwrap_err());
    errors.push(fail(session.get("/moved").redirect(RedirectPolicy::limited(0))).await);

    let parts = stream::iter([Ok::<_, io::Error>(Bytes::from(SECRET))]);
    let short = session.post("/").header("content-length", 9);
    errors.push(fail(short.body(Body::wrap_stream(parts))).await);
    errors.push(fail(session.get("http://user:s3cret@no-such-host.invalid/?s3cret")).await);
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = format!("http://user:s3cret@{}/?s3cret", free.local_addr().unwrap());
    drop(free);
    errors.push(fail(session.get(nobody)).await);
    errors
        .push(fail(session.get(Server::text("").url("/?s3cret").replace("http:", "https:"))).await);
    let silent = RawPeer::silent();
    let silent = || session.get(silent.url("/x?s3cret"));
    let short = Duration::from_millis(20);
    errors.push(fail(silent().head_timeout(short)).await);
    errors.push(fail(silent().timeout(short)).await);
    let opened = builder(&url).on_open(|_| async { Err(io::Error::other("on purpose")) });
    errors.push(opened.open().await.unwrap_err());
    let failing = |_| async { Err::<Credentials, _>(io::Error::other("on purpose")) };
    let without = Session::builder().credentials(failing).open().await?;
    errors.push(without.get(peer.url("/x?s3cret")).send().await.unwrap_err());
    let failing = |_: Request<Body>, _: Next| async {
        Err(Error::middleware(io::Error::other("on purpose")))
    };
    let through = builder(&url).middleware(failing).open().await?;
    errors.push(fail(through.get("/x?s3cret")).await);
    session.close().await;
    errors.push(fail(get()).await);

    let outside = std::thread::spawn(move || {
        let session = block_on(builder(&url).open()).unwrap();
        block_on(secretive(session.get("/x?s3cret")).send()).unwrap_err()
    });
    errors.push(outside.join().unwrap());

    let mut kinds = BTreeSet::new();
    for error in &errors {
        assert_error_hides(error);
        let kind = format!("{:?}", error.kind());
        kinds.insert(kind.split('(').next().unwrap().to_owned());
    }
    let missing: Vec<_> = kinds_of_errors()
        .into_iter()
        .filter(|kind| !kinds.contains(kind))
        .collect();
    assert!(missing.is_empty(), "not seen: {missing:?}");
    Ok(())
}

/// The variants of `ErrorKind`, as its source has them.
fn kinds_of_errors() -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/error.rs");
    let source = fs::read_to_string(path).unwrap();
    let (_, kinds) = source.split_once("pub enum ErrorKind {").unwrap();
    let (kinds, _) = kinds.split_once("\n}").unwrap();
    let kinds = kinds.lines().map(str::trim);
    let kinds = kinds.filter(|line| line.starts_with(char::is_uppercase));
    let kinds: Vec<_> = kinds
        .map(|line| line.split(['(', ',']).next().unwrap().to_owned())
        .collect();
    assert!(
        kinds.contains(&format!("{:?}", ErrorKind::Hook)),
        "{kinds:?}"
    );
    kinds
}
