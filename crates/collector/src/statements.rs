//! Loss statements on their way to disk: on a full one they wait in memory.
//!
//! A full disk is when they matter most, so those that cannot be written are written with the next
//! one of their directory. How many may wait is bounded.

use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};

use store::loss::Statement;

/// Statements that are not written yet, by directory.
#[derive(Debug, Default)]
pub(crate) struct Statements {
    waiting: HashMap<PathBuf, VecDeque<Statement>>,
    /// What all that wait come to.
    weight: usize,
}

/// Statements and exporters in them that may wait, in all directories together: about 32 MiB.
const WEIGHT_MAX: usize = 1 << 16;

impl Statements {
    /// Writes a statement behind those that wait for the same directory.
    pub(crate) fn put(&mut self, dir: &Path, statement: Statement) {
        self.weight += weight(&statement);
        self.waiting.entry(dir.to_owned()).or_default().push_back(statement);
        self.write(dir);
        while self.weight > WEIGHT_MAX {
            let Some(lost) = self.waiting.get_mut(dir).and_then(VecDeque::pop_front) else {
                return;
            };
            self.weight -= weight(&lost);
            log::error!("Ident: '{}': no loss statement of {}", lost.ident, lost.file);
        }
    }

    /// Tries all once more.
    pub(crate) fn end(&mut self) {
        let dirs: Vec<_> = self.waiting.keys().cloned().collect();
        dirs.iter().for_each(|dir| self.write(dir));
        for lost in self.waiting.values().flatten() {
            log::error!("Ident: '{}': no loss statement of {}", lost.ident, lost.file);
        }
    }

    fn write(&mut self, dir: &Path) {
        let Some(waiting) = self.waiting.get_mut(dir) else { return };
        let is_new = waiting.len() == 1;
        while let Some(first) = waiting.front() {
            if let Err(e) = first.append(dir) {
                if is_new {
                    let ident = &first.ident;
                    log::warn!("Ident: '{ident}': {e}: loss statements wait until this works");
                }
                return;
            }
            self.weight -= weight(first);
            waiting.pop_front();
        }
        self.waiting.remove(dir);
    }
}

fn weight(statement: &Statement) -> usize {
    1 + statement.exporters.len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn statements_wait_for_room_in_their_order_and_not_without_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(".flowsuite-loss.20260410.no-pcap");
        fs::create_dir(&path).unwrap(); // nothing can be written there
        let file = "nfcapd.202604101200";
        let of = |stored| Statement { file: file.to_owned(), stored, ..Statement::default() };
        let mut all = Statements::default();
        let sent = WEIGHT_MAX as u64 + 10;
        (0..sent).for_each(|n| all.put(dir.path(), of(n)));
        assert_eq!(all.weight, WEIGHT_MAX);
        fs::remove_dir(&path).unwrap();
        all.end();
        assert_eq!((all.weight, all.waiting.len()), (0, 0));
        fs::write(dir.path().join(file), "").unwrap();
        let mut written = store::loss::Statements::new();
        let stored = written.of(&dir.path().join(file)).unwrap();
        assert!(stored.iter().map(|s| s.stored).eq(10..sent));
    }
}
