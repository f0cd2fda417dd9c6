//! nfsen and nfdump on CentOS: what NfSen's installer asks for, how NfSen starts a collector, the
//! questions of its pages, and how it makes room.

use crate::common::exports::{line, v5};
use crate::common::{flow_files, has, wait_until};
use crate::host::{Host, Net, within};
use crate::shape::{query, rows, words};
use std::net::UdpSocket;

const BASE: &str = "/opt/nfsen";
/// Octets and packets are the same in all flows, so tops differ by their number.
const FLOWS: u32 = 60;

/// A server with a router on either side.
fn data_center() -> Option<(Net, [String; 3], Host)> {
    let (net, [server, one, two]) = Net::new(["s", "a", "b"])?;
    Net::wire([(&one, "eth0", "172.16.1.1/24"), (&server, "eth0", "172.16.1.2/24")]);
    Net::wire([(&two, "eth0", "172.16.2.1/24"), (&server, "eth1", "172.16.2.2/24")]);
    let host = Host::new(&server, &[]);
    for source in ["upstream1", "peer1", "peer2"] {
        host.says(&format!("mkdir -p {BASE}/profiles-data/live/{source}"));
    }
    host.says(&format!("mkdir -p {BASE}/var/run && chmod -R a+rwX {BASE}"));
    Some((net, [server, one, two], host))
}

/// Datagrams of a router, from its address.
fn export(router: &str, from: &str, to: &str, flows: std::ops::Range<u32>) {
    within(router, || {
        let socket = UdpSocket::bind((from, 0)).expect("bind");
        for first in flows.clone().step_by(20) {
            let sequence = first - flows.start;
            socket.send_to(&v5(sequence, first..first + 20), to).expect("send");
        }
    });
}

/// The collectors as NfSen starts and ends them: with a source of their own, and with two.
#[test]
fn nfsen_collects_asks_and_makes_room() {
    let Some((_net, [_, one, two], host)) = data_center() else { return };
    // Of install.pl: the second number after this word has to be 6 or more.
    let said = host.says("nfdump -V");
    let version = said.split("Version: ").nth(1).and_then(|v| v.split('.').nth(1));
    assert!(version.and_then(|v| v.parse().ok()) >= Some(6), "{said}");

    let live = format!("{BASE}/profiles-data/live");
    // It says -t 300; here no slot may end while flows arrive.
    host.says(&format!(
        "nfcapd -D -p 9995 -u nobody -g nogroup -B 200000 -S 1 -P {BASE}/var/run/p9995.pid -z \
         -t 86400 -I upstream1 -w {live}/upstream1"
    ));
    host.says(&format!(
        "nfcapd -D -p 9996 -u nobody -g nogroup -B 200000 -S 1 -P {BASE}/var/run/p9996.pid -z \
         -t 86400 -n peer1,172.16.1.1,{live}/peer1 -n peer2,172.16.2.1,{live}/peer2"
    ));
    host.until(&format!("ls {BASE}/var/run"), |said| said.contains("p9995.pid\np9996.pid"));
    export(&one, "172.16.1.1", "172.16.1.2:9995", 0..FLOWS);
    export(&one, "172.16.1.1", "172.16.1.2:9996", 0..FLOWS);
    export(&two, "172.16.2.1", "172.16.2.2:9996", FLOWS..2 * FLOWS);
    let here = |source: &str| host.scene.path(format!("opt/nfsen/profiles-data/live/{source}"));
    for source in ["upstream1", "peer1", "peer2"] {
        let missing = || format!("flows of {source}");
        wait_until(|| crate::common::capd::flows_in(&here(source)) >= FLOWS as usize, missing);
    }
    // NfSen ends one with TERM, and waits until its pid file is gone.
    host.says(&format!("kill -TERM $(cat {BASE}/var/run/p9995.pid {BASE}/var/run/p9996.pid)"));
    host.until(&format!("ls {BASE}/var/run"), |said| said.trim().is_empty());

    let file = &flow_files(&here("upstream1"))[0];
    let below = file.strip_prefix(here("upstream1")).expect("below").to_str().expect("text");
    let parts: Vec<_> = below.split('/').collect();
    assert!(
        matches!(parts[..], [y, m, d, n] if format!("nfcapd.{y}{m}{d}").len() == 15
        && n.starts_with(&format!("nfcapd.{y}{m}{d}"))),
        "{below}: -S 1 is year, month, day"
    );
    slot(&host, &format!("{live}/upstream1/{below}"));
    pages(&host, &live, below);
    profile(&host, &live, below);
    room(&host, &live);
}

/// What it reads of a slot for its graphs: names and values with `: ` between them.
fn slot(host: &Host, file: &str) {
    let said = words(&host.says(&format!("nfdump -I -r {file}")));
    let value = |name: &str| said.iter().find_map(|l| l.strip_prefix(name));
    assert_eq!(value("Ident: "), Some("upstream1"));
    for (name, want) in [("Flows: ", 60), ("Flows_tcp: ", 30), ("Flows_udp: ", 30)] {
        assert_eq!(value(name), Some(want.to_string().as_str()), "{said:#?}");
    }
    assert_eq!(value("Sequence failures: "), Some("0"), "{said:#?}");
    query(host, &format!("nfdump -I -G none -r {file}"), "Packets: 600");
}

/// The questions of its page, with the options that it makes of what people choose.
fn pages(host: &Host, live: &str, slot: &str) {
    let all = format!("nfdump -M {live}/upstream1:peer1:peer2 -T -r {slot}");
    let top = "Date first seen Duration Proto Dst Port Flows(%) Packets(%) Bytes(%) pps bps bpp";
    let said = query(host, &format!("{all} -n 10 -s dstport/flows any"), top);
    assert_eq!(said[0], "Top 10 Dst Port ordered by flows:");
    assert_eq!(rows(&said, top).len(), 2, "{said:#?}");
    assert!(said.iter().any(|l| l.starts_with("Summary: total flows: 180, ")), "{said:#?}");
    let hosts = "Date first seen Duration Proto Src IP Addr Flows(%) Packets(%) Bytes(%) pps bps \
                 bpp";
    query(host, &format!("{all} -n 10 -s srcip/bytes 'proto tcp and src net 10.0.0.0/29'"), hosts);
    let peers = format!("nfdump -M {live}/peer1:peer2 -T -r {slot}");
    let list = "Date first seen Duration Proto Src IP Addr:Port Dst IP Addr:Port Flags Tos Packets \
                Bytes Flows";
    // Of two peers, each is asked alone and gives its own.
    let said = query(host, &format!("{peers} -o long -c 200 -O tstart 'host 10.0.0.7'"), list);
    assert_eq!(rows(&said, list).len(), 1, "{said:#?}");
    let columns = "nfdump -q -N -o 'fmt:%pr %sa %sp %da %dp %pkt %byt'";
    for (source, flows) in [("peer1", 0..FLOWS), ("peer2", FLOWS..2 * FLOWS)] {
        let mut got = words(&host.says(&format!("{columns} -r {live}/{source}/{slot}")));
        got.sort();
        let mut want: Vec<_> = flows.map(line).collect();
        want.sort();
        assert_eq!(got, want, "{source}");
    }
    // A filter is checked before it is saved: what is wrong is printed where the page shows it.
    assert_eq!(host.says("nfdump -Z 'proto tcp and ( src port > 1024 )' 2>&1"), "");
    let wrong = host.typed("nfdump -Z 'proto tcp and srcport' 2>&1");
    assert!(!wrong.status.success());
    assert!(String::from_utf8_lossy(&wrong.stdout).starts_with("Line 1: "), "{wrong:?}");
}

/// What it does with each slot for profiles of one's own: channels with filters, on standard input.
fn profile(host: &Host, live: &str, slot: &str) {
    let (data, stat) = (format!("{BASE}/profiles-data"), format!("{BASE}/profiles-stat"));
    for channel in ["web", "rest"] {
        host.says(&format!("mkdir -p {data}/mine/two/{channel} {stat}/mine/two"));
    }
    let filters = [("web", "proto tcp"), ("rest", "not proto tcp")];
    for (channel, filter) in filters {
        host.says(&format!("echo '{filter}' > {stat}/mine/two/{channel}-filter.txt"));
    }
    let lines = "mine#two#2#web#peer1|peer2\nmine#two#2#rest#peer1|peer2\n";
    let command = format!("nfprofile -I -p {data} -P {stat} -M {live}/peer1:peer2 -S 1 -r {slot}");
    let checked = host.says(&format!("printf '{lines}' | {command} -Z"));
    assert!(checked.contains("channel web in profile 'two' in group 'mine': ok."), "{checked}");
    host.says(&format!("printf '{lines}' | {command}"));
    for (channel, filter) in filters {
        let list = "nfdump -q -N -o 'fmt:%pr %sa %sp %da %dp %pkt %byt'";
        let sorted = |command: &str| {
            let mut lines = words(&host.says(command));
            lines.sort();
            lines
        };
        let got = sorted(&format!("{list} -r {data}/mine/two/{channel}/{slot}"));
        assert_eq!(got.len(), FLOWS as usize, "{channel}");
        let want = format!("{list} -M {live}/peer1:peer2 -r {slot} '{filter}'");
        assert_eq!(got, sorted(&want), "{channel}");
    }
}

/// What it does each slot, and what people have in cron.
fn room(host: &Host, live: &str) {
    // Two days of slots for one source.
    let old = format!("{live}/upstream1/2026/01/0");
    for day in [1, 2] {
        host.says(&format!("mkdir -p {old}{day} && chmod 777 {old}{day}"));
        for minute in ["00", "05", "10"] {
            let made = format!("{old}{day}/nfcapd.2026010{day}00{minute}");
            host.says(&format!("nfdump -q -w {made} -R {live}/peer1 && touch -d -40days {made}"));
        }
    }
    let count = || host.says(&format!("find {live} -name 'nfcapd.20*' | wc -l")).trim().to_owned();
    assert_eq!(count(), "9");
    let said = host.says(&format!("nfexpire -Y -p -e {live} -w 90 -s 5368709120 2>&1"));
    let stat = said.lines().find_map(|l| l.strip_prefix("Stat|")).expect("a line for NfSen");
    let numbers: Vec<Option<u64>> = stat.split('|').map(|n| n.parse().ok()).collect();
    assert!(numbers.len() == 3 && numbers.iter().all(Option::is_some), "{said}");
    assert_eq!(count(), "9", "there is room");
    host.says(&format!(
        "find {live} -name 'nfcapd.*' -path '*/01/01/*' -mtime +30 -exec rm {{}} \\;"
    ));
    assert_eq!(count(), "6");
    let said = host.says(&format!("nfexpire -Y -p -e {live} -w 90 -t 30d 2>&1"));
    assert!(said.contains("Stat|"), "{said}");
    assert_eq!(count(), "3", "{said}");
    if has("/usr/bin/nfexpire") {
        let theirs = host.says(&format!("/usr/bin/nfexpire -Y -p -e {live} -w 90 -t 30d 2>&1"));
        let names = |said: &str| -> Vec<String> {
            let of = |l: &str| l.split(['|', ':']).next().unwrap_or_default().to_owned();
            said.lines().map(of).filter(|l| !l.is_empty() && !l.contains(live)).collect()
        };
        let again = host.says(&format!("nfexpire -Y -p -e {live} -w 90 -t 30d 2>&1"));
        assert_eq!(names(&again), names(&theirs), "{again}\n{theirs}");
    }
}
