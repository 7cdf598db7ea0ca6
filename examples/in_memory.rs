//! A struct that is tested without a network: its session gets a connector that serves in memory.

use std::convert::Infallible;

use axum::Router;
use axum::extract::Path;
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_session::{
    BoxConnection, BoxConnector, BoxError, DefaultConnector, Result, SessionHolder, Uri,
};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;

/// Takes any connector, and is not generic for it.
struct Greeter {
    session: SessionHolder<BoxConnector>,
}

impl Greeter {
    fn new() -> Result<Self> {
        Self::with_connector(BoxConnector::new(DefaultConnector::new()?))
    }

    fn with_connector(connector: BoxConnector) -> Result<Self> {
        let builder = SessionHolder::builder().base_url("http://greeter.example");
        let session = builder.connector(connector).build()?;
        Ok(Self { session })
    }

    async fn greet(&self, name: &str) -> Result<String> {
        let request = self.session.get(format!("/hello/{name}"));
        request.send().await?.text().await
    }
}

/// Each connection is a pipe to a server task of its own.
fn in_memory(router: Router) -> BoxConnector {
    BoxConnector::new(tower::service_fn(move |uri: Uri| {
        let service = TowerToHyperService::new(router.clone());
        async move {
            println!("a connection to {uri}");
            let (client, server) = tokio::io::duplex(64 * 1024);
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(server), service));
            Ok::<_, Infallible>(BoxConnection::from_io(client))
        }
    }))
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let production = Greeter::new()?;
    println!("in production, not opened here: {:?}", production.session);

    let hello = async |Path(name): Path<String>| format!("hello {name}");
    let router = Router::new().route("/hello/{name}", get(hello));
    let greeter = Greeter::with_connector(in_memory(router))?;
    greeter.session.start_session().await?;
    println!("{}", greeter.greet("Ada").await?);
    println!("{}", greeter.greet("Grace").await?);
    println!("{}", greeter.session.close_session().await);
    Ok(())
}
