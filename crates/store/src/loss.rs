//! Loss statements: what a collector could not store, slot by slot, beside the flow files.
//!
//! A statement is one line of JSON in `BASE/.flowsuite/loss.YYYYMMDD.no-pcap`, where `BASE` is the
//! directory of the collector and the day is that in the name of the flow file. [`side`](crate::side)
//! says why it is called so. The lines of a day share a file, so that directories by day or hour can
//! be emptied and removed.
//!
//! ```json
//! {"file":"2026/04/10/nfcapd.202604101200","ident":"border","collector":4711,"from":1775822400,"until":1775822700,
//!  "received":812,"stored":24333,"losses":[{"place":"kernel","what":"socket drops",
//!  "unit":"datagrams","count":17,"shared":false}]}
//! ```
//!
//! A file that was written in parts, because a slot was closed early, has as many statements.

use crate::error::StoreError;
use crate::side::{DIRECTORY, MARK};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
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

/// Larger files are not read: a day has at most 86 400 slots.
const MAX_LEN: u64 = 256 << 20;
/// Levels between a flow file and the directory of its collector: `%Y/%m/%d/%H`, and one to spare.
const MAX_LEVELS: usize = 5;

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
        if let Some(directory) = path.parent() {
            // Not the directory above it: where that is gone, nobody reads statements.
            match fs::create_dir(directory) {
                Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
                _ => {}
            }
        }
        let mut file = OpenOptions::new().append(true).read(true).create(true).open(path)?;
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
        file.write_all(&line)
    }
}

/// Reads the statements of flow files; keeps the days it has read.
#[derive(Debug, Default)]
pub struct Statements {
    days: HashMap<PathBuf, Vec<Statement>>,
    unreadable: u64,
}

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
        for base in absolute.ancestors().skip(1).take(MAX_LEVELS) {
            let path = ledger(base, day);
            if !self.days.contains_key(&path) {
                let read = self.read(&path).map_err(StoreError::io("read", &path))?;
                self.days.insert(path.clone(), read);
            }
            let relative = absolute.strip_prefix(base).ok().and_then(Path::to_str);
            let all = self.days.get(&path).map_or(&[][..], Vec::as_slice);
            if all.iter().any(|s| Some(s.file.as_str()) == relative) {
                let all = self.days.get(&path).map_or(&[][..], Vec::as_slice);
                return Ok(all.iter().filter(|s| Some(s.file.as_str()) == relative).collect());
            }
        }
        Ok(Vec::new())
    }

    /// Lines that are no statements: written half before a crash, or by somebody else.
    pub const fn unreadable(&self) -> u64 {
        self.unreadable
    }

    fn read(&mut self, path: &Path) -> io::Result<Vec<Statement>> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(e),
        };
        let mut text = Vec::new();
        file.take(MAX_LEN).read_to_end(&mut text)?;
        let mut all = Vec::new();
        for line in text.split(|b| *b == b'\n').filter(|l| !l.is_empty()) {
            match serde_json::from_slice(line) {
                Ok(statement) => all.push(statement),
                Err(_) => self.unreadable += 1,
            }
        }
        Ok(all)
    }
}

fn ledger(base: &Path, day: &str) -> PathBuf {
    base.join(DIRECTORY).join(format!("loss.{day}{MARK}"))
}

/// `YYYYMMDD` of `nfcapd.YYYYMMDDhhmm`.
fn day(name: &str) -> Option<&str> {
    let day = name.split_once('.')?.1.get(..8)?;
    day.bytes().all(|b| b.is_ascii_digit()).then_some(day)
}

#[cfg(test)]
mod tests {
    use super::*;

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
