//! A running `flowcapd` and what it says of itself.

use super::{Daemon, FLOWCAPD, FLOWDUMP, Scene, flow_files, run, stdout_of};
use std::collections::BTreeMap;
use std::net::{IpAddr, UdpSocket};
use std::path::{Path, PathBuf};

/// A slot that no test outlives.
pub const DAY: &str = "-t86400";

/// `flowcapd` on a port of its own, with an empty directory.
pub struct Capd {
    pub daemon: Daemon,
    pub dir: PathBuf,
    pub port: u16,
}

impl Capd {
    /// Starts it on a directory of this name in the scene, for all exporters together.
    pub fn start(scene: &Scene, name: &str, options: &[&str]) -> Self {
        let dir = scene.dir(name);
        let to = dir.to_str().expect("text").to_owned();
        Self::start_with(scene, name, dir, &[&["-w", &to], options].concat())
    }

    /// Starts it with these options, which say where flows go; `dir` is what tests look into. The
    /// options of the host are none of the test's.
    pub fn start_with(scene: &Scene, name: &str, dir: PathBuf, options: &[&str]) -> Self {
        let log = scene.path(format!("{name}.log"));
        let daemon = Daemon::start(FLOWCAPD, [&["-C", "none", "-p", "0"], options].concat(), log);
        daemon.wait_for("Startup flowcapd.");
        let log = daemon.log();
        let (_, port) = log.split_once(", port: ").expect("the port is in the log");
        let port = port.lines().next().and_then(|p| p.parse().ok()).expect("port");
        Self { daemon, dir, port }
    }

    /// Sends datagrams from 127.0.0.1, slowly enough that no buffer overflows.
    pub fn send(&self, datagrams: impl IntoIterator<Item = impl AsRef<[u8]>>) {
        super::send(self.port, datagrams);
    }

    /// Waits until the files, those still open among them, have so many flows.
    pub fn wait_for_flows(&self, flows: usize) {
        let missing =
            || format!("{} flows of {flows}:\n{}", flows_in(&self.dir), self.daemon.log());
        super::wait_until(|| flows_in(&self.dir) >= flows, missing);
    }

    /// Ends it with TERM. Returns its account.
    pub fn stop(self) -> Account {
        Account::read(&self.daemon.stop())
    }
}

/// Sends datagrams from this address.
pub fn send_from(from: IpAddr, port: u16, datagrams: &[impl AsRef<[u8]>]) {
    let socket = UdpSocket::bind((from, 0)).expect("bind");
    let to: IpAddr = if from.is_ipv4() { [127, 0, 0, 1].into() } else { "::1".parse().unwrap() };
    for (n, datagram) in datagrams.iter().enumerate() {
        socket.send_to(datagram.as_ref(), (to, port)).expect("send");
        if n % 16 == 15 {
            super::give_way(port);
        }
    }
}

/// Files that are still being written in a directory.
pub fn open_files(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).expect("read directory").flatten().map(|e| e.path());
    let mut open: Vec<_> =
        entries.filter(|p| p.to_string_lossy().contains("/nfcapd.current.")).collect();
    open.sort();
    open
}

/// Flows that `flowdump` lists of all files, finished and open ones. A file that gets its name
/// meanwhile may be missed.
pub fn flows_in(dir: &Path) -> usize {
    let files = flow_files(dir).into_iter().chain(open_files(dir));
    let lines = |file: PathBuf| {
        let list = run(FLOWDUMP, ["-q", "-r", file.to_str().expect("text"), "-o", "ndjson"]);
        list.stdout.iter().filter(|b| **b == b'\n').count()
    };
    files.map(lines).sum()
}

/// The flows of all finished files as in [`exports::line`](super::exports::line), sorted.
pub fn listed(dir: &Path) -> Vec<String> {
    let format = "fmt:%pr %sa %sp %da %dp %pkt %byt";
    let list = |file: PathBuf| {
        let file = file.to_str().expect("text").to_owned();
        stdout_of(FLOWDUMP, ["-q", "-N", "-6", "-r", &file, "-o", format])
    };
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let lists: Vec<_> = flow_files(dir).into_iter().map(list).collect();
    let mut lines: Vec<_> = lists.iter().flat_map(|l| l.lines().map(words)).collect();
    lines.retain(|line| line != NOTHING);
    lines.sort();
    lines
}

/// What is listed of a file without flows.
pub const NOTHING: &str = "No matching flows";

/// The finished files have these flows, `want` in any order, and no others.
pub fn assert_listed(dir: &Path, want: impl IntoIterator<Item = u32>, what: &str) {
    let got = listed(dir);
    let mut want: Vec<_> = want.into_iter().map(super::exports::line).collect();
    want.sort();
    for (n, (got, want)) in got.iter().zip(&want).enumerate() {
        assert_eq!(got, want, "{what}: flow {n} in order of lines");
    }
    assert_eq!(got.len(), want.len(), "{what}: flows");
}

/// What the lines of all slots say together: numbers by name.
#[derive(Debug)]
pub struct Account(pub BTreeMap<String, u64>);

impl Account {
    /// Adds up the lines of sources, and those of the whole collector.
    pub fn read(log: &str) -> Self {
        let mut sums = BTreeMap::new();
        for line in log.lines() {
            let line = match line.strip_prefix("Ident: '").and_then(|l| l.split_once("' ")) {
                Some((_, numbers)) if numbers.starts_with("Flows: ") => numbers.to_owned(),
                None if line.starts_with("Total packets received: ") => {
                    line.replace(" avg: ", ", avg: ").replace("/s ignored", "/s, ignored")
                }
                _ => continue,
            };
            for (name, number) in line.split(", ").filter_map(|part| part.split_once(": ")) {
                let number: u64 = number.parse().unwrap_or(0); // the average
                *sums.entry(name.to_owned()).or_default() += number;
            }
        }
        assert!(sums.contains_key("Total packets received"), "no slot in the log:\n{log}");
        Self(sums)
    }

    /// A number, 0 where it is not mentioned.
    pub fn get(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or(0)
    }

    /// These numbers and no others but 0.
    pub fn is(&self, want: &[(&str, u64)]) {
        let got: BTreeMap<_, _> = self.0.iter().map(|(k, v)| (k.as_str(), *v)).collect();
        let got: BTreeMap<_, _> =
            got.into_iter().filter(|(k, v)| *v > 0 && *k != "Blocks").collect();
        assert_eq!(got, want.iter().copied().collect());
    }
}
