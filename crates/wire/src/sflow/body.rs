//! The body of a sample of version 5: records, each with its format and length.

use crate::cursor::Parsed;
use nom::Parser;
use nom::number::complete::be_u32;

/// Octets of format and length, which begin each sample and record.
pub(super) const TAG_LEN: usize = 8;

/// Format and length.
pub(super) fn tag_and_length(input: &[u8]) -> Parsed<'_, (u32, usize)> {
    // A length that does not fit is longer than any datagram all the same.
    (be_u32, be_u32.map(|len| usize::try_from(len).unwrap_or(usize::MAX))).parse(input)
}

/// Walks the records of a sample.
///
/// Some agents give their samples a length that is too short. So a record may reach beyond its
/// sample, if no other sample begins there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Body<'a> {
    /// From the start of the sample to the end of the datagram.
    octets: &'a [u8],
    at: usize,
    /// Where the sample ends.
    end: usize,
    may_grow: bool,
    /// Records that are still to come.
    left: u32,
    /// Whether one of them was not whole.
    is_cut: bool,
}

impl<'a> Body<'a> {
    /// A sample of `len` octets in what is left of a datagram. `is_last` says that its datagram
    /// announces no other.
    pub(super) fn new(octets: &'a [u8], len: usize, is_last: bool) -> Self {
        let end = len.min(octets.len());
        let may_grow = len <= octets.len() && (is_last || !is_sample(octets, end));
        Self { octets, at: 0, end, may_grow, left: 0, is_cut: false }
    }

    /// Reads the head of the sample, which says how many records follow.
    pub(super) fn head<T>(
        &mut self,
        parser: impl Fn(&'a [u8]) -> Parsed<'a, (T, u32)>,
    ) -> Option<T> {
        let sample = self.octets.get(..self.end)?;
        let Ok((rest, (head, count))) = parser(sample) else {
            self.is_cut = true;
            return None;
        };
        (self.at, self.left) = (sample.len() - rest.len(), count);
        Some(head)
    }

    /// Whether a record was not whole, or the head of the sample.
    pub(super) const fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// Octets of the sample that were read.
    pub(super) const fn used(&self) -> usize {
        self.at
    }

    /// A record that is not whole ends its sample. What there is of it is returned, for a packet is
    /// of use without its end.
    fn cut(&mut self, tag: u32, start: usize) -> Option<(u32, &'a [u8])> {
        (self.is_cut, self.left, self.at) = (true, 0, self.end);
        self.octets.get(start..self.end).map(|data| (tag, data))
    }
}

impl<'a> Iterator for Body<'a> {
    type Item = (u32, &'a [u8]);

    /// Format and octets of the next record. Each takes eight octets, so this ends with the datagram
    /// however many are announced.
    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let limit = if self.may_grow { self.octets.len() } else { self.end };
        let here = self.octets.get(self.at..limit).unwrap_or_default();
        let Ok((data, (tag, len))) = tag_and_length(here) else {
            (self.is_cut, self.left) = (true, 0);
            return None;
        };
        let start = self.at + TAG_LEN;
        let Some(record) = data.get(..len) else { return self.cut(tag, start) };
        // What fills a record up to a multiple of four may be missing at the end of the datagram.
        self.at = (start + len).next_multiple_of(4).min(limit);
        self.end = self.end.max(self.at);
        Some((tag, record))
    }
}

/// Whether it looks as if a sample began here: one of a format that is known, and no longer than
/// the datagram.
fn is_sample(octets: &[u8], at: usize) -> bool {
    let Ok((data, (tag, len))) = tag_and_length(octets.get(at..).unwrap_or_default()) else {
        return false;
    };
    (1..=5).contains(&tag) && len <= data.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|w| w.to_be_bytes()).collect()
    }

    /// A sample whose head is how many records it has.
    fn walk(octets: &[u8], len: usize, is_last: bool) -> (Vec<(u32, usize)>, usize, bool) {
        let mut body = Body::new(octets, len, is_last);
        body.head(|input| be_u32.map(|count| ((), count)).parse(input));
        let records: Vec<_> = body.by_ref().map(|(tag, data)| (tag, data.len())).collect();
        (records, body.used(), body.is_cut())
    }

    #[test]
    fn records_and_their_sample() {
        let two = words(&[2, 7, 4, 99, 8, 0]);
        let next = words(&[2, 7, 4, 99, 8, 0, 1, 4, 55]);
        let long = words(&[1, 7, 8, 99, 98]);
        for (name, octets, len, is_last, want) in [
            ("as it should be", &two, 24, true, (vec![(7, 4), (8, 0)], 24, false)),
            (
                "padding behind",
                &[&two[..], &[0; 4]].concat(),
                28,
                true,
                (vec![(7, 4), (8, 0)], 24, false),
            ),
            ("too short a length", &two, 16, true, (vec![(7, 4), (8, 0)], 24, false)),
            (
                "too short, and a sample follows",
                &next,
                20,
                false,
                (vec![(7, 4), (8, 0)], 24, false),
            ),
            (
                "a sample follows where the record lies",
                &next,
                24,
                false,
                (vec![(7, 4), (8, 0)], 24, false),
            ),
            (
                "a record into the next sample",
                &words(&[1, 7, 12, 99, 1, 4, 55]),
                16,
                false,
                (vec![(7, 4)], 16, true),
            ),
            (
                "a record beyond the datagram",
                &words(&[1, 7, u32::MAX, 99]),
                16,
                true,
                (vec![(7, 4)], 16, true),
            ),
            (
                "more records than there are",
                &words(&[u32::MAX, 7, 0]),
                12,
                true,
                (vec![(7, 0)], 12, true),
            ),
            ("a sample beyond the datagram", &long, 40, true, (vec![(7, 8)], 20, false)),
            ("no records", &words(&[0, 7, 8]), 12, true, (vec![], 4, false)),
            ("no head", &words(&[]), 0, true, (vec![], 0, true)),
            (
                "an odd length",
                &[&words(&[2, 7, 3, 0x0102_0300, 8, 0])[..]].concat(),
                24,
                true,
                (vec![(7, 3), (8, 0)], 24, false),
            ),
        ] {
            assert_eq!(walk(octets, len, is_last), want, "{name}");
        }
    }
}
