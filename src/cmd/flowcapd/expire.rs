//! `-e`: the oldest files go after each new one. What is said of it are nfcapd's lines.

use crate::cmd::units;
use std::path::Path;
use store::expire::{ExpireOptions, Expired, expire};
use store::nfstat::NfStat;

/// Removes what is beyond the limits of a directory, and says so in the log. Trouble ends nothing.
pub(super) fn run(dir: &Path) {
    let now_secs = sys::clock::now_ms() / 1000;
    log::info!("Run expire on '{}'", dir.display());
    match expire(dir, now_secs, &ExpireOptions::default(), |_| true) {
        Ok(done) => say(&done),
        Err(e) => log::error!("expire on '{}': {e}", dir.display()),
    }
}

fn say(done: &Expired) {
    let NfStat { max_size, max_life, watermark, .. } = done.before;
    let none = || "<none>".to_owned();
    let size_limit = if max_size == 0 { none() } else { units::octets(max_size) };
    let life_limit = if max_life == 0 { none() } else { units::span(max_life) };
    log::info!("Limits: Filesize {size_limit}, Lifetime {life_limit}, Watermark: {watermark}%");
    log::info!("{}", state("Current", &done.before));
    if done.files == 0 {
        log::info!("expire completed - nothing to expire.");
    } else {
        log::info!("expire completed");
        log::info!("   expired files: {}", done.files);
        log::info!("   expired time slot: {}", units::span(done.time_secs()));
        log::info!("   expired file size: {}", units::octets(done.size));
        log::info!("{}", state("New", &done.after));
    }
    for (path, kind) in &done.failures {
        log::error!("{}: cannot be removed: {kind}", path.display());
    }
    if done.failed > done.failures.len() as u64 {
        log::error!("{} files in all cannot be removed", done.failed);
    }
}

/// What the files of a directory come to: `what` is current, or new.
fn state(what: &str, stat: &NfStat) -> String {
    let life = units::span(stat.last.saturating_sub(stat.first));
    let size = units::octets(stat.size);
    format!("{what} size: {size}, {what} lifetime: {life}, Number of files: {}", stat.files)
}
