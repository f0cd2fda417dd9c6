//! Crashes and full disks: what is stored, and what is said of it.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::process::Command;
use std::sync::mpsc;

use crate::common::{
    START, START_MS, config, config_with, names, open_file, read, slot_name, start, v9,
};
use crate::slots::told;
use collector::{Collector, Sources};
use store::loss::Statements;

const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

/// Names of side files that contain this.
fn side_files(dir: &Path, part: &str) -> Vec<String> {
    let names = fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with(".flowsuite-") && name.contains(part)).collect()
}

/// A collector that has stored 5 flows, and dies in the next slot.
fn crash(dir: &Path) {
    let mut collector = start(dir, START_MS);
    collector.datagram(PEER, START_MS, &v9(0, 5));
    collector.tick(START_MS + 1000);
    drop(collector);
}

#[test]
fn what_a_crash_left_changes_hands_at_start_and_is_taken_in_later() {
    let dir = tempfile::tempdir().unwrap();
    crash(dir.path());
    // As if another process had been it.
    let left = dir.path().join(format!("nfcapd.current.{}.{START}.0", i32::MAX));
    fs::rename(open_file(dir.path()), &left).unwrap();
    let mut collector = start(dir.path(), START_MS + 10_000);
    assert!(!left.exists(), "a second start would take it, too");
    assert_eq!(names(dir.path()).len(), 2, "not read yet: {:?}", names(dir.path()));
    collector.datagram(PEER, START_MS + 11_000, &v9(1, 7));
    collector.finish_in_background().unwrap();
    collector.close(START_MS + 12_000);
    assert_eq!(names(dir.path()), [slot_name(START)], "one file, with both");
    let path = dir.path().join(slot_name(START));
    assert_eq!(read(&path).flows, 12);
    let crashed = "0 in, 5 stored, collector 1 Ended by a crash";
    assert_eq!(told(&path), [crashed, "1 in, 7 stored"]);
    let mut statements = Statements::new();
    let by: Vec<u32> = statements.of(&path).unwrap().iter().map(|s| s.collector).collect();
    assert_eq!(by, [i32::MAX as u32, std::process::id()]);
}

#[test]
fn what_senders_left_is_taken_in_though_they_do_not_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let sources = || Sources::PerExporter { dir: dir.path().to_owned(), limit: 2 };
    let mut collector = Collector::new(config_with(sources()), START_MS).unwrap();
    collector.datagram(PEER, START_MS, &v9(0, 5));
    collector.tick(START_MS + 1000);
    drop(collector);
    let mut next = Collector::new(config_with(sources()), START_MS + 400_000).unwrap();
    next.close(START_MS + 401_000);
    let of_sender = dir.path().join("192-0-2-1");
    assert_eq!(names(&of_sender), [slot_name(START)]);
    let content = read(&of_sender.join(slot_name(START)));
    assert_eq!((content.flows, &*content.ident), (5, "192-0-2-1"));
}

#[test]
fn a_slot_without_a_file_ends_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join(slot_name(START))).unwrap();
    let (told, slots) = mpsc::channel();
    let mut collector = start(dir.path(), START_MS);
    collector.on_slot(move |dir| told.send(dir.to_owned()).unwrap());
    collector.on_file(|file| assert_eq!(file.slot_secs, START + 300));
    collector.datagram(PEER, START_MS, &v9(0, 5));
    collector.close(START_MS + 300_000);
    assert!(slots.try_iter().eq([dir.path(), dir.path()]));
}

#[test]
fn a_statement_that_cannot_be_written_is_written_later() {
    let dir = tempfile::tempdir().unwrap();
    let day = store::side::day_of(START);
    let ledger = dir.path().join(format!(".flowsuite-loss.{day}.no-pcap"));
    fs::create_dir(&ledger).unwrap();
    let mut collector = start(dir.path(), START_MS);
    collector.datagram(PEER, START_MS, &v9(0, 5));
    collector.rotate(START_MS + 1000);
    fs::remove_dir(&ledger).unwrap();
    collector.close(START_MS + 2000);
    let told = told(&dir.path().join(slot_name(START)));
    assert_eq!(told, ["1 in, 5 stored", "0 in, 0 stored"]);
}

#[test]
fn a_crash_before_the_first_save_is_no_clean_end() {
    let dir = tempfile::tempdir().unwrap();
    let mut collector = start(dir.path(), START_MS);
    collector.datagram(PEER, START_MS, &v9(0, 5));
    collector.close(START_MS + 1000);
    let state = dir.path().join(".flowsuite-state.no-pcap");
    let is_final = || fs::read_to_string(&state).unwrap().contains("\"is_final\":true");
    assert!(is_final());
    drop(start(dir.path(), START_MS + 2000));
    assert!(!is_final());
    let mut collector = start(dir.path(), START_MS + 3000);
    collector.datagram(PEER, START_MS + 3000, &v9(9, 5));
    collector.close(START_MS + 4000);
    let path = dir.path().join(slot_name(START));
    assert!(!told(&path).concat().contains("Missing while stopped"), "{:?}", told(&path));
}

#[test]
fn what_cannot_be_saved_is_saved_later() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join(".flowsuite-state.no-pcap");
    let mut collector = start(dir.path(), START_MS);
    fs::create_dir(&state).unwrap();
    collector.datagram(PEER, START_MS, &v9(0, 5));
    fs::remove_dir(&state).unwrap();
    // Nothing new comes.
    collector.tick(START_MS + 1500);
    assert!(state.exists());
    assert!(side_files(dir.path(), "draft").is_empty());
}

#[test]
fn who_reads_files_leaves_the_state_alone() {
    let dir = tempfile::tempdir().unwrap();
    let config = collector::Config { keeps_state: false, ..config(dir.path()) };
    let state = dir.path().join(".flowsuite-state.no-pcap");
    fs::write(&state, b"of a collector").unwrap();
    let mut collector = Collector::new(config, START_MS).unwrap();
    collector.datagram(PEER, START_MS, &v9(0, 5));
    collector.close(START_MS + 2000);
    assert_eq!(fs::read(&state).unwrap(), b"of a collector");
}

#[test]
fn drafts_of_those_who_are_gone_are_removed() {
    let dir = tempfile::tempdir().unwrap();
    let draft = |pid| dir.path().join(format!(".flowsuite-state.draft.{pid}.no-pcap"));
    fs::write(draft(i32::MAX), b"half").unwrap();
    fs::write(draft(1), b"of somebody at work").unwrap();
    drop(start(dir.path(), START_MS));
    assert_eq!(side_files(dir.path(), "draft").len(), 1);
    assert!(draft(1).exists());
}

#[test]
fn a_source_that_cannot_be_made_is_not_tried_with_each_datagram() {
    let dir = tempfile::tempdir().unwrap();
    let sources = Sources::PerExporter { dir: dir.path().to_owned(), limit: 2 };
    let mut collector = Collector::new(config_with(sources), START_MS).unwrap();
    let in_its_way = dir.path().join("192-0-2-1");
    fs::write(&in_its_way, b"").unwrap();
    collector.datagram(PEER, START_MS, &v9(0, 5));
    fs::remove_file(&in_its_way).unwrap();
    collector.datagram(PEER, START_MS + 999, &v9(1, 5));
    assert!(!in_its_way.exists());
    collector.datagram(PEER, START_MS + 1000, &v9(2, 5));
    assert!(in_its_way.exists());
    collector.close(START_MS + 2000);
    let account = collector.account();
    assert!(account.is_balanced());
    assert_eq!((account.refused, account.decoded), (2, 1));
}

/// Runs this program again with files limited to about 100 kB, as a full disk would.
#[test]
fn what_a_full_disk_costs_is_told_once_and_in_its_slot() {
    let out = Command::new("sh")
        .args(["-c", r#"trap "" XFSZ; ulimit -f 200; exec "$0" "$@""#])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "--ignored", "--nocapture", "trouble::alone_with_slots_on_a_full_disk"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&[out.stdout, out.stderr].concat()).into_owned();
    assert!(out.status.success() && text.contains("1 passed"), "{text}");
}

#[test]
#[ignore = "run by what_a_full_disk_costs_..., in a process with limited files"]
fn alone_with_slots_on_a_full_disk() {
    const SLOTS: u32 = 12;
    const DATAGRAMS: u32 = 60;
    const FLOWS: u64 = 100;
    let dir = tempfile::tempdir().unwrap();
    let config = collector::Config { workers: 3, ..config(dir.path()) };
    let mut collector = Collector::new(config, START_MS).unwrap();
    collector.finish_in_background().unwrap();
    let mut status = collector::status::Status::default();
    let (mut n, mut before) = (0, 0);
    for slot in 0..SLOTS {
        for _ in 0..DATAGRAMS {
            let at = START_MS + u64::from(slot) * 300_000 + u64::from(n % DATAGRAMS);
            collector.datagram(PEER, at, &v9(n, FLOWS as usize));
            n += 1;
        }
        collector.describe(&mut status, 0);
        let source = &status.sources[0];
        let stored = source.totals.all_flows();
        assert!(stored >= before, "{stored} after {before}");
        before = stored;
        assert!(stored + source.account.flows_lost <= source.account.flows);
    }
    collector.close(START_MS + u64::from(SLOTS) * 300_000 - 1);
    collector.describe(&mut status, 0);
    let account = collector.account();
    assert!(account.flows_lost > 0, "the disk was not full: {account:?}");
    let mut sum = (0, 0);
    for slot in 0..SLOTS {
        let path = dir.path().join(slot_name(START + 300 * u64::from(slot)));
        let mut statements = Statements::new();
        let statements = statements.of(&path).unwrap();
        let [told] = statements[..] else { panic!("slot {slot}: {statements:?}") };
        let lost: u64 = told.losses.iter().map(|loss| loss.count).sum();
        assert_eq!(told.stored + lost, u64::from(DATAGRAMS) * FLOWS, "slot {slot}: {told:?}");
        assert_eq!(read(&path).flows, told.stored, "slot {slot}");
        assert!(told.exporters.iter().all(store::loss::ExporterStatement::is_balanced), "{told:?}");
        sum = (sum.0 + told.stored, sum.1 + lost);
    }
    assert_eq!(sum, (account.flows - account.flows_lost, account.flows_lost));
    assert_eq!(status.sources[0].totals.all_flows(), sum.0);
}
