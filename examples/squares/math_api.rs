//! A math API on loopback that answers as mathjs does: `GET /v4?expr=2%5E2` gives `4`.

use std::io;

use axum::Router;
use axum::extract::Query;
use axum::extract::rejection::QueryRejection;
use axum::http::StatusCode;
use axum::routing::get;
use serde::Deserialize;
use tokio::net::TcpListener;

/// The time to evaluate an expression grows with the square of its length.
const MAX_LENGTH: usize = 500;

/// Starts the API on a free port; gives its URL. It ends with the runtime.
pub(crate) async fn start() -> io::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}/v4", listener.local_addr()?);
    let router = Router::new().route("/v4", get(answer));
    tokio::spawn(axum::serve(listener, router).into_future());
    Ok(url)
}

#[derive(Deserialize)]
struct Params {
    expr: String,
}

async fn answer(params: Result<Query<Params>, QueryRejection>) -> (StatusCode, String) {
    let result = params
        .map_err(|rejection| rejection.body_text())
        .and_then(|Query(params)| evaluate(&params.expr));
    match result {
        Ok(result) => (StatusCode::OK, result),
        Err(reason) => (StatusCode::BAD_REQUEST, format!("Error: {reason}")),
    }
}

fn evaluate(expr: &str) -> Result<String, String> {
    if expr.len() > MAX_LENGTH {
        return Err(format!("the expression is longer than {MAX_LENGTH} bytes"));
    }
    let result: f64 = exmex::eval_str(expr).map_err(|error| {
        let reason = error.msg().split_whitespace().collect::<Vec<_>>();
        reason.join(" ") // in one line: it may quote the expression
    })?;
    if !result.is_finite() {
        return Err(format!("the result is {result}, not a finite number"));
    }
    let result = result + 0.0; // makes -0 a 0
    Ok(match result.abs() {
        1e21.. => format!("{result:e}"),
        _ => result.to_string(), // 4 for 4.0
    })
}
