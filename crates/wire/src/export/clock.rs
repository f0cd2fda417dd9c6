//! Times of flows as they are written: uptimes, seconds, or NTP format.

use super::TimeFormat;

/// How far from the export an uptime may lie, 24 days and 20 hours: a little less than half of what
/// 32 bits hold, so that receivers that take differences as signed numbers, and those that do not,
/// both read it right.
const REACH_MS: u64 = (24 * 24 + 20) * 60 * 60 * 1000;

/// How much earlier than it has to be a clock is begun: flows that end soon after may have begun
/// before.
const SPARE_MS: u64 = 60 * 60 * 1000;

/// When uptimes count from. It moves, in whole datagrams, so that no uptime is 0 (which receivers
/// take for missing) and none is more than 32 bits hold: a device of 50 days does not send times
/// of its first day.
#[derive(Clone, Copy, Debug)]
pub(super) struct Boot {
    ms: Option<u64>,
}

/// What an uptime clock has to be for a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// As it is.
    Same,
    /// Begun at another time.
    Moved(u64),
    /// There is no such clock.
    Never,
}

impl Boot {
    /// Booted at a time in milliseconds since 1970, 0 if anything before the first flow will do.
    pub(super) const fn new(boot_ms: u64) -> Self {
        Self { ms: if boot_ms == 0 { None } else { Some(boot_ms) } }
    }

    /// Since when uptimes count, milliseconds since 1970.
    pub(super) const fn ms(self) -> Option<u64> {
        self.ms
    }

    /// What has to be done for a flow of these times (milliseconds since 1970) exported at `now`.
    #[inline]
    pub(super) fn fit(self, now: u64, first: u64, last: u64) -> Fit {
        let reaches = |at: u64| at > 1000 && now.abs_diff(at) <= REACH_MS;
        if !reaches(first) || !reaches(last) || now < 2 * 1000 {
            return Fit::Never;
        }
        // No uptime is 0, that in a header of whole seconds neither.
        let latest = (first.min(last) - 1).min(now / 1000 * 1000 - 1000);
        let fits = |boot: u64| boot <= latest && last.max(first).max(now) - boot <= u32::MAX.into();
        match self.ms {
            Some(boot) if fits(boot) => Fit::Same,
            Some(boot) if boot <= latest => Fit::Moved(now.saturating_sub(1 << 31).min(latest)),
            _ => Fit::Moved(latest.saturating_sub(SPARE_MS).max(1000) / 1000 * 1000),
        }
    }

    pub(super) const fn move_to(&mut self, boot_ms: u64) {
        self.ms = Some(boot_ms);
    }

    /// The uptime at a time that [`fit`](Self::fit) was asked for.
    #[inline]
    pub(super) const fn uptime(self, at: u64) -> u32 {
        let up = match self.ms {
            Some(boot) => at.saturating_sub(boot),
            None => 0,
        };
        if up > u32::MAX as u64 { u32::MAX } else { up as u32 }
    }
}

/// What is written for a time that is not an uptime, in nanoseconds since 1970.
#[inline]
pub(super) const fn absolute(format: TimeFormat, ns: u64) -> u64 {
    match format {
        TimeFormat::UptimeMs | TimeFormat::Millis => ns / 1_000_000,
        TimeFormat::Seconds => ns / 1_000_000_000,
        TimeFormat::Micros => ntp(ns / 1000 * 1000, 1 << 11),
        TimeFormat::Nanos => ntp(ns, 1),
    }
}

/// A time in NTP format: seconds since 1900, modulo 2^32, and a binary fraction that is a multiple
/// of `unit` (RFC 7011, 6.1.9 and 6.1.10). The fraction is rounded up, so that who rounds down
/// gets what was meant.
#[inline]
const fn ntp(ns: u64, unit: u64) -> u64 {
    const UNIX_TO_NTP_SECS: u64 = 2_208_988_800;
    let secs = (ns / 1_000_000_000 + UNIX_TO_NTP_SECS) & 0xffff_ffff;
    let fraction = ((ns % 1_000_000_000) << 32).div_ceil(1_000_000_000);
    secs << 32 | fraction.next_multiple_of(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_795_000_000_123;
    const DAY: u64 = 24 * 60 * 60 * 1000;

    #[test]
    fn clocks_that_fit() {
        let at = |ago: u64| NOW - ago;
        for (name, boot, first, last, want) in [
            ("as told", at(DAY), at(10), at(5), Fit::Same),
            ("none yet", 0, at(5000), at(10), Fit::Moved(1_794_996_395_000)),
            ("none yet, flow of this second", 0, at(1), at(0), Fit::Moved(1_794_996_399_000)),
            ("booted this second", at(20), at(10), at(10), Fit::Moved(1_794_996_399_000)),
            ("flow before boot", at(DAY), at(DAY + 9), at(9), Fit::Moved(1_794_910_000_000)),
            (
                "flow at boot",
                1_794_990_000_000,
                1_794_990_000_000,
                NOW,
                Fit::Moved(1_794_986_399_000),
            ),
            ("flow a moment after", 1_794_990_000_000, 1_794_990_000_001, NOW, Fit::Same),
            ("49.7 days", at(u32::MAX.into()), at(1), at(0), Fit::Same),
            ("a moment more", at((1 << 32) + 1), at(1), at(0), Fit::Moved(at(1 << 31))),
            ("end beyond", at(u32::MAX.into()), at(1), NOW + 1, Fit::Moved(at(1 << 31))),
            ("as old as can be", at(DAY), at(REACH_MS), at(0), Fit::Moved(1_792_850_800_000)),
            ("older", at(DAY), at(REACH_MS + 1), at(0), Fit::Never),
            ("no start", at(DAY), 0, at(0), Fit::Never),
            ("beyond", at(DAY), at(1), u64::MAX, Fit::Never),
        ] {
            assert_eq!(Boot::new(boot).fit(NOW, first, last), want, "{name}");
        }
        assert_eq!(Boot::new(0).fit(0, 0, 0), Fit::Never);
    }

    #[test]
    fn moved_clocks_fit() {
        let spans = [0, 1, 999, 1000, 1001, DAY, REACH_MS - 1, REACH_MS];
        let boots = [1, 2000, NOW, NOW + DAY, NOW - (1 << 32), NOW - (1 << 32) + 1, u64::MAX];
        for boot in boots.into_iter().chain(spans.map(|s| NOW - s)) {
            for first in spans.map(|s| NOW - s) {
                for last in spans.map(|s| NOW - s).into_iter().chain(spans.map(|s| NOW + s)) {
                    let mut clock = Boot::new(boot);
                    if let Fit::Moved(to) = clock.fit(NOW, first, last) {
                        clock.move_to(to);
                    }
                    assert_eq!(clock.fit(NOW, first, last), Fit::Same, "{boot} {first} {last}");
                    let base = clock.ms().unwrap();
                    for at in [first, last, NOW] {
                        assert!(clock.uptime(at) > 0);
                        assert_eq!(base + u64::from(clock.uptime(at)), at);
                    }
                }
            }
        }
    }

    #[test]
    fn fractions_round_to_what_was_meant() {
        let ms = |ntp: u64| ((ntp & 0xffff_ffff) * 1000) >> 32;
        let ns = |ntp: u64| ((u128::from(ntp) & 0xffff_ffff) * 1_000_000_000) >> 32;
        for n in (0..1_000_000_000u64).step_by(999_983).chain([999_999_999, 1, 999_000_000]) {
            let at = 1_795_000_000_000_000_000 + n;
            let nano = absolute(TimeFormat::Nanos, at);
            assert_eq!(nano >> 32, 1_795_000_000 + 2_208_988_800, "{n}");
            assert_eq!(ns(nano), n.into(), "{n}");
            let micro = absolute(TimeFormat::Micros, at);
            assert_eq!(micro & 0x7ff, 0, "{n}");
            assert_eq!(ns(micro) / 1000, u128::from(n / 1000), "{n}");
            assert_eq!(micro >> 32, nano >> 32, "{n}");
        }
        for n in 0..1000 {
            assert_eq!(ms(absolute(TimeFormat::Micros, n * 1_000_000)), n);
            assert_eq!(absolute(TimeFormat::Millis, n * 1_000_000 + 999_999), n);
        }
        // The next era begins in February 2036.
        assert_eq!(absolute(TimeFormat::Nanos, 2_085_978_496_000_000_000), 0);
    }
}
