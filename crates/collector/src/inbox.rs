//! From the threads that receive to the thread that decodes: a queue bounded in octets.
//!
//! A slow disk must not stop receiving, and a queue must not eat the machine. So batches pile up
//! to a limit, and beyond it the receivers stop reading: the kernel then drops datagrams, and its
//! counter is the one place where they are counted.
//!
//! Where several sockets share a port, [`in_order`] puts their datagrams back in the order of their
//! arrival; what is too young to know whether another socket has something older waits.
//!
//! One lock for up to a whole batch of datagrams each way; emptied batches go back to the
//! receivers, so that a steady stream allocates nothing.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sys::udp::DropMark;

use crate::{Arrival, Via};

/// What one system call brought, copied: datagrams, or a message of a stream.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Batch {
    heads: Vec<Head>,
    /// Of these, so many have been given out.
    done: usize,
    bytes: Vec<u8>,
    /// Which socket brought them; `None` for messages of streams.
    pub(crate) socket: Option<usize>,
    /// Local port of the socket.
    pub(crate) port: u16,
    /// Datagrams the kernel dropped on the socket since its last batch.
    pub(crate) dropped: u64,
    /// Datagrams that were cut short by a lack of room.
    pub(crate) truncated: u64,
    /// How far drops are counted with this batch, if it has some.
    pub(crate) mark: Option<DropMark>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Head {
    peer: IpAddr,
    via: Via,
    arrived_ns: u64,
    start: usize,
    len: usize,
}

/// Something that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Parcel<'a> {
    pub(crate) arrival: Arrival,
    pub(crate) bytes: &'a [u8],
}

impl Batch {
    pub(crate) fn push(&mut self, peer: IpAddr, via: Via, arrived_ns: u64, bytes: &[u8]) {
        let (start, len) = (self.bytes.len(), bytes.len());
        self.heads.push(Head { peer, via, arrived_ns, start, len });
        self.bytes.extend_from_slice(bytes);
    }

    /// Everything in it, in the order it was put in.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Parcel<'_>> {
        self.heads.iter().filter_map(|head| self.parcel(head))
    }

    fn parcel(&self, head: &Head) -> Option<Parcel<'_>> {
        let Head { peer, via, arrived_ns, start, len } = *head;
        let bytes = self.bytes.get(start..start + len)?;
        let arrival = Arrival { peer, port: self.port, via, at_ms: arrived_ns / 1_000_000 };
        Some(Parcel { arrival, bytes })
    }

    /// Octets of payload in it.
    pub(crate) const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there is nothing to tell.
    pub(crate) fn is_empty(&self) -> bool {
        self.heads.is_empty() && self.dropped == 0 && self.truncated == 0
    }

    /// Octets of memory it holds, used or not.
    fn weight(&self) -> usize {
        size_of::<Self>() + self.bytes.capacity() + self.heads.capacity() * size_of::<Head>()
    }

    /// Whether all that is in it has been given out.
    const fn is_done(&self) -> bool {
        self.done >= self.heads.len()
    }

    fn clear(&mut self) {
        self.heads.clear();
        self.done = 0;
        self.bytes.clear();
        self.socket = None;
        self.port = 0;
        self.dropped = 0;
        self.truncated = 0;
        self.mark = None;
    }
}

/// Which datagrams may be given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// All of them.
    All,
    /// Those that arrived until then, nanoseconds since 1970, because no socket will bring anything
    /// older; and those that came after the second time, because a clock was set back.
    Until(u64, u64),
}

impl Due {
    const fn has(self, arrived_ns: u64) -> bool {
        match self {
            Self::All => true,
            Self::Until(until, present) => arrived_ns <= until || arrived_ns > present,
        }
    }
}

/// Calls `each` with what is due of `batches`: what one socket brought in its order, datagrams of
/// several sockets in the order of their arrival. Batches that are done with go to `emptied`.
/// `order` is room for the work.
pub(crate) fn in_order(
    batches: &mut VecDeque<Batch>,
    due: Due,
    order: &mut Vec<(u64, usize, usize)>,
    emptied: &mut VecDeque<Batch>,
    mut each: impl FnMut(&Parcel<'_>),
) {
    let first = batches.front().map(|b| b.socket);
    if due == Due::All && batches.iter().all(|b| Some(b.socket) == first && b.done == 0) {
        batches.iter().flat_map(Batch::iter).for_each(|parcel| each(&parcel));
        return emptied.append(batches);
    }
    order.clear();
    for (n, batch) in batches.iter_mut().enumerate() {
        if batch.socket.is_none() {
            batch.iter().for_each(|parcel| each(&parcel));
            batch.done = batch.heads.len();
            continue;
        }
        let rest = batch.heads.iter().enumerate().skip(batch.done);
        let rest = rest.take_while(|(_, head)| due.has(head.arrived_ns));
        let before = order.len();
        order.extend(rest.map(|(m, head)| (head.arrived_ns, n, m)));
        batch.done += order.len() - before;
    }
    order.sort_unstable();
    for &(_, n, m) in &*order {
        if let Some(parcel) = batches.get(n).and_then(|batch| batch.parcel(batch.heads.get(m)?)) {
            each(&parcel);
        }
    }
    for _ in 0..batches.len() {
        let Some(batch) = batches.pop_front() else { break };
        if batch.is_done() { emptied.push_back(batch) } else { batches.push_back(batch) }
    }
}

/// What [`Inbox::take`] found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// Batches, oldest first.
    Batches,
    /// Nothing came in time.
    Nothing,
    /// Nothing is there and nothing will come.
    Closed,
}

/// The queue. Any number of receivers, one decoder.
#[derive(Debug)]
pub(crate) struct Inbox {
    limit: usize,
    state: Mutex<State>,
    filled: Condvar,
    drained: Condvar,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Batch>,
    weight: usize,
    spare: Vec<Batch>,
    receivers: usize,
    abandoned: bool,
    /// Times that a receiver found the queue full.
    waits: u64,
}

impl State {
    /// One batch is let in whatever its size and whatever the limit.
    fn is_full(&self, limit: usize) -> bool {
        !self.queue.is_empty() && self.weight >= limit
    }
}

impl Inbox {
    /// A queue for `receivers` threads that holds batches of `limit` octets, plus what the last
    /// batch exceeds it by, and as much again in the hands of the decoder.
    pub(crate) fn new(limit: usize, receivers: usize) -> Self {
        let state = Mutex::new(State { receivers, ..State::default() });
        Self { limit, state, filled: Condvar::new(), drained: Condvar::new() }
    }

    /// Queues `batch` and leaves an empty one in its place. Waits while the queue is full.
    pub(crate) fn put(&self, batch: &mut Batch) {
        let mut state = self.lock();
        state.waits += u64::from(state.is_full(self.limit));
        while state.is_full(self.limit) && !state.abandoned {
            state = self.drained.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let empty = state.spare.pop().unwrap_or_default();
        let full = std::mem::replace(batch, empty);
        if state.abandoned {
            return; // the decoder is gone and has said why
        }
        state.weight += full.weight();
        state.queue.push_back(full);
        drop(state);
        self.filled.notify_one();
    }

    /// Says that one receiver will put nothing more.
    pub(crate) fn finish(&self) {
        let mut state = self.lock();
        state.receivers = state.receivers.saturating_sub(1);
        drop(state);
        self.filled.notify_one();
    }

    /// Exchanges `into`, whose batches are done with, for all that is queued. Waits up to
    /// `timeout` for something.
    pub(crate) fn take(&self, into: &mut VecDeque<Batch>, timeout: Duration) -> Taken {
        let mut state = self.lock();
        while let Some(mut done) = into.pop_front() {
            if state.spare.len() < SPARE && done.weight() <= SPARE_WEIGHT {
                done.clear();
                state.spare.push(done);
            }
        }
        let (mut state, _) = self
            .filled
            .wait_timeout_while(state, timeout, |s| s.queue.is_empty() && s.receivers > 0)
            .unwrap_or_else(PoisonError::into_inner);
        let found = match (state.queue.is_empty(), state.receivers) {
            (false, _) => Taken::Batches,
            (true, 0) => Taken::Closed,
            (true, _) => Taken::Nothing,
        };
        std::mem::swap(&mut state.queue, into);
        state.weight = 0;
        drop(state);
        self.drained.notify_all();
        found
    }

    /// Octets that wait, and how often a receiver had to wait because it was full.
    pub(crate) fn fill(&self) -> (u64, u64) {
        let state = self.lock();
        (state.weight as u64, state.waits)
    }

    /// Lets receivers go on without a decoder, so that they can end.
    pub(crate) fn abandon(&self) {
        self.lock().abandoned = true;
        self.drained.notify_all();
    }

    /// A thread that panicked while it held the lock leaves whole batches behind: pushing and
    /// swapping cannot stop half way.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Emptied batches that are kept for reuse, and the memory each may hold.
const SPARE: usize = 32;
const SPARE_WEIGHT: usize = 512 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    const PEER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    const LONG: Duration = Duration::from_secs(60);

    fn batch(n: u8) -> Batch {
        let mut batch = Batch::default();
        batch.push(PEER, Via::Datagram, u64::from(n), &[n; 100]);
        batch
    }

    #[test]
    fn datagrams_come_out_as_they_went_in() {
        let mut batch = Batch::default();
        let sent: Vec<Vec<u8>> = (0..10).map(|n| vec![n as u8; 7 * n]).collect();
        for (n, bytes) in sent.iter().enumerate() {
            batch.push(PEER, Via::Datagram, n as u64, bytes);
        }
        let got = batch.iter().map(|p| (p.arrival.peer, p.bytes));
        assert!(got.eq(sent.iter().map(|b| (PEER, &b[..]))));
        batch.clear();
        assert_eq!(batch.iter().count(), 0);
        assert!(batch.is_empty());
    }

    #[test]
    fn order_holds_and_the_end_comes_after_the_last_batch() {
        let inbox = Inbox::new(1 << 20, 2);
        let mut taken = VecDeque::new();
        assert_eq!(inbox.take(&mut taken, Duration::ZERO), Taken::Nothing);
        for n in 0..5 {
            inbox.put(&mut batch(n));
        }
        inbox.finish();
        inbox.finish();
        assert_eq!(inbox.take(&mut taken, LONG), Taken::Batches);
        assert!(taken.iter().eq((0..5).map(batch).collect::<Vec<_>>().iter()));
        assert_eq!(inbox.take(&mut taken, LONG), Taken::Closed);
        assert!(taken.is_empty());
    }

    #[test]
    fn datagrams_of_several_sockets_come_in_the_order_of_arrival() {
        let batch = |socket: Option<usize>, times: &[u64]| {
            let mut batch = Batch { socket, ..Batch::default() };
            times.iter().for_each(|t| batch.push(PEER, Via::Datagram, *t, &[*t as u8]));
            batch
        };
        let order = |batches: Vec<Batch>| {
            let mut got = Vec::new();
            let (mut batches, mut emptied) = (VecDeque::from(batches), VecDeque::new());
            in_order(&mut batches, Due::All, &mut Vec::new(), &mut emptied, |p| {
                got.push(p.bytes[0]);
            });
            assert!(batches.is_empty());
            got
        };
        let (a, b) = (batch(Some(0), &[1, 4, 5]), batch(Some(1), &[2, 3, 6]));
        assert_eq!(order(vec![a, b]), [1, 2, 3, 4, 5, 6]);
        // A clock that goes back does not make a stream of a socket jump.
        let (a, b) = (batch(Some(0), &[5, 4]), batch(Some(0), &[3]));
        assert_eq!(order(vec![a, b]), [5, 4, 3]);
        let (a, b) = (batch(Some(0), &[2, 7]), batch(None, &[9, 1]));
        assert_eq!(order(vec![a, b]), [9, 1, 2, 7]);
    }

    #[test]
    fn what_another_socket_may_have_something_older_than_waits() {
        let batch = |socket, times: &[u64]| {
            let mut batch = Batch { socket: Some(socket), ..Batch::default() };
            times.iter().for_each(|t| batch.push(PEER, Via::Datagram, *t, &[*t as u8]));
            batch
        };
        let (mut held, mut order, mut emptied) = (VecDeque::new(), Vec::new(), VecDeque::new());
        for (new, due, want, emptied_now) in [
            (vec![batch(0, &[1, 4, 7])], Due::Until(3, 100), &[1][..], 0),
            (vec![batch(1, &[2, 5])], Due::Until(4, 100), &[2, 4], 0),
            (vec![batch(0, &[8, 9])], Due::Until(7, 100), &[5, 7], 2),
            (vec![batch(1, &[101])], Due::Until(8, 100), &[8, 101], 1), // the clock was set back
            (vec![], Due::Until(8, 100), &[], 0),
            (vec![batch(1, &[3])], Due::All, &[3, 9], 2),
        ] {
            held.extend(new);
            let mut got = Vec::new();
            in_order(&mut held, due, &mut order, &mut emptied, |p| got.push(p.bytes[0]));
            assert_eq!((&got[..], emptied.len()), (want, emptied_now), "{due:?}");
            emptied.clear();
        }
        assert!(held.is_empty());
    }

    #[test]
    fn a_full_queue_holds_receivers_back_until_it_is_taken() {
        let limit = 3 * batch(0).weight();
        let inbox = Inbox::new(limit, 1);
        let (mut total, mut largest) = (0, 0);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for n in 0..200 {
                    inbox.put(&mut batch(n));
                }
                inbox.finish();
            });
            let mut taken = VecDeque::new();
            while inbox.take(&mut taken, LONG) == Taken::Batches {
                total += taken.len();
                largest = largest.max(taken.iter().map(Batch::weight).sum());
            }
        });
        assert_eq!(total, 200);
        assert!(largest <= limit + batch(0).weight(), "{largest} octets at once, limit {limit}");
    }

    #[test]
    fn receivers_end_when_the_decoder_is_gone() {
        let inbox = Inbox::new(0, 1);
        std::thread::scope(|scope| {
            scope.spawn(|| (0..5).for_each(|n| inbox.put(&mut batch(n))));
            while inbox.lock().queue.is_empty() {
                std::thread::yield_now();
            }
            inbox.abandon();
        });
        assert_eq!(inbox.lock().queue.len(), 1, "a full queue takes nothing more");
    }

    #[test]
    fn emptied_batches_are_used_again() {
        let inbox = Inbox::new(1 << 20, 1);
        let mut mine = batch(1);
        inbox.put(&mut mine);
        assert_eq!(mine.bytes.capacity(), 0);
        let mut taken = VecDeque::new();
        inbox.take(&mut taken, LONG);
        inbox.take(&mut taken, Duration::ZERO);
        mine = batch(2);
        inbox.put(&mut mine);
        assert!(mine.is_empty() && mine.bytes.capacity() >= 100);
        // Whoever gets it next may have no socket.
        let mut mine = Batch { socket: Some(3), port: 9995, ..batch(3) };
        mine.clear();
        assert_eq!(mine, Batch::default());
    }
}
