//! One flow as flow-tools keeps it.

use crate::column::{Column, Columns};
use ::record::code::Proto;
use ::record::time::from_uptime;
use ::record::{Addr, Field, Flow, Row};
use std::io::Write as _;

/// The values of a record, by column. What a version of records has no room for is 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    numbers: [u64; Column::COUNT],
    addrs: [Addr; ADDRS],
}

const ADDRS: usize = 6;
const NONE: Addr = Addr::V4(0);

impl Default for Record {
    fn default() -> Self {
        Self { numbers: [0; Column::COUNT], addrs: [NONE; ADDRS] }
    }
}

/// Numbers that go into a flow as they are.
const SAME: [(Column, Field); 16] = [
    (Column::DPkts, Field::Packets),
    (Column::DOctets, Field::Bytes),
    (Column::SrcPort, Field::SrcPort),
    (Column::DstPort, Field::DstPort),
    (Column::Prot, Field::Proto),
    (Column::TcpFlags, Field::TcpFlags),
    (Column::Tos, Field::SrcTos),
    (Column::Input, Field::Input),
    (Column::Output, Field::Output),
    (Column::SrcMask, Field::SrcMask),
    (Column::DstMask, Field::DstMask),
    (Column::EngineType, Field::EngineType),
    (Column::EngineId, Field::EngineId),
    (Column::SrcAs, Field::SrcAs),
    (Column::DstAs, Field::DstAs),
    (Column::DFlows, Field::Flows),
];

impl Record {
    /// Makes every value 0.
    #[inline]
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// A number, 0 for columns that are addresses.
    #[inline]
    pub fn number(&self, column: Column) -> u64 {
        self.numbers.get(column as usize).copied().unwrap_or(0)
    }

    /// An address, 0.0.0.0 for columns that are numbers.
    #[inline]
    pub fn addr(&self, column: Column) -> Addr {
        column.addr_slot().and_then(|slot| self.addrs.get(slot)).copied().unwrap_or(NONE)
    }

    /// Sets a number, or an IPv4 address given as one.
    #[inline]
    pub fn set(&mut self, column: Column, value: u64) {
        if column.is_addr() {
            self.set_addr(column, Addr::V4(value as u32));
        } else if let Some(number) = self.numbers.get_mut(column as usize) {
            *number = value;
        }
    }

    /// Sets an address.
    #[inline]
    pub fn set_addr(&mut self, column: Column, addr: Addr) {
        if let Some(place) = column.addr_slot().and_then(|slot| self.addrs.get_mut(slot)) {
            *place = addr;
        }
    }

    /// When the datagram with the record was sent, milliseconds since 1970.
    pub fn export_ms(&self) -> u64 {
        let nsecs = self.number(Column::UnixNsecs).min(999_999_999);
        self.number(Column::UnixSecs).min(MOST_SECS) * 1000 + nsecs / 1_000_000
    }

    /// Start and end, milliseconds since 1970. The clock of the exporter wraps every 49.7 days, and
    /// so does the arithmetic: flow-tools itself shows flows that began before a wrap, or before
    /// the router booted, 49.7 days in the future.
    pub fn times_ms(&self) -> (u64, u64) {
        let (export, uptime) = (self.export_ms(), self.number(Column::SysUptime) as u32);
        let at = |column| from_uptime(export, uptime, self.number(column) as u32);
        (at(Column::First), at(Column::Last))
    }

    /// Fills a flow, replacing what was there: as a collector would have, had it got the datagram
    /// at the time it was sent. Who exports it is left to the caller. Returns how many values had no
    /// place: of records of version 6 and 7, or too large for any.
    ///
    /// Tags become a label, `tag 0x1/0x2`, if one of them is not 0.
    pub fn to_flow(&self, flow: &mut Flow) -> u32 {
        flow.clear();
        let (first, last) = self.times_ms();
        let mut lost = 0;
        for (field, value) in
            [(Field::First, first), (Field::Last, last), (Field::Received, self.export_ms())]
        {
            flow.set(field, value);
        }
        let has_systems = self.number(Column::SrcAs) | self.number(Column::DstAs) != 0;
        for (column, field) in SAME {
            let value = self.number(column);
            let is_wanted = match field {
                Field::SrcAs | Field::DstAs => has_systems,
                Field::Flows => value > 1,
                _ => true,
            };
            lost += u32::from(is_wanted && !flow.set(field, value));
        }
        for (column, field) in
            [(Column::SrcAddr, Field::SrcAddr), (Column::DstAddr, Field::DstAddr)]
        {
            flow.set_addr(field, self.addr(column));
        }
        for (column, field) in [
            (Column::NextHop, Field::NextHop),
            (Column::PeerNextHop, Field::BgpNextHop),
            (Column::ExAddr, Field::Router),
        ] {
            if !self.addr(column).is_unspecified() {
                flow.set_addr(field, self.addr(column));
            }
        }
        settle_icmp(flow);
        self.label(flow);
        flow.set(Field::RecordFlags, 0);
        for column in [Column::InEncaps, Column::OutEncaps, Column::ExtraPkts, Column::MarkedTos] {
            lost += u32::from(self.number(column) != 0);
        }
        lost + u32::from(!self.addr(Column::RouterSc).is_unspecified())
    }

    fn label(&self, flow: &mut Flow) {
        let (src, dst) = (self.number(Column::SrcTag), self.number(Column::DstTag));
        if src | dst != 0 {
            let mut text = [0; 48];
            let mut rest = &mut text[..];
            if write!(rest, "tag {src:#x}/{dst:#x}").is_ok() {
                let left = rest.len();
                flow.set_bytes(Field::Label, text.get(..text.len() - left).unwrap_or_default());
            }
        }
    }

    /// A record with what a row says in the fields that are `shown`
    /// (`Shape::present`); those that are not count as 0.
    ///
    /// Rows have no clock of an exporter. The record gets one that began with its first packet:
    /// `first` is 0, `last` how long the flow lasted, `sysuptime` how old it was when it was
    /// received. So its times come out right by any arithmetic.
    pub fn from_row(row: Row<'_>, shown: u128) -> Self {
        let is_shown = |field: Field| shown >> field as u32 & 1 == 1;
        let number = |field| if is_shown(field) { row.number(field) } else { 0 };
        let mut record = Self::default();
        for (column, field) in SAME {
            record.set(column, number(field));
        }
        record.set(Column::DFlows, number(Field::Flows).max(1));
        for (column, field) in [
            (Column::SrcAddr, Field::SrcAddr),
            (Column::DstAddr, Field::DstAddr),
            (Column::NextHop, Field::NextHop),
            (Column::PeerNextHop, Field::BgpNextHop),
            (Column::ExAddr, Field::Router),
        ] {
            let addr = row.addr(field).filter(|_| is_shown(field));
            record.set_addr(column, addr.unwrap_or(NONE));
        }
        let (first, last) = (row.number(Field::First), row.number(Field::Last));
        let last = last.max(first);
        let received = row.number(Field::Received).max(last);
        record.set(Column::UnixSecs, received / 1000);
        record.set(Column::UnixNsecs, received % 1000 * 1_000_000);
        record.set(Column::SysUptime, u64::from((received - first) as u32));
        record.set(Column::Last, u64::from((last - first) as u32));
        if let Some((src, dst)) =
            row.text(Field::Label).and_then(tags).filter(|_| is_shown(Field::Label))
        {
            record.set(Column::SrcTag, src);
            record.set(Column::DstTag, dst);
        }
        record
    }

    /// Appends a line of CSV: the values of `columns` in order, and a line end. Addresses are dotted
    /// (IPv6 ones, which flow-tools does not know, as usual), tags hexadecimal.
    pub fn push_csv(&self, columns: Columns, out: &mut Vec<u8>) {
        for (i, column) in columns.iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            // Writing into memory does not fail.
            let _ = match column {
                _ if column.is_addr() => write!(out, "{}", self.addr(column)),
                _ if column.is_hex() => write!(out, "{:#x}", self.number(column)),
                _ => push_number(out, self.number(column)),
            };
        }
        out.push(b'\n');
    }

    /// Appends a line of `flowdumper -s`: `date time` of the start as `push_time` writes it, then
    /// `SRC.SPORT -> DST.DPORT PROTO(FLAGS) PACKETS OCTETS`, and a line end.
    pub fn push_dumper(
        row: Row<'_>,
        shown: u128,
        push_time: impl FnOnce(&mut Vec<u8>, u64),
        out: &mut Vec<u8>,
    ) {
        let record = Self::from_row(row, shown);
        push_time(out, row.number(Field::First));
        let (src, dst) = (record.addr(Column::SrcAddr), record.addr(Column::DstAddr));
        let (sport, dport) = (record.number(Column::SrcPort), record.number(Column::DstPort));
        let proto = record.number(Column::Prot);
        let _ = write!(out, " {src}.{sport} -> {dst}.{dport} {proto}");
        if proto == u64::from(Proto::TCP.0) {
            push_flags(out, record.number(Column::TcpFlags) as u8);
        }
        let (packets, octets) = (record.number(Column::DPkts), record.number(Column::DOctets));
        let _ = writeln!(out, " {packets} {octets}");
    }
}

/// Seconds that leave room for milliseconds.
const MOST_SECS: u64 = u64::MAX / 2000;

fn push_number(out: &mut Vec<u8>, number: u64) -> std::io::Result<()> {
    let (mut digits, mut at, mut rest) = ([b'0'; 20], 19, number);
    while rest > 9 {
        if let Some(digit) = digits.get_mut(at) {
            *digit = b'0' + (rest % 10) as u8;
        }
        (at, rest) = (at - 1, rest / 10);
    }
    if let Some(digit) = digits.get_mut(at) {
        *digit = b'0' + rest as u8;
    }
    out.extend_from_slice(digits.get(at..).unwrap_or_default());
    Ok(())
}

/// Names of flags in rising order, with bars between them, in parentheses.
fn push_flags(out: &mut Vec<u8>, flags: u8) {
    const NAMES: [&str; 8] = ["FIN", "SYN", "RST", "PUSH", "ACK", "URG", "ECE", "CWR"];
    let mut before = b'(';
    for (_, name) in NAMES.iter().enumerate().filter(|(bit, _)| flags >> bit & 1 == 1) {
        out.push(before);
        out.extend_from_slice(name.as_bytes());
        before = b'|';
    }
    if before == b'|' {
        out.push(b')');
    }
}

/// Type and code of ICMP belong into the destination port. Cisco's habit is a source port with the
/// code in its first octet and the type in its second; collectors read it, too.
fn settle_icmp(flow: &mut Flow) {
    let (proto, src) = (Proto(flow.number(Field::Proto) as u8), flow.number(Field::SrcPort));
    if proto.is_icmp() && src != 0 {
        flow.set(Field::SrcPort, 0);
        flow.set(Field::DstPort, (src & 0xff) << 8 | src >> 8);
    }
}

/// The tags in a label of ours.
fn tags(label: &[u8]) -> Option<(u64, u64)> {
    let text = std::str::from_utf8(label).ok()?.strip_prefix("tag ")?;
    let (src, dst) = text.split_once('/')?;
    let hex = |text: &str| u64::from_str_radix(text.strip_prefix("0x")?, 16).ok();
    Some((hex(src)?, hex(dst)?))
}

#[cfg(test)]
mod tests;
