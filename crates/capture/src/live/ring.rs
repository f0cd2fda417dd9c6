//! One interface, or all of them, through a ring of the kernel.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, PoisonError};

use sys::bpf::Instruction;
use sys::ring::{Fanout, Frame, Options, Ring, interface_index, is_ethernet};

use super::{ANY, Change, Counts, Event, LiveOptions, Received};
use crate::batch::BATCH;
use crate::{Direction, Error, Filter, Filters, Packet};

/// Rings that divide the packets of one interface: its number, and that of their group. An
/// interface that comes back has another number, and needs another group.
pub(super) type Group = Arc<Mutex<Option<(u32, u16)>>>;

/// A ring, and what it takes to open it again.
#[derive(Debug)]
pub(super) struct Port {
    name: String,
    options: LiveOptions,
    group: Option<Group>,
    filters: Option<Filters>,
    program: Vec<Instruction>,
    ring: Option<Ring>,
    state: State,
    /// Of rings that were closed.
    before: Received,
    is_stopped: bool,
}

/// How the interface is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Up {
        index: u32,
    },
    Down {
        index: u32,
    },
    /// It was seen with number `tried` and could not be opened: said once.
    Gone {
        tried: u32,
    },
}

impl Port {
    pub(super) fn open(
        name: &str,
        options: &LiveOptions,
        group: Option<Group>,
    ) -> Result<Self, Error> {
        let mut port = Self {
            name: name.to_owned(),
            options: options.clone(),
            group,
            filters: None,
            program: Vec::new(),
            ring: None,
            state: State::Gone { tried: 0 },
            before: Received::default(),
            is_stopped: false,
        };
        let index = port.index()?;
        if let Some(expression) = &options.filter {
            let link = port.link(index)?;
            port.filters = Some(Filters::new(expression, link)?);
            if link == ETHERNET {
                port.program = program(&Filter::compile(expression, link)?);
            }
        }
        port.open_ring(index)?;
        Ok(port)
    }

    /// Number of the interface now; 0 for all of them.
    fn index(&self) -> Result<u32, Error> {
        if self.name == ANY {
            return Ok(0);
        }
        interface_index(&self.name).map_err(|source| self.failed(source))
    }

    fn failed(&self, source: sys::Error) -> Error {
        Error::Live { interface: self.name.clone(), source }
    }

    /// Link type of most packets of the interface.
    fn link(&self, index: u32) -> Result<u32, Error> {
        let links = sys::netlink::links().map_err(|source| self.failed(source))?;
        let link = links.iter().find(|link| link.index == index);
        let is_raw = link.is_some_and(|link| !is_ethernet(link.hardware));
        Ok(if is_raw { RAW } else { ETHERNET })
    }

    fn open_ring(&mut self, index: u32) -> Result<(), Error> {
        let group = self.group.clone();
        let mut group =
            group.as_ref().map(|group| group.lock().unwrap_or_else(PoisonError::into_inner));
        let fanout = match group.as_deref() {
            None => Fanout::Alone,
            Some(Some((of, number))) if *of == index => Fanout::Join(*number),
            Some(_) => Fanout::New,
        };
        let ring = Ring::open(&Options {
            interface: index,
            promiscuous: self.options.promiscuous,
            snap_len: self.options.snap_len,
            buffer: self.options.buffer,
            block_timeout: self.options.block_timeout,
            fanout,
            filter: &self.program,
        });
        let ring = ring.map_err(|source| self.failed(source))?;
        if let (Some(group), Some(number)) = (group.as_deref_mut(), ring.group()) {
            *group = Some((index, number));
        }
        self.ring = Some(ring);
        self.state = State::Up { index };
        Ok(())
    }

    pub(super) fn socket(&self) -> Option<BorrowedFd<'_>> {
        self.ring.as_ref().map(AsFd::as_fd)
    }

    /// Hands over frames of one block; `false` if there are none.
    pub(super) fn deliver(
        &mut self,
        counts: &mut Counts,
        visit: &mut dyn FnMut(&[Packet<'_>]),
    ) -> bool {
        let Some(ring) = &mut self.ring else { return false };
        let mut frames = ring.frames();
        let mut batch = [Packet::NONE; BATCH];
        let (mut len, mut is_any) = (0, false);
        while let Some(place) = batch.get_mut(len) {
            let Some(frame) = frames.next() else { break };
            is_any = true;
            // The loopback shows what goes out of it once more as it comes in.
            if frame.is_outgoing && frame.hardware == LOOPBACK {
                continue;
            }
            let packet = packet(&frame);
            if let Some(filters) = &mut self.filters
                && is_in_doubt(&frame, &self.program)
                && !filters.matches(&packet)
            {
                counts.unwanted += 1;
                continue;
            }
            counts.octets += packet.bytes.len() as u64;
            *place = packet;
            len += 1;
        }
        counts.packets += len as u64;
        match batch.get(..len) {
            Some(packets) if len > 0 => visit(packets),
            _ => {}
        }
        ring.release();
        is_any
    }

    /// Looks after an interface that went down or away.
    pub(super) fn look(&mut self) -> Option<Event> {
        let error = self.ring.as_ref().and_then(Ring::take_error);
        let change = match self.state {
            State::Up { index } | State::Down { index } if index != 0 && error.is_some() => {
                if self.index().is_ok_and(|now| now == index) {
                    self.state = State::Down { index };
                    Change::Down
                } else {
                    self.state = State::Gone { tried: 0 };
                    Change::Gone
                }
            }
            State::Down { index } => self.look_at(index)?,
            State::Gone { tried } => self.look_for(tried)?,
            State::Up { .. } => return None,
        };
        Some(Event { interface: self.name.clone(), change })
    }

    /// Looks whether an interface that is down came up, or went away: of that the socket tells
    /// nothing more, and an interface goes down before it goes away.
    fn look_at(&mut self, index: u32) -> Option<Change> {
        let links = sys::netlink::links().ok()?;
        let (state, change) = match links.iter().find(|link| link.index == index) {
            Some(link) if link.is_up => (State::Up { index }, Change::Back),
            Some(_) => return None,
            None => (State::Gone { tried: 0 }, Change::Gone),
        };
        self.state = state;
        Some(change)
    }

    /// Opens the interface again if there is one with its name.
    fn look_for(&mut self, tried: u32) -> Option<Change> {
        if self.is_stopped || !self.is_empty() {
            return None;
        }
        let index = self.index().ok().filter(|index| *index != tried)?;
        self.before = self.received();
        self.ring = None;
        self.state = State::Gone { tried: index };
        Some(if self.open_ring(index).is_ok() { Change::Back } else { Change::Refused })
    }

    pub(super) fn stop(&mut self) {
        self.is_stopped = true;
        if let Some(ring) = &mut self.ring {
            // Refused for want of memory only; then packets go on to come, up to the last wait.
            let _ = ring.stop();
        }
    }

    pub(super) fn is_empty(&mut self) -> bool {
        let Some(ring) = &mut self.ring else { return true };
        let seen = ring.seen();
        ring.stats().is_ok_and(|stats| seen >= stats.received.saturating_sub(stats.dropped))
    }

    pub(super) fn received(&mut self) -> Received {
        let stats = self.ring.as_mut().and_then(|ring| ring.stats().ok()).unwrap_or_default();
        Received {
            received: self.before.received + stats.received,
            dropped: self.before.dropped + stats.dropped,
            freezes: self.before.freezes + stats.freezes,
        }
    }
}

/// Kind of hardware of the loopback (ARPHRD_).
const LOOPBACK: u16 = 772;
/// Link types (LINKTYPE_).
const ETHERNET: u32 = 1;
const RAW: u32 = 101;
const MPLS: u32 = 219;
/// For private use: whoever looks at such a packet says that it does not know what it is.
const UNKNOWN: u32 = 147;

/// A frame as a packet: whole where its link header is one that is known, else from its network
/// header on, which the kernel knows in any case.
#[inline]
fn packet<'a>(frame: &Frame<'a>) -> Packet<'a> {
    let link = match (frame.hardware, frame.protocol) {
        (hardware, _) if is_ethernet(hardware) => ETHERNET,
        (513, _) => 104, // HDLC of Cisco
        (801, _) => 105, // IEEE 802.11
        (803, _) => 127, // IEEE 802.11 with a radiotap header
        (_, 0x0800 | 0x86dd) => RAW,
        (_, 0x8847 | 0x8848) => MPLS,
        _ => UNKNOWN,
    };
    let before = if matches!(link, RAW | MPLS) { frame.network } else { 0 };
    let is_outgoing = frame.is_outgoing;
    Packet {
        time_ns: Some(frame.time_ns),
        link,
        wire_len: frame.wire_len.saturating_sub(before as u32),
        interface: frame.interface,
        direction: if is_outgoing { Direction::Outbound } else { Direction::Inbound },
        bytes: frame.bytes.get(before..).unwrap_or_default(),
    }
}

/// Whether the kernel has let a frame pass without being able to say whether it is wanted.
fn is_in_doubt(frame: &Frame<'_>, program: &[Instruction]) -> bool {
    program.is_empty() || frame.is_retagged || !is_ethernet(frame.hardware)
}

/// A program for the kernel: that of `filter` for frames that are as it takes them to be. It lets all
/// others pass: those of interfaces without Ethernet, and those whose tag of a VLAN the kernel has
/// taken out, which it sees as if they had none.
fn program(filter: &Filter) -> Vec<Instruction> {
    const LOAD: u16 = 0x20; // a word of what the kernel knows beside the frame (SKF_AD_OFF)
    const IS: u16 = 0x15;
    const HARDWARE: u32 = (-0x1000i32 + 28) as u32;
    const HAS_TAG: u32 = (-0x1000i32 + 48) as u32;
    let load = |k| Instruction { code: LOAD, jt: 0, jf: 0, k };
    let is = |k, jt, jf| Instruction { code: IS, jt, jf, k };
    let mut program = vec![
        load(HARDWARE),
        is(1, 1, 0),
        is(u32::from(LOOPBACK), 0, 2),
        load(HAS_TAG),
        is(0, 1, 0),
        Instruction::keep(u32::MAX),
    ];
    program.extend(filter.instructions());
    program
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_frame_begins_with() {
        let bytes: Vec<u8> = (0..40).collect();
        // Hardware, Ethernet type; link type, and octets before the packet.
        for (hardware, protocol, link, before) in [
            (1, 0x0800, 1, 0),
            (772, 0x86dd, 1, 0),
            (1, 0x88cc, 1, 0),
            (65534, 0x0800, 101, 6), // tunnels of programs, WireGuard
            (512, 0x86dd, 101, 6),   // PPP
            (778, 0x0800, 101, 6),   // GRE
            (778, 0x8847, 219, 6),
            (776, 0x1234, 147, 0),
            (801, 0x0019, 105, 0),
            (803, 0x0019, 127, 0),
            (513, 0x0800, 104, 0),
        ] {
            let frame = Frame {
                time_ns: 5,
                wire_len: 1000,
                interface: 3,
                hardware,
                protocol,
                is_outgoing: true,
                is_retagged: false,
                network: 6,
                bytes: &bytes,
            };
            let packet = packet(&frame);
            let wire_len = 1000 - before as u32;
            let direction = Direction::Outbound;
            let bytes = &bytes[before..];
            let want = Packet { time_ns: Some(5), link, wire_len, interface: 3, direction, bytes };
            assert_eq!(packet, want, "{hardware} {protocol:#x}");
        }
    }
}
