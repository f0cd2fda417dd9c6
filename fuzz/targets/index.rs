//! Any octets as the index of a day: no panic, bounded work, and answers that can be: blocks in order
//! and of the file. Sums are made right, so that what they guard is reached.
#![no_main]

use filter::Filter;
use index::{Index, Surveys, Wanted};
use libfuzzer_sys::fuzz_target;
use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::{Duration, UNIX_EPOCH};
use store::{BlockReader, ReadOptions, Writer, WriterOptions};
use tempfile::TempDir;
use twox_hash::XxHash3_64;

/// Flow files that the stored inputs are about, with their length.
const FILES: [(&str, u64); 3] =
    [("nfcapd.202604101200", 970), ("nfcapd.202604101205", 1318), ("nfcapd.202604101210", 1666)];
/// When they were last written.
const WRITTEN: Duration = Duration::from_secs(1_776_000_000);
const DAY: &str = ".flowsuite-index.20260410.no-pcap";
const HEADER: usize = 24;

struct Scene {
    dir: TempDir,
    header: Vec<u8>,
    filters: Vec<Filter>,
}

fn scene() -> &'static Scene {
    static SCENE: OnceLock<Scene> = OnceLock::new();
    SCENE.get_or_init(|| {
        let memory = std::path::Path::new("/dev/shm");
        let root = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let dir = tempfile::tempdir_in(root).expect("directory");
        // A header of this version and this table of fields.
        let path = dir.path().join(FILES[0].0);
        let writer = Writer::create(&path, &WriterOptions::default()).expect("create");
        writer.close(&[]).expect("close");
        let (options, mut reader) = (ReadOptions::default(), BlockReader::new());
        Surveys::new().make(dir.path(), &path, &options, &mut reader).expect("index");
        let mut header = fs::read(dir.path().join(DAY)).expect("index");
        header.truncate(HEADER);
        for (name, len) in FILES {
            let file = File::create(dir.path().join(name)).expect("create");
            file.set_len(len).expect("length");
            file.set_modified(UNIX_EPOCH + WRITTEN).expect("time");
        }
        let filters = [
            "host 198.51.100.77",
            "net 10.0.0.0/24 or src as 7",
            "port in [53, 443]",
            "src nat ip 198.51.100.77 and src nat port 1024",
            "proto tcp and bytes > 1000",
        ];
        let filters = filters.map(|text| Filter::parse(text).expect("filter")).into();
        Scene { dir, header, filters }
    })
}

/// Makes the sums of heads right.
fn with_sums(mut index: Vec<u8>) -> Vec<u8> {
    let mut at = HEADER;
    while let Some(head) = index.get_mut(at..).and_then(|rest| {
        let len = u32::from_le_bytes(*rest.get(4..)?.first_chunk()?) as usize;
        rest.get_mut(..len).filter(|head| head.len() >= 24)
    }) {
        let all = u64::from_le_bytes(head[8..16].try_into().expect("8 octets"));
        let (body, sum) = head.split_at_mut(head.len() - 8);
        sum.copy_from_slice(&XxHash3_64::oneshot(body).to_le_bytes());
        at = usize::try_from(all.max(24)).unwrap_or(usize::MAX).saturating_add(at);
    }
    index
}

fuzz_target!(|data: &[u8]| {
    let scene = scene();
    let octets = with_sums([&scene.header, data].concat());
    fs::write(scene.dir.path().join(DAY), octets).expect("write");
    let mut index = Index::new();
    for (name, _) in FILES {
        let path: PathBuf = scene.dir.path().join(name);
        let Some(entry) = index.of(&path) else { continue };
        assert!(entry.ident().len() < 1 << 16);
        let _ = entry.window();
        for filter in &scene.filters {
            let filters = std::slice::from_ref(filter);
            for wanted in [entry.wanted(filters), entry.wanted_with_exporters(filters)] {
                let Wanted::Some { blocks, .. } = wanted else { continue };
                assert!(blocks.is_sorted_by(|a, b| a < b));
            }
        }
    }
});
