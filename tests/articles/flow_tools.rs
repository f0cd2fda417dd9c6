//! netflow on FreeBSD with flow-tools: softflowd and a collector in the place of flow-capture, and
//! what flow-capture has left behind, asked the questions of flow-cat, flow-print, flow-stat and
//! flowdumper.

use crate::common::capd::flows_in;
use crate::common::wait_until;
use crate::host::{Host, Net, within};
use crate::shape::{query, rows, words};
use std::net::{Ipv4Addr, UdpSocket};

#[test]
fn what_softflowd_tells_is_collected_as_by_flow_capture() {
    let Some((_net, [lan, server])) = Net::new(["l", "s"]) else { return };
    Net::wire([(&lan, "em0", "192.168.1.10/24"), (&server, "rl0", "192.168.1.20/24")]);
    let host = Host::new(&server, &[]);
    host.says("mkdir -p /var/log/netflow");
    // flow-capture -p /var/run/flow-capture.pid -n 287 -N 0 -w /var/log/netflow/ -S 5 0/0/8888
    host.says(
        "flowcapd -C none -D -P /var/run/flow-capture.pid -t 300 -S 0 -w /var/log/netflow/ -p 8888",
    );
    host.says("softflowd -i rl0 -n 192.168.1.20:8888");
    let packets = |said: &str| -> Option<u32> {
        said.lines().find_map(|l| l.strip_prefix("Packets processed: "))?.trim().parse().ok()
    };
    host.until("softflowctl statistics", |said| packets(said).is_some());
    let _sink = within(&server, || UdpSocket::bind(("192.168.1.20", 53)).expect("bind"));
    within(&lan, || {
        for port in 50_000..50_006_u16 {
            let socket = UdpSocket::bind(("192.168.1.10", port)).expect("bind");
            for _ in 0..port % 10 + 1 {
                socket.send_to(&[0; 72], ("192.168.1.20", 53)).expect("send");
            }
        }
    });
    host.until("softflowctl statistics", |said| packets(said) >= Some(21));
    assert!(host.says("softflowctl expire-all").contains("Expired 6 flows."));
    let dir = host.scene.path("var/log/netflow");
    wait_until(|| flows_in(&dir) >= 6, || format!("{} flows of 6", flows_in(&dir)));
    host.says("softflowctl shutdown");
    // HUP rotates, as there; TERM ends it.
    host.says("kill -HUP $(cat /var/run/flow-capture.pid)");
    host.until("ls /var/log/netflow", |said| said.lines().any(|l| l.starts_with("nfcapd.2")));
    host.says("kill $(cat /var/run/flow-capture.pid)");
    host.until("ls /var/run", |said| !said.contains("flow-capture.pid"));
    // flow-cat /var/log/netflow | flow-print
    let header = "Date first seen Duration Proto Src IP Addr:Port Dst IP Addr:Port Packets Bytes \
                  Flows";
    let said = query(&host, "nfdump -R /var/log/netflow", header);
    for port in 50_000..50_006_u32 {
        let packets = port % 10 + 1;
        let end =
            format!("UDP 192.168.1.10:{port} -> 192.168.1.20:53 {packets} {} 1", packets * 100);
        assert_eq!(said.iter().filter(|l| l.ends_with(&end)).count(), 1, "{end}: {said:#?}");
    }
    // flow-cat /var/log/netflow | flow-stat -f9 -S2
    let top = "Date first seen Duration Proto Src IP Addr Flows(%) Packets(%) Bytes(%) pps bps bpp";
    let said = query(&host, "nfdump -R /var/log/netflow -s srcip/bytes", top);
    let want = "192.168.1.10 6(100.0) 21(100.0) 2100(100.0)";
    assert!(rows(&said, top)[0].contains(want), "{said:#?}");
}

/// A flow of the tutorial's listing: seconds since 1970, ends, ports, protocol, flags, octets.
type Listed = (u32, Ipv4Addr, Ipv4Addr, [u16; 2], u8, u8, u32);

const LISTED: [Listed; 3] = [
    (
        1_324_079_982,
        Ipv4Addr::new(69, 134, 229, 81),
        Ipv4Addr::new(192, 0, 2, 37),
        [51_459, 443],
        6,
        0x18,
        81,
    ),
    (
        1_324_079_983,
        Ipv4Addr::new(192, 0, 2, 4),
        Ipv4Addr::new(198, 6, 1, 1),
        [10_690, 53],
        17,
        0,
        81,
    ),
    (
        1_324_079_983,
        Ipv4Addr::new(192, 0, 2, 37),
        Ipv4Addr::new(69, 134, 229, 81),
        [443, 51_459],
        6,
        0x10,
        40,
    ),
];

/// What flowdumper prints of them.
const LINES: &str = "\
2011/12/16 23:59:42 69.134.229.81.51459 -> 192.0.2.37.443 6(PUSH|ACK) 1 81
2011/12/16 23:59:43 192.0.2.4.10690 -> 198.6.1.1.53 17 1 81
2011/12/16 23:59:43 192.0.2.37.443 -> 69.134.229.81.51459 6(ACK) 1 40
";

/// A file of flow-capture: NetFlow v5 in stream version 3, octets in the order of Intel.
fn ft_file(flows: &[Listed]) -> Vec<u8> {
    let mut file = vec![0xcf, 0x10, 1, 3, 0, 0, 0, 0];
    let mut field = |kind: u16, value: &[u8]| {
        file.extend(kind.to_le_bytes());
        file.extend((value.len() as u16).to_le_bytes());
        file.extend(value);
    };
    field(2, &5_u16.to_le_bytes());
    field(8, &1_u32.to_le_bytes());
    field(10, &(flows.len() as u32).to_le_bytes());
    file.resize(file.len().next_multiple_of(4), 0);
    let start = file.len() as u32;
    file[4..8].copy_from_slice(&start.to_le_bytes());
    for (secs, src, dst, ports, proto, flags, octets) in flows {
        let exporter = u32::from(Ipv4Addr::new(172, 16, 1, 1));
        for word in [*secs, 0, 5000, exporter, (*src).into(), (*dst).into(), 0, 0, 1, *octets] {
            file.extend(word.to_le_bytes());
        }
        [5000_u32; 2].iter().for_each(|time| file.extend(time.to_le_bytes()));
        ports.iter().for_each(|port| file.extend(port.to_le_bytes()));
        file.extend([*proto, 0, *flags, 0]);
        file.extend([0; 8]);
    }
    file
}

#[test]
fn what_flow_capture_has_left_is_asked_the_same_questions() {
    let Some((_net, [server])) = Net::new(["s"]) else { return };
    let host = Host::new(&server, &[]);
    let flows = host.scene.path("ft");
    std::fs::write(&flows, ft_file(&LISTED)).expect("write");
    host.says(&format!(
        "mkdir -p /var/log/netflow/2011-12/2011-12-16 && \
         cp {} /var/log/netflow/2011-12/2011-12-16/ft-v05.2011-12-16.235501+0000",
        flows.display()
    ));
    host.says("mkdir -p /var/cache/flows");
    host.says("flowimport -q -w /var/cache/flows /var/log/netflow");
    // flowdumper -s ft-v05.2011-12-16.*
    assert_eq!(host.says("flowdump -q -R /var/cache/flows -O tstart -o flowdumper"), LINES);
    // And without a directory of ours.
    host.says("flowimport -q -w /opt/one /var/log/netflow/2011-12/2011-12-16/ft-v05.*");
    assert_eq!(host.says("flowdump -q -r /opt/one -o flowdumper"), LINES);
    // flow-cat ft-v05.* | flow-export -f2
    let said = host.says("flowdump -q -R /var/cache/flows -o flow-tools");
    let lines: Vec<_> = said.lines().collect();
    assert!(lines.len() == 4 && lines[0].starts_with("#:unix_secs,"), "{said}");
    let names: Vec<_> = lines[0][2..].split(',').collect();
    let value = |line: &str, name: &str| {
        let n = names.iter().position(|n| *n == name).unwrap_or_else(|| panic!("{name}: {said}"));
        line.split(',').nth(n).map(str::to_owned)
    };
    assert_eq!(value(lines[1], "srcaddr").as_deref(), Some("69.134.229.81"));
    assert_eq!(value(lines[1], "dstport").as_deref(), Some("443"));
    assert_eq!(value(lines[1], "doctets").as_deref(), Some("81"));
    // flow-cat ft-v05.* | flow-print, with its columns
    let print = "nfdump -q -N -R /var/cache/flows -O tstart -o 'fmt:%sa %da %pr %sp %dp %byt %pkt'";
    let said = words(&host.says(print));
    assert_eq!(said[1], "192.0.2.4 198.6.1.1 17 10690 53 81 1");
    // flow-cat ft-v05.* | flow-stat -f10 -S3: by source and destination
    let said = words(&host.says("nfdump -q -R /var/cache/flows -A srcip,dstip -O bytes"));
    assert_eq!(said.len(), 3, "{said:#?}");
    // flow-cat ft-v05.* | flow-stat -f5: by destination port
    let top = "Date first seen Duration Proto Dst Port Flows(%) Packets(%) Bytes(%) pps bps bpp";
    let said = query(&host, "nfdump -R /var/cache/flows -s dstport/bytes", top);
    assert_eq!(rows(&said, top).len(), 3, "{said:#?}");
}
