//! Clocks and what the process has used. The one place of the suite that asks for the time.

use std::io;
use std::time::{Duration, Instant, SystemTime};

use nix::sys::resource::{Usage, UsageWho, getrusage};

/// Milliseconds since 1970 on the wall clock, which may be set back or forth. 0 before 1970.
#[expect(clippy::disallowed_methods, reason = "this is the clock that others are told to ask")]
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// A clock that only goes forward, for measuring spans.
#[expect(clippy::disallowed_methods, reason = "this is the clock that others are told to ask")]
pub fn monotonic() -> Instant {
    Instant::now()
}

/// A name that the system has from its start to its end, and never again.
///
/// # Errors
/// If the system does not say.
pub fn boot_id() -> io::Result<String> {
    Ok(std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

/// What a process has used so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Used {
    /// CPU time in user mode, all threads.
    pub user: Duration,
    /// CPU time in the kernel, all threads.
    pub system: Duration,
    /// Largest resident set, octets.
    pub peak_memory: u64,
}

/// What this process has used so far; zeros where the system does not say.
pub fn used() -> Used {
    getrusage(UsageWho::RUSAGE_SELF).map(|usage| Used::from(&usage)).unwrap_or_default()
}

/// What the children that this process has waited for have used, the largest set of any of them.
pub fn used_by_children() -> Used {
    getrusage(UsageWho::RUSAGE_CHILDREN).map(|usage| Used::from(&usage)).unwrap_or_default()
}

impl From<&Usage> for Used {
    fn from(usage: &Usage) -> Self {
        let span = |t: nix::sys::time::TimeVal| {
            Duration::new(t.tv_sec().try_into().unwrap_or(0), 1000 * t.tv_usec() as u32)
        };
        let kib = u64::try_from(usage.max_rss()).unwrap_or(0); // Linux counts in KiB
        Self {
            user: span(usage.user_time()),
            system: span(usage.system_time()),
            peak_memory: kib.saturating_mul(1024),
        }
    }
}

/// Whether the kernel knows its clock to be set by a time service; `None` where it does not say.
pub fn is_synchronised() -> Option<bool> {
    // SAFETY: all-zero octets are a valid timex, which is plain numbers; modes 0 asks and sets
    // nothing.
    let mut timex: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is valid for reads and writes of a timex while the call lasts.
    let state = unsafe { libc::adjtimex(&raw mut timex) };
    (state >= 0).then_some(timex.status & libc::STA_UNSYNC == 0)
}

/// Makes `zone` the time zone of the process, as the variable `TZ` does: a name of the zone
/// database, `UTC`, or an offset such as `+02:00`.
///
/// # Errors
/// If the system knows no such zone, which without this check would silently be UTC; and if there
/// are other threads already.
pub fn set_zone(zone: &str) -> Result<(), ZoneError> {
    const DIRECTORIES: [&str; 3] =
        ["/usr/share/zoneinfo", "/usr/lib/zoneinfo", "/usr/share/lib/zoneinfo"];
    let is_name = !zone.is_empty() && !zone.starts_with('/') && !zone.contains("..");
    let is_zone = |d: &&str| {
        let mut magic = [0; 4];
        let file = std::fs::File::open(std::path::Path::new(d).join(zone));
        let read = file.and_then(|mut f| io::Read::read_exact(&mut f, &mut magic));
        read.is_ok() && magic == *b"TZif" // RFC 9636, section 3.1
    };
    let value = match (zone.to_ascii_lowercase().as_str(), posix_rule(zone)) {
        ("utc" | "z" | "gmt", _) => "UTC".to_owned(),
        (_, Some(rule)) => rule,
        _ if is_name && DIRECTORIES.iter().any(is_zone) => zone.to_owned(),
        _ => return Err(ZoneError::Unknown(zone.to_owned())),
    };
    let threads = crate::process::threads();
    if threads > 1 {
        return Err(ZoneError::Threads(threads));
    }
    // SAFETY: this is the only thread, so nobody reads the environment meanwhile.
    unsafe { std::env::set_var("TZ", value) };
    Ok(())
}

/// Why the time zone was not set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ZoneError {
    /// The system does not know it.
    #[error(
        "unknown time zone `{0}`: write a name such as Europe/Zurich, UTC, or an offset such as +02:00"
    )]
    Unknown(String),
    /// Other threads may be reading the environment.
    #[error("the time zone cannot be set with {0} threads running: set it before starting them")]
    Threads(usize),
}

/// `+02:00`, `-0330` or `+2` as a rule of POSIX, which counts the other way round.
fn posix_rule(zone: &str) -> Option<String> {
    let (sign, rest) = match zone.split_at_checked(1)? {
        ("+", rest) => ('-', rest),
        ("-", rest) => ('+', rest),
        _ => return None,
    };
    let (hours, minutes) = match rest.split_once(':') {
        Some(parts) => parts,
        None if rest.len() == 4 => rest.split_at_checked(2)?,
        None => (rest, "00"),
    };
    let in_range = |text: &str, max: u8| {
        let digits = (1..=2).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        digits && text.parse::<u8>().is_ok_and(|n| n <= max)
    };
    let ok = in_range(hours, 14) && in_range(minutes, 59);
    // Names in rules are of letters, digits and signs.
    ok.then(|| format!("<{}>{sign}{hours}:{minutes}", zone.replace(':', "")))
}

/// Cores this process may use, at least 1.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wall_clock_is_this_century() {
        assert!(now_ms() > 1_700_000_000_000);
        assert!(now_ms() < 5_000_000_000_000);
    }

    #[test]
    fn offsets_are_rules_and_other_zones_have_to_exist() {
        for (zone, want) in [
            ("+02:00", Some("<+0200>-02:00")),
            ("-0330", Some("<-0330>+03:30")),
            ("+2", Some("<+2>-2:00")),
            ("+15", None),
            ("+1:75", None),
            ("Europe/Zurich", None),
            ("", None),
        ] {
            assert_eq!(posix_rule(zone).as_deref(), want, "{zone}");
        }
        for zone in
            ["", "Nowhere/Atlantis", "/etc/passwd", "../../../etc/passwd", "UTC+x", "zone.tab"]
        {
            assert!(matches!(set_zone(zone), Err(ZoneError::Unknown(_))), "{zone}");
        }
    }

    #[test]
    fn use_grows_with_work() {
        let before = used();
        let mut block = vec![0u8; 64 << 20];
        loop {
            for page in block.iter_mut().step_by(4096) {
                *page = std::hint::black_box(page.wrapping_add(1));
            }
            if used().user > before.user {
                break;
            }
        }
        assert!(used().peak_memory >= 64 << 20, "{:?}", used());
        assert!(cores() >= 1);
    }
}
