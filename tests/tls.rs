//! HTTPS by the platform's TLS, against a server whose authority only these tests know.
#![cfg(feature = "native-tls")]

mod support;

use std::time::Duration;

use futures::future::try_join_all;
use hyper_session::{ErrorKind, Result, Session, SessionBuilder, SessionHolder, TimeoutPhase};
use support::raw::RawPeer;
use support::server::{Server, channel_body, respond, text};
use support::tls::ca_pem;
use tokio::sync::mpsc;

fn trusting(server: &Server) -> SessionBuilder {
    Session::builder()
        .base_url(server.url("/"))
        .tls_root_pem(server.ca_pem())
}

#[tokio::test]
async fn one_handshake_serves_all_requests_and_a_close_says_goodbye() -> Result<()> {
    let server = Server::start_tls(async |_| text("over TLS"));
    let holder = trusting(&server).build()?;
    holder.start_session().await?;
    for url in [server.url("/"), server.url("/x"), "relative".to_owned()] {
        let answer = holder.get(url).send().await?;
        assert_eq!(answer.remote_addr(), Some(server.addr()));
        assert_eq!(answer.url().scheme(), "https");
        assert_eq!(answer.text().await?, "over TLS");
    }
    assert_eq!(
        (server.handshakes(), server.requests(), server.live()),
        (1, 3, 1)
    );
    let report = holder.close_session().await;
    assert_eq!(
        (report.stats.opened, report.stats.reused, report.stats.open),
        (1, 2, 0)
    );
    server.wait_live(0).await;
    assert_eq!(
        (server.clean_closes(), server.abrupt_closes()),
        (1, 0),
        "close_notify"
    );
    Ok(())
}

#[tokio::test]
async fn every_idle_connection_says_goodbye_when_the_last_handle_is_dropped() -> Result<()> {
    let (arrivals, mut arrived) = mpsc::unbounded_channel();
    let server = Server::start_tls(async move |_| {
        let (sender, body) = channel_body();
        arrivals.send(sender).expect("the test wants it");
        respond(http::StatusCode::OK, body)
    });
    let session = trusting(&server).open().await?;
    let answers = try_join_all((0..3).map(|_| session.get("/").send())).await?;
    for _ in 0..3 {
        // Its drop ends the body.
        drop(arrived.recv().await.expect("three requests"));
    }
    try_join_all(answers.into_iter().map(hyper_session::Response::bytes)).await?;
    assert_eq!((session.stats().idle, server.live()), (3, 3));
    let other = session.clone();
    drop(session);
    assert_eq!(
        (other.stats().idle, server.live()),
        (3, 3),
        "one handle is left"
    );
    drop(other);
    server.wait_live(0).await;
    assert_eq!(
        (server.clean_closes(), server.abrupt_closes()),
        (3, 0),
        "close_notify"
    );
    Ok(())
}

#[tokio::test]
async fn a_one_shot_says_goodbye_at_the_end_of_its_call() -> Result<()> {
    let server = Server::start_tls(async |_| text("over TLS"));
    let holder = trusting(&server).build()?;
    assert_eq!(holder.get("/").send().await?.text().await?, "over TLS");
    server.wait_live(0).await;
    assert_eq!((server.handshakes(), server.clean_closes()), (1, 1));
    assert_eq!(holder.stats().one_shots, 1);
    Ok(())
}

#[tokio::test]
async fn an_authority_that_is_not_trusted_is_refused() -> Result<()> {
    let server = Server::start_tls(async |_| text("never"));
    let session = Session::builder().open().await?;
    let error = session
        .get(server.url("/x?token=s3cret"))
        .send()
        .await
        .expect_err("untrusted");
    assert_eq!(error.kind(), ErrorKind::Tls, "{error:?}");
    assert!(
        error.is_connect() && !error.was_sent() && !error.is_timeout(),
        "{error:?}"
    );
    assert_eq!(error.url(), Some(&*server.url("/x")));
    assert!(!format!("{error} {error:?}").contains("s3cret"));
    server.wait_live(0).await;
    assert_eq!((server.requests(), session.stats().open), (0, 0));

    let unrelated =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let session = Session::builder()
        .tls_root_pem(unrelated.cert.pem())
        .open()
        .await?;
    let error = session
        .get(server.url("/"))
        .send()
        .await
        .expect_err("untrusted");
    assert_eq!(error.kind(), ErrorKind::Tls, "{error:?}");
    server.wait_live(0).await;
    assert_eq!((server.accepted(), server.failed_handshakes()), (2, 2));
    Ok(())
}

#[tokio::test]
async fn several_authorities_may_be_trusted_from_one_pem_or_several() -> Result<()> {
    let server = Server::start_tls(async |_| text("over TLS"));
    let unrelated =
        rcgen::generate_simple_self_signed(["other".to_owned()]).expect("a certificate");
    let bundle = format!("{}{}", unrelated.cert.pem(), ca_pem());
    for builder in [
        Session::builder()
            .tls_root_pem(unrelated.cert.pem())
            .tls_root_pem(ca_pem()),
        Session::builder()
            .tls_root_pem(ca_pem())
            .tls_root_pem(unrelated.cert.pem()),
        Session::builder().tls_root_pem(bundle),
    ] {
        let session = builder.open().await?;
        assert_eq!(
            session.get(server.url("/")).send().await?.text().await?,
            "over TLS"
        );
        session.close().await;
    }
    server.wait_live(0).await;
    assert_eq!((server.handshakes(), server.clean_closes()), (3, 3));
    Ok(())
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused() -> Result<()> {
    let server = Server::start_tls_for(&["other.test"], async |_| text("never"));
    let session = trusting(&server).open().await?;
    for name in ["127.0.0.1", "localhost"] {
        let error = session
            .get(server.url_by(name, "/"))
            .send()
            .await
            .expect_err("a wrong name");
        assert_eq!(error.kind(), ErrorKind::Tls, "{error:?}");
        server.wait_live(0).await;
    }
    assert_eq!((server.requests(), session.stats().opened), (0, 0));
    Ok(())
}

#[tokio::test]
async fn a_name_and_an_address_are_two_origins_of_one_certificate() -> Result<()> {
    let server = Server::start_tls(async |_| text("over TLS"));
    let session = trusting(&server).open().await?;
    for name in ["127.0.0.1", "localhost", "LOCALHOST", "127.0.0.1"] {
        assert_eq!(
            session
                .get(server.url_by(name, "/"))
                .send()
                .await?
                .text()
                .await?,
            "over TLS"
        );
    }
    assert_eq!(server.handshakes(), 2);
    assert_eq!(session.close().await.stats.reused, 2);
    server.wait_live(0).await;
    assert_eq!(server.clean_closes(), 2);
    Ok(())
}

#[tokio::test]
async fn a_plain_server_behind_an_https_url_fails_the_handshake() -> Result<()> {
    let server = Server::text("never");
    let session = Session::builder().open().await?;
    let url = server.url("/").replace("http:", "https:");
    let error = session.get(url).send().await.expect_err("no TLS there");
    assert_eq!(error.kind(), ErrorKind::Tls, "{error:?}");
    server.wait_live(0).await;
    assert_eq!((server.requests(), session.stats().open), (0, 0));
    Ok(())
}

#[tokio::test]
async fn a_tls_server_behind_an_http_url_gives_no_answer() -> Result<()> {
    let server = Server::start_tls(async |_| text("never"));
    let session = trusting(&server).open().await?;
    let url = server.url("/").replace("https:", "http:");
    let error = session.get(url).send().await.expect_err("no HTTP there");
    assert_eq!(error.kind(), ErrorKind::Protocol, "{error:?}");
    server.wait_live(0).await;
    assert_eq!(
        (server.handshakes(), server.requests(), session.stats().open),
        (0, 0, 0)
    );
    Ok(())
}

#[tokio::test]
async fn a_peer_that_leaves_in_the_middle_of_the_handshake_fails_it() -> Result<()> {
    for resets in [false, true] {
        let peer = RawPeer::start(async move |conn, _| {
            conn.read(5).await;
            if resets {
                conn.reset();
            }
        });
        let session = Session::builder().open().await?;
        let url = peer.url("/").replace("http:", "https:");
        let error = session.get(url).send().await.expect_err("the peer is gone");
        assert_eq!(error.kind(), ErrorKind::Tls, "{error:?}");
        assert!(!error.was_sent(), "{error:?}");
        peer.wait_live(0).await;
        assert_eq!((session.stats().open, session.stats().connecting), (0, 0));
    }
    Ok(())
}

#[tokio::test]
async fn a_peer_that_is_silent_in_the_handshake_is_given_up_in_time() -> Result<()> {
    let peer = RawPeer::start(async |conn, _| {
        conn.wait_eof().await;
    });
    let session = Session::builder()
        .connect_timeout(Duration::from_millis(50))
        .open()
        .await?;
    let url = peer.url("/").replace("http:", "https:");
    let error = session
        .get(&url)
        .send()
        .await
        .expect_err("no handshake in time");
    assert_eq!(
        error.kind(),
        ErrorKind::Timeout(TimeoutPhase::Connect),
        "{error:?}"
    );
    assert!(
        error.is_timeout() && error.is_connect() && error.is_retryable(),
        "{error:?}"
    );
    peer.wait_live(0).await;
    assert_eq!((session.stats().open, session.stats().connecting), (0, 0));

    let patient = Session::builder().open().await?;
    let late = patient
        .get(&url)
        .timeout(Duration::from_millis(50))
        .send()
        .await;
    let error = late.expect_err("no handshake in time");
    assert_eq!(
        error.kind(),
        ErrorKind::Timeout(TimeoutPhase::Total),
        "{error:?}"
    );
    assert!(!error.was_sent(), "{error:?}");
    peer.wait_live(0).await;
    assert_eq!((patient.stats().open, patient.stats().connecting), (0, 0));
    Ok(())
}

#[tokio::test]
async fn a_session_without_tls_roots_of_its_own_still_speaks_plain_http() -> Result<()> {
    let (plain, secure) = (
        Server::text("plain"),
        Server::start_tls(async |_| text("over TLS")),
    );
    let holder: SessionHolder = SessionHolder::builder().tls_root_pem(ca_pem()).build()?;
    holder.start_session().await?;
    assert_eq!(
        holder.get(plain.url("/")).send().await?.text().await?,
        "plain"
    );
    assert_eq!(
        holder.get(secure.url("/")).send().await?.text().await?,
        "over TLS"
    );
    assert_eq!((holder.stats().idle, secure.handshakes()), (2, 1));
    holder.close_session().await;
    plain.wait_live(0).await;
    secure.wait_live(0).await;
    Ok(())
}
