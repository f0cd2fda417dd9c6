//! Flow files expire: what goes, what stays, and the books that nfexpire and we keep together.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use store::expire::{
    ExpireOptions, Expired, NewLimits, Room, directories, expire, expire_profile, rescan,
};
use store::nfstat::{self, NfStat};
use store::rotate::{Slot, SubDirs, publish, slot_of, temporary_name};

/// 2026-11-18 11:06:40 UTC.
const NOW: u64 = 1_795_000_000;

/// A directory with a file for each slot of five minutes before [`NOW`], oldest first; file `n` has
/// `n` KiB and more.
fn directory(slots: u64, layout: u8) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for n in 0..slots {
        let slot = slot_of(NOW - 300 * (slots - n), 300);
        write(dir.path(), slot, layout, 1024 * n as usize + 100);
    }
    dir
}

fn write(base: &Path, slot: Slot, layout: u8, octets: usize) -> PathBuf {
    let directory = base.join(slot.sub_directory(SubDirs::new(layout).unwrap()));
    fs::create_dir_all(&directory).unwrap();
    let path = directory.join(slot.file_name());
    fs::write(&path, vec![1; octets]).unwrap();
    path
}

/// All that is in a directory and below it, relative to it.
fn tree(base: &Path) -> BTreeSet<String> {
    let (mut out, mut open) = (BTreeSet::new(), vec![base.to_owned()]);
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).unwrap().flatten() {
            let path = entry.path();
            out.insert(path.strip_prefix(base).unwrap().to_str().unwrap().to_owned());
            if entry.file_type().unwrap().is_dir() {
                open.push(path);
            }
        }
    }
    out
}

fn limits(max_size: u64, max_life: u64, watermark: u64) -> NewLimits {
    NewLimits { max_size: Some(max_size), max_life: Some(max_life), watermark: Some(watermark) }
}

fn run(base: &Path, limits: NewLimits) -> Expired {
    expire(base, NOW, &ExpireOptions { limits, ..ExpireOptions::default() }, |_| true).unwrap()
}

#[test]
fn the_oldest_go_until_the_watermark_holds() {
    let dir = directory(20, 0);
    let before = rescan(dir.path(), NOW, NewLimits::default()).unwrap();
    assert_eq!((before.files, before.status), (20, nfstat::OK));
    assert_eq!(before.first, slot_of(NOW - 6000, 300).start);
    assert_eq!(before.last, slot_of(NOW - 300, 300).start);
    assert!(before.size > 100 * 1024);

    // Limits that are not exceeded.
    let done = run(dir.path(), limits(before.size + 1, 6300, 50));
    assert_eq!((done.files, done.size, done.time_secs()), (0, 0, 0));
    assert_eq!(
        done.after,
        NfStat { max_size: before.size + 1, max_life: 6300, watermark: 50, ..before }
    );

    // Half of the size.
    let done = run(dir.path(), limits(before.size, 0, 50));
    assert!(done.after.size <= before.size / 2 && done.after.size > before.size / 4, "{done:?}");
    assert_eq!(done.before.size - done.after.size, done.size);
    assert_eq!(done.before.files - done.after.files, done.files);
    assert_eq!(done.time_secs(), 300 * done.files);
    assert_eq!(done.after.last, before.last);
    assert_eq!(NfStat::read(dir.path()).unwrap(), Some(done.after));
    assert_eq!(tree(dir.path()).len() as u64, done.after.files + 1, "files and .nfstat");

    // By age: the limits of before are kept, as none are given.
    let done = run(dir.path(), NewLimits { max_life: Some(900), ..NewLimits::default() });
    assert_eq!((done.before.max_size, done.before.watermark), (before.size, 50));
    assert_eq!(done.after.first, slot_of(NOW - 300, 300).start);
    assert_eq!(done.after.files, 1);

    // To the last one.
    let done = run(dir.path(), limits(1, 0, 100));
    assert_eq!((done.after.files, done.after.size), (0, 0));
    assert_eq!((done.after.first, done.after.last, done.after.status), (NOW, NOW, nfstat::REBUILD));
    assert_eq!(tree(dir.path()), BTreeSet::from([nfstat::NAME.to_owned()]));
}

#[test]
fn nothing_but_finished_flow_files_goes() {
    let dir = directory(4, 0);
    let base = dir.path();
    let elsewhere = directory(3, 0);
    let others = [
        "nfcapd.current.4711",
        "nfcapd.202001010000+0100",
        "nfcapd.2020010100",
        "nfcapd.202001010000.gz",
        "nfpcapd.202001010000",
        "notes",
        "sub/nfcapd.202001010000",
        ".hidden/nfcapd.202001010000",
        "2020/notes",
    ];
    for name in others {
        fs::create_dir_all(base.join(name).parent().unwrap()).unwrap();
        fs::write(base.join(name), [0; 5000]).unwrap();
    }
    let target = fs::read_dir(elsewhere.path()).unwrap().next().unwrap().unwrap().path();
    std::os::unix::fs::symlink(&target, base.join("nfcapd.202001010005")).unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), base.join("2019")).unwrap();
    let before = tree(base);
    let done = run(base, limits(1, 1, 1));
    assert_eq!((done.before.files, done.files, done.failed), (4, 4, 0));
    let mut left = tree(base);
    left.remove(nfstat::NAME);
    let gone: Vec<_> = before.difference(&left).collect();
    assert_eq!(gone.len(), 4, "{gone:?}");
    assert!(others.iter().all(|name| left.contains(*name)), "{left:?}");
    assert_eq!(tree(elsewhere.path()).len(), 3);
}

#[test]
fn side_files_and_empty_directories_go_too() {
    for layout in 0..=8 {
        let dir = tempfile::tempdir().unwrap();
        let base = dir.path();
        // Two days.
        let old = write(base, slot_of(NOW - 86_400, 300), layout, 100);
        let new = write(base, slot_of(NOW - 300, 300), layout, 100);
        let [day_before, yesterday, today] = [2, 1, 0].map(|days| {
            let name = slot_of(NOW - 86_400 * days, 300).file_name();
            let path = base.join(format!(".flowsuite-loss.{}.no-pcap", &name[7..15]));
            fs::write(&path, "{}\n").unwrap();
            path
        });
        let unknown = base.join(".flowsuite-loss.unknown.no-pcap");
        fs::write(&unknown, "{}\n").unwrap();
        for file in [&old, &new] {
            fs::write(store::side::path(file, "damaged"), [0; 9]).unwrap();
        }
        let done = run(base, limits(0, 3600, 95));
        assert_eq!((done.files, done.after.files, done.failed), (1, 1, 0), "-S {layout}");
        assert_eq!(done.side_files, 3, "-S {layout}");
        let there = |path: &Path| path.exists();
        assert!(!there(&old) && there(&new), "-S {layout}");
        assert!(!there(&store::side::path(&old, "damaged")), "-S {layout}");
        assert!(there(&store::side::path(&new, "damaged")), "-S {layout}");
        let days = [day_before, yesterday, today].map(|path| there(&path));
        assert_eq!(days, [false, false, true], "-S {layout}");
        assert!(there(&unknown));
        assert_eq!(there(old.parent().unwrap()), layout == 0, "-S {layout}");
        assert_eq!(done.directories > 0, layout > 0, "-S {layout}");
        // Nothing is left but the new file's directories.
        for path in tree(base).iter().filter(|p| base.join(p).is_dir()) {
            assert!(fs::read_dir(base.join(path)).unwrap().next().is_some(), "{path} is empty");
        }
    }
}

#[test]
fn a_dry_run_tells_and_leaves_all_as_it_is() {
    let dir = directory(10, 1);
    let side = store::side::path(&write(dir.path(), slot_of(NOW - 3000, 300), 1, 100), "damaged");
    fs::create_dir_all(side.parent().unwrap()).unwrap();
    fs::write(side, [0; 9]).unwrap();
    let before = tree(dir.path());
    let options =
        ExpireOptions { limits: limits(0, 1800, 100), dry_run: true, ..ExpireOptions::default() };
    let told = expire(dir.path(), NOW, &options, |_| true).unwrap();
    assert_eq!(tree(dir.path()), before);
    let done = run(dir.path(), options.limits);
    assert!(told.files > 3 && told.side_files == 1);
    assert_eq!((told.files, told.size, told.side_files), (done.files, done.size, done.side_files));
    assert_eq!(told.after, done.after);
}

#[test]
fn a_run_that_is_stopped_leaves_right_books() {
    let dir = directory(10, 0);
    let mut calls = 0;
    let options = ExpireOptions { limits: limits(1, 0, 100), ..ExpireOptions::default() };
    let done = expire(dir.path(), NOW, &options, |_| {
        calls += 1;
        calls <= 3
    })
    .unwrap();
    assert_eq!((done.files, done.after.files, done.is_stopped), (3, 7, true));
    assert_eq!(rescan(dir.path(), NOW, NewLimits::default()).unwrap(), done.after);
}

/// Collectors give names in sub directories that expire at the same time, two runs of it at once:
/// every file gets its name, and the books are right at the end.
#[test]
fn collectors_and_other_runs_go_on_meanwhile() {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path();
    let stop = AtomicBool::new(false);
    let everything = ExpireOptions { limits: limits(1, 0, 100), ..ExpireOptions::default() };
    let published = std::thread::scope(|scope| {
        let run = || {
            let mut files = 0;
            while !stop.load(Ordering::Relaxed) {
                let done = expire(base, NOW, &everything, |_| true).unwrap();
                assert_eq!(done.failed, 0, "{done:?}");
                files += done.files;
            }
            files
        };
        let runs = [scope.spawn(run), scope.spawn(run)];
        let collect = |id: u64| {
            for n in 0..300 {
                let temporary = base.join(temporary_name(id));
                fs::write(&temporary, b"flows").unwrap();
                // A directory of its own for each hour.
                let slot = slot_of(NOW + 3600 * (n % 24) + 300 * id + 86_400 * n, 300);
                let sub = slot.sub_directory(SubDirs::new(2).unwrap());
                publish(&temporary, base, &sub, &slot.file_name()).unwrap();
            }
        };
        let collectors = [scope.spawn(move || collect(1)), scope.spawn(move || collect(2))];
        let ended = collectors.map(|c| c.join());
        stop.store(true, Ordering::Relaxed);
        assert!(ended.iter().all(Result::is_ok), "a collector could not give a name");
        runs.into_iter().map(|r| r.join().unwrap()).sum::<u64>()
    });
    let last = expire(base, NOW, &everything, |_| true).unwrap();
    assert_eq!(published + last.files, 600);
    // A directory that a collector still held when its last file went may be left, empty.
    let mut left = tree(base);
    left.retain(|path| !base.join(path).is_dir());
    assert_eq!(left, BTreeSet::from([nfstat::NAME.to_owned()]));
}

/// Runs nfexpire, `None` if it is not installed.
fn nfexpire(args: &[&str]) -> Option<String> {
    let output = Command::new("nfexpire").args(args).stdin(Stdio::null()).output();
    let Ok(output) = output else {
        println!("skipped: nfexpire is not installed (tests/prepare installs it)");
        return None;
    };
    assert!(output.status.success(), "nfexpire {args:?}: {output:?}");
    Some(String::from_utf8(output.stdout).unwrap())
}

#[test]
fn nfexpire_sets_limits_and_shows_our_books() {
    let dir = directory(20, 1);
    let base = dir.path().to_str().unwrap();
    if nfexpire(&["-u", base, "-s", "60k", "-t", "2d", "-w", "50"]).is_none() {
        return;
    }
    let set = NfStat::read(dir.path()).unwrap().unwrap();
    assert_eq!((set.max_size, set.max_life, set.watermark), (60 << 10, 2 * 86_400, 50));
    let done = run(dir.path(), NewLimits::default());
    assert!(done.files > 0 && done.after.size <= 30 << 10, "{done:?}");
    let shown = nfexpire(&["-l", base]).unwrap();
    let line = |name: &str| {
        let line = shown.lines().find_map(|l| l.strip_prefix(name)).unwrap_or_default();
        line.trim().to_owned()
    };
    assert!(!shown.contains("Scanning"), "nfexpire relies on our books:\n{shown}");
    assert_eq!(line("Numfiles:"), done.after.files.to_string());
    assert_eq!(line("Status:"), "OK");
    assert_eq!(line("Watermark:"), "50%");
    assert!(line("Filesize:").starts_with(&done.after.size.to_string()), "{shown}");
    assert!(line("Max Size:").starts_with("61440 "), "{shown}");
    assert!(line("Max Life:").starts_with("172800 "), "{shown}");
    // A rescan by nfexpire comes to the same sums.
    nfexpire(&["-r", base]).unwrap();
    assert_eq!(NfStat::read(dir.path()).unwrap(), Some(done.after));
}

#[test]
fn nfexpire_leaves_the_same_files() {
    for layout in [0, 1, 2, 7] {
        for (size, life, watermark) in [
            ("50k", "0", "95"),
            ("0", "1H", "100"),
            ("0", "2H", "50"),
            ("70k", "1H", "75"),
            ("1k", "0", "1"),
        ] {
            // nfexpire knows no other time than now. Slots begin two minutes from where ages are
            // measured, so that its now may be a little after ours.
            let now = sys::clock::now_ms() / 1000;
            let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
            for dir in &dirs {
                for n in 0..40 {
                    let slot = slot_of(now - 120 - 300 * (40 - n), 60);
                    write(dir.path(), slot, layout, 1024 * n as usize + 100);
                }
            }
            let [theirs, ours] = dirs.each_ref().map(|d| d.path());
            let base = theirs.to_str().unwrap();
            let args = ["-e", base, "-s", size, "-t", life, "-w", watermark];
            if nfexpire(&args).is_none() {
                return;
            }
            let stat = NfStat::read(theirs).unwrap().unwrap();
            let limits = limits(stat.max_size, stat.max_life, stat.watermark);
            let options = ExpireOptions { limits, ..ExpireOptions::default() };
            let done = expire(ours, now, &options, |_| true).unwrap();
            let what = format!("-S {layout} {args:?}");
            assert_eq!(tree(ours), tree(theirs), "{what}");
            assert!(done.files > 0, "{what}");
            if stat.files > 0 {
                assert_eq!(NfStat::read(ours).unwrap(), Some(stat), "{what}");
            }
        }
    }
}

#[test]
fn limits_of_one_run_are_kept_to_the_file_and_written_nowhere() {
    let run = |max_files, room, limits| {
        let dir = directory(10, 0);
        let options = ExpireOptions { max_files, room, limits, ..ExpireOptions::default() };
        let done = expire(dir.path(), NOW, &options, |_| true).unwrap();
        let stat = NfStat::read(dir.path()).unwrap().unwrap();
        assert_eq!(stat, done.after);
        done
    };
    let none = NewLimits::default();
    let size = run(None, None, none).after.size;
    for (most, want) in [(0, 10), (1, 9), (7, 3), (9, 1), (10, 0), (u64::MAX, 0)] {
        assert_eq!(run(Some(most), None, none).files, want, "at most {most}");
    }
    let room = |wanted, free| Some(Room { wanted, free });
    for (wanted, free, want) in [
        (0, 0, 0),
        (5000, 5000, 0),
        (5001, 5000, 1), // the oldest takes a block
        (1 << 50, 0, 10),
    ] {
        assert_eq!(run(None, room(wanted, free), none).files, want, "{free} of {wanted}");
    }
    let all_but_one = run(None, room(size, run(Some(1), None, none).after.size), none);
    assert_eq!(all_but_one.files, 9, "what goes is free then");
    // The narrowest of several counts.
    assert_eq!(run(Some(8), room(1, 0), limits(0, 1800, 100)).files, 5);
    assert_eq!(run(Some(2), room(1, 0), limits(0, 1800, 100)).files, 8);
}

#[test]
fn directories_of_a_profile_lose_their_oldest_together() {
    let profile = tempfile::tempdir().unwrap();
    let bases = ["a", "b", "c"].map(|name| profile.path().join(name));
    for n in 0..12 {
        write(&bases[n as usize % 3], slot_of(NOW - 300 * (12 - n), 300), 7, 100);
    }
    let keep = NewLimits { max_life: Some(777), ..NewLimits::default() };
    rescan(&bases[1], NOW, keep).unwrap();
    let side = store::side::path(&bases[0].join("2026-11-18/nfcapd.202611181005"), "damaged");
    fs::write(&side, "x").unwrap();
    let options = ExpireOptions { max_files: Some(5), ..ExpireOptions::default() };
    let mut gone = Vec::new();
    let done = expire_profile(&bases, NOW, &options, |going| {
        gone.push(going.path.to_owned());
        true
    })
    .unwrap();
    assert_eq!((done.files, done.side_files, done.after.files), (7, 1, 5));
    assert_eq!(gone.len(), 8, "files and what lies beside them");
    let left = [1, 2, 2].map(|n| n as u64);
    for (base, files) in bases.iter().zip(left) {
        let stat = NfStat::read(base).unwrap().unwrap();
        assert_eq!(stat.files, files, "{}", base.display());
        let life = if *base == bases[1] { 777 } else { 0 };
        assert_eq!(stat.max_life, life, "limits of its own stay");
    }
    assert_eq!(directories(profile.path()).unwrap(), bases);
}

#[test]
fn directories_with_flow_files_are_found_and_links_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path();
    for (sub, layout) in [("x/one", 0), ("x/two", 2), ("y", 1), ("y/.hidden", 0)] {
        write(&base.join(sub), slot_of(NOW, 300), layout, 10);
    }
    fs::create_dir_all(base.join("empty/2026-11-18")).unwrap();
    fs::create_dir_all(base.join("was")).unwrap();
    fs::write(base.join("was").join(nfstat::NAME), "").unwrap();
    std::os::unix::fs::symlink(base.join("y"), base.join("link")).unwrap();
    let want = ["was", "x/one", "x/two", "y"].map(|name| base.join(name));
    assert_eq!(directories(base).unwrap(), want);
    assert!(directories(&base.join("gone")).is_err());
}
