//! The time window of `-t`: `YYYY/MM/dd.hh:mm:ss[-YYYY/MM/dd.hh:mm:ss]` in local time, each time
//! as short as `YYYY`.

use anyhow::{Context as _, bail};
use chrono::{Local, NaiveDate, NaiveDateTime, Offset as _, TimeZone as _};

/// A window, both ends exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    /// Flows start after this, milliseconds since 1970.
    pub(crate) from_ms: u64,
    /// Flows end before this, if there is an end.
    pub(crate) until_ms: Option<u64>,
}

impl Window {
    /// Reads `-t`.
    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        let (from, until) = match text.split_once('-') {
            Some((from, until)) => (from, Some(until)),
            None => (text, None),
        };
        let window = Self { from_ms: local_ms(from)?, until_ms: until.map(local_ms).transpose()? };
        if window.until_ms.is_some_and(|until| until < window.from_ms) {
            bail!("time window '{text}': the end is before the start");
        }
        Ok(window)
    }

    /// The window as a filter.
    pub(crate) fn as_filter(&self) -> String {
        let from = iso(self.from_ms);
        match self.until_ms {
            Some(until) => format!("first seen > {from} and last seen < {}", iso(until)),
            None => format!("first seen > {from}"),
        }
    }
}

fn iso(ms: u64) -> String {
    let time = i64::try_from(ms).ok().and_then(|ms| Local.timestamp_millis_opt(ms).earliest());
    time.map(|t| t.format("%Y-%m-%dT%H:%M:%S").to_string()).unwrap_or_default()
}

/// Reads one end of a window, in milliseconds since 1970.
pub(crate) fn local_ms(text: &str) -> anyhow::Result<u64> {
    let time = parse_time(text).with_context(|| {
        format!("time '{text}': write YYYY/MM/dd.hh:mm:ss, or less of it from the left")
    })?;
    of_local(time).with_context(|| format!("time '{text}'"))
}

/// A local time, in milliseconds since 1970.
pub(crate) fn of_local(time: NaiveDateTime) -> anyhow::Result<u64> {
    // A time that the clock shows twice means the first of the two; one that it skips is read as
    // if the clock had not been changed yet.
    let local = Local.from_local_datetime(&time).earliest();
    let ms = match local {
        Some(t) => t.timestamp_millis(),
        None => {
            let before = Local.offset_from_utc_datetime(&(time - chrono::Duration::days(1)));
            let before = chrono::Duration::seconds(before.fix().local_minus_utc().into());
            (time - before).and_utc().timestamp_millis()
        }
    };
    u64::try_from(ms).context("it lies before 1970")
}

fn parse_time(text: &str) -> Option<NaiveDateTime> {
    let (date, clock) = match text.split_once('.') {
        Some((date, clock)) => (date, Some(clock)),
        None => (text, None),
    };
    let mut date = date.splitn(3, '/');
    let year = number(date.next()?, 4)? as i32;
    let (month, day) = (date.next(), date.next());
    if clock.is_some() && day.is_none() {
        return None;
    }
    let or = |part: Option<&str>, default| part.map_or(Some(default), |p| number(p, 2));
    let day = NaiveDate::from_ymd_opt(year, or(month, 1)?, or(day, 1)?)?;
    let mut clock = clock.unwrap_or("0").splitn(3, ':');
    let (h, m, s) = (clock.next(), clock.next(), clock.next());
    day.and_hms_opt(or(h, 0)?, or(m, 0)?, or(s, 0)?)
}

fn number(text: &str, digits: usize) -> Option<u32> {
    let ok = (1..=digits).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    if ok { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_forms_take_the_lowest_value() {
        for (text, want) in [
            ("2026", "2026-01-01 00:00:00"),
            ("2026/11", "2026-11-01 00:00:00"),
            ("2026/11/20", "2026-11-20 00:00:00"),
            ("2026/11/20.10", "2026-11-20 10:00:00"),
            ("2026/11/20.10:30", "2026-11-20 10:30:00"),
            ("2026/11/20.10:30:15", "2026-11-20 10:30:15"),
        ] {
            assert_eq!(parse_time(text).map(|t| t.to_string()).as_deref(), Some(want), "{text}");
        }
    }

    #[test]
    fn other_forms_are_errors() {
        for text in ["", "26/1x", "2026-11", "2026/13", "2026/11/31", "2026/11.10", "2026/11/20 10"]
        {
            assert!(local_ms(text).is_err(), "{text}");
        }
        assert!(Window::parse("2026/11-2026/10").is_err(), "ends before it starts");
    }

    #[test]
    fn a_window_is_a_filter() {
        let w = Window::parse("2026/11/20.10:00-2026/11/20.11:00").unwrap();
        assert_eq!(w.until_ms.unwrap() - w.from_ms, 3_600_000);
        let want = "first seen > 2026-11-20T10:00:00 and last seen < 2026-11-20T11:00:00";
        assert_eq!(w.as_filter(), want);
        assert!(filter::Filter::parse(&w.as_filter()).is_ok());
    }
}
