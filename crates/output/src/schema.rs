//! The columns of machine-readable formats as a contract: names, types, units, meaning.
//!
//! Scripts read these columns, so a change is a decision: a stored copy of the schemas is compared
//! in a test, and [`SCHEMA_VERSION`] goes up with every change. What a field is called and what it
//! means is said once, in the field table of crate `record`.

use crate::column::{Cell, Token};
use crate::escape::push_json;
use crate::format::{Format, Kind, Op};
use crate::order::Order;
use crate::stat::{FAST_HEADER as FAST_TABLE, csv_columns};
use crate::summary::push_fmt;
use crate::table::{Column, ColumnKind, Table};
use crate::tls;
use Field as F;
use record::{Field, Kind as FieldKind};
use std::fmt;

/// Version of all schemas. It goes up when a column is added, removed, renamed, moved or gets
/// another type or unit.
pub const SCHEMA_VERSION: u32 = 1;

/// How the values of a column are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ColumnType {
    /// A whole number of up to 64 bits: more than a double holds.
    Integer,
    /// A number with decimals.
    Decimal,
    /// Date and time without a zone, in that of the run: `2026-11-20T10:00:00.000`, in CSV with a
    /// blank for the `T`, in CSV of tables without milliseconds.
    Time,
    /// An IPv4 or IPv6 address.
    Address,
    /// Anything else.
    Text,
    /// `true` or `false`.
    Flag,
}

impl fmt::Display for ColumnType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Integer => "integer",
            Self::Decimal => "decimal",
            Self::Time => "time",
            Self::Address => "address",
            Self::Text => "text",
            Self::Flag => "flag",
        })
    }
}

/// One column, or one key of JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaColumn {
    /// Name in the header line, or key.
    pub name: String,
    /// How its values are written.
    pub column_type: ColumnType,
    /// Unit of the values, empty if they have none.
    pub unit: &'static str,
    /// Whether every record of a file has it. Keys of JSON that are not there are not known; sums
    /// of several records have those of their key and of the counters.
    pub is_always: bool,
    /// What it means, in a few words.
    pub about: &'static str,
}

/// The columns of one format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schema {
    /// What the rows are: `flows`, `statistics`, or what a table of its own says.
    pub of: &'static str,
    /// Name of the kind of format.
    pub format: &'static str,
    /// The columns in order.
    pub columns: Vec<SchemaColumn>,
}

impl Schema {
    /// The columns of lists in `format`. Text for people has those of its tokens; `raw` and `null`
    /// have none.
    pub fn of_flows(format: &Format) -> Self {
        let columns = match format.kind {
            Kind::Text | Kind::Csv => chosen(format),
            Kind::CsvFast => FAST.iter().map(fast_column).collect(),
            Kind::Json | Kind::Ndjson => JSON.iter().flat_map(|key| key.columns(format)).collect(),
            Kind::FlowTools(columns) => columns.iter().map(flow_tools_column).collect(),
            Kind::Raw | Kind::Flowdumper | Kind::Null => Vec::new(),
        };
        Self { of: "flows", format: format.kind.name(), columns }
    }

    /// The columns of tables of values (`-s srcip`) in `format`, ordered by `order`: names of CSV
    /// say whose packets are counted. Text for people has none but those of the user's tokens.
    pub fn of_statistics(format: &Format, order: Order) -> Self {
        let named = |names: &'static str| names.split(',').map(table_column).collect();
        let columns = match format.kind {
            Kind::Text | Kind::Csv if format.is_spelt_out => chosen(format),
            Kind::Csv | Kind::FlowTools(_) | Kind::Flowdumper => named(csv_columns(order.side())),
            Kind::CsvFast => named(FAST_TABLE),
            Kind::Json | Kind::Ndjson => {
                named("first,last,proto,ELEMENT,geo,flows,packets,bytes,pps,bps,bpp")
            }
            Kind::Text | Kind::Raw | Kind::Null => Vec::new(),
        };
        let mut schema = Self { of: "statistics", format: format.kind.name(), columns };
        let is_json = matches!(format.kind, Kind::Json | Kind::Ndjson);
        for column in schema.columns.iter_mut().filter(|c| c.name == "proto") {
            if is_json && format.options.names {
                column.column_type = ColumnType::Text;
            }
        }
        schema
    }

    /// The columns of tables that have columns of their own, called `of`. In text they are named
    /// as above the table, those left out there are left out here.
    pub fn of_table(of: &'static str, table: &Table, format: &Format) -> Self {
        let kind = format.kind;
        let is_shown = |c: &&Column| match kind {
            Kind::Text => c.width > 0,
            Kind::Null => false,
            _ => true,
        };
        let columns = table.columns.iter().filter(is_shown);
        let columns = columns.map(|c| printed_column(c, kind)).collect();
        Self { of, format: kind.name(), columns }
    }

    /// The schema as a table for people.
    pub fn to_text(&self) -> String {
        let width = |of: fn(&SchemaColumn) -> usize| self.columns.iter().map(of).max().unwrap_or(0);
        let (name, unit) = (width(|c| c.name.len()).max(4), width(|c| c.unit.len()).max(4));
        let mut text = format!(
            "Schema {SCHEMA_VERSION} of {} in {}\n{:name$}  {:7}  {:unit$}  {:6}  meaning\n",
            self.of, self.format, "name", "type", "unit", "always"
        );
        for c in &self.columns {
            let always = if c.is_always { "yes" } else { "no" };
            text.push_str(&format!(
                "{:name$}  {:7}  {:unit$}  {always:6}  {}\n",
                c.name, c.column_type, c.unit, c.about
            ));
        }
        text
    }

    /// The schema as one JSON object on a line.
    pub fn to_json(&self) -> Vec<u8> {
        let mut out = Vec::new();
        push_fmt(
            &mut out,
            format_args!(
                "{{\"schema_version\":{SCHEMA_VERSION},\"of\":\"{}\",\"format\":\"{}\",\"columns\":[",
                self.of, self.format
            ),
        );
        for (i, c) in self.columns.iter().enumerate() {
            out.extend_from_slice(if i == 0 { b"{\"name\":" } else { b",{\"name\":" });
            push_json(&mut out, c.name.as_bytes());
            push_fmt(
                &mut out,
                format_args!(",\"type\":\"{}\",\"unit\":\"{}\"", c.column_type, c.unit),
            );
            push_fmt(&mut out, format_args!(",\"always\":{},\"meaning\":", c.is_always));
            push_json(&mut out, c.about.as_bytes());
            out.push(b'}');
        }
        out.extend_from_slice(b"]}\n");
        out
    }
}

/// A column of a table that has columns of its own.
fn printed_column(column: &Column, kind: Kind) -> SchemaColumn {
    let column_type = match column.kind {
        ColumnKind::Text => ColumnType::Text,
        ColumnKind::Number | ColumnKind::Rate => ColumnType::Integer,
        ColumnKind::Time if kind == Kind::CsvFast => ColumnType::Integer,
        ColumnKind::Time => ColumnType::Time,
        ColumnKind::Percent => ColumnType::Decimal,
        ColumnKind::Flag => ColumnType::Flag,
    };
    let unit = match (column.unit, column.kind) {
        ("B", _) => "octets",
        ("1/s", _) => "packets/s",
        ("%", _) => "percent",
        ("", ColumnKind::Time) if kind == Kind::CsvFast => "ms",
        ("", _) if column.name == "flows" => "flows",
        ("", _) if column.name == "packets" => "packets",
        (unit, _) => unit,
    };
    let name = if kind == Kind::Text { &column.title } else { &column.name };
    let (name, about) = (name.clone().into_owned(), column.about);
    SchemaColumn { name, column_type, unit, is_always: true, about }
}

/// A column of flow-export.
fn flow_tools_column(column: flowtools::Column) -> SchemaColumn {
    use flowtools::Column as C;
    let column_type = match column {
        _ if column.is_addr() => ColumnType::Address,
        _ if column.is_hex() => ColumnType::Text,
        _ => ColumnType::Integer,
    };
    let unit = match column {
        C::UnixSecs => "s",
        C::SysUptime | C::First | C::Last => "ms",
        C::DFlows => "flows",
        C::DPkts => "packets",
        C::DOctets => "octets",
        _ => "",
    };
    let name = column.name().to_owned();
    SchemaColumn { name, column_type, unit, is_always: true, about: column.about() }
}

/// Columns of the tokens of a format.
fn chosen(format: &Format) -> Vec<SchemaColumn> {
    let tokens = format.ops.iter().filter_map(|op| match op {
        Op::Column(token) if !matches!(token.cell, Cell::NewLine) => Some(*token),
        _ => None,
    });
    tokens.map(|token| token_column(token, format)).collect()
}

fn token_column(token: &Token, format: &Format) -> SchemaColumn {
    let (column_type, unit, about) = described(token.cell);
    let is_name = format.options.names && matches!(token.cell, Cell::Proto)
        || format.services().is_some() && matches!(token.cell, Cell::Port(_));
    let column_type = if is_name { ColumnType::Text } else { column_type };
    let name = match format.kind {
        Kind::Csv => token.csv.to_owned(),
        _ => format!("%{}", token.name),
    };
    SchemaColumn { name, column_type, unit, is_always: true, about }
}

/// What a cell of CSV holds.
fn described(cell: Cell) -> (ColumnType, &'static str, &'static str) {
    use ColumnType::{Address, Decimal, Integer, Text, Time};
    match cell {
        Cell::Version => (Text, "", F::Source.def().about),
        Cell::Count => (Integer, "", "running number of the record"),
        Cell::Ident => (Text, "", "ident of the file"),
        Cell::Engine => (Text, "", "engine type and id of the exporter"),
        Cell::Flows => (Integer, "flows", F::Flows.def().about),
        Cell::Duration | Cell::Seconds => (Decimal, "s", "from the first to the last packet"),
        Cell::BitRate => (Integer, "bit/s", "octets times eight in a second"),
        Cell::PacketRate => (Integer, "packets/s", "packets in a second"),
        Cell::PacketSize => (Integer, "octets", "octets of a packet"),
        Cell::TimeRaw(field) => (Decimal, "s", field.def().about),
        Cell::EventTime => (Time, "", "time of the firewall or NAT event"),
        Cell::EventMillis => (Integer, "ms", "time of the firewall or NAT event since 1970"),
        Cell::DstPort => (Text, "", "destination port, or type.code of ICMP"),
        Cell::Flags => (Text, "", "TCP flags seen: CEUAPRSF, a dot for each that is off"),
        Cell::Direction => (Text, "", "I ingress, E egress"),
        Cell::AddrPort(..) | Cell::GeoAddrPort(..) => (Text, "", "address and port"),
        Cell::GeoAddr(_) => (Text, "", "address and country"),
        Cell::Net(..) => (Text, "", "network of the address: masked, and the prefix length"),
        Cell::Name(..) => (Text, "", "what the exporter calls it"),
        Cell::Mpls(_) => (Text, "", "MPLS label, EXP and bottom of stack"),
        Cell::MplsStack => (Text, "", "ten MPLS labels"),
        Cell::Event => (Integer, "", "firewall event, else NAT event"),
        Cell::XEvent => (Text, "", F::FwXEvent.def().about),
        Cell::AppName => (Text, "", "name of the application"),
        Cell::Observation(field, _) => (Text, "", field.def().about),
        Cell::PfAction => (Text, "", F::PfAction.def().about),
        Cell::PfReason => (Text, "", F::PfReason.def().about),
        Cell::PfDirection => (Text, "", F::PfDir.def().about),
        Cell::FlowId => (Text, "", F::FlowId.def().about),
        Cell::Ttl => (Text, "", "smallest and largest TTL"),
        Cell::Fragment => {
            (Text, "", "DF don't fragment, MF more fragments, -- for each that is off")
        }
        Cell::EtherType => (Text, "", F::EtherType.def().about),
        Cell::Location(_) => (Text, "", "where the address is"),
        Cell::Organisation(..) => (Text, "", "who runs the autonomous system"),
        Cell::Tor(_) => (Text, "", "EX exit of Tor, ex at another time, .. not"),
        Cell::Country(own, _) => (Text, "", own.def().about),
        Cell::Tls(part) => (Text, "", part.about()),
        Cell::NewLine => (Text, "", "line end"),
        Cell::Proto => (Integer, "", F::Proto.def().about),
        Cell::Addr(field) => (Address, "", field.def().about),
        Cell::Time(field) | Cell::TimeUtc(field) => (Time, "", field.def().about),
        Cell::IngressAcl => (Text, "", F::IngressAcl.def().about),
        Cell::EgressAcl => (Text, "", F::EgressAcl.def().about),
        Cell::AppId => (Text, "", F::AppId.def().about),
        Cell::Number(field, _)
        | Cell::AfterBlank(field)
        | Cell::Port(field)
        | Cell::System(field, _)
        | Cell::Scaled(field)
        | Cell::Mac(field)
        | Cell::Latency(field)
        | Cell::Text(field, ..)
        | Cell::Payload(field) => (type_of(field), unit_of(field), field.def().about),
    }
}

/// How a field is written where nothing else is said.
const fn type_of(field: Field) -> ColumnType {
    match field.kind() {
        FieldKind::U8 | FieldKind::U16 | FieldKind::U32 | FieldKind::U64 => ColumnType::Integer,
        FieldKind::Micros => ColumnType::Decimal,
        FieldKind::Time => ColumnType::Time,
        FieldKind::Addr => ColumnType::Address,
        FieldKind::Mac | FieldKind::Acl | FieldKind::Text(_) | FieldKind::Bytes => ColumnType::Text,
    }
}

const fn unit_of(field: Field) -> &'static str {
    match field {
        F::Packets | F::OutPackets => "packets",
        F::Bytes | F::OutBytes => "octets",
        F::Flows => "flows",
        F::SrcMask | F::DstMask => "bits",
        F::ClientLatency | F::ServerLatency | F::AppLatency => "ms",
        _ => "",
    }
}

/// Columns of `csv-fast`.
#[rustfmt::skip]
const FAST: &[(&str, ColumnType, &str, &str)] = &[
    ("cnt", ColumnType::Integer, "", "running number of the record"),
    ("af", ColumnType::Integer, "", "2 IPv4, 10 IPv6, 0 no addresses"),
    ("firstSeen", ColumnType::Integer, "ms", "start of the flow since 1970"),
    ("lastSeen", ColumnType::Integer, "ms", "end of the flow since 1970"),
    ("proto", ColumnType::Integer, "", F::Proto.def().about),
    ("srcAddr", ColumnType::Address, "", F::SrcAddr.def().about),
    ("srcPort", ColumnType::Integer, "", F::SrcPort.def().about),
    ("dstAddr", ColumnType::Address, "", F::DstAddr.def().about),
    ("dstPort", ColumnType::Integer, "", F::DstPort.def().about),
    ("srcAS", ColumnType::Integer, "", F::SrcAs.def().about),
    ("dstAS", ColumnType::Integer, "", F::DstAs.def().about),
    ("input", ColumnType::Integer, "", F::Input.def().about),
    ("output", ColumnType::Integer, "", F::Output.def().about),
    ("flags", ColumnType::Text, "", "TCP flags seen: CEUAPRSF, a dot for each that is off"),
    ("srcTos", ColumnType::Integer, "", F::SrcTos.def().about),
    ("packets", ColumnType::Integer, "packets", F::Packets.def().about),
    ("bytes", ColumnType::Integer, "octets", F::Bytes.def().about),
];

fn fast_column(
    &(name, column_type, unit, about): &(&str, ColumnType, &'static str, &'static str),
) -> SchemaColumn {
    SchemaColumn { name: name.to_owned(), column_type, unit, is_always: true, about }
}

/// A column of a table of values, by its name in any format.
fn table_column(name: &'static str) -> SchemaColumn {
    use ColumnType::{Decimal, Integer, Text, Time};
    // Names of CSV tell the direction in their first letter.
    let counter = match name {
        "ipkt" | "opkt" | "ibyt" | "obyt" | "ipps" | "opps" | "ibps" | "obps" | "ibpp" | "obpp"
        | "ipktP" | "opktP" | "ibytP" | "obytP" => &name[1..],
        _ => name,
    };
    let (column_type, unit, about) = match counter {
        "ts" | "first" => (Time, "", "smallest start"),
        "te" | "last" => (Time, "", "largest end"),
        "firstSeen" => (Integer, "ms", "smallest start since 1970"),
        "lastSeen" => (Integer, "ms", "largest end since 1970"),
        "td" => (Decimal, "s", "from the smallest start to the largest end"),
        "pr" => (Text, "", "protocol, any if the table does not tell them apart"),
        "proto" => (Integer, "", "IP protocol, 0 if the table does not tell them apart"),
        "element" => (Text, "", "name of the statistic"),
        "val" | "value" => (Text, "", "value of the element"),
        "ELEMENT" => (Text, "", "value of the element; its name is the key, proto has no other"),
        "geo" => (Text, "", "country of an address, where countries are known"),
        "fl" | "flows" => (Integer, "flows", "flows"),
        "flP" => (Decimal, "percent", "share in the flows of the answer"),
        "pkt" | "packets" => (Integer, "packets", "packets of the direction the order says"),
        "pktP" => (Decimal, "percent", "share in the packets of the answer"),
        "byt" | "bytes" => (Integer, "octets", "octets of the direction the order says"),
        "bytP" => (Decimal, "percent", "share in the octets of the answer"),
        "pps" => (Integer, "packets/s", "packets in a second"),
        "bps" => (Integer, "bit/s", "octets times eight in a second"),
        _ => (Integer, "octets", "octets of a packet"),
    };
    let is_always = !matches!(name, "ELEMENT" | "geo");
    SchemaColumn { name: name.to_owned(), column_type, unit, is_always, about }
}

/// One key of JSON objects, in the order in which they stand there.
#[derive(Clone, Copy, Debug)]
enum JsonKey {
    /// A field as the field table has it.
    Of(Field),
    /// A field that is told in words.
    Told(Field, &'static str),
    /// A key that is no field by itself.
    Own(&'static str, ColumnType, &'static str),
}

impl JsonKey {
    fn columns(&self, format: &Format) -> Vec<SchemaColumn> {
        let (name, column_type, unit, about) = match *self {
            Self::Own(name, column_type, about) => (name, column_type, "", about),
            Self::Told(field, about) => (field.def().json, ColumnType::Text, "", about),
            Self::Of(field) => {
                let is_name = match field {
                    F::Proto => format.options.names,
                    F::SrcPort | F::DstPort | F::XlateSrcPort | F::XlateDstPort => {
                        format.services().is_some()
                    }
                    _ => false,
                };
                let column_type = if is_name { ColumnType::Text } else { type_of(field) };
                (field.def().json, column_type, unit_of(field), field.def().about)
            }
        };
        let is_always = matches!(name, "cnt" | "type" | "export_sysid" | "sampled");
        let column = |name| SchemaColumn { name, column_type, unit, is_always, about };
        match name.contains("{}") {
            true => ["4", "6"].map(|family| column(name.replace("{}", family))).to_vec(),
            false => vec![column(name.to_owned())],
        }
    }
}

use JsonKey::{Of, Own, Told};

const MPLS_ABOUT: &str = "MPLS label, EXP and bottom of stack";

/// Keys of records in JSON.
#[rustfmt::skip]
const JSON: &[JsonKey] = &[
    Own("cnt", ColumnType::Integer, "running number of the record"), Own("type", ColumnType::Text, "FLOW or EVENT"),
    Own("ident", ColumnType::Text, "ident of the file"), Of(F::ExporterId),
    Of(F::First), Of(F::Last), Of(F::Received), Of(F::Packets), Of(F::Bytes), Of(F::Proto), Of(F::IcmpType), Of(F::IcmpCode),
    Told(F::TcpFlags, "TCP flags seen: CEUAPRSF, a dot for each that is off"),
    Of(F::SrcPort), Of(F::DstPort), Of(F::FwdStatus), Of(F::SrcTos),
    Of(F::SrcAddr), Of(F::DstAddr),
    Own("src{}_geo", ColumnType::Text, F::SrcCountry.def().about), Own("dst{}_geo", ColumnType::Text, F::DstCountry.def().about),
    Told(F::SrcCountry, "source country of flows grouped by it"), Told(F::DstCountry, "destination country of flows grouped by it"),
    Of(F::Input), Of(F::Output), Of(F::SrcMask), Of(F::DstMask),
    Own("src_net", ColumnType::Address, "source address masked, empty without masks"),
    Own("dst_net", ColumnType::Address, "destination address masked, empty without masks"),
    Of(F::Direction), Of(F::DstTos),
    Of(F::OutPackets), Of(F::OutBytes), Of(F::Flows), Of(F::SrcVlan), Of(F::DstVlan), Of(F::SrcAs), Of(F::DstAs),
    Of(F::BgpNextHop), Of(F::NextHop), Of(F::Router),
    Told(F::Mpls1, MPLS_ABOUT), Told(F::Mpls2, MPLS_ABOUT), Told(F::Mpls3, MPLS_ABOUT), Told(F::Mpls4, MPLS_ABOUT), Told(F::Mpls5, MPLS_ABOUT),
    Told(F::Mpls6, MPLS_ABOUT), Told(F::Mpls7, MPLS_ABOUT), Told(F::Mpls8, MPLS_ABOUT), Told(F::Mpls9, MPLS_ABOUT), Told(F::Mpls10, MPLS_ABOUT),
    Of(F::InSrcMac), Of(F::OutDstMac), Of(F::InDstMac), Of(F::OutSrcMac), Of(F::NextAs), Of(F::PrevAs),
    Of(F::ClientLatency), Of(F::ServerLatency), Of(F::AppLatency),
    Of(F::ConnId), Of(F::FwEvent), Own("event", ColumnType::Text, "name of the firewall event"), Of(F::FwXEvent),
    Of(F::XlateSrcAddr), Of(F::XlateDstAddr), Of(F::XlateSrcPort), Of(F::XlateDstPort),
    Of(F::IngressAcl), Of(F::EgressAcl), Of(F::Username),
    Of(F::NatEvent), Own("nat_event", ColumnType::Text, "name of the NAT event"), Of(F::NatPool),
    Own("t_event", ColumnType::Time, "time of the firewall or NAT event, or <unknown>"),
    Of(F::PblockStart), Of(F::PblockEnd), Of(F::PblockStep), Of(F::PblockSize),
    Own("in_tls", ColumnType::Text, tls::Part::Version.about()), Own("in_sni", ColumnType::Text, tls::Part::ServerName.about()),
    Own("in_ja3", ColumnType::Text, tls::Part::Ja3.about()), Own("in_ja4", ColumnType::Text, tls::Part::Ja4.about()),
    Own("out_tls", ColumnType::Text, "as in_tls, of the other direction"), Own("out_sni", ColumnType::Text, "as in_sni, of the other direction"),
    Own("out_ja3", ColumnType::Text, "as in_ja3, of the other direction"), Own("out_ja4", ColumnType::Text, "as in_ja4, of the other direction"),
    Of(F::TunProto), Of(F::TunSrcAddr), Of(F::TunDstAddr), Of(F::ObservationDomain), Of(F::ObservationPoint),
    Of(F::IngressVrf), Of(F::EgressVrf),
    Of(F::VlanId), Of(F::PostVlanId), Of(F::CustomerVlanId), Of(F::PostCustomerVlanId), Of(F::PhysIngress), Of(F::PhysEgress),
    Of(F::EtherType), Of(F::IpVersion), Of(F::FlowId), Of(F::InService), Of(F::OutService), Of(F::NatString),
    Told(F::FragmentFlags, "DF don't fragment, MF more fragments, DFMF both"), Of(F::MinTtl), Of(F::MaxTtl),
    Own("sampled", ColumnType::Integer, "1 if a sampling rate applies"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{Atlas, random};
    use crate::{FormatOptions, RecordContext};
    use record::code::record_flags;
    use serde_json::Value;
    use std::collections::HashSet;

    fn format(spec: &str) -> Format {
        Format::parse(spec, &FormatOptions::default()).unwrap()
    }

    /// All schemas that scripts rely on.
    fn all() -> String {
        let mut text = String::new();
        for spec in ["json", "csv", "csv-fast"] {
            text.push_str(&Schema::of_flows(&format(spec)).to_text());
            text.push('\n');
        }
        for (spec, order) in [
            ("json", "flows"),
            ("csv", "flows"),
            ("csv", "opkg"),
            ("csv", "bytes"),
            ("csv-fast", "flows"),
        ] {
            let order = Order::from_statistic_name(order).unwrap();
            text.push_str(&Schema::of_statistics(&format(spec), order).to_text());
            text.push('\n');
        }
        text
    }

    #[test]
    fn columns_are_a_contract() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/schema.txt");
        let stored = std::fs::read_to_string(path).expect("tests/golden/schema.txt");
        for (i, (now, then)) in all().lines().zip(stored.lines()).enumerate() {
            assert_eq!(
                now,
                then,
                "line {} of tests/golden/schema.txt: columns that scripts rely on have changed. If that is \
                 wanted, raise SCHEMA_VERSION, store the new text there and tell it in docs/output.md",
                i + 1
            );
        }
        assert_eq!(
            all(),
            stored,
            "columns were added or removed: raise SCHEMA_VERSION and store the new text in tests/golden/schema.txt"
        );
    }

    #[test]
    fn objects_have_the_keys_of_the_schema_and_no_others() {
        let (atlas, format) = (Atlas::default(), format("ndjson"));
        let schema = Schema::of_flows(&format);
        let names: Vec<&str> = schema.columns.iter().map(|c| c.name.as_str()).collect();
        assert_eq!(names.iter().collect::<HashSet<_>>().len(), names.len());
        let mut seen: HashSet<String> = HashSet::new();
        for flow in random(4000) {
            let mut out = Vec::new();
            let context = RecordContext { book: Some(&atlas), ..RecordContext::new("x", 1) };
            format.printer().record(flow.as_row(), &context, &mut out);
            let object: serde_json::Map<String, Value> = serde_json::from_slice(&out).unwrap();
            for column in schema.columns.iter().filter(|c| c.is_always) {
                assert!(object.contains_key(&column.name), "{} is not always there", column.name);
            }
            for (key, value) in &object {
                let column = schema.columns.iter().find(|c| c.name == *key);
                let column = column.unwrap_or_else(|| panic!("{key} is not in the schema"));
                let fits = match column.column_type {
                    ColumnType::Integer => value.is_u64(),
                    ColumnType::Decimal => value.is_number(),
                    ColumnType::Time | ColumnType::Address | ColumnType::Text => value.is_string(),
                    ColumnType::Flag => value.is_boolean(),
                };
                assert!(fits, "{key} is not of type {}: {value}", column.column_type);
            }
            let is_event = flow.as_row().number(F::RecordFlags) as u8 & record_flags::EVENT != 0;
            assert_eq!(object["type"], if is_event { "EVENT" } else { "FLOW" });
            seen.extend(object.into_iter().map(|(key, _)| key));
        }
        // Countries without addresses come from aggregations alone.
        let missing: Vec<_> = names.iter().filter(|n| !seen.contains(**n)).collect();
        assert_eq!(missing, [&"src_geo", &"dst_geo"]);
    }

    #[test]
    fn both_forms_of_json_have_the_same_keys() {
        let columns = |spec| Schema::of_flows(&format(spec)).columns;
        assert_eq!(columns("json"), columns("ndjson"));
        let columns = |spec| Schema::of_statistics(&format(spec), Order::FLOWS).columns;
        assert_eq!(columns("json"), columns("ndjson"));
    }

    #[test]
    fn schemas_name_the_columns_that_are_printed() {
        for spec in ["csv", "csv-fast", "csv:%cnt,%uname,%pr,%sas,%stor,%bps"] {
            let format = format(spec);
            let mut out = Vec::new();
            format.printer().header(&mut out);
            let names: Vec<_> =
                Schema::of_flows(&format).columns.into_iter().map(|c| c.name).collect();
            assert_eq!(String::from_utf8(out).unwrap().trim_end(), names.join(","), "{spec}");
        }
    }

    #[test]
    fn a_schema_is_json_itself() {
        let schema = Schema::of_flows(&format("csv"));
        let object: Value = serde_json::from_slice(&schema.to_json()).unwrap();
        assert_eq!(object["schema_version"], SCHEMA_VERSION);
        let columns = object["columns"].as_array().unwrap();
        assert_eq!(columns.len(), schema.columns.len());
        assert_eq!(columns[8]["name"], "bytes");
        assert_eq!(
            (&columns[8]["unit"], &columns[8]["type"]),
            (&"octets".into(), &"integer".into())
        );
    }

    #[test]
    fn names_make_columns_text() {
        let options = FormatOptions { names: true, ..FormatOptions::default() };
        let json = Format::parse("json", &options).unwrap();
        let services = crate::Services::parse("ssh 22/tcp\n").into();
        let of = |format: &Format, name: &str| {
            let schema = Schema::of_flows(format);
            schema.columns.iter().find(|c| c.name == name).map(|c| c.column_type)
        };
        assert_eq!(of(&json, "proto"), Some(ColumnType::Text));
        assert_eq!(of(&json, "src_port"), Some(ColumnType::Integer));
        let json = json.with_services(services);
        assert_eq!(of(&json, "src_port"), Some(ColumnType::Text));
        assert_eq!(of(&format("json"), "proto"), Some(ColumnType::Integer));
    }

    /// Writes the stored text anew, when asked by name.
    #[test]
    #[ignore = "prints what tests/golden/schema.txt should hold"]
    fn print_all() {
        print!("{}", all());
    }
}
