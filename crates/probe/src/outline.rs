//! Conversations by number, for those who list them.
use crate::control::Outline;
use crate::{Cache, Pending};

impl Cache {
    /// All conversations, in any order: where they are and when they end.
    pub fn outline(&self) -> impl Iterator<Item = Outline> + '_ {
        self.flows().map(|p| Outline { due_ns: p.due_ns, id: p.flow.id, slot: 0 })
    }

    /// A conversation of the outline, unless it has ended since.
    pub fn conversation(&self, at: &Outline) -> Option<Pending> {
        self.flows().find(|p| p.flow.id == at.id)
    }
}
