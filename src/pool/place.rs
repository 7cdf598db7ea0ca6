//! Where a new connection belongs.

use std::sync::Arc;

use http::HeaderValue;

use super::age::Age;
use super::meter::Tallies;
use super::tasks::Tasks;
use super::timer::Timer;

/// What a connection is told of its origin and its runtime.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) origin: usize,
    /// The `Host` header of the origin, made once.
    pub(super) host: HeaderValue,
    pub(super) timer: Arc<Timer>,
    pub(super) age: Age,
    /// The pool's tasks, where those of the connection belong.
    pub(super) tasks: Tasks,
    pub(super) tallies: Tallies,
}
