//! What profiles are.

use crate::error::ProfileError;
use filter::{Filter, ParseOptions};
use std::fmt;
use std::path::{Path, PathBuf};
use store::Packing;
use store::rotate::SubDirs;

/// Seconds of a slot where nothing else is said.
pub const DEFAULT_INTERVAL: u32 = 300;
/// Channels that one file of definitions may have: each has a file open while a slot is read.
pub const MAX_CHANNELS: usize = 1024;

/// All profiles, and where they live.
#[derive(Debug)]
pub struct Profiles {
    /// Sub-archives are below this directory.
    pub data: PathBuf,
    /// Counters and ports are below this directory; may be the same.
    pub stats: PathBuf,
    /// Seconds of a slot, as the collector's `-t`.
    pub interval: u32,
    /// How files of a channel are spread over sub directories.
    pub sub_dirs: SubDirs,
    /// Directories of flow files, by name. Empty: whatever file is given is all there is.
    pub sources: Vec<Source>,
    /// The profiles, in the order of the definitions.
    pub profiles: Vec<Profile>,
}

/// A directory that a collector writes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// What channels call it.
    pub name: String,
    /// The directory.
    pub dir: PathBuf,
}

/// Channels under one name.
#[derive(Debug)]
pub struct Profile {
    /// Name of the group, `.` for none.
    pub group: String,
    /// Name.
    pub name: String,
    /// Which slots it has.
    pub span: Span,
    /// Whether flows are kept, and not only counted. NfSen calls a profile without a shadow profile.
    pub archive: bool,
    /// Whether counters are kept.
    pub counters: bool,
    /// How sub-archives are compressed; as the first source of the slot if nothing is said.
    pub packing: Option<Packing>,
    /// Days for which ports are kept, 0 for no ports.
    pub ports: u32,
    /// Channels.
    pub channels: Vec<Channel>,
}

/// Slots from `start` up to, not including, `end`: seconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// The first second.
    pub start: Option<u64>,
    /// The first second that is not part of it.
    pub end: Option<u64>,
}

impl Span {
    /// Whether the slot that begins then is part of it.
    pub fn contains(&self, slot: u64) -> bool {
        self.start.is_none_or(|start| start <= slot) && self.end.is_none_or(|end| slot < end)
    }

    /// NfSen's word: one that ends is a history profile, any other goes on.
    pub const fn kind(&self) -> &'static str {
        if self.end.is_some() { "history" } else { "continuous" }
    }
}

/// A filter with a name.
#[derive(Debug)]
pub struct Channel {
    /// Name.
    pub name: String,
    /// Indices into [`Profiles::sources`]; empty: all.
    pub sources: Vec<usize>,
    /// The whole filter: `(idents) and (exporters) and (filter)`.
    pub text: String,
    /// The same, compiled.
    pub filter: Filter,
}

impl Profiles {
    /// The profile of this name: `NAME`, or `GROUP/NAME`.
    pub fn find(&self, name: &str) -> Option<usize> {
        let (group, name) = name.rsplit_once('/').unwrap_or((".", name));
        let is_it = |p: &Profile| p.group == group && p.name == name;
        let found = self.profiles.iter().position(is_it);
        // A name that only one group has needs no group.
        found.or_else(|| {
            let mut all = self.profiles.iter().enumerate().filter(|(_, p)| p.name == name);
            let first = all.next().filter(|_| group == ".")?.0;
            all.next().is_none().then_some(first)
        })
    }

    /// Directory of a profile's sub-archives.
    pub fn data_dir(&self, profile: &Profile) -> PathBuf {
        profile.below(&self.data)
    }

    /// Directory of a profile's counters and ports.
    pub fn stats_dir(&self, profile: &Profile) -> PathBuf {
        profile.below(&self.stats)
    }
}

impl Profile {
    fn below(&self, base: &Path) -> PathBuf {
        match self.group.as_str() {
            "." => base.join(&self.name),
            group => base.join(group).join(&self.name),
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.group.as_str() {
            "." => f.write_str(&self.name),
            group => write!(f, "{group}/{}", self.name),
        }
    }
}

/// The filter of a channel: `(ident a or ident b) and (router ip x) and (text)`.
///
/// # Errors
/// The first thing that is wrong with the text.
pub fn term(
    idents: &[String],
    exporters: &[String],
    text: &str,
    options: &ParseOptions<'_>,
) -> Result<(String, Filter), filter::Error> {
    let text = text.trim();
    // Alone first: then places in messages are those of the text.
    let alone = Filter::parse_with(text, options)?;
    let mut all = String::new();
    for (phrase, values) in [("ident", idents), ("router ip", exporters)] {
        if !values.is_empty() {
            let each: Vec<String> = values.iter().map(|v| format!("{phrase} {v}")).collect();
            all.push_str(&format!("({}) and ", each.join(" or ")));
        }
    }
    if all.is_empty() {
        return Ok((text.to_owned(), alone));
    }
    // A comment of the text must not take the parenthesis with it.
    let inner = if alone.is_any() { "any" } else { text };
    let end = if inner.contains('#') { "\n)" } else { ")" };
    all.push_str(&format!("({inner}{end}"));
    let filter = Filter::parse_with(&all, options)?;
    Ok((all, filter))
}

/// Whether a name may be that of a profile, channel or group: it becomes that of a directory.
///
/// # Errors
/// What is wrong with it.
pub fn check_name(name: &str) -> Result<(), &'static str> {
    let is_fine = |c: char| c.is_ascii_alphanumeric() || "_-.+".contains(c);
    if name.is_empty() || name.len() > 64 {
        return Err("a name has 1 to 64 characters");
    }
    if !name.chars().all(is_fine) {
        return Err("a name has letters, digits, `_`, `-`, `+` and `.`");
    }
    if name.starts_with(['.', '-']) || name.contains("pcap") {
        return Err("a name does not begin with `.` or `-`, and has no `pcap` in it");
    }
    Ok(())
}

/// Whether flows of a file pass to a channel at all.
pub(crate) fn takes(channel: &Channel, source: Option<usize>) -> bool {
    channel.sources.is_empty() || source.is_some_and(|s| channel.sources.contains(&s))
}

impl Profiles {
    /// Checks what single definitions cannot know of each other.
    pub(crate) fn check(&self, path: &Path) -> Result<(), ProfileError> {
        let wrong = |what: String| Err(ProfileError::Config { path: path.to_owned(), what });
        let mut channels = 0;
        for (i, p) in self.profiles.iter().enumerate() {
            channels += p.channels.len();
            if self.profiles.iter().take(i).any(|q| q.group == p.group && q.name == p.name) {
                return wrong(format!("two profiles are called {p}: give one another name"));
            }
            // Directories of its channels and of the profiles in the group would be mixed.
            if p.group == "." && self.profiles.iter().any(|q| q.group == p.name) {
                return wrong(format!("{p} is a profile and a group: give one another name"));
            }
            for (j, c) in p.channels.iter().enumerate() {
                if p.channels.iter().take(j).any(|d| d.name == c.name) {
                    let name = &c.name;
                    return wrong(format!("profile {p} has two channels '{name}'"));
                }
            }
        }
        if channels > MAX_CHANNELS {
            return wrong(format!(
                "{channels} channels, and {MAX_CHANNELS} may be: put some into another file"
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_stand_before_the_filter() {
        let all = |idents: &[&str], exporters: &[&str], text: &str| {
            let owned = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
            let options = ParseOptions::default();
            term(&owned(idents), &owned(exporters), text, &options).unwrap().0
        };
        for (idents, exporters, text, want) in [
            (&[][..], &[][..], "proto tcp", "proto tcp"),
            (&["a"], &[], "proto tcp", "(ident a) and (proto tcp)"),
            (
                &["a", "b"],
                &[],
                "port 80 or port 443",
                "(ident a or ident b) and (port 80 or port 443)",
            ),
            (
                &["a"],
                &["192.0.2.1", "2001:db8::1"],
                "",
                "(ident a) and (router ip 192.0.2.1 or router ip 2001:db8::1) and (any)",
            ),
            (&["a"], &[], "proto tcp # all", "(ident a) and (proto tcp # all\n)"),
        ] {
            assert_eq!(all(idents, exporters, text), want);
        }
        let e = term(&["a".into()], &[], "proto tcp or\nnonsense", &ParseOptions::default());
        assert!(e.unwrap_err().nfdump_line().starts_with("Line 2:"));
    }

    #[test]
    fn names_are_those_of_directories() {
        for name in ["web", "a.b", "A_1-x+"] {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
        for name in ["", ".", "..", ".x", "-x", "a/b", "a b", "ä", "pcaps", &"x".repeat(65)] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn a_span_has_no_end_of_its_own() {
        let span = Span { start: Some(300), end: Some(900) };
        let got: Vec<bool> = [0, 299, 300, 600, 899, 900].map(|t| span.contains(t)).to_vec();
        assert_eq!(got, [false, false, true, true, true, false]);
        assert_eq!((span.kind(), Span::default().kind()), ("history", "continuous"));
    }
}
