//! Hours of a kernel's connection table in milliseconds: events are lost at random, dumps are read
//! while connections come and go, and an oracle that knows the truth says what must be told.

use nat::{Cause, Counter, Entry, Gap, Kind, Outcome, Session, Status, Sure, Timeouts};
use nat::{Tracker, TrackerConfig, Tuple};
use record::Addr;
use std::collections::{HashMap, VecDeque};

const MS: u64 = 1_000_000;
const SECOND: u64 = 1000 * MS;
const BEGIN: u64 = 1_795_000_000 * SECOND;
const STEP: u64 = 50 * MS;

struct Random(u64);

impl Random {
    fn next(&mut self, below: u64) -> u64 {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let x = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        let x = x ^ x >> 31;
        x % below.max(1)
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.next(n) == 0
    }
}

/// What really happened to one connection.
#[derive(Debug)]
struct Truth {
    tuple: u32,
    start: u64,
    stop: u64,
    rate: u64,
    has_events: bool,
    /// Whether the tracker was given the message.
    was_heard: bool,
    /// Whether the last dump skipped it.
    was_skipped: bool,
    begins: Vec<Session>,
    interims: u64,
    ends: Vec<Session>,
    octets: [u64; 2],
}

#[derive(Clone, Copy)]
struct Settings {
    seed: u64,
    has_times: bool,
    /// One read of the events in so many takes a while.
    stalls: u64,
    /// Events that fit in the queue.
    room: usize,
    /// The kernel skips one entry of a dump in so many.
    skips: u64,
    max_connections: usize,
}

struct Kernel {
    settings: Settings,
    random: Random,
    now: u64,
    all: Vec<Truth>,
    by_tuple: HashMap<u32, Vec<usize>>,
    live: Vec<usize>,
    free_tuples: Vec<(u64, u32)>,
    next_tuple: u32,
    queue: VecDeque<(Kind, Entry, usize)>,
    is_overrun: bool,
    lost: u64,
}

impl Kernel {
    fn new(settings: Settings) -> Self {
        Self {
            settings,
            random: Random(settings.seed),
            now: BEGIN,
            all: Vec::new(),
            by_tuple: HashMap::new(),
            live: Vec::new(),
            free_tuples: Vec::new(),
            next_tuple: 0,
            queue: VecDeque::new(),
            is_overrun: false,
            lost: 0,
        }
    }

    fn entry(&self, at: usize) -> Entry {
        let truth = &self.all[at];
        let inside = Addr::V4(0x0a00_0000 + truth.tuple % 50);
        let (outside, server) = (Addr::V4(0xcb00_7101), Addr::V4(0xcb00_710a));
        let port = (truth.tuple % 60_000) as u16;
        let proto = 6 + 11 * (truth.tuple % 2) as u8;
        let tuple =
            |src, dst, src_port, dst_port| Tuple { src, dst, src_port, dst_port, proto, zone: 0 };
        let age = (self.now.min(truth.stop) - truth.start) / MS;
        let counter =
            |n| Counter { packets: age * truth.rate / 1000, octets: age * truth.rate * n };
        Entry {
            orig: tuple(inside, server, port, 443),
            reply: tuple(server, outside, 443, port),
            // The same addresses have the same id again.
            id: truth.tuple.wrapping_mul(2_654_435_761),
            status: Status(0x18e),
            state: 3,
            counters: Some([counter(1), counter(3)]),
            start_ns: self.settings.has_times.then_some(truth.start),
            ..Entry::default()
        }
    }

    fn begin(&mut self, life: u64, has_events: bool) {
        // A tuple is used again after half a second at the earliest; without times of the kernel,
        // two connections of one tuple cannot be told apart.
        let reuse = self.free_tuples.first().is_some_and(|(at, _)| at + SECOND / 2 < self.now);
        let tuple = if reuse && self.settings.has_times && !self.random.one_in(3) {
            self.free_tuples.remove(0).1
        } else {
            self.next_tuple += 1;
            self.next_tuple
        };
        let (start, rate) = (self.now, self.random.next(2000));
        self.all.push(Truth {
            tuple,
            start,
            stop: start + life,
            rate,
            has_events,
            was_heard: false,
            was_skipped: false,
            begins: Vec::new(),
            interims: 0,
            ends: Vec::new(),
            octets: [0; 2],
        });
        let at = self.all.len() - 1;
        self.by_tuple.entry(tuple.wrapping_mul(2_654_435_761)).or_default().push(at);
        self.live.push(at);
        // The event is stamped a moment before the entry, and has neither start nor counters.
        let event_ns = self.settings.has_times.then_some(start - 20_000);
        let entry = Entry { event_ns, start_ns: None, counters: None, ..self.entry(at) };
        self.tell(Kind::New, entry, at);
    }

    fn tell(&mut self, kind: Kind, entry: Entry, at: usize) {
        if !self.all[at].has_events {
            return;
        }
        if self.queue.len() >= self.settings.room {
            self.is_overrun = true;
            self.lost += 1;
            return;
        }
        self.queue.push_back((kind, entry, at));
    }

    fn step(&mut self) {
        self.now += STEP;
        let (over, live) = std::mem::take(&mut self.live)
            .into_iter()
            .partition::<Vec<_>, _>(|at| self.all[*at].stop <= self.now);
        self.live = live;
        for at in over {
            let times = self.settings.has_times.then_some(self.all[at].stop);
            let mut entry = Entry { stop_ns: times, event_ns: times, ..self.entry(at) };
            entry.timeout = Some(100);
            entry.status = Status(entry.status.0 | Status::DYING.0);
            self.free_tuples.push((self.now, self.all[at].tuple));
            self.tell(Kind::Destroy, entry, at);
        }
    }
}

/// The kernel, a tracker that reads from it, and what it told.
struct Run {
    kernel: Kernel,
    tracker: Tracker,
    told: Vec<Outcome>,
    gaps: Vec<Gap>,
    /// Entries of the dump that is being read, and how many parts of the table are still to come.
    dump: Option<(VecDeque<(Entry, usize)>, u64)>,
    /// Whether events were read since the last dump.
    was_drained: bool,
    stalled_until: u64,
}

const PARTS: u64 = 4;

impl Run {
    fn new(settings: Settings) -> Self {
        let config = TrackerConfig {
            max_connections: settings.max_connections,
            active_ns: 90 * SECOND,
            dump_every_ns: 30 * SECOND,
            ..TrackerConfig::default()
        };
        Self {
            kernel: Kernel::new(settings),
            tracker: Tracker::new(config),
            told: Vec::new(),
            gaps: Vec::new(),
            dump: None,
            was_drained: true,
            stalled_until: 0,
        }
    }

    fn step(&mut self) {
        self.kernel.step();
        let now = self.kernel.now;
        if now < self.stalled_until {
            return;
        }
        // Either socket may be read first.
        if self.kernel.random.one_in(2) {
            self.read_dump();
            self.read_events();
        } else {
            self.read_events();
            self.read_dump();
        }
        let told = &mut self.told;
        self.tracker.tick(now, &mut |o| told.push(*o));
        if self.kernel.random.one_in(self.kernel.settings.stalls) {
            self.stalled_until = now + self.kernel.random.next(4000) * MS;
        }
        for outcome in std::mem::take(&mut self.told) {
            self.note(outcome);
        }
    }

    fn read_events(&mut self) {
        let now = self.kernel.now;
        // The error is read before what is in the queue.
        if std::mem::take(&mut self.kernel.is_overrun) {
            self.tracker.overrun(now);
        }
        while let Some((kind, entry, at)) = self.kernel.queue.pop_front() {
            self.kernel.all[at].was_heard = true;
            let told = &mut self.told;
            self.tracker.event(now, kind, &entry, &mut |o| told.push(*o));
        }
        self.tracker.drained(now);
        self.was_drained = true;
    }

    fn read_dump(&mut self) {
        let now = self.kernel.now;
        let told = &mut self.told;
        if self.dump.is_none() && self.was_drained && self.tracker.wants_dump(now) {
            self.tracker.dump_begin(now);
            self.dump = Some((VecDeque::new(), PARTS));
        }
        let Some((entries, left)) = &mut self.dump else { return };
        // The kernel fills the buffer part by part; it is read at once or later.
        if *left > 0 {
            *left -= 1;
            let Kernel { live, all, random, settings, .. } = &mut self.kernel;
            let mut found = Vec::new();
            for at in live {
                if u64::from(all[*at].tuple) % PARTS != *left {
                    continue;
                }
                // Not the same one twice: that would be an end as far as anybody can tell.
                let is_skipped = !all[*at].was_skipped && random.one_in(settings.skips);
                all[*at].was_skipped = is_skipped;
                if !is_skipped {
                    found.push(*at);
                }
            }
            entries.extend(found.into_iter().map(|at| (self.kernel.entry(at), at)));
        }
        if *left > 0 && self.kernel.random.one_in(2) {
            return;
        }
        while let Some((entry, at)) = entries.pop_front() {
            self.kernel.all[at].was_heard = true;
            self.tracker.event(now, Kind::Dump, &entry, &mut |o| told.push(*o));
        }
        if *left == 0 {
            self.tracker.dump_end(now, &mut |o| told.push(*o));
            self.dump = None;
            self.was_drained = false;
        }
    }

    /// Finds the connection an outcome speaks of.
    fn note(&mut self, outcome: Outcome) {
        let (Outcome::Begin(s) | Outcome::Interim(s) | Outcome::End(s)) = outcome else {
            let Outcome::Degraded(gap) = outcome else { unreachable!() };
            self.gaps.push(gap);
            return;
        };
        let has_times = self.kernel.settings.has_times;
        let same_id = self.kernel.by_tuple.get(&s.id).map_or(&[][..], |v| v);
        let is_it =
            |at: &&usize| !has_times || self.kernel.all[**at].start.abs_diff(s.start_ns) < 200 * MS;
        let at = same_id.iter().rev().find(is_it);
        let at = *at.unwrap_or_else(|| panic!("never happened: {outcome:?}"));
        let truth = &mut self.kernel.all[at];
        for (sum, counter) in truth.octets.iter_mut().zip(s.counters) {
            *sum += counter.octets;
        }
        match outcome {
            Outcome::Begin(s) => truth.begins.push(s),
            Outcome::End(s) => truth.ends.push(s),
            _ => truth.interims += 1,
        }
    }
}

fn simulate(settings: Settings, hours: u64) -> Run {
    let mut run = Run::new(settings);
    // Before anybody listens.
    for _ in 0..40 {
        let life = run.kernel.random.next(1200) * SECOND;
        run.kernel.begin(life, false);
    }
    for _ in 0..10 {
        run.kernel.step();
    }
    let steps = hours * 3600 * SECOND / STEP;
    let quiet = 400 * SECOND / STEP;
    for step in 0..steps + quiet {
        let is_burst = step / 200 % 10 == 3;
        let arrivals = if is_burst { 3 } else { u64::from(run.kernel.random.one_in(8)) };
        for _ in 0..if step < steps { arrivals } else { 0 } {
            let life = match run.kernel.random.next(6) {
                0 => run.kernel.random.next(100) * MS,
                1..4 => run.kernel.random.next(20_000) * MS,
                _ => run.kernel.random.next(300_000) * MS,
            };
            run.kernel.begin(life, true);
        }
        run.step();
    }
    run
}

/// What must hold of every connection.
fn check(run: &Run, name: &str) {
    let (mut unheard, mut resync) = (0, 0);
    for truth in &run.kernel.all {
        if !truth.was_heard {
            // Nobody can know of it, but the time must be marked.
            unheard += 1;
            assert!(truth.begins.is_empty() && truth.ends.is_empty());
            let is_marked = |g: &&Gap| g.from_ns <= truth.stop && truth.start <= g.to_ns;
            // Over before the first look, and told of by nobody: not there as far as we know.
            let is_before = !truth.has_events;
            let is_marked = is_before || run.gaps.iter().any(|g| is_marked(&g));
            assert!(is_marked, "{name}: lost silently: {truth:?}");
            continue;
        }
        assert_eq!((truth.begins.len(), truth.ends.len()), (1, 1), "{name}: {truth:?}");
        let (begin, end) = (&truth.begins[0], &truth.ends[0]);
        let life = (truth.stop - truth.start) / MS * truth.rate;
        if end.sure == Sure::Resync {
            resync += 1;
            // One that a dump skipped is taken for ended by then.
            let is_late = end.held_ns + STEP >= truth.stop || run.kernel.settings.skips < 1 << 20;
            assert!(is_late, "{name}: ended before its end: {truth:?}");
            assert!(truth.octets[0] <= life);
        } else {
            assert_eq!(truth.octets, [life, 3 * life], "{name}: {truth:?}");
            if run.kernel.settings.has_times {
                assert_eq!(end.held_ns, truth.stop);
            }
        }
        if run.kernel.settings.has_times {
            assert!(begin.start_ns.abs_diff(truth.start) <= 20_000);
        }
        assert_eq!(begin.cause, Cause::Begun);
        assert_eq!(begin.translation, end.translation);
    }
    let counts = run.tracker.counts();
    let told = run.kernel.all.len() as u64 - unheard;
    assert_eq!((counts.begins, counts.ends), (told, told), "{name}: {counts:?}");
    assert_eq!(counts.resync_ends + counts.replaced, resync, "{name}");
    assert!(run.tracker.is_empty());
    assert_eq!(run.tracker.gap(), None);
}

const CALM: Settings = Settings {
    seed: 1,
    has_times: true,
    stalls: 1 << 40,
    room: 100,
    skips: 1 << 40,
    max_connections: 1 << 20,
};

#[test]
fn nothing_lost_nothing_worked_out() {
    let run = simulate(CALM, 2);
    check(&run, "calm");
    let counts = run.tracker.counts();
    assert!(run.kernel.all.len() > 10_000);
    assert_eq!((run.kernel.lost, counts.overruns, run.gaps.len()), (0, 0, 0));
    // Only those that were there before anybody listened.
    let before = run.kernel.all.iter().filter(|t| !t.has_events).count() as u64;
    assert_eq!(counts.resync_ends + counts.replaced, before);
    assert!(run.kernel.all.iter().any(|t| t.interims > 1));
}

#[test]
fn everything_is_told_once_whatever_is_lost() {
    let (mut lost, mut resync, mut replaced) = (0, 0, 0);
    for seed in 0..6 {
        let skips = if seed % 2 == 0 { 3000 } else { CALM.skips };
        let settings = Settings { seed, stalls: 60, room: 6, skips, ..CALM };
        let run = simulate(settings, 1);
        check(&run, &format!("seed {seed}"));
        let counts = run.tracker.counts();
        lost += run.kernel.lost;
        resync += counts.resync_ends.min(counts.resync_begins);
        replaced += counts.replaced;
        let spread: HashMap<bool, usize> =
            run.kernel.all.iter().fold(HashMap::new(), |mut m, t| {
                *m.entry(t.was_heard).or_default() += 1;
                m
            });
        assert!(spread[&true] > 4000, "{spread:?}");
    }
    // The test is worth something only if much was lost.
    assert!(lost > 5000 && resync > 1000 && replaced > 5, "{lost} {resync} {replaced}");
}

#[test]
fn kernels_without_times() {
    for seed in 100..102 {
        let settings = Settings { seed, has_times: false, stalls: 60, room: 6, ..CALM };
        check(&simulate(settings, 1), &format!("seed {seed}"));
    }
}

#[test]
fn a_full_table_costs_no_ends() {
    let run = simulate(Settings { max_connections: 20, ..CALM }, 1);
    let counts = run.tracker.counts();
    assert!(counts.untracked > 1000);
    for truth in run.kernel.all.iter().filter(|t| t.has_events) {
        assert_eq!((truth.begins.len(), truth.ends.len()), (1, 1), "{truth:?}");
    }
}

#[test]
fn the_last_packet_is_worked_out_from_the_timeout() {
    let timeouts = Timeouts { udp_stream: 7, ..Timeouts::default() };
    let config = TrackerConfig { timeouts, ..TrackerConfig::default() };
    let kernel = {
        let mut kernel = Kernel::new(CALM);
        kernel.next_tuple = 10; // an odd one: UDP
        kernel.begin(60 * SECOND, true);
        kernel.now += 60 * SECOND;
        kernel
    };
    let stop = kernel.all[0].stop;
    let base = Entry { stop_ns: Some(stop), event_ns: Some(stop + 30 * SECOND), ..kernel.entry(0) };
    let now = stop + 31 * SECOND;
    for (name, entry, cause, until) in [
        ("overdue", base, Cause::Idle, stop - 7 * SECOND),
        ("overdue, then flushed", Entry { portid: 5, ..base }, Cause::Idle, stop - 7 * SECOND),
        ("flushed", Entry { portid: 5, event_ns: Some(stop + 100), ..base }, Cause::Deleted, stop),
        (
            "reset",
            Entry { timeout: Some(120), event_ns: Some(stop + 100), ..base },
            Cause::Closed,
            stop,
        ),
        (
            "no times",
            Entry { stop_ns: None, event_ns: None, ..base },
            Cause::Idle,
            now - 7 * SECOND,
        ),
    ] {
        let mut tracker = Tracker::new(config.clone());
        let mut ends = Vec::new();
        tracker.event(now, Kind::Destroy, &entry, &mut |o| ends.push(*o));
        let [Outcome::Begin(_), Outcome::End(end)] = ends[..] else { panic!("{name}: {ends:?}") };
        assert_eq!((end.cause, end.until_ns), (cause, until), "{name}");
        assert_eq!(end.is_estimated, cause == Cause::Idle, "{name}");
    }
}
