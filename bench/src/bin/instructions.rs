//! Instructions of the hot loops for a flow, counted by callgrind: the same on a busy machine. What a
//! program needs to start does not count: each loop runs on a small input and a larger one, and the
//! difference of the counts is that of the difference of the inputs.

use anyhow::{Context as _, bail, ensure};
use bench::chart;
use bench::results::{self, Run};
use clap::Parser;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Counts instructions of the hot loops and compares with those of the baseline.
#[derive(Parser)]
struct Args {
    /// Directory for inputs; what is in it is removed
    #[arg(long)]
    data: PathBuf,
    /// Directory of the programs
    #[arg(long)]
    bin: PathBuf,
    /// The baseline
    #[arg(long)]
    baseline: PathBuf,
    /// Write the baseline instead of comparing with it
    #[arg(long)]
    update: bool,
    /// Results are appended here
    #[arg(long)]
    results: Option<PathBuf>,
    /// Only loops whose name contains this
    #[arg(long, default_value = "")]
    only: String,
    /// Keep what callgrind finds in this directory, for callgrind_annotate
    #[arg(long, value_name = "DIR")]
    profile: Option<PathBuf>,
}

/// Flows or packets of the inputs.
const SMALL: u64 = 20_000;
const LARGE: u64 = 120_000;

/// How much more than the baseline is too much.
const MOST: f64 = 1.05;

/// A loop.
struct Loop {
    name: &'static str,
    /// Program and arguments. `{}` is the input's number of flows, `@` the directory of inputs, PORT
    /// where somebody listens who reads nothing, and FILTER a filter that matches nothing.
    words: &'static str,
    /// Another loop that is part of this one and does not count.
    less: Option<&'static str>,
    /// Begins anew in each run: a directory, a file that is removed.
    made: Option<&'static str>,
}

const fn plain(name: &'static str, words: &'static str) -> Loop {
    Loop { name, words, less: None, made: None }
}

const fn making(name: &'static str, words: &'static str) -> Loop {
    Loop { made: Some("out"), ..plain(name, words) }
}

const LOOPS: &[Loop] = &[
    plain("filter that matches nothing", "flowdump -W 1 -r @/plain.{} FILTER"),
    Loop {
        less: Some("filter that matches nothing"),
        ..plain("decode LZ4", "flowdump -W 1 -r @/lz4.{} FILTER")
    },
    plain("-s dstip/bytes", "flowdump -W 1 -r @/plain.{} -s dstip/bytes -n 10"),
    plain("-s record/bytes", "flowdump -W 1 -r @/plain.{} -s record/bytes -n 10"),
    plain("-A srcip,dstport", "flowdump -W 1 -r @/plain.{} -A srcip,dstport -O bytes -n 10"),
    plain("-o csv", "flowdump -W 1 -r @/plain.{} -o csv"),
    plain("-o json", "flowdump -W 1 -r @/plain.{} -o json"),
    making("write files", "flowdump -W 1 -r @/plain.{} -w @/out"),
    Loop {
        less: Some("write files"),
        ..making("encode LZ4", "flowdump -W 1 -r @/plain.{} -w @/out -z=lz4")
    },
    making("collect NetFlow v5", "flowcapd -C none --no-index -f @/v5.{} -w @/out -S 0"),
    making("collect NetFlow v9", "flowcapd -C none --no-index -f @/v9.{} -w @/out -S 0"),
    plain(
        "probe, packets to NetFlow v9",
        "flowprobe -c none -d -r @/packets.{} -n 127.0.0.1:PORT -v 9",
    ),
    making("probe, packets into files", "flowprobe -c none -d -r @/packets.{} -w @/out"),
    Loop { made: None, ..plain("build an index", "flowdump -R @/index.{} --index build") },
];

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    make_inputs(&args)?;
    let mut counts: Vec<(&str, f64)> = Vec::new();
    for work in LOOPS.iter().filter(|w| w.name.contains(&args.only) || args.only.is_empty()) {
        let (small, large) = (count(&args, work, SMALL)?, count(&args, work, LARGE)?);
        let mut each = (large as f64 - small as f64) / (LARGE - SMALL) as f64;
        if let Some(less) = work.less {
            let part = counts.iter().find(|(name, _)| *name == less);
            each -= part.with_context(|| format!("{} needs {less}", work.name))?.1;
        }
        eprintln!("{:<32} {each:>8.1}", work.name);
        counts.push((work.name, each));
    }
    if args.update {
        return write_baseline(&args.baseline, &counts);
    }
    compare(&args, &counts)
}

/// Inputs of both sizes, the same octets on every machine.
fn make_inputs(args: &Args) -> anyhow::Result<()> {
    let _ = fs::remove_dir_all(&args.data);
    fs::create_dir_all(&args.data).with_context(|| args.data.display().to_string())?;
    for flows in [SMALL, LARGE] {
        for packing in ["none", "lz4"] {
            let dir = args.data.join("made");
            fs::create_dir(&dir)?;
            let words = format!(
                "genflows {} --files 1 --flows {flows} --compress {packing}",
                dir.display()
            );
            run(args, &words)?;
            let made = fs::read_dir(&dir)?.next().context("genflows makes a file")??;
            let name = if packing == "none" { "plain" } else { packing };
            fs::rename(made.path(), args.data.join(format!("{name}.{flows}")))?;
            fs::remove_dir(&dir)?;
        }
        let index = args.data.join(format!("index.{flows}"));
        fs::create_dir(&index)?;
        let from = args.data.join(format!("plain.{flows}"));
        fs::hard_link(from, index.join("nfcapd.202604101200"))?;
        let data = args.data.display();
        run(args, &format!("genexport {data}/v5.{flows} --protocol v5 --flows {flows}"))?;
        run(args, &format!("genexport {data}/v9.{flows} --flows {flows}"))?;
        let conversations = flows / 15;
        run(
            args,
            &format!("genpackets {data}/packets.{flows} --packets {flows} --flows {conversations}"),
        )?;
    }
    Ok(())
}

fn run(args: &Args, words: &str) -> anyhow::Result<()> {
    let mut words = words.split(' ');
    let program = args.bin.join(words.next().unwrap_or_default());
    let output = Command::new(&program).args(words).output();
    let output = output.with_context(|| program.display().to_string())?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{} failed: {said}", program.display());
    Ok(())
}

/// Instructions of one run.
fn count(args: &Args, work: &Loop, flows: u64) -> anyhow::Result<u64> {
    let data = args.data.to_string_lossy();
    let listener = UdpSocket::bind("127.0.0.1:0").context("a socket that exports go to")?;
    let port = listener.local_addr()?.port().to_string();
    let text = work.words.replace('@', &data).replace("{}", &flows.to_string());
    let text = text.replace("PORT", &port);
    let mut words = text.split(' ');
    let program = args.bin.join(words.next().unwrap_or_default());
    let words: Vec<_> =
        words.map(|word| if word == "FILTER" { "proto 200" } else { word }).collect();
    if let Some(made) = work.made {
        let path = args.data.join(made);
        let _ = fs::remove_dir_all(&path);
        let _ = fs::remove_file(&path);
        if !work.words.starts_with("flowdump") {
            fs::create_dir(&path)?;
        }
    }
    let found = args.profile.as_ref().map_or_else(
        || PathBuf::from("/dev/null"),
        |dir| {
            dir.join(format!(
                "{}.{flows}",
                work.name.trim_start_matches('-').replace([' ', '/', ','], "_")
            ))
        },
    );
    let mut kept = OsString::from("--callgrind-out-file=");
    kept.push(found);
    let output = Command::new("valgrind")
        .arg("--tool=callgrind")
        .arg(kept)
        .arg(&program)
        .args(words)
        .env("TZ", "UTC")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .output()
        .context("cannot run valgrind")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}: {text} failed: {said}", work.name);
    let line = said.lines().find_map(|line| line.split_once("Collected :"));
    let number = line.and_then(|(_, number)| number.trim().parse().ok());
    number.with_context(|| format!("callgrind does not say how much it has counted: {said}"))
}

fn write_baseline(path: &Path, counts: &[(&str, f64)]) -> anyhow::Result<()> {
    let mut text = String::from(
        "# Instructions for a flow (of the probe: a packet); bench/instructions --update writes this.\n",
    );
    let _ = writeln!(text, "# {}", compiler()?);
    for (name, each) in counts {
        let _ = writeln!(text, "{name:<32} {each:>8.1}");
    }
    fs::write(path, text).with_context(|| path.display().to_string())
}

/// The compiler and its version.
fn compiler() -> anyhow::Result<String> {
    let output = Command::new("rustc").arg("-V").output().context("rustc")?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn compare(args: &Args, counts: &[(&str, f64)]) -> anyhow::Result<()> {
    let path = args.baseline.display();
    let text = fs::read_to_string(&args.baseline).with_context(|| path.to_string())?;
    if !text.contains(&compiler()?) {
        eprintln!("{path} is that of another compiler than {}", compiler()?);
    }
    let mut worse = Vec::new();
    for (name, each) in counts {
        let Some(was) = baseline(&text, name) else {
            bail!("{path}: no line for {name}; --update writes it")
        };
        if *each > was * MOST {
            worse.push(format!("{name}: {each:.1}, was {was:.1}"));
        }
        for (value, is_ours) in [(was, false), (*each, true)] {
            let run = Run {
                area: "instructions for a flow".into(),
                what: (*name).into(),
                program: if is_ours { "flowsuite" } else { chart::BASELINE }.into(),
                is_ours,
                value,
                floor: is_ours.then_some(0.95),
                ..Run::default()
            };
            if let Some(results) = &args.results {
                results::append(results, &run)?;
            }
        }
    }
    ensure!(worse.is_empty(), "more instructions than {path} has:\n  {}", worse.join("\n  "));
    Ok(())
}

/// The number of a line of the baseline.
fn baseline(text: &str, name: &str) -> Option<f64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name).filter(|rest| rest.starts_with("  ")))?;
    line.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_baseline_are_found_by_their_whole_name() {
        let text = "# by rustc\ndecode LZ4 twice   9.0\ndecode LZ4      12.5\n";
        assert_eq!(baseline(text, "decode LZ4"), Some(12.5));
        assert_eq!(baseline(text, "decode"), None);
    }
}
