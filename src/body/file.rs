//! A body that is read from a file.

use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, TryFutureExt, TryStreamExt, stream};
use http::HeaderValue;
use http_body::Frame;
use http_body_util::StreamBody;
use tokio::fs::{File, metadata};
use tokio::io::{AsyncReadExt, Take};
use tokio::runtime::Handle;

use super::media_type;
use super::outgoing::Body;
use crate::error::{Error, ErrorKind, Result};

/// How much is read at a time, in bytes.
const PART: usize = 64 * 1024;

impl Body {
    /// Makes a body of a file: as long as it is now, and of the type that its name's extension stands
    /// for (feature `mime-guess`; else, and where it is unknown, `application/octet-stream`).
    ///
    /// It is opened here, to see that it can be, and again each time that the body is sent. What is
    /// appended to it meanwhile is not sent.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Body`](crate::ErrorKind::Body), if it cannot be opened, or is no file but a
    /// directory, a pipe or a device; [`ErrorKind::NoRuntime`](crate::ErrorKind::NoRuntime). When it is
    /// sent, `Body` as well, if it cannot be read then, or has become shorter.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # use hyper_session::{Body, Result, Session};
    /// # async fn example(session: Session) -> Result<()> {
    /// session.put("/photos/1").body(Body::file("photo.jpg").await?).send().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn file(path: impl AsRef<Path>) -> Result<Self> {
        Handle::try_current().map_err(Error::no_runtime)?;
        let path: Arc<Path> = path.as_ref().into();
        let length = length_of(&path)
            .await
            .map_err(|error| named(&path, error))?;
        let content_type = HeaderValue::try_from(media_type::of(&path)).ok();
        let make = move || Some(opened(Arc::clone(&path), length).into_streaming());
        let body = Self::made_by(Arc::new(make)).unwrap_or_default();
        Ok(body.with_content_type(content_type))
    }
}

/// The length of a file that can be read.
async fn length_of(path: &Path) -> io::Result<u64> {
    // Not opened before: a pipe would wait for its other end.
    if !metadata(path).await?.is_file() {
        return Err(io::Error::other("not a file"));
    }
    let opened = File::open(path).await?.metadata().await?;
    Ok(opened.len())
}

/// The first so many bytes of a file, which is opened when they are asked for.
fn opened(path: Arc<Path>, length: u64) -> Body {
    let failing = Arc::clone(&path);
    let parts = async move { File::open(&path).await }
        .map_ok(move |file| parts_of(file.take(length)))
        .try_flatten_stream()
        .map_err(move |error| named(&failing, error));
    let mut body = Body::wrap(StreamBody::new(parts.map_ok(Frame::data)));
    body.announce(length);
    body
}

fn parts_of(file: Take<File>) -> impl Stream<Item = io::Result<Bytes>> {
    stream::try_unfold(file, async |mut file| {
        let mut part = BytesMut::with_capacity(PART);
        let read = file.read_buf(&mut part).await?;
        Ok((read > 0).then(|| (part.freeze(), file)))
    })
}

fn named(path: &Path, error: io::Error) -> Error {
    let message = format!("the file `{}` cannot be read", path.display());
    Error::new(ErrorKind::Body)
        .with_message(message)
        .with_source(error)
}
