//! Where the files of a dataset lie: `DATASET/date=YYYY-MM-DD/hour=HH/exporter=ADDR/NAME.parquet`, by
//! the time at which their flows began, in UTC, and by who sent them.

pub(crate) mod ledger;

pub use ledger::Dataset;

use chrono::{DateTime, NaiveDate};
use record::Addr;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// Milliseconds of an hour.
const HOUR_MS: u64 = 3_600_000;

/// The last hour that columns of times have a number for: 2262-04-11T23 UTC.
const LAST_HOUR: u64 = i64::MAX as u64 / 1_000_000 / HOUR_MS;

/// A directory of the dataset: the flows that began in one hour and came from one exporter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Partition {
    /// Hours since 1970, UTC.
    pub hour: u32,
    /// Address of the exporter; `None` where the flow file does not say.
    pub exporter: Option<Addr>,
}

impl Partition {
    /// Where a flow belongs that began at a moment, milliseconds since 1970. Those without a start
    /// began at 0, as in listings; those after 2262 in the last hour that there is.
    #[inline]
    pub fn of(first_ms: u64, exporter: Option<Addr>) -> Self {
        Self { hour: Self::hour_of(first_ms), exporter }
    }

    /// The hour of a flow that began at a moment.
    #[inline]
    pub(crate) fn hour_of(first_ms: u64) -> u32 {
        (first_ms / HOUR_MS).min(LAST_HOUR) as u32
    }

    /// The first moment, milliseconds since 1970, and that after the last. What began later than
    /// columns of times can say is in the last hour, which therefore has no end.
    pub const fn window_ms(&self) -> (u64, u64) {
        let start = self.hour as u64 * HOUR_MS;
        (start, if self.hour as u64 >= LAST_HOUR { u64::MAX } else { start + HOUR_MS })
    }

    /// Its path below the dataset. Colons of IPv6 addresses are `%3A`, as with Hive and Spark: other
    /// systems have no colons in names.
    pub fn path(&self) -> PathBuf {
        let start = DateTime::from_timestamp(i64::from(self.hour) * 3600, 0).unwrap_or_default();
        let exporter = match self.exporter {
            Some(addr) => addr.to_string().replace(':', "%3A"),
            None => "none".to_owned(),
        };
        PathBuf::from(format!("{}/exporter={exporter}", start.format("date=%Y-%m-%d/hour=%H")))
    }

    /// The reverse: of the path of a file or a directory, its last components `date=`, `hour=` and
    /// `exporter=`. `None` if it has no such.
    pub fn parse(path: &Path) -> Option<Self> {
        let (mut date, mut hour, mut exporter) = (None, None, None);
        for part in path.components() {
            let Some((key, value)) = part.as_os_str().to_str().and_then(|p| p.split_once('='))
            else {
                continue;
            };
            match key {
                "date" => date = Some(NaiveDate::parse_from_str(value, "%Y-%m-%d").ok()?),
                "hour" => hour = Some(value.parse::<u32>().ok().filter(|h| *h < 24)?),
                "exporter" if value == "none" => exporter = Some(None),
                "exporter" => {
                    let text = value.replace("%3A", ":").replace("%3a", ":");
                    exporter = Some(Some(Addr::from(text.parse::<IpAddr>().ok()?)));
                }
                _ => {}
            }
        }
        let days = (date? - NaiveDate::default()).num_days();
        let hour = u32::try_from(days).ok()?.checked_mul(24)?.checked_add(hour?)?;
        Some(Self { hour, exporter: exporter? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> Option<Addr> {
        Some(Addr::from(text.parse::<IpAddr>().unwrap()))
    }

    #[test]
    fn paths_are_read_back() {
        for (first_ms, exporter, path) in [
            (0, None, "date=1970-01-01/hour=00/exporter=none"),
            (1_775_822_400_000, addr("192.0.2.1"), "date=2026-04-10/hour=12/exporter=192.0.2.1"),
            (
                1_775_822_399_999,
                addr("2001:db8::1"),
                "date=2026-04-10/hour=11/exporter=2001%3Adb8%3A%3A1",
            ),
            (9_223_372_036_854, None, "date=2262-04-11/hour=23/exporter=none"),
            (u64::MAX, None, "date=2262-04-11/hour=23/exporter=none"),
        ] {
            let partition = Partition::of(first_ms, exporter);
            assert_eq!(partition.path(), Path::new(path));
            let file = Path::new("/data/set").join(path).join("x.parquet");
            assert_eq!(Partition::parse(&file), Some(partition), "{path}");
            let (from, until) = partition.window_ms();
            assert!(from <= first_ms && (first_ms < until || first_ms == u64::MAX), "{path}");
        }
    }

    #[test]
    fn other_paths_are_none() {
        for path in [
            "",
            "date=2026-04-10/hour=12",
            "date=2026-04-31/hour=12/exporter=none",
            "date=2026-04-10/hour=24/exporter=none",
            "date=2026-04-10/hour=12/exporter=x",
            "date=1969-12-31/hour=12/exporter=none",
            "date=9999999-12-31/hour=12/exporter=none",
        ] {
            assert_eq!(Partition::parse(Path::new(path)), None, "{path}");
        }
    }
}
