//! Where decoded flows go.

use crate::{Exporter, Flow, InterfaceSample, NameTable, Sampler};

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

/// Takes decoded flows: a file writer, an exporter, a printer or a test's vector.
///
/// A decoder pushes borrowed values and reuses them, so an implementation copies what it keeps.
/// It never fails: what cannot be kept is counted by the sink that knows why.
pub trait FlowSink {
    /// One flow. Its [`ExporterId`](crate::Field::ExporterId) names an exporter told before.
    fn flow(&mut self, flow: &Flow);

    /// Something an exporter said of itself.
    fn meta(&mut self, meta: Meta<'_>);

    /// Counters of one interface. They describe no flow, so most sinks have no place for them and
    /// leave this as it is.
    fn interface(&mut self, _sample: &InterfaceSample) {}
}
