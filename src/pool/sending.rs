//! How far a request's body has come.

use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use crate::body::{Body, Progress};
use crate::error::{Error, ErrorKind};

/// How long a body waits for the `100 (Continue)` that its request expects: some servers never say it
/// (RFC 9110 §10.1.1).
pub(super) const PATIENCE: Duration = Duration::from_secs(1);

/// How far the body itself has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// It waits until the peer asks for it.
    HeldBack,
    /// It has more to give.
    Writing,
    /// All has been taken, be it on its way for long after that.
    Given,
}

/// Whether the request may still be on its way when the response's head is there.
pub(super) enum Sending {
    Small,
    Stream(Arc<Progress>),
}

impl Sending {
    pub(super) fn of(body: &Body) -> Self {
        match body.progress() {
            Some(progress) => Self::Stream(progress),
            None => Self::Small,
        }
    }

    pub(super) fn is_running(&self) -> bool {
        match self {
            Self::Small => false,
            Self::Stream(progress) => !progress.is_taken() && !progress.is_held_back(),
        }
    }

    /// Has `task` woken when there is no more to give.
    pub(super) fn watch(&self, task: &Waker) {
        match self {
            Self::Small => {}
            Self::Stream(progress) => progress.watch(task),
        }
    }

    pub(super) fn stage(&self) -> Stage {
        match self {
            Self::Small => Stage::Given,
            Self::Stream(progress) if progress.is_given() => Stage::Given,
            Self::Stream(progress) if progress.is_held_back() => Stage::HeldBack,
            Self::Stream(_) => Stage::Writing,
        }
    }

    /// Whether the peer has not asked for it.
    pub(super) fn is_held_back(&self) -> bool {
        match self {
            Self::Small => false,
            Self::Stream(progress) => progress.is_held_back() && !progress.is_taken(),
        }
    }

    /// What the body has failed of.
    pub(super) fn take_failure(&self) -> Option<Error> {
        match self {
            Self::Small => None,
            Self::Stream(progress) => {
                let failure = progress.take_failure()?;
                Some(Error::new(ErrorKind::Body).with_source(failure))
            }
        }
    }

    /// How many parts have been taken.
    pub(super) fn parts(&self) -> usize {
        match self {
            Self::Small => 0,
            Self::Stream(progress) => progress.parts(),
        }
    }
}
