//! What must hold of the books: at every change of them, at every moment when nothing goes on, and
//! when something has been dropped.

use hyper_session::Stats;

use super::books::{Books, Network, Phase, Socket};
use super::event::{RequestId, SocketId};
use super::settings::Limits;
use super::world::World;

impl World {
    /// Checks that one which was dropped in the queue has taken no connection with it.
    pub fn dropped(&self, id: RequestId, before: &Stats, after: &Stats) {
        let mut books = self.lock();
        let [
            Network {
                limits: Some(limits),
                ..
            },
        ] = &books.networks[..]
        else {
            return;
        };
        let may_close = books.closing || limits.idle_per_origin.is_some() || limits.age.is_some();
        let held_nothing = books.requests[id].polls > 0 && !books.requests[id].is_served();
        // What it had been given must go to those who wait with it, or idle; to others, its place.
        let origin = books.requests[id].ask.origin;
        let mut waiting = books.requests.iter().filter(|request| request.waits());
        let no_others = waiting.all(|request| request.ask.origin == origin);
        if held_nothing && no_others && !may_close && after.open < before.open {
            books.violation(format!(
                "request {id} took a connection with it: {before:?}, {after:?}"
            ));
        }
    }

    /// Checks what idles when nothing else goes on.
    pub fn check_idle(&self, limits: &Limits) {
        let mut books = self.lock();
        let [network] = &books.networks[..] else {
            return;
        };
        let most = network.of_origin.iter().max().copied();
        if limits
            .idle_per_origin
            .is_some_and(|limit| most > Some(limit))
        {
            books.violation(format!(
                "{most:?} connections to one origin idle: {limits:?}"
            ));
        }
    }

    /// Compares the pool's books with the model's, at a moment when nothing can go on before time
    /// does.
    pub fn audit(&self) {
        let Some(stats) = self.watched_stats() else {
            return;
        };
        self.lock().audit(&stats);
    }
}

impl Books {
    pub fn check_limits(&mut self, network: usize, origin: usize) {
        let Network {
            limits: Some(limits),
            connecting,
            live,
            of_origin,
        } = &self.networks[network]
        else {
            return;
        };
        let all = connecting + live;
        let of_origin = of_origin[origin];
        if all > limits.total || of_origin > limits.of_one_origin() {
            let what = format!("{all} sockets, {of_origin} of origin {origin}: {limits:?}");
            self.violation(what);
        }
    }

    /// The same for a session that shares its connector with others.
    pub fn check_session(&mut self, session: usize) {
        let limits = self.sessions[session];
        let live =
            |socket: &&Socket| socket.session == Some(session) && socket.phase == Phase::Live;
        let all = self.sockets.iter().filter(live).count();
        if all > limits.total {
            self.violation(format!("{all} sockets of session {session}: {limits:?}"));
        }
    }

    /// Checks that a connection which has been used is not too old for one more request.
    pub fn check_age(&mut self, id: RequestId, socket: SocketId) {
        let now = self.now();
        let Socket {
            network,
            answers,
            granted,
            dialed_at,
            ..
        } = self.sockets[socket];
        let Some(limits) = self.networks[network].limits else {
            return;
        };
        let is_worn = limits.requests.is_some_and(|limit| answers >= limit);
        let was_left_alone = self
            .requests
            .get(id)
            .is_some_and(|request| request.was_left_alone);
        let is_old = limits.age.is_some_and(|age| now >= dialed_at + age);
        if answers > 0 && (is_worn || granted == Some(0) || is_old && !was_left_alone) {
            self.violation(format!(
                "socket {socket} is too old for request {id}: {answers} answers, {granted:?} more \
                 granted, of {dialed_at}: {limits:?}"
            ));
        }
    }

    /// Whether there are as many connections being made, by requests that have got another or have
    /// ended, as requests to the origin wait.
    fn has_spares(&self, origin: usize) -> bool {
        let sockets = self.sockets.iter();
        let dialing =
            sockets.filter(|socket| socket.phase == Phase::Connecting && socket.origin == origin);
        let spares = dialing.filter(|socket| {
            let maker = socket.dialed_by.map(|id| &self.requests[id]);
            // Who has been woken and not polled may have got another.
            maker.is_none_or(|maker| {
                maker.end.is_some() || maker.written_to.is_some() || maker.is_woken
            })
        });
        let queue = self.queue.iter();
        spares.count() >= queue.filter(|queued| queued.origin == origin).count()
    }

    /// Whether one more connection to an origin would be too many, and none is free for it, nor will
    /// be without it.
    pub fn has_reason_to_wait(&self, origin: usize, stats: &Stats) -> bool {
        if self.has_spares(origin) {
            return true;
        }
        let Some(Network {
            limits: Some(limits),
            connecting,
            of_origin,
            ..
        }) = self.networks.first()
        else {
            return true;
        };
        // Permits that their owners have not used yet; for which origin is not known.
        let unused = stats.connecting.saturating_sub(*connecting);
        if of_origin[origin] + unused >= limits.of_one_origin() && limits.per_origin.is_some() {
            return true;
        }
        stats.open + stats.connecting >= limits.total && stats.idle == 0
    }

    pub fn audit(&mut self, stats: &Stats) {
        let network = &self.networks[0];
        // Who has been woken and is still not polled, or is polled by nobody, holds what it got.
        let neglected = self
            .requests
            .iter()
            .filter(|request| request.is_neglected());
        let neglected = neglected.count();
        let unused = stats.connecting.checked_sub(network.connecting);
        if stats.open != network.live || unused.is_none_or(|unused| unused > neglected) {
            let (connecting, live) = (network.connecting, network.live);
            return self.violation(format!(
                "{live} sockets, {connecting} dials, {neglected} neglected: {stats:?}"
            ));
        }
        if stats.in_use != stats.open - stats.idle || stats.waiting > stats.exchanges {
            self.violation(format!("the books do not add up: {stats:?}"));
        }
        if self.closing {
            return;
        }
        let patient = self.queue.iter();
        let in_vain = patient
            .filter(|queued| !self.has_reason_to_wait(queued.origin, stats))
            .map(|queued| queued.request)
            .next();
        if let Some(request) = in_vain {
            self.violation(format!("request {request} waits for nothing: {stats:?}"));
        }
    }
}
