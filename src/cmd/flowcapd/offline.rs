//! `-f` and `-Y`: export packets from a file, in place of the network.

use super::Equipment;
use crate::args::flowcapd::Args;
use crate::exit::Exit;
use anyhow::Context as _;
use capture::Capture;
use collector::{Arrival, Collector, Config, offline};
use std::fs::File;
use std::path::Path;
use sys::signal::Signals;

/// Stores what is in a capture, as if it arrived when it was captured.
pub(super) fn capture(path: &Path, args: &Args, config: Config) -> anyhow::Result<Exit> {
    let shown = path.display();
    let mut capture = Capture::open(path).with_context(|| format!("capture {shown}"))?;
    let stop = Signals::install()?.stop;
    let mut late = Late::new(config, args)?;
    let read = offline::read_capture(&mut capture, &args.port, &stop, |a, b| late.receive(a, b));
    late.close()?;
    let captured = read.with_context(|| format!("capture {shown}"))?;
    log::info!(
        "{shown}: {} packets, of them export datagrams: {}, to other ports: {}, others: {}, cut \
         short: {}",
        captured.packets,
        captured.datagrams,
        captured.other_ports,
        captured.others,
        captured.truncated
    );
    Ok(if captured.truncated == 0 { Exit::Success } else { Exit::Incomplete })
}

/// Stores what is in a file of IPFIX messages, as if it arrived when it was exported.
pub(super) fn messages(path: &Path, args: &Args, config: Config) -> anyhow::Result<Exit> {
    let shown = path.display();
    let file = File::open(path).with_context(|| format!("file {shown}"))?;
    let stop = Signals::install()?.stop;
    let mut late = Late::new(config, args)?;
    let read = offline::read_messages(file, &stop, |a, b| late.receive(a, b));
    late.close()?;
    let messages = read.with_context(|| format!("file {shown}"))?;
    log::info!("{shown}: {messages} messages");
    Ok(Exit::Success)
}

/// A collector that starts with the first thing that arrives, whose time is that of its first slot.
struct Late {
    /// What it is made of, until then.
    parts: Option<(Config, Equipment)>,
    collector: Option<Collector>,
    last_ms: u64,
}

impl Late {
    /// The input is open; from here on it is the user asked for who works.
    fn new(mut config: Config, args: &Args) -> anyhow::Result<Self> {
        config.keeps_state = false;
        let idle = [
            ("-R", !args.repeat.is_empty()),
            ("-D", args.daemon),
            ("-P", args.pid_file.is_some()),
            ("-m", args.metrics_socket.is_some()),
            ("--http", args.http.is_some()),
            ("--tcp", !args.tcp.is_empty()),
            ("--tls", !args.tls.is_empty()),
        ];
        for (option, _) in idle.iter().filter(|(_, is_there)| *is_there) {
            log::warn!("{option} does nothing where a file is read");
        }
        let equipment = Equipment::read(args)?;
        super::drop_privileges(args)?;
        Ok(Self { parts: Some((config, equipment)), collector: None, last_ms: 0 })
    }

    fn receive(&mut self, arrival: &Arrival, bytes: &[u8]) -> anyhow::Result<()> {
        self.last_ms = arrival.at_ms;
        if let Some((config, equipment)) = self.parts.take() {
            let mut collector = Collector::new(config, arrival.at_ms)?;
            equipment.give_to(&mut collector);
            self.collector = Some(collector);
        }
        self.collector.iter_mut().for_each(|c| c.receive(arrival, bytes));
        Ok(())
    }

    fn close(&mut self) -> anyhow::Result<()> {
        let Some(collector) = &mut self.collector else {
            log::warn!("no export packets: nothing is stored");
            return Ok(());
        };
        collector.close(self.last_ms);
        Ok(())
    }
}
