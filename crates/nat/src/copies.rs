//! Copies of outcomes as text: to a file, to standard output, to syslog.
//!
//! Lines are handed to a thread in pieces through a queue that has an end. Whoever makes lines
//! never waits for a disk, a pipe or a syslog daemon: what does not fit is dropped and counted.

use crate::lines::{self, CSV_HEADER, CsvConfig};
use crate::outcome::Outcome;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

/// What lines are like.
#[derive(Clone, Copy, Debug)]
pub enum Style {
    /// nfflowd's 18 columns, at ends and interim records.
    Csv(CsvConfig),
    /// An object for each outcome.
    Json,
}

/// Where lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A file that grows; opened anew by [`Copies::reopen`].
    File(PathBuf),
    /// Standard output.
    Stdout,
    /// The syslog daemon behind a socket, usually `/dev/log`: facility local6, severity info.
    Syslog {
        /// Its socket.
        socket: PathBuf,
        /// Name in front of each line.
        program: String,
    },
}

/// What became of lines: `made` is `written`, `lost` and what waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CopyCounts {
    /// Lines made.
    pub made: u64,
    /// Lines written.
    pub written: u64,
    /// Lines for which there was no room, or that could not be written.
    pub lost: u64,
}

/// Octets of a piece that is handed over at once.
const PIECE: usize = 32 << 10;
/// Pieces that wait at most: 8 MiB.
const MOST: usize = 256;
/// `local6.info` of syslog(3): 22 * 8 + 6.
const LOCAL6_INFO: u8 = 182;

enum Job {
    Lines(Vec<u8>, u64),
    Reopen,
}

#[derive(Debug, Default)]
struct Shared {
    written: AtomicU64,
    lost: AtomicU64,
}

/// Makes lines and hands them to a thread that writes them.
pub struct Copies {
    style: Style,
    /// Whether lines wait for room: for recordings, which are read as fast as they are written.
    waits: bool,
    buffer: Vec<u8>,
    /// Lines in the buffer.
    count: u64,
    made: u64,
    jobs: Option<SyncSender<Job>>,
    done: Receiver<()>,
    shared: Arc<Shared>,
}

impl Copies {
    /// Opens `target` and starts the thread.
    ///
    /// # Errors
    /// If the target cannot be opened, or there is no thread.
    pub fn start(style: Style, target: Target, waits: bool) -> io::Result<Self> {
        let (jobs, receiver) = sync_channel(MOST);
        // Nothing is ever sent: it ends with the thread.
        let (alive, done) = sync_channel(1);
        let shared = Arc::<Shared>::default();
        let mut writer = Writer { out: Out::open(&target)?, target, shared: Arc::clone(&shared) };
        let is_headed = matches!(style, Style::Csv(_)) && writer.is_new();
        let work = move || {
            let _alive = alive;
            writer.run(&receiver);
        };
        std::thread::Builder::new().name("copies".to_owned()).spawn(work)?;
        let (count, made) = (0, 0);
        let mut copies =
            Self { style, waits, buffer: Vec::new(), count, made, jobs: Some(jobs), done, shared };
        if is_headed {
            copies.buffer.extend_from_slice(CSV_HEADER.as_bytes());
            copies.buffer.push(b'\n');
            copies.add(1);
        }
        Ok(copies)
    }

    /// Appends the lines of an outcome. A time of loss is a comment among columns.
    pub fn outcome(&mut self, now_ns: u64, outcome: &Outcome) {
        let count = match (&self.style, outcome) {
            (Style::Csv(_), Outcome::Degraded(gap)) => {
                // Writing to a Vec cannot fail.
                let (from, to) = (gap.from_ns / 1_000_000, gap.to_ns / 1_000_000);
                let _ = writeln!(self.buffer, "# degraded,{from},{to},{}", gap.overruns);
                1
            }
            (Style::Csv(config), _) => lines::csv(outcome, now_ns, config, &mut self.buffer),
            (Style::Json, _) => {
                lines::json(outcome, &mut self.buffer);
                1
            }
        };
        self.add(u64::from(count));
    }

    fn add(&mut self, count: u64) {
        self.count += count;
        self.made += count;
        if self.buffer.len() >= PIECE {
            self.flush();
        }
    }

    /// Hands over what waits here.
    pub fn flush(&mut self) {
        let Some(jobs) = self.jobs.as_ref().filter(|_| self.count > 0) else { return };
        let count = std::mem::take(&mut self.count);
        let lines = std::mem::replace(&mut self.buffer, Vec::with_capacity(PIECE + 1024));
        let job = Job::Lines(lines, count);
        let has_gone = match self.waits {
            true => jobs.send(job).is_ok(),
            false => match jobs.try_send(job) {
                Ok(()) => true,
                Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => false,
            },
        };
        if !has_gone {
            self.shared.lost.fetch_add(count, Relaxed);
        }
    }

    /// Opens a file anew by its name: something has moved it away.
    pub fn reopen(&mut self) {
        self.flush();
        if let Some(jobs) = &self.jobs {
            // Full is full of lines for the old file; the next signal may find room.
            let _ = jobs.try_send(Job::Reopen);
        }
    }

    /// Writes everything and ends; gives up what is not written after `patience`. Returns whether
    /// all was written.
    pub fn finish(&mut self, patience: Duration) -> bool {
        self.flush();
        self.jobs = None;
        matches!(self.done.recv_timeout(patience), Err(RecvTimeoutError::Disconnected))
    }

    /// What became of lines so far.
    pub fn counts(&self) -> CopyCounts {
        CopyCounts {
            made: self.made,
            written: self.shared.written.load(Relaxed),
            lost: self.shared.lost.load(Relaxed),
        }
    }
}

/// The thread's side.
struct Writer {
    out: Out,
    target: Target,
    shared: Arc<Shared>,
}

enum Out {
    File(File),
    Stdout(io::Stdout),
    /// Not connected while nobody listens.
    Syslog(Option<UnixDatagram>),
}

impl Out {
    fn open(target: &Target) -> io::Result<Self> {
        Ok(match target {
            Target::File(path) => {
                Self::File(OpenOptions::new().create(true).append(true).open(path)?)
            }
            Target::Stdout => Self::Stdout(io::stdout()),
            Target::Syslog { socket, .. } => Self::Syslog(Some(connect(socket)?)),
        })
    }
}

fn connect(path: &Path) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(path)?;
    Ok(socket)
}

impl Writer {
    /// Whether a header belongs at the beginning.
    fn is_new(&self) -> bool {
        match &self.out {
            Out::File(file) => file.metadata().is_ok_and(|m| m.len() == 0),
            Out::Stdout(_) => true,
            Out::Syslog(_) => false,
        }
    }

    fn run(&mut self, jobs: &Receiver<Job>) {
        let mut has_complained = false;
        while let Ok(job) = jobs.recv() {
            let (lines, count) = match job {
                Job::Lines(lines, count) => (lines, count),
                Job::Reopen => {
                    match Out::open(&self.target) {
                        Ok(out) => self.out = out,
                        Err(e) => log::error!("{}: {e}: the old one is kept", self.name()),
                    }
                    continue;
                }
            };
            let (written, result) = self.write(&lines, count);
            self.shared.written.fetch_add(written, Relaxed);
            self.shared.lost.fetch_add(count.saturating_sub(written), Relaxed);
            match result {
                Ok(()) => has_complained = false,
                Err(e) if !has_complained => {
                    log::error!("{}: {e}: lines are lost until this is mended", self.name());
                    has_complained = true;
                }
                Err(_) => {}
            }
        }
    }

    /// Returns how many lines are written.
    fn write(&mut self, lines: &[u8], count: u64) -> (u64, io::Result<()>) {
        let all = |result: io::Result<()>| (if result.is_ok() { count } else { 0 }, result);
        match (&mut self.out, &self.target) {
            (Out::File(file), _) => all(file.write_all(lines)),
            (Out::Stdout(out), _) => all(out.write_all(lines).and_then(|()| out.flush())),
            (Out::Syslog(socket), Target::Syslog { socket: path, program }) => {
                let head = format!("<{LOCAL6_INFO}>{program}[{}]: ", std::process::id());
                send_lines(socket, path, head.as_bytes(), lines)
            }
            (Out::Syslog(_), _) => (0, Ok(())),
        }
    }

    fn name(&self) -> String {
        match &self.target {
            Target::File(path) => path.display().to_string(),
            Target::Stdout => "standard output".to_owned(),
            Target::Syslog { socket, .. } => format!("syslog at {}", socket.display()),
        }
    }
}

/// Sends each line as a datagram; connects again where the daemon was restarted.
fn send_lines(
    socket: &mut Option<UnixDatagram>,
    path: &Path,
    head: &[u8],
    lines: &[u8],
) -> (u64, io::Result<()>) {
    let (mut written, mut failure) = (0, Ok(()));
    let mut datagram = head.to_vec();
    for line in lines.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
        datagram.truncate(head.len());
        datagram.extend_from_slice(line);
        let mut sent = match socket {
            Some(socket) => socket.send(&datagram).map(drop),
            None => Err(io::ErrorKind::NotConnected.into()),
        };
        if sent.is_err() {
            *socket = connect(path).ok();
            if let Some(socket) = socket {
                sent = socket.send(&datagram).map(drop);
            }
        }
        match sent {
            Ok(()) => written += 1,
            Err(e) => failure = Err(e),
        }
    }
    (written, failure)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Gap;

    fn gap(n: u64) -> Outcome {
        Outcome::Degraded(Gap { from_ns: n * 1_000_000, to_ns: (n + 1) * 1_000_000, overruns: 1 })
    }

    fn csv() -> Style {
        let exporter = std::net::IpAddr::from([192, 0, 2, 1]).into();
        Style::Csv(CsvConfig { exporter, boot_ms: 0, zero_second: false })
    }

    #[test]
    fn a_file_is_continued_and_opened_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        for n in 0..2 {
            let mut copies = Copies::start(csv(), Target::File(path.clone()), false).unwrap();
            copies.outcome(0, &gap(n));
            assert!(copies.finish(Duration::from_secs(60)));
            let counts = copies.counts();
            assert_eq!((counts.made, counts.written, counts.lost), (2 - n, 2 - n, 0));
        }
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, format!("{CSV_HEADER}\n# degraded,0,1,1\n# degraded,1,2,1\n"));
        let mut copies = Copies::start(Style::Json, Target::File(path.clone()), false).unwrap();
        std::fs::rename(&path, dir.path().join("log.1")).unwrap();
        copies.reopen();
        copies.outcome(0, &gap(7));
        assert!(copies.finish(Duration::from_secs(60)));
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, "{\"type\":\"degraded\",\"from\":7.000,\"to\":8.000,\"overruns\":1}\n");
    }

    #[test]
    fn syslog_gets_a_datagram_for_each_line_also_after_its_restart() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let daemon = UnixDatagram::bind(&path).unwrap();
        let target = Target::Syslog { socket: path.clone(), program: "flownatd".to_owned() };
        let mut copies = Copies::start(csv(), target, false).unwrap();
        let head = format!("<182>flownatd[{}]: # degraded,", std::process::id());
        let read = |daemon: &UnixDatagram| {
            let mut buffer = [0; 200];
            let len = daemon.recv(&mut buffer).unwrap();
            String::from_utf8(buffer[..len].to_vec()).unwrap()
        };
        copies.outcome(0, &gap(1));
        copies.outcome(0, &gap(2));
        copies.flush();
        assert_eq!(read(&daemon), format!("{head}1,2,1"));
        assert_eq!(read(&daemon), format!("{head}2,3,1"));
        drop(daemon);
        std::fs::remove_file(&path).unwrap();
        let daemon = UnixDatagram::bind(&path).unwrap();
        copies.outcome(0, &gap(3));
        copies.flush();
        assert_eq!(read(&daemon), format!("{head}3,4,1"));
    }

    #[test]
    fn who_does_not_read_holds_up_nobody_and_is_counted() {
        // A FIFO that nobody empties: its writer waits, the queue fills, the rest is counted.
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fifo");
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        let _reader = OpenOptions::new().read(true).write(true).open(&path).unwrap();
        let mut copies = Copies::start(Style::Json, Target::File(path), false).unwrap();
        let line = {
            let mut one = Vec::new();
            lines::json(&gap(1), &mut one);
            one.len()
        };
        let count = (PIECE * (MOST + 8) + (1 << 20)) / line;
        for _ in 0..count {
            copies.outcome(0, &gap(1));
        }
        assert!(copies.counts().lost > 0);
        assert!(!copies.finish(Duration::from_millis(1)), "it still waits for the reader");
    }
}
