//! From one hop of a request to the next.

use std::borrow::Cow;
use std::mem;

use http::header::{Entry, LOCATION, REFERER};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use percent_encoding::{CONTROLS, percent_encode};
use url::Url;

use super::call::CallOptions;
use super::headers::{leave_origin, leave_payload, leave_trusted_origin};
use crate::body::Body;
use crate::config::RequestDefaults;
use crate::error::{Error, Result};
use crate::pool::Outgoing;
use crate::redirect::{Hop, RedirectAction, RedirectAttempt, RedirectPolicy};
use crate::response::Response;
use crate::url::{Target, shown};

/// The longest `Referer` that is more than an origin, in bytes, as browsers have it.
const MAX_REFERER: usize = 4096;

/// The redirects of one request: the rules, and how far it has come.
pub(super) struct Redirects<'a> {
    defaults: &'a RequestDefaults,
    policy: &'a RedirectPolicy,
    options: &'a CallOptions,
    way: Option<Box<Way>>,
}

/// Of a request that has been redirected, or goes without some of the session's headers.
struct Way {
    history: Vec<Hop>,
    /// What of the session's defaults (still) goes with it.
    default_headers: HeaderMap,
    /// Whether the default `Referer` is one that was put there on the way.
    has_referer: bool,
}

impl<'a> Redirects<'a> {
    pub(super) fn new(
        defaults: &'a RequestDefaults,
        policy: &'a RedirectPolicy,
        options: &'a CallOptions,
    ) -> Self {
        let left = options.left_of(&defaults.headers);
        Self {
            defaults,
            policy,
            options,
            way: left.map(Way::begin).map(Box::new),
        }
    }

    /// The default headers of the next hop.
    pub(super) fn default_headers(&self) -> &HeaderMap {
        let way = self.way.as_ref();
        way.map_or(&self.defaults.headers, |way| &way.default_headers)
    }

    pub(super) fn take_history(&mut self) -> Vec<Hop> {
        let way = self.way.as_mut();
        way.map_or_else(Vec::new, |way| mem::take(&mut way.history))
    }

    /// Whether there may be a next hop.
    pub(super) fn may_follow(&self) -> bool {
        !self.policy.is_none()
    }

    /// Turns the request into that of the next hop, if the answer is a redirect that is followed.
    pub(super) fn follow(
        &mut self,
        answer: &mut Response,
        target: &mut Target,
        outgoing: &mut Outgoing,
        body: Option<Body>,
    ) -> Result<bool> {
        let is_redirect = matches!(answer.status().as_u16(), 301 | 302 | 303 | 307 | 308);
        if !is_redirect || self.policy.is_none() {
            return Ok(false);
        }
        let followed = self.go_on(answer, target, outgoing, body);
        followed.map_err(|error| {
            let mut headers = mem::take(answer.headers_mut());
            if headers.is_empty() {
                // They are in the history already.
                let last = self.take_history().pop();
                headers = last.map_or(headers, |hop| hop.headers);
            }
            let error = error.with_answer(answer.status(), Some(headers), None);
            error.with_uri(&target.uri)
        })
    }

    #[cold]
    fn go_on(
        &mut self,
        answer: &mut Response,
        target: &mut Target,
        outgoing: &mut Outgoing,
        body: Option<Body>,
    ) -> Result<bool> {
        let current = target.to_url();
        let Some(next) = location(answer, &current)? else {
            return Ok(false);
        };
        let defaults = self.defaults;
        let way = self
            .way
            .get_or_insert_with(|| Box::new(Way::begin(defaults.headers.clone())));
        let status = answer.status();
        way.history.push(Hop {
            status,
            url: current.clone(),
            headers: mem::take(answer.headers_mut()),
        });
        let attempt = RedirectAttempt {
            status,
            url: &next,
            history: &way.history,
        };
        match self.policy.decide(&attempt) {
            RedirectAction::Follow => {}
            RedirectAction::Stop => {
                let hop = way.history.pop().expect("it was pushed above");
                *answer.headers_mut() = hop.headers;
                return Ok(false);
            }
            RedirectAction::Error(why) => {
                return Err(Error::redirect("the policy refused the redirect").with_source(why));
            }
        }
        if let Some(limit) = self.policy.exceeded_by(way.history.len()) {
            return Err(Error::redirect(format!("more than {limit} redirects")));
        }
        let next_target = Target::from_url(&next).map_err(|why| refused(&next, why))?;
        if self.defaults.https_only && next.scheme() == "http" {
            return Err(Error::redirect(
                "https_only is set, and the redirect leads to http",
            ));
        }

        change_method(status, outgoing, body, way)?;
        way.leave_referer();
        if current.origin() != next.origin() {
            let leave = if self.defaults.trusted_origins.contains(&next.origin()) {
                leave_trusted_origin
            } else {
                leave_origin
            };
            leave(&mut outgoing.headers);
            leave(&mut way.default_headers);
        }
        if defaults.referer && !self.options.skips(&REFERER, &defaults.skipped_headers) {
            way.set_referer(current, &next);
        }
        *target = next_target;
        Ok(true)
    }
}

/// Where a redirect leads, or `None` if it does not say. A user info in it is left out: no server
/// chooses the credentials of a request.
fn location(answer: &Response, current: &Url) -> Result<Option<Url>> {
    let mut values = answer.headers().get_all(LOCATION).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.any(|other| other != value) {
        return Err(Error::redirect("the redirect has several Locations"));
    }
    let text = match std::str::from_utf8(value.as_bytes()) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => percent_encode(value.as_bytes(), CONTROLS).into(),
    };
    let mut next = current.join(&text).map_err(|why| {
        let shown = shown(&text);
        Error::redirect(format!("the redirect's Location {shown:?} is no URL")).with_source(why)
    })?;
    // Neither fails for http and https. Others are refused, unless the policy stops at them.
    let _ = next.set_username("");
    let _ = next.set_password(None);
    if next.fragment().is_none() {
        // RFC 9110 §10.2.2.
        next.set_fragment(current.fragment());
    }
    Ok(Some(next))
}

fn refused(next: &Url, why: Error) -> Error {
    let shown = shown(next.as_str());
    Error::redirect(format!("the redirect to {shown:?} cannot be followed")).with_source(why)
}

/// Gives the next hop its method, and its body unless the method has none (RFC 9110 §15.4).
fn change_method(
    status: StatusCode,
    outgoing: &mut Outgoing,
    body: Option<Body>,
    way: &mut Way,
) -> Result<()> {
    let is_post = outgoing.method == Method::POST;
    match status {
        StatusCode::SEE_OTHER if outgoing.method == Method::HEAD => {}
        StatusCode::SEE_OTHER => outgoing.method = Method::GET,
        StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND if is_post => {
            outgoing.method = Method::GET;
        }
        _ => {
            outgoing.body = body.ok_or_else(|| {
                Error::redirect("the body is a stream, which can be sent only once")
            })?;
            return Ok(());
        }
    }
    outgoing.body = Body::empty();
    leave_payload(&mut outgoing.headers);
    leave_payload(&mut way.default_headers);
    Ok(())
}

impl Way {
    fn begin(default_headers: HeaderMap) -> Self {
        Self {
            history: Vec::new(),
            default_headers,
            has_referer: false,
        }
    }

    /// Takes back what an earlier hop was told about where it comes from.
    fn leave_referer(&mut self) {
        if mem::take(&mut self.has_referer) {
            self.default_headers.remove(REFERER);
        }
    }

    /// Tells the next hop where it comes from, unless the request or the session does.
    fn set_referer(&mut self, current: Url, next: &Url) {
        if let Some(referer) = referer(current, next)
            && let Entry::Vacant(vacant) = self.default_headers.entry(REFERER)
        {
            vacant.insert(referer);
            self.has_referer = true;
        }
    }
}

/// What the next hop is told about where it comes from.
fn referer(mut current: Url, next: &Url) -> Option<HeaderValue> {
    if current.scheme() == "https" && next.scheme() == "http" {
        return None;
    }
    current.set_fragment(None);
    let is_within = current.origin() == next.origin();
    let referer = if is_within && current.as_str().len() <= MAX_REFERER {
        current.into()
    } else {
        format!("{}/", current.origin().ascii_serialization())
    };
    HeaderValue::try_from(referer).ok()
}
