//! What the tracker does with one message or one dump, whatever width the addresses have.

use crate::entry::{Entry, Kind, Status, is_icmp};
use crate::outcome::{Cause, Gap, Outcome, Session, Sure};
use crate::table::{Conn, Flags, Table, Width, key_hash};
use crate::tracker::{Counts, TrackerConfig};
use crate::translate::{Translation, Unwanted};
use std::collections::HashMap;

const SECOND: u64 = 1_000_000_000;

/// Where outcomes go.
pub(crate) type Out<'o> = dyn FnMut(&Outcome) + 'o;

/// Two times of one begin differ by less: the kernel stamps the event, the entry and the packet
/// one after the other.
const SLACK_NS: u64 = SECOND / 5;

/// An entry is overdue if it is removed so long after its stop; the kernel's clock for timeouts
/// ticks every 1 to 10 ms.
const OVERDUE_NS: u64 = 1_000_000;

/// All but the tables, so that it may be borrowed beside one of them.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) config: TrackerConfig,
    pub(crate) counts: Counts,
    /// Connections in both tables.
    tracked: usize,
    /// Connections told, not kept, and not known to have ended.
    untracked: u64,
    /// Number of the last dump.
    dump: u32,
    pub(crate) is_dumping: bool,
    /// When the last dump ended, whole or not.
    dump_ended_ns: Option<u64>,
    /// When the last dump began.
    pub(crate) dump_began_ns: u64,
    /// When the last whole dump ended.
    dump_whole_ns: Option<u64>,
    /// When the last whole dump ended: suspects were gone by then.
    suspect_ns: u64,
    pub(crate) suspects: u64,
    is_dump_wanted: bool,
    /// Up to then all events are known.
    pub(crate) heard_ns: u64,
    pub(crate) gap: Option<Gap>,
    /// Number of the last dump when the last overrun was: only a later one makes up for it.
    gap_dump: u32,
    pub(crate) notes: Notes,
    swept_ns: u64,
}

impl Core {
    pub(crate) fn new(config: TrackerConfig) -> Self {
        Self {
            config,
            counts: Counts::default(),
            tracked: 0,
            untracked: 0,
            dump: 0,
            is_dumping: false,
            dump_ended_ns: None,
            dump_began_ns: 0,
            dump_whole_ns: None,
            suspect_ns: 0,
            suspects: 0,
            is_dump_wanted: true,
            heard_ns: 0,
            gap: None,
            gap_dump: 0,
            notes: Notes::default(),
            swept_ns: 0,
        }
    }

    pub(crate) fn message<A: Width>(
        &mut self,
        table: &mut Table<A>,
        now_ns: u64,
        kind: Kind,
        entry: &Entry,
        out: &mut Out<'_>,
    ) {
        if kind == Kind::Dump {
            self.counts.dump_entries += 1;
            self.seen(table, now_ns, entry, out);
            return;
        }
        self.heard_ns = self.heard_ns.max(entry.event_ns.unwrap_or(now_ns));
        match kind {
            Kind::New => {
                self.counts.events_new += 1;
                self.began(table, now_ns, entry, out);
            }
            Kind::Destroy => {
                self.counts.events_destroy += 1;
                self.ended(table, now_ns, entry, out);
            }
            _ => {
                self.counts.events_update += 1;
                if let Some(conn) = table.find(entry).and_then(|slot| table.get_mut(slot)) {
                    conn.learn(entry);
                }
            }
        }
    }

    /// The kernel tells of a new connection.
    fn began<A: Width>(
        &mut self,
        table: &mut Table<A>,
        now_ns: u64,
        entry: &Entry,
        out: &mut Out<'_>,
    ) {
        let at = entry.start_ns.or(entry.event_ns);
        if let Some(slot) = table.find(entry)
            && let Some(conn) = table.get_mut(slot)
        {
            let order = match at {
                Some(at) => order(conn, at),
                None if conn.flags.has(Flags::FROM_DUMP) => Order::Same,
                None => Order::Later,
            };
            // A dump may have it before its event is read.
            conn.flags.set(Flags::FROM_DUMP, false);
            match order {
                Order::Same => {
                    self.counts.duplicates += 1;
                    return;
                }
                Order::Earlier => {
                    let later_ns = conn.start_ns;
                    return self.tell_replaced::<A>(later_ns, now_ns, entry, out);
                }
                Order::Later => self.replace(table, slot, at.unwrap_or(now_ns), out),
            }
        }
        if self.is_wanted(entry) {
            let mut conn = Conn::new(entry);
            conn.start_ns = at.unwrap_or(now_ns);
            conn.flags.set(Flags::HAS_START, at.is_some());
            let sure = self.sure();
            self.begin(table, conn, entry.labels, sure, out);
        }
    }

    /// The kernel tells of an ended connection.
    fn ended<A: Width>(
        &mut self,
        table: &mut Table<A>,
        now_ns: u64,
        entry: &Entry,
        out: &mut Out<'_>,
    ) {
        let start = entry.start_ns.unwrap_or(0);
        let hash = key_hash::<u128>(entry);
        let mut known = table.find(entry);
        if let Some(conn) = known.and_then(|slot| table.get(slot))
            && let Some(slot) = known
        {
            match order_of(conn, entry) {
                Order::Same => {}
                Order::Later => {
                    self.replace(table, slot, start, out);
                    known = None;
                }
                Order::Earlier => known = None,
            }
        }
        let sure = self.sure();
        let Some(mut conn) = known.and_then(|slot| self.take(table, slot)) else {
            if self.notes.has(hash, start) {
                self.counts.duplicates += 1;
            } else if self.untracked > 0 {
                self.untracked -= 1;
                self.end_untold(Conn::<A>::new(entry), now_ns, entry, sure, out);
            } else if self.is_wanted(entry) {
                self.begin_late(&Conn::<A>::new(entry), now_ns, entry, sure, out);
                self.end_untold(Conn::<A>::new(entry), now_ns, entry, sure, out);
            }
            self.note_if_dumping(hash, start);
            return;
        };
        conn.learn(entry);
        self.note_if_dumping(hash, conn.start_ns);
        self.end(&conn, now_ns, entry, sure, out);
    }

    /// A dump has the connection.
    fn seen<A: Width>(
        &mut self,
        table: &mut Table<A>,
        now_ns: u64,
        entry: &Entry,
        out: &mut Out<'_>,
    ) {
        if entry.status.has(Status::DYING) {
            self.counts.stale += 1;
            return;
        }
        if let Some(slot) = table.find(entry)
            && let Some(conn) = table.get_mut(slot)
        {
            match order_of(conn, entry) {
                Order::Same => return self.seen_again(conn, now_ns, entry, out),
                Order::Earlier => {
                    let later_ns = conn.start_ns;
                    return self.tell_replaced::<A>(later_ns, now_ns, entry, out);
                }
                Order::Later => self.replace(table, slot, entry.start_ns.unwrap_or(now_ns), out),
            }
        } else if self.notes.has(key_hash::<u128>(entry), entry.start_ns.unwrap_or(0)) {
            self.counts.stale += 1;
            return;
        }
        if !self.is_wanted(entry) {
            return;
        }
        let mut conn = Conn::new(entry);
        conn.start_ns = entry.start_ns.unwrap_or(now_ns);
        conn.flags.set(Flags::HAS_START, entry.start_ns.is_some());
        conn.flags.set(Flags::FROM_DUMP, true);
        if self.tracked >= self.config.max_connections {
            // Told already or not: its end will tell.
        } else if self.untracked > 0 {
            self.untracked -= 1;
            self.keep(table, conn);
        } else {
            self.counts.resync_begins += 1;
            self.begin(table, conn, entry.labels, Sure::Resync, out);
        }
    }

    /// A message speaks of a connection whose place a later one has taken since. If it was never
    /// heard of, which the note of its end would tell, this is all that is known of it.
    fn tell_replaced<A: Width>(
        &mut self,
        later_ns: u64,
        now_ns: u64,
        entry: &Entry,
        out: &mut Out<'_>,
    ) {
        let start = entry.start_ns.or(entry.event_ns).unwrap_or(0);
        let is_noted = self.notes.has(key_hash::<u128>(entry), start);
        if is_noted || self.untracked > 0 || !self.is_wanted(entry) {
            self.counts.stale += 1;
            return;
        }
        let mut conn = Conn::<A>::new(entry);
        set_start(&mut conn, now_ns, entry);
        self.begin_late(&conn, now_ns, entry, Sure::Resync, out);
        self.counts.replaced += 1;
        self.end_unseen(&conn, later_ns, Cause::Replaced, out);
    }

    /// A dump has a connection that is known: interim records come from here.
    fn seen_again<A: Width>(
        &mut self,
        conn: &mut Conn<A>,
        now_ns: u64,
        entry: &Entry,
        out: &mut Out<'_>,
    ) {
        conn.dump = self.dump;
        conn.flags.set(Flags::SUSPECT, false);
        if let Some(start) = entry.start_ns.filter(|_| !conn.flags.has(Flags::HAS_START)) {
            conn.start_ns = start;
            conn.flags.set(Flags::HAS_START, true);
        }
        conn.learn(entry);
        let age = now_ns.saturating_sub(conn.told_ns.max(conn.start_ns));
        if self.config.active_ns == 0 || age < self.config.active_ns || conn.known == conn.told {
            return;
        }
        let mut session = session(conn, Cause::Active, self.sure());
        (session.until_ns, session.held_ns) = (now_ns, now_ns);
        session.labels = entry.labels;
        conn.told = conn.known;
        conn.told_ns = now_ns;
        self.counts.interims += 1;
        out(&Outcome::Interim(session));
    }

    fn begin<A: Width>(
        &mut self,
        table: &mut Table<A>,
        conn: Conn<A>,
        labels: u128,
        sure: Sure,
        out: &mut Out<'_>,
    ) {
        let mut session = session(&conn, Cause::Begun, sure);
        session.labels = labels;
        (session.counters, session.totals) = Default::default();
        self.counts.begins += 1;
        if self.tracked < self.config.max_connections {
            self.keep(table, conn);
        } else {
            self.counts.untracked += 1;
            self.untracked += 1;
        }
        out(&Outcome::Begin(session));
    }

    /// Tells the begin of a connection that is heard of for the first time when it ends.
    fn begin_late<A: Width>(
        &mut self,
        conn: &Conn<A>,
        now_ns: u64,
        entry: &Entry,
        sure: Sure,
        out: &mut Out<'_>,
    ) {
        let mut conn = *conn;
        set_start(&mut conn, now_ns, entry);
        let mut session = session(&conn, Cause::Begun, sure);
        session.labels = entry.labels;
        (session.counters, session.totals) = Default::default();
        self.counts.begins += 1;
        self.counts.late_begins += 1;
        out(&Outcome::Begin(session));
    }

    /// Tells the end of a connection that is not kept.
    fn end_untold<A: Width>(
        &mut self,
        mut conn: Conn<A>,
        now_ns: u64,
        entry: &Entry,
        sure: Sure,
        out: &mut Out<'_>,
    ) {
        set_start(&mut conn, now_ns, entry);
        self.end(&conn, now_ns, entry, sure, out);
    }

    /// Tells an end of which the kernel has told.
    fn end<A: Width>(
        &mut self,
        conn: &Conn<A>,
        now_ns: u64,
        entry: &Entry,
        sure: Sure,
        out: &mut Out<'_>,
    ) {
        let event = entry.event_ns.unwrap_or(now_ns);
        let held = entry.stop_ns.unwrap_or(event);
        let is_overdue = event.saturating_sub(held) >= OVERDUE_NS;
        let is_idle = entry.timeout.unwrap_or(0) == 0 && (is_overdue || entry.portid == 0);
        let cause = match (is_idle, entry.portid) {
            (true, _) => Cause::Idle,
            (false, 0) => Cause::Closed,
            (false, _) => Cause::Deleted,
        };
        let mut session = session(conn, cause, sure);
        if !conn.flags.has(Flags::HAS_START)
            && let Some(start) = entry.start_ns
        {
            session.start_ns = start;
            session.from_ns = start.max(conn.told_ns);
            session.has_start = true;
        }
        session.labels = entry.labels;
        // A dump is read a moment after it was made.
        session.from_ns = session.from_ns.min(held).max(session.start_ns);
        session.held_ns = held.max(session.start_ns);
        session.until_ns = session.held_ns;
        if is_idle {
            let waited = u64::from(self.config.timeouts.of(entry)) * SECOND;
            session.until_ns = held.saturating_sub(waited).max(session.from_ns);
            session.is_estimated = true;
        }
        self.counts.ends += 1;
        out(&Outcome::End(session));
    }

    /// Ends a connection of whose end the kernel did not tell, at `held_ns` at the latest.
    fn end_unseen<A: Width>(
        &mut self,
        conn: &Conn<A>,
        held_ns: u64,
        cause: Cause,
        out: &mut Out<'_>,
    ) {
        let mut session = session(conn, cause, Sure::Resync);
        session.held_ns = held_ns.max(session.from_ns);
        session.until_ns = session.held_ns;
        session.is_estimated = true;
        self.note(key_hash::<u128>(&conn.entry()), conn.start_ns);
        self.counts.ends += 1;
        out(&Outcome::End(session));
    }

    /// A later connection has the key of the one in `slot`.
    fn replace<A: Width>(
        &mut self,
        table: &mut Table<A>,
        slot: u32,
        at_ns: u64,
        out: &mut Out<'_>,
    ) {
        if let Some(conn) = self.take(table, slot) {
            self.counts.replaced += 1;
            self.end_unseen(&conn, at_ns, Cause::Replaced, out);
        }
    }

    /// Ends what two dumps lacked, and suspects what this one lacks.
    pub(crate) fn sweep_missing<A: Width>(&mut self, table: &mut Table<A>, out: &mut Out<'_>) {
        for slot in 0..table.slots() {
            let Some(conn) = table.live(slot).filter(|c| c.dump != self.dump) else { continue };
            if !conn.flags.has(Flags::SUSPECT) {
                if let Some(conn) = table.get_mut(slot) {
                    conn.flags.set(Flags::SUSPECT, true);
                }
                self.suspects += 1;
            } else if let Some(conn) = self.take(table, slot) {
                self.counts.resync_ends += 1;
                self.end_unseen(&conn, self.suspect_ns, Cause::Missing, out);
            }
        }
    }

    pub(crate) fn sweep_old<A: Width>(
        &mut self,
        table: &mut Table<A>,
        now_ns: u64,
        out: &mut Out<'_>,
    ) {
        for slot in 0..table.slots() {
            let Some(conn) = table.live(slot) else { continue };
            let heard = conn.told_ns.max(conn.start_ns);
            if now_ns.saturating_sub(heard) > self.config.ttl_ns
                && let Some(conn) = self.take(table, slot)
            {
                self.counts.forgotten += 1;
                self.end_unseen(&conn, now_ns, Cause::Forgotten, out);
            }
        }
    }

    /// Only while the table cannot be looked at, and a scan only now and then.
    pub(crate) fn forgetting_is_due(&mut self, now_ns: u64) -> bool {
        let ttl = self.config.ttl_ns;
        let is_blind = self.dump_whole_ns.is_none_or(|t| now_ns.saturating_sub(t) > ttl);
        let is_due = ttl > 0 && is_blind && now_ns.saturating_sub(self.swept_ns) > ttl / 16;
        if is_due {
            self.swept_ns = now_ns;
        }
        is_due
    }

    pub(crate) fn overrun(&mut self, now_ns: u64) {
        self.counts.overruns += 1;
        self.is_dump_wanted = true;
        self.gap_dump = self.dump;
        let from_ns = if self.heard_ns == 0 { now_ns } else { self.heard_ns.min(now_ns) };
        let gap = self.gap.get_or_insert(Gap { from_ns, to_ns: now_ns, overruns: 0 });
        gap.to_ns = now_ns;
        gap.overruns += 1;
    }

    pub(crate) fn next_dump_ns(&self) -> Option<u64> {
        if self.is_dumping {
            return None;
        }
        let Some(ended) = self.dump_ended_ns else { return Some(0) };
        let wait = match (self.is_dump_wanted, self.config.dump_every_ns) {
            (true, _) => 0,
            (false, 0) => return None,
            (false, every) => every,
        };
        Some(ended.saturating_add(wait.max(self.config.dump_pause_ns)))
    }

    pub(crate) const fn dump_begin(&mut self, now_ns: u64) {
        self.dump_began_ns = now_ns;
        self.dump = self.dump.wrapping_add(1);
        self.is_dumping = true;
        self.counts.dumps += 1;
    }

    pub(crate) fn dump_end(&mut self, now_ns: u64, out: &mut Out<'_>) {
        self.is_dumping = false;
        self.dump_ended_ns = Some(now_ns);
        self.dump_whole_ns = Some(now_ns);
        self.suspect_ns = now_ns;
        self.is_dump_wanted = false;
        let Some(gap) = self.gap else { return };
        self.is_dump_wanted = true;
        if self.dump != self.gap_dump {
            self.gap = None;
            self.counts.gaps += 1;
            // What it lacks is not to wait for the next regular dump.
            self.is_dump_wanted = self.suspects > 0;
            out(&Outcome::Degraded(Gap { to_ns: now_ns, ..gap }));
        }
    }

    pub(crate) const fn dump_abandon(&mut self, now_ns: u64) {
        if self.is_dumping {
            self.is_dumping = false;
            self.is_dump_wanted = true;
            self.dump_ended_ns = Some(now_ns);
            self.counts.dumps_failed += 1;
        }
    }

    const fn sure(&self) -> Sure {
        if self.gap.is_some() { Sure::Degraded } else { Sure::Exact }
    }

    fn is_wanted(&mut self, entry: &Entry) -> bool {
        let counts = &mut self.counts;
        let counter = match self.config.filter.rejects(entry) {
            None => return true,
            Some(Unwanted::NotTranslated) => &mut counts.not_translated,
            Some(Unwanted::Protocol) => &mut counts.other_protocol,
            Some(Unwanted::Network) => &mut counts.other_network,
            Some(Unwanted::Zone) => &mut counts.other_zone,
            Some(Unwanted::Mark) => &mut counts.other_mark,
            Some(Unwanted::Local) => &mut counts.local,
        };
        *counter += 1;
        false
    }

    fn keep<A: Width>(&mut self, table: &mut Table<A>, mut conn: Conn<A>) {
        conn.dump = self.dump;
        self.tracked += 1;
        table.insert(conn);
    }

    fn take<A: Width>(&mut self, table: &mut Table<A>, slot: u32) -> Option<Conn<A>> {
        let conn = table.remove(slot)?;
        self.tracked -= 1;
        Some(conn)
    }

    fn note_if_dumping(&mut self, hash: u64, start_ns: u64) {
        if self.is_dumping {
            self.note(hash, start_ns);
        }
    }

    fn note(&mut self, hash: u64, start_ns: u64) {
        self.counts.notes_dropped += u64::from(!self.notes.add(hash, start_ns));
    }

    pub(crate) fn open<A: Width>(
        &self,
        table: &Table<A>,
        now_ns: u64,
        each: &mut dyn FnMut(&Session),
    ) {
        for conn in (0..table.slots()).filter_map(|slot| table.live(slot)) {
            let mut session = session(conn, Cause::Active, self.sure());
            (session.until_ns, session.held_ns) = (now_ns, now_ns);
            each(&session);
        }
    }
}

/// Which of two connections with the same key came first.
enum Order {
    Same,
    /// The entry is of a later one than the known.
    Later,
    /// The entry is of an earlier one than the known.
    Earlier,
}

/// By the kernel's start. What has none is taken for the same.
fn order<A: Width>(conn: &Conn<A>, start_ns: u64) -> Order {
    if !conn.flags.has(Flags::HAS_START) || start_ns.abs_diff(conn.start_ns) <= SLACK_NS {
        Order::Same
    } else if start_ns > conn.start_ns {
        Order::Later
    } else {
        Order::Earlier
    }
}

/// The same for messages that may lack the start.
fn order_of<A: Width>(conn: &Conn<A>, entry: &Entry) -> Order {
    entry.start_ns.map_or(Order::Same, |start| order(conn, start))
}

/// The start of a connection that is heard of too late, or only at its end.
fn set_start<A: Width>(conn: &mut Conn<A>, now_ns: u64, entry: &Entry) {
    let known = entry.start_ns;
    conn.start_ns = known.or(entry.stop_ns).or(entry.event_ns).unwrap_or(now_ns);
    conn.flags.set(Flags::HAS_START, known.is_some());
}

/// A connection as it stands; all times are those of the start or the last record.
fn session<A: Width>(conn: &Conn<A>, cause: Cause, sure: Sure) -> Session {
    let entry = conn.entry();
    let from_ns = conn.start_ns.max(conn.told_ns);
    let [a, b] = conn.known;
    let [c, d] = conn.told;
    Session {
        translation: Translation::of(&entry),
        proto: entry.orig.proto,
        reply_icmp: if is_icmp(entry.orig.proto) { entry.reply.dst_port } else { 0 },
        id: conn.id,
        zone: conn.zone,
        mark: conn.mark,
        labels: 0,
        status: conn.status,
        state: conn.state,
        start_ns: conn.start_ns,
        has_start: conn.flags.has(Flags::HAS_START),
        from_ns,
        until_ns: from_ns,
        held_ns: from_ns,
        is_estimated: false,
        counters: [a.since(c), b.since(d)],
        totals: conn.known,
        has_counters: conn.flags.has(Flags::COUNTED),
        sure,
        cause,
    }
}

/// Connections that ended while a dump was read or whose end was worked out: what the kernel says
/// of them afterwards is not news. Kept until the end of the dump after the next.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    new: HashMap<u64, u64>,
    old: HashMap<u64, u64>,
}

impl Notes {
    /// Notes of one age, at most: some 10 MB.
    const MAX: usize = 1 << 18;

    /// Returns whether there was room.
    fn add(&mut self, hash: u64, start_ns: u64) -> bool {
        let has_room = self.new.len() < Self::MAX;
        if has_room {
            self.new.insert(hash, start_ns);
        }
        has_room
    }

    /// Whether this very connection has ended. A start of 0 is unknown and fits any.
    fn has(&self, hash: u64, start_ns: u64) -> bool {
        let is_same =
            |noted: &u64| *noted == 0 || start_ns == 0 || noted.abs_diff(start_ns) <= SLACK_NS;
        self.new.get(&hash).is_some_and(is_same) || self.old.get(&hash).is_some_and(is_same)
    }

    pub(crate) fn rotate(&mut self) {
        self.old = std::mem::take(&mut self.new);
    }
}
