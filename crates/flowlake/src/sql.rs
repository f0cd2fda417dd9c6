//! `flowlake sql`: a command line of flowdump, asked of another engine.

mod runner;

use anyhow::{Context as _, bail, ensure};
use flowsuite::args::flowlake::{Engine as Name, Sql};
use flowsuite::cmd::flowdump::{Asked as Table, Elsewhere, Rows};
use flowsuite::exit::Exit;
use lake::sql::{Asked, Engine, Lines, Question, Source, Statement, Sums, Window};
use record::Flow;
use runner::Runner;
use std::ffi::OsString;
use std::io::{self, Write as _};
use std::path::Path;

/// Answers, or prints the statements.
pub(crate) fn run(name: &str, args: Sql) -> anyhow::Result<Exit> {
    let first = OsString::from(format!("{name} sql"));
    let words = std::iter::once(first).chain(args.words.iter().cloned()).collect();
    let asked = match Elsewhere::new(name, words)? {
        Ok(asked) => asked,
        Err(exit) => return Ok(exit),
    };
    let engine = match args.engine {
        Name::DuckDb => Engine::DuckDb,
        Name::Spark => Engine::Spark,
        Name::ClickHouse => Engine::ClickHouse,
    };
    let source = source(&args, &asked)?;
    let all = statements(engine, &source, &asked)?;
    if args.print {
        let text: Vec<String> = all.iter().map(|s| format!("{};\n", s.sql)).collect();
        io::stdout().write_all(text.join("\n").as_bytes())?;
        return Ok(Exit::Success);
    }
    let runner = Runner::new(engine, &args)?;
    let (rows, sums) = answers(&runner, &all, asked.tables().len())?;
    asked.print(rows, sums)
}

/// The dataset or the table.
fn source(args: &Sql, asked: &Elsewhere) -> anyhow::Result<Source> {
    let path = match (&args.table, asked.source()) {
        (Some(_), Some(_)) => bail!("--table and -R: name one of them"),
        (Some(name), None) => return Ok(Engine::table(name)?),
        (None, Some(path)) => path,
        (None, None) => bail!("which flows? name a dataset with -R, or a table with --table"),
    };
    let is_tree = Path::new(path).extension().is_none_or(|e| e != "parquet");
    // Whoever prints may be somewhere else than the dataset, and a server has files of its own.
    let is_here = !args.print && args.url.as_deref().is_none_or(|u| !u.starts_with("http"));
    if is_here {
        let there = std::fs::metadata(path).with_context(|| path.to_owned())?;
        ensure!(
            there.is_dir() == is_tree,
            "{path}: name a dataset, or a file that ends in .parquet"
        );
        check(Path::new(path), is_tree)?;
        let path = std::fs::canonicalize(path).with_context(|| path.to_owned())?;
        let path = path.to_str().context("the path of the dataset is no UTF-8")?.to_owned();
        return Ok(Source::Dataset { path, is_tree });
    }
    Ok(Source::Dataset { path: path.to_owned(), is_tree })
}

/// Refuses files that `flowlake write` did not make, by the first of them: engines would only say
/// which column they miss.
fn check(path: &Path, is_tree: bool) -> anyhow::Result<()> {
    let files = match is_tree {
        true => lake::read::list(path).with_context(|| path.display().to_string())?,
        false => vec![path.to_owned()],
    };
    let first = files.first();
    let first = first.with_context(|| format!("{}: no Parquet file below it", path.display()))?;
    lake::read::LakeFile::open(first).map_err(anyhow::Error::msg)?;
    Ok(())
}

/// A statement for each table, and one for the sums if they are needed.
fn statements(
    engine: Engine,
    source: &Source,
    asked: &Elsewhere,
) -> anyhow::Result<Vec<Statement>> {
    let (from_ms, until_ms) = asked.window();
    let question = Question {
        engine,
        source,
        filters: asked.filters().iter().map(|f| f.tree()).collect(),
        window: Window { from_ms, until_ms },
    };
    let fields = asked.format().shown_fields();
    let mut all = Vec::new();
    for table in asked.tables() {
        let wanted = match table {
            Table::List(sorting) => Asked::List { fields: fields.as_deref(), sorting },
            Table::Joined(grouping, sorting) => {
                Asked::Joined { grouping, fields: fields.as_deref(), sorting }
            }
            Table::Values(by, sorting) => Asked::Values { by, sorting },
        };
        all.push(question.statement(&wanted, asked.top())?);
    }
    if asked.needs_sums() {
        all.push(question.statement(&Asked::Totals, 0)?);
    }
    Ok(all)
}

/// Rows of the first `tables` statements, and the sums of the one behind them.
fn answers(
    runner: &Runner,
    statements: &[Statement],
    tables: usize,
) -> anyhow::Result<(Vec<Rows>, Option<Sums>)> {
    let (mut rows, mut sums) = (Vec::new(), None);
    for _ in 0..tables {
        rows.push(Rows::new()?);
    }
    let mut flow = Flow::new();
    let mut readers: Vec<Lines<'_>> = statements.iter().map(Lines::new).collect();
    let texts: Vec<&str> = statements.iter().map(|s| s.sql.as_str()).collect();
    runner.run(&texts, &mut |n, line| {
        let Some(reader) = readers.get_mut(n) else { return Ok(()) };
        match rows.get_mut(n) {
            Some(rows) => {
                if reader.flow(line, &mut flow)? {
                    rows.push(&flow);
                }
            }
            None => {
                reader.sums(line, sums.get_or_insert_default())?;
            }
        }
        Ok(())
    })?;
    ensure!(
        sums.is_some() || statements.len() == tables,
        "the engine answered without the sums of all flows"
    );
    Ok((rows, sums))
}
