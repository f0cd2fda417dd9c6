//! The columns of a record, and sets of them: masks as flow-export and flow-import take them.

use std::fmt;
use std::str::FromStr;

macro_rules! columns {
    ($($name:ident: $text:literal, $bit:literal, $about:literal;)*) => {
        /// One value of a record. The order is that of the bits of masks, and of columns in a line.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Column { $(#[doc = $about] $name),* }

        impl Column {
            /// Every column, in order: `ALL[c as usize] == c`.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];
            /// How many there are.
            pub const COUNT: usize = Self::ALL.len();
            const NAMES: &'static [&'static str] = &[$($text),*];
            const BITS: &'static [u64] = &[$(1 << $bit),*];
            const ABOUT: &'static [&'static str] = &[$($about),*];
        }
    };
}

columns! {
    UnixSecs: "unix_secs", 0, "export time, seconds since 1970";
    UnixNsecs: "unix_nsecs", 1, "export time, nanoseconds of the second";
    SysUptime: "sysuptime", 2, "clock of the exporter at that time, ms";
    ExAddr: "exaddr", 3, "address of the exporter";
    DFlows: "dflows", 4, "flows summed into the record";
    DPkts: "dpkts", 5, "packets";
    DOctets: "doctets", 6, "octets";
    First: "first", 7, "first packet on the clock of the exporter, ms";
    Last: "last", 8, "last packet on the clock of the exporter, ms";
    EngineType: "engine_type", 9, "engine type of the exporter";
    EngineId: "engine_id", 10, "engine id of the exporter";
    SrcAddr: "srcaddr", 12, "source address";
    DstAddr: "dstaddr", 13, "destination address";
    NextHop: "nexthop", 16, "next hop";
    Input: "input", 17, "input interface index";
    Output: "output", 18, "output interface index";
    SrcPort: "srcport", 19, "source port";
    DstPort: "dstport", 20, "destination port, ICMP type*256+code";
    Prot: "prot", 21, "IP protocol";
    Tos: "tos", 22, "type of service";
    TcpFlags: "tcp_flags", 23, "TCP flags seen, ORed";
    SrcMask: "src_mask", 24, "source prefix length";
    DstMask: "dst_mask", 25, "destination prefix length";
    SrcAs: "src_as", 26, "source autonomous system";
    DstAs: "dst_as", 27, "destination autonomous system";
    InEncaps: "in_encaps", 28, "octets of encapsulation on entry";
    OutEncaps: "out_encaps", 29, "octets of encapsulation on exit";
    PeerNextHop: "peer_nexthop", 30, "next hop of the peer";
    RouterSc: "router_sc", 31, "router that is bypassed";
    ExtraPkts: "extra_pkts", 32, "packets beyond the contract";
    MarkedTos: "marked_tos", 33, "type of service of packets beyond the contract";
    SrcTag: "src_tag", 34, "tag of the source, hexadecimal";
    DstTag: "dst_tag", 35, "tag of the destination, hexadecimal";
}

impl Column {
    /// Its name in a header line.
    pub const fn name(self) -> &'static str {
        Self::NAMES[self as usize]
    }

    /// Its bit in a mask.
    pub const fn bit(self) -> u64 {
        Self::BITS[self as usize]
    }

    /// What it means, in a few words.
    pub const fn about(self) -> &'static str {
        Self::ABOUT[self as usize]
    }

    /// Whether its values are addresses.
    pub const fn is_addr(self) -> bool {
        self.addr_slot().is_some()
    }

    /// Where a record keeps its address.
    pub(crate) const fn addr_slot(self) -> Option<usize> {
        Some(match self {
            Self::ExAddr => 0,
            Self::SrcAddr => 1,
            Self::DstAddr => 2,
            Self::NextHop => 3,
            Self::PeerNextHop => 4,
            Self::RouterSc => 5,
            _ => return None,
        })
    }

    /// Whether its values are written in hexadecimal.
    pub const fn is_hex(self) -> bool {
        matches!(self, Self::SrcTag | Self::DstTag)
    }

    /// The column of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|c| c.name().eq_ignore_ascii_case(name))
    }
}

/// A set of columns, as a mask of their bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Columns(u64);

impl Columns {
    /// Columns of a v5 record: what flow-export writes unless told.
    pub const V5: Self = Self(0x0FFF_37EF);
    /// Columns of a v1 record: the line of nfflowd.
    pub const V1: Self = Self(0x00FF_31EF);
    /// Every column.
    pub const ALL: Self = {
        let (mut bits, mut i) = (0, 0);
        while i < Column::COUNT {
            bits |= Column::BITS[i];
            i += 1;
        }
        Self(bits)
    };

    /// The mask.
    pub const fn mask(self) -> u64 {
        self.0
    }

    /// Whether a column is in it.
    #[inline]
    pub const fn has(self, column: Column) -> bool {
        self.0 & column.bit() != 0
    }

    /// Its columns in order.
    pub fn iter(self) -> impl Iterator<Item = Column> {
        Column::ALL.iter().copied().filter(move |c| self.has(*c))
    }

    /// Appends the line of names: `#:unix_secs,unix_nsecs,...` and a line end.
    pub fn push_header(self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"#:");
        for (i, column) in self.iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            out.extend_from_slice(column.name().as_bytes());
        }
        out.push(b'\n');
    }
}

impl Default for Columns {
    fn default() -> Self {
        Self::V5
    }
}

/// A text is neither a mask nor a list of names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownColumn(pub String);

impl fmt::Display for UnknownColumn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "'{}' is no column of flow-export: a mask as 0xFF31EF, or names out of ",
            self.0
        )?;
        Column::NAMES.iter().enumerate().try_for_each(|(i, name)| {
            let comma = if i > 0 { ", " } else { "" };
            write!(f, "{comma}{name}")
        })
    }
}

impl std::error::Error for UnknownColumn {}

impl FromStr for Columns {
    type Err = UnknownColumn;

    /// Reads a mask in hexadecimal (`0xFF31EF`) or decimal, or names with commas between them, in
    /// any order and in upper or lower case.
    fn from_str(text: &str) -> Result<Self, UnknownColumn> {
        let unknown = || UnknownColumn(text.to_owned());
        let hex = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
        let mask = match hex {
            Some(digits) => Some(u64::from_str_radix(digits, 16).map_err(|_| unknown())?),
            None => text.parse().ok(),
        };
        let mask = match mask {
            Some(mask) => mask,
            None => text.split(',').map(str::trim).try_fold(0, |mask, name| {
                let column = Column::from_name(name);
                column.map(|c| mask | c.bit()).ok_or_else(|| UnknownColumn(name.to_owned()))
            })?,
        };
        match mask & !Self::ALL.0 {
            0 if mask != 0 => Ok(Self(mask)),
            _ => Err(unknown()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_are_those_of_flow_export() {
        let mut line = Vec::new();
        Columns::V5.push_header(&mut line);
        assert_eq!(
            String::from_utf8(line).unwrap(),
            "#:unix_secs,unix_nsecs,sysuptime,exaddr,dpkts,doctets,first,last,engine_type,\
             engine_id,srcaddr,dstaddr,nexthop,input,output,srcport,dstport,prot,tos,tcp_flags,\
             src_mask,dst_mask,src_as,dst_as\n"
        );
        assert_eq!(Columns::V1.iter().count(), 18);
        assert!(!Columns::V1.has(Column::EngineId) && !Columns::V1.has(Column::SrcMask));
        for (text, want) in [
            ("0xFF31EF", Some(0xFF31EF)),
            ("268384239", Some(0x0FFF_37EF)),
            ("unix_secs,dstaddr", Some(0x2001)),
            ("DstAddr, unix_secs", Some(0x2001)),
            ("src_tag", Some(1 << 34)),
            ("0", None),
            ("0x", None),
            ("0x800", None),
            ("unix_secs,", None),
            ("nosuch", None),
            ("", None),
        ] {
            assert_eq!(text.parse::<Columns>().ok().map(Columns::mask), want, "{text}");
        }
        let all = Column::ALL.iter().map(|c| c.name()).collect::<Vec<_>>().join(",");
        assert_eq!(all.parse(), Ok(Columns::ALL));
    }

    #[test]
    fn bits_rise() {
        assert!(Column::BITS.windows(2).all(|two| two[0] < two[1]));
        assert_eq!(Column::DstTag.bit(), 1 << 35);
    }
}
