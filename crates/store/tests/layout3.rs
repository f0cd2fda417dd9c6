//! Files of layout 3: every field, every compression, damage of every kind, encryption.

#[path = "common/layout3.rs"]
mod make;

use make::{METHODS, Style};
use record::{Addr, Exporter, ExporterStats, Field, Kind, Sampler};
use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use store::{
    BlockReader, Compression, FileState, FlowFile, MetaRecord, Passphrase, ReadOptions,
    SalvageReason, StoreError,
};

const PLAIN: Style = Style { method: Compression::None, sums: true };

fn styles() -> impl Iterator<Item = Style> {
    METHODS.into_iter().flat_map(|method| [true, false].map(|sums| Style { method, sums }))
}

struct Scratch(tempfile::TempDir);

impl Scratch {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn put(&self, octets: &[u8]) -> PathBuf {
        let path = self.0.path().join("nfcapd.202611181105");
        fs::write(&path, octets).unwrap();
        path
    }
}

/// Numbers of the flows that are delivered, and whether anything was told to be wrong.
fn read(path: &Path) -> Result<(Vec<u64>, bool), StoreError> {
    // One reader for all: what a damaged file leaves in its buffers must not show in the next.
    thread_local!(static READER: RefCell<BlockReader> = RefCell::new(BlockReader::new()));
    READER.with_borrow_mut(|reader| read_with(reader, path))
}

fn read_with(reader: &mut BlockReader, path: &Path) -> Result<(Vec<u64>, bool), StoreError> {
    let file = FlowFile::open(path)?;
    let (mut all, mut is_damaged) = (Vec::new(), *file.state() != FileState::Closed);
    for n in 0..file.blocks().len() {
        let Ok(block) = reader.load(&file, n) else {
            is_damaged = true;
            continue;
        };
        is_damaged |= block.damage().is_some();
        for row in block.rows.iter() {
            all.push(row.number(Field::Bytes));
            for f in row.shape().fields() {
                assert!(row.bytes(f).is_some(), "{f:?} lies outside of its row");
            }
        }
    }
    Ok((all, is_damaged))
}

#[test]
fn every_way_to_store_blocks_is_read_alike() {
    let scratch = Scratch::new();
    for style in styles() {
        let path = scratch.put(&make::plain(style, 3));
        assert_eq!(read(&path).unwrap(), ((0..30).collect(), false), "{}", style.method);
        let file = FlowFile::open(&path).unwrap();
        assert_eq!((file.layout(), file.ident()), (3, "source"));
        assert_eq!(file.statistics().unwrap().flows, 30);
        assert_eq!(file.header().compression, style.method);
        assert_eq!(file.header().created_secs, 1_795_000_000);
        let whole = store::verify::verify(&path).unwrap();
        assert!(whole.is_sound());
        assert_eq!((whole.flows, whole.blocks.len()), (30, 4));
    }
}

#[test]
fn exporters_samplers_and_names_are_read() {
    let scratch = Scratch::new();
    let names = |kind: u8, size: u8, entries: &[u8]| {
        let mut out = vec![(entries.len() / usize::from(size)) as u8, 0, 0, 0, size, 0, kind, 0];
        out.extend(entries);
        (2, out)
    };
    let path = scratch.put(&make::file(
        PLAIN,
        &[
            make::exporters(70_000),
            names(13, 8, &[9, 0, 0, 0, b'e', b't', b'h', 0, 8, 0, 0, 0, b'w', b'g', 0, 0]),
            names(14, 8, &[5, 0, 0, 0, b'r', b'e', b'd', 0]),
            names(12, 16, &[2, 4, 5, 1, 2, b'd', b'n', b's', 0, b'n', b'a', b'm', b'e', 0, 0, 0]),
            names(1, 4, &[1, 2, 3, 4]),
        ],
    ));
    let file = FlowFile::open(&path).unwrap();
    let mut reader = BlockReader::new();
    let mut all = Vec::new();
    for n in 0..file.blocks().len() {
        let block = reader.load(&file, n).unwrap();
        assert_eq!(block.damage(), None);
        all.extend(block.meta.iter().cloned());
    }
    let exporter = Exporter { sysid: 70_000, version: 9, addr: Addr::V4(0x0A01_0203), id: 77 };
    let sampler =
        Sampler { exporter: 70_000, algorithm: 2, id: 12, packet_interval: 1, space_interval: 99 };
    let stats = ExporterStats { sysid: 70_000, sequence_failures: 4, packets: 5, flows: 6 };
    let name = |table, id, name: &[u8]| MetaRecord::Name { table, id, name: name.to_vec() };
    let want = [
        MetaRecord::Exporter(exporter),
        MetaRecord::Sampler(sampler),
        MetaRecord::Stats(vec![stats]),
        name(record::NameTable::Interface, 9, b"eth"),
        name(record::NameTable::Interface, 8, b"wg"),
        name(record::NameTable::Vrf, 5, b"red"),
        MetaRecord::Application {
            id: vec![1, 2],
            name: b"dns".to_vec(),
            description: b"name".to_vec(),
        },
    ];
    assert_eq!(all, want);
    let listed = store::list_exporters(&path).unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!((listed[0].exporter, listed[0].stats), (exporter, stats));
    assert_eq!(listed[0].samplers, [sampler]);
}

#[test]
fn exporters_that_were_counted_but_not_written_are_no_damage() {
    let scratch = Scratch::new();
    let (kind, mut payload) = make::exporters(1);
    payload[0] = 3;
    payload.extend([0xEE; 100]);
    let path = scratch.put(&make::file(PLAIN, &[(kind, payload)]));
    let file = FlowFile::open(&path).unwrap();
    let mut reader = BlockReader::new();
    let block = reader.load(&file, 0).unwrap();
    assert_eq!((block.damage(), block.records, block.skipped.unknown_records), (None, 1, 2));
}

/// Each extension with other octets in each field, and the fields it should give, in order of
/// their offsets.
fn extensions() -> Vec<(u32, usize, Vec<Field>)> {
    use Field as F;
    vec![
        (4, 8, vec![F::Input, F::Output]),
        (5, 8, vec![F::SrcMask, F::DstMask, F::Direction, F::BiflowDir, F::DstTos, F::EndReason]),
        (6, 24, vec![F::Flows, F::OutPackets, F::OutBytes]),
        (7, 8, vec![F::SrcVlan, F::DstVlan]),
        (8, 8, vec![F::SrcAs, F::DstAs]),
        (13, 40, vec![F::Mpls1, F::Mpls2, F::Mpls3, F::Mpls4, F::Mpls5, F::Mpls6]),
        (14, 16, vec![F::InSrcMac, F::OutDstMac]),
        (15, 16, vec![F::InDstMac, F::OutSrcMac]),
        (16, 8, vec![F::NextAs, F::PrevAs]),
        (17, 24, vec![F::ClientLatency, F::ServerLatency, F::AppLatency]),
        (20, 8, vec![F::XlateSrcPort, F::XlateDstPort]),
        (24, 8, vec![F::PblockStart, F::PblockEnd, F::PblockStep, F::PblockSize]),
        (31, 8, vec![F::FrameSize, F::LinkType]),
        (33, 8, vec![F::EgressVrf, F::IngressVrf]),
        (36, 8, vec![F::FlowId]),
        (37, 8, vec![F::InService, F::OutService]),
        (39, 8, vec![F::FragmentFlags, F::MinTtl, F::MaxTtl]),
    ]
}

#[test]
fn numbers_of_each_extension_are_where_they_should_be() {
    let scratch = Scratch::new();
    for (id, len, fields) in extensions() {
        let data: Vec<u8> = (0..len).map(|n| n as u8 + 1).collect();
        let path = scratch.put(&make::file(
            PLAIN,
            &[(1, make::flows(&[make::record(70_001, 2, &[make::generic(1), (id, data)])]))],
        ));
        let file = FlowFile::open(&path).unwrap();
        let mut reader = BlockReader::new();
        let block = reader.load(&file, 0).unwrap();
        let row = block.rows.row(0).unwrap();
        assert_eq!(row.u64(Field::ExporterId), Some(70_001));
        assert_eq!((row.number(Field::RecordFlags), row.number(Field::Source)), (2, 9));
        assert_eq!((row.number(Field::EngineType), row.number(Field::EngineId)), (3, 7));
        let mut at = 0usize;
        for f in fields {
            let width = usize::from(f.kind().width().unwrap());
            let want = (0..width).rev().fold(0u64, |n, i| n << 8 | (at + i + 1) as u64);
            assert_eq!(row.u64(f), Some(want), "extension {id} {f:?}");
            at += width;
        }
    }
}

#[test]
fn addresses_texts_and_octets_of_each_extension_are_read() {
    use Field as F;
    let said = |b: &[u8]| [&(b.len() as u32).to_le_bytes()[..], b].concat();
    let v6 = |n: u64| [1u64.to_le_bytes(), n.to_le_bytes()].concat();
    let pair = |n| [v6(n), v6(n + 1)].concat();
    let mut layer2 = vec![0; 32];
    (layer2[0], layer2[8], layer2[16], layer2[24], layer2[26]) = (5, 6, 7, 8, 6);
    let mut user = vec![0; 72];
    user[..3].copy_from_slice(b"bob");
    let record = make::record(
        1,
        0,
        &[
            make::generic(1),
            (3, pair(2)),
            (9, vec![4, 0, 0, 10, 5, 0, 0, 10]),
            (12, v6(6)),
            (19, pair(7)),
            (22, (1..=24).collect()),
            (23, user),
            (25, said(&[13, 0, 1])),
            (26, said(b"GET /")),
            (27, said(b"HTTP")),
            (29, [pair(9), vec![41, 0, 0, 0, 0, 0, 0, 0]].concat()),
            (30, [3u64.to_le_bytes(), 4u64.to_le_bytes()].concat()),
            (32, said(&[0xAA; 61])),
            (34, [&[1, 2, 3, 4, 5, 0, 0, 0][..], &[0; 12], b"em0\0"].concat()),
            (35, layer2),
            (38, b"subscriber-0001\0".to_vec()),
        ],
    );
    let scratch = Scratch::new();
    let path = scratch.put(&make::file(PLAIN, &[(1, make::flows(&[record]))]));
    let file = FlowFile::open(&path).unwrap();
    let mut reader = BlockReader::new();
    let block = reader.load(&file, 0).unwrap();
    assert_eq!((block.damage(), block.skipped.unknown_elements), (None, 0));
    let row = block.rows.row(0).unwrap();
    let long = |n: u128| Addr::V6(1 << 64 | n);
    for (field, want) in [
        (F::SrcAddr, long(2)),
        (F::DstAddr, long(3)),
        (F::NextHop, Addr::V4(0x0A00_0004)),
        (F::BgpNextHop, Addr::V4(0x0A00_0005)),
        (F::Router, long(6)),
        (F::XlateSrcAddr, long(7)),
        (F::XlateDstAddr, long(8)),
        (F::TunSrcAddr, long(9)),
        (F::TunDstAddr, long(10)),
    ] {
        assert_eq!(row.addr(field), Some(want), "{field:?}");
    }
    for (field, want) in [
        (F::IngressAcl, &(1..=12).collect::<Vec<u8>>()[..]),
        (F::EgressAcl, &(13..=24).collect::<Vec<u8>>()),
        (F::AppId, &[13, 0, 1]),
        (F::InPayload, b"GET /"),
        (F::OutPayload, b"HTTP"),
        (F::Frame, &[0xAA; 61]),
    ] {
        assert_eq!(row.bytes(field), Some(want), "{field:?}");
    }
    for (field, want) in
        [(F::Username, "bob"), (F::PfInterface, "em0"), (F::NatString, "subscriber-0001")]
    {
        assert_eq!(row.text(field), Some(want.as_bytes()), "{field:?}");
    }
    for (field, want) in [
        (F::TunProto, 41),
        (F::ObservationPoint, 3),
        (F::ObservationDomain, 4),
        (F::PfAction, 1),
        (F::PfRule, 5),
        (F::VlanId, 5),
        (F::PhysIngress, 6),
        (F::VxLan, 7),
        (F::EtherType, 8),
        (F::IpVersion, 6),
    ] {
        assert_eq!(row.number(field), want, "{field:?}");
    }
}

#[test]
fn one_extension_of_events_is_read_as_two() {
    let event = |kind: u8, fw: u8, nat: u8| {
        let mut out = vec![0; 24];
        (out[0], out[8], out[12], out[14]) = (99, 1, 2, fw);
        (out[16], out[18], out[20]) = (kind, nat, 3);
        (21, out)
    };
    let scratch = Scratch::new();
    let mut start_0 = make::generic(1);
    start_0.1[..8].fill(0);
    let records: Vec<_> = [event(1, 4, 0), event(2, 0, 5), event(0, 4, 5), event(0, 0, 0)]
        .into_iter()
        .map(|e| make::record(1, 1, &[start_0.clone(), e]))
        .collect();
    let path = scratch.put(&make::file(PLAIN, &[(1, make::flows(&records))]));
    let file = FlowFile::open(&path).unwrap();
    let mut reader = BlockReader::new();
    let block = reader.load(&file, 0).unwrap();
    let got: Vec<_> = block
        .rows
        .iter()
        .map(|r| {
            assert_eq!(r.number(Field::First), 99);
            (r.u64(Field::FwEvent), r.u64(Field::NatEvent), r.u64(Field::NatPool))
        })
        .collect();
    let want = [
        (Some(4), None, None),
        (None, Some(5), Some(3)),
        (Some(4), Some(5), Some(3)),
        (Some(0), None, None),
    ];
    assert_eq!(got, want);
}

#[test]
fn open_and_unknown_extensions_are_passed_over() {
    let mut open = make::record(1, 0, &[make::generic(1), v4_of(5), (8, vec![1; 8])]);
    open[26..28].fill(0); // the offset of extension 2
    let strange = make::record(1, 0, &[make::generic(2), (55, vec![1; 8])]);
    let mut wrong = make::record(1, 0, &[make::generic(3)]);
    wrong[4] = 2; // counts more than the bitmap
    let mut outside = make::record(1, 0, &[make::generic(4)]);
    outside[24] = 200;
    let scratch = Scratch::new();
    let records = [open, strange, wrong, outside];
    let path = scratch.put(&make::file(PLAIN, &[(1, make::flows(&records))]));
    let file = FlowFile::open(&path).unwrap();
    let mut reader = BlockReader::new();
    let block = reader.load(&file, 0).unwrap();
    assert_eq!(block.rows.len(), 2);
    assert_eq!((block.skipped.malformed, block.skipped.unknown_elements), (2, 1));
    let row = block.rows.row(0).unwrap();
    assert!(!row.has(Field::SrcAddr) && row.has(Field::SrcAs));
}

fn v4_of(n: u64) -> (u32, Vec<u8>) {
    make::v4(n)
}

#[test]
fn a_cut_file_gives_every_block_that_is_whole() {
    let scratch = Scratch::new();
    for style in styles() {
        let whole = make::plain(style, 3);
        let path = scratch.put(&whole);
        let ends: Vec<u64> =
            FlowFile::open(&path).unwrap().blocks().iter().map(|b| b.end()).collect();
        for len in 0..whole.len() {
            let path = scratch.put(&whole[..len]);
            if len < 48 {
                assert!(matches!(read(&path), Err(StoreError::TooShort { .. })), "length {len}");
                continue;
            }
            let (flows, is_damaged) = read(&path).unwrap();
            assert!(is_damaged, "{} length {len}", style.method);
            let blocks = ends[..3].iter().filter(|e| **e <= len as u64).count() as u64;
            assert_eq!(flows, (0..10 * blocks).collect::<Vec<_>>(), "{} {len}", style.method);
        }
    }
}

#[test]
fn no_flipped_bit_costs_more_than_its_block() {
    let scratch = Scratch::new();
    for style in styles().filter(|s| s.sums) {
        let whole = make::plain(style, 2);
        // Unpacking bzip2 takes its time.
        let step = if style.method == Compression::Bz2 { 11 } else { 1 };
        for at in (0..whole.len()).step_by(step) {
            let mut octets = whole.clone();
            octets[at] ^= 1 << (at % 8);
            let path = scratch.put(&octets);
            let Ok((flows, _)) = read(&path) else {
                assert!(at < 24, "{} octet {at}", style.method);
                continue;
            };
            let full = |b: u64| (10 * b..10 * b + 10).all(|n| flows.contains(&n));
            assert!(full(0) || full(1), "{} octet {at}: {flows:?}", style.method);
            // Sums find whatever lies behind the header of a block.
            assert!(flows.iter().all(|n| *n < 20), "{} octet {at}: {flows:?}", style.method);
        }
    }
}

#[test]
fn without_a_directory_blocks_are_found_one_by_one() {
    let scratch = Scratch::new();
    let whole = make::plain(PLAIN, 3);
    let at = u64::from_le_bytes(whole[32..40].try_into().unwrap()) as usize;
    // The header's pointer is gone: the footer's does.
    let mut octets = whole.clone();
    octets[28..40].fill(0);
    assert_eq!(read(&scratch.put(&octets)).unwrap(), ((0..30).collect(), false));
    // The directory is damaged.
    let mut octets = whole.clone();
    octets[at + 10] ^= 1;
    let path = scratch.put(&octets);
    assert_eq!(read(&path).unwrap(), ((0..30).collect(), true));
    let file = FlowFile::open(&path).unwrap();
    let reason = SalvageReason::Directory { offset: at as u64 };
    assert!(
        matches!(file.state(), FileState::Salvaged { reason: r, bytes_lost: 0, .. } if *r == reason)
    );
    assert_eq!(file.ident(), "source");
    // And a header of a block, too: what follows is found.
    let second = FlowFile::open(scratch.put(&whole)).unwrap().blocks()[1].offset as usize;
    octets[second] = 200;
    let path = scratch.put(&octets);
    let (flows, _) = read(&path).unwrap();
    assert_eq!(flows, (0..10).chain(20..30).collect::<Vec<_>>());
    // Never closed, with a hole where a thread had not written yet.
    let mut octets = whole[..at].to_vec();
    octets[28..40].fill(0);
    let end = FlowFile::open(scratch.put(&whole)).unwrap().blocks()[1].end() as usize;
    octets[second..end].fill(0);
    let path = scratch.put(&octets);
    assert_eq!(read(&path).unwrap().0, (0..10).chain(20..30).collect::<Vec<_>>());
    let file = FlowFile::open(&path).unwrap();
    let lost = (end - second) as u64;
    let want = FileState::Salvaged {
        complete_blocks: 3,
        bytes_lost: lost,
        reason: SalvageReason::NotClosed,
    };
    assert_eq!(*file.state(), want);
}

#[test]
fn sizes_that_claim_too_much_are_refused_before_memory_is_taken() {
    let scratch = Scratch::new();
    let mut octets = make::plain(Style { method: Compression::Zstd, sums: true }, 1);
    octets[48 + 8..48 + 12].copy_from_slice(&(65u32 << 20).to_le_bytes());
    let (flows, is_damaged) = read(&scratch.put(&octets)).unwrap();
    assert!(flows.is_empty() && is_damaged);
}

#[test]
fn octets_that_nothing_lists_are_lost() {
    let scratch = Scratch::new();
    let block = |n| make::flows(&[make::record(1, 0, &[make::generic(n)])]);
    let mut out = make::header(PLAIN, 0);
    let mut entries = Vec::new();
    for n in 0..3 {
        let octets = make::block(PLAIN, 1, &block(n));
        if n != 1 {
            entries.push((1, octets.len() as u32, out.len() as u64));
        }
        out.extend(octets);
    }
    let lost = entries[0].1;
    let path = scratch.put(&make::finish(out, &entries, true, [0; 32]));
    let offset = 48 + u64::from(lost);
    let want = FileState::Salvaged {
        complete_blocks: 2,
        bytes_lost: u64::from(lost),
        reason: SalvageReason::Gap { offset },
    };
    assert_eq!(*FlowFile::open(&path).unwrap().state(), want);
    assert_eq!(read(&path).unwrap(), (vec![0, 2], true));
}

#[test]
fn what_only_looks_like_a_block_is_not_taken_for_one() {
    let scratch = Scratch::new();
    let block = |sums, n| {
        let style = Style { sums, ..PLAIN };
        make::block(style, 1, &make::flows(&[make::record(1, 0, &[make::generic(n)])]))
    };
    // A sum that the payload does not have; and without one, a header that nothing follows.
    for (sums, fake) in [
        (true, make::head(1, 300, 300, Compression::None, 0, 5)),
        (false, make::head(1, 61, 61, Compression::None, 0, 0)),
    ] {
        let mut out = make::header(PLAIN, 0);
        out.extend(block(sums, 1));
        out.extend([0xEE; 30]);
        out.extend(fake);
        out.extend([0xEE; 40]);
        out.extend(block(sums, 2));
        out.extend(block(sums, 3));
        let path = scratch.put(&out);
        assert_eq!(read(&path).unwrap(), (vec![1, 2, 3], true), "{sums}");
    }
}

mod encrypted {
    use super::*;
    use argon2::{Algorithm, Argon2, Params, Version};
    use chacha20poly1305::aead::AeadInOut;
    use chacha20poly1305::{ChaCha20Poly1305, Key, KeyInit, Nonce};

    const SALT: [u8; 32] = [5; 32];
    const ROOT: [u8; 12] = [9; 12];

    fn cipher(pass: &str) -> ChaCha20Poly1305 {
        let params = Params::new(64 << 10, 3, 1, Some(32)).unwrap();
        let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let mut key = [0; 32];
        argon.hash_password_into(pass.as_bytes(), &SALT[..16], &mut key).unwrap();
        ChaCha20Poly1305::new(&Key::from(key))
    }

    fn seal(cipher: &ChaCha20Poly1305, nonce: [u8; 12], bound: &[u8], text: &[u8]) -> Vec<u8> {
        let mut out = text.to_vec();
        let tag = cipher
            .encrypt_inout_detached(&Nonce::from(nonce), bound, out.as_mut_slice().into())
            .unwrap();
        out.extend(tag.as_slice());
        out
    }

    fn file(pass: &str) -> Vec<u8> {
        let cipher = cipher(pass);
        let mut out = make::header(PLAIN, 1);
        let mut keys = vec![1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0];
        keys.extend(SALT);
        keys.extend(ROOT);
        keys.extend(&seal(&cipher, ROOT, &[], &[0; 16])[16..]);
        let mut entries = vec![(5, 96, 48)];
        out.extend(make::block(PLAIN, 5, &keys));
        for (kind, payload) in [
            (1, make::flows(&[make::record(1, 0, &[make::generic(1)])])),
            (1, make::flows(&[make::record(1, 0, &[make::generic(2)])])),
            make::ident("secret"),
        ] {
            let at = out.len() as u64;
            let mut nonce = ROOT;
            nonce.iter_mut().zip(at.to_le_bytes()).for_each(|(n, o)| *n ^= o);
            let mut bound = Vec::new();
            for word in [kind, payload.len() as u32 + 24, 1, 0] {
                bound.extend(word.to_le_bytes());
            }
            bound.extend(at.to_le_bytes());
            let sealed = seal(&cipher, nonce, &bound, &payload);
            let sum = twox_hash::XxHash3_64::oneshot(&sealed);
            out.extend(make::head(kind, sealed.len(), payload.len(), Compression::None, 1, sum));
            out.extend(&sealed);
            entries.push((kind, sealed.len() as u32 + 24, at));
        }
        make::finish(out, &entries, true, [0; 32])
    }

    fn with(pass: &str) -> ReadOptions {
        ReadOptions { key: Passphrase::new(pass) }
    }

    #[test]
    fn files_open_with_their_passphrase_only() {
        let scratch = Scratch::new();
        let whole = file("geheim");
        let path = scratch.put(&whole);
        assert!(matches!(FlowFile::open(&path), Err(StoreError::KeyNeeded(_))));
        let wrong = FlowFile::open_with(&path, &with("Geheim"));
        assert!(matches!(wrong, Err(StoreError::WrongKey(_))));
        let opened = FlowFile::open_with(&path, &with("geheim")).unwrap();
        assert_eq!((opened.ident(), opened.blocks().len()), ("secret", 2));
        // This file was not sealed as a whole, and is told so.
        let is_unsealed =
            matches!(opened.state(), FileState::Salvaged { reason: SalvageReason::Seal, .. });
        assert!(is_unsealed);
        let mut reader = BlockReader::new();
        for n in 0..2 {
            let block = reader.load(&opened, n).unwrap();
            assert_eq!(block.rows.row(0).unwrap().number(Field::Bytes), n as u64 + 1);
        }
        // Two blocks of one size, exchanged: each is sound, but not where it was written.
        let (a, b) = (opened.blocks()[0], opened.blocks()[1]);
        let mut octets = whole.clone();
        octets[a.offset as usize..a.end() as usize]
            .copy_from_slice(&whole[b.offset as usize..b.end() as usize]);
        let path = scratch.put(&octets);
        let opened = FlowFile::open_with(&path, &with("geheim")).unwrap();
        let e = reader.load(&opened, 0).unwrap_err();
        assert!(e.to_string().contains("do not decrypt"), "{e}");
        assert!(reader.load(&opened, 1).is_ok());
    }

    #[test]
    fn blocks_that_the_key_did_not_write_are_not_believed() {
        let scratch = Scratch::new();
        let mut octets = file("geheim");
        let path = scratch.put(&octets);
        let first = FlowFile::open_with(&path, &with("geheim")).unwrap().blocks()[0];
        // As long as the one it takes the place of.
        let mut flows = make::flows(&[make::record(1, 0, &[make::generic(7)])]);
        flows.resize(first.size as usize, 0);
        let forged = make::block(PLAIN, 1, &flows);
        octets[first.offset as usize..first.end() as usize].copy_from_slice(&forged);
        let path = scratch.put(&octets);
        let opened = FlowFile::open_with(&path, &with("geheim")).unwrap();
        let e = BlockReader::new().load(&opened, 0).unwrap_err();
        assert!(e.to_string().contains("do not decrypt"), "{e}");
    }

    #[test]
    fn repairing_does_not_write_in_plain_what_was_encrypted() {
        let scratch = Scratch::new();
        let path = scratch.put(&file("geheim"));
        let options = store::RepairOptions { read: with("geheim"), ..Default::default() };
        let e = store::repair_with(&path, &options).unwrap_err();
        assert!(e.to_string().contains("it is encrypted"), "{e}");
        assert_eq!(fs::read(&path).unwrap(), file("geheim"));
    }

    #[test]
    fn passphrases_do_not_show() {
        let shown = format!("{:?}", with("geheim"));
        assert!(!shown.contains("geheim"));
        assert_eq!(Passphrase::new(""), None);
        assert_eq!(Passphrase::new("x".repeat(1024)), None);
    }
}

/// Rows of this layout can be written as those of layout 2, and say the same then.
#[test]
fn rows_are_copied_to_files_of_layout_2() {
    let scratch = Scratch::new();
    let path = scratch.put(&make::plain(PLAIN, 2));
    let out = scratch.0.path().join("copy");
    let mut writer = store::Writer::create(&out, &store::WriterOptions::default()).unwrap();
    let mut reader = BlockReader::new();
    let mut rows = |path: &Path, writer: &mut Option<&mut store::Writer>| {
        let file = FlowFile::open(path).unwrap();
        let mut all = Vec::new();
        for n in 0..file.blocks().len() {
            let block = reader.load(&file, n).unwrap();
            for row in block.rows.iter() {
                if let Some(w) = writer {
                    w.row(row);
                }
                let says = |f: Field| {
                    let n = if f.kind() == Kind::Addr { 0 } else { row.number(f) };
                    (f, n, row.addr(f).filter(|_| f.kind() == Kind::Addr))
                };
                all.push(row.shape().fields().map(says).collect::<Vec<_>>());
            }
        }
        all
    };
    let before = rows(&path, &mut Some(&mut writer));
    writer.close(&[]).unwrap();
    assert_eq!(rows(&out, &mut None), before);
}
