//! nfcapd's `-m`: what was stored, to a program that listens on a local socket.
//!
//! Every interval, at multiples of it in Unix time, the collector connects, writes one message and
//! hangs up. All numbers are of the host's byte order:
//!
//! ```text
//! header    @ 1 octet | version 1: u8 | size: u16 | records: u16 | interval, s: u16
//!           | slot, ms since 1970: u64 | uptime, s: u64                        24 octets
//! record    ident [u8; 128], ends with 0 | exporter: u64                      232 octets
//!           | flows: 4 × u64 | octets: 4 × u64 | packets: 4 × u64
//! ```
//!
//! `size` is the octets of all records. The groups of four are TCP, UDP, ICMP and others. Numbers
//! are those since the last message that got through, so that nothing is missing in the sums of a
//! listener that was restarted. There is a record for each source that has stored anything;
//! `exporter` is its first one: number << 16, and for v5 and v7 engine type << 8 and engine id.
//! Without such a source nothing is sent. nfcapd sends every 60 s whatever `-i` says; here `-i`
//! counts. More sources than `size` has room for come in several messages, each with its own
//! connection.

use std::collections::HashMap;
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use record::{Exporter, Totals};
use sys::clock;
use sys::poll::{Ready, connect_local, wait};
use sys::signal::Stop;

use crate::status::{Board, SourceStatus, Status};

/// Where to, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Socket of the listener. It may come and go.
    pub socket: PathBuf,
    /// Seconds from message to message, at least 1.
    pub interval_secs: u16,
}

/// nfcapd's interval, seconds.
pub const INTERVAL_SECS: u16 = 60;

/// Sends messages until asked to stop.
///
/// # Errors
/// If waiting fails for good.
pub fn run(options: &Options, board: &Board, stop: &Stop) -> io::Result<()> {
    let slot_ms = |now_ms| slot_ms(now_ms, options.interval_secs);
    let mut meter = Meter { slot_ms: slot_ms(clock::now_ms()), ..Meter::default() };
    let mut was_heard = true;
    while !stop.is_requested() {
        let pause = until_next(clock::now_ms(), options.interval_secs);
        wait(&[(stop.as_fd(), Ready::READ)], Some(pause))?;
        let now_ms = clock::now_ms();
        // Woken by a signal, or early.
        if stop.is_requested() || slot_ms(now_ms) == meter.slot_ms {
            continue;
        }
        let sent = meter.send(&board.status(), now_ms, options);
        match (&sent, was_heard) {
            (Err(e), true) => log::error!(
                "metric socket {}: {e}: is its listener running? what it misses is sent later",
                options.socket.display()
            ),
            (Ok(()), false) => log::info!("metric socket {}: works", options.socket.display()),
            _ => {}
        }
        was_heard = sent.is_ok();
    }
    Ok(())
}

fn slot_ms(now_ms: u64, interval_secs: u16) -> u64 {
    let interval_ms = 1000 * u64::from(interval_secs.max(1));
    now_ms - now_ms % interval_ms
}

/// Time to the next multiple of the interval.
fn until_next(now_ms: u64, interval_secs: u16) -> Duration {
    let interval_ms = 1000 * u64::from(interval_secs.max(1));
    Duration::from_millis(interval_ms - now_ms % interval_ms)
}

/// What the listener has been told of each source.
#[derive(Debug, Default)]
struct Meter {
    told: HashMap<(String, PathBuf), Totals>,
    /// Slot of the last message.
    slot_ms: u64,
}

/// Octets of a record.
const RECORD: usize = 128 + 13 * 8;

/// Records of the largest message.
const RECORDS: usize = u16::MAX as usize / RECORD;

/// How long a listener may take to read a message.
const PATIENCE: Duration = Duration::from_secs(5);

impl Meter {
    fn send(&mut self, status: &Status, now_ms: u64, options: &Options) -> io::Result<()> {
        self.slot_ms = slot_ms(now_ms, options.interval_secs);
        let uptime_secs = now_ms.saturating_sub(status.started_ms) / 1000;
        let sources: Vec<_> = status.sources.iter().filter(|s| s.totals.all_flows() > 0).collect();
        for part in sources.chunks(RECORDS) {
            let mut message = header(part.len(), options.interval_secs, self.slot_ms, uptime_secs);
            for source in part {
                let nothing = Totals::default();
                let told = self.told.get(&key(source)).unwrap_or(&nothing);
                record(source, told, &mut message);
            }
            deliver(&options.socket, &message)?;
            self.told.extend(part.iter().map(|s| (key(s), s.totals)));
        }
        Ok(())
    }
}

fn key(source: &SourceStatus) -> (String, PathBuf) {
    (source.ident.clone(), source.dir.clone())
}

fn deliver(socket: &Path, message: &[u8]) -> io::Result<()> {
    let mut stream = connect_local(socket)?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.write_all(message)
}

fn header(records: usize, interval_secs: u16, slot_ms: u64, uptime_secs: u64) -> Vec<u8> {
    let narrow = |n: usize| u16::try_from(n).unwrap_or(u16::MAX).to_ne_bytes();
    let mut out = vec![b'@', 1];
    out.extend(narrow(records * RECORD));
    out.extend(narrow(records));
    out.extend(interval_secs.to_ne_bytes());
    out.extend(slot_ms.to_ne_bytes());
    out.extend(uptime_secs.to_ne_bytes());
    out
}

/// Appends what a source has stored beyond `told`.
fn record(source: &SourceStatus, told: &Totals, out: &mut Vec<u8>) {
    let mut ident = [0; 128];
    // The last octet stays 0, whatever the name.
    ident.iter_mut().take(127).zip(source.ident.bytes()).for_each(|(to, from)| *to = from);
    out.extend(ident);
    let exporter = source.exporters.first().map_or(0, |e| number(&e.exporter));
    out.extend(exporter.to_ne_bytes());
    let now = &source.totals;
    for (now, told) in
        [(now.flows, told.flows), (now.bytes, told.bytes), (now.packets, told.packets)]
    {
        let [tcp, udp, icmp, other] = now;
        let fresh = [tcp, udp, icmp, other].into_iter().zip(told);
        out.extend(fresh.flat_map(|(n, before)| n.saturating_sub(before).to_ne_bytes()));
    }
}

fn number(exporter: &Exporter) -> u64 {
    let engine = if matches!(exporter.version, 5 | 7) { exporter.id & 0xffff } else { 0 };
    u64::from(exporter.sysid) << 16 | u64::from(engine)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::ExporterStatus;
    use record::Addr;
    use std::io::Read as _;
    use std::os::unix::net::UnixListener;

    const NOW_MS: u64 = 1_795_000_123_456;

    /// A listener that reads a message as nfcapd's are documented.
    #[derive(Debug, PartialEq, Eq)]
    struct Message {
        interval: u16,
        slot_ms: u64,
        uptime: u64,
        records: Vec<Told>,
    }

    #[derive(Debug, PartialEq, Eq)]
    struct Told {
        ident: String,
        exporter: u64,
        flows: [u64; 4],
        bytes: [u64; 4],
        packets: [u64; 4],
    }

    fn receive(listener: &UnixListener) -> Message {
        let mut bytes = Vec::new();
        listener.accept().unwrap().0.read_to_end(&mut bytes).unwrap();
        let (header, mut rest) = bytes.split_at(24);
        assert_eq!(header[..2], [b'@', 1]);
        let short = |at: usize| u16::from_ne_bytes([header[at], header[at + 1]]);
        let long = |bytes: &[u8]| u64::from_ne_bytes(bytes.try_into().unwrap());
        assert_eq!((usize::from(short(2)), rest.len() % 232), (rest.len(), 0));
        let mut records = Vec::new();
        while !rest.is_empty() {
            let (record, more) = rest.split_at(232);
            rest = more;
            let (ident, numbers) = record.split_at(128);
            let len = ident.iter().position(|b| *b == 0).expect("an end");
            assert!(ident[len..].iter().all(|b| *b == 0));
            let n: Vec<u64> = numbers.chunks(8).map(long).collect();
            records.push(Told {
                ident: String::from_utf8(ident[..len].to_vec()).unwrap(),
                exporter: n[0],
                flows: n[1..5].try_into().unwrap(),
                bytes: n[5..9].try_into().unwrap(),
                packets: n[9..13].try_into().unwrap(),
            });
        }
        assert_eq!(usize::from(short(4)), records.len());
        Message {
            interval: short(6),
            slot_ms: long(&header[8..16]),
            uptime: long(&header[16..24]),
            records,
        }
    }

    fn source(ident: &str, version: u32, n: u64) -> SourceStatus {
        let exporter = Exporter { sysid: 3, version, addr: Addr::V4(1), id: 0x0102 };
        let exporter = ExporterStatus {
            exporter,
            counts: wire::ExporterCounts::default(),
            templates: 0,
            samplers: 0,
            seen_ms: 0,
        };
        let totals = Totals {
            flows: [n, n + 1, n + 2, n + 3],
            packets: [10 * n, 0, 0, 5],
            bytes: [100 * n, 0, 0, 7],
            ..Totals::default()
        };
        let (ident, exporters) = (ident.to_owned(), vec![exporter]);
        SourceStatus { ident, totals, exporters, ..SourceStatus::default() }
    }

    fn scene() -> (tempfile::TempDir, Options) {
        let dir = tempfile::tempdir().unwrap();
        let options = Options { socket: dir.path().join("metrics"), interval_secs: 60 };
        (dir, options)
    }

    #[test]
    fn messages_tell_what_came_since_the_last_one() {
        let (_dir, options) = scene();
        let listener = UnixListener::bind(&options.socket).unwrap();
        let mut meter = Meter::default();
        let long = "x".repeat(300);
        let mut status = Status {
            started_ms: NOW_MS - 5_700,
            sources: vec![source("core", 5, 10), source(&long, 9, 1), SourceStatus::default()],
            ..Status::default()
        };
        meter.send(&status, NOW_MS, &options).unwrap();
        let first = receive(&listener);
        assert_eq!((first.interval, first.slot_ms, first.uptime), (60, 1_795_000_080_000, 5));
        assert_eq!(first.records.len(), 2, "nothing of a source without flows");
        let core = Told {
            ident: "core".to_owned(),
            exporter: 3 << 16 | 0x0102,
            flows: [10, 11, 12, 13],
            bytes: [1000, 0, 0, 7],
            packets: [100, 0, 0, 5],
        };
        assert_eq!(first.records[0], core);
        assert_eq!((first.records[1].ident.len(), first.records[1].exporter), (127, 3 << 16));
        status.sources[0] = source("core", 5, 14);
        meter.send(&status, NOW_MS + 60_000, &options).unwrap();
        let second = receive(&listener);
        assert_eq!(second.slot_ms, first.slot_ms + 60_000);
        let flows: Vec<_> = second.records.iter().map(|r| r.flows).collect();
        assert_eq!(flows, [[4; 4], [0; 4]]);
        assert_eq!(
            (second.records[0].bytes, second.records[0].packets),
            ([400, 0, 0, 0], [40, 0, 0, 0])
        );
    }

    #[test]
    fn what_a_listener_missed_comes_later() {
        let (_dir, options) = scene();
        let mut meter = Meter::default();
        let status = |n| Status { sources: vec![source("core", 9, n)], ..Status::default() };
        let error = meter.send(&status(5), NOW_MS, &options).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        let listener = UnixListener::bind(&options.socket).unwrap();
        meter.send(&status(9), NOW_MS + 60_000, &options).unwrap();
        assert_eq!(receive(&listener).records[0].flows, [9, 10, 11, 12]);
    }

    #[test]
    fn many_sources_come_in_several_messages() {
        let (_dir, options) = scene();
        let listener = UnixListener::bind(&options.socket).unwrap();
        let sources = (0..600).map(|n| source(&format!("s{n}"), 9, n)).collect();
        let status = Status { sources, ..Status::default() };
        std::thread::scope(|scope| {
            scope.spawn(|| Meter::default().send(&status, NOW_MS, &options).unwrap());
            let parts = [(); 3].map(|()| receive(&listener).records);
            assert_eq!(parts.each_ref().map(Vec::len), [282, 282, 36]);
            let all: Vec<_> = parts.iter().flatten().map(|r| r.flows[0]).collect();
            assert!(all.iter().copied().eq(0..600));
        });
    }

    #[test]
    fn the_interval_counts() {
        for (now_ms, interval, slot, pause) in [
            (120_000, 60, 120_000, 60_000),
            (120_001, 60, 120_000, 59_999),
            (179_999, 60, 120_000, 1),
            (15_500, 10, 10_000, 4_500),
            (1_500, 0, 1_000, 500),
        ] {
            assert_eq!(slot_ms(now_ms, interval), slot);
            assert_eq!(until_next(now_ms, interval), Duration::from_millis(pause));
        }
        let (_dir, mut options) = scene();
        options.interval_secs = 1;
        let listener = UnixListener::bind(&options.socket).unwrap();
        let (board, stop) = (Board::new(), Stop::new().unwrap());
        board.publish(|s| s.sources = vec![source("core", 9, 5)]);
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| run(&options, &board, &stop));
            let (first, second) = (receive(&listener), receive(&listener));
            assert_eq!((first.interval, first.slot_ms % 1000), (1, 0));
            assert!(second.slot_ms > first.slot_ms);
            assert_eq!(second.records[0].flows, [0; 4]);
            stop.request();
            thread.join().unwrap().unwrap();
        });
    }
}
