//! The board: what the decoding thread shows of itself to everybody else.
//!
//! About once a second it publishes a [`Status`], which is small: numbers, and a line for each
//! exporter. Templates and unknown elements are many and rarely asked for; a reader leaves a
//! request, and the decoding thread answers at its next tick with [`Details`].
//!
//! Readers never hold up decoding: the lock is held for as long as a pointer takes to change, and
//! a status is written into the memory of the one before the last, unless somebody still reads it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use record::{Exporter, Sampler, Totals};
use sys::clock;
use wire::{
    Counters, Decoder, ExporterCounts, FieldSpec, TemplateView, UnknownElement, element_is_stored,
    element_name,
};

use crate::Account;

/// What a collector looks like at one moment. All counts are since its start.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Status {
    /// When the collector started, milliseconds since 1970.
    pub started_ms: u64,
    /// When this was published, milliseconds since 1970. 0 if nothing ever was.
    pub now_ms: u64,
    /// Start of the slot that is being written, seconds since 1970.
    pub slot_start_secs: u64,
    /// Length of a slot, seconds.
    pub slot_secs: u32,
    /// Where all datagrams and flows went, those of no source included.
    pub account: Account,
    /// What waits between receivers and decoder.
    pub queue: QueueStatus,
    /// All sources, in order of their start.
    pub sources: Vec<SourceStatus>,
    /// Sockets for datagrams.
    pub sockets: Vec<SocketStatus>,
    /// Listeners for streams.
    pub streams: Vec<StreamStatus>,
    /// Where datagrams are sent on to.
    pub repeaters: Vec<RepeaterStatus>,
}

/// How full the queue before the decoder is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueStatus {
    /// Octets in it.
    pub bytes: u64,
    /// Octets from which on receivers wait.
    pub limit_bytes: u64,
    /// Times that a receiver had to wait.
    pub waits: u64,
}

/// One source.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SourceStatus {
    /// Its name.
    pub ident: String,
    /// Where its files go.
    pub dir: PathBuf,
    /// Where its datagrams and flows went.
    pub account: Account,
    /// What its decoder counted.
    pub decoder: Counters,
    /// What was stored: flows, packets and octets by protocol group.
    pub totals: Totals,
    /// Whether there is a file that flows go to.
    pub has_file: bool,
    /// The last trouble with its files, until a file works again.
    pub trouble: Option<String>,
    /// Its exporters, in order of appearance.
    pub exporters: Vec<ExporterStatus>,
}

/// One exporter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ExporterStatus {
    /// Who it is.
    pub exporter: Exporter,
    /// What it sent, and what is missing of it.
    pub counts: ExporterCounts,
    /// Templates it has.
    pub templates: usize,
    /// Samplers it announced.
    pub samplers: usize,
    /// When it was last heard, milliseconds since 1970.
    pub seen_ms: u64,
}

impl From<&wire::ExporterView<'_>> for ExporterStatus {
    fn from(view: &wire::ExporterView<'_>) -> Self {
        Self {
            exporter: view.exporter,
            counts: view.totals,
            templates: view.templates,
            samplers: view.samplers().count(),
            seen_ms: view.seen_ms,
        }
    }
}

/// One socket for datagrams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketStatus {
    /// Its address.
    pub local: SocketAddr,
    /// Octets its receive buffer takes.
    pub buffer_bytes: u64,
    /// Datagrams it brought.
    pub received: u64,
    /// Datagrams the kernel dropped because that buffer was full.
    pub dropped: u64,
}

/// One listener for streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamStatus {
    /// Its address.
    pub local: SocketAddr,
    /// Whether exporters speak TLS to it.
    pub is_tls: bool,
    /// What it counted.
    pub counts: StreamCounts,
}

/// What a listener for streams counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamCounts {
    /// Connections that are open now.
    pub open: u64,
    /// Connections that were taken in.
    pub accepted: u64,
    /// Connections closed at once because as many as the limit were open.
    pub refused: u64,
    /// Connections closed because nothing came for long.
    pub timed_out: u64,
    /// Connections closed because of what came, or because the network broke them.
    pub broken: u64,
    /// Messages handed on.
    pub messages: u64,
    /// Octets of those messages.
    pub bytes: u64,
}

/// One target that datagrams are sent on to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RepeaterStatus {
    /// Its address, as the operator gave it.
    pub target: String,
    /// Datagrams sent.
    pub sent: u64,
    /// Datagrams left out by its filter or its sampling.
    pub skipped: u64,
    /// Datagrams that could not be sent.
    pub failed: u64,
}

/// What is only made when somebody asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Details {
    /// When it was made, milliseconds since 1970.
    pub at_ms: u64,
    /// All sources, in order of their start.
    pub sources: Vec<SourceDetails>,
}

/// Templates, samplers and unknown elements of one source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceDetails {
    /// Its name.
    pub ident: String,
    /// Its exporters, in order of appearance.
    pub exporters: Vec<Exporter>,
    /// Their samplers.
    pub samplers: Vec<Sampler>,
    /// Their templates, by exporter and id.
    pub templates: Vec<TemplateStatus>,
    /// Elements that no flow field takes, by enterprise and number.
    pub unknown: Vec<UnknownElement>,
}

/// One template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateStatus {
    /// Whose it is.
    pub exporter: Exporter,
    /// Template id, from 256.
    pub id: u16,
    /// Whether its records describe the exporter rather than flows.
    pub is_options: bool,
    /// Its fields in order.
    pub fields: Vec<FieldStatus>,
    /// When it was last received, milliseconds since 1970.
    pub seen_ms: u64,
    /// Records read with it.
    pub records: u64,
}

/// One field of a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldStatus {
    /// Enterprise, number and length.
    pub spec: FieldSpec,
    /// What the element is called, if anybody knows.
    pub name: Option<&'static str>,
    /// Whether a flow field takes it; true for fields of options.
    pub is_stored: bool,
}

impl SourceDetails {
    /// All that the decoder of a source knows. Templates of exporters without a number have an
    /// exporter that is all zeros.
    pub fn of(ident: &str, decoder: &Decoder) -> Self {
        let views = || decoder.exporters();
        let numbered = views().filter(|v| v.exporter.sysid != 0);
        let by_number: HashMap<_, _> = numbered.map(|v| (v.exporter.sysid, v.exporter)).collect();
        let template = |view: TemplateView<'_>| {
            let TemplateView { id, is_options, seen_ms, records, .. } = view;
            let exporter = by_number.get(&view.exporter).copied().unwrap_or(NOBODY);
            let fields = view.fields.iter().map(|spec| FieldStatus::of(*spec, is_options));
            TemplateStatus { exporter, id, is_options, fields: fields.collect(), seen_ms, records }
        };
        Self {
            ident: ident.to_owned(),
            exporters: views().map(|v| v.exporter).collect(),
            samplers: views().flat_map(|v| v.samplers().collect::<Vec<_>>()).collect(),
            templates: decoder.templates().map(template).collect(),
            unknown: decoder.unknown_elements().collect(),
        }
    }
}

impl FieldStatus {
    fn of(spec: FieldSpec, is_options: bool) -> Self {
        let name =
            if spec.is_v9_scope() { scope_name(spec.id) } else { element_name(spec.pen, spec.id) };
        // What of options data is used depends on the record, so nothing is called left out.
        Self { spec, name, is_stored: is_options || element_is_stored(spec.pen, spec.id) }
    }
}

/// Scope types of v9 options templates (RFC 3954, section 6.1).
const fn scope_name(id: u16) -> Option<&'static str> {
    Some(match id {
        1 => "scope system",
        2 => "scope interface",
        3 => "scope line card",
        4 => "scope cache",
        5 => "scope template",
        _ => return None,
    })
}

/// In place of an exporter that has no number.
const NOBODY: Exporter = Exporter { sysid: 0, version: 0, addr: record::Addr::V4(0), id: 0 };

/// Where the decoding thread shows what it does. Clones show the same.
#[derive(Clone, Debug)]
pub struct Board(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    shown: Mutex<Shown>,
    asked: Mutex<Asked>,
    answered: Condvar,
    waits_for_disk: AtomicBool,
}

#[derive(Debug)]
struct Shown {
    status: Arc<Status>,
    /// The one before, to be written over.
    spare: Option<Arc<Status>>,
    /// On the clock that only goes forward.
    at: Instant,
}

/// Requests are numbered; an answer serves all that were made before it was begun.
#[derive(Debug, Default)]
struct Asked {
    requests: u64,
    served: u64,
    answer: Option<Arc<Details>>,
    waiting: usize,
}

/// Requests up to this number: what [`Board::request`] found and [`Board::answer`] is for.
#[derive(Debug)]
#[must_use = "readers wait for an answer"]
pub struct Request(u64);

impl Default for Board {
    fn default() -> Self {
        Self::new()
    }
}

impl Board {
    /// A board that shows an empty status.
    pub fn new() -> Self {
        let shown = Shown { status: Arc::default(), spare: None, at: clock::monotonic() };
        let (shown, asked) = (Mutex::new(shown), Mutex::default());
        Self(Arc::new(Inner {
            shown,
            asked,
            answered: Condvar::new(),
            waits_for_disk: AtomicBool::default(),
        }))
    }

    /// Publishes what `fill` makes of an older status, whatever that was: every field is to be
    /// set. Its vectors have room already, so a steady state allocates nothing.
    pub fn publish(&self, fill: impl FnOnce(&mut Status)) {
        let spare = lock(&self.0.shown).spare.take();
        let mut status = spare.and_then(|s| Arc::try_unwrap(s).ok()).unwrap_or_default();
        fill(&mut status);
        let status = Arc::new(status);
        let mut shown = lock(&self.0.shown);
        let old = std::mem::replace(&mut shown.status, status);
        shown.at = clock::monotonic();
        // Dropped outside the lock, should two threads ever publish.
        let _stale = shown.spare.replace(old);
        drop(shown);
    }

    /// What was published last.
    pub fn status(&self) -> Arc<Status> {
        Arc::clone(&lock(&self.0.shown).status)
    }

    /// How long ago that was, whatever the wall clock did meanwhile.
    pub fn age(&self) -> Duration {
        let at = lock(&self.0.shown).at;
        clock::monotonic().saturating_duration_since(at)
    }

    /// Says whether decoding does nothing but wait for the disk, and so publishes nothing.
    pub fn set_waiting_for_disk(&self, is_waiting: bool) {
        self.0.waits_for_disk.store(is_waiting, Ordering::Relaxed);
    }

    /// Whether decoding does nothing but wait for the disk.
    pub fn waits_for_disk(&self) -> bool {
        self.0.waits_for_disk.load(Ordering::Relaxed)
    }

    /// Whether somebody waits for details: to be looked at once a tick by the decoding thread,
    /// which then gives an [`answer`](Self::answer).
    pub fn request(&self) -> Option<Request> {
        let asked = lock(&self.0.asked);
        (asked.waiting > 0 && asked.requests > asked.served).then_some(Request(asked.requests))
    }

    /// Gives details to all who waited when `request` was found.
    pub fn answer(&self, request: Request, details: Details) {
        let mut asked = lock(&self.0.asked);
        asked.served = asked.served.max(request.0);
        asked.answer = (asked.waiting > 0).then(|| Arc::new(details));
        drop(asked);
        self.0.answered.notify_all();
    }

    /// Asks for details and waits for them. `None` if they do not come within `timeout`.
    pub fn details(&self, timeout: Duration) -> Option<Arc<Details>> {
        let mut asked = lock(&self.0.asked);
        asked.requests += 1;
        asked.waiting += 1;
        let mine = asked.requests;
        let (mut asked, waited) = self
            .0
            .answered
            .wait_timeout_while(asked, timeout, |a| a.served < mine)
            .unwrap_or_else(PoisonError::into_inner);
        asked.waiting -= 1;
        let answer = if waited.timed_out() { None } else { asked.answer.clone() };
        if asked.waiting == 0 {
            asked.answer = None; // it is big, and the next reader wants a new one
        }
        answer
    }
}

/// A thread that panicked with the lock leaves nothing half done: pointers and numbers change.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use wire::testing::{IpfixBuilder, Record};

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn details_tell_what_is_stored_and_what_is_left() {
        let mut decoder = Decoder::new(wire::Config::default());
        let datagram = IpfixBuilder::new(wire::ipfix::Header { domain: 7, ..Default::default() })
            .options_template(257, 1, &[(0, 149, 4), (0, 41, 8)])
            .template(256, &[(0, 8, 4), (4711, 12, 4), (0, 1, 8)])
            .data(256, &[Record::new().octets(&[1; 16]).build()])
            .build();
        let peer = record::Addr::V4(0x0a00_0001);
        decoder.decode(peer, 5000, &datagram, &mut wire::testing::Collect::default());
        let details = SourceDetails::of("core", &decoder);
        assert_eq!((details.ident.as_str(), details.exporters.len()), ("core", 1));
        let exporter = details.exporters[0];
        assert_eq!((exporter.addr, exporter.version, exporter.id), (peer, 10, 7));
        let stored = |t: &TemplateStatus| t.fields.iter().map(|f| f.is_stored).collect::<Vec<_>>();
        let seen: Vec<_> = details
            .templates
            .iter()
            .map(|t| (t.exporter, t.id, t.is_options, t.records, t.seen_ms, stored(t)))
            .collect();
        let want = [
            (exporter, 256, false, 1, 5000, vec![true, false, true]),
            (exporter, 257, true, 0, 5000, vec![true, true]),
        ];
        assert_eq!(seen, want);
        let unknown: Vec<_> =
            details.unknown.iter().map(|u| (u.pen, u.id, u.templates, u.first.exporter)).collect();
        assert_eq!(unknown, [(4711, 12, 1, exporter)]);
        let names: Vec<_> = details.templates[0].fields.iter().map(|f| f.name).collect();
        assert_eq!(names, [Some("sourceIPv4Address"), None, Some("octetDeltaCount")]);
        let status = ExporterStatus::from(&decoder.exporters().next().expect("one"));
        assert_eq!((status.exporter, status.templates, status.seen_ms), (exporter, 2, 5000));
        assert_eq!((status.counts.datagrams, status.counts.flows), (1, 1));
    }

    #[test]
    fn readers_see_what_was_published_last_and_keep_what_they_have() {
        let board = Board::new();
        assert_eq!(*board.status(), Status::default());
        let reader = board.clone();
        board.publish(|s| s.now_ms = 1);
        let first = reader.status();
        for n in 2..10 {
            board.publish(|s| s.now_ms = n);
        }
        assert_eq!((first.now_ms, reader.status().now_ms), (1, 9));
        assert!(board.age() < LONG);
    }

    #[test]
    fn a_status_nobody_reads_is_written_over() {
        let board = Board::new();
        let mut rooms = Vec::new();
        for n in 0..6 {
            board.publish(|status| {
                rooms.push(status.sources.capacity());
                status.sources.clear();
                status.sources.reserve_exact(10);
                status.now_ms = n;
            });
        }
        assert_eq!(rooms, [0, 0, 10, 10, 10, 10]);
        let held = board.status();
        board.publish(|_| {});
        board.publish(|status| assert_eq!(status.sources.capacity(), 0, "held by a reader"));
        assert_eq!(held.now_ms, 5);
    }

    #[test]
    fn details_are_made_for_those_who_wait_and_not_kept() {
        let board = Board::new();
        assert!(board.request().is_none());
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let decoder = scope.spawn(|| {
                let mut made = 0;
                while !stop.load(Ordering::SeqCst) {
                    if let Some(request) = board.request() {
                        made += 1;
                        board.answer(request, Details { at_ms: made, ..Details::default() });
                    }
                    std::thread::yield_now();
                }
                made
            });
            let readers: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| board.details(LONG).expect("an answer").at_ms))
                .collect();
            let seen: Vec<_> = readers.into_iter().map(|r| r.join().expect("reader")).collect();
            stop.store(true, Ordering::SeqCst);
            let made = decoder.join().expect("decoder");
            assert!((1..=8).contains(&made), "{made} answers for 8 readers");
            assert!(seen.iter().all(|n| (1..=made).contains(n)), "{seen:?}");
        });
        assert!(lock(&board.0.asked).answer.is_none());
        assert!(board.request().is_none());
    }

    #[test]
    fn an_answer_does_not_serve_those_who_asked_after_it_was_begun() {
        let board = Board::new();
        std::thread::scope(|scope| {
            let first = scope.spawn(|| board.details(LONG).map(|d| d.at_ms));
            let request = until(|| board.request());
            let second = scope.spawn(|| board.details(LONG).map(|d| d.at_ms));
            until(|| (lock(&board.0.asked).waiting == 2).then_some(()));
            board.answer(request, Details { at_ms: 1, ..Details::default() });
            assert_eq!(first.join().expect("reader"), Some(1));
            board.answer(until(|| board.request()), Details { at_ms: 2, ..Details::default() });
            assert_eq!(second.join().expect("reader"), Some(2));
        });
    }

    #[test]
    fn nobody_waits_for_ever() {
        let board = Board::new();
        assert!(board.details(Duration::from_millis(1)).is_none());
        assert!(board.request().is_none(), "who gave up wants nothing");
    }

    fn until<T>(mut f: impl FnMut() -> Option<T>) -> T {
        loop {
            if let Some(t) = f() {
                return t;
            }
            std::thread::yield_now();
        }
    }
}
