//! What a sender of streams needs beside the standard library: connecting with options and within a
//! time, and how much the other side has not got yet.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::time::Duration;

use socket2::Type;

use crate::{Error, Leave};

/// Connects to `to` within `timeout`. What is written goes out without waiting for more
/// (TCP_NODELAY), and the connection ends if the other side leaves it unacknowledged for `patience`
/// (TCP_USER_TIMEOUT, RFC 5482).
///
/// # Errors
/// If nobody listens, nobody answers in time, or an option of `leave` is refused.
pub fn connect(
    to: SocketAddr,
    leave: &Leave,
    timeout: Duration,
    patience: Duration,
) -> Result<TcpStream, Error> {
    let (socket, to) = leave.open(to, Type::STREAM)?;
    let failed = |source| Error::ConnectTcp { addr: to, source };
    socket.connect_timeout(&to.into(), timeout).map_err(failed)?;
    socket.set_tcp_nodelay(true).map_err(failed)?;
    socket.set_tcp_user_timeout(Some(patience)).map_err(failed)?;
    Ok(socket.into())
}

/// Octets written to a stream that the other side has not acknowledged (SIOCOUTQ, tcp(7)). After the
/// connection has failed it still tells how many were not when it did.
///
/// # Errors
/// If the system does not say.
pub fn unacknowledged(stream: &TcpStream) -> io::Result<u64> {
    let mut octets: libc::c_int = 0;
    // SAFETY: the socket is open, and the pointer is valid for a write of the number that this
    // request fills in.
    let result = unsafe { libc::ioctl(stream.as_raw_fd(), libc::TIOCOUTQ, &raw mut octets) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(u64::try_from(octets).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn what_the_other_side_has_not_got_is_known_even_after_the_end() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = listener.local_addr().unwrap();
        let leave = Leave { from: Some("127.0.0.2".parse().unwrap()), ..Leave::default() };
        let mut near = connect(to, &leave, LONG, LONG).unwrap();
        let (mut far, peer) = listener.accept().unwrap();
        assert_eq!(peer.ip(), "127.0.0.2".parse::<std::net::IpAddr>().unwrap());
        near.write_all(&[7; 1000]).unwrap();
        far.read_exact(&mut [0; 1000]).unwrap();
        while unacknowledged(&near).unwrap() > 0 {
            std::thread::yield_now();
        }
        // More than both ends can hold: what does not fit stays here.
        near.set_nonblocking(true).unwrap();
        let mut written = 0;
        while let Ok(n) = near.write(&[7; 1 << 16]) {
            written += n as u64;
        }
        let waiting = unacknowledged(&near).unwrap();
        assert!(waiting > 0 && waiting < written);
        drop(far); // with octets unread: a reset
        let e = loop {
            match near.read(&mut [0; 16]) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => std::thread::yield_now(),
                other => break other.unwrap_err(),
            }
        };
        assert_eq!(e.kind(), io::ErrorKind::ConnectionReset);
        let left = unacknowledged(&near).unwrap();
        assert!(left > 0 && left <= waiting, "{left} of {waiting}");
    }

    #[test]
    fn nobody_there_is_told_with_the_address() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let to = listener.local_addr().unwrap();
        drop(listener);
        let e = connect(to, &Leave::default(), LONG, LONG).unwrap_err().to_string();
        assert!(e.contains(&format!("cannot connect to TCP {to}")), "{e}");
    }
}
