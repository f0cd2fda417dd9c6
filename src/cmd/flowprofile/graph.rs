//! `graph`: counters over time, drawn or printed.

use super::{Tables, find, print, tell_damaged};
use crate::args::flowprofile::{Graph, GraphFormat, Measure};
use crate::cmd::window::Window;
use crate::cmd::{complain, terminal};
use crate::exit::Exit;
use anyhow::ensure;
use output::{Column, ColumnKind, Kind, Plot, PlotSeries, Table, TimeZone, Value};
use profile::{Bin, CounterStore, Counters, Counts, Profile, Profiles, SlotCounters, roll_up};
use query::MAX_BINS;

/// The counters of a channel.
struct Line<'p> {
    channel: &'p str,
    bins: Vec<Bin>,
}

/// Which times, and how they are divided.
#[derive(Clone, Copy)]
struct Axis {
    /// From, and up to, in seconds since 1970.
    from: u64,
    until: u64,
    /// Seconds of a bin.
    width: u64,
}

impl Axis {
    /// Begin of the bin that a moment is in: days begin at midnight, hours at full hours, of local
    /// time.
    fn bin(&self, secs: u64) -> u64 {
        let east = i64::from(TimeZone::Local.offset(secs.cast_signed()));
        let local = secs.saturating_add_signed(east);
        (local - local % self.width).saturating_add_signed(-east)
    }
}

pub(super) fn graph(name: &str, profiles: &Profiles, graph: &Graph) -> anyhow::Result<Exit> {
    let Some(profile) = profiles.profiles.get(find(profiles, &graph.profile)?) else {
        return Ok(Exit::Failure);
    };
    for wanted in &graph.channel {
        let is_known = profile.channels.iter().any(|c| c.name == *wanted);
        ensure!(is_known, "profile {profile} has no channel '{wanted}'");
    }
    let store = CounterStore::new(profiles.stats_dir(profile), profiles.interval);
    let is_wanted = |c: &&str| graph.channel.is_empty() || graph.channel.iter().any(|w| w == c);
    let channels: Vec<&str> =
        profile.channels.iter().map(|c| c.name.as_str()).filter(is_wanted).collect();
    let Some(axis) = axis(profiles, graph, &store, &channels)? else {
        complain(name, &format!("nothing of profile {profile} has been counted then"));
        return Ok(Exit::Success);
    };
    let (mut lines, mut damaged) = (Vec::new(), Vec::new());
    for channel in channels {
        let mut bins = Vec::new();
        let mut commands = String::new();
        let each = |slot: SlotCounters| match graph.output {
            GraphFormat::Rrd => commands.push_str(&rrd_command(channel, &slot)),
            _ => roll_up(&mut bins, axis.bin(slot.start), &slot),
        };
        damaged.extend(store.read(channel, axis.from, axis.until, each)?);
        print(commands.as_bytes())?;
        lines.push(Line { channel, bins });
    }
    match graph.output {
        GraphFormat::Rrd => {}
        GraphFormat::Plot => draw(profile, graph, axis, &lines)?,
        GraphFormat::Text => table(Kind::Text, profile, axis, &lines)?,
        GraphFormat::Csv => table(Kind::Csv, profile, axis, &lines)?,
        GraphFormat::Json => table(Kind::Json, profile, axis, &lines)?,
        GraphFormat::Ndjson => table(Kind::Ndjson, profile, axis, &lines)?,
    }
    Ok(tell_damaged(name, &damaged))
}

/// `None` if nothing was counted.
fn axis(
    profiles: &Profiles,
    graph: &Graph,
    store: &CounterStore,
    channels: &[&str],
) -> anyhow::Result<Option<Axis>> {
    let (mut first, mut last) = (u64::MAX, None);
    for channel in channels {
        if let Some((from, to)) = store.window(channel)? {
            first = first.min(from);
            last = last.max(Some(to));
        }
    }
    let interval = u64::from(profiles.interval);
    let Some(end) = last.map(|last| last + interval) else { return Ok(None) };
    let window = graph.time.as_deref().map(Window::parse).transpose()?;
    let (from, until) = match window {
        Some(w) => (w.from_ms / 1000, w.until_ms.map_or(end, |ms| ms.div_ceil(1000))),
        None => (end.saturating_sub(86_400), end),
    };
    let (from, until) = (from.max(first), until.min(end));
    if from >= until {
        return Ok(None);
    }
    let asked = graph.bin.map(|b| b.ms() / 1000);
    if let Some(width) = asked {
        ensure!(
            width >= interval && width.is_multiple_of(interval),
            "--bin {width}s: a slot has {interval} seconds; take a multiple of that"
        );
    }
    let width = asked.unwrap_or_else(|| fitting(until - from, interval, graph.output));
    ensure!(
        (until - from) / width < MAX_BINS,
        "more than {MAX_BINS} bins: take a wider --bin, or less time with -t"
    );
    Ok(Some(Axis { from, until, width }))
}

/// Where no width is asked for: a slot, or in a drawing what makes a bin a column.
fn fitting(span: u64, interval: u64, output: GraphFormat) -> u64 {
    if output != GraphFormat::Plot {
        return interval;
    }
    let columns = terminal::width() as u64;
    let mut widths = [1, 3, 6, 12, 24, 72, 144, 288, 2016].into_iter().map(|n| n * interval);
    widths.find(|w| span / w <= columns).unwrap_or(interval * 2016)
}

fn table(kind: Kind, profile: &Profile, axis: Axis, lines: &[Line<'_>]) -> anyhow::Result<()> {
    let number = |name: String, title: &'static str, unit| {
        Column::new(name, title, unit, ColumnKind::Number)
    };
    let mut columns = vec![
        Column::new("start", "Start", "", ColumnKind::Time),
        Column::new("end", "End", "", ColumnKind::Time).for_programs(),
        Column::new("profile", "Profile", "", ColumnKind::Text).for_programs(),
        Column::new("channel", "Channel", "", ColumnKind::Text).wide(14),
        number("slots".into(), "Slots", "").for_programs(),
        number("flows".into(), "Flows", ""),
        number("packets".into(), "Packets", ""),
        number("bytes".into(), "Bytes", "B"),
        Column::new("bps", "bit/s", "bit/s", ColumnKind::Rate),
    ];
    for protocol in Counters::PROTOCOLS {
        for (what, unit) in [("flows", ""), ("packets", ""), ("bytes", "B")] {
            columns.push(number(format!("{what}_{protocol}"), "", unit).for_programs());
        }
    }
    let table = Table { title: String::new(), columns };
    let mut tables = Tables::new(kind);
    tables.table(&table);
    let name = profile.to_string();
    for line in lines {
        for bin in &line.bins {
            let all = bin.counters.all();
            let end = axis.bin(bin.start + axis.width).max(bin.start + 1);
            let mut values = vec![
                Value::Time(bin.start * 1000),
                Value::Time(end * 1000),
                Value::Text(&name),
                Value::Text(line.channel),
                Value::Number(bin.slots),
                Value::Number(all.flows),
                Value::Number(all.packets),
                Value::Number(all.bytes),
                Value::Number(rate(all.bytes, axis.width)),
            ];
            for counts in bin.counters.each() {
                values.extend([counts.flows, counts.packets, counts.bytes].map(Value::Number));
            }
            tables.row(&table, &values);
        }
    }
    tables.print()
}

fn rate(bytes: u64, secs: u64) -> u64 {
    u64::try_from(u128::from(bytes) * 8 / u128::from(secs.max(1))).unwrap_or(u64::MAX)
}

fn draw(profile: &Profile, graph: &Graph, axis: Axis, lines: &[Line<'_>]) -> anyhow::Result<()> {
    let mut series = Vec::new();
    let start = axis.bin(axis.from);
    let bins = (axis.until - start).div_ceil(axis.width) as usize;
    for line in lines {
        let mut add = |name: String, of: &dyn Fn(&Counters) -> Counts| {
            let mut values = vec![0; bins];
            for bin in &line.bins {
                let at = (bin.start.saturating_sub(start) + axis.width / 2) / axis.width;
                if let Some(value) = values.get_mut(at as usize) {
                    *value = measure(graph.by, &of(&bin.counters), axis.width);
                }
            }
            series.push((name, values));
        };
        add(format!("{profile} {}", line.channel), &Counters::all);
        for (n, protocol) in Counters::PROTOCOLS.iter().enumerate().filter(|_| graph.protocols) {
            add(format!("{profile} {} {protocol}", line.channel), &|c| {
                c.each().get(n).copied().unwrap_or_default()
            });
        }
    }
    let plot = Plot {
        unit: match graph.by {
            Measure::Bits => "bit/s",
            Measure::Bytes => "B",
            Measure::Packets => "packets",
            Measure::Flows => "flows",
        },
        start_ms: start * 1000,
        bin_ms: axis.width * 1000,
        width: terminal::width(),
        height: match series.len() {
            1 => 10,
            2..=4 => 5,
            _ => 3,
        },
        ascii: !terminal::is_unicode(),
        time_zone: TimeZone::Local,
    };
    let series: Vec<PlotSeries<'_>> =
        series.iter().map(|(name, values)| PlotSeries { name: name.as_bytes(), values }).collect();
    let mut out = Vec::new();
    plot.print(&series, &mut out);
    print(&out)
}

fn measure(by: Measure, counts: &Counts, secs: u64) -> u64 {
    match by {
        Measure::Bits => rate(counts.bytes, secs),
        Measure::Bytes => counts.bytes,
        Measure::Packets => counts.packets,
        Measure::Flows => counts.flows,
    }
}

/// A line for `rrdtool -`, with the data sources that databases of NfSen have.
pub(super) fn rrd_command(file: &str, slot: &SlotCounters) -> String {
    let Counters { flows, packets, bytes } = &slot.counters;
    let all = slot.counters.all();
    let (mut names, mut values) = (Vec::new(), vec![slot.start.to_string()]);
    for (name, total, each) in [
        ("flows", all.flows, flows),
        ("packets", all.packets, packets),
        ("traffic", all.bytes, bytes),
    ] {
        names.push(name.to_owned());
        values.push(total.to_string());
        names.extend(Counters::PROTOCOLS.iter().map(|p| format!("{name}_{p}")));
        values.extend(each.iter().map(ToString::to_string));
    }
    format!("update {file}.rrd -t {} {}\n", names.join(":"), values.join(":"))
}
