//! Streams hold their session: from the first poll to the end, wherever they have got to meanwhile.

mod support;

use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt, poll, stream};
use hyper_session::{Error, ErrorKind, Result, SessionContainer, SessionHolder, WhenClosed};
use support::accounts::{Accounts, AliveTasks, assert_accounts};
use support::api::Api;
use support::outcome::{assert_waits, drive_until, expect_closed, expect_kind};

struct Feeds {
    session: SessionHolder,
}

impl SessionContainer for Feeds {
    fn session_holder(&self) -> &SessionHolder {
        &self.session
    }
}

impl Feeds {
    async fn started(api: &Api) -> Result<Self> {
        let session = SessionHolder::builder()
            .base_url(api.url("/"))
            .when_closed(WhenClosed::Refuse)
            .build()?;
        session.start_session().await?;
        Ok(Self { session })
    }

    /// Borrows nothing from `self`.
    fn feed(&self) -> impl Stream<Item = Result<Bytes>> + Send + Unpin + use<> {
        Box::pin(self.stream_with_session(|s| async move {
            Ok::<_, Error>(s.get("/feed").send().await?.bytes_stream())
        }))
    }

    /// Asks the server for each item.
    fn words(&self, count: usize) -> impl Stream<Item = Result<String>> + Send + Unpin + use<> {
        Box::pin(self.stream_with_session(move |s| async move {
            Ok::<_, Error>(stream::iter(0..count).then(move |i| {
                let s = s.clone();
                async move { s.get(format!("/say/{i}")).send().await?.text().await }
            }))
        }))
    }
}

/// Makes a container, and a stream of it that outlives it.
async fn feed_of_a_container_that_is_gone(
    api: &Api,
) -> Result<impl Stream<Item = Result<Bytes>> + Unpin> {
    let feeds = Feeds::started(api).await?;
    Ok(feeds.feed())
}

#[tokio::test]
async fn a_stream_that_has_begun_outlives_its_function_and_its_container() -> Result<()> {
    let tasks = AliveTasks::now();
    let api = Api::start();
    let feeds = Feeds::started(&api).await?;
    let mut words = feeds.words(3);
    let mut stream = feeds.feed();
    let feed = drive_until(pin!(stream.next()), api.next_feed()).await;
    assert_eq!(words.next().await.expect("a word")?, "0");
    assert_accounts(&feeds.stats(), Accounts::busy(1).and_idle(1));
    drop(feeds);

    feed.send("a").await.expect("the server feeds it");
    assert_eq!(stream.next().await.expect("a chunk")?, "a");
    // It sends further requests on its handle.
    assert_eq!(words.try_collect::<Vec<_>>().await?, ["1", "2"]);
    drop(feed);
    assert!(stream.next().await.is_none());
    drop(stream);
    api.wait_live(0).await;
    tasks.assert_back().await;
    Ok(())
}

#[tokio::test]
async fn a_stream_that_is_first_polled_after_its_container_is_gone_has_its_session() -> Result<()> {
    let api = Api::start();
    let mut stream = feed_of_a_container_that_is_gone(&api).await?;
    assert_eq!(api.accepted(), 0);
    let feed = drive_until(pin!(stream.next()), api.next_feed()).await;
    feed.send("a").await.expect("the server feeds it");
    assert_eq!(stream.next().await.expect("a chunk")?, "a");
    drop(feed);
    assert!(stream.next().await.is_none());
    api.wait_live(0).await;
    Ok(())
}

#[tokio::test]
async fn a_stream_finishes_after_the_close_that_waits_for_it() -> Result<()> {
    let api = Api::start();
    let feeds = Feeds::started(&api).await?;
    let mut stream = feeds.feed();
    let feed = drive_until(pin!(stream.next()), api.next_feed()).await;
    let mut words = feeds.words(2);
    assert_eq!(words.next().await.expect("a word")?, "0");

    let mut close = pin!(feeds.close_session());
    assert_waits(close.as_mut()).await;
    feed.send("a").await.expect("the server feeds it");
    assert_eq!(stream.next().await.expect("a chunk")?, "a");
    drop(feed);
    assert!(stream.next().await.is_none());
    assert_waits(close.as_mut()).await;
    assert_eq!(words.next().await.expect("a word")?, "1");
    assert!(words.next().await.is_none());

    // Both have ended, though nobody has dropped them.
    let report = close.await;
    assert_eq!((report.severed, report.leases_left), (0, 0), "{report:?}");
    assert_accounts(&report.stats, Accounts::NONE);
    api.wait_live(0).await;
    drop((stream, words));
    Ok(())
}

#[tokio::test]
async fn a_dropped_stream_gives_its_lease_back_and_its_connection_up() -> Result<()> {
    let api = Api::start();
    let feeds = Feeds::started(&api).await?;
    let mut stream = feeds.feed();
    let feed = drive_until(pin!(stream.next()), api.next_feed()).await;
    let mut words = feeds.words(3);
    assert_eq!(words.next().await.expect("a word")?, "0");
    let mut close = pin!(feeds.close_session());
    assert_waits(close.as_mut()).await;
    drop(words);
    assert_waits(close.as_mut()).await;
    assert_eq!(api.live(), 2, "the close waits with the idle one");
    drop(stream);
    assert_eq!(close.await.leases_left, 0);
    feed.dropped().await;
    api.wait_live(0).await;
    Ok(())
}

#[tokio::test]
async fn an_error_of_the_closure_is_the_only_item_and_ends_the_lease() -> Result<()> {
    let api = Api::start();
    let feeds = Feeds::started(&api).await?;
    let mut stream = pin!(feeds.stream_with_session(|s| async move {
        s.get("/say/1").send().await?.text().await?;
        Ok::<_, Error>(s.get("ftp://host/").send().await?.bytes_stream())
    }));
    expect_kind(stream.next().await.expect("an item"), ErrorKind::Url);
    assert!(stream.next().await.is_none());
    assert_accounts(&feeds.stats(), Accounts::idle(1));
    // Not dropped yet, it holds nothing up.
    assert_eq!(feeds.close_session().await.leases_left, 0);
    api.wait_live(0).await;
    Ok(())
}

#[tokio::test]
async fn an_error_of_an_item_is_passed_on_and_what_follows_it_too() -> Result<()> {
    let api = Api::start();
    let feeds = Feeds::started(&api).await?;
    let mut stream = pin!(feeds.stream_with_session(|s| async move {
        let refused = s.get("ftp://host/").send().await.map(|_| "never");
        Ok::<_, Error>(stream::iter([Ok("a"), refused, Ok("b")]))
    }));
    assert_eq!(stream.next().await.expect("an item")?, "a");
    expect_kind(stream.next().await.expect("an item"), ErrorKind::Url);
    assert_eq!(stream.next().await.expect("an item")?, "b");
    assert!(stream.next().await.is_none());
    Ok(())
}

#[tokio::test]
async fn the_lease_is_taken_at_the_first_poll_and_not_before() -> Result<()> {
    let api = Api::start();
    let feeds = Feeds::started(&api).await?;
    let (mut unpolled, mut later) = (feeds.feed(), feeds.words(1));
    let report = feeds.close_session().await;
    assert_eq!((report.leases_left, report.stats.opened), (0, 0));
    expect_closed(unpolled.next().await.expect("an item"));
    assert!(unpolled.next().await.is_none());
    assert_eq!(api.accepted(), 0);

    // It takes the session that is open then, be it another one.
    feeds.start_session().await?;
    assert_eq!(later.next().await.expect("a word")?, "0");
    assert_accounts(&feeds.stats(), Accounts::idle(1));
    Ok(())
}

#[tokio::test]
async fn a_stream_holds_its_lease_while_its_closure_still_runs() -> Result<()> {
    let api = Api::start();
    let feeds = Feeds::started(&api).await?;
    let mut stream = Box::pin(feeds.stream_with_session(|s| async move {
        let word = s.get("/held/1").send().await?.text().await?;
        Ok::<_, Error>(stream::iter([Ok(word)]))
    }));
    drive_until(pin!(stream.next()), api.gate.wait_reached(1)).await;
    let mut close = pin!(feeds.close_session());
    assert_waits(close.as_mut()).await;
    drop(stream);
    assert_accounts(&close.await.stats, Accounts::NONE);
    api.wait_live(0).await;
    Ok(())
}

#[tokio::test]
async fn a_stream_that_nobody_polls_is_cut_and_reported_at_the_deadline() -> Result<()> {
    let api = Api::start();
    let feeds = Feeds::started(&api).await?;
    let mut stream = feeds.feed();
    let feed = drive_until(pin!(stream.next()), api.next_feed()).await;
    feed.send("a").await.expect("the server feeds it");
    assert_eq!(stream.next().await.expect("a chunk")?, "a");

    let report = feeds.close_session_within(Duration::from_millis(20)).await;
    assert_eq!((report.severed, report.leases_left), (1, 1), "{report:?}");
    api.wait_live(0).await;
    feed.dropped().await;
    expect_kind(stream.next().await.expect("an item"), ErrorKind::Closed);
    assert!(matches!(poll!(stream.next()), std::task::Poll::Ready(None)));
    Ok(())
}
