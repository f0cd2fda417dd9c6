//! The clock that packets are: it never goes back.

use crate::wheel::TICK_NS;

/// Times that lie further back than this are a clock that was set, not packets out of order.
pub(crate) const BACK_NS: u64 = 60_000_000_000;

/// Turns times of packets into a time that only goes forth, at their pace.
///
/// A packet that is a little older than the one before it does not move the clock. After a step back
/// the clock goes on from where it was, so that conversations do not wait until the old time
/// is reached again. Packets of before and after a step come mixed, as some are still on their way when
/// the clock is set: each of them goes by the shift that brings it near to now.
#[derive(Clone, Debug, Default)]
pub(crate) struct Clock {
    now_ns: u64,
    /// What is added to a packet's time, modulo 2^64.
    shift: u64,
    /// What was added before the last step.
    before: u64,
    /// Latest time as packets have it.
    packet_ns: u64,
    steps: u64,
}

impl Clock {
    /// Moves to the time of a packet; one without takes the time of the packet before. Returns that
    /// time, and the tick it is.
    #[inline]
    pub(crate) fn set(&mut self, time_ns: Option<u64>) -> (u64, u64) {
        let time = time_ns.unwrap_or(self.packet_ns);
        let mut at = time.wrapping_add(self.shift);
        if at.abs_diff(self.now_ns) >= BACK_NS {
            at = self.jump(time);
        }
        if at >= self.now_ns {
            self.now_ns = at;
            self.packet_ns = time;
        }
        (time, self.now_ns / TICK_NS)
    }

    /// A time far from now. Returns what it is here.
    #[cold]
    fn jump(&mut self, time: u64) -> u64 {
        let other = time.wrapping_add(self.before);
        if self.steps > 0 && other.abs_diff(self.now_ns) < BACK_NS {
            std::mem::swap(&mut self.shift, &mut self.before);
            return other;
        }
        let at = time.wrapping_add(self.shift);
        if at < self.now_ns {
            self.steps += 1;
            self.before = self.shift;
            self.shift = self.now_ns.wrapping_sub(time);
            return self.now_ns;
        }
        at
    }

    /// The time that packets have at a tick, nanoseconds since 1970.
    pub(crate) const fn time_of(&self, tick: u64) -> u64 {
        tick.saturating_mul(TICK_NS).wrapping_sub(self.shift)
    }

    /// How often it was set back.
    pub(crate) const fn steps(&self) -> u64 {
        self.steps
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wheel::TICKS;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn it_goes_forth_at_the_pace_of_packets() {
        let mut clock = Clock::default();
        let base = 1_700_000_000 * SECOND;
        // Time of a packet in seconds after the first, and of the clock then.
        for (time, want, steps) in [
            (Some(0), 0, 0),
            (Some(10), 10, 0),
            (Some(9), 10, 0),
            (None, 10, 0),
            (Some(70), 70, 0),
            (Some(11), 70, 0),
            (Some(10), 70, 1), // an hour of summer time, say
            (None, 70, 1),
            (Some(15), 75, 1),
            (Some(14), 75, 1),
            (Some(1000), 1060, 1),
            (Some(0), 1060, 2),
            (Some(1), 1061, 2),
        ] {
            let (at, tick) = clock.set(time.map(|t| base + t * SECOND));
            assert_eq!(tick * TICK_NS, base + want * SECOND, "{time:?}");
            assert_eq!(clock.steps(), steps, "{time:?}");
            assert!(time.is_none_or(|t| at == base + t * SECOND));
        }
        let tick = (base + 1061 * SECOND) / TICK_NS;
        assert_eq!(clock.time_of(tick + 8), base + 2 * SECOND, "a second after the last");
    }

    #[test]
    fn packets_under_way_while_it_is_set_do_not_drive_it() {
        let base = 1_700_000_000 * SECOND;
        for (what, set_by, moved) in [
            ("back by an hour", -3600, 0),
            ("back by two minutes", -120, 0),
            ("forward by an hour", 3600, 3600),
        ] {
            let mut clock = Clock::default();
            let mut tick_of = |ms: i64| clock.set(Some(base.wrapping_add_signed(ms * 1_000_000))).1;
            let first = tick_of(0);
            let after = set_by * 1000;
            // A timer sees it first, then packets of before and after take turns.
            for at in [after, 30, after + 100, 60, 90, after + 200, 120, after + 1000] {
                tick_of(at);
            }
            let last = tick_of(after + 2000);
            assert_eq!(last - first, (moved + 2) * TICKS, "{what}");
            assert_eq!(clock.steps(), 1, "{what}");
        }
    }

    #[test]
    fn no_time_is_too_early_or_too_late() {
        let mut clock = Clock::default();
        let mut last = 0;
        for time in [5, u64::MAX, 0, 7, u64::MAX, u64::MAX - 1, 1 << 63, 9, u64::MAX] {
            let (at, tick) = clock.set(Some(time));
            assert!(at == time && tick >= last);
            last = tick;
            clock.time_of(tick);
            clock.time_of(u64::MAX);
        }
    }
}
