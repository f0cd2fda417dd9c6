//! Layouts against what softflowd 1.1.0 prints, octet by octet: numbers are read from its text, and
//! the text made of them has to be the same.

use super::*;
use record::Addr;
use std::net::IpAddr;
use std::path::Path;
use std::process::{Command, Stdio};

/// A report that says what a text of softflowd says.
fn read(text: &str) -> Report {
    let mut report = Report::default();
    for line in text.lines() {
        let (name, rest) = line.split_once([':', '=']).unwrap_or((line, ""));
        let n = numbers(rest);
        let n = |i: usize| n.get(i).copied().unwrap_or(0.0) as u64;
        let cache = &mut report.cache;
        match name.trim() {
            "Number of active flows" => cache.active = n(0),
            "Packets processed" => cache.processed += n(0),
            "Packets non-sampled" => (report.is_sampled, cache.non_sampled) = (true, n(0)),
            "Fragments" => cache.fragments = n(0),
            "Ignored packets" => {
                cache.processed += n(0);
                (cache.non_ip, cache.too_short) = (n(1), n(2));
            }
            "Flows expired" => (cache.expired, cache.forced) = (n(0), n(1)),
            "Flows exported" => {
                report.exported =
                    Exported { flows: n(0), records: n(1), datagrams: n(2), failures: n(3) };
            }
            "Packets received by libpcap" => {
                report.captured.get_or_insert_default().received = n(0)
            }
            "Packets dropped by libpcap" => report.captured.get_or_insert_default().dropped = n(0),
            "Packets dropped by interface" => {
                report.captured.get_or_insert_default().dropped_by_interface = n(0);
            }
            "Flow bytes" => cache.flow_octets = spread(rest, 1.0, cache.expired),
            "Flow packets" => cache.flow_packets = spread(rest, 1.0, cache.expired),
            "Duration" => cache.flow_ms = spread(rest, 1000.0, cache.expired),
            _ => rest_of(line, &mut report),
        }
    }
    report
}

/// Lines of reasons and protocols.
fn rest_of(line: &str, report: &mut Report) {
    if let Some((name, rest)) = line.split_once("): ") {
        let number: usize = name.rsplit('(').next().unwrap().parse().unwrap();
        let n = numbers(rest);
        // An average says nothing of how many there were.
        let sum = (n[2] * 1000.0).round() as u128;
        let life_ms = Spread { count: 1, min: 0, max: (n[3] * 1000.0).round() as u64, sum };
        report.cache.protocols[number] =
            ProtoStats { octets: n[0] as u64, packets: n[1] as u64, life_ms };
        return;
    }
    // name = number, several in a line
    let mut name = String::new();
    for word in line.split_whitespace().filter(|w| *w != "=") {
        match word.parse() {
            Ok(n) if line.contains('=') && !name.ends_with("over") => {
                let reason = Reason::ALL.into_iter().find(|r| r.name() == name.trim()).unwrap();
                report.cache.reasons[reason as usize] = n;
                name.clear();
            }
            _ => name = format!("{name} {word}"),
        }
    }
}

fn numbers(text: &str) -> Vec<f64> {
    let is_part = |c: char| c.is_ascii_digit() || c == '.';
    text.split(|c| !is_part(c)).filter_map(|word| word.parse().ok()).collect()
}

fn spread(text: &str, factor: f64, count: u64) -> Spread {
    let n: Vec<u128> = numbers(text).iter().map(|n| (n * factor).round() as u128).collect();
    Spread { count, min: n[0] as u64, sum: n[1] * u128::from(count), max: n[2] as u64 }
}

const IDLE: &str = "\
softflowd[13546]: Accumulated statistics since 2026-11-21T19:16:30 UTC:
Number of active flows: 0
Packets processed: 0
Fragments: 0
Ignored packets: 0 (0 non-IP, 0 too short)
Flows expired: 0 (0 forced)
Flows exported: 0 (0 records) in 0 packets (0 failures)
Packets received by libpcap: 4
Packets dropped by libpcap: 0
Packets dropped by interface: 0

";

const LIVE: &str = "\
softflowd[18742]: Accumulated statistics since 2026-11-21T19:35:09 UTC:
Number of active flows: 0
Packets processed: 11956
Packets non-sampled: 11956
Fragments: 0
Ignored packets: 0 (0 non-IP, 0 too short)
Flows expired: 14 (0 forced)
Flows exported: 14 (14 records) in 1 packets (0 failures)
Packets received by libpcap: 48114
Packets dropped by libpcap: 239
Packets dropped by interface: 0

Expired flow statistics:  minimum       average       maximum
  Flow bytes:                  52       1242268       8673520
  Flow packets:                 1           854          5990
  Duration:                  0.00s         0.02s         0.13s

Expired flow reasons:
       tcp =         0   tcp.rst =         0   tcp.fin =         0
       udp =         0      icmp =         0   general =         0
   maxlife =         0
over 2 GiB =         0
  maxflows =         0
   flushed =        14

Per-protocol statistics:     Octets      Packets   Avg Life    Max Life
            tcp (6):         235910           26       0.00s       0.00s
           udp (17):       17155840        11930       0.07s       0.13s
";

#[test]
fn statistics_are_laid_out_as_softflowds() {
    for (text, pid, since_ms) in
        [(IDLE, 13546, 1_795_288_590_999), (LIVE, 18742, 1_795_289_709_000)]
    {
        let report = Report { since_ms, ..read(text) };
        assert_eq!(Speaker::new("softflowd", pid).statistics(&report), text);
    }
}

#[test]
fn statistics_of_real_captures_are_laid_out_as_softflowds() {
    let Some(corpus) = std::env::var_os("FLOWSUITE_CORPUS") else {
        println!("skipped: FLOWSUITE_CORPUS not set");
        return;
    };
    let Some(program) = ["softflowd", "/usr/sbin/softflowd"].into_iter().find(|p| {
        Command::new(p).arg("-h").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
    }) else {
        println!("skipped: softflowd is not installed");
        return;
    };
    let mut compared = 0;
    for options in [&["-6"][..], &["-6", "-s", "3"], &["-6", "-m", "2"]] {
        for file in captures(&Path::new(&corpus).join("packets"), 60) {
            let answer = Command::new(program)
                .args(options)
                .arg("-r")
                .arg(&file)
                .stdin(Stdio::null())
                .output()
                .unwrap();
            let Ok(text) = String::from_utf8(answer.stdout) else { continue };
            // A link type it does not know; negative durations, of packets that are out of order.
            if !answer.status.success() || text.contains(" -") {
                continue;
            }
            assert_eq!(read(&text).to_text(), text, "{}", file.display());
            compared += usize::from(text.contains("Per-protocol"));
        }
    }
    assert!(compared > 60, "{compared}");
}

/// Small captures, some of each directory.
fn captures(dir: &Path, most: usize) -> Vec<std::path::PathBuf> {
    const SMALL: u64 = 100_000;
    let mut all = Vec::new();
    let mut entries: Vec<_> =
        std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            all.extend(captures(&path, most));
        } else if path.extension().is_some_and(|e| e == "pcap")
            && all.len() < most
            && path.metadata().is_ok_and(|m| m.len() < SMALL)
        {
            all.push(path);
        }
    }
    all
}

#[test]
fn conversations_are_laid_out_as_softflowds() {
    let addr = |text: &str| Addr::from(text.parse::<IpAddr>().unwrap());
    let ended = Ended {
        id: 1,
        initiator: addr("192.168.77.10"),
        responder: addr("203.0.113.10"),
        src_port: 32872,
        dst_port: 80,
        proto: 6,
        forward: Side { octets: 950, packets: 18, tcp_flags: 0x1b, ..Side::default() },
        backward: Side { octets: 20944, packets: 18, tcp_flags: 0x1b, ..Side::default() },
        first_ns: 1_795_245_022_989_000_000,
        last_ns: 1_795_245_022_990_999_999,
        reason: Reason::Tcp,
        input: 0,
        output: 0,
        tunnel: None,
    };
    let line = "ACTIVE seq:1 [192.168.77.10]:32872 <> [203.0.113.10]:80 proto:6 octets>:950 \
         packets>:18 octets<:20944 packets<:18 start:2026-11-21T07:10:22.989 \
         finish:2026-11-21T07:10:22.990 tcp>:1b tcp<:1b flowlabel>:00000000 \
         flowlabel<:00000000 vlan>:0 vlan<:0 ether:00:00:00:00:00:00 <> 00:00:00:00:00:00\n";
    let now_ns = 1_795_245_024_000_000_000;
    for (due_ns, when) in [
        (now_ns + 298_999_999_999, "in 298 seconds"),
        (now_ns + 1, "in 0 seconds"),
        (now_ns, "now"),
        (0, "now"),
    ] {
        let mut out = Vec::new();
        push_flow(&mut out, &Pending { flow: ended, due_ns }, now_ns);
        let want = format!("{line}EXPIRY EVENT for flow 1 {when}\n\n");
        assert_eq!(String::from_utf8(out).unwrap(), want);
    }
    let echo = Ended {
        initiator: addr("fd00::1"),
        responder: addr("::1"),
        src_port: 0,
        dst_port: 0,
        proto: 58,
        forward: Side {
            icmp: Some((128, 1)),
            vlan: 7,
            src_mac: Some(Mac(0x0200_0000_0001)),
            flow_label: 0x000f_8010,
            ..Side::default()
        },
        ..ended
    };
    let mut out = Vec::new();
    push_flow(&mut out, &Pending { flow: echo, due_ns: 0 }, 0);
    let text = String::from_utf8(out).unwrap();
    for part in [
        "[fd00::1]:0 <> [::1]:32769 proto:58 ",
        " flowlabel>:000f8010 ",
        " vlan>:7 vlan<:0 ether:02:00:00:00:00:01 <> 00:00:00:00:00:00\n",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn timeouts_are_laid_out_as_softflowds() {
    let theirs = "\
softflowd[13546]: Printing timeouts:
           TCP timeout: 3600s
  TCP post-RST timeout: 120s
  TCP post-FIN timeout: 300s
           UDP timeout: 300s
          ICMP timeout: 300s
       General timeout: 3600s
      Maximum lifetime: 604800s
       Expiry interval: 60s
";
    let speaker = Speaker::new("softflowd", 13546);
    assert_eq!(speaker.timeouts(&Timeouts::default()), theirs);
    let ours = Timeouts { active: 60, ..Timeouts::default() };
    assert_eq!(speaker.timeouts(&ours), format!("{theirs}        Active timeout: 60s\n"));
    let json: Value = serde_json::from_str(&timeouts_json(&ours)).unwrap();
    assert_eq!(json["tcp.rst"], 120);
    assert_eq!(json.as_object().unwrap().len(), Timeouts::NAMES.len());
}

#[test]
fn our_own_reason_has_a_line_once_there_is_one() {
    let mut report = read(LIVE);
    report.cache.reasons[Reason::Active as usize] = 3;
    let text = report.to_text();
    assert!(text.contains("   maxlife =         0\n    active =         3\nover 2 GiB"), "{text}");
}

#[test]
fn json_says_what_text_says() {
    let report = Report { since_ms: 5, ..read(LIVE) };
    let json: Value = serde_json::from_str(&report.to_json()).unwrap();
    for (pointer, want) in [
        ("/since_ms", json!(5)),
        ("/packets/counted", json!(11956)),
        ("/packets/non_sampled", json!(11956)),
        ("/captured/dropped", json!(239)),
        ("/flows/expired", json!(14)),
        ("/flows/reasons/flushed", json!(14)),
        ("/flows/reasons/over_2_GiB", json!(0)),
        ("/flows/octets/max", json!(8_673_520)),
        ("/exported/datagrams", json!(1)),
        ("/protocols/1/name", json!("udp")),
        ("/protocols/1/octets", json!(17_155_840)),
    ] {
        assert_eq!(json.pointer(pointer), Some(&want), "{pointer}");
    }
    assert_eq!(report.to_json().matches('\n').count(), 1);
    let of_file = Report { captured: None, ..report };
    let json: Value = serde_json::from_str(&of_file.to_json()).unwrap();
    assert_eq!(json["captured"], Value::Null);
}

#[test]
fn protocols_are_in_order_and_days_are_the_calendars() {
    assert!(PROTOCOLS.is_sorted_by(|a, b| a.0 < b.0));
    for (unix, want) in [
        (0, "1970-01-01T00:00:00"),
        (951_782_399, "2000-02-28T23:59:59"),
        (951_782_400, "2000-02-29T00:00:00"),
        (1_709_251_199, "2024-02-29T23:59:59"),
        (4_107_542_400, "2100-03-01T00:00:00"),
        (1_795_288_590, "2026-11-21T19:16:30"),
        (u64::MAX / 1_000_000_000, "2554-07-21T23:34:33"),
    ] {
        let mut out = Vec::new();
        push_time(&mut out, unix);
        assert_eq!(String::from_utf8(out).unwrap(), want);
    }
}
