//! After a crash: files that a process left open get their end and their name.
//!
//! Whoever writes files gives them [temporary names](temporary_name) that tell process and slot. At
//! the next start those of processes that are gone only change hands ([`claim`]), so that nobody else
//! takes them, too: what is received does not wait until they are read. They are finished
//! ([`take_in`]) before the first file of the new process, because that may be merged with them.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::StoreError;
use crate::loss::{Loss, Place as Where, Statement};
use crate::resume::{Resumed, resume};
use crate::rotate::{self, Place, Published, Settled, Slot, slot_of};

/// A file that a process which is gone has left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leftover {
    /// Where it is now.
    pub path: PathBuf,
    /// The slot it is of.
    pub slot: Slot,
    /// Name of its source.
    pub ident: String,
    /// Number of the process that is gone.
    pub pid: u32,
}

/// What [`claim`] has found.
#[derive(Debug, Default)]
pub struct Claimed {
    /// Files that are ours now, to be [taken in](take_in).
    pub files: Vec<Leftover>,
    /// Files whose flows are stored already; they are gone.
    pub stored: Vec<PathBuf>,
    /// Files that are where they were, and why.
    pub trouble: Vec<(PathBuf, StoreError)>,
}

/// `nfcapd.current.PID.SLOT.N`: tells after a crash whose a file was, and of which slot. `n` tells
/// apart the files of one slot.
pub fn temporary_name(pid: u32, slot: Slot, n: u64) -> String {
    rotate::temporary_name(format_args!("{pid}.{}.{n}", slot.start))
}

/// Process number and start of the slot in a name made by [`temporary_name`].
pub fn parse_temporary_name(name: &str) -> Option<(i32, u64)> {
    let mut parts = name.strip_prefix(&rotate::temporary_name(""))?.split('.');
    let (pid, slot) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    parts.next()?.parse::<u64>().ok()?;
    parts.next().is_none().then_some((pid, slot))
}

/// Makes ours what processes that are gone have left in the directory of a source. `ident` is the
/// name of that source, `interval_secs` the length of its slots.
pub fn claim(dir: &Path, ident: &str, interval_secs: u32) -> Claimed {
    let mut claimed = Claimed::default();
    let Ok(entries) = fs::read_dir(dir) else { return claimed };
    let mut found = BTreeSet::new();
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        let whole = rotate::STEPS.iter().find_map(|step| name.strip_suffix(step)).unwrap_or(name);
        if parse_temporary_name(whole).is_some_and(|(pid, _)| !sys::process::is_running(pid)) {
            found.insert(whole.to_owned());
        }
        remove_draft(&entry.path(), name);
    }
    for name in found {
        let Some((pid, start)) = parse_temporary_name(&name) else { continue };
        let slot = slot_of(start, interval_secs);
        match take(dir, &name, slot) {
            Ok(Change::Ours(path)) => {
                let pid = u32::try_from(pid).unwrap_or_default();
                claimed.files.push(Leftover { path, slot, ident: ident.to_owned(), pid });
            }
            Ok(Change::Stored) => claimed.stored.push(dir.join(name)),
            Ok(Change::Gone) => {}
            Err(e) => claimed.trouble.push((dir.join(name), e)),
        }
    }
    claimed
}

/// What came of claiming a file.
enum Change {
    Ours(PathBuf),
    /// What was begun with it is ended, and its flows are in the file with the name.
    Stored,
    /// Somebody else was faster.
    Gone,
}

/// Gives a file a name of this process, and first ends what was begun with it.
fn take(dir: &Path, name: &str, slot: Slot) -> Result<Change, StoreError> {
    let path = dir.join(name);
    if rotate::settle(&path)? == Settled::Done {
        return Ok(Change::Stored);
    }
    let own = std::process::id();
    for n in 0.. {
        let mine = dir.join(temporary_name(own, slot, n));
        if mine == path {
            // As in a container, where all have one number.
            return Ok(if path.exists() { Change::Ours(path) } else { Change::Gone });
        }
        if mine.exists() {
            continue;
        }
        let renamed = match sys::disk::rename_new(&path, &mine) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => continue,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Change::Gone),
            Err(_) => fs::rename(&path, &mine), // not in one step here
            Ok(()) => Ok(()),
        };
        return match renamed {
            Ok(()) => Ok(Change::Ours(mine)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Change::Gone),
            Err(source) => Err(StoreError::Io { what: "rename", path, source }),
        };
    }
    Ok(Change::Gone)
}

/// Removes the draft of a side file whose writer is gone.
fn remove_draft(path: &Path, name: &str) {
    let number = name
        .strip_prefix(crate::side::PREFIX)
        .and_then(|rest| rest.split_once(".draft."))
        .and_then(|(_, rest)| rest.split('.').next()?.parse().ok());
    if number.is_some_and(|pid| !sys::process::is_running(pid)) {
        let _ = fs::remove_file(path); // of no use to anyone, and the next start tries again
    }
}

/// What came of a file that had been left.
#[derive(Debug)]
pub enum Taken {
    /// It has its name.
    Named(Published, Box<Resumed>),
    /// Its flows were in the file with its name already.
    Before,
    /// There was nothing in it, and it is removed.
    Empty,
}

/// Gives a file its end if it lacks one, and its name; one without any block only if it
/// `may_be_empty`. It can be called again after an error.
///
/// # Errors
/// If the file cannot be ended or named. Nothing is lost.
pub fn take_in(
    path: &Path,
    place: &Place,
    ident: &str,
    slot: Slot,
    may_be_empty: bool,
) -> Result<Taken, StoreError> {
    if rotate::settle(path)? == Settled::Done {
        return Ok(Taken::Before);
    }
    let resumed = match resume(path, ident) {
        Err(StoreError::TooShort { .. }) => return remove(path).map(|()| Taken::Empty),
        other => other?,
    };
    if resumed.was_open && resumed.closed.blocks == 0 && !may_be_empty {
        return remove(path).map(|()| Taken::Empty);
    }
    let published = place.publish(path, slot)?;
    Ok(Taken::Named(published, Box::new(resumed)))
}

impl Leftover {
    /// What is known of its slot: what its collector had counted is gone with it.
    pub fn statement(&self, file: String, resumed: Option<&Resumed>) -> Statement {
        let loss = |place, what: &str, unit: &str, count| Loss {
            place,
            what: what.to_owned(),
            unit: unit.to_owned(),
            count,
            shared: false,
        };
        let was_open = resumed.is_none_or(|r| r.was_open);
        let unreadable = resumed.map_or(0, |r| r.unreadable_blocks);
        let losses = [
            loss(Where::Collector, "Ended by a crash", "slots", u64::from(was_open)),
            loss(Where::Disk, "Unreadable blocks", "blocks", unreadable),
        ];
        Statement {
            file,
            ident: self.ident.clone(),
            collector: self.pid,
            from: self.slot.start,
            until: self.slot.end(),
            stored: resumed.map_or(0, |r| r.closed.totals.all_flows()),
            losses: losses.into_iter().filter(|l| l.count > 0).collect(),
            ..Statement::default()
        }
    }
}

fn remove(path: &Path) -> Result<(), StoreError> {
    fs::remove_file(path).map_err(|source| StoreError::Io {
        what: "remove",
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn temporary_names_tell_process_and_slot() {
        let slot = Slot { start: 1_795_000_200, len: 300 };
        let name = temporary_name(4711, slot, 3);
        assert_eq!(name, "nfcapd.current.4711.1795000200.3");
        assert_eq!(parse_temporary_name(&name), Some((4711, 1_795_000_200)));
        for other in [
            "nfcapd.current.4711",
            "nfcapd.current.A1B2C3",
            "nfcapd.current.4711.1795000200",
            "nfcapd.current.4711.1795000200.3.merged",
            "nfcapd.current.4711.1795000200.x",
            "nfcapd.202611181105",
        ] {
            assert_eq!(parse_temporary_name(other), None, "{other}");
        }
    }

    /// A number that no process has: beyond the largest that the kernel gives.
    const NOBODY: u32 = i32::MAX as u32;

    #[test]
    fn files_of_the_dead_are_claimed_and_get_their_end_and_name() {
        let dir = tempfile::tempdir().unwrap();
        let slot = Slot { start: 1_795_000_200, len: 300 };
        let (dead, alive) = (temporary_name(NOBODY, slot, 0), temporary_name(1, slot, 0));
        for name in [&dead, &alive] {
            let path = dir.path().join(name);
            let mut writer = crate::Writer::create(&path, &Default::default()).unwrap();
            (0..3).for_each(|_| record::FlowSink::flow(&mut writer, &record::Flow::new()));
            writer.flush().unwrap(); // and no end
        }
        let found = claim(dir.path(), "probe", 300);
        let [left] = &found.files[..] else { panic!("{found:?}") };
        assert_eq!((left.pid, left.slot), (NOBODY, slot));
        assert!(!dir.path().join(&dead).exists() && dir.path().join(&alive).exists());
        let sub_dirs = rotate::SubDirs::NONE;
        let place = Place { dir: dir.path().to_owned(), sub_dirs, has_zone: false };
        let taken = take_in(&left.path, &place, &left.ident, slot, false).unwrap();
        let Taken::Named(published, resumed) = taken else { panic!("{taken:?}") };
        assert_eq!(published.path(), place.path(slot));
        assert_eq!(resumed.closed.totals.all_flows(), 3);
        assert_eq!(left.statement(place.relative(None, slot), Some(&resumed)).stored, 3);
        assert!(claim(dir.path(), "probe", 300).files.is_empty());
    }
}
