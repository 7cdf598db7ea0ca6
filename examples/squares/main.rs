//! A web service that squares numbers by asking a math API, all on one session.
//!
//! ```sh
//! cargo run --release --example squares
//! curl 'http://127.0.0.1:8085/squares?values=1,2,3,4,5,6,7,8,9,10'
//! ```
//!
//! - `main.rs`: the container `MathRequests`, and the life of its session: opened at the start,
//!   shared by all requests, closed for certain at Ctrl-C or SIGTERM.
//! - `web.rs`: the service; `page.rs`: its answers as HTML.
//! - `math_api.rs`: a small math API to ask when there is no network.

mod math_api;
mod page;
mod web;

use std::io;
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use axum::http::Uri;
use clap::Parser;
use hyper_session::{BoxError, Result, SessionContainer, SessionHolder};
use tokio::net::TcpListener;
use tokio::time::timeout;

/// The client of a math API such as mathjs: a plain struct with a session in one of its fields.
struct MathRequests {
    session: SessionHolder,
    url: String,
}

/// Lends the holder's operations to the struct: `maths.start_session()`, `maths.stats()`, ….
impl SessionContainer for MathRequests {
    fn session_holder(&self) -> &SessionHolder {
        &self.session
    }
}

impl MathRequests {
    /// Opens nothing yet: a container can be made anywhere, also where no runtime is running.
    fn new(url: String) -> Result<Self> {
        let session = SessionHolder::builder()
            .raise_for_status(true) // 4xx and 5xx are errors
            .timeout(Duration::from_secs(30)) // a whole call, from the queue to the last byte
            .build()?;
        Ok(Self { session, url })
    }

    /// `with_session` hands the open session to the closure and keeps it open until the call is
    /// done. Before `start_session` or after a close, it would open one for this call only.
    async fn get_text(&self, expr: &str) -> Result<String> {
        self.session
            .with_session(|s| async move {
                let request = s.get(&self.url).query(&[("expr", expr)]);
                request.send().await?.text().await
            })
            .await
    }

    async fn get_square(&self, value: &str) -> Result<String> {
        self.get_text(&format!("{value}^2")).await
    }
}

/// Answers `GET /squares?values=1,2,3` with the squares of the values.
#[derive(Parser)]
struct Args {
    /// The address to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8085")]
    listen: String,
    /// The math API to ask, such as `http://api.mathjs.org/v4`; without it, an embedded one
    #[arg(long, value_name = "URL", value_parser = http_url)]
    math_api: Option<String>,
    /// The number of worker threads; without it, one per core
    #[arg(long, value_name = "N")]
    workers: Option<NonZeroUsize>,
}

/// Lets a mistyped URL fail here, and not at the first request.
fn http_url(text: &str) -> Result<String, &'static str> {
    let uri = text.parse::<Uri>().ok();
    uri.filter(|uri| matches!(uri.scheme_str(), Some("http" | "https")))
        .map(|_| text.to_owned())
        .ok_or("not an http:// or https:// URL")
}

fn main() -> ExitCode {
    match run(Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("squares: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: Args) -> Result<(), BoxError> {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if let Some(workers) = args.workers {
        runtime.worker_threads(workers.get());
    }
    let runtime = runtime.enable_all().build()?;
    let result = runtime.block_on(serve(args));
    runtime.shutdown_background(); // does not wait for a name that is still being resolved
    result
}

async fn serve(args: Args) -> Result<(), BoxError> {
    let listener = TcpListener::bind(&args.listen)
        .await
        .map_err(|error| format!("cannot listen on {}: {error}", args.listen))?;
    let address = listener.local_addr()?;
    let math_api = match args.math_api {
        Some(url) => url,
        None => math_api::start().await?,
    };

    // One container for the whole application, and one session from its start to its end.
    let maths = Arc::new(MathRequests::new(math_api)?);
    maths.start_session().await?;

    let (stop, stopped) = (stop_signal()?, stop_signal()?);
    println!(
        "squares listens on http://{address}, \
         try: curl 'http://{address}/squares?values=1,2,3,4,5,6,7,8,9,10'"
    );
    let app = web::router(Arc::clone(&maths));
    let server = axum::serve(listener, app).with_graceful_shutdown(stop);
    let server = tokio::spawn(server.into_future());
    stopped.await;

    // Waits for the calls under way, then cuts off what is left after ten seconds: those calls
    // fail, and the service says so to its clients. After it, no socket of the session is open.
    let report = maths.close_session_within(Duration::from_secs(10)).await;
    println!("{report}");
    // The last answers go out; a client that does not read its own cannot hold up the end.
    let _ = timeout(Duration::from_secs(5), server).await;
    Ok(())
}

/// Completes at Ctrl-C or SIGTERM, which are caught from this call on.
#[cfg(unix)]
fn stop_signal() -> io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};

    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// Completes at Ctrl-C, which is caught from this call on.
#[cfg(windows)]
fn stop_signal() -> io::Result<impl Future<Output = ()>> {
    let mut ctrl_c = tokio::signal::windows::ctrl_c()?;
    Ok(async move {
        ctrl_c.recv().await;
    })
}
