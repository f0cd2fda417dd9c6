//! Sums of each slot and channel, kept in records of 128 octets.
//!
//! A channel has a file a month (of UTC) and length of slots, `CHANNEL-YYYYMM-SECS.counters.no-pcap`.
//! A slot has its place in it: record number (slot - begin of the month) / length. So a slot that is
//! counted again replaces what was there, and to find one is one read. Places of slots that were not
//! counted are holes: octets of 0, which take no room on disk.
//!
//! | Octets | |
//! |---|---|
//! | 0..4 | `FPC1` |
//! | 4..8 | length of the slot in seconds |
//! | 8..16 | its begin, seconds since 1970 |
//! | 16..24 | fingerprint of what it was counted from |
//! | 24..56 | flows of TCP, UDP, ICMP (1 and 58), others |
//! | 56..88 | packets, likewise |
//! | 88..120 | octets, likewise |
//! | 120..128 | XXH3-64 of octets 0..120 |
//!
//! All numbers are little-endian. A record lies within one sector and one page, so that it is
//! written whole or not at all; one that is damaged nevertheless is told and passed over.

use crate::error::ProfileError;
use chrono::{DateTime, Datelike as _, NaiveDate};
use record::Totals;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use twox_hash::XxHash3_64;

const MAGIC: [u8; 4] = *b"FPC1";
const LEN: usize = 128;
const SUM_AT: usize = 120;
/// Records that are read at once.
const CHUNK: usize = 512;
/// What names of counter files end with. nfdump leaves names with `pcap` in them alone.
const SUFFIX: &str = ".counters.no-pcap";

/// Flows, packets and octets by protocol: TCP, UDP, ICMP, others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Flows.
    pub flows: [u64; 4],
    /// Packets, both directions.
    pub packets: [u64; 4],
    /// Octets, both directions.
    pub bytes: [u64; 4],
}

/// Sums over all protocols, or of one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Flows.
    pub flows: u64,
    /// Packets.
    pub packets: u64,
    /// Octets.
    pub bytes: u64,
}

impl Counters {
    /// Names of the protocols, in their order.
    pub const PROTOCOLS: [&'static str; 4] = ["tcp", "udp", "icmp", "other"];

    /// Over all protocols.
    pub fn all(&self) -> Counts {
        let sum = |n: &[u64; 4]| n.iter().fold(0u64, |a, b| a.saturating_add(*b));
        Counts { flows: sum(&self.flows), packets: sum(&self.packets), bytes: sum(&self.bytes) }
    }

    /// Of each protocol.
    pub fn each(&self) -> [Counts; 4] {
        let mut each = [Counts::default(); 4];
        let numbers = self.flows.iter().zip(&self.packets).zip(&self.bytes);
        for (one, ((flows, packets), bytes)) in each.iter_mut().zip(numbers) {
            *one = Counts { flows: *flows, packets: *packets, bytes: *bytes };
        }
        each
    }

    /// Adds others.
    pub fn add(&mut self, other: &Self) {
        for (mine, theirs) in [
            (&mut self.flows, &other.flows),
            (&mut self.packets, &other.packets),
            (&mut self.bytes, &other.bytes),
        ] {
            mine.iter_mut().zip(theirs).for_each(|(a, b)| *a = a.saturating_add(*b));
        }
    }
}

impl From<&Totals> for Counters {
    fn from(t: &Totals) -> Self {
        Self { flows: t.flows, packets: t.packets, bytes: t.bytes }
    }
}

/// The sums of one slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotCounters {
    /// Its begin, seconds since 1970.
    pub start: u64,
    /// Its length in seconds.
    pub interval: u32,
    /// What it was counted from: files and filter. A slot with the same need not be counted again.
    pub inputs: u64,
    /// The sums.
    pub counters: Counters,
}

impl SlotCounters {
    fn encode(&self) -> [u8; LEN] {
        let Counters { flows, packets, bytes } = &self.counters;
        let mut out = Vec::with_capacity(LEN);
        out.extend(MAGIC);
        out.extend(self.interval.to_le_bytes());
        let numbers = [self.start, self.inputs];
        let numbers = numbers.iter().chain(flows).chain(packets).chain(bytes);
        numbers.for_each(|n| out.extend(n.to_le_bytes()));
        out.extend(XxHash3_64::oneshot(&out).to_le_bytes());
        let mut record = [0; LEN];
        record.iter_mut().zip(out).for_each(|(to, from)| *to = from);
        record
    }

    /// The record, if it is sound.
    fn decode(record: &[u8]) -> Option<Self> {
        let (body, sum) = record.split_at_checked(SUM_AT)?;
        if sum != XxHash3_64::oneshot(body).to_le_bytes() {
            return None;
        }
        let rest = body.strip_prefix(&MAGIC)?;
        let (interval, rest) = rest.split_first_chunk::<4>()?;
        let mut numbers = rest.as_chunks::<8>().0.iter().map(|n| u64::from_le_bytes(*n));
        let (start, inputs) = (numbers.next()?, numbers.next()?);
        let mut counters = Counters::default();
        for of in [&mut counters.flows, &mut counters.packets, &mut counters.bytes] {
            for one in of {
                *one = numbers.next()?;
            }
        }
        Some(Self { start, interval: u32::from_le_bytes(*interval), inputs, counters })
    }
}

/// A place in a counter file that is damaged. Counting the slot again replaces it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damaged {
    /// The file.
    pub path: PathBuf,
    /// Begin of the slot whose place it is, seconds since 1970.
    pub slot: u64,
}

/// The counter files of a profile.
#[derive(Clone, Debug)]
pub struct CounterStore {
    dir: PathBuf,
    interval: u32,
}

impl CounterStore {
    /// Those in a directory, of slots of this length (0 counts as 1).
    pub fn new(dir: PathBuf, interval: u32) -> Self {
        Self { dir, interval: interval.max(1) }
    }

    /// File and offset of a slot.
    fn place(&self, channel: &str, slot: u64) -> Option<(PathBuf, u64)> {
        let month = Month::of(slot)?;
        let number = (slot - month.start) / u64::from(self.interval);
        Some((self.path(channel, &month), number * LEN as u64))
    }

    fn path(&self, channel: &str, month: &Month) -> PathBuf {
        self.dir.join(format!("{channel}-{}-{}{SUFFIX}", month.name, self.interval))
    }

    /// Writes the sums of a slot over what was there. They are on disk when this returns.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn put(&self, channel: &str, sums: &SlotCounters) -> Result<(), ProfileError> {
        fs::create_dir_all(&self.dir).map_err(ProfileError::io("create", &self.dir))?;
        let (path, offset) = self.place(channel, sums.start).ok_or_else(|| {
            let why = format!("{} lies beyond the calendar", sums.start);
            ProfileError::NoSlot { path: self.dir.clone(), why }
        })?;
        let file = File::options().write(true).create(true).truncate(false).open(&path);
        let write = |file: File| {
            file.write_all_at(&sums.encode(), offset)?;
            file.sync_data()
        };
        file.and_then(write).map_err(ProfileError::io("write", &path))
    }

    /// The sums of a slot; `None` if it was not counted, or its record is damaged.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn get(&self, channel: &str, slot: u64) -> Result<Option<SlotCounters>, ProfileError> {
        let mut found = None;
        self.read(channel, slot, slot + 1, |sums| found = Some(sums))?;
        Ok(found)
    }

    /// Gives the sums of all slots that begin from `from` up to, not including, `until`, in order.
    /// Returns the places that are damaged.
    ///
    /// # Errors
    /// If a file that is there cannot be read.
    pub fn read(
        &self,
        channel: &str,
        from: u64,
        until: u64,
        mut each: impl FnMut(SlotCounters),
    ) -> Result<Vec<Damaged>, ProfileError> {
        let mut damaged = Vec::new();
        for month in self.months(channel)? {
            if month.end <= from || month.start >= until {
                continue;
            }
            let path = self.path(channel, &month);
            let mut on_record = |number: u64, record: &[u8]| {
                let slot = month.start + number * u64::from(self.interval);
                let is_wanted = (from..until.min(month.end)).contains(&slot);
                if !is_wanted || record.iter().all(|b| *b == 0) {
                    return;
                }
                match SlotCounters::decode(record) {
                    Some(sums) if sums.start == slot && sums.interval == self.interval => {
                        each(sums);
                    }
                    _ => damaged.push(Damaged { path: path.clone(), slot }),
                }
            };
            let skipped = from.saturating_sub(month.start) / u64::from(self.interval);
            let wanted = until.min(month.end).saturating_sub(month.start);
            let end = wanted.div_ceil(u64::from(self.interval));
            records(&path, skipped, end, &mut on_record)
                .map_err(ProfileError::io("read", &path))?;
        }
        Ok(damaged)
    }

    /// Begin of the first and of the last slot that is there, seconds since 1970.
    ///
    /// # Errors
    /// If files cannot be read.
    pub fn window(&self, channel: &str) -> Result<Option<(u64, u64)>, ProfileError> {
        let months = self.months(channel)?;
        let (Some(first), Some(last)) = (months.first(), months.last()) else { return Ok(None) };
        let (mut from, mut until) = (None, None);
        self.read(channel, first.start, first.end, |s| _ = from.get_or_insert(s.start))?;
        self.read(channel, last.start, last.end, |s| until = Some(s.start))?;
        Ok(from.or(until).zip(until.or(from)))
    }

    /// Months of which there is a file, in order.
    fn months(&self, channel: &str) -> Result<Vec<Month>, ProfileError> {
        let entries = match fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(ProfileError::io("read", &self.dir)(e)),
        };
        let suffix = format!("-{}{SUFFIX}", self.interval);
        let month = |name: &str| {
            let digits = name.strip_suffix(&suffix)?.strip_prefix(channel)?.strip_prefix('-')?;
            Month::named(digits)
        };
        let names = entries.flatten().filter_map(|e| month(e.file_name().to_str()?));
        let mut months: Vec<Month> = names.collect();
        months.sort_by_key(|m| m.start);
        Ok(months)
    }
}

/// Gives records `from..until` of a file. Octets at the end that are no record are one that is cut.
fn records(path: &Path, from: u64, until: u64, each: &mut dyn FnMut(u64, &[u8])) -> io::Result<()> {
    let file = File::open(path)?;
    let len = file.metadata()?.len().min(until.saturating_mul(LEN as u64));
    let mut buffer = vec![0; CHUNK * LEN];
    let mut number = from;
    while number * (LEN as u64) < len {
        let left = len - number * LEN as u64;
        let size = left.min((CHUNK * LEN) as u64) as usize;
        let Some(chunk) = buffer.get_mut(..size) else { break };
        file.read_exact_at(chunk, number * LEN as u64)?;
        for record in chunk.chunks(LEN) {
            each(number, record);
            number += 1;
        }
    }
    Ok(())
}

/// A month of UTC.
#[derive(Debug, PartialEq, Eq)]
struct Month {
    /// `YYYYMM`.
    name: String,
    /// Its first second since 1970, and the first one behind it.
    start: u64,
    end: u64,
}

impl Month {
    fn of(secs: u64) -> Option<Self> {
        let day = DateTime::from_timestamp(i64::try_from(secs).ok()?, 0)?;
        Self::new(day.year(), day.month())
    }

    fn named(digits: &str) -> Option<Self> {
        let is_month = digits.len() == 6 && digits.bytes().all(|b| b.is_ascii_digit());
        let (year, month) = digits.split_at_checked(4).filter(|_| is_month)?;
        Self::new(year.parse().ok()?, month.parse().ok()?)
    }

    fn new(year: i32, month: u32) -> Option<Self> {
        if !(1970..=9999).contains(&year) {
            return None;
        }
        let start_of = |year, month| {
            let day = NaiveDate::from_ymd_opt(year, month, 1)?;
            u64::try_from(day.and_time(chrono::NaiveTime::MIN).and_utc().timestamp()).ok()
        };
        let next = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
        Some(Self {
            name: format!("{year:04}{month:02}"),
            start: start_of(year, month)?,
            end: start_of(next.0, next.1)?,
        })
    }
}

/// Sums of several slots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bin {
    /// Its begin, seconds since 1970.
    pub start: u64,
    /// Slots in it that were counted.
    pub slots: u64,
    /// The sums.
    pub counters: Counters,
}

/// Adds a slot to the last bin, or to a new one: `bin` is the begin of the slot's. Slots come in
/// order.
pub fn roll_up(bins: &mut Vec<Bin>, bin: u64, slot: &SlotCounters) {
    match bins.last_mut() {
        Some(last) if last.start == bin => {
            last.slots += 1;
            last.counters.add(&slot.counters);
        }
        _ => bins.push(Bin { start: bin, slots: 1, counters: slot.counters }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-30 23:50 UTC: the month ends behind the second slot.
    const START: u64 = 1_796_082_600;

    fn slot(n: u64) -> SlotCounters {
        let flows = [n, 10 + n, 100 + n, 1000 + n];
        let counters =
            Counters { flows, packets: flows.map(|f| 3 * f), bytes: flows.map(|f| u64::MAX - f) };
        SlotCounters { start: START + 300 * n, interval: 300, inputs: 77 + n, counters }
    }

    fn all(store: &CounterStore) -> (Vec<SlotCounters>, Vec<u64>) {
        let mut found = Vec::new();
        let damaged = store.read("web", 0, u64::MAX, |s| found.push(s)).unwrap();
        (found, damaged.into_iter().map(|d| d.slot).collect())
    }

    #[test]
    fn slots_are_read_as_they_were_written_over_months() {
        let dir = tempfile::tempdir().unwrap();
        let store = CounterStore::new(dir.path().join("x"), 300);
        assert_eq!(all(&store), (vec![], vec![]));
        assert_eq!(store.window("web").unwrap(), None);
        for n in [3, 0, 1, 5] {
            store.put("web", &slot(n)).unwrap();
        }
        // Others are in other files.
        store.put("web-2", &slot(2)).unwrap();
        CounterStore::new(dir.path().join("x"), 60)
            .put("web", &SlotCounters { interval: 60, ..slot(4) })
            .unwrap();
        assert_eq!(all(&store).0, [0, 1, 3, 5].map(slot));
        assert_eq!(store.window("web").unwrap(), Some((slot(0).start, slot(5).start)));
        let mut some = Vec::new();
        store.read("web", slot(1).start, slot(5).start, |s| some.push(s.start)).unwrap();
        assert_eq!(some, [slot(1).start, slot(3).start]);
        assert_eq!(store.get("web", slot(3).start).unwrap(), Some(slot(3)));
        assert_eq!(store.get("web", slot(4).start).unwrap(), None);
        // Once more replaces.
        let other = SlotCounters { counters: Counters::default(), ..slot(3) };
        store.put("web", &other).unwrap();
        assert_eq!(all(&store).0, [slot(0), slot(1), other, slot(5)]);
        let name = dir.path().join("x/web-202611-300.counters.no-pcap");
        assert_eq!(name.metadata().unwrap().len() % LEN as u64, 0);
    }

    #[test]
    fn damage_costs_its_slot_at_each_octet() {
        let dir = tempfile::tempdir().unwrap();
        let store = CounterStore::new(dir.path().into(), 300);
        for n in 2..5 {
            store.put("web", &slot(n)).unwrap();
        }
        let path = store.place("web", slot(2).start).unwrap().0;
        let whole = fs::read(&path).unwrap();
        assert_eq!(whole.len(), 3 * LEN, "the month begins with slot 2");
        for at in 0..whole.len() {
            for bit in [0x01, 0x80] {
                let mut octets = whole.clone();
                octets[at] ^= bit;
                fs::write(&path, octets).unwrap();
                let n = 2 + (at / LEN) as u64;
                let rest: Vec<_> = (2..5).filter(|i| *i != n).map(slot).collect();
                assert_eq!(all(&store), (rest, vec![slot(n).start]), "octet {at}");
            }
        }
        for len in 0..whole.len() {
            fs::write(&path, &whole[..len]).unwrap();
            let left = (len / LEN) as u64;
            let cut = (len % LEN > 0).then(|| slot(2 + left).start);
            let got = all(&store);
            assert_eq!(got.0, (2..2 + left).map(slot).collect::<Vec<_>>(), "cut to {len}");
            assert_eq!(got.1, cut.into_iter().collect::<Vec<_>>(), "cut to {len}");
        }
        // A record in the place of another is none of either.
        fs::write(&path, [&whole[LEN..], &whole[..LEN]].concat()).unwrap();
        assert_eq!(all(&store).1.len(), 3);
        // Counting again repairs.
        for n in 2..5 {
            store.put("web", &slot(n)).unwrap();
        }
        assert_eq!(fs::read(&path).unwrap(), whole);
    }

    #[test]
    fn bins_add_up() {
        let mut bins = Vec::new();
        for n in 0..6 {
            let s = slot(n);
            roll_up(&mut bins, s.start - s.start % 1200, &s);
        }
        assert_eq!(bins.iter().map(|b| b.slots).collect::<Vec<_>>(), [2, 4]);
        assert_eq!(bins[1].counters.flows[0], 2 + 3 + 4 + 5);
        assert_eq!(bins[1].counters.bytes[3], u64::MAX, "sums do not wrap");
        assert_eq!(slot(1).counters.all().packets, 3 * (1 + 11 + 101 + 1001));
        assert_eq!(slot(1).counters.each()[2].flows, 101);
    }

    #[test]
    fn months_end() {
        let month = |secs| Month::of(secs).unwrap();
        assert_eq!(month(START).name, "202611");
        assert_eq!(month(START).end, START + 600);
        assert_eq!(month(START + 600).name, "202612");
        assert_eq!(month(START + 600).end - month(START + 600).start, 31 * 86_400);
        for name in ["202600", "202613", "2026", "x02611", "000101", ""] {
            assert_eq!(Month::named(name), None, "{name}");
        }
    }
}
