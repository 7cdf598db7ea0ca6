//! A request that is complete: nothing of it can be refused any more but by the network.

use std::mem;
use std::sync::Arc;

use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request};

use super::headers::retain;

use crate::body::Body;
use crate::config::{OwnTimeouts, RaiseForStatus};
use crate::credentials::Credentials;
use crate::error::{ErrorKind, Result};
use crate::pool::Outgoing;
use crate::redirect::RedirectPolicy;
use crate::retry::RetryPolicy;
use crate::url::{BaseUrl, Location, Target, UserInfo, no_base};

/// What one request sets for itself. Travels in the extensions of an `http::Request`.
#[derive(Debug, Clone, Default)]
pub(crate) struct CallOptions {
    /// Where the session's do not hold.
    pub(crate) timeouts: Option<Box<OwnTimeouts>>,
    pub(crate) raise_for_status: Option<RaiseForStatus>,
    pub(crate) decompress: Option<bool>,
    pub(crate) max_body: Option<u64>,
    pub(crate) idempotent: bool,
    pub(crate) redirect: Option<Arc<RedirectPolicy>>,
    pub(crate) retry: Option<Arc<RetryPolicy>>,
    /// Whether the `Authorization` is made of a URL's user info.
    by_url: bool,
    completed: Option<Box<Completed>>,
    /// Headers that it does not get by itself, be they of the session's own.
    pub(crate) skipped_headers: Option<Arc<[HeaderName]>>,
}

/// What a request was completed for, when it leaves as an `http::Request`, whose URI may be changed.
#[derive(Debug, Clone)]
struct Completed {
    /// Has the fragment, too, as a URI has none.
    target: Target,
    /// Made of its user info.
    authorization: Option<HeaderValue>,
}

impl CallOptions {
    /// Whether the request does not get the header by itself; `sessions`: as none of its session does.
    pub(super) fn skips(&self, name: &HeaderName, sessions: &[HeaderName]) -> bool {
        let own = self.skipped_headers.as_deref();
        sessions.contains(name) || own.is_some_and(|own| own.contains(name))
    }

    /// The session's headers that are left for the request, if some are not for it.
    pub(super) fn left_of(&self, sessions: &HeaderMap) -> Option<HeaderMap> {
        let own = self.skipped_headers.as_deref()?;
        let mut left = sessions.clone();
        retain(&mut left, |name| own.iter().all(|skipped| skipped != name));
        Some(left)
    }
}

/// A request on its way from its builder to the pool, boxed once so that nothing of it is moved.
pub(crate) struct Call {
    pub(crate) location: Location,
    /// What is to be appended to the URL's query.
    pub(crate) query: String,
    /// What the body is, unless the headers say so.
    pub(crate) content_type: Option<&'static str>,
    pub(crate) options: CallOptions,
    pub(crate) outgoing: Outgoing,
}

impl Call {
    pub(crate) fn new(method: Method, location: Location) -> Box<Self> {
        Box::new(Self {
            location,
            query: String::new(),
            content_type: None,
            options: CallOptions::default(),
            outgoing: Outgoing::new(method),
        })
    }

    /// Takes a request that was made elsewhere. A URI without a host waits for a base.
    pub(crate) fn from_http(request: Request<Body>) -> Result<Box<Self>> {
        let (mut head, body) = request.into_parts();
        let mut options = head.extensions.remove::<CallOptions>().unwrap_or_default();
        let location = if head.uri.scheme().is_some() {
            let mut target = Target::from_uri(&head.uri)?;
            if let Some(completed) = &mut options.completed
                && completed.target.uri == target.uri
            {
                target.fragment = completed.target.fragment.take();
            }
            Location::Absolute(target)
        } else {
            Location::Relative(head.uri.to_string().into())
        };
        let mut call = Self::new(head.method, location);
        call.outgoing.idempotent = options.idempotent;
        call.options = options;
        call.outgoing.version = head.version;
        call.outgoing.headers = head.headers;
        call.outgoing.extensions = head.extensions;
        call.outgoing.body = body;
        Ok(call)
    }

    /// Turns a call that is complete into a request that [`from_http`](Self::from_http) takes back.
    pub(crate) fn into_http(mut self: Box<Self>) -> Request<Body> {
        let target = mem::take(self.parts().0);
        let Outgoing {
            method,
            version,
            headers,
            extensions,
            body,
            idempotent,
        } = self.outgoing;
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = target.uri.clone();
        *request.version_mut() = version;
        *request.headers_mut() = headers;
        *request.extensions_mut() = extensions;
        self.options.idempotent = idempotent;
        let authorization = request.headers().get(AUTHORIZATION);
        let authorization = authorization.filter(|_| self.options.by_url).cloned();
        self.options.completed = Some(Box::new(Completed {
            target,
            authorization,
        }));
        request.extensions_mut().insert(self.options);
        request
    }

    /// Returns the same call once more, if its body can be.
    pub(crate) fn try_clone(&self) -> Option<Box<Self>> {
        Some(Box::new(Self {
            location: self.location.clone(),
            query: self.query.clone(),
            content_type: self.content_type,
            options: self.options.clone(),
            outgoing: self.outgoing.try_clone()?,
        }))
    }

    /// Where a call that is complete goes, what, and how.
    pub(crate) fn parts(&mut self) -> (&mut Target, &mut Outgoing, &CallOptions) {
        let Location::Absolute(target) = &mut self.location else {
            unreachable!("a call that is complete has an absolute URL")
        };
        (target, &mut self.outgoing, &self.options)
    }

    /// Makes the call ready to be sent. Refuses what would break the exchange.
    ///
    /// `skipped`: the session's headers that no request gets by itself.
    pub(crate) fn complete(
        &mut self,
        base: Option<&BaseUrl>,
        skipped: &[HeaderName],
    ) -> Result<()> {
        // Taken once: a request whose header was removed later does not get it again.
        let own = self.outgoing.body.take_content_type();
        let content_type = self.content_type.map(HeaderValue::from_static).or(own);
        if let Some(content_type) = content_type
            && !self.options.skips(&CONTENT_TYPE, skipped)
        {
            let headers = &mut self.outgoing.headers;
            headers.entry(CONTENT_TYPE).or_insert(content_type);
        }
        if let Location::Relative(path) = &self.location {
            let base = base.ok_or_else(|| no_base(path))?;
            self.location = Location::Absolute(base.join(path)?);
        }
        let Location::Absolute(target) = &mut self.location else {
            unreachable!("it was made absolute above")
        };
        if !self.query.is_empty() {
            *target = mem::take(target).append_query(&self.query)?;
        }
        let user_info = target.user_info.take();
        let is_settled = match self.options.completed.take() {
            None => false,
            Some(completed) => self.is_settled(&completed, user_info.as_ref()),
        };
        self.outgoing.check()?;
        self.authorize(user_info.as_ref(), base.filter(|_| !is_settled), skipped)
    }

    /// Whether its credentials are those of before: it goes to the origin that it was completed for, and
    /// has no `own` user info. Else it leaves behind what that one's URL gave it.
    fn is_settled(&mut self, completed: &Completed, own: Option<&UserInfo>) -> bool {
        let (target, outgoing, _) = self.parts();
        let headers = &mut outgoing.headers;
        let stays = own.is_none() && target.is_of_origin(&completed.target.uri);
        let of_url = completed.authorization.as_ref();
        let has_kept = of_url.is_some() && headers.get(AUTHORIZATION) == of_url;
        if has_kept && !stays {
            retain(headers, |name| name != AUTHORIZATION);
        }
        self.options.by_url = has_kept && stays;
        stays
    }

    /// Gives a request that has no credentials those of its URL, or else of a base of its origin.
    fn authorize(
        &mut self,
        own: Option<&UserInfo>,
        base: Option<&BaseUrl>,
        skipped: &[HeaderName],
    ) -> Result<()> {
        let bases = base.and_then(BaseUrl::user_info);
        let Some(user_info) = own.or(bases) else {
            return Ok(());
        };
        let (target, outgoing, options) = self.parts();
        let is_meant = own.is_some() || base.is_some_and(|base| base.is_of_origin(&target.uri));
        if !is_meant
            || outgoing.headers.contains_key(AUTHORIZATION)
            || options.skips(&AUTHORIZATION, skipped)
        {
            return Ok(());
        }
        let password = user_info.password.as_deref();
        let credentials = Credentials::basic(&user_info.username, password)
            .map_err(|error| error.with_kind(ErrorKind::Url))?;
        outgoing.headers.insert(AUTHORIZATION, credentials.value);
        self.options.by_url = true;
        Ok(())
    }
}
