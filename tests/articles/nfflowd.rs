//! nfflowd on a NAT firewall: its configuration as it stands in `/etc`, its words, three flows for
//! each connection at the collector, and who had a public port.

use crate::common::capd::flows_in;
use crate::common::{flow_files, has, run, wait_until};
use crate::host::{Host, Net, within};
use crate::shape::words;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};

const INSIDE: &str = "10.0.195.106";
const OUTSIDE: &str = "198.18.9.2";
const PUBLIC: &str = "198.18.9.1";
/// Octets that are fetched.
const PAGE: usize = 20_000;

const RULES: &str = "table ip nat {
    chain post { type nat hook postrouting priority srcnat; oifname wan masquerade; }
}";

/// What the manual says to write.
const CONF: &str = "<flow_send>
    # source interface on this server
    args 172.16.1.1
    # netflow collector address
    args 172.16.1.2
    # netflow collector port number
    args 65001
</flow_send>
";

/// A firewall between a host inside, one outside, and a collector.
struct Site {
    _net: Net,
    names: [String; 4],
    firewall: Host,
    collector: Host,
}

impl Site {
    fn new() -> Option<Self> {
        if !(has("nft") && has("conntrack")) {
            return None;
        }
        let (net, names) = Net::new(["i", "f", "o", "c"])?;
        let [inside, firewall, outside, collector] = names.each_ref().map(String::as_str);
        Net::wire([(inside, "eth0", "10.0.195.106/24"), (firewall, "lan", "10.0.195.1/24")]);
        Net::wire([(outside, "eth0", "198.18.9.2/24"), (firewall, "wan", "198.18.9.1/24")]);
        Net::wire([(collector, "eth0", "172.16.1.2/24"), (firewall, "dmz", "172.16.1.1/24")]);
        let route = ["-n", inside, "route", "add", "default", "via", "10.0.195.1"];
        assert!(run("ip", route).status.success());
        let hosts = [firewall, collector].map(|name| Host::new(name, &[]));
        let [firewall, collector] = hosts;
        let forwards = "sysctl -q -w net.ipv4.ip_forward=1";
        let nat = firewall.typed(&format!("{forwards} && nft '{RULES}'"));
        if !nat.status.success() {
            eprintln!("skipped: {}", String::from_utf8_lossy(&nat.stderr).trim());
            return None;
        }
        Some(Self { _net: net, names, firewall, collector })
    }

    /// Fetches a page through the firewall. Returns the port inside.
    fn fetch(&self) -> u16 {
        let [inside, _, outside, _] = &self.names;
        let web = within(outside, || TcpListener::bind((OUTSIDE, 80)).expect("bind"));
        let answer = std::thread::spawn(move || {
            let (mut stream, _) = web.accept().expect("accept");
            let _ = stream.read(&mut [0; 64]).expect("question");
            stream.write_all(&[b'x'; PAGE]).expect("answer");
        });
        let port = within(inside, || {
            let mut stream = TcpStream::connect((OUTSIDE, 80)).expect("connect");
            stream.write_all(b"GET / HTTP/1.0\r\n\r\n").expect("ask");
            let mut page = Vec::new();
            stream.read_to_end(&mut page).expect("read");
            assert_eq!(page.len(), PAGE);
            stream.local_addr().expect("address").port()
        });
        answer.join().expect("server");
        port
    }

    /// Asks a name server that says nothing.
    fn ask(&self, port: u16) {
        within(&self.names[0], || {
            let socket = UdpSocket::bind((INSIDE, port)).expect("bind");
            socket.send_to(&[0; 40], (OUTSIDE, 53)).expect("send");
        });
    }
}

#[test]
fn connections_through_nat_are_told_as_three_flows() {
    let Some(site) = Site::new() else { return };
    let (firewall, collector) = (&site.firewall, &site.collector);
    collector.says("mkdir -p /var/cache/flows");
    collector.says(
        "nfcapd -w -D -l /var/cache/flows -p 65001 -t 86400 -P /var/run/nfcapd.pid -I firewall",
    );
    firewall.says(&format!("cat > /etc/nfflowd.conf <<'END'\n{CONF}END"));
    let said = firewall.says("nfflowd check");
    assert!(said.contains("options: understood") && said.contains("172.16.1.2:65001"), "{said}");
    assert!(said.contains("daemon: not in the background now"), "{said}");
    firewall.says("nfflowd start");
    assert!(firewall.says("nfflowd check").contains("daemon: process "));
    let again = firewall.typed("nfflowd start");
    assert!(!again.status.success(), "one runs already: {again:?}");

    // Connections are followed from the daemon's start on, with counters.
    let web = site.fetch();
    site.ask(40_001);
    // What conntrack forgets has ended.
    let is_there = |said: &str| said.matches(INSIDE).count() >= 2;
    firewall.until("conntrack -L 2>/dev/null", is_there);
    firewall.says("conntrack -F");
    let dir = collector.scene.path("var/cache/flows");
    wait_until(|| flows_in(&dir) >= 6, || format!("{} flows of 6", flows_in(&dir)));
    firewall.says("nfflowd restart");
    firewall.says("nfflowd stop");
    assert!(firewall.says("nfflowd check").contains("daemon: not in the background now"));
    collector.says("kill $(cat /var/run/nfcapd.pid)");
    collector.until("ls /var/run", |said| !said.contains("nfcapd.pid"));
    assert_eq!(flow_files(&dir).len(), 1);
    triplets(collector, web);
}

/// Before translation, after it with the same counters, and the answer.
fn triplets(collector: &Host, web: u16) {
    let list = |filter: &str| {
        let format = "-q -N -o 'fmt:%ra %pr %sa %sp %da %dp %pkt %byt'";
        words(&collector.says(&format!("nfdump -R /var/cache/flows {format} '{filter}'")))
    };
    let all = list("any");
    assert_eq!(all.len(), 6, "{all:#?}");
    assert!(all.iter().all(|l| l.starts_with("172.16.1.1 ")), "{all:#?}");
    let one = |filter: &str| {
        let found = list(filter);
        assert_eq!(found.len(), 1, "{filter}: {found:#?} of {all:#?}");
        found[0].split(' ').map(str::to_owned).collect::<Vec<_>>()
    };
    let before = one(&format!("src ip {INSIDE} and proto tcp"));
    assert_eq!(before[2..6], [INSIDE, &web.to_string(), OUTSIDE, "80"].map(str::to_owned));
    let after = one(&format!("src ip {PUBLIC} and proto tcp"));
    assert_eq!(after[4..6], before[4..6]);
    assert_eq!(after[6..], before[6..], "the same counters");
    let answer = one(&format!("src ip {OUTSIDE} and proto tcp"));
    assert_eq!([&answer[4], &answer[5]], [&after[2], &after[3]], "to the public port");
    let octets: usize = answer[7].parse().expect("octets");
    assert!((PAGE..PAGE + 4000).contains(&octets), "{answer:?}");
    let name = one(&format!("src ip {INSIDE} and proto udp"));
    assert_eq!(name[3..], ["40001", OUTSIDE, "53", "1", "68"].map(str::to_owned));

    // Who had that public port: the question that all this is for, in one line.
    let line = "nfdump -q -R /var/cache/flows -o fmt:%ts 'src ip 10.0.195.106 and proto tcp'";
    let when = collector.says(line).trim().replace(' ', "T");
    let when = when.split('.').next().expect("seconds");
    let ask = format!("flowdump -R /var/cache/flows --nat-who {PUBLIC},{},{when}", after[3]);
    let said = collector.typed(&ask);
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(said.contains(INSIDE), "{ask}\n{said}");
}
