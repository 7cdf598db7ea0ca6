//! A server, for one connection: answers, refuses, resets, says goodbye and breaks off as its dice say.

use bytes::Bytes;
use futures::StreamExt;
use futures::future::pending;
use futures::stream::FuturesUnordered;
use h2::server::{Builder, SendResponse};
use h2::{Reason, RecvStream};
use http::header::CONTENT_LENGTH;
use http::{Request, Response};
use tokio::io::DuplexStream;
use tokio::select;
use tokio::sync::Notify;
use tokio::time::sleep;

use super::dice::{Dice, ms};
use super::schedule::Settings;
use super::world::World;

enum Then {
    GoOn,
    GoAway,
    Break,
}

pub async fn serve(io: DuplexStream, world: &World, mut dice: Dice, settings: Settings) {
    let mut builder = Builder::new();
    builder.max_concurrent_streams(settings.streams);
    let Ok(mut connection) = builder.handshake::<_, Bytes>(io).await else {
        return;
    };
    let leave = Notify::new();
    let mut calls = FuturesUnordered::new();
    loop {
        select! {
            biased;
            Some(then) = calls.next() => match then {
                Then::GoOn => {}
                Then::GoAway => connection.graceful_shutdown(),
                Then::Break => {
                    world.lock().breaks += 1;
                    return;
                }
            },
            () = leave.notified() => connection.graceful_shutdown(),
            accepted = connection.accept() => match accepted {
                Some(Ok((request, answer))) => {
                    calls.push(call(request, answer, world, &leave, dice.fork(), settings.trouble));
                }
                Some(Err(_)) | None => return,
            },
        }
    }
}

async fn call(
    request: Request<RecvStream>,
    mut answer: SendResponse<Bytes>,
    world: &World,
    leave: &Notify,
    mut dice: Dice,
    trouble: u32,
) -> Then {
    let id: usize = request.uri().path()[1..].parse().expect("a number");
    let what = if dice.chance(trouble) {
        dice.number(1..=7)
    } else {
        0
    };
    world.note(&format!("server sees {id}, does {what}"));
    if what == 1 {
        answer.send_reset(Reason::REFUSED_STREAM);
        world.lock().refused[id] += 1;
        return Then::GoOn;
    }
    let says_goodbye = what == 6;
    let before = says_goodbye && dice.chance(50);
    {
        let mut books = world.lock();
        books.acted[id] += 1;
        books.goodbyes += usize::from(says_goodbye);
    }
    if before {
        leave.notify_one();
    }
    let (delay, is_early) = (dice.pick(&[0, 0, 1, 10]), dice.chance(25) || what == 7);
    let is_small = request.headers().contains_key(CONTENT_LENGTH);
    let pause = dice.pick(&[0, 0, 0, 5]);
    let mut body = request.into_body();
    if !is_early {
        read(&mut body, pause, true).await;
    }
    if delay > 0 {
        sleep(ms(delay)).await;
    }
    match what {
        2 => {
            answer.send_reset(Reason::INTERNAL_ERROR);
            return Then::GoOn;
        }
        3 => return Then::Break,
        // Says nothing, until it is reset.
        4 => pending().await,
        _ => {}
    }
    let Ok(mut parts) = answer.send_response(Response::new(()), false) else {
        return Then::GoOn;
    };
    let length = if dice.chance(3) {
        70_000
    } else {
        dice.number(0..=900)
    };
    if what == 5 {
        let _ = parts.send_data(Bytes::from(vec![1; 10]), false);
        parts.send_reset(Reason::INTERNAL_ERROR);
        return Then::GoOn;
    }
    let _ = parts.send_data(Bytes::from(vec![1; length]), true);
    if is_early {
        let own = is_small.then(|| world.count_answered());
        // What it does not say that it has read, the others have no room for either.
        read(&mut body, pause, what != 7).await;
        drop(own);
    }
    if says_goodbye && !before {
        Then::GoAway
    } else {
        Then::GoOn
    }
}

async fn read(body: &mut RecvStream, pause: u64, makes_room: bool) {
    let mut parts = 0;
    while let Some(Ok(part)) = body.data().await {
        parts += 1;
        // Not for so long that those who wait for the room run out of time.
        if pause > 0 && parts <= 4 {
            sleep(ms(pause)).await;
        }
        if makes_room {
            let _ = body.flow_control().release_capacity(part.len());
        }
    }
}
