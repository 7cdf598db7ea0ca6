//! A server over HTTP/2 that ends connections under their streams, and refuses some of these.

use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use h2::server::{Builder, SendResponse};
use h2::{Reason, RecvStream};
use http::{Method, Request, Response};
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::select;
use tokio::task::yield_now;

use super::server::{SharedLog, answer_to};
use crate::support::dice::Dice;

/// How many streams a connection has at a time.
const STREAMS: u32 = 8;
/// A connection ends after one answer in so many.
const CLOSES: usize = 60;
/// One request in so many is refused.
const REFUSALS: usize = 40;
/// How many answers a connection gives before it breaks. Whoever broke off with the one before has
/// been answered by then: a request is repeated once, and not twice.
const SAFE: usize = 200;

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// A goodbye, when all streams that have come are over.
    GoAway,
    /// A goodbye, at once.
    GoAwayNow,
    /// At once, without a word.
    Fin,
    Reset,
}

struct Connection {
    dice: Dice,
    log: SharedLog,
    answered: usize,
    ending: Ending,
}

pub(crate) async fn serve(tcp: TcpStream, mut dice: Dice, log: SharedLog) {
    let endings = [
        Ending::GoAway,
        Ending::GoAwayNow,
        Ending::Fin,
        Ending::Reset,
    ];
    let ending = endings[dice.below(endings.len())];
    if ending == Ending::Reset {
        let _ = SockRef::from(&tcp).set_linger(Some(Duration::ZERO));
    }
    let connection = Connection {
        dice,
        log,
        answered: 0,
        ending,
    };
    connection.serve(tcp).await;
}

impl Connection {
    async fn serve(mut self, tcp: TcpStream) {
        let mut builder = Builder::new();
        builder.max_concurrent_streams(STREAMS);
        let Ok(mut connection) = builder.handshake::<_, Bytes>(tcp).await else {
            return;
        };
        let mut answers = FuturesUnordered::new();
        let mut is_leaving = false;
        loop {
            select! {
                accepted = connection.accept() => match accepted {
                    Some(Ok((request, answer))) => {
                        answers.extend(self.take(request, answer));
                    }
                    // The client has ended it, or nothing is left to do after a goodbye.
                    Some(Err(_)) | None => return,
                },
                Some(()) = answers.next() => {
                    self.answered += 1;
                    if is_leaving || !self.is_to_end() {
                        continue;
                    }
                    self.log.lock().note_close(self.ending);
                    match self.ending {
                        Ending::GoAway => connection.graceful_shutdown(),
                        Ending::GoAwayNow => connection.abrupt_shutdown(Reason::NO_ERROR),
                        Ending::Fin | Ending::Reset => return,
                    }
                    is_leaving = true;
                }
            }
        }
    }

    fn is_to_end(&mut self) -> bool {
        let is_safe = self.ending == Ending::GoAway || self.answered >= SAFE;
        self.dice.one_in(CLOSES) && is_safe
    }

    /// Notes a request and answers it in a while, unless it is refused.
    fn take(
        &mut self,
        request: Request<RecvStream>,
        mut answer: SendResponse<Bytes>,
    ) -> Option<impl Future<Output = ()> + use<>> {
        let path = request.uri().path().to_owned();
        if self.dice.one_in(REFUSALS) {
            answer.send_reset(Reason::REFUSED_STREAM);
            self.log.lock().refused += 1;
            return None;
        }
        let is_post = request.method() == Method::POST;
        self.log.lock().note(is_post, &path);
        let turns = self.dice.below(4);
        Some(async move {
            let mut body = request.into_body();
            while let Some(Ok(part)) = body.data().await {
                let _ = body.flow_control().release_capacity(part.len());
            }
            for _ in 0..turns {
                yield_now().await;
            }
            // An error says that the client, or the connection, is gone.
            if let Ok(mut sent) = answer.send_response(Response::new(()), false) {
                let _ = sent.send_data(answer_to(&path).into(), true);
            }
        })
    }
}
