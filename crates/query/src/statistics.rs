//! Statistics: several `-s` answered by one pass over the files.

use crate::aggregate::{Aggregator, Groups};
use crate::element::Element;
use crate::flows::JoinedFlows;
use crate::key::KeySpec;
use crate::request::{By, Request, Sorting};
use crate::scan::{Query, Report, Scan};
use crate::table::Hasher;
use output::{FormatOptions, Kind, StatKey, StatRow, StatTable, StatTotals};
use record::{Addr, Field, Kind as FieldKind, Mac};
use std::ops::ControlFlow;
use std::sync::Arc;

/// The answer to one request.
#[derive(Debug)]
pub enum Answer<'q> {
    /// Values of an element.
    Element(ElementTable),
    /// Flows, joined by a key.
    Flows(JoinedFlows<'q>),
}

/// Values of an element with their sums, ready to be sorted and printed for each order.
#[derive(Debug)]
pub struct ElementTable {
    element: &'static Element,
    by_proto: bool,
    key: KeySpec,
    groups: Groups,
    threads: usize,
}

impl Query {
    /// Answers all requests in one pass.
    pub fn statistics(&self, requests: &[Request]) -> (Vec<Answer<'_>>, Report) {
        let keys: Vec<Vec<KeySpec>> = requests
            .iter()
            .map(|r| match &r.by {
                By::Element { element, by_proto } => element.keys(*by_proto),
                By::Flows(grouping) => vec![grouping.key.clone()],
            })
            .collect();
        let hasher = Hasher::new();
        let scanned = self.scan(
            &Scan { numbered: false, threads: self.threads },
            || keys.iter().map(|k| Aggregator::new(k, hasher)).collect::<Vec<_>>(),
            |aggregators, batch| {
                for aggregator in aggregators {
                    let sums = aggregator.update(&batch.rows, batch.selected, batch.block);
                    batch.sums = Some(sums);
                }
                ControlFlow::Continue(())
            },
        );
        let places = Arc::new(scanned.places);
        let mut by_request: Vec<Vec<Aggregator<'_>>> = keys.iter().map(|_| Vec::new()).collect();
        for worker in scanned.states {
            for (request, aggregator) in by_request.iter_mut().zip(worker) {
                request.push(aggregator);
            }
        }
        let mut answers = Vec::new();
        for ((request, aggregators), keys) in requests.iter().zip(by_request).zip(&keys) {
            let groups = Groups::merge(aggregators, self.threads);
            let Some(key) = keys.first().cloned() else { continue };
            answers.push(match &request.by {
                By::Element { element, by_proto } => Answer::Element(ElementTable {
                    element,
                    by_proto: *by_proto,
                    key,
                    groups,
                    threads: self.threads,
                }),
                By::Flows(grouping) => {
                    let places = Arc::clone(&places);
                    Answer::Flows(JoinedFlows::new(self, grouping.clone(), groups, places))
                }
            });
        }
        (answers, scanned.report)
    }
}

impl ElementTable {
    /// How many different values there are.
    pub fn len(&self) -> usize {
        self.groups.len()
    }

    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends the table of the first `n` values (0: all) by `sorting`. `more` says whether JSON
    /// objects stand before it in the same document. Returns whether it has any rows.
    pub fn print(
        &self,
        sorting: Sorting,
        n: usize,
        kind: Kind,
        options: &FormatOptions,
        totals: StatTotals,
        more: bool,
        out: &mut Vec<u8>,
    ) -> bool {
        let top = self.groups.top(sorting, n, self.threads);
        let octets: Vec<[u8; 16]> =
            top.iter().map(|t| self.key.octets(t.class, t.group.key, 0)).collect();
        let is_acl = self.field().is_some_and(|f| f.kind() == FieldKind::Acl);
        let acl = |o: &[u8; 16]| if is_acl { acl_text(o) } else { String::new() };
        let acls: Vec<String> = octets.iter().map(acl).collect();
        let rows: Vec<StatRow<'_>> = top
            .iter()
            .enumerate()
            .map(|(i, t)| StatRow {
                key: self.key_of(t.class & 1 == 1, &octets[i], &acls[i]),
                proto: self.proto_of(t.class, t.group.key),
                counts: t.group.counts,
            })
            .collect();
        let table = StatTable {
            title: self.element.title,
            element: self.element.name,
            order: sorting.order,
            limit: n as u64,
            is_address: self.field().is_some_and(|f| f.kind() == FieldKind::Addr),
            rows: &rows,
            totals,
        };
        table.print(kind, options, more, out);
        !rows.is_empty()
    }

    fn field(&self) -> Option<Field> {
        self.element.fields.first().copied()
    }

    /// The protocol of a line: where the statistic tells them apart, and for `proto` itself.
    fn proto_of(&self, class: u32, key: &[u64]) -> Option<u8> {
        let part = match self.field() {
            Some(Field::Proto) => 0,
            _ if !self.by_proto => return None,
            Some(_) => 1,
            None => 0,
        };
        self.key.octets(class, key, part).first().copied()
    }

    fn key_of<'a>(&self, is_v6: bool, octets: &'a [u8; 16], acl: &'a str) -> StatKey<'a> {
        let number = crate::counters::u64_at(octets, 0);
        let Some(field) = self.field() else { return StatKey::Text(b"any") };
        match (field, field.kind()) {
            (_, FieldKind::Addr) => {
                let width = if is_v6 { 16 } else { 4 };
                StatKey::Addr(Addr::from_row(&octets[..width]).unwrap_or(Addr::V4(0)))
            }
            (_, FieldKind::Mac) => StatKey::Mac(Mac(number)),
            (_, FieldKind::Micros) => StatKey::Latency(number),
            (_, FieldKind::Acl) => StatKey::Text(acl.as_bytes()),
            (Field::Proto, _) => StatKey::Proto(number as u8),
            (Field::TcpFlags, _) => StatKey::TcpFlags(number as u8),
            (Field::FwEvent, _) => StatKey::FwEvent(number as u8),
            (Field::NatEvent, _) => StatKey::NatEvent(number as u8),
            (Field::ObservationDomain | Field::ObservationPoint, _) => StatKey::Hex(number),
            (f, _) if (Field::Mpls1..=Field::Mpls10).contains(&f) => StatKey::Mpls(number as u32),
            _ => StatKey::Number(number),
        }
    }
}

/// Three ids in network byte order, as JSON shows them.
fn acl_text(octets: &[u8; 16]) -> String {
    let mut ids = octets.chunks_exact(4).map(|c| {
        u32::from_be_bytes(<[u8; 4]>::try_from(c).unwrap_or_default())
    });
    let mut id = || ids.next().unwrap_or(0);
    format!("0x{:x}/0x{:x}/0x{:x}", id(), id(), id())
}
