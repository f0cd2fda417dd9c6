//! What the log says of a destination: when trouble begins, and when it is over.

use std::fmt;
use std::time::{Duration, Instant};

use super::Cause;

/// After trouble was told, nothing more is for so long: a destination that comes and goes does not
/// fill the log.
const QUIET: Duration = Duration::from_secs(60);

/// So long without trouble, and it is over: UDP does not say that somebody listens, only that
/// nobody does.
const CALM: Duration = Duration::from_secs(5);

/// Tells once.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// What was told and is not over.
    trouble: Option<Cause>,
    /// When there was trouble last.
    last: Option<Instant>,
    quiet_until: Option<Instant>,
    /// Datagrams lost, or not heard, before the trouble.
    before: u64,
}

impl Told {
    /// There is trouble. `failures` are those so far, this one included. Returns whether it is told.
    pub(crate) fn trouble(
        &mut self,
        now: Instant,
        name: &dyn fmt::Display,
        cause: Cause,
        problem: &dyn fmt::Display,
        failures: u64,
    ) -> bool {
        self.last = Some(now);
        let is_quiet = self.quiet_until.is_some_and(|until| now < until);
        if self.trouble == Some(cause) || is_quiet {
            return false;
        }
        log::warn!("Exporting to {name}: {problem}; what is lost is counted");
        if self.trouble.is_none() {
            self.before = failures.saturating_sub(1);
        }
        self.trouble = Some(cause);
        self.quiet_until = Some(now + QUIET);
        true
    }

    /// Something went out. If trouble that was told is over by that, returns what it has cost.
    pub(crate) fn fine(
        &mut self,
        now: Instant,
        name: &dyn fmt::Display,
        failures: u64,
    ) -> Option<u64> {
        let is_calm = self.last.is_some_and(|last| now.duration_since(last) >= CALM);
        is_calm.then(|| self.over(name, failures)).flatten()
    }

    /// The trouble is over for certain. Likewise.
    pub(crate) fn over(&mut self, name: &dyn fmt::Display, failures: u64) -> Option<u64> {
        self.last = None;
        self.trouble.take()?;
        let lost = failures.saturating_sub(self.before);
        log::info!("Exporting to {name}: works again, {lost} datagrams were lost meanwhile");
        Some(lost)
    }
}
