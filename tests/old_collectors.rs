//! `flowcapd` under the names `nfcapd` and `sfcapd`: what scripts and unit files of those rely on.
//! Where nfcapd is installed it runs beside it, with the same options and datagrams.
//!
//! Written for the nfcapd 1.7.1 of Debian 12. sfcapd is in no package, so what is asked of it here
//! is what its manual says.

mod common;

use common::capd::{DAY, send_from};
use common::exports::{ipfix, v5, v9};
use common::{Daemon, FLOWCAPD, Scene, flow_files, free_port, has, run, stdout_of, wait_until};
use std::io::Read as _;
use std::net::IpAddr;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use wire::testing::{SflowBuilder, SflowSample, sampled_header};

const REAL: &str = "nfcapd";

/// Our program under another name.
fn link(scene: &Scene, name: &str) -> PathBuf {
    let link = scene.dir("bin").join(name);
    if !link.exists() {
        symlink(FLOWCAPD, &link).expect("link");
    }
    link
}

fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}

/// Whether there is something to compare with.
fn has_peers() -> bool {
    has(REAL) && has("nfdump")
}

/// A collector that runs, and where its files go.
struct Running {
    daemon: Daemon,
    dir: PathBuf,
    port: u16,
}

impl Running {
    /// Starts ours, under the name of nfcapd. `D` in options is the directory.
    fn ours(scene: &Scene, program: &str, name: &str, options: &[&str]) -> Self {
        let dir = scene.dir(&format!("ours/{name}"));
        let args = with_directory(&["-p", "0"], options, &dir);
        let log = scene.path(format!("ours/{name}.log"));
        let daemon = Daemon::start(link(scene, program), args, log);
        daemon.wait_for(&format!("Startup {program}."));
        let log = daemon.log();
        let (_, port) = log.split_once(", port: ").expect("the port is in the log");
        let port = port.lines().next().and_then(|p| p.parse().ok()).expect("port");
        Self { daemon, dir, port }
    }

    /// Starts the installed nfcapd.
    fn theirs(scene: &Scene, name: &str, options: &[&str]) -> Self {
        let dir = scene.dir(&format!("theirs/{name}"));
        let log = scene.path(format!("theirs/{name}.log"));
        // Somebody else may take the port before it does.
        for _ in 0..5 {
            let port = free_port();
            let args = with_directory(&["-p", &port.to_string()], options, &dir);
            let daemon = Daemon::start(REAL, args, log.clone());
            let log = || daemon.log();
            let has_failed = || log().contains("Terminated due to errors");
            wait_until(|| has_failed() || log().contains("Startup nfcapd."), log);
            if !has_failed() {
                return Self { daemon, dir, port };
            }
        }
        panic!("no port for nfcapd");
    }

    /// Ends it when all that was sent is decoded: a last exporter shows that.
    fn stop(self, last_sender: [u8; 4]) -> Done {
        send_from(last_sender.into(), self.port, &[v9(4711, 0, 0..0, true)]);
        self.daemon.wait_for("Domain: 4711");
        Done { log: self.daemon.stop(), dir: self.dir }
    }
}

fn with_directory(before: &[&str], options: &[&str], dir: &Path) -> Vec<String> {
    let filled = options.iter().map(|o| match *o {
        "D" => text(dir).to_owned(),
        other => other.replace("D/", &format!("{}/", text(dir))),
    });
    before.iter().map(|o| (*o).to_owned()).chain(filled).collect()
}

/// A flow file, in the words of nfdump.
struct File {
    info: Vec<String>,
    flows: Vec<String>,
}

/// What a collector has left.
struct Done {
    log: String,
    dir: PathBuf,
}

impl Done {
    /// The files, as paths below the directory.
    fn names(&self) -> Vec<String> {
        let below = |path: &PathBuf| text(path.strip_prefix(&self.dir).expect("below")).to_owned();
        flow_files(&self.dir).iter().map(below).collect()
    }

    /// The files as nfdump lists and sums them up.
    fn files(&self) -> Vec<File> {
        const COLUMNS: &str = "fmt:%pr %sa %sp %da %dp %pkt %byt %fl %flg %ra %eng %sas %das %in";
        // IPFIX has no time here, which each dates in its own way, and files are packed each in
        // their own way.
        let is_compared =
            |l: &&str| !["First", "Last", "Size", "msec"].iter().any(|w| l.contains(w));
        let read = |path: PathBuf| {
            let nfdump = |args: &[&str]| {
                let output = run("nfdump", args.iter().chain(&["-r", text(&path)]));
                assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{}", path.display());
                String::from_utf8(output.stdout).expect("text")
            };
            let info = nfdump(&["-I"]);
            let info = info.lines().filter(is_compared).map(str::to_owned).collect();
            let list = nfdump(&["-q", "-N", "-6", "-o", COLUMNS]);
            let mut flows: Vec<_> = list.lines().map(str::to_owned).collect();
            flows.sort();
            File { info, flows }
        };
        flow_files(&self.dir).into_iter().map(read).collect()
    }

    /// The log lines that scripts look for.
    fn key_lines(&self) -> Vec<String> {
        let begins = ["Startup ", "Process_", "Ident: '", "Terminating "];
        let lines = self.log.lines().filter(|l| begins.iter().any(|b| l.starts_with(b)));
        let common = |line: &str| {
            // What stands behind differs from version to version, too.
            let ends = [", Blocks: ", ", algorithm: "];
            let end = ends.iter().filter_map(|e| line.find(e)).min().unwrap_or(line.len());
            // Exporters are numbered by source here, over all sources there.
            match line[..end].split_once("SysID: ") {
                Some((before, number)) => {
                    let rest = number.split_once(", ").map_or("", |(_, rest)| rest);
                    format!("{before}{rest}")
                }
                None => line[..end].to_owned(),
            }
        };
        lines.map(common).collect()
    }
}

/// Runs both with the same options and datagrams, and compares what they leave: names, flows, log.
fn assert_same(
    scene: &Scene,
    name: &str,
    options: &[&str],
    send: impl Fn(u16),
    last_sender: [u8; 4],
) -> [Done; 2] {
    let both =
        [Running::ours(scene, "nfcapd", name, options), Running::theirs(scene, name, options)];
    both.iter().for_each(|collector| send(collector.port));
    let [ours, theirs] = both.map(|collector| collector.stop(last_sender));
    assert_eq!(ours.names(), theirs.names(), "{options:?}");
    for (ours, theirs) in ours.files().iter().zip(&theirs.files()) {
        assert_eq!(ours.info, theirs.info, "{options:?}");
        for (ours, theirs) in ours.flows.iter().zip(&theirs.flows) {
            assert_eq!(ours, theirs, "{options:?}");
        }
    }
    // Records of -E stand in the middle of lines there.
    if !options.contains(&"-E") {
        assert_eq!(ours.key_lines(), theirs.key_lines(), "{options:?}");
    }
    [ours, theirs]
}

/// Three protocols, two of them with a gap, and something that is none.
fn exports() -> Vec<Vec<u8>> {
    vec![
        v5(0, 0..10),
        v5(10, 10..20),
        v9(9, 0, 20..30, true),
        v9(9, 4, 30..40, false),
        ipfix(7, 0, 40..50, true),
        ipfix(7, 20, 50..60, false),
        b"GET / HTTP/1.1".to_vec(),
    ]
}

fn assert_same_for_all(rows: &[&[&str]]) {
    if !has_peers() {
        return;
    }
    let scene = Scene::new();
    let sent = exports();
    for (n, options) in rows.iter().enumerate() {
        let options = [&[DAY], *options].concat();
        let send = |port| common::send(port, &sent);
        let done = assert_same(&scene, &n.to_string(), &options, send, [127, 0, 0, 1]);
        let flows: Vec<_> = done[0].files().iter().map(|file| file.flows.len()).collect();
        assert_eq!(flows, [60], "{options:?}");
        assert_eq!(done[0].key_lines().len(), 7, "{options:?}: {}", done[0].log);
    }
}

#[test]
fn the_same_datagrams_make_the_same_files() {
    assert_same_for_all(&[
        &["-w", "D"],
        &["-l", "D", "-T", "all", "-E"],
        &["-w", "D", "-I", "lab-1", "-4"],
        &["-w", "D", "-b", "127.0.0.1", "-B", "300000"],
        &["-w", "D", "-s", "10"],
        &["-w", "D", "-y"],
        &["-w", "D", "-j"],
        &["-w", "D", "-z"],
        &["-w", "D", "-P", "D/pid"],
    ]);
}

/// nfcapd 1.7.1 reads a negative rate as a huge one over IPFIX, so that is left out.
#[test]
fn a_forced_rate_counts_the_same() {
    if !has_peers() {
        return;
    }
    let scene = Scene::new();
    let mut announced = v5(0, 0..10);
    announced[22..24].copy_from_slice(&[0x40, 4]);
    let sent = [announced, v9(9, 0, 20..30, true)];
    for rate in ["10", "-10"] {
        let options = ["-w", "D", "-s", rate, DAY];
        let send = |port| common::send(port, &sent);
        assert_same(&scene, rate, &options, send, [127, 0, 0, 1]);
    }
}

#[test]
fn directories_and_zones_are_in_the_same_places() {
    assert_same_for_all(&[
        &["-w", "D", "-S", "1"],
        &["-w", "D", "-S", "2"],
        &["-w", "D", "-S", "3"],
        &["-w", "D", "-S", "4"],
        &["-w", "D", "-S", "5"],
        &["-w", "D", "-S", "6"],
        &["-w", "D", "-S", "7"],
        &["-w", "D", "-S", "8"],
        &["-w", "D", "-Z"],
    ]);
}

#[test]
fn sources_are_told_apart_alike() {
    if !has_peers() {
        return;
    }
    let scene = Scene::new();
    let send = |port| {
        for n in [1u8, 2, 9] {
            let from = IpAddr::from([127, 0, 0, n]);
            let n = u32::from(n);
            send_from(from, port, &[v5(0, n * 10..n * 10 + 5), v9(n, 0, n * 20..n * 20 + 7, true)]);
        }
    };
    for place in ["ours", "theirs"] {
        for source in ["one", "two"] {
            scene.dir(&format!("{place}/n/{source}"));
        }
    }
    let options = ["-n", "one,127.0.0.1,D/one", "-n", "two,127.0.0.2,D/two", DAY];
    let [ours, theirs] = assert_same(&scene, "n", &options, send, [127, 0, 0, 1]);
    let flows: Vec<_> = ours.files().iter().map(|file| file.flows.len()).collect();
    assert_eq!(flows, [12, 12]);
    for done in [&ours, &theirs] {
        assert!(done.log.contains("Skip UDP packet"), "{}", done.log);
    }
    let [ours, _] = assert_same(&scene, "M", &["-M", "D", "-z", DAY], send, [127, 0, 0, 1]);
    let places: Vec<_> =
        ours.names().iter().map(|n| n.split('/').next().expect("directory").to_owned()).collect();
    assert_eq!(places, ["127-0-0-1", "127-0-0-2", "127-0-0-9"]);
}

#[test]
fn short_slots_have_seconds_in_their_names() {
    if !has_peers() {
        return;
    }
    const INTERVAL: i64 = 30;
    let scene = Scene::new();
    let now = || (sys::clock::now_ms() / 1000) as i64;
    let since = now() - INTERVAL;
    let options = ["-w", "D", "-t", "30"];
    for collector in
        [Running::ours(&scene, "nfcapd", "s", &options), Running::theirs(&scene, "s", &options)]
    {
        let done = collector.stop([127, 0, 0, 1]);
        let names = done.names();
        assert!(!names.is_empty(), "{}", done.log);
        for name in names {
            let slot = chrono::NaiveDateTime::parse_from_str(&name, "nfcapd.%Y%m%d%H%M%S");
            let slot = slot.unwrap_or_else(|e| panic!("{name}: {e}")).and_utc().timestamp();
            assert!(slot % INTERVAL == 0 && (since..=now()).contains(&slot), "{name}");
        }
    }
}

#[test]
fn commands_get_the_same_words() {
    if !has_peers() {
        return;
    }
    let scene = Scene::new();
    for (name, command, count) in [
        // Links are called as what they lead to.
        ("file", "ln -s -t D/said %f %d", 2),
        ("words", "touch D/said/%i-%t-%u", 1),
    ] {
        let options = ["-w", "D", DAY, "-I", "lab", "-x", command];
        let both = [
            Running::ours(&scene, "nfcapd", name, &options),
            Running::theirs(&scene, name, &options),
        ];
        let [ours, theirs] = both.map(|collector| {
            let said = collector.dir.join("said");
            std::fs::create_dir(&said).expect("directory");
            let done = collector.stop([127, 0, 0, 1]);
            let entries = || std::fs::read_dir(&said).expect("directory").flatten();
            let missing = || format!("{command}: {}", done.log);
            wait_until(|| entries().count() == count, missing);
            let told = |path: PathBuf| {
                let target = std::fs::read_link(&path).unwrap_or_default();
                let below = target.strip_prefix(&done.dir).map(Path::to_owned).unwrap_or(target);
                (path.file_name().expect("name").to_owned(), below)
            };
            let mut all: Vec<_> = entries().map(|e| told(e.path())).collect();
            all.sort();
            all
        });
        assert_eq!(ours, theirs, "{command}");
    }
}

#[test]
fn expiring_says_the_same() {
    if !has_peers() {
        return;
    }
    let scene = Scene::new();
    let options = ["-w", "D", DAY, "-e"];
    let both =
        [Running::ours(&scene, "nfcapd", "e", &options), Running::theirs(&scene, "e", &options)];
    let [ours, theirs] = both.map(|collector| {
        common::send(collector.port, exports());
        let done = collector.stop([127, 0, 0, 1]);
        let begins = ["Run expire on '", "Limits: ", "Current size: ", "expire completed"];
        let lines = done.log.lines().filter(|l| begins.iter().any(|b| l.starts_with(b)));
        // Sizes are those of the file system's blocks.
        let lines = lines.map(|l| match l.split_once(", Current lifetime") {
            Some((_, rest)) => format!("Current lifetime{rest}"),
            None => l.replace(text(&done.dir), "D"),
        });
        lines.collect::<Vec<_>>()
    });
    assert_eq!(ours.len(), 4, "{ours:?}");
    assert_eq!(ours, theirs);
}

/// A process that is no child of ours, ended should the test fail.
struct Foreign(String);

impl Foreign {
    fn is_there(&self) -> bool {
        run("kill", ["-s", "0", &self.0]).status.success()
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        run("kill", ["-s", "KILL", &self.0]);
    }
}

#[test]
fn daemons_are_found_by_their_pid_file() {
    if !has_peers() {
        return;
    }
    let scene = Scene::new();
    for program in [link(&scene, "nfcapd"), REAL.into()] {
        let shown = program.display();
        let (dir, pid_file) =
            (scene.dir(&format!("D {}", text(&program).len())), scene.path("pid"));
        let port = free_port().to_string();
        let options = ["-D", "-w", text(&dir), "-p", &port, "-P", text(&pid_file), DAY, "-I", "bg"];
        let start = run(&program, options);
        assert_eq!(start.status.code(), Some(0), "{shown}: {start:?}");
        let pid = || std::fs::read_to_string(&pid_file).unwrap_or_default();
        wait_until(|| pid().ends_with('\n') || !pid().is_empty(), || format!("{shown}: a pid"));
        let daemon = Foreign(pid().trim().to_owned());
        assert!(daemon.is_there(), "{shown}: {}", daemon.0);
        let file = || std::fs::read_dir(&dir).expect("directory").flatten().next();
        wait_until(|| file().is_some(), || format!("{shown}: an open file"));
        assert!(run("kill", ["-s", "TERM", &daemon.0]).status.success(), "{shown}");
        wait_until(|| !pid_file.exists(), || format!("{shown}: no pid file"));
        wait_until(|| !daemon.is_there(), || format!("{shown}: no process"));
        assert_eq!(flow_files(&dir).len(), 1, "{shown}");
    }
}

#[test]
fn wrong_options_have_the_same_exit_status() {
    let scene = Scene::new();
    let dir = scene.dir("flows");
    let d = text(&dir);
    let port = free_port().to_string();
    for (options, want) in [
        (&["-h"][..], 0),
        (&["-V"], 0),
        (&[], 1),
        (&["-q"], 1),
        (&["--zebra"], 1),
        (&["-w", "/no/such/dir"], 1),
        (&["-M", "/no/such/dir"], 1),
        (&["-n", "a,127.0.0.1,/no/such/dir"], 1),
        (&["-n", "a,127.0.0.1"], 1),
        (&["-w", d, "-M", d], 1),
        (&["-w", d, "-n", "a,127.0.0.1,/"], 1),
        (&["-w", d, "-t", "0"], 1),
        (&["-w", d, "-S", "9"], 1),
        (&["-w", d, "-I", "two words"], 1),
        (&["-w", d, "-z", "-j"], 1),
        (&["-w", d, "-4", "-6"], 1),
        (&["-w", d, "-s", "0"], 1),
        (&["-w", d, "-i", "3"], 1),
        (&["-w", d, "-Z", "-e"], 1),
        (&["-w", d, "-u", "no-such-user"], 1),
        (&["-w", d, "-b", "192.0.2.77"], 1),
        (&["-w", d, "-P", "/no/such/dir/pid"], 1),
        (&["-w", d, "-C", "/no/such/file"], 1),
        (&["-w", d, "-d", "lo"], 1),
    ] {
        let programs = ["nfcapd", "sfcapd"].map(|name| link(&scene, name));
        let real = has(REAL).then(|| REAL.into());
        for program in programs.into_iter().chain(real) {
            let (shown, is_real) = (program.display(), program == Path::new(REAL));
            // One that takes what it should refuse would run for ever.
            let args = [&["60", text(&program)], options, &["-p", &port]].concat();
            let output = run("timeout", args);
            assert_eq!(output.status.code(), Some(want), "{shown} {options:?}: {output:?}");
            let said = [output.stdout, output.stderr].concat();
            assert!(!said.is_empty() || is_real, "{shown} {options:?} without a word");
        }
    }
    assert_eq!(flow_files(&dir), [] as [PathBuf; 0]);
}

/// Under the old names the system's configuration says nothing, since they never asked for one. The
/// file is put in place where nobody else sees it.
#[test]
fn the_configuration_of_the_system_is_for_flowcapd_alone() {
    let scene = Scene::new();
    let (dir, file) = (scene.dir("flows"), "/etc/flowsuite/flowcapd.toml");
    let in_place = format!(
        "mount -t tmpfs none /etc && mkdir /etc/flowsuite && echo 'zebra = 1' >{file} && exec \"$@\""
    );
    let check = |program: &Path, more: &[&str]| {
        let check = [text(program), "check", "-w", text(&dir), "-p", "0"];
        let unshare = ["-r", "-m", "sh", "-c", &in_place, "sh"];
        run("unshare", unshare.iter().chain(&check).chain(more))
    };
    if !run("unshare", ["-r", "-m", "mount", "-t", "tmpfs", "none", "/etc"]).status.success() {
        eprintln!("skipped: no mount namespaces here");
        return;
    }
    let flowcapd = check(Path::new(FLOWCAPD), &[]);
    let said = String::from_utf8_lossy(&flowcapd.stderr);
    assert_eq!(flowcapd.status.code(), Some(1), "{flowcapd:?}");
    assert!(said.contains(file) && said.contains("zebra"), "{said}");
    let old = ["nfcapd", "sfcapd"].map(|name| link(&scene, name));
    let none = ["-C", "none"];
    let rows = [(Path::new(FLOWCAPD), &none[..]), (&old[0], &[]), (&old[1], &[]), (&old[0], &none)];
    for (program, more) in rows {
        let output = check(program, more);
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{program:?} {more:?}: {output:?}");
        assert!(said.contains("options: understood"), "{program:?} {more:?}: {said}");
    }
    // The old way to name it holds: sections of nfcapd are understood.
    let named = scene.path("nfdump.conf");
    let exporter = format!("[nfcapd]\nexporter.up = [\"127.0.0.1\", \"{}\"]\n", text(&dir));
    std::fs::write(&named, exporter).expect("configuration");
    let output = run(&old[0], ["check", "-C", text(&named), "-p", "0"]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains(text(&dir)), "{output:?}");
}

#[test]
fn each_name_has_its_port() {
    let scene = Scene::new();
    let dir = scene.dir("flows");
    for (name, port) in [("nfcapd", "port 9995: "), ("sfcapd", "port 6343: ")] {
        // Whether it is free is no matter here.
        let output = run(link(&scene, name), ["check", "-w", text(&dir)]);
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains(port), "{name}: {said}");
    }
}

/// An IPv4 packet with these octets behind its header.
fn ipv4(proto: u8, [src, dst]: [[u8; 4]; 2], payload: &[u8]) -> Vec<u8> {
    let len = (20 + payload.len()) as u16;
    let mut packet = vec![0x45, 0];
    packet.extend(len.to_be_bytes());
    packet.extend([0, 0, 0, 0, 64, proto, 0, 0]);
    [&packet[..], &src, &dst, payload].concat()
}

#[test]
fn samples_become_flows_under_the_name_of_sfcapd() {
    let scene = Scene::new();
    let udp = [0x30, 0x39, 0, 53, 0, 8, 0, 0];
    let inner = ipv4(17, [[10, 0, 0, 1], [10, 0, 0, 2]], &udp);
    let outer = ipv4(4, [[192, 0, 2, 1], [192, 0, 2, 2]], &inner);
    let head = |sequence| SflowSample { sequence, rate: 512, ..SflowSample::default() };
    let datagram = SflowBuilder::new(wire::sflow::Header::default())
        .flow(head(1), &[sampled_header(11, 100, 0, &inner)])
        .flow(head(2), &[sampled_header(11, 300, 0, &outer)])
        .build();
    let plain = "17 10.0.0.1:12345 10.0.0.2:53 512 51200";
    for (name, options, second) in [
        ("plain", &[][..], "4 192.0.2.1:0 192.0.2.2:0 512 153600"),
        ("tunnels", &["-o", "tun"], "17 10.0.0.1:12345 10.0.0.2:53 512 153600"),
    ] {
        let options = [&["-w", "D", "-I", "switch", DAY], options].concat();
        let sfcapd = Running::ours(&scene, "sfcapd", name, &options);
        common::send(sfcapd.port, [&datagram]);
        let done = sfcapd.stop([127, 0, 0, 1]);
        assert!(done.log.ends_with("Terminating sfcapd.\n"), "{}", done.log);
        assert!(done.names()[0].starts_with("nfcapd.2"), "{:?}", done.names());
        let file = &flow_files(&done.dir)[0];
        // nfdump 1.7.1 lists the ends of a tunnel in a line of their own.
        let readers = [common::FLOWDUMP, "nfdump"];
        let count = if name == "plain" { 2 } else { 1 };
        for program in readers.into_iter().take(count).filter(|p| has(p)) {
            let columns = "fmt:%pr %sap %dap %pkt %byt";
            let args = ["-q", "-N", "-6", "-r", text(file), "-o", columns];
            let list = stdout_of(program, args);
            let lines: Vec<_> =
                list.lines().map(|l| l.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
            assert_eq!(lines, [plain, second], "{program} {options:?}");
            let raw = stdout_of(program, ["-q", "-r", text(file), "-o", "raw"]);
            assert_eq!(raw.matches(", Sampled").count(), 2, "{program}: {raw}");
        }
    }
}

#[test]
fn extensions_that_are_not_listed_are_left_out() {
    let scene = Scene::new();
    let mut datagram = v5(0, 0..1);
    datagram[24 + 40..24 + 44].copy_from_slice(&[0xfd, 0xe9, 0xfd, 0xea]);
    for (name, options, want) in [("all", &[][..], "65001 65002"), ("some", &["-X", "4,12"], "0 0")]
    {
        let options = [&["-w", "D", DAY], options].concat();
        let collector = Running::ours(&scene, "nfcapd", name, &options);
        common::send(collector.port, [&datagram]);
        let done = collector.stop([127, 0, 0, 1]);
        for program in ["nfdump", common::FLOWDUMP].into_iter().filter(|p| has(p)) {
            let file = text(&flow_files(&done.dir)[0]).to_owned();
            let list = stdout_of(program, ["-q", "-r", &file, "-o", "fmt:%sas %das"]);
            let list = list.split_whitespace().collect::<Vec<_>>().join(" ");
            assert_eq!(list, want, "{program} {options:?}");
        }
    }
}

/// A message of nfcapd's metrics, as nfinflux and nfexporter read it.
#[test]
fn metrics_go_to_the_socket() {
    let scene = Scene::new();
    let socket = scene.path("metrics");
    let listener = UnixListener::bind(&socket).expect("listen");
    let options = ["-w", "D", "-I", "lab", DAY, "-m", text(&socket), "-i", "10"];
    let collector = Running::ours(&scene, "nfcapd", "m", &options);
    common::send(collector.port, [v5(0, 0..10)]);
    listener.set_nonblocking(true).expect("no blocking");
    let mut stream = None;
    let is_there = || {
        stream = listener.accept().ok();
        stream.is_some()
    };
    wait_until(is_there, || collector.daemon.log());
    let (mut stream, _) = stream.expect("a connection");
    stream.set_nonblocking(false).expect("blocking");
    let mut message = Vec::new();
    stream.read_to_end(&mut message).expect("a message");
    let word = |at: usize| u64::from_ne_bytes(message[at..at + 8].try_into().expect("8 octets"));
    let half = |at: usize| u16::from_ne_bytes([message[at], message[at + 1]]);
    assert_eq!(&message[..2], b"@\x01");
    assert_eq!([half(2), half(4), half(6)], [232, 1, 10], "size, records, interval");
    assert_eq!(message.len(), 24 + 232);
    assert!(message[24..].starts_with(b"lab\0"));
    // Even flows are TCP, odd ones UDP: flows, octets, packets.
    let groups: Vec<u64> = (0..12).map(|n| word(24 + 136 + 8 * n)).collect();
    assert_eq!(groups, [5, 5, 0, 0, 5000, 5000, 0, 0, 50, 50, 0, 0]);
    collector.stop([127, 0, 0, 1]);
}
