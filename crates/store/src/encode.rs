//! Flows as V3 records (6, 14).
//!
//! Which elements a record gets depends on which fields the flow has, and flows that follow each
//! other mostly have the same. So the record is laid out once for a set of fields: a template with
//! all headers in place, and runs of octets to copy into it. Fields of fixed width lie at the same
//! place in every [`Flow`], so the runs hold for every flow with that set.

use crate::extension_set::Extensions;
use record::v3::{self, Extension, HEADER_FIELDS, Tail};
use record::{Field, Flow, Kind, Slot};

/// Lays out flows and remembers how.
#[derive(Default)]
pub(crate) struct Encoder {
    /// The last ones used; the first is tried first.
    plans: Vec<Plan>,
    keep: Extensions,
}

/// How flows with one set of fields are laid out.
struct Plan {
    key: Key,
    /// The record without its variable elements.
    template: Vec<u8>,
    runs: Vec<Run>,
    tails: Vec<TailPlan>,
    elements: u16,
    has_username: bool,
}

/// What decides the layout: fields present, and the family of each address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Key {
    present: u128,
    v6: u128,
}

/// Octets to copy from a flow into the template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    from: u16,
    to: u16,
    len: u16,
}

/// An element of variable length, appended to the template.
struct TailPlan {
    id: u16,
    tail: Tail,
    /// Octets of its fixed part, which no run can fill because their place varies.
    fixed: u16,
    fields: Vec<(Field, u16)>,
}

const ADDRS: u128 = {
    let (mut mask, mut i) = (0, 0);
    while i < Field::COUNT {
        if matches!(Field::ALL[i].kind(), Kind::Addr) {
            mask |= 1 << i;
        }
        i += 1;
    }
    mask
};

/// Plans kept: sets of fields that alternate in one stream.
const PLANS: usize = 16;

impl Encoder {
    /// One that leaves out what is not to be kept.
    pub(crate) fn new(keep: Extensions) -> Self {
        Self { plans: Vec::new(), keep }
    }

    /// Whether it leaves nothing out.
    pub(crate) fn keeps_all(&self) -> bool {
        self.keep == Extensions::ALL
    }

    /// Appends the record of `flow`. `false`, with nothing appended, if it would exceed the
    /// 65 535 octets a record may have.
    pub(crate) fn encode(&mut self, flow: &Flow, out: &mut Vec<u8>) -> bool {
        let key = Key::of(flow);
        match self.plans.iter().position(|p| p.key == key) {
            Some(0) => {}
            Some(i) => self.plans.swap(0, i),
            None => {
                self.plans.truncate(PLANS - 1);
                self.plans.insert(0, Plan::new(key, flow, self.keep));
            }
        }
        self.plans.first().is_some_and(|plan| plan.write(flow, out))
    }
}

impl Key {
    #[inline]
    fn of(flow: &Flow) -> Self {
        let shape = flow.as_row().shape();
        let present = shape.present();
        let (mut v6, mut addrs) = (0, present & ADDRS);
        while addrs != 0 {
            let i = addrs.trailing_zeros();
            addrs &= addrs - 1;
            if let Some(field) = Field::ALL.get(i as usize)
                && shape.slot(*field).len == 16
            {
                v6 |= 1 << i;
            }
        }
        Self { present, v6 }
    }

    const fn has(&self, field: Field) -> bool {
        self.present & 1 << field as usize != 0
    }
}

impl Plan {
    fn new(key: Key, flow: &Flow, keep: Extensions) -> Self {
        let mut plan = Self {
            key,
            template: vec![0; v3::LEN],
            runs: Vec::new(),
            tails: Vec::new(),
            elements: 0,
            has_username: key.has(Field::Username) && keep.has(24),
        };
        plan.template[..2].copy_from_slice(&crate::layout::record_type::FLOW.to_le_bytes());
        for (field, at) in HEADER_FIELDS {
            plan.copy(flow, field, at);
        }
        for e in v3::needed(key.present, key.v6).filter(|e| keep.has(e.id)) {
            plan.elements += 1;
            match e.tail {
                None => plan.add_fixed(e, flow),
                Some(tail) => plan.tails.push(TailPlan {
                    id: e.id,
                    tail,
                    fixed: e.len,
                    fields: e.fields.iter().copied().filter(|(f, _)| key.has(*f)).collect(),
                }),
            }
        }
        plan.template[v3::ELEMENTS..v3::ELEMENTS + 2].copy_from_slice(&plan.elements.to_le_bytes());
        plan.join_runs();
        plan
    }

    fn add_fixed(&mut self, e: &Extension, flow: &Flow) {
        let data = self.template.len() + v3::ELEMENT_HEADER;
        put_element_header(e.id, usize::from(e.len), &mut self.template);
        self.template.resize(data + usize::from(e.len), 0);
        for (field, at) in e.fields {
            let to = (data + usize::from(*at)) as u16;
            let is_mixed =
                field.kind() == Kind::Addr && e.family == 16 && flow.slot(*field).len == 4;
            if is_mixed {
                // Beside an IPv6 address an IPv4 one goes as ::ffff:a.b.c.d: the low half is a
                // little-endian u64.
                self.copy(flow, *field, to + 8);
                let mark = usize::from(to) + 12;
                self.template[mark..mark + 2].copy_from_slice(&[0xFF, 0xFF]);
            } else {
                self.copy(flow, *field, to);
            }
        }
        if e.id == 18 {
            // The exporter's number once more.
            self.copy(flow, Field::ExporterId, data as u16 + 8);
        }
    }

    fn copy(&mut self, flow: &Flow, field: Field, to: u16) {
        let Slot { at, len } = flow.slot(field);
        // The user name is the one text that lies in a fixed part: its place in the flow varies.
        if len > 0 && field != Field::Username {
            self.runs.push(Run { from: at, to, len });
        }
    }

    /// Neighbours in the flow that are neighbours in the record, too, become one run.
    fn join_runs(&mut self) {
        self.runs.sort_by_key(|r| r.to);
        self.runs.dedup_by(|next, run| {
            let joins = run.from + run.len == next.from && run.to + run.len == next.to;
            if joins {
                run.len += next.len;
            }
            joins
        });
    }

    #[inline]
    fn write(&self, flow: &Flow, out: &mut Vec<u8>) -> bool {
        let start = out.len();
        out.extend_from_slice(&self.template);
        let bytes = flow.as_row().as_bytes();
        let record = out.get_mut(start..).unwrap_or_default();
        for run in &self.runs {
            copy_run(bytes, record, *run);
        }
        if let Some(flags) = record.get_mut(v3::FLAGS) {
            *flags &= !v3::SCRATCH_FLAG;
        }
        if self.has_username {
            write_username(flow, record);
        }
        for tail in &self.tails {
            tail.write(flow, out);
        }
        let size = out.len() - start;
        match (u16::try_from(size), out.get_mut(start + 2..start + 4)) {
            (Ok(size), Some(room)) => {
                room.copy_from_slice(&size.to_le_bytes());
                true
            }
            _ => {
                out.truncate(start);
                false
            }
        }
    }
}

/// Copies one run. The usual lengths are spelled out so that each becomes a move or two.
#[inline]
fn copy_run(from: &[u8], to: &mut [u8], run: Run) {
    let from = from.get(usize::from(run.from)..).unwrap_or_default();
    let to = to.get_mut(usize::from(run.to)..).unwrap_or_default();
    match run.len {
        1 => copy::<1>(from, to),
        2 => copy::<2>(from, to),
        4 => copy::<4>(from, to),
        8 => copy::<8>(from, to),
        16 => copy::<16>(from, to),
        32 => copy::<32>(from, to),
        48 => copy::<48>(from, to),
        n => {
            let n = usize::from(n);
            if let (Some(from), Some(to)) = (from.get(..n), to.get_mut(..n)) {
                to.copy_from_slice(from);
            }
        }
    }
}

#[inline]
fn copy<const N: usize>(from: &[u8], to: &mut [u8]) {
    if let (Some(from), Some(to)) = (from.first_chunk::<N>(), to.first_chunk_mut::<N>()) {
        *to = *from;
    }
}

/// Extension 24 is of fixed size, so it is in the template; its header tells where.
fn write_username(flow: &Flow, record: &mut [u8]) {
    let at = v3::elements(record).flatten().find(|e| e.id == 24).map(|e| e.at);
    if let (Some(at), Some(name)) = (at, flow.as_row().bytes(Field::Username)) {
        let at = usize::from(at);
        if let Some(room) = record.get_mut(at..at + name.len()) {
            room.copy_from_slice(name);
        }
    }
}

impl TailPlan {
    fn write(&self, flow: &Flow, out: &mut Vec<u8>) {
        let row = flow.as_row();
        let value = match self.tail.zeros {
            0 => row.bytes(self.tail.field),
            _ => row.text(self.tail.field), // one that came from a file has zeros of its own
        }
        .unwrap_or_default();
        let zeros = usize::from(self.tail.zeros);
        let tail = (value.len() + zeros).next_multiple_of(usize::from(self.tail.align));
        let fixed = usize::from(self.fixed);
        put_element_header(self.id, fixed + tail, out);
        let data = out.len();
        out.resize(data + fixed, 0);
        for (field, at) in &self.fields {
            let value = row.bytes(*field).unwrap_or_default();
            let at = data + usize::from(*at);
            if let Some(room) = out.get_mut(at..at + value.len()) {
                room.copy_from_slice(value);
            }
        }
        out.extend_from_slice(value);
        out.resize(data + fixed + tail, 0);
    }
}

fn put_element_header(id: u16, data_len: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&id.to_le_bytes());
    // An element longer than 65 535 octets makes the record too long, which its writer checks.
    out.extend_from_slice(&((data_len + v3::ELEMENT_HEADER) as u16).to_le_bytes());
}
