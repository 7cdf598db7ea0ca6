//! What comes after a body, in both directions.
#![allow(clippy::unwrap_used, reason = "a test that fails here has its line")]

mod support;

use bytes::Bytes;
#[cfg(feature = "http2")]
use futures::StreamExt;
use futures::{TryStreamExt, stream};
use http::header::{CONTENT_LENGTH, LOCATION, TRAILER, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Incoming;
use hyper_session::{Body, ErrorKind, Response, Result, Session};
use support::accounts::Accounts;
use support::books::assert_books;
#[cfg(feature = "http2")]
use support::books::reach;
use support::outcome::expect_kind;
use support::raw::RawPeer;
use support::server::{self, Server, respond, text};

fn trailers() -> HeaderMap {
    let pairs = [("x-sum", "1"), ("x-sum", "2"), ("x-other", "3")];
    let pairs = pairs.map(|(name, value)| {
        let name = HeaderName::from_static(name);
        (name, HeaderValue::from_static(value))
    });
    let mut all = HeaderMap::new();
    for (name, value) in pairs {
        all.append(name, value);
    }
    all
}

/// Of a length that is known beforehand.
fn of_length() -> Body {
    Body::wrap(Full::new(Bytes::from("text")).with_trailers(async { Some(Ok(trailers())) }))
}

/// Of no length that is known.
fn streamed() -> Body {
    let frames = [
        Ok::<_, std::io::Error>(Frame::data(Bytes::from("te"))),
        Ok(Frame::data(Bytes::from("xt"))),
        Ok(Frame::trailers(trailers())),
    ];
    Body::wrap(StreamBody::new(stream::iter(frames)))
}

/// Answers with the request's body, and its trailers as a header; `/moved` redirects, by its status.
async fn answer(request: Request<Incoming>) -> http::Response<server::Body> {
    if let Some(status) = request.uri().path().strip_prefix("/moved/") {
        let status = status.parse().unwrap();
        let _ = request.into_body().collect().await;
        let mut moved = respond(http::StatusCode::from_u16(status).unwrap(), server::empty());
        let location = HeaderValue::from_static("/");
        moved.headers_mut().insert(LOCATION, location);
        return moved;
    }
    let (head, body) = request.into_parts();
    let framing = match head.headers.get(CONTENT_LENGTH) {
        Some(length) => length.clone(),
        None => head.headers.get(TRANSFER_ENCODING).cloned().unwrap(),
    };
    let collected = body.collect().await.unwrap();
    let shown = shown(collected.trailers());
    let mut answer = text(collected.to_bytes());
    let headers = answer.headers_mut();
    headers.insert("x-framing", framing);
    headers.insert("x-trailers", HeaderValue::from_str(&shown).unwrap());
    answer
}

fn shown(trailers: Option<&HeaderMap>) -> String {
    let Some(trailers) = trailers else {
        return "none".to_owned();
    };
    let shown =
        |(name, value): (&HeaderName, &HeaderValue)| format!("{name}={}", value.to_str().unwrap());
    trailers.iter().map(shown).collect::<Vec<_>>().join(" ")
}

fn seen<'a>(response: &'a Response, name: &str) -> &'a str {
    response.headers()[name].to_str().unwrap()
}

const ALL: &str = "x-sum=1 x-sum=2 x-other=3";

#[tokio::test]
async fn those_of_a_request_are_sent_as_far_as_it_names_them() -> Result<()> {
    let server = Server::start(answer);
    let session = Session::builder().base_url(server.url("/")).open().await?;
    let replayable = || Body::replayable(of_length);
    let cases: [(Body, Option<&str>, &str, &str); 9] = [
        (streamed(), Some("x-sum, x-other"), "chunked", ALL),
        (streamed(), Some("X-Other"), "chunked", "x-other=3"),
        (streamed(), Some("x-absent"), "chunked", "none"),
        (streamed(), None, "chunked", "none"),
        (of_length(), Some("x-sum, x-other"), "chunked", ALL),
        (of_length(), None, "4", "none"),
        (replayable(), Some("x-sum,x-other"), "chunked", ALL),
        (replayable(), None, "4", "none"),
        ("text".into(), Some("x-sum"), "4", "none"),
    ];
    for (sent, (body, named, framing, arrive)) in cases.into_iter().enumerate() {
        let method = [Method::POST, Method::GET][sent % 2].clone();
        let request = session.request(method, "/").body(body);
        let request = match named {
            Some(named) => request.header(TRAILER, named),
            None => request,
        };
        let response = request.send().await?;
        assert_eq!(seen(&response, "x-framing"), framing, "{named:?}");
        assert_eq!(seen(&response, "x-trailers"), arrive, "{named:?}");
        assert_eq!(response.text().await?, "text");
        assert_books(&session, Accounts::idle(1), 1, sent as u64);
    }
    Ok(())
}

#[tokio::test]
async fn a_length_of_the_requests_own_leaves_no_place_for_them() -> Result<()> {
    let server = Server::start(answer);
    let session = Session::builder().base_url(server.url("/")).open().await?;
    for (round, body) in [of_length(), streamed()].into_iter().enumerate() {
        let request = session.post("/").header(TRAILER, "x-sum").body(body);
        let response = request.header(CONTENT_LENGTH, 4).send().await?;
        assert_eq!(seen(&response, "x-framing"), "4");
        assert_eq!(seen(&response, "x-trailers"), "none");
        assert_eq!(response.text().await?, "text");
        assert_books(&session, Accounts::idle(1), 1, round as u64);
    }
    let short = session.post("/").header(CONTENT_LENGTH, 5).body(streamed());
    let error = expect_kind(short.send().await, ErrorKind::Body);
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("ended before its announced 5"), "{source}");
    assert_books(&session, Accounts::NONE, 1, 1);
    Ok(())
}

#[tokio::test]
async fn they_go_on_with_the_body_that_is_sent_again() -> Result<()> {
    let server = Server::start(answer);
    let session = Session::builder().base_url(server.url("/")).open().await?;
    let request = session.post("/moved/307").header(TRAILER, "x-sum");
    let response = request.body(Body::replayable(of_length)).send().await?;
    assert_eq!(response.history().len(), 1);
    assert_eq!(seen(&response, "x-trailers"), "x-sum=1 x-sum=2");
    assert_eq!(response.text().await?, "text");
    Ok(())
}

const CHUNKED: &[u8] = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n\
    2\r\nte\r\n2\r\nxt\r\n0\r\nx-sum: 1\r\nX-Sum: 2\r\nx-other: 3\r\n\r\n";

#[tokio::test]
async fn those_of_a_response_are_there_when_it_has_been_read() -> Result<()> {
    let peer = RawPeer::answering(CHUNKED);
    let session = Session::builder().open().await?;
    let get = || session.get(peer.url("/")).send();

    let mut response = get().await?;
    assert_eq!(response.trailers(), None);
    assert_eq!(response.read().await?, "text");
    assert_eq!(shown(response.trailers()), ALL);
    assert_books(&session, Accounts::idle(1), 1, 0);
    assert_eq!(response.read().await?, "", "there is no more");
    assert_eq!(shown(response.trailers()), ALL);
    assert!(!format!("{response:?}").contains("x-sum"));

    let mut response = get().await?;
    let mut body = Vec::new();
    while let Some(part) = response.chunk().await? {
        assert_eq!(response.trailers(), None);
        body.extend(part);
    }
    assert_eq!((&*body, &*shown(response.trailers())), (&b"text"[..], ALL));

    assert_eq!(get().await?.text().await?, "text");
    let stream = get().await?.bytes_stream();
    let parts: Vec<_> = stream.try_collect().await?;
    assert_eq!(parts.concat(), b"text");
    let collected = get().await?.into_http().into_body().collect().await?;
    assert_eq!(shown(collected.trailers()), ALL);
    assert_books(&session, Accounts::idle(1), 1, 4);
    Ok(())
}

#[tokio::test]
async fn a_body_without_any_has_none() -> Result<()> {
    for answer in [
        &b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ntext"[..],
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\ntext\r\n0\r\n\r\n",
    ] {
        let peer = RawPeer::answering(answer);
        let session = Session::builder().max_body(4).open().await?;
        let mut response = session.get(peer.url("/")).send().await?;
        assert_eq!(response.read().await?, "text");
        assert_eq!(response.trailers(), None);
        assert_books(&session, Accounts::idle(1), 1, 0);
        let mut short = session.get(peer.url("/")).max_body(3).send().await?;
        expect_kind(short.read().await, ErrorKind::BodyTooLarge);
        assert_eq!(short.trailers(), None);
    }
    Ok(())
}

#[tokio::test]
async fn those_of_a_response_go_on_with_it_as_the_body_of_a_request() -> Result<()> {
    let (peer, server) = (RawPeer::answering(CHUNKED), Server::start(answer));
    let session = Session::builder().open().await?;
    let response = session.get(peer.url("/")).send().await?;
    let request = session.put(server.url("/")).header(TRAILER, "x-other");
    let response = request.body(response).send().await?;
    assert_eq!(seen(&response, "x-trailers"), "x-other=3");
    assert_eq!(response.text().await?, "text");
    assert_books(&session, Accounts::idle(2), 2, 0);
    Ok(())
}

#[cfg(feature = "http2")]
mod over_http2 {
    use super::*;
    use crate::support::http2::{Call, Http2Server, Manner, Then};

    /// Answers with the request's body, and the same trailers, and those as a header.
    async fn answer(mut call: Call) -> Then {
        let body = call.body().await;
        let sent = call.request.body_mut().trailers().await.unwrap();
        let head = http::Response::builder().header("x-trailers", shown(sent.as_ref()));
        let head = match call.request.headers().get(CONTENT_LENGTH) {
            Some(length) => head.header(CONTENT_LENGTH, length),
            None => head,
        };
        let head = head.body(()).unwrap();
        let mut answer = call.answer.send_response(head, false).unwrap();
        let is_end = sent.is_none();
        answer.send_data(body, is_end).unwrap();
        if let Some(sent) = sent {
            answer.send_trailers(sent).unwrap();
        }
        Then::GoOn
    }

    #[tokio::test]
    async fn they_are_sent_and_read_as_well() -> Result<()> {
        let server = Http2Server::start(Manner::default(), answer);
        let builder = Session::builder().http2_prior_knowledge();
        let session = builder.base_url(server.url("/")).open().await?;
        let named = Some("x-sum, x-other");
        for (body, named, arrive) in [
            (streamed(), named, ALL),
            (streamed(), None, ALL),
            (of_length(), named, ALL),
            (of_length(), None, "none"),
            (Body::replayable(of_length), named, ALL),
            ("text".into(), named, "none"),
        ] {
            let request = session.post("/").body(body);
            let request = match named {
                Some(named) => request.header(TRAILER, named),
                None => request,
            };
            let mut response = request.send().await?;
            assert_eq!(seen(&response, "x-trailers"), arrive, "{named:?}");
            assert_eq!(response.trailers(), None);
            assert_eq!(response.read().await?, "text");
            assert_eq!(shown(response.trailers()), arrive, "{named:?}");
        }
        let request = session.post("/").header(CONTENT_LENGTH, 4).body(streamed());
        let mut parts = request.send().await?.bytes_stream();
        assert_eq!(parts.next().await.unwrap()?, "text");
        assert!(parts.next().await.is_none());
        reach(&session, Accounts::idle(1)).await;
        assert_eq!((server.accepted(), server.requests()), (1, 7));
        Ok(())
    }
}
