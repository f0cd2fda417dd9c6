//! Captures and frames made for tests, octet by octet.

use crate::window::Order;

/// Link type of Ethernet.
pub(crate) const ETHERNET: u32 = 1;

pub(crate) fn udp_datagram(from: u16, to: u16, payload: &[u8]) -> Vec<u8> {
    let len = (payload.len() + 8) as u16;
    let header = [from, to, len, 0].map(u16::to_be_bytes).concat();
    [&header, payload].concat()
}

/// From 192.0.2.1 to 192.0.2.9; `place` are flags and offset of a fragment.
pub(crate) fn ipv4_packet(udp: &[u8], id: u16, place: u16) -> Vec<u8> {
    let len = (udp.len() + 20) as u16;
    let start = [len, id, place].map(u16::to_be_bytes).concat();
    let addresses = [192, 0, 2, 1, 192, 0, 2, 9];
    [&[0x45, 0][..], &start, &[64, 17, 0, 0], &addresses, udp].concat()
}

/// From 2001:db8::1 to 2001:db8::9.
pub(crate) fn ipv6_packet(next: u8, payload: &[u8]) -> Vec<u8> {
    let address = |last: u8| [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last];
    let len = (payload.len() as u16).to_be_bytes();
    [&[0x60, 0, 0, 0][..], &len, &[next, 64], &address(1), &address(9), payload].concat()
}

/// An Ethernet frame around an IPv4 or IPv6 packet.
pub(crate) fn frame_of(ip: &[u8]) -> Vec<u8> {
    let kind = if ip[0] >> 4 == 4 { [8, 0] } else { [0x86, 0xdd] };
    [&[2; 12][..], &kind, ip].concat()
}

/// A writer of numbers in one byte order.
pub(crate) struct Out {
    pub(crate) order: Order,
    pub(crate) bytes: Vec<u8>,
}

impl Out {
    pub(crate) fn new(order: Order) -> Self {
        Self { order, bytes: Vec::new() }
    }

    pub(crate) fn u16(&mut self, n: u16) -> &mut Self {
        self.bytes.extend(if self.order == Order::Big { n.to_be_bytes() } else { n.to_le_bytes() });
        self
    }

    pub(crate) fn u32(&mut self, n: u32) -> &mut Self {
        self.bytes.extend(if self.order == Order::Big { n.to_be_bytes() } else { n.to_le_bytes() });
        self
    }

    pub(crate) fn put(&mut self, bytes: &[u8]) -> &mut Self {
        self.bytes.extend(bytes);
        self
    }

    /// A block of pcapng around `body`, filled up to four octets.
    pub(crate) fn block(&mut self, kind: u32, body: &[u8]) -> &mut Self {
        let filled = body.len().next_multiple_of(4);
        let len = (filled + 12) as u32;
        self.u32(kind).u32(len).put(body);
        self.bytes.resize(self.bytes.len() + filled - body.len(), 0);
        self.u32(len)
    }

    pub(crate) fn section(&mut self) -> &mut Self {
        let mut body = Self::new(self.order);
        body.u32(0x1a2b_3c4d).u16(1).u16(0).put(&[0xff; 8]);
        self.block(0x0a0d_0d0a, &body.bytes)
    }

    /// An interface, with options.
    pub(crate) fn interface(&mut self, link: u16, snap_len: u32, options: &[u8]) -> &mut Self {
        let mut body = Self::new(self.order);
        body.u16(link).u16(0).u32(snap_len).put(options);
        self.block(1, &body.bytes)
    }

    pub(crate) fn enhanced(&mut self, interface: u32, time: u64, packet: &[u8]) -> &mut Self {
        let mut body = Self::new(self.order);
        let len = packet.len() as u32;
        body.u32(interface).u32((time >> 32) as u32).u32(time as u32).u32(len).u32(len + 2);
        body.put(packet);
        self.block(6, &body.bytes)
    }

    /// The header of a classic file with a magic number, and the version.
    pub(crate) fn classic(&mut self, magic: u32, minor: u16) -> &mut Self {
        self.u32(magic).u16(2).u16(minor).u32(0).u32(0).u32(65_535).u32(ETHERNET)
    }

    pub(crate) fn packet(&mut self, secs: u32, part: u32, packet: &[u8]) -> &mut Self {
        let len = packet.len() as u32;
        self.u32(secs).u32(part).u32(len).u32(len + 2).put(packet)
    }
}
