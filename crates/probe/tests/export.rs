//! Flows to collectors on loopback, and what a decoder makes of what comes there.

use std::io::{self, Read as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use export::{Destination, Dispatch, Files, FilesConfig, SendConfig, Transport};
use probe::{Ended, Outlet, Reason, Side};
use record::{Addr, Field, Flow};
use wire::export::{ExportConfig, Version};
use wire::testing::Collect;
use wire::{Config, Decoder};

const NOW: u64 = 1_795_000_000_123;
const LONG: Duration = Duration::from_secs(60);
const PEER: Addr = Addr::V4(0x7f00_0001);

fn flow(number: u64) -> Flow {
    let mut flow = Flow::new();
    // Every third is IPv6: two templates.
    if number.is_multiple_of(3) {
        flow.set_addr(Field::SrcAddr, Addr::V6(0x2001_0db8 << 96 | u128::from(number)));
        flow.set_addr(Field::DstAddr, Addr::V6(0x2001_0db8 << 96));
    } else {
        flow.set_addr(Field::SrcAddr, Addr::V4(0x0a00_0000 | number as u32));
        flow.set_addr(Field::DstAddr, Addr::V4(0xc000_0201));
    }
    for (field, value) in [
        (Field::First, NOW - 5000),
        (Field::Last, NOW - 1000),
        (Field::Packets, 2),
        (Field::Bytes, number + 100),
        (Field::SrcPort, 1024),
        (Field::DstPort, 443),
        (Field::Proto, 6),
    ] {
        flow.set(field, value);
    }
    flow
}

/// The numbers of flows.
fn numbers(flows: &[Flow]) -> Vec<u64> {
    flows.iter().map(|flow| flow.as_row().number(Field::Bytes) - 100).collect()
}

fn receivers(count: usize) -> (Vec<UdpSocket>, Vec<SocketAddr>) {
    let sockets: Vec<UdpSocket> = (0..count)
        .map(|_| {
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.set_nonblocking(true).unwrap();
            socket
        })
        .collect();
    let addrs = sockets.iter().map(|s| s.local_addr().unwrap()).collect();
    (sockets, addrs)
}

fn send_to(to: &[SocketAddr], transport: Transport, version: Version) -> SendConfig {
    let text: Vec<String> = to.iter().map(SocketAddr::to_string).collect();
    let destinations = Destination::parse_list(&text.join(",")).unwrap();
    SendConfig { transport, waits: true, ..SendConfig::new(destinations, version) }
}

/// A collector of one exporter.
struct Collector {
    decoder: Decoder,
    got: Collect,
    datagrams: usize,
}

impl Collector {
    fn new() -> Self {
        Self { decoder: Decoder::new(Config::default()), got: Collect::default(), datagrams: 0 }
    }

    fn take(&mut self, bytes: &[u8]) {
        let outcome = self.decoder.decode(PEER, NOW, bytes, &mut self.got);
        assert_eq!(outcome.error, None);
        self.datagrams += 1;
    }

    /// All that has come, which must be there already.
    fn drain(socket: &UdpSocket) -> Self {
        let mut collector = Self::new();
        let mut bytes = vec![0; 65_536];
        loop {
            match socket.recv(&mut bytes) {
                Ok(len) => collector.take(&bytes[..len]),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return collector,
                Err(e) => panic!("{e}"),
            }
        }
    }

    /// Nothing was out of order, missing, or came before its template.
    fn has_no_complaint(&self) {
        let c = self.decoder.counters();
        let faults = [
            c.sequence_gaps,
            c.duplicates,
            c.reordered,
            c.sets_parked,
            c.bad_sets,
            c.bad_messages,
            c.truncated_records,
        ];
        assert_eq!(faults, [0; 7], "{c:?}");
    }
}

#[test]
fn copies_are_the_same_everywhere() {
    for version in [Version::V5, Version::V9, Version::Ipfix] {
        let (sockets, to) = receivers(2);
        let send = send_to(&to, Transport::Udp, version);
        let mut dispatch = Dispatch::start(ExportConfig::new(version), send, false).unwrap();
        (1..500).for_each(|n| dispatch.flow(NOW, flow(n).as_row(), None));
        dispatch.finish(NOW, LONG);
        let counts = dispatch.counts();
        assert_eq!(counts.rows, 499);
        assert_eq!(counts.records + counts.rows_left_out(), 499);
        for (socket, (name, sent)) in sockets.iter().zip(dispatch.destinations()) {
            let collector = Collector::drain(socket);
            collector.has_no_complaint();
            let want = (1..500).filter(|n| version != Version::V5 || n % 3 != 0);
            assert!(numbers(&collector.got.flows).into_iter().eq(want), "{version}");
            assert_eq!(name, socket.local_addr().unwrap().to_string());
            assert_eq!((sent.sent, sent.lost()), (counts.datagrams, 0));
            assert_eq!(sent.sent_records, counts.records);
        }
    }
}

#[test]
fn a_balance_gives_each_its_share_and_a_sequence_without_gaps() {
    for version in [Version::V5, Version::V9, Version::Ipfix] {
        let (sockets, to) = receivers(3);
        let send = send_to(&to, Transport::Udp, version);
        let mut dispatch = Dispatch::start(ExportConfig::new(version), send, true).unwrap();
        (1..2000).for_each(|n| dispatch.flow(NOW, flow(n).as_row(), None));
        dispatch.send_templates(NOW);
        dispatch.finish(NOW, LONG);
        let collectors: Vec<Collector> = sockets.iter().map(Collector::drain).collect();
        let mut all = Vec::new();
        for collector in &collectors {
            collector.has_no_complaint();
            all.extend(numbers(&collector.got.flows));
        }
        all.sort_unstable();
        assert!(all.into_iter().eq((1..2000).filter(|n| version != Version::V5 || n % 3 != 0)));
        let shares: Vec<usize> = collectors.iter().map(|c| c.datagrams).collect();
        let (least, most) = (shares.iter().min().unwrap(), shares.iter().max().unwrap());
        assert!(*least > 10 && most - least <= 2, "{version}: {shares:?}");
        if version.has_templates() {
            assert!(collectors.iter().all(|c| c.decoder.templates().count() >= 2), "{version}");
        }
    }
}

#[test]
fn templates_go_out_again_when_somebody_new_may_listen() {
    // Where nobody is, nor comes to be.
    let send = send_to(&["127.77.0.3:9".parse().unwrap()], Transport::Udp, Version::V9);
    let config = ExportConfig { max_delay_ms: 0, ..ExportConfig::new(Version::V9) };
    let mut dispatch = Dispatch::start(config, send, false).unwrap();
    for _ in 0..60_000 {
        dispatch.flow(NOW, flow(1).as_row(), None);
        dispatch.tick(NOW);
        let (_, counts) = &dispatch.destinations()[0];
        if counts.unheard > 0 && dispatch.counts().refreshes > 0 {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    panic!("no templates: {:?} {:?}", dispatch.counts(), dispatch.destinations());
}

/// The next message of a stream; `None` at its end.
fn next_message(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut head = [0; 4];
    match stream.read_exact(&mut head) {
        Ok(()) => {}
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return None,
        Err(e) => panic!("{e}"),
    }
    let len = usize::from(u16::from_be_bytes([head[2], head[3]]));
    let mut bytes = head.to_vec();
    bytes.resize(len, 0);
    stream.read_exact(&mut bytes[4..]).unwrap();
    Some(bytes)
}

/// Ticks until somebody has connected.
fn accept(listener: &TcpListener, dispatch: &mut Dispatch) -> TcpStream {
    listener.set_nonblocking(true).unwrap();
    for _ in 0..60_000 {
        dispatch.tick(NOW);
        if let Ok((stream, _)) = listener.accept() {
            stream.set_nonblocking(false).unwrap();
            stream.set_read_timeout(Some(LONG)).unwrap();
            return stream;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    panic!("nobody connects");
}

/// Ticks until everything is sent.
fn until_sent(dispatch: &mut Dispatch) {
    for _ in 0..60_000 {
        dispatch.tick(NOW);
        let (_, counts) = dispatch.destinations()[0];
        if counts.sent > 0 && counts.waiting() == 0 {
            return;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    panic!("it stays here: {:?}", dispatch.destinations());
}

#[test]
fn a_collector_over_tcp_can_be_restarted() {
    // An address of its own: nobody else takes the port meanwhile.
    let listener = TcpListener::bind("127.77.0.4:0").unwrap();
    let to = listener.local_addr().unwrap();
    let send = send_to(&[to], Transport::Tcp, Version::Ipfix);
    let config = ExportConfig::new(Version::Ipfix);
    let mut dispatch = Dispatch::start(config, send, false).unwrap();
    let put = |dispatch: &mut Dispatch, numbers: std::ops::Range<u64>| {
        numbers.for_each(|n| dispatch.flow(NOW, flow(n).as_row(), None));
        dispatch.flush(NOW);
    };
    put(&mut dispatch, 1..200); // before anybody is there
    let mut stream = accept(&listener, &mut dispatch);
    put(&mut dispatch, 200..400);
    until_sent(&mut dispatch);
    let mut first = Collector::new();
    while first.got.flows.len() < 399 {
        first.take(&next_message(&mut stream).unwrap());
    }
    first.has_no_complaint();
    assert!(numbers(&first.got.flows).into_iter().eq(1..400));
    drop((listener, stream));
    put(&mut dispatch, 400..600); // while it is away
    let listener = TcpListener::bind(to).unwrap();
    let mut stream = accept(&listener, &mut dispatch);
    put(&mut dispatch, 600..800);
    let reader = std::thread::spawn(move || {
        let mut second = Collector::new();
        while let Some(message) = next_message(&mut stream) {
            second.take(&message);
        }
        second
    });
    dispatch.finish(NOW, LONG);
    let second = reader.join().unwrap();
    second.has_no_complaint();
    assert!(numbers(&second.got.flows).into_iter().eq(400..800));
    let (_, counts) = dispatch.destinations()[0];
    assert_eq!((counts.connections, counts.lost(), counts.waiting()), (2, 0, 0), "{counts:?}");
}

#[test]
fn who_waits_for_a_connection_opens_it() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = listener.local_addr().unwrap();
    let mut send = send_to(&[to], Transport::Tcp, Version::Ipfix);
    send.queue_bytes = 5000; // some datagrams
    let mut dispatch = Dispatch::start(ExportConfig::new(Version::Ipfix), send, false).unwrap();
    let reader = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut collector = Collector::new();
        while let Some(message) = next_message(&mut stream) {
            collector.take(&message);
        }
        collector
    });
    // Without a tick.
    (1..5000).for_each(|n| dispatch.flow(NOW, flow(n).as_row(), None));
    dispatch.finish(NOW, LONG);
    let collector = reader.join().unwrap();
    collector.has_no_complaint();
    assert!(numbers(&collector.got.flows).into_iter().eq(1..5000));
    assert_eq!(dispatch.destinations()[0].1.lost(), 0);
}

fn ended(number: u64, is_v6: bool, answers: u64) -> Ended {
    let addr = |host: u32| match is_v6 {
        true => Addr::V6(0x2001_0db8 << 96 | u128::from(host)),
        false => Addr::V4(0x0a00_0000 | host),
    };
    Ended {
        id: number,
        initiator: addr(1),
        responder: addr(2),
        src_port: 1024 + number as u16,
        dst_port: 53,
        proto: 17,
        forward: Side { packets: 1, octets: 100 + number, ..Side::default() },
        backward: Side { packets: answers, octets: answers * 200, ..Side::default() },
        first_ns: (NOW - 2000) * 1_000_000,
        last_ns: (NOW - 1000) * 1_000_000,
        reason: Reason::Udp,
        input: 1,
        output: 2,
        tunnel: None,
    }
}

#[test]
fn conversations_become_what_the_version_can_say() {
    // Two with an answer, of those one IPv6, and one without.
    let all = [ended(1, false, 1), ended(2, true, 1), ended(3, false, 0)];
    for (version, biflow, exported, records, flows) in [
        (Version::V5, false, 2, 3, 3),
        (Version::V9, true, 3, 5, 5), // no biflow there
        (Version::Ipfix, false, 3, 5, 5),
        (Version::Ipfix, true, 3, 3, 5), // decoders take them apart
    ] {
        let (sockets, to) = receivers(1);
        let send = send_to(&to, Transport::Udp, version);
        let dispatch = Dispatch::start(ExportConfig::new(version), send, false).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let files = Files::open(FilesConfig::new(dir.path())).unwrap();
        let mut outlet = Outlet::new().with_export(dispatch, biflow).with_files(files, biflow);
        all.iter().for_each(|ended| outlet.ended(NOW, ended));
        outlet.tick(NOW + 10);
        outlet.finish(NOW + 20, LONG);
        let counts = outlet.counts();
        let what = format!("{version}, biflow {biflow}");
        assert_eq!((counts.ended, counts.exported), (3, exported), "{what}");
        assert_eq!((counts.export.records, counts.failures()), (records, 0), "{what}");
        assert_eq!(counts.export.rows_ipv6, if version == Version::V5 { 2 } else { 0 }, "{what}");
        let collector = Collector::drain(&sockets[0]);
        collector.has_no_complaint();
        let got = &collector.got.flows;
        assert_eq!(got.len(), flows, "{what}");
        let sum = |field| got.iter().map(|f| f.as_row().number(field)).sum::<u64>();
        let octets = sum(Field::Bytes) + sum(Field::OutBytes);
        let want = if version == Version::V5 { 101 + 103 + 200 } else { 306 + 400 };
        assert_eq!(octets, want, "{what}");
        let in_files = if biflow { 3 } else { 5 };
        assert_eq!((counts.files.flows, counts.files.stored), (in_files, in_files), "{what}");
        assert_eq!(counts.files.lost, 0);
    }
}

#[test]
fn without_an_outlet_conversations_are_counted() {
    let mut outlet = Outlet::new();
    (0..5).for_each(|n| outlet.ended(NOW, &ended(n, false, 1)));
    outlet.tick(NOW);
    outlet.finish(NOW, LONG);
    let counts = outlet.counts();
    assert_eq!((counts.ended, counts.exported, counts.export.datagrams), (5, 0, 0));
}
