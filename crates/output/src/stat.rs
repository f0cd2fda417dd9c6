//! Tables of statistics: the values of one element, and what flowed with each.

use crate::clock::Clock;
use crate::digits::{AddrText, push_addr, push_hex, push_mac, push_thousandths, push_u64};
use crate::escape::{push_csv, push_json, push_text};
use crate::format::{FormatOptions, Kind};
use crate::human::{per_second_float, percent, push_duration, push_scaled_right};
use crate::order::{Counts, Order, Side};
use crate::summary::push_fmt;
use crate::text::{push_mpls, push_proto};
use record::code::{FwEvent, NatEvent, Proto, TcpFlags};
use record::{Addr, Mac};

/// One value of a statistic's element.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StatKey<'a> {
    /// Ports, interfaces, autonomous systems and the like.
    Number(u64),
    /// Numbers shown in hexadecimal: observation domain and point, access lists.
    Hex(u64),
    /// An address.
    Addr(Addr),
    /// A MAC address.
    Mac(Mac),
    /// An IP protocol, for the element `proto`.
    Proto(u8),
    /// TCP flags.
    TcpFlags(u8),
    /// An entry of the MPLS stack: label*16 + EXP*2 + bottom.
    Mpls(u32),
    /// A latency in microseconds, shown in milliseconds.
    Latency(u64),
    /// A firewall event.
    FwEvent(u8),
    /// A NAT event.
    NatEvent(u8),
    /// Anything else, from outside: application, country.
    Text(&'a [u8]),
}

/// One line of a table.
#[derive(Clone, Copy, Debug)]
pub struct StatRow<'a> {
    /// The value.
    pub key: StatKey<'a>,
    /// Protocol of these flows; `None` if the statistic does not tell protocols apart.
    pub proto: Option<u8>,
    /// What flowed.
    pub counts: Counts,
}

/// What 100 percent are: the sums of all flows that passed the filter.
#[derive(Clone, Copy, Debug, Default)]
pub struct StatTotals {
    /// Flows.
    pub flows: u64,
    /// Packets of both directions.
    pub packets: u64,
    /// Octets of both directions.
    pub bytes: u64,
}

impl From<&record::Totals> for StatTotals {
    fn from(t: &record::Totals) -> Self {
        Self { flows: t.all_flows(), packets: t.all_packets(), bytes: t.all_bytes() }
    }
}

/// One table: the rows of an element in the order they are to be printed.
#[derive(Clone, Copy, Debug)]
pub struct StatTable<'a> {
    /// Title of the element, as in `Src IP Addr`.
    pub title: &'a str,
    /// Name of the element, as in `srcip`: the key in JSON.
    pub element: &'a str,
    /// What the rows are ordered by; it decides whose counters are shown.
    pub order: Order,
    /// Most rows asked for, 0 for all: for the title line only, `rows` is cut already.
    pub limit: u64,
    /// Whether the element is an address: `-6` widens its column.
    pub is_address: bool,
    /// The rows.
    pub rows: &'a [StatRow<'a>],
    /// What percentages refer to.
    pub totals: StatTotals,
}

impl StatTable<'_> {
    /// Appends the table. `more` says whether JSON objects were printed before in the same
    /// document; the caller opens and closes it, [`Kind::open`] and [`Kind::close`]. Formats
    /// without statistics (`csv-fast`, `raw`, `null`) print nothing.
    pub fn print(&self, kind: Kind, options: &FormatOptions, more: bool, out: &mut Vec<u8>) {
        let mut clock = Clock::new(options.time_zone);
        match kind {
            Kind::Text => {
                if !options.quiet {
                    self.text_header(options, out);
                }
                for row in self.rows {
                    self.text_row(row, options, &mut clock, out);
                }
            }
            Kind::Csv => {
                self.csv_header(out);
                for row in self.rows {
                    self.csv_row(row, options, &mut clock, out);
                }
            }
            Kind::Json => {
                for (i, row) in self.rows.iter().enumerate() {
                    if more || i > 0 {
                        kind.separator(out);
                    }
                    out.push(b'\n');
                    self.json_object(row, &mut clock, out);
                }
            }
            Kind::Ndjson => {
                for row in self.rows {
                    self.json_object(row, &mut clock, out);
                    out.push(b'\n');
                }
            }
            Kind::CsvFast | Kind::Raw | Kind::Null => {}
        }
    }

    fn width(&self, options: &FormatOptions) -> usize {
        if options.ipv6_wide && self.is_address { 43 } else { 17 }
    }

    fn text_header(&self, options: &FormatOptions, out: &mut Vec<u8>) {
        let (title, order) = (self.title, self.order.statistic_name());
        out.extend_from_slice(b"Top ");
        if self.limit != 0 {
            push_fmt(out, format_args!("{} ", self.limit));
        }
        push_fmt(out, format_args!("{title} ordered by {order}:\n"));
        let width = self.width(options);
        push_fmt(
            out,
            format_args!(
                "Date first seen             Duration     Proto {title:>width$}    Flows(%)     \
                 Packets(%)       Bytes(%)         pps      bps   bpp\n"
            ),
        );
    }

    fn text_row(
        &self,
        row: &StatRow<'_>,
        options: &FormatOptions,
        clock: &mut Clock,
        out: &mut Vec<u8>,
    ) {
        let shown = Shown::of(row, self.order.side());
        let plain = options.plain_numbers;
        clock.push_millis(out, row.counts.first_ms, b' ');
        out.push(b' ');
        if plain {
            push_thousandths(out, shown.rate_ms, 16);
        } else {
            push_duration(out, row.counts.duration_ms());
        }
        out.push(b' ');
        match (row.proto, row.key) {
            (Some(proto), _) | (None, StatKey::Proto(proto)) => {
                push_proto(out, Proto(proto), plain);
            }
            (None, _) => out.extend_from_slice(b"any  "),
        }
        out.push(b' ');
        push_padded_key(out, row.key, options, self.width(options));
        let of = &self.totals;
        for (n, whole) in
            [(row.counts.flows, of.flows), (shown.packets, of.packets), (shown.bytes, of.bytes)]
        {
            out.push(b' ');
            push_scaled_right(out, n, plain);
            push_fmt(out, format_args!("({:4.1})", percent(n, whole)));
        }
        out.push(b' ');
        push_scaled_right(out, shown.pps, plain);
        out.push(b' ');
        push_scaled_right(out, shown.bps, plain);
        push_fmt(out, format_args!(" {:5}\n", shown.bpp));
    }

    fn csv_header(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"ts,te,td,pr,val,fl,flP,");
        out.extend_from_slice(match self.order.side() {
            Side::In => b"ipkt,ipktP,ibyt,ibytP,ipps,ibps,ibpp\n".as_slice(),
            Side::Out => b"opkt,opktP,obyt,obytP,opps,obps,obpp\n",
            Side::Both => b"pkt,pktP,byt,bytP,pps,bps,bpp\n",
        });
    }

    fn csv_row(
        &self,
        row: &StatRow<'_>,
        options: &FormatOptions,
        clock: &mut Clock,
        out: &mut Vec<u8>,
    ) {
        let shown = Shown::of(row, self.order.side());
        clock.push_seconds(out, row.counts.first_ms / 1000, b' ');
        out.push(b',');
        clock.push_seconds(out, row.counts.last_ms / 1000, b' ');
        out.push(b',');
        push_thousandths(out, shown.rate_ms, 0);
        out.push(b',');
        match (row.proto, row.key) {
            (Some(proto), _) | (None, StatKey::Proto(proto)) => match Proto(proto).name() {
                Some(name) if !options.plain_numbers => out.extend_from_slice(name.as_bytes()),
                _ => push_u64(out, u64::from(proto)),
            },
            (None, _) => out.extend_from_slice(b"any"),
        }
        out.push(b',');
        match row.key {
            StatKey::Text(text) => push_csv(out, text),
            key => push_key(out, key),
        }
        let of = &self.totals;
        for (n, whole) in
            [(row.counts.flows, of.flows), (shown.packets, of.packets), (shown.bytes, of.bytes)]
        {
            push_fmt(out, format_args!(",{n},{:.1}", percent(n, whole)));
        }
        push_fmt(out, format_args!(",{},{},{}\n", shown.pps, shown.bps, shown.bpp));
    }

    fn json_object(&self, row: &StatRow<'_>, clock: &mut Clock, out: &mut Vec<u8>) {
        let shown = Shown::of(row, self.order.side());
        out.extend_from_slice(b"{ \"first\" : \"");
        clock.push_millis(out, row.counts.first_ms, b'T');
        out.extend_from_slice(b"\", \"last\" : \"");
        clock.push_millis(out, row.counts.last_ms, b'T');
        let proto = match row.key {
            StatKey::Proto(proto) => proto,
            _ => row.proto.unwrap_or(0),
        };
        push_fmt(out, format_args!("\", \"proto\" : {proto}, "));
        // The element `proto` is that key: a second one of the same name would be an error.
        if !matches!(row.key, StatKey::Proto(_)) {
            push_json(out, self.element.as_bytes());
            out.extend_from_slice(b" : ");
            match row.key {
                StatKey::Text(text) => push_json(out, text),
                key => {
                    out.push(b'"');
                    push_key(out, key);
                    out.push(b'"');
                }
            }
            out.extend_from_slice(b", ");
        }
        push_fmt(
            out,
            format_args!(
                "\"flows\" : {}, \"packets\" : {}, \"bytes\" : {}, \"pps\" : {}, \"bps\" : {}, \"bpp\" : {}}}",
                row.counts.flows, shown.packets, shown.bytes, shown.pps, shown.bps, shown.bpp
            ),
        );
    }
}

/// The counters of the side that a table shows.
struct Shown {
    packets: u64,
    bytes: u64,
    /// The span that rates refer to: none if a time is missing.
    rate_ms: u64,
    pps: u64,
    bps: u64,
    bpp: u64,
}

impl Shown {
    fn of(row: &StatRow<'_>, side: Side) -> Self {
        let counts = &row.counts;
        let (packets, bytes) = (counts.packets(side), counts.bytes(side));
        let known = counts.first_ms != 0 && counts.last_ms != 0;
        let rate_ms = if known { counts.duration_ms() } else { 0 };
        Self {
            packets,
            bytes,
            rate_ms,
            pps: per_second_float(packets, rate_ms),
            bps: per_second_float(bytes.saturating_mul(8), rate_ms),
            bpp: bytes.checked_div(packets).unwrap_or(0),
        }
    }
}

/// A value as text shows it, right-aligned in `width`.
fn push_padded_key(out: &mut Vec<u8>, key: StatKey<'_>, options: &FormatOptions, width: usize) {
    let start = out.len();
    let columns = match key {
        StatKey::Addr(addr) if !options.ipv6_wide => {
            out.extend_from_slice(AddrText::condensed(addr).as_bytes());
            out.len() - start
        }
        StatKey::TcpFlags(flags) if options.plain_numbers => {
            out.extend_from_slice(b"0x");
            push_hex(out, u64::from(flags), 1);
            out.len() - start
        }
        StatKey::Text(text) => push_text(out, text),
        key => {
            push_key(out, key);
            out.len() - start
        }
    };
    let short = width.saturating_sub(columns);
    crate::digits::pad(out, short);
    out[start..].rotate_right(short);
}

/// A value in full, without padding.
fn push_key(out: &mut Vec<u8>, key: StatKey<'_>) {
    match key {
        StatKey::Number(n) => push_u64(out, n),
        StatKey::Proto(n) => push_u64(out, u64::from(n)),
        StatKey::Hex(n) => {
            out.extend_from_slice(b"0x");
            push_hex(out, n, 1);
        }
        StatKey::Addr(addr) => push_addr(out, addr),
        StatKey::Mac(mac) => push_mac(out, mac),
        StatKey::TcpFlags(flags) => out.extend_from_slice(&TcpFlags(flags).letters()),
        StatKey::Mpls(entry) => push_mpls(out, u64::from(entry), 0),
        StatKey::Latency(us) => push_thousandths(out, us, 0),
        StatKey::FwEvent(event) => {
            let name = match event {
                0 => "ignore",
                _ => FwEvent(event).name().unwrap_or("UNKNOWN"),
            };
            out.extend_from_slice(name.as_bytes());
        }
        StatKey::NatEvent(event) => match NatEvent(event).name() {
            Some(name) => out.extend_from_slice(name.as_bytes()),
            None => out.extend_from_slice(b"UNKNOWN"),
        },
        StatKey::Text(text) => {
            push_text(out, text);
        }
    }
}
