//! Results become a table and drawings: the program, from the files that measuring leaves.

use bench::results::{self, Run};
use std::fs;
use std::process::{Command, Output};

fn table(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_table")).args(args).output().expect("table")
}

#[test]
fn several_files_make_one_table_and_two_drawings() {
    let dir = std::env::temp_dir().join(format!("bench-table-{}", std::process::id()));
    fs::create_dir_all(&dir).unwrap();
    let path = |name: &str| dir.join(name).to_str().unwrap().to_owned();
    let run = |program: &str, value: f64| Run {
        area: "queries".into(),
        what: "-s dstip/bytes".into(),
        program: program.into(),
        is_ours: program.starts_with("flow"),
        value,
        floor: Some(4.0),
        ..Run::default()
    };
    let grown = Run {
        area: "growth".into(),
        flows: Some(1_000_000),
        cores: Some(2),
        ..run("flowdump 0.1.0", 0.5)
    };
    for (name, runs) in
        [("a", vec![run("nfdump 1.7.1", 3.0), run("flowdump 0.1.0", 1.0)]), ("b", vec![grown])]
    {
        runs.iter().for_each(|run| results::append(path(name).as_ref(), run).unwrap());
    }
    let (ratios, growth) = (path("ratios.svg"), path("growth.svg"));
    let output = table(&[&path("a"), &path("b"), "--ratios", &ratios, "--growth", &growth]);
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("3.0x") && text.contains("below floor"), "{text}");
    assert!(text.contains("1 M flows, 2 cores"), "{text}");
    assert!(fs::read_to_string(ratios).unwrap().contains(">3.0x<"));
    assert!(fs::read_to_string(growth).unwrap().contains("1 M flows"));

    let checked = table(&[&path("a"), "--check"]);
    let text = String::from_utf8(checked.stdout).unwrap();
    assert!(!text.contains("below floor") && text.contains("Too little"), "{text}");
    assert!(!table(&[&path("missing")]).status.success());
    fs::remove_dir_all(dir).unwrap();
}
