//! A session with layers of `tower` around it: at most two requests at a time, and a log of each.
//!
//! ```sh
//! cargo run --example tower_layer
//! ```

use std::time::{Duration, Instant};

use futures::future::try_join_all;
use http::Request;
use hyper_session::{Body, Response, Result, Session};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tower::{BoxError, Service, ServiceBuilder, ServiceExt};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    tokio::spawn(serve(listener));

    let session = Session::builder().base_url(url).open().await?;
    let service = ServiceBuilder::new()
        .concurrency_limit(2)
        .map_request(|request: Request<Body>| {
            println!("begin {}", request.uri());
            request
        })
        .service(session.clone());

    let begin = Instant::now();
    let texts = ["/a", "/b", "/c", "/d"].map(|path| {
        let mut service = service.clone();
        async move {
            let request = Request::get(path).body(Body::empty())?;
            let answer = service.ready().await?.call(request).await?;
            // With all that a response of the session can do.
            let response = Response::from(answer).error_for_status().await?;
            Ok::<_, BoxError>(response.text().await?)
        }
    });
    println!(
        "{:?} after {:?}",
        try_join_all(texts).await?,
        begin.elapsed()
    );
    println!("{}", session.close().await);
    Ok(())
}

/// Answers each request with `done`, after a while.
async fn serve(listener: TcpListener) {
    while let Ok((mut stream, _)) = listener.accept().await {
        tokio::spawn(async move {
            let mut request = [0; 4096];
            while stream
                .read(&mut request)
                .await
                .is_ok_and(|length| length > 0)
            {
                tokio::time::sleep(Duration::from_millis(200)).await;
                let answer = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone";
                if stream.write_all(answer.as_bytes()).await.is_err() {
                    break;
                }
            }
        });
    }
}
