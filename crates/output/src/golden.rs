//! The token table printed: header, value and CSV of every token, of one record.

use crate::column::TOKENS;
use crate::sample::{printed, rich};

/// Token, header, value in lists, name and value in CSV (empty where CSV does not have it).
#[rustfmt::skip]
const GOLDEN: &[(&str, &str, &str, &str, &str)] = &[
    ("nfv", "Ver", "Nv9", "version", "netflowV9"),
    ("cnt", "Count", "    2", "count", "2"),
    ("idt", "Ident       ", "lab-v9      ", "Ident", "lab-v9"),
    ("eng", " engine", "  0/9  ", "engine", "0/9"),
    ("exp", "Exp ID", "     1", "exporterID", "1"),
    ("tfs", "Date first seen        ", "2026-11-20 10:00:01.000", "firstSeen", "2026-11-20 10:00:01.000"),
    ("ts", "Date first seen        ", "2026-11-20 10:00:01.000", "firstSeen", "2026-11-20 10:00:01.000"),
    ("tsr", "First seen raw", "1795168801.000", "firstSeen", "1795168801.000"),
    ("tsg", "First seen GMT         ", "2026-11-20 10:00:01.000", "firstSeen", "2026-11-20 10:00:01.000"),
    ("te", "Date last seen         ", "2026-11-20 10:01:01.000", "lastSeen", "2026-11-20 10:01:01.000"),
    ("ter", "Last seen raw ", "1795168861.000", "lastSeen", "1795168861.000"),
    ("teg", "Last seen GMT          ", "2026-11-20 10:01:01.000", "lastSeen", "2026-11-20 10:01:01.000"),
    ("tr", "Date flow received     ", "2026-11-21 06:53:30.099", "received", "2026-11-21 06:53:30.099"),
    ("trr", "Received raw  ", "1795244010.099", "received", "1795244010.099"),
    ("trg", "Date flow received GMT ", "2026-11-21 06:53:30.099", "received", "2026-11-21 06:53:30.099"),
    ("td", "Duration        ", "    00:01:00.000", "duration", "60.000"),
    ("tds", "Duration        ", "          60.000", "duration", "60.000"),
    ("pkt", " Packets", "     100", "packets", "100"),
    ("ipkt", "  In Pkt", "     100", "inPackets", "100"),
    ("byt", "   Bytes", "  123456", "bytes", "123456"),
    ("ibyt", " In Byte", "  123456", "inBytes", "123456"),
    ("sp", "Src Pt", "  1234", "srcPort", "1234"),
    ("dp", "Dst Pt", "  8080", "dstPort", "8080"),
    ("it", "ICMP-T", "    31", "icmpTYpe", "31"),
    ("ic", "ICMP-C", "   144", "icmpCode", "144"),
    ("pr", "Proto", "TCP  ", "proto", "6"),
    ("flg", "   Flags", "...AP.SF", "flags", "...AP.SF"),
    ("fwd", "Fwd", " 64", "fwdStatus", "64"),
    ("tos", " Tos", "  16", "tos", "16"),
    ("stos", "STos", "  16", "srcTos", "16"),
    ("bps", "     bps", "   16460", "bps", "16460"),
    ("pps", "     pps", "       1", "pps", "1"),
    ("bpp", "   Bpp", "  1234", "bpp", "1234"),
    ("sa", "     Src IP Addr", "        10.9.0.1", "srcAddr", "10.9.0.1"),
    ("da", "     Dst IP Addr", "      192.0.2.99", "dstAddr", "192.0.2.99"),
    ("sap", "     Src IP Addr:Port ", "        10.9.0.1:1234 ", "", ""),
    ("dap", "     Dst IP Addr:Port ", "      192.0.2.99:8080 ", "", ""),
    ("gsap", "     Src IP Addr(..):Port ", "        10.9.0.1(..):1234 ", "", ""),
    ("gdap", "     Dst IP Addr(..):Port ", "      192.0.2.99(..):8080 ", "", ""),
    ("gsa", "     Src IP Addr(..)", "        10.9.0.1(..)", "", ""),
    ("gda", "     Dst IP Addr(..)", "      192.0.2.99(..)", "", ""),
    ("in", " Input", "    11", "input", "11"),
    ("out", "Output", "    12", "output", "12"),
    ("smk", "SMask", "   24", "srcMask", "24"),
    ("dmk", "DMask", "   16", "dstMask", "16"),
    ("dir", "Dir", "  E", "direction", "E"),
    ("dtos", "DTos", "   8", "dstTos", "8"),
    ("bfd", "Bfd", "  0", "biDirection", "0"),
    ("end", "End", "  3", "endReason", "3"),
    ("sn", "        Src Network", "        10.9.0.0/24", "srcNet", "10.9.0.0/24"),
    ("dn", "        Dst Network", "       192.0.0.0/16", "dstNet", "192.0.0.0/16"),
    ("inam", " Input interface name", "", "inIfName", ""),
    ("onam", "Output interface name", "", "outIfName", ""),
    ("opkt", " Out Pkt", "      90", "outPackets", "90"),
    ("obyt", "Out Byte", "  654321", "outBytes", "654321"),
    ("fl", "Flows", "    1", "flows", "1"),
    ("svln", "SVlan", "  100", "srcVlan", "100"),
    ("dvln", "DVlan", "    0", "dstVlan", "0"),
    ("sas", "Src AS", " 64500", "srcAS", "64500"),
    ("das", "Dst AS", "4200000001", "dstAS", "4200000001"),
    ("nhb", " BGP next-hop IP", "      10.8.0.254", "bgpNextIP", "10.8.0.254"),
    ("nh", "     Next-hop IP", "      10.9.0.254", "nextIP", "10.9.0.254"),
    ("ra", "       Router IP", "       127.0.0.1", "routerIP", "127.0.0.1"),
    ("gra", "       Router IP(..)", "       127.0.0.1(..)", "", ""),
    ("ismc", "  In src MAC Addr", "00:11:22:33:44:55", "inSrcMac", "00:11:22:33:44:55"),
    ("odmc", " Out dst MAC Addr", "66:77:88:99:aa:bb", "outDstMac", "66:77:88:99:aa:bb"),
    ("idmc", "  In dst MAC Addr", "0a:0b:0c:0d:0e:0f", "inDstMac", "0a:0b:0c:0d:0e:0f"),
    ("osmc", " Out src MAC Addr", "02:04:06:08:0a:0c", "outSrcMac", "02:04:06:08:0a:0c"),
    ("nas", "Next AS", "  64777", "nextAS", "64777"),
    ("pas", "Prev AS", "  64666", "prevAS", "64666"),
    ("cl", "C Latency", "    1.500", "clientLatency", "1.500"),
    ("sl", "S latency", "    2.500", "serverLatency", "2.500"),
    ("al", "A latency", " 1003.500", "appLatency", "1003.500"),
    ("tevt", "Event time             ", "0000-00-00 00:00:00.000", "eventTime", "0000-00-00 00:00:00.000"),
    ("msec", "   Event Time", "            0", "eventTime", "0"),
    ("evt", "   Event", "<no-evt>", "event", "0"),
    ("nfc", "   Conn-ID", "         0", "connectionID", "0"),
    ("xevt", " XEvent", "<no-evt>", "xEvent", "no-evt"),
    ("xsa", "   X-late Src IP", "         0.0.0.0", "srcXIP", "0.0.0.0"),
    ("xda", "   X-late Dst IP", "         0.0.0.0", "dstXIP", "0.0.0.0"),
    ("xsap", "   X-Src IP Addr:Port ", "         0.0.0.0:0    ", "", ""),
    ("xdap", "   X-Dst IP Addr:Port ", "         0.0.0.0:0    ", "", ""),
    ("nsa", "   X-late Src IP", "         0.0.0.0", "srcXIP", "0.0.0.0"),
    ("nda", "   X-late Dst IP", "         0.0.0.0", "dstXIP", "0.0.0.0"),
    ("nsap", "   X-Src IP Addr:Port ", "         0.0.0.0:0    ", "", ""),
    ("ndap", "   X-Dst IP Addr:Port ", "         0.0.0.0:0    ", "", ""),
    ("xsp", "XsPort", "     0", "srcXPort", "0"),
    ("xdp", "XdPort", "     0", "dstXPort", "0"),
    ("nsp", "XsPort", "     0", "srcXPort", "0"),
    ("ndp", "XdPort", "     0", "dstXPort", "0"),
    ("iacl", "Ingress ACL                     ", "0x0        0x0        0x0       ", "ingressACL", "0x0 0x0 0x0"),
    ("eacl", "Egress ACL                      ", "         0          0          0", "egressACL", "0 0 0"),
    ("uname", "UserName", "<empty>", "nselUser", "<empty>"),
    ("pbstart", "Pb-Start", "      0", "pbStart", "0"),
    ("pbend", "Pb-End", "      0", "pbEnd", "0"),
    ("pbstep", "Pb-Step", "      0", "pbStep", "0"),
    ("pbsize", "Pb-Size", "      0", "pbSize", "0"),
    ("nbid", "nbar ID", "0..0..0", "nbarID", "0..0..0"),
    ("nbnam", "nbar name", "<no nbar>", "nbarName", "no-nbar"),
    ("ipl", "Input Payload", "<no payload>", "", ""),
    ("opl", "Output Payload", "<no payload>", "", ""),
    ("odid", "obsDomainID", "0x00", "obsDomainID", "0x00"),
    ("opid", "  obsPointID", "0x00", "obsPointID", "0x00"),
    ("vrf", "  I-VRF-ID", "         3", "ingressVrfID", "3"),
    ("ivrf", "  I-VRF-ID", "         3", "ingressVrfID", "3"),
    ("ivrfnam", "  I-VRF-Name", "", "ingressVrfName", ""),
    ("evrf", "  E-VRF-ID", "         4", "egressVrfID", "4"),
    ("evrfnam", "  E-VRF-Name", "", "egressVrfName", ""),
    ("pfifn", "interface", "  <no-pf>", "pfInterface", "<no-pf>"),
    ("pfact", "action", "<no-pf>", "pfAction", "no-pf"),
    ("pfrea", "reason", "<no-pf>", "pfReason", "no-pf"),
    ("pfdir", "dir", "<no pfinfo>", "pfDirection", "no pfinfo"),
    ("pfrule", "rule", "   0", "pfRule", "0"),
    ("flid", "               flowID", "0x            0", "flowID", "0x0"),
    ("isid", " inSrvID", "       0", "inSrvID", "0"),
    ("osid", "outSrvID", "       0", "outSrvID", "0"),
    ("nats", "nat string", "<unknown>", "natString", "<unknown>"),
    ("ja3", "                                   ja3", "                                no ja3", "ja3", "no-ja3"),
    ("ja4", "                                   ja4", "                                no ja4", "ja4", "no-ja4"),
    ("sni", "sni name", "   0", "sniName", "0"),
    ("tls", "TLS ver", "   0", "tlsVersion", "0"),
    ("sc", "SC", "..", "srcGeo", ".."),
    ("dc", "DC", "..", "dstGeo", ".."),
    ("sloc", "Src IP location info", "<no location info>", "srcLocation", "no location info"),
    ("dloc", "Dst IP location info", "<no location info>", "dstLocation", "no location info"),
    ("sasn", "Src AS organisation           ", "                          none", "srcOrg", "none"),
    ("dasn", "Dst AS organisation           ", "                          none", "dstOrg", "none"),
    ("stor", "STor", "    ", "srcTor", ""),
    ("dtor", "DTor", "    ", "dstTor", ""),
    ("lbl", "           label", "          <none>", "label", "<none>"),
    ("ttl", "min/maxTTL", "   60    64", "", ""),
    ("minttl", "minTTL", "    60", "minTTL", "60"),
    ("maxttl", "maxTTL", "    64", "maxTTL", "64"),
    ("frag", "Frag", "DF--", "Frag", "DF--"),
    ("eth", "EtherType", "0x0800", "", ""),
    ("n", "", "", "", ""),
    ("mpls1", " MPLS lbl 1 ", "    1000-3-0", "mplsLabel1", "1000-3-0"),
    ("mpls2", " MPLS lbl 2 ", "    2000-0-1", "mplsLabel2", "2000-0-1"),
    ("mpls3", " MPLS lbl 3 ", "       0-0-0", "mplsLabel3", "0-0-0"),
    ("mpls10", " MPLS lbl 10", "       0-0-0", "mplsLabel10", "0-0-0"),
];

#[test]
fn every_token_prints_its_column() {
    // The record is the second of its list, behind one that is not looked at.
    let flows = [rich(), rich()];
    for (token, header, value, csv_header, csv) in GOLDEN {
        let text = printed(&format!("fmt:%{token}|"), &flows);
        let (head, records) = text.split_once('\n').unwrap();
        assert_eq!(head, format!("{header} "), "header of %{token}");
        let newline = if *token == "n" { "\n" } else { "" };
        let first = if *token == "cnt" { "    1" } else { value };
        let want = format!("{newline}{first}|\n{newline}{value}|\n");
        assert_eq!(records, want, "%{token}");
        if !csv_header.is_empty() {
            let text = printed(&format!("csv:%{token},%sp"), &flows[..1]);
            let count = if *token == "cnt" { "1" } else { csv };
            assert_eq!(text, format!("{csv_header},srcPort\n{count},1234\n"), "csv %{token}");
        }
    }
}

#[test]
fn every_token_is_covered() {
    for token in TOKENS.iter().filter(|t| !t.name.starts_with("mpls")) {
        assert!(GOLDEN.iter().any(|g| g.0 == token.name), "%{}", token.name);
    }
    let all = printed("fmt:%mpls", &[rich()]);
    let (header, value) = all.split_once('\n').unwrap();
    assert_eq!((header.len(), value.trim_end_matches('\n').len()), (130, 130));
    assert!(value.starts_with("    1000-3-0     2000-0-1        0-0-0 "));
    assert!(
        printed("csv:%mpls", &[rich()])
            .ends_with("\n1000-3-0 2000-0-1 0-0-0 0-0-0 0-0-0 0-0-0 0-0-0 0-0-0 0-0-0 0-0-0\n")
    );
}
