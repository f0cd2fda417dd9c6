//! How far a long run is, on a terminal: one line on stderr that rewrites itself.
//!
//! Nothing is shown where nobody looks: stderr has to be a terminal, and answers that scroll over
//! the same terminal are progress enough.

use std::io::{self, IsTerminal as _, Write, stderr, stdout};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Runs shorter than this show nothing.
const PATIENCE: Duration = Duration::from_secs(1);
const INTERVAL_MS: u64 = 200;

static START: OnceLock<Instant> = OnceLock::new();
/// When the line was written last, milliseconds since the start; 0 is never.
static SHOWN_MS: AtomicU64 = AtomicU64::new(0);

/// When the files were begun, milliseconds since the start.
static BEGUN_MS: AtomicU64 = AtomicU64::new(0);

/// What to call for each file that is opened; `None` if nobody looks.
pub(super) fn watch(is_listing: bool) -> Option<fn(usize, usize)> {
    if !stderr().is_terminal() || (is_listing && stdout().is_terminal()) {
        return None;
    }
    START.get_or_init(sys::clock::monotonic);
    Some(show)
}

/// File number `done` of `all` is being read.
fn show(done: usize, all: usize) {
    let Some(start) = START.get() else { return };
    let elapsed = start.elapsed();
    if done == 1 {
        BEGUN_MS.store(elapsed.as_millis() as u64, Ordering::Relaxed); // perhaps of a later pass
    }
    let now_ms = elapsed.as_millis() as u64;
    let due = SHOWN_MS.load(Ordering::Relaxed) + INTERVAL_MS;
    if elapsed < PATIENCE || now_ms < due {
        return;
    }
    SHOWN_MS.store(now_ms, Ordering::Relaxed);
    let begun = Duration::from_millis(BEGUN_MS.load(Ordering::Relaxed)).min(elapsed);
    // A terminal that is gone is no reason to stop.
    let _ = write!(stderr(), "\r\x1b[K{}", bar(done, all, elapsed - begun));
}

/// `[=======>    ] file 12 of 20, 3 s, 2 s to go`, short enough for any terminal.
fn bar(done: usize, all: usize, elapsed: Duration) -> String {
    const WIDTH: usize = 24;
    // The file that was just opened is not read yet.
    let read = done.saturating_sub(1);
    let filled = (read * WIDTH / all.max(1)).min(WIDTH);
    let head = if filled < WIDTH { ">" } else { "" };
    let left = elapsed.as_secs_f64() * all.saturating_sub(read) as f64 / read.max(1) as f64;
    let to_go = if read == 0 { String::new() } else { format!(", {left:.0} s to go") };
    let secs = elapsed.as_secs();
    format!("[{:<WIDTH$}] file {done} of {all}, {secs} s{to_go}", "=".repeat(filled) + head)
}

/// Takes the line away again.
pub(super) fn clear() {
    if SHOWN_MS.swap(0, Ordering::Relaxed) > 0 {
        let _ = write!(stderr(), "\r\x1b[K");
    }
}

/// A writer that takes the line away before it writes: both may be on the same terminal.
pub(super) struct Cleared<W>(pub(super) W);

impl<W: Write> Write for Cleared<W> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        clear();
        self.0.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_fills_from_left_to_right() {
        let at = |done, all, secs| bar(done, all, Duration::from_secs(secs));
        assert_eq!(at(1, 10, 2), "[>                       ] file 1 of 10, 2 s");
        assert_eq!(at(6, 10, 5), "[============>           ] file 6 of 10, 5 s, 5 s to go");
        assert_eq!(at(0, 0, 1), "[>                       ] file 0 of 0, 1 s");
        assert!((0..=300).all(|n| at(n, 288, 9).chars().take_while(|c| *c != ']').count() == 25));
    }
}
