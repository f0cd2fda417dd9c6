use super::*;
use crate::window::Sums;
use record::Field;

fn model() -> Model {
    let check = |text: &str| filter::Filter::parse(text).map(|_| ()).map_err(|e| e.to_string());
    Model::new(Ask::default(), Grouping::five_tuple(), Box::new(check))
}

fn press(model: &mut Model, key: Key) -> Vec<Effect> {
    model.update(Event::Key(key))
}

fn type_text(model: &mut Model, text: &str) {
    for c in text.chars() {
        assert_eq!(press(model, Key::Char(c)), []);
    }
}

/// What is asked by these effects.
fn asked(effects: Vec<Effect>) -> Ask {
    match &effects[..] {
        [Effect::Ask(ask)] => ask.clone(),
        other => panic!("{other:?}"),
    }
}

/// Hosts with so many octets, as the answer to what the model asks.
fn answer(model: &Model, hosts: &[(&str, u64)]) -> Event {
    let by = model.ask().by(&Grouping::five_tuple()).unwrap();
    let line = |(host, bytes): &(&str, u64)| {
        let parts = vec![KeyText { field: Some(Field::SrcAddr), text: (*host).to_owned() }];
        let sums = Sums { flows: 1, packets: 1, bytes: *bytes };
        Line { filter: label::filter(&by, &parts), parts, sums, history: vec![0, *bytes] }
    };
    Event::Answer(Box::new(Answer {
        question: model.ask().number,
        lines: hosts.iter().map(line).collect(),
        ..Answer::default()
    }))
}

#[test]
fn keys_that_change_the_question() {
    let mut m = model();
    for (key, what, want) in [
        ('e', "element", "srcip"),
        ('E', "element", "ip"),
        ('E', "element", "any"),
        ('o', "order", "packets"),
        ('<', "order", "bytes"),
        ('<', "order", "pps"),
        ('r', "ascending", "true"),
        ('b', "joins", "true"),
        ('w', "window", "15m"),
        ('W', "window", "5m"),
        ('-', "window", "1m"),
        ('i', "interval", "5s"),
        ('I', "interval", "2s"),
    ] {
        let number = m.ask().number;
        let ask = asked(press(&mut m, Key::Char(key)));
        let got = match what {
            "element" => ask.element.clone(),
            "order" => ask.order.name().to_owned(),
            "ascending" => ask.ascending.to_string(),
            "joins" => ask.joins.to_string(),
            "window" => span(ask.window_secs),
            _ => span(ask.interval_secs),
        };
        assert_eq!(got, want, "{key}");
        assert_eq!(ask.number, number + 1);
        assert_eq!(*m.ask(), ask);
    }
    assert_eq!(m.ask().element, "record", "directions are joined in conversations");
    assert_eq!(press(&mut m, Key::Char('~')), []);
}

#[test]
fn only_some_changes_need_counting_anew() {
    let ask = Ask::default();
    for (other, want) in [
        (Ask { number: 9, order: Order::Flows, ascending: true, ..ask.clone() }, false),
        (Ask { interval_secs: 60, ..ask.clone() }, false),
        (Ask { element: "any".to_owned(), ..ask.clone() }, true),
        (Ask { filter: "any".to_owned(), ..ask.clone() }, true),
        (Ask { window_secs: 1, ..ask.clone() }, true),
        (Ask { joins: true, ..ask.clone() }, true),
    ] {
        assert_eq!(ask.counts_otherwise(&other), want, "{other:?}");
    }
}

#[test]
fn statistics_as_flowdump_has_them() {
    let mut ask = Ask::default();
    let five = Grouping::five_tuple();
    for (text, want) in [
        ("srcip", Ok("srcip bytes false")),
        ("dstport:p/flows", Ok("dstport:p flows false")),
        ("record/pps:a", Ok("record pps true")),
        (" proto/bytes:d ", Ok("proto bytes false")),
        ("sport", Err("Unknown statistic: sport")),
        ("ip/size", Err("unknown order 'size'; known are: bytes, packets, flows, bps, pps")),
        ("ip/bytes:x", Err("direction 'x'")),
        ("ip:q", Err("Unknown statistic option :q")),
    ] {
        let got = ask.set_statistic(text, &five);
        match want {
            Ok(want) => {
                assert_eq!(got, Ok(()), "{text}");
                let got = format!("{} {} {}", ask.element, ask.order.name(), ask.ascending);
                assert_eq!(got, want);
            }
            Err(want) => assert!(got.clone().unwrap_err().starts_with(want), "{got:?}"),
        }
    }
    assert_eq!(ask.element, "proto", "what is wrong changes nothing");
}

#[test]
fn filters_are_typed_and_errors_shown() {
    let mut m = model();
    assert_eq!(press(&mut m, Key::Char('/')), []);
    type_text(&mut m, "prot tcp");
    assert_eq!(press(&mut m, Key::Enter), [], "wrong, so nothing is asked");
    let Some(Typing::Filter(prompt)) = m.typing() else { panic!("still typing") };
    assert!(prompt.wrong().unwrap().contains("prot"), "{prompt:?}");
    assert_eq!(m.ask().filter, "");
    (0..4).for_each(|_| drop(press(&mut m, Key::Backspace)));
    type_text(&mut m, "");
    press(&mut m, Key::Control('u'));
    type_text(&mut m, "proto tcp q?");
    (0..3).for_each(|_| drop(press(&mut m, Key::Backspace)));
    let ask = asked(press(&mut m, Key::Enter));
    assert_eq!(ask.filter, "proto tcp");
    assert!(m.typing().is_none());
    // Another one; the first is in the history.
    press(&mut m, Key::Char('f'));
    press(&mut m, Key::Control('u'));
    type_text(&mut m, "port 53");
    assert_eq!(asked(press(&mut m, Key::Enter)).filter, "port 53");
    press(&mut m, Key::Char('/'));
    press(&mut m, Key::Up);
    assert_eq!(asked(press(&mut m, Key::Enter)).filter, "proto tcp");
    // Given up.
    press(&mut m, Key::Char('/'));
    type_text(&mut m, " x");
    assert_eq!(press(&mut m, Key::Escape), []);
    assert_eq!(m.ask().filter, "proto tcp");
    // Pasted, lines and all; emptied.
    press(&mut m, Key::Char('/'));
    m.update(Event::Paste("\nand port 1".to_owned()));
    assert_eq!(asked(press(&mut m, Key::Enter)).filter, "proto tcp and port 1");
    press(&mut m, Key::Char('/'));
    press(&mut m, Key::Control('u'));
    assert_eq!(asked(press(&mut m, Key::Enter)).filter, "");
}

#[test]
fn elements_are_typed() {
    let mut m = model();
    press(&mut m, Key::Char('s'));
    type_text(&mut m, "srcmac");
    press(&mut m, Key::Char('x'));
    assert_eq!(press(&mut m, Key::Enter), []);
    let Some(Typing::Element(prompt)) = m.typing() else { panic!("still typing") };
    assert!(prompt.wrong().unwrap().contains("did you mean"), "{prompt:?}");
    press(&mut m, Key::Backspace);
    assert_eq!(asked(press(&mut m, Key::Enter)).element, "srcmac");
    assert_eq!(asked(press(&mut m, Key::Tab)).element, "ip", "from one that is not in the list");
}

#[test]
fn drill_down_and_back() {
    let mut m = model();
    m.update(answer(&m, &[("10.0.0.1", 9), ("10.0.0.2", 5), ("10.0.0.3", 1)]));
    press(&mut m, Key::Down);
    let ask = asked(press(&mut m, Key::Enter));
    assert_eq!((ask.element.as_str(), ask.filter.as_str()), ("record", "host 10.0.0.2"));
    assert_eq!((m.depth(), m.selected()), (1, 0));
    // An element further, with a filter before it.
    asked(press(&mut m, Key::Tab));
    asked(press(&mut m, Key::BackTab));
    asked(press(&mut m, Key::BackTab));
    assert_eq!(m.ask().element, "dstip");
    m.update(answer(&m, &[("192.0.2.1", 3)]));
    let ask = asked(press(&mut m, Key::Enter));
    assert_eq!(ask.filter, "host 10.0.0.2 and src host 192.0.2.1");
    assert_eq!(m.depth(), 2);
    asked(press(&mut m, Key::Backspace));
    let ask = asked(press(&mut m, Key::Backspace));
    assert_eq!((ask.element.as_str(), ask.filter.as_str()), ("ip", ""));
    assert_eq!(press(&mut m, Key::Backspace), [], "there is nothing above");
    // The cursor is where it was, wherever the row is now.
    m.update(answer(&m, &[("10.0.0.2", 50), ("10.0.0.1", 9)]));
    assert_eq!(m.selected(), 0);
    m.update(answer(&m, &[("10.0.0.9", 90), ("10.0.0.2", 50), ("10.0.0.1", 9)]));
    assert_eq!(m.selected(), 1);
}

#[test]
fn a_filter_of_alternatives_is_kept_together() {
    let mut m = model();
    m.ask.filter = "port 53 or port 80".to_owned();
    m.update(answer(&m, &[("10.0.0.1", 9)]));
    let ask = asked(press(&mut m, Key::Enter));
    assert_eq!(ask.filter, "(port 53 or port 80) and host 10.0.0.1");
}

#[test]
fn what_no_filter_asks_for_is_said() {
    let mut m = model();
    m.ask.element = "any".to_owned();
    let Event::Answer(mut a) = answer(&m, &[("any", 9)]) else { unreachable!() };
    a.lines[0].filter = None;
    m.update(Event::Answer(a));
    assert_eq!(press(&mut m, Key::Enter), []);
    assert!(m.trouble().is_some_and(|t| t.starts_with("this row is all flows")));
    m.ask.element = "ja3".to_owned();
    assert_eq!(press(&mut m, Key::Enter), []);
    assert!(m.trouble().is_some_and(|t| t.contains("this value of ja3")));
    // It stays while answers come in, and goes with the next key.
    m.update(answer(&m, &[("any", 9)]));
    assert!(m.trouble().is_some());
    press(&mut m, Key::Down);
    assert_eq!(m.trouble(), None);
    assert_eq!(press(&mut model(), Key::Enter), [], "no rows at all");
}

#[test]
fn pausing_keeps_the_answer() {
    let mut m = model();
    m.update(answer(&m, &[("10.0.0.1", 9)]));
    press(&mut m, Key::Char(' '));
    m.update(answer(&m, &[("10.0.0.2", 9)]));
    assert_eq!(m.answer().unwrap().lines[0].parts[0].text, "10.0.0.1");
    assert!(m.is_paused());
    press(&mut m, Key::Char('p'));
    m.update(answer(&m, &[("10.0.0.2", 9)]));
    assert_eq!(m.answer().unwrap().lines[0].parts[0].text, "10.0.0.2");
    press(&mut m, Key::Char(' '));
    press(&mut m, Key::Char('o'));
    assert!(!m.is_paused(), "another question goes on");
}

#[test]
fn answers_to_earlier_questions_are_left_out() {
    let mut m = model();
    let late = answer(&m, &[("10.0.0.1", 9)]);
    press(&mut m, Key::Char('e'));
    m.update(late);
    assert_eq!(m.answer(), None);
}

#[test]
fn the_cursor_stays_within_the_rows() {
    let mut m = model();
    press(&mut m, Key::Down);
    assert_eq!(m.selected(), 0);
    let hosts: Vec<String> = (0..30).map(|n| format!("10.0.0.{n}")).collect();
    let hosts: Vec<(&str, u64)> = hosts.iter().map(|h| (h.as_str(), 1)).collect();
    m.update(answer(&m, &hosts));
    m.update(Event::Rows(8));
    for (key, want) in [
        (Key::PageDown, 8),
        (Key::Char('j'), 9),
        (Key::Up, 8),
        (Key::PageUp, 0),
        (Key::Char('k'), 0),
        (Key::End, 29),
        (Key::PageDown, 29),
        (Key::Home, 0),
        (Key::End, 29),
    ] {
        press(&mut m, key);
        assert_eq!(m.selected(), want, "{key:?}");
    }
    m.update(answer(&m, &hosts[..3]));
    assert_eq!(m.selected(), 2);
    m.update(answer(&m, &[]));
    assert_eq!(m.selected(), 0);
}

#[test]
fn names_are_asked_for_once_and_shown() {
    let mut m = model();
    assert_eq!(m.update(answer(&m, &[("10.0.0.1", 9)])), [], "off until asked for");
    let want = [Effect::Resolve(vec!["10.0.0.1".to_owned()])];
    assert_eq!(press(&mut m, Key::Char('n')), want);
    assert_eq!(m.update(answer(&m, &[("10.0.0.1", 9)])), []);
    let label = |m: &Model| m.label(&m.answer().unwrap().lines[0]);
    assert_eq!(label(&m), "10.0.0.1");
    m.update(Event::Named(vec![("10.0.0.1".to_owned(), Some("ns.example.net".to_owned()))]));
    assert_eq!(label(&m), "ns.example.net");
    press(&mut m, Key::Char('n'));
    assert_eq!(label(&m), "10.0.0.1");
}

#[test]
fn ways_out() {
    let mut m = model();
    assert_eq!(press(&mut m, Key::Char('q')), [Effect::Quit]);
    assert_eq!(press(&mut m, Key::Control('z')), [Effect::Suspend]);
    assert_eq!(press(&mut m, Key::Control('l')), [Effect::Redraw]);
    press(&mut m, Key::Char('?'));
    assert!(m.shows_help());
    assert_eq!(press(&mut m, Key::Char('e')), [], "any key closes help");
    assert!(!m.shows_help());
    press(&mut m, Key::Char('/'));
    assert_eq!(press(&mut m, Key::Char('q')), [], "typed");
    assert_eq!(press(&mut m, Key::Control('c')), [Effect::Quit]);
}

#[test]
fn failures_are_shown_until_there_is_an_answer() {
    let mut m = model();
    m.update(Event::Failed("read /flows: gone".to_owned()));
    assert_eq!(m.trouble(), Some("read /flows: gone"));
    m.update(answer(&m, &[]));
    assert_eq!(m.trouble(), None);
}

#[test]
fn spans_of_time() {
    for (text, want) in [
        ("10", Some(10)),
        ("10s", Some(10)),
        ("5m", Some(300)),
        ("2h", Some(7200)),
        ("1d", Some(86_400)),
        ("2d", None),
        ("0", None),
        ("", None),
        ("m", None),
        ("5x", None),
        ("-5", None),
        ("99999999999999999999", None),
    ] {
        assert_eq!(parse_span(text).ok(), want, "{text}");
        if let Some(want) = want {
            assert_eq!(parse_span(&span(want)), Ok(want));
        }
    }
}
