//! Local time as text, fast: a listing asks for the same few minutes a million times.
//!
//! The offset of the time zone is asked once a quarter of an hour, the unit in which zones switch.
//! A quarter in which the offset does change (historic zones did so at odd seconds) is not cached.

use crate::digits::{push_u64, three, two};
use chrono::{Local, Offset as _, TimeZone as _};

/// In which zone times are shown.
#[derive(Clone, Copy, Debug, Default)]
pub enum TimeZone {
    /// That of the process: `TZ`, else the system's.
    #[default]
    Local,
    /// Universal time.
    Utc,
    /// Always so many seconds east of Greenwich.
    Fixed(i32),
    /// Seconds east of Greenwich at a moment given in seconds since 1970.
    Offset(fn(i64) -> i32),
}

impl TimeZone {
    /// Reads `local`, `UTC` (`GMT`, `Z`), or hours and minutes east of Greenwich as in `+02:00`,
    /// `-0330` or `+1`; upper and lower case alike. `None` for anything else, such as the name of a
    /// zone: a process shows times of `Europe/Zurich` as [`Local`](Self::Local) if `TZ` says so
    /// before it starts.
    pub fn parse(text: &str) -> Option<Self> {
        for (name, zone) in
            [("local", Self::Local), ("utc", Self::Utc), ("gmt", Self::Utc), ("z", Self::Utc)]
        {
            if text.eq_ignore_ascii_case(name) {
                return Some(zone);
            }
        }
        let east = match text.as_bytes().first()? {
            b'+' => 1,
            b'-' => -1,
            _ => return None,
        };
        let digits = text.get(1..)?;
        let (hours, minutes) = match (digits.split_once(':'), digits.len()) {
            (Some(parts), _) => parts,
            (None, 1 | 2) => (digits, "00"),
            (None, 4) => (digits.get(..2)?, digits.get(2..)?),
            _ => return None,
        };
        let number = |text: &str, max: i32| {
            let is_number = matches!(text.len(), 1 | 2) && text.bytes().all(|b| b.is_ascii_digit());
            text.parse::<i32>().ok().filter(|n| is_number && *n <= max)
        };
        // The zones of the world lie between -12 and +14 hours.
        Some(Self::Fixed(east * (number(hours, 14)? * 3600 + number(minutes, 59)? * 60)))
    }

    /// Seconds east of Greenwich at a moment in seconds since 1970.
    pub fn offset(self, secs: i64) -> i32 {
        match self {
            Self::Utc => 0,
            Self::Fixed(seconds) => seconds,
            Self::Offset(of) => of(secs),
            // Beyond chrono's years there are no zones either.
            Self::Local => Local
                .timestamp_opt(secs, 0)
                .single()
                .map_or(0, |t| t.offset().fix().local_minus_utc()),
        }
    }
}

/// Writes times of one zone; keeps what it found out about the last few quarters of an hour.
#[derive(Clone, Debug)]
pub struct Clock {
    zone: TimeZone,
    slots: [Slot; SLOTS],
    /// Empty until a second is asked for.
    seconds: Vec<Second>,
}

/// First, last and received of a record lie in few quarters.
const SLOTS: usize = 8;
const QUARTER: i64 = 900;

/// What is known of one quarter of an hour, and the last day in it.
#[derive(Clone, Copy, Debug)]
struct Slot {
    quarter: i64,
    offset: i64,
    day: i64,
    date: [u8; 10],
}

/// Seconds whose text is kept: first, last and received of the flows of a block lie in few
/// minutes. A power of two.
const SECONDS: usize = 256;

/// Octets of `YYYY-MM-DD`, and of `YYYY-MM-DD HH:MM:SS`.
pub(crate) const DATE: usize = 10;
pub(crate) const SECOND: usize = 19;

/// The text of one second, with octets behind it that mean nothing.
#[derive(Clone, Copy, Debug)]
struct Second {
    secs: u64,
    text: [u8; 24],
}

impl Clock {
    /// A clock of `zone` that has looked up nothing yet.
    pub const fn new(zone: TimeZone) -> Self {
        let empty = Slot { quarter: i64::MIN, offset: 0, day: i64::MIN, date: [0; 10] };
        Self { zone, slots: [empty; SLOTS], seconds: Vec::new() }
    }

    /// Appends `YYYY-MM-DD HH:MM:SS.mmm` with `between` date and time.
    #[inline]
    pub fn push_millis(&mut self, out: &mut Vec<u8>, ms: u64, between: u8) {
        self.push_seconds(out, ms / 1000, between);
        let [a, b, c] = three(ms % 1000);
        out.extend_from_slice(&[b'.', a, b, c]);
    }

    /// `YYYY-MM-DD HH:MM:SS` and octets that mean nothing, from what was asked before if it can be.
    /// `None` if the year does not have four digits.
    #[inline(always)]
    pub(crate) fn second(&mut self, secs: u64) -> Option<&[u8; 24]> {
        let place = secs as usize % SECONDS;
        if self.seconds.get(place).is_none_or(|known| known.secs != secs) {
            self.look_up(secs, place)?;
        }
        self.seconds.get(place).map(|known| &known.text)
    }

    #[cold]
    fn look_up(&mut self, secs: u64, place: usize) -> Option<()> {
        let mut text = Vec::with_capacity(24);
        self.push_seconds(&mut text, secs, b' ');
        if text.len() != SECOND {
            return None;
        }
        text.resize(24, 0);
        // No time has so many seconds.
        self.seconds.resize(SECONDS, Second { secs: u64::MAX, text: [0; 24] });
        let known = self.seconds.get_mut(place)?;
        *known = Second { secs, text: text.try_into().ok()? };
        Some(())
    }

    /// Appends `YYYY-MM-DD HH:MM:SS` with `between` date and time.
    #[inline]
    pub fn push_seconds(&mut self, out: &mut Vec<u8>, secs: u64, between: u8) {
        // Milliseconds in 64 bits leave seconds that fit a signed number.
        let secs = secs.min(i64::MAX as u64 / 2) as i64;
        let quarter = secs / QUARTER;
        let slot = &mut self.slots[quarter as usize % SLOTS];
        let offset = if slot.quarter == quarter {
            slot.offset
        } else {
            let first = self.zone.offset(quarter * QUARTER);
            if first == self.zone.offset(quarter * QUARTER + QUARTER - 1) {
                (slot.quarter, slot.offset) = (quarter, i64::from(first));
                slot.offset
            } else {
                i64::from(self.zone.offset(secs))
            }
        };
        let local = secs + offset;
        let day = local.div_euclid(86_400);
        let second = local.rem_euclid(86_400) as u64;
        if day != slot.day {
            let Some(date) = date_text(day) else { return push_far(out, day, second, between) };
            (slot.day, slot.date) = (day, date);
        }
        let mut text = [0; 19];
        text[..10].copy_from_slice(&slot.date);
        text[10] = between;
        text[11..].copy_from_slice(&time_text(second));
        out.extend_from_slice(&text);
    }
}

/// `HH:MM:SS` of a second of the day.
fn time_text(second: u64) -> [u8; 8] {
    let ([a, b], [c, d], [e, f]) = (two(second / 3600), two(second / 60 % 60), two(second % 60));
    [a, b, b':', c, d, b':', e, f]
}

/// `YYYY-MM-DD` of a day since 1970, `None` if the year does not have four digits.
fn date_text(day: i64) -> Option<[u8; 10]> {
    let (year, month, day) = civil(day);
    let year = u64::try_from(year).ok().filter(|y| *y < 10_000)?;
    let ([a, b], [c, d], [e, f], [g, h]) = (two(year / 100), two(year % 100), two(month), two(day));
    Some([a, b, c, d, b'-', e, f, b'-', g, h])
}

/// Years beyond 9999, which broken exporters send.
fn push_far(out: &mut Vec<u8>, day: i64, second: u64, between: u8) {
    let (year, month, day) = civil(day);
    push_u64(out, year.unsigned_abs());
    let ([a, b], [c, d]) = (two(month), two(day));
    out.extend_from_slice(&[b'-', a, b, b'-', c, d, between]);
    out.extend_from_slice(&time_text(second));
}

/// Year, month and day of a day since 1970-01-01 in the Gregorian calendar: the count is shifted
/// to begin on a first of March, so that the leap day ends the year, and taken apart by periods of
/// 400 years, which have 146 097 days each.
const fn civil(day: i64) -> (i64, u64, u64) {
    let shifted = day + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = year_of_era + era * 400 + (month <= 2) as i64;
    (year, month as u64, day as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::{DateTime, Utc};
    use std::process::Command;

    fn at(clock: &mut Clock, ms: u64) -> String {
        let mut out = Vec::new();
        clock.push_millis(&mut out, ms, b' ');
        String::from_utf8(out).unwrap()
    }

    fn oracle(secs: i64, offset: i32) -> String {
        DateTime::<Utc>::from_timestamp(secs + i64::from(offset), 0)
            .unwrap()
            .format("%Y-%m-%d %H:%M:%S")
            .to_string()
    }

    #[test]
    fn universal_time_on_every_day() {
        let mut clock = Clock::new(TimeZone::Utc);
        for day in 0..200_000i64 {
            let secs = day * 86_400 + day % 86_400;
            assert_eq!(at(&mut clock, secs as u64 * 1000 + 7), oracle(secs, 0) + ".007");
        }
        assert_eq!(at(&mut clock, 0), "1970-01-01 00:00:00.000");
        assert_eq!(at(&mut clock, 253_402_300_799_999), "9999-12-31 23:59:59.999");
        assert_eq!(at(&mut clock, 253_402_300_800_000), "10000-01-01 00:00:00.000");
        assert!(at(&mut clock, u64::MAX).starts_with("584556019-"));
    }

    /// A zone that switches at an odd second, a quarter of an hour and a half one.
    fn odd_zone(secs: i64) -> i32 {
        match secs {
            ..1_000_000_000 => 3600,
            1_000_000_000..1_000_000_377 => -12_345,
            1_000_000_377..1_000_800_900 => 5 * 3600 + 2700,
            _ => 7200,
        }
    }

    #[test]
    fn offsets_that_change_inside_a_quarter() {
        let mut clock = Clock::new(TimeZone::Offset(odd_zone));
        for edge in [1_000_000_000i64, 1_000_000_377, 1_000_800_900] {
            for secs in edge - 2000..edge + 2000 {
                let want = oracle(secs, odd_zone(secs)) + ".000";
                assert_eq!(at(&mut clock, secs as u64 * 1000), want, "{secs}");
            }
        }
    }

    #[test]
    fn zones_are_read_from_text() {
        for (text, want) in [
            ("+02:00", Some(7200)),
            ("-0330", Some(-12_600)),
            ("+1", Some(3600)),
            ("+05:45", Some(20_700)),
            ("-12", Some(-43_200)),
            ("utc", Some(0)),
            ("Z", Some(0)),
            ("+15:00", None),
            ("+02:60", None),
            ("02:00", None),
            ("+", None),
            ("+2:", None),
            ("++2", None),
            ("+\u{b2}:00", None),
            ("Europe/Zurich", None),
            ("", None),
        ] {
            let zone = TimeZone::parse(text);
            assert_eq!(zone.map(|z| z.offset(1_000_000_000)), want, "{text}");
            if let Some(seconds) = want {
                let mut clock = Clock::new(TimeZone::parse(text).unwrap());
                assert_eq!(
                    at(&mut clock, 1_795_168_800_000),
                    oracle(1_795_168_800, seconds) + ".000"
                );
            }
        }
        assert!(matches!(TimeZone::parse("LOCAL"), Some(TimeZone::Local)));
    }

    /// Runs in a child process with `TZ` set; see the test below.
    #[test]
    fn local_time_of_this_process() {
        let mut clock = Clock::new(TimeZone::Local);
        // Around both switches of 2026 in Europe and America, and a step of prime length.
        for edge in [1_774_746_000i64, 1_792_890_000, 1_772_953_200, 1_793_512_800] {
            let wide = (edge - 200_000..edge + 200_000).step_by(97);
            for secs in wide.chain(edge - 100..edge + 100) {
                let want = Local.timestamp_opt(secs, 0).unwrap();
                let want = want.format("%Y-%m-%d %H:%M:%S.000").to_string();
                assert_eq!(at(&mut clock, secs as u64 * 1000), want, "{secs}");
            }
        }
    }

    #[test]
    fn local_time_of_other_zones() {
        let me = std::env::current_exe().unwrap();
        for zone in [
            "CET-1CEST,M3.5.0,M10.5.0/3",
            "EST5EDT,M3.2.0,M11.1.0",
            "<+0545>-5:45",
            "Europe/Zurich",
            "America/St_Johns",
            "Australia/Lord_Howe",
        ] {
            let child = Command::new(&me)
                .args(["--exact", "clock::tests::local_time_of_this_process"])
                .env("TZ", zone)
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&child.stdout);
            assert!(child.status.success() && said.contains("1 passed"), "{zone}: {said}");
        }
    }
}
