//! The datagram being built: sets of records behind room for a header (v9, IPFIX).

use super::Carries;
use crate::cursor::SET_HEADER_LEN;

/// Sets begin at multiples of this (RFC 3954, 5.3; RFC 7011, 3.3.1, which allows it).
const ALIGN: usize = 4;

#[derive(Debug)]
pub(super) struct Message {
    buf: Vec<u8>,
    header_len: usize,
    max_len: usize,
    /// Id and start of the set that is open.
    open: Option<(u16, usize)>,
    pub(super) carries: Carries,
    /// When the first flow record was written.
    pub(super) since: Option<u64>,
}

impl Message {
    /// An empty datagram of at most `max_len` octets.
    pub(super) fn new(header_len: usize, max_len: usize) -> Self {
        let mut buf = Vec::with_capacity(max_len);
        buf.resize(header_len, 0);
        // Datagrams end with whole sets.
        let max_len = max_len / ALIGN * ALIGN;
        Self { buf, header_len, max_len, open: None, carries: Carries::default(), since: None }
    }

    /// Octets of the header, and of the longest datagram.
    pub(super) const fn bounds(&self) -> (usize, usize) {
        (self.header_len, self.max_len)
    }

    /// Whether nothing is in it.
    pub(super) const fn is_empty(&self) -> bool {
        self.carries.total() == 0
    }

    /// Octets that fit in a set, if there is nothing else.
    pub(super) const fn capacity(&self) -> usize {
        self.max_len.saturating_sub(self.header_len + SET_HEADER_LEN)
    }

    /// Whether `len` more octets fit in set `id`.
    #[inline]
    pub(super) fn has_room(&self, id: u16, len: usize) -> bool {
        let at = match self.open {
            Some((open, _)) if open == id => self.buf.len(),
            _ => self.buf.len().next_multiple_of(ALIGN) + SET_HEADER_LEN,
        };
        at + len <= self.max_len
    }

    /// Room for a record of `len` octets in set `id`, filled with zeros.
    #[inline]
    pub(super) fn record(&mut self, id: u16, len: usize) -> &mut [u8] {
        if self.open.is_none_or(|(open, _)| open != id) {
            self.begin(id);
        }
        let at = self.buf.len();
        self.buf.resize(at + len, 0);
        self.buf.get_mut(at..).unwrap_or_default()
    }

    /// As [`record`](Self::record), and no set may continue in it: some receivers read one options
    /// template a set.
    pub(super) fn record_of_its_own(&mut self, id: u16, octets: &[u8]) {
        self.begin(id);
        self.buf.extend_from_slice(octets);
        self.close();
    }

    /// Octets that end the record just written.
    #[inline]
    pub(super) fn append(&mut self, octets: &[u8]) {
        self.buf.extend_from_slice(octets);
    }

    fn begin(&mut self, id: u16) {
        self.close();
        self.open = Some((id, self.buf.len()));
        self.buf.extend_from_slice(&id.to_be_bytes());
        self.buf.extend_from_slice(&[0; 2]);
    }

    fn close(&mut self) {
        let Some((_, start)) = self.open.take() else { return };
        self.buf.resize(self.buf.len().next_multiple_of(ALIGN), 0);
        let len = (self.buf.len() - start) as u16;
        if let Some(room) = self.buf.get_mut(start + 2..start + SET_HEADER_LEN) {
            room.copy_from_slice(&len.to_be_bytes());
        }
    }

    /// Completes the datagram with what `header` writes, hands it to `send` and begins anew.
    pub(super) fn finish(
        &mut self,
        header: impl FnOnce(&mut [u8], Carries, usize),
        send: impl FnOnce(&[u8], Carries),
    ) {
        self.close();
        let len = self.buf.len();
        header(self.buf.get_mut(..self.header_len).unwrap_or_default(), self.carries, len);
        send(&self.buf, self.carries);
        self.buf.truncate(self.header_len);
        self.carries = Carries::default();
        self.since = None;
    }
}
