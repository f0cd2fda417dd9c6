//! A NetFlow server on Arch for a Cisco router, `ip flow-export version 9`, then 5. The router is a
//! host from whose address datagrams come that are laid out as those of IOS.

use crate::common::exports::v5;
use crate::common::{flow_files, wait_until};
use crate::host::{Host, Net, within};
use crate::shape::{query, rows, words};
use record::Addr;
use std::net::UdpSocket;
use wire::testing::{Record, V9Builder};

const ROUTER: &str = "192.168.10.1";
const SERVER: &str = "192.168.10.20:34343";
/// `ip flow-cache timeout active 1` and so on are the router's; it was started so long ago.
const UPTIME_MS: u32 = 500_000;

/// The template that IOS makes of `ip flow-export version 9`: element and length.
const IOS: [(u16, u16); 20] = [
    (21, 4), // last switched
    (22, 4), // first switched
    (1, 4),  // octets
    (2, 4),  // packets
    (10, 2), // input interface
    (14, 2), // output interface
    (8, 4),  // source address
    (12, 4), // destination address
    (4, 1),  // protocol
    (5, 1),  // type of service
    (7, 2),  // source port
    (11, 2), // destination port
    (48, 1), // sampler
    (15, 4), // next hop
    (13, 1), // destination mask
    (9, 1),  // source mask
    (6, 1),  // TCP flags
    (61, 1), // direction
    (16, 2), // source AS
    (17, 2), // destination AS
];

/// A flow through the router, from inside or the answer: a user who fetches more than the others.
fn ios_record(user: u32, is_answer: bool) -> Vec<u8> {
    let (inside, outside) = (Addr::V4(0x0a14_0000 + user), Addr::V4(0xcb00_7100 + user % 3));
    let octets: u64 = if is_answer { 50_000 * u64::from(user) } else { 1000 };
    let ends = if is_answer { [outside, inside] } else { [inside, outside] };
    let ports = if is_answer { [443, 50_000 + user] } else { [50_000 + user, 443] };
    let interfaces = if is_answer { [2, 1] } else { [1, 2] };
    Record::new()
        .number(u64::from(UPTIME_MS - 1000), 4)
        .number(u64::from(UPTIME_MS - 31_000 - user), 4)
        .number(octets, 4)
        .number(octets / 500, 4)
        .number(interfaces[0], 2)
        .number(interfaces[1], 2)
        .addr(ends[0])
        .addr(ends[1])
        .number(6, 1)
        .number(0, 1)
        .number(ports[0].into(), 2)
        .number(ports[1].into(), 2)
        .number(0, 1)
        .addr(Addr::V4(0xc0a8_0a02))
        .number(24, 1)
        .number(16, 1)
        .number(0x1b, 1)
        .number(u64::from(is_answer), 1)
        .number(65_001, 2)
        .number(64_496, 2)
        .build()
}

const USERS: u32 = 12;

/// What the router sends: its template, then flows.
fn ios_datagrams() -> Vec<Vec<u8>> {
    let header = |sequence| wire::v9::Header {
        uptime_ms: UPTIME_MS,
        unix_secs: (sys::clock::now_ms() / 1000) as u32,
        sequence,
        source_id: 0,
        ..Default::default()
    };
    let template = V9Builder::new(header(1)).template(256, &IOS).build();
    let data = (1..=USERS).map(|user| {
        let both = [ios_record(user, false), ios_record(user, true)];
        V9Builder::new(header(1 + user)).data(256, &both).build()
    });
    std::iter::once(template).chain(data).collect()
}

fn send(router: &str, datagrams: &[Vec<u8>]) {
    within(router, || {
        let socket = UdpSocket::bind((ROUTER, 0)).expect("bind");
        for datagram in datagrams {
            socket.send_to(datagram, SERVER).expect("send");
        }
    });
}

#[test]
fn a_router_is_collected_and_asked_about() {
    let Some((_net, [router, server])) = Net::new(["r", "s"]) else { return };
    Net::wire([(&router, "fa0", "192.168.10.1/24"), (&server, "eth0", "192.168.10.20/24")]);
    let host = Host::new(&server, &[]);
    host.says("mkdir -p /var/log/netflow /var/log/last");
    // No slot may end by itself while flows arrive.
    host.says(
        "nfcapd -w -D -T all -B 300000 -l /var/log/netflow -p 34343 -I cisco -t 86400 \
         -P /var/run/nfcapd.pid -x 'ln -s -t /var/log/last %d/%f'",
    );
    send(&router, &ios_datagrams());
    let dir = host.scene.path("var/log/netflow");
    let flows = 2 * USERS as usize;
    let have = || crate::common::capd::flows_in(&dir);
    wait_until(|| have() >= flows, || format!("{} flows of {flows}", have()));
    host.says("kill -HUP $(cat /var/run/nfcapd.pid)");
    wait_until(|| flow_files(&dir).len() == 1, || "a file".into());
    // What -x starts gets the finished file.
    let said = host.until("ls -l /var/log/last", |said| said.contains(" -> "));
    assert!(said.contains("/var/log/netflow/nfcapd.2"), "{said}");
    look(&host, flows);

    // Another version is another exporter of the same router, in the file after that.
    send(&router, &[v5(0, 0..10)]);
    wait_until(|| have() >= flows + 10, || format!("{} flows and ten", have()));
    host.says("kill $(cat /var/run/nfcapd.pid)");
    host.until("ls /var/run", |said| !said.contains("nfcapd.pid"));
    let line = "nfdump -R /var/log/netflow -s proto/flows";
    let said = words(&host.says(line));
    let total = format!("Summary: total flows: {}, ", flows + 10);
    assert!(said.iter().any(|l| l.starts_with(&total)), "{said:#?}");
}

fn look(host: &Host, flows: usize) {
    let read = "nfdump -R /var/log/netflow";
    let top = "Date first seen Duration Proto IP Addr Flows(%) Packets(%) Bytes(%) pps bps bpp";
    let said = query(host, &format!("{read} -s ip/bytes -n 4"), top);
    assert_eq!(said[0], "Top 4 IP Addr ordered by bytes:");
    // The three servers, then who fetched most.
    let fourth = rows(&said, top)[3].split(' ').nth(4).map(str::to_owned);
    assert_eq!(fourth.as_deref(), Some("10.20.0.12"), "{said:#?}");
    let users = "Date first seen Duration Proto Dst IP Addr Flows(%) Packets(%) Bytes(%) pps bps \
                 bpp";
    let said = query(host, &format!("{read} -s dstip/bytes -n 10 'dst net 10.20.0.0/16'"), users);
    let first: Vec<_> = rows(&said, users)[0].split(' ').collect();
    assert_eq!(first[4], "10.20.0.12", "{said:#?}");
    let long = "Date first seen Duration Proto Src IP Addr:Port Dst IP Addr:Port Flags Tos Packets \
                Bytes Flows";
    let said = query(host, &format!("{read} -o long -O tstart 'src ip 10.20.0.12'"), long);
    assert_eq!(rows(&said, long).len(), 1, "{said:#?}");
    let extended = "Date first seen Duration Proto Src IP Addr:Port Dst IP Addr:Port Flags Tos \
                    Packets Bytes pps bps Bpp Flows";
    let said = query(host, &format!("{read} -c 5 -o extended"), extended);
    assert_eq!(rows(&said, extended).len(), 5, "{said:#?}");
    let inputs = "Date first seen Duration Proto Input If Flows(%) Packets(%) Bytes(%) pps bps bpp";
    query(host, &format!("{read} -s inif/bytes"), inputs);
    let ases = "Date first seen Duration Proto Src AS Flows(%) Packets(%) Bytes(%) pps bps bpp";
    query(host, &format!("{read} -s srcas/bytes"), ases);
    // By the address of the router, as NfSen and scripts ask.
    let said =
        words(&host.says(&format!("{read} -q -o 'fmt:%ra %in %out %dir' 'router ip {ROUTER}'")));
    assert_eq!(said.len(), flows, "{said:#?}");
    assert!(said.iter().all(|l| l.starts_with(&format!("{ROUTER} "))), "{said:#?}");
    let hours = "$(date -d '-1 hour' +%Y/%m/%d.%H:%M:%S)-$(date -d '+1 hour' +%Y/%m/%d.%H:%M:%S)";
    let said = query(host, &format!("{read} -t {hours} -s ip/bytes -n 4"), top);
    assert_eq!(rows(&said, top).len(), 4, "{said:#?}");
    let ago = "$(date -d '-9 hour' +%Y/%m/%d.%H:%M:%S)-$(date -d '-8 hour' +%Y/%m/%d.%H:%M:%S)";
    let said = words(&host.says(&format!("{read} -t {ago} -s ip/bytes -n 4")));
    assert!(said.iter().any(|l| l.starts_with("Summary: total flows: 0, ")), "{said:#?}");
}
