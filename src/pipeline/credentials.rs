//! The credentials of requests, and new ones where a server refuses them.

use std::error::Error as StdError;
use std::future::Future;
use std::ptr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::BoxFuture;
use http::header::AUTHORIZATION;
use http::{HeaderMap, StatusCode};
use tokio::sync;
use tokio::time::{Instant, timeout_at};

use crate::credentials::Credentials;
use crate::error::{BoxError, Error, ErrorKind, Result, TimeoutPhase};
use crate::response::Response;

tokio::task_local! {
    /// The providers that the current task is in, as their addresses.
    static PROVIDING: Vec<usize>;
}

type Provide<C> = dyn Fn(&C) -> BoxFuture<'static, Result<Credentials, BoxError>> + Send + Sync;

/// Who gives credentials to a client, and what he has given, for all requests of a holder.
pub(crate) struct Provider<C> {
    provide: Box<Provide<C>>,
    /// Held by the one request that asks the provider.
    gate: sync::Mutex<()>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    issued: Option<Issued>,
    /// Why the provider gave none, when it was last asked.
    failure: Option<Arc<dyn StdError + Send + Sync>>,
    /// How often it has answered.
    answers: u64,
}

#[derive(Clone)]
struct Issued {
    credentials: Credentials,
    /// Which answer of the provider they are.
    number: u64,
}

impl<C> Provider<C> {
    pub(crate) fn new<P>(provide: P) -> Self
    where
        P: Fn(&C) -> BoxFuture<'static, Result<Credentials, BoxError>> + Send + Sync + 'static,
    {
        Self {
            provide: Box::new(provide),
            gate: sync::Mutex::default(),
            known: Mutex::default(),
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives credentials that are good as far as is known: those that are here, or new ones. The provider
    /// is asked by one request at a time; those that wait for it share what it says.
    async fn get(&self, client: &C) -> Result<Issued> {
        let seen = {
            let known = self.known();
            let is_being_renewed = || self.gate.try_lock().is_err();
            if let Some(good) = known.good()
                && (!good.credentials.is_due() || is_being_renewed())
            {
                return Ok(good.clone());
            }
            known.answers
        };
        let address = ptr::from_ref(self).addr();
        let mut inside = PROVIDING.try_with(Clone::clone).unwrap_or_default();
        if inside.contains(&address) {
            return Err(Error::new(ErrorKind::Credentials).with_message(
                "the provider of credentials needs its own: it is to use the session that it is given",
            ));
        }
        let _gate = self.gate.lock().await;
        {
            let known = self.known();
            if known.answers != seen
                && let Some(answer) = known.answer()
            {
                return answer;
            }
        }
        inside.push(address);
        let provided = PROVIDING.scope(inside, (self.provide)(client)).await;
        let mut known = self.known();
        known.answers += 1;
        match provided {
            Ok(credentials) => {
                known.failure = None;
                known.issued = Some(Issued {
                    credentials,
                    number: known.answers,
                });
            }
            // Those that are to be renewed may be good for some more requests.
            Err(failure) => known.failure = Some(failure.into()),
        }
        known.answer().unwrap_or_else(|| {
            Err(Error::new(ErrorKind::Credentials)
                .with_message("the credentials that the provider gave are of the past already"))
        })
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

    /// What the provider said when it was last asked. `None`: that holds no longer.
    fn answer(&self) -> Option<Result<Issued>> {
        if let Some(good) = self.good() {
            return Some(Ok(good.clone()));
        }
        let failure = Arc::clone(self.failure.as_ref()?);
        Some(Err(Error::new(ErrorKind::Credentials).with_source(failure)))
    }
}

/// The credentials of one request.
pub(super) struct Authorization<'a, C> {
    provider: &'a Provider<C>,
    client: &'a C,
    deadline: Option<Instant>,
    issued: Issued,
    renewed: bool,
}

impl<'a, C> Authorization<'a, C> {
    /// Puts credentials on a request that has none.
    pub(super) async fn put_on(
        headers: &mut HeaderMap,
        provider: &'a Provider<C>,
        client: &'a C,
        deadline: Option<Instant>,
    ) -> Result<Self> {
        let issued = in_time(deadline, provider.get(client)).await??;
        headers.insert(AUTHORIZATION, issued.credentials.value.clone());
        Ok(Self {
            provider,
            client,
            deadline,
            issued,
            renewed: false,
        })
    }

    /// Whether the answer means that the request is to be sent with other credentials, as it may be once:
    /// these have been refused. No redirect has taken them to another origin.
    pub(super) fn is_refused(&mut self, answer: &Response, headers: &HeaderMap) -> bool {
        let is_on = || headers.get(AUTHORIZATION) == Some(&self.issued.credentials.value);
        if answer.status() != StatusCode::UNAUTHORIZED || self.renewed || !is_on() {
            // New ones that are refused may be good for others: not all may do everything.
            return false;
        }
        self.provider.withdraw(&self.issued);
        self.renewed = true;
        true
    }

    /// Puts on others.
    pub(super) async fn renew(&mut self, headers: &mut HeaderMap) -> Result<()> {
        self.issued = in_time(self.deadline, self.provider.get(self.client)).await??;
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
