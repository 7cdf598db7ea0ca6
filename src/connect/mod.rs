//! How connections are made.

mod liveness;

mod traffic;

mod phases;

mod dns;

mod tcp;

#[cfg(feature = "native-tls")]
#[path = "native_tls.rs"]
mod tls;
#[cfg(not(feature = "native-tls"))]
#[path = "no_tls.rs"]
mod tls;

mod connection;

mod default;

mod connector;

pub use connection::BoxConnection;
pub(crate) use connector::Dial;
pub use connector::{BoxConnector, Connector};
pub(crate) use default::ConnectOptions;
pub use default::DefaultConnector;
pub(crate) use liveness::Liveness;
pub(crate) use phases::{Phases, watched};
pub(crate) use tcp::WriteDead;
pub(crate) use traffic::Traffic;
