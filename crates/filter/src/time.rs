//! Points in time as filters have them: `YYYY[-MM[-DD[THH[:MM[:SS[.mmm]]]]]]`, missing parts at
//! their lowest value, in the zone that the caller says.

use chrono::{
    Days, FixedOffset, Local, LocalResult, NaiveDate, NaiveDateTime, TimeDelta, TimeZone,
};
use std::fmt;

/// The time zone that times in a filter are in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Zone {
    /// The zone of the process: the variable `TZ`, else that of the system. As nfdump has it.
    #[default]
    Local,
    /// Universal time.
    Utc,
    /// Seconds east of universal time.
    Fixed(i32),
}

/// A time as it was written, and as rows have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    wall: NaiveDateTime,
    /// Milliseconds since 1970.
    pub(crate) ms: u64,
}

impl Stamp {
    /// Milliseconds since 1970.
    pub const fn ms(&self) -> u64 {
        self.ms
    }

    /// Reads a time. The error says which part is wrong.
    pub(crate) fn parse(text: &str, zone: Zone) -> Result<Self, &'static str> {
        let wall = wall_clock(text)?;
        let ms = u64::try_from(instant(wall, zone)).map_err(|_| "it lies before 1970")?;
        Ok(Self { wall, ms })
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.wall.format("%Y-%m-%dT%H:%M:%S%.3f"))
    }
}

/// Digits and range of each part, the separators that may stand before it, and what to say if it
/// is wrong.
const PARTS: [(usize, std::ops::RangeInclusive<u32>, &str, &str); 7] = [
    (4, 1970..=2038, "", "the year has four digits, 1970 to 2038"),
    (2, 1..=12, "-/", "the month has two digits, 01 to 12"),
    (2, 1..=31, "-/", "the day has two digits, 01 to 31"),
    (2, 0..=23, "T .", "the hour has two digits, 00 to 23"),
    (2, 0..=59, ":", "the minute has two digits, 00 to 59"),
    (2, 0..=59, ":", "the second has two digits, 00 to 59"),
    (3, 0..=999, ".", "milliseconds have three digits"),
];

fn wall_clock(text: &str) -> Result<NaiveDateTime, &'static str> {
    const FORM: &str = "times look like 2026-11-20T10:00:00.500, without a zone";
    let mut values = [1970, 1, 1, 0, 0, 0, 0];
    let mut rest = text;
    for (i, (digits, range, separators, wrong)) in PARTS.into_iter().enumerate() {
        if i > 0 {
            let mut chars = rest.chars();
            match chars.next() {
                None => break,
                Some(c) if separators.contains(c) => rest = chars.as_str(),
                Some(_) => return Err(FORM),
            }
            if rest.is_empty() {
                break; // `2026-` and `2026-11-20T` are the same as without the separator.
            }
        }
        let len = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let value = rest[..len].parse().ok().filter(|n| len == digits && range.contains(n));
        values[i] = value.ok_or(wrong)?;
        rest = &rest[len..];
    }
    if !rest.is_empty() {
        return Err(FORM);
    }
    let [year, month, day, hour, minute, second, milli] = values;
    // The day counts on from the first, so that 31 February is 3 March.
    NaiveDate::from_ymd_opt(year as i32, month, 1)
        .and_then(|first| first.checked_add_days(Days::new(u64::from(day - 1))))
        .and_then(|date| date.and_hms_milli_opt(hour, minute, second, milli))
        .ok_or(FORM)
}

/// Milliseconds since 1970 at which clocks of `zone` show `wall`. Of an hour that comes twice the
/// first is meant; a time that clocks skip is counted on from before the gap.
fn instant(wall: NaiveDateTime, zone: Zone) -> i64 {
    let utc = wall.and_utc().timestamp_millis();
    match zone {
        Zone::Utc => utc,
        Zone::Fixed(east) => utc - i64::from(east) * 1000,
        Zone::Local => match Local.from_local_datetime(&wall) {
            LocalResult::Single(t) | LocalResult::Ambiguous(t, _) => t.timestamp_millis(),
            LocalResult::None => {
                let before = (wall - TimeDelta::hours(3)).and_local_timezone(Local).earliest();
                let east = before.map_or(0, |t| FixedOffset::local_minus_utc(t.offset()));
                utc - i64::from(east) * 1000
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utc(text: &str) -> Result<u64, &'static str> {
        Stamp::parse(text, Zone::Utc).map(|s| s.ms)
    }

    #[test]
    fn missing_parts_are_lowest() {
        const DAY: u64 = 1_795_132_800_000; // 2026-11-20
        for (text, want) in [
            ("2026-11-20", DAY),
            ("2026-11-20T", DAY),
            ("2026-11-20T10", DAY + 36_000_000),
            ("2026-11-20T10:30", DAY + 37_800_000),
            ("2026/11/20.10:30:05", DAY + 37_805_000),
            ("2026-11-20 10:30:05.250", DAY + 37_805_250),
            ("2026-11", DAY - 19 * 86_400_000),
            ("2026-10-51", 0),
            ("1970", 0),
        ] {
            match want {
                0 if text != "1970" => assert!(utc(text).is_err(), "{text}"),
                _ => assert_eq!(utc(text), Ok(want), "{text}"),
            }
        }
        assert_eq!(utc("2026-02-31"), utc("2026-03-03"));
    }

    #[test]
    fn rejects() {
        for text in [
            "",
            "x",
            "202",
            "2039",
            "20261120",
            "2026-13",
            "2026-0-1",
            "2026-11-32",
            "2026-11-20T24",
            "2026-11-20T10:60",
            "2026-11-20T10:00:60",
            "2026-11-20T10:00:00.5",
            "2026-11-20T10:00:00Z",
            "2026-11-20T10:00:00+01:00",
            "2026-11-20T10:00:00.500.",
            "2026-ü",
        ] {
            assert!(utc(text).is_err(), "{text}");
        }
    }

    #[test]
    fn zones_shift() {
        let east = Stamp::parse("2026-11-20T10", Zone::Fixed(3600)).unwrap();
        assert_eq!(Ok(east.ms), utc("2026-11-20T09"));
        assert_eq!(east.to_string(), "2026-11-20T10:00:00.000");
        // Whatever the zone of the process is, a day later is a day later, give or take a shift.
        let local = |t| Stamp::parse(t, Zone::Local).unwrap().ms;
        let day = local("2026-11-21") - local("2026-11-20");
        assert!((82_800_000..=90_000_000).contains(&day));
        assert!(Stamp::parse("1970", Zone::Fixed(3600)).is_err());
    }
}
