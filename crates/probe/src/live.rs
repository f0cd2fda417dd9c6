//! The loop of a probe on interfaces: threads that capture, and one that looks after all else.
//!
//! This looks at the clock. It never waits for a collector or for somebody at the control socket.

use std::os::fd::AsFd as _;
use std::thread::{self, ScopedJoinHandle};
use std::time::Duration;

use capture::Progress;
use capture::live::{Change, Live};
use sys::clock;
use sys::poll::{self, Ready};
use sys::service::Notify;
use sys::signal::{Signals, Stop};

use crate::Ended;
use crate::control::Desk;
use crate::probe::{End, Lane, Probe};

/// How often ends of flows are looked for.
const EXPIRE_MS: u64 = 20;
/// How long a packet may be on its way from the interface to the cache: flows of before end.
const UNDER_WAY_MS: u64 = 150;
/// How often the loop looks after everything else.
const TICK: Duration = Duration::from_millis(20);
/// The same while conversations are being listed for somebody.
const DUMPING: Duration = Duration::from_millis(1);
/// How often interfaces are asked what they lost.
const LOST_MS: u64 = 1000;
/// How often names of interfaces are looked up.
const NAMES_MS: u64 = 10_000;
/// How often the service manager is told that all is well, and metrics are renewed.
const SHOW_MS: u64 = 1000;

/// What runs beside the probe.
pub struct Beside<'a> {
    /// When to end.
    pub signals: Signals,
    /// The service manager.
    pub notify: Notify,
    /// Whoever gives commands.
    pub desk: Option<Desk>,
    /// Is called once a second.
    pub show: &'a mut dyn FnMut(&Probe),
}

/// A capture failed for good.
#[derive(Debug, thiserror::Error)]
#[error("capturing ended: {0}")]
pub struct Failed(#[from] pub capture::Error);

/// Captures until it is told to end; `captures` are those of the probe's caches, in order. Then
/// everything is exported, unless the end is [`End::AtOnce`].
///
/// # Errors
/// If a capture fails. Everything is exported all the same.
pub fn run(probe: &Probe, captures: Vec<Live>, beside: Beside<'_>) -> Result<(), Failed> {
    let stop = beside.signals.stop.clone();
    let result = thread::scope(|scope| {
        let workers: Vec<_> = captures
            .into_iter()
            .zip(probe.lanes())
            .map(|(live, lane)| {
                let stop = stop.clone();
                scope.spawn(move || {
                    // The others shall not go on alone: an operator has to know.
                    let _end = EndsAll(&stop);
                    Worker { probe, lane, stop: &stop }.run(live)
                })
            })
            .collect();
        look_after(probe, beside);
        workers.into_iter().map(join).fold(Ok(()), Result::and)
    });
    if probe.end() != Some(End::AtOnce) {
        probe.flush();
    }
    probe.finish(clock::now_ms());
    result
}

/// Ends the probe with the thread that has this, also by a panic.
struct EndsAll<'a>(&'a Stop);

impl Drop for EndsAll<'_> {
    fn drop(&mut self) {
        self.0.request();
    }
}

fn join(worker: ScopedJoinHandle<'_, Result<(), Failed>>) -> Result<(), Failed> {
    worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Everything but packets, until the end.
fn look_after(probe: &Probe, mut beside: Beside<'_>) {
    let (mut shown_ms, mut named_ms) = (0, 0);
    while !beside.signals.stop.is_requested() {
        let now_ms = clock::now_ms();
        probe.tick(now_ms);
        if now_ms.abs_diff(named_ms) >= NAMES_MS {
            named_ms = now_ms;
            probe.refresh_names();
        }
        if now_ms.abs_diff(shown_ms) >= SHOW_MS {
            shown_ms = now_ms;
            probe.note_losses();
            (beside.show)(probe);
            if let Err(e) = beside.notify.alive() {
                log::debug!("service manager: {e}");
            }
        }
        let mut wait = TICK;
        if let Some(desk) = &mut beside.desk {
            let then_ns = now_ms.saturating_sub(UNDER_WAY_MS) * 1_000_000;
            // Packets have threads of their own.
            desk.poll(&mut &*probe, then_ns, false);
            if desk.is_dumping() {
                wait = DUMPING;
            }
        }
        if probe.end().is_some() {
            beside.signals.stop.request();
        }
        // Woken by the end.
        let stop = (beside.signals.stop.as_fd(), Ready::READ);
        if let Err(e) = poll::wait(&[stop], Some(wait)) {
            log::debug!("poll: {e}");
            thread::sleep(wait);
        }
    }
    if let Err(e) = beside.notify.stopping() {
        log::debug!("service manager: {e}");
    }
}

/// A thread that captures.
struct Worker<'a> {
    probe: &'a Probe,
    lane: &'a Lane,
    stop: &'a Stop,
}

impl Worker<'_> {
    fn run(&self, mut live: Live) -> Result<(), Failed> {
        let mut ended = Vec::new();
        let result = self.capture(&mut live, &mut ended);
        // Also where the capture failed: these are in no cache any more.
        self.lane.hand_over(&mut ended, self.probe);
        live.ask_interfaces();
        self.lane.show(live.stats());
        result
    }

    fn capture(&self, live: &mut Live, ended: &mut Vec<Ended>) -> Result<(), Failed> {
        let mut is_stopping = false;
        let (mut expired_ms, mut asked_ms) = (0, clock::now_ms());
        loop {
            if !is_stopping && self.stop.is_requested() {
                // What the kernel has already is still to come.
                live.stop();
                is_stopping = true;
            }
            let progress = live.batch(&mut |packets| {
                if self.probe.takes(packets.len()) {
                    self.lane.observe(packets, ended, self.probe);
                }
            })?;
            let now_ms = clock::now_ms();
            if now_ms.abs_diff(asked_ms) >= LOST_MS {
                asked_ms = now_ms;
                live.ask_interfaces();
            }
            if progress != Progress::More || now_ms.abs_diff(expired_ms) >= EXPIRE_MS {
                expired_ms = now_ms;
                let then_ns = now_ms.saturating_sub(UNDER_WAY_MS) * 1_000_000;
                self.lane.expire(then_ns, ended, self.probe);
                self.lane.hand_over(ended, self.probe);
                self.lane.show(live.stats());
                while let Some(event) = live.take_event() {
                    tell(&event);
                }
            }
            if progress == Progress::End {
                return Ok(());
            }
        }
    }
}

/// Says what happened to an interface.
fn tell(event: &capture::live::Event) {
    let name = &event.interface;
    match event.change {
        Change::Down => log::warn!("{name} is down: no packets until it is up again"),
        Change::Gone => log::warn!("{name} is gone: no packets until it is there again"),
        Change::Back => log::info!("{name} is there again"),
        Change::Refused => {
            log::error!(
                "{name} is there again and cannot be captured: restart, or leave CAP_NET_RAW"
            );
        }
    }
}
