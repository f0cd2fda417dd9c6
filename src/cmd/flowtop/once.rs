//! `flowtop --once`: a table for people and programs.

use super::Setup;
use super::reader::{Prepared, Session};
use crate::args::flowtop::Args;
use crate::cmd::complain;
use crate::exit::Exit;
use output::{Column, ColumnKind, Format, FormatOptions, Kind, Table, TablePrinter, Value};
use query::KeyText;
use std::io::{self, Write as _};
use top::model::{Ask, span};
use top::{Answer, Look};

pub(super) fn print(
    name: &str,
    args: &Args,
    setup: &Setup,
    ask: &Ask,
    rows: usize,
) -> anyhow::Result<Exit> {
    let options = FormatOptions {
        plain_numbers: args.show.plain_numbers,
        quiet: args.show.quiet,
        ..FormatOptions::default()
    };
    let kind = match args.show.output.as_str() {
        "text" => Kind::Text,
        other => Format::parse(other, &options)?.kind(),
    };
    let known = [Kind::Text, Kind::Csv, Kind::Json, Kind::Ndjson, Kind::Raw];
    anyhow::ensure!(
        known.contains(&kind),
        "format '{}': --once prints text, csv, json, ndjson and raw",
        args.show.output
    );
    let answer = read(setup, ask, rows)?;
    let mut out = Vec::new();
    if kind == Kind::Text && !options.quiet {
        out.extend_from_slice(summary(ask, &answer).as_bytes());
    }
    table(ask, &answer, kind, &options, &mut out);
    io::stdout().lock().write_all(&out)?;
    let files = &answer.files;
    if let Some(trouble) = &files.trouble {
        complain(name, trouble);
    }
    Ok(match files.unreadable_files + files.damaged_blocks {
        0 => Exit::Success,
        _ => Exit::Incomplete,
    })
}

/// Everything that is there now.
fn read(setup: &Setup, ask: &Ask, rows: usize) -> anyhow::Result<Answer> {
    /// Files that are merged meanwhile come once a slot and source.
    const TRIES: usize = 10;
    let prepared = Prepared::new(setup, ask, rows).map_err(anyhow::Error::msg)?;
    for _ in 0..TRIES {
        let now_ms = sys::clock::now_ms();
        let mut session = Session::new(setup, &prepared, now_ms);
        if session.look(now_ms, || true)? == Look::Done {
            return Ok(session.answer(ask, rows, now_ms, true));
        }
    }
    anyhow::bail!("files change faster than they can be read")
}

/// What stands above the table for people.
fn summary(ask: &Ask, answer: &Answer) -> String {
    let t = &answer.total;
    let filter = if ask.filter.is_empty() { "any" } else { &ask.filter };
    format!(
        "Top {} by {}, last {}, filter: {filter}\n{}\n{} flows, {} packets, {} bytes, {} bps, {} pps\n",
        ask.element,
        ask.order.name(),
        span(ask.window_secs),
        top::view::sources(answer),
        t.flows,
        t.packets,
        t.bytes,
        answer.bits_per_second(t.bytes),
        answer.per_second(t.packets),
    )
}

fn table(ask: &Ask, answer: &Answer, kind: Kind, options: &FormatOptions, out: &mut Vec<u8>) {
    let table = Table { title: String::new(), columns: columns(ask, answer, kind) };
    let mut printer = TablePrinter::new(kind, options);
    printer.open(out);
    printer.table(&table, out);
    for line in &answer.lines {
        let label = top::label::label(&line.parts, &top::label::Plain);
        let mut values = match kind {
            Kind::Text => vec![Value::Text(&label)],
            _ => line.parts.iter().map(|p| Value::Text(&p.text)).collect(),
        };
        let sums = &line.sums;
        values.extend([
            Value::Number(sums.flows),
            Value::Number(sums.packets),
            Value::Number(sums.bytes),
            Value::Number(answer.per_second(sums.packets)),
            Value::Number(answer.bits_per_second(sums.bytes)),
            Value::Percent(answer.percent(ask.order.measure(), sums)),
        ]);
        printer.row(&table, &values, out);
    }
    printer.close(out);
}

/// One column for people, one for each part of the key for programs.
fn columns(ask: &Ask, answer: &Answer, kind: Kind) -> Vec<Column> {
    let is_record = ask.element.eq_ignore_ascii_case("record");
    let labels = answer.lines.iter().map(|l| top::label::label(&l.parts, &top::label::Plain));
    let widest = labels.map(|l| l.chars().count()).max().unwrap_or(0);
    let name = |(n, part): (usize, &KeyText)| match (part.field, n) {
        (Some(field), _) if is_record || n > 0 => field.def().csv,
        _ => "value",
    };
    let text = |name: &'static str| Column::new(name, name, "", ColumnKind::Text);
    let parts = answer.lines.first().map_or(&[][..], |line| &line.parts);
    let mut out: Vec<Column> = match kind {
        Kind::Text => {
            vec![Column::new("value", ask.element.clone(), "", ColumnKind::Text).wide(widest)]
        }
        _ if parts.is_empty() => vec![text("value")],
        _ => parts.iter().enumerate().map(name).map(text).collect(),
    };
    out.extend([
        Column::new("flows", "Flows", "", ColumnKind::Number),
        Column::new("packets", "Packets", "", ColumnKind::Number),
        Column::new("bytes", "Bytes", "B", ColumnKind::Number),
        Column::new("pps", "pps", "1/s", ColumnKind::Rate),
        Column::new("bps", "bps", "bit/s", ColumnKind::Rate),
        Column::new("percent", "%", "%", ColumnKind::Percent),
    ]);
    out
}
