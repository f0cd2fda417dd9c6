//! Colours of text on a terminal: SGR control sequences (ECMA-48, 8.3.117) around what is printed.

/// Bold.
pub(crate) const BOLD: &[u8] = b"\x1b[1m";
/// Faint.
const DIM: &[u8] = b"\x1b[2m";
/// Back to normal.
const RESET: &[u8] = b"\x1b[0m";

/// Puts what stands in `out` from `start` on between a style and the return to normal; nothing
/// where nothing stands.
pub(crate) fn wrap(out: &mut Vec<u8>, start: usize, style: &[u8]) {
    if start < out.len() {
        out.splice(start..start, style.iter().copied());
        out.extend_from_slice(RESET);
    }
}

/// Makes the lines that stand in `out` from `start` on faint, each by itself: what a summary looks
/// like where colours are wanted. A pager may cut lines apart.
pub fn dim_lines(out: &mut Vec<u8>, start: usize) {
    let text = out.split_off(start.min(out.len()));
    for line in text.split_inclusive(|b| *b == b'\n') {
        let body = line.strip_suffix(b"\n").unwrap_or(line);
        let at = out.len();
        out.extend_from_slice(body);
        wrap(out, at, DIM);
        out.extend_from_slice(&line[body.len()..]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_closed() {
        let mut out = b"list\n".to_vec();
        let start = out.len();
        out.extend_from_slice(b"Summary\n\nrest");
        dim_lines(&mut out, start);
        assert_eq!(out, b"list\n\x1b[2mSummary\x1b[0m\n\n\x1b[2mrest\x1b[0m");
        let mut out = b"x".to_vec();
        dim_lines(&mut out, 7);
        assert_eq!(out, b"x");
    }
}
