//! After a crash: files that a collector left open get their end and their name.

use std::fs;
use std::path::Path;

use store::rotate::{Slot, slot_of};
use store::{BlockReader, FileState, FlowFile, MetaRecord, StoreError, Writer, WriterOptions};

use crate::finish::Place;
use crate::spool::parse_temporary_name;

/// Takes in what collectors of ours that are gone have left in the directory of a source. Trouble
/// with one file is logged and leaves it where it is.
pub(crate) fn recover(place: &Place, ident: &str, interval_secs: u32) {
    let Ok(entries) = fs::read_dir(&place.dir) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(name) = name.to_str() else { continue };
        // Copies that were never finished; what they are copies of is still there.
        let whole = COPIES.iter().find_map(|suffix| name.strip_suffix(suffix));
        let Some((pid, start)) = parse_temporary_name(whole.unwrap_or(name)) else { continue };
        if sys::process::is_running(pid) {
            continue;
        }
        let path = entry.path();
        let taken = match whole {
            Some(_) => remove(&path).map(|()| 0),
            None => take_in(&path, place, ident, slot_of(start, interval_secs)),
        };
        match taken {
            Ok(0) => {}
            Ok(flows) => log::warn!("{}: left by a crash, {flows} flows taken in", path.display()),
            Err(e) => log::error!("{}: left by a crash, cannot be taken in: {e}", path.display()),
        }
    }
}

/// What copies of a temporary file are called: by [`store::rotate::publish`], and by us.
const COPIES: [&str; 2] = [".merged", ".recovered"];

/// Gives a file its end if it lacks one, and its name. Returns its flows.
fn take_in(path: &Path, place: &Place, ident: &str, slot: Slot) -> Result<u64, StoreError> {
    let file = match FlowFile::open(path) {
        // Died before the header was written.
        Err(StoreError::TooShort { .. }) => return remove(path).map(|()| 0),
        other => other?,
    };
    if matches!(file.state(), FileState::Closed) {
        let flows = file.totals().map_or(0, record::Totals::all_flows);
        return place.publish(path, slot).map(|_| flows);
    }
    if file.blocks().is_empty() {
        return remove(path).map(|()| 0);
    }
    let mut copy = path.as_os_str().to_owned();
    copy.push(".recovered");
    let copy = Path::new(&copy);
    let flows = close_copy(&file, copy, ident).inspect_err(|_| {
        let _ = fs::remove_file(copy); // the next start removes it otherwise
    })?;
    place.publish(copy, slot)?;
    remove(path)?;
    Ok(flows)
}

/// Copies what can be read into a file that is closed in order.
fn close_copy(file: &FlowFile, copy: &Path, ident: &str) -> Result<u64, StoreError> {
    let options = WriterOptions {
        compression: file.header().compression.into(),
        ident: ident.to_owned(),
        creator: file.header().creator,
        created_secs: file.header().created_secs,
        ..WriterOptions::default()
    };
    let mut writer = Writer::create(copy, &options)?;
    let mut reader = BlockReader::new();
    for n in 0..file.blocks().len() {
        let Ok(block) = reader.load(file, n) else { continue };
        let kept = block.meta.iter().filter(|r| !matches!(r, MetaRecord::Stats(_)));
        kept.for_each(|record| writer.meta_record(record));
        block.rows.iter().for_each(|row| writer.row(row));
        // Blocks of a second's flows become full ones, so not every block is written here.
        if let Some(e) = writer.take_error() {
            return Err(e);
        }
    }
    writer.flush()?;
    writer.close(&[]).map(|closed| closed.totals.all_flows())
}

fn remove(path: &Path) -> Result<(), StoreError> {
    fs::remove_file(path).map_err(|source| StoreError::Io {
        what: "remove",
        path: path.to_owned(),
        source,
    })
}
