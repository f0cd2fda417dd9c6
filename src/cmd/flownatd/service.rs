//! nfflowd's words for a daemon in the background.

use crate::args::flownatd::settings::Process;
use crate::exit::Exit;
use anyhow::{Context as _, bail};
use std::io::Write as _;
use std::time::Duration;
use sys::clock;
use sys::process::{self, Order};

/// How long a daemon may take to write everything out.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often it is looked for.
const LOOK: Duration = Duration::from_millis(20);

/// Ends what the pid file names, and waits until it has. Nobody there is a success.
pub(super) fn stop(process: &Process) -> anyhow::Result<Exit> {
    let shown = process.pid_file.display();
    let running = || process::running_in(&process.pid_file).with_context(|| shown.to_string());
    let Some(pid) = running()? else { return Ok(Exit::Success) };
    process::tell(pid, Order::End).with_context(|| format!("process {pid} of {shown}"))?;
    let since = clock::monotonic();
    while process::is_running(pid) {
        if since.elapsed() > PATIENCE {
            bail!("process {pid} of {shown} has not ended in {} s", PATIENCE.as_secs());
        }
        std::thread::sleep(LOOK);
    }
    Ok(Exit::Success)
}

/// Has what the pid file names look at everything anew.
pub(super) fn reload(process: &Process) -> anyhow::Result<Exit> {
    let shown = process.pid_file.display();
    let running = process::running_in(&process.pid_file).with_context(|| shown.to_string())?;
    let pid = running.with_context(|| format!("{shown}: nothing runs that could be told"))?;
    process::tell(pid, Order::Reload).with_context(|| format!("process {pid} of {shown}"))?;
    Ok(Exit::Success)
}

/// Says how it becomes a service; changes nothing.
pub(super) fn install(name: &str) -> anyhow::Result<Exit> {
    let text = format!(
        "\
To run {name} as a service:
  1. options: /etc/flowsuite/flownatd.toml (long options as keys; pkg/flownatd.toml is an example)
  2. unit:    /usr/lib/systemd/system/flownatd.service (pkg/systemd/flownatd.service)
  3. kernel:  /etc/sysctl.d/60-flownatd.conf, and load nf_conntrack at boot, with
                net.netfilter.nf_conntrack_acct = 1
                net.netfilter.nf_conntrack_timestamp = 1
                net.netfilter.nf_conntrack_events = 1
  4. {name} check
  5. systemctl daemon-reload && systemctl enable --now flownatd
Packages have done 1 and 2. nfflowd and flownatd may run at the same time.
"
    );
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(Exit::Success)
}
