//! `--counters`: what interfaces counted, from the samples that collectors keep beside the flows.

use super::print::complain;
use crate::args::flowdump::{Args, CounterView};
use crate::cmd::window::Window;
use crate::exit::Exit;
use anyhow::bail;
use output::{Column, ColumnKind, FormatOptions, Kind, Table, TablePrinter, Value};
use query::BinWidth;
use record::{Addr, InterfaceCounters, InterfaceSample, NameTable};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use store::counters::{self, Change, Span, Traffic};
use store::{BlockReader, FlowFile, MetaRecord, ReadOptions};

/// Which interface: agent and ifIndex.
type Key = (Addr, u32);

/// Interfaces that are told apart; samples of others are counted.
const INTERFACES: usize = 1 << 20;

/// Prints samples, rates or sums of all interfaces.
pub(super) fn print(
    name: &str,
    args: &Args,
    flow_files: &[PathBuf],
    read: &ReadOptions,
    (kind, options): (Kind, &FormatOptions),
    view: CounterView,
) -> anyhow::Result<Exit> {
    let bin = args.count.bin.as_deref().map(BinWidth::parse).transpose()?;
    if bin.is_some() && view != CounterView::Sums {
        bail!("--bin makes sums: use it with --counters alone");
    }
    let (files, span) = input(args, flow_files)?;
    let mut out = BufWriter::new(io::stdout().lock());
    let mut report = Report {
        view,
        bin_ms: bin.map(BinWidth::ms),
        table: table(view, bin.is_some()),
        printer: TablePrinter::new(kind, options),
        names: names(flow_files, read),
        left: limit(args, view),
        text: Vec::new(),
        last: BTreeMap::new(),
        sums: BTreeMap::new(),
        ignored: 0,
    };
    report.printer.open(&mut report.text);
    report.printer.table(&report.table, &mut report.text);
    let mut exit = Exit::Success;
    for path in &files {
        let mut written = Ok(());
        let found = counters::read(path, span, |sample| {
            report.add(sample);
            if written.is_ok() && report.text.len() > 1 << 16 {
                written = out.write_all(&report.text);
                report.text.clear();
            }
        });
        written?;
        match found {
            Ok(found) if found.damaged_blocks > 0 => {
                let n = found.damaged_blocks;
                complain(name, path, &format!("{n} blocks of counters are damaged"));
                exit = Exit::Incomplete;
            }
            Ok(_) => {}
            Err(e) => {
                complain(name, path, &e.to_string());
                exit = Exit::Incomplete;
            }
        }
    }
    report.print_sums();
    report.printer.close(&mut report.text);
    if kind == Kind::Text && !options.quiet && !report.printer.has_rows() {
        report.text.extend_from_slice(b"No counters of interfaces in these files and times\n");
    }
    out.write_all(&report.text)?;
    out.flush()?;
    if report.ignored > 0 {
        eprintln!("{name}: {} samples of too many interfaces are left out", report.ignored);
    }
    Ok(exit)
}

fn limit(args: &Args, view: CounterView) -> u64 {
    match (args.count.top, view) {
        (None | Some(0), _) => u64::MAX,
        (Some(n), _) => n as u64,
    }
}

/// Files of counters, and which of their times are asked for: all where directories are named, or
/// else those of the flow files; and only those within `-t`.
fn input(args: &Args, flow_files: &[PathBuf]) -> anyhow::Result<(Vec<PathBuf>, Span)> {
    let named = [args.input.read.as_deref(), args.input.many.range.as_deref()];
    let directory = named.into_iter().flatten().map(Path::new).find(|p| p.is_dir());
    let mut files = counters::beside(flow_files);
    let mut span = (0, u64::MAX);
    match directory {
        Some(directory) if args.input.many.multi.is_none() => {
            let more = directory.canonicalize().map(|d| counters::within(&d)).unwrap_or_default();
            files.extend(more);
            files.sort_by(|a, b| (a.file_name(), a).cmp(&(b.file_name(), b)));
            files.dedup();
        }
        _ if named == [None, None] => {}
        _ => span = counters::span_of(flow_files).unwrap_or(span),
    }
    if let Some(window) = args.input.window.as_deref().map(Window::parse).transpose()? {
        span.0 = span.0.max(window.from_ms);
        span.1 = span.1.min(window.until_ms.unwrap_or(u64::MAX));
    }
    Ok((files, span))
}

/// Names of interfaces, as the last of the flow files has them. It does not say whose they are, so
/// they are taken if it has a single agent.
fn names(flow_files: &[PathBuf], read: &ReadOptions) -> BTreeMap<Key, String> {
    let mut names = BTreeMap::new();
    let Some(file) = flow_files.last().and_then(|f| FlowFile::open_with(f, read).ok()) else {
        return names;
    };
    let mut reader = BlockReader::new();
    // Collectors begin each file with all they know.
    let Ok(block) = reader.load(&file, 0) else { return names };
    let addr = |r: &MetaRecord| match r {
        MetaRecord::Exporter(e) => Some(e.addr),
        _ => None,
    };
    let mut agents: Vec<Addr> = block.meta.iter().filter_map(addr).collect();
    agents.dedup();
    let &[agent] = agents.as_slice() else { return names };
    for record in block.meta {
        if let MetaRecord::Name { table: NameTable::Interface, id, name } = record {
            names.insert((agent, *id), String::from_utf8_lossy(name).into_owned());
        }
    }
    names
}

/// What is printed, and what was seen so far.
struct Report {
    view: CounterView,
    bin_ms: Option<u64>,
    table: Table,
    printer: TablePrinter,
    names: BTreeMap<Key, String>,
    /// Rows that may still be printed.
    left: u64,
    text: Vec<u8>,
    last: BTreeMap<Key, InterfaceSample>,
    /// By start of the bin, 0 without bins.
    sums: BTreeMap<(u64, Key), Sums>,
    ignored: u64,
}

/// Sums over the changes of an interface.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    speed: u64,
    samples: u64,
    /// Samples that say nothing about what was before them: the device was started again.
    restarts: u64,
    ms: u64,
    input: Direction,
    output: Direction,
}

/// Sums of one direction.
#[derive(Clone, Copy, Debug, Default)]
struct Direction {
    octets: u64,
    packets: u64,
    discards: u64,
    errors: u64,
    /// Largest rate between two samples, bits a second.
    peak: u64,
}

impl Direction {
    fn add(&mut self, t: &Traffic, ms: u64) {
        let add = |sum: &mut u64, n: Option<u64>| *sum = sum.saturating_add(n.unwrap_or(0));
        add(&mut self.octets, t.octets);
        add(&mut self.packets, t.packets);
        add(&mut self.discards, t.discards);
        add(&mut self.errors, t.errors);
        self.peak = self.peak.max(bits(t.octets.unwrap_or(0), ms));
    }
}

/// So many a second.
fn per_second(n: u64, ms: u64) -> u64 {
    let rate = u128::from(n) * 1000 / u128::from(ms.max(1));
    u64::try_from(rate).unwrap_or(u64::MAX)
}

fn bits(octets: u64, ms: u64) -> u64 {
    per_second(octets.saturating_mul(8), ms)
}

/// Share of what the interface can carry; nothing where its speed is not known.
fn utilisation(bits: u64, speed: u64) -> Value<'static> {
    if speed == 0 { Value::Nothing } else { Value::Percent(100.0 * bits as f64 / speed as f64) }
}

impl Report {
    fn add(&mut self, sample: &InterfaceSample) {
        let key = (sample.agent, sample.index);
        if self.view == CounterView::Samples {
            let row = sample_row(sample);
            return self.row(Some(sample.time_ms), key, sample.speed, &row);
        }
        if self.last.len() >= INTERFACES && !self.last.contains_key(&key) {
            self.ignored += 1;
            return;
        }
        let before = self.last.insert(key, *sample);
        let change = before.as_ref().map(|b| Change::between(b, sample));
        match self.view {
            CounterView::Rates => {
                if let Some(Some(change)) = change {
                    self.row(Some(sample.time_ms), key, sample.speed, &rate_row(&change, sample));
                }
            }
            _ => self.sum(key, sample, change),
        }
    }

    fn sum(&mut self, key: Key, sample: &InterfaceSample, change: Option<Option<Change>>) {
        let bin = self.bin_ms.map_or(0, |ms| sample.time_ms - sample.time_ms % ms.max(1));
        let sums = self.sums.entry((bin, key)).or_default();
        sums.speed = sample.speed;
        sums.samples += 1;
        match change {
            Some(Some(change)) => {
                sums.ms = sums.ms.saturating_add(change.ms);
                sums.input.add(&change.input, change.ms);
                sums.output.add(&change.output, change.ms);
            }
            Some(None) => sums.restarts += 1,
            None => {}
        }
    }

    /// Prints the sums: bins in their order, in each the busiest interfaces first.
    fn print_sums(&mut self) {
        let mut all: Vec<_> = std::mem::take(&mut self.sums).into_iter().collect();
        let has_bins = self.bin_ms.is_some();
        all.sort_by_key(|((bin, _), s)| (*bin, Reverse(s.input.octets.max(s.output.octets))));
        for ((bin, key), sums) in all {
            self.row(has_bins.then_some(bin), key, sums.speed, &sum_row(&sums));
        }
    }

    fn row(&mut self, time_ms: Option<u64>, key: Key, speed: u64, values: &[Value<'static>]) {
        if self.left == 0 {
            return;
        }
        self.left -= 1;
        let agent = key.0.to_string();
        let mut row: Vec<Value<'_>> = time_ms.map(Value::Time).into_iter().collect();
        row.push(Value::Text(&agent));
        row.push(Value::Number(key.1.into()));
        row.push(self.names.get(&key).map_or(Value::Nothing, |name| Value::Text(name)));
        row.push(Value::Number(speed));
        row.extend_from_slice(values);
        self.printer.row(&self.table, &row, &mut self.text);
    }
}

fn table(view: CounterView, has_time: bool) -> Table {
    use ColumnKind::{Number, Percent, Rate, Text, Time};
    let mut columns = Vec::new();
    if has_time || view != CounterView::Sums {
        columns.push(Column::new("time", "Time", "", Time));
    }
    columns.extend([
        Column::new("agent", "Agent", "", Text).wide(16),
        Column::new("if_index", "ifIndex", "", Number),
        Column::new("interface", "Interface", "", Text).wide(12),
        Column::new("speed", "Speed", "bit/s", Number),
    ]);
    let number = |name: &'static str, title: &'static str| Column::new(name, title, "", Number);
    let octets = |name: &'static str, title: &'static str| Column::new(name, title, "B", Number);
    let bits = |name: &'static str, title: &'static str| Column::new(name, title, "bit/s", Rate);
    let packets = |name: &'static str, title: &'static str| Column::new(name, title, "1/s", Rate);
    let share = |name: &'static str, title: &'static str| Column::new(name, title, "%", Percent);
    match view {
        CounterView::Sums => columns.extend([
            number("samples", "Samples"),
            number("restarts", "Restarts").for_programs(),
            number("seconds", "").for_programs(),
            octets("in_bytes", "In bytes"),
            octets("out_bytes", "Out bytes"),
            bits("in_bps", "In bps"),
            bits("out_bps", "Out bps"),
            bits("in_peak_bps", "In peak"),
            bits("out_peak_bps", "Out peak"),
            packets("in_pps", "In pps"),
            packets("out_pps", "Out pps"),
            share("in_util", "In %"),
            share("out_util", "Out %"),
            number("in_errors", "In err"),
            number("out_errors", "Out err"),
            number("in_discards", "In disc"),
            number("out_discards", "Out disc"),
        ]),
        CounterView::Rates => columns.extend([
            bits("in_bps", "In bps"),
            bits("out_bps", "Out bps"),
            packets("in_pps", "In pps"),
            packets("out_pps", "Out pps"),
            share("in_util", "In %"),
            share("out_util", "Out %"),
            number("in_errors", "In err"),
            number("out_errors", "Out err"),
            number("in_discards", "In disc"),
            number("out_discards", "Out disc"),
        ]),
        CounterView::Samples => columns.extend([
            number("if_type", "Type"),
            number("status", "Status"),
            octets("in_bytes", "In bytes"),
            octets("out_bytes", "Out bytes"),
            number("in_unicast", "In ucast"),
            number("out_unicast", "Out ucast"),
            number("in_multicast", "In mcast"),
            number("out_multicast", "Out mcast"),
            number("in_broadcast", "In bcast"),
            number("out_broadcast", "Out bcast"),
            number("in_errors", "In err"),
            number("out_errors", "Out err"),
            number("in_discards", "In disc"),
            number("out_discards", "Out disc"),
        ]),
    }
    Table { title: String::new(), columns }
}

fn sum_row(s: &Sums) -> Vec<Value<'static>> {
    let (i, o) = (&s.input, &s.output);
    let (in_bps, out_bps) = (bits(i.octets, s.ms), bits(o.octets, s.ms));
    let counts = |all: &[u64]| all.iter().copied().map(Value::Number).collect::<Vec<_>>();
    let mut row = counts(&[
        s.samples,
        s.restarts,
        s.ms / 1000,
        i.octets,
        o.octets,
        in_bps,
        out_bps,
        i.peak,
        o.peak,
        per_second(i.packets, s.ms),
        per_second(o.packets, s.ms),
    ]);
    row.extend([utilisation(in_bps, s.speed), utilisation(out_bps, s.speed)]);
    row.extend(counts(&[i.errors, o.errors, i.discards, o.discards]));
    row
}

fn rate_row(c: &Change, sample: &InterfaceSample) -> Vec<Value<'static>> {
    let number = |n: Option<u64>| n.map_or(Value::Nothing, Value::Number);
    let rates = [&c.input, &c.output].map(|t| t.octets.map(|o| bits(o, c.ms)));
    let share = |rate: Option<u64>| rate.map_or(Value::Nothing, |r| utilisation(r, sample.speed));
    let packets = [&c.input, &c.output].map(|t| t.packets.map(|p| per_second(p, c.ms)));
    let mut row: Vec<_> = rates.into_iter().chain(packets).map(number).collect();
    row.extend(rates.map(share));
    let (i, o) = (&c.input, &c.output);
    row.extend([i.errors, o.errors, i.discards, o.discards].map(number));
    row
}

fn sample_row(s: &InterfaceSample) -> Vec<Value<'static>> {
    // All bits set: the agent does not count this.
    let wide = |n: u64| if n == u64::MAX { Value::Nothing } else { Value::Number(n) };
    let narrow = |n: u32| if n == u32::MAX { Value::Nothing } else { Value::Number(n.into()) };
    let mut row =
        vec![narrow(s.kind), narrow(s.status), wide(s.input.octets), wide(s.output.octets)];
    let each: [fn(&InterfaceCounters) -> u32; 5] =
        [|c| c.unicast, |c| c.multicast, |c| c.broadcast, |c| c.errors, |c| c.discards];
    row.extend(each.iter().flat_map(|f| [narrow(f(&s.input)), narrow(f(&s.output))]));
    row
}
