//! What stands before the records of a file.

use crate::error::Error;
use record::Addr;
use std::io::{ErrorKind, Read};

/// How numbers lie in a file: that of the machine that wrote it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ByteOrder {
    /// Least significant octet first.
    #[default]
    Little,
    /// Most significant octet first.
    Big,
}

impl ByteOrder {
    #[inline]
    pub(crate) fn u16_at(self, octets: &[u8], at: usize) -> Option<u16> {
        let octets = *octets.get(at..)?.first_chunk()?;
        Some(match self {
            Self::Little => u16::from_le_bytes(octets),
            Self::Big => u16::from_be_bytes(octets),
        })
    }

    #[inline]
    pub(crate) fn u32_at(self, octets: &[u8], at: usize) -> Option<u32> {
        let octets = *octets.get(at..)?.first_chunk()?;
        Some(match self {
            Self::Little => u32::from_le_bytes(octets),
            Self::Big => u32::from_be_bytes(octets),
        })
    }
}

/// What a file says of itself. What it does not say is `None`: streams of flow-cat and flow-gen have
/// no counts, and those of a file that is being written are 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// Byte order of all that follows the third octet.
    pub byte_order: ByteOrder,
    /// 3; 1 in files of the first flow-tools.
    pub stream_version: u8,
    /// Version of the router's records: 1, 5, 6, 7, 8, or 1005 for tagged ones.
    pub export_version: u16,
    /// Version of the aggregation, where the router has summed.
    pub aggregation_version: u8,
    /// Method of the aggregation.
    pub aggregation_method: u8,
    /// Who made the router; 1 is Cisco.
    pub vendor: Option<u8>,
    /// The one exporter of all flows.
    pub exporter: Option<Addr>,
    /// When the capture began, seconds since 1970.
    pub start: Option<u32>,
    /// When it ended, likewise.
    pub end: Option<u32>,
    /// Bits: see [`is_done`](Self::is_done) and those behind it.
    pub flags: u32,
    /// How often files were rotated, as flow-capture encodes it.
    pub rotation: Option<u32>,
    /// Flows in the file.
    pub flows: Option<u32>,
    /// Flows that sequence numbers say were lost on the way to flow-capture.
    pub lost: Option<u32>,
    /// Datagrams that came out of order.
    pub misordered: Option<u32>,
    /// Datagrams that could not be read.
    pub corrupt: Option<u32>,
    /// Times that sequence numbers began anew.
    pub resets: Option<u32>,
    /// Name of the machine that captured.
    pub host: Option<String>,
    /// What the user gave with `-C`.
    pub comments: Option<String>,
    /// Names of interfaces: exporter, ifIndex, name.
    pub interfaces: Vec<(Addr, u16, String)>,
}

/// Octets before the fields.
const FIXED: usize = 8;
/// Octets of the header of stream version 1.
const OLD_LEN: usize = 360;
/// Octets that a header may have: names for each of 65 536 interfaces of a router fit.
const MOST: u32 = 4 << 20;
/// Interfaces whose names are kept.
const MOST_INTERFACES: usize = 1 << 16;

/// Octets of a name that are kept: an ifAlias has 64 (RFC 2863).
const MOST_NAME: usize = 255;

/// Numbers of the fields.
mod tag {
    pub(super) const VENDOR: u16 = 1;
    pub(super) const EXPORT_VERSION: u16 = 2;
    pub(super) const AGGREGATION_VERSION: u16 = 3;
    pub(super) const AGGREGATION_METHOD: u16 = 4;
    pub(super) const EXPORTER: u16 = 5;
    pub(super) const START: u16 = 6;
    pub(super) const END: u16 = 7;
    pub(super) const FLAGS: u16 = 8;
    pub(super) const ROTATION: u16 = 9;
    pub(super) const FLOWS: u16 = 10;
    pub(super) const LOST: u16 = 11;
    pub(super) const MISORDERED: u16 = 12;
    pub(super) const CORRUPT: u16 = 13;
    pub(super) const RESETS: u16 = 14;
    pub(super) const HOST: u16 = 15;
    pub(super) const COMMENTS: u16 = 16;
    pub(super) const INTERFACE_NAME: u16 = 17;
    pub(super) const INTERFACE_ALIAS: u16 = 18;
}

impl Header {
    /// Whether the file was closed in order.
    pub const fn is_done(&self) -> bool {
        self.flags & 1 != 0
    }

    /// Whether records are compressed (RFC 1950).
    pub const fn is_compressed(&self) -> bool {
        self.flags & 2 != 0
    }

    /// Whether it was written to a pipe, so that counts could not be put into it.
    pub const fn is_streaming(&self) -> bool {
        self.flags & 8 != 0
    }

    /// Whether counts were put in before the records, as by `flow-cat -p`.
    pub const fn is_preloaded(&self) -> bool {
        self.flags & 0x20 != 0
    }

    /// Reads a header, and leaves `input` at the first record: whatever records there are.
    ///
    /// # Errors
    /// If it is none, or is cut.
    pub fn read(input: &mut impl Read) -> Result<Self, Error> {
        let mut fixed = [0; FIXED];
        let have = fill(input, &mut fixed)?;
        if have == 0 {
            return Err(Error::Empty);
        }
        let [m0, m1, order, version, ..] = fixed;
        if [m0, m1] != crate::MAGIC {
            return Err(Error::Magic([m0, m1]));
        }
        let cut = |have, need| Err(Error::HeaderCut { have, need });
        if have < FIXED {
            return cut(have as u64, FIXED as u64);
        }
        let byte_order = match order {
            1 => ByteOrder::Little,
            2 => ByteOrder::Big,
            other => return Err(Error::ByteOrder(other)),
        };
        let need = match version {
            1 => OLD_LEN as u32,
            3 => byte_order.u32_at(&fixed, 4).unwrap_or(0),
            other => return Err(Error::StreamVersion(other)),
        };
        if !(FIXED as u32..=MOST).contains(&need) {
            return Err(Error::DataOffset(need));
        }
        let mut octets = fixed.to_vec();
        // Grows with what is there, whatever the header says.
        let mut rest = input.take(u64::from(need) - FIXED as u64);
        if let Err(source) = rest.read_to_end(&mut octets) {
            return Err(Error::Read { records: 0, source });
        }
        if octets.len() < need as usize {
            return cut(octets.len() as u64, need.into());
        }
        let mut header = Self { byte_order, stream_version: version, ..Self::default() };
        match version {
            1 => header.old(&octets),
            _ => header.fields(&octets)?,
        }
        Ok(header)
    }

    /// Type, length, value, one behind the other.
    fn fields(&mut self, octets: &[u8]) -> Result<(), Error> {
        let order = self.byte_order;
        let mut at = FIXED;
        while let (Some(kind), Some(len)) = (order.u16_at(octets, at), order.u16_at(octets, at + 2))
        {
            let (here, len) = (at + 4, usize::from(len));
            let rest = octets.get(here..).unwrap_or_default();
            let Some(value) = rest.get(..len) else {
                return Err(Error::Field { at, len, have: rest.len() });
            };
            self.field(kind, value);
            at = here + len;
        }
        Ok(())
    }

    fn field(&mut self, kind: u16, value: &[u8]) {
        let order = self.byte_order;
        let number = order.u32_at(value, 0);
        let octet = value.first().copied();
        match kind {
            tag::VENDOR => self.vendor = octet,
            tag::EXPORT_VERSION => self.export_version = order.u16_at(value, 0).unwrap_or(0),
            tag::AGGREGATION_VERSION => self.aggregation_version = octet.unwrap_or(0),
            tag::AGGREGATION_METHOD => self.aggregation_method = octet.unwrap_or(0),
            tag::EXPORTER => self.exporter = number.map(Addr::V4),
            tag::START => self.start = number,
            tag::END => self.end = number,
            tag::FLAGS => self.flags = number.unwrap_or(0),
            tag::ROTATION => self.rotation = number,
            tag::FLOWS => self.flows = number,
            tag::LOST => self.lost = number,
            tag::MISORDERED => self.misordered = number,
            tag::CORRUPT => self.corrupt = number,
            tag::RESETS => self.resets = number,
            tag::HOST => self.host = Some(text(value)),
            tag::COMMENTS => self.comments = Some(text(value)),
            tag::INTERFACE_NAME => self.interface(value, order.u16_at(value, 4), value.get(6..)),
            tag::INTERFACE_ALIAS => self.aliases(value),
            _ => {}
        }
    }

    /// One interface and its name.
    fn interface(&mut self, value: &[u8], index: Option<u16>, name: Option<&[u8]>) {
        if let (Some(ip), Some(index), Some(name)) = (self.byte_order.u32_at(value, 0), index, name)
            && self.interfaces.len() < MOST_INTERFACES
        {
            let name = name.get(..MOST_NAME).unwrap_or(name);
            self.interfaces.push((Addr::V4(ip), index, text(name)));
        }
    }

    /// Several interfaces of one name.
    fn aliases(&mut self, value: &[u8]) {
        let count = usize::from(self.byte_order.u16_at(value, 4).unwrap_or(0));
        let name = value.get(6 + 2 * count..);
        for n in 0..count {
            if name.is_none() {
                return;
            }
            self.interface(value, self.byte_order.u16_at(value, 6 + 2 * n), name);
        }
    }

    /// The header of stream version 1, which has a place for everything.
    fn old(&mut self, octets: &[u8]) {
        let order = self.byte_order;
        let number = |at| order.u32_at(octets, at);
        self.export_version = order.u16_at(octets, 4).unwrap_or(0);
        (self.start, self.end) = (number(8), number(12));
        self.flags = number(16).unwrap_or(0);
        (self.rotation, self.flows) = (number(20), number(24));
        (self.lost, self.misordered) = (number(28), number(32));
        let words = |from: usize, len| octets.get(from..from + len).map(text);
        self.host = words(36, 68).filter(|host| !host.is_empty());
        self.comments = words(104, 256).filter(|comments| !comments.is_empty());
    }

    /// The lines of flow-header, each behind `# `: name, and value in a column. `time` writes
    /// seconds since 1970 as ctime(3) does.
    pub fn lines(&self, time: impl Fn(u32) -> String) -> String {
        let mut all = String::from("#\n");
        let mut line = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                all.push_str(&format!("# {:<22}{value}\n", format!("{name}:")));
            }
        };
        let number = |n: Option<u32>| n.map(|n| n.to_string());
        let mode = if self.is_streaming() { "streaming" } else { "normal" };
        line("mode", Some(mode.to_owned()));
        line("capture hostname", self.host.as_deref().map(printable));
        line("exporter IP address", self.exporter.map(|addr| addr.to_string()));
        line("capture start", self.start.filter(|t| *t != 0).map(&time));
        let end = self.end.filter(|t| *t != 0 && self.is_done() || self.is_preloaded());
        line("capture end", end.map(&time));
        let period = end.zip(self.start).and_then(|(end, start)| end.checked_sub(start));
        line("capture period", period.map(|secs| format!("{secs} seconds")));
        let word = |is, yes: &str, no: &str| Some(if is { yes } else { no }.to_owned());
        line("compress", word(self.is_compressed(), "on", "off"));
        line("byte order", word(self.byte_order == ByteOrder::Little, "little", "big"));
        line("stream version", Some(self.stream_version.to_string()));
        line("export version", Some(self.export_version.to_string()));
        if self.export_version == 8 {
            line("export agg_version", Some(self.aggregation_version.to_string()));
            line("export agg_method", Some(self.aggregation_method.to_string()));
        }
        line("lost flows", number(self.lost));
        line("misordered packets", number(self.misordered));
        line("corrupt packets", number(self.corrupt));
        line("sequencer resets", number(self.resets));
        line("capture flows", number(self.flows).filter(|_| self.is_done() || self.is_preloaded()));
        line("comments", self.comments.as_deref().map(printable));
        for (exporter, index, name) in &self.interfaces {
            line("ifname", Some(format!("{exporter} {index} {}", printable(name))));
        }
        all.push_str("#\n");
        all
    }
}

/// Octets up to the first NUL. What is no text becomes a question mark in a diamond.
fn text(octets: &[u8]) -> String {
    let end = octets.iter().position(|b| *b == 0).unwrap_or(octets.len());
    String::from_utf8_lossy(octets.get(..end).unwrap_or_default()).into_owned()
}

/// Text of a file must not command a terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// Reads until the buffer is full or the input ends. Returns how much there was.
pub(crate) fn fill(input: &mut impl Read, buffer: &mut [u8]) -> Result<usize, Error> {
    let mut have = 0;
    while let Some(room) = buffer.get_mut(have..).filter(|room| !room.is_empty()) {
        match input.read(room) {
            Ok(0) => break,
            Ok(n) => have += n,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(source) => return Err(Error::Read { records: 0, source }),
        }
    }
    Ok(have)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::File;

    fn read(octets: &[u8]) -> Result<Header, Error> {
        Header::read(&mut &octets[..])
    }

    #[test]
    fn every_field_is_read_in_either_order() {
        for big in [false, true] {
            let octets = File { big, ..File::full() }.header();
            let header = read(&octets).unwrap();
            let want = Header {
                byte_order: if big { ByteOrder::Big } else { ByteOrder::Little },
                stream_version: 3,
                export_version: 5,
                vendor: Some(1),
                exporter: Some(Addr::V4(0xc000_0201)),
                start: Some(1_700_000_000),
                end: Some(1_700_000_900),
                flags: 1,
                rotation: Some(0),
                flows: Some(3),
                lost: Some(480),
                misordered: Some(2),
                corrupt: Some(1),
                resets: Some(4),
                host: Some("foo.bar".to_owned()),
                comments: Some("a comment".to_owned()),
                interfaces: vec![
                    (Addr::V4(0xc000_0201), 7, "eth7".to_owned()),
                    (Addr::V4(0xc000_0201), 1, "lag".to_owned()),
                    (Addr::V4(0xc000_0201), 2, "lag".to_owned()),
                ],
                ..Header::default()
            };
            assert_eq!(header, want, "big: {big}");
        }
    }

    #[test]
    fn lines_are_those_of_flow_header() {
        let header = read(&File::full().header()).unwrap();
        let lines = header.lines(|secs| format!("<{secs}>"));
        assert_eq!(
            lines,
            "#\n# mode:                 normal\n# capture hostname:     foo.bar\n\
             # exporter IP address:  192.0.2.1\n# capture start:        <1700000000>\n\
             # capture end:          <1700000900>\n# capture period:       900 seconds\n\
             # compress:             off\n# byte order:           little\n\
             # stream version:       3\n# export version:       5\n\
             # lost flows:           480\n# misordered packets:   2\n# corrupt packets:      1\n\
             # sequencer resets:     4\n# capture flows:        3\n\
             # comments:             a comment\n# ifname:               192.0.2.1 7 eth7\n\
             # ifname:               192.0.2.1 1 lag\n# ifname:               192.0.2.1 2 lag\n#\n"
        );
    }

    #[test]
    fn what_is_no_header_is_refused() {
        let sound = File::full().header();
        let with = |at: usize, octet: u8| {
            let mut octets = sound.clone();
            octets[at] = octet;
            read(&octets).unwrap_err().to_string()
        };
        assert_eq!(read(b"").unwrap_err().to_string(), "is empty");
        assert!(with(0, 0xa5).contains("starts with [a5, 10]"));
        assert!(with(2, 3).contains("byte order 3"));
        assert!(with(3, 2).contains("stream version 2"));
        assert!(with(7, 0xff).contains("has its data at octet"));
        assert!(with(10, 0xff).contains("damaged at octet 8"));
        for cut in 0..sound.len() {
            let error = read(&sound[..cut]).unwrap_err();
            match cut {
                0 => assert!(matches!(error, Error::Empty)),
                1 => assert!(matches!(error, Error::Magic(_))),
                _ => assert!(matches!(error, Error::HeaderCut { .. }), "{cut}: {error}"),
            }
        }
    }
}
