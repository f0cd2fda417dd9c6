//! What exporters make the log say, within limits: a line each for those that are new or at fault,
//! and a sum for the rest of the slot. Whoever can send datagrams cannot fill the disk with them.

use std::collections::HashMap;

use record::{Addr, Exporter, Sampler};
use wire::DecodeError;

/// How much was said in this slot.
#[derive(Debug, Default)]
pub(crate) struct Talk {
    exporters: u64,
    samplers: u64,
    faults: HashMap<Addr, u64>,
    /// Faults of senders for which there was no room.
    other_faults: u64,
}

/// New exporters, and new or changed samplers, of a slot that are logged.
const NEW: u64 = 100;
/// Faults of a sender in a slot that are logged, and senders; all are counted.
const FAULTS: u64 = 10;
const FAULTY: usize = 100;

impl Talk {
    /// Says that an exporter is new.
    pub(crate) fn exporter(&mut self, exporter: &Exporter) {
        self.exporters += 1;
        if self.exporters <= NEW {
            say_exporter(exporter);
        }
    }

    /// Says that a sampler is new or has changed. An exporter may change one with every packet.
    pub(crate) fn sampler(&mut self, sampler: &Sampler) {
        self.samplers += 1;
        if self.samplers > NEW {
            return;
        }
        let Sampler { id, algorithm, packet_interval, space_interval, .. } = sampler;
        log::info!(
            "Add new sampler id: {id}, algorithm: {algorithm}, \
             packet interval: {packet_interval}, packet space: {space_interval}"
        );
    }

    /// Says what is wrong with a datagram.
    pub(crate) fn fault(&mut self, ident: &str, peer: Addr, error: DecodeError) {
        if self.faults.len() >= FAULTY && !self.faults.contains_key(&peer) {
            self.other_faults += 1;
            return;
        }
        let n = self.faults.entry(peer).or_default();
        *n += 1;
        if *n <= FAULTS {
            log::warn!("Ident: {ident}, packet from {peer}: {error}");
        }
    }

    /// Says what was left out, and begins anew.
    pub(crate) fn end_slot(&mut self, ident: &str) {
        let said = std::mem::take(self);
        for (what, n) in
            [("exporters, new", said.exporters), ("samplers, new or changed", said.samplers)]
        {
            if let Some(more @ 1..) = n.checked_sub(NEW) {
                log::info!("Ident: {ident}: {more} more {what}");
            }
        }
        let unsaid = said.faults.values().map(|n| n.saturating_sub(FAULTS)).sum::<u64>();
        if unsaid + said.other_faults > 0 {
            let senders = said.faults.len();
            log::warn!(
                "Ident: {ident}: {} more packets with faults, of {senders} senders and others",
                unsaid + said.other_faults
            );
        }
    }
}

fn say_exporter(exporter: &Exporter) {
    let Exporter { sysid, version, addr, id } = *exporter;
    match version {
        9 => log::info!("Process_v9: New v9 exporter: SysID: {sysid}, Domain: {id}, IP: {addr}"),
        10 => log::info!(
            "Process_ipfix: New ipfix exporter: SysID: {sysid}, Observation domain {id} from: {addr}"
        ),
        9999 => {
            log::info!("Process_sflow: New exporter: SysID: {sysid}, sub agent {id}, IP: {addr}")
        }
        _ => log::info!(
            "Process_v{version}: New exporter: SysID: {sysid}, engine id {}, type {}, IP: {addr}",
            id & 0xff,
            id >> 8 & 0xff
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn senders_cannot_make_it_remember_without_bound() {
        let mut talk = Talk::default();
        let error = DecodeError::UnknownVersion(3);
        for n in 0..1000 {
            for _ in 0..20 {
                talk.fault("x", Addr::V4(n), error);
            }
        }
        assert_eq!(talk.faults.len(), FAULTY);
        assert_eq!(talk.other_faults, 20 * (1000 - FAULTY as u64));
        assert!(talk.faults.values().all(|n| *n == 20));
        talk.end_slot("x");
        assert!(talk.faults.is_empty() && talk.other_faults == 0);
    }
}
