//! Pages in roff, with the macros of man(7) that every system has.

use crate::VERSION;

/// A page that is being written.
#[derive(Debug)]
pub struct Page(String);

impl Page {
    /// A page of this name and section, with what is said of it in one line.
    pub fn new(name: &str, section: u8, names: &[&str], about: &str) -> Self {
        let mut page = Self(format!(
            ".TH \"{}\" {section} \"\" \"flowsuite {VERSION}\" \"flowsuite\"\n",
            escape(&name.to_uppercase())
        ));
        page.section("Name");
        let names: Vec<_> = names.iter().map(|name| escape(name)).collect();
        page.0.push_str(&format!("{} \\- {}\n", names.join(", "), escape(about)));
        page
    }

    /// The page.
    pub fn finish(self) -> String {
        self.0
    }

    /// A section; its title is written in capitals.
    pub fn section(&mut self, title: &str) {
        self.0.push_str(&format!(".SH \"{}\"\n", escape(&title.to_uppercase())));
    }

    /// A part of a section.
    pub fn part(&mut self, title: &str) {
        self.0.push_str(&format!(".SS \"{}\"\n", escape(title)));
    }

    /// An entry of a list: what it is about, in markup of [`bold`] and [`italic`], and the text.
    pub fn entry(&mut self, tag: &str, text: &str) {
        self.0.push_str(&format!(".TP\n{tag}\n"));
        let body = marked(text);
        self.0.push_str(if body.is_empty() { "\\&\n" } else { &body });
    }

    /// A paragraph in markup.
    pub fn raw(&mut self, line: &str) {
        self.0.push_str(&format!(".PP\n{line}\n"));
    }

    /// Lines as they stand.
    pub fn literal<'a>(&mut self, lines: impl IntoIterator<Item = &'a str>) {
        self.0.push_str(".PP\n.RS 4\n.nf\n");
        for line in lines {
            self.0.push_str(&escape_line(line));
            self.0.push('\n');
        }
        self.0.push_str(".fi\n.RE\n");
    }

    /// Text as help has it: paragraphs, and lines that begin with blanks, which stay as they are.
    pub fn text(&mut self, text: &str) {
        let mut lines = text.lines().peekable();
        while let Some(line) = lines.next() {
            let is_literal = |line: &str| line.starts_with("  ");
            if is_literal(line) {
                let mut all = vec![line];
                while let Some(next) = lines.next_if(|l| is_literal(l)) {
                    all.push(next);
                }
                let indent = all.iter().map(|l| l.len() - l.trim_start().len()).min();
                self.literal(all.iter().map(|l| l.get(indent.unwrap_or(0)..).unwrap_or("")));
            } else if !line.trim().is_empty() {
                let mut all = vec![line];
                while let Some(next) = lines.next_if(|l| !is_literal(l) && !l.trim().is_empty()) {
                    all.push(next);
                }
                self.0.push_str(".PP\n");
                self.0.push_str(&marked(&all.join("\n")));
            }
        }
    }
}

/// Bold.
pub fn bold(text: &str) -> String {
    format!("\\fB{}\\fR", escape(text))
}

/// Italic, as what stands for a value is written.
pub fn italic(text: &str) -> String {
    format!("\\fI{}\\fR", escape(text))
}

/// Lines of text, in which `code` is bold.
fn marked(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let mut whole = String::new();
        for (n, piece) in line.split('`').enumerate() {
            match n % 2 {
                0 => whole.push_str(&escape(piece)),
                _ => whole.push_str(&bold(piece)),
            }
        }
        let control = whole.starts_with(['.', '\'']);
        out.push_str(if control { "\\&" } else { "" });
        out.push_str(whole.trim());
        out.push('\n');
    }
    out
}

/// A line that stands as it is.
fn escape_line(line: &str) -> String {
    let line = escape(line);
    if line.starts_with(['.', '\'']) { format!("\\&{line}") } else { line }
}

/// Text in which nothing means anything to roff, and which can be copied from the screen.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\(rs"),
            '-' => out.push_str("\\-"),
            '\'' => out.push_str("\\(aq"),
            '"' => out.push_str("\\(dq"),
            '`' => out.push_str("\\(ga"),
            '^' => out.push_str("\\(ha"),
            '~' => out.push_str("\\(ti"),
            c if c.is_ascii() => out.push(c),
            c => out.push_str(&format!("\\[u{:04X}]", c as u32)),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_text_is_roff() {
        assert_eq!(escape(r#"-n 'a' "b" \c ~ é"#), r"\-n \(aqa\(aq \(dqb\(dq \(rsc \(ti \[u00E9]");
        assert_eq!(marked(".nfstat is `-s` of\nit"), "\\&.nfstat is \\fB\\-s\\fR of\nit\n");
        assert_eq!(escape_line(".x"), "\\&.x");
    }

    #[test]
    fn indented_lines_stay_lines() {
        let mut page = Page::new("x", 1, &["x"], "does");
        page.text("One\ntwo:\n  a   b\n    c\n\nThree");
        let page = page.finish();
        let want = ".PP\nOne\ntwo:\n.PP\n.RS 4\n.nf\na   b\n  c\n.fi\n.RE\n.PP\nThree\n";
        assert!(page.ends_with(want), "{page}");
    }
}
