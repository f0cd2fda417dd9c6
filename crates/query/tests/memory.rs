//! Answers where memory is scarce, and of runs that are told to stop: what is shown is right, and
//! what is missing is said.

mod common;

use common::{Input, Random, THREADS, format, input, query, requests, tables};
use query::{Grouping, Query, Sorting};
use record::{Field, FlowSink as _};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use store::{Writer, WriterOptions};

/// Octets of memory so small that the groups of [`scattered`] take several passes.
const SCARCE: usize = 250 << 10;

/// Flows that hardly have anything in common.
fn scattered() -> Input {
    let dir = tempfile::tempdir().unwrap();
    let (mut files, mut flows) = (Vec::new(), Vec::new());
    let mut random = Random(0x5ca7);
    for n in 0..3 {
        let path = dir.path().join(format!("nfcapd.20260410120{n}"));
        let mut writer = Writer::create(&path, &WriterOptions::default()).unwrap();
        for i in 0..4000 {
            let mut flow = random.flow();
            flow.set(Field::SrcPort, 1 + random.below(3000));
            flow.set(Field::DstPort, 1 + random.below(3));
            writer.flow(&flow);
            flows.push(flow);
            if i % 300 == 299 {
                writer.flush().unwrap();
            }
        }
        writer.close(&[]).unwrap();
        files.push(path);
    }
    Input::new(dir, files, flows)
}

/// Passes over a part of the hash space each find the same as one over all of it.
#[test]
fn scarce_memory_gives_the_same_answer() {
    let input = scattered();
    let questions: [(&[&str], Grouping); 3] = [
        (&["record/bytes/flows/tstart:a"], Grouping::five_tuple()),
        (&["record/ibytes", "ip/bytes", "srcport:p/packets:a"], Grouping::bidirectional(false)),
        (&["record/bps"], Grouping::parse("srcip,dstip,srcport,dstport,proto,srctos").unwrap()),
    ];
    for (texts, grouping) in questions {
        let requests = requests(texts, &grouping);
        for n in [1, 5, 17] {
            let want = tables(&query(&input, "any", 1), &requests, n).unwrap();
            for threads in THREADS {
                let scarce = Query { memory: Some(SCARCE), ..query(&input, "any", threads) };
                assert_eq!(tables(&scarce, &requests, n).unwrap(), want, "{texts:?} -n {n}");
            }
        }
        // The question is only a question of memory if all groups do not fit.
        for threads in THREADS {
            let scarce = Query { memory: Some(SCARCE), ..query(&input, "any", threads) };
            let error = tables(&scarce, &requests, 0).unwrap_err();
            assert!(matches!(error, query::QueryError::Memory { .. }), "{error}");
            let error = error.to_string();
            assert!(error.contains("250 KiB") && error.contains("--memory"), "{error}");
        }
    }
}

#[test]
fn scarce_memory_keeps_the_order_of_appearance() {
    let input = scattered();
    let print = |query: &Query| {
        let (flows, mut report) = query.join_flows(&Grouping::five_tuple(), None, 7).unwrap();
        let mut out = Vec::new();
        flows.print(None, 7, &format("ndjson"), &mut out, &mut report).unwrap();
        (flows.len(), String::from_utf8(out).unwrap())
    };
    let want = print(&query(&input, "any", 1));
    assert_eq!(want.1.lines().count(), 7);
    for threads in THREADS {
        let scarce = Query { memory: Some(SCARCE), ..query(&input, "any", threads) };
        assert_eq!(print(&scarce), want);
    }
}

#[test]
fn too_many_records_to_sort_are_an_error() {
    let input = input();
    let sorting = Sorting::parse("bytes").unwrap();
    for threads in THREADS {
        let scarce = Query { memory: Some(24 << 10), ..query(&input, "any", threads) };
        let mut out = Vec::new();
        let error = scarce.sorted(sorting, 0, &format("csv:%byt"), &mut out).unwrap_err();
        assert!(error.to_string().starts_with("records to be sorted need more"), "{error}");
        assert!(out.is_empty(), "half an answer");
    }
}

#[test]
fn a_run_that_is_told_to_stop_says_so() {
    static STOPPED: AtomicBool = AtomicBool::new(true);
    static GOING: AtomicBool = AtomicBool::new(false);
    let input = input();
    for threads in THREADS {
        let mut out = Vec::new();
        let stopped = Query { stop: Some(&STOPPED), ..query(&input, "any", threads) };
        let report = stopped.list(&format("json"), &mut out).unwrap();
        assert!(report.interrupted && report.records == 0);
        assert_eq!(serde_json::from_slice::<Value>(&out).unwrap(), Value::Array(vec![]));
        let all = requests(&["record", "srcip"], &Grouping::five_tuple());
        let (answers, report) = stopped.statistics(&all, 10).unwrap();
        assert!(report.interrupted && answers.len() == 2);
        let going = Query { stop: Some(&GOING), ..query(&input, "any", threads) };
        let report = going.list(&format("json"), &mut Vec::new()).unwrap();
        assert!(!report.interrupted && report.records == 2100);
    }
}

/// A flag that is set when so many files were opened, and how many were.
struct Interrupt {
    flag: AtomicBool,
    opened: AtomicUsize,
    at: AtomicUsize,
}

impl Interrupt {
    const fn new() -> Self {
        let (opened, at) = (AtomicUsize::new(0), AtomicUsize::new(usize::MAX));
        Self { flag: AtomicBool::new(false), opened, at }
    }

    fn arm(&self, at: usize) {
        self.flag.store(false, SeqCst);
        self.opened.store(0, SeqCst);
        self.at.store(at, SeqCst);
    }

    fn open(&self) {
        if self.opened.fetch_add(1, SeqCst) + 1 == self.at.load(SeqCst) {
            self.flag.store(true, SeqCst);
        }
    }
}

/// The sums of each flow of a table in JSON, by its key.
fn sums(table: &[u8]) -> HashMap<Vec<String>, (u64, u64)> {
    let rows: Vec<Value> = serde_json::from_slice(table).unwrap();
    let key = |r: &Value| {
        let mut row = r.as_object().unwrap().clone();
        row.retain(|k, _| k.contains("addr") || k.contains("port") || k.contains("icmp"));
        row.values().map(Value::to_string).chain([r["proto"].to_string()]).collect()
    };
    let sum = |r: &Value, k: &str| r[k].as_u64().unwrap();
    rows.iter().map(|r| (key(r), (sum(r, "in_bytes"), sum(r, "in_packets")))).collect()
}

/// ^C in the second reading: what is shown are sums over all files, not some over all files and
/// some over the part that was read again. ^C in the first: that some were not counted is said.
#[test]
fn interrupted_passes_show_no_mixture() {
    static INTERRUPT: Interrupt = Interrupt::new();
    /// Records of ICMP show no ports: their keys would look alike.
    const PORTS: &str = "not proto icmp";
    let input = scattered();
    let key = Grouping::parse("srcport,proto").unwrap();
    let bytes = Sorting::parse("bytes:a").unwrap();
    let table = |query: &Query, n| {
        let (flows, mut report) = query.join_flows(&key, Some(bytes), n).unwrap();
        let mut out = Vec::new();
        flows.print(Some(bytes), n, &format("json"), &mut out, &mut report).unwrap();
        (sums(&out), report)
    };
    let (all, whole) = table(&query(&input, PORTS, 2), 0);
    for threads in [1, 2] {
        let scarce = Query {
            memory: Some(SCARCE),
            stop: Some(&INTERRUPT.flag),
            progress: Some(|_, _| INTERRUPT.open()),
            ..query(&input, PORTS, threads)
        };
        for at in [5, 6] {
            INTERRUPT.arm(at);
            let (got, report) = table(&scarce, 500);
            assert!(report.interrupted && report.is_partial, "file {at}");
            assert_eq!((report.passed, got.len()), (whole.passed, 500));
            for (key, sums) in &got {
                assert_eq!(all.get(key), Some(sums), "file {at}: partial sums of {key:?}");
            }
        }
        let scarcer = Query { memory: Some(SCARCE / 2), ..scarce };
        INTERRUPT.arm(3);
        let (got, report) = table(&scarcer, 500);
        assert!(report.interrupted && report.is_partial && report.records < 12_000);
        assert_eq!(got.len(), 500);
        // Without need for passes an interrupted answer is about all that was read.
        let enough = Query { memory: None, ..scarcer };
        INTERRUPT.arm(3);
        let (_, report) = table(&enough, 500);
        assert!(report.interrupted && !report.is_partial);
        INTERRUPT.arm(usize::MAX);
        let (_, report) = table(&enough, 500);
        assert!(!report.interrupted && !report.is_partial);
    }
}

/// ^C while records are shown: no further window is begun, and that is said.
#[test]
fn interrupted_output_ends_between_windows() {
    static STOP: AtomicBool = AtomicBool::new(false);
    /// Sets the flag as soon as anything is written.
    struct Reader(usize);
    impl std::io::Write for Reader {
        fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
            STOP.store(true, SeqCst);
            self.0 += text.iter().filter(|b| **b == b'\n').count();
            Ok(text.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let input = scattered();
    let sorting = Sorting::parse("bytes").unwrap();
    for threads in THREADS {
        let stopped = Query { stop: Some(&STOP), ..query(&input, "any", threads) };
        let print = |n| {
            let mut out = Reader(0);
            STOP.store(false, SeqCst);
            let report = stopped.sorted(sorting, n, &format("ndjson"), &mut out).unwrap();
            (out.0, report.interrupted)
        };
        let (lines, interrupted) = print(0);
        assert!(interrupted && lines > 0 && lines < input.flows.len(), "{lines}");
        assert_eq!(print(10), (10, false), "one window is an answer");
        // What was found before the interruption is shown as a whole.
        STOP.store(false, SeqCst);
        let (flows, mut report) =
            stopped.join_flows(&Grouping::five_tuple(), Some(sorting), 1000).unwrap();
        STOP.store(true, SeqCst);
        let mut out = Vec::new();
        flows.print(Some(sorting), 1000, &format("ndjson"), &mut out, &mut report).unwrap();
        assert_eq!(out.iter().filter(|b| **b == b'\n').count(), 1000);
    }
}
