//! Reads of netlink sockets and recorded lines, from the recording in `fixtures/`.

use crate::Seed;

const HEX: &str = include_str!("../../../../fixtures/conntrack/events.hex");
const TEXT: &str = include_str!("../../../../fixtures/conntrack/extended.txt");

/// What a piece of the input is.
const EVENTS: u8 = 0;
const DUMP: u8 = 3;
const DUMP_END: u8 = 5;
const OVERRUN: u8 = 6;
const LINES: u8 = 7;

fn piece(kind: u8, octets: &[u8]) -> Vec<u8> {
    let [high, low] = (octets.len() as u16).to_be_bytes();
    [&[kind, high, low], octets].concat()
}

/// The messages with one of these words, one after the other.
fn messages(words: &[&str], from: usize, count: usize) -> Vec<u8> {
    let lines = HEX.lines().filter_map(|l| l.split_once(' '));
    let lines = lines.filter(|(word, _)| words.contains(word)).skip(from).take(count);
    let digit = |b: u8| char::from(b).to_digit(16).unwrap_or(0) as u8;
    let octets = |hex: &str| -> Vec<u8> {
        hex.as_bytes().chunks_exact(2).map(|p| digit(p[0]) << 4 | digit(p[1])).collect()
    };
    lines.flat_map(|(_, hex)| octets(hex)).collect()
}

/// One seed for each way messages come.
pub(crate) fn seeds() -> Vec<Seed> {
    let events = |from| piece(EVENTS, &messages(&["NEW", "UPDATE", "DESTROY"], from, 12));
    let dump = piece(DUMP, &messages(&["DUMP", "DONE"], 18, 7));
    let lines: Vec<_> = TEXT.lines().step_by(9).collect();
    let lost = [events(0), piece(OVERRUN, &[]), dump.clone(), piece(DUMP_END, &[]), dump.clone()];
    let mut out = vec![
        ("events".to_owned(), events(0)),
        ("ends".to_owned(), [events(0), events(85)].concat()),
        ("ipv6".to_owned(), events(60)),
        ("dump".to_owned(), [dump, events(80)].concat()),
        ("lost".to_owned(), lost.concat()),
        ("lines".to_owned(), piece(LINES, lines.join("\n").as_bytes())),
    ];
    let hex: Vec<_> = HEX.lines().step_by(12).collect();
    out.push(("hex".to_owned(), piece(LINES, hex.join("\n").as_bytes())));
    out
}
