//! Export packets of a capture, as they are.

use super::pace::{Clock, Pace};
use capture::Capture;
use capture::udp::{Datagram, Extractor};
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use sys::Leave;
use sys::raw::Spoofer;
use sys::udp::{self, BATCH};

/// What became of the datagrams of a capture.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Sent.
    pub(super) sent: u64,
    /// Octets of these.
    pub(super) octets: u64,
    /// Not sent: the system refused them.
    pub(super) refused: u64,
    /// Why the last one was.
    pub(super) error: Option<io::Error>,
    /// Not sent: the capture has the beginning only.
    pub(super) truncated: u64,
    /// Not wanted: to other ports.
    pub(super) other_ports: u64,
    /// Why the rest of the capture could not be read.
    pub(super) damage: Option<String>,
    /// Stopped before the end.
    pub(super) is_stopped: bool,
}

/// How datagrams go.
pub(super) enum Way {
    /// From this host, in batches.
    Own(Batch),
    /// From whom they came.
    Spoofed(Box<Spoofer>),
}

/// Datagrams that go in one call.
pub(super) struct Batch {
    sender: udp::Sender,
    waiting: Vec<Vec<u8>>,
    used: usize,
}

impl Way {
    pub(super) fn own(to: SocketAddr, leave: &Leave) -> Result<Self, sys::Error> {
        let sender = udp::Sender::open(to, leave)?.joining();
        Ok(Self::Own(Batch { sender, waiting: Vec::new(), used: 0 }))
    }

    pub(super) fn spoofed(to: SocketAddr) -> Result<Self, sys::Error> {
        Ok(Self::Spoofed(Box::new(Spoofer::connect(to)?)))
    }

    fn send(&mut self, datagram: &Datagram<'_>, is_last: bool, done: &mut Outcome) {
        match self {
            Self::Spoofed(spoofer) => {
                let sent = spoofer.send(datagram.peer, datagram.bytes);
                done.count(sent, datagram.bytes.len());
            }
            Self::Own(batch) => {
                batch.put(datagram.bytes);
                if is_last || batch.used == BATCH {
                    batch.flush(done);
                }
            }
        }
    }

    fn flush(&mut self, done: &mut Outcome) {
        if let Self::Own(batch) = self {
            batch.flush(done);
        }
    }
}

impl Batch {
    fn put(&mut self, bytes: &[u8]) {
        if self.used == self.waiting.len() {
            self.waiting.push(Vec::new());
        }
        if let Some(place) = self.waiting.get_mut(self.used) {
            place.clear();
            place.extend_from_slice(bytes);
            self.used += 1;
        }
    }

    fn flush(&mut self, done: &mut Outcome) {
        /// Reports of earlier datagrams, in a row.
        const REPORTS: usize = 4;
        let (mut rest, mut reports) = (self.waiting.get(..self.used).unwrap_or_default(), 0);
        while let Some(first) = rest.first() {
            match self.sender.send_batch(rest) {
                Ok(count) => {
                    let (sent, left) = rest.split_at(count.clamp(1, rest.len()));
                    sent.iter().for_each(|bytes| done.count(Ok(()), bytes.len()));
                    (rest, reports) = (left, 0);
                }
                // That nobody listened is about a datagram before.
                Err(e) if e.kind() == io::ErrorKind::ConnectionRefused && reports < REPORTS => {
                    reports += 1;
                }
                Err(e) => {
                    done.count(Err(e), first.len());
                    (rest, reports) = (rest.get(1..).unwrap_or_default(), 0);
                }
            }
        }
        self.used = 0;
    }
}

impl Outcome {
    fn count(&mut self, sent: io::Result<()>, len: usize) {
        match sent {
            Ok(()) => {
                self.sent += 1;
                self.octets += len as u64;
            }
            Err(e) => {
                self.refused += 1;
                self.error = Some(e);
            }
        }
    }
}

/// Which datagrams.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    /// Those to this port.
    pub(super) port: Option<u16>,
    /// So many at most; 0 is all.
    pub(super) limit: u64,
}

/// Sends the datagrams of a capture.
///
/// # Errors
/// If it is no capture.
pub(super) fn replay<C: Clock>(
    path: &Path,
    wanted: Wanted,
    mut pace: Pace<C>,
    way: &mut Way,
    stop: &AtomicBool,
) -> Result<Outcome, capture::Error> {
    let (mut capture, mut extractor) = (Capture::open(path)?, Extractor::new());
    let (mut done, mut at_ms, mut count) = (Outcome::default(), 0, 0);
    loop {
        let packet = match capture.next() {
            Ok(Some(packet)) => packet,
            Ok(None) => break,
            Err(e) => {
                done.damage = Some(e.to_string());
                break;
            }
        };
        let Some(datagram) = extractor.extract(&packet) else { continue };
        if wanted.port.is_some_and(|port| port != datagram.to.port()) {
            done.other_ports += 1;
            continue;
        }
        if datagram.truncated {
            done.truncated += 1;
            continue;
        }
        if wanted.limit > 0 && count == wanted.limit {
            break;
        }
        count += 1;
        at_ms = datagram.time_ns.map_or(at_ms, |ns| ns / 1_000_000);
        let wait = pace.before(at_ms);
        if !wait.is_zero() {
            way.flush(&mut done);
            nap(&pace.clock, wait, stop);
        }
        if stop.load(Relaxed) {
            done.is_stopped = true;
            break;
        }
        way.send(&datagram, pace.is_by_datagram(), &mut done);
        pace.after_datagram();
    }
    way.flush(&mut done);
    if let (None, Some(cut)) = (&done.damage, capture.cut()) {
        done.damage = Some(cut.to_string());
    }
    Ok(done)
}

/// Waits until it is time, or to stop.
fn nap(clock: &impl Clock, mut left: Duration, stop: &AtomicBool) {
    const NAP: Duration = Duration::from_millis(100);
    while !left.is_zero() && !stop.load(Relaxed) {
        clock.sleep(left.min(NAP));
        left = left.saturating_sub(NAP);
    }
}
