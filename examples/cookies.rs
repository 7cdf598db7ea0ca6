//! Cookies that are kept between requests, saved to a file, and taken up again by another session.

mod support;

use axum::Router;
use axum::http::HeaderMap;
use axum::http::header::{COOKIE, SET_COOKIE};
use axum::routing::{get, post};
use hyper_session::{BoxError, CookieJar, Session};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let url = support::serve(site()).await?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("cookies.json");

    let jar = CookieJar::new();
    let session = open(&url, &jar).await?;
    println!("before: {}", session.get("/me").send().await?.text().await?);
    let login = session.post("/login").send().await?;
    for cookie in login.cookies() {
        println!("set: {} until {:?}", cookie.name(), cookie.max_age());
    }
    println!("after: {}", session.get("/me").send().await?.text().await?);
    // A request's own cookie goes beside those of the jar, and does not enter it.
    let request = session.get("/me").cookie("theme", "dark");
    println!("once: {}", request.send().await?.text().await?);
    session.close().await;
    jar.save_to_path(&path)?; // for the owner's eyes alone

    let jar = CookieJar::new();
    jar.load_from_path(&path)?;
    let session = open(&url, &jar).await?;
    println!("later: {}", session.get("/me").send().await?.text().await?);
    session.close().await;
    Ok(())
}

async fn open(url: &str, jar: &CookieJar) -> hyper_session::Result<Session> {
    let builder = Session::builder().base_url(url).cookie_store(jar.clone());
    builder.open().await
}

fn site() -> Router {
    let login = async || [(SET_COOKIE, "id=42; Max-Age=3600; HttpOnly; SameSite=Lax")];
    let me = async |headers: HeaderMap| format!("the server sees {:?}", headers.get(COOKIE));
    Router::new()
        .route("/login", post(login))
        .route("/me", get(me))
}
