//! Hosts to type commands at.

use crate::common::{FLOWCAPD, FLOWDUMP, FLOWPROBE, Running, Scene, has, run, wait_until};
use std::cell::RefCell;
use std::io::Read as _;
use std::os::unix::fs::symlink;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// The old names, and what stands behind each.
const OLD_NAMES: [(&str, &str); 9] = [
    ("nfcapd", FLOWCAPD),
    ("sfcapd", FLOWCAPD),
    ("nfdump", FLOWDUMP),
    ("softflowd", FLOWPROBE),
    ("softflowctl", env!("CARGO_BIN_EXE_flowprobectl")),
    ("nfexpire", env!("CARGO_BIN_EXE_flowexpire")),
    ("nfprofile", env!("CARGO_BIN_EXE_flowprofile")),
    ("nfreplay", env!("CARGO_BIN_EXE_flowreplay")),
    ("nfflowd", env!("CARGO_BIN_EXE_flownatd")),
];

/// Ours, too, for what tutorials of flow-tools do with programs that have no old name here.
const OWN_NAMES: [(&str, &str); 3] = [
    ("flowcapd", FLOWCAPD),
    ("flowdump", FLOWDUMP),
    ("flowimport", env!("CARGO_BIN_EXE_flowimport")),
];

/// Directories that each host has for itself.
const OWN_DIRS: &str = "/etc /run /opt /var/cache /var/log";

/// Some hosts and the wires between them; gone after the test, with all that runs there.
pub(crate) struct Net {
    names: Vec<String>,
}

impl Net {
    /// Hosts with these names. `None`, with a line that says so, where there can be none.
    pub(crate) fn new<const N: usize>(hosts: [&str; N]) -> Option<(Self, [String; N])> {
        static NETS: AtomicU32 = AtomicU32::new(0);
        if !(has("ip") && has("nsenter")) {
            return None;
        }
        let net = NETS.fetch_add(1, Ordering::Relaxed);
        let names = hosts.map(|host| format!("fsa{}{net}{host}", std::process::id()));
        let made = Self { names: names.to_vec() };
        for name in &names {
            for step in [
                format!("netns add {name}"),
                format!("netns exec {name} sysctl -q -w net.ipv6.conf.default.disable_ipv6=1"),
                format!("-n {name} link set lo up"),
            ] {
                let said = run("ip", step.split(' '));
                if !said.status.success() {
                    eprintln!("skipped: {}", String::from_utf8_lossy(&said.stderr).trim());
                    return None;
                }
            }
        }
        Some((made, names))
    }

    /// A wire: an interface and an address at either end.
    pub(crate) fn wire(ends: [(&str, &str, &str); 2]) {
        let [(near, near_if, near_addr), (far, far_if, far_addr)] = ends;
        for step in [
            format!("link add {near_if} netns {near} type veth peer name {far_if} netns {far}"),
            format!("-n {near} addr add {near_addr} dev {near_if}"),
            format!("-n {far} addr add {far_addr} dev {far_if}"),
            format!("-n {near} link set {near_if} up"),
            format!("-n {far} link set {far_if} up"),
        ] {
            let said = run("ip", step.split(' '));
            assert!(said.status.success(), "ip {step}: {said:?}");
        }
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for name in &self.names {
            let left = Command::new("ip").args(["netns", "pids", name]).output();
            let left = left.map(|o| String::from_utf8_lossy(&o.stdout).into_owned());
            for pid in left.unwrap_or_default().split_whitespace() {
                let _ = Command::new("kill").args(["-s", "KILL", pid]).output();
            }
            let _ = Command::new("ip").args(["netns", "del", name]).output();
        }
    }
}

/// Does `work` on a thread inside of a namespace; sockets stay where they were made.
pub(crate) fn within<T: Send>(name: &str, work: impl FnOnce() -> T + Send) -> T {
    let namespace = std::fs::File::open(format!("/run/netns/{name}")).expect("namespace");
    let enter = || {
        // Of this thread alone, which ends at once.
        nix::sched::setns(namespace, nix::sched::CloneFlags::CLONE_NEWNET).expect("enter");
        work()
    };
    std::thread::scope(|scope| scope.spawn(enter).join()).expect("thread")
}

/// A host with directories of its own and our programs first on the path.
pub(crate) struct Host {
    holder: Running,
    pub(crate) scene: Scene,
    path: String,
}

impl Host {
    /// Furnishes the host with this name. Names in `real` are those of the installed programs here.
    pub(crate) fn new(name: &str, real: &[&str]) -> Self {
        let scene = Scene::new();
        let bin = scene.dir("bin");
        let ours = OLD_NAMES.iter().filter(|(name, _)| !real.contains(name)).chain(&OWN_NAMES);
        for (name, program) in ours {
            symlink(program, bin.join(name)).expect("link");
        }
        let rest = std::env::var("PATH").expect("PATH");
        let path = format!("{}:{rest}:/usr/sbin:/sbin", bin.display());
        // Debian's softflowd goes there; its package makes it at boot.
        scene.dir("run/softflowd/chroot");
        // It lasts as long as its standard input does.
        let script = format!(
            "set -e; cd {}; mount --make-rprivate /; for d in {OWN_DIRS}; do \
             mkdir -p .$d; [ $d != /etc ] || cp -a /etc/. .$d; mount --bind .$d $d; done; \
             echo ready; exec cat",
            scene.path("").display()
        );
        let mut holder = Command::new("ip")
            .args(["netns", "exec", name, "sh", "-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("sh");
        let mut ready = [0; 6];
        holder.stdout.as_mut().expect("pipe").read_exact(&mut ready).expect("directories");
        Self { holder: Running(holder), scene, path }
    }

    fn command(&self, line: &str) -> Command {
        let mut command = Command::new("nsenter");
        command
            .args(["-t", &self.holder.0.id().to_string(), "-m", "-n", "sh", "-c", line])
            .env("PATH", &self.path)
            .env("TZ", "UTC")
            .env_remove("NFCONF")
            .stdin(Stdio::null());
        command
    }

    /// What became of a line that somebody types.
    pub(crate) fn typed(&self, line: &str) -> Output {
        // What goes to the background keeps these open otherwise.
        let [out, err] = ["out", "err"].map(|name| self.scene.path(name));
        let file = |path| std::fs::File::create(path).expect("file");
        let status =
            self.command(line).stdout(file(&out)).stderr(file(&err)).status().expect("nsenter");
        let read = |path| std::fs::read(path).expect("file");
        Output { status, stdout: read(&out), stderr: read(&err) }
    }

    /// What a line prints, if it ends well.
    pub(crate) fn says(&self, line: &str) -> String {
        let output = self.typed(line);
        let [out, err] =
            [&output.stdout, &output.stderr].map(|said| String::from_utf8_lossy(said).into_owned());
        assert!(output.status.success(), "{line}\n{}\n{out}{err}", output.status);
        out
    }

    /// Types a line until it prints what is wanted.
    pub(crate) fn until(&self, line: &str, mut is_so: impl FnMut(&str) -> bool) -> String {
        let last = RefCell::new(None);
        let ask = || {
            let output = self.typed(line);
            let is_done =
                output.status.success() && is_so(&String::from_utf8_lossy(&output.stdout));
            last.replace(Some(output));
            is_done
        };
        wait_until(ask, || format!("{line}: {:?}", last.borrow()));
        let output = last.into_inner().expect("an answer");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}
