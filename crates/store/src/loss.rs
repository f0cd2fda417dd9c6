//! Loss statements: what a collector could not store, slot by slot, beside the flow files.
//!
//! A statement is one line of JSON in `BASE/.flowsuite-loss.YYYYMMDD.no-pcap`, where `BASE` is the
//! directory of the collector and the day is that in the name of the flow file. [`side`]
//! says why it is called so. The lines of a day share a file, so that directories by day or hour can
//! be emptied and removed.
//!
//! ```json
//! {"file":"2026/04/10/nfcapd.202604101200","ident":"border","collector":4711,"from":1775822400,"until":1775822700,
//!  "received":812,"stored":24333,"losses":[{"place":"kernel","what":"socket drops",
//!  "unit":"datagrams","count":17,"shared":false}]}
//! ```
//!
//! `exporters`, left out above, has the [accounts](ExporterStatement) of each exporter.
//!
//! A file that was written in parts, because a slot was closed early, has as many statements.
//!
//! Nothing but the report of losses reads them. Whoever expires flow files may delete the files of
//! those days, or lines of them, at any time; what is left is read as before.
//! [`side::expire_days`] does so.

mod account;

pub use account::{Account, Cause, ExporterStatement};

use crate::error::StoreError;
use crate::replace::create_beside;
use crate::rotate::sync_directory;
use crate::side::{self, MAX_LEVELS, day_in_name as day};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{MetadataExt as _, fchown};
use std::path::{Path, PathBuf};

/// What became of one slot of one source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    /// The flow file, relative to the collector's directory.
    pub file: String,
    /// Ident of the source.
    pub ident: String,
    /// Which collector: the number of its process. Losses that its sources share count once.
    #[serde(default)]
    pub collector: u32,
    /// Start of the slot, seconds since 1970.
    pub from: u64,
    /// End of the slot, seconds since 1970.
    pub until: u64,
    /// Datagrams received.
    pub received: u64,
    /// Flows stored.
    pub stored: u64,
    /// What is missing, by cause; empty if nothing is.
    #[serde(default)]
    pub losses: Vec<Loss>,
    /// The accounts of its exporters, those that sent nothing left out; older statements have
    /// none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exporters: Vec<ExporterStatement>,
}

/// So much is missing for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loss {
    /// Where it was lost.
    pub place: Place,
    /// The cause, in a few words.
    pub what: String,
    /// What is counted: `datagrams`, `records`, `flows`, `sets`, `templates`, ...
    pub unit: String,
    /// How much.
    pub count: u64,
    /// Whether it was counted for all sources of the collector together. Each of their statements
    /// then has it.
    #[serde(default)]
    pub shared: bool,
}

/// Where on its way something was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// Between exporter and collector: sequence numbers are missing.
    Network,
    /// In the receive buffer of the collector's host.
    Kernel,
    /// Sent in a way that cannot be decoded.
    Exporter,
    /// Refused or given up by the collector, because of a limit or a setting.
    Collector,
    /// Between the collector and the file.
    Disk,
}

impl Place {
    /// In one word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::Kernel => "kernel",
            Self::Exporter => "exporter",
            Self::Collector => "collector",
            Self::Disk => "disk",
        }
    }
}

/// What is beyond it is not read: a day has at most 86 400 slots.
const MAX_LEN: u64 = 256 << 20;

impl Statement {
    /// Appends the statement to those of its day, below the collector's directory.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn append(&self, base: &Path) -> Result<(), StoreError> {
        let name = Path::new(&self.file).file_name().and_then(|n| n.to_str()).unwrap_or_default();
        let path = ledger(base, day(name).unwrap_or("unknown"));
        self.write(&path).map_err(StoreError::io("write", &path))
    }

    fn write(&self, path: &Path) -> io::Result<()> {
        let mut file = open_locked(path, OpenOptions::new().append(true).read(true).create(true))?;
        let mut line = Vec::new();
        // A crash may have left half a line.
        let mut last = [b'\n'];
        if file.seek(SeekFrom::End(-1)).is_ok() {
            file.read_exact(&mut last)?;
        }
        if last != [b'\n'] {
            line.push(b'\n');
        }
        serde_json::to_writer(&mut line, self)?;
        line.push(b'\n');
        let len = file.metadata()?.len();
        // Half a line is of no use, and it is tried again when there is room.
        file.write_all(&line).inspect_err(|_| drop(file.set_len(len)))
    }

    /// Forgets who sent something. Returns whether there was anything.
    fn forget(&mut self, ident: Option<&str>) -> bool {
        let named = ident.filter(|ident| self.ident != **ident);
        let has_something = named.is_some() || !self.exporters.is_empty();
        self.exporters.clear();
        if let Some(ident) = named {
            ident.clone_into(&mut self.ident);
        }
        has_something
    }
}

/// Reads the statements of flow files, and keeps those of one day: files that are asked for in
/// their order have each day read once.
#[derive(Debug, Default)]
pub struct Statements {
    day: String,
    /// Of that day, by directory of a collector.
    ledgers: HashMap<PathBuf, ByFile>,
    /// Of all days.
    unreadable: HashMap<PathBuf, u64>,
}

/// Statements by the name of their flow file.
type ByFile = HashMap<String, Vec<Statement>>;

impl Statements {
    /// Nothing read yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The statements of a flow file, in the order they were made; none if its collector made none.
    ///
    /// # Errors
    /// If there is a file of that day that cannot be read.
    pub fn of(&mut self, flow_file: &Path) -> Result<Vec<&Statement>, StoreError> {
        let absolute = flow_file.canonicalize().map_err(StoreError::io("read", flow_file))?;
        let name = absolute.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        let Some(day) = day(name) else { return Ok(Vec::new()) };
        if day != self.day {
            self.ledgers.clear();
            day.clone_into(&mut self.day);
        }
        for base in absolute.ancestors().skip(1).take(MAX_LEVELS) {
            if !self.ledgers.contains_key(base) {
                let path = ledger(base, day);
                let (all, unreadable) =
                    read(&path, MAX_LEN).map_err(StoreError::io("read", &path))?;
                self.ledgers.insert(base.to_owned(), all);
                if unreadable > 0 {
                    self.unreadable.insert(path, unreadable);
                }
            }
            let relative = absolute.strip_prefix(base).ok().and_then(Path::to_str);
            if relative.is_some_and(|name| self.has(base, name)) {
                let all = self.ledgers.get(base).zip(relative).and_then(|(l, name)| l.get(name));
                return Ok(all.into_iter().flatten().collect());
            }
        }
        Ok(Vec::new())
    }

    fn has(&self, base: &Path, name: &str) -> bool {
        self.ledgers.get(base).is_some_and(|l| l.contains_key(name))
    }

    /// Lines that are no statements: written half before a crash, or by somebody else. All that is
    /// beyond the first 256 MiB of a day counts as one more.
    pub fn unreadable(&self) -> u64 {
        self.unreadable.values().sum()
    }
}

/// Opens a file of statements and waits until nobody else changes it. Where there are no locks, two
/// collectors should not write to one directory.
fn open_locked(path: &Path, options: &OpenOptions) -> io::Result<File> {
    /// Whoever gives the name to another file has the lock meanwhile, and does so rarely.
    const TRIES: usize = 100;
    for _ in 0..TRIES {
        let file = options.open(path)?;
        let _ = file.lock();
        // What is written to one that lost its name while this waited would be lost.
        let (own, named) = (file.metadata()?, path.metadata());
        if named.is_ok_and(|named| (named.dev(), named.ino()) == (own.dev(), own.ino())) {
            return Ok(file);
        }
    }
    Err(io::ErrorKind::ResourceBusy.into())
}

/// Takes out of the statements of a day who sent something, and gives the sources another ident if
/// there is one. The losses of the slots stay. `is_meant` is given the flow file of each, as the statement has it.
/// Returns how many statements were changed; where one is meant, lines that are none go.
///
/// # Errors
/// If the file cannot be read or written; it is then as it was.
pub fn forget_exporters(
    ledger: &Path,
    ident: Option<&str>,
    is_meant: &mut dyn FnMut(&str) -> bool,
) -> Result<u64, StoreError> {
    let fail = |what| StoreError::io(what, ledger);
    // A collector may append at any moment: until the end it waits for this.
    let mut file = match open_locked(ledger, OpenOptions::new().read(true).write(true)) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(e) => return Err(fail("read")(e)),
    };
    if file.metadata().map_err(fail("read"))?.len() > MAX_LEN {
        return Err(fail("read")(io::ErrorKind::FileTooLarge.into()));
    }
    let mut text = Vec::new();
    file.read_to_end(&mut text).map_err(fail("read"))?;
    let (mut out, mut changed) = (Vec::with_capacity(text.len()), 0);
    let (mut is_any_meant, mut is_any_none) = (false, false);
    for line in text.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
        let Ok(mut statement) = serde_json::from_slice::<Statement>(line) else {
            is_any_none = true;
            continue;
        };
        if is_meant(&statement.file) {
            is_any_meant = true;
            changed += u64::from(statement.forget(ident));
        }
        serde_json::to_writer(&mut out, &statement).map_err(|e| fail("write")(e.into()))?;
        out.push(b'\n');
    }
    if changed > 0 || is_any_meant && is_any_none {
        replace(ledger, &file, &out)?;
    }
    Ok(changed)
}

/// Gives the name of a file that is locked to one of this content, with its mode, and where allowed
/// its owner. Whoever reads has the old one or the new one.
fn replace(path: &Path, old: &File, content: &[u8]) -> Result<(), StoreError> {
    let (temporary, mut new) = create_beside(path)?;
    let mut write = || {
        new.write_all(content)?;
        let meta = old.metadata()?;
        let _ = fchown(&new, Some(meta.uid()), Some(meta.gid()));
        new.set_permissions(meta.permissions())?;
        new.sync_all()?;
        fs::rename(&temporary, path)
    };
    write()
        .inspect_err(|_| drop(fs::remove_file(&temporary)))
        .map_err(StoreError::io("write", path))?;
    let directory = path.parent().unwrap_or_else(|| Path::new("."));
    sync_directory(directory).map_err(StoreError::io("sync", directory))
}

/// The files of statements that a flow file may be in, whether they exist or not, each with the
/// name that the flow file has there.
///
/// # Errors
/// If the flow file is not there.
pub fn ledgers_of(flow_file: &Path) -> Result<Vec<(PathBuf, String)>, StoreError> {
    let absolute = flow_file.canonicalize().map_err(StoreError::io("read", flow_file))?;
    let name = absolute.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    let day = day(name).unwrap_or("unknown");
    let bases = absolute.ancestors().skip(1).take(MAX_LEVELS);
    let in_base = |base: &Path| {
        let relative = absolute.strip_prefix(base).ok()?.to_str()?;
        Some((ledger(base, day), relative.to_owned()))
    };
    Ok(bases.filter_map(in_base).collect())
}

/// The statements in the first `max` octets of a file, and how many lines are none.
fn read(path: &Path, max: u64) -> io::Result<(ByFile, u64)> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Default::default()),
        Err(e) => return Err(e),
    };
    let (mut all, mut unreadable) = (ByFile::new(), 0);
    let mut lines = BufReader::new(file.take(max + 1));
    let (mut line, mut left) = (Vec::new(), max);
    loop {
        line.clear();
        let n = lines.read_until(b'\n', &mut line)? as u64;
        if n > left {
            return Ok((all, unreadable + 1));
        }
        if n == 0 {
            return Ok((all, unreadable));
        }
        left -= n;
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        match serde_json::from_slice::<Statement>(text) {
            Ok(statement) => all.entry(statement.file.clone()).or_default().push(statement),
            Err(_) => unreadable += u64::from(!text.is_empty()),
        }
    }
}

fn ledger(base: &Path, day: &str) -> PathBuf {
    side::of_day(base, "loss", day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn exporters_of_some_files_are_forgotten_and_losses_stay() {
        let dir = tempfile::tempdir().unwrap();
        let named = |file: &str| Statement {
            exporters: vec![ExporterStatement {
                number: 1,
                address: "192.0.2.77".parse().unwrap(),
                ..ExporterStatement::default()
            }],
            ..statement(file, 3)
        };
        for n in 0..3 {
            named(&format!("nfcapd.20261118110{n}")).append(dir.path()).unwrap();
        }
        let path = ledger(dir.path(), "20261118");
        let mut is_meant = |file: &str| file != "nfcapd.202611181102";
        assert_eq!(forget_exporters(&path, Some("none"), &mut is_meant).unwrap(), 2);
        let once = fs::read(&path).unwrap();
        let got = read(&path, MAX_LEN).unwrap();
        assert_eq!((got.0.len(), got.1), (3, 0));
        for (file, statements) in got.0 {
            let want = match is_meant(&file) {
                true => Statement { ident: "none".to_owned(), ..statement(&file, 3) },
                false => named(&file),
            };
            assert_eq!(statements, [want]);
        }
        // Again, it changes nothing.
        assert_eq!(forget_exporters(&path, Some("none"), &mut is_meant).unwrap(), 0);
        assert_eq!(fs::read(&path).unwrap(), once);
        let gone = dir.path().join("gone");
        assert_eq!(forget_exporters(&gone, Some("none"), &mut |_| true).unwrap(), 0);
        // Half a line may have addresses, too; where nothing is meant, nothing is touched.
        let half =
            [&*once, br#"{"file":"nfcapd.202611181100","exporters":[{"address":"192.0."#].concat();
        fs::write(&path, &half).unwrap();
        assert_eq!(forget_exporters(&path, Some("none"), &mut |_| false).unwrap(), 0);
        assert_eq!(fs::read(&path).unwrap(), half);
        assert_eq!(forget_exporters(&path, Some("none"), &mut is_meant).unwrap(), 0);
        assert_eq!(fs::read(&path).unwrap(), once);
    }

    #[test]
    fn statements_that_wait_for_the_lock_are_not_lost() {
        let dir = tempfile::tempdir().unwrap();
        let first = statement("nfcapd.202611181100", 3);
        first.append(dir.path()).unwrap();
        let path = ledger(dir.path(), "20261118");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let reader = File::open(&path).unwrap();
        std::thread::scope(|scope| {
            let mut appended = None;
            let forgotten = forget_exporters(&path, Some("none"), &mut |_| {
                // It has the file open that is about to lose its name.
                let base = dir.path();
                appended = Some(scope.spawn(|| statement("nfcapd.202611181105", 4).append(base)));
                wait_for_lock(&path);
                true
            });
            assert_eq!(forgotten.unwrap(), 1);
            appended.unwrap().join().unwrap().unwrap();
        });
        let (got, unreadable) = read(&path, MAX_LEN).unwrap();
        assert_eq!((got.len(), unreadable), (2, 0));
        assert_eq!(got["nfcapd.202611181105"], [statement("nfcapd.202611181105", 4)]);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        // Whoever reads meanwhile has the old file, whole.
        let mut old = String::new();
        BufReader::new(reader).read_to_string(&mut old).unwrap();
        assert_eq!(serde_json::from_str::<Statement>(&old).unwrap(), first);
    }

    /// Waits until somebody waits for the lock of a file.
    fn wait_for_lock(path: &Path) {
        let inode = format!(":{} ", path.metadata().unwrap().ino());
        let is_waiting = |line: &str| line.contains("->") && line.contains(&inode);
        while !fs::read_to_string("/proc/locks").unwrap().lines().any(is_waiting) {
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_flow_file_may_be_in_statements_above_it() {
        let dir = tempfile::tempdir().unwrap();
        let below = dir.path().canonicalize().unwrap().join("2026/11");
        fs::create_dir_all(&below).unwrap();
        let file = below.join("nfcapd.202611181105");
        fs::write(&file, b"").unwrap();
        let all = ledgers_of(&file).unwrap();
        assert_eq!(all.len(), MAX_LEVELS);
        let want = below.join(".flowsuite-loss.20261118.no-pcap");
        assert_eq!(all[0], (want, "nfcapd.202611181105".to_owned()));
        assert_eq!(all[2].1, "2026/11/nfcapd.202611181105");
    }

    fn statement(file: &str, drops: u64) -> Statement {
        let loss = Loss {
            place: Place::Kernel,
            what: "socket drops".to_owned(),
            unit: "datagrams".to_owned(),
            count: drops,
            shared: false,
        };
        let losses = if drops > 0 { vec![loss] } else { Vec::new() };
        let (file, ident) = (file.to_owned(), "border \"1\"".to_owned());
        Statement {
            file,
            ident,
            collector: 7,
            from: 300,
            until: 600,
            received: 8,
            stored: 240,
            losses,
            exporters: Vec::new(),
        }
    }

    #[test]
    fn statements_come_back_for_their_file_only() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path();
        let (a, b) = ("nfcapd.202604101200", "2026/04/10/nfcapd.202604101205");
        fs::create_dir_all(base.join("2026/04/10")).unwrap();
        for file in [a, b, "nfcapd.202604111200", "other"] {
            fs::write(base.join(file), "").unwrap();
        }
        for s in [statement(a, 0), statement(b, 17), statement(a, 3)] {
            s.append(base).unwrap();
        }
        let mut all = Statements::new();
        assert_eq!(all.of(&base.join(a)).unwrap(), [&statement(a, 0), &statement(a, 3)]);
        assert_eq!(all.of(&base.join(b)).unwrap(), [&statement(b, 17)]);
        assert!(all.of(&base.join("nfcapd.202604111200")).unwrap().is_empty(), "another day");
        assert!(all.of(&base.join("other")).unwrap().is_empty());
        assert!(all.of(&base.join("missing")).is_err());
        assert_eq!(all.unreadable(), 0);
    }

    #[test]
    fn days_gone_by_are_dropped_and_their_faults_counted_once() {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path();
        let names = ["nfcapd.202604101200", "nfcapd.202604111200", "nfcapd.202604101205"];
        for name in names {
            fs::write(base.join(name), "").unwrap();
            statement(name, 1).append(base).unwrap();
        }
        let path = ledger(base, "20260410");
        fs::write(&path, [&fs::read(&path).unwrap()[..], b"half\n"].concat()).unwrap();
        let mut all = Statements::new();
        for name in names {
            assert_eq!(all.of(&base.join(name)).unwrap(), [&statement(name, 1)]);
            let kept: Vec<_> = all.ledgers.values().flat_map(HashMap::keys).collect();
            let of_day = names.iter().filter(|n| day(n) == day(name)).count();
            assert_eq!(kept.len(), of_day, "{name}");
        }
        assert_eq!(all.unreadable(), 1);
    }

    #[test]
    fn a_day_that_is_too_large_is_told() {
        let dir = tempfile::tempdir().unwrap();
        for file in ["a.20260410", "b.20260410"] {
            statement(file, 1).append(dir.path()).unwrap();
        }
        let path = ledger(dir.path(), "20260410");
        let len = path.metadata().unwrap().len();
        for (max, found, unreadable) in
            [(len, 2, 0), (len - 1, 1, 1), (len / 2, 1, 1), (len / 2 - 1, 0, 1), (0, 0, 1)]
        {
            let (all, n) = read(&path, max).unwrap();
            assert_eq!((all.len(), n), (found, unreadable), "{max} of {len}");
        }
    }

    #[test]
    fn half_a_line_costs_that_line() {
        let dir = tempfile::tempdir().unwrap();
        let name = "nfcapd.202604101200";
        fs::write(dir.path().join(name), "").unwrap();
        statement(name, 1).append(dir.path()).unwrap();
        let path = ledger(dir.path(), "20260410");
        let whole = fs::read(&path).unwrap();
        for cut in 1..whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            statement(name, 2).append(dir.path()).unwrap();
            let mut all = Statements::new();
            let found = all.of(&dir.path().join(name)).unwrap();
            assert_eq!(found.last(), Some(&&statement(name, 2)), "cut at {cut}");
            // Without its line end, the first line is whole already.
            assert_eq!(found.len(), 1 + usize::from(cut == whole.len() - 1), "cut at {cut}");
            assert_eq!(all.unreadable(), u64::from(cut < whole.len() - 1), "cut at {cut}");
        }
    }
}
