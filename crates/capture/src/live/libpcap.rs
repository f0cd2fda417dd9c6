//! One interface, or all of them, through libpcap.
//!
//! libpcap lends each packet for the time of a call, so they are copied. It never waits: on a link
//! where nothing passes it would wait for ever, whatever timeout it was given.

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd};

use super::{ANY, Change, Counts, Event, LiveOptions, Received};
use crate::batch::BATCH;
use crate::{Direction, Error, Packet};

/// A handle of libpcap, and what it takes to open it again.
pub(super) struct Port {
    name: String,
    options: LiveOptions,
    /// `None` while the interface is down or gone.
    open: Option<Open>,
    /// Octets of the packets of a batch, and where each of them ends.
    bytes: Vec<u8>,
    heads: Vec<Head>,
    /// Packets that were read from this handle.
    seen: u64,
    /// Packets that are read before the end, once it was stopped.
    last: Option<u64>,
    /// What happened and was not told yet.
    event: Option<Change>,
    /// Of handles that were closed.
    before: Received,
    /// Counts of libpcap have 32 bits.
    received: Widened,
    dropped: Widened,
}

/// An interface that is captured.
struct Open {
    handle: pcap::Capture<pcap::Active>,
    /// Link type (LINKTYPE_), and number of the interface; 0 for all of them.
    link: u32,
    interface: u32,
}

#[derive(Clone, Copy, Debug)]
struct Head {
    time_ns: Option<u64>,
    wire_len: u32,
    end: usize,
}

/// A count that goes on where a number of 32 bits begins anew.
#[derive(Clone, Copy, Debug, Default)]
struct Widened(u64);

impl Widened {
    fn advance(&mut self, now: u32) -> u64 {
        self.0 += u64::from(now.wrapping_sub(self.0 as u32));
        self.0
    }
}

/// Link type of cooked packets, version 2, which name their interface.
const COOKED2: i32 = 276;

impl Open {
    fn new(name: &str, options: &LiveOptions) -> Result<Self, Error> {
        let failed =
            |e: pcap::Error| Error::Libpcap { interface: name.to_owned(), reason: e.to_string() };
        let is_any = name == ANY;
        let number = |n: usize| i32::try_from(n).unwrap_or(i32::MAX);
        let wait = options.block_timeout.as_micros().div_ceil(1000).clamp(1, 1000) as usize;
        let mut handle = pcap::Capture::from_device(name)
            .map_err(failed)?
            .promisc(options.promiscuous && !is_any)
            .snaplen(number(options.snap_len as usize))
            .buffer_size(number(options.buffer))
            .precision(pcap::Precision::Nano)
            .timeout(number(wait))
            .open()
            .and_then(pcap::Capture::setnonblock)
            .map_err(failed)?;
        // libpcap would leave it to every program that this one starts.
        let _ = sys::process::close_on_exec(handle.as_fd());
        if is_any {
            // Where libpcap is too old for it, packets do not name their interface.
            let _ = handle.set_datalink(pcap::Linktype(COOKED2));
        }
        let link = match handle.get_datalink().0 {
            12 => 101, // raw IP
            link => u32::try_from(link).unwrap_or(u32::MAX),
        };
        if let Some(expression) = &options.filter {
            handle.filter(expression, true).map_err(|e| Error::Filter {
                expression: expression.clone(),
                link,
                reason: e.to_string(),
            })?;
        }
        let interface = if is_any { 0 } else { sys::ring::interface_index(name).unwrap_or(0) };
        Ok(Self { handle, link, interface })
    }

    fn packet<'a>(&self, head: &Head, bytes: &'a [u8]) -> Packet<'a> {
        let mut packet = Packet {
            time_ns: head.time_ns,
            link: self.link,
            wire_len: head.wire_len,
            interface: self.interface,
            direction: Direction::Unknown,
            bytes,
        };
        // LINKTYPE_LINUX_SLL2: protocol, reserved, interface, hardware, kind of packet.
        if let Some(header) = bytes.first_chunk::<20>()
            && self.link == COOKED2 as u32
        {
            let [_, _, _, _, a, b, c, d, _, _, kind, ..] = *header;
            packet.interface = u32::from_be_bytes([a, b, c, d]);
            packet.direction = if kind == 4 { Direction::Outbound } else { Direction::Inbound };
        }
        packet
    }
}

impl Port {
    pub(super) fn open(name: &str, options: &LiveOptions) -> Result<Self, Error> {
        Ok(Self {
            name: name.to_owned(),
            options: options.clone(),
            open: Some(Open::new(name, options)?),
            bytes: Vec::new(),
            heads: Vec::with_capacity(BATCH),
            seen: 0,
            last: None,
            event: None,
            before: Received::default(),
            received: Widened::default(),
            dropped: Widened::default(),
        })
    }

    pub(super) fn socket(&self) -> Option<BorrowedFd<'_>> {
        self.open.as_ref().map(|open| open.handle.as_fd())
    }

    /// Copies up to a batch of packets, and hands them over; `false` if there are none. An error of
    /// libpcap is taken as the end of the interface.
    pub(super) fn deliver(
        &mut self,
        counts: &mut Counts,
        visit: &mut dyn FnMut(&[Packet<'_>]),
    ) -> bool {
        let left = self.last.map_or(u64::MAX, |last| last.saturating_sub(self.seen));
        let most = left.min(BATCH as u64) as usize; // with 0 nothing is read
        let Self { open, bytes, heads, .. } = self;
        let Some(open) = open else { return false };
        bytes.clear();
        heads.clear();
        let read = open.handle.dispatch(Some(most), |packet| {
            bytes.extend_from_slice(packet.data);
            // In nanoseconds, as was asked for.
            let (secs, nanos) = (packet.header.ts.tv_sec, packet.header.ts.tv_usec);
            let time_ns = u64::try_from(secs * 1_000_000_000 + nanos).ok();
            heads.push(Head { time_ns, wire_len: packet.header.len, end: bytes.len() });
        });
        let mut batch = [Packet::NONE; BATCH];
        let (mut len, mut start) = (0, 0);
        for (place, head) in batch.iter_mut().zip(heads.iter()) {
            *place = open.packet(head, bytes.get(start..head.end).unwrap_or_default());
            (len, start) = (len + 1, head.end);
        }
        self.seen += len as u64;
        counts.packets += len as u64;
        counts.octets += start as u64;
        match batch.get(..len) {
            Some(packets) if len > 0 => visit(packets),
            _ => {}
        }
        if read.is_err() {
            self.before = self.received();
            self.open = None;
            (self.seen, self.event) = (0, Some(Change::Gone));
            (self.received, self.dropped) = (Widened::default(), Widened::default());
        }
        len > 0
    }

    /// Looks for an interface that is down or gone.
    pub(super) fn look(&mut self) -> Option<Event> {
        let change = match self.event.take() {
            Some(change) => change,
            None if self.open.is_some() || self.last.is_some() => return None,
            None => {
                self.open = Some(Open::new(&self.name, &self.options).ok()?);
                Change::Back
            }
        };
        Some(Event { interface: self.name.clone(), change })
    }

    pub(super) fn stop(&mut self) {
        // libpcap would apply a filter that takes nothing to what has been captured already.
        let (received, dropped) = self.counted();
        self.last.get_or_insert_with(|| received.saturating_sub(dropped));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.open.is_none() || self.last.is_some_and(|last| self.seen >= last)
    }

    /// Received and dropped by this handle.
    fn counted(&mut self) -> (u64, u64) {
        if let Some(Ok(stat)) = self.open.as_mut().map(|open| open.handle.stats()) {
            self.received.advance(stat.received);
            self.dropped.advance(stat.dropped);
        }
        (self.received.0, self.dropped.0)
    }

    pub(super) fn received(&mut self) -> Received {
        let (received, dropped) = self.counted();
        Received {
            received: self.before.received + received,
            dropped: self.before.dropped + dropped,
            freezes: 0,
        }
    }
}

impl fmt::Debug for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Port").field("name", &self.name).field("seen", &self.seen).finish()
    }
}
