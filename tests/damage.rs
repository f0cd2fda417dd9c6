//! `flowdump` on damaged files: what is sound is delivered, what is not is named, and the exit
//! status says so.

mod common;

use common::flows::FlowFile;
use common::{FLOWDUMP, Scene, run, stdout_of};
use std::fs;
use std::path::Path;
use std::process::Output;

/// Where the blocks of a sound file are: offset of the header, length with it, flows.
struct Layout {
    blocks: Vec<(usize, usize, usize)>,
}

impl Layout {
    fn of(path: &Path) -> Self {
        let file = store::FlowFile::open(path).expect("open");
        let mut reader = store::BlockReader::new();
        let bytes = fs::read(path).expect("read");
        let mut offset = 40;
        let mut blocks = Vec::new();
        for n in 0..file.blocks().len() {
            let size = u32::from_le_bytes(bytes[offset + 4..offset + 8].try_into().unwrap());
            let len = 12 + size as usize;
            let flows = reader.load(&file, n).expect("block").rows.len();
            blocks.push((offset, len, flows));
            offset += len;
        }
        Self { blocks }
    }

    /// Flows in front of block `n`, and in front of the one behind it.
    fn range(&self, n: usize) -> (usize, usize) {
        let before = self.blocks[..n].iter().map(|b| b.2).sum();
        (before, before + self.blocks[n].2)
    }
}

fn list(path: &Path) -> Output {
    run(FLOWDUMP, ["-q", "-r", path.to_str().unwrap(), "-o", "ndjson"])
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("text")
}

/// A listed record without its running number, which counts what was read, and without the
/// ident, which stands at the end of a file.
fn flow(line: &str) -> &str {
    &line[line.find("\"export_sysid\"").expect("a record")..]
}

/// A sound file of several blocks as flowdump writes it, and what it lists of it.
fn sound_file(scene: &Scene, packing: &str) -> (std::path::PathBuf, Vec<String>) {
    let source = scene.path("source");
    if !source.exists() {
        FlowFile { flows: 22_000, ..FlowFile::default() }.write(&source);
    }
    let path = scene.path(format!("sound-{packing}"));
    let compress = format!("-z={packing}");
    let mut args = vec!["-r", source.to_str().unwrap(), "-w", path.to_str().unwrap()];
    if packing != "none" {
        args.push(&compress);
    }
    stdout_of(FLOWDUMP, args);
    let output = list(&path);
    assert!(output.status.success() && output.stderr.is_empty(), "{packing}");
    let lines = text(&output.stdout).lines().map(str::to_owned).collect();
    (path, lines)
}

#[test]
fn a_damaged_block_costs_that_block() {
    let scene = Scene::new();
    for packing in ["lz4", "zstd", "bz2", "lzo"] {
        let (path, lines) = sound_file(&scene, packing);
        let layout = Layout::of(&path);
        assert!(layout.blocks.len() >= 3, "{packing}: {} blocks", layout.blocks.len());
        let sound = fs::read(&path).unwrap();
        for (n, (offset, len, _)) in layout.blocks.iter().enumerate() {
            let mut bytes = sound.clone();
            // Nothing unpacks that begins like this, whatever the method.
            bytes[offset + 12..offset + 60].fill(0xff);
            let damaged = scene.path("damaged");
            fs::write(&damaged, &bytes).unwrap();
            let output = list(&damaged);
            let stderr = text(&output.stderr);
            let case = format!("{packing} block {n} of {len} octets: {stderr}");
            assert_eq!(output.status.code(), Some(1), "{case}");
            assert!(stderr.contains("damaged: "), "{case}");
            assert!(stderr.contains(&format!("offset {offset}")), "{case}");
            let (from, to) = layout.range(n);
            let want: Vec<_> = lines[..from].iter().chain(&lines[to..]).collect();
            let got: Vec<_> = text(&output.stdout).lines().collect();
            assert_eq!(got.len(), want.len(), "{case}");
            assert!(got.iter().map(|l| flow(l)).eq(want.iter().map(|l| flow(l))), "{case}");
        }
    }
}

#[test]
fn a_damaged_block_header_costs_that_block() {
    let scene = Scene::new();
    let (path, lines) = sound_file(&scene, "zstd");
    let layout = Layout::of(&path);
    let sound = fs::read(&path).unwrap();
    for (n, (offset, ..)) in layout.blocks.iter().enumerate() {
        for (what, size) in [("empty", 0u32), ("beyond the file", 5 << 20), ("too short", 100)] {
            let mut bytes = sound.clone();
            bytes[offset + 4..offset + 8].copy_from_slice(&size.to_le_bytes());
            let damaged = scene.path("damaged");
            fs::write(&damaged, &bytes).unwrap();
            let output = list(&damaged);
            let stderr = text(&output.stderr);
            let case = format!("block {n}, size {what}: {stderr}");
            assert_eq!(output.status.code(), Some(1), "{case}");
            assert!(stderr.contains("damaged: "), "{case}");
            assert!(stderr.contains("offset "), "{case}");
            let (from, to) = layout.range(n);
            let found = text(&output.stdout).lines().count();
            assert_eq!(found, lines.len() - (to - from), "{case}");
        }
    }
}

/// LZ4 and LZO have no check sum: a flipped bit may pass as another number. Whatever it is, the
/// other blocks come out as they were and nothing crashes.
#[test]
fn a_flipped_bit_stays_in_its_block() {
    let scene = Scene::new();
    for packing in ["none", "lz4", "lzo"] {
        let (path, lines) = sound_file(&scene, packing);
        let layout = Layout::of(&path);
        let sound = fs::read(&path).unwrap();
        let (offset, len, _) = layout.blocks[1];
        let (from, to) = layout.range(1);
        for step in 0..12 {
            let mut bytes = sound.clone();
            bytes[offset + 12 + (len - 13) * step / 11] ^= 1 << (step % 8);
            let damaged = scene.path("damaged");
            fs::write(&damaged, &bytes).unwrap();
            let output = list(&damaged);
            let got: Vec<_> = text(&output.stdout).lines().collect();
            let case = format!("{packing} step {step}: {}", text(&output.stderr));
            assert_eq!(output.status.code(), Some(i32::from(!output.stderr.is_empty())), "{case}");
            assert_eq!(got[..from], lines[..from], "{case}");
            let rest = lines.len() - to;
            assert!(got.len() >= from + rest, "{case}");
            let got_rest = got[got.len() - rest..].iter().map(|l| flow(l));
            assert!(got_rest.eq(lines[to..].iter().map(|l| flow(l))), "{case}");
        }
    }
}

#[test]
fn a_truncated_file_gives_its_complete_blocks() {
    let scene = Scene::new();
    let (path, lines) = sound_file(&scene, "lz4");
    let layout = Layout::of(&path);
    let sound = fs::read(&path).unwrap();
    let (second, len, _) = layout.blocks[1];
    let first = layout.range(0).1;
    let both = layout.range(1).1;
    for (what, cut, flows, said) in [
        ("nothing", 0, 0, "0 octets are less than a file header"),
        ("part of the header", 39, 0, "39 octets are less than a file header"),
        ("only the header", 40, 0, "0 complete blocks"),
        ("part of the first block", 50, 0, "0 complete blocks"),
        ("one block", second, first, "1 complete blocks, 0 octets lost"),
        ("one block and a half", second + len / 2, first, "1 complete blocks"),
        ("one octet too few", second + len - 1, first, "1 complete blocks"),
        ("two blocks", second + len, both, "2 complete blocks, 0 octets lost"),
        ("all but an octet", sound.len() - 1, lines.len(), "appendix"),
    ] {
        let truncated = scene.path("truncated");
        fs::write(&truncated, &sound[..cut]).unwrap();
        let output = list(&truncated);
        let stderr = text(&output.stderr);
        assert_eq!(text(&output.stdout).lines().count(), flows, "{what}: {stderr}");
        let want = lines[..flows].iter().map(|l| flow(l));
        assert!(text(&output.stdout).lines().map(flow).eq(want), "{what}");
        assert_eq!(output.status.code(), Some(1), "{what}: {stderr}");
        assert!(stderr.contains("truncated") && stderr.contains(said), "{what}: {stderr}");
    }
}

#[test]
fn what_is_no_flow_file_is_named_and_the_rest_is_read() {
    let scene = Scene::new();
    let sound = scene.path("lz4");
    FlowFile { flows: 50, packing: "lz4", ..FlowFile::default() }.write(&sound);
    let header = |change: fn(&mut Vec<u8>)| {
        let mut bytes = fs::read(&sound).unwrap();
        change(&mut bytes);
        bytes
    };
    for (what, bytes, said) in [
        ("empty", Vec::new(), "0 octets are less than a file header"),
        ("text", vec![b'x'; 300], "not a flow file: it starts with 0x7878"),
        (
            "flow-tools",
            [&[0xcf, 0x10, 1, 3][..], &[0; 300]].concat(),
            "as files of flow-tools do: import it with flowimport",
        ),
        ("pcap", [0xd4, 0xc3, 0xb2, 0xa1].repeat(100), "not a flow file"),
        ("big-endian", header(|b| b[..2].copy_from_slice(&[0xa5, 0x0c])), "big-endian"),
        ("layout 9", header(|b| b[2] = 9), "has layout 9"),
        ("layout 77", header(|b| b[2] = 77), "has layout 77"),
        ("encrypted", header(|b| b[17] = 1), "is encrypted"),
        ("compression 9", header(|b| b[16] = 9), "unknown compression method 9"),
    ] {
        for named_as_slot in [false, true] {
            let name = if named_as_slot { "nfcapd.202611201000" } else { "b-wrong" };
            left_out_or_missing(&scene, &sound, what, &bytes, said, name);
        }
    }
}

/// A directory with two sound files and one with `bytes` in it.
fn left_out_or_missing(
    scene: &Scene,
    sound: &Path,
    what: &str,
    bytes: &[u8],
    said: &str,
    name: &str,
) {
    let named_as_slot = name.starts_with("nfcapd");
    let dir = scene.dir(&format!("dir {what} {named_as_slot}"));
    for name in ["a-sound", "c-sound"] {
        fs::copy(sound, dir.join(name)).unwrap();
    }
    let wrong = dir.join(name);
    fs::write(&wrong, bytes).unwrap();
    let alone = list(&wrong);
    let stderr = text(&alone.stderr);
    assert_eq!(alone.status.code(), Some(1), "{what}: {stderr}");
    assert!(alone.stdout.is_empty(), "{what}");
    assert_eq!(stderr.matches(name).count(), 1, "{what}: {stderr}");
    assert!(stderr.contains(said), "{what}: {stderr}");
    for (mode, lines) in [
        (&["-o", "ndjson"][..], Some(100)),
        (&["-o", "ndjson", "-O", "bytes"][..], Some(100)),
        (&["-a", "-o", "ndjson"][..], None),
        (&["-s", "proto", "-o", "ndjson"][..], None),
        (&["-I"][..], Some(21)),
    ] {
        let mut args = vec!["-q", "-R", dir.to_str().unwrap()];
        args.extend(mode);
        let all = run(FLOWDUMP, args);
        let stderr = text(&all.stderr);
        // A file that only lies there is left out; one that should be flows is missing.
        let lies_there = !named_as_slot && ["empty", "text", "pcap", "flow-tools"].contains(&what);
        let (status, said) = if lies_there { (0, "no flow file") } else { (1, said) };
        assert_eq!(all.status.code(), Some(status), "{what} {mode:?}: {stderr}");
        assert!(stderr.contains(said), "{what} {mode:?}: {stderr}");
        assert_eq!(stderr.lines().count(), 1, "{what} {mode:?}: {stderr}");
        let found = text(&all.stdout).lines().count();
        assert!(lines.map_or(found > 0, |n| n == found), "{what} {mode:?}: {found} lines");
    }
}

#[test]
fn verify_describes_damage() {
    let scene = Scene::new();
    let (path, _) = sound_file(&scene, "lz4");
    assert!(stdout_of(FLOWDUMP, ["-v", path.to_str().unwrap()]).contains("Result        : sound"));
    let layout = Layout::of(&path);
    let mut bytes = fs::read(&path).unwrap();
    let (offset, ..) = layout.blocks[1];
    bytes[offset + 12..offset + 60].fill(0xff);
    fs::write(&path, bytes).unwrap();
    let output = run(FLOWDUMP, ["-v", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let stdout = text(&output.stdout);
    assert!(stdout.contains(&format!("block 1 at offset {offset}")), "{stdout}");
    assert!(stdout.contains("Result        : damaged"), "{stdout}");
}

/// A file that cannot be read in full is never taken as a reason to write a new one silently.
#[test]
fn writing_from_a_damaged_file_is_no_success() {
    let scene = Scene::new();
    let (path, lines) = sound_file(&scene, "lz4");
    let layout = Layout::of(&path);
    let mut bytes = fs::read(&path).unwrap();
    bytes[layout.blocks[0].0 + 12..layout.blocks[0].0 + 60].fill(0xff);
    fs::write(&path, bytes).unwrap();
    let copy = scene.path("copy");
    let output = run(FLOWDUMP, ["-r", path.to_str().unwrap(), "-w", copy.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    let found = text(&list(&copy).stdout).lines().count();
    assert_eq!(found, lines.len() - layout.blocks[0].2, "what could be read is in the new file");
}
