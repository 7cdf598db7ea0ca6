//! The limits of one origin: what they cap, who waits, and who does not.

mod support;

use std::pin::pin;
use std::time::Duration;

use futures::future::join_all;
use http::Request;
use hyper::body::Incoming;
use hyper_session::{ErrorKind, Result, Session, SessionBuilder, TimeoutPhase};
use support::accounts::{Accounts, assert_accounts};
use support::connectors::{Counting, Memory};
use support::gate::Gate;
use support::outcome::{assert_waits, expect_kind};
use support::server::text;

type Network = Counting<Memory>;

/// Answers `/held…` when the gate lets it, everything else at once; with the path.
fn network(gate: &Gate) -> Network {
    let gate = gate.clone();
    Counting::new(Memory::serving(move |request: Request<Incoming>| {
        let gate = gate.clone();
        async move {
            let path = request.uri().path().to_owned();
            if path.starts_with("/held") {
                gate.pass().await;
            }
            text(path)
        }
    }))
}

async fn open(
    network: &Network,
    settings: impl FnOnce(SessionBuilder<Network>) -> SessionBuilder<Network>,
) -> Session {
    let builder = settings(Session::builder().connector(network.clone()));
    builder.open().await.expect("these settings are fine")
}

async fn get(session: &Session, url: &str) -> Result<String> {
    session.get(url).send().await?.text().await
}

#[tokio::test]
async fn an_origin_never_has_more_connections_than_it_may() {
    for limit in [1, 2, 5] {
        let network = network(&Gate::new());
        let session = open(&network, |builder| builder.pool_max_per_origin(limit)).await;
        let calls = (0..50).map(|call| {
            let (session, url) = (session.clone(), format!("http://a/{call}"));
            tokio::spawn(async move { get(&session, &url).await })
        });
        for done in join_all(calls).await {
            done.expect("no panic").expect("an answer");
        }
        let numbers = network.numbers();
        assert!(numbers.peak <= limit, "{numbers:?}");
        assert_accounts(&session.stats(), Accounts::idle(numbers.live));
    }
}

#[tokio::test]
async fn a_slow_origin_does_not_keep_others_waiting() {
    let gate = Gate::new();
    let network = network(&gate);
    let session = open(&network, |builder| {
        builder.pool_max_connections(3).pool_max_per_origin(2)
    })
    .await;
    let slow: Vec<_> = (0..5)
        .map(|call| {
            let (session, url) = (session.clone(), format!("http://slow/held{call}"));
            tokio::spawn(async move { get(&session, &url).await })
        })
        .collect();
    gate.wait_reached(2).await;

    // Three of them wait at their origin's limit, and yet the others' place is free.
    for call in 0..10 {
        let origin = ["http://a/", "http://b/"][call % 2];
        assert_eq!(get(&session, origin).await.expect("an answer"), "/");
    }
    let busy = Accounts::busy(2).and_queued(3).and_idle(1);
    assert_accounts(&session.stats(), busy);

    gate.open_for_good();
    for call in join_all(slow).await {
        call.expect("no panic").expect("an answer");
    }
    assert!(network.numbers().peak <= 3, "{:?}", network.numbers());
}

#[tokio::test]
async fn whoever_waits_for_an_origin_is_served_in_order() {
    let gate = Gate::new();
    let network = network(&gate);
    let session = open(&network, |builder| builder.pool_max_per_origin(1)).await;
    let first = tokio::spawn(session.get("http://a/held").send());
    gate.wait_reached(1).await;
    let mut second = pin!(get(&session, "http://a/2"));
    let mut third = pin!(get(&session, "http://a/3"));
    assert_waits(second.as_mut()).await;
    assert_waits(third.as_mut()).await;

    gate.open();
    let first = first.await.expect("no panic").expect("an answer");
    assert_eq!(first.text().await.expect("a body"), "/held");
    // It was given to the second, which has not fetched it yet.
    assert_waits(third.as_mut()).await;
    assert_eq!(second.await.expect("an answer"), "/2");
    assert_eq!(third.await.expect("an answer"), "/3");
    assert_eq!((session.stats().opened, session.stats().reused), (1, 2));
    assert_accounts(&session.stats(), Accounts::idle(1));
}

#[tokio::test(start_paused = true)]
async fn the_error_of_a_queue_that_took_too_long_names_the_origins_limit() {
    let gate = Gate::new();
    let network = network(&gate);
    let session = open(&network, |builder| {
        let builder = builder.pool_max_per_origin(1);
        builder.pool_timeout(Duration::from_secs(2))
    })
    .await;
    let running = tokio::spawn(session.get("http://a/held").send());
    gate.wait_reached(1).await;
    let queued = get(&session, "http://a/").await;
    let error = expect_kind(queued, ErrorKind::Timeout(TimeoutPhase::Pool));
    let shown = error.to_string();
    assert!(shown.contains("limit 100, 1 an origin"), "{shown}");
    assert!(!error.was_sent());
    assert_accounts(&session.stats(), Accounts::busy(1));
    running.abort();
}

#[test]
fn at_its_limit_an_origin_gives_up_what_idles_in_another_runtime() {
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
    };
    let (one, two) = (runtime().expect("a runtime"), runtime().expect("a runtime"));
    let network = network(&Gate::new());
    let session = one.block_on(open(&network, |builder| builder.pool_max_per_origin(1)));
    for runtime in [&one, &two, &one] {
        let answer = runtime.block_on(get(&session, "http://a/"));
        assert_eq!(answer.expect("an answer"), "/");
        assert_accounts(&session.stats(), Accounts::idle(1));
    }
    assert_eq!(session.stats().opened, 3);
    assert_eq!(network.numbers().peak, 1);
}

#[tokio::test]
async fn no_more_connections_of_an_origin_idle_than_may() {
    let gate = Gate::new();
    let network = network(&gate);
    let session = open(&network, |builder| builder.pool_max_idle_per_origin(2)).await;
    let calls: Vec<_> = (0..5)
        .map(|_| tokio::spawn(session.get("http://a/held").send()))
        .collect();
    gate.wait_reached(5).await;
    assert_accounts(&session.stats(), Accounts::busy(5));
    gate.open_for_good();
    for call in join_all(calls).await {
        let response = call.expect("no panic").expect("an answer");
        assert_eq!(response.text().await.expect("a body"), "/held");
    }
    assert_accounts(&session.stats(), Accounts::idle(2));
}
