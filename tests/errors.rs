//! What an error says of a request that found no server, or no answer in time.

mod support;

use std::error::Error as _;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use hyper_session::{ErrorKind, Result, Session, SessionHolder, TimeoutPhase, WhenClosed};
use socket2::{Domain, Socket, Type};
use support::raw::RawPeer;
use support::server::Server;

#[tokio::test]
async fn a_name_without_an_address_is_a_dns_error() -> Result<()> {
    let session = Session::builder().open().await?;
    let url = "http://user:s3cret@does-not-exist.invalid/x?token=s3cret#s3cret";
    let error = session.get(url).send().await.expect_err("RFC 6761 §6.4");
    assert_eq!(error.kind(), ErrorKind::Dns, "{error:?}");
    assert!(error.is_connect() && error.is_retryable());
    assert!(!error.was_sent() && !error.is_timeout() && !error.is_builder());
    assert_eq!(error.url(), Some("http://does-not-exist.invalid/x"));
    assert!(
        error
            .to_string()
            .contains("(http://does-not-exist.invalid/x)"),
        "{error}"
    );
    let shown = format!("{error} {error:?} {error:#?}");
    assert!(shown.contains("DnsFailure"), "{shown}");
    assert!(!shown.contains("s3cret"), "{shown}");
    let stats = session.stats();
    assert_eq!(
        (stats.open, stats.connecting, stats.waiting, stats.exchanges),
        (0, 0, 0, 0)
    );
    Ok(())
}

#[tokio::test]
async fn a_port_that_nobody_listens_on_is_a_connect_error() -> Result<()> {
    let server = Server::text("never");
    server.refuse_new().await;
    let session = Session::builder().base_url(server.url("/")).open().await?;
    let error = session
        .post("/x")
        .body("once")
        .send()
        .await
        .expect_err("nobody listens");
    assert_eq!(error.kind(), ErrorKind::Connect, "{error:?}");
    assert!(error.is_connect() && error.is_retryable() && !error.was_sent());
    assert_eq!(error.url(), Some(&*server.url("/x")));
    assert!(error.source().is_some());
    let stats = session.stats();
    assert_eq!(
        (stats.open, stats.connecting, stats.waiting, stats.exchanges),
        (0, 0, 0, 0)
    );
    Ok(())
}

#[tokio::test]
async fn each_phase_that_takes_too_long_is_named() -> Result<()> {
    let short = Duration::from_millis(40);
    let peer = RawPeer::start(async |conn, _| {
        let request = conn.read_request().await;
        if request.starts_with(b"GET /body") {
            conn.write("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf")
                .await;
        }
        conn.wait_eof().await;
    });
    let builder = || Session::builder().base_url(peer.url("/"));

    let session = builder().head_timeout(short).open().await?;
    let error = session.get("/").send().await.expect_err("no head");
    assert_eq!(error.kind(), ErrorKind::Timeout(TimeoutPhase::Head));
    assert!(error.is_timeout() && error.was_sent() && !error.is_connect());
    assert!(!error.is_retryable(), "it may have been carried out");
    peer.wait_live(0).await;
    assert_eq!(session.stats().open, 0);

    let session = builder().read_timeout(short).open().await?;
    let mut answer = session.get("/body").send().await?;
    assert_eq!(answer.chunk().await?.as_deref(), Some(&b"half"[..]));
    let error = answer.chunk().await.expect_err("no more");
    assert_eq!(error.kind(), ErrorKind::Timeout(TimeoutPhase::Read));
    assert!(error.was_sent());
    peer.wait_live(0).await;
    assert_eq!(session.stats().open, 0);

    let session = builder()
        .pool_max_connections(1)
        .pool_timeout(short)
        .open()
        .await?;
    let held = session.get("/body").send().await?;
    let error = session
        .get("/")
        .send()
        .await
        .expect_err("no connection is free");
    assert_eq!(error.kind(), ErrorKind::Timeout(TimeoutPhase::Pool));
    assert!(error.is_retryable() && !error.was_sent() && !error.is_connect());
    let shown = error.to_string();
    assert!(
        shown.contains("limit 1") && shown.contains("1 in use"),
        "{shown}"
    );
    drop(held);
    session.close().await;
    peer.wait_live(0).await;
    assert_eq!(peer.accepted(), 3);
    Ok(())
}

#[tokio::test]
async fn what_needs_a_session_that_is_closed_says_so() -> Result<()> {
    let server = Server::text("never");
    let holder = SessionHolder::builder()
        .base_url(server.url("/"))
        .when_closed(WhenClosed::Refuse)
        .build()?;
    let closed_holder = holder.get("/").send().await.expect_err("not open yet");
    let no_session = holder.session().expect_err("not open yet");
    let session = Session::builder().open().await?;
    session.close().await;
    let closed_session = session
        .get(server.url("/"))
        .send()
        .await
        .expect_err("closed");
    for error in [closed_holder, no_session, closed_session] {
        assert_eq!(error.kind(), ErrorKind::Closed, "{error:?}");
        assert!(error.is_closed() && !error.is_connect() && !error.is_builder());
        assert!(!error.was_sent() && !error.is_retryable(), "{error:?}");
    }
    assert_eq!(server.accepted(), 0);
    Ok(())
}

#[tokio::test]
async fn a_hook_that_fails_is_the_errors_source() -> Result<()> {
    let holder: SessionHolder = SessionHolder::builder()
        .on_open(|_| async { Err(std::io::Error::other("no token")) })
        .build()?;
    let error = holder.start_session().await.expect_err("the hook fails");
    assert_eq!(error.kind(), ErrorKind::Hook, "{error:?}");
    assert!(!error.was_sent() && !error.is_retryable() && !error.is_closed());
    assert_eq!(
        error.source().expect("the hook's error").to_string(),
        "no token"
    );
    assert!(!holder.is_open());
    Ok(())
}

#[tokio::test]
async fn a_network_that_does_not_answer_is_a_connect_timeout() {
    // A listener whose queue is full takes no connection and refuses none.
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    let any: SocketAddr = "127.0.0.1:0".parse().expect("an address");
    listener.bind(&any.into()).expect("a free port");
    listener.listen(0).expect("it listens");
    let address = listener.local_addr().expect("it is bound");
    let address = address.as_socket().expect("it has a port");
    let patience = Duration::from_millis(100);
    let full: Vec<_> = (0..8)
        .map_while(|_| TcpStream::connect_timeout(&address, patience).ok())
        .collect();

    let builder = Session::builder().connect_timeout(patience);
    let session = builder.open().await.expect("a session");
    let error = session.get(format!("http://{address}/")).send().await;
    let error = error.expect_err("nobody answers");
    assert_eq!(
        error.kind(),
        ErrorKind::Timeout(TimeoutPhase::Connect),
        "{error:?}"
    );
    assert!(error.is_timeout() && error.is_connect() && !error.was_sent());
    drop(full);
}
