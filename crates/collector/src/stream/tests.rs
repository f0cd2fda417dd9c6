//! Real connections on loopback.

use super::*;
use crate::tls::testing::{Authority, Identity};
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use std::collections::BTreeMap;
use std::io::{ErrorKind, Write as _};
use std::sync::{Condvar, Mutex};

const LO: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));
const LONG: Duration = Duration::from_secs(600);

/// An IPFIX message of `len` octets that tells `n`.
fn ipfix(n: u8, len: u16) -> Vec<u8> {
    let mut bytes = vec![0, 10];
    bytes.extend(len.to_be_bytes());
    bytes.resize(usize::from(len), n);
    bytes
}

/// What a sink was given, by session.
#[derive(Debug, Default)]
struct Session {
    messages: Vec<Vec<u8>>,
    is_over: bool,
}

/// Keeps everything, and waits while it is shut.
#[derive(Default)]
struct Kept {
    sessions: Mutex<BTreeMap<u64, Session>>,
    is_shut: Mutex<bool>,
    opened: Condvar,
}

impl Kept {
    fn shut(&self, on: bool) {
        *self.is_shut.lock().unwrap() = on;
        self.opened.notify_all();
    }

    /// Messages of all sessions, in order.
    fn messages(&self) -> Vec<Vec<Vec<u8>>> {
        self.sessions.lock().unwrap().values().map(|s| s.messages.clone()).collect()
    }

    fn over(&self) -> usize {
        self.sessions.lock().unwrap().values().filter(|s| s.is_over).count()
    }
}

impl Sink for &Kept {
    fn put(&mut self, message: Message<'_>) {
        match message {
            Message::Data { session, bytes, arrived_ms, peer } => {
                assert!(arrived_ms > 1_700_000_000_000 && peer.ip().is_loopback());
                let mut sessions = self.sessions.lock().unwrap();
                let entry = sessions.entry(session).or_default();
                assert!(!entry.is_over, "a message after the end");
                entry.messages.push(bytes.to_vec());
                drop(sessions);
                let shut = self.is_shut.lock().unwrap();
                drop(self.opened.wait_while(shut, |is_shut| *is_shut).unwrap());
            }
            Message::End { session, .. } => {
                let mut sessions = self.sessions.lock().unwrap();
                let entry = sessions.entry(session).or_default();
                assert!(!entry.is_over, "a second end");
                entry.is_over = true;
            }
        }
    }
}

/// Runs a listener while `f` looks at it.
fn with_listener(options: Options, f: impl FnOnce(SocketAddr, &Kept, &Monitor, &Stop)) {
    let listener = Listener::bind(LO, 0, Family::Dual, options).unwrap();
    let (addr, monitor, kept) = (listener.local_addr(), listener.monitor(), Kept::default());
    let stop = Stop::new().unwrap();
    std::thread::scope(|scope| {
        let ended = StopAtEnd(&stop, &kept);
        let thread = scope.spawn(|| listener.run(&mut &kept, &stop));
        f(addr, &kept, &monitor, &stop);
        drop(ended);
        thread.join().unwrap().unwrap();
    });
    assert_eq!(monitor.status().counts.open, 0);
    assert!(kept.sessions.lock().unwrap().values().all(|s| s.is_over));
}

/// Also where a test fails, so that its thread ends.
struct StopAtEnd<'a>(&'a Stop, &'a Kept);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.1.shut(false);
        self.0.request();
    }
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = clock::monotonic();
    while !is_so() {
        assert!(start.elapsed() < LONG, "still not: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream
}

/// Waits until the other end has closed.
fn closed(mut stream: impl io::Read) {
    let mut rest = [0; 512];
    loop {
        match stream.read(&mut rest) {
            Ok(0) => return,
            Ok(_) => {}
            Err(e) => return assert_ne!(e.kind(), ErrorKind::WouldBlock, "not closed in time"),
        }
    }
}

#[test]
fn messages_come_whole_however_they_are_cut() {
    let messages = [ipfix(1, 16), ipfix(2, 45), ipfix(3, 17)];
    let stream = messages.concat();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let monitor = Listener::bind(LO, 0, Family::Dual, Options::default()).unwrap().monitor();
    let mut scratch = vec![0; READ];
    for cut in 0..=stream.len() {
        let mut near = connect(listener.local_addr().unwrap());
        let (far, peer) = listener.accept().unwrap();
        far.set_nonblocking(true).unwrap();
        let mut connection = Connection::new(far, peer, None, clock::monotonic()).unwrap();
        let kept = Kept::default();
        for part in [&stream[..cut], &stream[cut..]] {
            if !part.is_empty() {
                near.write_all(part).unwrap();
                wait(&[(connection.as_fd(), Ready::READ)], None).unwrap();
                let state = connection.serve(&mut scratch, &monitor, &mut &kept).unwrap();
                assert_eq!(state, State::Open);
            }
        }
        assert_eq!(kept.messages(), [messages.to_vec()], "cut at {cut}");
        assert_eq!(connection.offset(), stream.len() as u64);
        drop(near);
        wait(&[(connection.as_fd(), Ready::READ)], None).unwrap();
        let state = connection.serve(&mut scratch, &monitor, &mut &kept).unwrap();
        assert_eq!(state, State::Ended);
    }
}

#[test]
fn the_largest_message_comes_in_many_parts() {
    with_listener(Options::default(), |addr, kept, monitor, _| {
        let messages = [ipfix(1, u16::MAX), ipfix(2, u16::MAX), ipfix(3, 16)];
        let mut stream = connect(addr);
        messages.concat().chunks(10_007).for_each(|part| stream.write_all(part).unwrap());
        until("three messages", || monitor.status().counts.messages == 3);
        assert_eq!(kept.messages(), [messages.to_vec()]);
        assert_eq!(monitor.status().counts.bytes, 2 * 65_535 + 16);
    });
}

#[test]
fn a_hundred_connections_are_sessions_of_their_own() {
    let options = Options { connections_per_address: 100, ..Options::default() };
    with_listener(options, |addr, kept, monitor, _| {
        let mut streams: Vec<_> = (0..100).map(|_| connect(addr)).collect();
        for round in 0..20 {
            for (n, stream) in streams.iter_mut().enumerate() {
                stream.write_all(&ipfix(n as u8, 16 + 7 * round)).unwrap();
            }
        }
        until("all messages", || monitor.status().counts.messages == 2000);
        let counts = monitor.status().counts;
        assert_eq!((counts.open, counts.accepted, counts.refused), (100, 100, 0));
        let of = |n| (0..20).map(|round| ipfix(n, 16 + 7 * round)).collect::<Vec<_>>();
        let mut got = kept.messages();
        got.sort_by_key(|m| m[0][15]);
        assert!(got.iter().eq(&(0..100).map(of).collect::<Vec<_>>()));
        streams.truncate(50);
        until("fifty ends", || kept.over() == 50 && monitor.status().counts.open == 50);
        drop(streams);
        until("all ends", || kept.over() == 100);
        let mut again = connect(addr);
        again.write_all(&ipfix(200, 16)).unwrap();
        until("a new session", || kept.messages().len() == 101);
        assert_eq!(monitor.status().counts.broken, 0);
    });
}

#[test]
fn there_are_only_so_many_connections() {
    for (options, whose) in [
        (Options { connections: 2, ..Options::default() }, "in all"),
        (Options { connections_per_address: 2, ..Options::default() }, "of one address"),
    ] {
        with_listener(options, |addr, kept, monitor, _| {
            let mut held = [connect(addr), connect(addr)];
            until("two connections", || monitor.status().counts.open == 2);
            closed(connect(addr));
            assert_eq!(monitor.status().counts.refused, 1, "{whose}");
            for stream in &mut held {
                stream.write_all(&ipfix(1, 20)).unwrap();
            }
            until("their messages", || kept.messages().len() == 2);
            drop(held);
            until("their ends", || monitor.status().counts.open == 0);
            connect(addr).write_all(&ipfix(2, 20)).unwrap();
            until("another one", || kept.messages().len() == 3);
        });
    }
}

#[test]
fn silent_connections_are_closed() {
    let options = Options { idle: Duration::from_millis(20), ..Options::default() };
    with_listener(options, |addr, _, monitor, _| {
        closed(connect(addr));
        let mut half = connect(addr);
        half.write_all(&ipfix(1, 20)[..19]).unwrap();
        closed(half);
        until("both counted", || monitor.status().counts.timed_out == 2);
    });
}

#[test]
fn half_messages_end_a_connection_and_whole_ones_do_not() {
    let ca = Authority::new();
    let dir = tempfile::tempdir().unwrap();
    let server = tls::Server::load(&ca.files(dir.path(), None)).unwrap();
    for tls in [None, Some(server)] {
        let is_tls = tls.is_some();
        let options = Options { patience: Duration::from_millis(20), tls, ..Options::default() };
        with_listener(options, |addr, kept, monitor, _| {
            let mut fine = (!is_tls).then(|| connect(addr));
            if let Some(stream) = &mut fine {
                stream.write_all(&ipfix(1, 20)).unwrap();
                until("a message", || kept.messages().len() == 1);
            }
            let mut half = connect(addr);
            // A TLS record that is not complete, or a message that is not.
            half.write_all(if is_tls { &[22, 3, 1, 0, 9, 1] } else { &[0, 10, 255, 255] }).unwrap();
            closed(half);
            until("counted", || monitor.status().counts.timed_out == 1);
            if let Some(stream) = &mut fine {
                stream.write_all(&ipfix(2, 20)).unwrap();
                until("another message", || kept.messages()[0].len() == 2);
            }
        });
    }
}

#[test]
fn what_is_no_ipfix_ends_the_connection_and_costs_nothing_before_it() {
    let cases: [(&str, &[u8]); 6] = [
        ("another version", &[0, 9, 0, 20]),
        ("no length", &[0, 10, 0, 0, 1, 2, 3]),
        ("less than a header", &[0, 10, 0, 15]),
        ("a web browser", b"GET / HTTP/1.1\r\n\r\n"),
        ("zeros", &[0; 70_000]),
        ("ones", &[255; 70_000]),
    ];
    with_listener(Options::default(), |addr, kept, monitor, _| {
        for (n, (name, bytes)) in cases.into_iter().enumerate() {
            let mut stream = connect(addr);
            let _ = stream.write_all(&[&ipfix(7, 30), bytes].concat()); // may be reset
            closed(stream);
            let broken = n as u64 + 1;
            until(name, || monitor.status().counts.broken == broken && kept.over() == n + 1);
            assert_eq!(kept.messages().last().unwrap(), &[ipfix(7, 30)], "{name}");
        }
        let mut cut = connect(addr);
        cut.write_all(&ipfix(1, 20)[..19]).unwrap();
        drop(cut);
        until("a cut message", || monitor.status().counts.broken == 7);
    });
}

#[test]
fn a_full_queue_slows_exporters_down_and_loses_nothing() {
    with_listener(Options::default(), |addr, kept, monitor, _| {
        kept.shut(true);
        let mut stream = connect(addr);
        let all: Vec<u8> = (0..2000).flat_map(|n| ipfix(n as u8, 20_000)).collect();
        stream.set_nonblocking(true).unwrap();
        let mut sent = 0;
        // Until nothing goes any more: twice, because buffers grow while they fill.
        let mut refusals = 0;
        while refusals < 2 {
            match stream.write(&all[sent..]) {
                Ok(n) => sent += n,
                Err(e) => {
                    assert_eq!(e.kind(), ErrorKind::WouldBlock);
                    until("the sink waits", || kept.messages().len() == 1);
                    refusals += 1;
                }
            }
        }
        assert!(sent < all.len(), "40 MB fit nowhere");
        assert_eq!(kept.messages()[0].len(), 1);
        kept.shut(false);
        stream.set_nonblocking(false).unwrap();
        stream.write_all(&all[sent..]).unwrap();
        until("all messages", || monitor.status().counts.messages == 2000);
        assert!(kept.messages()[0].iter().zip(0..2000).all(|(m, n)| *m == ipfix(n as u8, 20_000)));
    });
}

#[test]
fn what_has_arrived_is_read_before_the_end() {
    with_listener(Options::default(), |addr, kept, monitor, stop| {
        let mut stream = connect(addr);
        until("accepted", || monitor.status().counts.accepted == 1);
        kept.shut(true);
        for n in 0..50 {
            stream.write_all(&ipfix(n, 1000)).unwrap();
        }
        until("the sink waits", || !kept.messages().is_empty());
        stop.request();
        kept.shut(false);
        closed(stream);
        assert_eq!(kept.messages(), [(0..50).map(|n| ipfix(n, 1000)).collect::<Vec<_>>()]);
    });
}

type Secure = StreamOwned<ClientConnection, TcpStream>;

fn secure(addr: SocketAddr, config: &Arc<rustls::ClientConfig>) -> Secure {
    let name = ServerName::try_from("localhost").unwrap();
    StreamOwned::new(ClientConnection::new(Arc::clone(config), name).unwrap(), connect(addr))
}

#[test]
fn tls_carries_messages_octet_by_octet() {
    let ca = Authority::new();
    let dir = tempfile::tempdir().unwrap();
    let tls = Some(tls::Server::load(&ca.files(dir.path(), None)).unwrap());
    with_listener(Options { tls, ..Options::default() }, |addr, kept, monitor, _| {
        let messages = [ipfix(1, 16), ipfix(2, 45), ipfix(3, 50_000)];
        let mut stream = secure(addr, &ca.client(None));
        for octet in messages[..2].concat() {
            stream.write_all(&[octet]).unwrap();
        }
        stream.write_all(&messages[2]).unwrap();
        until("all messages", || monitor.status().counts.messages == 3);
        assert_eq!(kept.messages(), [messages.to_vec()]);
        assert!(monitor.status().is_tls);
        stream.conn.send_close_notify();
        stream.flush().unwrap();
        until("a clean end", || kept.over() == 1);
        assert_eq!(monitor.status().counts.broken, 0);
    });
}

#[test]
fn who_may_speak_over_tls() {
    let (ca, exporters, stranger) = (Authority::new(), Authority::new(), Authority::new());
    let dir = tempfile::tempdir().unwrap();
    let open = tls::Server::load(&ca.files(dir.path(), None)).unwrap();
    let strict = tls::Server::load(&ca.files(dir.path(), Some(&exporters))).unwrap();
    let (known, unknown): (Identity, _) = (exporters.sign("router"), stranger.sign("router"));
    for (name, server, client, is_let_in) in [
        ("right authority", &open, ca.client(None), true),
        ("collector of a stranger", &open, stranger.client(None), false),
        ("known exporter", &strict, ca.client(Some(&known)), true),
        ("exporter without certificate", &strict, ca.client(None), false),
        ("exporter of a stranger", &strict, ca.client(Some(&unknown)), false),
    ] {
        let options = Options { tls: Some(server.clone()), ..Options::default() };
        with_listener(options, |addr, kept, monitor, _| {
            let mut stream = secure(addr, &client);
            let sent = stream.write_all(&ipfix(1, 20)).and_then(|()| stream.flush());
            if is_let_in {
                sent.unwrap();
                until(name, || kept.messages() == [[ipfix(1, 20)]]);
            } else {
                closed(stream);
                until(name, || monitor.status().counts.broken == 1);
                assert!(kept.messages().iter().all(Vec::is_empty), "{name}");
            }
        });
    }
}

#[test]
fn what_is_no_tls_ends_the_connection() {
    let ca = Authority::new();
    let dir = tempfile::tempdir().unwrap();
    let tls = Some(tls::Server::load(&ca.files(dir.path(), None)).unwrap());
    with_listener(Options { tls, ..Options::default() }, |addr, kept, monitor, _| {
        for (n, bytes) in [ipfix(1, 20), vec![0; 100_000], vec![22; 100_000]].iter().enumerate() {
            let mut stream = connect(addr);
            let _ = stream.write_all(bytes); // may be reset
            closed(stream);
            until("broken", || monitor.status().counts.broken == n as u64 + 1);
        }
        assert!(kept.messages().iter().all(Vec::is_empty));
    });
}
