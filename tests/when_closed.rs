//! Calls while no session is open, and holders that lend the session of another.

mod support;

use std::pin::pin;

use futures::future::try_join_all;
use futures::{FutureExt, StreamExt};
use hyper_session::{Error, Result, Session, SessionBuilder, SessionHolder, WhenClosed};
use support::accounts::{Accounts, AliveTasks, assert_accounts};
use support::api::Api;
use support::outcome::{assert_waits, drive_until, expect_closed};

async fn say(holder: &SessionHolder, url: String) -> Result<String> {
    holder
        .with_session(|s| async move { s.get(url).send().await?.text().await })
        .await
}

/// No session is open, and there has been none but one-shots.
fn assert_only_one_shots(holder: &SessionHolder, one_shots: u64) {
    assert!(!holder.is_open());
    assert_accounts(&holder.stats(), Accounts::NONE);
    assert_eq!(
        (holder.stats().opened, holder.stats().one_shots),
        (0, one_shots)
    );
}

#[tokio::test]
async fn by_default_each_call_has_a_session_of_its_own_that_is_gone_with_it() -> Result<()> {
    let tasks = AliveTasks::now();
    let api = Api::start();
    let holder = SessionHolder::builder().build()?;
    for round in 1..=3 {
        assert_eq!(say(&holder, api.url("/say/1")).await?, "1");
        api.wait_live(0).await;
        assert_eq!(api.accepted(), round);
        assert_only_one_shots(&holder, round as u64);
    }
    holder
        .with_session(async |s| {
            for _ in 0..3 {
                s.get(api.url("/say/1")).send().await?.text().await?;
                assert_accounts(&s.stats(), Accounts::idle(1));
            }
            Ok::<_, Error>(())
        })
        .await?;
    api.wait_live(0).await;
    assert_eq!(
        (api.accepted(), api.requests()),
        (4, 6),
        "one call, one session"
    );
    assert_eq!(api.clean_closes(), 4);
    assert_only_one_shots(&holder, 4);
    assert_eq!(holder.close_session().await.stats.one_shots, 4);
    tasks.assert_back().await;
    Ok(())
}

#[tokio::test]
async fn a_one_shots_response_is_read_after_the_call_and_then_its_connection_is_gone() -> Result<()>
{
    let tasks = AliveTasks::now();
    let api = Api::start();
    let holder = SessionHolder::builder().build()?;
    let mut by_get = holder.get(api.url("/feed")).send().await?;
    let first = api.next_feed().await;
    let url = api.url("/feed");
    let mut by_call = holder
        .with_session(|s| async move { s.get(url).send().await })
        .await?;
    let second = api.next_feed().await;
    assert_only_one_shots(&holder, 2);
    assert_eq!(api.live(), 2);

    // While its next part is waited for, its time limits are watched.
    assert_waits(pin!(by_get.chunk())).await;
    first.send("a").await.expect("the server feeds it");
    assert_eq!(by_get.chunk().await?.expect("a chunk"), "a");
    drop(first);
    assert!(by_get.chunk().await?.is_none());
    api.wait_live(1).await;
    second.send("b").await.expect("the server feeds it");
    assert_eq!(by_call.chunk().await?.expect("a chunk"), "b");
    drop(second);
    assert!(by_call.chunk().await?.is_none());
    api.wait_live(0).await;
    tasks.assert_back().await;
    drop((by_get, by_call));
    Ok(())
}

#[tokio::test]
async fn a_one_shots_stream_keeps_it_until_the_stream_is_dropped() -> Result<()> {
    let api = Api::start();
    let holder = SessionHolder::builder().build()?;
    let url = api.url("/feed");
    let mut stream = Box::pin(holder.stream_with_session(|s| async move {
        Ok::<_, Error>(s.get(url).send().await?.bytes_stream())
    }));
    let feed = drive_until(pin!(stream.next()), api.next_feed()).await;
    assert_only_one_shots(&holder, 1);
    feed.send("a").await.expect("the server feeds it");
    assert_eq!(stream.next().await.expect("a chunk")?, "a");
    drop(stream);
    feed.dropped().await;
    api.wait_live(0).await;
    Ok(())
}

#[tokio::test]
async fn one_shots_do_not_count_against_the_limit_of_the_session() -> Result<()> {
    let api = Api::start();
    let holder = SessionHolder::builder().pool_max_connections(1).build()?;
    let mut calls = pin!(try_join_all(
        (0..10).map(|i| say(&holder, api.url(&format!("/held/{i}"))))
    ));
    drive_until(calls.as_mut(), api.gate.wait_reached(10)).await;
    assert_eq!(api.live(), 10);
    assert_only_one_shots(&holder, 10);

    // Nor do those still running once a session is open.
    holder.start_session().await?;
    assert_eq!(say(&holder, api.url("/say/1")).await?, "1");
    assert_accounts(&holder.stats(), Accounts::idle(1));
    api.gate.open_for_good();
    assert_eq!(calls.await?.len(), 10);
    api.wait_live(1).await;
    assert_eq!(holder.stats().one_shots, 10);
    Ok(())
}

#[tokio::test]
async fn a_cancelled_one_shot_leaves_nothing() -> Result<()> {
    let api = Api::start();
    let holder = SessionHolder::builder().build()?;
    let mut call = Box::pin(say(&holder, api.url("/held/1")));
    drive_until(call.as_mut(), api.gate.wait_reached(1)).await;
    drop(call);
    api.wait_live(0).await;
    assert_only_one_shots(&holder, 1);
    Ok(())
}

#[tokio::test]
async fn open_opens_the_session_at_the_first_call_and_keeps_it() -> Result<()> {
    let api = Api::start();
    let holder = SessionHolder::builder()
        .when_closed(WhenClosed::Open)
        .build()?;
    assert!(!holder.is_open());
    let calls = (0..10).map(|i| say(&holder, api.url(&format!("/held/{i}"))));
    let mut calls = pin!(try_join_all(calls));
    drive_until(calls.as_mut(), api.gate.wait_reached(10)).await;
    assert_accounts(&holder.stats(), Accounts::busy(10));
    api.gate.open_for_good();
    assert_eq!(calls.await?.len(), 10);
    assert!(holder.is_open());
    assert_accounts(&holder.stats(), Accounts::idle(10));
    assert_eq!(holder.stats().one_shots, 0);

    // A scope finds it open and leaves it so.
    holder
        .in_session(async |h| say(h, api.url("/say/1")).await)
        .await?;
    assert_accounts(&holder.stats(), Accounts::idle(10));

    holder.close_session().await;
    api.wait_live(0).await;
    holder.get(api.url("/say/1")).send().await?.text().await?;
    assert_accounts(&holder.stats(), Accounts::idle(1));
    Ok(())
}

#[tokio::test]
async fn refuse_fails_every_kind_of_call() -> Result<()> {
    let api = Api::start();
    let holder = SessionHolder::builder()
        .when_closed(WhenClosed::Refuse)
        .build()?;
    expect_closed(say(&holder, api.url("/say/1")).await);
    expect_closed(holder.get(api.url("/say/1")).send().await);
    let mut stream = pin!(holder.stream_with_session(async |s: Session| {
        Ok::<_, Error>(s.get("http://never").send().await?.bytes_stream())
    }));
    expect_closed(stream.next().await.expect("an item"));
    assert!(stream.next().await.is_none());
    assert_only_one_shots(&holder, 0);
    assert_eq!(api.accepted(), 0);
    Ok(())
}

#[tokio::test]
async fn a_request_of_the_holder_finds_its_session_when_it_is_sent() -> Result<()> {
    let api = Api::start();
    let holder = SessionHolder::builder()
        .base_url(api.url("/say/"))
        .when_closed(WhenClosed::Refuse)
        .build()?;
    let made_before_the_start = holder.get("1");
    let spare = made_before_the_start.try_clone().expect("no stream");
    holder.start_session().await?;
    assert_eq!(made_before_the_start.send().await?.text().await?, "1");
    assert_accounts(&holder.stats(), Accounts::idle(1));

    let made_in_the_session = holder.get("2");
    holder.close_session().await;
    expect_closed(made_in_the_session.send().await);
    holder.start_session().await?;
    assert_eq!(spare.send().await?.text().await?, "1");
    assert_eq!(api.accepted(), 2, "one in each session");
    Ok(())
}

async fn lent(api: &Api) -> Result<(SessionHolder, SessionHolder)> {
    let builder: SessionBuilder = SessionHolder::builder().base_url(api.url("/"));
    let owner = builder.build()?;
    owner.start_session().await?;
    let borrower = SessionHolder::from_session(owner.session()?);
    Ok((owner, borrower))
}

#[tokio::test]
async fn a_borrower_shares_the_owners_connections() -> Result<()> {
    let api = Api::start();
    let (owner, borrower) = lent(&api).await?;
    assert!(borrower.is_open());
    say(&owner, "/say/1".into()).await?;
    say(&borrower, "/say/2".into()).await?;
    borrower.get("/say/3").send().await?.text().await?;
    borrower
        .in_session(async |b| say(b, "/say/4".into()).await)
        .await?;
    assert_accounts(&owner.stats(), Accounts::idle(1));
    assert_accounts(&borrower.stats(), Accounts::idle(1));
    assert_eq!((api.accepted(), api.requests()), (1, 4));
    Ok(())
}

#[tokio::test]
async fn closing_a_borrower_only_detaches_it_and_starting_it_attaches_it_again() -> Result<()> {
    let api = Api::start();
    let (owner, borrower) = lent(&api).await?;
    say(&borrower, "/say/1".into()).await?;
    let url = "/held/2".to_owned();
    let mut running = pin!(say(&borrower, url));
    drive_until(running.as_mut(), api.gate.wait_reached(1)).await;

    let report = borrower.close_session().now_or_never();
    assert_eq!(
        report.expect("at once: it is not its session").stats.opened,
        0
    );
    assert!(!borrower.is_open());
    expect_closed(borrower.session());
    expect_closed(say(&borrower, "/say/3".into()).await);
    expect_closed(borrower.get("/say/3").send().await);
    assert_accounts(&owner.stats(), Accounts::busy(1));
    api.gate.open();
    assert_eq!(running.await?, "2");
    assert_eq!(say(&owner, "/say/4".into()).await?, "4");

    borrower.start_session().await?;
    assert_eq!(say(&borrower, "/say/5".into()).await?, "5");
    assert_accounts(&owner.stats(), Accounts::idle(1));
    assert_eq!((api.accepted(), api.requests()), (1, 4));
    Ok(())
}

#[tokio::test]
async fn the_owners_close_waits_for_the_borrowers_calls() -> Result<()> {
    let api = Api::start();
    let (owner, borrower) = lent(&api).await?;
    let mut running = pin!(borrower.with_session(async |s| {
        s.get("/held/1").send().await?.text().await?;
        s.get("/say/2").send().await?.text().await
    }));
    drive_until(running.as_mut(), api.gate.wait_reached(1)).await;
    let mut close = pin!(owner.close_session());
    assert_waits(close.as_mut()).await;
    assert!(!borrower.is_open());
    expect_closed(say(&borrower, "/say/3".into()).await);
    api.gate.open();
    assert_eq!(running.await?, "2");
    assert_eq!(close.await.leases_left, 0);
    api.wait_live(0).await;

    expect_closed(borrower.start_session().await);
    owner.start_session().await?;
    expect_closed(borrower.start_session().await);
    expect_closed(say(&borrower, "/say/4".into()).await);
    assert_eq!(api.requests(), 2);
    Ok(())
}

#[tokio::test]
async fn a_borrower_keeps_the_session_of_an_owner_that_is_dropped() -> Result<()> {
    let api = Api::start();
    let (owner, borrower) = lent(&api).await?;
    drop(owner);
    assert_eq!(say(&borrower, "/say/1".into()).await?, "1");
    assert_accounts(&borrower.stats(), Accounts::idle(1));
    drop(borrower);
    api.wait_live(0).await;
    Ok(())
}
