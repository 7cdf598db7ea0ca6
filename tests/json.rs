//! What is wrong with JSON is told so that it can be found.
#![cfg(feature = "json")]
#![allow(clippy::unwrap_used, reason = "a test that fails here has its line")]

mod support;

use std::collections::BTreeMap;
use std::error::Error as _;

use hyper_session::{Error, ErrorKind, Result, Session};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use support::server::{Server, status, text};

async fn read<T: DeserializeOwned>(body: impl Into<bytes::Bytes>) -> Result<T> {
    let body = body.into();
    let server = Server::start(async move |_| text(body.clone()));
    let session = Session::builder().open().await?;
    session
        .get(server.url("/?q=s3cret"))
        .send()
        .await?
        .json()
        .await
}

#[derive(Debug, Deserialize, PartialEq)]
struct Order {
    items: Vec<Item>,
}

#[derive(Debug, Deserialize, PartialEq)]
struct Item {
    price: u32,
}

fn shown(error: &Error) -> String {
    assert_eq!(error.kind(), ErrorKind::Decode);
    assert_eq!(error.status().unwrap(), 200);
    assert!(error.url().is_some() && error.was_sent() && error.source().is_some());
    let shown = error.to_string();
    let (place, rest) = shown.split_once(": 200 OK (http://").unwrap();
    assert!(!rest.contains("s3cret"));
    let place = place.strip_prefix("the body is not the JSON that was expected, ");
    place.unwrap().to_owned()
}

#[tokio::test]
async fn an_error_says_where_by_path_line_and_column() {
    let body = "{\n  \"items\": [\n    {\"price\": 1},\n    {\"price\": \"h1dden\"}\n  ]\n}";
    let error = read::<Order>(body).await.unwrap_err();
    assert_eq!(shown(&error), "at `items[1].price`, line 4, column 22");
    assert_eq!(error.body(), Some(body.as_bytes()));
    assert!(!error.to_string().contains("h1dden"));

    let error = read::<Order>("{\"items\": [{}]}").await.unwrap_err();
    assert_eq!(shown(&error), "at `items[0]`, line 1, column 13");
    let error = read::<Order>("{\"items\": [{\"price\": 1}")
        .await
        .unwrap_err();
    assert!(shown(&error).ends_with("line 1, column 23"), "{error}");
}

#[tokio::test]
async fn without_a_path_line_and_column_are_told() {
    let error = read::<Order>("<html>no json</html>").await.unwrap_err();
    assert_eq!(shown(&error), "line 1, column 1");
    let error = read::<Vec<u8>>("[1] trailing").await.unwrap_err();
    assert_eq!(shown(&error), "line 1, column 5");
    let error = read::<Order>("").await.unwrap_err();
    assert_eq!(shown(&error), "line 1, column 0");
    assert_eq!(error.body(), Some(&b""[..]));
}

#[tokio::test]
async fn an_error_keeps_no_more_than_the_head_of_the_body_and_of_the_path() {
    let error = read::<Order>("x".repeat(100_000)).await.unwrap_err();
    assert_eq!(error.body().unwrap(), "x".repeat(512).as_bytes());
    let key = "k\\n".repeat(10_000);
    let error = read::<BTreeMap<String, u8>>(format!("{{\"{key}\": null}}"))
        .await
        .unwrap_err();
    let shown = shown(&error);
    assert!(shown.len() < 500 && !shown.contains('\n'), "{shown}");
}

#[tokio::test]
async fn nesting_without_an_end_is_an_error() {
    let error = read::<serde_json::Value>("[".repeat(1_000_000))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Decode);
}

#[tokio::test]
async fn the_mark_of_utf8_is_passed_over() -> Result<()> {
    let marked = "\u{feff}{\"items\": [{\"price\": 1}]}";
    let items = vec![Item { price: 1 }];
    assert_eq!(read::<Order>(marked).await?, Order { items });
    Ok(())
}

#[tokio::test]
async fn the_status_of_an_answer_without_json_is_told() {
    let server = Server::start(async |_| status(204));
    let session = Session::builder().open().await.unwrap();
    let answer = session.get(server.url("/")).send().await.unwrap();
    let error = answer.json::<Order>().await.unwrap_err();
    assert_eq!(error.status().unwrap(), 204);
    assert!(!error.is_status());
}
