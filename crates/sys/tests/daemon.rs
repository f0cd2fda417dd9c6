//! Becoming a daemon, tested without the test harness, whose threads forbid it.
//!
//! The test runs itself as a child that detaches and reports through a file.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.first() {
        Some(entrust) if entrust == "entrust" => leave_behind(&args[1..]),
        Some(report) if report.starts_with('/') => detach(Path::new(&report)),
        _ => {
            parent();
            caretaker();
        }
    }
}

/// The child: detaches, then tells what it has become.
fn detach(report: &Path) {
    let background = sys::process::daemonize().expect("one thread only");
    background.ready().expect("it can let go");
    println!("goes to /dev/null");
    let pid = nix::unistd::getpid();
    let session = nix::unistd::getsid(None).expect("we are in a session");
    let stdout = fs::read_link("/proc/self/fd/1").expect("stdout is open");
    let text = format!("{} {} {}", pid, session, stdout.display());
    let draft = report.with_extension("draft");
    fs::write(&draft, text).expect("the directory is there");
    fs::rename(draft, report).expect("same directory");
}

/// The child: leaves files behind, and is ended in the middle of it.
fn leave_behind(files: &[String]) {
    let mut caretaker = sys::caretaker::Caretaker::start().expect("one thread only");
    let _held = fs::File::open("/dev/null").expect("something is open");
    for file in files {
        fs::write(file, "ours").expect("the directory is there");
    }
    let [first, second, ..] = files else { panic!("two files at least") };
    caretaker.entrust([Path::new(first), Path::new(second)]).expect("it hears");
    // Somebody else takes the place of the second.
    fs::write(format!("{second}.new"), "theirs").expect("the directory is there");
    fs::rename(format!("{second}.new"), second).expect("same directory");
    std::process::abort();
}

/// Files that were entrusted are gone after the end, others are not.
fn caretaker() {
    let dir = tempfile::tempdir().expect("a directory");
    let files = ["pid", "socket", "other"].map(|name| dir.path().join(name));
    let child = Command::new(std::env::current_exe().expect("we run"))
        .arg("entrust")
        .args(&files)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("a process");
    // Ends when the last holder of standard output is gone: the caretaker holds none.
    let out = child.wait_with_output().expect("it ends");
    assert!(!out.status.success(), "it was ended by a signal");
    let is_gone = |_| {
        std::thread::sleep(Duration::from_millis(10));
        (!files[0].exists()).then_some(())
    };
    (0..1000).find_map(is_gone).expect("the file is removed within ten seconds");
    assert_eq!(fs::read_to_string(&files[1]).expect("it is there"), "theirs");
    assert_eq!(fs::read_to_string(&files[2]).expect("it is there"), "ours");
    println!("caretaker: ok");
}

fn parent() {
    let dir = tempfile::tempdir().expect("a directory for the report");
    let report = dir.path().join("report");
    let me = std::env::current_exe().expect("we run");
    let child = Command::new(me)
        .arg(&report)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a process");
    let first = child.id();
    let out = child.wait_with_output().expect("it ends");
    assert!(out.status.success(), "the foreground process ends with 0");
    assert_eq!(out.stdout, b"", "nothing reaches the old standard output");
    // The pipe is closed once the daemon has let go of it, which may be before it has written.
    let text = (0..1000)
        .find_map(|_| {
            std::thread::sleep(Duration::from_millis(10));
            fs::read_to_string(&report).ok()
        })
        .expect("the daemon reports within ten seconds");
    let [pid, session, stdout] = text.split(' ').collect::<Vec<_>>()[..] else { panic!("{text}") };
    assert_ne!(pid, first.to_string(), "a new process");
    assert_eq!(pid, session, "leader of its own session");
    assert_eq!(stdout, "/dev/null");
    println!("daemon: ok");
}
