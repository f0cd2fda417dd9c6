//! What exporters call their interfaces, VRFs and applications.
//!
//! Names lie in the files, anywhere, and hold for all flows of their file. Formats that show them
//! are rare, so files are looked through for names only for these, before anything is printed:
//! what is printed then does not depend on who read which block first.

use crate::input::{Input, InputReader};
use crate::scan::Query;
use output::{Format, Names};
use record::NameTable;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use store::MetaRecord;

/// Octets of names that are kept; what is beyond is shown as numbers.
const LIMIT: usize = 64 << 20;
/// Octets that a name costs beside its text.
const BESIDE: usize = 64;
/// Columns that show names.
const TOKENS: [&str; 5] = ["inam", "onam", "ivrfnam", "evrfnam", "nbnam"];

/// Names of one file.
#[derive(Debug, Default)]
pub(crate) struct FileNames {
    tables: HashMap<(bool, u32), Vec<u8>>,
    applications: HashMap<Vec<u8>, Vec<u8>>,
}

/// Names of all files, by their index; nothing if no column shows any.
#[derive(Debug, Default)]
pub(crate) struct AllNames(Vec<FileNames>);

impl AllNames {
    /// The names of a file.
    pub(crate) fn of(&self, file: usize) -> Option<&dyn Names> {
        self.0.get(file).map(|n| n as &dyn Names)
    }
}

impl Query {
    /// The names that records of `format` show.
    pub(crate) fn names(&self, format: &Format) -> AllNames {
        let shows =
            format.kind() == output::Kind::Raw || format.tokens().any(|t| TOKENS.contains(&t));
        if !shows {
            return AllNames::default();
        }
        let room = AtomicUsize::new(LIMIT);
        let jobs: Vec<_> = self.files.iter().collect();
        let read = |reader: &mut InputReader, path: &std::path::PathBuf| {
            // What cannot be read is told by whoever reads it for its flows.
            self.open_input(path)
                .map_or_else(|_| FileNames::default(), |f| of_file(&f, reader, &room))
        };
        AllNames(crate::parallel::map_with(jobs, self.threads, InputReader::default, read))
    }
}

fn of_file(file: &Input, reader: &mut InputReader, room: &AtomicUsize) -> FileNames {
    let mut names = FileNames::default();
    file.each_meta(reader, |record| {
        let size = match record {
            MetaRecord::Name { name, .. } => name.len(),
            MetaRecord::Application { id, name, .. } => id.len() + name.len(),
            _ => return,
        };
        let take = |left: usize| left.checked_sub(size + BESIDE);
        if room.fetch_update(Relaxed, Relaxed, take).is_ok() {
            names.add(record);
        }
    });
    names
}

impl FileNames {
    fn add(&mut self, record: &MetaRecord) {
        match record {
            MetaRecord::Name { table, id, name } => {
                self.tables.insert((*table == NameTable::Vrf, *id), name.clone());
            }
            MetaRecord::Application { id, name, .. } => {
                self.applications.insert(id.clone(), name.clone());
            }
            _ => {}
        }
    }
}

/// Files do not say whose names they hold, so they count for every exporter of the file.
impl Names for FileNames {
    fn name(&self, _exporter: u32, table: NameTable, id: u32) -> Option<&[u8]> {
        self.tables.get(&(table == NameTable::Vrf, id)).map(Vec::as_slice)
    }

    fn application(&self, _exporter: u32, id: &[u8]) -> Option<&[u8]> {
        self.applications.get(id).map(Vec::as_slice)
    }
}
