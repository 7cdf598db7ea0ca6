//! One pooled HTTP session per object.
#![cfg_attr(docsrs, feature(doc_cfg))]

mod body;
mod builder;
mod config;
mod connect;
mod container;
mod error;
mod holder;
mod pipeline;
mod pool;
mod request;
mod response;
mod scope;
mod session;
mod slot;
mod url;

pub use body::Body;
pub use builder::SessionBuilder;
pub use config::WhenClosed;
pub use connect::{BoxConnection, BoxConnector, Connector, DefaultConnection, DefaultConnector};
pub use container::SessionContainer;
pub use error::{BoxError, Error, ErrorKind, Result, TimeoutPhase};
pub use holder::SessionHolder;
pub use pool::{CloseReport, Stats};
pub use request::RequestBuilder;
pub use response::Response;
pub use scope::SessionScope;
pub use session::Session;
