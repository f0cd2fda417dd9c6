//! Configuration files: TOML, in the words of nfdump's, so that a `nfdump.conf` goes on working.
//!
//! ```toml
//! [flowdump]                                    # or [nfdump]
//! fmt.mine = "%ts %sa -> %da %byt"              # flowdump -o mine
//! csv.short = "%ts,%sa,%da,%byt"
//! geodb.path = "/var/lib/GeoLite2-City.mmdb,/var/lib/GeoLite2-ASN.mmdb"
//! tordb.path = "/var/lib/tor-exits"
//! maxworkers = 8
//! memory = "4G"
//! ```
//!
//! The first of these is read: `-C FILE`, the file that `NFCONF` names, [`SYSTEM`]. A word that the
//! section `flowdump` does not know is an error. Without that section `nfdump` is read, whatever
//! else its releases may have there. Sections of other programs are passed over.

pub mod flowcapd;
pub mod flownatd;
pub mod nfflowd;
pub(crate) mod options;

use anyhow::{Context as _, bail};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Where a configuration is looked for when nobody says.
pub const SYSTEM: &[&str] = &["/etc/flowsuite/flowdump.toml", "/etc/nfdump/nfdump.conf"];

/// What `flowdump` can be told once and for all.
#[derive(Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Flowdump {
    /// Formats of columns by name.
    #[serde(default)]
    pub fmt: BTreeMap<String, String>,
    /// Formats of comma-separated values by name.
    #[serde(default)]
    pub csv: BTreeMap<String, String>,
    /// Databases of countries and autonomous systems.
    pub geodb: Option<Database>,
    /// List of Tor exits.
    pub tordb: Option<Database>,
    /// Threads that read and count.
    pub maxworkers: Option<usize>,
    /// Memory that groups may take.
    pub memory: Option<String>,
}

/// Where a database is.
#[derive(Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// Its file; several separated by commas.
    pub path: String,
}

/// A file with sections of several programs.
#[derive(Debug, Default, Deserialize)]
struct Document {
    flowdump: Option<Flowdump>,
    nfdump: Option<Nfdump>,
}

/// The section of nfdump: what its releases have besides is theirs.
#[derive(Debug, Default, Deserialize)]
struct Nfdump {
    #[serde(default)]
    fmt: BTreeMap<String, String>,
    #[serde(default)]
    csv: BTreeMap<String, String>,
    geodb: Option<Database>,
    tordb: Option<Database>,
    maxworkers: Option<usize>,
}

impl Document {
    /// Our section; nfdump's where there is none.
    fn section(self) -> Flowdump {
        let theirs = |n: Nfdump| Flowdump {
            fmt: n.fmt,
            csv: n.csv,
            geodb: n.geodb,
            tordb: n.tordb,
            maxworkers: n.maxworkers,
            memory: None,
        };
        self.flowdump.or_else(|| self.nfdump.map(theirs)).unwrap_or_default()
    }
}

/// Reads what `-C` names (`none`: nothing), else what `NFCONF` names, else the system's file.
///
/// # Errors
/// If a file that was named is not there, or a file cannot be understood.
pub fn flowdump(option: Option<&str>) -> anyhow::Result<Flowdump> {
    let path = match option {
        Some("none") => return Ok(Flowdump::default()),
        Some(path) => PathBuf::from(path),
        None => match std::env::var_os("NFCONF").filter(|p| !p.is_empty()) {
            Some(path) => PathBuf::from(path),
            None => match SYSTEM.iter().map(PathBuf::from).find(|p| p.exists()) {
                Some(path) => path,
                None => return Ok(Flowdump::default()),
            },
        },
    };
    read(&path)
}

fn read(path: &Path) -> anyhow::Result<Flowdump> {
    let shown = path.display();
    let text =
        std::fs::read_to_string(path).with_context(|| format!("configuration file {shown}"))?;
    match toml::from_str::<Document>(&text) {
        Ok(document) => Ok(document.section()),
        Err(e) => bail!("configuration file {shown}: {}", e.to_string().trim_end()),
    }
}

/// Reads `500M` or `4G`: octets, in powers of 1024.
///
/// # Errors
/// If the text is no size.
pub fn size(text: &str) -> anyhow::Result<usize> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor: usize = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" | "kib" => 1 << 10,
        "m" | "mb" | "mib" => 1 << 20,
        "g" | "gb" | "gib" => 1 << 30,
        "t" | "tb" | "tib" => 1usize.checked_shl(40).unwrap_or(0),
        _ => 0,
    };
    let size = digits.parse::<usize>().ok().and_then(|n| n.checked_mul(factor));
    size.filter(|n| *n > 0).with_context(|| format!("size '{text}': write 500M or 4G"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nfdumps_file_is_understood() {
        let text = r#"
[nfdump]
fmt.line = "%ts %sap"
fmt.tor = "%ts %stor"
csv.csvline = "%ts,%td"
geodb.path = "/var/db/mmdb.nf"
maxworkers = 8
[nfcapd]
exporter.upstream = ["192.168.1.1", "/var/nflow/upstream"]
[sfcapd]
opt.tun = 1
"#;
        let config = toml::from_str::<Document>(text).unwrap().section();
        assert_eq!(config.fmt.len(), 2);
        assert_eq!(config.csv.get("csvline").map(String::as_str), Some("%ts,%td"));
        assert_eq!(config.geodb.unwrap().path, "/var/db/mmdb.nf");
        assert_eq!(config.maxworkers, Some(8));
        let read = |text: &str| toml::from_str::<Document>(text).unwrap().section();
        assert_eq!(read("[nfcapd]"), Flowdump::default());
        assert_eq!(read("[nfdump.threads]\nfilter = 2\n"), Flowdump::default(), "of a release");
        let both = "[nfdump]\nmaxworkers = 1\n[flowdump]\nmaxworkers = 2\n";
        assert_eq!(read(both).maxworkers, Some(2), "ours goes first");
    }

    #[test]
    fn a_misspelt_word_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("conf");
        std::fs::write(&path, "[flowdump]\nmaxworker = 8\n").unwrap();
        let error = flowdump(path.to_str()).unwrap_err().to_string();
        assert!(error.contains("maxworker") && error.contains("line 2"), "{error}");
        let error = flowdump(Some("/nonexistent/conf")).unwrap_err();
        assert!(error.to_string().contains("/nonexistent/conf"), "{error:#}");
        assert_eq!(flowdump(Some("none")).unwrap(), Flowdump::default());
    }

    #[test]
    fn sizes() {
        for (text, want) in [("500M", 500 << 20), ("4g", 4 << 30), ("1", 1), ("2KiB", 2048)] {
            assert_eq!(size(text).unwrap(), want, "{text}");
        }
        for text in ["", "0", "x", "4X", "-1", "1.5G", "99999999999999G", "1\u{a0}G"] {
            assert!(size(text).is_err(), "{text}");
        }
    }
}
