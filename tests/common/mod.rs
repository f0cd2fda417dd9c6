//! The scene of an end-to-end test: an empty directory, programs of ours and real ones, UDP on
//! loopback. Everything a test starts ends with it.

#![allow(dead_code, unreachable_pub, reason = "every test file uses its own part of this")]

pub mod answers;
pub mod capd;
pub mod exports;
pub mod flows;
pub mod manager;
pub mod manual;
pub mod packets;

use std::ffi::OsStr;
use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

pub const FLOWDUMP: &str = env!("CARGO_BIN_EXE_flowdump");
pub const FLOWCAPD: &str = env!("CARGO_BIN_EXE_flowcapd");
pub const FLOWPROBE: &str = env!("CARGO_BIN_EXE_flowprobe");

/// An empty directory that is gone after the test.
pub struct Scene {
    dir: tempfile::TempDir,
}

impl Scene {
    pub fn new() -> Self {
        Self { dir: tempfile::tempdir().expect("temporary directory") }
    }

    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A new directory in the scene.
    pub fn dir(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(&path).expect("create directory");
        path
    }
}

/// Copies a program. Another process does it: a descriptor of ours that it is written through may be
/// inherited by what other tests start meanwhile, and then the program is busy.
pub fn copy_program(from: &str, to: &Path) {
    assert!(Command::new("cp").arg(from).arg(to).status().expect("cp").success());
}

/// Runs a program to its end, times in UTC.
pub fn run<A: AsRef<OsStr>>(
    program: impl AsRef<OsStr>,
    args: impl IntoIterator<Item = A>,
) -> Output {
    let program = program.as_ref();
    Command::new(program)
        .args(args)
        .env("TZ", "UTC")
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|e| panic!("{}: {e}", program.display()))
}

/// What a program printed, if it ended well.
pub fn stdout_of<A: AsRef<OsStr>>(
    program: impl AsRef<OsStr>,
    args: impl IntoIterator<Item = A>,
) -> String {
    let args: Vec<_> = args.into_iter().map(|a| a.as_ref().to_owned()).collect();
    let output = run(program.as_ref(), &args);
    assert!(
        output.status.success(),
        "{} {args:?} ended with {}\n{}\n{}",
        program.as_ref().display(),
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    String::from_utf8(output.stdout).expect("text")
}

/// Whether a program is installed; says that a test is skipped if not.
pub fn has(program: &str) -> bool {
    let found = Command::new("sh").args(["-c", &format!("command -v {program}")]).output();
    let found = found.is_ok_and(|o| o.status.success());
    if !found {
        eprintln!("skipped: {program} is not installed (tests/prepare installs it)");
    }
    found
}

/// The folder of third-party data, if the environment names one.
pub fn corpus() -> Option<PathBuf> {
    let path = std::env::var_os("FLOWSUITE_CORPUS").map(PathBuf::from);
    if path.is_none() {
        eprintln!("skipped: FLOWSUITE_CORPUS not set");
    }
    path
}

/// A port that is free now, for UDP and TCP, and that nobody gets by chance: it lies below those
/// that the kernel gives to whoever asks for any.
pub fn free_port() -> u16 {
    const FIRST: u32 = 10_000;
    const COUNT: u32 = 22_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Tests that run at once begin far from one another.
    let first = std::process::id().wrapping_mul(2_654_435_761) >> 8;
    for _ in 0..COUNT {
        let n = first.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = (FIRST + n % COUNT) as u16;
        let all = ("0.0.0.0", port);
        if UdpSocket::bind(all).is_ok() && TcpListener::bind(all).is_ok() {
            return port;
        }
    }
    panic!("no free port between {FIRST} and {}", FIRST + COUNT);
}

/// Waits for something that a program does soon; `missing` says what is missing if it does not.
/// The limit is far beyond what a busy machine needs, so only a fault reaches it.
pub fn wait_until(mut is_so: impl FnMut() -> bool, missing: impl FnOnce() -> String) {
    const STEP: Duration = Duration::from_millis(20);
    const LIMIT: Duration = Duration::from_secs(60);
    for _ in 0..LIMIT.as_millis() / STEP.as_millis() {
        if is_so() {
            return;
        }
        std::thread::sleep(STEP);
    }
    panic!("still not after {LIMIT:?}: {}", missing());
}

/// Octets that wait in the receive buffers of sockets on this UDP port.
pub fn waiting(port: u16) -> u64 {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    // Those of the network namespace that this thread is in.
    let tables = read("/proc/thread-self/net/udp") + &read("/proc/thread-self/net/udp6");
    let of_port = |line: &str| {
        let mut columns = line.split_whitespace();
        let local = columns.nth(1)?.rsplit_once(':')?.1.to_owned();
        let (_, queue) = columns.nth(2)?.split_once(':')?;
        (u16::from_str_radix(&local, 16) == Ok(port))
            .then(|| u64::from_str_radix(queue, 16).ok())?
    };
    tables.lines().filter_map(of_port).sum()
}

/// A program that runs until it is told to stop, and not longer than the test.
pub struct Daemon {
    child: Running,
    log: PathBuf,
}

impl Daemon {
    /// Starts a program whose log goes to `log`.
    pub fn start<A: AsRef<OsStr>>(
        program: impl AsRef<OsStr>,
        args: impl IntoIterator<Item = A>,
        log: PathBuf,
    ) -> Self {
        let file = std::fs::File::create(&log).expect("log file");
        let child = Command::new(program.as_ref())
            .args(args)
            .env("TZ", "UTC")
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("log file"))
            .stderr(file)
            .spawn()
            .unwrap_or_else(|e| panic!("{}: {e}", program.as_ref().display()));
        Self { child: Running(child), log }
    }

    /// Waits until the log has a line with this text.
    pub fn wait_for(&self, text: &str) {
        wait_until(|| self.log().contains(text), || format!("no '{text}' in:\n{}", self.log()));
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub fn signal(&self, name: &str) {
        let kill = run("kill", ["-s", name, &self.child.0.id().to_string()]);
        assert!(kill.status.success(), "kill -s {name}");
    }

    pub fn id(&self) -> u32 {
        self.child.0.id()
    }

    /// Waits for the end of the program.
    pub fn wait(&mut self) -> ExitStatus {
        self.child.0.wait().expect("wait")
    }

    /// Ends the program with TERM and waits for it. Returns its log.
    pub fn stop(mut self) -> String {
        self.signal("TERM");
        let status = self.wait();
        assert!(status.success(), "ended with {status}:\n{}", self.log());
        self.log()
    }

    /// Ends the program at once, as a crash would.
    pub fn kill(mut self) {
        self.child.0.kill().expect("kill");
        self.child.0.wait().expect("wait");
    }
}

/// A process that ends with the test, whatever becomes of that.
pub struct Running(pub Child);

impl Running {
    /// Ends it with TERM. Returns whether it ended well.
    pub fn terminate(&mut self) -> bool {
        assert!(run("kill", ["-s", "TERM", &self.0.id().to_string()]).status.success());
        self.0.wait().expect("end").success()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

/// Finished flow files below a directory, in order of their names.
pub fn flow_files(dir: &Path) -> Vec<PathBuf> {
    let mut out = Vec::new();
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(&dir).expect("read directory").flatten() {
            let path = entry.path();
            let name = entry.file_name();
            if path.is_dir() {
                open.push(path);
            } else if name.to_string_lossy().starts_with("nfcapd.2") {
                out.push(path);
            }
        }
    }
    out.sort();
    out
}

/// Sends datagrams to a port of loopback, slowly enough that no buffer overflows.
pub fn send(port: u16, datagrams: impl IntoIterator<Item = impl AsRef<[u8]>>) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("bind");
    for (n, datagram) in datagrams.into_iter().enumerate() {
        socket.send_to(datagram.as_ref(), ("127.0.0.1", port)).expect("send");
        if n % 16 == 15 {
            give_way(port);
        }
    }
}

/// Waits while more is waiting at a port than the smallest buffer that hosts give takes easily.
pub fn give_way(port: u16) {
    const EASY: u64 = 64 << 10;
    std::thread::sleep(Duration::from_millis(1));
    wait_until(|| waiting(port) <= EASY, || format!("nobody reads at port {port}"));
}

/// Sends datagrams to a port of loopback, whether anybody reads them or not.
pub fn flood(port: u16, datagrams: impl IntoIterator<Item = impl AsRef<[u8]>>) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("bind");
    for datagram in datagrams {
        socket.send_to(datagram.as_ref(), ("127.0.0.1", port)).expect("send");
    }
}
