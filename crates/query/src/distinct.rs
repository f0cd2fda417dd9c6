//! Distinct counts: how many different values of one field there are for each value of another, as
//! in "how many destinations does each source talk to".
//!
//! Counts are exact up to 4096 values and estimates beyond (standard error 0.8 %); each count says
//! which of both it is. The answer is the same for any number of threads.

use crate::analysis::{AnalysisError, Budget, Meter};
use crate::counters::{NOTHING, join};
use crate::group::{Hasher, Origin};
use crate::key::{Class, KeySpec};
use crate::keyed::{KeyReader, KeySet, KeySums, selected};
use crate::page::{KeyColumns, Page};
use crate::partition::{PARTITIONS, partition};
use crate::percentile::joined;
use crate::report::Report;
use crate::request::{Distinct, Request, Sorting};
use crate::scan::{Batch, Numbers, Query, Scan};
use crate::sketch::{Count, Set};
use crate::statistics::Tables;
use crate::top::first;
use output::{Column, ColumnKind, FormatOptions, Kind, Side, Table, TablePrinter, Value};
use std::cmp::Ordering;
use std::io::{self, Write};
use std::ops::ControlFlow;

/// Values with counts of the different values of other fields, ready to be sorted and printed for
/// each order.
#[derive(Debug)]
pub struct DistinctTable {
    key: KeyColumns,
    fields: Vec<Distinct>,
    sortings: Vec<Sorting>,
    lines: Vec<Line>,
}

#[derive(Clone, Debug)]
struct Line {
    class: Class,
    key: Vec<u64>,
    sums: KeySums,
    /// One for each field.
    counts: Vec<Count>,
}

/// What a table is ordered by.
#[derive(Clone, Copy, Debug)]
enum OrderBy {
    Sums(Sorting),
    /// The count of a field, by its place.
    Field(usize),
}

/// One partition of one worker. Sets lie one after the other: for each key one a field.
#[derive(Debug)]
struct Part {
    keys: KeySet,
    sums: Vec<KeySums>,
    sets: Vec<Set>,
}

impl Part {
    fn absorb(&mut self, mut other: Self, fields: usize) {
        let Self { keys, sums, sets } = self;
        keys.absorb(&other.keys, |theirs, mine| {
            sums.resize(sums.len().max(mine + 1), KeySums::default());
            sets.resize(sets.len().max((mine + 1) * fields), Set::Empty);
            if let (Some(sum), Some(s)) = (sums.get_mut(mine), other.sums.get(theirs)) {
                sum.add(&s.counts, s.origin);
            }
            for n in 0..fields {
                let from = other.sets.get_mut(theirs * fields + n).map(std::mem::take);
                if let (Some(set), Some(from)) = (sets.get_mut(mine * fields + n), from) {
                    set.absorb(from);
                }
            }
        });
    }
}

/// One worker's sets.
struct Collector<'s> {
    keys: KeyReader<'s>,
    values: KeyReader<'s>,
    hasher: Hasher,
    parts: Vec<Part>,
    /// Values of the row at hand.
    row: Vec<Option<crate::sketch::Value>>,
    meter: Meter<'s>,
}

impl Collector<'_> {
    fn batch(&mut self, batch: &mut Batch<'_>) -> ControlFlow<()> {
        self.keys.bind(&batch.rows);
        self.values.bind(&batch.rows);
        let mut sums = NOTHING;
        for (i, shape, row) in selected(&batch.rows, batch.selected) {
            let counts = self.keys.counts(shape, row);
            join(&mut sums, &counts);
            self.row.clear();
            for n in 0..self.values.len() {
                let value = self.values.key(shape, n, row).map(|(class, words)| {
                    let word = |i: usize| words.get(i).copied().unwrap_or(0);
                    ([word(0), word(1)], class & 1 == 1)
                });
                self.row.push(value);
            }
            let origin = Origin::new(batch.block, i, 0);
            for n in 0..self.keys.len() {
                let Some((class, key)) = self.keys.key(shape, n, row) else { continue };
                let hash = self.hasher.hash_words(key);
                let Some(part) = self.parts.get_mut(partition(hash)) else { continue };
                let Some(number) = part.keys.insert(hash, class, key) else {
                    self.meter.spend_all();
                    return ControlFlow::Break(());
                };
                let mut octets = 0;
                if number >= part.sums.len() {
                    part.sums.push(KeySums::default());
                    part.sets.resize(part.sums.len() * self.row.len(), Set::Empty);
                    let sets = self.row.len() * size_of::<Set>();
                    octets += KeySet::cost(key.len()) + size_of::<KeySums>() + sets;
                }
                if let Some(sums) = part.sums.get_mut(number) {
                    sums.add(&counts, origin);
                }
                let sets = part.sets.get_mut(number * self.row.len()..).unwrap_or(&mut []);
                for (set, value) in sets.iter_mut().zip(&self.row) {
                    octets += value.map_or(0, |v| set.insert(v));
                }
                if !self.meter.take(octets) {
                    return ControlFlow::Break(());
                }
            }
        }
        batch.sums = Some(sums);
        ControlFlow::Continue(())
    }
}

impl Query {
    /// Answers a request that counts different values.
    ///
    /// # Errors
    ///
    /// [`AnalysisError::Memory`] if the sets need too much memory.
    pub fn distinct(&self, request: &Request) -> Result<(DistinctTable, Report), AnalysisError> {
        let keys = request.by.keys();
        let values: Vec<KeySpec> = request.distinct.iter().map(|d| d.key.clone()).collect();
        let hasher = Hasher::new();
        let budget = Budget::new(self.analysis_memory());
        let part = || Part { keys: KeySet::new(hasher), sums: Vec::new(), sets: Vec::new() };
        let scanned = self.scan(
            &Scan { numbers: Numbers::None, threads: self.threads, again: None },
            || Collector {
                keys: KeyReader::new(&keys, self.book.as_deref()),
                values: KeyReader::new(&values, self.book.as_deref()),
                hasher,
                parts: (0..PARTITIONS).map(|_| part()).collect(),
                row: Vec::new(),
                meter: Meter::new(&budget),
            },
            Collector::batch,
        );
        let too_many = || budget.error("different values", "fewer values with a coarser key");
        if budget.is_spent() {
            return Err(too_many());
        }
        let workers = scanned.states.into_iter().map(|s| s.parts);
        let fields = values.len();
        let parts = joined(workers, self.threads, |a: &mut Part, b| a.absorb(b, fields));
        let line = size_of::<Line>() + fields * size_of::<Count>();
        let octets = |p: &Part| p.sums.len() * line + p.keys.octets();
        if !budget.take(parts.iter().map(octets).sum()) {
            return Err(too_many());
        }
        let lines = crate::parallel::map(parts, self.threads, |part| lines(&part, fields));
        let table = DistinctTable {
            key: KeyColumns::new(&request.by, self.book.clone()),
            fields: request.distinct.clone(),
            sortings: request.sortings.clone(),
            lines: lines.into_iter().flatten().collect(),
        };
        Ok((table, scanned.report))
    }
}

fn lines(part: &Part, fields: usize) -> Vec<Line> {
    let line = |(number, sums): (usize, &KeySums)| {
        let (class, key) = part.keys.get(number)?;
        let sets = part.sets.get(number * fields..(number + 1) * fields)?;
        let counts = sets.iter().map(Set::count).collect();
        Some(Line { class, key: key.to_vec(), sums: *sums, counts })
    };
    part.sums.iter().enumerate().filter_map(line).collect()
}

/// The value of the key; for each field `distinct_FIELD`, and `distinct_FIELD_is_exact` (in text an
/// estimate has a `~` instead); `flows`, `packets` and `bytes` (B) of both directions.
fn columns(key: &KeyColumns, fields: &[Distinct], options: &FormatOptions) -> Vec<Column> {
    let number =
        |name: String, title: String, unit| Column::new(name, title, unit, ColumnKind::Number);
    let mut columns = key.columns(options);
    for field in fields {
        let (name, title) = (field.name, field.title);
        let count = number(format!("distinct_{name}"), format!("Distinct {title}"), "");
        let exact = Column::new(format!("distinct_{name}_is_exact"), "", "", ColumnKind::Flag);
        columns.push(count.about("how many different values"));
        columns.push(exact.about("whether that is counted; else it is an estimate"));
    }
    for (name, title, unit, about) in [
        ("flows", "Flows", "", "flows"),
        ("packets", "Packets", "", "packets of both directions"),
        ("bytes", "Bytes", "B", "octets of both directions"),
    ] {
        columns.push(number(name.to_owned(), title.to_owned(), unit).about(about));
    }
    columns
}

impl Request {
    /// What the tables of a request for different values look like, without any data.
    pub fn distinct_table(&self, options: &FormatOptions) -> Table {
        let key = KeyColumns::new(&self.by, None);
        Table { title: key.title.clone(), columns: columns(&key, &self.distinct, options) }
    }
}

impl DistinctTable {
    /// How many values there are.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether no flow passed.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Adds these tables to a document.
    pub fn add_to(&self, n: usize, tables: &mut Tables<'_>) {
        for order in self.orders() {
            tables.table(|printer, kind, options, text| {
                self.rows(order, n, printer, kind, options, text)
            });
        }
    }

    fn orders(&self) -> impl Iterator<Item = OrderBy> + '_ {
        let sums = self.sortings.iter().map(|s| OrderBy::Sums(*s));
        sums.chain((0..self.fields.len()).map(OrderBy::Field))
    }

    /// Largest first; equal ones in the order of the input, then by key.
    fn compare(&self, order: OrderBy, a: &Line, b: &Line) -> Ordering {
        let (by_order, descending) = match order {
            OrderBy::Sums(s) => {
                let value = |l: &Line| s.order.value(&l.sums.counts);
                (value(a).cmp(&value(b)), s.descending)
            }
            OrderBy::Field(n) => {
                let count = |l: &Line| l.counts.get(n).map_or(0, |c| c.n);
                (count(a).cmp(&count(b)), self.fields.get(n).is_none_or(|f| f.descending))
            }
        };
        let by_order = if descending { by_order.reverse() } else { by_order };
        by_order
            .then_with(|| a.sums.origin.position().cmp(&b.sums.origin.position()))
            .then_with(|| (a.class, &a.key).cmp(&(b.class, &b.key)))
    }

    fn table(&self, order: OrderBy, n: usize, options: &FormatOptions) -> Table {
        let by = match order {
            OrderBy::Sums(s) => s.order.flow_name().to_owned(),
            OrderBy::Field(n) => {
                self.fields.get(n).map_or_else(String::new, |f| format!("distinct {}", f.title))
            }
        };
        let limit = if n == 0 { String::new() } else { format!("{n} ") };
        let title = format!("Top {limit}{} ordered by {by}:", self.key.title);
        Table { title, columns: columns(&self.key, &self.fields, options) }
    }

    fn rows(
        &self,
        order: OrderBy,
        n: usize,
        printer: TablePrinter,
        kind: Kind,
        options: &FormatOptions,
        out: &mut dyn Write,
    ) -> io::Result<TablePrinter> {
        let mut page = Page::new(printer, self.table(order, n, options), out);
        let compare = |a: &&Line, b: &&Line| self.compare(order, a, b);
        let mut lines = first(self.lines.iter(), n, compare);
        lines.sort_unstable_by(compare);
        for line in lines {
            let shown = self.key.values(line.class, &line.key, kind, options);
            let mut values: Vec<Value<'_>> = shown.iter().map(|s| Value::Key(s.key())).collect();
            for count in &line.counts {
                let number =
                    if count.is_exact { Value::Number(count.n) } else { Value::Estimate(count.n) };
                values.extend([number, Value::Flag(count.is_exact)]);
            }
            let counts = &line.sums.counts;
            values.extend([
                Value::Number(counts.flows),
                Value::Number(counts.packets(Side::Both)),
                Value::Number(counts.bytes(Side::Both)),
            ]);
            page.row(&values)?;
        }
        page.finish()
    }
}
