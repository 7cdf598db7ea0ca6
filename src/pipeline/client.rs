//! What a session is to its requests: a pool, defaults, and how it ends.

use std::fmt;
use std::future::ready;
use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::future::BoxFuture;

use super::credentials::Provider;
use crate::config::RequestDefaults;
use crate::middleware::Middleware;
use crate::pool::{CloseReport, Lease, Owner, Pool};
use crate::url::BaseUrl;

/// Runs at an awaited close, with a client that may still send.
pub(crate) type CloseHook = Arc<dyn Fn(Arc<Client>) -> BoxFuture<'static, ()> + Send + Sync>;

/// What is the user's own code around requests.
#[derive(Clone, Default)]
pub(crate) struct Hooks {
    pub(crate) on_close: Option<CloseHook>,
    pub(crate) credentials: Option<Arc<Provider<Client>>>,
    pub(crate) middleware: Option<Arc<[Arc<dyn Middleware>]>>,
}

/// An open session with its defaults. Derived ones share the pool and the end.
#[derive(Clone)]
pub(crate) struct Client {
    owner: Arc<Owner>,
    pub(super) hooks: Hooks,
    pub(crate) defaults: RequestDefaults,
    pub(crate) base: Option<BaseUrl>,
    pub(super) as_hook: bool,
}

impl Client {
    pub(crate) fn new(
        owner: Arc<Owner>,
        defaults: RequestDefaults,
        base: Option<BaseUrl>,
        hooks: Hooks,
    ) -> Self {
        Self {
            owner,
            hooks,
            defaults,
            base,
            as_hook: false,
        }
    }

    /// The same for who provides its credentials: requests get none, and it does not keep the session open.
    pub(crate) fn for_provider(&self) -> Self {
        let mut client = self.clone();
        client.hooks.credentials = None;
        client.owner = self.owner.guest();
        client
    }

    pub(crate) fn owner(&self) -> &Arc<Owner> {
        &self.owner
    }

    #[inline]
    pub(crate) fn lease(&self) -> Option<Lease> {
        self.owner.lease()
    }

    /// Closes the session and waits for its end.
    pub(crate) async fn close(self: &Arc<Self>) -> CloseReport {
        self.owner.pool().close(|| self.run_hook()).await
    }

    /// Closes the session; what has not ended within `limit` is cut.
    pub(crate) async fn close_within(self: &Arc<Self>, limit: Duration) -> CloseReport {
        let pool = self.owner.pool();
        pool.close_within(limit, || self.run_hook()).await
    }

    async fn run_hook(self: &Arc<Self>) {
        if let Some(hook) = &self.hooks.on_close {
            let mut client = Self::clone(self);
            client.as_hook = true;
            hook(Arc::new(client)).await;
        }
    }
}

/// A client that has been told to end, or will be; it is not kept by this.
#[derive(Debug)]
pub(crate) struct Leaving {
    client: Weak<Client>,
    /// Outlives the client while leases and exchanges are out.
    pool: Weak<Pool>,
}

/// What can still be closed of a client.
#[derive(Debug)]
pub(crate) enum Remains {
    Client(Arc<Client>),
    /// No handle is left, and so there is no hook to run.
    Pool(Arc<Pool>),
}

impl Leaving {
    pub(crate) fn new(client: &Arc<Client>) -> Self {
        Self {
            client: Arc::downgrade(client),
            pool: Arc::downgrade(client.owner.pool()),
        }
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.pool.strong_count() == 0
    }

    pub(crate) fn remains(&self) -> Option<Remains> {
        match self.client.upgrade() {
            Some(client) => Some(Remains::Client(client)),
            None => self.pool.upgrade().map(Remains::Pool),
        }
    }
}

impl Remains {
    fn pool(&self) -> &Pool {
        match self {
            Self::Client(client) => client.owner.pool(),
            Self::Pool(pool) => pool,
        }
    }

    /// Whether it has been closed to the end.
    pub(crate) fn has_ended(&self) -> bool {
        self.pool().has_ended()
    }

    pub(crate) async fn close(&self) -> CloseReport {
        match self {
            Self::Client(client) => client.close().await,
            Self::Pool(pool) => pool.close(|| ready(())).await,
        }
    }

    pub(crate) async fn close_within(&self, limit: Duration) -> CloseReport {
        match self {
            Self::Client(client) => client.close_within(limit).await,
            Self::Pool(pool) => pool.close_within(limit, || ready(())).await,
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("owner", &self.owner)
            .finish_non_exhaustive()
    }
}
