use super::*;
use crate::Column as C;
use crate::testing::File;

/// All records, how they ended, and the error if there was one.
type Whole = (Vec<Record>, Option<Ending>, Option<Error>);

fn read(octets: &[u8]) -> Result<Whole, Error> {
    let mut reader = Reader::new(octets)?;
    let (mut all, mut record) = (Vec::new(), Record::default());
    let error = loop {
        match reader.read(&mut record) {
            Ok(true) => all.push(record.clone()),
            Ok(false) => break None,
            Err(e) => break Some(e),
        }
    };
    assert!(!reader.read(&mut record).unwrap(), "nothing follows the end");
    assert_eq!(reader.records(), all.len() as u64);
    Ok((all, reader.ending(), error))
}

const EVERY_VALUE: [(C, u64); 18] = [
    (C::UnixNsecs, 250_000_000),
    (C::SysUptime, 100_000),
    (C::Input, 4),
    (C::Output, 65_535),
    (C::DOctets, 4_000_000_000),
    (C::First, 90_000),
    (C::Last, 99_500),
    (C::SrcPort, 443),
    (C::DstPort, 50_000),
    (C::Prot, 6),
    (C::Tos, 8),
    (C::TcpFlags, 0x1b),
    (C::EngineType, 1),
    (C::EngineId, 2),
    (C::SrcMask, 24),
    (C::DstMask, 16),
    (C::SrcAs, 64_512),
    (C::DstAs, 9),
];

#[test]
fn every_value_of_every_version_is_read() {
    for (export_version, more) in [
        (1, &[][..]),
        (5, &[]),
        (6, &[(C::InEncaps, 14), (C::OutEncaps, 18)]),
        (7, &[]),
        (1005, &[(C::SrcTag, 0x1f), (C::DstTag, 0x2f)]),
    ] {
        for (big, flags) in [(false, 1), (true, 1), (false, 3), (true, 3)] {
            let file = File { big, flags, export_version, flows: Some(3), ..File::plain() };
            let (records, ending, error) = read(&file.octets(3)).unwrap();
            let case = format!("version {export_version}, big {big}, flags {flags}");
            assert!(error.is_none() && ending.unwrap().is_whole(), "{case}: {ending:?}");
            assert_eq!(records.len(), 3, "{case}");
            let values = if export_version == 1 { &EVERY_VALUE[..12] } else { &EVERY_VALUE };
            for (n, record) in records.iter().enumerate() {
                for (column, want) in values.iter().chain(more) {
                    assert_eq!(record.number(*column), *want, "{case}: {column:?}");
                }
                let n = n as u64;
                assert_eq!(record.number(C::UnixSecs), 1_700_000_000 + n, "{case}");
                assert_eq!(record.number(C::DPkts), 6 + n, "{case}");
                let next_of_peer = if export_version == 6 { "10.3.0.4" } else { "0.0.0.0" };
                let router = if export_version == 7 { "10.4.0.5" } else { "0.0.0.0" };
                for (column, want) in [
                    (C::ExAddr, "192.0.2.1"),
                    (C::SrcAddr, &format!("10.0.0.{}", 1 + n)),
                    (C::DstAddr, "10.1.0.2"),
                    (C::NextHop, "10.2.0.3"),
                    (C::PeerNextHop, next_of_peer),
                    (C::RouterSc, router),
                ] {
                    assert_eq!(record.addr(column).to_string(), want, "{case}: {column:?}");
                }
            }
        }
    }
}

#[test]
fn streams_of_version_1_date_the_start() {
    for big in [false, true] {
        let octets = File { big, ..File::plain() }.old();
        let header = Reader::new(&octets[..]).unwrap().header().clone();
        assert_eq!((header.lost, header.misordered, header.flows), (Some(17), Some(3), Some(1)));
        assert_eq!(header.host.as_deref(), Some("old.host"));
        assert_eq!(header.comments.as_deref(), Some("before TLVs"));
        let (records, ending, _) = read(&octets).unwrap();
        assert!(ending.unwrap().is_whole());
        // The clock wraps within the flow: it lasted a second.
        assert_eq!(records[0].times_ms(), (900_000_100_250, 900_000_101_250));
        for (column, want) in &EVERY_VALUE[7..] {
            let is_there = !matches!(column, C::EngineType | C::EngineId);
            assert_eq!(records[0].number(*column), if is_there { *want } else { 0 }, "{column:?}");
        }
        for cut in 0..octets.len() {
            match read(&octets[..cut]) {
                Err(_) => assert!(cut < 360, "{cut}"),
                Ok((records, ending, _)) => {
                    assert!(cut >= 360 && records.is_empty());
                    assert_eq!(ending.unwrap().missing, 1);
                }
            }
        }
    }
}

#[test]
fn what_cannot_be_imported_is_refused() {
    let open = |export_version| {
        let file = File { export_version, ..File::plain() };
        Reader::new(&file.octets(1)[..]).err().unwrap().to_string()
    };
    assert!(open(8).contains("summed by the router"));
    assert!(open(9).contains("export version 9"));
}

#[test]
fn a_file_cut_at_any_octet_gives_what_is_complete() {
    for flags in [1, 3] {
        let file = File { flags, flows: Some(40), ..File::full() };
        let (octets, header) = (file.octets(40), file.header().len());
        let (whole, ..) = read(&octets).unwrap();
        let mut most = 0;
        for cut in header..octets.len() {
            let (records, ending, error) = read(&octets[..cut]).unwrap();
            let ending = ending.unwrap();
            assert!(error.is_none() && !ending.is_whole(), "{flags} {cut}: {ending:?}");
            assert_eq!(records, whole[..records.len()], "{flags} {cut}");
            assert_eq!(ending.missing, 40 - records.len() as u64);
            if flags == 1 {
                assert_eq!(records.len(), (cut - header) / 64);
                assert_eq!(ending.cut_octets, (cut - header) % 64);
            } else {
                assert!(ending.is_cut && records.len() >= most, "{cut}");
            }
            most = records.len();
        }
        assert!(most >= 39, "{flags}: {most} before the last octet");
    }
}

#[test]
fn files_that_are_being_written_are_read_as_far_as_they_go() {
    // Flow count and end are written at the end; the stream is not finished.
    let file = File { flags: 0, flows: Some(0), ..File::plain() };
    let (records, ending, _) = read(&file.octets(3)).unwrap();
    let ending = ending.unwrap();
    assert_eq!((records.len(), ending.missing), (3, 0));
    assert!(ending.is_open && !ending.is_whole());
    // A stream has no counts and is whole all the same.
    let file = File { flags: 8, ..File::plain() };
    assert!(read(&file.octets(3)).unwrap().1.unwrap().is_whole());
    // What follows a compressed stream is told.
    let file = File { flags: 3, ..File::plain() };
    let ending = read(&[file.octets(3), vec![0; 9]].concat()).unwrap().1.unwrap();
    assert!(ending.has_more && !ending.is_whole());
}

#[test]
fn damage_anywhere_is_an_error_or_other_values_and_never_more_records() {
    for flags in [1, 3] {
        let file = File { flags, flows: Some(20), ..File::full() };
        let octets = file.octets(20);
        for at in 0..octets.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut octets = octets.clone();
                octets[at] ^= flip;
                if let Ok((records, ..)) = read(&octets) {
                    // Records of v1 are shorter: that is all that damage can make of it.
                    assert!(records.len() <= 400, "{at} {flip:#x}: {}", records.len());
                }
            }
        }
    }
}

#[test]
fn a_slow_pipe_gives_the_same_records() {
    struct Drops<'a>(&'a [u8], usize);
    impl Read for Drops<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            self.1 += 1;
            if self.1.is_multiple_of(3) {
                return Err(ErrorKind::Interrupted.into());
            }
            let n = buffer.len().min(self.0.len()).min(self.1 % 7 + 1);
            let (now, later) = self.0.split_at(n);
            buffer[..n].copy_from_slice(now);
            self.0 = later;
            Ok(n)
        }
    }
    for flags in [1, 3] {
        let octets = File { flags, ..File::full() }.octets(3);
        let mut reader = Reader::new(Drops(&octets, 0)).unwrap();
        let (mut all, mut record) = (Vec::new(), Record::default());
        while reader.read(&mut record).unwrap() {
            all.push(record.clone());
        }
        assert_eq!(all, read(&octets).unwrap().0);
        assert!(reader.ending().unwrap().is_whole());
    }
}
