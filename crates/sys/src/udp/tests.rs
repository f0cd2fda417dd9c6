use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use super::control::Drops;
use super::*;
use crate::Error;

const LO4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const LO6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);
const SOON: Option<Duration> = Some(Duration::from_secs(5));

fn listen(bind: Option<IpAddr>, family: Family) -> Receiver {
    Receiver::bind(&Listen { bind, family, ..Listen::default() }).unwrap()
}

fn sender(to: IpAddr, receiver: &Receiver) -> Sender {
    let port = receiver.local_addr().unwrap().port();
    Sender::connect(SocketAddr::new(to, port)).unwrap()
}

/// Everything that is there, copied.
fn drain(receiver: &mut Receiver) -> Vec<(SocketAddr, Vec<u8>)> {
    let mut all = Vec::new();
    let mut keep = |d: Datagram<'_>| {
        assert!(!d.truncated);
        all.push((d.peer, d.bytes.to_vec()));
    };
    while receiver.recv(None, Some(Duration::ZERO), &mut keep).unwrap().count > 0 {}
    all
}

fn send_all(sender: &Sender, mut datagrams: &[Vec<u8>]) {
    while !datagrams.is_empty() {
        let n = sender.send_batch(datagrams).unwrap();
        datagrams = &datagrams[n..];
    }
}

#[test]
fn batches_keep_order_lengths_and_sender() {
    let mut rx = listen(Some(LO4), Family::V4);
    let tx = sender(LO4, &rx);
    let datagrams: Vec<Vec<u8>> = (0..150).map(|n| vec![n as u8; n]).collect();
    send_all(&tx, &datagrams);
    let got = drain(&mut rx);
    let me = tx.local_addr().unwrap();
    assert_eq!(got.len(), 150);
    for ((peer, bytes), want) in got.iter().zip(&datagrams) {
        assert_eq!((peer, bytes), (&me, want));
    }
}

/// Datagrams of these lengths, each unlike all others.
fn datagrams(lens: impl IntoIterator<Item = usize>) -> Vec<Vec<u8>> {
    let lens = lens.into_iter().enumerate();
    lens.map(|(n, len)| (0..len).map(|i| (i * 7 + n * 13) as u8).collect()).collect()
}

#[test]
fn datagrams_of_one_length_arrive_one_by_one() {
    let long = |n| if n % 21 == 20 { 600 } else { 1400 };
    let mixed = |n: usize| [1400, 1400, 1400, 40, 1400, 0, 0, 7, 7, 8][n % 10];
    let batches: [(&str, Vec<Vec<u8>>); 7] = [
        ("too few to go as one", datagrams([100; MANY - 1])),
        ("just enough", datagrams([100; MANY])),
        ("a batch and more", datagrams([1464; 150])),
        ("as few as the octets allow", datagrams([9000; 50])),
        ("a shorter one behind", datagrams((0..100).map(long))),
        ("all kinds", datagrams((0..130).map(mixed))),
        ("ever longer and ever shorter", datagrams((0..64).map(|n: usize| n.abs_diff(32)))),
    ];
    for (to, family) in [(LO4, Family::V4), (LO6, Family::V6)] {
        for (name, batch) in &batches {
            let listen = Listen { bind: Some(to), family, ..Listen::default() };
            let Ok(mut rx) = Receiver::bind(&listen) else { continue }; // a host without IPv6
            let tx = sender(to, &rx).joining();
            // Emptied each time: buffers of systems hold only so much.
            for some in batch.chunks(MANY) {
                send_all(&tx, some);
                let got: Vec<Vec<u8>> = drain(&mut rx).into_iter().map(|(_, b)| b).collect();
                assert!(
                    got == some,
                    "{name} to {to}: {:?}",
                    got.iter().map(Vec::len).collect::<Vec<_>>()
                );
            }
            assert!(tx.joins(), "{name} to {to}");
        }
    }
}

#[test]
fn runs_are_of_one_length() {
    for (lens, want) in [
        (&[5][..], 1),
        (&[5, 5, 5], 3),
        (&[5, 5, 3, 3], 3),
        (&[5, 6], 1),
        (&[5, 0, 5], 1),
        (&[0, 0], 1),
        (&[5, 5, 0], 2),
        (&[65_507, 65_507], 1),
        (&[32_500, 32_500, 1], 2),
        (&[32_501, 32_501], 1),
        (&[1000; 64], 64),
        (&[1400; 64], 46),
    ] {
        assert_eq!(send::run(&datagrams(lens.iter().copied())), want, "{lens:?}");
    }
}

#[test]
fn what_must_not_go_as_one_goes_alone() {
    let mut rx = listen(Some(LO4), Family::V4);
    let socket = UdpSocket::bind((LO4, 0)).unwrap();
    socket.connect(rx.local_addr().unwrap()).unwrap();
    // The kernel cuts nothing without check sums.
    let (level, one) = (libc::SOL_SOCKET, 1i32);
    let len = size_of_val(&one) as libc::socklen_t;
    // SAFETY: the socket is open, and `len` is the size of the number that is passed with it.
    let set = unsafe {
        let value = (&raw const one).cast();
        libc::setsockopt(socket.as_raw_fd(), level, libc::SO_NO_CHECK, value, len)
    };
    assert_eq!(set, 0);
    let tx = Sender::from(socket).joining();
    let all = datagrams([100; 40]);
    send_all(&tx, &all);
    assert!(drain(&mut rx).into_iter().map(|(_, bytes)| bytes).eq(all));
    assert!(!tx.joins());
}

#[test]
fn one_that_is_too_long_costs_itself_also_in_a_batch() {
    let mut rx = listen(Some(LO4), Family::V4);
    let tx = sender(LO4, &rx).joining();
    let mut all = datagrams([100; 40]);
    all[20] = vec![0; 65_508];
    let (mut rest, mut refused) = (all.as_slice(), 0);
    while !rest.is_empty() {
        match tx.send_batch(rest) {
            Ok(n) => rest = &rest[n..],
            Err(e) => {
                assert!(is_too_long(&e), "{e}");
                (rest, refused) = (&rest[1..], refused + 1);
            }
        }
    }
    all.remove(20);
    assert!(drain(&mut rx).into_iter().map(|(_, bytes)| bytes).eq(all));
    assert_eq!((refused, tx.joins()), (1, true));
}

#[test]
fn the_largest_datagram_is_whole() {
    let mut rx = listen(Some(LO4), Family::V4);
    let tx = sender(LO4, &rx);
    let big: Vec<u8> = (0..65_507u32).map(|n| n as u8).collect(); // IPv4 limit
    send_all(&tx, std::slice::from_ref(&big));
    assert_eq!(drain(&mut rx), [(tx.local_addr().unwrap(), big)]);
}

#[test]
fn dual_stack_takes_both_families_and_shows_ipv4_as_ipv4() {
    let mut rx = listen(None, Family::Dual);
    for (to, is_v4) in [(LO4, true), (LO6, false)] {
        if !is_v4 && UdpSocket::bind((LO6, 0)).is_err() {
            continue; // a host without IPv6
        }
        send_all(&sender(to, &rx), &[b"x".to_vec()]);
        let peer = drain(&mut rx)[0].0;
        assert_eq!(peer.ip(), to);
        assert_eq!(peer.is_ipv4(), is_v4);
    }
}

#[test]
fn families_are_kept_apart_where_asked() {
    let rx = listen(None, Family::V4);
    assert!(rx.local_addr().unwrap().is_ipv4());
    let wrong =
        Receiver::bind(&Listen { bind: Some(LO4), family: Family::V6, ..Listen::default() });
    assert!(matches!(wrong, Err(Error::Family { addr: LO4 })));
}

#[test]
fn a_second_socket_on_the_port_is_refused() {
    let rx = listen(Some(LO4), Family::V4);
    let port = rx.local_addr().unwrap().port();
    let second = Receiver::bind(&Listen { bind: Some(LO4), port, ..Listen::default() });
    let Err(e) = second else { panic!("two sockets share port {port}") };
    assert!(e.to_string().contains(&port.to_string()), "{e}");
}

#[test]
fn drops_and_receipts_add_up_to_what_was_sent() {
    let mut rx = Receiver::bind(&Listen {
        bind: Some(LO4),
        receive_buffer: Some(20_000),
        ..Listen::default()
    })
    .unwrap();
    assert_eq!(rx.receive_buffer().unwrap(), 20_000);
    let tx = sender(LO4, &rx);
    let (mut sent, mut got) = (0, 0);
    for round in 1..=3 {
        let burst = vec![vec![7; 1000]; 500];
        send_all(&tx, &burst);
        sent += burst.len() as u64;
        got += drain(&mut rx).len() as u64;
        let dropped = rx.dropped();
        assert!(dropped > 0, "the buffer held {sent} datagrams");
        assert_eq!(got + dropped, sent, "round {round}");
    }
    // The next datagram carries the count, too; it must not count twice.
    send_all(&tx, &[vec![1]]);
    let seen = rx.recv(None, SOON, |_| ()).unwrap();
    assert_eq!(seen, Received { count: 1, dropped_total: sent - got });
    assert_eq!(rx.dropped(), sent - got);
}

#[test]
fn widened_counter_survives_wrap_and_late_readings() {
    let mut drops = Drops { total: 10, ..Drops::counted(u32::MAX - 1) };
    for (reading, total) in [(u32::MAX, 11), (3, 15), (u32::MAX, 15), (2, 15), (4, 16)] {
        drops.saw(reading);
        assert_eq!(drops.total, total, "reading {reading}");
    }
}

#[test]
fn kernel_time_is_the_wall_clock() {
    let mut rx = listen(Some(LO4), Family::V4);
    let before = crate::clock::now_ms();
    send_all(&sender(LO4, &rx), &[b"x".to_vec()]);
    let mut arrived = None;
    rx.recv(None, SOON, |d| arrived = d.arrived_ms.zip(d.arrived_ns)).unwrap();
    let (arrived, ns) = arrived.unwrap();
    assert!((before..=crate::clock::now_ms()).contains(&arrived), "{arrived} {before}");
    assert_eq!(ns / 1_000_000, arrived);
}

#[test]
fn a_wake_up_ends_the_wait() {
    let mut rx = listen(Some(LO4), Family::V4);
    let stop = crate::signal::Stop::new().unwrap();
    let other = stop.clone();
    let waiter = std::thread::spawn(move || {
        rx.recv(Some(other.as_fd()), None, |_| panic!("nothing was sent")).unwrap()
    });
    stop.request();
    assert_eq!(waiter.join().unwrap().count, 0);
}

#[test]
fn an_empty_datagram_is_a_datagram() {
    let mut rx = listen(Some(LO4), Family::V4);
    send_all(&sender(LO4, &rx), &[Vec::new()]);
    assert_eq!(drain(&mut rx).len(), 1);
}

#[test]
fn a_group_socket_shares_its_port() {
    let group: IpAddr = "239.255.77.7".parse().unwrap();
    let first = Receiver::bind(&Listen { group: Some(group), ..Listen::default() });
    // Hosts without a multicast route cannot join.
    let Ok(first) = first else { return };
    let port = first.local_addr().unwrap().port();
    let listen = Listen { group: Some(group), port, ..Listen::default() };
    assert!(Receiver::bind(&listen).is_ok());
}

/// Numbered datagrams from one socket; which receiver got which, with its time of arrival. Waits
/// until all are received or dropped.
fn spread(group: &mut [Receiver], tx: &Sender, count: u32) -> Vec<Vec<(u64, u32)>> {
    let datagrams: Vec<Vec<u8>> = (0..count).map(|n| n.to_be_bytes().to_vec()).collect();
    send_all(tx, &datagrams);
    let mut got = vec![Vec::new(); group.len()];
    for _ in 0..1000 {
        let mut known = 0;
        for (receiver, got) in group.iter_mut().zip(&mut got) {
            let keep = |d: Datagram<'_>| {
                got.push((d.arrived_ns.unwrap(), u32::from_be_bytes(d.bytes.try_into().unwrap())));
            };
            receiver.recv(None, Some(Duration::from_millis(1)), keep).unwrap();
            known += got.len() as u64 + receiver.dropped();
        }
        if known >= u64::from(count) {
            break;
        }
    }
    got
}

#[test]
fn one_sender_is_split_among_a_group_and_arrival_times_put_it_together() {
    for (bind, to) in [(Some(LO4), LO4), (None, LO4), (None, LO6)] {
        if to == LO6 && UdpSocket::bind((LO6, 0)).is_err() {
            continue; // a host without IPv6
        }
        let listen = Listen { bind, ..Listen::default() };
        let mut group = Receiver::bind_group(&listen, 3).unwrap();
        assert_eq!(group.len(), 3);
        let tx = sender(to, &group[0]);
        let got = spread(&mut group, &tx, 300);
        for (n, part) in got.iter().enumerate() {
            // The chance of fewer than 40 of 300, with 100 expected, is below one in 10^13.
            assert!(part.len() >= 40, "socket {n} got {} of 300", part.len());
        }
        let mut all: Vec<(u64, u32)> = got.into_iter().flatten().collect();
        all.sort_unstable();
        assert!(all.iter().map(|(_, n)| *n).eq(0..300), "each once, in the order sent");
    }
}

#[test]
fn a_sender_stays_with_one_socket_where_asked() {
    let listen = Listen { bind: Some(LO4), steering: Steering::Sender, ..Listen::default() };
    let mut group = Receiver::bind_group(&listen, 4).unwrap();
    let tx = sender(LO4, &group[0]);
    let mut lens: Vec<usize> = spread(&mut group, &tx, 200).iter().map(Vec::len).collect();
    lens.sort_unstable();
    assert_eq!(lens, [0, 0, 0, 200]);
}

#[test]
fn steering_by_cpu_loses_nothing() {
    let listen = Listen { bind: Some(LO4), steering: Steering::Cpu, ..Listen::default() };
    let mut group = Receiver::bind_group(&listen, 2).unwrap();
    let tx = sender(LO4, &group[0]);
    let got = spread(&mut group, &tx, 200);
    let all: HashSet<u32> = got.iter().flatten().map(|(_, n)| *n).collect();
    assert_eq!((all.len(), got.iter().map(Vec::len).sum::<usize>()), (200, 200));
}

#[test]
fn drops_of_a_group_add_up() {
    let listen = Listen { bind: Some(LO4), receive_buffer: Some(20_000), ..Listen::default() };
    let mut group = Receiver::bind_group(&listen, 2).unwrap();
    let tx = sender(LO4, &group[0]);
    let got: usize = spread(&mut group, &tx, 2000).iter().map(Vec::len).sum();
    let dropped: u64 = group.iter_mut().map(Receiver::dropped).sum();
    assert!(dropped > 0);
    assert_eq!(got as u64 + dropped, 2000);
}

#[test]
fn a_group_does_not_share_with_strangers() {
    let listen = Listen { bind: Some(LO4), ..Listen::default() };
    let group = Receiver::bind_group(&listen, 2).unwrap();
    let port = group[0].local_addr().unwrap().port();
    let second = Listen { port, ..listen };
    for count in [1, 2] {
        let Err(e) = Receiver::bind_group(&second, count) else { panic!("port {port} is shared") };
        assert!(e.to_string().contains(&port.to_string()), "{e}");
    }
    let one = Receiver::bind_group(&Listen { port: 0, ..second }, 0).unwrap();
    assert_eq!(one.len(), 1);
}

/// What another process would pass on: the same socket under a new descriptor.
fn pass_on(receiver: &Receiver) -> UdpSocket {
    UdpSocket::from(receiver.as_fd().try_clone_to_owned().unwrap())
}

#[test]
fn an_adopted_socket_brings_what_waits_in_it_and_counts_drops_once() {
    let listen = Listen { bind: Some(LO4), receive_buffer: Some(20_000), ..Listen::default() };
    let mut first = Receiver::bind(&listen).unwrap();
    let tx = sender(LO4, &first);
    send_all(&tx, &vec![vec![7; 1000]; 100]);
    let got = drain(&mut first).len() as u64;
    let counted = first.dropped();
    assert!(counted > 0);
    let mark = first.mark().unwrap();
    // These nobody has counted: the first process is about to end.
    send_all(&tx, &vec![vec![8; 1000]; 100]);
    let socket = pass_on(&first);
    drop(first);
    let (mut heirs, _) = Receiver::adopt(&listen, vec![socket], 1, &[mark]).unwrap();
    let [second] = &mut heirs[..] else { panic!("one socket") };
    let more = drain(second).len() as u64;
    assert!(more > 0, "what waited is delivered");
    assert_eq!(got + counted + more + second.dropped(), 200);
    // Who knows of no mark counts everything: nobody else did.
    let socket = pass_on(second);
    let other = DropMark { cookie: mark.cookie ^ 1, ..mark };
    let (mut heirs, _) = Receiver::adopt(&listen, vec![socket], 1, &[other]).unwrap();
    assert_eq!(got + more + heirs[0].dropped(), 200);
}

#[test]
fn an_adopted_socket_becomes_a_group_and_a_group_keeps_all_its_sockets() {
    let listen = Listen { bind: Some(LO4), ..Listen::default() };
    let single = Receiver::bind(&listen).unwrap();
    let tx = sender(LO4, &single);
    let socket = pass_on(&single);
    drop(single);
    let (mut group, _) = Receiver::adopt(&listen, vec![socket], 3, &[]).unwrap();
    assert_eq!(group.len(), 3);
    let got = spread(&mut group, &tx, 300);
    assert!(got.iter().all(|part| part.len() >= 40));
    let sockets = group.iter().map(pass_on).collect();
    drop(group);
    let (mut group, _) = Receiver::adopt(&listen, sockets, 2, &[]).unwrap();
    assert_eq!(group.len(), 3, "the third may hold datagrams");
    let got = spread(&mut group, &tx, 300);
    assert_eq!(got.iter().map(Vec::len).sum::<usize>(), 300);
    assert!(got.iter().all(|part| part.len() >= 40), "still split in three");
}

#[test]
fn which_sockets_serve_a_wish() {
    let any = Listen { port: 2055, ..Listen::default() };
    let v4 = Listen { family: Family::V4, ..any.clone() };
    let exact = Listen { bind: Some(LO4), ..any.clone() };
    for (listen, local, serves) in [
        (&any, "[::]:2055", true),
        (&any, "0.0.0.0:2055", true),
        (&any, "192.0.2.1:2055", false),
        (&any, "[::]:2056", false),
        (&v4, "[::]:2055", false),
        (&v4, "0.0.0.0:2055", true),
        (&exact, "127.0.0.1:2055", true),
        (&exact, "0.0.0.0:2055", false),
        (&Listen::default(), "0.0.0.0:0", false),
    ] {
        assert_eq!(listen.is_served_by(local.parse().unwrap()), serves, "{listen:?} {local}");
    }
}

#[test]
fn a_group_is_joined_on_the_interface_asked_for() {
    let group: IpAddr = "239.255.77.8".parse().unwrap();
    let listen = Listen { group: Some(group), interface: Some("lo".into()), ..Listen::default() };
    let mut rx = Receiver::bind(&listen).unwrap();
    let port = rx.local_addr().unwrap().port();
    // Shares the port, but has joined nothing.
    let other = "239.255.77.9".parse().unwrap();
    let mut stranger =
        Receiver::bind(&Listen { group: Some(other), port, ..listen.clone() }).unwrap();
    let tx = UdpSocket::bind((LO4, 0)).unwrap();
    socket2::SockRef::from(&tx).set_multicast_if_v4(&Ipv4Addr::LOCALHOST).unwrap();
    match tx.send_to(b"x", (group, port)) {
        Err(e) if e.kind() == io::ErrorKind::NetworkUnreachable => return,
        sent => sent.unwrap(),
    };
    assert_eq!(rx.recv(None, SOON, |_| ()).unwrap().count, 1);
    assert_eq!(drain(&mut stranger), []);
    let nowhere = Receiver::bind(&Listen { interface: Some("nowhere0".into()), ..listen });
    assert!(matches!(nowhere, Err(Error::Interface { name, .. }) if name == "nowhere0"));
}

#[test]
fn an_ipv6_group_is_joined_on_the_interface_asked_for() {
    if UdpSocket::bind((LO6, 0)).is_err() {
        return; // a host without IPv6
    }
    let group: IpAddr = "ff01::77:7".parse().unwrap();
    let listen = Listen { group: Some(group), interface: Some("lo".into()), ..Listen::default() };
    let mut rx = Receiver::bind(&listen).unwrap();
    let tx = UdpSocket::bind((LO6, 0)).unwrap();
    let lo = nix::net::if_::if_nametoindex("lo").unwrap();
    socket2::SockRef::from(&tx).set_multicast_if_v6(lo).unwrap();
    if tx.send_to(b"x", (group, rx.local_addr().unwrap().port())).is_ok() {
        assert_eq!(rx.recv(None, SOON, |_| ()).unwrap().count, 1);
    }
}

#[test]
fn the_limit_of_buffers_can_be_had() {
    let limit = receive_buffer_limit().unwrap();
    let listen = Listen { bind: Some(LO4), receive_buffer: Some(limit), ..Listen::default() };
    assert_eq!(Receiver::bind(&listen).unwrap().receive_buffer().unwrap(), limit);
}

#[test]
fn a_datagram_that_is_too_long_is_told_from_others() {
    let rx = listen(Some(LO4), Family::V4);
    let e = sender(LO4, &rx).send_batch(&[vec![0; LARGEST]]).unwrap_err();
    assert!(is_too_long(&e) && !is_without_room(&e), "{e}");
}

#[test]
fn tcp_listens_to_the_family_asked_for() {
    use std::net::TcpStream;
    let has_v6 = UdpSocket::bind((LO6, 0)).is_ok();
    for (family, takes_v4) in [(Family::Dual, true), (Family::V4, true), (Family::V6, false)] {
        if family == Family::V6 && !has_v6 {
            continue;
        }
        let listener = listen_tcp(None, 0, family).unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(TcpStream::connect((LO4, port)).is_ok(), takes_v4, "{family:?}");
        let takes_v6 = has_v6 && family != Family::V4;
        assert_eq!(TcpStream::connect((LO6, port)).is_ok(), takes_v6, "{family:?}");
    }
    let taken = listen_tcp(Some(LO4), 0, Family::V4).unwrap();
    let port = taken.local_addr().unwrap().port();
    let e = listen_tcp(Some(LO4), port, Family::V4).unwrap_err();
    assert!(e.to_string().starts_with(&format!("cannot listen on TCP 127.0.0.1:{port}")), "{e}");
    assert!(matches!(listen_tcp(Some(LO4), 0, Family::V6), Err(Error::Family { .. })));
}

#[test]
fn who_may_not_add_to_inherited_sockets_is_told() {
    let listen = Listen { bind: Some(LO4), ..Listen::default() };
    // As sockets of another user, one that shares its port with nobody cannot be added to.
    let first = Receiver::bind(&Listen { port: 0, ..listen.clone() }).unwrap();
    let (group, refused) = Receiver::adopt(&listen, vec![pass_on(&first)], 2, &[]).unwrap();
    assert!(group.len() == 2 && refused.is_none());
    if !nix::unistd::getuid().is_root() {
        return; // who is the only user cannot have sockets of another one
    }
    drop(group);
    let other = UdpSocket::bind((LO4, 0)).unwrap();
    let adopt = move || {
        // SAFETY: plain numbers; of this thread alone, which ends at once.
        let result = unsafe { libc::syscall(libc::SYS_setresuid, -1, 65_534, -1) };
        assert_eq!(result, 0);
        let (group, refused) = Receiver::adopt(&listen, vec![other], 2, &[]).unwrap();
        (group.len(), refused.map(|e| e.to_string()))
    };
    let (count, refused) = std::thread::spawn(adopt).join().unwrap();
    assert_eq!(count, 1);
    assert!(refused.is_some_and(|e| e.contains("127.0.0.1")));
}

/// The TTL or hop limit that the next datagram of a socket came with.
fn hops_of_next(rx: &UdpSocket) -> i32 {
    use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
    use std::os::fd::AsRawFd;
    rx.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let (mut octets, mut control) = ([0; 64], nix::cmsg_space!(i32));
    let mut parts = [io::IoSliceMut::new(&mut octets)];
    let got = recvmsg::<()>(rx.as_raw_fd(), &mut parts, Some(&mut control), MsgFlags::empty());
    let got = got.unwrap();
    let told = got.cmsgs().unwrap().next();
    match told {
        Some(ControlMessageOwned::Ipv4Ttl(hops) | ControlMessageOwned::Ipv6HopLimit(hops)) => hops,
        other => panic!("{other:?}"),
    }
}

#[test]
fn hops_source_and_interface_are_seen_by_the_receiver() {
    use nix::sys::socket::{setsockopt, sockopt};
    let leave = |from: Option<&str>| crate::Leave {
        from: from.map(|from| from.parse().unwrap()),
        interface: Some("lo".to_owned()),
        hops: Some(7),
        multicast_hops: Some(3),
        ..crate::Leave::default()
    };
    let rx = UdpSocket::bind((LO4, 0)).unwrap();
    setsockopt(&rx, sockopt::Ipv4RecvTtl, &true).unwrap();
    let to = rx.local_addr().unwrap();
    let tx = Sender::open(to, &leave(Some("127.0.0.3"))).unwrap();
    send_all(&tx, &[b"x".to_vec()]);
    assert_eq!(hops_of_next(&rx), 7);
    assert_eq!(tx.local_addr().unwrap().ip().to_string(), "127.0.0.3");
    let e = Sender::open(to, &leave(Some("::1"))).err().unwrap();
    assert!(matches!(e, Error::Family { .. }), "{e}");
    let mut nowhere = leave(None);
    nowhere.interface = Some("nowhere0".to_owned());
    let e = Sender::open(to, &nowhere).err().unwrap();
    assert!(e.to_string().contains("nowhere0"), "{e}");
    // A group: another limit. It needs no route, because the interface is given.
    let group: Ipv4Addr = "239.255.77.10".parse().unwrap();
    let rx = UdpSocket::bind((group, 0)).unwrap();
    setsockopt(&rx, sockopt::Ipv4RecvTtl, &true).unwrap();
    rx.join_multicast_v4(&group, &Ipv4Addr::LOCALHOST).unwrap();
    let tx = Sender::open(rx.local_addr().unwrap(), &leave(None)).unwrap();
    send_all(&tx, &[b"x".to_vec()]);
    assert_eq!(hops_of_next(&rx), 3);
    let Ok(rx) = UdpSocket::bind((LO6, 0)) else { return }; // a host without IPv6
    setsockopt(&rx, sockopt::Ipv6RecvHopLimit, &true).unwrap();
    let tx = Sender::open(rx.local_addr().unwrap(), &leave(None)).unwrap();
    send_all(&tx, &[b"x".to_vec()]);
    assert_eq!(hops_of_next(&rx), 7);
}
