//! What comes from outside: files and host names in the text of a filter, passphrases, standard input.

use anyhow::Context as _;
use std::io::{self, Read as _};
use std::net::{IpAddr, ToSocketAddrs as _};
use std::path::Path;
use store::Passphrase;
use tempfile::NamedTempFile;

/// A file of text, not larger than a filter may be.
///
/// # Errors
/// If it cannot be read, or is larger.
pub fn read_text(path: &Path) -> io::Result<String> {
    read_all(std::fs::File::open(path)?)
}

pub(super) fn read_all(input: impl io::Read) -> io::Result<String> {
    let mut text = String::new();
    let limit = filter::MAX_TEXT as u64;
    if input.take(limit + 1).read_to_string(&mut text)? as u64 > limit {
        let what = format!("larger than {limit} octets, the most a filter may have");
        return Err(io::Error::new(io::ErrorKind::InvalidData, what));
    }
    Ok(text)
}

/// All addresses of a host; says which on stderr, because they may be others tomorrow.
pub(super) fn resolve(host: &str) -> Result<Vec<IpAddr>, String> {
    let found = (host, 0).to_socket_addrs().map_err(|e| e.to_string())?;
    let mut all: Vec<IpAddr> = found.map(|a| a.ip()).collect();
    all.sort();
    all.dedup();
    let list: Vec<String> = all.iter().map(ToString::to_string).collect();
    eprintln!("{host} is {}", list.join(", "));
    Ok(all)
}

/// The passphrase of `-K`: as written, or the first line of the file behind `@`.
///
/// # Errors
/// If the file cannot be read, or that is no passphrase.
pub fn passphrase(text: &str) -> anyhow::Result<Passphrase> {
    let from_file = match text.strip_prefix('@') {
        Some(path) => Some(std::fs::read_to_string(path).with_context(|| format!("key {path}"))?),
        None => None,
    };
    let line = from_file.as_deref().map_or(text, |t| t.lines().next().unwrap_or_default());
    let max = Passphrase::MAX;
    Passphrase::new(line).with_context(|| format!("a passphrase has 1 to {max} octets"))
}

/// Flows from a pipe, as in `zcat nfcapd.gz | flowdump -r -`, in a file that goes when this does:
/// blocks are read where they lie, and some twice.
pub(super) fn standard_input() -> anyhow::Result<NamedTempFile> {
    let mut copy = tempfile::Builder::new()
        .prefix("standard-input.")
        .tempfile()
        .context("a temporary file for standard input; TMPDIR says where")?;
    io::copy(&mut io::stdin().lock(), &mut copy).context("standard input into a temporary file")?;
    Ok(copy)
}
