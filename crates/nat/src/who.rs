//! Who had a public address and port at a moment, from stored records.
//!
//! Rows are given one after the other, in the order of the files; those that speak of the address
//! and port are kept, and [`Search::finish`] puts them together. Understood are:
//!
//! * NAT events with begin and end (1 and 2, 4 to 11), NSEL events (1, 5, 2);
//! * flows with translated addresses, interim records included;
//! * nfflowd's triplets, by flows beside each other with the same times;
//! * port blocks (16, 17) and address bindings (14, 15);
//! * flows without translation: the address itself;
//! * times of loss, as [`crate::records`] writes them.
//!
//! One connection may be told by several of them: they become one [`Holder`].

use crate::entry::is_icmp;
use crate::outcome::Sure;
use crate::records::{END_ACTIVE, END_DEGRADED, END_RESYNC};
use crate::translate::Endpoint;
use record::{Addr, Field, Row};
use std::collections::VecDeque;

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct Question {
    /// The public address.
    pub addr: Addr,
    /// Its port; the echo id for ICMP. `None` for any.
    pub port: Option<u16>,
    /// IP protocol, `None` for any.
    pub proto: Option<u8>,
    /// When, milliseconds since 1970.
    pub at_ms: u64,
    /// How far the clocks of the asker and of the translator may be apart, milliseconds.
    pub slack_ms: u64,
}

/// From which records a [`Holder`] is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Evidence {
    /// Begin and end of a translation.
    Event,
    /// A flow with translated addresses.
    Flow,
    /// Flows before and after translation beside each other.
    Triplet,
    /// A block of ports, or an address, that was given to one inside address.
    Block,
    /// A flow of the address itself: no translation.
    Direct,
}

/// Who had it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Inside address and port; port 0 where the record has none (blocks, ICMP).
    pub inside: Endpoint,
    /// The public address and port; port 0 for blocks and bindings.
    pub public: Endpoint,
    /// The other end of the connection, where records tell it.
    pub peer: Option<Endpoint>,
    /// IP protocol; 0 where records do not tell it.
    pub proto: u8,
    /// Whether the public address was the destination: a port forward.
    pub is_forward: bool,
    /// Since when, milliseconds since 1970; `None` if no record tells.
    pub from_ms: Option<u64>,
    /// Until when; `None` if no record tells: still open, or its end is not in these records.
    pub to_ms: Option<u64>,
    /// Octets from and to the initiator, where records count them.
    pub octets: Option<[u64; 2]>,
    /// The weakest of its records.
    pub sure: Sure,
    /// The best of its records.
    pub evidence: Evidence,
    /// Milliseconds that the moment asked for lies outside: 0 within, at most the slack.
    pub off_ms: u64,
}

/// The answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Who had it then; those that fit best come first.
    pub holders: Vec<Holder>,
    /// Times of loss that touch the moment: others may have had it, too.
    pub gaps: Vec<(u64, u64)>,
    /// Rows that spoke of the address and port.
    pub matched: u64,
    /// Of them, dropped because there were too many.
    pub dropped: u64,
}

impl Answer {
    /// How sure the answer as a whole is.
    pub fn sure(&self) -> Sure {
        let weakest = self.holders.iter().map(|h| h.sure).max().unwrap_or(Sure::Exact);
        if self.gaps.is_empty() { weakest } else { weakest.max(Sure::Degraded) }
    }
}

/// Collects what rows say.
#[derive(Debug)]
pub struct Search {
    question: Question,
    pieces: Vec<Piece>,
    gaps: Vec<(u64, u64)>,
    /// Flows without translation that came last: parts of a triplet.
    recent: VecDeque<Plain>,
    matched: u64,
    dropped: u64,
}

/// Pieces to keep at most: some 40 MB.
const MAX_PIECES: usize = 1 << 18;
const MAX_GAPS: usize = 1 << 12;
/// Flows between the parts of a triplet, at most.
const MAX_RECENT: usize = 16;
/// Two times of one event differ by less: seconds in one record, milliseconds in another.
const SAME_MS: u64 = 1000;

/// What tells connections apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    inside: Endpoint,
    public: Endpoint,
    peer: Option<Endpoint>,
    proto: u8,
    is_forward: bool,
}

/// What one row says of one connection.
#[derive(Clone, Copy, Debug)]
struct Piece {
    key: Key,
    at_ms: u64,
    what: What,
    sure: Sure,
    evidence: Evidence,
    octets: Option<[u64; 2]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    /// It began at `at_ms`.
    Begin,
    /// It ended at `at_ms`; when it began, if told.
    End(Option<u64>),
    /// It was there from then to `at_ms`; whether it went on.
    Span(u64, bool),
}

/// A flow without translation.
#[derive(Clone, Copy, Debug)]
struct Plain {
    src: Endpoint,
    dst: Endpoint,
    proto: u8,
    times: (u64, u64),
    octets: u64,
    sure: Sure,
}

impl Search {
    /// A search that has seen no row.
    pub fn new(question: Question) -> Self {
        let (pieces, gaps) = (Vec::new(), Vec::new());
        Self { question, pieces, gaps, recent: VecDeque::new(), matched: 0, dropped: 0 }
    }

    /// An expression of the filter language for the rows that may speak of the address, for a scan
    /// that leaves the others out. It misses the inside half of triplets: where translations are
    /// only known from them, all rows are needed. Times of loss it lets through.
    pub fn filter(question: &Question) -> String {
        let addr = question.addr;
        format!("ip {addr} or nat ip {addr} or (packets 0 and bytes 0 and proto 0)")
    }

    /// Looks at one row.
    pub fn row(&mut self, row: Row<'_>) {
        if let Some(gap) = gap(&row) {
            let at = self.question.at_ms;
            let slack = self.question.slack_ms;
            if gap.0 <= at.saturating_add(slack) && gap.1.saturating_add(slack) >= at {
                if self.gaps.len() < MAX_GAPS {
                    self.gaps.push(gap);
                } else {
                    self.dropped += 1;
                }
            }
            return;
        }
        let Some(src) = row.addr(Field::SrcAddr) else { return };
        let proto = row.number(Field::Proto) as u8;
        if self.question.proto.is_some_and(|p| p != proto && proto != 0) {
            return;
        }
        let event = row.number(Field::NatEvent);
        let src = Endpoint::new(src, port(&row, Field::SrcPort));
        if (14..=17).contains(&event)
            || row.has(Field::PblockStart) && row.number(Field::PblockEnd) > 0
        {
            self.block(&row, src);
        } else if row.has(Field::XlateSrcAddr) || row.has(Field::XlateDstAddr) {
            self.translated(&row, src, proto);
        } else if !is_event(&row) {
            self.plain(&row, src, proto);
        }
    }

    /// A row with addresses after translation.
    fn translated(&mut self, row: &Row<'_>, src: Endpoint, proto: u8) {
        let dst = row.addr(Field::DstAddr).map(|a| Endpoint::new(a, port(row, Field::DstPort)));
        let after = |addr, p, before: Option<Endpoint>| {
            // Elements that were not sent read as 0.
            let addr = row
                .addr(addr)
                .filter(|a| !a.is_unspecified())
                .or_else(|| before.map(|b| b.addr))?;
            let port = row.u64(p).map_or_else(|| before.map_or(0, |b| b.port), |p| p as u16);
            Some(Endpoint::new(addr, port))
        };
        let xlate_src = after(Field::XlateSrcAddr, Field::XlateSrcPort, Some(src));
        let xlate_dst = after(Field::XlateDstAddr, Field::XlateDstPort, dst);
        // What stands there for ICMP is type and code, which the answers have of their own.
        let is_icmp = is_icmp(proto);
        let plain = |e: Endpoint| if is_icmp { Endpoint::new(e.addr, 0) } else { e };
        let peer = |e: Option<Endpoint>| e.filter(|d| !d.addr.is_unspecified()).map(plain);
        let key =
            |inside, public, peer, is_forward| Key { inside, public, peer, proto, is_forward };
        if let Some(public) = xlate_src.filter(|x| *x != src) {
            if self.is_asked(public) {
                self.connection(row, key(src, public, peer(dst), false), false);
            } else if self.is_asked(src) && !is_icmp {
                // The answers of a forwarded port, as a flow of their own.
                self.connection(row, key(public, src, peer(dst), true), true);
            }
        }
        if let (Some(dst), Some(after)) = (dst, xlate_dst)
            && (dst.addr != after.addr || dst != after && !is_icmp)
        {
            if self.is_asked(dst) && !is_icmp {
                self.connection(row, key(after, dst, Some(src), true), false);
            } else if self.is_asked(after) {
                // The answers to a translated source: here the destination before translation.
                self.connection(row, key(plain(dst), after, peer(Some(src)), false), true);
            }
        }
    }

    /// A row that speaks of the connection `key`; `is_answer` if its source is the responder.
    fn connection(&mut self, row: &Row<'_>, key: Key, is_answer: bool) {
        let (first, last) = (row.number(Field::First), row.number(Field::Last));
        let nat_time = row.u64(Field::NatEventTime).filter(|t| *t != 0);
        let fw_time = row.u64(Field::FwEventTime).filter(|t| *t != 0);
        let mut counted = [Field::Bytes, Field::OutBytes].map(|f| row.u64(f));
        if is_answer {
            counted.reverse();
        }
        let octets = counted.iter().any(|c| c.is_some_and(|n| n > 0));
        let octets = octets.then_some(counted.map(|c| c.unwrap_or(0)));
        let goes_on = row.number(Field::EndReason) == END_ACTIVE;
        let span = (What::Span(first, goes_on), last);
        let (what, at_ms) = match (row.number(Field::NatEvent), row.number(Field::FwEvent)) {
            (1 | 4 | 6 | 8 | 10, _) | (0, 1) => {
                (What::Begin, nat_time.or(fw_time).unwrap_or(first))
            }
            (2 | 5 | 7 | 9 | 11, _) | (0, 2) => {
                let at = nat_time.or(fw_time).unwrap_or(last);
                (What::End((first != 0 && first < at).then_some(first)), at)
            }
            (0, 5) => (What::Span(first, true), fw_time.unwrap_or(last)),
            // Denied connections and alerts had no translation.
            (0, 0) => span,
            _ => return,
        };
        let evidence = if is_event(row) { Evidence::Event } else { Evidence::Flow };
        self.add(Piece { key, at_ms, what, sure: sure(row), evidence, octets });
    }

    /// A block of ports or an address for one inside address.
    fn block(&mut self, row: &Row<'_>, src: Endpoint) {
        let Some(addr) = row.addr(Field::XlateSrcAddr) else { return };
        let [start, end, step, size] =
            [Field::PblockStart, Field::PblockEnd, Field::PblockStep, Field::PblockSize]
                .map(|f| row.number(f));
        let step = step.max(1);
        let end = if end == 0 { start + step * size.saturating_sub(1) } else { end };
        let event = row.number(Field::NatEvent);
        let is_whole = matches!(event, 14 | 15);
        let is_in = self.question.port.is_none_or(|p| {
            let p = u64::from(p);
            is_whole || (start..=end).contains(&p) && (p - start).is_multiple_of(step)
        });
        if addr != self.question.addr || !is_in {
            return;
        }
        let public = Endpoint::new(addr, if is_whole { 0 } else { start as u16 });
        let inside = Endpoint::new(src.addr, 0);
        let key = Key { inside, public, peer: None, proto: 0, is_forward: false };
        let at = row.u64(Field::NatEventTime).filter(|t| *t != 0);
        let at_ms = at.unwrap_or_else(|| row.number(Field::First));
        let first = row.number(Field::First);
        let what = match event {
            15 | 17 => What::End((first != 0 && first < at_ms).then_some(first)),
            _ => What::Begin,
        };
        self.add(Piece {
            key,
            at_ms,
            what,
            sure: sure(row),
            evidence: Evidence::Block,
            octets: None,
        });
    }

    /// A flow without translation: one of a triplet, or one of the address itself.
    fn plain(&mut self, row: &Row<'_>, src: Endpoint, proto: u8) {
        let Some(dst) = row.addr(Field::DstAddr) else { return };
        let dst = Endpoint::new(dst, port(row, Field::DstPort));
        let times = (row.number(Field::First), row.number(Field::Last));
        let octets = row.number(Field::Bytes);
        let flow = Plain { src, dst, proto, times, octets, sure: sure(row) };
        // Parts of a triplet have one direction each.
        let is_part = row.number(Field::BiflowDir) == 0 && row.number(Field::OutPackets) == 0;
        if !(is_part && self.complete(&flow)) && self.is_asked(src) {
            // A flow from the address itself.
            let key = key_of(src, src, dst, &flow, false);
            self.add(Piece { evidence: Evidence::Direct, ..triplet(key, &flow, &flow) });
        }
        if !is_part {
            return;
        }
        if self.recent.len() == MAX_RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(flow);
    }

    /// Whether `flow` belongs to a triplet of which another part came before.
    fn complete(&mut self, flow: &Plain) -> bool {
        let mate = |other: &&Plain| other.proto == flow.proto && other.times == flow.times;
        let mates = || self.recent.iter().rev().filter(mate);
        // After translation of the source: the one before it has the same destination. Of the
        // destination: the same source. What is translated has the same octets, or none so that
        // totals are right; others are two connections of the same moment.
        let is_same = |o: &&Plain| flow.octets == o.octets || flow.octets == 0;
        let source = mates().filter(is_same).find(|o| o.dst == flow.dst && o.src != flow.src);
        let source = source.copied();
        let forward = mates().filter(is_same).find(|o| o.src == flow.src && o.dst != flow.dst);
        let forward = forward.copied();
        if let Some(before) = source.filter(|_| self.is_asked(flow.src)) {
            let key = key_of(before.src, flow.src, flow.dst, flow, false);
            self.add(triplet(key, &before, flow));
            return true;
        }
        if let Some(before) = forward.filter(|o| self.is_asked(o.dst)) {
            let key = key_of(flow.dst, before.dst, flow.src, flow, true);
            self.add(triplet(key, &before, flow));
            return true;
        }
        // The answers: their octets belong to the piece of the other parts.
        let answered = mates().find(|o| o.dst == flow.src && o.src == flow.dst).copied();
        let Some(sent) = answered else {
            return false;
        };
        let is_triplet = |p: &&mut Piece| {
            p.evidence == Evidence::Triplet
                && p.at_ms == flow.times.1
                && [Some(sent.src), Some(sent.dst)].contains(&p.key.peer)
        };
        let Some(piece) = self.pieces.iter_mut().rev().take(MAX_RECENT).find(is_triplet) else {
            return false;
        };
        if let Some([_, answered]) = &mut piece.octets {
            *answered = flow.octets;
        }
        true
    }

    fn is_asked(&self, end: Endpoint) -> bool {
        end.addr == self.question.addr && self.question.port.is_none_or(|p| p == end.port)
    }

    fn add(&mut self, piece: Piece) {
        self.matched += 1;
        if self.pieces.len() < MAX_PIECES {
            self.pieces.push(piece);
        } else {
            self.dropped += 1;
        }
    }

    /// Puts together what was said.
    pub fn finish(mut self) -> Answer {
        // Rows of one moment stay in the order of the file.
        self.pieces.sort_by_key(|p| (p.key, p.at_ms));
        let mut holders = Vec::new();
        for pieces in self.pieces.chunk_by(|a, b| a.key == b.key) {
            holders.extend(lives(pieces));
        }
        end_reused(&mut holders);
        holders.retain_mut(|h| self.question.fits(h));
        holders.sort_by_key(|h| (h.off_ms, h.evidence, h.sure, h.from_ms));
        self.gaps.sort_unstable();
        self.gaps.dedup();
        Answer { holders, gaps: self.gaps, matched: self.matched, dropped: self.dropped }
    }
}

impl Question {
    /// Whether the holder had it at the moment, or almost; says by how much not.
    fn fits(&self, holder: &mut Holder) -> bool {
        let early = holder.from_ms.unwrap_or(0).saturating_sub(self.at_ms);
        let late = self.at_ms.saturating_sub(holder.to_ms.unwrap_or(u64::MAX));
        holder.off_ms = early.max(late);
        holder.off_ms <= self.slack_ms
    }
}

/// Ends those without an end where another one had the same place later: towards one peer, a public
/// port serves one connection at a time.
fn end_reused(holders: &mut [Holder]) {
    holders.sort_by_key(|h| (h.public, h.peer, h.proto, h.is_forward, h.from_ms));
    for at in 1..holders.len() {
        let Some([before, after]) = holders.get_mut(at - 1..=at) else { continue };
        let is_same_place = (before.public, before.peer, before.proto, before.is_forward)
            == (after.public, after.peer, after.proto, after.is_forward);
        if is_same_place && before.to_ms.is_none() {
            before.to_ms = after.from_ms;
            before.sure = before.sure.max(Sure::Degraded);
        }
    }
}

/// One use of an address and port, while it is put together.
struct Life {
    holder: Holder,
    /// Of flows; events may count the same again.
    flows: Option<[u64; 2]>,
    events: Option<[u64; 2]>,
    /// Whether an event told the end.
    is_ended: bool,
}

/// The lives that pieces of one key tell, in the order of time.
fn lives(pieces: &[Piece]) -> Vec<Holder> {
    let mut lives: Vec<Life> = Vec::new();
    for piece in pieces {
        let is_taken = lives.last_mut().is_some_and(|life| life.take(piece));
        if !is_taken {
            lives.push(Life::new(piece));
        }
    }
    let finish = |life: Life| Holder { octets: life.flows.or(life.events), ..life.holder };
    lives.into_iter().map(finish).collect()
}

impl Life {
    fn new(piece: &Piece) -> Self {
        let (from_ms, to_ms) = match piece.what {
            What::Begin => (Some(piece.at_ms), None),
            What::End(first) => (first, Some(piece.at_ms)),
            What::Span(first, goes_on) => (Some(first), (!goes_on).then_some(piece.at_ms)),
        };
        let Key { inside, public, peer, proto, is_forward } = piece.key;
        // Whether it had it before is not told: somebody else may have.
        let floor = if from_ms.is_none() { Sure::Degraded } else { Sure::Exact };
        let holder = Holder {
            inside,
            public,
            peer,
            proto,
            is_forward,
            from_ms,
            to_ms,
            octets: None,
            sure: piece.sure.max(floor),
            evidence: piece.evidence,
            off_ms: 0,
        };
        let is_ended = matches!(piece.what, What::End(_));
        let mut life = Self { holder, flows: None, events: None, is_ended };
        life.count(piece);
        life
    }

    /// Adds a piece that is of this life. Returns whether it is.
    fn take(&mut self, piece: &Piece) -> bool {
        let holder = &mut self.holder;
        let is_near = |a: Option<u64>, b: u64| a.is_some_and(|a| a.abs_diff(b) <= SAME_MS);
        let is_of = match piece.what {
            // Another begin is another life: `end_reused` ends this one.
            What::Begin => is_near(holder.from_ms, piece.at_ms),
            What::End(first) => {
                let is_same_start = first.is_none_or(|f| is_near(holder.from_ms, f));
                let is_of = is_same_start && !self.is_ended || is_near(holder.to_ms, piece.at_ms);
                if is_of {
                    holder.to_ms = holder.to_ms.max(Some(piece.at_ms));
                    self.is_ended = true;
                }
                is_of
            }
            What::Span(first, goes_on) => {
                let end = holder.to_ms.unwrap_or(u64::MAX).saturating_add(SAME_MS);
                let is_of = first <= end
                    && holder.from_ms.is_none_or(|from| first.saturating_add(SAME_MS) >= from);
                if is_of && !self.is_ended {
                    holder.to_ms = match (goes_on, piece.evidence) {
                        // An event is to tell the end.
                        _ if holder.evidence == Evidence::Event => None,
                        (true, _) => None,
                        (false, _) => Some(piece.at_ms),
                    };
                }
                is_of
            }
        };
        if is_of {
            self.holder.sure = self.holder.sure.max(piece.sure);
            self.holder.evidence = self.holder.evidence.min(piece.evidence);
            self.count(piece);
        }
        is_of
    }

    fn count(&mut self, piece: &Piece) {
        let Some([a, b]) = piece.octets else { return };
        let is_event = piece.evidence == Evidence::Event;
        let sum = if is_event { &mut self.events } else { &mut self.flows };
        let [c, d] = sum.get_or_insert_default();
        *c = c.saturating_add(a);
        *d = d.saturating_add(b);
    }
}

fn key_of(inside: Endpoint, public: Endpoint, peer: Endpoint, of: &Plain, is_forward: bool) -> Key {
    Key { inside, public, peer: Some(peer), proto: of.proto, is_forward }
}

/// A piece of the flows before and after translation.
fn triplet(key: Key, before: &Plain, after: &Plain) -> Piece {
    Piece {
        key,
        at_ms: before.times.1,
        what: What::Span(before.times.0, false),
        sure: before.sure.max(after.sure),
        evidence: Evidence::Triplet,
        octets: Some([before.octets, 0]),
    }
}

fn port(row: &Row<'_>, field: Field) -> u16 {
    row.number(field) as u16
}

fn is_event(row: &Row<'_>) -> bool {
    row.number(Field::NatEvent) != 0 || row.number(Field::FwEvent) != 0
}

fn sure(row: &Row<'_>) -> Sure {
    match row.number(Field::EndReason) {
        END_RESYNC => Sure::Resync,
        END_DEGRADED => Sure::Degraded,
        _ => Sure::Exact,
    }
}

/// A time of loss, as [`crate::records`] writes it.
fn gap(row: &Row<'_>) -> Option<(u64, u64)> {
    let is_gap = row.number(Field::EndReason) == END_DEGRADED
        && row.addr(Field::SrcAddr).is_none_or(Addr::is_unspecified)
        && row.addr(Field::DstAddr).is_none_or(Addr::is_unspecified)
        && [Field::Packets, Field::Bytes, Field::Proto].iter().all(|f| row.number(*f) == 0)
        && !is_event(row);
    is_gap.then(|| (row.number(Field::First), row.number(Field::Last)))
}
