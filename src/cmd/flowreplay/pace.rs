//! When the next thing may go.

use crate::args::flowreplay::Speed;
use std::time::{Duration, Instant};

/// How long something has been going on, and waiting.
pub(super) trait Clock {
    /// Time since the start.
    fn elapsed(&self) -> Duration;
    /// Waits so long, or not quite.
    fn sleep(&self, time: Duration);
}

/// The system's.
#[derive(Clone, Copy, Debug)]
pub(super) struct SystemClock(Instant);

impl SystemClock {
    pub(super) fn new() -> Self {
        Self(sys::clock::monotonic())
    }
}

impl Clock for SystemClock {
    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    fn sleep(&self, time: Duration) {
        std::thread::sleep(time);
    }
}

/// Shorter times are not waited for: what is due is counted from the start, so they are made up for.
const LEAST: Duration = Duration::from_millis(1);

/// Says how long to wait.
#[derive(Debug)]
pub(super) struct Pace<C> {
    speed: Speed,
    pub(super) clock: C,
    /// Recorded time of the first one.
    origin_ms: Option<u64>,
    /// How many have gone.
    gone: u64,
}

impl<C: Clock> Pace<C> {
    pub(super) const fn new(speed: Speed, clock: C) -> Self {
        Self { speed, clock, origin_ms: None, gone: 0 }
    }

    /// Whether there is anything to do after a datagram.
    pub(super) const fn is_by_datagram(&self) -> bool {
        matches!(self.speed, Speed::Pause(_) | Speed::Confirmed)
    }

    /// How long to wait before one that was recorded at `at_ms` (0: nobody knows) goes.
    pub(super) fn before(&mut self, at_ms: u64) -> Duration {
        let due = match self.speed {
            Speed::Full | Speed::Pause(_) | Speed::Confirmed => return Duration::ZERO,
            Speed::Rate(rate) => seconds(self.gone as f64 / rate),
            Speed::Recorded(_) if at_ms == 0 => return Duration::ZERO,
            Speed::Recorded(factor) => {
                let origin = *self.origin_ms.get_or_insert(at_ms);
                seconds(at_ms.saturating_sub(origin) as f64 / 1000.0 / factor)
            }
        };
        self.gone += 1;
        let wait = due.saturating_sub(self.clock.elapsed());
        if wait < LEAST { Duration::ZERO } else { wait }
    }

    /// Does what is to be done after a datagram has gone.
    pub(super) fn after_datagram(&self) {
        match self.speed {
            Speed::Pause(time) => self.clock.sleep(time),
            Speed::Confirmed => {
                eprint!("Press Enter to continue ");
                // At the end of input nobody says anything any more.
                let _ = std::io::stdin().read_line(&mut String::new());
            }
            Speed::Full | Speed::Recorded(_) | Speed::Rate(_) => {}
        }
    }
}

/// Years count as for ever.
fn seconds(secs: f64) -> Duration {
    Duration::try_from_secs_f64(secs).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    /// A clock that only waiting moves.
    #[derive(Default)]
    struct Still(Cell<Duration>);

    impl Clock for Still {
        fn elapsed(&self) -> Duration {
            self.0.get()
        }

        fn sleep(&self, time: Duration) {
            self.0.set(self.0.get() + time);
        }
    }

    /// When each of those recorded at these times goes, milliseconds.
    fn times(speed: Speed, recorded: &[u64]) -> Vec<u64> {
        let mut pace = Pace::new(speed, Still::default());
        let gone = recorded.iter().map(|at| {
            let wait = pace.before(*at);
            pace.clock.sleep(wait);
            let at = pace.clock.elapsed();
            pace.after_datagram();
            at.as_millis() as u64
        });
        gone.collect()
    }

    #[test]
    fn each_speed_has_its_times() {
        let recorded = [1_000_000, 1_000_500, 1_000_200, 0, 1_002_000];
        for (speed, want) in [
            (Speed::Full, [0, 0, 0, 0, 0]),
            (Speed::Recorded(1.0), [0, 500, 500, 500, 2000]),
            (Speed::Recorded(10.0), [0, 50, 50, 50, 200]),
            (Speed::Recorded(0.5), [0, 1000, 1000, 1000, 4000]),
            (Speed::Rate(100.0), [0, 10, 20, 30, 40]),
            (Speed::Pause(Duration::from_millis(3)), [0, 3, 6, 9, 12]),
        ] {
            assert_eq!(times(speed, &recorded), want, "{speed:?}");
        }
    }

    #[test]
    fn a_rate_holds_in_all_also_where_steps_are_too_short_to_wait_for() {
        let all = times(Speed::Rate(1e6), &vec![1; 100_001]);
        assert_eq!(all.last(), Some(&100));
        assert!(all.iter().enumerate().all(|(n, at)| n as u64 / 1000 - at <= 1));
    }

    #[test]
    fn time_that_was_lost_is_made_up_for() {
        let mut pace = Pace::new(Speed::Rate(10.0), Still::default());
        assert_eq!(pace.before(0), Duration::ZERO);
        pace.clock.sleep(Duration::from_millis(350));
        for want in [0, 0, 0, 50] {
            assert_eq!(pace.before(0).as_millis(), want);
        }
    }
}
