//! The screen: one thread draws and takes keys, one reads files, one looks names up.

use super::Setup;
use super::reader::{Prepared, Session};
use crate::args::flowdump::Color;
use crate::args::flowtop::Args;
use crate::exit::Exit;
use anyhow::Context as _;
use chrono::{Local, TimeZone as _};
use output::Services;
use std::io::{self, IsTerminal as _};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use sys::signal::{JobControl, Signals};
use top::Look as Read;
use top::model::{Ask, Effect, Event, Model};
use top::tui::{Input, Screen};
use top::view::Look;

/// How long a signal or an answer may wait for the screen to look up from its keys.
const TICK: Duration = Duration::from_millis(50);
/// How long reading may go on before there is an answer of what was read so far.
const PATIENCE: Duration = Duration::from_millis(300);

pub(super) fn show(args: &Args, setup: Setup, ask: Ask, rows: usize) -> anyhow::Result<Exit> {
    anyhow::ensure!(
        io::stdin().is_terminal() && io::stdout().is_terminal(),
        "standard input and output are no terminal: use --once"
    );
    let signals = Signals::install()?;
    let jobs = JobControl::install()?;
    let (to_screen, events) = channel();
    let (asks, reader) = start_reader(setup.clone(), ask.clone(), rows, to_screen.clone())?;
    let names = start_resolver(to_screen)?;
    let mut model = model(args, setup, ask);
    let mut screen = Screen::open().context("the terminal")?;
    let threads = Threads { events, asks, reader, names };
    let look = look(args);
    run(&mut screen, &mut model, &look, &threads, (&signals, &jobs))
}

fn model(args: &Args, setup: Setup, ask: Ask) -> Model {
    let grouping = setup.grouping.clone();
    let check = move |text: &str| setup.filter(text).map(|_| ());
    let services = std::fs::read_to_string("/etc/services").unwrap_or_default();
    let services = Services::parse(&services);
    let ports = move |port| services.any_name(port).map(str::to_owned);
    let model = Model::new(ask, grouping, Box::new(check)).with_ports(Box::new(ports));
    if args.show.names { model.with_names() } else { model }
}

fn look(args: &Args) -> Look {
    let is_set = |name| std::env::var_os(name).filter(|v| !v.is_empty());
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(is_set).unwrap_or_default();
    let locale = locale.to_string_lossy().to_ascii_uppercase();
    Look {
        colour: match args.show.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => is_set("NO_COLOR").is_none(),
        },
        unicode: locale.contains("UTF-8") || locale.contains("UTF8"),
        clock: |ms| {
            let time =
                i64::try_from(ms).ok().and_then(|ms| Local.timestamp_millis_opt(ms).single());
            time.map(|t| t.format("%H:%M:%S").to_string()).unwrap_or_default()
        },
    }
}

/// The ends of what goes to and comes from the other threads.
struct Threads {
    events: Receiver<Event>,
    asks: Sender<Ask>,
    reader: JoinHandle<()>,
    names: Sender<Vec<String>>,
}

fn run(
    screen: &mut Screen,
    model: &mut Model,
    look: &Look,
    threads: &Threads,
    (signals, jobs): (&Signals, &JobControl),
) -> anyhow::Result<Exit> {
    let mut is_stale = true;
    loop {
        if is_stale {
            let rows = screen.draw(model, look).context("the terminal")?;
            model.update(Event::Rows(rows));
        }
        // HUP is a terminal that has gone.
        if signals.stop.is_requested() || signals.take_hangup() {
            return Ok(Exit::Success);
        }
        // A panic there has given the terminal back already.
        anyhow::ensure!(!threads.reader.is_finished(), "the thread that reads files has ended");
        let mut effects = if jobs.take_stop() { vec![Effect::Suspend] } else { Vec::new() };
        let input = screen.input(TICK).context("the terminal")?;
        is_stale = input.is_some();
        match input {
            Some(Input::Key(key)) => effects.extend(model.update(Event::Key(key))),
            Some(Input::Paste(text)) => effects.extend(model.update(Event::Paste(text))),
            Some(Input::Resized) | None => {}
        }
        while let Ok(event) = threads.events.try_recv() {
            is_stale = true;
            effects.extend(model.update(event));
        }
        for effect in effects {
            is_stale = true;
            match effect {
                Effect::Quit => return Ok(Exit::Success),
                Effect::Ask(ask) => threads.asks.send(ask).context("the reader has ended")?,
                Effect::Resolve(addresses) => drop(threads.names.send(addresses)),
                Effect::Redraw => screen.clear().context("the terminal")?,
                Effect::Suspend => {
                    screen.close();
                    jobs.suspend()?;
                    screen.reopen().context("the terminal")?;
                }
            }
        }
    }
}

/// Starts the thread that looks up names, which may take its time.
fn start_resolver(out: Sender<Event>) -> anyhow::Result<Sender<Vec<String>>> {
    let (to, asked) = channel::<Vec<String>>();
    let work = move || {
        for address in asked.into_iter().flatten() {
            let name = address.parse().ok().and_then(sys::names::of_address);
            if out.send(Event::Named(vec![(address, name)])).is_err() {
                return;
            }
        }
    };
    thread::Builder::new().name("names".into()).spawn(work).context("a thread for names")?;
    Ok(to)
}

/// Starts the thread that reads. It ends when nobody asks any more.
fn start_reader(
    setup: Setup,
    first: Ask,
    rows: usize,
    out: Sender<Event>,
) -> anyhow::Result<(Sender<Ask>, JoinHandle<()>)> {
    let (to, asks) = channel();
    let work = move || {
        let mut ask = first;
        while let Some(next) = answer(&setup, ask, rows, &asks, &out) {
            ask = next;
        }
    };
    let thread = thread::Builder::new().name("reader".into()).spawn(work);
    Ok((to, thread.context("a thread that reads")?))
}

/// Answers a question again and again, and those that need no other counting. Returns the one with
/// which counting begins anew, `None` at the end.
fn answer(
    setup: &Setup,
    mut ask: Ask,
    rows: usize,
    asks: &Receiver<Ask>,
    out: &Sender<Event>,
) -> Option<Ask> {
    let failed = |why: String| out.send(Event::Failed(why)).ok();
    let prepared = match Prepared::new(setup, &ask, rows) {
        Ok(prepared) => prepared,
        Err(why) => {
            failed(why)?;
            return asks.recv().ok();
        }
    };
    let mut session = Session::new(setup, &prepared, sys::clock::now_ms());
    loop {
        let began = sys::clock::monotonic();
        let mut asked = None;
        let look = session.look(sys::clock::now_ms(), || {
            asked = asks.try_iter().last().or_else(|| asked.take());
            asked.is_none() && began.elapsed() < PATIENCE
        });
        let is_complete = match look {
            Ok(Read::Changed) => return Some(asked.unwrap_or(ask)),
            Ok(look) => look == Read::Done,
            Err(e) => {
                failed(e.to_string())?;
                true
            }
        };
        if let Some(next) = asked.take() {
            if next.counts_otherwise(&ask) {
                return Some(next);
            }
            ask = next;
        }
        let answer = session.answer(&ask, rows, sys::clock::now_ms(), is_complete);
        out.send(Event::Answer(Box::new(answer))).ok()?;
        if !is_complete {
            continue;
        }
        match asks.recv_timeout(Duration::from_secs(ask.interval_secs)) {
            Ok(next) => {
                let next = asks.try_iter().last().unwrap_or(next);
                if next.counts_otherwise(&ask) {
                    return Some(next);
                }
                ask = next;
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return None,
        }
    }
}
