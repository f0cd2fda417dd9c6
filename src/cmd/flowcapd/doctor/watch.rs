//! What arrives at the machine, seen before any firewall and any socket: datagrams of UDP in a ring of
//! the kernel. Those to the collector's ports are decoded as the collector would, with the templates
//! that it has kept in its directory; of others it is looked whether they are exports.

use super::observed::{Elsewhere, Seen, Sender};
use capture::udp::{Datagram, Extractor};
use capture::{Direction, Packet};
use collector::{Config, Keep, Sources};
use record::{Addr, Flow, FlowSink, Meta};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd as _;
use std::path::Path;
use std::time::{Duration, Instant};
use sys::bpf::Instruction;
use sys::poll::{self, Ready};
use sys::ring::{Fanout, Options, Ring};
use wire::{Continuity, Counters, Decoder, Snapshot};

/// Senders, and places elsewhere, that are told apart.
const MOST: usize = 256;
/// Datagrams that are decoded: of more it is only counted that they came.
const MOST_DECODED: u64 = 100_000;

/// An open ring, and what was seen in it.
pub(super) struct Eye {
    ring: Ring,
    extractor: Extractor,
    ports: Vec<u16>,
    ours: Vec<IpAddr>,
    decoder: Decoder,
    sink: Sieve,
    config: Option<Config>,
    decoded: u64,
    seen: Seen,
    senders: BTreeMap<(IpAddr, SocketAddr, u32), Sender>,
    elsewhere: BTreeMap<(IpAddr, u16, u32), Elsewhere>,
}

/// Counts flows, and those that the filter keeps.
struct Sieve {
    keep: Option<Keep>,
    flows: u64,
    kept: u64,
}

impl FlowSink for Sieve {
    fn flow(&mut self, flow: &Flow) {
        self.flows += 1;
        self.kept += u64::from(self.keep.as_mut().is_none_or(|keep| keep("", flow)));
    }

    fn meta(&mut self, _: Meta<'_>) {}
}

impl Eye {
    /// Begins to watch. Needs CAP_NET_RAW.
    pub(super) fn open(
        ports: &[u16],
        config: Option<Config>,
        keep: Option<Keep>,
    ) -> Result<Self, sys::Error> {
        let ring = Ring::open(&Options {
            interface: 0,
            promiscuous: false,
            snap_len: 65_535,
            buffer: 16 << 20,
            block_timeout: Duration::from_millis(20),
            fanout: Fanout::Alone,
            filter: &UDP,
        })?;
        let decoder = config.as_ref().map(|c| c.decoder).unwrap_or_default();
        Ok(Self {
            ring,
            extractor: Extractor::new(),
            ports: ports.to_vec(),
            ours: sys::netlink::own_addresses().unwrap_or_default(),
            decoder: Decoder::new(decoder),
            sink: Sieve { keep, flows: 0, kept: 0 },
            config,
            decoded: 0,
            seen: Seen::default(),
            senders: BTreeMap::new(),
            elsewhere: BTreeMap::new(),
        })
    }

    /// Takes over the templates that a collector has kept in a directory, if there are any.
    pub(super) fn learn(&mut self, directory: &Path, now_ms: u64) {
        #[derive(serde::Deserialize)]
        struct State {
            decoder: Snapshot,
        }
        const MOST: u64 = 64 << 20;
        let path = store::side::of_directory(directory, "state");
        if std::fs::metadata(&path).is_ok_and(|file| file.is_file() && file.len() <= MOST)
            && let Ok(text) = std::fs::read(&path)
            && let Ok(state) = serde_json::from_slice::<State>(&text)
        {
            // Of another version, or damaged: then templates are not known, and that is said.
            let _ = self.decoder.restore(state.decoder, now_ms, Continuity::Crashed);
        }
    }

    /// Watches until then.
    pub(super) fn watch(&mut self, until: Instant) -> std::io::Result<()> {
        loop {
            let left = until.saturating_duration_since(sys::clock::monotonic());
            if left.is_zero() {
                return Ok(());
            }
            poll::wait(&[(self.ring.as_fd(), Ready::READ)], Some(left))?;
            self.read();
        }
    }

    /// What is in one block of the ring.
    fn read(&mut self) {
        let Self { ring, extractor, .. } = self;
        let mut found = Vec::new();
        for frame in ring.frames().filter(|frame| !frame.is_outgoing) {
            let packet = Packet {
                time_ns: Some(frame.time_ns),
                link: RAW_IP,
                wire_len: frame.wire_len,
                interface: frame.interface,
                direction: Direction::Inbound,
                bytes: frame.bytes.get(frame.network..).unwrap_or_default(),
            };
            if let Some(datagram) = extractor.extract(&packet) {
                let Datagram { peer, to, time_ns, bytes, .. } = datagram;
                found.push((frame.interface, peer, to, time_ns, bytes.to_vec()));
            }
        }
        for (interface, peer, to, time_ns, bytes) in found {
            let at_ms = time_ns.unwrap_or_default() / 1_000_000;
            self.datagram(interface, peer.ip(), to, at_ms, &bytes);
        }
    }

    fn datagram(&mut self, interface: u32, from: IpAddr, to: SocketAddr, at_ms: u64, bytes: &[u8]) {
        self.seen.datagrams += 1;
        let protocol = protocol(bytes);
        if self.ports.contains(&to.port()) {
            return self.ours(interface, from, to, at_ms, bytes, protocol);
        }
        let is_standard = PORTS.contains(&to.port());
        let Some(protocol) = protocol.or_else(|| is_standard.then_some("unknown data")) else {
            return;
        };
        if !self.is_for_us(to.ip()) {
            return; // of others that pass through
        }
        let key = (from, to.port(), interface);
        if self.elsewhere.len() >= MOST && !self.elsewhere.contains_key(&key) {
            self.seen.others += 1;
            return;
        }
        let new =
            Elsewhere { address: from, port: to.port(), protocol, datagrams: 0, listener: None };
        self.elsewhere.entry(key).or_insert(new).datagrams += 1;
    }

    /// A datagram to a port of the collector.
    fn ours(
        &mut self,
        interface: u32,
        from: IpAddr,
        to: SocketAddr,
        at_ms: u64,
        bytes: &[u8],
        protocol: Option<&'static str>,
    ) {
        let key = (from, to, interface);
        if self.senders.len() >= MOST && !self.senders.contains_key(&key) {
            self.seen.others += 1;
            return;
        }
        let is_for_us = self.is_for_us(to.ip());
        let (is_allowed, is_listed) = self.is_taken(from.into(), to.port());
        let Self { decoder, sink, senders, decoded, .. } = self;
        let sender = senders.entry(key).or_insert_with(|| Sender {
            address: Some(from),
            to: Some(to),
            is_for_us,
            is_allowed,
            is_listed,
            ..Sender::default()
        });
        sender.datagrams += 1;
        match protocol {
            None => sender.garbage += 1,
            Some(name) if !sender.protocols.contains(&name) => sender.protocols.push(name),
            Some(_) => {}
        }
        if let Some(export_ms) = export_time_ms(bytes) {
            // Protocols tell whole seconds.
            sender.skew_ms =
                i64::try_from(export_ms).ok().zip(i64::try_from(at_ms).ok()).map(|(e, a)| e - a);
        }
        sender.uptime_ms = uptime_ms(bytes).or(sender.uptime_ms);
        *decoded += 1;
        if *decoded > MOST_DECODED {
            return;
        }
        let (before, flows, kept) = (*decoder.counters(), sink.flows, sink.kept);
        let outcome = decoder.decode(from.into(), at_ms, bytes, sink);
        let now: Counters = decoder.counters().since(&before);
        sender.bad += u64::from(outcome.is_bad());
        sender.flows += sink.flows - flows;
        sender.kept += sink.kept - kept;
        // Sequence numbers of late datagrams, and sets read after all, count downwards.
        sender.waiting_sets = sender
            .waiting_sets
            .wrapping_add(now.sets_parked)
            .wrapping_add(now.sets_not_parked)
            .wrapping_sub(now.sets_unparked);
        sender.missing =
            sender.missing.wrapping_add(now.lost_datagrams).wrapping_add(now.lost_records);
        sender.odd_uptimes += now.odd_uptimes;
    }

    /// Whether an address is this host's, or for many.
    fn is_for_us(&self, ip: IpAddr) -> bool {
        let is_broadcast = matches!(ip, IpAddr::V4(v4) if v4.is_broadcast());
        ip.is_loopback() || ip.is_multicast() || is_broadcast || self.ours.contains(&ip)
    }

    /// Whether `--allow` and the sources take a sender.
    fn is_taken(&self, from: Addr, port: u16) -> (bool, bool) {
        let Some(config) = &self.config else { return (true, true) };
        let is_allowed = config.allow.is_empty() || config.allow.iter().any(|n| n.contains(from));
        let is_listed = match &config.sources {
            Sources::Listed(list) => list.iter().any(|source| {
                source.port.is_none_or(|p| p == port)
                    && source.senders.iter().any(|n| n.contains(from))
            }),
            _ => true,
        };
        (is_allowed, is_listed)
    }

    /// What was seen. A datagram that passes several interfaces of the host, such as a bridge and its
    /// port, counts once: of each sender the interface with the most.
    pub(super) fn finish(mut self) -> Seen {
        let mut seen = std::mem::take(&mut self.seen);
        seen.missed = self.ring.stats().map_or(0, |stats| stats.dropped);
        let mut senders: BTreeMap<(IpAddr, SocketAddr), Sender> = BTreeMap::new();
        for ((from, to, _), mut sender) in self.senders {
            let of = self.decoder.exporters().filter(|e| e.exporter.addr == from.into());
            for view in of {
                sender.templates += view.templates;
                sender.samplers += view.samplers().count();
            }
            let best = senders.entry((from, to)).or_default();
            // Copies are duplicates to the decoder, so what it made of them is with the first.
            let flows = best.flows.max(sender.flows);
            if sender.datagrams > best.datagrams {
                *best = sender;
            }
            best.flows = flows;
        }
        seen.senders = senders.into_values().collect();
        let mut elsewhere: BTreeMap<(IpAddr, u16), Elsewhere> = BTreeMap::new();
        for ((from, port, _), one) in self.elsewhere {
            match elsewhere.get_mut(&(from, port)) {
                Some(best) => best.datagrams = best.datagrams.max(one.datagrams),
                None => {
                    elsewhere.insert((from, port), one);
                }
            }
        }
        seen.elsewhere = elsewhere.into_values().collect();
        seen
    }
}

/// Ports that exporters send to unless told: NetFlow, IPFIX, sFlow.
const PORTS: [u16; 8] = [2055, 2056, 4432, 4739, 6343, 9555, 9995, 9996];

/// LINKTYPE_RAW: the packet begins with its IP header.
const RAW_IP: u32 = 101;

/// Keeps UDP over IPv4 and IPv6, and fragments: the Ethernet type and the protocol behind it, which
/// the kernel finds whatever the link (`SKF_AD_PROTOCOL`, `SKF_NET_OFF`).
const UDP: [Instruction; 9] = {
    const fn op(code: u16, jt: u8, jf: u8, k: u32) -> Instruction {
        Instruction { code, jt, jf, k }
    }
    const LOAD_HALF: u16 = 0x28;
    const LOAD_BYTE: u16 = 0x30;
    const IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    const PROTOCOL: u32 = 0xffff_f000; // SKF_AD_OFF
    const NETWORK: u32 = 0xfff0_0000; // SKF_NET_OFF
    [
        op(LOAD_HALF, 0, 0, PROTOCOL),
        op(IF_EQUAL, 0, 2, 0x0800),
        op(LOAD_BYTE, 0, 0, NETWORK + 9),
        op(IF_EQUAL, 3, 4, 17),
        op(IF_EQUAL, 0, 3, 0x86dd),
        op(LOAD_BYTE, 0, 0, NETWORK + 6),
        op(IF_EQUAL, 0, 1, 17),
        op(RETURN, 0, 0, u32::MAX),
        op(RETURN, 0, 0, 0),
    ]
};

/// What protocol a datagram is of, by its header and by whether its lengths fit: a wrong guess would
/// send people the wrong way.
pub(super) fn protocol(bytes: &[u8]) -> Option<&'static str> {
    let half = |at: usize| bytes.get(at..)?.first_chunk().map(|b| u16::from_be_bytes(*b));
    let (version, second) = (half(0)?, half(2)?);
    let fixed = |header: usize, record: usize| bytes.len() == header + usize::from(second) * record;
    match version {
        1 if fixed(16, 52) && second > 0 => Some("NetFlow v1"),
        5 if fixed(24, 48) && second > 0 => Some("NetFlow v5"),
        7 if fixed(24, 52) && second > 0 => Some("NetFlow v7"),
        9 if bytes.len() >= 24 && (half(20)? < 2 || half(20)? >= 256) => Some("NetFlow v9"),
        10 if usize::from(second) == bytes.len() && bytes.len() >= 16 => Some("IPFIX"),
        0 if matches!(second, 2 | 4 | 5) && matches!(half(6)?, 1 | 2) && half(4)? == 0 => {
            Some("sFlow")
        }
        _ => None,
    }
}

/// When a datagram says that it was sent, milliseconds since 1970. sFlow does not say.
pub(super) fn export_time_ms(bytes: &[u8]) -> Option<u64> {
    let at = match protocol(bytes)? {
        "IPFIX" => 4,
        "sFlow" => return None,
        _ => 8,
    };
    Some(u64::from(word(bytes, at)?) * 1000).filter(|ms| *ms > 0)
}

/// Uptime of the exporter, milliseconds, where its protocol tells.
pub(super) fn uptime_ms(bytes: &[u8]) -> Option<u32> {
    match protocol(bytes)? {
        "IPFIX" | "sFlow" => None,
        _ => word(bytes, 4),
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|octets| u32::from_be_bytes(*octets))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(words: &[u16], len: usize) -> Vec<u8> {
        let mut out: Vec<u8> = words.iter().flat_map(|w| w.to_be_bytes()).collect();
        out.resize(len, 0);
        out
    }

    #[test]
    fn protocols_are_known_by_their_headers() {
        let ipfix = header(&[10, 16, 1, 2], 16);
        for (name, bytes, want) in [
            ("v5", header(&[5, 2, 0, 7, 0, 9], 24 + 96), Some("NetFlow v5")),
            ("v5 of another length", header(&[5, 2], 24 + 95), None),
            ("v5 without records", header(&[5, 0], 24), None),
            ("v1", header(&[1, 1], 68), Some("NetFlow v1")),
            ("v7", header(&[7, 1], 76), Some("NetFlow v7")),
            ("v9", header(&[9, 1, 0, 0, 0, 0, 0, 0, 0, 0, 256], 30), Some("NetFlow v9")),
            ("v9 with a reserved set", header(&[9, 1, 0, 0, 0, 0, 0, 0, 0, 0, 77], 30), None),
            ("ipfix", ipfix.clone(), Some("IPFIX")),
            ("ipfix of another length", header(&[10, 17], 16), None),
            ("sflow", header(&[0, 5, 0, 1], 28), Some("sFlow")),
            ("dns", header(&[0x1234, 0x0100, 1], 30), None),
        ] {
            assert_eq!(protocol(&bytes), want, "{name}");
            for len in 0..bytes.len() {
                let cut = &bytes[..len];
                let _ = (protocol(cut), export_time_ms(cut), uptime_ms(cut));
            }
        }
        assert_eq!(export_time_ms(&ipfix), Some(65_538_000));
        assert_eq!(uptime_ms(&ipfix), None);
        let v5 = header(&[5, 1, 0, 7, 0, 9], 24 + 48);
        assert_eq!((export_time_ms(&v5), uptime_ms(&v5)), (Some(9000), Some(7)));
    }
}
