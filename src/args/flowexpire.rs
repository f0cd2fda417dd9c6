//! Options of `flowexpire`: those of nfexpire letter by letter, and more under long names.

use clap::{ArgAction, Args as Group, Parser};
use std::path::PathBuf;

/// Keeps directories of flow files within limits: the oldest files go first.
///
/// Only files go that are called nfcapd. and 12 or 14 digits, in DIR and below sub directories
/// whose names begin with a digit, and with each what lies beside it. Links are not followed.
/// Collectors may write to DIR meanwhile, and others expire it.
#[derive(Debug, Parser)]
#[command(
    args_override_self = true,
    version,
    disable_version_flag = true,
    after_help = "\
SIZE: 500M, 1.5t; factors of 1024. LIFE: 2w, 30d, 12H, 30M, 1d12H; a number alone is hours.
-s and -t are kept in DIR/.nfstat, as nfexpire does, and are obeyed by later runs and by
flowcapd -e; --max-files and --min-free are for this run, and know no watermark.

Exit status: 0 done, 1 wrong options, a directory that cannot be worked on, or files that cannot
be removed, 130 interrupted. Under the name nfexpire they are nfexpire's: 0 or 250.

Examples:
  flowexpire -e /var/flows -t 30d -s 100g         older than 30 days, then down to 100 GB
  flowexpire -n -e /var/flows --min-free 10%      what would have to go
  flowexpire -u /var/flows -t 30d                 from now on, for flowcapd -e
  flowexpire -e /var/profile -p -s 1t             all directories in it together
  flowexpire -e /var/flows --tree -t 90d          each directory below it"
)]
pub struct Args {
    /// What is done, and where
    #[command(flatten)]
    pub action: Action,

    /// Limit of size on disk
    #[arg(short = 's', long, value_name = "SIZE", value_parser = size, allow_hyphen_values = true,
          help_heading = "Limits")]
    pub size: Option<u64>,

    /// Limit of age
    #[arg(short = 't', long, value_name = "LIFE", value_parser = life, allow_hyphen_values = true,
          help_heading = "Limits")]
    pub life: Option<u64>,

    /// Percent of -s and -t to which a directory is reduced that exceeds them [default: 95, with -p
    /// 98]
    #[arg(short = 'w', long, value_name = "PERCENT", value_parser = watermark,
          help_heading = "Limits")]
    pub watermark: Option<u64>,

    /// Keep so many files at most
    #[arg(long, value_name = "N", help_heading = "Limits")]
    pub max_files: Option<u64>,

    /// Have so much of the disk free: 50G, or 10%
    #[arg(long, value_name = "SIZE", value_parser = free, help_heading = "Limits")]
    pub min_free: Option<Free>,

    /// Take all directories in DIR together: a profile of NfSen
    #[arg(short = 'p', long, conflicts_with = "tree", help_heading = "Which directories")]
    pub profile: bool,

    /// Do the same for each directory with flow files in DIR and below
    #[arg(long, conflicts_with = "min_free", help_heading = "Which directories")]
    pub tree: bool,

    /// Print what would go, and remove nothing
    #[arg(short = 'n', long, help_heading = "General")]
    pub dry_run: bool,

    /// Print what goes
    #[arg(short = 'v', long, help_heading = "General")]
    pub verbose: bool,

    /// End after so many seconds, at most 3600; 0 is never
    #[arg(short = 'T', long, value_name = "SECONDS", value_parser = run_time,
          help_heading = "General")]
    pub run_time: Option<u64>,

    /// Print for NfSen: Stat|SIZE|FIRST|LAST
    #[arg(short = 'Y', long, help_heading = "General")]
    pub nfsen: bool,

    /// Print the version
    #[arg(short = 'V', long, action = ArgAction::Version, help_heading = "General")]
    pub version: (),
}

/// What is done: one of these.
#[derive(Debug, Group)]
#[command(next_help_heading = "What is done")]
pub struct Action {
    /// Print how much there is, and the limits
    #[arg(short = 'l', long, value_name = "DIR", action = ArgAction::Append)]
    pub list: Vec<PathBuf>,

    /// Remove what is beyond the limits
    #[arg(short = 'e', long, value_name = "DIR", action = ArgAction::Append)]
    pub expire: Vec<PathBuf>,

    /// Count anew
    #[arg(short = 'r', long, value_name = "DIR", action = ArgAction::Append)]
    pub rescan: Vec<PathBuf>,

    /// Set limits for later
    #[arg(short = 'u', long, value_name = "DIR", action = ArgAction::Append)]
    pub update: Vec<PathBuf>,

    /// As -l, and what a running nfcapd has not written down yet: none of ours leaves anything so
    #[arg(short = 'L', value_name = "DIR", action = ArgAction::Append, hide = true)]
    pub books: Vec<PathBuf>,
}

/// Room on a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Free {
    /// Octets.
    Octets(u64),
    /// Percent of the disk.
    Percent(u64),
}

impl Free {
    /// The octets that it means on a disk of this size.
    pub fn octets(self, size: u64) -> u64 {
        match self {
            Self::Octets(octets) => octets,
            Self::Percent(percent) => (u128::from(size) * u128::from(percent) / 100) as u64,
        }
    }
}

/// A size as nfexpire reads it, in octets: `1.5t`, `500 MB` without the blank.
fn size(text: &str) -> Result<u64, String> {
    let is_number = |c: char| c.is_ascii_digit() || c == '.';
    let unit = text.trim_start_matches(is_number);
    let digits = text.strip_suffix(unit).unwrap_or_default();
    if digits.is_empty() {
        return Err(format!("Missing number in '{text}'"));
    }
    let garbage = || format!("Garbage character(s) '{unit}' in '{text}'");
    let shift = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" => 10,
        "m" | "mb" => 20,
        "g" | "gb" => 30,
        "t" | "tb" => 40,
        _ => return Err(garbage()),
    };
    if let Ok(whole) = digits.parse::<u64>() {
        return whole.checked_mul(1 << shift).ok_or_else(|| format!("'{text}' is too much"));
    }
    let number: f64 = digits.parse().map_err(|_| format!("'{digits}' is no number in '{text}'"))?;
    Ok((number * (1u64 << shift) as f64) as u64)
}

/// A span of time as nfexpire reads it, in seconds: `1w2d3H4M`, each letter once; a number alone is
/// hours.
fn life(text: &str) -> Result<u64, String> {
    const UNITS: [(&str, u64, &str); 4] = [
        ("w", 604_800, "weeks"),
        ("d", 86_400, "days"),
        ("H", 3600, "hours"),
        ("M", 60, "minutes"),
    ];
    let (mut rest, mut sum, mut seen) = (text, 0u64, [false; 4]);
    let too_long = || format!("'{text}' is too long");
    while !rest.is_empty() {
        let unit = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        let digits = rest.strip_suffix(unit).unwrap_or_default();
        if digits.is_empty() {
            return Err(format!("Missing number before '{rest}'"));
        }
        let named = UNITS.iter().zip(&mut seen).find_map(|((letter, secs, name), seen)| {
            let after = unit.strip_prefix(letter);
            let alone = (unit.is_empty() && *letter == "H").then_some("");
            after.or(alone).map(|after| (after, *secs, *name, seen))
        });
        let Some((after, secs, name, seen)) = named else {
            return Err(format!("Unknown time unit '{rest}'"));
        };
        if std::mem::replace(seen, true) {
            return Err(format!("Ambiguous {name} '{rest}'"));
        }
        let number: u64 = digits.parse().map_err(|_| too_long())?;
        sum = number.checked_mul(secs).and_then(|n| n.checked_add(sum)).ok_or_else(too_long)?;
        rest = after;
    }
    // `-t ''` of a script whose variable is empty is no limit to nfexpire; it is a mistake.
    if text.is_empty() { Err("Missing number in ''".to_owned()) } else { Ok(sum) }
}

/// To nfexpire 0 percent are all of them.
fn watermark(text: &str) -> Result<u64, String> {
    match text.strip_suffix('%').unwrap_or(text).parse() {
        Ok(0) => Ok(100),
        Ok(percent @ 1..=100) => Ok(percent),
        Ok(_) => Err("Water mark > 100%".to_owned()),
        Err(_) => Err(format!("'{text}' is no percentage")),
    }
}

fn run_time(text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(secs @ 0..=3600) => Ok(secs),
        Ok(_) => Err("Runtime > 3600 (1h)".to_owned()),
        Err(_) => Err(format!("'{text}' is no number of seconds")),
    }
}

fn free(text: &str) -> Result<Free, String> {
    let Some(percent) = text.strip_suffix('%') else { return size(text).map(Free::Octets) };
    match percent.parse() {
        Ok(percent @ 0..=99) => Ok(Free::Percent(percent)),
        _ => Err(format!("'{text}' of a disk cannot be: 0% to 99%")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_spans_are_those_of_nfexpire() {
        for (text, want) in [
            ("0", Some(0)),
            ("512", Some(512)),
            ("512b", Some(512)),
            ("500k", Some(512_000)),
            ("500KB", Some(512_000)),
            ("1.5m", Some(1_572_864)),
            (".5G", Some(1 << 29)),
            ("2tb", Some(2 << 40)),
            ("18446744073709551615", Some(u64::MAX)),
            ("16777216t", None),
            ("", None),
            ("k", None),
            ("-1", None),
            ("1x", None),
            ("1kx", None),
            ("1.2.3", None),
            (".", None),
            ("1bb", None),
        ] {
            assert_eq!(size(text).ok(), want, "{text}");
        }
        for (text, want) in [
            ("0", Some(0)),
            ("12", Some(43_200)),
            ("12H", Some(43_200)),
            ("3d", Some(259_200)),
            ("1w2d3H4M", Some(604_800 + 172_800 + 10_800 + 240)),
            ("1d12", Some(129_600)),
            ("", None),
            ("x", None),
            ("1.5d", None),
            ("5s", None),
            ("1d1d", None),
            ("1H1", None),
            ("99999999999999999999d", None),
            ("99999999999999999d", None),
        ] {
            assert_eq!(life(text).ok(), want, "{text}");
        }
        assert_eq!(watermark("0"), Ok(100));
        assert_eq!(watermark("80%"), Ok(80));
        assert!(watermark("101").is_err() && watermark("x").is_err());
        assert!(run_time("3600").is_ok() && run_time("3601").is_err());
        assert_eq!(free("10%"), Ok(Free::Percent(10)));
        assert_eq!(free("1k"), Ok(Free::Octets(1024)));
        assert!(free("100%").is_err() && free("x%").is_err());
        assert_eq!(Free::Percent(10).octets(u64::MAX), u64::MAX / 10);
    }
}
