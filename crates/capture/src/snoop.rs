//! Captures of Solaris snoop (RFC 1761): a header of 16 octets, then a header of 24 octets before each
//! packet, padding after it, all in network byte order. Microseconds.

use crate::Error;
use crate::capture::{Found, Head, MOST};
use crate::classic::ended;
use crate::window::{Order, Window};

/// What a file begins with, of which the first four octets tell it from other formats.
const MAGIC: &[u8; 8] = b"snoop\0\0\0";

/// Octets of the header of a file, and of a packet.
const FILE_HEADER: usize = 16;
const HEADER: usize = 24;

/// What the header of a file says about its packets.
pub(crate) struct Snoop {
    link: u32,
}

impl Snoop {
    /// Whether a file may be one.
    pub(crate) fn is_begun_by(magic: [u8; 4]) -> bool {
        MAGIC.starts_with(&magic)
    }

    pub(crate) fn open(window: &mut Window, magic: [u8; 4]) -> Result<Self, Error> {
        let Some(bytes) = window.peek(FILE_HEADER)? else {
            let have = window.rest().len() as u64;
            return Err(Error::Header { have, need: FILE_HEADER as u64 });
        };
        if !bytes.starts_with(MAGIC) {
            return Err(Error::Unknown { magic });
        }
        let [version, kind] = [8, 12].map(|at| Order::Big.u32(bytes, at));
        if version != 2 {
            let major = u16::try_from(version).unwrap_or(u16::MAX);
            return Err(Error::Version { format: "snoop", at: 0, major, minor: 0 });
        }
        // Numbers of their own: IEEE 802.3 and Ethernet, FDDI. Packets of others are not understood.
        let link = match kind {
            0 | 4 => 1,
            8 => 10,
            _ => u32::MAX,
        };
        window.consume(FILE_HEADER);
        Ok(Self { link })
    }

    /// Link type of all packets.
    pub(crate) fn link(&self) -> u32 {
        self.link
    }

    pub(crate) fn next(&self, window: &mut Window) -> Result<Found, Error> {
        let at = window.offset();
        let Some(bytes) = window.peek(HEADER)? else { return Ok(ended(window, HEADER)) };
        // Between the lengths and the time is what was lost so far.
        let [wire_len, len, record, _, secs, micros] =
            [0, 4, 8, 12, 16, 20].map(|at| Order::Big.u32(bytes, at));
        let (len, record) = (len as usize, record as usize);
        if len > MOST || record < HEADER + len || record > HEADER + 2 * MOST {
            return Err(Error::PacketLength { at, len: len.max(record) as u64 });
        }
        if window.peek(record)?.is_none() {
            return Ok(ended(window, record));
        }
        let time_ns = Some(u64::from(secs) * 1_000_000_000 + u64::from(micros) * 1000);
        let after = record - HEADER - len;
        let (link, before) = (self.link, HEADER);
        Ok(Found::Packet(Head { time_ns, link, wire_len, interface: 0, before, len, after }))
    }
}

#[cfg(test)]
mod tests {
    use crate::{Capture, Error};
    use std::io::Cursor;

    fn file(kind: u32, packets: &[(u32, &[u8], usize)]) -> Vec<u8> {
        let mut out = super::MAGIC.to_vec();
        out.extend([2u32, kind].into_iter().flat_map(u32::to_be_bytes));
        for (wire_len, packet, padding) in packets {
            let len = packet.len() as u32;
            let record = 24 + len + *padding as u32;
            let words = [*wire_len, len, record, 9, 7, 500];
            out.extend(words.into_iter().flat_map(u32::to_be_bytes));
            out.extend(*packet);
            out.resize(out.len() + padding, 0xee);
        }
        out
    }

    type Owned = (Option<u64>, u32, u32, Vec<u8>);

    fn read(bytes: &[u8]) -> (Vec<Owned>, Option<Error>, bool) {
        let mut capture = match Capture::new(Cursor::new(bytes.to_vec())) {
            Ok(capture) => capture,
            Err(e) => return (Vec::new(), Some(e), false),
        };
        assert_eq!(capture.format(), "snoop");
        let mut all = Vec::new();
        let end = loop {
            match capture.next() {
                Ok(Some(p)) => all.push((p.time_ns, p.link, p.wire_len, p.bytes.to_vec())),
                Ok(None) => break None,
                Err(e) => break Some(e),
            }
        };
        (all, end, capture.cut().is_some())
    }

    const PACKETS: &[(u32, &[u8], usize)] = &[(5, b"first", 3), (900, b"cut", 1), (0, b"", 0)];

    #[test]
    fn packets_with_their_lengths_and_times() {
        for (kind, link) in [(0, 1), (4, 1), (8, 10), (6, u32::MAX)] {
            let (all, end, is_cut) = read(&file(kind, PACKETS));
            assert!(end.is_none() && !is_cut, "{end:?}");
            let want = PACKETS
                .iter()
                .map(|(wire, packet, _)| (Some(7_000_500_000), link, *wire, packet.to_vec()));
            assert_eq!(all, want.collect::<Vec<_>>());
        }
    }

    #[test]
    fn what_is_cut_or_damaged_is_said() {
        let whole = file(4, PACKETS);
        let full = read(&whole).0;
        for len in 0..whole.len() {
            let (all, end, is_cut) = read(&whole[..len]);
            assert!(full.starts_with(&all), "{len}");
            let is_between = [16, 48, 76].contains(&len);
            assert_eq!(end.is_some() || is_cut, !is_between, "{len}: {end:?}");
        }
        for (at, value, want) in [
            (5, b'y', "not pcap"),
            (11, 3, "version 3"),
            (21, 0xff, "octets"), // longer than is believed
            (27, 20, "octets"),   // a record shorter than its header
            (24, 0xff, "octets"), // or longer than any
        ] {
            let mut bad = whole.clone();
            bad[at] = value;
            let said = read(&bad).1.map(|e| e.to_string()).unwrap_or_default();
            assert!(said.contains(want), "{at}: {said}");
        }
    }

    #[test]
    fn no_changed_octet_panics() {
        let whole = file(4, PACKETS);
        for at in 0..whole.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut bad = whole.clone();
                bad[at] = value;
                assert!(read(&bad).0.len() <= PACKETS.len());
            }
        }
    }
}
