//! What a program uses for one run. Each run is the only child of a process of its own, since the
//! system knows the peak memory of the largest child only.

use anyhow::{Context as _, bail, ensure};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::resource::{UsageWho, getrusage};
use nix::unistd::Pid;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, copy, sink};
use std::path::Path;
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;
use sys::clock;

/// What one run used.
#[derive(Clone, Copy, Debug, Default)]
pub struct Used {
    /// Seconds from start to end.
    pub wall: f64,
    /// Seconds of CPU, user and system.
    pub cpu: f64,
    /// Largest resident set, MiB; with it what is mapped of files.
    pub peak_mib: f64,
    /// Largest resident set that is no file's, MiB; 0 unless [`Plan::own_memory`] asks for it.
    pub own_mib: f64,
    /// MiB that came from disk.
    pub read_mib: f64,
}

/// How to run a program.
#[derive(Clone, Copy, Debug, Default)]
pub struct Plan {
    /// Cores it may use, from the first on; 0 for all.
    pub cores: u32,
    /// Whether to watch its own memory, at the price of some milliseconds of precision.
    pub own_memory: bool,
    /// Where its output goes.
    pub output: Output,
}

/// Where the output of a program goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Output {
    /// Nowhere.
    #[default]
    Null,
    /// To a pipe that is read as fast as it can be.
    Pipe,
    /// To a file in the directory of temporary files.
    File,
}

impl Output {
    const ALL: [(Self, &str); 3] =
        [(Self::Null, "null"), (Self::Pipe, "pipe"), (Self::File, "file")];

    fn word(self) -> &'static str {
        Self::ALL.iter().find(|(output, _)| *output == self).map_or("null", |(_, word)| word)
    }
}

/// The first argument by which a program of this crate is such a process.
const WORD: &str = "measure";

/// `main` of whatever measures: if this process is to measure one run, does so, and otherwise does
/// `work`. What goes wrong is told under `name`.
pub fn main(name: &str, work: impl FnOnce() -> anyhow::Result<()>) -> ExitCode {
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    let (name, result) = match words.split_first() {
        Some((first, rest)) if first == WORD => (WORD, one(rest)),
        _ => (name, work()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("{name}: {e:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs `words`, a program and its arguments, with UTC as its time zone.
///
/// # Errors
/// If it cannot be run, or fails.
pub fn run(plan: Plan, words: &[impl AsRef<OsStr>]) -> anyhow::Result<Used> {
    let me = std::env::current_exe().context("own path")?;
    let own = if plan.own_memory { "own" } else { "-" };
    let output = Command::new(me)
        .args([WORD, &plan.cores.to_string(), own, plan.output.word()])
        .args(words)
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run a measurement")?;
    let what = || words.iter().map(|w| w.as_ref().to_string_lossy()).collect::<Vec<_>>().join(" ");
    ensure!(output.status.success(), "failed: {}", what());
    let text = String::from_utf8_lossy(&output.stdout);
    let numbers: Result<Vec<f64>, _> = text.split_whitespace().map(str::parse).collect();
    match numbers.as_deref() {
        Ok(&[wall, cpu, peak_mib, own_mib, read_mib]) => {
            Ok(Used { wall, cpu, peak_mib, own_mib, read_mib })
        }
        _ => bail!("a measurement answered '{}'", text.trim()),
    }
}

/// The best of `rounds` runs, by wall time.
///
/// # Errors
/// Those of [`run`].
pub fn best(rounds: usize, plan: Plan, words: &[impl AsRef<OsStr>]) -> anyhow::Result<Used> {
    let mut best = run(plan, words)?;
    for _ in 1..rounds {
        let new = run(plan, words)?;
        if new.wall < best.wall {
            best = new;
        }
    }
    Ok(best)
}

/// Measures one run: cores, whether to watch own memory, where output goes, program, arguments.
fn one(words: &[OsString]) -> anyhow::Result<()> {
    let [cores, own, output, tool, args @ ..] = words else { bail!("name a command") };
    keep_to(cores.to_string_lossy().parse()?)?;
    let output = Output::ALL.iter().find(|(_, word)| output == word).context("output")?.0;
    let name = tool.to_string_lossy();
    let file = std::env::temp_dir().join(format!("bench-output-{}", std::process::id()));
    let stdout = match output {
        Output::Null => Stdio::null(),
        Output::Pipe => Stdio::piped(),
        Output::File => File::create(&file)?.into(),
    };
    let mut command = Command::new(tool);
    command.args(args).env("TZ", "UTC").stdin(Stdio::null()).stdout(stdout).stderr(Stdio::piped());
    let start = clock::monotonic();
    let mut child = command.spawn().with_context(|| format!("cannot run {name}"))?;
    let said = child.stderr.take();
    let said = thread::spawn(move || said.map(first_of).unwrap_or_default());
    if let Some(mut pipe) = child.stdout.take() {
        copy(&mut pipe, &mut sink())?;
    }
    let (status, own) = if own == "own" { watch(&mut child)? } else { (child.wait()?, 0.0) };
    let wall = start.elapsed().as_secs_f64();
    if output == Output::File {
        fs::remove_file(&file)?;
    }
    let said = said.join().unwrap_or_default();
    ensure!(status.success(), "{name} ended with {status}: {}", said.trim());
    let used = clock::used_by_children();
    let mib = |octets: u64| octets as f64 / f64::from(1 << 20);
    let blocks = getrusage(UsageWho::RUSAGE_CHILDREN)?.block_reads();
    let read = mib(512 * u64::try_from(blocks).unwrap_or(0));
    let cpu = (used.user + used.system).as_secs_f64();
    println!("{wall} {cpu} {} {own} {read}", mib(used.peak_memory));
    Ok(())
}

/// What a program complains about: the begin is read, the rest passed over.
fn first_of(mut pipe: impl std::io::Read) -> String {
    let mut text = Vec::new();
    let _ = pipe.by_ref().take(4096).read_to_end(&mut text);
    let _ = copy(&mut pipe, &mut sink());
    String::from_utf8_lossy(&text).into_owned()
}

/// Waits, and looks at the memory now and then.
fn watch(child: &mut Child) -> anyhow::Result<(ExitStatus, f64)> {
    const STEP: Duration = Duration::from_millis(5);
    let mut own = 0.0f64;
    loop {
        own = own.max(own_memory(child.id()));
        if let Some(status) = child.try_wait()? {
            return Ok((status, own));
        }
        thread::sleep(STEP);
    }
}

/// Resident memory of a process that is no file's, MiB; 0 if it is gone.
fn own_memory(process: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kib.unwrap_or(0.0) / 1024.0
}

/// Keeps this process and its children to the first `cores`; 0 changes nothing.
fn keep_to(cores: u32) -> anyhow::Result<()> {
    if cores == 0 {
        return Ok(());
    }
    let mut set = CpuSet::new();
    for core in 0..cores as usize {
        set.set(core)?;
    }
    sched_setaffinity(Pid::from_raw(0), &set).with_context(|| format!("only {cores} cores"))
}

/// What empties the page cache.
const DROP_CACHES: &str = "/proc/sys/vm/drop_caches";

/// Whether the page cache can be emptied here: that takes root.
pub fn can_be_cold() -> bool {
    OpenOptions::new().write(true).open(DROP_CACHES).is_ok()
}

/// Empties the page cache.
///
/// # Errors
/// If the kernel refuses.
pub fn make_cold() -> anyhow::Result<()> {
    nix::unistd::sync();
    fs::write(DROP_CACHES, "1").context(DROP_CACHES)
}

/// Reads a file, or all files of a directory, so that they are in the page cache.
///
/// # Errors
/// If one cannot be read.
pub fn make_warm(path: &Path) -> anyhow::Result<()> {
    let what = || path.display().to_string();
    if path.is_dir() {
        for entry in fs::read_dir(path).with_context(what)? {
            make_warm(&entry?.path())?;
        }
    } else {
        File::open(path).and_then(|mut file| copy(&mut file, &mut sink())).with_context(what)?;
    }
    Ok(())
}

/// The name of a program and its version, as it says it itself: `nfdump 1.7.1`.
///
/// # Errors
/// If it cannot be run.
pub fn name_of(program: &Path) -> anyhow::Result<String> {
    let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
    // softflowd has no option for that: it is at the end of its help.
    let option = if name == "softflowd" { "-h" } else { "-V" };
    let output = Command::new(program).arg(option).output();
    let output = output.with_context(|| format!("{}: cannot run", program.display()))?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    Ok(version_in(&said).map_or_else(|| name.clone(), |version| format!("{name} {version}")))
}

/// The first number with two dots: `NSEL-NEL1.7.1` has 1.7.1.
fn version_in(text: &str) -> Option<&str> {
    let numbers = text.split(|c: char| !c.is_ascii_digit() && c != '.');
    let mut words = numbers.map(|word| word.trim_matches('.'));
    words.find(|word| word.matches('.').count() == 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_what_programs_say() {
        for (said, want) in [
            ("nfdump: Version: NSEL-NEL1.7.1\n", Some("1.7.1")),
            ("flowdump 0.1.0", Some("0.1.0")),
            ("This is softflowd version 1.1.0. Usage: ...", Some("1.1.0")),
            ("usage: 3.4", None),
        ] {
            assert_eq!(version_in(said), want, "{said}");
        }
    }
}
