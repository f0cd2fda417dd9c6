//! Command lines as they are typed, and what they come to.

use super::*;
use clap::{CommandFactory as _, Parser as _};
use std::process::{Command, Stdio};

fn settings(name: &str, line: &str) -> anyhow::Result<Settings> {
    let words = std::iter::once(name).chain(line.split_whitespace());
    Settings::new(name, Args::try_parse_from(words)?)
}

fn ours(line: &str) -> Settings {
    settings("flowprobe", line).unwrap_or_else(|e| panic!("{line}: {e:#}"))
}

fn old(line: &str) -> Settings {
    settings("softflowd", line).unwrap_or_else(|e| panic!("{line}: {e:#}"))
}

#[test]
fn options_do_not_contradict_each_other() {
    Args::command().debug_assert();
}

#[test]
fn all_options_but_old_ones_have_long_names() {
    let short_only = ["psamp_port", "restart", "multithreaded", "bz2", "lz4", "filter"];
    for arg in Args::command().get_arguments() {
        let id = arg.get_id().as_str();
        assert_eq!(arg.get_long().is_none(), short_only.contains(&id), "{id}");
    }
}

#[test]
fn defaults_follow_the_name() {
    let s = ours("-i eth0 -n h:1");
    let export = s.export.unwrap();
    assert_eq!((export.encoder.version, export.encoder.time), (Version::Ipfix, TimeFormat::Millis));
    assert_eq!((s.cache.timeouts.active, s.cache.timeouts.interval), (300, 1));
    assert_eq!((s.cache.max_flows, s.cache.over_2_gib, s.cache.ipv6), (1 << 20, false, true));
    assert_eq!(s.process.pid_file.as_deref(), Some(Path::new("/run/flowprobe.pid")));
    assert_eq!(s.control.as_deref(), Some(Path::new("/run/flowprobe.ctl")));
    assert_eq!((s.process.user_if_root, s.process.in_background), (None, true));
    assert_eq!(s.cache.interfaces, InterfaceIndex::OfPacket);

    let s = old("-i eth0 -n h:1");
    let export = s.export.unwrap();
    assert_eq!((export.encoder.version, export.encoder.time), (Version::V5, TimeFormat::UptimeMs));
    assert_eq!((s.cache.timeouts.active, s.cache.timeouts.interval), (0, 60));
    assert_eq!((s.cache.max_flows, s.cache.over_2_gib, s.cache.ipv6), (8192, true, false));
    assert_eq!(s.process.pid_file.as_deref(), Some(Path::new("/var/run/softflowd.pid")));
    assert_eq!(s.control.as_deref(), Some(Path::new("/var/run/softflowd.ctl")));
    assert_eq!((s.process.user_if_root, s.process.in_background), (Some("nobody"), true));
    assert_eq!(control_path("softflowctl"), Path::new("/var/run/softflowd.ctl"));
    assert_eq!(control_path("flowprobectl"), Path::new("/run/flowprobe.ctl"));
}

#[test]
fn interfaces_may_have_an_index_and_a_colon_of_their_own() {
    for (text, name, index) in [
        ("eth0", "eth0", None),
        ("any", "any", None),
        ("7:eth0", "eth0", Some(7)),
        ("0:eth0", "eth0", Some(0)),
        ("65535:eth0", "eth0", Some(65535)),
        ("eth0:1", "eth0:1", None),
        ("7:eth0:1", "eth0:1", Some(7)),
        ("-7:eth0", "-7:eth0", None),
        (":eth0", ":eth0", None),
    ] {
        let want = Interface { name: name.to_owned(), index };
        assert_eq!(interface(text).unwrap(), want, "{text}");
    }
    for text in ["", "7:", "65536:eth0"] {
        assert!(interface(text).is_err(), "{text}");
    }
    let s = ours("-i 3:eth0");
    assert_eq!(s.cache.interfaces, InterfaceIndex::Fixed(3));
    let s = ours("-i 3:eth0 -i eth1 --no-lookup");
    assert_eq!(s.cache.interfaces, InterfaceIndex::Unknown);
    let Source::Live(all) = s.source else { panic!("interfaces") };
    assert_eq!(all.iter().map(|i| i.index).collect::<Vec<_>>(), [Some(3), None]);
}

#[test]
fn where_the_process_runs() {
    for (line, background, pid_file, control) in [
        ("-i x", true, true, true),
        ("-i x -d", false, false, true),
        ("-i x -D", false, false, true),
        ("-i x -d -p /p", false, true, true),
        ("-i x -c none", true, true, false),
        ("-r x", false, false, false),
        ("-r x -c /c", false, false, false),
    ] {
        let s = ours(line);
        let have = (s.process.in_background, s.process.pid_file.is_some(), s.control.is_some());
        assert_eq!(have, (background, pid_file, control), "{line}");
    }
    assert_eq!((ours("-i x -D").process.verbosity, ours("-i x -d").process.verbosity), (3, 1));
    assert_eq!(old("-i x -d").process.user_if_root, None, "in the foreground it keeps all");
    assert_eq!(old("-i x --group g").process.user_if_root, None);
}

#[test]
fn what_letters_set() {
    let s =
        old("-i x -N -C 96 -B 4096 -s 10 -m 5 -t tcp=1h30m -t expint=0 -T ETHER -6 tcp port 80");
    assert!(!s.capture.is_promiscuous);
    assert_eq!((s.capture.snap_length, s.capture.buffer), (96, 4096));
    assert_eq!(s.cache.sampling, Sampling::Systematic(10));
    assert_eq!((s.cache.max_flows, s.cache.level, s.cache.ipv6), (5, Level::Ether, true));
    assert_eq!((s.cache.timeouts.tcp, s.cache.timeouts.interval), (5400, 0));
    assert_eq!(s.filter.as_deref(), Some("tcp port 80"));

    let s = old("-i x -n a:1,[::1]:2 -l -L 9 -S lo -P TCP -v 10 -A NANO -b -x 3 -e 192.0.2.1");
    let export = s.export.unwrap();
    let to: Vec<_> = export.to.iter().map(ToString::to_string).collect();
    assert_eq!(to, ["a:1", "[::1]:2"]);
    assert!(export.is_balanced && export.encoder.biflow);
    assert_eq!((export.hop_limit, export.interface.as_deref()), (Some(9), Some("lo")));
    assert_eq!((export.transport, export.mpls_labels), (Transport::Tcp, 3));
    assert_eq!(export.encoder.time, TimeFormat::Nanos);
    assert_eq!(export.from, Some([192, 0, 2, 1].into()));
    assert_eq!(s.cache.timeouts, Timeouts::default());

    let s = ours(
        "-r x --random-sampling -s 7 --tunnels --dedup --active-timeout 2m -T ether -H 2:0:5e-10-0-ff",
    );
    assert_eq!(s.cache.sampling, Sampling::Random(7));
    assert_eq!((s.cache.depth, s.cache.dedup), (Depth::Innermost, Some(Dedup::default())));
    assert_eq!(s.cache.timeouts.active, 120);
    assert_eq!(s.lookup.mac, Some(Mac(0x0200_5e10_00ff)));
    assert_eq!(s.cache.interfaces, InterfaceIndex::Unknown);

    let s = ours("-r x -w /d --interval 60 --subdirs 7 --ident me -z=lz4 -b --max-memory 1M");
    let files = s.files.unwrap();
    assert_eq!(
        (files.rotation.interval, files.rotation.ident.as_str(), files.is_biflow),
        (60, "me", true)
    );
    assert_eq!(s.cache.max_memory, Some(1 << 20));
    assert!(s.notes.is_empty(), "{:?}", s.notes);
    // The last one counts, as everywhere; but more destinations are more.
    let s = ours("-r x -v 5 -v 9 -n a:1 -n b:2");
    let export = s.export.unwrap();
    assert_eq!((export.encoder.version, export.to.len()), (Version::V9, 2));
}

#[test]
fn every_format_goes_over_tcp_as_softflowd_sends_it() {
    for version in ["1", "5", "9", "10"] {
        for name in ["softflowd", "flowprobe"] {
            let line = format!("-i x -n h:1 -P tcp -v {version}");
            let export = settings(name, &line).unwrap().export.unwrap();
            assert_eq!(export.transport, Transport::Tcp, "{name} {line}");
        }
    }
}

#[test]
fn what_does_nothing_is_said() {
    let s = ours("-i x -n h:1 -v 5 -b -x 2 -A milli -I 1h -M");
    assert_eq!(s.notes.len(), 4, "{:?}", s.notes);
    let export = s.export.unwrap();
    assert_eq!((export.mpls_labels, export.encoder.biflow), (0, false));
    let live = "-i x --metrics --threads 2 --libpcap";
    assert!(ours(live).notes.is_empty());
    assert_eq!(ours(&live.replace("-i", "-r")).notes.len(), 3);
}

#[test]
fn files_are_read_at_the_time_of_their_packets_unless_softflowd_does_not() {
    for (name, line, want) in [
        ("flowprobe", "-r x", true),
        ("flowprobe", "-r x -v 5", true),
        ("softflowd", "-r x -v 9 -A milli", false),
        ("softflowd", "-r x -v 10 -A sec -a", true),
        // Relative times reach packets of now only.
        ("softflowd", "-r x", true),
        ("softflowd", "-r x -v 9", true),
        ("softflowd", "-r x -v 5 -A milli", true),
        ("softflowd", "-r x -v 10 -A uptime", true),
    ] {
        let Source::File { at_packet_time, .. } = settings(name, line).unwrap().source else {
            panic!("a file");
        };
        assert_eq!(at_packet_time, want, "{name} {line}");
    }
}

#[test]
fn mistakes_are_told_in_a_line_that_says_what_to_do() {
    for (line, said) in [
        ("", "give -i INTERFACE or -r FILE"),
        ("-i x -r y", "-i and -r"),
        ("-R 9999", "-R 9999"),
        ("-i 70000:x", "-i 70000:x: an index is 0 to 65535"),
        ("-r x -t foo=1", "-t foo=1: "),
        ("-r x -t tcp", "-t tcp: "),
        ("-r x -t tcp=1x", "-t tcp=1x: "),
        ("-r x -t general=0", "-t general=0: "),
        ("-r x --active-timeout 1y", "--active-timeout: "),
        ("-r x -T foo", "-T foo: there are full"),
        ("-r x -v 7", "-v 7: there are 1, 5, 9"),
        ("-r x -v psamp", "-v psamp: "),
        ("-r x -A foo", "-A foo: there are sec"),
        ("-r x -P foo", "-P: "),
        ("-r x -P sctp", "-P: "),
        ("-r x -n foo", "-n: "),
        ("-r x -n 127.0.0.1:99999", "-n: "),
        ("-r x -n h:1 -v 5 -s 20000", "v9 or IPFIX"),
        ("-r x -H 02:00:5e:10:00", "-T ether"),
        ("-r x -T ether -H 02:00:5e:10:00", "-H 02:00:5e:10:00: write"),
        ("-r x -T ether -H 02:00:5e:10:00:123", "-H 02"),
        ("-r x -w /d --ident ü", "--ident"),
        ("-r x -w /d -z=zip", "zip"),
    ] {
        let error = settings("flowprobe", line).unwrap_err();
        let told = format!("{error:#}");
        assert!(told.contains(said) && !told.contains('\n'), "{line}: {told}");
    }
    // What clap refuses.
    for line in [
        "-r x -x 11",
        "-r x -L 256",
        "-r x -m 0",
        "-r x -m abc",
        "-r x -s -5",
        "-r x -C 0",
        "-r x --mtu 100",
        "-r x --random-sampling",
        "-r x --threads 0",
        "-Z",
        "-f x",
        "-i",
    ] {
        assert!(settings("flowprobe", line).is_err(), "{line}");
    }
}

/// What softflowd makes of a command line: whether it takes it.
fn is_taken_by_softflowd(program: &str, line: &str) -> Option<bool> {
    let words = line.split_whitespace();
    let child = Command::new(program).args(words).stdin(Stdio::null()).output();
    Some(child.ok()?.status.success())
}

#[test]
fn softflowd_takes_what_is_taken_under_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("empty.pcap");
    // The header of a capture of Ethernet frames without a packet.
    let head: [u32; 6] = [0xa1b2_c3d4, 0x0004_0002, 0, 0, 65535, 1];
    let octets: Vec<u8> = head.iter().flat_map(|n| n.to_le_bytes()).collect();
    std::fs::write(&file, octets).unwrap();
    // Also outside the PATH of a user.
    let program = ["softflowd", "/usr/sbin/softflowd"]
        .into_iter()
        .find(|p| is_taken_by_softflowd(p, "-h") == Some(true));
    let Some(program) = program else {
        println!("skipped: softflowd is not installed");
        return;
    };
    let mut taken = 0;
    for (options, differs) in [
        ("", ""),
        ("-a", ""),
        ("-n 127.0.0.1:9", ""),
        ("-n [::1]:9", ""),
        ("-n ::1:9", ""),
        ("-n 127.0.0.1:9,127.0.0.1:10", ""),
        ("-n 127.0.0.1", ""),
        ("-n 127.0.0.1:", ""),
        ("-n :9", ""),
        ("-n 127.0.0.1:0", "nobody listens there"),
        ("-n 127.0.0.1:99999", "softflowd sends to port 34463"),
        ("-l", ""),
        ("-L 0", ""),
        ("-L 255", ""),
        ("-L 256", ""),
        ("-L abc", "no number is 0 to softflowd"),
        ("-S lo", ""),
        ("-P udp", ""),
        ("-P UDP", ""),
        ("-P foo", ""),
        ("-v 1", ""),
        ("-v 05", ""),
        ("-v 9", ""),
        ("-v 10 -b", ""),
        ("-v 7", ""),
        ("-v psamp", "packets are not exported"),
        ("-A sec", ""),
        ("-A milli", ""),
        ("-A micro", ""),
        ("-A nano", ""),
        ("-A foo", ""),
        ("-b", ""),
        ("-s 0", ""),
        ("-s 1", ""),
        ("-s 100", ""),
        ("-s abc", "no number is 0 to softflowd"),
        ("-m 1", ""),
        ("-m 100000", ""),
        ("-m abc", "no number is 0 to softflowd"),
        ("-t tcp=1h30m", ""),
        ("-t tcp=1H", ""),
        ("-t tcp.rst=0", ""),
        ("-t tcp.fin=5", ""),
        ("-t udp=5 -t icmp=5", ""),
        ("-t general=0", ""),
        ("-t maxlife=0", ""),
        ("-t expint=0", ""),
        ("-t foo=1", ""),
        ("-t tcp", ""),
        ("-t tcp=", ""),
        ("-t tcp=1x", ""),
        ("-t tcp=-5", ""),
        ("-t TCP=5", ""),
        ("-T full", ""),
        ("-T port", ""),
        ("-T proto", ""),
        ("-T ip", ""),
        ("-T vlan", ""),
        ("-T ether", ""),
        ("-T FULL", ""),
        ("-T foo", ""),
        ("-6", ""),
        ("-C 10", ""),
        ("-B 10000", ""),
        ("-N", ""),
        ("-x 0", ""),
        ("-x 10", ""),
        ("-x 11", ""),
        ("-d", ""),
        ("-D", ""),
        ("-dDN6", ""),
        ("-p /x", ""),
        ("-c none", ""),
        ("-M", ""),
        ("-i lo", ""),
        ("-Z", ""),
        ("-f x", ""),
        ("-I 5", "of 1.1.1"),
        ("-g", "of 1.1.1"),
        ("-e 127.0.0.1", "of 1.1.1"),
        ("-w /d", "ours"),
        ("tcp port 80", ""),
        ("-d -- tcp", ""),
        ("tcp -d", ""),
    ] {
        let line = format!("-r {} {options}", file.display());
        let theirs = is_taken_by_softflowd(program, &line).unwrap();
        let ours = settings("softflowd", &line);
        let is_same = ours.is_ok() == theirs;
        assert_eq!(is_same, differs.is_empty(), "{options}: theirs {theirs}, ours {ours:?}");
        taken += usize::from(theirs && is_same);
    }
    assert!(taken > 40, "{taken}");
}
