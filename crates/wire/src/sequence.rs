//! Sequence numbers: loss, reordering, duplicates and restarts.
//!
//! The protocols count different things (v5 flows, v9 datagrams, IPFIX data records) but all say
//! where their counter stood when a message left. A tracker knows where the next message has to
//! begin, and remembers the latest gaps so that a late datagram takes its loss back.
//!
//! A message whose records cannot be counted (cut short, or of a template that is not known yet)
//! leaves it open where the next one begins. The next one tells: what lies between is the records
//! of the former and whatever was lost behind it. When the template comes, the records are known
//! and what is left of the stretch is a gap.

use crate::ledger::Tally;
use std::collections::VecDeque;

/// Stretches that may still be closed by late datagrams.
const HOLES: usize = 32;

/// Units behind the newest number at which a datagram still counts as late or doubled.
const WINDOW: u32 = 4096;

/// Messages with parked sets, or whose end nobody can tell yet, that are kept in mind.
const WAITING: usize = 1024;

/// A jump beyond this is a counter set anew rather than loss.
const MAX_GAP: u32 = 1 << 24;

/// What a sequence number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Export datagrams (RFC 3954, 5.1).
    Datagrams,
    /// Flow records (v5), data records of both kinds (RFC 7011, 3.1).
    Records,
}

/// One message as its sequence number sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    /// Sequence number of the header.
    pub(crate) number: u32,
    /// Units in the message, `None` if they cannot be counted.
    pub(crate) units: Option<u32>,
    /// How many of them are flows, where an exporter may count those only.
    pub(crate) flows: Option<u32>,
    /// Uptime clock of the header, where the protocol has one.
    pub(crate) uptime: Option<Uptime>,
}

/// An uptime clock, and when it showed this, milliseconds since 1970: 0 where nobody knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Uptime {
    /// Milliseconds since the exporter booted, in 32 bits: after 49.7 days they begin anew.
    pub(crate) ms: u32,
    /// By the clock of the exporter.
    pub(crate) export_ms: u64,
    /// By the clock of the collector.
    pub(crate) arrival_ms: u64,
}

impl Uptime {
    /// Whether the exporter has booted between an earlier message and this one.
    ///
    /// Without it the uptime would have grown by the time between them, in 32 bits. A little less
    /// than that is a message that was overtaken. Much more than both clocks say is an uptime that
    /// went back; only one of them may have been set, or may not be of now (data that is played
    /// back). An uptime of 0 may be that of an exporter without a clock.
    fn is_after_boot(self, old: Self) -> bool {
        const OVERTAKING_MS: u32 = 10_000;
        const SLACK_MS: u64 = 60 * 60 * 1000;
        let passed = |from: u64, to: u64| if from == 0 { 0 } else { to.saturating_sub(from) };
        let by_exporter = passed(old.export_ms, self.export_ms);
        let by_collector = passed(old.arrival_ms, self.arrival_ms);
        let passed = by_exporter.max(by_collector);
        let grown = self.ms.wrapping_sub(old.ms);
        let is_overtaken = grown >= u32::MAX - OVERTAKING_MS;
        old.ms != 0 && !is_overtaken && u64::from(grown) > passed.saturating_add(SLACK_MS)
    }
}

/// Records of a message, or of a part of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Read {
    /// Data records of both kinds.
    pub(crate) records: u32,
    /// Flows among them.
    pub(crate) flows: u32,
}

/// What is known of a message whose records cannot be counted yet.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Unread {
    /// Records read.
    pub(crate) read: Read,
    /// Sets that are parked.
    pub(crate) sets: u32,
    /// Whether more could not be read and never will be.
    pub(crate) is_spoiled: bool,
}

/// What an exporter counts. RFC 7011 is clear, but not all exporters follow it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Habit {
    /// All data records before this message.
    #[default]
    Standard,
    /// Flow records before this message, options records left out.
    FlowsOnly,
    /// Flow records up to the end of this message (softflowd).
    Inclusive,
}

impl Habit {
    pub(crate) const ALL: [Self; 3] = [Self::Standard, Self::FlowsOnly, Self::Inclusive];

    /// A message as it would be by the standard: number of its first unit, and units.
    fn standardize(self, step: Step) -> Step {
        let Some(flows) = step.flows else { return step };
        match self {
            Self::Standard => step,
            Self::FlowsOnly => Step { units: step.units.and(Some(flows)), ..step },
            Self::Inclusive => {
                let number = step.number.wrapping_sub(flows);
                Step { number, units: step.units.and(Some(flows)), ..step }
            }
        }
    }

    const fn units(self, read: Read) -> u32 {
        match self {
            Self::Standard => read.records,
            Self::FlowsOnly | Self::Inclusive => read.flows,
        }
    }
}

/// Why the units of a stretch are not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    /// Never came.
    Missing,
    /// Part of a message that could not be read.
    Undecodable,
    /// Sent while the collector was stopped.
    Stopped,
}

/// A stretch of units that are not there.
#[derive(Clone, Copy, Debug)]
struct Hole {
    start: u32,
    len: u32,
    cause: Cause,
}

/// The rest of a message that has sets in the parking place.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    message: u64,
    /// Where the message begins. A late one begins behind it.
    owner: u32,
    start: u32,
    len: u32,
    /// Sets still parked.
    sets: u32,
    is_spoiled: bool,
}

/// The newest message, if nobody knows where it ends.
type Opening = Waiting;

/// A message that was behind: doubled, or the first after a restart.
#[derive(Clone, Copy, Debug)]
struct Behind {
    /// Where the next message would begin.
    next: u32,
    /// To be counted as a duplicate of so many units, unless it was a restart.
    units: u32,
}

/// Sequence numbers of one exporter.
#[derive(Debug, Default)]
pub(crate) struct Sequence {
    next: Option<u32>,
    opening: Option<Opening>,
    habit: Habit,
    /// Whether a message followed another without a gap: then the habit is what it seems.
    is_settled: bool,
    /// Whether there was a second message.
    has_followers: bool,
    /// Whether the collector was stopped before the message that comes next.
    was_stopped: bool,
    /// The newest message as it came, to tell a loss from another habit.
    newest: Option<Step>,
    holes: VecDeque<Hole>,
    /// In order of their messages.
    waiting: VecDeque<Waiting>,
    /// Number of the message being read, among those of this tracker.
    message: u64,
    behind: Option<Behind>,
    suspicion: Option<Suspicion>,
}

/// Messages that follow each other by another habit than the one that was taken for granted.
///
/// One that does is a coincidence if something was lost before it. Several in a row are not.
#[derive(Clone, Copy, Debug)]
struct Suspicion {
    habit: Habit,
    /// The latest of them.
    newest: Step,
    /// How many there were so far.
    run: usize,
    /// Start and length of the gaps that were seen meanwhile: there was none.
    gaps: [(u32, u32); PATIENCE],
}

/// Messages in a row that prove another habit, if the exporter seemed to have this one; two if
/// it did not, one right at its beginning.
const PATIENCE: usize = 4;

/// What of a [`Sequence`] outlasts a restart of the collector.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Bookmark {
    pub(crate) next: Option<u32>,
    pub(crate) habit: Habit,
    pub(crate) uptime: Option<Uptime>,
}

impl Sequence {
    /// Goes on where another tracker stopped.
    pub(crate) fn resume_at(bookmark: Bookmark) -> Self {
        let newest = bookmark.uptime.zip(bookmark.next).map(|(uptime, number)| Step {
            number,
            units: None,
            flows: None,
            uptime: Some(uptime),
        });
        Self {
            next: bookmark.next,
            habit: bookmark.habit,
            was_stopped: bookmark.next.is_some(),
            newest,
            ..Self::default()
        }
    }

    /// What another tracker needs to go on.
    pub(crate) fn bookmark(&self) -> Bookmark {
        let uptime = self.newest.and_then(|n| n.uptime);
        Bookmark { next: self.next, habit: self.habit, uptime }
    }

    /// Names the message being read: for sets of it that are parked.
    pub(crate) const fn message(&self) -> u64 {
        self.message
    }

    /// Whether no message so far had this number or a later one.
    #[inline]
    pub(crate) fn is_new(&self, number: u32) -> bool {
        self.newest.is_none_or(|n| number.wrapping_sub(n.number).cast_signed() > 0)
    }

    /// Judges one message whose units are known, or cannot be known.
    pub(crate) fn observe(&mut self, raw: Step, tally: Tally<'_>) {
        let unread =
            raw.units.is_none().then_some(Unread { is_spoiled: true, ..Unread::default() });
        self.judge(raw, unread, tally);
    }

    /// Judges one message with more units than could be read so far.
    pub(crate) fn observe_unread(&mut self, number: u32, unread: Unread, tally: Tally<'_>) {
        let flows = Some(unread.read.flows);
        self.judge(Step { number, units: None, flows, uptime: None }, Some(unread), tally);
        self.message += 1;
    }

    fn judge(&mut self, raw: Step, unread: Option<Unread>, mut tally: Tally<'_>) {
        let tally = &mut tally;
        let step = self.habit.standardize(raw);
        let Some(next) = self.next_at_least() else {
            return self.resume(raw, unread, tally);
        };
        let ahead = step.number.wrapping_sub(next);
        if ahead == 0 && !self.is_doubled_opening(step) {
            self.settle_behind(tally);
            self.suspicion = None;
            return self.resume(raw, unread, tally);
        }
        if self.suspect(raw, tally) {
            return self.resume(raw, unread, tally);
        }
        if self.suspicion.is_some_and(|s| s.run > 1) {
            // Neither a duplicate nor a restart by the habit that it follows.
            self.behind = None;
        }
        let goes_on_anew = self.behind.is_some_and(|b| b.units > 0 && b.next == step.number);
        if goes_on_anew || self.clock_went_back(raw.uptime) {
            return self.restart(raw, unread, tally);
        }
        self.settle_behind(tally);
        if ahead != 0 && ahead <= MAX_GAP {
            return self.resume(raw, unread, tally);
        }
        if self.fill(step, unread, tally) {
            return tally.reordered();
        }
        if next.wrapping_sub(step.number) <= WINDOW {
            return self.fall_behind(step, unread, tally);
        }
        self.restart(raw, unread, tally);
    }

    /// Where the next message begins, or the least it can be.
    const fn next_at_least(&self) -> Option<u32> {
        match (self.next, &self.opening) {
            (None, Some(o)) => Some(o.start),
            (next, _) => next,
        }
    }

    /// Whether this is the newest message once more. It has parked sets, so another message cannot
    /// begin where it begins.
    fn is_doubled_opening(&self, step: Step) -> bool {
        self.opening.is_some_and(|o| o.sets > 0 && o.owner == step.number)
    }

    /// Takes this message for the newest, which all that follow come after. What lies between is a
    /// gap.
    fn resume(&mut self, raw: Step, unread: Option<Unread>, tally: &mut Tally<'_>) {
        let mut step = self.habit.standardize(raw);
        let unread = unread.filter(|_| step.units.is_none());
        let has_end = unread.is_some() && self.habit == Habit::Inclusive && raw.flows.is_some();
        if let (true, Some(next)) = (has_end, self.next) {
            // The number tells where the message ends: it is taken to begin where it should.
            step.number = next;
        }
        self.close(step.number, tally);
        self.behind = None;
        self.has_followers |= self.newest.is_some();
        self.newest = Some(raw);
        self.next = step.units.map(|n| step.number.wrapping_add(n));
        let Some(unread) = unread else { return };
        tally.all.sequence_unchecked += 1;
        let read = self.habit.units(unread.read);
        self.opening = Some(Opening {
            message: self.message,
            owner: step.number,
            start: step.number.wrapping_add(read),
            len: 0,
            sets: unread.sets,
            is_spoiled: unread.is_spoiled,
        });
        if has_end {
            self.close(raw.number, tally);
            self.next = Some(raw.number);
        }
    }

    /// Ends the newest message where the next one begins.
    fn close(&mut self, number: u32, tally: &mut Tally<'_>) {
        let was_stopped = std::mem::take(&mut self.was_stopped);
        if let Some(opening) = self.opening.take() {
            let len = number.wrapping_sub(opening.start);
            if len == 0 || len > MAX_GAP {
                return;
            }
            tally.parked(len);
            let at = self.put(Waiting { len, ..opening }, tally);
            return self.finish(at, tally);
        }
        let Some(start) = self.next else { return };
        let len = number.wrapping_sub(start);
        if len == 0 {
            self.settle(tally);
        } else if len > MAX_GAP {
        } else if was_stopped {
            tally.counts.missing_while_stopped += u64::from(len);
            self.remember(Hole { start, len, cause: Cause::Stopped });
        } else {
            tally.missing(len);
            self.remember(Hole { start, len, cause: Cause::Missing });
            if let Some(suspicion) = &mut self.suspicion
                && let Some(gap) = suspicion.gaps.get_mut(suspicion.run)
            {
                *gap = (start, len);
            }
        }
    }

    fn remember(&mut self, hole: Hole) {
        if self.holes.len() >= HOLES {
            self.holes.pop_front();
        }
        self.holes.push_back(hole);
    }

    fn restart(&mut self, raw: Step, unread: Option<Unread>, tally: &mut Tally<'_>) {
        tally.restart();
        self.give_up_waiting(tally);
        self.holes.clear();
        (self.next, self.opening, self.was_stopped) = (None, None, false);
        self.resume(raw, unread, tally);
    }

    /// A message that nobody waits for: doubled, or the first after a restart, which the next one
    /// tells. Where there is a clock, a restart shows in it.
    fn fall_behind(&mut self, step: Step, unread: Option<Unread>, tally: &mut Tally<'_>) {
        let units = step.units.or_else(|| unread.map(|u| self.habit.units(u.read))).unwrap_or(0);
        let next = step.number.wrapping_add(units);
        if step.uptime.is_some_and(|uptime| uptime.ms != 0) {
            return tally.duplicate(units);
        }
        self.behind = Some(Behind { next, units });
    }

    fn settle_behind(&mut self, tally: &mut Tally<'_>) {
        match self.behind.take() {
            None => {}
            // Templates alone have no place in the sequence.
            Some(Behind { units: 0, .. }) => tally.reordered(),
            Some(Behind { units, .. }) => tally.duplicate(units),
        }
    }

    /// Whether it is proven by this message that the exporter has another habit, which then holds.
    fn suspect(&mut self, raw: Step, tally: &mut Tally<'_>) -> bool {
        let last = self.suspicion.take();
        let goes_on = last.filter(|s| follows(s.habit, s.newest, raw));
        let begins = || {
            let newest = self.newest?;
            let habits = Habit::ALL.into_iter().filter(|h| *h != self.habit);
            let habit = habits.into_iter().find(|h| follows(*h, newest, raw))?;
            Some(Suspicion { habit, newest, run: 0, gaps: [(0, 0); PATIENCE] })
        };
        let Some(mut suspicion) = goes_on.or_else(begins) else { return false };
        suspicion.run += 1;
        suspicion.newest = raw;
        let enough = match () {
            () if self.is_settled => PATIENCE,
            () if self.has_followers => 2,
            // The second message of all: either is as likely, and a habit is no loss.
            () => 1,
        };
        if suspicion.run < enough {
            self.suspicion = Some(suspicion);
            return false;
        }
        for gap in suspicion.gaps.into_iter().filter(|g| g.1 > 0) {
            let is_it = |h: &Hole| (h.start, h.len) == gap && h.cause == Cause::Missing;
            if let Some(at) = self.holes.iter().position(is_it) {
                self.holes.remove(at);
                tally.recovered(gap.1, true);
            }
        }
        self.change_habit(suspicion.habit, tally);
        true
    }

    /// Stretches that were measured by the wrong habit say nothing.
    fn change_habit(&mut self, habit: Habit, tally: &mut Tally<'_>) {
        for waiting in self.waiting.drain(..) {
            tally.unparked(waiting.len);
        }
        (self.habit, self.next, self.opening) = (habit, None, None);
        self.is_settled = false;
    }

    /// A late message takes its place in a stretch. Returns whether there is one.
    fn fill(&mut self, step: Step, unread: Option<Unread>, tally: &mut Tally<'_>) -> bool {
        self.fill_hole(step, unread, tally) || self.fill_waiting(step, unread, tally)
    }

    /// A late message gives back the loss it was taken for.
    fn fill_hole(&mut self, step: Step, unread: Option<Unread>, tally: &mut Tally<'_>) -> bool {
        let read = unread.map_or(0, |u| self.habit.units(u.read));
        let parks = unread.filter(|u| u.sets > 0);
        let least = step.units.unwrap_or(read);
        let at = self.holes.iter().position(|hole| {
            let skip = step.number.wrapping_sub(hole.start);
            skip < hole.len && least <= hole.len - skip && (least > 0 || parks.is_some())
        });
        let Some((at, hole)) = at.and_then(|at| Some((at, *self.holes.get(at)?))) else {
            return false;
        };
        let before = step.number.wrapping_sub(hole.start);
        // Where a message ends that has parked sets is open: all that is left of the stretch.
        let units = if parks.is_some() { hole.len - before } else { least };
        let after = hole.len - before - units;
        let halves = [(hole.start, before), (step.number.wrapping_add(units), after)];
        self.holes.remove(at);
        for (start, len) in halves.into_iter().filter(|h| h.1 > 0) {
            self.remember(Hole { start, len, cause: hole.cause });
        }
        match hole.cause {
            Cause::Missing => tally.recovered(units, before == 0 && after == 0),
            Cause::Undecodable => tally.undecodable_recovered(units),
            Cause::Stopped => {}
        }
        if let Some(unread) = parks {
            let start = step.number.wrapping_add(read);
            self.wait(step.number, start, units - read, unread, tally);
        }
        true
    }

    /// A late message shows that the one before it ends where it begins.
    fn fill_waiting(&mut self, step: Step, unread: Option<Unread>, tally: &mut Tally<'_>) -> bool {
        let read = unread.map_or(0, |u| self.habit.units(u.read));
        let least = step.units.unwrap_or(read);
        let found = self.waiting.iter_mut().find(|w| {
            let skip = step.number.wrapping_sub(w.start);
            skip < w.len && least <= w.len - skip && step.number != w.owner
        });
        let Some(waiting) = found else { return false };
        let end = waiting.start.wrapping_add(waiting.len);
        let taken = end.wrapping_sub(step.number);
        waiting.len -= taken;
        tally.unparked(taken);
        let start = step.number.wrapping_add(least);
        let len = taken - least;
        match unread {
            Some(unread) if unread.sets > 0 => self.wait(step.number, start, len, unread, tally),
            _ if len > 0 => {
                tally.missing(len);
                self.remember(Hole { start, len, cause: Cause::Missing });
            }
            _ => {}
        }
        true
    }

    fn wait(&mut self, owner: u32, start: u32, len: u32, unread: Unread, tally: &mut Tally<'_>) {
        tally.parked(len);
        let Unread { sets, is_spoiled, .. } = unread;
        let waiting = Waiting { message: self.message, owner, start, len, sets, is_spoiled };
        self.put(waiting, tally);
    }

    /// Keeps them in order: the newest message may have been overtaken by late ones. Where there
    /// are too many, the oldest goes of those that wait for no set, or of all.
    fn put(&mut self, waiting: Waiting, tally: &mut Tally<'_>) -> usize {
        if self.waiting.len() >= WAITING {
            let oldest = self.waiting.iter().position(|w| w.sets == 0).unwrap_or(0);
            self.end(oldest, tally);
        }
        let at = self.waiting.partition_point(|w| w.message < waiting.message);
        self.waiting.insert(at, waiting);
        at
    }

    /// A parked set was read, or given up if `read` is `None`. `is_whole` unless a part of it
    /// could not be read.
    pub(crate) fn resolve(
        &mut self,
        message: u64,
        read: Option<Read>,
        is_whole: bool,
        mut tally: Tally<'_>,
    ) {
        let units = read.map_or(0, |r| self.habit.units(r));
        let is_spoiled = read.is_none() || !is_whole;
        if let Some(opening) = self.opening.as_mut().filter(|o| o.message == message) {
            opening.start = opening.start.wrapping_add(units);
            opening.sets = opening.sets.saturating_sub(1);
            opening.is_spoiled |= is_spoiled;
            if opening.sets == 0 && !opening.is_spoiled {
                self.next = Some(opening.start);
                self.opening = None;
            }
            return;
        }
        let Ok(at) = self.waiting.binary_search_by_key(&message, |w| w.message) else {
            if self.is_settled && self.habit == Habit::Standard {
                tally.counts.repeated_records += u64::from(units);
            }
            return;
        };
        let Some(waiting) = self.waiting.get_mut(at) else { return };
        let units = units.min(waiting.len);
        waiting.start = waiting.start.wrapping_add(units);
        waiting.len -= units;
        waiting.sets = waiting.sets.saturating_sub(1);
        waiting.is_spoiled |= is_spoiled;
        tally.unparked(units);
        self.finish(at, &mut tally);
    }

    /// What is left of a stretch when none of its sets is parked any more was lost, or came and
    /// could not be read.
    fn finish(&mut self, at: usize, tally: &mut Tally<'_>) {
        let Some(&Waiting { len, sets, is_spoiled, .. }) = self.waiting.get(at) else { return };
        if sets == 0 && (len == 0 || is_spoiled || self.is_settled) {
            self.end(at, tally);
        }
    }

    /// Puts what is left of a stretch down as lost, or as unreadable.
    fn end(&mut self, at: usize, tally: &mut Tally<'_>) {
        let Some(Waiting { start, len, is_spoiled, .. }) = self.waiting.remove(at) else { return };
        if len == 0 {
            return;
        }
        tally.unparked(len);
        let cause = if is_spoiled { Cause::Undecodable } else { Cause::Missing };
        if is_spoiled {
            tally.undecodable(len);
        } else {
            tally.missing(len);
        }
        self.remember(Hole { start, len, cause });
    }

    /// A message followed the newest without a gap: numbers mean what they seem to.
    fn settle(&mut self, tally: &mut Tally<'_>) {
        let has_units = self.newest.is_some_and(|n| n.units.is_some_and(|units| units > 0));
        if self.is_settled || !has_units {
            return;
        }
        self.is_settled = true;
        for at in (0..self.waiting.len()).rev() {
            self.finish(at, tally);
        }
    }

    /// Parked sets from before a restart are never read.
    fn give_up_waiting(&mut self, tally: &mut Tally<'_>) {
        for waiting in self.waiting.drain(..) {
            tally.unparked(waiting.len);
            tally.undecodable(waiting.len);
        }
    }

    /// Whether the uptime clock says that the exporter has booted since the newest message.
    fn clock_went_back(&self, uptime: Option<Uptime>) -> bool {
        let old = self.newest.and_then(|n| n.uptime);
        old.zip(uptime).is_some_and(|(old, new)| new.is_after_boot(old))
    }
}

/// Whether a message comes right behind another one by this habit.
fn follows(habit: Habit, newest: Step, raw: Step) -> bool {
    if raw.flows.and(raw.units).is_none() {
        return false;
    }
    let (newest, step) = (habit.standardize(newest), habit.standardize(raw));
    newest.units.is_some_and(|units| newest.number.wrapping_add(units) == step.number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Counters, ExporterCounts};

    fn observe(sequence: &mut Sequence, step: Step, all: &mut Counters) {
        let counts = &mut ExporterCounts::default();
        sequence.observe(step, Tally { counts, all, unit: Unit::Records });
    }

    /// Runs (number, units, uptime) and returns (gaps, lost, reordered, duplicates, restarts).
    fn run(steps: &[(u32, Option<u32>, Option<u32>)]) -> (u64, u64, u64, u64, u64) {
        let (mut sequence, mut c) = (Sequence::default(), Counters::default());
        for &(number, units, uptime) in steps {
            let uptime = uptime.map(|ms| Uptime { ms, ..Uptime::default() });
            let step = Step { number, units, flows: units, uptime };
            observe(&mut sequence, step, &mut c);
        }
        (c.sequence_gaps, c.lost_records, c.reordered, c.duplicates, c.restarts)
    }

    /// Messages of `units` units each.
    fn plain(numbers: &[u32], units: u32) -> (u64, u64, u64, u64, u64) {
        run(&numbers.iter().map(|n| (*n, Some(units), None)).collect::<Vec<_>>())
    }

    #[test]
    fn verdicts() {
        for (name, numbers, units, want) in [
            ("continuous", &[100, 130, 160][..], 30, (0, 0, 0, 0, 0)),
            ("across the wrap", &[u32::MAX - 9, 0, 10], 10, (0, 0, 0, 0, 0)),
            ("two lost", &[100, 190, 220], 30, (1, 60, 0, 0, 0)),
            ("loss across the wrap", &[u32::MAX - 9, 20], 10, (1, 20, 0, 0, 0)),
            ("swapped", &[100, 160, 130, 190], 30, (0, 0, 1, 0, 0)),
            ("two late, newest first", &[0, 3, 2, 1, 4], 1, (0, 0, 2, 0, 0)),
            ("two late in a row", &[0, 30, 40, 10, 20, 50], 10, (0, 0, 2, 0, 0)),
            ("middle of a gap is late", &[0, 50, 20, 60], 10, (1, 30, 1, 0, 0)),
            ("doubled", &[100, 130, 130, 160], 30, (0, 0, 0, 1, 0)),
            ("started again from 0", &[9_000_000, 9_000_030, 0, 30], 30, (0, 0, 0, 0, 1)),
            ("young and started again", &[60, 90, 0, 30, 60], 30, (0, 0, 0, 0, 1)),
            ("far ahead is no loss", &[0, 1 << 28, (1 << 28) + 30], 30, (0, 0, 0, 0, 1)),
        ] {
            assert_eq!(plain(numbers, units), want, "{name}");
        }
    }

    #[test]
    fn uptime_going_back_is_a_restart() {
        let step = |n, up| (n, Some(1), Some(up));
        assert_eq!(run(&[step(500, 900_000), step(501, 901_000), step(700, 5_000)]).4, 1);
        assert_eq!(run(&[step(500, 900_000), step(0, 5_000), step(1, 6_000)]), (0, 0, 0, 0, 1));
        // The clock wraps and a datagram is lost: loss, no restart.
        assert_eq!(run(&[step(1, u32::MAX - 10), step(3, 400)]), (1, 1, 0, 0, 0));
    }

    /// Old and new uptime, time between the messages by exporter and collector.
    #[test]
    fn restarts_are_told_by_boot_times() {
        const HOUR: u64 = 3_600_000;
        const DAY: u64 = 24 * HOUR;
        let day = |days: u64| (days * DAY) as u32;
        let both = |ms| (ms, ms);
        for (name, old, new, (export, arrival), want) in [
            ("young", day(1), 5000, both(60_000), true),
            ("24 days old", day(24), 5000, both(60_000), true),
            ("25 days old", day(25), 5000, both(60_000), true),
            ("40 days old", day(40), 5000, both(60_000), true),
            ("49 days old", day(49), 5000, both(60_000), true),
            ("a minute later", day(40), day(40) + 60_000, both(60_000), false),
            ("40 days later", day(1), day(41), both(40 * DAY), false),
            ("booted within 10 days of silence", day(40), day(5), both(10 * DAY), true),
            ("the clock wraps", u32::MAX - 10, 59_000, both(60_000), false),
            ("overtaken", day(40), day(40) - 9_000, both(0), false),
            ("overtaken at the wrap", 1_000, u32::MAX - 1_000, both(0), false),
            ("played back at once", day(40), day(40) + 5 * HOUR as u32, (5 * HOUR, 0), false),
            ("no date in the header", day(40), day(45), (0, 5 * DAY), false),
            ("the exporter's clock was set back", day(40), day(42), (0, 2 * DAY), false),
            ("the collector's clock was set back", day(40), day(42), (2 * DAY, 0), false),
            ("an uptime for the first time", 0, day(40), both(60_000), false),
            ("the collector stood still", day(40), day(40), (0, 5 * DAY), false),
        ] {
            let at = |ms, export, arrival| Uptime {
                ms,
                export_ms: 1_700_000_000_000 + export,
                arrival_ms: 1_700_000_000_500 + arrival,
            };
            assert_eq!(at(new, export, arrival).is_after_boot(at(old, 0, 0)), want, "{name}");
        }
        // A time that is not known says nothing.
        let old = Uptime { ms: day(40), ..Uptime::default() };
        let new = Uptime { ms: 5000, export_ms: 1_700_000_000_000, arrival_ms: 1_700_000_000_000 };
        assert!(new.is_after_boot(old));
    }

    /// Each message brings the template of the data of the one before it, takes away the other one
    /// (a template that is refused), and has data of that one. No message follows another.
    #[test]
    fn messages_whose_end_nobody_tells_are_bounded() {
        use crate::testing::{Collect, IpfixBuilder, Record};
        use crate::{Config, Decoder, ipfix};
        let (mut decoder, mut sink) = (Decoder::new(Config::default()), Collect::default());
        let count = 5000u32;
        for n in 0..count {
            let (come, gone) = if n % 2 == 0 { (300, 301) } else { (301, 300) };
            let header = ipfix::Header { sequence: 100 * n, ..ipfix::Header::default() };
            let message = IpfixBuilder::new(header)
                .template(come, &[(0, 1, 4)])
                .template(gone, &[(0, 1, 0)])
                .data(gone, &[Record::new().number(n.into(), 4).build()]);
            decoder.decode(record::Addr::V4(1), 1, &message.build(), &mut sink);
        }
        assert_eq!(sink.flows.len() as u32, count - 1);
        let state = decoder.exporters.iter().next().unwrap();
        assert_eq!(state.sequence.waiting.len(), WAITING);
        let t = state.ledger.totals;
        // All but the last message, whose end is not known.
        assert_eq!(t.sent_records(), u64::from(100 * (count - 1)), "{t:#?}");
        assert_eq!(t.missing_records, 99 * (u64::from(count) - 1 - WAITING as u64), "{t:#?}");
        assert_eq!(decoder.counters().lost_records, t.missing_records);
    }

    #[test]
    fn habits_of_ipfix_exporters() {
        // (number, options records, flows)
        for (name, messages, want) in [
            ("standard", &[(0, 1, 9), (10, 0, 5), (15, 0, 5)][..], (0, 0)),
            ("flows only", &[(0, 1, 9), (9, 0, 5), (14, 2, 5), (19, 0, 1)], (0, 0)),
            ("inclusive", &[(9, 1, 9), (14, 0, 5), (21, 1, 7)], (0, 0)),
            ("flows only, 20 lost", &[(0, 1, 9), (9, 0, 5), (14, 1, 2), (36, 0, 5)], (1, 20)),
            ("inclusive, 20 lost", &[(9, 1, 9), (14, 0, 5), (21, 0, 7), (48, 1, 7)], (1, 20)),
            (
                "inclusive, at first all alike",
                &[
                    (9, 0, 9),
                    (18, 0, 9),
                    (27, 0, 9),
                    (32, 0, 5),
                    (40, 0, 8),
                    (41, 0, 1),
                    (44, 0, 3),
                ],
                (0, 0),
            ),
            (
                "lost as many as were sent of late is no habit",
                &[(0, 0, 3), (3, 0, 3), (8, 0, 5), (13, 0, 1), (14, 0, 1)],
                (1, 2),
            ),
        ] {
            let (mut sequence, mut c) = (Sequence::default(), Counters::default());
            for &(number, options, flows) in messages {
                let units = Some(options + flows);
                let step = Step { number, units, flows: Some(flows), uptime: None };
                observe(&mut sequence, step, &mut c);
            }
            assert_eq!((c.sequence_gaps, c.lost_records), want, "{name}");
            assert_eq!((c.duplicates, c.restarts), (0, 0), "{name}");
        }
    }

    #[test]
    fn messages_that_cannot_be_counted_open_no_gap() {
        let (mut sequence, mut c) = (Sequence::default(), Counters::default());
        for (number, units) in [(0, Some(5)), (5, None), (77, Some(3)), (80, Some(1))] {
            let step = Step { number, units, flows: units, uptime: None };
            observe(&mut sequence, step, &mut c);
        }
        assert_eq!((c.sequence_gaps, c.sequence_unchecked), (0, 1));
    }
}
