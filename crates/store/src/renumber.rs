//! Exporter numbers where flows of several files meet in one.
//!
//! A number means something within its file only, and begins at 1 in each process that writes
//! (9.1). In the new file an exporter keeps its number if that is free there, and has one number
//! however many files it comes from.

use crate::meta::MetaRecord;
use crate::reader::{BlockReader, FlowFile};
use record::{Addr, Exporter};
use std::collections::HashMap;

/// What makes two exporters the same: address, version, observation domain.
type Identity = (Addr, u32, u32);

/// The numbers of a new file. The files that go into it are told apart by an index that the
/// caller chooses.
#[derive(Debug, Default)]
pub struct Renumber {
    /// From (file, number there).
    known: HashMap<(usize, u32), u32>,
    by_identity: HashMap<Identity, u32>,
    /// Numbers of the new file; `None` where nothing says who that is.
    taken: HashMap<u32, Option<Identity>>,
    /// No lower number is free.
    lowest: u32,
    /// Exporters whose record comes after their first flow, by file.
    later: HashMap<usize, HashMap<u32, Exporter>>,
}

impl Renumber {
    /// Takes note of an exporter of `file`. Returns the record for the new file, `None` if that
    /// has it already.
    pub fn add(&mut self, file: usize, e: &Exporter) -> Option<Exporter> {
        let identity = (e.addr, e.version, e.id);
        if let Some(n) = self.by_identity.get(&identity) {
            self.known.insert((file, e.sysid), *n);
            return None;
        }
        let sysid = self.take(e.sysid, Some(identity));
        self.by_identity.insert(identity, sysid);
        self.known.insert((file, e.sysid), sysid);
        Some(Exporter { sysid, ..*e })
    }

    /// The number in the new file, and the record that has to be written before it is used, if
    /// there is one.
    ///
    /// `later` yields the exporters of the rest of the file. It is called at most once a file,
    /// when a number comes up whose exporter has not been met. A number that nothing explains gets
    /// one in the new file that belongs to nobody else. 0 is no exporter and stays.
    pub fn number(
        &mut self,
        file: usize,
        number: u32,
        later: impl FnOnce() -> Vec<Exporter>,
    ) -> (u32, Option<Exporter>) {
        if let Some(n) = self.known(file, number) {
            return (n, None);
        }
        let first = |all: Vec<Exporter>| all.into_iter().rev().map(|e| (e.sysid, e)).collect();
        let later = self.later.entry(file).or_insert_with(|| first(later()));
        let Some(exporter) = later.get(&number).copied() else {
            let n = self.take(number, None);
            self.known.insert((file, number), n);
            return (n, None);
        };
        let record = self.add(file, &exporter);
        (self.known(file, number).unwrap_or(number), record)
    }

    /// The number in the new file, if the exporter has been met.
    pub fn known(&self, file: usize, number: u32) -> Option<u32> {
        if number == 0 { Some(0) } else { self.known.get(&(file, number)).copied() }
    }

    /// Takes a number: the one wished for, or the lowest that is free. Files of layout 2 have room
    /// for 16 bits, so none beyond is given as long as there is another.
    fn take(&mut self, wish: u32, identity: Option<Identity>) -> u32 {
        let is_free = (1..=u32::from(u16::MAX)).contains(&wish) && !self.taken.contains_key(&wish);
        let number = if is_free { wish } else { self.lowest_free() };
        self.taken.insert(number, identity);
        number
    }

    fn lowest_free(&mut self) -> u32 {
        self.lowest = self.lowest.max(1);
        while self.taken.contains_key(&self.lowest) {
            self.lowest = self.lowest.saturating_add(1);
        }
        self.lowest
    }
}

/// The exporters of a file from block number `from` on, in the order of their records. What
/// cannot be read says nothing.
pub fn exporters(file: &FlowFile, from: usize) -> Vec<Exporter> {
    let mut reader = BlockReader::new();
    let mut all = Vec::new();
    for n in from..file.blocks().len() {
        let Ok(block) = reader.load(file, n) else { continue };
        all.extend(block.meta.iter().filter_map(|m| match m {
            MetaRecord::Exporter(e) => Some(*e),
            _ => None,
        }));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exporter(sysid: u32, addr: u32) -> Exporter {
        Exporter { sysid, version: 9, addr: Addr::V4(addr), id: 0 }
    }

    fn none() -> Vec<Exporter> {
        Vec::new()
    }

    #[test]
    fn an_exporter_keeps_its_number_where_it_can() {
        let mut r = Renumber::default();
        assert_eq!(r.add(0, &exporter(1, 10)), Some(exporter(1, 10)));
        assert_eq!(r.add(0, &exporter(2, 20)), Some(exporter(2, 20)));
        assert_eq!(r.add(1, &exporter(1, 20)), None, "known as 2");
        assert_eq!(r.add(1, &exporter(2, 30)), Some(exporter(3, 30)));
        assert_eq!(r.add(1, &exporter(7, 40)), Some(exporter(7, 40)));
        let of = |r: &mut Renumber, file, n| r.number(file, n, none).0;
        assert_eq!(
            [(0, 1), (0, 2), (1, 1), (1, 2), (1, 7)].map(|(f, n)| of(&mut r, f, n)),
            [1, 2, 2, 3, 7]
        );
        assert_eq!(of(&mut r, 1, 0), 0);
    }

    #[test]
    fn the_lowest_free_number_is_taken() {
        let mut r = Renumber::default();
        r.add(0, &exporter(65_535, 10));
        r.add(0, &exporter(2, 20));
        assert_eq!(r.add(1, &exporter(65_535, 30)), Some(exporter(1, 30)));
        assert_eq!(r.add(1, &exporter(2, 40)), Some(exporter(3, 40)));
        assert_eq!(r.number(1, 2, none), (3, None));
        assert_eq!(r.add(2, &exporter(1, 50)), Some(exporter(4, 50)));
        assert_eq!(r.add(2, &exporter(70_000, 60)), Some(exporter(5, 60)), "fits 16 bits");
    }

    #[test]
    fn a_record_behind_its_flows_counts_for_them() {
        let mut r = Renumber::default();
        r.add(0, &exporter(1, 10));
        let later = || vec![exporter(1, 20), exporter(2, 10), exporter(1, 99)];
        assert_eq!(r.number(1, 1, later), (2, Some(exporter(2, 20))), "the first one of a number");
        assert_eq!(r.number(1, 2, || panic!("asked twice")), (1, None));
        assert_eq!(r.add(1, &exporter(1, 20)), None, "was written ahead");
    }

    #[test]
    fn a_number_that_nothing_explains_is_nobodys() {
        let mut r = Renumber::default();
        r.add(0, &exporter(1, 10));
        assert_eq!(r.number(1, 1, none), (2, None));
        assert_eq!(r.number(1, 5, none), (5, None));
        assert_eq!(r.add(2, &exporter(5, 50)), Some(exporter(3, 50)), "5 is somebody else");
    }
}
