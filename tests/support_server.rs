//! The test server's own test.

mod support;

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use native_tls::Certificate;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_native_tls::{TlsConnector, TlsStream};

use support::gate::Gate;
use support::raw::RawPeer;
use support::server::{self, Server, channel_body, respond, status, text};
use support::tally::End;

/// A hyper client's connection, with its driver as a task.
struct Client {
    sender: http1::SendRequest<Full<Bytes>>,
    driver: tokio::task::JoinHandle<()>,
}

impl Client {
    async fn connect(addr: SocketAddr) -> Self {
        Self::over(TcpStream::connect(addr).await.expect("the server listens")).await
    }

    async fn over(io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Self {
        let (sender, connection) = http1::handshake(TokioIo::new(io)).await.expect("no IO yet");
        let driver = tokio::spawn(async { drop(connection.await) });
        Self { sender, driver }
    }

    async fn send(&mut self, path: &str, body: &'static str) -> hyper::Result<Response<Incoming>> {
        self.sender.ready().await?;
        let request = Request::post(path)
            .header("host", "test")
            .body(Full::from(body));
        self.sender
            .send_request(request.expect("a valid request"))
            .await
    }

    async fn text(&mut self, path: &str, body: &'static str) -> String {
        let response = self.send(path, body).await.expect("an answer");
        let body = response.into_body().collect().await.expect("a whole body");
        String::from_utf8(body.to_bytes().into()).expect("UTF-8")
    }

    /// Closes in order, as far as hyper does: FIN, and `close_notify` over TLS.
    async fn close(self) {
        drop(self.sender);
        self.driver.await.expect("the driver does not panic");
    }
}

async fn tls(server: &Server, name: &str) -> Result<TlsStream<TcpStream>, native_tls::Error> {
    let ca = Certificate::from_pem(server.ca_pem().as_bytes()).expect("a valid certificate");
    let connector = native_tls::TlsConnector::builder()
        .add_root_certificate(ca)
        .build();
    let connector = TlsConnector::from(connector.expect("valid settings"));
    connector
        .connect(
            name,
            TcpStream::connect(server.addr())
                .await
                .expect("the server listens"),
        )
        .await
}

fn reset(tcp: TcpStream) {
    SockRef::from(&tcp)
        .set_linger(Some(Duration::ZERO))
        .expect("a socket takes SO_LINGER");
    drop(tcp);
}

async fn read_to_end(tcp: &mut TcpStream) -> Result<String, ErrorKind> {
    let mut bytes = Vec::new();
    let read = tcp
        .read_to_end(&mut bytes)
        .await
        .map_err(|error| error.kind());
    read.map(|_| String::from_utf8(bytes).expect("UTF-8"))
}

#[tokio::test]
async fn counts_follow_every_connection_and_request() {
    let server = Server::text("hello");
    assert_eq!(server.url("/a"), format!("http://{}/a", server.addr()));
    let mut first = Client::connect(server.addr()).await;
    let mut second = Client::connect(server.addr()).await;
    for _ in 0..3 {
        assert_eq!(first.text("/", "").await, "hello");
    }
    assert_eq!(second.text("/", "").await, "hello");
    let counts = server.counts();
    assert_eq!(
        (
            counts.accepted,
            counts.live,
            counts.closed(),
            counts.requests
        ),
        (2, 2, 0, 4)
    );

    first.close().await;
    server.wait_live(1).await;
    assert_eq!(server.closed(), 1);
    second.close().await;
    server.wait_closed(2).await;
    assert_eq!(
        (server.live(), server.clean_closes(), server.abrupt_closes()),
        (0, 2, 0)
    );
    assert_eq!(server.server_closes(), 0);
}

#[tokio::test]
async fn many_connections_are_counted_exactly() {
    let server = Server::text("hello");
    let mut clients = Vec::new();
    for _ in 0..200 {
        clients.push(
            TcpStream::connect(server.addr())
                .await
                .expect("the server listens"),
        );
    }
    server.wait_accepted(200).await;
    assert_eq!(server.live(), 200);
    drop(clients);
    server.wait_live(0).await;
    assert_eq!(
        (server.accepted(), server.closed(), server.clean_closes()),
        (200, 200, 200)
    );
}

#[tokio::test]
async fn a_reset_is_told_from_a_fin() {
    let server = Server::text("hello");
    let tcp = TcpStream::connect(server.addr())
        .await
        .expect("the server listens");
    server.wait_live(1).await;
    reset(tcp);
    server.wait_closed(1).await;
    assert_eq!((server.clean_closes(), server.abrupt_closes()), (0, 1));
}

#[tokio::test]
async fn a_client_that_leaves_cancels_the_handler() {
    let gate = Gate::new();
    let held = gate.clone();
    let server = Server::start(async move |_| {
        held.pass().await;
        text("too late")
    });
    let mut client = Client::connect(server.addr()).await;
    let request = tokio::spawn(async move { client.send("/", "").await.is_ok() });
    gate.wait_reached(1).await;
    request.abort();
    server.wait_live(0).await;
    assert_eq!((server.requests(), gate.reached()), (1, 1));
}

#[tokio::test]
async fn an_echo_shows_the_request() {
    let server = Server::echo();
    let mut client = Client::connect(server.addr()).await;
    assert_eq!(client.text("/", "one").await, "one");
    let response = client.send("/p?q=1", "two").await.expect("an answer");
    let header = |name: &str| response.headers()[name].to_str().expect("ASCII").to_owned();
    assert_eq!(header("x-method"), "POST");
    assert_eq!(header("x-uri"), "/p?q=1");
    assert_eq!(header("x-connection"), "0");
    assert_eq!(header("x-request-host"), "test");
    assert_eq!(
        response
            .into_body()
            .collect()
            .await
            .expect("a whole body")
            .to_bytes(),
        "two"
    );
}

#[tokio::test]
async fn a_channel_body_is_scripted_by_the_test() {
    let (sender, body) = channel_body();
    let server = Server::in_turn([respond(http::StatusCode::OK, body), status(204)]);
    let mut client = Client::connect(server.addr()).await;
    let mut body = client
        .send("/", "")
        .await
        .expect("a head before any chunk")
        .into_body();
    for chunk in ["one", "two"] {
        sender.send(chunk).await.expect("the server takes it");
        let frame = body.frame().await.expect("a frame").expect("no error");
        assert_eq!(frame.into_data().expect("data"), chunk);
    }
    drop(sender);
    assert!(body.frame().await.is_none());
    assert_eq!(client.send("/", "").await.expect("an answer").status(), 204);
    assert_eq!((server.accepted(), server.requests()), (1, 2));
}

#[tokio::test]
async fn a_channel_body_can_fail_and_sees_the_client_leave() {
    let ((failing, first), (abandoned, second)) = (channel_body(), channel_body());
    let answers = [first, second].map(|body| respond(http::StatusCode::OK, body));
    let server = Server::in_turn(answers);
    let mut client = Client::connect(server.addr()).await;
    let body = client.send("/", "").await.expect("a head").into_body();
    failing.fail("scripted").await.expect("the server takes it");
    assert!(body.collect().await.is_err());
    server.wait_live(0).await;

    let mut client = Client::connect(server.addr()).await;
    let body = client.send("/", "").await.expect("a head").into_body();
    assert!(!abandoned.is_dropped());
    drop((body, client));
    abandoned.dropped().await;
    server.wait_live(0).await;
}

#[tokio::test]
async fn a_handlers_panic_fails_every_wait_and_the_drop() {
    let server = Server::start(async |_| panic!("scripted"));
    let mut client = Client::connect(server.addr()).await;
    assert!(client.send("/", "").await.is_err());
    let wait = AssertUnwindSafe(server.wait_requests(1))
        .catch_unwind()
        .await;
    assert_panics_with(wait, "scripted");
    assert_panics_with(catch_unwind(AssertUnwindSafe(|| drop(server))), "scripted");
}

#[tokio::test]
async fn an_expected_panic_can_be_taken() {
    let server = Server::in_turn([]);
    let mut client = Client::connect(server.addr()).await;
    assert!(client.send("/x", "").await.is_err());
    let panic = server.tally().take_panic();
    assert_eq!(panic.as_deref(), Some("no answer left for POST /x"));
}

#[tokio::test]
async fn a_scripts_panic_fails_the_test() {
    let peer = RawPeer::start(async |_, _| panic!("scripted"));
    let mut tcp = TcpStream::connect(peer.addr())
        .await
        .expect("the peer listens");
    assert_eq!(read_to_end(&mut tcp).await, Ok(String::new()));
    assert_panics_with(catch_unwind(AssertUnwindSafe(|| drop(peer))), "scripted");
}

fn assert_panics_with(outcome: thread::Result<()>, reason: &str) {
    let panic = outcome.expect_err("a panic");
    let Some(message) = panic.downcast_ref::<String>() else {
        resume_unwind(panic)
    };
    assert!(
        message.ends_with(&format!("panicked: {reason}")),
        "{message}"
    );
}

#[tokio::test]
async fn the_server_runs_on_a_thread_named_after_the_test() {
    let (names, name) = mpsc::channel();
    let server = Server::start(async move |_| {
        names
            .send(thread::current().name().map(str::to_owned))
            .expect("the test listens");
        status(200)
    });
    Client::connect(server.addr())
        .await
        .send("/", "")
        .await
        .expect("an answer");
    let expected = "the_server_runs_on_a_thread_named_after_the_test/server";
    assert_eq!(name.recv().expect("one request").as_deref(), Some(expected));
}

#[tokio::test]
async fn a_closed_connection_is_live_until_the_client_closes_too() {
    let server = Server::text("hello");
    let mut tcp = TcpStream::connect(server.addr())
        .await
        .expect("the server listens");
    server.wait_live(1).await;
    server.close_all().await;
    assert_eq!(read_to_end(&mut tcp).await, Ok(String::new()));
    assert_eq!((server.live(), server.server_closes()), (1, 1));
    drop(tcp);
    server.wait_live(0).await;
    assert_eq!((server.clean_closes(), server.abrupt_closes()), (1, 0));
}

#[tokio::test]
async fn close_idle_lets_a_running_request_finish() {
    let gate = Gate::new();
    let held = gate.clone();
    let server = Server::start(async move |request| {
        if request.uri() == "/held" {
            held.pass().await;
        }
        text("done")
    });
    let mut idle = Client::connect(server.addr()).await;
    assert_eq!(idle.text("/", "").await, "done");
    let mut busy = Client::connect(server.addr()).await;
    let answer = tokio::spawn(async move { busy.text("/held", "").await });
    gate.wait_reached(1).await;
    server.close_idle();
    server.wait_server_closes(1).await;
    idle.close().await;
    server.wait_live(1).await;
    gate.open();
    assert_eq!(answer.await.expect("no panic"), "done");
    server.wait_live(0).await;
    assert_eq!(server.server_closes(), 2);
}

#[tokio::test]
async fn reset_all_cuts_every_connection() {
    let server = Server::text("hello");
    let mut clients = Vec::new();
    for _ in 0..2 {
        clients.push(
            TcpStream::connect(server.addr())
                .await
                .expect("the server listens"),
        );
    }
    server.wait_live(2).await;
    server.reset_all().await;
    for mut tcp in clients {
        assert_eq!(read_to_end(&mut tcp).await, Err(ErrorKind::ConnectionReset));
    }
    server.wait_live(0).await;
    assert_eq!(
        (
            server.server_closes(),
            server.clean_closes(),
            server.abrupt_closes()
        ),
        (2, 0, 0)
    );
}

#[tokio::test]
async fn a_server_that_refuses_goes_on_with_its_connections() {
    let server = Server::text("hello");
    let mut client = Client::connect(server.addr()).await;
    assert_eq!(client.text("/", "").await, "hello");
    server.refuse_new().await;
    assert!(TcpStream::connect(server.addr()).await.is_err());
    assert_eq!(client.text("/", "").await, "hello");
    server.stop();
    assert!(client.send("/", "").await.is_err());
    assert_eq!((server.accepted(), server.live()), (1, 0));
}

#[tokio::test]
async fn a_stopped_server_answers_waits_with_its_counts() {
    let server = Server::text("hello");
    server.stop();
    let tally = server.tally().clone();
    // Nothing else is going on, so that the clock may jump to the end of the wait.
    tokio::time::pause();
    let wait = tokio::spawn(async move { tally.wait("miracle".into(), |_| false).await });
    let panic = wait.await.expect_err("a panic").into_panic();
    let message = panic.downcast_ref::<String>().expect("a message");
    assert!(
        message.contains("no miracle at tests/support_server.rs:"),
        "{message}"
    );
    assert!(message.contains("accepted: 0"), "{message}");
}

#[tokio::test]
async fn a_tls_client_that_sends_close_notify_ends_cleanly() {
    let server = Server::start_tls(async |request| server::echo(request));
    let url = server.url_by("localhost", "/");
    assert_eq!(url, format!("https://localhost:{}/", server.port()));
    for name in ["localhost", "127.0.0.1"] {
        let mut client = Client::over(tls(&server, name).await.expect("a trusted server")).await;
        assert_eq!(client.text("/", "hello").await, "hello");
        assert_eq!(server.live(), 1);
        client.close().await;
        server.wait_live(0).await;
    }
    let counts = server.counts();
    assert_eq!((counts.handshakes, counts.failed_handshakes), (2, 0));
    assert_eq!(
        (
            counts.clean_closes,
            counts.abrupt_closes,
            counts.server_closes
        ),
        (2, 0, 0)
    );
}

#[tokio::test]
async fn a_tls_client_that_leaves_without_close_notify_is_abrupt() {
    let server = Server::start_tls(async |_| text("hello"));
    // In the idle connection, with FIN and with RST.
    drop(tls(&server, "localhost").await.expect("a trusted server"));
    server.wait_closed(1).await;
    assert_eq!((server.clean_closes(), server.abrupt_closes()), (0, 1));
    let stream = tls(&server, "localhost").await.expect("a trusted server");
    server.wait_handshakes(2).await;
    let tcp = stream.get_ref().get_ref().get_ref();
    SockRef::from(tcp)
        .set_linger(Some(Duration::ZERO))
        .expect("a socket takes SO_LINGER");
    drop(stream);
    server.wait_closed(2).await;
    assert_eq!((server.clean_closes(), server.abrupt_closes()), (0, 2));
    // After an exchange: dropping the driver drops the socket.
    let mut client = Client::over(tls(&server, "localhost").await.expect("a trusted server")).await;
    assert_eq!(client.text("/", "").await, "hello");
    client.driver.abort();
    server.wait_closed(3).await;
    assert_eq!(
        (
            server.clean_closes(),
            server.abrupt_closes(),
            server.handshakes()
        ),
        (0, 3, 3)
    );
}

#[tokio::test]
async fn close_all_sends_close_notify_and_fin_over_tls() {
    let server = Server::start_tls(async |_| text("hello"));
    let mut stream = tls(&server, "localhost").await.expect("a trusted server");
    server.wait_handshakes(1).await;
    server.close_all().await;
    // Without `close_notify` this would be an error.
    assert_eq!(stream.read(&mut [0]).await.expect("close_notify"), 0);
    assert_eq!(
        stream
            .get_mut()
            .get_mut()
            .get_mut()
            .read(&mut [0])
            .await
            .expect("FIN"),
        0
    );
    assert_eq!(server.live(), 1);
    stream.shutdown().await.expect("close_notify goes out");
    drop(stream);
    server.wait_live(0).await;
    assert_eq!(
        (
            server.clean_closes(),
            server.abrupt_closes(),
            server.server_closes()
        ),
        (1, 0, 1)
    );
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_nothing_up() {
    let answer = async |_: Request<Incoming>| text(vec![0; 32 << 20]);
    for server in [Server::start(answer), Server::start_tls(answer)] {
        let mut clients = Vec::new();
        for _ in 0..2 {
            let mut client = if server.url("/").starts_with("https") {
                Client::over(tls(&server, "localhost").await.expect("a trusted server")).await
            } else {
                Client::connect(server.addr()).await
            };
            let response = client.send("/", "").await.expect("an answer");
            clients.push((client, response));
        }
        // The first leaves in the middle of the body, the second is closed by the server.
        let (first, response) = clients.remove(0);
        first.driver.abort();
        drop(response);
        server.wait_live(1).await;
        assert_eq!((server.clean_closes(), server.server_closes()), (0, 0));
        assert_eq!(server.abrupt_closes(), 1);
        server.close_all().await;
        assert_eq!((server.live(), server.server_closes()), (1, 1));
        drop(clients);
        server.wait_live(0).await;
    }
}

#[tokio::test]
async fn a_failed_handshake_is_counted() {
    let server = Server::start_tls_for(&["other.test"], async |_| text("hello"));
    tls(&server, "localhost")
        .await
        .expect_err("the certificate is for another name");
    server.wait_closed(1).await;
    assert_eq!((server.handshakes(), server.failed_handshakes()), (0, 1));
    let mut plain = TcpStream::connect(server.addr())
        .await
        .expect("the server listens");
    plain
        .write_all(b"GET / HTTP/1.1\r\n\r\n")
        .await
        .expect("the server reads");
    let mut answer = Vec::new();
    drop(plain.read_to_end(&mut answer).await);
    assert_eq!((server.failed_handshakes(), server.live()), (2, 1));
    drop(plain);
    server.wait_live(0).await;
    assert_eq!(server.requests(), 0);
}

#[tokio::test]
async fn a_raw_peer_follows_its_script_step_by_step() {
    let gate = Gate::new();
    let held = gate.clone();
    let peer = RawPeer::start(async move |conn, number| {
        assert_eq!(number, 0);
        assert_eq!(
            conn.read_request().await,
            b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"
        );
        conn.write("HTTP/1.1 200 OK\r\n").await;
        conn.hold_until(held.pass()).await;
        assert_eq!(
            conn.read_request().await,
            b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"
        );
        assert!(conn.write("end").await);
        conn.close();
        assert_eq!(conn.wait_eof().await, End::Clean);
        assert!(conn.read_request().await.is_empty());
    });
    let mut tcp = TcpStream::connect(peer.addr())
        .await
        .expect("the peer listens");
    let first = b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc".as_slice();
    let second =
        b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n".as_slice();
    tcp.write_all(first).await.expect("the peer reads");
    gate.wait_reached(1).await;
    assert_eq!((peer.received(0), peer.requests()), (first.to_vec(), 1));
    tcp.write_all(second).await.expect("the peer reads");
    gate.open();
    assert_eq!(
        read_to_end(&mut tcp).await.as_deref(),
        Ok("HTTP/1.1 200 OK\r\nend")
    );
    assert_eq!(
        (peer.received(0), peer.requests()),
        ([first, second].concat(), 2)
    );
    assert_eq!(
        (peer.accepted(), peer.live(), peer.server_closes()),
        (1, 1, 1)
    );
    drop(tcp);
    peer.wait_live(0).await;
    assert_eq!((peer.closed(), peer.clean_closes()), (1, 1));
}

#[tokio::test]
async fn a_raw_peer_can_reset_and_tells_a_reset() {
    let peer = RawPeer::start(async |conn, number| {
        if number == 0 {
            conn.read_head().await;
            conn.reset();
            assert!(!conn.write("lost").await);
        } else {
            assert_eq!(conn.wait_eof().await, End::Abrupt);
        }
    });
    let mut tcp = TcpStream::connect(peer.addr())
        .await
        .expect("the peer listens");
    tcp.write_all(b"GET / HTTP/1.1\r\n\r\n")
        .await
        .expect("the peer reads");
    assert_eq!(read_to_end(&mut tcp).await, Err(ErrorKind::ConnectionReset));
    peer.wait_live(0).await;
    let tcp = TcpStream::connect(peer.addr())
        .await
        .expect("the peer listens");
    peer.wait_accepted(2).await;
    reset(tcp);
    peer.wait_closed(2).await;
    assert_eq!(
        (
            peer.server_closes(),
            peer.abrupt_closes(),
            peer.clean_closes()
        ),
        (1, 1, 0)
    );
}

#[tokio::test]
async fn a_raw_peer_answers_a_real_client() {
    let peer = RawPeer::answering(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
    let mut client = Client::connect(peer.addr()).await;
    assert_eq!(client.text("/", "body").await, "ok");
    assert_eq!(client.text("/", "").await, "ok");
    assert_eq!((peer.accepted(), peer.requests()), (1, 2));
    client.close().await;
    peer.wait_live(0).await;
}

#[tokio::test]
async fn a_silent_peer_ends_with_its_test() {
    let peer = RawPeer::silent();
    let mut tcp = TcpStream::connect(peer.addr())
        .await
        .expect("the peer listens");
    peer.wait_live(1).await;
    assert_eq!(peer.url("/"), format!("http://{}/", peer.addr()));
    drop(peer);
    assert_eq!(read_to_end(&mut tcp).await, Ok(String::new()));
}

#[tokio::test]
async fn a_gate_lets_one_arrival_pass_at_each_opening() {
    let gate = Gate::new();
    gate.open();
    gate.pass().await;
    let mut second = Box::pin(gate.pass());
    let mut third = Box::pin(gate.pass());
    assert!(second.as_mut().now_or_never().is_none());
    assert!(third.as_mut().now_or_never().is_none());
    gate.open();
    assert!(third.as_mut().now_or_never().is_none());
    second.await;
    gate.open_for_good();
    third.await;
    gate.pass().await;
    assert_eq!(gate.reached(), 4);
}
