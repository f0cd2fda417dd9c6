//! Following the flow files of directories: what is new since the last look.
//!
//! A collector appends blocks to the file of its open slot and gives it a name at the end; files
//! are known by inode, so the name does not matter and each block is read once. Where a file that
//! was read is gone, because it was merged with another one or removed, what was counted no longer
//! is what there is: [`Look::Changed`] says so, and the caller begins anew.
//!
//! Only directories that changed are listed again, and only files that changed are opened.

use record::Rows;
use std::collections::{HashMap, HashSet};
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use store::rotate::{STEPS, time_in_name};
use store::{BlockReader, FileState, FlowFile, ReadOptions, StoreError};

/// Levels of directories below the one that is followed.
const MAX_LEVELS: usize = 8;
/// Directories that are followed.
const MAX_DIRECTORIES: usize = 1 << 20;
/// A directory that changed this lately may change again within the same tick of its clock.
const SETTLED_MS: u64 = 2000;
/// What the name of a file and the times of its flows may differ by: zones of time, and slots.
const NAME_SLACK_MS: u64 = 2 * 86_400_000;

/// How a look ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// All that was there has been read.
    Done,
    /// The receiver wanted no more; the next look goes on behind the last block.
    Stopped,
    /// A file that was read is gone or another one: begin anew, with a new [`Follower`].
    Changed,
}

/// What was read so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FilesRead {
    /// Files that something was read of.
    pub files: usize,
    /// Of these, files that a collector is writing.
    pub open: usize,
    /// Blocks read.
    pub blocks: u64,
    /// Octets of blocks, as they are on disk.
    pub bytes: u64,
    /// Files that could not be read.
    pub unreadable_files: u64,
    /// Blocks that could not be read in full.
    pub damaged_blocks: u64,
    /// What was wrong last.
    pub trouble: Option<String>,
}

/// Follows files and directories.
pub struct Follower {
    roots: Vec<PathBuf>,
    options: ReadOptions,
    reader: BlockReader,
    directories: HashMap<PathBuf, Listing>,
    files: HashMap<Id, Followed>,
    read: FilesRead,
}

/// Device and inode.
type Id = (u64, u64);

#[derive(Debug, Default)]
struct Listing {
    modified_ms: u64,
    files: Vec<PathBuf>,
    directories: Vec<PathBuf>,
}

#[derive(Debug, Default)]
struct Followed {
    path: PathBuf,
    is_open: bool,
    /// Length and time of the last look; what has not changed since is not opened.
    looked_at: Option<(u64, u64)>,
    modified_ms: u64,
    /// Up to where its blocks were read.
    until: u64,
    blocks: u64,
}

/// A file that is there.
struct Found {
    id: Id,
    path: PathBuf,
    len: u64,
    modified_ms: u64,
    is_open: bool,
}

impl std::fmt::Debug for Follower {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Follower").field("roots", &self.roots).field("read", &self.read).finish()
    }
}

impl Follower {
    /// Follows files and directories (with all below them); nothing is read yet.
    pub fn new(roots: Vec<PathBuf>, options: ReadOptions) -> Self {
        Self {
            roots,
            options,
            reader: BlockReader::new(),
            directories: HashMap::new(),
            files: HashMap::new(),
            read: FilesRead::default(),
        }
    }

    /// Hands every block that is new since the last look to `take`, with the file it is in, as
    /// long as that returns true. Files that were last written before `from_ms` are left out.
    ///
    /// # Errors
    /// If something that is followed is not there or cannot be listed. What is wrong with files
    /// below it is told in [`read`](Self::read).
    pub fn look(
        &mut self,
        now_ms: u64,
        from_ms: u64,
        mut take: impl FnMut(&Rows<'_>, &FlowFile) -> bool,
    ) -> Result<Look, StoreError> {
        let found = self.found(now_ms, from_ms)?;
        let there: HashSet<Id> = found.iter().map(|f| f.id).collect();
        let is_lost = |(id, f): (&Id, &Followed)| {
            f.blocks > 0 && f.modified_ms >= from_ms && !there.contains(id)
        };
        if self.files.iter().any(is_lost) {
            return Ok(Look::Changed);
        }
        self.files.retain(|id, _| there.contains(id));
        for file in found {
            match self.read_new(file, &mut take) {
                Look::Done => {}
                end => return Ok(end),
            }
        }
        Ok(Look::Done)
    }

    /// What was read so far.
    pub fn read(&self) -> FilesRead {
        let read = self.files.values().filter(|f| f.blocks > 0);
        FilesRead {
            files: read.clone().count(),
            open: read.filter(|f| f.is_open).count(),
            ..self.read.clone()
        }
    }

    /// Finished files that something was read of, in order of their names.
    pub fn finished(&self) -> Vec<&Path> {
        let read = self.files.values().filter(|f| f.blocks > 0 && !f.is_open);
        let mut all: Vec<&Path> = read.map(|f| f.path.as_path()).collect();
        all.sort_unstable();
        all
    }

    fn read_new(
        &mut self,
        found: Found,
        take: &mut impl FnMut(&Rows<'_>, &FlowFile) -> bool,
    ) -> Look {
        let now = Some((found.len, found.modified_ms));
        let file = self.files.entry(found.id).or_default();
        if file.looked_at == now && file.path == found.path {
            return Look::Done;
        }
        file.path = found.path;
        file.is_open = found.is_open;
        file.modified_ms = found.modified_ms;
        if found.len < file.until {
            return Look::Changed;
        }
        let flows = match FlowFile::open_with(&file.path, &self.options) {
            Ok(flows) => flows,
            Err(e) => {
                // One that has just been made has no header yet.
                if !found.is_open {
                    self.read.unreadable_files += 1;
                    self.read.trouble = Some(e.to_string());
                }
                file.looked_at = now;
                return Look::Done;
            }
        };
        let count = flows.blocks().len();
        let is_written = matches!(flows.state(), FileState::Salvaged { .. }) && found.is_open;
        for (n, block) in flows.blocks().iter().enumerate() {
            if block.offset < file.until {
                continue;
            }
            let go_on = match self.reader.load(&flows, n) {
                Ok(loaded) => {
                    if let Some(damage) = loaded.damage() {
                        self.read.damaged_blocks += 1;
                        self.read.trouble = Some(format!("{}: {damage}", file.path.display()));
                    }
                    take(&loaded.rows, &flows)
                }
                // Its last octets may be on their way.
                Err(_) if is_written && n + 1 == count => break,
                Err(e) => {
                    self.read.damaged_blocks += 1;
                    self.read.trouble = Some(format!("{}: {e}", file.path.display()));
                    true
                }
            };
            file.until = block.end();
            file.blocks += 1;
            self.read.blocks += 1;
            self.read.bytes += u64::from(block.size);
            if !go_on {
                return Look::Stopped;
            }
        }
        file.looked_at = now;
        Look::Done
    }

    /// The files that may have flows from `from_ms` on, each once, in order of their paths.
    fn found(&mut self, now_ms: u64, from_ms: u64) -> Result<Vec<Found>, StoreError> {
        let mut paths = Vec::new();
        for root in self.roots.clone() {
            let meta = root.metadata().map_err(io_error("read", &root))?;
            if meta.is_dir() {
                self.list(&root, now_ms, &mut paths)?;
            } else {
                paths.push(root);
            }
        }
        let mut seen = HashSet::new();
        let mut all = Vec::new();
        for path in paths {
            let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
            let time = time_in_name(name).map(|t| t.and_utc().timestamp_millis());
            if time.is_some_and(|t| t.saturating_add_unsigned(NAME_SLACK_MS) < from_ms as i64) {
                continue;
            }
            let is_open = name.starts_with("nfcapd.current.");
            let Ok(meta) = fs::metadata(&path) else { continue };
            let (id, modified_ms) = ((meta.dev(), meta.ino()), modified_ms(&meta));
            if meta.is_file() && modified_ms >= from_ms && seen.insert(id) {
                all.push(Found { id, path, len: meta.len(), modified_ms, is_open });
            }
        }
        Ok(all)
    }

    /// Appends the flow files in a directory and below.
    fn list(&mut self, root: &Path, now_ms: u64, out: &mut Vec<PathBuf>) -> Result<(), StoreError> {
        let mut waiting = vec![(root.to_owned(), 0)];
        let mut seen = 0;
        while let Some((dir, level)) = waiting.pop() {
            seen += 1;
            match self.refresh(&dir, now_ms) {
                Ok(()) => {}
                // It may have been removed meanwhile.
                Err(e) if level > 0 => {
                    self.directories.remove(&dir);
                    if e.kind() != io::ErrorKind::NotFound {
                        self.read.trouble = Some(format!("{}: {e}", dir.display()));
                    }
                    continue;
                }
                Err(e) => return Err(io_error("list", &dir)(e)),
            }
            let Some(listing) = self.directories.get(&dir) else { continue };
            out.extend(listing.files.iter().cloned());
            if level < MAX_LEVELS && seen + waiting.len() < MAX_DIRECTORIES {
                waiting.extend(listing.directories.iter().map(|d| (d.clone(), level + 1)));
            }
        }
        out.sort_unstable();
        Ok(())
    }

    /// Lists a directory again if it has changed.
    fn refresh(&mut self, dir: &Path, now_ms: u64) -> io::Result<()> {
        let modified_ms = modified_ms(&fs::metadata(dir)?);
        let is_settled = modified_ms.saturating_add(SETTLED_MS) < now_ms;
        let known = self.directories.get(dir);
        if is_settled && known.is_some_and(|l| l.modified_ms == modified_ms) {
            return Ok(());
        }
        // A listing that was made before it settled does not count as one of this time.
        let stamp = if is_settled { modified_ms } else { 0 };
        let mut listing = Listing { modified_ms: stamp, ..Listing::default() };
        for entry in fs::read_dir(dir)? {
            let Ok(entry) = entry else { continue };
            let (Ok(kind), name) = (entry.file_type(), entry.file_name()) else { continue };
            let name = name.to_string_lossy();
            let is_step = STEPS.iter().any(|s| name.ends_with(s));
            if kind.is_dir() && !name.starts_with('.') {
                listing.directories.push(entry.path());
            } else if name.starts_with("nfcapd.") && !is_step {
                listing.files.push(entry.path());
            }
        }
        self.directories.insert(dir.to_owned(), listing);
        Ok(())
    }
}

fn io_error<'a>(what: &'static str, path: &'a Path) -> impl Fn(io::Error) -> StoreError + 'a {
    move |source| StoreError::Io { what, path: path.to_owned(), source }
}

fn modified_ms(meta: &Metadata) -> u64 {
    let secs = u64::try_from(meta.mtime()).unwrap_or(0);
    secs.saturating_mul(1000).saturating_add(meta.mtime_nsec() as u64 / 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use record::{Field, Flow};
    use store::{Writer, WriterOptions};

    /// A clock that is behind: no directory has settled, so each is listed again.
    const NOW: u64 = 0;

    fn flow(n: u64) -> Flow {
        let mut flow = Flow::new();
        flow.set(Field::Bytes, n);
        flow.set(Field::Proto, 6);
        flow
    }

    fn write(writer: &mut Writer, flows: std::ops::Range<u64>) {
        for n in flows {
            let flow = flow(n);
            writer.row(flow.as_row());
        }
        writer.flush().unwrap();
    }

    fn create(path: PathBuf) -> Writer {
        Writer::create(path, &WriterOptions::default()).unwrap()
    }

    /// The octets of the flows that are new.
    fn new(follower: &mut Follower) -> (Look, Vec<u64>) {
        let mut got = Vec::new();
        let look = follower.look(NOW, 0, |rows, _| {
            got.extend(rows.iter().map(|r| r.number(Field::Bytes)));
            true
        });
        (look.unwrap(), got)
    }

    fn list(range: std::ops::Range<u64>) -> Vec<u64> {
        range.collect()
    }

    #[test]
    fn each_block_is_read_once_also_when_its_file_gets_a_name() {
        let dir = tempfile::tempdir().unwrap();
        let mut follower = Follower::new(vec![dir.path().to_owned()], ReadOptions::default());
        assert_eq!(new(&mut follower), (Look::Done, vec![]));
        let current = dir.path().join("nfcapd.current.17");
        let mut writer = create(current.clone());
        write(&mut writer, 0..3);
        assert_eq!(new(&mut follower), (Look::Done, list(0..3)));
        assert_eq!(new(&mut follower), (Look::Done, vec![]));
        write(&mut writer, 3..5);
        write(&mut writer, 5..6);
        assert_eq!(new(&mut follower), (Look::Done, list(3..6)));
        assert_eq!((follower.read().files, follower.read().open), (1, 1));
        write(&mut writer, 6..9);
        writer.close(&[]).unwrap();
        let sub = dir.path().join("2026/11/21");
        fs::create_dir_all(&sub).unwrap();
        fs::rename(&current, sub.join("nfcapd.202611212230")).unwrap();
        let mut next = create(current);
        write(&mut next, 9..10);
        let (look, mut got) = new(&mut follower);
        got.sort_unstable();
        assert_eq!((look, got), (Look::Done, list(6..10)));
        let read = follower.read();
        assert_eq!((read.files, read.open, read.blocks), (2, 1, 5));
        assert_eq!((read.unreadable_files, read.damaged_blocks, read.trouble), (0, 0, None));
        assert_eq!(follower.finished(), [sub.join("nfcapd.202611212230")]);
    }

    #[test]
    fn what_stops_goes_on_behind_the_last_block() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = create(dir.path().join("nfcapd.202611212230"));
        (0..3).for_each(|n| write(&mut writer, n..n + 1));
        writer.close(&[]).unwrap();
        let mut follower = Follower::new(vec![dir.path().to_owned()], ReadOptions::default());
        let mut got = Vec::new();
        let look = follower.look(NOW, 0, |rows, _| {
            got.extend(rows.iter().map(|r| r.number(Field::Bytes)));
            got.len() < 2
        });
        assert_eq!((look.unwrap(), &got[..]), (Look::Stopped, &[0, 1][..]));
        assert_eq!(new(&mut follower), (Look::Done, vec![2]));
    }

    #[test]
    fn files_that_are_gone_or_merged_are_told() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) =
            (dir.path().join("nfcapd.202611212230"), dir.path().join("nfcapd.current.9"));
        for (path, flows) in [(&one, 0..2), (&two, 2..4)] {
            let mut writer = create(path.clone());
            write(&mut writer, flows);
            writer.close(&[]).unwrap();
        }
        let mut follower = Follower::new(vec![dir.path().to_owned()], ReadOptions::default());
        assert_eq!(new(&mut follower), (Look::Done, list(0..4)));
        store::rotate::publish(&two, dir.path(), Path::new(""), "nfcapd.202611212230").unwrap();
        assert_eq!(new(&mut follower), (Look::Changed, vec![]));
        let mut follower = Follower::new(vec![dir.path().to_owned()], ReadOptions::default());
        assert_eq!(new(&mut follower), (Look::Done, list(0..4)));
    }

    #[test]
    fn damage_costs_what_is_damaged() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["nfcapd.202611212230", "nfcapd.202611212235"] {
            let mut writer = create(dir.path().join(name));
            write(&mut writer, 0..2);
            writer.close(&[]).unwrap();
        }
        fs::write(dir.path().join("nfcapd.202611212240"), b"not a flow file").unwrap();
        fs::write(dir.path().join("nfcapd.current.1"), b"").unwrap();
        fs::write(dir.path().join(".flowsuite-loss.20261121.no-pcap"), b"").unwrap();
        let mut follower = Follower::new(vec![dir.path().to_owned()], ReadOptions::default());
        assert_eq!(new(&mut follower).1.len(), 4);
        let read = follower.read();
        assert_eq!((read.files, read.unreadable_files), (2, 1));
        assert!(read.trouble.unwrap().contains("nfcapd.202611212240"));
        assert_eq!(new(&mut follower), (Look::Done, vec![]), "not tried again");
        assert_eq!(follower.read().unreadable_files, 1);
        let mut missing = Follower::new(vec![dir.path().join("x")], ReadOptions::default());
        assert!(missing.look(NOW, 0, |_, _| true).is_err());
    }

    #[test]
    fn files_cut_at_each_octet_are_read_as_far_as_they_go() {
        let dir = tempfile::tempdir().unwrap();
        let whole = dir.path().join("whole");
        let mut writer = create(whole.clone());
        (0..3).for_each(|n| write(&mut writer, 2 * n..2 * n + 2));
        drop(writer);
        let octets = fs::read(&whole).unwrap();
        let path = dir.path().join("nfcapd.current.5");
        let mut before = 0;
        for len in 0..=octets.len() {
            fs::write(&path, &octets[..len]).unwrap();
            let mut follower = Follower::new(vec![path.clone()], ReadOptions::default());
            let (look, got) = new(&mut follower);
            assert_eq!(look, Look::Done);
            assert_eq!(got, list(0..got.len() as u64), "{len}");
            assert!(got.len() >= before && got.len() % 2 == 0, "{len}");
            before = got.len();
        }
        assert_eq!(before, 6);
        // Grown octet by octet below one follower, each block still comes once.
        let mut follower = Follower::new(vec![path.clone()], ReadOptions::default());
        fs::write(&path, b"").unwrap();
        let mut all = Vec::new();
        for octet in &octets {
            let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
            io::Write::write_all(&mut file, &[*octet]).unwrap();
            all.extend(new(&mut follower).1);
        }
        assert_eq!(all, list(0..6));
        assert_eq!(follower.read().damaged_blocks, 0);
    }

    #[test]
    fn old_files_are_not_opened() {
        let dir = tempfile::tempdir().unwrap();
        let old = dir.path().join("nfcapd.202611212230");
        let mut writer = create(old.clone());
        write(&mut writer, 0..2);
        writer.close(&[]).unwrap();
        let mut follower = Follower::new(vec![dir.path().to_owned()], ReadOptions::default());
        let from = modified_ms(&fs::metadata(&old).unwrap()) + 1;
        let mut blocks = 0;
        let mut look = |from| {
            let look = follower.look(NOW, from, |_, _| {
                blocks += 1;
                true
            });
            (look.unwrap(), blocks)
        };
        assert_eq!(look(from), (Look::Done, 0));
        assert_eq!(look(from - 1), (Look::Done, 1));
    }
}
