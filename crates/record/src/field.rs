//! The field table: one line for everything a flow record can say.
//!
//! Decoder plans, file extensions, filter words, statistics, columns and JSON keys all refer to
//! [`Field`]. Where a field lies in a file or a datagram is not said here: `store` and `wire` own
//! tables of their own, keyed by field.

/// How a field's octets are to be read. Numbers lie little-endian in a [`Row`](crate::Row).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Unsigned, 1 octet.
    U8,
    /// Unsigned, 2 octets.
    U16,
    /// Unsigned, 4 octets.
    U32,
    /// Unsigned, 8 octets.
    U64,
    /// Milliseconds since 1970-01-01T00:00:00Z, 8 octets.
    Time,
    /// A span in microseconds, 8 octets.
    Micros,
    /// IPv4 (4 octets, a little-endian number) or IPv6 (two little-endian u64, high half first).
    Addr,
    /// 48-bit MAC address in the low bits of 8 octets.
    Mac,
    /// Three 32-bit ids in network byte order, 12 octets (Cisco ACL ids).
    Acl,
    /// Text, padded with NUL; at most this many octets, 0 for any length.
    Text(u16),
    /// Octets of any length.
    Bytes,
}

impl Kind {
    /// Octets of storage a value needs, or `None` where the length varies.
    pub const fn width(self) -> Option<u16> {
        match self {
            Self::U8 => Some(1),
            Self::U16 => Some(2),
            Self::U32 => Some(4),
            Self::U64 | Self::Time | Self::Micros | Self::Mac => Some(8),
            Self::Acl => Some(12),
            Self::Addr => Some(16),
            Self::Text(_) | Self::Bytes => None,
        }
    }

    /// Whether the value is an unsigned number that `Row::u64` can deliver.
    pub const fn is_number(self) -> bool {
        matches!(
            self,
            Self::U8 | Self::U16 | Self::U32 | Self::U64 | Self::Time | Self::Micros | Self::Mac
        )
    }
}

/// What the field table says of one field.
#[derive(Clone, Copy, Debug)]
pub struct FieldDef {
    /// The field itself.
    pub field: Field,
    /// How its octets are read.
    pub kind: Kind,
    /// IANA IPFIX information element number, 0 where there is none.
    pub ie: u16,
    /// The words that name it in the filter language, `""` where the language has none.
    pub words: &'static str,
    /// The `fmt:` token without its `%`, `""` where there is none.
    pub token: &'static str,
    /// Column name in CSV, `""` where there is none.
    pub csv: &'static str,
    /// Key in JSON. Addresses carry a `{}` where JSON has `4` or `6`.
    pub json: &'static str,
    /// What it is, in a few words.
    pub about: &'static str,
}

macro_rules! fields {
    ($($name:ident: $kind:expr, $ie:literal, $words:literal, $token:literal, $csv:literal, $json:literal, $about:literal;)*) => {
        /// One thing a flow record can say. The order is the order of the extensions in
        /// `nfcapd` files, which is also the order of the keys in JSON output.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Field { $(#[doc = $about] $name),* }

        impl Field {
            /// Every field, in table order: `ALL[f as usize] == f`.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];
            /// How many fields there are.
            pub const COUNT: usize = Self::ALL.len();
            const TABLE: &'static [FieldDef] = &[$(FieldDef {
                field: Self::$name, kind: $kind, ie: $ie, words: $words, token: $token,
                csv: $csv, json: $json, about: $about,
            }),*];
        }
    };
}

use Kind::{Acl, Addr, Bytes, Mac, Micros, Text, Time, U8, U16, U32, U64};

fields! {
    // name: kind, element, filter words, token, csv, json, about
    // Record header.
    EngineType: U8, 38, "engine-type", "", "", "engine_type", "engine type of the exporter";
    EngineId: U8, 39, "engine-id", "", "", "engine_id", "engine id of the exporter";
    ExporterId: U16, 144, "exporter id", "exp", "exporterID", "export_sysid", "number of the exporter in the file";
    RecordFlags: U8, 0, "", "", "", "flags", "record flags: 1 event, 2 sampled, 4 anonymised";
    Source: U8, 0, "", "nfv", "version", "version", "protocol the record came from";
    // Extension 1.
    First: Time, 152, "first seen", "ts", "firstSeen", "first", "start of the flow";
    Last: Time, 153, "last seen", "te", "lastSeen", "last", "end of the flow";
    Received: Time, 258, "", "tr", "received", "received", "arrival of the export packet";
    Packets: U64, 2, "packets", "pkt", "packets", "in_packets", "packets, scaled by the sampling rate";
    Bytes: U64, 1, "bytes", "byt", "bytes", "in_bytes", "octets, scaled by the sampling rate";
    SrcPort: U16, 7, "src port", "sp", "srcPort", "src_port", "source port";
    DstPort: U16, 11, "dst port", "dp", "dstPort", "dst_port", "destination port, ICMP type*256+code";
    Proto: U8, 4, "proto", "pr", "proto", "proto", "IP protocol";
    TcpFlags: U8, 6, "flags", "flg", "flags", "tcp_flags", "TCP flags seen, ORed";
    FwdStatus: U8, 89, "fwdstat", "fwd", "fwdStatus", "fwd_status", "forwarding status";
    SrcTos: U8, 5, "src tos", "stos", "srcTos", "src_tos", "type of service on entry";
    // Parts of the destination port of extension 1, in a row only.
    IcmpType: U8, 0, "icmp-type", "it", "icmpType", "icmp_type", "ICMP type";
    IcmpCode: U8, 0, "icmp-code", "ic", "icmpCode", "icmp_code", "ICMP code";
    // Extensions 2 and 3.
    SrcAddr: Addr, 8, "src ip", "sa", "srcAddr", "src{}_addr", "source address";
    DstAddr: Addr, 12, "dst ip", "da", "dstAddr", "dst{}_addr", "destination address";
    // Extension 4.
    Input: U32, 10, "in if", "in", "input", "input_snmp", "input interface index";
    Output: U32, 14, "out if", "out", "output", "output_snmp", "output interface index";
    SrcMask: U8, 9, "src mask", "smk", "srcMask", "src_mask", "source prefix length";
    DstMask: U8, 13, "dst mask", "dmk", "dstMask", "dst_mask", "destination prefix length";
    Direction: U8, 61, "flowdir", "dir", "direction", "direction", "0 ingress, 1 egress";
    DstTos: U8, 55, "dst tos", "dtos", "dstTos", "dst_tos", "type of service on exit";
    BiflowDir: U8, 239, "", "bfd", "biDirection", "biflow_dir", "biflow direction";
    EndReason: U8, 136, "", "end", "endReason", "end_reason", "why the flow ended";
    // Extension 5.
    Flows: U64, 3, "flows", "fl", "flows", "aggr_flows", "aggregated flows";
    OutPackets: U64, 24, "out packets", "opkt", "outPackets", "out_packets", "packets of the other direction";
    OutBytes: U64, 23, "out bytes", "obyt", "outBytes", "out_bytes", "octets of the other direction";
    // Extension 6.
    SrcVlan: U32, 58, "src vlan", "svln", "srcVlan", "src_vlan", "source VLAN";
    DstVlan: U32, 59, "dst vlan", "dvln", "dstVlan", "dst_vlan", "destination VLAN";
    // Extension 7.
    SrcAs: U32, 16, "src as", "sas", "srcAS", "src_as", "source autonomous system";
    DstAs: U32, 17, "dst as", "das", "dstAS", "dst_as", "destination autonomous system";
    // Extensions 8 to 13.
    BgpNextHop: Addr, 18, "bgp next ip", "nhb", "bgpNextIP", "bgp{}_next_hop", "BGP next hop";
    NextHop: Addr, 15, "next ip", "nh", "nextIP", "ip{}_next_hop", "next hop";
    Router: Addr, 130, "router ip", "ra", "routerIP", "ip{}_router", "address the export came from";
    // Extension 14.
    Mpls1: U32, 70, "mpls label1", "mpls1", "mplsLabel1", "mpls_1", "MPLS label 1: label*16 + exp*2 + bottom";
    Mpls2: U32, 71, "mpls label2", "mpls2", "mplsLabel2", "mpls_2", "MPLS label 2";
    Mpls3: U32, 72, "mpls label3", "mpls3", "mplsLabel3", "mpls_3", "MPLS label 3";
    Mpls4: U32, 73, "mpls label4", "mpls4", "mplsLabel4", "mpls_4", "MPLS label 4";
    Mpls5: U32, 74, "mpls label5", "mpls5", "mplsLabel5", "mpls_5", "MPLS label 5";
    Mpls6: U32, 75, "mpls label6", "mpls6", "mplsLabel6", "mpls_6", "MPLS label 6";
    Mpls7: U32, 76, "mpls label7", "mpls7", "mplsLabel7", "mpls_7", "MPLS label 7";
    Mpls8: U32, 77, "mpls label8", "mpls8", "mplsLabel8", "mpls_8", "MPLS label 8";
    Mpls9: U32, 78, "mpls label9", "mpls9", "mplsLabel9", "mpls_9", "MPLS label 9";
    Mpls10: U32, 79, "mpls label10", "mpls10", "mplsLabel10", "mpls_10", "MPLS label 10";
    // Extension 15.
    InSrcMac: Mac, 56, "in src mac", "ismc", "inSrcMac", "in_src_mac", "source MAC on entry";
    OutDstMac: Mac, 57, "out dst mac", "odmc", "outDstMac", "out_dst_mac", "destination MAC on exit";
    InDstMac: Mac, 80, "in dst mac", "idmc", "inDstMac", "in_dst_mac", "destination MAC on entry";
    OutSrcMac: Mac, 81, "out src mac", "osmc", "outSrcMac", "out_src_mac", "source MAC on exit";
    // Extension 16.
    NextAs: U32, 128, "next as", "nas", "nextAS", "next_as", "next adjacent autonomous system";
    PrevAs: U32, 129, "prev as", "pas", "prevAS", "prev_as", "previous adjacent autonomous system";
    // Extension 17.
    ClientLatency: Micros, 0, "client latency", "cl", "clientLatency", "cli_latency", "network delay of the client";
    ServerLatency: Micros, 0, "server latency", "sl", "serverLatency", "srv_latency", "network delay of the server";
    AppLatency: Micros, 0, "", "al", "appLatency", "app_latency", "latency of the application";
    // Extension 18.
    SelectorId: U64, 302, "", "", "samplerID", "sampler_id", "sampler the exporter named in the record";
    // Extension 19.
    FwEventTime: Time, 323, "", "tevt", "eventTime", "t_event", "time of the firewall event";
    ConnId: U32, 148, "", "nfc", "connectionID", "connect_id", "connection id";
    FwXEvent: U16, 33002, "asa xevent", "xevt", "xEvent", "xevent_id", "extended firewall event";
    FwEvent: U8, 233, "asa event", "", "", "event_id", "firewall event";
    // Extensions 20 to 22.
    XlateSrcAddr: Addr, 225, "src nat ip", "xsa", "srcXIP", "src{}_xlt_ip", "source address after translation";
    XlateDstAddr: Addr, 226, "dst nat ip", "xda", "dstXIP", "dst{}_xlt_ip", "destination address after translation";
    XlateSrcPort: U16, 227, "src nat port", "xsp", "srcXPort", "src_xlt_port", "source port after translation";
    XlateDstPort: U16, 228, "dst nat port", "xdp", "dstXPort", "dst_xlt_port", "destination port after translation";
    // Extensions 23 and 24.
    IngressAcl: Acl, 33000, "ingress acl", "iacl", "ingressACL", "ingress_acl", "access list ids on entry";
    EgressAcl: Acl, 33001, "egress acl", "eacl", "egressACL", "egress_acl", "access list ids on exit";
    Username: Text(65), 40000, "asa user", "uname", "nselUser", "user_name", "user name";
    // Extension 25.
    NatEventTime: Time, 323, "", "", "natEventTime", "t_event", "time of the NAT event";
    NatPool: U32, 283, "", "", "natPool", "nat_pool_id", "NAT pool";
    NatEvent: U8, 230, "nat event", "evt", "event", "nat_event_id", "NAT event";
    // Extension 26.
    PblockStart: U16, 361, "nat pblock start", "pbstart", "pbStart", "pblock_start", "first port of the block";
    PblockEnd: U16, 362, "nat pblock end", "pbend", "pbEnd", "pblock_end", "last port of the block";
    PblockStep: U16, 363, "nat pblock step", "pbstep", "pbStep", "pblock_step", "step of the ports in the block";
    PblockSize: U16, 364, "nat pblock size", "pbsize", "pbSize", "pblock_size", "ports in the block";
    // Extensions 27 to 30.
    AppId: Bytes, 95, "", "nbid", "nbarID", "app_id", "application id: engine octet, then selector";
    Label: Text(0), 0, "", "lbl", "label", "label", "label";
    InPayload: Bytes, 0, "", "ipl", "", "in_payload", "first payload octets, forward";
    OutPayload: Bytes, 0, "", "opl", "", "out_payload", "first payload octets, reverse";
    // Extensions 31 and 32.
    TunSrcAddr: Addr, 0, "src tun ip", "", "tunSrcAddr", "src{}_tun_ip", "outer source address";
    TunDstAddr: Addr, 0, "dst tun ip", "", "tunDstAddr", "dst{}_tun_ip", "outer destination address";
    TunProto: U32, 0, "tun proto", "", "tunProto", "tun_proto", "protocol number of the tunnel";
    // Extension 33.
    ObservationPoint: U64, 138, "observation point id", "opid", "obsPointID", "observationPointID", "observation point";
    ObservationDomain: U32, 149, "observation domain id", "odid", "obsDomainID", "observationDomainID", "observation domain";
    // Extensions 34 and 35.
    FrameSize: U16, 312, "", "", "frameSize", "frame_size", "length of the sampled frame";
    LinkType: U16, 408, "", "", "linkType", "link_type", "link type of the sampled frame";
    Frame: Bytes, 315, "", "", "", "frame", "section of the sampled frame";
    // Extension 36.
    EgressVrf: U32, 235, "egress vrf", "evrf", "egressVrfID", "egress_vrf", "VRF on exit";
    IngressVrf: U32, 234, "ingress vrf", "ivrf", "ingressVrfID", "ingress_vrf", "VRF on entry";
    // Extension 37.
    PfAction: U8, 0, "pf action", "pfact", "pfAction", "pf_action", "pf action";
    PfReason: U8, 0, "pf reason", "pfrea", "pfReason", "pf_reason", "pf reason";
    PfDir: U8, 0, "pf dir", "pfdir", "pfDirection", "pf_dir", "pf direction";
    PfRewritten: U8, 0, "", "", "pfRewritten", "pf_rewritten", "whether pf rewrote the packet";
    PfRule: U32, 0, "pf rule", "pfrule", "pfRule", "pf_rule", "pf rule number";
    PfSubRule: U32, 0, "", "", "pfSubRule", "pf_subrule", "pf rule number inside an anchor";
    PfUid: U32, 0, "", "", "pfUid", "pf_uid", "user id of the socket";
    PfPid: U32, 0, "", "", "pfPid", "pf_pid", "process id of the socket";
    PfInterface: Text(0), 0, "pf interface", "pfifn", "pfInterface", "pf_interface", "pf interface";
    // Extension 38.
    VlanId: U16, 243, "", "", "vlanID", "vlanID", "802.1Q VLAN";
    CustomerVlanId: U16, 245, "", "", "custVlanID", "cust_vlanID", "customer VLAN";
    PostVlanId: U16, 254, "", "", "postVlanID", "post_vlanID", "VLAN on exit";
    PostCustomerVlanId: U16, 255, "", "", "postCustVlanID", "post_cust_vlanID", "customer VLAN on exit";
    PhysIngress: U32, 252, "", "", "physIngress", "phys_ingress", "physical input interface";
    PhysEgress: U32, 253, "", "", "physEgress", "phys_egress", "physical output interface";
    VxLan: U64, 351, "", "", "vxlan", "vxlan", "layer 2 segment id";
    EtherType: U16, 256, "ethertype", "eth", "etherType", "ethertype", "Ethernet type";
    IpVersion: U8, 60, "", "", "ipVersion", "ip_version", "IP version";
    // Extensions 39 to 42.
    FlowId: U64, 148, "", "flid", "flowID", "flowID", "flow id";
    InService: U16, 0, "", "isid", "inSrvID", "inServiceID", "Nokia service id on entry";
    OutService: U16, 0, "", "osid", "outSrvID", "outServiceID", "Nokia service id on exit";
    NatString: Text(0), 0, "", "nats", "natString", "natString", "Nokia NAT subscriber string";
    FragmentFlags: U8, 197, "", "frag", "Frag", "ip_fragment", "0x40 don't fragment, 0x20 more fragments";
    MinTtl: U8, 52, "min ttl", "minttl", "minTTL", "ip_minttl", "smallest TTL";
    MaxTtl: U8, 53, "max ttl", "maxttl", "maxTTL", "ip_maxttl", "largest TTL";
    // Looked up in an address book when flows are grouped by them; in a row only.
    SrcCountry: U16, 0, "", "sc", "srcGeo", "src_geo", "country of the source address";
    DstCountry: U16, 0, "", "dc", "dstGeo", "dst_geo", "country of the destination address";
}

impl Field {
    /// The field's line of the table.
    #[inline]
    pub const fn def(self) -> &'static FieldDef {
        &Self::TABLE[self as usize]
    }

    /// How the field's octets are read.
    #[inline]
    pub const fn kind(self) -> Kind {
        self.def().kind
    }

    /// Whether the field is a part of another one: it is there when that one is.
    pub const fn is_part(self) -> bool {
        matches!(self, Self::IcmpType | Self::IcmpCode)
    }

    /// Whether the field is a part of another one or looked up, seen in rows and never stored by
    /// itself.
    pub const fn is_derived(self) -> bool {
        self.is_part() || matches!(self, Self::SrcCountry | Self::DstCountry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn table_follows_the_enum() {
        for (i, f) in Field::ALL.iter().enumerate() {
            assert_eq!(*f as usize, i);
            assert_eq!(f.def().field, *f);
        }
    }

    #[test]
    fn names_are_unique() {
        for (what, of) in [
            ("words", (|d: &FieldDef| d.words) as fn(&FieldDef) -> &'static str),
            ("token", |d| d.token),
            ("csv", |d| d.csv),
        ] {
            let mut seen = HashSet::new();
            for d in Field::TABLE {
                let name = of(d);
                assert!(name.is_empty() || seen.insert(name), "{what} {name} twice");
            }
        }
        // One key a record: `t_event` is shared by extensions that exclude each other.
        let mut seen = HashSet::new();
        for d in Field::TABLE.iter().filter(|d| d.json != "t_event") {
            assert!(seen.insert(d.json), "json {} twice", d.json);
        }
    }

    #[test]
    fn addresses_have_a_place_for_the_family_in_json() {
        for d in Field::TABLE {
            assert_eq!(d.kind == Addr, d.json.contains("{}"), "{:?}", d.field);
        }
    }
}
