//! Records as JSON objects, in one array or one a line. Always valid JSON (RFC 8259).
//!
//! The keys of an extension stand together if the record has any field of it, in the order of the
//! extensions in files. Which those are is one look at the presence bits of the record's shape.

use crate::RecordContext;
use crate::clock::Clock;
use crate::column::MPLS;
use crate::digits::{push_addr, push_hex, push_mac, push_thousandths, push_u64};
use crate::escape::push_json;
use crate::text::{acl_ids, is_icmp, push_mpls};
use Field as F;
use record::code::{FwEvent, NatEvent, TcpFlags, record_flags};
use record::{Addr, Field, Mac, Row};

/// A key with all that stands before its value, in both forms.
#[derive(Clone, Copy)]
struct Key {
    pretty: &'static [u8],
    compact: &'static [u8],
}

macro_rules! key {
    ($name:literal) => {
        Key {
            pretty: concat!(",\n  \"", $name, "\" : ").as_bytes(),
            compact: concat!(",\"", $name, "\":").as_bytes(),
        }
    };
}

/// Appends a record as one object of an array. The line end that separates it from the bracket or
/// the comma before comes first.
pub(crate) fn record(
    clock: &mut Clock,
    row: Row<'_>,
    context: &RecordContext<'_>,
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(b"\n {\n  \"cnt\" : ");
    Object::<true> { out, clock, row }.write(context);
    out.extend_from_slice(b"\n }");
}

/// Appends a record as one line.
pub(crate) fn line(
    clock: &mut Clock,
    row: Row<'_>,
    context: &RecordContext<'_>,
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(b"{\"cnt\":");
    Object::<false> { out, clock, row }.write(context);
    out.extend_from_slice(b"}\n");
}

struct Object<'a, const PRETTY: bool> {
    out: &'a mut Vec<u8>,
    clock: &'a mut Clock,
    row: Row<'a>,
}

/// An extension whose keys are plain numbers.
struct Numbers {
    keys: &'static [(Key, Field)],
    /// Presence bits of its fields.
    bits: u128,
}

impl Numbers {
    const fn new(keys: &'static [(Key, Field)]) -> Self {
        let mut bits = 0;
        let mut i = 0;
        while i < keys.len() {
            bits |= 1 << keys[i].1 as u32;
            i += 1;
        }
        Self { keys, bits }
    }
}

/// Presence bits of some fields.
const fn bits(fields: &[Field]) -> u128 {
    let mut bits = 0;
    let mut i = 0;
    while i < fields.len() {
        bits |= 1 << fields[i] as u32;
        i += 1;
    }
    bits
}

static COUNTERS: Numbers = Numbers::new(&[
    (key!("out_packets"), F::OutPackets),
    (key!("out_bytes"), F::OutBytes),
    (key!("aggr_flows"), F::Flows),
]);
static VLAN: Numbers =
    Numbers::new(&[(key!("src_vlan"), F::SrcVlan), (key!("dst_vlan"), F::DstVlan)]);
static AS: Numbers = Numbers::new(&[(key!("src_as"), F::SrcAs), (key!("dst_as"), F::DstAs)]);
static ADJACENT_AS: Numbers =
    Numbers::new(&[(key!("next_as"), F::NextAs), (key!("prev_as"), F::PrevAs)]);
static XLATE_PORTS: Numbers = Numbers::new(&[
    (key!("src_xlt_port"), F::XlateSrcPort),
    (key!("dst_xlt_port"), F::XlateDstPort),
]);
static PORT_BLOCK: Numbers = Numbers::new(&[
    (key!("pblock_start"), F::PblockStart),
    (key!("pblock_end"), F::PblockEnd),
    (key!("pblock_step"), F::PblockStep),
    (key!("pblock_size"), F::PblockSize),
]);
static OBSERVATION: Numbers = Numbers::new(&[
    (key!("observationDomainID"), F::ObservationDomain),
    (key!("observationPointID"), F::ObservationPoint),
]);
static VRF: Numbers =
    Numbers::new(&[(key!("ingress_vrf"), F::IngressVrf), (key!("egress_vrf"), F::EgressVrf)]);
static LAYER2: Numbers = Numbers::new(&[
    (key!("vlanID"), F::VlanId),
    (key!("post_vlanID"), F::PostVlanId),
    (key!("cust_vlanID"), F::CustomerVlanId),
    (key!("post_cust_vlanID"), F::PostCustomerVlanId),
    (key!("phys_ingress"), F::PhysIngress),
    (key!("phys_egress"), F::PhysEgress),
    (key!("ethertype"), F::EtherType),
    (key!("ip_version"), F::IpVersion),
]);
static FLOW_ID: Numbers = Numbers::new(&[(key!("flowID"), F::FlowId)]);
static SERVICES: Numbers =
    Numbers::new(&[(key!("inServiceID"), F::InService), (key!("outServiceID"), F::OutService)]);
static TTL: Numbers =
    Numbers::new(&[(key!("ip_minttl"), F::MinTtl), (key!("ip_maxttl"), F::MaxTtl)]);

impl<const PRETTY: bool> Object<'_, PRETTY> {
    fn write(&mut self, context: &RecordContext<'_>) {
        let flags = self.row.number(F::RecordFlags) as u8;
        push_u64(self.out, context.count);
        let kind = if flags & record_flags::EVENT != 0 { "EVENT" } else { "FLOW" };
        self.word(key!("type"), kind);
        if !context.ident.is_empty() {
            self.text(key!("ident"), context.ident.as_bytes());
        }
        self.number(key!("export_sysid"), F::ExporterId);
        self.generic();
        self.addresses();
        self.misc();
        self.numbers(&COUNTERS);
        self.numbers(&VLAN);
        self.numbers(&AS);
        self.next_hops();
        self.link();
        self.latency();
        self.firewall_event();
        self.translation();
        self.acls_and_user();
        self.nat_event();
        self.numbers(&PORT_BLOCK);
        self.tunnel();
        self.numbers(&OBSERVATION);
        self.numbers(&VRF);
        self.numbers(&LAYER2);
        self.numbers(&FLOW_ID);
        self.numbers(&SERVICES);
        if let Some(text) = self.row.text(F::NatString) {
            self.text(key!("natString"), text);
        }
        self.ip_info();
        self.value(key!("sampled"), u64::from(flags & record_flags::SAMPLED != 0));
    }

    /// Extension 1.
    fn generic(&mut self) {
        if !self.has_any(const { bits(&[F::First, F::Last, F::Packets, F::Proto]) }) {
            return;
        }
        self.time(key!("first"), self.row.number(F::First));
        self.time(key!("last"), self.row.number(F::Last));
        self.time(key!("received"), self.row.number(F::Received));
        self.number(key!("in_packets"), F::Packets);
        self.number(key!("in_bytes"), F::Bytes);
        self.number(key!("proto"), F::Proto);
        if is_icmp(self.row) {
            self.number(key!("icmp_type"), F::IcmpType);
            self.number(key!("icmp_code"), F::IcmpCode);
        } else {
            self.key(key!("tcp_flags"));
            self.out.push(b'"');
            let flags = TcpFlags(self.row.number(F::TcpFlags) as u8);
            self.out.extend_from_slice(&flags.letters());
            self.out.push(b'"');
            self.number(key!("src_port"), F::SrcPort);
            self.number(key!("dst_port"), F::DstPort);
            self.number(key!("fwd_status"), F::FwdStatus);
        }
        self.number(key!("src_tos"), F::SrcTos);
    }

    /// Extensions 2 and 3. There is no location database: the location is not known.
    fn addresses(&mut self) {
        let keys = ([key!("src4_addr"), key!("dst4_addr")], [key!("src6_addr"), key!("dst6_addr")]);
        match self.pair(keys, F::SrcAddr, F::DstAddr) {
            Some(Addr::V4(_)) => {
                self.word(key!("src4_geo"), "");
                self.word(key!("dst4_geo"), "");
            }
            Some(Addr::V6(_)) => {
                self.word(key!("src6_geo"), "");
                self.word(key!("dst6_geo"), "");
            }
            None => {}
        }
    }

    /// Extension 4.
    fn misc(&mut self) {
        if !self.has_any(
            const { bits(&[F::Input, F::Output, F::SrcMask, F::DstMask, F::Direction, F::DstTos]) },
        ) {
            return;
        }
        self.number(key!("input_snmp"), F::Input);
        self.number(key!("output_snmp"), F::Output);
        self.number(key!("src_mask"), F::SrcMask);
        self.number(key!("dst_mask"), F::DstMask);
        self.net(key!("src_net"), F::SrcAddr, F::SrcMask);
        self.net(key!("dst_net"), F::DstAddr, F::DstMask);
        self.number(key!("direction"), F::Direction);
        self.number(key!("dst_tos"), F::DstTos);
    }

    /// Extensions 8 to 13.
    fn next_hops(&mut self) {
        let hops = [
            (F::BgpNextHop, key!("bgp4_next_hop"), key!("bgp6_next_hop")),
            (F::NextHop, key!("ip4_next_hop"), key!("ip6_next_hop")),
            (F::Router, key!("ip4_router"), key!("ip6_router")),
        ];
        for (field, four, six) in hops {
            match self.row.addr(field) {
                Some(addr @ Addr::V4(_)) => self.address(four, addr),
                Some(addr @ Addr::V6(_)) => self.address(six, addr),
                None => {}
            }
        }
    }

    /// Extensions 14 to 16.
    fn link(&mut self) {
        const LABELS: [Key; 10] = [
            key!("mpls_1"),
            key!("mpls_2"),
            key!("mpls_3"),
            key!("mpls_4"),
            key!("mpls_5"),
            key!("mpls_6"),
            key!("mpls_7"),
            key!("mpls_8"),
            key!("mpls_9"),
            key!("mpls_10"),
        ];
        if self.has_any(const { bits(&MPLS) }) {
            for (key, field) in LABELS.into_iter().zip(MPLS) {
                self.key(key);
                self.out.push(b'"');
                push_mpls(self.out, self.row.number(field), 0);
                self.out.push(b'"');
            }
        }
        let macs = [
            (key!("in_src_mac"), F::InSrcMac),
            (key!("out_dst_mac"), F::OutDstMac),
            (key!("in_dst_mac"), F::InDstMac),
            (key!("out_src_mac"), F::OutSrcMac),
        ];
        if self.has_any(const { bits(&[F::InSrcMac, F::OutDstMac, F::InDstMac, F::OutSrcMac]) }) {
            for (key, field) in macs {
                self.key(key);
                self.out.push(b'"');
                push_mac(self.out, self.row.mac(field).unwrap_or(Mac(0)));
                self.out.push(b'"');
            }
        }
        self.numbers(&ADJACENT_AS);
    }

    /// Extension 17, milliseconds with six decimals.
    fn latency(&mut self) {
        let keys = [
            (key!("cli_latency"), F::ClientLatency),
            (key!("srv_latency"), F::ServerLatency),
            (key!("app_latency"), F::AppLatency),
        ];
        if !self.has_any(const { bits(&[F::ClientLatency, F::ServerLatency, F::AppLatency]) }) {
            return;
        }
        for (key, field) in keys {
            self.key(key);
            push_thousandths(self.out, self.row.number(field), 0);
            self.out.extend_from_slice(b"000");
        }
    }

    /// Extension 19.
    fn firewall_event(&mut self) {
        if !self.has_any(const { bits(&[F::FwEventTime, F::ConnId, F::FwXEvent, F::FwEvent]) }) {
            return;
        }
        let event = self.row.number(F::FwEvent);
        self.number(key!("connect_id"), F::ConnId);
        self.number(key!("event_id"), F::FwEvent);
        self.event(key!("event"), event, FwEvent(event as u8).name(), "-Unknw");
        self.number(key!("xevent_id"), F::FwXEvent);
        self.event_time(self.row.number(F::FwEventTime));
    }

    /// Extensions 20 to 22.
    fn translation(&mut self) {
        let keys = (
            [key!("src4_xlt_ip"), key!("dst4_xlt_ip")],
            [key!("src6_xlt_ip"), key!("dst6_xlt_ip")],
        );
        self.pair(keys, F::XlateSrcAddr, F::XlateDstAddr);
        self.numbers(&XLATE_PORTS);
    }

    /// Extensions 23 and 24.
    fn acls_and_user(&mut self) {
        let acls = [(key!("ingress_acl"), F::IngressAcl), (key!("egress_acl"), F::EgressAcl)];
        if self.has_any(const { bits(&[F::IngressAcl, F::EgressAcl]) }) {
            for (key, field) in acls {
                self.key(key);
                for (i, id) in acl_ids(self.row, field).into_iter().enumerate() {
                    self.out.extend_from_slice(if i == 0 { b"\"0x" } else { b"/0x" });
                    push_hex(self.out, id, 1);
                }
                self.out.push(b'"');
            }
        }
        if let Some(user) = self.row.text(F::Username) {
            self.text(key!("user_name"), if user.is_empty() { b"<empty>" } else { user });
        }
    }

    /// Extension 25. A record with both kinds of events has two times; the key can stand once.
    fn nat_event(&mut self) {
        if !self.has_any(const { bits(&[F::NatEventTime, F::NatPool, F::NatEvent]) }) {
            return;
        }
        let event = self.row.number(F::NatEvent);
        self.number(key!("nat_event_id"), F::NatEvent);
        self.event(key!("nat_event"), event, NatEvent(event as u8).long_name(), "-Unknown");
        self.number(key!("nat_pool_id"), F::NatPool);
        if !self.row.has(F::FwEventTime) {
            self.event_time(self.row.number(F::NatEventTime));
        }
    }

    /// Extensions 31 and 32.
    fn tunnel(&mut self) {
        if !self.has_any(const { bits(&[F::TunSrcAddr, F::TunDstAddr, F::TunProto]) }) {
            return;
        }
        self.number(key!("tun_proto"), F::TunProto);
        let keys = (
            [key!("src4_tun_ip"), key!("dst4_tun_ip")],
            [key!("src6_tun_ip"), key!("dst6_tun_ip")],
        );
        self.pair(keys, F::TunSrcAddr, F::TunDstAddr);
    }

    /// Extension 42: only what says something.
    fn ip_info(&mut self) {
        let flags = self.row.number(F::FragmentFlags);
        let fragment = match (flags & 0x40 != 0, flags & 0x20 != 0) {
            (true, true) => "DFMF",
            (true, false) => "DF",
            (false, true) => "MF",
            (false, false) => "--",
        };
        if flags != 0 {
            self.word(key!("ip_fragment"), fragment);
        }
        if TTL.keys.iter().any(|(_, f)| self.row.number(*f) != 0) {
            self.numbers(&TTL);
        }
    }

    /// Two addresses of one family, if there is either; the missing one is all zeros. Returns what
    /// tells the family.
    fn pair(&mut self, keys: ([Key; 2], [Key; 2]), src: Field, dst: Field) -> Option<Addr> {
        let (a, b) = (self.row.addr(src), self.row.addr(dst));
        let family = a.or(b)?;
        let ([src, dst], none) = match family {
            Addr::V4(_) => (keys.0, Addr::V4(0)),
            Addr::V6(_) => (keys.1, Addr::V6(0)),
        };
        self.address(src, a.unwrap_or(none));
        self.address(dst, b.unwrap_or(none));
        Some(family)
    }

    fn net(&mut self, key: Key, addr: Field, mask: Field) {
        self.key(key);
        self.out.push(b'"');
        let masks = self.row.number(F::SrcMask) | self.row.number(F::DstMask);
        if masks != 0
            && let Some(addr) = self.row.addr(addr)
        {
            push_addr(self.out, addr.masked(self.row.number(mask).min(255) as u8));
        }
        self.out.push(b'"');
    }

    fn numbers(&mut self, numbers: &Numbers) {
        if self.has_any(numbers.bits) {
            for (key, field) in numbers.keys {
                self.number(*key, *field);
            }
        }
    }

    #[inline]
    const fn has_any(&self, bits: u128) -> bool {
        self.row.shape().present() & bits != 0
    }

    #[inline]
    fn number(&mut self, key: Key, field: Field) {
        self.value(key, self.row.number(field));
    }

    #[inline]
    fn value(&mut self, key: Key, n: u64) {
        self.key(key);
        push_u64(self.out, n);
    }

    fn address(&mut self, key: Key, addr: Addr) {
        self.key(key);
        self.out.push(b'"');
        push_addr(self.out, addr);
        self.out.push(b'"');
    }

    fn time(&mut self, key: Key, ms: u64) {
        self.key(key);
        self.out.push(b'"');
        self.clock.push_millis(self.out, ms, b'T');
        self.out.push(b'"');
    }

    fn event_time(&mut self, ms: u64) {
        if ms == 0 {
            self.word(key!("t_event"), "<unknown>");
        } else {
            self.time(key!("t_event"), ms);
        }
    }

    fn event(&mut self, key: Key, number: u64, name: Option<&str>, unknown: &str) {
        self.key(key);
        self.out.push(b'"');
        match name {
            Some(name) => self.out.extend_from_slice(name.as_bytes()),
            None => {
                push_u64(self.out, number);
                self.out.extend_from_slice(unknown.as_bytes());
            }
        }
        self.out.push(b'"');
    }

    /// Text from outside.
    fn text(&mut self, key: Key, text: &[u8]) {
        self.key(key);
        push_json(self.out, text);
    }

    /// A word of ours that needs no escapes.
    fn word(&mut self, key: Key, word: &str) {
        self.key(key);
        self.out.push(b'"');
        self.out.extend_from_slice(word.as_bytes());
        self.out.push(b'"');
    }

    #[inline]
    fn key(&mut self, key: Key) {
        self.out.extend_from_slice(if PRETTY { key.pretty } else { key.compact });
    }
}
