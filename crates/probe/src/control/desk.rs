//! Answers to requests, on behalf of a probe.

use crate::control::{Command, Dump, Format, Request, Requests};
use crate::statistics::{Report, Speaker};
use crate::{Pending, Timeouts};

/// Where a conversation is, and when it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Outline {
    /// When, in nanoseconds since 1970, if no more packets come.
    pub due_ns: u64,
    /// Its number.
    pub id: u64,
    /// Where the cache has it.
    pub slot: u32,
    /// Which cache that is.
    pub lane: u16,
}

/// A probe, as those see it who give it commands.
pub trait Controlled {
    /// What was counted.
    fn report(&mut self) -> Report;
    /// When conversations end.
    fn timeouts(&self) -> Timeouts;
    /// All conversations, in any order.
    fn outline(&mut self) -> Vec<Outline>;
    /// A conversation, unless it has ended since.
    fn conversation(&self, at: &Outline) -> Option<Pending>;
    /// Exports all conversations. Returns how many.
    fn expire_all(&mut self) -> u64;
    /// Forgets all conversations. Returns how many.
    fn delete_all(&mut self) -> u64;
    /// Sends templates with the next flows.
    fn send_template(&mut self);
    /// Takes packets, or none.
    fn gather(&mut self, on: bool);
    /// Logs more, or less.
    fn debug(&mut self, more: bool);
    /// Ends; gracefully: exports everything first.
    fn end(&mut self, gracefully: bool);
}

/// Takes requests and answers them.
#[derive(Debug)]
pub struct Desk {
    requests: Requests,
    speaker: Speaker,
    dumps: Vec<Dump>,
}

impl Desk {
    /// For the requests of a server, in the name of a program.
    pub const fn new(requests: Requests, speaker: Speaker) -> Self {
        Self { requests, speaker, dumps: Vec::new() }
    }

    /// Whether conversations are being listed, so that the loop should be back within a millisecond
    /// or so.
    pub fn is_dumping(&self) -> bool {
        !self.dumps.is_empty()
    }

    /// Answers what was asked since, and goes on listing: a few conversations if `is_busy` with
    /// packets, some thousand otherwise. Never waits. `now_ns` is that of the cache.
    pub fn poll(&mut self, probe: &mut dyn Controlled, now_ns: u64, is_busy: bool) {
        while let Some(request) = self.requests.take() {
            self.answer(request, probe);
        }
        let most = if is_busy { Dump::BUSY } else { Dump::IDLE };
        self.dumps.retain_mut(|dump| !dump.step(now_ns, most, &|at| probe.conversation(at)));
    }

    fn answer(&mut self, request: Request, probe: &mut dyn Controlled) {
        let Request { command, format, reply } = request;
        let speaker = &self.speaker;
        let answer = match (command, format) {
            (Command::DumpFlows, _) => {
                self.dumps.push(Dump::new(probe.outline(), speaker, format, reply));
                return;
            }
            (Command::Statistics, Format::Text) => speaker.statistics(&probe.report()),
            (Command::Statistics, Format::Json) => probe.report().to_json(),
            (Command::Timeouts, Format::Text) => speaker.timeouts(&probe.timeouts()),
            (Command::Timeouts, Format::Json) => {
                crate::statistics::timeouts_json(&probe.timeouts())
            }
            (Command::ExpireAll, _) => {
                speaker.say(&format!("Expired {} flows.", probe.expire_all()))
            }
            (Command::DeleteAll, _) => {
                speaker.say(&format!("Deleted {} flows.", probe.delete_all()))
            }
            (Command::SendTemplate, _) => {
                probe.send_template();
                speaker.say("Template will be sent at next flow export")
            }
            (Command::StopGather | Command::StartGather, _) => {
                let on = command == Command::StartGather;
                probe.gather(on);
                speaker.say(if on {
                    "Data collection resumed."
                } else {
                    "Data collection stopped."
                })
            }
            (Command::DebugUp | Command::DebugDown, _) => {
                let more = command == Command::DebugUp;
                probe.debug(more);
                speaker.say(if more { "Debug level increased." } else { "Debug level decreased." })
            }
            (Command::Shutdown, _) => {
                probe.end(true);
                speaker.say("Shutting down gracefully...")
            }
            (Command::Exit, _) => {
                probe.end(false);
                speaker.say("Exiting now...")
            }
        };
        // Whoever is gone does not need it.
        let _ = reply.send(answer);
    }
}
