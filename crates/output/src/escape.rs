//! Text from outside (user names, idents, interface names) made safe to print.
//!
//! An exporter chooses these octets, and they end on a terminal, in a spreadsheet or in a program.
//! So text and CSV show control characters, invisible characters that reorder or hide text, and
//! octets that are not UTF-8, as `\xNN` or `\u{N}`; a record never breaks its line. Backslashes
//! stay as they are: `DOMAIN\user` is a common user name. JSON has its own escapes.

/// Whether a terminal would act on `c` instead of showing it.
const fn is_unsafe(c: char) -> bool {
    matches!(c,
        '\0'..='\x1f' | '\x7f'..='\u{9f}'
        // Marks, embeddings and isolates that turn the direction of text around.
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{61c}' | '\u{2028}' | '\u{2029}' | '\u{feff}')
}

/// Appends `text` with everything unsafe escaped. Returns how many characters that are.
pub(crate) fn push_text(out: &mut Vec<u8>, text: &[u8]) -> usize {
    if text.iter().all(|b| matches!(b, b' '..=b'~')) {
        out.extend_from_slice(text);
        return text.len();
    }
    let mut columns = 0;
    for chunk in text.utf8_chunks() {
        for c in chunk.valid().chars() {
            columns += push_char(out, c);
        }
        for b in chunk.invalid() {
            columns += push_octet(out, *b);
        }
    }
    columns
}

fn push_char(out: &mut Vec<u8>, c: char) -> usize {
    let before = out.len();
    match c {
        '\0'..='\x7f' if is_unsafe(c) => return push_octet(out, c as u8),
        _ if is_unsafe(c) => out.extend(c.escape_unicode().map(|c| c as u8)),
        _ => {
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            return 1;
        }
    }
    out.len() - before
}

fn push_octet(out: &mut Vec<u8>, b: u8) -> usize {
    out.extend_from_slice(&[b'\\', b'x', HEX[usize::from(b >> 4)], HEX[usize::from(b & 15)]]);
    4
}

/// Appends one CSV field (RFC 4180, 2): escaped as text is, and quoted where a comma, a quote or
/// blanks at an end would be misread.
pub(crate) fn push_csv(out: &mut Vec<u8>, text: &[u8]) {
    let start = out.len();
    push_text(out, text);
    let field = &out[start..];
    let blank_ends = field.first() == Some(&b' ') || field.last() == Some(&b' ');
    if !blank_ends && !field.iter().any(|b| matches!(b, b',' | b'"')) {
        return;
    }
    let field = out.split_off(start);
    out.push(b'"');
    for b in field {
        if b == b'"' {
            out.push(b'"');
        }
        out.push(b);
    }
    out.push(b'"');
}

/// Appends a JSON string with its quotes (RFC 8259, 7). Octets that are not UTF-8 become U+FFFD;
/// control characters that JSON would allow (DEL and C1) are escaped for terminals' sake.
pub(crate) fn push_json(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    if text.iter().all(|b| matches!(b, b' '..=b'~') && !matches!(b, b'"' | b'\\')) {
        out.extend_from_slice(text);
    } else {
        for chunk in text.utf8_chunks() {
            for c in chunk.valid().chars() {
                push_json_char(out, c);
            }
            if !chunk.invalid().is_empty() {
                out.extend_from_slice("\u{fffd}".as_bytes());
            }
        }
    }
    out.push(b'"');
}

fn push_json_char(out: &mut Vec<u8>, c: char) {
    match c {
        '"' => out.extend_from_slice(b"\\\""),
        '\\' => out.extend_from_slice(b"\\\\"),
        '\n' => out.extend_from_slice(b"\\n"),
        '\t' => out.extend_from_slice(b"\\t"),
        _ if is_unsafe(c) => {
            // All of them lie in the first plane: one escape of four digits.
            let n = c as u32;
            out.extend_from_slice(b"\\u");
            out.extend([12, 8, 4, 0].map(|shift| HEX[(n >> shift & 15) as usize]));
        }
        _ => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
    }
}

/// Digits of hexadecimal numbers.
pub(crate) const HEX: &[u8; 16] = b"0123456789abcdef";

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8]) -> String {
        let mut out = Vec::new();
        let columns = push_text(&mut out, bytes);
        let s = String::from_utf8(out).unwrap();
        assert_eq!(s.chars().count(), columns, "{s}");
        s
    }

    #[test]
    fn text_shows_what_a_terminal_would_act_on() {
        for (name, bytes, want) in [
            ("plain", b"alice".as_slice(), "alice"),
            ("backslash", b"DOM\\alice", "DOM\\alice"),
            ("escape sequence", b"\x1b[2Jx", "\\x1b[2Jx"),
            ("line end", b"a\r\nb", "a\\x0d\\x0ab"),
            ("delete", b"a\x7f", "a\\x7f"),
            ("umlaut", "Zürich".as_bytes(), "Zürich"),
            ("not UTF-8", b"a\xff\xc3(", "a\\xff\\xc3("),
            ("C1 control", "\u{9b}31m".as_bytes(), "\\u{9b}31m"),
            ("right to left override", "a\u{202e}b".as_bytes(), "a\\u{202e}b"),
            ("empty", b"", ""),
        ] {
            assert_eq!(text(bytes), want, "{name}");
        }
    }

    #[test]
    fn csv_quotes_only_where_needed() {
        for (bytes, want) in [
            (b"alice".as_slice(), "alice"),
            (b"a,b", "\"a,b\""),
            (b"a\"b", "\"a\"\"b\""),
            (b" a", "\" a\""),
            (b"a\nb", "a\\x0ab"),
            (b"", ""),
        ] {
            let mut out = b"x,".to_vec();
            push_csv(&mut out, bytes);
            assert_eq!(String::from_utf8(out).unwrap(), format!("x,{want}"));
        }
    }

    #[test]
    fn json_strings_read_back_as_lossy_utf8() {
        let mut every: Vec<u8> = (0..=255).collect();
        every.extend_from_slice("\u{202e}\u{10348}\u{2028}ü\"\\".as_bytes());
        let mut cases = vec![every, b"\xf0\x90\x8d".to_vec(), Vec::new()];
        cases.extend((0..=255).map(|b| vec![b'a', b, b'z']));
        for bytes in cases {
            let mut out = Vec::new();
            push_json(&mut out, &bytes);
            let back: String = serde_json::from_slice(&out).unwrap();
            assert_eq!(back, String::from_utf8_lossy(&bytes));
            assert!(!out.iter().any(|b| *b < b' ' || *b == 0x7f), "{out:?}");
        }
    }
}
