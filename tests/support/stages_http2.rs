//! The server of [`stages`](super::stages) over HTTP/2.

use std::future::poll_fn;
use std::io;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use h2::server::{Builder, SendResponse};
use h2::{RecvStream, SendStream};
use http::{Request, Response};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::select;

use super::stages::{LARGE, Point, Stage};

/// Answers all requests of a connection, one at a time; an error breaks it.
pub(super) async fn answer_all(
    end: impl AsyncRead + AsyncWrite + Unpin,
    stage: Stage,
    point: &Point,
) -> io::Result<()> {
    let mut builder = Builder::new();
    builder.max_concurrent_streams(1);
    let connection = builder.handshake::<_, Bytes>(end).await;
    let mut connection = connection.map_err(io::Error::other)?;
    let mut answers = FuturesUnordered::new();
    loop {
        select! {
            accepted = connection.accept() => match accepted {
                Some(Ok((request, answer))) => answers.push(respond(request, answer, stage, point)),
                Some(Err(_)) | None => return Ok(()),
            },
            Some(answered) = answers.next() => answered?,
        }
    }
}

/// That the stream is gone is no error.
async fn respond(
    request: Request<RecvStream>,
    mut answer: SendResponse<Bytes>,
    stage: Stage,
    point: &Point,
) -> io::Result<()> {
    let is_staged = request.uri().path() == "/held";
    let mut body = request.into_body();
    while let Some(part) = body.data().await {
        let Ok(part) = part else { return Ok(()) };
        let _ = body.flow_control().release_capacity(part.len());
    }
    if is_staged && stage == Stage::Head {
        select! {
            met = point.meet() => met?,
            _ = poll_fn(|cx| answer.poll_reset(cx)) => return Ok(()),
        }
    }
    let Ok(mut sent) = answer.send_response(Response::new(()), false) else {
        return Ok(());
    };
    match stage {
        Stage::LargeBody | Stage::SmallBody if is_staged => {
            let length = if stage == Stage::LargeBody { LARGE } else { 0 };
            respond_in_parts(&mut sent, length, point).await
        }
        _ => {
            let _ = sent.send_data(Bytes::from_static(b"ok"), true);
            Ok(())
        }
    }
}

async fn respond_in_parts(
    sent: &mut SendStream<Bytes>,
    length: usize,
    point: &Point,
) -> io::Result<()> {
    let _ = sent.send_data(Bytes::from_static(b"part"), false);
    select! {
        met = point.meet() => met?,
        _ = poll_fn(|cx| sent.poll_reset(cx)) => return Ok(()),
    }
    let _ = sent.send_data(vec![b'x'; length].into(), true);
    Ok(())
}
