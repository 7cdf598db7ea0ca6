//! A body whose bytes come as they are made, and the record of whether they have all been taken.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::Future;
use futures_util::task::AtomicWaker;
use http::HeaderValue;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;
use sync_wrapper::SyncWrapper;
use tokio::time::{Sleep, sleep};

use crate::error::{BoxError, Error, ErrorKind};

/// What is longer, in bytes, may still be on its way when the response's head arrives.
pub(crate) const LARGE: u64 = 64 * 1024;

/// Makes the same body anew.
pub(super) type Make = Arc<dyn Fn() -> Option<Streaming> + Send + Sync>;

type BoxBody = Pin<Box<dyn HttpBody<Data = Bytes, Error = Error> + Send>>;

/// A streamed body, held to the length that was announced for it.
///
/// hyper sends what it is given and then waits for the announced rest for ever; so a body that ends
/// early, or runs over, fails here.
pub(crate) struct Streaming {
    inner: SyncWrapper<BoxBody>,
    /// How to make it again, if that is possible.
    again: Option<Make>,
    /// What it is.
    pub(super) content_type: Option<HeaderValue>,
    announced: Option<u64>,
    left: Option<u64>,
    over: bool,
    progress: Arc<Progress>,
    /// Whether the last part is so large that it may be on its way long after it was taken.
    ends_large: bool,
    /// Set when what is sent goes nowhere: then no more is asked for.
    write_dead: Option<Arc<AtomicBool>>,
    /// How long to wait at the most until the peer asks for it.
    patience: Option<Pin<Box<Sleep>>>,
    /// What its parts hold on to until they are sent, where nothing else tells of that.
    sending: Option<Arc<Unsent>>,
}

/// Held by a body and by each of its parts until it is sent, or dropped.
struct Unsent(Arc<Progress>);

/// A part that is not sent as long as this is there.
struct Part {
    bytes: Bytes,
    _unsent: Arc<Unsent>,
}

/// How much of a body has been taken.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    taken: AtomicBool,
    /// The same, even if it is on its way for long.
    given: AtomicBool,
    parts: AtomicUsize,
    /// Whether it waits until the peer asks for it.
    held_back: AtomicBool,
    /// The task that waits for that.
    body: AtomicWaker,
    /// Whether the last byte has been sent; known only if that is tracked.
    sent: AtomicBool,
    /// The task that waits for that.
    sender: AtomicWaker,
    /// Why it is to give no more.
    called_off: Mutex<Option<Error>>,
    /// What it failed of. hyper tells only one of those who wait for the exchange.
    failure: Mutex<Option<Error>>,
}

impl Streaming {
    pub(crate) fn new<B>(body: B) -> Self
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let announced = body.size_hint().exact();
        Self {
            inner: SyncWrapper::new(Box::pin(body.map_err(own))),
            again: None,
            content_type: None,
            announced,
            left: announced,
            over: false,
            progress: Arc::default(),
            ends_large: false,
            write_dead: None,
            patience: None,
            sending: None,
        }
    }

    /// A body that can be made any number of times. `None`: it could not be made.
    pub(super) fn replayable(make: Make) -> Option<Self> {
        let mut first = make()?;
        first.again = Some(make);
        Some(first)
    }

    pub(super) fn is_replayable(&self) -> bool {
        self.again.is_some()
    }

    /// The same from its beginning. Not made before somebody reads it.
    pub(super) fn try_clone(&self) -> Option<Self> {
        let make = Arc::clone(self.again.as_ref()?);
        let mut again = Self::new(Again::Unmade(Arc::clone(&make)));
        again.again = Some(make);
        again.content_type.clone_from(&self.content_type);
        again.announced = self.announced;
        again.left = self.announced;
        Some(again)
    }

    pub(crate) fn announced(&self) -> Option<u64> {
        self.announced
    }

    pub(crate) fn announce(&mut self, length: u64) {
        self.announced = Some(length);
        self.left = Some(length);
    }

    /// Lets it go on to its end, whatever its length: there may be trailers after that.
    pub(crate) fn forget_length(&mut self) {
        self.announced = None;
        self.left = None;
    }

    pub(crate) fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    pub(crate) fn stop_at(&mut self, write_dead: Option<Arc<AtomicBool>>) {
        self.write_dead = write_dead;
    }

    /// Has it told when the last byte has been sent.
    pub(crate) fn track(&mut self) {
        let progress = &self.progress;
        let sending = || Arc::new(Unsent(Arc::clone(progress)));
        self.sending.get_or_insert_with(sending);
    }

    /// Why it is to give no more, if its sending is tracked.
    fn poll_called_off(&self, cx: &mut Context<'_>) -> Option<Error> {
        self.sending.as_ref()?;
        self.progress.body.register(cx.waker());
        self.progress.called_off().take()
    }

    /// Gives nothing until the peer asks for it, or has not said anything for that long.
    pub(crate) fn hold_back(&mut self, limit: Duration) {
        self.progress.held_back.store(true, Ordering::SeqCst);
        self.patience = Some(Box::pin(sleep(limit)));
    }

    /// Whether it still waits to be asked for.
    fn poll_held_back(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(patience) = &mut self.patience else {
            return Poll::Ready(());
        };
        self.progress.body.register(cx.waker());
        if self.progress.is_held_back() {
            ready!(patience.as_mut().poll(cx));
            self.progress.ask();
        }
        self.patience = None;
        Poll::Ready(())
    }

    fn note_taken(&self) {
        self.progress.given.store(true, Ordering::SeqCst);
        self.progress.sender.wake();
        if !self.ends_large {
            self.progress.taken.store(true, Ordering::Release);
        }
    }

    /// Keeps what it has failed of for the exchange that sends it, if one does.
    fn fail(&self, error: Error) -> Error {
        if Arc::strong_count(&self.progress) == 1 {
            return error;
        }
        *self.progress.failure() = Some(error);
        Error::new(ErrorKind::Body)
    }

    fn count(&mut self, frame: Option<&Frame<Bytes>>) -> Result<(), Error> {
        let Some(left) = &mut self.left else {
            return Ok(());
        };
        // Trailers are its end as well.
        let fault = match frame.and_then(Frame::data_ref) {
            Some(data) => match left.checked_sub(data.len() as u64) {
                Some(rest) => {
                    *left = rest;
                    return Ok(());
                }
                None => "gave more than",
            },
            None if *left == 0 => return Ok(()),
            None => "ended before",
        };
        let length = self.announced.unwrap_or_default();
        Err(Error::new(ErrorKind::Body).with_message(format!(
            "the request's body {fault} its announced {length} bytes"
        )))
    }
}

impl Progress {
    /// Whether the last byte has been taken, or the body has failed or was dropped. Not at all if it
    /// ends in a part that takes its time to be sent.
    pub(crate) fn is_taken(&self) -> bool {
        self.taken.load(Ordering::Acquire)
    }

    /// Has `task` woken when the last byte has been taken, or sent.
    pub(crate) fn watch(&self, task: &Waker) {
        self.sender.register(task);
    }

    /// Whether the last byte has been taken, be it on its way for long after that.
    pub(crate) fn is_given(&self) -> bool {
        self.given.load(Ordering::SeqCst)
    }

    /// Whether nothing is given until the peer asks for it.
    pub(crate) fn is_held_back(&self) -> bool {
        self.held_back.load(Ordering::SeqCst)
    }

    /// Gives it from now on: the peer has asked for it.
    pub(crate) fn ask(&self) {
        self.held_back.store(false, Ordering::SeqCst);
        self.body.wake();
    }

    /// Waits until the last byte has been sent, or the body and all its parts were dropped.
    pub(crate) fn poll_sent(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.watch(cx.waker());
        if self.is_sent() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    /// The same, if that is tracked.
    pub(crate) fn is_sent(&self) -> bool {
        self.sent.load(Ordering::SeqCst)
    }

    /// Has it fail, if its sending is tracked, when it is next asked for a part.
    pub(crate) fn call_off(&self, why: Error) {
        *self.called_off() = Some(why);
        self.body.wake();
    }

    fn called_off(&self) -> MutexGuard<'_, Option<Error>> {
        let called_off = self.called_off.lock();
        called_off.unwrap_or_else(PoisonError::into_inner)
    }

    /// What the body has failed of.
    pub(crate) fn take_failure(&self) -> Option<Error> {
        self.failure().take()
    }

    fn failure(&self) -> MutexGuard<'_, Option<Error>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many parts have been taken so far.
    pub(crate) fn parts(&self) -> usize {
        self.parts.load(Ordering::Relaxed)
    }
}

impl HttpBody for Streaming {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = &mut *self;
        if this
            .write_dead
            .as_ref()
            .is_some_and(|dead| dead.load(Ordering::Relaxed))
        {
            // An error would take the answer away that is on its way; whoever reads it ends this.
            return Poll::Pending;
        }
        if let Some(error) = this.poll_called_off(cx) {
            this.over = true;
            this.note_taken();
            return Poll::Ready(Some(Err(error)));
        }
        ready!(this.poll_held_back(cx));
        let frame = ready!(this.inner.get_mut().as_mut().poll_frame(cx));
        let counted = match &frame {
            Some(Ok(frame)) => this.count(Some(frame)),
            Some(Err(_)) => Ok(()),
            None => this.count(None),
        };
        let frame = match (counted, frame) {
            (Ok(()), Some(Err(error))) | (Err(error), _) => Some(Err(this.fail(error))),
            (Ok(()), frame) => frame,
        };
        if let Some(Ok(part)) = &frame {
            this.progress.parts.fetch_add(1, Ordering::Relaxed);
            let length = part.data_ref().map_or(0, Bytes::len);
            this.over = this.left == Some(0);
            this.ends_large = this.over && length as u64 > LARGE;
        } else {
            this.over = true;
        }
        if this.over {
            this.note_taken();
        }
        let Some(sending) = &this.sending else {
            return Poll::Ready(frame);
        };
        Poll::Ready(frame.map(|frame| {
            let part = |bytes| Part {
                bytes,
                _unsent: Arc::clone(sending),
            };
            frame.map(|frame| frame.map_data(|bytes| Bytes::from_owner(part(bytes))))
        }))
    }

    fn is_end_stream(&self) -> bool {
        // Asked of a `&self`, while the body inside is only reachable by `&mut`.
        self.over
    }

    fn size_hint(&self) -> SizeHint {
        self.left
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// A body that is made when it is read.
enum Again {
    Unmade(Make),
    Made(Streaming),
}

impl HttpBody for Again {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if let Self::Unmade(make) = &*self {
            let Some(made) = make() else {
                let error = Error::new(ErrorKind::Body);
                return Poll::Ready(Some(Err(error.with_message("it cannot be made again"))));
            };
            *self = Self::Made(made);
        }
        match &mut *self {
            Self::Made(made) => Pin::new(made).poll_frame(cx),
            Self::Unmade(_) => Poll::Ready(None),
        }
    }
}

impl Drop for Streaming {
    fn drop(&mut self) {
        self.note_taken();
    }
}

impl AsRef<[u8]> for Part {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Unsent {
    fn drop(&mut self) {
        let Self(progress) = self;
        progress.sent.store(true, Ordering::SeqCst);
        progress.sender.wake();
    }
}

fn own(error: impl Into<BoxError>) -> Error {
    match error.into().downcast::<Error>() {
        Ok(own) => *own,
        Err(other) => Error::new(ErrorKind::Body).with_source(other),
    }
}
