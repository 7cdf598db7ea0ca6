//! What came of a future or a call.

use std::error::Error as _;
use std::fmt::Debug;
use std::panic::Location;
use std::pin::{Pin, pin};

use futures::future::{Either, select};
use futures::poll;
use hyper_session::{Error, ErrorKind, Result};
use tokio::task::yield_now;

/// What an error says, and all that caused it.
pub fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

/// Takes the error of a call that must have failed in this way.
#[track_caller]
pub fn expect_kind<T: Debug>(result: Result<T>, kind: ErrorKind) -> Error {
    match result {
        Ok(value) => panic!("expected {kind:?}, got {value:?}"),
        Err(error) => {
            assert_eq!(error.kind(), kind, "{error:?}");
            error
        }
    }
}

/// Takes the error of a call for which there is no session, and of which nothing went out.
#[track_caller]
pub fn expect_closed<T: Debug>(result: Result<T>) -> Error {
    let error = expect_kind(result, ErrorKind::Closed);
    assert!(!error.was_sent(), "nothing went out: {error:?}");
    error
}

/// Polls the future time and again, with the rest of the runtime in between, and checks that it
/// still waits.
pub async fn assert_waits<F: Future + ?Sized>(mut future: Pin<&mut F>) {
    for _ in 0..100 {
        assert!(poll!(future.as_mut()).is_pending(), "it still waits");
        yield_now().await;
    }
}

/// Drives the future until the other one is there, and checks that it still waits then.
#[track_caller]
pub fn drive_until<F: Future + ?Sized, U: Future>(
    future: Pin<&mut F>,
    until: U,
) -> impl Future<Output = U::Output> {
    let caller = Location::caller();
    async move {
        match select(future, pin!(until)).await {
            Either::Left(_) => panic!("the future at {caller} ended early"),
            Either::Right((reached, _)) => reached,
        }
    }
}
