//! Files of flow-tools, of each version of records, in both byte orders, compressed and not, and
//! lines of flow-export.

use super::Seed;

pub(crate) fn seeds() -> Vec<Seed> {
    let mut all = Vec::new();
    for (version, len) in [(1, 60), (5, 64), (6, 72), (7, 68), (1005, 72)] {
        for big in [false, true] {
            let order = if big { "big" } else { "little" };
            let file = File { big, version, len };
            all.push((format!("v{version}-{order}"), file.octets(1)));
            all.push((format!("v{version}-{order}-packed"), file.octets(3)));
        }
    }
    let mut old = vec![0xcf, 0x10, 1, 1, 5, 0];
    old.resize(360, 0);
    old.extend(0..60);
    all.push(("old".to_owned(), old));
    let line = "1324079983,500000000,60000,192.0.2.9,3,144,1000,59000,192.0.2.4,198.6.1.1,0.0.0.0,\
                1,2,10690,53,17,8,0\n";
    all.push(("lines".to_owned(), line.as_bytes().to_vec()));
    let named = "#:unix_secs,srcaddr,src_tag\n7,2001:db8::1,0x1f\n";
    all.push(("lines-named".to_owned(), named.as_bytes().to_vec()));
    all.push(("name".to_owned(), b"ft-v05.2026-11-20.101500+0100".to_vec()));
    all
}

struct File {
    big: bool,
    version: u16,
    len: usize,
}

impl File {
    fn u16(&self, n: u16) -> [u8; 2] {
        if self.big { n.to_be_bytes() } else { n.to_le_bytes() }
    }

    fn u32(&self, n: u32) -> [u8; 4] {
        if self.big { n.to_be_bytes() } else { n.to_le_bytes() }
    }

    /// A file of two records; flag 2 is a compressed one.
    fn octets(&self, flags: u32) -> Vec<u8> {
        let mut fields = Vec::new();
        for (kind, value) in [
            (2, self.u16(self.version).to_vec()),
            (8, self.u32(flags).to_vec()),
            (10, self.u32(2).to_vec()),
            (11, self.u32(480).to_vec()),
            (15, b"host\0".to_vec()),
        ] {
            fields.extend(self.u16(kind));
            fields.extend(self.u16(value.len() as u16));
            fields.extend(value);
        }
        fields.resize(fields.len().next_multiple_of(4), 0);
        let mut all = vec![0xcf, 0x10, if self.big { 2 } else { 1 }, 3];
        all.extend(self.u32(8 + fields.len() as u32));
        all.extend(fields);
        let records: Vec<u8> = (0..2 * self.len).map(|n| (n % 251) as u8).collect();
        all.extend(if flags & 2 == 0 { records } else { stored(&records) });
        all
    }
}

/// A zlib stream (RFC 1950) of one stored block (RFC 1951, section 3.2.4).
fn stored(octets: &[u8]) -> Vec<u8> {
    let len = octets.len() as u16;
    let mut all = vec![0x78, 0x01, 0x01];
    all.extend(len.to_le_bytes());
    all.extend((!len).to_le_bytes());
    all.extend(octets);
    let (a, b) = octets.iter().fold((1u32, 0u32), |(a, b), octet| {
        let a = (a + u32::from(*octet)) % 65_521;
        (a, (a + b) % 65_521)
    });
    all.extend((b << 16 | a).to_be_bytes());
    all
}
