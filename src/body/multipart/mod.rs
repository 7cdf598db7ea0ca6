//! Bodies of several parts: forms with files (RFC 7578), and other `multipart` types (RFC 2046 §5.1).
//!
//! # Examples
//!
//! ```no_run
//! use hyper_session::multipart::{Form, Part};
//! # use hyper_session::{Body, Result, Session};
//!
//! # async fn example(session: Session) -> Result<()> {
//! let form = Form::new()
//!     .text("title", "On the beach")
//!     .part("photo", Part::file("photo.jpg").await?)
//!     .part("thumbnail", Part::new(vec![0xff, 0xd8]).file_name("small.jpg").content_type("image/jpeg"));
//! session.post("/photos").multipart(form).send().await?;
//! # Ok(())
//! # }
//! ```

mod part;

mod parts;

mod form;

pub use form::Form;
pub use part::Part;
