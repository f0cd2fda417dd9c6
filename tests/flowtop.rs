//! `flowtop`: the same as `flowdump -s` says of the same flows, while a collector writes them; and
//! its screen, in a terminal of tmux.

mod common;

use common::capd::{Capd, DAY, open_files};
use common::exports::{v5, v9};
use common::{FLOWDUMP, Scene, has, run, stdout_of, wait_until};
use std::path::Path;
use std::process::{Command, Output};

const FLOWTOP: &str = env!("CARGO_BIN_EXE_flowtop");

fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}

/// Rows of a table in CSV, each by the named columns, with blanks between.
fn rows(csv: &str, columns: &[&str]) -> Vec<String> {
    let mut lines = csv.lines();
    let names: Vec<&str> = lines.next().unwrap_or_default().split(',').collect();
    // Orders of one direction have columns of it.
    let is_it = |n: &str, name: &str| n == name || n.strip_prefix('i') == Some(name);
    let place = |name: &&str| names.iter().position(|n| is_it(n, name)).expect("column");
    let places: Vec<usize> = columns.iter().map(place).collect();
    let row = |line: &str| {
        let values: Vec<&str> = line.split(',').collect();
        places.iter().map(|n| values[*n]).collect::<Vec<_>>().join(" ")
    };
    lines.map(row).collect()
}

/// Datagrams of flows that some hosts have more of than others.
fn datagrams() -> Vec<Vec<u8>> {
    // Of each further flow only the first n, so that no two hosts have the same.
    (0..40u32).map(|n| v9(7, n, 0..n + 1, n == 0)).collect()
}

const FLOWS: usize = 40 * 41 / 2;

#[test]
fn once_shows_what_flowdump_counts_while_the_collector_writes() {
    let scene = Scene::new();
    let capd = Capd::start(&scene, "flows", &[DAY]);
    capd.send(datagrams());
    capd.wait_for_flows(FLOWS);
    let dir = text(&capd.dir).to_owned();
    let open = open_files(&capd.dir);
    assert_eq!(open.len(), 1);
    let once = |args: &[&str]| {
        stdout_of(FLOWTOP, [&["--once", "-r", &dir, "-t", "1d", "-o", "csv"], args].concat())
    };
    for (statistic, order, filter) in [
        ("srcip", "bytes", "any"),
        ("ip", "packets", "any"),
        ("dstport", "flows", "any"),
        ("proto", "bytes", "src net 10.0.0.0/28"),
        ("srcport", "flows", "proto udp and dst port 53"),
    ] {
        let s = format!("{statistic}/{order}");
        let args = ["-r", text(&open[0]), "-s", &s, "-n", "1000", "-o", "csv", "-q", filter];
        let want = stdout_of(FLOWDUMP, args);
        let mut want = rows(&want, &["val", "fl", "pkt", "byt"]);
        let got = once(&["-s", &s, "-n", "0", filter]);
        let got = rows(&got, &["value", "flows", "packets", "bytes"]);
        let column = match order {
            "flows" => 1,
            "packets" => 2,
            _ => 3,
        };
        let by = |row: &String| row.split(' ').nth(column).map(str::to_owned);
        assert!(got.len() > 1);
        let orders = |rows: &[String]| rows.iter().map(by).collect::<Vec<_>>();
        assert_eq!(orders(&got), orders(&want), "{s} {filter}");
        let mut got = got;
        // Of equal ones each goes by its own.
        got.sort();
        want.sort();
        assert_eq!(got, want, "{s} {filter}");
    }
    // As JSON, and for people.
    let json = run(FLOWTOP, ["--once", "-r", &dir, "-s", "srcip", "-n", "1", "-o", "json"]);
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).expect("JSON");
    assert_eq!(json[0]["value"], "10.0.0.0");
    assert_eq!(json[0]["flows"], 40);
    assert_eq!(json[0]["bytes"], 40_000);
    let people = stdout_of(FLOWTOP, ["--once", "-r", &dir, "-s", "record/flows", "-n", "2"]);
    assert!(people.contains("TCP 10.0.0.0:1024 -> 198.51.100.0:443"), "{people}");
    assert!(people.contains("1 files (1 open)"), "{people}");
    // Once the slot has ended.
    let flows = capd.dir.clone();
    capd.stop();
    assert!(open_files(&flows).is_empty());
    let got = once(&["-s", "srcip", "-n", "1"]);
    assert_eq!(rows(&got, &["value", "flows"]), ["10.0.0.0 40"]);
}

#[test]
fn losses_are_shown() {
    let scene = Scene::new();
    let capd = Capd::start(&scene, "flows", &[DAY]);
    // 30 flows of 100 are missing between these.
    capd.send([v5(0, 0..30), v5(60, 60..90)]);
    capd.wait_for_flows(60);
    let dir = capd.dir.clone();
    capd.stop();
    let said = stdout_of(FLOWTOP, ["--once", "-r", text(&dir)]);
    assert!(said.contains("LOST 30 records (network)"), "{said}");
}

#[test]
fn exit_statuses() {
    let scene = Scene::new();
    let dir = scene.dir("flows");
    let dir = text(&dir);
    let missing = scene.path("missing");
    for (args, status, says) in [
        (vec!["--once", "-r", dir], 0, ""),
        (vec!["--once", "-r", dir, "prot tcp"], 254, "found `prot`"),
        (vec!["--once", "-r", text(&missing)], 1, "name the directory"),
        (vec!["--once", "-r", dir, "-s", "x"], 1, "Unknown statistic"),
        (vec!["--once", "-r", dir, "-s", "ip/x"], 1, "unknown order 'x'"),
        (vec!["--once", "-r", dir, "-t", "2w"], 1, "write 30s, 5m, 1h or 1d"),
        (vec!["--once", "-r", dir, "-o", "x"], 1, "x"),
        (vec!["--once", "-r", dir, "-A", "x"], 1, "Unknown aggregation field"),
        (vec!["-r", dir], 1, "use --once"),
        (vec!["-r", dir, "-o", "csv"], 1, "--once"),
    ] {
        let output = run(FLOWTOP, &args);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{args:?}: {said}");
        assert!(said.contains(says), "{args:?}: {said}");
    }
    std::fs::write(format!("{dir}/nfcapd.202611212230"), "no flows").expect("write");
    let output = run(FLOWTOP, ["--once", "-r", dir]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("nfcapd.202611212230"), "{said}");
}

#[test]
fn files_of_another_day() {
    let scene = Scene::new();
    let file = scene.path("nfcapd.202601011200");
    common::flows::FlowFile { flows: 500, ..common::flows::FlowFile::default() }.write(&file);
    let once = |end: &str| {
        let args =
            ["--once", "--end", end, "-t", "1d", "-r", text(&file), "-s", "any", "-o", "csv"];
        rows(&stdout_of(FLOWTOP, args), &["flows", "bytes"])
    };
    let want = stdout_of(FLOWDUMP, ["-q", "-r", text(&file), "-s", "any/bytes", "-o", "csv"]);
    assert_eq!(once("last"), rows(&want, &["fl", "byt"]));
}

/// A terminal of tmux, 80x24, with a server of its own.
#[cfg(feature = "tui")]
struct Terminal {
    socket: std::path::PathBuf,
}

#[cfg(feature = "tui")]
impl Terminal {
    /// A shell that runs this, and says how it ended.
    fn start(scene: &Scene, command: &str) -> Self {
        let all = Self { socket: scene.path("tmux") };
        let script = format!("{command}; echo \"ended with $?\"; exec cat");
        let size = ["-x", "80", "-y", "24"];
        let new = ["-f", "/dev/null", "new-session", "-d"];
        let started = all.tmux(&[&new[..], &size, &["sh", "-c", &script]].concat());
        assert!(started.status.success(), "{}", String::from_utf8_lossy(&started.stderr));
        all
    }

    fn tmux(&self, args: &[&str]) -> Output {
        let socket = ["-S", text(&self.socket)];
        let utf8 = [("LC_ALL", "C.UTF-8"), ("TZ", "UTC"), ("TERM", "xterm-256color")];
        let all = [&socket[..], args].concat();
        Command::new("tmux").args(all).envs(utf8).env_remove("TMUX").output().expect("tmux")
    }

    fn type_keys(&self, keys: &[&str]) {
        assert!(self.tmux(&[&["send-keys"], keys].concat()).status.success());
    }

    fn screen(&self) -> String {
        String::from_utf8_lossy(&self.tmux(&["capture-pane", "-p"]).stdout).into_owned()
    }

    fn value(&self, what: &str) -> String {
        let value = self.tmux(&["display-message", "-p", what]).stdout;
        String::from_utf8_lossy(&value).trim().to_owned()
    }

    fn wait_for(&self, text: &str) {
        wait_until(
            || self.screen().contains(text),
            || format!("no '{text}' in\n{}", self.screen()),
        );
    }

    /// The program has ended with this status, and the terminal is as it was before.
    fn has_ended(&self, status: i32) {
        self.wait_for(&format!("ended with {status}"));
        assert!(!self.screen().contains("flowtop  "), "{}", self.screen());
        // Neither the other screen nor the keypad, and the cursor is there.
        assert_eq!(self.value("#{alternate_on} #{cursor_flag}"), "0 1");
        // What is typed is shown, and comes in lines.
        self.type_keys(&["echoed", "Enter"]);
        wait_until(
            || self.screen().matches("echoed").count() == 2,
            || format!("no echo in\n{}", self.screen()),
        );
    }
}

#[cfg(feature = "tui")]
impl Drop for Terminal {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]);
    }
}

#[cfg(feature = "tui")]
#[test]
fn the_screen_answers_keys_and_gives_the_terminal_back() {
    if !has("tmux") {
        return;
    }
    let scene = Scene::new();
    let capd = Capd::start(&scene, "flows", &[DAY]);
    capd.send(datagrams());
    capd.wait_for_flows(FLOWS);
    let dir = text(&capd.dir).to_owned();
    let t = Terminal::start(&scene, &format!("{FLOWTOP} -r {dir} -t 1d -i 1s -s srcip"));
    t.wait_for("flowtop  srcip by bytes  last 1d");
    t.wait_for("820 flows");
    t.wait_for("\n10.0.0.0 ");
    // Flows that come in are there by themselves.
    capd.send([v9(7, 40, 0..20, false)]);
    t.wait_for("840 flows");
    // Another element and order.
    t.type_keys(&["s"]);
    t.type_keys(&["-l", "dstport/flows"]);
    t.type_keys(&["Enter"]);
    t.wait_for("flowtop  dstport by flows");
    t.wait_for("\n443 ");
    // A filter, wrong at first.
    t.type_keys(&["/"]);
    t.type_keys(&["-l", "prot udp"]);
    t.type_keys(&["Enter"]);
    t.wait_for("found `prot`");
    t.type_keys(&["C-u"]);
    t.type_keys(&["-l", "proto udp"]);
    t.type_keys(&["Enter"]);
    t.wait_for("Filter: proto udp");
    t.wait_for("410 flows");
    // Into the first row, and back.
    t.type_keys(&["Enter"]);
    t.wait_for("Filter: proto udp and dst port 53  (1 deep");
    t.type_keys(&["BSpace"]);
    t.wait_for("flowtop  dstport by flows");
    t.type_keys(&["?"]);
    t.wait_for("any key closes this");
    t.type_keys(&["x"]);
    // Another size.
    t.tmux(&["resize-window", "-x", "50", "-y", "12"]);
    t.wait_for("dstport");
    t.type_keys(&["q"]);
    t.has_ended(0);
}

#[cfg(feature = "tui")]
#[test]
fn signals_give_the_terminal_back() {
    if !has("tmux") {
        return;
    }
    for signal in ["TERM", "INT", "HUP"] {
        let scene = Scene::new();
        let dir = scene.dir("flows");
        let pid = scene.path("pid");
        let command = format!("sh -c 'echo $$ > {}; exec {FLOWTOP} -r {}'", text(&pid), text(&dir));
        let t = Terminal::start(&scene, &command);
        t.wait_for("no flows in this window");
        assert_eq!(t.value("#{alternate_on}"), "1");
        let pid = std::fs::read_to_string(&pid).expect("pid");
        assert!(run("kill", ["-s", signal, pid.trim()]).status.success());
        t.has_ended(0);
    }
}

/// Run by itself this does nothing; in a terminal, and told so, it takes that over and panics.
#[cfg(feature = "tui")]
#[test]
fn a_program_that_panics() {
    if std::env::var_os("PANICS_ON_SCREEN").is_some() {
        let _screen = top::tui::Screen::open().expect("a terminal");
        panic!("on the screen");
    }
}

#[cfg(feature = "tui")]
#[test]
fn a_panic_gives_the_terminal_back() {
    if !has("tmux") {
        return;
    }
    let scene = Scene::new();
    let program = std::env::current_exe().expect("this program");
    let panics = "--exact a_program_that_panics --nocapture";
    let command = format!("PANICS_ON_SCREEN=1 {} {panics}", text(&program));
    let t = Terminal::start(&scene, &command);
    t.wait_for("panicked at");
    t.wait_for("on the screen");
    t.has_ended(101);
}

#[cfg(feature = "tui")]
#[test]
fn stopping_gives_the_terminal_back_for_a_while() {
    if !has("tmux") || !has("bash") {
        return;
    }
    let scene = Scene::new();
    let dir = scene.dir("flows");
    // A shell with job control.
    let t = Terminal::start(&scene, "PS1='shell> ' bash --norc -i");
    t.wait_for("shell>");
    t.type_keys(&["-l", &format!("{FLOWTOP} -r {}", text(&dir))]);
    t.type_keys(&["Enter"]);
    t.wait_for("no flows in this window");
    t.type_keys(&["C-z"]);
    t.wait_for("Stopped");
    assert_eq!(t.value("#{alternate_on}"), "0");
    t.type_keys(&["fg", "Enter"]);
    t.wait_for("no flows in this window");
    t.type_keys(&["q"]);
    t.wait_for("shell>");
    t.type_keys(&["exit", "Enter"]);
    t.has_ended(0);
}
