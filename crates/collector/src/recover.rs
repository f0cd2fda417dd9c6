//! After a crash: files that a collector left open get their end and their name.
//!
//! At start they only change hands, so that nobody else takes them, too: what is received does not
//! wait until they are read. They are finished before the first file of this process, because that
//! may be merged with them.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use store::loss::{Loss, Place as Where, Statement};
use store::rotate::{self, Published, Settled, Slot, slot_of};
use store::{Resumed, StoreError, resume};

use crate::finish::Place;
use crate::spool::{parse_temporary_name, temporary_name};

/// A file that a collector which is gone has left.
#[derive(Clone, Debug)]
pub(crate) struct Leftover {
    /// Where it is now.
    pub(crate) path: PathBuf,
    pub(crate) slot: Slot,
    pub(crate) ident: String,
    /// Number of the process that is gone.
    pub(crate) pid: u32,
}

/// Makes ours what collectors that are gone have left in the directory of a source. Trouble with one
/// file is logged and leaves it where it is.
pub(crate) fn claim(dir: &Path, ident: &str, interval_secs: u32) -> Vec<Leftover> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
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
    let mut claimed = Vec::new();
    for name in found {
        let Some((pid, start)) = parse_temporary_name(&name) else { continue };
        let slot = slot_of(start, interval_secs);
        match take(dir, &name, slot) {
            Ok(Some(path)) => {
                let pid = u32::try_from(pid).unwrap_or_default();
                claimed.push(Leftover { path, slot, ident: ident.to_owned(), pid });
            }
            Ok(None) => {}
            Err(e) => log::error!("{}/{name}: left by a crash: {e}", dir.display()),
        }
    }
    claimed
}

/// Gives a file a name of this process, and first ends what was begun with it. `None` if it is gone
/// after that, or somebody else was faster.
fn take(dir: &Path, name: &str, slot: Slot) -> Result<Option<PathBuf>, StoreError> {
    let path = dir.join(name);
    if rotate::settle(&path)? == Settled::Done {
        log::info!("{}: left by a crash, its flows are stored already", path.display());
        return Ok(None);
    }
    let own = std::process::id();
    for n in 0.. {
        let mine = dir.join(temporary_name(own, slot, n));
        if mine == path {
            return Ok(path.exists().then_some(path)); // as in a container, where all have one number
        }
        if mine.exists() {
            continue;
        }
        let renamed = match sys::disk::rename_new(&path, &mine) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => continue,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(_) => fs::rename(&path, &mine), // not in one step here
            Ok(()) => Ok(()),
        };
        return match renamed {
            Ok(()) => Ok(Some(mine)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(StoreError::Io { what: "rename", path, source }),
        };
    }
    Ok(None)
}

/// Removes the draft of a side file whose writer is gone.
fn remove_draft(path: &Path, name: &str) {
    let number = name
        .strip_prefix(store::side::PREFIX)
        .and_then(|rest| rest.split_once(".draft."))
        .and_then(|(_, rest)| rest.split('.').next()?.parse().ok());
    if number.is_some_and(|pid| !sys::process::is_running(pid)) {
        let _ = fs::remove_file(path); // of no use to anyone, and the next start tries again
    }
}

/// What came of a file that had been left.
#[derive(Debug)]
pub(crate) enum Taken {
    /// It has its name.
    Named(Published, Box<Resumed>),
    /// Its flows were in the file with its name already.
    Before,
    /// There was nothing in it, and it is removed.
    Empty,
}

/// Gives a file its end if it lacks one, and its name; one without any block only if it
/// `may_be_empty`. It can be called again after an error.
pub(crate) fn take_in(
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
    pub(crate) fn statement(&self, file: String, resumed: Option<&Resumed>) -> Statement {
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
