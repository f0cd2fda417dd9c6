//! Datagrams to destinations, without ever waiting for one of them.
//!
//! ```text
//! encoder ─datagram─▶ a bounded queue for each destination ─▶ its thread: look up, connect, send
//! ```
//!
//! A destination that is dead, slow or has no address holds up neither the others nor whoever
//! captures: what its queue cannot take is dropped and counted by cause. For each destination what
//! was offered is what was sent, what was lost by [cause](DestinationCounts), and what waits.

mod datagrams;
mod line;
mod lookup;
mod told;

use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use sys::{Leave, clock};
use wire::export::{Carries, DatagramSink, Version};

use crate::destination::{Destination, Transport};
use crate::stream::Streams;
use datagrams::Datagrams;
pub(crate) use line::{Cause, Item, Line};
use lookup::Names;
pub(crate) use lookup::{Lookup, News};
pub(crate) use told::Told;

pub use line::DestinationCounts;

/// Where to send and how.
#[derive(Clone, Debug)]
pub struct SendConfig {
    /// Where to.
    pub destinations: Vec<Destination>,
    /// What carries the datagrams.
    pub transport: Transport,
    /// Source, interface and hop limits.
    pub leave: Leave,
    /// Protocol of the datagrams.
    pub version: Version,
    /// Octets that wait for a destination at most.
    pub queue_bytes: usize,
    /// Whether whoever sends waits for a destination that is there and slower. For captures that
    /// are read from files; on an interface, packets are not to wait.
    pub waits: bool,
    /// How long [`Sender::start`] waits for the addresses of names, and refuses those without one.
    /// `None` refuses none: names are looked up again and again.
    pub resolve_within: Option<Duration>,
}

impl SendConfig {
    /// The defaults: UDP, 4 MiB for each destination, no waiting.
    pub fn new(destinations: Vec<Destination>, version: Version) -> Self {
        Self {
            destinations,
            transport: Transport::Udp,
            leave: Leave::default(),
            version,
            queue_bytes: 4 << 20,
            waits: false,
            resolve_within: None,
        }
    }
}

/// Why nothing can be sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// There is nowhere to send to.
    #[error("no destination to send to: give at least one HOST:PORT")]
    NoDestination,
    /// A name has no address.
    #[error("destination `{destination}`: {problem}: check the name, or give an address")]
    Unresolved {
        /// The destination.
        destination: String,
        /// What the resolver says.
        problem: String,
    },
    /// The system refuses a socket with these options.
    #[error("destination `{destination}`: {source}")]
    Socket {
        /// The destination.
        destination: String,
        /// What is refused.
        source: sys::Error,
    },
    /// No thread for a destination.
    #[error("cannot start a thread for destination `{destination}`: {source}")]
    Thread {
        /// The destination.
        destination: String,
        /// The system's reason.
        source: std::io::Error,
    },
}

/// Sends datagrams to destinations. As a [`DatagramSink`] it sends each to all of them.
///
/// Dropped, it gives up what still waits.
#[derive(Debug)]
pub struct Sender {
    lines: Vec<(String, Arc<Line>)>,
    threads: Vec<JoinHandle<()>>,
    waits: bool,
}

impl Sender {
    /// Starts a thread for each destination, which looks its name up and sends.
    ///
    /// # Errors
    /// If there is no destination, a socket with these options is refused, or a name has no address
    /// and is to have one.
    pub fn start(config: SendConfig) -> Result<Self, SendError> {
        Self::start_with(config, &Names::system())
    }

    fn start_with(config: SendConfig, names: &Names) -> Result<Self, SendError> {
        if config.destinations.is_empty() {
            return Err(SendError::NoDestination);
        }
        let lookups = config.destinations.iter().map(|destination| {
            let mut lookup = Lookup::new(destination.clone(), names.clone());
            if let Some(within) = config.resolve_within {
                lookup.settle(within).map_err(|problem| SendError::Unresolved {
                    destination: destination.to_string(),
                    problem,
                })?;
            }
            check_options(&lookup, &config.leave, destination)?;
            Ok(lookup)
        });
        let lookups: Vec<Lookup> = lookups.collect::<Result<_, SendError>>()?;
        let mut sender = Self { lines: Vec::new(), threads: Vec::new(), waits: config.waits };
        for (n, (destination, lookup)) in config.destinations.iter().zip(lookups).enumerate() {
            let line = Arc::new(Line::new(config.queue_bytes));
            let (theirs, name, leave) =
                (Arc::clone(&line), destination.to_string(), config.leave.clone());
            let (transport, version) = (config.transport, config.version);
            let work = move || {
                let line = EndsWith(theirs);
                match transport {
                    Transport::Udp => Datagrams::new(name, leave, lookup).run(&line.0),
                    Transport::Tcp => Streams::new(name, leave, version, lookup).run(&line.0),
                }
            };
            let name = destination.to_string();
            match Builder::new().name(format!("export {n}")).spawn(work) {
                Ok(thread) => sender.threads.push(thread),
                Err(source) => return Err(SendError::Thread { destination: name, source }),
            }
            sender.lines.push((name, line));
        }
        Ok(sender)
    }

    /// Destinations.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether there is no destination: never.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Sends a datagram to one destination, by its place among those given.
    pub fn put(&self, destination: usize, bytes: &[u8], what: Carries) {
        if let Some((_, line)) = self.lines.get(destination) {
            line.put(&bytes.into(), what, self.waits);
        }
    }

    /// If this destination has a new connection, gives it what it begins with: all that `f` puts
    /// out goes there before anything that waits. To be called some times a second.
    pub fn open(&self, destination: usize, f: impl FnOnce(&mut dyn DatagramSink)) {
        if let Some((_, line)) = self.lines.get(destination) {
            line.open(|out| f(&mut |bytes: &[u8], what: Carries| out(bytes, what)));
        }
    }

    /// Whether templates should be sent again, because some were lost, or somebody new may listen.
    /// Asking takes the wish back.
    pub fn take_templates_wanted(&self) -> bool {
        self.lines.iter().fold(false, |is_wanted, (_, l)| l.take_templates_wanted() | is_wanted)
    }

    /// Each destination, and what became of its datagrams so far.
    pub fn counts(&self) -> Vec<(String, DestinationCounts)> {
        self.lines.iter().map(|(name, line)| (name.clone(), line.counts())).collect()
    }

    /// From now on whoever sends waits for destinations that are there and slower, so long at most
    /// for all that comes: nothing is captured any more, and what is left is to be sent.
    pub fn be_patient(&self, patience: Duration) {
        let until = clock::monotonic() + patience;
        self.lines.iter().for_each(|(_, line)| line.be_patient(until));
    }

    /// Nothing more comes: the threads send what waits, for so long at most, and end.
    pub fn close(&self, patience: Duration) {
        let deadline = clock::monotonic() + patience;
        self.lines.iter().for_each(|(_, line)| line.close(deadline));
    }

    /// Waits for the end of all threads after [`close`](Self::close), so long at most. Returns whether
    /// it has come. Connections may want to be [opened](Self::open) meanwhile.
    pub fn wait(&self, timeout: Duration) -> bool {
        let end = clock::monotonic() + timeout;
        let left = || end.saturating_duration_since(clock::monotonic());
        self.lines.iter().all(|(_, line)| line.wait_end(left()))
    }
}

impl DatagramSink for Sender {
    fn datagram(&mut self, bytes: &[u8], what: Carries) {
        let bytes: Arc<[u8]> = bytes.into();
        self.lines.iter().for_each(|(_, line)| line.put(&bytes, what, self.waits));
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.close(Duration::ZERO);
        for thread in self.threads.drain(..) {
            // One that panicked has said so.
            let _ = thread.join();
        }
    }
}

/// A thread that panics must not leave anybody waiting for it.
struct EndsWith(Arc<Line>);

impl Drop for EndsWith {
    fn drop(&mut self) {
        self.0.end(Cause::Failed);
    }
}

/// Finds out at once what will never work. That there is no way now may change.
fn check_options(
    lookup: &Lookup,
    leave: &Leave,
    destination: &Destination,
) -> Result<(), SendError> {
    let Some(to) = lookup.address() else { return Ok(()) };
    match sys::udp::Sender::open(to, leave) {
        Ok(_) | Err(sys::Error::Connect { .. }) => Ok(()),
        Err(source) => Err(SendError::Socket { destination: destination.to_string(), source }),
    }
}

#[cfg(test)]
mod tests;
