//! What was seen, and the verdict on it.

use super::super::observed::*;
use super::{Finding, Verdict, diagnosis, is_bad, of};
use std::path::PathBuf;
use std::time::Duration;
use sys::disk::Space;
use sys::proc_net::UdpCounts;

/// A host on which all is well, seen by root, with a collector that tells its status.
fn well() -> Observed {
    Observed {
        waited: Duration::from_secs(10),
        plan: Plan {
            has_directory: true,
            ports: vec![9995],
            interval: 300,
            buffer: 16 << 20,
            buffer_limit: Some(4 << 20),
            ..Plan::default()
        },
        sockets: vec![Listening {
            local: "[::]:9995".parse().unwrap(),
            user: 0,
            holders: vec![Holder { pid: 7, name: "flowcapd".to_owned() }],
            waiting: 0,
            waited_before: false,
            dropped: 0,
            dropped_now: 0,
        }],
        unlisted: None,
        watch: Watch::Seen(Seen { datagrams: 10, senders: vec![sender()], ..Seen::default() }),
        kernel: Some(Kernel { udp: UdpCounts { delivered: 10, ..counts() }, ..Kernel::default() }),
        firewall: Firewall::Barriers(Vec::new()),
        told: Told::Status(Box::new(Status {
            now_ms: 1_000_000,
            received: 100,
            received_now: 10,
            flows: 500,
            exporters: vec![exporter()],
            ..Status::default()
        })),
        directories: vec![directory()],
        zone: "+02:00".to_owned(),
    }
}

fn counts() -> UdpCounts {
    UdpCounts::default()
}

fn sender() -> Sender {
    Sender {
        address: Some("192.0.2.1".parse().unwrap()),
        to: Some("192.0.2.9:9995".parse().unwrap()),
        is_for_us: true,
        datagrams: 10,
        protocols: vec!["IPFIX"],
        is_allowed: true,
        is_listed: true,
        flows: 50,
        kept: 50,
        templates: 1,
        skew_ms: Some(-400),
        ..Sender::default()
    }
}

fn exporter() -> Exporter {
    Exporter {
        address: "192.0.2.1".to_owned(),
        protocol: "ipfix".to_owned(),
        flows: 500,
        seen_ms: 999_000,
        ..Exporter::default()
    }
}

fn directory() -> Directory {
    let gibibytes = |n: u64| n << 30;
    Directory {
        path: "/flows".into(),
        space: Some(Space { size: gibibytes(100), free: gibibytes(50), free_files: 1 << 20 }),
        newest: Some((PathBuf::from("/flows/nfcapd.202611181105"), 4096, 60)),
        open: vec![(PathBuf::from("/flows/nfcapd.current.7"), 4096, 9, 1)],
        has_grown: true,
        readable: Some(Ok(12)),
        ..Directory::default()
    }
}

fn seen(o: &mut Observed) -> &mut Seen {
    match &mut o.watch {
        Watch::Seen(seen) => seen,
        _ => panic!("nothing was watched"),
    }
}

fn status(o: &mut Observed) -> &mut Status {
    match &mut o.told {
        Told::Status(status) => status,
        _ => panic!("nothing was told"),
    }
}

fn elsewhere(port: u16, listener: Option<&str>) -> Elsewhere {
    let listener = listener.map(str::to_owned);
    let address = "192.0.2.2".parse().unwrap();
    Elsewhere { address, port, protocol: "NetFlow v5", datagrams: 3, listener }
}

type Case = (&'static str, fn(&mut Observed), Verdict, &'static str);

/// Name, what is different from a host where all is well, verdict and beginning of the diagnosis.
const CASES: &[Case] = &[
    ("well", |_| {}, Verdict::Good, "All is well: "),
    (
        "no options",
        |o| o.plan.mistake = Some("-S takes 0 to 8".into()),
        Verdict::Bad,
        "The options are wrong: -S takes 0 to 8: mend",
    ),
    (
        "no directory",
        |o| o.plan.has_directory = false,
        Verdict::Poor,
        "Nothing is broken, but look at this: options: no directory",
    ),
    (
        "check finds something",
        |o| o.plan.checks = vec![(Verdict::Bad, "-x: no program".into())],
        Verdict::Bad,
        "-x: no program: flowcapd check",
    ),
    ("not running", |o| o.sockets.clear(), Verdict::Bad, "No process listens on UDP 9995: start"),
    (
        "no list of sockets",
        |o| {
            o.sockets.clear();
            o.unlisted = Some("no such file".into());
        },
        Verdict::Unclear,
        "Nothing wrong was found, but not everything could be seen",
    ),
    (
        "one port of two",
        |o| o.plan.ports = vec![9995, 2055],
        Verdict::Bad,
        "No process listens on UDP 2055: start",
    ),
    (
        "taken",
        |o| o.sockets[0].holders[0].name = "ntopng".into(),
        Verdict::Bad,
        "UDP 9995 is taken by ntopng (process 7), which is no collector",
    ),
    (
        "two",
        |o| {
            let other = Holder { pid: 9, name: "nfcapd".to_owned() };
            o.sockets[0].holders.push(other);
        },
        Verdict::Poor,
        "Nothing is broken, but look at this: collector: several processes",
    ),
    ("hidden", |o| o.sockets[0].holders.clear(), Verdict::Unclear, "Nothing wrong was found, but"),
    (
        "loopback",
        |o| {
            o.sockets[0].local = "127.0.0.1:9995".parse().unwrap();
            seen(o).senders[0].to = Some("127.0.0.1:9995".parse().unwrap());
        },
        Verdict::Poor,
        "Nothing is broken, but look at this: collector: it listens on the loopback",
    ),
    (
        "loopback, but sent to the machine",
        |o| {
            o.sockets[0].local = "127.0.0.1:9995".parse().unwrap();
        },
        Verdict::Bad,
        "Packets come to 192.0.2.9:9995, and the collector listens on 127.0.0.1:9995",
    ),
    (
        "IPv4 alone",
        |o| {
            o.sockets[0].local = "0.0.0.0:9995".parse().unwrap();
            seen(o).senders[0].to = Some("[2001:db8::9]:9995".parse().unwrap());
        },
        Verdict::Bad,
        "Packets come to [2001:db8::9]:9995, and the collector listens on 0.0.0.0",
    ),
    (
        "hangs",
        |o| {
            o.sockets[0].waiting = 5000;
            o.sockets[0].waited_before = true;
            o.kernel = Some(Kernel::default());
        },
        Verdict::Bad,
        "The collector does not read its socket [::]:9995: 5000 octets",
    ),
    (
        "silence",
        |o| {
            seen(o).senders.clear();
            seen(o).datagrams = 0;
            status(o).exporters.clear();
        },
        Verdict::Bad,
        "No packets reach this machine on UDP 9995 (watched for 10 s; no other UDP",
    ),
    (
        "silence of late",
        |o| seen(o).senders.clear(),
        Verdict::Poor,
        "Nothing is broken, but look at this: packets: nothing came to UDP 9995 in 10 s; 192.0.2.1 was \
      heard 1 second ago",
    ),
    (
        "silence for a day",
        |o| {
            seen(o).senders.clear();
            status(o).now_ms += 86_400_000;
        },
        Verdict::Bad,
        "No packets reach this machine on UDP 9995",
    ),
    (
        "streams",
        |o| {
            seen(o).senders.clear();
            status(o).streams_open = 1;
        },
        Verdict::Unclear,
        "Nothing wrong was found",
    ),
    (
        "passing by",
        |o| seen(o).senders[0].is_for_us = false,
        Verdict::Bad,
        "Packets to 192.0.2.9:9995 pass, which is no address of this machine",
    ),
    (
        "another port",
        |o| {
            seen(o).senders.clear();
            seen(o).elsewhere = vec![elsewhere(9996, Some("nfcapd")), elsewhere(2055, None)];
        },
        Verdict::Bad,
        "NetFlow v5 of 192.0.2.2 arrive on UDP 2055, where nobody listens (and 1 more",
    ),
    (
        "another port of another",
        |o| {
            seen(o).senders.clear();
            seen(o).elsewhere = vec![elsewhere(9996, Some("nfcapd"))];
        },
        Verdict::Bad,
        "NetFlow v5 of 192.0.2.2 arrive on UDP 9996, where nfcapd listens, and",
    ),
    (
        "another port besides",
        |o| seen(o).elsewhere = vec![elsewhere(2055, None)],
        Verdict::Poor,
        "Nothing is broken, but look at this: packets: NetFlow v5 of 192.0.2.2",
    ),
    (
        "another port of another besides",
        |o| {
            seen(o).elsewhere = vec![elsewhere(2055, Some("pmacctd"))];
        },
        Verdict::Good,
        "All is well",
    ),
    (
        "garbage",
        |o| seen(o).senders[0].garbage = 10,
        Verdict::Bad,
        "What 192.0.2.1 sends to UDP 9995 is no NetFlow",
    ),
    (
        "some garbage",
        |o| seen(o).senders[0].garbage = 1,
        Verdict::Poor,
        "Nothing is broken, but look at this: packets: 1 of 10 datagrams are no exports",
    ),
    (
        "firewall",
        |o| {
            status(o).received_now = 0;
            o.firewall =
                Firewall::Barriers(vec![("rule A".into(), Some(0)), ("rule B".into(), Some(9))]);
        },
        Verdict::Bad,
        "Packets arrive on UDP 9995, but this machine drops them before the collector's \
                      socket: the rule B dropped 9 packets",
    ),
    (
        "firewall that does not count",
        |o| {
            o.told = Told::NotServed;
            o.kernel = Some(Kernel::default());
            o.firewall = Firewall::Barriers(vec![("policy P".into(), None)]);
        },
        Verdict::Bad,
        "Packets arrive on UDP 9995, but this machine drops them before the collector's \
                      socket: nftables may drop packets: policy P",
    ),
    (
        "firewall that is not known",
        |o| {
            o.told = Told::NotServed;
            o.kernel = Some(Kernel::default());
            o.firewall = Firewall::Unknown;
        },
        Verdict::Bad,
        "Packets arrive on UDP 9995, but this machine drops them before the collector's \
                      socket: a rule of a firewall",
    ),
    (
        "reverse path",
        |o| {
            status(o).received_now = 0;
            o.kernel = Some(Kernel { reverse_path: 4, ..Kernel::default() });
        },
        Verdict::Bad,
        "Packets arrive on UDP 9995, but this machine drops them before the collector's \
                      socket: 4 packets from addresses that are not reached",
    ),
    (
        "checksums",
        |o| {
            status(o).received_now = 0;
            let udp = UdpCounts { errors: 4, bad_checksum: 4, ..counts() };
            o.kernel = Some(Kernel { udp, ..Kernel::default() });
        },
        Verdict::Bad,
        "Packets arrive on UDP 9995, but this machine drops them before the collector's \
                      socket: 4 packets have a wrong UDP checksum",
    ),
    (
        "a firewall that lets them in",
        |o| {
            o.firewall = Firewall::Barriers(vec![("policy P".into(), None)]);
        },
        Verdict::Good,
        "All is well",
    ),
    (
        "blind and silent",
        |o| {
            o.watch = Watch::Blind("not permitted".into());
            o.told = Told::NotServed;
            o.kernel = Some(Kernel::default());
        },
        Verdict::Bad,
        "No packets reach a socket of this machine, on UDP 9995 or elsewhere",
    ),
    (
        "blind, another port",
        |o| {
            o.watch = Watch::Blind("not permitted".into());
            o.told = Told::NotServed;
            o.kernel =
                Some(Kernel { udp: UdpCounts { no_port: 5, ..counts() }, ..Kernel::default() });
        },
        Verdict::Bad,
        "5 datagrams came to ports that nobody listens on",
    ),
    (
        "blind, and told",
        |o| o.watch = Watch::Blind("not permitted".into()),
        Verdict::Unclear,
        "Nothing wrong was found",
    ),
    (
        "the status is silent",
        |o| o.told = Told::Silent("refused".into()),
        Verdict::Poor,
        "Nothing is broken, but look at this: exporters: the collector does not tell",
    ),
    (
        "allow-list",
        |o| {
            o.plan.allow = vec!["10.0.0.0/8".into()];
            seen(o).senders[0].is_allowed = false;
        },
        Verdict::Bad,
        "Exports of 192.0.2.1 are refused: the allow-list (--allow 10.0.0.0/8)",
    ),
    (
        "allow-list for one of two",
        |o| {
            let other = Sender { is_allowed: false, ..sender() };
            seen(o).senders.push(other);
        },
        Verdict::Poor,
        "Nothing is broken, but look at this: exporters: exports of 192.0.2.1",
    ),
    (
        "no source",
        |o| seen(o).senders[0].is_listed = false,
        Verdict::Bad,
        "Exports of 192.0.2.1 are refused: no source (-n) is for them: add the address to -n",
    ),
    (
        "allow-list, as told",
        |o| {
            o.watch = Watch::Blind("not permitted".into());
            status(o).not_allowed = 100;
        },
        Verdict::Bad,
        "100 datagrams came from senders not on the allow-list",
    ),
    (
        "limit of exporters",
        |o| status(o).refused = 1,
        Verdict::Poor,
        "Nothing is broken, but look at this: exporters: 1 datagram refused",
    ),
    (
        "no template, as told",
        |o| {
            status(o).exporters[0].waiting_sets = 5;
            status(o).exporters[0].flows = 0;
        },
        Verdict::Bad,
        "Data of 192.0.2.1 (ipfix) arrive without a template",
    ),
    (
        "one template of two, as told",
        |o| status(o).exporters[0].dropped_sets = 5,
        Verdict::Poor,
        "Nothing is broken, but look at this: templates: some data of 192.0.2.1",
    ),
    (
        "no template, as seen",
        |o| {
            o.told = Told::NotServed;
            seen(o).senders[0].waiting_sets = 5;
            seen(o).senders[0].flows = 0;
        },
        Verdict::Bad,
        "Data of 192.0.2.1 arrive without a template, which the collector does not know",
    ),
    (
        "no template, and none to be known",
        |o| {
            o.told = Told::NotServed;
            o.plan.has_directory = false;
            seen(o).senders[0].waiting_sets = 5;
            seen(o).senders[0].flows = 0;
        },
        Verdict::Poor,
        "Nothing is broken, but look at this: options: no directory",
    ),
    (
        "filter",
        |o| {
            o.plan.filter = Some("port 1".into());
            status(o).filtered = 500;
        },
        Verdict::Bad,
        "The filter -F 'port 1' keeps none of 500 flows",
    ),
    (
        "filter, as seen",
        |o| {
            o.told = Told::NotServed;
            o.plan.filter = Some("port 1".into());
            seen(o).senders[0].kept = 0;
        },
        Verdict::Bad,
        "The filter -F 'port 1' keeps none of 50 flows",
    ),
    (
        "filter that keeps some",
        |o| {
            o.plan.filter = Some("port 1".into());
            status(o).filtered = 499;
        },
        Verdict::Good,
        "All is well",
    ),
    (
        "filter that is not ours",
        |o| status(o).filtered = 1,
        Verdict::Poor,
        "Nothing is broken, but look at this: filter: the collector's filter left out 1 of 500",
    ),
    (
        "sampling overridden",
        |o| {
            o.plan.sampling = Some(-100);
            status(o).exporters[0].samplers = 1;
        },
        Verdict::Poor,
        "Nothing is broken, but look at this: sampling: -s -100 takes the place of what \
                       192.0.2.1",
    ),
    ("sampling given", |o| o.plan.sampling = Some(100), Verdict::Good, "All is well"),
    (
        "drops",
        |o| o.sockets[0].dropped_now = 5,
        Verdict::Bad,
        "The kernel dropped 5 datagrams in 10 s because the receive buffer was full: raise \
      net.core.rmem_max (now 4194304) and -B (now 16777216)",
    ),
    (
        "drops of old",
        |o| o.sockets[0].dropped = 5,
        Verdict::Poor,
        "Nothing is broken, but look at this: losses: the kernel has dropped 5 datagrams since",
    ),
    (
        "gaps",
        |o| status(o).exporters[0].missing = 5,
        Verdict::Poor,
        "Nothing is broken, but look at this: losses: sequence numbers say that exports are missing: \
      192.0.2.1 (5 of ipfix)",
    ),
    (
        "clock behind",
        |o| seen(o).senders[0].skew_ms = Some(-3_600_000),
        Verdict::Bad,
        "The clock of 192.0.2.1 is 60 minutes behind that of this machine: set both by NTP",
    ),
    (
        "clock ahead",
        |o| seen(o).senders[0].skew_ms = Some(86_400_000 * 3),
        Verdict::Bad,
        "The clock of 192.0.2.1 is 3 days ahead of that of this machine",
    ),
    (
        "clock a little behind",
        |o| seen(o).senders[0].skew_ms = Some(-90_000),
        Verdict::Poor,
        "Nothing is broken, but look at this: clock: the clock of 192.0.2.1 is 90 seconds behind",
    ),
    (
        "clock of ours",
        |o| {
            let address = Some("192.0.2.3".parse().unwrap());
            seen(o).senders[0].skew_ms = Some(-3_600_000);
            seen(o).senders.push(Sender { address, skew_ms: Some(-3_601_000), ..sender() });
        },
        Verdict::Bad,
        "The clock of 192.0.2.3 is 60 minutes behind that of this machine; as all \
                      exporters differ, it may be ours",
    ),
    (
        "uptimes",
        |o| seen(o).senders[0].odd_uptimes = 1,
        Verdict::Poor,
        "Nothing is broken, but look at this: clock: flows of 192.0.2.1 have uptimes",
    ),
    (
        "no directory there",
        |o| o.directories[0].trouble = Some("not found".into()),
        Verdict::Bad,
        "Directory /flows cannot be looked at: not found",
    ),
    (
        "not writable",
        |o| o.directories[0].refusal = Some("it is no directory".into()),
        Verdict::Bad,
        "The collector may not write to /flows: it is no directory",
    ),
    (
        "full",
        |o| o.directories[0].space = Some(Space { size: 1 << 30, free: 4096, free_files: 9 }),
        Verdict::Bad,
        "The disk of /flows is full: 4 KiB are free",
    ),
    (
        "no inodes",
        |o| {
            o.directories[0].space = Some(Space { size: 1 << 40, free: 1 << 39, free_files: 0 });
        },
        Verdict::Bad,
        "The disk of /flows takes no more files",
    ),
    (
        "nearly full",
        |o| {
            o.directories[0].space =
                Some(Space { size: 1 << 40, free: 1 << 29, free_files: u64::MAX });
        },
        Verdict::Poor,
        "Nothing is broken, but look at this: disk: 512 MiB (0 %) are free",
    ),
    (
        "complaints",
        |o| status(o).complaints = vec!["source core: disk full".into()],
        Verdict::Bad,
        "The collector complains: source core: disk full",
    ),
    (
        "not written",
        |o| status(o).flows_lost = 1,
        Verdict::Poor,
        "Nothing is broken, but look at this: disk: 1 flow could not be written",
    ),
    (
        "another directory",
        |o| o.directories[0].open.clear(),
        Verdict::Poor,
        "Nothing is broken, but look at this: files: /flows: newest file nfcapd.202611181105, 4096 \
      octets, written 60 seconds ago; none is being written, though flows arrive",
    ),
    (
        "does not grow",
        |o| o.directories[0].has_grown = false,
        Verdict::Poor,
        "Nothing is broken, but look at this: files: /flows",
    ),
    (
        "old",
        |o| {
            o.directories[0].newest = Some(("/flows/x".into(), 1, 7200));
            o.directories[0].open[0].3 = 7200;
        },
        Verdict::Poor,
        "Nothing is broken, but look at this: files: /flows",
    ),
    (
        "large",
        |o| o.directories[0].is_cut_short = true,
        Verdict::Poor,
        "Nothing is broken, but look at this: files: /flows has more entries",
    ),
    (
        "damaged",
        |o| o.directories[0].readable = Some(Err("cut short".into())),
        Verdict::Bad,
        "/flows/nfcapd.202611181105 is damaged: cut short",
    ),
    (
        "no file yet",
        |o| {
            o.directories[0].newest = None;
            o.directories[0].readable = None;
        },
        Verdict::Unclear,
        "Nothing wrong was found",
    ),
    (
        "first things first",
        |o| {
            o.directories[0].readable = Some(Err("cut short".into()));
            seen(o).senders[0].skew_ms = Some(-3_600_000);
            o.sockets.clear();
        },
        Verdict::Bad,
        "No process listens on UDP 9995",
    ),
];

fn worst(findings: &[Finding]) -> Verdict {
    let order = [Verdict::Bad, Verdict::Poor, Verdict::Unclear];
    let is_there = |v: &Verdict| findings.iter().any(|f| f.verdict == *v);
    order.into_iter().find(is_there).unwrap_or(Verdict::Good)
}

#[test]
fn each_fault_has_its_diagnosis() {
    for (name, change, verdict, begins) in CASES {
        let mut observed = well();
        change(&mut observed);
        let findings = of(&observed);
        let said = diagnosis(&findings);
        assert!(said.starts_with(begins), "{name}: {said}\n{findings:#?}");
        assert_eq!(worst(&findings), *verdict, "{name}: {findings:#?}");
        assert_eq!(is_bad(&findings), *verdict == Verdict::Bad, "{name}");
        for f in &findings {
            // One line each, and something to do where something is wrong.
            assert!(
                !format!("{}{}{}", f.found, f.next, f.diagnosis).contains('\n'),
                "{name}: {f:?}"
            );
            assert!(f.verdict != Verdict::Bad || !f.next.is_empty(), "{name}: {f:?}");
        }
    }
}

#[test]
fn nothing_seen_is_no_panic() {
    let findings = of(&Observed::default());
    assert!(findings.iter().all(|f| !f.found.is_empty()), "{findings:#?}");
    assert!(!diagnosis(&findings).is_empty());
}
