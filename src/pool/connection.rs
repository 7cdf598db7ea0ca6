//! A connection of either kind, and what one exchange has of it.

use std::sync::Arc;

use hyper_util::client::legacy::connect::{Connection as _, HttpInfo};

use super::http1::Http1;
use super::http2::{Http2, Stream};
use super::line::Line;
use super::meter::{End, Meter};
use super::permit::Permit;
use super::place::Place;
use super::timings::Made;
use super::{http1, http2};
use crate::config::{HttpConfig, Protocols};
use crate::connect::{BoxConnection, Phases, Traffic, WriteDead};
use crate::error::{BoxError, Error, ErrorKind, Result};

/// A connection in nobody's exchange.
#[derive(Debug)]
pub(super) enum Connection {
    // Boxed once, and then handed from exchange to exchange.
    Http1(Box<Http1>),
    Http2(Http2),
}

/// What one exchange has: a connection of its own, or a stream of one that it shares.
#[derive(Debug)]
pub(super) enum Lane {
    Http1(Box<Http1>),
    Http2(Box<Stream>),
}

/// What others may do to a connection while it is used: find it, and cut it.
#[derive(Debug, Clone)]
pub(super) enum Link {
    Http1(Arc<http1::Link>),
    Http2(Arc<http2::Link>),
}

impl Connection {
    /// Speaks the protocol that the connector has negotiated, or that was chosen beforehand.
    pub(super) async fn handshake(
        transport: BoxConnection,
        phases: Phases,
        permit: Permit,
        place: Place,
        config: HttpConfig,
    ) -> Result<Self> {
        let connected = transport.connected();
        let mut extras = http::Extensions::new();
        connected.get_extras(&mut extras);
        let made = Arc::new(Made {
            number: permit.stamp().number,
            remote_addr: extras.get::<HttpInfo>().map(HttpInfo::remote_addr),
            phases,
        });
        let traffic = extras.remove::<Arc<Traffic>>();
        let is_http2 = match (config.protocols, connected.is_negotiated_h2()) {
            (Protocols::Http1Only, true) => {
                return Err(Error::new(ErrorKind::Connect).with_message(
                    "the connector has negotiated HTTP/2, but the session speaks only HTTP/1",
                ));
            }
            (Protocols::Http2Only, _) => true,
            (Protocols::Http1Only | Protocols::Negotiated, negotiated) => negotiated,
        };
        if is_http2 {
            let http2 = &config.http2;
            let http2 = Http2::handshake(transport, permit, place, made, traffic, http2);
            return http2.await.map(Self::Http2);
        }
        let http1 = Http1::handshake(
            transport,
            permit,
            place,
            made,
            traffic,
            extras.remove::<WriteDead>().map(WriteDead::flag),
            &config,
        );
        http1.await.map(Box::new).map(Self::Http1)
    }

    /// Says why the connection is being closed. The first word counts.
    pub(super) fn because(self, why: End) -> Self {
        match &self {
            Self::Http1(connection) => connection.link.meter.end(why),
            Self::Http2(connection) => connection.link().meter().end(why),
        }
        self
    }

    /// Says goodbye to a connection that no exchange uses. Never waits.
    pub(super) fn shut_down(self) {
        match self {
            Self::Http1(connection) => connection.shut_down(),
            Self::Http2(connection) => connection.shut_down(),
        }
    }

    /// Says goodbye and waits until it is said; tasks of its own do it for HTTP/2.
    pub(super) async fn shut_down_fully(self) {
        match self {
            Self::Http1(connection) => connection.shut_down_fully().await,
            Self::Http2(connection) => connection.leave(),
        }
    }
}

impl Lane {
    pub(super) fn line(&self) -> &Line {
        match self {
            Self::Http1(connection) => &connection.link.line,
            Self::Http2(stream) => stream.line(),
        }
    }

    /// What is known of the connection since it was made.
    pub(super) fn made(&self) -> &Arc<Made> {
        match self {
            Self::Http1(connection) => &connection.link.made,
            Self::Http2(stream) => stream.made(),
        }
    }

    /// Whether the connection has been in the pool, and so may have died there.
    pub(super) fn is_pooled(&self) -> bool {
        match self {
            Self::Http1(connection) => connection.pooled,
            Self::Http2(stream) => stream.is_pooled(),
        }
    }

    /// Whether it can carry a request now: `look` if it has to be looked at before, should it have been in
    /// the pool.
    pub(super) fn is_fit(&mut self, look: bool, config: &HttpConfig) -> bool {
        match self {
            Self::Http1(connection) => connection.is_fit(look && connection.pooled, config),
            Self::Http2(_) => true,
        }
    }

    /// Whether the connection was cut by us.
    pub(super) fn was_severed(&self) -> bool {
        match self {
            Self::Http1(connection) => connection.link.was_severed(),
            Self::Http2(stream) => stream.was_severed(),
        }
    }

    /// What a request failed of: `error`, or what ended a shared connection for all.
    pub(super) fn cause_of(&self, error: hyper::Error) -> BoxError {
        match self {
            Self::Http1(_) => error.into(),
            Self::Http2(stream) => stream.cause_of(error),
        }
    }

    /// Whether a shared connection has sent nothing since the request was given to it.
    pub(super) fn has_sent_nothing(&self) -> bool {
        match self {
            Self::Http1(_) => false,
            Self::Http2(stream) => stream.is_unsent(),
        }
    }

    /// Lets no other request begin on a shared connection. One that is not shared goes with its lane.
    pub(super) fn retire(&self) {
        if let Self::Http2(stream) = self {
            stream.retire();
        }
    }

    pub(super) fn meter(&self) -> &Meter {
        match self {
            Self::Http1(connection) => &connection.link.meter,
            Self::Http2(stream) => stream.meter(),
        }
    }
}

impl Link {
    pub(super) fn meter(&self) -> &Meter {
        match self {
            Self::Http1(link) => &link.meter,
            Self::Http2(link) => link.meter(),
        }
    }

    /// Lets a connection that is in the books run by itself, if it is of that kind.
    pub(super) fn start(&self) {
        if let Self::Http2(link) = self {
            link.start();
        }
    }

    /// Cuts it, because the session ends.
    pub(super) fn sever(&self) {
        self.meter().end(End::Closed);
        match self {
            Self::Http1(link) => link.sever(),
            Self::Http2(link) => link.sever(),
        }
    }
}
