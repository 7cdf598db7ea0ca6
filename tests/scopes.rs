//! Scopes: they open a session, share it while they overlap, and the last one out closes it.

mod support;

use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use hyper_session::{
    Error, ErrorKind, Response, Result, SessionContainer, SessionHolder, WhenClosed,
};
use support::accounts::{Accounts, AliveTasks, assert_accounts};
use support::api::Api;
use support::gate::Gate;
use support::outcome::{assert_waits, drive_until, expect_closed, expect_kind};

/// What a user has: a struct with a session in it, shared by whoever uses it.
struct Words {
    session: SessionHolder,
    api: Api,
}

impl SessionContainer for Words {
    fn session_holder(&self) -> &SessionHolder {
        &self.session
    }
}

impl Words {
    fn new() -> Result<Arc<Self>> {
        let api = Api::start();
        let session = SessionHolder::builder()
            .base_url(api.url("/"))
            .when_closed(WhenClosed::Refuse)
            .build()?;
        Ok(Arc::new(Self { session, api }))
    }

    async fn say(&self, word: &str) -> Result<String> {
        let path = format!("/say/{word}");
        self.with_session(|s| async move { s.get(path).send().await?.text().await })
            .await
    }

    async fn held(&self, word: &str) -> Result<String> {
        let path = format!("/held/{word}");
        self.with_session(|s| async move { s.get(path).send().await?.text().await })
            .await
    }

    /// Nothing is open, here and at the server.
    async fn assert_closed(&self) {
        assert!(!self.is_open());
        assert_accounts(&self.stats(), Accounts::NONE);
        self.api.wait_live(0).await;
        expect_closed(self.say("late").await);
    }
}

#[tokio::test]
async fn overlapping_scopes_share_a_session_that_the_last_one_closes() -> Result<()> {
    let tasks = AliveTasks::now();
    let words = Words::new()?;
    expect_closed(words.say("early").await);
    let (first_may_end, second_may_end) = (Gate::new(), Gate::new());
    let mut first = pin!(words.in_session(async |words| {
        let word = words.say("1").await?;
        first_may_end.pass().await;
        Ok::<_, Error>(word)
    }));
    drive_until(first.as_mut(), first_may_end.wait_reached(1)).await;
    let mut second = pin!(words.in_session(async |words| {
        let word = words.say("2").await?;
        second_may_end.pass().await;
        Ok::<_, Error>(word + &words.say("3").await?)
    }));
    drive_until(second.as_mut(), second_may_end.wait_reached(1)).await;
    assert_accounts(&words.stats(), Accounts::idle(1));

    first_may_end.open();
    assert_eq!(first.await?, "1");
    assert!(words.is_open(), "the second scope goes on");
    assert_accounts(&words.stats(), Accounts::idle(1));

    second_may_end.open();
    assert_eq!(second.await?, "23");
    words.assert_closed().await;
    assert_eq!((words.api.accepted(), words.api.requests()), (1, 3));
    tasks.assert_back().await;
    Ok(())
}

#[tokio::test]
async fn nested_scopes_count_as_overlapping_ones() -> Result<()> {
    let words = Words::new()?;
    words
        .in_session(async |words| {
            words.in_session(async |words| words.say("1").await).await?;
            assert_accounts(&words.stats(), Accounts::idle(1));
            words.say("2").await
        })
        .await?;
    words.assert_closed().await;
    assert_eq!(words.api.accepted(), 1);
    Ok(())
}

#[tokio::test]
async fn an_error_ends_a_scope() -> Result<()> {
    let words = Words::new()?;
    let ended = words.in_session(async |words| {
        words.say("1").await?;
        words.get("ftp://host/").send().await
    });
    expect_kind(ended.await, ErrorKind::Url);
    words.assert_closed().await;
    Ok(())
}

#[tokio::test]
async fn a_panic_ends_a_scope() -> Result<()> {
    let words = Words::new()?;
    let panicking = words.in_session(async |words| {
        words.say("1").await?;
        std::panic::resume_unwind(Box::new("in the scope"));
        #[expect(unreachable_code, reason = "names the closure's type")]
        Ok::<_, Error>(())
    });
    let caught = AssertUnwindSafe(panicking).catch_unwind().await;
    assert_eq!(
        *caught
            .expect_err("a panic")
            .downcast_ref::<&str>()
            .expect("a text"),
        "in the scope"
    );
    words.assert_closed().await;
    Ok(())
}

#[tokio::test]
async fn a_panic_of_a_task_ends_its_scope_and_leaves_the_others() -> Result<()> {
    let words = Words::new()?;
    let scope = words.enter_session().await?;
    let shared = Arc::clone(&words);
    let task = tokio::spawn(async move {
        shared
            .session_holder()
            .in_session(async |holder: &SessionHolder| {
                holder.get("/say/1").send().await?.text().await?;
                std::panic::resume_unwind(Box::new("in the scope"));
                #[expect(unreachable_code, reason = "names the closure's type")]
                Ok::<_, Error>(())
            })
            .await
    });
    assert!(task.await.expect_err("a panic").is_panic());
    assert_accounts(&words.stats(), Accounts::idle(1));
    assert_eq!(words.say("2").await?, "2");
    drop(scope);
    words.assert_closed().await;
    assert_eq!(words.api.accepted(), 1);
    Ok(())
}

#[tokio::test]
async fn a_cancelled_scope_closes_its_session_and_what_it_was_doing() -> Result<()> {
    let words = Words::new()?;
    let mut scope = Box::pin(words.in_session(async |words| {
        words.say("1").await?;
        futures::future::try_join(words.held("2"), words.held("3")).await
    }));
    drive_until(scope.as_mut(), words.api.gate.wait_reached(2)).await;
    assert_accounts(&words.stats(), Accounts::busy(2));
    drop(scope);
    words.assert_closed().await;

    let task = tokio::spawn({
        let words = Arc::clone(&words);
        async move {
            words
                .session
                .in_session(async |_: &SessionHolder| words.held("4").await)
                .await
        }
    });
    words.api.gate.wait_reached(3).await;
    task.abort();
    assert!(task.await.expect_err("an abort").is_cancelled());
    words.assert_closed().await;
    Ok(())
}

#[tokio::test]
async fn a_response_that_a_scope_returns_is_read_after_its_end() -> Result<()> {
    let words = Words::new()?;
    let mut response: Response = words
        .in_session(async |words| words.get("/feed").send().await)
        .await?;
    assert!(!words.is_open());
    let feed = words.api.next_feed().await;
    feed.send("still ").await.expect("the server feeds it");
    assert_eq!(response.chunk().await?.expect("a chunk"), "still ");
    assert_eq!(
        words.api.live(),
        1,
        "what outlives the scope has its connection"
    );
    feed.send("here").await.expect("the server feeds it");
    drop(feed);
    assert_eq!(response.text().await?, "here");
    words.assert_closed().await;
    Ok(())
}

#[tokio::test]
async fn a_scope_closes_its_idle_connections_and_not_what_outlives_it() -> Result<()> {
    let words = Words::new()?;
    let large = words
        .in_session(async |words| {
            let large = words.get("/large").send().await?;
            words.say("1").await?;
            assert_accounts(&words.stats(), Accounts::busy(1).and_idle(1));
            Ok::<_, Error>(large)
        })
        .await?;
    words.api.wait_live(1).await;
    let length = large.content_length().expect("it has a length");
    assert_eq!(large.bytes().await?.len() as u64, length);
    words.assert_closed().await;
    Ok(())
}

#[tokio::test]
async fn a_handle_that_outlives_its_scope_is_one_of_a_closed_session() -> Result<()> {
    let words = Words::new()?;
    let handle = words
        .in_session(async |words| {
            words.say("1").await?;
            words.session()
        })
        .await?;
    words.assert_closed().await;
    expect_closed(handle.get("/say/2").send().await);
    assert_accounts(&handle.stats(), Accounts::NONE);
    Ok(())
}

#[tokio::test]
async fn a_scope_never_closes_a_session_that_was_started() -> Result<()> {
    let words = Words::new()?;
    words.start_session().await?;
    words.in_session(async |words| words.say("1").await).await?;
    assert!(words.is_open());
    assert_accounts(&words.stats(), Accounts::idle(1));
    assert!(words.enter_session().await?.close().await.is_none());
    drop(words.enter_session().await?);
    assert_eq!(words.say("2").await?, "2");
    assert_accounts(&words.stats(), Accounts::idle(1));
    words.close_session().await;
    words.assert_closed().await;
    assert_eq!(words.api.accepted(), 1);
    Ok(())
}

#[tokio::test]
async fn a_guard_lends_its_session_and_only_the_last_one_waits_for_the_end() -> Result<()> {
    let words = Words::new()?;
    let first = words.enter_session().await?;
    let last = words.enter_session().await?;
    assert_eq!(first.get("/say/1").send().await?.text().await?, "1");
    assert!(first.close().await.is_none());
    assert_accounts(&last.stats(), Accounts::idle(1));

    let mut response = last.get("/feed").send().await?;
    let feed = words.api.next_feed().await;
    let mut close = pin!(last.close());
    assert_waits(close.as_mut()).await;
    assert!(!words.is_open(), "it is left at once");
    drop(feed);
    assert!(response.chunk().await?.is_none());
    let report = close.await.expect("the last one's report");
    assert_eq!(
        (report.stats.opened, report.severed, report.leases_left),
        (1, 0, 0)
    );
    assert_accounts(&report.stats, Accounts::NONE);
    words.assert_closed().await;
    Ok(())
}

#[tokio::test]
async fn a_guard_whose_close_is_given_up_has_closed() -> Result<()> {
    let words = Words::new()?;
    let unpolled = words.enter_session().await?;
    words.say("1").await?;
    drop(unpolled.close());
    words.assert_closed().await;

    let given_up = words.enter_session().await?;
    words.say("2").await?;
    let response = given_up.get("/feed").send().await?;
    let mut close = Box::pin(given_up.close());
    assert_waits(close.as_mut()).await;
    drop(close);
    words.api.wait_live(1).await;
    drop(response);
    words.assert_closed().await;
    Ok(())
}

#[tokio::test]
async fn a_close_waits_for_the_scopes_whose_exits_then_do_nothing() -> Result<()> {
    let words = Words::new()?;
    let may_end = Gate::new();
    let mut scope = pin!(words.in_session(async |words| {
        let handle = words.session()?;
        may_end.pass().await;
        handle.get("/say/1").send().await?.text().await
    }));
    drive_until(scope.as_mut(), may_end.wait_reached(1)).await;
    let mut close = pin!(words.close_session());
    assert_waits(close.as_mut()).await;
    may_end.open();
    assert_eq!(scope.await?, "1", "its handle works to its end");
    assert_eq!(close.await.leases_left, 0);
    words.assert_closed().await;
    Ok(())
}

#[tokio::test]
async fn after_a_close_under_scopes_a_new_scope_opens_anew_and_old_exits_leave_it() -> Result<()> {
    let words = Words::new()?;
    let (first, second) = (words.enter_session().await?, words.enter_session().await?);
    words.say("1").await?;
    let report = words.close_session_within(Duration::from_millis(20)).await;
    assert_eq!((report.severed, report.leases_left), (0, 2), "{report:?}");
    assert_accounts(&report.stats, Accounts::NONE);
    words.assert_closed().await;
    expect_closed(first.get("/say/2").send().await);

    let anew = words.enter_session().await?;
    assert_eq!(words.say("2").await?, "2");
    drop(first);
    assert!(second.close().await.is_none());
    assert_accounts(&words.stats(), Accounts::idle(1));
    assert_eq!(words.say("3").await?, "3");
    assert!(anew.close().await.is_some());
    words.assert_closed().await;
    assert_eq!((words.api.accepted(), words.api.requests()), (2, 3));
    Ok(())
}

#[tokio::test]
async fn a_scope_whose_session_was_swapped_away_closes_nothing_when_it_ends() -> Result<()> {
    let words = Words::new()?;
    let scope = words.enter_session().await?;
    words.say("1").await?;
    let builder = SessionHolder::builder().base_url(words.api.url("/"));
    words.start_session_with(builder).await?;
    assert_eq!(words.say("2").await?, "2");
    assert_eq!(words.api.live(), 2, "the scope holds the old one");
    assert_eq!(scope.get("/say/3").send().await?.text().await?, "3");

    drop(scope);
    words.api.wait_live(1).await;
    assert!(words.is_open());
    assert_accounts(&words.stats(), Accounts::idle(1));

    // Nor does a scope that it was swapped under count for scopes of a session that comes later.
    let old = words.enter_session().await?;
    let builder = SessionHolder::builder().base_url(words.api.url("/"));
    words.start_session_with(builder).await?;
    words.close_session_within(Duration::from_millis(20)).await;
    let new = words.enter_session().await?;
    drop(old);
    assert_eq!(words.say("4").await?, "4");
    drop(new);
    words.assert_closed().await;
    Ok(())
}

#[tokio::test]
async fn a_cancelled_entry_leaves_nothing_behind() -> Result<()> {
    let api = Api::start();
    let hook = Gate::new();
    let passed = hook.clone();
    let url = api.url("/say/hook");
    let holder = SessionHolder::builder()
        .on_open(move |session| {
            let (hook, url) = (passed.clone(), url.clone());
            async move {
                session.get(url).send().await?.text().await?;
                hook.pass().await;
                Ok::<_, Error>(session)
            }
        })
        .build()?;
    let mut entry = Box::pin(holder.in_session(async |_| Ok::<_, Error>(())));
    drive_until(entry.as_mut(), hook.wait_reached(1)).await;
    drop(entry);
    assert!(!holder.is_open());
    api.wait_live(0).await;

    hook.open_for_good();
    drop(holder.enter_session().await?);
    assert!(!holder.is_open(), "the cancelled one was not counted");
    api.wait_live(0).await;
    Ok(())
}
