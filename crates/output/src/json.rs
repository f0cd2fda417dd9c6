//! Records as JSON objects, in one array or one a line. Always valid JSON (RFC 8259).
//!
//! The keys of an extension stand together if the record has any field of it, in the order of the
//! extensions in files. Which those are is one look at the presence bits of the record's shape.

mod keys;
mod rare;

use crate::RecordContext;
use crate::column::{MPLS, bits};
use crate::draft::{Draft, Ink, Word};
use crate::escape::push_json;
use crate::format::Format;
use crate::value::{State, event_time, number_of, proto};
use Field as F;
use keys::{Key, bits_of, key, numbers};
use record::code::{FwEvent, NatEvent, TcpFlags, record_flags};
use record::{Addr, Field, Kind, Row};

/// Appends a record as one object of an array. The line end that separates it from the bracket or
/// the comma before comes first.
pub(crate) fn record(
    format: &Format,
    state: &mut State,
    row: Row<'_>,
    context: &RecordContext<'_>,
    out: &mut Vec<u8>,
) {
    on_draft::<true>(format, state, row, context, out);
}

/// Appends a record as one line.
pub(crate) fn line(
    format: &Format,
    state: &mut State,
    row: Row<'_>,
    context: &RecordContext<'_>,
    out: &mut Vec<u8>,
) {
    on_draft::<false>(format, state, row, context, out);
}

fn on_draft<const PRETTY: bool>(
    format: &Format,
    state: &mut State,
    row: Row<'_>,
    context: &RecordContext<'_>,
    out: &mut Vec<u8>,
) {
    let mut paper = state.paper.take().unwrap_or_default();
    let draft = Draft::new(&mut paper, out);
    match context.is_sum() {
        false => {
            Object::<_, PRETTY, false>::new(format, state, row, context, draft).write().finish()
        }
        true => Object::<_, PRETTY, true>::new(format, state, row, context, draft).write().finish(),
    }
    state.paper = Some(paper);
}

/// One record. What most records have is all inlined; what few have goes another way ([`rare`]).
///
/// [`rare`]: Object::rare
struct Object<'a, I, const PRETTY: bool, const SUM: bool> {
    format: &'a Format,
    state: &'a mut State,
    row: Row<'a>,
    context: &'a RecordContext<'a>,
    /// Presence bits of what the record has and may show.
    present: u128,
    ink: I,
}

/// An object of which parts go onto the end of what is there.
type Rare<'a, const PRETTY: bool, const SUM: bool> = Object<'a, &'a mut Vec<u8>, PRETTY, SUM>;

impl<'a, I: Ink, const PRETTY: bool, const SUM: bool> Object<'a, I, PRETTY, SUM> {
    #[inline(always)]
    fn new(
        format: &'a Format,
        state: &'a mut State,
        row: Row<'a>,
        context: &'a RecordContext<'a>,
        ink: I,
    ) -> Self {
        let present = row.shape().present() & context.shown;
        Self { format, state, row, context, present, ink }
    }

    #[inline(always)]
    fn write(mut self) -> I {
        self.ink.word(if PRETTY { &OPEN } else { &OPEN_LINE });
        self.ink.number(self.context.count);
        let flags = number_of(self.row, F::RecordFlags) as u8;
        self.origin(flags);
        self.generic();
        self.addresses();
        self.misc();
        numbers!(self, "out_packets" OutPackets, "out_bytes" OutBytes, "aggr_flows" Flows);
        numbers!(self, "src_vlan" SrcVlan, "dst_vlan" DstVlan);
        numbers!(self, "src_as" SrcAs, "dst_as" DstAs);
        self.next_hops();
        self.rare(const { bits(&MPLS) }, |o| o.labels());
        self.rare(bits_of!(InSrcMac, OutDstMac, InDstMac, OutSrcMac), |o| o.macs());
        numbers!(self, "next_as" NextAs, "prev_as" PrevAs);
        self.rare(bits_of!(ClientLatency, ServerLatency, AppLatency), |o| o.latency());
        self.firewall_event();
        self.translation();
        self.rare(bits_of!(IngressAcl, EgressAcl), |o| o.acls());
        self.rare(bits_of!(Username), |o| o.user());
        self.nat_event();
        numbers!(
            self,
            "pblock_start" PblockStart,
            "pblock_end" PblockEnd,
            "pblock_step" PblockStep,
            "pblock_size" PblockSize,
        );
        self.rare(bits_of!(InPayload, OutPayload), |o| o.payloads());
        self.rare(bits_of!(TunSrcAddr, TunDstAddr, TunProto), |o| o.tunnel());
        self.numbered();
        self.rare(bits_of!(NatString), |o| o.nat_string());
        self.ip_info();
        if self.has(F::RecordFlags) {
            self.key(key!("sampled"));
            self.ink.octet(u8::from(flags & record_flags::SAMPLED != 0));
        }
        self.ink.word(if PRETTY { &CLOSE } else { &CLOSE_LINE });
        self.ink
    }

    /// What few records have goes straight to the end of the text: what is written there needs no
    /// room of a known size, and is not inlined.
    #[inline(always)]
    fn rare(&mut self, bits: u128, write: impl FnOnce(&mut Rare<'_, PRETTY, SUM>)) {
        if self.has_any(bits) {
            write(&mut Object {
                format: self.format,
                state: self.state,
                row: self.row,
                context: self.context,
                present: self.present,
                ink: self.ink.long(),
            });
        }
    }

    /// What kind of record it is, and where it came from.
    #[inline(always)]
    fn origin(&mut self, flags: u8) {
        self.key(key!("type"));
        let is_event = flags & record_flags::EVENT != 0 && self.has(F::RecordFlags);
        self.ink.word(if is_event { &EVENT } else { &FLOW });
        if !self.context.ident.is_empty() {
            self.key(key!("ident"));
            self.ink.put(self.state.ident.quoted(self.context.ident));
        }
        self.number(key!("export_sysid"), F::ExporterId);
    }

    /// Extension 1.
    #[inline(always)]
    fn generic(&mut self) {
        if !self.has_any(bits_of!(First, Last, Packets, Proto)) {
            return;
        }
        self.time(key!("first"), F::First);
        self.time(key!("last"), F::Last);
        self.time(key!("received"), F::Received);
        self.number(key!("in_packets"), F::Packets);
        self.number(key!("in_bytes"), F::Bytes);
        self.proto();
        if proto(self.row).is_icmp() && self.has(F::Proto) {
            if self.has(F::DstPort) {
                self.key(key!("icmp_type"));
                self.digits(F::IcmpType);
                self.key(key!("icmp_code"));
                self.digits(F::IcmpCode);
            }
        } else {
            if self.has(F::TcpFlags) {
                self.key(key!("tcp_flags"));
                self.ink.word(&QUOTE);
                self.ink.flags(TcpFlags(number_of(self.row, F::TcpFlags) as u8));
                self.ink.word(&QUOTE);
            }
            self.port(key!("src_port"), F::SrcPort);
            self.port(key!("dst_port"), F::DstPort);
            self.number(key!("fwd_status"), F::FwdStatus);
        }
        self.number(key!("src_tos"), F::SrcTos);
    }

    /// The protocol: its number, or a text if names are asked for.
    #[inline(always)]
    fn proto(&mut self) {
        if !self.format.options.names {
            return self.number(key!("proto"), F::Proto);
        }
        if self.has(F::Proto) {
            self.key(key!("proto"));
            self.ink.word(&QUOTE);
            match proto(self.row).name() {
                Some(name) => self.ink.put(name.as_bytes()),
                None => self.digits(F::Proto),
            }
            self.ink.word(&QUOTE);
        }
    }

    /// A port: its number, or a text if there are names.
    #[inline(always)]
    fn port(&mut self, key: &Key, field: Field) {
        let Some(services) = self.format.services() else { return self.number(key, field) };
        if !self.has(field) {
            return;
        }
        self.key(key);
        match services.name(proto(self.row), number_of(self.row, field) as u16) {
            Some(name) => push_json(self.ink.long(), name.as_bytes()),
            None => {
                self.ink.word(&QUOTE);
                self.digits(field);
                self.ink.word(&QUOTE);
            }
        }
    }

    /// Extensions 2 and 3, and where the addresses are; empty if that is not known. Of flows that
    /// were grouped by country the country is all there is.
    #[inline(always)]
    fn addresses(&mut self) {
        match self.family(F::SrcAddr, F::DstAddr) {
            Some(Addr::V4(_)) => {
                self.pair([key!("src4_addr"), key!("dst4_addr")], [F::SrcAddr, F::DstAddr], V4);
                self.countries(key!("src4_geo"), key!("dst4_geo"));
            }
            Some(Addr::V6(_)) => {
                self.pair([key!("src6_addr"), key!("dst6_addr")], [F::SrcAddr, F::DstAddr], V6);
                self.countries(key!("src6_geo"), key!("dst6_geo"));
            }
            None => self.countries(key!("src_geo"), key!("dst_geo")),
        }
    }

    #[inline(always)]
    fn countries(&mut self, src: &Key, dst: &Key) {
        self.country(src, F::SrcCountry, F::SrcAddr);
        self.country(dst, F::DstCountry, F::DstAddr);
    }

    #[inline(always)]
    fn country(&mut self, key: &Key, own: Field, addr: Field) {
        let is_own = self.row.has(own);
        if !(is_own || self.has(addr) && self.has_any(bits_of!(SrcAddr, DstAddr))) {
            return;
        }
        self.key(key);
        self.ink.word(&QUOTE);
        if (is_own || self.context.book.is_some())
            && let Some(letters) = self.state.country(self.row, self.context, own, addr).letters()
        {
            self.ink.put(&letters);
        }
        self.ink.word(&QUOTE);
    }

    /// Extension 4.
    #[inline(always)]
    fn misc(&mut self) {
        if !self.has_any(bits_of!(Input, Output, SrcMask, DstMask, Direction, DstTos)) {
            return;
        }
        self.number(key!("input_snmp"), F::Input);
        self.number(key!("output_snmp"), F::Output);
        self.number(key!("src_mask"), F::SrcMask);
        self.number(key!("dst_mask"), F::DstMask);
        let (src, dst) = (number_of(self.row, F::SrcMask), number_of(self.row, F::DstMask));
        let is_known = src | dst != 0;
        self.net(key!("src_net"), F::SrcAddr, (F::SrcMask, src), is_known);
        self.net(key!("dst_net"), F::DstAddr, (F::DstMask, dst), is_known);
        self.number(key!("direction"), F::Direction);
        self.number(key!("dst_tos"), F::DstTos);
    }

    /// A network, empty unless one of the masks is known.
    #[inline(always)]
    fn net(&mut self, key: &Key, addr: Field, (mask, len): (Field, u64), is_known: bool) {
        if !self.has(mask) {
            return;
        }
        self.key(key);
        self.ink.word(&QUOTE);
        if is_known && let Some(addr) = self.row.addr(addr) {
            self.ink.address(addr.masked(len.min(255) as u8));
        }
        self.ink.word(&QUOTE);
    }

    /// Extensions 8 to 13.
    #[inline(always)]
    fn next_hops(&mut self) {
        self.hop(F::BgpNextHop, key!("bgp4_next_hop"), key!("bgp6_next_hop"));
        self.hop(F::NextHop, key!("ip4_next_hop"), key!("ip6_next_hop"));
        self.hop(F::Router, key!("ip4_router"), key!("ip6_router"));
    }

    #[inline(always)]
    fn hop(&mut self, field: Field, four: &Key, six: &Key) {
        match self.row.addr(field).filter(|_| self.has(field)) {
            Some(addr @ Addr::V4(_)) => self.address(four, addr),
            Some(addr @ Addr::V6(_)) => self.address(six, addr),
            None => {}
        }
    }

    /// Extension 19.
    #[inline(always)]
    fn firewall_event(&mut self) {
        if !self.has_any(FIREWALL) {
            return;
        }
        let event = number_of(self.row, F::FwEvent);
        self.number(key!("connect_id"), F::ConnId);
        self.number(key!("event_id"), F::FwEvent);
        if self.has(F::FwEvent) {
            self.event(key!("event"), event, FwEvent(event as u8).name(), "-Unknw");
        }
        self.number(key!("xevent_id"), F::FwXEvent);
        self.event_time();
    }

    /// Extensions 20 to 22.
    #[inline(always)]
    fn translation(&mut self) {
        let fields = [F::XlateSrcAddr, F::XlateDstAddr];
        match self.family(fields[0], fields[1]) {
            Some(Addr::V4(_)) => {
                self.pair([key!("src4_xlt_ip"), key!("dst4_xlt_ip")], fields, V4);
            }
            Some(Addr::V6(_)) => {
                self.pair([key!("src6_xlt_ip"), key!("dst6_xlt_ip")], fields, V6);
            }
            None => {}
        }
        if self.has_any(bits_of!(XlateSrcPort, XlateDstPort)) {
            self.port(key!("src_xlt_port"), F::XlateSrcPort);
            self.port(key!("dst_xlt_port"), F::XlateDstPort);
        }
    }

    /// Extension 25. A record with both kinds of events has one key for their time.
    #[inline(always)]
    fn nat_event(&mut self) {
        if !self.has_any(bits_of!(NatEventTime, NatPool, NatEvent)) {
            return;
        }
        let event = number_of(self.row, F::NatEvent);
        self.number(key!("nat_event_id"), F::NatEvent);
        if self.has(F::NatEvent) {
            self.event(key!("nat_event"), event, NatEvent(event as u8).long_name(), "-Unknown");
        }
        self.number(key!("nat_pool_id"), F::NatPool);
        if !self.has_any(FIREWALL) {
            self.event_time();
        }
    }

    /// Extensions 33 to 40, as far as they are numbers.
    #[inline(always)]
    fn numbered(&mut self) {
        numbers!(
            self,
            "observationDomainID" ObservationDomain,
            "observationPointID" ObservationPoint,
        );
        numbers!(self, "ingress_vrf" IngressVrf, "egress_vrf" EgressVrf);
        numbers!(
            self,
            "vlanID" VlanId,
            "post_vlanID" PostVlanId,
            "cust_vlanID" CustomerVlanId,
            "post_cust_vlanID" PostCustomerVlanId,
            "phys_ingress" PhysIngress,
            "phys_egress" PhysEgress,
            "ethertype" EtherType,
            "ip_version" IpVersion,
        );
        numbers!(self, "flowID" FlowId);
        numbers!(self, "inServiceID" InService, "outServiceID" OutService);
    }

    /// Extension 42: only what says something.
    #[inline(always)]
    fn ip_info(&mut self) {
        let flags = number_of(self.row, F::FragmentFlags);
        if flags != 0 && self.has(F::FragmentFlags) {
            self.key(key!("ip_fragment"));
            self.ink.put(match (flags & 0x40 != 0, flags & 0x20 != 0) {
                (true, true) => b"\"DFMF\"",
                (true, false) => b"\"DF\"",
                (false, true) => b"\"MF\"",
                (false, false) => b"\"--\"",
            });
        }
        if number_of(self.row, F::MinTtl) | number_of(self.row, F::MaxTtl) != 0 {
            numbers!(self, "ip_minttl" MinTtl, "ip_maxttl" MaxTtl);
        }
    }

    /// What tells the family of two addresses: one of them, if there is either.
    #[inline(always)]
    fn family(&self, src: Field, dst: Field) -> Option<Addr> {
        let known = |field| self.row.addr(field).filter(|_| self.has(field));
        known(src).or_else(|| known(dst))
    }

    /// Two addresses; a missing one is all zeros in a record of a file.
    #[inline(always)]
    fn pair(&mut self, [a, b]: [&Key; 2], [src, dst]: [Field; 2], none: Addr) {
        for (key, field) in [(a, src), (b, dst)] {
            if self.has(field) {
                self.address(key, self.row.addr(field).unwrap_or(none));
            }
        }
    }

    #[inline(always)]
    const fn has_any(&self, bits: u128) -> bool {
        self.present & bits != 0
    }

    /// Whether the key of a field stands in the object: of a record of a file all keys of its
    /// extensions do, of an aggregated one those that are known.
    #[inline(always)]
    const fn has(&self, field: Field) -> bool {
        !SUM || self.present >> field as u32 & 1 == 1
    }

    #[inline(always)]
    fn number(&mut self, key: &Key, field: Field) {
        if self.has(field) {
            self.key(key);
            self.digits(field);
        }
    }

    #[inline(always)]
    fn digits(&mut self, field: Field) {
        let n = number_of(self.row, field);
        match u8::try_from(n) {
            Ok(n) if field.kind() == Kind::U8 => self.ink.octet(n),
            _ => self.ink.number(n),
        }
    }

    #[inline(always)]
    fn address(&mut self, key: &Key, addr: Addr) {
        self.key(key);
        self.ink.word(&QUOTE);
        self.ink.address(addr);
        self.ink.word(&QUOTE);
    }

    #[inline(always)]
    fn time(&mut self, key: &Key, field: Field) {
        if self.has(field) {
            self.moment(key, number_of(self.row, field));
        }
    }

    #[inline(always)]
    fn moment(&mut self, key: &Key, ms: u64) {
        self.key(key);
        self.ink.word(&QUOTE);
        self.ink.time(&mut self.state.local, ms, b'T');
        self.ink.word(&QUOTE);
    }

    #[inline(always)]
    fn event_time(&mut self) {
        if !self.has(F::FwEventTime) && !self.has(F::NatEventTime) {
            return;
        }
        match event_time(self.row) {
            0 => {
                self.key(key!("t_event"));
                self.ink.put(b"\"<unknown>\"");
            }
            ms => self.moment(key!("t_event"), ms),
        }
    }

    #[inline(always)]
    fn event(&mut self, key: &Key, number: u64, name: Option<&str>, unknown: &str) {
        self.key(key);
        self.ink.word(&QUOTE);
        match name {
            Some(name) => self.ink.put(name.as_bytes()),
            None => {
                self.ink.number(number);
                self.ink.put(unknown.as_bytes());
            }
        }
        self.ink.word(&QUOTE);
    }

    #[inline(always)]
    fn key(&mut self, key: &Key) {
        self.ink.word(if PRETTY { &key.pretty } else { &key.compact });
    }
}

/// Presence bits of extension 19.
const FIREWALL: u128 = bits_of!(FwEventTime, ConnId, FwXEvent, FwEvent);

static OPEN: Word = Word::new("\n {\n  \"cnt\" : ");
static OPEN_LINE: Word = Word::new("{\"cnt\":");
static CLOSE: Word = Word::new("\n }");
static CLOSE_LINE: Word = Word::new("}\n");
static EVENT: Word = Word::new("\"EVENT\"");
static FLOW: Word = Word::new("\"FLOW\"");
static QUOTE: Word = Word::new("\"");

const V4: Addr = Addr::V4(0);
const V6: Addr = Addr::V6(0);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{events, flow, printed, random, rich, six};
    use record::Flow;
    use serde_json::Value;

    #[test]
    fn one_array() {
        let mut flow = six().swap_remove(0);
        for (field, n) in [
            (F::ExporterId, 1),
            (F::Received, 1_795_244_010_109),
            (F::Input, 21),
            (F::Output, 22),
            (F::SrcMask, 48),
            (F::DstMask, 32),
        ] {
            flow.set(field, n);
        }
        flow.set_addr(F::BgpNextHop, crate::sample::addr("2001:db8::ffff"));
        flow.set_addr(F::NextHop, crate::sample::addr("fe80::1"));
        flow.set_addr(F::Router, crate::sample::addr("127.0.0.1"));
        let want = r#"[
 {
  "cnt" : 1,
  "type" : "FLOW",
  "ident" : "lab-v9",
  "export_sysid" : 1,
  "first" : "2026-11-20T10:00:02.000",
  "last" : "2026-11-20T10:00:02.500",
  "received" : "2026-11-21T06:53:30.109",
  "in_packets" : 3,
  "in_bytes" : 900,
  "proto" : 17,
  "tcp_flags" : "........",
  "src_port" : 5353,
  "dst_port" : 53,
  "fwd_status" : 0,
  "src_tos" : 0,
  "src6_addr" : "2001:db8:1:2:3:4:5:6",
  "dst6_addr" : "2001:db8::53",
  "src6_geo" : "",
  "dst6_geo" : "",
  "input_snmp" : 21,
  "output_snmp" : 22,
  "src_mask" : 48,
  "dst_mask" : 32,
  "src_net" : "2001:db8:1::",
  "dst_net" : "2001:db8::",
  "direction" : 0,
  "dst_tos" : 0,
  "bgp6_next_hop" : "2001:db8::ffff",
  "ip6_next_hop" : "fe80::1",
  "ip4_router" : "127.0.0.1",
  "sampled" : 0
 }
]
"#;
        assert_eq!(printed("json", &[flow]), want);
    }

    #[test]
    fn arrays_of_none_and_many() {
        assert_eq!(printed("json", &[]), "[\n]\n");
        assert_eq!(printed("ndjson", &[]), "");
        let two = printed("json", &[Flow::new(), Flow::new()]);
        assert!(two.starts_with("[\n {\n  \"cnt\" : 1,\n"), "{two}");
        assert!(two.contains("\n },\n {\n  \"cnt\" : 2,\n"), "{two}");
        assert!(two.ends_with("\n }\n]\n"), "{two}");
    }

    #[test]
    fn events_one_a_line() {
        let text = printed("ndjson", &events());
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 2);
        assert!(lines[0].starts_with(
            r#"{"cnt":1,"type":"EVENT","ident":"lab-v9","export_sysid":1,"first":"2026-11-20T10:00:05.123","#
        ));
        assert!(lines[0].ends_with(concat!(
            r#","src4_addr":"10.9.0.7","dst4_addr":"203.0.113.5","src4_geo":"","dst4_geo":"","#,
            r#""connect_id":777,"event_id":1,"event":"CREATE","xevent_id":1001,"t_event":"2026-11-20T10:00:05.123","#,
            r#""src4_xlt_ip":"198.51.100.7","dst4_xlt_ip":"203.0.113.5","src_xlt_port":60001,"dst_xlt_port":443,"#,
            r#""ingress_acl":"0xaaaa/0xbbbb/0xcccc","egress_acl":"0x1/0x2/0x3","user_name":"alice","sampled":0}"#
        )), "{}", lines[0]);
        assert!(lines[1].ends_with(concat!(
            r#""nat_event_id":4,"nat_event":"NAT44 session create","nat_pool_id":5,"t_event":"2026-11-20T10:00:06.007","#,
            r#""pblock_start":1024,"pblock_end":2047,"pblock_step":1,"pblock_size":1024,"ingress_vrf":30,"egress_vrf":40,"sampled":0}"#
        )), "{}", lines[1]);
        let icmp = printed("ndjson", &six()[1..]);
        assert!(icmp.contains(
            r#""proto":58,"icmp_type":135,"icmp_code":0,"src_tos":0,"src6_addr":"2001:db8::a""#
        ));
        assert!(!icmp.contains("src_port"));
    }

    #[test]
    fn rare_values() {
        let object = |numbers: &[(Field, u64)]| -> Value {
            serde_json::from_str(&printed("ndjson", &[flow(numbers, &[])])).unwrap()
        };
        let rich: Value = serde_json::from_str(&printed("ndjson", &[rich()])).unwrap();
        for (key, want) in [
            ("mpls_1", Value::from("1000-3-0")),
            ("mpls_10", Value::from("0-0-0")),
            ("in_src_mac", Value::from("00:11:22:33:44:55")),
            ("cli_latency", Value::from(1.5)),
            ("app_latency", Value::from(1003.5)),
            ("src_net", Value::from("10.9.0.0")),
            ("dst_net", Value::from("192.0.0.0")),
            ("ip_fragment", Value::from("DF")),
            ("ip_minttl", Value::from(60)),
            ("ethertype", Value::from(2048)),
            ("aggr_flows", Value::from(1)),
        ] {
            assert_eq!(rich[key], want, "{key}");
        }
        assert_eq!(object(&[(F::FragmentFlags, 0x60)])["ip_fragment"], "DFMF");
        assert_eq!(object(&[(F::FragmentFlags, 0x20)])["ip_fragment"], "MF");
        assert_eq!(object(&[(F::FragmentFlags, 0)]).get("ip_fragment"), None);
        assert_eq!(object(&[(F::NatEvent, 4)])["t_event"], "<unknown>");
        assert_eq!(object(&[(F::FwEvent, 9)])["event"], "9-Unknw");
        assert_eq!(object(&[(F::NatEvent, 99)])["nat_event"], "99-Unknown");
        assert_eq!(object(&[(F::RecordFlags, 3)])["sampled"], 1);
        assert_eq!(object(&[(F::Input, 1)])["src_net"], "");
        assert_eq!(object(&[(F::ObservationPoint, u64::MAX)])["observationPointID"], u64::MAX);
    }

    /// Keys of an object in order; a key that stands twice fails.
    fn keys(object: &str) -> Vec<String> {
        let mut keys = Vec::new();
        let mut rest = object.trim();
        while let Some(start) = rest.find("\n  \"") {
            rest = &rest[start + 4..];
            let key = rest[..rest.find('"').unwrap()].to_string();
            assert!(!keys.contains(&key), "{key} twice in {object}");
            keys.push(key);
        }
        keys
    }

    #[test]
    fn random_records_read_back() {
        let flows = random(3000);
        let array: Vec<Value> = serde_json::from_str(&printed("json", &flows)).unwrap();
        let text = printed("ndjson", &flows);
        assert_eq!(text.lines().count(), flows.len());
        for ((flow, object), line) in flows.iter().zip(&array).zip(text.lines()) {
            let row = flow.as_row();
            assert_eq!(serde_json::from_str::<Value>(line).unwrap(), *object);
            for field in Field::ALL.iter().filter(|f| f.kind().is_number() && !f.is_derived()) {
                // Keys whose value is the number itself, where the object has them.
                if let Some(n) = object[field.def().json].as_u64() {
                    assert_eq!(n, row.number(*field), "{field:?}");
                }
            }
            for (field, key) in [(F::Username, "user_name"), (F::NatString, "natString")] {
                if let Some(text) = row.text(field) {
                    assert_eq!(object[key], *String::from_utf8_lossy(text), "{key}");
                }
            }
            if let Some(addr) = row.addr(F::XlateSrcAddr) {
                let key = if addr.width() == 4 { "src4_xlt_ip" } else { "src6_xlt_ip" };
                assert_eq!(object[key], addr.to_string());
            }
        }
        for flow in &flows {
            keys(&printed("json", std::slice::from_ref(flow)));
        }
    }

    /// A record written the obvious way.
    fn plain(format: &Format, state: &mut State, row: Row<'_>, c: &RecordContext<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        let ink = &mut out;
        match (format.kind(), c.is_sum()) {
            (crate::Kind::Json, false) => {
                Object::<_, true, false>::new(format, state, row, c, ink).write()
            }
            (crate::Kind::Json, true) => {
                Object::<_, true, true>::new(format, state, row, c, ink).write()
            }
            (_, false) => Object::<_, false, false>::new(format, state, row, c, ink).write(),
            (_, true) => Object::<_, false, true>::new(format, state, row, c, ink).write(),
        };
        out
    }

    /// Every field there is, as large as it can be, or absent but for a few.
    fn extremes() -> Vec<Flow> {
        let full = |families: &[Addr]| {
            let mut flow = Flow::new();
            for (i, field) in Field::ALL.iter().enumerate().filter(|(_, f)| !f.is_derived()) {
                match field.kind() {
                    Kind::Addr => flow.set_addr(*field, families[i % families.len()]),
                    Kind::Text(_) => assert!(flow.set_bytes(*field, &[0xff; 64])),
                    Kind::Acl => assert!(flow.set_bytes(*field, &[0xff; 12])),
                    Kind::Bytes => assert!(flow.set_bytes(*field, &[0xff; 100])),
                    kind => {
                        let bits = 8 * u32::from(kind.width().unwrap());
                        assert!(flow.set(*field, u64::MAX >> (64 - bits)));
                    }
                }
            }
            flow.set(F::FragmentFlags, 0x60);
            flow
        };
        let (four, six) = (Addr::V4(u32::MAX), Addr::V6(u128::MAX));
        let mut flows = vec![full(&[four]), full(&[six]), full(&[four, six])];
        for flow in flows.clone() {
            let mut events = flow.clone();
            events.set(F::NatEvent, 16);
            events.set(F::FwEvent, 5);
            let mut icmp = flow;
            icmp.set(F::Proto, 1);
            flows.extend([events, icmp]);
        }
        flows
    }

    #[test]
    fn drafts_are_what_the_obvious_way_writes() {
        let atlas = crate::sample::Atlas::default();
        let names = crate::FormatOptions { names: true, ..Default::default() };
        let services = crate::Services::parse("http-alt 8080/tcp\ndomain 53/udp\n");
        let sums =
            crate::shown_of_sums([F::SrcAddr, F::DstPort, F::Proto, F::SrcCountry, F::Username]);
        let flows: Vec<_> = random(2000)
            .into_iter()
            .chain(events())
            .chain(six())
            .chain(crate::sample::four())
            .chain([rich(), Flow::new()])
            .chain(extremes())
            .collect();
        let long = "i".repeat(300);
        for spec in ["json", "ndjson"] {
            let format = Format::parse(spec, &crate::FormatOptions::default()).unwrap();
            let named = Format::parse(spec, &names).unwrap().with_services(services.clone().into());
            for format in [format, named] {
                let (mut printer, mut state) = (format.printer(), State::new(Default::default()));
                for (i, flow) in flows.iter().enumerate() {
                    let ident = ["lab", "", "a\"b", &long][i % 4];
                    let mut context = RecordContext::new(ident, (i as u64).pow(i as u32 % 5));
                    context.book = if i % 3 == 0 { Some(&atlas) } else { None };
                    context.shown = if i % 5 == 0 { sums } else { u128::MAX };
                    let mut out = b"before".to_vec();
                    printer.record(flow.as_row(), &context, &mut out);
                    let want = plain(&format, &mut state, flow.as_row(), &context);
                    let (out, want) = (out[6..].escape_ascii(), want.escape_ascii());
                    assert_eq!(out.to_string(), want.to_string(), "flow {i}");
                }
            }
        }
    }

    #[test]
    fn a_hostile_ident() {
        let format = Format::parse("ndjson", &crate::FormatOptions::default()).unwrap();
        for ident in ["a\"b", "back\\slash", "line\nend\x1b[2J", "\u{2028}ü", ""] {
            let mut out = Vec::new();
            let context = RecordContext::new(ident, 1);
            format.printer().record(Flow::new().as_row(), &context, &mut out);
            let object: Value = serde_json::from_slice(&out).unwrap();
            let want = if ident.is_empty() { Value::Null } else { Value::from(ident) };
            assert_eq!(object["ident"], want);
        }
    }

    #[test]
    fn keys_are_those_of_the_field_table() {
        let table: Vec<String> = Field::ALL
            .iter()
            .flat_map(|f| ["4", "6"].map(|family| f.def().json.replace("{}", family)))
            .collect();
        // Keys that no single field has: of the object itself, or told in words.
        let ours = [
            "cnt",
            "type",
            "ident",
            "sampled",
            "event",
            "nat_event",
            "src_net",
            "dst_net",
            "src4_geo",
            "dst4_geo",
            "src6_geo",
            "dst6_geo",
            "in_tls",
            "in_sni",
            "in_ja3",
            "in_ja4",
            "out_tls",
            "out_sni",
            "out_ja3",
            "out_ja4",
        ];
        for flow in random(300) {
            for key in keys(&printed("json", &[flow])) {
                assert!(table.contains(&key) || ours.contains(&key.as_str()), "{key}");
            }
        }
    }
}
