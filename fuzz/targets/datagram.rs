//! Any sequence of export datagrams: no panic, and every datagram is accounted for.
#![no_main]

use libfuzzer_sys::fuzz_target;
use record::{Addr, Flow, FlowSink, InterfaceSample, Meta};

#[derive(Default)]
struct Count(u64, u64);

impl FlowSink for Count {
    fn flow(&mut self, flow: &Flow) {
        assert!(flow.as_row().shape().fields().count() > 0);
        self.0 += 1;
    }

    fn meta(&mut self, _meta: Meta<'_>) {}

    fn interface(&mut self, _sample: &InterfaceSample) {
        self.1 += 1;
    }
}

// Input: datagrams one after the other, each behind its length in two octets.
fuzz_target!(|data: &[u8]| {
    let decode_tunnels = data.len() % 2 == 1;
    let mut decoder =
        wire::Decoder::new(wire::Config { decode_tunnels, ..wire::Config::default() });
    let mut sink = Count::default();
    let (mut rest, mut sent) = (data, 0);
    while let Some((len, tail)) = rest.split_first_chunk::<2>() {
        let (datagram, tail) = tail.split_at(tail.len().min(usize::from(u16::from_be_bytes(*len))));
        decoder.decode(Addr::V4(0x7f00_0001), 1_795_000_000_000, datagram, &mut sink);
        sent += 1;
        rest = tail;
    }
    assert_eq!(decoder.counters().datagrams, sent);
    assert_eq!(decoder.counters().flows, sink.0);
    assert_eq!(decoder.counters().sflow_interfaces, sink.1);
});
