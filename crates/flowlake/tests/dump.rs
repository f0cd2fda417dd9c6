//! `flowlake dump` of a dataset beside the same command line on the flow files it was made of.

use record::{Addr, Exporter, Field, Flow, FlowSink as _, Meta, NameTable};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use store::{MetaRecord, Writer, WriterOptions};

const PROGRAM: &str = env!("CARGO_BIN_EXE_flowlake");
/// 2026-04-10 12:00 UTC.
const NOON: u64 = 1_775_822_400_000;

/// Flows of all sorts: both families, two hours, two exporters, translations, text, payloads.
fn flow(n: u64) -> Flow {
    let mut f = Flow::new();
    let start = NOON - 600_000 + n * 977 % 1_200_000;
    f.set(Field::First, start);
    f.set(Field::Last, start + n % 5000);
    f.set(Field::Received, start + 6000);
    f.set(Field::Packets, 1 + n * 7 % 1000);
    f.set(Field::Bytes, 40 + n * 7919 % 100_003);
    f.set(Field::SrcPort, 1024 + n * 31 % 4000);
    f.set(Field::DstPort, [53, 80, 443, 8080, 771][n as usize % 5]);
    f.set(Field::Proto, [6, 6, 17, 1, 47][n as usize % 5]);
    f.set(Field::TcpFlags, n % 64);
    f.set(Field::FwdStatus, 0);
    f.set(Field::SrcTos, n % 3);
    f.set(Field::ExporterId, 1 + n % 2);
    f.set(Field::Source, 9);
    let addr = |host: u64| match n % 4 {
        0 => Addr::V6(0x2001_0db8 << 96 | u128::from(host)),
        _ => Addr::V4(0x0A00_0000 | host as u32),
    };
    f.set_addr(Field::SrcAddr, addr(n * 13 % 211));
    f.set_addr(Field::DstAddr, addr(1000 + n * 17 % 97));
    if n.is_multiple_of(3) {
        for (field, value) in [
            (Field::Input, n % 9),
            (Field::Output, 3),
            (Field::SrcMask, 24),
            (Field::DstMask, 16),
            (Field::Direction, n % 2),
            (Field::DstTos, 1),
            (Field::BiflowDir, 0),
            (Field::EndReason, 1),
        ] {
            f.set(field, value);
        }
        f.set(Field::SrcAs, 64_500 + n % 5);
        f.set(Field::DstAs, 4_200_000_000);
    }
    if n.is_multiple_of(7) {
        f.set_addr(Field::XlateSrcAddr, Addr::V4(0xC633_6401));
        f.set_addr(Field::XlateDstAddr, Addr::V4(0x0A00_0001));
        f.set(Field::XlateSrcPort, 40_000 + n % 100);
        f.set(Field::XlateDstPort, 443);
        f.set(Field::NatEventTime, start);
        f.set(Field::NatPool, 1);
        f.set(Field::NatEvent, 1 + n % 2);
    }
    if n.is_multiple_of(11) {
        f.set_bytes(Field::Label, format!("label {}", n % 13).as_bytes());
        f.set_bytes(Field::Username, b"somebody\xE9");
        f.set_bytes(Field::InPayload, b"GET / HTTP/1.1\r\n");
        for mac in [Field::InSrcMac, Field::OutDstMac, Field::InDstMac, Field::OutSrcMac] {
            f.set(mac, 0x0200_5E00_0000 | n);
        }
    }
    f
}

fn write_flows(path: &Path, numbers: std::ops::Range<u64>) {
    let mut writer = Writer::create(
        path,
        &WriterOptions { ident: "border".to_owned(), ..WriterOptions::default() },
    )
    .unwrap();
    for sysid in 1..=2 {
        let addr = Addr::V4(0xC000_0200 + sysid);
        writer.meta(Meta::Exporter(Exporter { sysid, version: 9, addr, id: 0 }));
    }
    for (table, id, name) in [
        (NameTable::Interface, 3, &b"xe-0/0/3"[..]),
        (NameTable::Interface, 6, b"\xFCplink"),
        (NameTable::Vrf, 3, b"red"),
    ] {
        writer.meta_record(&MetaRecord::Name { table, id, name: name.to_vec() });
    }
    numbers.for_each(|n| writer.flow(&flow(n)));
    writer.close(&[]).unwrap();
}

/// Flow files, and the dataset made of them.
fn both() -> (tempfile::TempDir, PathBuf, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let (flows, lake) = (dir.path().join("flows"), dir.path().join("lake"));
    fs::create_dir(&flows).unwrap();
    write_flows(&flows.join("nfcapd.202604101150"), 0..3000);
    write_flows(&flows.join("nfcapd.202604101155"), 3000..5000);
    let made = Command::new(PROGRAM)
        .arg("write")
        .arg("-R")
        .arg(&flows)
        .arg("-w")
        .arg(&lake)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", text(&made.stderr));
    (dir, flows, lake)
}

fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

fn dump(input: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(PROGRAM);
    command.arg("dump").arg("-R").arg(input).args(args).env("TZ", "UTC");
    command.output().unwrap()
}

/// A line of JSON without the running number of its flow.
fn without_count(line: &str) -> String {
    match line.split_once("\"cnt\":") {
        Some((head, rest)) => head.to_owned() + rest.split_once(',').map_or("", |(_, rest)| rest),
        None => line.to_owned(),
    }
}

/// Lines in any order, without what is about reading itself, and running numbers.
fn lines(output: &Output) -> Vec<String> {
    let about_reading = |line: &&str| {
        ["Total flows", "Sys:", "Time window"].iter().any(|head| line.starts_with(head))
    };
    let text = text(&output.stdout);
    let mut lines: Vec<String> = text
        .lines()
        .filter(|l| !about_reading(l))
        .map(|l| match l.split_once(", Blocks skipped") {
            // What follows are blocks and octets, of flow files or of Parquet.
            Some((records, _)) if l.starts_with("Total records") => records,
            _ => l.trim_end_matches(','),
        })
        .map(without_count)
        .collect();
    lines.sort();
    lines
}

/// Command lines, words apart by `|`.
const ASKED: &[&str] = &[
    "-n|0|-s|dstip/bytes",
    "-s|srcip/flows|-n|0",
    "-n|0|-s|srcport:p/packets",
    "-s|record/bytes|-n|0",
    "-n|0|-s|as/bytes",
    "-n|0|-s|proto",
    "-n|0|-s|any/bps",
    "-n|0|-s|dstip/distinct:srcip",
    "-n|0|-s|natip/flows",
    "-n|0|-s|inif/bytes",
    "-n|0|-s|srcmac",
    "-n|0|-s|if/bytes|-s|port/flows|-o|csv",
    "-A|srcip,dstport|-O|bytes",
    "-A|srcip4/24,dstip6/64|-O|flows|-o|csv",
    "-n|0|-A|proto,dstport|-s|record/bytes",
    "-A|srcnet|-O|packets",
    "-a|-O|bytes|-n|0",
    "-b|-O|bytes|-n|0",
    "-B|-O|bytes|-n|0",
    "-o|line",
    "-o|long",
    "-o|extended",
    "-o|csv",
    "-o|ndjson",
    "-o|fmt:%ts %te %sa %da %sp %dp %pr %flg %tos %byt %in %out %sas %das %smk %ismc %xsa %evt",
    "-o|fmt:%ts %sa %sp %inam %onam %ivrfnam",
    "-O|tstart|-o|long",
    "-O|bytes|-n|30|-o|ndjson",
    "-n|0|-t|2026/04/10.11:55:00-2026/04/10.12:03:00|-s|dstip/bytes",
    "-t|2026/04/10.12:00:00|-o|csv",
    "-o|long|host 10.0.0.7",
    "-o|long|host 2001:db8::7",
    "-o|long|host 203.0.113.5",
    "-o|csv|src ip 10.0.0.7 and dst port 443",
    "-o|long|net 10.0.0.0/28 and not proto udp",
    "-o|csv|proto icmp and icmp-type 3",
    "-o|csv|bytes > 90000 or packets < 10",
    "-o|csv|bps > 1000 and duration < 2000",
    "-o|csv|ipv6 and flags S",
    "-o|csv|nat event add and src nat ip 198.51.100.1",
    "-o|ndjson|payload content 'HTTP'",
    "-o|csv|as 64501",
    "-o|csv|exporter id 2",
    "-n|0|-s|dstport/bytes|-P|bytes > 1",
    "-n|0|-s|record/flows|-P|flows > 1|-A|srcip",
    "-n|0|--bin|5m|-s|dstport/bytes",
    "-n|0|--percentile|95|-s|dstport/bps",
];

#[test]
fn answers_are_those_of_flow_files() {
    let (_dir, flows, lake) = both();
    let mut wrong = Vec::new();
    for asked in ASKED {
        let args: Vec<&str> = asked.split('|').collect();
        let (want, got) = (dump(&flows, &args), dump(&lake, &args));
        assert_eq!(text(&got.stderr), text(&want.stderr), "{asked}");
        assert_eq!(got.status.code(), want.status.code(), "{asked}");
        assert!(!want.stdout.is_empty(), "{asked}");
        let (want, got) = (lines(&want), lines(&got));
        let differ = want.iter().zip(&got).find(|(want, got)| want != got);
        if differ.is_some() || want.len() != got.len() {
            wrong.push(format!("{asked}: {} lines, {}: {differ:?}", want.len(), got.len()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn flows_come_back_from_parquet() {
    let (dir, flows, lake) = both();
    let back = dir.path().join("nfcapd.back");
    let written = dump(&lake, &["-w", back.to_str().unwrap()]);
    assert!(written.status.success(), "{}", text(&written.stderr));
    let json = ["-o", "ndjson"];
    let rows = |output: Output| {
        let text = text(&output.stdout);
        let mut rows: Vec<String> = text.lines().map(without_count).collect();
        rows.sort();
        rows
    };
    // Exporters have the same numbers, as both files name them in the same order.
    let (want, got) = (rows(dump(&flows, &json)), rows(dump(&back, &json)));
    assert_eq!(want.len(), 5000);
    assert_eq!(got, want);
    let names = ["-o", "fmt:%ts %sa %sp %inam %onam"];
    let (want, got) = (lines(&dump(&flows, &names)), lines(&dump(&back, &names)));
    assert!(want.iter().any(|line| line.contains("xe-0/0/3")), "{:?}", want.first());
    assert_eq!(got, want);
}

#[test]
fn the_first_ones_are_that_many() {
    let (_dir, _, lake) = both();
    let output = dump(&lake, &["-q", "-c", "7", "-o", "csv"]);
    assert_eq!(text(&output.stdout).lines().count(), 8);
}

#[test]
fn what_is_left_out_is_said() {
    let (_dir, _, lake) = both();
    let output = dump(&lake, &["--explain", "-s", "dstip/bytes", "host 203.0.113.5"]);
    let said = text(&output.stdout);
    let last = said.lines().last().unwrap_or_default();
    assert!(last.starts_with("parquet ") && last.contains(" and 0 of "), "{said}");
}

/// One damaged file costs that file; the exit status says so, but not to who knows nfdump's.
#[test]
fn damage_is_told_and_the_rest_is_read() {
    let (dir, _, lake) = both();
    let is_parquet = |p: &PathBuf| p.extension().is_some_and(|e| e == "parquet");
    let files = lake::read::list(&lake).unwrap();
    assert!(files.len() > 2 && files.iter().all(is_parquet));
    let whole = fs::read(&files[0]).unwrap();
    fs::write(&files[0], &whole[..whole.len() / 2]).unwrap();
    let output = dump(&lake, &["-q", "-o", "csv"]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(&files[0].display().to_string()), "{said}");
    assert!(text(&output.stdout).lines().count() > 1000);
    fs::write(dir.path().join("other.parquet"), &whole).unwrap();
    let refused = dump(&lake, &["--index=build"]);
    assert!(text(&refused.stderr).contains("flow files"), "{}", text(&refused.stderr));
}
