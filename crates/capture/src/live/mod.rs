//! Packets as they pass: from rings that the kernel fills, or from libpcap.
//!
//! A [`Live`] reads one interface, several, or all. It waits a bounded time: programs have clocks,
//! timers and signals to look after also when nothing passes. What the kernel had to drop because
//! nobody fetched it in time is counted ([`Live::stats`]).

#[cfg(feature = "libpcap")]
mod libpcap;
mod ring;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use sys::netlink::{Link, RouteSocket};
use sys::poll::{self, Ready};

use crate::{Error, Packet, Progress, Source};

/// The name that stands for all interfaces.
pub const ANY: &str = "any";

/// How to capture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveOptions {
    /// Names of interfaces; [`ANY`] alone is all, also those that come later.
    pub interfaces: Vec<String>,
    /// Whether packets are taken that are for other hosts. Has no meaning for `any`.
    pub promiscuous: bool,
    /// Octets taken of each packet, at most. Its length is known all the same.
    pub snap_len: u32,
    /// Octets of memory for packets that wait, for each interface (and each member of a group).
    pub buffer: usize,
    /// How long a packet may wait for others before it is handed over: 1 to 100 milliseconds.
    pub block_timeout: Duration,
    /// How long a call for a batch waits for packets.
    pub wait: Duration,
    /// An expression of pcap-filter(7): other packets are dropped by the kernel.
    pub filter: Option<String>,
    /// Who captures.
    pub backend: Backend,
}

impl Default for LiveOptions {
    /// All interfaces, whole packets, 16 MiB, 20 milliseconds, a wait of 100 milliseconds.
    fn default() -> Self {
        Self {
            interfaces: vec![ANY.to_owned()],
            promiscuous: true,
            snap_len: 262_144,
            buffer: 16 << 20,
            block_timeout: Duration::from_millis(20),
            wait: Duration::from_millis(100),
            filter: None,
            backend: Backend::Ring,
        }
    }
}

/// Who captures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Backend {
    /// We do, through a ring shared with the kernel: no copy.
    #[default]
    Ring,
    /// libpcap, with a copy: for devices that only it knows.
    Libpcap,
}

/// What a live capture has seen so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LiveStats {
    /// Packets handed over.
    pub packets: u64,
    /// Captured octets of them.
    pub octets: u64,
    /// Packets that reached us and that the filter did not want. What the kernel filtered is not
    /// among them: it does not count that.
    pub unwanted: u64,
    /// Packets that passed the kernel's filter, dropped ones among them.
    pub received: u64,
    /// Packets that found no room because those before them had not been fetched.
    pub dropped: u64,
    /// Times that the ring was full.
    pub freezes: u64,
    /// Packets that the interfaces themselves lost since the capture began, as of when they were
    /// [asked](Live::ask_interfaces) last.
    pub interface_dropped: u64,
}

/// What happened to an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its name.
    pub interface: String,
    /// What happened.
    pub change: Change,
}

/// What can happen to an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It was taken down. Packets come again when it is up. libpcap does not tell.
    Down,
    /// It is no more, or libpcap has given it up. It is looked for with each wait.
    Gone,
    /// It is there again and cannot be captured: privileges were given up, for example. It is tried
    /// again when it is another one.
    Refused,
    /// It is there again, and captured.
    Back,
}

/// A live capture.
#[derive(Debug)]
pub struct Live {
    ports: Vec<Port>,
    /// Which of them is asked first: each gets its turn.
    turn: usize,
    wait: Duration,
    block_timeout: Duration,
    events: VecDeque<Event>,
    counts: Counts,
    drops: Drops,
    /// Since it was stopped: times that nothing came.
    quiet: Option<u32>,
}

/// Who captures on an interface.
#[derive(Debug)]
enum Port {
    Ring(Box<ring::Port>),
    #[cfg(feature = "libpcap")]
    Libpcap(Box<libpcap::Port>),
}

/// What was counted of the packets that reached us.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    packets: u64,
    octets: u64,
    unwanted: u64,
}

/// What was counted by those before us.
#[derive(Clone, Copy, Debug, Default)]
struct Received {
    received: u64,
    dropped: u64,
    freezes: u64,
}

/// Events that wait to be asked for, at most.
const MOST_EVENTS: usize = 256;

/// Times that nothing comes after a stop before all is taken to have come, although the kernel says
/// otherwise.
const PATIENCE: u32 = 100;

impl Live {
    /// Opens all interfaces. Needs CAP_NET_RAW, which may be given up afterwards; then an interface
    /// that goes away is not captured again when it comes back.
    ///
    /// # Errors
    /// If an interface does not exist, the filter cannot be compiled, or privileges lack.
    pub fn open(options: &LiveOptions) -> Result<Self, Error> {
        let ports = match options.backend {
            Backend::Ring => ring_ports(options, &[])?,
            Backend::Libpcap => libpcap_ports(options)?,
        };
        Ok(Self::new(options, ports, Drops::open(options)))
    }

    /// Opens `count` captures among which the kernel divides the packets: those of a conversation,
    /// both ways, come to the same one. Fragments of a conversation whose other packets are whole
    /// may come to another one. Drops of the interfaces are counted by the first of them.
    ///
    /// # Errors
    /// As [`open`](Self::open). libpcap captures alone: more than one is an error.
    pub fn open_group(options: &LiveOptions, count: usize) -> Result<Vec<Self>, Error> {
        if count <= 1 {
            return Ok(vec![Self::open(options)?]);
        }
        if options.backend == Backend::Libpcap {
            let reason = format!("it cannot divide packets among {count} threads: use one");
            return Err(Error::Libpcap { interface: options.interfaces.join(","), reason });
        }
        let groups: Vec<_> = options.interfaces.iter().map(|_| ring::Group::default()).collect();
        let open = |n| {
            let drops = if n == 0 { Drops::open(options) } else { Drops::default() };
            Ok(Self::new(options, ring_ports(options, &groups)?, drops))
        };
        (0..count).map(open).collect()
    }

    fn new(options: &LiveOptions, ports: Vec<Port>, drops: Drops) -> Self {
        Self {
            ports,
            turn: 0,
            wait: options.wait,
            block_timeout: options.block_timeout,
            events: VecDeque::new(),
            counts: Counts::default(),
            drops,
            quiet: None,
        }
    }

    /// Hands over packets if there are any, or come within the time to wait.
    ///
    /// # Errors
    /// If waiting fails. An interface that goes down or away, or cannot be captured when it is back,
    /// is no error but an [event](Self::take_event).
    pub fn batch(&mut self, visit: &mut dyn FnMut(&[Packet<'_>])) -> Result<Progress, Error> {
        if self.deliver(visit) {
            return Ok(Progress::More);
        }
        let wait = if self.quiet.is_some() { self.block_timeout } else { self.wait };
        let sockets: Vec<_> = self.ports.iter().filter_map(Port::socket).collect();
        let sockets: Vec<_> = sockets.into_iter().map(|socket| (socket, Ready::READ)).collect();
        poll::wait(&sockets, Some(wait)).map_err(|source| Error::Wait { source })?;
        for port in &mut self.ports {
            if let Some(event) = port.look()
                && self.events.len() < MOST_EVENTS
            {
                self.events.push_back(event);
            }
        }
        if self.deliver(visit) {
            return Ok(Progress::More);
        }
        Ok(self.rest())
    }

    /// Hands over what one of the ports has; `false` if none has anything.
    fn deliver(&mut self, visit: &mut dyn FnMut(&[Packet<'_>])) -> bool {
        for _ in 0..self.ports.len() {
            self.turn = (self.turn + 1) % self.ports.len();
            let Some(port) = self.ports.get_mut(self.turn) else { break };
            if port.deliver(&mut self.counts, visit) {
                self.quiet = self.quiet.map(|_| 0);
                return true;
            }
        }
        false
    }

    /// What it means that nothing came.
    fn rest(&mut self) -> Progress {
        let Some(quiet) = &mut self.quiet else { return Progress::Idle };
        *quiet += 1;
        // Twice: a packet may have been on its way when the kernel was told to stop.
        let is_empty = *quiet >= 2 && self.ports.iter_mut().all(Port::is_empty);
        if is_empty || *quiet >= PATIENCE { Progress::End } else { Progress::Idle }
    }

    /// Takes no more packets in from now on. What has been captured is still handed over by
    /// [`batch`](Self::batch), which then says [`Progress::End`]; it says [`Progress::Idle`] while
    /// the kernel has not handed over the last of them.
    pub fn stop(&mut self) {
        self.quiet.get_or_insert(0);
        for port in &mut self.ports {
            port.stop();
        }
    }

    /// What has been seen so far.
    pub fn stats(&mut self) -> LiveStats {
        let Counts { packets, octets, unwanted } = self.counts;
        let interface_dropped = self.drops.lost();
        let mut stats =
            LiveStats { packets, octets, unwanted, interface_dropped, ..LiveStats::default() };
        for port in &mut self.ports {
            let Received { received, dropped, freezes } = port.received();
            stats.received += received;
            stats.dropped += dropped;
            stats.freezes += freezes;
        }
        stats
    }

    /// Asks the system what the interfaces themselves have lost. It lists all interfaces that there
    /// are, which may be thousands: to be called once a second or so.
    pub fn ask_interfaces(&mut self) {
        self.drops.ask();
    }

    /// What has happened to an interface since this was asked last.
    pub fn take_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }
}

impl Source for Live {
    fn batch(&mut self, visit: &mut dyn FnMut(&[Packet<'_>])) -> Result<Progress, Error> {
        Self::batch(self, visit)
    }
}

fn ring_ports(options: &LiveOptions, groups: &[ring::Group]) -> Result<Vec<Port>, Error> {
    let open = |(n, name): (usize, &String)| {
        ring::Port::open(name, options, groups.get(n).cloned())
            .map(|port| Port::Ring(Box::new(port)))
    };
    options.interfaces.iter().enumerate().map(open).collect()
}

#[cfg(feature = "libpcap")]
fn libpcap_ports(options: &LiveOptions) -> Result<Vec<Port>, Error> {
    let open = |name: &String| {
        libpcap::Port::open(name, options).map(|port| Port::Libpcap(Box::new(port)))
    };
    options.interfaces.iter().map(open).collect()
}

#[cfg(not(feature = "libpcap"))]
fn libpcap_ports(_: &LiveOptions) -> Result<Vec<Port>, Error> {
    Err(Error::NoLibpcap { what: "a capture through libpcap" })
}

impl Port {
    fn socket(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Ring(port) => port.socket(),
            #[cfg(feature = "libpcap")]
            Self::Libpcap(port) => port.socket(),
        }
    }

    /// Hands over packets that are there; `false` if there are none.
    fn deliver(&mut self, counts: &mut Counts, visit: &mut dyn FnMut(&[Packet<'_>])) -> bool {
        match self {
            Self::Ring(port) => port.deliver(counts, visit),
            #[cfg(feature = "libpcap")]
            Self::Libpcap(port) => port.deliver(counts, visit),
        }
    }

    /// Looks after the interface, and tells what has happened to it.
    fn look(&mut self) -> Option<Event> {
        match self {
            Self::Ring(port) => port.look(),
            #[cfg(feature = "libpcap")]
            Self::Libpcap(port) => port.look(),
        }
    }

    fn stop(&mut self) {
        match self {
            Self::Ring(port) => port.stop(),
            #[cfg(feature = "libpcap")]
            Self::Libpcap(port) => port.stop(),
        }
    }

    /// Whether all that was captured has been handed over.
    fn is_empty(&mut self) -> bool {
        match self {
            Self::Ring(port) => port.is_empty(),
            #[cfg(feature = "libpcap")]
            Self::Libpcap(port) => port.is_empty(),
        }
    }

    fn received(&mut self) -> Received {
        match self {
            Self::Ring(port) => port.received(),
            #[cfg(feature = "libpcap")]
            Self::Libpcap(port) => port.received(),
        }
    }
}

/// What the interfaces lost themselves, as far as they say.
#[derive(Debug, Default)]
struct Drops {
    socket: Option<RouteSocket>,
    /// Names; empty is all.
    interfaces: Vec<String>,
    /// Those that there are, by number.
    by_link: Vec<Missed>,
    /// What those lost that are no more.
    gone: u64,
}

/// What an interface has lost.
#[derive(Clone, Copy, Debug)]
struct Missed {
    index: u32,
    /// When it was first seen here, and now.
    first: u64,
    now: u64,
}

impl Missed {
    const fn lost(&self) -> u64 {
        self.now.saturating_sub(self.first)
    }
}

impl Drops {
    fn open(options: &LiveOptions) -> Self {
        let mut interfaces = options.interfaces.clone();
        if interfaces.iter().any(|name| name == ANY) {
            interfaces.clear();
        }
        let socket = RouteSocket::open().ok();
        let mut drops = Self { socket, interfaces, ..Self::default() };
        drops.ask();
        drops
    }

    fn ask(&mut self) {
        if let Some(Ok(links)) = self.socket.as_mut().map(RouteSocket::links) {
            self.note(&links);
        }
    }

    /// Takes what all interfaces say, by number. Those that are no more are forgotten, but not what
    /// they lost.
    fn note(&mut self, links: &[Link]) {
        let before = std::mem::take(&mut self.by_link);
        let place = |all: &[Missed], index| all.binary_search_by_key(&index, |m| m.index);
        let is_ours =
            |link: &&Link| self.interfaces.is_empty() || self.interfaces.contains(&link.name);
        let missed = |link: &Link| {
            let known = place(&before, link.index).ok().and_then(|at| before.get(at));
            let first = known.map_or(link.missed, |known| known.first);
            Missed { index: link.index, first, now: link.missed }
        };
        let now: Vec<Missed> = links.iter().filter(is_ours).map(missed).collect();
        let gone = before.iter().filter(|m| place(&now, m.index).is_err());
        self.gone += gone.map(Missed::lost).sum::<u64>();
        self.by_link = now;
    }

    /// Packets lost since this was opened.
    fn lost(&self) -> u64 {
        self.gone + self.by_link.iter().map(Missed::lost).sum::<u64>()
    }
}
