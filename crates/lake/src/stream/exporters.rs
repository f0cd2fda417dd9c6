//! Who sent the flows of a file, by the number that its rows use.

use record::{Addr, Field, Row};
use std::collections::HashMap;
use store::MetaRecord;

/// Addresses of the exporters of one file.
#[derive(Clone, Debug, Default)]
pub struct Exporters {
    by_number: HashMap<u32, Addr>,
}

impl Exporters {
    /// Adds what a block says.
    pub fn learn(&mut self, meta: &[MetaRecord]) {
        for record in meta {
            if let MetaRecord::Exporter(exporter) = record {
                self.by_number.insert(exporter.sysid, exporter.addr);
            }
        }
    }

    /// The address a flow came from: what the record says, or else its exporter.
    pub fn of(&self, row: Row<'_>) -> Option<Addr> {
        row.addr(Field::Router)
            .or_else(|| self.by_number.get(&(row.number(Field::ExporterId) as u32)).copied())
    }
}
