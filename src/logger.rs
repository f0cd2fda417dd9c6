//! Log lines: to stderr, or to the local syslog once a program runs in the background.
//!
//! Lines carry no time, whoever takes them adds it. Under systemd (`JOURNAL_STREAM` is set) they
//! carry the priority that the journal reads.

use log::{Level, LevelFilter, Log, Metadata, Record};
use std::io::{self, Write as _};
use std::os::unix::net::UnixDatagram;

/// Where log lines go.
#[derive(Debug)]
pub enum Target {
    /// Standard error.
    Stderr,
    /// The local syslog daemon, facility daemon, under the name of the program.
    Syslog {
        /// Name in front of each line.
        program: String,
    },
}

/// Installs the logger for the rest of the process. `verbosity` is nfcapd's `-v`: 0 errors, 1 what
/// an operator wants to see, 2 and more the rest.
pub fn install(target: Target, verbosity: u8) -> io::Result<()> {
    let level = match verbosity {
        0 => LevelFilter::Error,
        1 => LevelFilter::Info,
        2 => LevelFilter::Debug,
        _ => LevelFilter::Trace,
    };
    let logger: Box<dyn Log> = match target {
        Target::Stderr => {
            Box::new(Stderr { with_priority: std::env::var_os("JOURNAL_STREAM").is_some() })
        }
        Target::Syslog { program } => Box::new(Syslog::connect(program)?),
    };
    log::set_boxed_logger(logger).map_err(io::Error::other)?;
    log::set_max_level(level);
    Ok(())
}

/// Severity of syslog(3): 3 err, 4 warning, 6 info, 7 debug.
fn severity(level: Level) -> u8 {
    match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    }
}

#[derive(Debug)]
struct Stderr {
    with_priority: bool,
}

impl Log for Stderr {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let line = if self.with_priority {
            format!("<{}>{}\n", severity(record.level()), record.args())
        } else {
            format!("{}\n", record.args())
        };
        // In one piece, for others write there, too. `eprintln` would panic where a disk is full or
        // a pipe has nobody at its other end, and a log that is gone must not stop the collector.
        let _ = io::stderr().lock().write_all(line.as_bytes());
    }

    fn flush(&self) {}
}

#[derive(Debug)]
struct Syslog {
    socket: UnixDatagram,
    program: String,
}

impl Syslog {
    fn connect(program: String) -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        socket.connect("/dev/log")?;
        Ok(Self { socket, program })
    }
}

impl Log for Syslog {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        const DAEMON: u8 = 3;
        let priority = DAEMON * 8 + severity(record.level());
        let (program, pid) = (&self.program, std::process::id());
        let line = format!("<{priority}>{program}[{pid}]: {}", record.args());
        // A syslog daemon that is gone must not stop the collector.
        let _ = self.socket.send(line.as_bytes());
    }

    fn flush(&self) {}
}
