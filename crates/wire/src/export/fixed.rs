//! v1 and v5: IPv4 flows in records of one form. What does not fit their 32-bit counters becomes
//! several records.

use super::clock::{Boot, Fit};
use super::element::{self, bit};
use super::stream::put;
use super::{Carries, Context, ExportConfig, SamplingKind, Version};
use crate::{v1, v5};
use record::code::Proto;
use record::{Addr, Field, Row};

/// Records that a row becomes at most.
const SPLIT_MAX: u64 = 4096;

/// A v1 or v5 stream.
#[derive(Debug)]
pub(super) struct Fixed {
    form: Form,
    buf: Vec<u8>,
    /// Records in it.
    count: u32,
    /// Records that fit a datagram.
    max: u32,
    boot: Boot,
    /// Records sent before it.
    sequence: u32,
    /// When its first record was written.
    since: Option<u64>,
}

/// What tells v1 and v5 apart.
#[derive(Clone, Copy, Debug)]
struct Form {
    header_len: usize,
    record_len: usize,
    records_max: usize,
    carried: u128,
}

impl Form {
    const fn of(version: Version) -> Self {
        match version {
            // As flow-tools and nfcapd read it; documents with 52 octets have more padding.
            Version::V1 => Self {
                header_len: v1::HEADER_LEN,
                record_len: v1::RECORD_LEN,
                records_max: 24,
                carried: element::V1,
            },
            _ => Self {
                header_len: v5::HEADER_LEN,
                record_len: v5::RECORD_LEN,
                records_max: 30,
                carried: element::V5,
            },
        }
    }
}

/// What a record has of its row.
#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    addrs: [u32; 3],
    interfaces: [u16; 2],
    packets: u64,
    octets: u64,
    uptimes: (u32, u32),
    ports: [u16; 2],
    flags: u8,
    proto: u8,
    tos: u8,
    as_numbers: [u16; 2],
    masks: [u8; 2],
}

impl Fixed {
    pub(super) fn new(config: &ExportConfig) -> Self {
        let form = Form::of(config.version);
        let room = config.mtu_in_effect().saturating_sub(form.header_len) / form.record_len;
        let max = room.min(form.records_max).max(1);
        Self {
            form,
            buf: vec![0; form.header_len],
            count: 0,
            max: max as u32,
            boot: Boot::new(config.boot_ms),
            sequence: 0,
            since: None,
        }
    }

    pub(super) fn flow(
        &mut self,
        row: Row<'_>,
        times_ns: Option<(u64, u64)>,
        cx: &mut Context<'_>,
    ) {
        self.send_if_waiting(cx);
        if row.has(Field::NatEvent) || row.has(Field::FwEvent) {
            cx.counts.rows_events += 1;
            return;
        }
        let Some(mut entry) = self.entry(row, cx) else { return };
        let most = entry.packets.max(entry.octets);
        let parts = most.div_ceil(u32::MAX.into()).max(1);
        if parts > SPLIT_MAX {
            cx.counts.rows_uncountable += 1;
            return;
        }
        let Some(uptimes) = self.uptimes(row, times_ns, cx) else { return };
        entry.uptimes = uptimes;
        self.count_left_out(row, cx);
        let (packets, octets) = (entry.packets, entry.octets);
        // Shares that differ by 1 at most, and whose sum is the whole.
        let share = |n: u64, i: u64| n / parts + u64::from(i < n % parts);
        for i in 0..parts {
            (entry.packets, entry.octets) = (share(packets, i), share(octets, i));
            self.write(&entry, cx);
        }
        cx.counts.records += parts;
        cx.counts.records_split += parts - 1;
        if cx.config.max_delay_ms == 0 {
            self.send(cx);
        }
    }

    /// What there is to write; `None` for IPv6.
    fn entry(&self, row: Row<'_>, cx: &mut Context<'_>) -> Option<Entry> {
        let addr = |field| match row.addr(field) {
            Some(Addr::V6(_)) => None,
            Some(Addr::V4(n)) => Some(n),
            None => Some(0),
        };
        let (Some(src), Some(dst)) = (addr(Field::SrcAddr), addr(Field::DstAddr)) else {
            cx.counts.rows_ipv6 += 1;
            return None;
        };
        let proto = row.number(Field::Proto) as u8;
        let mut ports = [row.number(Field::SrcPort) as u16, row.number(Field::DstPort) as u16];
        if Proto(proto).is_icmp() {
            // Receivers take a source port of ICMP for type and code.
            ports[0] = 0;
        }
        let small = |field, unknown, count: &mut u64| {
            u16::try_from(row.number(field)).unwrap_or_else(|_| {
                *count += 1;
                unknown
            })
        };
        let wide = &mut cx.counts.wide_interfaces;
        let interfaces = [small(Field::Input, 0, wide), small(Field::Output, 0, wide)];
        let mut as_numbers = [0; 2];
        if self.form.carried & bit(Field::SrcAs) != 0 {
            const AS_TRANS: u16 = 23_456;
            let wide = &mut cx.counts.wide_as_numbers;
            as_numbers = [small(Field::SrcAs, AS_TRANS, wide), small(Field::DstAs, AS_TRANS, wide)];
        }
        Some(Entry {
            addrs: [src, dst, addr(Field::NextHop).unwrap_or(0)],
            interfaces,
            packets: row.number(Field::Packets),
            octets: row.number(Field::Bytes),
            ports,
            flags: row.number(Field::TcpFlags) as u8,
            proto,
            tos: row.number(Field::SrcTos) as u8,
            as_numbers,
            masks: [row.number(Field::SrcMask) as u8, row.number(Field::DstMask) as u8],
            ..Entry::default()
        })
    }

    /// Start and end as uptimes; `None` if there is no clock for them. A row without any is of now.
    fn uptimes(
        &mut self,
        row: Row<'_>,
        times_ns: Option<(u64, u64)>,
        cx: &mut Context<'_>,
    ) -> Option<(u32, u32)> {
        let (first, last) = match (times_ns, row.u64(Field::First), row.u64(Field::Last)) {
            (Some((first, last)), ..) => (first / 1_000_000, last / 1_000_000),
            (None, None, None) => (cx.now, cx.now),
            (None, first, last) => {
                let (first, last) = (first.or(last).unwrap_or(0), last.or(first).unwrap_or(0));
                (if first == 0 { last } else { first }, if last == 0 { first } else { last })
            }
        };
        match self.boot.fit(cx.now, first, last) {
            Fit::Same => {}
            Fit::Moved(boot) => {
                self.send(cx);
                self.boot.move_to(boot);
            }
            Fit::Never => {
                cx.counts.rows_undated += 1;
                return None;
            }
        }
        Some((self.boot.uptime(first), self.boot.uptime(last)))
    }

    fn count_left_out(&self, row: Row<'_>, cx: &mut Context<'_>) {
        const REVERSE: u128 = element::bits(&[Field::OutBytes, Field::OutPackets]);
        let present = row.shape().present();
        if present & REVERSE != 0 {
            let octets = row.number(Field::OutBytes) | row.number(Field::OutPackets);
            cx.counts.reverse_left_out += u64::from(octets != 0);
        }
        let left = present & !self.form.carried & !element::OF_RECORD & !REVERSE;
        // A record is one flow and IPv4, if nobody says else.
        let is_unsaid = |field, most| left & bit(field) != 0 && row.number(field) <= most;
        let unsaid =
            u32::from(is_unsaid(Field::Flows, 1)) + u32::from(is_unsaid(Field::IpVersion, 4));
        let next_hop6 = matches!(row.addr(Field::NextHop), Some(Addr::V6(_)));
        cx.counts.fields_left_out += u64::from(left.count_ones() - unsaid) + u64::from(next_hop6);
    }

    fn write(&mut self, entry: &Entry, cx: &mut Context<'_>) {
        let before = self.buf.len();
        let pair = |[high, low]: [u16; 2]| u32::from(high) << 16 | u32::from(low);
        let short = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        let (packets, octets) = (short(entry.packets), short(entry.octets));
        let (flags, proto) = (u32::from(entry.flags), u32::from(entry.proto));
        let tos = u32::from(entry.tos);
        let rest = match cx.config.version {
            Version::V1 => [proto << 8 | tos, flags << 24, 0],
            _ => [
                flags << 16 | proto << 8 | tos,
                pair(entry.as_numbers),
                pair([u16::from_be_bytes(entry.masks), 0]),
            ],
        };
        let [src, dst, next_hop] = entry.addrs;
        let (first, last) = entry.uptimes;
        let (interfaces, ports) = (pair(entry.interfaces), pair(entry.ports));
        let flow = [src, dst, next_hop, interfaces, packets, octets, first, last, ports];
        let mut record = [0; 48];
        let (head, tail) = record.split_at_mut(36);
        put(head, &flow);
        put(tail, &rest);
        self.buf.extend_from_slice(&record);
        self.buf.resize(before + self.form.record_len, 0);
        self.count += 1;
        self.since.get_or_insert(cx.now);
        if self.count >= self.max {
            self.send(cx);
        }
    }

    fn send_if_waiting(&mut self, cx: &mut Context<'_>) {
        if self.since.is_some_and(|t| cx.now.abs_diff(t) >= cx.config.max_delay_ms) {
            self.send(cx);
        }
    }

    /// Sends what there is.
    pub(super) fn send(&mut self, cx: &mut Context<'_>) {
        if self.count == 0 {
            return;
        }
        let boot = self.boot.ms().unwrap_or(0);
        let export_ms = cx.now.min(boot.saturating_add(u32::MAX.into()));
        let secs = (export_ms / 1000) as u32;
        let nanos = (export_ms % 1000 * 1_000_000) as u32;
        let uptime = self.boot.uptime(export_ms);
        let engine = cx.config.domain << 16;
        let header = match cx.config.version {
            Version::V1 => &[1 << 16 | self.count, uptime, secs, nanos][..],
            _ => {
                let sampling = u32::from(sampling(cx.config));
                &[5 << 16 | self.count, uptime, secs, nanos, self.sequence, engine | sampling]
            }
        };
        put(&mut self.buf, header);
        cx.counts.datagrams += 1;
        cx.counts.octets += self.buf.len() as u64;
        cx.out.datagram(&self.buf, Carries { records: self.count, ..Carries::default() });
        self.buf.truncate(self.form.header_len);
        self.sequence = self.sequence.wrapping_add(self.count);
        self.count = 0;
        self.since = None;
    }

    pub(super) fn next_due(&self, config: &ExportConfig) -> Option<u64> {
        self.since.map(|t| t.saturating_add(config.max_delay_ms))
    }

    pub(super) fn tick(&mut self, cx: &mut Context<'_>) {
        self.send_if_waiting(cx);
    }
}

/// The sampling field of v5: mode (1 deterministic, 2 random) in two bits, interval in 14.
fn sampling(config: &ExportConfig) -> u16 {
    let Some(sampling) = config.sampling.filter(|s| s.one_of > 1) else { return 0 };
    let mode = match sampling.kind {
        SamplingKind::Systematic => 1,
        SamplingKind::Random => 2,
    };
    mode << 14 | sampling.one_of.min(ExportConfig::V5_SAMPLING_MAX) as u16
}
