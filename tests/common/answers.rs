//! Answers of `flowdump` as other programs read them.

use super::{FLOWDUMP, stdout_of};
use serde_json::Value;

/// What `flowdump` prints on these options.
pub fn flowdump(args: &[&str]) -> String {
    stdout_of(FLOWDUMP, args)
}

/// The objects of `-o json`, which is one document: an array.
pub fn json(args: &[&str]) -> Vec<Value> {
    let text = flowdump(&[args, &["-o", "json"]].concat());
    let document = serde_json::from_str(&text);
    let document: Value = document.unwrap_or_else(|e| panic!("{args:?}: {e}\n{text}"));
    let Value::Array(all) = document else { panic!("{args:?}: no array\n{text}") };
    assert!(all.iter().all(Value::is_object), "{args:?}: {text}");
    all
}

/// The objects of `-o ndjson`, one a line.
pub fn ndjson(args: &[&str]) -> Vec<Value> {
    let text = flowdump(&[args, &["-o", "ndjson"]].concat());
    let line = |l| serde_json::from_str(l).unwrap_or_else(|e| panic!("{args:?}: {e}\n{l}"));
    text.lines().map(line).collect()
}

/// Tables of CSV: names of columns, then rows. A table ends where the names of the next one stand.
pub fn tables(text: &str) -> Vec<Vec<Vec<String>>> {
    const FIRST_NAMES: [&str; 6] = ["srcAS", "start", "value", "ts", "firstSeen", "cnt"];
    let mut all: Vec<Vec<Vec<String>>> = Vec::new();
    for row in rows(text) {
        if FIRST_NAMES.contains(&row[0].as_str()) {
            all.push(Vec::new());
        }
        all.last_mut().expect("names come first").push(row);
    }
    for table in &all {
        for row in table {
            assert_eq!(row.len(), table[0].len(), "{row:?} does not fit {:?}", table[0]);
        }
    }
    all
}

/// The rows of CSV as RFC 4180 says, with bare line feeds.
pub fn rows(text: &str) -> Vec<Vec<String>> {
    let (mut all, mut row, mut field) = (Vec::new(), Vec::new(), String::new());
    let (mut is_quoted, mut chars) = (false, text.chars().peekable());
    while let Some(c) = chars.next() {
        match c {
            '"' if is_quoted && chars.peek() == Some(&'"') => field.extend(chars.next()),
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => row.push(std::mem::take(&mut field)),
            '\n' if !is_quoted => {
                row.push(std::mem::take(&mut field));
                all.push(std::mem::take(&mut row));
            }
            c => field.push(c),
        }
    }
    assert!(!is_quoted && field.is_empty() && row.is_empty(), "the last line has no end: {text}");
    all
}

/// The number under a key.
pub fn number(object: &Value, key: &str) -> u64 {
    object[key].as_u64().unwrap_or_else(|| panic!("no number {key} in {object}"))
}

/// The text under a key.
pub fn text<'a>(object: &'a Value, key: &str) -> &'a str {
    object[key].as_str().unwrap_or_else(|| panic!("no text {key} in {object}"))
}

/// The sum of a key over all objects.
pub fn sum(objects: &[Value], key: &str) -> u64 {
    objects.iter().map(|o| number(o, key)).sum()
}
