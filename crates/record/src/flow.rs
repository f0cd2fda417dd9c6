//! The owned flow that decoders fill: one of them is made, cleared and filled again for every
//! record, so that decoding allocates nothing.

use crate::{Addr, Field, Kind, Row, Shape, Slot};

/// Offset of each field in a flow's octets: fixed-width fields one after the other.
const PLACE: ([u16; Field::COUNT], usize) = {
    let mut at = [0u16; Field::COUNT];
    let (mut i, mut next) = (0, 0);
    while i < Field::COUNT {
        let field = Field::ALL[i];
        at[i] = next;
        if let Some(width) = field.kind().width()
            && !field.is_part()
        {
            next += width;
        }
        i += 1;
    }
    (at, next as usize)
};

/// Octets that all variable-length fields of one flow may take together.
const VARIABLE_MAX: usize = 60_000;

/// An owned flow. Fields are absent until set; [`clear`](Self::clear) makes all absent again.
#[derive(Clone, Debug)]
pub struct Flow {
    shape: Shape,
    bytes: Vec<u8>,
}

impl Default for Flow {
    fn default() -> Self {
        Self::new()
    }
}

impl Flow {
    /// A flow without any field.
    pub fn new() -> Self {
        Self { shape: Shape::default(), bytes: vec![0; PLACE.1] }
    }

    /// Makes every field absent. Keeps the memory.
    #[inline]
    pub fn clear(&mut self) {
        self.shape = Shape::default();
        self.bytes.truncate(PLACE.1);
    }

    /// The flow as a row: what the reading side of the suite takes.
    #[inline]
    pub fn as_row(&self) -> Row<'_> {
        Row::new(&self.bytes, &self.shape)
    }

    /// Copies every field of a row, replacing what was here. Returns how many values did not fit as
    /// a whole: one that is too wide for its field is left out, too long a text is cut.
    pub fn assign(&mut self, row: Row<'_>) -> u32 {
        self.clear();
        let mut misfits = 0;
        for field in row.shape().fields().filter(|f| !f.is_part()) {
            let Some(value) = row.bytes(field) else { continue };
            let fits = match field.kind().width() {
                None => value.is_empty() || self.set_bytes(field, value) && !is_cut(field, value),
                // A row may have more room for a number than a flow has.
                Some(width) if value.len() > usize::from(width) => {
                    self.set(field, row.number(field))
                }
                Some(_) => {
                    self.set_raw(field, value);
                    true
                }
            };
            misfits += u32::from(!fits);
        }
        misfits
    }

    /// Whether `field` is set.
    #[inline]
    pub const fn has(&self, field: Field) -> bool {
        self.shape.has(field)
    }

    /// Makes `field` absent.
    pub const fn unset(&mut self, field: Field) {
        self.shape.set(field, 0, 0);
    }

    /// Sets a number. Returns whether it fitted: a value wider than the field sets nothing.
    ///
    /// Fields that are no numbers are left alone (and `false` returned): callers name fields from
    /// tables, and the tables' tests catch a wrong one.
    #[inline]
    pub fn set(&mut self, field: Field, value: u64) -> bool {
        let kind = field.kind();
        let (Some(width), true) = (kind.width(), kind.is_number() && !field.is_part()) else {
            return false;
        };
        if width < 8 && value >> (8 * width) != 0 {
            return false;
        }
        self.set_raw(field, &value.to_le_bytes()[..usize::from(width)]);
        true
    }

    /// Sets an address.
    #[inline]
    pub fn set_addr(&mut self, field: Field, addr: Addr) {
        if field.kind() == Kind::Addr {
            self.set_raw(field, &addr.to_row()[..addr.width()]);
        }
    }

    /// Sets text, octets or ACL ids. Returns whether there was room: longer text is cut at its
    /// field's limit, and a flow holds at most 60 000 octets of variable length.
    pub fn set_bytes(&mut self, field: Field, value: &[u8]) -> bool {
        let value = match field.kind() {
            Kind::Text(max) if max > 0 => &value[..value.len().min(usize::from(max))],
            Kind::Text(_) | Kind::Bytes => value,
            Kind::Acl if value.len() == 12 => {
                self.set_raw(field, value);
                return true;
            }
            _ => return false,
        };
        let at = self.bytes.len();
        if value.is_empty() || at + value.len() > PLACE.1 + VARIABLE_MAX {
            return false;
        }
        self.bytes.extend_from_slice(value);
        self.shape.set(field, at as u16, value.len() as u16);
        true
    }

    /// A number that was set, 0 otherwise.
    #[inline]
    pub fn number(&self, field: Field) -> u64 {
        self.as_row().number(field)
    }

    fn set_raw(&mut self, field: Field, value: &[u8]) {
        let at = PLACE.0[field as usize];
        let here = usize::from(at);
        let Some(room) = self.bytes.get_mut(here..here + value.len()) else { return };
        room.copy_from_slice(value);
        self.shape.set(field, at, value.len() as u16);
        if field == Field::DstPort {
            // ICMP type and code are the two octets of the port: 256 * type + code.
            self.shape.set(Field::IcmpCode, at, 1);
            self.shape.set(Field::IcmpType, at + 1, 1);
        }
    }

    /// Where `field` lies, for encoders that copy octets.
    #[inline]
    pub const fn slot(&self, field: Field) -> Slot {
        self.shape.slot(field)
    }
}

/// Whether text is longer than its field may be; zeros behind it are padding.
fn is_cut(field: Field, value: &[u8]) -> bool {
    let max = match field.kind() {
        Kind::Text(max) if max > 0 => usize::from(max),
        _ => return false,
    };
    value.get(max).is_some() && value.iter().take_while(|b| **b != 0).count() > max
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fixed_field_keeps_its_value_beside_all_others() {
        let mut flow = Flow::new();
        let mut value = 1u64;
        let numbers =
            || Field::ALL.iter().copied().filter(|f| f.kind().is_number() && !f.is_part());
        for f in numbers() {
            value = value.wrapping_mul(31) % 251;
            assert!(flow.set(f, value), "{f:?}");
        }
        for f in Field::ALL.iter().filter(|f| f.kind() == Kind::Addr) {
            flow.set_addr(*f, Addr::V6(u128::MAX - *f as u128));
        }
        value = 1;
        for f in numbers() {
            value = value.wrapping_mul(31) % 251;
            assert_eq!(flow.as_row().u64(f), Some(value), "{f:?}");
        }
        for f in Field::ALL.iter().filter(|f| f.kind() == Kind::Addr) {
            assert_eq!(flow.as_row().addr(*f), Some(Addr::V6(u128::MAX - *f as u128)));
        }
        flow.clear();
        assert_eq!(flow.as_row().shape().fields().count(), 0);
    }

    #[test]
    fn too_wide_a_number_is_refused() {
        let mut flow = Flow::new();
        assert!(flow.set(Field::SrcPort, 65_535));
        assert!(!flow.set(Field::SrcPort, 65_536));
        assert_eq!(flow.number(Field::SrcPort), 65_535);
        assert!(!flow.set(Field::SrcAddr, 1));
    }

    #[test]
    fn icmp_type_and_code_are_the_port() {
        let mut flow = Flow::new();
        flow.set(Field::DstPort, 3 * 256 + 1);
        assert_eq!(flow.number(Field::IcmpType), 3);
        assert_eq!(flow.number(Field::IcmpCode), 1);
        assert!(!flow.set(Field::IcmpType, 8));
    }

    #[test]
    fn flows_hold_countries() {
        let mut flow = Flow::new();
        assert!(flow.set(Field::SrcCountry, 0x4348));
        let mut copy = Flow::new();
        copy.assign(flow.as_row());
        assert_eq!(copy.as_row().u64(Field::SrcCountry), Some(0x4348));
        assert!(!copy.has(Field::DstCountry));
    }

    #[test]
    fn variable_fields_have_limits() {
        let mut flow = Flow::new();
        assert!(flow.set_bytes(Field::Username, &[b'x'; 100]));
        assert_eq!(flow.as_row().text(Field::Username).unwrap().len(), 65);
        assert!(flow.set_bytes(Field::InPayload, &[1; 50_000]));
        assert!(!flow.set_bytes(Field::OutPayload, &[1; 50_000]));
        assert!(!flow.set_bytes(Field::IngressAcl, &[1; 11]));
        assert!(flow.set_bytes(Field::IngressAcl, &[1; 12]));
    }

    #[test]
    fn copying_a_row_tells_of_text_that_is_cut() {
        let mut copy = Flow::new();
        for (text, zeros, want) in [(65, 0, 0), (65, 7, 0), (66, 0, 1), (0, 72, 0)] {
            let octets = [vec![b'x'; text], vec![0; zeros]].concat();
            let mut shape = Shape::default();
            shape.set(Field::Username, 0, octets.len() as u16);
            assert_eq!(copy.assign(Row::new(&octets, &shape)), want, "{text} and {zeros}");
        }
        let octets = [1; 60_001];
        let mut shape = Shape::default();
        shape.set(Field::InPayload, 0, 60_001);
        assert_eq!(copy.assign(Row::new(&octets, &shape)), 1);
    }

    #[test]
    fn numbers_with_more_room_in_a_row_are_copied_if_they_fit() {
        let mut shape = Shape::default();
        shape.set(Field::ExporterId, 0, 4);
        let mut copy = Flow::new();
        for (octets, want) in [([7, 1, 0, 0], Some(263)), ([7, 1, 1, 0], None)] {
            copy.set(Field::RecordFlags, 2);
            assert_eq!(copy.assign(Row::new(&octets, &shape)), u32::from(want.is_none()));
            assert_eq!(copy.as_row().u64(Field::ExporterId), want);
            assert!(!copy.has(Field::RecordFlags));
            // What lies behind it in the flow stays as it was.
            copy.shape.set(Field::RecordFlags, PLACE.0[Field::RecordFlags as usize], 1);
            assert_eq!(copy.number(Field::RecordFlags), 2);
        }
    }

    #[test]
    fn a_copy_of_a_row_has_the_same_fields() {
        let mut flow = Flow::new();
        flow.set(Field::Bytes, 77);
        flow.set_addr(Field::SrcAddr, Addr::V4(5));
        flow.set_bytes(Field::NatString, b"subscriber");
        flow.set(Field::DstPort, 80);
        let mut copy = Flow::new();
        copy.set(Field::Packets, 1);
        copy.assign(flow.as_row());
        assert!(copy.as_row().shape().fields().eq(flow.as_row().shape().fields()));
        for f in copy.as_row().shape().fields() {
            assert_eq!(copy.as_row().bytes(f), flow.as_row().bytes(f), "{f:?}");
        }
    }
}
