//! Classic pcap: a header of 24 octets, then a header of 16 octets before each packet
//! (draft-ietf-opsawg-pcap, sections 4 and 5). Microseconds or nanoseconds, either byte order, and
//! the variant of old Linux distributions whose packet headers have 24 octets.

use crate::batch::{BATCH, Direction};
use crate::capture::{Cut, Found, Head, MOST};
use crate::window::{Order, Window, array};
use crate::{Error, Packet};

/// Octets of the header of a file.
const FILE_HEADER: usize = 24;

/// What the header of a file says about its packets.
pub(crate) struct Classic {
    order: Order,
    link: u32,
    minor: u16,
    /// Octets of the header of a packet.
    header: usize,
    /// Nanoseconds in a unit of the second number of a time.
    unit: u64,
}

impl Classic {
    pub(crate) fn open(window: &mut Window, magic: [u8; 4]) -> Result<Self, Error> {
        let (order, header, unit) = match magic {
            [0xa1, 0xb2, 0xc3, 0xd4] => (Order::Big, 16, 1000),
            [0xd4, 0xc3, 0xb2, 0xa1] => (Order::Little, 16, 1000),
            [0xa1, 0xb2, 0x3c, 0x4d] => (Order::Big, 16, 1),
            [0x4d, 0x3c, 0xb2, 0xa1] => (Order::Little, 16, 1),
            [0xa1, 0xb2, 0xcd, 0x34] => (Order::Big, 24, 1000),
            [0x34, 0xcd, 0xb2, 0xa1] => (Order::Little, 24, 1000),
            _ => return Err(Error::Unknown { magic }),
        };
        let Some(bytes) = window.peek(FILE_HEADER)? else {
            let have = window.rest().len() as u64;
            return Err(Error::Header { have, need: FILE_HEADER as u64 });
        };
        let (major, minor) = (order.u16(bytes, 4), order.u16(bytes, 6));
        if major != 2 {
            return Err(Error::Version { format: "pcap", at: 0, major, minor });
        }
        // The upper bits tell of frame check sequences, which nobody below an IP header minds.
        let link = order.u32(bytes, 20) & 0x03ff_ffff;
        window.consume(FILE_HEADER);
        Ok(Self { order, link, minor, header, unit })
    }

    pub(crate) fn next(&self, window: &mut Window) -> Result<Found, Error> {
        let at = window.offset();
        let Some(bytes) = window.peek(self.header)? else {
            return Ok(ended(window, self.header));
        };
        let [secs, part, mut len, mut wire_len] = [0, 4, 8, 12].map(|at| self.order.u32(bytes, at));
        // Files before 2.3 have the lengths the other way round, and those of 2.3 either way.
        if self.minor < 3 || self.minor == 3 && len > wire_len {
            std::mem::swap(&mut len, &mut wire_len);
        }
        let len = len as usize;
        if len > MOST {
            return Err(Error::PacketLength { at, len: len as u64 });
        }
        if window.peek(self.header + len)?.is_none() {
            return Ok(ended(window, self.header + len));
        }
        // Fits: seconds and parts have 32 bits each.
        let time_ns = Some(u64::from(secs) * 1_000_000_000 + u64::from(part) * self.unit);
        let before = self.header;
        Ok(Found::Packet(Head {
            time_ns,
            link: self.link,
            wire_len,
            interface: 0,
            before,
            len,
            after: 0,
        }))
    }
}

impl Classic {
    /// Link type of all packets.
    pub(crate) fn link(&self) -> u32 {
        self.link
    }

    /// The packets at the beginning of `bytes` that are whole and as they should be: how many, and
    /// the octets that they take. What comes behind them is for [`next`](Self::next) to judge.
    pub(crate) fn packets<'a>(
        &self,
        bytes: &'a [u8],
        batch: &mut [Packet<'a>; BATCH],
    ) -> (usize, usize) {
        if self.minor <= 3 || self.header != 16 {
            return (0, 0); // rare enough to be read one by one
        }
        match self.order {
            Order::Big => self.fill(bytes, batch, u32::from_be_bytes),
            Order::Little => self.fill(bytes, batch, u32::from_le_bytes),
        }
    }

    #[inline]
    fn fill<'a>(
        &self,
        bytes: &'a [u8],
        batch: &mut [Packet<'a>; BATCH],
        number: impl Fn([u8; 4]) -> u32,
    ) -> (usize, usize) {
        let (mut count, mut rest) = (0, bytes);
        for place in batch {
            let Some((header, after)) = rest.split_first_chunk::<16>() else { break };
            let [secs, part, len, wire_len] = [0, 4, 8, 12].map(|at| number(array(header, at)));
            let len = len as usize;
            let Some((packet, after)) = after.split_at_checked(len) else { break };
            if len > MOST {
                break;
            }
            let time_ns = u64::from(secs) * 1_000_000_000 + u64::from(part) * self.unit;
            *place = Packet {
                time_ns: Some(time_ns),
                link: self.link,
                wire_len,
                interface: 0,
                direction: Direction::Unknown,
                bytes: packet,
            };
            count += 1;
            rest = after;
        }
        (count, bytes.len() - rest.len())
    }
}

/// The stream has fewer than the `need` octets that come next.
pub(crate) fn ended(window: &Window, need: usize) -> Found {
    match window.rest().len() {
        0 if window.is_cut() => Found::Cut(Cut { at: window.offset(), have: 0, missing: 0 }),
        0 => Found::End,
        have => Found::Cut(Cut {
            at: window.offset(),
            have: have as u64,
            missing: need.saturating_sub(have) as u64,
        }),
    }
}
