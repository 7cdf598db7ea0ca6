//! An HTTP/2 peer that answers, refuses and says goodbye as told.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use h2::server::{Builder, Connection, SendResponse};
use h2::{Reason, RecvStream};
use http::{Request, Response};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::select;
use tokio_native_tls::TlsAcceptor;

use super::host::{Accepted, Host};
use super::tally::{End, Tally};
use super::tls::acceptor;

/// What an HTTP/2 peer is like.
#[derive(Clone, Copy, Debug, Default)]
pub struct Manner {
    /// How many streams it allows at a time. `None`: it does not say.
    pub max_streams: Option<u32>,
}

/// A request as it came in, to be answered by hand.
#[derive(Debug)]
pub struct Call {
    pub request: Request<RecvStream>,
    pub answer: SendResponse<Bytes>,
    /// The number of the connection, from 0.
    pub connection: usize,
    /// The number of the request on its connection, from 0.
    pub number: usize,
}

/// What the peer does when a call is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    GoOn,
    /// Takes no new streams, and ends when those that there are have ended.
    GoAway,
    /// Ends the connection at once.
    Break,
}

/// An HTTP/2 server on a thread of its own; counts and waits are those of [`Host`].
#[derive(Debug)]
pub struct Http2Server {
    host: Host,
    scheme: &'static str,
    peak: Arc<AtomicUsize>,
}

impl Http2Server {
    /// Starts a server in the clear, for clients that know it beforehand.
    pub fn start<H>(manner: Manner, handler: H) -> Self
    where
        H: AsyncFn(Call) -> Then + Send + 'static,
    {
        Self::launch(manner, None, handler)
    }

    /// Starts a server over TLS that chooses HTTP/2.
    pub fn start_tls<H>(manner: Manner, handler: H) -> Self
    where
        H: AsyncFn(Call) -> Then + Send + 'static,
    {
        Self::launch(
            manner,
            Some(acceptor(&["localhost", "127.0.0.1"], &["h2"])),
            handler,
        )
    }

    fn launch<H>(manner: Manner, tls: Option<TlsAcceptor>, handler: H) -> Self
    where
        H: AsyncFn(Call) -> Then + Send + 'static,
    {
        let scheme = if tls.is_some() { "https" } else { "http" };
        let peak = Arc::new(AtomicUsize::new(0));
        let seen = Arc::clone(&peak);
        let host = Host::start("http2", async move |accepted: Accepted| {
            let serving = Serving {
                manner,
                number: accepted.number,
                tally: accepted.tally,
                peak: &seen,
                handler: &handler,
            };
            let _ = accepted.tcp.set_nodelay(true);
            match &tls {
                None => serving.run(accepted.tcp).await,
                Some(acceptor) => {
                    if let Ok(io) = acceptor.accept(accepted.tcp).await {
                        serving.tally.update(|counts| counts.handshakes += 1);
                        serving.run(io).await;
                    }
                }
            }
        });
        Self { host, scheme, peak }
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}://127.0.0.1:{}{path}", self.scheme, self.port())
    }

    /// How many calls were under way at a time on one connection, at the most.
    pub fn peak(&self) -> usize {
        self.peak.load(Ordering::SeqCst)
    }
}

impl Deref for Http2Server {
    type Target = Host;

    fn deref(&self) -> &Host {
        &self.host
    }
}

struct Serving<'a, H> {
    manner: Manner,
    number: usize,
    tally: Tally,
    peak: &'a AtomicUsize,
    handler: &'a H,
}

impl<H: AsyncFn(Call) -> Then> Serving<'_, H> {
    async fn run(&self, io: impl AsyncRead + AsyncWrite + Unpin) {
        let mut builder = Builder::new();
        if let Some(streams) = self.manner.max_streams {
            builder.max_concurrent_streams(streams);
        }
        if let Ok(connection) = builder.handshake(io).await {
            self.serve(connection).await;
        }
    }

    async fn serve(&self, mut connection: Connection<impl AsyncRead + AsyncWrite + Unpin, Bytes>) {
        let mut calls = FuturesUnordered::new();
        let mut number = 0;
        loop {
            select! {
                accepted = connection.accept() => match accepted {
                    Some(Ok((request, answer))) => {
                        self.tally.update(|counts| counts.requests += 1);
                        let connection = self.number;
                        let call = Call { request, answer, connection, number };
                        calls.push((self.handler)(call));
                        self.peak.fetch_max(calls.len(), Ordering::SeqCst);
                        number += 1;
                    }
                    Some(Err(_)) => return self.tally.client_closed(self.number, End::Abrupt),
                    None => {
                        // What has come is still read.
                        while let Some(Some(_)) = calls.next().now_or_never() {}
                        return self.tally.client_closed(self.number, End::Clean);
                    }
                },
                Some(then) = calls.next() => match then {
                    Then::GoOn => {}
                    Then::GoAway => connection.graceful_shutdown(),
                    Then::Break => return,
                },
            }
        }
    }
}

impl Call {
    /// Reads the request's body.
    pub async fn body(&mut self) -> Bytes {
        let mut read = Vec::new();
        while let Some(Ok(part)) = self.request.body_mut().data().await {
            read.extend_from_slice(&part);
            let flow = self.request.body_mut().flow_control();
            let _ = flow.release_capacity(part.len());
        }
        read.into()
    }

    /// Answers 200 with this text.
    pub fn text(mut self, text: impl Into<Bytes>) -> Then {
        let answered = self.answer.send_response(Response::new(()), false);
        if let Ok(mut body) = answered {
            let _ = body.send_data(text.into(), true);
        }
        Then::GoOn
    }

    /// Refuses to work on it.
    pub fn refuse(mut self) -> Then {
        self.answer.send_reset(Reason::REFUSED_STREAM);
        Then::GoOn
    }
}
