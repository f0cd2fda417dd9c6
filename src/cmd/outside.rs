//! What the text of a filter may bring in from outside: files and host names.

use std::io::{self, Read as _};
use std::net::{IpAddr, ToSocketAddrs as _};
use std::path::Path;

/// A file of text, not larger than a filter may be.
pub(super) fn read_text(path: &Path) -> io::Result<String> {
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
