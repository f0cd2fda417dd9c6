//! The bounded queue between whoever sends and the thread of a destination.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sys::clock;
use wire::export::Carries;

/// One datagram on its way.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) bytes: Arc<[u8]>,
    pub(crate) what: Carries,
    /// Data records of datagrams that were dropped between the one before and this one.
    pub(crate) missing: u32,
    /// Whether a connection begins with it. It is of no use to another one.
    pub(crate) is_opening: bool,
}

impl Item {
    /// Octets that it counts for in a queue.
    fn weight(&self) -> usize {
        self.bytes.len() + size_of::<Self>()
    }

    /// Records that IPFIX counts in sequence numbers.
    pub(crate) const fn data_records(&self) -> u32 {
        self.what.records.wrapping_add(self.what.options)
    }
}

impl AsRef<[u8]> for Item {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Why a datagram was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    QueueFull,
    Unresolved,
    Unconnected,
    Refused,
    Unreachable,
    TooLong,
    NoRoom,
    Forbidden,
    Failed,
    Unacknowledged,
    LeftOver,
    Superseded,
}

macro_rules! counts {
    ($($(#[doc = $about:literal])+ $name:ident,)+) => {
        /// What became of the datagrams for one destination: `offered` is `sent`, [`lost`](Self::lost),
        /// `superseded` and [`waiting`](Self::waiting) together.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct DestinationCounts {
            $($(#[doc = $about])+ pub $name: u64,)+
        }

        impl DestinationCounts {
            /// Name, meaning and value of each.
            pub fn iter(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
                [$((stringify!($name), concat!($($about),+).trim_ascii(), self.$name),)+].into_iter()
            }

            /// Adds those of another destination.
            pub fn add(&mut self, other: &Self) {
                $(self.$name = self.$name.saturating_add(other.$name);)+
            }
        }
    };
}

counts! {
    /// Datagrams given to the destination.
    offered,
    /// Datagrams sent: over UDP handed to the network, over TCP acknowledged by the other host.
    sent,
    /// Octets of these.
    sent_octets,
    /// Flow records in these.
    sent_records,
    /// Dropped because too many waited for the destination already.
    queue_full,
    /// Lost because the destination's name has no address.
    unresolved,
    /// Lost because there was no connection, and too many waited for one.
    unconnected,
    /// Lost because there is no way to the destination.
    unreachable,
    /// Lost because they are longer than what the way takes.
    too_long,
    /// Lost because the system had no room to send.
    no_room,
    /// Lost because the system forbids sending: a packet filter.
    forbidden,
    /// Lost for another reason of the system.
    failed,
    /// Lost at the end: written to a connection, and not acknowledged.
    unacknowledged,
    /// Lost at the end: they still waited.
    left_over,
    /// Flow records in all that was lost.
    lost_records,
    /// Templates for a connection that was gone before they were sent; the next one got its own.
    superseded,
    /// Reports of the destination's host that nobody listens there; the datagrams count as sent.
    unheard,
    /// Datagrams written again to a new connection, because the one before had not taken them.
    resent,
    /// Connections made.
    connections,
}

impl DestinationCounts {
    /// Datagrams that were not sent, for whatever reason.
    pub const fn lost(&self) -> u64 {
        self.queue_full
            + self.unresolved
            + self.unconnected
            + self.unreachable
            + self.too_long
            + self.no_room
            + self.forbidden
            + self.failed
            + self.unacknowledged
            + self.left_over
    }

    /// Datagrams that were not sent, or that nobody listened for.
    pub const fn failures(&self) -> u64 {
        self.lost() + self.unheard
    }

    /// Datagrams that are not sent yet.
    pub const fn waiting(&self) -> u64 {
        self.offered.saturating_sub(self.sent + self.lost() + self.superseded)
    }

    fn lose(&mut self, cause: Cause, item: &Item) {
        let count = match cause {
            Cause::QueueFull => &mut self.queue_full,
            Cause::Unresolved => &mut self.unresolved,
            Cause::Unconnected => &mut self.unconnected,
            Cause::Unreachable | Cause::Refused => &mut self.unreachable,
            Cause::TooLong => &mut self.too_long,
            Cause::NoRoom => &mut self.no_room,
            Cause::Forbidden => &mut self.forbidden,
            Cause::Failed => &mut self.failed,
            Cause::Unacknowledged => &mut self.unacknowledged,
            Cause::LeftOver => &mut self.left_over,
            Cause::Superseded => &mut self.superseded,
        };
        *count += 1;
        if cause != Cause::Superseded {
            self.lost_records += u64::from(item.what.records);
        }
    }
}

/// What a destination's thread and everybody else share.
#[derive(Debug)]
pub(crate) struct Line {
    state: Mutex<State>,
    /// There is something to send, or the end has come.
    filled: Condvar,
    /// There is room, or the thread has ended.
    drained: Condvar,
    limit: usize,
    /// As `wants_opening` of the state, or a little later: to be asked for each flow.
    may_want_opening: AtomicBool,
}

#[derive(Debug)]
struct State {
    /// What the connection begins with.
    opening: VecDeque<Item>,
    queue: VecDeque<Item>,
    /// Of all that is neither sent nor lost, in the queues or in the hands of the thread.
    weight: usize,
    /// Why the destination takes nothing; `None` if it does, or it is not known yet.
    down: Option<Cause>,
    /// A connection waits for what it begins with.
    wants_opening: bool,
    /// Templates were lost, or somebody new may listen.
    wants_templates: bool,
    /// Data records dropped since the last datagram that was let in.
    missing: u32,
    /// Until when whoever sends waits for room in any case.
    patient_until: Option<Instant>,
    /// When to give up what still waits; `None` before the end.
    deadline: Option<Instant>,
    has_ended: bool,
    counts: DestinationCounts,
}

impl Line {
    pub(crate) fn new(limit: usize) -> Self {
        let state = State {
            opening: VecDeque::new(),
            queue: VecDeque::new(),
            weight: 0,
            down: None,
            wants_opening: false,
            wants_templates: false,
            missing: 0,
            patient_until: None,
            deadline: None,
            has_ended: false,
            counts: DestinationCounts::default(),
        };
        Self {
            state: Mutex::new(state),
            filled: Condvar::new(),
            drained: Condvar::new(),
            limit,
            may_want_opening: AtomicBool::new(false),
        }
    }

    /// Offers a datagram. Waits for room only if asked to, and the destination is up. It does not wait
    /// for a connection that has to be opened, which may be up to whoever waits: then there is room
    /// for twice as much.
    pub(crate) fn put(&self, bytes: &Arc<[u8]>, what: Carries, waits: bool) {
        let mut item = Item { bytes: Arc::clone(bytes), what, missing: 0, is_opening: false };
        let mut state = self.lock();
        state.counts.offered += 1;
        let patience = state.patient_until.map(|t| t.saturating_duration_since(clock::monotonic()));
        let waits = waits || patience.is_some();
        let is_full = |s: &State| {
            let may_open = waits && s.wants_opening;
            let limit = if may_open { self.limit.saturating_mul(2) } else { self.limit };
            s.weight > 0 && s.weight + item.weight() > limit
        };
        if waits && is_full(&state) {
            let is_hopeful = |s: &mut State| {
                let is_up = s.down.is_none() && !s.wants_opening;
                is_full(s) && is_up && s.deadline.is_none() && !s.has_ended
            };
            // Without an end, or for as long as there is patience.
            state = match patience {
                None => self
                    .drained
                    .wait_while(state, is_hopeful)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(left) => {
                    let waited = self.drained.wait_timeout_while(state, left, is_hopeful);
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
        if state.has_ended || is_full(&state) {
            let cause = if state.has_ended { Cause::LeftOver } else { Cause::QueueFull };
            let cause = state.down.unwrap_or(cause);
            state.lose(cause, &item);
            state.missing = state.missing.wrapping_add(item.data_records());
            return;
        }
        item.missing = std::mem::take(&mut state.missing);
        state.weight += item.weight();
        // Whoever takes from a queue leaves it empty before waiting: it is woken for the first.
        let is_first = state.queue.is_empty();
        state.queue.push_back(item);
        drop(state);
        if is_first {
            self.filled.notify_one();
        }
    }

    /// Gives a connection what it begins with: all that `f` puts out. Nothing if none waits for it.
    #[inline]
    pub(crate) fn open(&self, f: impl FnOnce(&mut dyn FnMut(&[u8], Carries))) {
        if self.may_want_opening.load(Ordering::Relaxed) {
            self.open_now(f);
        }
    }

    fn open_now(&self, f: impl FnOnce(&mut dyn FnMut(&[u8], Carries))) {
        if !self.lock().wants_opening {
            return;
        }
        let mut items = VecDeque::new();
        f(&mut |bytes, what| {
            items.push_back(Item { bytes: bytes.into(), what, missing: 0, is_opening: true });
        });
        let mut state = self.lock();
        state.counts.offered += items.len() as u64;
        state.weight += items.iter().map(Item::weight).sum::<usize>();
        state.opening.append(&mut items);
        state.wants_opening = false;
        self.may_want_opening.store(false, Ordering::Relaxed);
        drop(state);
        self.filled.notify_one();
    }

    pub(crate) fn counts(&self) -> DestinationCounts {
        self.lock().counts
    }

    /// Whether templates should be sent again: asked for once there is room for them.
    pub(crate) fn take_templates_wanted(&self) -> bool {
        let mut state = self.lock();
        let is_wanted = state.wants_templates && state.weight <= self.limit / 2;
        state.wants_templates &= !is_wanted;
        is_wanted
    }

    /// From now on whoever sends waits for room, until this moment and no longer.
    pub(crate) fn be_patient(&self, until: Instant) {
        self.lock().patient_until = Some(until);
    }

    /// The end has come: what waits is given up at the deadline.
    pub(crate) fn close(&self, deadline: Instant) {
        self.lock().deadline = Some(deadline);
        self.filled.notify_one();
        self.drained.notify_all();
    }

    /// Waits until the thread has ended, so long at most. Returns whether it has.
    pub(crate) fn wait_end(&self, timeout: Duration) -> bool {
        let running = |s: &mut State| !s.has_ended;
        let waited = self.drained.wait_timeout_while(self.lock(), timeout, running);
        waited.unwrap_or_else(PoisonError::into_inner).0.has_ended
    }

    // What follows is the thread's.

    /// Moves up to `max` datagrams to `batch`. If there is none, waits for one, for the end, or for
    /// `timeout`. What a connection begins with comes first, and alone.
    pub(crate) fn take(&self, batch: &mut VecDeque<Item>, max: usize, timeout: Duration) {
        let is_closing = self.lock().deadline.is_some();
        let idle = |s: &mut State| {
            let has_some = !s.opening.is_empty() || !s.queue.is_empty();
            (max == 0 || !has_some) && (is_closing || s.deadline.is_none())
        };
        let waited = self.filled.wait_timeout_while(self.lock(), timeout, idle);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner).0;
        let state = &mut *state;
        let from = if state.opening.is_empty() { &mut state.queue } else { &mut state.opening };
        batch.extend(from.drain(..max.min(from.len())));
    }

    /// Takes what the connection begins with, once it is there.
    pub(crate) fn take_opening(&self) -> Option<VecDeque<Item>> {
        let mut state = self.lock();
        (!state.wants_opening).then(|| std::mem::take(&mut state.opening))
    }

    /// When to give up, at the end.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.lock().deadline
    }

    pub(crate) fn is_empty(&self) -> bool {
        let state = self.lock();
        state.queue.is_empty() && state.opening.is_empty()
    }

    /// These are sent.
    pub(crate) fn sent<'a>(&self, items: impl IntoIterator<Item = &'a Item>) {
        let mut state = self.lock();
        for item in items {
            state.weight = state.weight.saturating_sub(item.weight());
            state.counts.sent += 1;
            state.counts.sent_octets += item.bytes.len() as u64;
            state.counts.sent_records += u64::from(item.what.records);
        }
        drop(state);
        self.drained.notify_all();
    }

    /// These are not.
    pub(crate) fn lost<'a>(&self, cause: Cause, items: impl IntoIterator<Item = &'a Item>) {
        let mut state = self.lock();
        for item in items {
            state.weight = state.weight.saturating_sub(item.weight());
            state.lose(cause, item);
        }
        drop(state);
        self.drained.notify_all();
    }

    /// Changes other counts.
    pub(crate) fn count(&self, f: impl FnOnce(&mut DestinationCounts)) {
        f(&mut self.lock().counts);
    }

    /// Somebody may listen who has missed templates.
    pub(crate) fn want_templates(&self) {
        self.lock().wants_templates = true;
    }

    /// A connection waits for what it begins with, or no longer does.
    pub(crate) fn want_opening(&self, is_wanted: bool) {
        let mut state = self.lock();
        state.wants_opening = is_wanted;
        self.may_want_opening.store(is_wanted, Ordering::Relaxed);
        let stale = std::mem::take(&mut state.opening);
        for item in &stale {
            state.weight = state.weight.saturating_sub(item.weight());
            state.lose(Cause::Superseded, item);
        }
        drop(state);
        self.drained.notify_all();
    }

    /// The destination takes nothing, for this cause, or does again.
    pub(crate) fn set_down(&self, down: Option<Cause>) {
        self.lock().down = down;
        self.drained.notify_all();
    }

    /// The thread ends. What waits is lost.
    pub(crate) fn end(&self, cause: Cause) {
        let mut state = self.lock();
        let state = &mut *state;
        for item in state.opening.drain(..).chain(state.queue.drain(..)) {
            state.counts.lose(cause, &item);
        }
        state.weight = 0;
        state.has_ended = true;
        self.drained.notify_all();
    }

    /// A thread that panicked while it held the lock leaves whole numbers behind.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn lose(&mut self, cause: Cause, item: &Item) {
        self.counts.lose(cause, item);
        self.wants_templates |= item.what.has_templates() && cause != Cause::Superseded;
    }
}
