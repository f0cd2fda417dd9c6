//! What is compared of what is printed.

use crate::host::Host;
use std::path::Path;

/// Lines with one blank between words: columns are wider here than there. The character that nfdump
/// marks addresses with for NfSen (`-T`) is none.
pub(crate) fn words(text: &str) -> Vec<String> {
    let text = text.replace('\u{1}', " ");
    let line = |l: &str| l.split_whitespace().collect::<Vec<_>>().join(" ");
    text.lines().map(line).filter(|l| !l.is_empty()).collect()
}

/// Lines with `#` for each number and address: what is left is the shape.
pub(crate) fn shape(text: &str) -> Vec<String> {
    let is_mac = |w: &str| w.trim_start_matches("ether:").split(':').count() == 6;
    let word = |w: &str| -> String {
        if is_mac(w) {
            return "#".to_owned();
        }
        // Flags are of two hexadecimal digits.
        if let Some((name @ ("tcp>" | "tcp<"), _)) = w.split_once(':') {
            return format!("{name}:#");
        }
        let mut out: Vec<char> =
            w.chars().map(|c| if c.is_ascii_digit() { '#' } else { c }).collect();
        out.dedup_by(|a, b| *a == '#' && *b == '#');
        out.into_iter().collect()
    };
    let line = |l: &String| l.split(' ').map(word).collect::<Vec<_>>().join(" ");
    words(text).iter().map(line).collect()
}

/// The four lines that nfdump ends with: those of versions that differ in words are cut.
fn ending(line: &str) -> String {
    let begins = ["Time window: ", "Total ", "Sys: "];
    let begin = begins.iter().find(|b| line.starts_with(**b));
    begin.map_or_else(|| line.to_owned(), |b| (*b).to_owned())
}

/// Types a query for `nfdump`, checks its header, and compares all that is printed, but for blanks
/// and the last lines, with what the installed nfdump prints of the same files.
pub(crate) fn query(host: &Host, line: &str, header: &str) -> Vec<String> {
    let ours = words(&host.says(line));
    assert!(ours.iter().any(|l| l == header), "{line}: no '{header}' in\n{}", ours.join("\n"));
    let real = Path::new("/usr/bin/nfdump");
    if real.exists() {
        // Debian's is built with another format for lists than nfdump's own.
        let is_plain = ![" -o ", " -s ", " -I "].iter().any(|o| line.contains(o));
        let nfdump = if is_plain { "/usr/bin/nfdump -o line " } else { "/usr/bin/nfdump " };
        let theirs = words(&host.says(&line.replacen("nfdump ", nfdump, 1)));
        // Of equal rows, either may be first.
        let [ours, theirs] = [&ours, &theirs].map(|all| {
            let mut all: Vec<_> = all.iter().map(|l| ending(l)).collect();
            all.sort();
            all
        });
        assert_eq!(ours, theirs, "{line}");
    } else {
        eprintln!("skipped: {} is not installed", real.display());
    }
    ours
}

/// The rows below a header, up to the summary.
pub(crate) fn rows<'a>(printed: &'a [String], header: &str) -> Vec<&'a str> {
    let below = printed.iter().skip_while(|l| *l != header).skip(1);
    below.take_while(|l| !l.starts_with("Summary: ")).map(String::as_str).collect()
}
