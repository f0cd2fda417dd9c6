//! What nfdump 1.7.8 answered, one file a table: a line `$ ARGUMENTS`, a line `? STATUS` unless
//! it is 0, and the lines of standard output with `|` in front.

use super::Answer;
use super::table::{How, entries};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// The answers kept, by the number of the entry.
pub(crate) fn read() -> BTreeMap<usize, Answer> {
    let mut by_words = BTreeMap::new();
    for file in std::fs::read_dir(folder()).expect("stored").map(|e| e.expect("entry").path()) {
        let text = std::fs::read_to_string(file).expect("text");
        for block in text.split("$ ").skip(1) {
            let (words, rest) = block.split_once('\n').expect("line");
            let mut answer = Answer::default();
            for line in rest.lines() {
                match line.split_at(1) {
                    ("?", status) => answer.status = status.trim().parse().expect("status"),
                    (_, line) => {
                        answer.stdout.push_str(line);
                        answer.stdout.push('\n');
                    }
                }
            }
            by_words.insert(words.to_owned(), answer);
        }
    }
    let number = |(n, e): (usize, _)| Some((n, by_words.get(&format!("{e}"))?.clone()));
    entries().iter().enumerate().filter_map(number).collect()
}

/// Keeps these answers and no others.
pub(crate) fn write(answers: &BTreeMap<usize, Answer>) {
    let mut files = BTreeMap::<&str, String>::new();
    for (number, entry) in entries().iter().enumerate() {
        let Some(answer) = answers.get(&number) else { continue };
        let out = files.entry(entry.topic).or_default();
        writeln!(out, "$ {entry}").expect("text");
        if answer.status != 0 {
            writeln!(out, "? {}", answer.status).expect("text");
        } else if entry.kept.as_ref().is_some_and(|r| r.how != How::Status) {
            answer.stdout.lines().for_each(|l| writeln!(out, "|{l}").expect("text"));
        }
    }
    for (topic, text) in files {
        std::fs::write(folder().join(topic).with_extension("txt"), text).expect("write");
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compat/stored")
}
