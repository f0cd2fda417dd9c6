//! Files of layout 3, written for tests: slow and obvious.

#![allow(dead_code, missing_docs, unreachable_pub, reason = "each test uses a part of it")]

use store::Compression;
use twox_hash::XxHash3_64;

/// How blocks are stored.
#[derive(Clone, Copy)]
pub struct Style {
    pub method: Compression,
    pub sums: bool,
}

pub const METHODS: [Compression; 5] =
    [Compression::None, Compression::Lzo, Compression::Bz2, Compression::Lz4, Compression::Zstd];

/// A file: header, blocks of (type, payload), directory, footer.
pub fn file(style: Style, blocks: &[(u32, Vec<u8>)]) -> Vec<u8> {
    let mut out = header(style, 0);
    let mut entries = Vec::new();
    for (kind, payload) in blocks {
        let block = block(style, *kind, payload);
        entries.push((*kind, block.len() as u32, out.len() as u64));
        out.extend(block);
    }
    finish(out, &entries, style.sums, [0; 32])
}

pub fn header(style: Style, flags: u32) -> Vec<u8> {
    let mut out = vec![0; 48];
    out[..2].copy_from_slice(&0xA50Cu16.to_le_bytes());
    out[2] = 3;
    out[8..16].copy_from_slice(&1_795_000_000u64.to_le_bytes());
    out[16] = 1;
    out[18] = style.method as u8 + 1;
    out[20..24].copy_from_slice(&flags.to_le_bytes());
    out[24..28].copy_from_slice(&(4u32 << 20).to_le_bytes());
    out
}

/// Appends directory and footer, and makes the header point there.
pub fn finish(
    mut out: Vec<u8>,
    entries: &[(u32, u32, u64)],
    sums: bool,
    seal: [u8; 32],
) -> Vec<u8> {
    let at = out.len() as u64;
    let mut directory = 0xB10C_B10Cu32.to_le_bytes().to_vec();
    directory.extend((entries.len() as u32).to_le_bytes());
    for (kind, size, offset) in entries {
        directory.extend(kind.to_le_bytes());
        directory.extend(size.to_le_bytes());
        directory.extend(offset.to_le_bytes());
    }
    let size = (directory.len() as u32).to_le_bytes();
    let sum = if sums { XxHash3_64::oneshot(&directory) } else { 0 };
    out.extend(&directory);
    out.extend(0xA50Fu32.to_le_bytes());
    out.extend(size);
    out.extend(at.to_le_bytes());
    out.extend(sum.to_le_bytes());
    out.extend(seal);
    out[28..32].copy_from_slice(&size);
    out[32..40].copy_from_slice(&at.to_le_bytes());
    out
}

pub fn block(style: Style, kind: u32, payload: &[u8]) -> Vec<u8> {
    // As the program does it: these two are never compressed.
    let method = if matches!(kind, 3 | 4) { Compression::None } else { style.method };
    let packed = pack(method, payload);
    let sum = if style.sums { XxHash3_64::oneshot(&packed) } else { 0 };
    let mut out = head(kind, packed.len(), payload.len(), method, 0, sum);
    out.extend(packed);
    out
}

pub fn head(
    kind: u32,
    packed: usize,
    raw: usize,
    method: Compression,
    encryption: u16,
    sum: u64,
) -> Vec<u8> {
    let mut out = kind.to_le_bytes().to_vec();
    out.extend((packed as u32 + 24).to_le_bytes());
    out.extend((raw as u32 + 24).to_le_bytes());
    out.extend((method as u16 + 1).to_le_bytes());
    out.extend(encryption.to_le_bytes());
    out.extend(sum.to_le_bytes());
    out
}

fn pack(method: Compression, payload: &[u8]) -> Vec<u8> {
    use std::io::Write;
    match method {
        Compression::None => payload.to_vec(),
        Compression::Lzo => lzo_literals(payload),
        Compression::Bz2 => {
            let mut w = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::best());
            w.write_all(payload).unwrap();
            w.finish().unwrap()
        }
        Compression::Lz4 => lz4_flex::block::compress(payload),
        Compression::Zstd => zstd::bulk::compress(payload, 1).unwrap(),
    }
}

/// LZO1X of one run of literals and the end.
fn lzo_literals(payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    match payload.len() {
        n if n <= 238 => out.push(n as u8 + 17),
        n => {
            out.push(0);
            let mut left = n - 18;
            while left > 255 {
                out.push(0);
                left -= 255;
            }
            out.push(left as u8);
        }
    }
    out.extend(payload);
    out.extend([17, 0, 0]);
    out
}

/// The payload of a block of flows.
pub fn flows(records: &[Vec<u8>]) -> Vec<u8> {
    let mut out = vec![0; 32];
    out[..4].copy_from_slice(&(records.len() as u32).to_le_bytes());
    out.extend(records.concat());
    out
}

/// A record of these extensions, in order of their numbers.
pub fn record(exporter: u32, flags: u16, extensions: &[(u32, Vec<u8>)]) -> Vec<u8> {
    let mut bitmap = 0u64;
    let mut out = vec![0; 24 + (2 * extensions.len()).next_multiple_of(8)];
    for (n, (id, data)) in extensions.iter().enumerate() {
        bitmap |= 1 << id;
        let at = (out.len() as u16).to_le_bytes();
        out[24 + 2 * n..26 + 2 * n].copy_from_slice(&at);
        out.extend(data);
        out.resize(out.len().next_multiple_of(8), 0);
    }
    let size = (out.len() as u16).to_le_bytes();
    out[0] = 16;
    out[2..4].copy_from_slice(&size);
    out[4..6].copy_from_slice(&(extensions.len() as u16).to_le_bytes());
    out[6..8].copy_from_slice(&flags.to_le_bytes());
    out[8..12].copy_from_slice(&exporter.to_le_bytes());
    (out[12], out[13], out[14]) = (3, 7, 9);
    out[16..24].copy_from_slice(&bitmap.to_le_bytes());
    out
}

/// Extension 1 with a number in `Bytes`.
pub fn generic(n: u64) -> (u32, Vec<u8>) {
    let mut out = vec![0; 48];
    out[..8].copy_from_slice(&(1_795_000_000_000 + n).to_le_bytes());
    out[8..16].copy_from_slice(&(1_795_000_000_500 + n).to_le_bytes());
    out[24..32].copy_from_slice(&3u64.to_le_bytes());
    out[32..40].copy_from_slice(&n.to_le_bytes());
    out[44] = 6;
    (1, out)
}

pub fn v4(n: u64) -> (u32, Vec<u8>) {
    (2, [(n as u32).to_le_bytes(), 7u32.to_le_bytes()].concat())
}

pub fn ident(name: &str) -> (u32, Vec<u8>) {
    let mut out = vec![0; 128];
    out[..name.len()].copy_from_slice(name.as_bytes());
    (4, out)
}

pub fn statistics(flows: u64) -> (u32, Vec<u8>) {
    let mut out = vec![0; 144];
    for (at, n) in [(0, flows), (3, flows), (15, 1_795_000_000_000), (16, 1_795_000_009_000)] {
        out[8 * at..8 * at + 8].copy_from_slice(&n.to_le_bytes());
    }
    (3, out)
}

/// An exporter with one sampler.
pub fn exporters(sysid: u32) -> (u32, Vec<u8>) {
    let mut out = vec![0; 8 + 80];
    out[0] = 1;
    let r = &mut out[8..];
    (r[0], r[2]) = (17, 80);
    r[14..20].copy_from_slice(&[0xFF, 0xFF, 10, 1, 2, 3]);
    r[20] = 9;
    r[24] = 77;
    r[28..32].copy_from_slice(&sysid.to_le_bytes());
    (r[32], r[40], r[48]) = (5, 6, 4);
    (r[52], r[54]) = (1, 1);
    (r[56], r[64], r[68], r[72]) = (12, 1, 99, 2);
    (7, out)
}

/// `blocks` blocks of flows with 10 flows each, and what else a file has.
pub fn plain(style: Style, blocks: u64) -> Vec<u8> {
    let mut all: Vec<_> = (0..blocks)
        .map(|b| {
            let one = |n| record(1, 0, &[generic(n), v4(n)]);
            (1, flows(&(10 * b..10 * b + 10).map(one).collect::<Vec<_>>()))
        })
        .collect();
    all.push(exporters(1));
    all.push(statistics(10 * blocks));
    all.push(ident("source"));
    file(style, &all)
}
