//! Plain records straight into the form of files, without a [`Flow`] between.
//!
//! Most records say nothing but numbers and addresses, and all of one template have the same
//! fields: so each octet has its place in the file's record before the first one is read. What is
//! not plain (ICMP with elements of its own, sampling, events, other directions, values too wide for their field) goes the
//! long way by [`Plan`](crate::plan::Plan) and `derive`, record by record, and what comes out is the
//! same: tests run both ways side by side.

use crate::derive::{self, Clock, Origin};
use record::code::Proto;
use record::time::from_uptime;
use record::{Addr, Field, FlowSink, Group, Kind, Totals, v3};
use sys::lanes::{Lanes, Spread, Work, widest};

/// How plain records of one layout become records of a file.
#[derive(Debug)]
pub(crate) struct Ready {
    /// The record with all headers in place.
    template: Box<[u8]>,
    moves: Moves,
    times: Times,
    /// Octets of a record as it comes.
    len: usize,
    /// Where the address of the router goes, and whether it is one of IPv6.
    router_at: u16,
    has_router_v6: bool,
    /// Whether type and code of ICMP come in place of ports.
    has_icmp_ports: bool,
}

/// A field as it comes: a big-endian number, or an address.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source {
    pub(crate) field: Field,
    pub(crate) at: u16,
    pub(crate) len: u16,
}

/// Where the start and the end of the flow are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Times {
    /// As uptimes of 32 bits.
    Uptime(u16, u16),
    /// As milliseconds since 1970, in 64 bits.
    Millis(u16, u16),
}

/// Values by the octets they have as they come and in the file: those of one kind are turned in a
/// loop that has nothing to decide.
#[derive(Debug, Default)]
struct Moves {
    one: Vec<Move>,
    two: Vec<Move>,
    four: Vec<Move>,
    eight: Vec<Move>,
    two_to_four: Vec<Move>,
    four_to_eight: Vec<Move>,
    /// Other lengths: those of the value, and those of the room for it.
    other: Vec<(Move, u8, u8)>,
    /// Values that may not fit: they are longer than the room for them.
    long: Vec<(Move, u8, u8)>,
    /// All of them but the long ones at once, for processors that can do it, if records and rows are
    /// short.
    spread: Option<Box<Spread>>,
}

/// Where a value is in a record, and where it goes in the row.
#[derive(Clone, Copy, Debug)]
struct Move {
    from: u16,
    to: u16,
}

/// What every record says of its exporter and its message.
const STAMPED: [Field; 7] = [
    Field::RecordFlags,
    Field::Source,
    Field::ExporterId,
    Field::Received,
    Field::Router,
    Field::EngineType,
    Field::EngineId,
];

/// Fields whose records are more than numbers that are copied, beside what is [`STAMPED`].
const UNFIT: [Field; 6] = [
    Field::First,
    Field::Last,
    Field::Flows,
    Field::OutPackets,
    Field::OutBytes,
    Field::SelectorId,
];

/// Where extension 1, the first of all, has its data (file format, 7).
const GENERIC: usize = v3::LEN + v3::ELEMENT_HEADER;
const GENERIC_LEN: usize = 48;
/// Where in it.
const FIRST: usize = 0;
const LAST: usize = 8;
const RECEIVED: usize = 16;
const PACKETS: usize = 24;
const BYTES: usize = 32;
const SRC_PORT: usize = 40;
const PROTO: usize = 44;

impl Ready {
    /// For records of `len` octets with these fields, and whether the router has an address of IPv6
    /// and ICMP its type and code in ports. `None` if they are not plain.
    pub(crate) fn new(
        sources: &[Source],
        times: Times,
        len: usize,
        (has_router_v6, has_icmp_ports): (bool, bool),
    ) -> Option<Self> {
        let bit = |field: Field| 1u128 << field as usize;
        let mut present =
            STAMPED.iter().fold(bit(Field::First) | bit(Field::Last), |m, f| m | bit(*f));
        let mut v6 = if has_router_v6 { bit(Field::Router) } else { 0 };
        for source in sources {
            let (field, kind) = (source.field, source.field.kind());
            let is_plain = match kind {
                Kind::Addr => source.len == 4 || source.len == 16,
                kind => kind.is_number() && (1..=8).contains(&source.len),
            };
            let is_new = present & bit(field) == 0;
            if !is_plain || !is_new || field.is_part() || UNFIT.contains(&field) {
                return None;
            }
            present |= bit(field);
            v6 |= if source.len == 16 { bit(field) } else { 0 };
        }
        let (template, places) = lay_out(present, v6)?;
        let place = |field: Field| places.iter().find(|(f, _)| *f == field).map(|(_, at)| *at);
        let is_short = len <= SHORT && template.len() <= WIDE;
        let mut moves = Moves { spread: is_short.then(Box::default), ..Moves::default() };
        for source in sources {
            moves.add(source, place(source.field)?);
        }
        Some(Self {
            template: template.into(),
            moves,
            times,
            len,
            router_at: place(Field::Router)?,
            has_router_v6,
            has_icmp_ports,
        })
    }

    /// Octets it occupies in memory for a template of so many steps, roughly.
    pub(crate) const fn cost(steps: usize) -> usize {
        size_of::<Self>() + size_of::<Spread>() + 192 + 2 * steps * size_of::<(Move, u8, u8)>()
    }

    /// The record with all in place that the records of one message share. `false` if they are not
    /// plain.
    pub(crate) fn begin(&self, origin: &Origin, head: &mut Vec<u8>) -> bool {
        let is_clock = match self.times {
            Times::Uptime(..) => matches!(origin.clock, Clock::Uptime(_)),
            Times::Millis(..) => true,
        };
        let Ok(number) = u16::try_from(origin.sysid) else { return false };
        if !is_clock || matches!(origin.router, Addr::V6(_)) != self.has_router_v6 {
            return false;
        }
        head.clear();
        head.extend_from_slice(&self.template);
        put(head, v3::ENGINE_TYPE, &[origin.engine.0, origin.engine.1]);
        put(head, v3::EXPORTER, &number.to_le_bytes());
        put(head, v3::SOURCE, &[origin.source]);
        put(head, GENERIC + RECEIVED, &origin.received_ms.to_le_bytes());
        let router = origin.router.to_row();
        let width = origin.router.width();
        put(head, usize::from(self.router_at), router.get(..width).unwrap_or_default());
        head.resize(head.len().max(WIDE), 0);
        true
    }

    /// Octets of a record as it comes.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// Appends the records that `records` begins with, of `stride` octets each, to a batch that is not
    /// full: `most` of them at most, as long as it is not full, `fits` says yes and they are plain.
    /// Returns how many these are, and how many of them had uptimes that are not plausible.
    pub(crate) fn write(
        &self,
        (records, stride, most): (&[u8], usize, usize),
        fits: impl Fn(&[u8]) -> bool,
        origin: &Origin,
        head: &[u8],
        batch: &mut Batch,
    ) -> (usize, u64) {
        batch.make_room(self.template.len());
        widest(Write { ready: self, records, stride, most, fits, origin, head, batch })
    }

    /// Appends the record that `rest` begins with. Returns whether its uptimes were plausible;
    /// `None`, with nothing appended, if it is not plain.
    #[inline(always)]
    fn write_one<L: Lanes>(
        &self,
        lanes: L,
        rest: &[u8],
        origin: &Origin,
        head: &[u8],
        batch: &mut Batch,
    ) -> Option<bool> {
        let record = rest.get(..self.len)?;
        let (first, last, is_sane) = self.times(record, origin)?;
        let (room, len) = (batch.octets.get_mut(batch.used..)?, self.template.len());
        if let (true, Some(spread)) = (L::SPREADS, &self.moves.spread) {
            let room: &mut [u8; WIDE] = room.first_chunk_mut()?;
            let padded;
            let octets = match rest.first_chunk() {
                Some(octets) => octets,
                None => {
                    padded = pad(record);
                    &padded
                }
            };
            lanes.spread(octets, spread, head.first_chunk()?, room);
        } else {
            let row = room.get_mut(..len)?;
            row.copy_from_slice(head.get(..len)?);
            self.moves.fill(record, row)?;
        }
        fill_odd(&self.moves.long, record, room)?;
        let (proto, packets, bytes) = self.finish(room, first, last)?;
        let sums = &mut batch.totals;
        let group = Group::of(proto) as usize;
        for (counters, n) in
            [(&mut sums.flows, 1), (&mut sums.packets, packets), (&mut sums.bytes, bytes)]
        {
            if let Some(sum) = counters.get_mut(group) {
                *sum = sum.saturating_add(n);
            }
        }
        sums.first_ms = sums.first_ms.min(first);
        sums.last_ms = sums.last_ms.max(last);
        batch.count += 1;
        batch.used += len;
        Some(is_sane)
    }

    /// Completes a row that has its values, and returns what is counted of it. `None` if it is not
    /// plain.
    #[inline(always)]
    fn finish(&self, row: &mut [u8], first: u64, last: u64) -> Option<(Proto, u64, u64)> {
        let generic: &mut [u8; GENERIC_LEN] = row.get_mut(GENERIC..)?.first_chunk_mut()?;
        let proto = Proto(generic[PROTO]);
        if proto.is_icmp() {
            self.has_icmp_ports.then_some(())?;
            turn_icmp(generic);
        }
        generic[FIRST..FIRST + 8].copy_from_slice(&first.to_le_bytes());
        generic[LAST..LAST + 8].copy_from_slice(&last.to_le_bytes());
        let number = |at: usize| {
            let octets = generic.get(at..).and_then(|octets| octets.first_chunk());
            octets.map_or(0, |octets| u64::from_le_bytes(*octets))
        };
        Some((proto, number(PACKETS), number(BYTES)))
    }

    #[inline(always)]
    fn times(&self, record: &[u8], origin: &Origin) -> Option<(u64, u64, bool)> {
        match (self.times, origin.clock) {
            (Times::Uptime(first, last), Clock::Uptime(uptime)) => {
                let at = |at: u16| Some(u32::from_be_bytes(array(record, at)?));
                let date = |at| from_uptime(origin.export_ms, uptime, at);
                let (first, last) = (date(at(first)?), date(at(last)?));
                Some(derive::not_in_future(first, last, origin.export_ms))
            }
            (Times::Millis(first, last), _) => {
                let at = |at: u16| Some(u64::from_be_bytes(array(record, at)?));
                let (first, last) = (at(first)?, at(last)?);
                // 0 means that the exporter had no time.
                (first != 0 && last != 0).then_some((first, last, true))
            }
            _ => None,
        }
    }
}

struct Write<'a, F> {
    ready: &'a Ready,
    records: &'a [u8],
    stride: usize,
    most: usize,
    fits: F,
    origin: &'a Origin,
    head: &'a [u8],
    batch: &'a mut Batch,
}

impl<F: Fn(&[u8]) -> bool> Work for Write<'_, F> {
    type Out = (usize, u64);

    #[inline(always)]
    fn run<L: Lanes>(self, lanes: L) -> (usize, u64) {
        let Self { ready, records, stride, most, fits, origin, head, batch } = self;
        let (mut rest, mut count, mut odd) = (records, 0, 0);
        while count < most && !batch.is_full() && fits(rest) {
            let Some(is_sane) = ready.write_one(lanes, rest, origin, head, batch) else { break };
            count += 1;
            odd += u64::from(!is_sane);
            rest = rest.get(stride..).unwrap_or_default();
        }
        (count, odd)
    }
}

/// Octets of records, and of rows, that are spread at once.
const SHORT: usize = 64;
const WIDE: usize = 128;

/// A record at the end of what there is.
#[cold]
fn pad(record: &[u8]) -> [u8; SHORT] {
    let mut padded = [0; SHORT];
    padded.iter_mut().zip(record).for_each(|(to, octet)| *to = *octet);
    padded
}

impl Moves {
    /// `to` is where the field lies in the row.
    fn add(&mut self, source: &Source, to: u16) {
        let Source { field, at: from, len } = *source;
        let this = Move { from, to };
        if field.kind() == Kind::Addr {
            if len == 4 {
                return self.put(this, 4, 4);
            }
            // Two little-endian halves, the high one first.
            self.put(this, 8, 8);
            return self.put(Move { from: from + 8, to: to + 8 }, 8, 8);
        }
        self.put(this, len, field.kind().width().unwrap_or(0));
    }

    fn put(&mut self, this: Move, len: u16, width: u16) {
        let Move { from, to } = this;
        let mut octets = (0..len).map(|n| (usize::from(from + len - 1 - n), usize::from(to + n)));
        if let Some(spread) = self.spread.as_mut().filter(|_| len <= width)
            && !octets.all(|(from, to)| spread.add(from, to).is_some())
        {
            self.spread = None;
        }
        match (len, width) {
            (1, 1) => self.one.push(this),
            (2, 2) => self.two.push(this),
            (4, 4) => self.four.push(this),
            (8, 8) => self.eight.push(this),
            (2, 4) => self.two_to_four.push(this),
            (4, 8) => self.four_to_eight.push(this),
            _ if len > width => self.long.push((this, len as u8, width as u8)),
            _ => self.other.push((this, len as u8, width as u8)),
        }
    }

    /// `None` as soon as something is not there.
    #[inline(always)]
    fn fill(&self, record: &[u8], row: &mut [u8]) -> Option<()> {
        fill_odd(&self.other, record, row)?;
        turn(&self.one, record, row, |v: [u8; 1]| v)?;
        turn(&self.two, record, row, |v| u16::from_be_bytes(v).to_le_bytes())?;
        turn(&self.four, record, row, |v| u32::from_be_bytes(v).to_le_bytes())?;
        turn(&self.eight, record, row, |v| u64::from_be_bytes(v).to_le_bytes())?;
        turn(&self.two_to_four, record, row, |v| u32::from(u16::from_be_bytes(v)).to_le_bytes())?;
        turn(&self.four_to_eight, record, row, |v| u64::from(u32::from_be_bytes(v)).to_le_bytes())
    }
}

/// Values whose lengths are not those of numbers. `None` as soon as one does not fit.
#[inline(always)]
fn fill_odd(moves: &[(Move, u8, u8)], record: &[u8], row: &mut [u8]) -> Option<()> {
    for (Move { from, to }, len, width) in moves {
        let from = usize::from(*from);
        let value = record.get(from..from + usize::from(*len))?;
        let n = value.iter().fold(0, |n, b| n << 8 | u64::from(*b));
        if *width < 8 && n >> (8 * width) != 0 {
            return None;
        }
        let room = row.get_mut(usize::from(*to)..)?.get_mut(..usize::from(*width))?;
        room.iter_mut().zip(n.to_le_bytes()).for_each(|(to, octet)| *to = octet);
    }
    Some(())
}

/// Makes type and code of ports, as [`derive::icmp_ports`] does: mostly they are in the second one,
/// with some exporters the other way round in the first.
fn turn_icmp(generic: &mut [u8; GENERIC_LEN]) {
    let (low, high) = (generic[SRC_PORT], generic[SRC_PORT + 1]);
    if (low, high) != (0, 0) {
        generic[SRC_PORT..PROTO].copy_from_slice(&[0, 0, high, low]);
    }
}

/// Copies big-endian numbers of `N` octets as little-endian ones of `W`.
#[inline(always)]
fn turn<const N: usize, const W: usize>(
    moves: &[Move],
    record: &[u8],
    row: &mut [u8],
    turned: impl Fn([u8; N]) -> [u8; W],
) -> Option<()> {
    for Move { from, to } in moves {
        let value = array(record, *from)?;
        let to = usize::from(*to);
        *row.get_mut(to..to + W)?.first_chunk_mut()? = turned(value);
    }
    Some(())
}

/// Fields, and where in a record they lie.
type Places = Vec<(Field, u16)>;

/// The record of flows with these fields, and where each of them lies. `None` if it has parts that
/// vary.
fn lay_out(present: u128, v6: u128) -> Option<(Vec<u8>, Places)> {
    let mut record = vec![0; v3::LEN];
    let mut places = v3::HEADER_FIELDS.to_vec();
    let mut elements = 0u16;
    for e in v3::needed(present, v6) {
        if e.tail.is_some() {
            return None;
        }
        elements += 1;
        record.extend_from_slice(&e.id.to_le_bytes());
        record.extend_from_slice(&(e.len + v3::ELEMENT_HEADER as u16).to_le_bytes());
        let data = record.len() as u16;
        record.resize(record.len() + usize::from(e.len), 0);
        for (field, at) in e.fields {
            let bit = 1u128 << *field as usize;
            if present & bit == 0 {
                continue;
            }
            // Addresses of both families in one element are written in a way of their own.
            if field.kind() == Kind::Addr && (v6 & bit != 0) != (e.family == 16) {
                return None;
            }
            places.push((*field, data + at));
        }
    }
    put(&mut record, 0, &v3::TYPE.to_le_bytes());
    let len = u16::try_from(record.len()).ok()?;
    put(&mut record, 2, &len.to_le_bytes());
    put(&mut record, v3::ELEMENTS, &elements.to_le_bytes());
    Some((record, places))
}

/// Records of one exporter on their way to the sink.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    /// Those in use, and room for what comes next.
    octets: Vec<u8>,
    used: usize,
    count: u32,
    totals: Totals,
    /// What the records of the message share: one for each layout.
    pub(crate) heads: [Vec<u8>; 4],
}

impl Batch {
    /// Octets after which records are handed over.
    const FULL: usize = 16 << 10;

    pub(crate) const fn is_full(&self) -> bool {
        self.used >= Self::FULL
    }

    /// Makes room for all that comes until it is full, rows of `len` octets.
    fn make_room(&mut self, len: usize) {
        let room = Self::FULL + len.max(WIDE);
        if self.octets.len() < room {
            self.octets.resize(room, 0);
        }
    }

    /// Forgets what nobody has taken.
    pub(crate) fn clear(&mut self) {
        self.used = 0;
        self.count = 0;
        self.totals = Totals::default();
    }

    /// Hands over what there is.
    pub(crate) fn deliver<S: FlowSink + ?Sized>(&mut self, sysid: u32, sink: &mut S) {
        if self.count > 0 {
            sink.records(&record::Ready {
                records: self.octets.get(..self.used).unwrap_or_default(),
                count: self.count,
                exporter: sysid as u16,
                totals: &self.totals,
            });
            self.clear();
        }
    }
}

fn put(octets: &mut [u8], at: usize, value: &[u8]) {
    if let Some(room) = octets.get_mut(at..at + value.len()) {
        room.copy_from_slice(value);
    }
}

#[inline]
fn array<const N: usize>(octets: &[u8], at: u16) -> Option<[u8; N]> {
    // One comparison: sums of 16 bits do not wrap.
    let at = usize::from(at);
    octets.get(at..at + N)?.first_chunk().copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Collect, IpfixBuilder, V5Builder, V9Builder};
    use crate::{Config, Decoder, ipfix, v5, v9};
    use record::{Flow, Meta, Row};
    use sys::lanes::Plain;

    const NOW_MS: u64 = 1_795_000_000_123;

    /// Takes records, and reads them back.
    #[derive(Default)]
    struct Takes {
        flows: Vec<Flow>,
        short: u32,
        sums: Totals,
    }

    impl FlowSink for Takes {
        fn flow(&mut self, flow: &Flow) {
            self.flows.push(flow.clone());
            self.sums.add(flow.as_row());
        }

        fn takes_records(&self) -> bool {
            true
        }

        fn records(&mut self, ready: &record::Ready<'_>) {
            let (mut rest, mut count) = (ready.records, 0);
            while let Some((len, _)) = rest.get(2..).and_then(|r| r.split_first_chunk::<2>()) {
                let (record, next) = rest.split_at(usize::from(u16::from_le_bytes(*len)));
                let elements: Vec<_> = v3::elements(record).map(Option::unwrap).collect();
                let end = elements.last().map(|e| usize::from(e.at + e.len));
                assert_eq!((end, record[0], record[1]), (Some(record.len()), v3::TYPE as u8, 0));
                let shape = v3::shape(&elements, v3::Choice::default());
                let mut flow = Flow::new();
                assert_eq!(flow.assign(Row::new(record, &shape)), 0);
                assert_eq!(flow.number(Field::ExporterId), u64::from(ready.exporter));
                self.flows.push(flow);
                (rest, count) = (next, count + 1);
            }
            assert_eq!((rest.len(), count), (0, ready.count));
            self.short += ready.count;
            self.sums.merge(ready.totals);
        }

        fn meta(&mut self, _: Meta<'_>) {}
    }

    /// What a flow says, whatever fields are there with a 0.
    fn gist(flow: &Flow) -> Vec<(Field, u64, Option<Addr>)> {
        let row = flow.as_row();
        let addr = |field| row.addr(field).filter(|a| !a.is_unspecified());
        let fields = Field::ALL.iter().filter(|f| !f.is_derived());
        let all = fields.map(|f| (*f, row.number(*f), addr(*f)));
        all.filter(|(_, n, addr)| *n != 0 || addr.is_some()).collect()
    }

    /// Decodes both ways, and returns how many flows there were and how many went the short one.
    fn both(config: Config, peer: Addr, datagrams: &[Vec<u8>]) -> (u32, u32) {
        let (mut long, mut flows) = (Decoder::new(config), Collect::default());
        let (mut short, mut taken) = (Decoder::new(config), Takes::default());
        let mut sums = Totals::default();
        for datagram in datagrams {
            let want = long.decode(peer, NOW_MS, datagram, &mut flows);
            assert_eq!(short.decode(peer, NOW_MS, datagram, &mut taken), want);
        }
        assert_eq!(short.counters(), long.counters());
        assert_eq!(taken.flows.len(), flows.flows.len());
        for (short, long) in taken.flows.iter().zip(&flows.flows) {
            assert_eq!(gist(short), gist(long));
            sums.add(long.as_row());
        }
        assert_eq!(taken.sums, sums);
        (flows.flows.len() as u32, taken.short)
    }

    fn random() -> impl FnMut() -> usize {
        let mut n = 0x9e37_79b9_7f4a_7c15_u64;
        move || {
            n ^= n << 13;
            n ^= n >> 7;
            n ^= n << 17;
            (n >> 11) as usize
        }
    }

    /// A record of `len` octets with some zeros in it.
    fn record(len: usize, next: &mut impl FnMut() -> usize) -> Vec<u8> {
        let zeros = next() % 3;
        (0..len).map(|_| if next() % 4 < zeros { 0 } else { next() as u8 }).collect()
    }

    const PEERS: [Addr; 2] = [Addr::V4(0xc000_0201), Addr::V6(0x2001_0db8 << 96 | 1)];

    #[test]
    fn v5_comes_to_the_same_both_ways() {
        let mut next = random();
        let (mut all, mut short) = (0, 0);
        for round in 0..400 {
            let sampling = if round % 10 == 9 { 100 } else { 0 };
            let unix_secs = if round % 7 == 6 { 5 } else { 1_795_000_000 };
            let (engine_type, engine_id) = (next() as u8 % 2, next() as u8 % 2);
            let uptime_ms = next() as u32;
            let header = v5::Header {
                sampling,
                unix_secs,
                uptime_ms,
                engine_type,
                engine_id,
                ..v5::Header::default()
            };
            let datagram = (0..30).fold(V5Builder::new(header), |datagram, _| {
                let mut record: [u8; 48] = record(48, &mut next).try_into().unwrap();
                record[38] = [6, 17, 1, 58, 0, 47][next() % 6];
                for part in [8..12, 40..44] {
                    record[part].fill((next() % 2) as u8);
                }
                datagram.record(record)
            });
            let mut datagram = datagram.build();
            datagram.truncate(datagram.len() - next() % 60);
            let (flows, taken) = both(Config::default(), PEERS[round % 2], &[datagram]);
            assert_eq!(taken == 0, sampling != 0);
            all += flows;
            short += taken;
        }
        assert!(all > 11_000 && short > 6000 && short < all, "{short} of {all}");
    }

    /// (element, shortest, longest) of what plain templates have.
    const PLAIN: &[(u16, u16, u16)] = &[
        (1, 1, 8),
        (2, 1, 8),
        (4, 1, 1),
        (5, 1, 2),
        (6, 1, 2),
        (7, 2, 3),
        (9, 1, 1),
        (10, 1, 4),
        (11, 2, 2),
        (13, 1, 1),
        (14, 2, 5),
        (15, 4, 4),
        (16, 2, 4),
        (17, 2, 4),
        (32, 2, 2),
        (58, 2, 2),
        (61, 1, 1),
        (62, 16, 16),
        (210, 1, 9),
        (234, 4, 4),
    ];

    /// A template with ends of the flow, addresses and others in any order, and its octets.
    fn template(
        times: (u16, u16, u16),
        next: &mut impl FnMut() -> usize,
    ) -> (Vec<(u16, u16)>, usize) {
        let (first, last, width) = times;
        let (src, dst, len) = if next().is_multiple_of(2) { (8, 12, 4) } else { (27, 28, 16) };
        let mut fields = vec![(first, width), (last, width), (src, len), (dst, len)];
        for (id, least, most) in PLAIN {
            if next().is_multiple_of(2) {
                fields.push((*id, least + (next() as u16) % (most - least + 1)));
            }
        }
        for n in (1..fields.len()).rev() {
            fields.swap(n, next() % (n + 1));
        }
        let len = fields.iter().map(|(_, len)| usize::from(*len)).sum();
        (fields, len)
    }

    #[test]
    fn templates_come_to_the_same_both_ways() {
        let mut next = random();
        let (mut all, mut short) = (0, 0);
        for round in 0..600 {
            let is_v9 = round % 3 != 0;
            let (fields, len) =
                template(if is_v9 { (22, 21, 4) } else { (152, 153, 8) }, &mut next);
            let records: Vec<_> = (0..8)
                .map(|_| {
                    let mut record = record(len, &mut next);
                    let mut at = 0;
                    for (id, len) in &fields {
                        if *id == 4 && !next().is_multiple_of(4) {
                            record[at] = 6;
                        }
                        at += usize::from(*len);
                    }
                    record
                })
                .collect();
            let mut datagram = if is_v9 {
                let (unix_secs, uptime_ms) = (1_795_000_000, next() as u32);
                let header = v9::Header { unix_secs, uptime_ms, ..v9::Header::default() };
                V9Builder::new(header).template(256, &fields).data(256, &records).build()
            } else {
                let fields: Vec<_> = fields.iter().map(|(id, len)| (0, *id, *len)).collect();
                let builder = IpfixBuilder::new(ipfix::Header::default()).template(256, &fields);
                builder.data(256, &records).build()
            };
            datagram.truncate(datagram.len() - next() % (len + 4));
            let (flows, taken) = both(Config::default(), PEERS[round % 2], &[datagram]);
            all += flows;
            short += taken;
        }
        assert!(all > 4000 && short > all / 4 && short < all, "{short} of {all}");
    }

    /// Writes records one way or the other, and shows what is said of it.
    fn written(ready: &Ready, records: &[u8], is_wide: bool) -> (usize, u64, Batch) {
        let origin = Origin {
            export_ms: NOW_MS,
            clock: Clock::Uptime(50_000),
            received_ms: NOW_MS,
            router: PEERS[0],
            sysid: 7,
            source: 5,
            engine: (1, 2),
            domain: 0,
        };
        let (mut head, mut batch) = (Vec::new(), Batch::default());
        assert!(ready.begin(&origin, &mut head));
        let (stride, most) = (ready.len(), records.len());
        let (count, odd) = if is_wide {
            ready.write((records, stride, most), |_| true, &origin, &head, &mut batch)
        } else {
            batch.make_room(ready.template.len());
            let (origin, head, batch) = (&origin, &head[..], &mut batch);
            Write { ready, records, stride, most, fits: |_: &[u8]| true, origin, head, batch }
                .run(Plain)
        };
        (count, odd, batch)
    }

    #[test]
    fn processors_without_wide_instructions_write_the_same() {
        let mut next = random();
        let mut rows = 0;
        for _ in 0..300 {
            let source = |field, at, len| Source { field, at, len };
            let mut sources = vec![
                source(Field::SrcAddr, 8, 4),
                source(Field::DstAddr, 12, 4),
                source(Field::Bytes, 16, 1 + next() as u16 % 8),
                source(Field::Packets, 24, 1 + next() as u16 % 8),
                source(Field::Proto, 32, 1),
                source(Field::SrcPort, 33, 2),
                source(Field::DstPort, 35, 1 + next() as u16 % 3),
                source(Field::Input, 38, 1 + next() as u16 % 6),
                source(Field::NextHop, 44, 4),
                source(Field::SrcAs, 48, 2 + next() as u16 % 6),
            ];
            sources.retain(|_| !next().is_multiple_of(8));
            let len = 56 + next() % 12;
            let ready = Ready::new(&sources, Times::Uptime(0, 4), len, (false, true)).unwrap();
            let records: Vec<u8> = (0..len * 20 + 5)
                .map(|n| if n % len >= 32 && n % len < 44 { 0 } else { next() as u8 })
                .collect();
            let (count, odd, plain) = written(&ready, &records, false);
            let (wide_count, wide_odd, wide) = written(&ready, &records, true);
            assert_eq!((count, odd, plain.used), (wide_count, wide_odd, wide.used));
            assert_eq!(plain.octets[..plain.used], wide.octets[..wide.used]);
            assert_eq!((plain.count, plain.totals), (wide.count, wide.totals));
            rows += count;
        }
        assert!(rows > 2000, "{rows}");
    }

    #[test]
    fn a_plain_template_goes_the_short_way() {
        let fields = [(22, 4), (21, 4), (8, 4), (12, 4), (4, 1), (6, 1), (2, 4), (1, 4)];
        let octets: Vec<u8> = (0..26).map(|n| if n == 16 { 17 } else { n + 40 }).collect();
        let records = vec![octets; 2000];
        let datagram =
            V9Builder::new(v9::Header { unix_secs: 1_795_000_000, ..v9::Header::default() })
                .template(300, &fields)
                .data(300, &records)
                .build();
        assert_eq!(
            both(Config::default(), PEERS[0], std::slice::from_ref(&datagram)),
            (2000, 2000)
        );
        let default_sampling = Some(crate::DefaultSampling::Otherwise(100));
        let config = Config { default_sampling, ..Config::default() };
        assert_eq!(both(config, PEERS[0], &[datagram]), (2000, 0), "sampled");
    }
}
