//! From a real socket to a file: everything that was sent is stored or counted.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use crate::common::{names, read, v9};
use collector::run::{Beside, Bound, Inputs};
use collector::{Account, Collector, Config, Error, run};
use sys::clock;
use sys::service::{Inherited, Notify};
use sys::signal::Signals;
use sys::udp::{Listen, Sender};

const LO: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

struct Running {
    to: Vec<SocketAddr>,
    signals: Signals,
    thread: std::thread::JoinHandle<Account>,
}

fn bind(listen: &[Listen]) -> Result<Vec<Bound>, Error> {
    run::bind(listen, 1, &mut Inherited::default(), &Notify::default(), &[])
}

/// A collector on ports that the kernel chooses.
fn start(dir: &Path, sockets: usize, receive_buffer: usize, queue_bytes: usize) -> Running {
    let listen =
        Listen { bind: Some(LO), receive_buffer: Some(receive_buffer), ..Listen::default() };
    let config = Config {
        listen: vec![listen; sockets],
        queue_bytes,
        interval_secs: 86_400, // all in one file, unless the test runs at midnight
        ..crate::common::config(dir)
    };
    let receivers = bind(&config.listen).unwrap();
    let to = receivers.iter().map(|bound| bound.receiver.local_addr().unwrap()).collect();
    let signals = Signals::detached().unwrap();
    let mine = signals.clone();
    let thread = std::thread::spawn(move || {
        let mut collector = Collector::new(config, clock::now_ms()).unwrap();
        let inputs = Inputs { receivers, ..Inputs::default() };
        run::run(&mut collector, inputs, &Beside::alone(mine)).unwrap();
        collector.account()
    });
    Running { to, signals, thread }
}

impl Running {
    fn stop(self) -> Account {
        self.signals.stop.request();
        self.thread.join().unwrap()
    }
}

fn send(to: SocketAddr, datagrams: &[Vec<u8>]) {
    let sender = Sender::connect(to).unwrap();
    let mut rest = datagrams;
    while !rest.is_empty() {
        rest = &rest[sender.send_batch(rest).unwrap()..];
    }
}

fn stored(dir: &Path) -> u64 {
    let names = names(dir);
    assert!(names.iter().all(|n| !n.starts_with("nfcapd.current.")), "{names:?}");
    names.iter().map(|n| read(&dir.join(n)).flows).sum()
}

#[test]
fn all_that_arrived_before_the_stop_is_stored() {
    let dir = tempfile::tempdir().unwrap();
    let running = start(dir.path(), 2, 4 << 20, 1 << 20);
    let mut datagrams: Vec<Vec<u8>> = (0..500).map(|n| v9(n, 20)).collect();
    datagrams.push(b"\0\x63 no export version".to_vec());
    datagrams.push(Vec::new());
    for to in &running.to {
        send(*to, &datagrams);
    }
    let account = running.stop();
    let want = Account {
        received: 1004,
        decoded: 1000,
        bad: 2,
        empty: 2,
        flows: 20_000,
        ..Account::default()
    };
    assert_eq!(account, want);
    assert_eq!(stored(dir.path()), 20_000);
}

#[test]
fn what_a_full_buffer_drops_is_counted_to_the_last_datagram() {
    let dir = tempfile::tempdir().unwrap();
    // A queue of nothing and a buffer for a few datagrams: most are dropped.
    let running = start(dir.path(), 1, 10_000, 0);
    let datagrams: Vec<Vec<u8>> = (0..20_000).map(|n| v9(n, 20)).collect();
    send(running.to[0], &datagrams);
    let account = running.stop();
    assert!(account.socket_drops > 0, "nothing was dropped: {account:?}");
    assert_eq!(account.received + account.socket_drops, 20_000);
    assert!(account.is_balanced());
    assert_eq!(account.flows, account.decoded * 20);
    assert_eq!(stored(dir.path()), account.flows);
}

#[test]
fn hup_finishes_the_file_and_collecting_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let running = start(dir.path(), 1, 1 << 20, 1 << 20);
    send(running.to[0], &[v9(0, 20)]);
    running.signals.hang_up();
    let finished = || names(dir.path()).into_iter().find(|n| !n.starts_with("nfcapd.current."));
    let name = (0..1000)
        .find_map(|_| {
            std::thread::sleep(Duration::from_millis(10));
            finished()
        })
        .expect("a file within ten seconds");
    assert!(read(&dir.path().join(&name)).is_closed);
    send(running.to[0], &[v9(1, 20)]);
    assert_eq!(running.stop().flows, 40);
    assert_eq!(stored(dir.path()), 40);
}

#[test]
fn without_anybody_who_finishes_files_there_is_no_use_in_going_on() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config {
        listen: vec![Listen { bind: Some(LO), ..Listen::default() }],
        ..crate::common::config(dir.path())
    };
    let inputs = Inputs { receivers: bind(&config.listen).unwrap(), ..Inputs::default() };
    let signals = Signals::detached().unwrap();
    let mut collector = Collector::new(config, clock::now_ms()).unwrap();
    collector.on_file(|_| panic!("a bug"));
    signals.hang_up();
    let ended = run::run(&mut collector, inputs, &Beside::alone(signals));
    assert!(matches!(ended, Err(Error::Panicked(name)) if name == "finish"));
}

#[test]
fn without_a_port_there_is_nothing_to_run() {
    assert!(matches!(bind(&[]), Err(Error::NoListener)));
}
