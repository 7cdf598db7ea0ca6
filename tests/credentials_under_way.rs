//! Credentials that are being asked for while a runtime rests or ends, or a session does.
#![allow(clippy::unwrap_used, reason = "a test that fails here has its line")]

mod support;

use std::pin::pin;
use std::time::Duration;

use hyper_session::{Credentials, Result, Session, SessionBuilder, SessionHolder};
use tokio::runtime::{Builder, Runtime};

use support::accounts::{Accounts, assert_accounts};
use support::books::reach;
use support::gate::Gate;
use support::outcome::{assert_waits, drive_until};
use support::server::{Server, text};

/// A server that gives a token when the gate lets the request for it pass.
struct Service {
    server: Server,
    gate: Gate,
}

impl Service {
    fn start() -> Self {
        let gate = Gate::new();
        let turn = gate.clone();
        let server = Server::start(async move |request| {
            if request.uri().path() == "/token" {
                turn.pass().await;
            }
            text("t")
        });
        Self { server, gate }
    }

    fn builder(&self) -> SessionBuilder {
        let builder = Session::builder().base_url(self.server.url("/"));
        builder.credentials(|session: Session| async move { fetch(session).await })
    }

    /// Leaves a request while its credentials are asked for.
    async fn ask(&self, session: &Session) {
        let mut request = pin!(session.get("/").send());
        let asked = self.gate.reached() + 1;
        drive_until(request.as_mut(), self.gate.wait_reached(asked)).await;
    }
}

async fn fetch(session: Session) -> Result<Credentials> {
    let answer = session.post("token").send().await?;
    Credentials::bearer(answer.text().await?)
}

fn runtime() -> Runtime {
    let mut builder = Builder::new_current_thread();
    builder.enable_all().build().unwrap()
}

#[test]
fn a_runtime_that_rests_or_ends_keeps_no_request_of_others_waiting() {
    for ends in [false, true] {
        let service = Service::start();
        let mut first = Some(runtime());
        let session = first.as_ref().unwrap().block_on(async {
            let session = service.builder().open().await.unwrap();
            service.ask(&session).await;
            session
        });
        runtime().block_on(async {
            let mut request = pin!(session.get("/").send());
            assert_waits(request.as_mut()).await;
            if let Some(ending) = first.take_if(|_| ends) {
                ending.shutdown_background();
            }
            drive_until(request.as_mut(), service.gate.wait_reached(2)).await;
            // One at a time.
            assert_accounts(&session.stats(), Accounts::busy(1));
            service.gate.open_for_good();
            request.await.unwrap().bytes().await.unwrap();
            assert_eq!(service.gate.reached(), 2);
            assert_accounts(&session.stats(), Accounts::idle(1));
        });
        drop(first);
    }
}

#[test]
fn a_close_does_not_wait_for_a_runtime_that_rests() {
    let service = Service::start();
    let first = runtime();
    let session = first.block_on(async {
        let session = service.builder().open().await.unwrap();
        service.ask(&session).await;
        session
    });
    let report = runtime().block_on(session.close());
    assert_eq!((report.severed, report.leases_left), (0, 0));
    assert_accounts(&session.stats(), Accounts::NONE);
    drop(first);
}

#[tokio::test]
async fn a_session_ends_with_its_last_handle() -> Result<()> {
    let service = Service::start();
    let session = service.builder().open().await?;
    service.ask(&session).await;
    assert_eq!(service.server.live(), 1);
    drop(session);
    service.server.wait_live(0).await;

    let holder: SessionHolder = service.builder().build()?;
    let scope = holder
        .in_session(async |holder: &SessionHolder| {
            service.ask(&holder.session()?).await;
            Ok(())
        })
        .await;
    drop(holder);
    service.server.wait_live(0).await;
    scope
}

#[tokio::test]
async fn who_asks_for_a_session_that_is_cut_does_not_fail_for_the_next() -> Result<()> {
    let service = Service::start();
    let holder: SessionHolder = service.builder().build()?;
    holder.start_session().await?;
    let first = holder.session()?;
    let mut cut = pin!(first.get("/").send());
    drive_until(cut.as_mut(), service.gate.wait_reached(1)).await;
    holder.close_session_within(Duration::ZERO).await;
    assert_accounts(&first.stats(), Accounts::NONE);
    holder.start_session().await?;
    service.gate.open_for_good();
    holder.get("/").send().await?.bytes().await?;
    reach(&holder.session()?, Accounts::idle(1)).await;
    holder.close_session().await;
    service.server.wait_live(0).await;
    Ok(())
}
