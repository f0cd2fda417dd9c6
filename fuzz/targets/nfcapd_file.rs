//! Any octets as a flow file: no panic, bounded work, and every row can be read field by field.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::io::Write;

fuzz_target!(|data: &[u8]| {
    let mut file = tempfile::NamedTempFile::new().expect("temporary file");
    file.write_all(data).expect("write");
    let Ok(file) = store::FlowFile::open(file.path()) else { return };
    let mut reader = store::BlockReader::new();
    for n in 0..file.blocks().len() {
        let Ok(block) = reader.load(&file, n) else { continue };
        for row in block.rows.iter() {
            for field in row.shape().fields() {
                assert!(row.bytes(field).is_some(), "{field:?} lies outside of its row");
            }
        }
    }
});
