//! The messages that are made of one request: the first, and others where that came to nothing.

use http::header::EXPECT;
use http::{HeaderValue, Request, StatusCode};
use http_body::Body as _;
use hyper::ext::on_informational;

use super::connection::Lane;
use super::message::{Outgoing, Terms, suit};
use super::sending::{PATIENCE, Sending};
use crate::body::Body;

/// A request from which messages are made.
pub(super) struct Draft<'a> {
    outgoing: &'a mut Outgoing,
    terms: &'a Terms<'a>,
    /// Whether another message may have to be made after the next.
    pub(super) again: bool,
    /// A message that did not leave.
    pub(super) unsent: Option<Box<Request<Body>>>,
    /// The body of the last message.
    pub(super) upload: Sending,
}

impl<'a> Draft<'a> {
    /// Begins with what is needed for sending on `lane`, and after it, should that fail.
    pub(super) fn new(
        outgoing: &'a mut Outgoing,
        terms: &'a Terms<'a>,
        lane: &Lane,
        may_repeat: bool,
    ) -> Self {
        Self {
            again: lane.may_fail(may_repeat) && outgoing.has_lasting_body(),
            outgoing,
            terms,
            unsent: None,
            upload: Sending::Small,
        }
    }

    /// The next message, ready for its connection.
    pub(super) fn message(&mut self, lane: &Lane) -> Request<Body> {
        let host = lane.host();
        let mut message = match self.unsent.take() {
            Some(mut unsent) => {
                suit(&mut unsent, self.terms.uri, host);
                *unsent
            }
            None => self.outgoing.message(self.terms, host, self.again),
        };
        if !message.body().is_end_stream() {
            lane.prepare(&mut message);
        }
        self.upload = Sending::of(message.body());
        message
    }
}

impl Lane {
    /// The `Host` header of its origin, where the protocol has one.
    fn host(&self) -> Option<&HeaderValue> {
        match self {
            Self::Http1(connection) => Some(&connection.link.host),
            Self::Http2(_) => None,
        }
    }

    /// Makes a body ready for its connection.
    fn prepare(&self, message: &mut Request<Body>) {
        message.body_mut().split();
        let Self::Http1(connection) = self else {
            message.body_mut().track();
            // It may have been meant for another connection before, which stopped it.
            message.body_mut().stop_at(None);
            // hyper tells of no interim answer here: nobody would ever ask for it.
            if let Some(progress) = message.body().progress() {
                progress.ask();
            }
            return;
        };
        let write_dead = connection.link.write_dead.as_ref();
        message.body_mut().stop_at(write_dead);
        let expects = message.headers().get(EXPECT);
        if expects.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
            && let Some(progress) = message.body_mut().hold_back(PATIENCE)
        {
            on_informational(message, move |answer| {
                if answer.status() == StatusCode::CONTINUE {
                    progress.ask();
                }
            });
        }
    }

    /// Whether a request may come to nothing here and be worth another try: only a connection that has
    /// idled can have died before it brings an answer, and over HTTP/2 any may be told to leave.
    fn may_fail(&self, may_repeat: bool) -> bool {
        match self {
            Self::Http1(connection) => connection.pooled && may_repeat,
            Self::Http2(_) => true,
        }
    }
}
