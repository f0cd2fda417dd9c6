//! What of which file has arrived, across restarts: a file of lines that is only appended to.
//!
//! ```text
//! flowlake-stream 1 <what is streamed where>       <check>
//! at <last number> <reached>                       <check>
//! begin <number> <from> <until> <path>             <check>
//! done <number> <until> <reached> <path>           <check>
//! end <blocks' end> <path>                         <check>
//! ```
//!
//! Fields are separated by tabs; the last one is a hash of those before, so that a line which was
//! torn by a crash, and all behind it, is as if it had not been written. `begin` is on disk before
//! anything of a batch is sent and `done` after the other side has acknowledged it: if the last line
//! is `begin`, that batch is in doubt, and the target is asked about it. Lines of files that are gone
//! are left out when the file is written anew, at the start, atomically.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::hash::Hasher as _;
use std::io::{self, Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use twox_hash::XxHash3_64;

const MAGIC: &str = "flowlake-stream 1";
/// Octets of the largest state: some million files.
const LARGEST: u64 = 1 << 30;

/// Why there is no state.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// It cannot be read or written.
    #[error("state {path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Another process has it.
    #[error("state {path}: another flowlake is at work with it")]
    Busy {
        /// Which.
        path: PathBuf,
    },
    /// It is something else.
    #[error("state {path}: not written by flowlake stream; name another file")]
    NotOne {
        /// Which.
        path: PathBuf,
    },
    /// It belongs to another stream.
    #[error("state {path} is of another stream ({of}, not {wanted}): name another file")]
    Other {
        /// Which.
        path: PathBuf,
        /// Whose it is.
        of: String,
        /// Who asks.
        wanted: String,
    },
}

/// A stretch of a file that is delivered at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// Running number in the stream, from 1.
    pub number: u64,
    /// The file.
    pub path: PathBuf,
    /// Octet of the file where its first block begins.
    pub from: u64,
    /// Where its last block ends.
    pub until: u64,
}

/// How far a file is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reached {
    /// Blocks up to here have arrived.
    pub until: u64,
    /// All of it has, and its length then.
    pub ended: Option<u64>,
}

/// The state of one stream.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    /// `None`: nothing is kept beyond the run.
    file: Option<File>,
    /// Of a file of its own, for this one is replaced.
    _lock: Option<File>,
    files: HashMap<PathBuf, Reached>,
    last: u64,
    /// What the sink had reached when the last batch was done: octets of a file it writes.
    reached: u64,
    doubt: Option<Stretch>,
}

impl Journal {
    /// A state that ends with the process.
    pub fn none() -> Self {
        Self {
            path: PathBuf::new(),
            file: None,
            _lock: None,
            files: HashMap::new(),
            last: 0,
            reached: 0,
            doubt: None,
        }
    }

    /// Reads what is there, and locks it against other processes. `stream` says what is streamed
    /// where: a state serves the same stream only.
    ///
    /// # Errors
    /// If it cannot be read or written, is locked, or is of another stream.
    pub fn open(path: &Path, stream: &str) -> Result<Self, JournalError> {
        let failed = |source| JournalError::Io { path: path.to_owned(), source };
        let lock_path = with_suffix(path, ".lock");
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(&lock_path);
        let lock = lock.map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(std::fs::TryLockError::WouldBlock) => {
                return Err(JournalError::Busy { path: path.to_owned() });
            }
            Err(std::fs::TryLockError::Error(e)) => return Err(failed(e)),
        }
        let mut journal = Self { path: path.to_owned(), _lock: Some(lock), ..Self::none() };
        match File::open(path) {
            Ok(file) => journal.read(file, stream)?,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(failed(e)),
        }
        journal.files.retain(|path, _| path.exists());
        journal.write_anew(stream).map_err(failed)?;
        Ok(journal)
    }

    /// How far a file is.
    pub fn reached(&self, path: &Path) -> Reached {
        self.files.get(path).copied().unwrap_or_default()
    }

    /// What was begun and never heard of again.
    pub const fn doubt(&self) -> Option<&Stretch> {
        self.doubt.as_ref()
    }

    /// Number of the last batch that was begun.
    pub const fn last_number(&self) -> u64 {
        self.last
    }

    /// What the sink had reached with the last batch that was done.
    pub const fn sink_reached(&self) -> u64 {
        self.reached
    }

    /// A batch is about to be sent.
    ///
    /// # Errors
    /// If that cannot be written down; nothing may be sent then.
    pub fn begin(&mut self, stretch: &Stretch) -> Result<(), JournalError> {
        let (number, from, until) = (stretch.number, stretch.from, stretch.until);
        self.append(&format!("begin\t{number}\t{from}\t{until}\t{}", escaped(&stretch.path)))?;
        self.last = number;
        self.doubt = Some(stretch.clone());
        Ok(())
    }

    /// It has arrived. `reached` is for the sink to know when it goes on.
    ///
    /// # Errors
    /// If that cannot be written down: the batch stays in doubt.
    pub fn done(&mut self, stretch: &Stretch, reached: u64) -> Result<(), JournalError> {
        let (number, until) = (stretch.number, stretch.until);
        self.append(&format!("done\t{number}\t{until}\t{reached}\t{}", escaped(&stretch.path)))?;
        self.files.entry(stretch.path.clone()).or_default().until = until;
        (self.reached, self.doubt) = (reached, None);
        Ok(())
    }

    /// The batch in doubt can no longer be settled.
    pub fn forget_doubt(&mut self) {
        self.doubt = None;
    }

    /// All of a file has arrived; it had `len` octets.
    ///
    /// # Errors
    /// If that cannot be written down.
    pub fn end(&mut self, path: &Path, len: u64) -> Result<(), JournalError> {
        self.append(&format!("end\t{len}\t{}", escaped(path)))?;
        self.files.entry(path.to_owned()).or_default().ended = Some(len);
        Ok(())
    }

    fn append(&mut self, line: &str) -> Result<(), JournalError> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let written = file.write_all(checked(line).as_bytes()).and_then(|()| file.sync_data());
        written.map_err(|source| JournalError::Io { path: self.path.clone(), source })
    }

    fn read(&mut self, file: File, stream: &str) -> Result<(), JournalError> {
        let path = self.path.clone();
        let failed = |source| JournalError::Io { path: path.clone(), source };
        let mut text = Vec::new();
        file.take(LARGEST).read_to_end(&mut text).map_err(failed)?;
        let mut lines = text.split_inclusive(|c| *c == b'\n').map_while(|line| {
            let (line, check) = str::from_utf8(line).ok()?.strip_suffix('\n')?.rsplit_once('\t')?;
            (check == hash(line)).then_some(line)
        });
        let not_one = || JournalError::NotOne { path: path.clone() };
        let first = match lines.next() {
            Some(first) => first,
            None if text.is_empty() => return Ok(()),
            None => return Err(not_one()),
        };
        let of =
            first.strip_prefix(MAGIC).and_then(|f| f.strip_prefix('\t')).ok_or_else(not_one)?;
        if of != one_line(stream) {
            let (of, wanted) = (of.to_owned(), one_line(stream));
            return Err(JournalError::Other { path, of, wanted });
        }
        for line in lines {
            self.apply(line).ok_or_else(not_one)?;
        }
        Ok(())
    }

    fn apply(&mut self, line: &str) -> Option<()> {
        let mut fields = line.split('\t');
        let kind = fields.next()?;
        let mut number = || fields.next()?.parse::<u64>().ok();
        match kind {
            "begin" => {
                let (number, from, until) = (number()?, number()?, number()?);
                let path = unescaped(fields.next()?)?;
                self.last = self.last.max(number);
                self.doubt = Some(Stretch { number, path, from, until });
            }
            "done" => {
                let (number, until, reached) = (number()?, number()?, number()?);
                let path = unescaped(fields.next()?)?;
                self.last = self.last.max(number);
                self.files.entry(path).or_default().until = until;
                (self.reached, self.doubt) = (reached, None);
            }
            "at" => (self.last, self.reached) = (number()?, number()?),
            "end" => {
                let len = number()?;
                let path = unescaped(fields.next()?)?;
                self.files.entry(path).or_default().ended = Some(len);
            }
            _ => return None,
        }
        Some(())
    }

    /// Writes what is known into a new file that takes the place of the old one.
    fn write_anew(&mut self, stream: &str) -> io::Result<()> {
        let temporary = with_suffix(&self.path, ".new");
        let mut out = io::BufWriter::new(File::create(&temporary)?);
        out.write_all(checked(&format!("{MAGIC}\t{}", one_line(stream))).as_bytes())?;
        out.write_all(checked(&format!("at\t{}\t{}", self.last, self.reached)).as_bytes())?;
        for (path, reached) in &self.files {
            let path = escaped(path);
            let done = format!("done\t{}\t{}\t{}\t{path}", self.last, reached.until, self.reached);
            out.write_all(checked(&done).as_bytes())?;
            if let Some(len) = reached.ended {
                out.write_all(checked(&format!("end\t{len}\t{path}")).as_bytes())?;
            }
        }
        if let Some(Stretch { number, path, from, until }) = &self.doubt {
            let begin = format!("begin\t{number}\t{from}\t{until}\t{}", escaped(path));
            out.write_all(checked(&begin).as_bytes())?;
        }
        let file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        std::fs::rename(&temporary, &self.path)?;
        let directory = self.path.parent().filter(|p| !p.as_os_str().is_empty());
        File::open(directory.unwrap_or_else(|| Path::new(".")))?.sync_all()?;
        self.file = Some(OpenOptions::new().append(true).open(&self.path)?);
        Ok(())
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn checked(line: &str) -> String {
    format!("{line}\t{}\n", hash(line))
}

fn hash(line: &str) -> String {
    let mut hasher = XxHash3_64::new();
    hasher.write(line.as_bytes());
    format!("{:016x}", hasher.finish())
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A path without what ends fields and lines: `%` and two digits for each such octet.
fn escaped(path: &Path) -> String {
    let octets = path.as_os_str().as_bytes();
    let mut out = String::with_capacity(octets.len());
    for octet in octets {
        match octet {
            b' '..=b'~' if *octet != b'%' => out.push(char::from(*octet)),
            _ => out.push_str(&format!("%{octet:02x}")),
        }
    }
    out
}

fn unescaped(text: &str) -> Option<PathBuf> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        if *first != b'%' {
            octets.push(*first);
            continue;
        }
        let (digits, behind) = rest.split_first_chunk::<2>()?;
        octets.push(u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()?);
        rest = behind;
    }
    Some(PathBuf::from(OsStr::from_bytes(&octets)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = "all to kafka:a/b";

    fn stretch(number: u64, path: &str, from: u64, until: u64) -> Stretch {
        Stretch { number, path: path.into(), from, until }
    }

    /// A state with a finished file, a begun one and a batch in doubt. The files are there.
    fn scene(dir: &Path) -> (PathBuf, PathBuf, PathBuf) {
        let (a, b) = (dir.join("a\t%\n"), dir.join("b"));
        std::fs::write(&a, "").unwrap();
        std::fs::write(&b, "").unwrap();
        let path = dir.join("state");
        let mut journal = Journal::open(&path, STREAM).unwrap();
        let one = Stretch { path: a.clone(), ..stretch(1, "", 140, 900) };
        journal.begin(&one).unwrap();
        journal.done(&one, 77).unwrap();
        journal.end(&a, 1000).unwrap();
        let two = Stretch { path: b.clone(), ..stretch(2, "", 140, 500) };
        journal.begin(&two).unwrap();
        journal.done(&two, 88).unwrap();
        journal.begin(&Stretch { path: b.clone(), ..stretch(3, "", 500, 800) }).unwrap();
        (path, a, b)
    }

    /// The state as another run finds it.
    fn copy(path: &Path, octets: &[u8], n: usize) -> PathBuf {
        let copy = path.with_extension(n.to_string());
        std::fs::write(&copy, octets).unwrap();
        copy
    }

    #[test]
    fn a_restart_knows_what_arrived_and_what_is_in_doubt() {
        let dir = tempfile::tempdir().unwrap();
        let (mut path, a, b) = scene(dir.path());
        for n in 0..3 {
            path = copy(&path, &std::fs::read(&path).unwrap(), n);
            let journal = Journal::open(&path, STREAM).unwrap();
            assert_eq!(journal.reached(&a), Reached { until: 900, ended: Some(1000) });
            assert_eq!(journal.reached(&b), Reached { until: 500, ended: None });
            assert_eq!((journal.last_number(), journal.sink_reached()), (3, 88));
            let doubt = Stretch { path: b.clone(), ..stretch(3, "", 500, 800) };
            assert_eq!(journal.doubt(), Some(&doubt));
        }
    }

    #[test]
    fn a_torn_line_was_never_written() {
        let dir = tempfile::tempdir().unwrap();
        let (path, a, b) = scene(dir.path());
        let octets = std::fs::read(&path).unwrap();
        let first = octets.iter().position(|c| *c == b'\n').unwrap() + 1;
        for len in 0..octets.len() {
            let torn = copy(&path, &octets[..len], len);
            let opened = Journal::open(&torn, STREAM);
            if (1..first).contains(&len) {
                assert!(matches!(opened, Err(JournalError::NotOne { .. })), "{len}");
                continue;
            }
            let journal = opened.unwrap();
            let lines = octets[..len].iter().filter(|c| **c == b'\n').count().max(1) - 1;
            let want = [
                (0, 0, None, 0, 0),
                (0, 0, None, 0, 0),
                (1, 0, None, 0, 0),
                (1, 900, None, 0, 77),
                (1, 900, Some(1000), 0, 77),
                (2, 900, Some(1000), 0, 77),
                (2, 900, Some(1000), 500, 88),
                (3, 900, Some(1000), 500, 88),
            ][lines];
            let (reached, of_b) = (journal.reached(&a), journal.reached(&b).until);
            let got =
                (journal.last_number(), reached.until, reached.ended, of_b, journal.sink_reached());
            assert_eq!(got, want, "{len} octets");
            assert_eq!(
                journal.doubt().map(|d| d.number),
                [2, 5, 7].contains(&lines).then_some(want.0)
            );
        }
    }

    #[test]
    fn damage_is_never_believed() {
        let dir = tempfile::tempdir().unwrap();
        let (path, ..) = scene(dir.path());
        let octets = std::fs::read(&path).unwrap();
        let first = octets.iter().position(|c| *c == b'\n').unwrap() + 1;
        for at in first..octets.len() {
            let mut damaged = octets.clone();
            damaged[at] ^= 0x15;
            let journal = Journal::open(&copy(&path, &damaged, at), STREAM).unwrap();
            assert!(journal.last_number() <= 3 && journal.sink_reached() <= 88, "{at}");
        }
    }

    #[test]
    fn other_streams_and_other_files_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (path, ..) = scene(dir.path());
        let _at_work = Journal::open(&path, STREAM).unwrap();
        assert!(matches!(Journal::open(&path, STREAM), Err(JournalError::Busy { .. })));
        let again = copy(&path, &std::fs::read(&path).unwrap(), 1);
        let other = Journal::open(&again, "another").unwrap_err();
        assert!(other.to_string().contains("of another stream (all to kafka:a/b, not another)"));
        let text = copy(&path, b"hello\n", 2);
        assert!(matches!(Journal::open(&text, STREAM), Err(JournalError::NotOne { .. })));
    }

    #[test]
    fn files_that_are_gone_are_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let (path, a, b) = scene(dir.path());
        std::fs::remove_file(&a).unwrap();
        std::fs::remove_file(&b).unwrap();
        let again = copy(&path, &std::fs::read(&path).unwrap(), 1);
        let journal = Journal::open(&again, STREAM).unwrap();
        assert_eq!(journal.reached(&a), Reached::default());
        assert_eq!(journal.reached(&b), Reached::default());
        assert_eq!((journal.last_number(), journal.sink_reached()), (3, 88));
    }
}
