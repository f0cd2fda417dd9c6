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
/// Nobody waits for a sink that is busy but who has something for it.
pub(crate) struct Ordered<F> {
    state: Mutex<OrderedState>,
    moved: Condvar,
    /// Locked by whose turn it is.
    sink: Mutex<F>,
}

/// Text in pieces, so that a long one need not be copied to grow. What was handed on is used again:
/// memory that goes back to the system comes back at the price of filling it twice.
#[derive(Debug, Default)]
pub(crate) struct Pieces {
    full: Vec<Vec<u8>>,
    blank: Vec<Vec<u8>>,
}

impl Pieces {
    /// Adds a piece.
    pub(crate) fn push(&mut self, piece: Vec<u8>) {
        self.full.push(piece);
    }

    /// An empty piece with room for so many octets.
    pub(crate) fn blank(&mut self, room: usize) -> Vec<u8> {
        let mut piece = self.blank.pop().unwrap_or_default();
        piece.reserve(room);
        piece
    }

    fn len(&self) -> usize {
        self.full.iter().map(Vec::len).sum()
    }

    /// Hands all pieces over, until somebody has enough.
    fn hand_over(&mut self, mut sink: impl FnMut(&[u8]) -> ControlFlow<()>) -> ControlFlow<()> {
        for mut piece in self.full.drain(..) {
            sink(&piece)?;
            piece.clear();
            self.blank.push(piece);
        }
        ControlFlow::Continue(())
    }
}

struct OrderedState {
    next: u32,
    waiting: std::collections::BTreeMap<u32, Vec<u8>>,
}

/// What is due when nothing is wanted any more.
const DONE: u32 = u32::MAX;

impl<F: FnMut(&[u8]) -> ControlFlow<()>> Ordered<F> {
    /// Octets of a result that may wait here, and how many such results.
    const SMALL: usize = 1 << 16;
    const WAITING: usize = 32;

    /// The sink gets pieces of text in order; it wants no more once it breaks.
    pub(crate) fn new(sink: F) -> Self {
        let state = OrderedState { next: 0, waiting: std::collections::BTreeMap::new() };
        Self { state: Mutex::new(state), moved: Condvar::new(), sink: Mutex::new(sink) }
    }

    /// Hands over the first pieces of what is made of block `number`, if it is its turn.
    pub(crate) fn stream(&self, number: u32, pieces: &mut Pieces) -> ControlFlow<()> {
        let next = lock(&self.state).next;
        match next == number {
            true => self.write(pieces),
            false if next == DONE => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }

    /// Hands over the rest of block `number`, all of it if nothing was streamed. `pieces` comes
    /// back empty. Breaks as soon as the sink wants no more.
    pub(crate) fn finish(&self, number: u32, pieces: &mut Pieces) -> ControlFlow<()> {
        let mut s = lock(&self.state);
        while s.next < number {
            if pieces.len() <= Self::SMALL && s.waiting.len() < Self::WAITING {
                let mut text = Vec::new();
                let _ = pieces.hand_over(|piece| {
                    text.extend_from_slice(piece);
                    ControlFlow::Continue(())
                });
                s.waiting.insert(number, text);
                return ControlFlow::Continue(());
            }
            s = self.moved.wait(s).unwrap_or_else(PoisonError::into_inner);
        }
        if s.next != number {
            return ControlFlow::Break(()); // the sink was done before
        }
        drop(s);
        self.write(pieces)?;
        // What waits behind it, as long as the next one is there. Whose turn it is changes only here.
        loop {
            let mut s = lock(&self.state);
            if s.next == DONE {
                return ControlFlow::Break(());
            }
            s.next += 1;
            let due = s.next;
            let Some(text) = s.waiting.remove(&due) else {
                self.moved.notify_all();
                return ControlFlow::Continue(());
            };
            drop(s);
            pieces.push(text);
            self.write(pieces)?;
        }
    }

    /// Writes pieces of the block that is due. Nobody waits for a sink that is done.
    fn write(&self, pieces: &mut Pieces) -> ControlFlow<()> {
        let flow = pieces.hand_over(&mut *lock(&self.sink));
        if flow.is_break() {
            self.abort();
        }
        flow
    }

    /// Keep this while making a result: should that panic, nobody waits for it.
    pub(crate) const fn abort_on_panic(&self) -> AbortOrdered<'_, F> {
        AbortOrdered(self)
    }
}

impl<F> Ordered<F> {
    fn abort(&self) {
        lock(&self.state).next = DONE;
        self.moved.notify_all();
    }
}

pub(crate) struct AbortOrdered<'a, F>(&'a Ordered<F>);

impl<F> Drop for AbortOrdered<'_, F> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.abort();
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
        let mut large = Pieces::default();
        large.push(vec![b'x'; 1 << 20]);
        std::thread::scope(|scope| {
            let late = scope.spawn(|| ordered.finish(1, &mut large));
            // Long enough for it to begin to wait; if it does not, the test has nothing to find.
            std::thread::sleep(std::time::Duration::from_millis(50));
            let mut first = Pieces::default();
            first.push(b"first".to_vec());
            assert!(ordered.stream(0, &mut first).is_break());
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
                let mut text = Pieces::default();
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
                        let mut piece = text.blank(4);
                        assert!(piece.is_empty());
                        piece.extend_from_slice(&n.to_le_bytes());
                        text.push(piece);
                        if i % 1024 == 1023 {
                            let _ = ordered.stream(n, &mut text);
                        }
                    }
                    assert!(ordered.finish(n, &mut text).is_continue());
                    assert_eq!(text.len(), 0);
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

    /// Who has nothing for the sink yet goes on while somebody else waits in it.
    #[test]
    fn a_busy_sink_keeps_nobody_from_work() {
        let (may_go_on, waits) = std::sync::mpsc::channel::<()>();
        let (entered, is_in) = std::sync::mpsc::channel();
        let ordered = Ordered::new(move |_: &[u8]| {
            let _ = entered.send(());
            let _ = waits.recv();
            ControlFlow::Continue(())
        });
        let piece = |octets: usize| {
            let mut pieces = Pieces::default();
            pieces.push(vec![b'x'; octets]);
            pieces
        };
        std::thread::scope(|scope| {
            let first = scope.spawn(|| ordered.finish(0, &mut piece(1 << 20)));
            is_in.recv().unwrap();
            assert!(ordered.stream(1, &mut piece(1 << 20)).is_continue());
            assert!(ordered.finish(2, &mut piece(3)).is_continue());
            drop(may_go_on);
            assert!(first.join().unwrap().is_continue());
        });
        assert!(ordered.finish(1, &mut piece(1)).is_continue());
        assert_eq!(lock(&ordered.state).next, 3, "what waited is written, too");
    }

    #[test]
    fn a_sink_that_is_done_stops_everybody() {
        let ordered = Ordered::new(|_: &[u8]| ControlFlow::Break(()));
        let mut text = Pieces::default();
        text.push(vec![0; 1 << 20]);
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
