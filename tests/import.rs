//! `flowimport`: files of flow-tools, CSV and captures, compared with what real nfdump reads of the
//! result. The writer here is made from the description of the format and shares no code with the
//! reader.

mod common;

use common::{FLOWDUMP, FLOWPROBE, Scene, has, run, stdout_of};
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use std::fs;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const FLOWIMPORT: &str = env!("CARGO_BIN_EXE_flowimport");

/// A flow as a router would have told it.
#[derive(Clone, Debug)]
struct Record {
    secs: u32,
    nsecs: u32,
    uptime: u32,
    exporter: Ipv4Addr,
    src: Ipv4Addr,
    dst: Ipv4Addr,
    next_hop: Ipv4Addr,
    interfaces: [u16; 2],
    packets: u32,
    octets: u32,
    first: u32,
    last: u32,
    ports: [u16; 2],
    proto: u8,
    tos: u8,
    flags: u8,
    engine: [u8; 2],
    masks: [u8; 2],
    systems: [u16; 2],
}

/// Records with other values in each, some of them at the wrap of the router's clock, in order of
/// time: 10 a second from 2026-11-20 10:00:00 UTC.
fn records(count: u32) -> Vec<Record> {
    (0..count)
        .map(|n| {
            let x = |salt: u32| n.wrapping_mul(2_654_435_761).wrapping_add(salt) >> 7;
            // The clock wraps at record 50.
            let uptime = n.wrapping_mul(100).wrapping_sub(5000);
            let age = x(1) % 60_000;
            Record {
                secs: 1_795_168_800 + n / 10,
                nsecs: n % 10 * 100_000_000 + 999_999,
                uptime,
                exporter: Ipv4Addr::from(0xc000_0201 + n % 2),
                src: Ipv4Addr::from(0x0a00_0000 + x(2) % 65_536),
                dst: Ipv4Addr::from(0xc633_6400 + x(3) % 256),
                next_hop: Ipv4Addr::from(if n % 3 == 0 { 0 } else { 0xc0a8_0001 + n }),
                interfaces: [(x(4) % 65_536) as u16, (n % 7) as u16],
                packets: 1 + x(5) % 1000,
                octets: if n == 3 { u32::MAX } else { 40 + x(6) % 100_000 },
                first: uptime.wrapping_sub(age),
                last: uptime.wrapping_sub(age / 2),
                ports: [(x(7) % 65_536) as u16, [80, 443, 53][n as usize % 3]],
                proto: [6, 17, 47][n as usize % 3],
                tos: (n % 256) as u8,
                flags: if n % 3 == 0 { (n % 64) as u8 } else { 0 },
                engine: [1, (n % 2) as u8],
                masks: [24, (n % 33) as u8],
                systems: [(x(8) % 65_536) as u16, (n % 5) as u16],
            }
        })
        .collect()
}

impl Record {
    /// Start and end, milliseconds since 1970, on the router's clock of 32 bits.
    fn times(&self) -> (i64, i64) {
        let export = i64::from(self.secs) * 1000 + i64::from(self.nsecs / 1_000_000);
        let at = |time: u32| export - i64::from(self.uptime.wrapping_sub(time));
        (at(self.first), at(self.last))
    }
}

/// How a file is written.
#[derive(Clone, Copy, Debug, Default)]
struct Manner {
    big: bool,
    packed: bool,
    /// A stream: no counts in its header.
    stream: bool,
    /// As flow-capture leaves it while it writes.
    open: bool,
}

impl Manner {
    fn u16(self, n: u16) -> [u8; 2] {
        if self.big { n.to_be_bytes() } else { n.to_le_bytes() }
    }

    fn u32(self, n: u32) -> [u8; 4] {
        if self.big { n.to_be_bytes() } else { n.to_le_bytes() }
    }

    fn record(self, r: &Record) -> Vec<u8> {
        let mut all = Vec::new();
        for word in [r.secs, r.nsecs, r.uptime, r.exporter.into(), r.src.into(), r.dst.into()] {
            all.extend(self.u32(word));
        }
        all.extend(self.u32(r.next_hop.into()));
        r.interfaces.iter().for_each(|half| all.extend(self.u16(*half)));
        for word in [r.packets, r.octets, r.first, r.last] {
            all.extend(self.u32(word));
        }
        r.ports.iter().for_each(|half| all.extend(self.u16(*half)));
        all.extend([r.proto, r.tos, r.flags, 0]);
        all.extend(r.engine);
        all.extend(r.masks);
        r.systems.iter().for_each(|half| all.extend(self.u16(*half)));
        assert_eq!(all.len(), 64);
        all
    }

    fn file(self, records: &[Record]) -> Vec<u8> {
        let mut fields = Vec::new();
        let mut field = |kind: u16, value: &[u8]| {
            fields.extend(self.u16(kind));
            fields.extend(self.u16(value.len() as u16));
            fields.extend(value);
        };
        let done = u32::from(!self.stream && !self.open);
        let flags = done | if self.packed { 2 } else { 0 } | if self.stream { 8 } else { 0 };
        field(2, &self.u16(5));
        field(8, &self.u32(flags));
        if !self.stream {
            let count = if self.open { 0 } else { records.len() as u32 };
            field(6, &self.u32(1_795_168_800));
            field(7, &self.u32(if self.open { 0 } else { 1_795_169_700 }));
            field(10, &self.u32(count));
            field(11, &self.u32(480));
            field(12, &self.u32(2));
            field(13, &self.u32(1));
            field(14, &self.u32(0));
            field(15, b"collector\0");
        }
        fields.resize(fields.len().next_multiple_of(4), 0);
        let mut all = vec![0xcf, 0x10, if self.big { 2 } else { 1 }, 3];
        all.extend(self.u32(8 + fields.len() as u32));
        all.extend(fields);
        let octets: Vec<u8> = records.iter().flat_map(|r| self.record(r)).collect();
        if !self.packed {
            all.extend(octets);
            return all;
        }
        let mut encoder = ZlibEncoder::new(all, Compression::default());
        encoder.write_all(&octets).unwrap();
        if self.open {
            encoder.flush().unwrap();
            return encoder.get_ref().clone();
        }
        encoder.finish().unwrap()
    }
}

fn import(args: &[&str]) -> Output {
    run(FLOWIMPORT, args)
}

/// Imports what has to go well.
fn imported(args: &[&str]) -> String {
    stdout_of(FLOWIMPORT, args)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Time as nfdump 1.7.1 prints it in CSV.
fn seconds(ms: i64) -> String {
    let time = chrono::DateTime::from_timestamp_millis(ms).unwrap();
    time.format("%Y-%m-%d %H:%M:%S").to_string()
}

/// What real nfdump makes of a file: its columns by name, a map a record.
fn by_nfdump(path: &Path) -> Vec<std::collections::HashMap<String, String>> {
    let printed = stdout_of("nfdump", ["-r", text(path), "-o", "csv"]);
    let mut lines = printed.lines().take_while(|line| !line.starts_with("Summary"));
    let names: Vec<_> = match lines.next() {
        Some(line) if line.starts_with("ts,") => line.split(',').map(str::to_owned).collect(),
        other => panic!("no line of names: {other:?}"),
    };
    lines
        .filter(|line| line.starts_with(|c: char| c.is_ascii_digit()))
        .map(|line| names.iter().cloned().zip(line.split(',').map(str::to_owned)).collect())
        .collect()
}

#[test]
fn real_nfdump_reads_every_value_of_every_kind_of_file() {
    if !has("nfdump") {
        return;
    }
    let (scene, flows) = (Scene::new(), records(200));
    for (n, manner) in [
        Manner::default(),
        Manner { big: true, ..Manner::default() },
        Manner { packed: true, ..Manner::default() },
        Manner { big: true, packed: true, ..Manner::default() },
        Manner { stream: true, ..Manner::default() },
        Manner { stream: true, packed: true, big: true, ..Manner::default() },
    ]
    .into_iter()
    .enumerate()
    {
        let (from, to) = (scene.path(format!("{n}.ft")), scene.path(format!("{n}.nf")));
        fs::write(&from, manner.file(&flows)).unwrap();
        let said = imported(&["-w", text(&to), text(&from)]);
        assert!(said.starts_with("Imported 200 flows of 2 exporters from 1 inputs into 1 files."));
        assert_eq!(
            said.contains("480 flows lost, 2 datagrams out of order, 1 corrupt"),
            !manner.stream
        );
        let read = by_nfdump(&to);
        assert_eq!(read.len(), flows.len(), "{manner:?}");
        for (flow, read) in flows.iter().zip(&read) {
            let (first, last) = flow.times();
            let next_hop = match flow.next_hop.is_unspecified() {
                true => "0.0.0.0".to_owned(),
                false => flow.next_hop.to_string(),
            };
            for (column, want) in [
                ("ts", seconds(first)),
                ("te", seconds(last)),
                ("sa", flow.src.to_string()),
                ("da", flow.dst.to_string()),
                ("sp", flow.ports[0].to_string()),
                ("dp", flow.ports[1].to_string()),
                ("stos", flow.tos.to_string()),
                ("ipkt", flow.packets.to_string()),
                ("ibyt", flow.octets.to_string()),
                ("in", flow.interfaces[0].to_string()),
                ("out", flow.interfaces[1].to_string()),
                ("sas", flow.systems[0].to_string()),
                ("das", flow.systems[1].to_string()),
                ("smk", flow.masks[0].to_string()),
                ("dmk", flow.masks[1].to_string()),
                ("nh", next_hop),
                ("ra", flow.exporter.to_string()),
                ("eng", format!("{}/{}", flow.engine[0], flow.engine[1])),
            ] {
                assert_eq!(read.get(column), Some(&want), "{column} of {flow:?} in {manner:?}");
            }
        }
        // Exporters are records of the file, so filters by them work.
        let of_one =
            stdout_of("nfdump", ["-r", text(&to), "-q", "-o", "csv", "router ip 192.0.2.2"]);
        assert_eq!(of_one.matches(",192.0.2.2,").count(), 100, "{manner:?}");
    }
}

#[test]
fn milliseconds_flags_and_protocols_are_kept() {
    let (scene, flows) = (Scene::new(), records(100));
    let (from, to) = (scene.path("a.ft"), scene.path("a.nf"));
    fs::write(&from, Manner::default().file(&flows)).unwrap();
    imported(&["-q", "-w", text(&to), "-r", text(&from)]);
    let printed = stdout_of(FLOWDUMP, ["-r", text(&to), "-o", "csv-fast"]);
    for (flow, line) in flows.iter().zip(printed.lines().skip(1)) {
        let columns: Vec<_> = line.split(',').collect();
        let (first, last) = flow.times();
        assert_eq!(columns[2..5], [first.to_string(), last.to_string(), flow.proto.to_string()]);
        for (bit, letter) in "FSRPAU".chars().enumerate() {
            assert_eq!(columns[13].contains(letter), flow.flags >> bit & 1 == 1, "{line}");
        }
    }
    assert_eq!(printed.lines().count(), 101);
}

/// The line of flow-export, with the clock that flowdump gives a flow.
fn line(flow: &Record) -> String {
    let (first, last) = flow.times();
    let export = i64::from(flow.secs) * 1000 + i64::from(flow.nsecs / 1_000_000);
    let r = flow;
    format!(
        "{},{},{},{},{},{},0,{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{}\n",
        r.secs,
        r.nsecs / 1_000_000 * 1_000_000,
        export - first,
        r.exporter,
        r.packets,
        r.octets,
        last - first,
        r.engine[0],
        r.engine[1],
        r.src,
        r.dst,
        r.next_hop,
        r.interfaces[0],
        r.interfaces[1],
        r.ports[0],
        r.ports[1],
        r.proto,
        r.tos,
        r.flags,
        r.masks[0],
        r.masks[1],
        r.systems[0],
        r.systems[1],
    )
}

#[test]
fn lines_of_flow_export_go_out_and_in_again() {
    let (scene, flows) = (Scene::new(), records(100));
    let (ft, nf, csv, again) =
        (scene.path("a.ft"), scene.path("a.nf"), scene.path("a.csv"), scene.path("b.nf"));
    fs::write(&ft, Manner::default().file(&flows)).unwrap();
    imported(&["-w", text(&nf), text(&ft)]);
    let lines = stdout_of(FLOWDUMP, ["-r", text(&nf), "-o", "flow-tools"]);
    let names = "#:unix_secs,unix_nsecs,sysuptime,exaddr,dpkts,doctets,first,last,engine_type,\
                 engine_id,srcaddr,dstaddr,nexthop,input,output,srcport,dstport,prot,tos,tcp_flags,\
                 src_mask,dst_mask,src_as,dst_as\n";
    let want: String = flows.iter().map(line).collect();
    assert_eq!(lines, format!("{names}{want}"));
    fs::write(&csv, &lines).unwrap();
    imported(&["-w", text(&again), text(&csv)]);
    let json = |path: &Path| stdout_of(FLOWDUMP, ["-r", text(path), "-o", "ndjson"]);
    assert_eq!(json(&again), json(&nf));
    // Without the names, the number of columns says which they are; -m says it of any.
    for (mask, told) in [("0x0FFF37EF", false), ("0xFF31EF", false), ("unix_secs,srcaddr", true)] {
        let format = format!("flow-tools:{mask}");
        let lines = stdout_of(FLOWDUMP, ["-r", text(&nf), "-o", &format]);
        let bare = lines.split_once('\n').unwrap().1;
        fs::write(&csv, bare).unwrap();
        let args = if told { &["-m", mask][..] } else { &[] };
        imported(&[&["-w", text(&again), text(&csv)], args].concat());
        assert_eq!(stdout_of(FLOWDUMP, ["-r", text(&again), "-o", &format]), lines, "{mask}");
    }
    let lines = stdout_of(FLOWDUMP, ["-r", text(&nf), "-o", "flowdumper", "-c", "2"]);
    let first = seconds(flows[0].times().0).replace('-', "/");
    let (r, flags) = (&flows[0], "");
    assert_eq!(
        lines.lines().next().unwrap(),
        format!(
            "{first} {}.{} -> {}.{} 6{flags} {} {}",
            r.src, r.ports[0], r.dst, r.ports[1], r.packets, r.octets
        )
    );
}

#[test]
fn an_archive_has_the_files_that_a_collector_writes() {
    let (scene, flows) = (Scene::new(), records(9000));
    let from = scene.dir("ft/2026/2026-11/2026-11-20");
    for (n, flows) in flows.chunks(3000).enumerate() {
        let name = format!("ft-v05.2026-11-20.10{:02}00+0000", n * 5);
        fs::write(from.join(name), Manner { packed: n == 1, ..Manner::default() }.file(flows))
            .unwrap();
    }
    let open = Manner { open: true, ..Manner::default() }.file(&flows[..10]);
    fs::write(from.join("tmp-v05.2026-11-20.101500+0000"), open).unwrap();
    let (ft, to) = (scene.path("ft"), scene.dir("flows"));
    let output = import(&["-w", text(&to), "-S", "1", "-t", "300", "-z", "-R", text(&ft)]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    assert!(
        said.starts_with("Imported 9000 flows of 2 exporters from 3 inputs into 3 files."),
        "{said}"
    );
    assert!(String::from_utf8_lossy(&output.stderr).contains("1 files are being written"));
    let day = to.join("2026/11/20");
    for (n, flows) in flows.chunks(3000).enumerate() {
        let path = day.join(format!("nfcapd.2026112010{:02}", n * 5));
        let sum = stdout_of(FLOWDUMP, ["-r", text(&path), "-o", "csv:%byt"]);
        let sum: u64 = sum.lines().skip(1).map(|n| n.parse::<u64>().unwrap()).sum();
        assert_eq!(sum, flows.iter().map(|f| u64::from(f.octets)).sum::<u64>(), "{n}");
    }
    // Nothing else is there, and a second import adds to the files and says so.
    let others = |dir: &Path| fs::read_dir(dir).unwrap().flatten().count();
    assert_eq!((others(&to), others(&day)), (1, 3));
    let first = format!("{}/ft-v05.2026-11-20.100500+0000", text(&from));
    let output = import(&["-w", text(&to), "-S", "1", "-R", &first]);
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("2 files were there already"));
    let all = stdout_of(FLOWDUMP, ["-R", text(&to), "-o", "csv:%byt"]);
    assert_eq!(all.lines().count(), 1 + 9000 + 6000);
    // A range of files, and those that are being written.
    let range = format!("{first}:ft-v05.2026-11-20.100500+0000");
    let one = scene.path("one.nf");
    assert!(imported(&["-w", text(&one), "-R", &range]).starts_with("Imported 3000 flows"));
    let output = import(&["-w", text(&one), "-a", text(&ft)]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&output.stdout).starts_with("Imported 9010 flows"),
        "{output:?}"
    );
    assert!(String::from_utf8_lossy(&output.stderr).contains("was not closed: flow-capture still"));
}

#[test]
fn flows_in_any_order_of_time_find_their_files() {
    // More slots by turns than are open at once.
    let (scene, mut flows) = (Scene::new(), records(300));
    for (n, flow) in flows.iter_mut().enumerate() {
        flow.secs = 1_795_168_800 + (n as u32 * 37 % 60) * 60;
    }
    let (from, to) = (scene.path("a.ft"), scene.dir("flows"));
    fs::write(&from, Manner::default().file(&flows)).unwrap();
    let said = imported(&["-w", text(&to), "-t", "60", text(&from)]);
    assert!(
        said.starts_with("Imported 300 flows of 2 exporters from 1 inputs into 60 files."),
        "{said}"
    );
    let mut files: Vec<_> = fs::read_dir(&to).unwrap().flatten().map(|e| e.path()).collect();
    files.sort();
    assert_eq!(files.len(), 60);
    for file in files {
        let printed = stdout_of(FLOWDUMP, ["-r", text(&file), "-o", "csv:%tr"]);
        assert_eq!(printed.lines().count(), 1 + 5, "{}", file.display());
        let minute = &text(&file)[text(&file).len() - 2..];
        assert!(printed.lines().skip(1).all(|l| &l[14..16] == minute), "{printed}");
    }
}

#[test]
fn what_is_not_whole_is_imported_as_far_as_it_goes() {
    let (scene, flows) = (Scene::new(), records(50));
    let (from, to) = (scene.path("a.ft"), scene.path("a.nf"));
    let whole = Manner::default().file(&flows);
    let packed = Manner { packed: true, ..Manner::default() }.file(&flows);
    let open = Manner { packed: true, open: true, ..Manner::default() }.file(&flows);
    let flipped = {
        let mut octets = packed.clone();
        let at = octets.len() - 200;
        octets[at..at + 20].fill(0xaa);
        octets
    };
    for (name, octets, least, most, said) in [
        ("cut", &whole[..whole.len() - 1], 49, 49, "1 flows are missing at its end"),
        ("without flows", &whole[..whole.len() - 50 * 64], 0, 0, "50 flows are missing"),
        ("packed and cut", &packed[..packed.len() - 100], 1, 49, "flows are missing at its end"),
        ("being written", &open[..], 50, 50, "breaks off within a flow"),
        ("damaged", &flipped[..], 0, 50, "its compressed data breaks after"),
    ] {
        fs::write(&from, octets).unwrap();
        let output = import(&["-w", text(&to), text(&from)]);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{name}: {errors}");
        assert!(errors.contains(said), "{name}: {errors}");
        let lines = stdout_of(FLOWDUMP, ["-r", text(&to), "-o", "csv:%byt"]).lines().count() - 1;
        assert!((least..=most).contains(&lines), "{name}: {lines}");
    }
    // Nothing that could be read leaves nothing behind, and what was there stays.
    let before = fs::read(&to).unwrap();
    for (octets, said) in [
        (&whole[..20], "ends within its header"),
        (&b""[..], "is empty"),
        (&before[..], "is a file of nfcapd already"),
        (&b"\x7fELF"[..], "is neither of flow-tools nor CSV nor a capture"),
    ] {
        fs::write(&from, octets).unwrap();
        let output = import(&["-w", text(&to), text(&from)]);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{errors}");
        assert!(errors.contains(said) && errors.contains("nothing is imported"), "{errors}");
        assert_eq!(fs::read(&to).unwrap(), before);
    }
    let names: Vec<PathBuf> =
        fs::read_dir(scene.path("")).unwrap().flatten().map(|e| e.path()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
}

#[test]
fn what_is_read_is_not_replaced() {
    let (scene, flows) = (Scene::new(), records(50));
    let (from, link) = (scene.path("a.ft"), scene.path("link"));
    let octets = Manner::default().file(&flows);
    fs::write(&from, &octets).unwrap();
    std::os::unix::fs::symlink(&from, &link).unwrap();
    for to in [&from, &link] {
        let output = import(&["-w", text(to), text(&from)]);
        assert_eq!(output.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&output.stderr).contains("is read as well"), "{output:?}");
        assert_eq!(fs::read(&from).unwrap(), octets);
    }
    assert_eq!(fs::read_dir(scene.path("")).unwrap().count(), 2);
}

#[test]
fn what_a_killed_import_leaves_is_not_read() {
    let scene = Scene::new();
    let (from, to) = (scene.path("a.ft"), scene.dir("flows"));
    fs::write(&from, Manner::default().file(&records(50))).unwrap();
    imported(&["-w", text(&to), text(&from)]);
    let list = || stdout_of(FLOWDUMP, ["-q", "-R", text(&to), "-o", "ndjson"]);
    let before = list();
    assert_eq!(before.lines().count(), 50);
    let left = scene.dir("flows/.flowimport.aBcDeF");
    let any = fs::read_dir(&to).unwrap().flatten().find(|e| e.path().is_file()).unwrap();
    fs::copy(any.path(), left.join("0")).unwrap();
    assert_eq!(list(), before);
    // And the next import goes its way.
    imported(&["-w", text(&to), text(&from)]);
    assert_eq!(list().lines().count(), 100);
}

#[test]
fn pipes_gzip_and_several_inputs_are_read() {
    let (scene, flows) = (Scene::new(), records(60));
    let (a, b, to) = (scene.path("a.ft.gz"), scene.path("b.csv"), scene.path("a.nf"));
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(&Manner { stream: true, ..Manner::default() }.file(&flows[..20])).unwrap();
    fs::write(&a, gzip.finish().unwrap()).unwrap();
    fs::write(&b, flows[20..40].iter().map(line).collect::<String>()).unwrap();
    let mut child = Command::new(FLOWIMPORT)
        .args(["-w", text(&to), text(&a), text(&b), "-"])
        .env("TZ", "UTC")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let last = Manner { stream: true, packed: true, ..Manner::default() }.file(&flows[40..]);
    child.stdin.take().unwrap().write_all(&last).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.starts_with("Imported 60 flows of 2 exporters from 3 inputs"), "{said}");
    let printed = stdout_of(FLOWDUMP, ["-r", text(&to), "-o", "csv:%byt"]);
    let want: Vec<_> = flows.iter().map(|f| f.octets.to_string()).collect();
    assert_eq!(printed.lines().skip(1).collect::<Vec<_>>(), want);
}

#[test]
fn a_capture_gives_the_flows_of_flowprobe() {
    let scene = Scene::new();
    let pcap = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/demo.pcap");
    let (probe, ours) = (scene.dir("probe"), scene.dir("ours"));
    stdout_of(FLOWPROBE, ["-r", pcap, "-w", text(&probe)]);
    imported(&["-w", text(&ours), pcap]);
    let files = |dir: &Path| {
        let names = fs::read_dir(dir).unwrap().flatten().map(|e| e.file_name());
        let mut names: Vec<_> =
            names.filter(|n| n.to_string_lossy().starts_with("nfcapd.")).collect();
        names.sort();
        names
    };
    assert!(!files(&ours).is_empty());
    assert_eq!(files(&ours), files(&probe));
    let flows = |dir: &Path| {
        let printed = stdout_of(FLOWDUMP, ["-R", text(dir), "-o", "csv"]);
        let mut lines: Vec<_> = printed.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(flows(&ours), flows(&probe));
}

#[test]
fn headers_are_those_of_flow_header() {
    let scene = Scene::new();
    let from = scene.path("a.ft");
    fs::write(&from, Manner::default().file(&records(3))).unwrap();
    assert_eq!(
        imported(&["--header", text(&from)]),
        "#\n# mode:                 normal\n# capture hostname:     collector\n\
         # capture start:        Fri Nov 20 10:00:00 2026\n\
         # capture end:          Fri Nov 20 10:15:00 2026\n\
         # capture period:       900 seconds\n# compress:             off\n\
         # byte order:           little\n# stream version:       3\n# export version:       5\n\
         # lost flows:           480\n# misordered packets:   2\n# corrupt packets:      1\n\
         # sequencer resets:     0\n# capture flows:        3\n#\n"
    );
    let output = run(FLOWDUMP, ["-r", text(&from)]);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(errors.contains("import it with flowimport"), "{errors}");
}

/// An import that waits for what comes on standard input.
fn import_of_a_pipe(to: &Path) -> std::process::Child {
    let mut import = Command::new(FLOWIMPORT);
    let import = import.args(["-w", text(to), "-"]).stdin(Stdio::piped()).stderr(Stdio::piped());
    import.spawn().unwrap()
}

#[test]
fn an_interrupted_import_leaves_nothing() {
    let scene = Scene::new();
    let to = scene.dir("flows");
    let mut child = import_of_a_pipe(&to);
    let mut stdin = child.stdin.take().unwrap();
    let file = Manner { stream: true, ..Manner::default() }.file(&records(2000));
    stdin.write_all(&file).unwrap();
    // Files are begun when flows were read.
    let begun = || {
        let staging = fs::read_dir(&to).unwrap().flatten().next();
        staging
            .is_some_and(|dir| fs::read_dir(dir.path()).is_ok_and(|mut dir| dir.next().is_some()))
    };
    common::wait_until(begun, || "no file was begun".to_owned());
    assert!(run("kill", ["-s", "INT", &child.id().to_string()]).status.success());
    // Nothing more comes, and no end.
    common::wait_until(|| child.try_wait().unwrap().is_some(), || "it goes on".to_owned());
    let output = child.wait_with_output().unwrap();
    drop(stdin);
    assert_eq!(output.status.code(), Some(130));
    assert!(String::from_utf8_lossy(&output.stderr).contains("nothing is imported"));
    assert_eq!(fs::read_dir(&to).unwrap().count(), 0);
}

#[test]
fn an_import_of_a_silent_pipe_can_be_interrupted() {
    let scene = Scene::new();
    let to = scene.dir("flows");
    let mut child = import_of_a_pipe(&to);
    let stdin = child.stdin.take();
    let has_begun = || fs::read_dir(&to).unwrap().next().is_some();
    common::wait_until(has_begun, || "it does not begin".to_owned());
    assert!(run("kill", ["-s", "INT", &child.id().to_string()]).status.success());
    common::wait_until(|| child.try_wait().unwrap().is_some(), || "it waits".to_owned());
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(errors.lines().count(), 1, "{errors}");
    assert!(errors.contains("nothing is imported"), "{errors}");
    assert_eq!(fs::read_dir(&to).unwrap().count(), 0);
}

#[test]
fn engines_of_a_router_are_exporters_each() {
    let (scene, mut flows) = (Scene::new(), records(60));
    for (n, flow) in flows.iter_mut().enumerate() {
        flow.exporter = [192, 0, 2, 1].into();
        flow.engine = [(n % 2) as u8, (n % 3) as u8];
    }
    let (from, to) = (scene.path("a.ft"), scene.path("a.nf"));
    fs::write(&from, Manner::default().file(&flows)).unwrap();
    let said = imported(&["-w", text(&to), text(&from)]);
    assert!(said.starts_with("Imported 60 flows of 6 exporters"), "{said}");
}

/// The commands in a text: code in backticks, and lines that are set in by four blanks.
fn commands(text: &str) -> Vec<String> {
    let set_in = text.lines().filter_map(|line| line.strip_prefix("    "));
    let set_in = set_in.map(|line| line.split(" # ").next().unwrap_or_default().trim().to_owned());
    let quoted = text.lines().filter(|line| line.starts_with('|')).flat_map(|line| {
        let right = line.rsplit_once(" | ").map_or("", |(_, right)| right);
        right.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>()
    });
    set_in.chain(quoted).collect()
}

#[test]
fn what_the_manual_tells_to_type_works() {
    let scene = Scene::new();
    let root = scene.path("");
    let dir = scene.dir("netflow/ft");
    scene.dir("flows");
    let flows = records(600);
    fs::write(dir.join("ft-v05.2026-11-20.100000+0000"), Manner::default().file(&flows)).unwrap();
    let bin = scene.dir("bin");
    for (name, program) in [
        ("flowdump", FLOWDUMP),
        ("flowimport", FLOWIMPORT),
        ("flowexpire", env!("CARGO_BIN_EXE_flowexpire")),
    ] {
        std::os::unix::fs::symlink(program, bin.join(name)).unwrap();
    }
    let lines: String = flows.iter().map(line).collect();
    fs::write(root.join("lines.csv"), lines).unwrap();
    let manual = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/importing.md");
    let path = format!("{}:{}", text(&bin), std::env::var("PATH").unwrap());
    let mut tried = 0;
    for typed in commands(&fs::read_to_string(manual).unwrap()) {
        let is_ours = ["flowdump -R", "flowimport -w", "flowimport --", "flowexpire -n"];
        if !is_ours.iter().any(|begin| typed.starts_with(begin)) {
            continue;
        }
        let here = typed.replace("/var/", &format!("{}/", text(&root)));
        let output = Command::new("sh")
            .args(["-c", &here])
            .current_dir(&root)
            .env("PATH", &path)
            .env("TZ", "UTC")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(output.status.success(), "{typed}: {output:?}");
        let is_silent = typed.contains(" -w merged") || typed.contains(" -w joined");
        assert_eq!(output.stdout.is_empty(), is_silent, "{typed}: {output:?}");
        tried += 1;
    }
    assert!(tried > 40, "{tried}");
}
