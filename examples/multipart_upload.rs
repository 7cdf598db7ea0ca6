//! A form with a text and a file, and how far its upload has come.

mod support;

use std::io::Write;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::header::CONTENT_TYPE;
use axum::routing::post;
use hyper_session::multipart::{Form, Part};
use hyper_session::{BoxError, Session};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let url = support::serve(Router::new().route("/photos", post(list))).await?;
    let mut photo = tempfile::Builder::new().suffix(".png").tempfile()?;
    photo.write_all(&vec![7; 300 * 1024])?;

    let form = Form::new().text("title", "a \"grey\" square").part(
        "photo",
        Part::file(photo.path()).await?.file_name("square.png"),
    );
    // The file is read as it is sent. Its length is known, so that of the form is as well.
    let body = form.into_body()?.on_progress(|sent, total| match total {
        Some(total) => println!("{sent} of {total} bytes"),
        None => println!("{sent} bytes"),
    });

    let session = Session::builder()
        .base_url(url)
        .raise_for_status(true)
        .open()
        .await?;
    let answer = session.post("/photos").body(body).send().await?;
    println!("{}", answer.text().await?);
    session.close().await;
    Ok(())
}

/// Says what was in the form.
async fn list(request: Request<Body>) -> Result<String, String> {
    let content_type = request.headers().get(CONTENT_TYPE);
    let content_type = content_type.and_then(|value| value.to_str().ok());
    let boundary = multer::parse_boundary(content_type.unwrap_or_default());
    let boundary = boundary.map_err(|error| error.to_string())?;
    let body = request.into_body().into_data_stream();
    let mut form = multer::Multipart::new(body, boundary);
    let mut found = vec!["the server got".to_owned()];
    while let Some(part) = form.next_field().await.map_err(|error| error.to_string())? {
        let name = part.name().unwrap_or_default().to_owned();
        let (file, of_type) = (
            part.file_name().map(str::to_owned),
            part.content_type().cloned(),
        );
        let bytes = part.bytes().await.map_err(|error| error.to_string())?;
        found.push(format!(
            "  {name}: {} bytes, {file:?}, {of_type:?}",
            bytes.len()
        ));
    }
    Ok(found.join("\n"))
}
