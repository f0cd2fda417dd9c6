//! Waiting for many descriptors at once, and what streams need beside the standard library.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::{Domain, SockAddr, SockRef, Socket, TcpKeepalive, Type};

use crate::clock;

/// What a descriptor is waited for, and what it is ready for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ready {
    /// There is something to read, or the end, or an error that reading will tell.
    pub readable: bool,
    /// Writing would not wait.
    pub writable: bool,
}

impl Ready {
    /// To read.
    pub const READ: Self = Self { readable: true, writable: false };
    /// To read and to write.
    pub const BOTH: Self = Self { readable: true, writable: true };
    /// To write.
    pub const WRITE: Self = Self { readable: false, writable: true };

    /// Whether it is ready for anything.
    pub const fn any(self) -> bool {
        self.readable || self.writable
    }
}

/// Waits until one of `fds` is ready for what it is waited for, or `timeout` has passed; `None`
/// waits for ever. The answers are in the order of the descriptors; a signal ends the wait with
/// none of them ready.
///
/// # Errors
/// If the kernel refuses, for instance more descriptors than the process may have.
pub fn wait(fds: &[(BorrowedFd<'_>, Ready)], timeout: Option<Duration>) -> io::Result<Vec<Ready>> {
    let flags = |wanted: Ready| {
        let read = if wanted.readable { PollFlags::POLLIN } else { PollFlags::empty() };
        let write = if wanted.writable { PollFlags::POLLOUT } else { PollFlags::empty() };
        read | write
    };
    let mut entries: Vec<_> = fds.iter().map(|&(fd, w)| PollFd::new(fd, flags(w))).collect();
    // Rounded up, so that waiting for a moment that is near does not spin.
    let timeout = timeout.map_or(PollTimeout::NONE, |t| {
        let ms = t.as_nanos().div_ceil(1_000_000).min(i32::MAX as u128);
        PollTimeout::try_from(ms).unwrap_or(PollTimeout::MAX)
    });
    match poll(&mut entries, timeout) {
        Ok(_) => {}
        Err(Errno::EINTR) => return Ok(vec![Ready::default(); fds.len()]),
        Err(e) => return Err(e.into()),
    }
    let trouble = PollFlags::POLLERR | PollFlags::POLLHUP | PollFlags::POLLNVAL;
    let answer = |entry: &PollFd<'_>| {
        let found = entry.revents().unwrap_or(PollFlags::empty());
        Ready {
            readable: found.intersects(PollFlags::POLLIN | trouble),
            writable: found.intersects(PollFlags::POLLOUT | PollFlags::POLLERR),
        }
    };
    Ok(entries.iter().map(answer).collect())
}

/// Has the kernel ask the peer whether it is still there after `idle` without traffic, and end the
/// connection if it stays silent for as long again.
///
/// # Errors
/// If the kernel refuses.
pub fn keep_alive(stream: &TcpStream, idle: Duration) -> io::Result<()> {
    const PROBES: u32 = 4;
    let every = (idle / PROBES).max(Duration::from_secs(1));
    let probing = TcpKeepalive::new().with_time(idle).with_interval(every).with_retries(PROBES);
    SockRef::from(stream).set_tcp_keepalive(&probing)
}

/// Connects to a local socket, without waiting for a listener that is busy.
///
/// # Errors
/// If there is none, or it has as many connections waiting as it lets wait
/// ([`io::ErrorKind::WouldBlock`]).
pub fn connect_local(path: &Path) -> io::Result<UnixStream> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.connect(&SockAddr::unix(path)?)?;
    socket.set_nonblocking(false)?;
    Ok(OwnedFd::from(socket).into())
}

/// Listens on a new local socket with these permissions. Whoever may write to it may connect, and
/// nobody else at any moment.
///
/// # Errors
/// If there is something in its place ([`io::ErrorKind::AddrInUse`]), or the system refuses.
pub fn listen_local(path: &Path, mode: u32) -> io::Result<UnixListener> {
    const WAITING: i32 = 16;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    // Nobody can connect before it listens.
    let listening = std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
        .and_then(|()| socket.listen(WAITING));
    if let Err(e) = listening {
        let _ = std::fs::remove_file(path);
        return Err(e);
    }
    Ok(OwnedFd::from(socket).into())
}

/// A stream on which all reading and writing together has a deadline: one that applied to each
/// system call alone would let a peer hold on for ever, octet by octet.
#[derive(Debug)]
pub struct Timed<'a, S> {
    stream: &'a S,
    until: Instant,
}

impl<'a, S> Timed<'a, S> {
    /// From now on for as long as `limit`.
    pub fn new(stream: &'a S, limit: Duration) -> Self {
        Self { stream, until: clock::monotonic() + limit }
    }

    fn left(&self) -> io::Result<Option<Duration>> {
        match self.until.saturating_duration_since(clock::monotonic()) {
            Duration::ZERO => Err(io::ErrorKind::TimedOut.into()),
            left => Ok(Some(left)),
        }
    }
}

/// Streams whose system calls can have a time-out.
pub trait Timeouts {
    /// For reading.
    ///
    /// # Errors
    /// The system's.
    fn set_read(&self, limit: Option<Duration>) -> io::Result<()>;
    /// For writing.
    ///
    /// # Errors
    /// The system's.
    fn set_write(&self, limit: Option<Duration>) -> io::Result<()>;
}

impl Timeouts for TcpStream {
    fn set_read(&self, limit: Option<Duration>) -> io::Result<()> {
        self.set_read_timeout(limit)
    }

    fn set_write(&self, limit: Option<Duration>) -> io::Result<()> {
        self.set_write_timeout(limit)
    }
}

impl Timeouts for UnixStream {
    fn set_read(&self, limit: Option<Duration>) -> io::Result<()> {
        self.set_read_timeout(limit)
    }

    fn set_write(&self, limit: Option<Duration>) -> io::Result<()> {
        self.set_write_timeout(limit)
    }
}

impl<'a, S: Timeouts> Read for Timed<'a, S>
where
    &'a S: Read,
{
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read(self.left()?)?;
        let mut stream = self.stream;
        stream.read(into)
    }
}

impl<'a, S: Timeouts> Write for Timed<'a, S>
where
    &'a S: Write,
{
    fn write(&mut self, from: &[u8]) -> io::Result<usize> {
        self.stream.set_write(self.left()?)?;
        let mut stream = self.stream;
        stream.write(from)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::os::fd::AsFd as _;
    use std::os::unix::net::UnixListener;

    #[test]
    fn each_descriptor_is_answered_for() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (far, _) = listener.accept().unwrap();
        let look = |timeout| {
            let fds = [(listener.as_fd(), Ready::READ), (far.as_fd(), Ready::BOTH)];
            wait(&fds, timeout).unwrap()
        };
        assert_eq!(look(Some(Duration::ZERO)), [Ready::default(), Ready::WRITE]);
        near.write_all(b"x").unwrap();
        let only_read = [(far.as_fd(), Ready::READ)];
        assert_eq!(wait(&only_read, None).unwrap(), [Ready::READ]);
        assert_eq!(look(None), [Ready::default(), Ready::BOTH]);
        let other = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        assert_eq!(look(None)[1], Ready::BOTH);
        assert_eq!(wait(&[(listener.as_fd(), Ready::READ)], None).unwrap(), [Ready::READ]);
        drop((near, other));
        assert!(wait(&[], Some(Duration::from_micros(1))).unwrap().is_empty());
    }

    #[test]
    fn the_end_of_a_stream_is_something_to_read() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (far, _) = listener.accept().unwrap();
        keep_alive(&far, Duration::from_secs(60)).unwrap();
        assert!(SockRef::from(&far).keepalive().unwrap());
        drop(near);
        assert_eq!(wait(&[(far.as_fd(), Ready::READ)], None).unwrap(), [Ready::READ]);
    }

    #[test]
    fn a_busy_local_listener_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        assert_eq!(connect_local(&path).unwrap_err().kind(), io::ErrorKind::NotFound);
        let listener = UnixListener::bind(&path).unwrap();
        let mut waiting = Vec::new();
        let refused = loop {
            match connect_local(&path) {
                Ok(stream) => waiting.push(stream),
                Err(e) => break e,
            }
            assert!(waiting.len() < 10_000, "the queue has no end");
        };
        assert_eq!(refused.kind(), io::ErrorKind::WouldBlock);
        waiting[0].write_all(b"x").unwrap();
        let mut octet = [0];
        Read::read_exact(&mut listener.accept().unwrap().0, &mut octet).unwrap();
        connect_local(&path).unwrap();
    }

    #[test]
    fn a_local_socket_has_its_permissions_and_takes_no_place() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let listener = listen_local(&path, 0o620).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o620);
        let taken = listen_local(&path, 0o600).unwrap_err();
        assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
        connect_local(&path).unwrap().write_all(b"x").unwrap();
        listener.accept().unwrap().0.read_exact(&mut [0]).unwrap();
    }

    #[test]
    fn a_deadline_is_for_all_calls_together() {
        let (near, far) = UnixStream::pair().unwrap();
        let mut timed = Timed::new(&near, Duration::from_millis(100));
        (&far).write_all(b"x").unwrap();
        timed.read_exact(&mut [0]).unwrap();
        let start = clock::monotonic();
        let mut octets = 0;
        // An octet now and then does not put it off, and room to write does neither.
        let end = loop {
            assert!(start.elapsed() < Duration::from_secs(600), "no end");
            (&far).write_all(b"x").unwrap();
            match timed.read(&mut [0]).and_then(|_| timed.write(b"y")) {
                Ok(_) => octets += 1,
                Err(e) => break e,
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        assert_eq!(end.kind(), io::ErrorKind::TimedOut, "{octets}");
    }
}
