//! How old a connection grows: in idleness, in time, in requests, and by the server's word.

mod support;

use std::time::Duration;

use hyper_session::{Result, Session, SessionBuilder};
use support::accounts::{Accounts, AliveTasks, assert_accounts};
use support::connectors::{Memory, read_head, write};
use tokio::time::{Instant, advance, sleep};

/// A server in memory whose answers carry `headers`.
fn network(headers: &'static str) -> Memory {
    Memory::scripted(move |mut end, _| async move {
        while !read_head(&mut end).await.is_empty() {
            let answer = format!("HTTP/1.1 200 OK\r\n{headers}content-length: 2\r\n\r\nok");
            write(&mut end, &answer).await;
        }
    })
}

async fn open(builder: SessionBuilder<Memory>) -> Session {
    builder.open().await.expect("these settings are fine")
}

async fn get(session: &Session) -> Result<()> {
    let text = session.get("http://origin/").send().await?.text().await?;
    assert_eq!(text, "ok");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_not_used_beyond_its_age_nor_left_open() -> Result<()> {
    let age = Duration::from_secs(100);
    let builder = Session::builder().connector(network(""));
    let session = open(builder.pool_idle_timeout(None).pool_max_age(age)).await;
    get(&session).await?;
    advance(age.mul_f64(0.89)).await;
    get(&session).await?;
    assert_eq!((session.stats().opened, session.stats().reused), (1, 1));

    advance(age.mul_f64(0.12)).await;
    get(&session).await?;
    assert_eq!((session.stats().opened, session.stats().reused), (2, 1));

    sleep(age).await;
    assert_accounts(&session.stats(), Accounts::NONE);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_grows_too_old_in_an_exchange_ends_with_it() -> Result<()> {
    let builder = Session::builder().connector(network(""));
    let session = open(builder.pool_max_age(Duration::from_secs(1))).await;
    let response = session.get("http://origin/").send().await?;
    drop(response);
    sleep(Duration::from_secs(2)).await;
    assert_accounts(&session.stats(), Accounts::NONE);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_connection_carries_no_more_requests_than_it_may() -> Result<()> {
    let builder = Session::builder().connector(network(""));
    let session = open(builder.pool_max_requests(3)).await;
    for request in 1..=7_u64 {
        get(&session).await?;
        assert_eq!(session.stats().opened, request.div_ceil(3));
        let idle = usize::from(request % 3 != 0);
        assert_accounts(&session.stats(), Accounts::idle(idle));
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn the_servers_timeout_is_heeded_less_a_second() -> Result<()> {
    let builder = Session::builder().connector(network("keep-alive: timeout=5\r\n"));
    let session = open(builder).await;
    get(&session).await?;
    let began = Instant::now();
    sleep(Duration::from_millis(3900)).await;
    assert_accounts(&session.stats(), Accounts::idle(1));
    sleep(Duration::from_millis(200)).await;
    assert_accounts(&session.stats(), Accounts::NONE);
    assert!(began.elapsed() < Duration::from_secs(5));

    get(&session).await?;
    assert_eq!((session.stats().opened, session.stats().reused), (2, 0));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn the_servers_last_request_is_the_last() -> Result<()> {
    let builder = Session::builder().connector(network("keep-alive: timeout=5, max=0\r\n"));
    let session = open(builder).await;
    get(&session).await?;
    assert_accounts(&session.stats(), Accounts::NONE);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn after_close_idle_nothing_runs_and_the_session_still_works() -> Result<()> {
    let before = AliveTasks::now();
    let session = open(Session::builder().connector(network(""))).await;
    get(&session).await?;
    assert_accounts(&session.stats(), Accounts::idle(1));

    session.close_idle();
    assert_accounts(&session.stats(), Accounts::NONE);
    before.assert_back().await;

    get(&session).await?;
    assert_eq!(session.stats().opened, 2);
    Ok(())
}
