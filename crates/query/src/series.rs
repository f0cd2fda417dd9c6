//! Time series: what flowed in each bin of time, for all flows or for the values that matter most.

use crate::analysis::{AnalysisError, Budget, MAX_BINS, Meter};
use crate::bins::{BinWidth, Bins, Extent};
use crate::counters::{NOTHING, join};
use crate::group::Hasher;
use crate::input::InputReader;
use crate::key::{Class, KeySpec};
use crate::keyed::{KeyReader, KeySet, selected};
use crate::page::{KeyColumns, Page};
use crate::report::Report;
use crate::request::{By, Sorting};
use crate::scan::{Batch, Numbers, Place, Query, Scan};
use crate::statistics::Tables;
use crate::value::Shown;
use output::{
    Column, ColumnKind, Counts, FormatOptions, Kind, Plot, PlotSeries, Side, StatKey, Table,
    TablePrinter, TimeZone, Value,
};
use record::{AddressBook, Field};
use std::collections::VecDeque;
use std::io::{self, Write};
use std::ops::ControlFlow;
use std::sync::Arc;

/// Which series are asked for.
#[derive(Clone, Copy, Debug)]
pub struct SeriesRequest<'r> {
    /// How wide the bins are.
    pub bin: BinWidth,
    /// Whose series: without a ranking there is one of all flows.
    pub top: Option<Ranking<'r>>,
    /// Zone that the bins begin at round times of.
    pub time_zone: TimeZone,
}

/// The values that matter most.
#[derive(Clone, Copy, Debug)]
pub struct Ranking<'r> {
    /// Values of what.
    pub by: &'r By,
    /// By what they are ranked, over the whole time.
    pub sorting: Sorting,
    /// How many, 0 for all.
    pub n: usize,
}

/// What flowed in a bin. Packets and octets are those of both directions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    /// Flows that began in it.
    pub flows: u64,
    /// Packets.
    pub packets: u64,
    /// Octets.
    pub bytes: u64,
}

impl Cell {
    fn add(&mut self, other: &Self) {
        self.flows = self.flows.saturating_add(other.flows);
        self.packets = self.packets.saturating_add(other.packets);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }
}

/// What a plot shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// Bits in each second.
    Bits,
    /// Packets in each second.
    Packets,
    /// Flows that began in a bin.
    Flows,
}

impl Measure {
    /// What fits an order: packets for packets and their rate, flows for flows, else bits.
    pub fn of(sorting: Sorting) -> Self {
        match sorting.order.flow_name() {
            "flows" => Self::Flows,
            "packets" | "ipackets" | "opackets" | "pps" | "ipps" | "opps" => Self::Packets,
            _ => Self::Bits,
        }
    }

    const fn unit(self) -> &'static str {
        match self {
            Self::Bits => "bit/s",
            Self::Packets => "packets/s",
            Self::Flows => "flows",
        }
    }

    fn value(self, cell: &Cell, width: BinWidth) -> u64 {
        match self {
            Self::Bits => rate(cell.bytes, 8, width.ms()),
            Self::Packets => rate(cell.packets, 1, width.ms()),
            Self::Flows => cell.flows,
        }
    }
}

/// `count * factor` in each second of a bin, rounded down.
pub(crate) fn rate(count: u64, factor: u64, width_ms: u64) -> u64 {
    let scaled = u128::from(count) * u128::from(factor) * 1000;
    u64::try_from(scaled / u128::from(width_ms.max(1))).unwrap_or(u64::MAX)
}

/// One series a value, over the same bins: every bin between the first and the last flow is there,
/// also if nothing flowed in it.
#[derive(Debug)]
pub struct Series {
    bins: Bins,
    first_bin: i64,
    len: usize,
    key: Option<KeyColumns>,
    title: String,
    lines: Vec<(LineName, Timeline)>,
    without_time: u64,
}

/// Whose series it is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum LineName {
    All,
    Value(Class, Vec<u64>),
    /// Flows of which no value has a series.
    Other,
}

/// Cells of adjacent bins.
#[derive(Clone, Debug, Default)]
struct Timeline {
    first: i64,
    cells: VecDeque<Cell>,
}

impl Timeline {
    /// Makes the cells from one bin to another. Callers bound how far bins are apart.
    fn reach(&mut self, (first, last): (i64, i64)) {
        if self.cells.is_empty() {
            self.first = first;
        }
        while first < self.first {
            self.cells.push_front(Cell::default());
            self.first -= 1;
        }
        let len = usize::try_from(last - self.first + 1).unwrap_or(0);
        if len > self.cells.len() {
            self.cells.resize(len, Cell::default());
        }
    }

    /// The cell of a bin that was made.
    #[inline]
    fn cell(&mut self, bin: i64) -> Option<&mut Cell> {
        self.cells.get_mut(usize::try_from(bin - self.first).ok()?)
    }

    fn get(&self, bin: i64) -> Cell {
        let at = usize::try_from(bin - self.first).ok();
        at.and_then(|at| self.cells.get(at)).copied().unwrap_or_default()
    }

    fn absorb(&mut self, other: &Self) {
        if other.cells.is_empty() {
            return;
        }
        self.reach((other.first, other.first + other.cells.len() as i64 - 1));
        for (bin, cell) in (other.first..).zip(&other.cells) {
            if let Some(mine) = self.cell(bin) {
                mine.add(cell);
            }
        }
    }
}

/// Values that all series may have together, 96 MiB, and those of each worker as well; all workers
/// together keep to [`Query::memory`].
const MAX_VALUES: u64 = 1 << 22;

/// One worker's series.
struct Spreader<'s> {
    reader: KeyReader<'s>,
    top: &'s KeySet,
    hasher: Hasher,
    bins: Bins,
    /// One for each key of `top`, and one for the rest.
    lines: Vec<Timeline>,
    extent: Extent,
    /// Set as soon as there is too much of it: then only the extent is kept on.
    is_too_long: bool,
    without_time: u64,
    hit: Vec<usize>,
    meter: Meter<'s>,
}

impl<'s> Spreader<'s> {
    fn new(
        reader: KeyReader<'s>,
        top: &'s KeySet,
        hasher: Hasher,
        bins: Bins,
        mut meter: Meter<'s>,
    ) -> Self {
        let lines = vec![Timeline::default(); top.len() + 1];
        meter.take(lines.len() * size_of::<Timeline>());
        let (is_too_long, hit) = (false, Vec::new());
        Self {
            reader,
            top,
            hasher,
            bins,
            lines,
            extent: Extent(None),
            is_too_long,
            without_time: 0,
            hit,
            meter,
        }
    }

    fn batch(&mut self, batch: &mut Batch<'_>) -> ControlFlow<()> {
        self.reader.bind(&batch.rows);
        let mut sums = NOTHING;
        for (_, shape, row) in selected(&batch.rows, batch.selected) {
            let counts = self.reader.counts(shape, row);
            join(&mut sums, &counts);
            if counts.first_ms == 0 {
                self.without_time = self.without_time.saturating_add(counts.flows);
                continue;
            }
            self.hit.clear();
            for n in 0..self.reader.len() {
                let Some((class, key)) = self.reader.key(shape, n, row) else { continue };
                let hash = self.hasher.hash_words(key);
                self.hit.extend(self.top.find(hash, class, key));
            }
            if self.hit.is_empty() {
                self.hit.push(self.lines.len() - 1);
            }
            self.add(&counts)?;
        }
        batch.sums = Some(sums);
        ControlFlow::Continue(())
    }

    /// Adds a flow to the series in `hit`; twice where a value is there twice, as statistics do.
    /// Breaks when memory is used up.
    fn add(&mut self, counts: &Counts) -> ControlFlow<()> {
        let (first, last) = (counts.first_ms, counts.last_ms);
        self.extent.add(self.bins.extent(first, last));
        if self.is_too_long {
            return ControlFlow::Continue(());
        }
        let bins = self.extent.bins();
        if bins > MAX_BINS || bins.saturating_mul(self.lines.len() as u64) > MAX_VALUES {
            self.is_too_long = true;
            self.lines.iter_mut().for_each(|l| *l = Timeline::default());
            return ControlFlow::Continue(());
        }
        let amounts = [counts.packets(Side::Both), counts.bytes(Side::Both)];
        let mut grown = 0;
        for line in &self.hit {
            let Some(line) = self.lines.get_mut(*line) else { continue };
            let mut flows = counts.flows;
            let before = line.cells.capacity();
            line.reach(self.bins.extent(first, last));
            grown += line.cells.capacity().saturating_sub(before);
            self.bins.spread(first, last, amounts, |bin, [packets, bytes]| {
                if let Some(cell) = line.cell(bin) {
                    cell.add(&Cell { flows: std::mem::take(&mut flows), packets, bytes });
                }
            });
        }
        match self.meter.take(grown * size_of::<Cell>()) {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(()),
        }
    }
}

impl Query {
    /// What flowed in each bin of time. Packets and octets of a flow are spread over its duration,
    /// in whole numbers that add up to its counters; a flow itself is counted where it begins.
    ///
    /// With a ranking the files are read twice: first for the values that matter most, then for
    /// their series. Flows of which no value has a series make the series `other`.
    ///
    /// # Errors
    ///
    /// [`AnalysisError`] if there are too many bins, or too many series for them.
    pub fn series(&self, request: &SeriesRequest<'_>) -> Result<(Series, Report), AnalysisError> {
        let bins = self.bins(request.bin, request.time_zone);
        let (hasher, budget) = (Hasher::new(), Budget::new(self.analysis_memory()));
        let first = request.top.map(|r| self.first_values(&r, hasher, &budget)).transpose()?;
        let is_over = first.as_ref().is_some_and(|f| f.report.interrupted);
        let specs = request.top.map_or_else(Vec::new, |r| r.by.keys());
        let none = KeySet::new(hasher);
        let top = first.as_ref().map_or(&none, |f| &f.keys);
        let again = first.as_ref().map(|f| f.places.as_slice());
        let spreader = || {
            let reader = KeyReader::new(&specs, self.book.as_deref());
            Spreader::new(reader, top, hasher, bins, Meter::new(&budget))
        };
        let scan = Scan { numbers: Numbers::None, threads: self.threads, again };
        let (states, read) = if is_over {
            (Vec::new(), Report::default())
        } else {
            let scanned = self.scan(&scan, spreader, Spreader::batch);
            (scanned.states, scanned.report)
        };
        if budget.is_spent() {
            return Err(too_much(&budget));
        }
        let whole = Whole::of(states, request.bin, top.len())?;
        let (name, is_ranked) = (|n| LineName::of(top.get(n)), request.top.is_some());
        let lines = whole.lines.into_iter().enumerate().map(|(n, line)| match name(n) {
            LineName::All if is_ranked => (LineName::Other, line),
            name => (name, line),
        });
        let is_shown =
            |(name, t): &(LineName, Timeline)| *name != LineName::Other || !t.cells.is_empty();
        let series = Series {
            bins,
            first_bin: whole.first_bin,
            len: whole.len,
            key: request.key_columns(self.book.clone()),
            title: request.title(),
            lines: lines.filter(is_shown).collect(),
            without_time: whole.without_time,
        };
        let report = match first {
            None => read,
            Some(FirstValues { mut report, .. }) => {
                report.tell_again(read);
                report
            }
        };
        Ok((series, report))
    }

    /// The keys of a ranking, the first one first.
    fn first_values(
        &self,
        ranking: &Ranking<'_>,
        hasher: Hasher,
        budget: &Budget,
    ) -> Result<FirstValues, AnalysisError> {
        let specs: Vec<KeySpec> = ranking.by.keys();
        let wanted = [ranking.by.wanted(vec![Some(ranking.sorting)])];
        // Only memory stands between a question and its groups.
        let memory = |_| budget.error("the values of a ranking", "fewer of them with -n");
        let gathered = self.gather(&wanted, ranking.n).map_err(memory)?;
        let groups = gathered.groups.into_iter().next().unwrap_or_default();
        let most = if ranking.n == 0 { usize::MAX } else { ranking.n };
        let series = groups.kept().min(most) as u64 + 1;
        if series > MAX_VALUES {
            return Err(AnalysisError::TooManyValues { series, bins: 1, limit: MAX_VALUES });
        }
        let mut keys = KeySet::new(hasher);
        for top in groups.ranked(Some(ranking.sorting), ranking.n, self.threads) {
            // The tables of the aggregator are as wide as the next power: keys are cut again.
            let words = specs.first().map_or(1, |s| s.words(top.class));
            if let Some(key) = top.group.key.get(..words) {
                keys.insert(hasher.hash_words(key), top.class, key);
            }
        }
        let words = keys.octets() / size_of::<u64>() / keys.len().max(1);
        if !budget.take(keys.len() * KeySet::cost(words)) {
            return Err(too_much(budget));
        }
        Ok(FirstValues { keys, report: gathered.report, places: gathered.places })
    }

    /// Bins that begin at round times of a zone.
    pub(crate) fn bins(&self, width: BinWidth, zone: TimeZone) -> Bins {
        // Offsets are whole quarters of an hour: bins that divide one begin alike everywhere.
        if 900_000u64.is_multiple_of(width.ms()) {
            return Bins::new(width, 0);
        }
        let secs = i64::try_from(self.reference_ms() / 1000).unwrap_or(0);
        Bins::new(width, zone.offset(secs))
    }

    /// A moment at the beginning of the answer: that of the window, of the first file, or of the
    /// first record.
    fn reference_ms(&self) -> u64 {
        if let Some((from, _)) = self.window
            && from > 0
        {
            return from;
        }
        let first = |path: &std::path::PathBuf| {
            let file = self.open_input(path).ok()?;
            let stated = file.totals().and_then(record::Totals::window).map(|w| w.0);
            let read = || {
                let mut reader = InputReader::default();
                let block = reader.load(&file, 0, 1 << Field::First as u32, &mut 0).ok()?;
                Some(block.rows.row(0)?.number(Field::First))
            };
            stated.filter(|ms| *ms > 0).or_else(read).filter(|ms| *ms > 0)
        };
        self.files.iter().find_map(first).unwrap_or(0)
    }
}

/// What a first reading has found.
struct FirstValues {
    keys: KeySet,
    report: Report,
    places: Arc<Vec<Place>>,
}

const fn too_much(budget: &Budget) -> AnalysisError {
    budget.error("series and their bins", "fewer of them with -n, or wider bins")
}

/// The series of all workers.
struct Whole {
    first_bin: i64,
    len: usize,
    lines: Vec<Timeline>,
    without_time: u64,
}

impl Whole {
    fn of(
        workers: Vec<Spreader<'_>>,
        width: BinWidth,
        values: usize,
    ) -> Result<Self, AnalysisError> {
        let mut extent = Extent(None);
        workers.iter().for_each(|w| extent.absorb(w.extent));
        let (first_bin, len) = extent.checked(width)?;
        let (series, bins) = (values as u64 + 1, len as u64);
        if series.saturating_mul(bins) > MAX_VALUES {
            return Err(AnalysisError::TooManyValues { series, bins, limit: MAX_VALUES });
        }
        let without_time = workers.iter().fold(0u64, |sum, w| sum.saturating_add(w.without_time));
        // Each worker's series go as soon as they are joined.
        let mut workers = workers.into_iter().map(|w| w.lines);
        let mut lines = workers.next().unwrap_or_else(|| vec![Timeline::default(); values + 1]);
        for other in workers {
            lines.iter_mut().zip(other).for_each(|(mine, theirs)| mine.absorb(&theirs));
        }
        Ok(Self { first_bin, len, lines, without_time })
    }
}

impl Ranking<'_> {
    /// What stands above a table.
    pub(crate) fn title(&self) -> String {
        let n = if self.n == 0 { String::new() } else { format!("{} ", self.n) };
        let what = match self.by {
            By::Element { element, .. } => element.title.trim(),
            By::Flows(_) => "flows",
        };
        format!("Top {n}{what} ordered by {}", self.sorting.order.flow_name())
    }
}

impl SeriesRequest<'_> {
    /// What the table looks like, without any data.
    pub fn table(&self, options: &FormatOptions) -> Table {
        table(self.title(), self.key_columns(None).as_ref(), options)
    }

    fn key_columns(&self, book: Option<Arc<dyn AddressBook>>) -> Option<KeyColumns> {
        self.top.map(|r| KeyColumns::new(r.by, book))
    }

    fn title(&self) -> String {
        match &self.top {
            Some(ranking) => format!("{}, in bins of {}:", ranking.title(), self.bin),
            None => format!("Flows in bins of {}:", self.bin),
        }
    }
}

impl LineName {
    fn of(key: Option<(Class, &[u64])>) -> Self {
        key.map_or(Self::All, |(class, key)| Self::Value(class, key.to_vec()))
    }
}

/// `start` (of the bin), `value` (or the fields of `-A`; not for one series of all), `flows`,
/// `packets`, `bytes` (B), `pps` (1/s), `bps` (bit/s).
fn table(title: String, key: Option<&KeyColumns>, options: &FormatOptions) -> Table {
    let mut columns =
        vec![Column::new("start", "Bin start", "", ColumnKind::Time).about("when the bin begins")];
    columns.extend(key.iter().flat_map(|k| k.columns(options)));
    let number = |name, title, unit| Column::new(name, title, unit, ColumnKind::Number);
    columns.extend([
        number("flows", "Flows", "").about("flows that began in the bin"),
        number("packets", "Packets", "").about("packets of both directions in the bin"),
        number("bytes", "Bytes", "B").about("octets of both directions in the bin"),
        Column::new("pps", "pps", "1/s", ColumnKind::Rate).about("packets in a second of the bin"),
        Column::new("bps", "bps", "bit/s", ColumnKind::Rate).about("bits in a second of the bin"),
    ]);
    Table { title, columns }
}

impl Series {
    /// How many bins each series has.
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether no flow passed.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Flows that say no time, and so are in no bin.
    pub const fn without_time(&self) -> u64 {
        self.without_time
    }

    /// The cells of each series, bin by bin.
    pub fn cells(&self) -> impl Iterator<Item = Vec<Cell>> + '_ {
        let bins = self.first_bin..self.first_bin + self.len as i64;
        self.lines.iter().map(move |(_, line)| bins.clone().map(|b| line.get(b)).collect())
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
        let names: Vec<Vec<Shown>> = self.names(kind, options);
        let table = table(self.title.clone(), self.key.as_ref(), options);
        let mut page = Page::new(printer, table, out);
        let mut values = Vec::new();
        for bin in self.first_bin..self.first_bin + self.len as i64 {
            let start = self.bins.start_ms(bin);
            for (name, (_, line)) in names.iter().zip(&self.lines) {
                let cell = line.get(bin);
                values.clear();
                values.push(Value::Time(start));
                values.extend(name.iter().map(|s| Value::Key(s.key())));
                values.extend([
                    Value::Number(cell.flows),
                    Value::Number(cell.packets),
                    Value::Number(cell.bytes),
                    Value::Number(Measure::Packets.value(&cell, self.bins.width)),
                    Value::Number(Measure::Bits.value(&cell, self.bins.width)),
                ]);
                page.row(&values)?;
            }
        }
        page.finish()
    }

    /// The values of each series, one a column.
    fn names(&self, kind: Kind, options: &FormatOptions) -> Vec<Vec<Shown>> {
        let name = |(name, _): &(LineName, Timeline)| match (name, &self.key) {
            (LineName::Value(class, key), Some(columns)) => {
                columns.values(*class, key, kind, options)
            }
            (LineName::Other, Some(columns)) => columns.other(),
            _ => Vec::new(),
        };
        self.lines.iter().map(name).collect()
    }

    /// Draws every series, one below the other, in `width` columns; `ascii` for terminals that
    /// have nothing else. Nothing is drawn of no flows.
    pub fn plot(
        &self,
        measure: Measure,
        width: usize,
        ascii: bool,
        zone: TimeZone,
        out: &mut Vec<u8>,
    ) {
        if self.is_empty() {
            return;
        }
        let plot = Plot {
            unit: measure.unit(),
            start_ms: self.bins.start_ms(self.first_bin),
            bin_ms: self.bins.width.ms(),
            width,
            // Many series get a line or two each, so that they can be compared on one screen.
            height: match self.lines.len() {
                1 => 10,
                2..=4 => 5,
                _ => 3,
            },
            ascii,
            time_zone: zone,
        };
        let options = FormatOptions { time_zone: zone, ..FormatOptions::default() };
        let names = self.names(Kind::Csv, &options);
        for (n, ((name, cells), (line, _))) in
            names.iter().zip(self.cells()).zip(&self.lines).enumerate()
        {
            if n > 0 {
                out.push(b'\n');
            }
            let name = match line {
                LineName::All => b"all flows".to_vec(),
                _ => name.iter().map(|s| shown_text(s.key())).collect::<Vec<_>>().join(&b' '),
            };
            let values: Vec<u64> =
                cells.iter().map(|c| measure.value(c, self.bins.width)).collect();
            plot.print(&[PlotSeries { name: &name, values: &values }], out);
        }
    }
}

/// A value as CSV shows it, without quotes.
fn shown_text(key: StatKey<'_>) -> Vec<u8> {
    if let StatKey::Text(text) = key {
        return text.to_vec();
    }
    let mut text = Vec::new();
    let table = Table {
        title: String::new(),
        columns: vec![Column::new("value", "", "", ColumnKind::Text)],
    };
    let mut printer = TablePrinter::new(Kind::Csv, &FormatOptions::default());
    printer.row(&table, &[Value::Key(key)], &mut text);
    text.pop();
    text
}
