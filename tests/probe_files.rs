//! flowprobe and softflowd on capture files: what collectors get of old packets, and what is said
//! of files that are none.

mod common;

use common::{Scene, run};
use std::fs;
use std::net::UdpSocket;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

const FLOWPROBE: &str = env!("CARGO_BIN_EXE_flowprobe");

/// A capture of empty UDP packets, one at each of these seconds since 1970, each of a flow of its
/// own.
fn capture(path: &Path, at: &[u32]) {
    let mut octets = Vec::new();
    for n in [0xa1b2_c3d4_u32, 4 << 16 | 2, 0, 0, 65_535, 101] {
        octets.extend(n.to_le_bytes());
    }
    for (n, secs) in (0u16..).zip(at) {
        for n in [*secs, 0, 28, 28] {
            octets.extend(n.to_le_bytes());
        }
        octets.extend([0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2]);
        octets.extend((1000 + n).to_be_bytes());
        octets.extend([0, 53, 0, 8, 0, 0]);
    }
    fs::write(path, octets).unwrap();
}

/// Starts of the flows of v5 datagrams in seconds, sorted, and when they were exported.
fn starts(socket: &UdpSocket) -> Vec<(u32, u32)> {
    socket.set_nonblocking(true).unwrap();
    let number = |octets: &[u8], at: usize| {
        u32::from_be_bytes(octets.get(at..at + 4).unwrap().try_into().unwrap())
    };
    let mut all = Vec::new();
    let mut octets = [0; 1500];
    while let Ok(len) = socket.recv(&mut octets) {
        let octets = octets.get(..len).unwrap();
        assert_eq!(octets.get(..2), Some(&[0, 5][..]));
        let (uptime, secs) = (number(octets, 4), number(octets, 8));
        let records = octets.get(24..).unwrap().chunks_exact(48);
        all.extend(records.map(|record| (secs - (uptime - number(record, 24)) / 1000, secs)));
    }
    all.sort_unstable();
    all
}

fn softflowd(scene: &Scene) -> PathBuf {
    let link = scene.path("softflowd");
    symlink(FLOWPROBE, &link).unwrap();
    link
}

/// Two packets in 2016, one a month later, one years later.
const OLD: [u32; 4] = [1_452_263_345, 1_452_263_346, 1_454_941_745, 1_600_000_000];

#[test]
fn old_packets_reach_v5_collectors_with_their_times() {
    let scene = Scene::new();
    let file = scene.path("old.pcap");
    capture(&file, &OLD);
    let softflowd = softflowd(&scene);
    for (program, args) in [
        (softflowd.as_path(), &[][..]),
        (&softflowd, &["-a"]),
        (Path::new(FLOWPROBE), &["-v", "5"]),
    ] {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let to = socket.local_addr().unwrap().to_string();
        let file = file.to_str().unwrap();
        let done = run(program, [&["-r", file, "-n", &to], args].concat());
        assert!(done.status.success(), "{done:?}");
        let got = starts(&socket);
        assert_eq!(got.iter().map(|flow| flow.0).collect::<Vec<_>>(), OLD, "{args:?}");
        for (start, exported) in got {
            // After the timeout of UDP, rounded to a minute by softflowd.
            assert!((start..=start + 361).contains(&exported), "{start} {exported}");
        }
    }
}

#[test]
fn what_a_format_cannot_say_is_told() {
    let scene = Scene::new();
    let file = scene.path("back.pcap");
    // Time that goes back by years, within one flow table.
    capture(&file, &[1_600_000_000, 1_452_263_345]);
    let args = ["-r", file.to_str().unwrap(), "-n", "127.0.0.1:9", "-v", "5"];
    let done = run(FLOWPROBE, args);
    let said = String::from_utf8(done.stderr).unwrap();
    assert!(said.contains("1 flow records were not exported: their times"), "{said}");
}

#[test]
fn a_file_that_is_none_is_named() {
    let scene = Scene::new();
    for (name, octets) in [("text", &b"root:x:0:0:"[..]), ("empty", b""), ("short", b"\xd4\xc3")] {
        let file = scene.path(name);
        fs::write(&file, octets).unwrap();
        let file = file.to_str().unwrap();
        let done = run(FLOWPROBE, ["-r", file]);
        let said = String::from_utf8(done.stderr).unwrap();
        assert!(said.starts_with(&format!("flowprobe: {file}: ")), "{said}");
        assert_eq!((done.status.code(), said.lines().count()), (Some(1), 1), "{said}");
    }
}

#[test]
fn privileges_are_given_up_before_a_file_is_read() {
    if !sys::process::may_change_user() {
        println!("skipped: not root");
        return;
    }
    let scene = Scene::new();
    let (file, dir) = (scene.path("old.pcap"), scene.dir("flows"));
    capture(&file, &OLD);
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o700)).unwrap();
    let args = ["-r", file.to_str().unwrap(), "-w", dir.to_str().unwrap()];
    assert!(run(FLOWPROBE, args).status.success());
    let done = run(FLOWPROBE, args.iter().chain(&["--user", "nobody"]));
    let said = String::from_utf8(done.stderr).unwrap();
    assert_eq!(done.status.code(), Some(1), "{said}");
    assert!(said.contains("cannot write files to"), "{said}");
}

#[test]
fn a_connection_that_is_refused_is_no_success() {
    let scene = Scene::new();
    let file = scene.path("old.pcap");
    capture(&file, &OLD);
    // Nobody listens at an address of which the port was never given away.
    let args = ["-r", file.to_str().unwrap(), "-n", "127.77.9.1:9", "-v", "9", "-P"];
    for (transport, want) in [("tcp", Some(1)), ("udp", Some(0))] {
        let done = run(FLOWPROBE, args.iter().chain(&[transport]));
        assert_eq!(done.status.code(), want, "{done:?}");
    }
}
