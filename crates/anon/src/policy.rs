//! What happens to each field of a record.

use record::{Field, Kind};

/// What becomes of MAC addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Macs {
    /// Others take their place.
    #[default]
    Replace,
    /// They become 0.
    Zero,
    /// They stay.
    Keep,
}

/// What stays of a record, beside what says nothing of anybody. Nothing, if nothing else is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// The source address, the one it was translated to, and its AS.
    pub keeps_source: bool,
    /// The destination address, the one it was translated to, and its AS.
    pub keeps_destination: bool,
    /// AS numbers.
    pub keeps_as: bool,
    /// MAC addresses.
    pub macs: Macs,
    /// First octets of connections, and sections of frames.
    pub keeps_payload: bool,
    /// Names and numbers of users and subscribers.
    pub keeps_users: bool,
    /// Labels.
    pub keeps_labels: bool,
    /// Names of interfaces, VRFs and applications.
    pub keeps_names: bool,
}

/// What happens to a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// It stays.
    Keep,
    /// Another address takes its place.
    Address,
    /// Another MAC address takes its place.
    Mac,
    /// It becomes 0.
    Zero,
    /// It is left out.
    Drop,
}

impl Policy {
    /// What happens to a field.
    pub const fn act(&self, field: Field) -> Act {
        use Field as F;
        let keeps = match field {
            F::SrcAddr | F::XlateSrcAddr => self.keeps_source,
            F::DstAddr | F::XlateDstAddr => self.keeps_destination,
            F::SrcAs => self.keeps_as || self.keeps_source,
            F::DstAs => self.keeps_as || self.keeps_destination,
            F::NextAs | F::PrevAs => self.keeps_as,
            F::InPayload | F::OutPayload | F::Frame => self.keeps_payload,
            F::Username | F::NatString | F::PfUid | F::PfPid => self.keeps_users,
            F::Label => self.keeps_labels,
            F::PfInterface => self.keeps_names,
            _ => !matches!(field.kind(), Kind::Addr | Kind::Mac | Kind::Text(_)),
        };
        match field.kind() {
            Kind::Mac => match self.macs {
                Macs::Keep => Act::Keep,
                Macs::Replace => Act::Mac,
                Macs::Zero => Act::Zero,
            },
            _ if keeps => Act::Keep,
            Kind::Addr => Act::Address,
            kind if kind.is_number() => Act::Zero,
            _ => Act::Drop,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_names_somebody_stays_unless_it_is_asked_for() {
        let policy = Policy::default();
        for field in Field::ALL {
            let want = match (field, field.kind()) {
                (_, Kind::Addr) => Act::Address,
                (_, Kind::Mac) => Act::Mac,
                // What an application is called is no address; its number says less.
                (Field::AppId, _) => Act::Keep,
                (_, Kind::Text(_) | Kind::Bytes) => Act::Drop,
                (Field::SrcAs | Field::DstAs | Field::NextAs | Field::PrevAs, _)
                | (Field::PfUid | Field::PfPid, _) => Act::Zero,
                _ => Act::Keep,
            };
            assert_eq!(policy.act(*field), want, "{field:?}");
        }
    }

    #[test]
    fn what_is_asked_for_stays_and_nothing_else() {
        let none = Policy::default();
        let all: [(Policy, &[Field]); 8] = [
            (
                Policy { keeps_source: true, ..none },
                &[Field::SrcAddr, Field::XlateSrcAddr, Field::SrcAs],
            ),
            (
                Policy { keeps_destination: true, ..none },
                &[Field::DstAddr, Field::XlateDstAddr, Field::DstAs],
            ),
            (
                Policy { keeps_as: true, ..none },
                &[Field::SrcAs, Field::DstAs, Field::NextAs, Field::PrevAs],
            ),
            (
                Policy { macs: Macs::Keep, ..none },
                &[Field::InSrcMac, Field::OutDstMac, Field::InDstMac, Field::OutSrcMac],
            ),
            (
                Policy { keeps_payload: true, ..none },
                &[Field::InPayload, Field::OutPayload, Field::Frame],
            ),
            (
                Policy { keeps_users: true, ..none },
                &[Field::Username, Field::NatString, Field::PfUid, Field::PfPid],
            ),
            (Policy { keeps_labels: true, ..none }, &[Field::Label]),
            (Policy { keeps_names: true, ..none }, &[Field::PfInterface]),
        ];
        for (policy, kept) in all {
            for field in Field::ALL {
                let want = if kept.contains(field) { Act::Keep } else { none.act(*field) };
                assert_eq!(policy.act(*field), want, "{policy:?} {field:?}");
            }
        }
        assert_eq!(Policy { macs: Macs::Zero, ..none }.act(Field::InSrcMac), Act::Zero);
    }
}
