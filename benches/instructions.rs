//! What one GET costs its caller: instructions and allocations, beside a bare hyper connection and
//! hyper-util's client.
//!
//! `cargo bench --bench instructions` prints the table. Instructions are counted by callgrind
//! (`valgrind` must be installed) in a process of their own, as the difference of two runs of
//! different length, so that start and end do not count. The server is another process.

#![allow(
    clippy::cast_precision_loss,
    reason = "the counts are far below 2^52, and only their ratios are shown"
)]

mod support;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper_session::{Result, Session, SessionHolder};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioIo};
use support::{BODY, current_thread, serve};
use tokio::net::TcpStream;

const SHORT: u64 = 1_000;
const LONG: u64 = 3_000;

/// What is measured, by name; the first is what the others are compared with.
const CASES: [&str; 4] = ["bare", "hyper-util", "session", "with_session"];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["serve"] => {
            println!("{}", serve());
            loop {
                std::thread::park();
            }
        }
        ["run", case, count, url] => {
            let count = count.parse().expect("a number of requests");
            println!("{}", run(case, count, url));
        }
        _ => print_table(),
    }
}

fn print_table() {
    let mut server = Server::start();
    println!(
        "{:14} {:>18} {:>8} {:>16}",
        "a GET by &str", "instructions", "x bare", "allocations"
    );
    let mut bare = None;
    for case in CASES {
        let instructions = server.instructions(case, LONG) - server.instructions(case, SHORT);
        let a_request = instructions / (LONG - SHORT);
        let allocations = server.allocations(case);
        let ratio = a_request as f64 / *bare.get_or_insert(a_request) as f64;
        println!("{case:14} {a_request:18} {ratio:8.3} {allocations:16.2}");
    }
    server.process.kill().expect("the server runs");
}

struct Server {
    process: Child,
    url: String,
}

impl Server {
    fn start() -> Self {
        let mut process = this_program()
            .arg("serve")
            .stdout(Stdio::piped())
            .spawn()
            .expect("a process");
        let mut address = String::new();
        let stdout = process.stdout.as_mut().expect("it is piped");
        BufReader::new(stdout)
            .read_line(&mut address)
            .expect("its address");
        let url = format!("http://{}/", address.trim());
        Self { process, url }
    }

    fn instructions(&mut self, case: &str, count: u64) -> u64 {
        let ran = Command::new("valgrind")
            .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
            .arg(std::env::current_exe().expect("this program's path"))
            .args(["run", case, &count.to_string(), &self.url])
            .output()
            .expect("valgrind is installed");
        let report = String::from_utf8_lossy(&ran.stderr);
        let collected = report
            .lines()
            .find_map(|line| line.split_once("Collected : "));
        let (_, number) = collected.unwrap_or_else(|| panic!("callgrind's count in: {report}"));
        number.trim().parse().expect("a number")
    }

    fn allocations(&mut self, case: &str) -> f64 {
        let count = |length: u64| -> u64 {
            let ran = this_program()
                .args(["run", case, &length.to_string(), &self.url])
                .output()
                .expect("this program runs");
            String::from_utf8_lossy(&ran.stdout)
                .trim()
                .parse()
                .expect("a number")
        };
        (count(LONG) - count(SHORT)) as f64 / (LONG - SHORT) as f64
    }
}

fn this_program() -> Command {
    Command::new(std::env::current_exe().expect("this program's path"))
}

/// Makes `count` requests one after the other. Returns how many allocations that took.
fn run(case: &str, count: u64, url: &str) -> u64 {
    let counted = allocation_counter::measure(|| {
        current_thread().block_on(async {
            match case {
                "bare" => bare(count, url).await,
                "hyper-util" => legacy(count, url).await,
                "session" => session(count, url).await,
                "with_session" => with_session(count, url).await,
                other => panic!("no case {other}"),
            }
        });
    });
    counted.count_total
}

async fn bare(count: u64, url: &str) {
    let uri: http::Uri = url.parse().expect("a URI");
    let authority = uri.authority().expect("a host").as_str();
    let stream = TcpStream::connect(authority).await.expect("a connection");
    stream.set_nodelay(true).expect("a socket option");
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .expect("a handshake");
    tokio::spawn(connection);
    for _ in 0..count {
        let request = Request::get("/")
            .header("host", authority)
            .body(Empty::<Bytes>::new());
        sender.ready().await.expect("an open connection");
        let response = sender
            .send_request(request.expect("a request"))
            .await
            .expect("an answer");
        assert_eq!(
            response
                .into_body()
                .collect()
                .await
                .expect("a body")
                .to_bytes(),
            BODY
        );
    }
}

async fn legacy(count: u64, url: &str) {
    let mut http = HttpConnector::new();
    http.set_nodelay(true);
    let client = Client::builder(TokioExecutor::new()).build::<_, Empty<Bytes>>(http);
    for _ in 0..count {
        let request = Request::get(url).body(Empty::new()).expect("a request");
        let response = client.request(request).await.expect("an answer");
        assert_eq!(
            response
                .into_body()
                .collect()
                .await
                .expect("a body")
                .to_bytes(),
            BODY
        );
    }
}

async fn session(count: u64, url: &str) {
    let session = Session::builder().open().await.expect("a session");
    for _ in 0..count {
        get(session.clone(), url).await.expect("an answer");
    }
}

async fn with_session(count: u64, url: &str) {
    let holder: SessionHolder = SessionHolder::builder().build().expect("a holder");
    holder.start_session().await.expect("a session");
    for _ in 0..count {
        let got = holder.with_session(|session| get(session, url));
        got.await.expect("an answer");
    }
}

async fn get(session: Session, url: &str) -> Result<()> {
    let response = session.get(url).send().await?;
    assert_eq!(response.bytes().await?, BODY);
    Ok(())
}
