//! Records as JSON objects, in one array or one a line. Always valid JSON (RFC 8259).
//!
//! The keys of an extension stand together if the record has any field of it, in the order of the
//! extensions in files. Which those are is one look at the presence bits of the record's shape.

mod keys;

use crate::RecordContext;
use crate::column::{MPLS, bits};
use crate::digits::{push_addr, push_hex, push_mac, push_thousandths, push_u64};
use crate::escape::push_json;
use crate::format::Format;
use crate::summary::push_fmt;
use crate::tls;
use crate::value::{State, acl_ids, event_time, is_icmp, proto, push_mpls};
use Field as F;
use keys::{
    ADJACENT_AS, AS, COUNTERS, FIREWALL, FLOW_ID, Key, LAYER2, Numbers, OBSERVATION, PORT_BLOCK,
    SERVICES, TTL, VLAN, VRF, key,
};
use payload::Transport;
use record::code::{FwEvent, NatEvent, TcpFlags, record_flags};
use record::{Addr, Field, Mac, Row};
use std::fmt::Display;

/// Appends a record as one object of an array. The line end that separates it from the bracket or
/// the comma before comes first.
pub(crate) fn record(
    format: &Format,
    state: &mut State,
    row: Row<'_>,
    context: &RecordContext<'_>,
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(b"\n {\n  \"cnt\" : ");
    Object::<true>::new(format, state, row, context, out).write();
    out.extend_from_slice(b"\n }");
}

/// Appends a record as one line.
pub(crate) fn line(
    format: &Format,
    state: &mut State,
    row: Row<'_>,
    context: &RecordContext<'_>,
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(b"{\"cnt\":");
    Object::<false>::new(format, state, row, context, out).write();
    out.extend_from_slice(b"}\n");
}

struct Object<'a, const PRETTY: bool> {
    format: &'a Format,
    state: &'a mut State,
    row: Row<'a>,
    context: &'a RecordContext<'a>,
    /// Presence bits of what the record has and may show.
    present: u128,
    is_sum: bool,
    out: &'a mut Vec<u8>,
}

impl<'a, const PRETTY: bool> Object<'a, PRETTY> {
    fn new(
        format: &'a Format,
        state: &'a mut State,
        row: Row<'a>,
        context: &'a RecordContext<'a>,
        out: &'a mut Vec<u8>,
    ) -> Self {
        let present = row.shape().present() & context.shown;
        Self { format, state, row, context, present, is_sum: context.is_sum(), out }
    }

    fn write(&mut self) {
        let context = self.context;
        let flags = self.row.number(F::RecordFlags) as u8;
        push_u64(self.out, context.count);
        let is_event = flags & record_flags::EVENT != 0 && self.has(F::RecordFlags);
        let kind = if is_event { "EVENT" } else { "FLOW" };
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
        self.payloads();
        self.tunnel();
        self.numbers(&OBSERVATION);
        self.numbers(&VRF);
        self.numbers(&LAYER2);
        self.numbers(&FLOW_ID);
        self.numbers(&SERVICES);
        if let Some(text) = self.row.text(F::NatString).filter(|_| self.has(F::NatString)) {
            self.text(key!("natString"), text);
        }
        self.ip_info();
        if self.has(F::RecordFlags) {
            self.value(key!("sampled"), u64::from(flags & record_flags::SAMPLED != 0));
        }
    }

    /// Extension 1.
    fn generic(&mut self) {
        if !self.has_any(const { bits(&[F::First, F::Last, F::Packets, F::Proto]) }) {
            return;
        }
        for (key, field) in
            [(key!("first"), F::First), (key!("last"), F::Last), (key!("received"), F::Received)]
        {
            if self.has(field) {
                self.time(key, self.row.number(field));
            }
        }
        self.number(key!("in_packets"), F::Packets);
        self.number(key!("in_bytes"), F::Bytes);
        self.proto();
        if is_icmp(self.row) && self.has(F::Proto) {
            if self.has(F::DstPort) {
                self.value(key!("icmp_type"), self.row.number(F::IcmpType));
                self.value(key!("icmp_code"), self.row.number(F::IcmpCode));
            }
        } else {
            if self.has(F::TcpFlags) {
                self.key(key!("tcp_flags"));
                self.out.push(b'"');
                let flags = TcpFlags(self.row.number(F::TcpFlags) as u8);
                self.out.extend_from_slice(&flags.letters());
                self.out.push(b'"');
            }
            self.port(key!("src_port"), F::SrcPort);
            self.port(key!("dst_port"), F::DstPort);
            self.number(key!("fwd_status"), F::FwdStatus);
        }
        self.number(key!("src_tos"), F::SrcTos);
    }

    /// The protocol: its number, or a text if names are asked for.
    fn proto(&mut self) {
        if !self.format.options.names {
            return self.number(key!("proto"), F::Proto);
        }
        if self.has(F::Proto) {
            self.key(key!("proto"));
            self.out.push(b'"');
            match proto(self.row).name() {
                Some(name) => self.out.extend_from_slice(name.as_bytes()),
                None => push_u64(self.out, self.row.number(F::Proto)),
            }
            self.out.push(b'"');
        }
    }

    /// A port: its number, or a text if there are names.
    fn port(&mut self, key: Key, field: Field) {
        let Some(services) = self.format.services() else { return self.number(key, field) };
        if !self.has(field) {
            return;
        }
        let port = self.row.number(field);
        self.key(key);
        match services.name(proto(self.row), port as u16) {
            Some(name) => push_json(self.out, name.as_bytes()),
            None => {
                self.out.push(b'"');
                push_u64(self.out, port);
                self.out.push(b'"');
            }
        }
    }

    /// Extensions 2 and 3, and where the addresses are; empty if that is not known. Of flows that
    /// were grouped by country the country is all there is.
    fn addresses(&mut self) {
        let keys = ([key!("src4_addr"), key!("dst4_addr")], [key!("src6_addr"), key!("dst6_addr")]);
        let geo = match self.pair(keys, F::SrcAddr, F::DstAddr) {
            Some(Addr::V4(_)) => [key!("src4_geo"), key!("dst4_geo")],
            Some(Addr::V6(_)) => [key!("src6_geo"), key!("dst6_geo")],
            None => [key!("src_geo"), key!("dst_geo")],
        };
        for (key, own, addr) in
            [(geo[0], F::SrcCountry, F::SrcAddr), (geo[1], F::DstCountry, F::DstAddr)]
        {
            let is_own = self.row.has(own);
            if is_own
                || (self.has(addr) && self.present & const { bits(&[F::SrcAddr, F::DstAddr]) } != 0)
            {
                let country = self.state.country(self.row, self.context, own, addr);
                self.key(key);
                self.out.push(b'"');
                if let Some(letters) = country.letters() {
                    self.out.extend_from_slice(&letters);
                }
                self.out.push(b'"');
            }
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
        for (key, addr, mask) in
            [(key!("src_net"), F::SrcAddr, F::SrcMask), (key!("dst_net"), F::DstAddr, F::DstMask)]
        {
            if self.has(mask) {
                self.net(key, addr, mask);
            }
        }
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
            match self.row.addr(field).filter(|_| self.has(field)) {
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
                if !self.has(field) {
                    continue;
                }
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
                if !self.has(field) {
                    continue;
                }
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
            if !self.has(field) {
                continue;
            }
            self.key(key);
            push_thousandths(self.out, self.row.number(field), 0);
            self.out.extend_from_slice(b"000");
        }
    }

    /// Extension 19.
    fn firewall_event(&mut self) {
        if !self.has_any(FIREWALL) {
            return;
        }
        let event = self.row.number(F::FwEvent);
        self.number(key!("connect_id"), F::ConnId);
        self.number(key!("event_id"), F::FwEvent);
        if self.has(F::FwEvent) {
            self.event(key!("event"), event, FwEvent(event as u8).name(), "-Unknw");
        }
        self.number(key!("xevent_id"), F::FwXEvent);
        self.event_time();
    }

    /// Extensions 20 to 22.
    fn translation(&mut self) {
        let keys = (
            [key!("src4_xlt_ip"), key!("dst4_xlt_ip")],
            [key!("src6_xlt_ip"), key!("dst6_xlt_ip")],
        );
        self.pair(keys, F::XlateSrcAddr, F::XlateDstAddr);
        if self.has_any(const { bits(&[F::XlateSrcPort, F::XlateDstPort]) }) {
            self.port(key!("src_xlt_port"), F::XlateSrcPort);
            self.port(key!("dst_xlt_port"), F::XlateDstPort);
        }
    }

    /// Extensions 23 and 24.
    fn acls_and_user(&mut self) {
        let acls = [(key!("ingress_acl"), F::IngressAcl), (key!("egress_acl"), F::EgressAcl)];
        if self.has_any(const { bits(&[F::IngressAcl, F::EgressAcl]) }) {
            for (key, field) in acls {
                if !self.has(field) {
                    continue;
                }
                self.key(key);
                for (i, id) in acl_ids(self.row, field).into_iter().enumerate() {
                    self.out.extend_from_slice(if i == 0 { b"\"0x" } else { b"/0x" });
                    push_hex(self.out, id, 1);
                }
                self.out.push(b'"');
            }
        }
        if let Some(user) = self.row.text(F::Username).filter(|_| self.has(F::Username)) {
            self.text(key!("user_name"), if user.is_empty() { b"<empty>" } else { user });
        }
    }

    /// Extension 25. A record with both kinds of events has one key for their time.
    fn nat_event(&mut self) {
        if !self.has_any(const { bits(&[F::NatEventTime, F::NatPool, F::NatEvent]) }) {
            return;
        }
        let event = self.row.number(F::NatEvent);
        self.number(key!("nat_event_id"), F::NatEvent);
        if self.has(F::NatEvent) {
            self.event(key!("nat_event"), event, NatEvent(event as u8).long_name(), "-Unknown");
        }
        self.number(key!("nat_pool_id"), F::NatPool);
        if !self.has_any(FIREWALL) {
            self.event_time();
        }
    }

    /// Extensions 29 and 30: what TLS clients offer.
    fn payloads(&mut self) {
        let keys = [key!("in_tls"), key!("in_sni"), key!("in_ja3"), key!("in_ja4")];
        self.client_hello(keys, F::InPayload);
        let keys = [key!("out_tls"), key!("out_sni"), key!("out_ja3"), key!("out_ja4")];
        self.client_hello(keys, F::OutPayload);
    }

    fn client_hello(&mut self, [tls, sni, ja3, ja4]: [Key; 4], field: Field) {
        if !self.has_any(bits(&[field])) {
            return;
        }
        let Some(hello) = tls::hello(self.row, field) else { return };
        self.shown(tls, hello.version());
        if let Some(name) = hello.server_name() {
            self.text(sni, name);
        }
        if let Some(fingerprint) = hello.ja3() {
            self.shown(ja3, fingerprint);
        }
        if let Some(fingerprint) = hello.ja4(Transport::Tcp) {
            self.shown(ja4, fingerprint);
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
        if flags != 0 && self.has(F::FragmentFlags) {
            self.word(key!("ip_fragment"), fragment);
        }
        if TTL.keys.iter().any(|(_, f)| self.row.number(*f) != 0) {
            self.numbers(&TTL);
        }
    }

    /// Two addresses of one family, if there is either; a missing one is all zeros in a record of a
    /// file. Returns what tells the family.
    fn pair(&mut self, keys: ([Key; 2], [Key; 2]), src: Field, dst: Field) -> Option<Addr> {
        let fields = [src, dst];
        let [a, b] = fields.map(|f| self.row.addr(f).filter(|_| self.has(f)));
        let family = a.or(b)?;
        let ([src, dst], none) = match family {
            Addr::V4(_) => (keys.0, Addr::V4(0)),
            Addr::V6(_) => (keys.1, Addr::V6(0)),
        };
        for (key, addr, field) in [(src, a, fields[0]), (dst, b, fields[1])] {
            if self.has(field) {
                self.address(key, addr.unwrap_or(none));
            }
        }
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
        self.present & bits != 0
    }

    /// Whether the key of a field stands in the object: of a record of a file all keys of its
    /// extensions do, of an aggregated one those that are known.
    #[inline]
    const fn has(&self, field: Field) -> bool {
        !self.is_sum || self.present >> field as u32 & 1 == 1
    }

    #[inline(always)] // most of an object is numbers with keys that are known here
    fn number(&mut self, key: Key, field: Field) {
        if self.has(field) {
            self.value(key, self.row.number(field));
        }
    }

    #[inline(always)]
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
        self.state.local.push_millis(self.out, ms, b'T');
        self.out.push(b'"');
    }

    fn event_time(&mut self) {
        if !self.has(F::FwEventTime) && !self.has(F::NatEventTime) {
            return;
        }
        match event_time(self.row) {
            0 => self.word(key!("t_event"), "<unknown>"),
            ms => self.time(key!("t_event"), ms),
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

    /// Something of ours that prints without escapes.
    fn shown(&mut self, key: Key, value: impl Display) {
        self.key(key);
        push_fmt(self.out, format_args!("\"{value}\""));
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
