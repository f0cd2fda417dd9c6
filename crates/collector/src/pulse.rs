//! Whether decoding goes on: what the watchdog of a service manager asks for.
//!
//! The watchdog is there for a collector that is stuck, and ends it. One that merely waits for its
//! disk is not stuck: ended, it would lose all that it has in memory, and the next one would wait
//! for the same disk. So the decoding thread leaves a mark wherever it goes, and a thread of its own
//! looks at them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use store::Pool;

/// Marks of the decoding thread.
#[derive(Default)]
pub(crate) struct Pulse {
    beats: AtomicU64,
    /// How often it is in a place where it may wait for the disk: they may be nested.
    at_disk: AtomicU32,
    /// Where it waits, too, if too much is not yet written.
    pool: Option<Arc<Pool>>,
}

/// What a look at a [`Pulse`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// Something was done since the last look.
    Moving,
    /// The disk is what it waits for.
    AtDisk,
    /// Nothing was done, for no good reason.
    Stuck,
}

impl Pulse {
    pub(crate) fn new(pool: Option<Arc<Pool>>) -> Self {
        Self { pool, ..Self::default() }
    }

    /// Something was done.
    #[inline]
    pub(crate) fn beat(&self) {
        // By one thread only, so that it need not be one step.
        self.beats.store(self.beats.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }

    /// What is done until the guard is dropped may wait for the disk.
    pub(crate) fn at_disk(self: &Arc<Self>) -> AtDisk {
        self.at_disk.fetch_add(1, Ordering::Relaxed);
        AtDisk(Arc::clone(self))
    }

    /// Looks at it; `seen` is what was seen last.
    pub(crate) fn look(&self, seen: &mut u64) -> Found {
        let before = std::mem::replace(seen, self.beats.load(Ordering::Relaxed));
        if before != *seen {
            return Found::Moving;
        }
        let is_waiting = |pool: &Arc<Pool>| pool.counts().waiting > 0;
        let is_at_disk = self.at_disk.load(Ordering::Relaxed) > 0;
        if is_at_disk || self.pool.as_ref().is_some_and(is_waiting) {
            return Found::AtDisk;
        }
        Found::Stuck
    }
}

/// Says that the disk may be waited for, as long as it lives.
pub(crate) struct AtDisk(Arc<Pulse>);

impl Drop for AtDisk {
    fn drop(&mut self) {
        self.0.beat();
        self.0.at_disk.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_for_the_disk_is_not_being_stuck() {
        let pulse = Arc::new(Pulse::default());
        let mut seen = 0;
        assert_eq!(pulse.look(&mut seen), Found::Stuck);
        pulse.beat();
        assert_eq!(pulse.look(&mut seen), Found::Moving);
        assert_eq!(pulse.look(&mut seen), Found::Stuck);
        let outer = pulse.at_disk();
        drop(pulse.at_disk());
        assert_eq!(pulse.look(&mut seen), Found::Moving);
        assert_eq!(pulse.look(&mut seen), Found::AtDisk);
        drop(outer);
        assert_eq!(pulse.look(&mut seen), Found::Moving);
        assert_eq!(pulse.look(&mut seen), Found::Stuck);
    }
}
