//! Captures on wires of the tests' own: a network namespace for each, with pairs of virtual
//! interfaces. Frames go in at one end and are captured at the other.

use std::collections::{HashMap, HashSet};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::mpsc;

use super::*;
use crate::testing::{frame_of, ipv4_packet, udp_datagram};
use crate::{Direction, Filter};

/// What was captured of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    link: u32,
    wire_len: u32,
    interface: u32,
    direction: Direction,
    bytes: Vec<u8>,
}

fn ip(arguments: &str) {
    let run = Command::new("ip").args(arguments.split(' ')).output().unwrap();
    assert!(run.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&run.stderr));
}

/// Runs `test` on a thread with a network of its own, in which `a0` and `b0` are the ends of a wire,
/// and so are `a1` and `b1`.
fn with_wires(test: fn()) {
    let run = move || {
        let is_alone = nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).is_ok();
        let has_ip = Command::new("ip").arg("-V").stdout(Stdio::null()).status().is_ok();
        if !(is_alone && has_ip) {
            println!("skipped: no network of one's own without CAP_SYS_ADMIN and `ip`");
            return;
        }
        // Otherwise hosts on the wire look for routers.
        let _ = std::fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
        add_wire(0);
        add_wire(1);
        ip("link set lo up");
        test();
    };
    std::thread::spawn(run).join().unwrap();
}

fn add_wire(n: u8) {
    ip(&format!("link add a{n} type veth peer name b{n}"));
    for end in ["a", "b"] {
        ip(&format!("link set {end}{n} arp off up"));
    }
}

/// Sends frames at an end of a wire.
struct Sender(pcap::Capture<pcap::Active>);

impl Sender {
    fn new(interface: &str) -> Self {
        let device = pcap::Capture::from_device(interface).unwrap();
        Self(device.open().unwrap())
    }

    fn send(&mut self, frames: &[Vec<u8>]) {
        for frame in frames {
            self.0.sendpacket(&frame[..]).unwrap();
        }
    }
}

/// A frame of UDP with a number in it and `len` octets of payload.
fn numbered(n: u32, len: usize) -> Vec<u8> {
    let mut payload = vec![0xa5; len.max(4)];
    payload[..4].copy_from_slice(&n.to_be_bytes());
    frame_of(&ipv4_packet(&udp_datagram(1000 + (n % 50) as u16, 53, &payload), 7, 0))
}

fn options(interface: &str) -> LiveOptions {
    LiveOptions {
        interfaces: vec![interface.to_owned()],
        buffer: 4 << 20,
        wait: Duration::from_secs(30),
        ..LiveOptions::default()
    }
}

/// The next `count` packets; fewer if a wait brings none.
fn take(live: &mut Live, count: usize) -> Vec<Seen> {
    let mut all = Vec::new();
    while all.len() < count {
        let progress = live.batch(&mut |packets| all.extend(packets.iter().map(seen))).unwrap();
        if progress != Progress::More {
            break;
        }
    }
    all
}

/// All packets up to the end, after a stop.
fn take_rest(live: &mut Live) -> Vec<Seen> {
    let mut all = Vec::new();
    while live.batch(&mut |packets| all.extend(packets.iter().map(seen))).unwrap() != Progress::End
    {
    }
    all
}

fn seen(packet: &Packet<'_>) -> Seen {
    let Packet { time_ns, link, wire_len, interface, direction, bytes } = *packet;
    let now = sys::clock::now_ms();
    assert!(
        time_ns.is_some_and(|ns| (ns / 1_000_000).abs_diff(now) < 600_000),
        "{time_ns:?} {now}"
    );
    Seen { link, wire_len, interface, direction, bytes: bytes.to_vec() }
}

/// Waits until the kernel has counted so many packets.
fn await_received(live: &mut Live, count: u64) {
    while live.stats().received < count {
        std::thread::yield_now();
    }
}

fn bytes_of(all: &[Seen]) -> Vec<Vec<u8>> {
    all.iter().map(|seen| seen.bytes.clone()).collect()
}

#[test]
fn all_packets_of_an_interface_arrive_in_order() {
    with_wires(|| {
        for backend in [Backend::Ring, Backend::Libpcap] {
            let mut live = Live::open(&LiveOptions { backend, ..options("b0") }).unwrap();
            let frames: Vec<_> = (0..2000).map(|n| numbered(n, 20 + n as usize % 1400)).collect();
            Sender::new("a0").send(&frames);
            let all = take(&mut live, frames.len());
            assert_eq!(all.len(), frames.len());
            let interface = sys::ring::interface_index("b0").unwrap();
            let direction = match backend {
                Backend::Ring => Direction::Inbound,
                Backend::Libpcap => Direction::Unknown,
            };
            for (seen, frame) in all.iter().zip(&frames) {
                let wire_len = frame.len() as u32;
                let bytes = frame.clone();
                assert_eq!(*seen, Seen { link: 1, wire_len, interface, direction, bytes });
            }
            let stats = live.stats();
            assert_eq!((stats.packets, stats.received, stats.dropped), (2000, 2000, 0));
            assert_eq!(stats.octets, frames.iter().map(|f| f.len() as u64).sum::<u64>());
            assert_eq!(stats.interface_dropped, 0);
        }
    });
}

#[test]
fn what_is_cut_keeps_its_length() {
    with_wires(|| {
        for backend in [Backend::Ring, Backend::Libpcap] {
            let filter = (backend == Backend::Ring).then(|| "udp".to_owned());
            let cut = LiveOptions { snap_len: 50, backend, filter, ..options("b0") };
            let mut live = Live::open(&cut).unwrap();
            let tagged = with_tags(&numbered(2, 100), &[(0x8100, 7)]);
            let frames = [numbered(0, 1000), numbered(1, 4), tagged];
            Sender::new("a0").send(&frames);
            let all = take(&mut live, if backend == Backend::Ring { 2 } else { 3 });
            for (seen, frame) in all.iter().zip(&frames) {
                assert_eq!(seen.bytes, frame[..frame.len().min(50)], "{backend:?}");
                assert_eq!(seen.wire_len as usize, frame.len(), "{backend:?}");
            }
        }
    });
}

/// A frame with tags of VLANs behind its addresses.
fn with_tags(frame: &[u8], tags: &[(u16, u16)]) -> Vec<u8> {
    let tags = tags.iter().flat_map(|(kind, tci)| [kind.to_be_bytes(), tci.to_be_bytes()].concat());
    frame[..12].iter().copied().chain(tags).chain(frame[12..].iter().copied()).collect()
}

#[test]
fn tags_are_where_they_were() {
    with_wires(|| {
        let mut live = Live::open(&options("b0")).unwrap();
        let cases: &[&[(u16, u16)]] = &[
            &[(0x8100, 100)],
            &[(0x8100, 0xe001)],
            &[(0x8100, 0)],
            &[(0x88a8, 200)],
            &[(0x88a8, 200), (0x8100, 100)],
            &[(0x8100, 1), (0x8100, 2), (0x8100, 3)],
            &[],
        ];
        let frames: Vec<_> = cases.iter().map(|tags| with_tags(&numbered(1, 30), tags)).collect();
        Sender::new("a0").send(&frames);
        let all = take(&mut live, frames.len());
        for ((seen, frame), tags) in all.iter().zip(&frames).zip(cases) {
            assert_eq!(seen.bytes, *frame, "{tags:x?}");
            assert_eq!(seen.wire_len as usize, frame.len(), "{tags:x?}");
        }
        assert_eq!(all.len(), frames.len());
    });
}

#[test]
fn all_interfaces_at_once_with_their_numbers() {
    with_wires(|| {
        let index = |name| sys::ring::interface_index(name).unwrap();
        for backend in [Backend::Ring, Backend::Libpcap] {
            let mut live = Live::open(&LiveOptions { backend, ..options(ANY) }).unwrap();
            Sender::new("a0").send(&[numbered(0, 10)]);
            Sender::new("b1").send(&[numbered(1, 10)]);
            let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.send_to(b"x", socket.local_addr().unwrap()).unwrap();
            // The loopback shows each packet once, a wire at both ends; libpcap does the same.
            let all = take(&mut live, 5);
            let ends: Vec<_> = all.iter().map(|seen| (seen.interface, seen.direction)).collect();
            let want = [
                (index("a0"), Direction::Outbound),
                (index("b0"), Direction::Inbound),
                (index("b1"), Direction::Outbound),
                (index("a1"), Direction::Inbound),
                (index("lo"), Direction::Inbound),
            ];
            assert_eq!(ends, want, "{backend:?}");
            if backend == Backend::Ring {
                assert!(all.iter().all(|seen| seen.link == 1));
                assert_eq!(all[0].bytes, numbered(0, 10));
            }
        }
    });
}

#[test]
fn several_interfaces_by_name() {
    with_wires(|| {
        let interfaces = vec!["b0".to_owned(), "b1".to_owned()];
        let mut live = Live::open(&LiveOptions { interfaces, ..options("") }).unwrap();
        let (mut first, mut second) = (Sender::new("a0"), Sender::new("a1"));
        for n in 0..100 {
            first.send(&[numbered(n, 50)]);
            second.send(&[numbered(1000 + n, 50)]);
        }
        let all = take(&mut live, 200);
        let count = |name| {
            let index = sys::ring::interface_index(name).unwrap();
            all.iter().filter(|seen| seen.interface == index).count()
        };
        assert_eq!((all.len(), count("b0"), count("b1")), (200, 100, 100));
    });
}

#[test]
fn one_packet_on_a_quiet_link_is_not_kept_waiting_for_others() {
    with_wires(|| {
        for backend in [Backend::Ring, Backend::Libpcap] {
            let wait = Duration::from_secs(60);
            let mut live = Live::open(&LiveOptions { backend, wait, ..options("b0") }).unwrap();
            let mut sender = Sender::new("a0");
            for n in 0..3 {
                sender.send(&[numbered(n, 10)]);
                assert_eq!(bytes_of(&take(&mut live, 1)), [numbered(n, 10)], "{backend:?}");
            }
        }
        let wait = Duration::from_millis(1);
        let mut live = Live::open(&LiveOptions { wait, ..options("b1") }).unwrap();
        assert_eq!(live.batch(&mut |_| panic!("nothing was sent")).unwrap(), Progress::Idle);
    });
}

#[test]
fn a_stop_loses_nothing_that_was_captured_and_takes_nothing_more() {
    with_wires(|| {
        for backend in [Backend::Ring, Backend::Libpcap] {
            let mut live = Live::open(&LiveOptions { backend, ..options("b0") }).unwrap();
            let frames: Vec<_> = (0..700).map(|n| numbered(n, 600)).collect();
            let mut sender = Sender::new("a0");
            sender.send(&frames);
            await_received(&mut live, 700);
            live.stop();
            sender.send(&[numbered(9999, 10)]);
            let all = bytes_of(&take_rest(&mut live));
            assert!(all == frames, "{backend:?}: {} packets", all.len());
            let end = live.batch(&mut |_| panic!("after the end")).unwrap();
            assert_eq!(end, Progress::End);
        }
        let mut live = Live::open(&options("b1")).unwrap();
        live.stop();
        assert_eq!(take_rest(&mut live), [], "nothing was captured");
    });
}

#[test]
fn a_group_divides_conversations_and_sees_each_packet_once() {
    with_wires(|| {
        let mut group = Live::open_group(&options("b0"), 3).unwrap();
        let way = |n: u32, there: bool| {
            let (from, to) = (2000 + (n % 60) as u16, 443);
            let (from, to) = if there { (from, to) } else { (to, from) };
            let mut ip = ipv4_packet(&udp_datagram(from, to, &n.to_be_bytes()), 7, 0);
            if !there {
                let (a, b) = (ip[12..16].to_vec(), ip[16..20].to_vec());
                ip[12..20].copy_from_slice(&[b, a].concat());
            }
            frame_of(&ip)
        };
        let frames: Vec<_> = (0..1200).map(|n| way(n, n % 7 < 4)).collect();
        Sender::new("a0").send(&frames);
        while group.iter_mut().map(|live| live.stats().received).sum::<u64>() < 1200 {
            std::thread::yield_now();
        }
        let mut owner: HashMap<u16, usize> = HashMap::new();
        let mut all = HashSet::new();
        for (n, live) in group.iter_mut().enumerate() {
            live.stop();
            for seen in take_rest(live) {
                let port = |at| u16::from_be_bytes([seen.bytes[at], seen.bytes[at + 1]]);
                let conversation = port(34).max(port(36));
                assert_eq!(*owner.entry(conversation).or_insert(n), n, "{conversation}");
                assert!(all.insert(seen.bytes), "twice");
            }
        }
        assert!(all == frames.into_iter().collect(), "{} packets", all.len());
        assert!(owner.values().collect::<HashSet<_>>().len() > 1, "one did it all");
    });
}

#[test]
fn libpcap_has_no_groups() {
    let options = LiveOptions { backend: Backend::Libpcap, ..options("lo") };
    let e = Live::open_group(&options, 2).unwrap_err();
    assert!(e.to_string().contains("use one"), "{e}");
}

#[test]
fn what_finds_no_room_is_counted() {
    with_wires(|| {
        let mut live = Live::open(&LiveOptions { buffer: 1, ..options("b0") }).unwrap();
        let frames: Vec<_> = (0..500).map(|n| numbered(n, 1000)).collect();
        Sender::new("a0").send(&frames);
        await_received(&mut live, 500);
        live.stop();
        let all = bytes_of(&take_rest(&mut live));
        let stats = live.stats();
        assert!(stats.dropped > 400 && stats.freezes > 0, "{stats:?}");
        assert_eq!(all.len() as u64 + stats.dropped, 500);
        assert!(all[..10] == frames[..10], "the first ones found room");
    });
}

#[test]
fn an_interface_that_goes_is_captured_again_when_it_is_back() {
    with_wires(|| {
        let wait = Duration::from_millis(5);
        ip("link set b0 down");
        let mut live = Live::open(&LiveOptions { wait, ..options("b0") }).unwrap();
        let next = |live: &mut Live| {
            loop {
                let _ = live.batch(&mut |_| panic!("nothing was sent")).unwrap();
                if let Some(Event { interface, change }) = live.take_event() {
                    assert_eq!(interface, "b0");
                    return change;
                }
            }
        };
        let arrives = |live: &mut Live, n| {
            Sender::new("a0").send(&[numbered(n, 10)]);
            let mut all = Vec::new();
            while all.is_empty() {
                all = take(live, 1);
            }
            assert_eq!(bytes_of(&all), [numbered(n, 10)]);
        };
        assert_eq!(next(&mut live), Change::Down, "from the beginning");
        ip("link set b0 up");
        assert_eq!(next(&mut live), Change::Back);
        arrives(&mut live, 0);
        ip("link set b0 down");
        assert_eq!(next(&mut live), Change::Down);
        ip("link set b0 up");
        assert_eq!(next(&mut live), Change::Back);
        arrives(&mut live, 1);
        ip("link del b0");
        // It goes down first, which may be seen or not.
        while next(&mut live) != Change::Gone {}
        add_wire(0);
        while next(&mut live) != Change::Back {}
        arrives(&mut live, 2);
        ip("link set b0 down");
        while next(&mut live) != Change::Down {}
        ip("link del b0");
        assert_eq!(next(&mut live), Change::Gone, "the socket does not tell that");
        add_wire(0);
        while next(&mut live) != Change::Back {}
        arrives(&mut live, 3);
        assert_eq!(live.stats().packets, 4);
        assert_eq!(live.stats().received, 4, "of all rings together");
    });
}

#[test]
fn libpcap_captures_an_interface_again_when_it_is_back() {
    with_wires(|| {
        let wait = Duration::from_millis(5);
        let backend = Backend::Libpcap;
        let mut live = Live::open(&LiveOptions { wait, backend, ..options("b0") }).unwrap();
        for n in 0..2 {
            Sender::new("a0").send(&[numbered(n, 10)]);
            let mut all = Vec::new();
            while all.is_empty() {
                all = take(&mut live, 1);
            }
            assert_eq!(bytes_of(&all), [numbered(n, 10)]);
            if n > 0 {
                break;
            }
            ip("link del b0");
            for want in [Change::Gone, Change::Back] {
                let event = loop {
                    let _ = live.batch(&mut |_| panic!("nothing was sent")).unwrap();
                    if let Some(event) = live.take_event() {
                        break event;
                    }
                };
                assert_eq!(event.change, want);
                if want == Change::Gone {
                    add_wire(0);
                }
            }
        }
        assert_eq!((live.stats().packets, live.stats().received), (2, 2), "of all handles");
        live.stop();
        assert_eq!(take_rest(&mut live), []);
    });
}

#[test]
fn what_interfaces_lost_is_counted_beyond_their_end() {
    let link = |index, name: &str, missed| Link {
        index,
        name: name.to_owned(),
        missed,
        ..Link::default()
    };
    let mut drops = Drops { interfaces: vec!["b0".to_owned()], ..Drops::default() };
    let lo = link(1, "lo", 7);
    for (what, links, want) in [
        ("what it lost before does not count", vec![lo.clone(), link(5, "b0", 100)], 0),
        ("another one loses", vec![link(1, "lo", 9), link(5, "b0", 100)], 0),
        ("it loses", vec![lo.clone(), link(5, "b0", 103)], 3),
        ("it is gone", vec![lo.clone()], 3),
        ("it is back with another number", vec![lo.clone(), link(9, "b0", 0)], 3),
        ("it loses again", vec![lo.clone(), link(9, "b0", 2)], 5),
        ("it counts anew", vec![lo.clone(), link(9, "b0", 0)], 3),
        ("and goes on", vec![lo, link(9, "b0", 4)], 7),
    ] {
        drops.note(&links);
        assert_eq!(drops.lost(), want, "{what}");
    }
    let mut all = Drops::default();
    for index in 1..1000 {
        all.note(&[link(index, "ppp0", 0)]);
        all.note(&[link(index, "ppp0", 1)]);
    }
    assert_eq!((all.lost(), all.by_link.len()), (999, 1), "what is gone takes no memory");
}

#[test]
fn a_group_comes_back_as_a_group() {
    with_wires(|| {
        let wait = Duration::from_millis(5);
        let mut group = Live::open_group(&LiveOptions { wait, ..options("b0") }, 2).unwrap();
        ip("link del b0");
        add_wire(0);
        for live in &mut group {
            let mut is_back = false;
            while !is_back {
                let _ = live.batch(&mut |_| panic!("nothing was sent")).unwrap();
                is_back = live.take_event().is_some_and(|event| event.change == Change::Back);
            }
        }
        let frames: Vec<_> = (0..300).map(|n| numbered(n, 10)).collect();
        Sender::new("a0").send(&frames);
        while group.iter_mut().map(|live| live.stats().received).sum::<u64>() < 300 {
            std::thread::yield_now();
        }
        let mut all = HashSet::new();
        for live in &mut group {
            live.stop();
            let part = take_rest(live);
            assert!(!part.is_empty() && part.len() < 300, "{}", part.len());
            assert!(part.into_iter().all(|seen| all.insert(seen.bytes)), "twice");
        }
        assert!(all == frames.into_iter().collect(), "{} packets", all.len());
    });
}

#[test]
fn an_interface_takes_what_is_for_others_if_asked() {
    with_wires(|| {
        let shown = || {
            let run = Command::new("ip").args(["-d", "link", "show", "b0"]).output().unwrap();
            let text = String::from_utf8(run.stdout).unwrap();
            let mut words = text.split_whitespace().skip_while(|word| *word != "promiscuity");
            words.nth(1).map(str::to_owned)
        };
        for backend in [Backend::Ring, Backend::Libpcap] {
            for (promiscuous, want) in [(false, "0"), (true, "1")] {
                let live =
                    Live::open(&LiveOptions { promiscuous, backend, ..options("b0") }).unwrap();
                assert_eq!(shown().as_deref(), Some(want), "{backend:?}");
                drop(live);
                // A program that another test starts just now may hold the socket a moment longer.
                while shown().as_deref() != Some("0") {
                    std::thread::yield_now();
                }
            }
        }
    });
}

#[test]
fn the_kernel_and_we_agree_on_what_is_wanted() {
    with_wires(|| {
        let plain = numbered(5, 60);
        let mut tcp = plain.clone();
        tcp[23] = 6;
        let frames = [
            plain.clone(),
            numbered(6, 900),
            tcp.clone(),
            with_tags(&plain, &[(0x8100, 5)]),
            with_tags(&tcp, &[(0x8100, 6)]),
            with_tags(&plain, &[(0x88a8, 5), (0x8100, 6)]),
            [&[0xff; 12][..], &[0x08, 0x06], &[0; 46]].concat(),
        ];
        for expression in [
            "udp",
            "port 53",
            "vlan",
            "vlan 5",
            "vlan 5 and udp",
            "not vlan",
            "tcp",
            "arp",
            "less 500",
            "",
        ] {
            let filter = Some(expression.to_owned());
            let mut live = Live::open(&LiveOptions { filter, ..options("b0") }).unwrap();
            let userland = Filter::compile(expression, 1).unwrap();
            let want: Vec<_> =
                frames.iter().filter(|f| userland.matches(f, f.len() as u32)).cloned().collect();
            // One that is not wanted says that all before it have come.
            Sender::new("a0").send(&frames);
            await_received(&mut live, want.len() as u64);
            live.stop();
            assert_eq!(bytes_of(&take_rest(&mut live)), want, "{expression}");
        }
    });
}

#[test]
fn what_cannot_be_opened_says_why() {
    let missing = Live::open(&options("no-such-if")).unwrap_err().to_string();
    assert!(missing.contains("no-such-if"), "{missing}");
    let missing = Live::open(&LiveOptions { backend: Backend::Libpcap, ..options("no-such-if") });
    let missing = missing.unwrap_err().to_string();
    assert!(missing.contains("no-such-if"), "{missing}");
    let filter = Some("prot udp".to_owned());
    let e = Live::open(&LiveOptions { filter, ..options(ANY) }).unwrap_err().to_string();
    assert!(e.contains("prot udp") && e.contains("syntax error"), "{e}");
}

/// Runs the ignored test `name` as nobody, with one capability.
fn run_as_nobody(name: &str) -> Option<std::process::Output> {
    let exe = std::env::current_exe().unwrap();
    let setpriv = ["--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all,+net_raw"];
    let run = Command::new("setpriv")
        .args(setpriv)
        .args(["--ambient-caps=-all,+net_raw", "--bounding-set=-all,+net_raw"])
        .arg(exe)
        .args(["--exact", "--ignored", "--nocapture", "--test-threads=1", name])
        .stdin(Stdio::null())
        .output()
        .ok()?;
    let said = String::from_utf8_lossy(&run.stderr).into_owned();
    if run.status.code() == Some(127) || said.contains("setpriv:") {
        println!("skipped: {}", said.trim());
        return None;
    }
    Some(run)
}

#[test]
fn one_capability_is_enough() {
    with_wires(|| {
        let Some(run) = run_as_nobody("live::tests::alone_as_nobody") else { return };
        assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stdout));
        assert!(String::from_utf8_lossy(&run.stdout).contains("1 passed"));
    });
}

#[test]
#[ignore = "run by one_capability_is_enough, in a process of its own"]
fn alone_as_nobody() {
    assert!(std::fs::read_to_string("/etc/shadow").is_err(), "not nobody");
    let mut live = Live::open(&options("b0")).unwrap();
    let group = Live::open_group(&options(ANY), 2).unwrap();
    Sender::new("a0").send(&[numbered(1, 10)]);
    assert_eq!(bytes_of(&take(&mut live, 1)), [numbered(1, 10)]);
    drop(group);
}

#[test]
fn privileges_may_be_given_up_once_it_is_open() {
    with_wires(|| {
        let exe = std::env::current_exe().unwrap();
        let alone = ["--exact", "--ignored", "--nocapture", "--test-threads=1"];
        let mut run = Command::new(exe);
        run.args(alone).arg("live::tests::alone_given_up").stdout(Stdio::piped());
        let mut run = run.spawn().unwrap();
        let mut said = String::new();
        for line in BufReader::new(run.stdout.take().unwrap()).lines().map_while(Result::ok) {
            if line.ends_with("make it again") {
                ip("link del b0");
                add_wire(0);
            }
            said += &line;
            said.push('\n');
        }
        assert!(run.wait().unwrap().success() && said.contains("1 passed"), "{said}");
    });
}

#[test]
#[ignore = "run by privileges_may_be_given_up_once_it_is_open, in a process of its own"]
fn alone_given_up() {
    let wait = Duration::from_millis(5);
    let mut live = Live::open(&LiveOptions { wait, ..options("b0") }).unwrap();
    let mut sender = Sender::new("a0");
    sys::process::drop_privileges(Some("65534"), Some("65534")).unwrap();
    sender.send(&[numbered(1, 10)]);
    let mut all = Vec::new();
    let end = sys::clock::monotonic() + Duration::from_secs(60);
    while all.is_empty() {
        assert!(sys::clock::monotonic() < end, "no packet: {:?}", live.stats());
        all = take(&mut live, 1);
    }
    assert_eq!(bytes_of(&all), [numbered(1, 10)]);
    assert_eq!(live.stats().received, 1);
    let again = Live::open(&options("b0")).unwrap_err().to_string();
    assert!(again.contains("b0") && again.contains("CAP_NET_RAW"), "{again}");
    // The other end is with root, who is asked to make another wire.
    println!("make it again");
    let mut changes = Vec::new();
    while changes.last() != Some(&Change::Refused) {
        assert!(sys::clock::monotonic() < end, "{changes:?}");
        let _ = live.batch(&mut |_| {}).unwrap();
        changes.extend(live.take_event().map(|event| event.change));
    }
    changes.retain(|change| *change != Change::Down);
    assert_eq!(changes, [Change::Gone, Change::Refused]);
    assert_eq!(live.stats().packets, 1);
    live.stop();
    assert_eq!(take_rest(&mut live), []);
}

#[test]
fn a_capture_may_move_to_another_thread() {
    with_wires(|| {
        let mut live = Live::open(&options("b0")).unwrap();
        let (tell, told) = mpsc::channel();
        let reader = std::thread::spawn(move || tell.send(take(&mut live, 1)).unwrap());
        Sender::new("a0").send(&[numbered(1, 10)]);
        assert_eq!(bytes_of(&told.recv().unwrap()), [numbered(1, 10)]);
        reader.join().unwrap();
    });
}
