//! Bodies of files, bodies that can be made again, and how far they have come.
#![allow(clippy::unwrap_used, reason = "a test that fails here has its line")]

mod support;

use std::error::Error as _;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::stream;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use http::{HeaderValue, Request};
use http_body_util::BodyExt;
use hyper_session::{Body, ErrorKind, Response, Result, Session};
use support::raw::RawPeer;
use support::server::{Server, echo, status};

/// A folder that is gone after the test.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("hyper-session-{}-{test}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, content).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn seen<'a>(answer: &'a Response, name: &str) -> Option<&'a str> {
    let value = answer.headers().get(format!("x-request-{name}"));
    value.map(|value| value.to_str().unwrap())
}

async fn put(session: &Session, body: Body) -> Result<Bytes> {
    session.put("").body(body).send().await?.bytes().await
}

async fn open(server: &Server) -> Result<Session> {
    Session::builder().base_url(server.url("/")).open().await
}

#[tokio::test]
async fn a_file_is_sent_with_its_length_and_type() -> Result<()> {
    let folder = Folder::new("sent");
    let server = Server::echo();
    let session = open(&server).await?;
    let content: Vec<u8> = (0..200_000_u32).flat_map(u32::to_le_bytes).collect();
    for content in [&b""[..], b"short", &content] {
        let body = Body::file(folder.file("photo.png", content)).await?;
        let answer = session.put("").body(body).send().await?;
        let length = content.len().to_string();
        assert_eq!(seen(&answer, "content-length"), Some(&*length));
        assert_eq!(seen(&answer, "transfer-encoding"), None);
        let expected = if cfg!(feature = "mime-guess") {
            "image/png"
        } else {
            "application/octet-stream"
        };
        assert_eq!(seen(&answer, "content-type"), Some(expected));
        assert_eq!(answer.bytes().await?, content);
    }
    Ok(())
}

#[tokio::test]
async fn the_type_of_a_file_is_that_of_the_request_if_it_has_one() -> Result<()> {
    let folder = Folder::new("type");
    let server = Server::echo();
    let session = open(&server).await?;
    let file = folder.file("unknown.x-nothing", "?");
    let answer = session
        .post("")
        .body(Body::file(&file).await?)
        .send()
        .await?;
    assert_eq!(
        seen(&answer, "content-type"),
        Some("application/octet-stream")
    );
    let own = session.post("").header(CONTENT_TYPE, "text/x-own");
    let answer = own.body(Body::file(&file).await?).send().await?;
    assert_eq!(seen(&answer, "content-type"), Some("text/x-own"));
    // As well when the request was made elsewhere.
    let request = Request::post(server.url("/")).body(Body::file(&file).await?);
    let answer = session.execute(request.unwrap()).await?;
    assert_eq!(
        seen(&answer, "content-type"),
        Some("application/octet-stream")
    );
    Ok(())
}

#[tokio::test]
async fn what_is_no_file_is_refused_by_name_before_anything_goes_out() {
    let folder = Folder::new("refused");
    for path in [
        folder.0.join("nothing.txt"),
        folder.0.clone(),
        "/dev/null".into(),
    ] {
        let error = Body::file(&path).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Body);
        assert!(!error.was_sent());
        let shown = error.to_string();
        assert!(shown.contains(path.to_str().unwrap()), "{shown}");
        assert!(error.source().is_some());
    }
}

#[test]
fn a_file_outside_of_a_runtime_is_an_error() {
    let opening = futures::FutureExt::now_or_never(Body::file("/etc/hostname"));
    assert_eq!(opening.unwrap().unwrap_err().kind(), ErrorKind::NoRuntime);
}

#[tokio::test]
async fn a_file_that_changes_is_sent_as_long_as_it_was_or_not_at_all() -> Result<()> {
    let folder = Folder::new("changes");
    let server = Server::echo();
    let session = open(&server).await?;
    let grown = folder.file("log", "as it was");
    let body = Body::file(&grown).await?;
    fs::write(&grown, "as it was, and more").unwrap();
    assert_eq!(put(&session, body).await?, "as it was");

    let body = Body::file(&grown).await?;
    fs::write(&grown, "less").unwrap();
    let error = put(&session, body).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Body, "{error:?}");
    let body = Body::file(&grown).await?;
    fs::remove_file(&grown).unwrap();
    let error = put(&session, body).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Body, "{error:?}");
    let cause = error.source().unwrap().to_string();
    assert!(cause.contains(grown.to_str().unwrap()), "{cause}");
    // A request that was cut leaves no connection.
    assert_eq!(session.stats().open, 0);
    Ok(())
}

/// A peer whose first connection answers one request and dies of the next, once that is there.
fn dying() -> RawPeer {
    const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    RawPeer::start(async |conn, number| {
        conn.read_request().await;
        conn.write(OK).await;
        conn.read_request().await;
        if number > 0 {
            conn.write(OK).await;
            conn.wait_eof().await;
        }
    })
}

#[tokio::test]
async fn a_file_and_a_body_that_is_made_are_sent_again_where_a_connection_had_died() -> Result<()> {
    let folder = Folder::new("again");
    let path = folder.file("body.txt", "the body");
    let made = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&made);
    let parts = move || {
        counted.fetch_add(1, Ordering::Relaxed);
        let parts = ["the ", "body"].map(|part| Ok::<_, std::io::Error>(Bytes::from(part)));
        Body::wrap_stream(stream::iter(parts))
    };
    let bodies = [
        Body::file(&path).await?,
        Body::replayable(parts),
        Body::replayable(|| "the body".into()),
        Body::file(&path).await?.on_progress(|_, _| ()),
        Body::from("the body").on_progress(|_, _| ()),
    ];
    for body in bodies {
        let peer = dying();
        let session = Session::builder().open().await?;
        let warm_up = session.get(peer.url("/"));
        warm_up.send().await?.bytes().await?;
        // The peer answers the first request of each connection.
        let put = session.put(peer.url("/")).header(CONTENT_LENGTH, "8");
        assert!(put.body(body).send().await?.bytes().await? == "ok");
        let resent = peer.received(1);
        let resent = String::from_utf8(resent).unwrap();
        assert!(resent.ends_with("\r\n\r\nthe body"), "{resent}");
        assert_eq!(peer.accepted(), 2);
    }
    assert_eq!(made.load(Ordering::Relaxed), 2);
    Ok(())
}

#[tokio::test]
async fn a_file_follows_a_redirect_that_asks_for_it_again() -> Result<()> {
    let folder = Folder::new("redirect");
    let server = Server::start(async |request| match request.uri().path() {
        "/from" => {
            let mut answer = status(307);
            let to = HeaderValue::from_static("/to");
            answer.headers_mut().insert(LOCATION, to);
            answer
        }
        _ => echo(request),
    });
    let session = open(&server).await?;
    let body = Body::file(folder.file("x.bin", "the body")).await?;
    let answer = session.put("from").body(body).send().await?;
    assert_eq!(answer.url().path(), "/to");
    assert_eq!(seen(&answer, "content-length"), Some("8"));
    assert_eq!(
        seen(&answer, "content-type"),
        Some("application/octet-stream")
    );
    assert_eq!(answer.text().await?, "the body");
    Ok(())
}

#[tokio::test]
async fn progress_is_told_part_by_part() -> Result<()> {
    let server = Server::echo();
    let session = open(&server).await?;
    let folder = Folder::new("progress");
    let content = vec![b'x'; 200_000];
    let parts = [100_000, 100_000].map(|length| Ok::<_, std::io::Error>(vec![b'x'; length]));
    let cases = [
        (Body::from(content.clone()), Some(200_000)),
        (
            Body::file(folder.file("x.bin", &content)).await?,
            Some(200_000),
        ),
        (Body::wrap_stream(stream::iter(parts)), None),
    ];
    for (body, total) in cases {
        let told = Arc::new(Mutex::new(Vec::new()));
        let tell = Arc::clone(&told);
        let body = body.on_progress(move |sent, total| tell.lock().unwrap().push((sent, total)));
        let answer = session.put("").body(body).send().await?;
        let framing = (
            seen(&answer, "content-length"),
            seen(&answer, "transfer-encoding"),
        );
        match total {
            Some(_) => assert_eq!(framing, (Some("200000"), None)),
            None => assert_eq!(framing, (None, Some("chunked"))),
        }
        assert_eq!(answer.bytes().await?.len(), 200_000);
        let told = told.lock().unwrap();
        assert!(told.len() > 1, "{told:?}");
        assert!(told.is_sorted() && told.iter().all(|(_, all)| *all == total));
        assert_eq!(told.last(), Some(&(200_000, total)));
    }
    Ok(())
}

#[tokio::test]
async fn a_body_that_is_copied_is_whole_whatever_has_been_read_of_the_other() -> Result<()> {
    let folder = Folder::new("copied");
    let mut body = Body::file(folder.file("x.txt", "the body")).await?;
    let copy = body.try_clone().unwrap();
    assert_eq!(
        body.frame().await.unwrap()?.into_data().unwrap(),
        "the body"
    );
    assert_eq!(
        body.try_clone().unwrap().collect().await?.to_bytes(),
        "the body"
    );
    assert_eq!(copy.collect().await?.to_bytes(), "the body");
    assert!(body.as_bytes().is_none());
    Ok(())
}
