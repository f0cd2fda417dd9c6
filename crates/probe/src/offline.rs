//! A probe on a capture file: packets are the clock, so the same file gives the same flows however
//! fast it is read.

use capture::{Capture, Error, Packet, Progress};
use sys::signal::Stop;

use crate::probe::PATIENCE;
use crate::{Cache, Ended, Outlet, Reason};

/// What time it is for exports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Now {
    /// That of the packets.
    OfPackets,
    /// Always this one, milliseconds since 1970.
    Fixed(u64),
}

/// How a file was read.
#[derive(Clone, Debug, Default)]
pub struct Read {
    /// Whether it was read to its end.
    pub is_whole: bool,
    /// Where the file is damaged: everything before is counted.
    pub error: Option<String>,
}

/// Reads `capture` to its end, or until `stop`, and hands all flows to `outlet`.
pub fn read(
    capture: &mut Capture,
    cache: &mut Cache,
    outlet: &mut Outlet,
    now: Now,
    stop: &Stop,
) -> Read {
    let mut read = Read::default();
    let mut clock = Clock { now, packets_ms: 0, ticked_ms: 0 };
    loop {
        if stop.is_requested() {
            break;
        }
        let progress = capture.batch(&mut |packets| {
            // By the second: when a flow is exported does not depend on how packets are batched.
            let mut rest = packets;
            while let Some((packets, later)) = split(rest) {
                clock.turn(packets, cache, outlet);
                let now_ms = clock.now_ms();
                cache.observe(packets, &mut |ended: &Ended| outlet.ended(now_ms, ended));
                rest = later;
            }
        });
        match progress {
            Ok(Progress::End) => {
                read.is_whole = true;
                break;
            }
            Ok(_) => {}
            Err(e) => {
                read.error = Some(Error::to_string(&e));
                break;
            }
        }
    }
    let now_ms = clock.now_ms();
    cache.expire_all(Reason::Flushed, &mut |ended| outlet.ended(now_ms, ended));
    outlet.finish(now_ms, PATIENCE);
    read
}

/// The first packets, those of one second, and the others; `None` without any.
fn split<'a, 'p>(packets: &'a [Packet<'p>]) -> Option<(&'a [Packet<'p>], &'a [Packet<'p>])> {
    const SECOND: u64 = 1_000_000_000;
    let begin = packets.first()?.time_ns.map(|ns| ns - ns % SECOND);
    let is_other = |packet: &Packet<'_>| match (packet.time_ns, begin) {
        (Some(ns), Some(begin)) => ns < begin || ns - begin >= SECOND,
        (time, begin) => time != begin,
    };
    packets.split_at_checked(packets.iter().position(is_other).unwrap_or(packets.len()))
}

/// The time that exports are made at.
struct Clock {
    now: Now,
    packets_ms: u64,
    ticked_ms: u64,
}

/// How often the outlet looks whether something is due, in the time of packets.
const TICK_MS: u64 = 100;
/// So long without a packet, the clock goes on from one end of a flow to the next.
const GAP_MS: u64 = 2000;

impl Clock {
    const fn now_ms(&self) -> u64 {
        match self.now {
            Now::OfPackets => self.packets_ms,
            Now::Fixed(ms) => ms,
        }
    }

    /// Takes the time from packets that come next.
    fn turn(&mut self, packets: &[Packet<'_>], cache: &mut Cache, outlet: &mut Outlet) {
        let times = packets.iter().filter_map(|packet| packet.time_ns);
        let Some(latest) = times.max() else { return };
        if self.packets_ms != 0 && latest / 1_000_000 > self.packets_ms + GAP_MS {
            self.cross(latest, cache, outlet);
        }
        // Packets may be out of order; time goes forward.
        self.packets_ms = self.packets_ms.max(latest / 1_000_000);
        if self.now == Now::OfPackets && self.packets_ms - self.ticked_ms >= TICK_MS {
            self.ticked_ms = self.packets_ms;
            outlet.tick(self.packets_ms);
        }
    }

    /// Ends flows in the time until the next packet when they are due, as they would have live: a
    /// capture may have a gap of a year, and what was before belongs into files of then, and is
    /// out of reach of uptimes of now.
    fn cross(&mut self, until_ns: u64, cache: &mut Cache, outlet: &mut Outlet) {
        while let Some(due_ns) = cache.next_due().filter(|due| *due < until_ns) {
            self.packets_ms = self.packets_ms.max(due_ns / 1_000_000);
            let now_ms = self.now_ms();
            cache.expire(due_ns, &mut |ended| outlet.ended(now_ms, ended));
        }
        outlet.flush(self.now_ms());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_split_by_the_second() {
        let second = 1_000_000_000;
        let times = |times: &[Option<u64>]| -> Vec<Packet<'static>> {
            times.iter().map(|time_ns| Packet { time_ns: *time_ns, ..Packet::NONE }).collect()
        };
        for all in [
            vec![],
            vec![None, None],
            vec![Some(0), Some(second - 1), Some(second), Some(second - 1), None, Some(3)],
            vec![Some(5 * second + 7), Some(5 * second), Some(6 * second), Some(u64::MAX)],
            vec![Some(u64::MAX), Some(u64::MAX - 1), Some(0)],
        ] {
            let packets = times(&all);
            let of = |packet: &Packet<'_>| packet.time_ns.map(|ns| ns / second);
            let want: Vec<_> = packets.chunk_by(|a, b| of(a) == of(b)).collect();
            let mut rest = packets.as_slice();
            let got: Vec<_> = std::iter::from_fn(|| {
                let (first, later) = split(rest)?;
                rest = later;
                Some(first)
            })
            .collect();
            assert_eq!(got, want, "{all:?}");
        }
    }
}
