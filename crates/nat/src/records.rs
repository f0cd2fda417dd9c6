//! Outcomes to flow records, in the kinds that collectors know.
//!
//! | Kind | Made at | For | Says |
//! |---|---|---|---|
//! | [`RecordKind::Triplet`] | end, interim | NetFlow v5, IPv4 | nfflowd's three flows: before translation, after it, the answers |
//! | [`RecordKind::Nel`] | begin, end | NetFlow v9 | Cisco's NAT event logging, events 1 and 2 |
//! | [`RecordKind::Nsel`] | begin, interim, end | NetFlow v9 | Cisco's firewall events 1, 5 and 2 with counters |
//! | [`RecordKind::Event`] | begin, end | IPFIX, files | NAT events of RFC 8158: 4 and 5, 6 and 7 for NAT64 |
//! | [`RecordKind::Biflow`] | end, interim | IPFIX, files | one flow with both directions and the translated addresses |
//! | [`RecordKind::Gap`] | after a loss | IPFIX, v9, files | a time in which connections may be missing |
//!
//! # How sure
//!
//! [`Field::EndReason`] (element 136, extension 4 of files) carries [`Sure`] wherever records go:
//!
//! | Value | Meaning in element 136 | Here |
//! |---|---|---|
//! | absent or 0 | | a begin that the kernel told |
//! | 1 | idle timeout | exact; the end of traffic is worked out from the timeout |
//! | 2 | active timeout | interim record |
//! | 3 | end of flow detected | exact |
//! | 4 | forced end | [`Sure::Resync`]: seen by comparing with the kernel's table |
//! | 5 | lack of resources | [`Sure::Degraded`]: exact, but messages of others were lost then |
//!
//! A [`RecordKind::Gap`] is a flow without addresses, protocol and counters, with value 5, from
//! the start of the loss to its end. nfdump prints the value in `-o raw` and JSON. In files,
//! records that are not exact also say so in [`Field::Label`] (extension 28).
//!
//! [`Field::FlowId`] is extension 39, which nfdump 1.7.1 skips with a warning: files for it are
//! written without.

use crate::outcome::{Cause, Gap, Outcome, Session, Sure};
use crate::translate::{NatKind, Translation};
use record::code::{Proto, record_flags};
use record::{Addr, Field, Flow};

/// A kind of record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RecordKind {
    /// nfflowd's three flows of NetFlow v5.
    Triplet,
    /// NAT event logging of NetFlow v9.
    Nel,
    /// Firewall events of NetFlow v9.
    Nsel,
    /// NAT events of RFC 8158.
    Event,
    /// A flow with both directions and the translation.
    Biflow,
    /// A time in which connections may be missing.
    Gap,
}

/// Which kinds of records are wanted. A [`RecordKind::Gap`] goes with any of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecordKinds(u8);

impl RecordKinds {
    /// None at all.
    pub const NONE: Self = Self(0);

    /// These and `kind`.
    #[must_use]
    pub const fn with(self, kind: RecordKind) -> Self {
        Self(self.0 | 1 << kind as u8)
    }

    /// Whether `kind` is wanted.
    pub const fn has(self, kind: RecordKind) -> bool {
        self.0 & 1 << kind as u8 != 0
    }
}

impl std::str::FromStr for RecordKinds {
    type Err = UnknownKind;

    /// Names with commas: `triplet` (or `v5`), `nel`, `nsel`, `events`, `biflow`.
    fn from_str(text: &str) -> Result<Self, UnknownKind> {
        let mut kinds = Self::NONE;
        for name in text.split(',').map(str::trim) {
            kinds = kinds.with(match name {
                "triplet" | "v5" => RecordKind::Triplet,
                "nel" => RecordKind::Nel,
                "nsel" => RecordKind::Nsel,
                "events" => RecordKind::Event,
                "biflow" => RecordKind::Biflow,
                _ => return Err(UnknownKind(name.to_owned())),
            });
        }
        Ok(kinds)
    }
}

/// A name that is no kind of record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no kind of record is called '{0}'; there are triplet, nel, nsel, events and biflow")]
pub struct UnknownKind(String);

/// How records are made.
#[derive(Clone, Copy, Debug)]
pub struct RecordConfig {
    /// Which kinds.
    pub kinds: RecordKinds,
    /// The second flow of a triplet has no packets and octets, so that totals are right.
    pub zero_second: bool,
    /// The end event of [`RecordKind::Event`] has the counters of the whole connection. Not to be
    /// used beside biflows in one file: totals would count twice.
    pub event_counters: bool,
    /// The mark is told as pool id (element 283) in events.
    pub mark_as_pool: bool,
}

impl Default for RecordConfig {
    /// Events and biflows.
    fn default() -> Self {
        Self {
            kinds: RecordKinds::NONE.with(RecordKind::Event).with(RecordKind::Biflow),
            zero_second: false,
            event_counters: false,
            mark_as_pool: true,
        }
    }
}

/// What [`Records`] counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecordCounts {
    /// Flows of triplets.
    pub triplet: u64,
    /// NEL events.
    pub nel: u64,
    /// NSEL events.
    pub nsel: u64,
    /// RFC 8158 events.
    pub event: u64,
    /// Biflows.
    pub biflow: u64,
    /// Gaps.
    pub gap: u64,
    /// Connections without a triplet because they are IPv6.
    pub triplet_v6: u64,
}

/// One record, and where it belongs.
#[derive(Clone, Copy, Debug)]
pub struct Made<'a> {
    /// Its kind.
    pub kind: RecordKind,
    /// The record. Exporter, engine and arrival are the caller's to add.
    pub flow: &'a Flow,
    /// First and last in nanoseconds since 1970, for exporters with a finer clock.
    pub times_ns: (u64, u64),
}

/// Makes records of outcomes.
#[derive(Debug)]
pub struct Records {
    config: RecordConfig,
    counts: RecordCounts,
    flow: Flow,
}

/// Takes one record.
type Each<'e> = dyn FnMut(Made<'_>) + 'e;

impl Records {
    /// Makes records as `config` says.
    pub fn new(config: RecordConfig) -> Self {
        Self { config, counts: RecordCounts::default(), flow: Flow::new() }
    }

    /// What was counted.
    pub const fn counts(&self) -> &RecordCounts {
        &self.counts
    }

    /// Calls `each` for the records of `outcome`, those of one kind one after the other.
    pub fn outcome(&mut self, outcome: &Outcome, each: &mut Each<'_>) {
        let kinds = self.config.kinds;
        match outcome {
            Outcome::Begin(session) => self.events(session, each),
            Outcome::Interim(session) => {
                self.flows(session, each);
                if kinds.has(RecordKind::Nsel) {
                    self.nsel(session, each);
                }
            }
            Outcome::End(session) => {
                self.flows(session, each);
                self.events(session, each);
            }
            Outcome::Degraded(gap) if kinds != RecordKinds::NONE => self.gap(gap, each),
            Outcome::Degraded(_) => {}
        }
    }

    fn events(&mut self, session: &Session, each: &mut Each<'_>) {
        for kind in [RecordKind::Event, RecordKind::Nel] {
            if self.config.kinds.has(kind) {
                self.nat_event(session, kind, each);
            }
        }
        if self.config.kinds.has(RecordKind::Nsel) {
            self.nsel(session, each);
        }
    }

    fn flows(&mut self, session: &Session, each: &mut Each<'_>) {
        if self.config.kinds.has(RecordKind::Biflow) {
            self.biflow(session, each);
        }
        if self.config.kinds.has(RecordKind::Triplet) {
            self.triplet(session, each);
        }
    }

    /// RFC 8158, section 5; the same without flow id and with Cisco's numbers for NEL.
    fn nat_event(&mut self, session: &Session, kind: RecordKind, each: &mut Each<'_>) {
        let (begins, is_nel) = (session.cause == Cause::Begun, kind == RecordKind::Nel);
        let event = match (is_nel, session.translation.kind()) {
            (true, _) => 1,
            (false, NatKind::Nat64) => 6,
            (false, _) => 4,
        };
        let flow = &mut self.flow;
        start(flow, session);
        translated(flow, session);
        flow.set(Field::NatEvent, event + u64::from(!begins));
        flow.set(Field::NatEventTime, ms(session.held_ns));
        flow.set(Field::RecordFlags, u64::from(record_flags::EVENT));
        let times_ns = (session.start_ns, session.until_ns);
        times(flow, times_ns);
        if self.config.mark_as_pool && session.mark != 0 {
            flow.set(Field::NatPool, u64::from(session.mark));
        }
        if !is_nel {
            flow.set(Field::FlowId, u64::from(session.id));
            if self.config.event_counters && !begins && session.has_counters {
                counters(flow, session.totals);
            }
        }
        // Plain NEL has no such element: there only if it says something.
        if !is_nel || session.sure != Sure::Exact {
            certainty(flow, session);
        }
        *if is_nel { &mut self.counts.nel } else { &mut self.counts.event } += 1;
        each(Made { kind, flow, times_ns });
    }

    /// Firewall events as of an ASA: 1 create, 5 update, 2 delete.
    fn nsel(&mut self, session: &Session, each: &mut Each<'_>) {
        let event = match session.cause {
            Cause::Begun => 1,
            Cause::Active => 5,
            _ => 2,
        };
        let flow = &mut self.flow;
        start(flow, session);
        translated(flow, session);
        flow.set(Field::FwEvent, event);
        flow.set(Field::FwXEvent, 0);
        flow.set(Field::FwEventTime, ms(session.held_ns));
        flow.set(Field::ConnId, u64::from(session.id));
        flow.set(Field::RecordFlags, u64::from(record_flags::EVENT));
        let times_ns = (session.from_ns, session.until_ns);
        times(flow, times_ns);
        if event != 1 && session.has_counters {
            counters(flow, session.counters);
        }
        if session.sure != Sure::Exact {
            certainty(flow, session);
        }
        self.counts.nsel += 1;
        each(Made { kind: RecordKind::Nsel, flow, times_ns });
    }

    /// RFC 5103: the initiator is the source, both directions in one record.
    fn biflow(&mut self, session: &Session, each: &mut Each<'_>) {
        let flow = &mut self.flow;
        start(flow, session);
        if session.translation.is_some() {
            translated(flow, session);
        }
        let times_ns = (session.from_ns, session.until_ns);
        times(flow, times_ns);
        if session.has_counters {
            counters(flow, session.counters);
        }
        flow.set(Field::BiflowDir, 1);
        flow.set(Field::FlowId, u64::from(session.id));
        certainty(flow, session);
        self.counts.biflow += 1;
        each(Made { kind: RecordKind::Biflow, flow, times_ns });
    }

    /// nfflowd's flows: as the initiator sends, as the responder receives, as it answers. Without
    /// translation, the second is left out.
    fn triplet(&mut self, session: &Session, each: &mut Each<'_>) {
        let Translation { src, dst, xlate_src, xlate_dst, .. } = session.translation;
        if [src, dst, xlate_src, xlate_dst].iter().any(|e| matches!(e.addr, Addr::V6(_))) {
            self.counts.triplet_v6 += 1;
            return;
        }
        let [sent, answered] = session.counters;
        let seen = if self.config.zero_second { Default::default() } else { sent };
        // Type and code of an ICMP answer are not those of the question.
        let answer_port = Proto(session.proto).is_icmp().then_some(session.reply_icmp);
        let ways = [
            (src, dst, sent, None),
            (xlate_src, xlate_dst, seen, None),
            (xlate_dst, xlate_src, answered, answer_port),
        ];
        let times_ns = (session.from_ns, session.until_ns);
        for (n, (from, to, counter, icmp)) in ways.into_iter().enumerate() {
            if n == 1 && !session.translation.is_some() {
                continue;
            }
            let flow = &mut self.flow;
            flow.clear();
            flow.set(Field::Proto, u64::from(session.proto));
            flow.set_addr(Field::SrcAddr, from.addr);
            flow.set_addr(Field::DstAddr, to.addr);
            let is_icmp = Proto(session.proto).is_icmp();
            flow.set(Field::SrcPort, if is_icmp { 0 } else { from.port.into() });
            let port = if is_icmp { icmp.unwrap_or(to.port) } else { to.port };
            flow.set(Field::DstPort, u64::from(port));
            flow.set(Field::Packets, counter.packets);
            flow.set(Field::Bytes, counter.octets);
            times(flow, times_ns);
            self.counts.triplet += 1;
            each(Made { kind: RecordKind::Triplet, flow, times_ns });
        }
    }

    fn gap(&mut self, gap: &Gap, each: &mut Each<'_>) {
        let flow = &mut self.flow;
        flow.clear();
        let times_ns = (gap.from_ns, gap.to_ns);
        times(flow, times_ns);
        for field in [Field::Packets, Field::Bytes, Field::Proto] {
            flow.set(field, 0);
        }
        flow.set(Field::EndReason, END_DEGRADED);
        flow.set_bytes(Field::Label, Sure::Degraded.name().as_bytes());
        self.counts.gap += 1;
        each(Made { kind: RecordKind::Gap, flow, times_ns });
    }
}

/// Ended by a timeout (RFC 5102, 5.11.3; element 136).
pub(crate) const END_IDLE: u64 = 1;
/// An interim record.
pub(crate) const END_ACTIVE: u64 = 2;
const END_SEEN: u64 = 3;
/// The end was not told: [`Sure::Resync`].
pub(crate) const END_RESYNC: u64 = 4;
/// Others were lost: [`Sure::Degraded`].
pub(crate) const END_DEGRADED: u64 = 5;

/// Addresses before translation, protocol, zone.
fn start(flow: &mut Flow, session: &Session) {
    flow.clear();
    let Translation { src, dst, .. } = session.translation;
    flow.set_addr(Field::SrcAddr, src.addr);
    flow.set_addr(Field::DstAddr, dst.addr);
    // An echo id is no port; nfdump has 0 there.
    let is_icmp = Proto(session.proto).is_icmp();
    flow.set(Field::SrcPort, if is_icmp { 0 } else { src.port.into() });
    flow.set(Field::DstPort, u64::from(dst.port));
    flow.set(Field::Proto, u64::from(session.proto));
    if session.zone != 0 {
        flow.set(Field::IngressVrf, u64::from(session.zone));
    }
}

/// Addresses after translation. ICMP: the echo id is the source port.
fn translated(flow: &mut Flow, session: &Session) {
    let Translation { xlate_src, xlate_dst, .. } = session.translation;
    flow.set_addr(Field::XlateSrcAddr, xlate_src.addr);
    flow.set_addr(Field::XlateDstAddr, xlate_dst.addr);
    flow.set(Field::XlateSrcPort, u64::from(xlate_src.port));
    flow.set(Field::XlateDstPort, u64::from(xlate_dst.port));
}

fn times(flow: &mut Flow, (first, last): (u64, u64)) {
    flow.set(Field::First, ms(first));
    flow.set(Field::Last, ms(last));
}

fn counters(flow: &mut Flow, [sent, answered]: [crate::Counter; 2]) {
    flow.set(Field::Packets, sent.packets);
    flow.set(Field::Bytes, sent.octets);
    flow.set(Field::OutPackets, answered.packets);
    flow.set(Field::OutBytes, answered.octets);
}

/// How sure, as the table of the module says.
fn certainty(flow: &mut Flow, session: &Session) {
    let reason = match (session.sure, session.cause) {
        (Sure::Resync, _) => END_RESYNC,
        (_, Cause::Active) => END_ACTIVE,
        (Sure::Degraded, _) => END_DEGRADED,
        (Sure::Exact, Cause::Begun) => return,
        (Sure::Exact, Cause::Idle) => END_IDLE,
        (Sure::Exact, _) => END_SEEN,
    };
    flow.set(Field::EndReason, reason);
    if session.sure != Sure::Exact {
        flow.set_bytes(Field::Label, session.sure.name().as_bytes());
    }
}

const fn ms(ns: u64) -> u64 {
    ns / 1_000_000
}
