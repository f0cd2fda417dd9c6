//! docs/getting-started.md works as it stands: its commands are run in their order, in namespaces of
//! their own, so that ports and `/run` are those of the page.

mod common;

use common::capd::DAY;
use common::manual::{self, ROOT, commands};
use common::{Daemon, Running, Scene, has, run, wait_until};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const PAGE: &str = "docs/getting-started.md";

/// A host of its own: loopback alone, an empty `/run`, and whoever runs the test as root.
struct Host {
    scene: Scene,
    holder: Running,
    run: PathBuf,
}

impl Host {
    /// `None` where the system gives nobody namespaces.
    fn new() -> Option<Self> {
        if !has("unshare") || !has("nsenter") || !has("ip") || !has("curl") {
            return None;
        }
        let script = "mount -t tmpfs none \"$(readlink -f /var/run)\" && ip link set lo up && \
                      echo ready && exec cat";
        // It lasts as long as its standard input does.
        let holder = Command::new("unshare")
            .args(["-r", "-n", "-m", "sh", "-c", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare");
        let mut holder = Running(holder);
        let mut ready = [0; 6];
        let out = holder.0.stdout.as_mut().expect("pipe");
        if out.read_exact(&mut ready).is_err() {
            eprintln!("skipped: no namespaces");
            return None;
        }
        let real = std::fs::canonicalize("/var/run").expect("a directory");
        let run = format!("/proc/{}/root{}", holder.0.id(), real.display()).into();
        let scene = Scene::new();
        let bin = manual::programs(&scene);
        std::fs::write(bin.join("sudo"), "#!/bin/sh\nexec \"$@\"\n").expect("sudo");
        run_well("chmod", &["755", bin.join("sudo").to_str().expect("text")]);
        Some(Self { scene, holder, run })
    }

    /// What `nsenter` needs to run a line in a shell there.
    fn words(&self, line: &str) -> Vec<String> {
        let bin = self.scene.path("bin").display().to_string();
        let path = std::env::var("PATH").expect("PATH");
        let here = self.scene.path("").display().to_string();
        let script =
            format!("cd '{here}' && PATH='{bin}:{path}' TZ=UTC && export PATH TZ && {line}");
        let holder = self.holder.0.id().to_string();
        let words =
            ["-t", &holder, "-U", "-n", "-m", "--preserve-credentials", "sh", "-c", &script];
        words.map(str::to_owned).into()
    }

    fn shell(&self, line: &str) -> Output {
        run("nsenter", self.words(&line.replace("eth0", "lo")))
    }

    /// What a line prints, if it ends well.
    fn prints(&self, line: &str) -> String {
        let output = self.shell(line);
        assert!(output.status.success(), "{line}: {output:?}");
        String::from_utf8(output.stdout).expect("text")
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // The probe is in the background; it is gone if all went well.
        if let Ok(pid) = std::fs::read_to_string(self.run.join("flowprobe.pid")) {
            let _ = run("kill", ["-s", "KILL", pid.trim()]);
        }
    }
}

fn run_well(program: &str, args: &[&str]) {
    assert!(run(program, args).status.success(), "{program} {args:?}");
}

#[test]
fn the_page_leads_from_nothing_to_answers() {
    let Some(host) = Host::new() else { return };
    let lines = commands(PAGE, "Collect");
    let [mkdir, check, start] = lines.as_slice() else { panic!("{lines:?}") };
    host.prints(mkdir);
    assert!(host.prints(check).contains("options: understood"));
    let collector = host.words(&format!("exec {start} -C none {DAY}"));
    let collector = Daemon::start("nsenter", collector, host.scene.path("log"));
    collector.wait_for("Startup flowcapd.");

    let lines = commands(PAGE, "Export");
    let [probe, traffic, expire] = lines.as_slice() else { panic!("{lines:?}") };
    host.prints(probe);
    let arriving = commands(PAGE, "Is it arriving?");
    let [templates, status, current] = arriving.as_slice() else { panic!("{arriving:?}") };
    // A packet that passes before the probe looks is none of its.
    let is_listed = || {
        assert_eq!(host.prints(traffic).trim(), "ok");
        host.prints(expire);
        host.prints(current).contains(":9396 ")
    };
    wait_until(is_listed, || collector.log());
    assert!(host.prints(templates).contains("ipfix 127.0.0.1 domain 0, template "));
    assert!(host.prints(status).contains("\"received\""));

    let asked = commands(PAGE, "Ask");
    let (stop, asked) = asked.split_first().expect("commands");
    host.prints(stop);
    wait_until(|| !host.run.join("flowprobe.pid").exists(), || "the probe goes on".to_owned());
    collector.stop();
    assert!(asked.len() >= 8, "{asked:?}");
    for line in asked {
        let out = host.prints(line);
        let is_quiet = line.contains(" > ");
        assert!(is_quiet || out.lines().count() >= 2, "{line}: {out}");
        assert!(!out.contains("No matching flows"), "{line}: {out}");
    }
    let json = std::fs::read_to_string(host.scene.path("flows.json")).expect("flows.json");
    assert!(json.contains("9396"), "{json}");

    let kept = commands(PAGE, "How long to keep");
    assert_eq!(kept.len(), 3, "{kept:?}");
    let said: Vec<_> = kept.iter().map(|line| host.prints(line)).collect();
    assert!(said[2].contains("Max Size:  53687091200 "), "{}", said[2]);
}

/// Packages are made and installed as the page says: by targets of the Makefile, with commands that
/// `tests/readme.rs` and the tests of packages run.
#[test]
fn installing_is_what_the_makefile_does() {
    let makefile = std::fs::read_to_string(Path::new(ROOT).join("Makefile")).expect("Makefile");
    let lines = commands(PAGE, "Install");
    let targets = lines.iter().filter_map(|line| line.split("make ").nth(1));
    let targets: Vec<_> = targets.collect();
    assert_eq!(targets, ["deb", "build", "install"]);
    for target in targets {
        assert!(makefile.contains(&format!("\n{target}:")), "{target}");
    }
    assert!(lines.iter().any(|line| line.contains("./target/packages/flowsuite_")));
    let readme = commands("README.md", "Collecting");
    let service = commands(PAGE, "As a service");
    assert_eq!(service.len(), 2, "{service:?}");
    assert!(service.iter().all(|line| readme.contains(line)), "{service:?}");
}
