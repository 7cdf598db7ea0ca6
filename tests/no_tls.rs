//! Without a TLS feature, https is refused by name and plain HTTP works.
#![cfg(not(feature = "native-tls"))]

mod support;

use hyper_session::{ErrorKind, Result, Session};
use support::server::Server;

#[tokio::test]
async fn https_is_refused_naming_the_feature_that_is_missing() -> Result<()> {
    let server = Server::text("plain");
    let session = Session::builder().open().await?;
    let url = server.url("/").replace("http:", "https:");
    let error = session
        .get(url)
        .send()
        .await
        .expect_err("no TLS is built in");
    assert_eq!(error.kind(), ErrorKind::Tls, "{error:?}");
    assert!(error.is_connect() && !error.was_sent(), "{error:?}");
    let source = std::error::Error::source(&error)
        .expect("what is missing")
        .to_string();
    assert!(source.contains("`native-tls`"), "{source}");
    assert_eq!(server.accepted(), 0);
    assert_eq!(
        session.get(server.url("/")).send().await?.text().await?,
        "plain"
    );
    assert_eq!(session.close().await.stats.opened, 1);
    server.wait_live(0).await;
    Ok(())
}

#[test]
fn trusted_roots_are_refused_rather_than_ignored() {
    let error = Session::builder()
        .tls_root_pem("any")
        .build()
        .expect_err("no TLS is built in");
    assert_eq!(error.kind(), ErrorKind::Builder);
    assert!(error.to_string().contains("tls_root_pem"), "{error}");
}
