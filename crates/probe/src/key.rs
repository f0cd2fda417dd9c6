//! What makes packets belong to one conversation.

/// How much of a packet tells conversations apart: softflowd's `-T`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Addresses.
    Ip,
    /// Addresses and protocol.
    Proto,
    /// Addresses, protocol and ports.
    Port,
    /// As `Port`. ToS never tells conversations apart, it is kept for each direction.
    #[default]
    Full,
    /// As `Full`, and the VLANs.
    Vlan,
    /// As `Vlan`, and the MAC addresses.
    Ether,
}

impl Level {
    /// All levels.
    pub const ALL: [Self; 6] =
        [Self::Ip, Self::Proto, Self::Port, Self::Full, Self::Vlan, Self::Ether];

    /// softflowd's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ip => "ip",
            Self::Proto => "proto",
            Self::Port => "port",
            Self::Full => "full",
            Self::Vlan => "vlan",
            Self::Ether => "ether",
        }
    }

    /// The level of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.name() == name)
    }
}
