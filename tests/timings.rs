//! How long a request took, step by step.
#![allow(clippy::unwrap_used, reason = "a test that fails here has its line")]

mod support;

use std::time::Duration;

use hyper_session::{Session, Timings};
use support::connectors::{Memory, read_head, write};
use support::server::{Server, text};
use tokio::time::sleep;

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

async fn get(session: &Session, url: &str) -> Timings {
    let answer = session.get(url).send().await.unwrap();
    let timings = answer.timings();
    answer.bytes().await.unwrap();
    timings
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[tokio::test(start_paused = true)]
async fn the_head_and_the_queue_are_timed() {
    let network = Memory::scripted(|mut end, _| async move {
        while !read_head(&mut end).await.is_empty() {
            sleep(ms(30)).await;
            write(&mut end, OK).await;
        }
    });
    let builder = Session::builder().pool_max_connections(1);
    let session = builder.connector(network).open().await.unwrap();
    let first = get(&session, "http://a/").await;
    assert_eq!((first.queue, first.head), (ms(0), ms(30)));
    assert!(!first.reused);
    // The connector does not tell.
    assert_eq!((first.dns, first.connect, first.tls), (None, None, None));

    let (second, third) = futures::join!(get(&session, "http://a/"), get(&session, "http://a/"));
    assert_eq!((second.queue, second.head), (ms(0), ms(30)));
    assert_eq!((third.queue, third.head), (ms(30), ms(30)));
    assert!(second.reused && third.reused);
    assert_eq!(second.connection, first.connection);

    session.close_idle();
    let fourth = get(&session, "http://a/").await;
    assert!(!fourth.reused);
    assert_ne!(fourth.connection, first.connection);
}

#[tokio::test]
async fn the_steps_of_connecting_are_timed_for_the_request_that_made_the_connection() {
    let server = Server::start(async |_| text("ok"));
    let session = Session::builder().open().await.unwrap();
    let url = server.url_by("localhost", "/");
    let first = get(&session, &url).await;
    let (dns, connect) = (first.dns.unwrap(), first.connect.unwrap());
    assert_eq!(first.tls, None);
    assert!(dns + connect <= first.queue, "{first:?}");
    let second = get(&session, &url).await;
    assert_eq!((second.dns, second.connect), (None, None));
}

#[cfg(feature = "native-tls")]
#[tokio::test]
async fn the_handshake_is_timed_apart() {
    let server = Server::start_tls(async |_| text("ok"));
    let session = Session::builder().tls_root_pem(server.ca_pem());
    let session = session.open().await.unwrap();
    let first = get(&session, &server.url("/")).await;
    // By address there is no name to resolve.
    assert_eq!(first.dns, None);
    let (connect, tls) = (first.connect.unwrap(), first.tls.unwrap());
    assert!(
        tls > Duration::ZERO && connect + tls <= first.queue,
        "{first:?}"
    );
}
