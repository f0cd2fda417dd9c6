//! Every row that passes, for whoever asks other questions than the ones here.

use crate::Query;
use crate::report::Report;
use crate::scan::{Numbers, Scan};
use record::Row;
use std::ops::ControlFlow;
use std::sync::{Mutex, PoisonError};

impl Query {
    /// Calls `visit` for each row that passes, in the order of the files, on one thread.
    pub fn each(&self, visit: &mut (dyn FnMut(Row<'_>) + Send)) -> Report {
        let visit = Mutex::new(visit);
        let scan = Scan { numbers: Numbers::None, threads: 1, again: None };
        let scanned = self.scan(
            &scan,
            || (),
            |(), batch| {
                let mut visit = visit.lock().unwrap_or_else(PoisonError::into_inner);
                let rows = batch.selected.iter().filter_map(|i| batch.rows.row(i));
                rows.for_each(&mut **visit);
                ControlFlow::Continue(())
            },
        );
        scanned.report
    }
}
