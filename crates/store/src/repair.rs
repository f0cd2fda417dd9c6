//! Making a sound file of one that is damaged or was never finished.

use crate::compress::Packing;
use crate::error::StoreError;
use crate::reader::{FileState, FlowFile, ReadOptions};
use crate::replace::{Replacement, check_not_current};
use crate::rewrite::{NotKept, rewrite};
use crate::rotate::sync_directory;
use crate::side;
use crate::verify::{Verification, verify_file};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// How to repair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepairOptions {
    /// How to read the file.
    pub read: ReadOptions,
    /// Whether to keep the damaged file.
    pub keeps_original: bool,
}

impl Default for RepairOptions {
    fn default() -> Self {
        Self { read: ReadOptions::default(), keeps_original: true }
    }
}

/// What came of repairing a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Repaired {
    /// Nothing was wrong with it; it was left alone.
    Sound,
    /// A sound file of layout 2 has its name now.
    Rewritten {
        /// Where the damaged file is now, `None` if it was not to be kept.
        original: Option<PathBuf>,
        /// What was wrong with the file as a whole; `Closed` if only blocks were damaged.
        state: FileState,
        /// Blocks of which all was saved.
        blocks_saved: u64,
        /// Blocks of which a part or nothing was saved.
        blocks_lost: u64,
        /// Flows that are in the new file.
        flows_saved: u64,
        /// Flows that the old file's own sums have beyond that; `None` if it has no sums.
        flows_lost: Option<u64>,
        /// What could be read, and is not in the new file.
        not_kept: NotKept,
    },
}

/// Repairs a file and keeps the original: [`repair_with`] with default options, for option
/// `--repair`.
///
/// # Errors
/// As there.
pub fn repair(path: &Path) -> Result<Repaired, StoreError> {
    repair_with(path, &RepairOptions::default())
}

/// Rewrites a damaged or unfinished file of any layout as a sound one of layout 2 with everything
/// that can be read, under the same name. A sound file is left alone.
///
/// The original goes to the directory of [side files](crate::side), with the suffix `damaged`: beside the
/// new file, whoever reads the whole directory would read its flows twice.
///
/// A file that a collector is still writing looks like one whose writer died. One named as such is
/// refused as long as the process runs whose number the name has.
///
/// # Errors
/// [`StoreError::Refused`] if a collector may be writing the file, if it is encrypted, or if it
/// changed meanwhile; others if it cannot be opened as a flow file, or the new one cannot be
/// written. The old one is then where it was.
pub fn repair_with(path: &Path, options: &RepairOptions) -> Result<Repaired, StoreError> {
    let file = FlowFile::open_with(path, &options.read)?;
    check_not_current(&file)?;
    let before = verify_file(&file);
    if before.is_sound() {
        return Ok(Repaired::Sound);
    }
    if file.header().encrypted {
        let why = "it is encrypted, and a repaired file would not be; \
                   write what can be read to another file with -w";
        return Err(StoreError::Refused { path: path.to_owned(), why });
    }
    let replacement = Replacement::of(&file)?;
    let method = Packing::from(file.header().compression);
    let (flows_saved, not_kept) = rewrite(&file, &replacement, method, None)?;
    let original = replacement.finish_after(|target| match options.keeps_original {
        true => keep(target).map(Some),
        false => Ok(None),
    })?;
    Ok(told(&before, original, flows_saved, not_kept))
}

fn told(
    before: &Verification,
    original: Option<PathBuf>,
    flows_saved: u64,
    not_kept: NotKept,
) -> Repaired {
    let is_whole = |b: &&crate::verify::BlockCheck| b.result.as_ref().is_ok_and(|c| c.is_sound);
    let blocks_saved = before.blocks.iter().filter(is_whole).count() as u64;
    Repaired::Rewritten {
        original,
        state: before.state,
        blocks_saved,
        blocks_lost: before.blocks.len() as u64 - blocks_saved,
        flows_saved,
        flows_lost: before.flows_in_appendix.map(|n| n.saturating_sub(flows_saved)),
        not_kept,
    }
}

/// Gives the damaged file a second name among the side files, on disk when this returns. The first
/// one is taken away by the new file.
fn keep(path: &Path) -> Result<PathBuf, StoreError> {
    for n in 0..100 {
        let suffix = if n == 0 { "damaged".to_owned() } else { format!("damaged.{n}") };
        let kept = side::path(path, &suffix);
        // Where links cannot be made, as on some file systems, a copy does.
        match fs::hard_link(path, &kept).or_else(|_| copy(path, &kept)) {
            Ok(()) => {
                let directory = path.parent().filter(|p| !p.as_os_str().is_empty());
                let directory = directory.unwrap_or_else(|| Path::new("."));
                sync_directory(directory).map_err(StoreError::io("sync", directory))?;
                return Ok(kept);
            }
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(StoreError::io("copy", path)(e)),
        }
    }
    let path = path.to_owned();
    Err(StoreError::Refused { path, why: "a hundred damaged versions of it are kept already" })
}

/// Copies a file to a name that nothing has yet.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let mut from = File::open(from)?;
    let mode = from.metadata()?.permissions().mode() & 0o777;
    let mut out = File::options().write(true).create_new(true).mode(0o600).open(to)?;
    let done = io::copy(&mut from, &mut out)
        .and_then(|_| out.set_permissions(fs::Permissions::from_mode(mode)))
        .and_then(|()| out.sync_all());
    done.inspect_err(|_| {
        let _ = fs::remove_file(to);
    })
}
