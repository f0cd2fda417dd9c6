//! `flowprofile` on files of slots: beside `flowdump` and the real nfdump, killed, damaged, and run by
//! a collector.

mod common;

use common::capd::Capd;
use common::exports::v5;
use common::flows::{FlowFile, START_MS};
use common::{FLOWDUMP, Scene, copy_program, flow_files, has, run, stdout_of, wait_until};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::AtomicBool;

const FLOWPROFILE: &str = env!("CARGO_BIN_EXE_flowprofile");
const FLOWEXPIRE: &str = env!("CARGO_BIN_EXE_flowexpire");

/// Names of slots of five minutes from 2026-11-20 10:00 UTC on.
fn slot(n: u64) -> String {
    let time =
        chrono::DateTime::from_timestamp((START_MS / 1000 + 300 * n).cast_signed(), 0).unwrap();
    time.format("nfcapd.%Y%m%d%H%M").to_string()
}

/// Channels of the profile `all`, and the filter that each has without its sources.
const CHANNELS: [(&str, &str); 4] = [
    ("tcp", "proto tcp"),
    ("web", "dst port 443 or dst port 80"),
    ("v6", "ipv6 and bytes > 1000"),
    ("none", "proto 200"),
];

/// Two sources with slots, and two profiles of them.
struct Lab {
    scene: Scene,
    config: PathBuf,
}

impl Lab {
    fn new(slots: u64, flows: u64) -> Self {
        let scene = Scene::new();
        for (seed, source, packing) in [(1, "core", "lz4"), (100, "edge", "none")] {
            let dir = scene.dir(&format!("flows/{source}"));
            for n in 0..slots {
                let file = FlowFile {
                    flows,
                    seed: seed + n,
                    ident: source,
                    packing,
                    ..FlowFile::default()
                };
                file.write(&dir.join(slot(n)));
            }
        }
        let mut text = "data = 'profiles'\nstats = 'stats'\n[sources]\ncore = 'flows/core'\n\
                        edge = 'flows/edge'\n[[profile]]\nname = 'all'\nports = 1\n"
            .to_owned();
        for (name, filter) in CHANNELS {
            text.push_str(&format!("[[profile.channel]]\nname = '{name}'\nfilter = '{filter}'\n"));
        }
        text.push_str(
            "[[profile]]\nname = 'shadow'\ngroup = 'g'\narchive = false\n\
             [[profile.channel]]\nname = 'core'\nsources = ['core']\n\
             [[profile.channel]]\nname = 'ident'\nidents = ['edge']\nfilter = 'proto udp'\n",
        );
        let config = scene.path("profiles.toml");
        fs::write(&config, text).unwrap();
        Self { scene, config }
    }

    fn sources(&self, slot: &str) -> Vec<PathBuf> {
        ["core", "edge"].map(|s| self.scene.path(format!("flows/{s}/{slot}"))).to_vec()
    }

    fn archive(&self, channel: &str, slot: &str) -> PathBuf {
        self.scene.path(format!("profiles/all/{channel}/{slot}"))
    }

    fn run(&self, args: &[&str]) -> Output {
        run(FLOWPROFILE, [args, &["-C", text(&self.config)]].concat())
    }

    fn said(&self, args: &[&str]) -> String {
        stdout_of(FLOWPROFILE, [args, &["-C", text(&self.config)]].concat())
    }

    /// What `graph` says of a channel's slots: flows, packets, octets of each protocol.
    fn counted(&self, profile: &str, channel: &str) -> BTreeMap<String, Vec<u64>> {
        let json = self.said(&["graph", profile, channel, "-o", "ndjson", "--bin", "5m"]);
        let line = |line: &str| {
            let v: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!((&v["channel"], &v["slots"]), (&channel.into(), &1.into()));
            let start = v["start"].as_str().unwrap()[..16].to_owned();
            let mut numbers = Vec::new();
            for proto in ["tcp", "udp", "icmp", "other"] {
                for what in ["flows", "packets", "bytes"] {
                    numbers.push(v[&format!("{what}_{proto}")].as_u64().unwrap());
                }
            }
            let sum = numbers.iter().step_by(3).sum::<u64>();
            assert_eq!(v["flows"].as_u64(), Some(sum));
            (start, numbers)
        };
        json.lines().map(line).collect()
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The twin: what flowdump sums up, asked for one protocol after the other.
fn summed(files: &[PathBuf], filter: &str) -> Vec<u64> {
    const PROTOCOLS: [&str; 4] = [
        "proto 6",
        "proto 17",
        "(proto 1 or proto 58)",
        "not (proto 1 or proto 6 or proto 17 or proto 58)",
    ];
    let mut sums = vec![0; 12];
    for file in files {
        for (protocol, sums) in PROTOCOLS.iter().zip(sums.chunks_mut(3)) {
            let filter = format!("{protocol} and ({filter})");
            let said = stdout_of(FLOWDUMP, ["-N", "-r", text(file), "-o", "null", &filter]);
            for (what, sum) in ["flows", "packets", "bytes"].iter().zip(sums) {
                let name = format!("total {what}: ");
                let number = said.split_once(&name).map(|(_, n)| n.split([',', '\n']).next());
                let number = number.flatten().unwrap_or_else(|| panic!("no {what} in {said}"));
                *sum += number.trim().parse::<u64>().unwrap();
            }
        }
    }
    sums
}

/// The flows of files, as they are listed.
fn listed(files: &[PathBuf], filter: &str) -> String {
    let list = |file: &PathBuf| {
        let args = ["-q", "-N", "-6", "-r", text(file), "-o", "ndjson", filter];
        let lines = stdout_of(FLOWDUMP, args);
        // Numbers and idents of files are not those of the new one.
        lines
            .lines()
            .filter(|l| l.starts_with('{'))
            .map(|l| {
                let mut v: serde_json::Value = serde_json::from_str(l).unwrap();
                let all = v.as_object_mut().unwrap();
                all.retain(|k, _| {
                    !["ident", "cnt", "export_sysid", "exporter_sysid"].contains(&k.as_str())
                });
                format!("{v}\n")
            })
            .collect::<String>()
    };
    files.iter().map(list).collect()
}

#[test]
fn counters_and_archives_are_what_flowdump_says() {
    let lab = Lab::new(3, 2000);
    for n in 0..3 {
        let file = lab.sources(&slot(n))[(n % 2) as usize].clone();
        let output = lab.run(&["run", text(&file), "-v"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let at = |n: u64| format!("2026-11-20T10:{:02}", 5 * n);
    for (channel, filter) in CHANNELS {
        let counted = lab.counted("all", channel);
        assert_eq!(counted.len(), 3);
        for n in 0..3 {
            let files = lab.sources(&slot(n));
            let want = summed(&files, filter);
            assert_eq!(counted[&at(n)], want, "{channel}, slot {n}");
            let archive = lab.archive(channel, &slot(n));
            assert!(
                listed(std::slice::from_ref(&archive), "any") == listed(&files, filter),
                "{channel} {n}"
            );
            assert_eq!(summed(std::slice::from_ref(&archive), "any"), want);
            let about = stdout_of(FLOWDUMP, ["-r", text(&archive), "-I"]);
            assert!(about.contains(&format!("Ident: {channel}")), "{about}");
        }
    }
    assert!(summed(&lab.sources(&slot(0)), "proto tcp")[0] > 100);
    let shadow = lab.counted("g/shadow", "core");
    assert_eq!(shadow[&at(1)], summed(&lab.sources(&slot(1))[..1], "any"));
    let ident = lab.counted("shadow", "ident");
    assert_eq!(ident[&at(2)], summed(&lab.sources(&slot(2))[1..], "proto udp"));
    assert!(!lab.scene.path("profiles/g").exists(), "a shadow profile keeps no flows");
    // Hours are the sum of their slots.
    let hour = lab.said(&["graph", "all", "tcp", "-o", "csv", "--bin", "1h"]);
    let sums: u64 = lab.counted("all", "tcp").values().map(|v| v[0]).sum();
    let row: Vec<&str> = hour.lines().nth(1).unwrap().split(',').collect();
    let head: Vec<&str> = hour.lines().next().unwrap().split(',').collect();
    let value = |name: &str| row[head.iter().position(|h| *h == name).unwrap()];
    assert_eq!((value("slots"), value("flows")), ("3", sums.to_string().as_str()));
    assert_eq!((value("start"), hour.lines().count()), ("2026-11-20 10:00:00", 2));
}

#[test]
fn nfdump_reads_sub_archives() {
    if !has("nfdump") {
        return;
    }
    let lab = Lab::new(1, 3000);
    assert!(lab.run(&["run", text(&lab.sources(&slot(0))[0])]).status.success());
    for (channel, _) in CHANNELS {
        let archive = lab.archive(channel, &slot(0));
        let ours = lab.counted("all", channel).into_values().next().unwrap();
        let info = stdout_of("nfdump", ["-I", "-r", text(&archive)]);
        let number = |name: &str| -> u64 {
            let line = info.lines().find_map(|l| l.strip_prefix(&format!("{name}: ")));
            line.unwrap_or_else(|| panic!("no {name} in\n{info}")).trim().parse().unwrap()
        };
        for (at, proto) in ["tcp", "udp", "icmp", "other"].iter().enumerate() {
            for (n, what) in ["Flows", "Packets", "Bytes"].iter().enumerate() {
                assert_eq!(number(&format!("{what}_{proto}")), ours[3 * at + n], "{channel}");
            }
        }
        let list = stdout_of("nfdump", ["-q", "-r", text(&archive), "-o", "fmt:%sap %dap"]);
        let flows = list.lines().filter(|l| !l.is_empty() && !l.contains("No matching")).count();
        assert_eq!(flows as u64, number("Flows"));
    }
    // Side by side with counters, where both are in one directory.
    let config = fs::read_to_string(&lab.config).unwrap().replace("stats = 'stats'", "");
    fs::write(&lab.config, config).unwrap();
    assert!(lab.run(&["run", text(&lab.sources(&slot(0))[0])]).status.success());
    let all = stdout_of("nfdump", ["-I", "-R", text(&lab.scene.path("profiles/all"))]);
    assert!(all.contains("Flows: "), "{all}");
}

#[test]
fn a_slot_is_counted_once_whoever_is_killed() {
    let lab = Lab::new(4, 8000);
    let first = lab.sources(&slot(0))[0].clone();
    // Killed after more and more work, until it gets to its end.
    let (mut kills, mut looks) = (0, 1);
    let profiles = lab.scene.dir("profiles");
    loop {
        let mut child = Command::new(FLOWPROFILE)
            .args(["build", "all", "--again", "-C", text(&lab.config)])
            .env("TZ", "UTC")
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // What is awaited is work, not time: so many looks at what there is.
        for _ in 0..looks {
            let _ = fs::read_dir(&profiles).map(Iterator::count);
        }
        looks *= 2;
        if child.try_wait().unwrap().is_none() {
            child.kill().unwrap();
            kills += 1;
        }
        let is_done = child.wait().unwrap().success();
        for file in flow_files(&profiles) {
            let name = file.file_name().unwrap().to_str().unwrap();
            let channel = file.parent().unwrap().file_name().unwrap().to_str().unwrap();
            let filter = CHANNELS.iter().find(|c| c.0 == channel).unwrap().1;
            assert_eq!(
                summed(std::slice::from_ref(&file), "any"),
                summed(&lab.sources(name), filter)
            );
        }
        if is_done {
            break;
        }
    }
    assert!(kills > 1, "killed {kills} times");
    assert!(lab.run(&["build", "all"]).status.success());
    for (channel, filter) in CHANNELS {
        let counted: Vec<_> = lab.counted("all", channel).into_values().collect();
        let want: Vec<_> = (0..4).map(|n| summed(&lab.sources(&slot(n)), filter)).collect();
        assert_eq!(counted, want, "{channel}");
        let dir = lab.scene.path(format!("profiles/all/{channel}"));
        assert_eq!(fs::read_dir(dir).unwrap().count(), 4, "nothing is left behind");
    }
    // Done is done, and a file that has changed is not.
    let again = |args: &[&str]| String::from_utf8(lab.run(args).stderr).unwrap();
    assert!(again(&["build", "all"]).contains("0 slots done, 4 were"));
    FlowFile { flows: 10, ..FlowFile::default() }.write(&first);
    assert!(again(&["build", "all"]).contains("1 slots done, 3 were"));
    assert_eq!(
        lab.counted("all", "tcp")["2026-11-20T10:00"],
        summed(&lab.sources(&slot(0)), "proto tcp")
    );
    let window = again(&["build", "all", "--again", "-t", "2026/11/20.10:05-2026/11/20.10:15"]);
    assert!(window.contains("2 slots done, 0 were"), "{window}");
}

#[test]
fn ports_are_ranked_as_flowdump_ranks_them() {
    let lab = Lab::new(3, 2000);
    assert!(lab.run(&["build", "all"]).status.success());
    let union = CHANNELS.map(|(_, f)| format!("({f})")).join(" or ");
    let json = lab.said(&["ports", "all", "-n", "5", "-o", "ndjson"]);
    let rows: Vec<serde_json::Value> =
        json.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    for (window, slots) in [("slot", 2..3), ("24h", 0..3)] {
        let files: Vec<PathBuf> = slots.flat_map(|n| lab.sources(&slot(n))).collect();
        for (proto, number) in [("tcp", 6), ("udp", 17)] {
            let mut want: BTreeMap<String, [u64; 3]> = BTreeMap::new();
            for file in &files {
                let filter = format!("({union}) and proto {number}");
                let args =
                    ["-q", "-r", text(file), "-s", "dstport", "-n", "0", "-o", "ndjson", &filter];
                for line in stdout_of(FLOWDUMP, args).lines().filter(|l| l.starts_with('{')) {
                    let v: serde_json::Value = serde_json::from_str(line).unwrap();
                    let port = v["dstport"].as_str().unwrap().to_owned();
                    let sums = want.entry(port).or_default();
                    for (sum, what) in sums.iter_mut().zip(["flows", "packets", "bytes"]) {
                        *sum += v[what].as_u64().unwrap();
                    }
                }
            }
            for (by, order) in ["flows", "packets", "bytes"].iter().enumerate() {
                let is_it = |v: &&serde_json::Value| {
                    v["window"] == window && v["proto"] == proto && v["order"] == *order
                };
                let got: Vec<_> = rows.iter().filter(is_it).collect();
                assert!(!got.is_empty());
                let mut best: Vec<u64> = want.values().map(|n| n[by]).collect();
                best.sort_unstable_by(|a, b| b.cmp(a));
                for (row, best) in got.iter().zip(best) {
                    let sums = want[row["port"].as_str().unwrap()];
                    let three = ["flows", "packets", "bytes"].map(|w| row[w].as_u64().unwrap());
                    assert_eq!((three, three[by]), (sums, best), "{window} {proto} {order}");
                }
            }
        }
    }
    let all = lab.said(&["ports", "all", "-n", "0", "--by", "flows", "-o", "csv"]);
    assert!(all.lines().count() > 100, "0 are all: {}", all.lines().count());
    let text = lab.said(&["ports", "all", "-n", "3", "--by", "bytes", "-t", "2026-11-20T10:07"]);
    assert!(
        text.contains("Top 3 tcp ports by bytes, 2026-11-20 10:05 to 2026-11-20 10:10, 1 slots:")
    );
    let told = String::from_utf8(lab.run(&["ports", "shadow"]).stderr).unwrap();
    assert!(told.contains("keeps no ports: define `ports = DAYS`"), "{told}");
}

#[test]
fn damage_is_told_and_the_rest_is_there() {
    let lab = Lab::new(3, 500);
    assert!(lab.run(&["build", "all"]).status.success());
    let counters = lab.scene.path("stats/all/tcp-202611-300.counters.no-pcap");
    let mut octets = fs::read(&counters).unwrap();
    let len = octets.len();
    octets[len - 200] ^= 1;
    fs::write(&counters, octets).unwrap();
    let graph = lab.run(&["graph", "all", "tcp", "-o", "csv"]);
    let told = String::from_utf8(graph.stderr).unwrap();
    assert_eq!(graph.status.code(), Some(1));
    assert!(told.contains("the counters of 2026-11-20 10:05 are damaged"), "{told}");
    assert_eq!(graph.stdout.iter().filter(|b| **b == b'\n').count(), 3);
    assert!(lab.run(&["build", "all"]).status.success());
    assert_eq!(lab.counted("all", "tcp").len(), 3, "counted anew");
    // A source that cannot be read: the other one is there, and the status says that it is not all.
    let broken = &lab.sources(&slot(1))[0];
    fs::write(broken, b"no flows at all").unwrap();
    let output = lab.run(&["run", text(broken)]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains(text(broken)));
    let want = summed(&lab.sources(&slot(1))[1..], "proto tcp");
    assert_eq!(lab.counted("all", "tcp")["2026-11-20T10:05"], want);
}

const ENCRYPTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/layout3/encrypted");

#[test]
fn encrypted_flows_are_kept_plain_only_if_asked_for() {
    let lab = Lab::new(1, 0);
    let file = lab.sources(&slot(0))[0].clone();
    fs::copy(ENCRYPTED, &file).unwrap();
    let run = |options: &[&str]| {
        let output = lab.run(&[&["run", text(&file)], options].concat());
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let counted = || -> u64 {
        let slots = lab.counted("shadow", "core").into_values();
        slots.flat_map(|n| n.into_iter().step_by(3)).sum()
    };
    // Without the passphrase the other source is done, and the slot is not done with.
    for _ in 0..2 {
        let (code, said) = run(&[]);
        assert!(code == Some(1) && said.contains("give its passphrase with -K"), "{said}");
        assert_eq!(counted(), 0);
    }
    let before = flow_files(&lab.scene.path("profiles")).len();
    let (code, said) = run(&["-K=secret"]);
    assert!(code == Some(1) && said.contains("the sub-archives of profile all"), "{said}");
    assert_eq!((flow_files(&lab.scene.path("profiles")).len(), counted()), (before, 0));
    // The fixture has no seal, which is told, so the status is 1.
    let (code, said) = run(&["-K=secret", "--plain"]);
    assert!(code == Some(1) && said.contains("sealed"), "{said}");
    assert_eq!(counted(), 2);
    // Sums alone need no leave.
    let config = fs::read_to_string(&lab.config).unwrap();
    fs::write(&lab.config, config.replace("ports = 1", "ports = 1\narchive = false")).unwrap();
    let (_, said) = run(&["-K=secret", "--again"]);
    assert!(!said.contains("--plain") && said.contains("sealed"), "{said}");
}

#[test]
fn who_is_interrupted_leaves_the_slot_as_it_was() {
    let lab = Lab::new(1, 500);
    let definitions = fs::read_to_string(&lab.config).unwrap();
    let reading = profile::Reading {
        filters: &filter::ParseOptions::default(),
        read: &|path| fs::read_to_string(path),
    };
    let profiles = profile::Profiles::parse(&definitions, &lab.config, &reading).unwrap();
    static STOP: AtomicBool = AtomicBool::new(true);
    let options = profile::RunOptions { stop: Some(&STOP), ..Default::default() };
    let inputs = profile::Inputs::of(&lab.sources(&slot(0))[0], &profiles).unwrap();
    let outcome = profile::Runner::new(&profiles, vec![0, 1], options).unwrap().slot(&inputs);
    let outcome = outcome.unwrap();
    assert!(outcome.interrupted && outcome.done.is_empty());
    let mut find = Command::new("find");
    find.args([&profiles.data, &lab.scene.dir("stats")]).args(["-type", "f"]);
    let left = find.output().unwrap().stdout;
    assert_eq!(String::from_utf8(left).unwrap(), "", "temporary files are gone");
}

#[test]
fn one_run_at_a_time_and_who_waits_may_be_interrupted() {
    let lab = Lab::new(1, 500);
    let data = lab.scene.dir("profiles");
    let held = fs::File::open(&data).unwrap();
    held.lock().unwrap();
    let file = lab.sources(&slot(0))[0].clone();
    let start = || {
        let child = Command::new(FLOWPROFILE)
            .args(["run", text(&file), "-C", text(&lab.config)])
            .stderr(Stdio::piped())
            .env("TZ", "UTC")
            .spawn()
            .unwrap();
        let waits = || {
            let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
            let pid = child.id().to_string();
            let is_it = |l: &str| l.contains("-> FLOCK") && l.split_whitespace().any(|w| w == pid);
            locks.lines().any(is_it)
        };
        wait_until(waits, || "a run that waits for the lock".to_owned());
        child
    };
    let (first, second) = (start(), start());
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(first.id().cast_signed()),
        nix::sys::signal::Signal::SIGINT,
    )
    .unwrap();
    let first = first.wait_with_output().unwrap();
    assert_eq!(first.status.code(), Some(130), "{first:?}");
    assert!(String::from_utf8_lossy(&first.stderr).contains("interrupted"), "{first:?}");
    assert!(flow_files(&data).is_empty(), "the other one still waits");
    drop(held);
    assert!(second.wait_with_output().unwrap().status.success());
    let want = summed(&lab.sources(&slot(0)), "proto tcp");
    assert_eq!(lab.counted("all", "tcp")["2026-11-20T10:00"], want);
}

#[test]
fn a_full_disk_leaves_nothing_behind() {
    let lab = Lab::new(1, 20_000);
    let disk = lab.scene.dir("disk");
    let mounted = run("mount", ["-t", "tmpfs", "-o", "size=200k", "none", text(&disk)]);
    if !mounted.status.success() {
        return eprintln!("skipped: {}", String::from_utf8_lossy(&mounted.stderr).trim());
    }
    let file = lab.sources(&slot(0))[0].clone();
    let whole = fs::read_to_string(&lab.config).unwrap();
    let steps = [
        ("'profiles'", "'disk/profiles'", "size=200k"),
        // The table of ports finds no room.
        ("'stats'", "'disk/stats'", "size=16k"),
    ];
    let mut seen = Vec::new();
    for (from, to, size) in steps {
        fs::write(&lab.config, whole.replace(from, to)).unwrap();
        run("umount", [&disk]);
        run("mount", ["-t", "tmpfs", "-o", size, "none", text(&disk)]);
        let full = lab.run(&["run", text(&file)]);
        let left = Command::new("find").arg(&disk).args(["-type", "f"]).output().unwrap().stdout;
        run("mount", ["-o", "remount,size=64m", text(&disk)]);
        let again = lab.run(&["run", text(&file)]);
        seen.push((full, String::from_utf8(left).unwrap(), again));
    }
    run("umount", [&disk]);
    for (full, left, again) in seen {
        assert_eq!(full.status.code(), Some(1));
        let told = String::from_utf8(full.stderr).unwrap();
        assert!(told.contains("No space left") && told.lines().count() == 1, "{told}");
        assert_eq!(left, "", "left behind on a full disk");
        assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stderr));
    }
}

#[test]
fn wrong_definitions_and_options_are_told_in_one_line() {
    let lab = Lab::new(1, 10);
    let whole = fs::read_to_string(&lab.config).unwrap();
    let file = lab.sources(&slot(0))[0].clone();
    let stranger = lab.scene.path(slot(0));
    fs::copy(&file, &stranger).unwrap();
    let odd = lab.scene.path("flows/core/nfcapd.202611201001");
    fs::copy(&file, &odd).unwrap();
    let f = text(&file);
    let cases: [(&str, &str, &[&str], i32, &str); 11] = [
        ("", "", &["check", "-C", "/no/such/file"], 1, "/no/such/file"),
        ("proto tcp", "porto tcp", &["check"], 254, "filter of profile 'all', channel 'tcp'"),
        ("name = 'all'", "nam = 'all'", &["check"], 1, "profiles.toml: line 7: "),
        ("['core']", "['cor']", &["run", f], 1, "source 'cor' is none of core, edge"),
        ("core = 'flows/core'", "core = 'x'", &["check"], 1, "profiles.toml: profile"),
        ("", "", &["graph", "web"], 1, "there is no profile 'web'; there are: all, g/shadow"),
        ("", "", &["graph", "all", "x"], 1, "profile all has no channel 'x'"),
        ("", "", &["graph", "all", "--bin", "7m"], 1, "a slot has 300 seconds"),
        ("", "", &["run", text(&stranger)], 1, "it is in none of the directories of [sources]"),
        ("", "", &["run", text(&odd)], 1, "no slot of 300 seconds begins then"),
        ("", "", &["run", "nfcapd.x"], 1, "it is not called nfcapd.YYYYMMDDhhmm"),
    ];
    assert!(lab.run(&["run", f]).status.success());
    for (from, to, args, code, want) in cases {
        let changed = if from.is_empty() { whole.clone() } else { whole.replacen(from, to, 1) };
        assert!(from.is_empty() || changed != whole, "{from}");
        fs::write(&lab.config, changed).unwrap();
        let output = match args.contains(&"-C") {
            true => run(FLOWPROFILE, args),
            false => lab.run(args),
        };
        let told = String::from_utf8(output.stderr).unwrap();
        let is_source = want.ends_with(": profile");
        let want = if is_source { "source 'core': " } else { want };
        assert!(told.contains(want), "{args:?}: {told}");
        assert_eq!(output.status.code(), Some(code), "{told}");
        // A wrong filter is shown with its place.
        assert!(code == 254 || told.lines().count() == 1, "{told}");
    }
}

#[test]
fn a_collector_runs_it_for_each_file() {
    let lab = Lab::new(0, 0);
    let dir = lab.scene.path("flows/core");
    let command = format!("{FLOWPROFILE} run -C {} %f", text(&lab.config));
    let args = ["-w", text(&dir), "-t", "300", "-I", "core", "-x", &command];
    let capd = Capd::start_with(&lab.scene, "capd", dir.clone(), &args);
    capd.send([v5(0, 0..30)]);
    capd.stop();
    // A slot may have ended meanwhile: then there are two.
    let files = flow_files(&dir);
    let archives: Vec<PathBuf> = files
        .iter()
        .map(|file| lab.archive("tcp", file.file_name().unwrap().to_str().unwrap()))
        .collect();
    wait_until(|| archives.iter().all(|a| a.exists()), || "sub-archives".to_owned());
    let counted = || -> u64 {
        let slots = lab.counted("shadow", "core").into_values();
        slots.flat_map(|n| n.into_iter().step_by(3)).sum()
    };
    wait_until(|| counted() == 30, || "the flows of the collector".to_owned());
    assert_eq!(summed(&archives, "any"), summed(&files, "proto tcp"));
}

#[test]
fn archives_expire_and_are_not_made_again() {
    let lab = Lab::new(3, 100);
    let web = lab.scene.path("profiles/all/web");
    assert!(lab.run(&["run", text(&lab.sources(&slot(0))[0])]).status.success());
    stdout_of(FLOWEXPIRE, ["-r", text(&web)]);
    assert!(lab.run(&["build", "all"]).status.success());
    let books = fs::read_to_string(web.join(".nfstat")).unwrap();
    assert!(books.contains("numfiles=3\n"), "{books}");
    let counted = lab.counted("all", "web");
    stdout_of(FLOWEXPIRE, ["-p", "-e", text(&lab.scene.path("profiles/all")), "--max-files", "4"]);
    let left = flow_files(&lab.scene.path("profiles/all")).len();
    assert_eq!(left, 4, "of 12");
    assert!(lab.run(&["build", "all"]).status.success());
    assert_eq!(flow_files(&lab.scene.path("profiles/all")).len(), left);
    assert_eq!(lab.counted("all", "web"), counted, "what was counted stays");
}

#[test]
fn what_there_is_is_shown() {
    let lab = Lab::new(3, 500);
    assert!(lab.run(&["build", "all"]).status.success());
    let list = lab.said(&["list"]);
    assert!(list.contains("flows+sums+ports") && list.contains("g/shadow"), "{list}");
    let csv = lab.said(&["list", "-o", "csv"]);
    assert!(csv.contains("all,tcp,continuous,flows+sums+ports,2026-11-20 10:00:00"), "{csv}");
    let check = lab.said(&["check"]);
    assert!(check.contains("g/shadow ident: (ident edge) and (proto udp)\n"), "{check}");
    let plot = lab.said(&["graph", "all", "tcp", "web", "--protocols"]);
    assert!(plot.contains("all tcp: peak") && plot.contains("all web udp: peak"), "{plot}");
    let metrics = lab.said(&["metrics"]);
    let last = &lab.counted("all", "web")["2026-11-20T10:10"];
    let want =
        format!("flowprofile_bytes{{profile=\"all\",channel=\"web\",proto=\"tcp\"}} {}\n", last[2]);
    assert!(metrics.contains(&want), "{metrics}");
    let rrd = lab.said(&["graph", "all", "web", "-o", "rrd"]);
    let line = rrd.lines().last().unwrap();
    let all = last[0] + last[3] + last[6] + last[9];
    let start = format!(" {}:{all}:{}:{}:", START_MS / 1000 + 600, last[0], last[3]);
    assert!(line.starts_with("update web.rrd -t flows:flows_tcp:") && line.contains(&start));
}

#[test]
fn history_and_slots_without_sources() {
    let lab = Lab::new(3, 200);
    let config = lab.scene.path("history.toml");
    fs::write(
        &config,
        "data = 'h'\n[[profile]]\nname = 'past'\nstart = 2026-11-20T10:05:00Z\n\
         end = 2026-11-20T10:10:00Z\n[[profile.channel]]\nname = 'tcp'\nfilter = 'proto tcp'\n",
    )
    .unwrap();
    let range = lab.scene.path("flows/core");
    let args = ["build", "past", "-C", text(&config), "-R", text(&range)];
    let output = run(FLOWPROFILE, args);
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("past: 1 slots done, 0 were, 2 lie outside of its time"), "{told}");
    assert_eq!(flow_files(&lab.scene.path("h")).len(), 1);
    assert!(stdout_of(FLOWPROFILE, ["list", "-C", text(&config)]).contains("history"));
}

/// A copy under the old name, directories as NfSen has them, and its lines.
fn nfsen(lab: &Lab, program: &str, base: &Path, options: &[&str], lines: &str) -> Output {
    for channel in ["web", "udp"] {
        fs::create_dir_all(base.join(format!("data/g/p/{channel}"))).unwrap();
    }
    fs::create_dir_all(base.join("stat/g/p")).unwrap();
    fs::write(base.join("stat/g/p/web-filter.txt"), "dst port 443\nor dst port 80\n").unwrap();
    fs::write(base.join("stat/g/p/udp-filter.txt"), "proto udp\n").unwrap();
    let (data, stat) = (base.join("data"), base.join("stat"));
    let sources = format!("{}:edge", text(&lab.scene.path("flows/core")));
    let slot = slot(1);
    let args = ["-I", "-p", text(&data), "-P", text(&stat), "-M", &sources, "-r", &slot];
    let path = format!("{}:{}", text(&base.join("bin")), std::env::var("PATH").unwrap());
    let mut child = Command::new(program)
        .args(args)
        .args(options)
        .env("TZ", "UTC")
        .env("PATH", path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn nfsen_may_call_it_nfprofile() {
    let lab = Lab::new(2, 1000);
    let program = lab.scene.path("nfprofile");
    copy_program(FLOWPROFILE, &program);
    let ours = lab.scene.dir("ours");
    fs::create_dir_all(ours.join("stat/g/p")).unwrap();
    fs::write(ours.join("stat/g/p/web.rrd"), "").unwrap();
    let rrdtool = lab.scene.dir("ours/bin").join("rrdtool");
    fs::write(&rrdtool, "#!/bin/sh\ncat > \"$(dirname \"$0\")/commands\"\n").unwrap();
    fs::set_permissions(&rrdtool, fs::Permissions::from_mode(0o755)).unwrap();
    let lines = "g#p#2#web#core|edge\ng#p#2#udp#*\n";
    let time = (START_MS / 1000 + 300).to_string();
    let options = ["-t", &time, "-S", "1", "-z=lz4"];
    let output = nfsen(&lab, text(&program), &ours, &options, lines);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let archive = |base: &Path, c: &str| base.join(format!("data/g/p/{c}/2026/11/20/{}", slot(1)));
    let sources = lab.sources(&slot(1));
    for (channel, filter) in [("web", "dst port 443 or dst port 80"), ("udp", "proto udp")] {
        assert_eq!(summed(&[archive(&ours, channel)], "any"), summed(&sources, filter));
        assert!(ours.join(format!("stat/g/p/{channel}-202611-300.counters.no-pcap")).exists());
    }
    let commands = fs::read_to_string(ours.join("bin/commands")).unwrap();
    let sums = summed(&sources, "dst port 443 or dst port 80");
    let flows = sums[0] + sums[3] + sums[6] + sums[9];
    assert!(commands.contains("/g/p/web.rrd -t flows:flows_tcp:"), "{commands}");
    assert!(commands.contains(&format!(" {time}:{flows}:{}:", sums[0])), "{commands}");
    let checked = nfsen(&lab, text(&program), &ours, &["-Z"], lines);
    let said = String::from_utf8(checked.stdout).unwrap();
    assert!(
        said.contains("Check filter for channel web in profile 'p' in group 'g': ok."),
        "{said}"
    );
    // A shadow profile has no files, a line that is wrong costs its channel only.
    fs::remove_dir_all(ours.join("data")).unwrap();
    let lines = "g#p#x#web#core\ng#p#6#udp#|edge|\n";
    let output = nfsen(&lab, text(&program), &ours, &options, lines);
    assert!(output.status.success());
    assert!(String::from_utf8(output.stderr).unwrap().contains("'x' is no type"));
    assert!(flow_files(&ours.join("data")).is_empty());
    if !has("nfprofile") {
        return;
    }
    // The real one, which wants libraries and databases that need not be there.
    let theirs = lab.scene.dir("theirs");
    let lines = "g#p#2#web#core|edge\ng#p#2#udp#*\n";
    let output = nfsen(&lab, "nfprofile", &theirs, &["-S", "1"], lines);
    let files = flow_files(&theirs);
    if files.len() != 2 {
        let told = String::from_utf8_lossy(&output.stderr);
        eprintln!("skipped: nfprofile does not work here: {told}");
        return;
    }
    for (channel, filter) in [("web", "dst port 443 or dst port 80"), ("udp", "proto udp")] {
        assert_eq!(summed(&[archive(&theirs, channel)], "any"), summed(&sources, filter));
    }
}
