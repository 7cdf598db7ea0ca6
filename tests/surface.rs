//! What users write around a holder: it compiles, and does what it says.

mod support;

use std::error::Error as StdError;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use bytes::Bytes;
use futures::future::try_join_all;
use futures::{Stream, StreamExt, TryStreamExt, stream};
use hyper_session::{
    BoxConnector, BoxError, Connector, DefaultConnector, ErrorKind, Response, Result, Session,
    SessionBuilder, SessionContainer, SessionHolder, SessionScope,
};
use support::server::{Server, status, text};
use tokio::net::TcpListener;

/// A private field, the trait, and a `get` of its own that has nothing to do with URLs.
struct Users {
    session: SessionHolder,
}

impl SessionContainer for Users {
    fn session_holder(&self) -> &SessionHolder {
        &self.session
    }
}

impl Users {
    fn new(server: &Server) -> Result<Self> {
        let session = SessionHolder::builder()
            .base_url(server.url("/v1"))
            .raise_for_status(true)
            .build()?;
        Ok(Self { session })
    }

    async fn get(&self, id: u32) -> Result<String> {
        self.with_session(
            |s| async move { s.get(format!("/users/{id}")).send().await?.text().await },
        )
        .await
    }

    /// Borrows nothing: the stream may outlive the container.
    fn dump(&self, path: &'static str) -> impl Stream<Item = Result<Bytes>> + use<> {
        self.stream_with_session(
            move |s| async move { Ok(s.get(path).send().await?.bytes_stream()) },
        )
    }
}

/// Answers with the path of the request.
fn paths() -> Server {
    Server::start(async |request| text(request.uri().path().to_owned()))
}

async fn path_of(session: Session, url: &str) -> Result<String> {
    session.get(url).send().await?.text().await
}

async fn assert_closed(holder: &SessionHolder<impl Connector>, server: &Server) {
    let report = holder.close_session().await;
    assert_eq!(
        (report.stats.open, report.stats.exchanges),
        (0, 0),
        "{report:?}"
    );
    server.wait_live(0).await;
}

#[tokio::test]
async fn a_closure_may_be_a_move_block_or_an_async_closure_on_holder_and_trait() -> Result<()> {
    let server = paths();
    let users = Users::new(&server)?;
    users.start_session().await?;
    let url = String::from("/borrowed");

    let block = users
        .session
        .with_session(|s| async move { path_of(s, "/block").await });
    assert_eq!(block.await?, "/v1/block");
    let borrowing = users.session.with_session(async |s| path_of(s, &url).await);
    assert_eq!(borrowing.await?, "/v1/borrowed");
    let typed = users
        .session
        .with_session(async |s: Session| path_of(s, &url).await);
    assert_eq!(typed.await?, "/v1/borrowed");
    let moving = url.clone();
    let moving = users
        .session
        .with_session(async move |s| path_of(s, &moving).await);
    assert_eq!(moving.await?, "/v1/borrowed");

    let block = users.with_session(|s| async move { path_of(s, "/block").await });
    assert_eq!(block.await?, "/v1/block");
    let borrowing = users.with_session(async |s| path_of(s, &url).await);
    assert_eq!(borrowing.await?, "/v1/borrowed");
    let in_scope = users.in_session(async |users| users.get(1).await);
    assert_eq!(in_scope.await?, "/v1/users/1");
    let in_scope = users
        .session
        .in_session(async |holder| holder.get("/scope").send().await?.text().await);
    assert_eq!(in_scope.await?, "/v1/scope");

    assert_eq!((server.accepted(), server.requests()), (1, 8));
    assert_closed(&users.session, &server).await;
    Ok(())
}

#[tokio::test]
async fn a_function_may_be_given_instead_of_a_closure() -> Result<()> {
    async fn home(session: Session) -> Result<String> {
        path_of(session, "/home").await
    }
    let server = paths();
    let users = Users::new(&server)?;
    assert_eq!(users.session.with_session(home).await?, "/v1/home");
    assert_eq!(users.with_session(home).await?, "/v1/home");
    assert_eq!(users.stats().one_shots, 2);
    server.wait_live(0).await;
    Ok(())
}

#[tokio::test]
async fn a_stream_from_the_trait_outlives_its_container_and_ends_its_one_shot() -> Result<()> {
    let server = paths();
    let users = Users::new(&server)?;
    let dump = users.dump("/dump");
    drop(users);
    let parts = dump.map_ok(|part| part.to_vec()).try_concat().await?;
    assert_eq!(parts, b"/v1/dump");
    server.wait_live(0).await;
    assert_eq!(server.accepted(), 1);
    Ok(())
}

#[tokio::test]
async fn a_stream_may_come_from_an_async_closure_and_have_items_of_any_kind() -> Result<()> {
    let server = paths();
    let users = Users::new(&server)?;
    users.start_session().await?;
    let pages = ["/1", "/2", "/3"];
    let stream = users.stream_with_session(async |s: Session| {
        Ok(stream::iter(pages).then(move |page| {
            let s = s.clone();
            async move { path_of(s, page).await }
        }))
    });
    let texts: Vec<String> = stream.try_collect().await?;
    assert_eq!(texts, ["/v1/1", "/v1/2", "/v1/3"]);
    assert_eq!(server.accepted(), 1);
    assert_closed(&users.session, &server).await;
    Ok(())
}

#[tokio::test]
async fn all_of_it_can_be_spawned_with_a_container_of_known_type() -> Result<()> {
    let server = paths();
    let users = Arc::new(Users::new(&server)?);
    let spawned = tokio::spawn({
        let users = Arc::clone(&users);
        async move {
            users.start_session().await?;
            let one = users
                .with_session(|s| async move { path_of(s, "/one").await })
                .await?;
            let two = users
                .with_session(async |s| path_of(s, "/two").await)
                .await?;
            let ids = users
                .in_session(
                    |users| async move { try_join_all([3, 4].map(|id| users.get(id))).await },
                )
                .await?;
            let five: Vec<Bytes> = users.dump("/five").try_collect().await?;
            let scope = users.enter_session().await?;
            let six = path_of(scope.clone(), "/six").await?;
            drop(scope);
            let seven = SessionContainer::get(&*users, "/seven")
                .send()
                .await?
                .text()
                .await?;
            users.close_session().await;
            Ok::<_, hyper_session::Error>((one, two, ids, five.concat(), six, seven))
        }
    });
    let (one, two, ids, five, six, seven) = spawned.await.expect("no panic")?;
    assert_eq!(
        [one, two, six, seven],
        ["/v1/one", "/v1/two", "/v1/six", "/v1/seven"]
    );
    assert_eq!(ids, ["/v1/users/3", "/v1/users/4"]);
    assert_eq!(five, b"/v1/five");
    server.wait_live(0).await;
    Ok(())
}

#[tokio::test]
async fn an_axum_handler_calls_a_container_that_is_shared_as_state() -> Result<()> {
    // `get(id)` is the container's own, though the trait has a `get(url)`.
    async fn user(
        State(users): State<Arc<Users>>,
        Path(id): Path<u32>,
    ) -> Result<String, StatusCode> {
        users.get(id).await.map_err(|_| StatusCode::BAD_GATEWAY)
    }
    async fn user_by_state(users: State<Arc<Users>>) -> Result<String, StatusCode> {
        users.get(7).await.map_err(|_| StatusCode::BAD_GATEWAY)
    }
    async fn by_closure(State(users): State<Arc<Users>>) -> Result<String, StatusCode> {
        let called = users.with_session(|s| async move { path_of(s, "/closure").await });
        called.await.map_err(|_| StatusCode::BAD_GATEWAY)
    }
    async fn stream_on(State(users): State<Arc<Users>>) -> axum::body::Body {
        axum::body::Body::from_stream(users.dump("/dump"))
    }

    let upstream = paths();
    let users = Arc::new(Users::new(&upstream)?);
    users.start_session().await?;
    let app = axum::Router::new()
        .route("/users/{id}", get(user))
        .route("/state", get(user_by_state))
        .route("/closure", get(by_closure))
        .route("/stream", get(stream_on))
        .with_state(Arc::clone(&users));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let addr = listener.local_addr().expect("a bound listener");
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = axum::serve(listener, app).with_graceful_shutdown(async { drop(stopped.await) });
    let serving = tokio::spawn(async move { serving.await });

    let front = Session::builder()
        .base_url(format!("http://{addr}"))
        .open()
        .await?;
    for (path, answer) in [
        ("/users/42", "/v1/users/42"),
        ("/state", "/v1/users/7"),
        ("/closure", "/v1/closure"),
        ("/stream", "/v1/dump"),
    ] {
        assert_eq!(path_of(front.clone(), path).await?, answer);
    }
    assert_eq!((upstream.accepted(), upstream.requests()), (1, 4));
    assert_eq!(front.close().await.stats.opened, 1);
    stop.send(()).expect("the server is waiting");
    serving.await.expect("no panic").expect("a clean shutdown");
    assert_closed(&users.session, &upstream).await;
    Ok(())
}

/// As thiserror would write it.
#[derive(Debug)]
enum ApiError {
    Http(hyper_session::Error),
    NoSuchUser(u32),
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(_) => f.write_str("the users service failed"),
            Self::NoSuchUser(id) => write!(f, "no user {id}"),
        }
    }
}

impl StdError for ApiError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Http(error) => Some(error),
            Self::NoSuchUser(_) => None,
        }
    }
}

impl From<hyper_session::Error> for ApiError {
    fn from(error: hyper_session::Error) -> Self {
        Self::Http(error)
    }
}

/// As anyhow's: it takes any error, and is none itself.
#[derive(Debug)]
struct Anyhow(BoxError);

impl<E: StdError + Send + Sync + 'static> From<E> for Anyhow {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

#[tokio::test]
async fn a_closure_may_fail_with_the_callers_own_error() -> Result<()> {
    async fn find(users: &Users, id: u32) -> Result<String, ApiError> {
        users
            .with_session(|s| async move {
                let found = s
                    .get(format!("/users/{id}"))
                    .raise_for_status(false)
                    .send()
                    .await?;
                if found.status() == 404 {
                    return Err(ApiError::NoSuchUser(id));
                }
                Ok(found.text().await?)
            })
            .await
    }
    let server = Server::in_turn([text("Ada"), status(404)]);
    let users = Users::new(&server)?;
    users.start_session().await?;
    assert_eq!(find(&users, 1).await.expect("a user"), "Ada");
    assert!(matches!(
        find(&users, 2).await,
        Err(ApiError::NoSuchUser(2))
    ));
    server.close_all().await;
    server.refuse_new().await;
    let failed = find(&users, 3).await.expect_err("nobody listens");
    let ApiError::Http(cause) = &failed else {
        panic!("{failed:?}")
    };
    assert_eq!(cause.kind(), ErrorKind::Connect, "{cause:?}");
    assert_closed(&users.session, &server).await;

    // Also for what goes wrong before the closure runs.
    let refusing: SessionHolder = SessionHolder::builder()
        .when_closed(hyper_session::WhenClosed::Refuse)
        .build()?;
    let refused = refusing
        .with_session(|_| async { Ok::<(), ApiError>(()) })
        .await;
    assert!(matches!(refused, Err(ApiError::Http(error)) if error.is_closed()));
    let refused: Vec<_> = refusing
        .stream_with_session(|_| async { Ok(stream::empty::<Result<(), ApiError>>()) })
        .collect()
        .await;
    assert!(matches!(&refused[..], [Err(ApiError::Http(error))] if error.is_closed()));
    Ok(())
}

#[tokio::test]
async fn a_closure_may_fail_with_a_boxed_error_or_one_that_takes_all() -> Result<()> {
    let server = Server::text("twelve");
    let users = Users::new(&server)?;
    let boxed: Result<u8, BoxError> = users
        .with_session(|s| async move { Ok(s.get("/").send().await?.text().await?.parse::<u8>()?) })
        .await;
    assert!(
        boxed
            .expect_err("no number")
            .is::<std::num::ParseIntError>()
    );
    let boxed: Result<u8, Box<dyn StdError>> = users
        .with_session(async |s| Ok(s.get("ftp://x/").send().await?.text().await?.parse()?))
        .await;
    assert!(boxed.expect_err("no URL").is::<hyper_session::Error>());
    let any: Result<u8, Anyhow> = users
        .in_session(async |users| Ok(users.get(1).await?.parse()?))
        .await;
    assert!(
        any.expect_err("no number")
            .0
            .is::<std::num::ParseIntError>()
    );
    server.wait_live(0).await;
    Ok(())
}

#[tokio::test]
async fn a_closure_given_through_the_trait_may_capture_what_is_not_send() -> Result<()> {
    let server = paths();
    let users = Users::new(&server)?;
    let path: Rc<str> = Rc::from("/rc");
    let kept = Rc::clone(&path);
    let answer = users
        .with_session(|s| async move {
            let answer = path_of(s, &kept).await?;
            Ok::<_, hyper_session::Error>(Rc::new((answer, kept)))
        })
        .await?;
    assert_eq!((&*answer.0, Rc::strong_count(&path)), ("/v1/rc", 2));
    let kept = Rc::clone(&path);
    let streamed: Vec<(Rc<str>, Bytes)> = users
        .stream_with_session(|s| async move {
            let parts = s.get(&kept).send().await?.bytes_stream();
            Ok::<_, hyper_session::Error>(parts.map_ok(move |part| (Rc::clone(&kept), part)))
        })
        .try_collect()
        .await?;
    assert_eq!(streamed.len(), 1);
    server.wait_live(0).await;
    Ok(())
}

#[tokio::test]
async fn a_containers_own_get_wins_over_the_traits_through_references_and_arcs() -> Result<()> {
    let server = paths();
    let users = Users::new(&server)?;
    let answer = "/v1/users/5";
    let (one, two) = (&users, &&users);
    assert_eq!(users.get(5).await?, answer);
    assert_eq!(one.get(5).await?, answer);
    assert_eq!(two.get(5).await?, answer);
    let users = Arc::new(users);
    let (two, boxed) = (&&users, Box::new(Arc::clone(&users)));
    assert_eq!(users.get(5).await?, answer);
    assert_eq!(two.get(5).await?, answer);
    assert_eq!(boxed.get(5).await?, answer);
    assert_eq!(State(Arc::clone(&users)).get(5).await?, answer);
    // The trait's other methods are there through all of them.
    let posted = State(Arc::clone(&users)).post("/new").send().await?;
    assert_eq!(posted.text().await?, "/v1/new");
    assert!(!two.is_open());
    // And its `get(url)` by name.
    let by_url = SessionContainer::get(&*users, "/url").send().await?;
    assert_eq!(by_url.text().await?, "/v1/url");
    assert_eq!(users.stats().one_shots, 9);
    server.wait_live(0).await;
    Ok(())
}

/// Two services: the first is the trait's, the second a plain field.
struct Shop {
    stock: SessionHolder,
    payments: SessionHolder,
}

impl SessionContainer for Shop {
    fn session_holder(&self) -> &SessionHolder {
        &self.stock
    }
}

#[tokio::test]
async fn a_struct_may_have_two_holders_whose_lives_are_apart() -> Result<()> {
    let (stock, payments) = (Server::text("12 left"), Server::text("paid"));
    let shop = Shop {
        stock: SessionHolder::builder().base_url(stock.url("/")).build()?,
        payments: SessionHolder::builder()
            .base_url(payments.url("/"))
            .build()?,
    };
    shop.start_session().await?;
    shop.payments.start_session().await?;
    let nested = shop
        .with_session(async |stock| {
            let left = path_of(stock, "/").await?;
            let paid = shop
                .payments
                .with_session(async |s| path_of(s, "/").await)
                .await?;
            Ok::<_, hyper_session::Error>((left, paid))
        })
        .await?;
    assert_eq!(nested, ("12 left".to_owned(), "paid".to_owned()));
    assert_closed(&shop.stock, &stock).await;
    assert!(!shop.is_open() && shop.payments.is_open());
    assert_eq!(payments.live(), 1);
    assert_closed(&shop.payments, &payments).await;
    Ok(())
}

async fn ping<T: SessionContainer<C>, C: Connector>(service: &T) -> Result<String> {
    service
        .in_session(async |service| {
            let by_get = service.get("/").send().await?.text().await?;
            let by_closure = service
                .with_session(async |s| path_of(s, "/").await)
                .await?;
            assert_eq!(by_get, by_closure);
            Ok(by_get)
        })
        .await
}

/// Spawning needs `Send`, which the holder's own methods show for any container.
async fn ping_in_task<T, C>(service: Arc<T>) -> Result<String>
where
    T: SessionContainer<C> + Send + Sync + 'static,
    C: Connector,
{
    let pinging = tokio::spawn(async move {
        let holder = service.session_holder();
        holder
            .with_session(|s| async move { path_of(s, "/").await })
            .await
    });
    pinging.await.expect("no panic")
}

#[tokio::test]
async fn generic_code_takes_any_container_and_any_holder() -> Result<()> {
    let server = paths();
    let users = Arc::new(Users::new(&server)?);
    assert_eq!(ping(&*users).await?, "/v1/");
    assert_eq!(ping(&users.session).await?, "/v1/");
    assert_eq!(ping_in_task(Arc::clone(&users)).await?, "/v1/");
    assert_eq!(ping_in_task(Arc::new(users.session.clone())).await?, "/v1/");
    let boxed = Switchable::over(DefaultConnector::new()?, &server)?;
    assert_eq!(ping(&boxed).await?, "/v1/");
    assert_eq!(ping_in_task(Arc::new(boxed)).await?, "/v1/");
    server.wait_live(0).await;
    Ok(())
}

/// The real network in production, anything else in tests, and no type parameter.
struct Switchable {
    session: SessionHolder<BoxConnector>,
}

impl SessionContainer<BoxConnector> for Switchable {
    fn session_holder(&self) -> &SessionHolder<BoxConnector> {
        &self.session
    }
}

impl Switchable {
    fn over<C: Connector>(connector: C, server: &Server) -> Result<Self> {
        let session = SessionHolder::builder()
            .base_url(server.url("/v1"))
            .connector(BoxConnector::new(connector))
            .build()?;
        Ok(Self { session })
    }
}

#[tokio::test]
async fn a_boxed_connector_keeps_what_it_connects_with_out_of_the_type() -> Result<()> {
    let server = paths();
    let plain = hyper_util::client::legacy::connect::HttpConnector::new();
    for switchable in [
        Switchable::over(plain, &server)?,
        Switchable::over(DefaultConnector::new()?, &server)?,
        Switchable::over(BoxConnector::new(DefaultConnector::new()?), &server)?,
    ] {
        let before = server.accepted();
        switchable.start_session().await?;
        for _ in 0..2 {
            let response = switchable.get("/boxed").send().await?;
            assert_eq!(response.remote_addr(), Some(server.addr()));
            assert_eq!(response.text().await?, "/v1/boxed");
        }
        assert_eq!(server.accepted(), before + 1);
        assert_closed(&switchable.session, &server).await;
    }
    Ok(())
}

/// Never called: it compiles if all of these are `Send`.
#[expect(
    dead_code,
    clippy::needless_pass_by_value,
    reason = "compiled, not run"
)]
fn futures_are_send_where_what_they_capture_is(users: &'static Users, session: Session) {
    fn send<T: Send>(_: T) {}
    fn send_sync_unpin<T: Send + Sync + Unpin>() {}
    let holder = &users.session;

    send(holder.start_session());
    send(holder.start_session_with(Session::builder()));
    send(holder.close_session());
    send(holder.close_session_within(std::time::Duration::ZERO));
    send(holder.enter_session());
    send(holder.with_session(|s| async move { path_of(s, "/").await }));
    send(holder.with_session(async |s| path_of(s, "/").await));
    send(holder.in_session(|holder| async move { holder.get("/").send().await }));
    send(
        holder.stream_with_session(|s| async move { Ok(s.get("/").send().await?.bytes_stream()) }),
    );
    send(holder.get("/").send());

    send(users.start_session());
    send(users.start_session_with(Session::builder()));
    send(users.close_session());
    send(users.close_session_within(std::time::Duration::ZERO));
    send(users.enter_session());
    send(users.with_session(|s| async move { path_of(s, "/").await }));
    send(users.with_session(async |s| path_of(s, "/").await));
    send(users.in_session(|users| async move { users.get(1).await }));
    send(users.stream_with_session(|s| async move { Ok(s.get("/").send().await?.bytes_stream()) }));
    send(SessionContainer::get(users, "/").send());

    send(Session::builder().open());
    send(session.get("/").send());
    send(session.execute(http::Request::default()));
    send(tower::ServiceExt::oneshot(
        session.clone(),
        http::Request::default(),
    ));
    send(session.close());
    send_sync_unpin::<(
        Response,
        hyper_session::Body,
        Session,
        SessionHolder,
        SessionScope,
    )>();
    send_sync_unpin::<(
        SessionBuilder,
        hyper_session::Error,
        hyper_session::CloseReport,
    )>();
    send_sync_unpin::<(BoxConnector, DefaultConnector, Users, Switchable)>();
}
