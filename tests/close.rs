//! Closing a session: what it waits for, what it cuts, and that nothing of it is left.

mod support;

use std::future::pending;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::future::join;
use futures::{FutureExt, Stream, StreamExt, TryStreamExt, poll, stream};
use hyper_session::{
    DefaultConnector, Error, ErrorKind, Result, Session, SessionBuilder, SessionHolder, WhenClosed,
};
use support::accounts::{Accounts, AliveTasks, assert_accounts};
use support::api::Api;
use support::connectors::{Fate, Fated, Memory};
use support::gate::Gate;
use support::outcome::{assert_waits, drive_until, expect_closed, expect_kind};
use tokio::time;

/// A deadline that passes in each of these tests: nothing can happen before it that would end the
/// close.
const SOON: Duration = Duration::from_millis(20);

/// A limit that is not reached.
const LATE: Duration = Duration::from_secs(30);

async fn started(builder: SessionBuilder) -> Result<SessionHolder> {
    let holder = builder.when_closed(WhenClosed::Refuse).build()?;
    holder.start_session().await?;
    Ok(holder)
}

async fn get(session: &Session, url: String) -> Result<String> {
    session.get(url).send().await?.text().await
}

/// A stream of what `/feed` is fed.
fn feed(
    holder: &SessionHolder,
    url: String,
) -> Pin<Box<impl Stream<Item = Result<Bytes>> + use<>>> {
    Box::pin(holder.stream_with_session(|s| async move {
        Ok::<_, Error>(s.get(url).send().await?.bytes_stream())
    }))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_calls_and_five_streams_finish_before_the_close_does() -> Result<()> {
    let api = Arc::new(Api::start());
    let holder = started(SessionHolder::builder()).await?;
    let calls = (0..50).map(|i| {
        let (holder, api) = (holder.clone(), Arc::clone(&api));
        tokio::spawn(async move {
            holder
                .with_session(async |s| {
                    let mut words = vec![get(&s, api.url(&format!("/held/{i}"))).await?];
                    // By now the session is closing: these go out on the handle that the call has.
                    for further in 0..i % 3 {
                        words.push(get(&s, api.url(&format!("/say/{i}-{further}"))).await?);
                    }
                    Ok::<_, Error>(words.join(" "))
                })
                .await
        })
    });
    let calls = calls.collect::<Vec<_>>();
    let streams = (0..5).map(|i| {
        let (holder, api) = (holder.clone(), Arc::clone(&api));
        let words = holder.stream_with_session(move |s| async move {
            let fed = s.get(api.url("/feed")).send().await?.bytes_stream();
            let fed = fed.map_ok(|bytes| String::from_utf8_lossy(&bytes).into_owned());
            let further = stream::iter(0..i).then(move |further| {
                let (s, url) = (s.clone(), api.url(&format!("/say/{further}")));
                async move { get(&s, url).await }
            });
            Ok::<_, Error>(fed.chain(further))
        });
        tokio::spawn(words.try_collect::<Vec<_>>())
    });
    let streams = streams.collect::<Vec<_>>();
    api.gate.wait_reached(50).await;
    let mut feeds = Vec::new();
    for _ in 0..5 {
        feeds.push(api.next_feed().await);
    }
    api.wait_live(55).await;

    let mut close = pin!(holder.close_session());
    assert_waits(close.as_mut()).await;
    assert!(!holder.is_open());
    expect_closed(holder.with_session(async |_| Ok::<_, Error>(())).await);
    assert_eq!((api.live(), api.requests()), (55, 55));

    api.gate.open_for_good();
    for (i, call) in calls.into_iter().enumerate() {
        let mut words = vec![i.to_string()];
        words.extend((0..i % 3).map(|further| format!("{i}-{further}")));
        assert_eq!(call.await.expect("no panic")?, words.join(" "));
    }
    assert_waits(close.as_mut()).await;
    for feed in feeds {
        feed.send("a").await.expect("the server feeds the stream");
        feed.send("b").await.expect("the server feeds the stream");
    }
    for (i, stream) in streams.into_iter().enumerate() {
        let mut words = vec!["a".to_owned(), "b".to_owned()];
        words.extend((0..i).map(|further| further.to_string()));
        assert_eq!(stream.await.expect("no panic")?.concat(), words.concat());
    }

    let report = close.await;
    assert_eq!((report.severed, report.leases_left), (0, 0), "{report:?}");
    assert_accounts(&report.stats, Accounts::NONE);
    assert_accounts(&holder.stats(), Accounts::NONE);
    api.wait_live(0).await;
    assert_eq!(api.requests(), 55 + 49 + 10);
    Ok(())
}

#[tokio::test]
async fn a_close_waits_for_an_unread_response_until_it_is_read() -> Result<()> {
    let api = Api::start();
    let holder = started(SessionHolder::builder()).await?;
    let response = holder.get(api.url("/feed")).send().await?;
    let feed = api.next_feed().await;
    assert_accounts(&holder.stats(), Accounts::busy(1));

    let mut close = pin!(holder.close_session());
    assert_waits(close.as_mut()).await;
    // It has no limit of its own, such as those for saying goodbye.
    for _ in 0..5 {
        time::pause();
        time::advance(LATE).await;
        time::resume();
        assert_waits(close.as_mut()).await;
    }
    assert_eq!(api.live(), 1);
    let text = pin!(response.text());
    let (text, ()) = join(text, async {
        feed.send("all of it").await.expect("the server feeds it");
        drop(feed);
    })
    .await;
    assert_eq!(text?, "all of it");
    assert_accounts(&close.await.stats, Accounts::NONE);
    api.wait_live(0).await;
    Ok(())
}

#[tokio::test]
async fn a_close_that_has_all_it_needs_leaves_no_socket_and_no_task() -> Result<()> {
    let tasks = AliveTasks::now();
    let api = Api::start();
    let holder = started(SessionHolder::builder()).await?;
    let urls = (0..5).map(|i| api.url(&format!("/held/{i}")));
    let mut calls =
        pin!(futures::future::try_join_all(urls.map(|url| {
            holder.with_session(async |s| get(&s, url).await)
        })));
    drive_until(calls.as_mut(), api.gate.wait_reached(5)).await;
    assert_accounts(&holder.stats(), Accounts::busy(5));
    api.gate.open_for_good();
    assert_eq!(calls.await?.len(), 5);
    assert_accounts(&holder.stats(), Accounts::idle(5));
    api.wait_live(5).await;

    let report = holder.close_session_within(LATE).await;
    assert_eq!((report.severed, report.leases_left), (0, 0), "{report:?}");
    assert_eq!((report.stats.opened, report.stats.closed), (5, 5));
    assert_accounts(&report.stats, Accounts::NONE);
    api.wait_live(0).await;
    assert_eq!((api.clean_closes(), api.abrupt_closes()), (5, 0));
    tasks.assert_back().await;
    Ok(())
}

#[tokio::test]
async fn at_the_deadline_everything_is_cut_in_whatever_phase_it_is() -> Result<()> {
    let tasks = AliveTasks::now();
    let api = Api::start();
    let dialled = Gate::new();
    let connector = {
        let dialled = dialled.clone();
        Fated::new(DefaultConnector::new()?, move |number| match number {
            3 => Fate::Behind(dialled.clone()),
            _ => Fate::Made,
        })
    };
    let holder = SessionHolder::builder()
        .connector(connector)
        .pool_max_connections(4)
        .when_closed(WhenClosed::Refuse)
        .build()?;
    holder.start_session().await?;
    let session = holder.session()?;

    // Nobody polls any of these again until the close is over.
    let mut unread = holder.get(api.url("/feed")).send().await?;
    let feed = api.next_feed().await;
    let mut stream = pin!(holder.stream_with_session(|s| {
        let url = api.url("/feed");
        async move { Ok::<_, Error>(s.get(url).send().await?.bytes_stream()) }
    }));
    let stream_feed = drive_until(pin!(stream.next()), api.next_feed()).await;
    let mut in_head = pin!(session.get(api.url("/held/1")).send());
    drive_until(in_head.as_mut(), api.gate.wait_reached(1)).await;
    let mut connecting = pin!(holder.get(api.url("/say/1")).send());
    drive_until(connecting.as_mut(), dialled.wait_reached(1)).await;
    let mut queued = pin!(holder.get(api.url("/say/1")).send());
    assert!(poll!(queued.as_mut()).is_pending());
    let all = Accounts::busy(3).and_connecting(1).and_queued(1);
    assert_accounts(&holder.stats(), all);
    assert_eq!(api.live(), 3);

    let report = holder.close_session_within(SOON).await;
    assert_eq!(report.severed, 4, "{report:?}");
    assert_eq!(
        report.leases_left, 3,
        "stream, connecting, queued: {report:?}"
    );
    assert_eq!((report.stats.open, report.stats.connecting), (0, 0));
    assert!(report.took >= SOON && report.took < LATE, "{report:?}");
    api.wait_live(0).await;
    feed.dropped().await;
    stream_feed.dropped().await;

    expect_kind(unread.chunk().await, ErrorKind::Closed);
    expect_kind(stream.next().await.expect("an item"), ErrorKind::Closed);
    assert!(stream.next().await.is_none(), "the error ends the stream");
    assert!(expect_kind(in_head.await, ErrorKind::Closed).was_sent());
    expect_closed(connecting.await);
    expect_closed(queued.await);
    drop(unread);
    assert_accounts(&session.stats(), Accounts::NONE);
    tasks.assert_back().await;
    assert_eq!(api.requests(), 3);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_other_threads_are_busy_with_is_cut_as_well() -> Result<()> {
    let api = Api::start();
    let holder = started(SessionHolder::builder()).await?;
    let downloads = (0..8).map(|_| {
        let (holder, url) = (holder.clone(), api.url("/large"));
        tokio::spawn(async move {
            loop {
                let session = holder.session()?;
                let mut response = session.get(&url).send().await?;
                while response.chunk().await?.is_some() {}
            }
        })
    });
    let downloads = downloads.collect::<Vec<_>>();
    api.wait_requests(24).await;

    let report = holder.close_session_within(Duration::ZERO).await;
    assert_eq!(
        (report.stats.open, report.stats.connecting),
        (0, 0),
        "{report:?}"
    );
    assert!((1..=8).contains(&report.severed), "{report:?}");
    api.wait_live(0).await;
    for download in downloads {
        let ended: Result<()> = download.await.expect("no panic");
        expect_kind(ended, ErrorKind::Closed);
    }
    Ok(())
}

#[tokio::test]
async fn a_connection_that_a_queued_request_was_given_and_never_fetched_is_cut_too() -> Result<()> {
    let api = Api::start();
    let holder = started(SessionHolder::builder().pool_max_connections(1)).await?;
    let session = holder.session()?;
    let mut first = pin!(session.get(api.url("/held/1")).send());
    drive_until(first.as_mut(), api.gate.wait_reached(1)).await;
    let mut queued = pin!(session.get(api.url("/say/1")).send());
    assert!(poll!(queued.as_mut()).is_pending());
    api.gate.open();
    assert_eq!(first.await?.text().await?, "1");
    assert_eq!(session.stats().open, 1);

    let report = holder.close_session_within(SOON).await;
    assert_eq!(report.severed, 1, "{report:?}");
    assert_eq!((report.stats.open, report.stats.connecting), (0, 0));
    api.wait_live(0).await;
    expect_closed(queued.await);
    assert_accounts(&session.stats(), Accounts::NONE);
    assert_eq!((api.accepted(), api.requests()), (1, 1));
    Ok(())
}

#[tokio::test]
async fn a_permit_that_a_queued_request_was_given_and_never_fetched_comes_back() -> Result<()> {
    let api = Api::start();
    let holder = started(SessionHolder::builder().pool_max_connections(1)).await?;
    let session = holder.session()?;
    let mut first = Box::pin(session.get(api.url("/held/1")).send());
    drive_until(first.as_mut(), api.gate.wait_reached(1)).await;
    let mut queued = pin!(session.get(api.url("/say/1")).send());
    assert!(poll!(queued.as_mut()).is_pending());
    drop(first);
    assert_eq!(session.stats().open, 0);

    let report = holder.close_session_within(SOON).await;
    assert_eq!(
        (report.stats.open, report.stats.connecting),
        (0, 0),
        "{report:?}"
    );
    expect_closed(queued.await);
    assert_accounts(&session.stats(), Accounts::NONE);
    api.wait_live(0).await;
    assert_eq!((api.accepted(), api.requests()), (1, 1));
    Ok(())
}

#[tokio::test]
async fn within_its_own_call_a_close_with_a_deadline_ends_at_the_deadline() -> Result<()> {
    let api = Api::start();
    let holder = started(SessionHolder::builder()).await?;
    holder
        .with_session(async |s| {
            let mut unread = s.get(api.url("/feed")).send().await?;
            let report = holder.close_session_within(SOON).await;
            assert_eq!((report.severed, report.leases_left), (1, 1), "{report:?}");
            assert_eq!((report.stats.open, report.stats.connecting), (0, 0));
            api.wait_live(0).await;
            expect_kind(unread.chunk().await, ErrorKind::Closed);
            expect_closed(s.get(api.url("/say/1")).send().await);
            Ok::<_, Error>(())
        })
        .await?;
    assert_eq!((api.accepted(), api.requests()), (1, 1));
    assert!(!holder.is_open());
    Ok(())
}

#[tokio::test]
async fn two_closes_at_once_wait_for_the_same_end_and_report_the_same() -> Result<()> {
    let api = Api::start();
    let holder = started(SessionHolder::builder()).await?;
    let session = holder.session()?;
    let url = api.url("/held/1");
    let mut call = pin!(holder.with_session(async |s| get(&s, url).await));
    drive_until(call.as_mut(), api.gate.wait_reached(1)).await;

    let mut first = pin!(holder.close_session());
    assert_waits(first.as_mut()).await;
    let mut second = pin!(holder.close_session_within(LATE));
    assert_waits(second.as_mut()).await;
    let mut third = pin!(session.close());
    assert_waits(third.as_mut()).await;

    api.gate.open();
    assert_eq!(call.await?, "1");
    // The last one first: it must not need that somebody polls the others.
    let third = third.await;
    api.wait_live(0).await;
    let (second, first) = (second.await, first.await);
    assert_eq!(first, second);
    assert_eq!(first.stats.opened, 1);
    assert_eq!(
        (third.severed, third.leases_left, third.stats),
        (0, 0, first.stats)
    );
    api.wait_live(0).await;
    assert_eq!(session.close().await, third, "and any later one as well");

    // Not the next session's, though.
    holder.start_session().await?;
    assert_eq!(holder.close_session().await.stats.opened, 0);
    Ok(())
}

#[tokio::test]
async fn a_close_with_a_deadline_cuts_what_one_without_waits_for() -> Result<()> {
    let api = Api::start();
    let holder = started(SessionHolder::builder()).await?;
    let unread = holder.get(api.url("/feed")).send().await?;
    let mut patient = pin!(holder.close_session());
    assert_waits(patient.as_mut()).await;

    let report = holder.close_session_within(SOON).await;
    assert_eq!((report.severed, report.leases_left), (1, 0), "{report:?}");
    assert_eq!(patient.await.stats.open, 0);
    api.wait_live(0).await;
    drop(unread);
    Ok(())
}

#[tokio::test]
async fn a_cancelled_close_goes_on_by_itself_when_the_leases_come_back() -> Result<()> {
    let tasks = AliveTasks::now();
    let api = Api::start();
    let holder = started(SessionHolder::builder()).await?;
    get(&holder.session()?, api.url("/say/1")).await?;
    let mut unread = pin!(feed(&holder, api.url("/feed")));
    let fed = drive_until(pin!(unread.next()), api.next_feed()).await;
    let mut call = Box::pin(holder.with_session(async |s| {
        get(&s, api.url("/held/1")).await?;
        get(&s, api.url("/say/2")).await
    }));
    drive_until(call.as_mut(), api.gate.wait_reached(1)).await;
    assert_accounts(&holder.stats(), Accounts::busy(2));

    let mut close = Box::pin(holder.close_session());
    assert_waits(close.as_mut()).await;
    drop(close);
    assert!(!holder.is_open(), "a close is not undone");
    api.gate.open();
    assert_eq!(call.await?, "2", "the running call has its handle");
    assert_eq!(api.live(), 2);
    drop(fed);
    assert!(unread.next().await.is_none());
    api.wait_live(0).await;
    tasks.assert_back().await;
    Ok(())
}

#[tokio::test]
async fn a_cancelled_close_leaves_no_idle_connection_to_who_still_has_a_handle() -> Result<()> {
    let api = Api::start();
    let holder = started(SessionHolder::builder()).await?;
    let handle = holder.session()?;
    let url = api.url("/held/1");
    let mut call = Box::pin(holder.with_session(async |s| get(&s, url).await));
    drive_until(call.as_mut(), api.gate.wait_reached(1)).await;
    let response = handle.get(api.url("/feed")).send().await?;

    let mut close = Box::pin(holder.close_session());
    assert_waits(close.as_mut()).await;
    api.gate.open();
    assert_eq!(call.await?, "1");
    // The lease is back, while somebody waits for the end; now nobody does.
    drop(close);
    api.wait_live(1).await;
    assert_accounts(&handle.stats(), Accounts::busy(1));
    expect_closed(handle.get(api.url("/say/1")).send().await);

    drop(response);
    api.wait_live(0).await;
    assert_accounts(&handle.stats(), Accounts::NONE);
    Ok(())
}

/// After a cancelled close, a second one waits for what the first one waited for.
async fn assert_second_close_waits(holder: &SessionHolder, end: impl Future<Output = ()>) {
    let mut close = Box::pin(holder.close_session());
    assert_waits(close.as_mut()).await;
    drop(close);
    let mut second = pin!(holder.close_session());
    assert_waits(second.as_mut()).await;
    end.await;
    assert_accounts(&second.await.stats, Accounts::NONE);
    assert_eq!(holder.close_session().await.stats.open, 0, "at once");
}

#[tokio::test]
async fn a_close_after_a_cancelled_one_waits_for_a_running_call() -> Result<()> {
    let api = Api::start();
    let holder = started(SessionHolder::builder()).await?;
    let url = api.url("/held/1");
    let mut call = pin!(holder.with_session(async |s| get(&s, url).await));
    drive_until(call.as_mut(), api.gate.wait_reached(1)).await;
    assert_second_close_waits(&holder, async {
        api.gate.open();
        assert_eq!(call.await.expect("an answer"), "1");
    })
    .await;
    api.wait_live(0).await;
    Ok(())
}

#[tokio::test]
async fn a_close_after_a_cancelled_one_waits_for_a_stream() -> Result<()> {
    let api = Api::start();
    let holder = started(SessionHolder::builder()).await?;
    let mut stream = feed(&holder, api.url("/feed"));
    let fed = drive_until(pin!(stream.next()), api.next_feed()).await;
    fed.send("a").await.expect("the server feeds the stream");
    assert_eq!(stream.next().await.expect("a chunk")?, "a");
    assert_second_close_waits(&holder, async {
        drop(fed);
        assert!(stream.next().await.is_none());
    })
    .await;
    api.wait_live(0).await;
    Ok(())
}

#[tokio::test]
async fn a_close_after_a_cancelled_one_waits_for_an_unread_response() -> Result<()> {
    let api = Api::start();
    let holder = started(SessionHolder::builder()).await?;
    let response = holder.get(api.url("/feed")).send().await?;
    assert_second_close_waits(&holder, async { drop(response) }).await;
    api.wait_live(0).await;
    Ok(())
}

#[tokio::test]
async fn a_close_with_a_deadline_after_a_cancelled_one_cuts_what_is_left() -> Result<()> {
    let api = Api::start();
    let holder = started(SessionHolder::builder()).await?;
    let response = holder.get(api.url("/feed")).send().await?;
    let mut stream = feed(&holder, api.url("/feed"));
    let fed = drive_until(pin!(stream.next()), async {
        api.next_feed().await;
        api.next_feed().await
    })
    .await;
    fed.send("a").await.expect("the server feeds the stream");
    assert_eq!(stream.next().await.expect("a chunk")?, "a");
    let mut close = Box::pin(holder.close_session());
    assert_waits(close.as_mut()).await;
    drop(close);

    let report = holder.close_session_within(SOON).await;
    assert_eq!((report.severed, report.leases_left), (2, 1), "{report:?}");
    api.wait_live(0).await;
    expect_kind(stream.next().await.expect("an item"), ErrorKind::Closed);
    expect_kind(response.text().await, ErrorKind::Closed);
    Ok(())
}

#[tokio::test]
async fn a_start_under_way_fails_when_close_is_called() -> Result<()> {
    let api = Api::start();
    let hook = Gate::new();
    let holder = {
        let (hook, url) = (hook.clone(), api.url("/say/hook"));
        let builder = SessionHolder::builder().on_open(move |session| {
            let (hook, url) = (hook.clone(), url.clone());
            async move {
                get(&session, url).await?;
                hook.pass().await;
                Ok::<_, Error>(session)
            }
        });
        builder.when_closed(WhenClosed::Refuse).build()?
    };
    let mut start = pin!(holder.start_session());
    drive_until(start.as_mut(), hook.wait_reached(1)).await;
    let mut waiting = pin!(holder.enter_session());
    assert!(poll!(waiting.as_mut()).is_pending());
    assert_eq!(api.live(), 1);

    let report = holder.close_session().await;
    assert_accounts(&report.stats, Accounts::NONE);
    assert_eq!((report.stats.opened, report.leases_left), (1, 0));
    api.wait_live(0).await;
    expect_kind(start.await, ErrorKind::Closed);
    expect_kind(waiting.await, ErrorKind::Closed);
    assert!(!holder.is_open());

    hook.open_for_good();
    holder.start_session().await?;
    assert_eq!(get(&holder.session()?, api.url("/say/1")).await?, "1");
    Ok(())
}

#[tokio::test]
async fn a_request_on_an_old_handle_fails_before_anything_goes_out() -> Result<()> {
    let api = Api::start();
    let holder = started(SessionHolder::builder()).await?;
    let handle = holder.session()?;
    let derived = handle.with_default_headers(http::HeaderMap::new());
    let request = handle.get(api.url("/say/1"));
    get(&handle, api.url("/say/1")).await?;
    let url = api.url("/held/2");
    let mut call = pin!(holder.with_session(async |s| get(&s, url).await));
    drive_until(call.as_mut(), api.gate.wait_reached(1)).await;

    let mut close = pin!(holder.close_session());
    assert_waits(close.as_mut()).await;
    assert!(handle.is_closing());
    assert_eq!(
        get(&handle, api.url("/say/3")).await?,
        "3",
        "a lease is out"
    );
    api.gate.open();
    assert_eq!(call.await?, "2");
    expect_closed(handle.get(api.url("/say/4")).send().await);
    close.await;

    expect_closed(request.send().await);
    expect_closed(derived.get(api.url("/say/4")).send().await);
    api.wait_live(0).await;
    assert_eq!(api.requests(), 3);
    // Nor does the next session take the old handles back.
    holder.start_session().await?;
    expect_closed(handle.get(api.url("/say/4")).send().await);
    assert_accounts(&holder.stats(), Accounts::NONE);
    Ok(())
}

#[tokio::test]
async fn a_close_without_an_open_session_returns_at_once() -> Result<()> {
    let holder = SessionHolder::builder().build()?;
    let report = holder.close_session().now_or_never().expect("at once");
    assert_eq!(report, hyper_session::CloseReport::default());
    let report = holder.close_session_within(LATE).now_or_never();
    assert_eq!(report.expect("at once").leases_left, 0);

    holder.start_session().await?;
    holder.close_session().await;
    holder.close_session().now_or_never().expect("at once");
    Ok(())
}

#[tokio::test]
async fn after_a_close_the_holder_opens_again() -> Result<()> {
    let api = Api::start();
    let holder = started(SessionHolder::builder()).await?;
    for round in 1..=3 {
        get(&holder.session()?, api.url("/say/1")).await?;
        assert_accounts(&holder.stats(), Accounts::idle(1));
        assert_eq!((api.accepted(), holder.stats().opened), (round, 1));
        holder.close_session().await;
        api.wait_live(0).await;
        expect_closed(holder.session());
        holder.start_session().await?;
        assert_accounts(&holder.stats(), Accounts::NONE);
    }
    Ok(())
}

/// A session that logs out at its close and counts that.
fn with_logout(api: &Api) -> (SessionBuilder, Arc<AtomicUsize>) {
    let (url, count) = (api.url("/say/bye"), Arc::new(AtomicUsize::new(0)));
    let logouts = Arc::clone(&count);
    let builder = SessionHolder::builder().on_close(move |session| {
        let (url, logouts) = (url.clone(), Arc::clone(&logouts));
        async move {
            assert_eq!(get(&session, url).await.expect("an answer"), "bye");
            logouts.fetch_add(1, Ordering::SeqCst);
        }
    });
    (builder, count)
}

#[tokio::test]
async fn the_closing_hook_sends_its_request_once_on_the_connection_that_idles() -> Result<()> {
    let api = Api::start();
    let (builder, logouts) = with_logout(&api);
    let holder = started(builder).await?;
    get(&holder.session()?, api.url("/say/1")).await?;
    let url = api.url("/held/2");
    let mut call = pin!(holder.with_session(async |s| get(&s, url).await));
    drive_until(call.as_mut(), api.gate.wait_reached(1)).await;

    let (mut first, mut second) = (pin!(holder.close_session()), pin!(holder.close_session()));
    assert_waits(first.as_mut()).await;
    assert_waits(second.as_mut()).await;
    assert_eq!(
        (logouts.load(Ordering::SeqCst), api.requests()),
        (0, 2),
        "the call first"
    );
    api.gate.open();
    assert_eq!(call.await?, "2");
    let (first, second) = join(first, second).await;
    assert_eq!(first, second);
    holder.close_session().await;
    assert_eq!((logouts.load(Ordering::SeqCst), api.requests()), (1, 3));
    assert_eq!(api.accepted(), 1, "no connection is made to say goodbye");
    api.wait_live(0).await;
    Ok(())
}

#[tokio::test]
async fn the_closing_hook_finds_the_idle_connection_of_a_session_at_rest() -> Result<()> {
    let api = Api::start();
    let (builder, logouts) = with_logout(&api);
    let holder = started(builder).await?;
    get(&holder.session()?, api.url("/say/1")).await?;
    let report = holder.close_session().await;
    assert_accounts(&report.stats, Accounts::NONE);
    assert_eq!((logouts.load(Ordering::SeqCst), api.requests()), (1, 2));
    assert_eq!(api.accepted(), 1);
    api.wait_live(0).await;
    Ok(())
}

#[tokio::test]
async fn while_the_closing_hook_runs_nobody_else_sends() -> Result<()> {
    let api = Api::start();
    let hook = Gate::new();
    let passed = hook.clone();
    let holder = started(SessionHolder::builder().on_close(move |_| {
        let hook = passed.clone();
        async move { hook.pass().await }
    }))
    .await?;
    let handle = holder.session()?;
    let mut close = pin!(holder.close_session());
    drive_until(close.as_mut(), hook.wait_reached(1)).await;
    expect_closed(handle.get(api.url("/say/1")).send().await);
    hook.open();
    close.await;
    assert_eq!((api.accepted(), hook.reached()), (0, 1));
    Ok(())
}

#[tokio::test]
async fn a_closing_hook_that_hangs_is_cut_at_the_deadline() -> Result<()> {
    let api = Api::start();
    let url = api.url("/held/never");
    let holder = started(SessionHolder::builder().on_close(move |session| {
        let url = url.clone();
        async move { drop(get(&session, url).await) }
    }))
    .await?;
    let report = holder.close_session_within(SOON).await;
    assert_eq!(report.leases_left, 0, "{report:?}");
    assert_accounts(&report.stats, Accounts::NONE);
    api.wait_live(0).await;
    Ok(())
}

#[tokio::test]
async fn the_closing_hook_does_not_run_where_nobody_waits() -> Result<()> {
    let api = Api::start();
    let (builder, logouts) = with_logout(&api);
    let holder = builder.build()?;
    let say = async || holder.get(api.url("/say/1")).send().await?.text().await;

    say().await?;
    assert_eq!(holder.stats().one_shots, 1);
    api.wait_live(0).await;
    holder.in_session(async |_| say().await).await?;
    api.wait_live(0).await;
    drop(holder.enter_session().await?);
    holder.start_session().await?;
    say().await?;
    drop(holder);
    api.wait_live(0).await;
    assert_eq!(logouts.load(Ordering::SeqCst), 0);
    assert_eq!(api.requests(), 3);
    Ok(())
}

#[tokio::test]
async fn the_closing_hook_runs_when_the_guard_of_the_last_scope_is_closed() -> Result<()> {
    let api = Api::start();
    let (builder, logouts) = with_logout(&api);
    let holder = builder.build()?;
    let (first, last) = (holder.enter_session().await?, holder.enter_session().await?);
    assert!(first.close().await.is_none());
    assert_eq!(logouts.load(Ordering::SeqCst), 0);
    assert!(last.close().await.is_some());
    assert_eq!(logouts.load(Ordering::SeqCst), 1);
    api.wait_live(0).await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_report_counts_the_calls_that_ran_when_the_deadline_came() -> Result<()> {
    let peer = support::raw::RawPeer::silent();
    let holder: SessionHolder = SessionHolder::builder().build()?;
    holder.start_session().await?;
    let calls: Vec<_> = (0..20)
        .map(|_| {
            let (holder, url) = (holder.clone(), peer.url("/"));
            tokio::spawn(async move {
                let call = holder.with_session(|s| async move { s.get(url).send().await });
                call.await.map(drop)
            })
        })
        .collect();
    peer.wait_accepted(20).await;
    let report = holder.close_session_within(Duration::from_millis(50)).await;
    assert_eq!((report.leases_left, report.severed), (20, 20), "{report:?}");
    for call in calls {
        let error = call.await.expect("no panic").expect_err("it was cut");
        assert!(error.is_closed(), "{error:?}");
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_close_goes_by_one_clock() {
    let network = Memory::serving(async |_| pending().await);
    let session = Session::builder().connector(network).open().await.unwrap();
    let mut sending = Box::pin(session.get("http://host/").send());
    assert!(poll!(&mut sending).is_pending());
    let limit = Duration::from_secs(30);
    let report = session.close_within(limit).await;
    assert!(report.took >= limit, "{report:?}");
}
