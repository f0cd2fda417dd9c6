use super::journal::Journal;
use super::*;
use record::{Field, Flow, FlowSink as _};
use std::path::Path;
use store::{Writer, WriterOptions};

/// What arrived, flow by flow, and what happens instead.
#[derive(Default)]
struct Shelf {
    ports: Vec<u64>,
    batches: Vec<(u64, Stretch, bool)>,
    /// Batches that arrive before one fails.
    fails_after: Option<usize>,
    /// The one that fails has arrived nevertheless.
    loses_answer: bool,
}

impl Sink for Shelf {
    fn deliver(&mut self, batch: &Batch, in_doubt: bool) -> Result<Delivered, SinkError> {
        let was_there = in_doubt && self.batches.iter().any(|b| b.0 == batch.id);
        let fails = self.fails_after == Some(self.batches.len());
        if !was_there && (!fails || self.loses_answer) {
            let ports = batch.encoded.octets.chunks(2);
            self.ports.extend(ports.map(|b| u64::from(u16::from_le_bytes([b[0], b[1]]))));
            self.batches.push((batch.id, batch.stretch.clone(), in_doubt));
        }
        match fails {
            true => Err(SinkError::Stopped),
            false => Ok(Delivered { was_there, ..Delivered::default() }),
        }
    }
}

struct Ports;

impl Encode for Ports {
    fn row(&mut self, row: Row<'_>, _: &Origin<'_>, out: &mut Encoded) {
        out.octets.extend_from_slice(&(row.number(Field::SrcPort) as u16).to_le_bytes());
    }
}

/// A file with these source ports, in blocks of some hundred flows.
fn file(path: &Path, ports: std::ops::Range<u64>) {
    let options = WriterOptions { block_size: 1 << 14, ..WriterOptions::default() };
    let mut writer = Writer::create(path, &options).unwrap();
    for port in ports {
        let mut flow = Flow::new();
        flow.set(Field::First, 1_795_168_800_000 + port);
        flow.set(Field::SrcPort, port);
        flow.set(Field::Proto, 6 + port % 2 * 11);
        writer.flow(&flow);
    }
    writer.close(&[]).unwrap();
}

fn options(filter: &str, batch_rows: u64) -> Options {
    Options {
        name: "test".into(),
        filter: Filter::parse(filter).unwrap(),
        batch_rows,
        read: ReadOptions::default(),
    }
}

static GO_ON: AtomicBool = AtomicBool::new(false);

#[test]
fn every_flow_arrives_once_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let files = [dir.path().join("a"), dir.path().join("b")];
    file(&files[0], 0..3000);
    file(&files[1], 3000..5000);
    for (filter, batch_rows, want) in [
        ("any", 1, (0..5000).collect::<Vec<_>>()),
        ("any", 700, (0..5000).collect()),
        ("any", 1_000_000, (0..5000).collect()),
        ("proto tcp", 700, (0..5000).step_by(2).collect()),
        ("proto icmp", 700, vec![]),
    ] {
        let options = options(filter, batch_rows);
        let mut stream = Stream::new(&options, &GO_ON);
        let (mut journal, mut shelf) = (Journal::none(), Shelf::default());
        for _ in 0..2 {
            stream.pass(&files, &mut journal, &mut Ports, &mut shelf).unwrap();
        }
        assert_eq!(shelf.ports, want, "{filter} {batch_rows}");
        let counts = stream.counts();
        assert_eq!((counts.read, counts.delivered), (5000, want.len() as u64));
        assert_eq!(counts.filtered + counts.delivered, 5000);
        assert_eq!((counts.files, counts.batches), (2, shelf.batches.len() as u64));
        let numbers: Vec<_> = shelf.batches.iter().map(|b| b.1.number).collect();
        assert_eq!(numbers, (1..=counts.batches).collect::<Vec<_>>());
    }
}

/// Wherever it ends, and whether the last batch arrived or not: what follows completes it.
#[test]
fn nothing_is_lost_or_doubled_wherever_it_ends() {
    let dir = tempfile::tempdir().unwrap();
    let files = [dir.path().join("a"), dir.path().join("b")];
    file(&files[0], 0..9000);
    file(&files[1], 9000..15_000);
    let options = options("any", 1);
    for loses_answer in [false, true] {
        let state = dir.path().join(format!("state-{loses_answer}"));
        let mut shelf = Shelf { loses_answer, ..Shelf::default() };
        let mut runs = 0;
        loop {
            runs += 1;
            // The state as a crash leaves it; its lock ended with the process.
            let mut journal = Journal::open(&state, &options.name).unwrap();
            let mut stream = Stream::new(&options, &GO_ON);
            // One batch a run.
            shelf.fails_after = Some(shelf.batches.len() + 1);
            match stream.pass(&files, &mut journal, &mut Ports, &mut shelf) {
                Ok(()) => break,
                Err(StreamError::Sink(SinkError::Stopped)) => assert!(journal.doubt().is_some()),
                Err(e) => panic!("{e}"),
            }
            assert!(runs < 500);
        }
        assert!(runs > 5, "{runs} runs");
        assert_eq!(shelf.ports, (0..15_000).collect::<Vec<_>>(), "answer lost: {loses_answer}");
        let ids: std::collections::HashSet<_> = shelf.batches.iter().map(|b| b.0).collect();
        assert_eq!(ids.len(), shelf.batches.len());
    }
}

/// What was in doubt is sent again as it was, even if batches have another size by now.
#[test]
fn doubt_is_settled_with_the_same_flows() {
    let dir = tempfile::tempdir().unwrap();
    let files = [dir.path().join("a")];
    file(&files[0], 0..3000);
    let state = dir.path().join("state");
    let mut shelf = Shelf { loses_answer: true, fails_after: Some(1), ..Shelf::default() };
    for (batch_rows, fails_after) in [(400, Some(1)), (1_000_000, None)] {
        let options = options("any", batch_rows);
        let mut journal = Journal::open(&state, &options.name).unwrap();
        shelf.fails_after = fails_after;
        let mut stream = Stream::new(&options, &GO_ON);
        let _ = stream.pass(&files, &mut journal, &mut Ports, &mut shelf);
        if fails_after.is_none() {
            assert!(stream.counts().was_there >= 400);
            assert_eq!(stream.counts().was_there + stream.counts().delivered, stream.counts().read);
        }
    }
    assert_eq!(shelf.ports, (0..3000).collect::<Vec<_>>());
    assert_eq!(shelf.batches.len(), 3, "two small ones and the rest");
}

#[test]
fn what_cannot_be_read_is_told_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let files = ["good", "none", "half", "text"].map(|name| dir.path().join(name));
    file(&files[0], 0..3000);
    let mut octets = std::fs::read(&files[0]).unwrap();
    octets.truncate(octets.len() / 2);
    std::fs::write(&files[2], octets).unwrap();
    std::fs::write(&files[3], "no flows").unwrap();
    let options = options("any", 100_000);
    let mut stream = Stream::new(&options, &GO_ON);
    let (mut journal, mut shelf) = (Journal::none(), Shelf::default());
    stream.pass(&files, &mut journal, &mut Ports, &mut shelf).unwrap();
    let counts = stream.counts();
    // A file that is gone went by expiry.
    assert_eq!(counts.unreadable_files, 1);
    assert!(!counts.is_complete());
    assert_eq!(counts.read, counts.delivered);
    assert!((3000..6000).contains(&counts.read), "{counts:?}");
    assert!(stream.take_trouble().iter().any(|line| line.contains("text")));

    file(&files[0], 0..4000);
    stream.pass(&files, &mut journal, &mut Ports, &mut shelf).unwrap();
    assert_eq!((stream.counts().changed_files, stream.counts().read), (1, counts.read));
}

#[test]
fn doubt_about_a_file_that_is_gone_is_told_and_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let files = [dir.path().join("a"), dir.path().join("b")];
    files.iter().for_each(|path| file(path, 0..100));
    let (options, state) = (options("any", 1000), dir.path().join("state"));
    let mut shelf = Shelf { fails_after: Some(0), ..Shelf::default() };
    let mut journal = Journal::open(&state, &options.name).unwrap();
    let mut stream = Stream::new(&options, &GO_ON);
    stream.pass(&files[..1], &mut journal, &mut Ports, &mut shelf).unwrap_err();
    drop((journal, stream));
    std::fs::remove_file(&files[0]).unwrap();

    shelf.fails_after = None;
    let mut journal = Journal::open(&state, &options.name).unwrap();
    assert!(journal.doubt().is_some());
    let mut stream = Stream::new(&options, &GO_ON);
    stream.pass(&[], &mut journal, &mut Ports, &mut shelf).unwrap();
    assert!(journal.doubt().is_none());
    stream.pass(&files, &mut journal, &mut Ports, &mut shelf).unwrap();
    assert_eq!((stream.counts().unreadable_files, stream.counts().delivered), (1, 100));
    assert_eq!(stream.take_trouble().len(), 1);
}
