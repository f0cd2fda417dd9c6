//! `flowlake schema`: the columns of the dataset, and statements for engines.

use flowsuite::args::flowlake::write::{Engine, Schema};
use flowsuite::exit::Exit;
use lake::engine;
use std::io::{self, Write as _};

pub(crate) fn run(args: &Schema) -> anyhow::Result<Exit> {
    let dataset = args.dataset.as_deref();
    let text = match args.engine {
        None if args.markdown => engine::markdown(),
        None => engine::listing(),
        Some(of) => {
            let of = match of {
                Engine::Duckdb => engine::Engine::DuckDb,
                Engine::Spark => engine::Engine::Spark,
                Engine::Clickhouse => engine::Engine::ClickHouse,
                Engine::Trino => engine::Engine::Trino,
            };
            engine::statements(of, &args.table, dataset)
        }
    };
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(Exit::Success)
}
