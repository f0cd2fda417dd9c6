//! `flowlake stream`: from options to a stream, and what it says.

use anyhow::{Context as _, bail, ensure};
use filter::{Filter, ParseOptions};
use flowsuite::app::WithExit;
use flowsuite::args::flowlake::stream as args;
use flowsuite::cmd::outside;
use flowsuite::exit::Exit;
use lake::http::Authorities;
use lake::schema::Column;
use lake::stream::clickhouse::{Address, Rows, Table};
use lake::stream::journal::Journal;
use lake::stream::ndjson::{Lines, Target as File};
use lake::stream::otlp::{self, Receiver};
use lake::stream::row_binary::{self, Dialect};
use lake::stream::{Counts, Encode, Options, Sink, SinkError, Stream, StreamError};
use output::FormatOptions;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use store::ReadOptions;
use store::select::{Input, select};
use sys::clock::monotonic;

/// Files between two looks at what happened.
const FILES_A_PASS: usize = 16;
/// How long a target is waited for, unless files are followed.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where flows go.
enum To<'a> {
    Kafka(&'a str),
    ClickHouse(&'a str),
    /// `http` or `https`, and what stands behind `//`.
    Otlp(&'a str, &'a str),
    Lines(&'a Path),
}

/// Runs `flowlake stream`.
pub(crate) fn run(name: &str, args: &args::Stream) -> anyhow::Result<Exit> {
    let to = target(&args.target.to)?;
    let columns = row_binary::columns(args.clickhouse.columns.as_deref())?;
    if let Some(server) = args.clickhouse.print_create {
        return print_create(&to, &columns, server);
    }
    check(args, &to)?;
    let stop = sys::signal::interrupt()?;
    let options = options(args, &to)?;
    let mut journal = match &args.target.state {
        Some(path) => Journal::open(path, &options.name)?,
        None => Journal::none(),
    };
    let (mut encode, mut sink) = ends(args, &to, columns, &journal, stop)?;
    let mut stream = Stream::new(&options, stop);
    let mut work = Work { name, args, stream: &mut stream, journal: &mut journal, stop };
    let result = work.all(encode.as_mut(), sink.as_mut());
    work.tell_trouble();
    let counts = stream.counts();
    eprintln!("{name}: {}", summary(&counts));
    match result {
        Ok(()) | Err(StreamError::Sink(SinkError::Stopped)) if stop.load(Relaxed) => {
            Ok(if args.input.follow.is_empty() { Exit::Interrupted } else { Exit::Success })
        }
        Ok(()) if counts.is_complete() => Ok(Exit::Success),
        Ok(()) => Ok(Exit::Incomplete),
        Err(StreamError::Sink(SinkError::Io { source, .. })) => Err(source.into()),
        Err(e) => Err(e.into()),
    }
}

fn target(text: &str) -> anyhow::Result<To<'_>> {
    Ok(match text.split_once(':') {
        Some(("kafka", rest)) => To::Kafka(rest),
        Some(("clickhouse", rest)) => To::ClickHouse(rest),
        Some((word @ ("otlp+http" | "otlp+https"), rest)) if rest.starts_with("//") => {
            let scheme = if word == "otlp+http" { "http" } else { "https" };
            To::Otlp(scheme, rest.trim_start_matches('/'))
        }
        Some(("ndjson", rest)) if !rest.is_empty() => To::Lines(Path::new(rest)),
        _ => bail!(
            "--to {text}: kafka:BROKERS/TOPIC, clickhouse:HOST/TABLE, otlp+http://HOST, ndjson:FILE or \
             ndjson:-"
        ),
    })
}

fn print_create(to: &To<'_>, columns: &[&Column], server: args::Server) -> anyhow::Result<Exit> {
    let To::ClickHouse(address) = to else { bail!("--print-create is for clickhouse:HOST/TABLE") };
    let dialect = match server {
        args::Server::New => Dialect::Modern,
        args::Server::Old => Dialect::Plain,
    };
    let statement = row_binary::create(&Address::parse(address)?.table, columns, dialect);
    std::io::Write::write_all(&mut std::io::stdout(), format!("{statement}\n").as_bytes())?;
    Ok(Exit::Success)
}

/// What options cannot say of themselves.
fn check(args: &args::Stream, to: &To<'_>) -> anyhow::Result<()> {
    let (target, kafka, clickhouse) = (&args.target, &args.kafka, &args.clickhouse);
    let is_kept = target.state.is_some() || target.no_state;
    ensure!(
        is_kept || matches!(to, To::Lines(_)),
        "--state FILE is missing: with it, a later run goes on where this one ends; with --no-state \
         it sends all again"
    );
    let of_kafka = kafka.key != args::Key::None
        || kafka.plain_messages
        || kafka.drop_when_full
        || kafka.transactional_id.is_some()
        || !kafka.kafka_option.is_empty();
    ensure!(!of_kafka || matches!(to, To::Kafka(_)), "options of Kafka need --to kafka:...");
    let of_clickhouse = clickhouse.columns.is_some()
        || clickhouse.create
        || clickhouse.user.is_some()
        || clickhouse.password_file.is_some();
    ensure!(
        !of_clickhouse || matches!(to, To::ClickHouse(_)),
        "options of ClickHouse need --to clickhouse:..."
    );
    ensure!(
        args.http.header.is_empty() || matches!(to, To::Otlp(..)),
        "--header needs --to otlp+http://..."
    );
    let input = &args.input;
    let is_named = input.read.is_some() || input.many.range.is_some() || !input.follow.is_empty();
    ensure!(is_named, "nothing to read: say -r FILE, -R DIR or --follow DIR");
    Ok(())
}

fn options(args: &args::Stream, to: &To<'_>) -> anyhow::Result<Options> {
    let text = args.filter.join(" ");
    let parse = ParseOptions {
        include: Some(&|path| outside::read_text(Path::new(path)).map_err(|e| e.to_string())),
        ..ParseOptions::default()
    };
    let filter = Filter::parse_with(&text, &parse)
        .map_err(|e| WithExit { exit: Exit::Filter, message: e.to_string() })?;
    let what = match to {
        To::ClickHouse(_) => args.clickhouse.columns.as_deref().unwrap_or("usual columns"),
        _ => "all fields",
    };
    let which = if text.is_empty() { "any" } else { &text };
    let key = args.input.passphrase.as_deref().map(outside::passphrase).transpose()?;
    Ok(Options {
        name: format!("{which}; {what}; to {}", args.target.to),
        filter,
        batch_rows: args.target.batch,
        read: ReadOptions { key },
    })
}

type Ends<'o> = (Box<dyn Encode>, Box<dyn Sink + 'o>);

/// What encodes flows, and where they go.
fn ends<'o>(
    args: &args::Stream,
    to: &To<'_>,
    columns: Vec<&'static Column>,
    journal: &Journal,
    stop: &'o AtomicBool,
) -> anyhow::Result<Ends<'o>> {
    let default = args.input.follow.is_empty().then_some(PATIENCE);
    let patience = args.target.patience.map(Duration::from_secs).or(default);
    Ok(match to {
        To::Kafka(address) => kafka(address, &args.kafka, stop, patience)?,
        To::ClickHouse(address) => {
            let mut address = Address::parse(address)?;
            let options = &args.clickhouse;
            address.user = options.user.clone().unwrap_or_default();
            address.password = match &options.password_file {
                Some(path) => first_line(path)?,
                None => String::new(),
            };
            let authorities = Authorities::for_url(&address.url, args.http.ca.as_deref())?;
            let mut table = Table::new(address, &columns, stop, patience).believing(authorities);
            if options.create {
                table.create(&columns)?;
            }
            (Box::new(Rows::new(columns)), Box::new(table))
        }
        To::Otlp(scheme, rest) => {
            let url = otlp::url(rest, scheme)?;
            let authorities = Authorities::for_url(&url, args.http.ca.as_deref())?;
            let headers = pairs("--header", &args.http.header, ':')?;
            let receiver = Receiver::new(url, headers, stop, patience).believing(authorities);
            (Box::new(otlp::Records), Box::new(receiver))
        }
        To::Lines(path) => {
            let lines = match path.as_os_str() == "-" {
                true => File::standard_output(),
                // A file is begun anew, unless a state says what of it is right.
                false => File::open(path, journal.sink_reached()),
            };
            let lines = lines.with_context(|| format!("{}", path.display()))?;
            (Box::new(Lines::new(&FormatOptions::default())?), Box::new(lines))
        }
    })
}

/// Names and values of an option; `@FILE` has one in each line, but for `#` and what is empty.
fn pairs(option: &str, words: &[String], between: char) -> anyhow::Result<Vec<(String, String)>> {
    let mut pairs = Vec::new();
    let mut add = |text: &str, place: &str| -> anyhow::Result<()> {
        // Not what stands there: it may be a secret.
        let pair = text.split_once(between);
        let (name, value) =
            pair.with_context(|| format!("{option} {place}: NAME{between}VALUE is missing"))?;
        pairs.push((name.trim().to_owned(), value.trim().to_owned()));
        Ok(())
    };
    for word in words {
        let Some(path) = word.strip_prefix('@') else {
            add(word, word)?;
            continue;
        };
        let text = outside::read_text(Path::new(path)).with_context(|| path.to_owned())?;
        let lines = text.lines().enumerate().map(|(n, line)| (n, line.trim()));
        for (n, line) in lines.filter(|(_, l)| !l.is_empty() && !l.starts_with('#')) {
            add(line, &format!("@{path}, line {}", n + 1))?;
        }
    }
    Ok(pairs)
}

fn first_line(path: &Path) -> anyhow::Result<String> {
    let text = outside::read_text(path).with_context(|| format!("{}", path.display()))?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

#[cfg(feature = "kafka")]
fn kafka<'o>(
    address: &str,
    options: &args::Kafka,
    stop: &'o AtomicBool,
    patience: Option<Duration>,
) -> anyhow::Result<Ends<'o>> {
    use lake::stream::goflow::Framing;
    use lake::stream::kafka::{Key, Messages, Settings, Topic};
    let mut settings = Settings::parse(address)?;
    settings.transactional_id.clone_from(&options.transactional_id);
    settings.drop_when_full = options.drop_when_full;
    settings.properties = pairs("--kafka-option", &options.kafka_option, '=')?;
    let key = match options.key {
        args::Key::None => Key::None,
        args::Key::Src => Key::Source,
        args::Key::Dst => Key::Destination,
        args::Key::Pair => Key::Pair,
        args::Key::Exporter => Key::Exporter,
    };
    let framing = if options.plain_messages { Framing::Plain } else { Framing::Delimited };
    let topic = Topic::new(settings, stop, patience)?;
    Ok((Box::new(Messages::new(framing, key)), Box::new(topic)))
}

#[cfg(not(feature = "kafka"))]
fn kafka<'o>(
    _: &str,
    _: &args::Kafka,
    _: &'o AtomicBool,
    _: Option<Duration>,
) -> anyhow::Result<Ends<'o>> {
    bail!("this flowlake was built without Kafka: build it with the feature kafka")
}

/// A run.
struct Work<'r, 'o> {
    name: &'r str,
    args: &'r args::Stream,
    stream: &'r mut Stream<'o>,
    journal: &'r mut Journal,
    stop: &'o AtomicBool,
}

impl Work<'_, '_> {
    fn all(&mut self, encode: &mut dyn Encode, sink: &mut dyn Sink) -> Result<(), StreamError> {
        let (mut reported, mut said) = (monotonic(), Counts::default());
        let mut is_first = true;
        loop {
            let files = self.files(is_first)?;
            // What is in doubt is settled even if there is nothing else.
            let empty: [&[PathBuf]; 1] = [&[]];
            let passes = files.chunks(FILES_A_PASS).chain(empty);
            for files in passes {
                self.stream.pass(files, self.journal, encode, sink)?;
                self.tell_trouble();
                let is_due = reported.elapsed().as_secs() >= self.args.target.report;
                if !self.args.input.follow.is_empty() && is_due && self.stream.counts() != said {
                    (reported, said) = (monotonic(), self.stream.counts());
                    eprintln!("{}: {}", self.name, summary(&said));
                }
                if self.stop.load(Relaxed) {
                    return Ok(());
                }
            }
            if self.args.input.follow.is_empty() {
                return Ok(());
            }
            is_first = false;
            self.wait();
        }
    }

    /// Files as the options name them. Directories that are followed have to be there at first.
    fn files(&self, is_first: bool) -> Result<Vec<PathBuf>, StreamError> {
        let input = &self.args.input;
        let followed: Vec<String> =
            input.follow.iter().map(|dir| dir.to_string_lossy().into_owned()).collect();
        let mut inputs: Vec<Input<'_>> =
            followed.iter().map(|dir| Input { range: Some(dir), ..Input::default() }).collect();
        if inputs.is_empty() {
            inputs.push(Input {
                read: input.read.as_deref(),
                range: input.many.range.as_deref(),
                sources: input.many.multi.as_deref(),
            });
        }
        let mut files = Vec::new();
        for input in &inputs {
            match select(input) {
                Ok(selected) => {
                    if let Some(warning) = selected.warning().filter(|_| is_first) {
                        eprintln!("{}: {warning}", self.name);
                    }
                    files.extend(selected.files);
                }
                Err(e) if is_first => return Err(StreamError::Input(e)),
                Err(e) => eprintln!("{}: {e}", self.name),
            }
        }
        // States know files by these names, wherever a run begins.
        Ok(files.into_iter().map(|path| path.canonicalize().unwrap_or(path)).collect())
    }

    fn wait(&self) {
        const STEP: Duration = Duration::from_millis(100);
        let until = monotonic() + Duration::from_secs(self.args.input.interval);
        while monotonic() < until && !self.stop.load(Relaxed) {
            std::thread::sleep(STEP);
        }
    }

    fn tell_trouble(&mut self) {
        for line in self.stream.take_trouble() {
            eprintln!("{}: {line}", self.name);
        }
    }
}

/// What was done, in one line.
fn summary(counts: &Counts) -> String {
    let mut line = format!(
        "{} flows read, {} kept out by the filter, {} delivered in {} batches ({} octets), {} files",
        counts.read, counts.filtered, counts.delivered, counts.batches, counts.octets, counts.files
    );
    for (n, what) in [
        (counts.was_there, "had arrived before"),
        (counts.dropped, "dropped: the target was too slow"),
        (counts.changed_files, "files changed after they were streamed"),
        (counts.unreadable_files, "files could not be read"),
        (counts.damaged_blocks, "blocks could not be read in full"),
    ] {
        if n > 0 {
            line.push_str(&format!(", {n} {what}"));
        }
    }
    line
}
