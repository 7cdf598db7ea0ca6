//! A request that is still being sent when its answer has begun.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use futures_util::future::select;
use futures_util::task::AtomicWaker;

use super::connection::Lane;
use super::http1::Link;
use super::http2::called_off;
use super::line::Line;
use super::meter::End;
use super::shared::{Exchange, Pool};
use crate::body::Progress;

/// How long the rest of a request may take that nobody waits for, in milliseconds.
const LEFTOVER: u64 = 30_000;

/// How long a body may take to notice that it is called off, in milliseconds.
const RESET: u64 = 1000;

/// An exchange in the hands of a task that sends the rest of the request, whether or not the answer
/// is read, and gives the connection back.
///
/// The reader of the answer shares it until then; afterwards the connection is another's.
pub(super) struct Upload {
    pool: Arc<Pool>,
    link: Arc<Link>,
    stage: Mutex<Stage>,
    reader: AtomicWaker,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The answer is being read.
    Shared,
    /// The answer has been read.
    LeftAlone,
    /// The connection has been given back.
    Over,
}

impl Upload {
    /// Takes over an exchange that has an HTTP/1 connection, `link`.
    pub(super) fn start(exchange: Exchange, link: Arc<Link>) -> Arc<Self> {
        let upload = Arc::new(Self {
            pool: Arc::clone(exchange.pool()),
            link,
            stage: Mutex::new(Stage::Shared),
            reader: AtomicWaker::new(),
        });
        let sending = Arc::clone(&upload).go_on(exchange);
        let runtime = &upload.link.line.timer.runtime;
        upload.pool.tasks.spawn(runtime, sending);
        upload
    }

    async fn go_on(self: Arc<Self>, mut exchange: Exchange) {
        poll_fn(|cx| self.poll(&exchange, cx)).await;
        self.enter(Stage::Over);
        // The answer may have been large as well.
        exchange.renew();
        let now = self.pool.clock.now();
        drop(exchange.finish(now));
    }

    fn poll(&self, exchange: &Exchange, cx: &mut Context<'_>) -> Poll<()> {
        let link = &self.link;
        link.line.signal.begin(cx.waker());
        let mut own = Context::from_waker(&link.line.waker);
        // Twice: hyper asks for a request in the poll after the one that sent the last byte, and
        // nobody wakes it in between.
        let lives = link.drive(&mut own) && (exchange.is_ready() || link.drive(&mut own));
        if !lives || exchange.is_ready() {
            return Poll::Ready(());
        }
        if link.line.signal.has_passed() {
            if self.stage() == Stage::LeftAlone {
                return Poll::Ready(());
            }
            // The limit is the reader's, who may find that what it waited for has come.
            self.reader.wake();
        }
        link.line.pend(cx)
    }

    /// Does something to the connection, if it is still this exchange's.
    pub(super) fn with_link(&self, act: impl FnOnce(&Arc<Pool>, &Arc<Link>)) {
        let stage = self.stage.lock().unwrap_or_else(PoisonError::into_inner);
        if *stage != Stage::Over {
            act(&self.pool, &self.link);
        }
    }

    /// Has the reader woken when its time limit passes.
    pub(super) fn watch(&self, reader: &Waker) {
        self.reader.register(reader);
    }

    /// Lets the rest of the request go on without anybody waiting for it, for a while.
    pub(super) fn leave_alone(&self, total: Option<u64>) {
        self.enter(Stage::LeftAlone);
        self.with_link(|pool, link| {
            let end = pool.clock.now().saturating_add(LEFTOVER);
            pool.arm(&link.line, total.map_or(end, |total| total.min(end)));
            pool.set_background(link);
        });
    }

    pub(super) fn parts(&self) -> (&Arc<Pool>, &Line) {
        (&self.pool, &self.link.line)
    }

    pub(super) fn was_severed(&self) -> bool {
        self.link.was_severed()
    }

    fn stage(&self) -> Stage {
        *self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, next: Stage) {
        let mut stage = self.stage.lock().unwrap_or_else(PoisonError::into_inner);
        if *stage != Stage::Over {
            *stage = next;
        }
    }
}

impl Exchange {
    /// Ends the exchange of a stream whose answer is over, when the rest of its request has been sent.
    pub(super) fn leave_stream(mut self, total: Option<u64>) {
        if let Some(rest) = self.take_unsent() {
            let end = self.pool().clock.now().saturating_add(LEFTOVER);
            let end = total.map_or(end, |total| total.min(end));
            self.send_rest(rest, end);
        }
    }

    fn take_unsent(&mut self) -> Option<Arc<Progress>> {
        match &mut self.lane {
            Some(Lane::Http2(stream)) => stream.take_unsent(),
            Some(Lane::Http1(_)) | None => None,
        }
    }

    /// Keeps the place of a stream while the rest of its request is sent, until that moment or until
    /// the session is closed; then it is reset.
    ///
    /// hyper cannot reset one that waits for the peer's window. As over HTTP/1, that costs the
    /// connection, which ends with its other streams.
    fn send_rest(self, rest: Arc<Progress>, end: u64) {
        let (pool, timer) = (Arc::clone(self.pool()), &self.line().timer);
        let (runtime, tasks) = (timer.runtime.clone(), pool.tasks.clone());
        tasks.spawn(&runtime, async move {
            let sending = async {
                if is_sent_by(end, &rest, &self).await {
                    return;
                }
                rest.call_off(called_off());
                let end = pool.clock.now().saturating_add(RESET);
                if !is_sent_by(end, &rest, &self).await {
                    self.lane().meter().end(End::Error);
                    self.lane().retire();
                }
            };
            select(pin!(sending), pin!(shut(&pool))).await;
            rest.call_off(called_off());
            drop(self);
        });
    }
}

impl Drop for Exchange {
    /// Calls off the rest of a request whose answer nobody waits for any more. hyper resets the stream
    /// by itself only as long as the answer has not come.
    fn drop(&mut self) {
        if let Some(rest) = self.take_unsent() {
            rest.call_off(called_off());
            let end = self.pool().clock.now().saturating_add(LEFTOVER);
            self.hand_over().send_rest(rest, end);
        }
    }
}

/// Waits until the rest of a request has been sent, or was let go of. `false`: not by then.
async fn is_sent_by(end: u64, rest: &Progress, exchange: &Exchange) -> bool {
    let line = exchange.line();
    exchange.pool().arm(line, end);
    poll_fn(|cx| {
        line.signal.begin(cx.waker());
        let mut own = Context::from_waker(&line.waker);
        if rest.poll_sent(&mut own).is_ready() || line.signal.has_passed() {
            return Poll::Ready(rest.is_sent());
        }
        line.pend(cx)
    })
    .await
}

/// Waits until the session is closed.
async fn shut(pool: &Pool) {
    loop {
        let changed = pool.changed.notified();
        if pool.is_shut() {
            return;
        }
        changed.await;
    }
}
