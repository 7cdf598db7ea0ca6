//! What a request does not use costs it nothing: counted in allocations, which no load of the machine changes.
#![allow(clippy::unwrap_used, reason = "a test that fails here has its line")]

mod support;

use std::time::Duration;

use allocation_counter::measure;
use hyper_session::{Result, RetryPolicy, Session, SessionBuilder};
use tokio::runtime::Builder;

use support::server::Server;

/// Allocations of one GET on a connection of the pool, its body read.
fn allocations(builder: SessionBuilder, url: &str) -> u64 {
    const REQUESTS: u64 = 50;
    let mut runtime = Builder::new_current_thread();
    let runtime = runtime.enable_all().build().unwrap();
    let session = runtime.block_on(builder.open()).unwrap();
    let requests = async |count| -> Result<()> {
        for _ in 0..count {
            session.get(url).send().await?.bytes().await?;
        }
        Ok(())
    };
    runtime.block_on(requests(5)).unwrap();
    let counted = measure(|| runtime.block_on(requests(REQUESTS)).unwrap());
    counted.count_total / REQUESTS
}

#[test]
fn what_a_request_does_not_use_costs_it_nothing() {
    let server = Server::text("hello, world!");
    let url = server.url("/");
    // Eight are hyper's own.
    assert!(allocations(Session::builder(), &url) <= 9);
    let limited = Session::builder()
        .timeout(Duration::from_secs(60))
        .pool_max_per_origin(8)
        .pool_max_requests(1_000_000)
        .raise_for_status(true);
    assert!(allocations(limited, &url) <= 9);
    let elsewhere = Session::builder()
        .base_url("http://api.test/")
        .trusted_origins(["http://other.test"]);
    assert!(allocations(elsewhere, &url) <= 9);
    // One each, for what they keep.
    let tried = Session::builder().retry(RetryPolicy::limited(3));
    assert!(allocations(tried, &url) <= 10);
    let not_for_this = Session::builder()
        .base_url("http://api.test/")
        .bearer_auth("token");
    assert!(allocations(not_for_this, &url) <= 10);
}
