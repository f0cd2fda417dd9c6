//! Ports, TCP flags, ICMP type and code.

use super::reader::{Reader, be16};
use super::{Cause, Layer, Packet, Stop, Transport};

/// Protocols with a header that is read here (IANA, protocol numbers).
pub(super) mod proto {
    pub(in super::super) const ICMP: u8 = 1;
    pub(in super::super) const TCP: u8 = 6;
    pub(in super::super) const UDP: u8 = 17;
    pub(in super::super) const DCCP: u8 = 33;
    pub(in super::super) const ICMP6: u8 = 58;
    pub(in super::super) const SCTP: u8 = 132;
    pub(in super::super) const UDP_LITE: u8 = 136;
}

/// The header of `proto`, and what follows it. Nothing is read of a protocol that is not known.
#[inline]
pub(super) fn read<'a>(
    packet: &mut Packet<'a>,
    reader: &mut Reader<'a>,
    proto: u8,
) -> Result<(), Stop> {
    match proto {
        proto::TCP => tcp(packet, reader)?,
        // RFC 768; RFC 3828, 3.1.
        proto::UDP | proto::UDP_LITE => {
            ports(packet, reader)?;
            reader.skip(8, Layer::Transport)?;
        }
        // RFC 9260, 3.1.
        proto::SCTP => {
            ports(packet, reader)?;
            reader.skip(12, Layer::Transport)?;
        }
        proto::DCCP => {
            ports(packet, reader)?;
            dccp(reader)?;
        }
        // RFC 792; RFC 4443, 2.1: checksum and four octets by type follow.
        proto::ICMP | proto::ICMP6 => {
            let [kind, code] = *reader.peek(Layer::Transport)?;
            let id = echo_id(proto, kind, reader.rest());
            packet.transport = Transport::Icmp { kind, code, id };
            reader.skip(8, Layer::Transport)?;
        }
        _ => {}
    }
    packet.payload = reader.rest();
    Ok(())
}

/// What an echo request and its replies have in common.
#[inline]
fn echo_id(proto: u8, kind: u8, message: &[u8]) -> Option<u16> {
    let is_echo = match proto {
        proto::ICMP => matches!(kind, 0 | 8),
        _ => matches!(kind, 128 | 129),
    };
    let [_, _, _, _, high, low] = *message.first_chunk()?;
    is_echo.then_some(be16(high, low))
}

/// TCP (RFC 9293, 3.1).
#[inline]
fn tcp(packet: &mut Packet<'_>, reader: &mut Reader<'_>) -> Result<(), Stop> {
    let Ok(h) = reader.peek::<20>(Layer::Transport) else { return cut_tcp(packet, reader) };
    packet.transport =
        Transport::Tcp { src: be16(h[0], h[1]), dst: be16(h[2], h[3]), flags: Some(h[13]) };
    let len = usize::from(h[12] >> 4) * 4;
    if len < 20 {
        return Err(reader.stop(Cause::Malformed, Layer::Transport));
    }
    reader.skip(len, Layer::Transport)
}

/// Ports, and flags if they are there.
#[cold]
fn cut_tcp(packet: &mut Packet<'_>, reader: &mut Reader<'_>) -> Result<(), Stop> {
    let [s0, s1, d0, d1] = *reader.peek(Layer::Transport)?;
    let flags = reader.rest().get(13).copied();
    packet.transport = Transport::Tcp { src: be16(s0, s1), dst: be16(d0, d1), flags };
    reader.skip(20, Layer::Transport)
}

#[inline]
fn ports(packet: &mut Packet<'_>, reader: &Reader<'_>) -> Result<(), Stop> {
    let [s0, s1, d0, d1] = *reader.peek(Layer::Transport)?;
    packet.transport = Transport::Ports { src: be16(s0, s1), dst: be16(d0, d1) };
    Ok(())
}

/// DCCP: the fifth octet counts the header in units of four octets (RFC 4340, 5.1).
fn dccp(reader: &mut Reader<'_>) -> Result<(), Stop> {
    const SHORTEST: usize = 12;
    let [_, _, _, _, offset] = *reader.peek(Layer::Transport)?;
    let len = usize::from(offset) * 4;
    if len < SHORTEST {
        return Err(reader.stop(Cause::Malformed, Layer::Transport));
    }
    reader.skip(len, Layer::Transport)
}
