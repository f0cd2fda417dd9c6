//! Any text as a filter, `@include` and host names with it: no panic; what parses prints as text
//! that parses to the same filter, and the batch program agrees with the interpreter.
#![no_main]

use filter::{Context, Filter, ParseOptions};
use libfuzzer_sys::fuzz_target;
use record::{Addr, Field, Flow, RowRef, Rows, Selection, ShapeTable};

fn flow(seed: &[u8]) -> Flow {
    let octet = |i: usize| u64::from(seed.get(i % seed.len().max(1)).copied().unwrap_or(0));
    let mut flow = Flow::new();
    for (i, field) in Field::ALL.iter().enumerate().filter(|(i, _)| octet(*i) % 3 != 0) {
        flow.set(*field, octet(i + 1));
        flow.set_addr(*field, Addr::V4(octet(i + 2) as u32 * 0x0101_0101));
    }
    flow
}

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // A text can include itself, and a list.
    let include = |name: &str| match name {
        "self" => Ok(text.to_owned()),
        "list" => Ok("10.0.0.0/8, ::1 # and no more\n".to_owned()),
        _ => Err("no such file".to_owned()),
    };
    let resolve = |name: &str| match name {
        "host" => Ok(vec![[192, 0, 2, 1].into()]),
        _ => Err("no such host".to_owned()),
    };
    let options = ParseOptions {
        include: Some(&include),
        resolve: Some(&resolve),
        ..ParseOptions::default()
    };
    let Ok(filter) = Filter::parse_with(text, &options) else { return };
    let _ = filter.explain().to_string();
    let canonical = filter.tree().to_string();
    let again = Filter::parse(&canonical).expect("canonical text parses");
    assert_eq!(again.tree().to_string(), canonical);

    let flow = flow(data);
    let row = flow.as_row();
    let mut table = ShapeTable::new();
    let shape = table.push(row.shape().clone()).expect("room for a shape");
    let index = [RowRef { at: 0, len: row.as_bytes().len() as u16, shape }];
    let rows = Rows { bytes: row.as_bytes(), index: &index, table: &table };
    let ctx = Context { ident: "ident", first_count: 1 };
    let mut selected = Selection::default();
    filter.evaluator().select(&rows, &ctx, &mut selected);
    assert_eq!(selected.contains(0), filter.matches(row, &ctx), "{canonical}");
});
