//! Parquet, which `flowdump` recognises and `flowlake` reads: a program of its own, that may be
//! there or not.

mod common;

use common::flows::FlowFile;
use common::{FLOWDUMP, Scene, copy_program, run};
use std::ffi::OsStr;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).into_owned()
}

/// `flowdump` alone in a directory, and a file that begins as Parquet does.
fn alone(scene: &Scene) -> (PathBuf, PathBuf) {
    let (program, file) = (scene.dir("bin").join("flowdump"), scene.path("x.parquet"));
    copy_program(FLOWDUMP, &program);
    std::fs::write(&file, b"PAR1").unwrap();
    (program, file)
}

/// The program as if nothing else were installed.
fn dump(program: &Path, args: &[&OsStr]) -> Output {
    Command::new(program).args(args).env("PATH", "/nonexistent").output().unwrap()
}

#[test]
fn a_missing_flowlake_is_said() {
    let scene = Scene::new();
    let (program, file) = alone(&scene);
    for args in [["-r".as_ref(), file.as_os_str()], ["-R".as_ref(), scene.path("").as_os_str()]] {
        let output = dump(&program, &args);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("is Parquet") && said.contains("flowsuite-lake"), "{said}");
        assert_eq!((said.lines().count(), &*text(&output.stdout)), (1, ""));
    }
}

/// What runs gets the arguments as they were given, and its exit status is that of the call. Under
/// an old name it is found beside the program that the name points to.
#[test]
fn the_command_line_is_handed_over() {
    let scene = Scene::new();
    let (program, file) = alone(&scene);
    let lake = scene.path("bin/flowlake");
    std::fs::write(&lake, "#!/bin/sh\nprintf '<%s>' \"$@\"\nexit 254\n").unwrap();
    std::fs::set_permissions(&lake, std::fs::Permissions::from_mode(0o755)).unwrap();
    let old = scene.path("nfdump");
    symlink(&program, &old).unwrap();
    for program in [&program, &old] {
        let output = dump(program, &["-qr".as_ref(), file.as_ref(), "".as_ref(), "a 'b'".as_ref()]);
        assert_eq!(text(&output.stdout), format!("<dump><-qr><{}><><a 'b'>", file.display()));
        assert_eq!(output.status.code(), Some(254));
    }
}

/// `flowlake` where it was built beside `flowdump`; it is no part of this package.
fn flowlake() -> Option<PathBuf> {
    let path = Path::new(FLOWDUMP).with_file_name("flowlake");
    if !path.is_file() {
        println!("skipped: flowlake is not built");
        return None;
    }
    Some(path)
}

/// Through both programs, under both names: output, what is told, and exit statuses as on the flow
/// file.
#[test]
fn answers_and_statuses_are_those_of_flow_files() {
    let Some(lake) = flowlake() else { return };
    let scene = Scene::new();
    let (flows, dataset) = (scene.path("nfcapd.202611201000"), scene.path("lake"));
    FlowFile { flows: 3000, ..FlowFile::default() }.write(&flows);
    let made = run(
        &lake,
        [OsStr::new("write"), "-r".as_ref(), flows.as_ref(), "-w".as_ref(), dataset.as_ref()],
    );
    assert!(made.status.success(), "{}", text(&made.stderr));
    let old = scene.path("nfdump");
    symlink(FLOWDUMP, &old).unwrap();
    for program in [Path::new(FLOWDUMP), &old] {
        for (args, status) in [
            (&["-n", "10", "-s", "dstip/bytes"][..], 0),
            (&["-q", "-O", "bytes", "-n", "20", "-o", "csv"], 0),
            (&["-q", "-o", "line", "host 203.0.113.77"], 0),
            (&["-s", "dstip/bytes", "no such filter"], 254),
            (&["-s", "nothing"], 1),
            (&["-o", "fmt:%nothing"], 1),
        ] {
            let ask = |option: &str, path: &Path| {
                let mut all = vec![OsStr::new(option), path.as_ref()];
                all.extend(args.iter().map(OsStr::new));
                run(program, all)
            };
            let (want, got) = (ask("-r", &flows), ask("-R", &dataset));
            let about = format!("{} {args:?}: {}", program.display(), text(&got.stderr));
            assert_eq!(want.status.code(), got.status.code(), "{about}");
            if status == 0 || status == 254 {
                assert_eq!(got.status.code(), Some(status), "{about}");
            }
            assert_eq!(text(&want.stderr), text(&got.stderr), "{about}");
            assert_eq!(answer(&want), answer(&got), "{about}");
        }
    }
}

/// Lines without those about reading: blocks and octets are those of Parquet.
fn answer(output: &Output) -> Vec<String> {
    let about_reading = ["Total flows", "Total records", "Sys:", "Time window"];
    let text = text(&output.stdout);
    let lines = text.lines().filter(|l| !about_reading.iter().any(|head| l.starts_with(head)));
    lines.map(str::to_owned).collect()
}
