//! All conversations of a cache, listed piece by piece.
//!
//! A list of a million conversations is some hundred megabytes, and takes longer to write than
//! packets can wait. So a dump begins with an outline: when each conversation ends, and where it is,
//! 24 octets each, taken in one go. From it, the loop writes a few conversations at a time, those
//! that end first, as they are then; one that has ended meanwhile is left out, and one that began
//! since is not in it. Text is made only as fast as the client reads it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::Pending;
use crate::control::{Format, Outline, Refused, Reply};
use crate::statistics::{Speaker, push_flow, push_flow_json};

/// A list under way.
#[derive(Debug)]
pub struct Dump {
    /// What is still to be listed, the first to end on top. A heap is made in linear time, and does
    /// the sorting when it is used, little by little.
    left: BinaryHeap<Reverse<Outline>>,
    format: Format,
    reply: Reply,
    piece: Vec<u8>,
}

impl Dump {
    /// Conversations in a step between packets.
    pub const BUSY: usize = 16;
    /// Conversations in a step while no packets come.
    pub const IDLE: usize = 4096;
    /// Octets of a piece, about.
    const PIECE: usize = 64 << 10;

    /// Begins a list; the outline may have any order.
    pub fn new(outline: Vec<Outline>, speaker: &Speaker, format: Format, reply: Reply) -> Self {
        let piece = match format {
            Format::Text => speaker.say("Dumping flow data:").into_bytes(),
            Format::Json => Vec::new(),
        };
        let left: Vec<_> = outline.into_iter().map(Reverse).collect();
        Self { left: left.into(), format, reply, piece }
    }

    /// Lists at most `most` more. Returns whether the list is over, because all is told or the client
    /// is gone.
    pub fn step(
        &mut self,
        now_ns: u64,
        most: usize,
        conversation: &dyn Fn(&Outline) -> Option<Pending>,
    ) -> bool {
        for _ in 0..most {
            if self.piece.len() >= Self::PIECE && !self.flush() {
                return false;
            }
            let Some(Reverse(at)) = self.left.pop() else { break };
            if let Some(pending) = conversation(&at) {
                match self.format {
                    Format::Text => push_flow(&mut self.piece, &pending, now_ns),
                    Format::Json => push_flow_json(&mut self.piece, &pending),
                }
            }
        }
        self.left.is_empty() && self.flush()
    }

    /// Hands over what there is. Returns whether it went, or nobody wants it any more.
    fn flush(&mut self) -> bool {
        if self.piece.is_empty() {
            return true;
        }
        match self.reply.send(std::mem::take(&mut self.piece)) {
            Ok(()) => true,
            Err(Refused::Full(piece)) => {
                self.piece = piece;
                false
            }
            Err(Refused::Gone) => {
                self.left.clear();
                true
            }
        }
    }
}
