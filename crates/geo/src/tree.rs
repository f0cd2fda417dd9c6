//! The search tree of a MaxMind database: a walk over all networks, in order and within bounds.
//!
//! The tree is binary, a node has one record for each value of the next bit (MaxMind DB file
//! format 2.0, "Binary Search Tree Section"). A record below the number of nodes is a node, that
//! number itself means nothing is known, and more is an offset in the data section.
//!
//! `maxminddb` has an iterator too. It trusts that no two records lead to one node, and a file
//! where they do keeps it busy for ever; here each walk has a budget.

use record::Addr;

/// Octets of zero between the tree and the data section.
const SEPARATOR: usize = 16;

/// Visits granted beyond two for each node.
const SPARE_VISITS: usize = 1024;

/// The tree of one database.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tree<'a> {
    nodes: &'a [u8],
    count: usize,
    /// Bits of a record: 24, 28 or 32.
    record_bits: u16,
    is_v6: bool,
}

/// A record of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Child {
    Node(usize),
    Nothing,
    /// Offset in the data section.
    Data(usize),
    Damaged,
}

/// A stretch of addresses and where its data is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Leaf {
    pub(crate) first: Addr,
    /// Offset in the data section, if anything is known.
    pub(crate) data: Option<usize>,
}

/// How a walk ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Walked {
    /// Records that lead nowhere, and the rest of a tree that is none.
    pub(crate) damaged: u64,
}

impl<'a> Tree<'a> {
    /// The tree at the start of a file that `maxminddb` has accepted.
    pub(crate) fn new(file: &'a [u8], meta: &maxminddb::Metadata) -> Self {
        Self {
            nodes: file,
            count: meta.node_count as usize,
            record_bits: meta.record_size,
            is_v6: meta.ip_version == 6,
        }
    }

    /// Calls `leaf` for every stretch of addresses, in ascending order and without gaps, IPv4
    /// before IPv6, until it returns false. A family the database does not have is one stretch
    /// about which nothing is known.
    pub(crate) fn walk(&self, mut leaf: impl FnMut(Leaf) -> bool) -> Walked {
        let mut walked = Walked::default();
        let v4 = self.v4_start();
        let more = self.walk_family(v4, 32, None, &mut walked, &mut |first, data| {
            leaf(Leaf { first: Addr::V4(first as u32), data })
        });
        if !more {
            return walked;
        }
        let (start, skip) = match (self.is_v6, v4) {
            (false, _) => (Child::Nothing, None),
            (true, Child::Node(n)) => (Child::Node(0), Some(n)),
            (true, _) => (Child::Node(0), None),
        };
        self.walk_family(start, 128, skip, &mut walked, &mut |first, data| {
            leaf(Leaf { first: Addr::V6(first), data })
        });
        walked
    }

    /// Whether the tree leads to data for an address of its own: not for an IPv6 address that is
    /// an IPv4 one in disguise.
    pub(crate) fn has_data(&self, addr: Addr) -> bool {
        let (mut child, bits, number, skip) = match (addr, self.v4_start()) {
            (Addr::V4(n), start) => (start, 32, u128::from(n) << 96, None),
            (Addr::V6(_), _) if !self.is_v6 => return false,
            (Addr::V6(n), Child::Node(start)) => (Child::Node(0), 128, n, Some(start)),
            (Addr::V6(n), _) => (Child::Node(0), 128, n, None),
        };
        for depth in 0..bits {
            let Child::Node(node) = child else { break };
            if Some(node) == skip {
                return false;
            }
            child = self.child(node, number >> (127 - depth) & 1 == 1);
        }
        matches!(child, Child::Data(_))
    }

    /// Where IPv4 begins: the root, or below 96 zeros.
    fn v4_start(&self) -> Child {
        let mut child = Child::Node(0);
        for _ in 0..if self.is_v6 { 96 } else { 0 } {
            let Child::Node(node) = child else { break };
            child = self.child(node, false);
        }
        child
    }

    /// Walks below `start`, an address of no bits, down to `bits`. Returns whether the callee
    /// wants more.
    fn walk_family(
        &self,
        start: Child,
        bits: u8,
        skip: Option<usize>,
        walked: &mut Walked,
        leaf: &mut dyn FnMut(u128, Option<usize>) -> bool,
    ) -> bool {
        let mut budget = self.count.saturating_mul(2).saturating_add(SPARE_VISITS);
        let mut stack = vec![(start, 0u128, 0u8)];
        while let Some((child, first, depth)) = stack.pop() {
            let data = match child {
                Child::Node(node) if Some(node) == skip => None,
                Child::Node(node) if depth < bits && budget > 0 => {
                    budget -= 1;
                    let half = 1 << (bits - 1 - depth);
                    stack.push((self.child(node, true), first | half, depth + 1));
                    stack.push((self.child(node, false), first, depth + 1));
                    continue;
                }
                Child::Node(_) | Child::Damaged => {
                    walked.damaged += 1;
                    None
                }
                Child::Nothing => None,
                Child::Data(offset) => Some(offset),
            };
            if !leaf(first, data) {
                return false;
            }
        }
        true
    }

    fn child(&self, node: usize, right: bool) -> Child {
        let Some(record) = self.record(node, right) else { return Child::Damaged };
        match record.checked_sub(self.count) {
            None => Child::Node(record),
            Some(0) => Child::Nothing,
            Some(n) => n.checked_sub(SEPARATOR).map_or(Child::Damaged, Child::Data),
        }
    }

    /// A record is 24, 28 or 32 bits; with 28 the two share the octet in the middle.
    fn record(&self, node: usize, right: bool) -> Option<usize> {
        let at = node.checked_mul(usize::from(self.record_bits) / 4)?;
        let octets = self.nodes.get(at..)?;
        let number = match (self.record_bits, right) {
            (24, false) => u32::from_be_bytes(*octets.first_chunk()?) >> 8,
            (24, true) => u32::from_be_bytes(*octets.get(2..)?.first_chunk()?) & 0x00ff_ffff,
            (28, false) => {
                let n = u32::from_be_bytes(*octets.first_chunk()?);
                n >> 8 | (n & 0xf0) << 20
            }
            (28, true) => u32::from_be_bytes(*octets.get(3..)?.first_chunk()?) & 0x0fff_ffff,
            (_, false) => u32::from_be_bytes(*octets.first_chunk()?),
            (_, true) => u32::from_be_bytes(*octets.get(4..)?.first_chunk()?),
        };
        Some(number as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Node 1 of two, with records that use all their bits.
    #[test]
    fn records_are_24_28_or_32_bits() {
        for (record_bits, node, want) in [
            (24, &[0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc][..], [0x0012_3456, 0x0078_9abc]),
            (28, &[0x23, 0x45, 0x67, 0x1f, 0x9a, 0xbc, 0xde], [0x0123_4567, 0x0f9a_bcde]),
            (32, &[0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0xf0], [0x1234_5678, 0x9abc_def0]),
        ] {
            let nodes = [&vec![0xff; node.len()], node].concat();
            let tree = Tree { nodes: &nodes, count: 2, record_bits, is_v6: false };
            let records = [false, true].map(|right| tree.record(1, right));
            assert_eq!(records, want.map(Some), "{record_bits} bits");
            assert_eq!(tree.record(2, false), None);
        }
    }
}
