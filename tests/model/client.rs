//! A task that sends requests, and reads, keeps or drops their answers.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt, stream};
use hyper_session::{
    Body, Error, ErrorKind, Method, RequestBuilder, Response, Result, Session, SessionHolder,
};
use tokio::task::yield_now;
use tokio::time::sleep;

use super::dice::{Dice, ms};
use super::event::{Deed, End, Event, RequestId};
use super::network::{HOSTS, Network};
use super::patience::{Neglect, Patience, Watched};
use super::plan::{Ask, Upload};
use super::settings::Settings;
use super::wire::letters;
use super::world::World;

/// What requests are sent by.
#[derive(Clone, Debug)]
pub enum Door {
    Session(Session),
    Holder(SessionHolder<Network>),
}

pub struct Client {
    world: World,
    dice: Dice,
    settings: Settings,
    door: Door,
    /// Answers that are to be read later.
    kept: Vec<Answer>,
}

/// A response, and how far it has been read.
struct Answer {
    errand: Errand,
    response: Response,
    /// As its head says.
    length: usize,
    read: usize,
}

/// Tells the model how a request ends, if only that it was given up.
struct Errand {
    world: World,
    request: RequestId,
    ended: bool,
}

impl Door {
    fn request(&self, ask: Ask, id: RequestId) -> RequestBuilder {
        let url = format!("http://{}/{id}", HOSTS[ask.origin]);
        let method = ask.method.parse::<Method>().expect("a known method");
        let mut request = match self {
            Self::Session(session) => session.request(method, url),
            Self::Holder(holder) => holder.request(method, url),
        };
        if let Some(limit) = ask.timeout {
            request = request.timeout(ms(limit));
        }
        if ask.idempotent {
            request = request.idempotent();
        }
        match ask.upload {
            Upload::Nothing => request,
            Upload::Bytes(length) => request.body(letters(id, length)),
            Upload::Stream {
                parts,
                length,
                pause,
                fails,
            } => {
                let part = Bytes::from(letters(id, length));
                let parts = slow_parts(vec![part; parts], ms(pause), fails);
                request.body(Body::wrap_stream(parts))
            }
        }
    }
}

impl Client {
    pub fn new(world: &World, dice: Dice, settings: Settings, door: Door) -> Self {
        Self {
            world: world.clone(),
            dice,
            settings,
            door,
            kept: Vec::new(),
        }
    }

    pub async fn run(mut self, visits: usize) {
        for _ in 0..visits {
            self.pause().await;
            self.visit().await;
        }
        while let Some(answer) = self.kept.pop() {
            self.pause().await;
            answer.read_whole().await;
        }
    }

    async fn pause(&mut self) {
        match self.dice.number(0..=9) {
            0..=3 => {}
            4 | 5 => yield_now().await,
            6..=8 => sleep(ms(self.dice.millis(1..=15))).await,
            _ => sleep(ms(self.dice.pick(&[20, 200, 1100]))).await,
        }
    }

    async fn visit(&mut self) {
        match self.door.clone() {
            door @ Door::Session(_) => self.exchange(&door).await,
            Door::Holder(holder) => {
                let patience = Patience::draw(&mut self.dice, 10);
                // What is given up in the middle is told by the errand that is dropped.
                let _ = patience.wait(self.visit_by(&holder)).await;
            }
        }
    }

    async fn visit_by(&mut self, holder: &SessionHolder<Network>) {
        let world = self.world.clone();
        match self.dice.number(0..=5) {
            0..=2 => self.exchange(&Door::Holder(holder.clone())).await,
            3 => {
                let deed = Deed::WithSession;
                let call = holder.with_session(async |session| {
                    self.exchange(&Door::Session(session)).await;
                    Ok::<_, Error>(())
                });
                done(&world, deed, call.await);
            }
            4 => {
                let call = holder.in_session(async |holder| {
                    self.exchange(&Door::Holder(holder.clone())).await;
                    self.exchange(&Door::Holder(holder.clone())).await;
                    Ok::<_, Error>(())
                });
                done(&world, Deed::InSession, call.await);
            }
            _ => match holder.enter_session().await {
                Err(error) => done(&world, Deed::Enter, Err(error)),
                Ok(scope) => {
                    self.exchange(&Door::Session(scope.clone())).await;
                    // What is kept would keep a close waiting for us.
                    self.kept.clear();
                    if self.dice.chance(50) {
                        world.note(Event::Does(Deed::Leave));
                        scope.close().await;
                    }
                }
            },
        }
    }

    async fn exchange(&mut self, door: &Door) {
        let mut ask = Ask::draw(&mut self.dice, &self.settings);
        if !self.kept.is_empty() {
            // It may be waiting for a connection that it holds itself.
            ask.timeout = ask.timeout.or(Some(30));
        }
        if let Some(answer) = self.send(door, ask).await {
            self.take(answer).await;
        }
    }

    async fn send(&mut self, door: &Door, ask: Ask) -> Option<Answer> {
        let patience = Patience::draw(&mut self.dice, 30);
        let neglect = Neglect::draw(&mut self.dice, 8);
        let errand = Errand::begin(&self.world, ask);
        let request = door.request(ask, errand.request);
        let sending = Watched::new(&self.world, errand.request, request.send());
        let answered = patience.wait(sending.neglected(neglect)).await?;
        errand.answered(answered)
    }

    async fn take(&mut self, mut answer: Answer) {
        match self.dice.number(0..=9) {
            0 => answer.drop(),
            1 | 2 => {
                let parts = self.dice.number(1..=3);
                let patience = Patience::draw(&mut self.dice, 40);
                let read = patience.wait(answer.read_parts(parts)).await;
                self.pause().await;
                match read {
                    Some(false) => answer.fail_or_end(),
                    Some(true) | None => answer.drop(),
                }
            }
            3 => self.kept.push(answer),
            _ => {
                let patience = Patience::draw(&mut self.dice, 10);
                let _ = patience.wait(answer.read_whole()).await;
            }
        }
    }
}

/// The requests that show that no place has been lost: as many at once as there are places.
pub async fn fill_all_places(world: &World, session: &Session, origin: usize, places: usize) {
    let asks = (0..places).map(|_| async {
        let errand = Errand::begin(world, Ask::together(origin, places));
        let url = format!("http://{}/{}", HOSTS[origin], errand.request);
        let sending = Watched::new(world, errand.request, session.get(url).send());
        if let Some(answer) = errand.answered(sending.await) {
            answer.read_whole().await;
        }
    });
    futures::future::join_all(asks).await;
}

fn slow_parts(
    parts: Vec<Bytes>,
    pause: Duration,
    fails: bool,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    let end = fails.then(|| Err(io::Error::other("no more")));
    let parts = parts.into_iter().map(Ok).chain(end);
    stream::iter(parts).then(move |part| async move {
        if pause > Duration::ZERO {
            sleep(pause).await;
        }
        part
    })
}

fn done(world: &World, deed: Deed, result: Result<()>) {
    let failed = result.err().map(|error| error.kind());
    world.note(Event::Done(deed, failed));
    let explained = failed.is_none_or(|kind| matches!(kind, ErrorKind::Closed | ErrorKind::Hook));
    world.expect(explained, || format!("{deed:?} failed: {failed:?}"));
}

impl Errand {
    fn begin(world: &World, ask: Ask) -> Self {
        Self {
            world: world.clone(),
            request: world.asks(ask),
            ended: false,
        }
    }

    fn answered(mut self, answered: Result<Response>) -> Option<Answer> {
        let response = match answered {
            Ok(response) => response,
            Err(error) => {
                self.fails(&error);
                return None;
            }
        };
        self.world
            .head_came(self.request, response.status().as_u16());
        let number = |name| response.headers().get(name)?.to_str().ok()?.parse().ok();
        let (id, length) = (number("x-id"), number("x-length"));
        self.world.expect(id == Some(self.request), || {
            format!(
                "request {} got the answer {response:?} of {id:?}",
                self.request
            )
        });
        Some(Answer {
            length: length.unwrap_or_default(),
            response,
            errand: self,
            read: 0,
        })
    }

    fn fails(&mut self, error: &Error) {
        self.ended = true;
        self.world.fails(self.request, error);
    }

    fn end(&mut self, end: End) {
        self.ended = true;
        self.world.ends(self.request, end);
    }
}

impl Drop for Errand {
    fn drop(&mut self) {
        if !self.ended {
            self.end(End::GivenUp);
        }
    }
}

impl Answer {
    async fn read_whole(mut self) {
        while self.read_part().await {}
        self.fail_or_end();
    }

    /// Whether there is more to come.
    async fn read_parts(&mut self, parts: usize) -> bool {
        for _ in 0..parts {
            if !self.read_part().await {
                return false;
            }
        }
        true
    }

    async fn read_part(&mut self) -> bool {
        let read = self.response.chunk().await;
        self.errand.world.progresses();
        match read {
            Ok(Some(part)) => {
                let right = part == letters(self.errand.request, part.len());
                self.read += part.len();
                self.errand.world.expect(right, || {
                    format!("request {} got a strange body", self.errand.request)
                });
                true
            }
            Ok(None) => false,
            Err(error) => {
                self.errand.fails(&error);
                false
            }
        }
    }

    /// It has been read to its end, unless it failed before.
    fn fail_or_end(mut self) {
        if self.errand.ended {
            return;
        }
        let Self { length, read, .. } = self;
        let ask = self.errand.world.ask(self.errand.request);
        let is_head = ask.is_some_and(|ask| ask.method == "HEAD");
        let expected = if is_head { 0 } else { length };
        self.errand.world.expect(read == expected, || {
            format!("request {} read {read} of {expected}", self.errand.request)
        });
        self.errand.end(End::Read(read));
    }

    fn drop(mut self) {
        let end = End::Dropped(self.read);
        drop(self.response);
        self.errand.end(end);
    }
}
