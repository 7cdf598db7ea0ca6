//! A list that comes page by page, each with the reference to the next one; and a download to a file.

mod support;

use axum::extract::Query;
use axum::routing::get;
use axum::{Json, Router};
use hyper_session::{BoxError, Result, Session, SessionHolder};
use serde::{Deserialize, Serialize};
use tokio::fs::File;
use tokio::io::AsyncWriteExt;

#[derive(Serialize, Deserialize)]
struct Page {
    names: Vec<String>,
    next: Option<String>,
}

/// The names of all pages. A reference that a server gives is relative to the page that it is on, and not to the
/// base URL: so it is joined to the URL of the answer.
async fn names(session: Session) -> Result<Vec<String>, BoxError> {
    let mut names = Vec::new();
    let mut answer = session.get("/names").query(&[("limit", 3)]).send().await?;
    loop {
        let url = answer.url().clone();
        let page: Page = answer.json().await?;
        println!("{} has {}", url.path(), page.names.join(", "));
        names.extend(page.names);
        let Some(next) = page.next else {
            return Ok(names);
        };
        answer = session.get(url.join(&next)?).send().await?;
    }
}

/// Writes the answer to a file as it comes: no more than a part of it is in memory.
async fn download(session: Session, file: &mut File) -> Result<u64, BoxError> {
    let mut answer = session.get("/large").send().await?;
    let total = answer.content_length().unwrap_or_default();
    let mut written = 0;
    while let Some(part) = answer.chunk().await? {
        file.write_all(&part).await?;
        written += part.len() as u64;
    }
    file.flush().await?;
    println!("{written} of {total} bytes");
    Ok(written)
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let api = SessionHolder::builder()
        .base_url(format!("{}/api/", support::serve(server()).await?))
        .raise_for_status(true)
        .build()?;
    api.in_session(|api| async {
        let names = api.with_session(names).await?;
        println!("{} names", names.len());
        let mut file = File::from_std(tempfile::tempfile()?);
        api.with_session(|session| download(session, &mut file))
            .await?;
        Ok(())
    })
    .await
}

#[derive(Deserialize)]
struct From {
    #[serde(default)]
    from: usize,
    limit: usize,
}

fn server() -> Router {
    let page = |Query(From { from, limit }): Query<From>| async move {
        let all = [
            "Ada", "Alan", "Barbara", "Edsger", "Grace", "John", "Leslie",
        ];
        let end = all.len().min(from + limit);
        let names = all[from..end].iter().map(ToString::to_string).collect();
        let next = (end < all.len()).then(|| format!("/api/names?from={end}&limit={limit}"));
        Json(Page { names, next })
    };
    let router = Router::new().route("/names", get(page));
    let router = router.route("/large", get(async || vec![b'x'; 1_000_000]));
    Router::new().nest("/api", router)
}
