//! Sockets handed over by a service manager, without the test harness, whose threads forbid it.
//!
//! The test plays the manager: it binds sockets, starts itself as a service that inherits them,
//! keeps what the service stores, and starts the next one with that.

#![expect(unsafe_code, reason = "descriptors are put in their places between fork and exec")]

use std::io::{IoSliceMut, Write};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use sys::service::{self, Handle};
use sys::udp::{DropMark, Listen, Receiver};

/// Datagrams of each round; the buffer holds some of them.
const BURST: u64 = 200;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.first().map(String::as_str) {
        Some("serve") => serve(&args),
        Some("refuse") => refuse(&args),
        _ => parent(),
    }
}

/// The service: receives a burst, leaves its socket with the manager, and says what it counted.
/// Takes the port, and the mark of the service before it.
fn serve(args: &[String]) {
    let (mut inherited, notify) = service::take().expect("sockets and a manager");
    for name in ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "NOTIFY_SOCKET", "WATCHDOG_USEC"] {
        assert_eq!(std::env::var_os(name), None, "{name} is for nobody else");
    }
    let (again, silent) = service::take().expect("nothing");
    assert!(again.rest().is_empty() && !silent.is_supervised());
    assert_eq!(notify.watchdog(), Some(Duration::from_secs(5)));

    let number = |n: usize| args.get(n).map(|text| text.parse::<u64>().expect("a number"));
    let port = number(1).expect("the port") as u16;
    let listen = Listen { port, ..Listen::default() };
    let others = Listen { port: port ^ 1, ..Listen::default() };
    assert!(inherited.take_udp(&others, |_| true).is_empty());
    assert!(inherited.take_udp(&listen, |name| name == "nobody").is_empty());
    let names: Vec<String> = inherited.rest().iter().map(|p| p.name.clone()).collect();
    assert_eq!(inherited.discard(|name| name == "old").len(), usize::from(names.len() > 2));
    let passed = inherited.take_udp(&listen, |_| true);
    assert_eq!(passed.len(), 1, "of {names:?}");
    assert_eq!(passed[0].name, "flows");
    let twice: &[&str] = if names.len() > 2 { &["left"] } else { &[] };
    assert_eq!(passed[0].other_names, twice, "the same socket under another name");
    let sockets: Vec<UdpSocket> = passed.into_iter().map(|p| p.socket).collect();
    let flags = nix::fcntl::fcntl(&sockets[0], nix::fcntl::FcntlArg::F_GETFD).expect("flags");
    assert_eq!(flags & 1, 1, "no child inherits it");

    let mark = number(2).zip(number(3));
    let marks: Vec<DropMark> = mark
        .map(|(cookie, counted)| DropMark { cookie, counted: counted as u32 })
        .into_iter()
        .collect();
    let (mut receivers, refused) =
        Receiver::adopt(&listen, sockets, 1, &marks).expect("it can be adopted");
    assert!(refused.is_none(), "{refused:?}");
    let receiver = &mut receivers[0];
    notify.ready().expect("the manager hears");
    notify.status("receiving").expect("the manager hears");

    let (mut got, mut timed) = (0, 0);
    for _ in 0..1000 {
        let each = |d: sys::udp::Datagram<'_>| timed += u64::from(d.arrived_ns.is_some());
        got += receiver.recv(None, Some(Duration::from_millis(10)), each).expect("it works").count
            as u64;
        if got + receiver.dropped() >= BURST {
            break;
        }
    }
    let stats = (got, receiver.dropped());
    notify.store("flows", &[receiver.as_fd()]).expect("the manager takes it");
    notify.stopping().expect("the manager hears");
    notify.barrier(Duration::from_secs(60)).expect("the manager is there");
    let mark = receiver.mark().expect("cookies are there");
    let tcp = inherited.take_tcp(|local| local.ip().is_loopback()).is_some();
    let others = inherited.into_rest();
    assert!(others.iter().all(|other| matches!(other.handle, Handle::Other(_))));
    let (got, dropped) = stats;
    println!(
        "{got} {dropped} {timed} {} {} {} {tcp} {}",
        mark.cookie,
        mark.counted,
        names.join(":"),
        others.len()
    );
}

/// The service, given what it must not take.
fn refuse(args: &[String]) {
    match (service::take(), args.get(1)) {
        (Err(e), Some(want)) => assert!(e.to_string().contains(want), "{e}"),
        (Ok((inherited, _)), None) => assert!(inherited.rest().is_empty()),
        (taken, want) => panic!("{taken:?}, not {want:?}"),
    }
}

/// A service that inherits `fds` from 3 on, with these variables and arguments.
fn service(fds: &[RawFd], variables: &[(&str, &str)], args: &[&str]) -> Command {
    let me = std::env::current_exe().expect("we run");
    // Its process number is known only to itself.
    let mut command = Command::new("sh");
    command.arg("-c").arg("LISTEN_PID=${LISTEN_PID-$$} exec \"$0\" \"$@\"").arg(me).args(args);
    command.env("WATCHDOG_USEC", "5000000").stdin(Stdio::null());
    command.envs(variables.iter().copied());
    let fds = fds.to_vec();
    // SAFETY: only `fcntl` and `dup2` are called, which are async-signal-safe, on descriptors that
    // the parent holds until the process has started.
    unsafe {
        command.pre_exec(move || {
            for (fd, at) in fds.iter().zip(100..) {
                // Out of the way first, since one's place may be another one's source.
                if libc::dup2(*fd, at) < 0 {
                    return Err(std::io::Error::last_os_error());
                }
            }
            for (at, from) in (3..).zip(100..).take(fds.len()) {
                if libc::dup2(from, at) < 0 {
                    return Err(std::io::Error::last_os_error());
                }
                libc::close(from);
            }
            Ok(())
        });
    }
    command
}

/// What the service said until it set its barrier, and the descriptors it stored.
fn listen_to(manager: &UnixDatagram) -> (Vec<String>, Vec<OwnedFd>) {
    let (mut said, mut stored) = (Vec::new(), Vec::new());
    loop {
        let mut text = [0; 512];
        let mut room = nix::cmsg_space!([RawFd; 4]);
        let mut parts = [IoSliceMut::new(&mut text)];
        let message =
            recvmsg::<()>(manager.as_raw_fd(), &mut parts, Some(&mut room), MsgFlags::empty())
                .expect("the service speaks");
        let mut fds = Vec::new();
        for control in message.cmsgs().expect("there is room") {
            if let ControlMessageOwned::ScmRights(raw) = control {
                // SAFETY: the kernel has just made these for us.
                fds.extend(raw.into_iter().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }));
            }
        }
        let len = message.bytes;
        let line = String::from_utf8_lossy(&text[..len]).into_owned();
        if line == "BARRIER=1" {
            return (said, stored); // which closes the descriptor that came with it
        }
        if line.starts_with("FDSTORE=1") {
            stored.append(&mut fds);
        }
        said.push(line);
    }
}

/// Runs the service for one burst that is sent before it starts. What it printed, and what it
/// stored.
fn round(
    dir: &Path,
    fds: &[RawFd],
    names: &str,
    args: &[&str],
    port: u16,
) -> (Vec<String>, Vec<OwnedFd>) {
    let path = dir.join("notify");
    let _ = std::fs::remove_file(&path);
    let manager = UnixDatagram::bind(&path).expect("a socket");
    manager.set_read_timeout(Some(Duration::from_secs(60))).expect("a limit");
    let sender = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a sender");
    for n in 0..BURST {
        sender.send_to(&[n as u8; 1000], (Ipv4Addr::LOCALHOST, port)).expect("it is sent");
    }
    let count = fds.len().to_string();
    let notify = path.to_str().expect("a path in ASCII");
    let variables =
        [("LISTEN_FDS", &count[..]), ("LISTEN_FDNAMES", names), ("NOTIFY_SOCKET", notify)];
    let port = port.to_string();
    let args: Vec<&str> = ["serve", &port].iter().chain(args).copied().collect();
    let child = service(fds, &variables, &args).stdout(Stdio::piped()).spawn().expect("a process");
    let (said, stored) = listen_to(&manager);
    assert_eq!(
        said,
        ["READY=1", "STATUS=receiving", "FDSTORE=1\nFDNAME=flows\nFDPOLL=0", "STOPPING=1"]
    );
    let out = child.wait_with_output().expect("it ends");
    assert!(out.status.success());
    let text = String::from_utf8(out.stdout).expect("numbers");
    (text.split_whitespace().map(str::to_owned).collect(), stored)
}

fn parent() {
    let dir = tempfile::tempdir().expect("a directory");
    let udp = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).expect("a socket");
    socket2::SockRef::from(&udp).set_recv_buffer_size(20_000).expect("a small buffer");
    let port = udp.local_addr().expect("bound").port();
    let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a listener");
    let mut file = tempfile::tempfile().expect("a file");
    file.write_all(b"kept").expect("room");

    // A socket unit: what was dropped before the service started is counted by the service.
    // Its socket is in the store, too, and so is one that nobody asks for any more.
    let old = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
    let udp_fd = udp.as_raw_fd();
    let fds = [tcp.as_raw_fd(), udp_fd, file.as_raw_fd(), udp_fd, old.as_raw_fd()];
    let (first, stored) = round(dir.path(), &fds, "web:flows:state:left:old", &[], port);
    let [got, dropped, timed, cookie, counted, names, rest @ ..] = &first[..] else {
        panic!("{first:?}")
    };
    let number = |text: &String| text.parse::<u64>().expect("a number");
    assert!(number(dropped) > 0, "the buffer is small: {first:?}");
    assert_eq!(number(got) + number(dropped), BURST);
    assert!(number(timed) <= number(got), "what came before the service has no time");
    assert_eq!((number(counted), names.as_str()), (number(dropped), "web:flows:state:left:old"));
    assert_eq!(rest, ["true", "1"], "a TCP listener, and a file");

    // The store: the next service goes on where this one ended.
    drop(udp);
    let [socket] = &stored[..] else { panic!("one descriptor: {stored:?}") };
    let marks = [cookie.as_str(), counted.as_str()];
    let (second, _) = round(dir.path(), &[socket.as_fd().as_raw_fd()], "flows", &marks, port);
    let [got, dropped, timed, same, all, ..] = &second[..] else { panic!("{second:?}") };
    assert_eq!(number(got) + number(dropped), BURST, "counted once: {second:?}");
    assert_eq!(timed, got, "the options of the first are the socket's");
    assert_eq!(same, cookie);
    assert_eq!(number(all), number(counted) + number(dropped));

    refusals(&socket.as_fd().as_raw_fd());
    println!("service: ok");
}

/// What a service must not take: another's descriptors, numbers that are none, wrong sockets.
fn refusals(udp: &RawFd) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a listener");
    let to = listener.local_addr().expect("bound");
    let stream = std::net::TcpStream::connect(to).expect("a connection");
    type Case<'a> = (&'a [RawFd], &'a [(&'a str, &'a str)], &'a [&'a str]);
    let cases: [Case<'_>; 6] = [
        (&[], &[], &["refuse"]),
        (&[*udp], &[("LISTEN_FDS", "1"), ("LISTEN_PID", "1")], &["refuse"]),
        (&[], &[("LISTEN_FDS", "many")], &["refuse", "LISTEN_FDS=many"]),
        (&[], &[("LISTEN_FDS", "-1")], &["refuse", "LISTEN_FDS=-1"]),
        (&[*udp], &[("LISTEN_FDS", "999")], &["refuse", "(`unknown`)"]),
        (&[stream.as_raw_fd()], &[("LISTEN_FDS", "1")], &["refuse", "does not listen"]),
    ];
    for (fds, variables, args) in cases {
        let status = service(fds, variables, args).status().expect("a process");
        assert!(status.success(), "{variables:?}");
    }
}
