//! The token table: every column that `fmt:` and `csv:` know.
//!
//! A line says how a token is called, what stands in the header above it, what CSV calls it, and
//! which [`Cell`] prints it. How a cell looks is said in `text` and `csv`.

use crate::tls;
use record::{Field, NameTable};

/// One token of the format language.
#[derive(Debug)]
pub(crate) struct Token {
    /// Its name without the `%`.
    pub(crate) name: &'static str,
    /// Text in the header line of lists.
    pub(crate) header: &'static str,
    /// Column name in CSV, `""` if CSV does not have the token.
    pub(crate) csv: &'static str,
    /// Whether `-6` widens it: it holds one address.
    pub(crate) wide: bool,
    /// What it prints.
    pub(crate) cell: Cell,
}

/// What one column prints. Widths are those of text; CSV has none.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cell {
    /// Protocol the record came from.
    Version,
    /// Running number.
    Count,
    /// Ident of the file, left-aligned in 12.
    Ident,
    /// Engine type and id.
    Engine,
    /// A number right-aligned in a width, 0 if absent.
    Number(Field, u8),
    /// The same in six after a blank of its own.
    AfterBlank(Field),
    /// A port in six, or its name.
    Port(Field),
    /// An autonomous system in six; where the record does not say, that of an address.
    System(Field, Field),
    /// A counter in eight, scaled.
    Scaled(Field),
    /// Aggregated flows.
    Flows,
    /// Duration for people.
    Duration,
    /// Duration in seconds with three decimals.
    Seconds,
    /// Bits a second.
    BitRate,
    /// Packets a second.
    PacketRate,
    /// Octets a packet.
    PacketSize,
    /// Local time.
    Time(Field),
    /// Universal time.
    TimeUtc(Field),
    /// Seconds since 1970 with three decimals.
    TimeRaw(Field),
    /// Time of the firewall or NAT event.
    EventTime,
    /// The same in milliseconds since 1970.
    EventMillis,
    /// Destination port, or type and code of ICMP.
    DstPort,
    /// Protocol name.
    Proto,
    /// TCP flags.
    Flags,
    /// `I` or `E`.
    Direction,
    /// An address.
    Addr(Field),
    /// An address and a port.
    AddrPort(Field, Field),
    /// An address and its country.
    GeoAddr(Field),
    /// An address, its country and a port.
    GeoAddrPort(Field, Field),
    /// An address masked by a mask of the record, and the mask.
    Net(Field, Field),
    /// What an exporter calls an interface or a VRF.
    Name(NameTable, Field),
    /// One MPLS label.
    Mpls(Field),
    /// All ten.
    MplsStack,
    /// A MAC address.
    Mac(Field),
    /// Microseconds shown as milliseconds.
    Latency(Field),
    /// Firewall or NAT event.
    Event,
    /// Extended firewall event.
    XEvent,
    /// Three access list ids, hexadecimal.
    IngressAcl,
    /// Three access list ids, decimal.
    EgressAcl,
    /// Text from the record, right-aligned in a width, or this if absent.
    Text(Field, u8, &'static str),
    /// Application id.
    AppId,
    /// What an exporter calls the application.
    AppName,
    /// Payload as text or hexadecimal on lines of its own.
    Payload(Field),
    /// Observation domain or point, hexadecimal, at least so many digits in text.
    Observation(Field, u8),
    /// Name of pf's action.
    PfAction,
    /// Name of pf's reason.
    PfReason,
    /// `in` or `out`.
    PfDirection,
    /// IPFIX flow id.
    FlowId,
    /// Smallest and largest TTL.
    Ttl,
    /// `DF` and `MF`.
    Fragment,
    /// Ethernet type, hexadecimal.
    EtherType,
    /// The country of a record without addresses, or that of an address.
    Country(Field, Field),
    /// Where an address is, in words.
    Location(Field),
    /// Who runs the autonomous system of an address, or that of the record.
    Organisation(Field, Field),
    /// Whether an address is an exit of the Tor network.
    Tor(Field),
    /// What a TLS client offers.
    Tls(tls::Part),
    /// A line end.
    NewLine,
}

impl Cell {
    /// Presence bits of the fields it reads; 0 if it is no part of a record.
    pub(crate) fn bits(self) -> u128 {
        match self {
            Count | Ident | Flows | NewLine => 0,
            Version => bits(&[F::Source]),
            Engine => bits(&[F::EngineType, F::EngineId]),
            Number(f, _)
            | AfterBlank(f)
            | Port(f)
            | Scaled(f)
            | Time(f)
            | TimeUtc(f)
            | TimeRaw(f)
            | Addr(f)
            | GeoAddr(f)
            | Name(_, f)
            | Mpls(f)
            | Mac(f)
            | Latency(f)
            | Text(f, ..)
            | Payload(f)
            | Observation(f, _)
            | Location(f)
            | Tor(f) => bits(&[f]),
            AddrPort(a, b)
            | GeoAddrPort(a, b)
            | System(a, b)
            | Country(a, b)
            | Organisation(a, b) => bits(&[a, b]),
            Net(addr, _) => bits(&[addr]),
            Duration | Seconds => bits(&[F::First, F::Last]),
            BitRate => bits(&[F::Bytes]),
            PacketRate => bits(&[F::Packets]),
            PacketSize => bits(&[F::Packets, F::Bytes]),
            EventTime | EventMillis => bits(&[F::FwEventTime, F::NatEventTime]),
            DstPort => bits(&[F::DstPort]),
            Proto => bits(&[F::Proto]),
            Flags => bits(&[F::TcpFlags]),
            Direction => bits(&[F::Direction]),
            MplsStack => bits(&MPLS),
            Event => bits(&[F::FwEvent, F::NatEvent]),
            XEvent => bits(&[F::FwXEvent]),
            IngressAcl => bits(&[F::IngressAcl]),
            EgressAcl => bits(&[F::EgressAcl]),
            AppId | AppName => bits(&[F::AppId]),
            Tls(_) => bits(&[F::InPayload]),
            PfAction => bits(&[F::PfAction]),
            PfReason => bits(&[F::PfReason]),
            PfDirection => bits(&[F::PfDir]),
            FlowId => bits(&[F::FlowId]),
            Ttl => bits(&[F::MinTtl, F::MaxTtl]),
            Fragment => bits(&[F::FragmentFlags]),
            EtherType => bits(&[F::EtherType]),
        }
    }
}

/// Presence bits of some fields.
pub(crate) const fn bits(fields: &[Field]) -> u128 {
    let mut bits = 0;
    let mut i = 0;
    while i < fields.len() {
        bits |= 1 << fields[i] as u32;
        i += 1;
    }
    bits
}

/// The token called `name`, which has no `%`.
pub(crate) fn find(name: &str) -> Option<&'static Token> {
    TOKENS.iter().find(|t| t.name == name)
}

const fn t(name: &'static str, header: &'static str, csv: &'static str, cell: Cell) -> Token {
    let wide = matches!(cell, Addr(_) | AddrPort(..) | GeoAddr(_) | GeoAddrPort(..) | Net(..));
    Token { name, header, csv, wide, cell }
}

use Cell::*;
use Field as F;

/// All tokens, in the order in which help lists them.
#[rustfmt::skip]
pub(crate) static TOKENS: &[Token] = &[
    // Record header.
    t("nfv", "Ver", "version", Version),
    t("cnt", "Count", "count", Count),
    t("idt", "Ident       ", "Ident", Ident),
    t("eng", " engine", "engine", Engine),
    t("exp", "Exp ID", "exporterID", Number(F::ExporterId, 6)),
    // Times.
    t("tfs", "Date first seen        ", "firstSeen", Time(F::First)),
    t("ts", "Date first seen        ", "firstSeen", Time(F::First)),
    t("tsr", "First seen raw", "firstSeen", TimeRaw(F::First)),
    t("tsg", "First seen GMT         ", "firstSeen", TimeUtc(F::First)),
    t("te", "Date last seen         ", "lastSeen", Time(F::Last)),
    t("ter", "Last seen raw ", "lastSeen", TimeRaw(F::Last)),
    t("teg", "Last seen GMT          ", "lastSeen", TimeUtc(F::Last)),
    t("tr", "Date flow received     ", "received", Time(F::Received)),
    t("trr", "Received raw  ", "received", TimeRaw(F::Received)),
    t("trg", "Date flow received GMT ", "received", TimeUtc(F::Received)),
    t("td", "Duration        ", "duration", Duration),
    t("tds", "Duration        ", "duration", Seconds),
    // Counters, ports, protocol.
    t("pkt", " Packets", "packets", Scaled(F::Packets)),
    t("ipkt", "  In Pkt", "inPackets", Scaled(F::Packets)),
    t("byt", "   Bytes", "bytes", Scaled(F::Bytes)),
    t("ibyt", " In Byte", "inBytes", Scaled(F::Bytes)),
    t("sp", "Src Pt", "srcPort", Port(F::SrcPort)),
    t("dp", "Dst Pt", "dstPort", DstPort),
    t("it", "ICMP-T", "icmpTYpe", Number(F::IcmpType, 6)),
    t("ic", "ICMP-C", "icmpCode", Number(F::IcmpCode, 6)),
    t("pr", "Proto", "proto", Proto),
    t("flg", "   Flags", "flags", Flags),
    t("fwd", "Fwd", "fwdStatus", Number(F::FwdStatus, 3)),
    t("tos", " Tos", "tos", Number(F::SrcTos, 4)),
    t("stos", "STos", "srcTos", Number(F::SrcTos, 4)),
    t("bps", "     bps", "bps", BitRate),
    t("pps", "     pps", "pps", PacketRate),
    t("bpp", "   Bpp", "bpp", PacketSize),
    // Addresses.
    t("sa", "     Src IP Addr", "srcAddr", Addr(F::SrcAddr)),
    t("da", "     Dst IP Addr", "dstAddr", Addr(F::DstAddr)),
    t("sap", "     Src IP Addr:Port ", "", AddrPort(F::SrcAddr, F::SrcPort)),
    t("dap", "     Dst IP Addr:Port ", "", AddrPort(F::DstAddr, F::DstPort)),
    t("gsap", "     Src IP Addr(..):Port ", "", GeoAddrPort(F::SrcAddr, F::SrcPort)),
    t("gdap", "     Dst IP Addr(..):Port ", "", GeoAddrPort(F::DstAddr, F::DstPort)),
    t("gsa", "     Src IP Addr(..)", "", GeoAddr(F::SrcAddr)),
    t("gda", "     Dst IP Addr(..)", "", GeoAddr(F::DstAddr)),
    // Interfaces, masks, direction.
    t("in", " Input", "input", Number(F::Input, 6)),
    t("out", "Output", "output", Number(F::Output, 6)),
    t("smk", "SMask", "srcMask", Number(F::SrcMask, 5)),
    t("dmk", "DMask", "dstMask", Number(F::DstMask, 5)),
    t("dir", "Dir", "direction", Direction),
    t("dtos", "DTos", "dstTos", Number(F::DstTos, 4)),
    t("bfd", "Bfd", "biDirection", Number(F::BiflowDir, 3)),
    t("end", "End", "endReason", Number(F::EndReason, 3)),
    t("sn", "        Src Network", "srcNet", Net(F::SrcAddr, F::SrcMask)),
    t("dn", "        Dst Network", "dstNet", Net(F::DstAddr, F::DstMask)),
    t("inam", " Input interface name", "inIfName", Name(NameTable::Interface, F::Input)),
    t("onam", "Output interface name", "outIfName", Name(NameTable::Interface, F::Output)),
    t("opkt", " Out Pkt", "outPackets", Scaled(F::OutPackets)),
    t("obyt", "Out Byte", "outBytes", Scaled(F::OutBytes)),
    t("fl", "Flows", "flows", Flows),
    t("svln", "SVlan", "srcVlan", Number(F::SrcVlan, 5)),
    t("dvln", "DVlan", "dstVlan", Number(F::DstVlan, 5)),
    // Routing.
    t("sas", "Src AS", "srcAS", System(F::SrcAs, F::SrcAddr)),
    t("das", "Dst AS", "dstAS", System(F::DstAs, F::DstAddr)),
    t("nhb", " BGP next-hop IP", "bgpNextIP", Addr(F::BgpNextHop)),
    t("nh", "     Next-hop IP", "nextIP", Addr(F::NextHop)),
    t("ra", "       Router IP", "routerIP", Addr(F::Router)),
    t("gra", "       Router IP(..)", "", GeoAddr(F::Router)),
    // MPLS.
    t("mpls1", " MPLS lbl 1 ", "mplsLabel1", Mpls(F::Mpls1)),
    t("mpls2", " MPLS lbl 2 ", "mplsLabel2", Mpls(F::Mpls2)),
    t("mpls3", " MPLS lbl 3 ", "mplsLabel3", Mpls(F::Mpls3)),
    t("mpls4", " MPLS lbl 4 ", "mplsLabel4", Mpls(F::Mpls4)),
    t("mpls5", " MPLS lbl 5 ", "mplsLabel5", Mpls(F::Mpls5)),
    t("mpls6", " MPLS lbl 6 ", "mplsLabel6", Mpls(F::Mpls6)),
    t("mpls7", " MPLS lbl 7 ", "mplsLabel7", Mpls(F::Mpls7)),
    t("mpls8", " MPLS lbl 8 ", "mplsLabel8", Mpls(F::Mpls8)),
    t("mpls9", " MPLS lbl 9 ", "mplsLabel9", Mpls(F::Mpls9)),
    t("mpls10", " MPLS lbl 10", "mplsLabel10", Mpls(F::Mpls10)),
    t("mpls", MPLS_HEADER, "mplsLabel1-10", MplsStack),
    // Link.
    t("ismc", "  In src MAC Addr", "inSrcMac", Mac(F::InSrcMac)),
    t("odmc", " Out dst MAC Addr", "outDstMac", Mac(F::OutDstMac)),
    t("idmc", "  In dst MAC Addr", "inDstMac", Mac(F::InDstMac)),
    t("osmc", " Out src MAC Addr", "outSrcMac", Mac(F::OutSrcMac)),
    t("nas", "Next AS", "nextAS", AfterBlank(F::NextAs)),
    t("pas", "Prev AS", "prevAS", AfterBlank(F::PrevAs)),
    t("cl", "C Latency", "clientLatency", Latency(F::ClientLatency)),
    t("sl", "S latency", "serverLatency", Latency(F::ServerLatency)),
    t("al", "A latency", "appLatency", Latency(F::AppLatency)),
    // Firewall and NAT events.
    t("tevt", "Event time             ", "eventTime", EventTime),
    t("msec", "   Event Time", "eventTime", EventMillis),
    t("evt", "   Event", "event", Event),
    t("nfc", "   Conn-ID", "connectionID", Number(F::ConnId, 10)),
    t("xevt", " XEvent", "xEvent", XEvent),
    t("xsa", "   X-late Src IP", "srcXIP", Addr(F::XlateSrcAddr)),
    t("xda", "   X-late Dst IP", "dstXIP", Addr(F::XlateDstAddr)),
    t("xsap", "   X-Src IP Addr:Port ", "", AddrPort(F::XlateSrcAddr, F::XlateSrcPort)),
    t("xdap", "   X-Dst IP Addr:Port ", "", AddrPort(F::XlateDstAddr, F::XlateDstPort)),
    t("nsa", "   X-late Src IP", "srcXIP", Addr(F::XlateSrcAddr)),
    t("nda", "   X-late Dst IP", "dstXIP", Addr(F::XlateDstAddr)),
    t("nsap", "   X-Src IP Addr:Port ", "", AddrPort(F::XlateSrcAddr, F::XlateSrcPort)),
    t("ndap", "   X-Dst IP Addr:Port ", "", AddrPort(F::XlateDstAddr, F::XlateDstPort)),
    t("xsp", "XsPort", "srcXPort", Port(F::XlateSrcPort)),
    t("xdp", "XdPort", "dstXPort", Port(F::XlateDstPort)),
    t("nsp", "XsPort", "srcXPort", Port(F::XlateSrcPort)),
    t("ndp", "XdPort", "dstXPort", Port(F::XlateDstPort)),
    t("iacl", "Ingress ACL                     ", "ingressACL", IngressAcl),
    t("eacl", "Egress ACL                      ", "egressACL", EgressAcl),
    t("uname", "UserName", "nselUser", Text(F::Username, 0, "<empty>")),
    t("pbstart", "Pb-Start", "pbStart", Number(F::PblockStart, 7)),
    t("pbend", "Pb-End", "pbEnd", Number(F::PblockEnd, 7)),
    t("pbstep", "Pb-Step", "pbStep", Number(F::PblockStep, 7)),
    t("pbsize", "Pb-Size", "pbSize", Number(F::PblockSize, 7)),
    // Application, payload, observation, VRF.
    t("nbid", "nbar ID", "nbarID", AppId),
    t("nbnam", "nbar name", "nbarName", AppName),
    t("ipl", "Input Payload", "", Payload(F::InPayload)),
    t("opl", "Output Payload", "", Payload(F::OutPayload)),
    t("odid", "obsDomainID", "obsDomainID", Observation(F::ObservationDomain, 9)),
    t("opid", "  obsPointID", "obsPointID", Observation(F::ObservationPoint, 10)),
    t("vrf", "  I-VRF-ID", "ingressVrfID", Number(F::IngressVrf, 10)),
    t("ivrf", "  I-VRF-ID", "ingressVrfID", Number(F::IngressVrf, 10)),
    t("ivrfnam", "  I-VRF-Name", "ingressVrfName", Name(NameTable::Vrf, F::IngressVrf)),
    t("evrf", "  E-VRF-ID", "egressVrfID", Number(F::EgressVrf, 10)),
    t("evrfnam", "  E-VRF-Name", "egressVrfName", Name(NameTable::Vrf, F::EgressVrf)),
    // pflog.
    t("pfifn", "interface", "pfInterface", Text(F::PfInterface, 9, "<no-pf>")),
    t("pfact", "action", "pfAction", PfAction),
    t("pfrea", "reason", "pfReason", PfReason),
    t("pfdir", "dir", "pfDirection", PfDirection),
    t("pfrule", "rule", "pfRule", Number(F::PfRule, 4)),
    // IPFIX flow id, Nokia NAT.
    t("flid", "               flowID", "flowID", FlowId),
    t("isid", " inSrvID", "inSrvID", Number(F::InService, 8)),
    t("osid", "outSrvID", "outSrvID", Number(F::OutService, 8)),
    t("nats", "nat string", "natString", Text(F::NatString, 0, "<unknown>")),
    // What is read from the payload, or in an address book.
    t("ja3", "                                   ja3", "ja3", Tls(tls::Part::Ja3)),
    t("ja4", "                                   ja4", "ja4", Tls(tls::Part::Ja4)),
    t("sni", "sni name", "sniName", Tls(tls::Part::ServerName)),
    t("tls", "TLS ver", "tlsVersion", Tls(tls::Part::Version)),
    t("sc", "SC", "srcGeo", Country(F::SrcCountry, F::SrcAddr)),
    t("dc", "DC", "dstGeo", Country(F::DstCountry, F::DstAddr)),
    t("sloc", "Src IP location info", "srcLocation", Location(F::SrcAddr)),
    t("dloc", "Dst IP location info", "dstLocation", Location(F::DstAddr)),
    t("sasn", "Src AS organisation           ", "srcOrg", Organisation(F::SrcAs, F::SrcAddr)),
    t("dasn", "Dst AS organisation           ", "dstOrg", Organisation(F::DstAs, F::DstAddr)),
    t("stor", "STor", "srcTor", Tor(F::SrcAddr)),
    t("dtor", "DTor", "dstTor", Tor(F::DstAddr)),
    t("lbl", "           label", "label", Text(F::Label, 16, "<none>")),
    // IP header.
    t("ttl", "min/maxTTL", "", Ttl),
    t("minttl", "minTTL", "minTTL", Number(F::MinTtl, 6)),
    t("maxttl", "maxTTL", "maxTTL", Number(F::MaxTtl, 6)),
    t("frag", "Frag", "Frag", Fragment),
    t("eth", "EtherType", "", EtherType),
    t("n", "", "", NewLine),
];

const MPLS_HEADER: &str = "                                               MPLS labels 1-10                                                                   ";

/// The ten labels of the MPLS stack, top first.
pub(crate) const MPLS: [Field; 10] = [
    F::Mpls1,
    F::Mpls2,
    F::Mpls3,
    F::Mpls4,
    F::Mpls5,
    F::Mpls6,
    F::Mpls7,
    F::Mpls8,
    F::Mpls9,
    F::Mpls10,
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn tokens_are_unique_and_words() {
        let mut seen = HashSet::new();
        for token in TOKENS {
            assert!(seen.insert(token.name), "{} twice", token.name);
            assert!(token.name.bytes().all(|b| b.is_ascii_alphanumeric()), "{}", token.name);
            assert_eq!(find(token.name).map(|t| t.name), Some(token.name));
        }
        assert_eq!(MPLS_HEADER.len(), 130);
    }

    #[test]
    fn the_reference_page_lists_every_token() {
        let page = include_str!("../../../docs/output.md");
        for token in TOKENS {
            assert!(page.contains(&format!("`%{}`", token.name)), "%{}", token.name);
        }
    }

    #[test]
    fn the_field_table_names_tokens_that_exist() {
        for field in Field::ALL {
            let def = field.def();
            if def.token.is_empty() {
                continue;
            }
            let token = find(def.token).unwrap_or_else(|| panic!("{field:?}: %{}", def.token));
            // Where the two tables differ in a column's name, the one here is nfdump's.
            let known = [("icmpType", "icmpTYpe"), ("etherType", "")];
            if !known.contains(&(def.csv, token.csv)) {
                assert_eq!(token.csv, def.csv, "{field:?}");
            }
        }
    }
}
