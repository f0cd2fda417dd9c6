//! Which files are mapped.

use std::fs::File;

use sys::map::Guarded;

/// The octets of `file`, if it is a regular one that can be mapped and has any. The others, pipes for
/// example, are read.
pub(crate) fn map(file: &File) -> Option<Guarded> {
    let is_regular = file.metadata().is_ok_and(|about| about.is_file() && about.len() > 0);
    // Refused by some file systems, and where memory is short: reading may still go well.
    if is_regular { Guarded::open(file).ok().flatten() } else { None }
}
