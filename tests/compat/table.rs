//! The tables of command lines.
//!
//! A line has three columns: how it is compared with nfdump 1.7.8, how with nfdump 1.7.1, and the
//! arguments, quoted as in a shell. A way to compare is `-` (not compared), or one of [`How`],
//! with `!REASON` behind it where the answers are known to differ. `;` parts several runs, `OUT`
//! is a file of the entry's own, `TZ=ZONE` the time zone of a run. A line `args ...` names arguments of all lines below it, `#`
//! begins a comment.

use std::collections::BTreeMap;
use std::fmt;

const TABLES: &[(&str, &str)] = &[
    ("aggregate", include_str!("aggregate.txt")),
    ("errors", include_str!("errors.txt")),
    ("filters", include_str!("filters.txt")),
    ("inputs", include_str!("inputs.txt")),
    ("lists", include_str!("lists.txt")),
    ("statistics", include_str!("statistics.txt")),
    ("tokens", include_str!("tokens.txt")),
    ("zones", include_str!("zones.txt")),
];

/// How answers are compared. Exit statuses are, always; and whatever fails says so on standard
/// error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// Standard output octet by octet.
    Bytes,
    /// The set of lines: where order is not defined.
    Lines,
    /// The set of lines, as words: where versions write the same with other padding.
    Words,
    /// The set of JSON objects, values as text.
    Json,
    /// Nothing but the exit status.
    Status,
}

/// How an entry is compared with one version.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    /// The way.
    pub(crate) how: How,
    /// Why they differ, if they do.
    pub(crate) reason: Option<String>,
}

/// A line of a table.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// The table it stands in.
    pub(crate) topic: &'static str,
    /// With what is kept of 1.7.8.
    pub(crate) kept: Option<Rule>,
    /// With the installed 1.7.1.
    pub(crate) installed: Option<Rule>,
    /// Arguments.
    pub(crate) words: Vec<String>,
}

impl Entry {
    /// The arguments of each run.
    pub(crate) fn steps(&self) -> impl Iterator<Item = &[String]> {
        self.words.split(|word| word == ";")
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, word) in self.words.iter().enumerate() {
            let blank = if n > 0 { " " } else { "" };
            let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:,%;".contains(c);
            match !word.is_empty() && word.chars().all(is_plain) {
                true => write!(f, "{blank}{word}")?,
                false if word.contains('\'') => write!(f, "{blank}\"{word}\"")?,
                false => write!(f, "{blank}'{word}'")?,
            }
        }
        Ok(())
    }
}

/// All entries of all tables.
pub(crate) fn entries() -> Vec<Entry> {
    let mut all = Vec::new();
    for (topic, table) in TABLES {
        let mut common = Vec::new();
        for line in table.lines().filter(|l| !l.is_empty() && !l.starts_with('#')) {
            if let Some(args) = line.strip_prefix("args") {
                common = words(args);
                continue;
            }
            let (kept, rest) = line.split_once(' ').unwrap_or_else(|| panic!("{topic}: {line}"));
            let rest = rest.trim_start();
            let (installed, args) = rest.split_once(' ').unwrap_or((rest, ""));
            let words = [common.clone(), words(args)].concat();
            all.push(Entry { topic, kept: rule(kept), installed: rule(installed), words });
        }
    }
    all
}

/// Why answers differ: a sentence by its id.
pub(crate) fn reasons() -> BTreeMap<String, String> {
    let line = |l: &str| {
        let (id, sentence) = l.split_once(": ").expect("id: sentence");
        (id.to_owned(), sentence.to_owned())
    };
    include_str!("reasons.txt").lines().map(line).collect()
}

fn rule(text: &str) -> Option<Rule> {
    let (how, reason) = match text.split_once('!') {
        Some((how, reason)) => (how, Some(reason.to_owned())),
        None => (text, None),
    };
    let how = match how {
        "-" => return None,
        "bytes" => How::Bytes,
        "lines" => How::Lines,
        "words" => How::Words,
        "json" => How::Json,
        "status" => How::Status,
        _ => panic!("{text}: no way to compare"),
    };
    Some(Rule { how, reason })
}

/// Words as a shell splits them, with both kinds of quotes and nothing else.
fn words(text: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for c in text.chars() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, ' ') => words.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    assert!(quote.is_none(), "{text}: open quote");
    words.extend(word);
    words
}
