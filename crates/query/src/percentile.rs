//! Percentiles of rates: what a value used most of the time, as traffic is billed.
//!
//! Time is cut into bins, five minutes each by custom; in each bin a value has a rate. The P-th
//! percentile is the nearest rank: of the rates of all N bins in ascending order the one at place
//! P/100 * N, rounded up. Bins in which nothing flowed count as 0, so a value that was there for
//! one hour of a month has a 95th percentile of 0. The bins are those from the first to the last
//! flow of the answer, and those of the window of time where one is given.
//!
//! Results are exact: nothing is sampled. Memory goes by the number of values times the bins they
//! were active in.

use crate::analysis::{AnalysisError, Budget, Meter};
use crate::bins::{BinWidth, Bins, Extent};
use crate::counters::{NOTHING, join};
use crate::group::{Hasher, Origin};
use crate::key::Class;
use crate::keyed::{KeyReader, KeySet, KeySums, selected};
use crate::page::{KeyColumns, Page};
use crate::partition::{PARTITIONS, partition};
use crate::report::Report;
use crate::request::Sorting;
use crate::scan::{Batch, Numbers, Query, Scan};
use crate::series::{Ranking, rate};
use crate::statistics::Tables;
use crate::top::first;
use output::{
    Column, ColumnKind, Counts, FormatOptions, Kind, Side, Table, TablePrinter, TimeZone, Value,
};
use std::cmp::Ordering;
use std::collections::HashMap;
use std::fmt;
use std::hash::BuildHasher;
use std::io::{self, Write};
use std::ops::ControlFlow;

/// Which percentile: from 1 to 99.9, in steps of a tenth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Percentile {
    tenths: u16,
}

impl Percentile {
    /// Reads `95` or `99.9`.
    ///
    /// # Errors
    ///
    /// [`AnalysisError::Percentile`] for anything else.
    pub fn parse(text: &str) -> Result<Self, AnalysisError> {
        let wrong = || AnalysisError::Percentile(text.to_owned());
        let (whole, tenth) = text.split_once('.').unwrap_or((text, "0"));
        let is_number = |s: &str, most: usize| {
            (1..=most).contains(&s.len()) && s.bytes().all(|b| b.is_ascii_digit())
        };
        if !is_number(whole, 2) || !is_number(tenth, 1) {
            return Err(wrong());
        }
        let number = |s: &str| s.parse::<u16>().map_err(|_| wrong());
        let tenths = number(whole)? * 10 + number(tenth)?;
        if tenths < 10 { Err(wrong()) } else { Ok(Self { tenths }) }
    }

    /// The place of the nearest rank among so many, from 1.
    const fn rank(self, bins: u64) -> u64 {
        (bins * self.tenths as u64).div_ceil(1000)
    }
}

impl fmt::Display for Percentile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.tenths / 10, self.tenths % 10) {
            (whole, 0) => write!(f, "{whole}"),
            (whole, tenth) => write!(f, "{whole}.{tenth}"),
        }
    }
}

/// Which percentiles are asked for.
#[derive(Clone, Copy, Debug)]
pub struct PercentileRequest<'r> {
    /// Which one.
    pub percentile: Percentile,
    /// How wide bins are; [`BinWidth::FIVE_MINUTES`] by custom.
    pub bin: BinWidth,
    /// Of what, by which rate they are ordered, and how many are shown. An order by a rate is one
    /// by its percentile; other orders are those of statistics.
    pub top: Ranking<'r>,
    /// Zone that the bins begin at round times of.
    pub time_zone: TimeZone,
}

/// What a value used in the bins of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// The percentile of the rate.
    pub percentile: u64,
    /// The largest rate.
    pub max: u64,
    /// The mean over all bins.
    pub mean: u64,
}

/// The rates that a value has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usages {
    /// Bits in each second, of the flow's direction.
    pub in_bps: Usage,
    /// Bits in each second, of the other direction.
    pub out_bps: Usage,
    /// Bits in each second, both directions.
    pub bps: Usage,
    /// Packets in each second, of the flow's direction.
    pub in_pps: Usage,
    /// Packets in each second, of the other direction.
    pub out_pps: Usage,
    /// Packets in each second, both directions.
    pub pps: Usage,
}

/// One value, its rates and its sums.
#[derive(Clone, Debug)]
struct Line {
    class: Class,
    key: Vec<u64>,
    sums: KeySums,
    usages: Usages,
    order: u64,
}

impl Line {
    /// Largest first; equal ones in the order of the input, then by key.
    fn compare(&self, other: &Self, descending: bool) -> Ordering {
        let by_order = self.order.cmp(&other.order);
        let by_order = if descending { by_order.reverse() } else { by_order };
        by_order
            .then_with(|| self.sums.origin.position().cmp(&other.sums.origin.position()))
            .then_with(|| (self.class, &self.key).cmp(&(other.class, &other.key)))
    }
}

/// Values with the percentiles of their rates, in order.
#[derive(Debug)]
pub struct Percentiles {
    percentile: Percentile,
    width: BinWidth,
    bins: u64,
    key: KeyColumns,
    title: String,
    lines: Vec<Line>,
    has_out: bool,
    without_time: u64,
}

/// In packets, in octets or out packets, out octets of a key in a bin.
type Pair = [u64; 2];
type Cells = HashMap<(u32, i64), Pair, CellHasher>;

/// One partition of one worker.
#[derive(Debug)]
struct Part {
    keys: KeySet,
    sums: Vec<KeySums>,
    ins: Cells,
    outs: Cells,
}

impl Part {
    fn new(hasher: Hasher) -> Self {
        let cells = || Cells::with_hasher(CellHasher(hasher));
        Self { keys: KeySet::new(hasher), sums: Vec::new(), ins: cells(), outs: cells() }
    }

    fn absorb(&mut self, other: Self) {
        let mut numbers = vec![None; other.keys.len()];
        let sums = &mut self.sums;
        self.keys.absorb(&other.keys, |theirs, mine| {
            if let (Some(number), Some(s)) = (numbers.get_mut(theirs), other.sums.get(theirs)) {
                *number = Some(mine as u32);
                sums.resize(sums.len().max(mine + 1), KeySums::default());
                if let Some(sum) = sums.get_mut(mine) {
                    sum.add(&s.counts, s.origin);
                }
            }
        });
        for (mine, theirs) in [(&mut self.ins, other.ins), (&mut self.outs, other.outs)] {
            for ((key, bin), pair) in theirs {
                if let Some(Some(number)) = numbers.get(key as usize) {
                    add_pair(mine, (*number, bin), pair);
                }
            }
        }
    }
}

/// Adds to a cell. Returns whether it is new.
fn add_pair(cells: &mut Cells, at: (u32, i64), pair: Pair) -> bool {
    let before = cells.len();
    let cell = cells.entry(at).or_default();
    for (sum, n) in cell.iter_mut().zip(pair) {
        *sum = sum.saturating_add(n);
    }
    cells.len() > before
}

/// Hashes cells as tables hash keys: seeded, quick.
#[derive(Clone, Copy, Debug)]
struct CellHasher(Hasher);

struct CellState(Hasher, u64);

impl BuildHasher for CellHasher {
    type Hasher = CellState;

    fn build_hasher(&self) -> CellState {
        CellState(self.0, 0)
    }
}

impl std::hash::Hasher for CellState {
    fn finish(&self) -> u64 {
        self.1
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|b| self.write_u64(u64::from(*b)));
    }

    fn write_u32(&mut self, n: u32) {
        self.write_u64(u64::from(n));
    }

    fn write_i64(&mut self, n: i64) {
        self.write_u64(n as u64);
    }

    fn write_u64(&mut self, n: u64) {
        self.1 = self.0.hash_words(&[self.1 ^ n]);
    }
}

/// One worker's cells.
struct Meterer<'s> {
    reader: KeyReader<'s>,
    hasher: Hasher,
    bins: Bins,
    parts: Vec<Part>,
    extent: Extent,
    without_time: u64,
    meter: Meter<'s>,
}

impl Meterer<'_> {
    /// Octets of a cell, with the empty places of its map.
    const CELL: usize = 2 * size_of::<((u32, i64), Pair)>();

    fn batch(&mut self, batch: &mut Batch<'_>) -> ControlFlow<()> {
        self.reader.bind(&batch.rows);
        let mut sums = NOTHING;
        for (i, shape, row) in selected(&batch.rows, batch.selected) {
            let counts = self.reader.counts(shape, row);
            join(&mut sums, &counts);
            if counts.first_ms == 0 {
                self.without_time = self.without_time.saturating_add(counts.flows);
                continue;
            }
            let reach = self.bins.extent(counts.first_ms, counts.last_ms);
            self.extent.add(reach);
            // What is too long is an error at the end: its cells need not be made.
            if self.extent.bins() > crate::analysis::MAX_BINS {
                continue;
            }
            let origin = Origin::new(batch.block, i, 0);
            for n in 0..self.reader.len() {
                let Some((class, key)) = self.reader.key(shape, n, row) else { continue };
                let hash = self.hasher.hash_words(key);
                let Some(part) = self.parts.get_mut(partition(hash)) else { continue };
                let octets = add(part, &self.bins, (hash, class, key), &counts, origin);
                let Some(octets) = octets else {
                    self.meter.spend_all();
                    return ControlFlow::Break(());
                };
                if !self.meter.take(octets) {
                    return ControlFlow::Break(());
                }
            }
        }
        batch.sums = Some(sums);
        ControlFlow::Continue(())
    }
}

/// Adds a flow to a key. Returns how many octets that takes; `None` if there are too many keys.
fn add(
    part: &mut Part,
    bins: &Bins,
    (hash, class, key): (u64, Class, &[u64]),
    counts: &Counts,
    origin: Origin,
) -> Option<usize> {
    let number = part.keys.insert(hash, class, key)?;
    let mut octets = 0;
    if number >= part.sums.len() {
        part.sums.push(KeySums::default());
        octets += KeySet::cost(key.len()) + size_of::<KeySums>();
    }
    if let Some(sums) = part.sums.get_mut(number) {
        sums.add(counts, origin);
    }
    let amounts = [counts.in_packets, counts.in_bytes, counts.out_packets, counts.out_bytes];
    bins.spread(counts.first_ms, counts.last_ms, amounts, |bin, [ip, ib, op, ob]| {
        let at = (number as u32, bin);
        for (cells, pair) in [(&mut part.ins, [ip, ib]), (&mut part.outs, [op, ob])] {
            if pair != [0, 0] && add_pair(cells, at, pair) {
                octets += Meterer::CELL;
            }
        }
    });
    Some(octets)
}

impl Query {
    /// Percentiles of rates for each value of an element or key.
    ///
    /// # Errors
    ///
    /// [`AnalysisError`] if there are too many bins, or the cells need too much memory.
    pub fn percentiles(
        &self,
        request: &PercentileRequest<'_>,
    ) -> Result<(Percentiles, Report), AnalysisError> {
        let bins = self.bins(request.bin, request.time_zone);
        let specs = request.top.by.keys();
        let hasher = Hasher::new();
        let budget = Budget::new(self.analysis_memory());
        let scanned = self.scan(
            &Scan { numbers: Numbers::None, threads: self.threads, again: None },
            || Meterer {
                reader: KeyReader::new(&specs, self.book.as_deref()),
                hasher,
                bins,
                parts: (0..PARTITIONS).map(|_| Part::new(hasher)).collect(),
                extent: Extent(None),
                without_time: 0,
                meter: Meter::new(&budget),
            },
            Meterer::batch,
        );
        let too_many = || budget.error("values and their bins", "wider bins with --bin");
        if budget.is_spent() {
            return Err(too_many());
        }
        let mut extent = self.window_extent(&bins, scanned.report.records_passed > 0);
        let of_window = extent.bins();
        scanned.states.iter().for_each(|s| extent.absorb(s.extent));
        let (_, len) = extent.checked(request.bin).map_err(|e| e.of_window(of_window))?;
        let without_time = scanned.states.iter().map(|s| s.without_time).sum();
        let workers = scanned.states.into_iter().map(|s| s.parts);
        let parts = joined(workers, self.threads, Part::absorb);
        let has_out = parts.iter().any(|p| !p.outs.is_empty());
        let rank = Rank { request, bins: len as u64 };
        if !budget.take(parts.iter().map(|p| rank.octets(p)).sum()) {
            return Err(too_many());
        }
        let best = crate::parallel::map(parts, self.threads, |part| rank.lines(part));
        let descending = request.top.sorting.descending;
        let compare = |a: &Line, b: &Line| a.compare(b, descending);
        let mut lines = first(best.into_iter().flatten(), request.top.n, compare);
        lines.sort_unstable_by(compare);
        let percentiles = Percentiles {
            percentile: request.percentile,
            width: request.bin,
            bins: len as u64,
            key: KeyColumns::new(request.top.by, self.book.clone()),
            title: request.top.title(),
            lines,
            has_out,
            without_time,
        };
        Ok((percentiles, scanned.report))
    }

    /// The bins of the window of time, as far as it has ends.
    fn window_extent(&self, bins: &Bins, has_flows: bool) -> Extent {
        let mut extent = Extent(None);
        if let Some((from, until)) = self.window.filter(|_| has_flows) {
            if from > 0 {
                extent.add((bins.of(from), bins.of(from)));
            }
            if until < u64::MAX && until > from {
                extent.add(bins.extent(until - 1, until));
            }
        }
        extent
    }

    /// Octets that groups of an analysis may take: 2 GiB if nothing is said.
    pub(crate) fn analysis_memory(&self) -> u64 {
        self.memory.map_or(2 << 30, |octets| octets as u64)
    }
}

/// Joins the parts of all workers, partition by partition.
pub(crate) fn joined<P: Send>(
    workers: impl Iterator<Item = Vec<P>>,
    threads: usize,
    absorb: impl Fn(&mut P, P) + Sync,
) -> Vec<P> {
    let mut places: Vec<Vec<P>> = Vec::new();
    for worker in workers {
        places.resize_with(places.len().max(worker.len()), Vec::new);
        places.iter_mut().zip(worker).for_each(|(place, part)| place.push(part));
    }
    let whole = crate::parallel::map(places, threads, |parts| {
        let mut parts = parts.into_iter();
        let mut whole = parts.next()?;
        parts.for_each(|p| absorb(&mut whole, p));
        Some(whole)
    });
    whole.into_iter().flatten().collect()
}

/// Works out the lines of a partition.
struct Rank<'r> {
    request: &'r PercentileRequest<'r>,
    bins: u64,
}

impl Rank<'_> {
    /// Octets that the lines of a partition take.
    fn octets(&self, part: &Part) -> usize {
        let keys = part.sums.len();
        let lines = if self.request.top.n == 0 {
            keys
        } else {
            keys.min(self.request.top.n.saturating_mul(2))
        };
        lines * (size_of::<Line>() + part.keys.octets() / keys.max(1))
    }

    /// The first lines of a partition, in no order.
    fn lines(&self, part: Part) -> Vec<Line> {
        let Part { keys, sums, ins, outs } = part;
        let (ins, outs) = (by_key(ins), by_key(outs));
        let (mut in_at, mut out_at) = (0, 0);
        let lines = sums.iter().enumerate().filter_map(|(number, sums)| {
            let ins = take_key(&ins, &mut in_at, number as u32);
            let outs = take_key(&outs, &mut out_at, number as u32);
            let (class, key) = keys.get(number)?;
            let usages = self.usages(ins, outs);
            let order = order_value(self.request.top.sorting, &usages, &sums.counts);
            Some(Line { class, key: key.to_vec(), sums: *sums, usages, order })
        });
        let descending = self.request.top.sorting.descending;
        first(lines, self.request.top.n, |a, b| a.compare(b, descending))
    }

    fn usages(&self, ins: &[KeyCell], outs: &[KeyCell]) -> Usages {
        let mut values = Vec::with_capacity(ins.len() + outs.len());
        let mut of = |side: Side, which: usize| {
            values.clear();
            match side {
                Side::In => values.extend(ins.iter().map(|c| c.pair[which])),
                Side::Out => values.extend(outs.iter().map(|c| c.pair[which])),
                Side::Both => sum_by_bin(ins, outs, which, &mut values),
            }
            self.usage(&mut values, if which == 0 { 1 } else { 8 })
        };
        Usages {
            in_bps: of(Side::In, 1),
            out_bps: of(Side::Out, 1),
            bps: of(Side::Both, 1),
            in_pps: of(Side::In, 0),
            out_pps: of(Side::Out, 0),
            pps: of(Side::Both, 0),
        }
    }

    /// Nearest rank, largest and mean of the values of all bins; those not listed are 0.
    fn usage(&self, values: &mut [u64], factor: u64) -> Usage {
        let width = self.request.bin.ms();
        let sum = values.iter().fold(0u128, |a, b| a + u128::from(*b));
        let max = values.iter().copied().max().unwrap_or(0);
        let zeros = self.bins.saturating_sub(values.len() as u64);
        let place = self.request.percentile.rank(self.bins).checked_sub(zeros + 1);
        let at_rank = place.and_then(|at| usize::try_from(at).ok()).filter(|at| *at < values.len());
        let percentile = at_rank.map_or(0, |at| *values.select_nth_unstable(at).1);
        let span = u128::from(width) * u128::from(self.bins.max(1));
        let mean = sum.saturating_mul(u128::from(factor) * 1000) / span;
        Usage {
            percentile: rate(percentile, factor, width),
            max: rate(max, factor, width),
            mean: u64::try_from(mean).unwrap_or(u64::MAX),
        }
    }
}

/// A cell of a key.
#[derive(Clone, Copy, Debug)]
struct KeyCell {
    key: u32,
    bin: i64,
    pair: Pair,
}

/// Cells in order of key and bin.
fn by_key(cells: Cells) -> Vec<KeyCell> {
    let cell = |((key, bin), pair)| KeyCell { key, bin, pair };
    let mut out: Vec<KeyCell> = cells.into_iter().map(cell).collect();
    out.sort_unstable_by_key(|c| (c.key, c.bin));
    out
}

/// The cells of `key`, which begin at `at` if it has any.
fn take_key<'c>(cells: &'c [KeyCell], at: &mut usize, key: u32) -> &'c [KeyCell] {
    let rest = cells.get(*at..).unwrap_or(&[]);
    let len = rest.iter().take_while(|c| c.key == key).count();
    *at += len;
    rest.get(..len).unwrap_or(&[])
}

/// Sums of both directions, bin by bin. Both lists are in order of bins.
fn sum_by_bin(ins: &[KeyCell], outs: &[KeyCell], which: usize, sums: &mut Vec<u64>) {
    let mut outs = outs.iter().peekable();
    for cell in ins {
        while let Some(out) = outs.next_if(|o| o.bin < cell.bin) {
            sums.push(out.pair[which]);
        }
        let other = outs.next_if(|o| o.bin == cell.bin).map_or(0, |o| o.pair[which]);
        sums.push(cell.pair[which].saturating_add(other));
    }
    sums.extend(outs.map(|o| o.pair[which]));
}

/// What lines are ordered by.
fn order_value(sorting: Sorting, usages: &Usages, counts: &Counts) -> u64 {
    match sorting.order.flow_name() {
        "bps" => usages.bps.percentile,
        "ibps" => usages.in_bps.percentile,
        "obps" => usages.out_bps.percentile,
        "pps" => usages.pps.percentile,
        "ipps" => usages.in_pps.percentile,
        "opps" => usages.out_pps.percentile,
        _ => sorting.order.value(counts),
    }
}

impl Percentiles {
    /// How many values are shown.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether no flow passed.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// How many bins there are, those without traffic included.
    pub const fn bins(&self) -> u64 {
        self.bins
    }

    /// Flows that say no time, and so are in no bin.
    pub const fn without_time(&self) -> u64 {
        self.without_time
    }

    /// The rates of each value shown, and its sums.
    pub fn usages(&self) -> impl Iterator<Item = (Usages, Counts)> + '_ {
        self.lines.iter().map(|l| (l.usages, l.sums.counts))
    }

    /// Adds the table to a document.
    pub fn add_to(&self, tables: &mut Tables<'_>) {
        tables.table(|printer, kind, options, text| self.rows(printer, kind, options, text));
    }

    fn rows(
        &self,
        printer: TablePrinter,
        kind: Kind,
        options: &FormatOptions,
        out: &mut dyn Write,
    ) -> io::Result<TablePrinter> {
        let bins = format!("{} bins of {}", self.bins, self.width);
        let p = self.percentile;
        let title = format!("{}, percentile {p} of {bins}:", self.title);
        let columns = columns(&self.key, p, self.has_out, options);
        let mut page = Page::new(printer, Table { title, columns }, out);
        let percentile = f64::from(self.percentile.tenths) / 10.0;
        for line in &self.lines {
            let shown = self.key.values(line.class, &line.key, kind, options);
            let mut values: Vec<Value<'_>> = shown.iter().map(|s| Value::Key(s.key())).collect();
            values.extend([Value::Percent(percentile), Value::Number(self.bins)]);
            let u = &line.usages;
            for usage in [u.bps, u.pps, u.in_bps, u.out_bps, u.in_pps, u.out_pps] {
                values.extend([usage.percentile, usage.max, usage.mean].map(Value::Number));
            }
            let counts = &line.sums.counts;
            values.extend([
                Value::Number(counts.bytes(Side::Both)),
                Value::Number(counts.packets(Side::Both)),
                Value::Number(counts.flows),
            ]);
            page.row(&values)?;
        }
        page.finish()
    }
}

impl PercentileRequest<'_> {
    /// What the table looks like, without any data.
    pub fn table(&self, options: &FormatOptions) -> Table {
        let key = KeyColumns::new(self.top.by, None);
        let title = format!(
            "{}, percentile {} of bins of {}:",
            self.top.title(),
            self.percentile,
            self.bin
        );
        Table { title, columns: columns(&key, self.percentile, true, options) }
    }
}

/// The value of the key; the percentile and the number of bins (not in text); for `bps` (bit/s) and
/// `pps` (1/s) the columns `_percentile`, `_max` and `_mean`; then `in_` and `out_` of these (in
/// text the percentiles alone, and only where there are counters of the other direction); `bytes`
/// (B) and `packets` of both directions, `flows`.
fn columns(key: &KeyColumns, p: Percentile, has_out: bool, options: &FormatOptions) -> Vec<Column> {
    let program = |name, unit, kind| Column::new(name, "", unit, kind).for_programs();
    let number = |name, title, unit| Column::new(name, title, unit, ColumnKind::Number);
    let mut columns = key.columns(options);
    columns.push(program("percentile", "%", ColumnKind::Percent).about("which percentile"));
    columns.push(program("bins", "", ColumnKind::Number).about("bins, those without traffic too"));
    for (prefix, rate, unit) in RATES {
        let is_side = !prefix.is_empty();
        for (what, about) in [
            ("percentile", "nearest rank of the rates of all bins"),
            ("max", "largest rate of a bin"),
            ("mean", "mean rate over all bins"),
        ] {
            let short = if what == "percentile" { format!("p{p}") } else { what.to_owned() };
            let title = format!("{prefix}{rate} {short}").replace('_', " ");
            let name = format!("{prefix}{rate}_{what}");
            let column = Column::new(name, title, unit, ColumnKind::Rate).about(about);
            let is_shown = !is_side || has_out && what == "percentile";
            columns.push(if is_shown { column } else { column.for_programs() });
        }
    }
    columns.push(number("bytes", "Bytes", "B").about("octets of both directions"));
    columns.push(number("packets", "Packets", "").about("packets of both directions"));
    columns.push(number("flows", "Flows", "").about("flows"));
    columns
}

/// Prefix, name and unit of the rates, in the order of their columns.
const RATES: [(&str, &str, &str); 6] = [
    ("", "bps", "bit/s"),
    ("", "pps", "1/s"),
    ("in_", "bps", "bit/s"),
    ("out_", "bps", "bit/s"),
    ("in_", "pps", "1/s"),
    ("out_", "pps", "1/s"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_read_and_ranked() {
        for (text, shown, bins, rank) in [
            ("95", "95", 100, 95),
            ("95", "95", 8640, 8208),
            ("99.9", "99.9", 100, 100),
            ("50.0", "50", 5, 3),
            ("1", "1", 3, 1),
            ("1.5", "1.5", 1000, 15),
        ] {
            let p = Percentile::parse(text).unwrap();
            assert_eq!((p.to_string().as_str(), p.rank(bins)), (shown, rank), "{text} of {bins}");
        }
        for text in ["", "0", "0.9", "100", "99.99", "x", "-5", "+5", "9.", ".5", "95%"] {
            assert_eq!(Percentile::parse(text), Err(AnalysisError::Percentile(text.to_owned())));
        }
    }
}
