//! In place of the network: captures of export packets, and files of IPFIX messages (RFC 5655).
//!
//! Time is that of the capture, or of the export where there are only messages, so what comes out
//! does not depend on how fast the input is read.

use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr};

use capture::Capture;
use capture::udp::Extractor;
use sys::signal::Stop;
use wire::ipfix::Frames;

use crate::{Arrival, Error, Via};

/// What a capture had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Captured {
    /// Packets of all kinds.
    pub packets: u64,
    /// Datagrams that went to a collector.
    pub datagrams: u64,
    /// Datagrams to other ports.
    pub other_ports: u64,
    /// Packets that are no UDP datagrams, or parts of datagrams of which others are missing.
    pub others: u64,
    /// Datagrams of which the capture has the beginning only; they are among `datagrams`.
    pub truncated: u64,
}

/// Hands the UDP datagrams of a capture to `each`, those to one of `ports` if there are any. Where
/// the capture has no time, it is that of the packet before.
///
/// # Errors
/// Where it is damaged; what was before has been delivered. Also if it is cut.
pub fn read_capture<E: From<Error>>(
    capture: &mut Capture,
    ports: &[u16],
    stop: &Stop,
    mut each: impl FnMut(&Arrival, &[u8]) -> Result<(), E>,
) -> Result<Captured, E> {
    let (mut extractor, mut captured, mut at_ms) = (Extractor::new(), Captured::default(), 0);
    while let Some(packet) = capture.next().map_err(Error::from)? {
        if stop.is_requested() {
            break;
        }
        captured.packets += 1;
        let Some(datagram) = extractor.extract(&packet) else {
            captured.others += 1;
            continue;
        };
        let port = datagram.to.port();
        if !ports.is_empty() && !ports.contains(&port) {
            captured.other_ports += 1;
            continue;
        }
        captured.datagrams += 1;
        captured.truncated += u64::from(datagram.truncated);
        at_ms = datagram.time_ns.map_or(at_ms, |ns| ns / 1_000_000);
        let peer = datagram.peer.ip();
        each(&Arrival { peer, port, via: Via::Datagram, at_ms }, datagram.bytes)?;
    }
    match capture.cut() {
        Some(cut) => Err(Error::Cut(cut).into()),
        None => Ok(captured),
    }
}

/// Hands the IPFIX messages of a file to `each`, as if they came over one connection from this
/// host. Returns how many there were.
///
/// # Errors
/// If the file cannot be read, or what comes next is no message; what was before has been
/// delivered.
pub fn read_messages<E: From<Error>>(
    mut file: impl Read,
    stop: &Stop,
    mut each: impl FnMut(&Arrival, &[u8]) -> Result<(), E>,
) -> Result<u64, E> {
    const STREAM: u32 = 1;
    let peer = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let arrival = |via, at_ms| Arrival { peer, port: 0, via, at_ms };
    let (mut frames, mut buffer) = (Frames::new(), vec![0; 256 << 10]);
    let (mut messages, mut at_ms) = (0, 0);
    loop {
        let len = match file.read(&mut buffer) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            other => other.map_err(Error::Messages)?,
        };
        let mut piece = buffer.get(..len).unwrap_or_default();
        if len == 0 || stop.is_requested() {
            break;
        }
        while let Some(message) = frames.next(&mut piece).map_err(Error::from)? {
            if let Some(secs) = message.get(4..8).and_then(|b| <[u8; 4]>::try_from(b).ok()) {
                at_ms = u64::from(u32::from_be_bytes(secs)) * 1000;
            }
            messages += 1;
            each(&arrival(Via::Stream(STREAM), at_ms), message)?;
        }
    }
    match frames.pending() {
        0 => Ok(messages),
        pending => Err(Error::MessageCut { pending: pending as u64 }.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sys::signal::Signals;
    use wire::testing::IpfixBuilder;

    fn message(secs: u32) -> Vec<u8> {
        let header = wire::ipfix::Header { export_secs: secs, ..Default::default() };
        IpfixBuilder::new(header).template(256, &[(0, 1, 4)]).build()
    }

    #[test]
    fn messages_come_one_by_one_at_the_time_of_their_export() {
        let signals = Signals::detached().unwrap();
        let file = [message(100), message(200)].concat();
        let mut seen = Vec::new();
        let read = |file: &[u8], seen: &mut Vec<(u64, usize)>| {
            read_messages(file, &signals.stop, |arrival, bytes| {
                assert_eq!(arrival.via, Via::Stream(1));
                seen.push((arrival.at_ms, bytes.len()));
                Ok::<_, Error>(())
            })
        };
        let len = message(0).len();
        assert_eq!(read(&file, &mut seen).unwrap(), 2);
        assert_eq!(seen, [(100_000, len), (200_000, len)]);
        for cut in 0..file.len() {
            seen.clear();
            let result = read(&file[..cut], &mut seen);
            assert_eq!(seen.len(), cut / len, "cut at {cut}");
            assert_eq!(result.is_ok(), cut % len == 0, "cut at {cut}");
        }
        assert!(read(b"\\0\\x09not IPFIX", &mut seen).is_err());
    }
}
