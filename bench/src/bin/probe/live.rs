//! Packets on a wire between two network namespaces: how many a second a probe takes before the
//! kernel drops any.

use crate::Args;
use anyhow::{Context as _, bail, ensure};
use bench::lab::{End, Injector, Lab, WIRE};
use bench::measure;
use bench::packets::{Link, Packets};
use bench::results::{self, Run};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, UdpSocket};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread;
use std::time::Duration;

/// Compares both probes.
pub(crate) fn compare(args: &Args) -> anyhow::Result<()> {
    if !"live".contains(&args.only) {
        return Ok(());
    }
    let lab = match Lab::new("fb") {
        Ok(lab) => lab,
        Err(e) => {
            eprintln!("live: skipped, there can be no network namespaces: {e}");
            return Ok(());
        }
    };
    let wire = lab.injector(End::Near).context("a packet socket")?;
    // Frames come from one core and are read on the other.
    let mut cores = CpuSet::new();
    cores.set(sys::clock::cores().saturating_sub(1).min(1))?;
    let _ = sched_setaffinity(Pid::from_raw(0), &cores);
    let link = Link { packets: 65_536, conversations: 20_000, is_small: true, ..Link::default() };
    let frames: Vec<_> = Packets::new(link).map(|frame| frame.headers).collect();
    for (program, is_ours) in [(&args.softflowd, false), (&args.flowprobe, true)] {
        let held = highest(args, &lab, &wire, &frames, program)?;
        ensure!(
            !args.check || !is_ours || held.rate > 0,
            "flowprobe lost packets at {CHECKED} a second"
        );
        results::append(&args.results, &result(program, is_ours, held)?)?;
    }
    Ok(())
}

fn result(program: &Path, is_ours: bool, held: Held) -> anyhow::Result<Run> {
    let program = measure::name_of(program)?;
    let limit = if held.is_all { ", no more could be sent" } else { "" };
    let note = format!("{program}: {} packets/s without a drop{limit}", held.rate);
    Ok(Run {
        area: "probe live".into(),
        what: "20 k flows, frames of 74 octets".into(),
        program,
        is_ours,
        value: held.cpu,
        unit: "CPU s/M packets".into(),
        note: Some(note),
        ..Run::default()
    })
}

/// The best of a probe.
#[derive(Clone, Copy, Default)]
struct Held {
    /// Packets a second without a drop.
    rate: u64,
    /// Whether no more could be sent.
    is_all: bool,
    /// Seconds of CPU for a million packets at that rate.
    cpu: f64,
}

/// Packets a second of a check.
const CHECKED: u64 = 10_000;

/// The highest rate without a drop that was seen.
fn highest(
    args: &Args,
    lab: &Lab,
    wire: &Injector,
    frames: &[impl AsRef<[u8]>],
    program: &Path,
) -> anyhow::Result<Held> {
    const FIRST: u64 = 50_000;
    const STEPS: u32 = 5;
    let time = Duration::from_millis(if args.check { 300 } else { 2000 });
    let probe = Probe::start(args, lab, program)?;
    let (mut held, mut lost) = (Held::default(), u64::MAX);
    let mut rate = if args.check { CHECKED } else { FIRST };
    for _ in 0..20 {
        let (sent, seen) = probe.play(wire, frames, rate, time)?;
        let was_sent = sent.frames as f64 / sent.secs.max(1e-9);
        let is_all = was_sent < 0.95 * rate as f64;
        if seen.dropped > 0 {
            lost = rate.min(lost);
        } else if was_sent as u64 > held.rate {
            held = Held { rate: was_sent as u64, is_all, cpu: seen.cpu * 1e6 / sent.frames as f64 };
        }
        if args.check || is_all || lost.saturating_sub(held.rate) < lost >> STEPS {
            break;
        }
        rate = if lost == u64::MAX { rate * 2 } else { held.rate.midpoint(lost) };
    }
    Ok(held)
}

/// A probe that listens at the far end.
struct Probe {
    child: Child,
    socket: PathBuf,
    _exports: UdpSocket,
}

/// What a probe says it has seen.
#[derive(Clone, Copy, Debug)]
struct Seen {
    received: u64,
    dropped: u64,
    /// Seconds of CPU so far.
    cpu: f64,
}

impl Probe {
    fn start(args: &Args, lab: &Lab, program: &Path) -> anyhow::Result<Self> {
        // Nobody reads there; there only must be somebody.
        let exports = lab.enter(End::Far, || UdpSocket::bind("127.0.0.1:0"))??;
        let to = exports.local_addr()?.to_string();
        let socket = args.data.join("control");
        let _ = std::fs::remove_file(&socket);
        let child = lab
            .command(End::Far, "taskset")
            .args(["-c", "0"])
            .arg(program)
            .args(["-i", WIRE, "-n", &to, "-v", "9", "-m", "1000000", "-d", "-c"])
            .arg(&socket)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("{}: cannot run", program.display()))?;
        let mut probe = Self { child, socket, _exports: exports };
        for _ in 0..1000 {
            if probe.seen().is_ok() {
                return Ok(probe);
            }
            if let Some(status) = probe.child.try_wait()? {
                bail!("{} ended with {status}", program.display());
            }
            thread::sleep(Duration::from_millis(10));
        }
        bail!("{} does not answer at its control socket", program.display())
    }

    /// Sends frames and waits until the kernel has counted them. Returns what was sent and what
    /// the probe has seen of that.
    fn play(
        &self,
        wire: &Injector,
        frames: &[impl AsRef<[u8]>],
        rate: u64,
        time: Duration,
    ) -> anyhow::Result<(bench::lab::Sent, Seen)> {
        let before = self.seen()?;
        let sent = wire.play(frames, rate, time).context("sending")?;
        let mut last = before.received;
        for _ in 0..100 {
            thread::sleep(Duration::from_millis(100));
            let now = self.seen()?;
            let received = now.received - before.received;
            if received >= sent.frames && now.received == last {
                let (dropped, cpu) = (now.dropped - before.dropped, now.cpu - before.cpu);
                return Ok((sent, Seen { received, dropped, cpu }));
            }
            last = now.received;
        }
        bail!("{} of {} frames at the other end", last - before.received, sent.frames)
    }

    fn seen(&self) -> anyhow::Result<Seen> {
        let mut stream = UnixStream::connect(&self.socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"statistics\n")?;
        stream.shutdown(Shutdown::Write)?;
        let mut said = String::new();
        stream.read_to_string(&mut said)?;
        let number = |name: &str| {
            let line = said.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|n| n.trim().parse().ok()).with_context(|| format!("no '{name}': {said}"))
        };
        let received = number("Packets received by libpcap:")?;
        let dropped = number("Packets dropped by libpcap:")?;
        Ok(Seen { received, dropped, cpu: self.cpu()? })
    }

    /// Seconds of CPU that the probe has used, of which the kernel counts hundredths.
    fn cpu(&self) -> anyhow::Result<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let (_, columns) = stat.rsplit_once(") ").context("no name in stat")?;
        let ticks = columns.split(' ').skip(11).take(2).map(str::parse::<u64>);
        Ok(ticks.sum::<Result<u64, _>>()? as f64 / 100.0)
    }
}

/// How long a probe may take to answer, and to end.
const PATIENCE: Duration = Duration::from_secs(10);

impl Drop for Probe {
    fn drop(&mut self) {
        const STEP: Duration = Duration::from_millis(10);
        let _ = kill(Pid::from_raw(self.child.id() as i32), Signal::SIGTERM);
        for _ in 0..PATIENCE.as_millis() / STEP.as_millis() {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(STEP);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
