//! Questions answered twice: by the query engine on files, and by plain loops over the flows that
//! went into them. On one thread and on several, with rows of many shapes and both families.

use output::{Counts, Format, FormatOptions, TimeZone};
use query::{Answer, Grouping, Query, Report, Request, Sorting, Tables};
use record::{Addr, Exporter, Field, Flow, FlowSink as _, Meta};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use store::{Compression, Packing, Writer, WriterOptions};

const THREADS: [usize; 3] = [1, 2, 5];

struct Input {
    _dir: tempfile::TempDir,
    files: Vec<PathBuf>,
    flows: Vec<Flow>,
}

/// Three files of eight blocks each, with few enough values that groups are large.
fn input() -> Input {
    let dir = tempfile::tempdir().unwrap();
    let (mut files, mut flows) = (Vec::new(), Vec::new());
    let mut random = Random(0x5eed);
    for n in 0..3 {
        let path = dir.path().join(format!("nfcapd.20260410120{n}"));
        let options = WriterOptions {
            compression: Packing::from(if n == 1 { Compression::Lz4 } else { Compression::None }),
            ident: format!("ident-{n}"),
            ..WriterOptions::default()
        };
        let mut writer = Writer::create(&path, &options).unwrap();
        for sysid in 1..=2 {
            let addr = Addr::V4(0xc000_0200 + n * 10 + sysid);
            writer.meta(Meta::Exporter(Exporter { sysid, version: 9, addr, id: 0 }));
        }
        for i in 0..700 {
            let flow = random.flow();
            writer.flow(&flow);
            flows.push(flow);
            if i % 90 == 89 {
                writer.flush().unwrap();
            }
        }
        writer.close(&[]).unwrap();
        files.push(path);
    }
    Input { _dir: dir, files, flows }
}

struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }

    fn flow(&mut self) -> Flow {
        let mut f = Flow::new();
        let first = 1_795_000_000_000 + self.below(300_000);
        let packets = 1 + self.below(1000);
        let bytes = packets * (40 + self.below(1400));
        for (field, value) in [
            (Field::First, first),
            (Field::Last, first + self.below(5_000)),
            (Field::Packets, packets),
            (Field::Bytes, bytes),
            (Field::Proto, [6, 17, 1][self.below(3) as usize]),
            (Field::TcpFlags, self.below(64)),
            (Field::SrcPort, self.below(4)),
            (Field::DstPort, 80 + self.below(3)),
            (Field::ExporterId, 1 + self.below(2)),
            (Field::SrcTos, self.below(2)),
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
        f.set_addr(Field::DstAddr, addr(self.below(5) * 300));
        if self.below(3) == 0 {
            f.set(Field::Input, self.below(3));
            f.set(Field::SrcMask, [0, 8, 24][self.below(3) as usize]);
        }
        if self.below(5) == 0 {
            f.set(Field::Flows, 1 + self.below(3));
            f.set(Field::OutPackets, self.below(9));
            f.set(Field::OutBytes, self.below(900));
        }
        f
    }
}

fn query(input: &Input, filter: &str, threads: usize) -> Query {
    Query {
        files: input.files.clone(),
        filters: vec![filter::Filter::parse(filter).unwrap()],
        window: None,
        limit: None,
        threads,
        progress: None,
        book: None,
    }
}

fn options() -> FormatOptions {
    FormatOptions { time_zone: TimeZone::Utc, plain_numbers: true, ..FormatOptions::default() }
}

fn format(spec: &str) -> Format {
    Format::parse(spec, &options()).unwrap()
}

/// Flows that pass, by the filter's interpreter.
fn passing<'i>(input: &'i Input, filter: &str) -> Vec<&'i Flow> {
    let filter = filter::Filter::parse(filter).unwrap();
    let passes = |(i, f): &(usize, &Flow)| {
        let ident = format!("ident-{}", i / 700);
        let ctx = filter::Context { ident: &ident, first_count: *i as u64 + 1 };
        filter.matches(f.as_row(), &ctx)
    };
    input.flows.iter().enumerate().filter(passes).map(|(_, f)| f).collect()
}

const FILTERS: [&str; 5] = [
    "any",
    "proto tcp and dst port 80",
    "src net 10.0.0.0/24 or ipv6",
    "ident ident-1",
    "proto 99",
];

fn check_report(report: &Report, flows: &[&Flow]) {
    assert_eq!(report.records, 2100);
    assert_eq!(report.records_passed, flows.len() as u64);
    assert!(report.damage.is_empty(), "{:?}", report.damage);
    let sum = |field| flows.iter().map(|f| f.number(field)).sum::<u64>();
    assert_eq!(report.passed.counts.in_bytes, sum(Field::Bytes));
    assert_eq!(report.passed.counts.out_bytes, sum(Field::OutBytes));
    assert_eq!(report.passed.counts.flows, flows.iter().map(|f| f.as_row().flows()).sum::<u64>());
}

#[test]
fn lists_show_what_passes_in_order() {
    let input = input();
    let format = format("csv:%cnt,%idt,%sa,%dp,%byt");
    for filter in FILTERS {
        let flows = passing(&input, filter);
        let mut texts = Vec::new();
        for threads in THREADS {
            let mut out = Vec::new();
            let report = query(&input, filter, threads).list(&format, &mut out).unwrap();
            check_report(&report, &flows);
            texts.push(String::from_utf8(out).unwrap());
        }
        assert!(texts.iter().all(|t| *t == texts[0]), "{filter}: threads change the answer");
        let lines: Vec<&str> = texts[0].lines().skip(1).collect();
        assert_eq!(lines.len(), flows.len(), "{filter}");
        for (line, flow) in lines.iter().zip(&flows) {
            let row = flow.as_row();
            let src = row.addr(Field::SrcAddr).unwrap();
            let tail =
                format!(",{src},{},{}", row.number(Field::DstPort), row.number(Field::Bytes));
            let is_icmp = row.number(Field::Proto) == 1; // shown as type.code
            assert!(is_icmp || line.ends_with(&tail), "{line} is not {tail}");
        }
    }
}

#[test]
fn a_limit_takes_the_first_records() {
    let input = input();
    let flows = passing(&input, "proto tcp");
    for limit in [1, 7, 699, 10_000] {
        let mut out = Vec::new();
        let query = Query { limit: Some(limit), ..query(&input, "proto tcp", 4) };
        let report = query.list(&format("csv:%byt"), &mut out).unwrap();
        let want: Vec<String> =
            flows.iter().take(limit as usize).map(|f| f.number(Field::Bytes).to_string()).collect();
        let got: Vec<String> =
            String::from_utf8(out).unwrap().lines().skip(1).map(str::to_owned).collect();
        assert_eq!(got, want, "limit {limit}");
        assert_eq!(report.records_passed, want.len() as u64);
    }
}

/// Whatever is made of the records: the first few are all there is.
#[test]
fn a_limit_holds_for_sums_and_sorted_lists() {
    let input = input();
    let flows = passing(&input, "proto tcp");
    for limit in [1, 7, 699] {
        let query = Query { limit: Some(limit), ..query(&input, "proto tcp", 4) };
        let first = || flows.iter().take(limit as usize).map(|f| f.number(Field::Bytes));
        let sum: u64 = first().sum();
        let statistic = Request::parse("proto", &Grouping::five_tuple(), None).unwrap();
        assert_eq!(query.statistics(&[statistic]).1.passed.counts.in_bytes, sum);
        assert_eq!(query.join_flows(&Grouping::five_tuple()).1.passed.counts.in_bytes, sum);
        let mut out = Vec::new();
        query.sorted(Sorting::parse("ibytes").unwrap(), 1, &format("csv:%byt"), &mut out).unwrap();
        let top = String::from_utf8(out).unwrap().lines().nth(1).unwrap().to_owned();
        assert_eq!(Some(top), first().max().map(|n| n.to_string()), "limit {limit}");
    }
}

/// Sums by any key, in the order of first appearance.
fn group<K: std::hash::Hash + Eq + Clone>(
    flows: &[&Flow],
    keys: impl Fn(&Flow) -> Vec<K>,
) -> Vec<(K, Counts)> {
    let mut at = HashMap::new();
    let mut out: Vec<(K, Counts)> = Vec::new();
    for flow in flows {
        let c = Counts::of(flow.as_row());
        for key in keys(flow) {
            let i = *at.entry(key.clone()).or_insert_with(|| {
                out.push((key, Counts { first_ms: u64::MAX, ..Counts::default() }));
                out.len() - 1
            });
            let sum = &mut out[i].1;
            sum.first_ms = sum.first_ms.min(c.first_ms);
            sum.last_ms = sum.last_ms.max(c.last_ms);
            sum.flows += c.flows;
            sum.in_packets += c.in_packets;
            sum.in_bytes += c.in_bytes;
            sum.out_packets += c.out_packets;
            sum.out_bytes += c.out_bytes;
        }
    }
    out
}

/// The largest first; equal ones keep their order.
fn by_order<K>(mut groups: Vec<(K, Counts)>, sorting: Sorting) -> Vec<(K, Counts)> {
    groups.sort_by_key(|g| {
        let value = i128::from(sorting.order.value(&g.1));
        if sorting.descending { -value } else { value }
    });
    groups
}

fn element_rows(input: &Input, filter: &str, stat: &str, n: usize, threads: usize) -> Vec<Value> {
    let request = Request::parse(stat, &Grouping::five_tuple(), None).unwrap();
    let query = query(input, filter, threads);
    let (answers, report) = query.statistics(std::slice::from_ref(&request));
    check_report(&report, &passing(input, filter));
    let [Answer::Element(table)] = answers.as_slice() else { panic!("one table") };
    let mut tables = Tables::new(&format("ndjson"), &report);
    tables.add(table, request.sortings[0], n);
    let text = String::from_utf8(tables.finish()).unwrap();
    text.lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}

#[test]
fn statistics_are_sums_by_value() {
    let input = input();
    let addr = |f: &Flow, field| f.as_row().addr(field).map(|a| a.to_string());
    type Keys = fn(&Flow) -> Vec<(String, u64)>;
    let table: [(&str, Keys); 6] = [
        ("srcip/bytes", |f| {
            f.as_row().addr(Field::SrcAddr).map(|a| (a.to_string(), 0)).into_iter().collect()
        }),
        ("ip/packets", |f| {
            let both = [Field::SrcAddr, Field::DstAddr];
            both.iter().filter_map(|x| Some((f.as_row().addr(*x)?.to_string(), 0))).collect()
        }),
        ("dstport:p/flows", |f| {
            vec![(f.number(Field::DstPort).to_string(), f.number(Field::Proto))]
        }),
        ("inif/ibyte", |f| vec![(f.number(Field::Input).to_string(), 0)]),
        ("srctos/bps:a", |f| vec![(f.number(Field::SrcTos).to_string(), 0)]),
        ("any/bytes", |_| vec![("any".to_owned(), 0)]),
    ];
    assert!(addr(&input.flows[0], Field::SrcAddr).is_some());
    for filter in ["any", "proto tcp", "proto 99"] {
        let flows = passing(&input, filter);
        for (stat, keys) in table {
            let sorting = Request::parse(stat, &Grouping::five_tuple(), None).unwrap().sortings[0];
            let want = by_order(group(&flows, keys), sorting);
            for (threads, n) in THREADS.into_iter().flat_map(|t| [(t, 0), (t, 3)]) {
                let rows = element_rows(&input, filter, stat, n, threads);
                let count = if n == 0 { want.len() } else { n.min(want.len()) };
                assert_eq!(rows.len(), count, "{stat} of {filter}");
                let element = stat.split([':', '/']).next().unwrap();
                for (row, ((value, proto), sums)) in rows.iter().zip(&want) {
                    assert_eq!(row[element].as_str(), Some(value.as_str()), "{stat}: {row}");
                    assert_eq!(row["flows"], sums.flows, "{stat}: {row}");
                    if stat.contains(":p") {
                        assert_eq!(row["proto"], *proto, "{stat}: {row}");
                    }
                    if sorting.order.statistic_name() == "bytes" {
                        assert_eq!(row["bytes"], sums.in_bytes + sums.out_bytes, "{stat}: {row}");
                    }
                }
            }
        }
    }
}

fn joined(
    input: &Input,
    grouping: &Grouping,
    sorting: Option<Sorting>,
    threads: usize,
) -> Vec<Value> {
    let query = query(input, "any", threads);
    let (flows, mut report) = query.join_flows(grouping);
    let mut out = Vec::new();
    flows.print(sorting, 0, &format("ndjson"), &mut out, &mut report).unwrap();
    assert!(report.damage.is_empty());
    String::from_utf8(out).unwrap().lines().map(|l| serde_json::from_str(l).unwrap()).collect()
}

#[test]
fn joined_flows_are_sums_by_key() {
    let input = input();
    let flows = passing(&input, "any");
    let five = |f: &Flow| {
        let fields = [Field::Proto, Field::SrcAddr, Field::DstAddr, Field::SrcPort, Field::DstPort];
        vec![fields.map(|x| f.as_row().bytes(x).map(<[u8]>::to_vec))]
    };
    let bytes = Sorting::parse("bytes").unwrap();
    for sorting in [None, Some(bytes)] {
        let groups = group(&flows, five);
        let want = match sorting {
            Some(s) => by_order(groups, s),
            None => groups,
        };
        for threads in THREADS {
            let rows = joined(&input, &Grouping::five_tuple(), sorting, threads);
            assert_eq!(rows.len(), want.len());
            for (row, (_, sums)) in rows.iter().zip(&want) {
                assert_eq!(row["in_bytes"], sums.in_bytes, "{row}");
                assert_eq!(row["in_packets"], sums.in_packets, "{row}");
                let flows = row["aggr_flows"].as_u64().unwrap_or(1);
                assert_eq!(flows, sums.flows, "{row}");
                assert_eq!(row["out_bytes"].as_u64().unwrap_or(0), sums.out_bytes, "{row}");
            }
        }
    }
}

#[test]
fn joined_by_network_both_families() {
    let input = input();
    let flows = passing(&input, "any");
    let net = |f: &Flow| {
        let masked = match f.as_row().addr(Field::SrcAddr).unwrap() {
            a @ Addr::V4(_) => a.masked(24),
            a @ Addr::V6(_) => a.masked(120),
        };
        vec![(masked.to_string(), f.number(Field::DstPort))]
    };
    let bytes = Sorting::parse("bytes").unwrap();
    let want = by_order(group(&flows, net), bytes);
    let grouping = Grouping::parse("srcip4/24,srcip6/120,dstport").unwrap();
    for threads in THREADS {
        let rows = joined(&input, &grouping, Some(bytes), threads);
        assert_eq!(rows.len(), want.len());
        for (row, ((net, _), sums)) in rows.iter().zip(&want) {
            let addr = row.get("src4_addr").or_else(|| row.get("src6_addr")).unwrap();
            assert_eq!(addr.as_str(), Some(net.as_str()), "{row}");
            assert_eq!(row["in_bytes"], sums.in_bytes, "{row}");
        }
    }
}

#[test]
fn sorted_lists_are_sorted_and_stable() {
    let input = input();
    let flows = passing(&input, "dst port 81");
    for (text, n) in [("bytes", 0), ("tstart", 0), ("duration:a", 5), ("pps", 11)] {
        let sorting = Sorting::parse(text).unwrap();
        let keyed: Vec<(usize, Counts)> =
            flows.iter().enumerate().map(|(i, f)| (i, Counts::of(f.as_row()))).collect();
        let want: Vec<u64> = by_order(keyed, sorting)
            .iter()
            .map(|(i, _)| flows[*i].number(Field::Bytes))
            .take(if n == 0 { usize::MAX } else { n })
            .collect();
        for threads in THREADS {
            let mut out = Vec::new();
            let query = query(&input, "dst port 81", threads);
            query.sorted(sorting, n, &format("csv:%byt"), &mut out).unwrap();
            let text_out = String::from_utf8(out).unwrap();
            let got: Vec<u64> = text_out.lines().skip(1).map(|l| l.parse().unwrap()).collect();
            assert_eq!(got, want, "{text} -n {n} on {threads} threads");
        }
    }
}

/// Reads every flow of a file, with the address of its exporter.
fn read(path: &Path) -> Vec<(Vec<u8>, Option<Addr>, u64)> {
    let file = store::FlowFile::open(path).unwrap();
    let mut reader = store::BlockReader::new();
    let (mut exporters, mut out) = (BTreeMap::new(), Vec::new());
    for n in 0..file.blocks().len() {
        let block = reader.load(&file, n).unwrap();
        for meta in block.meta {
            if let store::MetaRecord::Exporter(e) = meta {
                exporters.insert(u64::from(e.sysid), e.addr);
            }
        }
        for row in block.rows.iter() {
            let src = row.bytes(Field::SrcAddr).unwrap().to_vec();
            let exporter = exporters.get(&row.number(Field::ExporterId)).copied();
            out.push((src, exporter, row.number(Field::Bytes)));
        }
    }
    out
}

#[test]
fn written_flows_keep_their_exporters() {
    let input = input();
    let path = input.files[0].with_file_name("out");
    let create = || Writer::create(&path, &WriterOptions::default()).unwrap();
    // What each flow is and who sent it: files number their exporters alike but mean others.
    let want: Vec<_> = input.files.iter().flat_map(|f| read(f)).collect();
    let mut writer = create();
    query(&input, "any", 4).write(&mut writer).unwrap();
    writer.close(&[]).unwrap();
    assert_eq!(read(&path), want);

    let mut writer = create();
    let sorting = Sorting::parse("ibytes").unwrap();
    query(&input, "any", 4).write_sorted(sorting, 0, &mut writer).unwrap();
    writer.close(&[]).unwrap();
    let mut sorted = want.clone();
    sorted.sort_by_key(|w| std::cmp::Reverse(w.2));
    let mut got = read(&path);
    assert!(got.iter().zip(&sorted).all(|(a, b)| a.2 == b.2));
    got.sort();
    sorted.sort();
    assert_eq!(got, sorted);

    let mut writer = create();
    let query = query(&input, "any", 4);
    let (flows, mut report) = query.join_flows(&Grouping::five_tuple());
    flows.write(None, 0, &mut writer, &mut report).unwrap();
    writer.close(&[]).unwrap();
    let joined = read(&path);
    assert_eq!(joined.len(), flows.len());
    assert_eq!(joined.iter().map(|j| j.2).sum::<u64>(), want.iter().map(|w| w.2).sum::<u64>());
    assert!(joined.iter().all(|j| j.1.is_some()), "an exporter without a record");
}

#[test]
fn damage_is_told_and_the_rest_is_read() {
    let input = input();
    let mut octets = std::fs::read(&input.files[1]).unwrap();
    let blocks = store::FlowFile::open(&input.files[1]).unwrap().blocks().len();
    assert!(blocks > 5);
    octets[40 + 12 + 30] ^= 0xff; // in the packed payload of the first block
    std::fs::write(&input.files[1], octets).unwrap();
    std::fs::write(&input.files[2], b"no flow file").unwrap();
    for threads in THREADS {
        let mut out = Vec::new();
        let report = query(&input, "any", threads).list(&format("csv:%byt"), &mut out).unwrap();
        let lines = String::from_utf8(out).unwrap().lines().count() as u64 - 1;
        assert_eq!(lines, report.records_passed);
        assert!((1300..1400).contains(&lines), "{lines} of 1400");
        assert_eq!(report.damage.len(), 2, "{:?}", report.damage);
        assert!(report.damage[0].file.ends_with("nfcapd.202604101201"));
        assert!(report.damage[1].file.ends_with("nfcapd.202604101202"));
    }
}

/// The report names damage in reading order, whoever came across it first.
#[test]
fn damage_is_told_in_reading_order() {
    let input = input();
    let mut octets = std::fs::read(&input.files[1]).unwrap();
    let file = store::FlowFile::open(&input.files[1]).unwrap();
    for block in file.blocks() {
        octets[block.offset as usize + 12 + 5] ^= 0xff;
    }
    drop(file);
    std::fs::write(&input.files[1], octets).unwrap();
    let told = |threads| {
        let report = query(&input, "any", threads).statistics(&[]).1;
        report.damage.iter().map(|d| d.what.clone()).collect::<Vec<_>>()
    };
    let want = told(1);
    assert!(want.len() > 5, "{want:?}");
    for _ in 0..20 {
        assert_eq!(told(5), want);
    }
}
