//! A pooled connection that breaks off before any answer: who is sent once more, and who is not.

mod support;

use hyper_session::{Body, ErrorKind, RequestBuilder, Session};
use support::accounts::{Accounts, assert_accounts};
use support::raw::RawPeer;

/// Answers the first request of the first connection, and breaks off at its second; answers all on
/// others.
fn breaks_off_once() -> RawPeer {
    RawPeer::start(async |conn, number| {
        let mut answered = 0;
        loop {
            if conn.read_request().await.is_empty() || (number == 0 && answered == 1) {
                return conn.close();
            }
            conn.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
                .await;
            answered += 1;
        }
    })
}

async fn warm(session: &Session, peer: &RawPeer) {
    let first = session
        .get(peer.url("/warm"))
        .send()
        .await
        .expect("an answer");
    assert_eq!(first.text().await.expect("a body"), "ok");
    assert_accounts(&session.stats(), Accounts::idle(1));
}

/// Sends on a connection that breaks off. How often did the server get it?
async fn sent_again(make: impl Fn(RequestBuilder) -> RequestBuilder) -> bool {
    let peer = breaks_off_once();
    let session = Session::builder().open().await.expect("a session");
    warm(&session, &peer).await;
    let result = make(session.post(peer.url("/work"))).send().await;
    let times = count(&peer.received(0), "/work");
    assert_eq!(times, 1, "it went out on the pooled connection");
    if let Err(error) = result {
        assert_eq!(error.kind(), ErrorKind::Protocol, "{error:?}");
        assert!(error.was_sent());
        assert_eq!(peer.accepted(), 1);
        assert_accounts(&session.stats(), Accounts::NONE);
        return false;
    }
    assert_eq!(count(&peer.received(1), "/work"), 1);
    assert_eq!(peer.accepted(), 2);
    true
}

fn count(received: &[u8], part: &str) -> usize {
    String::from_utf8_lossy(received).matches(part).count()
}

#[tokio::test]
async fn a_post_is_sent_once() {
    assert!(!sent_again(|post| post.body("work")).await);
}

#[tokio::test]
async fn a_post_that_is_called_idempotent_is_sent_once_more() {
    assert!(sent_again(|post| post.body("work").idempotent()).await);
}

#[tokio::test]
async fn a_post_with_an_idempotency_key_is_sent_once_more() {
    assert!(sent_again(|post| post.body("work").header("Idempotency-Key", "7f")).await);
}

#[tokio::test]
async fn a_stream_is_sent_once_whatever_it_is_called() {
    let stream = || Body::wrap_stream(futures::stream::iter([Ok::<_, std::io::Error>("work")]));
    assert!(!sent_again(|post| post.body(stream()).idempotent()).await);
}

#[tokio::test]
async fn the_mark_travels_with_a_built_request() {
    let peer = breaks_off_once();
    let session = Session::builder().open().await.expect("a session");
    warm(&session, &peer).await;
    let request = session
        .post(peer.url("/work"))
        .idempotent()
        .build()
        .expect("it is fine");
    let response = session
        .execute(request)
        .await
        .expect("the second connection answers");
    assert_eq!(response.text().await.expect("a body"), "ok");
}

#[tokio::test]
async fn without_retry_stale_a_get_is_sent_once() {
    for (retry, connections) in [(true, 2), (false, 1)] {
        let peer = breaks_off_once();
        let session = Session::builder()
            .retry_stale(retry)
            .open()
            .await
            .expect("a session");
        warm(&session, &peer).await;
        let result = session.get(peer.url("/work")).send().await;
        assert_eq!(result.is_ok(), retry);
        assert_eq!(peer.accepted(), connections);
    }
}

/// Answers once and closes, unannounced.
fn answers_once() -> RawPeer {
    RawPeer::start(async |conn, _| {
        if !conn.read_request().await.is_empty() {
            conn.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
                .await;
        }
    })
}

#[tokio::test]
async fn a_post_that_queued_for_a_connection_which_has_died_goes_to_another() {
    for _ in 0..50 {
        let peer = answers_once();
        let builder = Session::builder().pool_max_connections(1);
        let session = builder.open().await.expect("a session");
        let first = async {
            let response = session.get(peer.url("/")).send().await.expect("an answer");
            // Whoever has the connection is busy while the peer closes it.
            std::thread::sleep(std::time::Duration::from_millis(2));
            drop(response);
        };
        let queued = session.post(peer.url("/")).body("work").send();
        let ((), answer) = futures::future::join(first, queued).await;
        assert_eq!(
            answer.expect("an answer").text().await.expect("a body"),
            "ok"
        );
    }
}
