//! Names of files: `ft-v05.2026-11-20.101500+0100`.

use std::path::Path;

/// What the name of a file says. Ordered by time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileName {
    /// Begin of the file, seconds since 1970: what the name says less its offset from UTC.
    pub start: i64,
    /// Export version.
    pub version: u8,
    /// Method of aggregation, in names of version 8.
    pub method: Option<u8>,
    /// It is being written: `tmp-`.
    pub is_open: bool,
}

impl FileName {
    /// Reads `{tmp|ft}-vVV[mMM].YYYY-MM-DD.HHMMSS{+|-}HHMM`; `None` for any other name.
    pub fn parse(name: &str) -> Option<Self> {
        let (is_open, rest) = match name.strip_prefix("tmp-v") {
            Some(rest) => (true, rest),
            None => (false, name.strip_prefix("ft-v")?),
        };
        let mut parts = rest.split('.');
        let (version, day, time) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() {
            return None;
        }
        let (version, method) = match version.split_once('m') {
            Some((version, method)) => (version, Some(digits(method, 2)? as u8)),
            None => (version, None),
        };
        let version = digits(version, 2)? as u8;
        Some(Self { start: days(day)? * 86_400 + seconds(time)?, version, method, is_open })
    }

    /// As [`parse`](Self::parse), of the last part of a path.
    pub fn of(path: &Path) -> Option<Self> {
        Self::parse(path.file_name()?.to_str()?)
    }
}

/// Whether a directory is one of those that flow-capture nests: YYYY, YYYY-MM, YYYY-MM-DD.
pub(crate) fn is_nest(name: &str) -> bool {
    let widths = [4, 2, 2];
    let parts: Vec<_> = name.splitn(4, '-').collect();
    parts.len() <= 3 && parts.iter().zip(widths).all(|(part, width)| digits(part, width).is_some())
}

/// So many digits and nothing else.
fn digits(text: &str, width: usize) -> Option<i64> {
    let is_number = text.len() == width && text.bytes().all(|b| b.is_ascii_digit());
    if is_number { text.parse().ok() } else { None }
}

/// Days since 1970 of YYYY-MM-DD, by the calendar of Gregory.
fn days(text: &str) -> Option<i64> {
    let mut parts = text.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    let (year, month, day) = (digits(year, 4)?, digits(month, 2)?, digits(day, 2)?);
    if parts.next().is_some() || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Years that begin in March have their leap day at the end.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year / 4 - year / 100 + year / 400;
    Some(year * 365 + leap_days + (month * 153 + 2) / 5 + day - 1 - 719_468)
}

/// Seconds of the day, UTC, of HHMMSS+HHMM.
fn seconds(text: &str) -> Option<i64> {
    let (clock, offset) = (text.get(..6)?, text.get(6..)?);
    let sign = match offset.get(..1)? {
        "+" => 1,
        "-" => -1,
        _ => return None,
    };
    let offset = digits(offset.get(1..)?, 4)?;
    let clock = digits(clock, 6)?;
    let (hours, minutes, seconds) = (clock / 10_000, clock / 100 % 100, clock % 100);
    if hours > 23 || minutes > 59 || seconds > 60 || offset % 100 > 59 {
        return None;
    }
    Some(hours * 3600 + minutes * 60 + seconds - sign * (offset / 100 * 3600 + offset % 100 * 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_when() {
        let name = |start, version, method, is_open| FileName { start, version, method, is_open };
        for (text, want) in [
            // date -u -d '2026-11-20 10:15:00 +0100' +%s
            ("ft-v05.2026-11-20.101500+0100", Some(name(1_795_166_100, 5, None, false))),
            ("tmp-v05.2026-11-20.101500+0000", Some(name(1_795_169_700, 5, None, true))),
            ("ft-v08m14.2024-03-13.040001-0400", Some(name(1_710_316_801, 8, Some(14), false))),
            ("ft-v05.2000-02-29.000000+0000", Some(name(951_782_400, 5, None, false))),
            ("ft-v01.1970-01-01.000000+0000", Some(name(0, 1, None, false))),
            ("ft-v05.2026-11-20.101500", None),
            ("ft-v05.2026-11-20.101500+0100.gz", None),
            ("ft-v5.2026-11-20.101500+0100", None),
            ("ft-v05.2026-13-20.101500+0100", None),
            ("ft-v05.2026-11-20.241500+0100", None),
            ("nfcapd.202611201015", None),
            ("ft-v05.2026-11-20.101500+01\u{e9}0", None),
            ("", None),
        ] {
            assert_eq!(FileName::parse(text), want, "{text}");
        }
    }

    #[test]
    fn nests_are_dates() {
        for (name, want) in [
            ("2026", true),
            ("2026-11", true),
            ("2026-11-20", true),
            ("2026-11-20-1", false),
            ("26", false),
            ("lost+found", false),
            (".2026", false),
            ("2026-1", false),
        ] {
            assert_eq!(is_nest(name), want, "{name}");
        }
    }
}
