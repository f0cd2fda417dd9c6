//! Where the options want records to go.

use crate::args::flownatd::settings::{Export, Files, Settings};
use anyhow::Context as _;
use export::{Dispatch, FilesConfig, SendConfig};
use nat::copies::{Copies, Style, Target};
use nat::lines::CsvConfig;
use nat::outlet::Outlet;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::Duration;
use sys::Leave;

/// How records are made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    /// When the exporter booted, milliseconds since 1970; 0 before the first record.
    pub(super) boot_ms: u64,
    /// Events come from a file, and may wait for whoever takes records.
    pub(super) is_replay: bool,
}

/// How long names may take at the start.
const RESOLVE: Duration = Duration::from_secs(10);

/// Opens destinations, files and lines.
pub(super) fn open(settings: &Settings, manner: Manner) -> anyhow::Result<Outlet> {
    let mut outlet = Outlet::new();
    for export in &settings.exports {
        let config = settings.records(export.kinds);
        outlet = outlet.with_export(config, dispatch(settings, export, manner)?);
    }
    if let Some(files) = &settings.files {
        let config = settings.records(files.kinds);
        outlet = outlet.with_files(config, open_files(settings, files, manner)?);
    }
    let lines = &settings.lines;
    let csv = Style::Csv(CsvConfig {
        exporter: settings.from.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)).into(),
        boot_ms: manner.boot_ms,
        zero_second: settings.zero_second,
    });
    let file = |path: &Path| match path.as_os_str() == "-" {
        true => Target::Stdout,
        false => Target::File(path.to_owned()),
    };
    let syslog =
        |path: &Path| Target::Syslog { socket: path.to_owned(), program: settings.program.clone() };
    let targets = [
        ("csv", csv, lines.csv.as_deref().map(file)),
        ("ndjson", Style::Json, lines.ndjson.as_deref().map(file)),
        ("syslog", csv, lines.syslog.as_deref().map(syslog)),
    ];
    for (name, style, target) in targets {
        let Some(target) = target else { continue };
        let shown = format!("--{name}: {target:?}");
        let copies = Copies::start(style, target, manner.is_replay).context(shown)?;
        outlet = outlet.with_copies(name, copies);
    }
    Ok(outlet)
}

fn dispatch(settings: &Settings, export: &Export, manner: Manner) -> anyhow::Result<Dispatch> {
    let send = SendConfig {
        transport: export.transport,
        leave: Leave { from: settings.from, ..Leave::default() },
        waits: manner.is_replay,
        resolve_within: Some(RESOLVE),
        ..SendConfig::new(export.to.clone(), export.encoder.version)
    };
    let mut encoder = export.encoder.clone();
    encoder.boot_ms = manner.boot_ms;
    Ok(Dispatch::start(encoder, send, false)?)
}

fn open_files(settings: &Settings, files: &Files, manner: Manner) -> anyhow::Result<export::Files> {
    let defaults = FilesConfig::new(&files.dir);
    let addr = settings.from.map_or(defaults.exporter.addr, Into::into);
    let mut config = FilesConfig {
        interval_secs: files.rotation.interval,
        sub_dirs: files.rotation.subdirs,
        ident: files.rotation.ident.clone(),
        compression: files.rotation.packing,
        extensions: files.extensions,
        exporter: record::Exporter { addr, ..defaults.exporter },
        every_slot: !manner.is_replay,
        ..defaults
    };
    if !files.rotation.has_index {
        config.index = None;
    }
    Ok(export::Files::open(config)?)
}
