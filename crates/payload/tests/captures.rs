//! Real captures: what is read from payloads against what tshark reads. Needs tshark, and the
//! directory of example data in `FLOWSUITE_CORPUS`.

use payload::dns::Message;
use payload::tls::{ClientHello, Version};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Captures of the corpus with one of these parts in their paths; none without corpus or tshark.
fn captures(parts: &[&str]) -> Vec<PathBuf> {
    let Some(corpus) = std::env::var_os("FLOWSUITE_CORPUS") else {
        println!("skipped: FLOWSUITE_CORPUS not set");
        return Vec::new();
    };
    if Command::new("tshark").arg("--version").output().is_err() {
        println!("skipped: tshark is not installed");
        return Vec::new();
    }
    let packets = Path::new(&corpus).join("packets");
    let folders =
        std::fs::read_dir(packets).expect("a folder of captures").map(|e| e.unwrap().path());
    let files = folders.filter(|path| path.is_dir()).flat_map(|folder| {
        std::fs::read_dir(folder).expect("a folder of captures").map(|e| e.unwrap().path())
    });
    files.filter(|path| parts.iter().any(|p| path.to_string_lossy().contains(p))).collect()
}

/// Lines of fields that tshark prints for packets that match.
fn tshark(capture: &Path, filter: &str, fields: &[&str]) -> Vec<Vec<String>> {
    let mut command = Command::new("tshark");
    command.arg("-r").arg(capture).args(["-n", "-Y", filter, "-T", "fields"]);
    // Each segment on its own, as an exporter sees it.
    command.args(["-o", "tcp.desegment_tcp_streams:FALSE"]);
    for field in fields {
        command.args(["-e", field]);
    }
    let output = command.output().expect("run tshark");
    let text = String::from_utf8(output.stdout).expect("text");
    text.lines().map(|line| line.split('\t').map(str::to_owned).collect()).collect()
}

fn octets(hex: &str) -> Vec<u8> {
    let digits: Vec<_> = hex.chars().filter_map(|c| c.to_digit(16)).map(|n| n as u8).collect();
    digits.as_chunks::<2>().0.iter().map(|[high, low]| high << 4 | low).collect()
}

#[test]
fn client_hellos_are_as_tshark_reads_them() {
    let captures = captures(&["/tls", "/firefox", "/example", "/many_interfaces"]);
    let (mut compared, mut named) = (0, 0);
    for capture in &captures {
        let fields = [
            "tcp.payload",
            "tls.handshake.ja3_full",
            "tls.handshake.ja3",
            "tls.handshake.extensions_server_name",
        ];
        for line in tshark(capture, "tcp && tls.handshake.type == 1", &fields) {
            let [payload, text, hash, name] = &line[..] else { panic!("{line:?}") };
            let payload = octets(payload);
            if payload.first() != Some(&22) {
                continue;
            }
            let place = capture.display();
            let hello =
                ClientHello::parse(&payload).unwrap_or_else(|| panic!("no hello in {place}"));
            if !hello.is_complete() {
                continue;
            }
            assert_eq!(hello.ja3_text().as_ref(), Some(text), "{place}");
            assert_eq!(hello.ja3().map(|j| j.to_string()).as_ref(), Some(hash), "{place}");
            let read = String::from_utf8_lossy(hello.server_name().unwrap_or(b""));
            assert_eq!(&read, name, "{place}");
            compared += 1;
            named += usize::from(!name.is_empty());
        }
    }
    println!("{compared} hellos compared, {named} with a name");
    assert!(
        captures.is_empty() || (compared > 30 && named > 10),
        "{compared} hellos, {named} named"
    );
}

#[test]
fn hellos_of_ssl_2_are_recognised() {
    for capture in captures(&["/ssl-v2.pcap"]) {
        let lines = tshark(&capture, "tls && tcp.len > 0", &["tcp.payload"]);
        let payloads: Vec<_> = lines.iter().map(|line| octets(&line[0])).collect();
        let hellos: Vec<_> = payloads.iter().filter_map(|p| ClientHello::parse(p)).collect();
        let [hello] = &hellos[..] else { panic!("{hellos:?}") };
        assert!(hello.is_ssl2() && hello.is_complete());
        assert_eq!(hello.version(), Version::SSL20);
    }
}

#[test]
fn dns_messages_are_as_tshark_reads_them() {
    let captures = captures(&["dns_", "DnsPackets", "/example"]);
    let (mut messages, mut addresses) = (0, 0);
    for capture in &captures {
        let fields = ["udp.payload", "dns.qry.name", "dns.a", "dns.aaaa"];
        let filter = "dns && udp.port == 53 && !icmp && !_ws.malformed && !dns.count.auth_rr > 0";
        for line in tshark(capture, filter, &fields) {
            let [payload, name, v4, v6] = &line[..] else { panic!("{line:?}") };
            let payload = octets(payload);
            let place = capture.display();
            let message =
                Message::parse(&payload).unwrap_or_else(|| panic!("no message in {place}"));
            let names: Vec<_> = message.questions().map(|q| q.name.to_string()).collect();
            assert_eq!(names.join(","), name.replace(',', ".,") + ".", "{place}");
            let mut want: Vec<_> = [v4, v6].iter().flat_map(|v| v.split(',')).collect();
            want.retain(|a| !a.is_empty());
            let mut read: Vec<_> = message.addresses().map(|a| a.to_string()).collect();
            want.sort_unstable();
            read.sort_unstable();
            assert_eq!(read, want, "{place}");
            messages += 1;
            addresses += read.len();
        }
    }
    println!("{messages} messages compared, {addresses} addresses");
    assert!(
        captures.is_empty() || (messages > 20 && addresses > 5),
        "{messages} messages, {addresses}"
    );
}
