//! The credentials of requests, and new ones where a server refuses them.

use std::future::{Future, ready};
use std::panic::AssertUnwindSafe;
use std::ptr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, WeakShared};
use http::header::AUTHORIZATION;
use http::{HeaderMap, StatusCode};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout_at};

use crate::credentials::Credentials;
use crate::error::{BoxError, Error, ErrorKind, Result, SharedError, TimeoutPhase};
use crate::pool::Owner;
use crate::response::Response;

tokio::task_local! {
    /// The providers that the current task is in, as their addresses.
    static PROVIDING: Vec<usize>;
}

/// How long after a failure the provider is not asked again for credentials in place of good ones.
const PAUSE: Duration = Duration::from_secs(1);

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
    /// There while the provider is being asked.
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

/// What the provider is being asked. It is kept, and polled, by all who wait for the answer, and by a task
/// that ends with its runtime or session.
struct Renewal {
    answer: WeakShared<Asking>,
    task: Option<AbortHandle>,
}

type Asking = BoxFuture<'static, Result<Issued, SharedError>>;

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
    async fn get(self: &Arc<Self>, client: &C, owner: &Arc<Owner>) -> Result<Issued> {
        let address = ptr::from_ref(&**self).addr();
        let inside = PROVIDING.try_with(Clone::clone).unwrap_or_default();
        let is_inside = inside.contains(&address);
        let answer = {
            let mut known = self.known();
            let good = known.good().cloned();
            if let Some(good) = &good
                && (!good.credentials.is_due() || is_inside || known.is_pausing())
            {
                return Ok(good.clone());
            }
            if is_inside {
                return Err(Error::new(ErrorKind::Credentials).with_message(
                    "the provider of credentials needs its own: it is to use the session that it is given",
                ));
            }
            let under_way = known.renewal.take().and_then(Renewal::under_way);
            let (answer, task) = under_way.unwrap_or_else(|| {
                known.asked += 1;
                let inside = [inside, vec![address]].concat();
                (self.ask(client, known.asked, inside), None)
            });
            known.renewal = Renewal::of(&answer, task, owner);
            match good {
                Some(good) => return Ok(good),
                None => answer,
            }
        };
        let issued = answer
            .await
            .map_err(|failure| Error::new(ErrorKind::Credentials).with_shared_source(failure))?;
        if issued.credentials.has_ended() {
            return Err(Error::new(ErrorKind::Credentials)
                .with_message("the credentials that the provider gave are of the past already"));
        }
        Ok(issued)
    }

    /// Asks the provider, when polled. `inside`: which ones that then is in.
    fn ask(self: &Arc<Self>, client: &C, number: u64, inside: Vec<usize>) -> Shared<Asking> {
        let providing = PROVIDING.scope(inside, (self.provide)(client));
        let providing = AssertUnwindSafe(providing).catch_unwind();
        let provider = Arc::clone(self);
        let answer = async move {
            let said = providing.await;
            let said = said.unwrap_or_else(|_| Err("the provider panicked".into()));
            let answer = said.map_err(SharedError::from).map(|credentials| Issued {
                credentials,
                number,
            });
            provider.known().take_in(&answer);
            answer
        };
        answer.boxed().shared()
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

    fn take_in(&mut self, answer: &Result<Issued, SharedError>) {
        self.renewal = None;
        match answer {
            Ok(issued) => {
                self.issued = Some(issued.clone());
                self.failed_at = None;
            }
            // Those that are to be renewed may be good for some more requests.
            Err(_) => self.failed_at = Some(Instant::now()),
        }
    }
}

impl Renewal {
    fn under_way(self) -> Option<(Shared<Asking>, Option<AbortHandle>)> {
        Some((self.answer.upgrade()?, self.task))
    }

    /// Has a task see to it, as all who wait may leave.
    fn of(answer: &Shared<Asking>, task: Option<AbortHandle>, owner: &Arc<Owner>) -> Option<Self> {
        let task = task.filter(|task| !task.is_finished()).or_else(|| {
            let runtime = Handle::try_current().ok()?;
            Some(owner.tend(&runtime, answer.clone()))
        });
        let answer = answer.downgrade()?;
        Some(Self { answer, task })
    }
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
