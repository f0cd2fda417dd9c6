//! One text out of many pieces.

use output::{Format, Kind};
use std::io::{self, Write};
use std::ops::ControlFlow;

/// Writes pieces of text in order, with what stands between records also between pieces. JSON is
/// one array, whatever the number of tables in it.
pub(crate) struct Document<'o> {
    out: &'o mut (dyn Write + Send),
    kind: Kind,
    is_first: bool,
    result: io::Result<()>,
}

impl std::fmt::Debug for Document<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Document").field("kind", &self.kind).finish_non_exhaustive()
    }
}

impl<'o> Document<'o> {
    /// Opens the document.
    pub(crate) fn open(kind: Kind, out: &'o mut (dyn Write + Send)) -> Self {
        let mut text = Vec::new();
        kind.open(&mut text);
        let result = out.write_all(&text);
        Self { out, kind, is_first: true, result }
    }

    /// What stands above records in text and CSV.
    pub(crate) fn header(&mut self, format: &Format) {
        if self.kind != Kind::Json {
            let mut text = Vec::new();
            format.printer().header(&mut text);
            self.plain(&text);
        }
    }

    /// Text that is no record: nothing stands between it and its neighbours.
    pub(crate) fn plain(&mut self, text: &[u8]) {
        if self.result.is_ok() {
            self.result = self.out.write_all(text);
        }
    }

    /// Records, with what stands between them. Breaks when nothing more can be written.
    pub(crate) fn records(&mut self, text: &[u8]) -> ControlFlow<()> {
        if text.is_empty() {
            return self.flow();
        }
        let mut between = Vec::new();
        if !self.is_first {
            self.kind.separator(&mut between);
        }
        self.is_first = false;
        self.plain(&between);
        self.plain(text);
        self.flow()
    }

    /// Records with what stands between two before each, also before the first of a document, where
    /// it is left out. One call is one write, unless there is little to write.
    pub(crate) fn led_records(&mut self, text: &[u8]) -> ControlFlow<()> {
        let mut skipped = Vec::new();
        if self.is_first {
            self.kind.separator(&mut skipped);
        }
        if let Some(records) = text.get(skipped.len()..).filter(|records| !records.is_empty()) {
            self.is_first = false;
            self.plain(records);
        }
        self.flow()
    }

    const fn flow(&self) -> ControlFlow<()> {
        if self.result.is_err() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// Whether all could be written so far.
    pub(crate) const fn is_sound(&self) -> bool {
        self.result.is_ok()
    }

    /// Ends the document.
    ///
    /// # Errors
    ///
    /// The first that writing met.
    pub(crate) fn close(self) -> io::Result<()> {
        self.result?;
        let mut text = Vec::new();
        self.kind.close(&mut text);
        self.out.write_all(&text)?;
        self.out.flush()
    }
}
