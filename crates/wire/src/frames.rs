//! IPFIX messages in a stream of octets: over TCP (RFC 7011, 10.4) and TLS, and in files (RFC 5655).
//!
//! Messages follow each other without anything between them; the length in the header of each says
//! where the next one begins. A stream in which that is lost cannot be picked up again.

use crate::DecodeError;
use crate::ipfix::HEADER_LEN;

/// Octets up to the end of the length field.
const PREFIX_LEN: usize = 4;

/// Cuts a stream into whole messages, at most 65 535 octets each.
///
/// Octets come in pieces of any size. A message that lies whole in a piece is handed out from
/// there; only one that is spread over pieces is copied, so a stream never holds more than one
/// message.
///
/// ```
/// use wire::ipfix::Frames;
///
/// let mut frames = Frames::new();
/// let message = [&[0, 10, 0, 20][..], &[0; 16]].concat();
/// let stream = [&message[..], &message, &message[..7]].concat();
/// let mut piece = &stream[..];
/// let mut seen = 0;
/// while let Some(found) = frames.next(&mut piece)? {
///     assert_eq!(found, message);
///     seen += 1;
/// }
/// assert_eq!((seen, frames.pending()), (2, 7));
/// # Ok::<(), wire::DecodeError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Frames {
    /// The start of a message whose rest has not come, or a message handed out last.
    held: Vec<u8>,
    /// Whether `held` was handed out.
    is_done: bool,
    /// Octets of the stream that are behind us, those in `held` included.
    at: u64,
    /// Why the stream is given up.
    lost: Option<DecodeError>,
}

impl Frames {
    /// At the start of a stream.
    pub const fn new() -> Self {
        Self { held: Vec::new(), is_done: false, at: 0, lost: None }
    }

    /// The next whole message; `None` when the piece is used up, and what is left of it is kept for
    /// the next one. Octets are taken off the front of `piece`.
    ///
    /// # Errors
    /// [`DecodeError::LostFraming`] if what comes next is no message: the version is not 10, or the
    /// length is below that of a header. Then the stream has to be closed, and every further call
    /// returns the same.
    pub fn next<'s, 'p: 's>(
        &'s mut self,
        piece: &mut &'p [u8],
    ) -> Result<Option<&'s [u8]>, DecodeError> {
        if let Some(lost) = self.lost {
            return Err(lost);
        }
        if self.is_done {
            self.held.clear();
            self.is_done = false;
        }
        if self.held.is_empty() {
            return self.next_in_place(piece);
        }
        // First the length, then the rest.
        if !self.hold(piece, PREFIX_LEN) {
            return Ok(None);
        }
        let Some(len) = self.message_len(&[])? else { return Ok(None) };
        if !self.hold(piece, len) {
            return Ok(None);
        }
        self.is_done = true;
        Ok(Some(&self.held))
    }

    /// A message that lies whole in the piece; keeps what does not.
    fn next_in_place<'a>(&mut self, piece: &mut &'a [u8]) -> Result<Option<&'a [u8]>, DecodeError> {
        let len = self.message_len(piece)?;
        if let Some((message, rest)) = len.and_then(|len| piece.split_at_checked(len)) {
            *piece = rest;
            self.at += message.len() as u64;
            return Ok(Some(message));
        }
        self.hold(piece, usize::MAX);
        Ok(None)
    }

    /// Moves octets from the piece to those held until there are `len`. Returns whether there are.
    fn hold(&mut self, piece: &mut &[u8], len: usize) -> bool {
        let missing = len.saturating_sub(self.held.len());
        let (moved, rest) = piece.split_at(missing.min(piece.len()));
        self.held.extend_from_slice(moved);
        self.at += moved.len() as u64;
        *piece = rest;
        self.held.len() >= len
    }

    /// Octets of the message that begins with those held and then `piece`, `None` if there are too
    /// few to say.
    fn message_len(&mut self, piece: &[u8]) -> Result<Option<usize>, DecodeError> {
        let front = if self.held.is_empty() { piece } else { &self.held };
        let Some([v0, v1, l0, l1]) = front.first_chunk::<PREFIX_LEN>() else { return Ok(None) };
        let (version, len) = (u16::from_be_bytes([*v0, *v1]), u16::from_be_bytes([*l0, *l1]));
        if version == 10 && usize::from(len) >= HEADER_LEN {
            return Ok(Some(usize::from(len)));
        }
        let at = self.at - self.held.len() as u64;
        let lost = DecodeError::LostFraming { at, version, len };
        self.lost = Some(lost);
        Err(lost)
    }

    /// Octets of a message whose rest has not come. A stream that ends with any was cut.
    pub const fn pending(&self) -> usize {
        if self.is_done { 0 } else { self.held.len() }
    }

    /// Where the next message begins, counted from the start of the stream.
    pub const fn position(&self) -> u64 {
        self.at - self.pending() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipfix::Header;
    use crate::testing::IpfixBuilder;

    /// Messages of these lengths, each with octets of its own.
    fn messages(lens: &[usize]) -> Vec<Vec<u8>> {
        let message = |(n, len): (usize, &usize)| {
            let header = Header { sequence: n as u32, ..Header::default() };
            let builder = IpfixBuilder::new(header);
            match len - HEADER_LEN {
                0 => builder.build(),
                body => builder.set(256, &vec![n as u8; body - 4]).build(),
            }
        };
        lens.iter().enumerate().map(message).collect()
    }

    /// Feeds pieces; returns the messages, and what happened at the end.
    fn feed<'a>(
        pieces: impl IntoIterator<Item = &'a [u8]>,
    ) -> (Vec<Vec<u8>>, Frames, Option<DecodeError>) {
        let (mut frames, mut out) = (Frames::new(), Vec::new());
        for mut piece in pieces {
            loop {
                match frames.next(&mut piece) {
                    Ok(Some(message)) => out.push(message.to_vec()),
                    Ok(None) => break,
                    Err(e) => return (out, frames, Some(e)),
                }
            }
            assert!(piece.is_empty());
        }
        (out, frames, None)
    }

    #[test]
    fn messages_come_out_whole_however_the_stream_is_cut() {
        let want = messages(&[16, 20, 21, 1400, 16, 65_535, 33]);
        let stream = want.concat();
        for size in [1, 2, 3, 4, 5, 15, 16, 17, 100, 4096, 65_535, 65_536, stream.len()] {
            let (got, frames, error) = feed(stream.chunks(size));
            assert_eq!((got == want, error), (true, None), "pieces of {size}");
            assert_eq!((frames.pending(), frames.position()), (0, stream.len() as u64));
            assert!(frames.held.capacity() <= 1 << 17, "{} octets held", frames.held.capacity());
        }
    }

    #[test]
    fn cut_in_two_at_each_octet() {
        let want = messages(&[16, 40, 16]);
        let stream = want.concat();
        for at in 0..=stream.len() {
            let (front, back) = stream.split_at(at);
            let (got, frames, error) = feed([front, back]);
            assert_eq!((got, frames.pending(), error), (want.clone(), 0, None), "at {at}");
            // The back never comes.
            let (got, frames, error) = feed([front]);
            let ends = [0, 16, 56, 72];
            let whole = ends.iter().rposition(|end| *end <= at).unwrap();
            assert_eq!((got.len(), frames.pending(), error), (whole, at - ends[whole], None));
            assert_eq!(frames.position(), ends[whole] as u64);
        }
    }

    #[test]
    fn whole_messages_are_not_copied() {
        let stream = messages(&[16, 1400, 20]).concat();
        let (mut frames, mut piece) = (Frames::new(), &stream[..]);
        while let Some(message) = frames.next(&mut piece).unwrap() {
            assert!(stream.as_ptr_range().contains(&message.as_ptr()));
        }
        assert_eq!(frames.held.capacity(), 0);
    }

    #[test]
    fn a_stream_that_is_lost_stays_lost() {
        for (name, junk, version, len) in [
            ("version 9", [0, 9, 0, 20], 9, 20),
            ("version 0", [0, 0, 0, 0], 0, 0),
            ("text", *b"GET ", 0x4745, 0x5420),
            ("length 0", [0, 10, 0, 0], 10, 0),
            ("length below the header", [0, 10, 0, 15], 10, 15),
        ] {
            let first = messages(&[20]);
            let stream = [&first[0][..], &junk, &first[0]].concat();
            for size in 1..=stream.len() {
                let (got, mut frames, error) = feed(stream.chunks(size));
                let want = DecodeError::LostFraming { at: 20, version, len };
                assert_eq!((got, error), (first.clone(), Some(want)), "{name}, pieces of {size}");
                assert_eq!(frames.next(&mut &first[0][..]), Err(want), "{name}");
            }
        }
    }
}
