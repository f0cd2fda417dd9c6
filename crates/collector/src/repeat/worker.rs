//! The sending end of one target.

use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::{Duration, Instant};

use record::Addr;
use sys::clock;
use sys::raw::Spoofer;
use sys::udp::Sender;

use super::target::{Target, Version};
use super::{Outgoing, TargetCounts};

/// How long a target whose name had no address, or that failed, is left alone before its name is
/// looked up again.
const RETRY: Duration = Duration::from_secs(10);

/// Reports that nobody listens, which come back instead of a result of sending, in a row: more
/// cannot be about earlier datagrams.
const REPORTS: usize = 4;

/// Selects and sends. Owned by the target's thread.
pub(super) struct Worker {
    target: Target,
    lookup: Lookup,
    retry: Duration,
    way: Option<Way>,
    /// Raw sockets that wait for a destination: IPv4, IPv6.
    raw: [Option<Spoofer>; 2],
    /// Where it goes.
    to: Option<SocketAddr>,
    /// Whether another address of the name may do better.
    in_doubt: bool,
    /// When the name was looked up last.
    looked_up: Option<Instant>,
    /// Datagrams until the next one that sampling lets through.
    skip: u32,
    /// What was wrong last, so that it is logged once.
    told: Option<Cause>,
}

/// Finds addresses of a name.
pub(super) type Lookup = Box<dyn Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send>;

enum Way {
    Plain(Sender),
    /// With the sender's address: the raw socket at this place.
    Raw(usize),
}

/// Why a datagram was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    Unresolved,
    Unreachable,
    TooLong,
    NoRoom,
    Forbidden,
    OtherFamily,
    Failed,
}

impl Worker {
    pub(super) fn new(target: Target) -> Result<Self, sys::Error> {
        let mut raw = [None, None];
        if target.spoof {
            // A host without IPv6 can do without.
            raw = [Some(Spoofer::open(false)?), Spoofer::open(true).ok()];
        }
        let lookup: Lookup = Box::new(|host, port| Ok((host, port).to_socket_addrs()?.collect()));
        Ok(Self {
            target,
            lookup,
            retry: RETRY,
            way: None,
            raw,
            to: None,
            in_doubt: false,
            looked_up: None,
            skip: 0,
            told: None,
        })
    }

    /// With names of a test's own, looked up as often as there is a reason.
    #[cfg(test)]
    pub(super) fn with_lookup(mut self, lookup: Lookup) -> Self {
        self.lookup = lookup;
        self.retry = Duration::ZERO;
        self
    }

    pub(super) fn name(&self) -> String {
        self.target.to_string()
    }

    /// Sends what the target wants of `batch`, and counts each of its datagrams once.
    pub(super) fn send(&mut self, batch: &Outgoing, counts: &mut TargetCounts) {
        let wanted: Vec<(SocketAddr, &[u8])> =
            batch.iter().filter(|(peer, bytes)| self.wants(*peer, bytes, counts)).collect();
        if wanted.is_empty() {
            return;
        }
        self.find_way();
        match self.way.take() {
            None => counts.unresolved += wanted.len() as u64,
            Some(Way::Plain(sender)) => {
                self.send_plain(&sender, &wanted, counts);
                self.way = Some(Way::Plain(sender));
            }
            Some(Way::Raw(at)) => {
                self.way = Some(Way::Raw(at));
                self.send_raw(at, &wanted, counts);
            }
        }
    }

    fn wants(&mut self, peer: SocketAddr, bytes: &[u8], counts: &mut TargetCounts) -> bool {
        let Target { from, versions, sample, .. } = &self.target;
        let addr = Addr::from(peer.ip());
        if !from.is_empty() && !from.iter().any(|net| net.contains(addr)) {
            counts.other_sender += 1;
            return false;
        }
        let is_wanted = |version| versions.contains(&version);
        if !versions.is_empty() && !Version::of(bytes).is_some_and(is_wanted) {
            counts.other_version += 1;
            return false;
        }
        if self.skip > 0 {
            self.skip -= 1;
            counts.sampled_out += 1;
            return false;
        }
        self.skip = sample.saturating_sub(1);
        true
    }

    fn send_plain(
        &mut self,
        sender: &Sender,
        wanted: &[(SocketAddr, &[u8])],
        counts: &mut TargetCounts,
    ) {
        let datagrams: Vec<&[u8]> = wanted.iter().map(|(_, bytes)| *bytes).collect();
        let (mut rest, mut reports) = (&datagrams[..], 0);
        while let Some((_, others)) = rest.split_first() {
            match sender.send_batch(rest) {
                Ok(sent) => {
                    let sent = sent.clamp(1, rest.len());
                    counts.sent += sent as u64;
                    rest = rest.get(sent..).unwrap_or_default();
                    reports = 0;
                }
                Err(e) if is_report(&e) && reports < REPORTS => {
                    // About an earlier datagram: this one was not tried.
                    reports += 1;
                    counts.unheard += 1;
                    self.in_doubt = true;
                    continue;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => {
                    self.failed(&e, counts);
                    rest = others;
                    continue;
                }
            }
            self.told = None;
        }
    }

    fn send_raw(&mut self, at: usize, wanted: &[(SocketAddr, &[u8])], counts: &mut TargetCounts) {
        for (peer, bytes) in wanted {
            let Some(spoofer) = self.raw.get_mut(at).and_then(Option::as_mut) else {
                counts.failed += 1;
                continue;
            };
            let mut sent = spoofer.send(*peer, bytes);
            for _ in 0..REPORTS {
                match &sent {
                    Err(e) if is_report(e) => {
                        counts.unheard += 1;
                        self.in_doubt = true;
                    }
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                    _ => break,
                }
                sent = spoofer.send(*peer, bytes);
            }
            match sent {
                Ok(()) => {
                    counts.sent += 1;
                    self.told = None;
                }
                Err(e) => self.failed(&e, counts),
            }
        }
    }

    /// Looks the name up if there is a reason to, and it was not just done. An address that is in
    /// doubt comes last among several. Without a better one everything stays as it is.
    fn find_way(&mut self) {
        let is_wanted = self.way.is_none() || self.in_doubt;
        let is_due = self.looked_up.is_none_or(|at| at.elapsed() >= self.retry);
        if !is_wanted || !is_due {
            return;
        }
        self.looked_up = Some(clock::monotonic());
        let found = (self.lookup)(&self.target.host, self.target.port);
        let mut problem = found.as_ref().err().map(io::Error::to_string);
        let mut addresses = found.unwrap_or_default();
        addresses.sort_by_key(|to| Some(*to) == self.to); // the sort keeps the order of the others
        for to in addresses {
            match self.way_to(to) {
                Ok(way) => {
                    if self.to != Some(to) {
                        log::info!("Repeating to {} at {to}", self.target);
                    }
                    (self.way, self.to, self.in_doubt) = (Some(way), Some(to), false);
                    return;
                }
                Err(e) => problem = Some(e.to_string()),
            }
        }
        if self.way.is_none() {
            let problem = problem.unwrap_or_else(|| "the name has no address".to_owned());
            self.tell(Cause::Unresolved, &problem);
        }
    }

    fn way_to(&mut self, to: SocketAddr) -> Result<Way, sys::Error> {
        if !self.target.spoof {
            return Sender::connect(to).map(Way::Plain);
        }
        let at = usize::from(to.is_ipv6());
        match self.raw.get_mut(at).and_then(Option::as_mut) {
            Some(spoofer) => spoofer.redirect(to).map(|()| Way::Raw(at)),
            None => Spoofer::connect(to).map(|spoofer| {
                self.raw = match at {
                    0 => [Some(spoofer), self.raw[1].take()],
                    _ => [self.raw[0].take(), Some(spoofer)],
                };
                Way::Raw(at)
            }),
        }
    }

    fn failed(&mut self, e: &io::Error, counts: &mut TargetCounts) {
        let cause = Cause::of(e);
        *match cause {
            Cause::Unresolved => &mut counts.unresolved,
            Cause::Unreachable => &mut counts.unreachable,
            Cause::TooLong => &mut counts.too_long,
            Cause::NoRoom => &mut counts.no_room,
            Cause::Forbidden => &mut counts.forbidden,
            Cause::OtherFamily => &mut counts.other_family,
            Cause::Failed => &mut counts.failed,
        } += 1;
        self.in_doubt |= matches!(cause, Cause::Unreachable | Cause::Failed);
        self.tell(cause, e);
    }

    /// Logs what is wrong, once until it is right or something else is wrong.
    fn tell(&mut self, cause: Cause, problem: &dyn fmt::Display) {
        if self.told != Some(cause) {
            log::warn!("Repeating to {}: {problem}; datagrams are lost and counted", self.target);
            self.told = Some(cause);
        }
    }
}

/// Whether it tells of an earlier datagram that nobody was listening for.
fn is_report(e: &io::Error) -> bool {
    e.kind() == io::ErrorKind::ConnectionRefused
}

impl Cause {
    fn of(e: &io::Error) -> Self {
        use io::ErrorKind as Kind;
        match e.kind() {
            Kind::NetworkUnreachable | Kind::HostUnreachable | Kind::NetworkDown => {
                Self::Unreachable
            }
            Kind::AddrNotAvailable | Kind::ConnectionRefused => Self::Unreachable,
            Kind::PermissionDenied => Self::Forbidden,
            Kind::WouldBlock | Kind::OutOfMemory => Self::NoRoom,
            Kind::Unsupported => Self::OtherFamily,
            // Said by the raw socket before it asks the system.
            Kind::InvalidInput if e.raw_os_error().is_none() => Self::TooLong,
            _ if sys::udp::is_too_long(e) => Self::TooLong,
            _ if sys::udp::is_without_room(e) => Self::NoRoom,
            _ => Self::Failed,
        }
    }
}
