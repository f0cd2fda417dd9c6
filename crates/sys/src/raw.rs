//! Sending datagrams in somebody else's name: with any source address and port.
//!
//! A repeater that keeps the sender's address writes its own IP and UDP headers to a raw socket
//! (raw(7), CAP_NET_RAW). Routers and hosts that check sources (reverse path filters, RFC 2827)
//! throw such datagrams away when they come from where the source cannot be.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::mem::MaybeUninit;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsRawFd;

use socket2::{Domain, Protocol, Socket, Type};

use crate::Error;

const IPV4_HEADER: usize = 20;
const IPV6_HEADER: usize = 40;
const FRAGMENT_HEADER: usize = 8;
const UDP_HEADER: usize = 8;

const UDP: u8 = 17;
const FRAGMENT: u8 = 44;

/// Octets of the longest IP packet, and of the payload of the longest IPv6 one.
const LONGEST: usize = 65_535;

/// A raw socket that sends UDP datagrams to one destination from any source.
///
/// A datagram that is longer than the MTU on the way goes out in fragments, as an ordinary socket
/// would send it; the kernel does not do that for raw sockets. IPv4 packets allow routers to
/// fragment them further. The hop limit is 64, and 1 to a multicast group, like that of ordinary
/// sockets.
#[derive(Debug)]
pub struct Spoofer {
    socket: Socket,
    to: SocketAddr,
    mtu: usize,
    /// Number of the next datagram, which its fragments have in common.
    id: u32,
    datagram: Vec<u8>,
    packet: Vec<u8>,
}

impl Spoofer {
    /// Opens a raw socket to `to`.
    ///
    /// # Errors
    /// Without CAP_NET_RAW, or if there is no way to `to`.
    pub fn connect(to: SocketAddr) -> Result<Self, Error> {
        let mut spoofer = Self::open(to.is_ipv6())?;
        spoofer.redirect(to)?;
        Ok(spoofer)
    }

    /// Opens a raw socket that has no destination yet: for programs that give up their privileges
    /// before they know it.
    ///
    /// # Errors
    /// Without CAP_NET_RAW, or on a host that lacks the family.
    pub fn open(is_ipv6: bool) -> Result<Self, Error> {
        let (domain, any): (_, IpAddr) = match is_ipv6 {
            true => (Domain::IPV6, Ipv6Addr::UNSPECIFIED.into()),
            false => (Domain::IPV4, Ipv4Addr::UNSPECIFIED.into()),
        };
        let to = SocketAddr::new(any, 0);
        // With this protocol the headers are ours, for either family.
        let raw = Protocol::from(libc::IPPROTO_RAW);
        let socket = Socket::new(domain, Type::RAW, Some(raw))
            .map_err(|source| Error::Spoof { addr: to, source })?;
        let id = RandomState::new().hash_one(to) as u32;
        let (datagram, packet) = (Vec::with_capacity(2048), Vec::with_capacity(2048));
        Ok(Self { socket, to, mtu: 0, id, datagram, packet })
    }

    /// Sends to `to` from now on, which is of the same family.
    ///
    /// # Errors
    /// If there is no way to it.
    pub fn redirect(&mut self, to: SocketAddr) -> Result<(), Error> {
        let failed = |source| Error::Spoof { addr: to, source };
        // The number of a protocol stands where the port is, and is the socket's already.
        let mut address = to;
        address.set_port(0);
        self.socket.connect(&address.into()).map_err(failed)?;
        self.mtu = mtu(&self.socket, to.ip()).map_err(failed)?;
        self.to = to;
        Ok(())
    }

    /// Where datagrams go.
    pub fn to(&self) -> SocketAddr {
        self.to
    }

    /// Sends `payload` as if from `from`.
    ///
    /// # Errors
    /// `NotConnected` without a destination, `Unsupported` if `from` and the destination are of
    /// different families, `InvalidInput` if the payload is longer than a datagram can be; otherwise
    /// the kernel's. After an error in the
    /// middle of a datagram its fragments so far have gone out, and lead to nothing.
    pub fn send(&mut self, from: SocketAddr, payload: &[u8]) -> io::Result<()> {
        match self.send_packets(from, payload) {
            // The way has become narrower since it was asked for.
            Err(e) if e.raw_os_error() == Some(libc::EMSGSIZE) => {
                self.mtu = mtu(&self.socket, self.to.ip())?;
                self.send_packets(from, payload)
            }
            sent => sent,
        }
    }

    fn send_packets(&mut self, from: SocketAddr, payload: &[u8]) -> io::Result<()> {
        if self.to.ip().is_unspecified() {
            return Err(io::ErrorKind::NotConnected.into());
        }
        let ends = Ends::new(from, self.to)?;
        self.id = self.id.wrapping_add(1);
        ends.write_udp(payload, &mut self.datagram)?;
        for piece in pieces(ends, self.datagram.len(), self.mtu) {
            ends.write_ip(&piece, self.id, &self.datagram, &mut self.packet);
            self.socket.send(&self.packet)?;
        }
        Ok(())
    }
}

/// Where a datagram comes from and goes to, of one family.
#[derive(Clone, Copy, Debug)]
enum Ends {
    V4 { from: Ipv4Addr, to: Ipv4Addr, ports: [u16; 2] },
    V6 { from: Ipv6Addr, to: Ipv6Addr, ports: [u16; 2] },
}

/// The octets of a datagram that one IP packet carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Piece {
    start: usize,
    end: usize,
    /// Whether others come after it.
    more: bool,
}

impl Piece {
    fn is_whole(&self) -> bool {
        self.start == 0 && !self.more
    }
}

impl Ends {
    fn new(from: SocketAddr, to: SocketAddr) -> io::Result<Self> {
        let ports = [from.port(), to.port()];
        match (from.ip(), to.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => Ok(Self::V4 { from, to, ports }),
            (IpAddr::V6(from), IpAddr::V6(to)) => Ok(Self::V6 { from, to, ports }),
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Octets before the datagram in a packet that is not a fragment, and in one that is.
    fn headers(self) -> (usize, usize) {
        match self {
            Self::V4 { .. } => (IPV4_HEADER, IPV4_HEADER),
            Self::V6 { .. } => (IPV6_HEADER, IPV6_HEADER + FRAGMENT_HEADER),
        }
    }

    /// Header and payload (RFC 768), checksum included.
    fn write_udp(self, payload: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        let len = UDP_HEADER + payload.len();
        let (most, ports) = match self {
            Self::V4 { ports, .. } => (LONGEST - IPV4_HEADER, ports),
            Self::V6 { ports, .. } => (LONGEST, ports),
        };
        if len > most {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        out.clear();
        for number in [ports[0], ports[1], len as u16, 0] {
            out.extend_from_slice(&number.to_be_bytes());
        }
        out.extend_from_slice(payload);
        let addresses = match self {
            Self::V4 { from, to, .. } => sum(&from.octets()) + sum(&to.octets()),
            Self::V6 { from, to, .. } => sum(&from.octets()) + sum(&to.octets()),
        };
        let pseudo_header = addresses + u64::from(UDP) + len as u64;
        let checksum = match fold(pseudo_header + sum(out)) {
            0 => 0xffff, // 0 says that there is none
            checksum => checksum,
        };
        if let Some(place) = out.get_mut(6..8) {
            place.copy_from_slice(&checksum.to_be_bytes());
        }
        Ok(())
    }

    /// One IP packet around a piece of the datagram.
    fn write_ip(self, piece: &Piece, id: u32, datagram: &[u8], out: &mut Vec<u8>) {
        let bytes = datagram.get(piece.start..piece.end).unwrap_or_default();
        out.clear();
        match self {
            Self::V4 { from, to, .. } => {
                // RFC 791, section 3.1. The kernel fills in the checksum, and would a number of 0.
                let id = (id as u16).max(1);
                let place = (piece.start / 8) as u16 | if piece.more { 0x2000 } else { 0 };
                let hops = if to.is_multicast() { 1 } else { 64 };
                let len = (IPV4_HEADER + bytes.len()) as u16;
                out.extend_from_slice(&[0x45, 0]);
                for number in [len, id, place] {
                    out.extend_from_slice(&number.to_be_bytes());
                }
                out.extend_from_slice(&[hops, UDP, 0, 0]);
                out.extend_from_slice(&from.octets());
                out.extend_from_slice(&to.octets());
            }
            Self::V6 { from, to, .. } => {
                // RFC 8200, sections 3 and 4.5.
                let is_whole = piece.is_whole();
                let extra = if is_whole { 0 } else { FRAGMENT_HEADER };
                let hops = if to.is_multicast() { 1 } else { 64 };
                out.extend_from_slice(&[0x60, 0, 0, 0]);
                out.extend_from_slice(&((extra + bytes.len()) as u16).to_be_bytes());
                out.extend_from_slice(&[if is_whole { UDP } else { FRAGMENT }, hops]);
                out.extend_from_slice(&from.octets());
                out.extend_from_slice(&to.octets());
                if !is_whole {
                    let place = piece.start as u16 | u16::from(piece.more);
                    out.extend_from_slice(&[UDP, 0]);
                    out.extend_from_slice(&place.to_be_bytes());
                    out.extend_from_slice(&id.to_be_bytes());
                }
            }
        }
        out.extend_from_slice(bytes);
    }
}

/// How a datagram of `len` octets is cut for packets of `mtu` octets: in one, or in fragments that
/// all but the last have a multiple of eight octets.
fn pieces(ends: Ends, len: usize, mtu: usize) -> impl Iterator<Item = Piece> {
    let (alone, fragment) = ends.headers();
    let most = if alone + len <= mtu {
        len
    } else {
        (mtu.saturating_sub(fragment) / 8 * 8).max(8) // no way is that narrow
    };
    (0..len).step_by(most.max(1)).map(move |start| {
        let end = len.min(start + most);
        Piece { start, end, more: end < len }
    })
}

/// The sum of RFC 1071 before it is folded.
fn sum(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<2>();
    let last = rest.first().map_or(0, |last| u64::from(*last) << 8);
    words.iter().map(|word| u64::from(u16::from_be_bytes(*word))).sum::<u64>() + last
}

/// The complement of the sum in sixteen bits.
fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// Octets of the largest packet on the way to where `socket` is connected, as far as is known.
fn mtu(socket: &Socket, to: IpAddr) -> io::Result<usize> {
    let (level, option) = match to {
        IpAddr::V4(_) => (libc::IPPROTO_IP, libc::IP_MTU),
        IpAddr::V6(_) => (libc::IPPROTO_IPV6, libc::IPV6_MTU),
    };
    let mut mtu = MaybeUninit::<libc::c_int>::uninit();
    let mut len = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the socket is open, and `len` is the size of the number that is passed with it.
    let result = unsafe {
        libc::getsockopt(socket.as_raw_fd(), level, option, mtu.as_mut_ptr().cast(), &mut len)
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call has succeeded, so it has written the number.
    let mtu = unsafe { mtu.assume_init() };
    usize::try_from(mtu).map_err(|_| io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::udp::{Listen, Receiver};
    use std::process::Command;
    use std::time::Duration;

    fn ends(from: &str, to: &str) -> Ends {
        Ends::new(from.parse().unwrap(), to.parse().unwrap()).unwrap()
    }

    #[test]
    fn headers_are_those_of_the_rfcs() {
        let mut udp = Vec::new();
        let mut ip = Vec::new();
        // Checked with another program's dissector.
        let v4 = ends("192.0.2.1:1000", "192.0.2.9:2000");
        v4.write_udp(b"abc", &mut udp).unwrap();
        let want = [0x03, 0xe8, 0x07, 0xd0, 0, 11, 0xab, 0xb2, b'a', b'b', b'c'];
        assert_eq!(udp, want);
        v4.write_ip(&Piece { start: 0, end: 11, more: false }, 7, &udp, &mut ip);
        let header = [0x45, 0, 0, 31, 0, 7, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 9];
        assert_eq!(ip, [&header[..], &want].concat());
        let v6 = ends("[2001:db8::1]:1000", "[2001:db8::9]:2000");
        v6.write_udp(b"abc", &mut udp).unwrap();
        v6.write_ip(&Piece { start: 0, end: 11, more: false }, 7, &udp, &mut ip);
        assert_eq!(ip[..8], [0x60, 0, 0, 0, 0, 11, 17, 64]);
        v6.write_ip(&Piece { start: 8, end: 11, more: false }, 7, &udp, &mut ip);
        assert_eq!(ip[..8], [0x60, 0, 0, 0, 0, 11, 44, 64]);
        assert_eq!(ip[40..], [17, 0, 0, 8, 0, 0, 0, 7, b'a', b'b', b'c']);
    }

    #[test]
    fn a_datagram_with_its_pseudo_header_sums_to_zero() {
        let mut udp = Vec::new();
        for (from, to) in [("192.0.2.1:1", "192.0.2.9:2"), ("[2001:db8::1]:1", "[::1]:2")] {
            for len in [0, 1, 2, 3, 1473] {
                let payload: Vec<u8> = (0..len).map(|n| (n * 31) as u8).collect();
                let ends = ends(from, to);
                ends.write_udp(&payload, &mut udp).unwrap();
                let octets = |at: &str| match at.parse::<SocketAddr>().unwrap().ip() {
                    IpAddr::V4(ip) => ip.octets().to_vec(),
                    IpAddr::V6(ip) => ip.octets().to_vec(),
                };
                let pseudo = [octets(from), octets(to), vec![0, 17]].concat();
                let all = sum(&pseudo) + udp.len() as u64 + sum(&udp);
                assert_eq!(fold(all), 0, "{from} {len}");
            }
        }
    }

    #[test]
    fn fragments_fit_and_make_the_datagram() {
        let v4 = ends("192.0.2.1:1", "192.0.2.9:2");
        let v6 = ends("[::1]:1", "[::2]:2");
        for (ends, len, mtu) in [
            (v4, 1480, 1500),
            (v4, 1481, 1500),
            (v6, 1460, 1500),
            (v6, 9000, 1281),
            (v4, 65_515, 68),
        ] {
            let (alone, fragment) = ends.headers();
            let all: Vec<Piece> = pieces(ends, len, mtu).collect();
            assert_eq!(all.len() == 1, alone + len <= mtu, "{len} {mtu}");
            let mut reached = 0;
            for (n, piece) in all.iter().enumerate() {
                let header = if piece.is_whole() { alone } else { fragment };
                assert!(piece.start == reached && header + piece.end - piece.start <= mtu);
                assert_eq!(piece.more, n + 1 < all.len());
                assert!(!piece.more || (piece.end - piece.start).is_multiple_of(8));
                reached = piece.end;
            }
            assert_eq!(reached, len);
        }
    }

    #[test]
    fn what_cannot_be_sent_is_refused() {
        let to: SocketAddr = "127.0.0.1:9".parse().unwrap();
        let mixed = Ends::new("[::1]:1".parse().unwrap(), to).unwrap_err();
        assert_eq!(mixed.kind(), io::ErrorKind::Unsupported);
        let long = ends("1.2.3.4:1", "127.0.0.1:9").write_udp(&[0; 65_508], &mut Vec::new());
        assert_eq!(long.unwrap_err().kind(), io::ErrorKind::InvalidInput);
        if let Err(e) = Spoofer::connect(to) {
            assert!(e.to_string().contains("CAP_NET_RAW"), "{e}");
        }
    }

    /// Moves the calling thread to a network of its own, whose loopback has this MTU.
    fn own_network(mtu: &str) -> bool {
        // SAFETY: the flag moves this thread alone to a new network namespace.
        let is_alone = unsafe { libc::unshare(libc::CLONE_NEWNET) } == 0;
        let ip = |args: &[&str]| Command::new("ip").args(args).status().is_ok_and(|s| s.success());
        is_alone && ip(&["link", "set", "lo", "mtu", mtu]) && ip(&["link", "set", "lo", "up"])
    }

    #[test]
    fn datagrams_arrive_in_the_name_of_others() {
        let run = || {
            if !own_network("1500") {
                println!("skipped: no network of one's own without CAP_SYS_ADMIN and `ip`");
                return;
            }
            for (to, from) in [("127.0.0.1", "192.0.2.77:2055"), ("::1", "[2001:db8::77]:4739")] {
                let to: IpAddr = to.parse().unwrap();
                let from: SocketAddr = from.parse().unwrap();
                let listen = Listen { bind: Some(to), ..Listen::default() };
                let Ok(mut rx) = Receiver::bind(&listen) else { continue }; // no IPv6
                let mut spoofer = Spoofer::open(to.is_ipv6()).unwrap();
                let nowhere = spoofer.send(from, b"x").unwrap_err();
                assert_eq!(nowhere.kind(), io::ErrorKind::NotConnected);
                spoofer.redirect(rx.local_addr().unwrap()).unwrap();
                for len in [0, 1, 1452, 1453, 1473, 20_000, 65_507] {
                    let payload: Vec<u8> = (0..len).map(|n: u32| (n / 3) as u8).collect();
                    spoofer.send(from, &payload).unwrap();
                    let mut seen = None;
                    let each =
                        |d: crate::udp::Datagram<'_>| seen = Some((d.peer, d.bytes.to_vec()));
                    rx.recv(None, Some(Duration::from_secs(10)), each).unwrap();
                    let (peer, bytes) = seen.unwrap_or_else(|| panic!("{to}: {len} octets"));
                    assert!(bytes == payload, "{to}: {len} octets, {} came", bytes.len());
                    assert_eq!((peer.ip(), peer.port()), (from.ip(), from.port()));
                }
            }
        };
        std::thread::spawn(run).join().unwrap();
    }
}
