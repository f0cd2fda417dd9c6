//! Which files a dataset has, and which of them a window of time needs.

use crate::dataset::Partition;
use std::io;
use std::path::{Path, PathBuf};

/// Levels below a dataset that are looked into.
const LEVELS: usize = 8;
/// Files of one dataset at most.
const MANY: usize = 10_000_000;

/// The Parquet files below a directory, by hour, exporter and name. Names that begin with a dot or
/// an underscore are not of the dataset: that is what engines leave out, too.
///
/// # Errors
/// A directory that cannot be read.
pub fn list(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let (mut files, mut dirs) = (Vec::new(), vec![(dir.to_owned(), 0)]);
    while let Some((dir, level)) = dirs.pop() {
        for entry in dir.read_dir()? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with(['.', '_']) {
                continue;
            }
            if path.is_dir() {
                if level < LEVELS {
                    dirs.push((path, level + 1));
                }
            } else if path.extension().is_some_and(|e| e == "parquet") {
                files.push(path);
            }
        }
        if files.len() > MANY {
            return Err(io::Error::other("too many files in one dataset"));
        }
    }
    files.sort();
    Ok(files)
}

/// Whether flows that began after one moment and ended before another, milliseconds since 1970, may
/// be in a file, by its path.
pub fn may_hold(path: &Path, window: (u64, u64)) -> bool {
    match Partition::parse(path) {
        Some(partition) => {
            let (start, end) = partition.window_ms();
            end > window.0 && start <= window.1
        }
        None => true,
    }
}
