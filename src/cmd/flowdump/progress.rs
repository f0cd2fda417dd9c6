//! How far a long run is, on a terminal: one line on stderr that rewrites itself.
//!
//! Nothing is shown where nobody looks: stderr has to be a terminal, and answers that scroll over
//! the same terminal are progress enough.

use std::io::{IsTerminal as _, Write as _, stderr, stdout};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Runs shorter than this show nothing.
const PATIENCE: Duration = Duration::from_secs(1);
const INTERVAL_MS: u64 = 200;

static START: OnceLock<Instant> = OnceLock::new();
/// When the line was written last, milliseconds since the start; 0 is never.
static SHOWN_MS: AtomicU64 = AtomicU64::new(0);

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
    let now_ms = elapsed.as_millis() as u64;
    let due = SHOWN_MS.load(Ordering::Relaxed) + INTERVAL_MS;
    if elapsed < PATIENCE || now_ms < due {
        return;
    }
    SHOWN_MS.store(now_ms, Ordering::Relaxed);
    let secs = elapsed.as_secs();
    // A terminal that is gone is no reason to stop.
    let _ = write!(stderr(), "\r\x1b[Kreading file {done} of {all}, {secs} s");
}

/// Takes the line away again.
pub(super) fn clear() {
    if SHOWN_MS.swap(0, Ordering::Relaxed) > 0 {
        let _ = write!(stderr(), "\r\x1b[K");
    }
}
