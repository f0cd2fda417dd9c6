//! A strict reader of metrics, for tests of those who write them.

use std::collections::BTreeMap;

/// A metric as a strict reader of the text format sees it.
#[derive(Debug)]
pub struct Family {
    /// `counter` or `gauge`.
    pub kind: String,
    /// What it is.
    pub help: String,
    /// Label set and value.
    pub samples: BTreeMap<Vec<(String, String)>, f64>,
}

/// Reads the text format 0.0.4, or OpenMetrics, and takes nothing that is not in its book.
pub fn parse(text: &str) -> BTreeMap<String, Family> {
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let mut open = String::new();
    let body = match text.strip_suffix("# EOF\n") {
        Some(body) => body,
        None => text,
    };
    assert!(body.ends_with('\n') && !body.contains("\n\n"), "lines end with a line feed");
    for line in body.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').expect("a help text");
            assert!(is_name(name, ":") && !help.is_empty(), "{line}");
            let family =
                Family { kind: String::new(), help: help.into(), samples: BTreeMap::new() };
            assert!(families.insert(name.into(), family).is_none(), "twice: {name}");
            open = name.into();
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a type");
            assert!(name == open && ["counter", "gauge"].contains(&kind), "{line}");
            families.get_mut(name).expect("help first").kind = kind.into();
        } else {
            assert!(!line.starts_with('#'), "{line}");
            let (name, labels, value) = sample(line);
            let family = families.get_mut(&open).expect("a metric was begun");
            let is_counter = family.kind == "counter";
            assert!(name == open || (is_counter && name == format!("{open}_total")), "{line}");
            assert_eq!(name.ends_with("_total"), is_counter, "{line}");
            assert!(value >= 0.0 && value.is_finite(), "{line}");
            assert!(family.samples.insert(labels, value).is_none(), "twice: {line}");
        }
    }
    families
}

type Sample = (String, Vec<(String, String)>, f64);

fn sample(line: &str) -> Sample {
    let end = line.find(['{', ' ']).expect("a name and a value");
    let (name, mut rest) = line.split_at(end);
    assert!(is_name(name, ":"), "{line}");
    let mut labels = Vec::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            let (label, quoted) = rest.split_once("=\"").expect("a label");
            assert!(is_name(label, ""), "{line}");
            let mut text = String::new();
            let mut chars = quoted.char_indices();
            let end = loop {
                match chars.next().expect("a closing quote") {
                    (at, '"') => break at,
                    (_, '\\') => match chars.next().expect("an escape").1 {
                        'n' => text.push('\n'),
                        c @ ('\\' | '"') => text.push(c),
                        c => panic!("escape {c}: {line}"),
                    },
                    (_, c) => text.push(c),
                }
            };
            labels.push((label.to_owned(), text));
            rest = &quoted[end + 1..];
            match rest.split_at(1) {
                (",", more) => rest = more,
                ("}", more) => {
                    rest = more;
                    break;
                }
                _ => panic!("after a label: {line}"),
            }
        }
    }
    let value = rest.strip_prefix(' ').expect("one blank");
    assert!(!value.contains(' '), "{line}");
    (name.to_owned(), labels, value.parse().expect("a number"))
}

fn is_name(name: &str, more: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || more.contains(c);
    !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit()) && name.chars().all(fits)
}
