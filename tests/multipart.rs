//! Forms with files, as browsers send them.
#![cfg(feature = "multipart")]
#![allow(clippy::unwrap_used, reason = "a test that fails here has its line")]

mod support;

use std::fs;

use bytes::Bytes;
use futures::stream;
use http::header::CONTENT_TYPE;
use http_body_util::BodyExt;
use hyper_session::multipart::{Form, Part};
use hyper_session::{Body, ErrorKind, Response, Result, Session};
use multer::Multipart;
use support::server::Server;

async fn open(server: &Server) -> Result<Session> {
    Session::builder().base_url(server.url("/")).open().await
}

fn content_type(answer: &Response) -> String {
    let value = answer.headers()[CONTENT_TYPE].to_str().unwrap();
    value.to_owned()
}

fn stream_of(parts: &'static [&str]) -> Body {
    let parts = parts
        .iter()
        .map(|part| Ok::<_, std::io::Error>(Bytes::from_static(part.as_bytes())));
    Body::wrap_stream(stream::iter(parts))
}

/// A form as it is on the wire, with `B` for the boundary; the rest of its `Content-Type`.
async fn written(form: Form) -> Result<(String, String)> {
    let server = Server::echo();
    let answer = open(&server).await?.post("").multipart(form).send().await?;
    let content_type = content_type(&answer);
    let (kind, boundary) = content_type.split_once("; boundary=").unwrap();
    let boundary = boundary.to_owned();
    Ok((
        kind.to_owned(),
        answer.text().await?.replace(&boundary, "B"),
    ))
}

/// Name, file name, type and content of each part, as a server reads them.
type Read = Vec<(Option<String>, Option<String>, Option<String>, String)>;

async fn read(form: Form) -> Result<Read> {
    let server = Server::echo();
    let answer = open(&server).await?.post("").multipart(form).send().await?;
    let boundary = multer::parse_boundary(content_type(&answer)).unwrap();
    let mut parts = Multipart::new(answer.bytes_stream(), boundary);
    let mut read = Read::new();
    while let Some(part) = parts.next_field().await.unwrap() {
        let name = part.name().map(str::to_owned);
        let file_name = part.file_name().map(str::to_owned);
        let kind = part.content_type().map(ToString::to_string);
        read.push((name, file_name, kind, part.text().await.unwrap()));
    }
    Ok(read)
}

#[tokio::test]
async fn a_form_is_written_as_browsers_write_it() -> Result<()> {
    let image = Part::new(&[0_u8, 1][..])
        .file_name("ü.png")
        .content_type("image/png");
    let form = Form::new()
        .text("title", "On the beach")
        .text("title", "")
        .part("image", image);
    let (kind, body) = written(form).await?;
    assert_eq!(kind, "multipart/form-data");
    let expected = "--B\r\nContent-Disposition: form-data; name=\"title\"\r\n\r\nOn the beach\r\n\
                    --B\r\nContent-Disposition: form-data; name=\"title\"\r\n\r\n\r\n\
                    --B\r\nContent-Disposition: form-data; name=\"image\"; filename=\"ü.png\"\r\n\
                    Content-Type: image/png\r\n\r\n\0\x01\r\n--B--\r\n";
    assert_eq!(body, expected);
    assert_eq!(written(Form::new()).await?.1, "--B--\r\n");
    Ok(())
}

#[tokio::test]
async fn each_form_has_a_boundary_of_its_own() -> Result<()> {
    let server = Server::echo();
    let session = open(&server).await?;
    let mut seen = Vec::new();
    for _ in 0..3 {
        let answer = session.post("").multipart(Form::new()).send().await?;
        seen.push(content_type(&answer));
    }
    seen.dedup();
    assert_eq!(seen.len(), 3);
    // RFC 2046 §5.1.1
    assert!(seen[0].split_once("boundary=").unwrap().1.len() <= 70);
    Ok(())
}

#[tokio::test]
async fn names_cannot_become_headers_or_parts() -> Result<()> {
    let evil = "x\"\r\nContent-Type: text/html\r\n\r\n<script>\r\n--B\r\n";
    let part = Part::new("content").file_name(evil);
    let (_, body) = written(Form::new().part(evil, part)).await?;
    let expected = "x%22%0D%0AContent-Type: text/html%0D%0A%0D%0A<script>%0D%0A--B%0D%0A";
    let head = format!(
        "--B\r\nContent-Disposition: form-data; name=\"{expected}\"; filename=\"{expected}\"\r\n"
    );
    assert!(body.starts_with(&head), "{body}");
    let part = Part::new("content").file_name(evil);
    let parts = read(Form::new().part(evil, part)).await?;
    assert_eq!(parts.len(), 1);
    assert_eq!(parts[0].0.as_deref(), Some(expected));
    assert_eq!(parts[0].3, "content");
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_sent_is_refused_before_anything_goes_out() -> Result<()> {
    let server = Server::echo();
    let session = open(&server).await?;
    let text = || Part::new("text");
    let cases = [
        (
            Form::new().text("nul\0", ""),
            r#"the name of a part has a control character: "nul\0""#,
        ),
        (
            Form::new().part("a", text().file_name("\x1b[2J")),
            "the filename of a part has a control",
        ),
        (
            Form::new().part("a", text().content_type("a\r\nb: c")),
            "invalid value of a part's header `content-type`",
        ),
        (
            Form::new().part("a", text().header("x-a", "\r\n")),
            "invalid value of a part's header `x-a`",
        ),
        (
            Form::new().part("a", text().header("x a", "b")),
            "invalid name of a part's header",
        ),
        (
            Form::new().part("a", text().header("Content-Disposition", "inline")),
            "a part's `content-disposition` is",
        ),
        (
            Form::new().part("a", text().header("content-length", 4)),
            "a part's `content-length` would be",
        ),
        (
            Form::mixed().unnamed_part(text().header("Transfer-Encoding", "chunked")),
            "a part's `transfer-encoding` would be",
        ),
        (
            Form::new().part("a", text().content_type("")),
            "a part's `content-type` is empty",
        ),
        (
            Form::related().unnamed_part(text().header("Content-Type", " ")),
            "a part's `content-type` is empty",
        ),
        (
            Form::new().text("next\u{85}line", ""),
            r#"the name of a part has a control character: "next\u{85}line""#,
        ),
        (
            Form::new().part("a", text().file_name("\u{9f}")),
            "the filename of a part has a control",
        ),
        (
            Form::new().part("a", Part::form(Form::mixed().text("\x7f", ""))),
            "the name of a part has a control",
        ),
        // The first fault is told.
        (
            Form::new().text("\x01", "").text("\x02", ""),
            r#"the name of a part has a control character: "\u{1}""#,
        ),
    ];
    for (form, message) in cases {
        let error = session.post("").multipart(form).send().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Builder);
        assert!(error.to_string().starts_with(message), "{error}");
    }
    assert_eq!(server.accepted(), 0);
    Ok(())
}

#[tokio::test]
async fn files_bring_their_name_and_type() -> Result<()> {
    let folder = std::env::temp_dir().join(format!("hyper-session-form-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join("notes.txt");
    let long = "note ".repeat(50_000);
    fs::write(&path, &long).unwrap();
    let form = Form::new()
        .part("file", Part::file(&path).await?)
        .part(
            "renamed",
            Part::file(&path)
                .await?
                .file_name("other.html")
                .content_type("text/x-own"),
        )
        .part("bytes", Part::new("<p>").file_name("page.html"))
        .part("unknown", Part::new("?").file_name("nothing"));
    let parts = read(form).await?;
    fs::remove_dir_all(&folder).unwrap();
    let guessed = |kind: &'static str| {
        if cfg!(feature = "mime-guess") {
            kind
        } else {
            "application/octet-stream"
        }
    };
    let expected = [
        ("file", "notes.txt", guessed("text/plain"), &*long),
        ("renamed", "other.html", "text/x-own", &*long),
        ("bytes", "page.html", guessed("text/html"), "<p>"),
        ("unknown", "nothing", "application/octet-stream", "?"),
    ];
    for (part, (name, file_name, kind, content)) in parts.iter().zip(expected) {
        assert_eq!(part.0.as_deref(), Some(name));
        assert_eq!(part.1.as_deref(), Some(file_name));
        assert_eq!(part.2.as_deref(), Some(kind));
        assert!(part.3 == content, "{name}");
    }
    assert_eq!(parts.len(), 4);
    Ok(())
}

#[tokio::test]
async fn the_length_is_told_where_all_parts_know_theirs() -> Result<()> {
    let server = Server::echo();
    let session = open(&server).await?;
    let large = || Part::new(vec![b'x'; 100_000]);
    let known = Form::new()
        .text("a", "b")
        .part("large", large())
        .part("again", large());
    let answer = session.post("").multipart(known).send().await?;
    let told = answer.headers()["x-request-content-length"]
        .to_str()
        .unwrap();
    let told: usize = told.parse().unwrap();
    assert_eq!(answer.bytes().await?.len(), told);

    let unknown = Form::new()
        .part("large", large())
        .part("s", Part::new(stream_of(&["a", "b"])));
    let answer = session.post("").multipart(unknown).send().await?;
    assert_eq!(answer.headers()["x-request-transfer-encoding"], "chunked");
    let body = answer.text().await?;
    assert!(body.contains("name=\"s\"\r\n\r\nab\r\n--"));
    Ok(())
}

#[tokio::test]
async fn a_form_can_be_sent_again_if_all_of_it_can_be() -> Result<()> {
    let form = || {
        Form::new()
            .text("a", "b")
            .part("large", Part::new(vec![b'x'; 100_000]))
    };
    let body = form().into_body()?;
    let copy = body.try_clone().unwrap();
    assert_eq!(
        body.collect().await?.to_bytes(),
        copy.collect().await?.to_bytes()
    );
    let once = form()
        .part("stream", Part::new(stream_of(&["a"])))
        .into_body()?;
    assert!(once.try_clone().is_none());
    Ok(())
}

#[tokio::test]
async fn forms_can_be_in_forms_and_parts_can_have_headers() -> Result<()> {
    let files = Form::mixed()
        .unnamed_part(Part::new("one").file_name("one.x-none"))
        .unnamed_part(Part::new("two").header("X-Own", "1").header("X-Own", "2"));
    let (kind, body) = written(Form::new().part("files", Part::form(files))).await?;
    assert_eq!(kind, "multipart/form-data");
    let (head, rest) = body.split_once("\r\n\r\n").unwrap();
    let head = head.strip_prefix("--B\r\nContent-Disposition: form-data; name=\"files\"\r\n");
    let kind = head
        .unwrap()
        .strip_prefix("Content-Type: multipart/mixed; boundary=");
    let inner = rest.replace(kind.unwrap(), "I");
    let expected = "--I\r\nContent-Disposition: attachment; filename=\"one.x-none\"\r\n\
                    Content-Type: application/octet-stream\r\n\r\none\r\n\
                    --I\r\nx-own: 1\r\nx-own: 2\r\n\r\ntwo\r\n--I--\r\n\r\n--B--\r\n";
    assert_eq!(inner, expected);

    let part = Part::new("{}")
        .content_type("application/json")
        .header("content-id", "<1>");
    let (kind, body) = written(Form::related().unnamed_part(part)).await?;
    assert_eq!(kind, "multipart/related");
    let expected =
        "--B\r\nContent-Type: application/json\r\ncontent-id: <1>\r\n\r\n{}\r\n--B--\r\n";
    assert_eq!(body, expected);
    Ok(())
}

#[tokio::test]
async fn a_part_that_fails_ends_the_request() -> Result<()> {
    let server = Server::echo();
    let session = open(&server).await?;
    let parts = [Ok("some "), Err(std::io::Error::other("on purpose"))];
    let failing = Body::wrap_stream(stream::iter(parts));
    let form = Form::new().part("a", Part::new(failing));
    let failing = async { session.post("").multipart(form).send().await?.bytes().await };
    let error = failing.await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Body, "{error:?}");
    assert_eq!(session.stats().open, 0);
    Ok(())
}
