//! Settings of the kernel: what is missing, and what its timeouts are.

use anyhow::Context as _;
use nat::Timeouts;
use nat::sysctl::{SETTINGS, check};
use std::path::Path;

/// Contents of the files of [`SETTINGS`], `None` where one cannot be read.
pub(super) fn values() -> [Option<String>; 3] {
    SETTINGS.map(|setting| std::fs::read_to_string(setting.path).ok())
}

/// What is not as it should be, in words.
pub(super) fn findings() -> Vec<String> {
    let values = values();
    let values = [0, 1, 2].map(|n: usize| values.get(n).and_then(|v| v.as_deref()));
    check(&values).map(|finding| finding.to_string()).collect()
}

/// Sets what is not as it should be.
pub(super) fn set() -> anyhow::Result<()> {
    for (setting, value) in SETTINGS.into_iter().zip(values()) {
        if value.as_deref().map(str::trim) == Some(setting.want) {
            continue;
        }
        std::fs::write(setting.path, setting.want).with_context(|| {
            format!(
                "--set-sysctls: {} to {}: only root may, where /proc/sys can be written to",
                setting.name, setting.want
            )
        })?;
        log::info!("{} is {} now", setting.name, setting.want);
    }
    Ok(())
}

/// The kernel's timeouts; its defaults for those that it does not tell.
pub(super) fn timeouts() -> Timeouts {
    let mut timeouts = Timeouts::default();
    for name in Timeouts::NAMES {
        let path = Path::new("/proc/sys/net/netfilter").join(name);
        // Protocols that the kernel was built without have none.
        if let Ok(text) = std::fs::read_to_string(path) {
            timeouts.set(name, &text);
        }
    }
    timeouts
}

/// When the system booted, milliseconds since 1970: no connection is older.
pub(super) fn boot_ms(now_ms: u64) -> u64 {
    let text = std::fs::read_to_string("/proc/uptime").unwrap_or_default();
    let up: Option<f64> = text.split(' ').next().and_then(|t| t.parse().ok());
    // Rounded to seconds, so that it stays the same over restarts.
    up.map_or(now_ms, |secs| (now_ms.saturating_sub((secs * 1000.0) as u64)) / 1000 * 1000)
}
