//! `GET /squares?values=1,2,3` in JSON, or as a page for a client that prefers HTML.

use std::convert::Infallible;
use std::error::Error as StdError;
use std::iter::successors;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequestParts, Query, Request, State};
use axum::http::{StatusCode, header, request::Parts};
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse, Response};
use axum::{Json, Router, routing::get};
use futures::future::try_join_all;
use hyper_session::{Error, SessionContainer};
use serde::{Deserialize, Serialize};

use crate::{MathRequests, page};

const MAX_VALUES: usize = 1_000;
const MAX_VALUE_LENGTH: usize = 100;

pub(crate) fn router(maths: Arc<MathRequests>) -> Router {
    Router::new()
        .route("/squares", get(squares))
        .fallback(not_found)
        .method_not_allowed_fallback(not_allowed)
        .layer(middleware::from_fn_with_state(Arc::clone(&maths), log))
        .with_state(maths)
}

async fn squares(
    State(maths): State<Arc<MathRequests>>,
    format: Format,
    params: Result<Query<Params>, QueryRejection>,
) -> Response {
    format.render(answer(&maths, params).await)
}

async fn not_found(format: Format) -> Response {
    let error = "not found, try /squares?values=1,2,3";
    format.render(Err(Refusal::new(StatusCode::NOT_FOUND, error)))
}

async fn not_allowed(format: Format) -> Response {
    let error = "this method is not allowed, GET is";
    format.render(Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, error)))
}

#[derive(Deserialize)]
struct Params {
    #[serde(default)]
    values: String,
}

#[derive(Serialize)]
pub(crate) struct Squares {
    pub(crate) values: Vec<String>,
    pub(crate) results: Vec<String>,
}

async fn answer(
    maths: &MathRequests,
    params: Result<Query<Params>, QueryRejection>,
) -> Result<Squares, Refusal> {
    let Query(params) = params.map_err(|rejection| Refusal::bad_request(rejection.body_text()))?;
    let values = parse(&params.values)?;
    let results = get_squares(maths, &values).await?;
    Ok(Squares { values, results })
}

fn parse(values: &str) -> Result<Vec<String>, Refusal> {
    let values: Vec<String> = values.split(',').map(|v| v.trim().to_owned()).collect();
    let error = if values.iter().any(String::is_empty) {
        "values are missing or empty, try /squares?values=1,2,3".to_owned()
    } else if values.len() > MAX_VALUES {
        format!("more than {MAX_VALUES} values")
    } else if values.iter().any(|value| value.len() > MAX_VALUE_LENGTH) {
        format!("a value is longer than {MAX_VALUE_LENGTH} bytes")
    } else {
        return Ok(values);
    };
    Err(Refusal::bad_request(error))
}

/// Asks for all squares at once. The pool opens as many connections as are useful, up to its
/// limit, and keeps them for the next request. The first call that fails cancels the others.
async fn get_squares(maths: &MathRequests, values: &[String]) -> Result<Vec<String>, Refusal> {
    try_join_all(values.iter().map(async |value| {
        let square = maths.get_square(value).await;
        square.map_err(|error| Refusal::bad_gateway(value, &error))
    }))
    .await
}

/// Why a request is not answered: a status and one line.
#[derive(Serialize)]
struct Refusal {
    #[serde(skip)]
    status: StatusCode,
    error: String,
}

impl Refusal {
    fn new(status: StatusCode, error: impl Into<String>) -> Self {
        let error = error.into();
        Self { status, error }
    }

    fn bad_request(error: String) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error)
    }

    /// An error of the session can be branched on (`kind`, `is_status`, `is_connect`, …) and has
    /// what it takes to explain it: the status and the head of the body that were refused, or the
    /// sources down to the operating system's word.
    fn bad_gateway(value: &str, error: &Error) -> Self {
        let error = if let Some(status) = error.status() {
            let body = String::from_utf8_lossy(error.body().unwrap_or_default());
            let reason = body.lines().next().unwrap_or("no reason given");
            let reason: String = reason.chars().take(200).collect();
            format!("the math API refused {value:?} with {status}: {reason}")
        } else {
            let what = if error.is_connect() {
                "is down"
            } else {
                "failed"
            };
            let chain = successors(Some(error as &dyn StdError), |&error| error.source());
            let chain: Vec<_> = chain.map(ToString::to_string).collect();
            format!("the math API {what}: {}", chain.join(": "))
        };
        Self::new(StatusCode::BAD_GATEWAY, error)
    }
}

/// How the client would like to be answered.
enum Format {
    Json,
    Html,
}

impl<S: Sync> FromRequestParts<S> for Format {
    type Rejection = Infallible;

    /// HTML for those who name it, and name it before JSON.
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let accept = parts.headers.get(header::ACCEPT);
        let accept = accept.and_then(|value| value.to_str().ok()).unwrap_or("");
        let mut types = accept.split([',', ';']).map(str::trim);
        let named = types.find(|name| matches!(*name, "text/html" | "application/json"));
        Ok(match named {
            Some("text/html") => Self::Html,
            _ => Self::Json,
        })
    }
}

impl Format {
    fn render(self, answer: Result<Squares, Refusal>) -> Response {
        match (self, answer) {
            (Self::Json, Ok(squares)) => Json(squares).into_response(),
            (Self::Html, Ok(squares)) => Html(page::squares(&squares)).into_response(),
            (Self::Json, Err(refusal)) => (refusal.status, Json(refusal)).into_response(),
            (Self::Html, Err(Refusal { status, error })) => {
                (status, Html(page::refusal(status, &error))).into_response()
            }
        }
    }
}

/// One line a request on stderr, with what it did to the pool. The counters are those of the
/// session: of requests that overlap, each also counts the others.
async fn log(State(maths): State<Arc<MathRequests>>, request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let (start, before) = (Instant::now(), maths.stats());
    let response = next.run(request).await;
    let after = maths.stats();
    eprintln!(
        "{method} {path} {} in {} ms, connections: {} opened, {} reused",
        response.status().as_u16(),
        start.elapsed().as_millis(),
        after.opened.saturating_sub(before.opened),
        after.reused.saturating_sub(before.reused),
    );
    response
}
