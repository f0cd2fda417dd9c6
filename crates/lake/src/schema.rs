//! The published columns of the dataset: what a Parquet file, a table and a stream of rows hold.
//!
//! One line for each [`Field`] that files store. Each is one column, and an address is three: 16
//! octets, a number where it is IPv4, and text. One more, `ident`, is the same for all rows of a
//! source. Columns are absent (NULL) where the record does not have the field. Names and types never
//! change within a version; columns are only added.
//!
//! Rows of a row group are in order of `flow_start`, those without one first; what starts at the same
//! moment stays in the order of the source.
//!
//! What else a file says is in its [`metadata`]; how [`text`] that is no UTF-8 is kept, and how
//! columns are told to Parquet, in modules of their own.

pub mod metadata;
pub mod names;
pub mod text;

use parquet::basic::{ConvertedType, LogicalType, Repetition, TimeUnit, Type as Physical};
use parquet::schema::types::{Type as Node, TypePtr};
use record::Field;
use std::sync::Arc;

/// Version of the columns. Files say it in their metadata.
pub const VERSION: u32 = 1;

/// How the values of a column are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// Parquet `INT32`, signed: fields of 8 and 16 bits.
    Int32,
    /// Parquet `INT64`, signed: fields of 32, 48 and 64 bits. Values of 2^63 and above keep their
    /// bits and so read as negative.
    Int64,
    /// Parquet `INT64` with `TIMESTAMP(NANOS, UTC)`: nanoseconds since 1970.
    Timestamp,
    /// Parquet `FIXED_LEN_BYTE_ARRAY(16)`, network byte order; IPv4 as `::ffff:a.b.c.d`.
    Addr16,
    /// Parquet `INT64`: an IPv4 address as a number, NULL for IPv6.
    Addr4,
    /// Parquet `BYTE_ARRAY` with `STRING`: an address as text, IPv6 by RFC 5952.
    AddrText,
    /// Parquet `FIXED_LEN_BYTE_ARRAY(6)`, network byte order.
    Mac,
    /// Parquet `FIXED_LEN_BYTE_ARRAY(12)`: three numbers of 32 bits, network byte order.
    Acl,
    /// Parquet `BYTE_ARRAY` with `STRING`, without the zeros that pad it; other octets than UTF-8 by
    /// [`text`].
    Text,
    /// Parquet `BYTE_ARRAY`.
    Bytes,
}

/// One column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// How its values are stored.
    pub kind: Type,
    /// The field it holds; `None` for what files say of their records' exporters and of themselves.
    pub field: Option<Field>,
    /// What it is, in a few words.
    pub about: &'static str,
}

/// All columns, in their order in files.
pub const COLUMNS: &[Column] = TABLE.as_slice();

macro_rules! column {
    ($field:ident: Addr, $name:literal) => {
        &[
            Column::of(Field::$field, Type::Addr16, $name),
            Column::of(Field::$field, Type::Addr4, concat!($name, "4")),
            Column::of(Field::$field, Type::AddrText, concat!($name, "_text")),
        ]
    };
    ($field:ident: $kind:ident, $name:literal) => {
        &[Column::of(Field::$field, Type::$kind, $name)]
    };
}

macro_rules! columns {
    ($($field:ident: $kind:ident, $name:literal;)*) => {
        const GROUPS: &[&[Column]] = &[$(column!($field: $kind, $name),)* &[IDENT]];
    };
}

/// What collectors call the source of a file.
const IDENT: Column =
    Column { name: "ident", kind: Type::Text, field: None, about: "ident of the source" };

columns! {
    // field: type, name
    EngineType: Int32, "engine_type";
    EngineId: Int32, "engine_id";
    ExporterId: Int32, "exporter_id";
    RecordFlags: Int32, "record_flags";
    Source: Int32, "export_version";
    First: Timestamp, "flow_start";
    Last: Timestamp, "flow_end";
    Received: Timestamp, "received";
    Packets: Int64, "packets";
    Bytes: Int64, "bytes";
    SrcPort: Int32, "src_port";
    DstPort: Int32, "dst_port";
    Proto: Int32, "proto";
    TcpFlags: Int32, "tcp_flags";
    FwdStatus: Int32, "fwd_status";
    SrcTos: Int32, "src_tos";
    SrcAddr: Addr, "src_addr";
    DstAddr: Addr, "dst_addr";
    Input: Int64, "in_if";
    Output: Int64, "out_if";
    SrcMask: Int32, "src_mask";
    DstMask: Int32, "dst_mask";
    Direction: Int32, "direction";
    DstTos: Int32, "dst_tos";
    BiflowDir: Int32, "biflow_dir";
    EndReason: Int32, "end_reason";
    Flows: Int64, "flows";
    OutPackets: Int64, "out_packets";
    OutBytes: Int64, "out_bytes";
    SrcVlan: Int64, "src_vlan";
    DstVlan: Int64, "dst_vlan";
    SrcAs: Int64, "src_as";
    DstAs: Int64, "dst_as";
    BgpNextHop: Addr, "bgp_next_hop";
    NextHop: Addr, "next_hop";
    Router: Addr, "router";
    Mpls1: Int64, "mpls1";
    Mpls2: Int64, "mpls2";
    Mpls3: Int64, "mpls3";
    Mpls4: Int64, "mpls4";
    Mpls5: Int64, "mpls5";
    Mpls6: Int64, "mpls6";
    Mpls7: Int64, "mpls7";
    Mpls8: Int64, "mpls8";
    Mpls9: Int64, "mpls9";
    Mpls10: Int64, "mpls10";
    InSrcMac: Mac, "in_src_mac";
    OutDstMac: Mac, "out_dst_mac";
    InDstMac: Mac, "in_dst_mac";
    OutSrcMac: Mac, "out_src_mac";
    NextAs: Int64, "next_as";
    PrevAs: Int64, "prev_as";
    ClientLatency: Int64, "client_latency";
    ServerLatency: Int64, "server_latency";
    AppLatency: Int64, "app_latency";
    SelectorId: Int64, "selector_id";
    FwEventTime: Timestamp, "fw_event_time";
    ConnId: Int64, "conn_id";
    FwXEvent: Int32, "fw_xevent";
    FwEvent: Int32, "fw_event";
    XlateSrcAddr: Addr, "xlate_src_addr";
    XlateDstAddr: Addr, "xlate_dst_addr";
    XlateSrcPort: Int32, "xlate_src_port";
    XlateDstPort: Int32, "xlate_dst_port";
    IngressAcl: Acl, "ingress_acl";
    EgressAcl: Acl, "egress_acl";
    Username: Text, "username";
    NatEventTime: Timestamp, "nat_event_time";
    NatPool: Int64, "nat_pool";
    NatEvent: Int32, "nat_event";
    PblockStart: Int32, "pblock_start";
    PblockEnd: Int32, "pblock_end";
    PblockStep: Int32, "pblock_step";
    PblockSize: Int32, "pblock_size";
    AppId: Bytes, "app_id";
    Label: Text, "label";
    InPayload: Bytes, "in_payload";
    OutPayload: Bytes, "out_payload";
    TunSrcAddr: Addr, "tun_src_addr";
    TunDstAddr: Addr, "tun_dst_addr";
    TunProto: Int64, "tun_proto";
    ObservationPoint: Int64, "observation_point";
    ObservationDomain: Int64, "observation_domain";
    FrameSize: Int32, "frame_size";
    LinkType: Int32, "link_type";
    Frame: Bytes, "frame";
    EgressVrf: Int64, "egress_vrf";
    IngressVrf: Int64, "ingress_vrf";
    PfAction: Int32, "pf_action";
    PfReason: Int32, "pf_reason";
    PfDir: Int32, "pf_dir";
    PfRewritten: Int32, "pf_rewritten";
    PfRule: Int64, "pf_rule";
    PfSubRule: Int64, "pf_sub_rule";
    PfUid: Int64, "pf_uid";
    PfPid: Int64, "pf_pid";
    PfInterface: Text, "pf_interface";
    VlanId: Int32, "vlan_id";
    CustomerVlanId: Int32, "customer_vlan_id";
    PostVlanId: Int32, "post_vlan_id";
    PostCustomerVlanId: Int32, "post_customer_vlan_id";
    PhysIngress: Int64, "phys_ingress";
    PhysEgress: Int64, "phys_egress";
    VxLan: Int64, "vxlan";
    EtherType: Int32, "ethertype";
    IpVersion: Int32, "ip_version";
    FlowId: Int64, "flow_id";
    InService: Int32, "in_service";
    OutService: Int32, "out_service";
    NatString: Text, "nat_string";
    FragmentFlags: Int32, "fragment_flags";
    MinTtl: Int32, "min_ttl";
    MaxTtl: Int32, "max_ttl";
}

const COUNT: usize = {
    let (mut i, mut count) = (0, 0);
    while i < GROUPS.len() {
        count += GROUPS[i].len();
        i += 1;
    }
    count
};

/// The groups one behind the other.
const TABLE: [Column; COUNT] = {
    let mut all = [GROUPS[0][0]; COUNT];
    let (mut i, mut at) = (0, 0);
    while i < GROUPS.len() {
        let mut j = 0;
        while j < GROUPS[i].len() {
            all[at] = GROUPS[i][j];
            (j, at) = (j + 1, at + 1);
        }
        i += 1;
    }
    all
};

impl Column {
    const fn of(field: Field, kind: Type, name: &'static str) -> Self {
        Self { name, kind, field: Some(field), about: field.def().about }
    }
}

impl Column {
    /// The column as Parquet knows it: optional, and not nested.
    fn node(&self) -> Result<Node, parquet::errors::ParquetError> {
        let (physical, length, logical, converted) = match self.kind {
            Type::Int32 => (Physical::INT32, 0, None, ConvertedType::NONE),
            Type::Int64 | Type::Addr4 => (Physical::INT64, 0, None, ConvertedType::NONE),
            Type::Timestamp => {
                let logical = LogicalType::timestamp(true, TimeUnit::NANOS);
                (Physical::INT64, 0, Some(logical), ConvertedType::NONE)
            }
            Type::Addr16 => (Physical::FIXED_LEN_BYTE_ARRAY, 16, None, ConvertedType::NONE),
            Type::Mac => (Physical::FIXED_LEN_BYTE_ARRAY, 6, None, ConvertedType::NONE),
            Type::Acl => (Physical::FIXED_LEN_BYTE_ARRAY, 12, None, ConvertedType::NONE),
            Type::AddrText | Type::Text => {
                (Physical::BYTE_ARRAY, 0, Some(LogicalType::String), ConvertedType::UTF8)
            }
            Type::Bytes => (Physical::BYTE_ARRAY, 0, None, ConvertedType::NONE),
        };
        Node::primitive_type_builder(self.name, physical)
            .with_repetition(Repetition::OPTIONAL)
            .with_length(length)
            .with_logical_type(logical)
            .with_converted_type(converted)
            .build()
    }
}

/// The schema of all files.
///
/// # Errors
/// Only if the columns contradict what Parquet knows, which a test rules out.
pub fn message() -> Result<TypePtr, parquet::errors::ParquetError> {
    let nodes: Result<Vec<_>, _> = COLUMNS.iter().map(|c| c.node().map(Arc::new)).collect();
    Node::group_type_builder("flow").with_fields(nodes?).build().map(Arc::new)
}

/// Columns of a field: three for an address, one for others, none for fields that are not stored.
pub fn of(field: Field) -> impl Iterator<Item = &'static Column> {
    COLUMNS.iter().filter(move |column| column.field == Some(field))
}

#[cfg(test)]
mod tests {
    use super::*;
    use record::Kind;
    use std::collections::HashSet;

    #[test]
    fn every_stored_field_has_its_columns() {
        for field in Field::ALL {
            let kinds: Vec<_> = of(*field).map(|column| column.kind).collect();
            let want = match field.kind() {
                _ if field.is_derived() => vec![],
                Kind::U8 | Kind::U16 => vec![Type::Int32],
                Kind::U32 | Kind::U64 | Kind::Micros => vec![Type::Int64],
                Kind::Time => vec![Type::Timestamp],
                Kind::Addr => vec![Type::Addr16, Type::Addr4, Type::AddrText],
                Kind::Mac => vec![Type::Mac],
                Kind::Acl => vec![Type::Acl],
                Kind::Text(_) => vec![Type::Text],
                Kind::Bytes => vec![Type::Bytes],
            };
            assert_eq!(kinds, want, "{field:?}");
        }
    }

    #[test]
    fn parquet_takes_all_columns() {
        let message = message().unwrap();
        let names: Vec<_> = message.get_fields().iter().map(|f| f.name()).collect();
        let want: Vec<_> = COLUMNS.iter().map(|column| column.name).collect();
        assert_eq!(names, want);
    }

    #[test]
    fn names_are_unique_and_plain() {
        let mut seen = HashSet::new();
        for column in COLUMNS {
            assert!(seen.insert(column.name), "{} twice", column.name);
            let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            assert!(column.name.chars().all(is_plain), "{}", column.name);
        }
    }
}
