//! Tokens that are fetched when they are needed, and anew when they are refused: once for all requests.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures::future::try_join_all;
use hyper_session::{BoxError, Credentials, Result, Session, SessionHolder};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Token {
    access_token: String,
    expires_in: u64,
}

/// Asks the API for a token. The session that it gets asks for no credentials itself.
async fn fetch_token(session: Session) -> Result<Credentials> {
    let form = [("grant_type", "client_credentials"), ("client_id", "me")];
    let request = session.post("/token").form(&form).raise_for_status(true);
    let token: Token = request.send().await?.json().await?;
    Ok(Credentials::bearer(token.access_token)?.expires_in(Duration::from_secs(token.expires_in)))
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let tokens = Arc::new(Tokens::default());
    let url = support::serve(api(&tokens)).await?;
    let api = SessionHolder::builder()
        .base_url(url)
        .raise_for_status(true)
        .credentials(fetch_token)
        .build()?;

    api.in_session(|api| async {
        ask_ten_times(api).await?;
        println!("the server forgets the token");
        tokens.valid.store(0, Ordering::Relaxed);
        ask_ten_times(api).await
    })
    .await
}

async fn ask_ten_times(api: &SessionHolder) -> Result<(), BoxError> {
    let greetings = try_join_all((0..10).map(|_| async {
        let greeting = api.get("/greeting").send().await?;
        greeting.text().await
    }))
    .await?;
    println!("{} times: {}", greetings.len(), greetings[0]);
    Ok(())
}

/// What the server knows of its tokens, which are numbered.
#[derive(Default)]
struct Tokens {
    issued: AtomicU32,
    valid: AtomicU32,
}

/// Takes the token that is valid, and no other.
fn api(tokens: &Arc<Tokens>) -> Router {
    let (issuing, checking) = (Arc::clone(tokens), Arc::clone(tokens));
    let token = move || async move {
        let number = issuing.issued.fetch_add(1, Ordering::Relaxed) + 1;
        issuing.valid.store(number, Ordering::Relaxed);
        println!("  server: token {number}");
        let access_token = format!("token-{number}");
        Json(Token {
            access_token,
            expires_in: 3600,
        })
    };
    let greeting = move |headers: HeaderMap| async move {
        let valid = format!("Bearer token-{}", checking.valid.load(Ordering::Relaxed));
        let shown = headers
            .get("authorization")
            .and_then(|shown| shown.to_str().ok());
        if shown == Some(&valid) {
            Ok("hello")
        } else {
            Err(StatusCode::UNAUTHORIZED)
        }
    };
    Router::new()
        .route("/token", post(token))
        .route("/greeting", get(greeting))
}
