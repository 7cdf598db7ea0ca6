//! Texts are read in the charset in which they were written.
#![allow(clippy::unwrap_used, reason = "a test that fails here has its line")]

mod support;

use std::convert::Infallible;
use std::error::Error as _;
use std::str::{Utf8Error, from_utf8};

use http::HeaderValue;
use http::header::CONTENT_TYPE;
use hyper_session::{Body, ErrorKind, Response, Result, Session};
use support::accounts::{Accounts, assert_accounts};
use support::server::{Server, text};

/// The answer of a server that says that `body` is of this type.
async fn answer(content_type: &'static str, body: &'static [u8]) -> Result<Response> {
    let server = Server::start(async move |_| {
        let mut answer = text(body);
        let value = HeaderValue::from_static(content_type);
        answer.headers_mut().insert(CONTENT_TYPE, value);
        answer
    });
    let session = Session::builder().open().await?;
    session.get(server.url("/")).send().await
}

#[tokio::test]
async fn the_mark_of_utf8_is_left_out() -> Result<()> {
    for kind in ["text/plain", "text/plain; charset=utf-8"] {
        for (body, expected) in [
            (&b"\xef\xbb\xbfplain"[..], "plain"),
            (b"\xef\xbb\xbfgr\xc3\xbc\xc3\x9fe", "grüße"),
            (b"\xef\xbb\xbf", ""),
            (b"\xef\xbb\xbf\xef\xbb\xbf", "\u{feff}"),
        ] {
            assert_eq!(answer(kind, body).await?.text().await?, expected);
            assert_eq!(answer(kind, body).await?.text_lossy().await?, expected);
        }
    }
    Ok(())
}

#[tokio::test]
async fn what_is_malformed_is_an_error_or_replaced_as_asked() -> Result<()> {
    for (body, expected) in [
        (&b"gr\xfc\xdfe"[..], "gr\u{fffd}\u{fffd}e"),
        (b"cut \xe2\x82", "cut \u{fffd}"),
        (b"\xed\xa0\x80", "\u{fffd}\u{fffd}\u{fffd}"),
    ] {
        let error = answer("text/plain", body).await?.text().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Decode);
        assert!(
            error.to_string().starts_with("the body is not UTF-8"),
            "{error}"
        );
        assert!(
            error.source().unwrap().to_string().contains("index"),
            "{error:?}"
        );
        let replaced = answer("text/plain", body).await?.text_lossy().await?;
        assert_eq!(replaced, expected);
    }
    Ok(())
}

/// An answer whose body comes in these parts.
fn in_parts(parts: impl IntoIterator<Item = Vec<u8>>) -> Response {
    let parts: Vec<_> = parts.into_iter().map(Ok::<_, Infallible>).collect();
    let body = Body::wrap_stream(futures::stream::iter(parts));
    Response::from(http::Response::new(body))
}

/// What `std` says of a text that begins with a mark or not.
fn expected(body: &[u8]) -> (String, Option<Utf8Error>) {
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let lossy = String::from_utf8_lossy(body).into_owned();
    (lossy, from_utf8(body).err())
}

async fn assert_as_expected(body: &[u8], parts: impl Fn() -> Vec<Vec<u8>>) -> Result<()> {
    let (lossy, error) = expected(body);
    match (in_parts(parts()).text().await, &error) {
        (Ok(text), None) => assert_eq!(text, lossy),
        (Err(told), Some(error)) => {
            assert_eq!(told.kind(), ErrorKind::Decode);
            assert_eq!(told.source().unwrap().to_string(), error.to_string());
        }
        (told, error) => panic!("{told:?} instead of {error:?}"),
    }
    assert_eq!(in_parts(parts()).text_lossy().await?, lossy);
    Ok(())
}

#[tokio::test]
async fn a_text_may_come_in_parts_that_end_anywhere() -> Result<()> {
    let texts: [&[u8]; 8] = [
        "aß€😀".as_bytes(),
        "\u{feff}😀€ßa".as_bytes(),
        "\u{feff}\u{feff}".as_bytes(),
        b"a\xe2\x82b",
        b"\xf0\x9f\x98",
        b"\x80\x80\x80\x80\x80",
        b"\xff\xffab\xc3",
        b"\xc3\xc3\xa9\xfe",
    ];
    for text in texts {
        for first in 0..=text.len() {
            for second in first..=text.len() {
                let cuts = [&text[..first], &text[first..second], &text[second..]];
                assert_as_expected(text, || cuts.map(<[u8]>::to_vec).into()).await?;
            }
        }
        let single = || text.iter().map(|&byte| vec![byte]).collect();
        assert_as_expected(text, single).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_long_text_is_read_whole_wherever_it_is_malformed() -> Result<()> {
    fastrand::seed(4);
    for kind in ["a", "aß", "€", "😀", "a😀ß€"] {
        for _ in 0..40 {
            let mut text = "b".repeat(fastrand::usize(..4)) + &kind.repeat(6_000);
            let end = fastrand::usize(..20_000);
            text.truncate(
                (0..=end)
                    .rev()
                    .find(|&end| text.is_char_boundary(end))
                    .unwrap(),
            );
            let mut text = text.into_bytes();
            if fastrand::bool() && !text.is_empty() {
                let at = fastrand::usize(..text.len());
                text[at] = fastrand::u8(..);
            }
            let size = fastrand::usize(1..10_000);
            let parts = || text.chunks(size).map(<[u8]>::to_vec).collect();
            assert_as_expected(&text, parts).await?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_charset_that_is_not_known_is_refused_before_anything_is_read() -> Result<()> {
    let name = if cfg!(feature = "charset") {
        "x-none"
    } else {
        "ISO-8859-1"
    };
    let server = Server::start(async move |_| {
        let (sender, body) = support::server::channel_body();
        tokio::spawn(async move { sender.dropped().await });
        let mut answer = support::server::respond(http::StatusCode::OK, body);
        let kind = format!("text/plain; charset={name}");
        let value = HeaderValue::try_from(kind).unwrap();
        answer.headers_mut().insert(CONTENT_TYPE, value);
        answer
    });
    let session = Session::builder().open().await?;
    let error = session
        .get(server.url("/"))
        .send()
        .await?
        .text()
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Decode);
    assert!(error.to_string().contains(name), "{error}");
    support::books::reach(&session, Accounts::NONE).await;
    assert_accounts(&session.stats(), Accounts::NONE);
    Ok(())
}

#[cfg(feature = "charset")]
mod foreign {
    use super::*;

    #[tokio::test]
    async fn a_text_is_read_in_the_charset_that_its_type_names() -> Result<()> {
        let cases: [(_, &[u8], _); 19] = [
            ("text/plain; charset=ISO-8859-1", b"gr\xfc\xdfe", "grüße"),
            ("text/plain; charset=\"windows-1252\"", b"\x80 5", "€ 5"),
            (
                "text/html;Charset = KOI8-R",
                b"\xf0\xd2\xc9\xd7\xc5\xd4",
                "Привет",
            ),
            ("text/html; charset=shift_jis", b"\x82\xb1\x82\xf1", "こん"),
            ("text/html; charset=gb2312", b"\xc4\xe3\xba\xc3", "你好"),
            ("text/plain; charset=utf-16le", b"h\0i\0", "hi"),
            ("text/plain; charset=latin1", b"plain", "plain"),
            // What is quoted is one value, whatever is in it (RFC 9110 §5.6.6).
            (
                r#"text/html; title="a;charset=utf-8"; charset=latin1"#,
                b"\xfc",
                "ü",
            ),
            (
                r#"text/html; title="\";charset=utf-8;"; charset=latin1"#,
                b"\xfc",
                "ü",
            ),
            (
                r#"text/html; title="\\"; charset=latin1; x="a;b""#,
                b"\xfc",
                "ü",
            ),
            (r#"text/html; charset="lat\in1""#, b"\xfc", "ü"),
            (r#"text/html; charset=" latin1 ";"#, b"\xfc", "ü"),
            (r"text/html; title=\; charset=latin1", b"\xfc", "ü"),
            ("text/html;; ;charset=latin1; charset=utf-8", b"\xfc", "ü"),
            (r#"text/html; charset="latin1"#, b"\xfc", "ü"),
            (r#"text/html; title="a; charset=latin1"#, b"\xc3\xbc", "ü"),
            (r#"text/html; charset="""#, b"\xc3\xbc", "ü"),
            // The mark is believed more than the type.
            ("text/plain; charset=utf-8", b"\xff\xfeh\0i\0", "hi"),
            ("text/plain; charset=latin1", b"\xfe\xff\0h\0i", "hi"),
        ];
        for (kind, body, expected) in cases {
            assert_eq!(answer(kind, body).await?.text().await?, expected, "{kind}");
            let lossy = answer(kind, body).await?.text_lossy().await?;
            assert_eq!(lossy, expected, "{kind}");
        }
        Ok(())
    }

    #[tokio::test]
    async fn what_is_malformed_in_another_charset_is_an_error_that_names_it() -> Result<()> {
        let cases: [(_, &[u8], _, _); 3] = [
            (
                "text/plain; charset=shift_jis",
                b"\x82",
                "Shift_JIS",
                "\u{fffd}",
            ),
            (
                "text/plain; charset=utf-16",
                b"h\0i",
                "UTF-16LE",
                "h\u{fffd}",
            ),
            ("text/plain", b"\xff\xfe\0\xd8", "UTF-16LE", "\u{fffd}"),
        ];
        for (kind, body, name, replaced) in cases {
            let error = answer(kind, body).await?.text().await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Decode);
            let message = format!("the body is not {name}");
            assert!(error.to_string().starts_with(&message), "{error}");
            assert_eq!(answer(kind, body).await?.text_lossy().await?, replaced);
        }
        Ok(())
    }

    #[tokio::test]
    async fn the_callers_charset_is_that_of_a_text_that_says_none() -> Result<()> {
        let silent = answer("text/plain", b"gr\xfc\xdfe").await?;
        assert_eq!(silent.text_with_charset("latin1").await?, "grüße");
        let own = answer("text/plain; charset=utf-8", b"gr\xc3\xbc\xc3\x9fe").await?;
        assert_eq!(own.text_with_charset("latin1").await?, "grüße");
        let error = answer("text/plain", b"")
            .await?
            .text_with_charset("none")
            .await;
        assert_eq!(error.unwrap_err().kind(), ErrorKind::Decode);
        // Of what may hide a script from those who look for one, nothing is shown.
        let hidden = answer("text/plain; charset=iso-2022-kr", b"<").await?;
        assert!(hidden.text().await.is_err());
        Ok(())
    }
}
