//! Flows to export datagrams: NetFlow v1, v5, v9 (RFC 3954) and IPFIX (RFC 7011, RFC 5103). The
//! counterpart of [`Decoder`](crate::Decoder).
//!
//! In reading order:
//!
//! * [`ExportConfig`], [`ExportCounts`]: how it is set up, and what came of it;
//! * `fixed`: v1 and v5;
//! * `element`: which element a field becomes; `plan`: a set of fields compiled into a template and
//!   the steps that write its records;
//! * `template`: the templates of a stream; `options`: what the exporter says of itself;
//! * `plain`: most flows of a probe, by a shorter way;
//! * `message`, `stream`: datagrams of v9 and IPFIX, and what goes into them when;
//! * `clock`: times.

mod clock;
mod config;
mod counts;
mod element;
mod fixed;
mod message;
mod options;
mod plain;
mod plan;
mod stream;
mod template;
#[cfg(test)]
mod tests;

pub use config::{
    ConfigError, ExportConfig, InterfaceName, Sampling, SamplingKind, TimeFormat, Transport,
    Version,
};
pub use counts::{Carries, DatagramSink, ExportCounts};
pub use plain::PlainFlow;

use fixed::Fixed;
use record::{Flow, Row};
use stream::Stream;

/// Makes one stream of export datagrams out of rows: one protocol, one observation domain, one
/// sequence of numbers. Receivers that get different datagrams need encoders of their own.
///
/// It has no clock: `now_ms` is milliseconds since 1970, and what headers say.
///
/// ```
/// use record::{Addr, Field, Flow};
/// use wire::export::{Encoder, ExportConfig, Version};
///
/// let mut flow = Flow::new();
/// flow.set_addr(Field::SrcAddr, Addr::V4(0x0a00_0001));
/// flow.set(Field::First, 1_795_000_000_000);
/// flow.set(Field::Last, 1_795_000_000_900);
/// flow.set(Field::Bytes, 1500);
///
/// let mut encoder = Encoder::new(ExportConfig::new(Version::V5));
/// let mut sent = Vec::new();
/// let mut sink = |datagram: &[u8], _| sent.push(datagram.to_vec());
/// encoder.flow(1_795_000_001_000, flow.as_row(), None, &mut sink);
/// encoder.flush(1_795_000_001_000, &mut sink);
/// assert_eq!(sent.len(), 1);
/// assert_eq!(encoder.counts().records, 1);
/// ```
#[derive(Debug)]
pub struct Encoder {
    config: ExportConfig,
    counts: ExportCounts,
    kind: Kind,
    /// For plain flows that go the way of others.
    flow: Flow,
}

#[derive(Debug)]
enum Kind {
    Fixed(Box<Fixed>),
    Stream(Box<Stream>),
}

/// What is at hand during a call.
struct Context<'a> {
    config: &'a ExportConfig,
    counts: &'a mut ExportCounts,
    now: u64,
    out: &'a mut dyn DatagramSink,
}

impl Encoder {
    /// An encoder that has sent nothing yet.
    pub fn new(config: ExportConfig) -> Self {
        let kind = if config.version.has_templates() {
            Kind::Stream(Box::new(Stream::new(&config)))
        } else {
            Kind::Fixed(Box::new(Fixed::new(&config)))
        };
        Self { config, counts: ExportCounts::default(), kind, flow: Flow::new() }
    }

    /// Takes one flow. `times_ns`, start and end in nanoseconds since 1970, come in place of the
    /// row's own, which are milliseconds.
    ///
    /// The row decides what is written: one with [`NatEvent`](record::Field::NatEvent) is a NAT
    /// event (RFC 8158), one with [`FwEvent`](record::Field::FwEvent) a firewall event (NSEL),
    /// one with translated addresses and no event a flow that tells them.
    ///
    /// Datagrams that are full, or whose first record has waited long enough, go to `out`.
    #[inline]
    pub fn flow(
        &mut self,
        now_ms: u64,
        row: Row<'_>,
        times_ns: Option<(u64, u64)>,
        out: &mut dyn DatagramSink,
    ) {
        self.counts.rows += 1;
        let (kind, mut cx) = self.parts(now_ms, out);
        match kind {
            Kind::Fixed(fixed) => fixed.flow(row, times_ns, &mut cx),
            Kind::Stream(stream) => stream.flow(row, times_ns, &mut cx),
        }
    }

    /// Takes one flow of a probe: as [`flow`](Self::flow) takes what [`PlainFlow::fill`] makes of it, with
    /// its times in nanoseconds, but faster over v9 and IPFIX. There, flows of different forms do not
    /// keep their order.
    pub fn plain(&mut self, now_ms: u64, flow: &PlainFlow, out: &mut dyn DatagramSink) {
        self.counts.rows += 1;
        let Self { config, counts, kind, flow: general } = self;
        let mut cx = Context { config, counts, now: now_ms, out };
        if let Kind::Stream(stream) = kind
            && stream.plain(flow, &mut cx)
        {
            return;
        }
        flow.fill(general);
        let times = Some((flow.first_ns, flow.last_ns));
        match kind {
            Kind::Fixed(fixed) => fixed.flow(general.as_row(), times, &mut cx),
            Kind::Stream(stream) => stream.flow(general.as_row(), times, &mut cx),
        }
    }

    /// Sends what waits.
    pub fn flush(&mut self, now_ms: u64, out: &mut dyn DatagramSink) {
        let (kind, mut cx) = self.parts(now_ms, out);
        match kind {
            Kind::Fixed(fixed) => fixed.send(&mut cx),
            Kind::Stream(stream) => stream.send(&mut cx),
        }
    }

    /// To be called some times a second: sends a datagram whose first record has waited long
    /// enough, and templates and options that are due.
    pub fn tick(&mut self, now_ms: u64, out: &mut dyn DatagramSink) {
        let (kind, mut cx) = self.parts(now_ms, out);
        match kind {
            Kind::Fixed(fixed) => fixed.tick(&mut cx),
            Kind::Stream(stream) => stream.tick(&mut cx),
        }
    }

    /// When [`tick`](Self::tick) has something to do, milliseconds since 1970; `None` is never,
    /// unless flows or a request come.
    pub fn next_due(&self) -> Option<u64> {
        match &self.kind {
            Kind::Fixed(fixed) => fixed.next_due(&self.config),
            Kind::Stream(stream) => stream.next_due(&self.config),
        }
    }

    /// Sends templates and options again with the next datagram, at the next
    /// [`tick`](Self::tick) at the latest. v1 and v5 have none.
    pub fn request_templates(&mut self) {
        if let Kind::Stream(stream) = &mut self.kind {
            stream.request();
        }
    }

    /// A connection was made: sends what its receiver has to know before it can read anything else,
    /// and starts the sequence anew (RFC 7011, 3.1 and 10.4). What waits comes after it.
    pub fn connection_opened(&mut self, now_ms: u64, out: &mut dyn DatagramSink) {
        let (kind, mut cx) = self.parts(now_ms, out);
        if let Kind::Stream(stream) = kind {
            stream.connection_opened(&mut cx);
        }
    }

    /// Replaces the names of interfaces, and sends them with the next datagram.
    pub fn set_interfaces(&mut self, interfaces: Vec<InterfaceName>) {
        self.config.interfaces = interfaces;
        self.request_templates();
    }

    /// What was sent and left out so far.
    pub const fn counts(&self) -> &ExportCounts {
        &self.counts
    }

    /// How it was set up.
    pub const fn config(&self) -> &ExportConfig {
        &self.config
    }

    #[inline]
    fn parts<'a>(
        &'a mut self,
        now: u64,
        out: &'a mut dyn DatagramSink,
    ) -> (&'a mut Kind, Context<'a>) {
        (&mut self.kind, Context { config: &self.config, counts: &mut self.counts, now, out })
    }
}
