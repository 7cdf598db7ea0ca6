//! What was coded for the way is decoded, and nothing else is touched.
#![cfg(all(
    feature = "gzip",
    feature = "deflate",
    feature = "brotli",
    feature = "zstd"
))]
#![allow(clippy::unwrap_used, reason = "a test that fails here has its line")]

mod support;

use std::error::Error as _;

use bytes::Bytes;
use futures::TryStreamExt;
use http::header::{
    ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, RANGE,
};
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt;
use hyper_session::{Body, Error, ErrorKind, Response, Result, Session};
use support::accounts::{Accounts, assert_accounts};
use support::coding::{CODINGS, brotli, code, deflate, gzip, raw_deflate, windowed, zstd};
use support::raw::RawPeer;
use support::server::{self, Server, channel_body, full, respond, status, text};

const ALL: &str = "gzip, deflate, br, zstd";

/// A text that does not fit one part.
fn long_text() -> String {
    let mut dice = fastrand::Rng::with_seed(7);
    let words = ["lorem", "ipsum", "dolor", "sit", "amet"];
    let mut text = String::new();
    while text.len() < 300_000 {
        text.push_str(words[dice.usize(..words.len())]);
        text.push_str(&dice.u16(..).to_string());
    }
    text
}

fn coded(codings: &'static str, body: impl Into<Bytes>) -> http::Response<server::Body> {
    let mut answer = respond(StatusCode::OK, full(body));
    let codings = HeaderValue::from_static(codings);
    answer.headers_mut().insert(CONTENT_ENCODING, codings);
    answer
}

/// A server that always answers with this body and `Content-Encoding`.
fn serving(codings: &'static str, body: impl Into<Bytes>) -> Server {
    let body = body.into();
    Server::start(async move |_| coded(codings, body.clone()))
}

async fn open(server: &Server) -> Result<Session> {
    Session::builder().base_url(server.url("/")).open().await
}

async fn get(server: &Server) -> Result<Response> {
    open(server).await?.get("").send().await
}

#[track_caller]
fn assert_undecoded(error: &Error, message: &str) {
    assert_eq!(error.kind(), ErrorKind::Decode, "{error:?}");
    assert!(error.to_string().starts_with(message), "{error}");
    assert!(error.was_sent());
    assert!(error.url().is_some());
}

#[tokio::test]
async fn each_coding_is_undone_and_the_connection_goes_back() -> Result<()> {
    for text in ["", "short", &long_text()] {
        for coding in CODINGS {
            let server = serving(coding, code(coding, text.as_bytes()));
            let session = open(&server).await?;
            for reused in 0..3 {
                let answer = session.get("").send().await?;
                assert_eq!(answer.content_length(), None);
                assert!(!answer.headers().contains_key(CONTENT_ENCODING));
                assert!(!answer.headers().contains_key(CONTENT_LENGTH));
                assert_eq!(answer.text().await?, text, "{coding}");
                assert_accounts(&session.stats(), Accounts::idle(1));
                assert_eq!(session.stats().reused, reused, "{coding}");
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_body_is_decoded_however_it_is_read() -> Result<()> {
    let text = long_text();
    let server = serving("zstd", zstd(text.as_bytes()));
    let mut parts = get(&server).await?;
    let mut read = Vec::new();
    while let Some(part) = parts.chunk().await? {
        assert!(part.len() <= 64 * 1024);
        read.extend_from_slice(&part);
    }
    assert_eq!(read, text.as_bytes());
    assert_eq!(parts.content_length(), Some(0));
    assert_eq!(parts.chunk().await?, None);

    let streamed: Vec<Bytes> = get(&server).await?.bytes_stream().try_collect().await?;
    assert_eq!(streamed.concat(), text.as_bytes());
    let collected = get(&server).await?.into_http().collect().await?;
    assert_eq!(collected.to_bytes(), text);
    Ok(())
}

#[tokio::test]
async fn a_body_that_comes_byte_by_byte_is_decoded() -> Result<()> {
    for coding in CODINGS {
        let body = code(coding, b"byte by byte");
        let server = Server::start(async move |_| {
            let (sender, answer) = channel_body();
            let body = body.clone();
            tokio::spawn(async move {
                for byte in body {
                    sender.send(vec![byte]).await.unwrap();
                }
            });
            let mut answer = respond(StatusCode::OK, answer);
            let value = HeaderValue::from_static(coding);
            answer.headers_mut().insert(CONTENT_ENCODING, value);
            answer
        });
        assert_eq!(
            get(&server).await?.text().await?,
            "byte by byte",
            "{coding}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn names_are_read_as_the_rfc_has_them() -> Result<()> {
    for name in [
        "x-gzip",
        "GZip",
        "identity, gzip",
        "gzip,,",
        " gzip , identity",
    ] {
        let answer = get(&serving(name, gzip(b"text"))).await?;
        assert_eq!(answer.text().await?, "text", "{name}");
    }
    let answer = get(&serving("Identity", "text")).await?;
    assert_eq!(answer.headers()[CONTENT_ENCODING], "Identity");
    assert_eq!(answer.content_length(), Some(4));
    assert_eq!(answer.text().await?, "text");
    Ok(())
}

#[tokio::test]
async fn codings_are_undone_from_the_last_to_the_first() -> Result<()> {
    let text = long_text();
    let twice = get(&serving("gzip, br", brotli(&gzip(text.as_bytes())))).await?;
    assert_eq!(twice.text().await?, text);
    let layers = zstd(&brotli(&deflate(&gzip(text.as_bytes()))));
    let lines = Server::start(async move |_| {
        let mut answer = coded("gzip", layers.clone());
        for coding in ["deflate, br", "zstd"] {
            let value = HeaderValue::from_static(coding);
            answer.headers_mut().append(CONTENT_ENCODING, value);
        }
        answer
    });
    let answer = get(&lines).await?;
    assert!(!answer.headers().contains_key(CONTENT_ENCODING));
    assert_eq!(answer.text().await?, text);
    Ok(())
}

#[tokio::test]
async fn what_is_not_built_in_is_left_as_it_is() -> Result<()> {
    for names in [
        "compress",
        "gzip, aes128gcm",
        "aes128gcm, gzip",
        "gzip;q=1",
        "gzip, gzip, gzip, gzip, gzip",
    ] {
        let body = gzip(b"text");
        let answer = get(&serving(names, body.clone())).await?;
        assert_eq!(answer.headers()[CONTENT_ENCODING], names);
        assert_eq!(answer.content_length(), Some(body.len() as u64));
        assert_eq!(answer.bytes().await?, body);
    }
    Ok(())
}

#[tokio::test]
async fn members_and_frames_follow_one_another() -> Result<()> {
    let mut members = gzip(b"one, ");
    members.extend(gzip(b""));
    members.extend(gzip(b"two"));
    assert_eq!(
        get(&serving("gzip", members)).await?.text().await?,
        "one, two"
    );
    let mut frames = zstd(b"one, ");
    frames.extend(b"\x50\x2a\x4d\x18\x03\0\0\0abc"); // to be skipped
    frames.extend(zstd(b"two"));
    assert_eq!(
        get(&serving("zstd", frames)).await?.text().await?,
        "one, two"
    );
    Ok(())
}

#[tokio::test]
async fn deflate_is_taken_with_and_without_its_header() -> Result<()> {
    let text = long_text();
    for body in [deflate(text.as_bytes()), raw_deflate(text.as_bytes())] {
        assert_eq!(get(&serving("deflate", body)).await?.text().await?, text);
    }
    assert_eq!(
        get(&serving("deflate", raw_deflate(b"")))
            .await?
            .text()
            .await?,
        ""
    );
    Ok(())
}

#[tokio::test]
async fn a_body_that_ends_amid_its_coding_is_an_error_wherever_it_ends() -> Result<()> {
    for coding in CODINGS {
        let whole = code(coding, b"the end is missing, the end is missing");
        for length in 1..whole.len() {
            let answer = get(&serving(coding, whole[..length].to_vec())).await?;
            let error = answer.bytes().await.unwrap_err();
            assert_undecoded(&error, &format!("the body ended amid its {coding}"));
        }
    }
    // A member that is not there in full.
    let mut members = gzip(b"one");
    members.extend(&gzip(b"two")[..12]);
    let error = get(&serving("gzip", members))
        .await?
        .text()
        .await
        .unwrap_err();
    assert_undecoded(&error, "the body ended amid its gzip");
    Ok(())
}

#[tokio::test]
async fn zeros_may_follow_the_end_of_gzip() -> Result<()> {
    let mut padded = gzip(b"one, ");
    padded.extend([0; 512]);
    padded.extend(gzip(b"two"));
    padded.extend(vec![0; 70_000]);
    assert_eq!(
        get(&serving("gzip", padded.clone())).await?.text().await?,
        "one, two"
    );
    padded.push(1);
    let answer = get(&serving("gzip", padded)).await?;
    let error = answer.text().await.unwrap_err();
    assert_undecoded(&error, "the body ");
    Ok(())
}

#[tokio::test]
async fn what_follows_the_end_is_an_error() -> Result<()> {
    for coding in CODINGS {
        let mut body = code(coding, b"text");
        body.extend(b"garbage");
        let answer = get(&serving(coding, body)).await?;
        let error = answer.text().await.unwrap_err();
        assert_undecoded(&error, "the body ");
    }
    Ok(())
}

#[tokio::test]
async fn a_body_that_is_not_what_it_says_is_an_error_with_a_cause() -> Result<()> {
    let mut wrong_sum = gzip(b"text");
    let sum = wrong_sum.len() - 5;
    wrong_sum[sum] ^= 1;
    let cases = [
        ("gzip", b"<html>not gzip</html>".to_vec()),
        ("deflate", vec![0xff; 50]),
        ("br", vec![0xff; 50]),
        ("zstd", gzip(b"text")),
        ("gzip", wrong_sum),
        ("gzip, br", gzip(b"text")),
    ];
    for (coding, body) in cases {
        let server = serving(coding, body);
        let mut answer = get(&server).await?;
        let error = loop {
            match answer.chunk().await {
                Ok(part) => assert!(part.is_some(), "{coding}"),
                Err(error) => break error,
            }
        };
        assert_undecoded(&error, "the body cannot be decoded as");
        assert!(error.source().is_some(), "{coding}");
        // There is nothing after an error.
        assert_eq!(answer.chunk().await?, None);
    }
    Ok(())
}

#[tokio::test]
async fn however_a_body_is_damaged_it_comes_to_an_end() -> Result<()> {
    let (seed, plain) = (11, long_text());
    let server = Server::start(async move |request| {
        // The path says what and how: `/br/17`.
        let mut path = request.uri().path()[1..].split('/');
        let coding = path.next().unwrap();
        let number: u64 = path.next().unwrap().parse().unwrap();
        let mut dice = fastrand::Rng::with_seed(seed + number);
        let mut body = code(coding, &plain.as_bytes()[..dice.usize(1..2_000)]);
        for _ in 0..dice.usize(1..5) {
            let at = dice.usize(..body.len());
            match dice.u8(..3) {
                0 => body[at] ^= 1 << dice.u8(..8),
                1 => body.truncate(at + 1),
                _ => body.insert(at, dice.u8(..)),
            }
        }
        let mut answer = text(body);
        let value = HeaderValue::from_str(coding).unwrap();
        answer.headers_mut().insert(CONTENT_ENCODING, value);
        answer
    });
    let session = open(&server).await?;
    for coding in CODINGS {
        let mut refused = 0;
        for number in 0..100 {
            let damaged = session.get(format!("{coding}/{number}")).max_body(1 << 20);
            match damaged.send().await?.bytes().await {
                Ok(_) => {}
                Err(error) => {
                    assert!(matches!(
                        error.kind(),
                        ErrorKind::Decode | ErrorKind::BodyTooLarge
                    ));
                    refused += 1;
                }
            }
        }
        // Brotli has no checksum: some damage is read as another text.
        assert!(refused > 50, "{coding}: {refused}");
    }
    Ok(())
}

/// RFC 9659 §3 and RFC 7932 §9.1: a few bytes may not ask for gigabytes of memory.
#[tokio::test]
async fn a_window_that_is_larger_than_http_allows_is_refused() -> Result<()> {
    for (coding, allowed, refused) in [("zstd", 23, 24), ("br", 24, 25)] {
        let text = long_text();
        let body = windowed(coding, allowed, text.as_bytes());
        assert_eq!(get(&serving(coding, body)).await?.text().await?, text);
        let body = windowed(coding, refused, text.as_bytes());
        let error = get(&serving(coding, body)).await?.text().await.unwrap_err();
        assert_undecoded(&error, "the body cannot be decoded as");
    }
    Ok(())
}

#[tokio::test]
async fn the_connection_of_a_body_that_cannot_be_decoded_is_closed() -> Result<()> {
    for coding in CODINGS {
        let server = Server::start(async move |_| {
            let (sender, body) = channel_body();
            tokio::spawn(async move {
                sender.send(vec![0xff; 100]).await.unwrap();
                sender.dropped().await;
            });
            let mut answer = respond(StatusCode::OK, body);
            let value = HeaderValue::from_static(coding);
            answer.headers_mut().insert(CONTENT_ENCODING, value);
            answer
        });
        let session = open(&server).await?;
        let mut answer = session.get("").send().await?;
        assert_undecoded(&answer.chunk().await.unwrap_err(), "the body cannot");
        // Still held, it has nothing any more.
        assert_accounts(&session.stats(), Accounts::NONE);
        server.wait_live(0).await;
    }
    Ok(())
}

#[tokio::test]
async fn a_connection_that_ends_amid_the_body_is_told_as_that() -> Result<()> {
    let peer = RawPeer::start(async |conn, _| {
        conn.read_request().await;
        let head = "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 100\r\n\r\n";
        conn.write(head).await;
        conn.write(gzip(b"text")).await;
    });
    let session = Session::builder().open().await?;
    let answer = session.get(peer.url("/")).send().await?;
    let error = answer.text().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BodyTruncated);
    Ok(())
}

#[tokio::test]
async fn where_there_is_no_body_the_headers_stay() -> Result<()> {
    let server = Server::start(async |request| {
        let mut answer = match request.uri().path() {
            "/none" => status(204),
            "/same" => status(304),
            "/empty" => text(""),
            "/chunked" => respond(StatusCode::OK, channel_body().1),
            _ => text(gzip(b"text")),
        };
        let gzip = HeaderValue::from_static("gzip");
        answer.headers_mut().insert(CONTENT_ENCODING, gzip);
        answer
    });
    let session = open(&server).await?;
    for (method, path) in [
        (Method::HEAD, "/"),
        (Method::GET, "/none"),
        (Method::GET, "/same"),
        (Method::GET, "/empty"),
    ] {
        let answer = session.request(method, path).send().await?;
        assert_eq!(answer.headers()[CONTENT_ENCODING], "gzip", "{path}");
        assert_eq!(answer.bytes().await?, "", "{path}");
    }
    // Chunks without a byte are no gzip either.
    assert_eq!(session.get("/chunked").send().await?.text().await?, "");
    assert_accounts(&session.stats(), Accounts::idle(1));
    Ok(())
}

#[tokio::test]
async fn a_part_of_a_body_is_left_as_it_is() -> Result<()> {
    let server = Server::start(async |_| {
        let mut answer = coded("gzip", gzip(b"text")[3..9].to_vec());
        *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
        answer
    });
    let session = open(&server).await?;
    let answer = session.get("").header(RANGE, "bytes=3-8").send().await?;
    assert_eq!(answer.headers()[CONTENT_ENCODING], "gzip");
    assert_eq!(answer.bytes().await?, gzip(b"text")[3..9]);
    Ok(())
}

fn asked_for(answer: &Response) -> Option<&str> {
    let asked = answer.headers().get("x-request-accept-encoding");
    asked.map(|value| value.to_str().unwrap())
}

#[tokio::test]
async fn what_is_built_in_is_asked_for_unless_the_request_says_otherwise() -> Result<()> {
    let server = Server::echo();
    let session = open(&server).await?;
    assert_eq!(asked_for(&session.get("").send().await?), Some(ALL));
    let own = session.get("").header(ACCEPT_ENCODING, "identity");
    assert_eq!(asked_for(&own.send().await?), Some("identity"));
    let range = session.get("").header(RANGE, "bytes=0-1");
    assert_eq!(asked_for(&range.send().await?), None);
    let off = session.get("").decompress(false);
    assert_eq!(asked_for(&off.send().await?), None);

    let plain = Session::builder().base_url(server.url("/"));
    let plain = plain.decompress(false).open().await?;
    assert_eq!(asked_for(&plain.get("").send().await?), None);
    let on = plain.get("").decompress(true);
    assert_eq!(asked_for(&on.send().await?), Some(ALL));

    let headers = HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static("br;q=0.5"))]);
    let named = session.with_default_headers(headers);
    assert_eq!(asked_for(&named.get("").send().await?), Some("br;q=0.5"));
    Ok(())
}

#[tokio::test]
async fn who_asked_does_not_matter_to_what_is_decoded() -> Result<()> {
    let server = serving("gzip", gzip(b"text"));
    let session = open(&server).await?;
    let own = session.get("").header(ACCEPT_ENCODING, "gzip");
    assert_eq!(own.send().await?.text().await?, "text");
    let off = session.get("").decompress(false).send().await?;
    assert_eq!(off.headers()[CONTENT_ENCODING], "gzip");
    assert_eq!(off.bytes().await?, gzip(b"text"));

    // The option goes with a request that is built first.
    let built = session.get("").decompress(false).build()?;
    let answer = session.execute(built).await?;
    assert_eq!(answer.bytes().await?, gzip(b"text"));
    let elsewhere = Request::get(server.url("/")).body(Body::empty()).unwrap();
    assert_eq!(session.execute(elsewhere).await?.text().await?, "text");
    Ok(())
}

#[tokio::test]
async fn trailers_come_after_what_was_coded() -> Result<()> {
    for body in [gzip(b"text"), gzip(b"text")[..15].to_vec()] {
        let whole = body.len() > 15;
        let server = Server::start(async move |_| {
            let (sender, answer) = channel_body();
            let body = body.clone();
            tokio::spawn(async move {
                sender.send(body).await.unwrap();
                let name = HeaderName::from_static("x-sum");
                let trailers = [(name, HeaderValue::from_static("4"))];
                let _ = sender.send_trailers(HeaderMap::from_iter(trailers)).await;
            });
            let mut answer = respond(StatusCode::OK, answer);
            let gzip = HeaderValue::from_static("gzip");
            answer.headers_mut().insert(CONTENT_ENCODING, gzip);
            let announced = HeaderValue::from_static("x-sum");
            answer.headers_mut().insert("trailer", announced);
            answer
        });
        let session = open(&server).await?;
        let answer = session.get("").header("te", "trailers").send().await?;
        match answer.into_http().collect().await {
            Ok(collected) => {
                assert!(whole);
                assert_eq!(collected.trailers().unwrap()["x-sum"], "4");
                assert_eq!(collected.to_bytes(), "text");
            }
            Err(error) => {
                assert!(!whole);
                assert_undecoded(&error, "the body ended amid its gzip");
            }
        }
    }
    Ok(())
}

#[cfg(feature = "http2")]
#[tokio::test]
async fn over_http2_only_the_stream_of_a_bad_body_is_given_up() -> Result<()> {
    use support::http2::{Http2Server, Manner, Then};

    let server = Http2Server::start(Manner::default(), async |mut call| {
        let is_good = call.request.uri().path() == "/good";
        let answer = http::Response::builder().header(CONTENT_ENCODING, "gzip");
        let answer = answer.body(()).unwrap();
        let mut body = call.answer.send_response(answer, false).unwrap();
        if is_good {
            body.send_data(gzip(b"text").into(), true).unwrap();
            return Then::GoOn;
        }
        body.send_data(vec![0xff; 100].into(), false).unwrap();
        // It never ends by itself: it is reset.
        let reset = std::future::poll_fn(|cx| body.poll_reset(cx)).await;
        assert_eq!(reset.unwrap(), h2::Reason::CANCEL);
        Then::GoOn
    });
    let session = Session::builder().http2_prior_knowledge().open().await?;
    let good = session.get(server.url("/good")).send().await?;
    assert_eq!(good.text().await?, "text");
    let mut bad = session.get(server.url("/bad")).send().await?;
    assert_undecoded(&bad.chunk().await.unwrap_err(), "the body cannot be");
    assert_eq!(session.stats().exchanges, 0);
    let good = session.get(server.url("/good")).send().await?;
    assert_eq!(good.text().await?, "text");
    assert_eq!((session.stats().opened, session.stats().open), (1, 1));
    Ok(())
}
