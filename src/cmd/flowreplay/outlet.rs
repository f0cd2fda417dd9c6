//! Where flows go: to one stream of datagrams, or to one for each exporter in its own name.

use export::{Dispatch, SendConfig, Transport};
use record::{Addr, Exporter, Row};
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use sys::raw::Spoofer;
use wire::export::{Carries, Encoder, ExportConfig, ExportCounts};

/// How long a destination may take for what still waits at the end.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where flows go.
pub(super) enum Outlet {
    /// One exporter: this host.
    Together(Box<Dispatch>),
    /// Those that the files tell of.
    ByExporter(Box<ByExporter>),
}

/// What became of it all.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Outcome {
    /// Of rows.
    pub(super) counts: ExportCounts,
    /// Datagrams that were sent.
    pub(super) sent: u64,
    /// Octets of these.
    pub(super) octets: u64,
    /// Datagrams that were not.
    pub(super) lost: u64,
    /// Reports that nobody listens.
    pub(super) unheard: u64,
    /// Flows whose exporter has no address of the family that is sent over.
    pub(super) homeless: u64,
}

impl Outlet {
    /// A stream to the destination of `send`.
    pub(super) fn together(export: ExportConfig, send: SendConfig) -> anyhow::Result<Self> {
        Ok(Self::Together(Box::new(Dispatch::start(export, send, false)?)))
    }

    /// A stream for each exporter to `to`.
    pub(super) fn by_exporter(export: ExportConfig, to: SocketAddr) -> anyhow::Result<Self> {
        let wire =
            Wire { spoofer: Spoofer::connect(to)?, sent: 0, octets: 0, lost: 0, error: None };
        let (lanes, homeless) = (HashMap::new(), 0);
        Ok(Self::ByExporter(Box::new(ByExporter { export, to, lanes, wire, homeless })))
    }

    /// Takes one flow.
    #[inline]
    pub(super) fn flow(
        &mut self,
        exporter: Option<&Exporter>,
        now_ms: u64,
        row: Row<'_>,
        times_ns: Option<(u64, u64)>,
    ) {
        match self {
            Self::Together(dispatch) => dispatch.flow(now_ms, row, times_ns),
            Self::ByExporter(all) => all.flow(exporter, now_ms, row, times_ns),
        }
    }

    /// Sends what is due.
    pub(super) fn tick(&mut self, now_ms: u64) {
        match self {
            Self::Together(dispatch) => dispatch.tick(now_ms),
            Self::ByExporter(all) => all.each(|encoder, out| encoder.tick(now_ms, out)),
        }
    }

    /// Sends what waits for more flows.
    pub(super) fn flush(&mut self, now_ms: u64) {
        match self {
            Self::Together(dispatch) => dispatch.flush(now_ms),
            Self::ByExporter(all) => all.each(|encoder, out| encoder.flush(now_ms, out)),
        }
    }

    /// Datagrams so far, whether or not they have gone.
    pub(super) fn datagrams(&self) -> u64 {
        match self {
            Self::Together(dispatch) => dispatch.counts().datagrams,
            Self::ByExporter(all) => all.wire.sent + all.wire.lost,
        }
    }

    /// Sends everything. Returns what became of it, and the last thing that the system refused.
    pub(super) fn finish(mut self, now_ms: u64) -> (Outcome, Option<io::Error>) {
        match &mut self {
            Self::Together(dispatch) => {
                dispatch.finish(now_ms, PATIENCE);
                let mut outcome = Outcome { counts: dispatch.counts(), ..Outcome::default() };
                for (_, counts) in dispatch.destinations() {
                    outcome.sent += counts.sent;
                    outcome.octets += counts.sent_octets;
                    outcome.lost += counts.lost();
                    outcome.unheard += counts.unheard;
                }
                (outcome, None)
            }
            Self::ByExporter(all) => {
                all.each(|encoder, out| encoder.flush(now_ms, out));
                (all.outcome(), all.wire.error.take())
            }
        }
    }
}

/// A stream for each exporter.
pub(super) struct ByExporter {
    export: ExportConfig,
    to: SocketAddr,
    /// By address and domain.
    lanes: HashMap<(Addr, u32), Lane>,
    wire: Wire,
    homeless: u64,
}

struct Lane {
    from: SocketAddr,
    encoder: Encoder,
}

struct Wire {
    spoofer: Spoofer,
    sent: u64,
    octets: u64,
    lost: u64,
    error: Option<io::Error>,
}

impl Wire {
    fn send(&mut self, from: SocketAddr, bytes: &[u8]) {
        match self.spoofer.send(from, bytes) {
            Ok(()) => {
                self.sent += 1;
                self.octets += bytes.len() as u64;
            }
            Err(e) => {
                self.lost += 1;
                self.error = Some(e);
            }
        }
    }
}

impl ByExporter {
    fn flow(
        &mut self,
        exporter: Option<&Exporter>,
        now_ms: u64,
        row: Row<'_>,
        times_ns: Option<(u64, u64)>,
    ) {
        let home = exporter.map(|e| (IpAddr::from(e.addr), e));
        let is_usable = |ip: &IpAddr| ip.is_ipv4() == self.to.is_ipv4() && !ip.is_unspecified();
        let Some((ip, exporter)) = home.filter(|(ip, _)| is_usable(ip)) else {
            self.homeless += 1;
            return;
        };
        let Self { export, to, lanes, wire, .. } = self;
        let lane = lanes.entry((exporter.addr, exporter.id)).or_insert_with(|| Lane {
            from: SocketAddr::new(ip, to.port()),
            encoder: Encoder::new(ExportConfig { domain: exporter.id, ..export.clone() }),
        });
        let from = lane.from;
        let mut out = |bytes: &[u8], _: Carries| wire.send(from, bytes);
        lane.encoder.flow(now_ms, row, times_ns, &mut out);
    }

    fn each(&mut self, f: impl Fn(&mut Encoder, &mut dyn wire::export::DatagramSink)) {
        let Self { lanes, wire, .. } = self;
        for lane in lanes.values_mut() {
            f(&mut lane.encoder, &mut |bytes: &[u8], _: Carries| wire.send(lane.from, bytes));
        }
    }

    fn outcome(&self) -> Outcome {
        let Wire { sent, octets, lost, .. } = self.wire;
        let mut counts = ExportCounts::default();
        self.lanes.values().for_each(|lane| counts.add(lane.encoder.counts()));
        Outcome { counts, sent, octets, lost, unheard: 0, homeless: self.homeless }
    }
}

/// What carries datagrams.
pub(super) const fn transport(is_tcp: bool) -> Transport {
    if is_tcp { Transport::Tcp } else { Transport::Udp }
}
