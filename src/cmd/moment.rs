//! A moment as people write it.

use super::window;
use anyhow::Context as _;
use chrono::{DateTime, NaiveDateTime};

/// Reads a moment, in milliseconds since 1970: seconds since 1970 (`1700000000`, also with a
/// fraction), milliseconds (12 digits and more), RFC 3339 (`2026-11-21T10:15:30Z`), the same in local time without an offset, or as
/// `-t` has it (`2026/11/21.10:15:30`).
pub(super) fn parse(text: &str) -> anyhow::Result<u64> {
    if let Some(ms) = unix(text) {
        return Ok(ms);
    }
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return u64::try_from(time.timestamp_millis())
            .with_context(|| format!("time '{text}' lies before 1970"));
    }
    for format in ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M"] {
        if let Ok(time) = NaiveDateTime::parse_from_str(text, format) {
            return window::of_local(time).with_context(|| format!("time '{text}'"));
        }
    }
    window::local_ms(text).with_context(|| {
        format!(
            "time '{text}': write 2026-11-21T10:15:30, with Z or an offset, or seconds since 1970"
        )
    })
}

fn unix(text: &str) -> Option<u64> {
    let text = text.strip_prefix('@').unwrap_or(text);
    let (secs, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let is_digits = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
    // Fewer digits are a year.
    if secs.len() < 9 || !is_digits(secs) || !is_digits(fraction) {
        return None;
    }
    // As many digits as milliseconds have.
    if secs.len() >= 12 {
        return secs.parse().ok();
    }
    let ms: u64 = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
    secs.parse::<u64>().ok()?.checked_mul(1000)?.checked_add(ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read() {
        for (text, want) in [
            ("1700000000", 1_700_000_000_000),
            ("@1700000000", 1_700_000_000_000),
            ("1700000000.25", 1_700_000_000_250),
            ("1700000000.123456", 1_700_000_000_123),
            ("1700000000123", 1_700_000_000_123),
            ("1700000000123.456", 1_700_000_000_123),
            ("2023-11-14T22:13:20Z", 1_700_000_000_000),
            ("2023-11-14T23:13:20.5+01:00", 1_700_000_000_500),
        ] {
            assert_eq!(parse(text).unwrap(), want, "{text}");
        }
        let local = parse("2023/11/14.22:13:20").unwrap();
        assert_eq!(parse("2023-11-14T22:13:20").unwrap(), local);
        assert_eq!(parse("2023-11-14 22:13:20.250").unwrap(), local + 250);
        for text in ["", "yesterday", "2023-13-14T22:13:20", "1960-01-01T00:00:00Z", "1700000000."]
        {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
