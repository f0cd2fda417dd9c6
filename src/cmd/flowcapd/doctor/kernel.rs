//! What the kernel lists and counts: sockets, whose they are, what was dropped, by which barrier.

use super::observed::{Elsewhere, Firewall, Holder, Kernel, Listening};
use std::path::Path;
use sys::holder::{self, Process};
use sys::nftables::{self, Barrier};
use sys::proc_net::{self, UdpCounts, UdpSocket};

/// What is counted at one moment.
pub(super) struct Reading {
    sockets: Vec<UdpSocket>,
    /// Why they are not listed.
    pub(super) unlisted: Option<String>,
    counts: Option<UdpCounts>,
    reverse_path: u64,
    barriers: Option<Option<Vec<Barrier>>>,
}

impl Reading {
    pub(super) fn now() -> Self {
        let (sockets, unlisted) = match proc_net::udp_sockets() {
            Ok(sockets) => (sockets, None),
            Err(e) => (Vec::new(), Some(e.to_string())),
        };
        Self {
            sockets,
            unlisted,
            counts: proc_net::udp_counts().ok(),
            reverse_path: proc_net::reverse_path_drops().unwrap_or(0),
            barriers: nftables::barriers().ok(),
        }
    }

    fn at(&self, ports: &[u16]) -> impl Iterator<Item = &UdpSocket> {
        self.sockets.iter().filter(move |s| ports.contains(&s.local.port()))
    }

    /// Sockets at these ports, and what became of them since `before`.
    pub(super) fn listening(&self, before: &Self, ports: &[u16]) -> Vec<Listening> {
        let inodes: Vec<u64> = self.at(ports).map(|s| s.inode).collect();
        let holders = holder::of_sockets(&inodes);
        let one = |socket: &UdpSocket| {
            let earlier = before.sockets.iter().find(|s| s.inode == socket.inode);
            let pids = holders.get(&socket.inode).map(Vec::as_slice).unwrap_or_default();
            // The service manager keeps sockets for others.
            let is_alone = pids.len() < 2;
            let pids = pids.iter().filter(|pid| is_alone || **pid != 1);
            Listening {
                local: socket.local,
                user: socket.user,
                holders: pids
                    .map(|pid| Holder { pid: *pid, name: name(&Process::of(*pid)) })
                    .collect(),
                waiting: socket.waiting,
                waited_before: earlier
                    .is_some_and(|e| e.waiting > 0 && e.waiting <= socket.waiting),
                dropped: socket.dropped,
                dropped_now: socket.dropped.saturating_sub(earlier.map_or(0, |e| e.dropped)),
            }
        };
        self.at(ports).map(one).collect()
    }

    /// What was counted since `before`.
    pub(super) fn since(&self, before: &Self, ports: &[u16]) -> Option<Kernel> {
        let waiting = |reading: &Self| reading.at(ports).map(|s| s.waiting).sum::<u64>();
        Some(Kernel {
            udp: self.counts?.since(&before.counts?),
            reverse_path: self.reverse_path.saturating_sub(before.reverse_path),
            came_to_wait: waiting(self) > waiting(before),
        })
    }

    /// Who listens where exports go, if anybody.
    pub(super) fn name_listeners(&self, elsewhere: &mut [Elsewhere]) {
        for one in elsewhere {
            let inodes: Vec<u64> = self.at(&[one.port]).map(|s| s.inode).collect();
            if inodes.is_empty() {
                continue;
            }
            let pid = holder::of_sockets(&inodes).into_values().flatten().next();
            one.listener = Some(pid.map_or_else(String::new, |pid| name(&Process::of(pid))));
        }
    }

    /// What drops packets, each with what it dropped since `before`.
    pub(super) fn firewall(&self, before: &Self) -> Firewall {
        let all = match &self.barriers {
            None => return Firewall::Unknown,
            Some(None) => return Firewall::None,
            Some(Some(all)) => all,
        };
        let earlier = before.barriers.iter().flatten().flatten();
        let earlier: Vec<&Barrier> = earlier.collect();
        let one = |b: &Barrier| {
            let same = earlier.iter().find(|e| {
                (e.family, &e.table, &e.chain, e.rule) == (b.family, &b.table, &b.chain, b.rule)
            });
            let now =
                b.packets.map(|n| n.saturating_sub(same.and_then(|e| e.packets).unwrap_or(0)));
            (words(b), now)
        };
        let counts = |b: &&Barrier| b.rule.is_some() || b.is_way_in;
        Firewall::Barriers(all.iter().filter(counts).map(one).collect())
    }
}

fn words(barrier: &Barrier) -> String {
    let Barrier { family, table, chain, rule, .. } = barrier;
    match rule {
        Some(handle) => {
            format!("rule with handle {handle} in chain {chain} of table {family} {table}")
        }
        None => format!("policy drop of chain {chain} of table {family} {table}"),
    }
}

fn name(process: &Process) -> String {
    holder::program(&process.arguments).unwrap_or_else(|| process.name.clone())
}

/// The collector that has a socket at one of these ports, or at any if none is given; `None` if there
/// is none, or are several.
pub(super) fn collector(ports: &[u16]) -> Option<Process> {
    let sockets = proc_net::udp_sockets().ok()?;
    let wanted = sockets.iter().filter(|s| ports.is_empty() || ports.contains(&s.local.port()));
    let inodes: Vec<u64> = wanted.map(|s| s.inode).collect();
    let mut pids: Vec<u32> = holder::of_sockets(&inodes).into_values().flatten().collect();
    pids.sort_unstable();
    pids.dedup();
    let is_collector = |p: &Process| matches!(name(p).as_str(), "flowcapd" | "nfcapd" | "sfcapd");
    let mut all = pids.into_iter().map(Process::of).filter(is_collector);
    all.next().filter(|_| all.next().is_none())
}

/// What `path` of a process is to us.
pub(super) fn absolute(process: &Process, path: &Path) -> std::path::PathBuf {
    process.directory.as_deref().map_or_else(|| path.to_owned(), |dir| dir.join(path))
}
