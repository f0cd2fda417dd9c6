//! What README.md tells people to type works: each command of it is run on loopback, on the capture
//! that comes with the source. Only ports and directories are others, and what needs root is left
//! out.

mod common;

use common::capd::DAY;
use common::exports::{ipfix, v9};
use common::manual::{self, ROOT};
use common::{Daemon, FLOWCAPD, Scene, flow_files, has, wait_until};
use std::io::Write as _;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// The commands below a heading of README.md, in their order, without remarks.
fn commands(heading: &str) -> Vec<String> {
    manual::commands("README.md", heading)
}

/// Runs a line in a shell, as people do, with our programs first on the path.
fn shell(scene: &Scene, line: &str) -> Output {
    let bin = manual::programs(scene);
    let path = std::env::var("PATH").expect("PATH");
    Command::new("sh")
        .args(["-c", line])
        .current_dir(scene.path(""))
        .env("PATH", format!("{}:{path}", bin.display()))
        .env("TZ", "UTC")
        .output()
        .expect("sh")
}

/// What a line prints, if it ends well.
fn printed(scene: &Scene, line: &str) -> String {
    let output = shell(scene, line);
    assert!(output.status.success(), "{line}: {output:?}");
    String::from_utf8(output.stdout).expect("text")
}

/// The words of a line behind the name of the program.
fn words(line: &str) -> Vec<String> {
    line.split_whitespace().skip(1).map(str::to_owned).collect()
}

/// The port at the end of the log line that begins so.
fn port_in(log: &str, begin: &str) -> u16 {
    let line = log.lines().find(|l| l.starts_with(begin)).unwrap_or_else(|| panic!("{log}"));
    let digits = line.rsplit([':', ' ']).next().expect("port");
    digits.parse().unwrap_or_else(|e| panic!("{line}: {e}"))
}

#[test]
fn the_quick_start_works_as_it_stands() {
    let scene = Scene::new();
    std::os::unix::fs::symlink(Path::new(ROOT).join("fixtures"), scene.path("fixtures")).unwrap();
    let lines = commands("Quick start");
    let ours = |l: &&String| ["mkdir ", "flowcapd ", "flowdump "].iter().any(|p| l.starts_with(p));
    let (run, left): (Vec<_>, Vec<_>) = lines.iter().partition(ours);
    assert!(run.len() >= 10, "{run:?}");
    assert!(left.iter().all(|l| ["make ", "sudo "].iter().any(|p| l.starts_with(p))));
    for line in run {
        let out = printed(&scene, line);
        let is_asking = line.starts_with("flowdump ") && !line.contains(" > ");
        assert!(!is_asking || out.lines().count() >= 2, "{line}: {out}");
    }
    let first = printed(&scene, "flowdump -R flows -s dstip/bytes -n 10 -q -o csv");
    assert_eq!(first.lines().count(), 11, "{first}");
}

#[test]
fn a_capture_is_watched_as_it_stands() {
    let scene = Scene::new();
    std::os::unix::fs::symlink(Path::new(ROOT).join("fixtures"), scene.path("fixtures")).unwrap();
    let lines = commands("Watching a link");
    let (left, run): (Vec<_>, Vec<_>) = lines.iter().partition(|l| l.starts_with("sudo "));
    assert!(left.len() == 3 && run.len() == 3, "{lines:?}");
    let said: Vec<String> = run.into_iter().map(|line| printed(&scene, line)).collect();
    assert!(said[1].contains("Packets processed: "), "{}", said[1]);
    assert!(said[2].contains("Top 10 Src IP Addr ordered by bytes"), "{}", said[2]);
}

#[test]
fn the_collector_is_watched_as_it_stands() {
    let scene = Scene::new();
    let lines = commands("Collecting");
    let dir = scene.dir("flows");
    let start = lines.iter().find(|l| l.contains(" --http")).expect("the collector");
    // Ports that nobody else has, and no file that ends by itself meanwhile.
    let args = words(start).into_iter().map(|word| match word.as_str() {
        "9995" => "0".to_owned(),
        "--http" => "--http=127.0.0.1:0".to_owned(),
        "flows" => dir.to_str().expect("text").to_owned(),
        _ => word,
    });
    let args: Vec<_> = ["-C", "none", DAY].map(str::to_owned).into_iter().chain(args).collect();
    let capd = Daemon::start(FLOWCAPD, args, scene.path("log"));
    capd.wait_for("Startup flowcapd.");
    let (http, udp) = (port_in(&capd.log(), "HTTP: "), port_in(&capd.log(), "Bound to"));
    common::send(udp, [v9(1, 0, 0..10, true), v9(1, 3, 10..20, false)]);
    capd.wait_for("New v9 exporter");
    let at = |line: &str| {
        let line = line.replace("127.0.0.1:9396", &format!("127.0.0.1:{http}"));
        match line.as_str() {
            "flowcapd --templates" => format!("{line}=127.0.0.1:{http}"),
            _ => line,
        }
    };
    let is_shown =
        || printed(&scene, &at("flowcapd --templates")).contains("template 300: 10 fields");
    wait_until(is_shown, || capd.log());
    for (page, part) in [("healthz", "ok"), ("metrics", "flowcapd_healthy 1")] {
        let line = lines.iter().find(|l| l.ends_with(page)).expect(page);
        if has("curl") {
            assert!(printed(&scene, &at(line)).contains(part), "{line}");
        }
    }
    capd.signal("HUP");
    wait_until(|| flow_files(&dir).len() == 1, || capd.log());
    let line = |part: &str| lines.iter().find(|l| l.contains(part)).expect("a command");
    let lost = || printed(&scene, line("--where-lost"));
    // The statement comes right behind the file.
    wait_until(|| lost().contains("127.0.0.1"), lost);
    assert!(lost().contains("Missing by sequence"), "{}", lost());
    assert!(printed(&scene, line("--counters")).contains("Agent"));
    let check = line("check -w").replace("9995", "0");
    assert!(printed(&scene, &check).contains("options: understood"));
    capd.stop();
}

#[test]
fn tls_works_as_it_stands() {
    if !has("openssl") {
        return;
    }
    let scene = Scene::new();
    let lines = commands("Collecting");
    let line = |part: &str| lines.iter().find(|l| l.contains(part)).expect("a command");
    printed(&scene, line("openssl req"));
    let dir = scene.dir("flows");
    let path = |name: &str| scene.path(name).to_str().expect("text").to_owned();
    let args = words(line("--tls-cert")).into_iter().map(|word| match word.as_str() {
        "--tcp" | "--tls" => format!("{word}=0"),
        "flows" | "cert.pem" | "key.pem" => path(&word),
        _ => word,
    });
    let args: Vec<_> =
        ["-C", "none", "-p", "0", DAY].map(str::to_owned).into_iter().chain(args).collect();
    let capd = Daemon::start(FLOWCAPD, args, scene.path("log"));
    let begins = ["IPFIX over TCP: listening on", "IPFIX over TLS: listening on"];
    begins.iter().for_each(|begin| capd.wait_for(begin));
    let [tcp, tls] = begins.map(|begin| port_in(&capd.log(), begin));
    let mut stream = TcpStream::connect(("127.0.0.1", tcp)).expect("connect");
    stream.write_all(&ipfix(1, 0, 0..10, true)).expect("send");
    let mut client = Command::new("openssl")
        .args(["s_client", "-quiet", "-verify_return_error", "-CAfile", &path("cert.pem")])
        .args(["-connect", &format!("127.0.0.1:{tls}")])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("openssl");
    let mut input = client.stdin.take().expect("its input");
    input.write_all(&ipfix(2, 0, 10..20, true)).expect("send");
    capd.wait_for("Observation domain 1 ");
    capd.wait_for("Observation domain 2 ");
    client.kill().expect("kill");
    client.wait().expect("wait");
    drop(stream);
    capd.stop();
    common::capd::assert_listed(&dir, 0..20, "over TCP and TLS");
}

/// What is to be installed is there, and the options of the service are understood.
#[test]
fn the_service_is_made_of_what_is_there() {
    let scene = Scene::new();
    let lines = commands("Collecting");
    let root = Path::new(ROOT);
    let files = std::fs::read_to_string(root.join("pkg/files")).expect("pkg/files");
    assert!(files.contains("pkg/systemd/* ") && files.contains("pkg/flowcapd.toml "));
    let units = ["flowcapd.service", "flowcapd.socket"].map(|u| root.join("pkg/systemd").join(u));
    assert!(units.iter().all(|unit| unit.exists()), "{units:?}");
    let etc = scene.dir("root/etc/flowsuite");
    std::fs::copy(root.join("pkg/flowcapd.toml"), etc.join("flowcapd.toml")).expect("copy");
    let conf = scene.path("root/etc/flowsuite/flowcapd.toml");
    let text = std::fs::read_to_string(&conf).expect("options");
    let dir = scene.dir("flows");
    let text = text
        .replace("/var/lib/flowsuite/flows", dir.to_str().expect("text"))
        .replace("[9995]", "[0]");
    std::fs::write(&conf, text).expect("options");
    let check = lines.iter().find(|l| l.contains("check -C")).expect("check");
    let check = check.replace("sudo ", "").replace("-C /", "-C root/");
    assert!(printed(&scene, &check).contains("options: understood"));
}
