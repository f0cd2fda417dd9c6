//! Files: slots by the time that is given, crashes, full disks, and what others read.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use export::{Files, FilesConfig, FilesCounts};
use record::{Addr, Exporter, Field, Flow, Sampler};
use store::loss::{Place, Statements};
use store::rotate::{Slot, SubDirs, slot_of};
use store::{BlockReader, Compression, FlowFile};

/// Seconds since 1970: the start of a slot of 300.
const START: u64 = 1_795_000_200;

fn config(dir: &Path) -> FilesConfig {
    FilesConfig { ident: "border".to_owned(), ..FilesConfig::new(dir) }
}

fn flow(number: u64, secs: u64) -> Flow {
    let mut flow = Flow::new();
    flow.set_addr(Field::SrcAddr, Addr::V4(0x0a00_0001));
    flow.set_addr(Field::DstAddr, Addr::V4(0xc000_0201));
    flow.set(Field::SrcPort, number);
    flow.set(Field::DstPort, 443);
    flow.set(Field::Proto, 6);
    flow.set(Field::Packets, 2);
    flow.set(Field::Bytes, 100);
    flow.set(Field::First, secs * 1000 - 500);
    flow.set(Field::Last, secs * 1000);
    flow
}

fn put(files: &mut Files, number: u64, secs: u64) {
    files.flow(secs * 1000, &mut flow(number, secs));
}

/// Ports of the flows in a file, and when each was received.
fn ports(path: &Path) -> Vec<(u64, u64)> {
    let file = FlowFile::open(path).unwrap();
    let mut reader = BlockReader::new();
    let mut found = Vec::new();
    for n in 0..file.blocks().len() {
        let block = reader.load(&file, n).unwrap();
        found.extend(block.rows.iter().map(|row| {
            assert_eq!(row.number(Field::ExporterId), 1);
            (row.number(Field::SrcPort), row.number(Field::Received) / 1000)
        }));
    }
    found
}

/// What is in a directory and below it, side files left out.
fn listed(dir: &Path) -> BTreeMap<String, PathBuf> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(listed(&path));
            continue;
        }
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if !name.starts_with('.') {
            found.insert(name, path);
        }
    }
    found
}

fn named(start: u64) -> String {
    Slot { start, len: 300 }.file_name()
}

fn until(mut is_so: impl FnMut() -> bool) {
    for _ in 0..60_000 {
        if is_so() {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    panic!("it does not come");
}

#[test]
fn each_slot_of_packet_time_has_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let mut files = Files::open(config(dir.path())).unwrap();
    let times = [
        START + 10,
        START + 299,
        START + 300,
        START + 100_000_000,       // years without a packet: no files
        START + 100_000_000 - 200, // a little late
        START + 11,                // of another file: it is merged
    ];
    for (number, secs) in times.into_iter().enumerate() {
        put(&mut files, number as u64, secs);
        files.tick(secs * 1000);
    }
    files.finish();
    let later = slot_of(START + 100_000_000, 300).start;
    let found = listed(dir.path());
    let want = [named(START), named(START + 300), named(later)];
    assert!(found.keys().eq(&want), "{found:?}");
    let of = |name: &String| ports(&found[name]);
    assert_eq!(of(&want[0]), [(0, START + 10), (1, START + 299), (5, START + 11)]);
    assert_eq!(of(&want[1]), [(2, START + 300)]);
    assert_eq!(of(&want[2]).iter().map(|(port, _)| *port).collect::<Vec<_>>(), [3, 4]);
    let file = FlowFile::open(&found[&want[0]]).unwrap();
    assert_eq!((file.ident(), file.totals().unwrap().all_bytes()), ("border", 300));
    let mut counts = files.counts();
    assert_eq!(std::mem::take(&mut counts.files), 4);
    assert_eq!(counts, FilesCounts { flows: 6, stored: 6, ..FilesCounts::default() });
    let mut statements = Statements::new();
    let of_first = statements.of(&found[&want[0]]).unwrap();
    assert_eq!(of_first.iter().map(|s| s.stored).collect::<Vec<_>>(), [2, 1]);
    assert!(of_first.iter().all(|s| s.losses.is_empty() && s.from == START));
}

#[test]
fn on_an_interface_quiet_slots_have_files_too() {
    let dir = tempfile::tempdir().unwrap();
    let mut files = Files::open(FilesConfig {
        every_slot: true,
        sub_dirs: SubDirs::new(1).unwrap(),
        ..config(dir.path())
    })
    .unwrap();
    (0..=900).step_by(5).for_each(|secs| files.tick((START + secs) * 1000));
    files.finish();
    let found = listed(dir.path());
    let want = [0, 300, 600, 900].map(|after| named(START + after));
    assert!(found.keys().eq(&want), "{found:?}");
    let sub_dir = Slot { start: START, len: 300 }.sub_directory(SubDirs::new(1).unwrap());
    assert_eq!(found[&want[0]], dir.path().join(sub_dir).join(&want[0]));
    assert!(found.values().all(|path| ports(path).is_empty()));
}

#[test]
fn the_open_slot_can_be_read_a_second_later() {
    let dir = tempfile::tempdir().unwrap();
    let mut files = Files::open(config(dir.path())).unwrap();
    files.tick(START * 1000);
    assert!(listed(dir.path()).is_empty(), "nothing to write");
    put(&mut files, 7, START);
    files.tick((START + 1) * 1000);
    until(|| listed(dir.path()).values().any(|path| ports(path) == [(7, START)]));
    let open = listed(dir.path()).into_keys().next().unwrap();
    assert!(open.starts_with("nfcapd.current."), "{open}");
    files.tick((START + 300) * 1000); // time passes without a flow
    until(|| listed(dir.path()).contains_key(&named(START)));
    files.finish();
    assert_eq!(listed(dir.path()).len(), 1);
}

#[test]
fn what_cannot_be_written_is_counted_and_stated() {
    let dir = tempfile::tempdir().unwrap();
    let (base, aside) = (dir.path().join("base"), dir.path().join("aside"));
    fs::create_dir(&base).unwrap();
    let mut files = Files::open(config(&base)).unwrap();
    put(&mut files, 0, START);
    files.tick((START + 300) * 1000);
    until(|| listed(&base).contains_key(&named(START)));
    fs::rename(&base, &aside).unwrap();
    (1..4).for_each(|number| put(&mut files, number, START + 300));
    files.note_loss(Place::Kernel, "Packets dropped", "packets", 17);
    files.note_loss(Place::Kernel, "Packets dropped", "packets", 4);
    files.note_loss(Place::Kernel, "Packets refused", "packets", 0);
    assert_eq!(files.counts().lost, 3);
    fs::rename(&aside, &base).unwrap();
    put(&mut files, 4, START + 300); // too soon to try again
    put(&mut files, 5, START + 302);
    files.finish();
    let counts = files.counts();
    assert_eq!((counts.flows, counts.stored, counts.lost, counts.files), (6, 2, 4, 2));
    let path = base.join(named(START + 300));
    assert_eq!(ports(&path), [(5, START + 302)]);
    let mut statements = Statements::new();
    let [statement] = statements.of(&path).unwrap()[..] else { panic!("one statement") };
    let losses: Vec<_> =
        statement.losses.iter().map(|l| (l.place, l.what.as_str(), l.count)).collect();
    let want = [(Place::Kernel, "Packets dropped", 21), (Place::Disk, "Flows not written", 4)];
    assert_eq!(losses, want);
    assert_eq!(statement.stored, 1);
}

/// Not a test of its own: the process that is killed in the next one.
#[test]
fn writes_until_it_is_killed() {
    let Some(dir) = std::env::var_os("PROBE_FILES_KILLED") else { return };
    let mut files = Files::open(config(Path::new(&dir))).unwrap();
    (0..100).for_each(|number| put(&mut files, number, START + 5));
    files.flush();
    loop {
        std::thread::park();
    }
}

#[test]
fn flows_of_a_process_that_was_killed_are_taken_in() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "writes_until_it_is_killed", "--nocapture"])
        .env("PROBE_FILES_KILLED", dir.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    until(|| listed(dir.path()).values().any(|path| FlowFile::open(path).is_ok()));
    until(|| listed(dir.path()).values().any(|path| ports(path).len() == 100));
    child.kill().unwrap();
    child.wait().unwrap();
    // The same slot goes on.
    let mut files = Files::open(config(dir.path())).unwrap();
    put(&mut files, 100, START + 6);
    files.finish();
    let found = listed(dir.path());
    assert!(found.keys().eq([&named(START)]), "{found:?}");
    let mut all: Vec<u64> = ports(&found[&named(START)]).iter().map(|(port, _)| *port).collect();
    all.sort_unstable();
    assert!(all.into_iter().eq(0..=100));
    let counts = files.counts();
    assert_eq!((counts.recovered, counts.stored, counts.lost), (100, 1, 0));
    let mut statements = Statements::new();
    let of_file = statements.of(&found[&named(START)]).unwrap();
    assert_eq!(of_file.iter().map(|s| s.stored).collect::<Vec<_>>(), [100, 1]);
    assert_eq!(of_file[0].losses[0].what, "Ended by a crash");
}

#[test]
fn files_say_who_has_seen_the_flows() {
    let dir = tempfile::tempdir().unwrap();
    let exporter = Exporter { sysid: 1, version: 10, addr: Addr::V4(0x0a09_0807), id: 77 };
    let (algorithm, id) = (1, Sampler::GENERIC);
    let sampler = Sampler { exporter: 9, algorithm, id, packet_interval: 1, space_interval: 9 };
    let mut files =
        Files::open(FilesConfig { exporter, sampler: Some(sampler), ..config(dir.path()) })
            .unwrap();
    files.name_interface(3, "eth3");
    for secs in [START, START + 300] {
        put(&mut files, 1, secs);
        files.name_interface(4, "eth4");
    }
    files.finish();
    for path in listed(dir.path()).values() {
        let file = FlowFile::open(path).unwrap();
        let mut reader = BlockReader::new();
        let meta: Vec<String> = (0..file.blocks().len())
            .flat_map(|n| reader.load(&file, n).unwrap().meta.to_vec())
            .map(|record| format!("{record:?}"))
            .collect();
        let meta = meta.join("\n");
        for want in ["id: 77", "space_interval: 9", "Interface, id: 3", "Interface, id: 4"] {
            assert!(meta.contains(want), "{want}: {meta}");
        }
    }
}

#[test]
fn the_installed_nfdump_reads_them() {
    let dir = tempfile::tempdir().unwrap();
    for compression in [Compression::None, Compression::Lzo, Compression::Lz4] {
        let config = FilesConfig { compression: compression.into(), ..config(dir.path()) };
        let mut files = Files::open(config).unwrap();
        (0..1000).for_each(|number| put(&mut files, number, START + number / 10));
        files.finish();
        let path = dir.path().join(named(START));
        let output = Command::new("nfdump")
            .args(["-q", "-N", "-o", "fmt:%sa %sp %dp %pr %pkt %byt", "-r"])
            .arg(&path)
            .output()
            .unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        let mut lines: Vec<Vec<&str>> =
            text.lines().map(|line| line.split_whitespace().collect()).collect();
        lines.sort_by_key(|line| line[1].parse::<u64>().unwrap());
        assert_eq!(lines.len(), 1000);
        for (number, line) in lines.iter().enumerate() {
            let number = number.to_string();
            assert_eq!(line[1..], [number.as_str(), "443", "6", "2", "100"]);
        }
        fs::remove_file(path).unwrap();
    }
}

#[test]
fn a_directory_that_cannot_be_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, b"").unwrap();
    for path in [&file, &dir.path().join("missing")] {
        let e = Files::open(config(path)).err().unwrap().to_string();
        assert!(e.contains(path.to_str().unwrap()) && e.contains("directory"), "{e}");
    }
    let long = FilesConfig { ident: "x".repeat(123), ..config(dir.path()) };
    assert!(Files::open(long).is_err());
}
