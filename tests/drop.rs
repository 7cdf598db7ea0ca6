//! Dropping: what is let go of is closed or given back at once, whoever drops it and wherever.

mod support;

use std::pin::pin;
use std::sync::mpsc;
use std::thread;

use futures::{StreamExt, poll};
use hyper_session::{Error, Result, Session, SessionHolder};
use support::accounts::{Accounts, AliveTasks, assert_accounts};
use support::api::Api;
use support::connectors::{Counting, Fate, Fated, Memory};
use support::outcome::{assert_waits, drive_until};
use support::server::text;
use tokio::runtime::{self, Runtime};

/// A holder whose session has so many idle connections.
async fn with_idle(api: &Api, connections: usize) -> Result<SessionHolder> {
    let holder = SessionHolder::builder().base_url(api.url("/")).build()?;
    holder.start_session().await?;
    let session = holder.session()?;
    let reached = api.gate.reached();
    let answers = (0..connections).map(|_| session.get("/held/1").send());
    let mut answers = pin!(futures::future::try_join_all(answers));
    drive_until(
        answers.as_mut(),
        api.gate.wait_reached(reached + connections),
    )
    .await;
    (0..connections).for_each(|_| api.gate.open());
    drop(answers.await?);
    assert_accounts(&holder.stats(), Accounts::idle(connections));
    api.wait_live(connections).await;
    Ok(holder)
}

/// Waits in a runtime of its own until the server counts nothing live.
fn assert_none_live(api: &Api) {
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime can be built");
    runtime.block_on(api.wait_live(0));
}

#[tokio::test]
async fn dropping_the_last_handle_closes_idle_connections_at_once() -> Result<()> {
    let tasks = AliveTasks::now();
    let api = Api::start();
    let holder = with_idle(&api, 5).await?;
    let (clone, session) = (holder.clone(), holder.session()?);
    let derived = session.with_default_headers(http::HeaderMap::new());
    drop(holder);
    drop(session);
    drop(clone);
    assert_accounts(&derived.stats(), Accounts::idle(5));
    assert_eq!(api.live(), 5, "there is one more handle");
    drop(derived);
    api.wait_live(0).await;
    assert_eq!((api.clean_closes(), api.abrupt_closes()), (5, 0));
    tasks.assert_back().await;
    Ok(())
}

#[tokio::test]
async fn a_plain_thread_may_drop_the_last_handle() -> Result<()> {
    let tasks = AliveTasks::now();
    let api = Api::start();
    let holder = with_idle(&api, 3).await?;
    thread::spawn(move || drop(holder))
        .join()
        .expect("no panic");
    api.wait_live(0).await;
    assert_eq!((api.clean_closes(), api.abrupt_closes()), (3, 0));
    tasks.assert_back().await;
    Ok(())
}

#[test]
fn the_last_handle_may_be_dropped_outside_of_a_runtime_that_still_lives() -> Result<()> {
    let api = Api::start();
    let runtime = Runtime::new().expect("a runtime can be built");
    let holder = runtime.block_on(with_idle(&api, 2))?;
    drop(holder);
    assert_none_live(&api);
    assert_eq!((api.clean_closes(), api.abrupt_closes()), (2, 0));
    drop(runtime);
    Ok(())
}

#[test]
fn the_last_handle_may_be_dropped_after_its_runtime() -> Result<()> {
    for multi_thread in [false, true] {
        let api = Api::start();
        let runtime = if multi_thread {
            Runtime::new()
        } else {
            runtime::Builder::new_current_thread().enable_all().build()
        };
        let runtime = runtime.expect("a runtime can be built");
        let (holder, unread) = runtime.block_on(async {
            let holder = with_idle(&api, 2).await?;
            let unread = holder.get("/large").send().await?;
            Ok::<_, Error>((holder, unread))
        })?;
        drop(runtime);
        drop(holder);
        drop(unread);
        assert_none_live(&api);
    }
    Ok(())
}

#[test]
fn the_end_of_block_on_may_drop_everything() -> Result<()> {
    let api = Api::start();
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime can be built");
    runtime.block_on(async {
        let holder = with_idle(&api, 2).await?;
        let unread = holder.get("/large").send().await?;
        // Busy at the end, and dropped as it is by the drop of this future.
        let mut held = Box::pin(async move { holder.get("/held/2").send().await });
        drive_until(held.as_mut(), api.gate.wait_reached(3)).await;
        drop((unread, held));
        Ok::<_, Error>(())
    })?;
    // Nobody runs the runtime any more.
    assert_none_live(&api);
    Ok(())
}

#[test]
fn a_thread_of_another_runtime_may_drop_the_last_handle() -> Result<()> {
    let api = Api::start();
    let (send, receive) = mpsc::channel();
    let home = Runtime::new().expect("a runtime can be built");
    let holder = home.block_on(with_idle(&api, 2))?;
    let other = thread::spawn(move || {
        let runtime = runtime::Builder::new_current_thread().enable_all().build();
        let holder: SessionHolder = receive.recv().expect("a holder");
        runtime
            .expect("a runtime can be built")
            .block_on(async move { drop(holder) });
    });
    send.send(holder).expect("the thread waits");
    other.join().expect("no panic");
    assert_none_live(&api);
    Ok(())
}

#[tokio::test]
async fn a_response_outlives_the_last_handle_and_then_its_connection_closes() -> Result<()> {
    let tasks = AliveTasks::now();
    let api = Api::start();
    let holder = with_idle(&api, 3).await?;
    let mut response = holder.get("/feed").send().await?;
    let feed = api.next_feed().await;
    assert_accounts(&holder.stats(), Accounts::busy(1).and_idle(2));
    drop(holder);
    api.wait_live(1).await;

    feed.send("a").await.expect("the server feeds it");
    assert_eq!(response.chunk().await?.expect("a chunk"), "a");
    feed.send("b").await.expect("the server feeds it");
    assert_eq!(response.chunk().await?.expect("a chunk"), "b");
    drop(feed);
    assert!(response.chunk().await?.is_none());
    api.wait_live(0).await;
    drop(response);
    tasks.assert_back().await;
    Ok(())
}

#[tokio::test]
async fn a_call_under_way_outlives_the_holder_that_it_was_begun_on() -> Result<()> {
    let api = Api::start();
    let holder = with_idle(&api, 1).await?;
    let request = holder.get("/held/2");
    let reached = api.gate.reached();
    let mut sending = pin!(request.send());
    drive_until(sending.as_mut(), api.gate.wait_reached(reached + 1)).await;
    drop(holder);
    assert_eq!(api.live(), 1);
    api.gate.open();
    assert_eq!(sending.await?.text().await?, "2");
    api.wait_live(0).await;
    Ok(())
}

/// The session still works, on the connection that it has or on a new one.
async fn assert_usable(session: &Session, api: &Api) -> Result<()> {
    assert_eq!(session.get("/say/1").send().await?.text().await?, "1");
    assert_accounts(&session.stats(), Accounts::idle(1));
    api.wait_live(1).await;
    Ok(())
}

#[tokio::test]
async fn a_dropped_send_closes_its_connection() -> Result<()> {
    let tasks = AliveTasks::now();
    let api = Api::start();
    let holder = with_idle(&api, 1).await?;
    let session = holder.session()?;
    let mut sending = Box::pin(session.get("/held/2").send());
    drive_until(sending.as_mut(), api.gate.wait_reached(2)).await;
    assert_accounts(&session.stats(), Accounts::busy(1));
    drop(sending);
    assert_accounts(&session.stats(), Accounts::NONE);
    api.wait_live(0).await;
    assert_usable(&session, &api).await?;
    assert_eq!(api.accepted(), 2);

    drop(session.get("/say/1").send());
    assert_accounts(&session.stats(), Accounts::idle(1));
    holder.close_session().await;
    api.wait_live(0).await;
    tasks.assert_back().await;
    Ok(())
}

#[tokio::test]
async fn a_dropped_send_that_was_connecting_or_queued_leaves_its_place_to_the_next() -> Result<()> {
    let api = Api::start();
    let builder = SessionHolder::builder().base_url(api.url("/"));
    let session = builder.pool_max_connections(1).open().await?;
    let mut connecting = Box::pin(session.get("/say/1").send());
    assert!(poll!(connecting.as_mut()).is_pending());
    let mut dropped = Box::pin(session.get("/say/2").send());
    assert!(poll!(dropped.as_mut()).is_pending());
    let mut next = Box::pin(session.get("/say/3").send());
    assert!(poll!(next.as_mut()).is_pending());
    assert_accounts(
        &session.stats(),
        Accounts::NONE.and_connecting(1).and_queued(2),
    );

    drop(dropped);
    assert_accounts(
        &session.stats(),
        Accounts::NONE.and_connecting(1).and_queued(1),
    );
    drop(connecting);
    assert_eq!(next.await?.text().await?, "3");
    assert_accounts(&session.stats(), Accounts::idle(1));
    assert_usable(&session, &api).await?;
    assert_eq!(session.stats().opened, 1);
    Ok(())
}

#[tokio::test]
async fn a_dropped_response_that_is_small_leaves_its_connection_idle() -> Result<()> {
    let tasks = AliveTasks::now();
    let api = Api::start();
    let holder = with_idle(&api, 1).await?;
    let session = holder.session()?;
    drop(session.get("/say/1").send().await?);
    assert_accounts(&session.stats(), Accounts::idle(1));
    assert_usable(&session, &api).await?;
    assert_eq!(api.accepted(), 1);
    holder.close_session().await;
    tasks.assert_back().await;
    Ok(())
}

#[tokio::test]
async fn a_dropped_response_whose_small_rest_comes_soon_leaves_its_connection_idle() -> Result<()> {
    let tasks = AliveTasks::now();
    let api = Api::start();
    let holder = with_idle(&api, 1).await?;
    let session = holder.session()?;
    let response = session.get("/feed").send().await?;
    let feed = api.next_feed().await;
    drop(response);
    // It is read off in the background: still open, and nobody's exchange to be waited for.
    assert_eq!((session.stats().open, session.stats().idle), (1, 0));
    feed.send("rest").await.expect("the server feeds it");
    drop(feed);
    while session.stats().idle == 0 {
        assert_eq!(session.stats().open, 1, "it is not closed");
        tokio::task::yield_now().await;
    }
    assert_accounts(&session.stats(), Accounts::idle(1));
    assert_usable(&session, &api).await?;
    assert_eq!(api.accepted(), 1);
    holder.close_session().await;
    tasks.assert_back().await;
    Ok(())
}

#[tokio::test]
async fn a_close_does_not_wait_for_the_rest_of_a_dropped_response() -> Result<()> {
    let tasks = AliveTasks::now();
    let api = Api::start();
    let holder = with_idle(&api, 1).await?;
    let response = holder.get("/feed").send().await?;
    let feed = api.next_feed().await;
    drop(response);
    assert_eq!(holder.stats().open, 1);
    drop(holder);
    feed.dropped().await;
    api.wait_live(0).await;
    tasks.assert_back().await;
    Ok(())
}

#[tokio::test]
async fn a_dropped_response_that_is_large_closes_its_connection() -> Result<()> {
    let tasks = AliveTasks::now();
    let api = Api::start();
    let holder = with_idle(&api, 1).await?;
    let session = holder.session()?;
    drop(session.get("/large").send().await?);
    assert_accounts(&session.stats(), Accounts::NONE);
    api.wait_live(0).await;
    let mut response = session.get("/large").send().await?;
    assert!(response.chunk().await?.is_some());
    drop(response);
    assert_accounts(&session.stats(), Accounts::NONE);
    api.wait_live(0).await;
    assert_usable(&session, &api).await?;
    assert_eq!(api.accepted(), 3);
    holder.close_session().await;
    tasks.assert_back().await;
    Ok(())
}

#[tokio::test]
async fn a_dropped_stream_closes_its_connection_if_more_is_to_come_than_is_read_off() -> Result<()>
{
    let tasks = AliveTasks::now();
    let api = Api::start();
    let holder = with_idle(&api, 1).await?;
    let mut stream = Box::pin(holder.stream_with_session(|s| async move {
        Ok::<_, Error>(s.get("/large").send().await?.bytes_stream())
    }));
    assert!(stream.next().await.expect("a chunk").is_ok());
    assert_accounts(&holder.stats(), Accounts::busy(1));
    drop(stream);
    assert_accounts(&holder.stats(), Accounts::NONE);
    api.wait_live(0).await;
    assert_usable(&holder.session()?, &api).await?;
    holder.close_session().await;
    tasks.assert_back().await;
    Ok(())
}

#[tokio::test]
async fn dropping_all_of_it_in_any_order_leaves_nothing() -> Result<()> {
    let tasks = AliveTasks::now();
    for order in 0..3 {
        let api = Api::start();
        let holder = with_idle(&api, 2).await?;
        let session = holder.session()?;
        let response = session.get("/large").send().await?;
        let reached = api.gate.reached();
        let mut sending = Box::pin(session.get("/held/2").send());
        drive_until(sending.as_mut(), api.gate.wait_reached(reached + 1)).await;
        drop(session);
        match order {
            0 => {
                drop(holder);
                drop(response);
                drop(sending);
            }
            1 => {
                drop(sending);
                drop(holder);
                drop(response);
            }
            _ => {
                drop(response);
                drop(sending);
                drop(holder);
            }
        }
        api.wait_live(0).await;
    }
    tasks.assert_back().await;
    Ok(())
}

#[tokio::test]
async fn dropping_the_last_handle_cuts_a_connect_that_all_its_requests_have_left() -> Result<()> {
    let tasks = AliveTasks::now();
    let never = Fated::new(Memory::serving(async |_| text("ok")), |_| Fate::Never);
    let network = Counting::new(never);
    let builder = Session::builder().connector(network.clone());
    let session = builder.open().await?;
    // The first has it made, for both.
    let mut first = Box::pin(session.get("https://host/").send());
    let mut second = Box::pin(session.get("https://host/").send());
    assert_waits(first.as_mut()).await;
    assert_waits(second.as_mut()).await;
    assert_eq!(network.numbers().asked, 1);
    drop(first);
    assert_eq!(network.numbers().connecting, 1, "the second waits for it");
    drop(second);
    drop(session);
    assert_eq!(network.numbers().connecting, 0);
    tasks.assert_back().await;
    Ok(())
}
