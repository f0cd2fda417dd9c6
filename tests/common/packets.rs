//! IP packets whose truth is known, and what flow files say of them.

use super::capd::NOTHING;
use super::run;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;

pub const ICMP: u8 = 1;
pub const TCP: u8 = 6;
pub const UDP: u8 = 17;
pub const ICMP6: u8 = 58;

/// One direction of a conversation. ICMP has its type and code in `dst_port`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    pub proto: u8,
    pub src: IpAddr,
    pub dst: IpAddr,
    pub src_port: u16,
    pub dst_port: u16,
}

impl Key {
    pub fn reverse(self) -> Self {
        let Self { proto, src, dst, src_port, dst_port } = self;
        let (src_port, dst_port) = match (proto, dst_port >> 8) {
            (ICMP, _) => (0, 0), // echo reply
            (ICMP6, _) => (0, 129 << 8),
            _ => (dst_port, src_port),
        };
        Self { proto, src: dst, dst: src, src_port, dst_port }
    }

    /// An IP packet with `payload` octets behind the transport header.
    pub fn packet(&self, flags: u8, payload: usize) -> Vec<u8> {
        let ports = [self.src_port.to_be_bytes(), self.dst_port.to_be_bytes()].concat();
        let mut body = match self.proto {
            TCP => [&ports[..], &[0; 8], &[0x50, flags], &[0xff; 2], &[0; 4]].concat(),
            UDP => [&ports[..], &((8 + payload) as u16).to_be_bytes(), &[0; 2]].concat(),
            _ => [&self.dst_port.to_be_bytes()[..], &[0; 6]].concat(),
        };
        body.resize(body.len() + payload, 0x5a);
        let len = body.len() as u16;
        let head = match (self.src, self.dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => {
                let len = (20 + len).to_be_bytes();
                let first = [0x45, 0, len[0], len[1], 0, 0, 0x40, 0, 64, self.proto, 0, 0];
                [&first[..], &src.octets(), &dst.octets()].concat()
            }
            (IpAddr::V6(src), IpAddr::V6(dst)) => {
                let len = len.to_be_bytes();
                let first = [0x60, 0, 0, 0, len[0], len[1], self.proto, 64];
                [&first[..], &src.octets(), &dst.octets()].concat()
            }
            _ => unreachable!("one family"),
        };
        [head, body].concat()
    }
}

/// Packets and octets of each direction.
pub type Truth = BTreeMap<Key, (u64, u64)>;

/// Ethernet frames, and what is in them.
#[derive(Default)]
pub struct Frames {
    pub frames: Vec<Vec<u8>>,
    pub truth: Truth,
}

impl Frames {
    /// A packet behind these VLAN tags: type and identifier of each, the outermost first. Short
    /// frames get no padding.
    pub fn push(&mut self, key: Key, tags: &[(u16, u16)], flags: u8, payload: usize) {
        self.push_ip(key, tags, &key.packet(flags, payload));
    }

    /// A UDP datagram in fragments of at most 1400 octets of it.
    pub fn push_fragments(&mut self, key: Key, id: u16, payload: usize) {
        const PART: usize = 1400;
        let whole = key.packet(0, payload);
        let header_len = if key.src.is_ipv4() { 20 } else { 40 };
        let (header, body) = whole.split_at(header_len);
        let count = body.len().div_ceil(PART);
        for (n, part) in body.chunks(PART).enumerate() {
            let (units, more) = ((n * PART / 8) as u16, u16::from(n + 1 < count));
            let mut packet = header.to_vec();
            let len = if key.src.is_ipv4() {
                packet[4..6].copy_from_slice(&id.to_be_bytes());
                packet[6..8].copy_from_slice(&(more << 13 | units).to_be_bytes());
                20 + part.len()
            } else {
                packet[6] = 44;
                packet.extend([key.proto, 0]);
                packet.extend((units << 3 | more).to_be_bytes());
                packet.extend(u32::from(id).to_be_bytes());
                8 + part.len()
            };
            let at = if key.src.is_ipv4() { 2 } else { 4 };
            packet[at..at + 2].copy_from_slice(&(len as u16).to_be_bytes());
            packet.extend(part);
            self.push_ip(key, &[], &packet);
        }
    }

    fn push_ip(&mut self, key: Key, tags: &[(u16, u16)], packet: &[u8]) {
        let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
        for (kind, id) in tags {
            frame.extend([kind.to_be_bytes(), id.to_be_bytes()].concat());
        }
        frame.extend(if key.src.is_ipv4() { [8, 0] } else { [0x86, 0xdd] });
        frame.extend(packet);
        let sums = self.truth.entry(key).or_default();
        *sums = (sums.0 + 1, sums.1 + packet.len() as u64);
        self.frames.push(frame);
    }
}

/// Sums by addresses, ports and protocol, sorted. Nothing may be said on stderr. `-A` with the same
/// keys would do, but there nfdump prints 0.0 for all types of ICMP.
pub fn sums(reader: &str, dir: &Path) -> Vec<String> {
    let format = "fmt:%pr %sa %da %sp %dp %pkt %byt %fl";
    let dir = dir.to_str().unwrap();
    let output = run(reader, ["-q", "-N", "-6", "-R", dir, "-a", "-o", format]);
    assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{reader} on {dir}");
    assert!(output.status.success(), "{reader} on {dir}");
    let text = String::from_utf8(output.stdout).unwrap();
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut lines: Vec<_> = text.lines().filter(|l| *l != NOTHING).map(words).collect();
    lines.sort();
    lines
}

/// What [`sums`] should be.
pub fn expected<'a>(truth: impl IntoIterator<Item = (&'a Key, &'a (u64, u64))>) -> Vec<String> {
    let line = |(key, (packets, bytes)): (&Key, &(u64, u64))| {
        let Key { proto, src, dst, src_port, dst_port } = key;
        let dst_port = match *proto {
            ICMP | ICMP6 => format!("{}.{}", dst_port >> 8, dst_port & 0xff),
            _ => dst_port.to_string(),
        };
        format!("{proto} {src} {dst} {src_port} {dst_port} {packets} {bytes} 1")
    };
    let mut lines: Vec<_> = truth.into_iter().map(line).collect();
    lines.sort();
    lines
}

pub fn same(got: &[String], want: &[String], what: &str) {
    for (got, want) in got.iter().zip(want) {
        assert_eq!(got, want, "{what}");
    }
    assert_eq!(got.len(), want.len(), "{what}");
}

/// nfcapd 1.7.1 does not read the type of ICMPv6 in v9 (element 139).
pub fn without_icmp6_types(lines: &[String]) -> Vec<String> {
    let without = |line: &String| {
        let mut words: Vec<_> = line.split(' ').collect();
        if words[0] == "58" {
            words[4] = "0.0";
        }
        words.join(" ")
    };
    lines.iter().map(without).collect()
}
