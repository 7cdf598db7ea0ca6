//! Names to addresses, by the system's resolver, with an error that can be told from others.

use std::fmt;
use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, TryFutureExt};
use hyper_util::client::legacy::connect::dns::{GaiAddrs, GaiResolver, Name};
use tower_service::Service;

use super::phases::timed;

/// The system's resolver.
#[derive(Debug, Clone)]
pub(super) struct Resolver(GaiResolver);

/// A name that could not be resolved.
#[derive(Debug)]
pub(super) struct DnsFailure {
    name: String,
    source: io::Error,
}

impl Resolver {
    pub(super) fn new() -> Self {
        Self(GaiResolver::new())
    }
}

impl Service<Name> for Resolver {
    type Response = GaiAddrs;
    type Error = DnsFailure;
    type Future = BoxFuture<'static, Result<GaiAddrs, DnsFailure>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), DnsFailure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let named = name.as_str().to_owned();
        let resolving = self.0.call(name);
        let resolving = resolving.map_err(|source| DnsFailure {
            name: named,
            source,
        });
        let nothing_within = |_| Duration::ZERO;
        timed(resolving, nothing_within, |phases, took| {
            phases.dns = Some(took);
        })
        .boxed()
    }
}

impl fmt::Display for DnsFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no address for {}", self.name)
    }
}

impl std::error::Error for DnsFailure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}
