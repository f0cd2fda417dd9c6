//! Both directions of a conversation in one flow, and which end of it was the client.

use record::code::Proto;
use record::{Field, Flow, Row};

/// What joining flows makes of the two directions of a conversation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// Two flows.
    #[default]
    Kept,
    /// One flow, which runs as its first record does. What ran against it counts as out packets
    /// and octets. TCP and UDP only: of other protocols nothing says what belongs together.
    Merged,
    /// As [`Merged`](Self::Merged), and the flow is turned round where its source looks like the
    /// server.
    Guessed,
}

/// Fields of the two ends.
const PAIRS: [(Field, Field); 13] = [
    (Field::SrcAddr, Field::DstAddr),
    (Field::SrcPort, Field::DstPort),
    (Field::SrcAs, Field::DstAs),
    (Field::PrevAs, Field::NextAs),
    (Field::Input, Field::Output),
    (Field::SrcMask, Field::DstMask),
    (Field::SrcVlan, Field::DstVlan),
    // The frame that came in from the one end goes out to the other one.
    (Field::InSrcMac, Field::OutDstMac),
    (Field::InDstMac, Field::OutSrcMac),
    (Field::XlateSrcAddr, Field::XlateDstAddr),
    (Field::XlateSrcPort, Field::XlateDstPort),
    (Field::IngressVrf, Field::EgressVrf),
    (Field::PhysIngress, Field::PhysEgress),
];

/// The same field of the other end: of an address, a port, an interface. Others have none.
pub fn opposite(field: Field) -> Field {
    let of = |(a, b): &(Field, Field)| match field {
        f if f == *a => Some(*b),
        f if f == *b => Some(*a),
        _ => None,
    };
    PAIRS.iter().find_map(of).unwrap_or(field)
}

/// Whether a flow has a reverse direction that is worth looking for.
#[inline]
pub(crate) const fn has_reverse(proto: Proto) -> bool {
    matches!(proto, Proto::TCP | Proto::UDP)
}

/// Whether the source of a flow looks like the server: its port is of a lower class than that of
/// the destination. The classes are those of system, registered and dynamic ports (RFC 6335,
/// section 6), and of Linux, which takes ports of clients from 32768 on.
pub(crate) fn comes_from_server(row: Row<'_>) -> bool {
    if !has_reverse(Proto(row.number(Field::Proto) as u8)) {
        return false;
    }
    let (source, destination) = (row.number(Field::SrcPort), row.number(Field::DstPort));
    [1024, 32_768, 49_152].iter().any(|limit| source < *limit && destination >= *limit)
}

/// Turns a flow round: the ends change places, and so do in and out counters.
pub(crate) fn turn(flow: &mut Flow) {
    for (a, b) in PAIRS {
        swap(flow, a, b);
    }
    let sums = [Field::Packets, Field::OutPackets, Field::Bytes, Field::OutBytes];
    let [packets, out_packets, bytes, out_bytes] = sums.map(|f| flow.number(f));
    flow.set(Field::Packets, out_packets);
    flow.set(Field::Bytes, out_bytes);
    flow.set(Field::OutPackets, packets);
    flow.set(Field::OutBytes, bytes);
    // The extension of out counters holds the number of flows, too.
    let flows = flow.as_row().flows();
    flow.set(Field::Flows, flows);
}

/// Exchanges two fields, if both are there.
fn swap(flow: &mut Flow, a: Field, b: Field) {
    let row = flow.as_row();
    match (row.addr(a), row.addr(b)) {
        (Some(first), Some(second)) if is_addr(a) => {
            flow.set_addr(a, second);
            flow.set_addr(b, first);
        }
        _ if is_addr(a) => {}
        _ => {
            if let (Some(first), Some(second)) = (row.u64(a), row.u64(b)) {
                flow.set(a, second);
                flow.set(b, first);
            }
        }
    }
}

fn is_addr(field: Field) -> bool {
    field.kind() == record::Kind::Addr
}
