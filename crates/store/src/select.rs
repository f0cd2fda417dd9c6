//! Which files a command line means: options `-r`, `-R` and `-M`.
//!
//! | Form | Meaning |
//! |---|---|
//! | `-r FILE` | one file |
//! | `-r DIR`, `-R DIR` | all files below, in order of their paths |
//! | `-R DIR/A` | all files of that directory from A on |
//! | `-R DIR/A:B` | from A to B inclusive, across sub directories if B lies in another |
//! | `-M BASE/D1:D2` | the same names below BASE/D1 and BASE/D2 |
//! | `-M BASE@` | the same names below every directory in BASE |

use crate::error::StoreError;
use crate::layout::{MAGIC, MAGIC_SWAPPED};
use crate::rotate::{SubDirs, time_in_name};
use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What the options say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Input<'a> {
    /// `-r`: a file or a directory.
    pub read: Option<&'a str>,
    /// `-R`: a directory, a file in one, or a range of files.
    pub range: Option<&'a str>,
    /// `-M`: several directories in which the same names are looked for.
    pub sources: Option<&'a str>,
}

/// What the options mean.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selected {
    /// Flow files, in the order of their flows.
    pub files: Vec<PathBuf>,
    /// Files that were met in directories and are no flow files: one warning for all of them does.
    /// Temporary files, dot files and captures are left out without being listed here.
    pub skipped: Vec<PathBuf>,
}

impl Selected {
    /// That warning, `None` if nothing was skipped.
    pub fn warning(&self) -> Option<String> {
        let first = self.skipped.first()?;
        let name = first.file_name().unwrap_or_default().as_encoded_bytes();
        let hint =
            if name.starts_with(b"ft-v") { ": flowimport takes files of flow-tools" } else { "" };
        let first = first.display();
        Some(match self.skipped.len() {
            1 => format!("{first} is no flow file, left out{hint}"),
            n => format!("{n} files are no flow files, left out; the first is {first}{hint}"),
        })
    }
}

/// The files that the options mean. Those that they name are taken as they are; of those found in
/// directories, only the ones that begin like a flow file or are named as a slot.
///
/// # Errors
/// If a file or directory that was named is not there, a directory cannot be read, or the options
/// contradict each other.
pub fn select(input: &Input<'_>) -> Result<Selected, StoreError> {
    let Found { files, named } = find(input)?;
    let mut all = Selected::default();
    for path in files {
        let list = match named.contains(&path) || is_slot(&path) || begins_like_flows(&path) {
            true => &mut all.files,
            false => &mut all.skipped,
        };
        list.push(path);
    }
    Ok(all)
}

/// Files, and which of them the options name: the others are what lies in directories.
#[derive(Debug, Default)]
struct Found {
    files: Vec<PathBuf>,
    named: HashSet<PathBuf>,
}

/// Whether the file is named as collectors name slots: what is in it should have been flows, and
/// whoever reads it has to hear that it is not.
fn is_slot(path: &Path) -> bool {
    path.file_name().and_then(|n| time_in_name(n.to_str()?)).is_some()
}

/// Whether the file has the first two octets of flow files, in either byte order. One that cannot
/// be read is the reader's to complain about.
fn begins_like_flows(path: &Path) -> bool {
    let mut magic = [0; 2];
    match fs::File::open(path).and_then(|mut f| io::Read::read_exact(&mut f, &mut magic)) {
        Ok(()) => matches!(u16::from_le_bytes(magic), MAGIC | MAGIC_SWAPPED),
        Err(e) => e.kind() != io::ErrorKind::UnexpectedEof,
    }
}

/// As [`select`], without looking into the files.
///
/// # Errors
/// As there.
pub fn files(input: &Input<'_>) -> Result<Vec<PathBuf>, StoreError> {
    find(input).map(|found| found.files)
}

fn find(input: &Input<'_>) -> Result<Found, StoreError> {
    match (input.sources, input.read, input.range) {
        (_, Some(text), Some(_)) => {
            Err(selection("-r and -R exclude each other, give one of them", text))
        }
        (Some(text), None, None) => Err(selection("-M needs -r or -R beside it", text)),
        (None, None, None) => Ok(Found::default()),
        (None, Some(name), None) => read(Path::new(name)),
        (None, None, Some(range)) => self::range(range, Path::new("")),
        (Some(sources), Some(name), None) => {
            in_each(sources, name, |directory| read(&locate(directory, Path::new(name))))
        }
        (Some(sources), None, Some(range)) => {
            in_each(sources, range, |directory| self::range(range, directory))
        }
    }
}

fn selection(what: &'static str, text: &str) -> StoreError {
    StoreError::Selection { what, text: text.to_owned() }
}

/// One file, or all below a directory.
fn read(path: &Path) -> Result<Found, StoreError> {
    let meta = path.metadata().map_err(StoreError::io("read", path))?;
    if meta.is_dir() {
        return Tree::new(path).walk();
    }
    Ok(Found { files: vec![path.to_owned()], named: HashSet::from([path.to_owned()]) })
}

/// Runs `find` in each of the directories that `-M` names. A directory without the file adds
/// nothing, as long as another has it: not every source exists all the time.
fn in_each(
    sources: &str,
    name: &str,
    find: impl Fn(&Path) -> Result<Found, StoreError>,
) -> Result<Found, StoreError> {
    if name.starts_with('/') {
        return Err(selection("with -M, names are relative to its directories", name));
    }
    let (mut all, mut missing) = (Found::default(), None);
    for directory in directories(sources)? {
        match find(&directory) {
            Ok(found) => {
                all.files.extend(found.files);
                all.named.extend(found.named);
            }
            Err(StoreError::Io { source, path, what })
                if source.kind() == io::ErrorKind::NotFound && directory.is_dir() =>
            {
                missing = Some(StoreError::Io { what, path, source });
            }
            Err(e) => return Err(e),
        }
    }
    match missing {
        Some(e) if all.files.is_empty() => Err(e),
        _ => Ok(all),
    }
}

/// `BASE/D1:D2:D3` or `BASE@`.
fn directories(sources: &str) -> Result<Vec<PathBuf>, StoreError> {
    if let Some(base) = sources.strip_suffix('@') {
        if base.contains(':') {
            return Err(selection("-M takes a list with `:` or `@` at the end, not both", sources));
        }
        let base = Path::new(base);
        let mut all: Vec<PathBuf> = list(base)?
            .into_iter()
            .filter(|e| e.is_directory && !is_hidden(&e.name))
            .map(|e| base.join(e.name))
            .collect();
        if all.is_empty() {
            return Err(selection(
                "-M: there are no directories in what `@` stands behind",
                sources,
            ));
        }
        all.sort();
        return Ok(all);
    }
    let mut parts = sources.split(':');
    let first = Path::new(parts.next().unwrap_or_default());
    let base = parent(first);
    let rest = parts.filter(|p| !p.is_empty()).map(|p| base.join(p));
    Ok(std::iter::once(first.to_owned()).chain(rest).collect())
}

/// Where `name` is below a directory: in it, or where one of the layouts of `-S` puts a file of that
/// time. The former if it is nowhere.
fn locate(directory: &Path, name: &Path) -> PathBuf {
    let here = directory.join(name);
    let time = name.file_name().and_then(|n| time_in_name(n.to_str()?));
    let elsewhere = time
        .into_iter()
        .flat_map(|t| SubDirs::all().map(move |s| directory.join(s.of(t)).join(name)));
    let found = std::iter::once(here.clone()).chain(elsewhere).find(|p| p.exists());
    found.unwrap_or(here)
}

/// `DIR`, `DIR/A` or `DIR/A:B`, below `base`.
fn range(text: &str, base: &Path) -> Result<Found, StoreError> {
    let (from, to) = match text.split_once(':') {
        Some((from, to)) => (from, Some(to)),
        None => (text, None),
    };
    let first = match base.as_os_str().is_empty() {
        true => PathBuf::from(from),
        false => locate(base, Path::new(from)),
    };
    let meta = first.metadata().map_err(StoreError::io("read", &first))?;
    let mut found = match (meta.is_dir(), to) {
        (true, None) => return Tree::new(&first).walk(),
        (true, Some(_)) => {
            return Err(selection("the first of a range has to be a file", text));
        }
        (false, None) => from_on(&first)?,
        (false, Some(to)) => between(&first, to, text)?,
    };
    found.named.insert(first);
    Ok(found)
}

/// All files of a directory from one on; sub directories are left alone.
fn from_on(first: &Path) -> Result<Found, StoreError> {
    let directory = parent(first);
    let name = first.file_name().unwrap_or_default();
    let mut names: Vec<OsString> = list(directory)?
        .into_iter()
        .filter(|e| !e.is_directory && is_data(&e.name) && *e.name >= *name)
        .map(|e| e.name)
        .collect();
    names.sort();
    let files = names.into_iter().map(|n| directory.join(n)).collect();
    Ok(Found { files, named: HashSet::new() })
}

/// From `first` to `to`: a bare name, or a path with as many directories as the tree is deep.
fn between(first: &Path, to: &str, text: &str) -> Result<Found, StoreError> {
    let to = Path::new(to);
    if to.is_absolute() {
        return Err(selection("the end of a range is relative to its directory", text));
    }
    let directory = parent(first);
    let name = first.file_name().unwrap_or_default();
    let depth = to.components().count() - usize::from(to.file_name().is_some());
    let (base, last) = if depth > 0 {
        let base = directory.ancestors().nth(depth);
        (base.ok_or_else(|| selection("the end of a range lies too deep", text))?, to.to_owned())
    } else {
        match tree_of(first, to) {
            Some((base, last)) => (base, last),
            None => (directory, to.to_owned()),
        }
    };
    let from = directory.strip_prefix(base).unwrap_or(directory).join(name);
    let named = base.join(&last);
    let tree = Tree { root: base, from: Some(from), to: Some(last) };
    let mut found = tree.walk()?;
    found.named.insert(named);
    Ok(found)
}

/// If the directory of `first` is what a layout of `-S` makes of the time in its name: the base of
/// that tree, and where in it `to` lies.
fn tree_of<'a>(first: &'a Path, to: &Path) -> Option<(&'a Path, PathBuf)> {
    let time = |p: &Path| time_in_name(p.file_name()?.to_str()?);
    let (from_time, to_time) = (time(first)?, time(to)?);
    let directory = parent(first);
    let layout = SubDirs::all().filter(|s| directory.ends_with(s.of(from_time)));
    // 2026/11/18/11 ends with what -S 2 makes; 11 alone must not stand for less.
    let layout = layout.max_by_key(|s| s.of(from_time).components().count())?;
    let depth = layout.of(from_time).components().count();
    let base = directory.ancestors().nth(depth)?;
    Some((base, layout.of(to_time).join(to.file_name()?)))
}

/// The directory of a file; that of a bare name is the one we are in.
fn parent(path: &Path) -> &Path {
    path.parent().unwrap_or_else(|| Path::new(""))
}

/// Whether a name inside a directory is one of a flow file (12.5).
fn is_data(name: &OsStr) -> bool {
    let text = name.to_string_lossy();
    !is_hidden(name) && !text.starts_with("nfcapd.current") && !text.contains("pcap")
}

fn is_hidden(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".")
}

struct Entry {
    name: OsString,
    is_directory: bool,
}

/// What is in a directory: regular files and directories, links followed.
fn list(directory: &Path) -> Result<Vec<Entry>, StoreError> {
    let here = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    let mut all = Vec::new();
    for entry in fs::read_dir(here).map_err(StoreError::io("list", here))? {
        let entry = entry.map_err(StoreError::io("list", here))?;
        let (path, name) = (entry.path(), entry.file_name());
        let meta = match fs::metadata(&path) {
            Ok(meta) => meta,
            // It is gone by now: a collector rotates, a pruner deletes.
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            Err(e) => return Err(StoreError::io("look at", &path)(e)),
        };
        if meta.is_dir() || meta.is_file() {
            all.push(Entry { name, is_directory: meta.is_dir() });
        }
    }
    Ok(all)
}

/// All files below a directory, or those of a range of paths relative to it.
struct Tree<'a> {
    root: &'a Path,
    from: Option<PathBuf>,
    to: Option<PathBuf>,
}

impl<'a> Tree<'a> {
    const fn new(root: &'a Path) -> Self {
        Self { root, from: None, to: None }
    }

    fn walk(&self) -> Result<Found, StoreError> {
        let mut files = Vec::new();
        self.add(Path::new(""), &mut Vec::new(), &mut files)?;
        Ok(Found { files, named: HashSet::new() })
    }

    /// Adds what lies in `root/sub`. `above` has the directories on the way here, so that links
    /// that lead back end the walk instead of going round.
    fn add(
        &self,
        sub: &Path,
        above: &mut Vec<(u64, u64)>,
        all: &mut Vec<PathBuf>,
    ) -> Result<(), StoreError> {
        let directory = self.root.join(sub);
        let here = if directory.as_os_str().is_empty() { Path::new(".") } else { &directory };
        let meta = match here.metadata() {
            // An empty directory that a pruner has removed since it was listed.
            Err(e) if e.kind() == io::ErrorKind::NotFound && !above.is_empty() => return Ok(()),
            meta => meta.map_err(StoreError::io("read", here))?,
        };
        let identity = (meta.dev(), meta.ino());
        if above.contains(&identity) {
            return Ok(());
        }
        above.push(identity);
        let mut entries = list(&directory)?;
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        for e in entries {
            let path = sub.join(&e.name);
            if e.is_directory {
                if !is_hidden(&e.name) && self.may_hold(&path) {
                    self.add(&path, above, all)?;
                }
            } else if is_data(&e.name) && self.holds(&path) {
                all.push(self.root.join(path));
            }
        }
        above.pop();
        Ok(())
    }

    fn holds(&self, path: &Path) -> bool {
        self.from.as_ref().is_none_or(|f| path >= f) && self.to.as_ref().is_none_or(|t| path <= t)
    }

    /// Whether a directory can have files of the range: compared to the ends of the range, cut at
    /// its depth.
    fn may_hold(&self, directory: &Path) -> bool {
        let depth = directory.components().count();
        let cut = |p: &PathBuf| p.components().take(depth).collect::<PathBuf>();
        self.from.as_ref().is_none_or(|f| directory >= cut(f))
            && self.to.as_ref().is_none_or(|t| directory <= cut(t))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStrExt as _;

    fn names(paths: &[PathBuf]) -> Vec<&[u8]> {
        paths.iter().map(|p| p.file_name().unwrap().as_bytes()).collect()
    }

    #[test]
    fn what_ends_as_a_named_file_does_is_not_named() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().to_str().unwrap();
        for name in ["log", "my.log", "z"] {
            fs::write(dir.path().join(name), "text").unwrap();
        }
        let at = |name: &str| format!("{root}/{name}");
        for (read, range, files, skipped) in [
            (Some(at("log")), None, vec!["log"], vec![]),
            (None, Some(at("log")), vec!["log"], vec!["my.log", "z"]),
            (None, Some(at("log:z")), vec!["log", "z"], vec!["my.log"]),
            (None, Some(root.to_owned()), vec![], vec!["log", "my.log", "z"]),
        ] {
            let input = Input { read: read.as_deref(), range: range.as_deref(), sources: None };
            let all = select(&input).unwrap();
            let want = |l: &[&'static str]| l.iter().map(|n| n.as_bytes()).collect::<Vec<_>>();
            assert_eq!(names(&all.files), want(&files), "{input:?}");
            assert_eq!(names(&all.skipped), want(&skipped), "{input:?}");
        }
    }

    #[test]
    fn names_that_are_no_text_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let odd = OsStr::from_bytes(b"flows\xFF");
        fs::write(dir.path().join(odd), MAGIC.to_le_bytes()).unwrap();
        let all = select(&Input { read: dir.path().to_str(), ..Input::default() }).unwrap();
        assert_eq!(names(&all.files), [odd.as_bytes()]);
    }

    #[test]
    fn trouble_in_a_directory_is_told_and_what_is_gone_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let input = Input { read: dir.path().to_str(), ..Input::default() };
        let link = |to: &str, name| std::os::unix::fs::symlink(to, dir.path().join(name)).unwrap();
        link("nowhere", "gone");
        assert!(select(&input).unwrap().files.is_empty());
        link("round", "round");
        let e = select(&input).unwrap_err().to_string();
        assert!(e.contains(dir.path().to_str().unwrap()), "{e}");
    }

    #[test]
    fn sources_without_directories_are_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let sources = format!("{}@", dir.path().display());
        let input = Input { sources: Some(&sources), range: Some("."), read: None };
        assert!(matches!(select(&input), Err(StoreError::Selection { .. })));
        fs::create_dir(dir.path().join("router")).unwrap();
        assert!(select(&input).unwrap().files.is_empty());
    }
}
