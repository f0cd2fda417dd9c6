//! Rows in, anonymised rows out.

use crate::policy::{Act, Policy};
use crate::rule::{Replacer, Rule};
use record::v3::{self, Element, Extension};
use record::{Addr, Exporter, Field, Flow, Row, Rows};
use std::sync::Arc;

/// Flag of a record whose addresses are no originals (file format, section 6.1).
const ANONYMISED: u8 = 4;

/// Anonymises rows: one for each thread.
pub struct Anonymiser {
    policy: Policy,
    replacer: Replacer,
    /// How rows are patched, by shape of one table.
    plans: Vec<Option<Plan>>,
    table: u64,
    record: Vec<u8>,
    flow: Flow,
    counts: Counts,
}

/// What was done, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Rows.
    pub rows: u64,
    /// Those that were anonymised already when they came.
    pub again: u64,
    /// Payloads and frames that were left out.
    pub payloads: u64,
    /// Names and numbers of users that were left out.
    pub users: u64,
    /// Labels that were left out.
    pub labels: u64,
    /// Names of interfaces that were left out of rows.
    pub names: u64,
    /// Values that were left out or cut because no record of layout 2 has room for them.
    pub cut: u64,
}

impl Counts {
    /// Adds what another one did.
    pub const fn add(&mut self, other: &Self) {
        self.rows += other.rows;
        self.again += other.again;
        self.payloads += other.payloads;
        self.users += other.users;
        self.labels += other.labels;
        self.names += other.names;
        self.cut += other.cut;
    }

    const fn count(&mut self, field: Field) {
        match field {
            Field::InPayload | Field::OutPayload | Field::Frame => self.payloads += 1,
            Field::Username | Field::NatString | Field::PfUid | Field::PfPid => self.users += 1,
            Field::Label => self.labels += 1,
            Field::PfInterface => self.names += 1,
            _ => {}
        }
    }
}

/// An anonymised row.
#[derive(Clone, Copy, Debug)]
pub enum Made<'a> {
    /// A record as it came, patched.
    Row(Row<'a>),
    /// One made anew.
    Flow(&'a Flow),
}

/// How rows with one sequence of elements are anonymised.
enum Plan {
    /// Where they lie.
    Patch {
        /// Element headers: each where it is, and what it is.
        headers: Box<[(u16, u32)]>,
        len: u16,
        patches: Box<[Patch]>,
    },
    /// By their fields.
    Anew,
}

/// A change at an offset of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Patch {
    at: u16,
    what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    V4,
    V6,
    Mac,
    /// So many zeros.
    Zeros(u16),
}

impl Anonymiser {
    /// With empty caches.
    pub fn new(rule: Arc<Rule>, policy: Policy) -> Self {
        Self {
            policy,
            replacer: Replacer::new(rule),
            plans: Vec::new(),
            table: 0,
            record: Vec::new(),
            flow: Flow::new(),
            counts: Counts::default(),
        }
    }

    /// What was done since this was asked last.
    pub fn take_counts(&mut self) -> Counts {
        std::mem::take(&mut self.counts)
    }

    /// Row `n` without what its policy takes away, and with the flag that says so; `None` beyond the
    /// end.
    #[inline]
    pub fn row<'a>(&'a mut self, rows: &Rows<'a>, n: usize) -> Option<Made<'a>> {
        let (row, shape) = (rows.row(n)?, usize::from(rows.index.get(n)?.shape));
        self.counts.rows += 1;
        self.counts.again += u64::from(row.number(Field::RecordFlags) as u8 & ANONYMISED != 0);
        if self.table != rows.table.id() {
            self.plans.clear();
            self.table = rows.table.id();
        }
        if self.plans.len() <= shape {
            self.plans.resize_with(shape + 1, || None);
        }
        let policy = &self.policy;
        let plan = self.plans.get_mut(shape)?;
        let plan = plan.get_or_insert_with(|| Plan::of(row.as_bytes(), policy));
        let Plan::Patch { headers, len, patches } = plan else {
            return Some(Made::Flow(self.anew(row)));
        };
        // Rows of one shape have the same elements, as readers make them. Too much depends on it.
        if !is_of(row.as_bytes(), *len, headers) {
            return Some(Made::Flow(self.anew(row)));
        }
        self.record.clear();
        self.record.extend_from_slice(row.as_bytes());
        for patch in &*patches {
            patch.apply(&mut self.record, &mut self.replacer);
        }
        if let Some(flags) = self.record.get_mut(v3::FLAGS) {
            *flags = *flags & !v3::SCRATCH_FLAG | ANONYMISED;
        }
        Some(Made::Row(Row::new(&self.record, row.shape())))
    }

    /// The flow of a row, by the fields that are known: what patches are compared with.
    pub fn anew(&mut self, row: Row<'_>) -> &Flow {
        let Self { flow, policy, replacer, counts, .. } = self;
        counts.cut += u64::from(flow.assign(row) > 0);
        for field in row.shape().fields().filter(|f| !f.is_derived()) {
            match policy.act(field) {
                Act::Keep => {}
                Act::Address => match flow.as_row().addr(field) {
                    Some(addr) => flow.set_addr(field, replacer.addr(addr)),
                    None => flow.unset(field),
                },
                Act::Mac => {
                    let mac = replacer.mac(flow.number(field));
                    flow.set(field, mac);
                }
                Act::Zero => {
                    if flow.number(field) != 0 {
                        counts.count(field);
                    }
                    flow.set(field, 0);
                }
                Act::Drop => {
                    flow.unset(field);
                    counts.count(field);
                }
            }
        }
        let flags = flow.number(Field::RecordFlags) | u64::from(ANONYMISED);
        flow.set(Field::RecordFlags, flags & !u64::from(v3::SCRATCH_FLAG));
        flow
    }

    /// What takes the place of an address, whatever it is the address of.
    pub fn addr(&mut self, addr: Addr) -> Addr {
        self.replacer.addr(addr)
    }

    /// An exporter with another address.
    pub fn exporter(&mut self, exporter: &Exporter) -> Exporter {
        Exporter { addr: self.replacer.addr(exporter.addr), ..*exporter }
    }
}

impl Plan {
    /// For records with the elements of this one.
    fn of(record: &[u8], policy: &Policy) -> Self {
        let mut headers = Vec::new();
        let mut patches = Vec::new();
        let mut end = v3::LEN;
        for element in v3::elements(record) {
            let patched = element.and_then(|e| {
                let len = u32::from(e.len) + v3::ELEMENT_HEADER as u32;
                headers.push((e.at - v3::ELEMENT_HEADER as u16, u32::from(e.id) | len << 16));
                end = usize::from(e.at) + usize::from(e.len);
                patches_of(e, policy, &mut patches)
            });
            if patched.is_none() {
                return Self::Anew;
            }
        }
        match u16::try_from(record.len()) {
            Ok(len) if end == record.len() => {
                Self::Patch { headers: headers.into(), len, patches: patches.into() }
            }
            _ => Self::Anew,
        }
    }
}

/// Whether a record has these elements and nothing else.
#[inline]
fn is_of(record: &[u8], len: u16, headers: &[(u16, u32)]) -> bool {
    let Some((head, _)) = record.split_first_chunk::<6>() else { return false };
    let [kind, kind_high, size, size_high, elements, elements_high] = *head;
    u16::from_le_bytes([kind, kind_high]) == v3::TYPE
        && u16::from_le_bytes([size, size_high]) == len
        && record.len() == usize::from(len)
        && usize::from(u16::from_le_bytes([elements, elements_high])) == headers.len()
        && headers.iter().all(|(at, header)| {
            let at = usize::from(*at);
            record.get(at..at + 4) == Some(&header.to_le_bytes())
        })
}

/// What is to be patched in an element. `None` if that does not do: it is not known, has another
/// length than it should, or something of it has to go.
fn patches_of(e: Element, policy: &Policy, patches: &mut Vec<Patch>) -> Option<()> {
    let extension = Extension::of(e.id)?;
    let is_whole = match extension.tail {
        None => e.len == extension.len,
        Some(tail) => e.len >= extension.len && policy.act(tail.field) == Act::Keep,
    };
    if !is_whole {
        return None;
    }
    let mut known = 0;
    for (field, at) in extension.fields {
        zeros(e.at, known, *at, patches);
        let width = extension.width(*field);
        known = at + width;
        let what = match (policy.act(*field), extension.family) {
            (Act::Keep, _) => continue,
            (Act::Address, 4) => What::V4,
            (Act::Address, _) => What::V6,
            (Act::Mac, _) => What::Mac,
            // Counted where it is done.
            (Act::Zero, _) if matches!(field, Field::PfUid | Field::PfPid) => return None,
            (Act::Zero, _) => What::Zeros(width),
            (Act::Drop, _) => return None,
        };
        patches.push(Patch { at: e.at + at, what });
    }
    if e.id == 18 {
        known += 2; // the exporter's number once more
    }
    // Fillers are not always zero: programs write what they had in memory.
    zeros(e.at, known, extension.len, patches);
    Some(())
}

fn zeros(element: u16, from: u16, to: u16, patches: &mut Vec<Patch>) {
    if from < to {
        patches.push(Patch { at: element + from, what: What::Zeros(to - from) });
    }
}

impl Patch {
    #[inline]
    fn apply(self, record: &mut [u8], replacer: &mut Replacer) {
        let Some(room) = record.get_mut(usize::from(self.at)..) else { return };
        match self.what {
            What::V4 => {
                if let Some(room) = room.first_chunk_mut() {
                    *room = replacer.v4(u32::from_le_bytes(*room)).to_le_bytes();
                }
            }
            What::V6 => {
                if let Some(room) = room.first_chunk_mut::<16>()
                    && let Some(Addr::V6(addr)) = Addr::from_row(room)
                {
                    *room = Addr::V6(replacer.v6(addr)).to_row();
                }
            }
            What::Mac => {
                if let Some(room) = room.first_chunk_mut() {
                    *room = replacer.mac(u64::from_le_bytes(*room)).to_le_bytes();
                }
            }
            What::Zeros(n) => {
                if let Some(room) = room.get_mut(..usize::from(n)) {
                    room.fill(0);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{CryptoPan, Key, Macs, PrefixSet};
    use proptest::prelude::*;
    use record::v3::{Choice, EXTENSIONS};
    use record::{RowRef, ShapeTable};

    /// A record with these elements: their data all of one octet after the other from `seed` on.
    fn record(elements: &[(u16, u16)], seed: u8) -> Vec<u8> {
        let mut out = vec![0; v3::LEN];
        let mut octet = seed;
        for (id, len) in elements {
            out.extend_from_slice(&id.to_le_bytes());
            out.extend_from_slice(&(len + 4).to_le_bytes());
            for _ in 0..*len {
                octet = octet.wrapping_mul(5).wrapping_add(71);
                out.push(octet);
            }
        }
        out[..2].copy_from_slice(&v3::TYPE.to_le_bytes());
        let size = out.len() as u16;
        out[2..4].copy_from_slice(&size.to_le_bytes());
        out[4..6].copy_from_slice(&(elements.len() as u16).to_le_bytes());
        out
    }

    fn rule(only: &str) -> Arc<Rule> {
        Arc::new(Rule {
            crypt: Some(CryptoPan::new(&Key::new([7; 32]))),
            only: PrefixSet::parse(only).unwrap(),
            ..Rule::default()
        })
    }

    /// What becomes of a record, and whether it was patched.
    fn made(anonymiser: &mut Anonymiser, record: &[u8]) -> (Flow, bool) {
        let elements: Vec<_> = v3::elements(record).map_while(|e| e).collect();
        let mut table = ShapeTable::new();
        let shape = table.push(v3::shape(&elements, Choice::default())).unwrap();
        let index = [RowRef { at: 0, len: record.len() as u16, shape }];
        let rows = Rows { bytes: record, index: &index, table: &table };
        match anonymiser.row(&rows, 0).unwrap() {
            Made::Row(row) => {
                let mut flow = Flow::new();
                flow.assign(row);
                (flow, true)
            }
            Made::Flow(flow) => (flow.clone(), false),
        }
    }

    fn values(flow: &Flow) -> Vec<(Field, Vec<u8>)> {
        let row = flow.as_row();
        row.shape().fields().map(|f| (f, row.bytes(f).unwrap().to_vec())).collect()
    }

    /// Elements of full length, those of one family, nothing that has to go.
    fn plain(v6: bool) -> Vec<(u16, u16)> {
        let (gone, other): (&[u16], _) = (&[24, 28, 29, 30, 35, 37, 41], |e: &Extension| {
            v3::FAMILIES.iter().any(|(four, six)| e.id == if v6 { *four } else { *six })
        });
        let all = EXTENSIONS.iter().filter(|e| !gone.contains(&e.id) && !other(e));
        all.map(|e| (e.id, e.len + if e.tail.is_some() { 5 } else { 0 })).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        #[test]
        fn patches_do_what_is_done_anew(
            seed: u8, v6: bool, chosen: u64, keeps: [bool; 3], only in prop::sample::select(vec!["", "128.0.0.0/1,8000::/1"]),
        ) {
            let policy = Policy {
                keeps_source: keeps[0],
                keeps_as: keeps[1],
                macs: if keeps[2] { Macs::Zero } else { Macs::Replace },
                ..Policy::default()
            };
            let elements: Vec<_> =
                plain(v6).into_iter().filter(|(id, _)| chosen >> id & 1 == 1).collect();
            let record = record(&elements, seed);
            let mut anonymiser = Anonymiser::new(rule(only), policy);
            let (patched, is_patched) = made(&mut anonymiser, &record);
            prop_assert!(is_patched);
            let parts: Vec<_> = v3::elements(&record).map(Option::unwrap).collect();
            let shape = v3::shape(&parts, Choice::default());
            let anew = anonymiser.anew(Row::new(&record, &shape));
            prop_assert_eq!(values(&patched), values(anew));
        }
    }

    #[test]
    fn fillers_and_hidden_addresses_do_not_get_through() {
        // Both families of all addresses, and every filler.
        let both: Vec<_> = [plain(false), plain(true)].concat();
        let record = record(&both, 3);
        let mut anonymiser = Anonymiser::new(rule(""), Policy::default());
        let elements: Vec<_> = v3::elements(&record).map(Option::unwrap).collect();
        let mut table = ShapeTable::new();
        let shape = table.push(v3::shape(&elements, Choice::default())).unwrap();
        let index = [RowRef { at: 0, len: record.len() as u16, shape }];
        let rows = Rows { bytes: &record, index: &index, table: &table };
        let Some(Made::Row(row)) = anonymiser.row(&rows, 0) else { panic!("it is patched") };
        let out = row.as_bytes();
        for e in elements {
            let extension = Extension::of(e.id).unwrap();
            let data = |octets: &[u8]| octets[usize::from(e.at)..][..usize::from(e.len)].to_vec();
            let (before, after) = (data(&record), data(out));
            let mut covered = vec![false; before.len()];
            for (field, at) in extension.fields {
                let range = usize::from(*at)..usize::from(at + extension.width(*field));
                covered[range.clone()].fill(true);
                if field.kind() == record::Kind::Addr {
                    assert_ne!(before[range.clone()], after[range], "{} {field:?}", e.id);
                }
            }
            if e.id == 18 {
                covered[8..10].fill(true);
            }
            for (at, octet) in after.iter().enumerate().take(usize::from(extension.len)) {
                assert!(covered[at] || *octet == 0, "extension {} octet {at}", e.id);
            }
        }
        assert_eq!(out[v3::FLAGS] & 4, 4);
    }

    #[test]
    fn what_cannot_be_patched_is_made_anew_and_counted() {
        let mut anonymiser = Anonymiser::new(rule(""), Policy::default());
        for (element, dropped) in [
            ((24, 68), Some(Field::Username)),
            ((28, 9), Some(Field::Label)),
            ((29, 40), Some(Field::InPayload)),
            ((35, 40), Some(Field::Frame)),
            ((41, 14), Some(Field::NatString)),
            ((777, 16), None),
            ((0, 16), None),
            ((2, 7), None),
            ((7, 12), None),
        ] {
            let record = record(&[(1, 48), (2, 8), element], 9);
            let (flow, is_patched) = made(&mut anonymiser, &record);
            assert!(!is_patched, "{element:?}");
            assert!(dropped.is_none_or(|field| !flow.has(field)), "{element:?}");
            assert_eq!(flow.number(Field::RecordFlags) & 4, 4);
        }
        let counts = anonymiser.take_counts();
        let want = Counts { rows: 9, payloads: 2, users: 2, labels: 1, ..Counts::default() };
        assert_eq!(counts, want);
        // Octets behind the last element.
        let mut longer = record(&[(1, 48), (2, 8)], 9);
        longer.extend_from_slice(&[192, 0, 2, 77]);
        let size = longer.len() as u16;
        longer[2..4].copy_from_slice(&size.to_le_bytes());
        assert!(!made(&mut anonymiser, &longer).1);
        // The count of elements is wrong.
        let mut fewer = record(&[(1, 48), (2, 8)], 9);
        fewer[4] = 1;
        assert!(!made(&mut anonymiser, &fewer).1);
    }

    #[test]
    fn what_is_anonymised_already_is_counted() {
        let mut anonymiser = Anonymiser::new(rule(""), Policy::default());
        let mut twice = record(&[(1, 48), (2, 8)], 9);
        made(&mut anonymiser, &twice);
        twice[v3::FLAGS] = 4;
        made(&mut anonymiser, &twice);
        let counts = anonymiser.take_counts();
        assert_eq!((counts.rows, counts.again), (2, 1));
    }
}
