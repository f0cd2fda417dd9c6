//! The smallest collector: one port, one directory, the log on stderr, the account at the end.
//!
//! ```text
//! cargo run --release -p flowsuite-collector --example collect -- 9995 DIR [COMPRESSION] [BUFFER]
//! ```

use std::error::Error;
use std::net::Ipv4Addr;

use collector::{Collector, Config, run};
use sys::clock;
use sys::signal::Signals;
use sys::udp::Listen;

struct Stderr;

impl log::Log for Stderr {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        eprintln!("{}", record.args());
    }

    fn flush(&self) {}
}

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [port, dir, rest @ ..] = args.as_slice() else {
        return Err("usage: collect PORT DIR [none|lz4|zstd|...] [RECEIVE BUFFER]".into());
    };
    log::set_logger(&Stderr)?;
    log::set_max_level(log::LevelFilter::Info);
    let listen = Listen {
        bind: Some(Ipv4Addr::LOCALHOST.into()),
        port: port.parse()?,
        receive_buffer: rest.get(1).map(|n| n.parse()).transpose()?,
        ..Listen::default()
    };
    let mut config = Config::new(listen, dir.into());
    if let Some(name) = rest.first() {
        config.compression = name.parse()?;
    }
    let signals = Signals::install()?;
    let receivers = run::bind(&config.listen)?;
    let mut collector = Collector::new(config, clock::now_ms())?;
    run::run(&mut collector, receivers, &signals)?;
    println!("{:#?}", collector.account());
    let used = clock::used();
    eprintln!(
        "user {:.2} s, system {:.2} s, peak memory {} MB",
        used.user.as_secs_f64(),
        used.system.as_secs_f64(),
        used.peak_memory >> 20
    );
    Ok(())
}
