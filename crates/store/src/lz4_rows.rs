//! An LZ4 encoder for rows: what a row repeats, it repeats of another row, at the same place.
//!
//! Rows of one form (as long, with as many elements) are compared with each other as they lie, 64
//! octets by one comparison; what is the same for four octets or more becomes a match. The front
//! of a row, with its times and counters, is like that of the row before. The rest is like that of
//! a row of the same address or the same interfaces: the last such row is looked up for the source,
//! the destination and the interfaces, and the one that has most in common is taken. So a row costs
//! some comparisons and a few look-ups, where a general encoder looks at each of its places. What
//! comes out is about a seventh longer. Any LZ4 decoder reads it.
//!
//! Payloads that are something else, or rows that hardly repeat a form, are left to
//! [`Lz4Encoder`](crate::lz4_encode::Lz4Encoder).

use crate::lz4_encode::{FAR, LEAST_MATCH, Out};
use record::v3;
use std::hint::select_unpredictable as select;
use sys::lanes::{Lanes, Work, widest};

/// Where rows of a block were. Nothing is remembered from block to block but the room.
pub(crate) struct RowEncoder {
    /// Where a row with this value of a probe was seen last; 0, which is a row like others, if
    /// nowhere.
    places: Box<[u32; 1 << HASH_BITS]>,
    /// By length and elements; of those that fall together, the latest is first.
    forms: Box<[[Form; 2]; SETS]>,
    progress: Progress,
}

/// How far a payload is packed.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    /// The record that comes next.
    row: usize,
    /// What is before this has been looked at.
    done: usize,
    /// What is before this is packed.
    packed: usize,
    /// Octets that came of it.
    len: usize,
    /// Octets that were not looked at.
    strange: usize,
    /// Whether there was too little room.
    is_over: bool,
}

/// What rows of one length, with so many elements, have where.
#[derive(Clone, Copy, Debug, Default)]
struct Form {
    /// The length, and in the lower half the number of elements.
    key: u32,
    /// The last of these rows; 0 if there was none in this block.
    last: u32,
    probes: [Probe; PROBES],
}

/// A value by which rows are found that have much in common: eight octets of a row, or some of
/// them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Probe {
    at: u16,
    mask: u64,
}

const HASH_BITS: u32 = 12;
/// By how many values rows are looked up.
const PROBES: usize = 3;
/// Sets of two forms that are known at once.
const SETS: usize = 1 << SET_BITS;
const SET_BITS: u32 = 6;
/// Where the two parts of a row meet: behind the counters of the first element, which is extension
/// 1 in what exporters send (file format, 7). Anywhere else would do.
const SPLIT: usize = 56;
/// Octets that are compared at once.
const WIDTH: usize = 64;
/// Shorter rows are not looked at, nor are longer ones.
const SHORTEST: usize = SPLIT + 8;
const LONGEST: usize = 1024;
/// Parts of the longest row, at most.
const ROW_PARTS: usize = 1 + (LONGEST - SPLIT).div_ceil(WIDTH);
/// Parts that are looked at before they are written: a loop for each, which keeps what it needs in
/// registers.
const PARTS: usize = 128;
/// Octets before a part at which its literals may begin, if they are few.
const BEHIND: usize = 32;
/// Octets that are there behind each row that is looked at, for reads wider than they have to be;
/// beyond what the end of a block has to keep free of matches.
const BEYOND: usize = 256;
/// Octets that a part needs at most, and more.
const PART_ROOM: usize = 512;
/// Payloads below this size are not worth forms of their own.
const SMALLEST: usize = 4096;
/// The part of a payload that may be something else than rows of known forms: one in so many
/// octets.
const STRANGE: usize = 8;

impl Default for RowEncoder {
    fn default() -> Self {
        Self {
            places: Box::new([0; 1 << HASH_BITS]),
            forms: Box::new([[Form::default(); 2]; SETS]),
            progress: Progress::default(),
        }
    }
}

impl RowEncoder {
    /// Packs `input`, of less than 4 GiB, into the front of `out`, and returns how many octets
    /// count. `None` if it does not fit, or is not made of rows that repeat a form.
    #[cfg(test)]
    pub(crate) fn encode(&mut self, input: &[u8], out: &mut [u8]) -> Option<usize> {
        self.begin();
        self.finish(input, out)
    }

    /// A payload begins.
    pub(crate) fn begin(&mut self) {
        self.places.fill(0);
        *self.forms = [[Form::default(); 2]; SETS];
        self.progress = Progress::default();
    }

    /// Packs what is there of a payload so far, into the front of `out`, as far as it can be told
    /// without what follows. However often this is called, the same comes of it at the end.
    ///
    /// Each call gets all of the payload, which has only grown, and the same `out`.
    pub(crate) fn go_on(&mut self, input: &[u8], out: &mut [u8]) {
        widest(GoOn { encoder: self, input, out });
    }

    /// Packs the rest of `input`, of less than 4 GiB, and returns how many octets of `out` count.
    /// `None` if it does not fit, or is not made of rows that repeat a form.
    pub(crate) fn finish(&mut self, input: &[u8], out: &mut [u8]) -> Option<usize> {
        if input.len() < SMALLEST {
            return None;
        }
        self.go_on(input, out);
        let Progress { row, packed, len, strange, is_over, .. } = self.progress;
        let is_strange =
            (strange + input.len() - row).saturating_sub(SMALLEST / 2) > input.len() / STRANGE;
        if is_over || is_strange {
            return None;
        }
        let mut out = Out { bytes: out, len };
        out.last(input.get(packed..)?)?;
        Some(out.len)
    }
}

struct GoOn<'a> {
    encoder: &'a mut RowEncoder,
    input: &'a [u8],
    out: &'a mut [u8],
}

impl Work for GoOn<'_> {
    type Out = ();

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) {
        let Self { encoder, input, out } = self;
        let Progress { mut row, done, packed, len, strange, mut is_over } = encoder.progress;
        let mut look = Look { lanes, encoder, input, done, strange };
        let mut writing = Writing { input, out: Out { bytes: out, len }, packed };
        let mut parts = [Part::default(); PARTS];
        let mut is_end = is_over;
        while !is_end && !is_over {
            let count;
            (count, is_end) = look.rows(&mut row, &mut parts);
            is_over = parts.get(..count).is_none_or(|parts| writing.parts(parts).is_none());
        }
        let Look { encoder, done, strange, .. } = look;
        let Writing { packed, out: Out { len, .. }, .. } = writing;
        encoder.progress = Progress { row, done, packed, len, strange, is_over };
    }
}

/// What octets of a row have in common with those so far back.
#[derive(Clone, Copy, Debug, Default)]
struct Part {
    /// Which of the octets at `at` are the same, several in a row at least.
    same: u64,
    at: u32,
    distance: u32,
}

/// Rows on their way into parts. Nothing here branches on what cannot be foreseen.
struct Look<'a, L> {
    lanes: L,
    encoder: &'a mut RowEncoder,
    input: &'a [u8],
    /// What is before this has been looked at.
    done: usize,
    /// Octets that were not looked at.
    strange: usize,
}

impl<L: Lanes> Look<'_, L> {
    /// Looks at records from `row` on. Returns how many parts they have, and whether these are
    /// all.
    #[inline(always)]
    fn rows(&mut self, row: &mut usize, parts: &mut [Part; PARTS]) -> (usize, bool) {
        let mut room = parts.iter_mut();
        let mut is_end = false;
        while !is_end && room.len() >= ROW_PARTS {
            match self.row(*row as u32, &mut room) {
                Some(size) => *row += size,
                None => is_end = true,
            }
        }
        (PARTS - room.len(), is_end)
    }

    /// Looks at the record at `row`, and returns its length. `None` if there is none, or the end is
    /// near: nothing is read beyond it.
    #[inline(always)]
    fn row(&mut self, row: u32, room: &mut std::slice::IterMut<'_, Part>) -> Option<usize> {
        let at = row as usize;
        let head = u64::from_le_bytes(*self.input.get(at..at + 8)?.first_chunk()?);
        let size = usize::from((head >> 16) as u16);
        if size < 4 || at + size + BEYOND > self.input.len() {
            return None;
        }
        // Length and number of elements follow each other.
        let (probes, before) = self.encoder.form(self.input, row, (head >> 16) as u32)?;
        let is_near = row - before <= FAR as u32;
        if before == 0 || !is_near || !(SHORTEST..=LONGEST).contains(&size) {
            self.strange += size;
            self.done = at + size;
            return Some(size);
        }
        let split = at + SPLIT;
        // What the last row left over, a few octets, goes with this one.
        let from = self.done.max(split - WIDTH);
        *room.next()? = self.part(from, split - from, row - before)?;
        let len = (size - SPLIT).min(WIDTH);
        let (same, other) = self.best(row, len, before, probes)?;
        let distance = row - other;
        *room.next()? = Part { same: fours(same), at: split as u32, distance };
        self.done = split + len;
        while at + size - self.done > WIDTH - SPLIT {
            let len = (at + size - self.done).min(WIDTH);
            *room.next()? = self.part(self.done, len, distance)?;
            self.done += len;
        }
        Some(size)
    }

    /// What the `len` octets at `at` have in common with those `distance` before; 64 at most.
    #[inline(always)]
    fn part(&self, at: usize, len: usize, distance: u32) -> Option<Part> {
        let here = self.input.get(at..)?.first_chunk()?;
        let there = self.input.get(at.checked_sub(distance as usize)?..)?.first_chunk()?;
        let same = fours(self.lanes.equal(here, there) & low(len));
        Some(Part { same, at: at as u32, distance })
    }

    /// Which octets of a second part are the same as those of the row at `place`.
    #[inline(always)]
    fn rest(&self, here: &[u8; WIDTH], place: u32) -> Option<u64> {
        let there = place as usize + SPLIT;
        let there = self.input.get(there..there + WIDTH)?.first_chunk()?;
        Some(self.lanes.equal(here, there))
    }

    /// The row that has most in common with the second part of this one, the one before or one that
    /// a probe finds: which octets are the same, and where it is.
    #[inline(always)]
    fn best(
        &mut self,
        row: u32,
        len: usize,
        before: u32,
        probes: [Probe; PROBES],
    ) -> Option<(u64, u32)> {
        let here = row as usize + SPLIT;
        let here = self.input.get(here..here + WIDTH)?.first_chunk()?;
        let part = low(len);
        let mut best = (self.rest(here, before)? & part, before);
        let mut most = best.0.count_ones();
        for (n, probe) in probes.into_iter().enumerate() {
            let at = row as usize + usize::from(probe.at);
            let value =
                u64::from_le_bytes(*self.input.get(at..at + 8)?.first_chunk()?) & probe.mask;
            let hash = value.wrapping_add(n as u64).wrapping_mul(0x9E37_79B1_85EB_CA87);
            let place = self.encoder.places.get_mut((hash >> (64 - HASH_BITS)) as usize)?;
            let place = std::mem::replace(place, row);
            let is_near = row.wrapping_sub(place).wrapping_sub(1) < FAR as u32;
            let place = select(is_near, place, before);
            let same = self.rest(here, place)? & part;
            let count = same.count_ones();
            // Which is better cannot be foreseen, so nothing branches.
            let is_better = count > most;
            most = select(is_better, count, most);
            best = (select(is_better, same, best.0), select(is_better, place, best.1));
        }
        Some(best)
    }
}

/// The lowest bits, 1 to 64 of them.
#[inline(always)]
const fn low(count: usize) -> u64 {
    u64::MAX >> ((WIDTH - count) & 63)
}

/// Parts on their way into a packed payload.
struct Writing<'a> {
    input: &'a [u8],
    out: Out<'a>,
    /// What is before this is in `out`.
    packed: usize,
}

impl Writing<'_> {
    /// Writes what is the same as matches, and what is before each as literals.
    #[inline(always)]
    fn parts(&mut self, parts: &[Part]) -> Option<()> {
        for part in parts {
            self.part(part)?;
        }
        Some(())
    }

    #[inline(always)]
    fn part(&mut self, part: &Part) -> Option<()> {
        // Windows of which each place below is known to be one, so that nothing is compared.
        let base = (part.at as usize).checked_sub(BEHIND)?;
        let near: &[u8; BEYOND] = self.input.get(base..)?.first_chunk()?;
        let room: &mut [u8; PART_ROOM] =
            self.out.bytes.get_mut(self.out.len..)?.first_chunk_mut()?;
        let (mut rest, mut packed, mut len) = (part.same, self.packed.wrapping_sub(base), 0);
        while rest != 0 {
            let before = rest;
            let (begin, end) = next_run(&mut rest);
            let (begin, end) = (BEHIND + begin, BEHIND + end);
            let count = begin.wrapping_sub(packed);
            if count >= 15 {
                return self.long(part, before, base.wrapping_add(packed), len);
            }
            let more = end - begin - LEAST_MATCH;
            let literals: &[u8; 16] = near.get(packed % (BEYOND / 2)..)?.first_chunk()?;
            let room: &mut [u8; 20] = room.get_mut(len % (PART_ROOM / 2)..)?.first_chunk_mut()?;
            room[0] = (count as u8) << 4 | more.min(15) as u8;
            room[1..17].copy_from_slice(literals);
            // The distance, and what does not fit the token: written over where it is not needed.
            let tail = part.distance | (more.wrapping_sub(15) as u32) << 16;
            room[count + 1..count + 5].copy_from_slice(&tail.to_le_bytes());
            len += count + 3 + usize::from(more >= 15);
            packed = end;
        }
        self.packed = base.wrapping_add(packed);
        self.out.len += len;
        Some(())
    }

    /// The rest of a part, whatever the lengths are.
    #[cold]
    #[inline(never)]
    fn long(&mut self, part: &Part, mut rest: u64, packed: usize, len: usize) -> Option<()> {
        self.packed = packed;
        self.out.len += len;
        while rest != 0 {
            let (begin, end) = next_run(&mut rest);
            let to = part.at as usize + begin;
            let literals = self.input.get(self.packed..to)?;
            self.out.long(literals, part.distance as usize, end - begin - LEAST_MATCH)?;
            self.packed = part.at as usize + end;
        }
        Some(())
    }
}

/// Takes the lowest run out of `bits`: where it begins and ends.
#[inline(always)]
const fn next_run(bits: &mut u64) -> (usize, usize) {
    let begin = bits.trailing_zeros();
    // Adding to the lowest run of bits clears it and sets the one behind it.
    let behind = bits.wrapping_add(*bits & bits.wrapping_neg());
    *bits &= behind;
    (begin as usize, behind.trailing_zeros() as usize)
}

/// Of these bits, those that have three neighbours in a row.
#[inline(always)]
const fn fours(bits: u64) -> u64 {
    let twos = bits & bits >> 1;
    let first = twos & twos >> 2;
    let twos = first | first << 1;
    twos | twos << 2
}

impl RowEncoder {
    /// Where to look in a row, and where the last row of its form is; 0 if there is none.
    #[inline(always)]
    fn form(&mut self, input: &[u8], row: u32, key: u32) -> Option<([Probe; PROBES], u32)> {
        let set = (key.wrapping_mul(0x9E37_79B1) >> (u32::BITS - SET_BITS)) as usize;
        let [form, other] = self.forms.get_mut(set)?;
        if form.key != key {
            std::mem::swap(form, other);
            if form.key != key {
                let (at, size) = (row as usize, usize::from(key as u16));
                *form = Form::new(key, input.get(at..at + size)?);
            }
        }
        let before = std::mem::replace(&mut form.last, row);
        Some((form.probes, before))
    }
}

impl Form {
    /// The form of this record.
    #[cold]
    fn new(key: u32, record: &[u8]) -> Self {
        // Without an element nothing is looked up: a mask of 0 finds the last row with such.
        let mut probes = [Probe::default(); PROBES];
        for e in v3::elements(record).flatten() {
            let whole = |offset| Probe { at: e.at + offset, mask: u64::MAX };
            let half = |offset| Probe { at: e.at + offset, mask: u32::MAX.into() };
            match e.id {
                // Addresses of IPv4, of IPv6 (the lower halves), interfaces.
                2 => (probes[0], probes[1]) = (half(0), half(4)),
                3 => (probes[0], probes[1]) = (whole(8), whole(24)),
                4 => probes[2] = whole(0),
                _ => {}
            }
        }
        Self { key, last: 0, probes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lz4_encode::Lz4Encoder;
    use record::{Addr, Field, Flow};
    use sys::lanes::Plain;

    fn random(mut x: u64) -> impl FnMut() -> u64 {
        move || {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            x
        }
    }

    fn unpack(packed: &[u8], len: usize) -> Vec<u8> {
        let mut out = vec![0; len];
        assert_eq!(lz4_flex::block::decompress_into(packed, &mut out).ok(), Some(len));
        out
    }

    /// Packs with all lanes; what comes out is the same, and what went in comes back.
    fn pack(what: &str, input: &[u8]) -> Option<Vec<u8>> {
        let mut packed = vec![0; Lz4Encoder::bound(input.len())];
        let len = RowEncoder::default().encode(input, &mut packed);
        let mut plain = vec![0; packed.len()];
        let mut encoder = RowEncoder::default();
        GoOn { encoder: &mut encoder, input, out: &mut plain }.run(Plain);
        assert_eq!(len, encoder.finish(input, &mut plain), "{what}");
        packed.truncate(len?);
        assert!(packed == plain[..packed.len()], "{what}");
        assert!(unpack(&packed, input.len()) == input, "{what}");
        Some(packed)
    }

    /// Rows as exporters make them, of several forms.
    fn rows(count: u32, seed: u64) -> Vec<u8> {
        let (mut next, mut out, mut flow) = (random(seed), Vec::new(), Flow::new());
        let mut encoder = crate::encode::Encoder::default();
        for n in 0..count {
            flow.clear();
            let (kind, host) = (next() % 8, next() % 200);
            let address = |n: u64| match kind {
                0 => Addr::V6(0x2001_0db8 << 96 | u128::from(n * 77)),
                _ => Addr::V4(0x0a00_0000 + n as u32 * 77),
            };
            flow.set_addr(Field::SrcAddr, address(host));
            flow.set_addr(Field::DstAddr, address(next() % 3000));
            for (field, value) in [
                (Field::First, 1_795_000_000_000 + u64::from(n) * 3 + next() % 2000),
                (Field::Last, 1_795_000_000_000 + u64::from(n) * 3 + next() % 9000),
                (Field::Packets, 1 + next() % 9),
                (Field::Bytes, 40 + next() % 90_000),
                (Field::SrcPort, 443),
                (Field::DstPort, next() % 65_536),
                (Field::Proto, 6),
                (Field::Input, host % 24),
                (Field::Output, 100 + host % 4),
                (Field::SrcAs, 64_500),
                (Field::DstAs, host * 1000),
            ] {
                flow.set(field, value);
            }
            if kind == 1 {
                flow.set_addr(Field::NextHop, Addr::V4(next() as u32 % 8));
            }
            assert!(encoder.encode(&flow, &mut out));
        }
        out
    }

    #[test]
    fn rows_come_back_whatever_their_number() {
        for count in [0, 1, 2, 30, 40, 41, 60, 100, 1000, 9000] {
            let input = rows(count, 5);
            let packed = pack(&format!("{count} rows"), &input);
            assert_eq!(packed.is_some(), count >= 40, "{count} rows, {} octets", input.len());
        }
    }

    #[test]
    fn rows_pack_nearly_as_well_as_with_a_look_everywhere() {
        let input = rows(5000, 9);
        let theirs = lz4_flex::block::compress(&input).len();
        let ours = pack("rows", &input).unwrap().len();
        assert!(ours < input.len() / 2, "{ours} octets of {}", input.len());
        assert!(ours <= theirs + theirs / 5, "{ours} octets, {theirs} by the other encoder");
    }

    #[test]
    fn long_rows_and_short_ones_come_back() {
        let mut next = random(3);
        for size in [4, 12, 60, 63, 64, 65, 119, 120, 121, 128, 129, 183, 184, 185, 248, 1000, 9000]
        {
            let mut input = Vec::new();
            while input.len() < 60_000 {
                let begin = input.len();
                input.extend_from_slice(&11u16.to_le_bytes());
                input.extend_from_slice(&(size as u16).to_le_bytes());
                input.resize(begin + size, 7);
                for _ in 0..4 {
                    let at = next() as usize % size;
                    if at >= 6 {
                        input[begin + at] = next() as u8;
                    }
                }
            }
            let packed = pack(&format!("rows of {size}"), &input);
            assert_eq!(packed.is_some(), (SHORTEST..=1000).contains(&size), "rows of {size}");
        }
    }

    #[test]
    fn any_two_forms_are_known_at_once() {
        let forms: Vec<(u16, u8)> =
            (64..=200).step_by(8).flat_map(|size| [(size, 5), (size, 6), (size, 7)]).collect();
        for one in &forms {
            for other in &forms {
                let mut input = Vec::new();
                while input.len() < 2 * SMALLEST {
                    for (size, elements) in [one, other] {
                        let begin = input.len();
                        input.extend_from_slice(&[11, 0, *size as u8, 0, *elements]);
                        input.resize(begin + usize::from(*size), 5);
                    }
                }
                let mut out = vec![0; Lz4Encoder::bound(input.len())];
                let len = RowEncoder::default().encode(&input, &mut out);
                assert!(len.is_some(), "{one:?} and {other:?}");
            }
        }
    }

    #[test]
    fn what_is_not_rows_is_left_to_others() {
        let mut next = random(7);
        let noise: Vec<u8> = (0..20_000).map(|_| next() as u8).collect();
        for (what, input) in
            [("noise", noise), ("zeros", vec![0; 20_000]), ("ones", vec![1; 20_000])]
        {
            let packed = pack(what, &input);
            assert!(what == "ones" || packed.is_none(), "{what}");
        }
        // A row whose form does not come back within the distance of a match.
        let mut rare = Vec::new();
        for size in 0..600u16 {
            rare.extend_from_slice(&[11, 0]);
            rare.extend_from_slice(&(100 + size).to_le_bytes());
            rare.resize(rare.len() + usize::from(size) + 96, 5);
        }
        assert_eq!(pack("each of its own length", &rare), None);
    }

    #[test]
    fn damaged_rows_come_back_or_are_refused() {
        let (mut next, good) = (random(11), rows(200, 2));
        for round in 0..500 {
            let mut input = good.clone();
            for _ in 0..1 + next() % 20 {
                let at = next() as usize % input.len();
                input[at] = [0, 1, 4, 0xFF, next() as u8][next() as usize % 5];
            }
            input.truncate(input.len() - next() as usize % 300);
            pack(&format!("round {round}"), &input);
        }
        for len in SMALLEST - 10..SMALLEST + 400 {
            pack("cut", &good[..len]);
        }
    }

    #[test]
    fn distances_near_the_limit_come_back() {
        // Between the rows lie others, and one of them moves the next ones on, little by little.
        let row = |len: u16| {
            let mut row = vec![11, 0];
            row.extend_from_slice(&len.to_le_bytes());
            row.resize(usize::from(len), 1);
            row
        };
        for extra in (600..1600).step_by(13) {
            let mut input = Vec::new();
            for _ in 0..3 {
                input.extend(rows(4, 100));
                (0..64).for_each(|_| input.extend(row(1000)));
                input.extend(row(extra));
            }
            assert!(pack(&format!("{extra} more"), &input).is_some(), "{extra} more");
        }
    }

    #[test]
    fn what_has_too_little_room_is_refused() {
        let input = rows(300, 4);
        let needed = pack("whole", &input).unwrap().len();
        for room in (0..needed).step_by(7).chain([needed - 1]) {
            assert_eq!(RowEncoder::default().encode(&input, &mut vec![0; room]), None, "{room}");
        }
    }

    #[test]
    fn what_comes_by_and_by_comes_to_the_same() {
        let (mut next, mut encoder) = (random(13), RowEncoder::default());
        let input = rows(700, 31);
        let mut whole = vec![0; Lz4Encoder::bound(input.len())];
        let len = encoder.encode(&input, &mut whole).unwrap();
        for most in [1, 50, 130, 5000, 100_000] {
            let mut out = vec![0; whole.len()];
            encoder.begin();
            let mut there = 0;
            while there < input.len() {
                there = input.len().min(there + 1 + next() as usize % most);
                encoder.go_on(&input[..there], &mut out);
            }
            assert_eq!(encoder.finish(&input, &mut out), Some(len), "{most} at a time");
            assert!(out[..len] == whole[..len], "{most} at a time");
            // What had too little room once stays refused.
            encoder.begin();
            encoder.go_on(&input[..input.len() / 2], &mut out[..200]);
            assert_eq!(encoder.finish(&input, &mut out), None);
        }
    }

    #[test]
    fn a_block_does_not_depend_on_the_one_before() {
        let mut encoder = RowEncoder::default();
        for seed in [21, 22, 23] {
            let input = rows(700, seed);
            let mut out = vec![0; Lz4Encoder::bound(input.len())];
            let len = encoder.encode(&input, &mut out).unwrap();
            assert_eq!(Some(&out[..len]), pack("alone", &input).as_deref());
        }
    }
}
