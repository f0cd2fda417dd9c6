//! Rows as ClickHouse's `RowBinary`: values one after the other, little-endian, no names.
//!
//! The same octets serve servers of all ages, because types differ in name only: nanoseconds are a
//! `DateTime64(9)` or an `Int64`, addresses an `IPv6` or a `FixedString(16)`. No column is nullable;
//! what a record does not have is 0, `::` or an empty string, and a record that counts no flows
//! stands for one.

use super::exporters::Exporters;
use super::goflow::varint;
use crate::schema::{COLUMNS, Column, Type};
use record::{Addr, Field, Row};

/// Name of the column that says which batch a row came in. Repeating a batch looks there first.
pub const BATCH: &str = "batch";

/// Columns that are sent unless others are asked for: what most questions are about.
pub const USUAL: &[&str] = &[
    "flow_start",
    "flow_end",
    "received",
    "export_version",
    "proto",
    "src_addr",
    "dst_addr",
    "src_port",
    "dst_port",
    "tcp_flags",
    "src_tos",
    "packets",
    "bytes",
    "flows",
    "out_packets",
    "out_bytes",
    "in_if",
    "out_if",
    "src_as",
    "dst_as",
    "src_mask",
    "dst_mask",
    "next_hop",
    "router",
    "src_vlan",
    "dst_vlan",
    "direction",
    "fwd_status",
    "xlate_src_addr",
    "xlate_dst_addr",
    "xlate_src_port",
    "xlate_dst_port",
    "nat_event",
];

/// A name that is no column.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("column '{0}': there is none; flowlake schema lists them")]
pub struct UnknownColumn(pub String);

/// Columns by a list of names: `all`, or names between commas, or none for the [`USUAL`] ones.
/// `flow_start` is always among them: tables are ordered by it.
///
/// # Errors
/// If a name is no column of a field.
pub fn columns(list: Option<&str>) -> Result<Vec<&'static Column>, UnknownColumn> {
    let fields = || COLUMNS.iter().filter(|column| column.field.is_some());
    let find = |name: &str| {
        let found = fields().find(|column| column.name == name);
        found.ok_or_else(|| UnknownColumn(name.to_owned()))
    };
    let mut chosen: Vec<_> = match list {
        Some("all") => fields().collect(),
        Some(list) => list.split(',').map(|name| find(name.trim())).collect::<Result<_, _>>()?,
        None => USUAL.iter().map(|name| find(name)).collect::<Result<_, _>>()?,
    };
    if !chosen.iter().any(|column| column.field == Some(Field::First)) {
        chosen.insert(0, find("flow_start")?);
    }
    let mut seen = std::collections::HashSet::new();
    chosen.retain(|column| seen.insert(column.name));
    Ok(chosen)
}

/// Appends a row: the batch, then the columns in their order.
pub fn push(
    row: Row<'_>,
    batch: u64,
    columns: &[&Column],
    exporters: &Exporters,
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(&batch.to_le_bytes());
    for column in columns {
        if let Some(field) = column.field {
            value(row, field, column.kind, exporters, out);
        }
    }
}

/// Nanoseconds since 1970 of a time in milliseconds; those beyond 2262 are the largest there is.
pub(super) fn nanos(ms: u64) -> i64 {
    i64::try_from(ms).unwrap_or(i64::MAX).saturating_mul(1_000_000)
}

fn value(row: Row<'_>, field: Field, kind: Type, exporters: &Exporters, out: &mut Vec<u8>) {
    let addr = || match field {
        Field::Router => exporters.of(row),
        field => row.addr(field),
    };
    match kind {
        Type::Int32 => out.extend_from_slice(&(row.number(field) as i32).to_le_bytes()),
        Type::Int64 => {
            let n = if field == Field::Flows { row.flows() } else { row.number(field) };
            out.extend_from_slice(&n.to_le_bytes());
        }
        Type::Timestamp => out.extend_from_slice(&nanos(row.number(field)).to_le_bytes()),
        Type::Addr16 => out.extend_from_slice(&addr().map_or([0; 16], octets)),
        Type::Addr4 => {
            let n = if let Some(Addr::V4(n)) = addr() { n } else { 0 };
            out.extend_from_slice(&i64::from(n).to_le_bytes());
        }
        Type::AddrText => text(addr(), out),
        Type::Mac => {
            let [_, _, mac @ ..] = row.number(field).to_be_bytes();
            out.extend_from_slice(&mac);
        }
        Type::Acl => {
            let acl = row.bytes(field).and_then(|b| b.first_chunk::<12>());
            out.extend_from_slice(acl.unwrap_or(&[0; 12]));
        }
        Type::Text => string(row.text(field).unwrap_or_default(), out),
        Type::Bytes => string(row.bytes(field).unwrap_or_default(), out),
    }
}

/// In network byte order; IPv4 as `::ffff:a.b.c.d`.
fn octets(addr: Addr) -> [u8; 16] {
    match addr {
        Addr::V4(n) => (0xffff_0000_0000 | u128::from(n)).to_be_bytes(),
        Addr::V6(n) => n.to_be_bytes(),
    }
}

fn string(octets: &[u8], out: &mut Vec<u8>) {
    varint(octets.len() as u64, out);
    out.extend_from_slice(octets);
}

/// An address as text: never more than 127 octets, so its length is one.
fn text(addr: Option<Addr>, out: &mut Vec<u8>) {
    use std::io::Write as _;
    let at = out.len();
    out.push(0);
    if let Some(addr) = addr {
        let _ = write!(out, "{addr}"); // writing to memory does not fail
    }
    let len = out.len() - at - 1;
    if let Some(first) = out.get_mut(at) {
        *first = len as u8;
    }
}

/// Which server a statement is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Types `DateTime64` and `IPv6`: since 20.1.
    Modern,
    /// Neither: numbers and octets.
    Plain,
}

/// The statement that makes the table.
pub fn create(table: &str, columns: &[&Column], dialect: Dialect) -> String {
    let mut sql = format!("CREATE TABLE IF NOT EXISTS {table}\n(\n    {BATCH} UInt64");
    for column in columns {
        let kind = type_name(column.kind, dialect);
        sql.push_str(&format!(",\n    {} {kind}", column.name));
    }
    sql.push_str(match dialect {
        Dialect::Modern => {
            "\n)\nENGINE = MergeTree\nPARTITION BY toYYYYMM(flow_start)\nORDER BY flow_start\n\
             SETTINGS non_replicated_deduplication_window = 1000"
        }
        Dialect::Plain => {
            "\n)\nENGINE = MergeTree\n\
             PARTITION BY toYYYYMM(toDateTime(intDiv(flow_start, 1000000000), 'UTC'))\n\
             ORDER BY flow_start"
        }
    });
    sql
}

const fn type_name(kind: Type, dialect: Dialect) -> &'static str {
    match (kind, dialect) {
        (Type::Int32, _) => "Int32",
        (Type::Timestamp, Dialect::Modern) => "DateTime64(9, 'UTC')",
        (Type::Int64 | Type::Addr4 | Type::Timestamp, _) => "Int64",
        (Type::Addr16, Dialect::Modern) => "IPv6",
        (Type::Addr16, Dialect::Plain) => "FixedString(16)",
        (Type::AddrText | Type::Text | Type::Bytes, _) => "String",
        (Type::Mac, _) => "FixedString(6)",
        (Type::Acl, _) => "FixedString(12)",
    }
}

#[cfg(test)]
mod tests;
