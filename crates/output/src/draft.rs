//! Where the text of a record is put together.
//!
//! A record has dozens of values of a few octets each. To ask for each whether there is room, and to
//! call a function that copies it, takes longer than the value itself. So a record is written on a
//! [`Draft`] of fixed size, by copies of constant length that may write more than they mean, and
//! appended as a whole. The obvious way, octet by octet onto a [`Vec`], is the other [`Ink`]: what is
//! rare goes there, and tests compare the two.

use crate::clock::{Clock, DATE, SECOND};
use crate::digits::{HEX_PAIRS, push_addr, push_thousandths, push_u64, three};
use record::Addr;
use record::code::TcpFlags;

/// What records are written with.
pub(crate) trait Ink {
    /// Appends text.
    fn put(&mut self, text: &[u8]);
    /// Appends text that is known here.
    fn word(&mut self, word: &Word);
    /// Appends a number in decimal.
    fn number(&mut self, n: u64);
    /// The same of a number below 256.
    fn octet(&mut self, n: u8);
    /// Appends `n / 1000` and three decimals.
    fn thousandths(&mut self, n: u64);
    /// Appends an address in full.
    fn address(&mut self, addr: Addr);
    /// Appends a letter or a dot for each TCP flag.
    fn flags(&mut self, flags: TcpFlags);
    /// Appends `YYYY-MM-DD HH:MM:SS.mmm` with `between` date and time.
    fn time(&mut self, clock: &mut Clock, ms: u64, between: u8);
    /// Where text of any length may be appended.
    fn long(&mut self) -> &mut Vec<u8>;
    /// Makes room for some values more, for who writes any number of them.
    fn make_room(&mut self) {}
}

/// A short text that lies ready to be written by copies of constant length.
#[derive(Debug)]
pub(crate) struct Word {
    octets: [u8; Self::ROOM],
    len: usize,
}

impl Word {
    /// The longest key of JSON with what stands around it has 28 octets.
    const ROOM: usize = 32;

    pub(crate) const fn new(text: &str) -> Self {
        let mut octets = [0; Self::ROOM];
        octets.split_at_mut(text.len()).0.copy_from_slice(text.as_bytes());
        Self { octets, len: text.len() }
    }
}

/// The slow and obvious way.
impl Ink for &mut Vec<u8> {
    fn put(&mut self, text: &[u8]) {
        self.extend_from_slice(text);
    }

    fn word(&mut self, word: &Word) {
        self.extend_from_slice(&word.octets[..word.len]);
    }

    fn number(&mut self, n: u64) {
        push_u64(self, n);
    }

    fn octet(&mut self, n: u8) {
        push_u64(self, u64::from(n));
    }

    fn thousandths(&mut self, n: u64) {
        push_thousandths(self, n, 0);
    }

    fn address(&mut self, addr: Addr) {
        push_addr(self, addr);
    }

    fn flags(&mut self, flags: TcpFlags) {
        self.extend_from_slice(&flags.letters());
    }

    fn time(&mut self, clock: &mut Clock, ms: u64, between: u8) {
        clock.push_millis(self, ms, between);
    }

    fn long(&mut self) -> &mut Vec<u8> {
        self
    }
}

/// Octets that fit on a draft: a power of two, so that a place is kept inside by one instruction.
const ROOM: usize = 8192;
/// Octets that one copy may have.
const COPY: usize = 64;

/// What is written on; kept from record to record.
#[derive(Clone, Debug)]
pub(crate) struct Paper(Box<[u8; ROOM + COPY]>);

impl Default for Paper {
    fn default() -> Self {
        Self(Box::new([0; ROOM + COPY]))
    }
}

/// Text that is not appended yet, behind what is. Whoever writes on it sees to it that no more than
/// [`ROOM`] comes together between two calls that append: of the keys and values of a record that
/// are written here, the longest take less than that, as tests show.
///
/// All of its methods are inlined, down to the copies, so that the place stays in a register.
#[derive(Debug)]
pub(crate) struct Draft<'a> {
    page: Page<'a>,
    out: &'a mut Vec<u8>,
}

impl<'a> Draft<'a> {
    /// An empty draft of what `out` gets.
    #[inline(always)]
    pub(crate) fn new(paper: &'a mut Paper, out: &'a mut Vec<u8>) -> Self {
        Self { page: Page { paper: &mut paper.0, at: 0 }, out }
    }

    /// Appends what was written.
    #[inline(always)]
    pub(crate) fn finish(mut self) {
        self.long();
    }
}

impl Ink for Draft<'_> {
    #[inline(always)]
    fn put(&mut self, text: &[u8]) {
        if text.len() > COPY {
            return self.long().extend_from_slice(text);
        }
        self.page.put(text);
    }

    #[inline(always)]
    fn word(&mut self, word: &Word) {
        match (word.len, word.octets.first_chunk::<16>()) {
            (..=16, Some(short)) => self.page.copy(short, word.len),
            _ => self.page.copy(&word.octets, word.len),
        }
    }

    #[inline(always)]
    fn number(&mut self, n: u64) {
        match u32::try_from(n) {
            Ok(n) if n < E8 => self.page.eight(n),
            _ => self.page.at = many_digits(self.page.again(), n),
        }
    }

    #[inline(always)]
    fn octet(&mut self, n: u8) {
        let [a, b, c, d, .., len] = DOTTED[usize::from(n)];
        self.page.copy(&[a, b, c, d], usize::from(len) - 1);
    }

    #[inline(always)]
    fn thousandths(&mut self, n: u64) {
        self.number(n / 1000);
        self.page.copy(&DECIMALS[(n % 1000) as usize], 4);
    }

    #[inline(always)]
    fn address(&mut self, addr: Addr) {
        match addr {
            Addr::V4(n) => self.page.v4(n),
            Addr::V6(n) => self.page.at = v6(self.page.again(), n),
        }
    }

    #[inline(always)]
    fn flags(&mut self, flags: TcpFlags) {
        self.page.copy(&LETTERS[usize::from(flags.0)], 8);
    }

    #[inline(always)]
    fn time(&mut self, clock: &mut Clock, ms: u64, between: u8) {
        let Some(text) = clock.second(ms / 1000) else {
            return clock.push_millis(self.long(), ms, between);
        };
        self.page.copy(text, DATE);
        self.page.copy(&[between], SECOND - DATE);
        self.page.copy(&DECIMALS[(ms % 1000) as usize], 4);
    }

    #[inline(always)]
    fn long(&mut self) -> &mut Vec<u8> {
        self.out.extend_from_slice(&self.page.paper[..self.page.at.min(ROOM)]);
        self.page.at = 0;
        self.out
    }

    #[inline(always)]
    fn make_room(&mut self) {
        if self.page.at > ROOM / 2 {
            self.long();
        }
    }
}

/// Paper, and where on it the next octet goes.
#[derive(Debug)]
struct Page<'a> {
    paper: &'a mut [u8; ROOM + COPY],
    at: usize,
}

impl Page<'_> {
    /// The same place, for a function that returns the place behind what it writes.
    #[inline(always)]
    const fn again(&mut self) -> Page<'_> {
        Page { paper: self.paper, at: self.at }
    }

    /// Writes some octets, of which the first `len` are meant.
    #[inline(always)]
    fn copy<const N: usize>(&mut self, octets: &[u8; N], len: usize) {
        const { assert!(N <= COPY) };
        debug_assert!(self.at + len <= ROOM);
        let at = self.at & (ROOM - 1);
        if let Some(place) = self.paper[at..].first_chunk_mut() {
            *place = *octets;
        }
        self.at += len;
    }

    /// Writes text of at most [`COPY`] octets.
    #[inline(always)]
    fn put(&mut self, text: &[u8]) {
        debug_assert!(self.at + text.len() <= ROOM);
        let at = self.at & (ROOM - 1);
        self.paper[at..at + text.len()].copy_from_slice(text);
        self.at += text.len();
    }

    /// Writes a number below 10^8.
    #[inline(always)]
    fn eight(&mut self, n: u32) {
        let digits = eight_digits(n);
        // Of 0 one digit stays.
        let zeros = (digits | 1 << 56).trailing_zeros() & !7;
        let text = (digits | ASCII) >> zeros;
        self.copy(&text.to_le_bytes(), 8 - zeros as usize / 8);
    }

    /// Writes all eight digits of a number below 10^8.
    #[inline(always)]
    fn padded(&mut self, n: u64) {
        self.copy(&(eight_digits(n as u32) | ASCII).to_le_bytes(), 8);
    }

    #[inline(always)]
    fn v4(&mut self, n: u32) {
        for octet in n.to_be_bytes() {
            let [a, b, c, d, .., len] = DOTTED[usize::from(octet)];
            self.copy(&[a, b, c, d], usize::from(len));
        }
        self.at -= 1;
    }

    /// Writes up to four hexadecimal digits and a colon.
    #[inline(always)]
    fn group(&mut self, n: u16) {
        let ([a, b], [c, d]) = (HEX_PAIRS[usize::from(n >> 8)], HEX_PAIRS[usize::from(n & 255)]);
        let zeros = (n | 1).leading_zeros() / 4;
        let text = u64::from_le_bytes([a, b, c, d, b':', 0, 0, 0]) >> (8 * zeros);
        self.copy(&text.to_le_bytes(), 5 - zeros as usize);
    }
}

/// Octets that make digits of numbers from 0 to 9.
const ASCII: u64 = 0x3030_3030_3030_3030;

/// 10^8.
const E8: u32 = 100_000_000;

/// Eight digits, from 0 to 9, of a number below 10^8, the first one in the lowest octet: all are cut
/// in halves at the same time, by products that are exact for numbers so small.
#[inline(always)]
const fn eight_digits(n: u32) -> u64 {
    let fours = (n / 10_000) as u64 | ((n % 10_000) as u64) << 32;
    let hundreds = (fours * 10_486) >> 20 & 0x7f_0000_007f;
    let twos = hundreds | (fours - 100 * hundreds) << 16;
    let tens = (twos * 103) >> 10 & 0x000f_000f_000f_000f;
    tens | (twos - 10 * tens) << 8
}

/// Writes a number of more than eight digits; returns the place behind it.
#[inline(never)]
fn many_digits(mut page: Page<'_>, n: u64) -> usize {
    const E8: u64 = self::E8 as u64;
    if n < E8 * E8 {
        page.eight((n / E8) as u32);
    } else {
        page.eight((n / E8 / E8) as u32);
        page.padded(n / E8 % E8);
    }
    page.padded(n % E8);
    page.at
}

/// Writes an IPv6 address; returns the place behind it.
#[inline(never)]
fn v6(mut page: Page<'_>, n: u128) -> usize {
    if n >> 32 == 0xffff {
        page.put(b"::ffff:");
        page.v4(n as u32);
        return page.at;
    }
    let group = |i: u8| (n >> (112 - 16 * i)) as u16;
    let mut zeros = 0;
    for i in 0..8 {
        zeros |= usize::from(group(i) == 0) << i;
    }
    let (start, end) = GAPS[zeros];
    for i in 0..start {
        page.group(group(i));
    }
    if start < end {
        // Behind a group there is a colon already.
        page.copy(b"::", 2 - usize::from(start > 0));
    }
    for i in end..8 {
        page.group(group(i));
    }
    // Behind the last group there is none.
    page.at - usize::from(start == end || end < 8)
}

/// Of zero groups (a bit each, the first one lowest): where the first longest run begins and ends. A
/// single one is no run (RFC 5952, 4.2.2 and 4.2.3); without a run, both are behind all groups.
static GAPS: [(u8, u8); 256] = {
    let mut table = [(0, 0); 256];
    let mut zeros = 0;
    while zeros < 256 {
        let (mut i, mut run, mut best, mut best_len) = (0u8, 0, 0, 0);
        while i < 8 {
            run = if zeros >> i & 1 == 1 { run + 1 } else { 0 };
            if run > best_len {
                (best, best_len) = (i + 1 - run, run);
            }
            i += 1;
        }
        table[zeros] = if best_len < 2 { (8, 8) } else { (best, best + best_len) };
        zeros += 1;
    }
    table
};

/// Each octet in decimal with a dot behind it, and how many octets that is.
static DOTTED: [[u8; 8]; 256] = {
    let mut table = [[0; 8]; 256];
    let mut n = 0;
    while n < 256 {
        let (a, b, c) = (b'0' + (n / 100) as u8, b'0' + (n / 10 % 10) as u8, b'0' + (n % 10) as u8);
        table[n] = match n {
            0..10 => [c, b'.', 0, 0, 0, 0, 0, 2],
            10..100 => [b, c, b'.', 0, 0, 0, 0, 3],
            _ => [a, b, c, b'.', 0, 0, 0, 4],
        };
        n += 1;
    }
    table
};

/// A dot and three digits.
static DECIMALS: [[u8; 4]; 1000] = {
    let mut table = [[0; 4]; 1000];
    let mut n = 0;
    while n < 1000 {
        let [a, b, c] = three(n as u64);
        table[n] = [b'.', a, b, c];
        n += 1;
    }
    table
};

/// Letters of all sets of TCP flags.
static LETTERS: [[u8; 8]; 256] = {
    let mut table = [[0; 8]; 256];
    let mut flags = 0;
    while flags < 256 {
        table[flags] = TcpFlags(flags as u8).letters();
        flags += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::TimeZone;
    use crate::digits::tests::numbers;

    /// What both ways write.
    fn both(mut write: impl FnMut(&mut dyn Ink)) -> [String; 2] {
        let (mut paper, mut drafted, mut plain) = (Paper::default(), b"#".to_vec(), b"#".to_vec());
        let mut draft = Draft::new(&mut paper, &mut drafted);
        write(&mut draft);
        draft.finish();
        write(&mut &mut plain);
        [drafted, plain].map(|text| String::from_utf8(text).unwrap())
    }

    fn assert_same(what: &dyn std::fmt::Debug, write: impl FnMut(&mut dyn Ink)) {
        let [drafted, plain] = both(write);
        assert_eq!(drafted, plain, "{what:?}");
    }

    #[test]
    fn numbers_of_any_length() {
        let edges = (0..20).map(|e| 10u64.pow(e)).flat_map(|n| [n - 1, n, n + 1]);
        let random = numbers(7).zip(0..).map(|(n, i)| n >> (i % 64));
        for n in edges.chain([u64::MAX]).chain(0..100_000).chain(random.take(100_000)) {
            assert_same(&n, |ink| ink.number(n));
        }
        for n in (0..u64::from(E8)).step_by(9973).chain((0..10_000).map(|n| n * 10_000)) {
            assert_eq!(both(|ink| ink.number(n))[0], format!("#{n}"));
        }
        for n in 0..=255 {
            assert_same(&n, |ink| ink.octet(n));
            assert_same(&n, |ink| ink.flags(TcpFlags(n)));
        }
        for n in (0..3000).chain([u64::MAX, 99_999_999_999, 100_000_000_000]) {
            assert_same(&n, |ink| ink.thousandths(n));
        }
    }

    #[test]
    fn addresses_of_both_families() {
        let v4 = (0..=255u32).map(|n| n << 24 | n << 16 | (255 - n) << 8 | n);
        for n in v4.chain(numbers(3).take(2000).map(|n| n as u32)) {
            assert_same(&n, |ink| ink.address(Addr::V4(n)));
            assert_same(&n, |ink| ink.address(Addr::V6(0xffff_0000_0000 | u128::from(n))));
        }
        // Every pattern of zero groups, with short and long groups between.
        for (pattern, seed) in (0..=255u32).flat_map(|p| (0..8).map(move |k| (p, k))) {
            let mut fill = numbers(u64::from(pattern) * 8 + seed + 1);
            let n = (0..8).fold(0u128, |n, i| {
                let group = (fill.next().unwrap_or(0) as u16 >> (4 * (seed % 4))).max(1);
                n << 16 | if pattern >> i & 1 == 1 { 0 } else { u128::from(group) }
            });
            assert_same(&n, |ink| ink.address(Addr::V6(n)));
        }
        for n in [0, 1, 0xffff_0000, 1 << 112, u128::MAX] {
            assert_same(&n, |ink| ink.address(Addr::V6(n)));
        }
    }

    #[test]
    fn times_of_all_years() {
        let (mut one, mut two) = (Clock::new(TimeZone::Utc), Clock::new(TimeZone::Utc));
        const TEN: u64 = crate::sample::TEN;
        let near = numbers(5).map(|n| TEN + n % 1_000_000);
        let far = numbers(9).zip(0..).map(|(n, i)| n >> (i % 64));
        for ms in near.take(20_000).chain(far.take(2000)).chain([0, u64::MAX]) {
            for between in [b' ', b'T'] {
                let mut plain = Vec::new();
                two.push_millis(&mut plain, ms, between);
                let [drafted, _] = both(|ink| ink.time(&mut one, ms, between));
                assert_eq!(drafted.as_bytes()[1..], plain, "{ms}");
            }
        }
    }

    #[test]
    fn text_of_any_length() {
        let text: Vec<u8> = (0..300).map(|n| b'a' + (n % 26) as u8).collect();
        for len in 0..text.len() {
            assert_same(&len, |ink| {
                ink.put(&text[..len]);
                ink.number(len as u64);
                ink.long().extend_from_slice(&text[..len]);
                ink.put(b"end");
            });
        }
        // A list of any length, as long as room is made now and then.
        let mut out = Vec::new();
        let mut paper = Paper::default();
        let mut draft = Draft::new(&mut paper, &mut out);
        for n in 0..5000 {
            draft.make_room();
            draft.number(n);
        }
        draft.finish();
        let want: String = (0..5000).map(|n| n.to_string()).collect();
        assert_eq!(String::from_utf8(out).unwrap(), want);
    }
}
