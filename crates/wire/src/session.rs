//! Transport sessions: IPFIX over TCP (RFC 7011, 10.4), with or without TLS.
//!
//! Over UDP templates belong to an address and an observation domain; over a connection they
//! belong to it and end with it (RFC 7011, 8.1), and so does the count of the sequence number.
//! The exporter stays the same: its number, samplers, names and ledger.

use crate::parked::Parked;
use crate::sequence::Sequence;
use crate::template::{Memory, Templates};
use crate::{Decoder, Outcome};
use record::{Addr, FlowSink};

/// What an exporter has in one session.
#[derive(Debug, Default)]
pub(crate) struct Transport {
    pub(crate) templates: Templates,
    sequence: Sequence,
    /// Always empty: see [`Decoder::park`].
    parked: Parked,
}

impl Decoder {
    /// Reads one IPFIX message that came over the connection `session` from `peer` at `now_ms`,
    /// milliseconds since 1970, and pushes its flows into `sink`.
    ///
    /// `session` is a number that the caller gives to each connection and does not use again
    /// before [`end_session`](Self::end_session). Messages of a connection are told apart by
    /// their length (RFC 7011, 10.4.1), which is the caller's task. One that has an error means
    /// that the connection should be closed (RFC 7011, 10.4.3): what follows may be out of step.
    pub fn decode_stream<S: FlowSink + ?Sized>(
        &mut self,
        session: u32,
        peer: Addr,
        now_ms: u64,
        message: &[u8],
        sink: &mut S,
    ) -> Outcome {
        self.session = Some(session);
        let outcome = self.read(peer, now_ms, message, sink);
        self.session = None;
        outcome
    }

    /// Forgets the templates of a connection that is closed (RFC 7011, 8.1).
    pub fn end_session(&mut self, session: u32) {
        self.close_message();
        let mut ended = self.sessions.split_off(&(session, 0));
        if let Some(next) = session.checked_add(1) {
            self.sessions.append(&mut ended.split_off(&(next, 0)));
        }
        for ((_, at), mut transport) in ended {
            if let Some((_, own)) = self.exporters.parts(at) {
                let mut memory = Memory { own, all: &mut self.budgets };
                transport.templates.clear(&mut memory.templates());
            }
        }
    }

    /// Puts what the exporter has in a session in the place of what it has elsewhere, or back.
    #[inline]
    pub(crate) fn swap_transport(&mut self, session: Option<u32>, exporter: usize) {
        if let Some(session) = session {
            self.swap_with(session, exporter);
        }
    }

    fn swap_with(&mut self, session: u32, exporter: usize) {
        let Some(state) = self.exporters.get_mut(exporter) else { return };
        let transport = self.sessions.entry((session, exporter)).or_default();
        std::mem::swap(&mut state.templates, &mut transport.templates);
        std::mem::swap(&mut state.sequence, &mut transport.sequence);
        std::mem::swap(&mut state.parked, &mut transport.parked);
    }
}
