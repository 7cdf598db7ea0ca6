//! Opening a session: once, when told to, by whoever comes first, and in place of another.

mod support;

use std::future::ready;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::StreamExt;
use futures::future::try_join_all;
use hyper_session::{Error, ErrorKind, Result, Session, SessionBuilder, SessionHolder, WhenClosed};
use support::accounts::{Accounts, assert_accounts};
use support::api::Api;
use support::gate::Gate;
use support::outcome::{assert_waits, drive_until, expect_closed, expect_kind};
use tokio::runtime::Runtime;

/// Counts its calls, asks the server once, and waits at a gate.
#[derive(Clone, Default)]
struct Hook {
    calls: Arc<AtomicUsize>,
    gate: Gate,
}

impl Hook {
    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    fn on(&self, builder: SessionBuilder, api: &Api) -> SessionBuilder {
        let (hook, url) = (self.clone(), api.url("/say/hook"));
        builder.on_open(move |session| {
            let (hook, url) = (hook.clone(), url.clone());
            async move {
                hook.calls.fetch_add(1, Ordering::SeqCst);
                session.get(url).send().await?.text().await?;
                hook.gate.pass().await;
                Ok::<_, Error>(session)
            }
        })
    }
}

async fn say(holder: &SessionHolder, url: String) -> Result<String> {
    holder
        .with_session(|s| async move { s.get(url).send().await?.text().await })
        .await
}

#[test]
fn building_needs_no_runtime_and_opens_nothing() -> Result<()> {
    let api = Api::start();
    let holder = SessionHolder::builder().build()?;
    assert!(!holder.is_open());
    expect_closed(holder.session());
    assert_accounts(&holder.stats(), Accounts::NONE);

    let runtime = Runtime::new().expect("a runtime can be built");
    runtime.block_on(async {
        holder.start_session().await?;
        assert!(holder.is_open());
        assert_accounts(&holder.stats(), Accounts::NONE);
        assert_eq!(api.accepted(), 0);

        assert_eq!(say(&holder, api.url("/say/1")).await?, "1");
        assert_accounts(&holder.stats(), Accounts::idle(1));
        assert_eq!(api.live(), 1);
        holder.close_session().await;
        api.wait_live(0).await;
        Ok(())
    })
}

#[tokio::test]
async fn a_second_start_does_nothing() -> Result<()> {
    let api = Api::start();
    let hook = Hook::default();
    hook.gate.open_for_good();
    let holder = hook.on(SessionHolder::builder(), &api).build()?;
    for _ in 0..2 {
        holder.start_session().await?;
        say(&holder, api.url("/say/1")).await?;
        assert_accounts(&holder.stats(), Accounts::idle(1));
    }
    assert_eq!(hook.calls(), 1);
    assert_eq!(api.accepted(), 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_starts_at_once_open_one_session() -> Result<()> {
    let api = Api::start();
    let hook = Hook::default();
    let holder = hook.on(SessionHolder::builder(), &api).build()?;
    let starts = (0..50).map(|_| {
        let holder = holder.clone();
        tokio::spawn(async move { holder.start_session().await })
    });
    let starts = starts.collect::<Vec<_>>();
    hook.gate.wait_reached(1).await;
    assert!(!holder.is_open(), "not before the hook is done");
    hook.gate.open_for_good();
    for start in starts {
        start.await.expect("no panic")?;
    }
    assert_eq!(hook.calls(), 1);
    assert_accounts(&holder.stats(), Accounts::idle(1));
    assert_eq!(api.accepted(), 1);
    Ok(())
}

#[tokio::test]
async fn starts_that_wait_for_another_go_on_when_that_is_cancelled() -> Result<()> {
    let api = Api::start();
    let hook = Hook::default();
    let holder = hook.on(SessionHolder::builder(), &api).build()?;
    let mut first = Box::pin(holder.start_session());
    let mut others = Box::pin(try_join_all((0..3).map(|_| holder.start_session())));
    drive_until(first.as_mut(), hook.gate.wait_reached(1)).await;
    assert_waits(others.as_mut()).await;

    drop(first);
    hook.gate.open_for_good();
    others.await?;
    assert_eq!(hook.calls(), 2, "the cancelled one and one more");
    api.wait_live(1).await;
    assert_accounts(&holder.stats(), Accounts::idle(1));
    Ok(())
}

#[tokio::test]
async fn a_cancelled_start_leaves_the_holder_as_it_was_and_a_later_one_opens() -> Result<()> {
    let api = Api::start();
    let hook = Hook::default();
    let holder = hook
        .on(SessionHolder::builder(), &api)
        .when_closed(WhenClosed::Refuse)
        .build()?;
    let mut start = Box::pin(holder.start_session());
    drive_until(start.as_mut(), hook.gate.wait_reached(1)).await;
    assert_eq!(api.live(), 1, "the hook has asked the server");

    drop(start);
    assert!(!holder.is_open());
    expect_closed(holder.get(api.url("/say/1")).send().await);
    assert_accounts(&holder.stats(), Accounts::NONE);
    api.wait_live(0).await;

    hook.gate.open_for_good();
    holder.start_session().await?;
    assert_eq!(say(&holder, api.url("/say/1")).await?, "1");
    assert_eq!(hook.calls(), 2);
    assert_accounts(&holder.stats(), Accounts::idle(1));
    Ok(())
}

#[tokio::test]
async fn a_start_inside_a_scope_adopts_the_session_of_the_scope() -> Result<()> {
    let api = Api::start();
    let hook = Hook::default();
    hook.gate.open_for_good();
    let holder = hook.on(SessionHolder::builder(), &api).build()?;
    holder
        .in_session(async |holder| {
            say(holder, api.url("/say/1")).await?;
            holder.start_session().await
        })
        .await?;
    assert!(holder.is_open());
    assert_accounts(&holder.stats(), Accounts::idle(1));

    say(&holder, api.url("/say/2")).await?;
    assert_eq!((hook.calls(), api.accepted()), (1, 1), "the same session");
    assert_eq!(holder.close_session().await.leases_left, 0);
    api.wait_live(0).await;
    Ok(())
}

#[tokio::test]
async fn a_swap_serves_new_calls_and_lets_the_old_session_drain() -> Result<()> {
    let (old, new) = (Api::start(), Api::start());
    let holder = SessionHolder::builder().base_url(old.url("/")).build()?;
    holder.start_session().await?;
    let stream = holder.stream_with_session(|s| async move {
        Ok::<_, Error>(s.get("/feed").send().await?.bytes_stream())
    });
    let mut stream = pin!(stream);
    let feed = drive_until(pin!(stream.next()), old.next_feed()).await;
    let call = holder.with_session(async |s| {
        s.get("/held/1").send().await?.text().await?;
        // Sent after the swap, on the handle that it has.
        s.get("/say/2").send().await?.text().await
    });
    let mut call = pin!(call);
    drive_until(call.as_mut(), old.gate.wait_reached(1)).await;
    assert_accounts(&holder.stats(), Accounts::busy(2));

    let builder = SessionHolder::builder().base_url(new.url("/"));
    holder.start_session_with(builder).await?;
    assert_accounts(&holder.stats(), Accounts::NONE);
    assert_eq!(say(&holder, "/say/new".into()).await?, "new");
    assert_accounts(&holder.stats(), Accounts::idle(1));
    assert_eq!((new.requests(), new.live()), (1, 1));
    assert_eq!((old.requests(), old.live()), (2, 2));

    old.gate.open();
    assert_eq!(call.await?, "2");
    feed.send("a").await.expect("the server feeds the stream");
    assert_eq!(stream.next().await.expect("a chunk")?, "a");
    assert!(old.live() > 0, "the stream is still being fed");
    drop(feed);
    assert!(stream.next().await.is_none());
    old.wait_live(0).await;
    assert_eq!(old.accepted(), 2);

    assert_accounts(&holder.stats(), Accounts::idle(1));
    holder.close_session().await;
    new.wait_live(0).await;
    Ok(())
}

#[tokio::test]
async fn a_swap_closes_the_old_session_for_who_still_has_a_handle() -> Result<()> {
    let api = Api::start();
    let holder = SessionHolder::builder().build()?;
    holder.start_session().await?;
    say(&holder, api.url("/say/1")).await?;
    let handle = holder.session()?;
    holder.start_session_with(SessionHolder::builder()).await?;
    api.wait_live(0).await;
    assert!(handle.is_closing());
    expect_closed(handle.get(api.url("/say/2")).send().await);
    assert_accounts(&handle.stats(), Accounts::NONE);
    assert_eq!(say(&holder, api.url("/say/3")).await?, "3");
    assert_eq!((api.accepted(), api.requests()), (2, 2));
    Ok(())
}

#[tokio::test]
async fn a_close_after_a_swap_waits_for_the_old_session_too() -> Result<()> {
    let api = Api::start();
    let holder = SessionHolder::builder().build()?;
    holder.start_session().await?;
    let url = api.url("/feed");
    let stream = holder.stream_with_session(|s| async move {
        Ok::<_, Error>(s.get(url).send().await?.bytes_stream())
    });
    let mut stream = pin!(stream);
    let feed = drive_until(pin!(stream.next()), api.next_feed()).await;
    feed.send("a").await.expect("the server feeds the stream");
    assert_eq!(stream.next().await.expect("a chunk")?, "a");

    holder.start_session_with(SessionHolder::builder()).await?;
    let mut close = pin!(holder.close_session());
    assert_waits(close.as_mut()).await;
    assert_eq!(api.live(), 1);
    drop(feed);
    assert!(stream.next().await.is_none());
    let report = close.await;
    assert_accounts(&report.stats, Accounts::NONE);
    assert_eq!(report.stats.opened, 1, "the old session's");
    api.wait_live(0).await;
    Ok(())
}

#[tokio::test]
async fn a_swap_leaves_the_holders_own_settings_to_the_holder() -> Result<()> {
    let api = Api::start();
    let holder = SessionHolder::builder()
        .base_url(api.url("/say/"))
        .when_closed(WhenClosed::Refuse)
        .build()?;
    let builder = SessionHolder::builder()
        .base_url(api.url("/other/"))
        .when_closed(WhenClosed::OneShot);
    holder.start_session_with(builder).await?;
    let uri = |response: &hyper_session::Response| response.headers()["x-uri"].clone();
    assert_eq!(uri(&holder.get("1").send().await?), "/other/1");

    holder.close_session().await;
    expect_closed(holder.get("1").send().await);
    assert_eq!(holder.stats().one_shots, 0);
    holder.start_session().await?;
    assert_eq!(say(&holder, "1".into()).await?, "1", "at /say/1");
    Ok(())
}

#[tokio::test]
async fn a_swap_that_fails_or_is_cancelled_keeps_the_old_session() -> Result<()> {
    let api = Api::start();
    let holder = SessionHolder::builder().build()?;
    holder.start_session().await?;
    say(&holder, api.url("/say/1")).await?;
    let kept = async || {
        assert_eq!(say(&holder, api.url("/say/2")).await?, "2");
        assert_accounts(&holder.stats(), Accounts::idle(1));
        assert_eq!(holder.stats().opened, 1);
        api.wait_live(1).await;
        Ok::<_, Error>(())
    };

    let refused = SessionHolder::builder().pool_max_connections(0);
    expect_kind(holder.start_session_with(refused).await, ErrorKind::Builder);
    kept().await?;

    let failing = SessionHolder::builder()
        .on_open(|_| ready(Err::<Session, _>(io::Error::other("no login today"))));
    expect_kind(holder.start_session_with(failing).await, ErrorKind::Hook);
    kept().await?;

    let hook = Hook::default();
    let mut swap = Box::pin(holder.start_session_with(hook.on(SessionHolder::builder(), &api)));
    drive_until(swap.as_mut(), hook.gate.wait_reached(1)).await;
    assert_eq!(api.live(), 2, "the old session's, and the hook's");
    assert_eq!(say(&holder, api.url("/say/3")).await?, "3");
    drop(swap);
    kept().await
}
