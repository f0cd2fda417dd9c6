//! Rows to encoders and on to destinations: copies to all, or shares for each.
//!
//! Receivers that get different datagrams have encoders of their own, so that each sees a sequence
//! without gaps that are none: with a balance, and over TCP, where each connection begins with its
//! templates. Over UDP one encoder serves all that get copies.

use std::time::Duration;

use record::{Flow, Row};
use wire::export::{
    Carries, DatagramSink, Encoder, ExportConfig, ExportCounts, InterfaceName, PlainFlow, Version,
};

use crate::destination::Transport;
use crate::sender::{DestinationCounts, SendConfig, SendError, Sender};

/// Encoders and the destinations of what they make.
pub struct Dispatch {
    encoders: Vec<Encoder>,
    sender: Sender,
    version: Version,
    spread: Spread,
    /// Whose turn it is, where one of several gets a flow.
    turn: usize,
    /// For plain flows that go the way of others.
    general: Flow,
}

/// Which encoders get a row, and which destinations what it makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spread {
    /// One encoder for all destinations.
    Together,
    /// An encoder for each destination, and each gets all.
    Copies,
    /// An encoder for each destination, and one gets a row: it has its turn until it has made a
    /// datagram.
    Shares,
}

impl Dispatch {
    /// Opens the destinations. With `balance` a datagram goes to one of them, in turn, and templates
    /// to all; otherwise everything to all.
    ///
    /// `export.transport` is set as `send.transport` asks for.
    ///
    /// # Errors
    /// As those of [`Sender::start`].
    pub fn start(
        mut export: ExportConfig,
        send: SendConfig,
        balance: bool,
    ) -> Result<Self, SendError> {
        let is_stream = send.transport == Transport::Tcp;
        // NetFlow over TCP is not standard, and whoever takes it expects templates now and then.
        export.transport = match is_stream && export.version == Version::Ipfix {
            true => wire::export::Transport::Stream,
            false => wire::export::Transport::Datagrams,
        };
        let count = send.destinations.len();
        let spread = match (balance, is_stream) {
            (true, _) if count > 1 => Spread::Shares,
            (_, true) => Spread::Copies,
            _ => Spread::Together,
        };
        let sender = Sender::start(SendConfig { version: export.version, ..send })?;
        let lanes = if spread == Spread::Together { 1 } else { count };
        let encoders = (0..lanes).map(|_| Encoder::new(export.clone())).collect();
        let (version, general) = (export.version, Flow::new());
        Ok(Self { encoders, sender, version, spread, turn: 0, general })
    }

    /// Takes one flow, as [`Encoder::flow`] does.
    pub fn flow(&mut self, now_ms: u64, row: Row<'_>, times_ns: Option<(u64, u64)>) {
        // Not only at each tick: what waits may wait for that.
        self.open(now_ms);
        let Self { encoders, sender, spread, turn, .. } = self;
        give(encoders, sender, *spread, turn, |encoder, out| {
            encoder.flow(now_ms, row, times_ns, out);
        });
    }

    /// Takes one flow of a probe, as [`Encoder::plain`] does where datagrams go to all destinations.
    pub fn plain(&mut self, now_ms: u64, flow: &PlainFlow) {
        if self.spread == Spread::Together {
            self.encoders.iter_mut().for_each(|e| e.plain(now_ms, flow, &mut self.sender));
            return;
        }
        self.open(now_ms);
        let Self { encoders, sender, spread, turn, general, .. } = self;
        flow.fill(general);
        let times = Some((flow.first_ns, flow.last_ns));
        give(encoders, sender, *spread, turn, |encoder, out| {
            encoder.flow(now_ms, general.as_row(), times, out);
        });
    }

    /// To be called some times a second: sends what is due, and what new connections and recovered
    /// destinations have to be told.
    pub fn tick(&mut self, now_ms: u64) {
        self.open(now_ms);
        if self.sender.take_templates_wanted() {
            self.encoders.iter_mut().for_each(Encoder::request_templates);
        }
        self.each(|encoder, out| encoder.tick(now_ms, out));
    }

    /// Gives new connections what they begin with.
    fn open(&mut self, now_ms: u64) {
        if self.spread == Spread::Together {
            return; // no connections
        }
        for (at, encoder) in self.encoders.iter_mut().enumerate() {
            self.sender.open(at, |out| encoder.connection_opened(now_ms, out));
        }
    }

    /// Sends what waits for more flows. It may still wait for its destination.
    pub fn flush(&mut self, now_ms: u64) {
        self.each(|encoder, out| encoder.flush(now_ms, out));
    }

    /// Sends templates and options again at once.
    pub fn send_templates(&mut self, now_ms: u64) {
        self.encoders.iter_mut().for_each(Encoder::request_templates);
        self.each(|encoder, out| {
            encoder.tick(now_ms, out);
            encoder.flush(now_ms, out);
        });
    }

    /// Replaces the names of interfaces.
    pub fn set_interfaces(&mut self, interfaces: &[InterfaceName]) {
        self.encoders.iter_mut().for_each(|encoder| encoder.set_interfaces(interfaces.to_vec()));
    }

    fn each(&mut self, f: impl FnMut(&mut Encoder, &mut dyn DatagramSink)) {
        each(&mut self.encoders, &mut self.sender, self.spread, f);
    }

    /// From now on flows wait for destinations that are there and slower, so long at most for all of
    /// them: for the last ones, when nothing is captured any more.
    pub fn be_patient(&self, patience: Duration) {
        self.sender.be_patient(patience);
    }

    /// Sends everything, and ends. Destinations that have not taken it after `patience` lose it, and
    /// it is counted.
    pub fn finish(&mut self, now_ms: u64, patience: Duration) {
        /// How often connections that are made meanwhile are looked after.
        const LOOK: Duration = Duration::from_millis(20);
        self.tick(now_ms);
        self.flush(now_ms);
        self.sender.close(patience);
        while !self.sender.wait(LOOK) {
            self.open(now_ms);
        }
    }

    /// What the encoders did, together.
    pub fn counts(&self) -> ExportCounts {
        let mut sum = ExportCounts::default();
        self.encoders.iter().for_each(|encoder| sum.add(encoder.counts()));
        sum
    }

    /// What became of the datagrams for each destination.
    pub fn destinations(&self) -> Vec<(String, DestinationCounts)> {
        self.sender.counts()
    }

    /// Protocol of what is sent.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Flow records written so far.
    pub fn records(&self) -> u64 {
        self.encoders.iter().map(|encoder| encoder.counts().records).sum()
    }

    /// The earliest moment, milliseconds since 1970, at which [`tick`](Self::tick) has something to
    /// do; `None` is never, unless flows come.
    pub fn next_due(&self) -> Option<u64> {
        self.encoders.iter().filter_map(Encoder::next_due).min()
    }
}

/// Lets all encoders work.
#[inline]
fn each(
    encoders: &mut [Encoder],
    sender: &mut Sender,
    spread: Spread,
    mut f: impl FnMut(&mut Encoder, &mut dyn DatagramSink),
) {
    for (at, encoder) in encoders.iter_mut().enumerate() {
        match spread {
            Spread::Together => f(encoder, sender),
            _ => f(encoder, &mut |bytes: &[u8], what: Carries| sender.put(at, bytes, what)),
        }
    }
}

/// Lets those encoders work that get the next flow.
#[inline]
fn give(
    encoders: &mut [Encoder],
    sender: &mut Sender,
    spread: Spread,
    turn: &mut usize,
    mut f: impl FnMut(&mut Encoder, &mut dyn DatagramSink),
) {
    if spread != Spread::Shares {
        return each(encoders, sender, spread, f);
    }
    let count = encoders.len().max(1);
    let Some(encoder) = encoders.get_mut(*turn) else { return };
    let mut out = Watched { sender, at: *turn, has_sent: false };
    f(encoder, &mut out);
    if out.has_sent {
        *turn = (*turn + 1) % count;
    }
}

/// Sees whether an encoder has sent flows.
struct Watched<'a> {
    sender: &'a mut Sender,
    at: usize,
    has_sent: bool,
}

impl DatagramSink for Watched<'_> {
    fn datagram(&mut self, bytes: &[u8], what: Carries) {
        self.has_sent |= what.has_flows();
        self.sender.put(self.at, bytes, what);
    }
}
