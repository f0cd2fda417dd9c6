//! Repeating on loopback, and in a network of its own in the name of others.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::time::Duration;

use sys::udp::{Listen, Receiver};

use super::*;

const LO: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn receiver() -> (Receiver, u16) {
    let rx = Receiver::bind(&Listen { bind: Some(LO), ..Listen::default() }).unwrap();
    let port = rx.local_addr().unwrap().port();
    (rx, port)
}

/// A socket that takes nothing, and keeps others off its port.
fn deaf() -> (UdpSocket, u16) {
    let socket = UdpSocket::bind((LO, 0)).unwrap();
    socket.connect((LO, 1)).unwrap();
    let port = socket.local_addr().unwrap().port();
    (socket, port)
}

fn peer(n: u8) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, n], 2000 + u16::from(n)))
}

/// NetFlow of a version, with a number in it.
fn datagram(version: u16, n: u32) -> Vec<u8> {
    [&version.to_be_bytes()[..], &n.to_be_bytes()].concat()
}

/// As many datagrams as come, up to `count`.
fn collect(rx: &mut Receiver, count: usize) -> Vec<Vec<u8>> {
    let mut got = Vec::new();
    for _ in 0..1000 {
        let wait = Some(Duration::from_millis(if got.len() < count { 20 } else { 0 }));
        let more = rx.recv(None, wait, |d| got.push(d.bytes.to_vec())).unwrap().count;
        if got.len() >= count && more == 0 {
            break;
        }
    }
    got
}

fn batch(datagrams: &[(SocketAddr, Vec<u8>)]) -> Outgoing {
    let mut out = Outgoing::default();
    datagrams.iter().for_each(|(peer, bytes)| out.push(*peer, bytes));
    out
}

fn assert_sum(counts: &TargetCounts) {
    let parts: u64 = counts
        .iter()
        .filter(|(name, ..)| !matches!(*name, "offered" | "unheard"))
        .map(|(_, _, value)| value)
        .sum();
    assert_eq!(counts.offered, parts, "{counts:?}");
}

/// Ends the repeater, so that nothing waits any more. What became of the datagrams.
fn end(repeater: Repeater) -> Vec<TargetCounts> {
    let lines: Vec<Arc<Line>> = repeater.lines.iter().map(|(_, line)| Arc::clone(line)).collect();
    drop(repeater);
    let counts: Vec<TargetCounts> = lines.iter().map(|line| line.lock().counts).collect();
    counts.iter().for_each(assert_sum);
    counts
}

fn target(options: &str, port: u16) -> Target {
    Target::parse(&format!("127.0.0.1/{port}{options}")).unwrap()
}

#[test]
fn each_target_gets_what_it_wants_unchanged() {
    let options = [
        "",
        ",from=192.0.2.1",
        ",version=9,version=sflow",
        ",sample=3",
        ",from=192.0.2.2,sample=2",
    ];
    let mut receivers: Vec<(Receiver, u16)> = options.iter().map(|_| receiver()).collect();
    let targets =
        options.iter().zip(&receivers).map(|(options, (_, port))| target(options, *port)).collect();
    let repeater = Repeater::start(targets).unwrap();
    let all: Vec<(SocketAddr, Vec<u8>)> = (0..12)
        .map(|n| (peer(1 + (n % 2) as u8), datagram([9, 5, 0][n as usize % 3], n)))
        .collect();
    for part in all.chunks(5) {
        let mut out = batch(part);
        repeater.repeat(&mut out);
        assert!(out.is_empty(), "emptied for the next");
    }
    let numbers = |wants: &dyn Fn(u32) -> bool| {
        (0..12).filter(|n| wants(*n)).map(|n| all[n as usize].1.clone()).collect::<Vec<_>>()
    };
    let want = [
        numbers(&|_| true),
        numbers(&|n| n % 2 == 0),
        // The number behind a version of 0 begins with zeros, as sFlow's does.
        numbers(&|n| n % 3 != 1),
        numbers(&|n| n % 3 == 0),
        numbers(&|n| n % 4 == 1),
    ];
    for ((rx, _), want) in receivers.iter_mut().zip(&want) {
        assert_eq!(&collect(rx, want.len()), want);
    }
    let names: Vec<String> = repeater.counts().map(|(name, _)| name.to_owned()).collect();
    assert_eq!(names[0], format!("127.0.0.1/{}", receivers[0].1));
    let counts = end(repeater);
    let left_out = |c: &TargetCounts| (c.other_sender, c.other_version, c.sampled_out);
    assert!(counts.iter().zip(&want).all(|(c, w)| c.offered == 12 && c.sent == w.len() as u64));
    assert_eq!(
        counts.iter().map(left_out).collect::<Vec<_>>(),
        [(0, 0, 0), (6, 0, 0), (0, 4, 0), (0, 0, 8), (6, 0, 3),]
    );
}

#[test]
fn many_batches_arrive_complete_and_in_order() {
    let (mut rx, port) = receiver();
    let repeater = Repeater::start(vec![target("", port)]).unwrap();
    for round in 0..20 {
        let part: Vec<_> = (0..150).map(|n| (peer(1), datagram(9, round * 150 + n))).collect();
        repeater.repeat(&mut batch(&part));
        let want: Vec<Vec<u8>> = part.into_iter().map(|(_, bytes)| bytes).collect();
        assert_eq!(collect(&mut rx, 150), want, "round {round}");
    }
    assert_eq!(end(repeater)[0].sent, 3000);
}

#[test]
fn a_target_where_nobody_listens_costs_reports_and_no_datagrams() {
    let (_deaf, port) = deaf();
    let (mut other, other_port) = receiver();
    let repeater = Repeater::start(vec![target("", port), target("", other_port)]).unwrap();
    let unheard = || repeater.counts().next().map_or(0, |(_, counts)| counts.unheard);
    let mut offered = 0;
    while unheard() == 0 && offered < 10_000 {
        repeater.repeat(&mut batch(&[(peer(1), datagram(9, offered))]));
        assert_eq!(collect(&mut other, 1), [datagram(9, offered)]);
        offered += 1;
    }
    let counts = end(repeater);
    assert_eq!((counts[0].sent, counts[1].sent), (offered.into(), offered.into()));
    assert!(counts[0].unheard > 0 && counts[1].unheard == 0, "{counts:?}");
}

#[test]
fn a_datagram_that_cannot_be_sent_costs_only_itself() {
    let (mut rx, port) = receiver();
    let repeater = Repeater::start(vec![target("", port)]).unwrap();
    let long = vec![0; 65_535];
    repeater.repeat(&mut batch(&[
        (peer(1), datagram(9, 1)),
        (peer(1), long),
        (peer(1), datagram(9, 2)),
    ]));
    assert_eq!(collect(&mut rx, 2), [datagram(9, 1), datagram(9, 2)]);
    let counts = end(repeater)[0];
    assert_eq!((counts.sent, counts.too_long), (2, 1));
}

#[test]
fn names_are_looked_up_again_when_something_is_wrong() {
    let (mut rx, port) = receiver();
    let (_deaf, bad) = deaf();
    let (good, bad) = (SocketAddr::new(LO, port), SocketAddr::new(LO, bad));
    // The last comes first.
    let tries = Mutex::new(vec![
        Ok(vec![bad, good]),
        Ok(vec![bad, good]),
        Ok(Vec::new()),
        Err(std::io::ErrorKind::TimedOut.into()),
    ]);
    let named = Target { host: "collector".into(), ..target("", port) };
    let lookups = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&lookups);
    let lookup = move |name: &str, _: u16| {
        assert_eq!(name, "collector");
        *counted.lock().unwrap() += 1;
        tries.lock().unwrap().pop().unwrap_or_else(|| panic!("no reason to ask again"))
    };
    let mut worker = Worker::new(named).unwrap().with_lookup(Box::new(lookup));
    let mut counts = TargetCounts::default();
    // No address twice, then one where nobody listens, which is heard of sooner or later, and then
    // the other one.
    let mut sent = 0;
    while *lookups.lock().unwrap() < 4 && sent < 100_000 {
        worker.send(&batch(&[(peer(1), datagram(9, sent))]), &mut counts);
        sent += 1;
    }
    worker.send(&batch(&[(peer(1), datagram(9, sent))]), &mut counts);
    assert_eq!(collect(&mut rx, 2), [datagram(9, sent - 1), datagram(9, sent)]);
    assert_eq!((counts.unresolved, counts.sent), (2, u64::from(sent) - 1));
    assert!(counts.unheard > 0);
}

#[test]
fn a_full_queue_drops_and_counts_and_waits_for_nobody() {
    let line = Line::default();
    let one = || Arc::new(batch(&[(peer(1), vec![0; 1000]), (peer(1), vec![0; 1000])]));
    let limit = 3 * one().weight();
    for _ in 0..10 {
        line.put(one(), limit);
    }
    line.lock().closed = true;
    let mut handed = 0;
    line.work(|batch, counts| {
        handed += batch.iter().count() as u64;
        counts.sent += batch.iter().count() as u64;
    });
    let counts = line.lock().counts;
    assert_sum(&counts);
    assert_eq!((counts.offered, counts.sent, counts.queue_full, handed), (20, 6, 14, 6));
    line.put(one(), 0);
    assert_eq!(line.lock().counts.queue_full, 14, "one is let in, whatever the limit");
}

#[test]
fn nothing_to_do_is_done_at_once() {
    let repeater = Repeater::start(Vec::new()).unwrap();
    let mut out = batch(&[(peer(1), vec![1])]);
    repeater.repeat(&mut out);
    assert!(out.is_empty() && repeater.counts().next().is_none());
    repeater.repeat(&mut out);
}

#[test]
fn a_group_is_a_target_like_others() {
    let group: IpAddr = "239.255.77.10".parse().unwrap();
    let Ok(mut rx) = Receiver::bind(&Listen { group: Some(group), ..Listen::default() }) else {
        println!("skipped: no multicast on this host");
        return;
    };
    let port = rx.local_addr().unwrap().port();
    let repeater =
        Repeater::start(vec![Target { host: group.to_string(), ..target("", port) }]).unwrap();
    repeater.repeat(&mut batch(&[(peer(1), datagram(9, 1))]));
    let counts = end(repeater)[0];
    if counts.sent == 1 {
        assert_eq!(collect(&mut rx, 1), [datagram(9, 1)]);
    } else {
        assert_eq!(counts.unresolved + counts.unreachable, 1);
    }
}

#[test]
fn the_senders_address_is_kept_where_asked() {
    let me = std::env::current_exe().unwrap();
    let test = "repeat::tests::alone_the_senders_address_is_kept";
    let script = "ip link set lo up && exec \"$0\" \"$@\"";
    let output = std::process::Command::new("unshare")
        .args(["-n", "sh", "-c", script])
        .arg(me)
        .args(["--exact", "--ignored", "--nocapture", test])
        .output();
    let Ok(output) = output else {
        println!("skipped: no `unshare`");
        return;
    };
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    if text.contains("running 1 test") {
        assert!(output.status.success(), "{text}");
    } else {
        println!("skipped: no network of one's own without CAP_SYS_ADMIN and `ip`: {text}");
    }
}

#[test]
#[ignore = "run by the_senders_address_is_kept_where_asked, in a network of its own"]
fn alone_the_senders_address_is_kept() {
    let bind =
        |addr: &str| Receiver::bind(&Listen { bind: addr.parse().ok(), ..Listen::default() });
    let mut v4 = bind("127.0.0.1").unwrap();
    let mut v6 = bind("::1").unwrap();
    let to = |rx: &Receiver| {
        let local = rx.local_addr().unwrap();
        Target::parse(&format!("{}/{},spoof", local.ip(), local.port())).unwrap()
    };
    let repeater = Repeater::start(vec![to(&v4), to(&v6)]).unwrap();
    let six: SocketAddr = "[2001:db8::7]:4739".parse().unwrap();
    let all = [(peer(1), datagram(9, 1)), (six, datagram(10, 2)), (peer(2), vec![7; 9000])];
    repeater.repeat(&mut batch(&all));
    let counts = end(repeater);
    let seen = |rx: &mut Receiver| {
        let mut seen = Vec::new();
        while rx
            .recv(None, Some(Duration::ZERO), |d| seen.push((d.peer, d.bytes.to_vec())))
            .unwrap()
            .count
            > 0
        {}
        seen
    };
    assert_eq!(seen(&mut v4), [all[0].clone(), all[2].clone()]);
    assert_eq!(seen(&mut v6), [all[1].clone()]);
    assert_eq!((counts[0].sent, counts[0].other_family), (2, 1));
    assert_eq!((counts[1].sent, counts[1].other_family), (1, 2));
}
