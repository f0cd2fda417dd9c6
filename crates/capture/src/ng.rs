//! pcapng: sections of blocks, each with its length at both ends (draft-ietf-opsawg-pcapng).
//!
//! Packets come in enhanced, simple and obsolete packet blocks (sections 4.3, 4.4, appendix A);
//! interfaces (4.2) say what their packets begin with and what their times count. All other blocks
//! are passed over.

use crate::batch::{BATCH, Direction};
use crate::capture::{Counts, Cut, Found, Head, MOST};
use crate::classic::ended;
use crate::window::{Order, Window, array};
use crate::{Error, Packet};

/// Type of a section header block, the same in both byte orders.
pub(crate) const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const OLD_PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;

/// Type and length of a block, and the length again at its end.
const FRAME: usize = 12;
const HEAD: usize = 8;
const TAIL: usize = 4;

/// Octets of a packet or interface block: options take what a packet leaves, and as much again.
const MOST_BLOCK: usize = 2 * MOST;

/// Interfaces of a section: what an obsolete packet block can tell apart.
pub(crate) const MOST_INTERFACES: usize = 1 << 16;

/// What is known of the current section.
pub(crate) struct Ng {
    order: Order,
    interfaces: Vec<Interface>,
}

/// What an interface description block says (section 4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Interface {
    link: u32,
    /// Octets of each packet that are captured at most; 0 is all.
    snap_len: u32,
    resolution: Resolution,
    /// Seconds to be added to each time.
    offset_secs: i64,
}

/// How long a unit of time is (option if_tsresol).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Resolution {
    /// A whole number of nanoseconds.
    Nanos(u64),
    /// A part of a second.
    PerSecond(u128),
    /// More than can be counted.
    Beyond,
}

/// The block that comes next. Its octets are in the window if it is one that is read.
struct Block {
    at: u64,
    kind: u32,
    len: usize,
}

impl Ng {
    /// Reads the first section header, without consuming it.
    pub(crate) fn open(window: &mut Window) -> Result<Self, Error> {
        let mut ng = Self { order: Order::Little, interfaces: Vec::new() };
        let need = (FRAME + 16) as u64;
        let Some(bytes) = window.peek(HEAD + 4)? else {
            return Err(Error::Header { have: window.rest().len() as u64, need });
        };
        ng.order = byte_order(bytes, 0)?;
        if window.peek(FRAME + 16)?.is_none() {
            return Err(Error::Header { have: window.rest().len() as u64, need });
        }
        Ok(ng)
    }

    pub(crate) fn next(
        &mut self,
        window: &mut Window,
        counts: &mut Counts,
    ) -> Result<Found, Error> {
        loop {
            let block = match self.block(window)? {
                Ok(block) => block,
                Err(end) => return Ok(end),
            };
            let bytes = window.rest().get(..block.len).unwrap_or_default();
            let packet = match block.kind {
                ENHANCED_PACKET => self.enhanced(&block, bytes)?,
                SIMPLE_PACKET => self.simple(&block, bytes)?,
                OLD_PACKET => self.old(&block, bytes)?,
                INTERFACE => {
                    self.describe(&block, bytes)?;
                    window.consume(block.len);
                    continue;
                }
                SECTION => {
                    self.section(&block, bytes)?;
                    window.consume(block.len);
                    continue;
                }
                _ => {
                    counts.other_blocks += 1;
                    continue; // passed over already
                }
            };
            return Ok(Found::Packet(packet));
        }
    }

    /// The packets at the beginning of `bytes` whose blocks are enhanced packet blocks, whole and as
    /// they should be: how many, and the octets that they take. What comes behind them is for
    /// [`next`](Self::next) to judge.
    pub(crate) fn packets<'a>(
        &self,
        bytes: &'a [u8],
        batch: &mut [Packet<'a>; BATCH],
    ) -> (usize, usize) {
        let (mut count, mut rest) = (0, bytes);
        for place in batch {
            let [kind, len] = [0, 4].map(|at| self.order.u32(rest, at));
            let len = len as usize;
            if kind != ENHANCED_PACKET || len > MOST_BLOCK || !len.is_multiple_of(4) {
                break;
            }
            let Some((bytes, after)) = rest.split_at_checked(len) else { break };
            let block = Block { at: 0, kind, len };
            if len < FRAME || self.order.u32(bytes, len - TAIL) as usize != len {
                break;
            }
            let Ok(head) = self.enhanced(&block, bytes) else { break };
            let Head { time_ns, link, wire_len, interface, before, len, .. } = head;
            let bytes = bytes.get(before..before + len).unwrap_or_default();
            let direction = Direction::Unknown;
            *place = Packet { time_ns, link, wire_len, interface, direction, bytes };
            count += 1;
            rest = after;
        }
        (count, bytes.len() - rest.len())
    }

    /// The next block, whole in the window if it is of a kind that is read, and passed over if
    /// not. Otherwise how the capture ends.
    fn block(&mut self, window: &mut Window) -> Result<Result<Block, Found>, Error> {
        let at = window.offset();
        let Some(bytes) = window.peek(HEAD)? else { return Ok(Err(ended(window, HEAD))) };
        let mut kind = self.order.u32(bytes, 0);
        if array(bytes, 0) == SECTION.to_be_bytes() {
            kind = SECTION;
            // The byte order may be another one from here on, for this block's length, too.
            let Some(bytes) = window.peek(HEAD + 4)? else {
                return Ok(Err(ended(window, FRAME + 16)));
            };
            self.order = byte_order(bytes, at)?;
        }
        let said = self.order.u32(window.rest(), 4);
        let len = said as usize;
        let impossible = Error::BlockLength { at, kind, len: said };
        if len < FRAME || !len.is_multiple_of(4) {
            return Err(impossible);
        }
        let is_read =
            matches!(kind, SECTION | INTERFACE | OLD_PACKET | SIMPLE_PACKET | ENHANCED_PACKET);
        if is_read {
            if len > MOST_BLOCK {
                return Err(impossible);
            }
            if window.peek(len)?.is_none() {
                return Ok(Err(ended(window, len)));
            }
        } else {
            let body = (len - TAIL) as u64;
            let missing = window.skip(body)?;
            if missing > 0 || window.peek(TAIL)?.is_none() {
                let have = window.offset() - at + window.rest().len() as u64;
                let missing = len as u64 - have;
                return Ok(Err(Found::Cut(Cut { at, have, missing })));
            }
        }
        let end = if is_read { len - TAIL } else { 0 };
        let last = self.order.u32(window.rest(), end);
        if last != said {
            return Err(Error::BlockEnd { at, first: said, last });
        }
        if !is_read {
            window.consume(TAIL);
        }
        Ok(Ok(Block { at, kind, len }))
    }

    /// A section begins: interfaces are numbered anew.
    fn section(&mut self, block: &Block, bytes: &[u8]) -> Result<(), Error> {
        block.needs(FRAME + 16)?;
        let (major, minor) = (self.order.u16(bytes, 12), self.order.u16(bytes, 14));
        if major != 1 {
            return Err(Error::Version { format: "pcapng", at: block.at, major, minor });
        }
        self.interfaces.clear();
        Ok(())
    }

    fn describe(&mut self, block: &Block, bytes: &[u8]) -> Result<(), Error> {
        block.needs(FRAME + 8)?;
        if self.interfaces.len() >= MOST_INTERFACES {
            return Err(Error::Interfaces { at: block.at });
        }
        let mut interface = Interface {
            link: self.order.u16(bytes, 8).into(),
            snap_len: self.order.u32(bytes, 12),
            resolution: Resolution::Nanos(1000),
            offset_secs: 0,
        };
        let mut options = bytes.get(16..block.len - TAIL).unwrap_or_default();
        while let Some((code, value, rest)) = self.option(options) {
            match (code, value) {
                (IF_TSRESOL, [exponent]) => interface.resolution = Resolution::new(*exponent),
                (IF_TSOFFSET, value) if value.len() == 8 => {
                    interface.offset_secs = self.order.i64(value, 0);
                }
                _ => {}
            }
            options = rest;
        }
        self.interfaces.push(interface);
        Ok(())
    }

    /// Code and value of the first option, and the options after it (section 3.5). `None` at the
    /// end, and at one that claims more than there is.
    fn option<'a>(&self, options: &'a [u8]) -> Option<(u16, &'a [u8], &'a [u8])> {
        let (head, rest) = options.split_first_chunk::<4>()?;
        let (code, len) = (self.order.u16(head, 0), usize::from(self.order.u16(head, 2)));
        let value = rest.get(..len)?;
        let rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
        (code != 0).then_some((code, value, rest))
    }

    /// Section 4.3.
    fn enhanced(&self, block: &Block, bytes: &[u8]) -> Result<Head, Error> {
        block.needs(FRAME + 20)?;
        let [interface, high, low, len, wire_len] =
            [8, 12, 16, 20, 24].map(|at| self.order.u32(bytes, at));
        let time = u64::from(high) << 32 | u64::from(low);
        self.packet(block, interface, Some(time), wire_len, HEAD + 20, len)
    }

    /// Appendix A: like an enhanced packet block, but for a count of drops where half of the
    /// number of the interface is.
    fn old(&self, block: &Block, bytes: &[u8]) -> Result<Head, Error> {
        block.needs(FRAME + 20)?;
        let interface = self.order.u16(bytes, 8).into();
        let [high, low, len, wire_len] = [12, 16, 20, 24].map(|at| self.order.u32(bytes, at));
        let time = u64::from(high) << 32 | u64::from(low);
        self.packet(block, interface, Some(time), wire_len, HEAD + 20, len)
    }

    /// Section 4.4: of the first interface, without time, and with nothing that says how much was
    /// captured but the limit of the interface.
    fn simple(&self, block: &Block, bytes: &[u8]) -> Result<Head, Error> {
        block.needs(FRAME + 4)?;
        let wire_len = self.order.u32(bytes, 8);
        let snap_len = self.interfaces.first().map_or(0, |interface| interface.snap_len);
        let room = (block.len - FRAME - 4) as u32;
        let limit = if snap_len == 0 { room } else { snap_len.min(room) };
        self.packet(block, 0, None, wire_len, HEAD + 4, wire_len.min(limit))
    }

    fn packet(
        &self,
        block: &Block,
        number: u32,
        time: Option<u64>,
        wire_len: u32,
        before: usize,
        len: u32,
    ) -> Result<Head, Error> {
        let at = block.at;
        let interface = self.interfaces.get(number as usize).ok_or(Error::Interface {
            at,
            interface: number,
            described: self.interfaces.len(),
        })?;
        let len = len as usize;
        let room = block.len.saturating_sub(before + TAIL);
        if len > MOST || len > room {
            return Err(Error::PacketLength { at, len: len as u64 });
        }
        let time_ns = time.and_then(|time| interface.nanos(time));
        let after = block.len - before - len;
        Ok(Head { time_ns, link: interface.link, wire_len, interface: number, before, len, after })
    }
}

impl Block {
    /// Whether it has the octets that its kind has at least.
    fn needs(&self, len: usize) -> Result<(), Error> {
        if self.len < len {
            let Self { at, kind, len } = *self;
            return Err(Error::BlockLength { at, kind, len: len as u32 });
        }
        Ok(())
    }
}

const IF_TSRESOL: u16 = 9;
const IF_TSOFFSET: u16 = 14;

const SECOND: u64 = 1_000_000_000;

impl Resolution {
    /// From the option: a negative power of ten, or of two if the first bit is set.
    fn new(exponent: u8) -> Self {
        let power = u32::from(exponent & 0x7f);
        if exponent & 0x80 != 0 {
            return 1u128.checked_shl(power).map_or(Self::Beyond, Self::PerSecond);
        }
        match power {
            0..=9 => Self::Nanos(10u64.pow(9 - power)),
            _ => 10u128.checked_pow(power).map_or(Self::Beyond, Self::PerSecond),
        }
    }
}

impl Interface {
    /// Nanoseconds since 1970; `None` if that is before, or beyond the year 2554.
    #[inline]
    fn nanos(&self, time: u64) -> Option<u64> {
        let nanos = match self.resolution {
            Resolution::Nanos(unit) => u128::from(time) * u128::from(unit),
            Resolution::PerSecond(units) => {
                let (time, second) = (u128::from(time), u128::from(SECOND));
                (time / units) * second + (time % units).checked_mul(second)? / units
            }
            Resolution::Beyond => return None,
        };
        let offset = i128::from(self.offset_secs) * i128::from(SECOND);
        u64::try_from(i128::try_from(nanos).ok()? + offset).ok()
    }
}

/// The byte order of the section header at `at`, from its byte order mark (section 4.1).
fn byte_order(bytes: &[u8], at: u64) -> Result<Order, Error> {
    match array(bytes, HEAD) {
        [0x1a, 0x2b, 0x3c, 0x4d] => Ok(Order::Big),
        [0x4d, 0x3c, 0x2b, 0x1a] => Ok(Order::Little),
        mark => Err(Error::ByteOrder { at, mark }),
    }
}
