//! flowprobectl and softflowctl at the control socket of a probe.

mod common;

use common::{Scene, run};
use probe::control::{Command, Controlled, Desk, Options, Outline, Server};
use probe::statistics::{Report, Speaker};
use probe::{Pending, Timeouts};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const FLOWPROBECTL: &str = env!("CARGO_BIN_EXE_flowprobectl");

/// A probe without packets.
struct Quiet;

impl Controlled for Quiet {
    fn report(&mut self) -> Report {
        Report::default()
    }

    fn timeouts(&self) -> Timeouts {
        Timeouts::default()
    }

    fn outline(&mut self) -> Vec<Outline> {
        Vec::new()
    }

    fn conversation(&self, _: &Outline) -> Option<Pending> {
        None
    }

    fn expire_all(&mut self) -> u64 {
        0
    }

    fn delete_all(&mut self) -> u64 {
        0
    }

    fn send_template(&mut self) {}

    fn gather(&mut self, _: bool) {}

    fn debug(&mut self, _: bool) {}

    fn end(&mut self, _: bool) {}
}

/// Answers at `path` as long as `f` lasts.
fn with_probe(path: &Path, f: impl FnOnce()) {
    let (requests, running) = Server::bind(path, Options::default()).unwrap().start().unwrap();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let guard = Guard(&is_over);
        scope.spawn(|| {
            let mut desk = Desk::new(requests, Speaker::new("softflowd", 1));
            while !is_over.load(Ordering::SeqCst) {
                desk.poll(&mut Quiet, 0, false);
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        f();
        drop(guard);
    });
    drop(running);
}

/// Ends the loop of a test also where it fails.
struct Guard<'a>(&'a AtomicBool);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Exit status, output and what was said.
fn ask(program: &Path, words: &[&str]) -> (Option<i32>, String, String) {
    let output = run(program, words);
    let text = |octets: Vec<u8>| String::from_utf8(octets).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn both_names_ask_and_tell_how_it_went() {
    let scene = Scene::new();
    let (ours, old) = (PathBuf::from(FLOWPROBECTL), scene.path("softflowctl"));
    symlink(FLOWPROBECTL, &old).unwrap();
    let socket = scene.path("ctl");
    let at = socket.to_str().unwrap();
    with_probe(&socket, || {
        for program in [&ours, &old] {
            let (status, said, _) = ask(program, &["-c", at, "timeouts"]);
            assert_eq!(status, Some(0));
            assert!(said.starts_with("softflowd[1]: Printing timeouts:\n"), "{said}");
            let (status, said, _) = ask(program, &["-c", at, "--json", "timeouts"]);
            let json: serde_json::Value = serde_json::from_str(&said).unwrap();
            assert_eq!((status, json["tcp"].as_u64()), (Some(0), Some(3600)));
        }
        for (program, want) in [(&ours, 1), (&old, 0)] {
            let (status, said, _) = ask(program, &["-c", at, "nonsense"]);
            assert_eq!(status, Some(want));
            assert_eq!(said, "Unknown control command \"nonsense\"\n");
        }
    });
    for program in [&ours, &old] {
        let (status, said, told) = ask(program, &["-c", at, "statistics"]);
        assert_eq!((status, said.as_str()), (Some(1), ""));
        assert!(told.contains("no probe answers at") && told.contains(at), "{told}");
        assert_eq!(told.lines().count(), 1, "{told}");
        for words in [&["-h"][..], &["--version"]] {
            assert_eq!(ask(program, words).0, Some(0), "{words:?}");
        }
        for words in [&[][..], &["-c", at], &["a", "b"], &["-Z"]] {
            assert_eq!(ask(program, words).0, Some(1), "{words:?}");
        }
    }
}

#[test]
fn softflowctl_itself_is_understood() {
    let program = ["/usr/sbin/softflowctl", "/usr/local/sbin/softflowctl"].map(PathBuf::from);
    let Some(theirs) = program.into_iter().find(|p| p.exists()) else {
        println!("skipped: softflowctl is not installed");
        return;
    };
    let scene = Scene::new();
    let socket = scene.path("ctl");
    let at = socket.to_str().unwrap();
    let ours = PathBuf::from(FLOWPROBECTL);
    with_probe(&socket, || {
        let words = Command::ALL.iter().map(|command| command.word());
        for word in words.chain(["help", "nonsense"]) {
            let (status, said, told) = ask(&theirs, &["-c", at, word]);
            assert_eq!((status, told.as_str()), (Some(0), ""), "{word}");
            assert!(!said.is_empty());
            assert_eq!(ask(&ours, &["-c", at, word]).1, said, "{word}");
        }
    });
    let (status, ..) = ask(&theirs, &["-c", at, "statistics"]);
    assert_eq!(status, Some(1), "as ours has it");
}
