//! Octets and spans of time as nfexpire writes them: the number, and the number in larger units.

/// `16384 = 16.0 KB`, in powers of 1024.
pub(super) fn octets(n: u64) -> String {
    const UNITS: [(u64, &str); 4] =
        [(1 << 40, "TB"), (1 << 30, "GB"), (1 << 20, "MB"), (1 << 10, "KB")];
    scaled(n, &UNITS).unwrap_or_else(|| format!("{n} B"))
}

/// `8 sec`, `900 = 15.0 min`.
pub(super) fn span(secs: u64) -> String {
    const UNITS: [(u64, &str); 4] =
        [(604_800, "weeks"), (86_400, "days"), (3600, "hours"), (60, "min")];
    scaled(secs, &UNITS).unwrap_or_else(|| format!("{secs} sec"))
}

fn scaled(n: u64, units: &[(u64, &str)]) -> Option<String> {
    let (unit, name) = units.iter().find(|(unit, _)| n >= *unit)?;
    Some(format!("{n} = {:.1} {name}", n as f64 / *unit as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_nfexpire_has_them() {
        for (n, want) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (20_480, "20480 = 20.0 KB"),
            (3 << 30, "3221225472 = 3.0 GB"),
        ] {
            assert_eq!(octets(n), want);
        }
        for (n, want) in [
            (8, "8 sec"),
            (900, "900 = 15.0 min"),
            (7200, "7200 = 2.0 hours"),
            (129_600, "129600 = 1.5 days"),
            (907_200, "907200 = 1.5 weeks"),
        ] {
            assert_eq!(span(n), want);
        }
    }
}
