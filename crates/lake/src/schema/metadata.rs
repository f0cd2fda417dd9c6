//! What a file of the dataset says of itself, beside its rows: key-value metadata of Parquet.
//!
//! | Key | Value |
//! |---|---|
//! | `flowsuite.schema` | [`VERSION`](super::VERSION) of the columns |
//! | `flowsuite.writer` | who wrote the file |
//! | `flowsuite.source` | JSON: the flow file that the rows are of |
//! | `flowsuite.ident` | ident of that file |
//! | `flowsuite.text` | `yes` or `no`: whether addresses are there as text, too |
//! | `flowsuite.totals` | JSON: sums over the rows of this file |
//! | `flowsuite.source_totals` | JSON: sums that the flow file has of itself, if it has |
//! | `flowsuite.exporters` | JSON: exporters of these rows, their counts and samplers |
//! | `flowsuite.names` | JSON: names of interfaces, VRFs and applications; there if any |
//! | `flowsuite.loss` | JSON: what the collector said was lost, the lines of its statement |
//! | `flowsuite.damage` | JSON: what of the flow file could not be read; there if anything |
//!
//! A flow file becomes several files where its flows began in several hours or came from several
//! exporters. All of them say the same of it: whoever adds up takes each `source` once.

use super::names::Names;
use record::{Addr, Exporter, ExporterStats, Sampler, Totals};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use store::Statistics;
use store::loss::Statement;

/// What a file says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// Version of the columns.
    pub schema: u32,
    /// Program and version that wrote the file.
    pub writer: String,
    /// The flow file that the rows are of.
    pub source: Source,
    /// Its ident.
    pub ident: String,
    /// Whether addresses are there as text, too.
    pub has_text: bool,
    /// Sums over the rows.
    pub totals: Sums,
    /// Sums that the flow file has of itself.
    pub source_totals: Option<Sums>,
    /// Exporters of the rows.
    pub exporters: Vec<ExporterOf>,
    /// What exporters call their interfaces, VRFs and applications.
    pub names: Names,
    /// What the collector said was lost while it wrote the flow file.
    pub loss: Vec<Statement>,
    /// What of the flow file could not be read, `None` if all of it could.
    pub damage: Option<Damage>,
}

/// A flow file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Source {
    /// What it goes by in the dataset: its path.
    pub name: String,
    /// Octets.
    pub size: u64,
    /// When it was changed last, nanoseconds since 1970.
    pub modified_ns: i64,
}

/// Sums; arrays are TCP, UDP, ICMP, others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sums {
    /// Flows.
    pub flows: [u64; 4],
    /// Packets, both directions.
    pub packets: [u64; 4],
    /// Octets, both directions.
    pub bytes: [u64; 4],
    /// Smallest start, milliseconds since 1970; nothing where nothing was counted.
    pub first_ms: Option<u64>,
    /// Largest end, milliseconds since 1970; nothing where nothing was counted.
    pub last_ms: Option<u64>,
    /// Gaps in sequence numbers of export packets.
    pub sequence_failures: u64,
    /// Rows, which stand for several flows each where they were aggregated. 0 for flow files, which
    /// do not say.
    pub rows: u64,
}

/// An exporter, what it sent while the flow file was written, and how it samples.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExporterOf {
    /// Number that column `exporter_id` has for it.
    pub number: u32,
    /// Its address.
    pub address: IpAddr,
    /// Protocol: 1, 5, 7, 9, 10 (IPFIX), 9999 (sFlow), 250.
    pub version: u32,
    /// Id that it gave itself: source id, observation domain, engine.
    pub id: u32,
    /// Export packets received.
    pub packets: u64,
    /// Flow records received.
    pub flows: u64,
    /// Gaps in its sequence numbers.
    pub sequence_failures: u32,
    /// How it samples.
    #[serde(default)]
    pub samplers: Vec<SamplerOf>,
}

/// How an exporter samples: see [`Sampler`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "as in Sampler")]
pub struct SamplerOf {
    pub id: i64,
    pub algorithm: u16,
    pub packet_interval: u32,
    pub space_interval: u32,
}

/// What of a flow file could not be read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Damage {
    /// How the file was left, if it was not closed.
    pub state: Option<String>,
    /// Blocks that could not be read at all.
    pub unreadable_blocks: u64,
    /// Blocks of which a part could not be read.
    pub damaged_blocks: u64,
}

/// Metadata that is not what this version writes.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MetadataError {
    /// There is no key `flowsuite.schema`.
    #[error("not written by flowlake: there is no flowsuite.schema in its metadata")]
    Foreign,
    /// The columns are those of a later version.
    #[error("has columns of version {0}, this program knows those up to {known}: update it", known = super::VERSION)]
    Version(u32),
    /// A value cannot be read.
    #[error("metadata {key} cannot be read: {source}")]
    Value {
        /// Its key.
        key: &'static str,
        /// Why.
        source: serde_json::Error,
    },
}

const SCHEMA: &str = "flowsuite.schema";
const WRITER: &str = "flowsuite.writer";
const SOURCE: &str = "flowsuite.source";
const IDENT: &str = "flowsuite.ident";
const TEXT: &str = "flowsuite.text";
const TOTALS: &str = "flowsuite.totals";
const SOURCE_TOTALS: &str = "flowsuite.source_totals";
const EXPORTERS: &str = "flowsuite.exporters";
const NAMES: &str = "flowsuite.names";
const LOSS: &str = "flowsuite.loss";
const DAMAGE: &str = "flowsuite.damage";

impl About {
    /// Keys and values, in the order of the table above.
    ///
    /// # Errors
    /// Never: all values are plain.
    pub fn to_pairs(&self) -> Result<Vec<(&'static str, String)>, serde_json::Error> {
        let mut all = vec![
            (SCHEMA, self.schema.to_string()),
            (WRITER, self.writer.clone()),
            (SOURCE, serde_json::to_string(&self.source)?),
            (IDENT, self.ident.clone()),
            (TEXT, if self.has_text { "yes" } else { "no" }.to_owned()),
            (TOTALS, serde_json::to_string(&self.totals)?),
        ];
        if let Some(totals) = &self.source_totals {
            all.push((SOURCE_TOTALS, serde_json::to_string(totals)?));
        }
        all.push((EXPORTERS, serde_json::to_string(&self.exporters)?));
        if !self.names.is_empty() {
            all.push((NAMES, serde_json::to_string(&self.names)?));
        }
        if !self.loss.is_empty() {
            all.push((LOSS, serde_json::to_string(&self.loss)?));
        }
        if let Some(damage) = &self.damage {
            all.push((DAMAGE, serde_json::to_string(damage)?));
        }
        Ok(all)
    }

    /// Reads what a file says. Keys of others are passed over, those that are missing are empty.
    ///
    /// # Errors
    /// If the file is not of `flowlake`, of a later version, or a value is damaged.
    pub fn from_pairs<'a>(
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, MetadataError> {
        let mut all = Self::default();
        let mut schema = None;
        for (key, value) in pairs {
            match key {
                SCHEMA => schema = Some(value.parse::<u32>().unwrap_or(u32::MAX)),
                WRITER => value.clone_into(&mut all.writer),
                SOURCE => all.source = json(SOURCE, value)?,
                IDENT => value.clone_into(&mut all.ident),
                TEXT => all.has_text = value == "yes",
                TOTALS => all.totals = json(TOTALS, value)?,
                SOURCE_TOTALS => all.source_totals = Some(json(SOURCE_TOTALS, value)?),
                EXPORTERS => all.exporters = json(EXPORTERS, value)?,
                NAMES => all.names = json(NAMES, value)?,
                LOSS => all.loss = json(LOSS, value)?,
                DAMAGE => all.damage = Some(json(DAMAGE, value)?),
                _ => {}
            }
        }
        all.schema = schema.ok_or(MetadataError::Foreign)?;
        if all.schema > super::VERSION {
            return Err(MetadataError::Version(all.schema));
        }
        Ok(all)
    }
}

fn json<T: serde::de::DeserializeOwned>(
    key: &'static str,
    value: &str,
) -> Result<T, MetadataError> {
    serde_json::from_str(value).map_err(|source| MetadataError::Value { key, source })
}

impl From<&Totals> for Sums {
    fn from(t: &Totals) -> Self {
        let window = t.window();
        Self {
            flows: t.flows,
            packets: t.packets,
            bytes: t.bytes,
            first_ms: window.map(|w| w.0),
            last_ms: window.map(|w| w.1),
            sequence_failures: t.sequence_failures,
            rows: 0,
        }
    }
}

impl From<&Statistics> for Sums {
    fn from(s: &Statistics) -> Self {
        Self::from(&s.totals)
    }
}

impl From<Sums> for Totals {
    fn from(s: Sums) -> Self {
        Self {
            flows: s.flows,
            packets: s.packets,
            bytes: s.bytes,
            first_ms: s.first_ms.unwrap_or(u64::MAX),
            last_ms: s.last_ms.unwrap_or(0),
            sequence_failures: s.sequence_failures,
        }
    }
}

impl ExporterOf {
    /// Of an exporter, what it sent and its samplers.
    pub fn new(exporter: &Exporter, stats: &ExporterStats, samplers: &[Sampler]) -> Self {
        Self {
            number: exporter.sysid,
            address: exporter.addr.into(),
            version: exporter.version,
            id: exporter.id,
            packets: stats.packets,
            flows: stats.flows,
            sequence_failures: stats.sequence_failures,
            samplers: samplers
                .iter()
                .map(|s| SamplerOf {
                    id: s.id,
                    algorithm: s.algorithm,
                    packet_interval: s.packet_interval,
                    space_interval: s.space_interval,
                })
                .collect(),
        }
    }

    /// The exporter.
    pub fn exporter(&self) -> Exporter {
        let addr = Addr::from(self.address);
        Exporter { sysid: self.number, version: self.version, addr, id: self.id }
    }

    /// What it sent.
    pub const fn stats(&self) -> ExporterStats {
        ExporterStats {
            sysid: self.number,
            sequence_failures: self.sequence_failures,
            packets: self.packets,
            flows: self.flows,
        }
    }

    /// How it samples.
    pub fn samplers(&self) -> impl Iterator<Item = Sampler> + '_ {
        self.samplers.iter().map(|s| Sampler {
            exporter: self.number,
            algorithm: s.algorithm,
            id: s.id,
            packet_interval: s.packet_interval,
            space_interval: s.space_interval,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about() -> About {
        let exporter =
            Exporter { sysid: 3, version: 10, addr: Addr::V4(0x0A00_0001), id: 0xFFFF_FFFF };
        let stats = ExporterStats { sysid: 3, sequence_failures: 1, packets: 2, flows: u64::MAX };
        let sampler =
            Sampler { exporter: 3, algorithm: 2, id: -3, packet_interval: 1, space_interval: 999 };
        let totals = Totals {
            flows: [1, 2, 3, 4],
            packets: [5; 4],
            bytes: [u64::MAX; 4],
            first_ms: 7,
            last_ms: 8,
            sequence_failures: 9,
        };
        About {
            schema: super::super::VERSION,
            writer: "flowsuite 0.1.0".to_owned(),
            source: Source { name: "/a/b".to_owned(), size: 5, modified_ns: -1 },
            ident: "border".to_owned(),
            has_text: true,
            totals: Sums { rows: 10, ..Sums::from(&totals) },
            source_totals: Some(Sums::from(&totals)),
            exporters: vec![ExporterOf::new(&exporter, &stats, &[sampler])],
            names: Names { vrfs: [(9, "red".to_owned())].into(), ..Names::default() },
            loss: vec![Statement { file: "b".to_owned(), received: 3, ..Statement::default() }],
            damage: Some(Damage { unreadable_blocks: 1, ..Damage::default() }),
        }
    }

    fn read(pairs: &[(&'static str, String)]) -> Result<About, MetadataError> {
        About::from_pairs(pairs.iter().map(|(k, v)| (*k, &**v)))
    }

    #[test]
    fn all_is_read_back() {
        let all = about();
        let pairs = all.to_pairs().unwrap();
        assert_eq!(read(&pairs).unwrap(), all);
        let names = Names::default();
        let few = About { names, loss: vec![], damage: None, source_totals: None, ..all };
        assert_eq!(read(&few.to_pairs().unwrap()).unwrap(), few);
        let exporter = &few.exporters[0];
        let again: Vec<Sampler> = exporter.samplers().collect();
        assert_eq!(ExporterOf::new(&exporter.exporter(), &exporter.stats(), &again), *exporter);
        let totals = Totals::from(few.totals);
        assert_eq!(Sums { rows: 10, ..Sums::from(&totals) }, few.totals);
        assert_eq!(Totals::from(Sums::default()), Totals::default());
    }

    #[test]
    fn others_later_and_damaged_ones_are_told_apart() {
        assert!(matches!(read(&[]), Err(MetadataError::Foreign)));
        assert!(matches!(read(&[(SCHEMA, "2".into())]), Err(MetadataError::Version(2))));
        assert!(matches!(read(&[(SCHEMA, "x".into())]), Err(MetadataError::Version(u32::MAX))));
        for key in [SOURCE, TOTALS, SOURCE_TOTALS, EXPORTERS, NAMES, LOSS, DAMAGE] {
            let got = read(&[(SCHEMA, "1".into()), (key, "{".into())]);
            assert!(matches!(got, Err(MetadataError::Value { key: k, .. }) if k == key), "{key}");
        }
    }
}
