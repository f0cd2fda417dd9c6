//! Router clocks: times given as milliseconds of uptime, in 32 bits that wrap every 49.7 days.

/// Milliseconds since 1970 of the instant `at` on a 32-bit uptime clock, given that the clock
/// showed `uptime` at `now_ms`.
///
/// The difference is taken as a signed 32-bit number: up to 24.8 days before or after the
/// reference are told apart, so neither a wrap between the event and the export, nor an event
/// stamped a moment after the export header was, lands weeks away (RFC 3954, 5.1; RFC 7011
/// leaves the same arithmetic to elements 21 and 22). Clamped at 0.
#[inline]
pub const fn from_uptime(now_ms: u64, uptime: u32, at: u32) -> u64 {
    let age = uptime.wrapping_sub(at) as i32;
    now_ms.saturating_add_signed(-(age as i64))
}

#[cfg(test)]
mod tests {
    use super::from_uptime;

    const NOW: u64 = 1_795_000_000_000;

    #[test]
    fn wraps_and_small_negative_ages_stay_near_the_export() {
        for (uptime, at, want) in [
            (10_000, 4_000, NOW - 6_000),
            (1_000, u32::MAX - 999, NOW - 2_000), // flow before the wrap, export after
            (4_000, 4_001, NOW + 1),              // stamped 1 ms after the header
            (u32::MAX, 500, NOW + 501),           // stamped after the wrap, header before
            (0, 0, NOW),
        ] {
            assert_eq!(from_uptime(NOW, uptime, at), want, "uptime {uptime} at {at}");
        }
        assert_eq!(from_uptime(5, 100, 0), 0);
    }
}
