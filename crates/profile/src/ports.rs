//! Ports by flows, packets and octets: what nftrack keeps in 384 databases.
//!
//! Counted are destination ports of TCP and UDP, all of them and exactly: a [`PortTable`] is 3 MiB.
//! Packets and octets are those on the way to the port, as in a statistic of destination ports.
//! A slot's table is a file of its own, `ports-SECONDS.no-pcap`, in the directory
//! `ports.no-pcap` of the profile, so that a slot that is counted again replaces itself. The last 24 hours are the sum of
//! their slots.
//!
//! | Octets | |
//! |---|---|
//! | 0..4 | `FPP1` |
//! | 4..8 | length of the slot in seconds |
//! | 8..16 | its begin, seconds since 1970 |
//! | 16..24 | fingerprint of what it was counted from |
//! | then | TCP, then UDP: number of ports; for each its distance from the one before (the first: from 0), flows, packets, octets. Numbers of 7 bits an octet, the lowest first |
//! | last 8 | XXH3-64 of everything before |

use crate::error::ProfileError;
use crate::varint;
use record::code::Proto;
use record::{Field, Row};
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::PathBuf;
use twox_hash::XxHash3_64;

const MAGIC: [u8; 4] = *b"FPP1";
const HEAD: usize = 24;
const PORTS: usize = 1 << 16;
/// All ports of both, with the longest numbers, are not longer.
const MAX_LEN: u64 = 8 << 20;
const PREFIX: &str = "ports-";
const SUFFIX: &str = ".no-pcap";

/// Protocols whose ports are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Protocol 6.
    Tcp,
    /// Protocol 17.
    Udp,
}

impl Transport {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Tcp, Self::Udp];

    /// `tcp` or `udp`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// What was counted of a port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortCount {
    /// The port.
    pub port: u16,
    /// Flows to it, their packets and octets.
    pub counts: [u64; 3],
}

/// Counters of all ports.
#[derive(Clone, Debug)]
pub struct PortTable {
    /// TCP, then UDP.
    counts: Vec<[u64; 3]>,
}

impl Default for PortTable {
    fn default() -> Self {
        Self { counts: vec![[0; 3]; 2 * PORTS] }
    }
}

impl PortTable {
    /// Counts a flow under its destination port.
    #[inline]
    pub fn add(&mut self, row: Row<'_>) {
        let first = match Proto(row.number(Field::Proto) as u8) {
            Proto::TCP => 0,
            Proto::UDP => PORTS,
            _ => return,
        };
        let port = row.number(Field::DstPort) as usize % PORTS;
        let numbers = [row.flows(), row.number(Field::Packets), row.number(Field::Bytes)];
        if let Some(counts) = self.counts.get_mut(first + port) {
            counts.iter_mut().zip(numbers).for_each(|(a, b)| *a = a.saturating_add(b));
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.counts.fill([0; 3]);
    }

    fn half(&self, of: Transport) -> &[[u64; 3]] {
        let (tcp, udp) = self.counts.split_at_checked(PORTS).unwrap_or_default();
        if of == Transport::Tcp { tcp } else { udp }
    }

    /// The first `n` ports by one of their counters (0 flows, 1 packets, 2 octets); ports that are
    /// equal by number.
    pub fn top(&self, of: Transport, by: usize, n: usize) -> Vec<PortCount> {
        let value = |c: &PortCount| c.counts.get(by).copied().unwrap_or(0);
        let all = self.half(of).iter().zip(0u16..=u16::MAX);
        let mut all: Vec<PortCount> =
            all.map(|(counts, port)| PortCount { port, counts: *counts }).collect();
        all.retain(|c| c.counts != [0; 3]);
        all.sort_by_key(|c| (std::cmp::Reverse(value(c)), c.port));
        all.truncate(n);
        all
    }

    fn encode(&self, start: u64, interval: u32, inputs: u64) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.extend(interval.to_le_bytes());
        out.extend(start.to_le_bytes());
        out.extend(inputs.to_le_bytes());
        for of in Transport::ALL {
            let used = || self.half(of).iter().zip(0u64..).filter(|(c, _)| **c != [0; 3]);
            varint::put(used().count() as u64, &mut out);
            let mut before = 0;
            for (counts, port) in used() {
                varint::put(port - before, &mut out);
                counts.iter().for_each(|n| varint::put(*n, &mut out));
                before = port;
            }
        }
        out.extend(XxHash3_64::oneshot(&out).to_le_bytes());
        out
    }

    /// Adds the table in a file; `None` if that is damaged. Then a part of it may have been added,
    /// unless the sum was right, which is looked at first.
    fn add_encoded(&mut self, octets: &[u8]) -> Option<()> {
        let mut rest = body(octets)?.get(HEAD..)?;
        for first in [0, PORTS] {
            let (mut port, mut is_first) = (0u64, true);
            for _ in 0..varint::take(&mut rest)? {
                let distance = varint::take(&mut rest)?;
                if distance == 0 && !std::mem::take(&mut is_first) {
                    return None;
                }
                is_first = false;
                port = port.checked_add(distance).filter(|p| *p < PORTS as u64)?;
                let counts = self.counts.get_mut(first + port as usize)?;
                for one in counts {
                    *one = one.saturating_add(varint::take(&mut rest)?);
                }
            }
        }
        rest.is_empty().then_some(())
    }
}

/// Everything before the sum, if that is right.
fn body(octets: &[u8]) -> Option<&[u8]> {
    let (body, sum) = octets.split_at_checked(octets.len().checked_sub(8)?)?;
    let is_sound = body.starts_with(&MAGIC) && sum == XxHash3_64::oneshot(body).to_le_bytes();
    is_sound.then_some(body)
}

/// What was added up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortsRead {
    /// Begin of the slots, in order.
    pub slots: Vec<u64>,
    /// Files that are damaged, or of slots of another length than their neighbours say.
    pub damaged: Vec<PathBuf>,
}

/// The tables of a profile.
#[derive(Clone, Debug)]
pub struct PortStore {
    dir: PathBuf,
    interval: u32,
}

impl PortStore {
    /// Those in the directory of a profile, of slots of this length.
    pub fn new(profile: &std::path::Path, interval: u32) -> Self {
        Self { dir: profile.join("ports.no-pcap"), interval }
    }

    fn path(&self, slot: u64) -> PathBuf {
        self.dir.join(format!("{PREFIX}{slot}{SUFFIX}"))
    }

    /// Writes the table of a slot in the place of the one that is there, and removes those of slots
    /// before `keep_from`.
    ///
    /// # Errors
    /// If it cannot be written: then what was there is as it was.
    pub fn put(
        &self,
        table: &PortTable,
        slot: u64,
        inputs: u64,
        keep_from: u64,
    ) -> Result<(), ProfileError> {
        fs::create_dir_all(&self.dir).map_err(ProfileError::io("create", &self.dir))?;
        let path = self.path(slot);
        let temporary = self.dir.join(format!(".new{SUFFIX}"));
        let write = || {
            let mut file = File::create(&temporary)?;
            file.write_all(&table.encode(slot, self.interval, inputs))?;
            file.sync_data()?;
            fs::rename(&temporary, &path)
        };
        write().map_err(|e| {
            // A full disk has no room for what is of no use.
            let _ = fs::remove_file(&temporary);
            ProfileError::io("write", &path)(e)
        })?;
        for old in self.slots()?.into_iter().take_while(|s| *s < keep_from) {
            let path = self.path(old);
            match fs::remove_file(&path) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => {
                    return Err(ProfileError::io("remove", &path)(e));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Begins of the slots that are there, in order.
    ///
    /// # Errors
    /// If the directory cannot be read.
    pub fn slots(&self) -> Result<Vec<u64>, ProfileError> {
        let entries = match fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(ProfileError::io("read", &self.dir)(e)),
        };
        let slot = |e: fs::DirEntry| {
            let name = e.file_name();
            name.to_str()?.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?.parse::<u64>().ok()
        };
        let mut slots: Vec<u64> = entries.flatten().filter_map(slot).collect();
        slots.sort_unstable();
        Ok(slots)
    }

    /// What a slot was counted from; `None` if it was not, or is damaged.
    pub fn inputs(&self, slot: u64) -> Option<u64> {
        let octets = self.octets(slot).ok()?;
        let head = body(&octets)?.get(16..HEAD)?;
        head.first_chunk::<8>().map(|n| u64::from_le_bytes(*n))
    }

    fn octets(&self, slot: u64) -> io::Result<Vec<u8>> {
        let mut octets = Vec::new();
        File::open(self.path(slot))?.take(MAX_LEN).read_to_end(&mut octets)?;
        Ok(octets)
    }

    /// Adds up the slots that begin from `from` up to, not including, `until`.
    ///
    /// # Errors
    /// If the directory or a file cannot be read.
    pub fn read(
        &self,
        from: u64,
        until: u64,
        table: &mut PortTable,
    ) -> Result<PortsRead, ProfileError> {
        let mut read = PortsRead::default();
        for slot in self.slots()?.into_iter().filter(|s| (from..until).contains(s)) {
            let path = self.path(slot);
            let octets = match self.octets(slot) {
                Ok(octets) => octets,
                // Gone since it was listed: too old.
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                Err(e) => return Err(ProfileError::io("read", &path)(e)),
            };
            let is_of_slot = octets.get(8..16) == Some(&slot.to_le_bytes()[..]);
            match table.add_encoded(&octets).filter(|()| is_of_slot) {
                Some(()) => read.slots.push(slot),
                None => read.damaged.push(path),
            }
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use record::Flow;

    fn table(seed: u64) -> PortTable {
        let mut table = PortTable::default();
        let mut flow = Flow::new();
        for n in 0..200u64 {
            flow.clear();
            flow.set(Field::Proto, [6, 17, 1][(n % 3) as usize]);
            flow.set(Field::DstPort, (n * seed) % 50 * 1310);
            flow.set(Field::Packets, n);
            flow.set(Field::OutPackets, 1);
            flow.set(Field::Bytes, n << (n % 40));
            table.add(flow.as_row());
        }
        table
    }

    #[test]
    fn ports_are_ordered_by_what_is_asked_for() {
        let mut table = PortTable::default();
        let mut flow = Flow::new();
        for (proto, port, packets, bytes) in [
            (6, 80, 5, 10),
            (6, 80, 5, 10),
            (6, 65_535, 7, 900),
            (17, 53, 1, 1),
            (1, 9, 9, 9),
            (6, 0, 1, 1),
        ] {
            flow.clear();
            flow.set(Field::Proto, proto);
            flow.set(Field::DstPort, port);
            flow.set(Field::Packets, packets);
            flow.set(Field::Bytes, bytes);
            table.add(flow.as_row());
        }
        let ports = |of, by, n| table.top(of, by, n).iter().map(|c| c.port).collect::<Vec<_>>();
        assert_eq!(ports(Transport::Tcp, 0, 10), [80, 0, 65_535]);
        assert_eq!(ports(Transport::Tcp, 1, 2), [80, 65_535]);
        assert_eq!(ports(Transport::Tcp, 2, 1), [65_535]);
        assert_eq!(table.top(Transport::Udp, 0, 9), [PortCount { port: 53, counts: [1, 1, 1] }]);
        assert_eq!(table.top(Transport::Tcp, 0, 1)[0].counts, [2, 10, 20]);
    }

    #[test]
    fn slots_add_up_and_replace_themselves() {
        let dir = tempfile::tempdir().unwrap();
        let store = PortStore::new(dir.path(), 300);
        let mut sum = PortTable::default();
        assert_eq!(store.read(0, u64::MAX, &mut sum).unwrap(), PortsRead::default());
        store.put(&table(3), 600, 1, 0).unwrap();
        store.put(&table(7), 300, 2, 0).unwrap();
        store.put(&table(7), 600, 3, 0).unwrap();
        assert_eq!((store.inputs(600), store.inputs(900)), (Some(3), None));
        assert_eq!(store.read(0, u64::MAX, &mut sum).unwrap().slots, [300, 600]);
        let twice: Vec<_> = table(7).counts.iter().map(|c| c.map(|n| 2 * n)).collect();
        assert!(sum.counts == twice);
        sum.clear();
        assert_eq!(store.read(600, 601, &mut sum).unwrap().slots, [600]);
        assert!(sum.counts == table(7).counts);
        store.put(&table(1), 900, 4, 600).unwrap();
        assert_eq!(store.slots().unwrap(), [600, 900], "old ones go");
    }

    #[test]
    fn a_damaged_table_is_told_at_each_octet() {
        let dir = tempfile::tempdir().unwrap();
        let store = PortStore::new(dir.path(), 300);
        let mut small = PortTable::default();
        small.counts[443] = [1, 2, 1 << 40];
        small.counts[PORTS + 53] = [300, 2, 1];
        store.put(&small, 600, 1, 0).unwrap();
        let whole = fs::read(store.path(600)).unwrap();
        let is_told = || {
            let mut sum = PortTable::default();
            let read = store.read(0, u64::MAX, &mut sum).unwrap();
            assert!(sum.counts.iter().all(|c| *c == [0; 3]), "nothing of it is counted");
            read.damaged.len() == 1 && store.inputs(600).is_none()
        };
        for at in 0..whole.len() {
            let mut octets = whole.clone();
            octets[at] ^= 4;
            fs::write(store.path(600), octets).unwrap();
            assert!(is_told(), "octet {at}");
            fs::write(store.path(600), &whole[..at]).unwrap();
            assert!(is_told(), "cut to {at}");
        }
    }

    #[test]
    fn tables_that_lie_are_no_tables() {
        let sealed = |tail: &[u8]| {
            let mut octets = PortTable::default().encode(0, 300, 0);
            octets.truncate(HEAD);
            octets.extend(tail);
            octets.extend(XxHash3_64::oneshot(&octets).to_le_bytes());
            octets
        };
        for (tail, is_fine) in [
            (&[0, 0][..], true),
            (&[1, 5, 1, 1, 1, 0], true),
            (&[1, 0, 1, 1, 1, 0], true),
            (&[2, 0, 1, 1, 1, 0, 1, 1, 1, 0], false),
            (&[0, 0, 0], false),
            (&[0], false),
            (&[1, 0xff, 0xff, 0x03, 1, 1, 1, 0], true),
            (&[1, 0x80, 0x80, 0x04, 1, 1, 1, 0], false),
            (&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1], false),
        ] {
            let got = PortTable::default().add_encoded(&sealed(tail));
            assert_eq!(got.is_some(), is_fine, "{tail:?}");
        }
    }
}
