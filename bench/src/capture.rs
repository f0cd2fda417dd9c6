//! Export datagrams in pcap files: written for fixtures, read for replay.
//!
//! Reads classic pcap of either byte order and time resolution with Ethernet (also 802.1Q), Linux
//! cooked or raw IP frames, IPv4 and IPv6 without extension headers, UDP; everything else in a
//! capture is passed over. That is all an export capture needs.

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// One UDP datagram of a capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// Microseconds since 1970.
    pub at_us: u64,
    /// Sender.
    pub from: SocketAddr,
    /// Port it was sent to.
    pub to_port: u16,
    /// UDP payload.
    pub payload: &'a [u8],
}

/// The UDP datagrams of a capture, in order. `None` if it is no pcap file; a file that ends in
/// the middle of a frame gives the frames before.
pub fn datagrams(file: &[u8]) -> Option<Vec<Datagram<'_>>> {
    let magic = <[u8; 4]>::try_from(file.get(..4)?).ok()?;
    let (number, nanos): (fn([u8; 4]) -> u32, bool) = match u32::from_le_bytes(magic) {
        0xa1b2_c3d4 => (u32::from_le_bytes, false),
        0xa1b2_3c4d => (u32::from_le_bytes, true),
        0xd4c3_b2a1 => (u32::from_be_bytes, false),
        0x4d3c_b2a1 => (u32::from_be_bytes, true),
        _ => return None,
    };
    let word = |at: usize| Some(number(file.get(at..at + 4)?.try_into().ok()?));
    let link = word(20)? & 0xffff;
    let (mut out, mut at) = (Vec::new(), 24);
    while let (Some(secs), Some(sub), Some(len)) = (word(at), word(at + 4), word(at + 8)) {
        let Some(frame) = file.get(at + 16..at + 16 + len as usize) else { break };
        let micros = if nanos { sub / 1000 } else { sub };
        let at_us = u64::from(secs) * 1_000_000 + u64::from(micros);
        out.extend(ip_of(link, frame).and_then(|ip| udp_of(ip, at_us)));
        at += 16 + len as usize;
    }
    Some(out)
}

/// The IP packet in a frame of link type `link`.
fn ip_of(link: u32, frame: &[u8]) -> Option<&[u8]> {
    let mut at = match link {
        1 => 12,
        113 => 14,
        101 | 228 | 229 => return Some(frame),
        276 => return frame.get(20..), // what is no IP shows in its first octet
        _ => return None,
    };
    loop {
        let kind = u16::from_be_bytes(frame.get(at..at + 2)?.try_into().ok()?);
        match kind {
            0x8100 | 0x88a8 => at += 4,
            0x0800 | 0x86dd => return frame.get(at + 2..),
            _ => return None,
        }
    }
}

fn udp_of(ip: &[u8], at_us: u64) -> Option<Datagram<'_>> {
    let (proto, header, src) = match ip.first()? >> 4 {
        4 => {
            let src = <[u8; 4]>::try_from(ip.get(12..16)?).ok()?;
            (*ip.get(9)?, usize::from(ip[0] & 15) * 4, IpAddr::from(Ipv4Addr::from(src)))
        }
        6 => {
            let src = <[u8; 16]>::try_from(ip.get(8..24)?).ok()?;
            (*ip.get(6)?, 40, IpAddr::from(Ipv6Addr::from(src)))
        }
        _ => return None,
    };
    let udp = ip.get(header..).filter(|_| proto == 17)?;
    let word = |at: usize| Some(u16::from_be_bytes(udp.get(at..at + 2)?.try_into().ok()?));
    let payload = udp.get(8..usize::from(word(4)?))?;
    Some(Datagram { at_us, from: SocketAddr::new(src, word(0)?), to_port: word(2)?, payload })
}

/// Writes a capture of UDP datagrams over IPv4 and Ethernet.
#[derive(Debug)]
pub struct Writer<W> {
    out: W,
}

impl<W: Write> Writer<W> {
    /// Starts a capture: classic pcap, little-endian, microseconds.
    pub fn new(mut out: W) -> io::Result<Self> {
        for word in [0xa1b2_c3d4u32, 0x0004_0002, 0, 0, 262_144, 1] {
            out.write_all(&word.to_le_bytes())?;
        }
        Ok(Self { out })
    }

    /// Adds one datagram from `from` to port `to_port` of 192.0.2.254.
    pub fn write(
        &mut self,
        at_us: u64,
        from: (Ipv4Addr, u16),
        to_port: u16,
        payload: &[u8],
    ) -> io::Result<()> {
        let len = u16::try_from(payload.len() + 28).map_err(io::Error::other)?;
        let mut frame = Vec::with_capacity(usize::from(len) + 14);
        frame.extend([2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0]);
        let mut ip = [0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 17, 0, 0, 0, 0, 0, 0, 192, 0, 2, 254];
        ip[2..4].copy_from_slice(&len.to_be_bytes());
        ip[12..16].copy_from_slice(&from.0.octets());
        let sum = checksum(&ip);
        ip[10..12].copy_from_slice(&sum.to_be_bytes());
        frame.extend(ip);
        for word in [from.1, to_port, len - 20, 0] {
            frame.extend(word.to_be_bytes());
        }
        frame.extend(payload);
        let size = frame.len() as u32;
        for word in [(at_us / 1_000_000) as u32, (at_us % 1_000_000) as u32, size, size] {
            self.out.write_all(&word.to_le_bytes())?;
        }
        self.out.write_all(&frame)
    }

    /// Flushes and gives the writer back.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.flush()?;
        Ok(self.out)
    }
}

/// The Internet checksum (RFC 1071) of a header whose checksum field is 0.
pub(crate) fn checksum(header: &[u8]) -> u16 {
    let sum: u32 = header.chunks(2).map(|w| u32::from(w[0]) << 8 | u32::from(w[1])).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !((folded & 0xffff) + (folded >> 16)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut w = Writer::new(Vec::new()).unwrap();
        let from = (Ipv4Addr::new(192, 0, 2, 9), 50_000);
        w.write(1_700_000_000_123_456, from, 9995, b"hello").unwrap();
        w.write(1_700_000_001_000_000, from, 9995, &[]).unwrap();
        let file = w.finish().unwrap();
        let read = datagrams(&file).unwrap();
        assert_eq!(read.len(), 2);
        assert_eq!(read[0].payload, b"hello");
        assert_eq!(read[0].at_us, 1_700_000_000_123_456);
        assert_eq!(read[0].from.to_string(), "192.0.2.9:50000");
        for len in 0..file.len() {
            if let Some(read) = datagrams(&file[..len]) {
                assert!(read.len() < 2, "a capture cut at {len}");
            }
        }
    }

    #[test]
    fn header_checksum_is_that_of_the_rfc() {
        // The example of RFC 1071, section 3, padded to an even number of words.
        assert_eq!(checksum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), !0xddf2);
    }
}
