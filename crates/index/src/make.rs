//! Indexes of files that are there: made, compared with the files, removed.

use crate::build::{Builder, Finished};
use crate::day;
use crate::digest::Digester;
use crate::entry::About;
use crate::error::IndexError;
use crate::search::{Index, modified_ns};
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use store::{BlockReader, FlowFile, MetaRecord, ReadOptions, side};

/// What an index says of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Just what the file has.
    Right,
    /// Nothing of this state of the file.
    Missing,
    /// Something else: the index is damaged.
    Wrong,
}

/// Reads a flow file and appends what is known about it to the index of its day in `base`, a
/// directory above it.
///
/// # Errors
/// If it cannot be read as a whole, is not closed, is encrypted, or is not called as collectors call
/// files; or if the index cannot be written.
pub fn make(
    base: &Path,
    path: &Path,
    options: &ReadOptions,
    reader: &mut BlockReader,
) -> Result<(), IndexError> {
    let (_, entry) = describe(base, path, options, reader)?;
    day::append(base, day_of(path)?, &entry.octets).map(|_| ())
}

/// Reads a flow file and compares what its index says with it, octet by octet; and what is said of
/// it together with other files, which has to hold all that it has.
///
/// # Errors
/// If the file cannot be read as a whole.
pub fn check(
    path: &Path,
    options: &ReadOptions,
    reader: &mut BlockReader,
) -> Result<State, IndexError> {
    let Some(entry) = Index::new().of(path) else { return Ok(State::Missing) };
    let base = entry.base(path);
    let (_, finished) = describe(&base, path, options, reader)?;
    let is_right = entry.has_octets(&finished.octets) && entry.is_in_its_group(&finished);
    Ok(if is_right { State::Right } else { State::Wrong })
}

/// Removes the indexes of the days of these files, wherever above them they are. Returns how many
/// there were, and their octets.
///
/// # Errors
/// If one cannot be removed.
pub fn drop_of(files: &[PathBuf]) -> Result<(u64, u64), IndexError> {
    let mut found = BTreeSet::new();
    for file in files {
        let Ok(day) = day_of(file) else { continue };
        let above = file.ancestors().skip(1).take(crate::search::LEVELS + 1);
        found.extend(above.map(|base| day::path(base, day)));
    }
    let mut dropped = (0, 0);
    for path in found {
        let Ok(metadata) = path.symlink_metadata() else { continue };
        match fs::remove_file(&path) {
            Ok(()) => dropped = (dropped.0 + 1, dropped.1 + metadata.len()),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(IndexError::io("remove", &path)(e)),
        }
    }
    Ok(dropped)
}

pub(crate) fn day_of(path: &Path) -> Result<&str, IndexError> {
    let name = path.file_name().and_then(|n| n.to_str());
    let no_day = || IndexError::NoDay { path: path.to_owned() };
    name.and_then(side::day_in_name).ok_or_else(no_day)
}

/// What is known about a file.
pub(crate) fn describe(
    base: &Path,
    path: &Path,
    options: &ReadOptions,
    reader: &mut BlockReader,
) -> Result<(About, Finished), IndexError> {
    day_of(path)?;
    let not_sound =
        |what: &str| IndexError::NotSound { path: path.to_owned(), what: what.to_owned() };
    let name = path.strip_prefix(base).unwrap_or(path).to_str();
    let name = name.ok_or_else(|| not_sound("its name is no text"))?.to_owned();
    // As it is when it is opened: what changes later makes the entry one of an earlier state.
    let file = FlowFile::open_with(path, options)?;
    let metadata = file.metadata().clone();
    if file.header().encrypted {
        return Err(not_sound("encrypted, and an index would tell its addresses"));
    }
    if let Some(what) = file.state().damage() {
        return Err(not_sound(&what));
    }
    let (mut builder, mut digester) = (Builder::new(), Digester::default());
    for n in 0..file.blocks().len() {
        let block = reader
            .load(&file, n)
            .map_err(|source| IndexError::Block { path: path.to_owned(), source })?;
        if let Some(what) = block.damage() {
            return Err(not_sound(&what));
        }
        // Statistics at the end of files are nobody's answer.
        let says_who = block.meta.iter().any(|m| !matches!(m, MetaRecord::Stats(_)));
        builder.block(&mut digester, &block.rows, says_who);
    }
    let about = About {
        name,
        size: metadata.len(),
        modified_ns: modified_ns(&metadata),
        ident: file.ident().to_owned(),
        window: file.totals().and_then(record::Totals::window),
    };
    let too_large = || IndexError::TooLarge { path: path.to_owned() };
    let finished = builder.finish(&about).ok_or_else(too_large)?;
    Ok((about, finished))
}
