//! The addresses of a name, looked up without making anybody wait.

use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::thread::Builder;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, TryRecvError, bounded};
use sys::clock;

use crate::destination::Destination;

/// Finds the addresses of a host, with a port.
pub(crate) type Find = dyn Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync;

/// Who finds addresses, and how often it is asked.
#[derive(Clone)]
pub(crate) struct Names {
    pub(crate) find: Arc<Find>,
    /// Between two questions about a name that works.
    pub(crate) refresh: Duration,
    /// About one that does not.
    pub(crate) retry: Duration,
}

impl Names {
    /// The system's resolver.
    pub(crate) fn system() -> Self {
        Self {
            find: Arc::new(|host, port| Ok((host, port).to_socket_addrs()?.collect())),
            refresh: Duration::from_secs(600),
            retry: Duration::from_secs(10),
        }
    }
}

/// The addresses of one destination.
pub(crate) struct Lookup {
    destination: Destination,
    names: Names,
    under_way: Option<Receiver<io::Result<Vec<SocketAddr>>>>,
    /// When it was asked last.
    asked: Option<Instant>,
    addresses: Vec<SocketAddr>,
    /// Which of them is used.
    at: usize,
}

/// What is new.
pub(crate) enum News {
    /// Nothing.
    Nothing,
    /// There are addresses, and the one in use is no longer among them, or there was none.
    Changed,
    /// The name has no address now; those known before are kept.
    Failed(String),
}

impl Lookup {
    pub(crate) fn new(destination: Destination, names: Names) -> Self {
        let literal = destination.address().map(|ip| SocketAddr::new(ip, destination.port));
        Self {
            destination,
            names,
            under_way: None,
            asked: None,
            addresses: literal.into_iter().collect(),
            at: 0,
        }
    }

    /// The address in use, if there is one.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.addresses.get(self.at).copied()
    }

    /// The address in use does not work: the next one is, and the name is looked up soon.
    pub(crate) fn next(&mut self) {
        self.at = (self.at + 1) % self.addresses.len().max(1);
    }

    pub(crate) fn is_under_way(&self) -> bool {
        self.under_way.is_some()
    }

    /// Waits for the first addresses of the name.
    ///
    /// # Errors
    /// What the resolver says, if there are none within this time.
    pub(crate) fn settle(&mut self, within: Duration) -> Result<(), String> {
        let now = clock::monotonic();
        let mut news = self.look(now, false);
        if let (News::Nothing, Some(found)) = (&news, self.under_way.take()) {
            news = match found.recv_timeout(within) {
                Ok(found) => self.found(found),
                Err(_) => News::Failed(format!("no answer within {within:?}")),
            };
        }
        match news {
            News::Failed(problem) => Err(problem),
            News::Nothing | News::Changed => Ok(()),
        }
    }

    /// Asks if it is time to, and takes what was found. `is_in_doubt`: the address in use may be
    /// wrong.
    pub(crate) fn look(&mut self, now: Instant, is_in_doubt: bool) -> News {
        if self.destination.address().is_some() {
            return News::Nothing;
        }
        if let Some(found) = &self.under_way {
            match found.try_recv() {
                Err(TryRecvError::Empty) => return News::Nothing,
                Ok(found) => {
                    self.under_way = None;
                    return self.found(found);
                }
                Err(TryRecvError::Disconnected) => self.under_way = None,
            }
        }
        let is_wrong = is_in_doubt || self.addresses.is_empty();
        let pause = if is_wrong { self.names.retry } else { self.names.refresh };
        if self.asked.is_none_or(|asked| now.duration_since(asked) >= pause) {
            self.asked = Some(now);
            return self.ask();
        }
        News::Nothing
    }

    fn ask(&mut self) -> News {
        let (tell, found) = bounded(1);
        let (find, to) = (Arc::clone(&self.names.find), self.destination.clone());
        let ask = move || drop(tell.send(find(&to.host, to.port)));
        // It ends by itself, however long the resolver takes; nobody waits for it.
        match Builder::new().name("look up".to_owned()).spawn(ask) {
            Ok(_) => {
                self.under_way = Some(found);
                News::Nothing
            }
            Err(e) => News::Failed(e.to_string()),
        }
    }

    fn found(&mut self, found: io::Result<Vec<SocketAddr>>) -> News {
        /// Of names with more, the first are used.
        const MOST: usize = 16;
        let mut addresses = match found {
            Ok(addresses) if addresses.is_empty() => {
                return News::Failed("the name has no address".to_owned());
            }
            Ok(addresses) => addresses,
            Err(e) => return News::Failed(e.to_string()),
        };
        addresses.truncate(MOST);
        let before = self.address();
        let kept = addresses.iter().position(|a| Some(*a) == before);
        self.at = kept.unwrap_or_default();
        self.addresses = addresses;
        if kept.is_some() { News::Nothing } else { News::Changed }
    }
}

impl fmt::Debug for Lookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lookup").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}
