//! What outlives a collector: templates, samplers and names of its exporters, and how far they were
//! counted.
//!
//! It lies in `DIR/.flowsuite-state.no-pcap` as JSON, one file for each source. It is written when
//! something in it has changed, at most once a second, and at the end; a crash in between leaves the
//! file before. Whoever deletes it loses nothing but what comes until exporters repeat their
//! templates.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};
use store::side;
use wire::{Continuity, Snapshot};

/// What is kept of one source.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct State {
    /// Whether it is from the end of a collector, not from the middle: all is counted in it.
    pub(crate) is_final: bool,
    /// When it was written, milliseconds since 1970.
    pub(crate) saved_ms: u64,
    /// What the decoder knows.
    pub(crate) decoder: Snapshot,
}

/// What is larger is not ours: templates and names have limits of their own far below.
const MAX_LEN: u64 = 1 << 30;

impl State {
    /// Reads what a collector left in the directory of a source; `None` if there is nothing.
    ///
    /// # Errors
    /// If it cannot be read or understood.
    pub(crate) fn load(dir: &Path) -> io::Result<Option<Self>> {
        let file = match File::open(path(dir)) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        Ok(serde_json::from_reader(BufReader::new(file.take(MAX_LEN)))?)
    }

    /// Writes it in place of what is there.
    ///
    /// # Errors
    /// If the disk does not take it. What is there stays.
    pub(crate) fn save(&self, dir: &Path) -> io::Result<()> {
        let (path, draft) = (path(dir), draft(dir, "state"));
        let written = self.write(&draft).and_then(|()| fs::rename(&draft, &path));
        written.inspect_err(|_| {
            let _ = fs::remove_file(&draft); // written over by the next one otherwise
        })
    }

    fn write(&self, path: &Path) -> io::Result<()> {
        let mut out = BufWriter::new(File::create(path)?);
        serde_json::to_writer(&mut out, self)?;
        out.flush()?;
        out.get_ref().sync_all()
    }

    /// Whether sequence numbers go on from here.
    pub(crate) const fn continuity(&self) -> Continuity {
        if self.is_final { Continuity::Clean } else { Continuity::Crashed }
    }
}

/// What came of writing a state down: of one source, whose thread is not the one that writes.
#[derive(Debug, Default)]
pub(crate) struct Saving {
    is_under_way: AtomicBool,
    has_failed: AtomicBool,
}

impl Saving {
    /// Handed over to be written.
    pub(crate) fn begin(&self) {
        self.is_under_way.store(true, Ordering::Relaxed);
    }

    /// Whether the last one is not written yet: one waits at most.
    pub(crate) fn is_under_way(&self) -> bool {
        // With `done`: whoever sees the end sees what came of it.
        self.is_under_way.load(Ordering::Acquire)
    }

    /// Whether the last one could not be written.
    pub(crate) fn has_failed(&self) -> bool {
        self.has_failed.load(Ordering::Relaxed)
    }

    /// Written or not. Returns whether this is the first time that it is not.
    pub(crate) fn done(&self, is_ok: bool) -> bool {
        let had_failed = self.has_failed.swap(!is_ok, Ordering::Relaxed);
        self.is_under_way.store(false, Ordering::Release);
        !is_ok && !had_failed
    }
}

/// Where a side file is written before it gets its name: another one for each process, so that two
/// of them never write to one draft.
pub(crate) fn draft(dir: &Path, kind: &str) -> PathBuf {
    side::of_directory(dir, &format!("{kind}.draft.{}", std::process::id()))
}

fn path(dir: &Path) -> PathBuf {
    side::of_directory(dir, "state")
}
