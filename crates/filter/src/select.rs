//! The filter over batches of rows, 64 rows to a word.
//!
//! A program is resolved against a shape once: fields become offsets, tests of missing fields
//! become constants, and the cheap tests of an `and` or `or` come first. Shapes in which the
//! filter's fields lie at the same places share one plan. Each test then writes a word of answers
//! for the rows it is asked about, and is not asked about rows that are decided.
//!
//! Rows that have no plan are asked one at a time, test by test, with the same kernels: rows shorter
//! than their shape says, and shapes beyond the memory that plans may take.

use crate::program::{AddrSet, Leaf, Node, is_full};
use crate::ratio::Ratio;
use crate::sets::{Bitmap, Number, RangeSet};
use crate::{Context, Filter, eval};
use record::{Field, Row, RowRef, Rows, Selection, Shape, ShapeTable, Slot};
use std::collections::HashMap;

/// Runs one filter over batches of rows. Keeps what it has resolved, so use one for many batches.
#[derive(Debug)]
pub struct Evaluator<'f> {
    filter: &'f Filter,
    /// The [`ShapeTable::id`] that `plan_of` is for.
    table: u64,
    /// For each shape of the table its plan, or [`BY_ROW`].
    plan_of: Vec<u16>,
    plans: Vec<Plan<'f>>,
    /// Plans by the places of the filter's fields.
    by_slots: HashMap<Vec<(u16, u16)>, u16>,
    /// Steps of all plans.
    steps: usize,
}

/// In place of a plan: ask one row at a time.
const BY_ROW: u16 = u16::MAX;
/// In place of a plan: there is no such row.
const NO_ROW: u16 = u16::MAX - 1;
/// Plans there may be at most.
const MAX_PLANS: usize = NO_ROW as usize;
/// Steps that all plans of an evaluator may have together.
const MAX_STEPS: usize = 1 << 21;

/// A program resolved against the places of its fields.
#[derive(Debug)]
struct Plan<'f> {
    root: Step<'f>,
    /// Octets a row must have so that all fields lie within.
    min_len: u16,
}

#[derive(Debug)]
enum Step<'f> {
    Const(bool),
    Kernel(Kernel<'f>),
    Not(Box<Self>),
    All(Vec<Self>),
    Any(Vec<Self>),
}

/// A test at an offset in the row. Numbers are in range if `(n & mask) - low <= span`.
#[derive(Debug)]
enum Kernel<'f> {
    U8 {
        at: u16,
        mask: u8,
        low: u8,
        span: u8,
    },
    U16 {
        at: u16,
        mask: u16,
        low: u16,
        span: u16,
    },
    U32 {
        at: u16,
        mask: u32,
        low: u32,
        span: u32,
    },
    U64 {
        at: u16,
        mask: u64,
        low: u64,
        span: u64,
    },
    U128 {
        at: u16,
        low: u128,
        span: u128,
    },
    Bits8 {
        at: u16,
        bits: &'f Bitmap,
    },
    Bits16 {
        at: u16,
        bits: &'f Bitmap,
    },
    /// Numbers of `len` octets, masked.
    Set {
        at: u16,
        len: u16,
        mask: u64,
        set: &'f RangeSet<u64>,
    },
    Set32 {
        at: u16,
        set: &'f RangeSet<u32>,
    },
    Set128 {
        at: u16,
        set: &'f RangeSet<u128>,
    },
    Ratio(Ratio),
    /// Everything else, row by row.
    Leaf(&'f Leaf),
}

/// Up to 64 rows.
struct Batch<'a> {
    rows: &'a Rows<'a>,
    refs: &'a [RowRef],
    /// Index of the first in `rows`.
    first: usize,
    ctx: &'a Context<'a>,
}

impl<'f> Evaluator<'f> {
    pub(crate) fn new(filter: &'f Filter) -> Self {
        Self {
            filter,
            table: 0,
            plan_of: Vec::new(),
            plans: Vec::new(),
            by_slots: HashMap::new(),
            steps: 0,
        }
    }

    /// Sets `out` to the rows that pass. A row that does not lie within the batch's octets never
    /// passes, not even `any`.
    pub fn select(&mut self, rows: &Rows<'_>, ctx: &Context<'_>, out: &mut Selection) {
        self.meet(rows.table);
        out.reset(rows.len(), false);
        for (i, (refs, word)) in rows.index.chunks(64).zip(out.words_mut()).enumerate() {
            let batch = Batch { rows, refs, first: i * 64, ctx };
            *word = match self.common_plan(&batch) {
                Some(plan) => run(&plan.root, &batch, batch.all()),
                None => self.mixed(&batch),
            };
        }
    }

    /// Resolves the shapes that are new.
    fn meet(&mut self, table: &ShapeTable) {
        if self.table != table.id() {
            self.table = table.id();
            self.plan_of.clear();
            if self.steps > MAX_STEPS || self.plans.len() == MAX_PLANS {
                self.plans.clear();
                self.by_slots.clear();
                self.steps = 0;
            }
        }
        for shape in table.shapes().get(self.plan_of.len()..).unwrap_or(&[]) {
            let plan = self.plan(shape);
            self.plan_of.push(plan);
        }
    }

    fn plan(&mut self, shape: &Shape) -> u16 {
        let slots = self.filter.fields().map(|f| shape.slot(f));
        let key: Vec<_> = slots.map(|s| (s.at, s.len)).collect();
        if let Some(plan) = self.by_slots.get(&key) {
            return *plan;
        }
        if self.steps > MAX_STEPS || self.plans.len() == MAX_PLANS {
            return BY_ROW;
        }
        let ends = key.iter().filter(|s| s.1 != 0).map(|s| u32::from(s.0) + u32::from(s.1));
        let Ok(min_len) = u16::try_from(ends.max().unwrap_or(0)) else { return BY_ROW };
        let root = resolve(self.filter.program.root(), shape);
        self.steps += 1 + root.size();
        let plan = self.plans.len() as u16;
        self.plans.push(Plan { root, min_len });
        self.by_slots.insert(key, plan);
        plan
    }

    /// The plan of all rows, if they have one shape and lie where they should.
    #[inline]
    fn common_plan(&self, batch: &Batch<'_>) -> Option<&Plan<'f>> {
        let shape = batch.refs.first()?.shape;
        let plan = self.plans.get(usize::from(*self.plan_of.get(usize::from(shape))?))?;
        // Beyond 4 GiB `mixed` looks more closely.
        let octets = batch.rows.bytes.len().min(u32::MAX as usize - 1) as u32;
        let fits = |r: &RowRef| {
            (r.shape == shape)
                & (r.len >= plan.min_len)
                & (r.at.saturating_add(r.len.into()) <= octets)
        };
        // Without a way out in between the compiler does several rows at once.
        batch.refs.iter().fold(true, |all, r| all & fits(r)).then_some(plan)
    }

    /// Rows of several shapes: each plan for its own rows.
    fn mixed(&self, batch: &Batch<'_>) -> u64 {
        let mut plans = [NO_ROW; 64];
        for (plan, r) in plans.iter_mut().zip(batch.refs) {
            *plan = self.plan_of_row(batch, r);
        }
        let mut found = 0;
        let mut left = batch.all();
        while left != 0 {
            let plan = plans[left.trailing_zeros() as usize % 64];
            let mine = pack(&plans.map(|p| u8::from(p == plan))) & left;
            left &= !mine;
            found |= match self.plans.get(usize::from(plan)) {
                Some(plan) => run(&plan.root, batch, mine),
                None if plan == BY_ROW => self.by_row(batch, mine),
                None => 0,
            };
        }
        found
    }

    #[inline]
    fn plan_of_row(&self, batch: &Batch<'_>, r: &RowRef) -> u16 {
        if u64::from(r.at) + u64::from(r.len) > batch.rows.bytes.len() as u64 {
            return NO_ROW;
        }
        let Some(&plan) = self.plan_of.get(usize::from(r.shape)) else { return NO_ROW };
        match self.plans.get(usize::from(plan)) {
            Some(p) if r.len >= p.min_len => plan,
            _ => BY_ROW,
        }
    }

    /// Tests what the plan would have been, of the fields that lie within the row.
    #[cold]
    fn by_row(&self, batch: &Batch<'_>, active: u64) -> u64 {
        each_bit(active, |i| {
            batch.row(i).is_some_and(|row| {
                let len = row.as_bytes().len();
                let mut shape = row.shape().clone();
                for field in self.filter.fields() {
                    let Slot { at, len: width } = shape.slot(field);
                    if usize::from(at) + usize::from(width) > len {
                        shape.set(field, 0, 0);
                    }
                }
                passes(self.filter.program.root(), &shape, batch, i)
            })
        })
    }
}

/// Whether row `i`, in which the fields lie as `shape` says, passes.
fn passes(node: &Node, shape: &Shape, batch: &Batch<'_>, i: usize) -> bool {
    match node {
        Node::Const(c) => *c,
        Node::Leaf(leaf) => run(&resolve_leaf(leaf, shape), batch, 1 << i) != 0,
        Node::Not(inner) => !passes(inner, shape, batch, i),
        Node::All(parts) => parts.iter().all(|p| passes(p, shape, batch, i)),
        Node::Any(parts) => parts.iter().any(|p| passes(p, shape, batch, i)),
    }
}

impl<'a> Batch<'a> {
    /// A bit for each row.
    const fn all(&self) -> u64 {
        match self.refs.len() {
            0 => 0,
            n => u64::MAX >> (64 - n),
        }
    }

    fn row(&self, i: usize) -> Option<Row<'a>> {
        self.rows.row(self.first + i)
    }

    fn count(&self, i: usize) -> u64 {
        self.ctx.first_count.wrapping_add((self.first + i) as u64)
    }
}

impl Step<'_> {
    /// Steps it is made of.
    fn size(&self) -> usize {
        match self {
            Self::Const(_) | Self::Kernel(_) => 1,
            Self::Not(inner) => 1 + inner.size(),
            Self::All(parts) | Self::Any(parts) => 1 + parts.iter().map(Self::size).sum::<usize>(),
        }
    }

    /// What it takes to run it, roughly in loads and compares.
    fn cost(&self) -> u32 {
        match self {
            Self::Const(_) => 0,
            Self::Kernel(kernel) => match kernel {
                Kernel::U8 { .. }
                | Kernel::U16 { .. }
                | Kernel::U32 { .. }
                | Kernel::U64 { .. } => 2,
                Kernel::U128 { .. } | Kernel::Bits8 { .. } | Kernel::Bits16 { .. } => 3,
                Kernel::Set { .. } | Kernel::Set32 { .. } | Kernel::Set128 { .. } => 8,
                Kernel::Leaf(Leaf::Ident(_)) => 1,
                Kernel::Ratio(_) => 12,
                Kernel::Leaf(Leaf::Pattern { .. }) => 200,
                Kernel::Leaf(Leaf::Message { wanted, .. }) => wanted.cost(),
                Kernel::Leaf(_) => 16,
            },
            Self::Not(inner) => inner.cost(),
            Self::All(parts) | Self::Any(parts) => {
                parts.iter().fold(0, |sum, p| sum.saturating_add(p.cost()))
            }
        }
    }
}

fn resolve<'f>(node: &'f Node, shape: &Shape) -> Step<'f> {
    match node {
        Node::Const(c) => Step::Const(*c),
        Node::Leaf(leaf) => resolve_leaf(leaf, shape),
        Node::Not(inner) => match resolve(inner, shape) {
            Step::Const(c) => Step::Const(!c),
            step => Step::Not(Box::new(step)),
        },
        Node::All(parts) => join(parts, shape, true, Step::All),
        Node::Any(parts) => join(parts, shape, false, Step::Any),
    }
}

/// What it takes to test rows of `shape`, roughly in loads and compares.
pub(crate) fn cost(node: &Node, shape: &Shape) -> u32 {
    resolve(node, shape).cost()
}

/// The parts of an `and` (`neutral` is true) or `or` that are not constant, cheapest first.
fn join<'f>(
    parts: &'f [Node],
    shape: &Shape,
    neutral: bool,
    join: fn(Vec<Step<'f>>) -> Step<'f>,
) -> Step<'f> {
    let mut steps = Vec::new();
    for part in parts {
        match resolve(part, shape) {
            Step::Const(c) if c == neutral => {}
            Step::Const(_) => return Step::Const(!neutral),
            step => steps.push(step),
        }
    }
    steps.sort_by_cached_key(Step::cost);
    match steps.len() {
        0 => Step::Const(neutral),
        1 => steps.remove(0),
        _ => join(steps),
    }
}

fn resolve_leaf<'f>(leaf: &'f Leaf, shape: &Shape) -> Step<'f> {
    let has = |field, width: u16| shape.slot(field).len == width;
    let kernel = match leaf {
        Leaf::Number { key, set, bits } => {
            let Slot { at, len } = shape.slot(key.field);
            if !matches!(len, 1 | 2 | 4 | 8) {
                return Step::Const(key.or_zero && set.contains(0));
            }
            return number(at, len, key.mask, set, bits.as_ref());
        }
        Leaf::Addr { field, addrs: AddrSet { v4, v6 } } => {
            let Slot { at, len } = shape.slot(*field);
            return match (len, v4.ranges(), v6.ranges()) {
                (4, [], _) | (16, _, []) => Step::Const(false),
                (4, [(low, high)], _) => {
                    Step::Kernel(Kernel::U32 { at, mask: u32::MAX, low: *low, span: high - low })
                }
                (4, ..) => Step::Kernel(Kernel::Set32 { at, set: v4 }),
                (16, _, [(low, high)]) => {
                    Step::Kernel(Kernel::U128 { at, low: *low, span: high - low })
                }
                (16, ..) => Step::Kernel(Kernel::Set128 { at, set: v6 }),
                _ => Step::Const(false),
            };
        }
        Leaf::Masked { field, mask, addr } if has(*field, 4) => {
            Kernel::U32 { at: shape.slot(*field).at, mask: *mask, low: *addr, span: 0 }
        }
        Leaf::Rate { rate, set } => match Ratio::new(*rate, set, shape) {
            Some(ratio) => Kernel::Ratio(ratio),
            None => return Step::Const(false),
        },
        Leaf::Width { field, octets } => return Step::Const(has(*field, *octets)),
        Leaf::Masked { .. } => return Step::Const(false),
        Leaf::Text { field, .. }
        | Leaf::Pattern { field, .. }
        | Leaf::Message { field, .. }
        | Leaf::Tor { field, .. }
            if !shape.has(*field) =>
        {
            return Step::Const(false);
        }
        Leaf::Acl { field, .. } if !has(*field, 12) => return Step::Const(false),
        Leaf::Equal(a, b) if !shape.has(*a) || !shape.has(*b) => return Step::Const(false),
        Leaf::Block { port } if !shape.has(*port) => return Step::Const(false),
        other => Kernel::Leaf(other),
    };
    Step::Kernel(kernel)
}

/// A number of 1, 2, 4 or 8 octets.
fn number<'f>(
    at: u16,
    len: u16,
    mask: u64,
    set: &'f RangeSet<u64>,
    bits: Option<&'f Bitmap>,
) -> Step<'f> {
    let max = u64::MAX >> (64 - 8 * u32::from(len));
    if is_full(set, len) {
        return Step::Const(true);
    }
    let [(low, high)] = *set.ranges() else {
        return Step::Kernel(match (len, bits) {
            (1, Some(bits)) if mask == u64::MAX => Kernel::Bits8 { at, bits },
            (2, Some(bits)) if mask == u64::MAX => Kernel::Bits16 { at, bits },
            _ => Kernel::Set { at, len, mask, set },
        });
    };
    if low > max {
        return Step::Const(false);
    }
    let span = high.min(max) - low;
    // `low`, `span` and so much of the mask as counts fit into `len` octets.
    Step::Kernel(match len {
        1 => Kernel::U8 { at, mask: mask as u8, low: low as u8, span: span as u8 },
        2 => Kernel::U16 { at, mask: mask as u16, low: low as u16, span: span as u16 },
        4 => Kernel::U32 { at, mask: mask as u32, low: low as u32, span: span as u32 },
        _ => Kernel::U64 { at, mask, low, span },
    })
}

/// Which of the `active` rows pass.
fn run(step: &Step<'_>, batch: &Batch<'_>, active: u64) -> u64 {
    match step {
        Step::Const(true) => active,
        Step::Const(false) => 0,
        Step::Kernel(kernel) => kernel.run(batch, active),
        Step::Not(inner) => active & !run(inner, batch, active),
        Step::All(parts) => {
            let mut left = active;
            for part in parts {
                if left == 0 {
                    break;
                }
                left = run(part, batch, left);
            }
            left
        }
        Step::Any(parts) => {
            let mut left = active;
            for part in parts {
                if left == 0 {
                    break;
                }
                left &= !run(part, batch, left);
            }
            active & !left
        }
    }
}

impl Kernel<'_> {
    fn run(&self, b: &Batch<'_>, active: u64) -> u64 {
        match *self {
            Self::Ratio(ref ratio) => {
                each_bit(active, |i| ratio.is_in_range(b.rows.row_bytes(b.first + i)))
            }
            Self::U8 { at, mask, low, span } => {
                scan(b, at, active, |[n]: [u8; 1]| (n & mask).wrapping_sub(low) <= span)
            }
            Self::U16 { at, mask, low, span } => {
                scan(b, at, active, |n| (u16::from_le_bytes(n) & mask).wrapping_sub(low) <= span)
            }
            Self::U32 { at, mask, low, span } => {
                scan(b, at, active, |n| (u32::from_le_bytes(n) & mask).wrapping_sub(low) <= span)
            }
            Self::U64 { at, mask, low, span } => {
                scan(b, at, active, |n| (u64::from_le_bytes(n) & mask).wrapping_sub(low) <= span)
            }
            Self::U128 { at, low, span } => {
                scan(b, at, active, |n| wide(n).wrapping_sub(low) <= span)
            }
            Self::Bits8 { at, bits } => scan(b, at, active, |[n]| bits.contains(n.into())),
            Self::Bits16 { at, bits } => {
                scan(b, at, active, |n| bits.contains(u16::from_le_bytes(n)))
            }
            Self::Set { at, len, mask, set } => match len {
                1 => scan(b, at, active, |[n]| set.contains(u64::from(n) & mask)),
                2 => masked(b, at, active, |n| u16::from_le_bytes(n).into(), mask, set),
                4 => masked(b, at, active, |n| u32::from_le_bytes(n).into(), mask, set),
                _ => masked(b, at, active, u64::from_le_bytes, mask, set),
            },
            Self::Set32 { at, set } => look_up(b, at, active, set, u32::from_le_bytes),
            Self::Set128 { at, set } => look_up(b, at, active, set, wide),
            Self::Leaf(leaf) => by_leaf(leaf, b, active),
        }
    }
}

fn masked<const N: usize>(
    b: &Batch<'_>,
    at: u16,
    active: u64,
    number: impl Fn([u8; N]) -> u64,
    mask: u64,
    set: &RangeSet<u64>,
) -> u64 {
    look_up(b, at, active, set, |n| number(n) & mask)
}

/// Loads the numbers of the rows and looks those that the set may hold up together; few are looked
/// up one at a time.
fn look_up<const N: usize, T: Number>(
    b: &Batch<'_>,
    at: u16,
    active: u64,
    set: &RangeSet<T>,
    number: impl Fn([u8; N]) -> T,
) -> u64 {
    // The octets of rows that are asked for are there, or their plan would be another.
    let load = |r: &RowRef| octets(b, r, at).map_or(T::MIN, |octets| number(*octets));
    if active.count_ones() <= FEW {
        return each_bit(active, |i| b.refs.get(i).is_some_and(|r| set.contains(load(r))));
    }
    let mut numbers = [T::MIN; 64];
    let mut likely = 0;
    for (i, (n, r)) in numbers.iter_mut().zip(b.refs).enumerate() {
        *n = load(r);
        likely |= u64::from(set.may_hold(*n)) << i;
    }
    set.select(&numbers, likely & active)
}

/// The octets of a field.
#[inline]
fn octets<'a, const N: usize>(b: &Batch<'a>, r: &RowRef, at: u16) -> Option<&'a [u8; N]> {
    let from = r.at as usize + usize::from(at);
    b.rows.bytes.get(from..).and_then(|rest| rest.first_chunk())
}

/// An IPv6 address: two little-endian halves, the high one first.
#[inline]
fn wide(octets: [u8; 16]) -> u128 {
    u128::from_le_bytes(octets).rotate_left(64)
}

/// Loads `N` octets at `at` from each active row and asks `test`. Many rows are all asked and the
/// others masked out; few are asked one at a time.
#[inline]
fn scan<const N: usize>(
    b: &Batch<'_>,
    at: u16,
    active: u64,
    test: impl Fn([u8; N]) -> bool,
) -> u64 {
    let ask = |r: &RowRef| octets(b, r, at).is_some_and(|n| test(*n));
    if active.count_ones() <= FEW {
        return each_bit(active, |i| b.refs.get(i).is_some_and(ask));
    }
    let mut hits = [0; 64];
    for (hit, r) in hits.iter_mut().zip(b.refs) {
        *hit = u8::from(ask(r));
    }
    pack(&hits) & active
}

/// Up to so many rows of 64 it is cheaper to find them than to ask all.
const FEW: u32 = 24;

/// Tests that are rare or need more than one field.
fn by_leaf(leaf: &Leaf, b: &Batch<'_>, active: u64) -> u64 {
    let rows = |test: &dyn Fn(Row<'_>) -> bool| each_bit(active, |i| b.row(i).is_some_and(test));
    match leaf {
        Leaf::Ident(ident) => match **ident == *b.ctx.ident {
            true => active,
            false => 0,
        },
        Leaf::Count(set) => each_bit(active, |i| set.contains(b.count(i))),
        Leaf::Text { field, text } => rows(&|row| row.text(*field) == Some(text.as_bytes())),
        Leaf::Pattern { field, regex } => {
            rows(&|row| row.bytes(*field).is_some_and(|b| regex.is_match(b)))
        }
        Leaf::Message { field, wanted } => rows(&|row| {
            row.bytes(*field).is_some_and(|b| wanted.is_in(row.number(Field::Proto) as u8, b))
        }),
        Leaf::Tor { field, exits } => rows(&|row| {
            let Some(addr) = row.addr(*field) else { return false };
            let (first, last) = eval::times(row);
            let from = exits.partition_point(|e| e.addr < addr);
            let of_addr = exits.iter().skip(from).take_while(|e| e.addr == addr);
            of_addr.into_iter().any(|e| e.covers(first, last))
        }),
        Leaf::Acl { field, set } => rows(&|row| {
            let ids = row.bytes(*field).unwrap_or(&[]).as_chunks::<4>().0;
            ids.iter().any(|id| set.contains(u32::from_be_bytes(*id).into()))
        }),
        Leaf::Equal(a, b) => rows(&|row| row.u64(*a).is_some_and(|n| row.u64(*b) == Some(n))),
        Leaf::Block { port } => rows(&|row| {
            let [port, start, end] =
                [*port, Field::PblockStart, Field::PblockEnd].map(|f| row.u64(f));
            matches!((port, start, end), (Some(p), Some(s), Some(e)) if s <= p && p <= e)
        }),
        // These became other kernels.
        Leaf::Number { .. }
        | Leaf::Addr { .. }
        | Leaf::Masked { .. }
        | Leaf::Rate { .. }
        | Leaf::Width { .. } => 0,
    }
}

/// The bits of `active` whose positions pass.
#[inline]
pub(crate) fn each_bit(active: u64, mut test: impl FnMut(usize) -> bool) -> u64 {
    let mut found = 0;
    let mut left = active;
    while left != 0 {
        let i = left.trailing_zeros();
        left &= left - 1;
        found |= u64::from(test(i as usize)) << i;
    }
    found
}

/// 64 octets of 0 or 1 to 64 bits.
#[inline]
pub(crate) fn pack(hits: &[u8; 64]) -> u64 {
    let (eights, _) = hits.as_chunks::<8>();
    eights.iter().enumerate().fold(0, |word, (i, eight)| {
        // The products put octet n at bit 56 + n, and nothing else there.
        let byte = u64::from_le_bytes(*eight).wrapping_mul(0x0102_0408_1020_4080) >> 56;
        word | byte << (8 * i)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle;

    #[test]
    fn pack_puts_each_row_at_its_bit() {
        for i in 0..64 {
            let mut hits = [0; 64];
            hits[i] = 1;
            assert_eq!(pack(&hits), 1 << i);
        }
        assert_eq!(pack(&[1; 64]), u64::MAX);
    }

    #[test]
    fn shapes_beyond_the_limit_are_asked_by_row() {
        let filter = Filter::parse(
            "port 80 or ip in [10.1.2.3 10.2.0.0/16 192.0.2.1 2001:db8::/32] or not proto 6",
        )
        .unwrap();
        let mut evaluator = filter.evaluator();
        let data = oracle::Data::random(3);
        evaluator.table = data.rows().table.id();
        evaluator.steps = MAX_STEPS + 1;
        let passed = oracle::agrees(&filter, &data, &mut evaluator, "by row");
        assert!(passed > 0 && evaluator.plans.is_empty(), "{passed} passed");
        // With the next table there is room again.
        let data = oracle::Data::random(2);
        oracle::agrees(&filter, &data, &mut evaluator, "by plan");
        assert!(!evaluator.plans.is_empty());
    }

    #[test]
    fn shapes_that_look_alike_to_the_filter_share_a_plan() {
        let filter = Filter::parse("port 80").unwrap();
        let mut table = ShapeTable::new();
        for at in 0..100 {
            let mut shape = Shape::default();
            shape.set(Field::SrcPort, 0, 2);
            shape.set(Field::Bytes, 10 + at, 8);
            table.push(shape);
        }
        let mut evaluator = filter.evaluator();
        evaluator.meet(&table);
        assert_eq!((evaluator.plan_of.len(), evaluator.plans.len()), (100, 1));
    }
}
