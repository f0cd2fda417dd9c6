//! What the manuals say holds: links lead somewhere, options exist, filters mean what is beside them.

mod common;

use clap::Command as Options;
use common::flows::FlowFile;
use common::manual::ROOT;
use common::{FLOWDUMP, Scene};
use flowsuite::args::programs::PROGRAMS;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// README.md and all pages of docs/, with their texts.
fn pages() -> Vec<(PathBuf, String)> {
    let docs = Path::new(ROOT).join("docs");
    let entries = std::fs::read_dir(docs).expect("docs");
    let mut paths: Vec<_> = entries
        .map(|entry| entry.expect("entry").path())
        .filter(|path| path.extension().is_some_and(|e| e == "md"))
        .collect();
    paths.extend(["README.md", "fixtures/README.md"].map(|name| Path::new(ROOT).join(name)));
    paths.sort();
    let text = |path: &PathBuf| std::fs::read_to_string(path).expect("page");
    paths.into_iter().map(|path| (path.clone(), text(&path))).collect()
}

fn page(name: &str) -> String {
    std::fs::read_to_string(Path::new(ROOT).join("docs").join(name)).expect("page")
}

/// The lines of all fenced blocks of a page that are marked so.
fn fenced<'t>(text: &'t str, mark: &str) -> Vec<&'t str> {
    let mut lines = Vec::new();
    let mut within = None;
    for line in text.lines() {
        match (line.strip_prefix("```"), within) {
            (Some(_), Some(_)) => within = None,
            (Some(of), None) => within = Some(of),
            (None, Some(of)) if of == mark && !line.is_empty() => lines.push(line),
            (None, _) => {}
        }
    }
    assert!(within.is_none(), "a block that does not end");
    lines
}

/// What GitHub makes of a heading to link to.
fn anchor(heading: &str) -> String {
    let keep = |c: char| match c {
        ' ' => Some('-'),
        c if c.is_alphanumeric() || c == '-' || c == '_' => Some(c.to_ascii_lowercase()),
        _ => None,
    };
    heading.trim().chars().filter_map(keep).collect()
}

fn anchors(text: &str) -> BTreeSet<String> {
    let heading = |line: &str| line.starts_with('#').then(|| anchor(line.trim_start_matches('#')));
    text.lines().filter_map(heading).collect()
}

/// Targets of `[text](target)` that are no addresses of the network.
fn links(text: &str) -> Vec<&str> {
    let ends = text.split("](").skip(1);
    let targets = ends.filter_map(|rest| rest.split_once(')')).map(|(target, _)| target);
    targets.filter(|t| !t.contains("://") && !t.starts_with("mailto:")).collect()
}

#[test]
fn every_link_leads_somewhere() {
    let mut found = 0;
    for (path, text) in pages() {
        for target in links(&text) {
            let (file, part) = target.split_once('#').unwrap_or((target, ""));
            let to = if file.is_empty() {
                path.clone()
            } else {
                path.parent().expect("folder").join(file)
            };
            assert!(to.exists(), "{}: {target} leads nowhere", path.display());
            if !part.is_empty() {
                let there = std::fs::read_to_string(&to).expect("page");
                assert!(anchors(&there).contains(part), "{}: no #{part}", path.display());
            }
            found += 1;
        }
    }
    assert!(found > 30, "{found}");
}

/// Long options of a program and of its commands.
fn add_longs(options: &Options, longs: &mut BTreeSet<String>) {
    let names = options.get_arguments().flat_map(|arg| {
        let others = arg.get_all_aliases().unwrap_or_default();
        arg.get_long().into_iter().chain(others).map(str::to_owned).collect::<Vec<_>>()
    });
    longs.extend(names);
    options.get_subcommands().for_each(|command| add_longs(command, longs));
}

/// Words of a page that look like long options.
fn long_words(text: &str) -> BTreeSet<&str> {
    let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let begins = text.match_indices("--").filter_map(|(at, _)| {
        let before = text[..at].chars().next_back();
        let rest = &text[at + 2..];
        let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
        let is_first = before.is_none_or(|c| !c.is_ascii_alphanumeric() && c != '-');
        let is_option = rest.starts_with(|c: char| c.is_ascii_lowercase());
        (is_first && is_option).then(|| &rest[..end])
    });
    begins.collect()
}

#[test]
fn every_option_in_the_manual_exists() {
    // Those of cargo, packet filters, the service manager, other exporters, bench.
    let foreign = [
        "add-port",
        "create",
        "enable-nfprofile",
        "enable-nftrack",
        "exclude",
        "features",
        "files",
        "flows",
        "id",
        "list-all",
        "locked",
        "no-default-features",
        "permanent",
        "profile",
        "release",
        "reload",
        "system",
        "test",
        "update",
    ];
    let mut longs: BTreeSet<_> = ["help", "version"].map(str::to_owned).into();
    PROGRAMS.iter().for_each(|program| add_longs(&(program.command)(), &mut longs));
    let mut found = BTreeSet::new();
    for (path, text) in pages() {
        for word in long_words(&text) {
            let is_known = longs.contains(word) || foreign.contains(&word);
            assert!(is_known, "{}: --{word} is an option of none", path.display());
            found.insert(word.to_owned());
        }
    }
    assert!(found.len() > 60, "{found:?}");
}

/// Each page is in the index, and so can be found.
#[test]
fn the_index_has_every_page() {
    let index = page("README.md");
    let linked: BTreeSet<_> = links(&index).into_iter().collect();
    for (path, _) in pages() {
        let name = path.file_name().and_then(|n| n.to_str()).expect("name");
        if path.parent() == Some(&Path::new(ROOT).join("docs")) && name != "README.md" {
            assert!(linked.contains(name), "docs/README.md does not link {name}");
        }
    }
}

/// Runs flowdump beside the lists that the page speaks of.
fn flowdump(scene: &Scene, args: &[&str]) -> Output {
    Command::new(FLOWDUMP)
        .args(["-C", "none"])
        .args(args)
        .current_dir(scene.path(""))
        .env("TZ", "UTC")
        .output()
        .expect("flowdump")
}

fn scene_of_filters() -> Scene {
    let scene = Scene::new();
    for (name, text) in [
        ("blocklist.txt", "192.0.2.1, 198.51.100.0/24 # from the feed\n2001:db8:1::/48\n"),
        ("customers.txt", "203.0.113.0/25\n"),
        ("ports.txt", "25\n465 587\n"),
        ("mail.filter", "proto tcp and port in [25 465 587] # mail\n"),
    ] {
        std::fs::write(scene.path(name), text).expect("list");
    }
    scene
}

/// What a filter reads and tests, whatever its words.
fn meaning(scene: &Scene, filter: &str) -> String {
    let output = flowdump(scene, &["--explain", filter]);
    let text = String::from_utf8(output.stdout).expect("text");
    let (_, meaning) =
        text.split_once('\n').unwrap_or_else(|| panic!("{filter}: {:?}", output.stderr));
    assert!(meaning.contains("tests "), "{filter}: {meaning}");
    meaning.to_owned()
}

#[test]
fn filters_of_the_manual_are_read() {
    let scene = scene_of_filters();
    let text = page("filters.md");
    let lines = fenced(&text, "filter");
    assert!(lines.len() > 100, "{}", lines.len());
    for line in lines {
        let output = flowdump(&scene, &["-Z", line]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{line}\n{said}");
        let is_warned = said.contains("no database is given");
        assert_eq!(is_warned, line.contains("geo ") || line.contains(" tor "), "{line}\n{said}");
    }
}

#[test]
fn filters_that_the_manual_refuses_are_refused() {
    let scene = scene_of_filters();
    let text = page("filters.md");
    let lines = fenced(&text, "refused");
    assert!(lines.len() > 40, "{}", lines.len());
    for line in lines {
        let output = flowdump(&scene, &["-Z", line]);
        assert_eq!(output.status.code(), Some(254), "{line}\n{output:?}");
    }
}

#[test]
fn filters_of_the_manual_mean_the_same() {
    let scene = scene_of_filters();
    let text = page("filters.md");
    let lines = fenced(&text, "same");
    assert!(lines.len() > 10, "{}", lines.len());
    for line in lines {
        let (one, other) = line.rsplit_once("  ==  ").unwrap_or_else(|| panic!("{line}"));
        assert_eq!(meaning(&scene, one), meaning(&scene, other), "{line}");
    }
}

/// The columns of CSV up to nfdump 1.7.4, as many and in their order.
#[test]
fn old_csv_can_be_had() {
    let (scene, text) = (Scene::new(), page("migration.md"));
    let line = text.lines().find(|l| l.contains("-o 'csv:%ts,%te,")).expect("the command");
    let format = line.split('\'').nth(1).expect("format");
    let file = scene.path("flows");
    FlowFile { flows: 30, ..FlowFile::default() }.write(&file);
    let out = flowdump(&scene, &["-r", file.to_str().expect("text"), "-o", format]);
    let out = String::from_utf8(out.stdout).expect("text");
    assert_eq!(out.lines().count(), 31, "{out}");
    for line in out.lines() {
        assert_eq!(line.split(',').count(), 48, "{line}");
    }
    assert!(out.starts_with("firstSeen,lastSeen,duration,srcAddr,dstAddr,srcPort,dstPort,proto,"));
}

/// Words of nfdump 1.6 are answered with those that the page has beside them.
#[test]
fn names_of_old_filters_lead_to_the_new_ones() {
    let scene = Scene::new();
    let text = page("migration.md");
    for (old, new) in [
        ("xip 10.0.0.1", "nat ip"),
        ("xport 10", "nat port"),
        ("xnet 10.0.0.0/8", "nat net"),
        ("src xip 10.0.0.1", "src nat ip"),
        ("inet", "ipv4"),
        ("inet6", "ipv6"),
        ("sysid 1", "exporter id"),
    ] {
        let said = flowdump(&scene, &["-Z", old]).stderr;
        let said = String::from_utf8(said).expect("text");
        assert!(said.contains(&format!("did you mean `{new}`?")), "{said}");
        let word = old.trim_end_matches(|c: char| !c.is_ascii_alphabetic() && c != '6');
        let word = word.split(" 1").next().expect("word");
        assert!(
            text.contains(&format!("`{word}`")) && text.contains(&format!("`{new}`")),
            "{word}"
        );
    }
}
