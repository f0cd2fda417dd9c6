//! What the kernel counts and lists of UDP, in the network namespace of this thread: `/proc/net/udp`,
//! `udp6`, `snmp`, `snmp6` and `netstat` (proc_net(5); RFC 4113 for what is counted).
//!
//! The text is the kernel's, and yet no line of it is trusted: what is not as expected is left out.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// A UDP socket of this network namespace, whoever has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UdpSocket {
    /// Where it is bound; the unspecified address is every address.
    pub local: SocketAddr,
    /// Octets that wait to be read, with what the kernel needs for each datagram.
    pub waiting: u64,
    /// Number of the user who made it.
    pub user: u32,
    /// What identifies it among the descriptors of processes.
    pub inode: u64,
    /// Datagrams that found no room, since it was made.
    pub dropped: u64,
}

/// What the kernel counts of UDP over one version of IP, since the namespace was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UdpCounts {
    /// Datagrams that programs have read.
    pub delivered: u64,
    /// Datagrams to ports that nobody listens on.
    pub no_port: u64,
    /// Datagrams that were dropped for other reasons, with the two causes below.
    pub errors: u64,
    /// Of those, because the buffer of a socket was full.
    pub no_room: u64,
    /// Of those, with a wrong checksum.
    pub bad_checksum: u64,
}

impl UdpCounts {
    /// What was counted since `earlier`.
    #[must_use]
    pub const fn since(&self, earlier: &Self) -> Self {
        Self {
            delivered: self.delivered.wrapping_sub(earlier.delivered),
            no_port: self.no_port.wrapping_sub(earlier.no_port),
            errors: self.errors.wrapping_sub(earlier.errors),
            no_room: self.no_room.wrapping_sub(earlier.no_room),
            bad_checksum: self.bad_checksum.wrapping_sub(earlier.bad_checksum),
        }
    }

    /// Both together.
    #[must_use]
    pub const fn plus(&self, other: &Self) -> Self {
        Self {
            delivered: self.delivered.wrapping_add(other.delivered),
            no_port: self.no_port.wrapping_add(other.no_port),
            errors: self.errors.wrapping_add(other.errors),
            no_room: self.no_room.wrapping_add(other.no_room),
            bad_checksum: self.bad_checksum.wrapping_add(other.bad_checksum),
        }
    }
}

/// All UDP sockets, of both versions of IP.
///
/// # Errors
/// If the kernel does not list them.
pub fn udp_sockets() -> io::Result<Vec<UdpSocket>> {
    let mut all = parse_udp(&read("udp")?);
    // Not there on hosts without IPv6.
    all.extend(parse_udp(&read("udp6").unwrap_or_default()));
    Ok(all)
}

/// What is counted of UDP, over both versions of IP together.
///
/// # Errors
/// If the kernel does not say.
pub fn udp_counts() -> io::Result<UdpCounts> {
    let v4 = parse_snmp(&read("snmp")?);
    let v6 = parse_snmp6(&read("snmp6").unwrap_or_default());
    Ok(v4.plus(&v6))
}

/// IPv4 packets that were dropped because their sender is not reached by the interface they came from
/// (`net.ipv4.conf.*.rp_filter`; RFC 3704).
///
/// # Errors
/// If the kernel does not say.
pub fn reverse_path_drops() -> io::Result<u64> {
    Ok(in_table(&read("netstat")?, "TcpExt:", "IPReversePathFilter").unwrap_or(0))
}

fn read(name: &str) -> io::Result<String> {
    fs::read_to_string(format!("/proc/thread-self/net/{name}"))
}

/// Lines behind the heading: number, local, remote, state, queues, timer, retransmits, uid, timeout,
/// inode, references, pointer, drops.
fn parse_udp(text: &str) -> Vec<UdpSocket> {
    text.lines().skip(1).filter_map(udp_line).collect()
}

fn udp_line(line: &str) -> Option<UdpSocket> {
    let mut words = line.split_ascii_whitespace();
    let local = socket_address(words.nth(1)?)?;
    let waiting = u64::from_str_radix(words.nth(2)?.split_once(':')?.1, 16).ok()?;
    let user = words.nth(2)?.parse().ok()?;
    let inode = words.nth(1)?.parse().ok()?;
    let dropped = words.nth(2)?.parse().ok()?;
    Some(UdpSocket { local, waiting, user, inode, dropped })
}

/// `0100007F:752B`: 32-bit words of the address in the order of the machine, the port as a number.
fn socket_address(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| {
        let word = u32::from_str_radix(address.get(at * 8..at * 8 + 8)?, 16).ok()?;
        Some(word.to_ne_bytes())
    };
    let ip: IpAddr = match address.len() {
        8 => Ipv4Addr::from(word(0)?).into(),
        32 => {
            let words = [word(0)?, word(1)?, word(2)?, word(3)?];
            let octets: [u8; 16] = words.as_flattened().try_into().ok()?;
            Ipv6Addr::from(octets).into()
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

fn parse_snmp(text: &str) -> UdpCounts {
    let count = |name| in_table(text, "Udp:", name).unwrap_or(0);
    UdpCounts {
        delivered: count("InDatagrams"),
        no_port: count("NoPorts"),
        errors: count("InErrors"),
        no_room: count("RcvbufErrors"),
        bad_checksum: count("InCsumErrors"),
    }
}

/// The number under a name: a line of names and one of numbers begin with the same word.
fn in_table(text: &str, table: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix(table));
    let (names, numbers) = (lines.next()?, lines.next()?);
    let at = names.split_ascii_whitespace().position(|n| n == name)?;
    numbers.split_ascii_whitespace().nth(at)?.parse().ok()
}

/// A name and a number on each line.
fn parse_snmp6(text: &str) -> UdpCounts {
    let count = |name| {
        let mut lines = text.lines().map(str::split_ascii_whitespace);
        let number = lines.find_map(|mut words| (words.next()? == name).then(|| words.next()));
        number.flatten().and_then(|n| n.parse().ok()).unwrap_or(0)
    };
    UdpCounts {
        delivered: count("Udp6InDatagrams"),
        no_port: count("Udp6NoPorts"),
        errors: count("Udp6InErrors"),
        no_room: count("Udp6RcvbufErrors"),
        bad_checksum: count("Udp6InCsumErrors"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADING: &str = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when \
                           retrnsmt   uid  timeout inode ref pointer drops             \n";

    /// A line as the kernel writes it.
    fn line(address: &[u8], port: u16) -> String {
        let words: String = address
            .chunks(4)
            .map(|w| format!("{:08X}", u32::from_ne_bytes(w.try_into().unwrap())))
            .collect();
        let zeros = "0".repeat(words.len());
        format!(
            "  504: {words}:{port:04X} {zeros}:0000 07 00000000:00033DC0 00:00000000 00000000  \
             1000        0 5483108 2 00000000d9074320 300190  \n"
        )
    }

    #[test]
    fn sockets_are_read_as_the_kernel_writes_them() {
        let v6: Ipv6Addr = "2001:db8::7".parse().unwrap();
        let text = format!("{HEADING}{}{}", line(&[127, 0, 0, 1], 9995), line(&v6.octets(), 53));
        let want = |local: &str| UdpSocket {
            local: local.parse().unwrap(),
            waiting: 0x33dc0,
            user: 1000,
            inode: 5_483_108,
            dropped: 300_190,
        };
        assert_eq!(parse_udp(&text), [want("127.0.0.1:9995"), want("[2001:db8::7]:53")]);
    }

    #[test]
    fn odd_lines_are_left_out_wherever_they_are_odd() {
        let good = line(&[127, 0, 0, 1], 9995);
        let whole = good.trim_end();
        let last = whole.rfind(' ').unwrap();
        for len in 0..=last {
            let text = format!("{HEADING}{}\n{good}", &good[..len]);
            assert_eq!(parse_udp(&text).len(), 1, "cut at {len}");
        }
        for odd in [
            "",
            "x",
            "é é é é",
            &good.replace("0100007F", "0100007G"),
            &good.replace("0100007F", "01007F"),
            &good.replace("270B", "1270B"),
            &good.replace("5483108", "-1"),
            &good.replace("1000 ", "é "),
        ] {
            assert!(parse_udp(&format!("{HEADING}{odd}\n")).is_empty(), "{odd}");
        }
    }

    const SNMP: &str = "Ip: Forwarding DefaultTTL\nIp: 1 64\n\
        Udp: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors InCsumErrors\n\
        Udp: 30 5 36 34 33 0 2\nUdpLite: InDatagrams\nUdpLite: 7\n";

    #[test]
    fn counts_are_found_by_name() {
        let want =
            UdpCounts { delivered: 30, no_port: 5, errors: 36, no_room: 33, bad_checksum: 2 };
        assert_eq!(parse_snmp(SNMP), want);
        let v6 = "Ip6InReceives 9\nUdp6InDatagrams \t 1\nUdp6NoPorts 2\nUdp6InErrors 3\nUdp6RcvbufErrors 4\n\
                  Udp6InCsumErrors 5\nUdpLite6InDatagrams 6\n";
        let six = UdpCounts { delivered: 1, no_port: 2, errors: 3, no_room: 4, bad_checksum: 5 };
        assert_eq!(parse_snmp6(v6), six);
        assert_eq!(want.plus(&six).since(&six), want);
        let netstat = "TcpExt: A IPReversePathFilter B\nTcpExt: 1 2 3\nIpExt: C\nIpExt: 4\n";
        assert_eq!(in_table(netstat, "TcpExt:", "IPReversePathFilter"), Some(2));
    }

    #[test]
    fn counts_that_are_cut_off_are_zero() {
        for len in 0..SNMP.len() {
            let counts = parse_snmp(&SNMP[..len]);
            assert!(counts.delivered <= 30 && counts.no_room <= 33, "{len}");
        }
        assert_eq!(parse_snmp("Udp: InDatagrams\nUdp: x\n"), UdpCounts::default());
        assert_eq!(parse_snmp6("Udp6InDatagrams"), UdpCounts::default());
        assert_eq!(in_table("TcpExt: A\n", "TcpExt:", "A"), None);
    }

    #[test]
    fn this_host_lists_a_socket_of_ours() {
        let ours = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let local = ours.local_addr().unwrap();
        let before = udp_counts().unwrap();
        ours.send_to(b"x", local).unwrap();
        let listed = udp_sockets().unwrap();
        let found = listed.iter().find(|s| s.local == local).expect("listed");
        assert!(found.waiting > 0 && found.inode > 0 && found.dropped == 0, "{found:?}");
        ours.recv(&mut [0; 8]).unwrap();
        assert!(udp_counts().unwrap().since(&before).delivered >= 1);
        reverse_path_drops().unwrap();
    }
}
