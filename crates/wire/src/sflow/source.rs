//! Data sources: the places of an agent where packets are chosen, ports for the most part. Each has
//! a sampling rate, a count of its samples and one of what it had to drop, all of its own.

use crate::{Counters, ExporterCounts};
use std::collections::BTreeMap;

/// A data source: class (0 is ifIndex, 1 VLAN, 2 a physical entity) and index within it (sFlow
/// version 5, section 5.1, "`sflow_data_source`").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SourceId {
    /// What kind of thing it is.
    pub class: u32,
    /// Which one.
    pub index: u32,
}

impl SourceId {
    /// From one number: 8 bits and 24 bits.
    pub(super) const fn compact(number: u32) -> Self {
        Self { class: number >> 24, index: number & 0x00ff_ffff }
    }

    /// The id of its sampler: the index alone for interfaces.
    pub(super) const fn sampler_id(self) -> i64 {
        ((self.class & 0x7fff_ffff) as i64) << 32 | self.index as i64
    }
}

/// A jump beyond this is a count set anew rather than loss.
const MAX_JUMP: u32 = 1 << 24;

/// Samples behind the newest one at which one still counts as late.
const WINDOW: u32 = 4096;

/// What is known of one data source.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Source {
    /// Its latest sampling rate.
    pub(super) rate: u32,
    /// The sequence number that comes next.
    next: Option<u32>,
    /// Samples missing that may still come.
    missing: u64,
    /// The latest count of packets dropped.
    drops: Option<u32>,
}

impl Source {
    /// Compares the counts of a sample with those of the sample before. What is missing goes to the
    /// counts of its agent, and of all.
    pub(super) fn observe(
        &mut self,
        (sequence, drops): (u32, u32),
        counts: &mut ExporterCounts,
        counters: &mut Counters,
    ) {
        let next = *self.next.get_or_insert(sequence);
        let (ahead, behind) = (sequence.wrapping_sub(next), next.wrapping_sub(sequence));
        if behind != 0 && behind <= WINDOW {
            // Late: it was taken for lost when a later one came.
            if self.missing > 0 {
                self.missing -= 1;
                counts.recovered_samples += 1;
                counters.sflow_lost_samples = counters.sflow_lost_samples.saturating_sub(1);
                return;
            }
        } else if ahead <= MAX_JUMP {
            self.missing += u64::from(ahead);
            counts.missing_samples += u64::from(ahead);
            counters.sflow_lost_samples += u64::from(ahead);
        }
        self.next = Some(sequence.wrapping_add(1));
        let more = drops.wrapping_sub(*self.drops.get_or_insert(drops));
        if more <= MAX_JUMP {
            counters.sflow_drops += u64::from(more);
        }
        self.drops = Some(drops);
    }
}

/// All data sources of one agent.
#[derive(Debug, Default)]
pub(crate) struct Sources(BTreeMap<SourceId, Source>);

impl Sources {
    /// The source with this id; a new one if `has_room` says that there is room for it beside as
    /// many as there are.
    pub(super) fn find_or_add(
        &mut self,
        id: SourceId,
        has_room: impl FnOnce(usize) -> bool,
    ) -> Option<&mut Source> {
        if !self.0.contains_key(&id) && !has_room(self.0.len()) {
            return None;
        }
        Some(self.0.entry(id).or_default())
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Forgets all counts, because the agent has started again.
    pub(super) fn restart(&mut self) {
        for source in self.0.values_mut() {
            *source = Source { rate: source.rate, ..Source::default() };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_samples_and_drops() {
        for (name, samples, want) in [
            ("in a row", &[(7, 0), (8, 0), (9, 0)][..], (0, 0)),
            ("across the wrap", &[(u32::MAX, 0), (0, 0)], (0, 0)),
            ("two lost", &[(7, 0), (10, 0), (11, 0)], (2, 0)),
            ("late", &[(7, 0), (9, 0), (8, 0), (10, 0)], (0, 0)),
            ("late, one of two", &[(7, 0), (10, 0), (8, 0), (11, 0)], (1, 0)),
            ("started again", &[(9_000, 5), (1, 0), (2, 1)], (0, 1)),
            ("young and started again", &[(90, 5), (1, 0), (2, 1)], (0, 1)),
            ("far ahead", &[(1, 0), (1 << 30, 0), ((1 << 30) + 1, 0)], (0, 0)),
            ("drops of before are not counted", &[(1, 100), (2, 103), (3, 103), (4, 104)], (0, 4)),
            ("drops across the wrap", &[(1, u32::MAX), (2, 1)], (0, 2)),
        ] {
            let (mut source, mut c) = (Source::default(), Counters::default());
            let mut of_agent = ExporterCounts::default();
            for sample in samples {
                source.observe(*sample, &mut of_agent, &mut c);
            }
            assert_eq!((c.sflow_lost_samples, c.sflow_drops), want, "{name}");
            let lost = of_agent.missing_samples - of_agent.recovered_samples;
            assert_eq!(lost, want.0, "{name}");
        }
    }

    #[test]
    fn sources_are_bounded_and_keep_their_rate_over_a_restart() {
        let mut sources = Sources::default();
        for index in 0..5 {
            let id = SourceId { class: 0, index };
            if let Some(source) = sources.find_or_add(id, |n| n < 3) {
                source.rate = 100 + index;
            }
        }
        assert_eq!(sources.0.len(), 3);
        sources.restart();
        let first = sources.find_or_add(SourceId { class: 0, index: 0 }, |_| false);
        assert_eq!(first.map(|s| (s.rate, s.next)), Some((100, None)));
    }

    #[test]
    fn ids() {
        let id = SourceId::compact(0x0200_03e8);
        assert_eq!(id, SourceId { class: 2, index: 1000 });
        assert_eq!(id.sampler_id(), 2 << 32 | 1000);
        assert_eq!(SourceId { class: u32::MAX, index: 7 }.sampler_id(), i64::MAX >> 32 << 32 | 7);
    }
}
