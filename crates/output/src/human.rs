//! Numbers for people: scaled counters, durations, rates.

use crate::digits::{pad, push_right, push_u64, three, two};
use std::io::Write as _;

/// Units that counters are scaled by: decimal, and none below a million.
const UNITS: [(u64, u8); 3] = [(1_000_000_000_000, b'T'), (1_000_000_000, b'G'), (1_000_000, b'M')];

/// Appends a counter right-aligned in eight: plain below a million or if `plain`, else with one
/// decimal and a unit (`   1.5 M`).
#[inline]
pub(crate) fn push_scaled_right(out: &mut Vec<u8>, n: u64, plain: bool) {
    if plain || n < 1_000_000 {
        return push_right(out, n, 8);
    }
    let at = out.len();
    push_scaled(out, n, false);
    let short = 8usize.saturating_sub(out.len() - at);
    if short > 0 {
        pad(out, short);
        out[at..].rotate_right(short);
    }
}

/// Appends a counter as above, without padding.
pub(crate) fn push_scaled(out: &mut Vec<u8>, n: u64, plain: bool) {
    let Some((unit, name)) = UNITS.iter().copied().find(|u| !plain && n >= u.0) else {
        return push_u64(out, n);
    };
    let tenths = u128::from(n) * 10;
    let (quotient, rest) = (tenths / u128::from(unit), tenths % u128::from(unit));
    if rest * 2 == u128::from(unit) || n > EXACT {
        // A tie, or beyond what a double holds exactly: nfdump's digits are those of the double.
        #[expect(clippy::expect_used, reason = "a Vec takes every write")]
        write!(out, "{:.1}", n as f64 / unit as f64).expect("written to memory");
    } else {
        let tenths = (quotient + u128::from(rest * 2 > u128::from(unit))) as u64;
        push_u64(out, tenths / 10);
        out.extend_from_slice(&[b'.', b'0' + (tenths % 10) as u8]);
    }
    out.extend_from_slice(&[b' ', name]);
}

/// Largest number whose tenths of a unit cannot be shifted by the rounding of a double.
const EXACT: u64 = 100_000_000_000_000;

/// Appends a duration in 16 columns: `    HH:MM:SS.mmm`, from one day on ` 1d 03:00:00.000`.
pub(crate) fn push_duration(out: &mut Vec<u8>, ms: u64) {
    let secs = ms / 1000;
    let days = secs / 86_400;
    if days == 0 {
        out.extend_from_slice(b"    ");
    } else {
        push_right(out, days, 2);
        out.extend_from_slice(b"d ");
    }
    let [h0, h1] = two(secs / 3600 % 24);
    let [m0, m1] = two(secs / 60 % 60);
    let [s0, s1] = two(secs % 60);
    let [a, b, c] = three(ms % 1000);
    out.extend_from_slice(&[h0, h1, b':', m0, m1, b':', s0, s1, b'.', a, b, c]);
}

/// Events in each second of a span of `ms`: `count * 1000 / ms` rounded down, 0 for no span.
#[inline]
pub(crate) fn per_second(count: u64, ms: u64) -> u64 {
    let scaled = u128::from(count) * 1000;
    u64::try_from(scaled.checked_div(u128::from(ms)).unwrap_or(0)).unwrap_or(u64::MAX)
}

/// Bits in each second, from octets.
#[inline]
pub(crate) fn bits_per_second(bytes: u64, ms: u64) -> u64 {
    per_second(bytes.saturating_mul(8), ms)
}

/// The rate as nfdump computes it for CSV, statistics and the summary: in doubles, with the span
/// in seconds. It differs from [`per_second`] only where the quotient lies next to an integer.
pub(crate) fn per_second_float(count: u64, ms: u64) -> u64 {
    let seconds = ms as f64 / 1000.0;
    if ms == 0 { 0 } else { (count as f64 / seconds) as u64 }
}

/// Share of `part` in `whole` in percent, 0 of nothing.
pub(crate) fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { (u128::from(part) * 100) as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scaled(n: u64, plain: bool) -> (String, String) {
        let (mut right, mut loose) = (b"#".to_vec(), Vec::new());
        push_scaled_right(&mut right, n, plain);
        push_scaled(&mut loose, n, plain);
        (String::from_utf8(right).unwrap()[1..].to_string(), String::from_utf8(loose).unwrap())
    }

    /// What C's `%.1f` prints of the double.
    fn oracle(n: u64) -> String {
        let f = n as f64;
        match f {
            _ if f >= 1e12 => format!("{:.1} T", f / 1e12),
            _ if f >= 1e9 => format!("{:.1} G", f / 1e9),
            _ if f >= 1e6 => format!("{:.1} M", f / 1e6),
            _ => n.to_string(),
        }
    }

    #[test]
    fn scaling_table() {
        for (n, want) in [
            (0, "       0"),
            (999_999, "  999999"),
            (1_000_000, "   1.0 M"),
            (1_049_999, "   1.0 M"),
            (1_050_001, "   1.1 M"),
            (1_250_000, "   1.2 M"),
            (1_500_000, "   1.5 M"),
            (1_750_000, "   1.8 M"),
            (999_949_999, " 999.9 M"),
            (999_999_999, "1000.0 M"),
            (4_204_700_180, "   4.2 G"),
            (120_000_000_000, " 120.0 G"),
            (1_500_000_000_000, "   1.5 T"),
            (u64::MAX, "18446744.1 T"),
        ] {
            let (right, loose) = scaled(n, false);
            assert_eq!(right, want, "{n}");
            assert_eq!(loose, want.trim_start(), "{n}");
            assert_eq!(scaled(n, true).0, format!("{n:8}"));
            assert_eq!(scaled(n, true).1, n.to_string());
        }
    }

    #[test]
    fn scaling_rounds_as_doubles_do() {
        // Every tie of one decimal below ten thousand units, and numbers around them.
        for unit in [1_000_000u64, 1_000_000_000, 1_000_000_000_000] {
            for k in 0..20_000 {
                let tie = unit + k * unit / 10 + unit / 20;
                for n in [tie - 1, tie, tie + 1] {
                    assert_eq!(scaled(n, false).1, oracle(n), "{n}");
                }
            }
        }
        let mut n = u64::MAX;
        while n > 0 {
            assert_eq!(scaled(n, false).1, oracle(n), "{n}");
            n -= n / 97 + 1;
        }
    }

    #[test]
    fn durations() {
        for (ms, want) in [
            (0, "    00:00:00.000"),
            (12_345, "    00:00:12.345"),
            (86_399_999, "    23:59:59.999"),
            (86_400_000, " 1d 00:00:00.000"),
            (97_207_000, " 1d 03:00:07.000"),
            (1_795_168_861_000, "20777d 10:01:01.000"),
        ] {
            let mut out = Vec::new();
            push_duration(&mut out, ms);
            assert_eq!(String::from_utf8(out).unwrap(), want);
        }
        let mut out = Vec::new();
        push_duration(&mut out, u64::MAX);
        assert_eq!(String::from_utf8(out).unwrap(), "213503982334d 14:25:51.615");
    }

    #[test]
    fn rates_and_shares() {
        assert_eq!(per_second(3_001_201, 97_207_000), 30);
        assert_eq!(bits_per_second(1_500_000, 12_345), 972_053);
        assert_eq!(per_second(7, 0), 0);
        assert_eq!(per_second(u64::MAX, 1), u64::MAX);
        assert_eq!(per_second_float(5, 0), 0);
        assert_eq!(percent(3, 10), 30.0);
        assert_eq!(percent(3, 0), 0.0);
        assert_eq!(percent(u64::MAX, u64::MAX), 100.0);
        for (count, ms) in [(3, 100), (29, 1000), (1_000_003, 333), (12_345_678, 77_777)] {
            assert_eq!(per_second_float(count, ms), per_second(count, ms), "{count} in {ms} ms");
        }
    }
}
