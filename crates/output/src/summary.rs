//! What stands below a list or a statistic, and the sums of files.

use crate::clock::{Clock, TimeZone};
use crate::format::Kind;
use crate::human::{per_second_float, push_duration, push_scaled};
use record::{Group, Totals};
use std::fmt::{Display, Write as _};

/// What the summary lines say.
#[derive(Clone, Copy, Debug)]
pub struct SummaryInput {
    /// Sums of the flows that passed the filter.
    pub totals: Totals,
    /// First and last time of the files that were read, cut to the window asked for; milliseconds
    /// since 1970. `None` if no file was read.
    pub window: Option<(u64, u64)>,
    /// Records that reached the output.
    pub processed: u64,
    /// Records that passed the filter.
    pub passed: u64,
    /// Blocks that were not read.
    pub blocks_skipped: u64,
    /// Octets that were read.
    pub bytes_read: u64,
    /// Time spent; the last line is left out without it.
    pub timings: Option<Timings>,
    /// `-N`: plain numbers.
    pub plain_numbers: bool,
    /// Zone of the time window.
    pub time_zone: TimeZone,
}

/// Time a run took, in seconds.
#[derive(Clone, Copy, Debug)]
pub struct Timings {
    /// Processor time in the kernel.
    pub system: f64,
    /// Processor time outside it.
    pub user: f64,
    /// Time on the wall while reading and printing.
    pub wall: f64,
    /// Time on the wall since the start of the program.
    pub runtime: f64,
}

/// Appends the summary lines: totals and averages, time window, records and blocks, time spent.
pub fn summary(out: &mut Vec<u8>, input: &SummaryInput) {
    push_totals(out, input);
    push_window(out, input);
    push_fmt(
        out,
        format_args!(
            "Total records processed: {}, passed: {}, Blocks skipped: {}, Bytes read: {}\n",
            input.processed, input.passed, input.blocks_skipped, input.bytes_read
        ),
    );
    if let Some(t) = &input.timings {
        let rate = if t.wall > 0.0 { input.processed as f64 / t.wall } else { 0.0 };
        push_fmt(
            out,
            format_args!(
                "Sys: {:.4}s User: {:.4}s Wall: {:.4}s flows/second: {rate:.1} Runtime: {:.4}s\n",
                t.system, t.user, t.wall, t.runtime
            ),
        );
    }
}

fn push_totals(out: &mut Vec<u8>, input: &SummaryInput) {
    let totals = &input.totals;
    let (bytes, packets) = (totals.all_bytes(), totals.all_packets());
    let ms = totals.window().map_or(0, |(first, last)| last.saturating_sub(first));
    let bpp = if ms == 0 { 0 } else { bytes.checked_div(packets).unwrap_or(0) };
    push_fmt(out, format_args!("Summary: total flows: {}", totals.all_flows()));
    for (label, n) in [
        ("total bytes", bytes),
        ("total packets", packets),
        ("avg bps", per_second_float(bytes.saturating_mul(8), ms)),
        ("avg pps", per_second_float(packets, ms)),
        ("avg bpp", bpp),
    ] {
        push_fmt(out, format_args!(", {label}: "));
        push_scaled(out, n, input.plain_numbers);
    }
    out.push(b'\n');
}

fn push_window(out: &mut Vec<u8>, input: &SummaryInput) {
    out.extend_from_slice(b"Time window: ");
    match input.window {
        // Files without flows hold no times.
        None | Some((_, 0)) | Some((0, _)) => out.extend_from_slice(b"<unknown>"),
        Some((first, last)) => {
            let mut clock = Clock::new(input.time_zone);
            clock.push_millis(out, first, b' ');
            out.extend_from_slice(b" - ");
            clock.push_millis(out, last, b' ');
            out.extend_from_slice(b", Duration:");
            push_duration(out, last.saturating_sub(first));
        }
    }
    out.push(b'\n');
}

/// Appends the line that says nothing was found, where people read.
pub fn no_matching_flows(kind: Kind, out: &mut Vec<u8>) {
    if kind.says_no_match() {
        out.extend_from_slice(b"No matching flows\n");
    }
}

/// Appends the sums of files as `-I` prints them, one `name: value` a line.
///
/// `overall` are all flows, packets and bytes: files of nfcapd say more there than by protocol.
pub fn file_statistics(out: &mut Vec<u8>, ident: &str, overall: [u64; 3], totals: &Totals) {
    let [flows, packets, bytes] = overall;
    out.extend_from_slice(b"Ident: ");
    crate::escape::push_text(out, ident.as_bytes());
    out.push(b'\n');
    let groups = [
        ("Flows", flows, &totals.flows),
        ("Packets", packets, &totals.packets),
        ("Bytes", bytes, &totals.bytes),
    ];
    for (name, all, by_group) in groups {
        push_fmt(out, format_args!("{name}: {all}\n"));
        for (group, label) in [
            (Group::Tcp, "tcp"),
            (Group::Udp, "udp"),
            (Group::Icmp, "icmp"),
            (Group::Other, "other"),
        ] {
            push_fmt(out, format_args!("{name}_{label}: {}\n", by_group[group as usize]));
        }
    }
    let (first, last) = totals.window().unwrap_or((0, 0));
    push_fmt(
        out,
        format_args!(
            "First: {}\nLast: {}\nmsec_first: {}\nmsec_last: {}\nSequence failures: {}\n",
            first / 1000,
            last / 1000,
            first % 1000,
            last % 1000,
            totals.sequence_failures
        ),
    );
}

/// Appends formatted text. For what is printed once a run or a table line, not once a record.
pub(crate) fn push_fmt(out: &mut Vec<u8>, text: impl Display) {
    /// A buffer seen as text.
    struct Sink<'a>(&'a mut Vec<u8>);
    impl std::fmt::Write for Sink<'_> {
        fn write_str(&mut self, s: &str) -> std::fmt::Result {
            self.0.extend_from_slice(s.as_bytes());
            Ok(())
        }
    }
    // Writing to memory does not fail, and neither does formatting numbers.
    let _ = write!(Sink(out), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input() -> SummaryInput {
        let totals = Totals {
            flows: [3, 1, 0, 0],
            packets: [3_001_200, 0, 5, 1],
            bytes: [4_201_500_000, 0, 420, 71],
            first_ms: 1_795_168_800_000,
            last_ms: 1_795_266_007_000,
            sequence_failures: 0,
        };
        SummaryInput {
            totals,
            window: totals.window(),
            processed: 4,
            passed: 4,
            blocks_skipped: 0,
            bytes_read: 1284,
            timings: None,
            plain_numbers: false,
            time_zone: TimeZone::Utc,
        }
    }

    fn printed(input: &SummaryInput) -> String {
        let mut out = Vec::new();
        summary(&mut out, input);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_four_lines() {
        let timings = Timings { system: 0.0, user: 0.0026, wall: 0.0008, runtime: 0.0007 };
        assert_eq!(
            printed(&SummaryInput { timings: Some(timings), ..input() }),
            "Summary: total flows: 4, total bytes: 4.2 G, total packets: 3.0 M, avg bps: 345777, avg pps: 30, avg bpp: 1399\n\
             Time window: 2026-11-20 10:00:00.000 - 2026-11-21 13:00:07.000, Duration: 1d 03:00:07.000\n\
             Total records processed: 4, passed: 4, Blocks skipped: 0, Bytes read: 1284\n\
             Sys: 0.0000s User: 0.0026s Wall: 0.0008s flows/second: 5000.0 Runtime: 0.0007s\n"
        );
    }

    #[test]
    fn plain_numbers_and_nothing_at_all() {
        let plain = printed(&SummaryInput { plain_numbers: true, ..input() });
        assert!(plain.starts_with(
            "Summary: total flows: 4, total bytes: 4201500491, total packets: 3001206, avg bps: 345777,"
        ));
        let none = SummaryInput { totals: Totals::default(), window: None, ..input() };
        let none = printed(&none);
        assert!(none.starts_with(
            "Summary: total flows: 0, total bytes: 0, total packets: 0, avg bps: 0, avg pps: 0, avg bpp: 0\n\
             Time window: <unknown>\n"
        ));
        let instant = Totals { last_ms: 1_795_168_800_000, ..input().totals };
        assert!(printed(&SummaryInput { totals: instant, ..input() }).contains("avg bpp: 0\n"));
    }

    #[test]
    fn short_durations_have_blanks_of_their_own() {
        let window = Some((1_795_168_800_000, 1_795_168_801_000));
        let text = printed(&SummaryInput { window, ..input() });
        assert!(text.contains("10:00:01.000, Duration:    00:00:01.000\n"), "{text}");
    }

    #[test]
    fn no_match_only_where_people_read() {
        for (kind, said) in [
            (Kind::Text, true),
            (Kind::Null, true),
            (Kind::Raw, true),
            (Kind::Csv, false),
            (Kind::CsvFast, false),
            (Kind::Json, false),
            (Kind::Ndjson, false),
            (Kind::FlowTools(flowtools::Columns::V5), false),
            (Kind::Flowdumper, false),
        ] {
            let mut out = Vec::new();
            no_matching_flows(kind, &mut out);
            assert_eq!(!out.is_empty(), said, "{kind:?}");
        }
    }

    #[test]
    fn sums_of_files() {
        let totals = Totals {
            flows: [6, 2, 1, 1],
            packets: [3_003_603, 2, 5, 90_000],
            bytes: [4_204_700_180, 321, 420, 120_000_000],
            first_ms: 1_795_168_800_000,
            last_ms: 1_795_266_007_042,
            sequence_failures: 3,
        };
        let mut out = Vec::new();
        file_statistics(&mut out, "lab-\x1bv5", [10, 3_093_700, 4_324_700_921], &totals);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "Ident: lab-\\x1bv5\nFlows: 10\nFlows_tcp: 6\nFlows_udp: 2\nFlows_icmp: 1\nFlows_other: 1\n\
             Packets: 3093700\nPackets_tcp: 3003603\nPackets_udp: 2\nPackets_icmp: 5\nPackets_other: 90000\n\
             Bytes: 4324700921\nBytes_tcp: 4204700180\nBytes_udp: 321\nBytes_icmp: 420\nBytes_other: 120000000\n\
             First: 1795168800\nLast: 1795266007\nmsec_first: 0\nmsec_last: 42\nSequence failures: 3\n"
        );
        let mut out = Vec::new();
        file_statistics(&mut out, "none", [0; 3], &Totals::default());
        assert!(String::from_utf8(out).unwrap().contains("\nFirst: 0\nLast: 0\n"));
    }
}
