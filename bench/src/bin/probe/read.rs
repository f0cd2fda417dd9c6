//! Captures, from file to flows, on one core.

use crate::Args;
use crate::sink::{self, Flows};
use anyhow::{Context as _, ensure};
use bench::measure::{self, Plan, Used};
use bench::packets::{self, Link, Packets, Stored, Totals};
use bench::results;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::BufWriter;
use std::path::Path;

/// A capture that is read.
struct Work {
    name: &'static str,
    /// Packets and conversations, of a million of those that are asked for.
    packets: u64,
    flows: u64,
    is_small: bool,
    stored: Stored,
    /// Who reads it.
    tools: &'static [Tool],
    /// Packets a second over those of softflowd.
    floor: Option<f64>,
    /// Flows that may be in memory.
    limit: u32,
    /// MiB that flowprobe may have for itself.
    most: Option<f64>,
}

/// Who is measured, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tool {
    /// softflowd, exporting NetFlow v9.
    Softflowd,
    /// flowprobe, with the same options.
    Flowprobe,
    /// nfpcapd, writing files.
    Nfpcapd,
    /// flowprobe, writing files.
    FlowprobeFiles,
}

const ALL: &[Tool] = &[Tool::Softflowd, Tool::Flowprobe, Tool::Nfpcapd, Tool::FlowprobeFiles];
const MILLION: u64 = 1_000_000;
/// Room for all flows, so that none ends for want of it.
const ROOM: u32 = 4_000_000;

const WORKS: &[Work] = &[
    Work {
        name: "headers of packets",
        packets: MILLION,
        flows: MILLION,
        is_small: false,
        stored: Stored::Headers,
        // nfpcapd passes over packets that are not whole.
        tools: &[Tool::Softflowd, Tool::Flowprobe, Tool::FlowprobeFiles],
        floor: Some(8.0),
        limit: ROOM,
        most: None,
    },
    Work {
        name: "small packets",
        packets: MILLION,
        flows: MILLION,
        is_small: true,
        stored: Stored::Whole,
        tools: ALL,
        floor: Some(8.0),
        limit: ROOM,
        most: None,
    },
    Work {
        name: "whole packets",
        packets: MILLION / 2,
        flows: MILLION / 2,
        is_small: false,
        stored: Stored::Whole,
        tools: ALL,
        floor: None,
        limit: ROOM,
        most: None,
    },
    Work {
        name: "many flows",
        packets: MILLION / 4,
        flows: 10 * MILLION / 3,
        is_small: true,
        stored: Stored::Whole,
        tools: ALL,
        floor: None,
        limit: ROOM,
        most: Some(200.0),
    },
    // Each packet has addresses of its own.
    Work {
        name: "flood",
        packets: MILLION / 4,
        flows: 25 * MILLION / 6,
        is_small: true,
        stored: Stored::Whole,
        tools: &[Tool::Softflowd, Tool::Flowprobe],
        floor: None,
        limit: 100_000,
        most: Some(50.0),
    },
];

/// Measures all.
pub(crate) fn compare(args: &Args) -> anyhow::Result<()> {
    WORKS.iter().filter(|w| w.name.contains(&args.only)).try_for_each(|work| one(args, work))
}

fn one(args: &Args, work: &Work) -> anyhow::Result<()> {
    let link = Link {
        packets: args.packets * work.packets / MILLION,
        conversations: (u64::from(args.flows) * work.flows / MILLION) as u32,
        is_small: work.is_small,
        ..Link::default()
    };
    let capture = args.data.join("capture");
    let truth = generate(&capture, link, work.stored)?;
    for tool in work.tools {
        let run = best(args, *tool, work.limit, &capture)?;
        let sums = Totals { packets: run.flows.packets, octets: run.flows.octets };
        let is_right = sums == truth;
        ensure!(is_right || !tool.is_ours(), "{tool:?} says {sums:?} of {truth:?}");
        let result = result(args, work, *tool, &run, link)?;
        let note = (!is_right).then(|| format!("{} counts {sums:?}", result.program));
        results::append(&args.results, &results::Run { note, ..result })?;
    }
    fs::remove_file(&capture).context("capture")
}

fn result(
    args: &Args,
    work: &Work,
    tool: Tool,
    run: &Run,
    link: Link,
) -> anyhow::Result<results::Run> {
    let Used { wall, cpu, own_mib, .. } = run.used;
    let is_export = tool == Tool::Flowprobe;
    Ok(results::Run {
        area: if tool.makes_files() { "probe into files" } else { "probe" }.into(),
        what: format!("{}, {} k flows", work.name, link.conversations / 1000),
        program: measure::name_of(tool.program(args))?,
        is_ours: tool.is_ours(),
        value: wall / (link.packets as f64 / 1e6),
        unit: "s/M packets".into(),
        wall,
        cpu,
        // What is mapped of the capture is not counted.
        peak_mib: own_mib,
        floor: work.floor.filter(|_| is_export),
        goal_mib: work.most.filter(|_| is_export),
        ..results::Run::default()
    })
}

fn generate(path: &Path, link: Link, stored: Stored) -> anyhow::Result<Totals> {
    const START_SECS: u32 = 1_775_822_400;
    let file = File::create(path).with_context(|| path.display().to_string())?;
    let out = BufWriter::with_capacity(1 << 20, file);
    packets::write(Packets::new(link), START_SECS, stored, out).context("writing the capture")
}

/// What a tool used and what came out.
struct Run {
    used: Used,
    flows: Flows,
}

impl Tool {
    const fn is_ours(self) -> bool {
        matches!(self, Self::Flowprobe | Self::FlowprobeFiles)
    }

    const fn makes_files(self) -> bool {
        matches!(self, Self::Nfpcapd | Self::FlowprobeFiles)
    }

    fn program(self, args: &Args) -> &Path {
        match self {
            Self::Softflowd => &args.softflowd,
            Self::Nfpcapd => &args.nfpcapd,
            Self::Flowprobe | Self::FlowprobeFiles => &args.flowprobe,
        }
    }
}

fn best(args: &Args, tool: Tool, limit: u32, capture: &Path) -> anyhow::Result<Run> {
    let mut best: Option<Run> = None;
    for _ in 0..args.rounds.max(1) {
        let new = run(args, tool, limit, capture)?;
        if best.as_ref().is_none_or(|best| new.used.wall < best.used.wall) {
            best = Some(new);
        }
    }
    best.context("no rounds")
}

/// One core, for all.
const PLAN: Plan = Plan { cores: 1, own_memory: true, output: measure::Output::Null };

fn run(args: &Args, tool: Tool, limit: u32, capture: &Path) -> anyhow::Result<Run> {
    let dir = args.data.join("flows");
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
    let (used, flows) = match tool {
        Tool::Softflowd | Tool::Flowprobe => {
            let program = tool.program(args);
            let (used, flows) = sink::collect(|to| {
                let mut words: Vec<OsString> = vec![program.into(), "-r".into(), capture.into()];
                let rest = format!("-n {to} -v 9 -m {limit} -c none -d");
                words.extend(rest.split(' ').map(OsString::from));
                measure::run(PLAN, &words)
            })?;
            (used?, flows)
        }
        Tool::Nfpcapd | Tool::FlowprobeFiles => {
            let limit = limit.to_string();
            let ours: &[&str] = &["-m", &limit, "-c", "none", "-d", "-z=lz4"];
            let words = if tool.is_ours() { ours } else { &["-y", "-t", "86400"] };
            let mut all: Vec<OsString> =
                vec![tool.program(args).into(), "-r".into(), capture.into()];
            all.extend([OsString::from("-w"), dir.clone().into()]);
            all.extend(words.iter().map(OsString::from));
            (measure::run(PLAN, &all)?, stored(&dir)?)
        }
    };
    let _ = fs::remove_dir_all(&dir);
    Ok(Run { used, flows })
}

/// Flows in the files of a directory.
fn stored(dir: &Path) -> anyhow::Result<Flows> {
    let mut flows = Flows::default();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_file() && !path.to_string_lossy().contains("/.") {
            let file = store::FlowFile::open(&path).with_context(|| path.display().to_string())?;
            if let Some(totals) = file.totals() {
                flows.flows += totals.all_flows();
                flows.packets += totals.all_packets();
                flows.octets += totals.all_bytes();
            }
        }
    }
    Ok(flows)
}
