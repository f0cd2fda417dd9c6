//! Any octets as a file of the dataset: no panic that is not caught, bounded work, and every row can
//! be read field by field and copied.
#![no_main]

use filter::Filter;
use lake::read::LakeFile;
use libfuzzer_sys::fuzz_target;
use query::{Buffers, Foreign as _};
use record::{Field, Flow, Rows};
use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

struct Scene {
    file: File,
    path: PathBuf,
    filters: Vec<Filter>,
}

/// A file in memory without a name, opened again by its number.
fn scene() -> &'static Scene {
    static SCENE: OnceLock<Scene> = OnceLock::new();
    SCENE.get_or_init(|| {
        // The reader makes errors of panics of the Parquet library: they are not to end the process.
        std::panic::set_hook(Box::new(|_| ()));
        let memory = Path::new("/dev/shm");
        let dir = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let file = tempfile::tempfile_in(dir).expect("temporary file");
        let path = format!("/proc/self/fd/{}", file.as_raw_fd()).into();
        let filters = [
            "host 10.0.0.7 or host 2001:db8::7",
            "dst port 443 and bytes > 1000",
            "first seen > 2026-04-10T12:00:00",
        ];
        Scene { file, path, filters: filters.map(|f| Filter::parse(f).expect("filter")).into() }
    })
}

fuzz_target!(|data: &[u8]| {
    let scene = scene();
    scene.file.set_len(data.len() as u64).expect("set the length");
    scene.file.write_all_at(data, 0).expect("write");
    let Ok(file) = LakeFile::open(&scene.path) else { return };
    for filter in &scene.filters {
        let _ = file.wanted(std::slice::from_ref(filter), false);
    }
    let mut buffers = Buffers::default();
    let mut copy = Flow::new();
    let all = Field::ALL.iter().fold(0, |all, field| all | 1u128 << *field as u32);
    // Work is bounded by what is claimed: files of few octets may claim many rows.
    for n in 0..file.blocks().min(4) {
        if file.load(n, all, &mut buffers).is_err() {
            continue;
        }
        let rows = Rows { bytes: &buffers.bytes, index: &buffers.index, table: &buffers.table };
        for row in rows.iter() {
            for field in row.shape().fields() {
                assert!(row.bytes(field).is_some(), "{field:?} lies outside of its row");
            }
            copy.assign(row);
        }
    }
});
