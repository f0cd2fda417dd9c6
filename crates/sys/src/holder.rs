//! Which process has a socket, and what it is: from `/proc/PID` (proc(5)). Without privileges only
//! one's own processes say what they have.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::Read as _;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

/// A process, as far as it may be looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// What the kernel calls it: at most 15 octets of its program's name.
    pub name: String,
    /// The user it works as, where that is known.
    pub user: Option<u32>,
    /// The group it works as.
    pub group: Option<u32>,
    /// Its command line, its program first; empty for what is no program.
    pub arguments: Vec<OsString>,
    /// The directory it works in, to which paths on its command line are relative.
    pub directory: Option<PathBuf>,
}

impl Process {
    /// Looks at a process. What cannot be seen is left empty.
    pub fn of(pid: u32) -> Self {
        let status = read(&format!("/proc/{pid}/status"));
        let status = String::from_utf8_lossy(&status);
        let name = String::from_utf8_lossy(&read(&format!("/proc/{pid}/comm"))).trim().to_owned();
        Self {
            pid,
            name,
            user: effective(&status, "Uid:"),
            group: effective(&status, "Gid:"),
            arguments: arguments(&read(&format!("/proc/{pid}/cmdline"))),
            directory: fs::read_link(format!("/proc/{pid}/cwd")).ok(),
        }
    }
}

/// Processes by the sockets they have, of those with these inodes. A socket may be in several, for
/// example the service manager's.
pub fn of_sockets(inodes: &[u64]) -> BTreeMap<u64, Vec<u32>> {
    let mut found: BTreeMap<u64, Vec<u32>> = BTreeMap::new();
    let Ok(entries) = fs::read_dir("/proc") else { return found };
    for entry in entries.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let Ok(descriptors) = fs::read_dir(entry.path().join("fd")) else { continue };
        for descriptor in descriptors.flatten() {
            let inode = fs::read_link(descriptor.path()).ok().and_then(|to| socket_inode(&to));
            if let Some(inode) = inode.filter(|inode| inodes.contains(inode)) {
                let pids = found.entry(inode).or_default();
                if !pids.contains(&pid) {
                    pids.push(pid);
                }
            }
        }
    }
    found
}

/// `socket:[5483108]`.
fn socket_inode(link: &Path) -> Option<u64> {
    let text = link.to_str()?.strip_prefix("socket:[")?;
    text.strip_suffix(']')?.parse().ok()
}

/// The second of the four numbers behind a name: real, effective, saved, of the file system.
fn effective(status: &str, name: &str) -> Option<u32> {
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// Words, each with a NUL behind it.
fn arguments(text: &[u8]) -> Vec<OsString> {
    let text = text.strip_suffix(b"\0").unwrap_or(text);
    if text.is_empty() {
        return Vec::new();
    }
    text.split(|b| *b == 0).map(|word| OsString::from_vec(word.to_vec())).collect()
}

/// A file of the kernel's, as far as it is reasonably long; empty if it cannot be read.
fn read(path: &str) -> Vec<u8> {
    const LONGEST: u64 = 256 << 10;
    let mut text = Vec::new();
    if let Ok(file) = fs::File::open(path) {
        let _ = file.take(LONGEST).read_to_end(&mut text);
    }
    text
}

/// Program that a command line begins with, without its directory.
pub fn program(arguments: &[OsString]) -> Option<String> {
    let name = Path::new(arguments.first()?).file_name()?;
    Some(String::from_utf8_lossy(name.as_bytes()).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_texts_say_nothing() {
        for (text, want) in [
            ("socket:[17]", Some(17)),
            ("socket:[]", None),
            ("socket:[17", None),
            ("pipe:[17]", None),
            ("/dev/null", None),
        ] {
            assert_eq!(socket_inode(Path::new(text)), want, "{text}");
        }
        let status = "Name:\tx\nUid:\t1\t2\t3\t4\nGid:\t5\n";
        assert_eq!((effective(status, "Uid:"), effective(status, "Gid:")), (Some(2), None));
        for (text, want) in [
            (&b"a\0-w\0b c\0"[..], &["a", "-w", "b c"][..]),
            (b"a\0\0", &["a", ""]),
            (b"a", &["a"]),
            (b"", &[]),
        ] {
            assert_eq!(arguments(text), want, "{text:?}");
        }
        assert_eq!(program(&arguments(b"/usr/bin/flowcapd\0-p\0")).as_deref(), Some("flowcapd"));
        assert_eq!(program(&[]), None);
        assert_eq!(Process::of(u32::MAX), Process { pid: u32::MAX, ..Process::default() });
    }

    #[test]
    fn a_socket_of_ours_is_found_to_be_ours() {
        let ours = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let local = ours.local_addr().unwrap();
        let listed = crate::proc_net::udp_sockets().unwrap();
        let inode = listed.iter().find(|s| s.local == local).expect("listed").inode;
        let pid = std::process::id();
        // Programs that other tests start may have it for a moment, too.
        assert!(of_sockets(&[inode])[&inode].contains(&pid));
        let process = Process::of(pid);
        assert!(process.arguments.first().is_some_and(|a| !a.is_empty()), "{process:?}");
        assert!(process.user.is_some() && process.directory.is_some(), "{process:?}");
    }
}
