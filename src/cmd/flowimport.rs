//! `flowimport`: flows of flow-tools, of CSV and of captures into nfcapd files.

mod input;
mod store;

use self::input::{Inputs, Octets};
use self::store::{Manner, Store, Written};
use super::{complain, complain_of};
use crate::args;
use crate::args::flowimport::{Args, Format};
use crate::exit::Exit;
use ::store::rotate::SubDirs;
use anyhow::{Context as _, bail, ensure};
use capture::Capture;
use flowtools::{Column, CsvReader, Ending, Header, Reader, Record};
use probe::offline::{self, Now};
use probe::{Cache, CacheConfig, Outlet};
use record::{Addr, Field, Flow};
use std::ffi::OsString;
use std::io::{self, BufReader, Write as _};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use sys::signal::{Signals, Stop};

/// Runs `flowimport`.
pub fn main(name: &str, args: Vec<OsString>) -> anyhow::Result<Exit> {
    match args::parse::<Args>(name, args)? {
        Ok(read) if read.args.header => headers(name, &read.args),
        Ok(read) => run(name, &read.args),
        Err(exit) => Ok(exit),
    }
}

fn run(name: &str, args: &Args) -> anyhow::Result<Exit> {
    let inputs = Inputs::find(args)?;
    inputs.notes.iter().for_each(|note| complain(name, note));
    let path = args.write.as_deref().context("where to? name a file or a directory with -w")?;
    check_output(path, &inputs)?;
    let printable = |c: char| ('!'..='~').contains(&c);
    ensure!(
        (1..=121).contains(&args.ident.len()) && args.ident.chars().all(printable),
        "-I: 1 to 121 printable characters without blanks"
    );
    let manner = Manner {
        interval: args.interval,
        sub_dirs: SubDirs::new(args.subdirs).context("-S takes 0 to 8")?,
        ident: args.ident.clone(),
        packing: args.compress.packing()?,
    };
    let stop = Signals::install()?.stop;
    let mut import = Import {
        name,
        args,
        stop: &stop,
        store: Some(Store::open(path, manner)?),
        seen: Seen::default(),
    };
    let result = inputs.files.iter().try_for_each(|file| import.file(file));
    let store = import.store.take().context("no file is open")?;
    if let Err(e) = result {
        store.discard();
        return Err(e.context("nothing is imported"));
    }
    if stop.is_requested() {
        store.discard();
        complain(name, "interrupted: nothing is imported");
        return Ok(Exit::Interrupted);
    }
    let seen = import.seen;
    if seen.read == 0 {
        store.discard();
        bail!("nothing is imported: none of the inputs could be read");
    }
    let written = store.finish()?;
    tell(name, args, &seen, &written)?;
    Ok(if seen.bad > 0 || written.unnumbered > 0 { Exit::Incomplete } else { Exit::Success })
}

/// What is read would be replaced by what is made of it.
fn check_output(path: &Path, inputs: &Inputs) -> anyhow::Result<()> {
    let Ok(written) = path.canonicalize() else { return Ok(()) };
    let same = inputs.files.iter().find(|file| file.canonicalize().is_ok_and(|f| f == written));
    ensure!(same.is_none(), "-w {}: is read as well: name another file", path.display());
    Ok(())
}

/// What came in.
#[derive(Debug, Default)]
struct Seen {
    /// Inputs of which something could be read.
    read: u64,
    /// Inputs that are not complete, damaged, or none at all.
    bad: u64,
    /// What the headers tell of losses.
    lost: u64,
    misordered: u64,
    corrupt: u64,
    /// Records that should be there.
    missing: u64,
    /// Values that no field takes.
    no_place: u64,
}

/// An import under way.
struct Import<'a> {
    name: &'a str,
    args: &'a Args,
    stop: &'a Stop,
    /// Away only while a capture is read.
    store: Option<Store>,
    seen: Seen,
}

impl Import<'_> {
    /// Imports a file. What is wrong with it is told; an error is that nothing can be written.
    fn file(&mut self, path: &Path) -> anyhow::Result<()> {
        if self.stop.is_requested() {
            return Ok(());
        }
        let (format, octets) = match input::open(path, self.args.format, self.stop) {
            Ok(opened) => opened,
            Err(_) if self.stop.is_requested() => return Ok(()),
            Err(e) => {
                self.bad(path, &format!("{e:#}"));
                return Ok(());
            }
        };
        match format {
            Format::Csv => self.lines(path, octets),
            Format::Pcap => self.packets(path, octets),
            Format::FlowTools | Format::Auto => self.flow_tools(path, octets),
        }
    }

    fn bad(&mut self, path: &Path, what: &str) {
        self.seen.bad += 1;
        complain_of(self.name, path, what);
    }

    fn flow_tools(&mut self, path: &Path, octets: Octets) -> anyhow::Result<()> {
        let mut reader = match Reader::new(octets) {
            Ok(reader) => reader,
            Err(e) => {
                self.bad(path, &e.to_string());
                return Ok(());
            }
        };
        let header = reader.header();
        let origin = Origin {
            version: header.export_version,
            exporter: header.exporter.unwrap_or(Addr::V4(0)),
        };
        let add = |sum: &mut u64, count: Option<u32>| *sum += u64::from(count.unwrap_or(0));
        add(&mut self.seen.lost, header.lost);
        add(&mut self.seen.misordered, header.misordered);
        add(&mut self.seen.corrupt, header.corrupt);
        let failed = self.records(origin, |record| reader.read(record))?;
        self.seen.read += 1;
        match (failed, reader.ending()) {
            (Some(e), _) => self.bad(path, &format!("{e}: what came before it is imported")),
            (None, Some(ending)) if !ending.is_whole() => {
                self.seen.missing += ending.missing;
                self.bad(path, &unfinished(&ending));
            }
            _ => {}
        }
        Ok(())
    }

    fn lines(&mut self, path: &Path, octets: Octets) -> anyhow::Result<()> {
        let mut reader = CsvReader::new(BufReader::new(octets), self.args.columns);
        let origin = Origin { version: 5, exporter: Addr::V4(0) };
        let failed = self.records(origin, |record| reader.read(record))?;
        let (records, is_sound) = (reader.records(), failed.is_none());
        self.seen.read += u64::from(records > 0 || is_sound);
        if let Some(e) = failed {
            self.bad(path, &format!("{e}; {records} flows before it"));
        }
        Ok(())
    }

    /// Stores records until there are no more. Returns why they could not be read on.
    fn records(
        &mut self,
        origin: Origin,
        mut read: impl FnMut(&mut Record) -> Result<bool, flowtools::Error>,
    ) -> anyhow::Result<Option<flowtools::Error>> {
        let (mut record, mut flow) = (Record::default(), Flow::new());
        let mut last = None;
        let store = self.store.as_mut().context("no file is open")?;
        while !self.stop.is_requested() {
            match read(&mut record) {
                Ok(true) => {}
                Ok(false) => return Ok(None),
                Err(e) => return Ok(Some(e)),
            }
            self.seen.no_place += u64::from(record.to_flow(&mut flow));
            let key = origin.key(&record, &mut flow);
            let number = match last {
                Some((known, number)) if known == key => number,
                _ => store.exporter(key.0, key.1, key.2),
            };
            last = Some((key, number));
            store.flow(number, &mut flow)?;
        }
        Ok(None)
    }

    /// Stores the flows of a capture: those of `flowprobe -r`.
    fn packets(&mut self, path: &Path, octets: Octets) -> anyhow::Result<()> {
        let mut capture = match Capture::new(octets) {
            Ok(capture) => capture,
            Err(e) => {
                self.bad(path, &e.to_string());
                return Ok(());
            }
        };
        let store = self.store.take().context("no file is open")?;
        let taker = Arc::new(Mutex::new(Taker::new(store)));
        let into = Arc::clone(&taker);
        let mut outlet = Outlet::new().with_taker(move |now_ms, flow| {
            into.lock().unwrap_or_else(PoisonError::into_inner).take(now_ms, flow);
        });
        let mut cache = Cache::new(CacheConfig::default());
        let read = offline::read(&mut capture, &mut cache, &mut outlet, Now::OfPackets, self.stop);
        drop(outlet);
        let taker = Arc::into_inner(taker).context("the flows of a capture are still taken")?;
        let taker = taker.into_inner().unwrap_or_else(PoisonError::into_inner);
        self.store = Some(taker.store);
        taker.failed.map_or(Ok(()), Err)?;
        self.seen.read += 1;
        if let Some(e) = read.error {
            self.bad(path, &format!("{e}: what came before it is imported"));
        } else if let Some(cut) = capture.cut() {
            self.bad(path, &cut.to_string());
        }
        Ok(())
    }
}

/// Stores flows that packets make.
struct Taker {
    store: Store,
    exporter: u16,
    failed: Option<anyhow::Error>,
}

impl Taker {
    /// The exporter that `flowprobe` is in its files.
    fn new(mut store: Store) -> Self {
        let addr = Addr::from(std::net::IpAddr::from([127, 0, 0, 1]));
        let exporter = store.exporter(addr, 10, 0);
        Self { store, exporter, failed: None }
    }

    fn take(&mut self, now_ms: u64, flow: &mut Flow) {
        if self.failed.is_none() {
            flow.set(Field::Received, now_ms);
            self.failed = self.store.flow(self.exporter, flow).err();
        }
    }
}

/// Who records are from where they do not say it themselves.
#[derive(Clone, Copy, Debug)]
struct Origin {
    version: u16,
    exporter: Addr,
}

impl Origin {
    /// Puts who exported a flow into it. Returns what an exporter is known by: address, version, and
    /// type and id of the engine.
    fn key(self, record: &Record, flow: &mut Flow) -> (Addr, u32, u32) {
        let own = record.addr(Column::ExAddr);
        let addr = if own.is_unspecified() { self.exporter } else { own };
        if own.is_unspecified() && !addr.is_unspecified() {
            flow.set_addr(Field::Router, addr);
        }
        // Records of v6 and tagged ones are made of v5.
        let version = if matches!(self.version, 1 | 7) { self.version } else { 5 };
        flow.set(Field::Source, version.into());
        let (kind, id) = (record.number(Column::EngineType), record.number(Column::EngineId));
        (addr, version.into(), ((kind & 0xff) << 8 | id & 0xff) as u32)
    }
}

/// What is not complete, and why.
fn unfinished(ending: &Ending) -> String {
    let what = if ending.has_more {
        "something follows its last flow, and is no part of it".to_owned()
    } else if ending.missing > 0 {
        format!("{} flows are missing at its end", ending.missing)
    } else if ending.is_cut || ending.cut_octets > 0 {
        "breaks off within a flow".to_owned()
    } else {
        "was not closed: flow-capture still writes to it, or was killed".to_owned()
    };
    format!("{what}; {} flows are imported", ending.records)
}

/// Says what was imported, and what was not.
fn tell(name: &str, args: &Args, seen: &Seen, written: &Written) -> io::Result<()> {
    let Written { flows, files, merged, exporters, unnumbered } = written;
    if !args.quiet {
        writeln!(
            io::stdout().lock(),
            "Imported {flows} flows of {exporters} exporters from {} inputs into {files} files. \
             Before that, by the headers: {} flows lost, {} datagrams out of order, {} corrupt.",
            seen.read,
            seen.lost,
            seen.misordered,
            seen.corrupt
        )?;
    }
    for (count, what) in [
        (*merged, "files were there already and have been added to"),
        (seen.missing, "flows that headers count are not there"),
        (seen.no_place, "values have no place in a flow file: encapsulations, bypassed routers"),
        (*unnumbered, "flows are of more exporters than can be numbered: they have none"),
    ] {
        if count > 0 {
            complain(name, &format!("{count} {what}"));
        }
    }
    Ok(())
}

/// `--header`: the lines of flow-header for each file.
fn headers(name: &str, args: &Args) -> anyhow::Result<Exit> {
    let inputs = Inputs::find(args)?;
    let mut exit = Exit::Success;
    // Nobody asks for it: a signal ends what only prints.
    let stop = Stop::new()?;
    for path in &inputs.files {
        let header =
            input::open(path, Format::FlowTools, &stop).and_then(|(_, octets)| header_of(octets));
        match header {
            Ok(header) => {
                let mut out = io::stdout().lock();
                if inputs.files.len() > 1 {
                    writeln!(out, "{}", path.display())?;
                }
                out.write_all(header.lines(ctime).as_bytes())?;
            }
            Err(e) => {
                complain_of(name, path, &format!("{e:#}"));
                exit = Exit::Incomplete;
            }
        }
    }
    Ok(exit)
}

fn header_of(octets: Octets) -> anyhow::Result<Header> {
    Ok(Header::read(&mut BufReader::new(octets))?)
}

/// Local time as ctime(3) has it: `Wed May  1 23:45:02 2001`.
fn ctime(secs: u32) -> String {
    use chrono::TimeZone as _;
    let time = chrono::Local.timestamp_opt(secs.into(), 0).earliest();
    time.map(|time| time.format("%a %b %e %H:%M:%S %Y").to_string()).unwrap_or_default()
}
