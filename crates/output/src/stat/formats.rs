//! Tables in the formats that have columns of their own.

use super::{Shown, StatKey, StatRow, StatTable};
use crate::clock::Clock;
use crate::colour;
use crate::digits::{push_thousandths, push_u64};
use crate::escape::{push_csv, push_json};
use crate::format::Format;
use crate::human::{percent, push_duration, push_scaled_right};
use crate::order::Side;
use crate::raw::push_line;
use crate::summary::push_fmt;
use crate::value::{push_proto, push_time};
use record::code::Proto;

/// Columns of `csv-fast`.
pub(crate) const FAST_HEADER: &str =
    "firstSeen,lastSeen,proto,element,value,flows,packets,bytes,pps,bps,bpp";

impl StatTable<'_> {
    /// Columns of the value.
    fn width(&self, format: &Format) -> usize {
        match (format.options.ipv6_wide && self.is_address, self.atlas()) {
            (true, _) => 43,
            (false, Some(_)) => 21,
            (false, None) => 17,
        }
    }

    pub(super) fn text_header(&self, format: &Format, out: &mut Vec<u8>) {
        let (title, width) = (self.title, self.width(format));
        push_fmt(
            out,
            format_args!(
                "Date first seen             Duration     Proto {title:>width$}    Flows(%)     \
                 Packets(%)       Bytes(%)         pps      bps   bpp"
            ),
        );
    }

    pub(super) fn text_row(
        &self,
        row: &StatRow<'_>,
        format: &Format,
        clock: &mut Clock,
        out: &mut Vec<u8>,
    ) {
        let shown = Shown::of(row, self.order.side());
        let plain = format.options.plain_numbers;
        clock.push_millis(out, row.counts.first_ms, b' ');
        out.push(b' ');
        if plain {
            push_thousandths(out, shown.rate_ms, 16);
        } else {
            push_duration(out, row.counts.duration_ms());
        }
        out.push(b' ');
        match row.one_proto() {
            Some(proto) => push_proto(out, Proto(proto), plain),
            None => out.extend_from_slice(b"any  "),
        }
        out.push(b' ');
        self.push_known_padded(row.key, format, self.width(format), out);
        let of = &self.totals;
        let ordered_by = self.order.column().filter(|_| format.options.colour);
        let column = |out: &mut Vec<u8>, at: usize, print: &dyn Fn(&mut Vec<u8>)| {
            out.push(b' ');
            let start = out.len();
            print(out);
            if ordered_by == Some(at) {
                colour::wrap(out, start, colour::BOLD);
            }
        };
        for (at, n, whole) in [
            (0, row.counts.flows, of.flows),
            (1, shown.packets, of.packets),
            (2, shown.bytes, of.bytes),
        ] {
            column(out, at, &|out| {
                push_scaled_right(out, n, plain);
                push_fmt(out, format_args!("({:4.1})", percent(n, whole)));
            });
        }
        column(out, 3, &|out| push_scaled_right(out, shown.pps, plain));
        column(out, 4, &|out| push_scaled_right(out, shown.bps, plain));
        column(out, 5, &|out| push_fmt(out, format_args!("{:5}", shown.bpp)));
        out.push(b'\n');
    }

    pub(super) fn csv_header(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(csv_columns(self.order.side()).as_bytes());
        out.push(b'\n');
    }

    pub(super) fn csv_row(
        &self,
        row: &StatRow<'_>,
        format: &Format,
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
        match row.one_proto().map(|proto| (proto, Proto(proto).name())) {
            None => out.extend_from_slice(b"any"),
            Some((_, Some(name))) if !format.options.plain_numbers => {
                out.extend_from_slice(name.as_bytes());
            }
            Some((proto, _)) => push_u64(out, u64::from(proto)),
        }
        out.push(b',');
        self.push_csv_key(row.key, format, out);
        let of = &self.totals;
        for (n, whole) in
            [(row.counts.flows, of.flows), (shown.packets, of.packets), (shown.bytes, of.bytes)]
        {
            push_fmt(out, format_args!(",{n},{:.1}", percent(n, whole)));
        }
        push_fmt(out, format_args!(",{},{},{}\n", shown.pps, shown.bps, shown.bpp));
    }

    /// A value as a field of CSV.
    pub(super) fn push_csv_key(&self, key: StatKey<'_>, format: &Format, out: &mut Vec<u8>) {
        match key {
            StatKey::Text(text) => push_csv(out, text),
            StatKey::Port(_) => {
                let mut text = Vec::new();
                self.push_known(key, format, &mut text);
                push_csv(out, &text);
            }
            key => self.push_known(key, format, out),
        }
    }

    /// One line of `csv-fast`: times in milliseconds, numbers as they are, 0 for any protocol.
    pub(super) fn fast_row(&self, row: &StatRow<'_>, format: &Format, out: &mut Vec<u8>) {
        let shown = Shown::of(row, self.order.side());
        let counts = &row.counts;
        let proto = row.one_proto().unwrap_or(0);
        push_fmt(
            out,
            format_args!("{},{},{proto},{},", counts.first_ms, counts.last_ms, self.element),
        );
        self.push_csv_key(row.key, format, out);
        for n in [counts.flows, shown.packets, shown.bytes, shown.pps, shown.bps, shown.bpp] {
            push_fmt(out, format_args!(",{n}"));
        }
        out.push(b'\n');
    }

    pub(super) fn json_object(
        &self,
        row: &StatRow<'_>,
        format: &Format,
        clock: &mut Clock,
        out: &mut Vec<u8>,
    ) {
        let shown = Shown::of(row, self.order.side());
        out.extend_from_slice(b"{ \"first\" : \"");
        clock.push_millis(out, row.counts.first_ms, b'T');
        out.extend_from_slice(b"\", \"last\" : \"");
        clock.push_millis(out, row.counts.last_ms, b'T');
        out.extend_from_slice(b"\", \"proto\" : ");
        match (row.one_proto(), format.options.names) {
            (proto, false) => push_u64(out, u64::from(proto.unwrap_or(0))),
            (None, true) => out.extend_from_slice(b"\"any\""),
            (Some(proto), true) => push_fmt(out, format_args!("\"{}\"", Proto(proto))),
        }
        // The element `proto` is that key: a second one of the same name would be an error.
        if !matches!(row.key, StatKey::Proto(_)) {
            out.extend_from_slice(b", ");
            self.json_value(row.key, format, out);
        }
        push_fmt(
            out,
            format_args!(
                ", \"flows\" : {}, \"packets\" : {}, \"bytes\" : {}, \"pps\" : {}, \"bps\" : {}, \"bpp\" : {}}}",
                row.counts.flows, shown.packets, shown.bytes, shown.pps, shown.bps, shown.bpp
            ),
        );
    }

    /// The element and its value, which is always text; then what the address book says of it.
    fn json_value(&self, key: StatKey<'_>, format: &Format, out: &mut Vec<u8>) {
        push_json(out, self.element.as_bytes());
        out.extend_from_slice(b" : ");
        match key {
            StatKey::Text(text) => push_json(out, text),
            key => {
                let mut text = Vec::new();
                self.push_known(key, format, &mut text);
                push_json(out, &text);
            }
        }
        if let (StatKey::Addr(addr), Some(book)) = (key, self.atlas()) {
            push_fmt(out, format_args!(", \"geo\" : \"{}\"", book.country(addr)));
        }
    }

    /// One block of `raw`: a label and a value on each line.
    pub(super) fn raw_block(
        &self,
        at: usize,
        row: &StatRow<'_>,
        format: &Format,
        clock: &mut Clock,
        out: &mut Vec<u8>,
    ) {
        let shown = Shown::of(row, self.order.side());
        let counts = &row.counts;
        out.extend_from_slice(b"\nStatistic Record: \n");
        let number = |out: &mut Vec<u8>, label: &str, n: u64| {
            push_line(out, label, |out| push_u64(out, n));
        };
        number(out, "RecordCount", at as u64 + 1);
        push_line(out, "element", |out| out.extend_from_slice(self.element.as_bytes()));
        push_line(out, "value", |out| self.push_known(row.key, format, out));
        if let (StatKey::Addr(addr), Some(book)) = (row.key, self.atlas()) {
            push_line(out, "country", |out| push_fmt(out, book.country(addr)));
        }
        for (label, ms) in [("first", counts.first_ms), ("last", counts.last_ms)] {
            number(out, label, ms);
            out.pop();
            out.extend_from_slice(b" [");
            push_time(clock, out, ms);
            out.extend_from_slice(b"]\n");
        }
        if let Some(proto) = row.one_proto() {
            number(out, "proto", u64::from(proto));
            out.pop();
            push_fmt(out, format_args!(" {}\n", Proto(proto)));
        }
        for (label, n) in [
            ("flows", counts.flows),
            ("packets", shown.packets),
            ("bytes", shown.bytes),
            ("pps", shown.pps),
            ("bps", shown.bps),
            ("bpp", shown.bpp),
        ] {
            number(out, label, n);
        }
    }
}

/// Columns of CSV: their names tell whose packets and octets are counted.
pub(crate) const fn csv_columns(side: Side) -> &'static str {
    match side {
        Side::In => "ts,te,td,pr,val,fl,flP,ipkt,ipktP,ibyt,ibytP,ipps,ibps,ibpp",
        Side::Out => "ts,te,td,pr,val,fl,flP,opkt,opktP,obyt,obytP,opps,obps,obpp",
        Side::Both => "ts,te,td,pr,val,fl,flP,pkt,pktP,byt,bytP,pps,bps,bpp",
    }
}
