//! Lists of Tor exits: the bulk list and `exit-addresses`.
//!
//! The bulk list is an address a line, with `#` before remarks; it says nothing of times. The
//! other one (TorDNSEL exit list, <https://metrics.torproject.org/collector.html#exit-lists>) has
//!
//! ```text
//! ExitNode 63BA28370F543D175173E414D5450590D73E22DC
//! Published 2010-12-28 07:35:55
//! LastStatus 2010-12-28 08:10:11
//! ExitAddress 91.102.152.236 2010-12-28 07:10:30
//! ```
//!
//! with times in UTC. An address counts as an exit from when the relay was published, or seen to
//! exit from there if that is earlier, to a day after the relay was last listed or seen to exit:
//! lists are a snapshot, and relays stay. Lists of several days may be joined into one file;
//! stretches of an address that touch become one.

use crate::GeoError;
use record::{Addr, TorExit};
use std::net::IpAddr;
use std::path::Path;
use std::str;

/// How long an exit stays one after it was seen last.
const GRACE_MS: u64 = 24 * 3_600_000;

/// Lines of an exit list that say nothing about exits.
const PREAMBLE: [&str; 3] = ["@type", "Downloaded", "ExitNode"];

/// What a list says of the relay that is being read.
#[derive(Clone, Copy, Default)]
struct Relay {
    published_ms: Option<u64>,
    listed_ms: u64,
}

/// Reads a list of either kind; `path` is for messages. The result is sorted by address and time.
pub(crate) fn parse(octets: &[u8], path: &Path) -> Result<Vec<TorExit>, GeoError> {
    let mut exits = Vec::new();
    let mut relay = Relay::default();
    let mut is_list = false;
    for (n, line) in octets.split(|c| *c == b'\n').enumerate() {
        let text = line.split(|c| *c == b'#').next().unwrap_or(line).trim_ascii();
        if text.is_empty() {
            continue;
        }
        let read = str::from_utf8(text).ok().and_then(|text| read_line(text, &mut relay));
        let Some(exit) = read else {
            return Err(GeoError::NotAnExitList { path: path.to_owned(), line: n + 1 });
        };
        is_list = true;
        exits.extend(exit);
    }
    if !is_list {
        return Err(GeoError::NotAnExitList { path: path.to_owned(), line: 1 });
    }
    Ok(exits)
}

/// Sorts exits by address and time, and joins stretches of an address that touch.
pub(crate) fn join(mut exits: Vec<TorExit>) -> Vec<TorExit> {
    exits.sort_unstable();
    exits.dedup_by(|next, kept| {
        let touches = next.addr == kept.addr && next.since_ms <= kept.until_ms;
        if touches {
            kept.until_ms = kept.until_ms.max(next.until_ms);
        }
        touches
    });
    exits
}

/// `None`: not a line of an exit list. `Some(None)`: one that completes no exit.
fn read_line(line: &str, relay: &mut Relay) -> Option<Option<TorExit>> {
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    match word {
        "Published" => relay.published_ms = Some(time(rest)?),
        "LastStatus" => relay.listed_ms = time(rest)?,
        "ExitAddress" => {
            let (addr, seen) = rest.split_once(' ')?;
            let (addr, seen_ms) = (address(addr)?, time(seen)?);
            let since_ms = relay.published_ms.map_or(seen_ms, |p| p.min(seen_ms));
            let until_ms = relay.listed_ms.max(seen_ms) + GRACE_MS;
            return Some(Some(TorExit { addr, since_ms, until_ms }));
        }
        _ if PREAMBLE.contains(&word) => *relay = Relay::default(),
        _ => {
            let addr = address(line)?;
            return Some(Some(TorExit { addr, since_ms: 0, until_ms: u64::MAX }));
        }
    }
    Some(None)
}

fn address(text: &str) -> Option<Addr> {
    text.trim().parse::<IpAddr>().ok().map(Addr::from)
}

/// `2010-12-28 07:35:55` in UTC as milliseconds since 1970.
fn time(text: &str) -> Option<u64> {
    let (date, clock) = text.trim().split_once(' ')?;
    let [year, month, day] = numbers(date, '-')?;
    let [hour, minute, second] = numbers(clock, ':')?;
    let is_valid = (1970..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second <= 60;
    let seconds = || days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
    is_valid.then(|| seconds() * 1000)
}

fn numbers(text: &str, separator: char) -> Option<[u64; 3]> {
    let mut parts = text.splitn(3, separator);
    let mut next = || parts.next()?.parse::<u64>().ok().filter(|n| *n <= 9999);
    Some([next()?, next()?, next()?])
}

/// Days since 1970 of a date in the Gregorian calendar. Years are counted from March, so that the
/// odd day is the last of a year. The date is in 1970 or later.
const fn days(year: u64, month: u64, day: u64) -> u64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leaps = year / 4 - year / 100 + year / 400;
    // 719_468 days lie between March 1 of year 0 and 1970.
    year * 365 + leaps + (month * 153 + 2) / 5 + day - 719_469
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> Result<Vec<TorExit>, GeoError> {
        parse(text.as_bytes(), Path::new("list")).map(join)
    }

    fn exit(addr: &str, since_ms: u64, until_ms: u64) -> TorExit {
        TorExit { addr: address(addr).unwrap(), since_ms, until_ms }
    }

    #[test]
    fn the_bulk_list_says_nothing_of_times() {
        let text = "# exits\r\n192.0.2.7\r\n\n2001:db8::7 # new\n192.0.2.7\n";
        let want = [exit("192.0.2.7", 0, u64::MAX), exit("2001:db8::7", 0, u64::MAX)];
        assert_eq!(list(text).unwrap(), want);
    }

    /// The example of the description of the format.
    #[test]
    fn exit_addresses_give_stretches_of_time() {
        let text = "@type tordnsel 1.0\n\
                    Downloaded 2010-12-28 09:02:03\n\
                    ExitNode 63BA28370F543D175173E414D5450590D73E22DC\n\
                    Published 2010-12-28 07:35:55\n\
                    LastStatus 2010-12-28 08:10:11\n\
                    ExitAddress 91.102.152.236 2010-12-28 07:10:30\n\
                    ExitAddress 91.102.152.227 2010-12-28 10:35:30\n";
        let at = |text| time(text).unwrap();
        assert_eq!(at("2010-12-28 07:35:55"), 1_293_521_755_000);
        let want = [
            exit("91.102.152.227", at("2010-12-28 07:35:55"), at("2010-12-29 10:35:30")),
            exit("91.102.152.236", at("2010-12-28 07:10:30"), at("2010-12-29 08:10:11")),
        ];
        assert_eq!(list(text).unwrap(), want);
    }

    #[test]
    fn lists_of_several_days_are_joined() {
        let day = |published: &str, seen: &str| {
            format!(
                "ExitNode X\nPublished {published} 00:00:00\nLastStatus {seen} 00:00:00\n\
                 ExitAddress 192.0.2.1 {seen} 01:00:00\n"
            )
        };
        let text = day("2024-02-28", "2024-02-29")
            + &day("2024-02-29", "2024-03-01")
            + &day("2024-05-01", "2024-05-02");
        let at = |text| time(text).unwrap();
        let want = [
            exit("192.0.2.1", at("2024-02-28 00:00:00"), at("2024-03-02 01:00:00")),
            exit("192.0.2.1", at("2024-05-01 00:00:00"), at("2024-05-03 01:00:00")),
        ];
        assert_eq!(list(&text).unwrap(), want);
    }

    #[test]
    fn a_relay_says_nothing_of_the_next_one() {
        let text = "ExitNode A\nPublished 2010-12-28 07:35:55\nLastStatus 2030-01-01 00:00:00\n\
                    ExitNode B\nExitAddress 192.0.2.1 2011-01-01 00:00:00\n";
        let at = |text| time(text).unwrap();
        let want = [exit("192.0.2.1", at("2011-01-01 00:00:00"), at("2011-01-02 00:00:00"))];
        assert_eq!(list(text).unwrap(), want);
    }

    #[test]
    fn what_is_no_list_is_refused_with_its_line() {
        for (text, line) in [
            ("", 1),
            ("# nothing\n", 1),
            ("<html>\n", 1),
            ("192.0.2.1\n192.0.2\n", 2),
            ("ExitNode A\nPublished yesterday\n", 2),
            ("ExitAddress 192.0.2.1\n", 1),
            ("ExitAddress 192.0.2.1 2010-13-28 07:35:55\n", 1),
            ("ExitAddress 192.0.2.1 0000-01-01 00:00:00\n", 1),
            ("ExitAddress 192.0.2.1 2010-12-28 07:35\n", 1),
            ("192.0.2.1/24\n", 1),
        ] {
            let error = list(text).unwrap_err();
            assert!(
                matches!(error, GeoError::NotAnExitList { line: n, .. } if n == line),
                "{text:?}: {error}"
            );
        }
        assert!(parse(b"\xff\xfe", Path::new("list")).is_err());
    }

    #[test]
    fn days_follow_the_calendar() {
        for (text, want) in [
            ("1970-01-01 00:00:00", 0),
            ("1972-02-29 00:00:00", 68_169_600),
            ("1972-03-01 00:00:00", 68_256_000),
            ("2000-12-31 23:59:59", 978_307_199),
            ("2100-03-01 00:00:00", 4_107_542_400),
            ("9999-12-31 23:59:59", 253_402_300_799),
        ] {
            assert_eq!(time(text), Some(want * 1000), "{text}");
        }
    }
}
