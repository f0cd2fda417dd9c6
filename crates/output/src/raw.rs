//! All of a record, one value a line: a label in 14 columns, `=`, and the value right-aligned in 19;
//! text begins in the ninth of them.

use crate::RecordContext;
use crate::clock::Clock;
use crate::column::MPLS;
use crate::digits::{
    pad, push_addr, push_hex, push_left_text, push_mac, push_thousandths, push_u64,
};
use crate::escape::push_text;
use crate::names::{pf_action, pf_direction, pf_reason, xevent};
use crate::summary::push_fmt;
use crate::tls;
use crate::value::{
    Source, State, acl_ids, is_icmp, proto, push_app_id, push_country, push_icmp, push_mpls,
    push_payload, push_time,
};
use Field as F;
use payload::Transport;
use record::code::{FwEvent, NatEvent, TcpFlags, record_flags};
use record::{Country, Field, Kind, Mac, NameTable, Row};

/// One record: an empty line, a title, the lines.
pub(crate) fn record(
    state: &mut State,
    row: Row<'_>,
    context: &RecordContext<'_>,
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(b"\nFlow Record: \n");
    let mut block = Block { out, clock: &mut state.local, row, context };
    block.header();
    block.generic();
    for (label, field) in LINES {
        if row.has(*field) && context.shows(*field) {
            block.field(label, *field);
        }
    }
}

/// Labels of the fields behind the first extension, in the order in which they are printed.
/// Labels that two fields share belong to the two families of one value.
#[rustfmt::skip]
const LINES: &[(&str, Field)] = &[
    ("src addr", F::SrcAddr), ("dst addr", F::DstAddr), ("src country", F::SrcCountry), ("dst country", F::DstCountry),
    ("input", F::Input), ("output", F::Output), ("src mask", F::SrcMask), ("dst mask", F::DstMask),
    ("dst tos", F::DstTos), ("direction", F::Direction), ("biFlow Dir", F::BiflowDir), ("end reason", F::EndReason),
    ("out packets", F::OutPackets), ("out bytes", F::OutBytes), ("aggr flows", F::Flows),
    ("src vlan", F::SrcVlan), ("dst vlan", F::DstVlan), ("src as", F::SrcAs), ("dst as", F::DstAs),
    ("bgp next hop", F::BgpNextHop), ("ip next hop", F::NextHop), ("ip exporter", F::Router),
    ("MPLS Lbl  1", F::Mpls1), ("MPLS Lbl  2", F::Mpls2), ("MPLS Lbl  3", F::Mpls3), ("MPLS Lbl  4", F::Mpls4),
    ("MPLS Lbl  5", F::Mpls5), ("MPLS Lbl  6", F::Mpls6), ("MPLS Lbl  7", F::Mpls7), ("MPLS Lbl  8", F::Mpls8),
    ("MPLS Lbl  9", F::Mpls9), ("MPLS Lbl 10", F::Mpls10),
    ("in src mac", F::InSrcMac), ("out dst mac", F::OutDstMac), ("in dst mac", F::InDstMac), ("out src mac", F::OutSrcMac),
    ("bgp next as", F::NextAs), ("bgp prev as", F::PrevAs),
    ("cli latency", F::ClientLatency), ("srv latency", F::ServerLatency), ("app latency", F::AppLatency),
    ("samplingID", F::SelectorId),
    ("connect ID", F::ConnId), ("fw event", F::FwEvent), ("fw ext event", F::FwXEvent), ("Event time", F::FwEventTime),
    ("src xlt ip", F::XlateSrcAddr), ("dst xlt ip", F::XlateDstAddr),
    ("src xlt port", F::XlateSrcPort), ("dst xlt port", F::XlateDstPort),
    ("Ingress ACL", F::IngressAcl), ("Egress ACL", F::EgressAcl), ("username", F::Username),
    ("nat event", F::NatEvent), ("nat pool ID", F::NatPool), ("Event time", F::NatEventTime),
    ("pblock start", F::PblockStart), ("pblock end", F::PblockEnd), ("pblock step", F::PblockStep), ("pblock size", F::PblockSize),
    ("app ID", F::AppId), ("label", F::Label), ("in payload", F::InPayload), ("out payload", F::OutPayload),
    ("tun proto", F::TunProto), ("tun src addr", F::TunSrcAddr), ("tun dst addr", F::TunDstAddr),
    ("obs domainID", F::ObservationDomain), ("obs pointID", F::ObservationPoint),
    ("frame size", F::FrameSize), ("link type", F::LinkType), ("frame", F::Frame),
    ("ingress VRF", F::IngressVrf), ("egress VRF", F::EgressVrf),
    ("pf action", F::PfAction), ("pf reason", F::PfReason), ("pf interface", F::PfInterface), ("pf dir", F::PfDir),
    ("pf rewritten", F::PfRewritten), ("pf rule nr", F::PfRule), ("pf subrule", F::PfSubRule), ("pf uid", F::PfUid), ("pf pid", F::PfPid),
    ("vlanID", F::VlanId), ("post vlanID", F::PostVlanId), ("custID", F::CustomerVlanId), ("post custID", F::PostCustomerVlanId),
    ("ingress IfID", F::PhysIngress), ("egress IfID", F::PhysEgress), ("vxlan", F::VxLan),
    ("ethertype", F::EtherType), ("IP version", F::IpVersion),
    ("flow ID", F::FlowId), ("inServiceID", F::InService), ("outServiceID", F::OutService), ("nat String", F::NatString),
    ("ip fragment", F::FragmentFlags), ("ip minTTL", F::MinTtl), ("ip maxTTL", F::MaxTtl),
];

struct Block<'a> {
    out: &'a mut Vec<u8>,
    clock: &'a mut Clock,
    row: Row<'a>,
    context: &'a RecordContext<'a>,
}

impl Block<'_> {
    fn header(&mut self) {
        let row = self.row;
        let flags = row.number(F::RecordFlags) as u8;
        self.number("RecordCount", self.context.count);
        if !self.context.ident.is_empty() {
            let ident = self.context.ident.as_bytes();
            self.value("Ident", 7, 12, |out| push_text(out, ident));
        }
        if self.is_of_file() {
            self.line("Flags", |out| push_byte(out, u64::from(flags)));
            self.after(|out| push_source(out, row, flags));
            self.line("size", |out| push_u64(out, row.as_bytes().len() as u64));
        }
        self.known_number("engine type", F::EngineType);
        self.known_number("engine ID", F::EngineId);
        self.known_number("export sysid", F::ExporterId);
    }

    /// Whether the record stands in a file, rather than being the sum of several.
    const fn is_of_file(&self) -> bool {
        !self.context.is_sum()
    }

    /// Whether a field of the first extension has a line.
    const fn has(&self, field: Field) -> bool {
        self.is_of_file() || (self.row.has(field) && self.context.shows(field))
    }

    fn known_number(&mut self, label: &str, field: Field) {
        if self.has(field) {
            self.number(label, self.row.number(field));
        }
    }

    fn generic(&mut self) {
        let row = self.row;
        let is_event = row.number(F::RecordFlags) as u8 & record_flags::EVENT != 0;
        let times: &[(&str, Field)] = if is_event && self.is_of_file() {
            &[("Event time", F::First), ("received at", F::Received)]
        } else {
            &[("first", F::First), ("last", F::Last), ("received at", F::Received)]
        };
        for (label, field) in times {
            if self.has(*field) {
                self.time(label, row.number(*field));
            }
        }
        if self.has(F::Proto) {
            self.number("proto", row.number(F::Proto));
            self.after(|out| push_fmt(out, proto(row)));
        }
        if self.has(F::TcpFlags) {
            let flags = row.number(F::TcpFlags);
            self.line("tcp flags", |out| push_byte(out, flags));
            self.after(|out| out.extend_from_slice(&TcpFlags(flags as u8).letters()));
        }
        if is_icmp(row) && self.has(F::Proto) && self.has(F::DstPort) {
            self.line("ICMP", |out| push_icmp(out, row));
            self.after(|out| out.extend_from_slice(b" type.code"));
        } else {
            self.known_number("src port", F::SrcPort);
            self.known_number("dst port", F::DstPort);
            self.known_number("src tos", F::SrcTos);
            self.known_number("fwd status", F::FwdStatus);
        }
        self.known_number("in packets", F::Packets);
        self.known_number("in bytes", F::Bytes);
    }

    /// The line of a field that the record has.
    fn field(&mut self, label: &str, field: Field) {
        let row = self.row;
        let n = row.number(field);
        match field {
            F::FragmentFlags | F::MinTtl | F::MaxTtl if n == 0 => {}
            F::BiflowDir | F::EndReason | F::FragmentFlags => {
                self.line(label, |out| push_byte(out, n));
                self.after(|out| out.extend_from_slice(meaning(field, n).as_bytes()));
            }
            F::EtherType | F::ObservationDomain | F::ObservationPoint => self.line(label, |out| {
                out.extend_from_slice(b"0x");
                let digits = match field {
                    F::EtherType => 4,
                    F::ObservationDomain => 5,
                    _ => 10,
                };
                push_hex(out, n, digits);
            }),
            F::SrcMask => self.net(label, F::SrcAddr, n),
            F::DstMask => self.net(label, F::DstAddr, n),
            F::FwEvent | F::FwXEvent | F::NatEvent => self.event(label, field, n),
            F::PfAction | F::PfReason | F::PfDir => {
                self.number(label, n);
                self.after(|out| out.extend_from_slice(meaning(field, n).as_bytes()));
            }
            F::AppId => self.application(label),
            F::SrcCountry | F::DstCountry => {
                self.line(label, |out| push_country(out, Country(n as u16)));
            }
            F::Input | F::Output => self.named(label, NameTable::Interface, field),
            F::IngressVrf | F::EgressVrf => self.named(label, NameTable::Vrf, field),
            _ if MPLS.contains(&field) => {
                if n != 0 {
                    self.line(label, |out| push_mpls(out, n, 0));
                }
            }
            _ => self.plain_field(label, field),
        }
    }

    /// A field that its kind says all about.
    fn plain_field(&mut self, label: &str, field: Field) {
        let row = self.row;
        match field.kind() {
            Kind::Time => self.time(label, row.number(field)),
            Kind::Micros => {
                self.line(label, |out| push_thousandths(out, row.number(field), 0));
                self.after(|out| out.extend_from_slice(b"ms"));
            }
            Kind::Addr => {
                if let Some(addr) = row.addr(field) {
                    self.value(label, 3, 16, |out| push_addr(out, addr));
                }
            }
            Kind::Mac => {
                self.line(label, |out| push_mac(out, row.mac(field).unwrap_or(Mac(0))));
            }
            Kind::Acl => self.value(label, 8, 0, |out| {
                for (i, id) in acl_ids(row, field).into_iter().enumerate() {
                    out.extend_from_slice(if i == 0 { b"0x" } else { b"/0x" });
                    push_hex(out, id, 1);
                }
            }),
            Kind::Text(_) => {
                let text = row.text(field).unwrap_or(b"");
                self.value(label, 8, 0, |out| push_text(out, text));
            }
            Kind::Bytes => {
                let bytes = row.bytes(field).unwrap_or(b"");
                self.number(label, bytes.len() as u64);
                self.client_hello(field);
                push_payload(self.out, Some(bytes));
            }
            _ => self.number(label, row.number(field)),
        }
    }

    /// What a TLS client offers in a payload.
    fn client_hello(&mut self, field: Field) {
        let Some(hello) = tls::hello(self.row, field) else { return };
        let version = tls::spaced(hello.version());
        self.line("TLS vers", |out| out.extend_from_slice(version.as_bytes()));
        if let Some(name) = hello.server_name() {
            self.value("sni name", 8, 0, |out| push_text(out, name));
        }
        let (ja3, ja4) = (hello.ja3(), hello.ja4(Transport::Tcp));
        if let Some(ja3) = ja3 {
            self.value("ja3 hash", 8, 0, |out| push_fmt(out, ja3));
        }
        if let Some(ja4) = ja4 {
            self.value("ja4 hash", 8, 0, |out| push_fmt(out, ja4));
        }
    }

    fn number(&mut self, label: &str, n: u64) {
        self.line(label, |out| push_u64(out, n));
    }

    fn time(&mut self, label: &str, ms: u64) {
        self.number(label, ms);
        self.out.pop();
        self.out.extend_from_slice(b" [");
        push_time(self.clock, self.out, ms);
        self.out.extend_from_slice(b"]\n");
    }

    fn net(&mut self, label: &str, addr: Field, len: u64) {
        self.number(label, len);
        let addr = self.row.addr(addr).map(|a| a.masked(len.min(255) as u8));
        self.after(|out| {
            if let Some(addr) = addr {
                push_addr(out, addr);
            }
            out.push(b'/');
            push_u64(out, len);
        });
    }

    fn named(&mut self, label: &str, table: NameTable, field: Field) {
        self.number(label, self.row.number(field));
        if let Some(name) = self.context.name(self.row, table, field) {
            self.after(|out| push_text(out, name));
        }
    }

    fn event(&mut self, label: &str, field: Field, n: u64) {
        let name = match field {
            F::FwEvent => FwEvent(n as u8).name(),
            F::NatEvent => NatEvent(n as u8).long_name(),
            _ => xevent(n),
        };
        self.number(label, n);
        self.out.pop();
        self.out.extend_from_slice(b": ");
        self.out.extend_from_slice(name.unwrap_or("unknown").as_bytes());
        self.out.push(b'\n');
    }

    fn application(&mut self, label: &str) {
        let Some(id) = self.row.bytes(F::AppId) else { return };
        let name = self.context.application(self.row, id).unwrap_or(b"<no info>");
        self.line(label, |out| push_app_id(out, Some(id), false));
        self.out.pop();
        self.out.extend_from_slice(b": ");
        push_text(self.out, name);
        self.out.push(b'\n');
    }

    fn line<T>(&mut self, label: &str, value: impl FnOnce(&mut Vec<u8>) -> T) {
        push_line(self.out, label, value);
    }

    fn value<T>(
        &mut self,
        label: &str,
        blanks: usize,
        width: usize,
        value: impl FnOnce(&mut Vec<u8>) -> T,
    ) {
        push_value(self.out, label, blanks, width, value);
    }

    /// Text behind the value of the line before.
    fn after<T>(&mut self, text: impl FnOnce(&mut Vec<u8>) -> T) {
        self.out.pop();
        self.out.push(b' ');
        text(self.out);
        self.out.push(b'\n');
    }
}

/// A label, and a value right-aligned in 19 columns, the first of them blank.
pub(crate) fn push_line<T>(out: &mut Vec<u8>, label: &str, value: impl FnOnce(&mut Vec<u8>) -> T) {
    push_value(out, label, 1, 18, value);
}

/// A label, blanks, and a value right-aligned in `width`.
fn push_value<T>(
    out: &mut Vec<u8>,
    label: &str,
    blanks: usize,
    width: usize,
    value: impl FnOnce(&mut Vec<u8>) -> T,
) {
    out.extend_from_slice(b"  ");
    push_left_text(out, label.as_bytes(), 12);
    out.extend_from_slice(b" =");
    pad(out, blanks);
    let start = out.len();
    value(out);
    let short = width.saturating_sub(out.len() - start);
    pad(out, short);
    out[start..].rotate_right(short);
    out.push(b'\n');
}

fn push_byte(out: &mut Vec<u8>, n: u64) {
    out.extend_from_slice(b"0x");
    push_hex(out, n, 2);
}

fn push_source(out: &mut Vec<u8>, row: Row<'_>, flags: u8) {
    let source = Source::of(row);
    out.extend_from_slice(match source {
        Source::Event(_) => b"EVENT".as_slice(),
        Source::SFlow(_) => b"SFLOW v",
        Source::Capture(_) => b"PCAP v",
        Source::NetFlow(_) => b"NETFLOW v",
        Source::Unknown => b"FLOW",
    });
    if !matches!(source, Source::Event(_) | Source::Unknown) {
        push_u64(out, source.version());
    }
    if flags & record_flags::ANONYMISED != 0 {
        out.extend_from_slice(b" Anonymized");
    }
    let sampled = flags & record_flags::SAMPLED != 0;
    out.extend_from_slice(if sampled { b", Sampled".as_slice() } else { b", Unsampled" });
}

/// What a code means, in words.
fn meaning(field: Field, n: u64) -> &'static str {
    match (field, n) {
        (F::BiflowDir | F::EndReason, 0) => "",
        (F::BiflowDir, 1) => "initiator",
        (F::BiflowDir, 2) => "reverseInitiator",
        (F::BiflowDir, 3) => "perimeter",
        (F::EndReason, 1) => "idle timeout",
        (F::EndReason, 2) => "active timeout",
        (F::EndReason, 3) => "end of Flow detected",
        (F::EndReason, 4) => "forced end",
        (F::EndReason, 5) => "lack of resources",
        (F::FragmentFlags, _) => match (n & 0x40 != 0, n & 0x20 != 0) {
            (true, true) => "DF MF",
            (true, false) => "DF   ",
            (false, true) => "   MF",
            (false, false) => "",
        },
        (F::PfAction, _) => pf_action(n),
        (F::PfReason, _) => pf_reason(n),
        (F::PfDir, _) => pf_direction(n),
        _ => "undef",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{addr, events, printed, random, six};

    #[test]
    fn one_block() {
        let mut flow = six().swap_remove(0);
        for (field, n) in [
            (F::Source, 9),
            (F::EngineId, 9),
            (F::ExporterId, 1),
            (F::Received, 1_795_244_010_109),
            (F::Input, 21),
            (F::Output, 22),
            (F::SrcMask, 48),
            (F::DstMask, 32),
            (F::DstTos, 0),
            (F::Direction, 0),
            (F::BiflowDir, 0),
            (F::EndReason, 0),
        ] {
            flow.set(field, n);
        }
        flow.set_addr(F::BgpNextHop, addr("2001:db8::ffff"));
        flow.set_addr(F::NextHop, addr("fe80::1"));
        flow.set_addr(F::Router, addr("127.0.0.1"));
        let text = printed("raw", &[flow]);
        let lines: Vec<_> = text.lines().filter(|l| !l.starts_with("  size ")).collect();
        assert_eq!(
            lines.join("\n"),
            "
Flow Record: 
  RecordCount  =                  1
  Ident        =             lab-v9
  Flags        =               0x00 NETFLOW v9, Unsampled
  engine type  =                  0
  engine ID    =                  9
  export sysid =                  1
  first        =      1795168802000 [2026-11-20 10:00:02.000]
  last         =      1795168802500 [2026-11-20 10:00:02.500]
  received at  =      1795244010109 [2026-11-21 06:53:30.109]
  proto        =                 17 UDP
  tcp flags    =               0x00 ........
  src port     =               5353
  dst port     =                 53
  src tos      =                  0
  fwd status   =                  0
  in packets   =                  3
  in bytes     =                900
  src addr     =   2001:db8:1:2:3:4:5:6
  dst addr     =       2001:db8::53
  input        =                 21
  output       =                 22
  src mask     =                 48 2001:db8:1::/48
  dst mask     =                 32 2001:db8::/32
  dst tos      =                  0
  direction    =                  0
  biFlow Dir   =               0x00 
  end reason   =               0x00 
  bgp next hop =     2001:db8::ffff
  ip next hop  =            fe80::1
  ip exporter  =          127.0.0.1"
        );
    }

    #[test]
    fn events_have_one_time() {
        let text = printed("raw", &events());
        for line in [
            "  Flags        =               0x01 EVENT, Unsampled\n",
            "  Event time   =      1795168805123 [2026-11-20 10:00:05.123]\n",
            "  fw event     =                  1: CREATE\n",
            "  fw ext event =               1001: I-ACL\n",
            "  Ingress ACL  =        0xaaaa/0xbbbb/0xcccc\n",
            "  username     =        alice\n",
            "  nat event    =                  4: NAT44 session create\n",
        ] {
            assert!(text.contains(line), "{line}{text}");
        }
        assert!(!text.contains("  first "));
    }

    #[test]
    fn each_line_has_a_label_whatever_the_record_says() {
        for flow in random(1000) {
            let mut flow = flow;
            for field in [F::InPayload, F::OutPayload, F::Frame] {
                flow.unset(field);
            }
            let text = printed("raw", &[flow]);
            let lines = text.strip_prefix("\nFlow Record: \n").unwrap().lines();
            for line in lines {
                assert_eq!(line.get(14..17), Some(" = "), "{line:?}");
                assert!(!line.bytes().any(|b| b.is_ascii_control()), "{line:?}");
            }
        }
    }
}
