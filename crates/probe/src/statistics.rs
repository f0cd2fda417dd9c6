//! What a probe says of itself: statistics, conversations and timeouts, laid out as softflowd does,
//! and as JSON.
//!
//! Times are UTC. Conversations read from initiator to responder, where softflowd has the lower
//! address first.

use std::io::Write as _;

use record::Mac;
use serde_json::{Value, json};

use crate::{CacheStats, Ended, Pending, ProtoStats, Reason, Side, Spread, Timeouts};

/// What was counted, by all parts of a probe.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// When counting began, milliseconds since 1970.
    pub since_ms: u64,
    /// Whether packets are sampled.
    pub is_sampled: bool,
    /// What the caches counted.
    pub cache: CacheStats,
    /// What became of flows.
    pub exported: Exported,
    /// What the kernel counted; of files it counts nothing.
    pub captured: Option<Captured>,
}

/// What became of flows that ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exported {
    /// Flows that records were made of: conversations for v9 and IPFIX, directions for v1 and v5.
    pub flows: u64,
    /// Records.
    pub records: u64,
    /// Datagrams.
    pub datagrams: u64,
    /// Datagrams that could not be sent, one for each destination.
    pub failures: u64,
}

/// What the kernel counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Captured {
    /// Packets that passed the filter.
    pub received: u64,
    /// Of those, packets there was no room for.
    pub dropped: u64,
    /// Packets that the interfaces dropped.
    pub dropped_by_interface: u64,
}

impl Report {
    /// All of it, without the line that says since when: what is printed at the end of a file.
    pub fn to_text(&self) -> String {
        let mut text = Vec::new();
        self.push(&mut text);
        String::from_utf8(text).unwrap_or_default()
    }

    fn push(&self, out: &mut Vec<u8>) {
        let CacheStats { active, processed, non_sampled, fragments, .. } = self.cache;
        let Exported { flows, records, datagrams, failures } = self.exported;
        let _ = writeln!(out, "Number of active flows: {active}");
        let _ = writeln!(out, "Packets processed: {}", processed - self.cache.ignored());
        if self.is_sampled {
            let _ = writeln!(out, "Packets non-sampled: {non_sampled}");
        }
        let _ = writeln!(out, "Fragments: {fragments}");
        let CacheStats { non_ip, too_short, expired, forced, .. } = self.cache;
        let ignored = self.cache.ignored();
        let _ =
            writeln!(out, "Ignored packets: {ignored} ({non_ip} non-IP, {too_short} too short)");
        let _ = writeln!(out, "Flows expired: {expired} ({forced} forced)");
        let _ = writeln!(
            out,
            "Flows exported: {flows} ({records} records) in {datagrams} packets ({failures} failures)"
        );
        if let Some(Captured { received, dropped, dropped_by_interface }) = self.captured {
            let _ = writeln!(out, "Packets received by libpcap: {received}");
            let _ = writeln!(out, "Packets dropped by libpcap: {dropped}");
            let _ = writeln!(out, "Packets dropped by interface: {dropped_by_interface}");
        }
        out.push(b'\n');
        if expired > 0 {
            self.push_spreads(out);
            self.push_reasons(out);
            self.push_protocols(out);
        }
    }

    fn push_spreads(&self, out: &mut Vec<u8>) {
        let _ = writeln!(out, "Expired flow statistics:  minimum       average       maximum");
        let whole = |out: &mut Vec<u8>, name: &str, s: &Spread| {
            let _ =
                writeln!(out, "  {name:<18} {:>12}  {:>12.0}  {:>12}", s.min, s.average(), s.max);
        };
        whole(out, "Flow bytes:", &self.cache.flow_octets);
        whole(out, "Flow packets:", &self.cache.flow_packets);
        let Spread { min, max, .. } = self.cache.flow_ms;
        let (min, max) = (secs(min as f64), secs(max as f64));
        let average = secs(self.cache.flow_ms.average());
        let _ = writeln!(out, "  {:<18} {min:>12.2}s {average:>12.2}s {max:>12.2}s\n", "Duration:");
    }

    fn push_reasons(&self, out: &mut Vec<u8>) {
        let _ = writeln!(out, "Expired flow reasons:");
        let of = |reason: Reason| (reason.name(), self.cache.by_reason(reason));
        for three in [
            [Reason::Tcp, Reason::TcpRst, Reason::TcpFin],
            [Reason::Udp, Reason::Icmp, Reason::General],
        ] {
            let [a, b, c] = three.map(of);
            let _ = writeln!(
                out,
                "{:>10} = {:>9}{:>10} = {:>9}{:>10} = {:>9}",
                a.0, a.1, b.0, b.1, c.0, c.1
            );
        }
        for reason in
            [Reason::MaxLife, Reason::Active, Reason::Over2Gib, Reason::MaxFlows, Reason::Flushed]
        {
            let (name, n) = of(reason);
            // softflowd has no active timeout, and no line for it.
            if reason != Reason::Active || n > 0 {
                let _ = writeln!(out, "{name:>10} = {n:>9}");
            }
        }
        out.push(b'\n');
    }

    fn push_protocols(&self, out: &mut Vec<u8>) {
        let _ = writeln!(
            out,
            "Per-protocol statistics:     Octets      Packets   Avg Life    Max Life"
        );
        for (number, ProtoStats { octets, packets, life_ms }) in self.protocols() {
            let name = format!("{} ({number})", protocol(number).unwrap_or("Unknown"));
            let (average, max) = (secs(life_ms.average()), secs(life_ms.max as f64));
            let _ = writeln!(
                out,
                "  {name:>17}: {octets:>14} {packets:>12}   {average:>8.2}s {max:>10.2}s"
            );
        }
    }

    /// Protocols that flows were of.
    fn protocols(&self) -> impl Iterator<Item = (u8, &ProtoStats)> {
        (0..=u8::MAX).zip(self.cache.protocols.iter()).filter(|(_, p)| p.packets > 0)
    }

    /// One object, with a line end.
    pub fn to_json(&self) -> String {
        line(&self.to_value())
    }

    pub(crate) fn to_value(&self) -> Value {
        let cache = &self.cache;
        let spread = |s: &Spread| json!({"min": s.min, "average": s.average(), "max": s.max});
        let reasons = Reason::ALL.map(|r| (r.name().replace(' ', "_"), cache.by_reason(r)));
        let protocols = self.protocols().map(|(number, p)| {
            json!({
                "protocol": number, "name": protocol(number), "octets": p.octets,
                "packets": p.packets, "flows": p.life_ms.count, "life_ms": spread(&p.life_ms),
            })
        });
        json!({
            "since_ms": self.since_ms,
            "active_flows": cache.active,
            "most_active_flows": cache.most_active,
            "memory": cache.memory,
            "packets": {
                "processed": cache.processed, "counted": cache.counted(), "octets": cache.octets,
                "non_sampled": cache.non_sampled, "duplicates": cache.duplicates,
                "non_ip": cache.non_ip, "too_short": cache.too_short,
                "fragments": cache.fragments,
                "fragments_without_ports": cache.fragments_without_ports,
            },
            "captured": self.captured.map(|c| json!({
                "received": c.received, "dropped": c.dropped,
                "dropped_by_interface": c.dropped_by_interface,
            })),
            "flows": {
                "begun": cache.begun, "expired": cache.expired, "forced": cache.forced,
                "quiet": cache.quiet, "deleted": cache.deleted,
                "reasons": reasons.into_iter().map(|(name, n)| (name, n.into())).collect::<Object>(),
                "octets": spread(&cache.flow_octets), "packets": spread(&cache.flow_packets),
                "life_ms": spread(&cache.flow_ms),
            },
            "exported": {
                "flows": self.exported.flows, "records": self.exported.records,
                "datagrams": self.exported.datagrams, "failures": self.exported.failures,
            },
            "protocols": protocols.collect::<Vec<_>>(),
        })
    }
}

type Object = serde_json::Map<String, Value>;

fn line(value: &Value) -> String {
    format!("{value}\n")
}

/// Milliseconds as seconds.
fn secs(ms: f64) -> f64 {
    ms / 1000.0
}

/// Who answers: the name that the program goes by, and its process number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Speaker {
    name: String,
    pid: u32,
}

impl Speaker {
    /// Answers begin with `name[pid]: `.
    pub fn new(name: impl Into<String>, pid: u32) -> Self {
        Self { name: name.into(), pid }
    }

    /// One line.
    pub fn say(&self, what: &str) -> String {
        format!("{}[{}]: {what}\n", self.name, self.pid)
    }

    /// The answer to `statistics`.
    pub fn statistics(&self, report: &Report) -> String {
        let mut since = Vec::new();
        push_time(&mut since, report.since_ms / 1000);
        let since = String::from_utf8_lossy(&since);
        self.say(&format!("Accumulated statistics since {since} UTC:")) + &report.to_text()
    }

    /// The answer to `timeouts`.
    pub fn timeouts(&self, timeouts: &Timeouts) -> String {
        let mut text = self.say("Printing timeouts:");
        let Timeouts { tcp, tcp_rst, tcp_fin, udp, icmp, general, max_life, interval, active } =
            *timeouts;
        let softflowds = [
            ("TCP timeout", tcp),
            ("TCP post-RST timeout", tcp_rst),
            ("TCP post-FIN timeout", tcp_fin),
            ("UDP timeout", udp),
            ("ICMP timeout", icmp),
            ("General timeout", general),
            ("Maximum lifetime", max_life),
            ("Expiry interval", interval),
        ];
        let ours = (active > 0).then_some(("Active timeout", active));
        for (name, secs) in softflowds.into_iter().chain(ours) {
            text += &format!("{name:>22}: {secs}s\n");
        }
        text
    }
}

/// Timeouts in seconds, one object with a line end.
pub fn timeouts_json(timeouts: &Timeouts) -> String {
    let entry = |name: &&str| Some(((*name).to_owned(), timeouts.get(name)?.into()));
    line(&Value::Object(Timeouts::NAMES.iter().filter_map(entry).collect()))
}

/// Appends a conversation as `dump-flows` has it: two lines and an empty one.
pub fn push_flow(out: &mut Vec<u8>, pending: &Pending, now_ns: u64) {
    let Ended { id, initiator, responder, proto, ref forward, ref backward, .. } = pending.flow;
    let (src, dst) = ports(&pending.flow);
    let _ = write!(
        out,
        "ACTIVE seq:{id} [{initiator}]:{src} <> [{responder}]:{dst} proto:{proto} \
         octets>:{} packets>:{} octets<:{} packets<:{} start:",
        forward.octets, forward.packets, backward.octets, backward.packets
    );
    push_time_ms(out, pending.flow.first_ns / 1_000_000);
    out.extend_from_slice(b" finish:");
    push_time_ms(out, pending.flow.last_ns / 1_000_000);
    let mac = |mac: Option<Mac>| mac.unwrap_or(Mac(0));
    let _ = writeln!(
        out,
        " tcp>:{:02x} tcp<:{:02x} flowlabel>:{:08x} flowlabel<:{:08x} vlan>:{} vlan<:{} ether:{} <> {}",
        forward.tcp_flags,
        backward.tcp_flags,
        forward.flow_label,
        backward.flow_label,
        forward.vlan,
        backward.vlan,
        mac(forward.src_mac.or(backward.dst_mac)),
        mac(forward.dst_mac.or(backward.src_mac))
    );
    let _ = match pending.due_ns.saturating_sub(now_ns) / 1_000_000_000 {
        _ if pending.due_ns <= now_ns => writeln!(out, "EXPIRY EVENT for flow {id} now\n"),
        left => writeln!(out, "EXPIRY EVENT for flow {id} in {left} seconds\n"),
    };
}

/// Ports as softflowd has them: of ICMP, type and code in place of the second.
fn ports(flow: &Ended) -> (u16, u16) {
    let icmp = flow.forward.icmp.or(flow.backward.icmp);
    icmp.map_or((flow.src_port, flow.dst_port), |(kind, code)| {
        (0, u16::from_be_bytes([kind, code]))
    })
}

/// Appends a conversation as one line of JSON.
pub fn push_flow_json(out: &mut Vec<u8>, pending: &Pending) {
    let flow = &pending.flow;
    let value = json!({
        "id": flow.id,
        "initiator": flow.initiator.to_string(), "responder": flow.responder.to_string(),
        "src_port": flow.src_port, "dst_port": flow.dst_port, "protocol": flow.proto,
        "first_ms": flow.first_ns / 1_000_000, "last_ms": flow.last_ns / 1_000_000,
        "due_ms": pending.due_ns / 1_000_000, "due_reason": flow.reason.name(),
        "input": flow.input, "output": flow.output,
        "forward": side(&flow.forward), "backward": side(&flow.backward),
    });
    out.extend_from_slice(line(&value).as_bytes());
}

fn side(side: &Side) -> Value {
    let mac = |mac: Option<Mac>| mac.map(|mac| mac.to_string());
    json!({
        "packets": side.packets, "octets": side.octets, "tos": side.tos,
        "tcp_flags": side.tcp_flags, "min_ttl": side.min_ttl, "max_ttl": side.max_ttl,
        "icmp": side.icmp, "src_mac": mac(side.src_mac), "dst_mac": mac(side.dst_mac),
        "vlan": side.vlan, "inner_vlan": side.inner_vlan, "flow_label": side.flow_label,
        "interface": side.interface,
    })
}

/// Appends `2026-11-21T07:10:22`.
fn push_time(out: &mut Vec<u8>, unix: u64) {
    let (days, secs) = (unix / 86_400, unix % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (secs / 3600, secs / 60 % 60, secs % 60);
    let _ = write!(out, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}");
}

/// Appends `2026-11-21T07:10:22.989`.
fn push_time_ms(out: &mut Vec<u8>, ms: u64) {
    push_time(out, ms / 1000);
    let _ = write!(out, ".{:03}", ms % 1000);
}

/// Year, month and day of a number of days since 1970, in the Gregorian calendar.
const fn civil(days: u64) -> (u64, u64, u64) {
    // Eras of 400 years from 1 March of year 0, so that the leap day is the last of a year.
    const DAYS_OF_ERA: u64 = 146_097;
    let days = days + 719_468;
    let (era, day) = (days / DAYS_OF_ERA, days % DAYS_OF_ERA);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year + carry, month, day)
}

/// A protocol's name as systems have it in their list (`/etc/protocols`).
fn protocol(number: u8) -> Option<&'static str> {
    let place = PROTOCOLS.binary_search_by_key(&number, |p| p.0).ok()?;
    PROTOCOLS.get(place).map(|p| p.1)
}

/// Names that the lists of systems agree about (IANA, Protocol Numbers), in lower case.
const PROTOCOLS: &[(u8, &str)] = &[
    (0, "ip"),
    (1, "icmp"),
    (2, "igmp"),
    (3, "ggp"),
    (4, "ipencap"),
    (5, "st"),
    (6, "tcp"),
    (8, "egp"),
    (9, "igp"),
    (12, "pup"),
    (17, "udp"),
    (20, "hmp"),
    (22, "xns-idp"),
    (27, "rdp"),
    (29, "iso-tp4"),
    (33, "dccp"),
    (36, "xtp"),
    (37, "ddp"),
    (38, "idpr-cmtp"),
    (41, "ipv6"),
    (43, "ipv6-route"),
    (44, "ipv6-frag"),
    (45, "idrp"),
    (46, "rsvp"),
    (47, "gre"),
    (50, "esp"),
    (51, "ah"),
    (57, "skip"),
    (58, "ipv6-icmp"),
    (59, "ipv6-nonxt"),
    (60, "ipv6-opts"),
    (73, "rspf"),
    (81, "vmtp"),
    (88, "eigrp"),
    (89, "ospf"),
    (93, "ax.25"),
    (94, "ipip"),
    (97, "etherip"),
    (98, "encap"),
    (103, "pim"),
    (108, "ipcomp"),
    (112, "vrrp"),
    (115, "l2tp"),
    (124, "isis"),
    (132, "sctp"),
    (133, "fc"),
    (135, "mobility-header"),
    (136, "udplite"),
    (137, "mpls-in-ip"),
    (138, "manet"),
    (139, "hip"),
    (140, "shim6"),
    (141, "wesp"),
    (142, "rohc"),
    (143, "ethernet"),
];

#[cfg(test)]
mod tests;
