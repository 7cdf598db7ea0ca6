//! What the schedules between them have done: a model that nothing happens in finds nothing.

use std::collections::{BTreeMap, BTreeSet};

use hyper_session::{ErrorKind, TimeoutPhase};

use super::event::{Deed, End, Event};
use super::schedule::Trace;

/// What some hundreds of schedules do, each of it.
const ALL: [&str; 28] = [
    "waits in the queue",
    "is given its turn",
    "is written to a connection that brought an answer before",
    "is seen twice",
    "fills all places",
    "a peer closes an idle connection",
    "is read",
    "is dropped",
    "is given up",
    "fails by Total",
    "fails by Pool",
    "fails by Connect timeout",
    "fails by Head",
    "fails by Read",
    "fails by Connect",
    "fails by Closed",
    "fails by Hook",
    "fails by Body",
    "fails by BodyTruncated",
    "fails by Protocol",
    "closes idle ones",
    "starts",
    "swaps",
    "closes",
    "closes within a limit",
    "enters a scope",
    "leaves a scope",
    "drops the last handle",
];

/// How often each of these has happened.
#[derive(Debug, Default)]
pub struct Census(BTreeMap<&'static str, usize>);

impl Census {
    pub fn add(&mut self, trace: &Trace) {
        let (mut seen, mut written) = (BTreeSet::new(), BTreeSet::new());
        for (_, event) in &trace.events {
            let what = match event {
                Event::Queues(_) => "waits in the queue",
                Event::IsWoken(_) => "is given its turn",
                Event::Writes(_, socket) if !written.insert(*socket) => {
                    "is written to a connection that brought an answer before"
                }
                Event::PeerSees(request, _) if !seen.insert(*request) => "is seen twice",
                Event::Asks(_, ask) if ask.together.is_some() => "fills all places",
                Event::PeerIdles(..) => "a peer closes an idle connection",
                Event::Ends(_, end) => name_of_end(*end),
                Event::Does(deed) => name_of_deed(*deed),
                _ => continue,
            };
            *self.0.entry(what).or_default() += 1;
        }
    }

    pub fn missing(&self) -> Vec<&'static str> {
        let happened = |what: &&str| self.0.contains_key(what);
        ALL.into_iter().filter(|what| !happened(what)).collect()
    }
}

fn name_of_end(end: End) -> &'static str {
    let kind = match end {
        End::Read(_) => return "is read",
        End::Dropped(_) => return "is dropped",
        End::GivenUp => return "is given up",
        End::Failed { kind, .. } => kind,
    };
    match kind {
        ErrorKind::Timeout(TimeoutPhase::Total) => "fails by Total",
        ErrorKind::Timeout(TimeoutPhase::Pool) => "fails by Pool",
        ErrorKind::Timeout(TimeoutPhase::Connect) => "fails by Connect timeout",
        ErrorKind::Timeout(TimeoutPhase::Write) => "fails by Write",
        ErrorKind::Timeout(TimeoutPhase::Head) => "fails by Head",
        ErrorKind::Timeout(TimeoutPhase::Read) => "fails by Read",
        ErrorKind::Connect => "fails by Connect",
        ErrorKind::Closed => "fails by Closed",
        ErrorKind::Hook => "fails by Hook",
        ErrorKind::Body => "fails by Body",
        ErrorKind::BodyTruncated => "fails by BodyTruncated",
        ErrorKind::Protocol => "fails by Protocol",
        _ => "fails by something else",
    }
}

fn name_of_deed(deed: Deed) -> &'static str {
    match deed {
        Deed::CloseIdle => "closes idle ones",
        Deed::Start => "starts",
        Deed::Swap => "swaps",
        Deed::Close => "closes",
        Deed::CloseWithin(_) => "closes within a limit",
        Deed::Enter => "enters a scope",
        Deed::Leave => "leaves a scope",
        Deed::DropLast => "drops the last handle",
        Deed::WithSession | Deed::InSession => "has done a call",
    }
}
