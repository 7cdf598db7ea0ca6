//! What stands in for HTTP/2 in a build without it: types of which there is never a value.

use std::convert::Infallible;
use std::future::{Pending, Ready, ready};
use std::sync::Arc;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;

use super::line::Line;
use super::meter::Meter;
use super::permit::{Permit, Stamp};
use super::place::Place;
use super::timer::Timer;
use super::timings::Made;
use crate::body::{Body, Progress};
use crate::config::Http2Config;
use crate::connect::{BoxConnection, Traffic};
use crate::error::{BoxError, Error, ErrorKind, Result};

#[derive(Debug)]
pub(super) struct Http2(Infallible);

#[derive(Debug)]
pub(super) struct Link(Infallible);

#[derive(Debug)]
pub(super) struct Stream(Infallible);

impl Http2 {
    pub(super) fn handshake(
        _: BoxConnection,
        _: Permit,
        _: Place,
        _: Arc<Made>,
        _: Option<Arc<Traffic>>,
        _: &Http2Config,
    ) -> Ready<Result<Self>> {
        ready(Err(Error::new(ErrorKind::Connect).with_message(
            "the connector has negotiated HTTP/2, for which the feature `http2` is needed",
        )))
    }

    pub(super) fn link(&self) -> &Arc<Link> {
        match self.0 {}
    }

    pub(super) fn stream(&self, _: Line, _: usize, _: bool) -> Stream {
        match self.0 {}
    }

    pub(super) fn keep_streams(&mut self) {
        match self.0 {}
    }

    pub(super) fn leave(self) {
        match self.0 {}
    }

    pub(super) fn shut_down(self) {
        match self.0 {}
    }
}

impl Link {
    pub(super) fn stamp(&self) -> Stamp {
        match self.0 {}
    }

    pub(super) fn origin(&self) -> usize {
        match self.0 {}
    }

    pub(super) fn timer(&self) -> &Arc<Timer> {
        match self.0 {}
    }

    pub(super) fn meter(&self) -> &Meter {
        match self.0 {}
    }

    pub(super) fn limit(&self) -> usize {
        match self.0 {}
    }

    pub(super) fn set_full(&self, _: bool) {
        match self.0 {}
    }

    pub(super) fn start(&self) {
        match self.0 {}
    }

    pub(super) fn sever(&self) {
        match self.0 {}
    }
}

impl Stream {
    pub(super) fn send(
        &mut self,
        _: Request<Body>,
    ) -> Pending<Result<Response<Incoming>, TrySendError<Request<Body>>>> {
        match self.0 {}
    }

    pub(super) fn is_unsent(&self) -> bool {
        match self.0 {}
    }

    pub(super) fn take_unsent(&mut self) -> Option<Arc<Progress>> {
        match self.0 {}
    }

    pub(super) fn line(&self) -> &Line {
        match self.0 {}
    }

    pub(super) fn is_pooled(&self) -> bool {
        match self.0 {}
    }

    pub(super) fn made(&self) -> &Arc<Made> {
        match self.0 {}
    }

    pub(super) fn was_severed(&self) -> bool {
        match self.0 {}
    }

    pub(super) fn retire(&self) {
        match self.0 {}
    }

    pub(super) fn meter(&self) -> &Meter {
        match self.0 {}
    }

    pub(super) fn cause_of(&self, _: hyper::Error) -> BoxError {
        match self.0 {}
    }
}

pub(super) fn called_off() -> Error {
    Error::new(ErrorKind::Body)
}

pub(super) fn is_refused(_: &hyper::Error) -> bool {
    false
}

pub(super) fn is_reset(_: &hyper::Error) -> bool {
    false
}

pub(super) fn is_unacceptable(_: &hyper::Error) -> bool {
    false
}
