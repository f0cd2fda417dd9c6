//! What an interface did between two samples.

use record::{InterfaceCounters, InterfaceSample};

/// What was counted between two samples of one interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Milliseconds between them.
    pub ms: u64,
    /// Received.
    pub input: Traffic,
    /// Sent.
    pub output: Traffic,
}

/// Counts of one direction; `None` where the agent does not count, which it says by a number with
/// all bits set (sFlow version 5, section 5.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Octets.
    pub octets: Option<u64>,
    /// Packets to one, to a group and to all.
    pub packets: Option<u64>,
    /// Packets dropped without a fault.
    pub discards: Option<u64>,
    /// Packets with a fault.
    pub errors: Option<u64>,
}

impl Change {
    /// From one sample to the next. `None` if nothing can be said: the second is not later, or its
    /// counters began anew, because the device or the interface was started again.
    ///
    /// Counters of 32 bits wrap: at 10 Gbit/s those of packets may do so in five minutes. So a
    /// smaller number is a wrap if the device was not started again, which is told by the octets:
    /// they have 64 bits and never wrap. An agent that fills them from 32 bits is believed to have
    /// wrapped if the interface is fast enough for what that makes.
    pub fn between(a: &InterfaceSample, b: &InterfaceSample) -> Option<Self> {
        let ms = b.time_ms.checked_sub(a.time_ms).filter(|ms| *ms > 0)?;
        let traffic = |a: &InterfaceCounters, c: &InterfaceCounters| {
            let octets = octets(a.octets, c.octets, ms, b.speed)?;
            let packets = packets(a, c);
            // Each packet has an Ethernet header at least.
            if let (Some(o), Some(p)) = (octets, packets)
                && p > o / SMALLEST + SLACK
            {
                return None;
            }
            let (discards, errors) = (narrow(a.discards, c.discards), narrow(a.errors, c.errors));
            Some(Traffic { octets, packets, discards, errors })
        };
        let (input, output) = (traffic(&a.input, &b.input)?, traffic(&a.output, &b.output)?);
        Some(Self { ms, input, output })
    }
}

/// Octets of the smallest thing that a counter of packets counts.
const SMALLEST: u64 = 14;
/// Counters of one sample are not read at the very same moment.
const SLACK: u64 = 1000;

/// `None` if it was started again; `Some(None)` if it is not counted.
fn octets(a: u64, b: u64, ms: u64, speed: u64) -> Option<Option<u64>> {
    if a == u64::MAX || b == u64::MAX {
        return Some(None);
    }
    if let Some(n) = b.checked_sub(a) {
        return Some(Some(n));
    }
    let wrapped = (a <= u64::from(u32::MAX)).then(|| b + (1 << 32) - a)?;
    // A quarter more than it can carry, for clocks that differ.
    let most = u128::from(speed) * u128::from(ms) / 8000 * 5 / 4;
    (u128::from(wrapped) <= most).then_some(Some(wrapped))
}

fn packets(a: &InterfaceCounters, b: &InterfaceCounters) -> Option<u64> {
    let unicast = narrow(a.unicast, b.unicast)?;
    // Many devices do not count these two apart.
    let others = [narrow(a.multicast, b.multicast), narrow(a.broadcast, b.broadcast)];
    Some(unicast + others.into_iter().flatten().sum::<u64>())
}

fn narrow(a: u32, b: u32) -> Option<u64> {
    (a != u32::MAX && b != u32::MAX).then(|| u64::from(b.wrapping_sub(a)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use record::Addr;

    fn sample(time_ms: u64, octets: u64, unicast: u32) -> InterfaceSample {
        let counters = InterfaceCounters { octets, unicast, ..InterfaceCounters::default() };
        InterfaceSample {
            time_ms,
            exporter: 1,
            agent: Addr::V4(1),
            index: 7,
            kind: 6,
            speed: 1_000_000_000,
            direction: 1,
            status: 3,
            input: counters,
            output: InterfaceCounters::default(),
            unknown_protos: 0,
            is_promiscuous: false,
        }
    }

    #[test]
    fn counters_grow_wrap_and_begin_anew() {
        const G4: u64 = 1 << 32;
        let none: Option<(Option<u64>, Option<u64>)> = None;
        for (what, a, b, want) in [
            ("grows", (100, 1), (2100, 11), Some((Some(2000), Some(10)))),
            ("stands still", (100, 1), (100, 1), Some((Some(0), Some(0)))),
            (
                "packets wrap",
                (1 << 40, u32::MAX - 4),
                ((1 << 40) + 9000, 5),
                Some((Some(9000), Some(10))),
            ),
            ("octets of 32 bits wrap", (G4 - 1000, 5), (1000, 15), Some((Some(2000), Some(10)))),
            ("32 bits, too much for the speed", (G4 - 1, 5), (3_500_000_000, 15), none),
            ("started again", (1 << 40, 1000), (500, 3), none),
            ("started again, as if 32 bits had wrapped", (4_000_000_000, 1000), (500, 3), none),
            ("started again, a small one", (3_000_000, 1000), (500, 3), none),
            // The octets have passed where they were, the packets have not.
            ("started again, much traffic", (1000, 50_000), (2_000_000, 2000), none),
            ("octets not counted", (u64::MAX, 5), (u64::MAX, 15), Some((None, Some(10)))),
            ("packets not counted", (1000, u32::MAX), (2000, u32::MAX), Some((Some(1000), None))),
        ] {
            let (first, next) = (sample(1000, a.0, a.1), sample(21_000, b.0, b.1));
            let got = Change::between(&first, &next).map(|c| (c.input.octets, c.input.packets));
            assert_eq!(got, want, "{what}");
        }
    }

    #[test]
    fn time_has_to_go_on() {
        let at = |ms| sample(ms, 5, 5);
        assert_eq!(Change::between(&at(1000), &at(1001)).unwrap().ms, 1);
        assert_eq!(Change::between(&at(1000), &at(1000)), None);
        assert_eq!(Change::between(&at(1000), &at(999)), None);
    }
}
