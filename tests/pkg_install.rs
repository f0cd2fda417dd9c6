//! The Debian packages in a clean Debian: installed, run as the service runs, asked under old names,
//! upgraded, removed, purged. Nothing of the machine's own is touched: the tree is a folder, and the
//! collector has a network of its own.

mod common;

use common::flows::FlowFile;
use common::{Daemon, FLOWCAPD, FLOWDUMP, Scene, copy_program, has, run, stdout_of, wait_until};
use flowsuite::args::programs::{PROGRAMS, Package, Program};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// What the tree has besides Debian's essential packages: what ours depend on.
const NEEDED: &str = "libpcap0.8,systemd-standalone-sysusers,systemd-standalone-tmpfiles";

/// Programs that were built: flowlake, a package of its own, may not be.
fn programs() -> impl Iterator<Item = &'static Program> {
    let binaries = Path::new(FLOWDUMP).parent().expect("a folder");
    PROGRAMS.iter().filter(|p| p.package == Package::Suite || binaries.join(p.name).exists())
}

/// The packages that hold them, those first that depend on others.
fn names_of_packages() -> Vec<&'static str> {
    let lake = programs().any(|p| p.package == Package::Lake).then_some("flowsuite-lake");
    lake.into_iter().chain(["flowsuite-compat", "flowsuite"]).collect()
}

/// Makes the packages of the programs that are being tested.
fn make_packages(scene: &Scene, version: &str) -> Vec<PathBuf> {
    let (manual, out) = (scene.dir("manual"), scene.dir("packages"));
    manual::write(&manual).expect("manual pages");
    let binaries = Path::new(FLOWDUMP).parent().expect("a folder");
    let made = Command::new("make")
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["--silent", "deb", "COMPRESS=-Zgzip -z1"])
        .arg(format!("VERSION={version}"))
        .arg(format!("BINARIES={}", binaries.display()))
        .arg(format!("MANUAL={}", manual.display()))
        .arg(format!("OUT={}", out.display()))
        .output()
        .expect("make");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let made = String::from_utf8(made.stdout).expect("text");
    let made: Vec<PathBuf> = made.lines().map(PathBuf::from).collect();
    assert_eq!(made.len(), names_of_packages().len(), "{made:?}");
    made
}

/// A clean Debian of this machine's release; made once, kept in the target folder. `None` with a
/// line that says why if there can be none.
fn clean_tree(scene: &Scene) -> Option<PathBuf> {
    let skip = |why: &str| {
        eprintln!("skipped: {why}");
        None
    };
    if !nix::unistd::geteuid().is_root() {
        return skip("only root can install packages into a tree");
    }
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let suite = release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME="));
    let Some(suite) = suite.filter(|_| release.contains("\nID=debian\n")) else {
        return skip("this is no Debian");
    };
    if !has("mmdebstrap") || !has("dpkg-shlibdeps") {
        return None;
    }
    if !run("unshare", ["--net", "--mount", "true"]).status.success() {
        return skip("no namespaces here");
    }
    let base = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("debian-{suite}.tar"));
    if !base.exists() {
        let fresh = base.with_extension(format!("{}.tar", std::process::id()));
        let include = format!("--include={NEEDED}");
        let path = fresh.to_str().expect("a path in UTF-8");
        let options = ["--quiet", "--variant=essential", "--dpkgopt=force-unsafe-io", &include];
        let made = run("mmdebstrap", [&options[..], &[suite, path]].concat());
        if !made.status.success() {
            let _ = std::fs::remove_file(&fresh);
            return skip("no Debian to be had: is there a network?");
        }
        std::fs::rename(&fresh, &base).expect("rename");
    }
    let tree = scene.dir("tree");
    let (from, to) = (base.to_str().expect("UTF-8"), tree.to_str().expect("UTF-8"));
    stdout_of("tar", ["-xf", from, "-C", to, "--numeric-owner"]);
    Some(tree)
}

/// Runs a program in the tree, as root.
fn inside(tree: &Path, args: &[&str]) -> Output {
    const SCRIPT: &str = "mount -t proc proc \"$0/proc\" && exec env -u TMPDIR LC_ALL=C \
        PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive chroot \"$0\" \"$@\"";
    let tree = tree.to_str().expect("UTF-8");
    run("unshare", [&["--mount", "sh", "-c", SCRIPT, tree], args].concat())
}

/// What a program in the tree prints; that it succeeds goes without saying.
fn said_inside(tree: &Path, args: &[&str]) -> String {
    let output = inside(tree, args);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{args:?}: {said}{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stdout).expect("text")
}

/// All paths of the tree, but not what dpkg and its friends write down.
fn paths(tree: &Path) -> BTreeSet<String> {
    let all = stdout_of("find", [tree.to_str().expect("UTF-8"), "-xdev", "-printf", "%P\\n"]);
    let is_kept = |path: &&str| {
        let own = ["var/lib/dpkg", "var/log", "var/cache", "tmp", "dev", "proc"];
        !own.iter().any(|dir| path.starts_with(dir))
    };
    all.lines().filter(is_kept).map(str::to_owned).collect()
}

fn install(tree: &Path, packages: &[PathBuf]) {
    let names = packages.iter().map(|package| {
        let name = format!("/tmp/{}", package.file_name().expect("a name").to_string_lossy());
        copy_program(package.to_str().expect("UTF-8"), &tree.join(&name[1..]));
        name
    });
    let names: Vec<_> = names.collect();
    // A tree for a test need not outlive a crash of the machine.
    let mut args = vec!["dpkg", "--force-unsafe-io", "--install"];
    args.extend(names.iter().map(String::as_str));
    said_inside(tree, &args);
}

/// The collector as the unit starts it: its command line, its user, no privileges, in a network of
/// its own.
fn start_service(tree: &Path, scene: &Scene, log: &str) -> Daemon {
    let unit = std::fs::read_to_string(tree.join("usr/lib/systemd/system/flowcapd.service"));
    let unit = unit.expect("a unit");
    let value = |key: &str| unit.lines().find_map(|l| l.strip_prefix(key)).expect("a line");
    let who = format!("{}:{}", value("User="), value("Group="));
    let script = format!(
        "mount -t proc proc {tree}/proc && ip link set lo up && \
         exec chroot --userspec={who} {tree} {}",
        value("ExecStart="),
        tree = tree.display(),
    );
    Daemon::start("unshare", ["--net", "--mount", "sh", "-c", &script], scene.path(log))
}

/// Runs a program in the tree and in the network of the collector, as its user.
fn beside(tree: &Path, service: &Daemon, args: &[&str]) -> Output {
    let (id, tree) = (service.id().to_string(), tree.to_str().expect("UTF-8"));
    let enter = ["--net", "--mount", "--target", &id, "chroot", "--userspec=flowsuite", tree];
    run("nsenter", [&enter[..], args].concat())
}

/// Runs the service, sends it a file, ends it. Returns the flows there are then, as nfdump counts.
fn collect(tree: &Path, scene: &Scene, log: &str, meanwhile: impl FnOnce()) -> usize {
    let service = start_service(tree, scene, log);
    wait_until(
        || beside(tree, &service, &["flowcapd", "--templates"]).status.success(),
        || service.log(),
    );
    let replay = ["flowreplay", "-r", "/tmp/flows", "-v", "10", "-p", "9995"];
    let sent = beside(tree, &service, &replay);
    assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));
    meanwhile();
    service.stop();
    let ask = ["nfdump", "-R", "/var/lib/flowsuite/flows", "-q", "-o", "fmt:%ts"];
    said_inside(tree, &ask).lines().count()
}

#[test]
fn packages_are_installed_run_upgraded_and_removed() {
    let scene = Scene::new();
    let Some(tree) = clean_tree(&scene) else { return };
    let before = paths(&tree);
    let packages = make_packages(&scene, "1.0-1");
    install(&tree, &packages);
    // What is installed is as the packages have it, and nothing waits for anything.
    let dpkg = |what| said_inside(&tree, &[&["dpkg", what][..], &names_of_packages()].concat());
    assert_eq!(dpkg("--verify"), "");
    let owner = said_inside(&tree, &["stat", "-c", "%U:%G %a", "/var/lib/flowsuite/flows"]);
    assert_eq!(owner.trim(), "flowsuite:flowsuite 750");
    for program in programs() {
        for name in program.names() {
            let version = said_inside(&tree, &[name, "-V"]);
            assert!(version.contains(env!("CARGO_PKG_VERSION")), "{name}: {version}");
            let page = format!("usr/share/man/man{0}/{name}.{0}.gz", program.section as u8);
            assert!(tree.join(&page).is_file(), "{page}");
        }
    }
    // It checks its configuration, collects, and is asked as nfdump was.
    FlowFile { flows: 20, ..FlowFile::default() }.write(&tree.join("tmp/flows"));
    said_inside(&tree, &["chmod", "644", "/tmp/flows"]);
    assert_eq!(collect(&tree, &scene, "first.log", || ()), 20);
    // The administrator's changes outlive an upgrade, a running collector, too.
    let config = tree.join("etc/flowsuite/flowcapd.toml");
    let changed = std::fs::read_to_string(&config).expect("options") + "# mine\n";
    std::fs::write(&config, &changed).expect("options");
    let newer = make_packages(&scene, "1.0-2");
    assert_eq!(collect(&tree, &scene, "second.log", || install(&tree, &newer)), 40);
    assert_eq!(std::fs::read_to_string(&config).expect("options"), changed);
    let version = said_inside(&tree, &["dpkg-query", "-W", "-f", "${Version}", "flowsuite"]);
    assert_eq!(version, "1.0-2");
    // Removed: configuration and flows stay. Purged: flows.
    dpkg("--remove");
    assert!(config.exists() && !tree.join("usr/bin/flowdump").exists());
    assert!(!tree.join("usr/bin/nfdump").is_symlink());
    let enabled = tree.join("etc/systemd/system/multi-user.target.wants");
    std::fs::create_dir_all(&enabled).expect("a folder");
    let link = enabled.join("flowcapd.service");
    std::os::unix::fs::symlink("/usr/lib/systemd/system/flowcapd.service", &link).expect("a link");
    let said = dpkg("--purge");
    assert!(said.contains("flows stay in /var/lib/flowsuite"), "{said}");
    assert!(!link.is_symlink());
    let left = paths(&tree).difference(&before).cloned().collect::<Vec<_>>();
    let (flows, others): (Vec<_>, Vec<_>) =
        left.into_iter().partition(|path| path.starts_with("var/lib/flowsuite"));
    let count = flows.iter().filter(|path| path.contains("/nfcapd.")).count();
    assert!((1..=4).contains(&count), "{flows:?}");
    // The user stays who owns the flows; the folder of links is the test's own.
    let is_others = |path: &&String| {
        let users = ["etc/passwd", "etc/group", "etc/shadow", "etc/gshadow", "etc/.pwd.lock"];
        !users.contains(&path.trim_end_matches('-')) && !path.starts_with("etc/systemd/system")
    };
    let others: Vec<_> = others.iter().filter(is_others).collect();
    assert!(others.is_empty(), "{others:?}");
}

#[test]
fn a_folder_gets_what_packages_hold() {
    let scene = Scene::new();
    let (manual, root) = (scene.dir("manual"), scene.dir("root"));
    manual::write(&manual).expect("manual pages");
    let binaries = Path::new(FLOWCAPD).parent().expect("a folder");
    let install = |target: &str| {
        let made = Command::new("make")
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .args(["--silent", target, "PREFIX=/opt/flow"])
            .arg(format!("DESTDIR={}", root.display()))
            .arg(format!("BINARIES={}", binaries.display()))
            .arg(format!("MANUAL={}", manual.display()))
            .output()
            .expect("make");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    };
    install("install");
    let config = root.join("etc/flowsuite/flowcapd.toml");
    std::fs::write(&config, "# mine\n").expect("options");
    install("install");
    install("install-compat");
    assert_eq!(std::fs::read_to_string(&config).expect("options"), "# mine\n", "it stays");
    let prefix = root.join("opt/flow");
    let unit = prefix.join("lib/systemd/system/flowcapd.service");
    let unit = std::fs::read_to_string(unit).expect("a unit");
    assert!(unit.contains("\nExecStart=/opt/flow/bin/flowcapd -C "), "{unit}");
    for program in programs() {
        for name in program.names() {
            let said = stdout_of(prefix.join("bin").join(name), ["-V"]);
            assert!(said.contains(env!("CARGO_PKG_VERSION")), "{name}: {said}");
            for path in [
                format!("share/man/man{0}/{name}.{0}.gz", program.section as u8),
                format!("share/bash-completion/completions/{name}"),
                format!("share/zsh/site-functions/_{name}"),
                format!("share/fish/vendor_completions.d/{name}.fish"),
            ] {
                assert!(prefix.join(&path).is_file(), "{path}");
            }
        }
    }
    // Each line of the list has brought something, and nothing in pkg/ was forgotten.
    let list = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("pkg/files"));
    for line in list.expect("a list").lines().filter(|l| !l.is_empty() && !l.starts_with('#')) {
        let (_, to) = line.split_once(' ').expect("two columns");
        let dir = match to.trim().strip_prefix('/') {
            Some(of_root) => root.join(of_root),
            None => prefix.join(to.trim()),
        };
        assert!(std::fs::read_dir(&dir).is_ok_and(|mut d| d.next().is_some()), "{}", dir.display());
    }
}
