//! Sends NetFlow v9 flows to a collector as fast as it can, or at a rate, and prints what it sent.
//!
//! ```text
//! cargo run --release -p flowsuite-collector --example blast -- 127.0.0.1:9995 1000000 [FLOWS/S]
//! ```
//!
//! Each datagram repeats the template, so that a collector that misses some can read all others.
//! Flows differ in address and port; packets are 10 and bytes 1000 each, so that sums can be
//! checked.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use record::Addr;
use sys::clock;
use sys::udp::Sender;
use wire::testing::{Record, V9Builder};
use wire::v9;

const FLOWS_PER_DATAGRAM: u64 = 28;
const TEMPLATE: u16 = 300;

/// Element and length, in the order that [`flow`] writes them.
const FIELDS: [(u16, u16); 12] = [
    (8, 4),  // source address
    (12, 4), // destination address
    (7, 2),  // source port
    (11, 2), // destination port
    (4, 1),  // protocol
    (6, 1),  // TCP flags
    (10, 2), // input interface
    (14, 2), // output interface
    (2, 8),  // packets
    (1, 8),  // octets
    (22, 4), // first, uptime
    (21, 4), // last, uptime
];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let (Some(Ok(to)), Some(Ok(flows))) =
        (args.first().map(|a| a.parse::<SocketAddr>()), args.get(1).map(|a| a.parse::<u64>()))
    else {
        eprintln!("usage: blast ADDRESS:PORT FLOWS [FLOWS PER SECOND]");
        return ExitCode::FAILURE;
    };
    let rate = args.get(2).and_then(|a| a.parse::<u64>().ok());
    match blast(to, flows, rate) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("blast: {e}");
            ExitCode::FAILURE
        }
    }
}

fn blast(to: SocketAddr, flows: u64, rate: Option<u64>) -> Result<(), Box<dyn std::error::Error>> {
    let sender = Sender::connect(to)?;
    // Built before the clock starts: the kernel is to be the limit, not this program.
    let datagrams: Vec<Vec<u8>> = (0..flows)
        .step_by(FLOWS_PER_DATAGRAM as usize)
        .enumerate()
        .map(|(n, first)| datagram(n as u32, first, FLOWS_PER_DATAGRAM.min(flows - first)))
        .collect();
    let (mut sent, mut refused) = (0, 0u64);
    let start = clock::monotonic();
    while let Some(rest) = datagrams.get(sent..).filter(|rest| !rest.is_empty()) {
        match sender.send_batch(rest) {
            Ok(n) => sent += n,
            // Nobody listened when an earlier one arrived; this error stands for that one.
            Err(e) if e.kind() == std::io::ErrorKind::ConnectionRefused => refused += 1,
            Err(e) => return Err(e.into()),
        }
        if let Some(rate) = rate {
            let sent_flows = sent as u64 * FLOWS_PER_DATAGRAM;
            let due = Duration::from_secs_f64(sent_flows as f64 / rate as f64);
            std::thread::sleep(due.saturating_sub(start.elapsed()));
        }
    }
    let secs = start.elapsed().as_secs_f64();
    println!("sent: {sent} datagrams, {flows} flows");
    eprintln!(
        "{secs:.3} s, {:.0} datagrams/s, {:.0} flows/s, {refused} refused",
        sent as f64 / secs,
        flows as f64 / secs
    );
    Ok(())
}

fn datagram(sequence: u32, first: u64, count: u64) -> Vec<u8> {
    let now_ms = clock::now_ms();
    let header = v9::Header {
        uptime_ms: 1_000_000,
        unix_secs: (now_ms / 1000) as u32,
        sequence,
        source_id: 7,
        ..v9::Header::default()
    };
    let records: Vec<Vec<u8>> = (first..first + count).map(flow).collect();
    V9Builder::new(header).template(TEMPLATE, &FIELDS).data(TEMPLATE, &records).build()
}

fn flow(n: u64) -> Vec<u8> {
    Record::new()
        .addr(Addr::V4(0x0a00_0000 + (n % 60_000) as u32))
        .addr(Addr::V4(0xc0a8_0000 + (n % 251) as u32))
        .number(1024 + n % 60_000, 2)
        .number([443, 80, 53, 22][(n % 4) as usize], 2)
        .number(if n % 4 == 2 { 17 } else { 6 }, 1)
        .number(0x1b, 1)
        .number(1, 2)
        .number(2, 2)
        .number(10, 8)
        .number(1000, 8)
        .number(990_000 + n % 5000, 4)
        .number(996_000 + n % 3000, 4)
        .build()
}
