//! Messages of the kernel's connection table over netlink: octets to [`Entry`].
//!
//! Layout: `linux/netlink.h`, `linux/netfilter/nfnetlink_conntrack.h`. A read from the socket is
//! a sequence of messages; a message is a header in host order, 4 octets of family, and attributes
//! with numbers in network order, nested for tuples, counters and times.
//!
//! Nothing here opens a socket: [`Messages`] reads what one gave, [`dump_request`] is what to send.

use crate::entry::{Counter, Entry, Helper, Kind, Status, Tuple, is_icmp};
use record::Addr;

/// Multicast group of new connections; bit `1 << (group - 1)` when binding.
pub const GROUP_NEW: u32 = 1;
/// Multicast group of changes.
pub const GROUP_UPDATE: u32 = 2;
/// Multicast group of ended connections.
pub const GROUP_DESTROY: u32 = 3;

const HEADER: usize = 16;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLMSG_OVERRUN: u16 = 4;
/// Subsystem 1 (conntrack) in the high octet.
const CT_NEW: u16 = 0x0100;
const CT_GET: u16 = 0x0101;
const CT_DELETE: u16 = 0x0102;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_MULTI: u16 = 2;
const NLM_F_DUMP: u16 = 0x300;
const NLM_F_CREATE: u16 = 0x400;

/// Why octets are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// A message says it is longer than what was read, or shorter than its header.
    #[error("a netlink message says it has {len} octets, there are {have}")]
    MessageLength {
        /// Its length field.
        len: u32,
        /// Octets from its start to the end of the read.
        have: usize,
    },
    /// An attribute reaches beyond the one around it.
    #[error("attribute {attribute} says it has {len} octets, there are {have}")]
    AttributeLength {
        /// Its number.
        attribute: u16,
        /// Its length field.
        len: u16,
        /// Octets left.
        have: usize,
    },
    /// A value has another width than the kernel gives it.
    #[error("attribute {attribute} has {have} octets, expected {want}")]
    Width {
        /// Its number.
        attribute: u16,
        /// Expected octets.
        want: usize,
        /// Its octets.
        have: usize,
    },
    /// The message lacks one or both tuples or an address of theirs.
    #[error("a connection without addresses in both directions")]
    NoTuple,
}

/// One message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// A connection.
    Entry(Kind, &'a Entry),
    /// The end of a dump; the number is 0 or a negative errno.
    Done(i32),
    /// The kernel refused a request (negative errno) or acknowledges it (0).
    Error(i32),
    /// The kernel says that messages were lost.
    Overrun,
    /// Something else, by its type.
    Other(u16),
}

/// The messages in the octets of one read.
///
/// ```
/// use nat::ctnetlink::{Message, Messages};
/// # let octets = [0u8; 0];
/// let mut messages = Messages::new(&octets);
/// while let Some(message) = messages.next() {
///     match message {
///         Ok(Message::Entry(kind, entry)) => println!("{kind:?} {:?}", entry.orig),
///         Ok(other) => println!("{other:?}"),
///         Err(error) => eprintln!("{error}"),
///     }
/// }
/// ```
#[derive(Debug)]
pub struct Messages<'a> {
    left: &'a [u8],
    entry: Entry,
}

impl<'a> Messages<'a> {
    /// Reads `octets`, as `recv` filled them.
    pub fn new(octets: &'a [u8]) -> Self {
        Self { left: octets, entry: Entry::default() }
    }

    /// The next message, `None` at the end. After an error within a message the next one follows;
    /// after a wrong length of a message nothing does. The entry is overwritten by the next call.
    #[expect(clippy::should_implement_trait, reason = "lends its entry, which no iterator can")]
    #[inline]
    pub fn next(&mut self) -> Option<Result<Message<'_>, DecodeError>> {
        if self.left.is_empty() {
            return None;
        }
        let (header, body) = match take_message(&mut self.left) {
            Ok(message) => message,
            Err(error) => {
                self.left = &[];
                return Some(Err(error));
            }
        };
        let kind = match (header.kind, header.flags) {
            (CT_NEW, flags) if flags & NLM_F_MULTI != 0 => Kind::Dump,
            (CT_NEW, flags) if flags & NLM_F_CREATE != 0 => Kind::New,
            // The answer to a request for one entry has its sequence number.
            (CT_NEW, _) if header.sequence != 0 => Kind::Dump,
            (CT_NEW, _) => Kind::Update,
            (CT_DELETE, _) => Kind::Destroy,
            (NLMSG_DONE, _) => return Some(Ok(Message::Done(errno(body)))),
            (NLMSG_ERROR, _) => return Some(Ok(Message::Error(errno(body)))),
            (NLMSG_OVERRUN, _) => return Some(Ok(Message::Overrun)),
            (other, _) => return Some(Ok(Message::Other(other))),
        };
        self.entry = Entry { portid: header.portid, ..Entry::default() };
        Some(decode(body, &mut self.entry).map(|()| Message::Entry(kind, &self.entry)))
    }
}

/// A request for the whole table, both families: `IPCTNL_MSG_CT_GET` as a dump. The answers carry
/// `sequence`.
pub fn dump_request(sequence: u32) -> [u8; 20] {
    let mut out = [0; 20];
    let (length, rest) = out.split_at_mut(4);
    length.copy_from_slice(&20u32.to_ne_bytes());
    let words = [CT_GET, NLM_F_REQUEST | NLM_F_DUMP];
    for (to, word) in rest.chunks_exact_mut(2).zip(words) {
        to.copy_from_slice(&word.to_ne_bytes());
    }
    if let Some(at) = rest.get_mut(4..8) {
        at.copy_from_slice(&sequence.to_ne_bytes());
    }
    out
}

struct Header {
    kind: u16,
    flags: u16,
    sequence: u32,
    portid: u32,
}

fn take_message<'a>(left: &mut &'a [u8]) -> Result<(Header, &'a [u8]), DecodeError> {
    let have = left.len();
    let Some((head, _)) = left.split_first_chunk::<HEADER>() else {
        return Err(DecodeError::MessageLength { len: HEADER as u32, have });
    };
    let [l0, l1, l2, l3, k0, k1, f0, f1, s0, s1, s2, s3, p0, p1, p2, p3] = *head;
    let len = u32::from_ne_bytes([l0, l1, l2, l3]);
    let size = len as usize;
    let Some(body) = left.get(HEADER..size) else {
        return Err(DecodeError::MessageLength { len, have });
    };
    // Messages begin at multiples of 4; the last one need not be padded.
    *left = left.get(size.next_multiple_of(4)..).unwrap_or(&[]);
    let header = Header {
        kind: u16::from_ne_bytes([k0, k1]),
        flags: u16::from_ne_bytes([f0, f1]),
        sequence: u32::from_ne_bytes([s0, s1, s2, s3]),
        portid: u32::from_ne_bytes([p0, p1, p2, p3]),
    };
    Ok((header, body))
}

fn errno(body: &[u8]) -> i32 {
    body.first_chunk().map_or(0, |b| i32::from_ne_bytes(*b))
}

/// The attributes at one level.
struct Attributes<'a>(&'a [u8]);

impl<'a> Attributes<'a> {
    #[inline]
    fn next(&mut self) -> Result<Option<(u16, &'a [u8])>, DecodeError> {
        // What is shorter than a header is padding.
        let Some(([l0, l1, t0, t1], _)) = self.0.split_first_chunk::<4>() else { return Ok(None) };
        let len = u16::from_ne_bytes([*l0, *l1]);
        // The two high bits say "nested" and "network order".
        let attribute = u16::from_ne_bytes([*t0, *t1]) & 0x3fff;
        let size = usize::from(len);
        let Some(value) = self.0.get(4..size) else {
            return Err(DecodeError::AttributeLength { attribute, len, have: self.0.len() });
        };
        self.0 = self.0.get(size.next_multiple_of(4)..).unwrap_or(&[]);
        Ok(Some((attribute, value)))
    }
}

/// Fills `entry` from a message behind its netlink header.
fn decode(body: &[u8], entry: &mut Entry) -> Result<(), DecodeError> {
    let mut attributes = Attributes(body.get(4..).unwrap_or(&[]));
    let (mut has_orig, mut has_reply) = (false, false);
    while let Some((attribute, value)) = attributes.next()? {
        match attribute {
            1 => has_orig = tuple(value, &mut entry.orig)?,
            2 => has_reply = tuple(value, &mut entry.reply)?,
            3 => entry.status = Status(be32(attribute, value)?),
            4 => protocol_info(value, entry)?,
            5 => helper(value, entry)?,
            7 => entry.timeout = Some(be32(attribute, value)?),
            8 => entry.mark = be32(attribute, value)?,
            9 => counter(value, &mut entry.counters, 0)?,
            10 => counter(value, &mut entry.counters, 1)?,
            11 => entry.uses = be32(attribute, value)?,
            12 => entry.id = be32(attribute, value)?,
            14 => {
                let mut master = Tuple::default();
                entry.master = tuple(value, &mut master)?.then_some(master);
            }
            18 => entry.zone = be16(attribute, value)?,
            20 => times(value, entry)?,
            22 => entry.labels = labels(value),
            27 => entry.event_ns = Some(be64(attribute, value)?),
            _ => {}
        }
    }
    if has_orig && has_reply { Ok(()) } else { Err(DecodeError::NoTuple) }
}

/// Returns whether both addresses and the protocol were there.
#[inline]
fn tuple(value: &[u8], out: &mut Tuple) -> Result<bool, DecodeError> {
    if let Some(usual) = value.try_into().ok().and_then(usual_tuple) {
        *out = usual;
        return Ok(true);
    }
    any_tuple(value, out)
}

/// The tuple that most connections have, by its octets: IPv4, a protocol with ports, no zone of its
/// own, attributes in the kernel's order. `None` for any other.
#[inline]
fn usual_tuple(value: &[u8; 48]) -> Option<Tuple> {
    let (words, _) = value.as_chunks::<4>();
    let [ip, src, a, dst, b, of, number, proto, sport, p, dport, q] = *words else { return None };
    // Length and number of each attribute, as one word each.
    let header = |len: u16, attribute: u16| {
        let ([a, b], [c, d]) = (len.to_ne_bytes(), attribute.to_ne_bytes());
        [a, b, c, d]
    };
    let is_usual = ip == header(20, 0x8001)
        && (src, dst) == (header(8, 1), header(8, 2))
        && (of, number) == (header(28, 0x8002), header(5, 1))
        && (sport, dport) == (header(6, 2), header(6, 3))
        && !is_icmp(proto[0]);
    is_usual.then(|| Tuple {
        src: Addr::V4(u32::from_be_bytes(a)),
        dst: Addr::V4(u32::from_be_bytes(b)),
        src_port: u16::from_be_bytes([p[0], p[1]]),
        dst_port: u16::from_be_bytes([q[0], q[1]]),
        proto: proto[0],
        zone: 0,
    })
}

/// Any tuple, attribute by attribute.
fn any_tuple(value: &[u8], out: &mut Tuple) -> Result<bool, DecodeError> {
    let mut attributes = Attributes(value);
    let (mut has_addresses, mut has_protocol) = (false, false);
    while let Some((attribute, value)) = attributes.next()? {
        match attribute {
            1 => has_addresses = addresses(value, out)?,
            2 => has_protocol = protocol(value, out)?,
            3 => out.zone = be16(attribute, value)?,
            _ => {}
        }
    }
    Ok(has_addresses && has_protocol)
}

#[inline]
fn addresses(value: &[u8], out: &mut Tuple) -> Result<bool, DecodeError> {
    let mut attributes = Attributes(value);
    let (mut has_src, mut has_dst) = (false, false);
    while let Some((attribute, value)) = attributes.next()? {
        match attribute {
            1 => (out.src, has_src) = (Addr::V4(be32(attribute, value)?), true),
            2 => (out.dst, has_dst) = (Addr::V4(be32(attribute, value)?), true),
            3 => (out.src, has_src) = (Addr::V6(be128(attribute, value)?), true),
            4 => (out.dst, has_dst) = (Addr::V6(be128(attribute, value)?), true),
            _ => {}
        }
    }
    Ok(has_src && has_dst)
}

#[inline]
fn protocol(value: &[u8], out: &mut Tuple) -> Result<bool, DecodeError> {
    let mut attributes = Attributes(value);
    let mut has_protocol = false;
    let (mut icmp_id, mut icmp_type, mut icmp_code) = (0, 0, 0);
    while let Some((attribute, value)) = attributes.next()? {
        match attribute {
            1 => (out.proto, has_protocol) = (octet(attribute, value)?, true),
            2 => out.src_port = be16(attribute, value)?,
            3 => out.dst_port = be16(attribute, value)?,
            4 | 7 => icmp_id = be16(attribute, value)?,
            5 | 8 => icmp_type = octet(attribute, value)?,
            6 | 9 => icmp_code = octet(attribute, value)?,
            _ => {}
        }
    }
    if is_icmp(out.proto) {
        out.src_port = icmp_id;
        out.dst_port = u16::from_be_bytes([icmp_type, icmp_code]);
    }
    Ok(has_protocol)
}

/// TCP (1), DCCP (2), SCTP (3): each has the tracker's state as its first attribute.
fn protocol_info(value: &[u8], entry: &mut Entry) -> Result<(), DecodeError> {
    let mut attributes = Attributes(value);
    while let Some((attribute, value)) = attributes.next()? {
        if !(1..=3).contains(&attribute) {
            continue;
        }
        let mut inner = Attributes(value);
        while let Some((attribute, value)) = inner.next()? {
            if attribute == 1 {
                entry.state = octet(attribute, value)?;
            }
        }
    }
    Ok(())
}

fn helper(value: &[u8], entry: &mut Entry) -> Result<(), DecodeError> {
    let mut attributes = Attributes(value);
    while let Some((attribute, value)) = attributes.next()? {
        if attribute == 1 {
            entry.helper = Some(Helper::new(value));
        }
    }
    Ok(())
}

/// Counters of one direction: 64 bit, or 32 bit from old kernels (attributes 3 and 4).
#[inline]
fn counter(
    value: &[u8],
    out: &mut Option<[Counter; 2]>,
    direction: usize,
) -> Result<(), DecodeError> {
    let mut attributes = Attributes(value);
    let mut counter = Counter::default();
    while let Some((attribute, value)) = attributes.next()? {
        match attribute {
            1 => counter.packets = be64(attribute, value)?,
            2 => counter.octets = be64(attribute, value)?,
            3 => counter.packets = u64::from(be32(attribute, value)?),
            4 => counter.octets = u64::from(be32(attribute, value)?),
            _ => {}
        }
    }
    if let Some(place) = out.get_or_insert_default().get_mut(direction) {
        *place = counter;
    }
    Ok(())
}

#[inline]
fn times(value: &[u8], entry: &mut Entry) -> Result<(), DecodeError> {
    let mut attributes = Attributes(value);
    while let Some((attribute, value)) = attributes.next()? {
        match attribute {
            1 => entry.start_ns = Some(be64(attribute, value)?),
            2 => entry.stop_ns = Some(be64(attribute, value)?),
            _ => {}
        }
    }
    Ok(())
}

/// A bitmap of words in host order; at most 128 labels.
fn labels(value: &[u8]) -> u128 {
    let words = value.chunks_exact(8).take(2).enumerate();
    words.fold(0, |all, (n, word)| {
        let word = word.try_into().map_or(0, u64::from_ne_bytes);
        all | u128::from(word) << (64 * n)
    })
}

#[inline]
fn fixed<const N: usize>(attribute: u16, value: &[u8]) -> Result<[u8; N], DecodeError> {
    value.try_into().map_err(|_| DecodeError::Width { attribute, want: N, have: value.len() })
}

#[inline]
fn octet(attribute: u16, value: &[u8]) -> Result<u8, DecodeError> {
    fixed::<1>(attribute, value).map(|[b]| b)
}

#[inline]
fn be16(attribute: u16, value: &[u8]) -> Result<u16, DecodeError> {
    fixed(attribute, value).map(u16::from_be_bytes)
}

#[inline]
fn be32(attribute: u16, value: &[u8]) -> Result<u32, DecodeError> {
    fixed(attribute, value).map(u32::from_be_bytes)
}

#[inline]
fn be64(attribute: u16, value: &[u8]) -> Result<u64, DecodeError> {
    fixed(attribute, value).map(u64::from_be_bytes)
}

#[inline]
fn be128(attribute: u16, value: &[u8]) -> Result<u128, DecodeError> {
    fixed(attribute, value).map(u128::from_be_bytes)
}

#[cfg(test)]
mod tests;
