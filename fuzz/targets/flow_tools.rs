//! Any octets as a file of flow-tools, and as lines of flow-export: no panic, bounded records, and
//! what a line is made of is read again.
#![no_main]

use flowtools::{Columns, CsvReader, FileName, Reader, Record};
use libfuzzer_sys::fuzz_target;
use record::Flow;

fuzz_target!(|data: &[u8]| {
    let (mut record, mut flow) = (Record::default(), Flow::new());
    if let Ok(mut reader) = Reader::new(data) {
        let mut records = 0;
        // A compressed file can hold far more than its size says.
        while records < 10_000 && matches!(reader.read(&mut record), Ok(true)) {
            records += 1;
            record.to_flow(&mut flow);
            if records < 100 {
                again(&flow);
            }
        }
        if let Some(ending) = reader.ending() {
            assert_eq!(ending.records, records);
        }
        reader.header().lines(|secs| secs.to_string());
    }
    let mut reader = CsvReader::new(data, None);
    while matches!(reader.read(&mut record), Ok(true)) {
        record.to_flow(&mut flow);
    }
    if let Ok(text) = std::str::from_utf8(data) {
        let _ = (FileName::parse(text), text.parse::<Columns>());
    }
});

/// A flow is the same after it was a line.
fn again(flow: &Flow) {
    let (mut line, mut record, mut read) = (Vec::new(), Record::default(), Flow::new());
    Record::from_row(flow.as_row(), u128::MAX).push_csv(Columns::ALL, &mut line);
    let mut reader = CsvReader::new(&line[..], Some(Columns::ALL));
    assert!(matches!(reader.read(&mut record), Ok(true)));
    record.to_flow(&mut read);
    let (was, is) = (flow.as_row(), read.as_row());
    for field in [record::Field::Packets, record::Field::SrcPort, record::Field::DstPort] {
        assert_eq!(was.number(field), is.number(field));
    }
    assert_eq!(was.addr(record::Field::SrcAddr), is.addr(record::Field::SrcAddr));
}
