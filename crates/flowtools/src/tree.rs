//! Which files of a directory are those of flow-capture, however it nests them.

use crate::name::{FileName, is_nest};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What a directory has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Files by the time in their names.
    pub files: Vec<PathBuf>,
    /// Files that are being written and were not asked for.
    pub open: usize,
    /// Other files, and directories that are no years, months or days: left out.
    pub others: usize,
}

/// Year, month and day.
const MOST_DEPTH: usize = 3;

/// Finds the files of a directory: in it, and in what `flow-capture -N` nests (3 to -3). Those that
/// are being written, `tmp-`, are taken `with_open` only. Links to directories are not followed.
///
/// # Errors
/// If a directory cannot be read.
pub fn find(dir: &Path, with_open: bool) -> io::Result<Found> {
    let mut found = Found::default();
    let mut named = Vec::new();
    walk(dir, with_open, MOST_DEPTH, &mut named, &mut found)?;
    named.sort();
    found.files = named.into_iter().map(|(_, path)| path).collect();
    Ok(found)
}

fn walk(
    dir: &Path,
    with_open: bool,
    depth: usize,
    named: &mut Vec<(FileName, PathBuf)>,
    found: &mut Found,
) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let (name, path) = (entry.file_name(), entry.path());
        let name = name.to_string_lossy();
        if entry.file_type()?.is_dir() {
            match depth.checked_sub(1).filter(|_| is_nest(&name)) {
                Some(depth) => walk(&path, with_open, depth, named, found)?,
                None => found.others += 1,
            }
            continue;
        }
        match FileName::parse(&name) {
            Some(name) if !name.is_open || with_open => named.push((name, path)),
            Some(_) => found.open += 1,
            None => found.others += usize::from(!name.starts_with('.')),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_nesting_is_found_in_order_of_time() {
        let scene = tempfile::tempdir().unwrap();
        let dir = scene.path();
        let touch = |name: &str| {
            let path = dir.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        };
        let files = [
            "2024/2024-12/2024-12-31/ft-v05.2024-12-31.234500+0000",
            // The same local time an hour later: the zone counts.
            "2025/2025-10/ft-v05.2025-10-26.023000+0200",
            "2025-10/2025-10-26/ft-v05.2025-10-26.023000+0100",
            "2025/ft-v05.2025-10-27.000000+0100",
            "2025-10-28/ft-v05.2025-10-28.000000+0100",
            "ft-v05.2025-10-29.000000+0100",
        ];
        files.iter().rev().for_each(|name| touch(name));
        touch("2025/tmp-v05.2025-12-01.000000+0100");
        touch("old/ft-v05.2020-01-01.000000+0000");
        touch("notes.txt");
        touch(".hidden");
        std::os::unix::fs::symlink(dir, dir.join("2030")).unwrap();
        let found = find(dir, false).unwrap();
        let names: Vec<_> = files.iter().map(|name| dir.join(name)).collect();
        assert_eq!(found, Found { files: names, open: 1, others: 3 });
        let all = find(dir, true).unwrap();
        assert_eq!((all.files.len(), all.open), (files.len() + 1, 0));
        assert!(find(&dir.join("nowhere"), false).is_err());
    }
}
