//! Any octets as a flow file: no panic, bounded work, every row can be read field by field and
//! copied, and a look at the whole file finds the same flows.
#![no_main]

use libfuzzer_sys::fuzz_target;
use record::Flow;
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use store::{BlockReader, FlowFile};

/// A file in memory without a name, opened again by its number: each input overwrites the one
/// before, and nothing is left behind.
fn scratch() -> &'static (File, PathBuf) {
    static FILE: OnceLock<(File, PathBuf)> = OnceLock::new();
    FILE.get_or_init(|| {
        let memory = Path::new("/dev/shm");
        let dir = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let file = tempfile::tempfile_in(dir).expect("temporary file");
        let path = format!("/proc/self/fd/{}", file.as_raw_fd()).into();
        (file, path)
    })
}

fuzz_target!(|data: &[u8]| {
    let (scratch, path) = scratch();
    scratch.set_len(data.len() as u64).expect("set the length");
    scratch.write_all_at(data, 0).expect("write");
    // Encrypted files end here: making a key for each input would leave no time for anything else.
    let Ok(file) = FlowFile::open(path) else { return };
    let mut reader = BlockReader::new();
    let mut copy = Flow::new();
    let mut flows = 0;
    for n in 0..file.blocks().len() {
        let Ok(block) = reader.load(&file, n) else { continue };
        flows += block.rows.len() as u64;
        for row in block.rows.iter() {
            for field in row.shape().fields() {
                assert!(row.bytes(field).is_some(), "{field:?} lies outside of its row");
            }
            copy.assign(row);
        }
    }
    let whole = store::verify::verify(path).expect("what can be opened can be looked at");
    assert_eq!(whole.flows, flows);
});
