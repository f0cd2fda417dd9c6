//! Real clients on real sockets, and a probe that is not.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::*;
use crate::client::{ClientError, Outcome, ask};
use crate::statistics::{Report, Speaker};
use crate::{Ended, Pending, Reason, Side, Timeouts};
use record::Addr;
use sys::clock;

const LONG: Duration = Duration::from_secs(600);

/// Limits that no test meets by being slow.
fn patient() -> Options {
    Options {
        request: LONG,
        answer: LONG,
        read: LONG,
        total: LONG,
        end: LONG,
        ..Options::default()
    }
}

pub(super) fn pending(id: u64, due_ns: u64) -> Pending {
    let flow = Ended {
        id,
        initiator: Addr::from(std::net::IpAddr::from(Ipv4Addr::new(192, 0, 2, 1))),
        responder: Addr::from(std::net::IpAddr::from(Ipv4Addr::new(192, 0, 2, 2))),
        src_port: 1024,
        dst_port: 80,
        proto: 6,
        forward: Side { packets: id, ..Side::default() },
        backward: Side::default(),
        first_ns: 0,
        last_ns: 0,
        reason: Reason::Tcp,
        input: 0,
        output: 0,
        tunnel: None,
    };
    Pending { flow, due_ns }
}

/// A probe that notes what it is told.
#[derive(Default)]
struct Fake {
    flows: BTreeMap<u64, Pending>,
    told: Vec<&'static str>,
}

impl Controlled for Fake {
    fn report(&mut self) -> Report {
        let mut report = Report::default();
        report.cache.active = self.flows.len() as u64;
        report
    }

    fn timeouts(&self) -> Timeouts {
        Timeouts::default()
    }

    fn outline(&mut self) -> Vec<Outline> {
        let outline = |p: &Pending| Outline { due_ns: p.due_ns, id: p.flow.id, slot: 0, lane: 0 };
        self.flows.values().map(outline).collect()
    }

    fn conversation(&self, at: &Outline) -> Option<Pending> {
        self.flows.get(&at.id).copied()
    }

    fn expire_all(&mut self) -> u64 {
        self.told.push("expire");
        self.delete_all()
    }

    fn delete_all(&mut self) -> u64 {
        self.told.push("delete");
        std::mem::take(&mut self.flows).len() as u64
    }

    fn send_template(&mut self) {
        self.told.push("template");
    }

    fn gather(&mut self, on: bool) {
        self.told.push(if on { "start" } else { "stop" });
    }

    fn debug(&mut self, more: bool) {
        self.told.push(if more { "more" } else { "less" });
    }

    fn end(&mut self, gracefully: bool) {
        self.told.push(if gracefully { "shutdown" } else { "exit" });
    }
}

/// A probe with a loop, as long as `f` lasts. Returns what it was told.
fn with_probe(options: Options, fake: Fake, f: impl FnOnce(&Path)) -> Vec<&'static str> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ctl");
    let (requests, running) = Server::bind(&path, options).unwrap().start().unwrap();
    let is_over = AtomicBool::new(false);
    let told = thread::scope(|scope| {
        let guard = Guard(&is_over);
        let thread = scope.spawn(|| {
            let mut fake = fake;
            let mut desk = Desk::new(requests, Speaker::new("softflowd", 7));
            while !is_over.load(Ordering::SeqCst) {
                desk.poll(&mut fake, 0, false);
                thread::sleep(Duration::from_millis(1));
            }
            fake.told
        });
        f(&path);
        drop(guard);
        thread.join().unwrap()
    });
    drop(running);
    assert!(!path.exists());
    told
}

/// Ends the loop of a test also where it fails.
struct Guard<'a>(&'a AtomicBool);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn answer(path: &Path, command: &str, format: Format) -> (Outcome, String) {
    let mut out = Vec::new();
    let outcome = ask(path, command, format, &mut out).unwrap();
    (outcome, String::from_utf8(out).unwrap())
}

/// Sends octets and returns all that comes back.
fn talk(path: &Path, words: &[u8]) -> String {
    let mut stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream.write_all(words).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    String::from_utf8(answer).unwrap()
}

#[test]
fn every_command_is_answered_in_softflowds_words() {
    let flows = [(1, pending(1, 5_000_000_000)), (2, pending(2, 0))].into();
    let told = with_probe(patient(), Fake { flows, ..Fake::default() }, |path| {
        for (command, first) in [
            ("statistics", "Accumulated statistics since 1970-01-01T00:00:00 UTC:"),
            ("timeouts", "Printing timeouts:"),
            ("dump-flows", "Dumping flow data:"),
            ("send-template", "Template will be sent at next flow export"),
            ("stop-gather", "Data collection stopped."),
            ("start-gather", "Data collection resumed."),
            ("debug+", "Debug level increased."),
            ("debug-", "Debug level decreased."),
            ("expire-all", "Expired 2 flows."),
            ("delete-all", "Deleted 0 flows."),
            ("shutdown", "Shutting down gracefully..."),
            ("exit", "Exiting now..."),
        ] {
            let (outcome, text) = answer(path, command, Format::Text);
            let want = format!("softflowd[7]: {first}");
            assert_eq!((outcome, text.lines().next()), (Outcome::Answered, Some(want.as_str())));
        }
        let (outcome, text) = answer(path, "help", Format::Text);
        assert!(Command::ALL.iter().all(|c| text.contains(c.word())), "{text}");
        assert_eq!(outcome, Outcome::Answered);
        for (command, format) in
            [("nonsense", Format::Text), ("", Format::Text), ("exit", Format::Json)]
        {
            let (outcome, text) = answer(path, command, format);
            assert!(text.starts_with("Unknown control command \""), "{text}");
            assert_eq!(outcome, Outcome::Unknown, "{command}");
        }
    });
    let want = [
        "template", "stop", "start", "more", "less", "expire", "delete", "delete", "shutdown",
        "exit",
    ];
    assert_eq!(told, want);
}

#[test]
fn json_is_for_programs() {
    let flows = [(1, pending(1, 5_000_000_000)), (2, pending(2, 0))].into();
    with_probe(patient(), Fake { flows, ..Fake::default() }, |path| {
        let json = |command| {
            let (_, text) = answer(path, command, Format::Json);
            text.lines()
                .map(|l| serde_json::from_str(l).unwrap())
                .collect::<Vec<serde_json::Value>>()
        };
        assert_eq!(json("statistics")[0]["active_flows"], 2);
        assert_eq!(json("timeouts")[0]["tcp.fin"], 300);
        let flows = json("dump-flows");
        let ids: Vec<_> = flows.iter().map(|f| f["id"].as_u64().unwrap()).collect();
        assert_eq!(ids, [2, 1], "in the order they end");
    });
}

#[test]
fn lines_of_all_kinds_are_survived() {
    with_probe(patient(), Fake::default(), |path| {
        for (words, want) in [
            (&b"timeouts\n"[..], "softflowd[7]: Printing"),
            (b"timeouts", "softflowd[7]: Printing"),
            (b" timeouts \r\n", "softflowd[7]: Printing"),
            (b"timeouts\nexit\n", "softflowd[7]: Printing"),
            (b"timeouts  --json\n", "{\"active\":0,"),
            (b"TIMEOUTS\n", "Unknown control command \"TIMEOUTS\""),
            (b"timeouts now\n", "Unknown control command \"timeouts now\""),
            (b"time\0outs\n", "Unknown control command \"time\\0outs\""),
            (b"\xff\xfe\n", "Unknown control command \""),
            (b"\n", "Unknown control command \"\""),
            (b"", "Unknown control command \"\""),
            (&[b'x'; 255], "Unknown control command \"xxx"),
        ] {
            let said = talk(path, words);
            assert!(said.starts_with(want), "{words:?}: {said}");
        }
        // Whoever goes on without end is answered all the same, or hung up on.
        let mut stream = UnixStream::connect(path).unwrap();
        while stream.write_all(&[b'x'; 4096]).is_ok() {}
        for len in 0..b"timeouts".len() {
            let mut stream = UnixStream::connect(path).unwrap();
            stream.write_all(&b"timeouts"[..len]).unwrap();
            drop(stream);
        }
        assert_eq!(answer(path, "timeouts", Format::Text).0, Outcome::Answered);
    });
}

#[test]
fn silent_clients_give_way() {
    let options = Options { clients: 2, request: Duration::from_millis(20), ..patient() };
    with_probe(options, Fake::default(), |path| {
        let silent: Vec<_> = (0..10).map(|_| UnixStream::connect(path).unwrap()).collect();
        assert_eq!(answer(path, "timeouts", Format::Text).0, Outcome::Answered);
        drop(silent);
    });
}

#[test]
fn who_does_not_read_holds_nobody_up() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ctl");
    let options = Options { read: Duration::from_millis(50), ..patient() };
    let (requests, running) = Server::bind(&path, options).unwrap().start().unwrap();
    let mut lazy = UnixStream::connect(&path).unwrap();
    lazy.write_all(b"dump-flows\n").unwrap();
    let reply = until("a request", || requests.take()).reply;
    // The first pieces are always taken; then there is no room, and in the end nobody.
    let mut refused = false;
    until("the client is given up", || {
        let sent = reply.send(vec![0; 1 << 20]);
        refused |= matches!(sent, Err(Refused::Full(_)));
        (sent == Err(Refused::Gone)).then_some(())
    });
    assert!(refused);
    drop((reply, lazy, running));
}

fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = clock::monotonic();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < LONG, "still not: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_probe_that_does_not_answer_is_told_of() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ctl");
    let options = Options { answer: Duration::from_millis(1), ..patient() };
    let (requests, running) = Server::bind(&path, options).unwrap().start().unwrap();
    assert_eq!(answer(&path, "timeouts", Format::Text).1, "No answer in 0 s\n");
    drop(requests);
    let said = answer(&path, "timeouts", Format::Text).1;
    assert_eq!(said, "The probe takes no commands any more\n");
    drop(running);
    let error = ask(&path, "timeouts", Format::Text, &mut io::sink()).unwrap_err();
    assert!(matches!(error, ClientError::NoProbe { .. }), "{error}");
}

#[test]
fn the_last_answer_gets_out() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ctl");
    let (requests, running) = Server::bind(&path, patient()).unwrap().start().unwrap();
    thread::scope(|scope| {
        let client = scope.spawn(|| answer(&path, "shutdown", Format::Text).1);
        let request = until("a request", || requests.take());
        request.reply.send("good bye\n").unwrap();
        drop(request);
        drop(running); // as the process would
        assert_eq!(client.join().unwrap(), "good bye\n");
    });
}

#[test]
fn what_was_left_behind_is_replaced_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let path: PathBuf = dir.path().join("ctl");
    let first = Server::bind(&path, Options::default()).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o600);
    let error = Server::bind(&path, Options::default()).unwrap_err();
    assert!(matches!(error, ControlError::InUse { .. }), "{error}");
    drop(first);
    assert!(!path.exists());
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists(), "left behind");
    let old = Server::bind(&path, Options { mode: 0o660, ..Options::default() }).unwrap();
    assert_eq!(mode(&path), 0o660);
    // One that another has put in its place is not ours to remove.
    fs::remove_file(&path).unwrap();
    let new = Server::bind(&path, Options::default()).unwrap();
    drop(old);
    assert!(path.exists());
    drop(new);
    fs::write(&path, "precious").unwrap();
    let error = Server::bind(&path, Options::default()).unwrap_err();
    assert!(matches!(error, ControlError::NoSocket { .. }), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    let nowhere = dir.path().join("none/ctl");
    assert!(matches!(Server::bind(&nowhere, Options::default()), Err(ControlError::Io { .. })));
}
