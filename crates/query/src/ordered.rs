//! What workers make of blocks, put back into reading order.

use crate::scan::lock;
use std::ops::ControlFlow;
use std::sync::{Condvar, Mutex, PoisonError};

/// A running sum handed from block to block in reading order.
#[derive(Default)]
pub(crate) struct Turn {
    state: Mutex<(u32, u64, bool)>,
    moved: Condvar,
}

impl Turn {
    /// Waits until all blocks before `number` have been here, then adds `n` and returns the sum
    /// before. Blocks are taken in order, so the first one in flight never waits.
    pub(crate) fn take(&self, number: u32, n: u64) -> u64 {
        let mut s = lock(&self.state);
        while s.0 != number && !s.2 {
            s = self.moved.wait(s).unwrap_or_else(PoisonError::into_inner);
        }
        let before = s.1;
        (s.0, s.1) = (number + 1, before + n);
        self.moved.notify_all();
        before
    }

    /// Keep this while something waits for its turn: should that panic, nobody waits for it.
    pub(crate) const fn abort_on_panic(&self) -> AbortTurn<'_> {
        AbortTurn(self)
    }

    /// Lets everybody go who waits, because one that they wait for is gone.
    pub(crate) fn abort(&self) {
        lock(&self.state).2 = true;
        self.moved.notify_all();
    }
}

pub(crate) struct AbortTurn<'a>(&'a Turn);

impl Drop for AbortTurn<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.abort();
        }
    }
}

/// Puts what is made of blocks back into reading order.
///
/// The block that is due streams to the sink piece by piece; small results of later blocks wait
/// here, large ones wait in the hands of their worker. So memory is what one block a worker makes.
pub(crate) struct Ordered<F> {
    state: Mutex<OrderedState<F>>,
    moved: Condvar,
}

/// Text in pieces, so that a long one need not be copied to grow.
pub(crate) type Pieces = Vec<Vec<u8>>;

struct OrderedState<F> {
    next: u32,
    waiting: std::collections::BTreeMap<u32, Pieces>,
    sink: F,
}

impl<F: FnMut(&[u8]) -> ControlFlow<()>> Ordered<F> {
    /// Octets of a result that may wait here, and how many such results.
    const SMALL: usize = 1 << 16;
    const WAITING: usize = 32;

    /// The sink gets pieces of text in order; it wants no more once it breaks.
    pub(crate) fn new(sink: F) -> Self {
        let state = OrderedState { next: 0, waiting: std::collections::BTreeMap::new(), sink };
        Self { state: Mutex::new(state), moved: Condvar::new() }
    }

    /// Hands over the first pieces of what is made of block `number`, if it is its turn.
    pub(crate) fn stream(&self, number: u32, pieces: &mut Pieces) -> ControlFlow<()> {
        let mut s = lock(&self.state);
        if s.next != number {
            return ControlFlow::Continue(());
        }
        let flow = s.write(pieces);
        if flow.is_break() {
            self.moved.notify_all();
        }
        flow
    }

    /// Hands over the rest of block `number`, all of it if nothing was streamed. `pieces` comes
    /// back empty. Breaks as soon as the sink wants no more.
    pub(crate) fn finish(&self, number: u32, pieces: &mut Pieces) -> ControlFlow<()> {
        let mut s = lock(&self.state);
        while s.next < number {
            let is_small = pieces.iter().map(Vec::len).sum::<usize>() <= Self::SMALL;
            if is_small && s.waiting.len() < Self::WAITING {
                s.waiting.insert(number, std::mem::take(pieces));
                return ControlFlow::Continue(());
            }
            s = self.moved.wait(s).unwrap_or_else(PoisonError::into_inner);
        }
        if s.next != number {
            return ControlFlow::Break(()); // the sink was done before
        }
        let mut flow = s.write(pieces);
        while flow.is_continue() {
            s.next += 1;
            let due = s.next;
            let Some(mut pieces) = s.waiting.remove(&due) else { break };
            flow = s.write(&mut pieces);
        }
        self.moved.notify_all();
        flow
    }

    /// Keep this while making a result: should that panic, nobody waits for it.
    pub(crate) const fn abort_on_panic(&self) -> AbortOrdered<'_, F> {
        AbortOrdered(self)
    }
}

impl<F: FnMut(&[u8]) -> ControlFlow<()>> OrderedState<F> {
    /// Writes pieces. Nobody waits for a sink that is done.
    fn write(&mut self, pieces: &mut Pieces) -> ControlFlow<()> {
        for piece in pieces.drain(..) {
            if (self.sink)(&piece).is_break() {
                self.next = u32::MAX;
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    }
}

pub(crate) struct AbortOrdered<'a, F>(&'a Ordered<F>);

impl<F> Drop for AbortOrdered<'_, F> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            lock(&self.0.state).next = u32::MAX;
            self.0.moved.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::Ordering;

    /// A large result of a later block waits for its turn, which never comes: it must not wait on.
    #[test]
    fn a_sink_that_breaks_off_in_a_stream_releases_who_waits() {
        let ordered = Ordered::new(|_: &[u8]| ControlFlow::Break(()));
        let mut large = vec![vec![b'x'; 1 << 20]];
        std::thread::scope(|scope| {
            let late = scope.spawn(|| ordered.finish(1, &mut large));
            // Long enough for it to begin to wait; if it does not, the test has nothing to find.
            std::thread::sleep(std::time::Duration::from_millis(50));
            assert!(ordered.stream(0, &mut vec![b"first".to_vec()]).is_break());
            assert!(late.join().unwrap().is_break());
        });
    }

    /// Whatever the sizes and whoever is first, the sink sees all pieces in order.
    #[test]
    fn pieces_come_out_in_order() {
        for threads in [1, 2, 5] {
            let mut out = Vec::new();
            let ordered = Ordered::new(|text: &[u8]| {
                out.extend_from_slice(text);
                ControlFlow::Continue(())
            });
            let next = std::sync::atomic::AtomicU32::new(0);
            crate::scan::run_on(threads, || {
                let mut text = Vec::new();
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= 300 {
                        return;
                    }
                    // Every third result is too large to wait, every seventh is empty.
                    let repeat = if n.is_multiple_of(7) {
                        0
                    } else if n.is_multiple_of(3) {
                        40_000
                    } else {
                        3
                    };
                    for i in 0..repeat {
                        text.push(n.to_le_bytes().to_vec());
                        if i % 1024 == 1023 {
                            let _ = ordered.stream(n, &mut text);
                        }
                    }
                    assert!(ordered.finish(n, &mut text).is_continue());
                    assert!(text.is_empty());
                }
            });
            drop(ordered);
            let numbers: Vec<u32> =
                out.chunks(4).map(|c| u32::from_le_bytes(c.try_into().unwrap())).collect();
            assert!(numbers.is_sorted(), "{threads} threads");
            let small = (0..300).filter(|n| n % 7 != 0 && n % 3 != 0).count();
            let large = (0..300).filter(|n| n % 7 != 0 && n % 3 == 0).count();
            assert_eq!(numbers.len(), small * 3 + large * 40_000);
        }
    }

    #[test]
    fn a_sink_that_is_done_stops_everybody() {
        let ordered = Ordered::new(|_: &[u8]| ControlFlow::Break(()));
        let mut text = vec![vec![0; 1 << 20]];
        assert!(ordered.finish(0, &mut text).is_break());
        text.push(vec![0; 1 << 20]);
        assert!(ordered.finish(7, &mut text).is_break(), "nobody waits for blocks 1 to 6");
    }

    #[test]
    fn running_numbers_follow_the_blocks() {
        let turn = Turn::default();
        std::thread::scope(|s| {
            s.spawn(|| assert_eq!(turn.take(1, 5), 10));
            s.spawn(|| assert_eq!(turn.take(2, 1), 15));
            s.spawn(|| assert_eq!(turn.take(0, 10), 0));
        });
    }
}
