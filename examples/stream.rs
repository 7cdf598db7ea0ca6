//! A function that returns a stream: the stream keeps the session open, and a close waits for it.

mod support;

use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use futures::{Stream, StreamExt, TryStreamExt, stream};
use hyper_session::{BoxError, Bytes, Result, SessionHolder};

/// The parts of the log, as they come. Asks for nothing before it is polled.
fn log(api: &SessionHolder) -> impl Stream<Item = Result<Bytes>> + use<> {
    api.stream_with_session(|s| async move { Ok(s.get("/log").send().await?.bytes_stream()) })
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let url = support::serve(Router::new().route("/log", get(async || slow_log()))).await?;
    let api = SessionHolder::builder().base_url(url).build()?;
    api.start_session().await?;

    let mut log = Box::pin(log(&api));
    let first = log.try_next().await?;
    println!("{}", String::from_utf8_lossy(&first.unwrap_or_default()));

    // The holder has no session from here on. The stream's goes on to its end; then the close returns.
    let closing = async {
        println!("closing");
        println!("closed: {}", api.close_session().await);
    };
    let reading = async move {
        while let Some(part) = log.try_next().await? {
            println!("{}", String::from_utf8_lossy(&part));
        }
        Ok::<_, BoxError>(())
    };
    let ((), read) = tokio::join!(closing, reading);
    read
}

/// A part every 100 ms.
fn slow_log() -> Body {
    let parts = stream::iter(1..=5).then(|number| async move {
        tokio::time::sleep(Duration::from_millis(100)).await;
        Ok::<_, Infallible>(format!("part {number}"))
    });
    Body::from_stream(parts)
}
