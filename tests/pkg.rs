//! What packages install: units, options, dashboard and alerts fit the programs.

use collector::metrics::{Format, Host, Limits, render};
use collector::status::Status;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// All words that could be names of metrics.
fn metrics_in(text: &str) -> BTreeSet<&str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| word.starts_with("flowcapd_"))
        .collect()
}

/// Names in the text that Prometheus gets, with a kind each.
fn metrics() -> BTreeSet<String> {
    let limits = Limits::default();
    let text = render(&Status::default(), &Host::default(), limits, Format::Prometheus);
    let names = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    names.filter_map(|rest| Some(rest.split_once(' ')?.0.to_owned())).collect()
}

#[test]
fn dashboard_and_alerts_use_metrics_that_exist() {
    let known = metrics();
    assert!(known.len() > 100, "{known:?}");
    let dashboard = read("pkg/grafana/flowcapd.json");
    let json: serde_json::Value = serde_json::from_str(&dashboard).expect("JSON");
    let panels = json["panels"].as_array().expect("panels");
    let ids: BTreeSet<_> = panels.iter().map(|p| p["id"].as_u64().expect("id")).collect();
    assert_eq!(ids.len(), panels.len());
    for (name, text) in
        [("dashboard", dashboard), ("alerts", read("pkg/prometheus/flowcapd.rules.yml"))]
    {
        let used = metrics_in(&text);
        let missing: Vec<_> = used.iter().filter(|m| !known.contains(**m)).collect();
        assert!(missing.is_empty() && used.len() > 10, "{name}: {missing:?}");
    }
}

#[test]
fn documentation_names_every_metric() {
    let text = read("docs/collector.md");
    let (known, told) = (metrics(), metrics_in(&text));
    let is_made = |m: &str| {
        // Named after the counts they come from, all at once.
        let made = ["flowcapd_decoder_", "flowcapd_exporter_"];
        m.ends_with("_total") && made.iter().any(|p| m.starts_with(p))
    };
    let silent: Vec<_> =
        known.iter().filter(|m| !is_made(m) && !told.contains(m.as_str())).collect();
    assert!(silent.is_empty(), "not in docs/collector.md: {silent:?}");
    let prefixes = ["flowcapd_exporter_", "flowcapd_decoder_"];
    let gone: Vec<_> =
        told.iter().filter(|m| !known.contains(**m) && !prefixes.contains(m)).collect();
    assert!(gone.is_empty(), "in docs/collector.md only: {gone:?}");
}

#[test]
fn keys_of_the_examples_are_options() {
    for (example, program) in [
        ("pkg/flowcapd.toml", env!("CARGO_BIN_EXE_flowcapd")),
        ("pkg/flownatd.toml", env!("CARGO_BIN_EXE_flownatd")),
    ] {
        keys_are_options(&read(example), program);
    }
}

fn keys_are_options(text: &str, program: &str) {
    toml::from_str::<toml::Table>(text).expect("TOML");
    // Also with all that is commented out, less the prose.
    let is_key = |line: &&str| {
        line.strip_prefix('#')
            .is_some_and(|l| l.starts_with("[[") || l.starts_with(char::is_alphabetic))
    };
    let all: String = text.lines().filter(is_key).map(|line| format!("{}\n", &line[1..])).collect();
    let all = toml::from_str::<toml::Table>(&all).expect("TOML");
    let help = Command::new(program).arg("--help").output().expect("help");
    let help = String::from_utf8(help.stdout).expect("text");
    let options: BTreeSet<_> =
        help.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').collect();
    let keys = all
        .keys()
        .chain(toml::from_str::<toml::Table>(text).expect("TOML").keys())
        .cloned()
        .collect::<BTreeSet<_>>();
    assert!(keys.len() > 15, "{keys:?}");
    for key in keys {
        assert!(options.contains(format!("--{key}").as_str()), "no option {key}");
    }
}

/// Units by name, each with its lines.
fn units() -> Vec<(String, String)> {
    let dir = root().join("pkg/systemd");
    let mut units: Vec<_> = std::fs::read_dir(dir)
        .expect("units")
        .map(|entry| {
            let path = entry.expect("entry").path();
            let name = path.file_name().expect("name").to_string_lossy().into_owned();
            (name, std::fs::read_to_string(path).expect("unit"))
        })
        .collect();
    units.sort();
    units
}

fn is_collector(name: &str) -> bool {
    name.starts_with("flowcapd")
}

#[test]
fn units_are_sections_of_keys() {
    let names: Vec<_> = units().into_iter().map(|u| u.0).collect();
    let want = [
        "flowcapd.service",
        "flowcapd.socket",
        "flowcapd@.service",
        "flowcapd@.socket",
        "flownatd.service",
        "flowprobe@.service",
    ];
    assert_eq!(names, want);
    for (name, text) in units() {
        let kind = if name.ends_with(".service") { "[Service]" } else { "[Socket]" };
        let (mut sections, mut keys) = (Vec::new(), BTreeSet::new());
        for line in text.lines().filter(|l| !l.is_empty() && !l.starts_with('#')) {
            if line.starts_with('[') {
                sections.push(line);
                continue;
            }
            let (key, _) = line.split_once('=').unwrap_or_else(|| panic!("{name}: {line}"));
            assert!(key.chars().all(|c| c.is_ascii_alphanumeric()), "{name}: {line}");
            keys.insert(key);
        }
        assert_eq!(sections, ["[Unit]", kind, "[Install]"], "{name}");
        if kind == "[Service]" {
            for key in ["Type", "WatchdogSec", "NoNewPrivileges", "SystemCallFilter"] {
                assert!(keys.contains(key), "{name}: no {key}");
            }
            assert_eq!(keys.contains("FileDescriptorStoreMax"), is_collector(&name), "{name}");
        }
    }
}

#[test]
fn receivers_may_raise_their_priority_as_a_service() {
    let is_ours = |name: &str| is_collector(name) && name.ends_with(".service");
    for (name, text) in units().into_iter().filter(|u| is_ours(&u.0)) {
        assert!(text.lines().any(|l| l == "LimitNICE=-10"), "{name}");
        // Later lines win; what is refused is an error, not the end.
        let filters: Vec<_> = text.lines().filter(|l| l.starts_with("SystemCallFilter=")).collect();
        let refused = filters.iter().position(|l| l.contains("~") && l.contains("@resources"));
        let allowed = filters.iter().position(|l| *l == "SystemCallFilter=setpriority");
        assert!(refused.is_some() && refused < allowed, "{name}: {filters:?}");
        assert!(text.contains("\nSystemCallErrorNumber=EPERM\n"), "{name}");
    }
}

#[test]
fn systemd_takes_the_units() {
    let found = Command::new("systemd-analyze").arg("--version").output();
    if !found.is_ok_and(|o| o.status.success()) {
        println!("skipped: systemd-analyze is not installed");
        return;
    }
    let dir = tempfile::tempdir().expect("directory");
    let mut paths = Vec::new();
    for (name, text) in units() {
        let text = text
            .replace("/usr/bin/flowcapd", env!("CARGO_BIN_EXE_flowcapd"))
            .replace("/usr/bin/flownatd", env!("CARGO_BIN_EXE_flownatd"))
            .replace("/usr/bin/flowprobe", env!("CARGO_BIN_EXE_flowprobe"));
        let path = dir.path().join(name.replace('@', "@2055"));
        // Where the template is, so that units of the instance are found.
        std::fs::write(dir.path().join(&name), &text).expect("unit");
        std::fs::write(&path, text).expect("unit");
        paths.push(path);
    }
    let answer = Command::new("systemd-analyze")
        .args(["verify", "--man=no"])
        .args(&paths)
        .env("SYSTEMD_UNIT_PATH", format!("{}:", dir.path().display()))
        .output()
        .expect("systemd-analyze");
    let told = String::from_utf8_lossy(&answer.stderr);
    // What is wrong with other units of the machine is not ours.
    let is_ours =
        |line: &&str| ["flowcapd", "flownatd", "flowprobe"].iter().any(|n| line.contains(n));
    let ours: Vec<_> = told.lines().filter(is_ours).collect();
    assert!(ours.is_empty() && answer.status.success(), "{told}");
}

#[test]
fn units_may_do_little() {
    for (name, text) in units().into_iter().filter(|u| u.0.ends_with(".service")) {
        let dir = tempfile::tempdir().expect("directory");
        let path = dir.path().join(&name);
        std::fs::write(&path, text).expect("unit");
        let rated = Command::new("systemd-analyze")
            .args(["security", "--no-pager", "--offline=true", "--threshold=25"])
            .arg(&path)
            .output();
        let Ok(rated) = rated else {
            println!("skipped: systemd-analyze is not installed");
            return;
        };
        let told = String::from_utf8_lossy(&rated.stdout);
        let what = String::from_utf8_lossy(&rated.stderr);
        assert!(rated.status.success(), "{name}: {what}{told}");
        // 0 is nothing, 10 everything.
        let verdict = told.lines().find(|line| line.contains("Overall exposure level"));
        let level = verdict.and_then(|v| v.split_whitespace().find_map(|w| w.parse::<f64>().ok()));
        assert!(level.is_some_and(|level| level <= 2.5), "{name}: {verdict:?}");
    }
}

#[test]
fn units_name_pages_that_exist() {
    use flowsuite::args::programs::PROGRAMS;
    let programs = PROGRAMS.iter().map(|p| format!("man:{}({})", p.name, p.section as u8));
    let formats = manual::formats();
    let formats = formats.iter().map(|(name, _)| format!("man:{name}(5)"));
    let known: BTreeSet<_> = programs.chain(formats).collect();
    for (name, text) in units() {
        let line = text.lines().find_map(|l| l.strip_prefix("Documentation="));
        let pages: Vec<_> = line.expect("documentation").split(' ').collect();
        assert!(pages.iter().all(|page| known.contains(*page)), "{name}: {pages:?}");
    }
}

#[test]
fn one_list_says_what_is_installed() {
    let list = read("pkg/files");
    let lines = list.lines().filter(|l| !l.is_empty() && !l.starts_with('#'));
    let sources: BTreeSet<_> = lines.filter_map(|l| l.split_whitespace().next()).collect();
    // What packages are made with lies there, too.
    let tools = ["deb", "debian", "files", "flowsuite.spec", "install", "manual", "rpm", "static"];
    for entry in std::fs::read_dir(root().join("pkg")).expect("pkg") {
        let name = entry.expect("entry").file_name().to_string_lossy().into_owned();
        let is_listed = sources.iter().any(|s| {
            s.strip_prefix("pkg/").is_some_and(|s| s == name || s.starts_with(&format!("{name}/")))
        });
        assert!(is_listed || tools.contains(&name.as_str()), "pkg/{name} is not in pkg/files");
    }
    for source in sources {
        assert!(source.contains('*') || root().join(source).is_file(), "{source}");
    }
}

/// The words that systemd makes of a command line with these variables: `${x}` is one word, `$x` as
/// many as it has.
fn command_line(line: &str, variables: &[(&str, &str)]) -> Vec<String> {
    let of = |name: &str| variables.iter().find(|v| v.0 == name).map_or("", |v| v.1);
    line.split_whitespace()
        .flat_map(|word| match word.strip_prefix('$') {
            Some(rest) => match rest.strip_prefix('{').and_then(|r| r.strip_suffix('}')) {
                Some(name) => vec![of(name).to_owned()],
                None => of(rest).split_whitespace().map(str::to_owned).collect(),
            },
            None => vec![word.replace("%i", "eth0")],
        })
        .collect()
}

#[test]
fn a_probe_takes_the_options_of_its_files() {
    use clap::Parser as _;
    use flowsuite::args::flowprobe::{Args, settings::Settings};
    let unit = read("pkg/systemd/flowprobe@.service");
    let value = |key: &str| unit.lines().find_map(|l| l.strip_prefix(key)).expect("a line");
    assert_eq!(value("CapabilityBoundingSet="), "CAP_NET_RAW");
    assert_eq!(value("AmbientCapabilities="), "CAP_NET_RAW");
    let start = value("ExecStart=");
    let environment = read("pkg/flowprobe.env");
    let lines = environment.lines().map(|line| line.trim_start_matches('#'));
    let mut examples: Vec<_> = lines
        .filter_map(|line| line.strip_prefix("options="))
        .map(|quoted| quoted.trim_matches('"').to_owned())
        .collect();
    assert!(examples.len() > 2, "{examples:?}");
    // Debian's own example, and nothing at all.
    examples.extend(["-n 127.0.0.1:9995".to_owned(), String::new()]);
    for options in examples {
        let words = command_line(start, &[("interface", "eth0"), ("options", &options)]);
        let args = Args::try_parse_from(&words).unwrap_or_else(|e| panic!("{options}: {e}"));
        let settings = Settings::new("flowprobe", args).expect("options");
        assert!(!settings.process.in_background, "systemd keeps it");
        let control = settings.control.expect("a control socket");
        assert_eq!(control, Path::new("/run/flowprobe/eth0.ctl"));
        let directory = format!("/run/{}", value("RuntimeDirectory="));
        assert_eq!(control.parent(), Some(Path::new(&directory)));
    }
}

#[test]
fn users_and_directories_belong_together() {
    let user = read("pkg/sysusers.d/flowsuite.conf");
    let directories = read("pkg/tmpfiles.d/flowsuite.conf");
    assert!(user.starts_with("u flowsuite "), "{user}");
    let made: Vec<_> = directories.lines().map(|l| l.split(' ').nth(1).expect("a path")).collect();
    for (name, text) in units().into_iter().filter(|u| u.0.ends_with(".service")) {
        assert!(text.contains("\nUser=flowsuite\nGroup=flowsuite\n"), "{name}");
        for key in ["ReadWritePaths=", "WorkingDirectory="] {
            let path = text.lines().find_map(|l| l.strip_prefix(key)).expect("a path");
            assert!(made.contains(&path), "{name}: {path}");
        }
    }
    let options = toml::from_str::<toml::Table>(&read("pkg/flowcapd.toml")).expect("TOML");
    let dir = options["dir"].as_str().expect("a directory");
    assert!(made.contains(&dir) && Path::new(dir).is_absolute(), "{dir}");
}
