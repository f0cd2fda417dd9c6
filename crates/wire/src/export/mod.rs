//! Flows to export datagrams: NetFlow v1, v5, v9 (RFC 3954) and IPFIX (RFC 7011, RFC 5103). The
//! counterpart of [`Decoder`](crate::Decoder).

mod config;
mod counts;

pub use config::{
    ConfigError, ExportConfig, InterfaceName, Sampling, SamplingKind, TimeFormat, Transport,
    Version,
};
pub use counts::{Carries, DatagramSink, ExportCounts};

use record::Row;

/// Makes one stream of export datagrams out of rows: one protocol, one observation domain, one
/// sequence of numbers. Receivers that get different datagrams need encoders of their own.
///
/// It has no clock: `now_ms` is milliseconds since 1970, and what headers say.
#[derive(Debug)]
pub struct Encoder {
    config: ExportConfig,
    counts: ExportCounts,
}

impl Encoder {
    /// An encoder that has sent nothing yet.
    pub fn new(config: ExportConfig) -> Self {
        Self { config, counts: ExportCounts::default() }
    }

    /// Takes one flow. `times_ns`, start and end in nanoseconds since 1970, come in place of the
    /// row's own, which are milliseconds.
    ///
    /// Datagrams that are full, or whose first record has waited long enough, go to `out`.
    pub fn flow(
        &mut self,
        _now_ms: u64,
        _row: Row<'_>,
        _times_ns: Option<(u64, u64)>,
        _out: &mut dyn DatagramSink,
    ) {
        self.counts.rows += 1;
    }

    /// Sends what waits.
    pub fn flush(&mut self, _now_ms: u64, _out: &mut dyn DatagramSink) {}

    /// To be called some times a second: sends a datagram whose first record has waited long
    /// enough, and templates and options that are due.
    pub fn tick(&mut self, _now_ms: u64, _out: &mut dyn DatagramSink) {}

    /// When [`tick`](Self::tick) has something to do, milliseconds since 1970; `None` is never,
    /// unless flows come.
    pub const fn next_due(&self) -> Option<u64> {
        None
    }

    /// Sends templates and options again with the next datagram.
    pub const fn request_templates(&mut self) {}

    /// A connection was made: sends what its receiver has to know before it can read anything else,
    /// and starts the sequence anew (RFC 7011, 10.3.2). What waits comes after it.
    pub fn connection_opened(&mut self, _now_ms: u64, _out: &mut dyn DatagramSink) {}

    /// Replaces the names of interfaces, and sends them with the next datagram.
    pub fn set_interfaces(&mut self, interfaces: Vec<InterfaceName>) {
        self.config.interfaces = interfaces;
    }

    /// What was sent and left out so far.
    pub const fn counts(&self) -> &ExportCounts {
        &self.counts
    }

    /// How it was set up.
    pub const fn config(&self) -> &ExportConfig {
        &self.config
    }
}
