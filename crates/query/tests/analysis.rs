//! Time series, percentiles and distinct counts, worked out twice: by the query engine on files, and
//! by plain loops over the flows that went into them. On one thread and on several.

use output::{Format, FormatOptions, Schema, TimeZone};
use query::{
    AnalysisError, Answer, BinWidth, By, Grouping, JoinedFlows, Measure, Percentile,
    PercentileRequest, Query, Ranking, Report, Request, SeriesRequest, Sorting, Tables,
};
use record::{Addr, AddressBook, Country, Field, Flow, FlowSink as _, Networks, TorExit};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use store::{Writer, WriterOptions};

const THREADS: [usize; 3] = [1, 2, 5];
const START: u64 = 1_795_000_000_000;

struct Input {
    _dir: tempfile::TempDir,
    files: Vec<PathBuf>,
    flows: Vec<Flow>,
}

struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }

    /// Short flows, long ones that reach over many bins, and broken ones.
    fn flow(&mut self) -> Flow {
        let mut f = Flow::new();
        let first = START + self.below(7_200_000);
        let last = match self.below(8) {
            0 => first,
            1 => first - self.below(5_000),
            2 => first + self.below(3_600_000),
            3 => first + 1 + self.below(3),
            _ => first + self.below(60_000),
        };
        let packets = self.below(1000);
        for (field, value) in [
            (Field::First, first),
            (Field::Last, last),
            (Field::Packets, packets),
            (Field::Bytes, packets * (40 + self.below(1400))),
            (Field::Proto, [6, 17, 1][self.below(3) as usize]),
            (Field::SrcPort, self.below(65_536)),
            (Field::DstPort, 80 + self.below(3)),
        ] {
            f.set(field, value);
        }
        let v6 = self.below(4) == 0;
        let addr = |n: u64| {
            if v6 {
                Addr::V6(0x2001_0db8 << 96 | u128::from(n))
            } else {
                Addr::V4(0x0a00_0000 | n as u32)
            }
        };
        f.set_addr(Field::SrcAddr, addr(self.below(9) * 77));
        f.set_addr(Field::DstAddr, addr(self.below(2000)));
        if self.below(3) == 0 {
            f.set(Field::SrcAs, self.below(3) * 700);
            f.set(Field::DstAs, 0);
        }
        if self.below(5) == 0 {
            f.set(Field::Flows, 1 + self.below(3));
            f.set(Field::OutPackets, self.below(9));
            f.set(Field::OutBytes, self.below(90_000));
        }
        f
    }
}

fn input(flows: usize) -> Input {
    let dir = tempfile::tempdir().unwrap();
    let (mut files, mut all) = (Vec::new(), Vec::new());
    let mut random = Random(0x5eed);
    for n in 0..3 {
        let path = dir.path().join(format!("nfcapd.20261118120{n}"));
        let mut writer = Writer::create(&path, &WriterOptions::default()).unwrap();
        for i in 0..flows / 3 {
            let flow = random.flow();
            writer.flow(&flow);
            all.push(flow);
            if i % 97 == 96 {
                writer.flush().unwrap();
            }
        }
        writer.close(&[]).unwrap();
        files.push(path);
    }
    Input { _dir: dir, files, flows: all }
}

/// Countries and systems made of the address.
#[derive(Debug)]
struct Book;

impl AddressBook for Book {
    fn country(&self, addr: Addr) -> Country {
        let name = match addr {
            Addr::V4(n) => ["CH", "DE", "FR"][n as usize % 3],
            Addr::V6(_) => "US",
        };
        Country::parse(name).unwrap()
    }
    fn asn(&self, addr: Addr) -> u32 {
        match addr {
            Addr::V4(n) => n % 4,
            Addr::V6(_) => 700,
        }
    }
    fn organisation(&self, asn: u32) -> Option<&str> {
        (asn == 700).then_some("Example, Inc.")
    }
    fn location(&self, _: Addr) -> Option<String> {
        None
    }
    fn networks_of_countries(&self, _: &dyn Fn(Country) -> bool) -> Networks {
        Networks::default()
    }
    fn networks_of_systems(&self, _: &dyn Fn(u32) -> bool) -> Networks {
        Networks::default()
    }
    fn tor_exits(&self) -> &[TorExit] {
        &[]
    }
    fn has_countries(&self) -> bool {
        true
    }
    fn has_systems(&self) -> bool {
        true
    }
}

fn query(input: &Input, threads: usize) -> Query {
    Query { files: input.files.clone(), threads, book: Some(Arc::new(Book)), ..Query::default() }
}

fn format(spec: &str) -> Format {
    let options =
        FormatOptions { time_zone: TimeZone::Utc, plain_numbers: true, ..FormatOptions::default() };
    Format::parse(spec, &options).unwrap()
}

fn request(text: &str) -> Request {
    Request::parse(text, &Grouping::five_tuple(), None).unwrap()
}

/// A document of the tables that `add` puts into it.
fn printed(name: &str, add: impl FnOnce(&mut Tables<'_>)) -> String {
    let mut out = Vec::new();
    let mut tables = Tables::new(&format(name), &Report::default(), &mut out);
    add(&mut tables);
    tables.finish().unwrap();
    String::from_utf8(out).unwrap()
}

fn objects(json: &str) -> Vec<Value> {
    serde_json::from_str(json).unwrap_or_else(|e| panic!("{e}: {json}"))
}

/// Counters of one direction or both in each bin, worked out edge by edge.
fn spread(flow: &Flow, width: u64, fields: &[Field]) -> Vec<(u64, u64)> {
    let n: u64 = fields.iter().map(|f| flow.number(*f)).sum();
    shares(flow, width, n)
}

fn shares(flow: &Flow, width: u64, n: u64) -> Vec<(u64, u64)> {
    let (first, last) = (flow.number(Field::First), flow.number(Field::Last));
    let begin = first / width;
    let Some(duration) = last.checked_sub(first).filter(|d| *d > 0) else {
        return vec![(begin, n)];
    };
    let (mut out, mut before) = (Vec::new(), 0);
    for bin in begin..=(last - 1) / width {
        let edge = ((bin + 1) * width).min(last);
        let upto = (u128::from(n) * u128::from(edge - first) / u128::from(duration)) as u64;
        out.push((bin, upto - before));
        before = upto;
    }
    assert_eq!(before, n);
    out
}

const IN_OUT_BYTES: [Field; 2] = [Field::Bytes, Field::OutBytes];
const IN_OUT_PACKETS: [Field; 2] = [Field::Packets, Field::OutPackets];

/// Flows, packets and bytes by series and bin.
fn slow_series<'f>(
    flows: impl Iterator<Item = &'f Flow>,
    width: u64,
    name: impl Fn(&Flow) -> Vec<String>,
) -> BTreeMap<(u64, String), [u64; 3]> {
    let mut out = BTreeMap::<(u64, String), [u64; 3]>::new();
    for flow in flows {
        for name in name(flow) {
            let mut at = |bin: u64, which: usize, n: u64| {
                out.entry((bin, name.clone())).or_default()[which] += n;
            };
            at(flow.number(Field::First) / width, 0, flow.as_row().flows());
            spread(flow, width, &IN_OUT_PACKETS).iter().for_each(|s| at(s.0, 1, s.1));
            spread(flow, width, &IN_OUT_BYTES).iter().for_each(|s| at(s.0, 2, s.1));
        }
    }
    out
}

fn check_series(
    rows: &[Value],
    mut want: BTreeMap<(u64, String), [u64; 3]>,
    width: u64,
    names: usize,
) {
    let first = want.keys().next().unwrap().0;
    let last = want.keys().next_back().unwrap().0;
    assert_eq!(rows.len() as u64, (last - first + 1) * names as u64, "every bin is there");
    for (n, row) in rows.iter().enumerate() {
        let bin = first + (n / names) as u64;
        let start = chrono_text(bin * width);
        assert_eq!(row["start"], start);
        let name = row["value"].as_str().unwrap_or("").to_owned();
        let [flows, packets, bytes] = want.remove(&(bin, name)).unwrap_or_default();
        assert_eq!(
            [&row["flows"], &row["packets"], &row["bytes"]],
            [flows, packets, bytes],
            "{row}"
        );
        assert_eq!(row["pps"], packets * 1000 / width);
        assert_eq!(row["bps"], bytes * 8000 / width);
    }
    assert!(want.is_empty(), "{want:?}");
}

/// `YYYY-MM-DDTHH:MM:SS.mmm` in universal time, by way of a list of one flow.
fn chrono_text(ms: u64) -> String {
    let mut flow = Flow::new();
    flow.set(Field::First, ms);
    flow.set(Field::Last, ms);
    let (mut out, format) = (Vec::new(), format("fmt:%ts"));
    let mut printer = format.printer();
    printer.record(flow.as_row(), &output::RecordContext::new("", 1), &mut out);
    String::from_utf8(out).unwrap().trim().replace(' ', "T")
}

fn bin(text: &str) -> BinWidth {
    BinWidth::parse(text).unwrap()
}

#[test]
fn one_series_of_all_flows() {
    let input = input(3000);
    for width in ["10s", "1m", "5m", "1h", "1d"] {
        let request = SeriesRequest { bin: bin(width), top: None, time_zone: TimeZone::Utc };
        let want = slow_series(input.flows.iter(), bin(width).ms(), |_| vec![String::new()]);
        let mut texts = HashSet::new();
        for threads in THREADS {
            let (series, report) = query(&input, threads).series(&request).unwrap();
            assert_eq!(report.records_passed, 3000);
            let text = printed("json", |t| series.add_to(t));
            check_series(&objects(&text), want.clone(), bin(width).ms(), 1);
            texts.insert(text);
        }
        assert_eq!(texts.len(), 1, "the same for any number of threads");
    }
}

#[test]
fn series_of_the_top_values_and_the_rest() {
    let input = input(3000);
    let width = bin("5m");
    let addr = |f: &Flow, field| f.as_row().addr(field).unwrap().to_string();
    for (element, order, fields) in [
        ("srcip", "bytes", vec![Field::SrcAddr]),
        ("ip", "flows", vec![Field::SrcAddr, Field::DstAddr]),
        ("srcip", "opkg:a", vec![Field::SrcAddr]),
    ] {
        let asked = request(&format!("{element}/{order}"));
        // Which values these are is what statistics say.
        let query_one = query(&input, 1);
        let (answers, report) = query_one.statistics(std::slice::from_ref(&asked), 0).unwrap();
        let (json, mut out) = (format("json"), Vec::new());
        let mut tables = Tables::new(&json, &report, &mut out);
        let Answer::Element(table) = &answers[0] else { panic!("an element") };
        tables.add(table, asked.sortings[0], 4);
        tables.finish().unwrap();
        let top: HashSet<String> = objects(&String::from_utf8(out).unwrap())
            .iter()
            .map(|o| o[element].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(top.len(), 4);
        let name = |f: &Flow| {
            let mut names: Vec<String> = fields.iter().map(|x| addr(f, *x)).collect();
            names.retain(|n| top.contains(n));
            if names.is_empty() { vec!["other".to_owned()] } else { names }
        };
        let want = slow_series(input.flows.iter(), width.ms(), name);
        let ranking = Ranking { by: &asked.by, sorting: asked.sortings[0], n: 4 };
        let series = SeriesRequest { bin: width, top: Some(ranking), time_zone: TimeZone::Utc };
        let mut texts = HashSet::new();
        for threads in THREADS {
            let (series, _) = query(&input, threads).series(&series).unwrap();
            let text = printed("json", |t| series.add_to(t));
            check_series(&objects(&text), want.clone(), width.ms(), 5);
            let csv = printed("csv", |t| series.add_to(t));
            assert!(csv.starts_with("start,value,flows,packets,bytes,pps,bps\n"), "{csv}");
            assert_eq!(csv.lines().count(), 1 + 5 * series.len());
            let mut plot = Vec::new();
            series.plot(Measure::Bits, 80, false, TimeZone::Utc, &mut plot);
            let plot = String::from_utf8(plot).unwrap();
            assert!(plot.lines().all(|l| l.chars().count() <= 80), "{plot}");
            assert_eq!(plot.matches(": peak ").count(), 5, "{plot}");
            texts.insert(text + &csv + &plot);
        }
        assert_eq!(texts.len(), 1, "the same for any number of threads");
    }
}

#[test]
fn too_many_bins_are_refused_with_a_width_that_does() {
    let mut input = input(300);
    let mut flow = input.flows[0].clone();
    flow.set(Field::First, START - 400_000_000);
    flow.set(Field::Last, START - 400_000_000);
    let path = input.files[0].with_file_name("nfcapd.202611160000");
    let mut writer = Writer::create(&path, &WriterOptions::default()).unwrap();
    writer.flow(&flow);
    writer.close(&[]).unwrap();
    input.files.push(path);
    for threads in THREADS {
        let query = query(&input, threads);
        let mut request = SeriesRequest { bin: bin("1s"), top: None, time_zone: TimeZone::Utc };
        let error = query.series(&request).unwrap_err();
        let AnalysisError::TooManyBins { bins, wide_enough, .. } = error else { panic!("{error}") };
        assert!(bins > 400_000, "{bins}");
        assert!(
            error.to_string().contains("bins of 1s")
                && error.to_string().contains("take bins of 5s")
        );
        request.bin = wide_enough.unwrap();
        assert!(query.series(&request).is_ok());
        let by = By::Flows(Grouping::parse("srcport,dstip").unwrap());
        let sorting = Sorting::parse("bytes").unwrap();
        request.top = Some(Ranking { by: &by, sorting, n: 0 });
        let error = query.series(&request).unwrap_err();
        assert!(matches!(error, AnalysisError::TooManyValues { series: 301, .. }), "{error}");
    }
}

/// Packets, octets of one direction and of the other, by key and bin.
type SlowCells = HashMap<String, BTreeMap<u64, [u64; 4]>>;

fn slow_cells(flows: &[Flow], width: u64, names: impl Fn(&Flow) -> Vec<String>) -> SlowCells {
    let mut out = SlowCells::new();
    let fields = [Field::Packets, Field::Bytes, Field::OutPackets, Field::OutBytes];
    for flow in flows {
        for name in names(flow) {
            let bins = out.entry(name).or_default();
            for (which, field) in fields.into_iter().enumerate() {
                for (bin, n) in shares(flow, width, flow.number(field)) {
                    bins.entry(bin).or_default()[which] += n;
                }
            }
        }
    }
    out
}

/// Nearest rank, largest, mean: all bins written out and sorted.
fn slow_usage(
    cells: &BTreeMap<u64, [u64; 4]>,
    all: std::ops::RangeInclusive<u64>,
    tenths: u64,
    which: &[usize],
    factor: u64,
    width: u64,
) -> [u64; 3] {
    let of = |bin: u64| cells.get(&bin).map_or(0, |c| which.iter().map(|w| c[*w]).sum());
    let mut values: Vec<u64> = all.map(of).collect();
    values.sort_unstable();
    let rank = (values.len() as u64 * tenths).div_ceil(1000);
    let rate = |n: u64| (u128::from(n) * u128::from(factor) * 1000 / u128::from(width)) as u64;
    let sum: u128 = values.iter().map(|v| u128::from(*v)).sum();
    let mean = sum * u128::from(factor) * 1000 / (u128::from(width) * values.len() as u128);
    [rate(values[rank as usize - 1]), rate(*values.last().unwrap()), mean as u64]
}

#[test]
fn percentiles_are_nearest_ranks_over_all_bins() {
    let input = input(3000);
    let addr = |f: &Flow, field| f.as_row().addr(field).unwrap().to_string();
    for (text, percentile, width, order) in [
        ("srcip", "95", "5m", "bps"),
        ("ip", "50", "1m", "pps"),
        ("srcip", "99.9", "1m", "obps"),
        ("dstip", "1", "30s", "ibps"),
    ] {
        let asked = request(&format!("{text}/{order}"));
        let width = bin(width);
        let names = |f: &Flow| match text {
            "ip" => vec![addr(f, Field::SrcAddr), addr(f, Field::DstAddr)],
            "dstip" => vec![addr(f, Field::DstAddr)],
            _ => vec![addr(f, Field::SrcAddr)],
        };
        let cells = slow_cells(&input.flows, width.ms(), names);
        let first = *cells.values().flat_map(BTreeMap::keys).min().unwrap();
        let last = *cells.values().flat_map(BTreeMap::keys).max().unwrap();
        let tenths = (percentile.parse::<f64>().unwrap() * 10.0).round() as u64;
        let mut texts = HashSet::new();
        for threads in THREADS {
            let top = Ranking { by: &asked.by, sorting: asked.sortings[0], n: 0 };
            let request = PercentileRequest {
                percentile: Percentile::parse(percentile).unwrap(),
                bin: width,
                top,
                time_zone: TimeZone::Utc,
            };
            let (percentiles, report) = query(&input, threads).percentiles(&request).unwrap();
            assert_eq!(report.records_passed, 3000);
            assert_eq!(percentiles.bins(), last - first + 1);
            let json = printed("json", |t| percentiles.add_to(t));
            let rows = objects(&json);
            assert_eq!(rows.len(), cells.len());
            for row in &rows {
                let cells = &cells[row["value"].as_str().unwrap()];
                for (rate, which, factor) in [
                    ("bps", &[1, 3][..], 8),
                    ("pps", &[0, 2], 1),
                    ("in_bps", &[1], 8),
                    ("out_bps", &[3], 8),
                    ("in_pps", &[0], 1),
                    ("out_pps", &[2], 1),
                ] {
                    let want = slow_usage(cells, first..=last, tenths, which, factor, width.ms());
                    for (what, want) in ["percentile", "max", "mean"].iter().zip(want) {
                        assert_eq!(row[format!("{rate}_{what}")], want, "{rate} {what} of {row}");
                    }
                }
                let bytes: u64 = cells.values().map(|c| c[1] + c[3]).sum();
                assert_eq!(row["bytes"], bytes);
            }
            let column = match order {
                "obps" => "out_bps_percentile".to_owned(),
                "ibps" => "in_bps_percentile".to_owned(),
                order => format!("{order}_percentile"),
            };
            let ordered: Vec<u64> = rows.iter().map(|r| r[&column].as_u64().unwrap()).collect();
            assert!(ordered.is_sorted_by(|a, b| a >= b), "{ordered:?}");
            texts.insert(json + &printed("line", |t| percentiles.add_to(t)));
        }
        assert_eq!(texts.len(), 1, "the same for any number of threads");
    }
}

#[test]
fn a_window_of_time_adds_bins_without_traffic() {
    let input = input(300);
    let asked = request("any/bps");
    let top = Ranking { by: &asked.by, sorting: asked.sortings[0], n: 10 };
    let request = PercentileRequest {
        percentile: Percentile::parse("95").unwrap(),
        bin: BinWidth::FIVE_MINUTES,
        top,
        time_zone: TimeZone::Utc,
    };
    let mut query = query(&input, 2);
    let (seen, _) = query.percentiles(&request).unwrap();
    query.window = Some((START - 86_400_000 * 10, START + 86_400_000 * 10));
    let (asked_for, _) = query.percentiles(&request).unwrap();
    assert!((24..=37).contains(&seen.bins()), "{}", seen.bins());
    assert_eq!(asked_for.bins(), 20 * 288 + 1, "the window begins and ends inside of a bin");
    assert_eq!(asked_for.usages().next().unwrap().0.bps.percentile, 0);
    assert!(seen.usages().next().unwrap().0.bps.percentile > 0);
}

#[test]
fn distinct_values_are_counted_and_estimates_are_marked() {
    let input = input(9000);
    let row = |f: &Flow, field| f.as_row().addr(field).unwrap().to_string();
    let mut oracle: HashMap<String, (HashSet<String>, HashSet<u64>, u64)> = HashMap::new();
    for flow in &input.flows {
        for name in [row(flow, Field::SrcAddr), "any".to_owned()] {
            let sums = oracle.entry(name).or_default();
            sums.0.insert(row(flow, Field::DstAddr));
            sums.1.insert(flow.number(Field::SrcPort));
            sums.2 += flow.as_row().flows();
        }
    }
    for (text, tables) in [
        ("srcip/distinct:dstip", 1),
        ("srcip/flows/distinct:srcport:a/distinct:dstip", 3),
        ("any/distinct:dstip/distinct:srcport", 2),
    ] {
        let asked = request(text);
        let mut texts = HashSet::new();
        for threads in THREADS {
            let (table, report) = query(&input, threads).distinct(&asked).unwrap();
            assert_eq!(report.records_passed, 9000);
            let json = printed("json", |t| table.add_to(0, t));
            let rows = objects(&json);
            assert_eq!(rows.len(), table.len() * tables);
            for row in &rows {
                let (addrs, ports, flows) = &oracle[row["value"].as_str().unwrap()];
                assert_eq!(row["flows"], *flows);
                for (name, want) in [("dstip", addrs.len()), ("srcport", ports.len())] {
                    let Some(got) = row[format!("distinct_{name}")].as_u64() else { continue };
                    let is_exact = row[format!("distinct_{name}_is_exact")].as_bool().unwrap();
                    assert_eq!(is_exact, want <= 4096, "{row}");
                    let error = (got as f64 / want as f64 - 1.0).abs();
                    assert!(error <= if is_exact { 0.0 } else { 0.03 }, "{row}: {want}");
                }
            }
            let people = printed("line", |t| table.add_to(3, t));
            assert_eq!(people.contains('~'), text.starts_with("any"), "{people}");
            texts.insert(json + &people);
        }
        assert_eq!(texts.len(), 1, "the same for any number of threads");
    }
    let (table, _) = query(&input, 2).distinct(&request("srcip/distinct:dstip")).unwrap();
    let rows = objects(&printed("json", |t| table.add_to(3, t)));
    let counts: Vec<u64> = rows.iter().map(|r| r["distinct_dstip"].as_u64().unwrap()).collect();
    assert!(counts.len() == 3 && counts.is_sorted_by(|a, b| a >= b), "{counts:?}");
}

#[test]
fn keys_of_several_fields_have_a_column_each() {
    let input = input(600);
    let grouping = Grouping::parse("srcip4/24,dstport").unwrap();
    let asked = Request::parse("record/distinct:srcas", &grouping, None).unwrap();
    let (table, _) = query(&input, 2).distinct(&asked).unwrap();
    let csv = printed("csv", |t| table.add_to(2, t));
    let header = "srcAddr,dstPort,distinct_srcas,distinct_srcas_is_exact,flows,packets,bytes\n";
    assert!(csv.starts_with(header), "{csv}");
    let asked = request("dstport:p/distinct:srcip");
    let (table, _) = query(&input, 2).distinct(&asked).unwrap();
    let rows = objects(&printed("json", |t| table.add_to(0, t)));
    assert_eq!(rows.len(), 9, "three ports, three protocols");
    assert!(rows.iter().any(|r| r["proto"] == "1"), "{rows:?}");
}

#[test]
fn what_needs_more_memory_than_allowed_is_an_error() {
    let input = input(3000);
    for threads in THREADS {
        let mut query = query(&input, threads);
        let by_port = request("srcport/bps");
        let top = Ranking { by: &by_port.by, sorting: by_port.sortings[0], n: 10 };
        let percentile = Percentile::parse("95").unwrap();
        let request_95 =
            PercentileRequest { percentile, bin: bin("1s"), top, time_zone: TimeZone::Utc };
        let counted = request("srcport/distinct:dstip/distinct:srcip");
        query.memory = Some(1 << 30);
        assert!(query.percentiles(&request_95).is_ok() && query.distinct(&counted).is_ok());
        query.memory = Some(1 << 16);
        let Err(error) = query.percentiles(&request_95) else { panic!("too much") };
        assert!(matches!(error, AnalysisError::Memory { .. }), "{error}");
        let Err(error) = query.distinct(&counted) else { panic!("too much") };
        assert!(error.to_string().contains("--memory"), "{error}");
        // Two hours of seconds for each of ten values and the rest: 40 KiB a value and worker.
        let series = |top| SeriesRequest { bin: bin("1s"), top, time_zone: TimeZone::Utc };
        let Err(error) = query.series(&series(None)) else { panic!("too much") };
        assert!(matches!(error, AnalysisError::Memory { .. }), "{error}");
        query.memory = Some(1 << 30);
        assert!(query.series(&series(Some(top))).is_ok());
    }
}

/// ^C while the ranking is made: nothing is read a second time, and what was read is told.
#[test]
fn an_interrupted_ranking_has_no_series() {
    static STOP: AtomicBool = AtomicBool::new(false);
    static OPENED: AtomicUsize = AtomicUsize::new(0);
    let input = input(3000);
    let asked = request("srcip/bytes");
    let top = Some(Ranking { by: &asked.by, sorting: asked.sortings[0], n: 4 });
    let series = SeriesRequest { bin: bin("5m"), top, time_zone: TimeZone::Utc };
    let query = Query {
        stop: Some(&STOP),
        progress: Some(|_, _| STOP.store(OPENED.fetch_add(1, SeqCst) == 1, SeqCst)),
        ..query(&input, 1)
    };
    let (table, report) = query.series(&series).unwrap();
    assert!(report.interrupted && table.is_empty());
    assert_eq!((OPENED.load(SeqCst), report.records), (2, 1000));
    STOP.store(false, SeqCst);
    let (table, report) = query.series(&series).unwrap();
    assert!(!report.interrupted && !table.is_empty());
    assert_eq!((OPENED.load(SeqCst), report.records), (8, 3000), "sums are told once");
}

/// Values of an element and their flows.
fn statistic(query: &Query, text: &str) -> BTreeMap<String, u64> {
    let asked = request(text);
    let (answers, report) = query.statistics(std::slice::from_ref(&asked), 0).unwrap();
    let (json, mut out) = (format("json"), Vec::new());
    let mut tables = Tables::new(&json, &report, &mut out);
    let Answer::Element(table) = &answers[0] else { panic!("an element") };
    tables.add(table, asked.sortings[0], 0);
    tables.finish().unwrap();
    let rows = objects(&String::from_utf8(out).unwrap());
    let element = text.split(':').next().unwrap();
    let value = |o: &Value| (o[element].as_str().unwrap().to_owned(), o["flows"].as_u64().unwrap());
    rows.iter().map(value).collect()
}

#[test]
fn countries_and_systems_are_looked_up() {
    let input = input(900);
    let addr = |f: &Flow, side| f.as_row().addr(side).unwrap();
    let country = |f: &Flow, side| Book.country(addr(f, side)).to_string();
    let system = |f: &Flow, field, side| match f.number(field) {
        0 => Book.asn(addr(f, side)),
        named => named as u32,
    };
    let mut want: [BTreeMap<String, u64>; 4] = Default::default();
    for f in &input.flows {
        let n = f.as_row().flows();
        let systems = [(Field::SrcAs, Field::SrcAddr), (Field::DstAs, Field::DstAddr)]
            .map(|(a, b)| system(f, a, b));
        let [a, b] = [Field::SrcAddr, Field::DstAddr].map(|side| country(f, side));
        *want[0].entry(a.clone()).or_default() += n;
        *want[1].entry(a).or_default() += n;
        *want[1].entry(b).or_default() += n;
        *want[2].entry(systems[1].to_string()).or_default() += n;
        for asn in systems {
            let name = if asn == 700 {
                "Example, Inc. (700)".to_owned()
            } else {
                format!("unknown ({asn})")
            };
            *want[3].entry(name).or_default() += n;
        }
    }
    for threads in THREADS {
        let query = query(&input, threads);
        for (element, want) in ["srcgeo", "geo", "dstas", "asn"].iter().zip(&want) {
            assert_eq!(statistic(&query, element), *want, "{element}");
        }
    }
    let mut query = query(&input, 2);
    let grouping = Grouping::parse("srcgeo,dstas").unwrap();
    let group = |query: &Query| {
        let (joined, mut report): (JoinedFlows<'_>, _) =
            query.join_flows(&grouping, None, 0).unwrap();
        let mut out = Vec::new();
        joined.print(None, 0, &format("fmt:%das %fl"), &mut out, &mut report).unwrap();
        let text = String::from_utf8(out).unwrap();
        text.lines()
            .skip(1)
            .map(|l| l.split_whitespace().next().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(group(&query).len(), 3 * 4 + 1, "all of IPv6 is one country and one system");
    query.book = None;
    assert_eq!(statistic(&query, "srcgeo").into_keys().collect::<Vec<_>>(), [""]);
    assert_eq!(group(&query), ["0"], "nothing is known without a book");
}

#[test]
fn a_window_that_is_too_long_is_named() {
    let input = input(300);
    let asked = request("srcip/bps");
    let top = Ranking { by: &asked.by, sorting: asked.sortings[0], n: 10 };
    let percentile = Percentile::parse("95").unwrap();
    let (bin, time_zone) = (bin("5m"), TimeZone::Utc);
    let query = Query { window: Some((1, START + 10_000_000)), ..query(&input, 2) };
    let error =
        query.percentiles(&PercentileRequest { percentile, bin, top, time_zone }).unwrap_err();
    assert!(error.to_string().contains("in the window of -t"), "{error}");
}

/// The columns of all tables that scripts rely on.
fn schemas() -> String {
    fn top(r: &Request) -> Ranking<'_> {
        Ranking { by: &r.by, sorting: r.sortings[0], n: 10 }
    }
    let (ports, key) = (request("srcip/bytes"), Grouping::parse("srcip,dstport").unwrap());
    let grouped = Request::parse("record/bytes", &key, None).unwrap();
    let (time_zone, mut text) = (TimeZone::Utc, String::new());
    for spec in ["csv", "csv-fast", "line"] {
        let format = format(spec);
        let mut add = |of, table| text += &(Schema::of_table(of, &table, &format).to_text() + "\n");
        for top in [None, Some(top(&ports)), Some(top(&grouped))] {
            let series = SeriesRequest { bin: bin("5m"), top, time_zone };
            add("series", series.table(format.options()));
        }
        let percentile = Percentile::parse("95").unwrap();
        let of_rates =
            PercentileRequest { percentile, bin: bin("5m"), top: top(&ports), time_zone };
        add("percentiles", of_rates.table(format.options()));
        let sets = request("srcip/distinct:dstip");
        add("different values", sets.distinct_table(format.options()));
    }
    text
}

#[test]
fn columns_of_tables_are_a_contract() {
    for (now, then) in schemas().lines().zip(include_str!("data/schema.txt").lines()) {
        assert_eq!(
            now, then,
            "raise SCHEMA_VERSION and store the new text in tests/data/schema.txt"
        );
    }
    assert_eq!(schemas(), include_str!("data/schema.txt"), "columns were added or removed");
}

/// Writes the stored text anew, when asked by name.
#[test]
#[ignore = "prints what tests/data/schema.txt should hold"]
fn print_schemas() {
    print!("{}", schemas());
}
