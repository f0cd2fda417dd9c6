//! From the wire to the socket: who listens, what arrives, what is in its way.

use super::super::observed::{Firewall, Kernel, Listening, Observed, Seen, Sender, Told, Watch};
use super::{Step, count, few, secs, span, udp};
use std::net::IpAddr;

/// Step 2: is a collector listening, and where?
pub(super) fn collector(seen: &Observed, step: &mut Step<'_>) {
    if let Some(why) = &seen.unlisted {
        return step.unclear(
            format!("who listens on {} cannot be seen: /proc/net/udp: {why}", udp(seen)),
            "run where /proc can be read, outside of the container or sandbox",
        );
    }
    let is_there = |port: &&u16| seen.sockets.iter().any(|s| s.local.port() == **port);
    let missing: Vec<u16> =
        seen.plan.ports.iter().filter(|port| !is_there(port)).copied().collect();
    if !missing.is_empty() {
        step.bad(
            format!("no process listens on {}", super::super::udp(&missing)),
            "start the collector (systemctl start flowcapd); journalctl -u flowcapd says why it ended",
        );
    }
    let mut addresses: Vec<String> = seen.sockets.iter().map(|s| s.local.to_string()).collect();
    addresses.sort();
    addresses.dedup();
    if addresses.is_empty() {
        return;
    }
    holders(seen, &addresses, step);
    addressed(seen, step);
    let unread = |s: &&Listening| {
        let is_read = seen.kernel.is_none_or(|k| k.udp.delivered > 0);
        s.waited_before && !is_read
    };
    if let Some(socket) = seen.sockets.iter().find(unread) {
        step.bad(
            format!(
                "the collector does not read its socket {}: {} octets wait there",
                socket.local, socket.waiting
            ),
            "see whether its process is stopped or waits for a disk: ps -o pid,stat,wchan,args -p PID",
        );
    }
}

fn holders(seen: &Observed, addresses: &[String], step: &mut Step<'_>) {
    const COLLECTORS: [&str; 3] = ["flowcapd", "nfcapd", "sfcapd"];
    let mut names: Vec<(String, u32)> =
        seen.sockets.iter().flat_map(|s| &s.holders).map(|h| (h.name.clone(), h.pid)).collect();
    names.sort();
    names.dedup();
    let listed = few(names.iter().map(|(name, pid)| format!("{name} (process {pid})")));
    let is_collector = |name: &str| COLLECTORS.contains(&name);
    let addresses = few(addresses.iter().cloned());
    match names.as_slice() {
        [] => {
            let users = few(seen.sockets.iter().map(|s| s.user.to_string()));
            step.unclear(
                format!("a process of user {users} listens on {addresses}"),
                "run as root to see which",
            );
        }
        all if !all.iter().any(|(name, _)| is_collector(name)) => step.bad(
            format!("{} is taken by {listed}, which is no collector", udp(seen)),
            "end that, or give the collector another port",
        ),
        [_, _, ..] => step.poor(
            format!("several processes listen on {addresses}: {listed}"),
            "where they share a port, each gets a part of the datagrams: end all but one",
        ),
        [_] => step.good(format!("{listed} listens on {addresses}")),
    }
}

/// Whether what is sent to this machine is sent to where somebody listens.
fn addressed(seen: &Observed, step: &mut Step<'_>) {
    let sockets = &seen.sockets;
    let is_heard = |sender: &&Sender| {
        sender.to.is_none_or(|to| {
            sockets.iter().any(|s| {
                let ip = s.local.ip();
                let is_wide = ip.is_unspecified() && (ip.is_ipv6() || to.is_ipv4());
                s.local.port() == to.port() && (is_wide || ip == to.ip())
            })
        })
    };
    let Some(senders) = seen.watch.senders() else { return loopback(sockets, step) };
    let deaf: Vec<&Sender> = senders.iter().filter(|s| s.is_for_us && !is_heard(s)).collect();
    if deaf.is_empty() {
        return loopback(sockets, step);
    }
    let to = few(deaf.iter().filter_map(|s| s.to).map(|to| to.to_string()));
    let at = few(sockets.iter().map(|s| s.local.to_string()));
    step.bad(
        format!("packets come to {to}, and the collector listens on {at} alone"),
        "leave out -b, -4 and -6, or give the address that exporters send to",
    );
}

fn loopback(sockets: &[Listening], step: &mut Step<'_>) {
    if sockets.iter().all(|s| s.local.ip().is_loopback()) {
        step.poor(
            "it listens on the loopback alone: exporters on other machines do not reach it",
            "leave out -b, or give the address that exporters send to",
        );
    }
}

impl Watch {
    fn senders(&self) -> Option<&[Sender]> {
        match self {
            Self::Seen(seen) => Some(&seen.senders),
            _ => None,
        }
    }
}

/// Step 3: do packets arrive at the machine?
pub(super) fn packets(seen: &Observed, step: &mut Step<'_>) {
    match &seen.watch {
        Watch::Seen(watch) => watched(seen, watch, step),
        Watch::Blind(why) => {
            step.unclear(
                format!("packets could not be watched: {why}"),
                "run as root, or with CAP_NET_RAW",
            );
            counted(seen, step);
        }
        Watch::Nothing => counted(seen, step),
    }
}

fn watched(seen: &Observed, watch: &Seen, step: &mut Step<'_>) {
    let ours: Vec<&Sender> = watch.senders.iter().filter(|s| s.is_for_us).collect();
    let waited = secs(seen);
    if ours.is_empty() {
        return match watch.senders.first() {
            Some(Sender { to: Some(to), .. }) => step.bad(
                format!("packets to {to} pass, which is no address of this machine"),
                "send them to one of its addresses (ip address), or run the collector there",
            ),
            _ if !watch.elsewhere.is_empty() => elsewhere(seen, watch, true, step),
            _ => silent(seen, watch, step),
        };
    }
    let all: u64 = ours.iter().map(|s| s.datagrams).sum();
    let garbage: u64 = ours.iter().map(|s| s.garbage).sum();
    let who = few(ours.iter().map(|s| describe(s)));
    if garbage == all {
        let addresses = few(ours.iter().filter_map(|s| s.address).map(|a| a.to_string()));
        step.bad(
            format!("what {addresses} sends to {} is no NetFlow, IPFIX or sFlow", udp(seen)),
            "see what it is: tcpdump -ni any -X udp port PORT; NetFlow v8 and DTLS are not understood",
        );
    } else if garbage > 0 {
        step.poor(
            format!("{} of {all} datagrams are no exports: {who}", garbage),
            "see who sends what to that port: tcpdump -ni any udp port PORT",
        );
    } else {
        step.good(format!("{} in {waited}: {who}", count(all, "datagram")));
    }
    if !watch.elsewhere.is_empty() {
        elsewhere(seen, watch, false, step);
    }
    if watch.missed > 0 {
        step.unclear(format!("{} came too fast to be watched", count(watch.missed, "packet")), "");
    }
}

fn describe(sender: &Sender) -> String {
    let Sender { address, protocols, datagrams, .. } = sender;
    let address = address.map_or_else(|| "somebody".to_owned(), |a: IpAddr| a.to_string());
    let protocols = match protocols.as_slice() {
        [] => "no export".to_owned(),
        all => all.join(" and "),
    };
    format!("{address} ({protocols}, {datagrams})")
}

/// Exports that go to another port.
fn elsewhere(seen: &Observed, watch: &Seen, is_all: bool, step: &mut Step<'_>) {
    // Where nobody listens is told before where somebody else does.
    let mut all: Vec<_> = watch.elsewhere.iter().collect();
    all.sort_by_key(|e| (e.listener.is_some(), std::cmp::Reverse(e.datagrams)));
    let Some(first) = all.first() else { return };
    let who = match &first.listener {
        None if seen.unlisted.is_some() => "where somebody may listen or not".to_owned(),
        None => "where nobody listens".to_owned(),
        Some(name) if name.is_empty() => "where another process listens".to_owned(),
        Some(name) => format!("where {name} listens"),
    };
    let more = match all.len() {
        1 => String::new(),
        n => format!(" (and {} more such)", n - 1),
    };
    let found = format!(
        "{} of {} arrive on UDP {}, {who}{more}, and the collector is for {}",
        first.protocol,
        first.address,
        first.port,
        udp(seen)
    );
    let next = format!(
        "change the port in the exporter, or let the collector listen there, too: -p {}",
        first.port
    );
    match (is_all, &first.listener) {
        (true, _) => step.bad(found, &next),
        (false, None) => step.poor(found, &next),
        (false, Some(_)) => step.good(found),
    }
}

/// Nothing came.
fn silent(seen: &Observed, watch: &Seen, step: &mut Step<'_>) {
    const RECENTLY_MS: u64 = 15 * 60 * 1000;
    let (waited, udp) = (secs(seen), udp(seen));
    if let Told::Status(status) = &seen.told {
        if status.streams_open > 0 {
            let open = count(status.streams_open, "exporter");
            return step.good(format!("no datagrams in {waited}; {open} connected by TCP or TLS"));
        }
        let last = status.exporters.iter().max_by_key(|e| e.seen_ms);
        let ago = last.map(|e| (e, status.now_ms.saturating_sub(e.seen_ms)));
        if let Some((exporter, ago)) = ago.filter(|(_, ago)| *ago < RECENTLY_MS) {
            let (address, ago) = (&exporter.address, span(ago / 1000));
            return step.poor(
                format!("nothing came to {udp} in {waited}; {address} was heard {ago} ago"),
                "it may send rarely: watch longer, with --wait 5m",
            );
        }
    }
    let others = match watch.datagrams {
        0 => "no other UDP came either".to_owned(),
        n => format!("{} of other UDP came", count(n, "datagram")),
    };
    step.bad(
        format!("no packets reach this machine on {udp} (watched for {waited}; {others})"),
        "check the exporter's destination address and port, its source interface, and firewalls and \
         routes on the way",
    );
}

/// What the kernel's counters say where packets cannot be watched.
fn counted(seen: &Observed, step: &mut Step<'_>) {
    let (waited, udp) = (secs(seen), udp(seen));
    if let Told::Status(status) = &seen.told
        && status.received_now > 0
    {
        let n = count(status.received_now, "datagram");
        return step.good(format!("the collector received {n} in {waited}"));
    }
    let Some(Kernel { udp: counts, came_to_wait, .. }) = seen.kernel else {
        return step.unclear("the kernel does not tell what it counted of UDP", "");
    };
    let is_through = counts.delivered > 0 || counts.errors > 0 || came_to_wait;
    if !is_through && counts.no_port == 0 {
        return step.bad(
            format!(
                "no packets reach a socket of this machine, on {udp} or elsewhere (watched for \
                 {waited} by the kernel's counters)"
            ),
            "run as root to see whether they reach the machine; check the exporter's destination and \
             firewalls, here and on the way",
        );
    }
    if !is_through {
        return step.bad(
            format!(
                "{} came to ports that nobody listens on, and none to another ({waited})",
                count(counts.no_port, "datagram")
            ),
            "compare the exporter's port with that of the collector; run as root to see which it is",
        );
    }
    step.unclear(
        format!(
            "programs of this machine read {} of any kind in {waited}",
            count(counts.delivered, "datagram")
        ),
        "run as root to see those of exporters, or serve the collector's status with --http",
    );
}

/// Step 4: does what arrives reach the socket?
pub(super) fn firewall(seen: &Observed, step: &mut Step<'_>) {
    let barriers = barriers(seen);
    let arrived = match &seen.watch {
        Watch::Seen(watch) if !seen.sockets.is_empty() => {
            watch.senders.iter().filter(|s| s.is_for_us).map(|s| s.datagrams).sum()
        }
        _ => 0,
    };
    let kernel = seen.kernel.unwrap_or_default();
    let is_blocked = arrived > 0
        && match &seen.told {
            Told::Status(status) => status.received_now == 0 && kernel.udp.no_room == 0,
            _ => {
                seen.kernel.is_some()
                    && kernel.udp.delivered == 0
                    && kernel.udp.errors == 0
                    && !kernel.came_to_wait
            }
        };
    if !is_blocked {
        return match (arrived, barriers) {
            (1.., _) => step.good("what arrives at the machine reaches its sockets"),
            (_, Some(all)) => step.say(
                crate::cmd::verdict::Verdict::Unclear,
                format!("nothing arrived to try it with; {all}"),
                "see whether it lets the port in: nft list ruleset",
                "",
            ),
            (_, None) => step.unclear("nothing arrived to try it with", ""),
        };
    }
    let udp = udp(seen);
    let cause = match (kernel, dropping(seen)) {
        (Kernel { reverse_path: n @ 1.., .. }, _) => (
            format!(
                "{} from addresses that are not reached by their interface",
                count(n, "packet")
            ),
            "give the machine a route back to the exporter, or set net.ipv4.conf.IFACE.rp_filter=2",
        ),
        (Kernel { udp: c, .. }, _) if c.bad_checksum > 0 => (
            format!("{} have a wrong UDP checksum", count(c.bad_checksum, "packet")),
            "see the exporter and what rewrites packets on the way: tcpdump -vvni any udp port PORT",
        ),
        (_, Some(rule)) => (rule, "let the port in: nft insert rule ... udp dport PORT accept"),
        (_, None) => (
            barriers.unwrap_or_else(|| "a rule of a firewall".to_owned()),
            "see nft list ruleset, iptables -nvL INPUT, firewall-cmd --list-all, and nstat -az \
             TcpExtIPReversePathFilter",
        ),
    };
    let (what, next) = cause;
    step.bad(
        format!(
            "packets arrive on {udp}, but this machine drops them before the collector's socket: {what}"
        ),
        next,
    );
}

/// The rule that dropped something during the watch.
fn dropping(seen: &Observed) -> Option<String> {
    let Firewall::Barriers(all) = &seen.firewall else { return None };
    let most = all.iter().filter_map(|(what, n)| Some((what, (*n)?))).max_by_key(|(_, n)| *n);
    let (what, n) = most.filter(|(_, n)| *n > 0)?;
    Some(format!("the {what} dropped {} meanwhile", count(n, "packet")))
}

/// What might drop, in words; `None` if nothing might, or it is not known.
fn barriers(seen: &Observed) -> Option<String> {
    let Firewall::Barriers(all) = &seen.firewall else { return None };
    (!all.is_empty()).then(|| {
        format!("nftables may drop packets: {}", few(all.iter().map(|(what, _)| what.clone())))
    })
}
