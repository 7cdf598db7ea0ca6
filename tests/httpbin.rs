//! A session against httpbin, a server that others wrote to try clients with.
//!
//! ```sh
//! python3 -m venv target/httpbin && target/httpbin/bin/pip install httpbin gunicorn
//! target/httpbin/bin/gunicorn --bind 127.0.0.1:8085 --threads 8 httpbin:app &
//! HTTPBIN=http://127.0.0.1:8085 cargo test --all-features --test httpbin -- --ignored
//! ```
#![cfg(all(
    feature = "json",
    feature = "cookies",
    feature = "gzip",
    feature = "deflate",
    feature = "brotli",
    feature = "multipart"
))]
#![allow(clippy::unwrap_used, reason = "a test that fails here has its line")]

use std::time::Duration;

use futures::TryStreamExt;
use http::header::{ETAG, IF_NONE_MATCH, RANGE};
use hyper_session::multipart::{Form, Part};
use hyper_session::{
    Body, CookieJar, ErrorKind, Method, RedirectPolicy, Response, Result, RetryPolicy, Session,
    SessionBuilder, StatusCode, TimeoutPhase,
};
use serde_json::{Value, json};

fn builder() -> SessionBuilder {
    let url = std::env::var("HTTPBIN").expect("HTTPBIN has httpbin's URL");
    Session::builder().base_url(url).user_agent("hyper-session")
}

async fn answer(sent: Result<Response>) -> Result<Value> {
    sent?.error_for_status().await?.json().await
}

#[tokio::test]
#[ignore = "needs httpbin"]
async fn every_verb_arrives_with_what_it_carries() -> Result<()> {
    let session = builder().open().await?;
    for name in ["get", "post", "put", "patch", "delete"] {
        let method = Method::from_bytes(name.to_uppercase().as_bytes()).unwrap();
        let request = session.request(method.clone(), format!("/{name}"));
        let request = request.query(&[("a", "1 & 2"), ("ü", "é")]);
        let request = request.header("x-mine", "yes");
        let seen = if method == Method::GET {
            answer(request.send().await).await?
        } else {
            let seen = answer(request.json(&json!({"key": [1, 2]})).send().await).await?;
            assert_eq!(seen["json"], json!({"key": [1, 2]}), "{name}");
            seen
        };
        assert_eq!(seen["args"], json!({"a": "1 & 2", "ü": "é"}), "{name}");
        assert_eq!(seen["headers"]["X-Mine"], "yes", "{name}");
        assert_eq!(seen["headers"]["User-Agent"], "hyper-session", "{name}");
    }
    let head = session.head("/get").send().await?;
    assert_eq!(head.status(), 200);
    assert!(head.bytes().await?.is_empty());
    let options = session.options("/get").send().await?;
    assert!(options.headers()["allow"].to_str().unwrap().contains("GET"));
    assert_eq!(session.stats().opened, 1);
    Ok(())
}

#[tokio::test]
#[ignore = "needs httpbin"]
async fn bodies_of_every_kind_arrive() -> Result<()> {
    let session = builder().open().await?;
    let sent = session.post("/post").form(&[("a", "1"), ("b", "x y")]);
    let seen = answer(sent.send().await).await?;
    assert_eq!(seen["form"], json!({"a": "1", "b": "x y"}));

    let parts = futures::stream::iter(["one ", "two"].map(Ok::<_, std::io::Error>));
    let sent = session.post("/post").body(Body::wrap_stream(parts));
    assert_eq!(answer(sent.send().await).await?["data"], "one two");

    let file = Part::new("of the file").file_name("a \"b\".txt");
    let form = Form::new().text("field", "ü").part("file", file);
    let seen = answer(session.post("/post").multipart(form).send().await).await?;
    assert_eq!(seen["form"], json!({"field": "ü"}));
    assert_eq!(seen["files"], json!({"file": "of the file"}));
    Ok(())
}

#[tokio::test]
#[ignore = "needs httpbin"]
async fn credentials_are_taken_and_refused() -> Result<()> {
    let session = builder().open().await?;
    for path in ["/basic-auth/me/secret", "/hidden-basic-auth/me/secret"] {
        let good = session.get(path).basic_auth("me", Some("secret"));
        assert_eq!(answer(good.send().await).await?["user"], "me");
        let bad = session
            .get(path)
            .basic_auth("me", Some("other"))
            .send()
            .await?;
        assert!(bad.status().is_client_error());
    }
    let bearer = session.get("/bearer").bearer_auth("token").send().await;
    assert_eq!(answer(bearer).await?["token"], "token");
    let none = session.get("/bearer").raise_for_status(true).send().await;
    assert_eq!(none.unwrap_err().status(), Some(StatusCode::UNAUTHORIZED));
    Ok(())
}

#[tokio::test]
#[ignore = "needs httpbin"]
async fn cookies_are_kept_and_deleted() -> Result<()> {
    let session = builder().cookie_store(CookieJar::new()).open().await?;
    let set = session.get("/cookies/set").query(&[("a", "1"), ("b", "2")]);
    let seen = answer(set.send().await).await?;
    assert_eq!(seen["cookies"], json!({"a": "1", "b": "2"}));
    let own = session.get("/cookies").cookie("b", "own").send().await;
    assert_eq!(answer(own).await?["cookies"], json!({"a": "1", "b": "own"}));
    let deleted = session
        .get("/cookies/delete")
        .query(&[("a", "")])
        .send()
        .await;
    assert_eq!(answer(deleted).await?["cookies"], json!({"b": "2"}));
    Ok(())
}

#[tokio::test]
#[ignore = "needs httpbin"]
async fn redirects_are_followed_as_far_as_is_said() -> Result<()> {
    let session = builder().open().await?;
    for path in [
        "/redirect/3",
        "/relative-redirect/3",
        "/absolute-redirect/3",
    ] {
        let reached = session.get(path).send().await?;
        assert_eq!(reached.history().len(), 3, "{path}");
        assert_eq!(reached.url().path(), "/get");
        let stopped = session
            .get(path)
            .redirect(RedirectPolicy::none())
            .send()
            .await?;
        assert_eq!(stopped.status(), 302);
    }
    let too_many = session.get("/redirect/11").send().await.unwrap_err();
    assert_eq!(too_many.kind(), ErrorKind::Redirect);
    for (status, method) in [(302, "GET"), (303, "GET"), (307, "POST"), (308, "POST")] {
        let to = [
            ("url", "/anything".to_owned()),
            ("status_code", status.to_string()),
        ];
        let sent = session
            .post("/redirect-to")
            .query(&to)
            .body("text")
            .send()
            .await;
        let seen = answer(sent).await?;
        assert_eq!(seen["method"], method, "{status}");
        assert_eq!(seen["data"], if method == "POST" { "text" } else { "" });
    }
    Ok(())
}

#[tokio::test]
#[ignore = "needs httpbin"]
async fn codings_are_undone() -> Result<()> {
    let session = builder().open().await?;
    for (path, flag) in [
        ("/gzip", "gzipped"),
        ("/deflate", "deflated"),
        ("/brotli", "brotli"),
    ] {
        assert_eq!(answer(session.get(path).send().await).await?[flag], true);
        let coded = session.get(path).decompress(false).send().await?;
        assert!(coded.json::<Value>().await.is_err(), "{path}");
    }
    let text = session.get("/encoding/utf8").send().await?.text().await?;
    assert!(text.contains("ἀνοικτὰ") || text.contains("⠎⠊⠛⠝"), "{text}");
    Ok(())
}

#[tokio::test]
#[ignore = "needs httpbin"]
async fn streams_ranges_and_conditions() -> Result<()> {
    let session = builder().open().await?;
    let lines = session.get("/stream/20").send().await?.text().await?;
    assert_eq!(lines.lines().count(), 20);
    let stream = session
        .get("/stream-bytes/100000")
        .send()
        .await?
        .bytes_stream();
    let length = stream
        .try_fold(0, async |sum, part| Ok(sum + part.len()))
        .await?;
    assert_eq!(length, 100_000);
    let part = session
        .get("/range/1000")
        .header(RANGE, "bytes=10-19")
        .send()
        .await?;
    assert_eq!(part.status(), 206);
    assert_eq!(part.text().await?, "klmnopqrst");
    let whole = session.get("/etag/tag").send().await?;
    assert_eq!(whole.headers()[ETAG], "tag");
    let same = session
        .get("/etag/tag")
        .header(IF_NONE_MATCH, "tag")
        .send()
        .await?;
    assert_eq!(same.status(), 304);
    Ok(())
}

#[tokio::test]
#[ignore = "needs httpbin"]
async fn what_is_late_and_what_fails() -> Result<()> {
    let session = builder().open().await?;
    let seen = answer(session.get("/delay/1").send().await).await?;
    assert!(seen["url"].as_str().unwrap().ends_with("/delay/1"));
    let late = session
        .get("/delay/5")
        .head_timeout(Duration::from_millis(200));
    let phase = ErrorKind::Timeout(TimeoutPhase::Head);
    assert_eq!(late.send().await.unwrap_err().kind(), phase);
    for status in [200, 404, 418, 500] {
        let sent = session.get(format!("/status/{status}")).send().await?;
        assert_eq!(sent.status(), status);
    }
    let retry = RetryPolicy::limited(2).backoff(Duration::ZERO, Duration::ZERO);
    let before = session.stats().requests;
    let sent = session.get("/status/503").retry(retry).send().await?;
    assert_eq!(sent.status(), 503);
    assert_eq!(session.stats().requests - before, 3);
    drop(sent);
    let report = session.close().await;
    assert_eq!(report.stats.open, 0);
    Ok(())
}
