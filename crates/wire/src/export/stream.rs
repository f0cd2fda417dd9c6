//! What v9 and IPFIX have in common: templates, options, and data that refers to them.

use super::clock::{Boot, Fit, absolute};
use super::message::Message;
use super::plain::{Form, PlainFlow, Plains};
use super::plan::{Plan, Scope};
use super::template::{self, Templates};
use super::{Carries, Context, TimeFormat, Transport, Version, options};
use crate::cursor::SET_HEADER_LEN;
use crate::{ipfix, v9};
use record::{Field, Flow, Row};

/// A v9 or IPFIX stream.
#[derive(Debug)]
pub(super) struct Stream {
    scope: Scope,
    templates: Templates,
    message: Message,
    plains: Plains,
    boot: Boot,
    /// Datagrams (v9) or data records (IPFIX) sent before the datagram that is being built.
    sequence: u32,
    /// Templates and options have to go with the next datagram.
    is_requested: bool,
    /// Whether they ever went.
    has_begun: bool,
    /// Datagrams since they did.
    since_refresh: u32,
    /// When they are due again.
    refresh_at: u64,
    /// When names of interfaces are.
    names_at: u64,
    /// When the latest datagram went.
    sent_at: u64,
}

impl Stream {
    pub(super) fn new(config: &super::ExportConfig) -> Self {
        Self {
            scope: Scope::new(config.version),
            templates: Templates::new(config.max_templates),
            message: empty(config),
            plains: Plains::new(),
            boot: Boot::new(config.boot_ms),
            sequence: 0,
            is_requested: true,
            has_begun: false,
            since_refresh: 0,
            refresh_at: 0,
            names_at: 0,
            sent_at: 0,
        }
    }

    pub(super) fn flow(
        &mut self,
        row: Row<'_>,
        times_ns: Option<(u64, u64)>,
        cx: &mut Context<'_>,
    ) {
        self.send_if_waiting(cx);
        let Some(at) = self.template_for(row, times_ns.is_some(), cx) else { return };
        let Some(times) = self.times(at, row, times_ns, cx) else { return };
        let Some(template) = self.templates.get(at) else { return };
        let (id, len) = (template.id, template.plan.len(row));
        if len > self.message.capacity() {
            cx.counts.rows_too_large += 1;
            return;
        }
        self.make_room(at, id, len, cx);
        let Some(template) = self.templates.get(at) else { return };
        template.plan.write(id, row, times, &mut self.message, cx.counts);
        cx.counts.fields_left_out += u64::from(template.plan.left_out + self.scope.left_out(row));
        cx.counts.records += 1;
        self.message.carries.records += 1;
        self.message.since.get_or_insert(cx.now);
        if cx.config.max_delay_ms == 0 {
            self.send(cx);
        }
    }

    /// Takes a flow the short way. `false` if it has to go the other one.
    pub(super) fn plain(&mut self, flow: &PlainFlow, cx: &mut Context<'_>) -> bool {
        self.send_if_waiting(cx);
        let is_current = |form: &Form| {
            self.templates.get(form.at).is_some_and(|template| template.made == form.made)
        };
        let known = self.plains.find(flow);
        let known = known.filter(|at| self.plains.forms.get(*at).is_some_and(is_current));
        let place = match known {
            Some(place) => place,
            None => match self.form(flow, cx) {
                Ok(place) => place,
                Err(is_counted) => return is_counted,
            },
        };
        let Some(has_times) = self.plains.forms.get(place).map(|form| form.has_times) else {
            return false;
        };
        let times_ns = (flow.first_ns, flow.last_ns);
        let Some(times) = self.times_of(has_times, times_ns, cx) else { return true };
        let Some(form) = self.plains.forms.get_mut(place) else { return false };
        self.templates.touch(form.at);
        cx.counts.fields_left_out += u64::from(form.left_out);
        cx.counts.records += 1;
        if self.plains.since.is_none() && self.was_idle(cx) {
            self.refresh(cx);
        }
        self.plains.since.get_or_insert(cx.now);
        let Some(form) = self.plains.forms.get_mut(place) else { return true };
        if form.add(flow, times) {
            self.send_run(place, cx);
        }
        if cx.config.max_delay_ms == 0 {
            self.send(cx);
        }
        true
    }

    /// Makes the form of flows like this one: its place. Without one, says whether the flow was
    /// counted as left out.
    #[cold]
    fn form(&mut self, flow: &PlainFlow, cx: &mut Context<'_>) -> Result<usize, bool> {
        // One that is out of date has nothing waiting: all was sent when its template made room.
        let mut sample = Flow::new();
        flow.fill(&mut sample);
        let at = self.template_for(sample.as_row(), true, cx).ok_or(true)?;
        let template = self.templates.get(at).ok_or(false)?;
        let left_out = template.plan.left_out + self.scope.left_out(sample.as_row());
        let which = (at, template.made, template.id);
        let form = Form::new(&template.plan, which, left_out, self.message.bounds());
        form.and_then(|form| self.plains.keep(flow, form)).ok_or(false)
    }

    /// Sends the full datagrams of a form.
    fn send_run(&mut self, place: usize, cx: &mut Context<'_>) {
        let Some(form) = self.plains.forms.get_mut(place) else { return };
        let (at, id, mut run) = (form.at, form.id, std::mem::take(&mut form.run));
        let carries = Carries { records: run.most as u32, ..Carries::default() };
        for datagram in run.full() {
            self.refresh_if_due(cx);
            if !self.templates.is_known(at) {
                self.announce(at, cx);
            }
            self.send_message(cx);
            let (header_len, len) = (self.message.bounds().0, datagram.len());
            self.header(cx)(datagram, carries, len);
            let set = [id, (len - header_len) as u16];
            if let Some(octets) = datagram.get_mut(header_len..header_len + SET_HEADER_LEN) {
                let numbers = set.iter().flat_map(|n| n.to_be_bytes());
                octets.iter_mut().zip(numbers).for_each(|(octet, n)| *octet = n);
            }
            cx.counts.datagrams += 1;
            cx.counts.octets += len as u64;
            cx.out.datagram(datagram, carries);
            self.note_sent(carries, cx);
        }
        run.clear_full();
        if let Some(form) = self.plains.forms.get_mut(place) {
            form.run = run;
        }
    }

    /// Sends all that waits on the short way: what fills no datagram goes with the rest of others.
    fn send_plains(&mut self, cx: &mut Context<'_>) {
        self.plains.since = None;
        for place in 0..self.plains.forms.len() {
            self.send_run(place, cx);
            let Some(form) = self.plains.forms.get_mut(place) else { return };
            let (at, id, mut run) = (form.at, form.id, std::mem::take(&mut form.run));
            for record in run.rest() {
                self.make_room(at, id, record.len(), cx);
                self.message.record(id, record.len()).copy_from_slice(record);
                self.message.carries.records += 1;
            }
            run.clear();
            if let Some(form) = self.plains.forms.get_mut(place) {
                form.run = run;
            }
        }
    }

    /// The template for a row; `None` if there is none that says anything or fits a datagram.
    #[inline]
    fn template_for(
        &mut self,
        row: Row<'_>,
        has_times: bool,
        cx: &mut Context<'_>,
    ) -> Option<usize> {
        let key = self.scope.key(row, has_times);
        if let Some(at) = self.templates.find(&key) {
            return Some(at);
        }
        let plan = Plan::compile(cx.config, &key);
        if plan.fields.is_empty() {
            cx.counts.rows_empty += 1;
            return None;
        }
        let len = template::record(0, &plan.fields).len();
        if len.max(plan.min_len()) > self.message.capacity() {
            cx.counts.rows_too_large += 1;
            return None;
        }
        if self.templates.is_full() {
            // What waits may need the template that makes room.
            self.send(cx);
        }
        let (at, evicted) = self.templates.add(key, plan, is_stream(cx), cx.now);
        if let Some(old) = evicted {
            cx.counts.templates_evicted += 1;
            if is_stream(cx) && old.was_known {
                self.define(&template::withdrawal(old.id), ipfix::TEMPLATES, false, cx);
            }
        }
        Some(at)
    }

    /// Start and end as they are sent; `None` if they cannot be.
    #[inline]
    fn times(
        &mut self,
        at: usize,
        row: Row<'_>,
        times_ns: Option<(u64, u64)>,
        cx: &mut Context<'_>,
    ) -> Option<(u64, u64)> {
        let has_times = self.templates.get(at)?.plan.has_times;
        if let Some(times_ns) = times_ns {
            return self.times_of(has_times, times_ns, cx);
        }
        if !has_times {
            return Some((0, 0));
        }
        let (first, last) = (row.number(Field::First), row.number(Field::Last));
        match cx.config.time {
            TimeFormat::UptimeMs => self.uptimes(
                // A row may have one of them.
                match (first, last) {
                    (_, 0) => (first, first),
                    (0, _) => (last, last),
                    both => both,
                },
                cx,
            ),
            TimeFormat::Millis => Some((first, last)),
            TimeFormat::Seconds => Some((first / 1000, last / 1000)),
            format => {
                let ns = |ms: u64| absolute(format, ms.saturating_mul(1_000_000));
                Some((ns(first), ns(last)))
            }
        }
    }

    /// Start and end, in nanoseconds since 1970, as they are sent; `None` if they cannot be.
    #[inline]
    fn times_of(
        &mut self,
        has_times: bool,
        (first, last): (u64, u64),
        cx: &mut Context<'_>,
    ) -> Option<(u64, u64)> {
        match cx.config.time {
            _ if !has_times => Some((0, 0)),
            TimeFormat::UptimeMs => self.uptimes((first / 1_000_000, last / 1_000_000), cx),
            format => Some((absolute(format, first), absolute(format, last))),
        }
    }

    fn uptimes(&mut self, (first, last): (u64, u64), cx: &mut Context<'_>) -> Option<(u64, u64)> {
        self.set_boot(first, last, cx)?;
        Some((self.boot.uptime(first).into(), self.boot.uptime(last).into()))
    }

    /// Sees to it that uptimes of these times can be written.
    fn set_boot(&mut self, first: u64, last: u64, cx: &mut Context<'_>) -> Option<()> {
        match self.boot.fit(cx.now, first, last) {
            Fit::Same => {}
            Fit::Moved(boot) => {
                self.send(cx);
                self.boot.move_to(boot);
                // IPFIX says it in options.
                self.is_requested |= cx.config.version == Version::Ipfix;
            }
            Fit::Never => {
                cx.counts.rows_undated += 1;
                return None;
            }
        }
        Some(())
    }

    /// Sees to it that a record of template `at` fits, and that its receiver can read it.
    #[inline]
    fn make_room(&mut self, at: usize, id: u16, len: usize, cx: &mut Context<'_>) {
        self.refresh_if_due(cx);
        if !self.templates.is_known(at) {
            self.announce(at, cx);
        }
        if !self.message.has_room(id, len) {
            self.send_message(cx);
            self.refresh_if_due(cx);
            if !self.message.has_room(id, len) {
                self.send_message(cx);
            }
        }
    }

    #[inline]
    fn refresh_if_due(&mut self, cx: &mut Context<'_>) {
        let every = cx.config.template_every_packets;
        let by_count = every != 0 && self.since_refresh >= every && !is_stream(cx);
        if self.is_requested || by_count || self.is_due(cx) || self.was_idle(cx) {
            self.refresh(cx);
        }
    }

    /// Whether templates and options are due by time.
    #[inline]
    fn is_due(&self, cx: &Context<'_>) -> bool {
        let every = u64::from(cx.config.template_every_secs) * 1000;
        // A clock that was set back must not stop them.
        let is_time = cx.now >= self.refresh_at || self.refresh_at - cx.now > every;
        every != 0 && is_time && self.has_begun && !is_stream(cx)
    }

    fn was_idle(&self, cx: &Context<'_>) -> bool {
        let idle = u64::from(cx.config.template_after_idle_secs) * 1000;
        let is_empty = self.message.is_empty() && self.plains.since.is_none();
        let is_idle = idle != 0 && is_empty && self.sent_at != 0;
        is_idle && cx.now.abs_diff(self.sent_at) >= idle && !is_stream(cx)
    }

    /// Writes options, and the templates that are in use.
    fn refresh(&mut self, cx: &mut Context<'_>) {
        let count = self.templates.forget();
        let has_names = self.are_names_due(cx);
        for options in options::options(cx.config, self.boot.ms(), has_names) {
            self.announce_options(&options, cx);
        }
        for at in 0..count {
            if self.templates.is_in_use(at) {
                self.announce(at, cx);
            }
        }
        cx.counts.refreshes += u64::from(self.has_begun);
        self.has_begun = true;
        self.is_requested = false;
        self.since_refresh = 0;
        self.refresh_at = cx.now + u64::from(cx.config.template_every_secs) * 1000;
    }

    /// Whether names of interfaces go with templates and options now. A router may have thousands,
    /// which would be more than all data if they came as often: then they come by time.
    fn are_names_due(&mut self, cx: &Context<'_>) -> bool {
        /// So many do not matter.
        const FEW: usize = 8;
        let every = u64::from(cx.config.template_every_secs) * 1000;
        let is_time = cx.now >= self.names_at || self.names_at - cx.now > every;
        let is_due = self.is_requested || is_time || cx.config.interfaces.len() <= FEW;
        if is_due {
            self.names_at = cx.now + every;
        }
        is_due
    }

    fn announce(&mut self, at: usize, cx: &mut Context<'_>) {
        let Some(template) = self.templates.get(at) else { return };
        let record = template::record(template.id, &template.plan.fields);
        self.define(&record, sets(cx.config.version).0, false, cx);
        self.templates.set_known(at);
    }

    fn announce_options(&mut self, options: &options::Options, cx: &mut Context<'_>) {
        self.define(&options.template, sets(cx.config.version).1, true, cx);
        for record in &options.records {
            if !self.message.has_room(options.id, record.len()) {
                self.send_message(cx);
            }
            self.message.record(options.id, record.len()).copy_from_slice(record);
            self.message.carries.options += 1;
            cx.counts.options += 1;
        }
    }

    /// Writes a template or a withdrawal.
    fn define(&mut self, record: &[u8], set: u16, is_alone: bool, cx: &mut Context<'_>) {
        if !self.message.has_room(set, record.len()) {
            self.send_message(cx);
        }
        if is_alone {
            self.message.record_of_its_own(set, record);
        } else {
            self.message.record(set, record.len()).copy_from_slice(record);
        }
        self.message.carries.templates += 1;
        cx.counts.templates += 1;
    }

    fn send_if_waiting(&mut self, cx: &mut Context<'_>) {
        let waits = |t: u64| cx.now.abs_diff(t) >= cx.config.max_delay_ms;
        if self.message.since.is_some_and(waits) || self.plains.since.is_some_and(waits) {
            self.send(cx);
        }
    }

    /// Sends what there is.
    pub(super) fn send(&mut self, cx: &mut Context<'_>) {
        if self.plains.since.is_some() {
            self.send_plains(cx);
        }
        self.send_message(cx);
    }

    /// Sends the datagram that is being built.
    fn send_message(&mut self, cx: &mut Context<'_>) {
        if self.message.is_empty() {
            return;
        }
        let header = self.header(cx);
        let (sink, counts) = (&mut *cx.out, &mut *cx.counts);
        let carries = self.message.carries;
        self.message.finish(header, |bytes, carries| {
            counts.datagrams += 1;
            counts.octets += bytes.len() as u64;
            sink.datagram(bytes, carries);
        });
        self.note_sent(carries, cx);
    }

    /// What writes the header of the next datagram.
    #[inline]
    fn header(&mut self, cx: &Context<'_>) -> impl FnOnce(&mut [u8], Carries, usize) + use<> {
        let (version, sequence, domain) = (cx.config.version, self.sequence, cx.config.domain);
        if self.boot.ms().is_none() && version == Version::V9 {
            // Headers have an uptime even if nothing else has.
            self.boot.move_to((cx.now / 1000).saturating_sub(1) * 1000);
        }
        let export_ms = self.export_ms(cx);
        let secs = (export_ms / 1000) as u32;
        // Whole seconds and uptime tell the same moment.
        let uptime = (export_ms / 1000 * 1000).wrapping_sub(self.boot.ms().unwrap_or(0)) as u32;
        move |out: &mut [u8], carries: Carries, len: usize| match version {
            Version::Ipfix => put(out, &[10 << 16 | len as u32, secs, sequence, domain]),
            _ => put(out, &[9 << 16 | carries.total(), uptime, secs, sequence, domain]),
        }
    }

    /// A datagram was sent.
    #[inline]
    fn note_sent(&mut self, carries: Carries, cx: &Context<'_>) {
        let step = match cx.config.version {
            Version::Ipfix => carries.records + carries.options,
            _ => 1,
        };
        self.sequence = self.sequence.wrapping_add(step);
        self.since_refresh += 1;
        self.sent_at = cx.now;
    }

    /// When the datagram is exported. That is now, or as late as its uptimes reach.
    fn export_ms(&self, cx: &Context<'_>) -> u64 {
        let latest = self.boot.ms().map_or(u64::MAX, |boot| boot + u64::from(u32::MAX));
        if cx.config.time == TimeFormat::UptimeMs { cx.now.min(latest) } else { cx.now }
    }

    pub(super) fn tick(&mut self, cx: &mut Context<'_>) {
        self.send_if_waiting(cx);
        if !self.is_requested && !self.is_due(cx) {
            return;
        }
        let boot = self.boot.ms();
        if self.templates.len() != 0 || !options::options(cx.config, boot, true).is_empty() {
            self.refresh(cx);
            self.send_message(cx);
        }
    }

    pub(super) fn next_due(&self, config: &super::ExportConfig) -> Option<u64> {
        let since = [self.message.since, self.plains.since].into_iter().flatten().min();
        let waits_until = since.map(|t| t.saturating_add(config.max_delay_ms));
        let repeats = config.template_every_secs != 0 && config.transport == Transport::Datagrams;
        let refresh = (repeats && self.has_begun).then_some(self.refresh_at);
        waits_until.into_iter().chain(refresh).min()
    }

    pub(super) const fn request(&mut self) {
        self.is_requested = true;
    }

    pub(super) fn connection_opened(&mut self, cx: &mut Context<'_>) {
        self.sequence = 0;
        self.is_requested = true;
        let waiting = std::mem::replace(&mut self.message, empty(cx.config));
        self.refresh(cx);
        // Whatever the waiting data refers to, in use or not.
        for at in 0..self.templates.len() {
            if !self.templates.is_known(at) {
                self.announce(at, cx);
            }
        }
        self.send_message(cx);
        self.message = waiting;
    }
}

fn empty(config: &super::ExportConfig) -> Message {
    let header_len = match config.version {
        Version::Ipfix => ipfix::HEADER_LEN,
        _ => v9::HEADER_LEN,
    };
    Message::new(header_len, config.mtu_in_effect())
}

/// Ids of sets of templates and of options templates.
const fn sets(version: Version) -> (u16, u16) {
    match version {
        Version::Ipfix => (ipfix::TEMPLATES, ipfix::OPTIONS_TEMPLATES),
        _ => (v9::TEMPLATES, v9::OPTIONS_TEMPLATES),
    }
}

/// Whether templates are sent once and withdrawn.
fn is_stream(cx: &Context<'_>) -> bool {
    cx.config.transport == Transport::Stream && cx.config.version == Version::Ipfix
}

/// Writes 32-bit numbers, big-endian.
pub(super) fn put(out: &mut [u8], numbers: &[u32]) {
    let (chunks, _) = out.as_chunks_mut::<4>();
    for (chunk, number) in chunks.iter_mut().zip(numbers) {
        *chunk = number.to_be_bytes();
    }
}
