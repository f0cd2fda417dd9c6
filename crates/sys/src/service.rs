//! What systemd and a daemon tell each other: sockets handed over, readiness, state, watchdog.
//!
//! [`Inherited`] takes the sockets that the service manager passes at start (sd_listen_fds(3)),
//! those of a socket unit as well as those that the process before this one left in the manager's
//! store. [`Notify`] is the way back (sd_notify(3)). Both read their variables of the environment
//! once and remove them, so that no child takes itself for the service; this is why it is done
//! here rather than by a library that reads them at each call.
//!
//! The protocol is the service manager's, but nothing here needs systemd: whoever sets the
//! variables can play its part.

use std::env;
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{ControlMessage, MsgFlags, UnixAddr, sendmsg};
use socket2::{Domain, SockRef, Type};

use crate::Error;
use crate::process::threads;
use crate::udp::Listen;

/// First descriptor that is passed: the one after standard error.
const FIRST: RawFd = 3;

/// Descriptors taken at most: what the number of one more would be is not to be believed.
const MOST: i32 = 4096;

/// Names of variables that are for this process alone.
const VARIABLES: [&str; 7] = [
    "LISTEN_PID",
    "LISTEN_PIDFDID",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
];

/// Takes what the service manager left for this process: sockets, and a way to talk to it. To be
/// called first, while there is one thread, and once: what is taken is gone for a second call.
///
/// # Errors
/// If threads run already, or what was passed does not make sense.
pub fn take() -> Result<(Inherited, Notify), Error> {
    let threads = threads();
    if threads > 1 {
        return Err(Error::ServiceThreads { threads });
    }
    let [pid, _, fds, names, notify, watchdog_pid, watchdog] =
        VARIABLES.map(env::var_os).map(|v| v.map(|v| v.to_string_lossy().into_owned()));
    for name in VARIABLES {
        // SAFETY: this is the only thread (checked above), so nobody reads the environment.
        unsafe { env::remove_var(name) };
    }
    let me = std::process::id().to_string();
    let inherited = match (pid, fds) {
        // Variables of a parent that did not remove them, like the descriptors: not ours.
        (Some(pid), Some(fds)) if pid == me => {
            // SAFETY: the variables that told of them are gone, so nobody else takes them, and
            // nothing has run before that could have opened descriptors of its own in between.
            unsafe { Inherited::from_variables(&fds, names.as_deref().unwrap_or_default()) }?
        }
        _ => Inherited::default(),
    };
    let watchdog = watchdog.filter(|_| watchdog_pid.is_none_or(|pid| pid == me));
    Ok((inherited, Notify::new(notify.as_deref(), watchdog.as_deref())?))
}

/// A descriptor that came with its name.
#[derive(Debug)]
pub struct Passed {
    /// `FileDescriptorName=` of the socket unit, or what [`Notify::store`] called it.
    pub name: String,
    /// The descriptor.
    pub handle: Handle,
}

/// A UDP socket that was passed.
#[derive(Debug)]
pub struct PassedUdp {
    /// The name it came with first: the manager passes what is in its store last.
    pub name: String,
    /// Names of further descriptors of the same socket, which are closed.
    pub other_names: Vec<String>,
    /// The socket.
    pub socket: UdpSocket,
    cookie: Option<u64>,
}

/// What a passed descriptor is.
#[derive(Debug)]
pub enum Handle {
    /// A bound UDP socket.
    Udp(UdpSocket),
    /// A listening TCP socket.
    Tcp(TcpListener),
    /// Anything else: files and memory from the store.
    Other(OwnedFd),
}

/// Descriptors that the service manager passed.
#[derive(Debug, Default)]
pub struct Inherited {
    passed: Vec<Passed>,
}

impl Inherited {
    /// # Safety
    /// The descriptors from 3 on, as many as `count` says, belong to nobody in this process.
    unsafe fn from_variables(count: &str, names: &str) -> Result<Self, Error> {
        let wrong = || Error::ListenFds { value: count.to_owned() };
        let count: i32 = count.parse().map_err(|_| wrong())?;
        if !(0..=MOST).contains(&count) {
            return Err(wrong());
        }
        let mut names = names.split(':');
        let passed =
            (FIRST..FIRST + count).map(|fd| {
                let name = names.next().unwrap_or("unknown").to_owned();
                // SAFETY: `fcntl` takes any number; what is no descriptor is an error. It is not
                // closed here, since it is borrowed.
                let borrowed = unsafe { BorrowedFd::borrow_raw(fd) };
                fcntl(borrowed, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))
                    .map_err(|e| Error::Passed { fd, name: name.clone(), source: e.into() })?;
                // SAFETY: it is open (`fcntl` took it) and, as the caller promises, nobody's.
                let owned = unsafe { OwnedFd::from_raw_fd(fd) };
                let handle = Handle::try_from(owned).map_err(|source| Error::Passed {
                    fd,
                    name: name.clone(),
                    source,
                })?;
                Ok(Passed { name, handle })
            });
        Ok(Self { passed: passed.collect::<Result<_, _>>()? })
    }

    /// Takes the UDP sockets that do already what `listen` asks for, bound to its port and address,
    /// as far as `is_wanted` likes their names. One that came twice, from a socket unit and from
    /// the store, is taken once, under the name it came with first.
    pub fn take_udp(
        &mut self,
        listen: &Listen,
        is_wanted: impl Fn(&str) -> bool,
    ) -> Vec<PassedUdp> {
        let serves = |passed: &mut Passed| {
            is_wanted(&passed.name)
                && matches!(&passed.handle, Handle::Udp(socket)
                    if socket.local_addr().is_ok_and(|local| listen.is_served_by(local)))
        };
        let taken: Vec<_> = self.passed.extract_if(.., serves).collect();
        let mut unique: Vec<PassedUdp> = Vec::with_capacity(taken.len());
        for Passed { name, handle } in taken {
            let Handle::Udp(socket) = handle else { continue };
            let cookie = SockRef::from(&socket).cookie().ok();
            match unique.iter_mut().find(|first| cookie.is_some() && first.cookie == cookie) {
                Some(first) => first.other_names.push(name),
                None => unique.push(PassedUdp { name, other_names: Vec::new(), socket, cookie }),
            }
        }
        unique
    }

    /// Closes what came under names that `is_unwanted` picks. Returns these names, each once.
    pub fn discard(&mut self, is_unwanted: impl Fn(&str) -> bool) -> Vec<String> {
        let unwanted = self.passed.extract_if(.., |passed| is_unwanted(&passed.name));
        let mut names: Vec<_> = unwanted.map(|passed| passed.name).collect();
        names.sort();
        names.dedup();
        names
    }

    /// Takes the first listening TCP socket whose local address is as `serves` wants it.
    pub fn take_tcp(&mut self, mut serves: impl FnMut(SocketAddr) -> bool) -> Option<TcpListener> {
        let at = self.passed.iter().position(|passed| {
            matches!(&passed.handle, Handle::Tcp(listener)
                if listener.local_addr().is_ok_and(&mut serves))
        })?;
        match self.passed.remove(at).handle {
            Handle::Tcp(listener) => Some(listener),
            _ => None,
        }
    }

    /// What nobody has taken. A UDP socket among it goes on to fill up for as long as it is open,
    /// here or in the manager's store: somebody should say so.
    pub fn rest(&self) -> &[Passed] {
        &self.passed
    }

    /// What nobody has taken, to be taken.
    pub fn into_rest(self) -> Vec<Passed> {
        self.passed
    }
}

impl TryFrom<OwnedFd> for Handle {
    type Error = io::Error;

    /// Finds out what it is. A socket of the internet that is neither UDP nor a TCP listener is an
    /// error, since somebody configured it wrongly.
    fn try_from(fd: OwnedFd) -> io::Result<Self> {
        let socket = SockRef::from(&fd);
        let Ok(kind) = socket.r#type() else { return Ok(Self::Other(fd)) };
        if !matches!(socket.domain()?, Domain::IPV4 | Domain::IPV6) {
            return Ok(Self::Other(fd));
        }
        let wrong = |what| Err(io::Error::new(io::ErrorKind::InvalidInput, what));
        match kind {
            Type::DGRAM => {
                let local = socket.local_addr()?.as_socket();
                if local.is_none_or(|local| local.port() == 0) {
                    return wrong("a UDP socket without a port");
                }
                Ok(Self::Udp(fd.into()))
            }
            Type::STREAM if socket.is_listener()? => Ok(Self::Tcp(fd.into())),
            Type::STREAM => wrong("a TCP socket that does not listen: use Accept=no"),
            _ => wrong("neither a UDP socket nor a TCP listener"),
        }
    }
}

/// The way to the service manager. Without one everything here does nothing and succeeds, so a
/// daemon need not ask whether it is supervised.
///
/// Calls may come from any thread. None waits for the manager except [`barrier`](Self::barrier).
#[derive(Debug, Default)]
pub struct Notify {
    way: Option<(UnixDatagram, UnixAddr)>,
    watchdog: Option<Duration>,
}

impl Notify {
    fn new(address: Option<&str>, watchdog: Option<&str>) -> Result<Self, Error> {
        let watchdog = watchdog.and_then(|usec| usec.parse().ok()).filter(|usec| *usec > 0);
        let watchdog = watchdog.map(Duration::from_micros);
        let Some(address) = address.filter(|address| !address.is_empty()) else {
            return Ok(Self { way: None, watchdog });
        };
        let failed = |source| Error::Notify { address: address.to_owned(), source };
        let target = match address.strip_prefix('@') {
            Some(name) => UnixAddr::new_abstract(name.as_bytes()),
            None if address.starts_with('/') => UnixAddr::new(address),
            None => Err(Errno::EAFNOSUPPORT),
        };
        // Not connected: a manager that is away for a moment costs a message, not the way.
        let socket = UnixDatagram::unbound().map_err(failed)?;
        Ok(Self { way: Some((socket, target.map_err(|e| failed(e.into()))?)), watchdog })
    }

    /// Whether anybody listens.
    pub fn is_supervised(&self) -> bool {
        self.way.is_some()
    }

    /// How long the manager waits for [`alive`](Self::alive) before it ends the service; half of
    /// it is a good interval. `None` if it does not watch.
    pub fn watchdog(&self) -> Option<Duration> {
        self.watchdog
    }

    /// The service has started, or has read its configuration again.
    ///
    /// # Errors
    /// The kernel's, as with all that follow.
    pub fn ready(&self) -> io::Result<()> {
        self.send("READY=1", &[])
    }

    /// One line about what the service is doing, for `systemctl status`.
    ///
    /// # Errors
    /// The kernel's.
    pub fn status(&self, line: &str) -> io::Result<()> {
        // A line end would begin another assignment.
        self.send(&format!("STATUS={}", line.replace(['\n', '\r'], " ")), &[])
    }

    /// The service is about to end.
    ///
    /// # Errors
    /// The kernel's.
    pub fn stopping(&self) -> io::Result<()> {
        self.send("STOPPING=1", &[])
    }

    /// The service reads its configuration again, until it is [`ready`](Self::ready).
    ///
    /// # Errors
    /// The kernel's.
    pub fn reloading(&self) -> io::Result<()> {
        let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC)?;
        let usec = now.tv_sec() * 1_000_000 + now.tv_nsec() / 1000;
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={usec}"), &[])
    }

    /// The service works: what the watchdog waits for.
    ///
    /// # Errors
    /// The kernel's.
    pub fn alive(&self) -> io::Result<()> {
        self.send("WATCHDOG=1", &[])
    }

    /// The service needs `time` more to start or to stop.
    ///
    /// # Errors
    /// The kernel's.
    pub fn extend_timeout(&self, time: Duration) -> io::Result<()> {
        self.send(&format!("EXTEND_TIMEOUT_USEC={}", time.as_micros()), &[])
    }

    /// Leaves descriptors with the manager, which passes them to the next start of the service
    /// under `name`, whatever ends this process (`FileDescriptorStoreMax=` of the unit says how
    /// many). One that is there already is not stored again.
    ///
    /// # Errors
    /// If the name cannot be used: 1 to 255 printable ASCII characters without `:`. Otherwise the
    /// kernel's.
    pub fn store(&self, name: &str, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        check_name(name)?;
        // The kernel passes 253 at most with one message.
        for fds in fds.chunks(200) {
            // A socket that is polled by the manager would be forgotten at its first error, as an
            // ICMP message can cause.
            self.send(&format!("FDSTORE=1\nFDNAME={name}\nFDPOLL=0"), fds)?;
        }
        Ok(())
    }

    /// Takes what is stored under `name` out of the manager's store.
    ///
    /// # Errors
    /// As [`store`](Self::store).
    pub fn forget(&self, name: &str) -> io::Result<()> {
        check_name(name)?;
        self.send(&format!("FDSTOREREMOVE=1\nFDNAME={name}"), &[])
    }

    /// Waits until the manager has handled all that was sent before, but no longer than `timeout`.
    /// Whoever stores descriptors and ends should call it in between: what has not been handled
    /// when a process ends may be thrown away.
    ///
    /// # Errors
    /// `TimedOut`, and the kernel's.
    pub fn barrier(&self, timeout: Duration) -> io::Result<()> {
        if self.way.is_none() {
            return Ok(());
        }
        let (held, passed) = io::pipe()?;
        self.send("BARRIER=1", &[passed.as_fd()])?;
        drop(passed);
        let timeout = PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX);
        // The manager closes its end when it gets there.
        match poll(&mut [PollFd::new(held.as_fd(), PollFlags::POLLHUP)], timeout)? {
            0 => Err(io::ErrorKind::TimedOut.into()),
            _ => Ok(()),
        }
    }

    fn send(&self, text: &str, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        let Some((socket, manager)) = &self.way else { return Ok(()) };
        let raw: Vec<RawFd> = fds.iter().map(AsRawFd::as_raw_fd).collect();
        let rights = [ControlMessage::ScmRights(&raw)];
        let control = if raw.is_empty() { &[][..] } else { &rights };
        let parts = [io::IoSlice::new(text.as_bytes())];
        sendmsg(socket.as_raw_fd(), &parts, control, MsgFlags::MSG_NOSIGNAL, Some(manager))?;
        Ok(())
    }
}

fn check_name(name: &str) -> io::Result<()> {
    let is_good = (1..=255).contains(&name.len())
        && name.bytes().all(|b| (b' '..=b'~').contains(&b) && b != b':');
    let what = "a name in the store is 1 to 255 printable characters without a colon";
    if is_good { Ok(()) } else { Err(io::Error::new(io::ErrorKind::InvalidInput, what)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpStream;

    fn said(manager: &UnixDatagram) -> String {
        let mut text = [0; 512];
        let len = manager.recv(&mut text).unwrap();
        String::from_utf8_lossy(&text[..len]).into_owned()
    }

    #[test]
    fn messages_are_the_protocols() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let notify = Notify::new(path.to_str(), Some("3000000")).unwrap();
        assert!(notify.is_supervised());
        assert_eq!(notify.watchdog(), Some(Duration::from_secs(3)));
        let fd = manager.as_fd();
        for (result, want) in [
            (notify.ready(), "READY=1"),
            (notify.status("2 flows\nREADY=1"), "STATUS=2 flows READY=1"),
            (notify.stopping(), "STOPPING=1"),
            (notify.alive(), "WATCHDOG=1"),
            (notify.extend_timeout(Duration::from_secs(2)), "EXTEND_TIMEOUT_USEC=2000000"),
            (notify.store("udp", &[fd]), "FDSTORE=1\nFDNAME=udp\nFDPOLL=0"),
            (notify.forget("udp"), "FDSTOREREMOVE=1\nFDNAME=udp"),
        ] {
            result.unwrap();
            assert_eq!(said(&manager), want);
        }
        notify.reloading().unwrap();
        let text = said(&manager);
        let usec = text.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").expect("both lines");
        assert!(usec.parse::<u64>().is_ok_and(|usec| usec > 0), "{text}");
        for name in ["", "a:b", "a\nb", &"x".repeat(256)] {
            assert_eq!(notify.store(name, &[fd]).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        }
        drop(manager);
        std::fs::remove_file(&path).unwrap();
        assert!(notify.alive().is_err(), "said, not ignored");
    }

    #[test]
    fn abstract_addresses_and_those_of_other_kinds() {
        use std::os::linux::net::SocketAddrExt;
        let name = format!("flowsuite-test-{}", std::process::id());
        let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
        let manager = UnixDatagram::bind_addr(&address).unwrap();
        Notify::new(Some(&format!("@{name}")), None).unwrap().ready().unwrap();
        assert_eq!(said(&manager), "READY=1");
        let e = Notify::new(Some("vsock:2:1234"), None).unwrap_err();
        assert!(e.to_string().contains("vsock:2:1234"), "{e}");
    }

    #[test]
    fn without_a_manager_everything_succeeds() {
        for address in [None, Some("")] {
            let notify = Notify::new(address, Some("no number")).unwrap();
            assert!(!notify.is_supervised());
            assert_eq!(notify.watchdog(), None);
            notify.ready().unwrap();
            notify.barrier(Duration::ZERO).unwrap();
        }
    }

    #[test]
    fn a_barrier_ends_with_the_managers_end_and_not_before() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let notify = Notify::new(path.to_str(), None).unwrap();
        let late = notify.barrier(Duration::ZERO).unwrap_err();
        assert_eq!(late.kind(), io::ErrorKind::TimedOut);
        std::thread::scope(|scope| {
            // Reading without room for the descriptor closes it, as the manager does.
            scope.spawn(|| [said(&manager), said(&manager)]);
            notify.barrier(Duration::from_secs(60)).unwrap();
        });
    }

    #[test]
    fn kinds_of_descriptors_are_told_apart() {
        let lo = (std::net::Ipv4Addr::LOCALHOST, 0);
        let listener = TcpListener::bind(lo).unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let unbound = socket2::Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
        let kind = |fd: OwnedFd| Handle::try_from(fd);
        assert!(matches!(kind(UdpSocket::bind(lo).unwrap().into()), Ok(Handle::Udp(_))));
        assert!(matches!(kind(listener.into()), Ok(Handle::Tcp(_))));
        assert!(matches!(kind(tempfile::tempfile().unwrap().into()), Ok(Handle::Other(_))));
        let unix = UnixDatagram::unbound().unwrap();
        assert!(matches!(kind(unix.into()), Ok(Handle::Other(_))));
        assert!(kind(stream.into()).is_err());
        assert!(kind(unbound.into()).is_err());
    }

    #[test]
    fn a_second_thread_is_refused() {
        // The test harness runs tests in threads, so there are at least two here.
        assert!(matches!(take(), Err(Error::ServiceThreads { threads: 2.. })));
    }
}
