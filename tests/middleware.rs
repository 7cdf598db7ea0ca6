//! Code around each request: what it sees, what it can do, and that retries, credentials and cookies can
//! be made of it.
#![allow(clippy::unwrap_used, reason = "a test that fails here has its line")]

mod support;

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, LOCATION, SET_COOKIE, USER_AGENT};
use http::{HeaderMap, HeaderValue, Request, StatusCode, Uri};
use http_body_util::BodyExt;
use hyper_session::{
    Body, BoxFuture, ErrorKind, Middleware, Next, RedirectPolicy, Response, Result, RetryPolicy,
    Session, SessionHolder, TimeoutPhase,
};
use tokio::time::{Instant, sleep};
use tower::{Service, ServiceExt};

use support::accounts::{Accounts, assert_accounts};
use support::connectors::Memory;
use support::outcome::expect_kind;
use support::server::{Server, full, respond};

/// Notes when requests go in, and how they come out.
struct Note {
    name: &'static str,
    log: Arc<Mutex<Vec<String>>>,
}

impl Middleware for Note {
    fn handle(&self, request: Request<Body>, next: Next) -> BoxFuture<'_, Result<Response>> {
        Box::pin(async move {
            let (name, uri) = (self.name, request.uri().clone());
            self.log.lock().unwrap().push(format!("{name} in: {uri}"));
            let answer = next.run(request).await;
            let outcome = match &answer {
                Ok(response) => response.status().to_string(),
                Err(error) => format!("{:?}", error.kind()),
            };
            self.log
                .lock()
                .unwrap()
                .push(format!("{name} out: {outcome}"));
            answer
        })
    }
}

#[tokio::test]
async fn they_stand_in_their_order_around_the_whole_of_a_request() -> Result<()> {
    let server = Server::start(async |request: Request<_>| match request.uri().path() {
        "/from" => {
            let mut answer = respond(StatusCode::FOUND, full(""));
            let there = HeaderValue::from_static("/to");
            answer.headers_mut().insert(LOCATION, there);
            answer
        }
        _ => respond(StatusCode::NOT_FOUND, full("no")),
    });
    let log = Arc::default();
    let note = |name| Note {
        name,
        log: Arc::clone(&log),
    };
    let session = Session::builder()
        .base_url(server.url("/"))
        .raise_for_status(true)
        .middleware(note("first"))
        .middleware(note("second"))
        .open()
        .await?;
    let request = session.get("from?a=b#part");
    let error = expect_kind(request.send().await, ErrorKind::Status);
    assert_eq!(error.url(), Some(&*server.url("/to")));
    let from = server.url("/from?a=b");
    assert_eq!(
        *log.lock().unwrap(),
        [
            format!("first in: {from}"),
            format!("second in: {from}"),
            "second out: 404 Not Found".to_owned(),
            "first out: 404 Not Found".to_owned(),
        ]
    );
    // The URL keeps what a URI has not.
    let answer = session.get("from#part").raise_for_status(false);
    let answer = answer.send().await?;
    assert_eq!(answer.url().as_str(), server.url("/to#part"));
    assert_eq!(answer.history().len(), 1);
    drop(answer);

    // However the request comes.
    log.lock().unwrap().clear();
    let request = || Request::get(server.url("/x")).body(Body::empty()).unwrap();
    expect_kind(session.execute(request()).await, ErrorKind::Status);
    let mut service = session.clone();
    expect_kind(
        service.ready().await?.call(request()).await,
        ErrorKind::Status,
    );
    assert_eq!(log.lock().unwrap().len(), 8);
    assert_accounts(&session.stats(), Accounts::idle(1));
    Ok(())
}

#[tokio::test]
async fn it_sees_what_the_caller_set_and_changes_what_goes_out() -> Result<()> {
    let server = Server::echo();
    let seen = Arc::new(Mutex::new(HeaderMap::new()));
    let log = Arc::clone(&seen);
    let session = Session::builder()
        .base_url(server.url("/"))
        .user_agent("tester")
        .middleware(move |mut request: Request<Body>, next: Next| {
            *log.lock().unwrap() = request.headers().clone();
            assert_eq!(request.extensions().get(), Some(&7u32));
            assert_eq!(request.body().as_bytes(), Some(&b"text"[..]));
            let changed = format!("{}&signed=yes", request.uri());
            *request.uri_mut() = changed.parse().unwrap();
            request
                .headers_mut()
                .insert("x-mine", HeaderValue::from_static("new"));
            *request.body_mut() = Body::from("other text");
            async move {
                let mut response = next.run(request).await?;
                let added = HeaderValue::from_static("added");
                response.headers_mut().insert("x-added", added);
                Ok(response)
            }
        })
        .open()
        .await?;
    let request = session.post("path").query(&[("a", "b")]).body("text");
    let request = request.header("x-mine", "old").extension(7u32);
    let answer = request.send().await?;
    assert_eq!(answer.headers()["x-added"], "added");
    assert_eq!(answer.headers()["x-uri"], "/path?a=b&signed=yes");
    assert_eq!(answer.headers()["x-request-x-mine"], "new");
    assert_eq!(answer.headers()["x-request-user-agent"], "tester");
    assert_eq!(answer.text().await?, "other text");
    let seen = seen.lock().unwrap();
    assert_eq!(seen["x-mine"], "old");
    assert!(!seen.contains_key(USER_AGENT));
    Ok(())
}

/// Requests whose bodies say what they are, each in its way.
async fn described(session: &Session) -> Result<Vec<hyper_session::RequestBuilder>> {
    let body = Body::file(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).await?;
    Ok(vec![
        #[cfg(feature = "json")]
        session.post("/x").json(&1),
        session.post("/x").form(&[("a", "b")]),
        #[cfg(feature = "multipart")]
        session
            .post("/x")
            .multipart(hyper_session::multipart::Form::new()),
        session.post("/x").body(body.on_progress(|_, _| {})),
    ])
}

#[tokio::test]
async fn what_it_sees_of_a_body_is_what_is_sent_and_what_it_removes_stays_away() -> Result<()> {
    let server = Server::echo();
    let removing = |mut request: Request<Body>, next: Next| {
        let removed = request.headers_mut().remove(CONTENT_TYPE);
        async move {
            let mut answer = next.run(request).await?;
            answer.headers_mut().insert("x-removed", removed.unwrap());
            Ok(answer)
        }
    };
    let builder = || Session::builder().base_url(server.url("/"));
    let plain = builder().open().await?;
    let session = builder().middleware(removing).open().await?;
    for request in described(&session).await? {
        let answer = request.send().await?;
        let left = answer.headers().get("x-request-content-type");
        assert_eq!(left, None, "{:?}", answer.headers()["x-removed"]);
    }
    // So it is with a request that is built first.
    for request in described(&plain).await? {
        let mut built = request.build()?;
        let removed = built.headers_mut().remove(CONTENT_TYPE);
        assert!(removed.is_some());
        let answer = plain.execute(built).await?;
        let left = answer.headers().get("x-request-content-type");
        assert_eq!(left, None, "{removed:?}");
    }
    Ok(())
}

#[cfg(feature = "multipart")]
#[tokio::test]
async fn a_body_that_it_puts_in_says_what_it_is_unless_the_request_does() -> Result<()> {
    let server = Server::echo();
    let replacing = |mut request: Request<Body>, next: Next| async move {
        *request.body_mut() = hyper_session::multipart::Form::new().into_body()?;
        next.run(request).await
    };
    let builder = Session::builder().base_url(server.url("/"));
    let session = builder.middleware(replacing).open().await?;
    let answer = session.post("/").body("text").send().await?;
    let kind = answer.headers()["x-request-content-type"].to_str().unwrap();
    assert!(kind.starts_with("multipart/form-data; boundary="), "{kind}");
    let own = session.post("/").header(CONTENT_TYPE, "own").send().await?;
    assert_eq!(own.headers()["x-request-content-type"], "own");
    Ok(())
}

#[tokio::test]
async fn what_it_makes_of_a_request_is_checked() -> Result<()> {
    let server = Server::echo();
    let session = Session::builder()
        .base_url(server.url("/"))
        .middleware(|mut request: Request<Body>, next: Next| {
            match request.uri().path() {
                "/scheme" => *request.uri_mut() = Uri::from_static("ftp://host/"),
                "/length" => {
                    let wrong = HeaderValue::from_static("7");
                    request.headers_mut().insert("content-length", wrong);
                }
                _ => {}
            }
            next.run(request)
        })
        .open()
        .await?;
    expect_kind(session.get("scheme").send().await, ErrorKind::Url);
    let request = session.post("length").body("text");
    expect_kind(request.send().await, ErrorKind::Builder);
    assert_eq!(session.get("fine").send().await?.status(), 200);
    assert_eq!(server.requests(), 1);
    Ok(())
}

#[tokio::test]
async fn it_may_answer_itself() -> Result<()> {
    let session = Session::builder()
        .base_url("http://nowhere.test")
        .middleware(|request: Request<Body>, _: Next| async move {
            let body = format!("{} from the cache", request.uri().path());
            let answer = http::Response::builder().status(203).body(body.into());
            Ok(Response::from(answer.unwrap()))
        })
        .open()
        .await?;
    let answer = session.get("/page#part").send().await?;
    assert_eq!(answer.status(), 203);
    assert_eq!(answer.url().as_str(), "http://nowhere.test/page");
    assert_eq!(answer.content_length(), Some(20));
    assert_eq!(answer.timings(), hyper_session::Timings::default());
    assert_eq!(answer.remote_addr(), None);
    assert_eq!(answer.text().await?, "/page from the cache");
    let limited = session.get("/page").send().await?;
    assert_eq!(
        limited
            .into_http()
            .into_body()
            .collect()
            .await?
            .to_bytes()
            .len(),
        20
    );
    assert_accounts(&session.stats(), Accounts::default());
    assert_eq!(session.stats().requests, 0);
    Ok(())
}

#[tokio::test]
async fn a_response_that_was_made_has_no_url_of_its_own() {
    let made = Response::from(http::Response::new(Body::from("text")));
    assert_eq!(made.url().as_str(), "about:blank");
    assert!(made.history().is_empty());
    let refused = http::Response::builder()
        .status(500)
        .body(Body::from("why"));
    let error = Response::from(refused.unwrap()).error_for_status().await;
    let error = expect_kind(error, ErrorKind::Status);
    assert_eq!(error.url(), None);
    assert_eq!(error.body(), Some(&b"why"[..]));
}

#[tokio::test]
async fn an_error_of_its_own_is_one_of_the_request() -> Result<()> {
    let session = Session::builder()
        .middleware(|_: Request<Body>, _: Next| async {
            Err(hyper_session::Error::middleware(io::Error::other(
                "broken circuit",
            )))
        })
        .open()
        .await?;
    let request = session.get("http://nowhere.test/x?secret=yes");
    let error = expect_kind(request.send().await, ErrorKind::Middleware);
    assert_eq!(error.url(), Some("http://nowhere.test/x"));
    assert!(!error.was_sent());
    let source = std::error::Error::source(&error).unwrap();
    let source: &io::Error = source.downcast_ref().unwrap();
    assert_eq!(source.to_string(), "broken circuit");
    Ok(())
}

#[tokio::test]
async fn an_error_after_an_answer_says_that_the_request_was_sent() -> Result<()> {
    let server = Server::text("hello");
    let session = Session::builder()
        .middleware(|request: Request<Body>, next: Next| async move {
            next.run(request).await?;
            Err(hyper_session::Error::middleware("a wrong checksum"))
        })
        .open()
        .await?;
    let sent = session.get(server.url("/")).send().await;
    let error = expect_kind(sent, ErrorKind::Middleware);
    assert!(error.was_sent());
    let sent = session.get("http://127.0.0.1:1/").send().await;
    assert!(!expect_kind(sent, ErrorKind::Connect).was_sent());
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn the_time_of_the_request_is_that_of_all_middleware() -> Result<()> {
    let session = Session::builder()
        .connector(Memory::scripted(|end, _| async {
            std::future::pending::<()>().await;
            drop(end);
        }))
        .middleware(|request: Request<Body>, next: Next| async move {
            sleep(Duration::from_secs(2)).await;
            let first = next.clone().run(request).await;
            assert!(first.unwrap_err().is_timeout());
            std::future::pending().await
        })
        .open()
        .await?;
    let begin = Instant::now();
    let request = session.get("http://silent.test/");
    let request = request
        .timeout(Duration::from_secs(9))
        .head_timeout(Duration::from_secs(3));
    let total = ErrorKind::Timeout(TimeoutPhase::Total);
    expect_kind(request.send().await, total);
    assert_eq!(begin.elapsed(), Duration::from_secs(9));
    assert_accounts(&session.stats(), Accounts::default());
    Ok(())
}

#[tokio::test]
async fn it_may_go_on_in_a_task_and_keeps_the_session_open() -> Result<()> {
    let server = Server::text("hello");
    let session = Session::builder()
        .base_url(server.url("/"))
        .middleware(|request: Request<Body>, next: Next| async move {
            tokio::spawn(next.run(request)).await.unwrap()
        })
        .open()
        .await?;
    let answer = session.get("").send();
    let answer = answer.await?;
    drop(session);
    assert_eq!(answer.text().await?, "hello");
    server.wait_live(0).await;
    Ok(())
}

#[tokio::test]
async fn sessions_of_a_holder_all_have_it() -> Result<()> {
    let server = Server::echo();
    let holder: SessionHolder = SessionHolder::builder()
        .base_url(server.url("/"))
        .middleware(|mut request: Request<Body>, next: Next| {
            request
                .headers_mut()
                .insert("x-mine", HeaderValue::from_static("yes"));
            next.run(request)
        })
        .build()?;
    let sent = holder.get("").send().await?;
    assert_eq!(sent.headers()["x-request-x-mine"], "yes");
    drop(sent);
    holder.start_session().await?;
    let derived = holder
        .session()
        .unwrap()
        .with_default_headers(HeaderMap::new());
    for request in [holder.get(""), derived.get("")] {
        let sent = request.send().await?;
        assert_eq!(sent.headers()["x-request-x-mine"], "yes");
    }
    holder.close_session().await;
    Ok(())
}

// That it suffices for what others build into clients.

/// Tries a request again that got a 503.
async fn retry(request: Request<Body>, next: Next) -> Result<Response> {
    let (head, body) = request.into_parts();
    for _ in 0..3 {
        let Some(again) = body.try_clone() else { break };
        let answer = next
            .clone()
            .run(Request::from_parts(head.clone(), again))
            .await?;
        if answer.status() != StatusCode::SERVICE_UNAVAILABLE {
            return Ok(answer);
        }
    }
    next.run(Request::from_parts(head, body)).await
}

#[tokio::test]
async fn retries_can_be_made_of_it() -> Result<()> {
    let answers = [503, 503, 200].map(|code| {
        let status = StatusCode::from_u16(code).unwrap();
        respond(status, full("text"))
    });
    let server = Server::in_turn(answers);
    let session = Session::builder().middleware(retry).open().await?;
    let request = session.put(server.url("/")).body("body");
    assert_eq!(request.send().await?.text().await?, "text");
    assert_eq!(server.requests(), 3);
    assert_accounts(&session.stats(), Accounts::idle(1));
    Ok(())
}

/// Puts a token on each request, and fetches a new one, one request at a time, when it is refused.
#[derive(Default)]
struct Tokens {
    token: tokio::sync::Mutex<Option<String>>,
}

impl Tokens {
    async fn token(&self, refused: Option<&str>, uri: &Uri, next: &Next) -> Result<String> {
        let mut token = self.token.lock().await;
        if token.is_none() || token.as_deref() == refused {
            let fetch = Request::get(format!("http://{}/token", uri.authority().unwrap()));
            let fetch = fetch.body(Body::empty()).unwrap();
            *token = Some(next.clone().run(fetch).await?.text().await?);
        }
        Ok(token.clone().unwrap())
    }
}

impl Middleware for Tokens {
    fn handle(&self, request: Request<Body>, next: Next) -> BoxFuture<'_, Result<Response>> {
        Box::pin(async move {
            let uri = request.uri().clone();
            let (mut head, body) = request.into_parts();
            let mut token = self.token(None, &uri, &next).await?;
            let again = body.try_clone();
            head.headers.insert(AUTHORIZATION, token.parse().unwrap());
            let answer = next
                .clone()
                .run(Request::from_parts(head.clone(), body))
                .await?;
            match again {
                Some(body) if answer.status() == StatusCode::UNAUTHORIZED => {
                    drop(answer);
                    token = self.token(Some(&token), &uri, &next).await?;
                    head.headers.insert(AUTHORIZATION, token.parse().unwrap());
                    next.run(Request::from_parts(head, body)).await
                }
                _ => Ok(answer),
            }
        })
    }
}

#[tokio::test]
async fn credentials_that_refresh_can_be_made_of_it() -> Result<()> {
    let server = Server::start({
        let issued = Arc::new(Mutex::new(0));
        async move |request: Request<_>| {
            let mut issued = issued.lock().unwrap();
            if request.uri().path() == "/token" {
                *issued += 1;
                return respond(StatusCode::OK, full(format!("t{issued}")));
            }
            let good = format!("t{}", 2.max(*issued));
            let is_good = request
                .headers()
                .get(AUTHORIZATION)
                .is_some_and(|value| *value == *good);
            let status = if is_good {
                StatusCode::OK
            } else {
                StatusCode::UNAUTHORIZED
            };
            respond(status, full(good))
        }
    });
    let builder = Session::builder().base_url(server.url("/"));
    let session = builder.middleware(Tokens::default()).open().await?;
    let requests = (0..20).map(|_| session.post("").body("x").send());
    for answer in futures::future::join_all(requests).await {
        assert_eq!(answer?.text().await?, "t2");
    }
    assert_eq!(session.get("token").send().await?.text().await?, "t3");
    Ok(())
}

/// Keeps a cookie of each name for all, from one hop to the next.
#[derive(Default)]
struct Cookies {
    kept: Mutex<HashMap<String, String>>,
}

impl Cookies {
    fn header(&self) -> Option<HeaderValue> {
        let kept = self.kept.lock().unwrap();
        let pairs: Vec<_> = kept
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        (!pairs.is_empty()).then(|| pairs.join("; ").parse().unwrap())
    }
}

impl Middleware for Cookies {
    fn handle(&self, request: Request<Body>, next: Next) -> BoxFuture<'_, Result<Response>> {
        Box::pin(async move {
            let (mut head, body) = request.into_parts();
            loop {
                if let Some(cookies) = self.header() {
                    head.headers.insert(COOKIE, cookies);
                }
                let request = Request::from_parts(head.clone(), body.try_clone().unwrap());
                let answer = next.clone().run(request).await?;
                for set in answer.headers().get_all(SET_COOKIE) {
                    let (name, value) = set.to_str().unwrap().split_once('=').unwrap();
                    self.kept.lock().unwrap().insert(name.into(), value.into());
                }
                let Some(there) = answer.headers().get(LOCATION) else {
                    return Ok(answer);
                };
                let there = answer.url().join(there.to_str().unwrap()).unwrap();
                head.uri = there.as_str().parse().unwrap();
            }
        })
    }
}

#[tokio::test]
async fn cookies_can_be_made_of_it() -> Result<()> {
    let server = Server::start(async |request: Request<_>| {
        let sent = request
            .headers()
            .get(COOKIE)
            .map_or("", |value| value.to_str().unwrap());
        let mut answer = respond(StatusCode::OK, full(sent.to_owned()));
        if request.uri().path() == "/login" {
            *answer.status_mut() = StatusCode::FOUND;
            answer
                .headers_mut()
                .insert(SET_COOKIE, HeaderValue::from_static("id=7"));
            answer
                .headers_mut()
                .insert(LOCATION, HeaderValue::from_static("/home"));
        }
        answer
    });
    let builder = Session::builder().base_url(server.url("/"));
    let builder = builder.redirect(RedirectPolicy::none());
    let session = builder.middleware(Cookies::default()).open().await?;
    let home = session.get("login").send().await?;
    assert_eq!(home.url().path(), "/home");
    assert_eq!(home.text().await?, "id=7");
    assert_eq!(session.get("x").send().await?.text().await?, "id=7");
    Ok(())
}

#[tokio::test]
async fn retries_of_the_session_are_within_it() -> Result<()> {
    let answers = [503, 200].map(|code| {
        let status = StatusCode::from_u16(code).unwrap();
        respond(status, full("text"))
    });
    let server = Server::in_turn(answers);
    let log = Arc::default();
    let note = Note {
        name: "note",
        log: Arc::clone(&log),
    };
    let builder = Session::builder().retry(RetryPolicy::limited(1));
    let session = builder.middleware(note).open().await?;
    assert_eq!(session.get(server.url("/")).send().await?.status(), 200);
    assert_eq!(log.lock().unwrap().len(), 2);
    Ok(())
}

/// Sets another URI, and takes away or sets an `Authorization`.
struct Move(String, Change);

type Change = fn(&mut HeaderMap);

impl Middleware for Move {
    fn handle(&self, mut request: Request<Body>, next: Next) -> BoxFuture<'_, Result<Response>> {
        *request.uri_mut() = self.0.parse().unwrap();
        self.1(request.headers_mut());
        Box::pin(next.run(request))
    }
}

#[tokio::test]
async fn a_request_that_is_moved_leaves_behind_what_was_of_its_url() -> Result<()> {
    let (one, other) = (Server::echo(), Server::echo());
    let named = |server: &Server, user_info: &str| server.url("/x#part").replace("//", user_info);
    let base = || one.url("/").replace("//", "//base:b@");
    let (of_url, of_base) = (Some("Basic dTpw"), Some("Basic YmFzZTpi"));
    let keeps: Change = |_| {};
    let removes: Change = |headers| drop(headers.remove(AUTHORIZATION));
    let sets: Change = |headers| {
        headers.insert(AUTHORIZATION, HeaderValue::from_static("Own x"));
    };
    for (from, to, change, arrives, fragment) in [
        (
            named(&one, "//u:p@"),
            one.url("/x"),
            keeps,
            of_url,
            Some("part"),
        ),
        (named(&one, "//u:p@"), one.url("/y"), keeps, of_url, None),
        (named(&one, "//u:p@"), "/y".to_owned(), keeps, of_url, None),
        (named(&one, "//u:p@"), other.url("/y"), keeps, None, None),
        (
            named(&one, "//u:p@"),
            one.url_by("localhost", "/y"),
            keeps,
            None,
            None,
        ),
        (
            named(&one, "//u:p@"),
            named(&other, "//base:b@"),
            keeps,
            of_base,
            None,
        ),
        (
            named(&one, "//u:p@"),
            named(&one, "//base:b@"),
            keeps,
            of_base,
            Some("part"),
        ),
        (
            named(&one, "//u:p@"),
            other.url("/y"),
            sets,
            Some("Own x"),
            None,
        ),
        // Those of the base as well.
        (named(&one, "//"), one.url("/y"), keeps, of_base, None),
        (named(&one, "//"), other.url("/y"), keeps, None, None),
        (named(&other, "//"), one.url("/y"), keeps, of_base, None),
        (named(&other, "//u:p@"), one.url("/y"), keeps, of_base, None),
        // What it removes stays away.
        (named(&one, "//"), one.url("/y"), removes, None, None),
        (named(&one, "//"), "/y".to_owned(), removes, None, None),
    ] {
        let told = format!("{from} to {to}");
        let session = Session::builder().base_url(base());
        let moving = session.middleware(Move(to.clone(), change)).open().await?;
        let answer = moving.get(&from).send().await?;
        let seen = |answer: &Response| {
            let seen = answer.headers().get("x-request-authorization");
            seen.map(|value| value.to_str().unwrap().to_owned())
        };
        assert_eq!(seen(&answer).as_deref(), arrives, "{told}");
        assert_eq!(answer.url().fragment(), fragment, "{told}");

        // One that was built is moved by its caller.
        let session = Session::builder().base_url(base()).open().await?;
        let mut built = session.get(&from).build()?;
        *built.uri_mut() = to.parse().unwrap();
        change(built.headers_mut());
        let answer = session.execute(built).await?;
        assert_eq!(seen(&answer).as_deref(), arrives, "built: {told}");
        assert_eq!(answer.url().fragment(), fragment, "built: {told}");
    }
    Ok(())
}
