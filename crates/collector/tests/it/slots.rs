//! The collector without sockets, on a clock of the tests.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::process::Command;
use std::sync::mpsc;

use crate::common::{
    START, START_MS, config, config_with, names, open_file, read, slot_name, start, v9,
};
use collector::{Account, Collector, Error, FinishedFile, Listed, Sources};

const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7));

#[test]
fn every_slot_gets_a_file_even_without_flows() {
    let dir = tempfile::tempdir().unwrap();
    let mut collector = start(dir.path(), START_MS + 90_000);
    collector.datagram(PEER, START_MS + 91_000, &v9(0, 5));
    for tick in (91_000..700_000).step_by(250) {
        collector.tick(START_MS + tick);
    }
    // The next datagram ends the third slot by its time alone.
    collector.datagram(PEER, START_MS + 900_000, &v9(1, 3));
    collector.close(START_MS + 901_000);
    let slots = [START, START + 300, START + 600, START + 900];
    assert_eq!(names(dir.path()), slots.map(slot_name));
    let flows = slots.map(|s| read(&dir.path().join(slot_name(s))).flows);
    assert_eq!(flows, [5, 0, 0, 3]);
}

#[test]
fn each_file_tells_its_exporters_and_their_statistics() {
    let dir = tempfile::tempdir().unwrap();
    let mut collector = start(dir.path(), START_MS);
    collector.datagram(PEER, START_MS, &v9(0, 5));
    collector.datagram(PEER, START_MS, &v9(3, 5)); // two are missing
    collector.datagram(PEER, START_MS + 300_000, &v9(4, 1));
    collector.close(START_MS + 300_000);
    let [first, second] = [START, START + 300].map(|s| read(&dir.path().join(slot_name(s))));
    assert_eq!((first.packets, first.gaps), (2, 1));
    assert_eq!((second.packets, second.gaps), (1, 0));
    assert_eq!(first.exporters.len(), 1);
    assert_eq!(first.exporters, second.exporters);
    assert_eq!(first.exporters[0].id, 9);
}

#[test]
fn each_file_has_a_statement_of_what_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let mut collector = start(dir.path(), START_MS);
    collector.datagram(PEER, START_MS, &v9(0, 5));
    collector.datagram(PEER, START_MS, b"\0"); // no export datagram
    collector.datagram(PEER, START_MS, &v9(3, 5)); // two are missing
    collector.rotate(START_MS + 1000);
    collector.note_drops(4, 2);
    collector.datagram(PEER, START_MS + 300_000, &v9(4, 1));
    collector.close(START_MS + 300_000);
    let told = |slot| told(&dir.path().join(slot_name(slot)));
    let early = "3 in, 10 stored, exporter 1 Bad packets, network 2 Packets missing";
    // Drops are noted when a datagram tells of them: in the rest of the slot.
    let late = "0 in, 0 stored, kernel 4 Socket drops, kernel 2 Datagrams cut short";
    assert_eq!(told(START), [early, late]);
    assert_eq!(told(START + 300), ["1 in, 1 stored"]);
}

/// The statements of a flow file, each in one line.
pub(crate) fn told(path: &Path) -> Vec<String> {
    let text = |s: &&store::loss::Statement| {
        let loss = |l: &store::loss::Loss| format!(", {} {} {}", l.place.name(), l.count, l.what);
        let losses: String = s.losses.iter().map(loss).collect();
        format!("{} in, {} stored{losses}", s.received, s.stored)
    };
    store::loss::Statements::new().of(path).unwrap().iter().map(text).collect()
}

#[test]
fn flows_of_a_file_that_gets_no_name_are_not_stored() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(slot_name(START));
    fs::create_dir(&path).unwrap();
    let mut collector = start(dir.path(), START_MS);
    collector.datagram(PEER, START_MS, &v9(0, 5));
    collector.close(START_MS + 1000);
    assert_eq!(told(&path), ["1 in, 0 stored, disk 5 Flows in an unfinished file"]);
}

#[test]
fn flows_can_be_read_a_second_later() {
    let dir = tempfile::tempdir().unwrap();
    let mut collector = start(dir.path(), START_MS);
    collector.datagram(PEER, START_MS + 10, &v9(0, 5));
    collector.tick(START_MS + 900);
    assert_eq!(read(&open_file(dir.path())).flows, 0, "a second has not passed");
    collector.tick(START_MS + 1000);
    let open = read(&open_file(dir.path()));
    assert_eq!((open.flows, open.is_closed), (5, false));
}

#[test]
fn a_file_finished_early_takes_the_rest_of_its_slot() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(slot_name(START));
    let mut collector = start(dir.path(), START_MS);
    collector.datagram(PEER, START_MS + 10_000, &v9(0, 5));
    collector.rotate(START_MS + 20_000);
    assert_eq!(read(&path).flows, 5);
    collector.datagram(PEER, START_MS + 30_000, &v9(1, 7));
    collector.tick(START_MS + 300_000);
    let content = read(&path);
    assert_eq!((content.flows, content.packets, content.is_closed), (12, 2, true));
    collector.close(START_MS + 300_001);
    assert_eq!(names(dir.path()), [START, START + 300].map(slot_name));
}

#[test]
fn a_restart_within_a_slot_adds_to_its_file() {
    let dir = tempfile::tempdir().unwrap();
    for n in 0..3 {
        let mut collector = start(dir.path(), START_MS + n * 1000);
        collector.datagram(PEER, START_MS + n * 1000, &v9(n as u32, 5));
        collector.close(START_MS + n * 1000 + 10);
    }
    assert_eq!(names(dir.path()), [slot_name(START)]);
    assert_eq!(read(&dir.path().join(slot_name(START))).flows, 15);
}

#[test]
fn a_crash_loses_what_was_not_flushed_and_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let mut collector = start(dir.path(), START_MS);
    collector.datagram(PEER, START_MS, &v9(0, 5));
    collector.tick(START_MS + 1000);
    collector.datagram(PEER, START_MS + 1100, &v9(1, 7));
    drop(collector); // without `close`: as if the process had died
    assert!(open_file(dir.path()).exists());
    // Rubbish of unfinished copies goes, files of others stay.
    let copy = format!("{}.merged", open_file(dir.path()).display());
    fs::write(&copy, b"half").unwrap();
    fs::write(dir.path().join("nfcapd.current.A0B1C2"), b"not ours").unwrap();

    let mut collector = start(dir.path(), START_MS + 400_000);
    collector.close(START_MS + 400_001);
    let content = read(&dir.path().join(slot_name(START)));
    assert_eq!((content.flows, content.is_closed), (5, true));
    assert_eq!(content.ident, "none");
    let left = [slot_name(START), slot_name(START + 300), "nfcapd.current.A0B1C2".to_owned()];
    assert_eq!(names(dir.path()), left);
}

#[test]
fn open_files_of_a_living_process_are_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    drop(start(dir.path(), START_MS));
    let mine = open_file(dir.path());
    // The same file as process 1 would have it.
    let theirs = dir.path().join(format!("nfcapd.current.1.{START}.0"));
    fs::rename(&mine, &theirs).unwrap();
    let mut collector = start(dir.path(), START_MS);
    collector.close(START_MS);
    assert!(theirs.exists());
}

#[test]
fn every_datagram_is_accounted_for() {
    let dir = tempfile::tempdir().unwrap();
    let mut collector = start(dir.path(), START_MS);
    let whole = v9(0, 5);
    let mut unknown_version = whole.clone();
    unknown_version[..2].copy_from_slice(&[0, 99]);
    for (bytes, times) in
        [(&whole[..], 3), (&unknown_version, 2), (&[0], 4), (&[], 5), (&whole[..50], 1)]
    {
        for _ in 0..times {
            collector.datagram(PEER, START_MS, bytes);
        }
    }
    collector.note_drops(11, 0);
    collector.close(START_MS);
    let want = Account {
        received: 15,
        decoded: 4,
        bad: 6,
        empty: 5,
        socket_drops: 11,
        flows: 15,
        ..Account::default()
    };
    let account = collector.account();
    // However many flows the decoder took from the one that was cut short.
    assert!(account.flows >= want.flows);
    assert_eq!(account, Account { flows: account.flows, ..want });
    assert!(account.is_balanced());
    assert_eq!(read(&dir.path().join(slot_name(START))).flows, account.flows);
}

#[test]
fn truncation_anywhere_keeps_the_account_balanced() {
    let dir = tempfile::tempdir().unwrap();
    let mut collector = start(dir.path(), START_MS);
    let whole = v9(0, 5);
    for len in 0..=whole.len() {
        collector.datagram(PEER, START_MS, &whole[..len]);
        assert!(collector.account().is_balanced(), "length {len}");
    }
    collector.close(START_MS);
    let account = collector.account();
    assert_eq!(account.received, whole.len() as u64 + 1);
    assert_eq!(account.flows_lost, 0);
    assert_eq!(read(&dir.path().join(slot_name(START))).flows, account.flows);
}

#[test]
fn arrival_times_may_be_out_of_order_and_clocks_set_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut collector = start(dir.path(), START_MS + 300_000);
    // Another socket's datagram, a moment older than the slot: no new file for it.
    collector.datagram(PEER, START_MS + 299_990, &v9(0, 5));
    // An hour back: the clock was wrong before.
    collector.datagram(PEER, START_MS - 3_600_000, &v9(1, 7));
    collector.tick(START_MS - 3_599_000);
    collector.close(START_MS - 3_598_000);
    assert_eq!(names(dir.path()), [START - 3600, START + 300].map(slot_name));
    assert_eq!(read(&dir.path().join(slot_name(START + 300))).flows, 5);
    assert_eq!(read(&dir.path().join(slot_name(START - 3600))).flows, 7);
}

#[test]
fn listed_sources_take_their_senders_and_nobody_else() {
    let dir = tempfile::tempdir().unwrap();
    let listed = |ident: &str, senders: &[&str]| {
        let dir = dir.path().join(ident);
        fs::create_dir_all(&dir).unwrap();
        let senders = senders.iter().map(|s| s.parse().unwrap()).collect();
        Listed { ident: ident.to_owned(), senders, port: None, sampling: None, dir }
    };
    let sources =
        Sources::Listed(vec![listed("west", &["192.0.2.1"]), listed("east", &["10.0.0.0/8"])]);
    let mut collector = Collector::new(config_with(sources), START_MS).unwrap();
    for (peer, times) in [(PEER, 2), (OTHER, 3), (Ipv4Addr::new(10, 9, 8, 7).into(), 4)] {
        (0..times).for_each(|n| collector.datagram(peer, START_MS, &v9(n, 5)));
    }
    collector.close(START_MS);
    let account = collector.account();
    assert_eq!((account.received, account.unknown_sender), (9, 3));
    assert!(account.is_balanced());
    for (ident, flows) in [("west", 10), ("east", 20)] {
        let content = read(&dir.path().join(ident).join(slot_name(START)));
        assert_eq!((content.flows, content.ident.as_str()), (flows, ident));
    }
}

#[test]
fn sources_made_by_senders_have_a_limit() {
    let dir = tempfile::tempdir().unwrap();
    let sources = Sources::PerExporter { dir: dir.path().to_owned(), limit: 2 };
    let mut collector = Collector::new(config_with(sources), START_MS).unwrap();
    let mapped: IpAddr = "::ffff:192.0.2.1".parse().unwrap();
    let v6: IpAddr = "2001:db8::5".parse().unwrap();
    for peer in [PEER, v6, OTHER, mapped, OTHER] {
        collector.datagram(peer, START_MS, &v9(0, 5));
    }
    // Sources begin new files together.
    collector.tick(START_MS + 300_000);
    collector.close(START_MS + 300_000);
    assert_eq!(names(dir.path()), ["192-0-2-1", "2001-db8--5"]);
    let account = collector.account();
    assert_eq!((account.received, account.decoded, account.refused), (5, 3, 2));
    assert!(account.is_balanced());
    let file = |ident: &str, secs| read(&dir.path().join(ident).join(slot_name(secs)));
    assert_eq!(file("192-0-2-1", START).flows, 10);
    assert_eq!(file("2001-db8--5", START).ident, "2001-db8--5");
    assert_eq!(file("2001-db8--5", START + 300).flows, 0);
}

#[test]
fn finished_files_are_told_in_order_also_by_the_thread() {
    for in_background in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let (told, files) = mpsc::channel::<FinishedFile>();
        let mut collector = start(dir.path(), START_MS);
        collector.on_file(move |file| told.send(file.clone()).unwrap());
        if in_background {
            collector.finish_in_background().unwrap();
        }
        for slot in 0..3 {
            let at = START_MS + slot * 300_000;
            collector.datagram(PEER, at, &v9(slot as u32, 5));
            collector.rotate(at + 1000);
            collector.datagram(PEER, at + 2000, &v9(slot as u32, 5));
        }
        collector.close(START_MS + 700_000);
        let files: Vec<FinishedFile> = files.try_iter().collect();
        let starts = [0, 0, 300, 300, 600, 600].map(|s| START + s);
        assert!(files.iter().map(|f| f.slot_secs).eq(starts), "{files:?}");
        for file in &files {
            assert_eq!(read(&file.path).flows, 10);
            assert_eq!(file.path.file_name().unwrap().to_str(), Some(&*slot_name(file.slot_secs)));
            assert!(slot_name(file.slot_secs).ends_with(&file.slot_text));
            assert_eq!((&*file.dir, &*file.ident), (dir.path(), "none"));
        }
        assert_eq!(names(dir.path()).len(), 3);
    }
}

#[test]
fn a_directory_that_goes_and_comes_back_costs_only_the_flows_between() {
    let dir = tempfile::tempdir().unwrap();
    let (here, away) = (dir.path().join("here"), dir.path().join("away"));
    fs::create_dir(&here).unwrap();
    let mut collector = start(&here, START_MS);
    collector.datagram(PEER, START_MS, &v9(0, 5));
    collector.tick(START_MS + 1000);
    fs::rename(&here, &away).unwrap();
    collector.tick(START_MS + 300_000);
    collector.datagram(PEER, START_MS + 300_100, &v9(1, 7));
    let account = collector.account();
    assert_eq!((account.flows, account.flows_lost), (12, 7));
    fs::rename(&away, &here).unwrap();
    collector.tick(START_MS + 301_000);
    collector.datagram(PEER, START_MS + 301_100, &v9(2, 9));
    collector.close(START_MS + 302_000);
    let account = collector.account();
    assert_eq!((account.flows, account.flows_lost), (21, 7));
    let content = read(&here.join(slot_name(START + 300)));
    assert_eq!((content.flows, content.exporters.len()), (9, 1));
    // The file of the first slot was closed but had no directory to go to: it got its name with
    // the next one.
    assert_eq!(names(&here), [START, START + 300].map(slot_name));
    let first = here.join(slot_name(START));
    assert_eq!(read(&first).flows, 5);
    assert_eq!(told(&first), ["1 in, 5 stored"]);
}

#[test]
fn configurations_that_cannot_work_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, b"").unwrap();
    let refused = |config| match Collector::new(config, START_MS) {
        Ok(_) => panic!("accepted"),
        Err(e) => e,
    };
    for (at, want) in [(dir.path().join("missing"), "missing"), (file, "file")] {
        let e = refused(config(&at));
        assert!(matches!(e, Error::Directory { .. }) && e.to_string().contains(want), "{e}");
    }
    let mut interval = config(dir.path());
    interval.interval_secs = 0;
    assert!(matches!(refused(interval), Error::Interval(0)));
    let ident = Sources::One { ident: "x".repeat(200), dir: dir.path().to_owned() };
    assert!(matches!(refused(config_with(ident)), Error::Store(_)));
    assert!(matches!(refused(config_with(Sources::Listed(Vec::new()))), Error::NoSource));
    let twice = |dir: &Path| Listed {
        ident: "a".into(),
        senders: Vec::new(),
        port: None,
        sampling: None,
        dir: dir.into(),
    };
    let shared = Sources::Listed(vec![twice(dir.path()), twice(&dir.path().join("."))]);
    assert!(matches!(refused(config_with(shared)), Error::SharedDirectory(_)));
}

/// Runs this program again with files limited to about 100 kB, as a full disk would.
#[test]
fn a_full_disk_costs_flows_but_neither_the_process_nor_the_next_file() {
    let out = Command::new("sh")
        .args(["-c", r#"trap "" XFSZ; ulimit -f 200; exec "$0" "$@""#])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "--ignored", "--nocapture", "slots::alone_on_a_full_disk"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&out.stdout);
    assert!(out.status.success() && text.contains("1 passed"), "{text}");
}

#[test]
#[ignore = "run by a_full_disk_..., in a process with limited files"]
fn alone_on_a_full_disk() {
    let dir = tempfile::tempdir().unwrap();
    let mut collector = start(dir.path(), START_MS);
    let mut sent = 0;
    for n in 0..200u32 {
        collector.datagram(PEER, START_MS + 100 * u64::from(n), &v9(n, 100));
        sent += 100;
    }
    let account = collector.account();
    assert!(account.flows_lost > 0, "the disk was not full: {account:?}");
    collector.datagram(PEER, START_MS + 300_000, &v9(200, 50));
    collector.close(START_MS + 300_001);
    let account = collector.account();
    assert_eq!(account.flows, sent + 50);
    assert!(account.is_balanced());
    assert_eq!(read(&dir.path().join(slot_name(START + 300))).flows, 50);
    let first = dir.path().join(slot_name(START));
    let first = if first.exists() { first } else { open_file(dir.path()) };
    assert_eq!(read(&first).flows + account.flows_lost, sent);
}
