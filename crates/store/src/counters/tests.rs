use super::*;
use record::{Addr, InterfaceCounters};
use std::fs;

const DAY_MS: u64 = 86_400_000;
/// Some moment, in the middle of a quarter of an hour.
const NOW: u64 = 1_795_000_100_000;

fn sample(n: u64) -> InterfaceSample {
    let counters = |k: u32| InterfaceCounters {
        octets: u64::MAX - u64::from(k) - n,
        unicast: k + n as u32,
        multicast: k + 1,
        broadcast: k + 2,
        discards: k + 3,
        errors: u32::MAX - k,
    };
    InterfaceSample {
        time_ms: NOW + n,
        exporter: 70_000 + n as u32,
        agent: if n.is_multiple_of(2) { Addr::V4(0xC000_0201) } else { Addr::V6(7 << 100 | 9) },
        index: n as u32,
        kind: 6,
        speed: 100_000_000_000,
        direction: 1 + n as u32 % 4,
        status: 3,
        input: counters(100),
        output: counters(200),
        unknown_protos: 17,
        is_promiscuous: n.is_multiple_of(3),
    }
}

fn read_all(path: &Path) -> (Vec<InterfaceSample>, Found) {
    let mut all = Vec::new();
    let found = read(path, (0, u64::MAX), |s| all.push(*s)).unwrap();
    (all, found)
}

/// The file of the day of [`NOW`].
fn file(base: &Path) -> PathBuf {
    path_of(base, &side::day_of(NOW / 1000))
}

/// Writes samples in blocks of three.
fn write(base: &Path, samples: std::ops::Range<u64>) {
    let mut recorder = Recorder::new(base);
    for n in samples {
        recorder.add(&sample(n)).unwrap();
        if n % 3 == 2 {
            recorder.flush().unwrap();
        }
    }
    recorder.flush().unwrap();
}

fn samples(range: std::ops::Range<u64>) -> Vec<InterfaceSample> {
    range.map(sample).collect()
}

#[test]
fn samples_come_back_as_they_were() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), 0..10);
    let (all, found) = read_all(&file(dir.path()));
    assert_eq!(all, samples(0..10));
    assert_eq!(found, Found { samples: 10, ..Found::default() });
    assert_eq!(within(dir.path()), [file(dir.path())]);
}

#[test]
fn the_layout_is_the_one_described() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), 0..1);
    let octets = fs::read(file(dir.path())).unwrap();
    assert_eq!(octets[..16], *b"flowctr\n\x01\0\x70\0\0\0\0\0");
    assert_eq!(octets[16..20], *b"CBLK");
    let s = sample::encode(&sample(0));
    let at = |at: usize, len: usize| s[at..at + len].to_vec();
    assert_eq!(at(0, 8), NOW.to_le_bytes());
    assert_eq!(at(8, 16), [&[0; 8][..], &0xC000_0201u64.to_le_bytes()].concat());
    assert_eq!(at(24, 8), [70_000u32.to_le_bytes(), [0; 4]].concat());
    assert_eq!(at(32, 8), [6, 0, 0, 0, 3, 0, 0, 0]);
    assert_eq!(at(40, 8), 100_000_000_000u64.to_le_bytes());
    assert_eq!(at(48, 8), (u64::MAX - 100).to_le_bytes());
    assert_eq!(at(56, 8), (u64::MAX - 200).to_le_bytes());
    let of = |k: u32| [k, k + 1, k + 2, k + 3, u32::MAX - k].map(u32::to_le_bytes).concat();
    assert_eq!(at(64, 40), [of(100), of(200)].concat());
    assert_eq!(at(104, 8), [17, 0, 0, 0, 1, 4, 1, 0]);
}

#[test]
fn a_window_takes_what_lies_in_it() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), 0..30);
    for (from, until) in [(0, 0), (0, 1), (5, 17), (29, 30), (30, 99), (17, 5)] {
        let mut got = Vec::new();
        let span = (NOW + from, NOW + until);
        let found = read(&file(dir.path()), span, |s| got.push(*s)).unwrap();
        let want = samples(from.min(30)..until.min(30));
        assert_eq!((got.len() as u64, &got), (found.samples, &want), "{from} to {until}");
    }
}

#[test]
fn every_day_has_its_file() {
    let dir = tempfile::tempdir().unwrap();
    let mut recorder = Recorder::new(dir.path());
    let days: Vec<u64> = (0..3).map(|n| NOW + n * DAY_MS).collect();
    for time_ms in &days {
        for n in 0..5 {
            recorder.add(&InterfaceSample { time_ms: *time_ms, ..sample(n) }).unwrap();
        }
    }
    recorder.flush().unwrap();
    assert_eq!(recorder.counts(), RecorderCounts { stored: 15, lost: 0 });
    let files = within(dir.path());
    assert_eq!(files.len(), 3);
    for (path, day) in files.iter().zip(&days) {
        let (all, _) = read_all(path);
        assert_eq!(all.iter().map(|s| s.time_ms).collect::<Vec<_>>(), [*day; 5]);
        assert_eq!(*path, path_of(dir.path(), &side::day_of(day / 1000)));
    }
}

#[test]
fn memory_is_bounded_without_a_flush() {
    let dir = tempfile::tempdir().unwrap();
    let mut recorder = Recorder::new(dir.path());
    for n in 0..10_000 {
        recorder.add(&sample(n)).unwrap();
        assert!(recorder.samples.len() <= BLOCK_SAMPLES * sample::LEN);
    }
    recorder.flush().unwrap();
    assert_eq!(read_all(&file(dir.path())).0, samples(0..10_000));
}

#[test]
fn cut_anywhere_whole_blocks_are_read_and_more_can_be_appended() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), 0..9);
    let path = file(dir.path());
    let whole = fs::read(&path).unwrap();
    let mut ends = vec![FILE_HEADER];
    while let Some(size) = whole.get(ends[ends.len() - 1] + 4..).and_then(|b| b.first_chunk()) {
        ends.push(ends[ends.len() - 1] + BLOCK_HEADER + u32::from_le_bytes(*size) as usize);
    }
    assert_eq!((ends.len(), ends[3]), (4, whole.len()));
    for len in 0..whole.len() {
        for torn in [whole[..len].to_vec(), {
            let mut zeros = whole[..len].to_vec(); // a longer file, what was to be in it is not
            zeros.resize(whole.len(), 0);
            zeros
        }] {
            // A block that ends in zeros may be whole although it was cut.
            let is_there = |end: &&usize| torn.starts_with(&whole[..**end]);
            let blocks = ends[1..].iter().filter(is_there).count() as u64;
            fs::write(&path, &torn).unwrap();
            let has_header = torn.starts_with(&whole[..FILE_HEADER]);
            if has_header {
                let (all, found) = read_all(&path);
                assert_eq!(all, samples(0..3 * blocks), "cut at {len}");
                let rest = torn.len() - ends[blocks as usize];
                // With the header there, it is a damaged block rather than none.
                let odd = found.torn + found.damaged_blocks;
                assert!(odd > 0 || rest == 0, "cut at {len}: {found:?}");
            } else {
                assert!(read(&path, (0, 1), |_| {}).is_err(), "cut at {len}");
            }
            if !has_header && torn.len() > FILE_HEADER {
                continue; // whatever that is, it is not written over
            }
            write(dir.path(), 20..21);
            let (all, found) = read_all(&path);
            let want = [samples(0..3 * blocks), samples(20..21)].concat();
            assert_eq!(all, want, "appended to what was cut at {len}");
            assert_eq!((found.torn, found.damaged_blocks), (0, 0), "cut at {len}");
        }
    }
}

#[test]
fn a_flipped_octet_costs_its_block_and_never_gives_what_was_not_there() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), 0..9);
    let path = file(dir.path());
    let whole = fs::read(&path).unwrap();
    let all = samples(0..9);
    for at in 0..whole.len() {
        for bit in [1, 0x80] {
            let mut bad = whole.clone();
            bad[at] ^= bit;
            fs::write(&path, &bad).unwrap();
            let mut got = Vec::new();
            let Ok(found) = read(&path, (0, u64::MAX), |s| got.push(*s)) else {
                assert!(at < FILE_HEADER, "octet {at}");
                continue;
            };
            if at >= FILE_HEADER {
                assert!(found.torn + found.damaged_blocks > 0, "octet {at}");
                assert!(got.iter().all(|s| all.contains(s)) && got.len() <= 6, "octet {at}");
            }
        }
    }
}

#[test]
fn several_recorders_share_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let mut recorders = [Recorder::new(dir.path()), Recorder::new(dir.path())];
    for n in 0..20 {
        let recorder = &mut recorders[n as usize % 2];
        recorder.add(&sample(n)).unwrap();
        recorder.flush().unwrap();
    }
    let (all, found) = read_all(&file(dir.path()));
    assert_eq!(all, samples(0..20));
    assert_eq!(found.torn + found.damaged_blocks, 0);
}

#[test]
fn what_cannot_be_written_is_counted_and_later_samples_are() {
    let dir = tempfile::tempdir().unwrap();
    let in_the_way = file(dir.path());
    fs::create_dir(&in_the_way).unwrap();
    let mut recorder = Recorder::new(dir.path());
    recorder.add(&sample(0)).unwrap();
    recorder.add(&sample(1)).unwrap();
    let error = recorder.flush().unwrap_err().to_string();
    assert!(error.contains("counters."), "{error}");
    assert_eq!(recorder.counts(), RecorderCounts { stored: 0, lost: 2 });
    fs::remove_dir(&in_the_way).unwrap();
    recorder.add(&sample(2)).unwrap();
    recorder.flush().unwrap();
    assert_eq!(recorder.counts(), RecorderCounts { stored: 1, lost: 2 });
    // Of somebody else, or of a later version.
    let path = file(dir.path());
    fs::write(&path, [b'x'; 100]).unwrap();
    let mut other = Recorder::new(dir.path());
    other.add(&sample(3)).unwrap();
    assert!(other.flush().unwrap_err().to_string().contains("move it away"));
    assert_eq!(fs::read(&path).unwrap(), [b'x'; 100]);
}

#[test]
fn samples_of_later_versions_are_read_as_far_as_they_are_known() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    let mut head = file_header();
    head[10..12].copy_from_slice(&120u16.to_le_bytes());
    let payload: Vec<u8> =
        (0..4).flat_map(|n| [&sample::encode(&sample(n))[..], &[9; 8]].concat()).collect();
    let mut block = Vec::new();
    encode_block(&payload, (NOW, NOW + 3), &mut block).unwrap();
    assert_eq!(block[8], 4, "480 octets are also four samples of 112 and a rest");
    fs::write(&path, [&head[..], &block].concat()).unwrap();
    assert_eq!(read_all(&path).0, samples(0..4));
}

#[test]
fn files_are_found_from_the_flow_files_of_their_days() {
    let dir = tempfile::tempdir().unwrap();
    let names = ["202604091200", "202604101200", "202604111200", "202604111205"]
        .map(|n| dir.path().join("a/2026").join(format!("nfcapd.{n}")));
    fs::create_dir_all(dir.path().join("a/2026")).unwrap();
    names.iter().for_each(|n| fs::write(n, "").unwrap());
    let day = |base: &str, day: &str| {
        let path = path_of(&dir.path().canonicalize().unwrap().join(base), day);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "").unwrap();
        path
    };
    let (a, b) = (day("a", "20260410"), day("a", "20260411"));
    day("a", "20260412");
    day("other", "20260411");
    assert_eq!(beside(&names), [a.clone(), b]);
    assert_eq!(beside(&names[1..2]), [a]);
    assert!(beside(&names[..1]).is_empty() && beside(&[]).is_empty());
    assert_eq!(within(&dir.path().join("a")).len(), 3);
    let span = |n: std::ops::Range<usize>| span_of(&names[n]).map(|(a, b)| b - a);
    assert_eq!(span(2..4), Some(600_000));
    assert_eq!(span(1..2), Some(300_000));
    assert_eq!(span(0..4), Some(2 * DAY_MS + 600_000));
    assert_eq!(span(0..0), None);
}
