//! What is to be answered, worked out from the options before any file is read.

use super::setup::Setup;
use crate::app::WithExit;
use crate::args::flowdump::Args;
use crate::exit::Exit;
use anyhow::{bail, ensure};
use output::{Format, FormatError, FormatOptions, Kind};
use query::{BinWidth, By, Element, Grouping, Percentile, Request, Sorting};
use std::sync::Arc;

/// The question, and how the answer looks.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) what: What,
    pub(super) format: Format,
    pub(super) sorting: Option<Sorting>,
    /// Lines of a table or a sorted list, 0 for all.
    pub(super) top: usize,
}

#[derive(Debug)]
pub(super) enum What {
    List,
    Sorted(Sorting),
    Joined(Grouping),
    Statistics(Vec<Request>),
    /// Time series of all flows, or of the top values of each request.
    Series {
        bin: BinWidth,
        of: Vec<Request>,
        is_plot: bool,
    },
    /// Percentiles of the rates of the values of each request.
    Percentiles {
        percentile: Percentile,
        bin: BinWidth,
        of: Vec<Request>,
    },
}

impl What {
    /// The key of `-A`, where the user chose one that is used.
    fn key(&self) -> Option<&Grouping> {
        match self {
            Self::Joined(grouping) => Some(grouping),
            Self::Statistics(requests) => requests.iter().find_map(|r| match &r.by {
                By::Flows(grouping) => Some(grouping),
                By::Element { .. } => None,
            }),
            _ => None,
        }
        .filter(|grouping| grouping.is_custom)
    }

    /// All that is counted.
    pub(super) fn counted(&self) -> Vec<&By> {
        match self {
            Self::Statistics(of) | Self::Series { of, .. } | Self::Percentiles { of, .. } => {
                of.iter().map(|r| &r.by).collect()
            }
            Self::List | Self::Sorted(_) | Self::Joined(_) => Vec::new(),
        }
    }

    /// Whether `-P` says something about it.
    pub(super) fn is_filtered_again(&self) -> bool {
        match self {
            Self::Sorted(_) | Self::Joined(_) => true,
            Self::Statistics(of) => of.iter().any(|r| matches!(r.by, By::Flows(_))),
            Self::List | Self::Series { .. } | Self::Percentiles { .. } => false,
        }
    }

    /// Elements whose values are printed in tables of the format's own columns.
    fn tables(&self) -> impl Iterator<Item = &'static Element> {
        let requests = if let Self::Statistics(of) = self { of.as_slice() } else { &[] };
        requests.iter().filter(|r| r.distinct.is_empty()).filter_map(|r| match r.by {
            By::Element { element, .. } => Some(element),
            By::Flows(_) => None,
        })
    }

    /// Whether `-n` is 10 if nobody says.
    const fn is_table(&self) -> bool {
        !matches!(self, Self::List | Self::Sorted(_) | Self::Joined(_))
    }
}

impl Plan {
    /// `format` is the text of `-o`, if anything is to override the default.
    pub(super) fn new(
        args: &Args,
        format: Option<&str>,
        setup: &Setup,
        options: &FormatOptions,
    ) -> anyhow::Result<Self> {
        let count = &args.count;
        let order = if count.by_start { Some("tstart") } else { count.order.as_deref() };
        let sorting = order.map(Sorting::parse).transpose()?;
        let grouping = grouping(args)?;
        let what = what(args, sorting, grouping.as_ref())?;
        ensure!(
            args.files.write.is_none() || !what.is_table(),
            "-w writes flows, and -s, --bin and --percentile print tables: use one of them"
        );
        let format = parse_format(format, what.key(), setup, options)?;
        what.tables().try_for_each(|e| format.check_table(e.name, e.fields)).map_err(refused)?;
        if let What::Series { is_plot: true, .. } = what {
            ensure!(format.kind() == Kind::Text, "--plot is for terminals: leave out -o");
        }
        let default_top = if what.is_table() { 10 } else { 0 };
        Ok(Self { what, format, sorting, top: count.top.unwrap_or(default_top) })
    }
}

/// The key of `-A`, `-b` or `-B`.
fn grouping(args: &Args) -> anyhow::Result<Option<Grouping>> {
    let count = &args.count;
    let has_both = count.bidirectional || count.guess_direction;
    match count.group_by.as_slice() {
        [] if has_both => Ok(Some(Grouping::bidirectional(count.guess_direction))),
        [] => Ok(None),
        [_] if has_both => bail!("Can not set custom aggregation in bidir mode: -A or -b"),
        [list] => Ok(Some(Grouping::parse(list)?)),
        _ => bail!("Multiple aggregation masks not allowed: name all fields in one -A"),
    }
}

fn what(
    args: &Args,
    sorting: Option<Sorting>,
    grouping: Option<&Grouping>,
) -> anyhow::Result<What> {
    let count = &args.count;
    let bin = count.bin.as_deref().map(BinWidth::parse).transpose()?;
    let percentile = count.percentile.as_deref().map(Percentile::parse).transpose()?;
    ensure!(
        percentile.is_none() || !count.plot,
        "--plot draws series, and --percentile prints a table: use one of them"
    );
    // What time is asked for is rates and volumes; flows are counted by statistics.
    let usual = match (&percentile, &bin) {
        (Some(_), _) => Some(Sorting::parse("bps")?),
        (None, Some(_)) => Some(Sorting::parse("bytes")?),
        (None, None) => None,
    };
    let sorting = sorting.or(usual);
    let of = requests(args, sorting, grouping)?;
    if usual.is_some() {
        check_time(args, grouping, &of)?;
    }
    match (percentile, bin) {
        (Some(percentile), bin) => {
            let of = if of.is_empty() { of_key(grouping, sorting, "--percentile")? } else { of };
            let bin = bin.unwrap_or(BinWidth::FIVE_MINUTES);
            return Ok(What::Percentiles { percentile, bin, of });
        }
        (None, Some(bin)) => {
            let is_key = of.is_empty() && grouping.is_some();
            let of = if is_key { of_key(grouping, sorting, "--bin")? } else { of };
            return Ok(What::Series { bin, of, is_plot: count.plot });
        }
        (None, None) => {}
    }
    if !of.is_empty() {
        let counts_sets = of.iter().any(|r| !r.distinct.is_empty());
        ensure!(
            !counts_sets || !(count.bidirectional || count.guess_direction),
            "distinct counts are of flows as they are: leave out -b and -B"
        );
        let has_flows = of.iter().any(|r| matches!(r.by, By::Flows(_)));
        if grouping.is_some_and(|g| g.is_custom) && !has_flows {
            eprintln!("Warning: Aggregation ignored for element statistics");
        }
        return Ok(What::Statistics(of));
    }
    Ok(match (grouping, sorting) {
        (Some(grouping), _) => What::Joined(grouping.clone()),
        (None, _) if count.aggregate => What::Joined(Grouping::five_tuple()),
        (None, Some(sorting)) => What::Sorted(sorting),
        (None, None) => What::List,
    })
}

/// Refuses what would not be answered beside `--bin` and `--percentile`.
fn check_time(args: &Args, grouping: Option<&Grouping>, of: &[Request]) -> anyhow::Result<()> {
    let count = &args.count;
    ensure!(
        !(count.aggregate || count.bidirectional || count.guess_direction),
        "--bin and --percentile count flows as they are: leave out -a, -b and -B"
    );
    ensure!(
        of.iter().all(|r| r.distinct.is_empty()),
        "--bin and --percentile go by sums: ask for distinct counts in a run of their own"
    );
    let has_flows = of.iter().any(|r| matches!(r.by, By::Flows(_)));
    ensure!(
        grouping.is_none() || of.is_empty() || has_flows,
        "--bin and --percentile are of values (-s) or of a key (-A): use one of them"
    );
    let format = args.show.output.as_deref().unwrap_or("line");
    let is_spelt_out = format.contains(':') || format.starts_with('%');
    ensure!(!is_spelt_out, "tables of time have columns of their own: use -o csv, json or ndjson");
    Ok(())
}

/// What `-s` asks for. Tables of flows come first, as nfdump prints them.
fn requests(
    args: &Args,
    sorting: Option<Sorting>,
    grouping: Option<&Grouping>,
) -> anyhow::Result<Vec<Request>> {
    let five_tuple = Grouping::five_tuple();
    let key = grouping.unwrap_or(&five_tuple);
    let parse = |s: &String| Request::parse(s, key, sorting);
    let mut requests =
        args.count.statistics.iter().map(parse).collect::<Result<Vec<Request>, _>>()?;
    requests.sort_by_key(|r| !matches!(r.by, By::Flows(_)));
    Ok(requests)
}

/// `-A` in the place of `-s`.
fn of_key(
    grouping: Option<&Grouping>,
    sorting: Option<Sorting>,
    option: &str,
) -> anyhow::Result<Vec<Request>> {
    let Some(grouping) = grouping else {
        bail!("{option} needs to know of what: name an element with -s or fields with -A");
    };
    Ok(vec![Request::parse("record", grouping, sorting)?])
}

/// The format of `-o`; the columns of `-A` where nothing else is asked for.
fn parse_format(
    name: Option<&str>,
    key: Option<&Grouping>,
    setup: &Setup,
    options: &FormatOptions,
) -> anyhow::Result<Format> {
    let has_countries = setup.book.as_ref().is_some_and(|b| b.has_countries());
    let format = match (name, key) {
        (None, Some(key)) => Format::for_aggregation(&key.tokens, false, options),
        (Some(csv), Some(key)) if csv.eq_ignore_ascii_case("csv") => {
            Format::for_aggregation(&key.tokens, true, options)
        }
        (name, _) => {
            let name = name.unwrap_or_else(|| Format::default_name(has_countries));
            Format::parse_with(name, &setup.user_formats, options)
        }
    };
    let format = format.map_err(refused)?;
    Ok(match &setup.services {
        Some(services) => format.with_services(Arc::clone(services)),
        None => format,
    })
}

/// A format that does not do, with a list of what would.
fn refused(e: FormatError) -> WithExit {
    let known = e.known();
    let message = if known.is_empty() { e.to_string() } else { format!("{e}\n{known}") };
    WithExit { exit: Exit::Failure, message: message.trim_end().to_owned() }
}
