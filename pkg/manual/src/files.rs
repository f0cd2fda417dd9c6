//! Pages that are documents, too: `flowsuite-files(5)`, the set of flow files in a directory and what
//! lies beside them, and `flowsuite-filter(5)`, the language of filters.

use crate::markdown;
use crate::roff::Page;

/// The page.
pub fn page() -> String {
    let about = "flow files, their names, and what lies beside them";
    let mut page = Page::new("flowsuite-files", 5, &["flowsuite-files"], about);
    markdown::write(&mut page, include_str!("../pages/flowsuite-files.md"));
    // The document begins with a heading and a paragraph: what lies beside flow files.
    page.section("Side files");
    markdown::write(&mut page, include_str!("../../../docs/side-files.md"));
    page.section("See also");
    page.raw("\\fBflowcapd\\fR(8), \\fBflowdump\\fR(1), \\fBflowexpire\\fR(8)");
    page.finish()
}

/// The page of filters.
pub fn filter() -> String {
    let about = "the language of filters: which flows are listed, counted, written or sent";
    let mut page = Page::new("flowsuite-filter", 5, &["flowsuite-filter"], about);
    // The document begins with a heading and a paragraph.
    page.section("Description");
    markdown::write(&mut page, include_str!("../../../docs/filters.md"));
    page.section("See also");
    page.raw("\\fBflowdump\\fR(1), \\fBflowtop\\fR(1), \\fBflowreplay\\fR(1), \\fBflowcapd\\fR(8)");
    page.finish()
}
