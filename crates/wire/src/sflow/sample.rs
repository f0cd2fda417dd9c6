//! What begins a flow sample: who took it, how, and where the packet went (sFlow version 5, section
//! 5.1, "`flow_sample`"; RFC 3176, 4).

use super::source::SourceId;
use crate::cursor::Parsed;
use nom::Parser;
use nom::number::complete::be_u32;

/// The head of a flow sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FlowSample {
    /// Counts the samples of its source.
    pub(super) sequence: u32,
    pub(super) source: SourceId,
    /// One packet of so many was chosen; 0 where the agent does not know.
    pub(super) rate: u32,
    /// Packets of its source that were chosen and dropped since the agent started.
    pub(super) drops: u32,
    pub(super) input: Port,
    pub(super) output: Port,
}

/// Where a packet came in or went out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Port {
    /// An ifIndex; 0 if it is not known, 0x3fffffff for the device itself.
    Index(u32),
    /// Nowhere, for this reason.
    Discarded(u32),
    /// So many ports, 0 if the agent did not count them.
    Many(u32),
}

/// The device itself sent the packet, or took it.
pub(super) const INTERNAL: u32 = 0x3fff_ffff;

/// Added to a number of ports to make an interface index of it. No ifIndex is as large (RFC 2863,
/// 6), and versions 2 and 4 have it that way.
const MANY: u32 = 0x8000_0000;

impl Port {
    /// From one number: 2 bits of format and 30 bits of value.
    const fn compact(number: u32) -> Self {
        Self::expanded(number >> 30, number & INTERNAL)
    }

    const fn expanded(format: u32, value: u32) -> Self {
        match format {
            0 => Self::Index(value),
            1 => Self::Discarded(value),
            // Format 3 does not exist. It is no index at any rate.
            _ => Self::Many(value & !MANY),
        }
    }

    /// As versions 2 and 4 have the output.
    const fn output_v4(number: u32) -> Self {
        if number & MANY == 0 { Self::Index(number) } else { Self::Many(number & !MANY) }
    }

    /// What goes into the field of the interface.
    pub(super) const fn index(self) -> u32 {
        match self {
            Self::Index(index) => index,
            Self::Discarded(_) => 0,
            Self::Many(count) => MANY | count,
        }
    }

    /// Why the packet was dropped, as element 89 has it (RFC 7270, 4.12).
    ///
    /// Reasons below 256 are codes of ICMP "destination unreachable" (RFC 1812, 5.2.7.1).
    pub(super) const fn forwarding_status(self) -> Option<u8> {
        const UNKNOWN: u8 = 128;
        const ACL_DENY: u8 = 129;
        const UNROUTABLE: u8 = 131;
        const NOT_FRAGMENTED: u8 = 133;
        const BAD_TTL: u8 = 137;
        const POLICER: u8 = 138;
        const WRED: u8 = 139;
        let Self::Discarded(reason) = self else { return None };
        Some(match reason {
            0 | 1 | 5..=8 | 11 | 12 => UNROUTABLE,
            4 | 262 => NOT_FRAGMENTED,
            9 | 10 | 13 | 258 => ACL_DENY,
            257 => BAD_TTL,
            260 => WRED,
            261 => POLICER,
            _ => UNKNOWN,
        })
    }
}

impl FlowSample {
    /// The head of a sample of version 5; also how many records follow.
    pub(super) fn parse(input: &[u8]) -> Parsed<'_, (Self, u32)> {
        let (input, (sequence, source, rate, _pool, drops)) =
            (be_u32, be_u32, be_u32, be_u32, be_u32).parse(input)?;
        let (input, (from, to, records)) = (be_u32, be_u32, be_u32).parse(input)?;
        let (input_port, output) = (Port::compact(from), Port::compact(to));
        let source = SourceId::compact(source);
        let sample = Self { sequence, source, rate, drops, input: input_port, output };
        Ok((input, (sample, records)))
    }

    /// The head of an expanded sample; also how many records follow.
    pub(super) fn parse_expanded(input: &[u8]) -> Parsed<'_, (Self, u32)> {
        let (input, (sequence, class, index, rate, _pool, drops)) =
            (be_u32, be_u32, be_u32, be_u32, be_u32, be_u32).parse(input)?;
        let (input, (in_format, in_value, out_format, out_value, records)) =
            (be_u32, be_u32, be_u32, be_u32, be_u32).parse(input)?;
        let sample = Self {
            sequence,
            source: SourceId { class, index },
            rate,
            drops,
            input: Port::expanded(in_format, in_value),
            output: Port::expanded(out_format, out_value),
        };
        Ok((input, (sample, records)))
    }

    /// The head of a sample of version 2 or 4; also what kind of packet follows.
    pub(super) fn parse_v4(input: &[u8]) -> Parsed<'_, (Self, u32)> {
        let (input, (sequence, source, rate, _pool, drops)) =
            (be_u32, be_u32, be_u32, be_u32, be_u32).parse(input)?;
        let (input, (from, to, kind)) = (be_u32, be_u32, be_u32).parse(input)?;
        let (input_port, output) = (Port::Index(from), Port::output_v4(to));
        let source = SourceId::compact(source);
        let sample = Self { sequence, source, rate, drops, input: input_port, output };
        Ok((input, (sample, kind)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports() {
        for (name, port, index, status) in [
            ("one", Port::compact(7), 7, None),
            ("unknown", Port::compact(0), 0, None),
            ("the device itself", Port::compact(INTERNAL), INTERNAL, None),
            ("dropped by an access list", Port::compact(1 << 30 | 258), 0, Some(129)),
            ("dropped, nobody knows why", Port::compact(1 << 30 | 256), 0, Some(128)),
            ("no route", Port::compact(1 << 30), 0, Some(131)),
            ("TTL", Port::expanded(1, 257), 0, Some(137)),
            ("too big", Port::expanded(1, 262), 0, Some(133)),
            ("congestion", Port::expanded(1, 260), 0, Some(139)),
            ("shaped", Port::expanded(1, 261), 0, Some(138)),
            ("seven", Port::compact(2 << 30 | 7), 0x8000_0007, None),
            ("many", Port::expanded(2, 0), 0x8000_0000, None),
            ("a format that does not exist", Port::expanded(9, 5), 0x8000_0005, None),
            ("a large index", Port::expanded(0, 0x7000_0000), 0x7000_0000, None),
            ("v4, one", Port::output_v4(7), 7, None),
            ("v4, many", Port::output_v4(0x8000_0003), 0x8000_0003, None),
        ] {
            assert_eq!((port.index(), port.forwarding_status()), (index, status), "{name}");
        }
    }
}
