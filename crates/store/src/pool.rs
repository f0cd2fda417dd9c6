//! Threads that pack and write blocks, shared by all writers of a process.
//!
//! A writer hands a block over and goes on with the next one. What is under way is bounded: if the
//! disk does not keep up, whoever hands over waits, and how long it has waited is counted. In a
//! collector the datagrams that come meanwhile are dropped, and counted, by the kernel.

use crate::compress::{Compression, Packer, Packing};
use crate::error::StoreError;
use crate::outlet::{Outlet, Packed};
use crate::survey::Surveyor;
use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Threads that pack and write blocks: given to [`Writer::create_in`](crate::Writer::create_in).
///
/// Dropped, it does what it has been given and then ends its threads.
pub struct Pool {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

/// What a pool has done since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolCounts {
    /// Blocks handed over.
    pub blocks: u64,
    /// Octets of their payloads.
    pub octets: u64,
    /// Blocks that had to wait before they were taken, because as much as allowed was under way.
    pub waits: u64,
    /// For how long, together.
    pub waited: Duration,
    /// Those that wait now.
    pub waiting: u64,
    /// Octets of payload under way now: handed over, not yet written.
    pub under_way: u64,
    /// The most that ever was.
    pub peak: u64,
    /// Buffers that had to be made because there was none to be used again.
    pub buffers: u64,
}

/// Octets under way at most, if nothing else is said: 64 full blocks.
const UNDER_WAY: usize = 64 << 20;
/// What the smallest block counts for: buffers are not smaller.
const LEAST: usize = 4096;

struct Shared {
    queue: Mutex<Queue>,
    /// There is something to do.
    work: Condvar,
    /// Something was done.
    room: Condvar,
    limit: usize,
    spares: Mutex<Spares>,
    packers: Mutex<Vec<Packer>>,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    counts: PoolCounts,
    is_closed: bool,
}

/// A block to be packed and written.
pub(crate) struct Job {
    pub(crate) outlet: Arc<Outlet>,
    /// Which block of its file.
    pub(crate) number: u64,
    pub(crate) payload: Vec<u8>,
    pub(crate) packing: Packing,
    /// What has packed a part of it already.
    pub(crate) begun: Option<Packer>,
}

impl Job {
    fn cost(&self) -> usize {
        self.payload.len().max(LEAST)
    }
}

impl Pool {
    /// A pool of so many threads, at least one, that lets 64 MiB be under way.
    ///
    /// # Errors
    /// If a thread cannot be started.
    pub fn new(threads: usize) -> Result<Self, StoreError> {
        Self::with_limit(threads, UNDER_WAY)
    }

    /// As [`new`](Self::new), with so many octets of payload under way at most. A single block is
    /// always taken.
    ///
    /// # Errors
    /// If a thread cannot be started.
    pub fn with_limit(threads: usize, octets: usize) -> Result<Self, StoreError> {
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            work: Condvar::new(),
            room: Condvar::new(),
            limit: octets,
            spares: Mutex::new(Spares::new(octets / 2)),
            packers: Mutex::default(),
        });
        let mut pool = Self { shared, threads: Vec::new() };
        for n in 0..threads.max(1) {
            let shared = Arc::clone(&pool.shared);
            let thread = thread::Builder::new()
                .name(format!("write {n}"))
                .spawn(move || shared.work())
                .map_err(StoreError::Thread)?;
            pool.threads.push(thread);
        }
        Ok(pool)
    }

    /// What it has done.
    pub fn counts(&self) -> PoolCounts {
        lock(&self.shared.queue).counts
    }

    /// Whether less than half of what is allowed is under way: whoever hands a few blocks over now
    /// does not wait.
    pub fn has_room(&self) -> bool {
        lock(&self.shared.queue).counts.under_way <= self.shared.limit as u64 / 2
    }

    /// Hands a block over. Waits while too much is under way.
    pub(crate) fn submit(&self, job: Job) {
        self.shared.submit(job);
    }

    /// An empty buffer with about so much room.
    pub(crate) fn buffer(&self, room: usize) -> Vec<u8> {
        let mut buffer = self.shared.buffer(room);
        buffer.clear();
        buffer
    }

    /// A packer for a payload of so many octets at most that is packed while it grows. `None` if
    /// this method cannot, or there is no memory.
    pub(crate) fn begin(&self, packing: Packing, most: usize) -> Option<Packer> {
        let mut packer = packing.is_by_rows().then(|| self.shared.packer(packing).ok())??;
        packer.begin(most, self.shared.buffer(Packer::bound(most))).then_some(packer)
    }

    /// Lets `f` use a packer.
    ///
    /// # Errors
    /// If there is no memory for one.
    pub(crate) fn with_packer<T>(
        &self,
        packing: Packing,
        f: impl FnOnce(&mut Packer) -> T,
    ) -> io::Result<T> {
        self.shared.with_packer(packing, f)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        lock(&self.shared.queue).is_closed = true;
        self.shared.work.notify_all();
        for thread in self.threads.drain(..) {
            let _ = thread.join(); // it panics only where its panics are caught
        }
    }
}

impl Shared {
    fn submit(&self, job: Job) {
        let cost = job.cost() as u64;
        let is_full =
            |q: &mut Queue| q.counts.under_way > 0 && q.counts.under_way + cost > self.limit as u64;
        let mut queue = lock(&self.queue);
        if is_full(&mut queue) {
            let start = sys::clock::monotonic();
            queue.counts.waiting += 1;
            queue = self.room.wait_while(queue, is_full).unwrap_or_else(PoisonError::into_inner);
            queue.counts.waiting -= 1;
            queue.counts.waits += 1;
            queue.counts.waited += start.elapsed();
        }
        let counts = &mut queue.counts;
        counts.blocks += 1;
        counts.octets += job.payload.len() as u64;
        counts.under_way += cost;
        counts.peak = counts.peak.max(counts.under_way);
        queue.jobs.push_back(job);
        drop(queue);
        self.work.notify_one();
    }

    /// What a thread does until the pool is dropped and all is done.
    fn work(&self) {
        let mut surveyor = None;
        while let Some(job) = self.take() {
            let cost = job.cost();
            let Job { outlet, number, payload, packing, begun } = job;
            if let Some(survey) = outlet.survey() {
                let shown = catch_unwind(AssertUnwindSafe(|| {
                    let surveyor = surveyor.get_or_insert_with(Surveyor::new);
                    surveyor.show(survey, number, &payload);
                }));
                if shown.is_err() {
                    surveyor = None; // a survey that misses a block says nothing of the file
                }
            }
            let pack = || match begun {
                Some(packer) => self.pack_rest(payload, packer, cost),
                None => self.pack(payload, packing, cost),
            };
            let packed = catch_unwind(AssertUnwindSafe(pack))
                .unwrap_or_else(|_| Err(io::Error::other("compression panicked: please report")));
            if packed.is_err() {
                self.release(cost, None); // nothing that could wait for its turn
            }
            outlet.put(number, packed, |packed| self.release(packed.cost, Some(packed.buffer)));
        }
    }

    fn take(&self) -> Option<Job> {
        let queue = lock(&self.queue);
        let idle = |q: &mut Queue| q.jobs.is_empty() && !q.is_closed;
        self.work.wait_while(queue, idle).unwrap_or_else(PoisonError::into_inner).jobs.pop_front()
    }

    fn pack(&self, payload: Vec<u8>, packing: Packing, cost: usize) -> io::Result<Packed> {
        if packing.method == Compression::None {
            let len = payload.len();
            return Ok(Packed { buffer: payload, len, cost });
        }
        let mut buffer = self.buffer(Packer::bound(payload.len()));
        let len =
            self.with_packer(packing, |packer| packer.pack_in(&payload, &mut buffer)).flatten();
        lock(&self.spares).put(payload);
        Ok(Packed { buffer, len: len?, cost })
    }

    fn pack_rest(&self, payload: Vec<u8>, mut begun: Packer, cost: usize) -> io::Result<Packed> {
        let (buffer, len) = begun.finish(&payload)?;
        self.keep(begun);
        lock(&self.spares).put(payload);
        Ok(Packed { buffer, len, cost })
    }

    fn release(&self, cost: usize, buffer: Option<Vec<u8>>) {
        if let Some(buffer) = buffer {
            lock(&self.spares).put(buffer);
        }
        let mut queue = lock(&self.queue);
        queue.counts.under_way = queue.counts.under_way.saturating_sub(cost as u64);
        drop(queue);
        self.room.notify_all();
    }

    /// A buffer that may have anything in it.
    fn buffer(&self, room: usize) -> Vec<u8> {
        let spare = lock(&self.spares).take(room);
        spare.unwrap_or_else(|| {
            lock(&self.queue).counts.buffers += 1;
            Vec::with_capacity(Spares::capacity(room))
        })
    }

    fn with_packer<T>(&self, packing: Packing, f: impl FnOnce(&mut Packer) -> T) -> io::Result<T> {
        let mut packer = self.packer(packing)?;
        let result = f(&mut packer);
        self.keep(packer);
        Ok(result)
    }

    fn packer(&self, packing: Packing) -> io::Result<Packer> {
        let mut packers = lock(&self.packers);
        let known = packers.iter().position(|p| p.packing() == packing);
        let known = known.map(|at| packers.swap_remove(at));
        drop(packers);
        known.map_or_else(|| Packer::new(packing), Ok)
    }

    fn keep(&self, packer: Packer) {
        let mut packers = lock(&self.packers);
        if packers.len() >= PACKERS {
            packers.remove(0); // of a method that is not used any more, or one too many
        }
        packers.push(packer);
    }
}

/// Packers kept while nobody uses them.
const PACKERS: usize = 64;

/// Buffers that wait to be used again, by the size of what fits: from 4 KiB in powers of two.
#[derive(Debug)]
struct Spares {
    classes: [Vec<Vec<u8>>; CLASSES],
    octets: usize,
    max: usize,
}

const CLASSES: usize = 12;

impl Spares {
    fn new(max: usize) -> Self {
        Self { classes: Default::default(), octets: 0, max }
    }

    /// What a new buffer for so much has.
    fn capacity(room: usize) -> usize {
        room.max(LEAST).next_power_of_two()
    }

    fn class(capacity: usize) -> usize {
        (capacity.max(LEAST).ilog2() - LEAST.ilog2()) as usize
    }

    fn take(&mut self, room: usize) -> Option<Vec<u8>> {
        let buffer = self.classes.get_mut(Self::class(Self::capacity(room)))?.pop()?;
        self.octets -= buffer.capacity();
        Some(buffer)
    }

    fn put(&mut self, buffer: Vec<u8>) {
        let capacity = buffer.capacity();
        if capacity < LEAST || self.octets + capacity > self.max {
            return;
        }
        if let Some(class) = self.classes.get_mut(Self::class(capacity)) {
            class.push(buffer);
            self.octets += capacity;
        }
    }
}

/// A panic elsewhere leaves what is behind these locks as it was before or after a step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_come_back_with_the_room_asked_for() {
        let mut spares = Spares::new(64 << 10);
        for (kept, asked, got) in [
            (4096, 1, Some(4096)),
            (4096, 4097, None),
            (8192, 4097, Some(8192)),
            (8191, 4096, Some(8191)),
            (4095, 1, None),
            (128 << 10, 128 << 10, None), // beyond what may be kept
        ] {
            spares.put(Vec::with_capacity(kept));
            let found = spares.take(asked).map(|b| b.capacity());
            assert_eq!(found, got, "{asked} of {kept}");
            if got.is_none() {
                spares.classes = Default::default();
                spares.octets = 0;
            }
        }
        for room in [0, 1, 4096, 4097, 1 << 20, (1 << 20) + 1, 5 << 20] {
            assert!(Spares::capacity(room) >= room);
            assert!(Spares::class(Spares::capacity(room)) < CLASSES);
        }
    }
}
