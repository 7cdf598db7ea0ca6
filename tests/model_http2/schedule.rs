//! One schedule: a runtime of its own with paused time, from the seed to the last task.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, stream};
use hyper_session::{Body, Error, ErrorKind, Session};
use tokio::runtime::{Builder, Handle};
use tokio::select;
use tokio::task::yield_now;
use tokio::time::{sleep, timeout};

use super::dice::{Dice, ms};
use super::network::Network;
use super::world::{Trace, World};

/// Longer, on the runtime's clock, than all time limits together.
const FOR_EVER: Duration = Duration::from_secs(600);

/// How often a request is sent again that was refused.
const REFUSALS: usize = 5;

#[derive(Clone, Copy, Debug)]
pub struct Settings {
    pub total: usize,
    pub per_origin: usize,
    origins: usize,
    requests: Option<u64>,
    pool: Option<u64>,
    /// How many streams a peer allows.
    pub streams: u32,
    /// How many in a hundred requests fare badly.
    pub trouble: u32,
}

impl Settings {
    fn draw(dice: &mut Dice) -> Self {
        Self {
            total: dice.number(1..=4),
            per_origin: dice.number(1..=2),
            origins: dice.number(1..=2),
            requests: dice.pick(&[None, None, Some(1), Some(3)]),
            pool: dice.pick(&[None, None, Some(20), Some(100)]),
            streams: dice.pick(&[1, 2, 3, 4]),
            trouble: dice.pick(&[0, 10, 40]),
        }
    }

    /// Whether nothing but a lack of streams makes a request wait.
    pub fn is_plain(&self) -> bool {
        self.trouble == 0 && self.origins == 1 && self.requests.is_none()
    }
}

pub fn run(seed: u64) -> Trace {
    let mut dice = Dice::new(seed);
    let settings = Settings::draw(&mut dice);
    let world = World::new(settings.total);
    let runtime = Builder::new_current_thread();
    let quiet = world.clone();
    let runtime = { runtime }
        .enable_time()
        .start_paused(true)
        .on_thread_park(move || quiet.audit(&settings))
        .build();
    runtime.expect("a runtime can be built").block_on(async {
        world.begin();
        world.note(&format!("{settings:?}"));
        let all = schedule(&world, dice, settings);
        let ended = timeout(FOR_EVER, all).await;
        world.watch(None);
        world.expect(ended.is_ok(), || "it hangs".to_owned());
    });
    world.trace()
}

async fn schedule(world: &World, mut dice: Dice, settings: Settings) {
    let network = Network {
        world: world.clone(),
        dice: Arc::new(Mutex::new(dice.fork())),
        settings,
    };
    let builder = Session::builder()
        .connector(network)
        .http2_prior_knowledge()
        .http2_max_connections_per_origin(settings.per_origin)
        .pool_max_connections(settings.total)
        .pool_max_requests(settings.requests)
        .pool_timeout(settings.pool.map(ms))
        .connect_timeout(ms(40))
        .write_timeout(ms(150))
        .head_timeout(ms(150))
        .read_timeout(ms(150));
    let session = builder.open().await.expect("valid settings");
    world.watch(Some(session.clone()));
    let clients: Vec<_> = (0..dice.number(1..=5))
        .map(|_| {
            let client = client(world.clone(), session.clone(), dice.fork(), settings);
            let own = world.count_task();
            tokio::spawn(async move {
                client.await;
                drop(own);
            })
        })
        .collect();
    if dice.chance(20) {
        sleep(ms(dice.millis(0..=20))).await;
        session.close_idle();
    }
    for client in clients {
        client.await.expect("no panic");
    }
    settle(world, &session).await;
    world.watch(None);
    match dice.number(0..=2) {
        0 => drop(session),
        1 => {
            let report = session.close().await;
            world.expect(report.severed == 0, || format!("{report:?}"));
        }
        _ => {
            session.close_within(ms(dice.millis(0..=10))).await;
        }
    }
    let sockets = world.lock().sockets;
    world.expect(sockets == 0, || format!("{sockets} sockets are left"));
    for _ in 0..4 {
        sleep(ms(5)).await;
    }
    let alive = Handle::current().metrics().num_alive_tasks();
    world.expect(alive == 0, || format!("{alive} tasks are left"));
}

/// Lets what the pool still has to do be done, and checks its books.
async fn settle(world: &World, session: &Session) {
    let is_settled = || {
        let stats = session.stats();
        let (sockets, live) = {
            let books = world.lock();
            (books.sockets, books.live)
        };
        let at_rest = (
            stats.in_use,
            stats.connecting,
            stats.waiting,
            stats.exchanges,
        );
        at_rest == (0, 0, 0, 0) && (stats.idle, stats.open) == (live, live) && sockets == live
    };
    // Longer than the pool has patience with an upload.
    for pause in (0..80).map(|tries| 1 << (tries / 5)) {
        if is_settled() {
            return;
        }
        sleep(ms(pause)).await;
    }
    world.expect(false, || {
        format!("it does not settle: {:?}", session.stats())
    });
}

async fn client(world: World, session: Session, mut dice: Dice, settings: Settings) {
    for _ in 0..dice.number(1..=3) {
        let id = {
            let mut books = world.lock();
            books.acted.push(0);
            books.refused.push(0);
            books.acted.len() - 1
        };
        let is_post = dice.chance(50);
        let upload = is_post.then(|| upload(&mut dice));
        let lasts = upload
            .as_ref()
            .is_none_or(|body| body.try_clone().is_some());
        let asking = ask(&session, id, upload, dice.fork(), settings);
        let asked = if dice.chance(25) {
            let cut = moment(&mut dice);
            select! {
                // Also of what it was given in this very moment and has not seen.
                biased;
                () = cut => None,
                asked = asking => Some(asked),
            }
        } else {
            Some(asking.await)
        };
        let acted = world.lock().acted[id];
        world.note(&format!("{id} ends: {:?}", asked.as_ref().map(kind_of)));
        world.expect(acted <= 1 + usize::from(!is_post), || {
            format!("{id} was carried out {acted} times")
        });
        if let Some(Err(error)) = &asked {
            world.expect(error.was_sent() || acted == 0, || {
                format!("{id} was sent: {error:?}")
            });
            let is_due = lasts && acted == 0 && !was_in_trouble(&world, id);
            world.expect(is_explained(error, settings, is_due), || {
                format!("{id} has no reason to fail: {error:?}")
            });
        }
        sleep(ms(dice.pick(&[0, 0, 2, 1200]))).await;
    }
}

/// A random moment, by the clock or within one tick of it.
fn moment(dice: &mut Dice) -> impl Future<Output = ()> + use<> {
    let (turns, millis) = if dice.chance(50) {
        (dice.number(0..=12), 0)
    } else {
        (0, dice.millis(0..=30))
    };
    async move {
        for _ in 0..turns {
            yield_now().await;
        }
        if millis > 0 {
            sleep(ms(millis)).await;
        }
    }
}

fn kind_of(asked: &Result<(), Error>) -> Option<ErrorKind> {
    asked.as_ref().err().map(Error::kind)
}

/// Whether a request that no server has acted on may fail, for having been refused too often or with
/// its connection.
fn was_in_trouble(world: &World, id: usize) -> bool {
    let books = world.lock();
    books.breaks > 0 || books.refused[id] + books.goodbyes > REFUSALS
}

/// Whether a request could fail of that. `is_due`: nothing that a server did should keep it from an
/// answer.
fn is_explained(error: &Error, settings: Settings, is_due: bool) -> bool {
    use hyper_session::TimeoutPhase;
    match error.kind() {
        ErrorKind::Timeout(TimeoutPhase::Pool) => settings.pool.is_some(),
        ErrorKind::Timeout(_) | ErrorKind::Connect | ErrorKind::BodyTruncated => {
            settings.trouble > 0
        }
        ErrorKind::Protocol => settings.trouble > 0 && !is_due,
        _ => false,
    }
}

/// Sends a request, and reads its answer or drops it.
async fn ask(
    session: &Session,
    id: usize,
    upload: Option<Body>,
    mut dice: Dice,
    settings: Settings,
) -> Result<(), Error> {
    let host = dice.pick(&["a", "a", ["a", "b"][settings.origins - 1]]);
    let url = format!("http://{host}/{id}");
    let request = match upload {
        Some(upload) => session.post(url).body(upload),
        None => session.get(url),
    };
    let answer = request.send().await?;
    if dice.chance(20) {
        return Ok(());
    }
    answer.bytes().await.map(drop)
}

fn upload(dice: &mut Dice) -> Body {
    if dice.chance(50) {
        return Body::from(vec![2; dice.number(1..=900)]);
    }
    let (parts, pause) = (dice.number(0..=4), dice.pick(&[0, 0, 3, 40]));
    let length = dice.pick(&[1, 300, 300, 2000, 20_000, 70_000]);
    Body::wrap_stream(stream::iter(0..parts).then(move |_| async move {
        if pause > 0 {
            sleep(ms(pause)).await;
        }
        Ok::<_, std::io::Error>(Bytes::from(vec![2; length]))
    }))
}
