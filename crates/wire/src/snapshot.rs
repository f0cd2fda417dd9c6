//! What outlasts a restart of the collector: who the exporters are and what they said of
//! themselves and of their data.
//!
//! Without it a collector that starts waits for each exporter to repeat its templates and
//! sampling rates, which takes up to half an hour. A [`Snapshot`] is plain data that serde can
//! write and read; files and their format are the caller's business.
//!
//! A snapshot that is read is input from outside: each part of it goes through the same checks
//! and limits as if an exporter had sent it, and what does not pass is left out and counted. Its
//! size in memory is the reader's to bound.
//!
//! Not in it: data sets that wait for templates, what belongs to transport sessions, counts.

use crate::exporter::{SILENCE_MS, State};
use crate::sequence::{Bookmark, Habit, Sequence, Uptime};
use crate::template::{Definition, FieldSpec, Memory};
use crate::{Counters, Decoder, Protocol};
use record::{NameTable, Sampler};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use thiserror::Error;

/// The version that is written, and the only one that is read.
const VERSION: u32 = 1;

/// Exporters that were silent for so long are not restored: 30 days, or [`SILENCE_MS`] where no
/// record of them was ever read.
const EXPORTER_AGE_MS: u64 = 30 * 24 * 60 * 60 * 1000;

/// How often [`Decoder::changes`] moves though nothing but the age of templates changed.
const HOUR_MS: u64 = 60 * 60 * 1000;

/// What a decoder knows of exporters, to be saved and restored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    version: u32,
    exporters: Vec<SavedExporter>,
}

/// How the collector that took a snapshot ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Continuity {
    /// In order, the snapshot being its last act. Sequence numbers go on: what an exporter sent in
    /// between is counted as
    /// [`missing_while_stopped`](crate::ExporterCounts::missing_while_stopped).
    Clean,
    /// Some time after the snapshot. Sequence numbers begin anew.
    Crashed,
}

/// What became of a snapshot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// Exporters that are known again.
    pub exporters: u64,
    /// Templates that hold again.
    pub templates: u64,
    /// Templates and exporters that are too old.
    pub outdated: u64,
    /// Parts that a limit refused, or that cannot be.
    pub refused: u64,
}

/// A snapshot of another version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("snapshot of version {0}, but this is version {VERSION}: templates are learned anew")]
pub struct SnapshotVersion(pub u32);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct SavedExporter {
    address: IpAddr,
    /// Where it is another: the address by which an sFlow agent names itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    agent: Option<IpAddr>,
    version: u32,
    id: u32,
    number: u32,
    seen_ms: u64,
    /// Whether no record of it was ever read.
    #[serde(default, skip_serializing_if = "is_false")]
    barren: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    boot_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    boot_guess_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    next_sequence: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    uptime_ms: Option<u32>,
    /// Position in [`Habit::ALL`].
    #[serde(default)]
    habit: usize,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    templates: Vec<SavedTemplate>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    samplers: Vec<SavedSampler>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    interfaces: Vec<(u32, Text)>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    vrfs: Vec<(u32, Text)>,
    /// Id, name, description.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    applications: Vec<(Text, Text, Text)>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
const fn is_false(flag: &bool) -> bool {
    !*flag
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct SavedTemplate {
    id: u16,
    #[serde(default)]
    options: bool,
    seen_ms: u64,
    /// Enterprise, element, length.
    fields: Vec<(u32, u16, u16)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct SavedSampler {
    id: i64,
    algorithm: u16,
    taken: u32,
    skipped: u32,
}

/// Octets as text, each a character of its own (U+0000 to U+00FF): names are nearly always ASCII.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
struct Text(String);

impl Text {
    fn of(octets: &[u8]) -> Self {
        Self(octets.iter().map(|b| char::from(*b)).collect())
    }

    fn octets(&self) -> Vec<u8> {
        self.0.chars().map(|c| u8::try_from(c).unwrap_or(b'?')).collect()
    }
}

impl Decoder {
    /// All that outlasts a restart.
    pub fn snapshot(&self) -> Snapshot {
        let exporters = self.exporters.iter().map(SavedExporter::of).collect();
        Snapshot { version: VERSION, exporters }
    }

    /// A number that moves when a [`snapshot`](Self::snapshot) would differ from the last one in
    /// more than sequence numbers, and once an hour: then is a time to save.
    pub fn changes(&self) -> u64 {
        let c = &self.counters;
        [
            self.exporters.len() as u64,
            c.exporters_forgotten,
            c.templates_learned,
            c.templates_changed,
            c.samplers_learned,
            c.names_learned,
            c.boots_learned,
            self.now_ms / HOUR_MS,
        ]
        .into_iter()
        .fold(0, u64::wrapping_add)
    }

    /// Takes a snapshot in at `now_ms`, milliseconds since 1970: exporters with their numbers,
    /// templates that are not older than
    /// [`Limits::restored_age_ms`](crate::Limits::restored_age_ms), samplers, names, boot times.
    /// What exporters have told since holds. To be called before the first datagram, so that
    /// numbers stay what they were; sinks are told by [`announce`](Self::announce).
    ///
    /// Data sets that wait for a restored template are read with the exporter's next datagram.
    ///
    /// # Errors
    /// If the snapshot is of another version; then nothing is restored.
    pub fn restore(
        &mut self,
        snapshot: Snapshot,
        now_ms: u64,
        continuity: Continuity,
    ) -> Result<Restored, SnapshotVersion> {
        if snapshot.version != VERSION {
            return Err(SnapshotVersion(snapshot.version));
        }
        let mut restored = Restored::default();
        for saved in snapshot.exporters {
            self.restore_exporter(&saved, now_ms, continuity, &mut restored);
        }
        Ok(restored)
    }

    fn restore_exporter(
        &mut self,
        saved: &SavedExporter,
        now_ms: u64,
        continuity: Continuity,
        restored: &mut Restored,
    ) {
        let most_ms = if saved.barren { SILENCE_MS } else { EXPORTER_AGE_MS };
        if now_ms.saturating_sub(saved.seen_ms) > most_ms {
            restored.outdated += 1;
            return;
        }
        let Some(protocol) = Protocol::with_version(saved.version) else {
            restored.refused += 1;
            return;
        };
        let agent = crate::unmapped(saved.agent.unwrap_or(saved.address).into());
        let key = (crate::unmapped(saved.address.into()), protocol, saved.id, agent);
        let known = self.exporters.find(key);
        let sysid = self.exporters.free_sysid(saved.number);
        let Some(at) = known.or_else(|| self.exporters.add(key, sysid, &self.config)) else {
            restored.refused += 1;
            return;
        };
        restored.exporters += 1;
        if let Some(state) = self.exporters.get_mut(at).filter(|_| known.is_none()) {
            self.counters.exporters_unnumbered += u64::from(sysid == 0);
            saved.revive(state, now_ms, continuity);
        }
        self.restore_templates(at, saved, now_ms, restored);
        self.restore_facts(at, saved, restored);
        if let Some(state) = self.exporters.get_mut(at) {
            state.parked.expect_all();
        }
    }

    fn restore_templates(
        &mut self,
        at: usize,
        saved: &SavedExporter,
        now_ms: u64,
        restored: &mut Restored,
    ) {
        let limits = &self.config.limits;
        let Some((state, own)) = self.exporters.parts(at) else { return };
        let mut memory = Memory { own, all: &mut self.budgets };
        // What happens here is told by `restored`.
        let mut counters = Counters::default();
        for template in &saved.templates {
            let SavedTemplate { id, options: is_options, seen_ms, ref fields } = *template;
            if now_ms.saturating_sub(seen_ms) > limits.restored_age_ms {
                restored.outdated += 1;
                continue;
            }
            if state.templates.has(id) {
                continue;
            }
            let fields = fields.iter().map(|&(pen, id, len)| FieldSpec { pen, id, len }).collect();
            let definition = Definition { id, is_options, fields };
            let (protocol, purse) = (state.protocol, &mut memory.templates());
            let seen_ms = seen_ms.min(now_ms);
            state.templates.learn(protocol, definition, seen_ms, limits, purse, &mut counters);
            let is_there = state.templates.has(id);
            restored.templates += u64::from(is_there);
            restored.refused += u64::from(!is_there);
        }
    }

    /// Samplers and names.
    fn restore_facts(&mut self, at: usize, saved: &SavedExporter, restored: &mut Restored) {
        let limit = self.config.limits.samplers_per_exporter;
        let Some((state, own)) = self.exporters.parts(at) else { return };
        let mut memory = Memory { own, all: &mut self.budgets };
        let exporter = state.exporter.sysid;
        for s in &saved.samplers {
            let sampler = Sampler {
                exporter,
                algorithm: s.algorithm,
                id: s.id,
                packet_interval: s.taken,
                space_interval: s.skipped,
            };
            let is_own = s.id >= 0 || s.id == Sampler::GENERIC;
            let is_new = is_own && state.samplers.get(s.id).is_none();
            let is_refused = !is_own
                || is_new && state.samplers.learn(sampler, limit, &mut memory.samplers()).is_none();
            restored.refused += u64::from(is_refused);
        }
        let tables = [(NameTable::Interface, &saved.interfaces), (NameTable::Vrf, &saved.vrfs)];
        for (table, names) in tables {
            for (id, name) in names {
                let is_new = !state.names.numbered.contains_key(&(table, *id));
                let (name, purse) = (name.octets(), &mut memory.names());
                let is_refused = is_new && state.names.learn(table, *id, &name, purse).is_none();
                restored.refused += u64::from(is_refused);
            }
        }
        for (id, name, about) in &saved.applications {
            let (id, name, about) = (id.octets(), name.octets(), about.octets());
            let is_new = !state.names.applications.contains_key(&*id);
            let purse = &mut memory.names();
            let is_refused =
                is_new && state.names.learn_application(&id, &name, &about, purse).is_none();
            restored.refused += u64::from(is_refused);
        }
    }
}

impl SavedExporter {
    fn of(state: &State) -> Self {
        let Bookmark { next, habit, uptime } = state.sequence.bookmark();
        let templates = state.templates.views(0).map(|t| SavedTemplate {
            id: t.id,
            options: t.is_options,
            seen_ms: t.seen_ms,
            fields: t.fields.iter().map(|f| (f.pen, f.id, f.len)).collect(),
        });
        let samplers = state.samplers.iter().map(|s| SavedSampler {
            id: s.id,
            algorithm: s.algorithm,
            taken: s.packet_interval,
            skipped: s.space_interval,
        });
        let names = |wanted| {
            let named = state.names.numbered.iter();
            named.filter(move |n| n.0.0 == wanted).map(|(k, name)| (k.1, Text::of(name))).collect()
        };
        let applications = state.names.applications.iter();
        Self {
            address: state.exporter.addr.into(),
            agent: (state.agent != state.exporter.addr).then(|| state.agent.into()),
            version: state.exporter.version,
            id: state.exporter.id,
            number: state.exporter.sysid,
            seen_ms: state.seen_ms,
            barren: !state.delivers(),
            boot_ms: state.boot_ms,
            boot_guess_ms: state.boot_guess_ms,
            next_sequence: next,
            uptime_ms: uptime.map(|u| u.ms),
            habit: Habit::ALL.iter().position(|h| *h == habit).unwrap_or(0),
            templates: templates.collect(),
            // What the operator gave is the operator's to give again.
            samplers: samplers.filter(|s| s.id >= Sampler::GENERIC).collect(),
            interfaces: names(NameTable::Interface),
            vrfs: names(NameTable::Vrf),
            applications: applications
                .map(|(id, (name, about))| (Text::of(id), Text::of(name), Text::of(about)))
                .collect(),
        }
    }

    /// Sets what is not bounded by limits.
    fn revive(&self, state: &mut State, now_ms: u64, continuity: Continuity) {
        state.seen_ms = self.seen_ms.min(now_ms);
        state.has_delivered = !self.barren;
        state.boot_ms = self.boot_ms;
        state.boot_guess_ms = self.boot_guess_ms;
        let is_clean = continuity == Continuity::Clean;
        let arrival_ms = state.seen_ms;
        let uptime = self.uptime_ms.map(|ms| Uptime { ms, export_ms: 0, arrival_ms });
        state.sequence = Sequence::resume_at(Bookmark {
            next: self.next_sequence.filter(|_| is_clean),
            habit: Habit::ALL.get(self.habit).copied().unwrap_or_default(),
            uptime: uptime.filter(|_| is_clean),
        });
    }
}
