//! A writer of files, made from the description of the format and nothing else: it shares no code
//! with the reader.

use flate2::Compression;
use flate2::write::ZlibEncoder;
use std::io::Write as _;

/// A file to be.
#[derive(Clone)]
pub(crate) struct File {
    pub(crate) big: bool,
    pub(crate) export_version: u16,
    pub(crate) flags: u32,
    pub(crate) flows: Option<u32>,
    /// Everything that a header can have.
    pub(crate) is_full: bool,
}

impl File {
    pub(crate) fn plain() -> Self {
        Self { big: false, export_version: 5, flags: 1, flows: None, is_full: false }
    }

    pub(crate) fn full() -> Self {
        Self { is_full: true, flows: Some(3), ..Self::plain() }
    }

    pub(crate) fn u16(&self, n: u16) -> Vec<u8> {
        if self.big { n.to_be_bytes().to_vec() } else { n.to_le_bytes().to_vec() }
    }

    pub(crate) fn u32(&self, n: u32) -> Vec<u8> {
        if self.big { n.to_be_bytes().to_vec() } else { n.to_le_bytes().to_vec() }
    }

    fn field(&self, kind: u16, value: &[u8]) -> Vec<u8> {
        [self.u16(kind), self.u16(value.len() as u16), value.to_vec()].concat()
    }

    pub(crate) fn header(&self) -> Vec<u8> {
        let mut fields = self.field(2, &self.u16(self.export_version));
        fields.extend(self.field(8, &self.u32(self.flags)));
        if let Some(flows) = self.flows {
            fields.extend(self.field(10, &self.u32(flows)));
        }
        if self.is_full {
            fields.extend(self.field(1, &[1, 0]));
            for (kind, n) in [
                (5, 0xc000_0201),
                (6, 1_700_000_000),
                (7, 1_700_000_900),
                (9, 0),
                (11, 480),
                (12, 2),
                (13, 1),
                (14, 4),
            ] {
                fields.extend(self.field(kind, &self.u32(n)));
            }
            fields.extend(self.field(15, b"foo.bar\0"));
            fields.extend(self.field(16, b"a comment\0"));
            let router = self.u32(0xc000_0201);
            let name = [&router[..], &self.u16(7), b"eth7\0"].concat();
            fields.extend(self.field(17, &name));
            let alias = [&router[..], &self.u16(2), &self.u16(1), &self.u16(2), b"lag\0"].concat();
            fields.extend(self.field(18, &alias));
        }
        while !fields.len().is_multiple_of(4) {
            fields.push(0);
        }
        let order = if self.big { 2 } else { 1 };
        let offset = self.u32(8 + fields.len() as u32);
        [&[0xcf, 0x10, order, 3][..], &offset, &fields].concat()
    }

    /// Record number `n`, with a value of its own in each place, padding too.
    pub(crate) fn record(&self, n: u32) -> Vec<u8> {
        let words = |list: &[u32]| list.iter().flat_map(|w| self.u32(*w)).collect::<Vec<_>>();
        let halves = |list: &[u16]| list.iter().flat_map(|h| self.u16(*h)).collect::<Vec<_>>();
        let mut all = words(&[
            1_700_000_000 + n,
            250_000_000,
            100_000,
            0xc000_0201,
            0x0a00_0001 + n,
            0x0a01_0002,
            0x0a02_0003,
        ]);
        all.extend(halves(&[4, 65_535]));
        all.extend(words(&[6 + n, 4_000_000_000, 90_000, 99_500]));
        all.extend(halves(&[443, 50_000]));
        all.extend([6, 8, 0x1b, 0xee]);
        match self.export_version {
            1 => all.extend(words(&[0xeeee_eeee])),
            version => {
                all.extend([1, 2, 24, 16]);
                all.extend(halves(&[64_512, 9]));
                match version {
                    6 => {
                        all.extend([14, 18, 0xee, 0xee]);
                        all.extend(words(&[0x0a03_0004]));
                    }
                    7 => all.extend(words(&[0x0a04_0005])),
                    1005 => all.extend(words(&[0x1f, 0x2f])),
                    _ => {}
                }
            }
        }
        all
    }

    pub(crate) fn records(&self, count: u32) -> Vec<u8> {
        (0..count).flat_map(|n| self.record(n)).collect()
    }

    /// Header and records, packed if the flags say so.
    pub(crate) fn octets(&self, count: u32) -> Vec<u8> {
        let records = self.records(count);
        let records = if self.flags & 2 == 0 {
            records
        } else {
            let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(&records).unwrap();
            encoder.finish().unwrap()
        };
        [self.header(), records].concat()
    }

    /// A file of stream version 1: a header of 360 octets, records of 60.
    pub(crate) fn old(&self) -> Vec<u8> {
        let mut all = vec![0xcf, 0x10, if self.big { 2 } else { 1 }, 1];
        all.extend(self.u16(5));
        all.extend([0, 0]);
        for word in [900_000_000, 900_000_900, 1, 0, 1, 17, 3] {
            all.extend(self.u32(word));
        }
        all.extend(b"old.host");
        all.resize(104, 0);
        all.extend(b"before TLVs");
        all.resize(360, 0);
        for word in [900_000_100, 250, 0x0a00_0001, 0x0a01_0002, 0x0a02_0003] {
            all.extend(self.u32(word));
        }
        for half in [4, 5] {
            all.extend(self.u16(half));
        }
        for word in [6, 7, 4_294_967_000, 704] {
            all.extend(self.u32(word));
        }
        for half in [443, 50_000, 0xeeee] {
            all.extend(self.u16(half));
        }
        all.extend([6, 8, 0x1b, 0xee, 0xee, 0xee]);
        for half in [64_512, 9] {
            all.extend(self.u16(half));
        }
        all.extend([24, 16, 0xee, 0xee]);
        all
    }
}
