//! Files of flows that are known, for questions whose answers are worked out twice.

use output::{Format, FormatOptions, TimeZone};
use query::{Answer, Grouping, Query, Request, Tables};
use record::{Addr, Exporter, Field, Flow, FlowSink as _, Meta};
use std::path::PathBuf;
use store::{Compression, Packing, Writer, WriterOptions};

pub(crate) const THREADS: [usize; 3] = [1, 2, 5];

#[derive(Debug)]
pub(crate) struct Input {
    _dir: tempfile::TempDir,
    pub(crate) files: Vec<PathBuf>,
    pub(crate) flows: Vec<Flow>,
}

impl Input {
    pub(crate) fn new(dir: tempfile::TempDir, files: Vec<PathBuf>, flows: Vec<Flow>) -> Self {
        Self { _dir: dir, files, flows }
    }
}

/// Three files of eight blocks each, with few enough values that groups are large.
pub(crate) fn input() -> Input {
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
    Input::new(dir, files, flows)
}

pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }

    pub(crate) fn flow(&mut self) -> Flow {
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

pub(crate) fn query(input: &Input, filter: &str, threads: usize) -> Query {
    Query {
        files: input.files.clone(),
        filters: vec![filter::Filter::parse(filter).unwrap()],
        threads,
        ..Query::default()
    }
}

pub(crate) fn options() -> FormatOptions {
    FormatOptions { time_zone: TimeZone::Utc, plain_numbers: true, ..FormatOptions::default() }
}

pub(crate) fn format(spec: &str) -> Format {
    Format::parse(spec, &options()).unwrap()
}

pub(crate) fn requests(texts: &[&str], grouping: &Grouping) -> Vec<Request> {
    texts.iter().map(|t| Request::parse(t, grouping, None).unwrap()).collect()
}

/// What all tables of one run say, as JSON.
pub(crate) fn tables(
    query: &Query,
    requests: &[Request],
    n: usize,
) -> Result<String, query::QueryError> {
    let (answers, mut report) = query.statistics(requests, n)?;
    assert!(report.damage.is_empty(), "{:?}", report.damage);
    let (mut out, format) = (Vec::new(), format("json"));
    let mut tables = Tables::new(&format, &report, &mut out);
    for (answer, request) in answers.iter().zip(requests) {
        for sorting in &request.sortings {
            match answer {
                Answer::Element(table) => tables.add(table, *sorting, n),
                Answer::Flows(flows) => tables.add_flows(flows, *sorting, n, &mut report),
            }
        }
    }
    tables.finish()?;
    assert_eq!((report.records, report.passed), counted(query));
    Ok(String::from_utf8(out).unwrap())
}

/// What the report of any question has to say.
fn counted(query: &Query) -> (u64, query::Passed) {
    let filters =
        query.filters.iter().map(|f| filter::Filter::parse(&f.tree().to_string()).unwrap());
    let plain =
        Query { files: query.files.clone(), filters: filters.collect(), ..Query::default() };
    let report = plain.list(&format("null"), &mut Vec::new()).unwrap();
    (report.records, report.passed)
}
