//! What runs beside the collector and shows it to others: HTTP, nfcapd's metrics.

use crate::args::flowcapd::Args;
use crate::exit::Exit;
use anyhow::Context as _;
use collector::nfmetrics;
use collector::run::Beside;
use std::io::Write as _;
use std::net::SocketAddr;
use std::thread;

/// Starts the threads of what the options ask for. They end with the process.
pub(super) fn start(
    server: Option<web::Server>,
    args: &Args,
    beside: &Beside,
) -> anyhow::Result<()> {
    if let Some(server) = server {
        let stop = beside.signals.stop.clone();
        spawn("http", move || server.run(&stop))?;
    }
    if let Some(socket) = &args.metrics_socket {
        let options =
            nfmetrics::Options { socket: socket.clone(), interval_secs: args.metrics_interval };
        let (board, stop) = (beside.board.clone(), beside.signals.stop.clone());
        spawn("metrics", move || nfmetrics::run(&options, &board, &stop))?;
    }
    Ok(())
}

/// Collecting goes on whatever becomes of it.
fn spawn(
    name: &'static str,
    work: impl FnOnce() -> std::io::Result<()> + Send + 'static,
) -> anyhow::Result<()> {
    let work = move || {
        if let Err(e) = work() {
            log::error!("{name}: {e}: not served any more");
        }
    };
    thread::Builder::new().name(name.to_owned()).spawn(work).context("start a thread")?;
    Ok(())
}

/// Prints the templates of the collector that serves HTTP at `addr`.
pub(super) fn print_templates(addr: &str) -> anyhow::Result<Exit> {
    let addr: SocketAddr = addr.parse().with_context(|| format!("--templates {addr}"))?;
    let page = web::fetch(addr, "/templates?format=text")
        .context("is a collector running there with --http?")?;
    std::io::stdout().write_all(&page)?;
    Ok(Exit::Success)
}
