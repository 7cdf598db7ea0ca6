//! What one GET costs its caller: instructions and allocations, beside a bare hyper connection and
//! hyper-util's client.
//!
//! `cargo bench --bench instructions` prints the table. Instructions are counted by callgrind
//! (`valgrind` must be installed) in a process of their own, as the difference of two runs of
//! different length, so that start and end do not count. The server is another process.
//!
//! Fails if `with_session` costs more than [`WITH_SESSION`] over the same call with a plain session,
//! or allocates.

#![allow(
    clippy::cast_precision_loss,
    reason = "the counts are far below 2^52, and only their ratios are shown"
)]

mod support;

use std::future::Future;
use std::io::{BufRead, BufReader};
use std::pin::Pin;
use std::process::{Child, Command, Stdio};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper_session::{Result, Session, SessionHolder};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::{TokioExecutor, TokioIo};
use support::{BODY, current_thread, serve};
use tokio::net::TcpStream;

const SHORT: u64 = 500;
const LONG: u64 = 1_500;

/// The instructions that `with_session` may cost.
const WITH_SESSION: u64 = 100;

/// By how many bytes the environment shifts the stack: what a copy costs depends on where it is.
const SHIFTS: [usize; 4] = [0, 16, 32, 48];

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
    let measured = CASES.map(|case| {
        let instructions = SHIFTS.map(|shift| server.instructions(case, shift));
        let allocations = server.allocations(case);
        let a_request = median(instructions);
        let ratio = a_request as f64 / *bare.get_or_insert(a_request) as f64;
        println!("{case:14} {a_request:18} {ratio:8.3} {allocations:16.2}");
        (instructions, allocations)
    });
    server.process.kill().expect("the server runs");

    let [.., (session, plain), (with_session, held)] = measured;
    let differences =
        std::array::from_fn(|shift| with_session[shift].saturating_sub(session[shift]));
    let difference = median(differences);
    println!("with_session over session: {difference} instructions, of {differences:?}");
    assert!(difference <= WITH_SESSION, "at most {WITH_SESSION}");
    assert!(held - plain < 0.01, "with_session allocates");
}

fn median(mut measured: [u64; SHIFTS.len()]) -> u64 {
    measured.sort_unstable();
    measured[SHIFTS.len() / 2 - 1].midpoint(measured[SHIFTS.len() / 2])
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

    /// What a request costs.
    fn instructions(&self, case: &str, shift: usize) -> u64 {
        let count = |length: u64| -> u64 {
            let ran = Command::new("valgrind")
                .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
                .arg(std::env::current_exe().expect("this program's path"))
                .args(["run", case, &length.to_string(), &self.url])
                .env("SHIFT", "_".repeat(shift))
                .output()
                .expect("valgrind is installed");
            let report = String::from_utf8_lossy(&ran.stderr);
            let collected = report
                .lines()
                .find_map(|line| line.split_once("Collected : "));
            let (_, number) = collected.unwrap_or_else(|| panic!("callgrind's count in: {report}"));
            number.trim().parse().expect("a number")
        };
        (count(LONG) - count(SHORT)) / (LONG - SHORT)
    }

    fn allocations(&self, case: &str) -> f64 {
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
    // A box for each: within one future they would be compiled into one function, and share its registers.
    let case: Pin<Box<dyn Future<Output = ()>>> = match case {
        "bare" => Box::pin(bare(count, url)),
        "hyper-util" => Box::pin(legacy(count, url)),
        "session" => Box::pin(session(count, url)),
        "with_session" => Box::pin(with_session(count, url)),
        other => panic!("no case {other}"),
    };
    let counted = allocation_counter::measure(|| current_thread().block_on(case));
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
        get(session.clone(), url, Line).await.expect("an answer");
    }
}

async fn with_session(count: u64, url: &str) {
    let holder: SessionHolder = SessionHolder::builder().build().expect("a holder");
    holder.start_session().await.expect("a session");
    for _ in 0..count {
        let got = holder.with_session(|session| get(session, url, Line));
        got.await.expect("an answer");
    }
}

/// Begins a cache line. In a future, it has that begin one too, wherever it is embedded: the copies
/// within cost the same then, which else differ by 40 instructions with the address.
#[repr(align(64))]
struct Line;

async fn get(session: Session, url: &str, _: Line) -> Result<()> {
    let response = session.get(url).send().await?;
    assert_eq!(response.bytes().await?, BODY);
    Ok(())
}
