//! Where exports go: a socket that keeps all datagrams and looks into them afterwards, so that it
//! never is what a probe waits for.

use anyhow::{Context as _, anyhow};
use record::{Addr, Field, Flow, FlowSink, Meta};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;
use sys::clock;
use sys::udp::{Family, Listen, Receiver};

/// What came out of a probe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flows {
    pub(crate) flows: u64,
    pub(crate) packets: u64,
    pub(crate) octets: u64,
    /// Datagrams that this socket lost.
    pub(crate) lost: u64,
}

impl FlowSink for Flows {
    fn flow(&mut self, flow: &Flow) {
        self.flows += 1;
        self.packets += flow.number(Field::Packets);
        self.octets += flow.number(Field::Bytes);
    }

    fn meta(&mut self, _: Meta<'_>) {}
}

/// Runs `work`, which exports to the address it is given, and returns what was exported meanwhile.
pub(crate) fn collect<T>(work: impl FnOnce(SocketAddr) -> T) -> anyhow::Result<(T, Flows)> {
    let local = Ipv4Addr::LOCALHOST.into();
    let listen = Listen {
        bind: Some(local),
        family: Family::V4,
        receive_buffer: Some(256 << 20),
        ..Listen::default()
    };
    let mut receiver = Receiver::bind(&listen)?;
    let to = receiver.local_addr()?;
    let is_over = AtomicBool::new(false);
    let (done, datagrams) = thread::scope(|scope| {
        let kept = scope.spawn(|| keep(&mut receiver, &is_over));
        let done = work(to);
        is_over.store(true, Ordering::Release);
        (done, kept.join())
    });
    let datagrams = datagrams.map_err(|_| anyhow!("a thread panicked"))??;
    let mut flows = Flows { lost: receiver.dropped(), ..Flows::default() };
    let mut decoder = wire::Decoder::new(wire::Config::default());
    for datagram in &datagrams {
        decoder.decode(Addr::V4(1), clock::now_ms(), datagram, &mut flows);
    }
    Ok((done, flows))
}

/// All datagrams up to the first pause after the end.
fn keep(receiver: &mut Receiver, is_over: &AtomicBool) -> anyhow::Result<Vec<Box<[u8]>>> {
    const PAUSE: Duration = Duration::from_millis(100);
    let mut kept = Vec::new();
    loop {
        // Whoever asks before it looks misses nothing.
        let was_over = is_over.load(Ordering::Acquire);
        let received = receiver.recv(None, Some(PAUSE), |d| kept.push(d.bytes.into()));
        if received.context("receiving")?.count == 0 && was_over {
            return Ok(kept);
        }
    }
}
