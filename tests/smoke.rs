//! A session, end to end.

mod support;

use hyper_session::{Result, SessionHolder};
use support::server::Server;

#[tokio::test]
async fn two_requests_share_a_connection_and_close_leaves_none() -> Result<()> {
    let server = Server::text("hello");
    let holder: SessionHolder = SessionHolder::builder().build()?;
    holder.start_session().await?;
    for _ in 0..3 {
        let text = holder
            .with_session(|s| {
                let url = server.url("/");
                async move { s.get(url).send().await?.text().await }
            })
            .await?;
        assert_eq!(text, "hello");
    }
    let stats = holder.stats();
    assert_eq!((stats.opened, stats.reused, stats.idle, stats.exchanges), (1, 2, 1, 0), "{stats:?}");
    let report = holder.close_session().await;
    println!("{report}");
    assert_eq!(report.stats.open, 0);
    server.wait_live(0).await;
    Ok(())
}
