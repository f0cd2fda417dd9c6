//! Temporary.
#![allow(missing_docs, unused)]
pub(crate) trait Pending {
    fn expire_parked(&mut self, now_ms: u64) {}
    fn end_session(&mut self, s: u64) {}
    fn changes(&self) -> u64 {
        0
    }
    fn snapshot(&self) -> Snapshot {
        Snapshot {}
    }
    fn restore(&mut self, s: Snapshot, now_ms: u64, c: Continuity) -> usize {
        0
    }
}
impl Pending for wire::Decoder {}
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct Snapshot {}
#[derive(Debug)]
pub(crate) enum Continuity {
    Clean,
    Crashed,
}
