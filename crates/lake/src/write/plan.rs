//! What is to be taken out of rows of one shape, worked out once a shape.

use record::{Field, Kind, Shape, Slot};

/// How the octets of a field become a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Take {
    /// A little-endian number of so many octets: 1, 2, 4 or 8.
    Number(u8),
    /// Milliseconds in 8 octets to nanoseconds.
    Time,
    /// 4 octets.
    V4,
    /// 16 octets.
    V6,
    /// The low six of 8 octets.
    Mac,
    /// 12 octets as they are.
    Acl,
    /// Octets up to the first NUL.
    Text,
    /// All octets.
    Bytes,
}

/// One field.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    pub(super) field: Field,
    pub(super) take: Take,
    pub(super) slot: Slot,
}

/// What is taken out of rows of a shape.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) steps: Vec<Step>,
    /// Bit `field as usize`: which fields there are.
    pub(super) has: u128,
    /// Which of them are IPv4 addresses.
    pub(super) is_v4: u128,
    /// Where the start of the flow is.
    pub(super) first: Slot,
    /// Where the number of the exporter is.
    pub(super) exporter: Slot,
}

impl Plan {
    pub(super) fn new(shape: &Shape) -> Self {
        let mut plan = Self {
            steps: Vec::new(),
            has: 0,
            is_v4: 0,
            first: number_slot(shape.slot(Field::First)),
            exporter: number_slot(shape.slot(Field::ExporterId)),
        };
        for field in shape.fields().filter(|f| !f.is_derived()) {
            let slot = shape.slot(field);
            let Some(take) = take(field.kind(), slot.len) else { continue };
            plan.steps.push(Step { field, take, slot });
            plan.has |= 1 << field as usize;
            plan.is_v4 |= u128::from(take == Take::V4) << field as usize;
        }
        plan
    }
}

/// The slot, if it has the length of a number.
const fn number_slot(slot: Slot) -> Slot {
    match slot.len {
        1 | 2 | 4 | 8 => slot,
        _ => Slot { at: 0, len: 0 },
    }
}

/// `None` for lengths that the kind does not have, which reads as absent in a row, too.
const fn take(kind: Kind, len: u16) -> Option<Take> {
    Some(match (kind, len) {
        (Kind::Time, 8) => Take::Time,
        (Kind::Mac, 8) => Take::Mac,
        (Kind::U8 | Kind::U16 | Kind::U32 | Kind::U64 | Kind::Micros, 1 | 2 | 4 | 8) => {
            Take::Number(len as u8)
        }
        (Kind::Addr, 4) => Take::V4,
        (Kind::Addr, 16) => Take::V6,
        (Kind::Acl, 12) => Take::Acl,
        (Kind::Text(_), _) => Take::Text,
        (Kind::Bytes, _) => Take::Bytes,
        _ => return None,
    })
}
