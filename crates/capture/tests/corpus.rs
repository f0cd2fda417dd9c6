//! Real captures, counted here and by another program.

use std::path::{Path, PathBuf};
use std::process::Command;

use capture::udp::Extractor;
use capture::{Capture, Error, Progress};

/// The captures of the corpus; empty, with a line that says so, if it is not there.
fn captures() -> Vec<PathBuf> {
    let Some(root) = std::env::var_os("FLOWSUITE_CORPUS") else {
        println!("skipped: FLOWSUITE_CORPUS not set");
        return Vec::new();
    };
    let (mut found, mut dirs) = (Vec::new(), vec![PathBuf::from(root)]);
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).expect("the corpus").map(|e| e.expect("an entry")) {
            let path = entry.path();
            if path.is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|e| e == "pcap" || e == "pcapng" || e == "dmp") {
                found.push(path);
            }
        }
    }
    found.sort();
    assert!(found.len() > 400);
    found
}

/// Packets and captured octets, and whether the capture is whole.
fn count(path: &Path) -> Result<(u64, u64, bool), Error> {
    let mut capture = Capture::open(path)?;
    let mut extractor = Extractor::new();
    let (mut wire, mut packets) = (0, 0);
    let ended = loop {
        match capture.next() {
            Ok(Some(packet)) => {
                packets += 1;
                wire += u64::from(packet.wire_len);
                extractor.extract(&packet);
            }
            Ok(None) => break capture.cut().is_none(),
            Err(e) => {
                println!("{}: {e}", path.display());
                break false;
            }
        }
    };
    extractor.finish();
    let c = extractor.counts();
    assert_eq!(c.frames, packets);
    assert_eq!(c.frames, c.whole + c.fragments + c.other + c.unknown_link + c.malformed);
    Ok((packets, wire, ended))
}

#[test]
fn every_capture_has_the_packets_that_capinfos_sees() {
    let paths = captures();
    if paths.is_empty() {
        return;
    }
    let mut command = Command::new("capinfos");
    // Tab-separated: name, packets, octets on the wire.
    let output = command.args(["-T", "-r", "-M", "-c", "-d"]).args(&paths).output();
    let Ok(output) = output else {
        println!("skipped: capinfos is not installed");
        return;
    };
    let table = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut compared = 0;
    for line in table.lines() {
        let [name, packets, octets] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("{line}")
        };
        let (have, wire, is_whole) =
            count(Path::new(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
        let want = (packets.parse::<u64>().expect("a number"), octets.parse::<u64>());
        if is_whole {
            assert_eq!((have, Ok(wire)), want, "{name}");
        } else {
            assert!(have <= want.0, "{name}: {have} of {}", want.0);
            println!("{name}: {have} packets here, {} in capinfos, not whole", want.0);
        }
        compared += 1;
    }
    assert!(compared > 400, "{compared} compared");
}

#[test]
fn batches_are_what_is_read_one_by_one() {
    for path in captures() {
        // Length and a sum of each packet, and how it ended.
        let digest = |p: &capture::Packet<'_>| {
            let sum = p.bytes.iter().fold(0u64, |sum, b| sum.rotate_left(5) ^ u64::from(*b));
            (p.time_ns, p.link, p.wire_len, p.interface, p.bytes.len(), sum)
        };
        let file = std::fs::File::open(&path).expect("it opens");
        let mut stream = Capture::new(file).expect("a capture");
        let mut want = Vec::new();
        let end = loop {
            match stream.next() {
                Ok(Some(packet)) => want.push(digest(&packet)),
                Ok(None) => break None,
                Err(e) => break Some(e.to_string()),
            }
        };
        let mut batches = Capture::open(&path).expect("a capture");
        let mut have = Vec::new();
        let batch_end = loop {
            match batches.batch(&mut |packets| have.extend(packets.iter().map(digest))) {
                Ok(Progress::End) => break None,
                Ok(_) => {}
                Err(e) => break Some(e.to_string()),
            }
        };
        assert!(have == want, "{}: {} packets, not {}", path.display(), have.len(), want.len());
        assert_eq!((batch_end, batches.cut()), (end, stream.cut()), "{}", path.display());
        assert_eq!(batches.counts(), stream.counts(), "{}", path.display());
    }
}

#[test]
fn datagrams_of_export_captures_are_those_tshark_sees() {
    let is_export = |path: &PathBuf| {
        let text = path.to_string_lossy();
        ["/netflow-v5/", "/netflow-v9/", "/ipfix/", "/sflow/"].iter().any(|p| text.contains(p))
    };
    let paths: Vec<PathBuf> = captures().into_iter().filter(is_export).collect();
    let mut compared = 0;
    // It takes its time for each: some of each protocol.
    for path in paths.iter().step_by(6) {
        let mut command = Command::new("tshark");
        command.args(["-n", "-Y", "udp", "-T", "fields", "-e", "frame.protocols"]);
        command.args(["-e", "udp.dstport", "-r"]).arg(path);
        let Ok(output) = command.output() else {
            println!("skipped: tshark is not installed");
            return;
        };
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        // Sampled packets in the datagrams are dissected, too: what counts is behind the first IP.
        let outer = |line: &str| {
            let (protocols, ports) = line.split_once('\t')?;
            let mut protocols = protocols.split(':').skip_while(|p| !matches!(*p, "ip" | "ipv6"));
            let is_udp = protocols.nth(1) == Some("udp");
            ports.split(',').next().filter(|_| is_udp).map(str::to_owned)
        };
        let want: Vec<String> = text.lines().filter_map(outer).collect();
        let mut capture = Capture::open(path).expect("it opens");
        let mut extractor = Extractor::new();
        let mut have = Vec::new();
        while let Some(packet) = capture.next().expect("it can be read") {
            have.extend(extractor.extract(&packet).map(|d| d.to.port().to_string()));
        }
        assert_eq!(have, want, "{}", path.display());
        compared += 1;
    }
    assert!(compared * 6 >= paths.len());
}
