//! IP fragments put together (RFC 791, section 3.2; RFC 8200, section 4.5).

use std::net::IpAddr;

/// Datagrams that wait for fragments at once: with the longest, 4 MiB.
const MOST: usize = 64;

/// Octets of the longest datagram.
const LONGEST: usize = 65_535;

/// How long fragments wait for the others, in nanoseconds of the capture (RFC 8200, section 4.5).
const PATIENCE_NS: u64 = 60_000_000_000;

/// What fragments of one datagram have in common. UDP only, so the protocol is not among it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) from: IpAddr,
    pub(crate) to: IpAddr,
    pub(crate) id: u32,
}

/// A piece of a datagram.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fragment<'a> {
    /// Where it belongs.
    pub(crate) start: usize,
    /// Whether others come after it.
    pub(crate) more: bool,
    pub(crate) bytes: &'a [u8],
    /// Whether the capture holds all of it.
    pub(crate) is_whole: bool,
}

/// Datagrams of which pieces are missing.
#[derive(Debug, Default)]
pub(crate) struct Fragments {
    /// Oldest first.
    waiting: Vec<Partial>,
    /// The one that was completed last, and buffers to be used again.
    done: Partial,
}

#[derive(Debug, Default)]
struct Partial {
    key: Option<Key>,
    since_ns: Option<u64>,
    bytes: Vec<u8>,
    /// What is there: beginnings and ends, in order, apart from each other.
    pieces: Vec<(usize, usize)>,
    /// Length, once the last piece has come.
    len: Option<usize>,
    /// Octets of the pieces.
    covered: usize,
    /// Fragments it is made of.
    count: u64,
    /// Whether pieces contradict each other. Later ones are thrown away with it.
    is_bad: bool,
}

impl Fragments {
    /// Throws away what waits. How many fragments that were.
    pub(crate) fn clear(&mut self) -> u64 {
        self.waiting.drain(..).map(|partial| partial.count).sum()
    }

    /// Adds a piece. The whole datagram, if it was the last that was missing. Fragments that lead
    /// to no datagram any more are added to `lost`.
    pub(crate) fn add(
        &mut self,
        key: Key,
        fragment: Fragment<'_>,
        now_ns: Option<u64>,
        lost: &mut u64,
    ) -> Option<&[u8]> {
        *lost += self.expire(now_ns);
        let at = self.waiting.iter().position(|partial| partial.key == Some(key));
        let at = at.unwrap_or_else(|| {
            *lost += self.make_room();
            let mut partial = std::mem::take(&mut self.done);
            partial.begin(key, now_ns);
            self.waiting.push(partial);
            self.waiting.len() - 1
        });
        let partial = self.waiting.get_mut(at)?;
        partial.count += 1;
        match partial.put(fragment) {
            Put::Bad => partial.is_bad = true,
            Put::Twice => {
                partial.count -= 1;
                *lost += 1;
            }
            Put::Good => {}
        }
        if !partial.is_complete() {
            return None;
        }
        self.done = self.waiting.remove(at);
        Some(&self.done.bytes)
    }

    fn expire(&mut self, now_ns: Option<u64>) -> u64 {
        let Some(now) = now_ns else { return 0 };
        let mut lost = 0;
        self.waiting.retain(|partial| {
            // Times of a capture may go back a little.
            let waited = partial.since_ns.map_or(0, |since| now.saturating_sub(since));
            let is_old = waited > PATIENCE_NS;
            lost += if is_old { partial.count } else { 0 };
            !is_old
        });
        lost
    }

    fn make_room(&mut self) -> u64 {
        if self.waiting.len() < MOST {
            return 0;
        }
        self.done = self.waiting.remove(0);
        self.done.count
    }
}

enum Put {
    Good,
    /// The same piece again, as a network or a capture of two links has it.
    Twice,
    /// Overlaps another one, or does not fit: the datagram is not to be believed (RFC 5722).
    Bad,
}

impl Partial {
    fn begin(&mut self, key: Key, now_ns: Option<u64>) {
        self.bytes.clear();
        self.pieces.clear();
        let (bytes, pieces) = (std::mem::take(&mut self.bytes), std::mem::take(&mut self.pieces));
        *self = Self { key: Some(key), since_ns: now_ns, bytes, pieces, ..Self::default() };
    }

    fn put(&mut self, fragment: Fragment<'_>) -> Put {
        let Fragment { start, more, bytes, is_whole } = fragment;
        let end = start + bytes.len();
        let is_odd = more && !bytes.len().is_multiple_of(8) || bytes.is_empty();
        if self.is_bad || !is_whole || is_odd || end > LONGEST {
            return Put::Bad;
        }
        let at = self.pieces.partition_point(|(_, piece_end)| *piece_end <= start);
        if let Some((piece_start, piece_end)) = self.pieces.get(at).copied() {
            if (piece_start, piece_end) == (start, end) && self.bytes.get(start..end) == Some(bytes)
            {
                return Put::Twice;
            }
            if piece_start < end {
                return Put::Bad;
            }
        }
        let is_beyond = self.len.is_some_and(|len| end > len);
        let is_last_before_others = !more && self.bytes.len() > end;
        if is_beyond || is_last_before_others || !more && self.len.is_some() {
            return Put::Bad;
        }
        self.pieces.insert(at, (start, end));
        self.covered += bytes.len();
        if !more {
            self.len = Some(end);
        }
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        if let Some(place) = self.bytes.get_mut(start..end) {
            place.copy_from_slice(bytes);
        }
        Put::Good
    }

    /// Pieces do not overlap, so their octets tell.
    fn is_complete(&self) -> bool {
        !self.is_bad && self.len == Some(self.covered)
    }
}
