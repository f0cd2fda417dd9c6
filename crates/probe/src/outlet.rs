//! What becomes of a conversation that ended: records that are exported, flows in files, or only
//! numbers.

use std::time::Duration;

use export::{DestinationCounts, Dispatch, Files, FilesCounts};
use record::code::record_flags;
use record::{Field, Flow, Mac};
use wire::export::ExportCounts;
use wire::packet::LABELS;

use crate::{Ended, Way};

/// Takes conversations from the cache, and hands them to encoders and files. Without either it only
/// counts.
#[derive(Default)]
pub struct Outlet {
    export: Option<Export>,
    files: Option<FilesOut>,
    taker: Option<Taker>,
    macs: Macs,
    flow: Flow,
    ended: u64,
    exported: u64,
}

/// What becomes of MAC addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Macs {
    /// Flows have them: 18 octets that few ask for.
    pub are_told: bool,
    /// The probe's own: a flow to it came in, one from it went out, whatever the capture says.
    pub own: Option<Mac>,
}

impl Macs {
    fn apply(self, flow: &mut Flow) {
        const FIELDS: [Field; 3] = [Field::InSrcMac, Field::InDstMac, Field::OutDstMac];
        if self.own.is_some() {
            for (field, way) in [(Field::InDstMac, 0), (Field::InSrcMac, 1)] {
                if flow.as_row().mac(field) == self.own {
                    flow.set(Field::Direction, way);
                }
            }
        }
        if !self.are_told {
            FIELDS.iter().for_each(|field| flow.unset(*field));
        }
    }
}

struct Export {
    dispatch: Dispatch,
    biflow: bool,
    /// MPLS labels in a record.
    labels: usize,
}

/// Whoever takes flows with the time they are exported at.
type Taker = Box<dyn FnMut(u64, &mut Flow) + Send>;

struct FilesOut {
    files: Files,
    biflow: bool,
    /// One packet of so many was counted.
    rate: u64,
}

/// What became of the conversations, softflowd's `Flows exported: N (M records) in K packets (F
/// failures)` among it.
#[derive(Clone, Debug, Default)]
pub struct OutletCounts {
    /// Conversations, and parts of them, that came.
    pub ended: u64,
    /// Of those, the ones of which a record was exported: N.
    pub exported: u64,
    /// What the encoders did: `records` is M, `datagrams` is K.
    pub export: ExportCounts,
    /// What became of the datagrams, by destination.
    pub destinations: Vec<(String, DestinationCounts)>,
    /// What became of flows in files.
    pub files: FilesCounts,
}

impl OutletCounts {
    /// Datagrams that were not sent, or that nobody listened for, at all destinations: F.
    pub fn failures(&self) -> u64 {
        self.destinations.iter().map(|(_, counts)| counts.failures()).sum()
    }
}

impl Outlet {
    /// An outlet that counts.
    pub fn new() -> Self {
        Self::default()
    }

    /// Exports, too. With `biflow` a conversation is one record of both directions, where the
    /// version is IPFIX; otherwise one for each direction that had packets.
    #[must_use]
    pub fn with_export(mut self, dispatch: Dispatch, biflow: bool) -> Self {
        let biflow = biflow && dispatch.version() == wire::export::Version::Ipfix;
        self.export = Some(Export { dispatch, biflow, labels: LABELS.len() });
        self
    }

    /// What becomes of MAC addresses.
    #[must_use]
    pub const fn with_macs(mut self, macs: Macs) -> Self {
        self.macs = macs;
        self
    }

    /// MPLS labels in exported records, at most: 10 unless told.
    #[must_use]
    pub fn with_labels(mut self, most: u8) -> Self {
        self.export.iter_mut().for_each(|export| export.labels = usize::from(most));
        self
    }

    /// Writes files, too. With `biflow` a conversation is one flow of both directions: with packets
    /// and octets out beside those in.
    #[must_use]
    pub fn with_files(mut self, files: Files, biflow: bool) -> Self {
        self.files = Some(FilesOut { files, biflow, rate: 1 });
        self
    }

    /// Hands each flow to `taker`, too, with the time it is exported at: a flow for each direction
    /// that had packets.
    #[must_use]
    pub fn with_taker(mut self, taker: impl FnMut(u64, &mut Flow) + Send + 'static) -> Self {
        self.taker = Some(Box::new(taker));
        self
    }

    /// One packet of `rate` is counted: flows in files have that many times the packets and octets,
    /// as those that collectors store. Exports say the rate, and have what was counted.
    #[must_use]
    pub fn with_sampling(mut self, rate: u32) -> Self {
        self.files.iter_mut().for_each(|out| out.rate = u64::from(rate.max(1)));
        self
    }

    /// Takes a conversation.
    pub fn ended(&mut self, now_ms: u64, ended: &Ended) {
        self.ended += 1;
        let flow = &mut self.flow;
        if let Some(Export { dispatch, biflow, labels }) = &mut self.export {
            let times = Some((ended.first_ns, ended.last_ns));
            let before = dispatch.records();
            // What MAC addresses say has no place on the short way.
            let is_short = !*biflow && self.macs == Macs::default();
            for way in ways(*biflow).iter().filter(|way| ended.has(**way)) {
                if let Some(plain) = is_short.then(|| ended.plain(*way)).flatten() {
                    dispatch.plain(now_ms, &plain);
                    continue;
                }
                ended.fill(*way, flow);
                self.macs.apply(flow);
                LABELS.iter().skip(*labels).for_each(|field| flow.unset(*field));
                dispatch.flow(now_ms, flow.as_row(), times);
            }
            self.exported += u64::from(dispatch.records() > before);
        }
        if let Some(FilesOut { files, biflow, rate }) = &mut self.files {
            for way in ways(*biflow).iter().filter(|way| ended.has(**way)) {
                ended.fill(*way, flow);
                self.macs.apply(flow);
                scale(flow, *rate);
                files.flow(now_ms, flow);
            }
        }
        if let Some(take) = &mut self.taker {
            for way in ways(false).iter().filter(|way| ended.has(**way)) {
                ended.fill(*way, flow);
                self.macs.apply(flow);
                take(now_ms, flow);
            }
        }
    }

    /// To be called some times a second: sends and writes what is due.
    pub fn tick(&mut self, now_ms: u64) {
        self.export.iter_mut().for_each(|export| export.dispatch.tick(now_ms));
        self.files.iter_mut().for_each(|out| out.files.tick(now_ms));
    }

    /// Sends and writes what waits for more.
    pub fn flush(&mut self, now_ms: u64) {
        self.export.iter_mut().for_each(|export| export.dispatch.flush(now_ms));
        self.files.iter_mut().for_each(|out| out.files.flush());
    }

    /// Sends and writes everything, and ends. Destinations that have not taken it after `patience`
    /// lose it, and it is counted. Nothing may follow but [`counts`](Self::counts).
    pub fn finish(&mut self, now_ms: u64, patience: Duration) {
        self.export.iter_mut().for_each(|export| export.dispatch.finish(now_ms, patience));
        self.files.iter_mut().for_each(|out| out.files.finish());
    }

    /// What is exported, to ask for templates or name interfaces.
    pub fn dispatch(&mut self) -> Option<&mut Dispatch> {
        self.export.as_mut().map(|export| &mut export.dispatch)
    }

    /// The files, to note losses or name interfaces.
    pub fn files(&mut self) -> Option<&mut Files> {
        self.files.as_mut().map(|out| &mut out.files)
    }

    /// What became of everything so far.
    pub fn counts(&self) -> OutletCounts {
        let dispatch = self.export.as_ref().map(|export| &export.dispatch);
        OutletCounts {
            ended: self.ended,
            exported: self.exported,
            export: dispatch.map(Dispatch::counts).unwrap_or_default(),
            destinations: dispatch.map(Dispatch::destinations).unwrap_or_default(),
            files: self.files.as_ref().map(|out| out.files.counts()).unwrap_or_default(),
        }
    }
}

/// Counts what sampling has passed over.
fn scale(flow: &mut Flow, rate: u64) {
    if rate == 1 {
        return;
    }
    for field in [Field::Packets, Field::Bytes, Field::OutPackets, Field::OutBytes] {
        if flow.has(field) {
            flow.set(field, flow.number(field).saturating_mul(rate));
        }
    }
    flow.set(Field::RecordFlags, u64::from(record_flags::SAMPLED));
}

/// Which flows are made of a conversation.
const fn ways(biflow: bool) -> &'static [Way] {
    match biflow {
        true => &[Way::Both],
        false => &[Way::Forward, Way::Backward],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_macs_tell_the_direction() {
        let (own, other) = (Mac(7), Mac(9));
        for (src, dst, before, want) in [
            (other, own, None, Some(0)),
            (own, other, None, Some(1)),
            (own, other, Some(0), Some(1)),
            (other, other, Some(1), Some(1)),
            (other, other, None, None),
        ] {
            for are_told in [true, false] {
                let mut flow = Flow::new();
                flow.set(Field::InSrcMac, src.0);
                flow.set(Field::InDstMac, dst.0);
                before.map(|way| flow.set(Field::Direction, way));
                Macs { are_told, own: Some(own) }.apply(&mut flow);
                assert_eq!(flow.as_row().u64(Field::Direction), want);
                assert_eq!(flow.has(Field::InSrcMac), are_told);
            }
        }
    }

    #[test]
    fn sampling_multiplies_what_is_there() {
        let mut flow = Flow::new();
        flow.set(Field::Packets, 3);
        flow.set(Field::Bytes, u64::MAX / 2);
        scale(&mut flow, 1);
        assert_eq!((flow.number(Field::Packets), flow.has(Field::RecordFlags)), (3, false));
        scale(&mut flow, 100);
        assert_eq!((flow.number(Field::Packets), flow.number(Field::Bytes)), (300, u64::MAX));
        assert!(!flow.has(Field::OutBytes));
        assert_eq!(flow.number(Field::RecordFlags), u64::from(record_flags::SAMPLED));
    }
}
