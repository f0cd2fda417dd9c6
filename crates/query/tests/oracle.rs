//! Questions answered twice: by the query engine on files, and by plain loops over the flows that
//! went into them. On one thread and on several, with rows of many shapes and both families.

mod common;

use common::{Input, Random, THREADS, format, input, query, requests, tables};
use output::Counts;
use payload::Transport;
use payload::tls::ClientHello;
use query::{Answer, Grouping, Query, Report, Request, Sorting, Tables};
use record::{Addr, Exporter, Field, Flow, FlowSink as _, Meta};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use store::{Writer, WriterOptions};

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

fn check_report(report: &Report, input: &Input, flows: &[&Flow]) {
    assert_eq!(report.records, input.flows.len() as u64);
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
            check_report(&report, &input, &flows);
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
        assert_eq!(query.statistics(&[statistic], 10).unwrap().1.passed.counts.in_bytes, sum);
        assert_eq!(
            query.join_flows(&Grouping::five_tuple(), None, 0).unwrap().1.passed.counts.in_bytes,
            sum
        );
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
    let (answers, report) = query.statistics(std::slice::from_ref(&request), n).unwrap();
    check_report(&report, input, &passing(input, filter));
    let [Answer::Element(table)] = answers.as_slice() else { panic!("one table") };
    let (mut out, format) = (Vec::new(), format("ndjson"));
    let mut tables = Tables::new(&format, &report, &mut out);
    tables.add(table, request.sortings[0], n);
    tables.finish().unwrap();
    let text = String::from_utf8(out).unwrap();
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

/// TLS clients of four kinds, over TCP and not, cut off and not, on the way in and out.
fn clients() -> Input {
    const HELLO: &[u8] = include_bytes!("data/hello");
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("nfcapd.202604101200");
    let mut writer = Writer::create(&path, &WriterOptions::default()).unwrap();
    let mut random = Random(0x7e11);
    let mut flows = Vec::new();
    for i in 0..500 {
        let mut flow = random.flow();
        flow.set(Field::Proto, if random.below(3) == 0 { 17 } else { 6 });
        for field in [Field::InPayload, Field::OutPayload] {
            let mut hello = HELLO.to_vec();
            hello[51] = random.below(4) as u8; // a cipher suite
            hello.truncate(if random.below(4) == 0 { 100 } else { HELLO.len() });
            if random.below(3) != 0 {
                flow.set_bytes(field, &hello);
            }
        }
        writer.flow(&flow);
        flows.push(flow);
        if i % 90 == 89 {
            writer.flush().unwrap();
        }
    }
    writer.close(&[]).unwrap();
    Input::new(dir, vec![path], flows)
}

#[test]
fn fingerprints_of_clients_are_counted() {
    fn hello(flow: &Flow, field: Field) -> Option<ClientHello<'_>> {
        ClientHello::of_flow(flow.number(Field::Proto) as u8, flow.as_row().bytes(field)?)
    }
    let input = clients();
    type Keys = fn(&Flow) -> Vec<(String, u64)>;
    let table: [(&str, Keys, usize); 2] = [
        (
            "ja3:p/bytes",
            |f| {
                let both = [Field::InPayload, Field::OutPayload];
                both.iter().filter_map(|x| Some((hello(f, *x)?.ja3()?.to_string(), 6))).collect()
            },
            4,
        ),
        (
            "ja4/packets",
            |f| {
                let ja4 = hello(f, Field::InPayload).and_then(|h| h.ja4(Transport::Tcp));
                ja4.map(|ja4| (ja4.to_string(), 0)).into_iter().collect()
            },
            4,
        ),
    ];
    let flows = passing(&input, "any");
    for (stat, keys, clients) in table {
        let sorting = Request::parse(stat, &Grouping::five_tuple(), None).unwrap().sortings[0];
        let want = by_order(group(&flows, keys), sorting);
        assert_eq!(want.len(), clients);
        for threads in THREADS {
            let rows = element_rows(&input, "any", stat, 0, threads);
            assert_eq!(rows.len(), clients, "{stat}");
            for (row, ((value, proto), sums)) in rows.iter().zip(&want) {
                assert_eq!(row[&stat[..3]].as_str(), Some(value.as_str()), "{stat}: {row}");
                assert_eq!((&row["flows"], &row["proto"]), (&sums.flows.into(), &(*proto).into()));
            }
        }
    }
    // Everything that fits the filter is counted, and nothing else.
    let defined = passing(&input, "payload ja4 defined");
    let defined: u64 = defined.iter().map(|f| f.as_row().flows()).sum();
    let rows = element_rows(&input, "any", "ja4/flows", 0, 2);
    assert_eq!(rows.iter().map(|r| r["flows"].as_u64().unwrap()).sum::<u64>(), defined);
}

fn joined(
    input: &Input,
    grouping: &Grouping,
    sorting: Option<Sorting>,
    threads: usize,
) -> Vec<Value> {
    let query = query(input, "any", threads);
    let (flows, mut report) = query.join_flows(grouping, sorting, 0).unwrap();
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

/// A sum of several records has no port, no flags and no file: nothing is shown of what was left
/// out of the key.
#[test]
fn joined_by_chosen_fields_show_these_and_the_sums() {
    let input = input();
    let grouping = Grouping::parse("srcip4/24,dstport").unwrap();
    for row in joined(&input, &grouping, Sorting::parse("bytes").ok(), 2) {
        let known = ["cnt", "type", "first", "last", "in_packets", "in_bytes", "dst_port"];
        let sums = ["out_packets", "out_bytes", "aggr_flows"];
        let keys: Vec<_> = row.as_object().unwrap().keys().map(String::as_str).collect();
        let is_known = |k: &&str| known.contains(k) || sums.contains(k) || k.starts_with("src4_");
        assert!(keys.iter().all(is_known) && row["dst_port"].is_u64(), "{row}");
    }
    let query = query(&input, "any", 2);
    let (flows, mut report) = query.join_flows(&grouping, None, 0).unwrap();
    for (spec, want) in [
        ("csv:%pr,%sp,%da,%flg,%idt,%dp", ",,,,<no ident>,80"),
        ("fmt:%pr|%flg|%idt|", "     |        |<no ident>  |"),
    ] {
        let mut out = Vec::new();
        flows.print(None, 0, &format(spec), &mut out, &mut report).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.lines().any(|l| l == want), "{spec}: {text}");
    }
}

/// The protocol is looked at to print a port of ICMP; it is no part of the key, and not written.
#[test]
fn joined_flows_are_written_without_a_protocol_that_is_no_key() {
    let input = input();
    let query = query(&input, "any", 2);
    for (key, has_proto) in [("dstport", false), ("proto,dstport", true)] {
        let (flows, mut report) =
            query.join_flows(&Grouping::parse(key).unwrap(), None, 0).unwrap();
        let path = input.files[0].with_file_name("written");
        let mut writer = Writer::create(&path, &WriterOptions::default()).unwrap();
        flows.write(None, 0, &mut writer, &mut report).unwrap();
        writer.close(&[]).unwrap();
        let mut out = Vec::new();
        let written = Query { files: vec![path], ..Query::default() };
        written.list(&format("csv:%pr"), &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let numbers: Vec<u64> = text.lines().skip(1).map(|l| l.parse().unwrap()).collect();
        assert_eq!(numbers.len(), flows.len());
        assert!(numbers.iter().all(|n| (*n != 0) == has_proto), "{key}: {numbers:?}");
    }
}

/// JSON numbers what it prints, `%cnt` what was read, on any number of threads.
#[test]
fn running_numbers_count_what_is_printed_or_what_is_read() {
    let input = input();
    let numbers = |spec: &str, query: &Query| {
        let mut out = Vec::new();
        query.list(&format(spec), &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let number = |l: &str| match spec {
            "ndjson" => serde_json::from_str::<Value>(l).unwrap()["cnt"].as_u64(),
            _ => l.split(',').next()?.trim().parse().ok(),
        };
        text.lines().filter_map(number).collect::<Vec<u64>>()
    };
    let is_80 = |f: &Flow| f.number(Field::DstPort) == 80;
    let read: Vec<u64> =
        (1..).zip(&input.flows).filter(|(_, f)| is_80(f)).map(|(n, _)| n).collect();
    let printed: Vec<u64> = (1..=read.len() as u64).collect();
    for threads in THREADS {
        let query = query(&input, "dst port 80", threads);
        for (spec, want) in
            [("ndjson", &printed), ("csv-fast", &printed), ("csv:%cnt", &read), ("fmt:%cnt", &read)]
        {
            assert_eq!(&numbers(spec, &query), want, "{spec} on {threads} threads");
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
    let (flows, mut report) = query.join_flows(&Grouping::five_tuple(), None, 0).unwrap();
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
    // In the packed payload of the first block: a run of literals longer than the block.
    octets[40 + 12 + 30..][..40].fill(0xff);
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
        let report = query(&input, "any", threads).statistics(&[], 10).unwrap().1;
        report.damage.iter().map(|d| d.what.clone()).collect::<Vec<_>>()
    };
    let want = told(1);
    assert!(want.len() > 5, "{want:?}");
    for _ in 0..20 {
        assert_eq!(told(5), want);
    }
}

/// One array over all tables; what stands in it is what the tables say one by one.
#[test]
fn several_tables_are_one_json_document() {
    let input = input();
    let query = query(&input, "any", 2);
    let texts = ["record/bytes/flows", "srcport", "record/tstart"];
    let all = requests(&texts, &Grouping::five_tuple());
    for n in [0, 3] {
        let whole: Vec<Value> = serde_json::from_str(&tables(&query, &all, n).unwrap()).unwrap();
        let mut parts: Vec<Value> = Vec::new();
        for request in &all {
            for sorting in &request.sortings {
                let one = Request { sortings: vec![*sorting], ..request.clone() };
                let text = tables(&query, &[one], n).unwrap();
                parts.extend(serde_json::from_str::<Vec<Value>>(&text).unwrap());
            }
        }
        assert!(!parts.is_empty());
        assert_eq!(whole, parts);
    }
    let nothing = Query { filters: vec![filter::Filter::parse("proto 99").unwrap()], ..query };
    let (answers, mut report) = nothing.statistics(&all, 0).unwrap();
    let (mut out, format) = (Vec::new(), format("json"));
    let mut tables = Tables::new(&format, &report, &mut out);
    for answer in &answers {
        let sorting = all[0].sortings[0];
        match answer {
            Answer::Element(table) => tables.add(table, sorting, 0),
            Answer::Flows(flows) => tables.add_flows(flows, sorting, 0, &mut report),
        }
    }
    tables.finish().unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&out).unwrap(), Value::Array(vec![]));
}

/// One end of a conversation, address and port.
type End = (Option<Addr>, u64);

/// The slow twin of `-b`: a list of conversations, searched from its start for each flow.
fn conversations(flows: &[&Flow]) -> Vec<([End; 2], u64, Counts)> {
    let mut all: Vec<([End; 2], u64, Counts)> = Vec::new();
    for flow in flows {
        let row = flow.as_row();
        let ends = [(Field::SrcAddr, Field::SrcPort), (Field::DstAddr, Field::DstPort)]
            .map(|(a, p)| (row.addr(a), row.number(p)));
        let proto = row.number(Field::Proto);
        let mut c = Counts::of(row);
        let same = all.iter_mut().find(|(e, p, _)| *p == proto && *e == ends);
        let found = match same {
            Some(found) => Some(found),
            None if proto == 6 || proto == 17 => {
                let found =
                    all.iter_mut().find(|(e, p, _)| *p == proto && *e == [ends[1], ends[0]]);
                if found.is_some() {
                    std::mem::swap(&mut c.in_packets, &mut c.out_packets);
                    std::mem::swap(&mut c.in_bytes, &mut c.out_bytes);
                }
                found
            }
            None => None,
        };
        match found {
            None => all.push((ends, proto, c)),
            Some((_, _, sum)) => {
                sum.first_ms = sum.first_ms.min(c.first_ms);
                sum.last_ms = sum.last_ms.max(c.last_ms);
                sum.flows += c.flows;
                sum.in_packets += c.in_packets;
                sum.in_bytes += c.in_bytes;
                sum.out_packets += c.out_packets;
                sum.out_bytes += c.out_bytes;
            }
        }
    }
    all
}

/// Flows with few enough ends that most of them are answers to others.
fn talk() -> Input {
    let dir = tempfile::tempdir().unwrap();
    let (mut files, mut flows) = (Vec::new(), Vec::new());
    let mut random = Random(0xb1d1);
    for n in 0..2 {
        let path = dir.path().join(format!("nfcapd.20260410120{n}"));
        let options = WriterOptions { ident: format!("ident-{n}"), ..WriterOptions::default() };
        let mut writer = Writer::create(&path, &options).unwrap();
        for i in 0..500 {
            let mut flow = random.flow();
            let v6 = random.below(3) == 0;
            for field in [Field::SrcAddr, Field::DstAddr] {
                let n = random.below(3);
                let v6_addr = Addr::V6(0x2001_0db8 << 96 | u128::from(n) << 64 | 7);
                let addr = if v6 { v6_addr } else { Addr::V4(0x0a00_0000 + n as u32) };
                flow.set_addr(field, addr);
            }
            flow.set(Field::SrcPort, [80, 40_000, 50_000][random.below(3) as usize]);
            flow.set(Field::DstPort, [80, 40_000, 50_000][random.below(3) as usize]);
            writer.flow(&flow);
            flows.push(flow);
            if i % 60 == 59 {
                writer.flush().unwrap();
            }
        }
        writer.close(&[]).unwrap();
        files.push(path);
    }
    Input::new(dir, files, flows)
}

fn json_end(row: &Value, side: &str) -> (Addr, u64) {
    let (v4, v6) = (format!("{side}4_addr"), format!("{side}6_addr"));
    let text = row.get(&v4).or_else(|| row.get(&v6)).and_then(Value::as_str).unwrap();
    let addr = Addr::from(text.parse::<std::net::IpAddr>().unwrap());
    (addr, row[format!("{side}_port")].as_u64().unwrap_or(0))
}

#[test]
fn both_directions_make_one_flow() {
    let input = talk();
    let flows: Vec<&Flow> = input.flows.iter().collect();
    let all = conversations(&flows);
    assert!(all.len() < 400, "{} conversations of 1000 flows", all.len());
    for (text, guess) in [(None, false), (Some("ibytes"), false), (Some("obytes"), true)] {
        let sorting = text.map(|t| Sorting::parse(t).unwrap());
        let mut want = all.clone();
        if let Some(s) = sorting {
            want.sort_by_key(|w| std::cmp::Reverse(s.order.value(&w.2)));
        }
        for threads in THREADS {
            let rows = joined(&input, &Grouping::bidirectional(guess), sorting, threads);
            assert_eq!(rows.len(), want.len());
            for (row, (ends, proto, sums)) in rows.iter().zip(&want) {
                let [(a, ap), (b, bp)] = *ends;
                let tcp_or_udp = *proto == 6 || *proto == 17;
                // 80 below 1024, 40000 below 49152.
                let turned =
                    guess && tcp_or_udp && (ap == 80 && bp != 80 || ap == 40_000 && bp == 50_000);
                let mut want_ends = [(a.unwrap(), ap), (b.unwrap(), bp)];
                let mut io = [(sums.in_packets, sums.in_bytes), (sums.out_packets, sums.out_bytes)];
                if turned {
                    want_ends.reverse();
                    io.reverse();
                }
                if *proto != 1 {
                    assert_eq!([json_end(row, "src"), json_end(row, "dst")], want_ends, "{row}");
                }
                let n = |key: &str| row[key].as_u64().unwrap_or(0);
                assert_eq!((n("in_packets"), n("in_bytes")), io[0], "{row}");
                assert_eq!((n("out_packets"), n("out_bytes")), io[1], "{row}");
                assert_eq!(row["aggr_flows"].as_u64().unwrap_or(1), sums.flows, "{row}");
            }
        }
    }
}

#[test]
fn a_post_filter_sees_the_sums_of_the_first_n() {
    let input = input();
    let bytes = Sorting::parse("ibytes").unwrap();
    let n = 60;
    let post = |limit: u64| Some(filter::Filter::parse(&format!("bytes > {limit}")).unwrap());
    let numbers = |out: Vec<u8>| {
        let text = String::from_utf8(out).unwrap();
        text.lines().skip(1).map(|l| l.parse().unwrap()).collect::<Vec<u64>>()
    };
    let format = format("csv:%ibyt");
    let joined = |query: &Query| {
        let (flows, mut report) =
            query.join_flows(&Grouping::five_tuple(), Some(bytes), n).unwrap();
        let mut out = Vec::new();
        flows.print(Some(bytes), n, &format, &mut out, &mut report).unwrap();
        numbers(out)
    };
    let sorted = |query: &Query| {
        let mut out = Vec::new();
        query.sorted(bytes, n, &format, &mut out).unwrap();
        numbers(out)
    };
    type Ask<'a> = &'a dyn Fn(&Query) -> Vec<u64>;
    for ask in [&joined as Ask<'_>, &sorted] {
        let all = ask(&query(&input, "any", 1));
        assert_eq!(all.len(), n);
        let limit = all[n / 2];
        let want: Vec<u64> = all.iter().copied().filter(|b| *b > limit).collect();
        assert!(!want.is_empty());
        for threads in THREADS {
            assert_eq!(ask(&Query { post: post(limit), ..query(&input, "any", threads) }), want);
        }
    }
    // Plain lists know nothing of it.
    let mut out = Vec::new();
    let query = Query { post: post(u64::MAX), ..query(&input, "any", 2) };
    query.list(&format, &mut out).unwrap();
    assert_eq!(numbers(out).len(), 2100);
}

/// Names hold for all flows of their file, wherever they are in it, and for no other file.
#[test]
fn names_of_a_file_are_shown() {
    use record::NameTable;
    let dir = tempfile::tempdir().unwrap();
    let mut files = Vec::new();
    for n in 0..2 {
        let path = dir.path().join(format!("nfcapd.20260410120{n}"));
        let mut writer = Writer::create(&path, &WriterOptions::default()).unwrap();
        let mut flow = Random(7).flow();
        flow.set(Field::Input, 5);
        flow.set(Field::Output, 6);
        flow.set(Field::Bytes, n + 1);
        writer.flow(&flow);
        writer.flush().unwrap();
        let name = format!("eth{n}");
        writer.meta(Meta::Name {
            exporter: 0,
            table: NameTable::Interface,
            id: 5,
            name: name.as_bytes(),
        });
        writer.close(&[]).unwrap();
        files.push(path);
    }
    for threads in THREADS {
        let query = Query { files: files.clone(), threads, ..Query::default() };
        let format = format("csv:%inam,%onam,%ibyt");
        let (mut list, mut sorted, mut joined) = (Vec::new(), Vec::new(), Vec::new());
        query.list(&format, &mut list).unwrap();
        query.sorted(Sorting::parse("ibytes:a").unwrap(), 0, &format, &mut sorted).unwrap();
        let grouping = Grouping::parse("inif,outif").unwrap();
        let (flows, mut report) = query.join_flows(&grouping, None, 0).unwrap();
        flows.print(None, 0, &format, &mut joined, &mut report).unwrap();
        let lines = |out: Vec<u8>| {
            String::from_utf8(out).unwrap().lines().skip(1).map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(lines(list), ["eth0,,1", "eth1,,2"]);
        assert_eq!(lines(sorted), ["eth0,,1", "eth1,,2"]);
        assert_eq!(lines(joined), ["eth0,,3"], "a joined flow is in the file of its first record");
    }
}

/// Records of exporters may stand behind the flows that refer to them.
#[test]
fn exporters_that_come_late_keep_their_flows() {
    let dir = tempfile::tempdir().unwrap();
    let mut files = Vec::new();
    for n in 0..2u32 {
        let path = dir.path().join(format!("nfcapd.20260410120{n}"));
        let mut writer = Writer::create(&path, &WriterOptions::default()).unwrap();
        let mut random = Random(u64::from(n));
        for i in 0..6 {
            let mut flow = random.flow();
            flow.set(Field::ExporterId, 1 + i % 2);
            writer.flow(&flow);
        }
        writer.flush().unwrap();
        for sysid in 1..=2 {
            let addr = Addr::V4(0xc000_0200 + n * 10 + sysid);
            writer.meta(Meta::Exporter(Exporter { sysid, version: 9, addr, id: 0 }));
        }
        writer.close(&[]).unwrap();
        files.push(path);
    }
    let path = dir.path().join("out");
    let addresses = |paths: &[PathBuf]| {
        let mut all = Vec::new();
        for path in paths {
            let file = store::FlowFile::open(path).unwrap();
            let known = store::exporters(&file, 0);
            let mut reader = store::BlockReader::new();
            for n in 0..file.blocks().len() {
                for row in reader.load(&file, n).unwrap().rows.iter() {
                    let id = row.number(Field::ExporterId) as u32;
                    let addr = known.iter().find(|e| e.sysid == id).map(|e| e.addr);
                    all.push((row.number(Field::Bytes), addr));
                }
            }
        }
        all.sort();
        all
    };
    let want = addresses(&files);
    assert!(want.iter().all(|w| w.1.is_some()));
    let query = Query { files, threads: 2, ..Query::default() };
    for sorted in [false, true] {
        let mut writer = Writer::create(&path, &WriterOptions::default()).unwrap();
        if sorted {
            query.write_sorted(Sorting::parse("bytes").unwrap(), 0, &mut writer).unwrap();
        } else {
            query.write(&mut writer).unwrap();
        }
        writer.close(&[]).unwrap();
        assert_eq!(addresses(std::slice::from_ref(&path)), want, "sorted: {sorted}");
    }
}
