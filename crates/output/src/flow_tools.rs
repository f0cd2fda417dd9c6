//! The lines of two programs that scripts read: `flow-export -f 2` and `flowdumper -s`.

use crate::RecordContext;
use crate::value::State;
use flowtools::{Columns, Record};
use record::Row;

/// A line of `flow-export -f 2`. What the record may not show is 0.
pub(crate) fn record(
    columns: Columns,
    row: Row<'_>,
    context: &RecordContext<'_>,
    out: &mut Vec<u8>,
) {
    Record::from_row(row, context.shown).push_csv(columns, out);
}

/// A line of `flowdumper -s`: the start in local time as `YYYY/MM/DD HH:MM:SS`, addresses, protocol,
/// flags, packets, octets. What the record may not show is 0.
pub(crate) fn dumper(
    state: &mut State,
    row: Row<'_>,
    context: &RecordContext<'_>,
    out: &mut Vec<u8>,
) {
    let clock = &mut state.local;
    let push_time = |out: &mut Vec<u8>, ms: u64| {
        let from = out.len();
        clock.push_seconds(out, ms / 1000, b' ');
        let date = out.get_mut(from..).unwrap_or_default().iter_mut();
        date.filter(|b| **b == b'-').for_each(|b| *b = b'/');
    };
    Record::push_dumper(row, context.shown, push_time, out);
}

#[cfg(test)]
mod tests {
    use crate::sample::random;
    use crate::{Format, FormatOptions, RecordContext, TimeZone};
    use flowtools::{Columns, CsvReader};
    use record::{Addr, Field, Flow};

    fn print(spec: &str, zone: TimeZone, flows: &[Flow]) -> String {
        let options = FormatOptions { time_zone: zone, ..FormatOptions::default() };
        let mut printer = Format::parse(spec, &options).unwrap().printer();
        let mut out = Vec::new();
        printer.header(&mut out);
        for flow in flows {
            printer.record(flow.as_row(), &RecordContext::new("x", 1), &mut out);
        }
        printer.footer(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn lines_of_flowdumper_have_slashes_and_local_time() {
        let mut flow = Flow::new();
        for (field, value) in [
            (Field::First, 1_324_079_982_999), // 2011-12-16 23:59:42 UTC
            (Field::Proto, 6),
            (Field::TcpFlags, 0x18),
            (Field::SrcPort, 51_459),
            (Field::DstPort, 443),
            (Field::Packets, 1),
            (Field::Bytes, 81),
        ] {
            flow.set(field, value);
        }
        flow.set_addr(Field::SrcAddr, Addr::V4(0x4586_e551));
        flow.set_addr(Field::DstAddr, Addr::V4(0xc000_0225));
        assert_eq!(
            print("flowdumper", TimeZone::Utc, &[flow.clone()]),
            "2011/12/16 23:59:42 69.134.229.81.51459 -> 192.0.2.37.443 6(PUSH|ACK) 1 81\n"
        );
        assert!(
            print("flowdumper", TimeZone::Fixed(3600), &[flow]).starts_with("2011/12/17 00:59:42 ")
        );
    }

    #[test]
    fn every_record_has_a_line_that_flow_import_reads() {
        let flows = random(500);
        for columns in [Columns::V5, Columns::V1, Columns::ALL] {
            let spec = format!("flow-tools:{:#x}", columns.mask());
            let text = print(&spec, TimeZone::Utc, &flows);
            let mut reader = CsvReader::new(text.as_bytes(), None);
            let mut record = flowtools::Record::default();
            for flow in &flows {
                assert!(reader.read(&mut record).unwrap());
                let row = flow.as_row();
                for (column, field) in [
                    (flowtools::Column::DOctets, Field::Bytes),
                    (flowtools::Column::DstPort, Field::DstPort),
                    (flowtools::Column::Input, Field::Input),
                ] {
                    assert_eq!(record.number(column), row.number(field));
                }
                let src = row.addr(Field::SrcAddr).unwrap_or(Addr::V4(0));
                assert_eq!(record.addr(flowtools::Column::SrcAddr), src);
            }
            assert!(!reader.read(&mut record).unwrap());
        }
    }
}
