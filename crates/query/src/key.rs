//! Keys: which fields of a row make a group, packed into as few 64-bit words as possible.
//!
//! A [`KeySpec`] is what the user asked for. Bound to a [`Shape`] it becomes a list of moves: load
//! eight octets, mask, shift, or into a word. A prefix length is a mask and costs nothing more.
//! IPv4 does not pay for IPv6: the families of the address parts make the *class* of a key, and
//! every class has a table of its own with words just wide enough.
//!
//! Countries, and systems that a row does not name, are looked up by its addresses, row by row.

use crate::counters::u64_at;
use crate::fingerprint::{Fingerprint, Hello};
use crate::lookup::Lookups;
use record::{Addr, Field, Flow, Kind, Row, Shape, Slot};

/// One part of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyPart {
    /// The field.
    pub field: Field,
    /// What of it counts: of addresses leading bits, for IPv4 and IPv6 apart.
    pub prefix: Prefix,
}

/// What of a field belongs to the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prefix {
    /// All of it; of addresses both families.
    Full,
    /// The leading bits of each family; `None` takes addresses of that family as unspecified.
    Leading {
        /// Bits of IPv4, 0..=32.
        v4: Option<u8>,
        /// Bits of IPv6, 0..=128.
        v6: Option<u8>,
    },
    /// As many as the record's own mask field says.
    OwnMask(Field),
    /// The fingerprint of the TLS client whose hello a payload begins with. Rows without one have
    /// no key.
    Fingerprint(Fingerprint),
}

impl KeyPart {
    /// A part that takes the whole field.
    pub const fn whole(field: Field) -> Self {
        Self { field, prefix: Prefix::Full }
    }
}

/// The parts of a key, in the order the user named them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySpec {
    parts: Vec<KeyPart>,
    /// Whether a row without the first part's field belongs to no group.
    needs_field: bool,
}

/// Address families of the address parts: bit n is set where part n is IPv6.
pub(crate) type Class = u32;

impl KeySpec {
    /// Rows are grouped by all `parts`; a missing field counts as 0. At most 32 parts.
    pub fn new(parts: Vec<KeyPart>) -> Self {
        debug_assert!(parts.len() <= 32);
        Self { parts, needs_field: false }
    }

    /// As [`new`](Self::new), but rows without the field of the first part are left out.
    pub fn present(parts: Vec<KeyPart>) -> Self {
        Self { needs_field: true, ..Self::new(parts) }
    }

    /// The parts.
    pub fn parts(&self) -> &[KeyPart] {
        &self.parts
    }

    /// Bits of the fields that are read for it.
    pub(crate) fn fields(&self) -> u128 {
        let of_part = |part: &KeyPart| {
            let looked_up = match part.field {
                Field::SrcAs | Field::SrcCountry => Field::SrcAddr,
                Field::DstAs | Field::DstCountry => Field::DstAddr,
                field => field,
            };
            let more = match part.prefix {
                Prefix::OwnMask(mask) => [mask, mask],
                Prefix::Fingerprint(_) => [Field::InPayload, Field::OutPayload],
                Prefix::Full | Prefix::Leading { .. } => [part.field, looked_up],
            };
            crate::input::bits([part.field, looked_up].into_iter().chain(more))
        };
        self.parts.iter().fold(0, |bits, part| bits | of_part(part))
    }

    /// Whether a row without the field of the first part is left out.
    pub const fn needs_field(&self) -> bool {
        self.needs_field
    }

    /// How many words keys of `class` have.
    pub(crate) fn words(&self, class: Class) -> usize {
        self.layout(class).words
    }

    /// The key of the other direction: source and destination change places.
    pub(crate) fn reversed(&self) -> Self {
        let mut other = self.clone();
        for part in &mut other.parts {
            part.field = crate::direction::opposite(part.field);
        }
        other
    }

    /// The layout of this key for rows of `class`.
    fn layout(&self, class: Class) -> Layout {
        let mut pieces = Vec::new();
        for (n, part) in self.parts.iter().enumerate() {
            let width = match (part.field.kind(), part.prefix) {
                (Kind::Addr, _) if class >> n & 1 == 0 => 4,
                (_, Prefix::Fingerprint(_)) => 16,
                (kind, _) => kind.width().unwrap_or(8),
            };
            let mut at = 0;
            while at < width {
                let step = if width - at >= 8 { 8 } else { width - at };
                pieces.push(Piece { part: n, at, len: step, word: 0, shift: 0 });
                at += step;
            }
        }
        // Widest first: pieces are 8, 4, 2 and 1 octets (3 never occurs), so none straddles words.
        pieces.sort_by_key(|p| std::cmp::Reverse(p.len));
        let mut bit = 0u32;
        for p in &mut pieces {
            (p.word, p.shift) = ((bit / 64) as u8, (bit % 64) as u8);
            bit += u32::from(p.len) * 8;
        }
        Layout { pieces, words: bit.div_ceil(64).max(1) as usize }
    }

    /// Binds the key to rows of `shape`; `None` where such rows belong to no group. If
    /// `has_systems`, autonomous systems that rows do not name are looked up.
    pub(crate) fn bind(&self, shape: &Shape, has_systems: bool) -> Option<BoundKey> {
        if self.needs_field && self.parts.first().is_some_and(|p| !shape.has(p.field)) {
            return None;
        }
        let class = self.class_of(shape);
        let layout = self.layout(class);
        let (mut moves, mut derived) = (Vec::new(), Vec::new());
        for piece in &layout.pieces {
            let Some(part) = self.parts.get(piece.part) else { continue };
            if matches!(part.prefix, Prefix::Fingerprint(_)) {
                continue;
            }
            match Source::of(part.field, shape, has_systems) {
                Some(source) => {
                    derived.push(Derived { source, word: piece.word, shift: piece.shift });
                }
                None => moves.extend(self.bind_piece(piece, shape)),
            }
        }
        let own_masks = self.own_masks(&layout, shape);
        let hellos = self.hellos(&layout, shape);
        Some(BoundKey { class, words: layout.words, moves, own_masks, derived, hellos })
    }

    fn class_of(&self, shape: &Shape) -> Class {
        let is_v6 = |p: &KeyPart| {
            p.field.kind() == Kind::Addr
                && shape.slot(p.field).len == 16
                && !matches!(p.prefix, Prefix::Leading { v6: None, .. })
        };
        self.parts.iter().enumerate().filter(|(_, p)| is_v6(p)).fold(0, |c, (n, _)| c | 1 << n)
    }

    fn bind_piece(&self, piece: &Piece, shape: &Shape) -> Option<Move> {
        let part = &self.parts[piece.part];
        let slot = shape.slot(part.field);
        if slot.len < piece.at + piece.len {
            return None; // absent, or an IPv6 address where only IPv4 counts: stays 0
        }
        let mask = piece_mask(part.prefix, slot.len, piece);
        let from = usize::from(slot.at + piece.at);
        (mask != 0).then_some(Move { from, mask, word: piece.word, shift: piece.shift })
    }

    /// Parts whose mask each record brings along.
    fn own_masks(&self, layout: &Layout, shape: &Shape) -> Vec<OwnMask> {
        let of = |p: &Piece| {
            let Prefix::OwnMask(mask) = self.parts[p.part].prefix else { return None };
            let slot = shape.slot(mask);
            Some(OwnMask { piece: *p, mask_at: slot.is_present().then_some(slot.at) })
        };
        layout.pieces.iter().filter_map(of).collect()
    }

    /// Parts that are fingerprints of TLS clients.
    fn hellos(&self, layout: &Layout, shape: &Shape) -> Vec<Hello> {
        let of = |(n, part): (usize, &KeyPart)| {
            let Prefix::Fingerprint(kind) = part.prefix else { return None };
            let mut words = layout.pieces.iter().filter(|p| p.part == n).map(|p| p.word);
            let words = [words.next()?, words.next()?];
            let (payload, protocol) = (shape.slot(part.field), shape.slot(Field::Proto));
            Some(Hello { kind, payload, protocol, words })
        };
        self.parts.iter().enumerate().filter_map(of).collect()
    }

    /// Writes the parts of a packed key into a flow.
    pub(crate) fn unpack(&self, class: Class, key: &[u64], flow: &mut Flow) {
        for (n, part) in self.parts.iter().enumerate() {
            let octets = self.octets(class, key, n);
            match part.field.kind() {
                Kind::Addr => {
                    let width = if class >> n & 1 == 0 { 4 } else { 16 };
                    if let Some(addr) = Addr::from_row(&octets[..width]) {
                        flow.set_addr(part.field, addr);
                    }
                }
                Kind::Acl => {
                    flow.set_bytes(part.field, &octets[..12]);
                }
                _ => {
                    flow.set(part.field, u64_at(&octets, 0));
                }
            }
        }
    }

    /// The octets of part `n`, as they lie in a row; those beyond its width are 0.
    pub(crate) fn octets(&self, class: Class, key: &[u64], n: usize) -> [u8; 16] {
        let mut out = [0; 16];
        for p in self.layout(class).pieces.iter().filter(|p| p.part == n) {
            let value = key.get(usize::from(p.word)).copied().unwrap_or(0) >> p.shift;
            let (at, len) = (usize::from(p.at), usize::from(p.len));
            out[at..at + len].copy_from_slice(&value.to_le_bytes()[..len]);
        }
        out
    }
}

/// The slow, obvious twin of [`BoundKey::pack`]: every part's octets one after the other.
#[cfg(test)]
pub(crate) fn plain_key(spec: &KeySpec, row: Row<'_>) -> Option<Vec<Vec<u8>>> {
    if spec.needs_field && !row.has(spec.parts.first()?.field) {
        return None;
    }
    let fingerprint = |p: &KeyPart| {
        let Prefix::Fingerprint(kind) = p.prefix else { return None };
        Some(kind.of(row.number(Field::Proto) as u8, row.bytes(p.field).unwrap_or(&[])))
    };
    if spec.parts.iter().any(|p| fingerprint(p) == Some(None)) {
        return None;
    }
    let part = |p: &KeyPart| match (row.addr(p.field), p.field.kind()) {
        _ if matches!(p.prefix, Prefix::Fingerprint(_)) => {
            fingerprint(p).flatten().map_or_else(Vec::new, |octets| octets.to_vec())
        }
        (Some(addr), Kind::Addr) => {
            let own = |f| if row.has(f) { row.number(f) as u8 } else { 0 };
            let masked = match (p.prefix, addr) {
                (Prefix::Full, _) => Some(addr),
                (Prefix::OwnMask(f), _) if own(f) == 0 => Some(addr),
                (Prefix::OwnMask(f), _) => Some(addr.masked(own(f))),
                (Prefix::Fingerprint(_), _) => None,
                (Prefix::Leading { v4, .. }, Addr::V4(_)) => v4.map(|n| addr.masked(n)),
                (Prefix::Leading { v6, .. }, Addr::V6(_)) => v6.map(|n| addr.masked(n)),
            };
            let masked = masked.unwrap_or(Addr::V4(0));
            masked.to_row()[..masked.width()].to_vec()
        }
        (None, Kind::Addr) => vec![0; 4],
        _ if matches!(p.field, Field::SrcCountry | Field::DstCountry | Field::SrcAs) => {
            use crate::lookup::testing::Made;
            use record::AddressBook as _;
            let side = if p.field == Field::DstCountry { Field::DstAddr } else { Field::SrcAddr };
            let (addr, named) = (row.addr(side), row.number(p.field));
            match p.field {
                Field::SrcAs if named != 0 => (named as u32).to_le_bytes().to_vec(),
                Field::SrcAs => addr.map_or(0, |a| Made.asn(a)).to_le_bytes().to_vec(),
                _ => addr.map_or(0, |a| Made.country(a).0).to_le_bytes().to_vec(),
            }
        }
        (_, Kind::Bytes) => {
            let (engine, rest) =
                row.bytes(p.field).and_then(|b| b.split_first()).unwrap_or((&0, &[]));
            let selector = rest.iter().fold(0, |n, b| n << 8 | u64::from(*b));
            (u64::from(*engine) << 56 | selector).to_le_bytes().to_vec()
        }
        _ => row.bytes(p.field).map_or_else(
            || vec![0; usize::from(p.field.kind().width().unwrap_or(8))],
            <[u8]>::to_vec,
        ),
    };
    Some(spec.parts.iter().map(part).collect())
}

/// Where the pieces of a key lie in its words.
#[derive(Debug)]
struct Layout {
    pieces: Vec<Piece>,
    words: usize,
}

/// Up to eight octets of one part.
#[derive(Clone, Copy, Debug)]
struct Piece {
    part: usize,
    /// Offset in the part.
    at: u16,
    len: u16,
    word: u8,
    shift: u8,
}

/// Bits of a piece that count. Octets lie as little-endian numbers, IPv6 as two of them with the
/// high half first, so the leading bits are the high bits of each.
fn piece_mask(prefix: Prefix, width: u16, piece: &Piece) -> u64 {
    let all = if piece.len >= 8 { u64::MAX } else { (1 << (8 * piece.len)) - 1 };
    let bits = match (prefix, width) {
        (Prefix::Leading { v4, .. }, 4) => v4.unwrap_or(0),
        (Prefix::Leading { v6, .. }, 16) => v6.unwrap_or(0),
        _ => return all,
    };
    all & leading(bits, piece)
}

/// A mask of the first `bits` bits of an address, as far as they lie in `piece`.
fn leading(bits: u8, piece: &Piece) -> u64 {
    let width = u32::from(piece.len) * 8;
    let here = u32::from(bits).saturating_sub(u32::from(piece.at) * 8).min(width);
    if here == 0 { 0 } else { u64::MAX << (width - here) }
}

/// A key bound to rows of one shape.
#[derive(Clone, Debug)]
pub(crate) struct BoundKey {
    pub(crate) class: Class,
    pub(crate) words: usize,
    moves: Vec<Move>,
    own_masks: Vec<OwnMask>,
    derived: Vec<Derived>,
    hellos: Vec<Hello>,
}

/// The octets of a field.
pub(crate) fn octets(bytes: &[u8], slot: Slot) -> &[u8] {
    let at = usize::from(slot.at);
    bytes.get(at..at + usize::from(slot.len)).unwrap_or(&[])
}

/// A part that is worked out of the row.
#[derive(Clone, Copy, Debug)]
struct Derived {
    source: Source,
    word: u8,
    shift: u8,
}

/// What a derived part is worked out of.
#[derive(Clone, Copy, Debug)]
enum Source {
    /// The country of the address there.
    Country(Slot),
    /// The system there, or that of the address if it is 0.
    System { own: Slot, addr: Slot },
    /// An application id of any length.
    Application(Slot),
}

impl Source {
    /// What `field` is worked out of in rows of `shape`; `None` where it is read as it is.
    const fn of(field: Field, shape: &Shape, has_systems: bool) -> Option<Self> {
        let (src, dst) = (shape.slot(Field::SrcAddr), shape.slot(Field::DstAddr));
        let own = shape.slot(field);
        match field {
            Field::SrcCountry if !own.is_present() => Some(Self::Country(src)),
            Field::DstCountry if !own.is_present() => Some(Self::Country(dst)),
            Field::SrcAs if has_systems => Some(Self::System { own, addr: src }),
            Field::DstAs if has_systems => Some(Self::System { own, addr: dst }),
            Field::AppId => Some(Self::Application(own)),
            _ => None,
        }
    }

    fn value(self, bytes: &[u8], lookups: &mut Lookups<'_>) -> u64 {
        let octets = |slot| octets(bytes, slot);
        match self {
            Self::Country(addr) => {
                Addr::from_row(octets(addr)).map_or(0, |a| u64::from(lookups.country(a)))
            }
            Self::System { own, addr } => {
                match octets(own).first_chunk().map(|b| u32::from_le_bytes(*b)) {
                    None | Some(0) => {
                        Addr::from_row(octets(addr)).map_or(0, |a| u64::from(lookups.system(a)))
                    }
                    Some(named) => u64::from(named),
                }
            }
            // The engine in the highest octet, then the selector as a number of at most seven.
            Self::Application(id) => match octets(id).split_first() {
                None => 0,
                Some((engine, selector)) => {
                    let selector = selector.iter().fold(0, |n, b| n << 8 | u64::from(*b));
                    u64::from(*engine) << 56 | selector & ((1 << 56) - 1)
                }
            },
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Move {
    from: usize,
    mask: u64,
    word: u8,
    shift: u8,
}

#[derive(Clone, Copy, Debug)]
struct OwnMask {
    piece: Piece,
    mask_at: Option<u16>,
}

impl BoundKey {
    /// The key of `row`, `None` if it has none. `W` is at least [`words`](Self::words).
    #[inline]
    pub(crate) fn pack<const W: usize>(
        &self,
        row: Row<'_>,
        lookups: &mut Lookups<'_>,
    ) -> Option<[u64; W]> {
        let mut key = [0; W];
        self.pack_into(row, lookups, &mut key).then_some(key)
    }

    /// ORs the key of `row` into `key`, which is all 0 and has at least [`words`](Self::words).
    /// Returns whether the row has a key.
    #[inline]
    pub(crate) fn pack_into(
        &self,
        row: Row<'_>,
        lookups: &mut Lookups<'_>,
        key: &mut [u64],
    ) -> bool {
        let bytes = row.as_bytes();
        for m in &self.moves {
            if let Some(word) = key.get_mut(usize::from(m.word)) {
                *word |= (load(bytes, m.from) & m.mask) << m.shift;
            }
        }
        if !self.own_masks.is_empty() {
            self.apply_own_masks(bytes, key);
        }
        if !self.derived.is_empty() {
            self.derive(bytes, lookups, key);
        }
        self.hellos.is_empty() || self.hellos.iter().all(|h| h.write(bytes, key))
    }

    /// Whether the key is nothing but octets of the row, each row having one.
    pub(crate) const fn is_plain(&self) -> bool {
        self.own_masks.is_empty() && self.derived.is_empty() && self.hellos.is_empty()
    }

    /// Octets from the begin of a row that [`pack_plain`](Self::pack_plain) looks at.
    pub(crate) fn reach(&self) -> usize {
        self.moves.iter().map(|m| m.from + 8).max().unwrap_or(0)
    }

    /// As [`pack`](Self::pack), for keys that are [plain](Self::is_plain) and rows of at least
    /// [`reach`](Self::reach) octets.
    #[inline]
    pub(crate) fn pack_plain<const W: usize>(&self, bytes: &[u8]) -> [u64; W] {
        let mut key = [0; W];
        for m in &self.moves {
            if let Some(word) = key.get_mut(usize::from(m.word)) {
                *word |= (u64_at(bytes, m.from) & m.mask) << m.shift;
            }
        }
        key
    }

    #[inline(never)]
    fn derive(&self, bytes: &[u8], lookups: &mut Lookups<'_>, key: &mut [u64]) {
        for d in &self.derived {
            if let Some(word) = key.get_mut(usize::from(d.word)) {
                *word |= d.source.value(bytes, lookups) << d.shift;
            }
        }
    }

    #[cold]
    fn apply_own_masks(&self, bytes: &[u8], key: &mut [u64]) {
        for o in &self.own_masks {
            let bits = o.mask_at.and_then(|at| bytes.get(usize::from(at))).copied().unwrap_or(0);
            // A record that says 0 knows no mask: its address stays whole.
            if bits == 0 {
                continue;
            }
            let p = o.piece;
            let piece = if p.len >= 8 { u64::MAX } else { (1 << (8 * p.len)) - 1 };
            let drop = (piece & !leading(bits, &p)) << p.shift;
            if let Some(word) = key.get_mut(usize::from(p.word)) {
                *word &= !drop;
            }
        }
    }
}

/// Eight octets from `at`, or as many as there are.
#[inline]
fn load(bytes: &[u8], at: usize) -> u64 {
    match bytes.get(at..).and_then(|b| b.first_chunk::<8>()) {
        Some(b) => u64::from_le_bytes(*b),
        None => load_tail(bytes, at),
    }
}

#[cold]
fn load_tail(bytes: &[u8], at: usize) -> u64 {
    let tail = bytes.get(at..).unwrap_or(&[]);
    tail.iter().rev().fold(0, |n, b| n << 8 | u64::from(*b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fingerprint::tests::HELLO;
    use std::collections::HashMap;

    /// Low octet of a cipher suite in the hello.
    const HELLO_CIPHER: usize = 51;

    fn flows() -> Vec<Flow> {
        let mut out = Vec::new();
        let mut x = 7u64;
        for n in 0..400u64 {
            x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let mut f = Flow::new();
            let small = |shift: u32, n: u64| x >> shift & n;
            if n % 3 == 0 {
                let hi = u128::from(0x2001_0db8_0000_0000u64 | small(20, 3)) << 64;
                f.set_addr(Field::SrcAddr, Addr::V6(hi | u128::from(small(24, 3))));
                f.set_addr(Field::DstAddr, Addr::V6(hi | u128::from(small(28, 1))));
            } else if n % 7 != 0 {
                f.set_addr(Field::SrcAddr, Addr::V4(0x0a00_0000 | small(32, 0x303) as u32));
                f.set_addr(Field::DstAddr, Addr::V4(0x0a00_0000 | small(36, 0x303) as u32));
            }
            if n % 5 != 0 {
                f.set(Field::SrcMask, [0, 8, 24, 30, 64, 126][small(40, 7) as usize % 6]);
            }
            f.set(Field::Proto, 6 + 11 * small(44, 1));
            f.set(Field::SrcPort, small(46, 3));
            f.set(Field::DstPort, small(48, 3));
            f.set(Field::InSrcMac, small(50, 1));
            f.set_bytes(Field::IngressAcl, &[small(52, 1) as u8; 12]);
            if n % 4 != 0 {
                f.set(Field::SrcAs, small(54, 1) * 65_536);
                f.set_bytes(Field::AppId, &[3, 0, 0, 80][..1 + small(55, 3) as usize]);
            }
            if n % 5 != 1 {
                let mut hello = HELLO.to_vec();
                hello[HELLO_CIPHER] = small(56, 1) as u8;
                hello.truncate(if n % 11 == 0 { 100 } else { HELLO.len() });
                f.set_bytes(Field::InPayload, &hello);
            }
            out.push(f);
        }
        out
    }

    /// Two rows have the same packed key and class exactly when their plain keys are equal.
    #[test]
    fn packed_keys_tell_apart_what_plain_keys_tell_apart() {
        let addr = |prefix| KeyPart { field: Field::SrcAddr, prefix };
        let hello = |kind| KeyPart { field: Field::InPayload, prefix: Prefix::Fingerprint(kind) };
        let lead = |v4, v6| addr(Prefix::Leading { v4, v6 });
        let five = [Field::Proto, Field::SrcAddr, Field::DstAddr, Field::SrcPort, Field::DstPort];
        for spec in [
            KeySpec::new(five.map(KeyPart::whole).to_vec()),
            KeySpec::new(vec![lead(Some(24), Some(64))]),
            KeySpec::new(vec![lead(Some(31), Some(127)), KeyPart::whole(Field::DstPort)]),
            KeySpec::new(vec![lead(Some(24), None)]),
            KeySpec::new(vec![lead(None, Some(66)), KeyPart::whole(Field::Proto)]),
            KeySpec::new(vec![addr(Prefix::OwnMask(Field::SrcMask))]),
            KeySpec::present(vec![KeyPart::whole(Field::SrcAddr), KeyPart::whole(Field::Proto)]),
            KeySpec::new(vec![KeyPart::whole(Field::InSrcMac), KeyPart::whole(Field::IngressAcl)]),
            KeySpec::new(vec![KeyPart::whole(Field::SrcCountry)]),
            KeySpec::new(
                [Field::DstCountry, Field::SrcAs, Field::SrcPort].map(KeyPart::whole).to_vec(),
            ),
            KeySpec::present(vec![KeyPart::whole(Field::AppId)]),
            KeySpec::present(vec![hello(Fingerprint::Ja3), KeyPart::whole(Field::Proto)]),
            KeySpec::present(vec![
                hello(Fingerprint::Ja4),
                hello(Fingerprint::Ja3),
                KeyPart::whole(Field::SrcAddr),
            ]),
            KeySpec::new(vec![]),
        ] {
            let mut lookups = Lookups::new(Some(&crate::lookup::testing::Made));
            let (mut by_plain, mut by_packed) = (HashMap::new(), HashMap::new());
            for flow in flows() {
                let row = flow.as_row();
                let (plain, bound) = (plain_key(&spec, row), spec.bind(row.shape(), true));
                assert!(plain.is_none() || bound.is_some(), "{spec:?}");
                let Some(bound) = bound else { continue };
                let packed = bound.pack::<8>(row, &mut lookups).map(|key| (bound.class, key));
                assert_eq!(plain.is_some(), packed.is_some(), "{spec:?}");
                let (Some(plain), Some(packed)) = (plain, packed) else { continue };
                let same = by_plain.entry(plain.clone()).or_insert(packed);
                assert_eq!(*same, packed, "{spec:?} {plain:?}");
                let same = by_packed.entry(packed).or_insert_with(|| plain.clone());
                assert_eq!(*same, plain, "{spec:?} {packed:?}");
                for (n, octets) in plain.iter().enumerate() {
                    let got = spec.octets(packed.0, &packed.1, n);
                    assert_eq!(got[..octets.len()], octets[..], "{spec:?} part {n}");
                }
            }
        }
    }

    #[test]
    fn ipv4_five_tuple_takes_two_words() {
        let mut f = Flow::new();
        f.set_addr(Field::SrcAddr, Addr::V4(1));
        f.set_addr(Field::DstAddr, Addr::V4(2));
        let five = [Field::Proto, Field::SrcAddr, Field::DstAddr, Field::SrcPort, Field::DstPort];
        let spec = KeySpec::new(five.map(KeyPart::whole).to_vec());
        assert_eq!(spec.bind(f.as_row().shape(), false).unwrap().words, 2);
        f.set_addr(Field::SrcAddr, Addr::V6(1));
        f.set_addr(Field::DstAddr, Addr::V6(2));
        assert_eq!(spec.bind(f.as_row().shape(), false).unwrap().words, 5);
    }
}
