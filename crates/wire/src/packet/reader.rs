//! A place in a captured packet: how much of it is there, and how much of it there was.

use super::{Cause, Layer, Stop};

/// Reads a captured packet from front to back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a> {
    /// Captured octets from here to the end of the packet.
    rest: &'a [u8],
    /// Where `rest` begins in the frame.
    at: usize,
    /// Octets of the packet that follow `rest` and were not captured.
    cut: usize,
}

/// Stands for any number of octets that were not captured: as much as the longest packet has.
const ANY: usize = u32::MAX as usize;

impl<'a> Reader<'a> {
    /// A reader of `section`, which measured `wire_len` octets before it was cut.
    #[inline]
    pub(super) fn new(section: &'a [u8], wire_len: Option<u32>) -> Self {
        let cut = match wire_len {
            Some(len) => (len as usize).saturating_sub(section.len()),
            None => ANY,
        };
        Self { rest: section, at: 0, cut }
    }

    /// Captured octets that are left.
    #[inline]
    pub(super) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Where in the frame the next octet lies.
    #[inline]
    pub(super) const fn at(&self) -> u32 {
        self.at as u32
    }

    /// Octets that were left on the wire, as far as that is known.
    #[inline]
    pub(super) const fn room(&self) -> u32 {
        let cut = if self.cut == ANY { 0 } else { self.cut };
        let room = self.rest.len().saturating_add(cut);
        if room > ANY { u32::MAX } else { room as u32 }
    }

    /// Whether it is known where the packet ends.
    #[inline]
    pub(super) const fn has_end(&self) -> bool {
        self.cut != ANY
    }

    /// The next `N` octets, without moving.
    #[inline]
    pub(super) fn peek<const N: usize>(&self, layer: Layer) -> Result<&'a [u8; N], Stop> {
        match self.rest.first_chunk() {
            Some(head) => Ok(head),
            None => Err(self.short(N, layer)),
        }
    }

    /// The next `N` octets, and past them.
    #[inline]
    pub(super) fn take<const N: usize>(&mut self, layer: Layer) -> Result<&'a [u8; N], Stop> {
        let Some((head, tail)) = self.rest.split_first_chunk() else {
            return Err(self.short(N, layer));
        };
        self.rest = tail;
        self.at += N;
        Ok(head)
    }

    /// Past the next `len` octets.
    #[inline]
    pub(super) fn skip(&mut self, len: usize, layer: Layer) -> Result<(), Stop> {
        let Some(tail) = self.rest.get(len..) else { return Err(self.short(len, layer)) };
        self.rest = tail;
        self.at += len;
        Ok(())
    }

    /// The packet ends `len` octets from here; what follows is padding.
    #[inline]
    pub(super) fn limit(&mut self, len: usize) {
        match self.rest.get(..len) {
            Some(rest) => (self.rest, self.cut) = (rest, 0),
            None => self.cut = self.cut.min(len - self.rest.len()),
        }
    }

    /// The packet goes on elsewhere, in other fragments.
    #[inline]
    pub(super) const fn goes_on(&mut self) {
        self.cut = ANY;
    }

    /// Decoding ends here.
    pub(super) const fn stop(&self, cause: Cause, layer: Layer) -> Stop {
        Stop { cause, layer, at: self.at() }
    }

    /// Decoding ends here, for want of octets.
    #[cold]
    fn short(&self, need: usize, layer: Layer) -> Stop {
        let was_there = need <= self.rest.len().saturating_add(self.cut);
        self.stop(if was_there { Cause::Truncated } else { Cause::Malformed }, layer)
    }
}

/// The number in two octets, network byte order.
#[inline]
pub(super) const fn be16(high: u8, low: u8) -> u16 {
    u16::from_be_bytes([high, low])
}
