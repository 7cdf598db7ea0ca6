//! How long somebody waits for a future, and a future whose polls and wakes the model sees.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use futures::task::AtomicWaker;
use tokio::task::yield_now;
use tokio::time::{sleep, timeout};

use super::dice::{Dice, ms};
use super::event::RequestId;
use super::world::World;

/// When a future is dropped before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    ForEver,
    /// When it is woken after so many polls.
    Polls(usize),
    /// After so many polls, each followed by another at once.
    EagerPolls(usize),
    /// After so many milliseconds.
    Time(u64),
}

/// A while in which nobody polls, shorter than any time limit of a session.
#[derive(Clone, Copy, Debug)]
pub struct Neglect {
    after: usize,
    millis: u64,
}

impl Patience {
    pub fn draw(dice: &mut Dice, percent: u32) -> Self {
        if !dice.chance(percent) {
            return Self::ForEver;
        }
        match dice.number(0..=2) {
            0 => Self::Polls(dice.pick(&[0, 1, 1, 1, 2, 4])),
            1 => Self::EagerPolls(dice.number(1..=6)),
            _ => Self::Time(dice.millis(0..=30)),
        }
    }

    /// `None`: given up.
    pub async fn wait<F: Future>(self, future: F) -> Option<F::Output> {
        let mut future = Box::pin(future);
        match self {
            Self::ForEver => Some(future.await),
            Self::Polls(polls) => Limited { future, polls }.await,
            Self::EagerPolls(polls) => {
                for _ in 0..polls {
                    if let Poll::Ready(output) = futures::poll!(future.as_mut()) {
                        return Some(output);
                    }
                    yield_now().await;
                }
                None
            }
            Self::Time(millis) => timeout(ms(millis), future).await.ok(),
        }
    }
}

/// Ends when it is to be polled once more than so often.
struct Limited<F> {
    future: Pin<Box<F>>,
    polls: usize,
}

impl<F: Future> Future for Limited<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.polls == 0 {
            return Poll::Ready(None);
        }
        self.polls -= 1;
        match self.future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl Neglect {
    pub fn draw(dice: &mut Dice, percent: u32) -> Option<Self> {
        dice.chance(percent).then(|| Self {
            after: dice.number(1..=4),
            millis: dice.millis(0..=25),
        })
    }
}

/// A request's future, of which the model learns what is done to it.
pub struct Watched<F> {
    /// There until it is dropped.
    future: Option<Pin<Box<F>>>,
    world: World,
    request: RequestId,
    bell: Arc<Bell>,
    waker: Waker,
}

/// Stands in for the task that waits for a request.
struct Bell {
    world: World,
    request: RequestId,
    task: AtomicWaker,
}

impl<F: Future> Watched<F> {
    pub fn new(world: &World, request: RequestId, future: F) -> Self {
        let bell = Arc::new(Bell {
            world: world.clone(),
            request,
            task: AtomicWaker::new(),
        });
        Self {
            future: Some(Box::pin(future)),
            world: world.clone(),
            request,
            waker: Waker::from(Arc::clone(&bell)),
            bell,
        }
    }

    /// Waits, but looks elsewhere for a while when it is woken after a few polls.
    pub async fn neglected(mut self, neglect: Option<Neglect>) -> F::Output {
        if let Some(Neglect { after, millis }) = neglect {
            let some_polls = Limited {
                future: Box::pin(&mut self),
                polls: after,
            };
            if let Some(output) = some_polls.await {
                return output;
            }
            self.world.leaves_alone(self.request, true);
            sleep(ms(millis)).await;
            self.world.leaves_alone(self.request, false);
        }
        self.await
    }
}

impl<F: Future> Future for Watched<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = &mut *self;
        this.bell.task.register(cx.waker());
        this.world.begin_poll(this.request);
        let future = this.future.as_mut().expect("only drop takes it");
        let polled = future.as_mut().poll(&mut Context::from_waker(&this.waker));
        this.world.end_poll(this.request, polled.is_ready());
        polled
    }
}

impl<F> Drop for Watched<F> {
    fn drop(&mut self) {
        let before = self.world.watched_stats();
        self.future = None;
        let after = self.world.watched_stats();
        if let Some((before, after)) = before.zip(after) {
            self.world.dropped(self.request, &before, &after);
        }
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.world.is_woken(self.request);
        self.task.wake();
    }
}
