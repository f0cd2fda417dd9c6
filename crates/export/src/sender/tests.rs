use super::*;
use std::collections::VecDeque;
use std::io::{self, Read as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicU16, Ordering};

const LONG: Duration = Duration::from_secs(60);
const DATA: Carries = Carries { templates: 0, options: 0, records: 3 };
const TEMPLATES: Carries = Carries { templates: 1, options: 0, records: 0 };

fn until(mut is_so: impl FnMut() -> bool) {
    let end = clock::monotonic() + LONG;
    while !is_so() {
        assert!(clock::monotonic() < end, "it does not come");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn config(to: &[SocketAddr], transport: Transport, version: Version) -> SendConfig {
    let destinations =
        to.iter().map(|to| Destination { host: to.ip().to_string(), port: to.port() });
    SendConfig { transport, ..SendConfig::new(destinations.collect(), version) }
}

fn receiver() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(LONG)).unwrap();
    let at = socket.local_addr().unwrap();
    (socket, at)
}

/// An address where nobody is, nor comes to be while a test runs.
fn nowhere() -> SocketAddr {
    "127.77.0.1:9".parse().unwrap()
}

/// A message as long as its number says, in the layout of IPFIX where that matters.
fn message(number: u32, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len.max(20)];
    bytes[..2].copy_from_slice(&10u16.to_be_bytes());
    bytes[2..4].copy_from_slice(&(len as u16).to_be_bytes());
    bytes[16..20].copy_from_slice(&number.to_be_bytes());
    bytes
}

fn number_of(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes[16..20].try_into().unwrap())
}

fn sequence_of(bytes: &[u8]) -> u32 {
    u32::from_be_bytes(bytes[8..12].try_into().unwrap())
}

fn next_datagram(socket: &UdpSocket) -> Vec<u8> {
    let mut bytes = vec![0; 65_536];
    let len = socket.recv(&mut bytes).unwrap();
    bytes.truncate(len);
    bytes
}

/// The next message of a stream; `None` at its end.
fn next_message(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut head = [0; 20];
    match stream.read_exact(&mut head) {
        Ok(()) => {}
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return None,
        Err(e) => panic!("{e}"),
    }
    let len = usize::from(u16::from_be_bytes([head[2], head[3]]));
    let mut bytes = head.to_vec();
    bytes.resize(len, 0);
    stream.read_exact(&mut bytes[20..]).unwrap();
    Some(bytes)
}

fn accept(listener: &TcpListener) -> TcpStream {
    let (stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream
}

fn counts(sender: &Sender) -> DestinationCounts {
    sender.counts()[0].1
}

/// Sends what waits and ends.
fn finish(sender: &Sender) {
    sender.close(LONG);
    assert!(sender.wait(LONG));
}

fn is_balanced(counts: &DestinationCounts) -> bool {
    counts.waiting() == 0 && counts.offered == counts.sent + counts.lost() + counts.superseded
}

#[test]
fn a_sink_copies_to_all_and_put_to_one() {
    let (a, at_a) = receiver();
    let (b, at_b) = receiver();
    let mut sender = Sender::start(config(&[at_a, at_b], Transport::Udp, Version::V9)).unwrap();
    for n in 0..100 {
        sender.datagram(&message(n, 50), DATA);
        assert_eq!(number_of(&next_datagram(&a)), n);
        assert_eq!(number_of(&next_datagram(&b)), n);
    }
    sender.put(1, &message(100, 50), DATA);
    sender.put(7, &message(101, 50), DATA); // nobody
    assert_eq!(number_of(&next_datagram(&b)), 100);
    finish(&sender);
    let all = sender.counts();
    assert_eq!(all[0].0, at_a.to_string());
    let sent: Vec<_> = all.iter().map(|(_, c)| (c.sent, c.sent_octets, c.sent_records)).collect();
    assert_eq!(sent, [(100, 5000, 300), (101, 5050, 303)]);
    assert!(all.iter().all(|(_, c)| is_balanced(c) && c.failures() == 0));
}

#[test]
fn datagrams_leave_from_the_address_asked_for() {
    let (rx, at) = receiver();
    let mut config = config(&[at], Transport::Udp, Version::V9);
    config.leave.from = Some("127.0.0.5".parse().unwrap());
    let sender = Sender::start(config.clone()).unwrap();
    sender.put(0, &message(0, 20), DATA);
    let (_, from) = rx.recv_from(&mut [0; 64]).unwrap();
    assert_eq!(from.ip().to_string(), "127.0.0.5");
    config.leave.interface = Some("nowhere0".to_owned());
    let e = Sender::start(config).unwrap_err().to_string();
    assert!(e.contains(&at.to_string()) && e.contains("nowhere0"), "{e}");
}

#[test]
fn nobody_listening_is_counted_and_templates_are_asked_for() {
    let sender = Sender::start(config(&[nowhere()], Transport::Udp, Version::V9)).unwrap();
    until(|| {
        sender.put(0, &message(0, 50), DATA);
        counts(&sender).unheard > 2
    });
    until(|| sender.take_templates_wanted());
    assert!(!sender.take_templates_wanted(), "not again at once");
    finish(&sender);
    let counts = counts(&sender);
    assert!(is_balanced(&counts) && counts.lost() == 0, "{counts:?}");
    assert_eq!(counts.failures(), counts.unheard);
}

#[test]
fn a_datagram_that_is_too_long_costs_itself_only() {
    let (rx, at) = receiver();
    let sender = Sender::start(config(&[at], Transport::Udp, Version::V9)).unwrap();
    sender.put(0, &message(0, 50), DATA);
    sender.put(0, &vec![0; 65_508], TEMPLATES);
    sender.put(0, &message(2, 50), DATA);
    assert_eq!([0, 2].map(|_| number_of(&next_datagram(&rx))), [0, 2]);
    finish(&sender);
    let counts = counts(&sender);
    assert_eq!((counts.sent, counts.too_long, counts.lost_records), (2, 1, 0));
    assert!(is_balanced(&counts) && sender.take_templates_wanted(), "they are missing there");
}

#[test]
fn a_way_that_is_not_there_is_counted_as_that() {
    // No route leads there through this interface.
    let to = "[2001:db8::1]:2055".parse().unwrap();
    let mut config = config(&[to], Transport::Udp, Version::V5);
    config.leave.interface = Some("lo".to_owned());
    let sender = Sender::start(config).unwrap();
    (0..10).for_each(|n| sender.put(0, &message(n, 50), DATA));
    sender.close(Duration::from_millis(50));
    assert!(sender.wait(LONG));
    let counts = counts(&sender);
    assert_eq!((counts.unreachable, counts.offered), (10, 10), "{counts:?}");
}

#[test]
fn ipv6_destinations_are_reached() {
    let Ok(rx) = UdpSocket::bind("[::1]:0") else { return }; // a host without IPv6
    rx.set_read_timeout(Some(LONG)).unwrap();
    let to = rx.local_addr().unwrap();
    let sender = Sender::start(config(&[to], Transport::Udp, Version::V5)).unwrap();
    sender.put(0, &message(5, 50), DATA);
    assert_eq!(number_of(&next_datagram(&rx)), 5);
    assert_eq!(sender.counts()[0].0, format!("[::1]:{}", to.port()));
}

fn names(find: impl Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync + 'static) -> Names {
    Names { find: Arc::new(find), refresh: Duration::ZERO, retry: Duration::ZERO }
}

fn named(transport: Transport) -> SendConfig {
    let destination = Destination::parse("collector.example:2055").unwrap();
    SendConfig { transport, ..SendConfig::new(vec![destination], Version::V5) }
}

#[test]
fn a_name_without_address_is_refused_or_waited_for() {
    let none = names(|_, _| Err(io::Error::other("no such name")));
    let no_address = names(|_, _| Ok(Vec::new()));
    for transport in [Transport::Udp, Transport::Tcp] {
        let must = SendConfig { resolve_within: Some(LONG), ..named(transport) };
        for (names, problem) in [(&none, "no such name"), (&no_address, "has no address")] {
            let e = Sender::start_with(must.clone(), names).unwrap_err().to_string();
            assert!(e.contains("`collector.example:2055`") && e.contains(problem), "{e}");
        }
        let config = SendConfig { queue_bytes: 2000, ..named(transport) };
        let sender = Sender::start_with(config, &none).unwrap();
        (0..100).for_each(|n| sender.put(0, &message(n, 100), DATA));
        finish(&sender);
        let counts = counts(&sender);
        assert!(is_balanced(&counts), "{counts:?}");
        // Of those that came before the first answer some may have found the queue full.
        assert_eq!(counts.unresolved + counts.queue_full, 100, "{transport}: {counts:?}");
        assert!(counts.unresolved > 0 && counts.lost_records == 300);
    }
}

#[test]
fn what_waited_for_an_address_goes_out_and_addresses_are_followed() {
    let ((a, at_a), (b, at_b)) = (receiver(), receiver());
    let port = Arc::new(AtomicU16::new(0));
    let known = Arc::clone(&port);
    let names = names(move |host, _| match known.load(Ordering::SeqCst) {
        0 => Err(io::Error::other(format!("{host} is not known yet"))),
        port => Ok(vec![SocketAddr::new([127, 0, 0, 1].into(), port)]),
    });
    let sender = Sender::start_with(named(Transport::Udp), &names).unwrap();
    (0..10).for_each(|n| sender.put(0, &message(n, 50), DATA));
    port.store(at_a.port(), Ordering::SeqCst);
    (0..10).for_each(|n| assert_eq!(number_of(&next_datagram(&a)), n));
    port.store(at_b.port(), Ordering::SeqCst);
    b.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
    until(|| {
        sender.put(0, &message(10, 50), DATA);
        b.recv(&mut [0; 64]).is_ok()
    });
    finish(&sender);
    let counts = counts(&sender);
    assert_eq!((counts.sent, counts.lost()), (counts.offered, 0));
}

#[test]
fn a_name_is_looked_up_again_when_nobody_listens() {
    // An address of its own: the port is free for TCP, too.
    let rx = UdpSocket::bind("127.77.0.5:0").unwrap();
    let at = rx.local_addr().unwrap();
    rx.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
    for transport in [Transport::Udp, Transport::Tcp] {
        let listener = TcpListener::bind(at).unwrap();
        listener.set_nonblocking(true).unwrap();
        let asked = AtomicU16::new(0);
        let find = move |_: &str, _| match asked.fetch_add(1, Ordering::SeqCst) {
            0 => Ok(vec![nowhere()]),
            _ => Ok(vec![at]),
        };
        // Not for as long as it works.
        let names = Names { refresh: LONG, ..names(find) };
        let sender = Sender::start_with(named(transport), &names).unwrap();
        until(|| {
            sender.put(0, &message(1, 50), DATA);
            rx.recv(&mut [0; 64]).is_ok() || listener.accept().is_ok()
        });
    }
}

#[test]
fn over_tcp_messages_follow_each_other_as_they_are() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = listener.local_addr().unwrap();
    let sender = Sender::start(config(&[to], Transport::Tcp, Version::V5)).unwrap();
    (0..1000).for_each(|n| sender.put(0, &message(n, 20 + n as usize), DATA));
    let mut stream = accept(&listener);
    for n in 0..1000 {
        assert_eq!(next_message(&mut stream).unwrap(), message(n, 20 + n as usize));
    }
    finish(&sender);
    assert_eq!(next_message(&mut stream), None);
    let counts = counts(&sender);
    assert_eq!((counts.sent, counts.connections), (1000, 1));
    assert!(is_balanced(&counts));
}

/// Gives new connections their templates, with this number.
fn open(sender: &Sender, number: u32) {
    sender.open(0, |out| out.datagram(&message(number, 40), TEMPLATES));
}

const OPENING: u32 = u32::MAX;

/// Accepts a connection whose opening is put out meanwhile.
fn accept_opened(listener: &TcpListener, sender: &Sender) -> TcpStream {
    listener.set_nonblocking(true).unwrap();
    let mut found = None;
    until(|| {
        open(sender, OPENING);
        found = listener.accept().ok();
        found.is_some()
    });
    let (mut stream, _) = found.unwrap();
    stream.set_nonblocking(false).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
    until(|| {
        open(sender, OPENING);
        stream.peek(&mut [0]).is_ok()
    });
    stream.set_read_timeout(Some(LONG)).unwrap();
    let first = next_message(&mut stream).unwrap();
    assert_eq!((number_of(&first), sequence_of(&first)), (OPENING, 0));
    stream
}

#[test]
fn a_receiver_that_is_restarted_misses_nothing_and_gets_templates_first() {
    // An address of its own: nobody else takes the port meanwhile.
    let listener = TcpListener::bind("127.77.0.2:0").unwrap();
    let to = listener.local_addr().unwrap();
    let sender = Sender::start(config(&[to], Transport::Tcp, Version::Ipfix)).unwrap();
    let put = |numbers: std::ops::Range<u32>| {
        numbers.for_each(|n| sender.put(0, &message(n, 1000), DATA));
    };
    put(0..50); // before there are templates
    let mut stream = accept_opened(&listener, &sender);
    let check = |stream: &mut TcpStream, numbers: std::ops::Range<u32>, first: u32| {
        for n in numbers {
            let message = next_message(stream).unwrap();
            assert_eq!((number_of(&message), sequence_of(&message)), (n, 3 * (n - first)));
        }
    };
    check(&mut stream, 0..50, 0);
    drop((listener, stream));
    put(50..100); // while it is away
    until(|| counts(&sender).sent == 51);
    let listener = TcpListener::bind(to).unwrap();
    put(100..150);
    let mut stream = accept_opened(&listener, &sender);
    check(&mut stream, 50..150, 50);
    finish(&sender);
    assert_eq!(next_message(&mut stream), None);
    let counts = counts(&sender);
    assert_eq!((counts.offered, counts.lost(), counts.connections), (152, 0, 2), "{counts:?}");
    assert!(is_balanced(&counts));
}

#[test]
fn what_a_connection_did_not_take_goes_to_the_next_one() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = listener.local_addr().unwrap();
    let mut config = config(&[to], Transport::Tcp, Version::Ipfix);
    config.queue_bytes = 64 << 20;
    let sender = Sender::start(config).unwrap();
    let stream = accept_opened(&listener, &sender);
    // More than the buffers of both ends hold, so that the last part is not acknowledged.
    let total = 30_000;
    (0..total).for_each(|n| sender.put(0, &message(n, 1400), DATA));
    until(|| counts(&sender).sent > 10);
    drop(stream); // reset: most of it is unread
    let mut stream = accept_opened(&listener, &sender);
    let mut numbers = VecDeque::new();
    let reader = std::thread::spawn(move || {
        while let Some(message) = next_message(&mut stream) {
            numbers.push_back((number_of(&message), sequence_of(&message)));
        }
        numbers
    });
    finish(&sender);
    let numbers = reader.join().unwrap();
    let first = numbers[0].0;
    let want = (first..total).map(|n| (n, 3 * (n - first)));
    assert!(numbers.iter().copied().eq(want), "from {first}");
    let counts = counts(&sender);
    assert!(counts.resent > 0 && is_balanced(&counts), "{counts:?}");
    // Each was taken by one of the two, and both openings.
    assert_eq!((counts.sent, counts.offered), (u64::from(total) + 2, u64::from(total) + 2));
}

#[test]
fn a_dead_connection_costs_what_does_not_fit_and_holds_up_nobody() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let live = listener.local_addr().unwrap();
    let mut config = config(&[nowhere(), live], Transport::Tcp, Version::V9);
    config.queue_bytes = 5000;
    config.waits = true; // for who is there, not for who is not
    let mut sender = Sender::start(config).unwrap();
    let opened = |sender: &Sender, number: u32| {
        (0..2).for_each(|at| {
            sender.open(at, |out| out.datagram(&message(number, 40), TEMPLATES));
        });
    };
    until(|| {
        opened(&sender, OPENING);
        sender.counts()[1].1.connections > 0
    });
    let mut stream = accept(&listener);
    let reader = std::thread::spawn(move || {
        let mut count = 0;
        while next_message(&mut stream).is_some() {
            count += 1;
        }
        count
    });
    until(|| {
        opened(&sender, OPENING);
        sender.counts()[1].1.sent > 0
    });
    (0..500).for_each(|n| sender.datagram(&message(n, 1000), DATA));
    finish(&sender);
    assert_eq!(reader.join().unwrap(), 501);
    let all = sender.counts();
    let (dead, live) = (all[0].1, all[1].1);
    assert_eq!((live.sent, live.lost()), (501, 0));
    assert_eq!((dead.sent, dead.offered), (0, 500));
    assert!(is_balanced(&dead) && dead.unconnected > 0, "{dead:?}");
    assert_eq!(dead.lost_records, 1500);
}

#[test]
fn a_slow_receiver_costs_what_does_not_fit_and_the_gap_is_numbered() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = listener.local_addr().unwrap();
    let mut config = config(&[to], Transport::Tcp, Version::Ipfix);
    config.queue_bytes = 100_000;
    let sender = Sender::start(config).unwrap();
    let mut stream = accept_opened(&listener, &sender);
    // Nobody reads: buffers fill, then the queue, then they are dropped.
    let mut offered = 0;
    until(|| {
        for _ in 0..100 {
            sender.put(0, &message(offered, 1400), DATA);
            offered += 1;
        }
        counts(&sender).queue_full >= 10
    });
    let reader = std::thread::spawn(move || {
        let mut got = Vec::new();
        while let Some(message) = next_message(&mut stream) {
            got.push((number_of(&message), sequence_of(&message)));
        }
        got
    });
    until(|| counts(&sender).waiting() == 0);
    sender.put(0, &message(offered, 1400), DATA);
    offered += 1;
    finish(&sender);
    let got = reader.join().unwrap();
    let counts = counts(&sender);
    assert!(is_balanced(&counts));
    assert_eq!(counts.offered, u64::from(offered) + 1);
    assert_eq!(got.len() as u64 + counts.queue_full, u64::from(offered));
    // Each number tells how many records were sent or dropped before it.
    assert!(got.iter().all(|(number, sequence)| *sequence == 3 * number));
}

#[test]
fn who_may_wait_loses_nothing_to_a_slow_receiver() {
    for is_at_the_end in [false, true] {
        loses_nothing(is_at_the_end);
    }
}

fn loses_nothing(is_at_the_end: bool) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = listener.local_addr().unwrap();
    let mut config = config(&[to], Transport::Tcp, Version::V5);
    (config.queue_bytes, config.waits) = (100_000, !is_at_the_end);
    let sender = Sender::start(config).unwrap();
    if is_at_the_end {
        sender.be_patient(LONG);
    }
    let reader = std::thread::spawn(move || {
        let mut stream = accept(&listener);
        let mut count = 0;
        while next_message(&mut stream).is_some() {
            count += 1;
        }
        count
    });
    (0..5000).for_each(|n| sender.put(0, &message(n, 1400), DATA));
    finish(&sender);
    assert_eq!(reader.join().unwrap(), 5000);
    assert_eq!(counts(&sender).lost(), 0);
}

#[test]
fn the_end_does_not_wait_for_ever() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = listener.local_addr().unwrap();
    let mut config = config(&[to], Transport::Tcp, Version::V5);
    config.queue_bytes = 64 << 20;
    let sender = Sender::start(config).unwrap();
    (0..30_000).for_each(|n| sender.put(0, &message(n, 1400), DATA));
    let _stream = accept(&listener); // nobody reads
    sender.be_patient(Duration::from_millis(50));
    (0..30_000).for_each(|n| sender.put(0, &message(n, 1400), DATA));
    assert!(counts(&sender).queue_full > 0);
    sender.close(Duration::from_millis(50));
    assert!(sender.wait(LONG));
    sender.put(0, &message(0, 1400), DATA); // too late
    let counts = counts(&sender);
    assert!(is_balanced(&counts), "{counts:?}");
    assert!(counts.unacknowledged > 0 && counts.left_over > 1, "{counts:?}");
}

#[test]
fn without_a_destination_nothing_starts() {
    let e = Sender::start(config(&[], Transport::Udp, Version::V9)).unwrap_err();
    assert!(matches!(e, SendError::NoDestination));
}

#[test]
fn trouble_is_told_once_and_so_is_its_end() {
    let (name, secs) = ("told.example:1", Duration::from_secs);
    let (mut told, start) = (Told::default(), clock::monotonic());
    let said: Vec<bool> = (0..100)
        .map(|n| told.trouble(start + secs(n), &name, Cause::Refused, &"nobody", n + 1))
        .collect();
    assert_eq!(said.iter().filter(|said| **said).count(), 1);
    assert!(said[0]);
    assert_eq!(told.fine(start + secs(100), &name, 100), None, "too soon to say");
    assert_eq!(told.fine(start + secs(106), &name, 100), Some(100));
    assert_eq!(told.fine(start + secs(107), &name, 100), None);
    // Again within the quiet time: not a word until it is over.
    let mut told = Told::default();
    assert!(told.trouble(start, &name, Cause::NoRoom, &"full", 5));
    assert_eq!(told.over(&name, 7), Some(3));
    assert!(!told.trouble(start + secs(1), &name, Cause::NoRoom, &"full", 8));
    assert_eq!(told.over(&name, 8), None);
    assert!(told.trouble(start + secs(60), &name, Cause::NoRoom, &"full", 9));
}
