//! Clocks and what the process has used. The one place of the suite that asks for the time.

use std::time::{Duration, Instant, SystemTime};

use nix::sys::resource::{Usage, UsageWho, getrusage};

/// Milliseconds since 1970 on the wall clock, which may be set back or forth. 0 before 1970.
#[expect(clippy::disallowed_methods, reason = "this is the clock that others are told to ask")]
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// A clock that only goes forward, for measuring spans.
#[expect(clippy::disallowed_methods, reason = "this is the clock that others are told to ask")]
pub fn monotonic() -> Instant {
    Instant::now()
}

/// What a process has used so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// CPU time in user mode, all threads.
    pub user: Duration,
    /// CPU time in the kernel, all threads.
    pub system: Duration,
    /// Largest resident set, octets.
    pub peak_memory: u64,
}

/// What this process has used so far; zeros where the system does not say.
pub fn used() -> Used {
    getrusage(UsageWho::RUSAGE_SELF).map(|usage| Used::from(&usage)).unwrap_or_default()
}

/// What the children that this process has waited for have used, the largest set of any of them.
pub fn used_by_children() -> Used {
    getrusage(UsageWho::RUSAGE_CHILDREN).map(|usage| Used::from(&usage)).unwrap_or_default()
}

impl From<&Usage> for Used {
    fn from(usage: &Usage) -> Self {
        let span = |t: nix::sys::time::TimeVal| {
            Duration::new(t.tv_sec().try_into().unwrap_or(0), 1000 * t.tv_usec() as u32)
        };
        let kib = u64::try_from(usage.max_rss()).unwrap_or(0); // Linux counts in KiB
        Self {
            user: span(usage.user_time()),
            system: span(usage.system_time()),
            peak_memory: kib.saturating_mul(1024),
        }
    }
}

/// Cores this process may use, at least 1.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wall_clock_is_this_century() {
        assert!(now_ms() > 1_700_000_000_000);
        assert!(now_ms() < 5_000_000_000_000);
    }

    #[test]
    fn use_grows_with_work() {
        let before = used();
        let mut block = vec![0u8; 64 << 20];
        loop {
            for page in block.iter_mut().step_by(4096) {
                *page = std::hint::black_box(page.wrapping_add(1));
            }
            if used().user > before.user {
                break;
            }
        }
        assert!(used().peak_memory >= 64 << 20, "{:?}", used());
        assert!(cores() >= 1);
    }
}
