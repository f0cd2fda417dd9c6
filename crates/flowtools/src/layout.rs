//! Where the values of a record lie, by export version. All octets are in the byte order of the
//! file, addresses too.

use crate::column::Column;
use crate::error::Error;
use crate::header::{ByteOrder, Header};
use crate::record::Record;

/// How records of a version lie in a file.
#[derive(Debug)]
pub(crate) struct Layout {
    /// Octets of a record.
    pub(crate) len: usize,
    /// Column, offset, octets of the value.
    fields: &'static [&'static [(Column, u8, u8)]],
    /// Nothing but the start of the flow is dated: records of stream version 1.
    is_old: bool,
}

use Column as C;

/// Of all versions in streams of version 3.
const COMMON: &[(Column, u8, u8)] = &[
    (C::UnixSecs, 0, 4),
    (C::UnixNsecs, 4, 4),
    (C::SysUptime, 8, 4),
    (C::ExAddr, 12, 4),
    (C::SrcAddr, 16, 4),
    (C::DstAddr, 20, 4),
    (C::NextHop, 24, 4),
    (C::Input, 28, 2),
    (C::Output, 30, 2),
    (C::DPkts, 32, 4),
    (C::DOctets, 36, 4),
    (C::First, 40, 4),
    (C::Last, 44, 4),
    (C::SrcPort, 48, 2),
    (C::DstPort, 50, 2),
    (C::Prot, 52, 1),
    (C::Tos, 53, 1),
    (C::TcpFlags, 54, 1),
];

/// Of v5 and those made after it.
const ROUTING: &[(Column, u8, u8)] = &[
    (C::EngineType, 56, 1),
    (C::EngineId, 57, 1),
    (C::SrcMask, 58, 1),
    (C::DstMask, 59, 1),
    (C::SrcAs, 60, 2),
    (C::DstAs, 62, 2),
];

static V1: Layout = Layout { len: 60, fields: &[COMMON], is_old: false };
static V5: Layout = Layout { len: 64, fields: &[COMMON, ROUTING], is_old: false };
static V6: Layout = Layout {
    len: 72,
    fields: &[
        COMMON,
        ROUTING,
        &[(C::InEncaps, 64, 1), (C::OutEncaps, 65, 1), (C::PeerNextHop, 68, 4)],
    ],
    is_old: false,
};
static V7: Layout =
    Layout { len: 68, fields: &[COMMON, ROUTING, &[(C::RouterSc, 64, 4)]], is_old: false };
static V1005: Layout = Layout {
    len: 72,
    fields: &[COMMON, ROUTING, &[(C::SrcTag, 64, 4), (C::DstTag, 68, 4)]],
    is_old: false,
};
/// Streams of version 1, whatever the export version.
static OLD: Layout = Layout {
    len: 60,
    fields: &[&[
        (C::UnixSecs, 0, 4),
        (C::UnixNsecs, 4, 4),
        (C::SrcAddr, 8, 4),
        (C::DstAddr, 12, 4),
        (C::NextHop, 16, 4),
        (C::Input, 20, 2),
        (C::Output, 22, 2),
        (C::DPkts, 24, 4),
        (C::DOctets, 28, 4),
        (C::First, 32, 4),
        (C::Last, 36, 4),
        (C::SrcPort, 40, 2),
        (C::DstPort, 42, 2),
        (C::Prot, 46, 1),
        (C::Tos, 47, 1),
        (C::TcpFlags, 48, 1),
        (C::SrcAs, 52, 2),
        (C::DstAs, 54, 2),
        (C::SrcMask, 56, 1),
        (C::DstMask, 57, 1),
    ]],
    is_old: true,
};

/// The layout that a header announces.
pub(crate) fn of(header: &Header) -> Result<&'static Layout, Error> {
    match (header.stream_version, header.export_version) {
        (_, 8) => Err(Error::Aggregated(header.aggregation_method)),
        (1, 1 | 5 | 6 | 7) => Ok(&OLD),
        (3, 1) => Ok(&V1),
        (3, 5) => Ok(&V5),
        (3, 6) => Ok(&V6),
        (3, 7) => Ok(&V7),
        (3, 1005) => Ok(&V1005),
        (_, other) => Err(Error::ExportVersion(other)),
    }
}

impl Layout {
    /// Reads a record. `octets` are as many as a record has; what they lack counts as 0.
    #[inline]
    pub(crate) fn decode(&self, octets: &[u8], order: ByteOrder, record: &mut Record) {
        record.clear();
        for (column, at, len) in self.fields.iter().copied().flatten() {
            let at = usize::from(*at);
            let value = match len {
                1 => octets.get(at).copied().map(u64::from),
                2 => order.u16_at(octets, at).map(u64::from),
                _ => order.u32_at(octets, at).map(u64::from),
            };
            record.set(*column, value.unwrap_or(0));
        }
        if self.is_old {
            // Seconds and milliseconds of the first packet, and no clock of the exporter.
            let first = record.number(C::First);
            record.set(C::UnixNsecs, (record.number(C::UnixNsecs) % 1000) * 1_000_000);
            record.set(C::SysUptime, first);
        }
    }
}
