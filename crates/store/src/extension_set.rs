//! Which extensions of a record are written: option `-X` of the collectors.

use record::v3::EXTENSIONS;
use std::fmt;
use std::str::FromStr;

/// A set of extension numbers (7). Those that a record cannot be without are always in it:
/// 1, times and counters, and 2 and 3, addresses.
///
/// ```
/// let set: store::Extensions = "4,7,10".parse()?;
/// assert!(set.has(7) && set.has(1) && !set.has(15));
/// # Ok::<(), store::UnknownExtension>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Extensions(u64);

/// Of the numbers given, one is none of an extension.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no extension: give numbers from 1 to {max}, separated by commas", max = EXTENSIONS.len())]
pub struct UnknownExtension(String);

impl Extensions {
    /// All there are, also those not known yet.
    pub const ALL: Self = Self(u64::MAX);
    /// Only what a record needs.
    pub const LEAST: Self = Self(1 << 1 | 1 << 2 | 1 << 3);

    /// Whether the extension is in the set.
    pub const fn has(self, id: u16) -> bool {
        id >= 64 || self.0 >> id & 1 == 1
    }

    /// Adds an extension.
    #[must_use]
    pub const fn with(self, id: u16) -> Self {
        if id < 64 { Self(self.0 | 1 << id) } else { self }
    }

    /// These but `id`.
    #[must_use]
    pub const fn without(self, id: u16) -> Self {
        if id < 64 { Self(self.0 & !(1 << id)) } else { self }
    }
}

impl Default for Extensions {
    fn default() -> Self {
        Self::ALL
    }
}

impl FromStr for Extensions {
    type Err = UnknownExtension;

    fn from_str(list: &str) -> Result<Self, UnknownExtension> {
        let known = |text: &str| {
            let id: u16 = text.trim().parse().ok()?;
            (1..=EXTENSIONS.len()).contains(&usize::from(id)).then_some(id)
        };
        list.split(',').try_fold(Self::LEAST, |set, text| {
            known(text).map(|id| set.with(id)).ok_or_else(|| UnknownExtension(text.to_owned()))
        })
    }
}

impl fmt::Debug for Extensions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::ALL {
            return f.write_str("all");
        }
        f.debug_set().entries((1..64).filter(|id| self.has(*id))).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_name_extensions_and_what_a_record_needs_is_always_there() {
        for (list, want) in
            [("1", "{1, 2, 3}"), ("4,7", "{1, 2, 3, 4, 7}"), ("42, 10 ,10", "{1, 2, 3, 10, 42}")]
        {
            assert_eq!(format!("{:?}", list.parse::<Extensions>().unwrap()), want);
        }
        for list in ["", "0", "43", "4,", "-1", "4;7", "x", "65536"] {
            let error = list.parse::<Extensions>().unwrap_err().to_string();
            assert!(error.contains("1 to 42"), "{error}");
        }
        assert!((0..=u16::MAX).all(|id| Extensions::ALL.has(id)));
    }
}
