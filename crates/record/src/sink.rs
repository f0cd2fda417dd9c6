//! Where decoded flows go.

use crate::{Exporter, Flow, InterfaceSample, NameTable, Sampler, Totals};

/// What an exporter says of itself rather than of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meta<'a> {
    /// An exporter was seen for the first time. Comes before its first flow.
    Exporter(Exporter),
    /// A sampler is new or has changed. Comes after its exporter.
    Sampler(Sampler),
    /// An interface or a VRF has a name. `exporter` is [`Exporter::sysid`].
    Name {
        /// [`Exporter::sysid`] that said so.
        exporter: u32,
        /// What kind of number `id` is.
        table: NameTable,
        /// Interface index or VRF id.
        id: u32,
        /// Text as sent, without padding.
        name: &'a [u8],
    },
    /// An application has a name.
    Application {
        /// [`Exporter::sysid`] that said so.
        exporter: u32,
        /// As in [`Field::AppId`](crate::Field::AppId).
        id: &'a [u8],
        /// Text as sent, without padding.
        name: &'a [u8],
        /// Text as sent, without padding.
        description: &'a [u8],
    },
}

/// Flows of one exporter that a decoder has brought into the form of files by itself.
#[derive(Clone, Copy, Debug)]
pub struct Ready<'a> {
    /// Records of layout 2 ([`v3`](crate::v3)), one after the other, as a [`Flow`] with the same
    /// fields would be written.
    pub records: &'a [u8],
    /// How many there are. Each stands for one flow.
    pub count: u32,
    /// Number of their exporter.
    pub exporter: u16,
    /// Sums over them.
    pub totals: &'a Totals,
}

/// Takes decoded flows: a file writer, an exporter, a printer or a test's vector.
///
/// A decoder pushes borrowed values and reuses them, so an implementation copies what it keeps.
/// It never fails: what cannot be kept is counted by the sink that knows why.
pub trait FlowSink {
    /// One flow. Its [`ExporterId`](crate::Field::ExporterId) names an exporter told before.
    fn flow(&mut self, flow: &Flow);

    /// Whether it takes flows by [`records`](Self::records), too, which is less work for both
    /// sides. May change from datagram to datagram.
    fn takes_records(&self) -> bool {
        false
    }

    /// Flows in the form of files: what [`flow`](Self::flow) does for one, for several at once. Only
    /// called after [`takes_records`](Self::takes_records) has agreed.
    fn records(&mut self, _ready: &Ready<'_>) {}

    /// Something an exporter said of itself.
    fn meta(&mut self, meta: Meta<'_>);

    /// Counters of one interface. They describe no flow, so most sinks have no place for them and
    /// leave this as it is.
    fn interface(&mut self, _sample: &InterfaceSample) {}
}
