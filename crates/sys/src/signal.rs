//! TERM, INT and HUP as flags, and as a descriptor that wakes a thread out of `poll`.
//!
//! Handlers only store flags and write to an eventfd; what a signal means is for the caller.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::sys::signal::{SigHandler, Signal};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::Error;

/// A request to stop, shared by all threads: a flag, and a descriptor that turns readable with it
/// and stays so, because nobody drains it.
#[derive(Clone, Debug)]
pub struct Stop(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    requested: AtomicBool,
    wake: EventFd,
}

impl Stop {
    /// A stop nobody has asked for yet.
    ///
    /// # Errors
    /// If the process is out of descriptors.
    pub fn new() -> Result<Self, Error> {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        let wake = EventFd::from_value_and_flags(0, flags)
            .map_err(|source| Error::Signal { source: source.into() })?;
        Ok(Self(Arc::new(Inner { requested: AtomicBool::new(false), wake })))
    }

    /// Asks everybody to stop. Safe inside a signal handler: one store and one `write`.
    pub fn request(&self) {
        self.0.requested.store(true, Ordering::SeqCst);
        let one = 1u64.to_ne_bytes();
        // SAFETY: the descriptor is open for as long as `self` is borrowed, and the buffer is the
        // 8 octets that an eventfd takes. A full counter is readable already, so the result does
        // not matter. `write` is async-signal-safe.
        unsafe { libc::write(self.0.wake.as_fd().as_raw_fd(), one.as_ptr().cast(), one.len()) };
    }

    /// Whether somebody asked.
    pub fn is_requested(&self) -> bool {
        self.0.requested.load(Ordering::SeqCst)
    }
}

impl AsFd for Stop {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.wake.as_fd()
    }
}

/// What the signals of a daemon ask for.
#[derive(Clone, Debug)]
pub struct Signals {
    /// TERM or INT arrived.
    pub stop: Stop,
    hangup: Arc<AtomicBool>,
}

impl Signals {
    /// Signals that nobody has sent and no handler stands for: for tests and for programs that
    /// are stopped by something else.
    ///
    /// # Errors
    /// If the process is out of descriptors.
    pub fn detached() -> Result<Self, Error> {
        Ok(Self { stop: Stop::new()?, hangup: Arc::default() })
    }

    /// Installs handlers for TERM, INT and HUP. They stay for the rest of the process.
    ///
    /// # Errors
    /// If the kernel refuses a handler.
    pub fn install() -> Result<Self, Error> {
        let signals = Self::detached()?;
        let failed = |source| Error::Signal { source };
        for signal in [SIGTERM, SIGINT] {
            let stop = signals.stop.clone();
            // SAFETY: the handler does nothing but an atomic store and a `write` on a descriptor
            // that the closure itself keeps open; both are async-signal-safe.
            unsafe { signal_hook::low_level::register(signal, move || stop.request()) }
                .map_err(failed)?;
        }
        signal_hook::flag::register(SIGHUP, Arc::clone(&signals.hangup)).map_err(failed)?;
        Ok(signals)
    }

    /// Whether HUP arrived since the last call.
    pub fn take_hangup(&self) -> bool {
        self.hangup.swap(false, Ordering::SeqCst)
    }

    /// As if HUP had arrived.
    pub fn hang_up(&self) {
        self.hangup.store(true, Ordering::SeqCst);
    }
}

/// Makes a limit on the size of files an error of the write that meets it, instead of the end of
/// the process.
///
/// # Errors
/// If the kernel refuses.
pub fn survive_size_limit() -> Result<(), Error> {
    // SAFETY: ignoring a signal runs no handler.
    unsafe { nix::sys::signal::signal(Signal::SIGXFSZ, SigHandler::SigIgn) }
        .map(|_| ())
        .map_err(|e| Error::Signal { source: e.into() })
}

/// What a program that has taken over a terminal has to hear: it gives the terminal back before it
/// stops, and takes it again afterwards.
#[derive(Clone, Debug)]
pub struct JobControl {
    stop: Arc<AtomicBool>,
}

impl JobControl {
    /// Installs a handler for TSTP. It stays for the rest of the process.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn install() -> Result<Self, Error> {
        let stop = Arc::default();
        signal_hook::flag::register(signal_hook::consts::SIGTSTP, Arc::clone(&stop))
            .map_err(|source| Error::Signal { source })?;
        Ok(Self { stop })
    }

    /// Whether TSTP arrived since the last call.
    pub fn take_stop(&self) -> bool {
        self.stop.swap(false, Ordering::SeqCst)
    }

    /// Stops the process, until CONT arrives.
    ///
    /// # Errors
    /// If the kernel refuses.
    pub fn suspend(&self) -> Result<(), Error> {
        nix::sys::signal::raise(Signal::SIGSTOP).map_err(|e| Error::Signal { source: e.into() })
    }
}

/// A flag for a program that answers and ends: INT or TERM set it, so that the program can show
/// what it has. A second one ends the process at once, as if nobody had asked.
///
/// # Errors
/// If the kernel refuses a handler.
pub fn interrupt() -> Result<&'static AtomicBool, Error> {
    // Handlers stay for the rest of the process, and so does their flag.
    let flag: &'static Arc<AtomicBool> = Box::leak(Box::default());
    let failed = |source| Error::Signal { source };
    for signal in [SIGTERM, SIGINT] {
        // In this order, so that the first signal finds the flag down.
        signal_hook::flag::register_conditional_default(signal, Arc::clone(flag))
            .map_err(failed)?;
        signal_hook::flag::register(signal, Arc::clone(flag)).map_err(failed)?;
    }
    Ok(flag)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use nix::sys::signal::raise;

    fn is_readable(stop: &Stop) -> bool {
        let mut fds = [PollFd::new(stop.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::ZERO).unwrap() == 1
    }

    #[test]
    fn a_request_wakes_every_holder_and_stays() {
        let stop = Stop::new().unwrap();
        let other = stop.clone();
        assert!(!is_readable(&other) && !other.is_requested());
        stop.request();
        stop.request();
        for _ in 0..2 {
            assert!(is_readable(&other) && other.is_requested());
        }
    }

    #[test]
    fn signals_set_their_flags_and_nothing_else() {
        let signals = Signals::install().unwrap();
        assert!(!signals.take_hangup());
        raise(Signal::SIGHUP).unwrap();
        assert!(signals.take_hangup());
        assert!(!signals.take_hangup(), "taken once");
        assert!(!signals.stop.is_requested());
        raise(Signal::SIGTERM).unwrap();
        assert!(signals.stop.is_requested() && is_readable(&signals.stop));
        let again = Signals::install().unwrap();
        raise(Signal::SIGINT).unwrap();
        assert!(again.stop.is_requested());
    }
}
