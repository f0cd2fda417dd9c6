//! Captures of others: what we read of each frame against what tshark reads of it, and each frame
//! cut at each octet.
//!
//! What counts of a frame is its outermost IP packet: addresses, octets as the header has them, and
//! the ports behind it. Where both readings differ, [`DIFFERENCES`] says why, capture by capture.

mod common;

use common::{corpus, has, run};
use probe::{Cache, CacheConfig, Ended, Reason};
use record::Flow;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use wire::packet::{self, Depth, LinkType, Packet, Transport};

/// Why two readings of a capture differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// The IP header claims more octets than the frame had on the wire, and is no fragment's. We
    /// count what was there.
    Claims,
    /// Segmentation offload left the length 0. We count what was on the wire, tshark the header.
    Offload,
    /// With a source route tshark shows where the packet goes in the end. The header is the key of
    /// a flow.
    Route,
    /// The capture ends within the options of the IP header. tshark goes by the protocol number,
    /// we by the header that is not there.
    Cut,
    /// The address family of a BSD loopback frame is none, and tshark takes two of its octets for an
    /// Ethernet type.
    Family,
    /// A link type that we do not read: ARCnet, whose packets come in pieces, and IEEE 802.15.4, whose
    /// IP headers are compressed. Packets are counted as not IP.
    Link,
    /// tshark does not know the link type: Ethernet with the tags of a switch.
    Unknown,
    /// tshark does not know the shorter one of two tags with the time a switch saw the frame.
    Tags,
}

/// Packets, octets and conversations of all frames of a capture.
type Totals = [u64; 3];

/// Capture, why readings differ, ours and that of tshark.
const DIFFERENCES: &[(&str, Why, Totals, Totals)] = &[
    ("PcapPlusPlus/NullLoopback.pcap", Why::Family, [2, 519, 2], [3, 912, 3]),
    ("PcapPlusPlus/ip4_bad_fragment.pcap", Why::Claims, [1, 42, 1], [1, 3841, 1]),
    ("PcapPlusPlus/ipv4-options.pcap", Why::Route, [7, 540, 4], [7, 540, 5]),
    ("PcapPlusPlus/null_loopback.pcap", Why::Family, [2, 519, 2], [3, 912, 3]),
    ("tcpdump/802_15_4-data.pcap", Why::Link, [0, 0, 0], [1, 40, 1]),
    ("tcpdump/arcnet-rfc1051-arp-icmp-http.pcap", Why::Link, [0, 0, 0], [22, 2001, 3]),
    ("tcpdump/arcnet-rfc1201-arp-icmp-http.pcap", Why::Link, [0, 0, 0], [22, 2001, 3]),
    ("tcpdump/arista_ether.pcap", Why::Tags, [16, 1248, 1], [12, 936, 1]),
    ("tcpdump/bigtcp-ipv6-geneve-ipv4.pcap", Why::Offload, [1, 80122, 1], [1, 40, 1]),
    ("tcpdump/bigtcp-ipv6-geneve-ipv6.pcap", Why::Offload, [1, 80142, 1], [1, 40, 1]),
    ("tcpdump/bigtcp-ipv6-vxlan-ipv4.pcap", Why::Offload, [1, 80122, 1], [1, 40, 1]),
    ("tcpdump/bigtcp-ipv6-vxlan-ipv6.pcap", Why::Offload, [1, 80142, 1], [1, 40, 1]),
    ("tcpdump/bigtcp-ipv6.pcap", Why::Offload, [1, 80040, 1], [1, 40, 1]),
    ("tcpdump/brcm-tag-prepend.pcap", Why::Unknown, [11, 924, 2], [0, 0, 0]),
    ("tcpdump/brcm-tag.pcap", Why::Unknown, [17, 3380, 6], [0, 0, 0]),
    ("tcpdump/dsa-high-vid.pcap", Why::Unknown, [4, 336, 1], [0, 0, 0]),
    ("tcpdump/dsa.pcap", Why::Unknown, [6, 504, 1], [0, 0, 0]),
    ("tcpdump/edsa-high-vid.pcap", Why::Unknown, [4, 336, 1], [0, 0, 0]),
    ("tcpdump/edsa.pcap", Why::Unknown, [6, 504, 1], [0, 0, 0]),
    ("tcpdump/icmp-cksum-oobr-1.pcap", Why::Claims, [1, 188, 1], [1, 13911, 1]),
    ("tcpdump/icmp-cksum-oobr-2.pcap", Why::Claims, [1, 240, 1], [1, 33008, 1]),
    ("tcpdump/icmp-cksum-oobr-3.pcapng", Why::Claims, [1, 323, 1], [1, 4419, 1]),
    ("tcpdump/icmp-cksum-oobr-4.pcapng", Why::Claims, [1, 168, 1], [1, 8360, 1]),
    ("tcpdump/icmp-icmp_print-oobr-2.pcap", Why::Claims, [3, 129, 2], [3, 138, 2]),
    ("tcpdump/icmp-rfc8335-missing-bytes.pcap", Why::Claims, [1, 51, 1], [1, 84, 1]),
    ("tcpdump/icmp_inft_name_length_zero.pcap", Why::Claims, [1, 240, 1], [1, 33008, 1]),
    ("tcpdump/icmpv6-length-zero.pcapng", Why::Offload, [1, 72, 1], [1, 40, 1]),
    ("tcpdump/ip_ts_opts_asan.pcap", Why::Cut, [1, 65319, 1], [1, 65319, 1]),
    ("tcpdump/ipv4_invalid_total_length.pcap", Why::Claims, [1, 84, 1], [1, 85, 1]),
    ("tcpdump/ipv6-too-long-jumbo.pcap", Why::Claims, [1, 476, 1], [1, 3858694250, 1]),
    ("tcpdump/ipv6_frag6_negative_len.pcap", Why::Offload, [1, 32882, 1], [1, 40, 1]),
    ("tcpdump/ipv6_invalid_length_2.pcap", Why::Claims, [1, 104, 1], [1, 105, 1]),
    ("tcpdump/ipv6_jumbogram_invalid_length.pcap", Why::Claims, [1, 65576, 1], [1, 65577, 1]),
    ("tcpdump/ipv6_missing_jumbo_payload_option.pcap", Why::Offload, [1, 262130, 1], [1, 40, 1]),
    ("tcpdump/olsr-oobr-1.pcap", Why::Claims, [4, 12232, 2], [4, 21492, 2]),
    ("tcpreplay/test.pcap", Why::Claims, [176, 64522, 25], [176, 64677, 25]),
];

/// An IP packet, as both sides see it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Seen {
    src: String,
    dst: String,
    octets: u64,
    class: &'static str,
    ports: (u16, u16),
}

impl Seen {
    /// Both ends, the lesser first.
    fn conversation(&self) -> (&'static str, [(&str, u16); 2]) {
        let mut ends = [(self.src.as_str(), self.ports.0), (self.dst.as_str(), self.ports.1)];
        ends.sort_unstable();
        (self.class, ends)
    }
}

/// Protocols whose header is read, by the names that tshark has for them.
const CLASSES: [(u8, &str); 7] = [
    (1, "icmp"),
    (6, "tcp"),
    (17, "udp"),
    (33, "dccp"),
    (58, "icmpv6"),
    (132, "sctp"),
    (136, "udplite"),
];
const OTHER: &str = "other";

fn totals(frames: &[Option<Seen>]) -> Totals {
    let seen = || frames.iter().flatten();
    let conversations: BTreeSet<_> = seen().map(Seen::conversation).collect();
    [seen().count() as u64, seen().map(|s| s.octets).sum(), conversations.len() as u64]
}

/// All captures of the corpus, by their names in it.
fn captures(corpus: &Path) -> BTreeMap<String, PathBuf> {
    let (top, mut out, mut open) = (corpus.join("packets"), BTreeMap::new(), Vec::new());
    open.push(top.clone());
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(dir).expect("read directory").flatten() {
            let path = entry.path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_none_or(|e| e != "tsv") {
                let name = path.strip_prefix(&top).expect("below").to_string_lossy().into_owned();
                out.insert(name, path);
            }
        }
    }
    assert!(out.len() > 400, "{} captures", out.len());
    out
}

/// Does something with each capture, on all cores.
fn each(captures: &BTreeMap<String, PathBuf>, work: impl Fn(&str, &Path) + Sync) {
    let (list, next): (Vec<_>, _) = (captures.iter().collect(), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..sys::clock::cores() {
            scope.spawn(|| {
                while let Some((name, path)) = list.get(next.fetch_add(1, Ordering::Relaxed)) {
                    work(name, path);
                }
            });
        }
    });
}

/// Hands over each frame of a capture: link type, octets, length on the wire. What ends the capture
/// early is returned.
fn frames(path: &Path, mut visit: impl FnMut(LinkType, &[u8], u32)) -> Result<(), capture::Error> {
    let mut capture = capture::Capture::open(path)?;
    while let Some(frame) = capture.next()? {
        visit(LinkType::from_dlt(frame.link), frame.bytes, frame.wire_len);
    }
    Ok(())
}

fn seen_by_us(packet: &Packet<'_>) -> Option<Seen> {
    let ip = packet.ip?;
    let has_header = packet.transport != Transport::Absent;
    let class = CLASSES.iter().find(|(proto, _)| *proto == ip.proto && has_header);
    Some(Seen {
        src: ip.src.to_string(),
        dst: ip.dst.to_string(),
        octets: ip.octets.into(),
        class: class.map_or(OTHER, |(_, class)| class),
        ports: packet.transport.ports().unwrap_or_default(),
    })
}

/// What tshark is asked for, first occurrence of each, and the places in its answer.
const FIELDS: [&str; 17] = [
    "frame.protocols",
    "ip.src",
    "ip.dst",
    "ip.len",
    "ipv6.src",
    "ipv6.dst",
    "ipv6.plen",
    "ipv6.opt.jumbo",
    "tcp.srcport",
    "tcp.dstport",
    "udp.srcport",
    "udp.dstport",
    "sctp.srcport",
    "sctp.dstport",
    "dccp.srcport",
    "dccp.dstport",
    "frame.number",
];

/// `None` if tshark does not know what is in the capture.
fn tshark(path: &Path) -> Option<Vec<Option<Seen>>> {
    let mut args = vec!["-n", "-T", "fields", "-E", "occurrence=f"];
    // Each packet for itself.
    for alone in ["ip.defragment:FALSE", "ipv6.defragment:FALSE"] {
        args.extend(["-o", alone]);
    }
    args.extend(FIELDS.iter().flat_map(|f| ["-e", f]));
    args.extend(["-r", path.to_str().expect("text")]);
    let output = run("tshark", &args);
    let complaint = String::from_utf8_lossy(&output.stderr);
    if complaint.contains("unknown or unsupported") {
        return None;
    }
    let text = String::from_utf8_lossy(&output.stdout);
    Some(text.lines().map(seen_by_tshark).collect())
}

fn seen_by_tshark(line: &str) -> Option<Seen> {
    const EXTENSIONS: [&str; 4] = ["ah", "mipv6", "hip", "shim6"];
    let columns: Vec<&str> = line.split('\t').collect();
    let column = |name: &str| {
        let at = FIELDS.iter().position(|f| *f == name).expect("field");
        columns.get(at).copied().unwrap_or_default()
    };
    let number = |name: &str| column(name).parse::<u64>().ok();
    // All dissectors in order, as eth:ethertype:ip:udp:dns.
    let mut names =
        column("frame.protocols").split(':').skip_while(|n| !["ip", "ipv6"].contains(n));
    let version = names.next()?;
    let next = names.find(|n| !n.starts_with("ipv6.") && !EXTENSIONS.contains(n));
    let class = next.and_then(|next| CLASSES.iter().find(|(_, class)| *class == next));
    let class = class.map_or(OTHER, |(_, class)| class);
    let body = || number("ipv6.opt.jumbo").or_else(|| number("ipv6.plen"));
    let octets = if version == "ip" { number("ip.len") } else { body().map(|body| body + 40) };
    let end = |end: &str| {
        let of = if class == "udplite" { "udp" } else { class };
        let port = format!("{of}.{end}port");
        FIELDS.contains(&port.as_str()).then(|| number(&port)).flatten().unwrap_or(0) as u16
    };
    let [src, dst] = ["src", "dst"].map(|end| column(&format!("{version}.{end}")).to_owned());
    let ports = (end("src"), end("dst"));
    // A header without addresses is none.
    let is_header = !src.is_empty() && !dst.is_empty();
    is_header.then_some(Seen { src, dst, octets: octets?, class, ports })
}

#[test]
fn each_frame_is_read_as_tshark_reads_it() {
    let Some(corpus) = corpus() else { return };
    if !has("tshark") {
        return;
    }
    let captures = captures(&corpus);
    let failures = Mutex::new(Vec::new());
    each(&captures, |name, path| {
        let mut ours = Vec::new();
        let end = frames(path, |link, bytes, wire_len| {
            ours.push(seen_by_us(&packet::decode(link, bytes, wire_len, Depth::Outer)));
        });
        let theirs = tshark(path);
        let theirs = theirs.as_ref();
        let known = DIFFERENCES.iter().find(|(file, ..)| *file == name);
        let is_same = end.is_ok() && theirs == Some(&ours);
        let sums = (totals(&ours), theirs.map_or([0; 3], |t| totals(t)));
        let is_known = known.is_some_and(|(.., ours, theirs)| (*ours, *theirs) == sums);
        if is_same == known.is_none() && (is_same || is_known) {
            return;
        }
        let pairs = ours.iter().zip(theirs.map_or(&[][..], |t| t));
        let first = pairs.enumerate().find(|(_, (ours, theirs))| ours != theirs);
        let failure = format!("(\"{name}\", {:?}, {:?}), {end:?} {first:?}", sums.0, sums.1);
        failures.lock().expect("lock").push(failure);
    });
    let mut failures = failures.into_inner().expect("lock");
    failures.sort();
    assert!(failures.is_empty(), "not as DIFFERENCES has it:\n{}", failures.join("\n"));
    assert!(DIFFERENCES.iter().all(|(file, ..)| captures.contains_key(*file)));
}

#[test]
fn conversations_have_what_their_packets_have() {
    let Some(corpus) = corpus() else { return };
    each(&captures(&corpus), |name, path| {
        let (mut seen, mut ended) = (Vec::new(), [0; 2]);
        let mut cache = Cache::new(CacheConfig::default());
        let mut out = |end: &Ended| {
            for side in [&end.forward, &end.backward] {
                ended = [ended[0] + side.packets, ended[1] + side.octets];
            }
        };
        let Ok(mut capture) = capture::Capture::open(path) else { return };
        while let Ok(Some(frame)) = capture.next() {
            let link = LinkType::from_dlt(frame.link);
            let packet = packet::decode(link, frame.bytes, frame.wire_len, Depth::Outer);
            seen.push(seen_by_us(&packet));
            cache.observe(&[frame], &mut out);
        }
        cache.expire_all(Reason::Flushed, &mut out);
        let [packets, octets, _] = totals(&seen);
        assert_eq!(ended, [packets, octets], "{name}");
        let stats = cache.stats();
        let counted = stats.processed - stats.non_ip - stats.too_short;
        assert_eq!((counted, stats.octets, stats.active), (packets, octets, 0), "{name}");
    });
}

/// Octets of a frame that it is cut within: more than all headers have.
const HEADERS: usize = 256;

#[test]
fn frames_cut_at_each_octet_do_no_harm() {
    let Some(corpus) = corpus() else { return };
    let distinct = Mutex::new(HashSet::new());
    each(&captures(&corpus), |name, path| {
        let end = frames(path, |link, bytes, wire_len| {
            let head = bytes.get(..HEADERS).unwrap_or(bytes);
            if !distinct.lock().expect("lock").insert((link, head.to_vec())) {
                return;
            }
            for len in 0..=head.len() {
                cut(link, bytes.get(..len).unwrap_or_default(), wire_len);
            }
        });
        let is_read = end.is_ok() || DIFFERENCES.iter().any(|d| d.0 == name);
        assert!(is_read, "{name}: {end:?}");
    });
    let distinct = distinct.into_inner().expect("lock");
    assert!(distinct.len() > 10_000, "{} frames", distinct.len());
}

/// Reads what is left of a frame in every way there is. Nothing may be known of it that it does not
/// have.
fn cut(link: LinkType, section: &[u8], wire_len: u32) {
    let mut flow = Flow::new();
    for depth in [Depth::Outer, Depth::Innermost] {
        let packet = packet::decode(link, section, wire_len, depth);
        if let Some(ip) = packet.ip {
            let is_first = ip.fragment.is_some_and(|f| f.more);
            let octets = ip.octets as usize;
            let there = (wire_len as usize).max(section.len());
            assert!(ip.at as usize + octets <= there || is_first || packet.tunnel.is_some());
            assert!(packet.payload.len() < octets.max(1), "{packet:?}");
        }
        assert!(packet.stop.is_none_or(|stop| stop.at as usize <= section.len()), "{packet:?}");
        assert!(packet.ip.is_some() || packet.stop.is_some(), "{packet:?}");
        packet::fill(&packet, &mut flow);
    }
}
