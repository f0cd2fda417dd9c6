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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::tests::pending;
    use crossbeam_channel::{Receiver, bounded};

    fn dump(dues: &[(u64, u64)], format: Format) -> (Dump, Receiver<Vec<u8>>) {
        let outline =
            dues.iter().map(|&(id, due_ns)| Outline { due_ns, id, slot: 0, lane: 0 }).collect();
        let (sender, receiver) = bounded(Reply::PIECES);
        (Dump::new(outline, &Speaker::new("x", 1), format, Reply(sender)), receiver)
    }

    fn text(pieces: &Receiver<Vec<u8>>) -> String {
        String::from_utf8(pieces.try_iter().flatten().collect()).unwrap()
    }

    #[test]
    fn those_that_end_first_come_first_as_they_are_then() {
        let (mut dump, pieces) = dump(&[(1, 30), (2, 10), (3, 20), (4, 10)], Format::Json);
        // Number 3 has ended since.
        let look = |at: &Outline| (at.id != 3).then(|| pending(at.id, at.due_ns));
        let mut steps = 1;
        while !dump.step(0, 1, &look) {
            steps += 1;
        }
        assert_eq!(steps, 4);
        let ids: Vec<u64> = text(&pieces)
            .lines()
            .map(|l| serde_json::from_str::<serde_json::Value>(l).unwrap()["id"].as_u64().unwrap())
            .collect();
        assert_eq!(ids, [2, 4, 1]);
    }

    #[test]
    fn no_more_is_made_than_the_client_reads() {
        const FLOWS: u64 = 5000;
        let dues: Vec<_> = (1..=FLOWS).map(|id| (id, id)).collect();
        let (mut dump, pieces) = dump(&dues, Format::Text);
        let look = |at: &Outline| Some(pending(at.id, at.due_ns));
        assert!(!dump.step(0, usize::MAX, &look));
        assert!(!dump.step(0, usize::MAX, &look));
        let left = dump.left.len();
        assert!(left > 0 && dump.piece.len() < 2 * Dump::PIECE, "{left}");
        let mut all = text(&pieces);
        assert!(all.len() < (Reply::PIECES + 1) * 2 * Dump::PIECE);
        while !dump.step(0, usize::MAX, &look) {
            all += &text(&pieces);
        }
        all += &text(&pieces);
        assert!(all.starts_with("x[1]: Dumping flow data:\nACTIVE seq:1 "));
        assert_eq!(all.matches("ACTIVE").count() as u64, FLOWS);
        assert!(all.ends_with("\n\n"));
    }

    #[test]
    fn an_empty_list_is_a_line_and_a_client_that_is_gone_ends_it() {
        let (mut empty, pieces) = dump(&[], Format::Text);
        assert!(empty.step(0, 1, &|_| None));
        assert_eq!(text(&pieces), "x[1]: Dumping flow data:\n");
        let dues: Vec<_> = (1..=5000).map(|id| (id, id)).collect();
        let (mut dump, pieces) = dump(&dues, Format::Text);
        drop(pieces);
        assert!(dump.step(0, usize::MAX, &|at| Some(pending(at.id, 0))));
    }
}
