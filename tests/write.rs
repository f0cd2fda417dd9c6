//! `flowdump -w`: what stands under the name before and after.

mod common;

use common::flows::FlowFile;
use common::{FLOWDUMP, Scene, run, stdout_of};
use std::fs;
use std::os::unix::fs::{FileTypeExt, symlink};
use std::path::Path;

fn count(path: &Path) -> usize {
    let args = ["-q", "-r", path.to_str().unwrap(), "-o", "ndjson"];
    stdout_of(FLOWDUMP, args).lines().count()
}

#[test]
fn links_keep_pointing_at_what_they_point_at() {
    let scene = Scene::new();
    let (source, kept, link) = (scene.path("source"), scene.path("kept"), scene.path("link"));
    FlowFile { flows: 100, ..FlowFile::default() }.write(&source);
    fs::write(&kept, b"something older").unwrap();
    symlink(&kept, &link).unwrap();
    stdout_of(FLOWDUMP, ["-r", source.to_str().unwrap(), "-w", link.to_str().unwrap()]);
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!((count(&kept), count(&link)), (100, 100));
}

#[test]
fn devices_are_written_to_and_not_replaced() {
    let scene = Scene::new();
    let (source, link) = (scene.path("source"), scene.path("null"));
    FlowFile { flows: 100, ..FlowFile::default() }.write(&source);
    symlink("/dev/null", &link).unwrap();
    for packing in ["none", "lz4"] {
        let packing = format!("-z={packing}");
        let args = ["-r", source.to_str().unwrap(), "-w", link.to_str().unwrap(), &packing];
        assert_eq!(stdout_of(FLOWDUMP, args), "");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert!(fs::metadata(&link).unwrap().file_type().is_char_device());
    }
}

#[test]
fn what_cannot_be_written_leaves_nothing_behind() {
    let scene = Scene::new();
    let (source, dir) = (scene.path("source"), scene.dir("dir"));
    FlowFile { flows: 100, ..FlowFile::default() }.write(&source);
    for target in [dir.clone(), dir.join("missing/file"), "/dev/full".into()] {
        let output =
            run(FLOWDUMP, ["-r", source.to_str().unwrap(), "-w", target.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(1), "{}", target.display());
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(target.to_str().unwrap()), "{said}");
    }
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 0);
}
