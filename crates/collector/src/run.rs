//! The loop of the daemon: sockets, threads, signals. The only part that looks at a clock.
//!
//! One thread for each socket copies what arrives into an inbox; the caller's thread decodes and
//! writes. Decoding keeps to one thread because it is not the bottleneck, and because the order of
//! templates and data matters.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::thread;
use std::time::Duration;

use sys::clock;
use sys::signal::{Signals, Stop};
use sys::udp::{Listen, Receiver};

use crate::inbox::{Batch, Inbox, Taken};
use crate::{Collector, Error};

/// How often the collector looks at the clock when nothing arrives.
const TICK: Duration = Duration::from_millis(250);

/// How often a receiver asks for drops when nothing arrives.
const DROP_POLL: Duration = Duration::from_secs(1);

/// Opens all sockets and says so in the log. To be called before privileges are given up.
///
/// # Errors
/// If there is none, or one cannot be had.
pub fn bind(listen: &[Listen]) -> Result<Vec<Receiver>, Error> {
    if listen.is_empty() {
        return Err(Error::NoListener);
    }
    listen.iter().map(bind_one).collect()
}

fn bind_one(listen: &Listen) -> Result<Receiver, Error> {
    let receiver = Receiver::bind(listen)?;
    let local = local_addr(&receiver);
    let family = if local.is_ipv4() { "IPv4" } else { "IPv6" };
    let host = listen.bind.map_or_else(|| "any".to_owned(), |ip| ip.to_string());
    log::info!("Bound to {family} host: {host}, port: {}", local.port());
    if let Some(group) = listen.group {
        log::info!("Joined multicast group: {group}");
    }
    match (receiver.receive_buffer(), listen.receive_buffer) {
        (Ok(have), Some(want)) if have < want => log::warn!(
            "Receive buffer: {have} bytes, {want} were asked for: raise net.core.rmem_max, or \
             start with CAP_NET_ADMIN"
        ),
        (Ok(have), _) => log::info!("Receive buffer: {have} bytes"),
        (Err(e), _) => log::warn!("Receive buffer: unknown: {e}"),
    }
    Ok(receiver)
}

fn local_addr(receiver: &Receiver) -> SocketAddr {
    receiver.local_addr().unwrap_or_else(|_| SocketAddr::from(([0, 0, 0, 0], 0)))
}

/// Collects until TERM or INT, then writes everything out that had arrived by then, and closes all
/// files. HUP finishes the files early; the rest of the slot is added to them at its end.
///
/// # Errors
/// If a thread cannot be started or a socket fails for good. Files are closed in any case.
pub fn run(
    collector: &mut Collector,
    receivers: Vec<Receiver>,
    signals: &Signals,
) -> Result<(), Error> {
    collector.finish_in_background()?;
    let inbox = Inbox::new(collector.config().queue_bytes, receivers.len());
    let ended = thread::scope(|scope| {
        // Whatever happens below, no receiver is left waiting for a decoder.
        let _guard = OnDrop(|| {
            signals.stop.request();
            inbox.abandon();
        });
        let mut threads = Vec::with_capacity(receivers.len());
        for (n, mut receiver) in receivers.into_iter().enumerate() {
            let (inbox, stop) = (&inbox, &signals.stop);
            let started = thread::Builder::new().name(format!("receive {n}")).spawn_scoped(
                scope,
                move || {
                    let _guard = OnDrop(|| inbox.finish());
                    receive(&mut receiver, inbox, stop).map_err(|source| {
                        stop.request();
                        Error::Receive { local: local_addr(&receiver), source }
                    })
                },
            );
            threads.push(started.map_err(Error::Thread)?);
        }
        pump(collector, &inbox, signals);
        for thread in threads {
            thread.join().unwrap_or(Ok(()))?;
        }
        Ok(())
    });
    collector.close(clock::now_ms());
    ended
}

/// Copies datagrams from a socket into the inbox until asked to stop, and then on until the socket
/// is empty or what it brings is younger than the request.
fn receive(receiver: &mut Receiver, inbox: &Inbox, stop: &Stop) -> io::Result<()> {
    let mut batch = Batch::default();
    let mut dropped = 0;
    let mut stopped_ms = None;
    loop {
        if stopped_ms.is_none() && stop.is_requested() {
            stopped_ms = Some(clock::now_ms());
        }
        let timeout = if stopped_ms.is_some() { Duration::ZERO } else { DROP_POLL };
        let mut newest_ms = 0;
        let got = receiver.recv(Some(stop.as_fd()), Some(timeout), |datagram| {
            newest_ms = datagram.arrived_ms.unwrap_or_else(clock::now_ms);
            batch.push(datagram.peer.ip(), newest_ms, datagram.bytes);
            batch.truncated += u64::from(datagram.truncated);
        })?;
        let is_last = stopped_ms.is_some_and(|at| got.count == 0 || newest_ms > at);
        let total = if got.count == 0 || is_last { receiver.dropped() } else { got.dropped_total };
        batch.dropped = total - dropped;
        dropped = total;
        if !batch.is_empty() {
            inbox.put(&mut batch);
        }
        if is_last {
            return Ok(());
        }
    }
}

/// Decodes what the inbox brings until all receivers have ended.
fn pump(collector: &mut Collector, inbox: &Inbox, signals: &Signals) {
    let mut batches = VecDeque::new();
    loop {
        match inbox.take(&mut batches, TICK) {
            Taken::Batches => batches.iter().for_each(|batch| deliver(collector, batch)),
            // Only now: while batches wait, time is theirs.
            Taken::Nothing => collector.tick(clock::now_ms()),
            Taken::Closed => return,
        }
        if signals.take_hangup() {
            log::info!("HUP: finishing the files of this slot early");
            collector.rotate(clock::now_ms());
        }
    }
}

fn deliver(collector: &mut Collector, batch: &Batch) {
    collector.note_drops(batch.dropped, batch.truncated);
    for (peer, arrived_ms, bytes) in batch.iter() {
        collector.datagram(peer, arrived_ms, bytes);
    }
}

/// Runs a function at the end of its scope, panic or not.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}
