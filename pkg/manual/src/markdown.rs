//! The little markdown that pages of section 5 are written in, as roff: headings, paragraphs, lists,
//! tables, blocks of lines, `code`. A table becomes a list: the first cell of a row, and the others
//! with what stands above them.

use crate::roff::{Page, bold};

/// Writes text to a page. `# Title` is the page's own and left out, `##` a section, `###` a part.
pub fn write(page: &mut Page, text: &str) {
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if let Some(title) = line.strip_prefix("### ") {
            page.part(title);
        } else if let Some(title) = line.strip_prefix("## ") {
            page.section(title);
        } else if line.starts_with("# ") || line.trim().is_empty() {
            continue;
        } else if line.starts_with("```") {
            let block: Vec<_> = lines.by_ref().take_while(|l| !l.starts_with("```")).collect();
            page.literal(block);
        } else if line.starts_with("    ") {
            let mut block = vec![line];
            while let Some(next) = lines.next_if(|l| l.starts_with("    ")) {
                block.push(next);
            }
            page.literal(block.iter().map(|l| l.trim_start()));
        } else if line.starts_with('|') {
            let head = cells(line);
            let mut rows = Vec::new();
            while let Some(next) = lines.next_if(|l| l.starts_with('|')) {
                rows.push(cells(next));
            }
            table(page, &head, &rows);
        } else {
            let item = line.strip_prefix("* ");
            let mut all = vec![item.unwrap_or(line)];
            let goes_on = |l: &&str| {
                !l.trim().is_empty() && !l.starts_with(['|', '#']) && !l.starts_with("* ")
            };
            while let Some(next) = lines.next_if(goes_on) {
                all.push(next.trim());
            }
            let all: Vec<_> = all.into_iter().map(plain).collect();
            let all = all.join("\n");
            match item {
                Some(_) => page.entry("\\(bu", &all),
                None => page.text(&all),
            }
        }
    }
}

fn cells(line: &str) -> Vec<String> {
    // A bar in a cell has a backslash before it.
    const BAR: &str = "\u{0}";
    let line = line.trim().trim_matches('|').replace("\\|", BAR);
    line.split('|').map(|cell| plain(cell.trim()).replace(BAR, "|")).collect()
}

/// Text without emphasis, and with what links are called by for links; code stays as it is.
fn plain(text: &str) -> String {
    let pieces: Vec<_> = text.split('`').enumerate().collect();
    let said = |(n, piece): &(usize, &str)| match n % 2 {
        0 => without_links(piece).replace('*', ""),
        _ => (*piece).to_owned(),
    };
    pieces.iter().map(said).collect::<Vec<_>>().join("`")
}

fn without_links(text: &str) -> String {
    let (mut out, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once("](") {
        let Some(((head, name), (_, behind))) = before.rsplit_once('[').zip(after.split_once(')'))
        else {
            break;
        };
        out.push_str(head);
        out.push_str(name);
        rest = behind;
    }
    out + rest
}

fn table(page: &mut Page, head: &[String], rows: &[Vec<String>]) {
    let is_rule = |row: &&Vec<String>| row.iter().all(|c| c.chars().all(|c| c == '-' || c == ':'));
    for row in rows.iter().filter(|row| !is_rule(row)) {
        let Some((first, rest)) = row.split_first() else { continue };
        // The second column says what it is; what further ones are has to be said.
        let rest = rest.iter().zip(head.iter().skip(1)).enumerate();
        let told =
            rest.filter(|(_, (cell, _))| !cell.is_empty()).map(|(n, (cell, head))| match n {
                0 => format!("{cell}."),
                _ => format!("{head}: {cell}."),
            });
        let told: Vec<_> = told.collect();
        page.entry(&bold(&first.replace('`', "")), &told.join(" "));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_of_markdown_go() {
        for (text, want) in [
            ("**Trap.** It *arrived* late", "Trap. It arrived late"),
            ("in ([a.md](a.md#b)) and [c](d)", "in (a.md) and c"),
            ("`a*b*[c](d)` is *x*", "`a*b*[c](d)` is x"),
            ("a](b and [c", "a](b and [c"),
        ] {
            assert_eq!(plain(text), want);
        }
        assert_eq!(cells("| `a \\|\\| b` | *or* |"), ["`a || b`", "or"]);
    }

    #[test]
    fn markdown_becomes_roff() {
        let text = "# No\n\nOne `-a`\ntwo\n## Part\n\n| At | Size | What |\n|---|---:|---|\n| `x` | 8 \
                    | it |\n\n* a\n  b\n\n    line\n    two\n";
        let mut page = Page::new("x", 5, &["x"], "is");
        write(&mut page, text);
        let page = page.finish();
        let want = ".PP\nOne \\fB\\-a\\fR\ntwo\n.SH \"PART\"\n.TP\n\\fBx\\fR\n8. What: it.\n\
                    .TP\n\\(bu\na\nb\n.PP\n.RS 4\n.nf\nline\ntwo\n.fi\n.RE\n";
        assert!(page.ends_with(want), "{page}");
    }
}
