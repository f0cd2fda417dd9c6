//! How far the kernel's drops were counted on each socket.
//!
//! Sockets outlive a collector where a service manager holds them, and so does the kernel's counter
//! of what it dropped on them. `BASE/.flowsuite-sockets.no-pcap` tells the next collector up to
//! which reading drops are in statements of loss; `BASE` is the directory of the first source. It is
//! written behind the statements of each slot with drops: what a collector that crashed has counted
//! since then is in no statement, and is counted again.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use store::side;
use sys::udp::DropMark;

use crate::{Config, Sources};

/// The readings of all sockets, and those that are written down.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    now: Vec<DropMark>,
    written: Vec<DropMark>,
}

impl Marks {
    /// Drops of a socket have been counted up to here.
    pub(crate) fn note(&mut self, mark: DropMark) {
        match self.now.iter_mut().find(|known| known.cookie == mark.cookie) {
            Some(known) => *known = mark,
            None => self.now.push(mark),
        }
    }

    /// What is to be written down, if it is not.
    pub(crate) fn take_new(&mut self, config: &Config) -> Option<MarksJob> {
        let dir = base(config).filter(|_| self.now != self.written)?;
        self.written.clone_from(&self.now);
        Some(MarksJob { dir: dir.to_owned(), marks: self.now.clone() })
    }
}

/// Marks to be written down.
pub(crate) struct MarksJob {
    dir: PathBuf,
    marks: Vec<DropMark>,
}

/// What the file holds, as JSON.
#[derive(Debug, Serialize, Deserialize)]
struct Document {
    /// Numbers of sockets begin anew with each boot.
    boot: String,
    /// Number of a socket, reading of its counter.
    drops: Vec<(u64, u32)>,
}

impl MarksJob {
    /// Writes them in place of what is there.
    ///
    /// # Errors
    /// If the disk does not take them, or the system does not tell boots apart. What is there stays.
    pub(crate) fn save(&self) -> io::Result<()> {
        let drops = self.marks.iter().map(|mark| (mark.cookie, mark.counted)).collect();
        let text = serde_json::to_vec(&Document { boot: sys::clock::boot_id()?, drops })?;
        let draft = side::of_directory(&self.dir, &format!("sockets.draft.{}", std::process::id()));
        let written = fs::write(&draft, text).and_then(|()| fs::rename(&draft, path(&self.dir)));
        written.inspect_err(|_| {
            let _ = fs::remove_file(&draft); // written over by the next one otherwise
        })
    }
}

/// How far the collector before this one had counted the drops of its sockets, should they be
/// handed over. Nothing, if it has not said so since the system was started.
pub fn last_marks(config: &Config) -> Vec<DropMark> {
    let text = base(config).and_then(|dir| fs::read(path(dir)).ok());
    let document = text.and_then(|text| serde_json::from_slice::<Document>(&text).ok());
    let document = document.filter(|d| sys::clock::boot_id().is_ok_and(|boot| boot == d.boot));
    let drops = document.map(|document| document.drops).unwrap_or_default();
    drops.into_iter().map(|(cookie, counted)| DropMark { cookie, counted }).collect()
}

/// The directory of the first source.
fn base(config: &Config) -> Option<&Path> {
    match &config.sources {
        Sources::One { dir, .. } | Sources::PerExporter { dir, .. } => Some(dir),
        Sources::Listed(list) => list.first().map(|source| source.dir.as_path()),
    }
}

fn path(dir: &Path) -> PathBuf {
    side::of_directory(dir, "sockets")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_written_when_they_have_changed_and_hold_until_the_next_boot() {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config::new(sys::udp::Listen::default(), dir.path().to_owned());
        config.sources = Sources::PerExporter { dir: dir.path().to_owned(), limit: 9 };
        assert!(last_marks(&config).is_empty());
        let mark = |cookie, counted| DropMark { cookie, counted };
        let mut marks = Marks::default();
        assert!(marks.take_new(&config).is_none());
        for mark in [mark(1, 0), mark(2, 5), mark(1, 7)] {
            marks.note(mark);
        }
        marks.take_new(&config).unwrap().save().unwrap();
        assert!(marks.take_new(&config).is_none());
        assert_eq!(last_marks(&config), [mark(1, 7), mark(2, 5)]);
        let names: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap()).collect();
        assert_eq!(names.len(), 1, "no draft is left: {names:?}");
        // Another boot, and what is none of ours.
        let text = fs::read_to_string(path(dir.path())).unwrap();
        let boot = sys::clock::boot_id().unwrap();
        for other in [text.replace(&boot, "another"), text[..text.len() - 1].to_owned()] {
            fs::write(path(dir.path()), other).unwrap();
            assert!(last_marks(&config).is_empty());
        }
    }
}
