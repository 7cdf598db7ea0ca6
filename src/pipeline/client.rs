//! What a session is to its requests: a pool, defaults, and how it ends.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::call::Call;
use crate::config::RequestDefaults;
use crate::error::Result;
use crate::pool::{CloseReport, Lease, Outgoing, Owner};
use crate::response::Response;
use crate::url::BaseUrl;

/// Runs at an awaited close, with a client that may still send.
pub(crate) type CloseHook = Box<dyn Fn(Arc<Client>) -> BoxFuture<'static, ()> + Send + Sync>;

/// An open session with its defaults. Derived ones share the pool and the end.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    owner: Arc<Owner>,
    closing: Arc<Closing>,
    pub(crate) defaults: RequestDefaults,
    pub(crate) base: Option<BaseUrl>,
    as_hook: bool,
}

struct Closing {
    hook: Option<CloseHook>,
    progress: Mutex<Progress>,
}

#[derive(Default)]
struct Progress {
    hook_has_run: bool,
    report: Option<CloseReport>,
}

impl Client {
    pub(crate) fn new(
        owner: Arc<Owner>,
        defaults: RequestDefaults,
        base: Option<BaseUrl>,
        hook: Option<CloseHook>,
    ) -> Self {
        Self {
            owner,
            closing: Arc::new(Closing {
                hook,
                progress: Mutex::default(),
            }),
            defaults,
            base,
            as_hook: false,
        }
    }

    pub(crate) fn owner(&self) -> &Arc<Owner> {
        &self.owner
    }

    pub(crate) fn lease(&self) -> Option<Lease> {
        self.owner.lease()
    }

    /// Sends a request and reads the head of its response.
    pub(crate) async fn execute(&self, call: Call) -> Result<Response> {
        let raise = call
            .options
            .raise_for_status
            .unwrap_or(self.defaults.raise_for_status);
        let mut timeouts = self.defaults.timeouts;
        timeouts.total = call.options.timeout.or(timeouts.total);
        let uri = call.target.uri;
        let outgoing = Outgoing {
            method: call.method,
            uri: &uri,
            version: call.version,
            headers: call.headers,
            default_headers: &self.defaults.headers,
            extensions: call.extensions,
            body: call.body,
            timeouts,
            as_hook: self.as_hook,
        };
        let answer = match self.owner.pool().send(outgoing).await {
            Ok(answer) => answer,
            Err(error) => return Err(error.with_uri(&uri)),
        };
        let response = Response::new(answer, uri, call.target.fragment);
        if raise {
            return response.error_for_status().await;
        }
        Ok(response)
    }

    /// Closes the session and waits for its end. Any number of callers may, at any time; each waits
    /// for the same end, and if one gives up, the next goes on where it was.
    pub(crate) async fn close(self: &Arc<Self>) -> CloseReport {
        let began = Instant::now();
        self.owner.begin_close();
        let mut progress = self.closing.progress.lock().await;
        if let Some(report) = &progress.report {
            return report.clone();
        }
        self.owner.leases_back().await;
        if let Some(hook) = self
            .closing
            .hook
            .as_ref()
            .filter(|_| !progress.hook_has_run)
        {
            progress.hook_has_run = true;
            let mut client = Self::clone(self);
            client.as_hook = true;
            hook(Arc::new(client)).await;
        }
        let pool = self.owner.pool();
        pool.shut();
        pool.exchanges_over().await;
        pool.finish().await;
        let report = CloseReport {
            stats: pool.stats(),
            took: began.elapsed(),
            ..CloseReport::default()
        };
        progress.report.insert(report).clone()
    }

    /// Closes the session; what has not ended within `limit` is cut.
    pub(crate) async fn close_within(self: &Arc<Self>, limit: Duration) -> CloseReport {
        let began = Instant::now();
        if let Ok(report) = timeout(limit, self.close()).await {
            return report;
        }
        let pool = self.owner.pool();
        let severed = pool.sever_all();
        pool.finish().await;
        CloseReport {
            stats: pool.stats(),
            severed,
            leases_left: self.owner.leases(),
            took: began.elapsed(),
        }
    }
}

impl fmt::Debug for Closing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Closing").finish_non_exhaustive()
    }
}
