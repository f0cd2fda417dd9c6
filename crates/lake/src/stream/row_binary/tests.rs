use super::*;
use record::Flow;

/// Reads values as ClickHouse documents them, by the type names of the statement.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take(&mut self, n: usize) -> Vec<u8> {
        let (head, rest) = self.0.split_at(n);
        self.0 = rest;
        head.to_vec()
    }

    fn value(&mut self, kind: &str) -> String {
        let hex = |b: Vec<u8>| b.iter().map(|b| format!("{b:02x}")).collect::<String>();
        match kind {
            "UInt64" => u64::from_le_bytes(self.take(8).try_into().unwrap()).to_string(),
            "Int64" | "DateTime64(9, 'UTC')" => {
                i64::from_le_bytes(self.take(8).try_into().unwrap()).to_string()
            }
            "Int32" => i32::from_le_bytes(self.take(4).try_into().unwrap()).to_string(),
            "IPv6" | "FixedString(16)" => hex(self.take(16)),
            "FixedString(6)" => hex(self.take(6)),
            "FixedString(12)" => hex(self.take(12)),
            "String" => {
                let (mut len, mut shift) = (0, 0);
                loop {
                    let octet = usize::from(self.take(1)[0]);
                    len |= (octet & 0x7f) << shift;
                    shift += 7;
                    if octet < 128 {
                        break;
                    }
                }
                String::from_utf8(self.take(len)).unwrap()
            }
            other => panic!("type {other}"),
        }
    }
}

/// Names and types, as the statement has them.
fn types(columns: &[&Column], dialect: Dialect) -> Vec<(String, String)> {
    let sql = create("t", columns, dialect);
    let lines = sql.lines().filter_map(|line| line.strip_prefix("    "));
    let pair = |line: &str| {
        let (name, kind) = line.trim_end_matches(',').split_once(' ').unwrap();
        (name.to_owned(), kind.to_owned())
    };
    lines.map(pair).collect()
}

fn read(flow: &Flow, columns: &[&Column], dialect: Dialect) -> Vec<(String, String)> {
    let mut out = Vec::new();
    push(flow.as_row(), 77, columns, &Exporters::default(), &mut out);
    let mut reader = Reader(&out);
    let read = |(name, kind): (String, String)| {
        let value = reader.value(&kind);
        (name, value)
    };
    let values = types(columns, dialect).into_iter().map(read).collect();
    assert!(reader.0.is_empty(), "octets that no column has");
    values
}

#[test]
fn values_lie_as_the_statement_says() {
    let mut flow = Flow::new();
    flow.set(Field::First, 1_795_168_800_123);
    flow.set(Field::SrcPort, 65_535);
    flow.set(Field::Bytes, 1 << 40);
    flow.set(Field::InSrcMac, 0x0211_2233_4455);
    flow.set_addr(Field::SrcAddr, Addr::V4(0x0a01_0203));
    flow.set_addr(Field::DstAddr, Addr::V6(0x2001_0db8 << 96 | 1));
    let long = "x".repeat(200);
    flow.set_bytes(Field::Label, long.as_bytes());
    let columns = columns(Some("all")).unwrap();
    for dialect in [Dialect::Modern, Dialect::Plain] {
        let values = read(&flow, &columns, dialect);
        let of = |name: &str| values.iter().find(|v| v.0 == name).unwrap().1.as_str();
        assert_eq!(values[0], ("batch".into(), "77".into()));
        assert_eq!(of("flow_start"), "1795168800123000000");
        assert_eq!((of("src_port"), of("bytes")), ("65535", "1099511627776"));
        assert_eq!(of("in_src_mac"), "021122334455");
        assert_eq!(of("src_addr"), "00000000000000000000ffff0a010203");
        assert_eq!((of("src_addr4"), of("src_addr_text")), ("167838211", "10.1.2.3"));
        assert_eq!(of("dst_addr"), "20010db8000000000000000000000001");
        assert_eq!((of("dst_addr4"), of("dst_addr_text")), ("0", "2001:db8::1"));
        assert_eq!((of("label"), of("username")), (long.as_str(), ""));
        assert_eq!((of("flows"), of("next_hop_text"), of("packets")), ("1", "", "0"));
    }
}

#[test]
fn columns_by_name() {
    let names = |list| columns(list).map(|all| all.iter().map(|c| c.name).collect::<Vec<_>>());
    assert_eq!(names(None).unwrap(), USUAL);
    assert_eq!(names(Some("bytes, packets,bytes")).unwrap(), ["flow_start", "bytes", "packets"]);
    assert_eq!(names(Some("bytes,flow_start")).unwrap(), ["bytes", "flow_start"]);
    let fields = COLUMNS.iter().filter(|c| c.field.is_some()).count();
    assert_eq!(names(Some("all")).unwrap().len(), fields);
    assert_eq!(names(Some("bytes,byte")).unwrap_err(), UnknownColumn("byte".into()));
    assert!(!COLUMNS.iter().any(|c| c.name == BATCH));
}
