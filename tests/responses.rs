//! What is answered is what is read.

mod support;

use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use futures::{FutureExt, StreamExt, TryStreamExt};
use http::header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Request, StatusCode, Version};
use http_body_util::BodyExt;
use hyper_session::{Body, ErrorKind, Response, Result, Session, SessionHolder};
use support::raw::RawPeer;
use support::server::{self, BodySender, Server, channel_body, full, respond, status, text};
use tokio::sync::mpsc;

async fn open(server: &Server) -> Result<Session> {
    Session::builder().base_url(server.url("/")).open().await
}

/// A server whose bodies the test scripts, chunk by chunk.
fn scripted() -> (Server, mpsc::UnboundedReceiver<BodySender>) {
    let (senders, bodies) = mpsc::unbounded_channel();
    let server = Server::start(async move |request| {
        if request.uri().path() == "/echo" {
            return server::echo(request);
        }
        let (sender, body) = channel_body();
        senders.send(sender).expect("the test wants it");
        respond(StatusCode::OK, body)
    });
    (server, bodies)
}

async fn script(bodies: &mut mpsc::UnboundedReceiver<BodySender>) -> BodySender {
    bodies.recv().await.expect("the server lives")
}

/// Waits until a dropped response's connection is idle again, or gone.
async fn settled(session: &Session) {
    let settling = async {
        while session.stats().in_use > 0 {
            tokio::task::yield_now().await;
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(10), settling).await;
    in_time.expect("a dropped response's connection settles within a second");
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

#[tokio::test]
async fn the_head_tells_status_version_headers_url_length_and_address() -> Result<()> {
    let server = Server::start(async |_| {
        let mut answer = respond(StatusCode::IM_A_TEAPOT, full("short"));
        answer
            .headers_mut()
            .append(ALLOW, HeaderValue::from_static("GET"));
        answer
            .headers_mut()
            .append(ALLOW, HeaderValue::from_static("BREW"));
        answer
    });
    let session = Session::builder()
        .base_url(server.url("/v1"))
        .open()
        .await?;
    let mut answer = session
        .get("a/./b?x=ü#frag%20ment")
        .query(&[("y", 1)])
        .send()
        .await?;
    assert_eq!(answer.status(), 418);
    assert_eq!(answer.version(), Version::HTTP_11);
    assert_eq!(
        answer.headers().get_all(ALLOW).iter().collect::<Vec<_>>(),
        ["GET", "BREW"]
    );
    assert_eq!(
        answer.url().as_str(),
        server.url("/v1/a/b?x=%C3%BC&y=1#frag%20ment")
    );
    assert_eq!(answer.content_length(), Some(5));
    assert_eq!(answer.remote_addr(), Some(server.addr()));
    answer.headers_mut().clear();
    assert!(answer.headers().is_empty());
    assert_eq!(answer.text().await?, "short");
    assert_closed(session, &server, 1, 0).await;
    Ok(())
}

#[tokio::test]
async fn the_length_is_that_of_what_is_still_to_be_read() -> Result<()> {
    let server = Server::start(async |request| match request.uri().path() {
        "/chunked" => {
            let (sender, body) = channel_body();
            tokio::spawn(async move { sender.send("in chunks").await });
            respond(StatusCode::OK, body)
        }
        "/none" => status(204),
        "/same" => status(304),
        _ => text("twelve bytes"),
    });
    let session = open(&server).await?;
    let mut known = session.get("/").send().await?;
    assert_eq!(known.content_length(), Some(12));
    while known.chunk().await?.is_some() {}
    assert_eq!(known.content_length(), Some(0));
    let chunked = session.get("/chunked").send().await?;
    assert_eq!(chunked.content_length(), None);
    assert_eq!(chunked.text().await?, "in chunks");
    for (method, path) in [("HEAD", "/"), ("GET", "/none"), ("GET", "/same")] {
        let method = method.parse().expect("a method");
        let empty = session.request(method, path).send().await?;
        assert_eq!(empty.content_length(), Some(0));
        // What the header says is another thing.
        let said = empty.headers().get(CONTENT_LENGTH);
        assert_eq!(said.is_some_and(|length| length == "12"), path == "/");
        assert_eq!(empty.bytes().await?, "");
    }
    assert_closed(session, &server, 1, 4).await;
    Ok(())
}

#[tokio::test]
async fn a_refused_response_gives_its_status_and_the_head_of_its_body() -> Result<()> {
    const LIMIT: usize = 8 * 1024;
    for (length, kept, survives) in [
        (0, 0, true),
        (30, 30, true),
        (LIMIT, LIMIT, true),
        (LIMIT + 1, LIMIT, true),
        (3 * LIMIT, LIMIT, true),
        (1024 * 1024, LIMIT, false),
    ] {
        let body = Bytes::from(vec![b'x'; length]);
        let server = Server::start(async move |request| match request.uri().path() {
            "/fine" => text("fine"),
            _ => respond(StatusCode::CONFLICT, full(body.clone())),
        });
        let session = open(&server).await?;
        let answer = session.get("/wrong?token=s3cret").send().await?;
        let refused = answer.error_for_status().await.expect_err("409");
        assert_eq!(refused.kind(), ErrorKind::Status);
        assert!(refused.is_status() && refused.was_sent() && !refused.is_retryable());
        assert_eq!(refused.status(), Some(StatusCode::CONFLICT));
        assert_eq!(refused.url(), Some(&*server.url("/wrong")));
        assert_eq!(refused.body().map(<[u8]>::len), Some(kept), "of {length}");
        let shown = format!("{refused} {refused:?}");
        assert!(
            shown.contains("409 Conflict") && !shown.contains("s3cret"),
            "{shown}"
        );
        assert!(
            !shown.contains("xxx"),
            "the body is for who asks for it: {shown}"
        );

        settled(&session).await;
        assert_eq!(
            session.stats().open,
            usize::from(survives),
            "after {length}"
        );
        let fine = session
            .get("/fine")
            .send()
            .await?
            .error_for_status()
            .await?;
        assert_eq!(fine.text().await?, "fine");
        let opened = if survives { 1 } else { 2 };
        assert_eq!(server.accepted(), opened);
        session.close().await;
        server.wait_live(0).await;
    }
    Ok(())
}

#[tokio::test]
async fn a_refusal_whose_body_breaks_off_is_a_refusal_all_the_same() -> Result<()> {
    let closing = RawPeer::start(async |conn, _| {
        conn.read_request().await;
        conn.write("HTTP/1.1 500 Oh No\r\ncontent-length: 99\r\n\r\nthe start")
            .await;
    });
    let session = Session::builder().raise_for_status(true).open().await?;
    let refused = session.get(closing.url("/")).send().await.expect_err("500");
    assert_eq!(
        (refused.status(), refused.body()),
        (
            Some(StatusCode::INTERNAL_SERVER_ERROR),
            Some(&b"the start"[..])
        )
    );
    closing.wait_live(0).await;
    assert_eq!(session.close().await.stats.closed, 1);
    Ok(())
}

#[tokio::test]
async fn raising_is_the_sessions_setting_and_the_requests_own_wins() -> Result<()> {
    let server = Server::start(async |request| {
        let status = request.uri().path()[1..].parse().expect("a status");
        respond(
            StatusCode::from_u16(status).expect("a valid one"),
            full("why"),
        )
    });
    for session_raises in [None, Some(false), Some(true)] {
        let mut builder = Session::builder().base_url(server.url("/"));
        if let Some(raise) = session_raises {
            builder = builder.raise_for_status(raise);
        }
        let session = builder.open().await?;
        for request_raises in [None, Some(false), Some(true)] {
            let raises = request_raises.or(session_raises).unwrap_or(false);
            for (status, is_refusal) in [(200, false), (302, false), (400, true), (503, true)] {
                let mut request = session.get(format!("/{status}"));
                if let Some(raise) = request_raises {
                    request = request.raise_for_status(raise);
                }
                match request.send().await {
                    Ok(answer) => {
                        assert!(!(raises && is_refusal), "{status}");
                        assert_eq!(answer.status(), status);
                        assert_eq!(answer.text().await?, "why");
                    }
                    Err(error) => {
                        assert!(raises && is_refusal, "{error:?}");
                        assert_eq!(error.status().map(|status| status.as_u16()), Some(status));
                        assert_eq!(error.body(), Some(&b"why"[..]));
                    }
                }
            }
        }
        assert_closed(session, &server, 1, 11).await;
    }
    Ok(())
}

fn typed(content_type: &'static str, body: &'static [u8]) -> http::Response<server::Body> {
    let mut answer = respond(StatusCode::OK, full(body));
    answer
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

#[tokio::test]
async fn text_is_utf8_and_says_so_when_it_is_not() -> Result<()> {
    let fine: [(_, &[u8]); 7] = [
        ("text/plain", "grüße".as_bytes()),
        ("text/plain; charset=utf-8", "grüße".as_bytes()),
        ("text/plain;charset=\"UTF8\"", "grüße".as_bytes()),
        ("text/plain; a=b; Charset = us-ascii", b"plain"),
        ("text/html; charset=", b"plain"),
        ("nonsense", b""),
        ("", b"plain"),
    ];
    let wrong: [(_, &[u8], _); 2] = [
        ("text/plain", b"gr\xfc\xdfe", "not UTF-8"),
        ("text/plain; charset=utf-8", b"gr\xfc\xdfe", "not UTF-8"),
    ];
    let answers = fine.iter().map(|(kind, body)| typed(kind, body));
    let answers = answers.chain(wrong.iter().map(|(kind, body, _)| typed(kind, body)));
    let server = Server::in_turn(answers.collect::<Vec<_>>());
    let session = open(&server).await?;
    for (kind, body) in fine {
        let read = session.get("/").send().await?.text().await?;
        assert_eq!(read.as_bytes(), body, "{kind}");
    }
    for (kind, _, says) in wrong {
        let error = session
            .get("/?q=s3cret")
            .send()
            .await?
            .text()
            .await
            .expect_err(kind);
        assert_eq!(error.kind(), ErrorKind::Decode, "{kind}");
        assert!(
            error.is_decode() && error.to_string().contains(says),
            "{error}"
        );
        assert!(!format!("{error} {error:?}").contains("s3cret"));
        settled(&session).await;
    }
    assert_closed(session, &server, 1, 8).await;
    Ok(())
}

#[cfg(feature = "json")]
#[tokio::test]
async fn json_is_read_into_any_type_and_an_error_says_where_it_went_wrong() -> Result<()> {
    #[derive(Debug, PartialEq, serde::Deserialize)]
    struct City {
        name: String,
        people: Option<u32>,
    }
    let bodies = [
        "[{\"name\": \"Ulm\"}]",
        "[\n  {\"name\": 5}\n]",
        "",
        "[{\"name\": \"Ulm\"}] x",
    ];
    let server = Server::in_turn(bodies.map(text));
    let session = open(&server).await?;
    let cities: Vec<City> = session.get("/").send().await?.json().await?;
    assert_eq!(
        cities,
        [City {
            name: "Ulm".to_owned(),
            people: None
        }]
    );
    for place in ["line 2 column 12", "line 1 column 0", "line 1 column 19"] {
        let read = session
            .get("/x?q=s3cret")
            .send()
            .await?
            .json::<Vec<City>>()
            .await;
        let error = read.expect_err(place);
        assert_eq!(
            (error.kind(), error.url()),
            (ErrorKind::Decode, Some(&*server.url("/x")))
        );
        let source = std::error::Error::source(&error)
            .expect("serde_json's error")
            .to_string();
        assert!(source.ends_with(&format!("at {place}")), "{source}");
        assert!(!format!("{error} {error:?}").contains("s3cret"));
    }
    assert_closed(session, &server, 1, 3).await;
    Ok(())
}

#[tokio::test]
async fn bytes_are_all_parts_in_one_however_many_there_were() -> Result<()> {
    let (server, mut bodies) = scripted();
    let session = open(&server).await?;
    for parts in [
        &[][..],
        &["one"],
        &["one", "two"],
        &["one", "two", "three", "four"],
    ] {
        let answer = session.get("/").send().await?;
        let sender = script(&mut bodies).await;
        let sending = async {
            for part in parts {
                sender.send(*part).await.expect("the connection takes it");
            }
            drop(sender);
        };
        let (read, ()) = futures::join!(answer.bytes(), sending);
        assert_eq!(read?, parts.concat());
    }
    assert_closed(session, &server, 1, 3).await;
    Ok(())
}

#[tokio::test]
async fn chunks_come_one_by_one_and_a_dropped_wait_loses_none() -> Result<()> {
    let (server, mut bodies) = scripted();
    let session = open(&server).await?;
    let mut answer = session.get("/").send().await?;
    let sender = script(&mut bodies).await;
    for part in ["one", "two"] {
        assert!(
            answer.chunk().now_or_never().is_none(),
            "nothing was sent yet"
        );
        sender.send(part).await.expect("the connection takes it");
        assert_eq!(answer.chunk().await?.as_deref(), Some(part.as_bytes()));
    }
    assert_eq!(session.stats().in_use, 1);
    drop(sender);
    assert_eq!(answer.chunk().await?, None);
    assert_eq!((session.stats().in_use, session.stats().idle), (0, 1));
    assert_eq!(answer.chunk().await?, None, "the end stays the end");
    assert_eq!(answer.status(), 200, "the head stays");
    assert_closed(session, &server, 1, 0).await;
    Ok(())
}

#[tokio::test]
async fn a_stream_of_the_body_gives_its_connection_back_at_its_end() -> Result<()> {
    let (server, mut bodies) = scripted();
    let session = open(&server).await?;
    let mut stream = session.get("/").send().await?.bytes_stream();
    let sender = script(&mut bodies).await;
    for part in ["one", "two"] {
        sender.send(part).await.expect("the connection takes it");
        assert_eq!(stream.try_next().await?.as_deref(), Some(part.as_bytes()));
        assert_eq!(session.stats().exchanges, 1);
    }
    drop(sender);
    assert_eq!(stream.try_next().await?, None);
    assert_eq!((session.stats().exchanges, session.stats().idle), (0, 1));

    let mut broken = session.get("/").send().await?.bytes_stream();
    let sender = script(&mut bodies).await;
    sender.send("one").await.expect("the connection takes it");
    assert_eq!(broken.try_next().await?.as_deref(), Some(&b"one"[..]));
    sender
        .fail("on purpose")
        .await
        .expect("the connection takes it");
    let error = broken.try_next().await.expect_err("the body broke off");
    assert_eq!(error.kind(), ErrorKind::BodyTruncated, "{error:?}");
    assert!(broken.next().await.is_none(), "an error is the end");
    assert_eq!(error.url(), Some(&*server.url("/")));
    server.wait_live(0).await;
    assert_closed(session, &server, 1, 1).await;
    Ok(())
}

#[tokio::test]
async fn a_response_of_the_http_crate_has_the_head_and_reads_the_body() -> Result<()> {
    let (server, mut bodies) = scripted();
    let session = open(&server).await?;
    let answer = session.get("/").send().await?.into_http();
    assert_eq!(
        (answer.status(), answer.version()),
        (StatusCode::OK, Version::HTTP_11)
    );
    assert!(answer.headers().contains_key("transfer-encoding"));
    let sender = script(&mut bodies).await;
    let sending = async {
        sender.send("one").await.expect("the connection takes it");
        let trailers = HeaderMap::from_iter([(
            http::HeaderName::from_static("x-sum"),
            HeaderValue::from_static("3"),
        )]);
        sender
            .send_trailers(trailers)
            .await
            .expect("the connection takes them");
    };
    let (read, ()) = futures::join!(answer.into_body().collect(), sending);
    assert_eq!(read?.to_bytes(), "one");
    assert_eq!(session.stats().idle, 1);

    let broken = session.get("/").send().await?.into_http();
    let sender = script(&mut bodies).await;
    let failing = sender.fail("on purpose");
    let (read, failed) = futures::join!(broken.into_body().collect(), failing);
    failed.expect("the connection takes it");
    let error = read.expect_err("the body broke off");
    assert_eq!(error.kind(), ErrorKind::BodyTruncated, "{error:?}");
    assert_eq!(error.url(), Some(&*server.url("/")));
    server.wait_live(0).await;
    assert_closed(session, &server, 1, 1).await;
    Ok(())
}

#[tokio::test]
async fn a_response_is_the_body_of_another_request() -> Result<()> {
    let (server, mut bodies) = scripted();
    let session = open(&server).await?;
    let from = session.post("/echo").body("of known length").send().await?;
    let to = session.post("/echo").body(from).send().await?;
    assert_eq!(to.headers()["x-request-content-length"], "15");
    assert_eq!(to.text().await?, "of known length");

    let from = session.get("/").send().await?;
    let mut to = pin!(session.put("/echo").body(from).send());
    let sender = script(&mut bodies).await;
    let mut answer = tokio::select! {
        answer = &mut to => answer?,
        () = async { sender.send("one").await.expect("it is taken"); std::future::pending().await } => unreachable!(),
    };
    assert_eq!(answer.headers()["x-request-transfer-encoding"], "chunked");
    assert_eq!(answer.chunk().await?.as_deref(), Some(&b"one"[..]));
    assert_eq!((session.stats().in_use, session.stats().exchanges), (2, 2));
    sender.send("two").await.expect("it is taken");
    assert_eq!(answer.chunk().await?.as_deref(), Some(&b"two"[..]));
    drop(sender);
    assert_eq!(answer.chunk().await?, None);
    settled(&session).await;
    assert_eq!((session.stats().idle, session.stats().exchanges), (2, 0));

    // From a service to a service.
    let from = Request::get("/echo")
        .body(Body::from("x"))
        .expect("a valid request");
    let from = tower::ServiceExt::oneshot(session.clone(), from).await?;
    let to = Request::put("/echo")
        .body(from.into_body())
        .expect("a valid request");
    assert_eq!(session.execute(to).await?.text().await?, "x");
    assert_eq!(server.accepted(), 2);
    let report = session.close().await;
    assert_eq!((report.stats.opened, report.stats.closed), (2, 2));
    server.wait_live(0).await;
    Ok(())
}

#[tokio::test]
async fn a_response_is_read_to_its_end_after_every_handle_was_dropped() -> Result<()> {
    async fn answer_of(server: &Server, open: bool) -> Result<Response> {
        let holder = SessionHolder::builder().base_url(server.url("/")).build()?;
        if open {
            holder.start_session().await?;
        }
        let session = holder.session();
        assert_eq!(session.is_ok(), open);
        holder.get("/").send().await
    }
    let (server, mut bodies) = scripted();
    for open in [true, false] {
        let mut answer = answer_of(&server, open).await?;
        let sender = script(&mut bodies).await;
        sender.send("one").await.expect("the connection takes it");
        assert_eq!(answer.chunk().await?.as_deref(), Some(&b"one"[..]));
        assert_eq!(server.live(), 1);
        sender.send("two").await.expect("the connection takes it");
        drop(sender);
        assert_eq!(answer.bytes().await?, "two");
        server.wait_live(0).await;
    }
    assert_eq!(server.accepted(), 2);
    Ok(())
}

#[tokio::test]
async fn a_peer_that_breaks_http_gives_a_typed_error_and_the_next_request_is_fine() -> Result<()> {
    let faults: [(&[u8], ErrorKind); 9] = [
        (b"", ErrorKind::Protocol),
        (b"HTTP/1.1 200 OK\r\nconte", ErrorKind::Protocol),
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", ErrorKind::Protocol),
        (
            b"HTTP/1.1 200 OK\r\nbad header\r\n\r\n",
            ErrorKind::Protocol,
        ),
        (
            b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx",
            ErrorKind::Protocol,
        ),
        (
            b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
            ErrorKind::Protocol,
        ),
        (
            b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf",
            ErrorKind::BodyTruncated,
        ),
        (
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhalf",
            ErrorKind::BodyTruncated,
        ),
        (
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n",
            ErrorKind::Protocol,
        ),
    ];
    for (answer, kind) in faults {
        for resets in [false, true] {
            let peer = RawPeer::start(async move |conn, number| {
                conn.read_request().await;
                if number > 0 {
                    conn.write("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfine")
                        .await;
                    return;
                }
                conn.write(answer).await;
                // What has been written is lost with a reset, which is then what the client sees.
                if resets && answer.is_empty() {
                    conn.reset();
                }
            });
            let session = Session::builder().open().await?;
            let read = match session.post(peer.url("/x?t=s3cret")).body("x").send().await {
                Ok(answer) => answer.bytes().await,
                Err(error) => Err(error),
            };
            let error = read.expect_err("a broken answer");
            let shown = String::from_utf8_lossy(answer);
            assert_eq!(error.kind(), kind, "{shown}: {error:?}");
            assert!(
                error.was_sent() && !error.is_retryable(),
                "{shown}: {error:?}"
            );
            assert_eq!(error.url(), Some(&*peer.url("/x")));
            assert!(!format!("{error} {error:?}").contains("s3cret"));
            assert_eq!(session.stats().open, 0, "{shown}");
            assert_eq!(
                session.get(peer.url("/")).send().await?.text().await?,
                "fine"
            );
            assert_eq!((peer.accepted(), peer.requests()), (2, 2));
            session.close().await;
            peer.wait_live(0).await;
        }
    }
    Ok(())
}

#[cfg(feature = "json")]
#[tokio::test]
async fn an_answer_that_cannot_be_decoded_was_sent_for() -> Result<()> {
    let server = Server::text("no json");
    let session = Session::builder().open().await?;
    let answer = session.get(server.url("/")).send().await?;
    let error = answer.json::<Vec<u8>>().await.expect_err("it is no array");
    assert!(error.is_decode() && error.was_sent());
    Ok(())
}
