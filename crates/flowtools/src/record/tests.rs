use super::*;
use crate::testing::File;
use crate::{Column as C, Reader};
use ::record::Mac;

fn records(export_version: u16) -> Vec<Record> {
    let octets = File { export_version, ..File::plain() }.octets(2);
    let mut reader = Reader::new(&octets[..]).unwrap();
    let (mut all, mut record) = (Vec::new(), Record::default());
    while reader.read(&mut record).unwrap() {
        all.push(record.clone());
    }
    all
}

#[test]
fn a_record_becomes_the_flow_that_a_collector_makes_of_it() {
    let mut flow = Flow::new();
    assert_eq!(records(5)[1].to_flow(&mut flow), 0);
    let row = flow.as_row();
    for (field, want) in [
        (Field::First, 1_699_999_991_250),
        (Field::Last, 1_700_000_000_750),
        (Field::Received, 1_700_000_001_250),
        (Field::Packets, 7),
        (Field::Bytes, 4_000_000_000),
        (Field::SrcPort, 443),
        (Field::DstPort, 50_000),
        (Field::Proto, 6),
        (Field::TcpFlags, 0x1b),
        (Field::SrcTos, 8),
        (Field::Input, 4),
        (Field::Output, 65_535),
        (Field::SrcMask, 24),
        (Field::DstMask, 16),
        (Field::SrcAs, 64_512),
        (Field::DstAs, 9),
        (Field::EngineType, 1),
        (Field::EngineId, 2),
        (Field::RecordFlags, 0),
    ] {
        assert_eq!(row.u64(field), Some(want), "{field:?}");
    }
    for (field, want) in [
        (Field::SrcAddr, "10.0.0.2"),
        (Field::DstAddr, "10.1.0.2"),
        (Field::NextHop, "10.2.0.3"),
        (Field::Router, "192.0.2.1"),
    ] {
        assert_eq!(row.addr(field).map(|a| a.to_string()).as_deref(), Some(want), "{field:?}");
    }
    for field in [Field::Flows, Field::BgpNextHop, Field::Label] {
        assert!(!flow.has(field), "{field:?}");
    }
    // What has no place is counted: encapsulation of v6, the bypassed router of v7.
    for (version, lost) in [(1, 0), (6, 2), (7, 1), (1005, 0)] {
        assert_eq!(records(version)[0].to_flow(&mut flow), lost, "{version}");
        let next = flow.as_row().addr(Field::BgpNextHop).map(|a| a.to_string());
        assert_eq!(next.as_deref(), (version == 6).then_some("10.3.0.4"));
        let label = flow.as_row().text(Field::Label);
        assert_eq!(label, (version == 1005).then_some(&b"tag 0x1f/0x2f"[..]));
    }
}

#[test]
fn times_survive_the_wrap_of_the_clock() {
    let mut record = Record::default();
    record.set(C::UnixSecs, 1_700_000_000);
    for (uptime, first, last, want) in [
        (10_000, 4_000, 9_000, (-6_000, -1_000)),
        (1_000, u32::MAX - 999, 500, (-2_000, -500)), // it wrapped in between
        (1_000, u32::MAX - 999, u32::MAX, (-2_000, -1_001)),
        (5_000, 5_001, 5_002, (1, 2)), // after the header: a moment, not 49.7 days ago
    ] {
        record.set(C::SysUptime, uptime);
        record.set(C::First, u64::from(first));
        record.set(C::Last, u64::from(last));
        let ms = |t: i64| (1_700_000_000_000 + t) as u64;
        assert_eq!(record.times_ms(), (ms(want.0), ms(want.1)), "{uptime} {first} {last}");
    }
    // Whatever the numbers are.
    record.set(C::UnixSecs, u64::MAX);
    record.set(C::UnixNsecs, u64::MAX);
    record.times_ms();
    assert!(record.to_flow(&mut Flow::new()) == 0);
}

#[test]
fn icmp_is_type_and_code_in_the_destination_port() {
    let (mut record, mut flow) = (Record::default(), Flow::new());
    record.set(C::Prot, 1);
    for (src, dst, want) in [(0, 0x0303, 0x0303), (0, 0, 0), (0x0103, 0, 0x0301), (8, 5, 0x0800)] {
        record.set(C::SrcPort, src);
        record.set(C::DstPort, dst);
        record.to_flow(&mut flow);
        assert_eq!((flow.number(Field::SrcPort), flow.number(Field::DstPort)), (0, want));
    }
}

#[test]
fn a_flow_is_the_same_after_a_line_of_csv() {
    for version in [1, 5, 6, 1005] {
        for record in records(version) {
            let (mut flow, mut again) = (Flow::new(), Flow::new());
            record.to_flow(&mut flow);
            let mut line = Vec::new();
            Record::from_row(flow.as_row(), u128::MAX).push_csv(Columns::ALL, &mut line);
            let mut read = Record::default();
            let mut reader = crate::CsvReader::new(&line[..], Some(Columns::ALL));
            assert!(reader.read(&mut read).unwrap());
            assert_eq!(read.to_flow(&mut again), 0);
            assert!(again.as_row().shape().fields().eq(flow.as_row().shape().fields()));
            for field in flow.as_row().shape().fields() {
                assert_eq!(again.as_row().bytes(field), flow.as_row().bytes(field), "{field:?}");
            }
        }
    }
}

#[test]
fn rows_of_any_kind_have_a_line() {
    let mut flow = Flow::new();
    let line = |flow: &Flow, shown| {
        let mut line = Vec::new();
        Record::from_row(flow.as_row(), shown).push_csv(Columns::V5, &mut line);
        String::from_utf8(line).unwrap()
    };
    assert_eq!(
        line(&flow, u128::MAX),
        "0,0,0,0.0.0.0,0,0,0,0,0,0,0.0.0.0,0.0.0.0,0.0.0.0,0,0,0,0,0,0,0,0,0,0,0\n"
    );
    flow.set(Field::First, 1_000_250);
    flow.set(Field::Last, 1_002_500);
    flow.set(Field::Received, 1_002_000); // by another clock: before the end
    flow.set(Field::Packets, u64::MAX);
    flow.set_addr(Field::SrcAddr, Addr::V6(1));
    flow.set(Field::InSrcMac, Mac(7).0);
    let want = "1002,500000000,2250,0.0.0.0,18446744073709551615,0,0,2250,0,0,::1,0.0.0.0,0.0.0.0,\
                0,0,0,0,0,0,0,0,0,0,0\n";
    assert_eq!(line(&flow, u128::MAX), want);
    // Of sums what is no part of their key is 0.
    let shown = 1 << Field::Packets as u32;
    assert!(line(&flow, shown).contains(",0,0,0.0.0.0,0.0.0.0,"), "{}", line(&flow, shown));
}

#[test]
fn lines_of_flowdumper_are_those_published() {
    let mut flow = Flow::new();
    let mut printed = |proto, flags, src: u32, dst: u32, ports: (u64, u64), packets, octets| {
        flow.clear();
        flow.set_addr(Field::SrcAddr, Addr::V4(src));
        flow.set_addr(Field::DstAddr, Addr::V4(dst));
        for (field, value) in [
            (Field::Proto, proto),
            (Field::TcpFlags, flags),
            (Field::SrcPort, ports.0),
            (Field::DstPort, ports.1),
            (Field::Packets, packets),
            (Field::Bytes, octets),
        ] {
            flow.set(field, value);
        }
        let mut line = Vec::new();
        Record::push_dumper(flow.as_row(), u128::MAX, |out, _| out.push(b'T'), &mut line);
        String::from_utf8(line).unwrap()
    };
    let (a, b) = (0x4586_e551, 0xc000_0225);
    assert_eq!(
        printed(6, 0x18, a, b, (51_459, 443), 1, 81),
        "T 69.134.229.81.51459 -> 192.0.2.37.443 6(PUSH|ACK) 1 81\n"
    );
    assert_eq!(
        printed(17, 0, 0xc000_0204, 0xc606_0101, (10_690, 53), 1, 81),
        "T 192.0.2.4.10690 -> 198.6.1.1.53 17 1 81\n"
    );
    assert!(printed(6, 0x12, a, b, (1, 2), 3, 144).ends_with(" 6(SYN|ACK) 3 144\n"));
    assert!(printed(6, 0, a, b, (1, 2), 3, 144).ends_with(" 6 3 144\n"));
    assert!(printed(17, 0x12, a, b, (1, 2), 3, 144).ends_with(" 17 3 144\n"));
}
