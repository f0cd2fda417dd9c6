//! Sequence numbers: loss, reordering, duplicates and restarts.
//!
//! The three protocols count different things (v5 flows, v9 datagrams, IPFIX data records) but all
//! say where their counter stood when a message left. A tracker knows where the next message has
//! to begin, and remembers the latest gaps so that a late datagram takes its loss back.

use crate::ledger::Tally;

/// Gaps that may still be closed by late datagrams.
const HOLES: usize = 8;

/// Units behind the newest number at which a datagram still counts as late or doubled.
const WINDOW: u32 = 4096;

/// A jump beyond this is a counter set anew rather than loss.
const MAX_GAP: u32 = 1 << 24;

/// What a sequence number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Export datagrams (RFC 3954, 5.1).
    Datagrams,
    /// Flow records (v5), data records of both kinds (RFC 7011, 3.1).
    Records,
}

/// One message as its sequence number sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    /// Sequence number of the header.
    pub(crate) number: u32,
    /// Units in the message, `None` if they cannot be counted.
    pub(crate) units: Option<u32>,
    /// How many of them are flows, where an exporter may count those only.
    pub(crate) flows: Option<u32>,
    /// Uptime clock of the header, where the protocol has one.
    pub(crate) uptime: Option<u32>,
}

/// What an exporter counts. RFC 7011 is clear, but not all exporters follow it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Habit {
    /// All data records before this message.
    #[default]
    Standard,
    /// Flow records before this message, options records left out.
    FlowsOnly,
    /// Flow records up to the end of this message (softflowd).
    Inclusive,
}

impl Habit {
    const ALL: [Self; 3] = [Self::Standard, Self::FlowsOnly, Self::Inclusive];

    /// A message as it would be by the standard: number of its first unit, and units.
    fn standardize(self, step: Step) -> Step {
        let Some(flows) = step.flows else { return step };
        match self {
            Self::Standard => step,
            Self::FlowsOnly => Step { units: step.units.and(Some(flows)), ..step },
            Self::Inclusive => {
                let number = step.number.wrapping_sub(flows);
                Step { number, units: step.units.and(Some(flows)), ..step }
            }
        }
    }
}

/// Sequence numbers of one exporter.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sequence {
    next: Option<u32>,
    habit: Habit,
    /// The newest message as it came, to tell a loss from another habit.
    newest: Option<Step>,
    /// Start and length of the latest gaps, length 0 where there is none.
    holes: [(u32, u32); HOLES],
    newest_hole: usize,
    /// Where the next message would begin if the last one that was behind began a new count.
    behind: Option<u32>,
}

impl Sequence {
    /// Judges one message.
    pub(crate) fn observe(&mut self, raw: Step, mut tally: Tally<'_>) {
        let tally = &mut tally;
        let step = self.habit.standardize(raw);
        let Some(next) = self.next else {
            return self.resume(raw, tally);
        };
        let ahead = step.number.wrapping_sub(next);
        let behind = next.wrapping_sub(step.number);
        if ahead == 0 {
            return self.resume(raw, tally);
        }
        if let Some(habit) = self.other_habit(raw) {
            self.habit = habit;
            return self.resume(raw, tally);
        }
        if self.clock_went_back(raw.uptime) {
            return self.restart(raw, tally);
        }
        if ahead <= MAX_GAP {
            self.newest_hole = (self.newest_hole + 1) % HOLES;
            if let Some(hole) = self.holes.get_mut(self.newest_hole) {
                *hole = (next, ahead);
            }
            self.resume(raw, tally);
            return tally.missing(ahead);
        }
        if self.close_hole(step, tally).is_some() {
            return tally.reordered();
        }
        if behind <= WINDOW && self.behind != Some(step.number) {
            self.behind = step.units.map(|n| step.number.wrapping_add(n));
            return tally.duplicate(step.units.unwrap_or(0));
        }
        self.restart(raw, tally);
    }

    /// Takes this message for the newest, which all that follow come after.
    fn resume(&mut self, raw: Step, tally: &mut Tally<'_>) {
        tally.all.sequence_unchecked += u64::from(raw.units.is_none());
        let step = self.habit.standardize(raw);
        self.next = step.units.map(|n| step.number.wrapping_add(n));
        self.newest = Some(raw);
        self.behind = None;
    }

    fn restart(&mut self, raw: Step, tally: &mut Tally<'_>) {
        tally.restart();
        self.holes = Default::default();
        self.resume(raw, tally);
    }

    /// The habit by which this message follows the newest without a gap, if there is one.
    fn other_habit(&self, raw: Step) -> Option<Habit> {
        raw.flows?;
        let newest = self.newest?;
        Habit::ALL.into_iter().filter(|h| *h != self.habit).find(|habit| {
            let (newest, step) = (habit.standardize(newest), habit.standardize(raw));
            newest.units.is_some_and(|units| newest.number.wrapping_add(units) == step.number)
        })
    }

    /// A late datagram gives back the loss it was taken for.
    fn close_hole(&mut self, step: Step, tally: &mut Tally<'_>) -> Option<()> {
        let units = step.units?;
        let inside = |&(start, len): &(u32, u32)| {
            let skip = step.number.wrapping_sub(start);
            skip < len && units <= len - skip && units > 0
        };
        let at = self.holes.iter().position(inside)?;
        let (start, len) = *self.holes.get(at)?;
        let before = step.number.wrapping_sub(start);
        let after = len - before - units;
        let halves = [(start, before), (step.number.wrapping_add(units), after)];
        // The longer half stays open; a shorter one beside it is taken for lost.
        let [keep, spare] = if before >= after { halves } else { [halves[1], halves[0]] };
        *self.holes.get_mut(at)? = keep;
        if spare.1 > 0 {
            // A free place, if there is one.
            if let Some(free) = self.holes.iter_mut().find(|h| h.1 == 0) {
                *free = spare;
            }
        }
        let is_closed = before == 0 && after == 0;
        tally.recovered(units, is_closed);
        Some(())
    }

    /// Whether the exporter's uptime went back by more than datagrams overtake each other.
    fn clock_went_back(&self, uptime: Option<u32>) -> bool {
        const OVERTAKING_MS: i32 = 10_000;
        match (self.newest.and_then(|n| n.uptime), uptime) {
            (Some(old), Some(new)) => (new.wrapping_sub(old) as i32) < -OVERTAKING_MS,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Counters, ExporterCounts};

    fn observe(sequence: &mut Sequence, step: Step, all: &mut Counters) {
        let counts = &mut ExporterCounts::default();
        sequence.observe(step, Tally { counts, all, unit: Unit::Records });
    }

    /// Runs (number, units, uptime) and returns (gaps, lost, reordered, duplicates, restarts).
    fn run(steps: &[(u32, Option<u32>, Option<u32>)]) -> (u64, u64, u64, u64, u64) {
        let (mut sequence, mut c) = (Sequence::default(), Counters::default());
        for &(number, units, uptime) in steps {
            let step = Step { number, units, flows: units, uptime };
            observe(&mut sequence, step, &mut c);
        }
        (c.sequence_gaps, c.lost_records, c.reordered, c.duplicates, c.restarts)
    }

    /// Messages of `units` units each.
    fn plain(numbers: &[u32], units: u32) -> (u64, u64, u64, u64, u64) {
        run(&numbers.iter().map(|n| (*n, Some(units), None)).collect::<Vec<_>>())
    }

    #[test]
    fn verdicts() {
        for (name, numbers, units, want) in [
            ("continuous", &[100, 130, 160][..], 30, (0, 0, 0, 0, 0)),
            ("across the wrap", &[u32::MAX - 9, 0, 10], 10, (0, 0, 0, 0, 0)),
            ("two lost", &[100, 190, 220], 30, (1, 60, 0, 0, 0)),
            ("loss across the wrap", &[u32::MAX - 9, 20], 10, (1, 20, 0, 0, 0)),
            ("swapped", &[100, 160, 130, 190], 30, (0, 0, 1, 0, 0)),
            ("two late, newest first", &[0, 3, 2, 1, 4], 1, (0, 0, 2, 0, 0)),
            ("two late in a row", &[0, 30, 40, 10, 20, 50], 10, (0, 0, 2, 0, 0)),
            ("middle of a gap is late", &[0, 50, 20, 60], 10, (1, 30, 1, 0, 0)),
            ("doubled", &[100, 130, 130, 160], 30, (0, 0, 0, 1, 0)),
            ("started again from 0", &[9_000_000, 9_000_030, 0, 30], 30, (0, 0, 0, 0, 1)),
            ("young and started again", &[60, 90, 0, 30, 60], 30, (0, 0, 0, 1, 1)),
            ("far ahead is no loss", &[0, 1 << 28, (1 << 28) + 30], 30, (0, 0, 0, 0, 1)),
        ] {
            assert_eq!(plain(numbers, units), want, "{name}");
        }
    }

    #[test]
    fn uptime_going_back_is_a_restart() {
        let step = |n, up| (n, Some(1), Some(up));
        assert_eq!(run(&[step(500, 900_000), step(501, 901_000), step(700, 5_000)]).4, 1);
        assert_eq!(run(&[step(500, 900_000), step(0, 5_000), step(1, 6_000)]), (0, 0, 0, 0, 1));
        // The clock wraps and a datagram is lost: loss, no restart.
        assert_eq!(run(&[step(1, u32::MAX - 10), step(3, 400)]), (1, 1, 0, 0, 0));
    }

    #[test]
    fn habits_of_ipfix_exporters() {
        // (number, options records, flows)
        for (name, messages, want) in [
            ("standard", &[(0, 1, 9), (10, 0, 5), (15, 0, 5)][..], (0, 0)),
            ("flows only", &[(0, 1, 9), (9, 0, 5), (14, 2, 5), (19, 0, 1)], (0, 0)),
            ("inclusive", &[(9, 1, 9), (14, 0, 5), (21, 1, 7)], (0, 0)),
            ("flows only, 20 lost", &[(0, 1, 9), (9, 0, 5), (34, 0, 5)], (1, 20)),
            ("inclusive, 20 lost", &[(9, 1, 9), (14, 0, 5), (41, 1, 7)], (1, 20)),
        ] {
            let (mut sequence, mut c) = (Sequence::default(), Counters::default());
            for &(number, options, flows) in messages {
                let units = Some(options + flows);
                let step = Step { number, units, flows: Some(flows), uptime: None };
                observe(&mut sequence, step, &mut c);
            }
            assert_eq!((c.sequence_gaps, c.lost_records), want, "{name}");
            assert_eq!((c.duplicates, c.restarts), (0, 0), "{name}");
        }
    }

    #[test]
    fn messages_that_cannot_be_counted_open_no_gap() {
        let (mut sequence, mut c) = (Sequence::default(), Counters::default());
        for (number, units) in [(0, Some(5)), (5, None), (77, Some(3)), (80, Some(1))] {
            let step = Step { number, units, flows: units, uptime: None };
            observe(&mut sequence, step, &mut c);
        }
        assert_eq!((c.sequence_gaps, c.sequence_unchecked), (0, 1));
    }
}
