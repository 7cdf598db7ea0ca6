//! Who is polled, who waits for a connection, and whose turn it is.

use super::books::Queued;
use super::event::{Event, RequestId, SocketId};
use super::plan::Ask;
use super::world::World;

impl World {
    /// The request that is being polled now.
    pub fn polled(&self) -> Option<Ask> {
        let books = self.lock();
        books.polled.map(|id| books.requests[id].ask)
    }

    pub fn begin_poll(&self, id: RequestId) {
        let mut books = self.lock();
        books.polled = Some(id);
        books.requests[id].polls += 1;
        books.requests[id].is_woken = false;
    }

    pub fn end_poll(&self, id: RequestId, ready: bool) {
        let mut books = self.lock();
        books.polled = None;
        if ready {
            books.queue.retain(|queued| queued.request != id);
            return;
        }
        let watched = books.networks.len() == 1 && books.networks[0].limits.is_some();
        let request = &books.requests[id];
        if request.polls > 1 || !watched {
            return;
        }
        let origin = request.ask.origin;
        if request.is_served() {
            let before = books.queue.iter().find(|queued| queued.origin == origin);
            if let Some(&Queued { request, .. }) = before {
                books.violation(format!(
                    "request {id} was served before {request}, its elder"
                ));
            }
        } else {
            books.queue.push(Queued {
                request: id,
                origin,
            });
            books.note(Event::Queues(id));
        }
    }

    /// The pool has woken the task of a request, or a timer has.
    pub fn is_woken(&self, id: RequestId) {
        let mut books = self.lock();
        books.requests[id].is_woken = true;
        let Some(place) = books.queue.iter().position(|queued| queued.request == id) else {
            return;
        };
        let now = books.now();
        let settings = books.settings;
        if books.requests[id].is_out_of_time(&settings, now) || books.closing {
            books.queue.remove(place);
            return;
        }
        let origin = books.queue[place].origin;
        let mut before = books.queue[..place].iter();
        let elder = before.find(|queued| {
            queued.origin == origin
                && !books.requests[queued.request].is_out_of_time(&settings, now)
        });
        if let Some(&Queued { request, .. }) = elder {
            books.violation(format!("request {id} was given its turn before {request}"));
        }
        books.queue.remove(place);
        books.note(Event::IsWoken(id));
    }

    /// Whoever waits for a request looks elsewhere, or looks at it again.
    pub fn leaves_alone(&self, id: RequestId, alone: bool) {
        let request = &mut self.lock().requests[id];
        request.is_left_alone = alone;
        request.was_left_alone = true;
    }

    /// Whether the request that is being polled is not known to be on this socket.
    pub fn may_write(&self, socket: SocketId) -> bool {
        let books = self.lock();
        books.polled.is_some() && books.sockets[socket].last_request != books.polled
    }

    /// The first bytes of a request go out, or try to.
    pub fn writes(&self, id: RequestId, socket: SocketId) {
        let mut books = self.lock();
        if books.sockets[socket].last_request.replace(id) == Some(id) {
            return;
        }
        books.note(Event::Writes(id, socket));
        books.check_age(id, socket);
        let origin = books.sockets[socket].origin;
        let Some(request) = books.requests.get_mut(id) else {
            return books.violation(format!("nobody asked for request {id}"));
        };
        request.written_to = Some(socket);
        if request.ask.origin != origin {
            books.violation(format!("request {id} went to origin {origin}"));
        }
    }
}
