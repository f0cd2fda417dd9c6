//! Against a server that answers as ClickHouse does, and dies when it is told to.

use super::*;
use crate::stream::journal::Stretch;
use record::Flow;
use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What becomes of an insert.
#[derive(Clone, Copy, Debug)]
enum Fate {
    /// All of it is there, and that is said.
    Good,
    /// Nothing is there, and nobody answers.
    Lost,
    /// All of it is there, but nobody answers.
    AnswerLost,
    /// So many rows are there, of any hour, and nobody answers.
    Half(u64),
    /// The rows of the first hour are there, and nobody answers.
    FirstHour,
    /// The server says this.
    Says(u16, &'static str),
}

/// What happened, in order, and what is there.
#[derive(Debug, Default)]
struct Seen {
    rows: u64,
    log: Vec<String>,
    fates: VecDeque<Fate>,
    /// Answers that say that an insert is still at work.
    busy: u32,
    /// Rows that arrive when this is asked about for the first time, of an insert whose sender died.
    late: Option<u64>,
    /// Answers that say that a removal is still at work, and what it takes.
    removing: Option<(u32, u64)>,
}

struct Server {
    url: String,
    seen: Arc<Mutex<Seen>>,
}

impl Server {
    fn start(version: &'static str, rows: u64, fates: &[Fate]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Seen { rows, fates: fates.iter().copied().collect(), ..Seen::default() };
        let seen = Arc::new(Mutex::new(seen));
        let shared = Arc::clone(&seen);
        // It ends with the process.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                serve(stream.unwrap(), version, &mut shared.lock().unwrap());
            }
        });
        Self { url, seen }
    }

    fn log(&self) -> Vec<String> {
        self.seen.lock().unwrap().log.clone()
    }

    fn rows(&self) -> u64 {
        self.seen.lock().unwrap().rows
    }

    fn address(&self) -> Address {
        let table = "flows".to_owned();
        Address { url: self.url.clone(), table, user: "u".into(), password: "p".into() }
    }
}

/// One request a connection.
fn serve(stream: TcpStream, version: &str, seen: &mut Seen) {
    let mut reader = BufReader::new(&stream);
    let (mut lines, mut length) = (Vec::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let line = line.trim_end().to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length: ") {
            length = value.parse().unwrap();
        }
        if line.is_empty() {
            break;
        }
        lines.push(line);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    assert!(lines.contains(&"x-clickhouse-user: u".to_owned()));
    assert!(lines.contains(&"x-clickhouse-key: p".to_owned()));
    let is_insert = lines[0].contains("insert");
    let text = String::from_utf8_lossy(&body).into_owned();
    let answer = match text.split(' ').next() {
        _ if is_insert => insert(&lines[0], length, seen),
        _ if text == "SELECT version()" => Some((200, version.to_owned())),
        _ if text.contains("system.processes") => {
            seen.busy = seen.busy.saturating_sub(1);
            Some((200, seen.busy.to_string()))
        }
        _ if text.contains("system.mutations") => Some((200, removal_goes_on(&text, seen))),
        _ if text.contains("GROUP BY h") => Some((200, hours(&text, version, seen))),
        Some("SELECT") => {
            seen.log.push("look".into());
            let answer = seen.rows.to_string();
            seen.rows += seen.late.take().unwrap_or(0);
            Some((200, answer))
        }
        Some("ALTER") => {
            assert!(text.contains("DELETE WHERE batch = 77 AND flow_start >= "), "{text}");
            seen.log.push("remove".into());
            seen.removing = Some((2, seen.rows));
            Some((200, String::new()))
        }
        _ => panic!("{text}"),
    };
    if let Some((status, text)) = answer {
        let head = format!("HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: ");
        write!(&stream, "{head}{}\r\n\r\n{text}", text.len()).unwrap();
    }
}

/// As many rows as are there: of the first hour, as long as it has such.
fn hours(text: &str, version: &str, seen: &Seen) -> String {
    let start = if version == OLD { "flow_start" } else { "toUnixTimestamp64Nano(flow_start)" };
    assert!(text.contains(&format!("SELECT intDiv({start}, 3600000000000) AS h")), "{text}");
    format!("{HOUR}\t{}\n", seen.rows)
}

/// What a removal takes is what was there when it was asked for.
fn removal_goes_on(text: &str, seen: &mut Seen) -> String {
    assert!(text.contains("database = currentDatabase() AND table = 'flows'"), "{text}");
    assert!(text.contains("position(command, '77')"), "{text}");
    match seen.removing {
        Some((0, rows)) => {
            seen.rows -= rows;
            seen.removing = None;
            "0".to_owned()
        }
        Some((left, rows)) => {
            seen.removing = Some((left - 1, rows));
            "1".to_owned()
        }
        None => "0".to_owned(),
    }
}

fn insert(first: &str, length: usize, seen: &mut Seen) -> Option<(u16, String)> {
    let token = if first.contains("insert_deduplication_token") { " with token" } else { "" };
    assert!(first.contains("query_id=flowlake-000000000000004d"), "{first}");
    seen.log.push(format!("insert{token}"));
    let rows = (length / (8 + 8 + 8)) as u64;
    match seen.fates.pop_front().expect("no more inserts") {
        Fate::Good => seen.rows += rows,
        Fate::Lost => return None,
        Fate::AnswerLost => {
            seen.rows += rows;
            return None;
        }
        Fate::Half(n) => {
            seen.rows += n;
            return None;
        }
        Fate::FirstHour => {
            seen.rows += FIRST_HOUR;
            return None;
        }
        Fate::Says(status, text) => return Some((status, text.to_owned())),
    }
    Some((200, String::new()))
}

const OLD: &str = "18.16.1\n";
const NEW: &str = "26.9.2.1\n";
static GO_ON: AtomicBool = AtomicBool::new(false);

/// Rows of a batch that start in the first of its hours, and which one that is.
const FIRST_HOUR: u64 = 30;
const HOUR: u64 = 1_795_168_800_000 / 3_600_000;

fn batch() -> Batch {
    let columns = row_binary::columns(Some("flow_start,bytes")).unwrap();
    let (mut encode, mut encoded) = (Rows::new(columns), Encoded::default());
    let exporters = crate::stream::exporters::Exporters::default();
    for n in 0..100 {
        let mut flow = Flow::new();
        let hour = u64::from(n >= FIRST_HOUR) * 3_600_000;
        flow.set(record::Field::First, HOUR * 3_600_000 + hour + n);
        let of = Origin { exporters: &exporters, ident: "", batch: 77, count: n };
        encode.row(flow.as_row(), &of, &mut encoded);
        encoded.note(flow.as_row());
    }
    let stretch = Stretch { number: 1, path: "f".into(), from: 0, until: 1 };
    Batch { stretch, id: 77, encoded }
}

fn deliver(server: &Server, in_doubt: bool) -> Result<Delivered, SinkError> {
    let columns = row_binary::columns(Some("flow_start,bytes")).unwrap();
    let mut table =
        Table::new(server.address(), &columns, &GO_ON, Some(Duration::from_millis(400)));
    table.deliver(&batch(), in_doubt)
}

/// However an insert ends, the batch is there once afterwards.
#[test]
fn a_batch_is_there_once_whatever_happens() {
    use Fate::{AnswerLost, FirstHour, Good, Half, Lost, Says};
    let cases: &[(&str, bool, u64, &[Fate], &str)] = &[
        ("at once", false, 0, &[Good], "insert"),
        ("lost", false, 0, &[Lost, Good], "insert look look insert"),
        ("answer lost", false, 0, &[AnswerLost], "insert look"),
        ("half", false, 0, &[Half(40), Good], "insert look look remove look look insert"),
        ("one hour", false, 0, &[FirstHour, Good], "insert look look insert"),
        ("busy", false, 0, &[Says(503, "later"), Good], "insert look look insert"),
        (
            "too many parts",
            false,
            0,
            &[Says(500, "Code: 252, Too many parts"), Good],
            "insert look look insert",
        ),
        ("in doubt, there", true, 100, &[], "look"),
        ("in doubt, not there", true, 0, &[Good], "look look insert"),
        ("in doubt, one hour", true, FIRST_HOUR, &[Good], "look look insert"),
        ("in doubt, half", true, 99, &[Good], "look look remove look look insert"),
    ];
    for (what, in_doubt, there, fates, want) in cases {
        let server = Server::start(OLD, *there, fates);
        let delivered = deliver(&server, *in_doubt).unwrap();
        assert_eq!(server.log().join(" "), *want, "{what}");
        assert_eq!(server.rows(), 100, "{what}");
        assert_eq!(delivered.was_there, *in_doubt && *there == 100, "{what}");
    }
}

/// An insert goes on after its sender died, when the server has been asked about it.
#[test]
fn what_arrives_late_is_not_sent_again() {
    let cases: &[(&str, u64, u64, &[Fate], &str)] = &[
        ("nothing, then all", 0, 100, &[], "look look"),
        ("a part, then all", 40, 60, &[], "look look"),
        ("nothing, then a part", 0, 40, &[Fate::Good], "look look look remove look look insert"),
    ];
    for (what, there, late, fates, want) in cases {
        let server = Server::start(OLD, *there, fates);
        server.seen.lock().unwrap().late = Some(*late);
        deliver(&server, true).unwrap();
        assert_eq!((server.log().join(" ").as_str(), server.rows()), (*want, 100), "{what}");
    }
}

/// A removal leaves what came after it, so that another one has to follow.
#[test]
fn rows_that_outlive_a_removal_are_removed_again() {
    let server = Server::start(OLD, 31, &[Fate::Good]);
    let columns = row_binary::columns(Some("flow_start,bytes")).unwrap();
    let mut table = Table::new(server.address(), &columns, &GO_ON, None);
    table.version().unwrap();
    let seen = Arc::clone(&server.seen);
    // Ten more, as soon as the removal is at work.
    let late = std::thread::spawn(move || {
        loop {
            let mut seen = seen.lock().unwrap();
            if seen.removing.is_some() {
                seen.rows += 10;
                break;
            }
            drop(seen);
            std::thread::yield_now();
        }
    });
    table.deliver(&batch(), true).unwrap();
    late.join().unwrap();
    let removals = server.log().iter().filter(|what| *what == "remove").count();
    assert_eq!((removals, server.rows()), (2, 100));
}

#[test]
fn hours_that_are_there_are_left_out() {
    let mut encoded = Encoded::default();
    // Hours by turns, rows of one, two, three octets.
    for (n, hour) in [3, 3, 4, 3, 5, 5].into_iter().enumerate() {
        encoded.octets.extend(vec![n as u8; n % 3 + 1]);
        let mut flow = Flow::new();
        flow.set(record::Field::First, hour * 3_600_000 + n as u64);
        encoded.note(flow.as_row());
    }
    /// Hours that are there, with rows, and what is left.
    type Case = (&'static [(i64, u64)], Option<&'static [u8]>);
    let table: &[Case] = &[
        (&[], Some(&[0, 1, 1, 2, 2, 2, 3, 4, 4, 5, 5, 5])),
        (&[(3, 3)], Some(&[2, 2, 2, 4, 4, 5, 5, 5])),
        (&[(3, 3), (5, 2)], Some(&[2, 2, 2])),
        (&[(4, 1)], Some(&[0, 1, 1, 3, 4, 4, 5, 5, 5])),
        (&[(3, 2)], None),
        (&[(3, 4)], None),
        (&[(4, 1), (6, 1)], None),
    ];
    for (there, want) in table {
        let there = there.iter().copied().collect();
        assert_eq!(encoded.without(&there).as_deref(), *want, "{there:?}");
    }
    let octets = encoded.octets.len();
    assert_eq!((encoded.rows, encoded.hours.len(), encoded.hours[3].end), (6, 4, octets));
}

#[test]
fn newer_servers_get_a_token_besides() {
    let server = Server::start(NEW, 0, &[Fate::FirstHour, Fate::Good]);
    deliver(&server, false).unwrap();
    assert_eq!(server.log(), ["insert with token", "look", "look", "insert with token"]);
    assert_eq!(server.rows(), 100);
}

#[test]
fn an_insert_at_work_is_waited_for() {
    let server = Server::start(OLD, 0, &[Fate::Good]);
    server.seen.lock().unwrap().busy = 3;
    deliver(&server, true).unwrap();
    assert_eq!(server.log().join(" "), "look look look insert");
}

#[test]
fn what_is_refused_is_told_at_once_and_what_is_not_there_after_a_while() {
    let text = "Code: 60, e.displayText() = DB::Exception: Table default.flows doesn't exist.";
    let server = Server::start(OLD, 0, &[Fate::Says(404, text)]);
    let e = deliver(&server, false).unwrap_err();
    assert!(matches!(&e, SinkError::Refused { reason, .. } if reason.contains(text)), "{e}");
    // Nobody listens at a port that was given up.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let gone = Server { url: format!("http://{port}"), seen: Arc::default() };
    let e = deliver(&gone, false).unwrap_err();
    assert!(matches!(e, SinkError::Unreachable { tries, .. } if tries > 1), "{e}");
}

#[test]
fn addresses() {
    let table = [
        ("h/t", Some(("http://h:8123", "t"))),
        ("http://h:80/d.t", Some(("http://h:80", "d.t"))),
        ("127.0.0.1:8124/flows", Some(("http://127.0.0.1:8124", "flows"))),
        ("[::1]:8124/flows", Some(("http://[::1]:8124", "flows"))),
        ("[::1]/flows", Some(("http://[::1]:8123", "flows"))),
        ("h", None),
        ("/t", None),
        ("h/", None),
        ("h/d.", None),
        ("h/a.b.c", None),
        ("h/t;drop", None),
        ("u:p@h/t", None),
    ];
    for (text, want) in table {
        let got = Address::parse(text).ok();
        let got = got.as_ref().map(|a| (a.url.as_str(), a.table.as_str()));
        assert_eq!(got, want, "{text}");
    }
}

#[test]
fn errors_that_pass_and_errors_that_stay() {
    let table = [
        (500, "Code: 60, e.displayText() = DB::Exception: Table default.x doesn't exist.", true),
        (404, "Code: 60. DB::Exception: Table default.x does not exist.", true),
        (500, "Code: 252, e.displayText() = DB::Exception: Too many parts", false),
        (500, "Code: 241, e.displayText() = DB::Exception: Memory limit", false),
        (503, "", false),
        (429, "slow down", false),
        (403, "no", true),
    ];
    for (status, text, want) in table {
        assert_eq!(matches!(refusal(status, text), Failed::Refused(_)), want, "{status} {text}");
    }
}
