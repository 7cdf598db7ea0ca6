//! A request that is tried again until the server is ready, and a middleware around the whole of it.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use hyper_session::http::Request;
use hyper_session::{
    Body, BoxError, BoxFuture, HeaderValue, Middleware, Next, Response, Result, RetryPolicy,
    Session,
};

/// Numbers the requests, and prints a line about each.
#[derive(Default)]
struct Log {
    requests: AtomicU32,
}

impl Middleware for Log {
    fn handle(&self, mut request: Request<Body>, next: Next) -> BoxFuture<'_, Result<Response>> {
        let number = self.requests.fetch_add(1, Ordering::Relaxed) + 1;
        let what = format!("{} {}", request.method(), request.uri().path());
        let headers = request.headers_mut();
        headers.insert("x-request-id", HeaderValue::from(number));
        Box::pin(async move {
            let begin = Instant::now();
            let answer = next.run(request).await;
            let (took, status) = (begin.elapsed(), answer.as_ref().map(Response::status));
            println!("request {number}: {what}: {status:?} in {took:.1?}");
            answer
        })
    }
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let url = support::serve(slow_to_start(3)).await?;
    // Waits about 50 ms, then 100 ms, and so on, or as long as the server's `Retry-After` says.
    let policy = RetryPolicy::limited(4)
        .backoff(Duration::from_millis(50), Duration::from_secs(1))
        .try_timeout(Duration::from_secs(5));
    let session = Session::builder()
        .base_url(url)
        .raise_for_status(true)
        .retry(policy)
        .middleware(Log::default())
        .open()
        .await?;

    println!("{}", session.get("/ready").send().await?.text().await?);
    // Not safe to be sent twice, so sent once.
    if let Err(refused) = session.post("/ready").send().await {
        println!("{refused}");
    }
    println!("{}", session.close().await);
    Ok(())
}

/// Answers 503 to so many tries.
fn slow_to_start(refusals: u32) -> Router {
    let tries = Arc::new(AtomicU32::new(0));
    let answer = move |headers: HeaderMap| async move {
        let attempt = tries.fetch_add(1, Ordering::Relaxed) + 1;
        println!(
            "  server: try {attempt} of request {:?}",
            headers["x-request-id"]
        );
        if attempt <= refusals {
            (StatusCode::SERVICE_UNAVAILABLE, "starting")
        } else {
            (StatusCode::OK, "ready")
        }
    };
    let refuse = async || (StatusCode::SERVICE_UNAVAILABLE, "not now");
    Router::new().route("/ready", get(answer).post(refuse))
}
