//! NetFlow generation with softflowd: a host watches its own interface and collects what it exports.

use crate::common::capd::flows_in;
use crate::common::{has, wait_until};
use crate::host::{Host, Net, within};
use crate::shape::{query, rows, shape};
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};

const LAN: &str = "192.168.1.10";
const SERVER: &str = "192.168.1.20";

/// Conversations over UDP: port here, port there, datagrams, octets of each.
const UDP: [(u16, u16, u64, usize); 4] =
    [(40_001, 53, 3, 100), (40_002, 53, 5, 200), (40_003, 123, 7, 50), (40_004, 514, 1, 1000)];
/// Octets that are fetched over TCP.
const PAGE: usize = 20_000;

/// What the programs have said of the same traffic.
struct Said {
    statistics: String,
    dump: String,
    timeouts: String,
    expired: String,
}

fn converse(lan: &str, server: &str) {
    let sinks: Vec<_> = within(server, || {
        let ports = UDP.iter().map(|u| u.1).collect::<std::collections::BTreeSet<_>>();
        ports.into_iter().map(|port| UdpSocket::bind((SERVER, port)).expect("bind")).collect()
    });
    let web = within(server, || TcpListener::bind((SERVER, 80)).expect("bind"));
    let answer = std::thread::spawn(move || {
        let (mut stream, _) = web.accept().expect("accept");
        let _ = stream.read(&mut [0; 64]).expect("question");
        stream.write_all(&[b'x'; PAGE]).expect("answer");
    });
    within(lan, || {
        for (from, to, datagrams, octets) in UDP {
            let socket = UdpSocket::bind((LAN, from)).expect("bind");
            (0..datagrams).for_each(|_| {
                socket.send_to(&vec![0; octets], (SERVER, to)).expect("send");
            });
        }
        let mut stream = TcpStream::connect((SERVER, 80)).expect("connect");
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").expect("ask");
        let mut page = Vec::new();
        stream.read_to_end(&mut page).expect("read");
        assert_eq!(page.len(), PAGE);
    });
    answer.join().expect("server");
    drop::<Vec<_>>(sinks);
}

/// One more conversation, from the server: Debian's softflowd sees what was before it only once a
/// block of the kernel's ring is full.
fn push(lan: &str, server: &str) {
    let sink = within(lan, || UdpSocket::bind((LAN, 9)).expect("bind"));
    within(server, || {
        let socket = UdpSocket::bind((SERVER, 40_009)).expect("bind");
        (0..400).for_each(|_| {
            socket.send_to(&[0; 1400], (LAN, 9)).expect("send");
        });
    });
    drop(sink);
}

/// The tutorial from its first command to its last. Names in `real` are Debian's programs.
fn tutorial(real: &[&str]) -> Option<Said> {
    let (_net, [lan, server]) = Net::new(["l", "s"])?;
    Net::wire([(&lan, "eth0", "192.168.1.10/24"), (&server, "eth0", "192.168.1.20/24")]);
    let host = Host::new(&server, real);
    host.says("mkdir -p /var/cache/nfdump");
    host.says("nfcapd -w -D -l /var/cache/nfdump -p 9995 -P /var/run/nfcapd.pid");
    host.says("softflowd -i eth0 -v 9 -n 127.0.0.1:9995 -t maxlife=300");
    host.until("softflowctl statistics", |said| said.contains("Packets processed: "));
    converse(&lan, &server);

    let packets = |said: &str| -> Option<u64> {
        said.lines().find_map(|l| l.strip_prefix("Packets processed: "))?.trim().parse().ok()
    };
    // More than the conversations have, which come first.
    let all: u64 = UDP.iter().map(|u| u.2).sum::<u64>() + 100;
    push(&lan, &server);
    let statistics = host.until("softflowctl statistics", |said| {
        let is_all = packets(said) > Some(all);
        if !is_all {
            push(&lan, &server);
        }
        is_all
    });
    let dump = host.says("softflowctl dump-flows");
    let timeouts = host.says("softflowctl timeouts");
    let expired = host.says("softflowctl expire-all");
    let dir = host.scene.path("var/cache/nfdump");
    wait_until(|| flows_in(&dir) >= 6, || format!("flows of {real:?}:\n{dump}"));
    host.says("kill -HUP $(cat /var/run/nfcapd.pid)");
    let is_named = |said: &str| said.lines().any(|l| l.starts_with("nfcapd.2"));
    host.until("ls /var/cache/nfdump", is_named);
    look(&host);
    host.says("softflowctl shutdown");
    // Debian's cannot remove its files: it is in another root by then.
    let look = "readlink /proc/$(cat /var/run/softflowd.pid)/exe || echo gone";
    host.until(look, |said| said.contains("gone"));
    host.says("kill $(cat /var/run/nfcapd.pid)");
    host.until("ls /var/run", |said| !said.contains("nfcapd.pid"));
    Some(Said { statistics, dump, timeouts, expired })
}

/// The questions of the tutorial.
fn look(host: &Host) {
    let header = "Date first seen Duration Proto Src IP Addr:Port Dst IP Addr:Port Packets Bytes \
                  Flows";
    let flows = query(host, "nfdump -R /var/cache/nfdump 'proto udp' -O bytes", header);
    for (from, to, datagrams, octets) in UDP {
        let bytes = datagrams * (octets as u64 + 28);
        let end = format!(" UDP {LAN}:{from} -> {SERVER}:{to} {datagrams} {bytes} 1");
        assert_eq!(flows.iter().filter(|l| l.ends_with(&end)).count(), 1, "{end}: {flows:#?}");
    }
    let top = "Date first seen Duration Proto Src IP Addr Flows(%) Packets(%) Bytes(%) pps bps bpp";
    let said = query(host, "nfdump -R /var/cache/nfdump -s srcip/bytes -n 10", top);
    assert!(said.contains(&"Top 10 Src IP Addr ordered by bytes:".to_owned()), "{said:?}");
    let hosts: Vec<_> = rows(&said, top).iter().map(|l| l.split(' ').nth(4)).collect();
    assert_eq!(hosts, [Some(SERVER), Some(LAN)], "{said:#?}");
    let ports = "Date first seen Duration Proto Dst Port Flows(%) Packets(%) Bytes(%) pps bps bpp";
    query(host, "nfdump -R /var/cache/nfdump -s dstport/bytes -n 10 'proto udp'", ports);
    let extended = "Date first seen Duration Proto Src IP Addr:Port Dst IP Addr:Port Flags Tos \
                    Packets Bytes pps bps Bpp Flows";
    query(host, "nfdump -R /var/cache/nfdump -o extended 'src ip 192.168.1.10'", extended);
    let own = "Date first seen Duration Src IP Addr:Port Dst IP Addr:Port Bytes";
    query(host, "nfdump -R /var/cache/nfdump -o 'fmt:%ts %td %sap -> %dap %byt'", own);
    let line = "nfdump -R /var/cache/nfdump -A srcip,dstport -s record/bytes 'proto udp'";
    let said = host.says(line);
    assert!(said.contains("Top 10 flows ordered by bytes:"), "{line}\n{said}");
}

#[test]
fn netflow_is_generated_by_our_probe_and_by_softflowd() {
    let Some(ours) = tutorial(&[]) else { return };
    for (said, begin) in [(&ours.statistics, "Accumulated statistics"), (&ours.expired, "Expired ")]
    {
        assert!(said.starts_with("softflowd[") && said.contains(begin), "{said}");
    }
    if !has("/usr/sbin/softflowd") {
        return;
    }
    let Some(theirs) = tutorial(&["softflowd", "softflowctl"]) else { return };
    assert_eq!(shape(&ours.timeouts), shape(&theirs.timeouts));
    assert_eq!(shape(&ours.expired), shape(&theirs.expired));
    assert_eq!(shape(&ours.dump), shape(&theirs.dump));
    assert_eq!(shape(&ours.statistics), shape(&theirs.statistics));
}
