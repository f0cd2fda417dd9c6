//! Walking a payload: where each flow record is and what shape it has (5, 6). Records of layouts 2
//! and 3 differ in how they are taken apart, not in how they are found again.
//!
//! Nearly all records of a file have one of a few sequences of elements. A record whose element
//! headers are those of a sequence met before has that sequence's shape: 64 octets are compared at
//! once with what such a record has there, and only a new sequence is taken apart.

use crate::layout::{record_type, split_record, u16_at, u32_at};
use crate::layout3::record_type as record_type3;
use crate::meta::{self, MetaRecord};
use crate::v4;
use record::v3::{self, Choice, Element, Extension};
use record::{RowRef, Shape, ShapeTable};
use std::collections::HashMap;
use sys::lanes::{Lanes, Work, widest};

/// What a walk passed over, by cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Skipped {
    /// Records of types that this program does not know; fillers are not counted.
    pub unknown_records: u64,
    /// Elements of types that this program does not know, in records that were delivered.
    pub unknown_elements: u64,
    /// Records whose content does not fit their size, and flows of 1.6 without an extension map.
    pub malformed: u64,
    /// Flows that were not delivered because a block has more than 65 536 kinds of records.
    pub too_many_shapes: u64,
    /// Names that were not delivered because a block has more than 65 536 of them.
    pub too_many_names: u64,
    /// Octets at the end of a payload that are no record.
    pub tail: u64,
}

impl Skipped {
    /// Adds what another walk passed over.
    pub const fn add(&mut self, other: &Self) {
        self.unknown_records += other.unknown_records;
        self.unknown_elements += other.unknown_elements;
        self.malformed += other.malformed;
        self.too_many_shapes += other.too_many_shapes;
        self.too_many_names += other.too_many_names;
        self.tail += other.tail;
    }
}

/// What a walk found beside rows.
pub(crate) struct Found<'a> {
    pub(crate) index: &'a mut Vec<RowRef>,
    pub(crate) meta: &'a mut Vec<MetaRecord>,
    pub(crate) skipped: &'a mut Skipped,
}

/// Shapes by sequence of elements.
pub(crate) struct Walker {
    table: ShapeTable,
    forms: Vec<Form>,
    /// Index into `forms` by type, size and element headers.
    by_headers: HashMap<Box<[u32]>, u16>,
    /// Forms worth trying, by a hash of size and number of elements.
    sets: Vec<[u16; WAYS]>,
    /// Elements of the record at hand, and the words that make its sequence what it is, each with
    /// its offset.
    elements: Vec<Element>,
    headers: Vec<(u16, u32)>,
}

/// A sequence of elements.
struct Form {
    /// Type and size of the record.
    head: u32,
    /// Elements that the record counts. In layout 3 some of them may not be there.
    elements: u16,
    /// Element headers, in layout 3 the words that stand for them, each with its offset.
    headers: Box<[(u16, u32)]>,
    /// The same, to be compared at once.
    windows: Box<[Window]>,
    shape: u16,
    unknown: u16,
    /// For sequences whose shape depends on values, what to look at.
    values: Option<Box<Values>>,
}

/// 64 octets of a record that has the elements of a form, and which of them have to be so.
#[derive(Clone)]
struct Window {
    at: usize,
    octets: [u8; 64],
    mask: u64,
}

/// What the shape of a record depends on beside its elements.
struct Values {
    /// Type of the record.
    kind: u16,
    elements: Vec<Element>,
    /// What both layouts look at.
    common: v3::Values,
    /// Extension of layout 3 that stands for two of layout 2.
    event: Option<u16>,
    /// Shapes made so far, by choice.
    shapes: [Option<u16>; Choice::COUNT],
}

const SETS: usize = 256;
const WAYS: usize = 4;
const NO_FORM: u16 = u16::MAX;
/// Shapes after which the next block starts with an empty table, so that files of random records
/// do not pile them up.
const SHAPES_KEPT: usize = 8192;

impl Walker {
    pub(crate) fn new() -> Self {
        Self {
            table: ShapeTable::new(),
            forms: Vec::new(),
            by_headers: HashMap::new(),
            sets: vec![[NO_FORM; WAYS]; SETS],
            elements: Vec::new(),
            headers: Vec::new(),
        }
    }

    pub(crate) const fn table(&self) -> &ShapeTable {
        &self.table
    }

    /// Appends the rows of a payload to the index and returns how many records there are of any
    /// type. A record whose size cannot be right ends the walk: what follows cannot be found.
    pub(crate) fn walk(&mut self, payload: &[u8], found: &mut Found<'_>) -> u32 {
        if self.table.shapes().len() > SHAPES_KEPT {
            *self = Self::new();
        }
        widest(Walk { walker: self, payload, found })
    }

    /// Index of the shape of the record that begins here, and its form if all records of that have
    /// this shape; `None`, counted, if it is to be passed over.
    #[inline(always)]
    fn shape<L: Lanes>(
        &mut self,
        lanes: L,
        here: &[u8],
        record: &[u8],
        skipped: &mut Skipped,
    ) -> Option<(u16, Option<&Form>)> {
        let (Some(head), Some(elements)) = (u32_at(record, 0), u16_at(record, v3::ELEMENTS)) else {
            skipped.malformed += 1;
            return None;
        };
        let set = set_of(record.len() as u16, elements);
        for way in self.sets.get(set).copied().unwrap_or([NO_FORM; WAYS]) {
            let Some(form) = self.forms.get(usize::from(way)) else { break };
            if form.head == head && form.elements == elements && form.is_of(lanes, here, record) {
                skipped.unknown_elements += u64::from(form.unknown);
                if form.values.is_some() {
                    return Some((self.shape_by_values(way, record, skipped)?, None));
                }
                // Looked up again: the borrow checker does not see that the loop ends here.
                let form = self.forms.get(usize::from(way))?;
                return Some((form.shape, Some(form)));
            }
        }
        Some((self.new_shape(set, record, skipped)?, None))
    }

    /// The shape of a record that is of no form worth trying.
    #[cold]
    fn new_shape(&mut self, set: usize, record: &[u8], skipped: &mut Skipped) -> Option<u16> {
        let form = self.look_up(record, skipped)?;
        // The newest comes first; the oldest of a full set makes room.
        if let Some(ways) = self.sets.get_mut(set) {
            ways.rotate_right(1);
            ways[0] = form;
        }
        skipped.unknown_elements += u64::from(self.forms.get(usize::from(form))?.unknown);
        self.shape_by_values(form, record, skipped)
    }

    /// The form of a record that no candidate fits, made if there is none yet.
    #[cold]
    fn look_up(&mut self, record: &[u8], skipped: &mut Skipped) -> Option<u16> {
        #[cfg(test)]
        tests::LOOK_UPS.set(tests::LOOK_UPS.get() + 1);
        self.elements.clear();
        self.headers.clear();
        let head = u32_at(record, 0)?;
        let is_sound = match head as u16 {
            record_type3::FLOW => v4::dissect(record, &mut self.elements, &mut self.headers),
            _ => self.dissect(record),
        };
        if is_sound.is_none() {
            skipped.malformed += 1;
            return None;
        }
        let words = self.headers.iter().map(|(_, word)| *word);
        let key: Box<[u32]> = std::iter::once(head).chain(words).collect();
        if let Some(form) = self.by_headers.get(&key) {
            return Some(*form);
        }
        let made = self.add_form(head, u16_at(record, v3::ELEMENTS)?, key);
        if made.is_none() {
            skipped.too_many_shapes += 1;
        }
        made
    }

    /// Takes a record of layout 2 apart.
    fn dissect(&mut self, record: &[u8]) -> Option<()> {
        for element in v3::elements(record) {
            let e = element?;
            let len = u32::from(e.len) + v3::ELEMENT_HEADER as u32;
            self.headers.push((e.at - v3::ELEMENT_HEADER as u16, u32::from(e.id) | len << 16));
            self.elements.push(e);
        }
        (record.len() >= v3::LEN).then_some(())
    }

    /// Makes a form of the record that was just taken apart.
    fn add_form(&mut self, head: u32, counted: u16, key: Box<[u32]>) -> Option<u16> {
        let index = u16::try_from(self.forms.len()).ok().filter(|i| *i != NO_FORM)?;
        let kind = head as u16;
        let elements = &self.elements;
        let shape = shape_of(kind, elements, Choice::default());
        let is_known = |id| match kind {
            record_type3::FLOW => v4::is_known(id),
            _ => id == 0 || Extension::of(id).is_some(),
        };
        let form = Form {
            head,
            elements: counted,
            headers: self.headers.as_slice().into(),
            windows: windows(&self.headers),
            unknown: elements.iter().filter(|e| !is_known(e.id)).count() as u16,
            values: Values::of(kind, elements, &shape),
            shape: self.table.push(shape)?,
        };
        self.forms.push(form);
        self.by_headers.insert(key, index);
        Some(index)
    }

    /// The shape that the values of a record choose; the form's own where they do not matter.
    fn shape_by_values(&mut self, form: u16, record: &[u8], skipped: &mut Skipped) -> Option<u16> {
        let form = self.forms.get_mut(usize::from(form))?;
        let Some(values) = form.values.as_deref_mut() else { return Some(form.shape) };
        let choice = values.choose(record);
        if choice == Choice::default() {
            return Some(form.shape);
        }
        let known = values.shapes.get_mut(choice.index())?;
        if known.is_none() {
            *known = self.table.push(shape_of(values.kind, &values.elements, choice));
            if known.is_none() {
                skipped.too_many_shapes += 1;
            }
        }
        *known
    }
}

fn shape_of(kind: u16, elements: &[Element], choice: Choice) -> Shape {
    match kind {
        record_type3::FLOW => v4::shape(elements, choice),
        _ => v3::shape(elements, choice),
    }
}

/// A payload and who walks it.
struct Walk<'w, 'f> {
    walker: &'w mut Walker,
    payload: &'w [u8],
    found: &'w mut Found<'f>,
}

impl Work for Walk<'_, '_> {
    type Out = u32;

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) -> u32 {
        let Self { walker, payload, found } = self;
        let mut records = 0;
        let mut rest = payload;
        while let Some((kind, record, next)) = split_record(rest) {
            let here = rest;
            rest = next;
            if kind == record_type3::META {
                continue; // not counted by those who write it either
            }
            if matches!(kind, record_type::FLOW | record_type3::FLOW) {
                let at = (payload.len() - here.len()) as u32;
                let shape = walker.shape(lanes, here, record, found.skipped);
                if let Some((shape, form)) = shape {
                    let row = RowRef { at, len: record.len() as u16, shape };
                    found.index.push(row);
                    if let Some(form) = form {
                        let more = form.repeats(lanes, rest, row, found.index);
                        rest = rest.get(more * record.len()..).unwrap_or_default();
                        found.skipped.unknown_elements += more as u64 * u64::from(form.unknown);
                        records += more as u32;
                    }
                }
            } else {
                other_record(kind, record, found);
            }
            records += 1;
        }
        found.skipped.tail += rest.len() as u64;
        records
    }
}

/// Where forms of records of this size, with so many elements, are.
#[inline(always)]
fn set_of(size: u16, elements: u16) -> usize {
    usize::from(size.wrapping_mul(31) ^ elements.wrapping_mul(7)) % SETS
}

/// The headers of elements, 64 octets at a time.
fn windows(headers: &[(u16, u32)]) -> Box<[Window]> {
    let mut sorted = headers.to_vec();
    sorted.sort_unstable();
    let mut windows: Vec<Window> = Vec::new();
    for (at, word) in sorted {
        let at = usize::from(at);
        if windows.last().is_none_or(|last| at + 4 > last.at + 64) {
            windows.push(Window { at, octets: [0; 64], mask: 0 });
        }
        let Some(window) = windows.last_mut() else { continue };
        let from = at - window.at;
        for (room, octet) in window.octets.iter_mut().skip(from).zip(word.to_le_bytes()) {
            *room = octet;
        }
        window.mask |= 0xf << from;
    }
    windows.into()
}

impl Form {
    /// Whether the record that begins here, of this size, has these elements.
    #[inline(always)]
    fn is_of<L: Lanes>(&self, lanes: L, here: &[u8], record: &[u8]) -> bool {
        self.windows.iter().all(|window| {
            match here.get(window.at..).and_then(<[u8]>::first_chunk) {
                Some(octets) => lanes.equal(octets, &window.octets) & window.mask == window.mask,
                None => self.is_of_one_by_one(record), // at the end of the payload
            }
        })
    }

    /// Appends the rows at the beginning of `rest` that are of this form, as `row` is, which ends
    /// there; returns how many. Those close to the end of the payload may be left out.
    #[inline(always)]
    fn repeats<L: Lanes>(
        &self,
        lanes: L,
        rest: &[u8],
        row: RowRef,
        index: &mut Vec<RowRef>,
    ) -> usize {
        let len = usize::from(row.len);
        let reach = self.windows.last().map_or(0, |w| w.at + 64).max(len).max(8);
        let start = u64::from(self.head) | u64::from(self.elements) << 32;
        let (mut count, mut at) = (0, row.at);
        while let Some(here) = rest.get(count * len..count * len + reach)
            && let Some(octets) = here.first_chunk()
            // Type, size, and number of elements are six octets.
            && (u64::from_le_bytes(*octets) ^ start) << 16 == 0
            && self.windows.iter().all(|window| {
                let octets = here.get(window.at..).and_then(<[u8]>::first_chunk);
                octets.is_some_and(|o| lanes.equal(o, &window.octets) & window.mask == window.mask)
            })
        {
            count += 1;
            at += u32::from(row.len);
            index.push(RowRef { at, ..row });
        }
        count
    }

    /// The same, header by header.
    fn is_of_one_by_one(&self, record: &[u8]) -> bool {
        self.headers.iter().all(|(at, header)| {
            let at = usize::from(*at);
            record.get(at..at + 4) == Some(&header.to_le_bytes())
        })
    }
}

impl Values {
    /// What to look at in records with these elements, `None` if nothing.
    fn of(kind: u16, elements: &[Element], shape: &Shape) -> Option<Box<Self>> {
        let common = v3::Values::of(elements, shape);
        let event = (kind == record_type3::FLOW).then(|| v4::event_at(elements)).flatten();
        if !common.matter() && event.is_none() {
            return None;
        }
        Some(Box::new(Self {
            kind,
            elements: elements.to_vec(),
            common,
            event,
            shapes: [None; Choice::COUNT],
        }))
    }

    /// The rules of section 6.2.
    fn choose(&self, record: &[u8]) -> Choice {
        let events = self.event.map(|at| v4::events(record, at)).unwrap_or_default();
        Choice { events, ..self.common.choose(record) }
    }
}

fn other_record(kind: u16, record: &[u8], found: &mut Found<'_>) {
    if meta::is_known(kind) {
        if meta::decode(kind, record, found.meta).is_none() {
            found.skipped.malformed += 1;
        }
    } else if !matches!(kind, record_type::SLACK | record_type::IDENT | record_type::STATISTICS) {
        found.skipped.unknown_records += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use record::Field;
    use record::Rows;
    use std::cell::Cell;

    thread_local!(pub(super) static LOOK_UPS: Cell<usize> = const { Cell::new(0) });

    /// A record with these elements; data are given without their header.
    fn record(elements: &[(u16, &[u8])]) -> Vec<u8> {
        let mut out = vec![0; v3::LEN];
        for (id, data) in elements {
            out.extend_from_slice(&id.to_le_bytes());
            out.extend_from_slice(&(data.len() as u16 + 4).to_le_bytes());
            out.extend_from_slice(data);
        }
        let size = out.len() as u16;
        out[..2].copy_from_slice(&record_type::FLOW.to_le_bytes());
        out[2..4].copy_from_slice(&size.to_le_bytes());
        out[4..6].copy_from_slice(&(elements.len() as u16).to_le_bytes());
        out
    }

    struct Walked {
        walker: Walker,
        index: Vec<RowRef>,
        meta: Vec<MetaRecord>,
        skipped: Skipped,
        records: u32,
        payload: Vec<u8>,
    }

    impl Walked {
        fn rows(&self) -> Rows<'_> {
            Rows { bytes: &self.payload, index: &self.index, table: self.walker.table() }
        }
    }

    fn walk(records: &[Vec<u8>]) -> Walked {
        let mut w = Walked {
            walker: Walker::new(),
            index: Vec::new(),
            meta: Vec::new(),
            skipped: Skipped::default(),
            records: 0,
            payload: records.concat(),
        };
        let Walked { walker, index, meta, skipped, payload, .. } = &mut w;
        w.records = walker.walk(payload, &mut Found { index, meta, skipped });
        w
    }

    fn generic(first: u64) -> Vec<u8> {
        let mut out = vec![0; 48];
        out[..8].copy_from_slice(&first.to_le_bytes());
        out
    }

    #[test]
    fn headers_at_once_say_what_headers_one_by_one_say() {
        let long = [7; 90];
        let elements: &[(u16, &[u8])] = &[
            (1, &generic(5)),
            (2, &[1; 8]),
            (300, &long),
            (5, &[3; 8]),
            (6, &[2; 1]),
            (7, &[0; 9]),
        ];
        let whole = record(elements);
        // With much behind it, with a little, and with nothing.
        for behind in [200, 3, 0] {
            let mut w = walk(&[[whole.clone(), vec![0xff; behind]].concat()]);
            assert_eq!(w.walker.forms.len(), 1);
            for at in 0..whole.len() {
                w.payload[at] ^= 0x10;
                let form = &w.walker.forms[0];
                let record = &w.payload[..whole.len()];
                let one_by_one = form.is_of_one_by_one(record);
                assert_eq!(form.is_of(sys::lanes::Plain, &w.payload, record), one_by_one, "{at}");
                w.payload[at] ^= 0x10;
            }
            let windows = &w.walker.forms[0].windows;
            let looked_at: u32 = windows.iter().map(|w| w.mask.count_ones()).sum();
            assert_eq!((windows.len(), looked_at), (3, 4 * elements.len() as u32));
        }
    }

    /// Each record by a walker of its own.
    fn one_by_one(payload: &[u8]) -> (Vec<(u32, u16, Shape)>, Skipped, u32) {
        let (mut rows, mut all, mut records, mut rest) =
            (Vec::new(), Skipped::default(), 0, payload);
        while let Some((_, record, next)) = split_record(rest) {
            let at = (payload.len() - rest.len()) as u32;
            let w = walk(&[record.to_vec()]);
            let shapes = w.walker.table().shapes();
            let row = |r: &RowRef| (at + r.at, r.len, shapes[usize::from(r.shape)].clone());
            rows.extend(w.index.iter().map(row));
            all.add(&w.skipped);
            records += w.records;
            rest = next;
        }
        all.tail += rest.len() as u64;
        (rows, all, records)
    }

    #[test]
    fn rows_that_repeat_are_found_as_one_by_one() {
        let plain = record(&[(1, &generic(5)), (2, &[1; 8]), (5, &[3; 8])]);
        let other = record(&[(1, &generic(6)), (5, &[3; 8]), (2, &[1; 8])]);
        let unknown = record(&[(1, &generic(7)), (301, &[0; 30])]);
        let miscounted = [&plain[..4], &[9, 0], &plain[6..]].concat();
        let two_families = record(&[(2, &[0; 8]), (3, &[1; 32]), (1, &generic(9))]);
        let stranger = [&[77, 0, 12, 0][..], &[0; 8]].concat();
        let none = record(&[]);
        let all = [plain, other, unknown, miscounted, two_families, stranger, none];
        let mut seed = 7_usize;
        for round in 0..20 {
            let mut payload = Vec::new();
            while payload.len() < 4000 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695);
                let record = &all[(seed >> 40) % all.len()];
                (0..1 + (seed >> 50) % 6).for_each(|_| payload.extend_from_slice(record));
            }
            // Also where one of the last records is cut.
            for len in (payload.len() - 300 * usize::from(round == 0)..=payload.len()).rev() {
                let w = walk(&[payload[..len].to_vec()]);
                let shapes = w.walker.table().shapes();
                let row = |r: &RowRef| (r.at, r.len, shapes[usize::from(r.shape)].clone());
                let got = (w.index.iter().map(row).collect(), w.skipped, w.records);
                assert!(got == one_by_one(&payload[..len]), "{round}, {len} octets");
            }
        }
    }

    #[test]
    fn rows_of_one_sequence_share_a_shape() {
        let a = record(&[(1, &generic(5)), (2, &[1; 8])]);
        // As long and with as many elements, in another order.
        let b = record(&[(2, &[1; 8]), (1, &generic(6))]);
        let w = walk(&[a.clone(), b.clone(), a.clone(), b, a]);
        let shapes: Vec<u16> = w.index.iter().map(|r| r.shape).collect();
        assert_eq!(shapes, [0, 1, 0, 1, 0]);
        let firsts: Vec<u64> = w.rows().iter().map(|r| r.number(Field::First)).collect();
        assert_eq!(firsts, [5, 6, 5, 6, 5]);
        assert_eq!((w.records, w.skipped), (5, Skipped::default()));
    }

    #[test]
    fn records_with_extensions_left_open_are_known_again() {
        // Layout 3: extension 1 at 32, and 4, which the record counts and does not have.
        let mut open = vec![0; 32 + 48];
        open[0] = record_type3::FLOW as u8;
        open[2] = open.len() as u8;
        open[4] = 2;
        open[v4::BITMAP] = 1 << 1 | 1 << 4;
        open[v4::LEN] = 32;
        let plain = record(&[(1, &generic(5))]);
        for one in [open, plain] {
            LOOK_UPS.set(0);
            let w = walk(&vec![one; 5]);
            assert_eq!((w.index.len(), w.skipped), (5, Skipped::default()));
            assert_eq!(LOOK_UPS.get(), 1, "taken apart once");
        }
    }

    #[test]
    fn many_sequences_of_one_size_are_told_apart() {
        // More than the candidates that are tried first, over and over.
        let ids = [2u16, 6, 7, 16, 20, 26];
        let records: Vec<Vec<u8>> =
            (0..60).map(|n| record(&[(ids[n % 6], &(n as u64).to_le_bytes())])).collect();
        let w = walk(&records);
        assert_eq!(w.walker.table().shapes().len(), 6);
        for (n, r) in w.index.iter().enumerate() {
            assert_eq!(usize::from(r.shape), n % 6);
        }
    }

    #[test]
    fn a_start_of_zero_is_the_time_of_the_event() {
        let nat = {
            let mut data = [0; 16];
            data[..8].copy_from_slice(&77u64.to_le_bytes());
            data
        };
        let asa = {
            let mut data = [0; 16];
            data[..8].copy_from_slice(&66u64.to_le_bytes());
            data
        };
        for (what, elements, want) in [
            ("no event", &[(1, &generic(0)[..])][..], 0),
            ("NAT", &[(1, &generic(0)), (25, &nat)], 77),
            ("firewall", &[(1, &generic(0)), (19, &asa)], 66),
            ("both", &[(25, &nat), (19, &asa), (1, &generic(0))], 66),
            ("a start of its own", &[(1, &generic(5)), (25, &nat)], 5),
        ] {
            // Twice: when the sequence is new, and when it is known.
            let w = walk(&[record(elements), record(elements)]);
            for row in w.rows().iter() {
                assert_eq!(row.number(Field::First), want, "{what}");
            }
        }
    }

    #[test]
    fn values_decide_between_two_families() {
        let layer2 = |version| {
            let mut data = [0; 32];
            data[26] = version;
            data
        };
        for (what, v4, version, is_v4) in [
            ("IPv4 addresses", 9, None, true),
            ("none", 0, None, false),
            ("version 6", 9, Some(6), false),
            ("version 4", 0, Some(4), true),
            ("version 0", 9, Some(0), true),
        ] {
            let (v4, layer2) = ([v4; 8], version.map(layer2));
            let mut elements: Vec<(u16, &[u8])> = vec![(2, &v4), (3, &[7; 32])];
            elements.extend(layer2.as_ref().map(|l| (38, &l[..])));
            let w = walk(&[record(&elements), record(&elements)]);
            for row in w.rows().iter() {
                let len = row.bytes(Field::SrcAddr).unwrap().len();
                assert_eq!(len, if is_v4 { 4 } else { 16 }, "{what}");
            }
        }
    }

    #[test]
    fn both_choices_of_one_sequence_are_kept_apart() {
        let mut event = [0; 16];
        event[0] = 77;
        let make = |start: u64, v4: u8| {
            record(&[(1, &generic(start)), (2, &[v4; 8]), (3, &[7; 32]), (25, &event)])
        };
        let cases = [(0, 9), (0, 0), (5, 9), (5, 0)];
        let records: Vec<_> = cases.iter().cycle().take(12).map(|(s, v4)| make(*s, *v4)).collect();
        let w = walk(&records);
        assert_eq!(w.walker.table().shapes().len(), 4);
        for (row, (start, v4)) in w.rows().iter().zip(cases.iter().cycle()) {
            assert_eq!(row.number(Field::First), if *start == 0 { 77 } else { *start });
            let len = row.bytes(Field::DstAddr).unwrap().len();
            assert_eq!(len, if *v4 == 0 { 16 } else { 4 });
        }
    }

    #[test]
    fn what_is_passed_over_is_counted_by_cause() {
        let flow = record(&[(1, &generic(1))]);
        let mut beyond = flow.clone();
        beyond[14] = 53; // one octet longer than the record has
        let mut empty = flow.clone();
        empty[14] = 3; // less than its own header
        let mut too_many = flow.clone();
        too_many[4] = 2;
        let short = vec![11, 0, 11, 0, 0, 0, 0, 0, 0, 0, 0];
        let unknown = vec![99, 0, 6, 0, 1, 2];
        let slack = vec![0, 1, 8, 0, 0, 0, 0, 0];
        let stranger = record(&[(0, &[1, 2, 3]), (1, &generic(2)), (300, &[9; 5])]);
        let tail = vec![11, 0, 3, 0];
        let all = [flow, beyond, empty, too_many, short, unknown, slack, stranger, tail];
        let w = walk(&all);
        assert_eq!(w.records, 8);
        let firsts: Vec<u64> = w.rows().iter().map(|r| r.number(Field::First)).collect();
        assert_eq!(firsts, [1, 2]);
        let want = Skipped {
            unknown_records: 1,
            unknown_elements: 1,
            malformed: 4,
            too_many_shapes: 0,
            too_many_names: 0,
            tail: 4,
        };
        assert_eq!(w.skipped, want);
    }

    #[test]
    fn a_block_of_nothing_but_new_sequences_stays_within_bounds() {
        // 70 000 sequences: two elements whose ids differ.
        let records: Vec<Vec<u8>> = (0..70_000u32)
            .map(|n| record(&[(1000 + (n % 300) as u16, &[]), (2000 + (n / 300) as u16, &[])]))
            .collect();
        let mut w = walk(&records);
        assert_eq!(w.index.len() as u64 + w.skipped.too_many_shapes, 70_000);
        assert!(w.skipped.too_many_shapes > 0);
        let id = w.walker.table().id();
        w.index.clear();
        let mut found = Found { index: &mut w.index, meta: &mut w.meta, skipped: &mut w.skipped };
        w.walker.walk(&records[0], &mut found);
        assert_ne!(w.walker.table().id(), id, "the next block starts anew");
        assert_eq!(w.walker.table().shapes().len(), 1);
    }
}
