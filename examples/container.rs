//! A struct with a session in one of its fields: opened in a scope, shared by all calls in it, closed
//! after it.

mod support;

use axum::Router;
use axum::extract::Path;
use axum::routing::get;
use futures::future::try_join_all;
use hyper_session::{BoxError, Result, SessionContainer, SessionHolder};

struct Maths {
    session: SessionHolder,
}

/// Lends the holder's operations to the struct: `maths.in_session(…)`, `maths.stats()`, ….
impl SessionContainer for Maths {
    fn session_holder(&self) -> &SessionHolder {
        &self.session
    }
}

impl Maths {
    /// Opens nothing yet.
    fn new(url: String) -> Result<Self> {
        let session = SessionHolder::builder()
            .base_url(url)
            .raise_for_status(true)
            .pool_max_connections(4)
            .build()?;
        Ok(Self { session })
    }

    async fn square(&self, value: u64) -> Result<String> {
        self.with_session(|s| async move {
            s.get(format!("/square/{value}")).send().await?.text().await
        })
        .await
    }
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let square = |Path(value): Path<u64>| async move { (value * value).to_string() };
    let url = support::serve(Router::new().route("/square/{value}", get(square))).await?;

    let maths = Maths::new(url)?;
    println!("open before the scope: {}", maths.is_open());
    let squares = maths
        .in_session(|maths| async move {
            let squares = try_join_all((1..=10).map(|value| maths.square(value))).await?;
            let stats = maths.stats();
            println!("open in the scope: {}", maths.is_open());
            println!("{} connections, {} requests", stats.opened, stats.requests);
            Ok::<_, BoxError>(squares)
        })
        .await?;
    println!("open after the scope: {}", maths.is_open());
    println!("{}", squares.join(" "));
    Ok(())
}
