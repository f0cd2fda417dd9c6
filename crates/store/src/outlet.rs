//! The file behind a writer that has a pool: blocks are packed in any order and written in theirs.
//!
//! Whoever completes the block that is due writes it and all that have waited for it. Nothing is
//! locked while a block is packed or written, so a slow disk holds up the writer of one file and
//! nobody else.

use crate::survey::Survey;
use crate::tally::{Note, Tally, put_block};
use record::Totals;
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};

/// A file on its way, shared by its writer and the workers that have a block of it.
pub(crate) struct Outlet {
    file: Arc<File>,
    survey: OnceLock<Arc<dyn Survey>>,
    state: Mutex<State>,
    /// A block was written or lost.
    booked: Condvar,
}

#[derive(Debug, Default)]
struct State {
    tally: Tally,
    /// Number of the first block under way.
    first: u64,
    under_way: VecDeque<UnderWay>,
    /// Lists of notes, to be used again.
    lists: Vec<Vec<(u16, u64)>>,
}

#[derive(Debug)]
struct UnderWay {
    note: Note,
    /// Once it is packed, or cannot be.
    packed: Option<io::Result<Packed>>,
}

/// A payload as it goes to disk.
#[derive(Debug)]
pub(crate) struct Packed {
    pub(crate) buffer: Vec<u8>,
    /// Octets of the buffer that count.
    pub(crate) len: usize,
    /// What the block counts for in its pool.
    pub(crate) cost: usize,
}

impl Packed {
    fn octets(&self) -> &[u8] {
        self.buffer.get(..self.len).unwrap_or_default()
    }
}

impl Outlet {
    /// For a file with its header.
    pub(crate) fn new(file: Arc<File>, offset: u64) -> Self {
        let tally = Tally { offset, ..Tally::default() };
        let state = Mutex::new(State { tally, ..State::default() });
        Self { file, survey: OnceLock::new(), state, booked: Condvar::new() }
    }

    /// Who looks at the blocks, if somebody does.
    pub(crate) fn survey(&self) -> Option<&dyn Survey> {
        self.survey.get().map(Arc::as_ref)
    }

    /// Lets somebody look at the blocks, from the first one on.
    pub(crate) fn set_survey(&self, survey: Arc<dyn Survey>) {
        let _ = self.survey.set(survey); // the first one stays
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A list for the next note.
    pub(crate) fn list(&self) -> Vec<(u16, u64)> {
        self.lock().lists.pop().unwrap_or_default()
    }

    /// Gives the next block its number.
    pub(crate) fn announce(&self, note: Note) -> u64 {
        let mut state = self.lock();
        state.under_way.push_back(UnderWay { note, packed: None });
        state.first + state.under_way.len() as u64 - 1
    }

    /// Takes a packed block, and writes it and its successors if it is due. `release` gets each
    /// block back that was written or lost.
    pub(crate) fn put(&self, number: u64, packed: io::Result<Packed>, release: impl Fn(Packed)) {
        let mut state = self.lock();
        let at = usize::try_from(number.wrapping_sub(state.first)).unwrap_or(usize::MAX);
        if let Some(block) = state.under_way.get_mut(at) {
            block.packed = Some(packed);
        }
        // While somebody writes, the first block is there and not packed any more: nothing is due,
        // and whoever writes looks again.
        while let Some((packed, records)) = state.due() {
            let (number, offset) = (state.first, state.tally.offset);
            drop(state);
            let written = packed.and_then(|packed| {
                let end = put_block(&self.file, offset, records, packed.octets());
                release(packed);
                end
            });
            if let Some(survey) = self.survey() {
                survey.booked(number, written.is_ok());
            }
            state = self.lock();
            state.book(written);
            self.booked.notify_all();
        }
    }

    /// Waits until no block is under way.
    pub(crate) fn wait(&self) {
        let state = self.lock();
        let wait = self.booked.wait_while(state, |s| !s.under_way.is_empty());
        drop(wait.unwrap_or_else(PoisonError::into_inner));
    }

    /// Looks at the books.
    pub(crate) fn with<T>(&self, f: impl FnOnce(&mut Tally) -> T) -> T {
        f(&mut self.lock().tally)
    }

    /// Sums over all flows that are on disk or under way.
    pub(crate) fn totals(&self) -> Totals {
        let state = self.lock();
        let mut all = state.tally.totals;
        state.under_way.iter().for_each(|b| all.merge(&b.note.totals));
        all
    }
}

impl State {
    /// The next block, if it is packed.
    fn due(&mut self) -> Option<(io::Result<Packed>, u32)> {
        let block = self.under_way.front_mut()?;
        Some((block.packed.take()?, block.note.records))
    }

    fn book(&mut self, written: io::Result<u64>) {
        let Some(UnderWay { mut note, .. }) = self.under_way.pop_front() else { return };
        self.first += 1;
        self.tally.book(&note, written);
        note.exporters.clear();
        self.lists.push(note.exporters);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_written_in_their_order_whatever_order_they_are_packed_in() {
        let orders: [[usize; 4]; 4] = [[0, 1, 2, 3], [3, 2, 1, 0], [1, 0, 3, 2], [2, 3, 0, 1]];
        for order in orders {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("f");
            let file = File::create(&path).unwrap();
            let outlet = Outlet::new(Arc::new(file), 40);
            let numbers: Vec<u64> = (0..4)
                .map(|n| outlet.announce(Note { records: n + 1, ..Note::default() }))
                .collect();
            for n in order {
                let packed = match n {
                    1 => Err(io::ErrorKind::StorageFull.into()),
                    n => Ok(Packed { buffer: vec![n as u8; 10], len: 1 + n, cost: 0 }),
                };
                outlet.put(numbers[n], packed, drop);
            }
            outlet.wait();
            let (blocks, unwritten) = outlet.with(|t| (t.blocks, t.unwritten));
            assert_eq!((blocks, unwritten), (3, 2), "{order:?}");
            let got = std::fs::read(&path).unwrap();
            let mut want = vec![0; 40];
            for (records, payload) in [(1, &[0][..]), (3, &[2; 3]), (4, &[3; 4])] {
                let header = crate::BlockRef::encode_header(records, payload.len() as u32);
                want.extend_from_slice(&header);
                want.extend_from_slice(payload);
            }
            assert_eq!(got, want, "{order:?}");
        }
    }
}
