//! Load for collectors: exporters with addresses of their own that send NetFlow v5 or v9 at a rate.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::thread;
use std::time::Duration;

use record::{Field, Flow, Row};
use sys::clock;
use sys::udp::{BATCH, Sender};
use wire::testing::V5Builder;
use wire::v5;

use crate::{Model, Traffic, export};

/// What exporters speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// NetFlow v5: 30 flows a datagram, IPv4.
    V5,
    /// NetFlow v9: 20 flows of 18 fields a datagram, IPv4 and IPv6, templates now and then.
    V9,
}

/// Exporters that are ready to send.
pub struct Load {
    exporters: Vec<Exporter>,
    flows_per_datagram: u64,
}

/// What was sent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sent {
    /// Datagrams.
    pub datagrams: u64,
    /// Flows in them.
    pub flows: u64,
    /// Seconds it took.
    pub secs: f64,
}

struct Exporter {
    sender: Sender,
    /// Sent again and again, each time with the sequence number that is due.
    datagrams: Vec<Vec<u8>>,
    next: usize,
    sequence: u32,
    /// Where a datagram has its sequence number, and what it grows by.
    sequence_at: usize,
    step: u32,
}

/// Datagrams of different content that all exporters have together: far more flows than fit into a
/// block, so that packing them is as hard as in real life.
const DISTINCT: usize = 8192;

/// How often the pace is looked at.
const TICK: Duration = Duration::from_millis(1);

/// How long an exporter has been up.
const UPTIME_MS: u64 = 20 * 86_400_000;

impl Load {
    /// `count` exporters, 127.1.0.1 and on, that will send to `to` on loopback.
    ///
    /// # Errors
    /// If an address cannot be had.
    pub fn new(protocol: Protocol, count: u16, to: SocketAddr) -> Result<Self, sys::Error> {
        let now_ms = clock::now_ms();
        let v6_percent = if protocol == Protocol::V5 { 0 } else { 15 };
        let mut traffic = Traffic::new(Model { v6_percent, ..Model::default() });
        let each = (DISTINCT / usize::from(count.max(1))).max(1);
        let exporters = (1..=count).map(|number| {
            let [high, low] = number.to_be_bytes();
            let from = IpAddr::V4(Ipv4Addr::new(127, 1, high, low));
            let datagrams = match protocol {
                Protocol::V5 => (0..each).map(|_| v5_datagram(now_ms, &mut traffic)).collect(),
                Protocol::V9 => v9_datagrams(now_ms, u32::from(number), each, &mut traffic),
            };
            let sender = Sender::connect_from(SocketAddr::new(from, 0), to)?;
            let (sequence_at, step) =
                if protocol == Protocol::V5 { (SEQUENCE_V5, FLOWS_V5 as u32) } else { (12, 1) };
            Ok(Exporter { sender, datagrams, next: 0, sequence: 0, sequence_at, step })
        });
        let flows_per_datagram = match protocol {
            Protocol::V5 => FLOWS_V5,
            Protocol::V9 => export::FLOWS_PER_DATAGRAM,
        };
        let exporters = exporters.collect::<Result<_, _>>()?;
        Ok(Self { exporters, flows_per_datagram: flows_per_datagram as u64 })
    }

    /// Sends `flows`, rounded up to whole datagrams, at `rate` flows a second. Exporters take
    /// turns; what is due at once comes as a burst of one of them.
    ///
    /// # Errors
    /// The kernel's; `ConnectionRefused` if nobody listens.
    pub fn send(&mut self, flows: u64, rate: u64) -> io::Result<Sent> {
        let datagrams = flows.div_ceil(self.flows_per_datagram);
        let per_second = rate.max(1) as f64 / self.flows_per_datagram as f64;
        let start = clock::monotonic();
        let (mut sent, mut turn) = (0, 0);
        while sent < datagrams {
            let due = (start.elapsed().as_secs_f64() * per_second) as u64;
            while sent < due.min(datagrams) {
                let burst = (due.min(datagrams) - sent).min(BURST as u64) as usize;
                let count = self.exporters.len();
                if let Some(exporter) = self.exporters.get_mut(turn % count.max(1)) {
                    sent += exporter.send(burst)? as u64;
                }
                turn += 1;
            }
            thread::sleep(TICK);
        }
        let secs = start.elapsed().as_secs_f64();
        Ok(Sent { datagrams: sent, flows: sent * self.flows_per_datagram, secs })
    }
}

/// Datagrams an exporter sends at once.
const BURST: usize = if BATCH < 16 { BATCH } else { 16 };

impl Exporter {
    /// Sends the next `count` datagrams, or fewer.
    fn send(&mut self, count: usize) -> io::Result<usize> {
        let rest = self.datagrams.get_mut(self.next..).unwrap_or_default();
        let count = count.min(rest.len());
        let burst = &mut rest[..count];
        for (n, datagram) in burst.iter_mut().enumerate() {
            let sequence = self.sequence.wrapping_add(self.step.wrapping_mul(n as u32));
            datagram[self.sequence_at..][..4].copy_from_slice(&sequence.to_be_bytes());
        }
        let sent = self.sender.send_batch(burst)?;
        self.sequence = self.sequence.wrapping_add(self.step.wrapping_mul(sent as u32));
        self.next = (self.next + sent) % self.datagrams.len();
        Ok(sent)
    }
}

fn v9_datagrams(now_ms: u64, id: u32, count: usize, traffic: &mut Traffic) -> Vec<Vec<u8>> {
    /// Datagrams between templates.
    const ANNOUNCE: usize = 256;
    let mut exporter = export::Exporter::new(id, now_ms - UPTIME_MS);
    let mut flows = vec![Flow::new(); export::FLOWS_PER_DATAGRAM];
    let datagrams = (0..count).map(|n| {
        flows.iter_mut().for_each(|flow| ended_flow(now_ms, traffic, flow));
        exporter.datagram(now_ms, &flows, n % ANNOUNCE == 0)
    });
    datagrams.collect()
}

/// Flows of a v5 datagram.
pub const FLOWS_V5: usize = 30;

/// Where a v5 datagram has its sequence number, four octets.
pub const SEQUENCE_V5: usize = 16;

/// The next [`FLOWS_V5`] flows of `traffic` as a NetFlow v5 datagram of `now_ms`, with the sequence number 0.
pub fn v5_datagram(now_ms: u64, traffic: &mut Traffic) -> Vec<u8> {
    let header = v5::Header {
        uptime_ms: UPTIME_MS as u32,
        unix_secs: (now_ms / 1000) as u32,
        unix_nsecs: (now_ms % 1000) as u32 * 1_000_000,
        ..v5::Header::default()
    };
    let mut flow = Flow::new();
    let datagram = (0..FLOWS_V5).fold(V5Builder::new(header), |datagram, _| {
        ended_flow(now_ms, traffic, &mut flow);
        datagram.record(v5_record(flow.as_row(), now_ms - UPTIME_MS))
    });
    datagram.build()
}

fn v5_record(row: Row<'_>, booted_ms: u64) -> [u8; v5::RECORD_LEN] {
    const FIELDS: [(usize, usize, Field); 18] = [
        (0, 4, Field::SrcAddr),
        (4, 4, Field::DstAddr),
        (8, 4, Field::NextHop),
        (12, 2, Field::Input),
        (14, 2, Field::Output),
        (16, 4, Field::Packets),
        (20, 4, Field::Bytes),
        (24, 4, Field::First),
        (28, 4, Field::Last),
        (32, 2, Field::SrcPort),
        (34, 2, Field::DstPort),
        (37, 1, Field::TcpFlags),
        (38, 1, Field::Proto),
        (39, 1, Field::SrcTos),
        (40, 2, Field::SrcAs),
        (42, 2, Field::DstAs),
        (44, 1, Field::SrcMask),
        (45, 1, Field::DstMask),
    ];
    let mut record = [0; v5::RECORD_LEN];
    for (at, len, field) in FIELDS {
        let value = match (row.addr(field), field) {
            (Some(record::Addr::V4(addr)), _) => u64::from(addr),
            (_, Field::First | Field::Last) => row.number(field).wrapping_sub(booted_ms),
            _ => row.number(field),
        };
        record[at..at + len].copy_from_slice(&value.to_be_bytes()[8 - len..]);
    }
    record
}

/// The next flow, moved back in time so that it has ended: exporters send no other ones.
fn ended_flow(now_ms: u64, traffic: &mut Traffic, flow: &mut Flow) {
    traffic.fill(now_ms, flow);
    let late = flow.number(Field::Last).saturating_sub(now_ms);
    for field in [Field::First, Field::Last] {
        flow.set(field, flow.number(field) - late);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use record::{Addr, FlowSink, Meta};

    struct Kept(Vec<(u64, u64, Option<Addr>)>);

    impl FlowSink for Kept {
        fn flow(&mut self, flow: &Flow) {
            self.0.push(gist(flow));
        }

        fn meta(&mut self, _: Meta<'_>) {}
    }

    fn gist(flow: &Flow) -> (u64, u64, Option<Addr>) {
        let row = flow.as_row();
        (row.number(Field::First), row.number(Field::Bytes), row.addr(Field::NextHop))
    }

    #[test]
    fn what_v5_exporters_send_is_decoded() {
        let (now_ms, model) = (1_795_000_000_123, Model { v6_percent: 0, ..Model::default() });
        let datagram = v5_datagram(now_ms, &mut Traffic::new(model));
        let mut sink = Kept(Vec::new());
        wire::Decoder::new(wire::Config::default()).decode(
            Addr::V4(1),
            now_ms,
            &datagram,
            &mut sink,
        );
        let (mut traffic, mut flow) = (Traffic::new(model), Flow::new());
        let want = (0..FLOWS_V5).map(|_| {
            ended_flow(now_ms, &mut traffic, &mut flow);
            gist(&flow)
        });
        assert_eq!(sink.0, want.collect::<Vec<_>>());
    }

    #[test]
    fn exporters_take_turns_and_count_on() {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut load = Load::new(Protocol::V9, 3, socket.local_addr().unwrap()).unwrap();
        let sent = load.send(90, u64::MAX >> 20).unwrap();
        assert_eq!((sent.datagrams, sent.flows), (5, 100));
        let mut next = std::collections::HashMap::new();
        let mut datagram = [0; 2048];
        for _ in 0..sent.datagrams {
            let (len, from) = socket.recv_from(&mut datagram).unwrap();
            assert!((1000..1473).contains(&len), "{len} octets");
            let expected = next.entry(from.ip()).or_insert(0u32);
            assert_eq!(datagram[12..16], expected.to_be_bytes());
            *expected += 1;
        }
    }
}
