//! What the clones of a holder share: the one place for a session, and who opened it.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use futures_util::future::{BoxFuture, Either, join_all, select};
use http::HeaderName;
use tokio::sync::{Mutex, Notify};

use crate::builder::Recipe;
use crate::config::WhenClosed;
use crate::error::{Error, Result};
use crate::pipeline::client::{Leaving, Remains};
use crate::pool::{CloseReport, Lease, Stats};
use crate::request::{Bind, Bound};
use crate::session::Session;
use crate::url::BaseUrl;

tokio::task_local! {
    /// The slots whose opening hooks the current task is in, as their addresses.
    static OPENING: Vec<usize>;
}

pub(crate) struct Slot {
    /// `None`: the holder lends the session of another.
    recipe: Option<Recipe>,
    content: RwLock<Content>,
    /// Held while a session is being opened, so that concurrent starts open one.
    gate: Mutex<()>,
    /// Rung by each close, so that an opening under way ends.
    closed: Notify,
    one_shots: AtomicU64,
}

#[derive(Default)]
struct Content {
    open: Option<Open>,
    /// In the hands of the opening hook.
    opening: Option<Session>,
    /// Taken out, and perhaps not at their end yet.
    draining: Vec<Leaving>,
    lender: Option<Session>,
    closes: u64,
}

struct Open {
    session: Session,
    by: OpenedBy,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OpenedBy {
    Start,
    /// That many scopes; the last one out closes.
    Scopes(usize),
    Lender,
}

/// What an opening is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Start,
    Replace,
    Scope,
}

/// A session held open for one call.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) session: Session,
    pub(crate) lease: Lease,
}

impl Slot {
    pub(crate) fn new(recipe: Recipe) -> Arc<Self> {
        Arc::new(Self::with(Some(recipe), Content::default()))
    }

    pub(crate) fn lent(lender: Session) -> Arc<Self> {
        let content = Content {
            open: Some(Open {
                session: lender.clone(),
                by: OpenedBy::Lender,
            }),
            lender: Some(lender),
            ..Content::default()
        };
        Arc::new(Self::with(None, content))
    }

    fn with(recipe: Option<Recipe>, content: Content) -> Self {
        Self {
            recipe,
            content: RwLock::new(content),
            gate: Mutex::new(()),
            closed: Notify::new(),
            one_shots: AtomicU64::new(0),
        }
    }

    #[inline]
    fn read(&self) -> RwLockReadGuard<'_, Content> {
        self.content.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Content> {
        self.content.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn session(&self) -> Option<Session> {
        self.read().live().map(|open| open.session.clone())
    }

    pub(crate) fn stats(&self) -> Stats {
        let session = self.session();
        Stats {
            one_shots: self.one_shots.load(Ordering::Relaxed),
            ..session.map_or_else(Stats::default, |session| session.stats())
        }
    }

    /// The open session, held.
    // Inlined with what it calls: every `with_session` pays for it.
    #[inline]
    pub(crate) fn hold_now(&self) -> Option<Held> {
        let content = self.read();
        let open = content.open.as_ref()?;
        // Taken under the lock: a close that comes after it finds the lease.
        let lease = open.session.lease()?;
        Some(Held {
            session: open.session.clone(),
            lease,
        })
    }

    /// The open session, held, or what the holder does when there is none.
    pub(crate) async fn hold(&self) -> Result<Held> {
        if let Some(held) = self.hold_now() {
            return Ok(held);
        }
        self.refuse_inside_hook()?;
        let recipe = self.recipe.as_ref().ok_or_else(not_open)?;
        match recipe.when_closed {
            WhenClosed::Refuse => Err(not_open()),
            WhenClosed::Open => {
                self.start().await?;
                self.hold_now().ok_or_else(not_open)
            }
            WhenClosed::OneShot => {
                let session = self
                    .in_hook(recipe.finish_opening(recipe.prepare()))
                    .await?;
                self.one_shots.fetch_add(1, Ordering::Relaxed);
                let lease = session.lease().ok_or_else(closed_while_opening)?;
                Ok(Held { session, lease })
            }
        }
    }

    /// Opens the session, or adopts the one that a scope has opened.
    pub(crate) async fn start(&self) -> Result<()> {
        match self.recipe.as_ref() {
            Some(recipe) => self.open(recipe, Purpose::Start).await.map(drop),
            None => self.attach_lender(),
        }
    }

    /// Opens a session of another recipe, in place of the one that is open.
    pub(crate) async fn replace(&self, recipe: &Recipe) -> Result<()> {
        self.open(recipe, Purpose::Replace).await.map(drop)
    }

    /// Enters a scope: opens the session, unless it is open.
    pub(crate) async fn enter(&self) -> Result<Held> {
        if let Some(recipe) = &self.recipe {
            return self.open(recipe, Purpose::Scope).await;
        }
        self.attach_lender()?;
        self.hold_now().ok_or_else(not_open)
    }

    /// Leaves a scope. The session, if this was the last scope of one that scopes opened.
    pub(crate) fn leave(&self, session: &Session) -> Option<Session> {
        let mut content = self.write();
        let open = content.open.as_mut()?;
        let OpenedBy::Scopes(scopes) = &mut open.by else {
            return None;
        };
        if !open.session.is_same(session) {
            return None;
        }
        *scopes -= 1;
        if *scopes > 0 {
            return None;
        }
        content.take_out()
    }

    async fn open(&self, recipe: &Recipe, purpose: Purpose) -> Result<Held> {
        if let Some(held) = self.join(purpose) {
            return Ok(held);
        }
        self.refuse_inside_hook()?;
        let closes = self.read().closes;
        let _gate = self.gate.lock().await;
        if let Some(held) = self.join(purpose) {
            return Ok(held);
        }
        let session = self.run_opening(recipe, closes).await?;
        self.install(session, purpose, closes)
    }

    /// Has part in the session that is open already, if that serves the purpose.
    fn join(&self, purpose: Purpose) -> Option<Held> {
        if purpose == Purpose::Replace {
            return None;
        }
        let mut content = self.write();
        let open = content.open.as_mut()?;
        let held = Held {
            lease: open.session.lease()?,
            session: open.session.clone(),
        };
        open.by = match (open.by, purpose) {
            (OpenedBy::Scopes(scopes), Purpose::Scope) => OpenedBy::Scopes(scopes + 1),
            (OpenedBy::Scopes(_), _) => OpenedBy::Start,
            (by, _) => by,
        };
        Some(held)
    }

    /// Makes a session and has the hook look at it, until a close comes between.
    async fn run_opening(&self, recipe: &Recipe, closes: u64) -> Result<Session> {
        let interrupted = self.closed.notified();
        let session = recipe.prepare();
        {
            let mut content = self.write();
            if content.closes != closes {
                return Err(closed_while_opening());
            }
            content.opening = Some(session.clone());
        }
        let _opening = OpeningDone(self);
        let opening = pin!(self.in_hook(recipe.finish_opening(session)));
        match select(opening, pin!(interrupted)).await {
            Either::Left((opened, _)) => opened,
            Either::Right(_) => Err(closed_while_opening()),
        }
    }

    fn install(&self, session: Session, purpose: Purpose, closes: u64) -> Result<Held> {
        let lease = session.lease().ok_or_else(closed_while_opening)?;
        let mut content = self.write();
        if content.closes != closes {
            drop(content);
            return Err(closed_while_opening());
        }
        let replaced = content.take_out();
        content.open = Some(Open {
            session: session.clone(),
            by: match purpose {
                Purpose::Scope => OpenedBy::Scopes(1),
                Purpose::Start | Purpose::Replace => OpenedBy::Start,
            },
        });
        drop(content);
        if let Some(replaced) = replaced {
            replaced.begin_close();
        }
        Ok(Held { session, lease })
    }

    fn attach_lender(&self) -> Result<()> {
        let mut content = self.write();
        if content.live().is_some() {
            return Ok(());
        }
        let lender = content.lender.clone().ok_or_else(not_open)?;
        if lender.is_closing() {
            return Err(not_open());
        }
        content.open = Some(Open {
            session: lender,
            by: OpenedBy::Lender,
        });
        Ok(())
    }

    /// Closes the session, and waits for those that were taken out before as well.
    pub(crate) async fn close(&self) -> CloseReport {
        let closing = self.take_all();
        self.report(&join_all(closing.iter().map(Remains::close)).await)
    }

    pub(crate) async fn close_within(&self, limit: Duration) -> CloseReport {
        let closing = self.take_all();
        self.report(&join_all(closing.iter().map(|client| client.close_within(limit))).await)
    }

    fn take_all(&self) -> Vec<Remains> {
        let mut closing = {
            let mut content = self.write();
            content.closes += 1;
            // Kept until the weak references below have become strong: it may be the last handle.
            let taken = content.take_out();
            let draining = content.draining.iter().filter_map(Leaving::remains);
            let mut closing: Vec<_> = draining.collect();
            let opening = content.opening.as_ref().map(Session::client);
            closing.extend(opening.cloned().map(Remains::Client));
            drop(taken);
            closing
        };
        self.closed.notify_waiters();
        closing.retain(|client| !client.has_ended());
        closing
    }

    fn report(&self, reports: &[CloseReport]) -> CloseReport {
        let mut report = reports
            .iter()
            .fold(CloseReport::default(), CloseReport::merge);
        report.stats.one_shots = self.one_shots.load(Ordering::Relaxed);
        report
    }

    async fn in_hook<T>(&self, hook: impl Future<Output = T>) -> T {
        let mut opening = OPENING.try_with(Vec::clone).unwrap_or_default();
        opening.push(self.address());
        OPENING.scope(opening, hook).await
    }

    fn refuse_inside_hook(&self) -> Result<()> {
        let inside = OPENING.try_with(|opening| opening.contains(&self.address()));
        match inside {
            Ok(true) => Err(Error::closed(
                "the holder's session is not open yet inside its own on_open hook: \
                 use the session that the hook got",
            )),
            Ok(false) | Err(_) => Ok(()),
        }
    }

    fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }
}

impl Content {
    fn live(&self) -> Option<&Open> {
        self.open.as_ref().filter(|open| !open.session.is_closing())
    }

    /// Empties the slot. The session, unless it belongs to another.
    fn take_out(&mut self) -> Option<Session> {
        let Open { session, by } = self.open.take()?;
        if by == OpenedBy::Lender {
            return None;
        }
        self.draining.retain(|client| !client.is_gone());
        self.draining.push(Leaving::new(session.client()));
        Some(session)
    }
}

impl Bind for Slot {
    fn bind_now(&self) -> Option<Bound> {
        self.hold_now().map(Held::into_bound)
    }

    fn bind(self: Arc<Self>) -> BoxFuture<'static, Result<Bound>> {
        Box::pin(async move { self.hold().await.map(Held::into_bound) })
    }

    fn base(&self) -> Option<BaseUrl> {
        self.recipe.as_ref()?.base().cloned()
    }

    fn skipped_headers(&self) -> &[HeaderName] {
        let recipe = self.recipe.as_ref();
        recipe.map_or(&[], Recipe::skipped_headers)
    }
}

impl Held {
    fn into_bound(self) -> Bound {
        Bound {
            client: Arc::clone(self.session.client()),
            lease: Some(self.lease),
        }
    }
}

/// Forgets the session that was being opened, however that ended.
struct OpeningDone<'a>(&'a Slot);

impl Drop for OpeningDone<'_> {
    fn drop(&mut self) {
        let opening = self.0.write().opening.take();
        drop(opening);
    }
}

fn not_open() -> Error {
    Error::closed("no session is open")
}

fn closed_while_opening() -> Error {
    Error::closed("the session was closed while it was being opened")
}
