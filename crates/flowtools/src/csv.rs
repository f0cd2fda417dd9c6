//! Lines of `flow-export -f 2`: values in the order of columns, with commas between them.

use crate::column::{Column, Columns};
use crate::error::{Error, LineFault};
use crate::record::Record;
use ::record::Addr;
use std::io::{BufRead, ErrorKind, Read};
use std::net::IpAddr;

/// Reads records from lines. Memory is bounded: a line of at most 4096 octets.
pub struct CsvReader<R> {
    input: R,
    columns: Vec<Column>,
    /// Columns come from a line of names or the caller, not from a guess.
    is_told: bool,
    line: Vec<u8>,
    /// Number of the line, from 1.
    number: u64,
    records: u64,
    has_failed: bool,
}

/// Octets of a line. All columns with the longest values have some 500.
const MOST: usize = 4096;

impl<R: BufRead> CsvReader<R> {
    /// A reader of these columns; without, the first line decides: names if it begins with `#:`,
    /// those of v5 or v1 if it has as many values.
    pub fn new(input: R, columns: Option<Columns>) -> Self {
        Self {
            input,
            columns: columns.map(|c| c.iter().collect()).unwrap_or_default(),
            is_told: columns.is_some(),
            line: Vec::new(),
            number: 0,
            records: 0,
            has_failed: false,
        }
    }

    /// Records read so far.
    pub const fn records(&self) -> u64 {
        self.records
    }

    /// Reads the next record into `record`. Returns whether there was one.
    ///
    /// # Errors
    /// If the input cannot be read, or a line is none of its columns. There is nothing more then.
    pub fn read(&mut self, record: &mut Record) -> Result<bool, Error> {
        if self.has_failed {
            return Ok(false);
        }
        let read = self.next(record);
        self.has_failed = read.is_err();
        self.records += u64::from(matches!(read, Ok(true)));
        read
    }

    fn next(&mut self, record: &mut Record) -> Result<bool, Error> {
        loop {
            self.line.clear();
            let mut rest = (&mut self.input).take(MOST as u64 + 1);
            match rest.read_until(b'\n', &mut self.line) {
                Ok(0) => return Ok(false),
                Ok(_) => {}
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(source) => return Err(Error::Read { records: self.records, source }),
            }
            self.number += 1;
            let fault = |what| Error::Line { line: self.number, what };
            if self.line.len() > MOST {
                return Err(fault(LineFault::Long(MOST)));
            }
            let text = String::from_utf8_lossy(&self.line);
            let text = text.trim();
            if let Some(names) = text.strip_prefix("#:") {
                self.columns = named(names).map_err(fault)?;
                self.is_told = true;
            } else if !text.is_empty() && !text.starts_with('#') {
                if !self.is_told {
                    self.columns = guess(text.split(',').count());
                    self.is_told = true;
                }
                parse(text, &self.columns, record).map_err(fault)?;
                return Ok(true);
            }
        }
    }
}

/// The columns of a line of names.
fn named(names: &str) -> Result<Vec<Column>, LineFault> {
    // No name is in the line twice that the number of columns does not allow.
    let columns: Vec<_> = names
        .split(',')
        .map(|name| {
            let name = name.trim();
            Column::from_name(name).ok_or_else(|| LineFault::Name(name.to_owned()))
        })
        .collect::<Result<_, _>>()?;
    dated(columns)
}

fn dated(columns: Vec<Column>) -> Result<Vec<Column>, LineFault> {
    match columns.contains(&Column::UnixSecs) {
        true => Ok(columns),
        false => Err(LineFault::Undated),
    }
}

fn guess(values: usize) -> Vec<Column> {
    let is_v1 = values == Columns::V1.iter().count();
    if is_v1 { Columns::V1 } else { Columns::V5 }.iter().collect()
}

fn parse(text: &str, columns: &[Column], record: &mut Record) -> Result<(), LineFault> {
    let have = text.split(',').count();
    if have != columns.len() {
        return Err(LineFault::Count { have, need: columns.len() });
    }
    if !columns.contains(&Column::UnixSecs) {
        return Err(LineFault::Undated);
    }
    record.clear();
    for (column, value) in columns.iter().zip(text.split(',').map(str::trim)) {
        let wrong = || LineFault::Value(column.name());
        if column.is_addr() {
            let addr: IpAddr = value.parse().map_err(|_| wrong())?;
            record.set_addr(*column, Addr::from(addr));
            continue;
        }
        let number = match column.is_hex() {
            true => {
                u64::from_str_radix(value.trim_start_matches("0x").trim_start_matches("0X"), 16)
            }
            false => value.parse(),
        };
        record.set(*column, number.map_err(|_| wrong())?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, columns: Option<Columns>) -> (Vec<Record>, Option<String>) {
        let mut reader = CsvReader::new(text.as_bytes(), columns);
        let (mut all, mut record) = (Vec::new(), Record::default());
        loop {
            match reader.read(&mut record) {
                Ok(true) => all.push(record.clone()),
                Ok(false) => return (all, None),
                Err(e) => {
                    assert!(!reader.read(&mut record).unwrap());
                    return (all, Some(e.to_string()));
                }
            }
        }
    }

    #[test]
    fn a_line_of_nfflowd_is_read_without_names() {
        // Columns of mask 0xFF31EF.
        let line = "1324079983,500000000,60000,192.0.2.9,3,144,1000,59000,192.0.2.4,198.6.1.1,\
                    0.0.0.0,1,2,10690,53,17,8,0\n";
        let (records, error) = read(line, None);
        assert_eq!((records.len(), error), (1, None));
        let record = &records[0];
        assert_eq!(record.export_ms(), 1_324_079_983_500);
        assert_eq!(record.times_ms(), (1_324_079_924_500, 1_324_079_982_500));
        assert_eq!(record.addr(Column::DstAddr), Addr::V4(0xc606_0101));
        assert_eq!(record.number(Column::DstPort), 53);
        let mut again = Vec::new();
        record.push_csv(Columns::V1, &mut again);
        assert_eq!(String::from_utf8(again).unwrap(), line.replace(' ', ""));
    }

    #[test]
    fn names_may_come_in_any_order_and_again() {
        let text = "# made by hand\n#:dstaddr,unix_secs,src_tag\r\n2001:db8::1,7,0x1f\r\n\n\
                    #:unix_secs\n8\n";
        let (records, error) = read(text, None);
        assert_eq!((records.len(), error), (2, None));
        assert_eq!(records[0].addr(Column::DstAddr).to_string(), "2001:db8::1");
        assert_eq!(records[0].number(Column::SrcTag), 31);
        assert_eq!(records[1].number(Column::UnixSecs), 8);
        assert_eq!(records[1].number(Column::SrcTag), 0);
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        for (text, columns, read_before, said) in [
            ("#:unix_secs,dpkts\n1,2\n1\n", None, 1, "line 3: 1 values for 2 columns"),
            ("1,2,3\n", None, 0, "line 1: 3 values for 24 columns"),
            ("#:unix_secs,nosuch\n", None, 0, "line 1: there is no column 'nosuch'"),
            ("#:dpkts\n", None, 0, "line 1: there is no column unix_secs"),
            ("7\n", Some("dpkts"), 0, "line 1: there is no column unix_secs"),
            ("7,x\n", Some("unix_secs,dpkts"), 0, "line 1: dpkts has no such value"),
            ("7,-1\n", Some("unix_secs,dpkts"), 0, "line 1: dpkts has no such value"),
            ("7,1.2.3\n", Some("unix_secs,srcaddr"), 0, "line 1: srcaddr has no such value"),
        ] {
            let columns = columns.map(|c| c.parse().unwrap());
            let (records, error) = read(text, columns);
            assert_eq!(records.len(), read_before, "{text}");
            assert!(error.as_deref().is_some_and(|e| e.starts_with(said)), "{text}: {error:?}");
        }
        let long = "1".repeat(100_000);
        assert_eq!(read(&long, None).1.unwrap(), "line 1: more than 4096 octets");
        assert_eq!(read("\0\u{1}\n", None).1.unwrap()[..8], *"line 1: ");
    }
}
