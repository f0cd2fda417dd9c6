//! What we export and what we decode, against tshark's reading of the same datagrams.

mod common;

use bench::capture;
use common::{has, stdout_of};
use record::{Addr, Field, Flow, FlowSink, Meta};

const CAPTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/demo.pcap");

/// Octets, packets, source and destination port of each flow.
#[derive(Default)]
struct Flows(Vec<[u64; 4]>);

impl FlowSink for Flows {
    fn flow(&mut self, flow: &Flow) {
        let fields = [Field::Bytes, Field::Packets, Field::SrcPort, Field::DstPort];
        self.0.push(fields.map(|f| flow.number(f)));
    }

    fn meta(&mut self, _: Meta<'_>) {}
}

#[test]
fn tshark_reads_the_bundled_export_as_we_do() {
    if !has("tshark") {
        return;
    }
    let file = std::fs::read(CAPTURE).unwrap();
    let mut decoder = wire::Decoder::new(wire::Config::default());
    let mut ours = Flows::default();
    for d in capture::datagrams(&file).unwrap() {
        decoder.decode(Addr::from(d.from.ip()), d.at_us / 1000, d.payload, &mut ours);
    }
    // One line a datagram, a field with one value a flow.
    let fields = ["cflow.octets", "cflow.packets", "cflow.srcport", "cflow.dstport"];
    let mut args = vec!["-r", CAPTURE, "-d", "udp.port==9995,cflow", "-T", "fields"];
    args.extend(fields.iter().flat_map(|f| ["-e", f]));
    let mut theirs: Vec<[u64; 4]> = Vec::new();
    for line in stdout_of("tshark", &args).lines() {
        let columns: Vec<Vec<u64>> = line
            .split('\t')
            .map(|c| c.split(',').filter_map(|n| n.parse().ok()).collect())
            .collect();
        let [octets, packets, src, dst] = columns.as_slice() else { panic!("{line}") };
        for i in 0..octets.len() {
            theirs.push([octets[i], packets[i], src[i], dst[i]]);
        }
    }
    assert_eq!(theirs.len(), 5000);
    theirs.sort_unstable();
    ours.0.sort_unstable();
    assert_eq!(ours.0, theirs);
}
