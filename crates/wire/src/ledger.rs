//! The ledger: what became of everything that one exporter sent.
//!
//! Each exporter has running totals, [`ExporterCounts`], that only ever grow; what happened in a
//! slot is the difference of two readings, so slots add up to totals by construction and no count
//! of a slot is ever negative. A datagram that comes late does not lower what was counted as
//! missing when it was not there: it is counted as recovered, in the slot in which it came. Over
//! any run of slots, *missing less recovered* is what did not come.
//!
//! # The equations
//!
//! Where the sequence number counts datagrams (v9, sFlow, version 250):
//!
//! ```text
//! datagrams sent = datagrams - duplicates + missing_datagrams - recovered_datagrams
//! ```
//!
//! Where it counts records (v5, v7, IPFIX):
//!
//! ```text
//! records sent = flows - biflows + options
//!              - repeated_records                            read, each once
//!              + missing_records - recovered_records         never came
//!              + undecodable_records - undecodable_recovered came, could not be read
//!              + parked_records - unparked_records           still waiting for a template
//! ```
//!
//! Both hold from the first datagram of an exporter to its latest, between two datagrams, with
//! what its restarts make begin anew counted from there: a restart is no loss. What was lost while
//! the collector was stopped is on neither side: `missing_while_stopped` has it alone.
//!
//! The sequence number tells of a message with records that cannot be counted (cut short, or of
//! an unknown template) how many there were only when the next message comes. Until then they
//! are on neither side, and what was lost right behind a message that is cut short is counted
//! with what was cut off.
//!
//! Datagrams received = `datagrams_whole()` + `bad_datagrams` + `duplicates_dropped`.
//!
//! Costs: a few additions per datagram, none per record.

use crate::Counters;
use crate::counters::counters;
use crate::sequence::Unit;
use record::{Exporter, ExporterStats};

counters! {
    ExporterCounts, "What became of everything that one exporter sent: since it was first seen, or in a slot. \
     See [`since`](Self::since) for slots, and \
     [`sent_datagrams`](Self::sent_datagrams) and [`sent_records`](Self::sent_records) for how they add up.";
    datagrams: "export datagrams received (IPFIX: messages)";
    bad_datagrams: "of those, datagrams with at least one fault";
    duplicates: "of those, datagrams with a sequence number already seen";
    duplicates_dropped: "of the duplicates, datagrams equal octet for octet to a recent one: not read again";
    reordered: "of those, datagrams that came late and closed a gap";
    missing_datagrams: "datagrams missing by sequence number (v9, sFlow, version 250)";
    recovered_datagrams: "datagrams that were counted as missing and came late";
    flows: "flow records delivered";
    biflows: "of those, second directions of records that were delivered already";
    options: "options records read";
    repeated_records: "records read again: of duplicates that were not dropped (v5, v7, IPFIX)";
    missing_records: "records missing by sequence number (v5, v7, IPFIX)";
    recovered_records: "records that were counted as missing and came late";
    undecodable_records: "records that came and could not be read, by sequence number (v5, v7, IPFIX)";
    undecodable_recovered: "of those, records that were read after all: of datagrams that came late";
    parked_records: "records put off until their template comes, by sequence number (IPFIX)";
    unparked_records: "of those, records that are read, missing or undecodable by now";
    missing_while_stopped: "datagrams or records missing between two runs of the collector";
    gaps: "gaps in sequence numbers";
    gaps_closed: "gaps that late datagrams closed";
    restarts: "sequence numbers that began anew";
    sets_parked: "data sets put off until their template comes";
    sets_unparked: "of those, data sets read since";
    sets_without_template: "data sets dropped because their template never came";
    bad_sets: "sets cut short, with an impossible length or a reserved id";
    truncated_records: "records cut short";
    refused: "templates, samplers and names refused by a limit";
    missing_samples: "flow samples missing by the sequence numbers of their data sources (sFlow)";
    recovered_samples: "flow samples that were counted as missing and came late (sFlow)";
    samples_dropped: "packets the exporter chose to sample and dropped for lack of resources (sFlow)";
}

impl ExporterCounts {
    /// Data records read, of flows and of options.
    pub const fn records(&self) -> u64 {
        self.flows.wrapping_sub(self.biflows).wrapping_add(self.options)
    }

    /// Datagrams that were read without a fault.
    pub const fn datagrams_whole(&self) -> u64 {
        self.datagrams.saturating_sub(self.bad_datagrams).saturating_sub(self.duplicates_dropped)
    }

    /// Data sets that wait for their template now. Of running totals; of a slot it is the change,
    /// and 0 if there are fewer than before.
    pub const fn sets_waiting(&self) -> u64 {
        self.sets_parked
            .saturating_sub(self.sets_unparked)
            .saturating_sub(self.sets_without_template)
    }

    /// Datagrams that did not come, 0 if more came late than were lost.
    pub const fn lost_datagrams(&self) -> u64 {
        self.missing_datagrams.saturating_sub(self.recovered_datagrams)
    }

    /// Records that did not come or could not be read, 0 if more came late than were lost.
    pub const fn lost_records(&self) -> u64 {
        (self.missing_records + self.undecodable_records)
            .saturating_sub(self.recovered_records + self.undecodable_recovered)
    }

    /// Datagrams that the exporter sent, where its sequence number counts them (v9, sFlow, version
    /// 250).
    pub const fn sent_datagrams(&self) -> u64 {
        self.datagrams
            .wrapping_sub(self.duplicates)
            .wrapping_add(self.missing_datagrams)
            .wrapping_sub(self.recovered_datagrams)
    }

    /// Records that the exporter sent, where its sequence number counts them (v5, v7, IPFIX).
    pub const fn sent_records(&self) -> u64 {
        self.records()
            .wrapping_sub(self.repeated_records)
            .wrapping_add(self.missing_records)
            .wrapping_sub(self.recovered_records)
            .wrapping_add(self.undecodable_records)
            .wrapping_sub(self.undecodable_recovered)
            .wrapping_add(self.parked_records)
            .wrapping_sub(self.unparked_records)
    }

    /// Adds the difference of two marks.
    const fn add(&mut self, from: &Marks, to: &Marks) {
        self.flows += to.flows.wrapping_sub(from.flows);
        self.biflows += to.biflows.wrapping_sub(from.biflows);
        self.options += to.options.wrapping_sub(from.options);
        self.bad_sets += to.bad_sets.wrapping_sub(from.bad_sets);
        self.truncated_records += to.truncated_records.wrapping_sub(from.truncated_records);
        self.refused += to.refused.wrapping_sub(from.refused);
        self.samples_dropped += to.samples_dropped.wrapping_sub(from.samples_dropped);
        self.bad_datagrams += (to.faults != from.faults) as u64;
    }
}

/// What one exporter did in a slot: between two calls of
/// [`Decoder::take_slots`](crate::Decoder::take_slots).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExporterSlot {
    /// Who it is. [`Exporter::sysid`] is 0 for those beyond the 65 535th.
    pub exporter: Exporter,
    /// What became of what it sent.
    pub counts: ExporterCounts,
}

impl ExporterSlot {
    /// What flow files keep of it (file format, section 6.5).
    pub fn stats(&self) -> ExporterStats {
        let gaps = self.counts.gaps.saturating_sub(self.counts.gaps_closed);
        ExporterStats {
            sysid: self.exporter.sysid,
            sequence_failures: u32::try_from(gaps).unwrap_or(u32::MAX),
            packets: self.counts.datagrams,
            flows: self.counts.flows,
        }
    }
}

/// Running totals of one exporter, and where they stood when the slot began.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) totals: ExporterCounts,
    slot_start: ExporterCounts,
}

impl Ledger {
    /// What was counted since the last call.
    pub(crate) const fn take_slot(&mut self) -> ExporterCounts {
        let slot = self.totals.since(&self.slot_start);
        self.slot_start = self.totals;
        slot
    }

    /// Counts a message from where its reading began to here.
    pub(crate) const fn close(&mut self, open: &Open, counters: &Counters) {
        let marks = Marks::of(counters);
        self.totals.add(&open.marks, &marks);
        if let Some(announced) = open.announced {
            let read = marks.flows.wrapping_sub(open.marks.flows);
            self.totals.undecodable_records += (announced as u64).saturating_sub(read);
        }
    }
}

/// A message that is being read: counted when it ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Open {
    /// Whose it is.
    pub(crate) exporter: usize,
    /// How many flows its header announces, where it does (v1, v5, v7, version 250).
    pub(crate) announced: Option<u32>,
    /// The transport session it came over, if it did.
    pub(crate) session: Option<u32>,
    marks: Marks,
}

impl Open {
    pub(crate) const fn new(exporter: usize, session: Option<u32>, counters: &Counters) -> Self {
        Self { exporter, announced: None, session, marks: Marks::of(counters) }
    }

    /// Says that so many faults were found meanwhile that are not of this message.
    pub(crate) const fn pardon(&mut self, faults: u64) {
        self.marks.faults = self.marks.faults.wrapping_add(faults);
    }
}

/// Counters of all exporters at one moment: two of them tell what a message did.
#[derive(Clone, Copy, Debug)]
struct Marks {
    flows: u64,
    biflows: u64,
    options: u64,
    bad_sets: u64,
    truncated_records: u64,
    refused: u64,
    samples_dropped: u64,
    faults: u64,
}

impl Marks {
    const fn of(c: &Counters) -> Self {
        let bad_sets = c.bad_sets.wrapping_add(c.truncated_sets);
        Self {
            flows: c.flows,
            biflows: c.biflows,
            options: c.options_records,
            bad_sets,
            truncated_records: c.truncated_records,
            refused: c
                .templates_many_fields
                .wrapping_add(c.templates_over_limit)
                .wrapping_add(c.templates_over_memory)
                .wrapping_add(c.samplers_refused)
                .wrapping_add(c.names_refused),
            samples_dropped: c.sflow_drops,
            faults: bad_sets
                .wrapping_add(c.bad_messages)
                .wrapping_add(c.bad_records)
                .wrapping_add(c.truncated_messages)
                .wrapping_add(c.truncated_records)
                .wrapping_add(c.sflow_truncated_samples),
        }
    }
}

/// Counts of loss, of one exporter and of all together: what a sequence number says goes to both.
pub(crate) struct Tally<'a> {
    pub(crate) counts: &'a mut ExporterCounts,
    pub(crate) all: &'a mut Counters,
    pub(crate) unit: Unit,
}

impl Tally<'_> {
    /// A gap of so many units.
    pub(crate) const fn missing(&mut self, units: u32) {
        self.counts.gaps += 1;
        self.all.sequence_gaps += 1;
        let units = units as u64;
        match self.unit {
            Unit::Datagrams => {
                self.counts.missing_datagrams += units;
                self.all.lost_datagrams += units;
            }
            Unit::Records => {
                self.counts.missing_records += units;
                self.all.lost_records += units;
            }
        }
    }

    /// A late datagram with so many units of a gap, which it may have closed.
    pub(crate) const fn recovered(&mut self, units: u32, is_closed: bool) {
        self.counts.gaps_closed += is_closed as u64;
        self.all.sequence_gaps = self.all.sequence_gaps.saturating_sub(is_closed as u64);
        let units = units as u64;
        match self.unit {
            Unit::Datagrams => {
                self.counts.recovered_datagrams += units;
                self.all.lost_datagrams = self.all.lost_datagrams.saturating_sub(units);
            }
            Unit::Records => {
                self.counts.recovered_records += units;
                self.all.lost_records = self.all.lost_records.saturating_sub(units);
            }
        }
    }

    /// So many units came and could not be read.
    pub(crate) const fn undecodable(&mut self, units: u32) {
        self.counts.undecodable_records += units as u64;
    }

    /// A late datagram with so many units that were taken for a part of one that could not be read.
    pub(crate) const fn undecodable_recovered(&mut self, units: u32) {
        self.counts.undecodable_recovered += units as u64;
    }

    /// So many units are put off.
    pub(crate) const fn parked(&mut self, units: u32) {
        self.counts.parked_records += units as u64;
    }

    /// Of so many units put off it is known now what they are.
    pub(crate) const fn unparked(&mut self, units: u32) {
        self.counts.unparked_records += units as u64;
    }

    /// A late datagram.
    pub(crate) const fn reordered(&mut self) {
        self.counts.reordered += 1;
        self.all.reordered += 1;
    }

    /// A datagram with a number already seen, which was read again.
    pub(crate) const fn duplicate(&mut self, units: u32) {
        self.counts.duplicates += 1;
        self.all.duplicates += 1;
        if matches!(self.unit, Unit::Records) {
            self.counts.repeated_records += units as u64;
        }
    }

    /// Numbers that began anew.
    pub(crate) const fn restart(&mut self) {
        self.counts.restarts += 1;
        self.all.restarts += 1;
    }
}
