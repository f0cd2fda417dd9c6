//! The verdicts of nfdump on 635 filters, and where ours differ on purpose.

use filter::{ErrorKind, Filter};
use std::fs;

/// Why a verdict is not nfdump's, and the filters it concerns.
struct Exception {
    reason: &'static str,
    concerns: fn(&str, &Result<Filter, filter::Error>) -> bool,
    /// Whether we accept what nfdump rejects, or the reverse.
    accepts: bool,
}

const EXCEPTIONS: &[Exception] = &[
    Exception {
        reason: "the country may stand in quotes (F075)",
        concerns: |text, _| ["geo 'CH'", "geo \"IN\""].contains(&text),
        accepts: true,
    },
    Exception {
        reason: "a number of more than 64 bits is an error, it does not saturate",
        concerns: |_, ours| matches!(ours, Err(e) if *e.kind() == ErrorKind::TooLarge),
        accepts: false,
    },
    Exception {
        reason: "MPLS labels count from 1 to 10",
        concerns: |text, _| ["label0", "label11", "exp0"].iter().any(|w| text.contains(w)),
        accepts: false,
    },
    Exception {
        reason: "`=` needs no blanks",
        concerns: |text, _| ["port=80", "port =80", "mpls label1=1000"].contains(&text),
        accepts: true,
    },
    Exception {
        reason: "flag letters win over the keyword `as`",
        concerns: |text, _| text == "flags AS",
        accepts: true,
    },
    Exception {
        reason: "IPv4 prefixes may be short",
        concerns: |text, _| {
            ["net 10/8", "net 10.1/16", "net 172.16/12", "net 192.168.1/24"].contains(&text)
        },
        accepts: true,
    },
    Exception {
        reason: "an ident may be any text",
        concerns: |text, _| text == "ident 10",
        accepts: true,
    },
    Exception {
        reason: "what the manual says of asa events is read",
        concerns: |text, _| {
            ["asa event deny", "asa event term", "asa event denied ingress"].contains(&text)
        },
        accepts: true,
    },
];

#[test]
fn verdicts_are_those_of_nfdump() {
    let Some(corpus) = std::env::var_os("FLOWSUITE_CORPUS") else {
        eprintln!("skipped: FLOWSUITE_CORPUS not set");
        return;
    };
    let path = std::path::Path::new(&corpus).join("filters.tsv");
    let table = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut used = vec![0; EXCEPTIONS.len()];
    let mut wrong = Vec::new();
    let mut rows = 0;
    for line in table.lines() {
        let (text, verdict) = line.rsplit_once('\t').expect("two columns");
        rows += 1;
        let ours = Filter::parse(text);
        if ours.is_ok() == (verdict == "valid") {
            continue;
        }
        let excuses = |e: &Exception| e.accepts == ours.is_ok() && (e.concerns)(text, &ours);
        match EXCEPTIONS.iter().position(excuses) {
            Some(i) => used[i] += 1,
            None => wrong.push(format!("{text:?} is {verdict}: {:?}", ours.map(|_| ()))),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(rows, 635);
    for (exception, n) in EXCEPTIONS.iter().zip(used) {
        assert!(n > 0, "no filter needs the exception: {}", exception.reason);
    }
}

#[test]
fn every_valid_filter_prints_as_text_that_reads_the_same() {
    let Some(corpus) = std::env::var_os("FLOWSUITE_CORPUS") else {
        eprintln!("skipped: FLOWSUITE_CORPUS not set");
        return;
    };
    let table = fs::read_to_string(std::path::Path::new(&corpus).join("filters.tsv")).unwrap();
    let texts = table.lines().filter_map(|line| line.rsplit_once('\t'));
    for (text, parsed) in texts.filter_map(|(t, _)| Some((t, Filter::parse(t).ok()?))) {
        let canonical = parsed.tree().to_string();
        let again = Filter::parse(&canonical).unwrap_or_else(|e| panic!("{text:?}: {e}"));
        assert_eq!(parsed.tree(), again.tree(), "{text:?} as {canonical:?}");
        assert_eq!(again.tree().to_string(), canonical);
    }
}
