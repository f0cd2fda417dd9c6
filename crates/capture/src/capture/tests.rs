use super::*;
use crate::testing::Out;
use crate::window::Order;

const ORDERS: [Order; 2] = [Order::Big, Order::Little];

type Owned = (Option<u64>, u32, u32, u32, Vec<u8>);
type Outcome = (Vec<Owned>, Option<Cut>, Option<Error>);

/// All packets, where the capture was cut, and its error: the same in whatever way it is read.
fn read(bytes: &[u8]) -> Outcome {
    let stream = || Capture::new(io::Cursor::new(bytes.to_vec()));
    let drip = || Capture::new(Drip(io::Cursor::new(bytes.to_vec())));
    let (found, counts) = read_as(stream(), |_| false);
    type Way = (&'static str, Result<Capture, Error>, fn(usize) -> bool);
    let mut ways: Vec<Way> =
        vec![("batches", stream(), |_| true), ("both", stream(), |n| n % 3 == 0)];
    if bytes.len() < 1000 {
        ways.push(("octet by octet", drip(), |_| true));
    }
    for (name, capture, is_batch) in ways {
        let (other, other_counts) = read_as(capture, is_batch);
        assert!(found.0 == other.0, "{name}: {} packets, not {}", other.0.len(), found.0.len());
        let said = |e: &Option<Error>| e.as_ref().map(ToString::to_string);
        assert_eq!((found.1, said(&found.2)), (other.1, said(&other.2)), "{name}");
        assert_eq!(counts, other_counts, "{name}");
    }
    found
}

/// Reads a capture, by batches where `is_batch` says so of a call.
fn read_as(capture: Result<Capture, Error>, is_batch: fn(usize) -> bool) -> (Outcome, Counts) {
    let mut capture = match capture {
        Ok(capture) => capture,
        Err(e) => return ((Vec::new(), None, Some(e)), Counts::default()),
    };
    let owned = |p: &Packet<'_>| (p.time_ns, p.link, p.wire_len, p.interface, p.bytes.to_vec());
    let mut all = Vec::new();
    let mut error = None;
    for n in 0.. {
        let step = if is_batch(n) {
            capture.batch(&mut |packets| {
                assert!((1..=BATCH).contains(&packets.len()));
                all.extend(packets.iter().map(owned));
            })
        } else {
            capture.next().map(|packet| match packet {
                Some(packet) => {
                    all.push(owned(&packet));
                    Progress::More
                }
                None => Progress::End,
            })
        };
        match step {
            Ok(Progress::More) => {}
            Ok(Progress::Idle) => panic!("a file is never idle"),
            Ok(Progress::End) => break,
            Err(e) => {
                error = Some(e);
                break;
            }
        }
    }
    assert!(matches!(capture.next(), Ok(None)), "nothing after the end");
    let end = capture.batch(&mut |_| panic!("nothing after the end"));
    assert!(matches!(end, Ok(Progress::End)));
    assert_eq!(capture.counts().packets, all.len() as u64);
    ((all, capture.cut(), error), capture.counts())
}

fn packet(n: u8) -> Vec<u8> {
    vec![n; usize::from(n)]
}

#[test]
fn classic_captures_of_every_kind() {
    for order in ORDERS {
        for (magic, unit) in [(0xa1b2_c3d4, 1000), (0xa1b2_3c4d, 1)] {
            let mut out = Out::new(order);
            out.classic(magic, 4).packet(1, 2, &packet(5)).packet(u32::MAX, 999_999, &packet(0));
            let (all, cut, error) = read(&out.bytes);
            assert!(cut.is_none() && error.is_none(), "{error:?}");
            let last = u64::from(u32::MAX) * 1_000_000_000 + 999_999 * unit;
            assert_eq!(
                all,
                [
                    (Some(1_000_000_000 + 2 * unit), 1, 7, 0, packet(5)),
                    (Some(last), 1, 2, 0, packet(0)),
                ]
            );
        }
    }
}

#[test]
fn old_classic_captures() {
    let mut out = Out::new(Order::Little);
    out.classic(0xa1b2_c3d4, 2).u32(1).u32(2).u32(9).u32(5).put(&packet(5));
    assert_eq!(read(&out.bytes).0, [(Some(1_000_002_000), 1, 9, 0, packet(5))], "swapped");
    let mut out = Out::new(Order::Big);
    out.classic(0xa1b2_cd34, 4).u32(1).u32(2).u32(5).u32(9).put(&[0; 8]).put(&packet(5));
    assert_eq!(read(&out.bytes).0, [(Some(1_000_002_000), 1, 9, 0, packet(5))], "24 octets");
    let mut out = Out::new(Order::Big);
    out.classic(0xa1b2_c3d4, 4);
    out.bytes[20] = 0x54; // four octets of check sequence
    out.packet(0, 0, &packet(1));
    assert_eq!(read(&out.bytes).0, [(Some(0), 1, 3, 0, packet(1))]);
}

/// Two sections in different byte orders, interfaces of their own, all kinds of blocks.
fn ng() -> Vec<u8> {
    let mut out = Out::new(Order::Little);
    // Options: a name, passed over, and nanoseconds.
    let options = [&[2, 0, 3, 0][..], b"eth\0", &[9, 0, 1, 0, 9, 0, 0, 0, 0, 0, 0, 0]].concat();
    out.section().interface(1, 0, &[]).interface(113, 64, &options);
    out.enhanced(0, 7, &packet(5)).enhanced(1, 1 << 40, &packet(6));
    out.block(4, b"names").block(0x0bad, &[0; 300_000]);
    let mut simple = Out::new(Order::Little);
    simple.u32(3).put(&packet(3));
    out.block(3, &simple.bytes);
    let mut big = Out::new(Order::Big);
    // Halves of seconds, an hour later.
    let options = [&[0, 9, 0, 1, 0x81, 0, 0, 0, 0, 14, 0, 8][..], &3600i64.to_be_bytes()].concat();
    big.section().interface(101, 4, &options).enhanced(0, 3, &packet(4));
    let mut simple = Out::new(Order::Big);
    simple.u32(100).put(&packet(8)[..4]);
    big.block(3, &simple.bytes);
    let mut old = Out::new(Order::Big);
    old.u16(0).u16(9).u32(0).u32(4).u32(7).u32(70).put(&packet(7));
    big.block(2, &old.bytes);
    out.bytes.extend(big.bytes);
    out.bytes
}

fn ng_packets() -> Vec<Owned> {
    let hour = 3_600_000_000_000;
    vec![
        (Some(7000), 1, 7, 0, packet(5)),
        (Some(1 << 40), 113, 8, 1, packet(6)),
        (None, 1, 3, 0, packet(3)),
        (Some(hour + 1_500_000_000), 101, 6, 0, packet(4)),
        (None, 101, 100, 0, vec![8; 4]),
        (Some(hour + 2_000_000_000), 101, 70, 0, packet(7)),
    ]
}

#[test]
fn sections_interfaces_and_blocks_of_pcapng() {
    let bytes = ng();
    let (all, cut, error) = read(&bytes);
    assert!(cut.is_none() && error.is_none(), "{error:?}");
    assert_eq!(all, ng_packets());
    let mut capture = Capture::new(io::Cursor::new(bytes)).unwrap();
    while capture.next().unwrap().is_some() {}
    assert_eq!(capture.counts(), Counts { packets: 6, octets: 29, other_blocks: 2, unwanted: 0 });
}

#[test]
fn times_that_cannot_be_are_none() {
    let resolution = |exponent: u8| {
        let mut out = Out::new(Order::Big);
        out.section().interface(1, 0, &[0, 9, 0, 1, exponent, 0, 0, 0]);
        out.enhanced(0, u64::MAX, &[]);
        read(&out.bytes).0[0].0
    };
    assert_eq!(resolution(0), None, "seconds: beyond what there is a number for");
    assert_eq!(resolution(9), Some(u64::MAX));
    assert_eq!(resolution(12), Some(u64::MAX / 1000));
    assert_eq!(resolution(38), Some(0));
    assert_eq!(resolution(127), None);
    assert_eq!(resolution(0x80 | 32), Some(((u64::MAX as u128 * 1_000_000_000) >> 32) as u64));
    assert_eq!(resolution(0xff), Some(0));
    let mut out = Out::new(Order::Big);
    out.section().interface(1, 0, &[&[0, 14, 0, 8][..], &(-5i64).to_be_bytes()].concat());
    out.enhanced(0, 4_000_000, &[]).enhanced(0, 6_000_000, &[]);
    let times: Vec<_> = read(&out.bytes).0.iter().map(|p| p.0).collect();
    assert_eq!(times, [None, Some(1_000_000_000)], "before 1970, and after");
}

fn classic() -> Vec<u8> {
    let mut out = Out::new(Order::Little);
    out.classic(0xa1b2_c3d4, 4).packet(1, 2, &packet(5)).packet(3, 4, &packet(9));
    out.bytes
}

#[test]
fn what_is_whole_of_a_cut_capture_is_delivered_and_the_cut_is_told() {
    let ng_bytes = ng();
    let (ng_full, _, _) = read(&ng_bytes);
    for (name, bytes, full, header) in
        [("pcap", classic(), read(&classic()).0, 24), ("pcapng", ng_bytes, ng_full, 28)]
    {
        let mut most = 0;
        for len in (0..bytes.len()).filter(|len| *len < 600 || *len > bytes.len() - 600) {
            let (all, cut, error) = read(&bytes[..len]);
            if len < header {
                let expected = matches!(error, Some(Error::Header { .. } | Error::Empty));
                assert!(expected && all.is_empty(), "{name} {len}: {error:?}");
                continue;
            }
            assert!(error.is_none(), "{name} {len}: {error:?}");
            assert!(full.starts_with(&all) && all.len() >= most, "{name} {len}");
            most = all.len();
            if let Some(cut) = cut {
                assert_eq!(cut.at + cut.have, len as u64, "{name}: {cut}");
                assert!(cut.missing > 0 && len as u64 + cut.missing <= bytes.len() as u64);
            }
        }
        assert_eq!(most, full.len() - 1, "{name}");
    }
}

#[test]
fn compressed_captures_are_read_and_those_that_are_cut_as_far_as_they_go() {
    use std::io::Write;
    let bytes = classic();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&bytes[..45]).unwrap();
    let mut members = gzip.finish().unwrap();
    let member = members.len();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    gzip.write_all(&bytes[45..]).unwrap();
    members.extend(gzip.finish().unwrap());
    let mut zstd = zstd::Encoder::new(Vec::new(), 1).unwrap();
    zstd.write_all(&bytes).unwrap();
    for (name, packed) in [("gzip", members), ("zstd", zstd.finish().unwrap())] {
        let (all, cut, error) = read(&packed);
        assert!(cut.is_none() && error.is_none(), "{name}: {error:?}");
        assert_eq!(all, read(&bytes).0, "{name}");
        for len in 1..packed.len() {
            // Between two members nobody can tell.
            let is_whole = name == "gzip" && len == member;
            let (part, cut, error) = read(&packed[..len]);
            assert!(all.starts_with(&part), "{name} {len}: {error:?}");
            assert_eq!(cut.is_some() || error.is_some(), !is_whole, "{name} {len}");
        }
    }
    // All packets are there, and the check sum behind them is not.
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    gzip.write_all(&bytes).unwrap();
    let mut packed = gzip.finish().unwrap();
    packed.truncate(packed.len() - 8);
    let (part, cut, error) = read(&packed);
    assert_eq!(part, read(&bytes).0, "{error:?}");
    let at = bytes.len() as u64;
    assert_eq!(cut, Some(Cut { at, have: 0, missing: 0 }));
    let said = cut.map(|cut| cut.to_string()).unwrap_or_default();
    assert!(said.ends_with("its compressed stream breaks off at octet 70"), "{said}");
    let (_, _, error) = read(&[0x1f, 0x8b, 8, 0xff, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
    assert!(error.is_some());
}

#[test]
fn damage_is_said_with_its_place() {
    let ng = |change: &dyn Fn(&mut Out)| {
        let mut out = Out::new(Order::Little);
        out.section();
        change(&mut out);
        out.bytes
    };
    let mut long = Out::new(Order::Little);
    long.classic(0xa1b2_c3d4, 4).u32(0).u32(0).u32(1 << 20 | 1).u32(1 << 20 | 1);
    let mut version = Out::new(Order::Little);
    version.u32(0xa1b2_c3d4).u16(3).u16(4).put(&[0; 16]);
    for (want, bytes) in [
        ("empty", Vec::new()),
        ("not pcap, pcapng or snoop", b"snow\0\0\0\0".to_vec()),
        ("version 3.4 at octet 0", version.bytes),
        ("octet 24 has 1048577 octets", long.bytes),
        (
            "type 0x5 at octet 28 has impossible length 11",
            ng(&|out| {
                out.u32(5).u32(11);
            }),
        ),
        (
            "type 0x6 at octet 28 has impossible length 16",
            ng(&|out| {
                out.block(6, &[0; 4]);
            }),
        ),
        (
            "type 0x1 at octet 28 has impossible length 4294967292",
            ng(&|out| {
                out.u32(1).u32(u32::MAX - 3);
            }),
        ),
        (
            "octet 28 says it has 12 octets, and 16 at its end",
            ng(&|out| {
                out.u32(5).u32(12).u32(16);
            }),
        ),
        (
            "octet 28 has the unknown byte order mark",
            ng(&|out| {
                out.u32(0x0a0d_0d0a).u32(28).put(&[0; 20]);
            }),
        ),
        (
            "octet 28 names interface 0, but there are 0",
            ng(&|out| {
                out.enhanced(0, 0, &[1]);
            }),
        ),
        (
            "octet 48 names interface 7, but there are 1",
            ng(&|out| {
                out.interface(1, 0, &[]).enhanced(7, 0, &[1]);
            }),
        ),
    ] {
        let (all, _, error) = read(&bytes);
        let error = error.map(|e| e.to_string()).unwrap_or_default();
        assert!(error.contains(want) && all.is_empty(), "{want}: {error}");
    }
    let nowhere = Capture::open(Path::new("no/such/file")).unwrap_err().to_string();
    assert!(nowhere.contains("no/such/file"), "{nowhere}");
}

#[test]
fn packets_before_damage_are_delivered() {
    let mut bytes = ng();
    let at = bytes.len() - 1;
    bytes[at] ^= 1;
    let (all, _, error) = read(&bytes);
    assert_eq!(all, &ng_packets()[..5]);
    assert!(matches!(error, Some(Error::BlockEnd { .. })));
}

#[test]
fn no_changed_octet_panics() {
    for bytes in [classic(), ng()] {
        for at in (0..bytes.len()).filter(|at| *at < 400 || *at > bytes.len() - 400) {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut bad = bytes.clone();
                bad[at] = value;
                let (all, _, _) = read(&bad);
                assert!(all.len() <= bytes.len() / 16);
            }
        }
    }
}

/// Gives one octet at a time.
struct Drip(io::Cursor<Vec<u8>>);

impl Read for Drip {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let n = into.len().min(1);
        self.0.read(&mut into[..n])
    }
}

#[test]
fn packets_across_reads_and_beyond_the_first_window_are_whole() {
    let mut out = Out::new(Order::Little);
    out.classic(0xa1b2_c3d4, 4);
    let sizes = [1, 200_000, 70_000, 1 << 20, 3, 262_144, 0, 250_000];
    for (n, size) in sizes.iter().enumerate() {
        out.packet(0, n as u32, &vec![n as u8; *size]);
    }
    let (all, cut, error) = read(&out.bytes);
    assert!(cut.is_none() && error.is_none());
    for (n, (packet, size)) in all.iter().zip(sizes).enumerate() {
        assert!(packet.4.len() == size && packet.4.iter().all(|b| *b == n as u8), "{n}");
    }
    assert_eq!(all.len(), sizes.len());
    let mut drip = Capture::new(Drip(io::Cursor::new(ng()))).unwrap();
    let mut count = 0;
    while drip.next().unwrap().is_some() {
        count += 1;
    }
    assert_eq!(count, 6);
}

#[test]
fn many_packets_come_in_batches() {
    for order in ORDERS {
        let mut out = Out::new(order);
        out.classic(0xa1b2_c3d4, 4);
        let mut ng = Out::new(order);
        ng.section().interface(1, 0, &[]).interface(101, 0, &[]);
        for n in 0..1000u32 {
            let packet = packet((n % 251) as u8);
            out.packet(n, n, &packet);
            ng.enhanced(n % 2, u64::from(n), &packet);
            if n % 300 == 0 {
                ng.block(5, b"statistics");
            }
        }
        for bytes in [out.bytes, ng.bytes] {
            assert_eq!(read(&bytes).0.len(), 1000);
            let mut sizes = Vec::new();
            let mut capture = Capture::new(io::Cursor::new(bytes)).unwrap();
            while capture.batch(&mut |p| sizes.push(p.len())).unwrap() != Progress::End {}
            assert!(sizes.iter().filter(|len| **len == BATCH).count() >= 12, "{sizes:?}");
        }
    }
}

#[test]
fn files_are_opened_packed_or_not() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("capture");
    std::fs::write(&path, classic()).unwrap();
    let mut capture = Capture::open(&path).unwrap();
    assert_eq!(capture.next().unwrap().unwrap().bytes, packet(5));
    let mut zstd = zstd::Encoder::new(Vec::new(), 1).unwrap();
    io::Write::write_all(&mut zstd, &classic()).unwrap();
    std::fs::write(&path, zstd.finish().unwrap()).unwrap();
    let capture = Capture::open(&path).unwrap();
    assert_eq!(read_as(Ok(capture), |_| true).0.0, read(&classic()).0);
    std::fs::write(&path, b"").unwrap();
    assert!(matches!(Capture::open(&path), Err(Error::Empty)));
}

#[test]
fn what_a_filter_does_not_want_is_counted() {
    let udp = |port| crate::testing::udp_datagram(9, port, b"x");
    let frame = |port| crate::testing::frame_of(&crate::testing::ipv4_packet(&udp(port), 1, 0));
    let mut classic = Out::new(Order::Little);
    classic.classic(0xa1b2_c3d4, 4);
    let mut ng = Out::new(Order::Little);
    ng.section().interface(1, 0, &[]).interface(101, 0, &[]).interface(147, 0, &[]);
    for n in 0..300u16 {
        classic.packet(n.into(), 0, &frame(n % 3));
        let frame = frame(n % 3);
        // The same without Ethernet, and something that libpcap knows no words for.
        ng.enhanced(0, 0, &frame).enhanced(1, 0, &frame[14..]).enhanced(2, 0, &frame);
    }
    for (name, bytes, wanted, unwanted) in
        [("pcap", classic.bytes, 100, 200), ("pcapng", ng.bytes, 200, 700)]
    {
        for is_batch in [|_: usize| true, |_: usize| false, |n: usize| n.is_multiple_of(2)] {
            let mut capture = Capture::new(io::Cursor::new(bytes.clone())).unwrap();
            capture.set_filter("udp dst port 1").unwrap();
            let ((all, ..), counts) = read_as(Ok(capture), is_batch);
            assert_eq!((counts.packets, counts.unwanted), (wanted, unwanted), "{name}");
            assert!(all.iter().all(|p| p.4.ends_with(&udp(1))), "{name}");
        }
        let mut capture = Capture::new(io::Cursor::new(bytes)).unwrap();
        let e = capture.set_filter("port http or").unwrap_err().to_string();
        assert!(e.contains("`port http or`") && e.contains("syntax error"), "{e}");
        assert!(capture.filters().is_none());
    }
}
