//! What is refused before it goes out, and what is filled in so that it arrives.

use http::header::{CONTENT_LENGTH, EXPECT, HOST, TRAILER, TRANSFER_ENCODING};
use http::uri::Authority;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};
use url::Host;

use super::cookies::join_own;
use super::headers::mark_sensitive;
use crate::error::{Error, Result};
use crate::pool::{Outgoing, has_other_coding};

/// The message's framing headers, which are never a session's defaults.
pub(crate) const FRAMING: [HeaderName; 2] = [CONTENT_LENGTH, TRANSFER_ENCODING];

impl Outgoing {
    /// Refuses what would break the exchange.
    pub(super) fn check(&mut self) -> Result<()> {
        if !matches!(self.version, Version::HTTP_10 | Version::HTTP_11) {
            return Err(Error::builder(format!(
                "{:?} cannot be asked for by a request: it is negotiated with the server",
                self.version
            )));
        }
        if self.method == Method::CONNECT {
            return Err(Error::builder(
                "CONNECT cannot be sent: it asks for a tunnel, which a session does not make",
            ));
        }
        if self.method == Method::TRACE && self.body.length() != Some(0) {
            return Err(Error::builder(
                "a TRACE request has no body (RFC 9110 §9.3.8)",
            ));
        }
        if !self.headers.is_empty() {
            join_own(&mut self.headers);
            mark_sensitive(&mut self.headers);
            check_host(&self.headers)?;
            self.check_length()?;
            self.check_coding()?;
        }
        if self.version == Version::HTTP_10 && self.body.length().is_none() {
            return Err(Error::builder(
                "a streamed body needs a Content-Length in HTTP/1.0, which has no chunks",
            ));
        }
        Ok(())
    }

    /// Says how long the body is where hyper would not.
    ///
    /// Servers may refuse a POST of no stated length (RFC 9110 §8.6), and of a GET's stream hyper
    /// would send nothing at all.
    pub(super) fn announce_body(&mut self) {
        if self.body.length() == Some(0) {
            // RFC 9110 §10.1.1: nothing is expected for nothing.
            self.headers.remove(EXPECT);
        }
        let headers = &self.headers;
        // RFC 9112 §7.1.2: trailers come after chunks alone.
        if self.body.is_stream()
            && headers.contains_key(TRAILER)
            && !headers.contains_key(CONTENT_LENGTH)
            && self.version != Version::HTTP_10
        {
            self.body.forget_length();
        }
        match (&self.method, self.body.length()) {
            (&(Method::POST | Method::PUT | Method::PATCH), Some(0)) => {
                let length = self.headers.entry(CONTENT_LENGTH);
                length.or_insert(HeaderValue::from_static("0"));
            }
            (&(Method::GET | Method::HEAD), None) => {
                let coding = self.headers.entry(TRANSFER_ENCODING);
                coding.or_insert(HeaderValue::from_static("chunked"));
            }
            _ => {}
        }
    }

    /// RFC 9112 §6: a message has one length, and it is the body's.
    fn check_length(&mut self) -> Result<()> {
        let mut announced = self.headers.get_all(CONTENT_LENGTH).iter();
        let Some(value) = announced.next() else {
            return Ok(());
        };
        let length = value
            .to_str()
            .ok()
            .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|digits| digits.parse::<u64>().ok());
        let Some(length) = length.filter(|_| announced.next().is_none()) else {
            return Err(Error::builder("Content-Length is not one whole number"));
        };
        if self.headers.contains_key(TRANSFER_ENCODING) {
            return Err(Error::builder(
                "Content-Length and Transfer-Encoding exclude each other",
            ));
        }
        match self.body.length() {
            Some(actual) if actual != length => Err(Error::builder(format!(
                "Content-Length is {length}, but the body has {actual} bytes"
            ))),
            Some(_) => Ok(()),
            None => {
                self.body.announce(length);
                Ok(())
            }
        }
    }

    /// RFC 9112 §6.1: `chunked` comes last, and once. No other coding is done here, and none is known to
    /// have been done to the body.
    fn check_coding(&self) -> Result<()> {
        if has_other_coding(&self.headers) {
            return Err(Error::builder(
                "the Transfer-Encoding is not `chunked` alone (RFC 9112 §6.1)",
            ));
        }
        Ok(())
    }
}

/// RFC 9110 §7.2: a request has one `Host`, which is a host with or without a port. HTTP/2 can say nothing
/// else, and it shall be the same request there.
pub(crate) fn check_host(headers: &HeaderMap) -> Result<()> {
    let mut hosts = headers.get_all(HOST).iter();
    let Some(host) = hosts.next() else {
        return Ok(());
    };
    if hosts.next().is_some() {
        return Err(Error::builder(
            "a request has one Host header (RFC 9112 §3.2)",
        ));
    }
    if !is_host_and_port(host.as_bytes()) {
        return Err(Error::builder(
            "the Host header is not a host, or a host and a port (RFC 9110 §7.2)",
        ));
    }
    Ok(())
}

fn is_host_and_port(text: &[u8]) -> bool {
    let Ok(authority) = Authority::try_from(text) else {
        return false;
    };
    let host = authority.host();
    // User info would come first.
    let Some(port) = authority.as_str().strip_prefix(host) else {
        return false;
    };
    // The grammar has an empty one, too.
    let is_port = port.strip_prefix(':').is_some_and(|digits| {
        let are_digits = digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.is_empty() || are_digits && digits.parse::<u16>().is_ok()
    });
    Host::parse(host).is_ok() && (port.is_empty() || is_port)
}
