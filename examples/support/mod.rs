//! What the examples talk to.

use std::io;

use axum::Router;
use tokio::net::TcpListener;

/// Serves on a free port of the loopback; gives the URL. The server ends with the runtime.
pub(crate) async fn serve(router: Router) -> io::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    tokio::spawn(axum::serve(listener, router).into_future());
    Ok(url)
}
