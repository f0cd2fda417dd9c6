//! Sending what was received on to other collectors, unchanged.
//!
//! ```text
//! Outgoing ─repeat()─▶ a bounded queue for each target ─▶ its thread: select, send, count
//! ```
//!
//! Datagrams are copied once, however many targets there are, and collecting never waits for any of
//! them: what a target cannot take in time is dropped and counted. For each target what was offered
//! is the sum of what was sent and of every [cause](TargetCounts) why something was not.

mod target;
mod worker;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};

pub use target::{Target, TargetError, Version};

use crate::Error;
use worker::Worker;

/// Octets that wait for a target at most, unless told otherwise: a second of a busy collector.
pub const QUEUE_BYTES: usize = 16 << 20;

/// Datagrams to be repeated together, copied.
#[derive(Debug, Default)]
pub struct Outgoing {
    heads: Vec<Head>,
    bytes: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct Head {
    peer: SocketAddr,
    len: usize,
}

impl Outgoing {
    /// Adds a datagram of `peer`.
    pub fn push(&mut self, peer: SocketAddr, bytes: &[u8]) {
        self.heads.push(Head { peer, len: bytes.len() });
        self.bytes.extend_from_slice(bytes);
    }

    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.heads.is_empty()
    }

    fn iter(&self) -> impl Iterator<Item = (SocketAddr, &[u8])> {
        let mut rest = self.bytes.as_slice();
        self.heads.iter().map_while(move |head| {
            let (datagram, more) = rest.split_at_checked(head.len)?;
            rest = more;
            Some((head.peer, datagram))
        })
    }

    fn weight(&self) -> usize {
        size_of::<Self>() + self.bytes.capacity() + self.heads.capacity() * size_of::<Head>()
    }
}

macro_rules! counts {
    ($($(#[doc = $about:literal])+ $name:ident,)+) => {
        /// What became of the datagrams for one target: `offered` is the sum of all others but
        /// `unheard`, once nothing waits.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct TargetCounts {
            $($(#[doc = $about])+ pub $name: u64,)+
        }

        impl TargetCounts {
            /// Name, meaning and value of each.
            pub fn iter(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
                [$((stringify!($name), concat!($($about),+).trim_ascii(), self.$name),)+].into_iter()
            }

            fn add(&mut self, other: &Self) {
                $(self.$name += other.$name;)+
            }
        }
    };
}

counts! {
    /// Datagrams given to the repeater.
    offered,
    /// Datagrams sent.
    sent,
    /// Dropped because too many waited for the target already.
    queue_full,
    /// Left out: of a sender that the target does not want.
    other_sender,
    /// Left out: of a protocol version that the target does not want.
    other_version,
    /// Left out by sampling.
    sampled_out,
    /// Lost because the target's name has no address.
    unresolved,
    /// Lost because there is no way to the target.
    unreachable,
    /// Lost because they are longer than what the way takes.
    too_long,
    /// Lost because the system had no room to send.
    no_room,
    /// Lost because the system forbids sending: a packet filter.
    forbidden,
    /// Lost because the sender's address, to be kept, is not of the target's family.
    other_family,
    /// Lost for another reason of the system.
    failed,
    /// Reports of the target's host that nobody listens there; the datagrams count as sent.
    unheard,
}

impl TargetCounts {
    /// Datagrams that it should have got and did not.
    pub const fn failures(&self) -> u64 {
        self.queue_full
            + self.unresolved
            + self.unreachable
            + self.too_long
            + self.no_room
            + self.forbidden
            + self.other_family
            + self.failed
    }
}

/// Sends datagrams on to targets. Dropping it sends what waits, and then ends its threads.
#[derive(Debug)]
pub struct Repeater {
    lines: Vec<(String, Arc<Line>)>,
    threads: Vec<JoinHandle<()>>,
    queue_bytes: usize,
}

/// What a target's thread and everybody else share.
#[derive(Debug, Default)]
struct Line {
    state: Mutex<State>,
    filled: Condvar,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Arc<Outgoing>>,
    weight: usize,
    closed: bool,
    counts: TargetCounts,
}

impl Repeater {
    /// Starts a thread for each target. Raw sockets, for targets that keep the sender's address,
    /// are opened here: before privileges are given up.
    ///
    /// Names are looked up by the threads, so a name server that is away keeps nobody waiting; a
    /// target without an address is tried again.
    ///
    /// # Errors
    /// If a raw socket is refused or a thread cannot be started.
    pub fn start(targets: Vec<Target>) -> Result<Self, Error> {
        Self::with_queue(targets, QUEUE_BYTES)
    }

    /// As [`start`](Self::start), with so many octets that may wait for each target.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn with_queue(targets: Vec<Target>, queue_bytes: usize) -> Result<Self, Error> {
        let workers: Vec<Worker> =
            targets.into_iter().map(Worker::new).collect::<Result<_, sys::Error>>()?;
        let mut repeater = Self { lines: Vec::new(), threads: Vec::new(), queue_bytes };
        for (n, mut worker) in workers.into_iter().enumerate() {
            let line = Arc::new(Line::default());
            let name = worker.name();
            let theirs = Arc::clone(&line);
            let thread = Builder::new().name(format!("repeat {n}")).spawn(move || {
                theirs.work(|batch, counts| worker.send(batch, counts));
            });
            repeater.threads.push(thread.map_err(Error::Thread)?);
            repeater.lines.push((name, line));
        }
        Ok(repeater)
    }

    /// Hands `batch` to all targets and leaves an empty one in its place. Never waits.
    pub fn repeat(&self, batch: &mut Outgoing) {
        if batch.is_empty() || self.lines.is_empty() {
            batch.heads.clear();
            batch.bytes.clear();
            return;
        }
        let empty = Outgoing {
            heads: Vec::with_capacity(batch.heads.len()),
            bytes: Vec::with_capacity(batch.bytes.len()),
        };
        let batch = Arc::new(std::mem::replace(batch, empty));
        for (_, line) in &self.lines {
            line.put(Arc::clone(&batch), self.queue_bytes);
        }
    }

    /// Each target, as it was given, and what became of its datagrams so far.
    pub fn counts(&self) -> impl Iterator<Item = (&str, TargetCounts)> {
        self.lines.iter().map(|(name, line)| (name.as_str(), line.lock().counts))
    }
}

impl Drop for Repeater {
    fn drop(&mut self) {
        for (_, line) in &self.lines {
            line.lock().closed = true;
            line.filled.notify_one();
        }
        for thread in self.threads.drain(..) {
            // One that panicked has said so.
            let _ = thread.join();
        }
    }
}

impl Line {
    fn put(&self, batch: Arc<Outgoing>, limit: usize) {
        let count = batch.heads.len() as u64;
        let weight = batch.weight();
        let mut state = self.lock();
        state.counts.offered += count;
        // One batch is let in whatever its size and whatever the limit.
        if !state.queue.is_empty() && state.weight + weight > limit {
            state.counts.queue_full += count;
            return;
        }
        state.weight += weight;
        state.queue.push_back(batch);
        drop(state);
        self.filled.notify_one();
    }

    /// Gives batches to `send`, one after the other, until the line is closed and empty.
    fn work(&self, mut send: impl FnMut(&Outgoing, &mut TargetCounts)) {
        let mut state = self.lock();
        loop {
            while let Some(batch) = state.queue.pop_front() {
                state.weight = state.weight.saturating_sub(batch.weight());
                drop(state);
                let mut counts = TargetCounts::default();
                send(&batch, &mut counts);
                drop(batch);
                state = self.lock();
                state.counts.add(&counts);
            }
            if state.closed {
                return;
            }
            state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// A thread that panicked while it held the lock leaves whole numbers behind.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
