//! One connection, message by message: what is told in which order of events and dumps.

use nat::{Entry, Gap, Kind, Outcome, Status, Sure, Tracker, TrackerConfig, Tuple};
use record::Addr;

const SECOND: u64 = 1_000_000_000;
const T: u64 = 1_795_000_000 * SECOND;

/// What happens, at a second after [`T`].
#[derive(Clone, Copy, Debug)]
enum Step {
    /// A message with the start of its connection.
    Say(Kind, u64),
    /// An entry of a dump that is being deleted.
    Dying(u64),
    Begin,
    End,
    Abandon,
    Overrun,
}
use Step::{Abandon, Begin, Dying, End, Overrun, Say};

fn entry(start: u64, kind: Kind) -> Entry {
    let addr = |n: u32| Addr::V4(0x0a00_0000 + n);
    let tuple = |a, b| Tuple { src: addr(a), dst: addr(b), proto: 17, ..Tuple::default() };
    let start_ns = T + start * SECOND;
    Entry {
        orig: tuple(1, 2),
        reply: tuple(2, 3),
        id: 7,
        start_ns: (kind != Kind::New).then_some(start_ns),
        event_ns: (kind == Kind::New).then_some(start_ns - 20_000),
        ..Entry::default()
    }
}

/// Begins (`+`), ends (`-`) and gaps (`!`) with the second of the start and how sure.
fn told(steps: &[(u64, Step)]) -> (String, Tracker) {
    let mut tracker = Tracker::new(TrackerConfig::default());
    let mut text = String::new();
    for (at, step) in steps {
        let now = T + at * SECOND;
        let mut out = |outcome: &Outcome| {
            let (sign, s) = match outcome {
                Outcome::Begin(s) => ('+', s),
                Outcome::End(s) => ('-', s),
                Outcome::Interim(s) => ('~', s),
                Outcome::Degraded(Gap { from_ns, to_ns, .. }) => {
                    let [from, to] = [from_ns, to_ns].map(|t| (t + SECOND / 2 - T) / SECOND);
                    text += &format!("!{from}..{to} ");
                    return;
                }
            };
            let sure = match s.sure {
                Sure::Exact => "",
                Sure::Degraded => "d",
                Sure::Resync => "r",
            };
            text += &format!("{sign}{}{sure} ", (s.start_ns + SECOND / 2 - T) / SECOND);
        };
        match *step {
            Say(kind, start) => tracker.event(now, kind, &entry(start, kind), &mut out),
            Dying(start) => {
                let entry = Entry { status: Status::DYING, ..entry(start, Kind::Dump) };
                tracker.event(now, Kind::Dump, &entry, &mut out);
            }
            Begin => tracker.dump_begin(now),
            End => tracker.dump_end(now, &mut out),
            Abandon => tracker.dump_abandon(now),
            Overrun => tracker.overrun(now),
        }
    }
    (text.trim_end().to_owned(), tracker)
}

#[test]
fn orders_of_messages() {
    let (new, gone, dump) = (Kind::New, Kind::Destroy, Kind::Dump);
    for (name, steps, want) in [
        ("as usual", vec![(10, Say(new, 10)), (20, Say(gone, 10))], "+10 -10"),
        ("only the end", vec![(20, Say(gone, 10))], "+10 -10"),
        ("again", vec![(10, Say(new, 10)), (20, Say(gone, 10)), (30, Say(new, 30))], "+10 -10 +30"),
        ("the end was lost", vec![(10, Say(new, 10)), (30, Say(new, 30))], "+10 -10r +30"),
        (
            "end and begin were lost",
            vec![(10, Say(new, 10)), (40, Say(gone, 30))],
            "+10 -10r +30 -30",
        ),
        (
            "in a dump before its event",
            vec![
                (11, Begin),
                (11, Say(dump, 10)),
                (12, End),
                (12, Say(new, 10)),
                (20, Say(gone, 10)),
            ],
            "+10r -10",
        ),
        (
            "event before the dump",
            vec![
                (10, Say(new, 10)),
                (11, Begin),
                (11, Say(dump, 10)),
                (12, End),
                (20, Say(gone, 10)),
            ],
            "+10 -10",
        ),
        (
            "told twice by a dump",
            vec![(11, Begin), (11, Say(dump, 10)), (11, Say(dump, 10)), (12, End)],
            "+10r",
        ),
        (
            "over while the dump is read, which has it",
            vec![(11, Begin), (12, Say(gone, 10)), (12, Say(dump, 10)), (13, End)],
            "+10 -10",
        ),
        (
            "the same, known before",
            vec![
                (10, Say(new, 10)),
                (11, Begin),
                (12, Say(gone, 10)),
                (12, Say(dump, 10)),
                (13, End),
            ],
            "+10 -10",
        ),
        ("a dying entry", vec![(11, Begin), (11, Dying(10)), (12, End)], ""),
        (
            "a dying entry, then its end",
            vec![(11, Begin), (11, Dying(10)), (12, Say(gone, 10)), (12, End)],
            "+10 -10",
        ),
        (
            "missing in one dump",
            vec![
                (10, Say(new, 10)),
                (11, Begin),
                (12, End),
                (13, Begin),
                (13, Say(dump, 10)),
                (14, End),
            ],
            "+10",
        ),
        (
            "missing in two dumps, not in a row",
            vec![
                (10, Say(new, 10)),
                (11, Begin),
                (12, End),
                (13, Begin),
                (13, Say(dump, 10)),
                (14, End),
                (15, Begin),
                (16, End),
            ],
            "+10",
        ),
        (
            "missing in two dumps",
            vec![(10, Say(new, 10)), (11, Begin), (12, End), (13, Begin), (14, End)],
            "+10 -10r",
        ),
        (
            "missing in two dumps, and its end comes all the same",
            vec![
                (10, Say(new, 10)),
                (11, Begin),
                (12, End),
                (13, Begin),
                (14, End),
                (15, Say(gone, 10)),
            ],
            "+10 -10r",
        ),
        (
            "a dump that broke off tells nothing",
            vec![(10, Say(new, 10)), (11, Begin), (12, End), (13, Begin), (14, Abandon)],
            "+10",
        ),
        (
            "a dump has the next one, then the end of the first comes",
            vec![
                (10, Say(new, 10)),
                (31, Begin),
                (31, Say(dump, 30)),
                (32, Say(gone, 10)),
                (33, End),
            ],
            "+10 -10r +30r",
        ),
        (
            "a dump has the next one, of the first all was still to come",
            vec![
                (31, Begin),
                (31, Say(dump, 30)),
                (32, End),
                (32, Say(new, 10)),
                (32, Say(gone, 10)),
                (32, Say(new, 30)),
            ],
            "+30r +10r -10r",
        ),
        (
            "a dump has an old one behind the event of the next",
            vec![(31, Begin), (31, Say(new, 30)), (31, Say(dump, 10)), (32, End)],
            "+30 +10r -10r",
        ),
        (
            "loss",
            vec![
                (10, Say(new, 10)),
                (15, Overrun),
                (16, Say(gone, 10)),
                (17, Begin),
                (18, End),
                (19, Say(new, 19)),
            ],
            "+10 -10d !10..18 +19",
        ),
        (
            "loss while a dump is read: only the next one makes up for it",
            vec![
                (10, Say(new, 10)),
                (11, Begin),
                (12, Overrun),
                (13, Say(dump, 10)),
                (13, End),
                (14, Say(gone, 10)),
                (15, Begin),
                (16, End),
            ],
            "+10 -10d !10..16",
        ),
    ] {
        assert_eq!(told(&steps).0, want, "{name}");
    }
}

#[test]
fn when_a_dump_is_wanted() {
    let due =
        |steps: &[(u64, Step)]| told(steps).1.next_dump_ns().map(|t| t.saturating_sub(T) / SECOND);
    let (new, dump) = (Kind::New, Kind::Dump);
    let calm = [(10, Say(new, 10)), (11, Begin), (11, Say(dump, 10)), (12, End)];
    assert_eq!(due(&[]), Some(0));
    assert_eq!(due(&calm[..2]), None);
    // A minute later, unless something is lost: then after a pause.
    assert_eq!(due(&calm), Some(72));
    assert_eq!(due(&[&calm[..], &[(20, Overrun)]].concat()), Some(13));
    assert_eq!(due(&[&calm[..2], &[(11, Overrun), (12, End)]].concat()), Some(13));
    // After a loss, what is missing is looked for once more at once; what has ended in the meantime
    // is not.
    let lost = [(10, Say(new, 10)), (11, Overrun), (12, Begin), (13, End)];
    assert_eq!(due(&lost), Some(14));
    assert_eq!(due(&[&lost[..], &[(14, Begin), (15, End)]].concat()), Some(75));
    let found = [(10, Say(new, 10)), (11, Overrun), (12, Begin), (12, Say(dump, 10)), (13, End)];
    assert_eq!(due(&found), Some(73));
    // Without a loss, the next regular dump will do.
    assert_eq!(due(&[(10, Say(new, 10)), (11, Begin), (12, End)]), Some(72));
}

#[test]
fn unfinished_connections_are_forgotten_where_nobody_can_look() {
    let config = TrackerConfig { ttl_ns: 160 * SECOND, ..TrackerConfig::default() };
    for (has_dump, want) in [(false, 1), (true, 0)] {
        let mut tracker = Tracker::new(config.clone());
        tracker.event(T, Kind::New, &entry(0, Kind::New), &mut |_| ());
        let mut forgotten = 0;
        for at in 1..400 {
            let now = T + at * SECOND;
            if has_dump && at % 100 == 50 {
                tracker.dump_begin(now);
                tracker.event(now, Kind::Dump, &entry(0, Kind::Dump), &mut |_| ());
                tracker.dump_end(now, &mut |_| ());
            }
            tracker.tick(now, &mut |outcome| {
                let Outcome::End(s) = outcome else { panic!("{outcome:?}") };
                assert_eq!((s.cause, s.sure), (nat::Cause::Forgotten, Sure::Resync));
                // Not before its time, and not much later.
                assert!((161..=171).contains(&at), "{at}");
                forgotten += 1;
            });
        }
        assert_eq!((forgotten, tracker.counts().forgotten), (want, want));
        assert_eq!(tracker.len() as u64, 1 - want);
    }
}

/// Interim records come from dumps, tell what was added, and leave the rest to the end.
#[test]
fn long_connections_have_interim_records() {
    let config = TrackerConfig { active_ns: 100 * SECOND, ..TrackerConfig::default() };
    let mut tracker = Tracker::new(config);
    let counted = |kind, octets| {
        let counter = nat::Counter { packets: 1, octets };
        Entry { counters: Some([counter, counter]), ..entry(0, kind) }
    };
    tracker.event(T, Kind::New, &entry(0, Kind::New), &mut |_| ());
    let mut told = Vec::new();
    for (at, octets) in [(50, 10), (110, 30), (150, 30), (210, 30), (300, 70), (399, 80), (401, 90)]
    {
        let now = T + at * SECOND;
        tracker.dump_begin(now);
        tracker.event(now, Kind::Dump, &counted(Kind::Dump, octets), &mut |o| {
            let Outcome::Interim(s) = o else { panic!("{o:?}") };
            let ns = |t: u64| (t + SECOND / 2 - T) / SECOND;
            told.push((ns(s.from_ns), ns(s.until_ns), s.counters[0].octets));
        });
        tracker.dump_end(now, &mut |_| ());
    }
    // Where nothing was added, there is nothing to tell.
    assert_eq!(told, [(0, 110, 30), (110, 300, 40), (300, 401, 20)]);
    let gone = counted(Kind::Destroy, 95);
    tracker.event(T + 500 * SECOND, Kind::Destroy, &gone, &mut |o| {
        let Outcome::End(s) = o else { panic!("{o:?}") };
        assert_eq!((s.from_ns, s.start_ns), (T + 401 * SECOND, T - 20_000));
        assert_eq!((s.counters[0].octets, s.totals[0].octets), (5, 95));
    });
    assert_eq!(tracker.counts().interims, 3);
}
