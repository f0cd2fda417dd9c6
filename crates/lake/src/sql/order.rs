//! Orders of rows.

use super::Engine;
use super::predicate::rate_of;
use output::{Order, Side};
use query::Sorting;

/// What orders are made of.
pub(super) struct Terms {
    /// As in the statement's `COUNTERS`.
    pub(super) counters: [String; 5],
    pub(super) first: String,
    pub(super) last: String,
    pub(super) span: String,
}

/// An order with its direction.
pub(super) fn ranked(engine: Engine, sorting: Sorting, terms: &Terms) -> String {
    let direction = if sorting.descending { " DESC" } else { "" };
    format!("{}{direction}", measure(engine, sorting.order, terms))
}

/// What is compared.
fn measure(engine: Engine, order: Order, terms: &Terms) -> String {
    let [flows, packets, bytes, out_packets, out_bytes] = &terms.counters;
    let of = |a: &str, b: &str| match order.side() {
        Side::In => a.to_owned(),
        Side::Out => b.to_owned(),
        Side::Both => format!("({a} + {b})"),
    };
    let (packets, bytes) = (of(packets, out_packets), of(bytes, out_bytes));
    // `ipackets` and `opackets` are packets of one side.
    let name = order.flow_name();
    match name.strip_prefix(['i', 'o']).unwrap_or(name) {
        "packets" => packets,
        "bytes" => bytes,
        "pps" => rate_of(engine, &engine.product(1000, &packets), &terms.span),
        "bps" => rate_of(engine, &engine.product(8000, &bytes), &terms.span),
        "bpp" => rate_of(engine, &bytes, &packets),
        "tstart" => terms.first.clone(),
        "tend" => terms.last.clone(),
        "duration" => terms.span.clone(),
        _ => flows.clone(),
    }
}
