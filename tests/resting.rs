//! A connection that has idled for a second keeps its socket and little else, and serves on as before.
#![allow(clippy::unwrap_used, reason = "a test that fails here has its line")]

mod support;

use std::time::Duration;

use futures::future::try_join_all;
use hyper_session::{Result, Session};
use tokio::runtime;
use tokio::sync::Barrier;
use tokio::time;

use support::accounts::Accounts;
use support::books::{assert_books, reach};
use support::server::{Server, text};
use support::surprise::{STRAYS, Surprise};

/// Lets the timer look at what has idled for a second, without waiting for that.
async fn rest() {
    time::pause();
    time::sleep(Duration::from_millis(2100)).await;
    time::resume();
}

/// Requests that need a connection each.
async fn all_at_once(session: &Session, url: &str, count: usize) {
    let answers = (0..count).map(async |_| session.get(url).send().await?.text().await);
    assert_eq!(
        try_join_all(answers).await.unwrap(),
        vec!["ok".to_owned(); count]
    );
}

#[test]
fn it_keeps_no_buffers_until_its_next_request() {
    const COUNT: usize = 50;
    const EACH: i64 = 50;
    let together = Barrier::new(COUNT);
    let server = Server::start(async move |_| {
        together.wait().await;
        text("ok")
    });
    let runtime = runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_all().build().unwrap();
    let session = runtime.block_on(Session::builder().open()).unwrap();
    let bytes = |step: &mut dyn FnMut()| allocation_counter::measure(step).bytes_current;
    let mut ask = || runtime.block_on(all_at_once(&session, &server.url("/"), COUNT));

    let mut held = bytes(&mut ask) / EACH;
    assert!(held > 24_000, "hyper keeps two buffers: {held} bytes each");
    for round in 1..=2 {
        held += bytes(&mut || runtime.block_on(rest())) / EACH;
        assert!(held < 4_000, "{held} bytes each");
        assert_books(&session, Accounts::idle(COUNT), 50, 50 * (round - 1));
        held += bytes(&mut ask) / EACH;
        assert_books(&session, Accounts::idle(COUNT), 50, 50 * round);
    }
    assert_eq!(server.live(), COUNT);
}

#[tokio::test]
async fn it_serves_again_and_says_goodbye() -> Result<()> {
    let plain = Server::text("ok");
    let tls = Server::start_tls(async |_| text("ok"));
    for server in [&plain, &tls] {
        for (round, awaited) in [true, false].into_iter().enumerate() {
            let session = Session::builder().tls_root_pem(tls.ca_pem()).open().await?;
            for reused in 0..3 {
                assert_eq!(
                    session.post(server.url("/")).send().await?.text().await?,
                    "ok"
                );
                rest().await;
                assert_books(&session, Accounts::idle(1), 1, reused);
            }
            if awaited {
                assert_eq!(session.close().await.stats.open, 0);
            } else {
                drop(session);
            }
            server.wait_live(0).await;
            assert_eq!(
                (server.clean_closes(), server.abrupt_closes()),
                (round + 1, 0)
            );
        }
    }
    Ok(())
}

#[tokio::test]
async fn neither_a_get_nor_a_post_goes_out_on_one_whose_peer_has_left() -> Result<()> {
    for stray in STRAYS {
        for idempotent in [true, false] {
            let surprise = Surprise::new(stray);
            let (peer, session) = (&surprise.peer, Session::builder().open().await?);
            let url = peer.url("/");
            assert_eq!(session.get(&*url).send().await?.text().await?, "ok");
            rest().await;
            assert_books(&session, Accounts::idle(1), 1, 0);
            surprise.spring();
            let request = if idempotent {
                session.get(&*url)
            } else {
                session.post(&*url)
            };
            assert_eq!(request.send().await?.text().await?, "ok", "{stray:?}");
            assert_books(&session, Accounts::idle(1), 2, 0);
            assert_eq!((peer.accepted(), peer.requests()), (2, 2));
            session.close().await;
            peer.wait_live(0).await;
        }
    }
    Ok(())
}

#[tokio::test]
async fn its_end_is_noticed_while_nobody_asks_for_it() -> Result<()> {
    for stray in STRAYS {
        let surprise = Surprise::new(stray);
        let session = Session::builder().open().await?;
        let answer = session.get(surprise.peer.url("/")).send().await?;
        assert_eq!(answer.text().await?, "ok");
        rest().await;
        surprise.spring();
        reach(&session, Accounts::NONE).await;
        let stats = session.stats();
        assert_eq!((stats.closed_by.peer, stats.opened), (1, 1), "{stray:?}");
        surprise.peer.wait_live(0).await;
    }
    Ok(())
}
