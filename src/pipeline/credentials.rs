//! The credentials of requests, and new ones where a server refuses them.

use std::future::{Future, ready};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::header::AUTHORIZATION;
use http::{HeaderMap, StatusCode};
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout_at};

use crate::credentials::Credentials;
use crate::error::{BoxError, Error, ErrorKind, Result, SharedError, TimeoutPhase};
use crate::pool::{Owner, Task};
use crate::response::Response;

tokio::task_local! {
    /// The providers that the current task is in, as their addresses.
    static PROVIDING: Vec<usize>;
}

/// How long after a failure the provider is not asked again for credentials in place of good ones.
const PAUSE: Duration = Duration::from_secs(1);

/// How often one request has the provider asked, if each time the task is cut.
const TRIES: usize = 2;

type Provide<C> = dyn Fn(&C) -> BoxFuture<'static, Result<Credentials, BoxError>> + Send + Sync;

/// Who gives credentials to a client, and what he has given, for all requests of a holder.
pub(crate) struct Provider<C> {
    provide: Box<Provide<C>>,
    /// Whether it may give others than before.
    renews: bool,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    issued: Option<Issued>,
    renewal: Option<Renewal>,
    /// How often it has been asked.
    asked: u64,
    failed_at: Option<Instant>,
}

#[derive(Clone)]
struct Issued {
    credentials: Credentials,
    /// Which answer of the provider they are.
    number: u64,
}

/// What the provider is being asked, by a task: it is for the next requests too.
#[derive(Clone)]
struct Renewal {
    /// Which answer it will be.
    number: u64,
    /// There at the end of the task, unless that was cut.
    said: Arc<OnceLock<Said>>,
    task: Arc<Task>,
}

type Said = Result<Issued, SharedError>;

/// Where a request asks.
struct Asker {
    runtime: Handle,
    /// The providers that its task is in.
    inside: Vec<usize>,
    /// Whether this one is among them.
    is_inside: bool,
}

impl<C> Provider<C> {
    pub(crate) fn new<P>(provide: P) -> Self
    where
        P: Fn(&C) -> BoxFuture<'static, Result<Credentials, BoxError>> + Send + Sync + 'static,
    {
        Self {
            provide: Box::new(provide),
            renews: true,
            known: Mutex::default(),
        }
    }

    /// Gives the same ones, for ever.
    pub(crate) fn fixed(credentials: Credentials) -> Self {
        let issued = Issued {
            credentials: credentials.clone(),
            number: 0,
        };
        Self {
            provide: Box::new(move |_| ready(Ok(credentials.clone())).boxed()),
            renews: false,
            known: Mutex::new(Known {
                issued: Some(issued),
                ..Known::default()
            }),
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<C: Send + Sync + 'static> Provider<C> {
    /// Gives credentials that are good as far as is known: those that are here, or new ones. The provider
    /// is asked once at a time; all who wait for it share what it says.
    async fn get(self: &Arc<Self>, client: &C, owner: &Owner) -> Result<Issued> {
        let asker = Asker::new(self)?;
        let mut begun = 0;
        loop {
            let renewal = {
                let mut known = self.known();
                let good = known.good().cloned();
                if let Some(good) = &good
                    && (!good.credentials.is_due() || asker.is_inside || known.is_pausing())
                {
                    return Ok(good.clone());
                }
                if asker.is_inside {
                    return Err(Error::new(ErrorKind::Credentials).with_message(
                        "the provider of credentials needs its own: it is to use the session that it is given",
                    ));
                }
                let renewal = known.under_way().unwrap_or_else(|| {
                    begun += 1;
                    self.ask(client, owner, &asker, &mut known)
                });
                match good {
                    Some(good) => return Ok(good),
                    None => renewal,
                }
            };
            renewal.task.over().await;
            if let Some(said) = renewal.said.get() {
                return checked(said.clone());
            }
            self.known().give_up(&renewal);
            if owner.pool().is_closing() {
                return Err(Error::closed(
                    "the session was closed before there were credentials",
                ));
            }
            if begun == TRIES {
                return Err(Error::new(ErrorKind::Credentials)
                    .with_message("the runtime that asked the provider did not go on with it"));
            }
        }
    }

    fn ask(
        self: &Arc<Self>,
        client: &C,
        owner: &Owner,
        asker: &Asker,
        known: &mut Known,
    ) -> Renewal {
        known.asked += 1;
        let number = known.asked;
        let inside = [&asker.inside[..], &[self.address()]].concat();
        let providing = PROVIDING.scope(inside, (self.provide)(client));
        let providing = AssertUnwindSafe(providing).catch_unwind();
        let said = Arc::new(OnceLock::new());
        let (provider, hear) = (Arc::clone(self), Arc::clone(&said));
        let work = async move {
            let said = providing.await;
            let said = said.unwrap_or_else(|_| Err("the provider panicked".into()));
            let said = said.map_err(SharedError::from).map(|credentials| Issued {
                credentials,
                number,
            });
            provider.known().take_in(&said);
            hear.get_or_init(|| said);
        };
        let task = owner.tend(&asker.runtime, work);
        known.renewal.insert(Renewal { number, said, task }).clone()
    }

    fn address(self: &Arc<Self>) -> usize {
        Arc::as_ptr(self).addr()
    }

    /// Does not give these out again.
    fn withdraw(&self, refused: &Issued) {
        let issued = &mut self.known().issued;
        issued.take_if(|issued| issued.number == refused.number);
    }
}

impl Known {
    fn good(&self) -> Option<&Issued> {
        let issued = self.issued.as_ref();
        issued.filter(|issued| !issued.credentials.has_ended())
    }

    fn is_pausing(&self) -> bool {
        self.failed_at
            .is_some_and(|failed_at| failed_at.elapsed() < PAUSE)
    }

    fn under_way(&mut self) -> Option<Renewal> {
        self.renewal.take_if(|renewal| renewal.task.has_ended());
        self.renewal.clone()
    }

    fn give_up(&mut self, cut: &Renewal) {
        self.renewal.take_if(|renewal| renewal.number == cut.number);
    }

    fn take_in(&mut self, said: &Said) {
        self.renewal = None;
        match said {
            Ok(issued) => {
                self.issued = Some(issued.clone());
                self.failed_at = None;
            }
            // Those that are to be renewed may be good for some more requests.
            Err(_) => self.failed_at = Some(Instant::now()),
        }
    }
}

impl Asker {
    fn new<C: Send + Sync + 'static>(provider: &Arc<Provider<C>>) -> Result<Self> {
        let runtime = Handle::try_current().map_err(Error::no_runtime)?;
        let inside = PROVIDING.try_with(Clone::clone).unwrap_or_default();
        Ok(Self {
            runtime,
            is_inside: inside.contains(&provider.address()),
            inside,
        })
    }
}

fn checked(said: Said) -> Result<Issued> {
    let issued =
        said.map_err(|failure| Error::new(ErrorKind::Credentials).with_shared_source(failure))?;
    if issued.credentials.has_ended() {
        return Err(Error::new(ErrorKind::Credentials)
            .with_message("the credentials that the provider gave are of the past already"));
    }
    Ok(issued)
}

/// The credentials of one request.
pub(super) struct Authorization<'a, C> {
    provider: &'a Arc<Provider<C>>,
    client: &'a C,
    owner: &'a Arc<Owner>,
    deadline: Option<Instant>,
    issued: Issued,
    renewed: bool,
}

impl<'a, C: Send + Sync + 'static> Authorization<'a, C> {
    /// Puts credentials on a request that has none.
    pub(super) async fn put_on(
        headers: &mut HeaderMap,
        provider: &'a Arc<Provider<C>>,
        (client, owner): (&'a C, &'a Arc<Owner>),
        deadline: Option<Instant>,
    ) -> Result<Self> {
        let issued = in_time(deadline, provider.get(client, owner)).await??;
        headers.insert(AUTHORIZATION, issued.credentials.value.clone());
        Ok(Self {
            provider,
            client,
            owner,
            deadline,
            issued,
            renewed: false,
        })
    }

    /// Whether the answer means that the request is to be sent with other credentials, as it may be once:
    /// these have been refused. No redirect has taken them to another origin.
    pub(super) fn is_refused(&mut self, answer: &Response, headers: &HeaderMap) -> bool {
        let is_on = || headers.get(AUTHORIZATION) == Some(&self.issued.credentials.value);
        if answer.status() != StatusCode::UNAUTHORIZED
            || !self.provider.renews
            || self.renewed
            || !is_on()
        {
            // New ones that are refused may be good for others: not all may do everything.
            return false;
        }
        self.provider.withdraw(&self.issued);
        self.renewed = true;
        true
    }

    /// Puts on others.
    pub(super) async fn renew(&mut self, headers: &mut HeaderMap) -> Result<()> {
        let getting = self.provider.get(self.client, self.owner);
        self.issued = in_time(self.deadline, getting).await??;
        headers.insert(AUTHORIZATION, self.issued.credentials.value.clone());
        Ok(())
    }
}

/// Ends what is the user's own with the time of its request.
pub(super) async fn in_time<T>(
    deadline: Option<Instant>,
    users: impl Future<Output = T>,
) -> Result<T> {
    match deadline {
        None => Ok(users.await),
        Some(deadline) => timeout_at(deadline, users)
            .await
            .map_err(|_| Error::timeout(TimeoutPhase::Total)),
    }
}
